"""Work done by spawned processes, one item at a time each; a process that dies is replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import multiprocessing.connection
import pickle
import signal
from typing import Any

import torch

from ..interfaces import OnStep, Step
from ..runtime import configure
from .interrupts import asking
from .work import Job, Mistake, Work, died, do_alone, name_of

log = logging.getLogger(__name__)

RETRIES = 1  # of an item whose worker died


class Pool:
    """Items over pipes to processes that hold the model; no item is lost with its process."""

    def __init__(self, job: Job, work: Work, on_step: OnStep, threads: int) -> None:
        self.context = multiprocessing.get_context("spawn")
        self.stop = self.context.Event()
        self.job, self.work, self.on_step, self.threads = job, work, on_step, threads
        self.again: list[tuple[int, Any]] = []  # items whose worker died
        self.deaths: dict[int, int] = {}
        self.idle: list[tuple[Any, Any]] = []  # pipe, process
        self.busy: dict[Any, tuple[Any, int, Any]] = {}  # pipe -> process, number, item

    def run(self, workers: int) -> None:
        with asking(self.stop):
            try:
                self._feed(workers)
                while self.busy:
                    for pipe in multiprocessing.connection.wait(list(self.busy), timeout=1.0):
                        self._receive(pipe)
                    self._feed(workers)
                for pipe, process in self.idle:
                    with contextlib.suppress(OSError):
                        pipe.send(None)
                    process.join(10)
            finally:
                for process in [process for process, *_ in self.busy.values()] + [process for _, process in self.idle]:
                    process.terminate()

    def _feed(self, workers: int) -> None:
        """Give what is ready to idle workers, and start those that are missing."""
        while not self.stop.is_set() and len(self.busy) < workers:
            taken = [self.again.pop(0)] if self.again else self.work.take(1)
            if not taken:
                return
            number, item = taken[0]
            pipe, process = self.idle.pop() if self.idle else self._start()
            self.busy[pipe] = (process, number, item)
            with contextlib.suppress(OSError):  # it died while idle: receiving tells
                pipe.send(item)

    def _start(self) -> tuple[Any, Any]:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_serve, args=(self.job, theirs, self.stop, self.threads), daemon=True)
        process.start()
        theirs.close()
        return ours, process

    def _receive(self, pipe: Any) -> None:
        process, number, _ = self.busy[pipe]
        try:
            kind, value = pipe.recv()
        except (EOFError, OSError):
            self._bury(pipe)
            return
        if kind == "step":
            try:
                self.on_step(dataclasses.replace(value, face=number))
            except KeyboardInterrupt:  # a listener may ask for the end as Ctrl-C does
                self.stop.set()
            return
        del self.busy[pipe]
        self.idle.append((pipe, process))
        if isinstance(value, Mistake):
            value.again()
        self.work.keep(number, value)

    def _bury(self, pipe: Any) -> None:
        """A worker died: its item is given to another, unless that happened before."""
        process, number, item = self.busy.pop(pipe)
        process.join()
        if self.stop.is_set():
            return
        self.deaths[number] = self.deaths.get(number, 0) + 1
        if self.deaths[number] > RETRIES:
            killed = process.exitcode == -signal.SIGKILL  # as kernels do when memory runs out
            how = "killed; out of memory?" if killed else f"exit code {process.exitcode}"
            self.work.keep(number, died(item, self.deaths[number], how))
        else:
            log.warning("a worker died (exit code %s); %s is done again", process.exitcode, name_of(item))
            self.again.append((number, item))


def _serve(job: Job, pipe: Any, stop: Any, threads: int) -> None:
    """A worker's life: one item at a time until told to go. The parent alone answers Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure(threads)

    def on_step(step: Step) -> None:
        pipe.send(("step", dataclasses.replace(step, ws=torch.empty(0), image=torch.empty(0))))
        if stop.is_set():
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError, EOFError):  # stopped early, or the parent is gone
        while (item := pipe.recv()) is not None:
            result = do_alone(job, item, on_step)
            try:
                pipe.send(("done", result))
            except (AttributeError, TypeError, pickle.PicklingError) as error:  # a result that cannot travel
                pipe.send(("done", Mistake.of(error)))

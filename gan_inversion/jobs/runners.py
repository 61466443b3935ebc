"""Who does the inversions: this process, or several spawned ones. The results are the same to the bit."""

from __future__ import annotations

import dataclasses
import logging
import multiprocessing
import multiprocessing.connection
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ..interfaces import OnStep, Step, UserError
from ..runtime import configure

log = logging.getLogger(__name__)

RETRIES = 1  # of a face whose worker died
Keep = Callable[[int, Any], None]


class Runner(Protocol):
    def run(self, task: Any, items: Sequence[Any], keep: Keep, on_step: OnStep) -> None:
        """Do `task([item, ...], on_step)` for all items; `keep(index, result)` gets each as it is finished.

        After Ctrl-C the faces under way are handed in as they are, and no other is begun.
        """


@dataclass(frozen=True)
class Local:
    """workers=1: in this process, `batch` faces side by side. More: spawned processes, restarted when they die.

    Threads a face are not divided by the workers, because the number of threads changes bits: set `threads` too.
    """

    workers: int = 1
    batch: int = 4

    def run(self, task: Any, items: Sequence[Any], keep: Keep, on_step: OnStep) -> None:
        if self.workers < 1 or self.batch < 1:
            raise UserError("runner.workers and runner.batch must be at least 1")
        if self.workers == 1 or len(items) < 2:
            for begin in range(0, len(items), self.batch):
                results = task(items[begin : begin + self.batch], _shifted(on_step, begin))
                for index, result in enumerate(results, begin):
                    keep(index, result)
                if not all(record.inversion.finished for record, _ in results):
                    return
            return
        workers = min(self.workers, len(items))
        threads, cores = torch.get_num_threads(), os.cpu_count() or 1
        if workers * threads > cores:
            log.warning(
                "%d workers x %d threads on %d cores: set threads=%d", workers, threads, cores, max(1, cores // workers)
            )
        _Pool(task, items, keep, on_step, threads).run(workers)


def _shifted(on_step: OnStep, begin: int) -> OnStep:
    """A batch counts its faces from 0; the listener counts all."""
    return lambda step: on_step(dataclasses.replace(step, face=begin + step.face))


class _Pool:
    """Items over pipes to processes that hold the model; no item is lost with its process."""

    def __init__(self, task: Any, items: Sequence[Any], keep: Keep, on_step: OnStep, threads: int) -> None:
        self.context = multiprocessing.get_context("spawn")
        self.stop = self.context.Event()
        self.task, self.items, self.keep, self.on_step, self.threads = task, items, keep, on_step, threads
        self.waiting = list(range(len(items)))
        self.tries = [0] * len(items)
        self.busy: dict[Any, tuple[Any, int]] = {}  # pipe -> process, item

    def run(self, workers: int) -> None:
        try:
            for _ in range(workers):
                self._start()
            while self.busy:
                try:
                    for pipe in multiprocessing.connection.wait(list(self.busy)):
                        self._receive(pipe)
                except KeyboardInterrupt:
                    if self.stop.is_set():
                        raise  # the second Ctrl-C is meant
                    self.stop.set()  # workers see it at their next step and hand in what they have
        finally:
            for process, _ in self.busy.values():
                process.terminate()

    def _start(self) -> None:
        if not self.waiting:
            return
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_serve, args=(self.task, theirs, self.stop, self.threads), daemon=True)
        process.start()
        theirs.close()
        self._give(ours, process)

    def _give(self, pipe: Any, process: Any) -> None:
        if self.waiting and not self.stop.is_set():
            index = self.waiting.pop(0)
            self.tries[index] += 1
            pipe.send(self.items[index])
            self.busy[pipe] = (process, index)
        else:
            pipe.send(None)
            self.busy.pop(pipe, None)
            process.join()

    def _receive(self, pipe: Any) -> None:
        process, index = self.busy[pipe]
        try:
            kind, value = pipe.recv()
        except (EOFError, ConnectionResetError):
            del self.busy[pipe]
            process.join()
            if self.stop.is_set():
                return
            if self.tries[index] > RETRIES:
                raise UserError(
                    f"the worker of item {index} died {self.tries[index]} times (out of memory?)."
                ) from None
            log.warning("a worker died (exit code %s); its face is done again", process.exitcode)
            self.waiting.insert(0, index)
            self._start()
            return
        if kind == "step":
            self.on_step(dataclasses.replace(value, face=index))
        elif kind == "error":
            raise value
        else:
            self.keep(index, value)
            self._give(pipe, process)


def _serve(task: Any, pipe: Any, stop: Any, threads: int) -> None:
    """A worker's life: one face at a time until told to go. The parent alone answers Ctrl-C."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure(threads)

    def on_step(step: Step) -> None:
        pipe.send(("step", dataclasses.replace(step, ws=torch.empty(0), image=torch.empty(0))))
        if stop.is_set():
            raise KeyboardInterrupt

    while (item := pipe.recv()) is not None:
        try:
            (result,) = task([item], on_step)
        except KeyboardInterrupt:
            return
        except Exception as error:
            pipe.send(("error", error))
            return
        pipe.send(("done", result))

"""Who does the inversions: this process, or several spawned ones. The results are the same to the bit."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import multiprocessing.connection
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ..interfaces import OnStep, Step, UserError
from ..runtime import configure, cores

log = logging.getLogger(__name__)

RETRIES = 1  # of a face whose worker died
Keep = Callable[[int, Any], None]


class Runner(Protocol):
    def run(self, task: Any, items: Sequence[Any], keep: Keep, on_step: OnStep) -> None:
        """Do `task([item, ...], on_step)` for all items; `keep(index, result)` gets each as it is finished.

        An item that fails is kept as its UserError, and the others go on. After Ctrl-C the faces under way are handed
        in as they are, and no other is begun.
        """


@dataclass(frozen=True)
class Local:
    """workers=1: in this process, `batch` faces side by side. More: spawned processes, restarted when they die.

    Threads a face are not divided by the workers, because the number of threads changes bits: set `threads` too.
    """

    workers: int = 1
    batch: int = 2

    def __post_init__(self) -> None:
        if self.workers < 1 or self.batch < 1:
            raise UserError("runner.workers and runner.batch must be at least 1")

    def run(self, task: Any, items: Sequence[Any], keep: Keep, on_step: OnStep) -> None:
        workers = min(self.workers, len(items))
        if workers > 1:
            threads = torch.get_num_threads()
            if workers * threads > cores():
                advice = max(1, cores() // workers)
                log.warning("%d workers x %d threads on %d cores: set threads=%d", workers, threads, cores(), advice)
            _Pool(task, items, keep, on_step, threads).run(workers)
            return
        stop = threading.Event()

        def listen(step: Step) -> None:
            on_step(step)
            if (
                stop.is_set() and step.step > 0
            ):  # by then every face of the batch has been scored: there is a best to keep
                raise KeyboardInterrupt

        with _asking(stop):
            for begin in range(0, len(items), self.batch):
                for index, result in self._batch(
                    task, items, range(begin, min(begin + self.batch, len(items))), listen
                ):
                    keep(index, result)
                    stopped = not isinstance(result, UserError) and not result[0].inversion.finished
                    if stopped:
                        stop.set()
                if stop.is_set():
                    return

    def _batch(self, task: Any, items: Sequence[Any], indices: range, on_step: OnStep) -> list[tuple[int, Any]]:
        try:
            return list(zip(indices, task([items[i] for i in indices], _shifted(on_step, indices[0])), strict=True))
        except UserError as error:
            if len(indices) == 1:
                return [(indices[0], error)]
            return [pair for i in indices for pair in self._batch(task, items, range(i, i + 1), on_step)]


def _shifted(on_step: OnStep, begin: int) -> OnStep:
    """A batch counts its faces from 0; the listener counts all."""
    return lambda step: on_step(dataclasses.replace(step, face=begin + step.face))


@contextlib.contextmanager
def _asking(stop: Any) -> Iterator[None]:
    """The first Ctrl-C only sets `stop`: it cuts no message, measurement or file in two. The second is meant."""

    def ask(*_: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        log.warning("interrupted: handing in what there is (once more to drop it)")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
        with _asking(self.stop):
            try:
                for _ in range(workers):
                    self._start()
                while self.busy:
                    for pipe in multiprocessing.connection.wait(list(self.busy), timeout=1.0):
                        self._receive(pipe)
            finally:
                for process, _ in self.busy.values():
                    process.terminate()

    def _start(self) -> None:
        if not self.waiting or self.stop.is_set():
            return
        index = self.waiting.pop(0)
        self.tries[index] += 1
        ours, theirs = self.context.Pipe()
        arguments = (self.task, self.items[index], theirs, self.stop, self.threads)
        process = self.context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self.busy[ours] = (process, index)

    def _receive(self, pipe: Any) -> None:
        process, index = self.busy[pipe]
        try:
            kind, value = pipe.recv()
            if kind == "step":
                try:
                    self.on_step(dataclasses.replace(value, face=index))
                except KeyboardInterrupt:  # a listener may ask for the end as Ctrl-C does
                    self.stop.set()
                return
            self.keep(index, value if kind == "done" else UserError(value))
            following = None if self.stop.is_set() or not self.waiting else self.waiting.pop(0)
            if following is None:
                del self.busy[pipe]
                pipe.send(None)
                process.join(10)
                return
            self.tries[following] += 1
            self.busy[pipe] = (process, following)
            pipe.send(self.items[following])
        except (EOFError, OSError):
            self._bury(pipe)

    def _bury(self, pipe: Any) -> None:
        """A worker died: its item is given to another, unless that happened before."""
        process, index = self.busy.pop(pipe, (None, -1))
        if process is None:
            return
        process.join()
        if self.stop.is_set():
            return
        if self.tries[index] > RETRIES:
            name = (
                getattr(self.items[index][0], "name", "") if isinstance(self.items[index], tuple) else self.items[index]
            )
            died = f"{name}: its worker died {self.tries[index]} times (exit code {process.exitcode}; out of memory?)."
            self.keep(index, UserError(died))
        else:
            log.warning("a worker died (exit code %s); its face is done again", process.exitcode)
            self.waiting.insert(0, index)
        self._start()


def _serve(task: Any, item: Any, pipe: Any, stop: Any, threads: int) -> None:
    """A worker's life: one face at a time until told to go. The parent alone answers Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure(threads)

    def on_step(step: Step) -> None:
        pipe.send(("step", dataclasses.replace(step, ws=torch.empty(0), image=torch.empty(0))))
        if stop.is_set():
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError, EOFError):  # stopped early, or the parent is gone
        while item is not None:
            try:
                (result,) = task([item], on_step)
                pipe.send(("done", result))
            except UserError as error:
                pipe.send(("error", str(error)))
            item = pipe.recv()

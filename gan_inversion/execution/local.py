"""This machine: one process, in which one thread reads ahead and one writes behind, or several spawned ones."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from ..errors import UserError
from ..interfaces import OnStep, Step
from ..runtime import cores
from .interrupts import asking
from .pool import Pool
from .work import Job, Work, is_out_of_memory, name_of, out_of_memory, outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Local:
    """workers=1: in this process, `batch_size` items side by side. More: spawned processes, restarted when they die.

    batch_size None: as many as are worth it and as memory allows. Threads a face are not divided by the workers, because the
    number of threads changes bits: set `threads` too.
    """

    name: ClassVar[str] = "local"

    workers: int = 1
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 1 or (self.batch_size is not None and self.batch_size < 1):
            raise UserError("runner.workers and runner.batch_size must be at least 1")
        if self.workers > 1 and self.batch_size is not None:
            raise UserError(
                "runner.batch_size: several workers do a face at a time each. Leave it out, or runner.workers."
            )

    def run(self, job: Job, work: Work, on_step: OnStep) -> None:
        if self.workers == 1:
            InProcess(job, work, on_step, self.batch_size).run()
            return
        threads = torch.get_num_threads()
        if self.workers * threads > cores():
            advice = max(1, cores() // self.workers)
            log.warning("%d workers x %d threads on %d cores: set threads=%d", self.workers, threads, cores(), advice)
        Pool(job, work, on_step, threads).run(self.workers)


class InProcess:
    """`batch` None: as many side by side as the job finds worth it, and fewer once memory has run out."""

    def __init__(self, job: Job, work: Work, on_step: OnStep, batch: int | None) -> None:
        self.job, self.work, self.on_step = job, work, on_step
        self.stop = threading.Event()
        self.ready: deque[tuple[list[int], list[Any], list[Future[Any]]]] = deque()  # numbers, items, prepared
        self.written: deque[tuple[int, Any, Future[Any]]] = deque()  # number, item, finished
        self.batch = batch or job.together

    def run(self) -> None:
        failed: BaseException | None = None
        with asking(self.stop), ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(1) as behind:
            while True:
                while len(self.ready) < 2 and not self.stop.is_set():
                    taken = self.work.take(self.batch)
                    if not taken:
                        break
                    numbers, items = [number for number, _ in taken], [item for _, item in taken]
                    self.ready.append((numbers, items, [ahead.submit(self.job.prepare, item) for item in items]))
                if self.ready and not self.stop.is_set():
                    try:
                        self._compute(behind)
                    except (KeyboardInterrupt, Exception) as error:  # what is written is still handed in
                        failed = error
                        self.stop.set()
                elif not self.written:
                    break
                while self.written and (self.written[0][2].done() or len(self.written) > self.batch or not self.ready):
                    try:
                        self._keep(*self.written.popleft())
                    except Exception as error:
                        failed = failed or error
                        self.stop.set()
        if failed is not None:
            raise failed

    def _compute(self, behind: ThreadPoolExecutor) -> None:
        numbers, items, futures = self.ready.popleft()
        prepared: list[Any] = []
        for future in futures:
            prepared.append(outcome(future.result, items[len(prepared)]))
        whole = [i for i, item in enumerate(prepared) if not isinstance(item, UserError)]
        results = dict(enumerate(prepared)) | self._do(whole, items, prepared, numbers)
        for i, number in enumerate(numbers):
            if i not in results:
                continue
            result = results[i]
            failed = isinstance(result, UserError)
            future = _known(result) if failed else behind.submit(self.job.finish, result)
            self.written.append((number, items[i], future))

    def _do(self, places: list[int], items: list[Any], prepared: list[Any], numbers: list[int]) -> dict[int, Any]:
        """Results by place. What fails together is tried in parts, so that one item's failure is its own."""
        if not places:
            return {}

        def listen(step: Step) -> None:
            try:
                self.on_step(dataclasses.replace(step, face=numbers[places[step.face]]))
            except KeyboardInterrupt:  # a listener may ask for the end as Ctrl-C does
                self.stop.set()
            if self.stop.is_set() and step.step > 0:  # by then each face has been scored: there is a best to keep
                raise KeyboardInterrupt

        try:
            results = dict(zip(places, self.job([prepared[i] for i in places], listen), strict=True))
        except (UserError, MemoryError, RuntimeError) as error:
            full = is_out_of_memory(error)
            if not full and not isinstance(error, UserError):
                raise
            if len(places) == 1:
                return {places[0]: out_of_memory(name_of(items[places[0]])) if full else error}
            parts = 2 if full else len(places)
            size = -(-len(places) // parts)
            if full:
                self.batch = size
                log.warning("out of memory: going on with %d side by side", size)
        else:
            return results
        found: dict[int, Any] = {}
        for begin in range(0, len(places), size):
            found |= self._do(places[begin : begin + size], items, prepared, numbers)
        return found

    def _keep(self, number: int, item: Any, future: Future[Any]) -> None:
        self.work.keep(number, outcome(future.result, item))


def _known(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future

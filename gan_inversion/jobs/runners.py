"""Who does the work: this process, or several spawned ones. The results are the same to the bit."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from ..interfaces import OnStep, UserError
from ..runtime import cores
from .in_process import InProcess
from .pool import Pool
from .work import Job, Work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Local:
    """workers=1: in this process, `batch` items side by side. More: spawned processes, restarted when they die.

    batch None: as many as are worth it and as memory allows. Threads a face are not divided by the workers, because the
    number of threads changes bits: set `threads` too.
    """

    workers: int = 1
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 1 or (self.batch is not None and self.batch < 1):
            raise UserError("runner.workers and runner.batch must be at least 1")
        if self.workers > 1 and self.batch is not None:
            raise UserError("runner.batch: several workers do a face at a time each. Leave it out, or runner.workers.")

    def run(self, job: Job, work: Work, on_step: OnStep) -> None:
        if self.workers == 1:
            InProcess(job, work, on_step, self.batch).run()
            return
        threads = torch.get_num_threads()
        if self.workers * threads > cores():
            advice = max(1, cores() // self.workers)
            log.warning("%d workers x %d threads on %d cores: set threads=%d", self.workers, threads, cores(), advice)
        Pool(job, work, on_step, threads).run(self.workers)

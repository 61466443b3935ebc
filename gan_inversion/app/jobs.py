"""One job at a time: a thread that computes, and a queue of those who wait for it.

All that needs torch or composes a config happens in that thread, so nothing of a command has to know of visitors.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError
from ..report.progress import watched_by

log = logging.getLogger(__name__)

AGAIN = 0.5  # seconds between two requests to end: the first at the next step of a bar, the others wherever it is
KNOWN = 0.1  # share of a bar from which its rate says how long it will take
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


@dataclass(eq=False)
class Job:
    """What somebody waits for."""

    kind: str  # jobs of a kind take about as long as each other
    owner: str
    work: Callable[[], Any]
    state: str = WAITING
    result: Any = None
    problem: str = ""  # why it failed, as a sentence
    remarks: list[str] = field(default_factory=list)  # warnings on the way
    began: float = 0.0
    stage: tuple[str, int, int] = ("", 0, 0)  # of the bar that moves: its title, done, of how many
    stage_began: float = 0.0
    unwanted: bool = False

    @property
    def over(self) -> bool:
        return self.state not in (WAITING, RUNNING)

    def watch(self, title: str, done: int, total: int) -> None:
        """A step of a bar. KeyboardInterrupt where nobody wants the job any more."""
        if self.unwanted:
            raise KeyboardInterrupt
        if title != self.stage[0]:
            self.stage_began = time.monotonic()
        self.stage = title, done, total


class Jobs:
    """most: how many may wait."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.seconds: dict[str, float] = {}  # what the last job of a kind took
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._closed = False
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)
        self._thread.start()

    def submit(self, kind: str, owner: str, work: Callable[[], Any]) -> Job:
        """Raises UserError if too many wait."""
        with self._changed:
            if len(self._waiting) + (self._running is not None) > self.most:
                raise UserError(f"{self.most} jobs wait already, and no more are taken. Try again in a minute.")
            job = Job(kind, owner, work)
            self._waiting.append(job)
            self._changed.notify()
        return job

    def before(self, job: Job) -> int:
        """How many are done first."""
        with self._changed:
            waiting = list(self._waiting)
            return waiting.index(job) + (self._running is not None) if job in waiting else 0

    def left(self, job: Job) -> float | None:
        """Seconds, as far as anything is known: by the rate of the bar that moves, or by the last job of its kind."""
        now, (_, done, total) = time.monotonic(), job.stage
        if job.state == RUNNING and total and done >= KNOWN * total:
            return (now - job.stage_began) * (total - done) / done
        if job.kind not in self.seconds:
            return None
        return max(self.seconds[job.kind] - (now - job.began if job.state == RUNNING else 0), 1.0)

    def cancel(self, owner: str, kind: str | None = None) -> None:
        """One owner's jobs, all or of a kind: those that wait at once, the one that runs as Ctrl-C ends a command."""

        def meant(job: Job) -> bool:
            return job.owner == owner and kind in (None, job.kind)

        with self._changed:
            for job in [job for job in self._waiting if meant(job)]:
                self._waiting.remove(job)
                job.state = CANCELLED
            running = self._running
        if running is not None and meant(running):
            threading.Thread(target=self._interrupt, args=(running,), daemon=True).start()

    def close(self) -> None:
        """End what runs, and take no more."""
        with self._changed:
            self._closed = True
            owners = {job.owner for job in (*self._waiting, self._running) if job}
            self._changed.notify()
        for owner in owners:
            self.cancel(owner)
        self._thread.join(timeout=20)

    def _interrupt(self, job: Job) -> None:
        """Until it is over."""
        job.unwanted = True
        time.sleep(AGAIN)
        while True:
            with self._changed:  # nobody else's job is begun in the meantime
                if self._running is not job:
                    return
                _raise_in(self._thread, KeyboardInterrupt)
            time.sleep(AGAIN)

    def _loop(self) -> None:
        while True:
            try:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._closed)
                    if self._closed:
                        return
                    self._running = job = self._waiting.popleft()
                    job.state, job.began = RUNNING, time.monotonic()
                self._do(job)
            except KeyboardInterrupt:  # one that came as its job was ending
                self._let_go()

    def _do(self, job: Job) -> None:
        listener = _Remarks(job)
        package = logging.getLogger(__package__.partition(".")[0])
        package.addHandler(listener)
        try:
            with watched_by(job.watch):
                job.result = job.work()
            job.state = DONE
            self.seconds[job.kind] = time.monotonic() - job.began
        except UserError as error:
            job.state, job.problem = FAILED, str(error)
        except KeyboardInterrupt:
            job.state = CANCELLED
        except Exception:
            log.exception("a job of the page failed")
            job.state, job.problem = FAILED, "This went wrong by a mistake of the program; its terminal says more."
        finally:
            package.removeHandler(listener)
            self._let_go()

    def _let_go(self) -> None:
        with self._lock:  # itself: its `with` is one step, which no interrupt parts from its end; a Condition's is not
            job, self._running = self._running, None
            _raise_in(self._thread, None)
        if job is not None and not job.over:
            job.state = CANCELLED


class _Remarks(logging.Handler):
    """What is warned of in this thread while the job runs."""

    def __init__(self, job: Job) -> None:
        super().__init__(logging.WARNING)
        self.job, self.thread = job, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if threading.get_ident() == self.thread and record.levelno == logging.WARNING:
            self.job.remarks.append(record.getMessage())


def _raise_in(thread: threading.Thread, kind: type[BaseException] | None) -> None:
    """Have a thread raise this at its next step, as Ctrl-C does in the main thread; None: nothing after all."""
    error = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), error)

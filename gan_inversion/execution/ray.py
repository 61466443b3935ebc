"""Work done by a Ray cluster: each item is a task, and Ray does again what a worker or a machine took with it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from .. import __version__
from ..errors import UserError
from ..interfaces import OnStep, Step
from ..runtime import configure, cores
from .interrupts import asking
from .work import Job, Mistake, Work, died, do_alone

try:
    import ray
    from ray import exceptions
except ImportError as missing:
    raise UserError('runner=ray needs Ray. Run: pip install ".[ray]"') from missing

log = logging.getLogger(__name__)

LOST = (  # what Ray says once a task's retries are used up
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.RayActorError,
)


@dataclass(frozen=True)
class Ray:
    """address: "auto", the running cluster; null, Ray on this machine for this run; else host:port or ray://host:port.

    `on_step` is not called: steps do not travel across the cluster, results do. After Ctrl-C what is under way is
    finished and handed in. `cpus` None: this process's threads, which each worker uses, as their number changes bits.
    """

    name: ClassVar[str] = "ray"

    address: str | None = "auto"
    cpus: float | None = None
    gpus: float = 0.0
    retries: int = 2
    in_flight: int | None = None

    def __post_init__(self) -> None:
        if (self.cpus is not None and self.cpus <= 0) or self.gpus < 0:
            raise UserError("runner.cpus must be above 0, runner.gpus at least 0")
        if self.retries < 0 or (self.in_flight is not None and self.in_flight < 1):
            raise UserError("runner.retries must be at least 0, runner.in_flight at least 1")

    def run(self, job: Job, work: Work, on_step: OnStep) -> None:
        cpus = self.cpus or float(torch.get_num_threads())
        with _connected(self.address, cpus, self.retries):
            _Tasks(job, work, self, cpus).run()


class _Tasks:
    """Items given to the cluster as it has room for them."""

    def __init__(self, job: Job, work: Work, runner: Ray, cpus: float) -> None:
        self.work, self.runner, self.cpus = work, runner, cpus
        self.stop = threading.Event()
        # max_calls 0: Ray would start a new process for each task with a GPU, and each would load the model.
        task = ray.remote(max_retries=runner.retries, num_cpus=cpus, num_gpus=runner.gpus, max_calls=0)(_do)
        here = _Here(torch.get_num_threads(), str(Path.cwd()), _umask(), _kind())
        job_there, here_there = ray.put(job), ray.put(here)
        self.submit = lambda item: task.remote(job_there, here_there, item)
        self.under_way: dict[Any, tuple[int, Any]] = {}  # reference -> number, item

    def run(self) -> None:
        self._warn_if_nobody_can()
        cancelled = False
        try:
            with asking(self.stop):
                while True:
                    while not self.stop.is_set() and len(self.under_way) < self._room():
                        taken = self.work.take(1)
                        if not taken:
                            break
                        number, item = taken[0]
                        self.under_way[self.submit(item)] = number, item
                    if self.stop.is_set() and not cancelled:
                        cancelled = True
                        for reference in self.under_way:  # workers ignore it: only what has not begun is cancelled
                            ray.cancel(reference)
                    if not self.under_way:
                        return
                    ready, _ = ray.wait(list(self.under_way), timeout=0.2)  # so that Ctrl-C is heard soon
                    for reference in ready:
                        self._receive(reference)
                        del reference  # with its last reference the cluster forgets the result
        finally:
            for reference in self.under_way:
                ray.cancel(reference, force=True)

    def _room(self) -> int:
        """Tasks that may be submitted: enough that no worker waits, however the cluster has grown."""
        if self.runner.in_flight is not None:
            return self.runner.in_flight
        there = ray.cluster_resources()
        slots = there.get("CPU", 0) / self.cpus
        if self.runner.gpus:
            slots = min(slots, there.get("GPU", 0) / self.runner.gpus)
        return max(2, 2 * int(slots))

    def _receive(self, reference: Any) -> None:
        number, item = self.under_way.pop(reference)
        try:
            result = ray.get(reference)
        except exceptions.TaskCancelledError:
            return
        except exceptions.RayTaskError as error:  # raised before there was a job to do
            raise (error.cause if isinstance(error.cause, Exception) else error) from error
        except LOST as error:
            if self.stop.is_set():
                return
            result = died(item, self.runner.retries + 1, _how(error))
        if isinstance(result, Mistake):
            result.again()
        self.work.keep(number, result)

    def _warn_if_nobody_can(self) -> None:
        """A cluster may grow the machine that is missing, or wait for it forever."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(n.get("CPU", 0) >= self.cpus and n.get("GPU", 0) >= self.runner.gpus for n in nodes):
            needs = f"{self.cpus:g} CPUs" + (f" and {self.runner.gpus:g} GPUs" if self.runner.gpus else "")
            log.warning("no machine of the cluster has %s: waiting for one (threads, runner.cpus, runner.gpus)", needs)


def _how(error: exceptions.RayError) -> str:
    if isinstance(error, exceptions.OutOfMemoryError):
        return "out of memory"
    return "killed; out of memory?" if isinstance(error, exceptions.WorkerCrashedError) else "its machine was lost"


@contextlib.contextmanager
def _connected(address: str | None, cpus: float, retries: int) -> Iterator[None]:
    """Raises UserError if there is no such cluster."""
    if ray.is_initialized():  # by who called us: it is theirs to end
        yield
        return
    os.environ.setdefault("RAY_task_oom_retries", str(retries))  # Ray would try forever what does not fit
    options: dict[str, Any] = {
        "logging_level": "warning",
        "log_to_driver": True,
    }  # workers' warnings, repeated ones once
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a run tells nobody
        options |= {"num_cpus": max(cores(), math.ceil(cpus)), "include_dashboard": False}
    try:
        _knock(os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address)
        ray.init(address or "local", **options)
    except (OSError, ValueError, RuntimeError, ImportError, exceptions.RayError) as error:
        reason = str(error).strip().split("\n")[0]
        remedy = "Start one with `ray start --head`, or set runner.address=null to use this machine alone."
        raise UserError(f"runner.address={address}: no cluster ({reason}). {remedy}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """Raises OSError if nobody listens at host:port: Ray itself would wait for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


# ------------------------------------------------------------------ in the workers


@dataclass(frozen=True)
class _Here:
    """What workers must have in common with the process that started the run."""

    threads: int
    folder: str  # relative paths begin here
    umask: int
    kind: str


def _kind() -> str:
    """What bits depend on, and results are stored under."""
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, gan_inversion {__version__}"


def _umask() -> int:
    """Which can be read only by setting it."""
    os.umask(umask := os.umask(0o077))
    return umask


def _do(job: Job, here: _Here, item: Any) -> Any:
    """One item, in a worker: its result, or the UserError instead."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # cancelled tasks that have begun are finished
    if _kind() != here.kind:
        raise UserError(f"{socket.gethostname()} has {_kind()}, but the run was started with {here.kind}: other bits.")
    os.environ["OMP_NUM_THREADS"] = str(here.threads)  # Ray sets it to the task's CPUs
    configure(here.threads)
    os.umask(here.umask)
    try:  # always: the folder of an earlier run, where this worker still is, may be gone
        os.chdir(here.folder)
    except OSError:
        log.warning("%s is not on each machine: only URLs and absolute paths will do", here.folder)
    return do_alone(job, item, _unheard)


def _unheard(step: Step) -> None:
    pass

"""Commands as processes of their own that need not import anything: they are forked from one that has.

A new interpreter takes seconds until it has torch; a fork takes milliseconds. Both can be killed, interrupted
and waited for. The process that is forked is none of pytest's, as those have threads; it has imported the package, parsed
its configs and done nothing else.
"""

from __future__ import annotations

import array
import contextlib
import functools
import importlib
import json
import multiprocessing
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PRELOADED = [
    "gan_inversion.commands.batch",
    "gan_inversion.components",
    "gan_inversion.generators.tiny",
]


@functools.cache
def loaded_workers() -> Any:
    """A context of `multiprocessing` whose processes need not import the package either."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([path] if path else [])])  # it begins in any folder
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if path:
            os.environ["PYTHONPATH"] = path
    return context


class Forked:
    """What tests need of a `subprocess.Popen`. It leads a process group of its own."""

    def __init__(self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        """arguments: a script of Python and what its command line holds."""
        self.returncode: int | None = None
        self._said = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 (closed with the process)
        self._told, theirs = os.pipe()  # the process's number first, its end when it comes
        order = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}
        fds = array.array("i", [file.fileno() for file in self._said] + [theirs])
        _server().sendmsg([json.dumps(order).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        os.close(theirs)
        self.pid = self._number()

    def _number(self) -> int:
        line = b""
        while not line.endswith(b"\n"):
            got = os.read(self._told, 1)
            assert got, "the process that is forked has died"
            line += got
        return int(line)

    def poll(self) -> int | None:
        if self.returncode is None and _readable(self._told, 0):
            self.returncode = self._number()
            os.close(self._told)
        return self.returncode

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """Wait; standard output and standard error."""
        if self.returncode is None and not _readable(self._told, timeout):
            raise subprocess.TimeoutExpired("a fork", timeout)
        self.poll()
        texts = []
        for file in self._said:
            file.seek(0)
            texts.append(file.read().decode())
        return texts[0], texts[1]

    def said_so_far(self) -> str:
        """Standard error until now."""
        file = self._said[1]
        return os.pread(file.fileno(), 2**20, 0).decode(errors="replace")

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _readable(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


@functools.cache
def _server() -> socket.socket:
    """One a session. It ends when pytest does: its socket is closed then."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.forks", str(theirs.fileno())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()], start_new_session=True)
    theirs.close()
    return ours


# ------------------------------------------------------------------ in the process that is forked


def serve(place: socket.socket) -> int:
    """Fork for each order; returns in the forks only, and then what to exit with."""
    import gan_inversion

    for module in pkgutil.walk_packages(gan_inversion.__path__, "gan_inversion."):
        if module.name != "gan_inversion.execution.ray":  # Ray starts threads
            importlib.import_module(module.name)
    _parse_configs()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the watchers
    while True:
        message, fds, _, _ = socket.recv_fds(place, 2**20, 3)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            place.close()
            return _watch(json.loads(message), *fds)
        for descriptor in fds:
            os.close(descriptor)


def _parse_configs() -> None:
    """Files of `configs/`, which each fork would parse anew."""
    from gan_inversion import cli
    from tests import composing

    for owner, name, replacement in composing.once():
        setattr(owner, name, replacement)
    cli.compose("family", ["father=a", "mother=b"])
    cli.compose("batch", ["manifest=a"])


def _watch(order: Mapping[str, object], out: int, error: int, tell: int) -> int:
    """Fork once more, so that this process can wait for it: the order's process has its end told, whatever it is."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child:
        with contextlib.suppress(BrokenPipeError):
            os.write(tell, b"%d\n" % child)
            _, status = os.waitpid(child, 0)
            os.write(tell, b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(tell)
    os.setsid()
    os.dup2(out, 1)
    os.dup2(error, 2)
    os.closerange(3, 256)
    os.chdir(str(order["cwd"]))
    os.environ.clear()
    os.environ.update(order["env"])  # type: ignore[arg-type, call-overload]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = list(order["arguments"])  # type: ignore[call-overload]
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(serve(socket.socket(fileno=int(sys.argv[1]))))

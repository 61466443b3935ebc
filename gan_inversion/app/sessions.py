"""What of a visitor is kept, and for how long: a folder that goes with the visit, or after an hour without use."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError

MINUTE = 60.0  # seconds
PREFIX = "gan_inversion_app_"  # of the folder of a page, with the number of its process


@dataclass(eq=False)
class Session:
    """One visit: one tab of a browser."""

    token: str  # in the addresses of its files: who does not know it sees none of them
    folder: Path
    used: float
    uploads: set[Path] = field(default_factory=set)  # what the browser sent, where it arrived
    kept: dict[str, Any] = field(default_factory=dict)  # what was made, by what it is
    asked: deque[float] = field(default_factory=deque)  # when jobs were asked for, in the last minute
    made: int = 0

    def new_folder(self, kind: str) -> Path:
        """For a result; not there yet."""
        self.made += 1
        return self.folder / f"{kind}_{self.made}"

    def forget(self, *kinds: str) -> None:
        """What was made of these kinds, with its folder."""
        for kind in kinds:
            self.kept.pop(kind, None)
            self.kept.pop(f"html of {kind}", None)
            folder = self.kept.pop(f"folder of {kind}", None)
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def keep(self, kind: str, made: Any, folder: Path) -> None:
        """In place of the last of its kind, whose folder goes."""
        before = self.kept.get(f"folder of {kind}")
        self.kept |= {kind: made, f"folder of {kind}": folder}
        if before is not None and before != folder:
            shutil.rmtree(before, ignore_errors=True)


class Sessions:
    """All visits, under one folder that only this user can read. `leave`: told the token of a visit that ends."""

    def __init__(self, minutes: float, visitors: int, per_minute: int, leave: Callable[[str], None]) -> None:
        self.minutes, self.visitors, self.per_minute, self.leave = minutes, visitors, per_minute, leave
        _sweep_up()
        self.root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}_"))
        (self.root / "uploads").mkdir()
        self._by_visit: dict[str, Session] = {}
        self._lock = threading.Lock()

    def of(self, visit: str) -> Session:
        """The session of a visit, begun if there is none. Raises UserError if too many are there."""
        with self._lock:
            session = self._by_visit.get(visit)
            if session is None:
                if len(self._by_visit) >= self.visitors:
                    raise UserError(f"{self.visitors} visitors are here already. Come back when one has left.")
                token = secrets.token_urlsafe(16)
                session = Session(token, self.root / token, time.monotonic())
                session.folder.mkdir()
                self._by_visit[visit] = session
            session.used = time.monotonic()
            return session

    def admit(self, session: Session) -> None:
        """One more job of a visitor. Raises UserError if there were too many within a minute."""
        now = time.monotonic()
        while session.asked and session.asked[0] < now - MINUTE:
            session.asked.popleft()
        if len(session.asked) >= self.per_minute:
            raise UserError(f"{self.per_minute} pictures a minute is the most here. Wait some seconds.")
        session.asked.append(now)

    def file(self, token: str, name: str) -> Path | None:
        """A file of a session, by its address; None if there is none."""
        with self._lock:
            session = next(
                (one for one in self._by_visit.values() if secrets.compare_digest(one.token.encode(), token.encode())),
                None,
            )
        if session is None:
            return None
        try:
            path = (session.folder / name).resolve()
            return path if path.is_relative_to(session.folder.resolve()) and path.is_file() else None
        except (OSError, ValueError):  # no name of a file
            return None

    def end(self, visit: str) -> None:
        """The visitor has left: nothing of it stays."""
        with self._lock:
            session = self._by_visit.pop(visit, None)
            shared = {upload for other in self._by_visit.values() for upload in other.uploads}
        if session is None:
            return
        self.leave(session.token)
        shutil.rmtree(session.folder, ignore_errors=True)
        for upload in session.uploads - shared:
            with contextlib.suppress(OSError):
                upload.unlink()
                upload.parent.rmdir()

    def end_the_unused(self) -> None:
        """Those that were not used for too long."""
        least = time.monotonic() - self.minutes * MINUTE
        with self._lock:
            old = [visit for visit, session in self._by_visit.items() if session.used < least]
        for visit in old:
            self.end(visit)
        with self._lock:  # what a job wrote while its visit was ended
            known = {"uploads"} | {session.token for session in self._by_visit.values()}
            left = [path for path in self.root.iterdir() if path.is_dir() and path.name not in known]
        for path in left:
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """End all of them; nothing is left on the disk."""
        for visit in [*self._by_visit]:
            self.end(visit)
        shutil.rmtree(self.root, ignore_errors=True)


def _sweep_up() -> None:
    """Folders of pages that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*_*"):
        number = folder.name.removeprefix(PREFIX).partition("_")[0]
        if number.isdecimal() and not _is_running(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True

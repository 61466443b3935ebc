"""What happens when something is set or pressed: a job is asked for, its progress shown, then what it made.

Handlers are generators of HTML, one for each place on the page that changes; `layout` wires them. The first argument is the
visit, as the browser's tab has it.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..editing.regions import REGIONS
from ..errors import UserError
from ..image import FORMATS, SUFFIXES
from . import pictures
from .jobs import CANCELLED, FAILED, Job, Jobs
from .sessions import Session, Sessions
from .studio import PARENTS, Made, Studio
from .wishes import Changes, Wishes, name_of

OFTEN = 0.25  # seconds between looks at a job
KINDS = {"child": "child", "siblings": "siblings", "growth": "child growing up"}
LARGEST_SEED = 9999
MADE = ("child", "siblings", "growth", "film", "map", "edit")  # of both faces, or of one

Html = str


@dataclass(frozen=True)
class Events:
    jobs: Jobs
    sessions: Sessions
    studio: Studio
    examples: Sequence[Path]

    # ------------------------------------------------------------------ photographs

    async def view(self, role: str, visit: str, sent: Mapping[str, Any] | None) -> AsyncIterator[Html]:
        """A photograph was given, or taken away: the Model's view of it."""
        session = None
        try:
            session = self.sessions.of(visit)
            self.jobs.cancel(session.token, f"view of the {role}")
            session.forget(f"view_{role}", "drawn", *MADE)  # nothing of another face stays
            shutil.rmtree(session.folder / role, ignore_errors=True)
            mine = session.kept[f"asked of the {role}"] = object()
            if not sent:
                yield pictures.nobody(role)
                return
            photo = self._taken(session, role, sent)
            work = lambda: self.studio.view(session, role, photo)  # noqa: E731
            async for job in self._followed(session, f"view of the {role}", work):
                if not job.over:
                    yield pictures.progress(job, self.jobs)
                elif job.state != CANCELLED:
                    yield pictures.face(session, job.result)
                elif session.kept.get(f"asked of the {role}") is mine:  # else another photograph has taken its place
                    yield pictures.cancelled(job.kind)
        except UserError as error:
            yield pictures.problem(str(error))

    def _taken(self, session: Session, role: str, sent: Mapping[str, Any]) -> Path:
        """The photograph in the visitor's own folder. Raises UserError if it did not arrive."""
        arrived = Path(str(sent.get("path", ""))).resolve()
        if not arrived.is_relative_to((self.sessions.root / "uploads").resolve()) or not arrived.is_file():
            raise UserError("The photograph did not arrive. Give it once more.")
        session.uploads.add(arrived)
        name, other = name_of(str(sent.get("orig_name") or arrived.name)), PARENTS[role == PARENTS[0]]
        if Path(name).suffix.lower() not in SUFFIXES:  # a page, say, which would be served as one
            raise UserError(f"{name}: not a photograph. Use {', '.join(FORMATS)}.")
        if (session.folder / other / name).exists():  # the told line names both
            name = f"{role}_{name}"
        folder = session.folder / role
        folder.mkdir(exist_ok=True)
        return Path(shutil.copyfile(arrived, folder / name))

    def drawn(self) -> list[str]:
        """Two faces to try things on."""
        return [str(path) for path in self.examples]

    # ------------------------------------------------------------------ children

    async def preview(self, visit: str, *values: Any) -> AsyncIterator[tuple[Html, Html]]:
        """A slider moved: the child at once, small. Nothing, before both photographs are there."""
        session, wishes = self.sessions.of(visit), wishes_of(values)

        def show(session: Session, png: bytes) -> Html:  # what was drawn in full meanwhile is better
            if session.kept.get("drawn") == wishes:
                return str(session.kept["html of child"])
            session.kept.pop("drawn", None)  # what stands there now is a preview
            return pictures.preview(session, png)

        if all(f"view_{role}" in session.kept for role in PARENTS) and session.kept.get("drawn") != wishes:
            work = lambda: self.studio.preview(session, wishes)  # noqa: E731
            async for place in self._shown(session, "preview", "child", work, show):
                yield place

    async def children(self, kind: str, visit: str, *values: Any) -> AsyncIterator[tuple[Html, Html]]:
        """In full: one child, siblings, or one at several ages. The last value is how many, or at what ages."""
        session = self.sessions.of(visit)
        wishes, last = wishes_of(values), values[-1]
        more = []
        if kind == "siblings":
            more = [f"siblings={last}"]
        elif kind == "growth":
            more = [f"child.ages=[{','.join(f'{age:g}' for age in sorted(last or []))}]"]

        def work() -> Made:
            if kind == "growth" and len(last or []) < 2:
                raise UserError("Choose two ages or more.")
            return self.studio.children(session, kind, wishes, more)

        def show(session: Session, made: Made) -> Html:
            if kind == "child":
                session.kept["drawn"] = wishes
            return pictures.made(session, made)

        async for place in self._shown(session, KINDS[kind], kind, work, show):
            yield place

    async def film(self, visit: str) -> AsyncIterator[tuple[Html, Html]]:
        """Of the strip that is there."""
        session = self.sessions.of(visit)

        def work() -> Made:
            if "growth" not in session.kept:
                raise UserError("Draw the strip first: the film goes through its ages.")
            return self.studio.film(session, session.kept["growth"])

        async for place in self._shown(session, "film", "film", work, pictures.film):
            yield place

    async def map(self, visit: str) -> AsyncIterator[tuple[Html, Html]]:
        session = self.sessions.of(visit)
        work = lambda: self.studio.map(session)  # noqa: E731
        async for place in self._shown(session, "map", "map", work, pictures.map):
            yield place

    # ------------------------------------------------------------------ edits

    async def edit_preview(self, visit: str, role: str, *values: Any) -> AsyncIterator[tuple[Html, Html]]:
        session = self.sessions.of(visit)
        if f"view_{role}" in session.kept:
            changes = changes_of(values)
            work = lambda: self.studio.edit_preview(session, role, changes)  # noqa: E731
            async for place in self._shown(session, "preview", "edit", work, pictures.preview):
                yield place

    async def edit(self, visit: str, role: str, paste: bool, *values: Any) -> AsyncIterator[tuple[Html, Html]]:
        session, changes = self.sessions.of(visit), changes_of(values)

        def work() -> Made:
            if changes.nothing:
                raise UserError("Nothing is to be changed: move a slider, or choose an age.")
            return self.studio.edit(session, role, changes, paste)

        async for place in self._shown(session, "edit", "edit", work, pictures.edit):
            yield place

    # ------------------------------------------------------------------ jobs

    def cancel(self, visit: str) -> None:
        self.jobs.cancel(self.sessions.of(visit).token)

    def leave(self, visit: str) -> None:
        self.sessions.end(visit)

    async def _shown(
        self, session: Session, kind: str, place: str, work: Callable[[], Any], show: Callable[[Session, Any], Html]
    ) -> AsyncIterator[tuple[Html, Html]]:
        """(the line that tells how far it is, the place where its result goes), until it is there."""
        now = str(session.kept.get(f"html of {place}", ""))
        try:
            async for job in self._followed(session, kind, work):
                if not job.over:
                    yield pictures.progress(job, self.jobs), now
                    continue
                told = pictures.remarks([*dict.fromkeys(job.remarks)])
                if job.state != CANCELLED:
                    now = session.kept[f"html of {place}"] = show(session, job.result) + told
                yield pictures.cancelled(kind) if job.state == CANCELLED else "", now
        except UserError as error:
            yield pictures.problem(str(error)), now

    async def _followed(self, session: Session, kind: str, work: Callable[[], Any]) -> AsyncIterator[Job]:
        """The job, again and again, until it is over. Raises UserError if it is not taken, or failed."""
        self.sessions.admit(session)
        job = self.jobs.submit(kind, session.token, work)
        while not job.over:
            yield job
            await asyncio.sleep(OFTEN)
        if job.state == FAILED:
            raise UserError(job.problem)
        yield job


def dice() -> int:
    return random.randint(0, LARGEST_SEED)


def wishes_of(values: Sequence[Any]) -> Wishes:
    """In the order of the layout: likeness, a region each, whether an age is asked for, age, gender, diversity, seed."""
    likeness, *rest = values
    regions, (aged, age, gender, diversity, seed) = rest[: len(REGIONS)], rest[len(REGIONS) : len(REGIONS) + 5]
    chosen = {name: value for name, value in zip(REGIONS, regions, strict=True) if value}
    return Wishes(likeness, chosen, age if aged else None, gender or None, diversity, int(seed or 0))


def changes_of(values: Sequence[Any]) -> Changes:
    """In the order of the layout: whether an age is asked for, age, gender, a step each of STEPS."""
    aged, age, gender, *steps = values
    return Changes(dict(zip(STEPS, steps, strict=True)), age if aged else None, gender or None)


STEPS = ("smile", "eyes_open", "yaw", "pitch")

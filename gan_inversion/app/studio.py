"""What the page can make, by the commands themselves: so that a told command line has the same bits.

Everything here happens in the thread of `jobs`. What a command reads and writes lies in the visitor's folder, its store too:
a face is inverted once a visit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import cli
from ..commands.demo_photos import drawn_photograph
from ..components import construct
from ..editing.edits import DEFAULT
from ..editing.files import Directions, load_directions
from ..editing.steering import Steering
from ..errors import UserError
from ..image import synthetic_bytes
from ..interfaces import Generator, Inversion
from ..latents import load_latents
from ..report.run_folder import provenance
from .preview import child_at_once, face_at_once
from .sessions import Session
from .wishes import FOLDER, Changes, Wishes, line

PARENTS = ("father", "mother")
EXAMPLES = (3, 5)  # seeds of the two drawn faces
SAMPLES = 60  # random faces on the map
LATENTS = "latents.safetensors"


@dataclass(frozen=True)
class Face:
    """One photograph and what the model makes of it."""

    role: str
    photo: Path
    folder: Path  # of `invert`
    name: str  # of its files
    facts: Mapping[str, Any]  # its entry in metrics.json

    @property
    def latents(self) -> Path:
        return self.folder / f"{self.name}.safetensors"

    def inversion(self) -> Inversion:
        return load_latents(self.latents, "ws")


@dataclass(frozen=True)
class Made:
    """What one job left: a run's folder, what of it is shown, and the lines that make it again."""

    folder: Path
    pictures: Mapping[str, str]  # file -> caption
    lines: tuple[str, ...]
    summary: Mapping[str, Any]


class Studio:
    """typed: what was said of generators, inversions and children on the page's own command line."""

    def __init__(self, typed: Sequence[str], device: str, threads: int) -> None:
        self.typed, self.place = [*typed], [f"device={device}"] * (device != "cpu") + [f"threads={threads}"]
        self.steers = self.edits = self.embeds = False

    def warm_up(self, folder: Path) -> list[Path]:
        """Load the networks, and draw two photographs to try things on."""
        command = self._command("family", ["father=x", "mother=x"])
        generator = command.inverter().load().generator
        self.steers = isinstance(command.child, Steering) and command.conception(generator).directions is not None
        self.embeds = "identity" in command.losses  # the map's neighbours by the same network
        with suppress(UserError):  # a generator of one's own may have none
            self.edits = bool(self.directions(generator).vectors)
        paths = [folder / f"drawn_{role}.jpg" for role in PARENTS]
        for path, seed in zip(paths, EXAMPLES, strict=True):
            drawn_photograph(path, generator, seed)
        return paths

    def directions(self, generator: Generator) -> Directions:
        """Those of edits and of children. Raises UserError if this generator has none."""
        return load_directions(self._directions, generator)

    @property
    def _directions(self) -> str:
        """What was said of those of children holds for edits."""
        said = [one.partition("=")[2] for one in self.typed if one.startswith("child.directions=")]
        return said[-1] if said else DEFAULT

    # ------------------------------------------------------------------ faces

    def view(self, session: Session, role: str, photo: Path) -> Face:
        """Align and invert one photograph. Raises UserError, with the sentence of the command, for one that cannot be."""
        folder = session.new_folder(f"view_{role}")
        try:
            self._run(session, "invert", folder, [f"photos=[{cli._quote(str(photo))}]"])
            reason = ""
        except UserError as error:
            reason = str(error)
        summary = folder / "metrics.json"
        entries: dict[str, Any] = json.loads(summary.read_text())["photos"] if summary.is_file() else {}
        name = next(iter(entries), "")
        facts: dict[str, Any] = entries.get(name, {})
        if reason or "error" in facts:
            shutil.rmtree(folder, ignore_errors=True)
            raise UserError(plain(str(facts.get("error", reason)), session))
        face = Face(role, photo, folder, name, facts)
        session.keep(f"view_{role}", face, folder)
        return face

    # ------------------------------------------------------------------ children

    def preview(self, session: Session, wishes: Wishes) -> bytes:
        """PNG, 256 pixels."""
        father, mother = (face.inversion() for face in both(session))
        command = self._command("family", [*_photos(session), *wishes.arguments(self.steers)])
        generator = command.inverter().load().generator
        pixels = child_at_once(command.conception(generator), father, mother, generator)
        return synthetic_bytes(pixels, {**provenance(generator), "picture": "preview of a child"})

    def children(self, session: Session, kind: str, wishes: Wishes, more: Sequence[str] = ()) -> Made:
        """`family`: one child, siblings, or one at several ages."""
        folder, said = session.new_folder(kind), [*wishes.arguments(self.steers), *more]
        self._run(session, "family", folder, [*_photos(session), *said])
        summary = json.loads((folder / "family.json").read_text())
        captions = {f"{name}.png": _caption(name, told) for name, told in summary["children"].items()}
        made = Made(folder, captions, (self._line("family", [*_names(session), *said]),), summary)
        session.keep(kind, made, folder)
        return made

    def film(self, session: Session, grown: Made) -> Made:
        """`interpolate`: through the ages of a child."""
        folder, names = session.new_folder("film"), [Path(file).stem for file in grown.pictures]
        how = ["frames=24", "equal_speed=true"]

        def stops(root: str) -> str:
            return f"latents=[{','.join(f'{root}/{LATENTS}:{name}' for name in names)}]"

        self._run(session, "interpolate", folder, [stops(str(grown.folder)), *how])
        told = (*grown.lines, self._line("interpolate", [stops(FOLDER), *how], "film"))
        made = Made(folder, {}, told, json.loads((folder / "walk.json").read_text()))
        session.keep("film", made, folder)
        return made

    def map(self, session: Session) -> Made:
        """`atlas`: the parents and every child that is there, among random faces."""
        folder = session.new_folder("map")
        kept = [session.kept[kind] for kind in ("child", "siblings", "growth") if kind in session.kept]
        if not kept:
            raise UserError("There is nobody on the map yet: draw a child first.")
        how = [f"samples={SAMPLES}", f"identity={str(self.embeds).lower()}"]
        self._run(
            session, "atlas", folder, [f"latents=[{','.join(str(made.folder / LATENTS) for made in kept)}]", *how]
        )
        folders = [FOLDER if number == 0 else f"{FOLDER}_{number + 1}" for number in range(len(kept))]
        told = [
            made.lines[0].replace(f"output_dir={FOLDER}", f"output_dir={into}")
            for made, into in zip(kept, folders, strict=True)
        ]
        stored = f"latents=[{','.join(f'{into}/{LATENTS}' for into in folders)}]"
        made = Made(folder, {}, (*told, self._line("atlas", [stored, *how], "map")), {})
        session.keep("map", made, folder)
        return made

    # ------------------------------------------------------------------ edits

    def edit_preview(self, session: Session, role: str, changes: Changes) -> bytes:
        """PNG, 256 pixels."""
        face = one(session, role)
        generator = self._command("family", ["father=x", "mother=x"]).inverter().load().generator
        pixels = face_at_once(face.inversion().latents, changes, self.directions(generator), generator)
        return synthetic_bytes(pixels, {**provenance(generator), "picture": "preview of an edit"})

    def edit(self, session: Session, role: str, changes: Changes, paste: bool) -> Made:
        """`edit`: one parent's face."""
        face, folder = one(session, role), session.new_folder("edit")
        own = [f"directions={self._directions}"] * (self._directions != DEFAULT) + ["paste_back=true"] * paste
        said = [*changes.arguments(), *own]
        self._run(session, "edit", folder, [f"photo={face.photo}", *said])
        summary = json.loads((folder / "edit.json").read_text())
        captions = {"edit.png": "edited", **({"edit_pasted.png": "in its photograph"} if paste else {})}
        made = Made(folder, captions, (self._line("edit", [f"photo={face.photo.name}", *said]),), summary)
        session.keep("edit", made, folder)
        return made

    # ------------------------------------------------------------------ commands

    def _run(self, session: Session, command: str, folder: Path, said: Sequence[str]) -> None:
        store = [f"store.path={session.folder / 'store'}"] if "store" in cli._groups(command) else []
        try:
            cli.call(command, [*self._own(command), *said, *store, *self.place, f"output_dir={folder}"])
        except BaseException:
            if command != "invert":  # whose summary says what was wrong
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def _line(self, command: str, said: Sequence[str], folder: str = FOLDER) -> str:
        return line(command, [*said, *self._own(command), *self.place], folder)

    def _command(self, name: str, said: Sequence[str]) -> Any:
        """Built and not run."""
        typed = cli.typed_as(name, [*self._own(name), *said, *self.place])
        return construct(cli.class_of(name), cli.compose(name, typed), "", cli.said_of(typed))

    def _own(self, command: str) -> list[str]:
        """Of what was said to the page, what this command knows."""
        known = {*cli._body(command), *cli._groups(command)}
        fits = {path.stem for path in cli._options(command, "experiment")}
        keys = [(one, *one.lstrip("+~").partition("=")[::2]) for one in self.typed]
        return [
            one for one, key, value in keys if key.partition(".")[0] in known and (key != "experiment" or value in fits)
        ]


def one(session: Session, role: str) -> Face:
    """Raises UserError if this photograph is not there, or was not found to be a face."""
    face = session.kept.get(f"view_{role}")
    if not isinstance(face, Face):
        raise UserError(f"A photograph of the {role} is needed first.")
    return face


def both(session: Session) -> list[Face]:
    return [one(session, role) for role in PARENTS]


def _photos(session: Session) -> list[str]:
    return [f"{face.role}={face.photo}" for face in both(session)]


def _names(session: Session) -> list[str]:
    return [f"{face.role}={face.photo.name}" for face in both(session)]


def plain(sentence: str, session: Session) -> str:
    """Without the folder, which means nothing to a visitor."""
    for place in sorted((str(path) for path in session.folder.rglob("*") if path.is_dir()), key=len, reverse=True):
        sentence = sentence.replace(f"{place}/", "")
    return sentence.replace(f"{session.folder}/", "")


def _caption(name: str, told: Mapping[str, Any]) -> str:
    """A child in few words."""
    goal = told.get("asked_for", {})
    age = f" at {goal['age']:g}" if goal.get("age") is not None else ""
    number = int(name.removeprefix("child_")[:2]) + 1
    return f"{number}: {goal.get('gender') or 'child'}{age}"

"""What a batch makes of one photograph: its edits, their files, their small pictures and their rows of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..editing.edits import Edit, Edited
from ..editing.files import Directions
from ..inversion.inverter import Inverter
from ..report import edit as report
from ..report.batch_page import thumbnail
from ..report.family import decode, describe_inversion
from ..report.run_folder import Clock, RunFolder
from ..store.inversions import Inverted
from .couples import Item
from .families import TIMINGS, begin_of, of_inversion, set_by


class Wanted(Protocol):
    """What a row asks for."""

    @property
    def paste_back(self) -> bool:
        """Whether edits are put back into the photograph."""

    @property
    def film(self) -> tuple[int, int, int]:
        """Frames, 0 for none; pixels; frames a second."""

    def edits(self) -> list[Edit]:
        """Of the photograph, in order."""


@dataclass(frozen=True)
class EditedPhoto:
    """All that is drawn of one photograph."""

    subject: report.Subject
    edits: Mapping[str, Edited]
    pictures: Mapping[str, np.ndarray]
    directions: Directions
    settings: Mapping[str, Any]
    paste_back: bool
    film: tuple[int, int, int]  # frames, pixels, a second

    @property
    def files(self) -> list[str]:
        pasted = [f"{name}_pasted" for name in self.edits] if self.paste_back else []
        marked = [*(f"{name}.png" for name in (*self.pictures, *pasted, "strip")), "before_after.html"]
        marked += ["pasted.html"] * self.paste_back + ["edit.mp4", "edit.gif"] * (self.film[0] > 0)
        return ["aligned.png", *marked, *(f"{name}.json" for name in marked), "latents.safetensors", TIMINGS,
                report.SUMMARY]  # fmt: skip

    def report(self, folder: RunFolder, inverter: Inverter) -> None:
        generator = inverter.generator
        told = report.report(folder, self.subject, self.edits, self.pictures, generator, self.paste_back)
        if self.film[0]:
            report.film(folder, self.subject, self.edits, self.directions, generator, self.film)
        folder.path(TIMINGS)
        report.finish(folder, self.subject, told, generator, self.settings)

    def thumbs(self) -> dict[str, bytes]:
        assert self.subject.face is not None
        drawn = {f"{name}.jpg": thumbnail(pixels, True) for name, pixels in self.pictures.items()}
        return {"aligned.jpg": thumbnail(self.subject.face.pixels, False), **drawn}

    def rows(self, item: Item, document: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One for each edit, of what edit.json says."""
        assert self.subject.face is not None
        inversion = of_inversion(document["inversion"], "inversion_")
        inversion["photo_sha256"] = document["inversion"]["photo_sha256"]
        begin = [begin_of(item, name, [self.subject.face.warnings]) for name in document["edits"]]
        own = map(_columns, document["edits"].values())
        return [{**one, **more, **inversion, **set_by(item)} for one, more in zip(begin, own, strict=True)]


def draw_edits(
    inverted: Inverted,
    photo: report.Whole,
    wanted: Wanted,
    job: Mapping[str, Any],
    inverter: Inverter,
    clock: Clock,
) -> EditedPhoto:
    """photo: gives the photograph at its full size."""
    generator, latents = inverter.generator, inverted.inversion.latents
    told = describe_inversion(inverted, inverter)
    subject = report.Subject(inverted.inversion, inverted.face, photo, told, tuple(inverter.pursued), job["judge"])
    edits = wanted.edits()
    directions = edits[0].load(generator)
    with clock("edit"):
        made = [edit(latents, directions, generator) for edit in edits]
    named = dict(zip(report.names_of(len(made)), made, strict=True))
    with clock("decode"):
        pictures = decode({"inversion": latents} | {name: one.latents for name, one in named.items()}, generator)
    settings = {**job, "directions": directions.sha256}
    return EditedPhoto(subject, named, pictures, directions, settings, wanted.paste_back, wanted.film)


def _columns(edit: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, what is read before and after, what else moved, and who it still is."""
    asked = {f"asked_{name}": wish for name, wish in edit["asked_for"].items() if name != "steps"}
    asked |= {f"asked_steps.{name}": step for name, step in edit["asked_for"].get("steps", {}).items()}
    read = {f"read_{_name(name)}": value for name, value in edit["after"].items()}
    before = {f"before_{_name(name)}": value for name, value in edit["before"].items()}
    moved = {f"moved_{name}": value for name, value in edit["side_effects"].items()}
    judged = edit["identity"] or {}
    verdict = {f"verdict{part}": judged.get(name) for part, name in _VERDICT.items()}
    return {**asked, **read, "reached": edit["reached"], **verdict, "p_norm": edit["p_norm"], **before, **moved}


_VERDICT = {"": "verdict", "_network": "network", "_value": "value"}


def _name(label: str) -> str:
    return "male" if label == "gender" else label  # what is read of a gender is a probability

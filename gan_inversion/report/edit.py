"""The run folder of one face's edits: pictures, a strip, a slider, a film, and edit.json with all readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..blending.walk import Walk
from ..editing.edits import NOTICED, Edited
from ..editing.files import Directions
from ..faces.paste import paste_back
from ..image import COMPOSITE_SOURCE_TYPE, Photo, save_composite, to_tensor
from ..interfaces import AlignedFace, Generator, Inversion
from ..latents import save_latents
from ..losses.prior import p_norm
from ..metrics.reconstruction import compare
from ..metrics.verdict import Verdict, judge, verdict_of
from ..runtime import versions
from . import video
from .contact_sheet import tiles_sheet
from .family import facts_of
from .pages import fitted, save_before_after
from .run_folder import RunFolder, footer_of

SUMMARY = "edit.json"

Whole = Callable[[], Photo]  # reads a photograph at its full size


@dataclass(frozen=True)
class Subject:
    """Whose face is edited: its inversion, and the photograph where there is one."""

    inversion: Inversion
    face: AlignedFace | None = None
    photo: Whole | None = None
    told: Mapping[str, Any] | None = None  # what the summary says of the inversion
    pursued: Sequence[str] = ()  # metrics that were optimised
    judge: str | None = None  # the metric that verdicts are given by; None: the best that this machine has


def names_of(count: int) -> list[str]:
    return ["edit"] if count == 1 else [f"edit_{i:02d}" for i in range(count)]


def caption_of(edited: Edited) -> str:
    """What was asked for, in few words."""
    asked = {**edited.asked, **{f"{name} by": step for name, step in edited.raw.items()}}
    return " ".join(f"{name} {wish if isinstance(wish, str) else f'{wish:g}'}" for name, wish in asked.items())


def report(
    folder: RunFolder,
    subject: Subject,
    edits: Mapping[str, Edited],
    pictures: Mapping[str, np.ndarray],
    generator: Generator,
    paste: bool,
) -> dict[str, dict[str, Any]]:
    """Write everything but the film; returns what the summary will say of each edit.

    pictures: of `inversion` and of each edit, uint8 [R, R, 3].
    """
    facts = facts_of(generator, [subject.inversion])
    before = pictures["inversion"] if subject.face is None else subject.face.pixels
    for name, picture in pictures.items():
        folder.synthetic(f"{name}.png", picture, {**facts, "picture": name})
    tiles = {"inversion": pictures["inversion"]}
    if subject.face is not None:
        folder.crop("aligned.png", subject.face)
        tiles = {"photograph": subject.face.pixels, **tiles}
    tiles |= {caption_of(edited): pictures[name] for name, edited in edits.items()}
    sheet = tiles_sheet(tiles, footer_of(facts), columns=min(len(tiles), 5))
    folder.synthetic("strip.png", sheet, {**facts, "picture": "before and after"})
    pairs = {"before": before} | {caption_of(edited): pictures[name] for name, edited in edits.items()}
    save_before_after(folder, "before_after.html", "before and after", pairs, facts)
    if paste:
        _paste(folder, subject, edits, pictures, facts)
    latents = {"inversion": subject.inversion.latents} | {name: edited.latents for name, edited in edits.items()}
    save_latents(folder.path("latents.safetensors"), latents, generator.sha256, "interrupted" in facts)
    return {
        name: _describe(edited, _verdict(before, pictures[name], subject, generator), generator)
        for name, edited in edits.items()
    }


def _verdict(before: np.ndarray, after: np.ndarray, subject: Subject, generator: Generator) -> Verdict | None:
    """Is the face of one picture still that of the other? Nobody can say of what is no face."""
    if generator.domain != "face":
        return None
    return verdict_of(compare(to_tensor(before), to_tensor(after), [subject.judge or judge()]), subject.pursued)


def _paste(
    folder: RunFolder,
    subject: Subject,
    edits: Mapping[str, Edited],
    pictures: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
) -> None:
    """`NAME_pasted.png` at the photograph's own size, one photograph in memory at a time, and a slider over both."""
    assert subject.face is not None and subject.photo is not None
    shown: dict[str, np.ndarray] = {}
    for name, edited in edits.items():
        photo = subject.photo()
        shown.setdefault("photograph", fitted(photo.pixels))
        hair = {"hair_darkness"} & {*edited.asked, *edited.raw}  # which the outline of a face would leave out
        paste_back(photo.pixels, pictures[name], subject.face, head=bool(hair))
        marks = {**facts, "DigitalSourceType": COMPOSITE_SOURCE_TYPE, "picture": f"{name} in its photograph"}
        folder.path(f"{name}_pasted.png.json")
        save_composite(folder.path(f"{name}_pasted.png"), photo.pixels, marks, folder.mark)
        shown[caption_of(edited)] = fitted(photo.pixels)
    save_before_after(folder, "pasted.html", "before and after, in the photograph", shown, facts)


def film(
    folder: RunFolder,
    subject: Subject,
    edits: Mapping[str, Edited],
    directions: Directions,
    generator: Generator,
    how: tuple[int, int, int],
) -> None:
    """`edit.mp4` and `edit.gif`: through all edits, or from the inversion to the only one. how: frames, pixels, a second."""
    frames, size, fps = how
    stops = [edited.latents for edited in edits.values()]
    stops = stops if len(stops) > 1 else [subject.inversion.latents, *stops]
    route = Walk(stops, "p_lerp" if directions.space == "p" else "lerp", generator.statistics().mean)
    positions = np.linspace(0, route.legs, frames)
    drawn = video.draw_frames(generator, route, positions, min(size, generator.resolution))
    video.save_walk(folder, drawn, fps, facts_of(generator, [subject.inversion]), "edit")


def finish(
    folder: RunFolder, subject: Subject, told: Mapping[str, Any], generator: Generator, settings: Mapping[str, Any]
) -> None:
    """edit.json, the last file."""
    document = {
        **facts_of(generator, [subject.inversion]),
        "inversion": dict(subject.told or {}),
        "edits": told,
        "settings": dict(settings),
        "versions": versions(),
    }
    folder.finish(SUMMARY, document)


def _describe(edited: Edited, verdict: Verdict | None, generator: Generator) -> dict[str, Any]:
    effects = edited.side_effects
    return {
        "asked_for": {**edited.asked, **({"steps": dict(edited.raw)} if edited.raw else {})},
        "reached": edited.reached,
        "steps": dict(edited.steps),
        "before": dict(edited.before),
        "after": dict(edited.after),
        "side_effects": effects,
        "noticed": [name for name, change in effects.items() if abs(change) >= NOTICED],
        "identity": verdict.describe() if verdict else None,
        "p_norm": p_norm(edited.latents.ws[None], generator.statistics()).item(),
    }


def table(told: Mapping[str, Mapping[str, Any]]) -> str:
    """What was read before and after, and what else moved, for the terminal."""
    lines = []
    for name, one in told.items():
        identity = one["identity"]
        verdict = f"{identity['verdict']} ({identity['network']} {identity['value']:.2f})" if identity else "not judged"
        lines.append(f"{name}: {verdict}{'' if one['reached'] else '; not all was reached'}")
        for label, before in one["before"].items():
            moved = one["side_effects"].get(label)
            note = "asked for" if moved is None else f"side effect {moved:+.1f} deviations"
            lines.append(f"  {label:13} {before:7.2f} -> {one['after'].get(label, math.nan):7.2f}   {note}")
    return "\n".join(lines)

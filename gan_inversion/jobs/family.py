"""The verbs of the main job: load, align, (invert), blend, decode, report."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..blending.blends import Blend, make_child
from ..evaluation.reconstruction import report as with_status
from ..image import Photo, load_photo, save_photo_crop, save_synthetic, to_uint8, write_atomically
from ..interfaces import AlignedFace, Aligner, Generator, Inversion, Loss
from ..losses.prior import p_norm
from ..report.contact_sheet import ParentRow, contact_sheet
from ..report.run_folder import provenance, versions
from ..report.trace import save_trace
from .inversions import Inverted
from .store import save_latents, to_json

log = logging.getLogger(__name__)


def load(paths: Mapping[str, str]) -> dict[str, Photo]:
    """Role -> photograph."""
    return {role: load_photo(path) for role, path in paths.items()}


def align(
    photos: Mapping[str, Photo], aligner: Aligner, numbers: Mapping[str, int | None], folder: Path
) -> list[AlignedFace]:
    """One aligned face a role; where a photograph offers a choice, a numbered preview is left in `folder`."""
    return [aligner(photo, role, numbers.get(role), folder / f"{role}_faces.png") for role, photo in photos.items()]


def blend(
    recipes: Mapping[int, Blend], father: Inversion, mother: Inversion, generator: Generator
) -> dict[str, Tensor]:
    """Child's name -> ws [L, D]."""
    return {f"child_{n:02d}": make_child(recipe, father, mother, generator) for n, recipe in recipes.items()}


def decode(latents: Mapping[str, Tensor], generator: Generator) -> dict[str, np.ndarray]:
    """Name -> uint8 [R, R, 3], one by one, so that a picture does not depend on its neighbours."""
    with torch.no_grad():
        return {name: to_uint8(generator.synthesis(ws[None].to(generator.device))) for name, ws in latents.items()}


def save_children(
    folder: Path,
    latents: Mapping[str, Tensor],
    pictures: Mapping[str, np.ndarray],
    recipes: Mapping[int, Blend],
    generator: Generator,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the PNGs; returns each child's weights and plausibility for the report."""
    summary = {}
    for (name, ws), recipe in zip(latents.items(), recipes.values(), strict=True):
        plausibility = p_norm(ws[None], generator.statistics()).item()
        summary[name] = {"mother_weights": recipe.weights(len(ws)).tolist(), "p_norm": plausibility}
        save_synthetic(folder / f"{name}.png", pictures[name], {**provenance(generator), **facts, "picture": name})
    return summary


def report_children(
    folder: Path,
    recipes: Mapping[int, Blend],
    latents: Mapping[str, Tensor],
    pictures: Mapping[str, np.ndarray],
    generator: Generator,
    settings: Mapping[str, Any],
) -> None:
    """The run folder of children blended from stored latents; children.json comes last."""
    summary = save_children(folder, latents, pictures, recipes, generator, {})
    save_latents(folder / "latents.safetensors", latents, generator.sha256)
    listed = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "children.json")
    document = {
        **provenance(generator),
        "children": summary,
        "settings": dict(settings),
        "versions": versions(),
        "files": listed,
    }
    write_atomically(folder / "children.json", to_json(document))


def report(
    folder: Path,
    photos: Mapping[str, Photo],
    inverted: Sequence[Inverted],
    recipes: Mapping[int, Blend],
    latents: Mapping[str, Tensor],
    pictures: Mapping[str, np.ndarray],
    generator: Generator,
    losses: Mapping[str, Loss],
    settings: Mapping[str, Any],
) -> Path:
    """Write the run folder; returns the contact sheet's path. family.json is the last file, and lists the others."""
    interrupted = any(not item.inversion.finished for item in inverted)
    facts = {"interrupted": True} if interrupted else {}
    parents, rows, own = {}, [], {}
    for item in inverted:
        role, metrics = item.face.name, with_status(item.record.metrics, losses)
        save_photo_crop(folder / f"{role}.png", item.face.pixels)
        save_synthetic(
            folder / f"{role}_inversion.png",
            pictures[role],
            {**provenance(generator), **facts, "picture": f"inversion of the {role}'s photograph"},
        )
        if item.trace:
            save_trace(folder, role, item.trace)
        own[role] = item.inversion.ws
        parents[role] = {
            "photo_sha256": item.face.photo_sha256,
            "quad": item.face.quad,
            "warnings": item.face.warnings,
            "store_key": item.key,
            "metrics": metrics,
            "losses": item.inversion.losses,
            "best_step": item.inversion.best_step,
            "steps": item.inversion.steps,
            "stopped": item.inversion.stopped,
            "settings": item.inversion.settings,
        }
        photo = photos[role]
        quad = [(x * photo.reduced, y * photo.reduced) for x, y in item.face.quad]
        held = next(
            (
                f"{n.replace('_', '-').upper()} {m['value']:.3f}"
                for n, m in metrics.items()
                if m["status"] == "held out"
            ),
            "",
        )
        rows.append(ParentRow(role, photo.pixels, quad, item.face.pixels, pictures[role], held))
    drawn = {name: pictures[name] for name in latents}
    summary = save_children(folder, latents, drawn, recipes, generator, facts)
    footer = f"synthetic faces, drawn by {generator.name}; not a prediction of any real child" + (
        " - INTERRUPTED" if interrupted else ""
    )
    captions = {("child" if len(drawn) == 1 else name.replace("_", " ")): picture for name, picture in drawn.items()}
    sheet = folder / "contact_sheet.png"
    save_synthetic(
        sheet, contact_sheet(rows, captions, footer), {**provenance(generator), **facts, "picture": "contact sheet"}
    )
    save_latents(folder / "latents.safetensors", {**own, **latents}, generator.sha256)
    listed = sorted(
        path.name for path in folder.iterdir() if path.is_file() and path.name not in ("family.json", "timings.json")
    )
    document = {
        **provenance(generator),
        "interrupted": interrupted,
        "parents": parents,
        "children": summary,
        "settings": dict(settings),
        "versions": versions(),
        "files": [*listed, "timings.json"],
    }
    write_atomically(folder / "family.json", to_json(document))
    return sheet


def save_timings(folder: Path, seconds: Mapping[str, float]) -> None:
    """Apart from the results, which are the same from run to run; these are not."""
    write_atomically(
        folder / "timings.json",
        to_json({"seconds": dict(seconds), "cores": os.cpu_count(), "threads": torch.get_num_threads()}),
    )


def say_goodbye(sheet: Path, inverted: Sequence[Inverted]) -> None:
    """Where the result is; and, if it was cut short, an exit code that says so."""
    print(f"contact sheet: {sheet}")
    if any(not item.inversion.finished for item in inverted):
        raise KeyboardInterrupt

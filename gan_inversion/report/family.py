"""The verbs of the main job: load, align, (invert), blend, decode, report."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..blending.drawn_parent import OTHER, DrawnParent
from ..blending.offspring import Child
from ..blending.pedigree import Pedigree
from ..errors import UserError
from ..image import Photo, load_photo, to_uint8
from ..interfaces import AlignedFace, Aligner, Generator, Inversion, Latents
from ..inversion.inverter import Inverter
from ..latents import render, save_latents, to_json
from ..losses.prior import p_norm
from ..metrics.kept_traits import compare_traits
from ..metrics.reconstruction import report as with_status
from ..runtime import cores, versions
from ..store.inversions import Failed, Inverted
from .contact_sheet import ParentRow, contact_sheet, tree_sheet
from .run_folder import RunFolder, footer_of, provenance
from .trace import masks_of, save_trace, veiled

log = logging.getLogger(__name__)

SUMMARY = "family.json"


def load(paths: Mapping[str, str]) -> dict[str, Photo]:
    """Role -> photograph."""
    return {role: load_photo(path) for role, path in paths.items()}


def align(
    photos: Mapping[str, Photo], aligner: Aligner, numbers: Mapping[str, int | None], folder: RunFolder
) -> list[AlignedFace]:
    """One aligned face a role; where a photograph offers a choice, a numbered preview is left in `folder`."""
    faces = []
    for role, photo in photos.items():
        preview = folder.root / f"{role}_faces.png"
        faces.append(aligner(photo, role, numbers.get(role), preview))
        if preview.exists():
            folder.path(preview.name)
    return faces


def parents(
    faces: Sequence[AlignedFace], inverted: Sequence[Inverted], failed: Sequence[Failed]
) -> dict[str, Inversion]:
    """Role -> inversion. Raises UserError if one failed, KeyboardInterrupt if one was not begun."""
    if failed:
        raise UserError("; ".join(item.reason for item in failed))
    if len(inverted) < len(faces):
        raise KeyboardInterrupt
    return {item.face.name: item.inversion for item in inverted}


def decode(latents: Mapping[str, Latents], generator: Generator) -> dict[str, np.ndarray]:
    """Name -> uint8 [R, R, 3], one by one, so that a picture does not depend on its neighbours."""
    return {name: to_uint8(render(generator, one)) for name, one in latents.items()}


def save_children(
    folder: RunFolder,
    children: Mapping[str, Child],
    pictures: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    generator: Generator,
) -> dict[str, Any]:
    """Write the PNGs; returns what the summary says of each child: inheritance, goal, reading and plausibility."""
    summary = {}
    for name, child in children.items():
        plausibility = p_norm(child.latents.ws[None], generator.statistics()).item()
        summary[name] = {**child.describe(), "p_norm": plausibility}
        folder.synthetic(f"{name}.png", pictures[name], {**facts, "picture": name})
    return summary


def facts_of(generator: Generator, parents: Sequence[Inversion]) -> dict[str, Any]:
    """What each picture says of its making."""
    return {**provenance(generator), **({} if all(p.finished for p in parents) else {"interrupted": True})}


def report_children(
    folder: RunFolder,
    children: Mapping[str, Child],
    pictures: Mapping[str, np.ndarray],
    generator: Generator,
    parents: Sequence[Inversion],
    settings: Mapping[str, Any],
) -> None:
    """The run folder of children blended from stored latents; children.json comes last."""
    facts = facts_of(generator, parents)
    summary = save_children(folder, children, pictures, facts, generator)
    latents = {name: child.latents for name, child in children.items()}
    save_latents(folder.path("latents.safetensors"), latents, generator.sha256, "interrupted" in facts)
    folder.finish("children.json", {**facts, "children": summary, "settings": dict(settings), "versions": versions()})


def report(
    folder: RunFolder,
    photos: Mapping[str, Photo],
    inverted: Sequence[Inverted],
    children: Mapping[str, Child],
    pictures: Mapping[str, np.ndarray],
    inverter: Inverter,
    settings: Mapping[str, Any],
    drawn: DrawnParent | None = None,
) -> Path:
    """Write the run folder; returns the contact sheet's path. family.json is the last file, and lists the others.

    drawn: the parent without a photograph; every picture says so. Raises KeyboardInterrupt, and writes nothing, if this
    run was cut short and an earlier one of the same job was not.
    """
    generator = inverter.generator
    facts = facts_of(generator, [item.inversion for item in inverted])
    facts |= {"drawn_parent": drawn.role} if drawn else {}
    interrupted = "interrupted" in facts
    if interrupted and folder.keeps_finished(SUMMARY):
        log.warning("%s: the finished result of an earlier run is kept", folder.root)
        raise KeyboardInterrupt
    parents, rows = {}, dict[str, ParentRow]()
    if drawn:
        parents[drawn.role] = drawn.describe()
        shown = pictures[drawn.role]
        folder.synthetic(f"{drawn.role}_drawn.png", shown, {**facts, "picture": f"a drawn {drawn.role}, nobody"})
        rows[drawn.role] = ParentRow(drawn.role, None, (), None, shown, drawn.caption)
    for item in inverted:
        role, photo = item.face.name, photos[item.face.name]
        folder.crop(f"{role}.png", item.face)
        folder.synthetic(
            f"{role}_inversion.png", pictures[role], {**facts, "picture": f"inversion of the {role}'s photograph"}
        )
        if item.trace:
            save_trace(folder, role, item.trace, facts)
        parents[role] = {**describe_inversion(item, inverter), "quad": item.face.quad}
        quad = [(x * photo.reduced, y * photo.reduced) for x, y in item.face.quad]
        held_out = [(n, m["value"]) for n, m in parents[role]["metrics"].items() if m["status"] == "held out"]
        remark = f"{held_out[0][0].replace('_', '-').upper()} {held_out[0][1]:.3f}" if held_out else ""
        masks = masks_of(inverter.losses) if item.trace else {}
        aligned = veiled(item.face.pixels, masks) if masks else item.face.pixels
        looked_at = ", ".join(f"{kind} for {' and '.join(names)}" for kind, names in masks.items())
        rows[role] = ParentRow(role, photo.pixels, quad, aligned, pictures[role], remark, item.verdict, looked_at)
    summary = save_children(folder, children, pictures, facts, generator)
    if generator.domain == "face":
        for name, traits in compare_traits(pictures, children).items():
            summary[name]["traits"] = traits
    captions = {child.caption(len(children) == 1): pictures[name] for name, child in children.items()}
    sheet = contact_sheet([rows[role] for role in OTHER], captions, footer_of(facts))
    path = folder.synthetic("contact_sheet.png", sheet, {**facts, "picture": "contact sheet"})
    own = {item.face.name: item.inversion.latents for item in inverted}
    own |= {drawn.role: drawn.inversion.latents} if drawn else {}
    latents = {name: child.latents for name, child in children.items()}
    save_latents(folder.path("latents.safetensors"), {**own, **latents}, generator.sha256, interrupted)
    document = {
        **facts,
        "interrupted": interrupted,
        "parents": parents,
        "children": summary,
        "settings": dict(settings),
        "versions": versions(),
    }
    folder.path("timings.json")
    folder.finish(SUMMARY, document)
    return path


def report_tree(
    folder: RunFolder,
    tree: Pedigree,
    inverted: Sequence[Inverted],
    born: Mapping[str, Child],
    latents: Mapping[str, Latents],
    pictures: Mapping[str, np.ndarray],
    generator: Generator,
    settings: Mapping[str, Any],
) -> Path:
    """The run folder of generations; returns the path of the family tree. generations.json comes last."""
    facts = provenance(generator)
    summary = {}
    for name, child in born.items():
        norm = p_norm(child.latents.ws[None], generator.statistics()).item()
        summary[name] = {**child.describe(), "p_norm": norm}
        folder.synthetic(f"{name}.png", pictures[name], {**facts, "picture": name})
    verdicts = {item.face.name: str(item.verdict or "inverted photograph") for item in inverted}
    for item in inverted:
        folder.crop(f"{item.face.name}.png", item.face)
    for name in tree.founders:
        folder.synthetic(f"{name}_inversion.png", pictures[name], {**facts, "picture": f"inversion of {name}"})
    captions = {name: f"{name}: {verdicts.get(name, 'stored latents')}" for name in tree.founders}
    captions |= {name: child.caption(True).replace("child", name, 1) for name, child in born.items()}
    levels = tree.generations
    rows = [[name for name in levels if levels[name] == level] for level in range(max(levels.values()) + 1)]
    unions = [((one.father, one.mother), one.children) for one in tree.unions]
    sheet = tree_sheet(rows, unions, pictures, captions, footer_of(facts))
    path = folder.synthetic("family_tree.png", sheet, {**facts, "picture": "family tree"})
    save_latents(folder.path("latents.safetensors"), latents, generator.sha256)
    document = {"born": summary, "generations": levels, "verdicts": verdicts}
    folder.finish("generations.json", {**facts, **document, "settings": dict(settings), "versions": versions()})
    return path


def describe_inversion(item: Inverted, inverter: Inverter) -> dict[str, Any]:
    """All that a summary says of one inversion; the photograph by its hash."""
    inversion = item.inversion
    return {
        "status": "done" if inversion.finished else "interrupted",
        "photo_sha256": item.face.photo_sha256,
        "warnings": item.face.warnings,
        "store_key": item.key,
        "metrics": with_status(item.record.metrics, inverter.pursued),
        **({"identity": item.verdict.describe()} if item.verdict else {}),
        "losses": inversion.losses,
        "best_step": inversion.best_step,
        "steps": inversion.steps,
        "stopped": inversion.stopped,
        "settings": inversion.settings,
    }


def save_timings(folder: RunFolder, seconds: Mapping[str, float]) -> None:
    """Apart from the results, which are the same from run to run; these are not."""
    machine = {"cores": cores(), "threads": torch.get_num_threads()}
    folder.write("timings.json", to_json({"seconds": dict(seconds), **machine}))


def say_goodbye(sheet: Path, inverted: Sequence[Inverted]) -> None:
    """Where the result is; and, if it was cut short, an exit code that says so."""
    print(f"contact sheet: {sheet}")
    if any(not item.inversion.finished for item in inverted):
        raise KeyboardInterrupt

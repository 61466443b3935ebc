"""What a batch makes of a couple: the family, its files, its small pictures and its rows of the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..blending.offspring import Child, Conception
from ..errors import UserError
from ..image import Photo
from ..inversion.inverter import Inverter
from ..report.batch_page import thumbnail
from ..report.family import SUMMARY, decode, report
from ..report.run_folder import Clock, RunFolder
from ..store.inversions import Inverted
from .couples import Item, prefix_of

VERDICT = {"": "verdict", "_network": "network"}  # ending of a column -> what it tells of a parent's verdict
FACTS = ("stopped", "steps", "store_key")  # of an inversion, for its row
TIMINGS, SHEET = "timings.json", "contact_sheet"


@dataclass(frozen=True)
class Family:
    """All that is drawn of one couple."""

    photos: Mapping[str, Photo]
    inverted: Sequence[Inverted]
    children: Mapping[str, Child]
    pictures: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]

    @property
    def files(self) -> list[str]:
        drawn = [f"{name}_inversion" if name in self.photos else name for name in self.pictures] + [SHEET]
        crops, pictures = [f"{role}.png" for role in self.photos], [f"{name}.png" for name in drawn]
        return [*crops, *pictures, *(f"{name}.json" for name in pictures), "latents.safetensors", TIMINGS, SUMMARY]

    def report(self, folder: RunFolder, inverter: Inverter) -> None:
        report(folder, self.photos, self.inverted, self.children, self.pictures, inverter, self.settings)

    def thumbs(self) -> dict[str, bytes]:
        small = {f"{item.face.name}.jpg": thumbnail(item.face.pixels, False) for item in self.inverted}
        for name, pixels in self.pictures.items():
            small[f"{name}_inversion.jpg" if name in self.photos else f"{name}.jpg"] = thumbnail(pixels, True)
        return small

    def rows(self, item: Item, document: Mapping[str, Any]) -> list[dict[str, Any]]:
        return rows_of(item, document, [one.face.warnings for one in self.inverted])


def draw_family(
    name: str,
    photos: Mapping[str, Photo],
    inverted: Sequence[Inverted],
    conception: Conception,
    job: Mapping[str, Any],
    inverter: Inverter,
    clock: Clock,
) -> Family:
    """Raises UserError, naming the couple, for children whose latents are not finite."""
    father, mother = (one.inversion for one in inverted)
    with clock("blend"):
        children = conception(father, mother, inverter.generator, lambda numbers: numbers)
    for child, made in children.items():
        if not bool(made.latents.ws.isfinite().all()):
            raise UserError(f"{name}: {child} has latents that are not finite. Look at this row's settings.")
    parents = {"father": father.latents, "mother": mother.latents}
    with clock("decode"):
        of_children = {child: made.latents for child, made in children.items()}
        pictures = decode({**parents, **of_children}, inverter.generator)
    hashes = {f"{role}_sha256": photo.sha256 for role, photo in photos.items()} | conception.files
    return Family(photos, inverted, children, pictures, {**job, **hashes})


def rows_of(couple: Item, document: Mapping[str, Any], warnings: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """A row of the table for each child, of what family.json says."""
    parents: dict[str, Any] = {}
    for role, parent in document["parents"].items():
        parents |= of_inversion(parent, prefix_of(role)) | {f"{role}_photo_sha256": parent["photo_sha256"]}
    rows = []
    for name, child in document["children"].items():
        asked, read = child.get("asked_for", {}), child.get("read_by_what_steered", {})
        told = {
            "asked_age": asked.get("age"),
            "asked_gender": asked.get("gender"),
            "read_age": read.get("age"),
            "read_male": read.get("male"),
            "reached": child.get("reached"),
            "p_norm": child["p_norm"],
            **_traits(child.get("traits")),
        }
        own = {"seed": document["settings"]["seed"], **{k: value for k, value in told.items() if value is not None}}
        rows.append({**begin_of(couple, name, warnings), **own, **parents, **set_by(couple)})
    return rows


def of_inversion(told: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Columns of what a summary says of one inversion."""
    columns = {f"{prefix}{name}": metric["value"] for name, metric in told["metrics"].items()}
    columns |= {f"{prefix}{fact}": told[fact] for fact in FACTS}
    columns["inversion_seed"] = told["settings"]["seed"]
    if "identity" in told:
        columns |= {f"{prefix}verdict{part}": told["identity"][name] for part, name in VERDICT.items()}
    return columns


def begin_of(item: Item, drawn: str, warnings: Sequence[Sequence[str]] = (), **other: Any) -> dict[str, Any]:
    """The first columns of any row. `other`: what it says instead of done, and why."""
    told = "; ".join(remark for remarks in warnings for remark in remarks) or None
    status = {"status": "done", "error": None, **({} if other else {"warnings": told}), **other}
    return {"id": item.id, item.DRAWN: drawn, **status, **item.photos, **dict(item.notes)}


def set_by(item: Item) -> dict[str, Any]:
    """Columns of what the row itself had set."""
    return {
        f"set_{key}": json.dumps(value) if isinstance(value, (list, dict)) else value
        for key, value in item.settings
        if key != "seed"
    }


def _traits(told: Mapping[str, Any] | None) -> dict[str, Any]:
    """Columns of the colours of skin and hair, the child's and its parents', and of what lies between them."""
    if told is None:
        return {}
    columns = {
        f"{prefix}{reading}": told[who][reading]
        for who, prefix in (("child", "read_"), ("father", "father_"), ("mother", "mother_"))
        for reading in ("ita", "hair_l")
    }
    return {**columns, **{f"{trait}_between": kept for trait, kept in told["between"].items()}}

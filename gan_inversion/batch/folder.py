"""What a batch leaves: a folder and thumbnails for each couple, complete once its marker is there.

couples/ID/...           as of a single family, with timings.json apart
thumbs/ID/NAME.jpg       for the report
couples/ID/begun.json    while they are written: their names, so that what a killed run left is known as its own
couples/ID/done.json     written last: checksums of the others, and the couple's rows of the table
couples/ID/failed.json   instead of all of these: why there is no child
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..blending.offspring import Child
from ..errors import StorageError
from ..image import Photo
from ..inversion.inverter import Inverter
from ..latents import hash_of, to_json
from ..report.batch_page import thumbnail
from ..report.family import SUMMARY, report, save_timings
from ..report.run_folder import RunFolder
from ..storage import Folder, json_object
from ..store.inversions import Inverted
from .couples import Couple

COUPLES, THUMBS, DONE, FAILED, TIMINGS = "couples", "thumbs", "done.json", "failed.json", "timings.json"
BEGUN, SHEET = "begun.json", "contact_sheet"
VERDICT = {"": "verdict", "_network": "network"}  # ending of a column -> what it tells of a parent's verdict
PART = re.compile(r"\..+\.[0-9a-f]{12}\.part")  # how `storage.write_atomically` calls what is not whole yet


@dataclass(frozen=True)
class Family:
    """All that is drawn of one couple."""

    photos: Mapping[str, Photo]
    inverted: Sequence[Inverted]
    children: Mapping[str, Child]
    pictures: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]


def save_couple(
    output: Folder, couple: Couple, identity: str, family: Family, inverter: Inverter, clock: Mapping[str, float]
) -> None:
    """Write a couple's folder and thumbnails; the marker last. What an earlier attempt left is removed first."""
    place, thumbs = output / COUPLES / couple.id, output / THUMBS / couple.id
    clear(output, couple.id)
    files = files_of(family)
    place.write(BEGUN, to_json({"files": files}))
    with _staged(place) as root:
        folder = RunFolder(root)
        begin = time.perf_counter()
        report(folder, family.photos, family.inverted, family.children, family.pictures, inverter, family.settings)
        spent = {**clock, "report": time.perf_counter() - begin}
        save_timings(folder, {part: round(seconds, 3) for part, seconds in spent.items()})
        names = sorted({*folder.written, SUMMARY} - {TIMINGS})
        assert set(names) < set(files)  # or a killed run would leave what nobody knows
        written = {name: (root / name).read_bytes() for name in names}
        document = json.loads(written[SUMMARY])
    small = thumbs_of(family)
    for name, data in small.items():
        thumbs.write(name, data)
    sums = {name: [len(data), hash_of(data)] for name, data in written.items()}
    small_sums = {name: [len(data), hash_of(data)] for name, data in small.items()}
    rows = rows_of(couple, document, [item.face.warnings for item in family.inverted])
    marker = {"couple": identity, "files": sums, "thumbs": small_sums, "rows": rows}
    place.remove(BEGUN)
    place.write(DONE, to_json(marker))


def save_failure(output: Folder, couple: Couple, identity: str, reason: str) -> None:
    """Write why there is no child, instead of one."""
    clear(output, couple.id)
    (output / COUPLES / couple.id).write(FAILED, to_json({"couple": identity, "error": reason}))


def files_of(family: Family) -> list[str]:
    """Names of all that is written into a couple's folder, but for its markers."""
    drawn = [f"{name}_inversion" if name in family.photos else name for name in family.pictures] + [SHEET]
    crops, pictures = [f"{role}.png" for role in family.photos], [f"{name}.png" for name in drawn]
    return [*crops, *pictures, *(f"{name}.json" for name in pictures), "latents.safetensors", TIMINGS, SUMMARY]


def clear(output: Folder, name: str) -> None:
    """Remove what an earlier attempt at this couple left, and nothing else: what its markers or its family.json list.

    The marker goes first, so that it is never half there and done; the lists go last, so that a killed removal goes on.
    """
    place, thumbs = output / COUPLES / name, output / THUMBS / name
    listed = {kind: _listed(place, kind) for kind in (DONE, SUMMARY, BEGUN)}
    if listed[DONE] is not None:
        place.remove(DONE)
    files = {file for names in listed.values() for file in names or ()} - {SUMMARY}
    _remove(thumbs, [f"{file.removesuffix('.png')}.jpg" for file in files if file.endswith(".png")])
    _remove(place, [*files, *(kind for kind in (SUMMARY, BEGUN) if listed[kind] is not None)])
    if "couple" in read_json(place, FAILED):
        place.remove(FAILED)
    for folder in (place.local, thumbs.local):
        for part in folder.glob(".*.part") if folder is not None else ():
            if PART.fullmatch(part.name):
                part.unlink(missing_ok=True)


def _listed(place: Folder, marker: str) -> list[str] | None:
    """The files that a marker, or a family.json, lists; None if it is not there, or lists none."""
    files = read_json(place, marker).get("files")
    if not isinstance(files, (list, dict)):
        return None
    return [file for file in files if isinstance(file, str) and Path(file).name == file]


def _remove(folder: Folder, names: Iterable[str]) -> None:
    for name in sorted(names, key=lambda name: name in (SUMMARY, BEGUN)):
        if folder.local is None or (folder.local / name).is_file():
            folder.remove(name)


def is_whole(output: Folder, couple: Couple, marker: Mapping[str, Any], verify: bool) -> bool:
    """Whether all that the marker lists is there, by its size, or with `verify` by its checksum.

    Sizes are looked at on this machine only: what an object store has taken it does not shorten.
    """
    if not all(isinstance(marker.get(part), dict) for part in ("files", "thumbs")) or "rows" not in marker:
        return False
    if not all(
        isinstance(one, list) and len(one) == 2 for part in ("files", "thumbs") for one in marker[part].values()
    ):
        return False
    for folder, files in ((COUPLES, marker["files"]), (THUMBS, marker["thumbs"])):
        place = output / folder / couple.id
        for name, (size, checksum) in files.items():
            if verify:
                try:
                    if hash_of(place.read(name)) != checksum:
                        return False
                except FileNotFoundError:
                    return False
            elif place.local is not None and place.size(name) != size:
                return False
    return True


def thumbs_of(family: Family) -> dict[str, bytes]:
    """File name -> JPEG."""
    small = {f"{item.face.name}.jpg": thumbnail(item.face.pixels, False) for item in family.inverted}
    for name, pixels in family.pictures.items():
        small[f"{name}_inversion.jpg" if name in family.photos else f"{name}.jpg"] = thumbnail(pixels, True)
    return small


def rows_of(couple: Couple, document: Mapping[str, Any], warnings: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """A row of the table for each child, of what family.json says."""
    shared = {"father": couple.father, "mother": couple.mother, **dict(couple.notes)}
    parents: dict[str, Any] = {}
    for role, parent in document["parents"].items():
        parents |= {f"{role}_{name}": metric["value"] for name, metric in parent["metrics"].items()}
        parents |= {f"{role}_{fact}": parent[fact] for fact in ("stopped", "steps", "store_key", "photo_sha256")}
        parents["inversion_seed"] = parent["settings"]["seed"]
        if "identity" in parent:
            parents |= {f"{role}_verdict{part}": parent["identity"][name] for part, name in VERDICT.items()}
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
        rows.append(
            {
                "id": couple.id,
                "child": name,
                "status": "done",
                "error": None,
                "warnings": "; ".join(remark for remarks in warnings for remark in remarks) or None,
                **shared,
                "seed": document["settings"]["seed"],
                **{key: value for key, value in told.items() if value is not None},
                **parents,
                **{f"set_{key}": _cell(value) for key, value in couple.settings if key != "seed"},
            }
        )
    return rows


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


def row_without_child(couple: Couple, status: str, error: str | None) -> dict[str, Any]:
    """The one row of a couple that failed, or was not done."""
    shared = {"father": couple.father, "mother": couple.mother, **dict(couple.notes)}
    return {"id": couple.id, "child": "", "status": status, "error": error, **shared}


def facts_of_marker(output: Folder, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Couple -> what its marker says, for those that have one, read side by side; a damaged marker is none."""
    data = (output / COUPLES).read_many([f"{name}/{kind}" for name in names for kind in (DONE, FAILED)])
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        for kind in (DONE, FAILED):
            if value := json_object(data.get(f"{name}/{kind}", b"")):
                written = _written(output / COUPLES, f"{name}/{kind}")
                found.setdefault(name, {**value, "status": "done" if kind == DONE else "failed", "written": written})
    return found


def _written(folder: Folder, name: str) -> float | None:
    """When, on this machine; far storages would be asked once more for each couple."""
    try:
        return (folder.local / name).stat().st_mtime if folder.local is not None else None
    except OSError:
        return None


def read_json(folder: Folder, name: str) -> dict[str, Any]:
    """Empty if there is none, or no such thing."""
    try:
        return json_object(folder.read(name))
    except FileNotFoundError:
        return {}


@contextlib.contextmanager
def _staged(place: Folder) -> Iterator[Path]:
    """A folder of this machine to write to: the place itself, or one whose files are then sent there."""
    if place.local is not None:
        yield place.local
        return
    try:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            yield root
            for path in sorted(root.iterdir()):
                place.write(path.name, path.read_bytes())
    except OSError as error:  # it is nobody's photograph's fault
        raise StorageError(
            f"{tempfile.gettempdir()}: cannot be written ({error.strerror}). Free some space."
        ) from error


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else value

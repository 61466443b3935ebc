"""Many photographs, each inverted by itself: count in = count out, as a result or as a named failure."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import UserError
from ..image import SUFFIXES, load_photo
from ..interfaces import AlignedFace, Aligner
from ..inversion.inverter import Inverter
from ..latents import save_latents
from ..runtime import versions
from ..storage import expanded, sha256_of_file
from ..store.inversions import Failed, Inverted
from .family import decode, describe_inversion, facts_of
from .run_folder import RunFolder
from .trace import save_trace

log = logging.getLogger(__name__)

SUMMARY = "metrics.json"
DERIVED = ("_inversion", "_faces", "_trace")  # endings of the files that are made; a photograph so named gets another


def find_photos(places: Sequence[str]) -> dict[str, Path]:
    """Files, and the pictures in folders -> unique name: path. Raises UserError for what does not exist or is empty."""
    paths: list[Path] = []
    for place in map(expanded, places):
        if place.is_dir():
            entries = sorted(path for path in place.iterdir() if not path.name.startswith("."))
            inside = [path for path in entries if path.suffix.lower() in SUFFIXES and not path.is_dir()]
            below = _listed([path.name for path in entries if path.is_dir()], "folder", "in it", "not looked into")
            if not inside:
                raise UserError(f"{place}: no pictures in this folder ({', '.join(SUFFIXES)}).{below and ' '}{below}")
            others = [path.name for path in entries if path not in inside and not path.is_dir()]
            for left in (_listed(others, "other file", "in it", "left out"), below):
                if left:
                    log.info("%s: %s", place, left)
            paths += inside
        elif place.is_file():
            paths.append(place)
        else:
            raise UserError(f"{place}: no such file or folder.")
    named: dict[str, Path] = {}
    for path in dict.fromkeys(paths):
        name = path.stem
        if name in named or name.endswith(DERIVED):
            name = path.name.replace(".", "_")
        while name in named:
            name += "_2"
        named[name] = path
    return named


def _listed(names: Sequence[str], what: str, where: str, why: str) -> str:
    """'2 folders in it are not looked into: a, b.', or nothing."""
    if not names:
        return ""
    are = f"{what} {where} is" if len(names) == 1 else f"{what}s {where} are"
    return f"{len(names)} {are} {why}: {', '.join(names[:5])}{', ...' if len(names) > 5 else '.'}"


def hashes_of(paths: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each file that can be read, by name: which photographs a job is about, before any is decoded."""
    found = {}
    for name, path in paths.items():
        with suppress(UserError):  # loading it will tell
            found[name] = sha256_of_file(path)
    return found


def load_and_align(
    paths: Mapping[str, Path], aligner: Aligner, face: int | None, folder: RunFolder | None = None
) -> tuple[list[AlignedFace], dict[str, str]]:
    """Aligned faces in order, and the reason for each photograph that cannot be read or gave none.

    One after the other, so that one decoded photograph is in memory at a time. `folder`: for pictures of a choice.
    """
    faces, failures = [], {}
    for name, path in tqdm(paths.items(), desc="aligning", unit="photo", disable=None):
        preview = folder.root / f"{name}_faces.png" if folder else None
        try:
            faces.append(aligner(load_photo(path), name, face, preview))
        except UserError as error:
            failures[name] = str(error)
            log.error(str(error))
        if folder and preview and preview.exists():
            folder.path(preview.name)
    return faces, failures


def save_all(
    folder: RunFolder,
    names: Sequence[str],
    found: Sequence[Inverted],
    failed: Sequence[Failed],
    failures: Mapping[str, str],
    inverter: Inverter,
) -> dict[str, dict[str, Any]]:
    """Per photograph NAME.png, NAME_inversion.png, NAME.safetensors; metrics.json last. Returns its entry for each.

    Raises KeyboardInterrupt, and writes nothing, if this run was cut short and an earlier one of the same job was not.
    """
    reasons = {**failures, **{item.face.name: item.reason for item in failed}}
    told = {*reasons, *(item.face.name for item in found if item.inversion.finished)}
    interrupted = not told.issuperset(names)
    if interrupted and folder.keeps_finished(SUMMARY):
        log.warning("%s: the finished result of an earlier run is kept", folder.root)
        raise KeyboardInterrupt
    generator, rows = inverter.generator, dict[str, dict[str, Any]]()
    for item in found:
        name, inversion = item.face.name, item.inversion
        facts = facts_of(generator, [inversion])
        picture = decode({name: inversion.latents}, generator)[name]
        folder.crop(f"{name}.png", item.face)
        folder.synthetic(f"{name}_inversion.png", picture, {**facts, "picture": f"inversion of {name}"})
        latents = folder.path(f"{name}.safetensors")
        save_latents(latents, {"ws": inversion.latents}, generator.sha256, not inversion.finished)
        if item.trace:
            save_trace(folder, name, item.trace, facts)
        rows[name] = describe_inversion(item, inverter)
    for name in names:
        if name in reasons:
            rows[name] = {"status": "failed", "error": reasons[name]}
        rows.setdefault(name, {"status": "interrupted", "error": "not begun"})
    done = [row for row in rows.values() if row["status"] == "done"]
    metrics = list(done[0]["metrics"]) if done else []
    means = {metric: sum(row["metrics"][metric]["value"] for row in done) / len(done) for metric in metrics}
    folder.path("timings.json")
    document = {
        **facts_of(generator, []),
        "interrupted": interrupted,
        "n": len(done),
        "mean": means,
        "photos": rows,
        "versions": versions(),
    }
    folder.finish(SUMMARY, document)
    return rows


def say_goodbye(folder: RunFolder, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """How many of each and where to look. Raises UserError or KeyboardInterrupt unless all succeeded."""
    states = [row["status"] for row in rows.values()]
    failed = [name for name, row in rows.items() if row["status"] == "failed"]
    print(f"{states.count('done')} of {len(rows)} inverted, {len(failed)} failed: {folder.root / SUMMARY}")
    if "interrupted" in states:
        raise KeyboardInterrupt
    if failed:
        raise UserError(f"{len(failed)} of {len(rows)} photographs failed: {', '.join(failed)}")

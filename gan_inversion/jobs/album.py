"""Many photographs, each inverted by itself: count in = count out, as a result or as a named failure."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..evaluation.reconstruction import report as with_status
from ..image import load_photo, save_photo_crop, save_synthetic, to_uint8, write_atomically
from ..interfaces import AlignedFace, Aligner, UserError
from ..inversion.inverter import Inverter
from ..report.run_folder import provenance, versions
from ..report.trace import save_trace
from .family import save_timings
from .inversions import Inverted
from .store import save_latents, to_json

log = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic")


def find_photos(places: Sequence[str]) -> dict[str, Path]:
    """Files, and the pictures in folders -> unique name: path. Raises UserError for what does not exist or is empty."""
    paths: list[Path] = []
    for place in map(Path, places):
        if place.is_dir():
            inside = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES)
            if not inside:
                raise UserError(f"{place}: no pictures in this folder ({', '.join(SUFFIXES)}).")
            paths += inside
        elif place.is_file():
            paths.append(place)
        else:
            raise UserError(f"{place}: no such file or folder.")
    stems = Counter(path.stem for path in dict.fromkeys(paths))
    named: dict[str, Path] = {}
    for path in dict.fromkeys(paths):
        name = path.stem if stems[path.stem] == 1 else path.name.replace(".", "_")
        while name in named:
            name += "_"
        named[name] = path
    return named


def align_all(
    paths: Mapping[str, Path], aligner: Aligner, face: int | None, folder: Path
) -> tuple[list[AlignedFace], dict[str, str]]:
    """Aligned faces in order, and the reason for each photograph that gave none."""
    faces, failures = [], {}
    for name, path in tqdm(paths.items(), desc="aligning", unit="photo", disable=None):
        try:
            faces.append(aligner(load_photo(path), name, face, folder / f"{name}_faces.png"))
        except UserError as error:
            failures[name] = str(error)
            log.error(str(error))
    return faces, failures


def save_all(
    folder: Path, paths: Mapping[str, Path], found: Sequence[Inverted], failures: Mapping[str, str], inverter: Inverter
) -> None:
    """Per photograph NAME.png, NAME_inversion.png and NAME.safetensors; metrics.json last, one entry a photograph."""
    generator, rows = inverter.generator, dict[str, dict[str, Any]]()
    facts = provenance(generator)
    for item in found:
        name, inversion = item.face.name, item.inversion
        state = "done" if inversion.finished else "interrupted"
        with torch.no_grad():
            picture = to_uint8(generator.synthesis(inversion.ws[None].to(generator.device)))
        save_photo_crop(folder / f"{name}.png", item.face.pixels)
        save_synthetic(
            folder / f"{name}_inversion.png", picture, {**facts, "picture": f"inversion of {name}", "state": state}
        )
        save_latents(folder / f"{name}.safetensors", {"ws": inversion.ws}, generator.sha256)
        if item.trace:
            save_trace(folder, name, item.trace)
        rows[name] = {
            "status": state,
            "metrics": with_status(item.record.metrics, inverter.losses),
            "losses": inversion.losses,
            "stopped": inversion.stopped,
            "steps": inversion.steps,
            "best_step": inversion.best_step,
            "warnings": item.face.warnings,
            "photo_sha256": item.face.photo_sha256,
            "store_key": item.key,
            "settings": inversion.settings,
        }
    for name in paths:
        reason = failures.get(name, "not begun: interrupted")
        rows.setdefault(name, {"status": "failed" if name in failures else "interrupted", "error": reason})
    done = [row for row in rows.values() if row["status"] == "done"]
    names = list(done[0]["metrics"]) if done else []
    means = {name: sum(row["metrics"][name]["value"] for row in done) / len(done) for name in names}
    listed = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "metrics.json")
    document = {**facts, "n": len(done), "mean": means, "photos": rows, "versions": versions(), "files": listed}
    write_atomically(folder / "metrics.json", to_json(document))


def say_goodbye(
    folder: Path,
    paths: Mapping[str, Any],
    found: Sequence[Inverted],
    failures: Mapping[str, str],
    seconds: Mapping[str, float],
) -> None:
    """How many of each and where to look. Raises UserError or KeyboardInterrupt unless all succeeded."""
    save_timings(folder, seconds)
    finished = sum(item.inversion.finished for item in found)
    print(f"{finished} of {len(paths)} inverted, {len(failures)} failed: {folder / 'metrics.json'}")
    if finished + len(failures) < len(paths):
        raise KeyboardInterrupt
    if failures:
        raise UserError(f"{len(failures)} of {len(paths)} photographs failed: {', '.join(failures)}")

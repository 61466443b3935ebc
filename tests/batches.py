"""What the tests of batches share: tiny photographs, manifests, runs as real processes, and comparing folders."""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_inversion.generators.tiny import tiny
from gan_inversion.image import save_photo_crop
from tests.conftest import CHILD, ROOT, TINY, drawn
from tests.forks import Forked

RunBatch = Callable[..., str]  # the fixture `batch_here` of tests/batch
TIMINGS = ("timings.json", "timings.csv", "timings.parquet", "timings.js")  # what differs from run to run


def make_photos(folder: Path, count: int) -> list[str]:
    """`count` pictures of tiny "faces"; their names."""
    generator = tiny()
    names = [f"p{i:03d}.png" for i in range(count)]
    for i, name in enumerate(names):
        folder.mkdir(parents=True, exist_ok=True)
        save_photo_crop(folder / name, drawn(generator, i).pixels)
    return names


def make_manifest(path: Path, count: int, photos: Sequence[str], **columns: Any) -> Path:
    """Couples c00000 ...: fathers and mothers from `photos`, each in many couples; `columns`: name -> value of row i."""
    rows = [
        {
            "id": f"c{i:05d}",
            "father": f"photos/{photos[i % len(photos)]}",
            "mother": f"photos/{photos[(i * 7 + 3) % len(photos)]}",
            **{name: value(i) for name, value in columns.items()},
        }
        for i in range(count)
    ]
    write_manifest(path, rows)
    return path


def write_manifest(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)


def command(manifest: Path, output: Any, store: Any, *more: str) -> list[str]:
    script = str(ROOT / "scripts" / "batch.py")
    where = (f"manifest={manifest}", f"output_dir={output}", f"store.path={store}")
    return [sys.executable, script, *where, *TINY, *CHILD, *more]


def start(arguments: Sequence[str], cwd: Path, **env: str) -> subprocess.Popen[str]:
    """A process of its own, in a group of its own, so that all of it can be killed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **env}
    return subprocess.Popen(
        arguments,
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def fork(arguments: Sequence[str], cwd: Path, **env: str) -> Forked:
    """The same of a `command`, without the seconds that an interpreter takes to import."""
    return Forked(arguments[1:], cwd, {**os.environ, "OMP_NUM_THREADS": "1", **env})


def finish(process: subprocess.Popen[str] | Forked, code: int = 0) -> str:
    """Wait; returns all it said."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
    assert "Traceback" not in err, err
    return out + err


def files_of(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of each file below, but for timings."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in TIMINGS
    }


def results_of(folder: Path) -> dict[str, str]:
    """The same without `.hydra`, which holds the command line."""
    return {name: data for name, data in files_of(folder).items() if not name.startswith(".hydra")}


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "results.csv", newline="") as file:
        return list(csv.DictReader(file))

"""Seconds a couple spends outside generator and losses, part by part, on the real pipeline at 1024 pixels.

    python -m tests.overhead FOLDER_OF_PHOTOGRAPHS [COUPLES]

Photographs are read, found, aligned, stored, drawn and reported as `scripts/batch.py` does it with its defaults, but for
the optimiser, which takes no step, and age and gender, which are not steered. What is timed is the work of each part by
itself; in a run, reading and writing overlap with computing.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gan_inversion import image
from gan_inversion.faces.aligner import FFHQ
from gan_inversion.jobs import batch
from gan_inversion.jobs.store import Store
from gan_inversion.pipelines import batch as pipeline
from gan_inversion.runtime import configure
from tests.batches import write_manifest
from tests.conftest import CHILD
from tests.test_configs import compose

PARTS: list[tuple[str, Any, str]] = [
    ("read", batch, "read_photo"),
    ("find and align", FFHQ, "__call__"),
    ("store: look up", Store, "get"),
    ("store: look up", Store, "get_face"),
    ("store: write", Store, "put"),
    ("store: write", Store, "put_face"),
    ("a couple's folder and thumbnails", batch, "save_couple"),
    ("tables and report.html", pipeline, "write_report"),
]


def timed(seconds: Counter[str], part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        begin = time.perf_counter()
        try:
            return function(*arguments, **keywords)
        finally:
            seconds[part] += time.perf_counter() - begin

    return call


def measure(photos: list[Path], couples: int, folder: Path) -> Counter[str]:
    """Seconds by part, of all the couples; "PNG" is a part of the others and not to be added."""
    seconds: Counter[str] = Counter()
    for part, owner, name in [*PARTS, ("of which PNG", image, "_png")]:
        setattr(owner, name, timed(seconds, part, getattr(owner, name)))
    rows = [{"id": f"c{i}", "father": str(photos[2 * i]), "mother": str(photos[2 * i + 1])} for i in range(couples)]
    write_manifest(folder / "couples.csv", rows)
    values = compose(
        f"manifest={folder / 'couples.csv'}",
        f"output_dir={folder / 'out'}",
        f"store.path={folder / 'store'}",
        "inversion.steps=0",
        *CHILD,
        script="batch",
    )
    configure(values["threads"])
    pipeline.run_batch(values, {})
    return seconds


def main(photos: Path, couples: int) -> None:
    paths = sorted(path.resolve() for path in photos.iterdir() if path.suffix in (".jpg", ".png"))
    with tempfile.TemporaryDirectory() as temporary:
        seconds = measure(paths, couples, Path(temporary))
    print("| part | seconds a couple |\n|---|---|")
    for part, spent in seconds.items():
        print(f"| {part} | {spent / couples:.3f} |")
    whole = sum(spent for part, spent in seconds.items() if part != "of which PNG")
    print(f"| **together** | **{whole / couples:.3f}** |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 6)

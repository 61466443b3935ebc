"""Seconds a couple spends outside generator and losses, part by part, on the real pipeline at 1024 pixels.

    python -m tests.overhead FOLDER_OF_PHOTOGRAPHS [COUPLES]

Photographs are read, found, aligned, stored, drawn and reported as `scripts/batch.py` does it with its defaults, but for
the optimiser, which takes no step, and age and gender, which are not steered. Everything is done in turn, so that each part
is timed by itself; in a run, reading and writing overlap with computing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import tempfile
import time
import unittest.mock
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gan_inversion import cli, image
from gan_inversion.batch import work as batch
from gan_inversion.commands import batch as pipeline
from gan_inversion.commands.common import Invocation
from gan_inversion.execution.work import Job, Work
from gan_inversion.faces.aligner import FFHQ
from gan_inversion.interfaces import OnStep
from gan_inversion.runtime import configure
from gan_inversion.store.store import Store
from tests.batches import write_manifest
from tests.composed import command_of, compose
from tests.conftest import CHILD

PNG = "of these, PNG"
PARTS: list[tuple[str, Any, str]] = [
    ("read", batch, "read_photo"),
    ("find and align", FFHQ, "__call__"),
    ("store: look up", Store, "get"),
    ("store: look up", Store, "get_face"),
    ("store: write", Store, "put"),
    ("store: write", Store, "put_face"),
    ("a couple's folder and thumbnails", batch, "save_item"),
    ("tables and report.html", pipeline, "write_report"),
]


class InTurn:
    """A runner that overlaps nothing, and says what share of its time is not the work on an item."""

    def run(self, job: Job, work: Work, on_step: OnStep) -> None:
        begin, working = time.perf_counter(), 0.0
        while taken := work.take(1):
            number, item = taken[0]
            before = time.perf_counter()
            done = job.finish(job([job.prepare(item)], on_step)[0])
            working += time.perf_counter() - before
            work.keep(number, done)
        print(
            f"giving out and taking back: {(time.perf_counter() - begin) / working - 1:.2%} of the work",
            file=sys.stderr,
        )


def timed(seconds: Counter[str], part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        begin = time.perf_counter()
        try:
            return function(*arguments, **keywords)
        finally:
            seconds[part] += time.perf_counter() - begin

    return call


def measure(photos: list[Path], couples: int, folder: Path, name: str) -> Counter[str]:
    """Seconds by part, of all the couples; "PNG" is a part of the others and not to be added."""
    seconds: Counter[str] = Counter()
    with contextlib.ExitStack() as patches:
        for part, owner, function in [*PARTS, (PNG, image, "_png")]:
            wrapped = timed(seconds, part, getattr(owner, function))
            patches.enter_context(unittest.mock.patch.object(owner, function, wrapped))
        run(photos, couples, folder, name)
    return seconds


def run(photos: list[Path], couples: int, folder: Path, name: str) -> None:
    rows = [{"id": f"c{i}", "father": str(photos[2 * i]), "mother": str(photos[2 * i + 1])} for i in range(couples)]
    write_manifest(folder / "couples.csv", rows)
    values = compose(
        f"manifest={folder / 'couples.csv'}",
        f"output_dir={folder / name}",
        f"store.path={folder / 'store'}",
        "inversion.steps=0",
        *CHILD,
        script="batch",
    )
    configure(values["threads"])
    command = dataclasses.replace(command_of(values, "batch"), runner=InTurn())
    command.run(Invocation("batch", (), {}, cli.compose))


def main(photos: Path, couples: int) -> None:
    paths = sorted(path.resolve() for path in photos.iterdir() if path.suffix in (".jpg", ".png"))
    with tempfile.TemporaryDirectory() as temporary:
        new, known = (measure(paths, couples, Path(temporary), name) for name in ("new", "known"))
    print("| part | two new faces, s | both in the store, s |\n|---|---|---|")
    for part in new:
        print(f"| {part} | {new[part] / couples:.3f} | {known[part] / couples:.3f} |")
    whole = [sum(s for part, s in seconds.items() if part != PNG) / couples for seconds in (new, known)]
    print(f"| **together** | **{whole[0]:.3f}** | **{whole[1]:.3f}** |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 6)

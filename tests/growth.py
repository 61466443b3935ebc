"""How time and memory of a batch grow with its couples, on the tiny generator.

    python -m tests.growth 100 1000 10000

Each batch is a process of its own, watched from outside: seconds, peak memory, and how many couples were done when. The
table of the report's documentation is what this prints.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan_inversion.jobs.manifest import read_manifest
from tests.batches import command, finish, make_manifest, make_photos, start

PHOTOS = 50


@dataclass
class Grown:
    """One batch, watched."""

    couples: int
    seconds: float  # of the whole process
    drawing: float  # from the first couple to the last
    afterwards: float  # tables and report
    peak: float  # MB
    curve: np.ndarray  # [samples, 3]: seconds, couples done, MB

    @property
    def bend(self) -> float:
        """How much the last couple takes longer than the first: the quadratic term of seconds over couples done."""
        c, b, _ = self.polynomial(1)
        return 2 * c * self.couples / b

    def polynomial(self, column: int) -> np.ndarray:
        x, y = (self.curve[:, 1], self.curve[:, 0]) if column == 1 else (self.curve[:, 1], self.curve[:, 2])
        return np.polyfit(x, y, 2)


def grow(folder: Path, couples: int) -> Grown:
    """Run a batch of so many couples."""
    folder.mkdir()
    manifest = make_manifest(folder / "couples.csv", couples, make_photos(folder / "photos", PHOTOS))
    begin = time.perf_counter()
    process = start(command(manifest, "out", "store"), folder)
    samples, out, peak = [], folder / "out" / "couples", 0.0
    while process.poll() is None:
        memory = megabytes(process.pid)
        peak = max(peak, memory)
        done = len(list(out.iterdir())) if out.exists() else 0
        if done:
            samples.append((time.perf_counter() - begin, done, memory))
        time.sleep(0.25 if couples < 1000 else 1.0)
    seconds = time.perf_counter() - begin
    finish(process)
    curve = np.array(samples)
    last = curve[curve[:, 1] >= couples][0, 0] if (curve[:, 1] >= couples).any() else curve[-1, 0]
    curve = curve[curve[:, 0] <= last]
    return Grown(couples, seconds, last - curve[0, 0], seconds - last, peak, curve)


def megabytes(pid: int) -> float:
    """Resident memory of a process."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS")), 0.0)


def validation_seconds(folder: Path, rows: int) -> float:
    """Of reading and checking a manifest of so many rows, each with two photographs of its own, by one process."""
    folder.mkdir()
    (folder / "photos").mkdir()
    for i in range(2 * rows):
        (folder / "photos" / f"{i}.jpg").touch()
    lines = [f"{i},photos/{2 * i}.jpg,photos/{2 * i + 1}.jpg,{i},{i % 70}" for i in range(rows)]
    (folder / "couples.csv").write_text("\n".join(["id,father,mother,seed,age", *lines]) + "\n")
    begin = time.perf_counter()
    read_manifest(str(folder / "couples.csv"), lambda settings: None)
    return time.perf_counter() - begin


def main(counts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        print(f"validation of 100,000 rows: {validation_seconds(Path(temporary) / 'rows', 100_000):.1f} s")
        print("| couples | seconds | a couple, ms | last against first | tables and report, s | peak, MB |")
        grown = []
        for count in counts:
            one = grow(Path(temporary) / str(count), count)
            grown.append(one)
            each = 1000 * one.drawing / one.couples
            print(
                f"| {count} | {one.seconds:.1f} | {each:.1f} | {one.bend:+.1%} | {one.afterwards:.1f} | {one.peak:.0f} |",
                flush=True,
            )
        n, peaks = np.array([g.couples for g in grown]), np.array([g.peak for g in grown])
        print(f"memory: {np.polyfit(n, peaks, 1)[0] * 1024:.1f} kB a couple")


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [100, 1000, 10000])

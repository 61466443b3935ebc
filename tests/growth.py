"""How time and memory of a batch grow with its couples, on the tiny generator.

    python -m tests.growth 3 100 1000 10000

runs batches of so many couples in three rounds, after one that inverts all faces. Each batch is a process of its own,
watched from outside: seconds, seconds of the processors, which other work moves less, peak memory, and how many couples
were done when; then the same command once more, which finds all of them done; and what lies in its folder. What differs
between the rounds is noise; a bend within twice its standard error is none. The tables of docs/batches.md are what this
prints.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan_inversion.batch.manifest import read_manifest
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
    curve: np.ndarray  # [samples, 2]: couples done, the processors' seconds
    again: float  # seconds of the same command afterwards, which has nothing to do
    files: int  # in its folder, couples' among them
    report: float  # MB of the page and the tables
    kept: float  # MB of all files

    @property
    def work(self) -> float:
        """The processors' seconds, of the whole process until its last couple."""
        return float(self.curve[-1, 1])

    @property
    def bend(self) -> float:
        """How much more work the last couple is than the first, by a parabola through the curve."""
        c, b, _ = np.polyfit(self.curve[:, 0], self.curve[:, 1], 2)
        return float(2 * c * self.couples / b)


def grow(folder: Path, couples: int) -> Grown:
    """Run a batch of so many couples."""
    folder.mkdir()
    manifest = make_manifest(folder / "couples.csv", couples, make_photos(folder / "photos", PHOTOS))
    begin = time.perf_counter()
    process = start(command(manifest, "out", "../store"), folder)
    samples, out, peak = [], folder / "out" / "couples", 0.0
    while process.poll() is None:
        memory = megabytes(process.pid)
        peak = max(peak, memory)
        done = len(list(out.iterdir())) if out.exists() else 0
        if done:
            samples.append((time.perf_counter() - begin, done, processor_seconds(process.pid)))
        time.sleep(0.25 if couples < 1000 else 1.0)
    seconds = time.perf_counter() - begin
    finish(process)
    curve = np.array(samples)
    end = int((curve[:, 1] < couples).sum())  # the first sample with all of them
    curve = curve[: end + 1]
    last = curve[-1, 0]
    begin = time.perf_counter()
    assert f"{couples} by earlier runs" in finish(start(command(manifest, "out", "../store"), folder))
    again = time.perf_counter() - begin
    sizes = {path: path.stat().st_size / 1e6 for path in (folder / "out").rglob("*") if path.is_file()}
    report = sum(size for path, size in sizes.items() if path.parent == folder / "out")
    parts = again, len(sizes), report, sum(sizes.values())
    return Grown(couples, seconds, last - curve[0, 0], seconds - last, peak, curve[:, 1:], *parts)


def megabytes(pid: int) -> float:
    """Resident memory of a process."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS")), 0.0)


def processor_seconds(pid: int) -> float:
    """User and system time of a process with all its threads; of none, that of processes it started."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def parabola(n: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """y = a + b n + c n^2 by least squares, weighted by 1 / y -> b, and c with its standard error."""
    terms = np.stack([np.ones_like(n), n, n * n], 1) / y[:, None]
    found, residual, _, _ = np.linalg.lstsq(terms, np.ones_like(y), rcond=None)
    variance = float(residual[0]) / (len(n) - 3) * np.linalg.inv(terms.T @ terms)[2, 2]
    return float(found[1]), float(found[2]), float(variance**0.5)


def spread(values: Sequence[float], form: str) -> str:
    return f"{np.mean(values):{form}}" + (f" ± {np.std(values, ddof=1):{form.lstrip('+')}}" if len(values) > 1 else "")


def main(rounds: int, counts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        print(f"validation of 100,000 rows: {validation_seconds(Path(temporary) / 'rows', 100_000):.1f} s")
        grow(Path(temporary) / "faces", 2 * PHOTOS)
        grown = []
        for number in range(rounds):
            for count in counts:
                folder = Path(temporary) / f"{count}-{number}"
                grown.append(grow(folder, count))
                shutil.rmtree(folder)
                print(f"{count}, round {number + 1}: {grown[-1].seconds:.1f} s", file=sys.stderr, flush=True)
    print("| couples | seconds | a couple, ms | of the processors, ms | bend | tables and report, s | peak, MB |")
    print("|---|---|---|---|---|---|---|")
    for count in counts:
        of = [one for one in grown if one.couples == count]
        cells = [
            spread([one.seconds for one in of], ".1f"),
            spread([1000 * one.drawing / count for one in of], ".1f"),
            spread([1000 * one.work / count for one in of], ".1f"),
            spread([one.bend for one in of], "+.1%"),
            spread([one.afterwards for one in of], ".1f"),
            spread([one.peak for one in of], ".0f"),
        ]
        print(f"| {count:,} | " + " | ".join(cells) + " |")
    print(
        "\n| couples | again, s | files a couple | page and tables, kB a couple | all, kB a couple |\n|---|---|---|---|---|"
    )
    for count in counts:
        of = [one for one in grown if one.couples == count]
        share = [1000 / count * value for value in (of[0].report, of[0].kept)]
        again = spread([one.again for one in of], ".1f")
        print(f"| {count:,} | {again} | {of[0].files / count:.1f} | {share[0]:.1f} | {share[1]:.0f} |")
    n, largest = np.array([float(one.couples) for one in grown]), max(counts)
    memory = np.polyfit(n, [one.peak for one in grown], 1)[0]
    print(f"memory: {memory * 1024:.1f} kB a couple")
    if len(counts) > 2 and len(grown) > 3:
        b, c, error = parabola(n, np.array([one.work for one in grown]))
        part = [100 * value * largest / b for value in (c, error)]
        print(f"work: {1000 * b:.1f} ms a couple; curvature {part[0]:+.1f} % ± {part[1]:.1f} % at {largest:,} couples")


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(argument) for argument in sys.argv[2:]])

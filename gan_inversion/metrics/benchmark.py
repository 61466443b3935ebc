"""Recipes against each other on the same faces, alternating in one process: seconds, quality, arithmetic, memory."""

from __future__ import annotations

import dataclasses
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..errors import UserError
from ..image import area_resize, to_tensor
from ..interfaces import AlignedFace, Generator, Inversion, Start, Step
from ..inversion.inverter import Inverter
from ..latents import render
from ..runtime import cores
from .reconstruction import HIGHER_IS_BETTER, evaluate, report


@dataclass
class _Timed:
    """A start that says how long it took."""

    name: ClassVar[str] = "timed"

    start: Start
    seconds: float = 0.0

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return self.start.optimised_metrics

    @property
    def is_stochastic(self) -> bool:
        return self.start.is_stochastic

    def identity(self, name: str) -> dict[str, Any]:
        return self.start.identity(name)

    def __call__(self, generator: Generator, target: Tensor, name: str, seed: int) -> Tensor:
        begin = time.perf_counter()
        ws = self.start(generator, target, name, seed)
        self.seconds = time.perf_counter() - begin
        return ws


@dataclass
class Run:
    """One recipe on one face."""

    inversion: Inversion
    seconds: dict[str, float]  # start, optimise, decode
    way: list[tuple[float, Tensor]] = field(default_factory=list)  # (seconds since the beginning, ws) of each step


def run(inverter: Inverter, face: AlignedFace, seed: int) -> Run:
    """Invert one face. What watches the steps is not counted."""
    timed, way, watching = _Timed(inverter.start), list[tuple[float, Tensor]](), 0.0
    begin = time.perf_counter()

    def watch(step: Step) -> None:
        nonlocal watching
        now = time.perf_counter()
        way.append((now - begin - watching, step.ws[0].clone()))
        watching += time.perf_counter() - now

    (found,) = dataclasses.replace(inverter, start=timed)([face], [seed], watch)
    total = time.perf_counter() - begin - watching
    begin = time.perf_counter()
    with torch.no_grad():
        render(inverter.generator, found.latents)
    decode = time.perf_counter() - begin
    return Run(found, {"start": timed.seconds, "optimise": total - timed.seconds, "decode": decode}, way)


def measure(run: Run, face: AlignedFace, inverter: Inverter, metrics: Sequence[str], points: int) -> dict[str, Any]:
    """Metrics of the result with their status, and of `points` steps on the way to it, evenly spread over time.

    The last point is the result. Those before it are drawn from their ws alone: what is refined or optimised beside ws is
    known at the end only.
    """
    values = evaluate(face, run.inversion, inverter.generator, metrics)
    end, curve = run.way[-1][0], []
    for i in range(points - 1):
        seconds, ws = min(run.way, key=lambda item: abs(item[0] - end * i / (points - 1)))
        midway = Inversion(ws, run.inversion.generator_sha256)
        curve.append({"seconds": seconds, **evaluate(face, midway, inverter.generator, metrics)})
    if points > 1:
        curve.append({"seconds": end, **values})
    return {
        "seconds": run.seconds,
        "steps": run.inversion.steps + (inverter.refine.steps if inverter.refine else 0),
        "metrics": report(values, inverter.pursued),
        "curve": curve,
    }


def step_costs(inverter: Inverter, face: AlignedFace, peak: float, repeats: int = 5) -> list[dict[str, Any]]:
    """Per resolution that the recipe renders: seconds of a step (mean of `repeats`), FLOPs, share of `peak` FLOP/s."""
    kinds = dict.fromkeys(inverter.optimiser.resolution(step) for step in range(inverter.optimiser.steps))
    target = area_resize(to_tensor(face.pixels), inverter.generator.resolution).to(inverter.generator.device)
    rows = []
    for kind in kinds:
        # All updates of one kind: two recipes that differ in their number of updates give the cost of one.
        stage = {"previews": (kind,), "previews_until": (1.0,)} if kind else {"previews": (), "previews_until": ()}
        few, many = (
            dataclasses.replace(
                inverter,
                optimiser=dataclasses.replace(inverter.optimiser, steps=n, patience=0, target=None, **stage),
                refine=None,  # whose steps are of other kinds
            )
            for n in (1, 1 + repeats)
        )
        times = [_seconds(few, face), _seconds(many, face)]
        with FlopCounterMode(display=False) as few_flops:
            few([face], [0])
        with FlopCounterMode(display=False) as two_flops:
            dataclasses.replace(few, optimiser=dataclasses.replace(few.optimiser, steps=2))([face], [0])
        flops = two_flops.get_total_flops() - few_flops.get_total_flops()
        seconds = (times[1] - times[0]) / repeats
        rows.append(
            {
                "resolution": kind or target.shape[-1],
                "seconds": seconds,
                "gigaflops": flops / 1e9,
                "share_of_peak": flops / seconds / peak,
            }
        )
    return rows


def _seconds(inverter: Inverter, face: AlignedFace) -> float:
    begin = time.perf_counter()
    inverter([face], [0])
    return time.perf_counter() - begin


def machine_peak(size: int = 2048, repeats: int = 5) -> float:
    """FLOP/s of the best of some float32 matrix products: what this machine can do at most, as measured, not as sold."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - begin)
    return 2 * size**3 / best


def peak_memory() -> float:
    """Gigabytes that this process held at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def processor() -> str:
    """Its name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # another system
        return platform.processor() or platform.machine()


def hardware() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": cores(),
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def summary(results: Mapping[str, Mapping[str, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """recipe -> face -> measured; returns recipe -> mean of each metric and of the seconds of start + optimise."""
    means: dict[str, dict[str, float]] = {}
    for recipe, faces in results.items():
        rows = list(faces.values())
        names = rows[0]["metrics"]
        means[recipe] = {name: sum(row["metrics"][name]["value"] for row in rows) / len(rows) for name in names}
        means[recipe]["seconds"] = sum(inverting(row) for row in rows) / len(rows)
    return means


@dataclass(frozen=True)
class Spread:
    """Of some numbers, face by face."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


def compared(results: Mapping[str, Mapping[str, dict[str, Any]]], metric: str) -> dict[str, dict[str, Any]]:
    """recipe -> face -> measured; returns recipe -> spreads over the faces.

    "seconds", and "ratio": to the first recipe's of the same face, which ran beside it. With points on the way also
    "quality_at_equal_time": the metric when the quickest recipe had ended; and "time_at_equal_quality": seconds until the
    metric was first as good as the worst recipe's result. Both are read between two points along a line.
    """
    first, *_ = results
    found: dict[str, dict[str, Any]] = {}
    for recipe, faces in results.items():
        rows = {name: {other: results[other][name] for other in results} for name in faces}
        told = {
            "seconds": [inverting(faces[name]) for name in faces],
            "ratio": [inverting(faces[name]) / inverting(rows[name][first]) for name in faces],
        }
        if all(len(row["curve"]) > 1 for row in faces.values()):
            pairs = [_at_equal(row, recipe, metric) for row in rows.values()]
            told |= {
                "quality_at_equal_time": [pair[0] for pair in pairs],
                "time_at_equal_quality": [p[1] for p in pairs],
            }
        found[recipe] = {name: vars(Spread.of(values)) for name, values in told.items()}
    return found


def _at_equal(rows: Mapping[str, dict[str, Any]], recipe: str, metric: str) -> tuple[float, float]:
    """Of one face: recipe -> measured; returns its metric at equal time, and its seconds at equal quality."""
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    ended = min(row["curve"][-1]["seconds"] for row in rows.values())
    wanted = max(sign * row["curve"][-1][metric] for row in rows.values())
    way = [(point["seconds"], sign * point[metric]) for point in rows[recipe]["curve"]]
    quality = float(np.interp(ended, [seconds for seconds, _ in way], [value for _, value in way]))
    seconds, value = way[0]
    for later, after in way[1:]:
        if value <= wanted:
            break
        share = min(1.0, (value - wanted) / (value - after)) if after < value else 1.0
        seconds, value = (later, after) if after > wanted else (seconds + share * (later - seconds), wanted)
    return sign * quality, seconds


def inverting(row: Mapping[str, Any]) -> float:
    """Seconds of start and optimisation."""
    return row["seconds"]["start"] + row["seconds"]["optimise"]


def compare_all(
    inverters: Mapping[str, Inverter],
    faces: Sequence[AlignedFace],
    seed: int,
    metrics: Sequence[str],
    points: int,
    done: Callable[[str, str, dict[str, Any]], None],
) -> dict[str, dict[str, dict[str, Any]]]:
    """Every recipe on every face, alternating, after some steps of each to warm up. `done` is told of each result."""
    if not faces:
        raise UserError("no photograph gave a face to compare recipes on.")
    for inverter in inverters.values():
        steps = 2 * len(inverter.optimiser.previews) + 1  # enough to meet each resolution
        dataclasses.replace(inverter, optimiser=dataclasses.replace(inverter.optimiser, steps=steps, patience=0))(
            faces[:1], [seed]
        )
    results: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in inverters}
    for face in faces:
        runs = {name: run(inverter, face, seed) for name, inverter in inverters.items()}
        for name, inverter in inverters.items():  # measured after all were timed: the metrics' networks evict caches
            results[name][face.name] = measure(runs[name], face, inverter, metrics, points)
            done(name, face.name, results[name][face.name])
    return results

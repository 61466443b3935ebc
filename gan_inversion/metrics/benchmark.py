"""Recipes against each other on the same faces, alternating in one process: seconds, quality, arithmetic, memory."""

from __future__ import annotations

import dataclasses
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..errors import UserError
from ..image import area_resize, to_tensor
from ..interfaces import AlignedFace, Generator, Inversion, Start, Step
from ..inversion.inverter import Inverter
from ..latents import render
from .reconstruction import evaluate, report


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


def hardware() -> dict[str, Any]:
    return {
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

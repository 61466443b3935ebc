"""Recipes against each other on the same photographs: seconds, quality, arithmetic, memory. And how well faces are found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..components import construct
from ..errors import UserError
from ..interfaces import Aligner
from ..inversion.inverter import Inverter
from ..metrics import benchmark
from ..metrics.alignment import measure
from ..report import album
from ..report.run_folder import Clock, provenance
from ..report.speed import save_benchmark, say
from .common import Common, Invocation, at_least, fitting, open_job
from .invert import Invert

SHARED = ("generator", "device", "threads", "aligner", "metrics", "seed")  # the same for all recipes


@dataclass(frozen=True, kw_only=True)
class Benchmark(Common):
    photos: tuple[str, ...]
    aligner: Aligner
    recipes: Mapping[str, tuple[str, ...]]
    metrics: tuple[str, ...]
    points: int = at_least(0)

    def run(self, call: Invocation) -> None:
        """Raises UserError naming the recipe, the photograph or the key."""
        clock = Clock()
        with clock("load"):
            generator = self.generator.load(self.device)
            made = {name: self._recipe(extra, call).inverter() for name, extra in self.recipes.items()}
        inverters = {n: Inverter(generator, s.space, s.start, s.losses, s.optimiser, s.refine) for n, s in made.items()}
        paths = album.find_photos(self.photos)
        folder, _ = open_job(self, call, paths.values(), photos=album.hashes_of(paths))
        with clock("align"):
            faces, failures = album.load_and_align(paths, fitting(self.aligner, generator), None)
        results = benchmark.compare_all(inverters, faces, self.seed, self.metrics, self.points, say)
        peak = benchmark.machine_peak()
        document = {
            "hardware": benchmark.hardware(),
            "peak_gigaflops": peak / 1e9,
            "peak_memory_gb": benchmark.peak_memory(),
            "seconds": clock.seconds,
            "failed": failures,
            "settings": {name: inverter.settings(self.seed) for name, inverter in inverters.items()},
            "steps": {name: benchmark.step_costs(inverter, faces[0], peak) for name, inverter in inverters.items()},
            "mean": benchmark.summary(results),
            "spread": benchmark.compared(results, self.metrics[0]),
            "faces": results,
        }
        save_benchmark(folder, document)

    def _recipe(self, overrides: tuple[str, ...], call: Invocation) -> Invert:
        """What `invert` would do with these overrides, on this command's generator."""
        for override in overrides:
            if override.split("=")[0].split(".")[0] in SHARED:
                raise UserError(f"recipes: {override} is the same for all recipes; set it outside of them.")
        values = call.compose("invert", ["photos=[]", *overrides])
        return construct(Invert, values | {"generator": self.generator, "device": self.device}, "", {})


@dataclass(frozen=True, kw_only=True)
class EvaluateAlignment(Common):
    """How well faces are found: drawn faces, turned and scaled into larger pictures."""

    faces: int = at_least(1)
    landmarks: tuple[str, ...]

    def run(self, call: Invocation) -> None:
        folder, _ = open_job(self, call, ())
        generator = self.generator.load(self.device)
        rows = [measure(generator, self.faces, self.seed, landmarks) for landmarks in self.landmarks]
        folder.finish("metrics.json", {**provenance(generator), "landmarks": rows})
        print(json.dumps(rows, indent=2))

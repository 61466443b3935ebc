"""How well faces are found: drawn faces, turned and scaled into larger pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..metrics.alignment import measure
from ..report.run_folder import provenance
from .common import Common, Invocation, at_least, open_job


@dataclass(frozen=True, kw_only=True)
class EvaluateAlignment(Common):
    faces: int = at_least(1)
    landmarks: tuple[str, ...]

    def run(self, call: Invocation) -> None:
        folder, _ = open_job(self, call, ())
        generator = self.generator.load(self.device)
        rows = [measure(generator, self.faces, self.seed, landmarks) for landmarks in self.landmarks]
        folder.finish("metrics.json", {**provenance(generator), "landmarks": rows})
        print(json.dumps(rows, indent=2))

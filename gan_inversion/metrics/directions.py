"""Do directions do what they say, on faces that they were not fitted to, and what else do they move?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from ..editing.files import Directions
from ..editing.labels import LABELS, label_faces
from ..editing.search import render_w
from ..editing.steering import Steering, age_step
from ..estimators.faceres import faceres
from ..faces.mesh import FaceMesh
from ..interfaces import FaceLabels, Generator, Latents
from ..latents import render

POINTS = 9  # along a direction
YOUNG, OLD = 8.0, 70.0  # years: from where to where age is followed
ABOUT = 4.0, 10.0  # how far the ends may be off, years
MONOTONE = 0.95  # Spearman's correlation
ADULT = 18.0
BOUND = 6.0  # farthest step that is looked at

Read = Callable[[Tensor], FaceLabels]


def spearman(values: Sequence[float]) -> float:
    """Rank correlation of a sequence with its own order, ties sharing their mean rank; 0 if all are equal."""
    if np.ptp(values) == 0:
        return 0.0
    return float(spearmanr(values, range(len(values))).statistic)


def validate(
    generator: Generator, w: Tensor, directions: Directions, judge: bool, progress: Callable[[], None]
) -> dict[str, Any]:
    """w [N, D], fresh samples. judge: read also by FaceRes, which took no part in finding the directions.

    Age: each face is followed in nine equal steps between those at which what steers reads 8 and 70 years. Gender: adults
    are moved to the other one.
    """
    readers: dict[str, Read] = {"steering": directions.require_reader()}
    if judge:
        readers["faceres"] = lambda image: faceres(str(generator.device)).label(image)[0]
    ages = {name: [] for name in readers}  # type: dict[str, list[list[float]]]
    flips = {name: [] for name in readers}  # type: dict[str, list[bool]]
    for one in w:
        face = Latents(one.repeat(generator.num_ws, 1))
        ends = [age_step(face, age, directions, generator, BOUND) for age in (YOUNG, OLD)]
        steps = np.linspace(ends[0], ends[1], POINTS).tolist()
        pictures = [render(generator, _moved(face, directions, {"age": step}), 256) for step in steps]
        for name, read in readers.items():
            ages[name].append([read(picture).age for picture in pictures])
        now = readers["steering"](render(generator, face, 256))
        if now.age >= ADULT:
            other = "female" if now.male > 0.5 else "male"
            (flipped,) = Steering(age=None, gender=other, search=0, scene=None)(face, "", directions, generator)
            for name, read in readers.items():
                flips[name].append((read(render(generator, flipped.latents)).male > 0.5) == (other == "male"))
        progress()
    return {
        "n": len(w),
        "age": {name: _of_curves(np.array(curves)) for name, curves in ages.items()},
        "gender_flipped": {name: float(np.mean(found)) if found else None for name, found in flips.items()},
        "adults": len(next(iter(flips.values()))),
        "curves": {name: np.array(curves).round(2).tolist() for name, curves in ages.items()},
        "side_effects": side_effects(generator, w, directions),
    }


def _moved(face: Latents, directions: Directions, steps: Mapping[str, float]) -> Latents:
    return Latents(directions.move(face.ws, steps))


def _of_curves(curves: np.ndarray) -> dict[str, float]:
    """[N, 9] years -> shares of faces that rise, that span the range, and that do both."""
    rises = np.array([spearman(curve) >= MONOTONE for curve in curves.tolist()])
    spans = (curves[:, 0] <= YOUNG + ABOUT[0]) & (curves[:, -1] >= OLD - ABOUT[1])
    shares = {"monotone": rises.mean(), "spans": spans.mean(), "both": (rises & spans).mean()}
    return {
        **{k: float(v) for k, v in shares.items()},
        "first": float(curves[:, 0].mean()),
        "last": float(curves[:, -1].mean()),
    }


def side_effects(generator: Generator, w: Tensor, directions: Directions) -> dict[str, dict[str, float]]:
    """Direction -> label -> change by one step, in standard deviations of the label, mean over w [N, D]."""
    mesh, table = FaceMesh(), {}
    scale = torch.tensor([directions.deviations[name] for name in LABELS], dtype=torch.float64)
    before = torch.cat([label_faces(render_w(generator, one), mesh) for one in w])
    for name in directions.deviations:
        moved = torch.stack([directions.move(one[None], {name: 1.0})[0] for one in w])
        after = torch.cat([label_faces(render_w(generator, one), mesh) for one in moved])
        change = ((after - before) / scale).mean(0)
        table[name] = dict(zip(LABELS, change.tolist(), strict=True))
    return table

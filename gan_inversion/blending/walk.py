"""A walk through stored latents: its stops, and where its frames stand on the path.

A position is a float from 0 to `legs`: its whole part says between which two stops, the rest how far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..checkpoints.projected import latents_at_for, load_all_latents_for
from ..errors import UserError
from ..estimators.lpips_network import lpips_network
from ..image import area_resize
from ..interfaces import Generator, Inversion, Latents
from ..latents import check_shape, hash_of_latents, render, split_entry
from .interpolation import MIXES

MEASURED = 256  # pixels at which distances are measured
EASINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda share: share,
    "smooth": lambda share: (1 - np.cos(np.pi * share)) / 2,  # slow at each stop, so that each is seen
}


def check(path: str, easing: str, size: int) -> None:
    """Raises UserError for an unknown path or easing, or an odd size."""
    for key, value, known in (("path", path, MIXES), ("easing", easing, EASINGS)):
        if value not in known:
            raise UserError(f"{key}={value}: choose one of {', '.join(known)}.")
    if size % 2:
        raise UserError(f"size={size}: an even number is needed, because H.264 halves it for colour.")


@dataclass(frozen=True)
class Stop:
    """Latents to walk through, and where they were read."""

    file: str
    name: str
    inversion: Inversion

    @property
    def identity(self) -> dict[str, Any]:
        """For summaries: the name, and the numbers by their hash; no path."""
        return {"name": self.name, "sha256": hash_of_latents(self.inversion.latents)}


def load_stops(entries: Sequence[str], generator: Generator) -> list[Stop]:
    """The stops that FILE:NAME name; FILE alone gives all of a family: father, children, mother, then any others.

    Raises UserError naming the file if it is none, lacks the name or is another generator's; or for fewer than two.
    """
    stops: list[Stop] = []
    for entry in entries:
        file, name = split_entry(entry)
        if name is not None:
            stops.append(Stop(file, name, latents_at_for(entry, generator)))
        else:
            everything = load_all_latents_for(file, generator)
            stops += [Stop(file, name, everything[name]) for name in sorted(everything, key=_rank)]
    for stop in stops:
        if stop.inversion.generator_sha256 != generator.sha256:
            raise UserError(
                f"{stop.file}: these latents belong to another generator. Choose it, or leave the file out."
            )
        check_shape(stop.inversion.latents, generator, f"{stop.file}: {stop.name}")
    if len(stops) < 2:
        raise UserError(f"latents: a walk needs at least two, not {len(stops)}. Name more, as FILE:NAME.")
    return stops


def _rank(name: str) -> tuple[int, str]:
    return {"father": 0, "mother": 2}.get(name, 1 if name.startswith("child_") else 3), name


@dataclass(frozen=True)
class Walk:
    """The line through `stops`, leg by leg along `path`, one of MIXES."""

    stops: Sequence[Latents]
    path: str
    centre: Tensor  # [D], the mean of W: slerp goes around it

    @property
    def legs(self) -> int:
        return len(self.stops) - 1

    def at(self, position: float) -> Latents:
        """The latents at `position`, 0 to `legs`. Style offsets and refinements go linearly; a stop without has zeros."""
        leg = min(int(position), self.legs - 1)
        a, b, t = self.stops[leg], self.stops[leg + 1], position - leg
        ws = MIXES[self.path](a.ws, b.ws, torch.full((len(a.ws),), t), self.centre)
        offset = _between(a.style_offset, b.style_offset, t)
        features, tuning = _between(a.features, b.features, t), _between(a.tuning, b.tuning, t)
        return Latents(ws, offset, features=features, tuning=tuning)


def _between(a: Tensor | None, b: Tensor | None, share: float) -> Tensor | None:
    """The straight line between two, of which one may be missing: zeros."""
    one = a if a is not None else b
    if one is None:
        return None
    ours, theirs = (torch.zeros_like(one) if end is None else end for end in (a, b))
    return torch.lerp(ours.float(), theirs.float(), share)


def frame_positions(knots: np.ndarray, lengths: np.ndarray, frames: int, easing: str) -> np.ndarray:
    """Positions of about legs * frames steps, ascending, each stop among them.

    `knots` [K + 1]: positions from 0 to the number of legs, ascending, each stop among them; `lengths` [K], any unit: how
    far it is from each to the next. A leg gets frames by its length, and all its steps are as long, before easing.
    """
    way = np.concatenate([[0], np.cumsum(lengths + 1e-9)])  # equal faces have no distance: crossed evenly
    stops = np.arange(round(knots[-1]) + 1)
    ends = np.interp(stops, knots, way)
    counts = np.maximum(1, np.diff(np.round(ends / ends[-1] * frames * stops[-1]))).astype(int)
    legs = [
        np.interp(a + (b - a) * EASINGS[easing](np.arange(count) / count), way, knots)
        for a, b, count in zip(ends, ends[1:], counts, strict=False)
    ]
    return np.concatenate([*legs, stops[-1:]])


def equal_speed(generator: Generator, walk: Walk, probes: int) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Knots and lengths for `frame_positions`, from LPIPS at `probes` points of each leg, and what they change.

    LPIPS is a squared distance over small steps, and grows more slowly over large ones: no power of it adds up on all
    scales. So the probes, first even, are measured once more where they are about as far from each other.
    What changes: the longest step of that many over their mean, "before" and "after" the probes were moved.
    """
    even = np.linspace(0, walk.legs, walk.legs * probes + 1)
    before = path_distances(generator, walk, even)
    knots = frame_positions(even, np.sqrt(before), probes, "linear")
    after = path_distances(generator, walk, knots)
    return knots, np.sqrt(after), {"before": max_to_mean(before), "after": max_to_mean(after)}


def path_distances(generator: Generator, walk: Walk, positions: np.ndarray) -> np.ndarray:
    """[T - 1]: LPIPS between the faces at neighbouring positions [T], drawn as cheaply as this generator can."""
    size = min(MEASURED, generator.resolution)
    bar = tqdm(positions, desc="measuring", unit="face", disable=None)
    return distances(render(generator, walk.at(float(position)), size) for position in bar)


@torch.no_grad()
def distances(images: Iterable[Tensor]) -> np.ndarray:
    """LPIPS-AlexNet (Zhang 2018) between neighbours of T images [1, 3, R, R], area-reduced to 256 pixels -> [T - 1]."""
    found: list[float] = []
    before = None
    for image in images:
        network = lpips_network("alex", str(image.device))
        after = network.features(area_resize(image, min(MEASURED, image.shape[-1])))
        if before is not None:
            found.append(network.distance(before, after).item())
        before = after
    return np.array(found)


def max_to_mean(steps: np.ndarray) -> float:
    """1: all steps are as far; 0 if nothing moves."""
    return float(steps.max() / max(steps.mean(), 1e-12))

"""Recipes for a child: which weight each row of W+ gets, and along which path. Weight 0 is the father, 1 the mother."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..interfaces import Generator, Inversion, UserError
from .mixes import MIXES

log = logging.getLogger(__name__)

MIDDLE, FINE = 4, 8  # first rows of the middle (16 and 32 pixels) and fine (64 up) styles; Karras 2019, section 3.1
PARENTS = {"father": 0.0, "mother": 1.0}


@dataclass(frozen=True)
class Blend:
    """The same `weight` for all rows. `path`: lerp, the straight line, or slerp, the arc around the mean face."""

    weight: float = 0.5
    path: str = "lerp"

    def weights(self, num_ws: int) -> Tensor:
        """[L]"""
        return torch.full((num_ws,), float(self.weight))

    def __call__(self, father: Tensor, mother: Tensor, generator: Generator) -> Tensor:
        """father, mother [L, D] -> child [L, D]. Weights outside [0, 1] are allowed, with a warning."""
        weights = self.weights(len(father))
        if len(weights) != len(father):
            raise UserError(f"blend.weights has {len(weights)} numbers; this generator has {len(father)} rows.")
        if self.path not in MIXES:
            raise UserError(f"blend.path={self.path}: choose one of {', '.join(MIXES)}")
        if bool(((weights < 0) | (weights > 1)).any()):
            log.warning(
                "blend weights outside [0, 1] leave the line between the parents: the child may look implausible"
            )
        centre = generator.statistics().mean
        return MIXES[self.path](father, mother, weights, centre)


@dataclass(frozen=True)
class PerLayer(Blend):
    """A weight for each row of W+, in order."""

    layer_weights: tuple[float, ...] = ()

    def weights(self, num_ws: int) -> Tensor:
        return torch.tensor([float(w) for w in self.layer_weights])


@dataclass(frozen=True)
class Crossover(Blend):
    """Coarse rows (pose, shape of head), middle (features) and fine (colour, texture) each from a parent, or a weight."""

    coarse: str | float = "father"
    middle: str | float = 0.5
    fine: str | float = "mother"

    def weights(self, num_ws: int) -> Tensor:
        values = [PARENTS.get(v, v) if isinstance(v, str) else v for v in (self.coarse, self.middle, self.fine)]
        for value in values:
            if not isinstance(value, (int, float)):
                raise UserError(f"blend: {value!r} is neither father, nor mother, nor a number.")
        rows = torch.full((num_ws,), float(values[2]))
        rows[:FINE], rows[:MIDDLE] = float(values[1]), float(values[0])
        return rows


@dataclass(frozen=True)
class Sibling(Blend):
    """One of many children: each row's weight is drawn around the blend's own, seeded by (seed, index) alone.

    Beta(2w, 2 - 2w): mean w, uniform where w is one half, and certain where w is 0 or 1.
    """

    base: Blend = Blend()
    seed: int = 0
    index: int = 0

    def weights(self, num_ws: int) -> Tensor:
        means = self.base.weights(num_ws).clamp(0, 1).double().numpy()
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, self.index])))
        certain = (means <= 0) | (means >= 1)
        inner = np.where(certain, 0.5, means)
        return torch.from_numpy(np.where(certain, means, random.beta(2 * inner, 2 - 2 * inner))).float()


def children(blend: Blend, siblings: int, only: tuple[int, ...] | None, seed: int) -> dict[int, Blend]:
    """Number of each child -> its recipe. Without siblings: child 0, by `blend` itself.

    `only` replays some: a sibling is the same whoever is drawn beside it.
    """
    if not siblings and only is None:
        return {0: blend}
    numbers = range(siblings) if only is None else only
    if only is not None and siblings and any(not 0 <= n < siblings for n in only):
        raise UserError(f"siblings_only={list(only)}: numbers go from 0 to {siblings - 1}.")
    return {n: Sibling(blend.weight, blend.path, blend, seed, n) for n in numbers}


def make_child(blend: Blend, father: Inversion, mother: Inversion, generator: Generator) -> Tensor:
    """ws [L, D] of the child. Raises UserError if the parents belong to different generators, or not to this one."""
    hashes = {"father": father.generator_sha256, "mother": mother.generator_sha256}
    for parent, sha256 in hashes.items():
        if sha256 != generator.sha256:
            raise UserError(
                f"the {parent}'s latents belong to another generator ({sha256[:12]}, not {generator.sha256[:12]}): "
                "latents of different generators cannot be blended. Invert both with the same one."
            )
    return blend(father.ws, mother.ws, generator)

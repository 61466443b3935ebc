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

MIDDLE, FINE = (
    4,
    8,
)  # first rows of the middle and fine styles, by the convention of StyleGAN (Karras 2019, section 3.1)
PARENTS = {"father": 0.0, "mother": 1.0}


class Recipe:
    """What all blends share: weights a row, a path between the parents, and the checks of both."""

    path: str

    def weights(self, num_ws: int) -> Tensor:
        """[L]"""
        raise AssertionError("each recipe has its own")

    def check(self, num_ws: int) -> None:
        """Raises UserError if this recipe does not fit a generator of `num_ws` rows. Before minutes of inversion."""
        if self.path not in MIXES:
            raise UserError(f"blend.path={self.path}: choose one of {', '.join(MIXES)}")
        count = len(self.weights(num_ws))
        if count != num_ws:
            raise UserError(f"blend.layer_weights has {count} numbers; this generator has {num_ws} rows.")

    def __call__(self, father: Tensor, mother: Tensor, generator: Generator) -> Tensor:
        """father, mother [L, D] -> child [L, D]. Weights outside [0, 1] are allowed, with a warning."""
        self.check(len(father))
        weights = self.weights(len(father))
        if bool(((weights < 0) | (weights > 1)).any()):
            log.warning(
                "blend weights outside [0, 1] leave the line between the parents: the child may look implausible"
            )
        return MIXES[self.path](father, mother, weights, generator.statistics().mean)


@dataclass(frozen=True)
class Blend(Recipe):
    """The same `weight` for all rows. `path`: lerp, the straight line in W; slerp, the arc around the mean face; p_lerp,
    the straight line in P."""

    weight: float = 0.5
    path: str = "lerp"

    def weights(self, num_ws: int) -> Tensor:
        return torch.full((num_ws,), float(self.weight))


@dataclass(frozen=True)
class PerLayer(Recipe):
    """A weight for each row of W+, in order."""

    layer_weights: tuple[float, ...]
    path: str = "lerp"

    def weights(self, num_ws: int) -> Tensor:
        return torch.tensor([float(w) for w in self.layer_weights])


@dataclass(frozen=True)
class Crossover(Recipe):
    """Coarse rows (pose, shape of head), middle (features) and fine (colour, texture) each from a parent, or a weight."""

    coarse: str | float = "father"
    middle: str | float = 0.5
    fine: str | float = "mother"
    path: str = "lerp"

    def weights(self, num_ws: int) -> Tensor:
        values = [PARENTS.get(v, v) if isinstance(v, str) else v for v in (self.coarse, self.middle, self.fine)]
        for value in values:
            if not isinstance(value, (int, float)):
                raise UserError(f"blend: {value!r} is neither father, nor mother, nor a number.")
        rows = torch.full((num_ws,), float(values[2]))
        rows[:FINE], rows[:MIDDLE] = float(values[1]), float(values[0])
        return rows


@dataclass(frozen=True)
class Sibling(Recipe):
    """One of many children: each row's weight is drawn around the base's own, seeded by (seed, index) alone.

    Beta(2w, 2 - 2w): mean w, uniform where w is one half, and certain where w is 0 or 1 or beyond.
    """

    base: Recipe
    seed: int = 0
    index: int = 0

    @property
    def path(self) -> str:  # type: ignore[override]
        return self.base.path

    def weights(self, num_ws: int) -> Tensor:
        means = self.base.weights(num_ws).double().numpy()
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, self.index])))
        certain = (means <= 0) | (means >= 1)
        inner = np.where(certain, 0.5, means)
        return torch.from_numpy(np.where(certain, means, random.beta(2 * inner, 2 - 2 * inner))).float()


def children(base: Recipe, siblings: int, only: list[int] | None, seed: int, num_ws: int) -> dict[int, Recipe]:
    """Number of each child -> its recipe, checked. Without siblings: child 0, by `base` itself.

    `only` replays some: a sibling is the same whoever is drawn beside it.
    """
    base.check(num_ws)
    if siblings < 0 or seed < 0:
        raise UserError("siblings and seed must not be negative.")
    if only is None:
        return {n: Sibling(base, seed, n) for n in range(siblings)} if siblings else {0: base}
    if not only or any(n < 0 or (siblings and n >= siblings) for n in only):
        raise UserError(f"siblings_only={only}: numbers from 0{f' to {siblings - 1}' if siblings else ''} are needed.")
    return {n: Sibling(base, seed, n) for n in only}


def make_child(recipe: Recipe, father: Inversion, mother: Inversion, generator: Generator) -> Tensor:
    """ws [L, D] of the child. Raises UserError if the parents belong to different generators, or not to this one."""
    for parent, inversion in (("father", father), ("mother", mother)):
        if inversion.generator_sha256 != generator.sha256:
            raise UserError(
                f"the {parent}'s latents belong to another generator ({inversion.generator_sha256[:12]}, not "
                f"{generator.sha256[:12]}): latents of different generators cannot be blended. Invert both with the same."
            )
    return recipe(father.ws, mother.ws, generator)

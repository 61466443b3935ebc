"""Recipes for a child: which weight each row of W+ gets, and along which path. Weight 0 is the father, 1 the mother."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UserError
from ..interfaces import Generator, Inversion
from ..latents import check_shape
from .interpolation import MIXES

log = logging.getLogger(__name__)

MIDDLE, FINE = (
    4,
    8,
)  # first rows of the middle and fine styles, by the convention of StyleGAN (Karras 2019, section 3.1)
PARENTS = {"father": 0.0, "mother": 1.0}


def weight_of(value: str | float, where: str) -> float:
    """father, mother or a number -> weight of the mother. Raises UserError naming `where` it was said."""
    if isinstance(value, str):
        if value not in PARENTS:
            raise UserError(f"{where}: {value!r} is neither father, nor mother, nor a number.")
        return PARENTS[value]
    return float(value)


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
        return self.mix(father, mother, weights, generator)

    def mix(self, father: Tensor, mother: Tensor, weights: Tensor, generator: Generator) -> Tensor:
        """father, mother [L, D], weights of the mother [L] -> [L, D]: along `path`; a learned fusion has its own."""
        return MIXES[self.path](father, mother, weights, generator.statistics().mean)


@dataclass(frozen=True)
class Blend(Recipe):
    """The same `weight` for all rows. `path`: lerp, the straight line in W; slerp, the arc around the mean face; p_lerp,
    the straight line in P."""

    name: ClassVar[str] = "even"

    weight: float = 0.5
    path: str = "p_lerp"

    def weights(self, num_ws: int) -> Tensor:
        return torch.full((num_ws,), float(self.weight))


@dataclass(frozen=True)
class PerLayer(Recipe):
    """A weight for each row of W+, in order."""

    name: ClassVar[str] = "per_layer"

    layer_weights: tuple[float, ...]
    path: str = "lerp"

    def weights(self, num_ws: int) -> Tensor:
        return torch.tensor([float(w) for w in self.layer_weights])


@dataclass(frozen=True)
class Ramp(Recipe):
    """BabyGAN's layer ramp: row k of L takes (k / L) ** power of the mother, so coarse features are the father's."""

    name: ClassVar[str] = "ramp"

    power: float = 1.0
    path: str = "lerp"

    def weights(self, num_ws: int) -> Tensor:
        return (torch.arange(num_ws) / num_ws) ** float(self.power)


@dataclass(frozen=True)
class Crossover(Recipe):
    """Coarse rows (pose, shape of head), middle (features) and fine (colour, texture) each from a parent, or a weight."""

    name: ClassVar[str] = "crossover"

    coarse: str | float = "father"
    middle: str | float = 0.5
    fine: str | float = "mother"
    path: str = "lerp"

    def weights(self, num_ws: int) -> Tensor:
        rows = torch.full((num_ws,), weight_of(self.fine, "blend.fine"))
        rows[:FINE], rows[:MIDDLE] = weight_of(self.middle, "blend.middle"), weight_of(self.coarse, "blend.coarse")
        return rows


def check_parents(
    father: Inversion, mother: Inversion, generator: Generator, names: tuple[str, str] = ("father", "mother")
) -> None:
    """Raises UserError, by `names`, if the two belong to different generators, or not to this one, or do not fit it."""
    for parent, inversion in zip(names, (father, mother), strict=True):
        if inversion.generator_sha256 != generator.sha256:
            raise UserError(
                f"the {parent}'s latents belong to another generator ({inversion.generator_sha256[:12]}, not "
                f"{generator.sha256[:12]}): latents of different generators cannot be blended. Invert both with the same."
            )
        check_shape(inversion.latents, generator, f"the {parent}'s latents")

"""Noise maps as a refinement: fine structure that is in no latent, found after them (Karras 2020, arXiv 1912.04958, D.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import UserError
from ..interfaces import Generator, Inversion
from ..losses.noise import autocorrelation
from .noise_map import NoiseMap
from .refining import Refining, drawn_from


@dataclass(frozen=True)
class NoiseMaps(Refining):
    """The generator's noise maps, in units of their standard deviation, brought back to their own spread at each step.

    noise: weight of what keeps them noise (`losses.noise`); it has no part in whether anything was gained. `Refining` has
    the other settings.
    """

    name: ClassVar[str] = "noise"

    learning_rate: float = 0.1
    noise: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.noise >= 0:  # NaN is refused too
            raise UserError(f"refine.noise={self.noise:g}: must not be negative.")

    def check(self, generator: Generator) -> None:
        if not generator.noise_maps():
            raise UserError("refine=noise: this generator has no noise maps.")

    def begin(self, generator: Generator, found: Inversion) -> _Maps:
        self.check(generator)
        return _Maps(generator, found, self.noise)


class _Maps:
    def __init__(self, generator: Generator, found: Inversion, weight: float) -> None:
        self.base, self.weight = drawn_from(generator, found), weight
        self.maps = [NoiseMap(one) for one in self.base["noise"] or generator.noise_maps()]

    @property
    def leaves(self) -> list[Tensor]:
        return [one.unit for one in self.maps]

    def parts(self) -> dict[str, Any]:
        return {**self.base, "noise": [one() for one in self.maps]}

    def held(self, resolution: int | None) -> dict[str, tuple[float, Tensor]]:
        if not self.weight:
            return {}
        return {"noise": (self.weight, torch.stack([autocorrelation(one()) for one in self.maps]).sum(0))}

    def settle(self) -> None:
        for one in self.maps:
            one.renormalise()

    def kept(self, found: Inversion) -> Inversion:
        return replace(found, noise=tuple(one().detach()[0, 0].cpu().clone() for one in self.maps))

"""What a photograph has beyond latents, found after them: the idea of BDInvert and StyleFeatureEditor, by optimisation.

Latents inside the population are the person as the generator would draw it: hands, a microphone, a background, the very
hair are not in them. They are added to the features of one layer, which the generator's own layers go on to draw. ws stay
as they are, so whatever blends or steers them is not touched; an edit of ws moves the features below the delta, which stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import UserError
from ..interfaces import Generator, Inversion
from .refining import Refining, drawn_from


@dataclass(frozen=True)
class Features(Refining):
    """An additive delta on the features of `side` pixels (Kang 2021, arXiv 2109.06075; Bobkov 2024, arXiv 2406.10601).

    Its unit is the standard deviation of each channel. `Refining` has the other settings.
    """

    name: ClassVar[str] = "features"

    side: int = 64

    def check(self, generator: Generator) -> None:
        if self.side not in generator.feature_sides:
            sides = ", ".join(map(str, generator.feature_sides)) or "none that can be added to"
            raise UserError(f"refine.side={self.side}: the features of this generator are {sides}.")

    def begin(self, generator: Generator, found: Inversion) -> _Delta:
        self.check(generator)
        return _Delta(generator, found, self.side)


class _Delta:
    def __init__(self, generator: Generator, found: Inversion, side: int) -> None:
        with torch.no_grad():
            (own,) = generator.features(found.ws[None].to(generator.device), [side])
        self.base = drawn_from(generator, found)
        self.unit = own.std((0, 1, 2))  # [C]
        self.moved = torch.zeros_like(own).requires_grad_()

    @property
    def leaves(self) -> list[Tensor]:
        return [self.moved]

    def parts(self) -> dict[str, Any]:
        return {**self.base, "features": self.moved * self.unit}

    def held(self, resolution: int | None) -> dict[str, tuple[float, Tensor]]:
        return {}

    def settle(self) -> None:
        """Any delta is one."""

    def kept(self, found: Inversion) -> Inversion:
        return replace(found, features=(self.moved.detach() * self.unit).half()[0].cpu())

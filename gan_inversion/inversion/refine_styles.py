"""StyleSpace (Wu 2021, arXiv 2011.12799) as a refinement: an offset of the styles, found after ws.

It is no `LatentSpace`, which must lead to ws: styles are far more numbers than ws, and no ws has most of them. So ws stay
what blends, directions and priors speak of, and what only styles can say is kept beside them.
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
class Styles(Refining):
    """An offset of every style, in the standard deviations that it has over samples of W.

    reach: deviations within which each stays; None: no bound. `Refining` has the other settings.
    """

    name: ClassVar[str] = "styles"

    learning_rate: float = 0.1
    reach: float | None = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reach is not None and not self.reach > 0:  # NaN is refused too
            raise UserError(f"refine.reach={self.reach:g}: must be above 0, or null.")

    def begin(self, generator: Generator, found: Inversion) -> _Offset:
        return _Offset(generator, found, self.reach)


class _Offset:
    def __init__(self, generator: Generator, found: Inversion, reach: float | None) -> None:
        self.base, self.reach = drawn_from(generator, found), reach
        with torch.no_grad():
            self.own = generator.styles(found.ws[None].to(generator.device))
            self.unit = style_deviation(generator)
        before = found.style_offset
        self.begun = torch.zeros_like(self.own) if before is None else before[None].to(self.own)
        self.moved = torch.zeros_like(self.own).requires_grad_()

    @property
    def leaves(self) -> list[Tensor]:
        return [self.moved]

    def parts(self) -> dict[str, Any]:
        return {**self.base, "styles": self.own + (self.begun + self.moved * self.unit)}

    def held(self, resolution: int | None) -> dict[str, tuple[float, Tensor]]:
        return {}

    @torch.no_grad()
    def settle(self) -> None:
        if self.reach is not None:
            self.moved.clamp_(-self.reach, self.reach)

    def kept(self, found: Inversion) -> Inversion:
        return replace(found, style_offset=(self.begun + self.moved.detach() * self.unit)[0].cpu())


@torch.no_grad()
def style_deviation(generator: Generator) -> Tensor:
    """[S]: standard deviation of each style over samples of W; exact, because styles are affine in w."""
    statistics, device = generator.statistics(), generator.device
    steps = (statistics.w_axes * statistics.w_std).T.to(device)  # [D, D], one deviation along each axis of W
    middle = statistics.mean.to(device)

    def styles(w: Tensor) -> Tensor:
        return generator.styles(w[:, None].expand(-1, generator.num_ws, -1))

    return (styles(middle + steps) - styles(middle[None])).square().sum(0).sqrt()

"""P: a w of its own for each layer, none of it where the generator draws nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..errors import UserError
from ..interfaces import Generator
from .p_space import REACH, from_p, to_p


@dataclass(frozen=True)
class P:
    """parameters: [N, L, D], each row in the whitened P of II2S (Zhu 2020, arXiv 2012.09036), within `reach` of its mean.

    There a sample of the generator is a standard normal vector, so `reach` counts standard deviations along each axis. II2S
    only pulls towards the mean; here the walls are hard (projected gradient), because what lies beyond them reconstructs a
    photograph without being a face: it cannot be blended, and answers no direction.
    """

    name: ClassVar[str] = "p"
    version: ClassVar[int] = 2

    reach: float = REACH

    def __post_init__(self) -> None:
        if not self.reach > 0:  # NaN is refused too
            raise UserError(f"space.reach={self.reach:g}: must be above 0.")

    def encode(self, ws: Tensor, generator: Generator) -> Tensor:
        statistics = generator.statistics()
        centred = to_p(ws) - statistics.p_mean.to(ws.device)
        return (centred @ statistics.p_whiten.to(ws.device)).clamp(-self.reach, self.reach)

    def decode(self, parameters: Tensor, generator: Generator) -> Tensor:
        statistics, device = generator.statistics(), parameters.device
        return from_p(parameters @ statistics.p_colour.to(device) + statistics.p_mean.to(device))

    def project(self, parameters: Tensor) -> None:
        parameters.clamp_(-self.reach, self.reach)

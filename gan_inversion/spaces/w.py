"""W: one w for all layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..interfaces import Generator


@dataclass(frozen=True)
class W:
    """parameters: w [N, D] (Abdal 2019, arXiv 1904.03189)."""

    name: ClassVar[str] = "w"

    def encode(self, ws: Tensor, generator: Generator) -> Tensor:
        return ws.mean(1)

    def decode(self, parameters: Tensor, generator: Generator) -> Tensor:
        return parameters[:, None].repeat(1, generator.num_ws, 1)

    def project(self, parameters: Tensor) -> None:
        """Nothing to do: every point is one of this space."""

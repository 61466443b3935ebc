"""Z: the generator's input, a standard normal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..interfaces import Generator
from .population import sample_w


@dataclass(frozen=True)
class Z:
    """parameters: z [N, z_dim]. Every point is a plausible face; few faces have a point."""

    name: ClassVar[str] = "z"

    def encode(self, ws: Tensor, generator: Generator) -> Tensor:
        """The mapping has no inverse: of 10,000 seeded samples, the one whose w is nearest the mean row."""
        z, w = sample_w(generator)
        nearest = (ws.mean(1).cpu()[:, None] - w[None]).square().sum(2).argmin(1)
        return z[nearest].to(ws.device)

    def decode(self, parameters: Tensor, generator: Generator) -> Tensor:
        return generator.mapping(parameters)[:, None].repeat(1, generator.num_ws, 1)

    def project(self, parameters: Tensor) -> None:
        """Nothing to do: every point is one of this space."""

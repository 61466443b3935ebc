"""W+: a w of its own for each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..interfaces import Generator


@dataclass(frozen=True)
class WPlus:
    """parameters: [N, L, D] (Abdal 2019, arXiv 1904.03189).

    whitening: 0 moves the numbers of w themselves. Above 0 the optimiser moves coordinates along the principal axes of
    W, each scaled by its standard deviation to this power (relative to their mean): steps then go where samples vary.
    """

    name: ClassVar[str] = "w_plus"

    whitening: float = 0.5

    def encode(self, ws: Tensor, generator: Generator) -> Tensor:
        if not self.whitening:
            return ws.clone()
        mean, axes, scale = self._axes(generator, ws.device)
        return ((ws - mean) @ axes) / scale

    def decode(self, parameters: Tensor, generator: Generator) -> Tensor:
        if not self.whitening:
            return parameters
        mean, axes, scale = self._axes(generator, parameters.device)
        return mean + (parameters * scale) @ axes.T

    def project(self, parameters: Tensor) -> None:
        """Nothing to do: every point is one of this space."""

    def _axes(self, generator: Generator, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        s = generator.statistics()
        std = s.w_std.clamp_min(1e-4)  # the smallest axes have no variance at all: dividing by it would blow up
        return s.mean.to(device), s.w_axes.to(device), ((std / std.square().mean().sqrt()) ** self.whitening).to(device)

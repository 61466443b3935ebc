"""A seeded random StyleGAN-like toy: the real class at 64 pixels, so unit tests need no weights and take milliseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UserError
from ..interfaces import WStatistics
from ..spaces.population import compute_statistics
from .mobile_stylegan import MobileStyleGAN


class Tiny(MobileStyleGAN):
    """Random weights, scaled so that activations and picture keep a usable range. It draws no faces."""

    name = "tiny"
    licence = "random numbers: no licence needed"

    def _measure(self) -> WStatistics:
        return compute_statistics(self)


@dataclass(frozen=True)
class TinySource:
    """`generator=tiny`."""

    name: ClassVar[str] = "tiny"

    seed: int = 0
    resolution: int = 64
    w_dim: int = 16
    channels: int = 16

    def load(self, device: str) -> Tiny:
        """Raises UserError for a size that cannot be."""
        return tiny(self.seed, self.resolution, self.w_dim, self.channels, device)


def tiny(seed: int = 0, resolution: int = 64, w_dim: int = 16, channels: int = 16, device: str = "cpu") -> Tiny:
    """`resolution`: a power of two from 16. `channels`: a multiple of 4. The same seed gives the same network."""
    if resolution < 16 or resolution & (resolution - 1):
        raise UserError(f"generator: resolution must be a power of two from 16, not {resolution}")
    source = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=source) * std

    state: dict[str, Tensor] = {}

    def style(name: str, width: int, gain: float) -> None:
        state[f"{name}.weight"] = normal(width, w_dim, std=gain * 0.5 / math.sqrt(w_dim))
        state[f"{name}.bias"] = torch.full((width,), gain)

    def convolution(name: str, width_in: int, width_out: int, size: int, dense: bool) -> None:
        style(f"{name}.style", width_in, math.sqrt(width_in * 9))
        if dense:
            state[f"{name}.weight"] = normal(width_out, width_in, 3, 3, std=1 / math.sqrt(width_in * 9))
        else:
            state[f"{name}.depthwise"] = normal(width_in, 1, 3, 3, std=0.15) + 0.1
            state[f"{name}.pointwise"] = normal(width_out, width_in, 1, 1, std=1 / math.sqrt(width_in))
        state[f"{name}.noise"] = normal(1, 1, size, size, std=0.05)
        state[f"{name}.bias"] = normal(width_out, std=0.1)

    for i in range(2):
        state[f"mapping_layers.{i}.weight"] = normal(w_dim, w_dim, std=1 / math.sqrt(w_dim))
        state[f"mapping_layers.{i}.bias"] = normal(w_dim, std=0.1)
    state["constant"] = normal(1, channels, 4, 4)
    convolution("conv1", channels, channels, 4, dense=True)
    size = 4
    for i in range(int(math.log2(resolution)) - 3):
        size *= 2
        style(f"blocks.{i}.up", channels, 1.0)
        convolution(f"blocks.{i}.conv1", channels // 4, channels, size, dense=False)
        convolution(f"blocks.{i}.conv2", channels, channels, size, dense=False)
    style("to_img.style", channels, math.sqrt(channels))
    state["to_img.weight"] = normal(12, channels, 1, 1, std=2.4 / math.sqrt(channels))
    state["to_img.bias"] = torch.zeros(12)
    return Tiny(state, device)

"""Noise maps that are optimised, in the search for latents or after it."""

from __future__ import annotations

import torch
from torch import Tensor


class NoiseMap:
    """A noise map on its way: of mean 0 and variance 1 for the optimiser, of the spread of the generator's own for it.

    After each update it is brought back to that, as by Karras 2020 (arXiv 1912.04958, D.2): it stays noise.
    """

    def __init__(self, own: Tensor) -> None:
        self.mean, self.std = own.mean(), own.std()
        self.unit = ((own - self.mean) / self.std.clamp_min(1e-12)).requires_grad_()  # [1, 1, H, W]

    def __call__(self) -> Tensor:
        return self.mean + self.std * self.unit

    @torch.no_grad()
    def renormalise(self) -> None:
        self.unit.sub_(self.unit.mean())
        self.unit.div_(self.unit.std().clamp_min(1e-12))

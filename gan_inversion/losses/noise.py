"""Keeps optimised noise maps noise, so that the picture is in ws and not in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError
from ..interfaces import BoundLoss, Target, Trial

SMALLEST = 8  # pixels at which the pyramid of a map ends


@dataclass(frozen=True)
class Noise:
    """Squared correlation of each map with itself shifted by a pixel, at each level of its pyramid (Karras 2020, D.2).

    Karras 2020 is arXiv 1912.04958; their weight is the default.
    """

    name: ClassVar[str] = "noise"

    weight: float = 1e5

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return ()

    def bind(self, target: Target) -> BoundLoss:
        def loss(trial: Trial) -> Tensor:
            if not trial.noise:
                raise UserError("losses.noise needs noise maps: set inversion.noise_maps=true, or leave the loss out.")
            return torch.stack([autocorrelation(noise) for noise in trial.noise]).sum(0)

        return loss


def autocorrelation(noise: Tensor) -> Tensor:
    """noise [N, 1, H, W] -> [N], summed over levels and both directions; of maps scaled to mean 0 and variance 1."""
    mean, std = noise.mean((1, 2, 3), keepdim=True), noise.std((1, 2, 3), keepdim=True)
    x, total = (noise - mean) / std.clamp_min(1e-12), noise.new_zeros(len(noise))
    while True:
        for axis in (2, 3):
            total = total + (x * x.roll(1, axis)).mean((1, 2, 3)).square()
        if x.shape[-1] <= SMALLEST:
            return total
        x = F.avg_pool2d(x, 2) * 2  # halving white noise by the mean halves its spread

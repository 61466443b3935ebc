"""Perceptual distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UserError
from ..estimators.lpips_network import lpips_network
from ..faces.masks import check_mask, masks_for, weighted_mean
from ..image import area_resize
from ..interfaces import BoundLoss, Target, Trial

SMALLEST = 32  # pixels; below, the backbones have nothing left to pool


@dataclass(frozen=True)
class LPIPS:
    """LPIPS (Zhang 2018, arXiv 1801.03924) at each of `sizes` pixels, summed with `size_weights`.

    The images are area-downsampled; a size above theirs means theirs. mask: "face" or "person", the places that count, in
    each layer's map (`faces.masks`); None: all.
    """

    name: ClassVar[str] = "lpips"

    weight: float = 2.0
    backbone: str = "alex"
    sizes: tuple[int, ...] = (256,)
    size_weights: tuple[float, ...] = (1.0,)
    mask: str | None = None

    def __post_init__(self) -> None:
        if not self.sizes or len(self.sizes) != len(self.size_weights):
            raise UserError("losses.lpips: sizes and size_weights need one number each for every size")
        check_mask(self.mask, "losses.lpips.mask")

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return (f"lpips_{self.backbone}",)

    def bind(self, target: Target) -> BoundLoss:
        network = lpips_network(self.backbone, str(target.image.device))
        weights: dict[int, float] = {}  # by size: sizes above the picture's fall together, and count once together
        for size, weight in zip(self.sizes, self.size_weights, strict=True):
            size = min(size, target.image.shape[-1])
            if size < SMALLEST:
                raise UserError(f"LPIPS needs pictures of at least {SMALLEST} pixels, not {size}.")
            weights[size] = weights.get(size, 0.0) + weight
        features = {size: network.features(area_resize(target.image, size)) for size in weights}
        masks = masks_for(target, self.mask, weights)

        def loss(trial: Trial) -> Tensor:
            total = trial.image.new_zeros(len(trial.image))
            for size, weight in weights.items():
                maps = network.maps(network.features(area_resize(trial.image, size)), features[size])
                total = total + weight * torch.stack([weighted_mean(one, masks[size]) for one in maps]).sum(0)
            return total

        return loss

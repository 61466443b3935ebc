"""Distance of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError
from ..faces.masks import check_mask, masks_for, weighted_mean
from ..image import area_resize
from ..interfaces import BoundLoss, Target, Trial

KINDS = {
    "l2": lambda a, b: (a - b).square(),
    "l1": lambda a, b: (a - b).abs(),
    "huber": lambda a, b: F.huber_loss(a, b, reduction="none", delta=0.1),
}


@dataclass(frozen=True)
class Pixel:
    """Mean over pixels of |a - b|^2, |a - b| or Huber's (delta 0.1), averaged over `sizes`, images in [-1, 1].

    mask: "face" or "person", the pixels that count (`faces.masks`); None: all.
    """

    name: ClassVar[str] = "pixel"

    weight: float = 5.0
    kind: str = "l2"
    sizes: tuple[int, ...] = (256, 32)
    mask: str | None = None

    def __post_init__(self) -> None:
        if not self.sizes:
            raise UserError("losses.pixel.sizes: at least one size is needed")
        if self.kind not in KINDS:
            raise UserError(f"losses.pixel.kind={self.kind}: choose one of {', '.join(KINDS)}")
        check_mask(self.mask, "losses.pixel.mask")

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return ("mse", "psnr")

    def bind(self, target: Target) -> BoundLoss:
        sizes = [min(size, target.image.shape[-1]) for size in self.sizes]
        masks = masks_for(target, self.mask, sizes)
        bound = [(area_resize(target.image, size), masks[size]) for size in sizes]

        def loss(trial: Trial) -> Tensor:
            total = trial.image.new_zeros(len(trial.image))
            for goal, mask in bound:
                distance = KINDS[self.kind](area_resize(trial.image, goal.shape[-1]), goal)
                total = total + weighted_mean(distance, mask)
            return total / len(sizes)

        return loss

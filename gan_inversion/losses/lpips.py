"""Perceptual distance."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..estimators.lpips_network import lpips_network
from ..image import area_resize
from ..interfaces import BoundLoss, Target, Trial, UserError


@dataclass(frozen=True)
class LPIPS:
    """LPIPS (Zhang 2018, arXiv 1801.03924) at each of `sizes` pixels, summed with `size_weights`.

    The images are area-downsampled; a size above the generator's resolution means that resolution.
    """

    weight: float = 1.0
    backbone: str = "alex"
    sizes: tuple[int, ...] = (256, 512)
    size_weights: tuple[float, ...] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not self.sizes or len(self.sizes) != len(self.size_weights):
            raise UserError("losses.lpips: sizes and size_weights need one number each for every size")

    @property
    def optimises(self) -> tuple[str, ...]:
        return (f"lpips_{self.backbone}",)

    def bind(self, target: Target) -> BoundLoss:
        network = lpips_network(self.backbone, str(target.image.device))
        sizes = [min(size, target.image.shape[-1]) for size in self.sizes]
        features = [network.features(area_resize(target.image, size)) for size in sizes]

        def loss(trial: Trial) -> Tensor:
            total = trial.image.new_zeros(len(trial.image))
            for size, weight, bound in zip(sizes, self.size_weights, features, strict=True):
                total = total + weight * network.distance(network.features(area_resize(trial.image, size)), bound)
            return total

        return loss

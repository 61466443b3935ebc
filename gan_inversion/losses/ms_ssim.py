"""Multi-scale structural similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.masks import check_mask, masks_for, weighted_mean
from ..image import area_resize
from ..interfaces import BoundLoss, Target

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW, SIGMA, RANGE = 11, 1.5, 2.0


@dataclass(frozen=True)
class MSSSIM:
    """1 - MS-SSIM at `size` pixels. mask: "face" or "person", the windows that count (`faces.masks`); None: all."""

    name: ClassVar[str] = "ms_ssim"

    weight: float = 0.2
    size: int = 256
    mask: str | None = None

    def __post_init__(self) -> None:
        check_mask(self.mask, "losses.ms_ssim.mask")

    @property
    def optimised_metrics(self) -> tuple[str, ...]:
        return ("ms_ssim",)

    def bind(self, target: Target) -> BoundLoss:
        goal = area_resize(target.image, min(self.size, target.image.shape[-1]))
        mask = masks_for(target, self.mask, [goal.shape[-1]])[goal.shape[-1]]
        return lambda trial: 1 - ms_ssim(area_resize(trial.image, goal.shape[-1]), goal, mask)


def ms_ssim(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """MS-SSIM (Wang 2003) of images [N, 3, R, R] in [-1, 1] -> [N], 1 for equal images.

    Gaussian window of 11 pixels (sigma 1.5), the published constants and scale weights. An image too small for five
    scales uses as many as leave the window room, their weights scaled to sum to one. mask [N, 1, R, R]: each window counts
    by what it is at its middle.
    """
    scales = 1
    while scales < len(SCALE_WEIGHTS) and (a.shape[-1] >> scales) >= WINDOW:
        scales += 1
    weights = torch.tensor(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    result = a.new_ones(len(a))
    for i, weight in enumerate(weights.tolist()):
        if i:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
            mask = None if mask is None else F.avg_pool2d(mask, 2)
        luminance, structure = _ssim_parts(a, b)
        term = (luminance * structure) if i == scales - 1 else structure
        edge = WINDOW // 2
        middles = None if mask is None else mask[:, :, edge:-edge, edge:-edge]
        result = result * weighted_mean(term, middles).clamp_min(1e-6) ** weight
    return result


def _ssim_parts(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    x = torch.arange(WINDOW, dtype=a.dtype, device=a.device) - WINDOW // 2
    line = torch.exp(-x.square() / (2 * SIGMA**2))
    line = line / line.sum()

    def blur(image: Tensor) -> Tensor:
        image = F.conv2d(image, line.view(1, 1, 1, -1).expand(3, 1, 1, -1), groups=3)
        return F.conv2d(image, line.view(1, 1, -1, 1).expand(3, 1, -1, 1), groups=3)

    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a * mean_a, blur(b * b) - mean_b * mean_b
    covariance = blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    return luminance, (2 * covariance + c2) / (var_a + var_b + c2)

"""What photographs have and samples lack, for whole batches and on any device: shapes of other faces, light, other
backgrounds; and, of the picture alone, blur, JPEG, noise, hands.

`alter` makes another picture, which is then the goal; `degrade` makes a worse picture of the same goal.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

QUANTISATION = (  # of luminance, ITU T.81 annex K; two rows of eight a line
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
LUMA = (0.299, 0.587, 0.114)


class Dice:
    """Random numbers for `count` pictures on their device, from one seed."""

    def __init__(self, count: int, device: torch.device, seed: int) -> None:
        self.count, self.device = count, device
        self.random = torch.Generator(device).manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape, generator=self.random, device=self.device)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(self.count, *shape, generator=self.random, device=self.device)

    def chance(self, share: float) -> Tensor:
        """[N, 1, 1, 1]: 1 for about `share` of the pictures, 0 for the others."""
        return (self.uniform(0, 1, 1, 1, 1) < share).float()


def alter(images: Tensor, dice: Dice, amount: Tensor) -> Tensor:
    """images [N, 3, S, S] in [-1, 1] -> other faces in other light before other backgrounds; amount [N, 1, 1, 1] 0..1."""
    side = images.shape[-1]
    behind = blur(images.roll(1, 0), dice.uniform(1, 8))
    mask = _outside(dice, side, images.device) * dice.chance(0.35) * (amount > 0).float()
    images = torch.lerp(images, behind, mask)
    turn = dice.normal() * math.radians(1.5) * amount.view(-1)
    scale = torch.exp(dice.normal() * 0.025 * amount.view(-1))
    affine = torch.stack([scale * turn.cos(), -scale * turn.sin(), scale * turn.sin(), scale * turn.cos()], 1)
    shift = dice.normal(2) * 0.024 * amount.view(-1, 1)
    grid = F.affine_grid(
        torch.cat([affine.view(-1, 2, 2), shift[..., None]], 2), [len(images), 3, side, side], align_corners=False
    )
    bend = images.new_zeros(len(images), 2, side, side)
    for cells, size in ((4, 0.022), (8, 0.012)):
        knots = dice.normal(2, cells, cells) * size
        bend = bend + F.interpolate(knots, (side, side), mode="bicubic", align_corners=True)
    grid = grid + bend.permute(0, 2, 3, 1) * (amount * dice.uniform(0, 1, 1, 1, 1)).view(-1, 1, 1, 1)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    grey = images.mean(1, keepdim=True)
    saturation = 1 + dice.normal(1, 1, 1) * 0.2 * amount
    gain = torch.exp(dice.normal(1, 1, 1) * 0.12 * amount)
    cast = (dice.normal(3, 1, 1) * 0.04 + dice.normal(1, 1, 1) * 0.08) * amount
    light = F.interpolate(dice.normal(1, 3, 3), (side, side), mode="bicubic", align_corners=True) * 0.12 * amount
    return ((grey + (images - grey) * saturation) * (gain + light) + cast).clamp(-1, 1)


def degrade(images: Tensor, dice: Dice) -> Tensor:
    """images [N, 3, S, S] -> the same seen worse: patches, blur, noise, JPEG, 8 bits."""
    side = images.shape[-1]
    cover = _patch(dice, side, images.device) * dice.chance(0.2)
    images = torch.lerp(images, dice.uniform(-0.8, 0.8, 1, 1, 1) + dice.normal(3, 1, 1) * 0.2, cover)
    images = torch.lerp(images, blur(images, dice.uniform(0.3, 1.8)), dice.chance(0.5))
    images = images + dice.normal(3, side, side) * dice.uniform(0.0, 0.06, 1, 1, 1) * dice.chance(0.4)
    images = torch.lerp(images, jpeg(images, dice.uniform(30, 95)), dice.chance(0.5))
    return ((images.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian; sigma [N], pixels of a 256-pixel picture. Wide ones on a quarter of the side."""
    n, _, side, _ = images.shape
    small = F.avg_pool2d(images, 4)
    wide = F.interpolate(
        _gauss(small, (sigma * side / 1024).clamp_min(0.3)), (side, side), mode="bilinear", align_corners=False
    )
    return torch.where((sigma > 2.5).view(n, 1, 1, 1), wide, _gauss(images, sigma.clamp(max=2.5) * side / 256))


def _gauss(images: Tensor, sigma: Tensor, radius: int = 5) -> Tensor:
    n, channels, height, width = images.shape
    place = torch.arange(-radius, radius + 1, device=images.device)
    kernel = torch.exp(-0.5 * (place / sigma[:, None]).square())
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None]  # [3N, 1, K]
    x = F.pad(images, (radius,) * 4, mode="replicate").reshape(1, n * channels, height + 2 * radius, -1)
    x = F.conv2d(x, kernel[..., None], groups=n * channels)
    return F.conv2d(x, kernel[:, :, None], groups=n * channels).view(n, channels, height, width)


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """What JPEG loses: 8x8 cosine transform of luma and halved chroma, rounded to steps of `quality` [N], 5..95."""
    n, _, side, _ = images.shape
    weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    luma = (images * weights).sum(1, keepdim=True)
    chroma = F.avg_pool2d(images[:, [0, 2]] - luma, 2)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50).view(n, 1, 1, 1, 1, 1) / 127.5
    red, blue = F.interpolate(_rounded(chroma, scale * 1.5), (side, side), mode="bilinear").unbind(1)
    luma = _rounded(luma, scale)[:, 0]
    green = -(red * LUMA[0] + blue * LUMA[2]) / LUMA[1]
    return torch.stack([luma + red, luma + green, luma + blue], 1)


def _rounded(x: Tensor, scale: Tensor) -> Tensor:
    n, channels, side, _ = x.shape
    frequency = torch.arange(8, device=x.device, dtype=x.dtype)
    basis = torch.cos((2 * frequency + 1) * frequency[:, None] * math.pi / 16) / 2  # [frequency, place]
    basis[0] /= math.sqrt(2)
    blocks = x.view(n, channels, side // 8, 8, side // 8, 8).transpose(3, 4)
    steps = torch.tensor(QUANTISATION, device=x.device, dtype=x.dtype).view(8, 8) * scale
    found = (basis @ blocks @ basis.T / steps).round() * steps
    return (basis.T @ found @ basis).transpose(3, 4).reshape(n, channels, side, side)


def _outside(dice: Dice, side: int, device: torch.device) -> Tensor:
    """[N, 1, S, S]: 0 within an ellipse around head and neck, 1 beyond it."""
    x = (torch.arange(side, device=device) + 0.5) / side - 0.5
    across, down = dice.uniform(0.36, 0.48, 1, 1, 1), dice.uniform(0.46, 0.6, 1, 1, 1)
    distance = ((x / across).square() + ((x[:, None] + 0.02) / down).square()).sqrt()
    return ((distance - 1) / 0.15).clamp(0, 1)


def _patch(dice: Dice, side: int, device: torch.device) -> Tensor:
    """[N, 1, S, S]: a soft-edged, turned ellipse: a hand, a strand of hair, a microphone."""
    x = (torch.arange(side, device=device) + 0.5) / side
    across, down = x - dice.uniform(0, 1, 1, 1, 1), x[:, None] - dice.uniform(0, 1, 1, 1, 1)
    angle = dice.uniform(0, math.pi, 1, 1, 1)
    u = (across * angle.cos() + down * angle.sin()) / dice.uniform(0.05, 0.17, 1, 1, 1)
    v = (down * angle.cos() - across * angle.sin()) / dice.uniform(0.05, 0.17, 1, 1, 1)
    return ((1 - (u.square() + v.square()).sqrt()) * 8 + 0.5).clamp(0, 1)

"""Preview heads: a small picture from features that a generator has half-way, for steps that need no more.

MobileStyleGAN spends three quarters of its time in its last two blocks, for detail that a loss at 256 pixels never sees.
Its file has no heads for lower resolutions; these are trained on its own samples (`scripts/train_preview_heads.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError
from ..interfaces import WStatistics

HEADS = "preview heads"  # what their file says it is
SLOPE, WIDTH, STAGES = 0.2, 64, 4


class PreviewHead(nn.Module):
    """Features [N, S, S, C] and the rows of ws that made none of them, [N, K, D] -> picture [N, 3, 2S, 2S].

    A 1x1 and two residual 3x3 convolutions, each modulated like the layers it stands for, then wavelets of the colours.
    The K rows are shared out among the four in order.
    """

    w_mean: Tensor
    w_scale: Tensor
    feature_scale: Tensor
    styles: Any  # ModuleLists, whose items mypy takes for tensors
    convs: Any

    def __init__(self, channels: int, rows: int, w_dim: int) -> None:
        super().__init__()
        self.groups = [len(part) for part in torch.tensor_split(torch.arange(rows), STAGES)]
        if min(self.groups) < 1:
            raise UserError(f"a preview head needs at least {STAGES} rows of ws after its features, not {rows}")
        self.register_buffer("w_mean", torch.zeros(w_dim))
        self.register_buffer("w_scale", torch.ones(()))
        self.register_buffer("feature_scale", torch.ones(channels))
        sizes = [channels, WIDTH, WIDTH, WIDTH]
        self.styles = nn.ModuleList(nn.Linear(g * w_dim, size) for g, size in zip(self.groups, sizes, strict=True))
        self.enter = nn.Linear(channels, WIDTH)
        self.convs = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(2))
        self.leave = nn.Linear(WIDTH, 12)

    @torch.no_grad()
    def initialise(self, seed: int, statistics: WStatistics, feature_rms: Tensor) -> None:
        """Seeded start of a training. feature_rms [C]: root mean square of each input channel."""
        random = torch.Generator().manual_seed(seed)
        self.w_mean.copy_(statistics.mean)
        self.w_scale.copy_(statistics.w_std.square().mean().sqrt())
        self.feature_scale.copy_(1 / feature_rms.clamp_min(1e-3))
        for style in self.styles:
            style.weight.copy_(torch.randn(style.weight.shape, generator=random) * 0.1)
            style.bias.fill_(1.0)
        for layer in (self.enter, *self.convs, self.leave):
            fan_in = layer.weight[0].numel()
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=random) / fan_in**0.5)
            layer.bias.zero_()

    def forward(self, x: Tensor, ws: Tensor) -> Tensor:
        n, height, width, c = x.shape
        parts = ((ws - self.w_mean) / self.w_scale).split(self.groups, dim=1)
        # Divided by the root of their number, so that one learning rate suits these wide layers and the convolutions.
        styles = [
            style(part.flatten(1) / style.in_features**0.5) for style, part in zip(self.styles, parts, strict=True)
        ]
        weight = self.enter.weight * (styles[0] * self.feature_scale)[:, None]  # [N, WIDTH, C]
        x = torch.baddbmm(self.enter.bias, x.reshape(n, height * width, c), weight.transpose(1, 2))
        x = F.leaky_relu(x, SLOPE).view(n, height, width, WIDTH).permute(0, 3, 1, 2)
        for conv, style in zip(self.convs, styles[1:3], strict=True):
            x = x + F.leaky_relu(conv(x * style[:, :, None, None]), SLOPE)
        weight = self.leave.weight * styles[3][:, None]  # [N, 12, WIDTH]
        x = x.permute(0, 2, 3, 1).reshape(n, height * width, WIDTH)
        x = torch.baddbmm(self.leave.bias[:, None], weight, x.transpose(1, 2))
        return inverse_haar(x.view(n, 12, height, width))


def inverse_haar(x: Tensor) -> Tensor:
    """[N, 4C, H, W] by band (C low-pass, C of LH, C of HL, C of HH) -> [N, C, 2H, 2W]."""
    n, c4, h, w = x.shape
    low, lh, hl, hh = x.view(n, 4, c4 // 4, h, w).mul(0.5).unbind(1)
    a, b, c, d = low + lh, low - lh, hl + hh, hl - hh
    pixels = torch.stack([a + c, a - c, b + d, b - d], 2)  # top left, top right, bottom left, bottom right
    return F.pixel_shuffle(pixels.view(n, c4, h, w), 2)


def heads_from(tensors: Mapping[str, Tensor], w_dim: int, device: str = "cpu") -> dict[int, PreviewHead]:
    """Tensors `RESOLUTION.name` -> one head a resolution, frozen."""
    heads = {}
    for resolution in sorted({int(name.split(".")[0]) for name in tensors}):
        prefix = f"{resolution}."
        state = {
            name.removeprefix(prefix): tensor.float() for name, tensor in tensors.items() if name.startswith(prefix)
        }
        rows = sum(state[f"styles.{i}.weight"].shape[1] for i in range(STAGES)) // w_dim
        heads[resolution] = PreviewHead(state["enter.weight"].shape[1], rows, w_dim)
        heads[resolution].load_state_dict(state)
        heads[resolution].requires_grad_(False).eval().to(device)
    return heads

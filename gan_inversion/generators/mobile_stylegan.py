"""MobileStyleGAN (Belousov 2021, arXiv 2104.04767): a StyleGAN2 whose blocks predict wavelets, distilled to 8 M weights.

Its W is that of its teacher, StyleGAN2 FFHQ config-f. Demodulation does not depend on the style and is folded into the
pointwise weights, so the network does not normalise itself: far outside W it saturates where StyleGAN2 would not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints.catalogue import load_weights
from ..interfaces import UserError, WStatistics
from .frozen import freeze, sha256_of
from .statistics import cached_statistics

SLOPE = 0.2


class Style(nn.Module):
    """An affine map from w to one factor a channel."""

    def __init__(self, w_dim: int, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, w_dim))
        self.bias = nn.Parameter(torch.empty(channels))
        self.gain = gain

    def forward(self, w: Tensor) -> Tensor:
        return (F.linear(w, self.weight, self.bias) * self.gain)[:, :, None, None]  # [N, C, 1, 1]


class ModulatedConv(nn.Module):
    """Style, depthwise 3x3, pointwise 1x1, noise, bias, leaky ReLU; `dense` has one full 3x3 in place of the two."""

    def __init__(self, w_dim: int, channels_in: int, channels_out: int, size: int, dense: bool = False) -> None:
        super().__init__()
        self.style = Style(w_dim, channels_in, gain=1 / math.sqrt(channels_in * 9))
        if dense:
            self.weight = nn.Parameter(torch.empty(channels_out, channels_in, 3, 3))
        else:
            self.depthwise = nn.Parameter(torch.empty(channels_in, 1, 3, 3))
            self.pointwise = nn.Parameter(torch.empty(channels_out, channels_in, 1, 1))
        self.noise = nn.Parameter(torch.empty(1, 1, size, size))
        self.bias = nn.Parameter(torch.empty(channels_out))
        self.dense = dense

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        x = x * self.style(w)
        if self.dense:
            x = F.conv2d(x, self.weight, self.bias, padding=1)
        else:
            x = F.conv2d(x, self.depthwise, padding=1, groups=x.shape[1])
            x = F.conv2d(x, self.pointwise, self.bias)
        # In place: at 512 pixels each tensor is 67 MB, and a fresh one costs more than the arithmetic on it.
        return F.leaky_relu_(x.add_(self.noise if noise is None else noise), SLOPE)


class Block(nn.Module):
    """Twice the side: modulated channels -> inverse Haar -> two modulated convolutions."""

    def __init__(self, w_dim: int, channels_in: int, channels_out: int, size: int) -> None:
        super().__init__()
        self.up = Style(w_dim, channels_in)
        self.conv1 = ModulatedConv(w_dim, channels_in // 4, channels_out, size)
        self.conv2 = ModulatedConv(w_dim, channels_out, channels_out, size)

    def forward(self, x: Tensor, w_a: Tensor, w_b: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        x = inverse_haar(x * self.up(w_a))
        return self.conv2(self.conv1(x, w_a, noise[0]), w_b, noise[1])


class ToImage(nn.Module):
    def __init__(self, w_dim: int, channels_in: int) -> None:
        super().__init__()
        self.style = Style(w_dim, channels_in, gain=1 / math.sqrt(channels_in))
        self.weight = nn.Parameter(torch.empty(12, channels_in, 1, 1))
        self.bias = nn.Parameter(torch.empty(12))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return inverse_haar(F.conv2d(x * self.style(w), self.weight, self.bias))


def inverse_haar(x: Tensor) -> Tensor:
    """[N, 4C, H, W] -> [N, C, 2H, 2W]. Channels: C low-pass, then (LH, HL, HH) of each channel in turn."""
    n, c4, h, w = x.shape
    low = x[:, : c4 // 4]
    lh, hl, hh = x[:, c4 // 4 :].reshape(n, c4 // 4, 3, h, w).unbind(2)
    a, b, c, d = low + lh, low - lh, hl + hh, hl - hh
    pixels = torch.stack([a + c, a - c, b + d, b - d], 2).mul_(0.5)  # top left, top right, bottom left, bottom right
    return F.pixel_shuffle(pixels.view(n, c4, h, w), 2)


class MobileStyleGAN(nn.Module):
    """The generator, frozen. Sizes are read from the state dict.

    W+ rows, counted as in StyleGAN2: conv1 takes row 0; block i takes 2i + 1 for `up` and `conv1`, 2i + 2 for `conv2`;
    `to_img` takes the last. Noise maps: conv1's, then each block's two (16 - 1 maps), already times their strength.
    """

    name = "mobile_stylegan"
    licence = (
        "weights: Apache-2.0 (random-face), distilled from StyleGAN2 FFHQ (NVIDIA Source Code License, non-commercial); "
        "FFHQ: CC BY-NC-SA 4.0"
    )

    def __init__(self, state: dict[str, Tensor], device: str = "cpu") -> None:
        super().__init__()
        try:
            self.w_dim = state["mapping_layers.0.weight"].shape[0]
            self.z_dim = state["mapping_layers.0.weight"].shape[1]
            channels, size = state["constant"].shape[1], state["constant"].shape[2]
            outputs = [state[f"blocks.{i}.conv1.pointwise"].shape[0] for i in range(_count(state, "blocks"))]
        except (KeyError, IndexError) as error:
            raise UserError(f"not a MobileStyleGAN: it has no tensor {error}.") from None
        layers = _count(state, "mapping_layers")
        self.mapping_layers = nn.ModuleList(nn.Linear(self.z_dim, self.w_dim) for _ in range(layers))
        self.constant = nn.Parameter(torch.empty(1, channels, size, size))
        self.conv1 = ModulatedConv(self.w_dim, channels, channels, size, dense=True)
        self.blocks = nn.ModuleList()
        for out in outputs:
            size *= 2
            self.blocks.append(Block(self.w_dim, channels, out, size))
            channels = out
        self.to_img = ToImage(self.w_dim, channels)
        self.resolution, self.num_ws = 2 * size, 2 * len(outputs) + 2
        self.load_state_dict(state, strict=True)
        freeze(self, device)
        self.sha256 = sha256_of(self)
        self._statistics: WStatistics | None = None

    @property
    def device(self) -> torch.device:
        return self.constant.device

    def mapping(self, z: Tensor) -> Tensor:
        """z [N, 512] -> w [N, 512]."""
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping_layers:
            w = F.leaky_relu(layer(w), SLOPE) * math.sqrt(2)
        return w

    def synthesis(self, ws: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """ws [N, 16, 512] -> [N, 3, 1024, 1024], about -1..1; `noise`: 15 maps [1 or N, 1, H, W] that replace its own."""
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws must be [N, {self.num_ws}, {self.w_dim}], not {list(ws.shape)}")
        maps: Sequence[Tensor | None] = [None] * (self.num_ws - 1) if noise is None else noise
        if len(maps) != self.num_ws - 1:
            raise ValueError(f"{self.num_ws - 1} noise maps are needed, not {len(maps)}")
        x = self.conv1(self.constant.expand(len(ws), -1, -1, -1), ws[:, 0], maps[0])
        for i, block in enumerate(self.blocks):
            x = block(x, ws[:, 2 * i + 1], ws[:, 2 * i + 2], maps[2 * i + 1 : 2 * i + 3])
        return self.to_img(x, ws[:, -1])

    def statistics(self) -> WStatistics:
        if self._statistics is None:
            self._statistics = self._measure()
        return self._statistics

    def _measure(self) -> WStatistics:
        return cached_statistics(self)


def _count(state: dict[str, Tensor], prefix: str) -> int:
    return len({key.split(".")[1] for key in state if key.startswith(f"{prefix}.")})


def ffhq(device: str = "cpu") -> MobileStyleGAN:
    """MobileStyleGAN FFHQ 1024, from `weights/`. Raises UserError, saying what to run, when it was not fetched."""
    return MobileStyleGAN(load_weights("mobile_stylegan_ffhq"), device)

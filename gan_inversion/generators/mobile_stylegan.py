"""MobileStyleGAN (Belousov 2021, arXiv 2104.04767): a StyleGAN2 whose blocks predict wavelets, distilled to 8 M weights.

Its W is that of its teacher, StyleGAN2 FFHQ config-f. Demodulation does not depend on the style and is folded into the
pointwise weights, so the network does not normalise itself: far outside W it saturates where StyleGAN2 would not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..assets.catalogue import load_weights
from ..assets.trained import load_trained, whole
from ..errors import UserError
from ..image import area_resize
from ..interfaces import WStatistics
from ..latents import NAMES_A_FILE
from ..spaces.population import cached_statistics
from .frozen import freeze, sha256_of
from .kernels import SLOPE, InverseHaar, SeparableConv, by_band, inverse_haar_bands, is_traced, separable_conv
from .preview import HEADS, PreviewHead, heads_from, inverse_haar


def tuned(weight: Tensor, bias: Tensor, tuning: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weight [O, ...] and bias [O] of a copy, or the layer's own. tuning [2, O]: how much more than 1 each output channel is
    multiplied by, and what is added to it, in root mean squares of the layer's bias.
    """
    if tuning is None:
        return weight, bias
    gain = (1 + tuning[0]).view(-1, *[1] * (weight.ndim - 1))
    return weight * gain, bias + tuning[1] * bias.square().mean().sqrt()


class Style(nn.Module):
    """An affine map from w to one factor a channel."""

    def __init__(self, w_dim: int, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, w_dim))
        self.bias = nn.Parameter(torch.empty(channels))
        self.gain = gain

    def forward(self, w: Tensor) -> Tensor:
        return F.linear(w, self.weight, self.bias) * self.gain  # [N, C]


class DenseConv(nn.Module):
    """Style, 3x3 convolution, noise, bias, leaky ReLU: the first layer, at 4 pixels."""

    def __init__(self, w_dim: int, channels: int, size: int) -> None:
        super().__init__()
        self.style = Style(w_dim, channels, gain=1 / math.sqrt(channels * 9))
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.noise = nn.Parameter(torch.empty(1, 1, size, size))
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None, tuning: Tensor | None = None) -> Tensor:
        """x [N, C, H, W] -> [N, H, W, C]."""
        x = F.conv2d(x * style[:, :, None, None], *tuned(self.weight, self.bias, tuning), padding=1)
        x = F.leaky_relu(x + (self.noise if noise is None else noise), SLOPE)
        return x.permute(0, 2, 3, 1).contiguous()


class ModulatedConv(nn.Module):
    """Style, depthwise 3x3, pointwise 1x1, noise, bias, leaky ReLU."""

    def __init__(self, w_dim: int, channels_in: int, channels_out: int, size: int) -> None:
        super().__init__()
        self.style = Style(w_dim, channels_in, gain=1 / math.sqrt(channels_in * 9))
        self.depthwise = nn.Parameter(torch.empty(channels_in, 1, 3, 3))
        self.pointwise = nn.Parameter(torch.empty(channels_out, channels_in, 1, 1))
        self.noise = nn.Parameter(torch.empty(1, 1, size, size))
        self.bias = nn.Parameter(torch.empty(channels_out))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None, tuning: Tensor | None = None) -> Tensor:
        noise = (self.noise if noise is None else noise).permute(0, 2, 3, 1)
        weight, bias = tuned(self.pointwise[:, :, 0, 0], self.bias, tuning)
        conv = separable_conv if is_traced() else SeparableConv.apply
        y: Tensor = conv(x, style, self.depthwise, weight, noise, bias)
        return y


class Block(nn.Module):
    """Twice the side: modulated channels -> inverse Haar -> two modulated convolutions. Images are [N, H, W, C]."""

    def __init__(self, w_dim: int, channels_in: int, channels_out: int, size: int) -> None:
        super().__init__()
        self.up = Style(w_dim, channels_in)
        self.conv1 = ModulatedConv(w_dim, channels_in // 4, channels_out, size)
        self.conv2 = ModulatedConv(w_dim, channels_out, channels_out, size)

    def forward(
        self, x: Tensor, styles: Sequence[Tensor], noise: Sequence[Tensor | None], tuning: Sequence[Tensor | None]
    ) -> Tensor:
        x = inverse_haar_bands(x, styles[0]) if is_traced() else InverseHaar.apply(x, styles[0])
        return self.conv2(self.conv1(x, styles[1], noise[0], tuning[0]), styles[2], noise[1], tuning[1])


class ToImage(nn.Module):
    """[N, H, W, C] -> wavelets of 3 colours -> [N, 3, 2H, 2W]."""

    def __init__(self, w_dim: int, channels_in: int) -> None:
        super().__init__()
        self.style = Style(w_dim, channels_in, gain=1 / math.sqrt(channels_in))
        self.weight = nn.Parameter(torch.empty(12, channels_in, 1, 1))
        self.bias = nn.Parameter(torch.empty(12))

    def forward(self, x: Tensor, style: Tensor, tuning: Tensor | None = None) -> Tensor:
        n, height, width, c = x.shape
        weight, bias = tuned(self.weight[:, :, 0, 0], self.bias, tuning)
        weight = weight * style[:, None]  # [N, 12, C]
        wavelets = torch.baddbmm(bias[:, None], weight, x.reshape(n, height * width, c).transpose(1, 2))
        return inverse_haar(wavelets.view(n, 12, height, width))


class MobileStyleGAN(nn.Module):
    """The generator, frozen. Sizes are read from the state dict.

    W+ rows, counted as in StyleGAN2: conv1 takes row 0; block i takes 2i + 1 for `up` and `conv1`, 2i + 2 for `conv2`;
    `to_img` takes the last. Noise maps: conv1's, then each block's two (16 - 1 maps), already times their strength.
    """

    name, domain = "mobile_stylegan", "face"
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
        self.conv1 = DenseConv(self.w_dim, channels, size)
        self.blocks = nn.ModuleList()
        for out in outputs:
            size *= 2
            self.blocks.append(Block(self.w_dim, channels, out, size))
            channels = out
        self.to_img = ToImage(self.w_dim, channels)
        self.resolution, self.num_ws = 2 * size, 2 * len(outputs) + 2
        self.load_state_dict(state, strict=True)
        self.sha256 = sha256_of(self)
        self._sort_by_band()
        freeze(self, device)
        self.use_previews({}, "")
        self._statistics: WStatistics | None = None

    def use_previews(self, heads: Mapping[int, PreviewHead], sha256: str) -> None:
        """Draw small pictures with `heads`, by resolution; the hash is that of their file."""
        self.previews, self.previews_sha256 = dict(heads), sha256

    @torch.no_grad()
    def _sort_by_band(self) -> None:
        """Sort, once, the channels that enter a Haar transform, so that each band is one block of memory."""
        blocks: list[Any] = list(self.blocks)
        makers: list[list[Tensor]] = [[self.conv1.weight, self.conv1.bias]]
        makers += [[block.conv2.pointwise, block.conv2.bias] for block in blocks]
        takers = [[block.up.weight, block.up.bias] for block in blocks] + [[self.to_img.weight, self.to_img.bias]]
        for made, taken in zip(makers[:-1], takers[:-1], strict=True):
            for tensor in (*made, *taken):
                tensor.copy_(tensor[by_band(len(tensor))])
        for tensor in takers[-1]:
            tensor.copy_(tensor[by_band(len(tensor))])

    @property
    def device(self) -> torch.device:
        return self.constant.device

    def mapping(self, z: Tensor) -> Tensor:
        """z [N, 512] -> w [N, 512]."""
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping_layers:
            w = F.leaky_relu(layer(w), SLOPE) * math.sqrt(2)
        return w

    def styles(self, ws: Tensor) -> Tensor:
        """ws [N, 16, 512] -> [N, S]: the factors of all channels, layer by layer (StyleSpace, Wu 2021, arXiv 2011.12799)."""
        return torch.cat([layer(ws[:, row]) for row, layer in self._affines()], 1)

    def _affines(self) -> list[tuple[int, Style]]:
        """(row of ws, affine map) of each style, in order."""
        blocks: list[Any] = list(self.blocks)
        inner = [
            pair
            for i, block in enumerate(blocks)
            for pair in ((2 * i + 1, block.up), (2 * i + 1, block.conv1.style), (2 * i + 2, block.conv2.style))
        ]
        return [(0, self.conv1.style), *inner, (self.num_ws - 1, self.to_img.style)]

    def noise_maps(self) -> list[Tensor]:
        """Its 15 maps, already times their strength."""
        return [layer.noise.detach() for _, layer in self._layers()[:-1]]

    def _layers(self) -> list[tuple[int, Any]]:
        """(pixels, layer) of each with output channels, in order; the last makes the picture."""
        blocks: list[Any] = list(self.blocks)
        sides = [side for side in self.feature_sides for _ in range(2)]
        inner = [layer for block in blocks for layer in (block.conv1, block.conv2)]
        return [(4, self.conv1), *zip(sides, inner, strict=True), (self.resolution, self.to_img)]

    @property
    def channel_sides(self) -> Tensor:
        """[K]: the pixels of the layer of each channel that can be tuned: all convolutions', and those of the wavelets."""
        return torch.cat([torch.full((len(layer.bias),), side) for side, layer in self._layers()])

    @property
    def style_rows(self) -> Tensor:
        """[S]: the row of ws that each number of `styles` comes from."""
        return torch.cat([torch.full((len(layer.bias),), row) for row, layer in self._affines()])

    def synthesis(
        self,
        ws: Tensor,
        noise: Sequence[Tensor] | None = None,
        resolution: int | None = None,
        styles: Tensor | None = None,
        features: Tensor | None = None,
        tuning: Tensor | None = None,
    ) -> Tensor:
        """ws [N, 16, 512] -> [N, 3, R, R], about -1..1. `noise`: 15 maps [1 or N, 1, H, W] that replace its own.

        R is `resolution`, by default 1024. Where there is a preview head for it, it draws from the features of R / 2
        pixels; else the whole picture is drawn and area-downsampled. `styles` [N, S] replace those of ws; a preview
        head, which stands for layers that have other styles, goes on reading ws. `features` [N, S, S, C] are added to
        those of S pixels. `tuning` [2, K] (`tuned`, layer by layer) draws all N by a tuned copy; preview heads have none.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws must be [N, {self.num_ws}, {self.w_dim}], not {list(ws.shape)}")
        if resolution is not None and resolution in self.previews:
            (x,) = self.features(ws, [resolution // 2], noise, styles, features, tuning)
            head = self.previews[resolution]
            return head(x, ws[:, -sum(head.groups) :])
        (x,) = self.features(ws, [self.resolution // 2], noise, styles, features, tuning)
        last = self.to_img.style(ws[:, -1]) if styles is None else styles[:, -len(self.to_img.style.bias) :]
        image = self.to_img(x, last, None if tuning is None else tuning[:, -len(self.to_img.bias) :])
        return image if resolution is None else area_resize(image, min(resolution, self.resolution))

    @property
    def feature_sides(self) -> tuple[int, ...]:
        """Those of its blocks."""
        return tuple(8 * 2**i for i in range(len(self.blocks)))

    def features(
        self,
        ws: Tensor,
        sides: Sequence[int],
        noise: Sequence[Tensor] | None = None,
        styles: Tensor | None = None,
        added: Tensor | None = None,
        tuning: Tensor | None = None,
    ) -> list[Tensor]:
        """Features [N, S, S, C] of the blocks with `sides` pixels, ascending; what comes after the last is not computed.

        `added` [N, S, S, C] joins those of its size; `tuning`: as in `synthesis`.
        """
        if added is not None and added.shape[1] not in self.feature_sides:
            raise ValueError(f"features of {added.shape[1]} pixels: this generator has {self.feature_sides}")
        maps: Sequence[Tensor | None] = [None] * (self.num_ws - 1) if noise is None else noise
        if len(maps) != self.num_ws - 1:
            raise ValueError(f"{self.num_ws - 1} noise maps are needed, not {len(maps)}")
        affines = self._affines()
        given = styles.split([len(layer.bias) for _, layer in affines], dim=1) if styles is not None else None

        widths = [len(layer.bias) for _, layer in self._layers()]
        tunings: Sequence[Tensor | None] = [None] * len(widths) if tuning is None else tuning.split(widths, dim=1)

        def style(i: int) -> Tensor:
            return given[i] if given is not None else affines[i][1](ws[:, affines[i][0]])

        x, found = self.conv1(self.constant.expand(ws.shape[0], -1, -1, -1), style(0), maps[0], tunings[0]), []
        for i, block in enumerate(self.blocks):
            own = slice(2 * i + 1, 2 * i + 3)
            x = block(x, [style(3 * i + k) for k in (1, 2, 3)], maps[own], tunings[own])
            if added is not None and x.shape[1] == added.shape[1]:
                x = x + added
            if x.shape[1] in sides:
                found.append(x)
            if x.shape[1] == sides[-1]:
                break
        return found

    def statistics(self) -> WStatistics:
        if self._statistics is None:
            self._statistics = self._measure()
        return self._statistics

    def _measure(self) -> WStatistics:
        return cached_statistics(self)


def _count(state: dict[str, Tensor], prefix: str) -> int:
    return len({key.split(".")[1] for key in state if key.startswith(f"{prefix}.")})


@dataclass(frozen=True)
class MobileStyleGANSource:
    """`generator=mobile_stylegan`."""

    name: ClassVar[str] = "mobile_stylegan"

    preview_heads: str | None = field(default="preview_heads_mobile_stylegan_ffhq", metadata=NAMES_A_FILE)

    def load(self, device: str) -> MobileStyleGAN:
        return ffhq(device, self.preview_heads)


def ffhq(device: str = "cpu", preview_heads: str | None = "preview_heads_mobile_stylegan_ffhq") -> MobileStyleGAN:
    """MobileStyleGAN FFHQ 1024, from `weights/`. `preview_heads`: a catalogue entry, a .safetensors file, or None.

    Raises UserError, saying what to run, when the weights were not fetched; or when the heads are another generator's.
    """
    generator = MobileStyleGAN(load_weights("mobile_stylegan_ffhq"), device)
    if preview_heads:
        trained = load_trained(preview_heads, HEADS, generator)
        with whole(preview_heads, HEADS):
            generator.use_previews(heads_from(trained.tensors, generator.w_dim, device), trained.sha256)
    return generator

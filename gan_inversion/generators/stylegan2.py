"""StyleGAN2 and StyleGAN2-ADA (Karras 2020, arXiv 1912.04958 and 2006.06676), with or without classes.

Tensors have the names and shapes of NVIDIA's stylegan2-ada-pytorch; every size is read from them.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints.checkpoint import Checkpoint
from ..errors import UserError
from .family import StyleGAN
from .kernels import is_traced
from .mapping import FullyConnected
from .modulated import GAINS, SLOPES, Kernel, StyledConv, styled_conv
from .upfirdn import resize_padding, upfirdn2d_fast

Shapes = Mapping[str, torch.Size]
ARCHITECTURES = ("skip", "resnet", "orig")
PRECISIONS = ("float32", "original")


class Layer(nn.Module):
    """x [N, I, H, W] -> [N, O, H, W], or [N, O, 2H, 2W]: style, 3x3 convolution, noise, bias, activation, clamp."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self,
        shape: tuple[int, int],  # output and input channels
        w_dim: int,
        side: int,  # pixels of its output
        up: bool,  # whether it doubles the side
        filter_shape: torch.Size,
        noisy: bool,  # whether it has noise
        activation: str,
        clamp: float | None,  # of its output's absolute values
        gain: float = 1.0,  # of its output; the clamp is scaled likewise
    ) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, shape[1])
        if up:  # so that the transposed view, which is what is convolved with, lies channels-last in memory
            turned = torch.empty(shape[1], shape[0], 3, 3, memory_format=torch.channels_last)
            self.weight = nn.Parameter(turned.transpose(0, 1))
        else:
            self.weight = nn.Parameter(torch.empty(*shape, 3, 3, memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.empty(shape[0]))
        self.register_buffer("resample_filter", torch.empty(filter_shape))
        self.noise_strength = nn.Parameter(torch.empty([])) if noisy else None
        self.register_buffer("noise_const", torch.empty(side, side) if noisy else None)
        self.side, self.up, self.activation = side, up, activation
        self.gain, self.clamp = GAINS[activation] * gain, None if clamp is None else clamp * gain
        self._kernel: tuple[Any, Kernel] | None = None

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """noise [1 or N, 1, side, side] of unit variance; None: the layer's own."""
        if self.noise_strength is not None:
            noise = (self.noise_const[None, None] if noise is None else noise) * self.noise_strength
        if x.dtype == torch.float16 or self.weight.requires_grad or is_traced():
            fir = self.resample_filter if self.up else None
            return styled_conv(x, style, noise, self.weight, self.bias, fir, self.activation, self.gain, self.clamp)
        noise = noise if noise is None else noise * self.gain
        slope = SLOPES[self.activation]
        y: Tensor = StyledConv.apply(
            x, style, noise, self.bias * self.gain, self.kernel(), self.gain, slope, self.clamp
        )
        return y

    def kernel(self) -> Kernel:
        """Made once, and again if the weight was changed, moved or replaced."""
        tensors = (self.weight, self.resample_filter)
        key = [(t.data_ptr(), t._version, t.device, t.dtype) for t in tensors]
        if self._kernel is None or self._kernel[0] != key:
            with torch.no_grad():
                fir = self.resample_filter.detach() if self.up else None
                self._kernel = key, Kernel.of(self.weight.detach(), fir)
        return self._kernel[1]


class ToImage(nn.Module):
    """x [N, C, H, W] -> colours [N, 3, H, W]: style, 1x1 convolution without demodulation, bias, clamp."""

    def __init__(self, shape: tuple[int, int], w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, shape[1])
        self.weight = nn.Parameter(torch.empty(*shape, 1, 1))
        self.bias = nn.Parameter(torch.empty(shape[0]))
        self.gain, self.clamp = 1 / math.sqrt(shape[1]), clamp

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        n, c, h, w = x.shape
        weight = (self.weight[:, :, 0, 0] * (style * self.gain)[:, None]).to(x.dtype)  # [N, 3, C]
        pixels, bias = x.permute(0, 2, 3, 1).reshape(n, h * w, c), self.bias.to(x.dtype)
        if is_traced():
            y = pixels @ weight.transpose(1, 2) + bias
        else:  # one by one: the gradient of a batched product's weight is four times slower
            y = torch.stack([F.linear(*pair, bias) for pair in zip(pixels, weight, strict=True)])  # [N, H W, 3]
        y = y.transpose(1, 2).reshape(n, -1, h, w)
        y = y if self.clamp is None else y.clamp(-self.clamp, self.clamp)
        return y.to(self.weight.dtype)


class Shortcut(nn.Module):
    """x [N, I, H, W] -> [N, O, 2H, 2W]: what a residual block adds its layers' output to."""

    resample_filter: Tensor

    def __init__(self, shape: tuple[int, int], filter_shape: torch.Size) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(*shape, 1, 1))
        self.register_buffer("resample_filter", torch.empty(filter_shape))
        self.gain = math.sqrt(0.5 / shape[1])

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, (self.weight * self.gain).to(x.dtype))
        return doubled(y, self.resample_filter)


class Block(nn.Module):
    """All that happens at one number of pixels."""

    resample_filter: Tensor
    conv0: Layer
    conv1: Layer

    def __init__(
        self, side: int, channels: int, shapes: Shapes, w_dim: int, architecture: str, last: bool, **layer: Any
    ) -> None:
        """channels: of the block before. shapes: of this block's tensors. layer: what its layers are made with."""
        super().__init__()
        self.side, self.first = side, "const" in shapes
        self.float16 = False
        if self.first:
            self.const = nn.Parameter(torch.empty(shapes["const"]))
        residual = architecture == "resnet" and not self.first
        self.register_buffer("resample_filter", torch.empty(_filter_shape(shapes, "resample_filter", side)))
        before = channels
        for name in ("conv1",) if self.first else ("conv0", "conv1"):
            inputs, channels = channels, _shape(shapes, f"{name}.weight", side)[0]
            taps = _filter_shape(shapes, f"{name}.resample_filter", side)
            gain = math.sqrt(0.5) if residual and name == "conv1" else 1.0
            setattr(self, name, Layer((channels, inputs), w_dim, side, name == "conv0", taps, gain=gain, **layer))
        self.channels = channels  # of what it makes
        self.torgb: ToImage | None = None
        if last or architecture == "skip":
            colours = _shape(shapes, "torgb.weight", side)[0]
            self.torgb = ToImage((colours, channels), w_dim, layer["clamp"])
        self.skip: Shortcut | None = None
        if residual:
            self.skip = Shortcut((channels, before), _filter_shape(shapes, "skip.resample_filter", side))

    @property
    def layers(self) -> list[Layer]:
        """Those with noise and demodulation, in order."""
        return [self.conv1] if self.first else [self.conv0, self.conv1]

    def forward(
        self, x: Tensor, image: Tensor | None, styles: Iterator[Tensor], noise: Iterator[Tensor | None]
    ) -> tuple[Tensor, Tensor | None]:
        """Features [N, I, H, W] and image [N, 3, H, W] of the block before -> those of this one."""
        x = x.to(torch.float16 if self.float16 else self.resample_filter.dtype)
        beside = None if self.skip is None else self.skip(x)
        for layer in self.layers:
            x = layer(x, next(styles), next(noise) if layer.noise_strength is not None else None)
        x = x if beside is None else beside + x
        if image is not None:
            image = doubled(image, self.resample_filter)
        if self.torgb is not None:
            colours = self.torgb(x, next(styles))
            image = colours if image is None else image + colours
        return x, image


class Synthesis(nn.Module):
    """The synthesis network: a `family.SynthesisNetwork`.

    options: "conv_clamp" (number or None: default), "activation" (lrelu: default, relu, linear), "use_noise" (True),
    "num_fp16_res" (0): how many of the highest resolutions were trained in float16, "architecture" (skip, resnet, orig;
    default: what the tensors say). Pictures smaller than the whole are those that the skip architecture adds up to.
    """

    def __init__(self, shapes: Shapes, options: Mapping[str, Any], precision: str = "float32") -> None:
        """shapes: of the tensors, without the prefix `synthesis.`.

        precision: "float32", or "original": the highest resolutions in float16, as the options say.
        Raises UserError if shapes are no StyleGAN2's, and for options and precisions that do not exist.
        """
        super().__init__()
        layer = _layer_options(options)
        if precision not in PRECISIONS:
            raise UserError(f"generator.precision={precision}: one of {', '.join(PRECISIONS)} is needed.")
        sides = _sides(shapes)
        architecture = options.get("architecture") or _architecture(shapes, sides)
        if architecture not in ARCHITECTURES:
            raise UserError(f"architecture={architecture}: one of {', '.join(ARCHITECTURES)} is needed.")
        w_dim = _shape(shapes, f"b{sides[0]}.conv1.affine.weight")[1]
        highest = int(options.get("num_fp16_res") or 0) if precision == "original" else 0
        channels = _shape(shapes, f"b{sides[0]}.const")[0]
        for i, side in enumerate(sides):
            inner = {name.removeprefix(f"b{side}."): s for name, s in shapes.items() if name.startswith(f"b{side}.")}
            block = Block(side, channels, inner, w_dim, architecture, side == sides[-1], **layer)
            channels = block.channels
            block.float16 = i > 0 and i >= len(sides) - highest  # the first block is always float32
            setattr(self, f"b{side}", block)
        self.sides, self.architecture = sides, architecture
        self.resolution, self.num_ws = sides[-1], 2 * len(sides)
        self.native: Sequence[int] = sides[:-1] if architecture == "skip" else ()
        noisy = [layer for block in self._blocks() for layer in block.layers if layer.noise_strength is not None]
        self.noise_sides: Sequence[int] = [layer.side for layer in noisy]

    def _blocks(self) -> list[Block]:
        return [getattr(self, f"b{side}") for side in self.sides]

    def affines(self) -> Sequence[tuple[int, nn.Module]]:
        """(row of ws, affine map) of each style, in order of use. Blocks share rows: colours take the next block's."""
        found: list[tuple[int, nn.Module]] = []
        row = 0
        for block in self._blocks():
            for layer in block.layers:
                found.append((row, layer.affine))
                row += 1
            if block.torgb is not None:
                found.append((row, block.torgb.affine))
        return found

    def forward(
        self, styles: Sequence[Tensor], noise: Sequence[Tensor] | None = None, resolution: int | None = None
    ) -> Tensor:
        """styles [N, S_i] each, those of colours before their gain of 1 / sqrt(S_i) -> image [N, 3, R, R]."""
        wanted = resolution or self.resolution
        if wanted not in (*self.native, self.resolution):
            raise ValueError(f"resolution={resolution}: this network draws {[*self.native, self.resolution]} only")
        blocks, parts, maps = self._blocks(), iter(styles), iter(noise if noise is not None else repeat(None))
        x = blocks[0].const.expand(styles[0].shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        image: Tensor | None = None
        for block in blocks:
            x, image = block(x, image, parts, maps)
            if block.side == wanted:
                break
        assert image is not None
        return image


def doubled(x: Tensor, f: Tensor) -> Tensor:
    """x [N, C, H, W] -> [N, C, 2H, 2W], smoothed by f."""
    return upfirdn2d_fast(x, f, up=2, padding=resize_padding(f, 2), gain=4)


def _layer_options(options: Mapping[str, Any]) -> dict[str, Any]:
    activation, clamp = options.get("activation") or "lrelu", options.get("conv_clamp")
    if activation not in SLOPES:
        raise UserError(f"activation={activation}: one of {', '.join(SLOPES)} is needed.")
    if clamp is not None and not (isinstance(clamp, int | float) and clamp >= 0):
        raise UserError(f"conv_clamp={clamp}: a number of 0 or more, or none, is needed.")
    return {"noisy": bool(options.get("use_noise", True)), "activation": activation, "clamp": clamp}


def _shape(shapes: Shapes, name: str, side: int | None = None) -> torch.Size:
    if name not in shapes:
        full = name if side is None else f"b{side}.{name}"
        raise UserError(f"not a complete stylegan2 generator: it has no tensor synthesis.{full}.")
    return shapes[name]


def _filter_shape(shapes: Shapes, name: str, side: int) -> torch.Size:
    shape = _shape(shapes, name, side)
    if len(shape) not in (1, 2) or not 1 <= max(shape) <= 64:
        raise UserError(f"not a stylegan2 generator: synthesis.b{side}.{name} {list(shape)} is no filter.")
    return shape


def _sides(shapes: Shapes) -> list[int]:
    """Pixels of the blocks, ascending."""
    found = sorted({int(match[1]) for name in shapes if (match := re.match(r"b(\d+)\.", name))})
    if not found:
        raise UserError("not a stylegan2 generator: its synthesis network has no blocks b4, b8, ...")
    const = tuple(_shape(shapes, f"b{found[0]}.const"))
    if len(const) != 3 or const[1:] != (found[0], found[0]):
        raise UserError(f"synthesis.b{found[0]}.const is {list(const)}: only square pictures are drawn here.")
    for side, after in pairwise(found):
        if after != 2 * side:
            raise UserError(f"not a complete stylegan2 generator: block synthesis.b{2 * side} is missing.")
    return found


def _architecture(shapes: Shapes, sides: Sequence[int]) -> str:
    if any(name.partition(".")[2].startswith("skip.") for name in shapes):
        return "resnet"
    inner = any(f"b{side}.torgb.weight" in shapes for side in sides[:-1])
    return "skip" if inner or len(sides) == 1 else "orig"


def build(
    checkpoint: Checkpoint,
    device: str = "cpu",
    class_label: int | None = None,
    domain: str = "face",
    precision: str = "float32",
) -> StyleGAN:
    """The generator of a checkpoint; see `family.StyleGAN` and `Synthesis`. Raises UserError if they do not fit."""
    shapes = {n.removeprefix("synthesis."): t.shape for n, t in checkpoint.state.items() if n.startswith("synthesis.")}
    network = Synthesis(shapes, checkpoint.options, precision)
    if precision != "float32":  # it draws other pictures, so it is another generator
        checkpoint = dataclasses.replace(checkpoint, options={**checkpoint.options, "precision": precision})
    return StyleGAN(checkpoint, network, device, class_label, domain)

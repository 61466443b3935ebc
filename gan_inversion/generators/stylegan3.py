"""StyleGAN3, -T and -R (Karras 2021, arXiv 2106.12423): Fourier features, then layers that alias nothing.

Rows of W+: row 0 turns and moves the Fourier features, row i + 1 styles layer i, the last of which makes the colours.
There is no noise. `network.input.transform` [3, 3] turns and moves the whole picture: it maps places in the picture (x to
the right, y down, its sides at +-0.5, homogeneous) to places in the features. Replaced in the checkpoint it is part of
the generator's hash; set later it is not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..checkpoints.checkpoint import Checkpoint
from ..errors import UserError
from .family import StyleGAN
from .filtered_lrelu import design_lowpass, filtered_lrelu, filtered_lrelu_plain
from .kernels import is_traced
from .mapping import FullyConnected

PRECISIONS = ("float32", "original")
MOST_TAPS, MOST_UPSAMPLING = 64, 8  # the published networks have 6 and 2


@dataclass(frozen=True)
class Settings:
    """What a synthesis network follows from; the defaults are -T's. Frequencies in cycles a picture."""

    img_resolution: int
    img_channels: int = 3
    w_dim: int = 512
    num_layers: int = 14  # without the one that makes the colours
    num_critical: int = 2  # layers at the end whose cutoff is half their sampling rate
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3  # the last stopband, divided by the last cutoff
    channel_base: float = 32768  # channels times twice the cutoff
    channel_max: int = 512
    margin_size: int = 10  # pixels that a layer has beyond the picture, on each side
    output_scale: float = 0.25
    num_fp16_res: int = 4  # how many of the highest resolutions run in float16 under precision "original"
    conv_kernel: int = 3  # 1 in -R
    filter_size: int = 6  # taps of a filter, divided by its factor
    lrelu_upsampling: int = 2
    use_radial_filters: bool = False  # True in -R
    conv_clamp: float | None = 256.0  # of what leaves the leaky ReLU

    def __post_init__(self) -> None:
        kinds = {"int": (int,), "float": (int, float), "float | None": (int, float, type(None)), "bool": (bool,)}
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) not in kinds[str(field.type)] or (value is not None and value < 0):
                raise TypeError(f"{field.name}={str(value)[:60]} is no number of its kind")
        if not 0 <= self.num_critical < self.num_layers:
            raise ValueError(f"num_critical={self.num_critical} of {self.num_layers} layers")
        if not (1 <= self.filter_size <= MOST_TAPS and 1 <= self.lrelu_upsampling <= MOST_UPSAMPLING):
            raise ValueError(f"filter_size={self.filter_size}, lrelu_upsampling={self.lrelu_upsampling}")

    @property
    def _progress(self) -> np.ndarray:
        return np.minimum(np.arange(self.num_layers + 1) / (self.num_layers - self.num_critical), 1)

    @property
    def cutoffs(self) -> np.ndarray:
        return self.first_cutoff * (self.img_resolution / 2 / self.first_cutoff) ** self._progress

    @property
    def stopbands(self) -> np.ndarray:
        last = self.img_resolution / 2 * self.last_stopband_rel
        return self.first_stopband * (last / self.first_stopband) ** self._progress

    @property
    def rates(self) -> np.ndarray:
        """Samples a picture: the powers of two that hold what is below the stopbands."""
        return np.exp2(np.ceil(np.log2(np.minimum(self.stopbands * 2, self.img_resolution))))

    @property
    def half_widths(self) -> np.ndarray:
        return np.maximum(self.stopbands, self.rates / 2) - self.cutoffs

    @property
    def sizes(self) -> list[int]:
        """Pixels of each layer's output, with the margin, which the last two do not have."""
        return [int(rate) + 2 * self.margin_size for rate in self.rates[:-2]] + 2 * [self.img_resolution]

    @property
    def channels(self) -> list[int]:
        inner = np.rint(np.minimum(self.channel_base / 2 / self.cutoffs[:-1], self.channel_max))
        return [*(int(c) for c in inner), self.img_channels]


def deduced(shapes: Mapping[str, torch.Size], options: Mapping[str, Any]) -> tuple[Settings, list[int]]:
    """Settings and channels of each layer, from the tensors as far as they tell, else from the options, else -T's.

    shapes: without the prefix `synthesis.`. Raises UserError if there is no network in them, or if they contradict the
    options. Options that are none of `Settings` are left to others.
    """
    matches = [match for name in shapes if (match := re.fullmatch(r"L(\d+)_(\d+)_(\d+)\.weight", name))]
    layers = sorted(tuple(int(number) for number in match.groups()) for match in matches)
    if len(layers) < 2 or [layer[0] for layer in layers] != list(range(len(layers))):
        raise UserError(f"not a complete stylegan3 generator: layers {[layer[0] for layer in layers]} were found.")
    sizes, channels = [layer[1] for layer in layers], [layer[2] for layer in layers]
    first = f"L0_{sizes[0]}_{channels[0]}"
    try:
        told: dict[str, Any] = {"w_dim": shapes[f"{first}.affine.weight"][1]}
        told["conv_kernel"] = shapes[f"{first}.weight"][-1]
    except (KeyError, IndexError):
        raise UserError(f"not a complete stylegan3 generator: no {first}.affine.weight, or of another shape.") from None
    told |= {"img_resolution": sizes[-1], "img_channels": channels[-1], "num_layers": len(layers) - 1}
    given = {field.name: options[field.name] for field in fields(Settings) if field.name in options}
    if f"{first}.down_filter" in shapes:
        told["use_radial_filters"] = len(shapes[f"{first}.down_filter"]) == 2
    if f"{first}.up_filter" in shapes:
        told["filter_size"] = shapes[f"{first}.up_filter"][0] // int(given.get("lrelu_upsampling", 2))
    for name, value in told.items():
        if name in given and given[name] != value:
            raise UserError(f"{name}={given[name]}: the tensors of this stylegan3 generator say {value}.")
    try:
        settings = Settings(**{**given, **told})
        if "margin_size" not in given:
            settings = replace(settings, margin_size=(sizes[0] - int(settings.rates[0])) // 2)
        computed = settings.sizes, settings.channels if {"channel_base", "channel_max"} <= set(given) else channels
    except (TypeError, ValueError, ArithmeticError) as error:
        raise UserError(f"its options make no stylegan3 generator: {error}") from None
    for what, ours, theirs in zip(("sizes", "channels"), computed, (sizes, channels), strict=True):
        if ours != theirs:
            raise UserError(f"options {given} make a stylegan3 of {what} {ours}, but the file's are {theirs}.")
    return settings, channels


class Input(nn.Module):
    """Style [N, 4] (cosine, sine, x, y; the first two give them all their scale) -> Fourier features [N, C, size, size]."""

    transform: Tensor
    freqs: Tensor
    phases: Tensor

    def __init__(self, w_dim: int, channels: int, size: int, rate: float, bandwidth: float) -> None:
        super().__init__()
        self.size, self.rate, self.bandwidth = size, rate, bandwidth
        self.weight = nn.Parameter(torch.empty(channels, channels))
        self.affine = FullyConnected(w_dim, 4)
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", torch.empty(channels, 2))
        self.register_buffer("phases", torch.empty(channels))

    def forward(self, style: Tensor) -> Tensor:
        cos, sin, x, y = (style / style[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        rows = [cos, -sin, sin * y - cos * x, sin, cos, -sin * x - cos * y, zero, zero, one]
        moves = torch.stack(rows, 1).view(-1, 3, 3) @ self.transform
        freqs = self.freqs @ moves[:, :2, :2]  # [N, C, 2]
        phases = self.phases[:, None] + self.freqs @ moves[:, :2, 2:]  # [N, C, 1]
        # a transform that magnifies makes frequencies that do not fit into the pixels: they fade out
        excess = freqs.norm(dim=2, keepdim=True) - self.bandwidth
        amplitudes = (1 - excess / (self.rate / 2 - self.bandwidth)).clamp(0, 1)  # [N, C, 1]
        side = (torch.arange(self.size, device=style.device, dtype=style.dtype) + 0.5 - self.size / 2) / self.rate
        grid = torch.stack([side.repeat(self.size), side.repeat_interleave(self.size)])  # [2, size * size], x and y
        waves = torch.sin((freqs @ grid + phases) * (2 * math.pi)) * amplitudes  # [N, C, size * size]
        mixed = (self.weight / math.sqrt(len(self.weight))) @ waves
        return mixed.unflatten(2, (self.size, self.size))


class ModulatedConv(torch.autograd.Function):
    """conv(x * scale) * demod + bias with zeros all around, so that each side grows by k - 1.

    x [N, I, H, W]; scale [N, I]; weight [O, I, k, k]; demod [N, O], not 0; bias [O]. Gradients: x, scale, demod. Of the
    pictures only x and the result are kept, which the neighbouring layers keep anyway.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, weight: Tensor, demod: Tensor, bias: Tensor) -> Tensor:
        y = F.conv2d(x * scale[:, :, None, None], weight, padding=weight.shape[-1] - 1)
        y.mul_(demod[:, :, None, None]).add_(bias[:, None, None])
        ctx.save_for_backward(x, scale, weight, demod, bias, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, weight, demod, bias, y = ctx.saved_tensors
        grad_demod = ((grad * y).sum((2, 3)) - bias * grad.sum((2, 3))) / demod if ctx.needs_input_grad[3] else None
        before = F.conv_transpose2d(grad * demod[:, :, None, None], weight, padding=weight.shape[-1] - 1)
        grad_scale = (x * before).sum((2, 3))
        return before.mul_(scale[:, :, None, None]), grad_scale, None, grad_demod, None


def modulated_conv_plain(x: Tensor, scale: Tensor, weight: Tensor, demod: Tensor, bias: Tensor) -> Tensor:
    """As `ModulatedConv`, in the dtype of x, which may be float16: weights are modulated, and not pictures."""
    n, o, k = len(x), len(weight), weight.shape[-1]
    if is_traced():  # groups are part of a graph, and may not be the number of samples
        y = F.conv2d(x * scale[:, :, None, None], weight, padding=k - 1)
        return y * demod[:, :, None, None] + bias[:, None, None]
    modulated = (weight * scale[:, None, :, None, None] * demod[:, :, None, None, None]).to(x.dtype)
    y = F.conv2d(x.flatten(0, 1)[None], modulated.flatten(0, 1), padding=k - 1, groups=n)
    return y.view(n, o, *y.shape[2:]) + bias.to(x.dtype)[:, None, None]


class Layer(nn.Module):
    """Style, convolution, bias, filtered leaky ReLU; the last one makes colours and has no leaky ReLU."""

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, settings: Settings, index: int, channels: Sequence[int]) -> None:
        super().__init__()
        before, rates, sizes = max(index - 1, 0), settings.rates, settings.sizes
        self.colours = index == settings.num_layers
        self.size, self.clamp = sizes[index], settings.conv_clamp
        self.narrow = rates[index] * 2**settings.num_fp16_res > settings.img_resolution
        kernel = 1 if self.colours else settings.conv_kernel
        fine = max(rates[before], rates[index]) * (1 if self.colours else settings.lrelu_upsampling)
        self.up, self.down = int(fine / rates[before]), int(fine / rates[index])

        self.affine = FullyConnected(settings.w_dim, channels[before])
        self.weight = nn.Parameter(torch.empty(channels[index], channels[before], kernel, kernel))
        self.bias = nn.Parameter(torch.empty(channels[index]))
        self.register_buffer("magnitude_ema", torch.empty(()))

        up_taps, down_taps = (1 if self.colours or f == 1 else settings.filter_size * f for f in (self.up, self.down))
        radial = settings.use_radial_filters and index < settings.num_layers - settings.num_critical
        filters = {"up_filter": (up_taps, before, False), "down_filter": (down_taps, index, radial)}
        for name, (taps, i, disc) in filters.items():
            band = float(settings.cutoffs[i]), float(2 * settings.half_widths[i]), float(fine)
            self.register_buffer(name, design_lowpass(taps, *band, disc) if taps > 1 else None)
        # what the last filter needs to make `size` pixels, less what there is; half of it before the first pixel, whose
        # centre stays in place although upsampling puts its zeros behind it (appendix C.3)
        padding = (self.size - 1) * self.down + up_taps + down_taps - 1 - (sizes[before] + kernel - 1) * self.up
        self.padding = ((padding + self.up) // 2, padding - (padding + self.up) // 2)

    def forward(self, x: Tensor, style: Tensor, half: bool) -> Tensor:
        """x [N, C, H, W] -> [N, C', size, size], in float16 if `half`."""
        if self.colours:
            scale, demod = style / math.sqrt(style.shape[1]), style.new_ones(style.shape[0], len(self.weight))
        else:  # styles and weights are normalised before they meet, so that neither's size matters
            scale = style * style.square().mean(1, keepdim=True).rsqrt()
            energy = self.weight.square().sum((2, 3))  # [C', C]
            norm = (energy.sum(1) / self.weight[0].numel()).rsqrt()  # [C']
            demod = norm * (norm.square() * (scale.square() @ energy.t()) + 1e-8).rsqrt()  # [N, C']
        scale = scale * self.magnitude_ema.rsqrt()
        fast = (
            not half
            and x.device.type == "cpu"
            and not is_traced()
            and not (self.weight.requires_grad or self.bias.requires_grad)
        )
        conv, activate = (ModulatedConv.apply, filtered_lrelu) if fast else (modulated_conv_plain, filtered_lrelu_plain)
        x = conv(x.half() if half else x.to(style.dtype), scale, self.weight, demod, self.bias)
        gain, slope = (1.0, 1.0) if self.colours else (math.sqrt(2), 0.2)
        filters = self.up_filter, self.down_filter
        return activate(x, *filters, self.up, self.down, self.padding, gain, slope, self.clamp)


class Synthesis(nn.Module):
    """The synthesis network, with uninitialised tensors of a checkpoint's names; only its filters are designed already."""

    def __init__(self, settings: Settings, channels: Sequence[int] | None = None, precision: str = "float32") -> None:
        """channels: of each layer, in place of those of the settings. precision: one of PRECISIONS."""
        super().__init__()
        if precision not in PRECISIONS:
            raise UserError(f"generator.precision={precision}: one of {', '.join(PRECISIONS)} is needed.")
        channels = settings.channels if channels is None else channels
        self.settings, self.precision = settings, precision
        self.resolution, self.num_ws = settings.img_resolution, settings.num_layers + 2
        self.native, self.noise_sides = (self.resolution,), ()
        sizes, rate = settings.sizes, float(settings.rates[0])
        self.input = Input(settings.w_dim, channels[0], sizes[0], rate, settings.first_cutoff)
        self.names = [f"L{i}_{size}_{channels[i]}" for i, size in enumerate(sizes)]
        for i, name in enumerate(self.names):
            setattr(self, name, Layer(settings, i, channels))

    def affines(self) -> list[tuple[int, nn.Module]]:
        return [(0, self.input.affine), *((i + 1, getattr(self, name).affine) for i, name in enumerate(self.names))]

    def forward(
        self, styles: Sequence[Tensor], noise: Sequence[Tensor] | None = None, resolution: int | None = None
    ) -> Tensor:
        """styles: [N, S_i] each -> [N, 3, R, R]. There is no noise, and only one resolution."""
        x = self.input(styles[0])
        for name, style in zip(self.names, styles[1:], strict=True):
            layer = getattr(self, name)
            x = layer(x, style, half=layer.narrow and self.precision == "original")
        return (x * self.settings.output_scale).to(styles[0].dtype)


def build(
    checkpoint: Checkpoint,
    device: str = "cpu",
    class_label: int | None = None,
    domain: str = "face",
    precision: str = "float32",
) -> StyleGAN:
    """The generator of a checkpoint. Filters that the file lacks are designed as its training code would.

    precision: "float32", or "original": float16 where the training had it, slow on a CPU, up to 2 % of the range off.
    Raises UserError for tensors that are missing, superfluous or of other shapes, and for options that contradict them.
    """
    shapes = {name.removeprefix("synthesis."): t.shape for name, t in checkpoint.state.items()}
    network = Synthesis(*deduced(shapes, checkpoint.options), precision)
    state = {f"synthesis.{name}": b for name, b in network.named_buffers() if name.endswith("_filter")}
    options = {**checkpoint.options, "precision": precision}
    complete = replace(checkpoint, state={**state, **checkpoint.state}, options=options)
    return StyleGAN(complete, network, device, class_label, domain)

"""StyleGAN (Karras 2019, arXiv 1812.04948): a constant, convolutions, and a style after each by AdaIN.

The tensors of `synthesis.*` are those that the picture is computed with: a frozen network has no learning rate, so what
training multiplies weights by at run time ("equalised learning rate") is multiplied in when a file is translated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints.checkpoint import Checkpoint
from ..errors import UserError
from .family import StyleGAN
from .kernels import SLOPE, is_traced
from .options import DEFAULTS as FAMILY_DEFAULTS
from .options import MAPPING

FIRST = 4  # pixels of the constant
FUSED_FROM = 128  # pixels from which fused_scale="auto" means True
EPSILON = 1e-8  # of both norms
NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "lrelu": lambda x: F.leaky_relu(x, SLOPE)}
DEFAULTS = FAMILY_DEFAULTS["stylegan"]


class Affine(nn.Module):
    """w [N, D] -> style [N, 2C]: C factors less one, then C offsets."""

    def __init__(self, w_dim: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2 * channels, w_dim))
        self.bias = nn.Parameter(torch.empty(2 * channels))

    def forward(self, w: Tensor) -> Tensor:
        return F.linear(w, self.weight, self.bias)


class Layer(nn.Module):
    """All that follows a convolution (or the constant): noise, bias, activation, norms, style."""

    noise_const: Tensor

    def __init__(self, w_dim: int, channels: int, side: int, noise: bool, options: Mapping[str, Any]) -> None:
        super().__init__()
        if noise:
            self.noise_strength = nn.Parameter(torch.empty(channels))
            self.register_buffer("noise_const", torch.empty(side, side))
        self.bias = nn.Parameter(torch.empty(channels))
        self.affine = Affine(w_dim, channels)
        self.noise, self.options = noise, options

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """x [N, C, H, W], style [N, 2C], noise [1 or N, 1, H, W] -> [N, C, H, W]."""
        n, c, h, w = x.shape
        shift = self.bias[:, None, None]
        if self.noise:  # [1 or N, C, H, W]
            shift = torch.addcmul(
                shift, self.noise_const if noise is None else noise, self.noise_strength[:, None, None]
            )
        x = NONLINEARITIES[self.options["nonlinearity"]](x + shift)
        if self.options["use_pixel_norm"]:
            x = x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()
        factor, offset = 1 + style[:, :c], style[:, c:]  # [N, C] each
        if not self.options["use_instance_norm"]:
            return x * factor[:, :, None, None] + offset[:, :, None, None]
        if is_traced():
            x = x - x.mean((2, 3), keepdim=True)
            x = x * (x.square().mean((2, 3), keepdim=True) + EPSILON).rsqrt()
            return x * factor[:, :, None, None] + offset[:, :, None, None]
        # AdaIN is batch normalisation with the maps of all samples as channels: 1.5 to 4 times faster than in steps
        x = x.reshape(1, n * c, h, w)
        x = F.batch_norm(
            x, None, None, factor.reshape(-1), offset.reshape(-1), training=True, momentum=0.0, eps=EPSILON
        )
        return x.view(n, c, h, w)


class Conv(Layer):
    """3x3 convolution and all that follows."""

    def __init__(
        self, w_dim: int, channels_in: int, channels: int, side: int, noise: bool, options: Mapping[str, Any]
    ) -> None:
        super().__init__(w_dim, channels, side, noise, options)
        self.weight = nn.Parameter(torch.empty(channels, channels_in, 3, 3))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        return super().forward(F.conv2d(x, self.weight, padding=1), style, noise)


class UpConv(Conv):
    """Twice the side: each pixel doubled, 3x3 convolution, blur, and all that follows.

    Doubling and convolving is one transposed convolution of stride 2, whose 4x4 kernel is made once of the 3x3 weights:
    less than half the multiplications. StyleGAN's own fused form does the same with the weights as they are, where its
    form in two steps (a correlation) turns them by 180 degrees, so a network must be drawn in the form it was trained in.
    """

    kernel: Tensor
    blur: Tensor | None

    def __init__(
        self, w_dim: int, channels_in: int, channels: int, side: int, noise: bool, options: Mapping[str, Any]
    ) -> None:
        super().__init__(w_dim, channels_in, channels, side, noise, options)
        fused = options["fused_scale"]
        self.fused = side >= FUSED_FROM if fused == "auto" else fused
        self.register_buffer("kernel", torch.empty(channels_in, channels, 4, 4), persistent=False)
        self.register_buffer("blur", _blur(options["blur_filter"]), persistent=False)
        self.register_load_state_dict_post_hook(_make_kernel)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        x = F.conv_transpose2d(x, self.kernel, stride=2, padding=1)  # [N, O, 2H, 2W]
        if self.blur is not None:
            height, width = map(int, self.blur.shape)
            x = F.pad(x, ((width - 1) // 2, width // 2, (height - 1) // 2, height // 2))
            x = F.conv2d(x, self.blur.expand(int(x.shape[1]), 1, -1, -1), groups=int(x.shape[1]))
        return Layer.forward(self, x, style, noise)


class ToRGB(nn.Module):
    """[N, C, H, W] -> colours [N, 3, H, W]. It has no style."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3, channels, 1, 1))
        self.bias = nn.Parameter(torch.empty(3))

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        weight = self.weight[:, :, 0, 0].expand(n, -1, -1)  # a matrix product: its backward pass is the quicker one
        return torch.baddbmm(self.bias[:, None], weight, x.flatten(2)).view(n, 3, h, w)


class Block(nn.Module):
    """The layers of one side."""

    const: nn.Parameter
    conv0: Layer
    conv1: Conv
    torgb: ToRGB


class Synthesis(nn.Module):
    """A `family.SynthesisNetwork`. Rows of ws, styles [N, 2C] and noise maps: one a layer, conv0 and conv1 of each side.

    Tensors: `b4.const` [C, 4, 4]; `b{R}.conv{0,1}.{weight, bias, noise_strength [C], noise_const [R, R], affine.weight
    [2C, D], affine.bias}` (`b4.conv0` has no weight); `b{R}.torgb.{weight, bias}` of the last side and, unused, of
    others that training grew through: what those drew, half-way, is no smaller picture of the finished network's face.
    A network without noise has neither of the noise tensors. options: DEFAULTS.
    """

    def __init__(self, shapes: Mapping[str, torch.Size], options: Mapping[str, Any]) -> None:
        """shapes: of the tensors, without the prefix `synthesis.`.

        Raises UserError naming a tensor without which sizes are unknown, or an option that is unknown or unsupported.
        """
        super().__init__()
        checked = _checked(options)
        noise = any(name.endswith(".noise_const") for name in shapes)
        channels, side = _size(shapes, "b4.const", 0), FIRST
        self.w_dim = _size(shapes, "b4.conv0.affine.weight", 1)
        while any(name.startswith(f"b{side}.") for name in shapes):
            block = Block()
            before, channels = channels, _size(shapes, f"b{side}.conv1.weight", 0)
            if side == FIRST:
                block.const = nn.Parameter(torch.empty(before, FIRST, FIRST))
                block.conv0 = Layer(self.w_dim, before, side, noise, checked)
                block.conv1 = Conv(self.w_dim, before, channels, side, noise, checked)
            else:
                block.conv0 = UpConv(self.w_dim, before, channels, side, noise, checked)
                block.conv1 = Conv(self.w_dim, channels, channels, side, noise, checked)
            if f"b{side}.torgb.weight" in shapes or not any(name.startswith(f"b{2 * side}.") for name in shapes):
                block.torgb = ToRGB(channels)
            setattr(self, f"b{side}", block)
            self.resolution, side = side, 2 * side
        self.native = (self.resolution,)
        self.noise_sides = tuple(2 ** (2 + i // 2) for i in range(len(self.layers()))) if noise else ()
        self.num_ws = len(self.layers())

    @property
    def blocks(self) -> list[Block]:
        """By side, from 4 pixels."""
        return [getattr(self, f"b{2**i}") for i in range(2, self.resolution.bit_length())]

    def layers(self) -> list[Layer]:
        """In order of use."""
        return [layer for block in self.blocks for layer in (block.conv0, block.conv1)]

    def affines(self) -> list[tuple[int, nn.Module]]:
        return [(row, layer.affine) for row, layer in enumerate(self.layers())]

    def forward(self, styles: Sequence[Tensor], noise: Sequence[Tensor] | None, resolution: int | None) -> Tensor:
        """styles: [N, 2C] each -> image [N, 3, R, R]; noise: [1 or N, 1, H, W] each, unit variance, None: its constants."""
        maps: Sequence[Tensor | None] = noise or [None] * self.num_ws
        first, last = self.blocks[0], self.blocks[-1]
        x: Tensor = first.const.expand(styles[0].shape[0], -1, -1, -1)
        for layer, style, noise_map in zip(self.layers(), styles, maps, strict=True):
            x = layer(x, style, noise_map)
        image: Tensor = last.torgb(x)
        return image


def build(
    checkpoint: Checkpoint,
    device: str = "cpu",
    class_label: int | None = None,
    domain: str = "face",
    precision: str = "float32",
) -> StyleGAN:
    """The frozen generator of a checkpoint of family "stylegan".

    Raises UserError: another family or precision, an unknown option, tensors missing, superfluous or of another shape.
    """
    if checkpoint.family != "stylegan":
        raise UserError(f"this is a {checkpoint.family} checkpoint, no stylegan.")
    if precision != "float32":
        raise UserError(f"generator.precision={precision}: StyleGAN is a float32 network; leave it out.")
    prefix = "synthesis."
    shapes = {name.removeprefix(prefix): t.shape for name, t in checkpoint.state.items() if name.startswith(prefix)}
    return StyleGAN(checkpoint, Synthesis(shapes, checkpoint.options), device, class_label, domain)


def _size(shapes: Mapping[str, torch.Size], name: str, axis: int) -> int:
    if name not in shapes:
        raise UserError(f"no StyleGAN: its synthesis network has no tensor synthesis.{name}.")
    if len(shapes[name]) <= axis:
        raise UserError(f"no StyleGAN: synthesis.{name} has the shape {list(shapes[name])}.")
    return shapes[name][axis]


def _make_kernel(layer: Any, _: Any) -> None:
    """The 4x4 kernel of a transposed convolution: the 3x3 one applied to pixels that are doubled in both directions."""
    weight = layer.weight.detach().transpose(0, 1)  # [I, O, 3, 3]
    padded = F.pad(weight if layer.fused else weight.flip(2, 3), (1, 1, 1, 1))  # [I, O, 5, 5]
    layer.kernel = F.avg_pool2d(padded, 2, stride=1, divisor_override=1)


def _blur(taps: Sequence[Any] | None) -> Tensor | None:
    """[K] or [K, K] -> [K, K] of sum 1."""
    if not taps:
        return None
    kernel = torch.tensor(taps, dtype=torch.float32)
    if kernel.ndim not in (1, 2) or kernel.sum() == 0:
        raise UserError(f"blur_filter={taps}: a list or a square of numbers, with a sum other than 0, is needed.")
    kernel = kernel if kernel.ndim == 2 else torch.outer(kernel, kernel)
    return kernel / kernel.sum()


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    unknown = [name for name in options if name not in DEFAULTS and name not in MAPPING]
    if unknown:
        raise UserError(f"StyleGAN has no option {', '.join(unknown)}; it has {', '.join([*DEFAULTS, *MAPPING])}.")
    checked = DEFAULTS | {name: value for name, value in options.items() if name in DEFAULTS}
    if checked["nonlinearity"] not in NONLINEARITIES:
        raise UserError(f"nonlinearity={checked['nonlinearity']}: one of {', '.join(NONLINEARITIES)} is needed.")
    if checked["fused_scale"] not in (True, False, "auto"):
        raise UserError(f"fused_scale={checked['fused_scale']}: true, false or auto is needed.")
    return checked

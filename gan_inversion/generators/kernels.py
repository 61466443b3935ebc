"""The two operations that a MobileStyleGAN spends its time in, with backward passes written for a frozen network, and for a
tuned copy of it.

Images are [N, H, W, C]: a pointwise convolution is then one matrix product, and a depthwise one runs three to five times
faster than in [N, C, H, W]. Styles scale channels, so they are folded into the small weights in place of the images.
Pointwise weights and biases get gradients where a copy is tuned, else they cost nothing. Measured in docs/performance.md.

Both go sample by sample, and would write the number of samples into a graph that is traced (`onnx_graph.py`): there their
plain twins `separable_conv` and `inverse_haar_bands`, of the same arithmetic in another order, stand for them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

SLOPE = 0.2


def is_traced() -> bool:
    """Whether a graph is being recorded, for any number of samples."""
    return bool(torch.jit.is_tracing())


def separable_conv(
    x: Tensor, style: Tensor, depthwise: Tensor, pointwise: Tensor, noise: Tensor, bias: Tensor
) -> Tensor:
    """As `SeparableConv`, all samples together."""
    filtered = _depthwise(x * style[:, None, None], depthwise)
    return F.leaky_relu(F.linear(filtered, pointwise, bias) + noise, SLOPE)


def inverse_haar_bands(x: Tensor, style: Tensor) -> Tensor:
    """As `InverseHaar`, in no memory of its own."""
    n, h, w, c4 = x.shape
    low, lh, hl, hh = (x * (0.5 * style)[:, None, None]).view(n, h, w, 4, c4 // 4).unbind(3)
    top, bottom, left, right = low + lh, low - lh, hl + hh, hl - hh
    rows = [torch.stack(pair, 3) for pair in ((top + left, top - left), (bottom + right, bottom - right))]
    return torch.stack(rows, 2).reshape(n, 2 * h, 2 * w, c4 // 4)


class SeparableConv(torch.autograd.Function):
    """leaky_relu(pointwise(depthwise(x * style)) + noise + bias).

    x [N, H, W, C]; style [N, C]; depthwise [C, 1, 3, 3]; pointwise [O, C]; noise [1 or N, H, W, 1]; bias [O] ->
    [N, H, W, O]. Gradients: x, style, pointwise, noise, bias.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, style: Tensor, depthwise: Tensor, pointwise: Tensor, noise: Tensor, bias: Tensor
    ) -> Tensor:
        n, h, w, c = x.shape
        filtered = _depthwise(x, depthwise)
        y = x.new_empty(n, h, w, len(pointwise))
        for i in range(n):  # each sample has weights of its own: its style is in them
            torch.addmm(bias, filtered[i].reshape(h * w, c), (pointwise * style[i]).t(), out=y[i].view(h * w, -1))
        F.leaky_relu_(y.add_(noise), SLOPE)
        ctx.save_for_backward(filtered, y, style, depthwise, pointwise)
        ctx.noise_maps = len(noise)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        filtered, y, style, depthwise, pointwise = ctx.saved_tensors
        n, h, w, c = filtered.shape
        grad = torch.ops.aten.leaky_relu_backward(grad.contiguous(), y, SLOPE, True)
        grad_noise = None
        if ctx.needs_input_grad[4]:
            grad_noise = grad.sum(3, keepdim=True)
            grad_noise = grad_noise if ctx.noise_maps > 1 else grad_noise.sum(0, keepdim=True)
        grad_pointwise, grad_bias = None, grad.sum((0, 1, 2)) if ctx.needs_input_grad[5] else None
        if ctx.needs_input_grad[3]:
            each = [grad[i].view(h * w, -1).t() @ filtered[i].reshape(h * w, c) * style[i] for i in range(n)]
            grad_pointwise = torch.stack(each).sum(0)
        before = torch.mm(grad.view(n * h * w, -1), pointwise).view(n, h, w, c)
        grad_style = (filtered * before).sum((1, 2))
        grad_x = None
        if ctx.needs_input_grad[0]:
            flipped = depthwise.flip(2, 3)
            parts = [_depthwise(before[i : i + 1], flipped * style[i].view(c, 1, 1, 1)) for i in range(n)]
            grad_x = torch.cat(parts) if n > 1 else parts[0]
        return grad_x, grad_style, None, grad_pointwise, grad_noise, grad_bias


class InverseHaar(torch.autograd.Function):
    """[N, H, W, 4C] times style [N, 4C] -> [N, 2H, 2W, C].

    Channels by band: C low-pass, C of LH, C of HL, C of HH. The transform is orthogonal: backward is its transpose.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, style: Tensor) -> Tensor:
        n, h, w, c4 = x.shape
        low, lh, hl, hh = (x * (0.5 * style)[:, None, None]).view(n, h, w, 4, c4 // 4).unbind(3)
        top, bottom, left, right = low + lh, low - lh, hl + hh, hl - hh
        y = x.new_empty(n, h, 2, w, 2, c4 // 4)
        torch.add(top, left, out=y[:, :, 0, :, 0])
        torch.sub(top, left, out=y[:, :, 0, :, 1])
        torch.add(bottom, right, out=y[:, :, 1, :, 0])
        torch.sub(bottom, right, out=y[:, :, 1, :, 1])
        ctx.save_for_backward(x, style)
        return y.view(n, 2 * h, 2 * w, c4 // 4)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, style = ctx.saved_tensors
        n, h, w, c4 = x.shape
        grad = grad.reshape(n, h, 2, w, 2, c4 // 4)
        top_left, top_right = grad[:, :, 0, :, 0], grad[:, :, 0, :, 1]
        bottom_left, bottom_right = grad[:, :, 1, :, 0], grad[:, :, 1, :, 1]
        top, bottom = top_left + top_right, bottom_left + bottom_right
        left, right = top_left - top_right, bottom_left - bottom_right
        bands = x.new_empty(n, h, w, 4, c4 // 4)
        torch.add(top, bottom, out=bands[..., 0, :])
        torch.sub(top, bottom, out=bands[..., 1, :])
        torch.add(left, right, out=bands[..., 2, :])
        torch.sub(left, right, out=bands[..., 3, :])
        scaled = bands.view(n, h, w, c4).mul_(0.5)
        return scaled * style[:, None, None], (x * scaled).sum((1, 2))


def _depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """[N, H, W, C] with [C, 1, 3, 3], padded by zeros."""
    return F.conv2d(x.permute(0, 3, 1, 2), weight, padding=1, groups=x.shape[3]).permute(0, 2, 3, 1)


def by_band(channels: int) -> Tensor:
    """Order that sorts `channels` as MobileStyleGAN stores them (C low-pass, then LH, HL, HH of each in turn) by band."""
    c = channels // 4
    return torch.cat([torch.arange(c), *(c + 3 * torch.arange(c) + band for band in range(3))])

"""StyleGAN2's convolution: styles scale what goes in, demodulation what comes out (Karras 2020, arXiv 1912.04958).

`styled_conv` says it plainly, for any precision and for weights that learn; `StyledConv` computes the same for frozen
weights, with a backward pass written for them. Pictures are [N, C, H, W], channels-last in memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .upfirdn import Padding, resize_padding, upfirdn2d_fast

SLOPES = {"linear": 1.0, "relu": 0.0, "lrelu": 0.2}  # of activations below zero
GAINS = {"linear": 1.0, "relu": math.sqrt(2), "lrelu": math.sqrt(2)}  # which follow them
EPSILON = 1e-8
SMALL = 1e-12  # stands for styles of zero where a gradient is divided by them


def styled_conv(
    x: Tensor,
    style: Tensor,
    noise: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    fir: Tensor | None,
    activation: str = "lrelu",
    gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:
    """clamp(gain * activation(demodulate(conv(x * style)) + noise + bias)).

    x [N, I, H, W], style [N, I], noise [1 or N, 1, H', W'], weight [O, I, 3, 3], bias [O] -> [N, O, H', W'].
    fir [fh, fw] or [taps]: smooths an upsampling by 2; None: no upsampling, H' = H. gain: with that of the activation.
    In float16 weights and styles are first scaled to at most 1, which demodulation undoes, as sums might overflow.
    """
    if x.dtype == torch.float16:
        weight = weight / (math.sqrt(weight[0].numel()) * weight.abs().amax((1, 2, 3), keepdim=True))
        style = style / style.abs().amax(1, keepdim=True)
    demodulation = (style.square() @ weight.square().sum((2, 3)).t() + EPSILON).rsqrt()  # [N, O]
    x = x * style.to(x.dtype)[:, :, None, None]
    weight = weight.to(x.dtype)
    if fir is None:
        x = F.conv2d(x, weight, padding=1)
    else:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = upfirdn2d_fast(x, fir, padding=smoothing_padding(fir), gain=4)
    x = x * demodulation.to(x.dtype)[:, :, None, None]
    if noise is not None:
        x = x + noise.to(x.dtype)
    x = F.leaky_relu(x + bias.to(x.dtype)[:, None, None], SLOPES[activation]) * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


def smoothing_padding(fir: Tensor) -> Padding:
    """From the 2H + 1 pixels of a transposed 3x3 convolution to 2H."""
    left, right, top, bottom = resize_padding(fir, 2)
    return left - 1, right, top - 1, bottom


@dataclass(frozen=True)
class Kernel:
    """A frozen weight [O, I, 3, 3] as `StyledConv` wants it."""

    forward: Tensor  # [O, I, 3, 3]; [I, O, 3, 3] for upsampling
    backward: Tensor  # of the convolution that makes gradients of x
    squares: Tensor  # [O, I]: sums of squares, of which demodulation is made
    fir: Tensor | None  # None: no upsampling

    @classmethod
    def of(cls, weight: Tensor, fir: Tensor | None) -> Kernel:
        squares = weight.square().sum((2, 3))
        if fir is not None:
            turned = weight.transpose(0, 1).contiguous(memory_format=torch.channels_last)
            return cls(turned, turned, squares, fir)
        weight = weight.contiguous(memory_format=torch.channels_last)
        turned = weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
        return cls(weight, turned, squares, None)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.conv2d(x, weight, bias, padding=1) if self.fir is None else F.conv_transpose2d(x, weight, stride=2)

    def smooth(self, x: Tensor) -> Tensor:
        return x if self.fir is None else upfirdn2d_fast(x, self.fir, padding=smoothing_padding(self.fir), gain=4)

    def smooth_backward(self, grad: Tensor) -> Tensor:
        if self.fir is None:
            return grad
        left, right, top, bottom = smoothing_padding(self.fir)
        fh, fw = self.fir.shape[0] - 1, self.fir.shape[-1] - 1
        flipped = self.fir.flip(tuple(range(self.fir.ndim)))
        return upfirdn2d_fast(grad, flipped, padding=(fw - left, fw - right, fh - top, fh - bottom), gain=4)


class StyledConv(torch.autograd.Function):
    """activation(gain * demodulate(conv(x * style)) + noise + bias), clamped; see `styled_conv`.

    noise and bias are already times gain: these activations do not mind a positive factor. Gradients: x, style, noise.

    Where a weight is smaller than the picture, style and demodulation scale the weight; else the picture. Of the
    picture only input and output are kept: what came out of the convolution is known from the output.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        style: Tensor,
        noise: Tensor | None,
        bias: Tensor,
        kernel: Kernel,
        gain: float,
        slope: float,
        clamp: float | None,
    ) -> Tensor:
        demodulation = gain * (style.square() @ kernel.squares.t() + EPSILON).rsqrt()  # [N, O]
        ctx.in_weights = kernel.forward.numel() <= x[0].numel()
        weights: list[Tensor] = []
        if ctx.in_weights:
            style = torch.where(style.abs() < SMALL, SMALL, style)
            for s, d in zip(style, demodulation, strict=True):
                scale = d[:, None] * s if kernel.fir is None else s[:, None] * d
                weights.append(kernel.forward * scale[:, :, None, None])
            inside = bias if kernel.fir is None else None
            parts = [kernel.convolve(x[i : i + 1], weight, inside) for i, weight in enumerate(weights)]
            y = kernel.smooth(torch.cat(parts) if len(parts) > 1 else parts[0])
        else:
            y = kernel.smooth(kernel.convolve(x * style[:, :, None, None], kernel.forward))
            y.mul_(demodulation[:, :, None, None])
        if not ctx.in_weights or kernel.fir is not None:
            y.add_(bias[:, None, None])
        if noise is not None:
            y.add_(noise)
        if slope != 1:
            F.leaky_relu_(y, slope)
        if clamp is not None:
            y.clamp_(-clamp, clamp)
        ctx.save_for_backward(x, y, style, demodulation, noise, bias, *weights)
        ctx.kernel, ctx.gain, ctx.slope, ctx.clamp = kernel, gain, slope, clamp
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, style, demodulation, noise, bias, *weights = ctx.saved_tensors
        kernel, slope = ctx.kernel, ctx.slope
        grad = grad.contiguous(memory_format=torch.channels_last)
        if ctx.clamp is not None:
            grad = torch.ops.aten.hardtanh_backward(grad, y, -ctx.clamp, ctx.clamp)
        product = grad * y  # equals that of the gradient and the picture before the activation
        if slope != 1:
            grad = torch.ops.aten.leaky_relu_backward(grad, y, slope, True)
        grad_noise = None
        if ctx.needs_input_grad[2]:
            grad_noise = grad.sum(1, keepdim=True)
            grad_noise = grad_noise if len(noise) > 1 else grad_noise.sum(0, keepdim=True)
        if noise is not None:
            product.addcmul_(grad, noise, value=-1)
        # What remains when noise and bias are taken away is the gradient of each channel's logarithm of demodulation.
        log_gradient = product.sum((2, 3)) - bias * grad.sum((2, 3))  # [N, O]
        grad_style = -style * ((log_gradient * (demodulation / ctx.gain).square()) @ kernel.squares)
        if ctx.in_weights:
            before = kernel.smooth_backward(grad)
            parts = [_input_gradient(before[i : i + 1], weight, kernel) for i, weight in enumerate(weights)]
            grad_x = torch.cat(parts) if len(parts) > 1 else parts[0]
            grad_style += (grad_x * x).sum((2, 3)) / style
        else:
            if slope == 1 and ctx.clamp is None:
                grad = grad.clone(memory_format=torch.channels_last)  # it is the caller's
            before = kernel.smooth_backward(grad.mul_(demodulation[:, :, None, None]))
            if kernel.fir is None:
                grad_x = F.conv2d(before, kernel.backward, padding=1)
            else:
                grad_x = F.conv2d(before, kernel.backward, stride=2)
            grad_style += (grad_x * x).sum((2, 3))
            grad_x.mul_(style[:, :, None, None])
        return grad_x, grad_style, grad_noise, None, None, None, None, None


def _input_gradient(grad: Tensor, weight: Tensor, kernel: Kernel) -> Tensor:
    """weight: as `kernel.forward`."""
    if kernel.fir is None:
        return F.conv_transpose2d(grad, weight, padding=1)
    return F.conv2d(grad, weight, stride=2)

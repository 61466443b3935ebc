"""Resampling pictures by whole factors with a FIR filter: zeros between pixels, borders, filter, every n-th pixel.

`upfirdn2d` says it step by step; `upfirdn2d_fast` computes the same without the zeros and the pixels thrown away.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

Padding = tuple[int, int, int, int]  # left, right, top, bottom of the picture with its zeros; negative numbers crop


def upfirdn2d(
    x: Tensor, f: Tensor, up: int = 1, down: int = 1, padding: Padding = (0, 0, 0, 0), gain: float = 1.0
) -> Tensor:
    """x [N, C, H, W], f [fh, fw], or [taps] for both directions -> [N, C, H', W'], H' = (up H + pad - fh) // down + 1.

    f is convolved, not correlated: an impulse becomes f as it is. gain multiplies the result.
    """
    n, c, h, w = x.shape
    f = (f[:, None] * f if f.ndim == 1 else f) * gain
    spread = x.new_zeros(n, c, h, up, w, up)
    spread[:, :, :, 0, :, 0] = x
    x = F.pad(spread.view(n, c, h * up, w * up), padding)
    x = F.conv2d(x, f.flip(0, 1).to(x.dtype).expand(c, 1, -1, -1), groups=c)
    return x[:, :, ::down, ::down]


def upfirdn2d_fast(
    x: Tensor, f: Tensor, up: int = 1, down: int = 1, padding: Padding = (0, 0, 0, 0), gain: float = 1.0
) -> Tensor:
    """The same by depthwise (transposed, strided) convolutions; fastest if x is channels-last."""
    if f.ndim == 2:
        return _filtered(x, f * gain, (up, up), (down, down), padding)
    f = f * math.sqrt(gain)
    x = _filtered(x, f[None], (1, up), (1, down), (padding[0], padding[1], 0, 0))
    return _filtered(x, f[:, None], (up, 1), (down, 1), (0, 0, padding[2], padding[3]))


def resize_padding(f: Tensor, up: int = 1) -> Padding:
    """What keeps `up` times as many pixels, centred."""
    fh, fw = int(f.shape[0]), int(f.shape[-1])
    return (fw + up - 1) // 2, (fw - up) // 2, (fh + up - 1) // 2, (fh - up) // 2


def _filtered(x: Tensor, f: Tensor, up: tuple[int, int], down: tuple[int, int], padding: Padding) -> Tensor:
    """f [fh, fw]; up and down are (vertical, horizontal)."""
    c, (fh, fw) = int(x.shape[1]), map(int, f.shape)  # whole numbers also where a graph is traced
    left, right, top, bottom = padding
    f = f.to(x.dtype)
    if up == (1, 1):
        kernel = f.flip(0, 1).expand(c, 1, -1, -1).contiguous()
        if left == right >= 0 and top == bottom >= 0:
            return F.conv2d(x, kernel, padding=(top, left), stride=down, groups=c)
        return F.conv2d(F.pad(x, padding), kernel, stride=down, groups=c)
    # A transposed convolution gives every pixel that the filter reaches: fh - 1 - top too many above, and so on.
    above, before = fh - 1 - top, fw - 1 - left
    below, after = fh - up[0] - bottom, fw - up[1] - right
    kernel = f.expand(c, 1, -1, -1).contiguous()
    if above == below >= 0 and before == after >= 0:
        x = F.conv_transpose2d(x, kernel, stride=up, padding=(above, before), groups=c)
    else:
        x = F.pad(F.conv_transpose2d(x, kernel, stride=up, groups=c), (-before, -after, -above, -below))
    return x if down == (1, 1) else x[:, :, :: down[0], :: down[1]]

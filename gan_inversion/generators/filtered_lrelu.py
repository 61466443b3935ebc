"""Leaky ReLU between two resamplings, and the filters for them (StyleGAN3: Karras 2021, arXiv 2106.12423, section 3).

A non-linearity makes frequencies that a picture's pixels cannot hold. So it works on finer pixels, of which a low-pass
filter keeps what fits into the old ones. `filtered_lrelu_plain` says what is computed, step by step. `filtered_lrelu`
computes the same on a CPU many times faster: resampling one axis is a matrix product whose matrix is a narrow band
that repeats itself, so it becomes products with one small tile, a few channels at a time so that they stay in the
cache. Nothing of the finer pixels is kept: backward resamples once more, which costs less than the memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE = 64  # rows of a tile: larger ones multiply more zeros, smaller ones leave more to call
CHUNK = 1 << 20  # numbers at the finer resolution at a time: 4 MB, so that a few buffers stay in a cache of 16


def design_lowpass(taps: int, cutoff: float, width: float, rate: float, radial: bool = False) -> Tensor:
    """A Kaiser-windowed low-pass filter, float32 [taps], or [taps, taps] if radial; its sum is 1.

    cutoff: where the response has fallen to a half; width: of the transition band around it; rate: samples a unit; all
    in one unit of frequency. The window follows Kaiser's estimate for this width (Oppenheim & Schafer, Discrete-Time
    Signal Processing, 7.5). radial: the ideal response is a disc in place of an interval, so its inverse transform is a
    jinc, and the result is nearly the same in all directions; the window stays square (Karras 2021, appendix C.2).
    """
    attenuation = 2.285 * (taps - 1) * math.pi * width / (rate / 2) + 7.95  # dB
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    else:
        excess = max(attenuation - 21, 0.0)
        beta = 0.5842 * excess**0.4 + 0.07886 * excess
    window = np.kaiser(taps, beta)
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    if radial:
        r = np.maximum(np.hypot(x[:, None], x), 1e-9 / rate)  # at 0 the jinc has a limit, which this is close to
        values = torch.special.bessel_j1(torch.from_numpy(2 * math.pi * cutoff * r)).numpy() / (math.pi * r)
        values = values * np.outer(window, window)
    else:
        values = np.sinc(2 * cutoff * x) * window
    return torch.from_numpy((values / values.sum()).astype(np.float32))


def filtered_lrelu_plain(
    x: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    up: int,
    down: int,
    padding: tuple[int, int],
    gain: float,
    slope: float,
    clamp: float | None,
) -> Tensor:
    """x [N, C, H, W] -> [N, C, H', W']: insert zeros, filter, leaky ReLU times gain, clamp to +-clamp, filter, drop pixels.

    up_filter, down_filter: [T], used along both axes, or [T, T]; None changes nothing. padding: zeros before and after
    each axis of what `up` has spread; negative ones cut away. H' = (H up + padding - (T_up - 1) - T_down) // down + 1.
    """
    n, (c, h, w) = x.shape[0], map(int, x.shape[1:])  # whole numbers also where a graph is traced
    spread = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1))
    y = F.pad(spread.view(n, c, h * up, w * up), (*padding, *padding))
    y = _convolved(y, up_filter) * (up**2)  # the zeros have diluted the picture
    y = F.leaky_relu(y, slope) * gain
    if clamp is not None:
        y = y.clamp(-clamp, clamp)
    return _convolved(y, down_filter)[:, :, ::down, ::down]


def filtered_lrelu(
    x: Tensor,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    up: int,
    down: int,
    padding: tuple[int, int],
    gain: float,
    slope: float,
    clamp: float | None,
) -> Tensor:
    """As `filtered_lrelu_plain`; differentiable once, in x only. up_filter has one axis, as in all of StyleGAN3."""
    f = torch.ones(1) if up_filter is None else up_filter
    finer = [side * up + sum(padding) - len(f) + 1 for side in x.shape[2:]]
    # positive factors commute with the leaky ReLU: all of them go into the first filter
    scaled = [f.double() * up * factor for factor in (gain, 1.0)]
    ups = [Resampling(g, r, c, up, 1, padding[0], x) for g, r, c in zip(scaled, finer, x.shape[2:], strict=True)]
    pairs = separated(torch.ones(1) if down_filter is None else down_filter)
    sides = [(side - len(pairs[0][0])) // down + 1 for side in finer]
    downs = [[Resampling(g, r, c, 1, down, 0, x) for g, r, c in zip(p, sides, finer, strict=True)] for p in pairs]
    y: Tensor = FilteredLeakyReLU.apply(x, ups, downs, slope, clamp)
    return y


def separated(filter2d: Tensor) -> list[tuple[Tensor, Tensor]]:
    """[T] or [T, T] -> pairs of filters [T] along H and W, float64, whose outer products sum up to it.

    The singular value decomposition: a radial filter of 12 taps is the sum of 3 to 6 pairs, which cost less than its 144
    numbers. Pairs below the rounding of float32 are left out.
    """
    if filter2d.ndim == 1:
        return [(filter2d.double(), filter2d.double())]
    left, values, right = torch.linalg.svd(filter2d.double())
    count = max(1, int((values > 1e-7 * values[0]).sum()))
    return [(left[:, i] * values[i], right[i]) for i in range(count)]


class Resampling:
    """A matrix [rows, columns] that spreads `columns` numbers by `up`, pads, convolves, and keeps each `down`-th.

    Its element (r, c) is number `taps - 1 - (c up + offset - r down)` of the filter, or 0 beyond its ends. So `up` rows
    further down it is the same again, `down` columns to the right: one tile is all that is stored.
    """

    def __init__(self, taps: Tensor, rows: int, columns: int, up: int, down: int, offset: int, like: Tensor) -> None:
        """taps: the filter, [T]; offset: zeros before the first number; like: a tensor of the dtype and device to use."""
        self.taps, self.rows, self.columns, self.up, self.down, self.offset = taps, rows, columns, up, down, offset
        self.like, last = like, len(taps) - 1
        self.height = math.lcm(max(TILE // down, 1), up)
        self.start = -(offset // up)  # the first column that row 0 reaches, maybe before the first that exists
        stop = ((self.height - 1) * down - offset + last) // up + 1
        at = last - (torch.arange(self.start, stop) * up + offset - torch.arange(self.height)[:, None] * down)
        found = taps.detach().cpu()[at.clamp(0, last)] * ((at >= 0) & (at <= last))
        self.tile = found.to(like.device, like.dtype)
        self.reach = float(taps.detach().abs().sum())  # no result exceeds this many times the largest input

    def transposed(self) -> Resampling:
        offset = len(self.taps) - 1 - self.offset
        return Resampling(self.taps.flip(0), self.columns, self.rows, self.down, self.up, offset, self.like)

    def _tiles(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """(rows, columns, the part of the tile that lies inside the matrix) from top to bottom."""
        for row in range(0, self.rows, self.height):
            start = self.start + row * self.down // self.up
            rows = slice(row, min(row + self.height, self.rows))
            columns = slice(max(start, 0), max(min(start + self.tile.shape[1], self.columns), max(start, 0)))
            yield rows, columns, self.tile[: rows.stop - row, columns.start - start : columns.stop - start]

    def along_height(self, x: Tensor, out: Tensor, add: bool = False) -> Tensor:
        """x [P, columns, W] -> out [P, rows, W]; add: to what is in it."""
        for rows, columns, tile in self._tiles():
            out[:, rows].baddbmm_(tile.expand(len(x), -1, -1), x[:, columns], beta=int(add))
        return out

    def along_width(self, x: Tensor, out: Tensor, add: bool = False) -> Tensor:
        """x [P, H, columns] -> out [P, H, rows]; add: to what is in it. Both are contiguous."""
        flat, result = x.flatten(0, 1), out.view(-1, out.shape[2])
        for rows, columns, tile in self._tiles():
            result[:, rows].addmm_(flat[:, columns], tile.t(), beta=int(add))
        return out


class FilteredLeakyReLU(torch.autograd.Function):
    """x [N, C, H, W] -> resampled -> leaky ReLU, clamp -> resampled. Gradient: x, which alone is kept.

    ups: along H and W; downs: pairs along H and W, whose results are added.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, ups: list[Resampling], downs: list[list[Resampling]], slope: float, clamp: float | None
    ) -> Tensor:
        ctx.save_for_backward(x)
        if clamp is not None:
            low, high = torch.aminmax(x)
            bound = float(torch.maximum(-low, high)) * ups[0].reach * ups[1].reach
            clamp = None if bound < clamp else clamp  # what cannot be reached need not be looked for
        ctx.ups, ctx.downs, ctx.slope, ctx.clamp = ups, downs, slope, clamp
        n, c, h, w = x.shape
        y = x.new_empty(n, c, downs[0][0].rows, downs[0][1].rows)
        planes, results = x.reshape(n * c, h, w), y.view(n * c, *y.shape[2:])
        shapes = [(h, ups[1].rows), (ups[0].rows, ups[1].rows), (y.shape[2], ups[1].rows)]

        def work(part: slice, wide: Tensor, fine: Tensor, low_rows: Tensor) -> None:
            ups[0].along_height(ups[1].along_width(planes[part], wide), fine)
            F.leaky_relu_(fine, slope)
            if clamp is not None:
                fine.clamp_(-clamp, clamp)
            for k, (vertical, horizontal) in enumerate(downs):
                horizontal.along_width(vertical.along_height(fine, low_rows), results[part], add=k > 0)

        _in_chunks(work, n * c, shapes, x)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        ups, slope, clamp = ctx.ups, ctx.slope, ctx.clamp
        ups_back = [resampling.transposed() for resampling in ups]
        downs_back = [[resampling.transposed() for resampling in pair] for pair in ctx.downs]
        n, c, h, w = x.shape
        grad_x = x.new_empty(n, c, h, w)
        planes, grads, results = x.reshape(n * c, h, w), grad.reshape(n * c, *grad.shape[2:]), grad_x.view(n * c, h, w)
        fine_shape = ups[0].rows, ups[1].rows
        shapes = [(h, ups[1].rows), fine_shape, fine_shape, (grad.shape[2], ups[1].rows)]

        def work(part: slice, wide: Tensor, z: Tensor, g: Tensor, low_rows: Tensor) -> None:
            ups[0].along_height(ups[1].along_width(planes[part], wide), z)
            for k, (vertical, horizontal) in enumerate(downs_back):
                vertical.along_height(horizontal.along_width(grads[part], low_rows), g, add=k > 0)
            if clamp is not None:  # before the slope a negative value is larger than after it
                g.mul_((z <= clamp) & (z * slope >= -clamp))
            torch.ops.aten.leaky_relu_backward.grad_input(g, z, slope, False, grad_input=g)
            ups_back[1].along_width(ups_back[0].along_height(g, wide), results[part])

        _in_chunks(work, n * c, shapes, x)
        return grad_x, None, None, None, None


def _in_chunks(work: Callable[..., None], count: int, shapes: Sequence[tuple[int, int]], like: Tensor) -> None:
    """work(planes, buffers of the given shapes) for all `count` planes, a few at a time.

    The products are too small to be shared among threads: each thread takes whole planes. It has torch's number of
    threads for itself alone, so the bits do not depend on that number.
    """
    step = max(1, min(count, CHUNK // max(height * width for height, width in shapes)))
    parts = [slice(i, min(i + step, count)) for i in range(0, count, step)]
    before, inference = torch.get_num_threads(), torch.is_inference_mode_enabled()
    threads = min(before, len(parts))

    def run(first: int) -> None:
        with torch.inference_mode(inference), torch.no_grad():  # a new thread knows nothing of the caller's mode
            buffers = [like.new_empty(step, *shape) for shape in shapes]
            for part in parts[first::threads]:
                work(part, *(buffer[: part.stop - part.start] for buffer in buffers))

    if before == 1:
        run(0)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(run, range(threads)))
    finally:
        torch.set_num_threads(before)  # which threads that begin later start with


def _convolved(x: Tensor, taps: Tensor | None) -> Tensor:
    """Each channel of [N, C, H, W] with [T] along both axes or [T, T], without padding; true convolution, so flipped."""
    if taps is None:
        return x
    kernels = [taps.flip(0, 1)] if taps.ndim == 2 else [taps.flip(0)[None], taps.flip(0)[:, None]]
    for kernel in kernels:
        x = F.conv2d(x, kernel.to(x.dtype).expand(int(x.shape[1]), 1, -1, -1), groups=int(x.shape[1]))
    return x

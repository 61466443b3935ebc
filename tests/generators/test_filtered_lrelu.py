"""The banded matrix products against the plain steps, autograd, and filters that NVIDIA's code designed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_inversion.generators.filtered_lrelu import (
    Resampling,
    design_lowpass,
    filtered_lrelu,
    filtered_lrelu_plain,
    separated,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "stylegan3_filters.npz"
CASES = {  # taps of both filters, radial, up, down, padding, clamp, H, W
    "same rate": (12, 12, False, 2, 2, (9, 8), None, 36, 40),
    "twice the rate": (24, 12, False, 4, 2, (-6, -9), 256.0, 38, 38),
    "the margin is cut": (12, 12, False, 2, 2, (-11, -12), 5.0, 70, 48),
    "radial": (12, 12, True, 2, 2, (9, 8), 5.0, 40, 36),
    "odd": (7, 9, True, 3, 5, (3, -2), 4.0, 31, 20),
    "half the rate": (9, 12, False, 2, 4, (4, 5), 4.0, 150, 20),
    "no filters": (0, 0, False, 1, 1, (0, 0), 1.0, 16, 16),
}


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def filters(up_taps: int, down_taps: int, radial: bool) -> tuple[Tensor | None, Tensor | None]:
    """Without any symmetry, so that a flipped or turned one shows."""
    shape = (down_taps, down_taps) if radial else (down_taps,)
    return numbers(up_taps, seed=1) if up_taps else None, numbers(*shape, seed=2) if down_taps else None


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("slope", [0.2, 1.0])
def test_parity_with_the_plain_steps(case: tuple, slope: float) -> None:
    up_taps, down_taps, radial, up, down, padding, clamp, h, w = case
    x = numbers(2, 3, h, w).requires_grad_()
    arguments = (*filters(up_taps, down_taps, radial), up, down, padding, math.sqrt(2), slope, clamp)
    plain, ours = filtered_lrelu_plain(x, *arguments), filtered_lrelu(x, *arguments)
    assert ours.shape == plain.shape
    assert (ours - plain).abs().max() <= 1e-12 * plain.abs().max()
    grad = numbers(*plain.shape, seed=3)
    (expected,), (found,) = torch.autograd.grad(plain, x, grad), torch.autograd.grad(ours, x, grad)
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()
    single = filtered_lrelu(x.float(), *arguments)
    assert (single - plain).abs().max() <= 1e-5 * plain.abs().max()


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("clamp", [None, 1.0])
def test_gradient(radial: bool, clamp: float | None) -> None:
    x = numbers(2, 2, 5, 4).requires_grad_()
    arguments = (*filters(4, 4, radial), 2, 2, (3, 3), 1.0, 0.2, clamp)
    assert torch.autograd.gradcheck(lambda x: filtered_lrelu(x, *arguments), (x,))


def test_the_clamp_is_applied_where_it_can_be_reached() -> None:
    """A constant of 3, leaky ReLU and gain 2, clamp 4: 4 in the middle; a clamp of 6.1 changes nothing."""
    taps = torch.full((2,), 0.5)
    for clamp, expected in ((4.0, 4.0), (6.1, 6.0)):
        y = filtered_lrelu(torch.full((1, 1, 6, 6), 3.0), taps, taps, 2, 2, (1, 1), 2.0, 0.2, clamp)
        assert y[0, 0, 2, 2].item() == pytest.approx(expected)


def test_threads_change_no_bit() -> None:
    """Nor does inference mode, which threads do not inherit, and the number of threads is as before."""
    x = numbers(1, 150, 36, 36).float().requires_grad_()
    taps = design_lowpass(12, 2.0, 4.0, 32.0)

    def results() -> list[Tensor]:
        y = filtered_lrelu(x, taps, taps, 2, 2, (9, 8), 1.0, 0.2, 256.0)
        return [y, *torch.autograd.grad(y.square().sum(), x)]

    one, before = results(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        two = results()
        with torch.inference_mode():
            frozen = filtered_lrelu(x.detach().clone(), taps, taps, 2, 2, (9, 8), 1.0, 0.2, 256.0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert torch.equal(frozen, one[0])


def test_resampling_by_hand() -> None:
    """Linear interpolation of 1, 2, 3 to twice the rate; and back by means of two."""
    x = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3)
    up = Resampling(torch.tensor([0.5, 1.0, 0.5]), 5, 3, 2, 1, 1, x)
    assert up.along_width(x, torch.empty(1, 1, 5)).flatten().tolist() == [1.0, 1.5, 2.0, 2.5, 3.0]
    down = Resampling(torch.tensor([0.5, 0.5]), 2, 5, 1, 2, 0, x)
    y = torch.tensor([1.0, 3.0, 5.0, 7.0, 9.0]).view(1, 5, 1)
    assert down.along_height(y, torch.empty(1, 2, 1)).flatten().tolist() == [2.0, 6.0]


@pytest.mark.parametrize("sizes", [(300, 148, 4, 1, -6), (70, 150, 1, 2, 0), (5, 3, 2, 1, 1)])
def test_the_transpose(sizes: tuple[int, int, int, int, int]) -> None:
    rows, columns, up, down, offset = sizes
    like = torch.empty(0, dtype=torch.float64)
    matrix = Resampling(numbers(12), rows, columns, up, down, offset, like)
    dense = matrix.along_height(torch.eye(columns, dtype=like.dtype)[None], like.new_empty(1, rows, columns))[0]
    turned = matrix.transposed().along_height(torch.eye(rows, dtype=like.dtype)[None], like.new_empty(1, columns, rows))
    assert torch.equal(turned[0], dense.t())


def test_filters_are_those_of_the_reference() -> None:
    golden = np.load(GOLDEN)
    for name in golden.files:
        taps, cutoff, width, rate, radial = (float(word) for word in name.split(","))
        ours = design_lowpass(int(taps), cutoff, width, rate, bool(radial))
        assert ours.shape == golden[name].shape
        assert np.abs(ours.numpy() - golden[name]).max() <= 1e-6 * golden[name].max()


def test_what_a_filter_passes() -> None:
    """Constants wholly, the cutoff by half, the stopband not; a jinc has no direction."""
    taps = design_lowpass(48, 4.0, 4.0, 64.0).double()
    response = torch.fft.rfft(taps, 64).abs()  # at 0, 1 ... 32
    assert response[0] == pytest.approx(1.0)
    assert response[4] == pytest.approx(0.5, abs=0.02)
    assert response[7:].max() < 0.02
    disc = design_lowpass(13, 4.0, 4.0, 32.0, radial=True)
    assert torch.allclose(disc, disc.t())
    assert disc[6, 6] == disc.max()


def test_separated_filters_sum_up() -> None:
    disc = design_lowpass(12, 8.0, 8.0, 64.0, radial=True)
    pairs = separated(disc)
    assert len(pairs) <= 6
    assert (sum(torch.outer(a, b) for a, b in pairs) - disc).abs().max() <= 1e-7 * disc.max()


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_plain_steps_on_accelerators(device: str) -> None:
    available = torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
    if not available:
        pytest.skip(f"no {device} device here")
    x = numbers(1, 3, 36, 36).float()
    up, down = design_lowpass(12, 2.0, 4.0, 32.0), design_lowpass(12, 2.0, 4.0, 32.0, radial=True)
    arguments = (2, 2, (9, 8), math.sqrt(2), 0.2, 256.0)
    there = filtered_lrelu_plain(x.to(device), up.to(device), down.to(device), *arguments)
    assert (there.cpu() - filtered_lrelu_plain(x, up, down, *arguments)).abs().max() < 1e-4

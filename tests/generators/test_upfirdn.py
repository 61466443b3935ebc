"""FIR resampling: by hand, and the fast twin against the plain one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gan_inversion.generators.upfirdn import Padding, resize_padding, upfirdn2d, upfirdn2d_fast


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_an_impulse_becomes_the_filter() -> None:
    x = torch.zeros(1, 1, 3, 4)
    x[0, 0, 1, 1] = 1
    f = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    expected = torch.zeros(4, 5)
    expected[1:3, 1:3] = f
    assert torch.equal(upfirdn2d(x, f, padding=(1, 1, 1, 1))[0, 0], expected)
    assert torch.equal(upfirdn2d_fast(x, f, padding=(1, 1, 1, 1))[0, 0], expected)


def test_doubling_by_hand() -> None:
    """[1, 3, 3, 1] / 4: each new pixel is three quarters of the nearer and one of the farther; zeros lie outside."""
    f = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    x = torch.tensor([4.0, 8.0]).view(1, 1, 1, 2)
    for resample in (upfirdn2d, upfirdn2d_fast):
        y = resample(x, f, up=2, padding=resize_padding(f, 2), gain=4)
        assert torch.allclose(y[0, 0, 0], 0.75 * torch.tensor([3.0, 5.0, 7.0, 6.0]))
        assert y.shape == (1, 1, 2, 4)


def test_a_filter_for_both_directions() -> None:
    x, f = numbers(1, 2, 6, 5), numbers(8, seed=1)
    both, outer = upfirdn2d(x, f, gain=3, padding=(4, 3, 4, 3)), upfirdn2d(x, f[:, None] * f, 1, 1, (4, 3, 4, 3), 3)
    assert torch.allclose(both, outer)
    assert torch.allclose(upfirdn2d_fast(x, f, gain=3, padding=(4, 3, 4, 3)), outer)


@pytest.mark.parametrize("shape", [(1,), (4,), (1, 1), (2, 3), (4, 4), (5, 4)])
@pytest.mark.parametrize("up, down", [(1, 1), (2, 1), (1, 2), (3, 2), (4, 1)])
@pytest.mark.parametrize("padding", [(2, 2, 1, 1), (3, 1, 0, 2), (-1, 2, 3, -2), (6, 6, 6, 6)])
def test_fast_is_plain(shape: tuple[int, ...], up: int, down: int, padding: Padding) -> None:
    x = numbers(2, 3, 8, 7).requires_grad_()
    f = numbers(*shape, seed=1)
    plain, fast = upfirdn2d(x, f, up, down, padding, 1.7), upfirdn2d_fast(x, f, up, down, padding, 1.7)
    assert plain.shape == fast.shape
    assert torch.allclose(plain, fast)
    upstream = numbers(*plain.shape, seed=2)
    (a,) = torch.autograd.grad(plain, x, upstream)
    (b,) = torch.autograd.grad(fast, x, upstream)
    assert torch.allclose(a, b)


def test_gradients() -> None:
    x, f = numbers(1, 2, 4, 3).requires_grad_(), numbers(3, 4, seed=1)
    assert torch.autograd.gradcheck(lambda t: upfirdn2d_fast(t, f, 2, 1, (2, 1, 1, 2), 4), x)
    assert torch.autograd.gradcheck(lambda t: upfirdn2d_fast(t, f, 1, 1, (1, 1, 1, 1), 4), x)

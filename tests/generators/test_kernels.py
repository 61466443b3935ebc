"""The hand-written backward passes against autograd's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gan_inversion.generators.kernels import SLOPE, InverseHaar, SeparableConv, by_band

torch.manual_seed(0)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_separable(
    x: Tensor, style: Tensor, depthwise: Tensor, pointwise: Tensor, noise: Tensor, bias: Tensor
) -> Tensor:
    y = F.conv2d((x * style[:, None, None]).permute(0, 3, 1, 2), depthwise, padding=1, groups=x.shape[3])
    y = F.conv2d(y, pointwise[:, :, None, None], bias) + noise.permute(0, 3, 1, 2)
    return F.leaky_relu(y, SLOPE).permute(0, 2, 3, 1)


def plain_haar(x: Tensor, style: Tensor) -> Tensor:
    """Each pixel is half a signed sum of the four bands."""
    low, lh, hl, hh = (x * style[:, None, None]).chunk(4, dim=3)
    rows = []
    for vertical in (1, -1):
        row = [(low + vertical * lh + horizontal * (hl + vertical * hh)) / 2 for horizontal in (1, -1)]
        rows.append(torch.stack(row, 3))  # [N, H, W, 2, C]
    n, h, w, c = low.shape
    return torch.stack(rows, 2).reshape(n, 2 * h, 2 * w, c)


@pytest.mark.parametrize("maps", [1, 2])
def test_separable_convolution(maps: int) -> None:
    fixed = numbers(6, 1, 3, 3, seed=2), numbers(5, 6, seed=3)
    moving = [numbers(2, 4, 3, 6, seed=0), numbers(2, 6, seed=1), numbers(maps, 4, 3, 1, seed=4)]
    bias = numbers(5, seed=5)

    def ours(x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        return SeparableConv.apply(x, style, *fixed, noise, bias)

    x, style, noise = moving
    assert torch.allclose(ours(*moving), plain_separable(x, style, *fixed, noise, bias))
    assert torch.autograd.gradcheck(ours, [tensor.requires_grad_() for tensor in moving])


def test_a_tuned_copy_has_gradients() -> None:
    """Of pointwise weights and biases too; and asked for or not, the others are the same to the bit."""
    depthwise = numbers(6, 1, 3, 3, seed=2)
    moving = [numbers(2, 4, 3, 6), numbers(2, 6, seed=1), numbers(5, 6, seed=3), numbers(5, seed=5)]
    noise = numbers(1, 4, 3, 1, seed=4)

    def ours(x: Tensor, style: Tensor, pointwise: Tensor, bias: Tensor) -> Tensor:
        return SeparableConv.apply(x, style, depthwise, pointwise, noise, bias)

    def plain(x: Tensor, style: Tensor, pointwise: Tensor, bias: Tensor) -> Tensor:
        return plain_separable(x, style, depthwise, pointwise, noise, bias)

    leaves = [tensor.requires_grad_() for tensor in moving]
    assert torch.autograd.gradcheck(ours, leaves)
    for a, b in zip(gradients(ours, leaves), gradients(plain, leaves), strict=True):
        assert torch.allclose(a, b)
    frozen = gradients(lambda x, style: ours(x, style, moving[2].detach(), moving[3].detach()), leaves[:2])
    assert all(torch.equal(a, b) for a, b in zip(frozen, gradients(ours, leaves), strict=False))


def gradients(function: Callable[..., Tensor], leaves: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(function(*leaves).square().sum(), leaves)


def test_inverse_haar() -> None:
    x, style = numbers(2, 3, 2, 8), numbers(2, 8, seed=1)
    assert torch.allclose(InverseHaar.apply(x, style), plain_haar(x, style))
    assert torch.autograd.gradcheck(InverseHaar.apply, [x.requires_grad_(), style.requires_grad_()])


def test_a_batch_is_its_samples() -> None:
    fixed = numbers(6, 1, 3, 3, seed=2).float(), numbers(5, 6, seed=3).float()
    x, style = numbers(3, 8, 8, 6).float(), numbers(3, 6, seed=1).float()
    noise, bias = numbers(1, 8, 8, 1, seed=4).float(), numbers(5, seed=5).float()
    together = SeparableConv.apply(x, style, *fixed, noise, bias)
    for i in range(3):
        alone = SeparableConv.apply(x[i : i + 1], style[i : i + 1], *fixed, noise, bias)
        assert torch.allclose(together[i : i + 1], alone, atol=1e-6)


def test_bands_are_sorted() -> None:
    """Stored: C low-pass, then (LH, HL, HH) of each channel in turn; sorted: each band whole."""
    assert by_band(8).tolist() == [0, 1, 2, 5, 3, 6, 4, 7]

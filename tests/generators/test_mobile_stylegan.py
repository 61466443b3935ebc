"""The generator against an independent runtime, and what the interface promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gan_inversion.errors import UserError
from gan_inversion.generators.mobile_stylegan import MobileStyleGAN, ffhq
from gan_inversion.generators.preview import inverse_haar
from gan_inversion.generators.tiny import Tiny, tiny

GOLDEN = Path(__file__).parents[1] / "golden" / "mobile_stylegan.npz"


@pytest.mark.weights
def test_parity_with_openvino() -> None:
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN).items()}
    generator = ffhq()
    w = generator.mapping(golden["z"])
    assert (w - golden["w"]).abs().max() <= 1e-5
    with torch.no_grad():
        for i in range(len(w)):
            image = generator.synthesis(golden["w"][i : i + 1, None].repeat(1, generator.num_ws, 1))
            assert image.shape == (1, 3, 1024, 1024)
            assert (F.avg_pool2d(image, 32)[0] - golden["image_area32"][i]).abs().max() <= 2e-4
            assert (image[0, :, 448:576:8, 448:576:8] - golden["image_crop16"][i]).abs().max() <= 2e-4
            # one pixel's extreme, so the tolerance of the image
            assert abs(image.min() - golden["image_min"][i]) <= 2e-4
            assert abs(image.max() - golden["image_max"][i]) <= 2e-4


@pytest.mark.weights
def test_statistics_of_w() -> None:
    generator = ffhq()
    statistics = generator.statistics()
    z = torch.randn(4000, 512, generator=torch.Generator().manual_seed(99))
    w = generator.mapping(z)
    assert (w.mean(0) - statistics.mean).abs().max() < 0.1
    p = (F.leaky_relu(w, 5.0) - statistics.p_mean) @ statistics.p_whiten
    assert 0.9 < p.square().mean() < 1.3  # fresh samples: 1, a little more where the covariance was fitted
    assert torch.equal(generator.statistics().p_whiten, statistics.p_whiten)  # from the cache: the same bits


def test_inverse_haar_by_hand() -> None:
    """One channel: low 4, LH 2, HL 1, HH 0.5 -> each pixel is half their signed sum."""
    x = torch.tensor([4.0, 2.0, 1.0, 0.5]).view(1, 4, 1, 1)
    expected = 0.5 * torch.tensor([[4 + 2 + 1 + 0.5, 4 + 2 - 1 - 0.5], [4 - 2 + 1 - 0.5, 4 - 2 - 1 + 0.5]])
    assert torch.allclose(inverse_haar(x)[0, 0], expected)


def test_inverse_haar_keeps_channels_apart() -> None:
    x = torch.zeros(1, 8, 2, 2)
    x[0, 1] = 2.0  # low-pass of channel 1
    x[0, 2 * 2 + 0] = 1.0  # HL of channel 0
    out = inverse_haar(x)
    assert torch.equal(out[0, 1], torch.ones(4, 4))
    assert torch.equal(out[0, 0], torch.tensor([0.5, -0.5]).repeat(4, 2))


def test_w_plus_rows_reach_their_layers(generator: Tiny) -> None:
    """Row 0 is conv1's, rows 2i+1 and 2i+2 block i's, the last the colours': each changes the picture, none is unused."""
    ws = generator.statistics().mean.repeat(1, generator.num_ws, 1)
    base = generator.synthesis(ws)
    effects = []
    for row in range(generator.num_ws):
        moved = ws.clone()
        moved[:, row] += 0.5
        effects.append(generator.synthesis(moved) - base)
    assert all(effect.abs().max() > 1e-4 for effect in effects)
    # to_img sees the features only: its effect is linear in the style, unlike that of any other row
    doubled = ws.clone()
    doubled[:, -1] += 1.0
    assert torch.allclose(generator.synthesis(doubled) - base, 2 * effects[-1], atol=1e-4)
    doubled = ws.clone()
    doubled[:, -2] += 1.0
    assert not torch.allclose(generator.synthesis(doubled) - base, 2 * effects[-2], atol=1e-4)


def test_a_row_touches_only_later_layers(generator: Tiny) -> None:
    """Activations of block 0 must not depend on rows that belong to block 1."""
    seen: list[torch.Tensor] = []
    hook = generator.blocks[0].register_forward_hook(lambda module, args, out: seen.append(out.clone()))
    ws = generator.statistics().mean.repeat(1, generator.num_ws, 1)
    generator.synthesis(ws)
    for row in range(generator.num_ws):
        moved = ws.clone()
        moved[:, row] += 0.5
        generator.synthesis(moved)
    hook.remove()
    changed = [not torch.equal(seen[0], out) for out in seen[1:]]
    assert changed == [True] * 3 + [False] * (generator.num_ws - 3)


def test_rows_inside_a_block(generator: Tiny) -> None:
    """Row 1 styles block 0's `up` and `conv1`, row 2 its `conv2`: what leaves `conv1` depends on row 1 and not on 2."""
    seen: list[torch.Tensor] = []
    hook = generator.blocks[0].conv1.register_forward_hook(lambda module, args, out: seen.append(out.clone()))
    ws = generator.statistics().mean.repeat(1, generator.num_ws, 1)
    for row in (None, 1, 2):
        moved = ws.clone()
        if row is not None:
            moved[:, row] += 0.5
        generator.synthesis(moved)
    hook.remove()
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_differentiable_to_z_w_ws_and_noise(generator: Tiny) -> None:
    z = torch.randn(2, generator.z_dim, requires_grad=True)
    w = generator.mapping(z)
    w.retain_grad()
    ws = w[:, None].repeat(1, generator.num_ws, 1)
    ws.retain_grad()
    noise = [torch.zeros(1, 1, s, s, requires_grad=True) for s in noise_sizes(generator)]
    generator.synthesis(ws, noise).square().mean().backward()
    for tensor in (z, w, ws, *noise):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_gradient_is_right() -> None:
    generator = tiny(resolution=16, w_dim=4, channels=4).double()
    ws = torch.randn(1, generator.num_ws, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(generator.synthesis, (ws,), atol=1e-4)


def noise_sizes(generator: Tiny) -> list[int]:
    return [generator.conv1.noise.shape[-1]] + [c.noise.shape[-1] for b in generator.blocks for c in (b.conv1, b.conv2)]


def test_noise_replaces_the_constants(generator: Tiny) -> None:
    ws = generator.statistics().mean.repeat(1, generator.num_ws, 1)
    own = [generator.conv1.noise] + [c.noise for b in generator.blocks for c in (b.conv1, b.conv2)]
    assert torch.equal(generator.synthesis(ws), generator.synthesis(ws, own))
    assert not torch.equal(generator.synthesis(ws), generator.synthesis(ws, [0 * n for n in own]))
    with pytest.raises(ValueError, match="7 noise maps"):
        generator.synthesis(ws, own[:3])


def test_batch_equals_singles(generator: Tiny) -> None:
    ws = torch.randn(3, generator.num_ws, generator.w_dim)
    singles = torch.cat([generator.synthesis(ws[i : i + 1]) for i in range(3)])
    assert torch.allclose(generator.synthesis(ws), singles, atol=1e-4)


def test_wrong_shapes_and_files_are_named(generator: Tiny) -> None:
    with pytest.raises(ValueError, match=r"ws must be \[N, 8, 16\]"):
        generator.synthesis(torch.zeros(1, 9, 16))
    with pytest.raises(UserError, match="not a MobileStyleGAN"):
        MobileStyleGAN({"a": torch.zeros(1)})


def test_hash_follows_the_tensors() -> None:
    assert tiny(0).sha256 == tiny(0).sha256 != tiny(1).sha256
    changed = tiny(0).state_dict()
    changed["to_img.bias"] = changed["to_img.bias"] + 1e-6
    assert Tiny(changed).sha256 != tiny(0).sha256

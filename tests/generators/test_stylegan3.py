"""StyleGAN3 against numbers of NVIDIA's code, and what files and the interface promise."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gan_inversion.checkpoints.checkpoint import Checkpoint
from gan_inversion.errors import UserError
from gan_inversion.generators.family import StyleGAN
from gan_inversion.generators.stylegan3 import ModulatedConv, Settings, Synthesis, build, modulated_conv_plain
from tests.seeded import truncated

GOLDEN = Path(__file__).parents[1] / "golden" / "stylegan3.npz"
Z_DIM = 16
R: dict[str, Any] = {"conv_kernel": 1, "use_radial_filters": True}
SMALL: dict[str, Any] = {"num_layers": 6, "channel_base": 512, "channel_max": 12, "w_dim": 16}
CASES: dict[str, tuple[int, int, bool, dict[str, Any]]] = {  # seed, classes, input moved, options
    "t16": (0, 0, False, {"img_resolution": 16, **SMALL}),
    "r16": (1, 3, True, {"img_resolution": 16, **SMALL, **R}),
    "t32": (2, 3, True, {"img_resolution": 32, **SMALL, "conv_clamp": 3.0, "output_scale": 0.5}),
    "r32": (3, 0, False, {"img_resolution": 32, **SMALL, **R, "num_critical": 1, "conv_clamp": None}),
    "t64": (4, 0, True, {"img_resolution": 64, **SMALL, "num_layers": 14, "filter_size": 4}),
    "r64": (5, 0, True, {"img_resolution": 64, **SMALL, **R, "first_cutoff": 3.0, "first_stopband": 6.0}),
    "t256": (6, 0, False, {"img_resolution": 256, "channel_base": 1024, "channel_max": 8, "w_dim": 16}),
    "r256": (7, 3, True, {"img_resolution": 256, "channel_base": 1024, "channel_max": 8, "w_dim": 16, **R}),
}


def random_state(shapes: dict[str, tuple[int, ...]], seed: int, moved: bool) -> dict[str, Tensor]:
    """All tensors but the filters: the procedure that tests/golden/README.md documents."""
    rng, state = np.random.default_rng(seed), {}
    for name in sorted(shapes):
        x = rng.standard_normal(shapes[name])
        if name.endswith("magnitude_ema"):
            x = np.abs(x) + 0.5
        elif name.endswith("affine.bias"):
            x = x + 1
        elif name.startswith("mapping.fc") and name.endswith("weight"):
            x = x * 100
        elif name.endswith("transform"):
            cos, sin = math.cos(0.35), math.sin(0.35)
            x = np.array([[cos, -sin, 0.1], [sin, cos, -0.05], [0, 0, 1]]) if moved else np.eye(3)
        state[name] = torch.from_numpy(np.asarray(x, np.float32))
    return state


def made(case: str) -> Checkpoint:
    seed, classes, moved, options = CASES[case]
    network, w = Synthesis(Settings(**options)), options["w_dim"]
    shapes = {f"synthesis.{name}": tuple(t.shape) for name, t in network.state_dict().items() if "_filter" not in name}
    shapes |= {"mapping.fc0.weight": (w, Z_DIM + (w if classes else 0)), "mapping.fc1.weight": (w, w)}
    shapes |= {"mapping.fc0.bias": (w,), "mapping.fc1.bias": (w,), "mapping.w_avg": (w,)}
    shapes |= {"mapping.embed.weight": (w, classes), "mapping.embed.bias": (w,)} if classes else {}
    return Checkpoint("stylegan3", random_state(shapes, seed, moved), options)


def latents(seed: int, n: int = 2) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, Z_DIM)).astype(np.float32))


@pytest.fixture(scope="module")
def small() -> StyleGAN:
    return build(made("t16"))


@pytest.mark.parametrize("case", CASES)
def test_parity_with_nvidia(case: str) -> None:
    golden = {
        key.split("/")[1]: torch.from_numpy(v) for key, v in np.load(GOLDEN).items() if key.startswith(case + "/")
    }
    seed, classes, _, _ = CASES[case]
    generator = build(made(case), class_label=1 if classes else None)
    ws = truncated(generator.mapping(latents(100 + seed)), generator.w_avg, generator.num_ws, 0.7, 5).requires_grad_()
    image = generator.synthesis(ws)
    (grad,) = torch.autograd.grad(image.square().mean(), ws)
    image, side = image.detach(), generator.resolution
    scale = float(golden["max"] - golden["min"])
    crop = image[:, :, side // 2 - 4 : side // 2 + 4, side // 2 - 4 : side // 2 + 4]
    assert (F.adaptive_avg_pool2d(image, 8) - golden["area8"]).abs().max() <= 1e-5 * scale
    assert (crop - golden["crop8"]).abs().max() <= 1e-5 * scale
    for name, value in (("mean", image.mean()), ("min", image.min()), ("max", image.max())):
        assert abs(value - golden[name]) <= 1e-5 * scale
    # a value that is 0 but for rounding has one slope here and another there
    assert (grad - golden["grad"]).abs().max() <= 1e-3 * golden["grad"].abs().max()


def test_modulated_convolution() -> None:
    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    source = torch.Generator().manual_seed(0)
    for k in (1, 3):
        x, scale, weight, bias = numbers(2, 4, 5, 3), numbers(2, 4), numbers(3, 4, k, k), numbers(3)
        demod = numbers(2, 3).abs() + 0.1
        y = ModulatedConv.apply(x, scale, weight, demod, bias)
        assert torch.allclose(y, modulated_conv_plain(x, scale, weight, demod, bias))
        inputs = [tensor.requires_grad_() for tensor in (x, scale, demod)]
        assert torch.autograd.gradcheck(lambda x, s, d, w=weight, b=bias: ModulatedConv.apply(x, s, w, d, b), inputs)


def test_gradient_is_right() -> None:
    generator = build(made("r16"), class_label=0).double()
    source = torch.Generator().manual_seed(0)
    ws = torch.randn(1, generator.num_ws, 16, generator=source, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(generator.synthesis, (ws,), atol=1e-6, fast_mode=True)


def test_differentiable_to_all_latents_and_frozen(small: StyleGAN) -> None:
    z = latents(1).requires_grad_()
    w = small.mapping(z)
    ws = w[:, None].repeat(1, small.num_ws, 1)
    styles = small.styles(ws)
    for tensor in (w, ws, styles):
        tensor.retain_grad()
    before = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    small.synthesis(ws, styles=styles).square().mean().backward()
    for tensor in (z, w, ws, styles):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in small.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in small.state_dict().items())


def test_an_unfrozen_copy_learns(small: StyleGAN) -> None:
    """Weights that want gradients get them, the same way through the plain operations."""
    ws = torch.randn(1, small.num_ws, 16, generator=torch.Generator().manual_seed(0))
    tuned = copy.deepcopy(small).requires_grad_(True)
    image = tuned.synthesis(ws)
    assert (image - small.synthesis(ws)).abs().max() <= 1e-5 * image.abs().max()
    image.square().mean().backward()
    assert all(parameter.grad is not None for parameter in tuned.network.parameters())


def test_rows_and_styles(small: StyleGAN) -> None:
    """Row 0 places the features, row i + 1 styles layer i: each changes the picture; styles replace them all."""
    ws = torch.randn(1, small.num_ws, 16, generator=torch.Generator().manual_seed(0))
    base = small.synthesis(ws)
    for row in range(small.num_ws):
        moved = ws.clone()
        moved[:, row] += 0.5
        assert not torch.allclose(small.synthesis(moved), base, atol=1e-4)
    assert torch.equal(small.synthesis(torch.zeros_like(ws), styles=small.styles(ws)), base)
    assert small.style_rows.tolist() == [0] * 4 + [row for row in range(1, small.num_ws) for _ in range(12)]
    assert tuple(small.network.noise_sides) == ()
    assert small.synthesis(ws, resolution=8).shape[-1] == 8


def test_batch_equals_singles(small: StyleGAN) -> None:
    """Faces do not share the normalisation of their styles, however unlike these are."""
    ws = torch.randn(2, small.num_ws, 16, generator=torch.Generator().manual_seed(0))
    ws *= torch.tensor([0.1, 3.0])[:, None, None]
    singles = torch.cat([small.synthesis(ws[i : i + 1]) for i in range(2)])
    assert (small.synthesis(ws) - singles).abs().max() <= 1e-5 * singles.abs().max()


def test_the_picture_can_be_moved() -> None:
    """The transform maps places in the picture to places in the features: what was right of the middle comes there."""
    generator = build(made("t64"))
    ws = torch.randn(1, generator.num_ws, 16, generator=torch.Generator().manual_seed(0))
    place = generator.network.input
    with torch.no_grad():
        place.affine.weight.zero_()  # this face turns nothing itself
        place.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        place.freqs.mul_(0.5)
        place.transform.copy_(torch.eye(3))
        before = generator.synthesis(ws)
        place.transform[0, 2] = 0.25  # of 64 pixels
        after = generator.synthesis(ws)
    left, right = before[..., :40], before[..., 16:56]
    assert (after[..., :40] - right).abs().mean() < 0.2 * (left - right).abs().mean()


@pytest.mark.parametrize("case", ["t16", "r32"])
def test_float16(case: str) -> None:
    """Within 2 % of the range of the float32 picture, and another generator by its hash."""
    checkpoint = made(case)
    exact, original = build(checkpoint), build(checkpoint, precision="original")
    assert exact.sha256 != original.sha256
    ws = exact.mapping(latents(1))[:, None].repeat(1, exact.num_ws, 1).requires_grad_()
    image, half = exact.synthesis(ws), original.synthesis(ws)
    assert half.dtype == torch.float32
    assert 0 < (image - half).abs().max() <= 0.02 * (image.max() - image.min())
    half.square().mean().backward()
    assert ws.grad is not None
    assert ws.grad.isfinite().all()
    with pytest.raises(UserError, match=r"generator\.precision=half: one of float32, original"):
        build(checkpoint, precision="half")


def test_sizes_need_no_options() -> None:
    """Names and shapes tell all but what only the training knew; a file with -T's defaults needs no options."""
    checkpoint = made("t256")
    bare = build(replace(checkpoint, options={}))
    ws = torch.randn(1, bare.num_ws, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(bare.synthesis(ws), build(checkpoint).synthesis(ws))


def test_filters_in_the_file_are_used() -> None:
    checkpoint = made("r16")
    state = dict(checkpoint.state)
    full = build(checkpoint, class_label=0)
    state |= {
        f"synthesis.{n}": 2 * t for n, t in full.network.state_dict().items() if n.endswith("L2_36_12.down_filter")
    }
    changed = build(replace(checkpoint, state=state), class_label=0)
    assert len(state) == len(checkpoint.state) + 1
    assert torch.equal(changed.network.L2_36_12.down_filter, 2 * full.network.L2_36_12.down_filter)


def test_wrong_files_are_named() -> None:
    checkpoint = made("t16")
    state, options = dict(checkpoint.state), dict(checkpoint.options)

    def attempt(match: str, changes: dict[str, Any] | None = None, drop: str = "", **more: Any) -> None:
        kept = {name: tensor for name, tensor in state.items() if name != drop} | (changes or {})
        with pytest.raises(UserError, match=match):
            build(Checkpoint("stylegan3", kept, {**options, **more}))

    name = "synthesis.L1_36_12"
    attempt(r"Missing key.*L1_36_12\.bias", drop=f"{name}.bias")
    attempt(r"Unexpected key.*L1_36_12\.noise", {f"{name}.noise": torch.zeros(3)})
    attempt(r"size mismatch.*L1_36_12\.bias", {f"{name}.bias": torch.zeros(3)})
    attempt(r"size mismatch.*L1_36_12\.up_filter", {f"{name}.up_filter": torch.zeros(3)})
    attempt(r"layers \[0, 2, 3", drop=f"{name}.weight")
    attempt(r"no L0_.*affine\.weight", drop=next(n for n in state if "L0_" in n and n.endswith("affine.weight")))
    attempt(r"img_resolution=32: the tensors .* say 16", img_resolution=32)
    attempt(r"conv_kernel=1: the tensors .* say 3", conv_kernel=1)
    attempt(r"stylegan3 of sizes .*, but the file's are", margin_size=9)
    attempt(r"stylegan3 of channels .*, but the file's are", channel_max=13)
    attempt("make no stylegan3 generator", first_cutoff="two")
    attempt("make no stylegan3 generator", num_critical=6)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_accelerators(small: StyleGAN, device: str) -> None:
    available = torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()
    if not available:
        pytest.skip(f"no {device} device here")
    ws = torch.randn(1, small.num_ws, 16, generator=torch.Generator().manual_seed(0))
    there = build(made("t16"), device=device).synthesis(ws.to(device)).cpu()
    assert (there - small.synthesis(ws)).abs().max() <= 1e-3 * there.abs().max()

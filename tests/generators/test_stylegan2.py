"""StyleGAN2 against the numbers of NVIDIA's code, and what the interface promises."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gan_inversion.assets import catalogue
from gan_inversion.checkpoints.checkpoint import Checkpoint
from gan_inversion.errors import UserError
from gan_inversion.generators.family import StyleGAN
from gan_inversion.generators.modulated import GAINS, SLOPES, Kernel, StyledConv, styled_conv
from gan_inversion.generators.stylegan2 import build
from gan_inversion.image import area_resize
from tests.seeded import stylegan2, truncated

GOLDEN = Path(__file__).parents[1] / "golden" / "stylegan2.npz"
DEVICES = [
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
    pytest.param(
        "mps", marks=pytest.mark.skipif(not torch.backends.mps.is_available(), reason="no MPS (Apple) device here")
    ),
]


@dataclass(frozen=True)
class Case:
    """A network, and how it is asked: the golden numbers are those of these cases."""

    resolution: int
    options: dict[str, object] = field(default_factory=dict)
    sizes: dict[str, object] = field(default_factory=dict)  # of `seeded.stylegan2_shapes`
    noise: str = "const"  # or none
    psi: float = 1.0
    cutoff: int | None = None
    seed: int = 0  # of its tensors; + 1000: of z; + 2000: of what the image is multiplied with for the gradient


CASES = {
    "skip": Case(32),
    "skip_classes_clamp": Case(64, {"conv_clamp": 2.0}, {"c_dim": 3}, psi=0.7, cutoff=3, seed=1),
    "skip_256": Case(256, {}, {"channel_base": 1024}, psi=0.7, seed=12),
    "skip_grey_short_filter": Case(16, {}, {"img_channels": 1, "taps": (3, 3)}, seed=3),
    "skip_long_filter": Case(16, {}, {"taps": (8,), "channel_max": 12}, seed=4),
    "skip_without_noise": Case(16, {"use_noise": False}, {"noisy": False}, seed=5),
    "resnet": Case(32, {"conv_clamp": 2.0}, {"architecture": "resnet"}, seed=6),
    "resnet_relu_classes": Case(
        64, {"activation": "relu"}, {"architecture": "resnet", "c_dim": 3}, "none", 0.7, seed=7
    ),
    "orig": Case(32, {}, {"architecture": "orig"}, "none", seed=8),
    "orig_linear": Case(16, {"activation": "linear", "conv_clamp": 1.5}, {"architecture": "orig"}, seed=9),
}


def drawn_numbers(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("name", CASES)
def test_parity_with_the_original(name: str) -> None:
    case = CASES[name]
    seed = case.seed
    golden = {
        key.removeprefix(f"{name}."): torch.from_numpy(value)
        for key, value in np.load(GOLDEN).items()
        if key.startswith(f"{name}.")
    }
    generator = build(
        stylegan2(case.resolution, seed, case.options, **case.sizes), class_label=1 if "c_dim" in case.sizes else None
    )
    w = generator.mapping(drawn_numbers(seed + 1000, 1, 8))
    ws = truncated(w, generator.w_avg, generator.num_ws, case.psi, case.cutoff)
    assert torch.allclose(ws, golden["ws"], atol=1e-5)
    ws = golden["ws"]
    noise = None if case.noise == "const" else [torch.zeros(1, 1, side, side) for side in generator.network.noise_sides]
    image = generator.synthesis(ws, noise)
    assert image.shape == (1, case.sizes.get("img_channels", 3), case.resolution, case.resolution)
    middle = case.resolution // 2 - 4
    tolerance = 1e-5 * float(golden["max"] - golden["min"])
    assert (F.adaptive_avg_pool2d(image, 8) - golden["area8"]).abs().max() <= tolerance
    assert (image[..., middle : middle + 8, middle : middle + 8] - golden["crop8"]).abs().max() <= tolerance
    for statistic, value in (("mean", image.mean()), ("min", image.min()), ("max", image.max())):
        assert abs(value - golden[statistic]) <= tolerance
    if "half8" in golden:
        smaller = generator.synthesis(ws, noise, resolution=case.resolution // 2)
        assert (F.adaptive_avg_pool2d(smaller, 8) - golden["half8"]).abs().max() <= tolerance
    # In float64: in float32 a pixel at the bend of its activation may fall on the other side, as processors round.
    ws = ws.double().requires_grad_()
    image = generator.double().synthesis(ws, None if noise is None else [n.double() for n in noise])
    (gradient,) = torch.autograd.grad((image * drawn_numbers(seed + 2000, *image.shape)).sum(), ws)
    assert (gradient - golden["gradient"]).abs().max() <= 1e-5 * golden["gradient"].abs().max()


# ------------------------------------------------------------------ the convolution


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convolution(
    shape: tuple[int, int], up: bool, activation: str, clamp: float | None
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """(ours, plain), both of x, style, noise."""
    weight, bias = numbers(*shape, 3, 3, seed=1), numbers(shape[0], seed=2)
    fir = numbers(3, 4, seed=3) if up else None
    kernel, gain = Kernel.of(weight, fir), GAINS[activation]

    def ours(x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        y: Tensor = StyledConv.apply(x, style, noise * gain, bias * gain, kernel, gain, SLOPES[activation], clamp)
        return y

    def plain(x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        return styled_conv(x, style, noise, weight, bias, fir, activation, gain, clamp)

    return ours, plain


@pytest.mark.parametrize("maps", [1, 2])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("height, width", [(2, 3), (6, 5)])  # style and demodulation in the picture, in the weights
@pytest.mark.parametrize("activation, clamp", [("lrelu", None), ("relu", 0.8), ("linear", None), ("linear", 0.7)])
def test_fast_convolution(height: int, width: int, up: bool, activation: str, clamp: float | None, maps: int) -> None:
    ours, plain = convolution((2, 3), up, activation, clamp)
    factor = 2 if up else 1
    inputs = [numbers(2, 3, height, width, seed=4), numbers(2, 3, seed=5)]
    inputs.append(numbers(maps, 1, factor * height, factor * width, seed=6))
    for tensor in inputs:
        tensor.requires_grad_()
    assert torch.allclose(ours(*inputs), plain(*inputs))
    assert torch.autograd.gradcheck(ours, inputs, fast_mode=height > 2)  # the slow mode takes a second at this size
    upstream = numbers(*ours(*inputs).shape, seed=7)
    given = upstream.clone()
    mine = torch.autograd.grad(ours(*inputs), inputs, given)
    for a, b in zip(mine, torch.autograd.grad(plain(*inputs), inputs, upstream), strict=True):
        assert torch.allclose(a, b)
    assert torch.equal(given, upstream)  # what autograd lends is not written into


@pytest.mark.parametrize("height", [2, 6])
def test_styles_of_zero(height: int) -> None:
    """As edits of StyleSpace make them: the gradient is that of the plain formula, not a division by zero."""
    ours, plain = convolution((2, 3), False, "lrelu", None)
    inputs = [numbers(1, 3, height, height, seed=4), torch.tensor([[0.0, 1.0, -1e-15]]).double(), numbers(1, 1, 1, 1)]
    inputs[1].requires_grad_()
    (a,) = torch.autograd.grad(ours(*inputs).sum(), inputs[1])
    (b,) = torch.autograd.grad(plain(*inputs).sum(), inputs[1])
    assert torch.allclose(a, b)


# ------------------------------------------------------------------ the generator


def small(
    seed: int = 0, options: dict[str, object] | None = None, precision: str = "float32", **sizes: object
) -> StyleGAN:
    return build(stylegan2(32, seed, options, **sizes), precision=precision)


def some_ws(generator: StyleGAN, count: int = 1) -> Tensor:
    with torch.no_grad():
        return generator.mapping(drawn_numbers(5, count, generator.z_dim))[:, None].repeat(1, generator.num_ws, 1)


def test_sizes_are_read_from_the_tensors() -> None:
    generator = build(
        stylegan2(64, 0, z_dim=5, w_dim=7, channel_base=200, channel_max=9, img_channels=4, c_dim=2), "cpu", 0
    )
    assert (generator.z_dim, generator.w_dim, generator.c_dim) == (5, 7, 2)
    assert (generator.resolution, generator.num_ws) == (64, 10)
    assert list(generator.network.noise_sides) == [4, 8, 8, 16, 16, 32, 32, 64, 64]
    assert generator.synthesis(some_ws(generator)).shape == (1, 4, 64, 64)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_a_batch_is_its_faces(architecture: str) -> None:
    generator = small(architecture=architecture)
    ws = some_ws(generator, 2)
    noise = [drawn_numbers(i, 2, 1, side, side) for i, side in enumerate(generator.network.noise_sides)]
    together = generator.synthesis(ws, noise)
    for i in range(2):
        alone = generator.synthesis(ws[i : i + 1], [n[i : i + 1] for n in noise])
        assert torch.allclose(together[i : i + 1], alone, atol=1e-5)


def test_smaller_pictures_are_those_the_network_adds_up() -> None:
    generator = small()
    ws = some_ws(generator)
    assert list(generator.network.native) == [4, 8, 16]
    assert torch.equal(generator.synthesis(ws, resolution=32), generator.synthesis(ws))
    moved = ws.clone()
    moved[:, 6:] += 1  # rows 5 and 6 are those of block 32, and 5 that of the colours of block 16
    small_picture = generator.synthesis(ws, resolution=16)
    assert small_picture.shape == (1, 3, 16, 16)
    assert torch.equal(generator.synthesis(moved, resolution=16), small_picture)
    assert not torch.equal(generator.synthesis(moved), generator.synthesis(ws))
    assert torch.equal(generator.synthesis(ws, resolution=12), area_resize(small_picture, 12))
    residual = small(architecture="resnet")
    assert torch.equal(residual.synthesis(ws, resolution=16), area_resize(residual.synthesis(ws), 16))
    with pytest.raises(ValueError, match=r"draws \[32\] only"):
        residual.network([], None, 16)


def test_rows_of_ws() -> None:
    """Colours share the row of the next block's first layer; each row is used."""
    generator = small()
    assert [row for row, _ in generator.network.affines()] == [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7]
    assert [row for row, _ in small(architecture="orig").network.affines()] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert sorted(set(generator.style_rows.tolist())) == list(range(8))


def test_styles_replace_ws() -> None:
    generator = small()
    ws = some_ws(generator)
    styles = generator.styles(ws).requires_grad_()
    assert styles.shape == generator.style_rows[None].shape
    image = generator.synthesis(0 * ws, styles=styles)
    assert torch.equal(image, generator.synthesis(ws))
    (gradient,) = torch.autograd.grad(image.square().mean(), styles)
    assert (gradient != 0).float().mean() > 0.99


def test_noise() -> None:
    generator = small()
    ws = some_ws(generator)
    own = [layer.noise_const[None, None] for block in generator.network._blocks() for layer in block.layers]
    assert torch.equal(generator.synthesis(ws), generator.synthesis(ws, own))
    assert not torch.equal(generator.synthesis(ws), generator.synthesis(ws, [0 * n for n in own]))
    with pytest.raises(ValueError, match="7 noise maps"):
        generator.synthesis(ws, own[:3])


def test_differentiable_to_z_w_ws_and_noise_only() -> None:
    generator = small()
    z = drawn_numbers(1, 2, generator.z_dim).requires_grad_()
    w = generator.mapping(z)
    w.retain_grad()
    ws = w[:, None].repeat(1, generator.num_ws, 1)
    ws.retain_grad()
    noise = [torch.zeros(1, 1, s, s, requires_grad=True) for s in generator.network.noise_sides]
    generator.synthesis(ws, noise).square().mean().backward()
    for tensor in (z, w, ws, *noise):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in generator.parameters())


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_gradient_is_right(architecture: str) -> None:
    checkpoint = stylegan2(8, 0, {"conv_clamp": 3.0}, channel_max=4, w_dim=3, architecture=architecture)
    generator = build(checkpoint).double()
    ws = some_ws(small(w_dim=3))[:, : generator.num_ws].double().requires_grad_()
    assert torch.autograd.gradcheck(generator.synthesis, (ws,), atol=1e-5)


def test_a_copy_that_learns() -> None:
    """Weights that need gradients get them, by the plain formula, and the frozen original is not changed by it."""
    generator = small()
    ws = some_ws(generator)
    before = generator.synthesis(ws)
    tuned = copy.deepcopy(generator)
    tuned.network.requires_grad_(True)
    assert torch.allclose(tuned.synthesis(ws), before, atol=1e-5)
    tuned.synthesis(ws).square().mean().backward()
    with torch.no_grad():
        for parameter in tuned.network.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.1 * parameter.grad)
    learnt = tuned.synthesis(ws)
    tuned.network.requires_grad_(False)
    assert torch.allclose(tuned.synthesis(ws), learnt, atol=1e-5)  # nothing of the old weights was kept
    assert torch.equal(generator.synthesis(ws), before)


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_original_precision(architecture: str) -> None:
    """float16 has 11 bits: after four layers a hundredth of the range is left of them, at worst."""
    options = {"num_fp16_res": 2, "conv_clamp": 256.0}
    exact, half = (small(0, options, p, architecture=architecture) for p in ("float32", "original"))
    ws = some_ws(exact, 2)
    a, b = exact.synthesis(ws), half.synthesis(ws.requires_grad_())
    assert b.dtype == torch.float32
    assert 0 < (a - b).abs().max() <= 0.01 * (a.max() - a.min())
    assert b.square().mean().backward() is None
    assert ws.grad is not None
    assert ws.grad.isfinite().all()
    assert exact.sha256 != half.sha256
    assert [block.float16 for block in half.network._blocks()] == [False, False, True, True]
    assert torch.equal(small(0, {"num_fp16_res": 2}).synthesis(ws), small(0).synthesis(ws))


def test_float16_does_not_overflow() -> None:
    """Weights and styles beyond float16's range are scaled first."""
    checkpoint = stylegan2(8, 0, {"num_fp16_res": 1})
    state = dict(checkpoint.state)
    state["synthesis.b8.conv1.weight"] = state["synthesis.b8.conv1.weight"] * 1e6
    state["synthesis.b8.conv1.affine.bias"] = state["synthesis.b8.conv1.affine.bias"] * 1e6
    huge = build(replace(checkpoint, state=state), precision="original")
    assert huge.synthesis(some_ws(small())[:, : huge.num_ws]).isfinite().all()


def test_classes() -> None:
    checkpoint = stylegan2(16, 0, c_dim=3)
    first, second = build(checkpoint, class_label=0), build(checkpoint, class_label=1)
    z = drawn_numbers(1, 1, 8)
    assert not torch.equal(first.mapping(z), second.mapping(z))
    for label in (None, 3, -1):
        with pytest.raises(UserError, match="0 to 2"):
            build(checkpoint, class_label=label)
    with pytest.raises(UserError, match="no classes"):
        build(stylegan2(16, 0), class_label=0)


def changed(checkpoint: Checkpoint, remove: str = "", **add: Tensor) -> Checkpoint:
    state = {name: tensor for name, tensor in checkpoint.state.items() if not remove or not name.startswith(remove)}
    return replace(checkpoint, state=state | {name.replace("__", "."): tensor for name, tensor in add.items()})


@pytest.mark.parametrize(
    "remove",
    [
        "synthesis.b4.const",
        "synthesis.b8.conv0.weight",
        "synthesis.b8.conv1.affine.bias",
        "synthesis.b16.torgb.weight",
        "synthesis.b16.noise_const",
        "synthesis.b8.conv1.noise_const",
        "synthesis.b8.resample_filter",
        "synthesis.b8",
        "mapping.fc0.bias",
    ],
)
def test_missing_tensors_are_named(remove: str) -> None:
    checkpoint = stylegan2(16, 0)
    if remove == "synthesis.b16.noise_const":  # of no layer: nothing is missing
        build(changed(checkpoint, remove))
        return
    with pytest.raises(UserError, match=remove.removeprefix("mapping.").replace(".", r"\.")):
        build(changed(checkpoint, remove))


def test_other_tensors_that_do_not_fit_are_named() -> None:
    checkpoint = stylegan2(16, 0)
    with pytest.raises(UserError, match=r"Unexpected.*synthesis\.b8\.extra"):
        build(changed(checkpoint, synthesis__b8__extra=torch.zeros(1)))
    with pytest.raises(UserError, match=r"synthesis\.b8\.conv1\.bias"):
        build(changed(checkpoint, synthesis__b8__conv1__bias=torch.zeros(5)))
    channels = {"weight": 1, "affine__weight": 0, "affine__bias": 0}  # axis of the channels that b8.conv1 takes
    old = {f"synthesis__b8__conv1__{name}": axis for name, axis in channels.items()}
    halves = {name: checkpoint.state[name.replace("__", ".")].chunk(2, axis)[0] for name, axis in old.items()}
    with pytest.raises(UserError, match=r"synthesis\.b8\.conv1\.weight"):  # all fits but what b8.conv0 makes
        build(changed(checkpoint, **halves))
    with pytest.raises(UserError, match="only square"):
        build(changed(checkpoint, synthesis__b4__const=torch.zeros(16, 4, 6)))
    with pytest.raises(UserError, match="no blocks"):
        build(changed(checkpoint, "synthesis."))
    with pytest.raises(UserError, match=r"Unexpected.*noise_const"):
        build(replace(checkpoint, options={"use_noise": False}))


@pytest.mark.parametrize(
    "options, said",
    [
        ({"activation": "swish"}, "activation=swish"),
        ({"conv_clamp": -1}, "conv_clamp=-1"),
        ({"architecture": "unet"}, "architecture=unet"),
        ({"architecture": "resnet"}, r"b8\.skip\.resample_filter"),
    ],
)
def test_options_are_checked(options: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build(stylegan2(16, 0, options))


def test_precision_is_checked() -> None:
    with pytest.raises(UserError, match=r"precision=int4: one of float32, original"):
        build(stylegan2(16, 0), precision="int4")


def test_hash_and_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "read_cache", lambda name: None)
    monkeypatch.setattr(catalogue, "write_cache", lambda name, tensors: None)
    first, second = small(0), small(0)
    assert first.sha256 == second.sha256 != small(1).sha256
    assert first.sha256 != small(0, {"conv_clamp": 256.0}).sha256
    before = first.sha256, first.statistics().sha256
    first.synthesis(some_ws(first))  # makes the kernels
    assert (second.sha256, second.statistics().sha256) == before


@pytest.mark.parametrize("device", DEVICES)
def test_other_devices(device: str) -> None:
    generator, there = small(), build(stylegan2(32, 0), device)
    ws = some_ws(generator, 2)
    moved = ws.to(device).requires_grad_()
    image = there.synthesis(moved)
    assert (image.detach().cpu() - generator.synthesis(ws)).abs().max() <= 1e-3
    image.square().mean().backward()
    assert moved.grad is not None

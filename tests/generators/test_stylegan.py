"""StyleGAN against NVIDIA's TensorFlow code, and what the interface promises."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gan_inversion.checkpoints.checkpoint import Checkpoint
from gan_inversion.checkpoints.tf_stylegan import translate
from gan_inversion.errors import UserError
from gan_inversion.generators.family import StyleGAN
from gan_inversion.generators.stylegan import build
from gan_inversion.image import area_resize
from tests.families import tiny_checkpoint, variables_of_2019
from tests.seeded import truncated

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("stylegan_*.npz"))


@pytest.fixture(scope="module")
def small() -> StyleGAN:
    return build(tiny_checkpoint("stylegan"))


def random_ws(generator: StyleGAN, n: int = 1, seed: int = 0) -> Tensor:
    return 0.7 * torch.randn(n, generator.num_ws, generator.w_dim, generator=torch.Generator().manual_seed(seed))


def close(ours: Tensor, golden: np.ndarray, span: float) -> bool:
    return bool((ours.detach() - torch.from_numpy(golden)).abs().max() <= 1e-4 * span)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_parity_with_tensorflow(path: Path) -> None:
    golden = dict(np.load(path))
    kwargs, seed = json.loads(str(golden["kwargs"])), int(golden["seed"])
    generator = build(
        translate(kwargs, variables_of_2019(kwargs, seed)), class_label=1 if kwargs["label_size"] else None
    )
    numbers = np.random.default_rng(seed + 1000)
    z = torch.from_numpy(numbers.standard_normal((2, generator.z_dim)).astype(np.float32))
    ws = torch.from_numpy((0.7 * numbers.standard_normal((2, generator.num_ws, generator.w_dim))).astype(np.float32))
    w, image = generator.mapping(z), generator.synthesis(ws.requires_grad_())
    silent = generator.synthesis(ws, [torch.zeros(1, 1, side, side) for side in generator.network.noise_sides])
    pulled = generator.synthesis(truncated(w, generator.w_avg, generator.num_ws, 0.6, 3))
    span = float(golden["image_max"].max() - golden["image_min"].min())
    middle = slice(generator.resolution // 2 - 4, generator.resolution // 2 + 4)
    assert close(w, golden["w"], 1.0)
    for name, ours in (("image", image), ("no_noise", silent), ("truncated", pulled)):
        assert close(F.avg_pool2d(ours, generator.resolution // 8), golden[f"{name}_area8"], span), name
        if f"{name}_crop8" in golden:
            assert close(ours[:, :, middle, middle], golden[f"{name}_crop8"], span), name
    assert close(image.mean((1, 2, 3)), golden["image_mean"], span)
    assert close(image.amin((1, 2, 3)), golden["image_min"], span)
    assert close(image.amax((1, 2, 3)), golden["image_max"], span)
    if "grad_ws" in golden:
        (gradient,) = torch.autograd.grad(image.square().mean(), ws)
        assert close(gradient, golden["grad_ws"], float(np.ptp(golden["grad_ws"])))


def test_there_are_golden_files() -> None:
    assert len(GOLDEN) == 7


@pytest.mark.parametrize("fused", [True, False])
def test_upsampling_as_described(fused: bool) -> None:
    """One layer in the two forms of 2019: two steps, and weights spread over a transposed convolution."""
    generator = build(tiny_checkpoint("stylegan", fused_scale=fused, blur_filter=None))
    layer: Any = generator.network.b8.conv0
    x = torch.randn(2, 8, 4, 4)
    if fused:
        spread = sum(F.pad(layer.weight, (i, 1 - i, j, 1 - j)) for i in (0, 1) for j in (0, 1))
        expected = F.conv_transpose2d(x, spread.transpose(0, 1), stride=2, padding=1)
    else:
        expected = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), layer.weight, padding=1)
    assert torch.allclose(F.conv_transpose2d(x, layer.kernel, stride=2, padding=1), expected, atol=1e-5)


def test_a_blur_may_have_two_dimensions() -> None:
    ws = random_ws(build(tiny_checkpoint("stylegan")))
    line = build(tiny_checkpoint("stylegan", blur_filter=[1, 3, 1])).synthesis(ws)
    square = build(tiny_checkpoint("stylegan", blur_filter=[[1, 3, 1], [3, 9, 3], [1, 3, 1]])).synthesis(ws)
    assert torch.allclose(line, square, atol=1e-4)


def test_sizes_are_read_from_the_tensors(small: StyleGAN) -> None:
    assert (small.resolution, small.num_ws, small.w_dim, small.z_dim, small.c_dim) == (32, 8, 16, 16, 0)
    assert small.network.noise_sides == (4, 4, 8, 8, 16, 16, 32, 32)
    assert small.style_rows.tolist() == [row for row in range(8) for _ in range(16)]
    assert small.domain == "face"
    assert small.licence.startswith("unknown")


def test_styles_replace_those_of_ws(small: StyleGAN) -> None:
    ws, other = random_ws(small, 2), random_ws(small, 2, seed=1)
    assert small.styles(ws).shape == (2, len(small.style_rows))
    assert torch.equal(small.synthesis(ws), small.synthesis(other, styles=small.styles(ws)))


def test_every_row_is_used_by_its_layer(small: StyleGAN) -> None:
    ws = random_ws(small)
    base, styles = small.synthesis(ws), small.styles(ws)
    for row in range(small.num_ws):
        moved = ws.clone()
        moved[:, row] += 0.5
        assert (small.synthesis(moved) - base).abs().max() > 1e-3
        changed = (small.styles(moved) != styles)[0]
        assert torch.equal(changed, small.style_rows == row)


def test_differentiable_to_all_inputs_and_frozen(small: StyleGAN) -> None:
    z = torch.randn(2, small.z_dim, requires_grad=True)
    w = small.mapping(z)
    ws = w[:, None].repeat(1, small.num_ws, 1)
    styles = small.styles(ws)
    noise = [torch.randn(1, 1, side, side, requires_grad=True) for side in small.network.noise_sides]
    for tensor in (w, ws, styles):
        tensor.retain_grad()
    small.synthesis(ws, noise, styles=styles).square().mean().backward()
    for tensor in (z, w, ws, styles, *noise):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in small.parameters())
    assert not small.training


@pytest.mark.parametrize("options", [{}, {"use_instance_norm": False, "use_pixel_norm": True, "blur_filter": [1, 1]}])
def test_gradient_is_right(options: dict[str, Any]) -> None:
    generator = build(tiny_checkpoint("stylegan", resolution=8, w_dim=3, channels=4, **options)).double()
    ws = random_ws(generator).double().requires_grad_()
    assert torch.autograd.gradcheck(generator.synthesis, (ws,), atol=1e-4)


def test_noise_replaces_the_constants(small: StyleGAN) -> None:
    ws = random_ws(small, 2)
    own = [layer.noise_const[None, None] for layer in small.network.layers()]
    assert torch.equal(small.synthesis(ws), small.synthesis(ws, own))
    assert not torch.equal(small.synthesis(ws), small.synthesis(ws, [0 * noise for noise in own]))
    two = [torch.cat([noise, 0 * noise]) for noise in own]  # a map for each face
    assert torch.allclose(small.synthesis(ws, two)[:1], small.synthesis(ws[:1], own), atol=1e-5)
    with pytest.raises(ValueError, match="8 noise maps"):
        small.synthesis(ws, own[:3])
    without = build(tiny_checkpoint("stylegan", use_noise=False))
    assert without.network.noise_sides == ()
    assert torch.equal(without.synthesis(ws), without.synthesis(ws, []))


def test_batch_equals_singles(small: StyleGAN) -> None:
    ws = random_ws(small, 3)
    singles = torch.cat([small.synthesis(ws[i : i + 1]) for i in range(3)])
    assert torch.allclose(small.synthesis(ws), singles, atol=1e-5)


def test_smaller_pictures_are_the_true_one_made_smaller(small: StyleGAN) -> None:
    """Not what the heads of smaller sides draw, which are of an earlier network."""
    ws = random_ws(small)
    assert hasattr(small.network.b16, "torgb")
    assert torch.equal(small.synthesis(ws, resolution=16), area_resize(small.synthesis(ws), 16))
    assert torch.equal(small.synthesis(ws, resolution=64), small.synthesis(ws))


def test_heads_of_smaller_sides_may_be_absent(small: StyleGAN) -> None:
    state = {name: t for name, t in tiny_checkpoint("stylegan").state.items() if "torgb" not in name or ".b32." in name}
    lean = build(dataclasses.replace(tiny_checkpoint("stylegan"), state=state))
    assert torch.equal(lean.synthesis(random_ws(small)), small.synthesis(random_ws(small)))


@pytest.mark.parametrize(
    "name",
    ["synthesis.b4.const", "synthesis.b16.conv1.weight", "synthesis.b8.conv0.bias", "synthesis.b8.conv1.noise_const",
     "synthesis.b4.conv0.affine.weight", "synthesis.b32.torgb.weight", "mapping.fc0.weight"],
)  # fmt: skip
def test_missing_and_misshapen_tensors_are_named(name: str) -> None:
    checkpoint = tiny_checkpoint("stylegan")
    wrong: list[dict[str, Tensor]] = [{}, {name: checkpoint.state[name][..., None]}, {name: torch.zeros(())}]
    for tensors in wrong:
        state = {key: tensor for key, tensor in checkpoint.state.items() if key != name} | tensors
        with pytest.raises(UserError, match=name.split(".", 1)[1].replace(".", r"\.")):
            build(dataclasses.replace(checkpoint, state=state))


def test_superfluous_tensors_are_named() -> None:
    checkpoint = tiny_checkpoint("stylegan")
    for name in ("synthesis.b8.conv1.scale", "synthesis.b256.conv1.bias", "extra"):
        with pytest.raises(UserError, match=name.removeprefix("synthesis.")):
            build(dataclasses.replace(checkpoint, state={**checkpoint.state, name: torch.zeros(1)}))


def test_unusable_requests_are_refused() -> None:
    checkpoint = tiny_checkpoint("stylegan")

    def refused(message: str, *, changed: dict[str, Any] | None = None, **request: Any) -> None:
        with pytest.raises(UserError, match=message):
            build(dataclasses.replace(checkpoint, options={**checkpoint.options, **(changed or {})}), **request)

    refused("precision=float16", precision="float16")
    refused("class_label=1: this generator has no classes", class_label=1)
    refused("has no option conv_clamp", changed={"conv_clamp": 256})
    refused("nonlinearity=selu", changed={"nonlinearity": "selu"})
    refused("fused_scale=perhaps", changed={"fused_scale": "perhaps"})
    refused("blur_filter=", changed={"blur_filter": [1, -1]})
    with pytest.raises(UserError, match="stylegan2 checkpoint"):
        build(Checkpoint("stylegan2", {}))
    with pytest.raises(UserError, match="its mapping network makes w of 8 numbers"):
        mapping = {
            name: t for name, t in tiny_checkpoint("stylegan", w_dim=8).state.items() if name.startswith("mapping.")
        }
        build(dataclasses.replace(checkpoint, state={**checkpoint.state, **mapping}))
    with pytest.raises(UserError, match="choose one of its classes, 0 to 2"):
        build(tiny_checkpoint("stylegan", c_dim=3))


def test_hash_follows_tensors_and_options(small: StyleGAN) -> None:
    assert build(tiny_checkpoint("stylegan")).sha256 == small.sha256
    assert build(tiny_checkpoint("stylegan", seed=1)).sha256 != small.sha256
    assert build(tiny_checkpoint("stylegan", fused_scale=True)).sha256 != small.sha256


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_other_devices(device: str, small: StyleGAN) -> None:
    if not (torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()):
        pytest.skip(f"this machine has no {device}")
    ws = random_ws(small, 2)
    there = build(tiny_checkpoint("stylegan"), device)
    assert torch.allclose(there.synthesis(ws.to(device)).cpu(), small.synthesis(ws), atol=1e-3)
    assert there.sha256 == small.sha256

"""TensorFlow's variables of 2019 -> tensors. That the pictures agree is shown in generators/test_stylegan.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gan_inversion.checkpoints.tf_stylegan import translate
from gan_inversion.errors import UserError
from gan_inversion.generators.stylegan import build
from tests.families import variables_of_2019

KWARGS: dict[str, Any] = {
    "num_channels": 3, "resolution": 16, "label_size": 0, "latent_size": 12, "dlatent_size": 16, "mapping_fmaps": 10,
    "mapping_layers": 3, "fmap_base": 64, "fmap_max": 8, "truncation_psi": 0.7, "style_mixing_prob": 0.9,
}  # fmt: skip


def test_names_and_layouts() -> None:
    variables = variables_of_2019(KWARGS, 0)
    checkpoint = translate(KWARGS, variables)
    state = checkpoint.state
    assert checkpoint.family == "stylegan"
    assert len(state) == len(variables) - 2  # all but the two lods
    assert all(tensor.dtype == torch.float32 and tensor.is_contiguous() for tensor in state.values())
    assert state["synthesis.b4.const"].shape == (8, 4, 4)
    assert state["synthesis.b16.conv1.noise_const"].shape == (16, 16)
    assert state["synthesis.b8.conv0.weight"].shape == (8, 8, 3, 3)
    weight = variables["synthesis/8x8/Conv0_up/weight"]  # [H, W, I, O], scaled by sqrt(2 / fan_in)
    assert np.isclose(state["synthesis.b8.conv0.weight"][5, 3, 0, 2], weight[0, 2, 3, 5] * np.sqrt(2 / (3 * 3 * 8)))
    weight = variables["synthesis/4x4/Conv/StyleMod/weight"]  # [I, O], scaled by sqrt(1 / fan_in)
    assert np.isclose(state["synthesis.b4.conv1.affine.weight"][5, 3], weight[3, 5] / 4)
    weight = variables["synthesis/ToRGB_lod0/weight"]
    assert np.isclose(state["synthesis.b16.torgb.weight"][2, 1, 0, 0], weight[0, 0, 1, 2] / np.sqrt(8))
    assert checkpoint.options["fused_scale"] == "auto"
    assert checkpoint.options["blur_filter"] == [1, 2, 1]


def test_tensorflows_own_names_of_the_components() -> None:
    variables = variables_of_2019(KWARGS, 0)
    listed = {f"G_{name}" if "/" in name else name: value for name, value in variables.items()}
    ours, theirs = translate(KWARGS, variables).state, translate(KWARGS, listed).state
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_weights_scaled_once_are_the_same_network() -> None:
    """A file that stores effective weights (use_wscale=False) draws what its equalised twin draws."""
    variables, lrmul = variables_of_2019(KWARGS, 0), 0.01
    effective = dict(variables)
    for name, value in variables.items():
        if name.endswith("/weight") and "Noise" not in name:
            gain = 1.0 if "StyleMod" in name or "ToRGB" in name else np.sqrt(2)
            effective[name] = value * np.float32(gain / np.sqrt(np.prod(value.shape[:-1])))
    twins = [translate(KWARGS, variables), translate({**KWARGS, "use_wscale": False}, effective)]
    first, second = (build(twin) for twin in twins)
    z = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    x = z.numpy() / np.sqrt((z.numpy() ** 2).mean(1, keepdims=True) + 1e-8)
    for i in range(3):  # TensorFlow's own form of the mapping network
        weight = effective[f"mapping/Dense{i}/weight"] * lrmul
        x = x @ weight + variables[f"mapping/Dense{i}/bias"] * lrmul
        x = np.maximum(x, 0.2 * x)
    w = first.mapping(z)
    assert torch.allclose(w, torch.from_numpy(x), atol=1e-5)
    assert torch.allclose(second.mapping(z), w, atol=1e-5)
    ws = w[:, None].repeat(1, first.num_ws, 1)
    assert torch.allclose(first.synthesis(ws), second.synthesis(ws), atol=1e-4)


def test_labels_are_concatenated_and_normalised_together() -> None:
    kwargs = {**KWARGS, "label_size": 3}
    variables = variables_of_2019(kwargs, 0)
    z = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    pictures = []
    for label in range(3):
        embedded = np.repeat(variables["mapping/LabelConcat/weight"][label : label + 1], 2, 0)
        x = np.concatenate([z.numpy(), embedded], 1)
        x = x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-8)
        for i in range(3):
            weight = variables[f"mapping/Dense{i}/weight"]
            x = x @ (weight * np.sqrt(2 / len(weight)) * 0.01) + variables[f"mapping/Dense{i}/bias"] * 0.01
            x = np.maximum(x, 0.2 * x)
        generator = build(translate(kwargs, variables), class_label=label)
        w = generator.mapping(z)
        assert torch.allclose(w, torch.from_numpy(x).float(), atol=1e-5)
        pictures.append(generator.synthesis(w[:, None].repeat(1, generator.num_ws, 1)))
    assert generator.c_dim == 3
    assert not torch.allclose(pictures[0], pictures[1], atol=1e-2)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"const_input_layer": False}, "const_input_layer=False: a first layer that is made from w is unsupported"),
        ({"use_styles": False}, "use_styles=False: without styles the picture does not depend on w"),
        ({"normalize_latents": False}, "normalize_latents=False"),
        ({"dtype": "float16"}, "dtype=float16"),
        ({"num_channels": 1}, "num_channels=1"),
        ({"resample_kernel": [1, 3, 3, 1]}, "arguments resample_kernel are unknown"),
    ],
)
def test_unsupported_arguments_are_named(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        translate({**KWARGS, **kwargs}, variables_of_2019(KWARGS, 0))


@pytest.mark.parametrize(
    "name",
    ["synthesis/8x8/Conv0_up/mod_weight", "synthesis/noise12", "mapping/Dense1/scale", "synthesis/64x64/Conv1/bias"],
)
def test_unknown_variables_are_named(name: str) -> None:
    with pytest.raises(UserError, match=f"its variables {name} are unknown"):
        translate(KWARGS, {**variables_of_2019(KWARGS, 0), name: np.zeros(1, np.float32)})


def test_damaged_and_unfinished_networks_are_refused() -> None:
    variables = variables_of_2019(KWARGS, 0)
    name = "synthesis/8x8/Conv1/weight"
    with pytest.raises(UserError, match=rf"{name} has the shape \[8\]"):
        translate(KWARGS, {**variables, name: np.zeros(8, np.float32)})
    with pytest.raises(UserError, match=r"no tensor synthesis\.b8\.conv1\.weight"):
        build(translate(KWARGS, {key: value for key, value in variables.items() if key != name}))
    with pytest.raises(UserError, match="lod is not 0: this StyleGAN was still growing"):
        translate(KWARGS, {**variables, "lod": np.float32(2.5)})

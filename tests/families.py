"""Random networks of the families, in the spelling of their files: numbers come from a seed, so no file is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_inversion.checkpoints.checkpoint import Checkpoint
from gan_inversion.checkpoints.tf_stylegan import translate


def shapes_of_2019(kwargs: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Variables that the StyleGAN of 2019 creates for these arguments, under its names."""
    levels = int(math.log2(kwargs["resolution"])) - 1
    z_dim, w_dim, classes = kwargs["latent_size"], kwargs["dlatent_size"], kwargs.get("label_size", 0)
    widths = [int(min(kwargs["fmap_base"] / 2 ** (level + 1), kwargs["fmap_max"])) for level in range(levels)]
    shapes: dict[str, tuple[int, ...]] = {"lod": (), "synthesis/lod": (), "dlatent_avg": (w_dim,)}
    if classes:
        shapes["mapping/LabelConcat/weight"] = (classes, z_dim)
    sizes = [z_dim * (2 if classes else 1), *[kwargs["mapping_fmaps"]] * (kwargs["mapping_layers"] - 1), w_dim]
    for i in range(kwargs["mapping_layers"]):
        shapes[f"mapping/Dense{i}/weight"] = (sizes[i], sizes[i + 1])
        shapes[f"mapping/Dense{i}/bias"] = (sizes[i + 1],)
    shapes["synthesis/4x4/Const/const"] = (1, widths[0], 4, 4)
    for level, width in enumerate(widths):
        side = 4 * 2**level
        before = widths[max(level - 1, 0)]
        for i, layer in enumerate(("Const", "Conv") if level == 0 else ("Conv0_up", "Conv1")):
            name = f"synthesis/{side}x{side}/{layer}"
            if layer != "Const":
                shapes[f"{name}/weight"] = (3, 3, before if i == 0 else width, width)
            if kwargs.get("use_noise", True):
                shapes[f"synthesis/noise{2 * level + i}"] = (1, 1, side, side)
                shapes[f"{name}/Noise/weight"] = (width,)
            shapes |= {f"{name}/bias": (width,), f"{name}/StyleMod/weight": (w_dim, 2 * width)}
            shapes[f"{name}/StyleMod/bias"] = (2 * width,)
        if kwargs.get("structure") != "fixed" or level == levels - 1:
            shapes |= {f"synthesis/ToRGB_lod{levels - 1 - level}/weight": (1, 1, width, 3)}
            shapes |= {f"synthesis/ToRGB_lod{levels - 1 - level}/bias": (3,)}
    return shapes


def variables_of_2019(kwargs: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
    """float32 numbers for `shapes_of_2019`: standard normal, drawn by `default_rng(seed)` in the order of sorted names,
    times a scale that keeps pictures in range. tests/golden/README.md states the scales: golden numbers rest on them.
    """
    rng, lrmul, wscale = np.random.default_rng(seed), kwargs.get("mapping_lrmul", 0.01), kwargs.get("use_wscale", True)
    variables = {}
    for name, shape in sorted(shapes_of_2019(kwargs).items()):
        part = name.split("/")[-1]
        he = 1.0 if wscale or part != "weight" else math.sqrt(2 / math.prod(shape[:-1]))
        if part == "lod":
            scale = 0.0
        elif name.startswith("mapping/Dense"):
            scale = (0.1 if part == "bias" else he) / lrmul
        elif name.endswith("StyleMod/bias") or name == "dlatent_avg":
            scale = 0.3
        elif name.endswith("Noise/weight"):
            scale = 0.2
        elif part == "bias":
            scale = 0.1
        else:
            scale = 1.0 if "LabelConcat" in name else he
        variables[name] = np.asarray(rng.standard_normal(shape) * scale, np.float32)
    return variables


def tiny_checkpoint(
    family: str, seed: int = 0, resolution: int = 32, w_dim: int = 16, channels: int = 8, c_dim: int = 0, **options: Any
) -> Checkpoint:
    """A random generator of "stylegan" or "stylegan2" that builds in milliseconds. It draws no faces.

    options: arguments of the TensorFlow code of 2019 for "stylegan"; of the checkpoint for "stylegan2", of which
    "architecture" (skip, resnet or orig) and "use_noise" change the tensors too.
    """
    if family not in _MAKERS:
        raise ValueError(f"family must be one of {', '.join(_MAKERS)}, not {family}")
    return _MAKERS[family](seed, resolution, w_dim, channels, c_dim, options)


def tiny_stylegan(
    seed: int, resolution: int, w_dim: int, channels: int, c_dim: int, options: Mapping[str, Any]
) -> Checkpoint:
    sizes = {"latent_size": w_dim, "dlatent_size": w_dim, "mapping_fmaps": w_dim, "mapping_layers": 2}
    widths = {"fmap_base": channels * resolution, "fmap_max": channels}
    kwargs = {"resolution": resolution, "label_size": c_dim, **sizes, **widths, **options}
    return translate(kwargs, variables_of_2019(kwargs, seed))


def tiny_stylegan2(
    seed: int, resolution: int, w_dim: int, channels: int, c_dim: int, options: Mapping[str, Any]
) -> Checkpoint:
    source, state = torch.Generator().manual_seed(seed), {}
    architecture = options.get("architecture", "skip")
    filter_1d = torch.tensor([1.0, 3.0, 3.0, 1.0])
    resample = torch.outer(filter_1d, filter_1d) / 64

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=source) * scale

    def layer(name: str, inputs: int, outputs: int, kernel: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = (
            normal(outputs, inputs, kernel, kernel),
            normal(outputs, scale=0.1),
        )
        state[f"{name}.affine.weight"] = normal(inputs, w_dim, scale=0.5)
        state[f"{name}.affine.bias"] = 1 + normal(inputs, scale=0.1)

    for i in range(2):  # stored divided by the learning rate multiplier, 0.01
        inputs = 2 * w_dim if c_dim and i == 0 else w_dim
        state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"] = normal(w_dim, inputs, scale=100), normal(w_dim)
    if c_dim:
        state |= {"mapping.embed.weight": normal(w_dim, c_dim), "mapping.embed.bias": normal(w_dim, scale=0.1)}
    state["mapping.w_avg"] = normal(w_dim, scale=0.1)
    state["synthesis.b4.const"] = normal(channels, 4, 4)
    for side in (2**i for i in range(2, resolution.bit_length())):
        block = f"synthesis.b{side}"
        state[f"{block}.resample_filter"] = resample
        for conv in ("conv1",) if side == 4 else ("conv0", "conv1"):
            layer(f"{block}.{conv}", channels, channels, 3)
            state[f"{block}.{conv}.resample_filter"] = resample
            if options.get("use_noise", True):
                state[f"{block}.{conv}.noise_strength"] = normal(1, scale=0.1).squeeze()
                state[f"{block}.{conv}.noise_const"] = normal(side, side)
        if side == resolution or architecture == "skip":
            layer(f"{block}.torgb", channels, 3, 1)
        if side > 4 and architecture == "resnet":
            state |= {
                f"{block}.skip.weight": normal(channels, channels, 1, 1),
                f"{block}.skip.resample_filter": resample,
            }
    return Checkpoint("stylegan2", state, options)


_MAKERS = {"stylegan": tiny_stylegan, "stylegan2": tiny_stylegan2}

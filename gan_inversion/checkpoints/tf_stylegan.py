"""StyleGAN as TensorFlow stored it (NVlabs/stylegan, 2019: `Gs` of a network pickle), in the project's names.

Where a file uses the equalised learning rate (use_wscale), TensorFlow multiplies weights by gain / sqrt(fan_in) in each
run; here they are multiplied once. Files with and without it then describe their network in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from .checkpoint import Checkpoint

# Arguments of the network that change its picture, under the names of our options, with the defaults of 2019.
OPTIONS: dict[str, tuple[str, Any]] = {
    "nonlinearity": ("nonlinearity", "lrelu"),
    "use_pixel_norm": ("use_pixel_norm", False),
    "use_instance_norm": ("use_instance_norm", True),
    "blur_filter": ("blur_filter", [1, 2, 1]),
    "fused_scale": ("fused_scale", "auto"),
    "mapping_nonlinearity": ("mapping_activation", "lrelu"),
    "mapping_lrmul": ("mapping_lr_multiplier", 0.01),
}
# Arguments of which one value alone can be drawn, the default, and what another would mean.
ONLY: dict[str, tuple[Any, str]] = {
    "use_styles": (True, "without styles the picture does not depend on w"),
    "const_input_layer": (True, "a first layer that is made from w is unsupported"),
    "normalize_latents": (True, "a mapping network that takes z as it is is unsupported"),
    "dtype": ("float32", "other precisions are unsupported"),
    "num_channels": (3, "pictures of other than three colours are unsupported"),
}
# Arguments that repeat what the variables' shapes tell, or that matter to training, truncation or layout only.
IGNORED = (
    "use_wscale", "resolution", "label_size", "latent_size", "dlatent_size", "dlatent_broadcast", "mapping_layers",
    "mapping_fmaps", "fmap_base", "fmap_decay", "fmap_max", "use_noise", "randomize_noise", "structure", "truncation_psi",
    "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val", "dlatent_avg_beta", "style_mixing_prob",
    "is_training", "is_validation", "is_template_graph", "force_clean_graph",
)  # fmt: skip

Change = Callable[[np.ndarray], np.ndarray]
SQRT2 = math.sqrt(2)  # the gain of weights before a ReLU


def translate(kwargs: Mapping[str, Any], variables: Mapping[str, np.ndarray]) -> Checkpoint:
    """A checkpoint of family "stylegan".

    kwargs: the network's `static_kwargs`. variables: of the network and its components, as in `synthesis/4x4/Conv/weight`
    (or `G_synthesis/...`, as TensorFlow lists them).

    Raises UserError naming arguments or variables that are unknown, and arguments that are unsupported; variables that
    are missing are found when the network is built.
    """
    options = _options(kwargs)
    found = {_local(name): np.asarray(value) for name, value in variables.items()}
    growing = [name for name in ("lod", "synthesis/lod") if name in found and float(found.pop(name)) != 0]
    if growing:
        raise UserError(f"{growing[0]} is not 0: this StyleGAN was still growing. Choose a later snapshot.")
    table = names(found, bool(kwargs.get("use_wscale", True)))
    unknown = sorted(set(found) - set(table))
    if unknown:
        raise UserError(f"not a StyleGAN of 2019, or a changed one: its variables {', '.join(unknown)} are unknown.")
    state = {}
    for name, value in found.items():
        ours, change = table[name]
        try:
            state[ours] = torch.from_numpy(np.array(change(value), np.float32, order="C"))
        except ValueError:
            raise UserError(f"not a StyleGAN of 2019: {name} has the shape {list(value.shape)}.") from None
    return Checkpoint("stylegan", state, options, {"format": "NVlabs/stylegan, TensorFlow"})


def names(variables: Mapping[str, np.ndarray], wscale: bool) -> dict[str, tuple[str, Change]]:
    """The table: TensorFlow's name -> our name, and what becomes of the numbers. variables: for sizes only."""
    sides = [4]
    while any(name.startswith(f"synthesis/{2 * sides[-1]}x{2 * sides[-1]}/") for name in variables):
        sides.append(2 * sides[-1])
    convolution = _scaled(SQRT2, wscale, (3, 2, 0, 1))  # [H, W, I, O] -> [O, I, H, W]
    colours = _scaled(1.0, wscale, (3, 2, 0, 1))
    affine = _scaled(1.0, wscale, (1, 0))  # [I, O] -> [O, I]

    table: dict[str, tuple[str, Change]] = {"dlatent_avg": ("mapping.w_avg", _same)}
    table["mapping/LabelConcat/weight"] = ("mapping.embed.weight", _label)
    for i in range(sum(name.startswith("mapping/Dense") for name in variables)):
        table[f"mapping/Dense{i}/weight"] = (f"mapping.fc{i}.weight", _dense if wscale else _dense_unscaled)
        table[f"mapping/Dense{i}/bias"] = (f"mapping.fc{i}.bias", _dense_bias)
    table["synthesis/4x4/Const/const"] = ("synthesis.b4.const", _without_batch)
    for level, side in enumerate(sides):
        theirs, ours = f"synthesis/{side}x{side}", f"synthesis.b{side}"
        for layer, name in enumerate(("Const", "Conv") if side == 4 else ("Conv0_up", "Conv1")):
            if name != "Const":
                table[f"{theirs}/{name}/weight"] = (f"{ours}.conv{layer}.weight", convolution)
            table[f"{theirs}/{name}/bias"] = (f"{ours}.conv{layer}.bias", _same)
            table[f"{theirs}/{name}/Noise/weight"] = (f"{ours}.conv{layer}.noise_strength", _same)
            table[f"{theirs}/{name}/StyleMod/weight"] = (f"{ours}.conv{layer}.affine.weight", affine)
            table[f"{theirs}/{name}/StyleMod/bias"] = (f"{ours}.conv{layer}.affine.bias", _same)
            table[f"synthesis/noise{2 * level + layer}"] = (f"{ours}.conv{layer}.noise_const", _map)
        lod = len(sides) - 1 - level
        table[f"synthesis/ToRGB_lod{lod}/weight"] = (f"{ours}.torgb.weight", colours)
        table[f"synthesis/ToRGB_lod{lod}/bias"] = (f"{ours}.torgb.bias", _same)
    return table


def _scaled(gain: float, wscale: bool, order: tuple[int, ...]) -> Change:
    def change(weight: np.ndarray) -> np.ndarray:
        factor = gain / math.sqrt(math.prod(weight.shape[:-1])) if wscale else 1.0
        return weight.transpose(order) * np.float32(factor)

    return change


def _same(value: np.ndarray) -> np.ndarray:
    return value


def _dense(weight: np.ndarray) -> np.ndarray:
    """[I, O] -> [O, I]. `MappingNetwork` scales by lrmul / sqrt(I), and has the gain after its activation."""
    return weight.transpose(1, 0)


def _dense_unscaled(weight: np.ndarray) -> np.ndarray:
    return weight.transpose(1, 0) * np.float32(math.sqrt(len(weight)) / SQRT2)


def _dense_bias(bias: np.ndarray) -> np.ndarray:
    """TensorFlow's gain is in the weights only; ours, after the activation, reaches the bias too."""
    return bias / np.float32(SQRT2)


def _label(weight: np.ndarray) -> np.ndarray:
    """[classes, z_dim] -> [z_dim, classes]. TensorFlow does not scale it; `MappingNetwork` does, by 1 / sqrt(classes)."""
    return weight.transpose(1, 0) * np.float32(math.sqrt(len(weight)))


def _without_batch(const: np.ndarray) -> np.ndarray:
    """[1, C, 4, 4] -> [C, 4, 4]."""
    return const.squeeze(0)


def _map(noise: np.ndarray) -> np.ndarray:
    """[1, 1, H, W] -> [H, W]."""
    return noise.squeeze((0, 1))


def _local(name: str) -> str:
    """`G_synthesis/...` -> `synthesis/...`: TensorFlow lists variables by the networks' names, pickles by their roles."""
    return name.removeprefix("G_") if name.startswith(("G_synthesis/", "G_mapping/")) else name


def _options(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    unknown = [name for name in kwargs if name not in OPTIONS and name not in ONLY and name not in IGNORED]
    if unknown:
        raise UserError(f"not a StyleGAN of 2019, or a changed one: its arguments {', '.join(unknown)} are unknown.")
    for name, (value, reason) in ONLY.items():
        if kwargs.get(name, value) != value:
            raise UserError(f"this StyleGAN was made with {name}={kwargs[name]}: {reason}.")
    options = {ours: kwargs.get(theirs, default) for theirs, (ours, default) in OPTIONS.items()}
    taps = options["blur_filter"]
    options["blur_filter"] = None if taps is None else np.asarray(taps).tolist()
    return options | {"label_norm": "both"}

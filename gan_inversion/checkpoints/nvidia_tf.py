"""Networks as NVIDIA's TensorFlow code pickled them: StyleGAN (2019), StyleGAN2 and StyleGAN2-ADA."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from .checkpoint import Checkpoint
from .stand_ins import Record
from .stored import as_float32, check_total
from .stored_array import StoredArray

COMPONENTS, DEPTH, VARIABLES = 20, 4, 2_000
Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class TensorFlowNetwork:
    """A network, as data. variables: of it and its components, as in "synthesis/4x4/Conv/weight"; views of the file."""

    name: str
    build_function: str
    arguments: Mapping[str, Any]  # static_kwargs: numbers, text and lists
    variables: Mapping[str, np.ndarray]


def is_network_pickle(tree: Any) -> bool:
    """(G, D, Gs), or one network alone."""
    parts = tree if type(tree) in (tuple, list) and tree else (tree,)
    return all(isinstance(part, Record) and part.name == "Network" and "variables" in part.state for part in parts)


def read_network(record: Record) -> TensorFlowNetwork:
    """Raises UserError if its parts are not what that code writes."""
    variables: dict[str, np.ndarray] = {}
    waiting: list[tuple[str, Any, int]] = [("", record, 0)]
    visited = 0  # hostile files refer to one large part many times
    while waiting:
        prefix, part, depth = waiting.pop()
        visited += 1
        if not isinstance(part, Record) or depth > DEPTH or visited > COMPONENTS:
            raise UserError(f"its component {prefix or 'network'} is no network, or there are too many")
        listed, components = part.state.get("variables") or [], part.state.get("components") or {}
        if type(listed) not in (list, tuple) or not isinstance(components, dict) or not all(map(_short, components)):
            raise UserError("its variables or components are damaged")
        if len(listed) > VARIABLES or len(components) > COMPONENTS:
            raise UserError("it has more variables or components than any generator")
        for pair in listed:
            if type(pair) not in (tuple, list) or len(pair) != 2 or not _short(pair[0]):
                raise UserError(f"a variable of {prefix or 'its network'} has no name")
            value = np.asarray(pair[1]) if isinstance(pair[1], StoredArray | int | float) else None
            if value is None or value.dtype.kind not in "fiub":
                raise UserError(f"its variable {prefix}{pair[0][:100]} is no array of numbers")
            variables[prefix + pair[0]] = value
        waiting += [(f"{prefix}{name}/", component, depth + 1) for name, component in components.items()]
    arguments = record.state.get("static_kwargs") or {}
    if not isinstance(arguments, dict) or not all(_short(key) and _plain(value) for key, value in arguments.items()):
        raise UserError("its arguments (static_kwargs) are no numbers, texts and lists of numbers")
    name, function = (value if _short(value) else "" for value in map(record.state.get, ("name", "build_func_name")))
    return TensorFlowNetwork(str(name), str(function), arguments, variables)


def _short(name: Any) -> bool:
    return type(name) is str and len(name) < 200


def _plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return len(value) < 50 and all(type(part) in (int, float) for part in value)
    return value is None or type(value) in (bool, int, float, str)


def to_checkpoint(tree: Any, file_size: int) -> Checkpoint:
    """Gs, the running mean of the generator. Raises UserError if it is no generator of a kind that is known."""
    if type(tree) in (tuple, list) and len(tree) != 3:
        raise UserError(f"it holds {len(tree)} networks, where TensorFlow's StyleGANs wrote three: G, D and Gs")
    network = read_network(tree[2] if type(tree) in (tuple, list) else tree)
    check_total(list(network.variables.values()), file_size)
    names = network.variables
    if "synthesis/4x4/Const/const" not in names:
        raise UserError(
            f"its network {network.build_function or network.name} is no generator of StyleGAN or StyleGAN2"
        )
    facts = {"network": network.build_function or network.name, "weights": "Gs"}
    checkpoint: Checkpoint
    if any(name.endswith("/mod_weight") for name in names):
        checkpoint = stylegan2(network.arguments, network.variables)
    elif any("/StyleMod/" in name for name in names):
        try:
            tf_stylegan = importlib.import_module(".tf_stylegan", __package__)
        except ImportError:  # the reader of a family may be left out
            raise UserError("it is a StyleGAN of 2019, for which this version has no reader") from None
        checkpoint = tf_stylegan.translate(network.arguments, network.variables)
    else:
        raise UserError("its network is no StyleGAN or StyleGAN2: it has no styles")
    return Checkpoint(checkpoint.family, checkpoint.state, checkpoint.options, {**checkpoint.facts, **facts})


# ---------------------------------------------------------------- StyleGAN2

# Arguments that change the picture, under our options' names, with their defaults.
OPTIONS: dict[str, tuple[str, Any]] = {
    "mapping_lrmul": ("mapping_lr_multiplier", 0.01),
    "mapping_nonlinearity": ("mapping_activation", "lrelu"),
    "nonlinearity": ("activation", "lrelu"),
    "conv_clamp": ("conv_clamp", None),
    "num_fp16_res": ("num_fp16_res", 0),
    "use_noise": ("use_noise", True),
    "architecture": ("architecture", "skip"),
}
# Arguments of which one value alone can be drawn.
ONLY: dict[str, Any] = {"dtype": "float32", "normalize_latents": True, "num_channels": 3}
# Arguments that repeat what the shapes tell, or that matter to training, truncation or layout only.
IGNORED = (
    "resolution", "label_size", "latent_size", "dlatent_size", "mapping_layers", "mapping_fmaps", "label_fmaps",
    "fmap_base", "fmap_decay", "fmap_min", "fmap_max", "fmap_const", "dlatent_broadcast", "randomize_noise", "fused_modconv",
    "structure", "conditioning", "truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val",
    "dlatent_avg_beta", "w_avg_beta", "style_mixing_prob", "is_training", "is_validation", "is_template_graph",
    "force_clean_graph", "resample_kernel", "mapping_func", "synthesis_func",
)  # fmt: skip


def _same(x: np.ndarray) -> np.ndarray:
    return x


def _dense(x: np.ndarray) -> np.ndarray:
    """[inputs, outputs] -> [outputs, inputs]."""
    return x.transpose(1, 0)


def _kernel(x: np.ndarray) -> np.ndarray:
    """[height, width, inputs, outputs] -> [outputs, inputs, height, width]."""
    return x.transpose(3, 2, 0, 1)


def _turned(x: np.ndarray) -> np.ndarray:
    """A kernel that doubles the side: TensorFlow's is applied the other way round."""
    return x[::-1, ::-1].transpose(3, 2, 0, 1)


def _one_more(x: np.ndarray) -> np.ndarray:
    """Biases of styles are stored less the 1 they are around."""
    return x + 1


# The table: TensorFlow's name -> ours, and what becomes of the numbers. {r} is the side in pixels.
NAMES: list[tuple[str, str, Change]] = [
    (r"dlatent_avg", "mapping.w_avg", _same),
    (r"mapping/LabelEmbed/weight", "mapping.embed.weight", _dense),
    (r"mapping/LabelEmbed/bias", "mapping.embed.bias", _same),
    (r"mapping/LabelConcat/weight", "mapping.embed.weight", lambda x: x.transpose(1, 0) * math.sqrt(x.shape[0])),
    (r"mapping/Dense(?P<i>\d+)/weight", "mapping.fc{i}.weight", _dense),
    (r"mapping/Dense(?P<i>\d+)/bias", "mapping.fc{i}.bias", _same),
    (r"synthesis/4x4/Const/const", "synthesis.b4.const", lambda x: x[0]),
    (r"synthesis/(?P<r>4)x4/Conv/{layer}", "synthesis.b{r}.conv1.{layer}", _kernel),
    (r"synthesis/(?P<r>\d+)x\d+/Conv0_up/{layer}", "synthesis.b{r}.conv0.{layer}", _turned),
    (r"synthesis/(?P<r>\d+)x\d+/Conv1/{layer}", "synthesis.b{r}.conv1.{layer}", _kernel),
    (r"synthesis/(?P<r>\d+)x\d+/ToRGB/{layer}", "synthesis.b{r}.torgb.{layer}", _kernel),
    (r"synthesis/ToRGB_lod0/{layer}", "synthesis.b{last}.torgb.{layer}", _kernel),
    (r"synthesis/(?P<r>\d+)x\d+/Skip/weight", "synthesis.b{r}.skip.weight", _turned),
]
LAYER: dict[str, tuple[str, Change | None]] = {  # of {layer} above; None: the kernel's own change
    "weight": ("weight", None),
    "bias": ("bias", _same),
    "noise_strength": ("noise_strength", _same),
    "mod_weight": ("affine.weight", _dense),
    "mod_bias": ("affine.bias", _one_more),
}


def translated(name: str, last: int) -> tuple[str, Change] | None:
    """Our name of a variable and what becomes of it; None if it is unknown. last: side of the picture."""
    noise = re.fullmatch(r"synthesis/noise(\d\d?)", name)
    if noise:
        i = int(noise[1])
        return f"synthesis.b{4 << (i + 1) // 2}.conv{i % 2 ^ 1}.noise_const", lambda x: x[0, 0]
    for pattern, ours, change in NAMES:
        match = re.fullmatch(pattern.replace("{layer}", f"(?P<layer>{'|'.join(LAYER)})"), name)
        if match:
            found = {"last": str(last), **match.groupdict()}
            if "layer" in found:
                found["layer"], other = LAYER[found["layer"]]
                change = change if other is None else other
            return ours.format(**found), change
    return None


def stylegan2(arguments: Mapping[str, Any], variables: Mapping[str, np.ndarray]) -> Checkpoint:
    """A checkpoint of family "stylegan2".

    Raises UserError naming arguments and variables that are unknown, and arguments that cannot be drawn.
    """
    unknown = sorted(set(arguments) - set(OPTIONS) - set(ONLY) - set(IGNORED))
    if unknown:
        raise UserError(f"a changed StyleGAN2: its arguments {', '.join(unknown)[:200]} are unknown")
    for name, only in ONLY.items():
        if arguments.get(name, only) != only:
            raise UserError(f"a changed StyleGAN2: {name} is {arguments[name]}, and can only be {only} here")
    options = {ours: arguments.get(name, default) for name, (ours, default) in OPTIONS.items()}
    variables = dict(variables)
    growing = [name for name in ("lod", "synthesis/lod") if np.any(variables.pop(name, 0))]
    if growing:
        raise UserError(f"this StyleGAN2 was still growing: its {growing[0]} is not 0. Take a later snapshot")
    sides = sorted({int(match[1]) for name in variables if (match := re.match(r"synthesis/(\d+)x\d+/", name))})
    if (
        "synthesis/ToRGB_lod0/weight" in variables
    ):  # configurations B to D, which grew: what they grew through draws nothing
        options["architecture"] = "orig"
        variables = {n: v for n, v in variables.items() if not re.match(r"synthesis/ToRGB_lod[1-9]\d?/", n)}
    if "mapping/LabelConcat/weight" in variables:  # StyleGAN2 before ADA
        options["label_norm"] = "both"
    state, left = {}, []
    for name, value in variables.items():
        entry = translated(name, sides[-1])
        if entry is None:
            left.append(name)
            continue
        try:
            state[entry[0]] = as_float32(entry[1](value))
        except (ValueError, IndexError):
            raise UserError(f"no StyleGAN2: its variable {name} has the shape {list(value.shape)}") from None
    if left:
        raise UserError(f"no StyleGAN2, or a changed one: its variables {', '.join(left)[:300]} are unknown")
    taps = arguments.get("resample_kernel", [1, 3, 3, 1])
    fir = as_float32(_filter([1, 1] if taps is None else taps))
    for name in list(state):
        block, _, layer = name.rpartition(".weight")[0].rpartition(".")
        if layer in ("conv0", "conv1", "skip"):
            state[f"{block}.{layer}.resample_filter"] = fir.clone()
            state[f"{block}.resample_filter"] = fir.clone()
    return Checkpoint("stylegan2", state, options, {"format": "NVIDIA TensorFlow pickle, StyleGAN2"})


def _filter(taps: Any) -> np.ndarray:
    """Weights of a separable filter -> [taps, taps], of sum 1."""
    values = np.asarray(taps, np.float64) if type(taps) in (list, tuple) and len(taps) < 8 else np.zeros(1)
    if not np.isfinite(values.sum()) or values.sum() == 0:
        raise UserError("a changed StyleGAN2: its resample_kernel is no list of at most seven weights")
    whole = np.outer(values, values)
    return whole / whole.sum()

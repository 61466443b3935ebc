"""NVIDIA's TensorFlow pickles (stylegan, stylegan2, stylegan2-ada): (G, D, Gs), networks whose variables are arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ..interfaces import UserError
from . import tf_stylegan
from .checkpoint import Checkpoint
from .pickle_rules import ArrayShell, Record

FORMAT = "NVIDIA TensorFlow pickle"
MAX_DEPTH = 6
# Arguments of StyleGAN2 that change its picture: our name, default.
OPTIONS: dict[str, tuple[str, Any]] = {
    "mapping_lrmul": ("mapping_lr_multiplier", 0.01),
    "mapping_nonlinearity": ("mapping_activation", "lrelu"),
    "nonlinearity": ("activation", "lrelu"),
    "architecture": ("architecture", "skip"),
    "conv_clamp": ("conv_clamp", None),
    "num_fp16_res": ("num_fp16_res", 0),
    "use_noise": ("use_noise", True),
}
ONLY = {"fused_modconv": None, "normalize_latents": True, "num_channels": 3, "dtype": "float32"}  # None: whichever
IGNORED = (
    "resolution", "label_size", "latent_size", "dlatent_size", "dlatent_broadcast", "mapping_layers", "mapping_fmaps",
    "label_fmaps", "fmap_base", "fmap_decay", "fmap_max", "fmap_min", "randomize_noise", "structure", "truncation_psi",
    "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val", "dlatent_avg_beta", "w_avg_beta",
    "style_mixing_prob", "is_training", "is_validation", "is_template_graph", "resample_kernel",
)  # fmt: skip

Change = Callable[[np.ndarray], np.ndarray]
CONVOLUTION: Change = lambda a: a.transpose(3, 2, 0, 1)  # noqa: E731  [H, W, I, O] -> [O, I, H, W]
TURNED: Change = lambda a: a[::-1, ::-1].transpose(3, 2, 0, 1)  # noqa: E731  upsampling kernels lie the other way round
MATRIX: Change = lambda a: a.transpose(1, 0)  # noqa: E731  [I, O] -> [O, I]
SAME: Change = lambda a: a  # noqa: E731
PLUS_1: Change = lambda a: a + 1  # noqa: E731  styles are kept less one
FIRST: Change = lambda a: a[0]  # noqa: E731
MAP: Change = lambda a: a[0, 0]  # noqa: E731  [1, 1, H, W] -> [H, W]
# TensorFlow's name -> ours, and what becomes of the numbers. {l}: a layer, {s}: pixels.
LAYER: tuple[tuple[str, str, Change], ...] = (
    ("bias", "bias", SAME),
    ("noise_strength", "noise_strength", SAME),
    ("mod_weight", "affine.weight", MATRIX),
    ("mod_bias", "affine.bias", PLUS_1),
)
TABLE: tuple[tuple[str, str, Change], ...] = (
    (r"dlatent_avg", r"mapping.w_avg", SAME),
    (r"mapping/Dense(\d+)/weight", r"mapping.fc\1.weight", MATRIX),
    (r"mapping/Dense(\d+)/bias", r"mapping.fc\1.bias", SAME),
    (r"mapping/LabelEmbed/weight", r"mapping.embed.weight", MATRIX),
    (r"mapping/LabelEmbed/bias", r"mapping.embed.bias", SAME),
    (r"mapping/LabelConcat/weight", r"mapping.embed.weight", lambda a: a.transpose(1, 0) * np.sqrt(len(a))),
    (r"synthesis/4x4/Const/const", r"synthesis.b4.const", FIRST),
    (r"synthesis/4x4/Conv/weight", r"synthesis.b4.conv1.weight", CONVOLUTION),
    *((rf"synthesis/4x4/Conv/{theirs}", rf"synthesis.b4.conv1.{ours}", change) for theirs, ours, change in LAYER),
    (r"synthesis/(\d+)x\d+/Conv0_up/weight", r"synthesis.b\1.conv0.weight", TURNED),
    (r"synthesis/(\d+)x\d+/Conv1/weight", r"synthesis.b\1.conv1.weight", CONVOLUTION),
    *((rf"synthesis/(\d+)x\d+/Conv0_up/{t}", rf"synthesis.b\1.conv0.{ours}", change) for t, ours, change in LAYER),
    *((rf"synthesis/(\d+)x\d+/Conv1/{t}", rf"synthesis.b\1.conv1.{ours}", change) for t, ours, change in LAYER),
    (r"synthesis/(\d+)x\d+/Skip/weight", r"synthesis.b\1.skip.weight", TURNED),
    (r"synthesis/(\d+)x\d+/ToRGB/weight", r"synthesis.b\1.torgb.weight", CONVOLUTION),
    *((rf"synthesis/(\d+)x\d+/ToRGB/{t}", rf"synthesis.b\1.torgb.{ours}", change) for t, ours, change in LAYER),
)


def checkpoint_of(networks: Any) -> Checkpoint:
    """The averaged generator `Gs`, the last of three. Raises UserError if it is none."""
    candidates = networks if isinstance(networks, (tuple, list)) else [networks]
    network = candidates[-1] if candidates else None
    if not isinstance(network, Record) or not isinstance(network.state, dict):
        raise UserError("no TensorFlow generator in it: (G, D, Gs) was expected.")
    kwargs, variables = network.state.get("static_kwargs"), variables_of(network)
    if not isinstance(kwargs, dict):
        raise UserError("damaged: the network has no static_kwargs.")
    if any(name.endswith("/mod_weight") for name in variables):
        checkpoint = translate(kwargs, variables)
    elif any(name.endswith("/StyleMod/weight") for name in variables):
        checkpoint = tf_stylegan.translate(kwargs, variables)
    else:
        name = str(network.state.get("build_func_name"))[:80]
        raise UserError(f"{name} is no generator of StyleGAN or StyleGAN2.")
    facts = {**checkpoint.facts, "format": FORMAT, "network": str(network.state.get("build_func_name"))[:80]}
    return Checkpoint(checkpoint.family, checkpoint.state, checkpoint.options, facts)


def variables_of(network: Record, prefix: str = "", depth: int = 0) -> dict[str, np.ndarray]:
    """Those of the network and its components, by name: `synthesis/4x4/Conv/weight`."""
    state = network.state if isinstance(network.state, dict) else {}
    found: dict[str, np.ndarray] = {}
    for pair in state.get("variables") or ():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[0], str):
            raise UserError("damaged: the network's variables have no names.")
        value = pair[1].array if isinstance(pair[1], ArrayShell) else pair[1]
        if not isinstance(value, (np.ndarray, int, float)):
            raise UserError(f"damaged: {pair[0][:80]} is no array.")
        found[prefix + pair[0]] = np.asarray(value)
    components = state.get("components") or {}
    if depth > MAX_DEPTH or not isinstance(components, dict):
        raise UserError("refused: networks within networks without end.")
    for name, part in components.items():
        if isinstance(part, Record):
            found |= variables_of(part, f"{prefix}{str(name)[:80]}/", depth + 1)
    return found


def translate(kwargs: Mapping[str, Any], variables: Mapping[str, np.ndarray]) -> Checkpoint:
    """StyleGAN2 and -ADA. Raises UserError naming arguments and variables that are unknown or unsupported."""
    options = {ours: kwargs.get(theirs, default) for theirs, (ours, default) in OPTIONS.items()}
    for name, value in kwargs.items():
        if name in ONLY and ONLY[name] not in (None, value):
            raise UserError(f"{name}={value}: only {ONLY[name]} can be drawn.")
        if name not in OPTIONS and name not in ONLY and name not in IGNORED:
            raise UserError(f"not a StyleGAN2, or a changed one: its argument {str(name)[:80]} is unknown.")
    if "mapping/LabelConcat/weight" in variables:
        options["label_norm"] = "both"
    sides = [2**i for i in range(2, 13) if any(name.startswith(f"synthesis/{2**i}x{2**i}/") for name in variables)]
    state, strays = {}, []
    for name, value in variables.items():
        if name in ("lod", "synthesis/lod"):  # how far a network had grown that does not grow
            continue
        ours = _ours(name, sides)
        if ours is None:
            strays.append(name)
            continue
        try:
            state[ours[0]] = torch.from_numpy(np.array(ours[1](value), np.float32, order="C"))
        except (ValueError, IndexError):
            raise UserError(f"not a StyleGAN2: {name} has the shape {list(value.shape)}.") from None
    if strays:
        raise UserError(f"not a StyleGAN2, or a changed one: its variables {', '.join(strays[:8])} are unknown.")
    return Checkpoint("stylegan2", state | filters(state, kwargs.get("resample_kernel")), options, {"format": FORMAT})


def _ours(name: str, sides: list[int]) -> tuple[str, Change] | None:
    if found := re.fullmatch(r"synthesis/noise(\d+)", name):
        number = int(found[1])
        layer = "b4.conv1" if number == 0 else f"b{2 ** ((number + 5) // 2)}.conv{(number + 1) % 2}"
        return f"synthesis.{layer}.noise_const", MAP
    if found := re.fullmatch(r"synthesis/ToRGB_lod(\d+)/(\w+)", name):  # architectures without skips
        lod = int(found[1])
        name = f"synthesis/{sides[-1] >> lod}x{sides[-1] >> lod}/ToRGB/{found[2]}"
    for theirs, ours, change in TABLE:
        if re.fullmatch(theirs, name):
            return re.sub(theirs, ours, name), change
    return None


def filters(state: Mapping[str, torch.Tensor], kernel: Any = None) -> dict[str, torch.Tensor]:
    """The smoothing filters, which PyTorch's code keeps as buffers: [1, 3, 3, 1] unless told otherwise."""
    taps = torch.tensor(list(kernel) if kernel is not None else [1, 3, 3, 1], dtype=torch.float32)
    outer = torch.outer(taps, taps)
    square = outer / outer.sum()
    places = set()
    for name in state:
        if found := re.match(r"(synthesis\.b\d+)\.(conv[01]|skip)\.weight", name):
            places |= {found[1], f"{found[1]}.{found[2]}"}
    return {f"{place}.resample_filter": square for place in sorted(places)}

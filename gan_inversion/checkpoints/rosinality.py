"""StyleGAN2 in the names of rosinality's PyTorch code, in which pSp, e4e, ReStyle and HyperStyle store it, too."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from .checkpoint import Checkpoint
from .stored import StoredTensor, as_float32, check_total

Change = Callable[[Tensor], Tensor]
LARGEST = 1024  # pixels of a noise map that is made up
OPTIONS: dict[str, Any] = {  # that code has no others
    "mapping_lr_multiplier": 0.01,
    "mapping_activation": "lrelu",
    "activation": "lrelu",
    "conv_clamp": None,
    "num_fp16_res": 0,
    "use_noise": True,
    "architecture": "skip",
}


def _same(x: Tensor) -> Tensor:
    return x


def _first(x: Tensor) -> Tensor:
    """[1, ...] -> [...]."""
    if not x.ndim or len(x) != 1:
        raise UserError("a tensor in it does not have the shape that its name calls for")
    return x[0]


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1)


def _quarter(x: Tensor) -> Tensor:
    """That code multiplies filters by what doubling the side takes from them."""
    return x / 4


def _scalar(x: Tensor) -> Tensor:
    return x.reshape([])


# The table: end of that code's name -> end of ours, for each of {layer} (conv1, convs.i) and {colours} (to_rgb1, to_rgbs.i).
# Kernels need no turning, whether they double the side or not: both codes hand them to the same convolutions.
LAYER: dict[str, tuple[str, Change]] = {
    "conv.weight": ("weight", _first),
    "conv.modulation.weight": ("affine.weight", _same),
    "conv.modulation.bias": ("affine.bias", _same),
    "conv.blur.kernel": ("resample_filter", _quarter),
    "noise.weight": ("noise_strength", _scalar),
    "activate.bias": ("bias", _flat),
}
COLOURS: dict[str, tuple[str, Change]] = {
    "conv.weight": ("torgb.weight", _first),
    "conv.modulation.weight": ("torgb.affine.weight", _same),
    "conv.modulation.bias": ("torgb.affine.bias", _same),
    "bias": ("torgb.bias", _flat),
    "upsample.kernel": ("resample_filter", _quarter),
}


def translated(name: str) -> tuple[str, Change] | None:
    """Our name of a tensor and what becomes of it; None if it is unknown."""
    if name == "input.input":
        return "synthesis.b4.const", _first
    if match := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}", _same
    if match := re.fullmatch(r"noises\.noise_(\d\d?)", name):
        i = int(match[1])
        return f"synthesis.b{4 << (i + 1) // 2}.conv{i % 2 ^ 1}.noise_const", lambda x: _first(_first(x))
    if (match := re.fullmatch(r"(?:conv1|convs\.(\d\d?))\.(.+)", name)) and match[2] in LAYER:
        i = -1 if match[1] is None else int(match[1])
        end, change = LAYER[match[2]]
        return f"synthesis.b{8 << i // 2}.conv{i % 2}.{end}" if i >= 0 else f"synthesis.b4.conv1.{end}", change
    if (match := re.fullmatch(r"(?:to_rgb1|to_rgbs\.(\d\d?))\.(.+)", name)) and match[2] in COLOURS:
        end, change = COLOURS[match[2]]
        return f"synthesis.b{4 if match[1] is None else 8 << int(match[1])}.{end}", change
    return None


def state_dict_of(tree: Any) -> tuple[dict[str, StoredTensor], str] | None:
    """The generator's tensors in that code's names, and what kind of file this is; None if there are none."""
    if not isinstance(tree, dict):
        return None
    candidates: list[tuple[Any, str, str]] = [
        (tree.get("g_ema"), "", "rosinality/stylegan2-pytorch, g_ema"),
        (tree.get("g"), "", "rosinality/stylegan2-pytorch, g"),
        (tree.get("state_dict"), "decoder.", "state dict of the pSp family, decoder"),
        (tree.get("state_dict"), "", "state dict of a StyleGAN2"),
        (tree, "decoder.", "state dict of the pSp family, decoder"),
        (tree, "", "state dict of a StyleGAN2"),
    ]
    for found, prefix, kind in candidates:
        if not isinstance(found, dict) or not all(type(key) is str for key in found):
            continue
        for start in (prefix, f"module.{prefix}"):  # of networks that were trained on several devices
            if isinstance(found.get(f"{start}input.input"), StoredTensor):
                tensors = {key.removeprefix(start): value for key, value in found.items() if key.startswith(start)}
                tensors.pop("latent_avg", None)
                return tensors, kind
    return None


def to_checkpoint(tree: Mapping[str, Any], file_size: int) -> Checkpoint:
    """Raises UserError naming tensors that are unknown or whose shape is wrong."""
    found = state_dict_of(tree)
    if found is None:
        raise UserError("it holds no generator")
    tensors, kind = found
    check_total(list(tensors.values()), file_size)
    left = [name for name in tensors if translated(name) is None]
    if left:
        raise UserError(f"no StyleGAN2, or a changed one: its tensors {', '.join(left)[:300]} are unknown")
    state: dict[str, Tensor] = {}
    for name, value in tensors.items():
        ours, change = translated(name) or ("", _same)
        try:
            state[ours] = change(as_float32(value))
        except RuntimeError:
            raise UserError(f"no StyleGAN2: its tensor {name} has another shape than its name calls for") from None
    facts: dict[str, Any] = {"format": kind, "network": "Generator"}
    _complete(state, facts)
    mean = _mean_w(tree, state, facts)
    if mean is not None:
        state["mapping.w_avg"] = mean
    return Checkpoint("stylegan2", state, dict(OPTIONS), facts)


def _complete(state: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Add what NVIDIA's code stores of each layer and this one does not: filters, and noise maps of old files."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    usual = torch.outer(taps, taps) / 64
    for name in list(state):
        match = re.fullmatch(r"synthesis\.b(\d+)\.(conv[01])\.weight", name)
        if not match:
            continue
        side, block, layer = int(match[1]), f"synthesis.b{match[1]}", match[2]
        known = state.get(f"synthesis.b{max(side, 8)}.conv0.resample_filter", usual)
        state.setdefault(f"{block}.resample_filter", known.clone())
        state.setdefault(f"{block}.{layer}.resample_filter", known.clone())
        if f"{block}.{layer}.noise_const" not in state:
            if side > LARGEST:
                raise UserError(f"it has no noise map of {side} pixels, and no generator is that large")
            state[f"{block}.{layer}.noise_const"] = torch.zeros(side, side)
            facts["noise"] = "the file has no noise maps: they are zero"


def _mean_w(tree: Mapping[str, Any], state: Mapping[str, Tensor], facts: dict[str, Any]) -> Tensor | None:
    """latent_avg, [D], [1, D] or a row for each layer."""
    first = state.get("mapping.fc0.weight")
    if first is None or first.ndim != 2:
        raise UserError("no complete StyleGAN2: it has no mapping network (style.1.weight)")
    width = first.shape[0]
    inner = tree.get("state_dict")
    value = tree.get("latent_avg", inner.get("latent_avg") if isinstance(inner, dict) else None)
    if value is None:
        facts["w_avg"] = "not in the file: computed from samples"
        return None
    check_total([value], 4 * width * 64)
    rows = as_float32(value)
    if rows.shape[-1:] != (width,):
        raise UserError(f"its latent_avg has the shape {list(rows.shape)}, but w has {width} numbers")
    rows = rows.reshape(-1, width)
    if bool((rows == rows[0]).all()):
        return rows[0].clone()
    facts["w_avg"] = f"mean of the {len(rows)} rows of latent_avg, which differ"
    return rows.double().mean(0).float()

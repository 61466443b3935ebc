"""rosinality's StyleGAN2 (`g_ema`, `latent_avg`), alone or inside pSp, e4e, ReStyle and HyperStyle, and as a bare dict."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..interfaces import UserError
from .checkpoint import Checkpoint
from .nvidia_tf import filters
from .pickle_rules import TensorRef

FORMAT = "rosinality PyTorch"
Change = Callable[[Tensor], Tensor]


def scaled(weight: Tensor) -> Tensor:
    """[1, O, I, K, K] -> [O, I, K, K], scaled as its layer does when used: so that demodulation rounds alike."""
    return weight[0] / math.sqrt(weight[0, 0].numel())


FIRST: Change = lambda a: a[0]  # noqa: E731
SAME: Change = lambda a: a  # noqa: E731
FLAT: Change = lambda a: a.reshape(-1)  # noqa: E731
SCALAR: Change = lambda a: a.reshape(())  # noqa: E731
MAP: Change = lambda a: a.reshape(a.shape[-2:])  # noqa: E731
# rosinality's name within a layer -> ours, and what becomes of the numbers.
CONV: dict[str, tuple[str, Change]] = {
    "conv.weight": ("weight", scaled),
    "conv.modulation.weight": ("affine.weight", SAME),
    "conv.modulation.bias": ("affine.bias", SAME),
    "noise.weight": ("noise_strength", SCALAR),
    "activate.bias": ("bias", FLAT),
}
COLOURS: dict[str, tuple[str, Change]] = {
    "conv.weight": ("weight", FIRST),
    "conv.modulation.weight": ("affine.weight", SAME),
    "conv.modulation.bias": ("affine.bias", SAME),
    "bias": ("bias", FLAT),
}


def find(tree: Mapping[Any, Any]) -> Mapping[str, Any] | None:
    """The generator's part of a checkpoint, names without prefix; None if it is not of this kind."""
    for part in (tree.get("g_ema"), tree.get("g"), tree.get("state_dict"), tree):
        if isinstance(part, dict):
            for prefix in ("", "decoder.", "module.", "generator."):
                if f"{prefix}conv1.conv.modulation.weight" in part:
                    names = [name for name in part if isinstance(name, str) and name.startswith(prefix)]
                    return {name.removeprefix(prefix): part[name] for name in names}
    return None


def checkpoint_of(tree: Mapping[Any, Any], part: Mapping[str, Any]) -> Checkpoint:
    """part: what `find` found. Raises UserError naming tensors that are unknown."""
    state: dict[str, Tensor] = {}
    kernels: dict[str, Tensor] = {}
    strays = []
    for name, value in part.items():
        if not isinstance(value, TensorRef):
            raise UserError(f"damaged: {name[:80]} is no tensor.")
        if name.endswith((".kernel", ".kernel_flip")):
            kernels[name] = value.tensor().float()
            continue
        ours = translated(name)
        if ours is None:
            strays.append(name)
            continue
        try:
            state[ours[0]] = ours[1](value.tensor().float())
        except (RuntimeError, IndexError):
            raise UserError(f"not rosinality's StyleGAN2: {name} has the shape {list(value.shape)}.") from None
    if strays:
        raise UserError(
            f"not rosinality's StyleGAN2, or a changed one: its tensors {', '.join(strays[:8])} are unknown."
        )
    taps = next((kernel[0] for name, kernel in kernels.items() if kernel.ndim == 2), None)
    state |= filters(state, None if taps is None else taps.tolist())
    facts: dict[str, Any] = {"format": FORMAT}
    mean = tree.get("latent_avg")
    if isinstance(mean, TensorRef):
        rows = mean.tensor().float()
        state["mapping.w_avg"] = rows.reshape(-1, rows.shape[-1])[0].clone()  # pSp keeps one for each row, all the same
    elif "mapping.fc0.weight" in state:
        state["mapping.w_avg"] = torch.zeros(len(state["mapping.fc0.weight"]))
        facts["w_avg"] = "not in the file: zeros"
    return Checkpoint("stylegan2", state, {"mapping_lr_multiplier": 0.01}, facts)


def translated(name: str) -> tuple[str, Change] | None:
    """NVIDIA's name of a tensor and what becomes of it."""
    if found := re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", name):
        return f"mapping.fc{int(found[1]) - 1}.{found[2]}", SAME
    if name == "input.input":
        return "synthesis.b4.const", FIRST
    if found := re.fullmatch(r"noises\.noise_(\d+)", name):
        return f"synthesis.{_layer(int(found[1]) - 1)}.noise_const", MAP
    if found := re.fullmatch(r"(?:conv1|convs\.(\d+))\.(.+)", name):
        layer = _layer(-1 if found[1] is None else int(found[1]))
        return _within(f"synthesis.{layer}", found[2], CONV)
    if found := re.fullmatch(r"(?:to_rgb1|to_rgbs\.(\d+))\.(.+)", name):
        side = 4 if found[1] is None else 8 << int(found[1])
        return _within(f"synthesis.b{side}.torgb", found[2], COLOURS)
    return None


def _layer(number: int) -> str:
    """-1: the first, at 4 pixels; then two at each size."""
    return "b4.conv1" if number < 0 else f"b{8 << min(number // 2, 20)}.conv{number % 2}"


def _within(place: str, name: str, table: Mapping[str, tuple[str, Change]]) -> tuple[str, Change] | None:
    return (f"{place}.{table[name][0]}", table[name][1]) if name in table else None

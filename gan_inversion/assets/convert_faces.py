"""Face networks of other projects -> state dicts of `estimators.identity` and `estimators.faceres`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from .dlib_network import read_layers
from .tfjs_graph import read_weights

_FOLDED_LAYERS = 29  # convolutions of dlib's network


def dlib_resnet(members: dict[str, bytes]) -> dict[str, Tensor]:
    """{"i.weight", "i.bias"} of the i-th convolution with its affine layer folded in, and "fc.weight" [128, 256]."""
    (data,) = members.values()
    layers = [layer for layer in read_layers(data) if layer.kind in ("con", "affine", "fc")]
    state, channels, index = dict[str, np.ndarray](), 3, 0
    for convolution, affine in zip(layers[:-1:2], layers[1:-1:2], strict=True):
        if (convolution.kind, affine.kind) != ("con", "affine"):
            raise UserError("dlib network: a convolution without its affine layer; not the face-recognition network.")
        gamma, beta = np.split(affine.values, 2)
        width, side = len(gamma), 7 if index == 0 else 3
        weight = convolution.values[:-width].reshape(width, channels, side, side)
        state[f"{index}.weight"] = weight * gamma[:, None, None, None]
        state[f"{index}.bias"] = convolution.values[-width:] * gamma + beta
        channels, index = width, index + 1
    if index != _FOLDED_LAYERS or layers[-1].kind != "fc":
        raise UserError(
            f"dlib network: {index} convolutions, {_FOLDED_LAYERS} expected; not the face-recognition network."
        )
    state["fc.weight"] = layers[-1].values.reshape(channels, 128).T
    return _tensors(state)


def faceres(members: dict[str, bytes]) -> dict[str, Tensor]:
    """{"i.weight", "i.bias"} of the i-th of 27 convolutions (scale folded in), and {"feats|age|gender.weight|bias"}."""
    weights = read_weights(members["faceres.json"], members["faceres.bin"])
    state = dict[str, np.ndarray]()
    state["0.weight"] = weights.pop("conv1/convolution/merged_input").transpose(3, 2, 0, 1)
    state["0.bias"] = weights.pop("conv1_bn/batchnorm_1/sub")
    for i in range(1, 14):
        kernel = weights.pop(f"conv_dw_{i}/depthwise_kernel")  # [3, 3, C, 1]
        scale = weights.pop(f"conv_dw_{i}_bn/batchnorm_1/mul").reshape(-1)
        state[f"{2 * i - 1}.weight"] = kernel.transpose(2, 3, 0, 1) * scale[:, None, None, None]
        state[f"{2 * i - 1}.bias"] = weights.pop(f"conv_dw_{i}_bn/batchnorm_1/sub").reshape(-1)
        state[f"{2 * i}.weight"] = weights.pop(f"conv_pw_{i}/convolution/merged_input").transpose(3, 2, 0, 1)
        state[f"{2 * i}.bias"] = weights.pop(f"conv_pw_{i}_bn/batchnorm_1/sub").reshape(-1)
    for ours, theirs in (("feats", "feats"), ("age", "age_pred"), ("gender", "gender_pred")):
        state[f"{ours}.weight"] = weights.pop(f"{theirs}/kernel").T
        state[f"{ours}.bias"] = weights.pop(f"{theirs}/bias")
    left = [name for name in weights if "relu" not in name and "reduction_indices" not in name]
    if left:
        raise UserError(f"FaceRes: weights that no layer claims: {', '.join(left)}.")
    return _tensors(state)


def _tensors(state: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()}

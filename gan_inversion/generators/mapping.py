"""The mapping network z -> w, which StyleGAN, StyleGAN2 and StyleGAN3 share (Karras 2019, arXiv 1812.04948)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UserError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": lambda x: F.relu(x) * math.sqrt(2),
    "lrelu": lambda x: F.leaky_relu(x, 0.2) * math.sqrt(2),
}


class FullyConnected(nn.Module):
    """x [N, A] -> [N, B]. Weights are stored divided by the learning rate multiplier, and scaled when used."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True, multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        self.weight_gain, self.bias_gain = multiplier / math.sqrt(inputs), multiplier

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.bias_gain
        return F.linear(x, self.weight * self.weight_gain, bias)


class MappingNetwork(nn.Module):
    """Sizes are read from the tensors: `fc0.weight` ..., `embed.weight` for labels, `w_avg`.

    options: "mapping_activation" (default lrelu), "mapping_lr_multiplier" (.01), "label_norm": whether z and the
    embedded label are normalised each by itself ("each", default: StyleGAN2-ADA and later) or side by side ("both").
    """

    w_avg: Tensor
    embed: FullyConnected | None

    def __init__(self, shapes: Mapping[str, torch.Size], options: Mapping[str, Any]) -> None:
        """shapes: of the tensors, without the prefix `mapping.`. Raises UserError if they are no mapping network's."""
        super().__init__()
        if "fc0.weight" not in shapes:
            raise UserError("no StyleGAN: its mapping network has no tensor fc0.weight.")
        for name, shape in shapes.items():  # wrong lengths along these dimensions show when tensors are loaded
            if len(shape) != (2 if name.endswith(".weight") else 1):
                raise UserError(f"no StyleGAN: mapping.{name} has the shape {list(shape)}.")
        first, self.w_dim = shapes["fc0.weight"][1], 0
        embedded, self.c_dim = shapes.get("embed.weight", (0, 0))
        self.z_dim = first - embedded
        if self.z_dim < 1:
            raise UserError(
                f"no StyleGAN: its mapping network has an embedding of {embedded} numbers, its first layer takes {first}."
            )
        self.label_norm = options.get("label_norm", "each")
        self.embed = FullyConnected(self.c_dim, embedded, "embed.bias" in shapes) if self.c_dim else None
        self.depth = sum(1 for name in shapes if name.startswith("fc") and name.endswith(".weight"))
        multiplier = float(options.get("mapping_lr_multiplier", 0.01))
        for i in range(self.depth):
            if f"fc{i}.weight" not in shapes:
                raise UserError(f"no StyleGAN: its mapping network has {self.depth} layers, but no fc{i}.weight.")
            self.w_dim, inputs = shapes[f"fc{i}.weight"]
            setattr(self, f"fc{i}", FullyConnected(inputs, self.w_dim, multiplier=multiplier))
        activation = options.get("mapping_activation", "lrelu")
        if activation not in ACTIVATIONS:
            raise UserError(f"mapping_activation={activation}: one of {', '.join(ACTIVATIONS)} is needed.")
        self.activation = ACTIVATIONS[activation]
        self.register_buffer("w_avg", torch.empty(self.w_dim))

    def forward(self, z: Tensor, label: Tensor | None) -> Tensor:
        """z [N, z_dim], label [c_dim] or None -> w [N, w_dim]."""
        x = z if self.label_norm == "both" else normalised(z)
        if self.embed is not None:
            assert label is not None
            y = self.embed(label.expand(z.shape[0], -1))
            x = torch.cat([x, y if self.label_norm == "both" else normalised(y)], 1)
        if self.label_norm == "both":
            x = normalised(x)
        for i in range(self.depth):
            x = self.activation(getattr(self, f"fc{i}")(x))
        return x


def normalised(x: Tensor) -> Tensor:
    """Each row divided by the root of its mean square."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()

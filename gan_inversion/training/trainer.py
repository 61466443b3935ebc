"""One training loop for the small networks of this project: seeded, with checkpoints, resumed to the bit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..assets.trained import whole
from ..errors import UserError
from ..storage import write_atomically
from ..storage.tensors import read_tensors

CHECKPOINT = "checkpoint.safetensors"  # in the folder
Curve = list[dict[str, float]]
LossOf = Callable[[int, torch.Generator], dict[str, Tensor]]  # step, its random numbers -> terms; "total" is optimised


def train(
    model: nn.Module,
    loss_of: LossOf,
    steps: int,
    learning_rate: float,
    seed: int,
    folder: Path,
    identity: Mapping[str, Any],
    checkpoint_every: int = 200,
    progress: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
) -> Curve:
    """Adam with 100 steps of warm-up and a cosine to zero. Returns the losses of every step.

    Every step draws from random numbers of its own, and `folder` holds a checkpoint, so a training that was killed goes
    on with the same bits. Raises UserError if the checkpoint is of another training, or if the loss becomes infinite.
    """
    adam = torch.optim.Adam(model.parameters(), lr=learning_rate, betas=(0.9, 0.99))
    path = folder / CHECKPOINT
    text = json.dumps(dict(identity), sort_keys=True)
    curve: Curve = _resume(path, model, adam, text) if path.exists() else []
    model.train()
    for step in range(len(curve), steps):
        terms = loss_of(step, torch.Generator().manual_seed(seed * 1_000_003 + step))
        adam.zero_grad(set_to_none=True)
        terms["total"].backward()
        row = {name: value.item() for name, value in terms.items()}
        if not math.isfinite(row["total"]):
            raise UserError(f"the loss became {row['total']} at step {step}. Lower learning_rate.")
        done = step / steps
        adam.param_groups[0]["lr"] = learning_rate * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * done))
        adam.step()
        curve.append(row)
        progress(step, row)
        if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
            _checkpoint(path, model, adam, curve, text)
    return curve


def _checkpoint(path: Path, model: nn.Module, adam: torch.optim.Adam, curve: Curve, identity: str) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in adam.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(tensors, {"training": json.dumps({"curve": curve, "identity": identity})}))


def _resume(path: Path, model: nn.Module, adam: torch.optim.Adam, identity: str) -> Curve:
    file = read_tensors(path)
    tensors = file.tensors
    with whole(str(path), "checkpoint of a training"):
        record = file.note("training").values
        if record.get("identity") != identity:
            raise UserError(f"{path} belongs to a training with other settings. Choose another output_dir.")
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("adam."):
                _, index, name = key.split(".")
                state.setdefault(int(index), {})[name] = value
        adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
        curve: Curve = record["curve"]
    return curve

"""What every generator is: frozen, and identified by its tensors."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def freeze(module: nn.Module, device: str) -> None:
    """No gradients for any tensor, evaluation mode, on `device`."""
    module.requires_grad_(False).eval().to(device)


def sha256_of(module: nn.Module, options: str = "") -> str:
    """Hash of all tensors by name: independent of the file they came from, and of the device they are on.

    options: what besides the tensors changes the picture.
    """
    digest = hashlib.sha256(options.encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

"""What every generator is: frozen, and identified by its tensors."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

ROWS = 64  # of a tensor that are hashed at a time: a copy in another memory order need not be a whole one


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
        for part in tensor.detach().reshape(1) if tensor.ndim == 0 else tensor.detach().split(ROWS):
            digest.update(part.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()

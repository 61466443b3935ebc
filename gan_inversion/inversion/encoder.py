"""An encoder: aligned face -> ws in one pass. The fast half of this project's auto-encoder, and a start close to the face.

It sees a face only through LPIPS-AlexNet's frozen features, is small, and was trained on the generator's own samples
(`scripts/train_encoder.py`), as in pSp (Richardson 2021, arXiv 2008.00951) but without any photograph.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..assets.catalogue import read_catalogue
from ..assets.trained import load_trained, whole
from ..errors import UserError
from ..estimators.lpips_network import LPIPSNetwork, lpips_network
from ..image import area_resize
from ..interfaces import Generator, WStatistics
from ..storage import remembered_sha256

ENCODER = "encoder"  # what its file says it is
SIZE, GRID = 256, 15  # pixels it looks at; cells of the finest grid that it keeps
CHANNELS = (64, 192, 384, 256, 256)  # of AlexNet's five feature maps
OFFSET_AXES = 128  # principal axes of W along which rows may leave their common w


class Encoder(nn.Module):
    """Faces [N, 3, R, R] in [-1, 1] -> ws [N, L, D]: a w for the face, and what each row adds to it."""

    mean: Tensor
    axes: Tensor
    enter: nn.Conv2d
    inner: nn.Linear

    def __init__(self, num_ws: int, w_dim: int, width: int = 256, hidden: int = 640) -> None:
        super().__init__()
        self.num_ws, self.offset_axes = num_ws, min(OFFSET_AXES, w_dim)
        self.register_buffer("mean", torch.zeros(w_dim))
        self.register_buffer("axes", torch.zeros(w_dim, w_dim))  # columns, largest variance first, times the deviation
        self.enter = nn.Conv2d(sum(CHANNELS) + 3, width, 1)
        self.down = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in range(2))
        self.inner = nn.Linear(width * 16, hidden)
        self.leave = nn.Linear(hidden, w_dim + num_ws * self.offset_axes)

    @torch.no_grad()
    def initialise(self, seed: int, statistics: WStatistics) -> None:
        """Seeded start of a training; every face is then the mean."""
        random = torch.Generator().manual_seed(seed)
        self.mean.copy_(statistics.mean)
        self.axes.copy_((statistics.w_axes * statistics.w_std).flip(1))
        for layer in (self.enter, *self.down, self.inner):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=random) * (2 / layer.weight[0].numel()) ** 0.5)
            layer.bias.zero_()
        self.leave.weight.zero_()
        self.leave.bias.zero_()

    def forward(self, front: Tensor) -> Tensor:
        """front: what `look` returns."""
        x = F.leaky_relu(self.enter(front), 0.2)
        for conv in self.down:
            x = F.leaky_relu(conv(x), 0.2)
        y = self.leave(F.leaky_relu(self.inner(x.flatten(1)), 0.2))
        w = y[:, : len(self.mean)] @ self.axes.T
        offsets = (
            y[:, len(self.mean) :].view(len(y), self.num_ws, self.offset_axes) @ self.axes[:, : self.offset_axes].T
        )
        return self.mean + w[:, None] + offsets


@torch.no_grad()
def look(faces: Tensor, network: LPIPSNetwork) -> Tensor:
    """Faces [N, 3, R, R] -> [N, C, 15, 15]: AlexNet's features, each of unit variance, and the colours themselves."""
    faces = area_resize(faces, SIZE)
    maps = [layer * layer.shape[1] ** 0.5 for layer in network.features(faces)]
    pooled = [layer if layer.shape[-1] == GRID else F.adaptive_avg_pool2d(layer, GRID) for layer in maps]
    return torch.cat([*pooled, F.adaptive_avg_pool2d(faces, GRID)], 1)


@torch.no_grad()
def encode(faces: Tensor, encoder: Encoder) -> Tensor:
    """Faces [N, 3, R, R] in [-1, 1] -> ws [N, L, D]."""
    return encoder(look(faces, lpips_network("alex", str(faces.device))))


def load_encoder(name: str, generator: Generator) -> Encoder:
    """The encoder of `generator`, frozen, on its device. Raises UserError if it was trained for another."""
    key: Any = generator  # modules hash by identity, which their protocol does not say
    return _load_encoder(name, encoder_sha256(name), key)


@lru_cache(maxsize=2)
def _load_encoder(name: str, sha256: str, generator: Any) -> Encoder:
    """Once for each content of the file, so that a result and its key never speak of two encoders."""
    trained = load_trained(name, ENCODER, generator)
    if trained.sha256 != sha256:
        raise UserError(f"{name}: changed while it was read. Try again.")
    state = trained.tensors
    with whole(name, ENCODER):
        width, hidden = state["enter.weight"].shape[0], state["inner.weight"].shape[0]
        encoder = Encoder(generator.num_ws, generator.w_dim, width, hidden)
        encoder.load_state_dict(state)
    encoder.requires_grad_(False).eval().to(generator.device)
    return encoder


def encoder_sha256(name: str) -> str:
    """Of its file, which is hashed once as long as it stays the same: each face's key asks for it."""
    return read_catalogue()[name].sha256 if name in read_catalogue() else remembered_sha256(name)

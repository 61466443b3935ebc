"""dlib's face-recognition ResNet (King 2017, CC0) in torch: who is it? Frozen, differentiable in the image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..assets.catalogue import load_weights
from ..runtime import place_of
from .chips import chip

MEAN = (122.782, 117.001, 104.298)
DOWN = (7, 15, 21, 27)  # first convolution of each block that halves the side; blocks are two convolutions


class DlibResNet(nn.Module):
    """An FFHQ crop -> 128 numbers; the same person's lie within about 0.6 of each other."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.count = sum(name.endswith(".bias") for name in state)
        for name, tensor in state.items():
            self.register_buffer(name.replace(".", "_"), tensor)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.eval()

    def embed(self, image: Tensor) -> Tensor:
        """[N, 3, R, R] in [-1, 1], aligned as FFHQ -> [N, 128]."""
        return self(chip(image, 150))

    def look(self, chips: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[N, 3, 150, 150] RGB 0..255 -> embedding [N, 128]; what each halving block saw [N, C, H, W], of length 1 in C."""
        seen: list[Tensor] = []
        embedding = self(chips, seen)
        return embedding, [x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-6) for x in seen]

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """[N, 128] twice -> [N], Euclidean: 0 for the same picture, below 0.6 mostly the same person."""
        return (a - b).square().sum(1).add(1e-12).sqrt()

    def _conv(self, x: Tensor, index: int, stride: int = 1) -> Tensor:
        weight, bias = self.get_buffer(f"{index}_weight"), self.get_buffer(f"{index}_bias")
        return F.conv2d(x, weight, bias, stride, padding=0 if stride > 1 else 1)  # dlib pads only without stride

    def forward(self, chips: Tensor, seen: list[Tensor] | None = None) -> Tensor:
        """[N, 3, 150, 150] RGB 0..255 -> [N, 128]. `seen`: takes the activations of the blocks that halve the side."""
        x = (chips - self.get_buffer("mean")) / 256
        x = F.max_pool2d(F.relu(self._conv(x, 0, stride=2)), 3, 2)
        for i in range(1, self.count, 2):
            stride = 2 if i in DOWN else 1
            y = self._conv(F.relu(self._conv(x, i, stride)), i + 1)
            shortcut = F.avg_pool2d(x, 2) if stride == 2 else x
            x = F.relu(padded(y, shortcut) + padded(shortcut, y))
            if seen is not None and stride == 2:
                seen.append(x)
        return F.linear(x.mean((2, 3)), self.get_buffer("fc_weight"))


def padded(x: Tensor, like: Tensor) -> Tensor:
    """x with zeros behind its channels, rows and columns where `like` has more: dlib adds unequal tensors so."""
    missing = [max(0, b - a) for a, b in zip(x.shape[1:], like.shape[1:], strict=True)]
    return F.pad(x, (0, missing[2], 0, missing[1], 0, missing[0]))


def dlib_resnet(device: str = "cpu") -> DlibResNet:
    """One network a device in a process. Raises UserError, saying what to run, when it was not fetched."""
    return _load(place_of(device))


@cache
def _load(device: torch.device) -> DlibResNet:
    return DlibResNet(load_weights("dlib_face_recognition")).to(device)

"""HSE-FaceRes (Savchenko 2021, arXiv 2103.17107): identity, age and gender by one MobileNet, in torch. Reports only.

It judges what the networks that steer have made, so nothing here may be used by a loss, a direction or a control.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..assets.catalogue import load_weights
from ..interfaces import FaceLabels
from ..runtime import place_of
from .chips import chip

STRIDED = (0, 3, 7, 11, 23)  # convolutions of MobileNet that halve the side


class FaceRes(nn.Module):
    """An FFHQ crop -> 1024 numbers compared by cosine; age in years; probability of a male face."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in state.items():
            self.register_buffer(name.replace(".", "_"), tensor)
        self.eval()

    def features(self, image: Tensor) -> Tensor:
        """[N, 3, R, R] in [-1, 1], aligned as FFHQ -> [N, 1024]."""
        x = chip(image, 224, 0.30)
        for i in range(27):
            weight, bias = self.get_buffer(f"{i}_weight"), self.get_buffer(f"{i}_bias")
            stride, side = 2 if i in STRIDED else 1, weight.shape[-1]
            if side == 3:  # "SAME" as TensorFlow has it: the odd pixel of padding goes to the end
                total = max(3 - stride, 0) if x.shape[-1] % stride == 0 else 3 - x.shape[-1] % stride
                x = F.pad(x, (total // 2, total - total // 2) * 2)
            x = F.conv2d(x, weight, bias, stride, groups=weight.shape[0] if weight.shape[1] == 1 else 1)
            x = x.clamp(0, 6)
        return x.mean((2, 3))

    embed = features

    def similarity(self, a: Tensor, b: Tensor) -> Tensor:
        """[N, 1024] twice -> [N], cosine: 1 for the same picture, about 0.35 for strangers."""
        return F.cosine_similarity(a, b)

    def label(self, image: Tensor) -> list[FaceLabels]:
        """Age (the expected value over 100 classes) and probability of a male face, one entry a picture."""
        hidden = F.relu(self._linear(self.features(image), "feats"))
        ages = (self._linear(hidden, "age").softmax(1) * torch.arange(100.0, device=image.device)).sum(1)
        male = self._linear(hidden, "gender").sigmoid()[:, 0]
        return [FaceLabels(a, m) for a, m in zip(ages.tolist(), male.tolist(), strict=True)]

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias"))


def faceres(device: str = "cpu") -> FaceRes:
    """One network a device in a process. Raises UserError, saying what to run, when it was not fetched."""
    return _load(place_of(device))


@cache
def _load(device: torch.device) -> FaceRes:
    return FaceRes(load_weights("faceres")).to(device)

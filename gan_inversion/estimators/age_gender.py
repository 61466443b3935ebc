"""Cydral's age and gender classifiers for dlib (CC0) in torch: what steers a child's age and gender. Differentiable.

Both were trained on dlib's chips. Each face is read in six views (three sizes, each also mirrored), because what
steers by one view finds faces that deceive that view.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..assets.catalogue import checked_path
from ..assets.onnx_weights import onnx_weights
from ..interfaces import FaceLabels
from ..runtime import place_of
from .chips import chip
from .identity import MEAN, padded

SCALES = (0.93, 1.0, 1.08)  # of the chip
AGES = (0.25, *map(float, range(1, 81)))  # years; what its 81 classes stand for
# The layers' numbers in the files: (convolution, stride) and, behind each, its scale one lower.
AGE_STEM, AGE_BLOCKS = 52, ((47, 44, 1), (39, 36, 2), (28, 25, 1), (20, 17, 2), (9, 6, 1))
GENDER_CONVOLUTIONS = ((19, False), (16, True), (12, False), (9, True))  # halved behind it?


class AgeGenderEstimator(nn.Module):
    """FFHQ crop -> age (expected value over the classes) and probability of a male face."""

    def __init__(self, age: Mapping[str, Tensor], gender: Mapping[str, Tensor]) -> None:
        super().__init__()
        for kind, state in (("age", age), ("gender", gender)):
            for name, tensor in state.items():
                self.register_buffer(f"{kind}_{name}", tensor)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("years", torch.tensor(AGES))
        self.eval()

    def read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, R, R] in [-1, 1], aligned as FFHQ -> age in years [N], log-odds of male [N]: means of the six views."""
        ages = self.age_classes(self.views(image, 64)).softmax(1) @ self.get_buffer("years")
        logits = self.gender_classes(self.views(image, 32))
        each = (2 * len(SCALES), -1)
        return ages.unflatten(0, each).mean(0), (logits[:, 1] - logits[:, 0]).unflatten(0, each).mean(0)

    def label(self, image: Tensor) -> list[FaceLabels]:
        """[N, 3, R, R] in [-1, 1] -> one entry a picture. Each is read by itself: a batch rounds differently."""
        with torch.no_grad():
            read = [self.read(face) for face in image.split(1)]
        return [FaceLabels(age.item(), odds.cpu().double().sigmoid().item()) for age, odds in read]

    def views(self, image: Tensor, size: int) -> Tensor:
        """-> [6 N, 3, size, size], as the classifiers want them."""
        chips = torch.cat([chip(image, size, scale=scale) for scale in SCALES])
        return (torch.cat([chips, chips.flip(3)]) - self.get_buffer("mean")) / 256

    def age_classes(self, x: Tensor) -> Tensor:
        """[N, 3, 64, 64] -> [N, 81], logits; a ResNet of ten layers."""
        x = F.max_pool2d(F.relu(self._scaled("age", x, AGE_STEM, stride=2, padding=0)), 3, 2)
        for first, second, stride in AGE_BLOCKS:
            y = F.relu(self._scaled("age", x, first, stride, padding=0 if stride > 1 else 1))  # as dlib pads
            y = self._scaled("age", y, second)
            shortcut = F.avg_pool2d(x, 2) if stride == 2 else x
            x = F.relu(padded(y, shortcut) + padded(shortcut, y))
        return self._linear("age", x.mean((2, 3)), 1)

    def gender_classes(self, x: Tensor) -> Tensor:
        """[N, 3, 32, 32] -> [N, 2], logits of female and male."""
        for layer, halved in GENDER_CONVOLUTIONS:
            x = F.relu(self._scaled("gender", x, layer))
            x = F.avg_pool2d(x, 2) if halved else x
        x = F.relu(self._linear("gender", (x * self.get_buffer("gender_layer_5_scalar")).flatten(1), 4))
        return self._linear("gender", x * self.get_buffer("gender_layer_2_scalar"), 1)

    def _scaled(self, kind: str, x: Tensor, layer: int, stride: int = 1, padding: int = 1) -> Tensor:
        """A convolution, then a scale and an offset a channel."""
        weight, bias = self._part(kind, layer, "weights"), self._part(kind, layer, "bias")
        x = F.conv2d(x, weight, bias, stride, padding)
        return x * self._part(kind, layer - 1, "scale") + self._part(kind, layer - 1, "offset")

    def _linear(self, kind: str, x: Tensor, layer: int) -> Tensor:
        return F.linear(x, self._part(kind, layer, "weights").T, self._part(kind, layer, "bias"))

    def _part(self, kind: str, layer: int, name: str) -> Tensor:
        return self.get_buffer(f"{kind}_layer_{layer}_{name}")


def age_gender(device: str = "cpu") -> AgeGenderEstimator:
    """One pair of networks a device in a process. Raises UserError, saying what to run, when they were not fetched."""
    return _load(place_of(device))


@cache
def _load(device: torch.device) -> AgeGenderEstimator:
    files = [onnx_weights(checked_path(name)) for name in ("age_estimator", "gender_estimator")]
    return AgeGenderEstimator(*files).to(device)

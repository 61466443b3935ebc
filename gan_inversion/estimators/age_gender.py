"""Cydral's age and gender classifiers for dlib (CC0), run by OpenCV: what steers a child's age and gender.

Both were trained on dlib's chips. Each face is read by itself, so that its labels do not depend on its neighbours, and in
six views (three sizes, each also mirrored), because what steers by one view finds faces that deceive that view.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..assets.catalogue import checked_path
from ..interfaces import FaceLabels
from .chips import chip
from .identity import MEAN

SCALES = (0.93, 1.0, 1.08)  # of the chip
AGES = np.array([0.25, *range(1, 81)])  # years; what its 81 classes stand for


class AgeGenderEstimator:
    """FFHQ crop -> age (expected value over the classes) and probability of a male face."""

    def __init__(self) -> None:
        self.age: Any = cv2.dnn.readNetFromONNX(str(checked_path("age_estimator")))
        self.gender: Any = cv2.dnn.readNetFromONNX(str(checked_path("gender_estimator")))

    def label(self, image: Tensor) -> list[FaceLabels]:
        """[N, 3, R, R] in [-1, 1] -> one entry a picture."""
        return [self._one(face[None]) for face in image.detach().cpu()]

    def _one(self, face: Tensor) -> FaceLabels:
        ages, male = _run(self.age, face, 64) @ AGES, _run(self.gender, face, 32)[:, 1]
        return FaceLabels(float(ages.mean()), float(male.mean()))


def _run(network: Any, face: Tensor, size: int) -> np.ndarray:
    """[6, classes]: probabilities in each view of one face [1, 3, R, R]."""
    mean = torch.tensor(MEAN)[:, None, None]
    chips = torch.cat([chip(face, size, scale=scale) for scale in SCALES])
    views = (torch.cat([chips, chips.flip(3)]) - mean) / 256
    rows = []
    for view in views.numpy():
        network.setInput(np.ascontiguousarray(view[None]))
        rows.append(network.forward()[0])
    return np.stack(rows)


@cache
def age_gender() -> AgeGenderEstimator:
    """One pair of networks in a process. Raises UserError, saying what to run, when they were not fetched."""
    return AgeGenderEstimator()

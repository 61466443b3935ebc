"""What a face looks like in numbers, from a picture that is aligned as FFHQ: the labels that directions are fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..estimators.age_gender import age_gender
from ..faces.mesh import FaceMesh, find_mesh, shape_labels
from ..image import to_uint8

LABELS = ("age", "gender", "yaw", "pitch", "smile", "eyes_open")


def log_odds(probability: float) -> float:
    """Natural logarithm of p / (1 - p), with p kept 0.001 from certainty: linear models need no bounds."""
    p = min(max(probability, 1e-3), 1 - 1e-3)
    return float(np.log(p / (1 - p)))


def label_faces(images: Tensor, mesh: FaceMesh) -> Tensor:
    """[N, 3, R, R] in [-1, 1] -> [N, 6] in the order of LABELS: age in years, gender as log-odds of male, then shapes."""
    rows: list[Sequence[float]] = []
    for image in images:
        read = age_gender(str(image.device)).label(image[None])[0]
        shape = shape_labels(find_mesh(to_uint8(image[None]), mesh))
        rows.append((read.age, log_odds(read.male), *shape))
    return torch.tensor(rows, dtype=torch.float64)

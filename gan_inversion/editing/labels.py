"""What a face looks like in numbers, from a picture that is aligned as FFHQ: the labels that directions are fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..estimators.age_gender import age_gender
from ..faces.mesh import FaceMesh, Mesh, find_mesh
from ..image import to_uint8

LABELS = ("age", "gender", "yaw", "pitch", "smile", "eyes_open")
UPPER_LIDS, LOWER_LIDS, EYE_CORNERS = ((159, 386), (145, 374), ((33, 133), (362, 263)))
LIPS, CHIN, FOREHEAD = (13, 14), 152, 10


def log_odds(probability: float) -> float:
    """Natural logarithm of p / (1 - p), with p kept 0.001 from certainty: linear models need no bounds."""
    p = min(max(probability, 1e-3), 1 - 1e-3)
    return float(np.log(p / (1 - p)))


def shape_labels(mesh: Mesh) -> tuple[float, float, float, float]:
    """Landmarks -> yaw, pitch, smile, eyes_open; each a ratio of lengths, so independent of size.

    yaw: -1..1, the nose tip between the cheeks. pitch: the nose tip between forehead and chin, larger when looking down.
    smile: width of the mouth over the distance of the eyes. eyes_open: height of the lids' opening over the eyes' width.
    """
    p, across = mesh.points, float(np.linalg.norm(mesh.eyes[1] - mesh.eyes[0]))
    down = p[CHIN] - p[FOREHEAD]
    pitch = float((p[1] - p[FOREHEAD]) @ down / (down @ down))
    smile = float(np.linalg.norm(mesh.mouth[1] - mesh.mouth[0])) / across
    heights = [np.linalg.norm(p[a] - p[b]) for a, b in zip(UPPER_LIDS, LOWER_LIDS, strict=True)]
    widths = [np.linalg.norm(p[a] - p[b]) for a, b in EYE_CORNERS]
    return mesh.yaw, pitch, smile, float(np.sum(heights) / np.sum(widths))


def label_faces(images: Tensor, mesh: FaceMesh) -> Tensor:
    """[N, 3, R, R] in [-1, 1] -> [N, 6] in the order of LABELS: age in years, gender as log-odds of male, then shapes."""
    rows: list[Sequence[float]] = []
    for image in images:
        read = age_gender().label(image[None])[0]
        shape = shape_labels(find_mesh(to_uint8(image[None]), mesh))
        rows.append((read.age, log_odds(read.male), *shape))
    return torch.tensor(rows, dtype=torch.float64)

"""FFHQ crop -> the smaller crop ("chip") that dlib's and FaceRes' networks were trained on, differentiably.

dlib aligns five landmarks to a template. On a picture that is already aligned as FFHQ, that alignment hardly varies: over
149 sampled faces its centre stays within 1 % and its side within 5 % (standard deviations), so a constant square does.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

CENTRE = (0.503, 0.605)  # x, y; shares of the FFHQ crop's side; medians over the sampled faces
SIDES = {0.25: 0.696, 0.30: 0.742}  # dlib's padding -> side of the chip


def chip(image: Tensor, size: int, padding: float = 0.25, scale: float = 1.0) -> Tensor:
    """image [N, 3, R, R] in [-1, 1] (raw output is clamped) -> [N, 3, size, size], RGB 0..255. scale: of the square."""
    resolution, half = image.shape[-1], SIDES[padding] / 2 * scale
    left, top = (round((c - half) * resolution) for c in CENTRE)
    side = round(2 * half * resolution)
    part = image[:, :, top : top + side, left : left + side].clamp(-1, 1)
    return F.interpolate(part, (size, size), mode="bilinear", antialias=True) * 127.5 + 127.5

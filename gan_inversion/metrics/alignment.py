"""How well faces are found: faces of known place, turned and scaled into larger pictures, and found again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean
from typing import Any

import cv2
import numpy as np
import torch

from ..errors import UserError
from ..faces.aligner import FFHQ
from ..faces.crop import quad_side
from ..image import Photo, area_resize, to_uint8
from ..interfaces import Generator
from ..spaces.population import truncated

SIDE = 512  # pixels of the face at scale 1
MAX_TURN, MIN_SCALE, MAX_SCALE = 30.0, 0.5, 2.0


@dataclass(frozen=True)
class Placed:
    """A drawn face, and the same face somewhere in a larger picture."""

    face: np.ndarray  # uint8 [512, 512, 3]: its frame is the truth
    canvas: np.ndarray
    there: np.ndarray  # affine [2, 3]: face pixels -> canvas pixels


def place_faces(generator: Generator, count: int, seed: int, psi: float = 0.7) -> Iterator[Placed]:
    """Samples at truncation `psi`, each turned by up to 30 degrees and scaled by 0.5 to 2, in a noisy picture."""
    random = np.random.default_rng(seed)
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(seed)).to(generator.device)
    for row in z:
        with torch.no_grad():
            w = truncated(generator.mapping(row[None]), psi, generator.statistics())
            face = to_uint8(area_resize(generator.synthesis(w[:, None].repeat(1, generator.num_ws, 1)), SIDE))
        turn, scale = (
            random.uniform(-MAX_TURN, MAX_TURN),
            float(np.exp(random.uniform(np.log(MIN_SCALE), np.log(MAX_SCALE)))),
        )
        size = int(SIDE * scale * random.uniform(1.6, 2.6))
        there = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), turn, scale)
        room = size / 2 - SIDE * scale * 0.7
        there[:, 2] = there[:, 2] + size / 2 - (SIDE - 1) / 2 + random.uniform(-room, room, 2)
        coarse = random.integers(60, 180, (8, 8, 3), dtype=np.uint8)
        canvas = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        source = face if scale >= 1 else cv2.GaussianBlur(face, (0, 0), 0.4 / scale)
        cv2.warpAffine(
            source, there, (size, size), dst=canvas, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
        )
        yield Placed(face, canvas, there)


def measure(generator: Generator, count: int, seed: int, landmarks: str) -> dict[str, Any]:
    """Mean corner distances as shares of the side: of the crop to the frame, and to the unturned face's own crop."""
    aligner = FFHQ(generator.resolution, landmarks)
    frame = np.array([[0, 0], [0, SIDE], [SIDE, SIDE], [SIDE, 0]]) - 0.5
    to_frame, to_own, missed = [], [], 0
    for placed in place_faces(generator, count, seed):
        found = aligner.find(Photo(placed.canvas, "", ""))
        straight = aligner.find(Photo(placed.face, "", ""))
        if not found or not straight:
            missed += 1
            continue
        own, quad = (max((f.quad for f in faces), key=quad_side) for faces in (straight, found))
        back = (quad - placed.there[:, 2]) @ np.linalg.inv(placed.there[:, :2]).T
        to_frame.append(float(np.hypot(*(back - frame).T).mean()) / SIDE)
        to_own.append(float(np.hypot(*(back - own).T).mean()) / SIDE)
    if not to_frame:
        raise UserError(f"none of {count} faces was found (landmarks={landmarks}).")
    return {
        "landmarks": landmarks,
        "faces": count,
        "missed": missed,
        "to_frame_mean": mean(to_frame),
        "to_frame_max": max(to_frame),
        "to_own_crop_mean": mean(to_own),
        "to_own_crop_max": max(to_own),
    }

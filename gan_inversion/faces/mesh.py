"""MediaPipe's face mesh (Kartynnik 2019, arXiv 1907.06724): 468 landmarks, run by OpenCV.

Started from the five points of the detector, then once more from its own: that makes it five times steadier under
turning and scaling than the detector alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import cv2
import numpy as np

from ..assets.catalogue import checked_path

SIDE = 192  # pixels of the network's input
MARGIN = 1.5  # crop side / extent of the face, as MediaPipe's own graph does
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)  # left in the picture
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
MOUTH = (61, 291)  # corners, left in the picture first
NOSE_TIP, CHEEKS = 1, (234, 454)
UPPER_LIDS, LOWER_LIDS, EYE_CORNERS = ((159, 386), (145, 374), ((33, 133), (362, 263)))
CHIN, FOREHEAD = 152, 10
# Where FFHQ's crop puts eyes, nose and mouth corners, as shares of its side: what the mesh of one starts from.
FIVE = np.array([(0.375, 0.472), (0.625, 0.472), (0.5, 0.6), (0.42, 0.74), (0.58, 0.74)])


@dataclass(frozen=True)
class Mesh:
    """Landmarks of one face, in pixels of the photograph."""

    points: np.ndarray  # [468, 2]
    presence: float  # logit that a whole face is there; below 0 it is covered, cut off, or no face

    @property
    def eyes(self) -> np.ndarray:
        """[2, 2]: centres, left in the picture first."""
        return np.stack([self.points[list(RIGHT_EYE)].mean(0), self.points[list(LEFT_EYE)].mean(0)])

    @property
    def mouth(self) -> np.ndarray:
        """[2, 2]: corners, left in the picture first."""
        return self.points[list(MOUTH)]

    @property
    def yaw(self) -> float:
        """-1..1: where the nose tip lies between the cheeks; 0 is frontal, about +-0.6 a half profile."""
        left, right = self.points[CHEEKS[0]], self.points[CHEEKS[1]]
        axis = right - left
        return float(2 * ((self.points[NOSE_TIP] - left) @ axis) / max(float(axis @ axis), 1e-9) - 1)


class FaceMesh:
    """The network; loaded at the first call."""

    @cached_property
    def _net(self) -> Any:
        return cv2.dnn.readNetFromTFLite(str(checked_path("face_mesh")))

    def __call__(self, pixels: np.ndarray, five: np.ndarray) -> Mesh:
        """uint8 RGB [H, W, 3] and the detector's five points [5, 2] -> landmarks."""
        eyes, mouth = five[:2], five[3:]
        down = mouth.mean(0) - eyes.mean(0)
        centre, side = (
            eyes.mean(0) + 0.55 * down,
            4.2 * max(float(np.linalg.norm(down)), float(np.linalg.norm(eyes[1] - eyes[0]))),
        )
        mesh = self._run(pixels, centre, side, eyes[1] - eyes[0])
        low, high = mesh.points.min(0), mesh.points.max(0)
        return self._run(pixels, (low + high) / 2, MARGIN * _extent(mesh), mesh.eyes[1] - mesh.eyes[0])

    def _run(self, pixels: np.ndarray, centre: np.ndarray, side: float, right: np.ndarray) -> Mesh:
        x = right / max(float(np.linalg.norm(right)), 1e-9) * side / SIDE  # one crop pixel to the right
        y = np.array([-x[1], x[0]])
        origin = centre - (x + y) * (SIDE - 1) / 2
        block = max(1, int(side / SIDE))  # average blocks of a large face, so that it does not alias
        fine = np.stack([x / block, y / block, origin - (x + y) * (block - 1) / (2 * block)], 1)
        size = (SIDE * block, SIDE * block)
        crop = cv2.warpAffine(
            pixels, fine, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        crop = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        net = self._net
        net.setInput(np.ascontiguousarray(crop.transpose(2, 0, 1)[None].astype(np.float32) / 255))
        outputs = net.forward(net.getUnconnectedOutLayersNames())
        landmarks = next(out for out in outputs if out.size == 468 * 3).reshape(468, 3)[:, :2]
        presence = next(out for out in outputs if out.size == 1)
        return Mesh(origin + landmarks[:, :1] * x + landmarks[:, 1:] * y, float(presence.ravel()[0]))


def find_mesh(pixels: np.ndarray, mesh: FaceMesh) -> Mesh:
    """uint8 [R, R, 3], aligned as FFHQ -> its landmarks; no detector is needed."""
    return mesh(pixels, FIVE * pixels.shape[0])


@cache
def face_mesh() -> FaceMesh:
    """One network in a process. Raises UserError, at the first call of it, when it was not fetched."""
    return FaceMesh()


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


def _extent(mesh: Mesh) -> float:
    """Longest side of the box around the landmarks, in the face's own axes."""
    right = mesh.eyes[1] - mesh.eyes[0]
    right = right / max(float(np.linalg.norm(right)), 1e-9)
    turned = mesh.points @ np.stack([right, np.array([-right[1], right[0]])], 1)
    return float((turned.max(0) - turned.min(0)).max())

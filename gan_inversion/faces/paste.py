"""An aligned face put back into its photograph: the way of the crop, backwards.

Only the face goes back: the outline of the mesh in the photograph and in the picture, as far as there is a person, with a
soft edge. The picture's colours are first shifted by a smooth field that makes them meet the photograph's along this edge;
the field is the membrane of Poisson cloning (Perez 2003), by normalised convolution.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..errors import UserError
from ..image import area_resize, to_tensor
from ..interfaces import AlignedFace
from .crop import quad_side
from .masks import SIDE, face_mask, person_mask

GROWN, SOFT = 0.035, 0.025  # of the side: how far beyond the mesh the mask goes, and the deviation of its edge
REACH = 0.1  # of the side: deviation of what spreads the colours of the edge
BAND = 64  # rows that are drawn at a time


def paste_back(photo: np.ndarray, picture: np.ndarray, face: AlignedFace) -> None:
    """Draw `picture` into the photograph, in place; what is outside of the face and its soft edge stays to the bit.

    photo: uint8 [H, W, 3], upright, at full size. picture: uint8 [R, R, 3], aligned as `face`, which is the crop of this
    photograph; a prepared crop has no quad and is the whole of it. Needs memory for some rows of the face, whatever the
    photograph's size. Raises UserError if no face is found in the crop or the picture.
    """
    side = picture.shape[0]
    mask = paste_mask(face.pixels, picture)
    shift = colour_shift(face.pixels, picture, mask)
    quad = np.array(face.quad) if face.quad else _frame(photo)
    step = max(1.0, side / quad_side(quad))  # a face that is smaller in the photograph is averaged down first
    small = round(side / step)
    layers = [
        cv2.resize(layer.astype(np.float32), (small, small), interpolation=way)
        for layer, way in ((picture, cv2.INTER_AREA), (shift, cv2.INTER_CUBIC), (mask, cv2.INTER_CUBIC))
    ]
    to_crop = _inverse(quad, small)
    low = np.maximum(np.floor(quad.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(quad.max(0)).astype(int) + 1, [photo.shape[1], photo.shape[0]])
    for top in range(low[1], high[1], BAND):
        band = photo[top : min(top + BAND, high[1]), low[0] : high[0]]
        there = to_crop.copy()
        there[:, 2] += to_crop[:, :2] @ [low[0], top]
        drawn, moved, alpha = (_warped(layer, there, band.shape[1], band.shape[0]) for layer in layers)
        alpha = alpha.clip(0, 1)[:, :, None]
        mixed = np.rint(band * (1 - alpha) + (drawn + moved) * alpha).clip(0, 255)
        np.copyto(band, mixed.astype(np.uint8), where=alpha > 0)


def paste_mask(crop: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Two aligned pictures, uint8 [R, R, 3] -> float32 [256, 256]: how much of the second is shown; 0 along the frame."""
    images = [area_resize(to_tensor(pixels), min(SIDE, len(pixels))) for pixels in (crop, picture)]
    hulls = [face_mask(image)[0, 0].numpy() for image in images]
    if min(hull.max() for hull in hulls) == 0:
        raise UserError("paste_back: no face is found in the aligned picture, so there is nothing to be put back.")
    person = np.maximum(*(person_mask(image)[0, 0].numpy() for image in images))
    hull = cv2.resize(np.maximum(*hulls), (SIDE, SIDE))
    grown = cv2.dilate(hull, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(GROWN * SIDE) + 1,) * 2))
    soft = cv2.GaussianBlur(grown * cv2.resize(person, (SIDE, SIDE)), (0, 0), SOFT * SIDE)
    soft = ((soft - 0.02) / 0.96).clip(0, 1)  # ends, instead of fading for ever
    inset = np.minimum(np.arange(SIDE), np.arange(SIDE)[::-1])
    edge = (np.minimum.outer(inset, inset) / (2 * SOFT * SIDE)).clip(0, 1)
    return (soft * edge).astype(np.float32)


def colour_shift(crop: np.ndarray, picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """float32 [256, 256, 3], grey levels: what is added to the picture so that it meets the crop along the mask's edge."""
    a, b = (cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) for p in (crop, picture))
    edge = (4 * mask * (1 - mask))[:, :, None]  # 1 where both are half seen
    weight = cv2.GaussianBlur(edge, (0, 0), REACH * SIDE)[:, :, None]
    spread = cv2.GaussianBlur(edge * (a - b), (0, 0), REACH * SIDE)
    found: np.ndarray = spread / np.maximum(weight, 1e-6)
    return found


def _inverse(quad: np.ndarray, side: int) -> np.ndarray:
    """[2, 3]: pixel of the photograph -> pixel of the crop, both by their centres; the reverse of `crop_quad`."""
    right, down = (quad[3] - quad[0]) / side, (quad[1] - quad[0]) / side
    back = np.linalg.inv(np.stack([right, down], 1))
    return np.concatenate([back, (-0.5 - back @ quad[0])[:, None]], 1)


def _warped(layer: np.ndarray, to_layer: np.ndarray, width: int, height: int) -> np.ndarray:
    """Cubic; 0 outside. A layer coarser than the crop has its own scale."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(layer, to_layer, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT)


def _frame(photo: np.ndarray) -> np.ndarray:
    height, width = photo.shape[:2]
    return np.array([[0, 0], [0, height], [width, height], [width, 0]], float) - 0.5

"""An aligned face put back into its photograph: the way of the crop, backwards.

What goes back is the face, by the outline of its mesh in the photograph and in the picture, as far as there is a person; or
the whole head, by the person mask of both, where the two pictures agree better around it: a head that was turned has other
edges, and a refined inversion has the photograph's background. The edge is soft, and the picture's colours are shifted by a
smooth field that makes them meet the photograph's along it: the membrane of Poisson cloning (Perez 2003), by normalised
convolution.
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
FRAME, HEAD_FRAME = 0.05, 0.12  # of the side: how far from the crop's frame the mask of a face, and of a head, is whole
ALIKE, MOST = 40.0, 60.0  # grey levels: differences that count half as colours, about, and the largest shift
BAND = 64  # rows that are drawn at a time


def paste_back(photo: np.ndarray, picture: np.ndarray, face: AlignedFace, head: bool = False) -> None:
    """Draw `picture` into the photograph, in place; what is outside of the face and its soft edge stays to the bit.

    photo: uint8 [H, W, 3], upright, at full size. picture: uint8 [R, R, 3], aligned as `face`, which is the crop of this
    photograph; a prepared crop has no quad and is the whole of it. head: all of it goes back, whichever fits better. Needs
    memory for some rows of the face, whatever the photograph's size. Raises UserError if no face is found in the crop or
    the picture.
    """
    side = picture.shape[0]
    mask = paste_mask(face.pixels, picture, head)
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


def paste_mask(crop: np.ndarray, picture: np.ndarray, whole_head: bool = False) -> np.ndarray:
    """Two aligned pictures, uint8 [R, R, 3] -> float32 [256, 256]: how much of the second is shown; 0 along the frame."""
    images = [area_resize(to_tensor(pixels), min(SIDE, len(pixels))) for pixels in (crop, picture)]
    hulls = [face_mask(image)[0, 0].numpy() for image in images]
    if min(hull.max() for hull in hulls) == 0:
        raise UserError("paste_back: no face is found in the aligned picture, so there is nothing to be put back.")
    hull = cv2.resize(np.maximum(*hulls), (SIDE, SIDE))
    person = cv2.resize(np.maximum(*(person_mask(image)[0, 0].numpy() for image in images)), (SIDE, SIDE))
    face = _soft(_grown(hull) * person, FRAME)
    head = _soft(_grown(np.maximum(person, hull)), HEAD_FRAME)
    apart = np.abs(np.subtract(*_small(crop, picture))).mean(2)

    def mismatch(mask: np.ndarray) -> float:
        edge = _edge(mask)
        return float((apart * edge).sum() / edge.sum()) if edge.sum() else float("inf")  # nobody was segmented

    return head if whole_head else min(face, head, key=mismatch)


def colour_shift(crop: np.ndarray, picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """float32 [256, 256, 3], grey levels: what is added to the picture so that it meets the crop along the mask's edge.

    Where the edge has hair in one picture and skin in the other, their difference is no matter of colour, and counts little.
    """
    a, b = _small(crop, picture)
    likely = np.exp(-np.square(np.abs(a - b).max(2) / ALIKE))
    weight = (_edge(mask) * (likely + 1e-4))[:, :, None]
    total = cv2.GaussianBlur(weight, (0, 0), REACH * SIDE)[:, :, None]
    found: np.ndarray = cv2.GaussianBlur(weight * (a - b), (0, 0), REACH * SIDE) / np.maximum(total, 1e-9)
    return found.clip(-MOST, MOST)


def _small(*pictures: np.ndarray) -> list[np.ndarray]:
    return [cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) for one in pictures]


def _edge(mask: np.ndarray) -> np.ndarray:
    """1 where both pictures are half seen, 0 where one is seen alone."""
    return 4 * mask * (1 - mask)


def _grown(mask: np.ndarray) -> np.ndarray:
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(GROWN * SIDE) + 1,) * 2))


def _soft(mask: np.ndarray, frame: float) -> np.ndarray:
    """With an edge that ends, instead of fading for ever, and nothing along the frame."""
    soft = ((cv2.GaussianBlur(mask, (0, 0), SOFT * SIDE) - 0.02) / 0.96).clip(0, 1)
    inset = np.minimum(np.arange(SIDE), np.arange(SIDE)[::-1]) / (frame * SIDE)
    return (soft * np.minimum.outer(inset, inset).clip(0, 1)).astype(np.float32)


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

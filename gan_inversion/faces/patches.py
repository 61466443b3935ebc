"""Where in an aligned face skin, hair and irises are seen, and their colours in CIELAB (D65).

All at 256 pixels, so that a photograph and a child of any size are read alike. A patch that is not seen is empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .mesh import EYE_CORNERS, LEFT_EYE, LOWER_LIDS, RIGHT_EYE, UPPER_LIDS, Mesh

SIDE = 256  # pixels
# Between the lower rim of glasses and the fold of the nose, above where beards grow; and above the brows, below the hair.
CHEEK_PATCHES = ((50, 101, 36, 205, 187, 123), (280, 330, 266, 425, 411, 352))
FOREHEAD_PATCH = (109, 10, 338, 337, 151, 108)
FOREIGN = 16.0  # CIELAB distance from the cheeks beyond which a forehead's pixel is hair, a hat or a shadow
LEAST_CHEEK = 50  # pixels of each cheek below which its light is not read
AROUND = 0.05  # of the side: how far beyond the mesh hair begins; between them is skin
SURE = 0.7  # probability of a person
IRIS = 0.2  # radius of an iris / width of its eye: 11.7 mm of 29 mm (Hashemi 2015; Clarke 2016)
BANDS = (1.5, 4.0, 16.0)  # pixels; below the first, what is read changes with every shift of the crop


def lab_of(pixels: np.ndarray) -> np.ndarray:
    """uint8 sRGB [H, W, 3] -> float32 [H, W, 3]: L* 0..100, a*, b* (CIE 1976, D65)."""
    return cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def skin_pixels(mesh: Mesh, lab: np.ndarray) -> np.ndarray:
    """[N, 3]: colours of both cheeks and the forehead, without what differs from the cheeks: hair, glasses, a hat."""
    cheeks = np.concatenate([lab[_hull(mesh.points[list(patch)])] for patch in CHEEK_PATCHES])
    if not len(cheeks):
        return cheeks
    every = np.concatenate([cheeks, lab[_hull(mesh.points[list(FOREHEAD_PATCH)])]])
    return every[np.linalg.norm(every - np.median(cheeks, 0), axis=1) < FOREIGN]


def light_on(mesh: Mesh, lab: np.ndarray) -> tuple[float, float]:
    """How light falls on the cheeks, in L*: the left in the picture less the right, of medians; and from their darkest tenth
    to their lightest. NaN where they are not seen."""
    left, right = (lab[_hull(mesh.points[list(patch)])][:, 0] for patch in CHEEK_PATCHES)
    if min(len(left), len(right)) < LEAST_CHEEK:
        return float("nan"), float("nan")
    low, high = np.percentile(np.concatenate([left, right]), (10, 90))
    return float(np.median(left) - np.median(right)), float(high - low)


def skin_mask(mesh: Mesh) -> np.ndarray:
    """bool [256, 256]: both cheeks and the forehead, whatever lies over them."""
    mask: np.ndarray = np.logical_or.reduce([_hull(mesh.points[list(p)]) for p in (*CHEEK_PATCHES, FOREHEAD_PATCH)])
    return mask


def hair_mask(mesh: Mesh, person: np.ndarray) -> np.ndarray:
    """person [256, 256], 0..1 -> bool: where this person is beyond the face and above the eyes. Hats and scalps too."""
    face = _hull(mesh.points).astype(np.uint8)
    _, parts = cv2.connectedComponents((person > SURE).astype(np.uint8) | face)
    column, row = mesh.points[10].round().astype(int).clip(0, SIDE - 1)
    whole = parts == parts[row, column]  # others in the picture are not this person
    reach = 2 * round(AROUND * SIDE) + 1
    beyond = cv2.dilate(face, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) == 0
    above = np.arange(SIDE)[:, None] < mesh.eyes[:, 1].mean()
    mask: np.ndarray = whole & beyond & above
    return mask


def eye_pixels(mesh: Mesh, lab: np.ndarray) -> list[np.ndarray]:
    """Of each eye [N, 3]: colours between its lids."""
    return [lab[_hull(mesh.points[list(outline)])] for outline in (RIGHT_EYE, LEFT_EYE)]


def iris_pixels(mesh: Mesh, lab: np.ndarray) -> list[np.ndarray]:
    """Of each eye [N, 3]: colours of the ring around its pupil, between the lids. It is where the eye is darkest."""
    found = []
    for outline, corners, upper, lower in zip((RIGHT_EYE, LEFT_EYE), EYE_CORNERS, UPPER_LIDS, LOWER_LIDS, strict=True):
        outer, inner = mesh.points[corners[0]], mesh.points[corners[1]]
        middle, axis = (mesh.points[upper] + mesh.points[lower]) / 2, inner - outer
        radius, opening = IRIS * float(np.linalg.norm(axis)), _hull(mesh.points[list(outline)])
        tried = [middle + shift * axis for shift in np.arange(-0.2, 0.21, 0.04)]
        discs = [opening & (_distance(centre) < radius) for centre in tried]
        light = [float(lab[disc][:, 0].mean()) if disc.any() else np.inf for disc in discs]
        best = tried[int(np.argmin(light))]
        ring = opening & (_distance(best) < 0.9 * radius) & (_distance(best) > 0.4 * radius)
        found.append(lab[ring])
    return found


def texture(light: np.ndarray, mask: np.ndarray, least: int) -> float:
    """L* [256, 256], hair -> 0..1: share of strands and small curls in the variance of its lightness.

    NaN where fewer than `least` pixels lie inside of the mask's edge.
    """
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if int(inner.sum()) < least:
        return float("nan")
    smooth, middle, coarse = (_blurred(light, mask.astype(np.float32), sigma) for sigma in BANDS)
    return float((smooth - middle)[inner].var() / max(float((smooth - coarse)[inner].var()), 1e-6))


def _blurred(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Mean of the weighted neighbourhood: nothing from outside the mask comes in."""
    whole = cv2.GaussianBlur(weight, (0, 0), sigma)
    blurred: np.ndarray = cv2.GaussianBlur(values * weight, (0, 0), sigma) / np.maximum(whole, 1e-3)
    return blurred


def _distance(centre: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance: np.ndarray = np.hypot(columns - centre[0], rows - centre[1])
    return distance


def _hull(points: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Landmarks -> bool [256, 256]: their convex hull."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(canvas, cv2.convexHull(np.asarray(points).round().astype(np.int32)), 1)
    inside: np.ndarray = canvas > 0
    return inside

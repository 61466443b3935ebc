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
AROUND = 0.05  # of the side: how far beyond the mesh hair begins; between them is skin
SURE = 0.7  # probability of a person
IRIS = 0.2  # radius of an iris / width of its eye: 11.7 mm of 29 mm (Hashemi 2015; Clarke 2016)


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

"""Which numbers of StyleSpace move which region of a face: measured once from the generator, stored like a direction.

For each sampled face the picture's Jacobian is projected onto random signs inside one region's mask (Hutchinson's
estimator): the mean square of the gradient by a style is the change, summed over the region's pixels, that the style
makes. Times its variance over the population, that is how much the style moves the region from face to face.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..faces.mesh import LEFT_EYE, RIGHT_EYE, FaceMesh, find_mesh
from ..image import to_uint8
from ..interfaces import Generator
from ..spaces.population import sample_w, truncated

REGIONS = ("eyes", "nose", "mouth", "face_shape", "hair")  # what a child can inherit; the rest of the picture is "rest"
SIDE = 256  # pixels of the masks
PSI = 0.8  # truncation of the measured faces
BROW = 0.012  # of the side: how far hairs of a brow stand beyond its landmarks
BROWS = ((70, 63, 105, 66, 107, 55, 46), (336, 296, 334, 293, 300, 285, 276))
NOSE = (168, 193, 417, 6, 129, 358, 98, 327, 48, 278, 64, 294, 2)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
        136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
JAW = OVAL[8:29]  # from ear to ear below


def region_masks(points: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Landmarks [468, 2] of a picture of `side` pixels -> bool [6, side, side]: REGIONS and the rest; no two overlap.

    face_shape is a band along the jaw; hair is what lies outside of the face's oval, above the mouth, whatever it shows.
    """

    def hull(indices: tuple[int, ...], grow: float) -> np.ndarray:
        return _hull(points, indices, grow, side)

    eyes = hull(RIGHT_EYE + BROWS[0], 0.012) | hull(LEFT_EYE + BROWS[1], 0.012)
    nose, mouth = hull(NOSE, 0.006), hull(LIPS, 0.016)
    jaw = np.zeros((side, side), np.uint8)
    cv2.polylines(jaw, [points[list(JAW)].round().astype(np.int32)], False, 1, max(1, round(0.07 * side)))
    face = hull(OVAL, 0.0)
    above = np.arange(side)[:, None] < points[list(LIPS), 1].min()
    hair = ~face & above
    taken = np.zeros((side, side), bool)
    masks = []
    for mask in (eyes, nose, mouth, jaw.astype(bool), hair):
        masks.append(mask & ~taken)
        taken |= mask
    return np.stack([*masks, ~taken])


def brow_mask(points: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Landmarks [468, 2] of a picture of `side` pixels -> bool [side, side]: both brows, which the eyes' region holds."""
    return _hull(points, BROWS[0], BROW, side) | _hull(points, BROWS[1], BROW, side)


def _hull(points: np.ndarray, indices: tuple[int, ...], grow: float, side: int) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(points[list(indices)].round().astype(np.int32)), 1)
    width = max(1, round(grow * side)) * 2 + 1
    return cv2.dilate(mask, np.ones((width, width), np.uint8)).astype(bool)


def mean_masks(generator: Generator, count: int, seed: int) -> Tensor:
    """[6, 256, 256]: share of sampled faces in which a pixel belongs to a region; from the true pictures."""
    mesh, total = FaceMesh(), np.zeros((len(REGIONS) + 1, SIDE, SIDE))
    for ws in _samples(generator, count, seed):
        with torch.no_grad():
            pixels = to_uint8(generator.synthesis(ws, resolution=SIDE))
        total += region_masks(find_mesh(pixels, mesh).points)
    return torch.from_numpy(total / count).float()


def measure(
    generator: Generator, masks: Tensor, count: int, seed: int, progress: Callable[[], None] = lambda: None
) -> Tensor:
    """[6, S]: mean square change of each region, summed over its pixels, for one standard deviation of each style."""
    if masks.shape != (len(REGIONS) + 1, SIDE, SIDE):
        raise UserError(f"masks must be [{len(REGIONS) + 1}, {SIDE}, {SIDE}], not {list(masks.shape)}")
    masks = masks.to(generator.device)
    random = torch.Generator().manual_seed(seed)
    total = torch.zeros(len(masks), int(generator.style_rows.numel()), dtype=torch.float64)
    for ws in _samples(generator, count, seed + 1):
        styles = generator.styles(ws).detach().requires_grad_()
        image = generator.synthesis(ws, styles=styles)
        image = torch.nn.functional.interpolate(image, (SIDE, SIDE), mode="area")
        for k, mask in enumerate(masks):
            signs = torch.randint(0, 2, image.shape, generator=random).to(image) * 2 - 1
            keep = k < len(masks) - 1
            (gradient,) = torch.autograd.grad((image * signs * mask.sqrt()).sum(), styles, retain_graph=keep)
            total[k] += gradient[0].cpu().double().square() / count
        progress()
    return (total * style_variance(generator)).float()


def style_variance(generator: Generator, count: int = 2000, seed: int = 5) -> Tensor:
    """[S], float64: variance of each style over samples of W."""
    _, w = sample_w(generator, count, seed)
    with torch.no_grad():
        parts = [
            generator.styles(part[:, None].repeat(1, generator.num_ws, 1).to(generator.device)) for part in w.split(100)
        ]
    return torch.cat(parts).cpu().double().var(0)


def choose(changes: Tensor, masks: Tensor, contrast: float) -> Tensor:
    """changes [6, S], masks [6, H, W] -> [5, S], 0 or 1: the styles of each region, none of them in two.

    A style belongs to the region that it changes most by pixel, if it changes it at least `contrast` times as much, in
    root mean square, as the rest of the picture.
    """
    area = masks.sum((1, 2)).double()
    inside = changes.double() / area[:, None].clamp_min(1.0)  # a region may have no pixel
    total, whole = changes.double().sum(0), area.sum()
    outside = (total - changes) / (whole - area)[:, None]
    ratio = (inside / outside.clamp_min(1e-30)).sqrt()[: len(REGIONS)]
    best = ratio.argmax(0)
    chosen = torch.zeros_like(ratio)
    columns = torch.arange(ratio.shape[1])
    chosen[best, columns] = (ratio[best, columns] >= contrast).double()
    return chosen.float()


def _samples(generator: Generator, count: int, seed: int) -> list[Tensor]:
    w = truncated(sample_w(generator, count, seed)[1], PSI, generator.statistics())
    return [one[None, None].repeat(1, generator.num_ws, 1).to(generator.device) for one in w]

"""The crop of FFHQ (Karras 2019, arXiv 1812.04948, appendix A): an oriented square around eyes and mouth."""

from __future__ import annotations

import cv2
import numpy as np

OVERSAMPLE = 4  # FFHQ warps to 4096 and averages down to 1024


def ffhq_quad(eyes: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """Eye centres [2, 2] and mouth corners [2, 2], left in the picture first -> corners [4, 2].

    Order: top left, bottom left, bottom right, top right, in pixels of the photograph, whose first pixel's centre is (0, 0).
    """
    centre, across, down = eyes.mean(0), eyes[1] - eyes[0], mouth.mean(0) - eyes.mean(0)
    x = across - _flip(down) * np.array([-1, 1])
    x = x / np.hypot(*x) * max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8)
    y = _flip(x) * np.array([-1, 1])
    c = centre + down * 0.1
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y])


def _flip(v: np.ndarray) -> np.ndarray:
    return v[::-1]


def quad_side(quad: np.ndarray) -> float:
    """Side of the square, pixels."""
    return float(np.hypot(*(quad[3] - quad[0])))


def crop_quad(pixels: np.ndarray, quad: np.ndarray, size: int) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [size, size, 3].

    Where the square leaves the photograph, the border is mirrored, blurred and faded to the median colour: the steps,
    their order and their constants are those of FFHQ's own script, because the generator learnt such borders.
    """
    pixels, quad = _shrink(pixels, quad, size)
    pixels, quad = _cut(pixels, quad)
    image, quad = _pad(pixels, quad)
    fine = size * OVERSAMPLE
    right, down = (quad[3] - quad[0]) / fine, (quad[1] - quad[0]) / fine
    origin = quad[0] + (right + down) / 2  # centre of the first fine pixel
    affine = np.stack([right, down, origin], 1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, affine, (fine, fine), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA)


def _shrink(pixels: np.ndarray, quad: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    factor = int(quad_side(quad) / size * 0.5)
    if factor <= 1:
        return pixels, quad
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    return small, quad * np.array([small.shape[1] / width, small.shape[0] / height])


def _cut(pixels: np.ndarray, quad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = pixels.shape[:2]
    border = max(round(quad_side(quad) * 0.1), 3)
    low = np.maximum(np.floor(quad.min(0)).astype(int) - border, 0)
    high = np.minimum(np.ceil(quad.max(0)).astype(int) + border, [width, height])
    return pixels[low[1] : high[1], low[0] : high[0]], quad - low


def _pad(pixels: np.ndarray, quad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = pixels.shape[:2]
    side = quad_side(quad)
    border = max(round(side * 0.1), 3)
    before = np.maximum(-np.floor(quad.min(0)).astype(int) + border, 0)
    after = np.maximum(np.ceil(quad.max(0)).astype(int) - [width, height] + border, 0)
    if max(before.max(), after.max()) <= border - 4:
        return pixels, quad
    before, after = np.maximum(before, round(side * 0.3)), np.maximum(after, round(side * 0.3))
    (left, top), (right, bottom) = before, after
    sides = int(top), int(bottom), int(left), int(right)
    image = cv2.copyMakeBorder(pixels, sides[0], sides[1], sides[2], sides[3], cv2.BORDER_REFLECT_101).astype(
        np.float32
    )
    h, w = image.shape[:2]
    y, x = np.ogrid[:h, :w]
    mask_x = 1 - np.minimum(x / max(left, 1), (w - 1 - x) / max(right, 1))
    mask_y = 1 - np.minimum(y / max(top, 1), (h - 1 - y) / max(bottom, 1))
    mask = np.maximum(mask_x, mask_y).astype(np.float32)  # 0 at the photograph's edge, to 1 at the far border
    image += (_blur(image, side * 0.02) - image) * _in_colour(np.clip(mask * 3 + 1, 0, 1))
    image += (_median(image) - image) * _in_colour(np.clip(mask, 0, 1))
    return cv2.convertScaleAbs(image), quad + before  # rounds; both mixtures stay within 0..255


def _in_colour(mask: np.ndarray) -> np.ndarray:
    """[H, W] -> [H, W, 3]: NumPy takes three times as long to multiply by a last axis of one."""
    return cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian. A wide one on a coarser grid, which is ten times faster and differs by less than a grey level."""
    step = int(sigma / 4)
    if step < 2:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    size = image.shape[1], image.shape[0]
    small = cv2.resize(image, (-(-size[0] // step), -(-size[1] // step)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / step), size, interpolation=cv2.INTER_LINEAR)


def _median(image: np.ndarray) -> np.ndarray:
    """Of each channel, to half a grey level: by counting, because sorting millions of values takes a tenth of a second."""
    levels = cv2.convertScaleAbs(image)  # rounds
    counts = np.concatenate([cv2.calcHist([levels], [c], None, [256], [0, 256]) for c in range(image.shape[2])], 1)
    half = levels[:, :, 0].size / 2
    return (counts.cumsum(0) >= half).argmax(0).astype(np.float32)

"""What photographs have and samples lack: blur, JPEG, noise, other light, other backgrounds, hands, loose alignment.

Every change is small or hides only a part, so that the sample's ws stay the right answer.
"""

from __future__ import annotations

import cv2
import numpy as np


def augment(image: np.ndarray, other: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """float32 [S, S, 3] in [-1, 1], RGB -> the same, changed. `other`: a picture to take a background from."""
    side = image.shape[0]
    if random.random() < 0.4:
        image = _background(image, other, random)
    if random.random() < 0.8:  # the aligner's own error is about 1 % (docs/quality.md)
        turn, scale = random.normal(0, 1.5), float(np.exp(random.normal(0, 0.02)))
        there = np.asarray(cv2.getRotationMatrix2D((side / 2, side / 2), turn, scale), np.float64)
        there[:, 2] += random.normal(0, 0.012 * side, 2)
        image = cv2.warpAffine(image, there, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    if random.random() < 0.5:
        gain, shift, saturation = 1 + random.normal(0, 0.08), random.normal(0, 0.05), 1 + random.normal(0, 0.15)
        grey = image.mean(2, keepdims=True)
        image = (grey + (image - grey) * saturation) * gain + shift + random.normal(0, 0.02, 3).astype(np.float32)
    if random.random() < 0.3:
        image = _cover(image, random)
    if random.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 1.8))
    if random.random() < 0.4:
        image = image + random.normal(0, random.uniform(0.01, 0.06), image.shape).astype(np.float32)
    pixels = np.clip(image * 127.5 + 127.5, 0, 255).astype(np.uint8)
    if random.random() < 0.5:
        quality = int(random.integers(30, 95))
        data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return pixels.astype(np.float32) / 127.5 - 1


def _background(image: np.ndarray, other: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Another picture, blurred or not, outside an ellipse around head and neck."""
    side = image.shape[0]
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    distance = np.sqrt((x / random.uniform(0.40, 0.48)) ** 2 + ((y + 0.02) / random.uniform(0.47, 0.6)) ** 2)
    mask = np.clip((distance - 1) / 0.15, 0, 1)[..., None]
    behind = cv2.GaussianBlur(other, (0, 0), random.uniform(1, 12))
    return image * (1 - mask) + behind * mask


def _cover(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A soft-edged patch of one colour: a hand, a strand of hair, a microphone."""
    side = image.shape[0]
    mask = np.zeros((side, side), np.float32)
    centre = tuple(int(v) for v in random.integers(0, side, 2))
    axes = tuple(int(v) for v in random.integers(side // 20, side // 6, 2))
    cv2.ellipse(mask, centre, axes, float(random.uniform(0, 180)), 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), 2)[..., None]
    colour = random.uniform(-0.8, 0.8) + random.normal(0, 0.2, 3)
    return image * (1 - soft) + colour.astype(np.float32) * soft

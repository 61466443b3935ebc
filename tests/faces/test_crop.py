"""FFHQ's crop, by hand and against known answers."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gan_inversion.faces.crop import crop_quad, ffhq_quad, quad_side

EYES, MOUTH = np.array([[40.0, 50.0], [60.0, 50.0]]), np.array([[42.0, 75.0], [58.0, 75.0]])


def test_quad_by_hand() -> None:
    """Eyes 20 apart, mouth 25 below: half side max(2 * 20, 1.8 * 25) = 45 around (50, 52.5)."""
    quad = ffhq_quad(EYES, MOUTH)
    assert quad.tolist() == [[5, 7.5], [5, 97.5], [95, 97.5], [95, 7.5]]
    assert quad_side(quad) == 90


@pytest.mark.parametrize("degrees", [30, -75, 180])
def test_quad_turns_and_scales_with_the_face(degrees: float) -> None:
    turn = np.deg2rad(degrees)
    matrix = 1.7 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    turned = ffhq_quad(EYES @ matrix.T + 9, MOUTH @ matrix.T + 9)
    assert np.allclose(turned, ffhq_quad(EYES, MOUTH) @ matrix.T + 9)


def smooth(size: int = 200) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size
    return np.stack([255 * x, 255 * y, 127 + 120 * np.sin(6 * x) * np.cos(5 * y)], 2).astype(np.uint8)


def test_an_upright_crop_is_a_resize() -> None:
    image = smooth()
    quad = np.array([[40, 40], [40, 140], [140, 140], [140, 40]]) - 0.5
    crop = crop_quad(image, quad, 100)
    assert np.abs(crop.astype(int) - image[40:140, 40:140]).max() <= 2
    half = crop_quad(image, quad, 50)
    expected = cv2.resize(image[40:140, 40:140], (50, 50), interpolation=cv2.INTER_AREA)
    assert np.abs(half.astype(int) - expected).max() <= 2


def test_a_turned_crop_is_the_turned_picture() -> None:
    image = smooth()
    quad = np.array([[60, 60], [60, 140], [140, 140], [140, 60]]) - 0.5
    lying = np.roll(quad, 1, axis=0)  # its top is the picture's right side
    assert np.abs(crop_quad(image, lying, 80).astype(int) - np.rot90(crop_quad(image, quad, 80))).max() <= 2


def test_shrinking_large_faces_keeps_their_place() -> None:
    image = cv2.resize(smooth(), (1200, 1200), interpolation=cv2.INTER_CUBIC)
    quad = np.array([[240, 240], [240, 840], [840, 840], [840, 240]]) - 0.5
    expected = cv2.resize(image[240:840, 240:840], (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(crop_quad(image, quad, 64).astype(int) - expected).max() <= 4


def test_outside_is_mirrored_blurred_and_faded() -> None:
    """Half of the square lies outside: there the picture goes on, ever smoother, towards its median."""
    image = (np.indices((100, 100)).sum(0) // 4 % 2 * 255).astype(np.uint8)[:, :, None].repeat(3, 2)  # diagonal stripes
    quad = np.array([[-50, 0], [-50, 100], [50, 100], [50, 0]]) - 0.5
    crop = crop_quad(image, quad, 100).astype(float)
    inside, near, far = crop[30:70, 60:90].std(), crop[30:70, 40:48].std(), crop[30:70, 2:10].std()
    assert inside > 90
    assert inside > near > far
    assert far < 40

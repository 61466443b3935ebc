"""Finding, choosing and cropping faces, on a real photograph and on faces that the generator draws."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from gan_inversion.commands.demo_photos import draw_face
from gan_inversion.errors import UserError
from gan_inversion.faces.aligner import FFHQ, Prepared, _remarks
from gan_inversion.faces.detect import MTCNN, _suppress
from gan_inversion.faces.mesh import CHEEKS, NOSE_TIP, Mesh
from gan_inversion.image import Photo, load_photo
from tests.conftest import random_pixels, real

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def astronaut() -> Photo:
    return Photo(skimage.data.astronaut(), "astronaut.png", "0")


@pytest.fixture(scope="module")
def drawn_face() -> np.ndarray:
    return draw_face(real(), 3)


def frame(side: int) -> np.ndarray:
    return np.array([[0, 0], [0, side], [side, side], [side, 0]]) - 0.5


def corner_error(quad: np.ndarray, other: np.ndarray, side: float) -> float:
    return float(np.hypot(*(quad - other).T).mean() / side)


@pytest.mark.parametrize(("landmarks", "bound"), [("mesh", 0.022), ("mtcnn", 0.035)])
def test_a_drawn_face_is_found_where_it_is(drawn_face: np.ndarray, landmarks: str, bound: float) -> None:
    (found,) = FFHQ(1024, landmarks).find(Photo(drawn_face, "drawn", ""))
    assert corner_error(found.quad, frame(1024), 1024) < bound
    assert abs(found.mesh.yaw) < 0.3 if found.mesh else landmarks == "mtcnn"


@pytest.mark.parametrize(("degrees", "scale"), [(30, 0.5), (-30, 1.0), (17, 2.0), (90, 0.7), (180, 0.7)])
def test_turned_and_scaled(drawn_face: np.ndarray, degrees: float, scale: float) -> None:
    """The crop that comes back is the one of the face before it was turned, within 2 % of the side."""
    small = cv2.resize(drawn_face, (512, 512), interpolation=cv2.INTER_AREA)
    there = cv2.getRotationMatrix2D((255.5, 255.5), degrees, scale)
    size = int(512 * scale * 2.2)
    there[:, 2] += size / 2 - 255.5
    canvas = cv2.warpAffine(small, there, (size, size), flags=cv2.INTER_AREA, borderValue=(90, 110, 100))
    aligner = FFHQ(1024)
    (before,), (after,) = (aligner.find(Photo(p, "", "")) for p in (small, canvas))
    back = (after.quad - there[:, 2]) @ np.linalg.inv(there[:, :2]).T
    assert corner_error(back, before.quad, 512) < 0.02


def test_a_real_photograph(astronaut: Photo) -> None:
    face = FFHQ(256)(astronaut, "mother")
    assert face.pixels.shape == (256, 256, 3)
    assert face.photo_sha256 == "0"
    assert np.abs(np.mean(face.quad, 0) - [225, 106]).max() < 6  # her face, by eye
    assert any("175 pixels a side" in FFHQ(1024)(astronaut, "mother").warnings[0] for _ in [0])


def two_faces(astronaut: Photo) -> Photo:
    """A large face at the left and a small one at the right."""
    small = cv2.resize(astronaut.pixels, (300, 300), interpolation=cv2.INTER_AREA)
    canvas = np.full((512, 820, 3), 120, np.uint8)
    canvas[:, :512], canvas[100:400, 515:815] = astronaut.pixels, small
    return Photo(canvas, "both.png", "")


def test_choice_and_preview(astronaut: Photo, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo, aligner, preview = two_faces(astronaut), FFHQ(256, min_side=50), tmp_path / "faces.png"
    with caplog.at_level(logging.INFO):
        largest = aligner(photo, "mother", None, preview)
    assert "2 faces, numbered in" in caplog.text
    assert "mother is number 0" in caplog.text
    assert "number 0 from the left is taken, the largest" in caplog.text
    assert load_photo(preview).pixels.shape[1] == 820
    assert not np.array_equal(load_photo(preview).pixels, photo.pixels)
    left, right = (np.mean(aligner(photo, "a", i).quad, 0)[0] for i in (0, 1))
    assert left == np.mean(largest.quad, 0)[0]
    assert left < 300 < 560 < right
    with pytest.raises(UserError, match=r"both.png: there is no face 2; it has 2"):
        aligner(photo, "a", 2)


def test_no_face_and_small_faces_are_named(astronaut: Photo) -> None:
    with pytest.raises(UserError, match=r"wall.jpg: no face found"):
        FFHQ(256)(Photo(np.full((300, 300, 3), 128, np.uint8), "wall.jpg", ""), "father")
    with pytest.raises(UserError, match=r"noise.jpg: no face found"):
        FFHQ(256)(Photo(random_pixels(0, 300), "noise.jpg", ""), "father")
    with pytest.raises(UserError, match=r"too small: its crop has 175 pixels a side, 300 are needed"):
        FFHQ(256, min_side=300)(astronaut, "mother")


def test_remarks_follow_the_measurement(drawn_face: np.ndarray) -> None:
    """A frontal, whole, large face has none; the same landmarks with the nose at one cheek, or with no presence, do."""
    aligner = FFHQ(1024)
    photo = Photo(drawn_face, "p.jpg", "")
    assert aligner(photo, "a").warnings == ()
    (found,) = aligner.find(photo)
    assert found.mesh is not None
    points = found.mesh.points.copy()
    assert abs(found.mesh.yaw) < 0.3
    points[NOSE_TIP] = points[CHEEKS[0]]
    turned = replace(found, mesh=Mesh(points, 30.0))
    assert turned.mesh is not None
    assert turned.mesh.yaw == pytest.approx(-1)
    assert ["turned to the side" in r for r in _remarks("p.jpg", turned, 800, 1024)] == [True]
    covered = replace(found, mesh=Mesh(found.mesh.points, 1.0))
    assert ["covered or cut off" in r for r in _remarks("p.jpg", covered, 800, 1024)] == [True]


def test_a_covered_face_is_remarked(drawn_face: np.ndarray) -> None:
    """The lower half behind a grey sheet."""
    hidden = drawn_face.copy()
    hidden[560:] = 127
    found = FFHQ(1024).find(Photo(hidden, "p", ""))
    assert not found or any("covered" in r for r in _remarks("p", found[0], 800, 1024))


def test_prepared_crops_are_checked(drawn_face: np.ndarray) -> None:
    good = Prepared(256)(Photo(drawn_face, "good.png", ""), "father")
    assert good.warnings == ()
    assert good.pixels.shape == (256, 256, 3)
    shifted = np.roll(drawn_face, 150, axis=1)
    (warning,) = Prepared(256)(Photo(shifted, "off.png", ""), "father").warnings
    assert "off.png: not aligned as FFHQ" in warning
    assert "shift +15%" in warning or "shift +14%" in warning
    assert Prepared(256, check=False)(Photo(shifted, "off.png", ""), "father").warnings == ()
    loose = Prepared(256, tolerance=0.5)(Photo(shifted, "off.png", ""), "father")
    assert loose.warnings == ()


def test_prepared_crops_must_be_square() -> None:
    with pytest.raises(UserError, match=r"wide.png: 300x200 is not square. Drop aligner=prealigned"):
        Prepared(64)(Photo(np.zeros((200, 300, 3), np.uint8), "wide.png", ""), "father")
    with pytest.raises(UserError, match="father_face=1 needs aligner=ffhq"):
        Prepared(64)(Photo(np.zeros((200, 200, 3), np.uint8), "a.png", ""), "father", 1)


def test_thresholds_matter(astronaut: Photo) -> None:
    assert len(MTCNN()(astronaut.pixels)) == 1
    assert MTCNN(thresholds=(0.6, 0.7, 1.0))(astronaut.pixels) == []


def test_suppression_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 10, 0.9], [1, 0, 11, 10, 0.8], [20, 0, 30, 10, 0.7], [2, 2, 5, 5, 0.6]], float)
    assert _suppress(boxes, 0.5) == [0, 2, 3]  # overlaps of union: 0.82, 0, 0.09
    assert _suppress(boxes, 0.5, of_smaller=True) == [0, 2]  # the last lies inside the first

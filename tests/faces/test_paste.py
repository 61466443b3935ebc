"""A face put back into its photograph: where it was, and nothing else touched. Pictures are made or drawn."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from gan_inversion.commands.demo_photos import draw_face, drawn_photograph
from gan_inversion.errors import UserError
from gan_inversion.faces.aligner import FFHQ
from gan_inversion.faces.paste import colour_shift, paste_back, paste_mask
from gan_inversion.image import COMPOSITE_SOURCE_TYPE, Photo, load_photo, save_composite
from gan_inversion.interfaces import AlignedFace
from tests.conftest import random_pixels, real


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Photo:
    """A drawn face in a photograph, turned by nine degrees, at 1862x1396."""
    path = tmp_path_factory.mktemp("paste") / "photo.jpg"
    drawn_photograph(path, real(), 3)
    return load_photo(path, whole=True)


@pytest.mark.weights
def test_the_crop_itself_goes_back_to_where_it_was(photo: Photo) -> None:
    face, pasted = FFHQ(1024)(photo, "a"), photo.pixels.copy()
    paste_back(pasted, face.pixels, face)
    off = np.abs(pasted.astype(int) - photo.pixels)
    assert off.max() < 40  # of sampling twice, at lashes
    assert off[off.max(2) > 0].mean() < 2


@pytest.mark.weights
def test_what_is_outside_stays_to_the_bit_and_colours_meet(photo: Photo) -> None:
    """A picture that is darker and redder than the crop: a step of 40 levels would show all around."""
    face, pasted = FFHQ(1024)(photo, "a"), photo.pixels.copy()
    other = (face.pixels.astype(float) * 0.8 + [20, -20, -20]).clip(0, 255).astype(np.uint8)
    paste_back(pasted, other, face)
    changed = (pasted != photo.pixels).any(2)
    low, high = np.array(face.quad).min(0).astype(int), np.array(face.quad).max(0).astype(int) + 1
    assert not changed[: low[1]].any() and not changed[high[1] :].any()
    assert not changed[:, : low[0]].any() and not changed[:, high[0] :].any()
    assert 0.05 < changed.mean() < 0.4
    x, y = np.mean(face.quad, 0).astype(int)
    assert changed[y - 50 : y + 50, x - 50 : x + 50].mean() > 0.9
    kernel = np.ones((31, 31), np.uint8)
    edge = changed & (cv2.erode(changed.astype(np.uint8), kernel) == 0)
    assert np.abs(pasted.astype(int) - photo.pixels)[edge].mean() < 8


@pytest.mark.weights
def test_a_large_photograph_is_not_held_twice(tmp_path: Path) -> None:
    photo = np.full((4000, 5600, 3), 90, np.uint8)
    face = AlignedFace(draw_face(real(), 3), "a", "", ((2000, 1000), (1950, 3000), (3950, 3050), (4000, 1050)))
    paste_mask(face.pixels, face.pixels)  # networks are loaded once
    tracemalloc.start()
    paste_back(photo, face.pixels, face)
    save_composite(tmp_path / "large.png", photo, {})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.7 * photo.nbytes
    assert (photo[:1000] == 90).all() and (photo[2000, 3000] != 90).any()
    assert np.array_equal(load_photo(tmp_path / "large.png", whole=True).pixels, photo)
    assert load_photo(tmp_path / "large.png").reduced < 0.9


def test_what_the_file_says_and_what_it_does_not(tmp_path: Path) -> None:
    """Upright, in sRGB, without the photograph's EXIF; marked as a composite."""
    pixels, buffer, exif = random_pixels(0, 64)[:40], io.BytesIO(), Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera of somebody's"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif, icc_profile=profile)
    (tmp_path / "photo.png").write_bytes(buffer.getvalue())
    photo = load_photo(tmp_path / "photo.png", whole=True)
    save_composite(tmp_path / "out.png", photo.pixels, {"picture": "test"})
    with Image.open(tmp_path / "out.png") as written:
        assert written.size == (40, 64)
        assert COMPOSITE_SOURCE_TYPE in written.info["XML:com.adobe.xmp"]
        assert not written.getexif()
    assert b"somebody" not in (tmp_path / "out.png").read_bytes()
    assert np.array_equal(load_photo(tmp_path / "out.png").pixels, np.rot90(pixels, -1))
    beside = json.loads((tmp_path / "out.png.json").read_text())
    assert beside == {"DigitalSourceType": COMPOSITE_SOURCE_TYPE, "synthetic": True, "picture": "test"}


@pytest.mark.weights
def test_the_whole_head_goes_back_where_it_fits_better() -> None:
    """The same picture but for the face, which is darker beyond its edge: around the head nothing differs."""
    crop = draw_face(real(), 3)
    face = paste_mask(crop, crop)
    near = cv2.resize(cv2.dilate(face, np.ones((9, 9))), crop.shape[:2])[:, :, None] > 0.01
    head = paste_mask(crop, np.where(near, crop // 2, crop))
    assert head.sum() > 1.3 * face.sum()
    assert not head[0].any() and not head[:, -1].any()  # never along the frame
    assert paste_mask(crop, crop, whole_head=True).sum() > 1.3 * face.sum()


def test_a_shift_by_hand() -> None:
    """Thirty levels darker everywhere: thirty are added everywhere, inside of the edge too."""
    crop = np.full((64, 64, 3), 120, np.uint8)
    mask = np.zeros((256, 256), np.float32)
    mask[60:200, 60:200] = 1
    shift = colour_shift(crop, crop - 30, cv2.GaussianBlur(mask, (0, 0), 6))
    assert shift[128, 128] == pytest.approx([30, 30, 30], abs=0.01)


@pytest.mark.weights
def test_without_a_face_nothing_is_put_back() -> None:
    face = AlignedFace(np.full((64, 64, 3), 128, np.uint8), "wall")
    with pytest.raises(UserError, match="no face is found"):
        paste_back(np.zeros((64, 64, 3), np.uint8), face.pixels, face)

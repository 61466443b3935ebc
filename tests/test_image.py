"""Photographs of every kind come in upright and 8-bit; what cannot be read is named; what is drawn is marked."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_inversion import image as module
from gan_inversion.errors import UserError
from gan_inversion.image import (
    DIGITAL_SOURCE_TYPE,
    area_resize,
    load_photo,
    save_photo_crop,
    save_synthetic,
    to_tensor,
    to_uint8,
    write_atomically,
)

from .conftest import random_pixels


def gradient(width: int = 40, height: int = 30) -> np.ndarray:
    """Dark left, bright right: orientation shows in it."""
    return np.repeat(np.linspace(0, 255, width).astype(np.uint8)[None, :, None], height, 0).repeat(3, 2)


def test_tensor_and_back_is_exact() -> None:
    pixels = random_pixels(0)
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 3, 64, 64)
    assert tensor.min() >= -1
    assert tensor.max() <= 1
    assert np.array_equal(to_uint8(tensor), pixels)
    assert to_tensor(np.zeros((1, 1, 3), np.uint8)).flatten().tolist() == [-1, -1, -1]
    assert to_uint8(torch.full((1, 3, 1, 1), 9.0)).tolist() == [[[255, 255, 255]]]


def test_area_resize_averages() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    assert area_resize(image, 2)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert area_resize(image, 3).shape[-1] == 3
    assert area_resize(image, 8).shape[-1] == 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    """Each of the eight stored forms of one picture is read as that picture."""
    upright = Image.fromarray(gradient())
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that makes the stored form
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(load_photo(tmp_path / "a.png").pixels, gradient())


def test_modes(tmp_path: Path) -> None:
    pixels = gradient()
    grey = pixels[:, :, 0]
    rgba = np.dstack([pixels, np.full(grey.shape, 255, np.uint8)])
    rgba[:, :5, 3] = 0  # transparent at the left: white shows
    pictures = {
        "grey.png": Image.fromarray(grey),
        "rgba.png": Image.fromarray(rgba),
        "palette.png": Image.fromarray(pixels).quantize(256),
        "sixteen.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "cmyk.jpg": Image.fromarray(pixels).convert("CMYK"),
        "one.bmp": Image.fromarray(grey).convert("1", dither=0),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name)
        loaded = load_photo(tmp_path / name).pixels
        assert loaded.shape == (30, 40, 3), name
        assert loaded.dtype == np.uint8
        if name == "rgba.png":
            assert (loaded[:, :5] == 255).all()
        if name not in ("one.bmp",):
            assert np.abs(loaded[:, 6:].astype(int) - pixels[:, 6:]).max() <= 4, name


def test_large_jpegs_are_reduced_not_refused(tmp_path: Path) -> None:
    """64 megapixels, as phones make them: decoded at reduced size, in bounded memory."""
    buffer = io.BytesIO()
    Image.new("L", (9248, 6936), 128).save(buffer, "JPEG", quality=20)
    (tmp_path / "phone.jpg").write_bytes(buffer.getvalue())
    photo = load_photo(tmp_path / "phone.jpg")
    assert photo.pixels.shape[0] * photo.pixels.shape[1] < 20e6
    assert photo.reduced == pytest.approx(photo.pixels.shape[1] / 9248)


def test_over_the_limit_is_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(gradient(400, 300)).save(tmp_path / "a.png")
    monkeypatch.setattr(module, "MAX_MEGAPIXELS_UNREDUCIBLE", 0.1)
    with pytest.raises(UserError, match=r"a.png: 0 megapixels; the limit for PNG is 0. Scale it down"):
        load_photo(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"hello", "not an image"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 20, "HEIC"),
        (b"half", "damaged"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "photo.jpg"
    if data == b"half":
        buffer = io.BytesIO()
        Image.fromarray(random_pixels(1, 200)).save(buffer, "JPEG")
        data = buffer.getvalue()[:3000]
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"photo.jpg: .*{message}"):
        load_photo(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nobody.jpg: cannot be read"):
        load_photo(tmp_path / "nobody.jpg")


def test_synthetic_pictures_say_so_and_crops_do_not(tmp_path: Path) -> None:
    save_synthetic(tmp_path / "child.png", random_pixels(2), {"generator": "g"})
    with Image.open(tmp_path / "child.png") as picture:
        assert DIGITAL_SOURCE_TYPE in picture.info["XML:com.adobe.xmp"]
        assert json.loads(picture.info["Synthetic"])["generator"] == "g"
        assert np.array_equal(np.asarray(picture), random_pixels(2))
    beside = json.loads((tmp_path / "child.png.json").read_text())
    assert beside["synthetic"] is True
    save_photo_crop(tmp_path / "father.png", random_pixels(2))
    with Image.open(tmp_path / "father.png") as picture:
        assert picture.info == {}
    assert not (tmp_path / "father.png.json").exists()


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(UserError, match=r"a.json: cannot be written \(No space left on device\)"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]

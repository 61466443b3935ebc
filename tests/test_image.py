"""Photographs of every kind come in upright and 8-bit; what cannot be read is named; what is drawn is marked."""

from __future__ import annotations

import io
import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image

from gan_inversion import storage
from gan_inversion.errors import UserError
from gan_inversion.image import (
    DIGITAL_SOURCE_TYPE,
    FORMATS,
    SUFFIXES,
    area_resize,
    decode_photo,
    load_photo,
    save_photo_crop,
    save_synthetic,
    to_tensor,
    to_uint8,
)
from gan_inversion.image import photo as module
from gan_inversion.image.photo import HEIC, RAW
from gan_inversion.storage import write_atomically

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


@pytest.mark.parametrize("kind", ["EPS", "TGA", "ICO", "DDS", "PPM", "PCX"])
def test_other_formats_are_not_even_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Whatever they are called. Pillow would start gs for an EPS."""
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: started.append("gs"))
    path = tmp_path / "dad.jpg"
    Image.fromarray(random_pixels(1)).save(path, kind)
    with pytest.raises(UserError, match=r"dad.jpg: not an image that can be read. Use JPEG, PNG"):
        load_photo(path)
    assert not started


@pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
def test_each_format_is_told_by_its_content(tmp_path: Path, kind: str) -> None:
    path, pixels = tmp_path / "dad.xyz", gradient()
    more = {"save_all": True, "append_images": [Image.fromarray(pixels[::-1, ::-1])]}  # frames that are not looked at
    Image.fromarray(pixels).save(path, kind, **({} if kind in ("BMP", "JPEG", "JPEG2000") else more))
    assert np.abs(load_photo(path).pixels.astype(int) - pixels).max() <= 12


def test_folders_list_what_is_read_and_what_is_told_by_name() -> None:
    assert set(SUFFIXES) - set(itertools.chain(*FORMATS.values())) == {*HEIC, *RAW}
    Image.init()
    for kind, suffixes in FORMATS.items():
        assert {Image.EXTENSION[one] for one in suffixes} <= {kind, "MPO"}


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.tile(gradient(40, 40)[..., :1], (1, 1, 3))).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [*FORMATS, "MPO"])
def test_damaged_files_are_read_or_named(kind: str) -> None:
    """Whatever their decoders raise: 60 files cut short or with some bits flipped."""
    whole, draw = encoded(kind), np.random.default_rng(0)
    for i in range(60):
        data = np.frombuffer(whole, np.uint8).copy()
        if i % 2:
            data = data[: draw.integers(1, len(data))]
        places = draw.integers(0, len(data), draw.integers(1, 9))
        data[places] ^= (1 << draw.integers(0, 8, len(places))).astype(np.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert decode_photo(data.tobytes(), Path("dad.jpg")).pixels.ndim == 3
            except UserError as error:
                assert str(error).startswith("dad.jpg: "), error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("Failed to decode image"), r"damaged \(Failed to decode image\)"),
        (NotImplementedError(), r"damaged \(NotImplementedError\)"),
        (ZeroDivisionError("x"), "damaged"),
        (MemoryError(), "out of memory"),
    ],
)
def test_whatever_a_decoder_raises_names_the_file(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(module, "_decode", broken)
    with pytest.raises(UserError, match=f"dad.jpg: .*{message}"):
        decode_photo(encoded("PNG"), Path("dad.jpg"))


def test_avif_by_any_of_its_brands() -> None:
    """Some programs write the container's brand first, as HEIC's do."""
    data = encoded("AVIF").replace(b"ftypavif", b"ftypmif1", 1)
    assert decode_photo(data, Path("dad.avif")).pixels.shape == (40, 40, 3)


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

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(UserError, match=r"a.json: cannot be written \(No space left on device\)"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]

"""Photographs that were once read wrong: turned twice, in other colours, as their thumbnail, or by a program."""

from __future__ import annotations

import io
import logging
import os
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_inversion.errors import UserError
from gan_inversion.image import FORMATS, SUFFIXES, decode_photo, load_photo
from gan_inversion.image import photo as module
from gan_inversion.report.album import find_photos
from gan_inversion.storage import Folder
from tests.conftest import ROOT, random_pixels
from tests.odd.pictures import PROFILES, in_srgb, jpeg_of_scans, profile, tiff

UNDO = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> the transposition that makes the stored form


def smooth(width: int = 48, height: int = 32) -> np.ndarray:
    """Another colour at each corner: no turn of it is like another, and every codec keeps it."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.stack([40 + 180 * x, 40 + 180 * y, 220 - 90 * x - 90 * y], -1).round().astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["TIFF raw", "TIFF tiff_lzw", "TIFF tiff_deflate", "TIFF packbits", "TIFF jpeg",
                                  "JPEG", "PNG", "WEBP", "AVIF"])  # fmt: skip
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_format_is_turned_once(kind: str, orientation: int) -> None:
    upright = Image.fromarray(smooth())
    stored = upright.transpose(Image.Transpose(UNDO[orientation])) if orientation > 1 else upright
    name, _, compression = kind.partition(" ")
    if name == "TIFF":
        data = saved(stored, name, compression=compression, tiffinfo={274: orientation})
    else:
        exif = Image.Exif()
        exif[274] = orientation
        data = saved(stored, name, exif=exif, quality=95)
    found = decode_photo(data, Path("dad.x"))
    assert found.reduced == 1
    assert np.abs(found.pixels.astype(int) - smooth()).max() <= 12


def test_a_large_tiff_that_is_turned_is_reduced_by_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORKING_MEGAPIXELS", 48 * 32 / 4e6)
    stored = Image.fromarray(smooth()).transpose(Image.Transpose(UNDO[6]))
    found = decode_photo(saved(stored, "TIFF", tiffinfo={274: 6}), Path("dad.tif"))
    assert found.pixels.shape == (16, 24, 3)
    assert found.reduced == 0.5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("name", PROFILES)
def test_profiles_become_srgb(kind: str, name: str) -> None:
    lossless = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}
    options = lossless.get(kind, {"quality": 100, "subsampling": 0} if kind == "JPEG" else {})
    data = saved(Image.fromarray(smooth()), kind, icc_profile=profile(name), **options)
    found = decode_photo(data, Path("dad.x")).pixels.astype(int)
    goal = in_srgb(smooth(), name).astype(int)
    assert np.abs(goal - smooth()).max() > 15  # ignoring it would be seen
    off = np.abs(found - goal)  # a level of a dark channel is many levels of another
    assert off.max() <= (25 if kind in ("JPEG", "AVIF") else 4)
    assert off.mean() < 1.5


def test_a_profile_of_grey_and_transparent_pictures() -> None:
    grey = np.linspace(0, 255, 64).round().astype(np.uint8)[None].repeat(8, 0)
    linear = (grey / 255.0) ** 1.5
    goal = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    found = decode_photo(saved(Image.fromarray(grey), "PNG", icc_profile=profile("grey")), Path("g.png")).pixels
    assert np.abs(found[..., 0] - goal).max() <= 2
    rgba = np.dstack([smooth(), np.full((32, 48), 255, np.uint8)])
    rgba[:, :4, 3] = 0
    data = saved(Image.fromarray(rgba), "PNG", icc_profile=profile("Adobe RGB"))
    found = decode_photo(data, Path("a.png")).pixels
    assert (found[:, :4] >= 254).all()
    assert np.abs(found[:, 4:].astype(int) - in_srgb(smooth(), "Adobe RGB")[:, 4:]).max() <= 4


def test_srgb_written_anew_changes_nothing() -> None:
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = saved(Image.fromarray(random_pixels(3)), "PNG", icc_profile=srgb)
    assert np.array_equal(decode_photo(data, Path("a.png")).pixels, random_pixels(3))


@pytest.mark.parametrize(
    "broken", [b"no profile", profile("Adobe RGB")[:150], profile("grey"), b"", profile("ProPhoto")[:200] + bytes(300)]
)
def test_a_broken_profile_is_said_and_ignored(broken: bytes, caplog: pytest.LogCaptureFixture) -> None:
    data = saved(Image.fromarray(smooth()), "TIFF", icc_profile=broken)
    assert np.array_equal(decode_photo(data, Path("dad.tif")).pixels, smooth())
    assert not broken or "dad.tif: its colour profile is damaged" in caplog.text


SMALL = (np.ascontiguousarray(smooth()[::4, ::4]), {254: 1})
MOSAIC = (smooth(), {254: 0, 262: 32803})


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("sub", [None, 1])
def test_the_full_picture_behind_a_thumbnail(sub: int | None, big: bool) -> None:
    data = tiff([SMALL, (smooth(), {254: 0})], sub, big)
    assert np.array_equal(decode_photo(data, Path("dad.dng")).pixels, smooth())
    data = tiff([SMALL, (np.ascontiguousarray(smooth()[::2]), {254: 0}), (smooth(), {254: 0})], sub, big)
    assert np.array_equal(decode_photo(data, Path("dad.tif")).pixels, smooth())


def test_the_first_says_how_a_raw_file_is_turned() -> None:
    stored = np.ascontiguousarray(np.rot90(smooth(), 1))
    data = tiff([(SMALL[0], {254: 1, 274: 6}), (stored, {254: 0})], 1)
    assert np.array_equal(decode_photo(data, Path("dad.dng")).pixels, smooth())


def test_pages_stay_in_order() -> None:
    data = tiff([(np.ascontiguousarray(smooth()[::2]), {}), (smooth(), {})])
    assert decode_photo(data, Path("scan.tif")).pixels.shape == (16, 48, 3)
    data = tiff([(smooth(), {254: 0}), SMALL], 1)  # a pyramid
    assert np.array_equal(decode_photo(data, Path("scan.tif")).pixels, smooth())


@pytest.mark.parametrize(
    "data",
    [
        tiff([SMALL, MOSAIC], 1),
        tiff([SMALL, MOSAIC]),
        tiff([MOSAIC]),
        tiff([SMALL, (smooth(), {254: 0, 262: 34892}), SMALL], 1),
        tiff([(SMALL[0], {254: 1, 50706: 0x401})]),
        tiff([SMALL, (smooth(), {254: 0, 259: 34713})], 1),  # compressed as Nikon does
        b"\0\0\0\x18ftypcrx " + bytes(40),
        b"FUJIFILMCCD-RAW 0201" + bytes(60),
        b"IIU\0" + bytes(60),
    ],
)
def test_raw_photographs_say_so(data: bytes) -> None:
    with pytest.raises(UserError, match=r"dad.dng: raw photograph: export it as JPEG"):
        decode_photo(data, Path("dad.dng"))


def test_heic_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for brand in (b"heic", b"heix", b"mif1", b"heim"):
        with pytest.raises(UserError, match=r"dad.heic: .*HEIC.*pip install .gan-inversion\[heic\]"):
            decode_photo(b"\0\0\0\x18ftyp" + brand + bytes(12), Path("dad.heic"))


def test_heic_is_read_with_the_extra(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(smooth())).save(tmp_path / "dad.heic", quality=95)
    assert np.abs(load_photo(tmp_path / "dad.heic").pixels.astype(int) - smooth()).max() <= 12


def test_folders_list_all_that_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for kind, suffixes in FORMATS.items():
        for suffix in suffixes:
            (tmp_path / f"{kind}{suffix.upper()}").write_bytes(saved(Image.fromarray(smooth()), kind))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "more").mkdir()
    found = find_photos([str(tmp_path)])
    assert len(found) == sum(map(len, FORMATS.values()))
    for path in found.values():
        assert load_photo(path).pixels.shape == (32, 48, 3)
    assert "notes.txt" in caplog.text
    assert "1 folder in it is not looked into: more" in caplog.text
    assert {".avif", ".gif", ".jp2", ".heic", ".dng"} <= {*SUFFIXES}


def test_a_folder_of_folders_is_said(tmp_path: Path) -> None:
    (tmp_path / "aunts").mkdir()
    with pytest.raises(UserError, match=r"no pictures in this folder .*folder in it is not looked into: aunts"):
        find_photos([str(tmp_path)])


@pytest.mark.processes
def test_no_decoder_that_starts_a_program_is_loaded(tmp_path: Path) -> None:
    """Not even by a photograph of an unknown kind."""
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "b.jpg").write_bytes(saved(Image.fromarray(smooth()), "JPEG"))
    code = """
import sys
from gan_inversion.image import load_photo
from gan_inversion.errors import UserError
load_photo("b.jpg")
try:
    load_photo("a.jpg")
except UserError as error:
    print(error)
loaded = {name for name in sys.modules if name.endswith("ImagePlugin")}
assert len(loaded) < 12 and not {"PIL.EpsImagePlugin", "PIL.WmfImagePlugin"} & loaded, loaded
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert b"a.jpg: not an image that can be read" in ran.stdout


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_the_first_of_several_frames_is_taken_and_said(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    first, second = (Image.fromarray(one) for one in (smooth(), np.ascontiguousarray(smooth()[::-1])))
    data = saved(first, kind, save_all=True, append_images=[second] * 20)
    assert np.abs(decode_photo(data, Path("dad.x")).pixels.astype(int) - smooth()).max() <= 12
    assert "dad.x: several pictures; the first is taken" in caplog.text


def test_scans_are_bounded() -> None:
    assert decode_photo(jpeg_of_scans(5), Path("a.jpg")).pixels.shape == (64, 64, 3)
    for filling in (b"", b"\xff\xff"):  # which a decoder passes over
        data = jpeg_of_scans(3000).replace(b"\xff\xda", filling + b"\xff\xda")
        with pytest.raises(UserError, match=r"a.jpg: a JPEG of more than 100 scans"):
            decode_photo(data, Path("a.jpg"))
    tail = saved(Image.fromarray(smooth()), "JPEG") + b"\xff\xda" * 500  # a film behind a photograph
    assert decode_photo(tail, Path("a.jpg")).pixels.shape == (32, 48, 3)


def png_that_says(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_what_is_decoded_is_bounded() -> None:
    jp2 = saved(Image.fromarray(smooth()), "JPEG2000")
    at = jp2.find(b"\xff\x4f\xff\x51")
    liar = jp2[: at + 8] + struct.pack(">II", 30_000, 30_000) + jp2[at + 16 :]
    big = tiff([(smooth(), {322: 30_000, 323: 30_000, 324: 8, 325: 100})])
    icon = b"\0\0\1\0\1\0\x40\x40\0\0\1\0\x20\0" + struct.pack("<II", 1000, 22) + png_that_says(30_000, 30_000)
    for data in (png_that_says(30_000, 30_000), liar, big, icon):
        with pytest.raises(UserError, match=r"^dad.x: (900 megapixels|the image is damaged|not an image)"):
            decode_photo(data, Path("dad.x"))


def test_devices_pipes_and_sparse_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with open(tmp_path / "sparse.jpg", "wb") as file:
        file.truncate(50_000_000_000)
    for name in ("/dev/zero", tmp_path / "pipe.jpg", tmp_path):
        with pytest.raises(UserError, match=r"it is a (device or a pipe|folder), not a file"):
            load_photo(name)
    with pytest.raises(UserError, match=r"sparse.jpg: the file has 50,000 MB; the limit for such files is 500"):
        load_photo(tmp_path / "sparse.jpg")
    place = Path(os.path.relpath(tmp_path / "s"))  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        with pytest.raises(UserError, match=r"cannot be read|not a file"):
            load_photo(place)
    for name in ("pipe.jpg", "sparse.jpg"):
        with pytest.raises(UserError, match=r"pipe, not a file|50,000 MB"):
            Folder(str(tmp_path)).read(name)

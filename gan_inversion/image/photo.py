"""Photographs of any camera or program -> upright 8-bit sRGB. Told by content, bounded before it is decoded."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

# The only decoders that are loaded. `Image.init` would load all of Pillow's, and that of EPS starts a program.
from PIL import (  # noqa: F401
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from ..errors import UserError
from ..storage import expanded, read_file
from .colour import to_srgb
from .tiff import RawError, main_picture

log = logging.getLogger(__name__)

# Pillow's names of what is read, told by content, and how such files are called. Nothing else is tried.
# MPO, what phones write when they add a depth map, is opened as JPEG.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jfif", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "AVIF": (".avif",),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
}
HEIC = (".heic", ".heif")  # read where pillow-heif is installed
RAW = (".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".orf", ".rw2", ".pef")
# Of photographs in folders, those that may not be readable too: better a named failure than a missing person.
SUFFIXES = (*chain.from_iterable(FORMATS.values()), *HEIC, *RAW)
WORKING_MEGAPIXELS = 16.0  # larger photographs are reduced while decoding: FFHQ crops are 1 megapixel
MAX_MEGAPIXELS = 400.0  # of a JPEG, which decodes at reduced size; other formats must be decoded whole
MAX_MEGAPIXELS_UNREDUCIBLE = 120.0
MAX_MEGAPIXELS_HEAVY = 50.0  # of formats whose decoders hold more than four bytes a pixel
HEAVY = ("AVIF", "HEIF", "JPEG2000", "WEBP", "progressive JPEG")
LARGEST = 500_000_000  # bytes of a file
SCANS = 100  # of a progressive JPEG; cameras and programs write about ten
BAND = 256  # rows that are converted at a time
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # of JPEG, without restarts and stuffed zeros
_RAW_STARTS = (
    b"FUJIFILMCCD-RAW",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
    b"FOVb",
    b"\0MRM",
)  # Fuji, Olympus, Panasonic, ...


@dataclass(frozen=True)
class Photo:
    """A photograph, upright, as 8-bit RGB."""

    pixels: np.ndarray  # uint8 [H, W, 3]
    name: str
    sha256: str  # of the file's bytes
    reduced: float = 1.0  # decoded size / original size


def load_photo(path: str | os.PathLike[str], whole: bool = False) -> Photo:
    """Read a photograph as a viewer shows it: turned by its orientation, its colour profile converted to sRGB; grey, RGBA
    (on white), 16-bit and CMYK become 8-bit RGB.

    Of several frames the first, of a TIFF's pictures the main one. Above `WORKING_MEGAPIXELS` it is reduced, unless
    `whole`. Raises UserError, naming the file and the remedy, if it is missing, no regular file, none of `FORMATS`,
    damaged, above a limit, or too large for the memory.
    """
    path = expanded(path)
    return decode_photo(read_file(path, LARGEST), path, whole)


def decode_photo(data: bytes, path: Path, whole: bool = False) -> Photo:
    """The same of a file's bytes; `path` is what messages call it."""
    if not data:
        raise UserError(f"{path}: the file is empty. Copy it again.")
    try:
        with _own_limits():
            image, turn = _opened(data, path)
            with image:
                pixels, reduced = _decode(image, path, data, turn, float("inf") if whole else WORKING_MEGAPIXELS)
    except UserError:
        raise
    except RawError:
        raise UserError(f"{path}: raw photograph: export it as JPEG.") from None
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: not an image that can be read. Use {', '.join(FORMATS)}.") from error
    except MemoryError as error:
        raise UserError(f"{path}: out of memory. Close other programs, or scale the picture down.") from error
    except Exception as error:  # decoders raise all kinds: AVIF's RuntimeError, struct.error, ZeroDivisionError
        raise UserError(
            f"{path}: the image is damaged ({str(error) or type(error).__name__}). Export or copy it again."
        ) from error
    return Photo(pixels, path.name, hashlib.sha256(data).hexdigest(), reduced)


def open_picture(data: bytes, formats: Iterable[str] = FORMATS) -> Image.Image:
    """A picture file's first frame, not decoded yet. Pillow's UnidentifiedImageError for any other format."""
    return Image.open(io.BytesIO(data), formats=[name for name in formats if name in Image.OPEN])


def _opened(data: bytes, path: Path) -> tuple[Image.Image, int]:
    """The picture, and how it is to be turned if it does not say itself (0: it is not)."""
    if data.startswith(_RAW_STARTS) or data[4:12] == b"ftypcrx ":  # the last: Canon's CR3
        raise RawError
    if _is_heic(data):
        try:
            from pillow_heif import HeifImagePlugin  # noqa: F401 (an extra, slow to import)
        except ImportError:
            raise UserError(
                f"{path}: this is a HEIC photo. Export it as JPEG or PNG, or install what reads it: "
                'pip install "gan-inversion[heic]".'
            ) from None
        return open_picture(data, ("HEIF",)), 0
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        data, turn = main_picture(data)
        try:
            return open_picture(data, ("TIFF",)), turn
        except UnidentifiedImageError:
            raise RawError from None
    return open_picture(data), 0


def _is_heic(data: bytes) -> bool:
    """By its brands, ISO/IEC 14496-12 4.3; AVIF has the same container, and maybe the same first brand."""
    brands = data[8:12], *(data[at : at + 4] for at in range(16, min(int.from_bytes(data[:4], "big"), 256), 4))
    return data[4:8] == b"ftyp" and b"avif" not in brands and any(brand in HEIC_BRANDS for brand in brands)


@contextmanager
def _own_limits() -> Iterator[None]:
    """The limits above in place of Pillow's, which warns at 89 megapixels and refuses phones' 200."""
    theirs, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = theirs


def _check_cost(image: Image.Image, path: Path, data: bytes) -> None:
    """Raises UserError for what would take more memory or time than photographs do."""
    kind = str(image.format)
    if kind in ("JPEG", "MPO"):
        scans = _scans(data)
        if scans > SCANS:
            raise UserError(f"{path}: a JPEG of more than {SCANS} scans, as no camera or program writes. Save it anew.")
        kind = "progressive JPEG" if scans > 3 else kind
    elif kind == "JPEG2000":
        _check_codestream(image, data)
    megapixels = image.width * image.height / 1e6
    limit = MAX_MEGAPIXELS if kind in ("JPEG", "MPO") else MAX_MEGAPIXELS_UNREDUCIBLE
    limit = min(limit, MAX_MEGAPIXELS_HEAVY) if kind in HEAVY else limit
    if megapixels > limit:
        raise UserError(f"{path}: {megapixels:.0f} megapixels; the limit for {kind} is {limit:.0f}. Scale it down.")


def _scans(data: bytes) -> int:
    """Of a JPEG up to its end, found as libjpeg finds them (ITU T.81 B.1.1): each is decoded over the whole picture."""
    scans, at = 0, 2
    for _ in range(10_000):
        found = MARKER.search(data, at)
        if found is None or found[1] == b"\xd9":
            break
        at = found.end()
        scans += found[1] == b"\xda"
        if scans > SCANS:
            break
        if found[1] not in (b"\x01", b"\xd8"):  # these two have no length
            at += int.from_bytes(data[at : at + 2], "big")
    return scans


def _check_codestream(image: Image.Image, data: bytes) -> None:
    """What a JPEG 2000 says outside, and inside, where it is decoded (ITU T.800 A.5.1), must be one size."""
    at = data.find(b"\xff\x4f\xff\x51")
    x1, y1, x0, y0 = (int.from_bytes(data[at + i : at + i + 4], "big") for i in (8, 12, 16, 20))
    components = int.from_bytes(data[at + 40 : at + 42], "big")
    if at < 0 or (x1 - x0, y1 - y0) != image.size or not 1 <= components <= 4:
        raise ValueError("its sizes contradict each other")


def _decode(image: Image.Image, path: Path, data: bytes, turn: int, most: float) -> tuple[np.ndarray, float]:
    """Upright pixels of at most about `most` megapixels, and how much smaller than the original they are."""
    _check_cost(image, path, data)
    size = width, height = image.size
    scale = min(1.0, (most * 1e6 / (width * height)) ** 0.5)
    if scale < 1 and image.format in ("JPEG", "MPO"):
        image.draft(
            "RGB" if image.mode in ("RGB", "YCbCr") else image.mode, (round(width * scale), round(height * scale))
        )
    if image.format != "MPO" and getattr(image, "is_animated", False):
        log.warning("%s: several pictures; the first is taken", path.name)
    image.seek(0)
    image.load()
    if image.format not in ("JPEG", "MPO") and image.size != size:
        raise ValueError("its sizes contradict each other")
    # Now: decoding a TIFF turns it, and PNG's may lie behind the pixels.
    orientation = turn or image.getexif().get(0x0112)
    profile = image.info.get("icc_profile")
    keeps_ink = profile is not None and image.mode == "CMYK"
    plain = image.copy() if keeps_ink else _to_rgb(image)
    if plain.width * plain.height > most * 1.1e6:
        plain = plain.resize((round(width * scale), round(height * scale)), Image.Resampling.BOX)
    reduced = plain.width / width
    if profile is not None:
        try:
            plain = to_srgb(plain, profile)
        except Exception as error:  # of LittleCMS, or struct's
            log.warning("%s: its colour profile is damaged (%s): ignored", path.name, error)
    rgb = plain if plain.mode == "RGB" else plain.convert("RGB")  # which would copy it
    if orientation in range(2, 9):
        exif = rgb.getexif()
        exif[0x0112] = orientation
        rgb = ImageOps.exif_transpose(rgb)
    return np.array(rgb), reduced  # a copy: Pillow's own memory is read-only


def _to_rgb(image: Image.Image) -> Image.Image:
    """In bands where a pixel takes many bytes on its way: large pictures must not take gigabytes."""
    if image.mode.startswith(("I", "F")):  # 16- and 32-bit grey: Pillow's own conversion clips instead of scaling
        tops = (float(np.nanmax(np.asarray(band), initial=1.0)) for band in _bands(image))
        top = 65535.0 if image.mode.startswith("I") else max(tops)

        def scaled(band: Image.Image) -> Image.Image:
            values = np.nan_to_num(np.asarray(band).astype(np.float64)) / top * 255.0
            return Image.fromarray(values.clip(0, 255).round().astype(np.uint8)).convert("RGB")

        return _in_bands(image, scaled)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:

        def on_white(band: Image.Image) -> Image.Image:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                layer = band.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")

        return _in_bands(image, on_white)
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _bands(image: Image.Image) -> Iterator[Image.Image]:
    for top in range(0, image.height, BAND):
        yield image.crop((0, top, image.width, min(top + BAND, image.height)))


def _in_bands(image: Image.Image, change: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """`change` of each band of rows, put together."""
    whole = Image.new("RGB", image.size)
    for number, band in enumerate(_bands(image)):
        whole.paste(change(band), (0, number * BAND))
    return whole

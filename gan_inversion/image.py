"""The only place where pictures become tensors and tensors become pictures."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .errors import UserError
from .storage import expanded, reason_of, write_atomically

# Pillow's names of what is read, told by content, and how such files are called. Nothing else is tried: Pillow starts a
# program for EPS. MPO, what phones write when they add a depth map, is opened as JPEG.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jfif", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "AVIF": (".avif",),
    "GIF": (".gif",),
}
# Of photographs in folders. HEIC cannot be read and is listed all the same: better a named failure than a missing person.
SUFFIXES = (*chain.from_iterable(FORMATS.values()), ".heic", ".heif")
WORKING_MEGAPIXELS = 16.0  # larger photographs are reduced while decoding: FFHQ crops are 1 megapixel
MAX_MEGAPIXELS = 400.0  # of a JPEG, which decodes at reduced size; other formats must be decoded whole
MAX_MEGAPIXELS_UNREDUCIBLE = 120.0
BAND = 256  # rows that are converted at a time
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # IPTC's term for it
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
COMPOSITE_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
SYNTHETIC = {"DigitalSourceType": DIGITAL_SOURCE_TYPE, "synthetic": True}
COMPOSITE = {"DigitalSourceType": COMPOSITE_SOURCE_TYPE, "synthetic": True}


@dataclass(frozen=True)
class Photo:
    """A photograph, upright, as 8-bit RGB."""

    pixels: np.ndarray  # uint8 [H, W, 3]
    name: str
    sha256: str  # of the file's bytes
    reduced: float = 1.0  # decoded size / original size
    profile: bytes = b""  # ICC, of RGB: what its numbers mean; they are taken as they are


def load_photo(path: str | os.PathLike[str], whole: bool = False) -> Photo:
    """Read a photograph: EXIF orientation applied; grey, RGBA (on white), 16-bit and CMYK become 8-bit RGB.

    Of several frames the first. Above `WORKING_MEGAPIXELS` it is reduced, unless `whole`. Raises UserError,
    naming the file and the remedy, if it is missing, none of `FORMATS`, damaged, above the pixel limit, or too large for the
    memory.
    """
    path = expanded(path)
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no disk can have
        raise UserError(f"{path}: cannot be read ({reason_of(error)}). Check the path.") from error
    return decode_photo(data, path, whole)


def decode_photo(data: bytes, path: Path, whole: bool = False) -> Photo:
    """The same of a file's bytes; `path` is what messages call it."""
    if not data:
        raise UserError(f"{path}: the file is empty. Copy it again.")
    if _is_heic(data):
        raise UserError(
            f"{path}: this is a HEIC photo, which is not read here. Export it as JPEG or PNG and try again."
        )
    try:
        with _own_limits(), open_picture(data) as image:
            profile = _rgb_profile(image)
            pixels, reduced = _decode(image, path, float("inf") if whole else WORKING_MEGAPIXELS)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: not an image that can be read. Use {', '.join(FORMATS)}.") from error
    except MemoryError as error:
        raise UserError(f"{path}: out of memory. Close other programs, or scale the picture down.") from error
    except Exception as error:  # decoders raise all kinds: AVIF's RuntimeError, struct.error, ZeroDivisionError
        raise UserError(
            f"{path}: the image is damaged ({str(error) or type(error).__name__}). Export or copy it again."
        ) from error
    return Photo(pixels, path.name, hashlib.sha256(data).hexdigest(), reduced, profile)


def open_picture(data: bytes, formats: Iterable[str] = FORMATS) -> Image.Image:
    """A picture file's first frame, not decoded yet. Pillow's UnidentifiedImageError for any other format."""
    Image.init()  # once: before it Pillow does not know which of these it was built with
    return Image.open(io.BytesIO(data), formats=[name for name in formats if name in Image.OPEN])


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


def _rgb_profile(image: Image.Image) -> bytes:
    """The ICC profile, where it is one of RGB (ICC.1:2022 7.2.6): a grey one says nothing of what is made of it."""
    profile = image.info.get("icc_profile") or b""
    return profile if isinstance(profile, bytes) and profile[16:20] == b"RGB " else b""


def _decode(image: Image.Image, path: Path, most: float) -> tuple[np.ndarray, float]:
    """Upright pixels of at most about `most` megapixels, and how much smaller than the original they are."""
    width, height = image.size
    megapixels = width * height / 1e6
    reducible = image.format in ("JPEG", "MPO")
    limit = MAX_MEGAPIXELS if reducible else MAX_MEGAPIXELS_UNREDUCIBLE
    if megapixels > limit:
        raise UserError(
            f"{path}: {megapixels:.0f} megapixels; the limit for {image.format} is {limit:.0f}. Scale it down."
        )
    scale = min(1.0, (most / megapixels) ** 0.5)
    if scale < 1 and reducible:
        image.draft(
            "RGB" if image.mode in ("RGB", "YCbCr") else image.mode, (round(width * scale), round(height * scale))
        )
    orientation = image.getexif().get(0x0112)
    image.load()
    rgb = _to_rgb(image)
    if rgb.width * rgb.height > most * 1.1e6:
        rgb = rgb.resize((round(width * scale), round(height * scale)), Image.Resampling.BOX)
    reduced = rgb.width / width
    if orientation in range(2, 9):
        exif = rgb.getexif()
        exif[0x0112] = orientation
        rgb = ImageOps.exif_transpose(rgb)
    return np.array(rgb), reduced  # a copy: Pillow's own memory is read-only


def _to_rgb(image: Image.Image) -> Image.Image:
    """In bands where a pixel takes many bytes on its way: large pictures must not take gigabytes."""
    if image.mode.startswith(("I", "F")):  # 16- and 32-bit grey: Pillow's own conversion clips instead of scaling
        top = 65535.0 if image.mode.startswith("I") else max(1.0, float(np.nanmax(np.asarray(image))))

        def scaled(band: Image.Image) -> Image.Image:
            values = np.nan_to_num(np.asarray(band).astype(np.float64)) / top * 255.0
            return Image.fromarray(values.clip(0, 255).round().astype(np.uint8)).convert("RGB")

        return _in_bands(image, scaled)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:

        def on_white(band: Image.Image) -> Image.Image:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                layer = band.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")

        return _in_bands(image, on_white)
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _in_bands(image: Image.Image, change: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """`change` of each band of rows, put together."""
    whole = Image.new("RGB", image.size)
    for top in range(0, image.height, BAND):
        whole.paste(change(image.crop((0, top, image.width, min(top + BAND, image.height)))), (0, top))
    return whole


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [H, W, 3] -> float32 [1, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 127.5 - 1


def to_uint8(image: Tensor) -> np.ndarray:
    """[1, 3, H, W] or [3, H, W], any range -> uint8 [H, W, 3]; values outside [-1, 1] are clamped."""
    flat = image.detach()[0] if image.ndim == 4 else image.detach()
    return ((flat.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def area_resize(image: Tensor, size: int) -> Tensor:
    """[N, 3, R, R] -> [N, 3, size, size] by area averaging; a whole ratio is an average pool, exact and fast."""
    side = image.shape[-1]
    if side == size:
        return image
    if side % size == 0:
        return F.avg_pool2d(image, side // size)
    if side < size:
        return F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False)
    return F.interpolate(image, size=(size, size), mode="area")


def resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [height, width, 3], by area averaging where it becomes smaller, else bicubic."""
    if pixels.shape[:2] == (height, width):
        return pixels
    way = cv2.INTER_AREA if pixels.shape[1] > width else cv2.INTER_CUBIC
    return cv2.resize(pixels, (width, height), interpolation=way)


def save_photo_crop(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """A crop of a real photograph: written as it is, and not marked as synthetic."""
    write_atomically(path, crop_bytes(pixels))


def crop_bytes(pixels: np.ndarray) -> bytes:
    """The same as bytes."""
    return _png(pixels, {})


def save_synthetic(path: str | os.PathLike[str], pixels: np.ndarray, facts: dict[str, Any]) -> None:
    """Write a PNG that says in three places that a generator made it: XMP, a text chunk, and a JSON file beside it.

    Metadata inside a PNG vanish when it is saved again by most programs; the JSON beside it does not.
    """
    texts = {"XML:com.adobe.xmp": xmp(), "Synthetic": json.dumps({**SYNTHETIC, **facts}, sort_keys=True)}
    write_atomically(path, _png(pixels, texts))
    mark_beside(path, facts)


def save_synthetic_jpeg(path: str | os.PathLike[str], pixels: np.ndarray, facts: dict[str, Any]) -> None:
    """The same as JPEG, which has room for the XMP and none for the text chunk."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, xmp=xmp().encode())
    write_atomically(path, buffer.getvalue())
    mark_beside(path, facts)


def save_composite(
    path: str | os.PathLike[str], pixels: np.ndarray, facts: dict[str, Any], profile: bytes = b""
) -> None:
    """A photograph with a part that a generator drew, marked as such in the same three places.

    Nothing of the photograph's EXIF is in it; `profile`, its colours, is. Written in bands: no second copy of the pixels.
    """
    marks = {**COMPOSITE, **facts}
    texts = {"XML:com.adobe.xmp": xmp(COMPOSITE_SOURCE_TYPE), "Synthetic": json.dumps(marks, sort_keys=True)}
    write_atomically(path, _png_in_bands(pixels, texts, profile))
    mark_beside(path, marks)


def _png_in_bands(pixels: np.ndarray, texts: Mapping[str, str], profile: bytes) -> Iterator[bytes]:
    """The PNG of uint8 [H, W, 3] piece by piece: filter Up and run lengths, as `_png` has OpenCV do."""
    height, width = pixels.shape[:2]
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])  # 8 bits, RGB
    yield b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
    if profile:
        yield _chunk(b"iCCP", b"ICC\0\0" + zlib.compress(profile))
    yield from _text_chunks(texts)
    packer, above = zlib.compressobj(1, strategy=zlib.Z_RLE), np.zeros((1, width, 3), np.uint8)
    for top in range(0, height, BAND):
        band = pixels[top : top + BAND]
        rows = np.full((len(band), 1 + 3 * width), 2, np.uint8)  # each begins with its filter
        rows[:, 1:] = (band - np.concatenate([above, band[:-1]])).reshape(len(band), -1)
        above = band[-1:]
        yield _chunk(b"IDAT", packer.compress(rows.tobytes()))
    yield _chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b"")


def mark_beside(path: str | os.PathLike[str], facts: dict[str, Any]) -> None:
    """`PATH.json`: that the file beside it is synthetic, and what made it."""
    write_atomically(f"{path}.json", (json.dumps({**SYNTHETIC, **facts}, indent=2, sort_keys=True) + "\n").encode())


def _png(pixels: np.ndarray, texts: Mapping[str, str]) -> bytes:
    """uint8 [H, W, 3] -> PNG with text chunks. By OpenCV, half of Pillow's fastest for the same size."""
    options = [
        cv2.IMWRITE_PNG_STRATEGY,
        cv2.IMWRITE_PNG_STRATEGY_RLE,
        cv2.IMWRITE_PNG_FILTER,
        cv2.IMWRITE_PNG_FILTER_UP,
    ]
    encoded, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    assert encoded
    chunks = b"".join(_text_chunks(texts))
    start = 33  # after the signature and the header, PNG specification 5.6
    return data[:start].tobytes() + chunks + data[start:].tobytes()


def _text_chunks(texts: Mapping[str, str]) -> Iterator[bytes]:
    return (_chunk(b"iTXt", f"{key}\0\0\0\0\0{text}".encode()) for key, text in texts.items())


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Length, type, data, CRC: PNG specification 5.3."""
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def xmp(source_type: str = DIGITAL_SOURCE_TYPE) -> str:
    """The packet that says, to programs that read metadata, that a generator made the picture, or part of it."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{source_type}"/></rdf:RDF></x:xmpmeta>'
    )

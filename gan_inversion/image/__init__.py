"""The only place where pictures become tensors and tensors become pictures."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..storage import write_atomically
from .photo import FORMATS, LARGEST, SUFFIXES, Photo, decode_photo, load_photo, open_picture

__all__ = ["FORMATS", "LARGEST", "SUFFIXES", "Photo", "decode_photo", "load_photo", "open_picture"]

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # IPTC's term for it
COMPOSITE_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
BAND = 256  # rows that are written at a time
SYNTHETIC = {"DigitalSourceType": DIGITAL_SOURCE_TYPE, "synthetic": True}
COMPOSITE = {"DigitalSourceType": COMPOSITE_SOURCE_TYPE, "synthetic": True}


class Mark(Protocol):
    """What signs pictures, beside the marks that they have anyway: `c2pa.C2PA`."""

    def sign(self, png: bytes, source_type: str) -> bytes:
        """A PNG -> the same, signed; source_type: one of the two above. Raises UserError."""


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


def save_synthetic(
    path: str | os.PathLike[str], pixels: np.ndarray, facts: dict[str, Any], mark: Mark | None = None
) -> None:
    """Write a PNG that says in three places that a generator made it: XMP, a text chunk, and a JSON file beside it.

    Metadata inside a PNG vanish when it is saved again by most programs; the JSON beside it does not. `mark` signs it too.
    """
    data = synthetic_bytes(pixels, facts)
    write_atomically(path, mark.sign(data, DIGITAL_SOURCE_TYPE) if mark else data)
    mark_beside(path, facts)


def synthetic_bytes(pixels: np.ndarray, facts: dict[str, Any]) -> bytes:
    """A PNG of uint8 [H, W, 3] that says twice that a generator made it."""
    texts = {"XML:com.adobe.xmp": xmp(), "Synthetic": json.dumps({**SYNTHETIC, **facts}, sort_keys=True)}
    return _png(pixels, texts)


def save_synthetic_jpeg(path: str | os.PathLike[str], pixels: np.ndarray, facts: dict[str, Any]) -> None:
    """The same as JPEG, which has room for the XMP and none for the text chunk."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, xmp=xmp().encode())
    write_atomically(path, buffer.getvalue())
    mark_beside(path, facts)


def save_composite(
    path: str | os.PathLike[str], pixels: np.ndarray, facts: dict[str, Any], mark: Mark | None = None
) -> None:
    """A photograph with a part that a generator drew, marked as such in the same three places.

    Nothing of the photograph's metadata is in it; its colours are sRGB already. Written in bands, without a second copy,
    unless it is signed.
    """
    marks = {**COMPOSITE, **facts}
    texts = {"XML:com.adobe.xmp": xmp(COMPOSITE_SOURCE_TYPE), "Synthetic": json.dumps(marks, sort_keys=True)}
    bands = _png_in_bands(pixels, texts)
    write_atomically(path, mark.sign(b"".join(bands), COMPOSITE_SOURCE_TYPE) if mark else bands)
    mark_beside(path, marks)


def _png_in_bands(pixels: np.ndarray, texts: Mapping[str, str]) -> Iterator[bytes]:
    """The PNG of uint8 [H, W, 3] piece by piece: filter Up and run lengths, as `_png` has OpenCV do."""
    height, width = pixels.shape[:2]
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])  # 8 bits, RGB
    yield b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
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

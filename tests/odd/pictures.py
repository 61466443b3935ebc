"""Odd pictures, made by code: colour profiles, TIFFs of several pictures, JPEGs of many scans."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

# Chromaticities of red, green, blue and white (x, y), and the exponent.
PROFILES: dict[str, tuple[tuple[tuple[float, float], ...], float]] = {
    "Display P3": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)), 2.2),
    "Adobe RGB": (((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), (0.3127, 0.3290)), 2.19921875),
    "ProPhoto": (((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585)), 1.8),
}
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def matrix_of(name: str) -> np.ndarray:
    """Linear RGB -> XYZ as a profile has it: adapted to D50 (ICC.1:2022 annex E)."""
    *primaries, white = [np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in PROFILES[name][0]]
    columns = np.stack(primaries, 1)
    columns = columns * np.linalg.solve(columns, white)
    gain = (BRADFORD @ D50) / (BRADFORD @ white)
    return np.linalg.inv(BRADFORD) @ np.diag(gain) @ BRADFORD @ columns


def profile(name: str) -> bytes:
    """An ICC profile, version 2, of one of PROFILES, or of "grey" with an exponent of 1.5."""
    if name == "grey":
        tags = {b"wtpt": _xyz(D50), b"kTRC": _curve(1.5)}
    else:
        columns = matrix_of(name).T
        tags = {b"wtpt": _xyz(D50)}
        for letter, column in zip(b"rgb", columns, strict=True):
            tags[bytes([letter]) + b"XYZ"] = _xyz(column)
            tags[bytes([letter]) + b"TRC"] = _curve(PROFILES[name][1])
    tags[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags[b"cprt"] = b"text" + bytes(4) + b"none\0"
    place, table, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for key, data in tags.items():
        data += bytes(-len(data) % 4)
        table += key + struct.pack(">II", place + len(body), len(data))
        body += data
    space = b"GRAY" if name == "grey" else b"RGB "
    head = struct.pack(">I4sI4s4s4s12x4s", 0, b"none", 0x02400000, b"mntr", space, b"XYZ ", b"acsp")
    head = (head + bytes(24) + struct.pack(">iii", *(round(v * 65536) for v in D50))).ljust(128, b"\0")
    return struct.pack(">I", len(head + table + body)) + (head + table + body)[4:]


def _xyz(values: Any) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(float(v) * 65536) for v in values))


def _curve(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256)) + bytes(2)


def in_srgb(pixels: np.ndarray, name: str) -> np.ndarray:
    """What `pixels` in a profile of PROFILES are in sRGB, by the definitions: uint8 [H, W, 3]."""
    to_xyz = matrix_of(name)
    PROFILES["sRGB"] = (((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290)), 2.2)
    linear = (pixels / 255.0) ** PROFILES[name][1] @ (np.linalg.inv(matrix_of("sRGB")) @ to_xyz).T
    del PROFILES["sRGB"]
    linear = linear.clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (curved * 255).round().astype(np.uint8)


def tiff(pictures: Sequence[tuple[np.ndarray, dict[int, int]]], sub: int | None = None, big: bool = False) -> bytes:
    """uint8 [H, W, 3] each, with more tags. sub: from this one on they are not in the chain but below the first."""
    out = bytearray(b"II+\0\x08\0\0\0" + bytes(8) if big else b"II*\0" + bytes(4))
    places, at, slot = [], [], ("<Q" if big else "<I")
    for pixels, more in pictures:
        strip = len(out)
        out += pixels.tobytes()
        out += bytes(len(out) % 2)
        height, width = pixels.shape[:2]
        tags = {256: width, 257: height, 259: 1, 262: 2, 273: strip, 277: 3, 278: height, 279: pixels.nbytes, **more}
        bits = len(out)
        out += struct.pack("<3H", 8, 8, 8) + bytes(2)
        last = not places and sub is not None
        fields = {k: (4, 1, v) for k, v in tags.items()} | {258: (3, 3, bits)}
        if big:
            fields[258] = (3, 3, 8 | 8 << 16 | 8 << 32)
        if last:
            fields[330] = (16 if big else 4, len(pictures) - sub, 0)
        places.append(len(out))
        out += struct.pack("<Q" if big else "<H", len(fields))
        for key in sorted(fields):
            kind, count, value = fields[key]
            if key == 330:
                at.append(len(out) + (12 if big else 8))
            out += struct.pack("<HHQQ" if big else "<HHII", key, kind, count, value)
        at.append(len(out))
        out += struct.pack(slot, 0)
    struct.pack_into(slot, out, 8 if big else 4, places[0])
    if sub is None:
        for here, following in zip(at, places[1:], strict=False):
            struct.pack_into(slot, out, here, following)
    elif len(places) == 2:
        struct.pack_into(slot, out, at[0], places[1])
    else:
        table = len(out)
        out += b"".join(struct.pack(slot, place) for place in places[sub:])
        struct.pack_into(slot, out, at[0], table)
    return bytes(out)


def jpeg_of_scans(scans: int, size: int = 64) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (200, 90, 40)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + b"\xff\xd9"

"""dlib's serialised face-recognition network -> named float32 arrays. Nothing is guessed: every size is in the file.

The file is a sequence of layers, input first, each beginning with its length-prefixed name. An integer is one byte (sign
and count) and that many little-endian bytes; a tensor is version 2, four dimensions, float32.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..errors import UserError

_LAYER = re.compile(rb"\x01[\x02-\x20](con_\d|affine_|fc_\d|avg_pool_\d|add_prev\d?_?\d?)")


@dataclass(frozen=True)
class Layer:
    kind: str  # con, affine, fc, avg_pool, add_prev
    values: np.ndarray  # float32, flat; empty where a layer has none


def read_layers(data: bytes) -> list[Layer]:
    """The layers in order. Raises UserError if the file is cut short or is none of dlib's networks."""
    layers = []
    for match in _LAYER.finditer(data):
        name = match[1].decode()
        if data[match.start() + 1] != len(name):
            continue  # a name inside of numbers
        kind = name.rstrip("_0123456789")
        layers.append(Layer(kind, _values(data, match.end(), kind)))
    if not layers:
        raise UserError("dlib network: no layer found in it.")
    return layers


def _values(data: bytes, at: int, kind: str) -> np.ndarray:
    if kind not in ("con", "affine", "fc"):
        return np.empty(0, np.float32)
    try:
        if kind == "fc":  # its two widths come before its tensor
            _, at = _integer(data, at)
            _, at = _integer(data, at)
        version, at = _integer(data, at)
        size = 1
        for _ in range(4):
            dimension, at = _integer(data, at)
            size *= dimension
        if version != 2 or size < 1 or at + 4 * size > len(data):
            raise IndexError
    except IndexError:
        raise UserError("dlib network: damaged or cut short.") from None
    return np.frombuffer(data, "<f4", size, at).copy()


def _integer(data: bytes, at: int) -> tuple[int, int]:
    count = data[at]
    if not 1 <= count <= 8:  # the sign bit is never set in a network
        raise IndexError
    value = int.from_bytes(data[at + 1 : at + 1 + count], "little")
    return value, at + 1 + count

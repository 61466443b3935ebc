"""The weights of an ONNX file, without its graph: OpenCV runs such files, but gives no gradients.

Only what is needed of the format (onnx.proto: ModelProto.graph = 7, GraphProto.initializer = 5; of TensorProto dims = 1,
data_type = 2, name = 8, raw_data = 9), for files whose hash the catalogue holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError

GRAPH, INITIALIZER = 7, 5
DIMS, DATA_TYPE, NAME, RAW_DATA = 1, 2, 8, 9
FLOAT = 1


def onnx_weights(path: Path) -> dict[str, Tensor]:
    """Name -> float32 tensor, of all initializers that are. Raises UserError naming the file if it is no such file."""
    found = {}
    try:
        for graph in _messages(path.read_bytes(), GRAPH):
            for tensor in _messages(graph, INITIALIZER):
                parts = list(_fields(tensor))
                if [value for number, value in parts if number == DATA_TYPE] != [FLOAT]:
                    continue
                shape = [size for number, value in parts if number == DIMS for size in _sizes(value)]
                blobs = {number: value for number, value in parts if not isinstance(value, int)}
                found[blobs[NAME].decode()] = torch.from_numpy(
                    np.frombuffer(blobs[RAW_DATA], "<f4").reshape(shape).copy()
                )
    except (OSError, ValueError, LookupError) as error:
        raise UserError(f"{path}: no ONNX file whose weights can be read ({error}). Fetch it anew.") from error
    return found


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    return (value for number, value in _fields(data) if number == wanted and not isinstance(value, int))


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a protobuf message: (number, integer or bytes)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise ValueError(f"damaged at byte {at}")
        yield number, data[at : at + size]
        at += size


def _sizes(value: int | bytes) -> list[int]:
    """A repeated integer, which may come packed."""
    if isinstance(value, int):
        return [value]
    sizes, at = [], 0
    while at < len(value):
        size, at = _varint(value, at)
        sizes.append(size)
    return sizes


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at

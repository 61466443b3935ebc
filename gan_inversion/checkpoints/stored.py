"""Tensors that still lie in a file: checked against their storage when they are read, copied out of it when needed."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from .stored_array import DIMENSIONS, Sealed, StoredArray

PIECE = 1 << 14  # numbers copied at a time: little enough that malloc takes the same memory again
TENSORS = 5_000  # of one checkpoint; the largest have a few hundred
NUMBERS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)  # of parameters and buffers that are read
KINDS = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "Untyped": torch.uint8,
}  # torch's names of storages


class Storage(Sealed):
    """Numbers of one type, side by side in a file. They may become known after the tensors that use them."""

    def __init__(self, dtype: torch.dtype, count: int, data: memoryview | None = None, crc: int | None = None) -> None:
        """crc: of the data, compared before they are first used."""
        self.dtype, self.count = dtype, count
        self._data, self._crc = data, crc

    def fill(self, data: memoryview) -> None:
        self._data = data

    @property
    def data(self) -> memoryview:
        """Raises UserError if they are not those that were written."""
        if self._data is None:
            raise UserError("it is damaged: a tensor's numbers are not in the file")
        if self._crc is not None and zlib.crc32(self._data) != self._crc:
            raise UserError("it is damaged: a checksum in it is wrong. Download or copy it again")
        self._crc = None
        return self._data


@dataclass(frozen=True, eq=False)
class StoredTensor(Sealed):
    """A tensor in a file: shape and strides in elements, as torch counts them. own: its type, if not the storage's."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    own: torch.dtype | None = None

    def __post_init__(self) -> None:
        """Raises UserError if it is none, reaches beyond its storage, or has more elements than that."""
        if not isinstance(self.storage, Storage) or type(self.shape) is not tuple or type(self.stride) is not tuple:
            raise UserError("it makes a tensor of what is no storage, size and stride")
        if len(self.shape) != len(self.stride) or len(self.shape) > DIMENSIONS:
            raise UserError("a tensor in it has other numbers of sizes and strides, or too many")
        numbers = (self.offset, *self.shape, *self.stride)
        if any(type(number) is not int or number < 0 for number in numbers):
            raise UserError("a tensor in it has a size, stride or offset that is no number of 0 or more")
        reach = self.offset + self.span if self.elements else 0
        size = self.dtype.itemsize
        stored = self.storage.count * self.storage.dtype.itemsize
        if reach * size > stored:
            raise UserError("a tensor in it reaches beyond its storage")
        if self.elements * size > stored:
            raise UserError(
                "a tensor in it was expanded to more numbers than are stored. Save it anew as a contiguous one"
            )

    @property
    def dtype(self) -> torch.dtype:
        return self.own or self.storage.dtype

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """Elements from its first to its last."""
        steps = zip(self.shape, self.stride, strict=True)
        return 1 + sum((size - 1) * step for size, step in steps) if self.elements else 0

    def load(self) -> Tensor:
        """A float32 copy. What other types need beside it stays small."""
        flat, size = torch.empty(self.span), self.dtype.itemsize
        for start in range(0, self.span, PIECE):
            piece = torch.empty(min(PIECE, self.span - start), dtype=self.dtype)
            first = (self.offset + start) * size
            part = self.storage.data[first : first + len(piece) * size]
            piece.view(torch.uint8).numpy()[:] = np.frombuffer(part, np.uint8)  # files do not align their numbers
            flat[start : start + len(piece)] = piece
        if self.span != self.elements:
            return flat.as_strided(self.shape, self.stride).contiguous()
        return flat.as_strided(self.shape, self.stride)


def as_float32(value: Any) -> Tensor:
    """A tensor or array of a checkpoint, as numbers of our own. Raises UserError for what holds no real numbers."""
    if isinstance(value, StoredTensor):
        if value.dtype not in NUMBERS:
            raise UserError(f"it holds a tensor of {value.dtype}, where real numbers belong")
        return value.load()
    value = np.asarray(value) if isinstance(value, StoredArray) else value
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiu":
            raise UserError(f"it holds an array of {value.dtype}, where real numbers belong")
        return torch.from_numpy(np.array(value, np.float32, order="C"))
    if isinstance(value, Tensor):
        if value.dtype not in NUMBERS:
            raise UserError(f"it holds a tensor of {value.dtype}, where real numbers belong")
        return value.detach().to(torch.float32, copy=True).contiguous()
    raise UserError(f"it holds a {type(value).__name__}, where a tensor belongs")


def elements_of(value: Any) -> int:
    """How many numbers `as_float32` may hold for it."""
    if isinstance(value, StoredTensor):
        return max(value.elements, value.span)
    value = np.asarray(value) if isinstance(value, StoredArray) else value
    return int(value.size) if isinstance(value, np.ndarray) else 0


def check_total(values: list[Any], file_size: int) -> None:
    """Many tensors may share one storage: together they must not be more than a file of float16 could hold.

    Raises UserError.
    """
    if len(values) > TENSORS:
        raise UserError(f"it has {len(values):,} tensors, far more than any generator")
    if 4 * sum(map(elements_of, values)) > 2 * file_size + 16_000_000:
        raise UserError("its tensors overlap: together they are many times as large as the file")

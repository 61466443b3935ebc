"""Arrays in files of NumPy and torch, as other projects write latents and directions: read as numbers, bounded first."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import UserError
from ..storage import read_file
from .checkpoint import printable
from .foreign import read_tree
from .stored import StoredTensor, as_float32, check_total
from .stored_array import StoredArray

LARGEST = 1_000_000_000  # bytes of a file, and of what is inflated of it
ARRAYS, DEPTH = 10_000, 4


def read_arrays(path: Path) -> dict[str, Tensor]:
    """Name -> float32 tensor, of .npy (called ""), .npz, and what torch or pickle saved: dicts by key, lists by number.

    Raises UserError, naming the file: unreadable, damaged, too large, or holding anything but real numbers.
    """
    data = read_file(path, LARGEST)
    try:
        found = dict(_arrays(data))
        check_total(list(found.values()), max(len(data), sum(a.nbytes for a in found.values() if hasattr(a, "nbytes"))))
        return {name: as_float32(value) for name, value in found.items()}
    except UserError as error:
        raise UserError(f"{path}: {printable(str(error)).rstrip('.')}.") from None
    except Exception as error:  # whatever NumPy, zipfile and zlib raise for what is damaged
        reason = printable(str(error))[:100]
        raise UserError(f"{path}: no arrays of numbers, or damaged ({type(error).__name__}: {reason}).") from None


def _arrays(data: bytes) -> Iterator[tuple[str, Any]]:
    if data.startswith(b"\x93NUMPY"):
        yield "", _npy(data)
    elif data.startswith(b"PK") and (members := _npz(data)) is not None:
        yield from members.items()
    else:
        yield from _walked("", read_tree(data), 0)


def _npz(data: bytes) -> dict[str, np.ndarray] | None:
    """None: a zip of something else, such as torch's."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if not members or not all(member.filename.endswith(".npy") for member in members):
            return None
        if sum(member.file_size for member in members) > LARGEST or len(members) > ARRAYS:
            raise UserError(f"its arrays are more than {ARRAYS:,}, or would take more than {LARGEST / 1e6:,.0f} MB")
        found = {}
        for member in members:
            with archive.open(member) as file:
                found[member.filename.removesuffix(".npy")] = _npy(file.read(member.file_size))
        return found


def _npy(data: bytes) -> np.ndarray:
    """A view, of exactly the bytes that are there."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject or dtype.kind not in "fiu":
        raise UserError(f"it is an array of {dtype}, where real numbers belong")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise UserError(f"it is cut off, or no array of the shape {list(shape)}")
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if fortran else "C")


def _walked(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, StoredArray):
        yield name, np.asarray(value)
    elif isinstance(value, StoredTensor):
        yield name, value
    elif isinstance(value, dict | list | tuple) and depth < DEPTH and len(value) <= ARRAYS:
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(part, StoredArray | StoredTensor | dict | list | tuple):
                yield from _walked(f"{name}.{key}" if name else str(key), part, depth + 1)

"""NumPy's arrays and types in pickles: views of the file, of numbers only."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import numpy as np

from ..errors import UserError

DIMENSIONS = 8


class Sealed:
    """What a pickle cannot change: without this, it could set any attribute (BUILD)."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise UserError(f"it sets the content of a {type(self).__name__}, which is complete")


class DType(Sealed):
    """numpy.dtype(code), to which the byte order is told afterwards."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, *_: Any) -> None:
        if type(code) is not str or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)", code):
            raise UserError("it holds NumPy arrays of something else than numbers (such as objects)")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        """state: (version, byte order, subarray, names, fields, size, alignment, flags)."""
        if type(state) is not tuple or state[1] not in ("<", ">", "|", "=") or any(x is not None for x in state[2:5]):
            raise UserError("it holds a NumPy type with fields, or a damaged one")
        self.dtype = self.dtype.newbyteorder(state[1])


class StoredArray(Sealed):
    """A NumPy array in a file: `np.asarray` of it is a read-only view. Its content may be told afterwards."""

    __slots__ = ("_array",)

    def __setstate__(self, state: Any) -> None:
        """state: (version, shape, dtype, Fortran order?, bytes)."""
        if type(state) is not tuple or len(state) not in (4, 5):
            raise UserError("it holds a damaged NumPy array")
        shape, dtype, fortran, data = state[-4:]
        self.fill(data, dtype, shape, "F" if fortran is True or fortran == 1 else "C")

    def fill(self, data: Any, dtype: Any, shape: Any, order: Literal["C", "F"] = "C", axes: Any = None) -> None:
        """A view, so that no shape can take memory; it must use up the data exactly. axes: their order in the data.

        Raises UserError; ValueError if axes are twice the same.
        """
        shape = (shape,) if type(shape) is int else shape
        if not isinstance(dtype, DType) or type(data) not in (bytes, memoryview):
            raise UserError("it holds a damaged NumPy array")
        if type(shape) is not tuple or len(shape) > DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
            raise UserError("it holds a NumPy array of an impossible shape")
        if math.prod(shape) * dtype.dtype.itemsize != len(data):
            raise UserError("it holds a NumPy array whose shape does not fit its data")
        axes = range(len(shape)) if axes is None else axes
        if type(axes) not in (tuple, range) or len(axes) != len(shape) or any(type(n) is not int for n in axes):
            raise UserError("it holds a NumPy array of an impossible order of axes")
        self._array = np.frombuffer(data, dtype.dtype).reshape(shape, order=order).transpose(axes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if not hasattr(self, "_array"):
            raise UserError("it is cut off: a NumPy array in it has no content")
        return np.array(self._array, dtype, copy=copy)

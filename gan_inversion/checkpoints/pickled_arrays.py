"""NumPy's arrays, types and scalars in pickles: views of the file, of numbers only."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from ..errors import UserError
from .pickle_machine import Global, Machine, Shell
from .stored import DIMENSIONS

Args = tuple[Any, ...]


class _DtypeShell(Shell):
    def __init__(self, dtype: np.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def built(self, state: Any) -> np.dtype:
        """state: (version, byte order, subarray, names, fields, size, alignment, flags)."""
        if type(state) is not tuple or state[1] not in ("<", ">", "|", "=") or any(x is not None for x in state[2:5]):
            raise UserError("it holds a NumPy type with fields, or a damaged one")
        return self.dtype.newbyteorder(state[1])


def dtype(machine: Machine, args: Args) -> _DtypeShell:
    code = args[0]
    if type(code) is not str or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)", code):
        raise UserError("it holds NumPy arrays of something else than numbers (such as objects)")
    return _DtypeShell(np.dtype(code))


def _numbers(data: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    """A view, so that no shape can take memory; it must use up the data exactly."""
    dtype = dtype.dtype if isinstance(dtype, _DtypeShell) else dtype
    shape = (shape,) if type(shape) is int else shape
    if not isinstance(dtype, np.dtype) or type(data) not in (bytes, memoryview):
        raise UserError("it holds a damaged NumPy array")
    if type(shape) is not tuple or len(shape) > DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
        raise UserError("it holds a NumPy array of an impossible shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise UserError("it holds a NumPy array whose shape does not fit its data")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


class _ArrayShell(Shell):
    def built(self, state: Any) -> np.ndarray:
        """state: (version, shape, dtype, Fortran order?, bytes)."""
        if type(state) is not tuple or len(state) not in (4, 5):
            raise UserError("it holds a damaged NumPy array")
        shape, dtype, fortran, data = state[-4:]
        return _numbers(data, dtype, shape, bool(fortran is True or fortran == 1))


def reconstruct(machine: Machine, args: Args) -> _ArrayShell:
    """NumPy would allocate the shape in `args` here; it is ignored, as the true one follows."""
    if not args or not isinstance(args[0], Global) or args[0].name != "numpy.ndarray":
        raise UserError("it holds an array of a class that is not NumPy's")
    return _ArrayShell()


def from_buffer(machine: Machine, args: Args) -> np.ndarray:
    """NumPy's `_frombuffer`; order "K": the axes of what lies in the data in C's order are then permuted."""
    data, dtype, shape, order, *axes = args
    array = _numbers(data, dtype, shape, order == "F")
    if order == "K" and axes and axes[0] is not None:
        if type(axes[0]) is not tuple or sorted(axes[0]) != list(range(array.ndim)):
            raise UserError("it holds a NumPy array of an impossible order of axes")
        array = array.transpose(axes[0])
    return array


def scalar(machine: Machine, args: Args) -> Any:
    dtype, data = args
    return _numbers(data, dtype, (), False).item()

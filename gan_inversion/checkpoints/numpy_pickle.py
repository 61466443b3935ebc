"""Pickles of nested dicts of NumPy arrays, read without running anything they contain."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from ..interfaces import UserError

_RECONSTRUCT = np.empty(0).__reduce__()[0]  # where NumPy keeps it has changed its name; the function has not
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise UserError(f"pickle refused: it asks for {module}.{name}, and only NumPy arrays are read.") from None


def read_arrays(data: bytes) -> dict[str, Any]:
    """The nested dict in a pickle. Raises UserError if it contains anything but dicts, numbers and NumPy arrays."""
    try:
        tree = _ArraysOnly(io.BytesIO(data)).load()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"pickle refused: damaged ({type(error).__name__}: {error}).") from error
    if not isinstance(tree, dict):
        raise UserError(f"pickle refused: holds a {type(tree).__name__}, not a dict of arrays.")
    return tree

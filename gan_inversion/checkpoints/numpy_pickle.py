"""Pickles of nested dicts of NumPy arrays, read without running anything they contain."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from .plain_pickle import read_pickle


def read_arrays(data: bytes) -> dict[str, Any]:
    """The nested dict in a pickle; its arrays are read-only views of `data`.

    Raises UserError if it contains anything but plain data and NumPy arrays.
    """
    try:
        tree, _ = read_pickle(memoryview(data))
    except UserError as error:
        raise UserError(f"pickle refused: {error}.") from None
    if not isinstance(tree, dict):
        raise UserError(f"pickle refused: holds a {type(tree).__name__}, not a dict of arrays.")
    return tree

"""Pickles of nested dicts of NumPy arrays: what `plain_pickle` reads, and nothing else in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..interfaces import UserError
from .pickle_rules import ArrayShell
from .plain_pickle import read_bytes

MAX_DEPTH = 10


def read_arrays(data: bytes) -> dict[str, Any]:
    """The nested dict in a pickle. Raises UserError if it contains anything but dicts, numbers and NumPy arrays."""
    tree = read_bytes(data)
    if not isinstance(tree, dict):
        raise UserError(f"pickle refused: holds a {type(tree).__name__}, not a dict of arrays.")
    return {str(key): _plain(value, 1) for key, value in tree.items()}


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, ArrayShell):
        return value.array
    if isinstance(value, dict) and depth < MAX_DEPTH:
        return {str(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (int, float, str, np.ndarray)):
        return value
    raise UserError(f"pickle refused: holds a {type(value).__name__}, and only NumPy arrays are read.")

"""Safetensors files of this project: one reader for all of them, which believes nothing that their headers say."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ..errors import UserError
from . import read_file

HEADER = 20_000_000  # bytes; of trainings, whose curve stands in it
TENSORS = 20_000
NUMBERS = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
}
OURS = "gan_inversion"  # the entry of the header that is this project's
WORDS = {str: "text", dict: "an object", list: "a list", float: "a number", bool: "true or false"}
T = TypeVar("T")


@dataclass(frozen=True)
class Note:
    """A JSON object of a header. Each value is asked for with its type; what is missing or of another is a UserError."""

    file: str
    values: Mapping[str, Any]

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """default: where there is no such key; without it that is an error, too. Whole numbers are numbers."""
        value = self.values.get(key, default)
        fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        if not fits or (isinstance(value, bool) and kind is not bool):
            raise UserError(
                f"{self.file}: its header does not say {key}, as {WORDS[kind]}. Make or fetch the file again."
            )
        return value


@dataclass(frozen=True)
class TensorFile:
    """What a safetensors file holds."""

    name: str  # what messages call it
    tensors: dict[str, Tensor]  # of real numbers
    entries: dict[str, str]  # of the header's metadata
    sha256: str

    def note(self, entry: str = OURS) -> Note:
        """An entry of the metadata; empty if there is none. Raises UserError if it is no JSON object."""
        return Note(self.name, _object(self.entries.get(entry, "{}"), self.name))


def read_tensors(path: str | os.PathLike[str]) -> TensorFile:
    """Raises UserError, naming the file: missing, no regular file, no safetensors file, damaged."""
    return parse_tensors(read_file(path), str(path))


def parse_tensors(data: bytes, name: str) -> TensorFile:
    """The same of a file's bytes."""
    size = int.from_bytes(data[:8], "little")
    if not 2 <= size <= min(len(data) - 8, HEADER):
        raise UserError(f"{name}: not a safetensors file, or damaged (its header is cut off, or too large).")
    header = _object(data[8 : 8 + size], name)
    entries = header.pop("__metadata__", None) or {}
    if not isinstance(entries, dict) or not all(isinstance(value, str) for value in entries.values()):
        raise UserError(f"{name}: not a safetensors file, or damaged (the metadata in its header are no texts).")
    if len(header) > TENSORS:
        raise UserError(f"{name}: it has {len(header):,} tensors, more than any file of this project.")
    try:
        tensors = load(data)
    except (SafetensorError, LookupError, RuntimeError, TypeError, ValueError) as error:  # KeyError: an unknown type
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name}: not a safetensors file, or damaged ({reason}).") from error
    for key, tensor in tensors.items():
        if tensor.dtype not in NUMBERS:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UserError(f"{name}: {key[:100]} is {kind}, which no file of this project has.")
    return TensorFile(name, dict(sorted(tensors.items())), entries, hashlib.sha256(data).hexdigest())


def _object(text: bytes | str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{name}: not a safetensors file, or damaged (its header is no JSON object).")
    return value

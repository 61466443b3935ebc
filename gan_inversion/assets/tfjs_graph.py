"""A TensorFlow.js graph model -> named float32 arrays: a JSON manifest and one file of plain little-endian numbers."""

from __future__ import annotations

import json

import numpy as np

from ..errors import UserError

_TYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4"}


def read_weights(manifest: bytes, binary: bytes) -> dict[str, np.ndarray]:
    """Weights by name, as float32. Raises UserError if the files do not belong together."""
    try:
        entries = [entry for group in json.loads(manifest)["weightsManifest"] for entry in group["weights"]]
        found, at = dict[str, np.ndarray](), 0
        for entry in entries:
            kind = np.dtype(_TYPES[entry.get("quantization", entry)["dtype"]])
            count = int(np.prod(entry["shape"], dtype=np.int64))
            values = np.frombuffer(binary, kind, count, at)
            found[entry["name"]] = values.reshape(entry["shape"]).astype(np.float32)
            at += count * kind.itemsize
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"TensorFlow.js model: damaged, or its two files do not fit ({error}).") from error
    if at != len(binary):
        raise UserError(f"TensorFlow.js model: {len(binary) - at} bytes that no weight claims.")
    return found

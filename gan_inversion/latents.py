"""Latents in files, and the hashes by which results are known."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .image import write_atomically
from .interfaces import Inversion, UserError


def describe(component: Any) -> dict[str, Any]:
    """Class and fields of a frozen dataclass, as JSON values."""
    kind = type(component)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", **dataclasses.asdict(component)}


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hash_of_ws(ws: Tensor) -> str:
    """Of the numbers, wherever they are."""
    return hash_of(ws.detach().cpu().contiguous().numpy().tobytes())


def face_bytes(pixels: np.ndarray) -> bytes:
    """Shape and values of a picture, for hashing."""
    return repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()


def to_json(value: Any) -> bytes:
    """Readable, and the same bytes for the same value."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def save_latents(
    path: Path, latents: Mapping[str, torch.Tensor], generator_sha256: str, interrupted: bool = False
) -> None:
    """Named ws [L, D] in one safetensors file, with the generator they belong to, and whether they were cut short.

    One metadata entry: safetensors does not keep the order of several, and equal latents are to be equal files.
    """
    tensors = {name: ws.clone() for name, ws in latents.items()}  # two names may share one inversion
    facts = json.dumps({"generator_sha256": generator_sha256, "interrupted": interrupted}, sort_keys=True)
    write_atomically(path, save(tensors, {"gan_inversion": facts}))


def load_latents(path: str | Path, name: str) -> Inversion:
    """The ws called `name` (or "ws") of a file that `save_latents` wrote. Raises UserError naming the file."""
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            facts = json.loads((file.metadata() or {}).get("gan_inversion", "{}"))
            found = next((n for n in (name, "ws") if n in names), None)
            if found is None:
                raise UserError(f"{path}: no latents called {name}; it has {', '.join(names)}.")
            stopped = "interrupted" if facts.get("interrupted") else "budget"
            return Inversion(file.get_tensor(found), facts.get("generator_sha256", ""), stopped=stopped)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{path}: not a file of stored latents ({error}).") from error

"""Latents in files, and the hashes by which results are known."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from .errors import UserError
from .interfaces import Generator, Inversion, Latents
from .storage import content_of, expanded, write_atomically
from .storage.tensors import read_tensors

NAMES_A_FILE = {"file": True}  # metadata of a component's field: a path, or an entry of the catalogue


def describe(component: Any) -> dict[str, Any]:
    """What a component is and how it is set, as JSON values for keys of results: where its code lies does not count.

    Its `name` is that of its option; `version`, where it has one, rises when its arithmetic changes. A field that names
    a file (`NAMES_A_FILE`) counts by what is in the file. A component whose settings do not all matter says which do by a
    method `settings`.
    """
    fields = component.settings() if hasattr(component, "settings") else settings_of(component)
    return {"name": component.name, "version": getattr(component, "version", 1), **fields}


def settings_of(component: Any) -> dict[str, Any]:
    """Field -> value, files by their content."""
    values = {field: getattr(component, field.name) for field in dataclasses.fields(component)}
    return {
        field.name: content_of(str(value)) if value is not None and field.metadata == NAMES_A_FILE else value
        for field, value in values.items()
    }


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hash_of_ws(ws: Tensor) -> str:
    """Of the numbers, wherever they are."""
    return hash_of(ws.detach().cpu().contiguous().numpy().tobytes())


def hash_of_latents(latents: Latents) -> str:
    """Of all the numbers."""
    offset = "" if latents.style_offset is None else hash_of_ws(latents.style_offset)
    features = "" if latents.features is None else hash_of_ws(latents.features)
    tuning = "" if latents.tuning is None else "tuning " + hash_of_ws(latents.tuning)
    return hash_of_ws(latents.ws) + offset + "".join(map(hash_of_ws, latents.noise)) + features + tuning


def face_bytes(pixels: np.ndarray) -> bytes:
    """Shape and values of a picture, for hashing."""
    return repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()


def to_json(value: Any) -> bytes:
    """Readable, and the same bytes for the same value."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


LARGEST = 1e5  # of any number in latents; those of photographs have a few hundred
STYLES, NOISE, FEATURES, TUNING = (
    ".style_offset",
    ".noise.",
    ".features",
    ".tuning",
)  # after a name: its other tensors


def save_latents(path: Path, latents: Mapping[str, Latents], generator_sha256: str, interrupted: bool = False) -> None:
    """Named latents in one safetensors file, with the generator they belong to, and whether they were cut short.

    One metadata entry: safetensors does not keep the order of several, and equal latents are to be equal files.
    """
    tensors = {
        name: one.ws.detach().cpu().clone() for name, one in latents.items()
    }  # two names may share one inversion
    for name, one in latents.items():
        if one.style_offset is not None:
            tensors[name + STYLES] = one.style_offset.detach().cpu().clone()
        if one.features is not None:
            tensors[name + FEATURES] = one.features.detach().cpu().clone()
        if one.tuning is not None:
            tensors[name + TUNING] = one.tuning.detach().cpu().clone()
        tensors |= noise_tensors(one.noise, name + NOISE)
    facts = json.dumps({"generator_sha256": generator_sha256, "interrupted": interrupted}, sort_keys=True)
    write_atomically(path, save(tensors, {"gan_inversion": facts}))


def load_latents(path: str | Path, name: str) -> Inversion:
    """The latents called `name` (or "ws") of a file that `save_latents` wrote. Raises UserError naming the file."""
    everything = load_all_latents(path)
    found = everything.get(name) or everything.get("ws")
    if found is None:
        raise UserError(f"{path}: no latents called {name}; it has {', '.join(everything)}.")
    return found


def split_entry(entry: str) -> tuple[str, str | None]:
    """FILE:NAME -> (file, name); FILE -> (file, None), also where the file's own name has a colon."""
    file, colon, name = entry.rpartition(":")
    return (file, name) if colon and not expanded(entry).exists() else (entry, None)


def latents_at(entry: str) -> Inversion:
    """FILE:NAME, or FILE for what `invert.py` wrote of one photograph. Raises UserError naming the file and its names."""
    file, name = split_entry(entry)
    if name is None:
        return load_latents(file, "ws")
    everything = load_all_latents(file)
    if name not in everything:
        raise UserError(f"{file}: no latents called {name}; it has {', '.join(everything)}.")
    return everything[name]


class OtherContentError(UserError):
    """A file that is whole and holds something else than latents."""


def load_all_latents(path: str | Path) -> dict[str, Inversion]:
    """All latents of a file that `save_latents` wrote, by name.

    Raises UserError naming the file: unreadable, damaged, numbers that are not finite; OtherContentError if it is none.
    """
    try:
        file = read_tensors(path)
    except UserError as error:
        raise UserError(f"{path}: not a file of stored latents ({str(error).removeprefix(f'{path}: ')})") from error
    tensors = file.tensors
    try:
        facts = file.note()
        generator, stopped = facts.get("generator_sha256", str), facts.get("interrupted", bool, False)
    except UserError as error:
        raise OtherContentError(f"{path}: not a file of stored latents, which invert and family write.") from error
    if "kind" in facts.values or not generator:  # "kind": trained parts have it
        raise OtherContentError(f"{path}: not a file of stored latents, which invert and family write.")
    names = [name for name in tensors if not name.endswith((STYLES, FEATURES, TUNING)) and not _is_noise(name, tensors)]
    for name, tensor in tensors.items():
        problem = problem_with(tensor, 1 if name.endswith(STYLES) else 3 if name.endswith(FEATURES) else 2)
        if problem:
            raise UserError(f"{path}: not a file of stored latents, or damaged: {name} {problem}.")
    return {
        name: Inversion(
            tensors[name],
            generator,
            stopped="interrupted" if stopped else "budget",
            style_offset=tensors.get(name + STYLES),
            noise=noise_from(tensors, name + NOISE),
            features=tensors.get(name + FEATURES),
            tuning=tensors.get(name + TUNING),
        )
        for name in names
    }


def problem_with(tensor: Tensor, dimensions: int) -> str:
    """What keeps a stored tensor from being latents or another part of them (features have 3 dimensions); empty: nothing."""
    wanted = torch.float16 if dimensions == 3 else torch.float32
    if tensor.dtype != wanted or tensor.ndim != dimensions or not tensor.numel():
        return f"is {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
    if not bool(tensor.isfinite().all()):
        return "has numbers that are not finite"
    return "" if float(tensor.abs().max()) <= LARGEST else f"has numbers above {LARGEST:g}, as no latents have"


@torch.no_grad()
def check_shape(latents: Latents, generator: Generator, what: str) -> None:
    """Raises UserError, which begins with `what`, unless rows, styles and noise maps are as many as this generator has."""
    if latents.ws.shape != (generator.num_ws, generator.w_dim):
        raise UserError(
            f"{what}: {list(latents.ws.shape)} do not fit {generator.name}, which has {generator.num_ws} rows of "
            f"{generator.w_dim} numbers."
        )
    offset, noise = latents.style_offset, [tuple(one.shape) for one in latents.noise]
    if offset is not None and offset.shape != generator.style_rows.shape:
        raise UserError(
            f"{what}: {len(offset)} styles do not fit {generator.name}, which has {len(generator.style_rows)}."
        )
    if latents.tuning is not None and latents.tuning.shape != (2, len(generator.channel_sides)):
        raise UserError(f"{what}: their tuned copy is not one of {generator.name}.")
    if noise and noise != [tuple(one.shape[-2:]) for one in generator.noise_maps()]:
        raise UserError(f"{what}: their noise maps do not fit those of {generator.name}.")
    features = latents.features
    if features is not None:
        sides = [side for side in generator.feature_sides if features.shape[:2] == (side, side)]
        own = generator.features(latents.ws[None].to(generator.device), sides)[0].shape[1:] if sides else None
        if features.shape != own:
            raise UserError(f"{what}: their features {list(features.shape)} do not fit those of {generator.name}.")


def _is_noise(name: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a tensor is a noise map of another; a photograph may be called a.noise.b."""
    base, dot, number = name.rpartition(NOISE)
    return bool(dot) and number.isdecimal() and base in tensors


def noise_tensors(noise: Sequence[Tensor], prefix: str) -> dict[str, Tensor]:
    """Noise maps as named tensors of a file."""
    return {f"{prefix}{i}": one.detach().cpu().clone() for i, one in enumerate(noise)}


def noise_from(tensors: Mapping[str, Tensor], prefix: str) -> tuple[Tensor, ...]:
    """The noise maps that `noise_tensors` named."""
    names = takewhile(tensors.__contains__, (f"{prefix}{i}" for i in count()))
    return tuple(tensors[name] for name in names)


@torch.no_grad()
def render(generator: Generator, latents: Latents, resolution: int | None = None) -> Tensor:
    """One face's picture, [1, 3, R, R], on the generator's device. Raises UserError if it is none."""
    ws = latents.ws[None].to(generator.device)
    noise = [one[None, None].to(generator.device) for one in latents.noise] or None
    styles = features = tuning = None
    if latents.style_offset is not None:
        styles = generator.styles(ws) + latents.style_offset[None].to(generator.device)
    if latents.features is not None:
        features = latents.features[None].to(generator.device, torch.float32)
    if latents.tuning is not None:
        tuning = latents.tuning.to(generator.device)
    image = generator.synthesis(ws, noise, resolution, styles, features, tuning)
    if not bool(image.isfinite().all()):
        raise UserError(f"{generator.name} draws no picture of these latents: its numbers are not finite.")
    return image

"""Small networks that this project trained: safetensors that know which generator they belong to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from ..errors import UserError
from ..interfaces import Generator
from ..storage import expanded, write_atomically
from ..storage.tensors import read_tensors
from .catalogue import checked_path, read_catalogue

WITHOUT = {  # what a file is -> what to say to do without it, to whatever command reads it
    "encoder": "start=mean",
    "directions": "child.age=null child.gender=null",
    "regions": "inherit.path=null",
    "people": "inherit.people=null",
    "preview heads": "generator.preview_heads=null",
}


@dataclass(frozen=True)
class Trained:
    tensors: dict[str, Tensor]  # float32
    facts: dict[str, Any]
    sha256: str  # of the file


def save_trained(path: Path, kind: str, module: nn.Module, generator: Generator, facts: Mapping[str, Any]) -> None:
    """Parameters as float16, buffers as they are."""
    parameters = dict(module.named_parameters())
    tensors = {name: tensor.half() if name in parameters else tensor for name, tensor in module.state_dict().items()}
    save_tensors(path, kind, tensors, generator, facts)


def save_tensors(
    path: Path, kind: str, tensors: Mapping[str, Tensor], generator: Generator, facts: Mapping[str, Any]
) -> None:
    """Tensors as they are; the header says what they are, of which generator, and how they were made."""
    header = {
        "kind": kind,
        "generator_sha256": generator.sha256,
        "licence": f"derived from the generator: {generator.licence}",
        "facts": dict(facts),
    }
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One entry: safetensors does not keep the order of several, and equal trainings must give equal files.
    write_atomically(path, save(contiguous, {"gan_inversion": json.dumps(header, sort_keys=True)}))


def load_trained(name: str, kind: str, generator: Generator) -> Trained:
    """`name`: an entry of the catalogue (hash checked) or a path ending in .safetensors.

    Raises UserError if the file is missing, damaged, of another kind, or was trained for another generator, and for
    numbers that are not finite.
    """
    path = expanded(name) if name.endswith(".safetensors") else None
    if path is None and name not in read_catalogue():
        raise UserError(f"{name}: neither in weights/catalogue.yaml nor a path that ends in .safetensors.")
    path = path or checked_path(name)
    file = read_tensors(path)
    header = file.note()
    found = header.get("kind", str, "no trained part of this project")[:100]
    if found != kind:
        raise UserError(f"{path}: this is {found}, not {kind}.")
    facts, trained_for = header.get("facts", dict), header.get("generator_sha256", str)
    if trained_for != generator.sha256:
        raise UserError(
            f"{path}: trained for another generator.\n  this generator  {generator.sha256}\n"
            f"  trained for     {trained_for}\n"
            f"Go without: {WITHOUT.get(kind, 'leave it out')}. Or make it anew for this one."
        )
    tensors = {key: tensor.float() for key, tensor in file.tensors.items()}
    for key, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise UserError(f"{path}: damaged: {key} has numbers that are not finite. Make or fetch it again.")
    return Trained(tensors, facts, file.sha256)


@contextmanager
def whole(name: str, kind: str) -> Iterator[None]:
    """Raises UserError for whatever goes wrong inside: tensors or facts of `name` are missing, or have other shapes."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        raise UserError(
            f"{name}: not whole {kind} ({type(error).__name__}: {reason}). Make or fetch it again."
        ) from error

"""Any StyleGAN checkpoint -> `Checkpoint`, its format known by what is in it, not by its name. Nothing of it is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..interfaces import UserError
from ..storage import write_atomically
from . import nvidia_tf, nvidia_torch, rosinality
from .catalogue import sha256_of_file
from .checkpoint import FAMILIES, Checkpoint
from .pickle_rules import Record, TensorRef
from .plain_pickle import ROOM, Budget, Reader, Window
from .torch_file import is_legacy, read_legacy, read_zip

KIND = "generator"  # what our own files say they are
KNOWN = "NVIDIA's pickles (PyTorch, TensorFlow), rosinality's and pSp's .pt, this project's safetensors"


def read_checkpoint(path: Path) -> Checkpoint:
    """The generator in a file. Raises one UserError: it names the file, what is wrong, and what would be right."""
    try:
        with open(path, "rb") as file:
            begin = file.read(4096)
        size = path.stat().st_size
        checkpoint = _read(path, begin, size)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}). Check the path.") from None
    except UserError as error:
        raise UserError(f"{path}: {error} What can be read: {KNOWN}.") from None
    return replace(checkpoint, facts={**checkpoint.facts, "file_sha256": sha256_of_file(path)})


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write our own format: tensors, and in the header all else. Equal checkpoints give equal files."""
    facts = {"kind": KIND, "family": checkpoint.family, "options": checkpoint.options, "facts": checkpoint.facts}
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in checkpoint.state.items()}
    write_atomically(path, save(tensors, {"gan_inversion": json.dumps(facts, sort_keys=True)}))


def _read(path: Path, begin: bytes, size: int) -> Checkpoint:
    text = begin[:200].lstrip().lower()
    if not begin:
        raise UserError("the file is empty.")
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise UserError("a web page, not a checkpoint: the download did not succeed. Get it by hand from its page.")
    if text.startswith(b"version https://git-lfs"):
        raise UserError("a pointer of Git LFS: run `git lfs pull` where it comes from.")
    if begin.startswith(b"PK\x03\x04"):
        return _of_tree(read_zip(path))
    if begin[8:9] == b"{" and int.from_bytes(begin[:8], "little") <= size:
        return _ours(path)
    with open(path, "rb") as file:
        if is_legacy(begin):
            return _of_tree(read_legacy(file, size))
        return _of_tree(Reader(Budget(ROOM + size)).load(Window(file, size)))


def _of_tree(tree: Any) -> Checkpoint:
    """By what a pickle holds."""
    if isinstance(tree, (tuple, list)) or (isinstance(tree, Record) and tree.kind.endswith(".Network")):
        return nvidia_tf.checkpoint_of(tree)
    if isinstance(tree, Record):
        tree = {"G": tree}
    if not isinstance(tree, dict):
        raise UserError(f"no checkpoint: it holds a {type(tree).__name__}.")
    part = rosinality.find(tree)
    if part is not None:
        return rosinality.checkpoint_of(tree, part)
    if any(name in tree for name in ("G_ema", "G", "Gs")):
        return nvidia_torch.checkpoint_of(tree)
    tensors = {name: value for name, value in tree.items() if isinstance(name, str) and isinstance(value, TensorRef)}
    if "mapping.fc0.weight" in tensors:
        return _of_state(tensors)
    raise UserError(f"no generator in it: it holds {nvidia_torch._names(tree)}.")


def _of_state(tensors: Mapping[str, TensorRef]) -> Checkpoint:
    """A bare state dict of NVIDIA's generator, as PTI and others save tuned ones. Options are those of its authors."""
    state = {name: ref.tensor().float() for name, ref in tensors.items()}
    facts = {"format": "state dict of NVIDIA's PyTorch code"}
    if "synthesis.input.freqs" in state:
        return Checkpoint("stylegan3", state, {}, facts)
    return Checkpoint("stylegan2", state, {}, {**facts, "conv_clamp": "not in the file: none"})


def _ours(path: Path) -> Checkpoint:
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("gan_inversion", "{}"))
            state: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, RecursionError) as error:
        raise UserError(f"a damaged safetensors file ({str(error)[:120]}).") from None
    options, facts = header.get("options"), header.get("facts")
    if header.get("kind") != KIND or header.get("family") not in FAMILIES:
        raise UserError(
            f"a safetensors file that holds {header.get('kind') or 'no part of this project'}, no generator."
        )
    if not isinstance(options, dict) or not isinstance(facts, dict):
        raise UserError("a damaged safetensors file (its header is incomplete).")
    return Checkpoint(header["family"], state, options, facts)

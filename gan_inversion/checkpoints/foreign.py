"""Any StyleGAN checkpoint -> `Checkpoint`. What a file is, its content tells; nothing in it is executed."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save

from ..errors import UserError
from ..storage import read_file, write_atomically
from ..storage.tensors import Note, parse_tensors
from . import nvidia_tf, nvidia_torch, rosinality
from .checkpoint import FAMILIES, Checkpoint, printable
from .stand_ins import Record
from .stored import StoredTensor, as_float32, check_total
from .torch_file import MAGIC, read_legacy, read_plain, read_zip
from .unpickle import Budget

KIND = "generator"
FIRST = {
    "format": "converted_from",
    "file_sha256": "converted_from_sha256",
}  # facts of the file, and of what it was made of
KNOWN = (
    "Known are: pickles of NVIDIA's StyleGAN code (.pkl, TensorFlow or PyTorch), torch.save files of rosinality's StyleGAN2 "
    "and of pSp, e4e, ReStyle, HyperStyle and PTI (.pt), and .safetensors of this project"
)
# What a file starts with that was saved in place of a checkpoint, and what to do.
_MISTAKEN: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "it is a Git LFS pointer, not the file itself. Run `git lfs pull` where it was cloned, or download the file itself",
    ),
    (b"\x1f\x8b", "it is compressed by gzip. Unpack it first (gunzip)"),
    (b"BZh", "it is compressed by bzip2. Unpack it first (bunzip2)"),
    (b"\xfd7zXZ", "it is compressed by xz. Unpack it first (unxz)"),
    (b"Rar!", "it is a RAR archive. Unpack it first"),
    (b"7z\xbc\xaf", "it is a 7z archive. Unpack it first"),
    (b"\x89HDF", "it is an HDF5 file, such as Keras writes. " + KNOWN),
)


def read_checkpoint(path: Path) -> Checkpoint:
    """The generator in a file, its tensors float32 and in memory of their own.

    facts: "format" and "file_sha256" of the file, and what else it tells. Raises UserError that names the file, what was
    found in it and the remedy, whatever is wrong with it.
    """
    try:
        data = _content(path)
        checkpoint = _read(data, path)
        plain = json.dumps([dict(checkpoint.options), dict(checkpoint.facts)])
        options, facts = json.loads(plain)
        facts["file_sha256"] = hashlib.sha256(data).hexdigest()
    except UserError as error:
        message = str(error)
        message = message.removeprefix(f"{path}: ")
        raise UserError(f"{path}: {printable(message).rstrip('.')}.") from None
    except Exception as error:  # whatever Python's modules and torch raise for what is damaged
        raise UserError(
            f"{path}: it is damaged ({type(error).__name__}: {printable(str(error)[:100])}). Download it again."
        ) from None
    return replace(checkpoint, options=options, facts=facts)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write it as safetensors, which `read_checkpoint` reads. Equal checkpoints give equal files. Raises StorageError.

    What the header says of format and file is said of the file that was first converted.
    """
    facts = dict(checkpoint.facts)
    for name, first in FIRST.items():
        if first in facts:
            facts[name] = facts.pop(first)
    header = {"kind": KIND, "family": checkpoint.family, "options": dict(checkpoint.options), "facts": facts}
    tensors = {
        name: tensor.detach().cpu().clone().contiguous() for name, tensor in checkpoint.state.items()
    }  # none shared
    write_atomically(path, save(tensors, {"gan_inversion": json.dumps(header, sort_keys=True)}))


def _content(path: Path) -> bytes:
    """All of the file: were it mapped, another process that cuts it short would end this one."""
    if not path.exists():
        raise UserError("there is no such file. Check the path")
    if path.is_dir():
        raise UserError("it is a folder. Give the checkpoint file in it")
    return read_file(path)


def _read(data: bytes, path: Path) -> Checkpoint:
    if not data:
        raise UserError("it is empty. Download it again")
    if is_safetensors(data):
        return _read_safetensors(data, path)
    return _checkpoint_of(read_tree(data), len(data))


def is_safetensors(data: bytes) -> bool:
    return data[8:9] == b"{" and 2 <= int.from_bytes(data[:8], "little") <= len(data) - 8


def read_tree(data: bytes) -> Any:
    """The plain data in a file that Python or torch wrote, tensors and arrays as `stored` has them.

    Raises UserError, and whatever zipfile raises for what is damaged.
    """
    _refuse_mistaken(data[:512])
    return _tree(memoryview(data), data[:512])


def _refuse_mistaken(head: bytes) -> None:
    for start, message in _MISTAKEN:
        if head.startswith(start):
            raise UserError(message)
    if head[257:262] == b"ustar":
        raise UserError(
            "it is a tar archive: unpack it; or, if torch before 0.2 wrote it, save it anew with that torch"
        )
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise UserError(
            "it is a web page, not a checkpoint: a download that asked for a login or a confirmation, or met a quota "
            "(Google Drive's do). Open the link in a browser, or wait a day, and download it again"
        )


def _tree(data: memoryview, head: bytes) -> Any:
    """The plain data in the file."""
    if head.startswith(b"PK"):
        return read_zip(data)
    if MAGIC.match(head):
        return read_legacy(data, Budget(len(data)))
    try:
        return read_plain(data)
    except UserError as error:
        if head.startswith(b"\x80") or "asks for" in str(error):
            raise
        raise UserError(f"no checkpoint of a known format, nor a pickle ({error}). {KNOWN}") from None


def _checkpoint_of(tree: Any, size: int) -> Checkpoint:
    """Whose code wrote the file, by what is in it."""
    if nvidia_tf.is_network_pickle(tree):
        return nvidia_tf.to_checkpoint(tree, size)
    if nvidia_torch.is_network_pickle(tree):
        return nvidia_torch.to_checkpoint(tree, size)
    if rosinality.state_dict_of(tree) is not None:
        return rosinality.to_checkpoint(tree, size)
    parts = (tree, *(tree.get(key) for key in ("G_ema", "g_ema", "state_dict", "G"))) if isinstance(tree, dict) else ()
    for part, prefix in itertools.product(parts, ("", "decoder.", "module.")):
        if not isinstance(part, dict):
            continue
        found = {k.removeprefix(prefix): v for k, v in part.items() if type(k) is str and k.startswith(prefix)}
        if nvidia_torch.family_of(found) is not None:
            return _bare(found, size)
    whole = next((part for part in parts or (tree,) if isinstance(part, Record)), None)
    if whole is not None:
        raise nvidia_torch.whole_object(whole)
    raise UserError(f"it holds no StyleGAN generator, but {_described(tree)}. {KNOWN}")


def _bare(found: Mapping[str, Any], size: int) -> Checkpoint:
    """A state dict in NVIDIA's names: what its shapes do not tell is lost, and taken to be what is usual."""
    family = nvidia_torch.family_of(found)
    check_total(list(found.values()), size)
    state = {name: as_float32(value) for name, value in found.items()}
    options: dict[str, Any] = {}
    if family == "stylegan2":
        options = dict(rosinality.OPTIONS)
        blocks = {name.split(".")[1] for name in state if name.startswith("synthesis.b")}
        inner = sum(f"synthesis.{block}.torgb.weight" in state for block in blocks)
        options["architecture"] = "skip" if inner == len(blocks) else "orig"
        if any(name.endswith(".skip.weight") for name in state):
            options["architecture"] = "resnet"
        options["use_noise"] = any(name.endswith(".noise_const") for name in state)
    clamp = ", without conv_clamp" if family == "stylegan2" else ""
    facts = {"format": "state dict in NVIDIA's names", "options": f"not in the file: that code's defaults{clamp}"}
    return Checkpoint(str(family), state, options, facts)


def _described(tree: Any) -> str:
    """What a person would call it."""
    if not isinstance(tree, dict):
        return f"a {type(tree).__name__}"
    inner = tree.get("state_dict")
    keys = [key for part in (tree, inner) if isinstance(part, dict) for key in part if type(key) is str]
    if any(key.startswith(("final_linear.", "final_conv.", "b4.out.", "convs.0.0.")) for key in keys) or "d" in tree:
        return "a discriminator only. Take the file that has the generator, too"
    if any(key.startswith(("encoder.", "input_layer.", "body.")) for key in keys):
        return "an encoder only. Take the whole checkpoint, with its decoder"
    if any(isinstance(value, StoredTensor) for value in tree.values()):
        return f"tensors of another network ({', '.join(keys[:3])[:200]}, ...)"
    return f"a dict of {', '.join(keys[:5])[:200] or 'nothing'}"


def _kind(header: Note, names: set[str]) -> str:
    """What a safetensors file holds that is no generator."""
    if kind := header.get("kind", str, ""):
        return kind[:100]
    if names & {"ws", "father", "mother"}:
        return "latents"
    if "blocks.0.conv1.depthwise" in names:
        return "the default generator (generator=mobile_stylegan)"
    return "tensors of unknown origin"


def _read_safetensors(data: bytes, path: Path) -> Checkpoint:
    file = parse_tensors(data, str(path))
    header = file.note()
    if header.get("kind", str, "") != KIND:
        raise UserError(f"it holds {_kind(header, {*file.tensors})}, not a StyleGAN generator")
    family, options, facts = header.get("family", str), header.get("options", dict), header.get("facts", dict)
    if family not in FAMILIES:
        raise UserError(f"its header names no family of generators that is known ({', '.join(FAMILIES)})")
    state = {name: as_float32(file.tensors[name]) for name in sorted(file.tensors)}
    first = {FIRST.get(str(name), str(name)): value for name, value in facts.items()}
    return Checkpoint(family, state, options, {"format": "safetensors of this project", **first})

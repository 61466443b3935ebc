"""Files of `torch.save`, zip and the older kind, read as `weights_only` would, by our own pickle reader."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ..interfaces import UserError
from .pickle_rules import STORAGES, Storage
from .plain_pickle import ROOM, Budget, Reader, Window

MAGIC = 0x1950A86A20F9469CFC6C  # of the older format
PROTOCOL = 1001
MAX_MEMBERS = 100_000


def storage_dtype(kind: str) -> torch.dtype:
    """Of a storage class, by its name. Raises UserError for quantised and complex numbers."""
    if kind not in STORAGES:
        raise UserError(f"pickle refused: numbers of the kind {kind[:80]} are not read.")
    return STORAGES[kind]


# ------------------------------------------------------------------ zip


def read_zip(path: Path) -> Any:
    """The object in a zip of `torch.save`. Tensors are read when they are asked for, from the file at `path`.

    Raises UserError for anything that `torch.save` does not write: compressed, doubled or escaping members, TorchScript.
    """
    size = path.stat().st_size
    try:
        archive = zipfile.ZipFile(path)  # stays open as long as there are tensors to be read from it
        root = _checked_root(archive, size)
        data = archive.read(f"{root}/data.pkl")
        members = {info.filename: info.file_size for info in archive.infolist()}
        if f"{root}/byteorder" in members and archive.read(f"{root}/byteorder") != b"little":
            raise UserError("torch file refused: written on a machine of the other byte order.")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, RuntimeError, OverflowError) as error:
        raise UserError(f"torch file refused: the zip is damaged ({error}).") from None
    prefix = f"{root}/data/"

    def storage(kind: str, key: str, count: int) -> Storage:
        dtype = storage_dtype(kind)
        if members.get(prefix + key) != count * dtype.itemsize:
            raise UserError("torch file refused: a tensor's numbers are missing, or not as many as they should be.")
        return Storage(dtype, count, lambda: _member(archive, prefix + key))

    return Reader(Budget(ROOM + size), storage).load(io.BytesIO(data))


def _checked_root(archive: zipfile.ZipFile, size: int) -> str:
    """The folder in which all members lie."""
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS or len({info.filename for info in infos}) < len(infos):
        raise UserError("torch file refused: the zip has too many members, or several of one name.")
    for info in infos:
        parts = info.filename.split("/")
        if info.filename.startswith("/") or ".." in parts or "\\" in info.filename or ":" in parts[0]:
            raise UserError(f"torch file refused: the zip has a member that leaves its folder ({info.filename[:80]}).")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise UserError(f"torch file refused: {info.filename[:80]} is compressed, which torch never does.")
    if sum(info.file_size for info in infos) > size:
        raise UserError("torch file refused: the zip claims to hold more than the file does.")
    roots = {info.filename.partition("/")[0] for info in infos}
    names = {info.filename.partition("/")[2] for info in infos}
    if "data.pkl" not in names or len(roots) != 1:
        raise UserError("not a torch file: the zip has no data.pkl of torch.save.")
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise UserError("torch file refused: TorchScript, a program. Save the generator's state_dict instead.")
    return roots.pop()


def _member(archive: zipfile.ZipFile, name: str) -> memoryview:
    try:
        return memoryview(archive.read(name))
    except (OSError, zipfile.BadZipFile, KeyError, EOFError) as error:
        raise UserError(f"torch file refused: damaged ({error}).") from None


# ------------------------------------------------------------------ older


def read_legacy(file: BinaryIO, size: int) -> Any:
    """The object in a file of torch before 1.6, the file standing at its begin. Raises UserError."""
    return _legacy(Window(file, size), Budget(ROOM + size), nested=False)


def read_legacy_bytes(data: bytes, budget: Budget) -> Any:
    """The same within a pickle: NVIDIA's networks keep each tensor so. Numbers are views of `data`."""
    return _legacy(_View(data), budget, nested=True)


class _View:
    """Bytes as a source whose large parts are not copied."""

    def __init__(self, data: bytes) -> None:
        self.data, self.stream = memoryview(data), io.BytesIO(data)
        self.read, self.readline = self.stream.read, self.stream.readline

    def take(self, size: int) -> memoryview:
        begin = self.stream.tell()
        self.stream.seek(begin + size)
        return self.data[begin : begin + size]


def _legacy(source: Any, budget: Budget, nested: bool) -> Any:
    storages: dict[str, Storage] = {}

    def storage(kind: str, key: str, count: int) -> Storage:
        storages[key] = Storage(storage_dtype(kind), count)
        return storages[key]

    plain = Reader(budget, nested=nested)
    if plain.load(source) != MAGIC or plain.load(source) != PROTOCOL:
        raise UserError("not a torch file.")
    about = plain.load(source)
    if not isinstance(about, dict) or about.get("little_endian") is not True:
        raise UserError("torch file refused: written on a machine of the other byte order.")
    found = Reader(budget, storage, nested).load(source)
    keys = plain.load(source)
    if not isinstance(keys, list) or {str(key) for key in keys} != set(storages) or len(keys) != len(storages):
        raise UserError("torch file refused: its list of storages is not that of its tensors.")
    for key in map(str, keys):
        one = storages[key]
        length = one.count * one.dtype.itemsize
        if int.from_bytes(source.read(8), "little") != one.count:
            raise UserError("torch file refused: a tensor's numbers are not as many as they should be.")
        data = source.take(length) if isinstance(source, _View) else memoryview(source.read(length))
        if len(data) != length:
            raise UserError("torch file refused: it ends too early.")
        one.bytes_of = _kept(data)
    return found


def _kept(data: memoryview) -> Callable[[], memoryview]:
    return lambda: data


def is_legacy(begin: bytes) -> bool:
    """Whether a file that begins so is one of the older kind: its first pickle is a certain number."""
    return MAGIC.to_bytes(10, "little") in begin[:20]

"""What `torch.save` writes, read without torch: the zip, what it wrote before, and still writes inside plain pickles."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import torch

from ..errors import UserError
from .stored import Storage
from .unpickle import Budget, View, read_pickle

# The pickle of 0x1950A86A20F9469CFC6C, in any protocol from 2 on; since 4, with a frame around it.
MAGIC = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
PROTOCOL, LONGEST_KEY = 1001, 100
LOCAL_HEADER = struct.Struct("<26x2H")  # of a member: lengths of what follows it


def read_zip(data: memoryview) -> Any:
    """The object in a zip of a pickle and of one member a storage, its tensors as `StoredTensor`.

    Raises UserError saying why the file is refused, and what zipfile raises for what is damaged.
    """
    members = _members(data)
    roots = {name.partition("/")[0] for name in members}
    root = roots.pop() if len(roots) == 1 else ""
    if f"{root}/constants.pkl" in members or any(name.startswith(f"{root}/code/") for name in members):
        raise UserError(
            "it is a TorchScript program, not weights. Load it where it was made, and save its state_dict() instead"
        )
    if f"{root}/data.pkl" not in members:
        raise UserError(f"it is a zip archive, but not one of torch's (members: {', '.join(list(members)[:5])[:200]})")
    order = members.get(f"{root}/byteorder")
    if order is not None and bytes(_content(data, order)[:16]) != b"little":
        raise UserError("it was written on a machine with another byte order")

    def storage(key: str, dtype: torch.dtype, count: int) -> Storage:
        member = members.get(f"{root}/data/{key}")
        if member is None or member.file_size < count * dtype.itemsize:
            raise UserError("it is damaged: numbers of a tensor are missing")
        return Storage(dtype, count, _content(data, member), member.CRC)

    member = members[f"{root}/data.pkl"]
    pickled = Storage(torch.uint8, member.file_size, _content(data, member), member.CRC).data
    return read_pickle(pickled, Budget(len(data)), load_storage=_Storages(storage))[0]


def _members(data: memoryview) -> dict[str, zipfile.ZipInfo]:
    """By name, each stored as it is, and together no larger than the file."""
    with zipfile.ZipFile(View(data)) as archive:
        found = archive.infolist()
    members = {member.filename: member for member in found}
    if len(members) != len(found):
        raise UserError("it is a zip archive that holds a member twice")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in found):
        raise UserError("it is a zip archive with compressed or encrypted members, which torch never writes")
    if sum(member.file_size for member in found) > len(data):
        raise UserError("it is a zip archive whose members are together larger than it, as those of zip bombs are")
    return members


def _content(data: memoryview, member: zipfile.ZipInfo) -> memoryview:
    """A member's bytes, where they lie."""
    start = member.header_offset + LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack_from(data, member.header_offset))
    return data[start : start + member.file_size]


def read_legacy(data: memoryview, budget: Budget) -> Any:
    """The object in what torch wrote before 1.6: pickles, then numbers. Its tensors are `StoredTensor`s.

    Raises UserError saying why the file is refused or damaged.
    """
    magic = MAGIC.match(bytes(data[:64]))
    if magic is None:
        raise UserError("it holds something else than torch's own format of storages")
    storages, position, values = _Storages(lambda key, dtype, count: Storage(dtype, count), view=True), magic.end(), []
    for load in (None, None, storages, None):  # protocol, machine, the object, names of the storages
        value, position = read_pickle(data, budget, position, load)
        values.append(value)
    protocol, system, found, keys = values
    if protocol != PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UserError("it is damaged, or was written on a machine with another byte order")
    if type(keys) is not list or not all(_is_key(key) for key in keys) or sorted(keys) != sorted(storages.found):
        raise UserError("it is damaged: its storages are not those that its tensors use")
    for key in keys:
        storage = storages.found[key]
        count = int.from_bytes(data[position : position + 8], "little")
        start, position = position + 8, position + 8 + count * storage.dtype.itemsize
        if count != storage.count or position > len(data):
            raise UserError("it is damaged or cut off: numbers of its tensors are missing")
        storage.fill(data[start:position])
    return found


def read_plain(data: memoryview) -> Any:
    """The object in a plain pickle, in which each tensor's storage is a legacy file, which torch would load unchecked."""
    budget = Budget(len(data))

    def load_nested(nested: Any) -> Storage:
        found = read_legacy(memoryview(nested), budget)
        if not isinstance(found, Storage):
            raise UserError("it nests a file in a file that is no tensor's storage")
        return found

    return read_pickle(data, budget, load_nested=load_nested)[0]


def _is_key(key: Any) -> bool:
    return type(key) is str and len(key) <= LONGEST_KEY


class _Storages:
    """What persistent ids of torch's stand for: ("storage", type, key, device, count), and in legacy files a view."""

    def __init__(self, make: Callable[[str, torch.dtype, int], Storage], view: bool = False) -> None:
        self.make, self.view = make, view
        self.found: dict[str, Storage] = {}

    def __call__(self, saved_id: Any) -> Storage:
        if type(saved_id) is tuple and len(saved_id) == 4 and saved_id[0] == "module":
            return saved_id[1]  # a class, with its source code, as torch before 1.13 wrote whole models
        if type(saved_id) is not tuple or len(saved_id) != 5 + self.view or saved_id[0] != "storage":
            raise UserError("it refers to something outside the pickle that is no storage")
        _, dtype, key, _, count = saved_id[:5]
        if not isinstance(dtype, torch.dtype) or not _is_key(key) or type(count) is not int or count < 0:
            raise UserError("it refers to a damaged storage")
        if self.view and saved_id[5] is not None:
            raise UserError("it holds views of storages, as torch before 0.4 wrote them")
        if key not in self.found:
            self.found[key] = self.make(key, dtype, count)
        if (self.found[key].dtype, self.found[key].count) != (dtype, count):
            raise UserError("it is damaged: a storage is declared twice, differently")
        return self.found[key]

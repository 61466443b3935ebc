"""What `torch.save` writes since version 1.6: a zip of a pickle and of one member a storage, none of them compressed."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..errors import UserError
from .pickle_machine import Budget
from .plain_pickle import read_pickle
from .stored import Storage
from .torch_legacy import storage_of

MEMBERS, LONGEST_NAME = 20_000, 1_000
_END, _END64, _LOCATOR64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
_ENTRY, _LOCAL = struct.Struct("<4s6H3L5H2L"), struct.Struct("<4s5H3L2H")
_COMMENT = 65_535  # the longest that may follow the end record


@dataclass(frozen=True)
class Member:
    data: memoryview
    crc: int

    def check(self, data: memoryview | None = None) -> None:
        """Raises UserError if the bytes are not those that were written."""
        if zlib.crc32(self.data) != self.crc:
            raise UserError("it is damaged: a checksum in it is wrong. Download or copy it again")


def read_zip(data: memoryview, budget: Budget) -> Any:
    """The object, its tensors as `StoredTensor`. Raises UserError saying why the file is refused or damaged."""
    try:
        members = read_members(data)
    except (struct.error, UnicodeDecodeError):
        raise UserError("it is a damaged or cut-off zip archive") from None
    roots = {name.partition("/")[0] for name in members}
    root = roots.pop() if len(roots) == 1 else ""
    if f"{root}/constants.pkl" in members or any(name.startswith(f"{root}/code/") for name in members):
        raise UserError(
            "it is a TorchScript program, not weights. Load it where it was made, and save its state_dict() instead"
        )
    if f"{root}/data.pkl" not in members:
        raise UserError(f"it is a zip archive, but not one of torch's (members: {', '.join(list(members)[:5])[:200]})")
    order = members.get(f"{root}/byteorder")
    if order is not None and bytes(order.data[:16]) != b"little":
        raise UserError("it was written on a machine with another byte order")
    storages: dict[str, Storage] = {}

    def persistent_load(saved_id: Any) -> Storage:
        key, dtype, count = storage_of(saved_id)
        if key not in storages:
            member = members.get(f"{root}/data/{key}")
            if member is None or len(member.data) < count * dtype.itemsize:
                raise UserError("it is damaged: numbers of a tensor are missing")
            storages[key] = Storage(dtype, count, member.data, member.check)
        if storages[key].dtype != dtype or storages[key].count != count:
            raise UserError("it is damaged: a storage is declared twice, differently")
        return storages[key]

    members[f"{root}/data.pkl"].check()
    return read_pickle(members[f"{root}/data.pkl"].data, budget, persistent_load)[0]


def read_members(data: memoryview) -> dict[str, Member]:
    """Of a zip whose members are stored as they are. Its directory is not trusted: each member lies within the file,
    once, under its own name, and members do not overlap. Raises UserError, struct.error."""
    count, size, start = _directory(data)
    if count > MEMBERS or start + size > len(data):
        raise UserError(f"it is damaged, or a zip archive of more than {MEMBERS} members")
    members: dict[str, Member] = {}
    ends: list[tuple[int, int]] = []
    position = start
    for _ in range(count):
        head = _ENTRY.unpack_from(data, position)
        name_size, extra_size, comment_size = head[10:13]
        fields = position + _ENTRY.size
        if name_size > LONGEST_NAME:
            raise UserError(f"it is a zip archive with names of up to {name_size} bytes, as torch never writes")
        name = str(data[fields : fields + name_size], "utf-8")
        extra = data[fields + name_size : fields + name_size + extra_size]
        packed, whole, offset = _sizes(head[8], head[9], head[16], extra)
        if head[0] != b"PK\x01\x02":
            raise UserError("it is a damaged zip archive")
        _check_member(name, members, flags=head[3], method=head[4], packed=packed, whole=whole)
        local = _LOCAL.unpack_from(data, offset)
        begin = offset + _LOCAL.size + local[9] + local[10]
        named = bytes(data[offset + _LOCAL.size : offset + _LOCAL.size + local[9]])
        if local[0] != b"PK\x03\x04" or named != name.encode() or local[3] != 0 or begin + whole > start:
            raise UserError(f"it is a damaged zip archive: its directory and its members differ ({name[:100]})")
        members[name] = Member(data[begin : begin + whole], head[7])
        ends.append((offset, begin + whole))
        position = fields + name_size + extra_size + comment_size
    ends.sort()
    if any(after[0] < before[1] for before, after in pairwise(ends)):
        raise UserError("it is a zip archive whose members overlap, as those of zip bombs do")
    return members


def _directory(data: memoryview) -> tuple[int, int, int]:
    """Number of entries, bytes and place of the directory."""
    tail = bytes(data[-(_COMMENT + _END.size) :])
    found = tail.rfind(b"PK\x05\x06")
    if found < 0:
        raise UserError("it is a damaged or cut-off zip archive: its directory, at the end, is missing")
    place = len(data) - len(tail) + found
    _, _, _, _, count, size, start, _ = _END.unpack_from(data, place)
    if place >= _LOCATOR64.size and bytes(data[place - _LOCATOR64.size : place][:4]) == b"PK\x06\x07":
        place64 = _LOCATOR64.unpack_from(data, place - _LOCATOR64.size)[2]
        head = _END64.unpack_from(data, min(place64, len(data)))
        if head[0] != b"PK\x06\x06":
            raise UserError("it is a damaged zip archive")
        count, size, start = head[7], head[8], head[9]
    return count, size, start


def _sizes(packed: int, whole: int, offset: int, extra: memoryview) -> tuple[int, int, int]:
    """Sizes and offset, those that are too large for the entry taken from its 64-bit field."""
    unknown, position = 0xFFFFFFFF, 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            numbers = iter(struct.unpack_from(f"<{size // 8}Q", extra, position + 4))
            whole = next(numbers, unknown) if whole == unknown else whole
            packed = next(numbers, unknown) if packed == unknown else packed
            offset = next(numbers, unknown) if offset == unknown else offset
        position += 4 + size
    return packed, whole, offset


def _check_member(name: str, members: dict[str, Member], flags: int, method: int, packed: int, whole: int) -> None:
    parts = name.split("/")
    if not re.fullmatch(r"(?![A-Za-z]:)[^\\\0]+", name) or ".." in parts or "" in parts[:-1]:
        raise UserError(f"it is a zip archive with a path that leaves it ({name[:100]!r})")
    if name in members:
        raise UserError(f"it is a zip archive that holds {name[:100]} twice")
    if method != 0 or packed != whole:
        raise UserError(f"it is a zip archive with compressed members ({name[:100]}), which torch never writes")
    if flags & 1:
        raise UserError("it is an encrypted zip archive")

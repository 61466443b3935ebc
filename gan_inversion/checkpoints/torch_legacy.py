"""What `torch.save` wrote before version 1.6, and still writes inside plain pickles: pickles, then numbers."""

from __future__ import annotations

import re
from typing import Any

import torch

from ..errors import UserError
from .pickle_machine import Budget, Machine, checked_key
from .pickle_opcodes import run
from .plain_pickle import find
from .stored import Storage

# The pickle of 0x1950A86A20F9469CFC6C, in any protocol from 2 on; since 4, with a frame around it.
MAGIC = re.compile(rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
PROTOCOL, LONGEST_KEY = 1001, 100


def read_legacy(data: memoryview, budget: Budget, depth: int = 0) -> Any:
    """The object, its tensors as `StoredTensor`. Raises UserError saying why the file is refused or damaged."""
    magic = MAGIC.match(bytes(data[:64]))
    if magic is None:
        raise UserError("it holds something else than torch's own format of storages")
    storages: dict[str, Storage] = {}

    def persistent_load(saved_id: Any) -> Storage:
        key, dtype, count = storage_of(saved_id, view=True)
        storage = storages.setdefault(key, Storage(dtype, count))
        if (storage.dtype, storage.count) != (dtype, count):
            raise UserError("it is damaged: a storage is declared twice, differently")
        return storage

    position, values = magic.end(), []
    for load in (None, None, persistent_load, None):  # protocol, machine, the object, names of the storages
        machine = Machine(data, find, budget, load, position, depth)
        values.append(run(machine))
        position = machine.position
    protocol, system, found, keys = values
    if protocol != PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UserError("it is damaged, or was written on a machine with another byte order")
    if type(keys) is not list or len(keys) != len(storages) or not storages.keys() == {*map(checked_key, keys)}:
        raise UserError("it is damaged: its storages are not those that its tensors use")
    for key in keys:
        storage = storages[key]
        count = int.from_bytes(data[position : position + 8], "little")
        start, position = position + 8, position + 8 + count * storage.dtype.itemsize
        if count != storage.count or position > len(data):
            raise UserError("it is damaged or cut off: numbers of its tensors are missing")
        storage.fill(data[start:position])
    return found


def storage_of(saved_id: Any, view: bool = False) -> tuple[str, torch.dtype, int]:
    """("storage", type, key, device, count[, view]) -> key, type and count, checked."""
    if type(saved_id) is not tuple or len(saved_id) != 5 + view or saved_id[0] != "storage":
        raise UserError("it refers to something outside the pickle that is no storage")
    _, dtype, key, _, count = saved_id[:5]
    if (
        not isinstance(dtype, torch.dtype)
        or type(key) is not str
        or len(key) > LONGEST_KEY
        or type(count) is not int
        or count < 0
    ):
        raise UserError("it refers to a damaged storage")
    if view and saved_id[5] is not None:
        raise UserError("it holds views of storages, as torch before 0.4 wrote them")
    return key, dtype, count

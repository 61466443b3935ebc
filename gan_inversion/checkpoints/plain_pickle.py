"""What a checkpoint's pickle may mention, and what stands in for each: plain data, never the thing itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import UserError
from . import pickled_arrays, pickled_tensors
from .pickle_machine import Budget, Global, Machine, PersistentLoad, Shell, checked_key
from .pickle_opcodes import run
from .stored import KINDS

Args = tuple[Any, ...]
Make = Callable[[Machine, Args], Any]


@dataclass(frozen=True, eq=False)
class Record:
    """An object of a foreign class, as data: what the class was called, and the object's attributes."""

    name: str
    state: Mapping[str, Any]


class _RecordShell(Shell):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def built(self, state: Any) -> Record:
        return _record(self.name, state[0] if type(state) is tuple and state else state)


def _record(name: str, state: Any) -> Record:
    if type(state) is not dict or not all(type(key) is str for key in state):
        raise UserError(f"a {name} in it has no named attributes")
    return Record(name, state)


def read_pickle(
    data: memoryview, budget: Budget | None = None, persistent_load: PersistentLoad | None = None, start: int = 0
) -> tuple[Any, int]:
    """The value of the pickle that begins at `start`, and where it ends.

    Numbers, text, bytes (long ones as views of `data`), lists, tuples, sets, dicts, NumPy arrays (read-only views),
    `StoredTensor`, and `Record` for objects. Raises UserError: "it asks for os.system", without the file's name.
    """
    machine = Machine(data, find, budget or Budget(len(data)), persistent_load, start)
    value = run(machine)
    if isinstance(value, Shell):
        raise UserError("it is cut off: an object in it has no content")
    return value, machine.position


def find(module: str, name: str) -> Any:
    """What stands in for `module.name`. Raises UserError for names that are not on the list."""
    full = f"{_RENAMED.get(module, module)}.{name}"
    if full in _MAKERS:
        return Global(full, _MAKERS[full])
    if full in _MENTIONED:
        return Global(full)
    kind = re.fullmatch(r"torch\.(?:cuda\.|storage\.)?(\w+)Storage", full)
    if kind and kind[1] in KINDS:
        return KINDS[kind[1]]
    if re.fullmatch(r"torch\.u?(float|bfloat|int|bool)\d*", full) and isinstance(
        getattr(torch, name, None), torch.dtype
    ):
        return getattr(torch, name)
    if re.fullmatch(r"torch\.nn\.modules\.\w+\.[A-Z]\w*", full):
        return Global(full, lambda machine, args: _RecordShell(name))
    raise UserError(f"it asks for {full[:100]}, which no checkpoint needs and which might run code")


# ---------------------------------------------------------------- Python


def _dict(machine: Machine, args: Args) -> dict[Any, Any]:
    """OrderedDict(), OrderedDict(pairs), EasyDict(), defaultdict(factory)."""
    pairs = args[0] if args and not isinstance(args[0], Global) else []
    if type(pairs) is dict:
        pairs = list(pairs.items())
    if type(pairs) is not list or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise UserError("it makes a dict of what are no pairs")
    machine.budget.charge(8 * len(pairs))
    return {checked_key(key): value for key, value in pairs}


def _sequence(machine: Machine, args: Args) -> list[Any]:
    values = args[0] if args else []
    if len(args) > 1 or type(values) not in (list, tuple):
        raise UserError("it makes a set or a size of what is no list")
    machine.budget.charge(4 * len(values))
    return list(values)


def _encode(machine: Machine, args: Args) -> bytes:
    """How protocol 2 writes bytes: as text, one letter a byte."""
    text, encoding = args
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise UserError("it makes bytes of what is no text")
    machine.budget.charge_text(len(text))
    return text.encode("latin1")


def _no_bytes(machine: Machine, args: Args) -> bytes:
    if args:
        raise UserError("it makes bytes by a call")
    return b""


def _path(machine: Machine, args: Args) -> str:
    if not all(type(part) is str for part in args):
        raise UserError("it holds a path that is no text")
    machine.budget.charge_text(sum(map(len, args)) + len(args))
    return "/".join(args)


# ---------------------------------------------------------------- NVIDIA


def _persistent(machine: Machine, args: Args) -> Record:
    """Their classes are stored as source code, which is dropped here, and attributes, which are kept."""
    (meta,) = args
    if type(meta) is not dict or type(meta.get("class_name")) is not str:
        raise UserError("it holds an object of NVIDIA's without a class")
    return _record(meta["class_name"], meta.get("state"))


def _object(name: str) -> Make:
    return lambda machine, args: _RecordShell(name)


_RENAMED = {
    "__builtin__": "builtins",
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
    "pathlib._local": "pathlib",
}
_MENTIONED = {
    "numpy.ndarray",
    *pickled_tensors.CLASSES,
    "builtins.int",
    "builtins.float",
    "builtins.str",
    "builtins.bool",
}
_MAKERS: dict[str, Make] = {
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _dict,
    "builtins.dict": _dict,
    "builtins.list": _sequence,
    "builtins.set": lambda machine, args: {checked_key(key) for key in _sequence(machine, args)},
    "builtins.frozenset": lambda machine, args: frozenset(map(checked_key, _sequence(machine, args))),
    "builtins.bytes": _no_bytes,
    "_codecs.encode": _encode,
    "argparse.Namespace": _object("Namespace"),
    "types.SimpleNamespace": _object("Namespace"),
    "pathlib.Path": _path,
    "pathlib.PosixPath": _path,
    "pathlib.PurePosixPath": _path,
    "pathlib.WindowsPath": _path,
    "numpy.dtype": pickled_arrays.dtype,
    "numpy.core.multiarray._reconstruct": pickled_arrays.reconstruct,
    "numpy.core.multiarray.scalar": pickled_arrays.scalar,
    "numpy.core.numeric._frombuffer": pickled_arrays.from_buffer,
    "torch.Size": lambda machine, args: tuple(_sequence(machine, args)),
    "torch.device": lambda machine, args: "cpu",
    "torch._utils._rebuild_tensor": pickled_tensors.tensor,
    "torch._utils._rebuild_tensor_v2": pickled_tensors.tensor,
    "torch._utils._rebuild_tensor_v3": pickled_tensors.typed_tensor,
    "torch._utils._rebuild_parameter": pickled_tensors.parameter,
    "torch._utils._rebuild_parameter_with_state": pickled_tensors.parameter,
    "torch._tensor._rebuild_from_type_v2": pickled_tensors.tensor_of_type,
    "torch.storage._load_from_bytes": pickled_tensors.nested_storage,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "dnnlib.EasyDict": _dict,
    "dnnlib.util.EasyDict": _dict,
    "dnnlib.tflib.network.Network": _object("Network"),
    "dnnlib.tflib.tfutil.Network": _object("Network"),
    "tfutil.Network": _object("Network"),
}

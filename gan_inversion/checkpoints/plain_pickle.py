"""What a checkpoint's pickle may mention, and what stands in for each: plain data, never the thing itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..interfaces import UserError
from .pickle_machine import Budget, Global, Machine, PersistentLoad, Shell, checked_key
from .stored import DIMENSIONS, KINDS, Storage, StoredTensor

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
    value = machine.run()
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
    machine.budget.charge_text(sum(map(len, args)))
    return "/".join(args)


# ---------------------------------------------------------------- NumPy


class _DtypeShell(Shell):
    def __init__(self, dtype: np.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def built(self, state: Any) -> np.dtype:
        """state: (version, byte order, subarray, names, fields, size, alignment, flags)."""
        if type(state) is not tuple or state[1] not in ("<", ">", "|", "=") or any(x is not None for x in state[2:5]):
            raise UserError("it holds a NumPy type with fields, or a damaged one")
        return self.dtype.newbyteorder(state[1])


def _dtype(machine: Machine, args: Args) -> _DtypeShell:
    code = args[0]
    if type(code) is not str or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)", code):
        raise UserError("it holds NumPy arrays of something else than numbers (such as objects)")
    return _DtypeShell(np.dtype(code))


def _numbers(data: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    """A view, so that no shape can take memory; it must use up the data exactly."""
    dtype = dtype.dtype if isinstance(dtype, _DtypeShell) else dtype
    shape = (shape,) if type(shape) is int else shape
    if not isinstance(dtype, np.dtype) or type(data) not in (bytes, memoryview):
        raise UserError("it holds a damaged NumPy array")
    if type(shape) is not tuple or len(shape) > DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
        raise UserError("it holds a NumPy array of an impossible shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise UserError("it holds a NumPy array whose shape does not fit its data")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


class _ArrayShell(Shell):
    def built(self, state: Any) -> np.ndarray:
        """state: (version, shape, dtype, Fortran order?, bytes)."""
        if type(state) is not tuple or len(state) not in (4, 5):
            raise UserError("it holds a damaged NumPy array")
        shape, dtype, fortran, data = state[-4:]
        return _numbers(data, dtype, shape, bool(fortran is True or fortran == 1))


def _reconstruct(machine: Machine, args: Args) -> _ArrayShell:
    """NumPy would allocate the shape in `args` here; it is ignored, as the true one follows."""
    if not args or not isinstance(args[0], Global) or args[0].name != "numpy.ndarray":
        raise UserError("it holds an array of a class that is not NumPy's")
    return _ArrayShell()


def _from_buffer(machine: Machine, args: Args) -> np.ndarray:
    data, dtype, shape, order = args
    return _numbers(data, dtype, shape, order == "F")


def _scalar(machine: Machine, args: Args) -> Any:
    dtype, data = args
    return _numbers(data, dtype, (), False).item()


# ---------------------------------------------------------------- torch


def _tensor(machine: Machine, args: Args) -> StoredTensor:
    """_rebuild_tensor(storage, offset, size, stride), and _v2 with what matters to training only."""
    storage, offset, shape, stride = args[:4]
    if not isinstance(storage, Storage) or type(shape) is not tuple or type(stride) is not tuple:
        raise UserError("it makes a tensor of what is no storage, size and stride")
    return StoredTensor(storage, offset, shape, stride, storage.dtype)


def _typed_tensor(machine: Machine, args: Args) -> StoredTensor:
    tensor, dtype = _tensor(machine, args), args[6]
    if not isinstance(dtype, torch.dtype) or tensor.storage.dtype != torch.uint8:
        raise UserError("it makes a tensor of what is no storage of bytes")
    return StoredTensor(tensor.storage, tensor.offset, tensor.shape, tensor.stride, dtype)


def _parameter(machine: Machine, args: Args) -> StoredTensor:
    if not args or not isinstance(args[0], StoredTensor):
        raise UserError("it makes a parameter of what is no tensor")
    return args[0]


def _tensor_of_type(machine: Machine, args: Args) -> Any:
    """_rebuild_from_type_v2(function, type, arguments, state): a tensor that was given attributes."""
    function, kind, inner = args[:3]
    if not isinstance(function, Global) or function.make not in (_tensor, _typed_tensor, _parameter):
        raise UserError("it makes a tensor by a call that is none of torch's")
    if not isinstance(kind, Global) or kind.name not in _MENTIONED or type(inner) is not tuple:
        raise UserError("it makes a tensor of an unknown class")
    return function.make(machine, inner)


def _nested_storage(machine: Machine, args: Args) -> Storage:
    """torch would read these bytes without any check, and so run what is nested in them."""
    from .torch_legacy import read_legacy  # which reads pickles by this module

    (data,) = args
    if machine.depth or type(data) not in (bytes, memoryview):
        raise UserError("it holds a storage within a storage, or a damaged one")
    found = read_legacy(memoryview(data), machine.budget, depth=machine.depth + 1)
    if not isinstance(found, Storage):
        raise UserError("it nests a file in a file that is no tensor's storage")
    return found


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
    "torch.Tensor",
    "torch._tensor.Tensor",
    "torch.nn.parameter.Parameter",
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
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "torch.Size": lambda machine, args: tuple(_sequence(machine, args)),
    "torch.device": lambda machine, args: "cpu",
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _tensor_of_type,
    "torch.storage._load_from_bytes": _nested_storage,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "dnnlib.EasyDict": _dict,
    "dnnlib.util.EasyDict": _dict,
    "dnnlib.tflib.network.Network": _object("Network"),
    "dnnlib.tflib.tfutil.Network": _object("Network"),
    "tfutil.Network": _object("Network"),
}

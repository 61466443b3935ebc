"""What a pickle may call: by name, our own functions, which rebuild data and check what they are given."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..interfaces import UserError

if TYPE_CHECKING:
    from .plain_pickle import Reader

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
NUMBERS = re.compile(r"(\?|b1|[iuf][1248]|[bBhHiIlLqQefd])")  # NumPy's codes of plain numbers
MAX_DIMENSIONS = 16


@dataclass(frozen=True)
class Named:
    """A global that a pickle mentions. Calling it needs a rule."""

    module: str
    name: str

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Record:
    """An object of a class that is not imported: its name, and the state that it was saved with."""

    kind: str
    state: Any = None

    def build(self, state: Any) -> None:
        self.state = state


@dataclass
class Storage:
    """A tensor's numbers. `bytes_of` reads them when they are asked for: most of a checkpoint is never needed."""

    dtype: torch.dtype
    count: int
    bytes_of: Callable[[], memoryview] | None = None


@dataclass(frozen=True)
class TensorRef:
    """Where a tensor lies in a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self) -> Tensor:
        """A view of the file's bytes, not to be written to. Raises UserError if the storage was not in the file."""
        if self.storage.bytes_of is None:
            raise UserError("damaged: the numbers of a tensor are missing.")
        if self.storage.count == 0:
            return torch.empty(self.shape, dtype=self.storage.dtype)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given buffer is not writable")  # nobody writes to it
            numbers = torch.frombuffer(self.storage.bytes_of(), dtype=self.storage.dtype, count=self.storage.count)
        return numbers.as_strided(self.shape, self.stride, self.offset)


@dataclass
class DtypeShell:
    """A NumPy dtype on its way: a code such as f4, and a byte order."""

    code: str
    order: str = "="

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "=", "|"):
            raise UserError("pickle refused: a NumPy dtype of an unknown kind.")
        self.order = state[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.order.replace("|", "=") + self.code)


@dataclass
class ArrayShell:
    """A NumPy array on its way; `array` views the file's bytes."""

    array: np.ndarray = field(default_factory=lambda: np.empty(0))

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise UserError("pickle refused: a NumPy array of an unknown kind.")
        shape, dtype, fortran, data = state[-4:]
        self.array = _array(data, dtype, shape, "F" if fortran is True else "C")


def _array(data: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    if isinstance(data, str):  # bytes of Python 2
        data = data.encode("latin1")
    if not isinstance(dtype, DtypeShell) or not isinstance(data, (bytes, bytearray)):
        raise UserError("pickle refused: a NumPy array of objects; only numbers are read.")
    sizes = _sizes(shape)
    if math.prod(sizes) * dtype.dtype.itemsize != len(data):
        raise UserError("pickle refused: a NumPy array does not fit its data.")
    return np.frombuffer(data, dtype.dtype).reshape(sizes, order="F" if order == "F" else "C")


def _sizes(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, (tuple, list)) or len(shape) > MAX_DIMENSIONS:
        raise UserError("pickle refused: a shape that is none.")
    if not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        raise UserError("pickle refused: a shape that is none.")
    return tuple(shape)


Rule = Callable[..., Any]


def _dtype(reader: Reader, name: str, code: Any, *flags: Any) -> DtypeShell:
    if not isinstance(code, str) or not NUMBERS.fullmatch(code):
        raise UserError("pickle refused: NumPy data that are no numbers.")
    return DtypeShell(code)


def _reconstruct(reader: Reader, name: str, *ignored: Any) -> ArrayShell:
    return ArrayShell()


def _frombuffer(reader: Reader, name: str, data: Any, dtype: Any, shape: Any, order: Any = "C") -> ArrayShell:
    return ArrayShell(_array(data, dtype, shape, order))


def _scalar(reader: Reader, name: str, dtype: Any, data: Any = None) -> Any:
    return _array(data, dtype, (), "C").item()


def _tensor(
    reader: Reader, name: str, storage: Any, offset: Any, shape: Any, stride: Any, *more: Any
) -> TensorRef:  # more: gradients, hooks
    sizes, steps = _sizes(shape), _sizes(stride)
    if not isinstance(storage, Storage) or type(offset) is not int or offset < 0 or len(sizes) != len(steps):
        raise UserError("pickle refused: a tensor that is none.")
    count = math.prod(sizes)
    last = offset + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    if count and (last >= storage.count or count > storage.count):
        raise UserError("pickle refused: a tensor reaches beyond its storage.")
    return TensorRef(storage, offset, sizes, steps)


def _parameter(reader: Reader, name: str, data: Any, *more: Any) -> TensorRef:
    if not isinstance(data, TensorRef):
        raise UserError("pickle refused: a parameter that is no tensor.")
    return data


def _nested(reader: Reader, name: str, data: Any) -> Storage:
    """`torch.storage._load_from_bytes`, which itself would unpickle anything: a storage in torch's older format."""
    from .torch_file import read_legacy_bytes

    if reader.nested or not isinstance(data, bytes):
        raise UserError("pickle refused: pickles within pickles.")
    found = read_legacy_bytes(data, reader.budget)
    if not isinstance(found, Storage):
        raise UserError("pickle refused: a tensor's storage that is none.")
    return found


def _persistent(reader: Reader, name: str, meta: Any) -> Record:
    """NVIDIA's modules carry their own source: it is dropped."""
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), (dict, type(None))):
        raise UserError("pickle refused: a module that is none.")
    return Record(str(meta.get("class_name"))[:200], meta.get("state"))


def _record(reader: Reader, name: str, *arguments: Any) -> Record:
    return Record(name)


def _dict(reader: Reader, name: str, *items: Any) -> dict[Any, Any]:
    pairs = items[0] if items else ()
    if isinstance(pairs, list) and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        return dict(pairs)
    if pairs or len(items) > 1:
        raise UserError(f"pickle refused: {name} with arguments.")
    return {}


def _reconstructed(reader: Reader, name: str, kind: Any, base: Any = None, state: Any = None) -> Any:
    """How older protocols make objects: by the rule of their class."""
    rule = RULES.get(kind.full) if isinstance(kind, Named) else None
    if rule is None or rule is _reconstructed:
        raise UserError(f"pickle refused: it makes a {kind.full[:120] if isinstance(kind, Named) else 'nameless'}.")
    return {**state} if rule is _dict and isinstance(state, dict) else rule(reader, kind.full)


def _encoded(reader: Reader, name: str, text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise UserError("pickle refused: bytes in an unknown spelling.")
    return text.encode("latin1")


def _texts(reader: Reader, name: str, *parts: Any) -> str:
    return "/".join(str(part)[:1000] for part in parts if isinstance(part, str))


def _set(reader: Reader, name: str, items: Any = ()) -> set[Any]:
    if not isinstance(items, (list, tuple)):
        raise UserError(f"pickle refused: {name} of a {type(items).__name__}.")
    return set(items)


def _size(reader: Reader, name: str, shape: Any = ()) -> tuple[int, ...]:
    return _sizes(shape)


RULES: dict[str, Rule] = {
    **{f"{core}.multiarray._reconstruct": _reconstruct for core in ("numpy.core", "numpy._core")},
    **{f"{core}.multiarray.scalar": _scalar for core in ("numpy.core", "numpy._core")},
    **{f"{core}.numeric._frombuffer": _frombuffer for core in ("numpy.core", "numpy._core")},
    "numpy.dtype": _dtype,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.storage._load_from_bytes": _nested,
    "torch.device": _texts,
    "torch.Size": _size,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "collections.OrderedDict": _dict,
    "collections.defaultdict": lambda reader, name, *arguments: {},
    "dnnlib.util.EasyDict": _dict,
    "dnnlib.EasyDict": _dict,
    "argparse.Namespace": _record,
    **{f"{place}.Network": _record for place in ("dnnlib.tflib.network", "dnnlib.tflib.tfutil", "tfutil", "network")},
    **{f"pathlib.{name}": _texts for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")},
    **{f"{module}.{name}": _set for module in ("builtins", "__builtin__") for name in ("set", "frozenset")},
    "copyreg._reconstructor": _reconstructed,
    "copy_reg._reconstructor": _reconstructed,
    "_codecs.encode": _encoded,
}

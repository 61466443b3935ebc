"""What a checkpoint's pickle may name, and what stands in for each: plain data, never the thing itself.

The unpickler calls these as often as a file says. So each does the same little work whatever it is called with: contents
are kept as they are, and looked at by those who use them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from .stored import KINDS, StoredTensor
from .stored_array import DType, Sealed, StoredArray

ARGUMENTS = 64  # of a call: Python copies them


class Global(Sealed):
    """A name. make: what stands in for calling it; None: it may be mentioned, but not called."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[..., Any] | None = None) -> None:
        self.name, self.make = name, make

    def __call__(self, *args: Any) -> Any:
        if self.make is None:
            raise UserError(f"it calls {self.name}, which is only mentioned in checkpoints")
        if len(args) > ARGUMENTS:
            raise UserError(f"it calls {self.name} with {len(args)} arguments")
        return self.make(*args)


class Dict(dict[Any, Any]):
    """OrderedDict(), EasyDict(), defaultdict(factory); their attributes, as state_dict() gives them, are no data."""

    __slots__ = ()

    def __init__(self, factory: Any = None) -> None:
        if factory is not None and not isinstance(factory, Global | type):
            raise UserError("it makes a dict by a call with its content, as Python 2 did")

    def __setstate__(self, state: Any) -> None:
        pass


class Record:
    """An object of a foreign class, as data: what the class was called, and the object's attributes."""

    __slots__ = ("content",)
    name = "object"

    def __setstate__(self, state: Any) -> None:
        self.content = state

    @property
    def state(self) -> dict[Any, Any]:
        """Raises UserError if it has no attributes. Their names are text or numbers, as all keys."""
        content = getattr(self, "content", None)
        content = content[0] if type(content) is tuple and content else content
        if not isinstance(content, dict):
            raise UserError(f"a {self.name[:100]} in it has no named attributes")
        return content


class Foreign(Record):
    """An object of a class that is somebody's own: a discriminator, a whole model. Nothing is asked of it but its name."""

    __slots__ = ()

    def __new__(cls, *_: Any) -> Foreign:
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass


class Module(Record):
    __slots__ = ()
    name = "module of torch"


class Namespace(Record):
    __slots__ = ()
    name = "Namespace"


class Network(Record):
    __slots__ = ()
    name = "Network"


class Persistent(Record):
    """NVIDIA's: classes are stored as source code, which is dropped here, and attributes, which are kept."""

    __slots__ = ("name",)

    def __init__(self, meta: Any) -> None:
        if not isinstance(meta, dict) or type(meta.get("class_name")) is not str:
            raise UserError("it holds an object of NVIDIA's without a class")
        self.name, self.content = meta["class_name"], meta.get("state")


def _reconstruct(kind: Any, *_: Any) -> StoredArray:
    """NumPy would allocate the shape that is named here; it is ignored, as the true one follows."""
    if not isinstance(kind, Global) or kind.name != "numpy.ndarray":
        raise UserError("it holds an array of a class that is not NumPy's")
    return StoredArray()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> StoredArray:
    array = StoredArray()
    array.fill(data, dtype, shape, "F" if type(order) is str and order == "F" else "C", axes)
    return array


def _scalar(dtype: Any, data: Any) -> Any:
    return np.asarray(_from_buffer(data, dtype, (), "C")).item()


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *others: Any) -> StoredTensor:
    """_rebuild_tensor, _v2 and _v3, which has a type of its own; what else they are told matters to training only."""
    own = others[2] if len(others) > 2 and isinstance(others[2], torch.dtype) else None
    return StoredTensor(storage, offset, shape, stride, own)


def _parameter(tensor: Any, *_: Any) -> StoredTensor:
    if not isinstance(tensor, StoredTensor):
        raise UserError("it makes a parameter of what is no tensor")
    return tensor


def _tensor_of_type(function: Any, kind: Any, inner: Any, *_: Any) -> Any:
    """_rebuild_from_type_v2: a tensor that was given attributes."""
    if not isinstance(function, Global) or function.make not in (_tensor, _parameter):
        raise UserError("it makes a tensor by a call that is none of torch's")
    if not isinstance(kind, Global) or kind.name not in _TENSORS or type(inner) is not tuple:
        raise UserError("it makes a tensor of an unknown class")
    return function(*inner)


def _same(value: Any = ()) -> Any:
    """Sets and sizes as the list or tuple they are made of: to hash what is in it could take forever."""
    if type(value) not in (list, tuple):
        raise UserError("it makes a set or a size of what is no list")
    return value


_TENSORS = ("torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter")
_MENTIONED = (
    "numpy.ndarray",
    *_TENSORS,
    *(f"builtins.{name}" for name in ("int", "long", "float", "str", "bool", "list", "dict")),
)
_DICTS = ("collections.OrderedDict", "collections.defaultdict", "dnnlib.EasyDict", "dnnlib.util.EasyDict")
_NETWORKS = ("dnnlib.tflib.network.Network", "dnnlib.tflib.tfutil.Network", "tfutil.Network")
_CALLED: dict[str, Callable[..., Any]] = {
    "builtins.set": _same,
    "builtins.frozenset": _same,
    "builtins.bytes": lambda: b"",
    **{f"pathlib.{name}": lambda *parts: "a path" for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath")},
    "numpy.dtype": DType,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "torch.Size": _same,
    "torch.device": lambda *where: "cpu",
    **{f"torch._utils._rebuild_{name}": _tensor for name in ("tensor", "tensor_v2", "tensor_v3")},
    **{f"torch._utils._rebuild_{name}": _parameter for name in ("parameter", "parameter_with_state")},
    "torch._tensor._rebuild_from_type_v2": _tensor_of_type,
    "torch_utils.persistence._reconstruct_persistent_obj": Persistent,
}
_NAMES: dict[str, Any] = {  # classes are types, here too: NEWOBJ makes an object of nothing else
    **dict.fromkeys(_DICTS, Dict),
    **dict.fromkeys(("argparse.Namespace", "types.SimpleNamespace"), Namespace),
    **dict.fromkeys(_NETWORKS, Network),
    **{name: Global(name) for name in _MENTIONED},
    **{name: Global(name, make) for name, make in _CALLED.items()},
}
_RENAMED = {
    "__builtin__": "builtins",
    "numpy._core.multiarray": "numpy.core.multiarray",
    "numpy._core.numeric": "numpy.core.numeric",
    "pathlib._local": "pathlib",
}
# Packages of which nothing but what is listed is named: Python's own, and what this project works with.
_NEVER = {*sys.stdlib_module_names, "builtins", "numpy", "torch", "torch_utils", "dnnlib", "tfutil", "cloudpickle", "dill",
          "pip", "joblib", "pandas", "gan_inversion"}  # fmt: skip
_UNREAD = {  # tensors of which no generator is made
    r"torch\._utils\._rebuild_sparse\w*|torch\.sparse\w+": "a sparse tensor",
    r"torch\._utils\._rebuild_qtensor|torch\.Q\w+Storage": "a quantized tensor",
    r"torch\._utils\._rebuild_nested\w*|torch\.nested\..*": "a nested tensor",
    r"torch\._utils\._rebuild_meta\w*": "a tensor without numbers, of the device meta",
    r"torch\.(storage\.)?Complex\w*Storage|torch\.complex\d+": "a tensor of complex numbers",
}


@lru_cache(1000)
def _foreign(full: str) -> type[Foreign]:
    """A class of its own: an object of it is made by the type alone (NEWOBJ)."""
    return type("Foreign", (Foreign,), {"__slots__": (), "name": full})


def find(module: str, name: str) -> Any:
    """What stands in for `module.name`. Raises UserError for names of Python, NumPy and torch that are not on the list.

    Names of other packages are classes, as Python's naming goes, or functions: these may be mentioned, not called.
    """
    full = f"{_RENAMED.get(module, module)}.{name}"
    if full in _NAMES:
        return _NAMES[full]
    kind = re.fullmatch(r"torch\.(?:cuda\.|storage\.)?(\w+)Storage", full)
    if kind and kind[1] in KINDS:
        return KINDS[kind[1]]
    dtype = getattr(torch, name, None) if re.fullmatch(r"torch\.u?(float|bfloat|int|bool)\d*", full) else None
    if isinstance(dtype, torch.dtype):
        return dtype
    if re.fullmatch(r"torch\.nn\.modules\.\w+\._?[A-Z]\w*", full):
        return Module
    if re.fullmatch(r"torch\.nn\.(functional|utils)\.[\w.]+|torch\._C\._nn\.\w+|functools\.partial", full):
        return _foreign(full) if re.fullmatch(r"[A-Z]\w*|partial", name) else Global(full)
    for pattern, what in _UNREAD.items():
        if re.fullmatch(pattern, full):
            raise UserError(f"it holds {what}, as no generator does")
    if full.partition(".")[0] not in _NEVER and re.fullmatch(r"[A-Za-z_][\w.]*", full):
        return _foreign(full) if re.fullmatch(r"[A-Z]\w*", name) else Global(full)
    raise UserError(f"it asks for {full[:100]}, which no checkpoint needs and which might run code")

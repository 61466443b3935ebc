"""torch's tensors, parameters and storages in pickles: checked here, and left in the file."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import UserError
from .pickle_machine import Global, Machine
from .stored import Storage, StoredTensor

Args = tuple[Any, ...]
CLASSES = ("torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter")


def tensor(machine: Machine, args: Args) -> StoredTensor:
    """_rebuild_tensor(storage, offset, size, stride), and _v2 with what matters to training only."""
    storage, offset, shape, stride = args[:4]
    if not isinstance(storage, Storage) or type(shape) is not tuple or type(stride) is not tuple:
        raise UserError("it makes a tensor of what is no storage, size and stride")
    return StoredTensor(storage, offset, shape, stride, storage.dtype)


def typed_tensor(machine: Machine, args: Args) -> StoredTensor:
    found, dtype = tensor(machine, args), args[6]
    if not isinstance(dtype, torch.dtype) or found.storage.dtype != torch.uint8:
        raise UserError("it makes a tensor of what is no storage of bytes")
    return StoredTensor(found.storage, found.offset, found.shape, found.stride, dtype)


def parameter(machine: Machine, args: Args) -> StoredTensor:
    if not args or not isinstance(args[0], StoredTensor):
        raise UserError("it makes a parameter of what is no tensor")
    return args[0]


def tensor_of_type(machine: Machine, args: Args) -> Any:
    """_rebuild_from_type_v2(function, type, arguments, state): a tensor that was given attributes."""
    function, kind, inner = args[:3]
    if not isinstance(function, Global) or function.make not in (tensor, typed_tensor, parameter):
        raise UserError("it makes a tensor by a call that is none of torch's")
    if not isinstance(kind, Global) or kind.name not in CLASSES or type(inner) is not tuple:
        raise UserError("it makes a tensor of an unknown class")
    return function.make(machine, inner)


def nested_storage(machine: Machine, args: Args) -> Storage:
    """torch would read these bytes without any check, and so run what is nested in them."""
    from .torch_legacy import read_legacy  # which reads pickles by this module

    (data,) = args
    if machine.depth or type(data) not in (bytes, memoryview):
        raise UserError("it holds a storage within a storage, or a damaged one")
    found = read_legacy(memoryview(data), machine.budget, depth=machine.depth + 1)
    if not isinstance(found, Storage):
        raise UserError("it nests a file in a file that is no tensor's storage")
    return found

"""Pickles read as data: numbers, texts, containers, arrays and tensors. Nothing that they name is imported or called.

A pickle is a program for a small machine that can call any function of Python. Here that machine (`pickle._Unpickler`, the
one in Python, whose memo is a dict and cannot be made to allocate) has its calling instructions replaced: what is called
are functions of `RULES` alone, our own, each of which checks its arguments. Classes become `Record`s, tensors `TensorRef`s.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..interfaces import UserError
from .pickle_rules import RULES, ArrayShell, DtypeShell, Named, Record, Storage

ROOM = 40 * 2**20  # bytes that small objects may take, besides the file's own size
COST, COST_OF_SET, COST_OF_MEMO = 88, 240, 100  # bytes, about, of an object, a set, an entry of the memo


class Source(Protocol):
    """Where pickles are read from."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self) -> bytes: ...


@dataclass
class Budget:
    """What is left of the memory that objects may take: a small file cannot ask for much."""

    left: int

    def spend(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            raise UserError("pickle refused: it makes far more objects than a file of its size holds.")


@dataclass
class Reader:
    """How one file is read. `storage`: (dtype name, key, count) -> Storage, for formats that keep tensors apart."""

    budget: Budget
    storage: Callable[[str, str, int], Storage] | None = None
    nested: bool = False  # inside of another pickle
    seen: dict[str, Storage] = field(default_factory=dict)

    def load(self, source: Source) -> Any:
        """The next pickle of `source`. Raises UserError if it is damaged, or calls what it must not."""
        try:
            return _Machine(source, self).load()
        except UserError:
            raise
        except RecursionError:
            raise UserError("pickle refused: nested too deeply.") from None
        except MemoryError:
            raise UserError("pickle refused: it asks for more memory than there is.") from None
        except Exception as error:  # a damaged file can go wrong anywhere in the machine
            reason = str(error)[:120] or "it ends too early"
            raise UserError(f"pickle refused: damaged ({type(error).__name__}: {reason}).") from None


class Window:
    """A file from where it stands, that cannot be asked for more than it has left."""

    def __init__(self, file: Any, size: int) -> None:
        self.file, self.left = file, size

    def read(self, size: int, /) -> bytes:
        data: bytes = self.file.read(max(0, min(size, self.left)))
        self.left -= len(data)
        return data

    def readline(self) -> bytes:
        data: bytes = self.file.readline(self.left)
        self.left -= len(data)
        return data


def read_bytes(data: bytes, budget: Budget | None = None) -> Any:
    """A pickle in memory."""
    return Reader(budget or Budget(ROOM + len(data))).load(io.BytesIO(data))


_Base: Any = pickle._Unpickler


class _Machine(_Base):
    """The stack machine without its ways to the outside."""

    def __init__(self, source: Source, reader: Reader) -> None:
        super().__init__(source, encoding="latin1", fix_imports=False)
        self.reader = reader

    def find_class(self, module: str, name: str) -> Named:
        return Named(str(module), str(name))

    def persistent_load(self, pid: Any) -> Storage:
        """("storage", type, key, device, count[, view]), as torch writes them."""
        if self.reader.storage is None or not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise UserError("pickle refused: it refers to something outside of it.")
        kind, key, count = pid[1], pid[2], pid[4]
        if not isinstance(kind, Named) or not isinstance(key, (str, int)) or type(count) is not int or count < 0:
            raise UserError("pickle refused: a tensor's storage is described wrongly.")
        if len(pid) == 6 and pid[5] is not None:
            raise UserError("pickle refused: a view of another storage; save it with a newer torch.")
        key = str(key)
        if key not in self.reader.seen:
            self.reader.seen[key] = self.reader.storage(kind.name, key, count)
        return self.reader.seen[key]

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Named) or not isinstance(arguments, tuple):
            raise UserError("pickle refused: it calls something that is no function.")
        rule = RULES.get(function.full)
        if rule is None:
            raise UserError(f"pickle refused: it calls {function.full[:120]}, and nothing of a checkpoint is executed.")
        return rule(self.reader, function.full, *arguments)

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments)

    def load_newobj(self) -> None:
        self.load_reduce()

    def load_newobj_ex(self) -> None:
        keywords = self.stack.pop()
        if keywords:
            raise UserError("pickle refused: it makes an object with keywords.")
        self.load_reduce()

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, (Record, ArrayShell, DtypeShell)):
            target.build(state)
        elif not isinstance(target, dict):  # ordered dicts of torch carry a version of their modules: not needed
            raise UserError(f"pickle refused: it sets the state of a {type(target).__name__}.")

    def load_append(self) -> None:
        value = self.stack.pop()
        self._of(list).append(value)

    def load_appends(self) -> None:
        values = self.pop_mark()
        self._of(list).extend(values)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._of(dict)[key] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self._of(dict).update(zip(items[::2], items[1::2], strict=True))

    def load_additems(self) -> None:
        values = self.pop_mark()
        self._of(set).update(values)

    def load_memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _of(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise UserError(
                f"pickle refused: it changes a {type(self.stack[-1]).__name__} as if it were a {kind.__name__}."
            )
        return self.stack[-1]

    def refuse(self) -> None:
        raise UserError("pickle refused: it uses an instruction that checkpoints do not need.")

    dispatch: dict[int, Any] = dict(_Base.dispatch)  # noqa: RUF012 (as in the base class)


def _charged(step: Callable[[_Machine], None], cost: int) -> Callable[[_Machine], None]:
    def charge(machine: _Machine) -> None:
        machine.reader.budget.spend(cost)
        step(machine)

    return charge


_OURS: dict[bytes, Callable[[_Machine], None]] = {
    pickle.REDUCE: _Machine.load_reduce,
    pickle.NEWOBJ: _Machine.load_newobj,
    pickle.NEWOBJ_EX: _Machine.load_newobj_ex,
    pickle.BUILD: _Machine.load_build,
    pickle.APPEND: _Machine.load_append,
    pickle.APPENDS: _Machine.load_appends,
    pickle.SETITEM: _Machine.load_setitem,
    pickle.SETITEMS: _Machine.load_setitems,
    pickle.ADDITEMS: _Machine.load_additems,
    pickle.MEMOIZE: _Machine.load_memoize,
}
_NEVER = (pickle.INST, pickle.OBJ, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)
_COSTS = dict.fromkeys((pickle.EMPTY_SET, pickle.FROZENSET), COST_OF_SET) | dict.fromkeys(
    (pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE), COST_OF_MEMO
)
for _code, _step in list(_Machine.dispatch.items()):
    _name = struct.pack("B", _code)
    _chosen: Callable[[_Machine], None] = _Machine.refuse if _name in _NEVER else _OURS.get(_name, _step)
    _Machine.dispatch[_code] = _charged(_chosen, _COSTS.get(_name, COST))

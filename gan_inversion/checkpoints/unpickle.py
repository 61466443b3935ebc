"""Pickles, read by Python's own unpickler without importing, calling or believing anything that they name.

The unpickler is handed a pickle only after each of its opcodes was looked at (`_checked`): it would take gigabytes for a
memo place of nine bytes, and forever to hash a tuple that holds itself twice, sixty deep. What the names in it then
become is one table (`stand_ins.py`). All work and memory is in proportion to the file, within a `Budget`.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from ..errors import UserError
from .stand_ins import Global, find

OPCODES = 200_000  # of any file; the largest checkpoints need about half
BYTES_PER_OPCODE = 500  # for each so many bytes, one opcode more
TEXT = 4_000_000  # characters, which take up to four bytes each
READ = 2_000_000  # bytes of one text, or of a zip's directory
LINE = 256  # bytes of a name or of a number in decimal
KEY = 1000  # characters: two that are equal, but not the same, are compared whole each time
BITS = 64  # of an integer: Python hashes larger ones modulo a prime, so keys that all collide could be made of them
NAME = 256  # characters

_BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_PUT, _GET = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}, {"GET", "BINGET", "LONG_BINGET"}
# What makes values that may be keys: their hashes cost nothing, and cannot be made to collide.
_KEYS = {
    *("NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
}
# What takes keys, and which of its operands they are.
_KEYED = {
    "SETITEM": slice(1, 2),
    "SETITEMS": slice(0, None, 2),
    "DICT": slice(0, None, 2),
    "ADDITEMS": slice(None),
    "FROZENSET": slice(None),
}
_REFUSED = {"STRING", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER", "NEWOBJ_EX"}


class Budget:
    """What one file may cost, however many pickles are nested in it. Large files may hold a little more."""

    def __init__(self, file_size: int = 0) -> None:
        self.opcodes, self.text = OPCODES + file_size // BYTES_PER_OPCODE, TEXT

    def charge(self, opcodes: int = 0, text: int = 0) -> None:
        """Raises UserError if it is used up."""
        self.opcodes -= opcodes
        self.text -= text
        if self.opcodes < 0:
            raise UserError("it holds far more objects than a checkpoint does")
        if self.text < 0:
            raise UserError(f"it holds more than {TEXT // 1_000_000} MB of text, as no checkpoint does")


class View:
    """The file's bytes for code that reads files: nothing long is copied, and no line is longer than LINE."""

    def __init__(self, data: memoryview, place: int = 0) -> None:
        self.data, self.place = data, place

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self.place = max(0, (0, self.place, len(self.data))[whence] + offset)
        return self.place

    def read(self, size: int = -1, /) -> Any:
        """Bytes, fewer at the file's end; of parts longer than READ only a `range`, which has their length."""
        left = max(0, len(self.data) - self.place)
        start, self.place = self.place, self.place + (min(size, left) if size >= 0 else left)
        part = range(start, self.place)
        return part if len(part) > READ else bytes(self.data[start : self.place])

    def readline(self) -> bytes:
        line = bytes(self.data[self.place : self.place + LINE])
        line = line[: line.find(b"\n") + 1 or LINE]
        self.place += len(line)
        return line


class _Stack:
    """Which of the values that the unpickler will have on its stack and in its memo may be keys."""

    def __init__(self) -> None:
        self.values: list[bool] = []
        self.marks: list[int] = []
        self.memo: dict[int, bool] = {}

    def step(self, opcode: pickletools.OpcodeInfo, arg: Any, highest: int) -> None:
        """What an opcode does to it, by pickletools' own description. highest: place in the memo."""
        name, before, values, marks = opcode.name, opcode.stack_before, self.values, self.marks
        if name in _PUT:
            place = len(self.memo) if name == "MEMOIZE" else arg
            if not 0 <= place <= highest:
                raise UserError(f"it remembers an object as the {place}th, and has not as many")
            self.memo[place] = values[-1]
        elif name in _GET:
            values.append(self.memo[arg])
        elif name == "MARK":
            marks.append(len(values))
        elif name == "POP" and marks and marks[-1] == len(values):
            marks.pop()
        else:
            below = before.index(pickletools.markobject) if pickletools.markobject in before else 0
            start = marks.pop() if pickletools.markobject in before else len(values) - len(before)
            if start < below:
                raise UserError("it is damaged: its stack is empty too early")
            operands = values[start:]
            del values[start - below :]
            if name in _KEYED and not all(operands[_KEYED[name]]):
                raise UserError("a key of a dict or set in it is neither short text nor a whole number")
            values += [name in _KEYS and not (type(arg) is str and len(arg) > KEY)] * len(opcode.stack_after)


def _checked(data: memoryview, start: int, budget: Budget) -> tuple[bytearray, list[memoryview], int]:
    """The pickle without its bytes, those bytes as views of the file, and where it ends.

    They are left out as protocol 5 leaves out buffers, so that the unpickler copies none; and so are frames, which would
    have other lengths without them. Raises UserError, and what pickletools raises for what is no pickle.
    """
    code, buffers, stack, view, kept, count = bytearray(), [], _Stack(), View(data, start), start, 0
    for opcode, arg, place in pickletools.genops(cast("Any", view)):
        name, count = opcode.name, count + 1
        budget.charge(opcodes=1, text=len(arg) if isinstance(arg, str) else 0)
        if name in _REFUSED:
            raise UserError(f"it uses {name}, which no checkpoint needs")
        if isinstance(arg, int) and arg.bit_length() > BITS:
            raise UserError(f"it holds an integer of {arg.bit_length()} bits")
        stack.step(opcode, arg, count)
        if name in _BYTES or name == "FRAME":
            code += data[kept:place]
            kept = view.place
        if name in _BYTES:
            code += pickle.NEXT_BUFFER
            buffers.append(data[view.place - len(cast("bytes", arg)) : view.place])
    code += data[kept : view.place]
    return code, buffers, view.place


class _Unpickler(pickle.Unpickler):
    load_storage: Callable[[Any], Any] | None
    own: dict[str, Callable[..., Any]]  # names that stand for what belongs to this file

    def find_class(self, module: str, name: str) -> Any:
        if len(module) + len(name) > NAME:
            raise UserError("it mentions a name that is longer than any")
        full = f"{module}.{name}"
        return Global(full, self.own[full]) if full in self.own else find(module, name)

    def persistent_load(self, pid: Any) -> Any:
        if self.load_storage is None:
            raise UserError("it refers to a storage outside itself, which pickles alone cannot")
        return self.load_storage(pid)


def _encode(budget: Budget, text: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes: as text, one letter a byte."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise UserError("it makes bytes of what is no text")
    budget.charge(text=len(text))
    return text.encode("latin1")


def read_pickle(
    data: memoryview,
    budget: Budget | None = None,
    start: int = 0,
    load_storage: Callable[[Any], Any] | None = None,
    load_nested: Callable[[Any], Any] | None = None,
) -> tuple[Any, int]:
    """The value of the pickle that begins at `start`, and where it ends.

    Numbers, text, lists, tuples, sets, dicts, bytes as views of `data`, and the stand-ins of `stand_ins.py`.
    load_storage: for persistent ids; load_nested: for bytes that torch would load. Without them, both are refused.
    Raises UserError, and nothing else: "it asks for os.system", without the file's name.
    """
    budget = budget or Budget(len(data))
    try:
        code, buffers, end = _checked(data, start, budget)
        unpickler = _Unpickler(io.BytesIO(code), buffers=buffers)
        unpickler.load_storage = load_storage
        unpickler.own = {"_codecs.encode": partial(_encode, budget)}
        if load_nested:
            unpickler.own["torch.storage._load_from_bytes"] = load_nested
        return unpickler.load(), end
    except UserError:
        raise
    except Exception as error:  # whatever the two of Python's modules raise for what is damaged
        raise UserError(
            f"it is damaged or cut off, or no checkpoint ({type(error).__name__}: {str(error)[:100]})"
        ) from None


def read_arrays(data: bytes) -> dict[str, Any]:
    """The nested dict of NumPy arrays in a pickle; `np.asarray` gives them, as read-only views of `data`.

    Raises UserError if it contains anything but plain data and NumPy arrays.
    """
    try:
        tree, _ = read_pickle(memoryview(data))
    except UserError as error:
        raise UserError(f"pickle refused: {error}.") from None
    if not isinstance(tree, dict):
        raise UserError(f"pickle refused: holds a {type(tree).__name__}, not a dict of arrays.")
    return tree

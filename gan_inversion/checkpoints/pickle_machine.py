"""Pickle's byte code, run by a machine that can only build plain data.

Python's own unpicklers import and call what a file names, allocate what it declares before reading it, and set attributes
on what it names. This one has no import in it: a name becomes whatever `find` gives for it, calls are made only to
`Global`s that `find` gave, and all that it allocates is charged to a `Budget`. Long bytes are views of the file.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..interfaces import UserError

WORK = 1_000_000  # units, each about 30 bytes of memory and a microsecond; the largest checkpoints need a fifth
TEXT = 4_000_000  # bytes of UTF-8, which may take four times as much memory
LINE, DIGITS = 256, 64  # bytes of a name, and of a number in decimal
LONG_INTEGER = 128  # bytes
LONG_BYTES = 256  # from here on, bytes are a view of the file
KEY_LIMIT = 1 << 60  # Python hashes larger integers modulo a prime: keys that all collide could be made of them


class Budget:
    """What one file may cost, however many pickles are nested in it. Large files may hold a little more."""

    def __init__(self, file_size: int = 0) -> None:
        self.work, self.text = WORK + file_size // 500, TEXT

    def charge(self, units: int) -> None:
        self.work -= units
        if self.work < 0:
            raise UserError("it holds far more objects than a checkpoint does")

    def charge_text(self, size: int) -> None:
        self.text -= size
        if self.text < 0:
            raise UserError(f"it holds more than {TEXT // 1_000_000} MB of text, as no checkpoint does")


@dataclass(frozen=True, eq=False)
class Global:
    """A name that a pickle mentions. make: what stands in for calling it; None: it may be mentioned, but not called."""

    name: str
    make: Callable[[Machine, tuple[Any, ...]], Any] | None = None


class Shell:
    """An object whose content follows (BUILD). What `built` returns takes its place, also where it is remembered."""

    def __init__(self) -> None:
        self.places: list[int] = []  # in the memo

    def built(self, state: Any) -> Any:
        raise NotImplementedError


Find = Callable[[str, str], Any]
PersistentLoad = Callable[[Any], Any]


class Machine:
    """One pickle in `data`, from `start` on. `depth` counts the pickles it is nested in."""

    def __init__(
        self,
        data: memoryview,
        find: Find,
        budget: Budget,
        persistent_load: PersistentLoad | None = None,
        start: int = 0,
        depth: int = 0,
    ) -> None:
        self.data, self.find, self.budget, self.depth = data, find, budget, depth
        self.persistent_load = persistent_load
        self.position = start
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value; `position` is then behind the pickle. Raises UserError saying why it is refused or damaged."""
        try:
            while True:
                code = self.data[self.position]
                self.position += 1
                if code == _STOP:
                    return self.stack.pop()
                cost, step = _STEPS[code]
                self.budget.charge(cost)
                step(self)
        except UserError:
            raise
        except IndexError:
            raise UserError("it is damaged or cut off: it ends, or its stack is empty, too early") from None
        except KeyError as error:
            raise UserError(f"it is damaged, or uses an opcode that no checkpoint needs ({error})") from None
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
            struct.error,
            MemoryError,
        ) as error:
            raise UserError(f"it is damaged ({type(error).__name__}: {str(error)[:100]})") from None

    # -------------------------------------------------------------- reading

    def take(self, size: int) -> memoryview:
        """The next bytes. Nothing is allocated, so a size that was made up is only compared with what is there."""
        end = self.position + size
        if size < 0 or end > len(self.data):
            raise UserError("it is damaged or cut off: it declares more bytes than there are")
        part = self.data[self.position : end]
        self.position = end
        return part

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self, limit: int = LINE) -> str:
        part = bytes(self.data[self.position : self.position + limit])
        end = part.find(b"\n")
        if end < 0:
            raise UserError("it is damaged: a name or a number in it never ends")
        self.position += end + 1
        return part[:end].decode()

    def string(self, size: int, encoding: str = "utf-8") -> str:
        part = self.take(size)
        self.budget.charge_text(size)
        return str(part, encoding, "surrogatepass" if encoding == "utf-8" else "strict")

    def binary(self, size: int) -> bytes | memoryview:
        part = self.take(size)
        return part if size >= LONG_BYTES else bytes(part)

    # -------------------------------------------------------------- stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def items(self) -> list[Any]:
        """What was pushed since the mark."""
        found, self.stack = self.stack, self.below.pop()
        return found

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.items()

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def remember(self, place: int) -> None:
        value = self.stack[-1]
        if isinstance(value, Shell):
            value.places.append(place)
        self.memo[place] = value

    def recall(self, place: int) -> None:
        if place not in self.memo:
            raise UserError("it is damaged: it refers to what was never stored")
        self.push(self.memo[place])

    # -------------------------------------------------------------- containers

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise UserError("it appends to what is no list")
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise UserError("it sets items of what is no dict")
        if len(values) % 2:
            raise UserError("it is damaged: a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[checked_key(key)] = value

    def add_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not set:
            raise UserError("it adds to what is no set")
        target.update(checked_key(value) for value in values)

    def dict_of(self, values: list[Any]) -> None:
        self.push({})
        self.set_items(values)

    # -------------------------------------------------------------- names and calls

    def name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise UserError("it is damaged: a name that is no text")
        self.push(self.find(module, name))

    def call(self, target: Any, args: Any) -> None:
        if not isinstance(target, Global):
            raise UserError(f"it calls a {type(target).__name__}, which is data")
        if target.make is None:
            raise UserError(f"it calls {target.name}, which is only mentioned in checkpoints")
        if type(args) is not tuple:
            raise UserError(f"it calls {target.name} with what are no arguments")
        self.push(target.make(self, args))

    def reduce(self) -> None:
        args = self.stack.pop()
        self.call(self.stack.pop(), args)

    def new_object_with_keywords(self) -> None:
        keywords = self.stack.pop()
        if type(keywords) is not dict or keywords:
            raise UserError("it makes an object with keyword arguments, as no checkpoint does")
        self.reduce()

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is dict and (state is None or type(state) is dict):
            return  # attributes of a dict, such as those that state_dict() gives it, are no data
        if not isinstance(target, Shell):
            raise UserError(f"it sets the content of a {type(target).__name__}")
        self.stack[-1] = value = target.built(state)
        for place in target.places:
            if self.memo.get(place) is target:
                self.memo[place] = value

    def persistent(self, saved_id: Any) -> None:
        if self.persistent_load is None:
            raise UserError("it refers to a storage outside itself, which pickles alone cannot")
        self.push(self.persistent_load(saved_id))


def checked_key(key: Any) -> Any:
    """Keys whose hashes cost nothing and cannot be made to collide: others, such as nested tuples, could take hours."""
    if key is None or type(key) in (str, bytes, bool) or (type(key) is int and -KEY_LIMIT < key < KEY_LIMIT):
        return key
    raise UserError(f"a key of a dict or set in it is a {type(key).__name__}; text and whole numbers are read only")


def _integer(machine: Machine) -> None:
    text = machine.line(DIGITS)
    machine.push({"00": False, "01": True}[text] if text in ("00", "01") else _decimal(text))


def _decimal(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d+L?", text):
        raise UserError("it is damaged: a number that is none")
    return int(text.removesuffix("L"))


def _long(machine: Machine, size: int) -> None:
    if size > LONG_INTEGER:
        raise UserError(f"it holds an integer of {size} bytes")
    machine.push(int.from_bytes(machine.take(size), "little", signed=True))


def _refuse(what: str) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        raise UserError(f"it uses {what}, which no checkpoint needs")

    return step


def _frame(machine: Machine) -> None:
    size = machine.number("<Q")
    if size > len(machine.data) - machine.position:
        raise UserError("it is damaged or cut off: it declares more bytes than there are")


def _protocol(machine: Machine) -> None:
    if machine.number("<B") > pickle.HIGHEST_PROTOCOL:
        raise UserError("it is damaged, or a pickle of an unknown protocol")


def _stack_global(machine: Machine) -> None:
    name = machine.stack.pop()
    machine.name(machine.stack.pop(), name)


_STOP = ord(".")
# Opcode: (its cost in units, what it does). Costs follow the memory that Python takes for the object and its places.
_TABLE: dict[bytes, tuple[int, Callable[[Machine], Any]]] = {
    pickle.PROTO: (1, _protocol),
    pickle.FRAME: (1, _frame),
    pickle.MARK: (4, Machine.mark),
    pickle.POP: (1, Machine.pop),
    pickle.POP_MARK: (1, Machine.items),
    pickle.DUP: (1, lambda m: m.push(m.stack[-1])),
    pickle.NONE: (1, lambda m: m.push(None)),
    pickle.NEWTRUE: (1, lambda m: m.push(True)),
    pickle.NEWFALSE: (1, lambda m: m.push(False)),
    pickle.INT: (2, _integer),
    pickle.BININT: (2, lambda m: m.push(m.number("<i"))),
    pickle.BININT1: (1, lambda m: m.push(m.number("<B"))),
    pickle.BININT2: (2, lambda m: m.push(m.number("<H"))),
    pickle.LONG: (3, lambda m: m.push(_decimal(m.line(DIGITS)))),
    pickle.LONG1: (6, lambda m: _long(m, m.number("<B"))),
    pickle.LONG4: (6, lambda m: _long(m, m.number("<i"))),
    pickle.FLOAT: (2, lambda m: m.push(float(m.line(DIGITS)))),
    pickle.BINFLOAT: (2, lambda m: m.push(m.number(">d"))),
    pickle.UNICODE: (3, lambda m: m.push(m.line())),
    pickle.BINUNICODE: (3, lambda m: m.push(m.string(m.number("<I")))),
    pickle.SHORT_BINUNICODE: (3, lambda m: m.push(m.string(m.number("<B")))),
    pickle.BINUNICODE8: (3, lambda m: m.push(m.string(m.number("<Q")))),
    pickle.BINSTRING: (3, lambda m: m.push(m.string(m.number("<i"), "ascii"))),
    pickle.SHORT_BINSTRING: (3, lambda m: m.push(m.string(m.number("<B"), "ascii"))),
    pickle.BINBYTES: (8, lambda m: m.push(m.binary(m.number("<I")))),
    pickle.SHORT_BINBYTES: (8, lambda m: m.push(m.binary(m.number("<B")))),
    pickle.BINBYTES8: (8, lambda m: m.push(m.binary(m.number("<Q")))),
    pickle.BYTEARRAY8: (8, lambda m: m.push(m.binary(m.number("<Q")))),
    pickle.EMPTY_LIST: (4, lambda m: m.push([])),
    pickle.EMPTY_TUPLE: (1, lambda m: m.push(())),
    pickle.EMPTY_DICT: (4, lambda m: m.push({})),
    pickle.EMPTY_SET: (8, lambda m: m.push(set())),
    pickle.LIST: (4, lambda m: m.push(m.items())),
    pickle.TUPLE: (3, lambda m: m.push(tuple(m.items()))),
    pickle.TUPLE1: (3, lambda m: m.tuple_of(1)),
    pickle.TUPLE2: (3, lambda m: m.tuple_of(2)),
    pickle.TUPLE3: (3, lambda m: m.tuple_of(3)),
    pickle.DICT: (8, lambda m: m.dict_of(m.items())),
    pickle.FROZENSET: (8, lambda m: m.push(frozenset(map(checked_key, m.items())))),
    pickle.APPEND: (2, lambda m: m.append([m.stack.pop()])),
    pickle.APPENDS: (2, lambda m: m.append(m.items())),
    pickle.SETITEM: (8, lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()])),
    pickle.SETITEMS: (8, lambda m: m.set_items(m.items())),
    pickle.ADDITEMS: (8, lambda m: m.add_items(m.items())),
    pickle.PUT: (4, lambda m: m.remember(_decimal(m.line(DIGITS)))),
    pickle.BINPUT: (4, lambda m: m.remember(m.number("<B"))),
    pickle.LONG_BINPUT: (4, lambda m: m.remember(m.number("<I"))),
    pickle.MEMOIZE: (4, lambda m: m.remember(len(m.memo))),
    pickle.GET: (1, lambda m: m.recall(_decimal(m.line(DIGITS)))),
    pickle.BINGET: (1, lambda m: m.recall(m.number("<B"))),
    pickle.LONG_BINGET: (1, lambda m: m.recall(m.number("<I"))),
    pickle.GLOBAL: (6, lambda m: m.name(m.line(), m.line())),
    pickle.STACK_GLOBAL: (6, _stack_global),
    pickle.REDUCE: (12, Machine.reduce),
    pickle.NEWOBJ: (12, Machine.reduce),
    pickle.NEWOBJ_EX: (12, Machine.new_object_with_keywords),
    pickle.BUILD: (12, Machine.build),
    pickle.PERSID: (12, lambda m: m.persistent(m.line())),
    pickle.BINPERSID: (12, lambda m: m.persistent(m.stack.pop())),
    pickle.STRING: (1, _refuse("text in the notation of Python 2")),
    pickle.INST: (1, _refuse("INST (an instance of a class of Python 2)")),
    pickle.OBJ: (1, _refuse("OBJ (an instance of a class of Python 2)")),
    pickle.EXT1: (1, _refuse("EXT1 (a registered extension)")),
    pickle.EXT2: (1, _refuse("EXT2 (a registered extension)")),
    pickle.EXT4: (1, _refuse("EXT4 (a registered extension)")),
    pickle.NEXT_BUFFER: (1, _refuse("NEXT_BUFFER (data outside the file)")),
    pickle.READONLY_BUFFER: (1, _refuse("READONLY_BUFFER (data outside the file)")),
}
_STEPS = {code[0]: entry for code, entry in _TABLE.items()}

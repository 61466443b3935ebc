"""Pickle's byte code, run by a machine that can only build plain data.

Python's own unpicklers import and call what a file names, allocate what it declares before reading it, and set attributes
on what it names. This one has no import in it: a name becomes whatever `find` gives for it, calls are made only to
`Global`s that `find` gave, and all that it allocates is charged to a `Budget`. Long bytes are views of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import UserError

WORK = 1_000_000  # units, each about 30 bytes of memory and a microsecond; the largest checkpoints need a fifth
TEXT = 4_000_000  # bytes of UTF-8, which may take four times as much memory
LINE = 256  # bytes of a name
LONG_KEY = 1000  # characters: two that are equal, but not the same, would be compared whole each time
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
        if max(len(module), len(name)) > LINE:
            raise UserError("it mentions a name that is longer than any")
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
    short = type(key) in (str, bytes) and len(key) <= LONG_KEY
    if key is None or short or type(key) is bool or (type(key) is int and -KEY_LIMIT < key < KEY_LIMIT):
        return key
    raise UserError(
        f"a key of a dict or set in it is a {type(key).__name__}; short text and whole numbers are read only"
    )

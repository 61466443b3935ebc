"""The opcodes of pickle: what each costs, and what the machine does. Those that no checkpoint needs are refused."""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable
from typing import Any

from ..errors import UserError
from .pickle_machine import Machine, checked_key

DIGITS = 64  # bytes of a number in decimal
LONG_INTEGER = 128  # bytes


def run(machine: Machine) -> Any:
    """The value of the pickle that a machine is set on; its `position` is then behind it.

    Raises UserError saying why the pickle is refused or damaged.
    """
    try:
        while True:
            code = machine.data[machine.position]
            machine.position += 1
            if code == _STOP:
                return machine.stack.pop()
            cost, step = _STEPS[code]
            machine.budget.charge(cost)
            step(machine)
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


def _integer(machine: Machine) -> None:
    text = machine.line(DIGITS)
    machine.push({"00": False, "01": True}[text] if text in ("00", "01") else _decimal(text))


def _unicode(machine: Machine) -> None:
    text = machine.line()
    machine.budget.charge_text(len(text.encode()))
    machine.push(text)


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
    pickle.UNICODE: (3, _unicode),
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

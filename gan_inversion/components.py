"""Config node -> object. The only place that turns names into code, and only code of this package.

An option's schema is its constructor's signature: unknown keys, wrong types and missing values are errors that name
the key and, for a slip of the finger, the key that was meant. A command is built like any option: its fields are its keys,
and groups arrive as the objects they describe.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from .errors import UserError, suggestion

PREFIX = "gan_inversion."
T = TypeVar("T")


def build(node: Mapping[str, Any], where: str, said: Mapping[str, str] | None = None) -> Any:
    """Call the node's `_target_` with its other keys. `where` is the node's place in the config, for messages.

    said: what was typed for a key, as text: a name that looks like a number is still a name.
    """
    fields = dict(node)
    target = fields.pop("_target_", None)
    if not isinstance(target, str) or not target.startswith(PREFIX):
        raise UserError(f"{where}._target_={target}: only {PREFIX}* can be built from a config.")
    module, _, name = target.rpartition(".")
    try:
        constructor = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{where}._target_={target}: {error}") from error
    if not callable(constructor) or not constructor.__module__.startswith(PREFIX):
        raise UserError(f"{where}._target_={target}: this is not something of this package that can be built.")
    return construct(constructor, fields, where, said or {})


def construct(constructor: Any, fields: Mapping[str, Any], where: str, said: Mapping[str, str]) -> Any:
    """Call it with `fields`, each checked against its type, and `where` "" at the top. Raises UserError naming the key."""
    parameters, hints = _schema(constructor)
    prefix = f"{where}." if where else ""
    for key in fields:
        if key not in parameters:
            raise UserError(f"unknown key {prefix}{key}.{suggestion(key, parameters)}")
    checked = {key: _check(value, hints.get(key, Any), f"{prefix}{key}", said) for key, value in fields.items()}
    missing = [k for k, p in parameters.items() if p.default is p.empty and k not in checked]
    if missing:
        names = ", ".join(f"{prefix}{key}" for key in missing)
        raise UserError(f"{names} must be given, e.g. {prefix}{missing[0]}=...")
    for field in dataclasses.fields(constructor) if dataclasses.is_dataclass(constructor) else ():
        least, value = field.metadata.get("least"), checked.get(field.name)
        if least is not None and value is not None and value < least:
            raise UserError(f"{prefix}{field.name}={value}: must be at least {least}.")
    try:
        return constructor(**checked)
    except ValueError as error:
        raise UserError(f"{where}: {error}" if where else str(error)) from error


def changed(component: T, values: Mapping[str, Any], where: str) -> T:
    """A built component with other values of some keys, checked as when it was built."""
    now = {field.name: getattr(component, field.name) for field in dataclasses.fields(component) if field.init}  # type: ignore[arg-type]
    built: T = construct(type(component), {**now, **values}, where, {})
    return built


@lru_cache
def _schema(constructor: Any) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    """Parameters of a constructor, and their types."""
    hints = typing.get_type_hints(constructor)
    return inspect.signature(constructor).parameters, hints


def _check(value: Any, hint: Any, where: str, said: Mapping[str, str]) -> Any:
    """The value as the type the constructor names. Raises UserError if it is not of that type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, Mapping) and "_target_" in value:
        return build(value, where, said)
    if hint is Any or getattr(hint, "_is_protocol", False):
        return value
    if origin in (typing.Union, types.UnionType):
        if str in arguments and where in said and not isinstance(value, (str, types.NoneType)):
            return said[where]
        for option in arguments:
            try:
                return _check(value, option, where, said)
            except UserError:
                continue
    elif origin is tuple and isinstance(value, (list, tuple)):
        inner = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) == len(value):
            places = enumerate(zip(value, inner, strict=True))
            return tuple(_check(v, t, f"{where}[{i}]", said) for i, (v, t) in places)
    elif origin is tuple and arguments[-1] is Ellipsis:
        raise UserError(f"{where}: a list is needed: {where}=[A,B], or {where}=[A] for one.")
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        return {str(k): _check(v, arguments[1], f"{where}.{k}", said) for k, v in value.items()}
    elif hint is type(None) and value is None:
        return None
    elif hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1023:
        return float(value)
    elif hint is str and where in said and isinstance(value, (int, float)):
        return said[where]
    elif inspect.isclass(hint) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    name = str(hint) if origin else getattr(hint, "__name__", str(hint))
    raise UserError(f"{where}={value!r}: expected {name}.")

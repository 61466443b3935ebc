"""Config node -> object. The only place that turns names into code, and only code of this package.

An option's schema is its constructor's signature: unknown keys, wrong types and missing values are errors that name
the key and, for a slip of the finger, the key that was meant.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import types
import typing
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

from .blending.inheritance import children
from .blending.offspring import Conception, prepare
from .errors import UserError, suggestion
from .faces.centre import CentreCrop
from .interfaces import Aligner, Generator
from .inversion.inverter import Inverter
from .store.inversions import Task

PREFIX = "gan_inversion."


def build(node: Mapping[str, Any], where: str) -> Any:
    """Call the node's `_target_` with its other keys. `where` is the node's place in the config, for messages."""
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
    parameters, hints = _schema(constructor)
    for key in fields:
        if key not in parameters:
            raise UserError(f"unknown key {where}.{key}.{suggestion(key, parameters)}")
    checked = {key: _check(value, hints.get(key, Any), f"{where}.{key}") for key, value in fields.items()}
    missing = [k for k, p in parameters.items() if p.default is p.empty and k not in checked]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} must be given, e.g. {where}.{missing[0]}=...")
    try:
        return constructor(**checked)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


@lru_cache
def _schema(constructor: Any) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    """Parameters of a constructor, and their types."""
    hints = typing.get_type_hints(constructor.__init__ if inspect.isclass(constructor) else constructor)
    return inspect.signature(constructor).parameters, hints


def _check(value: Any, hint: Any, where: str) -> Any:
    """The value as the type the constructor names. Raises UserError if it is not of that type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return _check(value, option, where)
            except UserError:
                continue
    elif origin is tuple and isinstance(value, (list, tuple)):
        inner = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) == len(value):
            return tuple(_check(v, t, f"{where}[{i}]") for i, (v, t) in enumerate(zip(value, inner, strict=True)))
    elif origin is dict and isinstance(value, Mapping):
        return {str(k): _check(v, arguments[1], f"{where}.{k}") for k, v in value.items()}
    elif hint is type(None) and value is None:
        return None
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif inspect.isclass(hint) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    name = str(hint) if origin else getattr(hint, "__name__", str(hint))
    raise UserError(f"{where}={value!r}: expected {name}.")


def build_inverter(config: Mapping[str, Any]) -> Inverter:
    """The nodes generator, space, start, losses and inversion of a config, as one object."""
    return Inverter(
        build({**config["generator"], "device": config["device"]}, "generator"),
        build(config["space"], "space"),
        build(config["start"], "start"),
        {name: build(node, f"losses.{name}") for name, node in config["losses"].items()},
        build(config["inversion"], "inversion"),
    )


@lru_cache(maxsize=2)
def _inverter_from_json(text: str) -> Inverter:
    return build_inverter(json.loads(text))


def build_task(config: Mapping[str, Any]) -> Task:
    """What runners hand to their workers; a process that runs it builds its generator once."""
    from .metrics.reconstruction import check_names

    check_names(config["metrics"])
    parts = {key: config[key] for key in ("generator", "device", "space", "start", "losses", "inversion")}
    make = partial(_inverter_from_json, json.dumps(parts, sort_keys=True))
    return Task(make, tuple(config["metrics"]), config["trace"])


def build_conception(config: Mapping[str, Any], generator: Generator) -> Conception:
    """The nodes blend, inherit and child of a config, and its seed, siblings and diversity, as one object."""
    base = build(config["blend"], "blend")
    keys = (config["siblings"], config["siblings_only"], config["seed"], config["diversity"])
    recipes = children(base, *keys, generator.num_ws)
    return prepare(recipes, build(config["inherit"], "inherit"), build(config["child"], "child"), generator)


def build_aligner(node: Mapping[str, Any], resolution: int, domain: str) -> Aligner:
    """The node aligner, at the generator's resolution unless it names a size of its own.

    For generators of other things than faces photographs are cropped to their middle, whatever the node says.
    """
    aligner = build(node, "aligner")
    if domain != "face":
        aligner = CentreCrop(aligner.size)
    return aligner if aligner.size else dataclasses.replace(aligner, size=resolution)

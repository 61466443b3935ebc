"""Configs and commands as the command line would compose and build them, in this process."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from gan_inversion import cli
from gan_inversion.commands.common import Invocation
from gan_inversion.components import construct
from gan_inversion.inversion.inverter import Inverter
from tests.conftest import TINY


def compose(*overrides: str, script: str = "family") -> dict[str, Any]:
    """The values of a command's config; a family of the photographs a and b."""
    return copy.deepcopy(_composed(script, ("father=a", "mother=b", *overrides) if script == "family" else overrides))


@cache  # composing takes a fifth of a second
def _composed(script: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    return cli.compose(script, overrides)


def tiny_config(*overrides: str) -> dict[str, Any]:
    return compose(*TINY, *overrides)


def command_of(values: dict[str, Any], script: str = "family") -> Any:
    """The command with these values."""
    return construct(cli.class_of(script), values, "", {})


def build_inverter(values: dict[str, Any]) -> Inverter:
    """What a family of these values inverts with."""
    inverter: Inverter = command_of(values).inverter().load()
    return inverter


def execute(values: dict[str, Any], script: str) -> None:
    """Run a command with these values."""
    command_of(values, script).run(Invocation(script, (), {}, cli.compose))

"""Configs become objects of this package only, and mistakes are named."""

from __future__ import annotations

import os
from typing import Any

import pytest

from gan_inversion.components import build, suggestion
from gan_inversion.errors import UserError
from gan_inversion.inversion.loop import Optimiser
from gan_inversion.losses.lpips import LPIPS

ADAM = {"_target_": "gan_inversion.inversion.loop.Optimiser"}


def test_values_take_their_types() -> None:
    made = build({**ADAM, "steps": 7, "learning_rate": 1, "betas": [0.5, 0.9], "target": None}, "inversion")
    assert made == Optimiser(steps=7, learning_rate=1.0, betas=(0.5, 0.9))
    assert isinstance(made.learning_rate, float)
    node = {"_target_": "gan_inversion.losses.lpips.LPIPS", "sizes": [64, 32], "size_weights": [1, 2]}
    assert build(node, "losses.lpips") == LPIPS(sizes=(64, 32), size_weights=(1.0, 2.0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stps": 3}, r"unknown key inversion.stps. Did you mean steps\?"),
        ({"zzz": 3}, r"unknown key inversion.zzz. Known: betas, "),
        ({"steps": "many"}, r"inversion.steps='many': expected int"),
        ({"steps": 2.5}, r"inversion.steps=2.5: expected int"),
        ({"steps": True}, r"inversion.steps=True: expected int"),
        ({"betas": [0.9]}, r"inversion.betas=\[0.9\]: expected tuple"),
        ({"target": "low"}, r"inversion.target='low': expected float \| None"),
        ({"keep": 3}, r"inversion.keep=3: expected str"),
    ],
)
def test_mistakes_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build({**ADAM, **fields}, "inversion")


@pytest.mark.parametrize(
    "target", ["os.system", "builtins.eval", "gan_inversion.nothing.X", "gan_inversion.image.X", None]
)
def test_only_this_package_is_built(target: str | None) -> None:
    """Law 7: a config cannot name other code."""
    with pytest.raises(UserError, match="_target_"):
        build({"_target_": target, "command": f"touch {os.devnull}"}, "generator")


def test_missing_values_are_named() -> None:
    with pytest.raises(UserError, match=r"start.path must be given, e.g. start.path=..."):
        build({"_target_": "gan_inversion.inversion.starts.FromInversion"}, "start")


def test_suggestions() -> None:
    assert suggestion("fathr", ["father", "mother"]) == " Did you mean father?"
    assert suggestion("x", ["b", "a"]) == " Known: a, b."

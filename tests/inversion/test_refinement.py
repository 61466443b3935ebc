"""Refinement of features: what it finds, keeps and leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.generators.frozen import sha256_of
from gan_inversion.generators.stylegan2 import build as build_stylegan2
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import to_tensor
from gan_inversion.interfaces import Generator, Step
from gan_inversion.inversion.refinement import Features
from gan_inversion.latents import load_latents, render, save_latents
from gan_inversion.store.store import Record, Store
from tests.conftest import drawn, make_inverter
from tests.families import tiny_checkpoint

PLAIN: dict[str, Any] = {
    "side": 16,
    "previews": 4,
    "whole": 4,
    "lpips": 0.0,
    "identity": 0.0,
    "sharp": 0.0,
}  # no weights


def error(generator: Generator, found: Any, face: Any) -> float:
    return (render(generator, found.latents) - to_tensor(face.pixels)).square().mean().item()


def test_nearer_with_the_same_ws_and_a_frozen_generator(generator: Tiny) -> None:
    face, before = drawn(generator, 1), sha256_of(generator)
    (rough,) = make_inverter(generator, steps=2)([face], [0])
    (found,) = make_inverter(generator, steps=2, refine=Features(**PLAIN))([face], [0])
    assert torch.equal(found.ws, rough.ws), "children and directions see the same latents"
    assert found.features is not None
    assert found.features.dtype == torch.float16
    assert error(generator, found, face) < 0.9 * error(generator, rough, face)
    assert found.losses["refined_pixel"] == pytest.approx(error(generator, found, face), rel=0.05)
    assert sha256_of(generator) == before


def test_a_batch_equals_its_faces(generator: Tiny) -> None:
    inverter = make_inverter(generator, steps=2, refine=Features(**PLAIN))
    faces = [drawn(generator, seed) for seed in (1, 2)]
    for together, face in zip(inverter(faces, [0, 0]), faces, strict=True):
        (alone,) = inverter([face], [0])
        assert together.features is not None
        assert alone.features is not None
        assert torch.equal(together.features, alone.features)


def test_it_is_stored_and_redrawn(generator: Tiny, tmp_path: Path) -> None:
    (found,) = make_inverter(generator, steps=2, refine=Features(**PLAIN))([drawn(generator, 1)], [0])
    picture = render(generator, found.latents)
    store = Store(str(tmp_path / "store"))
    store.put("ab" * 32, Record(found, {}))
    kept = store.get("ab" * 32)
    assert kept is not None
    assert torch.equal(render(generator, kept.inversion.latents), picture)
    save_latents(tmp_path / "a.safetensors", {"father": found.latents}, generator.sha256)
    assert torch.equal(render(generator, load_latents(tmp_path / "a.safetensors", "father").latents), picture)


def test_an_edit_keeps_it(generator: Tiny) -> None:
    """Other ws under the same delta: the picture changes as the edit asks, and what was added stays."""
    (found,) = make_inverter(generator, steps=2, refine=Features(**PLAIN))([drawn(generator, 1)], [0])
    assert found.features is not None
    edited = found.ws + 0.3
    ws, delta = edited[None], found.features[None].float()
    (own,) = generator.features(ws, [16])
    (with_delta,) = generator.features(ws, [16], added=delta)
    assert torch.allclose(with_delta - own, delta, atol=1e-6)


def test_every_step_is_told(generator: Tiny) -> None:
    told: list[Step] = []
    inverter = make_inverter(generator, steps=2, refine=Features(**PLAIN))
    inverter([drawn(generator, 1)], [0], told.append)
    assert [step.step for step in told] == list(range(inverter.steps + 1))
    assert {step.steps for step in told} == {inverter.steps}


def test_interrupted_keeps_the_latents(generator: Tiny) -> None:
    def stop(step: Step) -> None:
        if step.step == 5:
            raise KeyboardInterrupt

    (found,) = make_inverter(generator, steps=2, refine=Features(**PLAIN))([drawn(generator, 1)], [0], stop)
    assert found.stopped == "interrupted"
    assert found.features is None


@pytest.mark.parametrize(
    "change",
    [
        {"side": 32},
        {"previews": 2},
        {"whole": 2},
        {"learning_rate": 0.3},
        {"betas": (0.9, 0.99)},
        {"correct_every": 1},
        {"pixel": 1e-6},
    ],
)
def test_each_setting_moves_something(generator: Tiny, change: dict[str, Any]) -> None:
    """Also the key. correct_every: the tiny generator's previews are the true picture made smaller, so only the key."""
    face = drawn(generator, 1)
    base, other = (make_inverter(generator, steps=2, refine=Features(**{**PLAIN, **more})) for more in ({}, change))
    assert base.key(face, 0) != other.key(face, 0)
    if "correct_every" not in change and "pixel" not in change:
        a, b = (inverter([face], [0])[0].features for inverter in (base, other))
        assert a is not None
        assert b is not None
        assert a.shape != b.shape or not torch.equal(a, b)


@pytest.mark.weights
@pytest.mark.parametrize("change", [{"lpips": 2.0}, {"identity": 5.0}, {"sharp": 2.0}])
def test_each_weight_moves_something(generator: Tiny, change: dict[str, Any]) -> None:
    face = drawn(generator, 1)
    base, other = (make_inverter(generator, steps=2, refine=Features(**{**PLAIN, **more})) for more in ({}, change))
    a, b = (inverter([face], [0])[0].features for inverter in (base, other))
    assert a is not None and b is not None
    assert not torch.equal(a, b)


def test_a_generator_that_cannot(generator: Tiny) -> None:
    with pytest.raises(UserError, match="the features of this generator are 8, 16, 32"):
        make_inverter(generator, refine=Features(**{**PLAIN, "side": 64}))([drawn(generator, 1)], [0])
    other = build_stylegan2(tiny_checkpoint("stylegan2"), "cpu", None, "face", "float32")
    assert other.feature_sides == ()

"""The closed loop finds the step that a reading asks for, is not deceived by one noisy reading, and says when it fails."""

from __future__ import annotations

import functools
import logging
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gan_inversion.editing import steering
from gan_inversion.editing.files import Directions, save_directions
from gan_inversion.editing.loop import crossing, rising
from gan_inversion.editing.steering import FixedSteps, Steering
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import FaceLabels, Latents


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12))
def test_rising_is_isotonic(values: list[float]) -> None:
    found = rising(np.array(values))
    assert (np.diff(found) >= -1e-9).all()
    assert found.sum() == pytest.approx(sum(values), abs=1e-6)  # pools keep their sum
    assert np.allclose(rising(found), found)


def test_rising_and_crossing_by_hand() -> None:
    assert rising(np.array([1.0, 3, 2, 5, 4, 4])).tolist() == pytest.approx([1, 2.5, 2.5, 13 / 3, 13 / 3, 13 / 3])
    xs, values = np.arange(4.0), np.array([1.0, 2, 2, 5])
    assert crossing(xs, values, 3.5) == pytest.approx(2.5)
    assert crossing(xs, values, 2.0) == pytest.approx(1.5, abs=1e-6)  # midway of where it stays
    assert crossing(xs, values, 9.0) == 3
    assert crossing(xs, values, -9.0) == 0


class World:
    """A face whose reading is known: age 30 + 10 x, log-odds 2 y, with noise that depends on the picture alone."""

    def __init__(self, noise: float = 0.0) -> None:
        self.noise, self.looks = noise, 0

    def __call__(self, picture: torch.Tensor) -> FaceLabels:
        self.looks += 1
        x, y = picture[0].tolist()[:2]
        error = self.noise * math.sin(1e4 * x)
        return FaceLabels(30 + 10 * x + error, 1 / (1 + math.exp(-2 * y)))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(steering, "render", lambda generator, latents, size=None: latents.ws)
    return World()


def directions(reader: Any) -> Directions:
    vectors = {"age": torch.eye(16)[0], "gender": torch.eye(16)[1]}
    return Directions(vectors, {"age": 7.0, "gender": 3.0}, "w", reader)  # deviations that are a little off


FACE = Latents(torch.zeros(8, 16))
straight = functools.partial(Steering, search=0, scene=None)  # along the directions alone


def test_age_and_gender_are_reached(generator: Tiny, world: World) -> None:
    (child,) = straight(age=8, gender="female")(FACE, "male", directions(world), generator)
    assert child.reached
    assert child.read is not None
    assert child.read.age == pytest.approx(8, abs=0.5)
    assert child.read.male < 0.1
    assert child.steps[0] == pytest.approx(-2.2, abs=0.05)
    assert child.steps[1] > -2.5  # no further than it takes
    assert world.looks < 45
    assert child.gender == "female"


def test_gender_may_be_drawn_or_left(generator: Tiny, world: World) -> None:
    (drawn,) = straight(age=None, gender="drawn")(FACE, "male", directions(world), generator)
    assert drawn.gender == "male"
    assert drawn.read is not None
    assert drawn.read.male > 0.9
    (left,) = straight(age=20, gender=None)(FACE, "male", directions(world), generator)
    assert left.steps[1] == 0
    sure = Latents(torch.eye(16)[1].repeat(8, 1) * 2)
    (kept,) = straight(age=20, gender="male")(sure, "male", directions(world), generator)
    assert kept.steps[1] == 0  # what is sure already is left alone


def test_one_noisy_reading_does_not_decide(generator: Tiny, world: World) -> None:
    """With readings 4 years off here and there, the true age comes out nearer than that."""
    world.noise = 4.0
    errors = []
    for start in np.linspace(-0.5, 0.5, 12).tolist():
        face = Latents(torch.eye(16)[0].repeat(8, 1) * start)
        (child,) = straight(age=8, gender=None, tolerance=8.0)(face, "", directions(world), generator)
        errors.append(abs(30 + 10 * child.latents.ws[0, 0].item() - 8))
    assert np.mean(errors) < 2.5


def test_several_ages_of_one_child(generator: Tiny, world: World) -> None:
    found = straight(ages=(2, 8, 16, 30), gender=None)(FACE, "", directions(world), generator)
    assert [child.age for child in found] == [2, 8, 16, 30]
    (alone,) = straight(age=16, gender=None)(FACE, "", directions(world), generator)
    assert alone.steps == found[2].steps  # whatever other ages are drawn
    ages = [child.read.age for child in found if child.read]
    assert ages == pytest.approx([2, 8, 16, 30], abs=1)
    assert len({child.latents.ws[0, 5].item() for child in found}) == 1  # nothing else moved


def test_what_cannot_be_reached_is_said(generator: Tiny, world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (child,) = straight(age=80, gender=None, bound=1.0)(FACE, "", directions(world), generator)
    assert not child.reached
    assert abs(child.steps[0]) <= 1
    assert "asked for 80 years: came as near as 40 years" in caplog.text


def test_settings_move_the_result(generator: Tiny, world: World) -> None:
    def steps(**settings: Any) -> tuple[float, float]:
        goal = straight(**{"age": 8, "gender": "male", **settings})
        return goal(FACE, "", directions(world), generator)[0].steps

    assert steps(certainty=0.99)[1] > steps()[1]
    assert abs(steps(age=20)[0]) < abs(steps()[0])
    assert steps(bound=1.0)[0] == -1.0
    world.noise = 2.0
    assert not straight(age=8, gender=None, tolerance=1e-6)(FACE, "", directions(world), generator)[0].reached


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gender": "boy"}, "child.gender=boy: choose female, male, drawn or null"),
        ({"age": 300.0}, "child.age=300: 0 to 80 years"),
        ({"ages": (8.0, 8.0)}, "an age stands there twice"),
        ({"certainty": 1.0}, "certainty between 0.5 and 1"),
        ({"search": -1}, "child.search=-1: 0, or at least 2"),
        ({"scene": "beach"}, "child.scene=beach: choose one of neutral, father, mother, or null"),
    ],
)
def test_impossible_wishes(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Steering(**settings)


def test_directions_without_reader_cannot_steer(generator: Tiny, tmp_path: Any) -> None:
    with pytest.raises(UserError, match="published and closed-form directions cannot steer"):
        straight(age=8)(FACE, "male", directions(None), generator)
    assert Steering(age=None, gender=None).load(generator) is None
    path = tmp_path / "d.safetensors"
    save_directions(path, Directions({"young": torch.ones(16)}), generator, {})
    fixed = FixedSteps({"young": -1.5}, str(path))
    (child,) = fixed(FACE, "", fixed.load(generator), generator)
    assert torch.equal(child.latents.ws, torch.full((8, 16), -1.5))
    with pytest.raises(UserError, match=r"no direction called yuong\. Did you mean young"):
        FixedSteps({"yuong": 1.0}, str(path)).load(generator)

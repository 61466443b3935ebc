"""Edits of one face: each label reaches what is asked for, and nothing else does; wishes that cannot be are told."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import pytest
import torch

from gan_inversion.editing import edits
from gan_inversion.editing.edits import OFFERED, Edit, Reading, known
from gan_inversion.editing.files import Directions, load_directions
from gan_inversion.editing.labels import LABELS, log_odds
from gan_inversion.editing.refined import carried, moved
from gan_inversion.editing.search import draw_w
from gan_inversion.errors import UserError
from gan_inversion.faces.masks import person_mask
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Latents
from gan_inversion.latents import render
from tests.conftest import latents, real

FACE = Latents(torch.zeros(8, 16))
VECTORS = {name: torch.eye(16)[i] + 0.1 * torch.eye(16)[(i + 1) % 6] for i, name in enumerate(LABELS)}
DIRECTIONS = Directions(VECTORS, {"age": 10.0, "gender": 3.0, "yaw": 0.3, "smile": 0.1}, "w")


def read(self: Reading, picture: torch.Tensor, names: Collection[str] = LABELS) -> dict[str, float]:
    """What `world` draws, read off: each label by a coordinate of its own."""
    x = picture[0].tolist()
    values = {"age": 30 + 9 * x[0], "gender": 1 / (1 + 2.718281828 ** (-2 * x[1])), "yaw": x[2], "pitch": x[3]}
    values |= {"smile": 0.8 * x[4], "eyes_open": 0.2 * x[5]}
    return {name: values[name] for name in LABELS if name in names}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "render", lambda generator, latents, size=None: latents.ws)
    monkeypatch.setattr(Reading, "__call__", read)


def test_each_label_reaches_its_goal_alone(generator: Tiny, world: None) -> None:
    goals: dict[str, Any] = {"age": 60.0, "gender": "male", "yaw": -1.0, "pitch": 0.5, "smile": 1.5}
    for name, goal in goals.items():
        edited = Edit({name: goal})(FACE, DIRECTIONS, generator)
        assert edited.reached
        assert set(edited.steps) == {name}
        if name == "gender":
            assert edited.after["gender"] >= 0.9
        else:
            assert edited.after[name] == pytest.approx(goal, abs=0.4)
        assert set(edited.side_effects) == set(LABELS) - {name}


def test_several_at_once(generator: Tiny, world: None) -> None:
    """Though each direction moves the next label by a tenth."""
    wishes: dict[str, Any] = {"age": 60.0, "gender": "female", "yaw": 1.0, "smile": -1.0}
    edited = Edit(wishes)(FACE, DIRECTIONS, generator)
    assert edited.reached
    assert edited.after["age"] == pytest.approx(60, abs=3)
    assert edited.after["gender"] < 0.1
    assert (edited.after["yaw"], edited.after["smile"]) == pytest.approx((1.0, -1.0), abs=0.3)
    assert edited.before["age"] == 30
    assert -0.5 < edited.side_effects["eyes_open"] < 0  # smile moves it a little, and that is told
    assert log_odds(edited.after["gender"]) < log_odds(edited.before["gender"])


def test_age_does_not_take_the_gender_along(generator: Tiny, world: None) -> None:
    """Along a direction of age that ends in men; a woman stays one, unless something else is asked for."""
    tilted = Directions({**VECTORS, "age": torch.eye(16)[0] + 0.8 * torch.eye(16)[1]}, DIRECTIONS.deviations, "w")
    woman = Latents(-2 * torch.eye(16)[1].repeat(8, 1))
    edited = Edit({"age": 60.0})(woman, tilted, generator)
    assert edited.reached and edited.after["gender"] <= 0.11
    assert edited.asked == {"age": 60.0}
    assert Edit({"age": 60.0, "gender": "male"})(woman, tilted, generator).after["gender"] >= 0.9
    assert Edit({"age": 60.0})(FACE, tilted, generator).after["gender"] > 0.9  # nobody could tell before either


def test_raw_steps_come_first_and_a_label_is_brought_back(generator: Tiny, world: None) -> None:
    pushed = Edit({}, {"yaw": 2.0})(FACE, DIRECTIONS, generator)
    assert pushed.after["yaw"] == 2
    assert pushed.reached and pushed.steps == {"yaw": 2.0}
    both = Edit({"pitch": 1.0}, {"yaw": 2.0})(FACE, DIRECTIONS, generator)
    assert both.after["pitch"] == pytest.approx(1, abs=0.3)
    assert both.after["yaw"] == 2


def test_what_cannot_be_reached_is_the_nearest(generator: Tiny, world: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        edited = Edit({"eyes_open": 3.0})(FACE, DIRECTIONS, generator)
    assert not edited.reached
    assert edited.steps["eyes_open"] == 4.5
    assert "eyes_open 3.0 (read 0.90)" in caplog.text
    baby = Edit({"age": 0.0}, bound=9.0)(FACE, DIRECTIONS, generator)  # read as half a year at the least
    assert baby.reached
    with caplog.at_level(logging.WARNING):  # what is too young for these directions is as young as they go
        small = Edit({"age": 0.5}, bound=2.0)(FACE, DIRECTIONS, generator)
    assert not small.reached and small.after["age"] == 12
    assert "age 0.5 (read 12.00)" in caplog.text


def test_hair_is_darkened_where_there_is_any(
    generator: Tiny, world: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A head on which none is read, from the beginning or from some step on, is told of and costs nothing."""
    seen = Directions({**VECTORS, "hair_darkness": torch.eye(16)[9]}, DIRECTIONS.deviations, "w")

    def with_hair(below: float) -> None:
        def reading(self: Reading, picture: torch.Tensor, names: Collection[str] = OFFERED) -> dict[str, float]:
            dark = picture[0, 9].item()
            return {**read(self, picture, names), **({"hair_darkness": dark} if dark < below else {})}

        monkeypatch.setattr(Reading, "__call__", reading)

    with_hair(below=9)
    edited = Edit({"hair_darkness": 1.2})(FACE, seen, generator)
    assert edited.reached and edited.after["hair_darkness"] == pytest.approx(1.2, abs=0.3)
    with_hair(below=0.5)
    beyond = Edit({"hair_darkness": 1.2})(FACE, seen, generator)
    assert not beyond.reached
    with_hair(below=-1)
    bald = Edit({"hair_darkness": 1.2, "yaw": 1.0})(FACE, seen, generator)
    assert not bald.reached and bald.after["yaw"] == pytest.approx(1, abs=0.3)
    assert "no hair can be read in this face" in caplog.text


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (
            {"beard": 1.0},
            r"beard=1.0: no such label. Known: age \(0 to 80 years\); gender \(female or male\); yaw \(-3",
        ),
        ({"age": 300.0}, "age=300.0: 0 to 80 was measured"),
        ({"smile": 5.0}, "smile=5.0: -3 to 3 was measured"),
        ({"hair_darkness": 3.0}, "hair_darkness=3.0: -2.5 to 1.5 was measured"),
        ({"glasses": 0.5}, "glasses=0.5: 0 takes them off, 1 puts some on"),
        ({"gender": "boy"}, "gender=boy: choose female or male"),
        ({}, "nothing is asked for"),
    ],
)
def test_impossible_wishes(wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Edit(wishes)
    with pytest.raises(UserError, match="bound=0: must be above 0"):
        Edit({"age": 8.0}, bound=0.0)
    assert all(name in known() for name in OFFERED)


def test_a_refinement_goes_with_what_it_was_found_for() -> None:
    """By hand: a delta at one place moves by the flow, and stays to the bit where there is none."""
    features = torch.zeros(1, 8, 8, 3)
    features[0, 4, 4] = 1
    flow = torch.zeros(8, 8, 2)
    assert torch.allclose(moved(features, flow), features, atol=1e-6)
    flow[..., 0] = -2  # each place was two to the left of it before
    assert torch.allclose(moved(features, flow)[0, 4, 6], torch.ones(3), atol=1e-5)


def test_without_a_refinement_or_a_move_nothing_is_carried(generator: Tiny) -> None:
    plain = Latents(latents(generator, 1))
    assert carried(plain, plain.ws + 1, generator).features is None
    refined = Latents(latents(generator, 1), features=torch.ones(16, 16, 4, dtype=torch.float16))
    same = carried(refined, refined.ws, generator)
    assert same.features is not None and torch.equal(same.features, torch.ones(16, 16, 4, dtype=torch.float16))


@pytest.mark.weights
def test_behind_the_person_all_stays_as_it_was() -> None:
    """On the real generator: with a delta simply added, the background moves with the face's age."""
    generator = real()
    directions = load_directions("directions_mobile_stylegan_ffhq", generator)
    ws = draw_w(generator, 1, 12)[0].repeat(16, 1)
    (own,) = generator.features(ws[None], [64])
    delta = 0.3 * own.std() * torch.randn(own.shape[1:], generator=torch.Generator().manual_seed(0))
    before = Latents(ws, features=delta.half())
    old = directions.move(ws, {"age": 2.5})
    after = carried(before, old, generator)
    assert after.features is not None and after.features.dtype == torch.float16
    pictures = [render(generator, one, 256) for one in (before, after, Latents(old, features=before.features))]
    behind = person_mask(pictures[0]) + person_mask(pictures[2]) < 0.02
    assert behind.float().mean() > 0.1
    kept, added = ((picture - pictures[0]).abs().mean(1, keepdim=True)[behind].mean() for picture in pictures[1:])
    assert kept < 0.7 * added

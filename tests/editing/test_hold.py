"""The search moves age and sex, keeps the person, its skin and the walls, and repeats itself to the bit."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gan_inversion.assets.catalogue import checked_path
from gan_inversion.assets.onnx_weights import onnx_weights
from gan_inversion.editing import hold
from gan_inversion.editing.edits import Edit
from gan_inversion.editing.files import load_directions
from gan_inversion.editing.hold import Colours, Person, between, colours_of, mean_colours
from gan_inversion.editing.search import draw_w
from gan_inversion.editing.steering import Steering
from gan_inversion.errors import UserError
from gan_inversion.estimators.age_gender import age_gender
from gan_inversion.estimators.identity import dlib_resnet
from gan_inversion.interfaces import FaceLabels, Latents
from gan_inversion.latents import render
from gan_inversion.spaces.p_space import is_inside
from tests.conftest import real


def test_colours_by_hand() -> None:
    dark, light = torch.tensor([0.0, 0, 0]), torch.tensor([1.0, 1, 0])
    assert between(torch.tensor([0.5, 0.5, 0.3]), [dark, light]).tolist() == pytest.approx([0.5, 0.5, 0])
    assert between(torch.tensor([3.0, 3, 3]), [dark, light]).tolist() == pytest.approx([1, 1, 0])
    assert between(light, [dark, dark]).tolist() == [0, 0, 0]  # alike parents leave one colour
    image = torch.stack([torch.full((4, 4), value) for value in (-1.0, 0.5, 9.0)])[None]
    masks = torch.stack([torch.ones(1, 4, 4), torch.zeros(1, 4, 4)])
    assert mean_colours(image, masks).tolist() == [[-1, 0.5, 1], [0, 0, 0]]


def test_views_differ_and_repeat() -> None:
    image = torch.rand(1, 3, 16, 16)
    views = [hold.another_view(image, step) for step in range(4)]
    assert torch.equal(views[2], hold.another_view(image, 2))
    assert not any(torch.equal(views[0], other) for other in views[1:])


def test_a_little_beyond_the_goal_is_aimed_at() -> None:
    person = Person.__new__(Person)
    person.read, person.beyond = FaceLabels(30.0, 0.5), hold.BEYOND
    share = (math.log(person.aim(8.0) + 3) - math.log(33)) / (math.log(11) - math.log(33))
    assert share == pytest.approx(1 + hold.BEYOND)
    assert person.aim(60.0) == 62  # two years at most
    assert person.aim(80.0) == 80  # and nothing that no classifier knows
    assert person.aim(0.5) == 0.5


@pytest.mark.weights
def test_classifiers_are_those_of_their_files() -> None:
    """The graphs, run by OpenCV, are the golden answer to ours."""
    views = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.5
    ours, small = age_gender(), views[..., ::2, ::2].contiguous()
    for name, view, logits in (
        ("age_estimator", views, ours.age_classes(views)),
        ("gender_estimator", small, ours.gender_classes(small)),
    ):
        net = cv2.dnn.readNetFromONNX(str(checked_path(name)))
        for one, own in zip(view.numpy(), logits.softmax(1).numpy(), strict=True):
            net.setInput(np.ascontiguousarray(one[None]))
            assert np.allclose(net.forward()[0], own, atol=1e-5)
    odds = ours.read(torch.rand(1, 3, 64, 64).requires_grad_())[1]
    assert torch.autograd.grad(odds.sum(), odds)[0] is not None


def test_other_files_are_no_onnx(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    for content in (b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x04\x2a\x02\x10\x01", b"\xff" * 3):
        bad.write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.onnx"):
            if not onnx_weights(bad):
                raise UserError("bad.onnx: nothing in it")


@pytest.mark.weights
def test_the_search_holds_the_person() -> None:
    """A sampled face made eight: nearer to itself, in identity and by far in skin, than by the directions alone."""
    generator = real()
    directions = load_directions("directions_mobile_stylegan_ffhq", generator)
    face = Latents(draw_w(generator, 1, 12)[0].repeat(generator.num_ws, 1))
    parents = [colours_of(render(generator, face))]
    (held,) = Steering(age=8, gender=None)(face, "", directions, generator, parents)
    (straight,) = Steering(age=8, gender=None, search=0)(face, "", directions, generator)
    assert held.reached
    assert held.read is not None
    assert held.read.age < 12
    assert is_inside(held.latents.ws, generator.statistics())
    pictures = [render(generator, one, 256) for one in (face, held.latents, straight.latents)]
    with torch.no_grad():
        own, *others = (dlib_resnet().embed(picture) for picture in pictures)
    far_held, far_straight = ((own - other).norm().item() for other in others)
    assert far_held < far_straight
    skins = [colours_of(picture).values[0] for picture in pictures]
    assert (skins[1] - skins[0]).abs().max() < min(0.12, 0.5 * (skins[2] - skins[0]).abs().max())
    (again,) = Steering(age=8, gender=None, search=2)(face, "", directions, generator, parents)
    (twice,) = Steering(age=8, gender=None, search=2)(face, "", directions, generator, parents)
    assert torch.equal(again.latents.ws, twice.latents.ws)
    assert not torch.equal(again.latents.ws, held.latents.ws)


@pytest.mark.weights
def test_skin_is_led_between_the_parents() -> None:
    """Parents of a darker skin than the face, and of one that was not seen."""
    generator = real()
    directions = load_directions("directions_mobile_stylegan_ffhq", generator)
    face = Latents(draw_w(generator, 1, 12)[0].repeat(generator.num_ws, 1))
    own = colours_of(render(generator, face))
    darker = Colours(own.values - 0.2, own.masks, (True, True))
    person = Person(face, directions.require_reader(), generator, [darker, darker])
    assert (person.fine.colours - (own.values - 0.2)).abs().max() < 0.02
    unseen = Colours(own.values - 0.2, own.masks, (True, False))
    half = Person(face, directions.require_reader(), generator, [darker, unseen])
    assert (half.fine.colours[1] - own.values[1]).abs().max() < 0.02


@pytest.mark.weights
def test_the_scene_is_not_inherited() -> None:
    """A turned face looks at the camera, or where the father looks; who it is changes little."""
    generator = real()
    directions = load_directions("directions_mobile_stylegan_ffhq", generator)
    faces = [Latents(w.repeat(generator.num_ws, 1)) for w in draw_w(generator, 16, 12)]
    seen = [colours_of(render(generator, face, 256)) for face in faces]
    turns = [abs(one.scene["yaw"]) for one in seen]
    child, father, mother = turns.index(max(turns)), 0, turns.index(min(turns))
    assert turns[child] > 0.3
    yaws, neutral = {}, faces[child]
    for scene in (None, "neutral", "father", "mother"):
        steering = Steering(age=None, gender="drawn", search=0, scene=scene)
        drawn = "male" if directions.require_reader()(render(generator, faces[child], 256)).male > 0.5 else "female"
        (found,) = steering(faces[child], drawn, directions, generator, [seen[father], seen[mother]])
        neutral = found.latents if scene == "neutral" else neutral
        yaws[scene] = colours_of(render(generator, found.latents, 256)).scene["yaw"]
    alone = Steering(age=None, gender=drawn, search=0)(faces[child], "", directions, generator)[0].latents
    assert torch.equal(alone.ws, neutral.ws)  # it needs no parents
    assert abs(yaws["neutral"]) < 0.1 < abs(yaws[None])
    assert abs(yaws["father"] - seen[father].scene["yaw"]) < 0.15
    assert abs(yaws["mother"] - seen[mother].scene["yaw"]) < 0.15


@pytest.mark.weights
def test_an_edit_holds_the_person() -> None:
    """Thirty years more: as far as asked for, with the skin and the smile that it had."""
    generator = real()
    face = Latents(draw_w(generator, 1, 12)[0].repeat(generator.num_ws, 1))
    edits = [Edit({"age": 60.0}, hold=steps) for steps in (12, 0)]
    directions = edits[0].load(generator)
    held, straight = (edit(face, directions, generator) for edit in edits)
    assert held.after["age"] == pytest.approx(60, abs=4)
    for label in ("skin_ita", "smile"):
        assert abs(held.side_effects[label]) < abs(straight.side_effects[label])

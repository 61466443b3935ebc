"""Pose, smile, eyes, glasses and light: read, taken off, put on, and not inherited."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_inversion.editing.edits import Edit
from gan_inversion.editing.files import load_directions
from gan_inversion.editing.scene import EYES, NEUTRAL, Scene, in_lit_rows, neutral_scene, scene_of, settle
from gan_inversion.editing.scene_reader import (
    GLASSES,
    LAYER,
    NAMES,
    fit_scene_reader,
    from_tensors,
    read_marks,
    to_tensors,
)
from gan_inversion.editing.steering import Steering
from gan_inversion.errors import UserError
from gan_inversion.estimators.chips import chip
from gan_inversion.estimators.identity import dlib_resnet
from gan_inversion.interfaces import Latents
from gan_inversion.latents import render
from gan_inversion.spaces.population import sample_w
from tests.conftest import real

READER = "directions_mobile_stylegan_ffhq"
PEOPLE_SEED = 424242  # of the samples that were marked


def test_a_reader_learns_what_is_linear() -> None:
    """Each label from the samples that have it; through a file."""
    source = torch.Generator().manual_seed(0)
    seen = torch.randn(200, 2, 3, 3, generator=source)
    labels = seen.flatten(1)[:, :5].double() * 3 + 1
    labels[50:, 4] = torch.nan
    reader = fit_scene_reader(seen, labels)
    again = from_tensors(to_tensors(reader))
    fresh = torch.randn(20, 2, 3, 3, generator=source)
    truth = fresh.flatten(1)[:, :5] * 3 + 1
    for one in (reader, again):
        assert (one([fresh] * (LAYER + 1)) - truth).abs().max() < 0.2
    assert torch.allclose(reader.spread[:4], torch.full((4,), 3.0), atol=0.6)
    with pytest.raises(UserError, match="not whole"):
        from_tensors({name: value for name, value in to_tensors(reader).items() if name != "offset"})
    with pytest.raises(UserError, match="not whole"):
        from_tensors({**to_tensors(reader), "weight": torch.zeros(4, 2, 3, 3)})


def test_less_shade_and_wider_eyes_are_as_good() -> None:
    scene = neutral_scene()
    assert scene.wanted("yaw", 0.4) == scene.wanted("yaw", -0.4) == 0
    assert scene.wanted("shade", 10) == 10 and scene.wanted("shade", 60) == NEUTRAL["shade"]
    assert scene.wanted(GLASSES, -0.9) == -0.9 and scene.wanted(GLASSES, 0.9) == NEUTRAL[GLASSES]
    assert scene.wanted(EYES, 0.4) == 0.4 and scene.wanted(EYES, 0.1) == NEUTRAL[EYES]
    narrow = neutral_scene([{EYES: 0.2}, {EYES: 0.24}])
    assert narrow.wanted(EYES, 0.1) == pytest.approx(0.22)  # nobody's eyes are made wider than the family's
    his = Scene({"shade": 60.0, GLASSES: 0.9})
    assert his.wanted("shade", 10) == 60 and his.wanted(GLASSES, -0.9) == 0.9


def test_what_is_as_wanted_is_left_alone() -> None:
    spread = torch.tensor([0.4, 0.04, 0.1, 0.04, 0.7])
    read = torch.tensor([[0.0, NEUTRAL["pitch"], NEUTRAL["smile"], 0.4, -0.9]], requires_grad=True)
    missed = neutral_scene().missed(read, spread)
    assert missed.item() == 0
    worn = read.detach().clone()
    worn[0, 4], worn[0, 0] = 0.65, 0.4
    worn.requires_grad_()
    missed = neutral_scene().missed(worn, spread)
    assert missed.item() == pytest.approx((1 + 4) / 5)
    missed.backward()
    assert worn.grad is not None
    assert (worn.grad[0] > 0).tolist() == [True, False, False, False, True]
    assert Scene({}).missed(worn, spread).item() == 0  # nothing is said of any


def test_light_leaves_the_first_rows(tmp_path: Path) -> None:
    rows = in_lit_rows(torch.ones(4), 16)
    assert rows.sum(1).tolist() == [0] * 4 + [4] * 12


def test_marks_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "marks.csv"
    path.write_text("sample,glasses\n3,1\n7,0\n")
    assert read_marks(str(path)) == {3: 1.0, 7: -1.0}
    marks = read_marks("glasses_marks")
    assert len(marks) == 1591 and sum(value > 0 for value in marks.values()) == 292
    for text, told in (
        ("sample,glasses\n3,1\n", "some without"),
        ("sample,glasses\n3,1\n-1,0\n", "after 1 rows"),
        ("sample,glasses\n3,2\n", "after 0 rows"),
        ("sample,hat\n3,1\n", "Two columns are needed"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=told):
            read_marks(str(path))
    with pytest.raises(UserError, match=r"missing\.csv"):
        read_marks(str(tmp_path / "missing.csv"))


@pytest.mark.weights
def test_glasses_come_off_and_on() -> None:
    """Two marked samples with glasses: bare by the neutral scene, and still themselves; on again by an edit."""
    generator = real()
    directions = load_directions(READER, generator)
    assert directions.scene is not None
    marks, network = read_marks("glasses_marks"), dlib_resnet()
    w = sample_w(generator, 3000, PEOPLE_SEED)[1]
    worn = [number for number, mark in marks.items() if mark > 0][:2]
    for number in worn:
        face = Latents(w[number].repeat(generator.num_ws, 1))
        picture = render(generator, face, 256)
        assert scene_of(picture, directions.scene)[GLASSES] > 0.2
        bare = settle(face, Scene({GLASSES: NEUTRAL[GLASSES]}, neutral=True), directions, generator)
        after = render(generator, bare, 256)
        assert scene_of(after, directions.scene)[GLASSES] < -0.5
        with torch.no_grad():
            apart = network.distance(network.embed(picture), network.embed(after)).item()
        assert apart < 0.6
    edited = Edit({GLASSES: 1.0})(bare, directions, generator)
    assert edited.reached and edited.before[GLASSES] < -0.5 < 0.5 <= edited.after[GLASSES]


@pytest.mark.weights
def test_the_reader_agrees_with_the_mesh() -> None:
    """On samples beyond those that it was fitted to."""
    generator = real()
    reader = load_directions(READER, generator).scene
    assert reader is not None
    told, seen = [], []
    for w in sample_w(generator, 24, 77)[1]:
        picture = render(generator, Latents(w.repeat(generator.num_ws, 1)), 256)
        read, mesh = reader.read(picture), scene_of(picture)
        told.append([read[name] for name in NAMES[:4]])
        seen.append([mesh[name] for name in NAMES[:4]])
        layers = network_layers(picture)
        assert reader(layers)[0].tolist() == pytest.approx(list(read.values()), abs=1e-4)
    both = torch.tensor([told, seen]).transpose(1, 2)
    for name, one, other in zip(NAMES, *both, strict=False):
        least = 0.7 if name == EYES else 0.85
        assert torch.corrcoef(torch.stack([one, other]))[0, 1] > least, name


def network_layers(picture: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return dlib_resnet().look(chip(picture, 150))[1]


@pytest.mark.weights
def test_a_child_of_an_age_wears_none() -> None:
    """Glasses, which come with age, stay off through the search."""
    generator = real()
    directions = load_directions(READER, generator)
    w = sample_w(generator, 3000, PEOPLE_SEED)[1]
    number = next(number for number, mark in read_marks("glasses_marks").items() if mark > 0)
    (old,) = Steering(age=60, gender=None, search=4)(
        Latents(w[number].repeat(generator.num_ws, 1)), "", directions, generator
    )
    assert scene_of(render(generator, old.latents, 256), directions.scene)[GLASSES] < -0.3

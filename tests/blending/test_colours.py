"""Skin and hair of one parent's colour: what was said is where steering leads them."""

from __future__ import annotations

import logging

import pytest
import torch

from gan_inversion.blending.colours import COLOURS, check_colours, tinted, tints
from gan_inversion.blending.inheritance import Inherit, children
from gan_inversion.blending.offspring import prepare
from gan_inversion.blending.recipes import Blend
from gan_inversion.editing.files import Directions
from gan_inversion.editing.hold import Colours, between, colours_of
from gan_inversion.editing.search import draw_w
from gan_inversion.editing.steering import FixedSteps, Steering
from gan_inversion.errors import UserError
from gan_inversion.interfaces import Inversion
from gan_inversion.latents import render
from tests.conftest import real

FATHER, MOTHER = (
    Colours(torch.tensor([[v, v, v], [-v, v, 0]]), torch.ones(2, 1, 4, 4), (True, True)) for v in (-0.5, 0.3)
)


@pytest.mark.parametrize("key", ["skin", "hair_colour"])
@pytest.mark.parametrize(("said", "weight"), [("father", 0.0), ("mother", 1.0), (0.25, 0.25)])
def test_each_colour_can_be_said(key: str, said: str | float, weight: float) -> None:
    part, parents = COLOURS.index(key), [FATHER, MOTHER]
    inherit = Inherit(**{key: said})
    assert inherit.chosen == {}  # nothing is grafted
    led = tinted(parents, tints(inherit.colours, parents))
    wanted = torch.lerp(FATHER.values[part], MOTHER.values[part], weight)
    assert torch.equal(between(torch.tensor([9.0, 0, -9]), [one.values[part] for one in led]), wanted)
    for before, after in zip(parents, led, strict=True):
        assert torch.equal(before.values[1 - part], after.values[1 - part])


def test_a_colour_that_was_not_read(caplog: pytest.LogCaptureFixture) -> None:
    """Is left out with a warning, unless it is the other parent's that is wanted."""
    bald = Colours(FATHER.values, FATHER.masks, (True, False))
    parents = [bald, MOTHER]
    with caplog.at_level(logging.WARNING):
        hers = tinted(parents, tints({"hair_colour": 1.0}, parents))
        assert not caplog.records
        for weight in (0.0, 0.5):
            assert tints({"hair_colour": weight}, parents) == {}
    assert [one.seen for one in hers] == [(True, True)] * 2
    assert torch.equal(hers[0].values[1], MOTHER.values[1])
    assert len(caplog.records) == 2
    assert "inherit.hair_colour is left out: it was not read in the picture of the father" in caplog.text


def test_nothing_would_lead_to_it() -> None:
    directions = Directions({})
    check_colours({"skin": 1.0}, Steering(), directions)
    check_colours({}, Steering(search=0), None)
    for steering, found in ((Steering(search=0), directions), (Steering(), None), (FixedSteps({}), directions)):
        with pytest.raises(UserError, match=r"inherit.skin: colours are led in the search .* child.search=12"):
            check_colours({"skin": 1.0}, steering, found)
    with pytest.raises(UserError, match=r"inherit.skin=1.5: father, mother, or a weight from 0 to 1"):
        Inherit(skin=1.5)
    with pytest.raises(UserError, match=r"inherit.hair_colour: 'aunt' is neither"):
        Inherit(hair_colour="aunt")


@pytest.mark.weights
def test_a_child_has_the_skin_of_whom_it_is_said() -> None:
    """The darkest and the lightest of a few as parents: their child's skin is nearer to hers than with his."""
    generator = real()
    faces = [Inversion(w.repeat(generator.num_ws, 1), generator.sha256) for w in draw_w(generator, 8, 3)]
    skin = {id(one): float(colours_of(render(generator, one.latents, 256)).values[0].mean()) for one in faces}
    faces.sort(key=lambda one: skin[id(one)])
    recipes = children(Blend(), 1, None, 3, 1.0, generator.num_ws)
    skins = []
    for who in ("father", "mother"):
        steering = Steering(age=20, gender=None, search=4, scene=None)
        conceive = prepare(recipes, Inherit(people=None, skin=who), steering, generator)
        (child,) = conceive(faces[0], faces[-1], generator, list).values()
        skins.append(colours_of(render(generator, child.latents, 256)).values[0].mean())
        assert child.describe()["colour_weights"] == {"skin": float(who == "mother")}
    assert skins[1] - skins[0] > 0.1

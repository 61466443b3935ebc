"""A region that was said is what people see of that parent, and the rest of the child stays."""

from __future__ import annotations

import pytest
import torch

from gan_inversion.blending.inheritance import Inherit, Inheritance, children
from gan_inversion.blending.offspring import prepare
from gan_inversion.blending.recipes import Blend
from gan_inversion.editing import graft
from gan_inversion.editing.graft import LOOK, can_graft
from gan_inversion.editing.regions import REGIONS, brow_mask, region_masks
from gan_inversion.editing.search import draw_w
from gan_inversion.editing.steering import Steering
from gan_inversion.errors import UserError
from gan_inversion.faces.mesh import face_mesh, find_mesh
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import to_uint8
from gan_inversion.interfaces import Inversion, Latents
from gan_inversion.latents import render
from gan_inversion.spaces.p_space import is_inside
from tests.conftest import real


def test_generators_of_small_pictures_have_no_regions_to_be_found(generator: Tiny) -> None:
    assert not can_graft(generator)


@pytest.mark.parametrize(
    ("weight", "part"), [(0.0, ("father", 1.0)), (1.0, ("mother", 1.0)), (0.75, ("mother", 0.5)), (0.5, None)]
)
def test_a_weight_says_whose_and_how_far(weight: float, part: tuple[str, float] | None) -> None:
    assert Inheritance(chosen=Inherit(nose=weight).chosen).parts.get("nose") == part


def test_brows_are_a_part_of_the_eyes_unless_they_are_said() -> None:
    assert set(Inheritance(chosen=Inherit(eyes="mother").chosen).parts) == {"eyes"}
    held = Inheritance(chosen=Inherit(eyes="mother", brows=0.5).chosen).parts
    assert held == {"eyes": ("mother", 1.0), "brows": ("mother", 0.0)}  # as drawn, while the eyes are hers
    assert Inheritance(chosen=Inherit(brows=0.5).chosen).parts == {}


def test_brows_need_no_file_of_regions(generator: Tiny) -> None:
    assert Inherit(brows="mother", path=None).chosen == {"brows": 1.0}
    with pytest.raises(UserError, match=r"inherit.brows: regions are taken over in faces of 256 pixels"):
        Inherit(brows="mother", path=None, people=None).load(generator, True)


@pytest.mark.weights
def test_mothers_nose_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through all that makes children, without age and sex: what is drawn beside the region is the same."""
    monkeypatch.setattr(graft, "STEPS", 15)
    generator = real()
    w = draw_w(generator, 4, 11)[[0, 3]]
    father, mother = (Inversion(one.repeat(generator.num_ws, 1), generator.sha256) for one in w)
    recipes = children(Blend(), 1, None, 3, 1.0, generator.num_ws)

    def child(**said: str) -> Latents:
        conceive = prepare(
            recipes, Inherit(people=None, **said), Steering(age=None, gender=None, scene=None), generator
        )
        (made,) = conceive(father, mother, generator, list).values()
        return made.latents

    plain, theirs = child(), [child(nose=who) for who in ("father", "mother")]
    assert all(torch.equal(one.style_offset, plain.style_offset) for one in theirs)
    pictures = [render(generator, one, LOOK) for one in (plain, *theirs)]
    points = find_mesh(to_uint8(pictures[0]), face_mesh()).points
    nose = region_masks(points, LOOK)[REGIONS.index("nose")]
    change = (pictures[2] - pictures[1]).abs().mean((0, 1))
    assert change[nose].mean() > 2 * change[~nose].mean()
    assert change[nose].mean() * 127.5 > 3
    brows, brow = [child(brows=who) for who in ("father", "mother")], brow_mask(points, LOOK)
    first, second = (render(generator, one, LOOK) for one in brows)
    change = (second - first).abs().mean((0, 1))
    assert change[brow].mean() > 2 * change[~brow].mean()
    for one in theirs + brows:
        assert is_inside(one.ws, generator.statistics())

"""Siblings are seeded, bounded and like their parents; regions come from whom they are said to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gan_inversion.blending.inheritance import Inherit, Inheritance, Sibling, children, style_offset
from gan_inversion.blending.partner import partner, shrinkage
from gan_inversion.blending.recipes import Blend, Crossover
from gan_inversion.editing.files import Regions, save_regions
from gan_inversion.editing.regions import REGIONS
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import GENDERS
from gan_inversion.latents import render
from gan_inversion.losses.prior import p_norm
from gan_inversion.spaces.p_space import draw_back, unwhiten, whiten
from tests.conftest import CHILD, TINY, Ran


@pytest.fixture
def parents(generator: Tiny) -> tuple[torch.Tensor, torch.Tensor]:
    w = generator.mapping(torch.randn(2, generator.z_dim, generator=torch.Generator().manual_seed(0)))
    return tuple(one.repeat(generator.num_ws, 1) for one in w)


@pytest.fixture
def regions(generator: Tiny) -> Regions:
    """Each region owns every sixth style."""
    count = len(generator.style_rows)
    choice = {name: (torch.arange(count) % 6 == i).float() for i, name in enumerate(REGIONS)}
    return Regions(choice, torch.zeros(6, 64, 64))


def test_a_sibling_is_drawn_by_seed_and_number_alone(generator: Tiny, parents: tuple[torch.Tensor, ...]) -> None:
    whole = children(Blend(), 6, None, 7, 1.0, 8)
    assert list(whole) == [0, 1, 2, 3, 4, 5]
    replayed = children(Blend(), 9, [3], 7, 1.0, 8)
    assert list(replayed) == [3]
    drawn = [recipe(*parents, generator) for recipe in whole.values()]
    assert torch.equal(replayed[3](*parents, generator), drawn[3])
    assert torch.equal(replayed[3].region_weights(8)["nose"], whole[3].region_weights(8)["nose"])
    assert len({one.sum().item() for one in drawn}) == 6
    assert not torch.equal(Sibling(Blend(), 8, 3)(*parents, generator), drawn[3])
    for bad in ([-1], []):
        with pytest.raises(UserError, match="numbers from 0 are needed"):
            children(Blend(), 6, bad, 7, 1.0, 8)
    with pytest.raises(UserError, match="must not be negative"):
        children(Blend(), 1, None, 0, -1.0, 8)


def test_sibling_numbers_are_golden() -> None:
    """A sibling drawn today is drawn again next year."""
    sibling = Sibling(Blend(), seed=7, index=3)
    assert sibling.weights(12)[[0, 4, 8]].tolist() == pytest.approx(GOLDEN_ROWS, abs=1e-5)
    assert [w[0].item() for w in sibling.region_weights(12).values()] == pytest.approx(GOLDEN_REGIONS, abs=1e-5)
    assert sibling.gender == GOLDEN_GENDER


def test_diversity_goes_from_twins_to_strangers(generator: Tiny, parents: tuple[torch.Tensor, ...]) -> None:
    def spread(diversity: float) -> float:
        faces = torch.stack([Sibling(Blend(), 0, i, diversity)(*parents, generator) for i in range(12)])
        return float(faces.std(0).mean())

    twins = [Sibling(Blend(), 0, i, 0.0)(*parents, generator) for i in range(2)]
    assert torch.equal(twins[0], twins[1])
    assert torch.equal(twins[0], Blend()(*parents, generator))
    assert 0 < spread(0.3) < spread(1.0) < spread(2.0)
    assert all((w == 0.5).all() for w in Sibling(Blend(), 0, 0, 0.0).region_weights(8).values())


def test_group_weights_scatter_around_the_blend() -> None:
    """Mean as the blend says, within [0, 1]; rows that the blend is certain of stay, and a group moves together."""
    drawn = torch.stack([Sibling(Blend(0.3), index=i).weights(16) for i in range(400)])
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert drawn.mean().item() == pytest.approx(0.3, abs=0.02)
    assert drawn.std() > 0.15
    assert torch.equal(drawn[:, 0], drawn[:, 3])
    assert not torch.equal(drawn[:, 3], drawn[:, 4])
    rows = Sibling(Crossover(coarse="father", middle=0.5, fine=1.5)).weights(16)
    assert rows[:4].tolist() == [0] * 4
    assert rows[8:].tolist() == [1.5] * 8
    regions = Sibling(Crossover(coarse="father", middle=0.5, fine=1.0)).region_weights(16)["eyes"]
    assert regions[:4].tolist() == [0] * 4  # what the blend is certain of, no region draws anew
    assert regions[8:].tolist() == [1] * 8
    assert {Sibling(Blend(), index=i).gender for i in range(20)} == set(GENDERS)


def test_drawn_back_is_plausible_and_leaves_the_population_alone(generator: Tiny) -> None:
    statistics = generator.statistics()
    w = generator.mapping(torch.randn(100, generator.z_dim, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(unwhiten(whiten(w, statistics), statistics), w, atol=1e-4)
    far = torch.full((generator.num_ws, generator.w_dim), 50.0)
    assert p_norm(far[None], statistics).item() > 100
    assert p_norm(draw_back(far, statistics)[None], statistics).item() <= 9.01
    near = (whiten(w, statistics).abs() < 3).all(1)
    assert near.any()
    assert torch.allclose(draw_back(w, statistics)[near], w[near], atol=1e-4)


def test_a_region_has_the_styles_of_whom_it_is_from(
    generator: Tiny, parents: tuple[torch.Tensor, ...], regions: Regions
) -> None:
    father, mother = parents
    ws = Blend()(father, mother, generator)
    offset = style_offset(
        ws, father, mother, {"nose": torch.ones(8), "hair": torch.full((8,), 0.25)}, regions, generator
    )
    child, first, second = generator.styles(torch.stack([ws, father, mother]))
    nose, hair = regions.choice["nose"] > 0, regions.choice["hair"] > 0
    assert torch.allclose((child + offset)[nose], second[nose], atol=1e-5)
    assert torch.allclose((child + offset)[hair], (0.75 * first + 0.25 * second)[hair], atol=1e-5)
    assert (offset[~(nose | hair)] == 0).all()


@pytest.mark.parametrize("region", ["eyes", "nose", "mouth", "face_shape", "hair"])
def test_each_region_can_be_said(
    generator: Tiny, parents: tuple[torch.Tensor, ...], regions: Regions, region: str
) -> None:
    recipe = Sibling(Blend(), diversity=0.0)
    plain = Inheritance(regions)(recipe, *parents, generator)
    said = Inheritance(regions, Inherit(**{region: "mother"}).chosen)(recipe, *parents, generator)
    assert plain.style_offset is None
    assert said.style_offset is not None
    assert not torch.equal(render(generator, plain), render(generator, said))
    drawn = Inheritance(regions, {region: 1.0}).weights(Sibling(Blend()), 8)
    assert drawn[region].tolist() == [1.0] * 8
    assert len(drawn) == 5


def test_inherit_says_what_is_wrong() -> None:
    with pytest.raises(UserError, match=r"inherit.nose: 'aunt' is neither father, nor mother"):
        Inherit(nose="aunt")
    with pytest.raises(UserError, match=r"inherit.eyes needs inherit.path"):
        Inherit(eyes="father", path=None)


def test_regions_through_the_scripts(
    run: Callable[..., Ran], couple: tuple[Path, Path], tmp_path: Path, generator: Tiny, regions: Regions
) -> None:
    """A stored child keeps its regions, and is drawn from its file as it was."""
    save_regions(tmp_path / "regions.safetensors", regions, generator, {})
    path = f"inherit.path={tmp_path / 'regions.safetensors'}"
    base = ["family", f"father={couple[0]}", f"mother={couple[1]}", *TINY, *CHILD[1:], "siblings=2", path]
    run(*base, "output_dir=free")
    run(*base, "inherit.nose=mother", "output_dir=nose")
    first, second = (load_file(tmp_path / f"{name}/latents.safetensors") for name in ("free", "nose"))
    assert torch.equal(first["child_01"], second["child_01"])
    nose = regions.choice["nose"] > 0
    change = second["child_01.style_offset"] - first["child_01.style_offset"]
    assert (change[nose] != 0).any()
    assert (change[~nose] == 0).all()
    assert (tmp_path / "free/child_01.png").read_bytes() != (tmp_path / "nose/child_01.png").read_bytes()


def test_partner_draws_the_linear_solution_back(generator: Tiny, parents: tuple[torch.Tensor, ...]) -> None:
    """diversity 0: c = (a + b) / 2 gives b back, where b is within the population; more of its own: nearer the mean."""
    statistics = generator.statistics()
    a, b = (draw_back(one, statistics, reach=1.0) for one in parents)
    child = unwhiten((whiten(a, statistics) + whiten(b, statistics)) / 2, statistics)
    assert torch.allclose(partner(child, a, generator, 0, 0, 0.0), b, atol=1e-3)
    assert shrinkage(0.0) == 1
    assert 0.2 < shrinkage(1.0) < 0.6
    drawn = [partner(child, a, generator, 0, i, 1.0) for i in range(3)]
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[2], partner(child, a, generator, 0, 2, 1.0))
    assert p_norm(drawn[0][None], statistics).item() < 4


GOLDEN_ROWS = [0.910714, 0.28264, 0.857577]
GOLDEN_REGIONS = [0.965756, 0.283236, 0.491165, 0.522791, 0.375262]
GOLDEN_GENDER = "male"

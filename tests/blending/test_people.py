"""What is new in a child is drawn among people like its parents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gan_inversion.blending.inheritance import Inherit, Inheritance, Sibling
from gan_inversion.blending.recipes import Blend
from gan_inversion.editing.people import LIKE, SCALES, People, load_people, save_people
from gan_inversion.errors import UserError
from gan_inversion.estimators.identity import dlib_resnet
from gan_inversion.faces.traits import read_traits
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Latents
from gan_inversion.latents import render
from gan_inversion.spaces.p_space import draw_back, to_p
from gan_inversion.spaces.population import sample_w
from tests.conftest import CHILD, TINY, Ran, real


def people_of(count: int, seed: int = 0) -> People:
    random = torch.Generator().manual_seed(seed)
    readings = torch.randn(count, len(SCALES), generator=random)
    readings[0, 1] = torch.nan
    return People(readings, torch.randn(count, 128, generator=random), seed)


def test_files_of_people(tmp_path: Path, generator: Tiny) -> None:
    people, path = people_of(5), tmp_path / "people.safetensors"
    save_people(path, people, generator, {})
    found = load_people(str(path), generator)
    assert torch.allclose(found.readings, people.readings, atol=1e-2, equal_nan=True)
    assert torch.allclose(found.identity, people.identity, atol=1e-2)
    assert found.seed == people.seed
    bad = People(people.readings[:, :2], people.identity, 0)
    save_people(path, bad, generator, {})
    with pytest.raises(UserError, match=r"people\.safetensors"):
        load_people(str(path), generator)


def test_the_mutation_is_a_difference_of_two_of_the_pool(generator: Tiny) -> None:
    parents = generator.mapping(torch.randn(2, 16, generator=torch.Generator().manual_seed(1)))
    father, mother = (one.repeat(generator.num_ws, 1) for one in parents)
    pool = torch.zeros(4, generator.w_dim)
    same = Sibling(Blend(), pool=pool)(father, mother, generator)  # all alike: nothing is new
    none = Sibling(Blend(), mutation=0.0, pool=pool)(father, mother, generator)
    assert torch.allclose(same[8:], none[8:])
    others = pool.clone()
    others[:, 0] = torch.arange(4.0)
    drawn = [Sibling(Blend(), index=i, pool=others)(father, mother, generator) for i in range(3)]
    assert not torch.equal(drawn[0], same)
    assert len({one[0, 0].item() for one in drawn}) > 1
    again = Sibling(Blend(), index=1, pool=others)(father, mother, generator)
    assert torch.equal(again, drawn[1])


def test_impossible_mutation() -> None:
    with pytest.raises(UserError, match=r"inherit.mutation=1.5: from 0 to 1"):
        Inherit(mutation=1.5)


@pytest.mark.weights
def test_people_like_someone_are_alike() -> None:
    """Among samples that were read, a sample's own picture finds itself first, and nearer readings than the rest have."""
    generator = real()
    people = load_people("people_mobile_stylegan_ffhq", generator)
    w = sample_w(generator, len(people.identity), people.seed)[1]
    dark = int(people.readings[:, 0].nan_to_num(99).argsort()[40])
    face = Latents(w[dark].repeat(generator.num_ws, 1))
    image = render(generator, face, 256)
    found = people.like(image, generator)
    assert found.shape == (LIKE, generator.w_dim)
    assert (found - to_p(w[dark])).norm(dim=1).min() < 1e-5
    chosen = [int((to_p(w) - one).norm(dim=1).argmin()) for one in found[:20]]
    off = (people.readings - people.readings[dark]).abs().nanmean(1)
    assert off[chosen].mean() < off.nanmean()
    assert abs(read_traits(image).ita - people.readings[dark, 0].item()) < 0.1  # the file's readings are this code's
    with torch.no_grad():
        assert (dlib_resnet().embed(image)[0] - people.identity[dark]).norm() < 0.01
    inheritance = Inheritance(people=people)
    inside = draw_back(face.ws, generator.statistics())  # parents are drawn back first, where they lie outside
    mixture = render(generator, Latents(Blend(0.0)(inside, inside, generator)), 256)
    wanted = people.like(mixture, generator)
    assert torch.equal(inheritance.like(Blend(0.0), face.ws, face.ws, generator), wanted)  # type: ignore[arg-type]


@pytest.mark.weights
def test_people_through_the_scripts(
    run: Callable[..., Ran], couple: tuple[Path, Path], tmp_path: Path, generator: Tiny
) -> None:
    base = ["find_people", "generator=tiny", "threads=1"]
    for name, more in {"one": "samples=3", "two": "samples=4", "three": "seed=5"}.items():
        run(*base, "samples=3", more, f"output_dir={name}")
    found = {
        name: load_people(str(tmp_path / name / "people.safetensors"), generator) for name in ("one", "two", "three")
    }
    assert [len(one.identity) for one in found.values()] == [3, 4, 3]
    assert torch.allclose(found["two"].identity[:3], found["one"].identity, atol=1e-3)
    assert not torch.equal(found["three"].identity, found["one"].identity)
    family = ["family", f"father={couple[0]}", f"mother={couple[1]}", *TINY, "inherit.path=null", *CHILD[2:]]
    children = {}
    for name, more in {
        "whole": ["inherit.people=null"],
        "like": ["inherit.people=one/people.safetensors"],
        "less": ["inherit.people=null", "inherit.mutation=0.3"],
    }.items():
        run(*family, *more, f"output_dir=family_{name}")
        children[name] = load_file(tmp_path / f"family_{name}/latents.safetensors")["child_00"]
    assert not torch.equal(children["whole"], children["like"])
    assert not torch.equal(children["whole"], children["less"])
    assert torch.equal(children["whole"][8:], children["like"][8:])  # fine rows are the parents'

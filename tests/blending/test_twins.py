"""Identical twins are one draw with a little of their own; and a fusion that was learned takes the place of a blend."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from gan_inversion import api
from gan_inversion.blending import recipes
from gan_inversion.blending.inheritance import Sibling, children
from gan_inversion.blending.recipes import Blend, Recipe
from gan_inversion.components import build
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Generator, Inversion
from gan_inversion.latents import render
from tests.conftest import CHILD, TINY, Ran, latents


def test_twins_are_one_draw_and_alike(generator: Tiny) -> None:
    parents = latents(generator, 0), latents(generator, 1)
    made = children(Blend(), 4, None, 7, 1.0, 8, (1, 3))
    drawn = {number: recipe(*parents, generator) for number, recipe in made.items()}
    assert torch.equal(made[1].weights(8), made[3].weights(8))
    assert made[1].region_weights(8).keys() == made[3].region_weights(8).keys()
    assert made[1].gender == made[3].gender
    apart = {(i, j): (drawn[i] - drawn[j]).norm().item() for i in drawn for j in drawn if i < j}
    assert 0 < apart[1, 3] < 0.5 * min(apart[pair] for pair in apart if pair != (1, 3))
    assert torch.equal(drawn[0], Sibling(Blend(), 7, 0)(*parents, generator))  # others are as without twins
    alone = children(Blend(), 4, [3], 7, 1.0, 8, (1, 3))
    assert torch.equal(alone[3](*parents, generator), drawn[3])
    for bad in ((1,), (1, 1), (0, 4), (-1, 0)):
        with pytest.raises(UserError, match="two or more different numbers from 0, below siblings=4"):
            children(Blend(), 4, None, 7, 1.0, 8, bad)


def test_identical_twins_through_the_scripts(
    run: Callable[..., Ran], couple: tuple[Path, Path], tmp_path: Path
) -> None:
    """twins of family and blend: the same children."""
    keys = ["siblings=3", "twins=[0,2]", *CHILD]
    run("family", f"father={couple[0]}", f"mother={couple[1]}", *TINY, "inversion.steps=0", *keys, "output_dir=out")
    whole = "out/latents.safetensors"
    run("blend", f"father={whole}", f"mother={whole}", "generator=tiny", "threads=1", *keys, "output_dir=kids")
    family, blend = load_file(tmp_path / whole), load_file(tmp_path / "kids/latents.safetensors")
    assert all(torch.equal(family[name], blend[name]) for name in blend)
    told = json.loads((tmp_path / "out/family.json").read_text())["children"]
    assert [told[name].get("identical_twin_of_draw") for name in sorted(told)] == [0, None, 0]


@dataclass(frozen=True)
class Fused(Recipe):
    """Two rows and the weight -> the child's row, by a network of `seed`: what a learned fusion is, but for its learning."""

    name: ClassVar[str] = "fused"

    seed: int = 0
    path: str = "lerp"

    def weights(self, num_ws: int) -> Tensor:
        return torch.full((num_ws,), 0.5)

    def mix(self, father: Tensor, mother: Tensor, weights: Tensor, generator: Generator) -> Tensor:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(self.seed)
            network = nn.Sequential(nn.Linear(2 * father.shape[-1] + 1, 32), nn.ReLU(), nn.Linear(32, father.shape[-1]))
            even = torch.lerp(father, mother, weights[:, None])
            correction: Tensor = network(torch.cat([father, mother, weights[:, None]], 1))
            return even + 0.1 * correction


def test_a_fusion_with_weights_of_its_own(generator: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built by its `_target_`, and used for the child, for siblings and through the library."""
    father, mother = latents(generator, 0), latents(generator, 1)
    monkeypatch.setattr(Fused, "__module__", recipes.__name__)  # where an option of this package would lie
    monkeypatch.setattr(recipes, "Fused", Fused, raising=False)
    fused = build({"_target_": "gan_inversion.blending.recipes.Fused", "seed": 3}, "blend")
    child = fused(father, mother, generator)
    assert child.shape == father.shape
    assert not torch.allclose(child, (father + mother) / 2, atol=1e-3)
    assert not torch.equal(child, Fused(4)(father, mother, generator))
    siblings = [Sibling(fused, 0, i)(father, mother, generator) for i in range(2)]
    assert not torch.equal(*siblings)
    assert not torch.equal(siblings[0], Sibling(Blend(path="lerp"), 0, 0)(father, mother, generator))
    assert torch.equal(Sibling(fused, 0, 0, 0.0)(father, mother, generator), child)
    parents = [Inversion(ws, generator.sha256) for ws in (father, mother)]
    image = api.blend(generator, *parents, recipe=fused)
    assert torch.equal(image, render(generator, Inversion(child, generator.sha256).latents))

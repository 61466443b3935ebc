"""Generations: a YAML of people and couples becomes a family tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from gan_inversion.blending.offspring import Conception
from gan_inversion.blending.pedigree import read_pedigree
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Inversion, Latents
from gan_inversion.latents import save_latents
from tests.composed import command_of, compose
from tests.conftest import CHILD, TINY, Ran, latents

PEOPLE = """
people:
  hans: {photo: dad.png}
  anna: {photo: mum.png}
  otto: {latents: 'other.safetensors:otto'}
couples:
"""
LATER = "  - {father: otto, mother: maria, children: [lena]}\n"  # before its mother is born: any order is read
FIRST = "  - {father: hans, mother: anna, children: [maria, karl]}\n"


def written(tmp_path: Path, text: str = PEOPLE + LATER + FIRST) -> Path:
    (tmp_path / "tree.yaml").write_text(text)
    return tmp_path / "tree.yaml"


def test_three_generations(run: Callable[..., Ran], couple: tuple[Path, Path], tmp_path: Path, generator: Tiny) -> None:
    """tree, seed, metrics, diversity; everyone by name alone, whoever else is born."""
    save_latents(tmp_path / "other.safetensors", {"otto": Latents(latents(generator, 5))}, generator.sha256)
    written(tmp_path)
    base = ["generations", "tree=tree.yaml", *TINY, *CHILD, "inversion.steps=1"]
    run(*base, "output_dir=out")
    document = json.loads((tmp_path / "out/generations.json").read_text())
    assert document["generations"] == {"hans": 0, "anna": 0, "otto": 1, "maria": 1, "karl": 1, "lena": 2}
    assert set(document["born"]) == {"maria", "karl", "lena"}
    listed = {*document["files"], "generations.json"}
    assert listed == {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    for name in ("family_tree", "lena", "hans_inversion"):
        with Image.open(tmp_path / f"out/{name}.png") as picture:
            assert "Synthetic" in picture.info
    first = load_file(tmp_path / "out/latents.safetensors")
    assert set(first) == {"hans", "anna", "otto", "maria", "karl", "lena"}
    written(tmp_path, PEOPLE + FIRST.replace(", karl", "") + LATER)
    done = run(*base, "output_dir=fewer", "metrics=[mse]")
    assert done.stdout.count("taken from the store") == 2
    fewer = load_file(tmp_path / "fewer/latents.safetensors")
    assert torch.equal(fewer["lena"], first["lena"]) and torch.equal(fewer["maria"], first["maria"])
    for change in ("seed=1", "diversity=0.3"):
        run(*base, change, f"output_dir={change}")
        other = load_file(tmp_path / change / "latents.safetensors")
        assert not torch.equal(other["lena"], first["lena"])


def test_those_before_the_last_are_grown_up(generator: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """grown for parents and their siblings, child.age for the last; parents have the sex of their part."""
    asked: dict[str, tuple[Any, Any]] = {}

    def conceive(self: Conception, father: Any, mother: Any, generator: Any, progress: Any) -> dict[str, Any]:
        asked[str(len(asked))] = self.steering.age, self.steering.gender  # type: ignore[union-attr]
        return Conception(self.recipes, self.inheritance, self.steering, None)._plain(
            father, mother, generator, progress
        )  # type: ignore[attr-defined]

    monkeypatch.setattr(Conception, "_plain", Conception.__call__, raising=False)
    monkeypatch.setattr("gan_inversion.editing.steering.Steering.colours_of", lambda *_: [])
    monkeypatch.setattr(Conception, "__call__", conceive)
    tree = read_pedigree(str(written(tmp_path)))
    keys = ["generator=tiny", "inherit.path=null", "inherit.people=null", "grown=40", "tree=x"]
    command = command_of(compose(*keys, script="generations"), "generations")
    made = command.born(
        tree,
        {name: Inversion(latents(generator, i), generator.sha256) for i, name in enumerate(tree.founders)},
        Conception(
            {},
            command.inherit.load(generator, True),
            command.child,
            object(),  # type: ignore[arg-type]
        ),
        generator,
    )
    assert [*made] == ["maria", "karl", "lena"]
    assert [*asked.values()] == [(40.0, "female"), (40.0, "drawn"), (8.0, "drawn")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PEOPLE + LATER, "line 7: nobody is called maria"),
        (PEOPLE + FIRST.replace("karl", "otto"), "line 7: otto is there twice"),
        (PEOPLE + FIRST.replace("mother: anna", "mothr: anna"), "line 7: unknown key mothr. Did you mean mother"),
        (PEOPLE + FIRST.replace("hans", "karl"), "line 7: karl or anna is a descendant of their own children"),
        (PEOPLE + FIRST.replace(", children: [maria, karl]", ""), "line 7: children is missing"),
        (PEOPLE + FIRST.replace("karl", "../karl"), "line 7: '../karl': names have letters"),
        (PEOPLE.replace("photo: dad.png", "age: 3") + FIRST, "line 3: unknown key age"),
        (PEOPLE.replace("photo: dad.png", "") + FIRST, "line 3: photo or latents is needed"),
        (PEOPLE.replace("photo: dad.png", "photo: dad.png, face: x") + FIRST, "line 3: face=x"),
        (PEOPLE + FIRST + LATER.replace("children:", "sons: [lena], daughters:"), "line 8: lena is there twice"),
        (PEOPLE + FIRST.replace("mother: anna", "mother: hans"), "line 7: hans cannot be both parents"),
        (PEOPLE + FIRST.replace("karl", "ANNA"), "line 7: ANNA is there twice"),
        (PEOPLE + FIRST.replace("karl", "hans_inversion"), "line 7: hans_inversion: a file of the run"),
        (PEOPLE + FIRST.replace("children", "sons") + LATER, "line 7: maria is a daughter and a father, or a son and a"),
        (PEOPLE + FIRST.replace("[maria, karl]", "maria"), "line 7: children: a list of names is needed"),
        (PEOPLE, "line 6: couples: a list is needed"),
        (PEOPLE + FIRST + "  - {father: karl, mother: anna, children: [a]}\n" + LATER.replace("maria", "karl"),
         "line 7: karl is a father and a mother"),
        ("people: [", "line 1: not YAML"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_pedigree(str(written(tmp_path, text)))
    assert f"tree.yaml, {message}" in str(error.value)


def test_daughters_and_sons(tmp_path: Path) -> None:
    text = PEOPLE + FIRST + LATER.replace("children: [lena]", "children: [kim], daughters: [lena], sons: [paul]")
    assert read_pedigree(str(written(tmp_path, text))).unions[1].genders == {
        "kim": "",
        "lena": "female",
        "paul": "male",
    }

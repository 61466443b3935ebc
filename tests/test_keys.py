"""Every key of every config moves something: `moves.py` names the test that shows it. And keys that no other test shows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gan_inversion.cli import CONFIGS
from gan_inversion.commands import PLACES
from gan_inversion.commands.common import fitting
from gan_inversion.editing import steering
from gan_inversion.editing.files import Directions, save_directions
from gan_inversion.execution.work import Job
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Latents
from tests.composed import command_of, compose, tiny_config
from tests.conftest import ROOT
from tests.editing.test_steering import World, directions
from tests.moves import MOVES

GROUPS = {path.parent.name for path in CONFIGS.glob("*/*.yaml")}


def keys() -> Iterator[str]:
    """COMMAND.KEY of each config, also of a group that it sets keys of, and GROUP.OPTION.KEY of each option."""
    for path in sorted(CONFIGS.rglob("*.yaml")):
        place = path.relative_to(CONFIGS).with_suffix("")
        if place.parts[0] == "experiment":  # those set keys of others: commands/test_experiments.py
            continue
        for key, value in yaml.safe_load(path.read_text()).items():
            if key in GROUPS:
                yield from (f"{'.'.join(place.parts)}.{key}.{inner}" for inner in value if inner != "_target_")
            elif key not in ("defaults", "hydra", "_target_"):
                yield f"{'.'.join(place.parts)}.{key}"


def shown() -> dict[str, str]:
    """Key -> the test that shows it. `*.KEY` is that of all commands that have it and no test of their own for it."""
    single = {key: test for test, named in MOVES.items() for key in named.split()}
    found = {key: test for key, test in single.items() if not key.startswith("*.")}
    for key, test in single.items():
        if key.startswith("*."):
            found |= {one: test for one in keys() if one not in found and one in {f"{n}.{key[2:]}" for n in PLACES}}
    return found


def test_every_key_has_a_test_that_shows_what_it_moves() -> None:
    known = list(keys())
    assert len(known) > 200, "the configs are not where they are looked for"
    assert sorted(set(known) - set(shown())) == [], "name a test for them in moves.py"
    assert sorted(set(shown()) - set(known)) == [], "moves.py names keys that no config has"
    named = [key for keys in MOVES.values() for key in keys.split()]
    assert len(named) == len(set(named)), "one test a key"


@pytest.mark.parametrize("test", MOVES)
def test_it_is_there_and_speaks_of_its_keys(test: str) -> None:
    text = source_of(test)
    for key in MOVES[test].split():
        assert re.search(rf"(?<![a-z]){key.rpartition('.')[2]}(?![a-z])", text), f"{test} does not mention {key}"


def source_of(test: str) -> str:
    """The text of a test, and of all in its module that it names: constants, helpers, fixtures."""
    path, _, name = test.partition("::")
    pieces = pieces_of(ROOT / path)
    assert name in pieces, f"{path} has no test called {name}"
    wanted, seen = [name], dict[str, str]()
    while wanted:
        one = wanted.pop()
        if one in pieces and one not in seen:
            seen[one], names = pieces[one]
            wanted += names
    return "\n".join(seen.values())


@cache
def pieces_of(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Each name that a module defines -> its text, and the names within it."""
    text = path.read_text()
    lines, found = text.splitlines(), {}
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        defined = [target.id for target in targets if isinstance(target, ast.Name)]
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined = [node.name]
        begin = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        names = [one.id for one in ast.walk(node) if isinstance(one, ast.Name)]
        names += [one.arg for one in ast.walk(node) if isinstance(one, ast.arg)]
        for name in defined:
            found[name] = "\n".join(lines[begin - 1 : node.end_lineno]), names
    return found


# ---------------------------------------------------------------- keys of components


@pytest.mark.parametrize("option", sorted(path.stem for path in (CONFIGS / "aligner").glob("*.yaml")))
def test_the_size_of_a_crop(option: str, generator: Tiny) -> None:
    sizes = []
    for more in ([], ["aligner.size=32"]):
        aligner: Any = fitting(command_of(compose(f"aligner={option}", *more)).aligner, generator)
        sizes.append(aligner.size)
    assert sizes == [generator.resolution, 32]


@pytest.mark.parametrize(
    "recipe", [["crossover"], ["ramp"], ["per_layer", "blend.layer_weights=[0,0,0.3,0.5,0.5,1,1,1]"]]
)
def test_the_path_of_a_recipe(recipe: list[str], generator: Tiny) -> None:
    father, mother = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    made = [
        command_of(compose(f"blend={recipe[0]}", *recipe[1:], f"blend.path={path}")).blend(father, mother, generator)
        for path in ("lerp", "slerp", "p_lerp")
    ]
    assert not any(torch.equal(made[i], made[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_steps_and_directions_of_fixed_steps(generator: Tiny, tmp_path: Path) -> None:
    """Also that `child=steered` reads the file which child.directions names."""
    path = tmp_path / "d.safetensors"
    save_directions(path, Directions({"young": torch.ones(16)}), generator, {})
    for steps in (-1.5, 2.0):
        fixed = command_of(
            compose("child=fixed_steps", f"+child.steps={{young: {steps}}}", f"child.directions={path}")
        ).child
        (child,) = fixed(Latents(torch.zeros(8, 16)), "", fixed.load(generator), generator)
        assert torch.equal(child.latents.ws, torch.full((8, 16), steps))
    steered = command_of(compose(f"child.directions={path}", "child.scene=null")).child
    assert list(steered.load(generator).vectors) == ["young"]


def test_what_the_other_parent_is_to_be(generator: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """child.age and child.gender of `partner`, whose own they are."""
    monkeypatch.setattr(steering, "render", lambda generator, latents, size=None: latents.ws)
    given = ["of_child=x", "parent=x", "child.search=0", "child.scene=null"]
    reached = []
    for more in ([], ["child.age=50", "child.gender=female"]):
        child = command_of(compose(*given, *more, script="partner"), "partner").child
        reached += child(Latents(torch.zeros(8, 16)), "male", directions(World()), generator)
    assert [one.gender for one in reached] == ["male", "female"]
    assert [one.read.age for one in reached] == pytest.approx([35, 50], abs=1)


def test_faces_side_by_side(generator: Tiny) -> None:
    """runner.batch_size and runner.workers: results are the same by law 3, so what is shown is who asks for how many."""
    runner = command_of(tiny_config("runner.batch_size=3")).runner
    taken: list[int] = []

    class Asked:
        def take(self, most: int) -> list[Any]:
            taken.append(most)
            return []

        def keep(self, number: int, result: Any) -> None:
            raise AssertionError

    runner.run(Job(), Asked(), print)
    assert taken[0] == 3
    assert command_of(tiny_config("runner.workers=2")).runner.workers == 2

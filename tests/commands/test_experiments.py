"""Each experiment with each command that offers one: it composes and changes something, or it is said whom it is for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gan_inversion import cli
from gan_inversion.commands import PLACES
from gan_inversion.errors import UserError
from tests.composed import command_of, compose
from tests.conftest import Ran

COMMANDS = [name for name in PLACES if "experiment" in cli._groups(name)]
EXPERIMENTS = sorted(path.stem for path in (cli.CONFIGS / "experiment").glob("*.yaml"))
GIVEN = {"family": [], "batch": ["manifest=x.csv"], "invert": ["photos=[x]"], "blend": ["father=a", "mother=b"]}
NOT_FOR = {  # what has no parents has no children, and the other way round
    ("invert", "babygan"), ("invert", "familygan"), ("invert", "w_plus_mean"),
    ("edit", "babygan"), ("edit", "familygan"), ("edit", "w_plus_mean"),
    ("blend", "any_generator"), ("blend", "free"), ("blend", "plain"), ("blend", "thorough"), ("blend", "sfe"),
    ("blend", "ii2s"), ("blend", "stylegan2_projector"), ("blend", "pti"), ("evaluate_children", "sfe"),
    ("evaluate_children", "pti"), ("app", "babygan"), ("app", "familygan"), ("app", "w_plus_mean"), ("app", "sfe"),
    ("app", "pti"),
}  # fmt: skip


def test_there_are_some() -> None:
    assert {"family", "invert", "blend", "batch"} <= set(COMMANDS)
    assert {experiment for _, experiment in NOT_FOR} <= set(EXPERIMENTS)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("name", COMMANDS)
def test_it_composes_or_says_whom_it_is_for(name: str, experiment: str) -> None:
    given = GIVEN.get(name, [])
    if (name, experiment) in NOT_FOR:
        with pytest.raises(
            UserError, match=rf"experiment={experiment} chooses .*, which {name} has not: it is for family"
        ):
            compose(f"experiment={experiment}", *given, script=name)
        assert f"experiment={experiment}\n" not in cli.help_text(name)
        return
    values = compose(f"experiment={experiment}", *given, script=name)
    assert command_of(values, name) != command_of(compose(*given, script=name), name)
    assert f"experiment={experiment}\n" in cli.help_text(name)


def test_a_command_takes_of_an_experiment_what_is_its_own(run: Callable[..., Ran]) -> None:
    """any_generator speaks of children too, which `invert` has not; what a person types is another matter."""
    values = compose("experiment=any_generator", "photos=[x]", script="invert")
    assert values["start"] == {"_target_": "gan_inversion.inversion.starts.Mean"}
    assert {"inherit", "child"}.isdisjoint(values)
    done = run("invert", "experiment=any_generator", "photos=[x]", "+inherit.path=null", code=1)
    assert "unknown key inherit" in done.stderr


@pytest.mark.parametrize(
    ("experiment", "other", "key"),
    [
        ("free", "start=mean", "start"),
        ("free", "start=best_of", "start"),
        ("plain", "space=p", "space"),
        ("ii2s", "space=z", "space"),
        ("babygan", "blend=even", "blend"),
        ("familygan", "blend=crossover", "blend"),
        ("familygan", "child=steered", "child"),
        ("any_generator", "child=fixed_steps", "child"),
        ("sfe", "refine=styles", "refine"),
        ("pti", "refine=noise", "refine"),
    ],
)
def test_another_option_is_as_if_the_experiment_had_not_spoken_of_it(experiment: str, other: str, key: str) -> None:
    """inversion=adam apart, an option's keys are nobody's with another option."""
    more = ["+child.steps={}"] if other == "child=fixed_steps" else []
    values = compose(f"experiment={experiment}", other, *more)
    assert values.get(key) == compose(other, *more).get(key)
    assert command_of(values)


def test_the_same_option_and_what_is_typed_of_another_stay() -> None:
    assert compose("experiment=plain", "space=w_plus")["space"]["whitening"] == 0.0
    assert "refine" not in compose("experiment=sfe", "~refine")
    assert compose("experiment=babygan", "blend=even", "blend.path=slerp")["blend"]["path"] == "slerp"
    with pytest.raises(UserError, match=r"unknown key start.passes"):
        command_of(compose("experiment=free", "start=mean", "start.passes=2"))


def test_other_losses_keep_what_the_experiment_says_of_them() -> None:
    losses = compose("experiment=stylegan2_projector", "losses=[lpips,pixel]", "inversion.noise_maps=false")["losses"]
    assert set(losses) == {"lpips", "pixel"}
    assert losses["lpips"]["backbone"] == "vgg"
    with pytest.raises(UserError, match=r"unknown key losses.noise.weight: losses=\[lpips\] leaves it out"):
        command_of(compose("experiment=stylegan2_projector", "losses=[lpips]", "losses.noise.weight=1"))

"""Words of the command line that were once taken for something else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gan_inversion import cli
from gan_inversion.components import construct
from gan_inversion.errors import suggestion
from gan_inversion.report import progress
from tests.conftest import Ran

NAMES = ["2024.10", "1_0", "1e3", "true", "inf", "007",
         "a,b.jpg", " dad.jpg",
         "dad.jpg ", "a${b}c.jpg", "a${b", "range(1,3)",
         "choice(a,b)",
         "a=b", "a:b", "1:30", "a\\b", "a'b", "a]", "{a", "é ü.jpg", "$HOME", "~x", "x,", "glob(*)"]  # fmt: skip


def built(script: str, *arguments: str) -> Any:
    known = [*cli._body(script), *cli._groups(script)]
    typed = [cli.quoted(argument, False, known) for argument in arguments]
    return construct(cli.class_of(script), cli.compose(script, typed), "", cli.said_of(typed))


@pytest.mark.parametrize("name", NAMES)
def test_names_are_what_was_typed(name: str) -> None:
    command = built("family", f"father={name}", "mother=b", f"store.path={name}", f"child.directions={name}",
                    f"output_dir={name}")  # fmt: skip
    assert [command.father, command.store.path, command.child.directions, command.output_dir] == [name] * 4


def test_names_in_lists_are_what_was_typed() -> None:
    assert built("invert", "photos=[2024.10,1e3, true,a b.jpg]").photos == (
        "2024.10",
        "1e3",
        "true",
        "a b.jpg",
    )
    assert built("invert", "photos=['a,b.jpg',c]").photos == ("a,b.jpg", "c")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ('[seed=2,"inversion.betas=[0.6,0.96]"]', ("seed=2", "inversion.betas=[0.6,0.96]")),
        ("[losses=[pixel,lpips], start=mean]", ("losses=[pixel,lpips]", "start=mean")),
        ("['child.steps={age: 1,gender: 2}',threads=1]", ("child.steps={age: 1,gender: 2}", "threads=1")),
        ("[a[1.jpg,dad's.jpg,'tis.jpg,b.jpg]", ("a[1.jpg", "dad's.jpg", "'tis.jpg", "b.jpg")),
        ("[a (1,2).jpg,\"c d, e.jpg\"]", ("a (1,2).jpg", "c d, e.jpg")),
    ],
)  # fmt: skip
def test_lists_in_lists_are_what_was_typed(typed: str, meant: tuple[str, ...]) -> None:
    """A recipe's own list; brackets and apostrophes that are part of a name."""
    assert built("benchmark", "photos=[]", f"+recipes.mine={typed}").recipes["mine"] == meant


def test_keys_may_still_stand_for_others() -> None:
    assert built("family", "father=a", "mother=b", "seed=7", "output_dir=runs/${seed}").output_dir == "runs/7"


def test_lists_and_sweeps_are_told_of() -> None:
    with pytest.raises(
        cli.UserError, match=r"aligner=ffhq,centre: write aligner=\[ffhq,centre\] for a list.*--multirun"
    ):
        cli.compose("family", ["father=a", "mother=b", cli.quoted("aligner=ffhq,centre")])
    with pytest.raises(cli.UserError, match=r"seed=1,2: write seed=\[1,2\] for a list.*--multirun"):
        cli.compose("family", ["father=a", "mother=b", cli.quoted("seed=1,2", False)])
    assert cli.quoted("father=a,b") == "father=a,b"


def test_steps_along_one_s_own_directions() -> None:
    made = built("family", "father=a", "mother=b", "child=fixed_steps", "child.directions=X.npy", "child.steps={X:-2.5}",
                 "private=false")  # fmt: skip
    assert (made.child.steps, made.child.directions) == ({"X": -2.5}, "X.npy")
    assert built("family", "father=a", "mother=b", "experiment=babygan", "child.steps={age:1}").child.steps == {
        "age": 1.0
    }


@pytest.mark.parametrize(
    ("word", "meant"),
    [("sex", "child.gender"), ("gender", "child.gender"), ("age", "child.age"), ("children", "siblings"),
     ("child.sex", "child.gender"), ("dad", "father"), ("mom", "mother"), ("output", "output_dir"), ("sibling", "siblings"),
     ("iterations", "inversion.steps"), ("lr", "inversion.learning_rate"), ("gpu", "device"), ("divresity", "diversity"),
     ("inversion.lr", "inversion.learning_rate")],
)  # fmt: skip
def test_what_was_meant(word: str, meant: str) -> None:
    assert suggestion(word, cli._all_keys("family")) == f" Did you mean {meant}?"
    with pytest.raises(cli.UserError, match=rf"unknown key {word}. Did you mean {meant}\?"):
        cli.compose("family", ["father=a", "mother=b", f"{word}=1"])


def test_a_bar_of_one_does_not_stand_at_zero(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(progress.bar_of("children", "child")([1])) == [1]
    assert capfd.readouterr().err == ""
    assert list(progress.bar_of("children", "child")([1, 2])) == [1, 2]
    assert capfd.readouterr().err.count("\n") <= 2


def test_time_left_is_told_after_the_first_tenth() -> None:
    bar = progress._Bar(total=100, file=sys.stderr, disable=False, miniters=1000)
    bar.n = 5
    assert "<" not in str(bar)
    bar.n = 10
    assert "<" in str(bar)
    bar.close()


def test_a_file_that_looks_like_a_number(tmp_path: Path, run: Callable[..., Ran]) -> None:
    ran = run("family", "father=1e3", "mother=2024.10", code=1)
    assert "1e3: cannot be read" in ran.stderr

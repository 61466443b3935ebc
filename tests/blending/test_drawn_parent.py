"""A family of one photograph: the other parent is drawn, and said to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from gan_inversion.blending import drawn_parent
from gan_inversion.blending.drawn_parent import draw_parent
from gan_inversion.editing.people import load_people, save_people
from gan_inversion.errors import UserError
from gan_inversion.estimators.age_gender import age_gender
from gan_inversion.faces.traits import Traits
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import FaceLabels, Inversion
from gan_inversion.latents import render
from gan_inversion.metrics.couples import sampled_couples
from gan_inversion.spaces.p_space import draw_back, from_p, to_p
from gan_inversion.spaces.population import sample_w, truncated
from tests.blending.test_people import people_of
from tests.conftest import CHILD, TINY, Ran, latents, real

Run = Callable[..., Ran]
ALONE = [*TINY, *CHILD, "inversion.steps=0", "drawn_parent=anyone"]


def test_a_family_of_one(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    """The drawn parent is said to be, in log, JSON, sheet and each picture; the same whoever her children are."""
    done = run("family", f"father={couple[0]}", *ALONE, "siblings=2", "output_dir=out")
    assert "the mother is drawn among the whole population: nobody's photograph" in done.stdout
    out = tmp_path / "out"
    document = json.loads((out / "family.json").read_text())
    assert document["drawn_parent"] == "mother"
    assert document["parents"]["mother"] == {
        "status": "drawn", "drawn_among": "the whole population", "read_by_what_chose": None,
    }  # fmt: skip
    assert document["parents"]["father"]["status"] == "done"
    listed = {*document["files"], "family.json"}
    assert listed == {path.name for path in out.iterdir() if path.is_file()}
    assert "mother_drawn.png" in listed and not listed & {"mother.png", "mother_inversion.png"}
    for name in ("mother_drawn", "child_00", "contact_sheet"):
        with Image.open(out / f"{name}.png") as picture:
            assert json.loads(picture.info["Synthetic"])["drawn_parent"] == "mother"
    assert set(first := load_file(out / "latents.safetensors")) == {"father", "mother", "child_00", "child_01"}
    run("family", f"father={couple[0]}", *ALONE, "output_dir=one")
    one = load_file(tmp_path / "one/latents.safetensors")
    assert torch.equal(one["mother"], first["mother"]) and torch.equal(one["child_00"], first["child_00"])
    run("family", f"father={couple[0]}", *ALONE, "seed=1", "output_dir=other")
    assert not torch.equal(load_file(tmp_path / "other/latents.safetensors")["mother"], first["mother"])
    run("family", f"mother={couple[0]}", *ALONE, "output_dir=turned")
    turned = json.loads((tmp_path / "turned/family.json").read_text())
    assert turned["parents"]["father"]["status"] == "drawn"


def test_mistakes(run: Run, couple: tuple[Path, Path]) -> None:
    both = ["family", f"father={couple[0]}", f"mother={couple[1]}"]
    for more, message in (
        ([*both[:2], *ALONE, "mother_face=1"], "mother_face=1: there is no mother=... to look for it in"),
        ([*both[:2], *ALONE, "drawn_parent=somebody"], "drawn_parent=somebody: choose one of like, anyone"),
        ([*both[:2], *ALONE[:-1]], "drawn_parent=like needs people among whom to look"),
        ([*both, *ALONE], "nobody is drawn where father and mother are given"),
        ([*both[:2], *ALONE, "refine=weights", "refine.together=true"], "one copy for both parents needs photographs"),
    ):
        done = run(*more, "output_dir=no", code=1)
        assert message in done.stderr
        assert not Path("no").exists()


def test_people_like_the_given_one_or_anyone(
    run: Run, couple: tuple[Path, Path], tmp_path: Path, generator: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """drawn_parent=like draws one of the people, anyone a fresh sample."""
    save_people(tmp_path / "people.safetensors", people_of(5), generator, {})
    pool = to_p(sample_w(generator, 5, 0)[1])
    monkeypatch.setattr("gan_inversion.editing.people.People.like", lambda people, image, generator: pool[[1, 3]])
    base = ["family", f"father={couple[0]}", *TINY, *CHILD, "inversion.steps=0", "inherit.people=people.safetensors"]
    found = {}
    for among in ("like", "anyone"):
        run(*base, f"drawn_parent={among}", f"output_dir={among}")
        found[among] = load_file(tmp_path / among / "latents.safetensors")["mother"]
    statistics = generator.statistics()
    like = draw_back(truncated(from_p(pool[[1, 3]]), drawn_parent.PSI, statistics), statistics)
    off = {name: float((like - ws[0]).abs().amax(1).min()) for name, ws in found.items()}
    assert off["like"] < 1e-4 < off["anyone"]


def test_the_first_adult_of_the_sex_is_taken(generator: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    read = [FaceLabels(12, 0.01), FaceLabels(30, 0.9), FaceLabels(64, 0.01), FaceLabels(30, 0.01), FaceLabels(30, 0.0)]
    looked: list[FaceLabels] = []

    class Reads:
        def label(self, image: torch.Tensor) -> list[FaceLabels]:
            looked.append(read[len(looked) % len(read)])
            return looked[-1:]

    monkeypatch.setattr(drawn_parent, "age_gender", lambda device: Reads())
    monkeypatch.setattr(drawn_parent, "LEAST_SIDE", 64)
    monkeypatch.setattr(drawn_parent, "read_traits", lambda image: Traits(yaw=0.1))
    father = Inversion(latents(generator, 0), generator.sha256)
    found = draw_parent("mother", father, generator, 0, None)
    assert found.read == read[3] and len(looked) == 4
    assert found.inversion.ws.shape == (8, 16)
    monkeypatch.setattr(drawn_parent, "read_traits", lambda image: Traits())  # nobody is to be seen
    with pytest.raises(UserError, match="no mother was found among the whole population"):
        draw_parent("mother", father, generator, 0, None)


@pytest.mark.weights
def test_a_drawn_mother_is_a_grown_woman_like_him() -> None:
    """On the real generator: read so by the classifier, and among the people like the father."""
    generator = real()
    people = load_people("people_mobile_stylegan_ffhq", generator)
    father = sampled_couples(generator, 1, 5)[0].father
    drawn = draw_parent("mother", father, generator, 2, people)
    assert drawn.read is not None
    assert 25 <= drawn.read.age <= 50 and drawn.read.male <= 0.02
    again = age_gender().label(render(generator, drawn.inversion.latents, 256))[0]
    assert abs(again.age - drawn.read.age) < 5
    assert drawn.caption == "mother: nobody's photograph, drawn among people like the father"

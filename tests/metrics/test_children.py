"""The table of children, by hand on made-up faces, and the script on the real generator."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_inversion.assets.catalogue import read_catalogue
from gan_inversion.assets.fetch import is_present
from gan_inversion.faces.traits import NAN, Traits
from gan_inversion.metrics import couples
from gan_inversion.metrics.children import FamilySeen, Made, Seen, real_families, summarise_method
from gan_inversion.metrics.heredity import AGED, summarise_heredity
from gan_inversion.report.kinship import children_sheet, csv_of, text_of
from tests.conftest import Ran

needs_faceres = pytest.mark.skipif(
    not is_present(read_catalogue()["faceres"]), reason="FaceRes is optional: fetch_weights.py only=[faceres]"
)


def seen(x: float, y: float, age: float = 30, male: float = 0.9, p_norm: float = 1.0) -> Seen:
    unit = np.array([x, y]) / max(np.hypot(x, y), 1e-9)
    return Seen(np.array([x, y]), unit, age, male, age + 1, male, p_norm)


def families() -> list[FamilySeen]:
    """Two couples; the first's children lie between them, at 8 and 25, the second's on the father."""
    one = [Made(seen(0.5, 0, 9, 0.2), 8, "female"), Made(seen(0.5, 0.2, 40, 0.8, 3.0), 25, "male")]
    two = [Made(seen(5, 5, 8, 0.9), 8, "male"), Made(seen(5, 5, 24, 0.9), 25, "female")]
    return [
        FamilySeen("a", seen(0, 0.01), seen(1, 0), {"ours": one, "real_child": []}),
        FamilySeen("b", seen(5, 5), seen(5, 6), {"ours": two, "real_child": []}),
    ]


def test_the_table_by_hand() -> None:
    row = summarise_method(families(), "ours", 0)
    assert row["n"] == 4
    less = [np.hypot(0.5, 0.01), np.hypot(0.5, 0.2), 1.0, 1.0]  # the farther parent's distance
    assert row["less_similar_dlib"]["mean"] == pytest.approx(np.mean(less), abs=1e-6)
    assert row["difference_dlib"]["mean"] == pytest.approx(
        np.mean([less[0] - 0.5, less[1] - np.hypot(0.5, 0.19), 1, 1]), abs=1e-6
    )
    assert row["auc_dlib"] == 1.0
    assert row["siblings_dlib"]["mean"] == pytest.approx(0.1)  # 0.2 in one family, 0 in the other
    assert row["age_8_judge"]["mean"] == 1.0
    assert row["age_25_judge"]["mean"] == 0.5  # 40 is out of the band
    assert row["gender_25_judge"]["mean"] == 0.5
    assert row["p_norm_no_worse_than_parents"] == 0.75
    assert summarise_method(families(), "real_child", 0) == {"n": 0, "families": 0}


def test_heredity_by_hand() -> None:
    """Light parents with a child between them and a darker one; dark parents with a child whose hair was not read."""

    def of(x: float, y: float, ita: float, hair: float) -> Seen:
        return replace(seen(x, y), traits=Traits(ita=ita, hair_l=hair))

    one = [Made(of(1, 0, 50, 20), 8, "female", 0), Made(of(0, 1, 30, 20), 25, "male", 1)]
    copied = {"father_copied": [Made(of(1, 0, 45, 10))], "mother_copied": [Made(of(1, 0, 60, 25))]}
    aged = {AGED: [Made(of(1, 1, 50, 20), 25, "female", 0)]}
    light = FamilySeen("a", of(1, 0, -80, 10), of(1, 0, -80, 20), {"ours": one, **aged, **copied})
    dark = FamilySeen("b", of(1, 0, -40, 5), of(0, 1, -50, 5), {"ours": [Made(of(1, 0, -57, NAN), 8, "male", 0)]})
    row = summarise_heredity([light, dark], "ours", 0)
    assert (row["skin_between"]["mean"], row["skin_between"]["n"]) == (pytest.approx(2 / 3), 3)
    assert row["skin_between_light"]["mean"] == 0.5  # the mean of the inversions, 52.5
    assert row["skin_between_dark"]["mean"] == 1.0  # 7 below
    assert row["hair_darkness_between"]["n"] == 2
    assert "hair_darkness_between_dark" not in row
    assert row["less_similar_faceres_light"]["mean"] == pytest.approx(0.5)
    assert row["less_similar_faceres_dark"]["mean"] == pytest.approx(0.0)
    assert row["itself_at_both_ages_faceres"]["mean"] == pytest.approx(0.5**0.5)
    assert row["itself_at_both_ages_faceres"]["n"] == 1
    assert "itself_at_both_ages_faceres" not in summarise_heredity([light, dark], "father_copied", 0)
    text = text_of({"ours": {**summarise_method([light, dark], "ours", 0), **row}}, real_families())
    assert "skin_between_dark\n" in text
    assert "itself_at_both_ages_dlib *" in text


def test_a_couple_is_kept_with_its_traits_and_pictures(tmp_path: Path) -> None:
    """And is looked at anew where anything that it was seen by has changed."""
    child = Made(replace(seen(1, 0), traits=Traits(ita=50, iris_reliable=True)), 8, "female", 0)
    family = FamilySeen("a", seen(0, 1), seen(1, 1, p_norm=2), {"ours": [child], AGED: [replace(child, age=25)]})
    path, picture = tmp_path / "a.safetensors", torch.linspace(-1, 1, 64)[None, None].expand(1, 3, 64, 64)
    couples._keep(path, family, "identity", {"father": picture, "child 0 at 8": -picture})
    assert couples._load(path, "another") is None
    kept = couples._load(path, "identity")
    assert kept is not None
    assert kept.mother.p_norm == 2
    (again,), (aged,) = kept.children["ours"], kept.children[AGED]
    assert (again.index, again.seen.traits.ita, again.seen.traits.iris_reliable, aged.age) == (0, 50, True, 25)
    assert np.isnan(again.seen.traits.hair_l)
    shown = couples.pictures_of(path)
    assert list(shown) == ["father", "child 0 at 8"]
    assert shown["father"].shape == (128, 128, 3)
    assert shown["father"][0, 0, 0] < 5 < 250 < shown["child 0 at 8"][0, 0, 0]


def test_a_sheet_has_a_row_a_couple() -> None:
    rows = [{name: np.full((16, 16, 3), (9, i, j), np.uint8) for j, name in enumerate("abc")} for i in range(2)]
    sheet = children_sheet(rows, "made by a generator")
    for i in range(2):
        for j in range(3):
            assert int((sheet == (9, i, j)).all(2).sum()) == 256


def test_the_table_is_written_out() -> None:
    table = {"ours": summarise_method(families(), "ours", 0)}
    text = text_of(table, real_families())
    assert "less_similar_dlib *" in text  # marked: it took part in the making
    assert "real families      0.807 ± 0.076" in text
    assert csv_of(table).splitlines()[1].startswith("ours,4,2,")


@pytest.mark.weights
@needs_faceres
def test_two_sampled_couples_and_again(run: Callable[..., Ran], tmp_path: Path) -> None:
    """On the real generator; the second time nothing is made anew, and another couple may join."""
    arguments = ["evaluate_children", "layout=sampled", "output_dir=out", "threads=1", "child.search=2"]
    run(*arguments, "couples=2")
    first = (tmp_path / "out/children.json").read_bytes()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/couples").iterdir()}
    assert len(before) == 2
    run(*arguments, "couples=2")
    assert (tmp_path / "out/children.json").read_bytes() == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out/couples").iterdir()} == before
    methods = json.loads(first)["methods"]
    assert methods["ours"]["n"] == 8
    assert methods["father_copied"]["difference_dlib"]["mean"] > methods["w_plus_mean"]["difference_dlib"]["mean"]
    assert methods["ours"]["age_8_steering"]["mean"] > 0.7
    assert (tmp_path / "out/children.csv").exists()
    assert (tmp_path / "out/children.png").exists()
    assert 0 <= methods["ours"]["skin_between"]["mean"] <= 1
    assert methods["ours"]["itself_at_both_ages_faceres"]["n"] == 2
    assert methods["father_copied"]["skin_between"]["mean"] == methods["mother_copied"]["iris_between"]["mean"] == 1.0
    sheet = Image.open(tmp_path / "out/children_sheet.jpg")
    assert sheet.size[0] > 9 * 128  # parents, their inversions, four children, and one of them at another age
    assert json.loads((tmp_path / "out/children_sheet.jpg.json").read_text())["synthetic"] is True


@pytest.mark.weights
@needs_faceres
def test_what_cannot_be_evaluated(run: Callable[..., Ran]) -> None:
    tiny = [
        "generator=tiny",
        "inherit.path=null",
        "inherit.people=null",
        "diversity=0",
        "child=fixed_steps",
        "threads=1",
    ]
    assert "choose child=steered with its directions" in run("evaluate_children", *tiny, code=1).stderr
    assert "data=FOLDER must be given" in run("evaluate_children", "output_dir=a", "threads=1", code=1).stderr
    assert "no such folder" in run("evaluate_children", "output_dir=b", "data=nowhere", "threads=1", code=1).stderr
    assert "album" in run("evaluate_children", "output_dir=c", "data=.", "layout=album", "threads=1", code=1).stderr

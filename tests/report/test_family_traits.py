"""What a family's summary and table say of traits."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from gan_inversion.batch.couples import Couple
from gan_inversion.batch.families import rows_of
from gan_inversion.errors import UserError
from gan_inversion.faces.traits import UNREAD, Traits
from gan_inversion.latents import to_json
from gan_inversion.metrics import kept_traits as traits
from gan_inversion.metrics.kept_traits import compare_traits

READ = {
    "father": Traits(ita=50, hair_l=20, pitch=0.5),
    "mother": Traits(ita=30, hair_l=30, pitch=0.5),
    "child_00": Traits(ita=40, hair_l=25, pitch=0.5),
    "child_01": Traits(ita=5, hair_l=60, pitch=0.5),
    "child_02": UNREAD,
}


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Grey pictures, each of which has its reading."""
    found = {name: np.full((4, 4, 3), i, np.uint8) for i, name in enumerate(READ)}
    by_grey = list(READ.values())
    monkeypatch.setattr(traits, "read_traits", lambda image: by_grey[round((image[0, 0, 0, 0].item() + 1) * 127.5)])
    return found


def test_a_child_that_left_its_parents_is_told(
    pictures: dict[str, np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        told = compare_traits(pictures, ["child_00", "child_01", "child_02"])
    assert caplog.messages == [
        "child_01 lies outside its parents: skin (ITA degrees) 5, its parents' 50 and 30; "
        "hair (L*) 60, its parents' 20 and 30"
    ]
    inside, outside = told["child_00"], told["child_01"]
    assert inside is not None
    assert outside is not None
    assert told["child_02"] is None
    assert inside["between"]["skin"] is inside["between"]["hair_darkness"] is True
    assert inside["between"]["iris"] is None
    assert outside["between"]["skin"] is outside["between"]["hair_darkness"] is False
    assert (inside["father"]["ita"], inside["child"]["ita"], inside["child"]["iris_l"]) == (50, 40, None)
    assert b"NaN" not in to_json(told)
    assert compare_traits(pictures, ["child_01"])["child_01"] == outside  # whoever its siblings are


def test_a_missing_network_costs_no_family(
    pictures: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(image: object) -> Traits:
        raise UserError("person_mask: not fetched")

    monkeypatch.setattr(traits, "read_traits", missing)
    assert compare_traits(pictures, ["child_00"]) == {}
    assert "traits are not compared: person_mask: not fetched" in caplog.text


def test_rows_of_the_table(pictures: dict[str, np.ndarray]) -> None:
    children = {
        name: {"p_norm": 1.0, "traits": told} for name, told in compare_traits(pictures, list(READ)[2:]).items()
    }
    document = {"parents": {}, "children": {**children, "child_03": {"p_norm": 1.0}}, "settings": {"seed": 0}}
    first, second, third, fourth = rows_of(Couple("a", "f.png", "m.png", (), ()), document, [])
    assert (first["read_ita"], first["father_ita"], first["mother_hair_l"]) == (40, 50, 30)
    assert first["skin_between"] is True
    assert second["skin_between"] is second["hair_darkness_between"] is False
    assert "iris_between" not in first
    assert set(third) == set(fourth) == set(first) - {n for n in first if "ita" in n or "hair" in n or "between" in n}

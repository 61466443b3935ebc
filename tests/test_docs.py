"""What the documents promise: links that lead somewhere, and five lines that run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gan_inversion as gi
from gan_inversion.commands.demo_photos import astronaut
from gan_inversion.image import load_photo
from tests.conftest import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "weights").glob("*.md")]


def test_there_are_links() -> None:
    assert len(PAGES) > 10
    assert sum(len(links_of(page)) for page in PAGES) > 20


def links_of(page: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in links_of(page) if not (page.parent / link).exists()] == []


def test_the_picture_says_that_it_is_synthetic() -> None:
    assert b"trainedAlgorithmicMedia" in (ROOT / "docs" / "demo.jpg").read_bytes()


@pytest.mark.weights
def test_five_lines_in_a_notebook(tmp_path: Path) -> None:
    astronaut(tmp_path / "mum.png")
    generator = gi.load_generator()
    mother = gi.load_face(tmp_path / "mum.png")
    inversions = gi.invert(generator, [mother, mother], seed=0, steps=1)
    child = gi.blend(generator, *inversions, weight=0.5)
    gi.save(child, tmp_path / "child.png", generator)
    assert load_photo(tmp_path / "child.png").pixels.shape == (1024, 1024, 3)
    with pytest.raises(AttributeError):
        gi.nothing  # noqa: B018

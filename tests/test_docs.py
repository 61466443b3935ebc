"""What the documents promise: links that lead somewhere, and five lines that run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import gan_inversion as gi
from gan_inversion import cli
from gan_inversion.commands import PLACES
from gan_inversion.commands.demo_photos import astronaut
from gan_inversion.image import load_photo
from tests.conftest import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "weights").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    links = {link for link in re.findall(r"\]\(([^)#]+)\)", readme) if link.endswith(".md")}
    assert links >= {str(page.relative_to(ROOT)) for page in PAGES if page.parent != ROOT / "weights"} - {"README.md"}


@pytest.mark.parametrize("picture", sorted((ROOT / "docs").glob("*.jpg")), ids=lambda path: path.name)
def test_pictures_of_faces_say_that_they_are_synthetic(picture: Path) -> None:
    assert b"trainedAlgorithmicMedia" in picture.read_bytes()


def commands_in(text: str) -> set[tuple[str, ...]]:
    """(command, override, ...) of each that stands in code with its keys; not sweeps, nor what is cut by other words."""
    found = re.findall(r"(?:scripts/(\w+)\.py|gan_inversion (\w+)) +([^`\n]*=[^`\n]*)", text.replace("\\\n", " "))
    told = {(script or command, *shlex.split(rest, comments=True)) for script, command, rest in found}
    return {
        (name, *(word for word in words if word != "..."))
        for name, *words in told
        if name in PLACES and all("=" in word or word.startswith("~") or word == "..." for word in words)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_compose(page: Path) -> None:
    """Each key, group and option that a command names is one of its own."""
    for name, *overrides in sorted(commands_in(page.read_text())):
        cli.compose(name, [cli.quoted(one) for one in overrides])


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

"""The manual: every page is on its site, links and anchors lead somewhere, what is written from the code is up to date."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import gan_inversion
from gan_inversion.commands import PLACES
from tests.conftest import ROOT
from tests.manual import architecture, reference
from tests.test_laws import ORDER

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "weights").glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def prose_of(page: Path) -> str:
    """Without code: blocks between fences, and `...`."""
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def links_of(page: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)) if "://" not in link]


def anchors_of(page: Path) -> set[str]:
    """Of its headings, as far as GitHub and MkDocs agree on them; both make those of equal headings differently."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    github, mkdocs = [], []
    for title in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", title).strip().lower()
        github.append(re.sub(r"\s", "-", plain))
        mkdocs.append(re.sub(r"[-\s]+", "-", plain))
    return {one for one in {*github} & {*mkdocs} if github.count(one) == 1}


def leaves(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [leaf for one in (nav.values() if isinstance(nav, dict) else nav) for leaf in leaves(one)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


def test_the_site_has_every_page_once() -> None:
    assert sorted(leaves(SITE["nav"])) == [str(page.relative_to(ROOT)) for page in PAGES]
    assert "plugins" not in SITE


def test_every_picture_is_shown_somewhere() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in links_of(page)}
    pictures = [path for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".jpg", ".svg")]
    assert len(pictures) > 5
    assert [path.name for path in pictures if path not in shown] == []


@pytest.mark.parametrize("page", reference.WRITTEN)
def test_what_is_written_from_the_code_is_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == reference.WRITTEN[page](), "run `make reference`"


def test_every_command_and_room_stands_in_the_reference() -> None:
    anchors = anchors_of(ROOT / "docs" / "reference" / "keys.md")
    assert {*PLACES} <= anchors
    assert {*ORDER} <= {*architecture.PURPOSE}, "say in tests/manual/architecture.py what the new room is for"


def test_one_version_everywhere() -> None:
    """Of the package, its metadata, its citation, and the newest section of the changes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    sections = re.findall(r"^## \[(\d[\d.]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert project["version"] == citation["version"] == gan_inversion.__version__ == sections[0]

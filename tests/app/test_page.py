"""The page in a real browser: two photographs to a child, what goes wrong, who waits, and what is left."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import save_photo_crop
from tests.app.browser import Browser, Page
from tests.app.conftest import Served
from tests.conftest import Ran, drawn, random_pixels

pytestmark = pytest.mark.processes
DRAWN = "as the model draws it"


@pytest.fixture
def page(served: Served, browser: Browser) -> Iterator[Page]:
    made = browser.page(served.url)
    made.until(lambda: made.text("#examples"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, generator: Tiny) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("photos")
    paths = place / "it's dad.png", place / "mum (1).png"
    for seed, path in enumerate(paths):
        save_photo_crop(path, drawn(generator, seed).pixels)
    return paths


def give_both(page: Page, photos: tuple[Path, Path]) -> None:
    for role, photo in zip(("father", "mother"), photos, strict=True):
        page.give(f"#photo_{role}", photo)
    for role in ("father", "mother"):
        page.waits_for(f"#view_{role}", DRAWN)


def address_of(page: Page, place: str, told: str) -> str:
    links = page.run(
        f"[...document.querySelectorAll('{place} a')].map(one => [one.innerText, one.getAttribute('href')])"
    )
    assert told in dict(links), links
    return str(dict(links)[told])


def fetched(page: Page, address: str) -> bytes:
    script = f"fetch({json.dumps(address)}).then(r => r.arrayBuffer()).then(b => [...new Uint8Array(b)])"
    return bytes(page.run(script))


def test_two_photographs_to_a_child_and_its_bits_by_the_told_line(
    page: Page, photos: tuple[Path, Path], run: Callable[..., Ran], tmp_path: Path
) -> None:
    give_both(page, photos)
    page.until(lambda: "preview" in page.text("#child"))
    before = page.html("#child")
    page.set("#likeness", 0.2)
    between = page.until(lambda: found if (found := page.html("#child")) != before else None)
    page.click("#dice")
    page.until(lambda: page.run("document.querySelector('#seed input').value") != "0")
    page.until(lambda: page.html("#child") != between)
    page.until(lambda: not page.text("#status").strip())
    page.click("#draw")
    page.waits_for("#child", "Download")
    picture = fetched(page, address_of(page, "#child", "PNG"))
    line = page.run("document.querySelector('#child pre').textContent")
    program, command, *arguments = shlex.split(line)
    assert (program, command) == ("gan_inversion", "family")
    assert "blend.weight=0.2" in arguments and "father=it's dad.png" in arguments
    for photo in photos:
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
    run(command, *arguments)
    assert (tmp_path / "out/child_00.png").read_bytes() == picture
    assert b"trainedAlgorithmicMedia" in picture
    assert fetched(page, address_of(page, "#child", "latents")) == (tmp_path / "out/latents.safetensors").read_bytes()

    page.tab("Siblings")
    page.set("#count", 3)
    page.click("#draw_siblings")
    page.waits_for("#siblings", "Download")
    assert "siblings=3" in page.run("document.querySelector('#siblings pre').textContent")
    assert page.html("#siblings").count("<figure>") == 3
    page.tab("Map")
    page.click("#draw_map")
    page.waits_for("#map", "map (PNG)")
    assert "<title>" in fetched(page, page.run("document.querySelector('#map iframe').getAttribute('src')")).decode()


def test_a_phone_s_width_holds_all(served: Served, browser: Browser, tmp_path: Path) -> None:
    """Also a sentence with a word that is longer than the screen."""
    page = browser.page(served.url, 390, 844)
    page.until(lambda: page.text("#examples"))
    long = tmp_path / f"{'n' * 76}.jpg"
    long.write_text("no picture")
    page.give("#photo_father", long)
    page.waits_for("#view_father", "not an image")
    assert page.run("document.documentElement.scrollWidth") == 390
    page.close()


def test_nothing_is_asked_of_anybody_else(page: Page, served: Served) -> None:
    """Nor may the browser: the policy in each answer refuses it."""
    page.click("#examples")
    page.waits_for("#view_mother", DRAWN)
    asked = [one["request"]["url"] for one in page.told("Network.requestWillBeSent")]
    assert len(asked) > 20
    assert {urlsplit(url).netloc for url in asked if url.startswith("http")} == {urlsplit(served.url).netloc}
    assert {urlsplit(url).scheme for url in asked} <= {"http", "data", "blob", "about"}
    refused = "fetch('https://example.com').then(() => 'asked', error => 'refused')"
    assert page.run(refused) == "refused"
    assert any("Content Security Policy" in one["entry"]["text"] for one in page.told("Log.entryAdded"))
    assert "_gradio_run" not in str(page.run("indexedDB.databases().then(all => all.map(one => one.name).join())"))


def test_a_bad_photograph_is_named_beside_itself(page: Page, photos: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("no picture")
    page.give("#photo_father", tmp_path / "note.jpg")
    said = page.waits_for("#view_father", "note.jpg")
    assert said.startswith("note.jpg: not an image that can be read. Use JPEG")
    page.give("#photo_mother", photos[1])
    page.waits_for("#view_mother", DRAWN)
    page.click("#draw")
    page.waits_for("#status", "A photograph of the father is needed first.")


def test_too_large_a_photograph_is_not_taken(page: Page, served: Served, tmp_path: Path) -> None:
    """By megabytes=1."""
    save_photo_crop(tmp_path / "large.png", random_pixels(0, 800))
    page.give("#photo_father", tmp_path / "large.png")
    told = page.until(lambda: page.text("[data-testid=toast-text]"))
    assert "1.0 Mb" in told and "large.png" in told
    assert "large.png" not in {path.name for path in served.files}


def test_a_job_is_cancelled_and_another_visitor_waits(
    page: Page, served: Served, browser: Browser, photos: tuple[Path, Path]
) -> None:
    other = browser.page(served.url)
    other.until(lambda: other.text("#examples"))
    for role, photo in zip(("father", "mother"), photos, strict=True):
        page.give(f"#photo_{role}", photo)
    page.waits_for("#view_father", "view of the father")
    other.give("#photo_father", photos[0])
    other.waits_for("#view_father", "before it")
    page.click("#cancel")
    page.waits_for("#view_mother", "cancelled")
    other.waits_for("#view_father", DRAWN)
    assert DRAWN not in page.text("#view_mother")
    other.close()


def test_nothing_is_left(page: Page, served: Served, photos: tuple[Path, Path]) -> None:
    """After a visit, and after the page itself. The last test of its file: it ends the page."""
    give_both(page, photos)
    address = str(page.run("document.querySelector('#view_father img').getAttribute('src')"))
    assert fetched(page, address).startswith(b"\x89PNG")
    assert any(path.name == photos[0].name for path in served.files)
    page.run("(location.href = 'about:blank', 1)")
    page.until(lambda: not served.files)
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(30)
    assert [*served.temporary.iterdir()] == []

"""The report of a batch: what the page holds, and what it does in a browser."""

from __future__ import annotations

import html
import io
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from PIL import Image

from gan_inversion.image import DIGITAL_SOURCE_TYPE
from gan_inversion.report import pages
from gan_inversion.report.batch_page import THUMB, page, thumbnail

EVIL = '</script><img src=x onerror="alert(1)"> {{DATA}} \'& "co'
STATUSES = {"lpips_vgg": "held out", "p_norm": "optimised"}
FACTS = {"software": "gan_inversion 0", "generator": "tiny", "versions": {"torch": "2"}, "interrupted": False}
TILE = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)


def couple(name: str, lpips: float, children: Sequence[float] = (0.9,), **more: Any) -> list[dict[str, Any]]:
    """The rows of a couple whose children have these p_norms; the mother's inversion is 0.1 worse than the father's."""
    parents = {"father": f"photos/{name}/dad.jpg", "mother": "mum.jpg", "note_of": "an album", "seed": 7}
    numbers = {"father_lpips_vgg": lpips, "mother_lpips_vgg": lpips + 0.1, "father_p_norm": 1.0, "mother_p_norm": 1.1}
    asked = {"asked_age": 8, "asked_gender": "female", "read_age": 8.5, "read_male": 0.1, "reached": True}
    status = {"id": name, "status": "done", "error": None, "warnings": None, **parents, **numbers, **asked, **more}
    return [{**status, "child": f"child_{i:02d}", "p_norm": p} for i, p in enumerate(children)]


def unfinished(name: str, status: str, error: str | None, father: str = "dad.jpg") -> list[dict[str, Any]]:
    return [{"id": name, "child": "", "status": status, "error": error, "father": father, "mother": "mum.jpg"}]


def album() -> list[dict[str, Any]]:
    """Three families, three failures of two kinds, one that nobody came to."""
    families = [
        couple("c10", 0.3, (0.9, 1.4), note_of="a party", extra=1.0),
        couple("c9", 0.1, extra=2.0),
        couple("c2", 0.2, asked_age=30),
    ]
    failures = [
        unfinished("f1", "failed", "photos/1.jpg: the face is 20 pixels wide.", "photos/1.jpg"),
        unfinished("f2", "failed", "photos/2.jpg: the face is 31.5 pixels wide.", "photos/2.jpg"),
        unfinished("f3", "failed", "mum.jpg: no such file."),
    ]
    return [row for rows in (*families, *failures, unfinished("n1", "not done", None)) for row in rows]


def make_page(rows: Sequence[Mapping[str, Any]] | None = None, title: str = "couples", **facts: Any) -> str:
    settings = {"seed": 0, "losses": {"lpips": {"weight": 1.5}}}
    return page(album() if rows is None else rows, STATUSES, settings, {**FACTS, **facts}, title)


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("synthetic", [True, False])
@pytest.mark.parametrize("shape", [(1024, 1024), (40, 40), (300, 200)])
def test_thumbnails_are_square_and_say_who_drew_them(synthetic: bool, shape: tuple[int, int]) -> None:
    data = thumbnail(np.full((*shape, 3), (200, 40, 60), np.uint8), synthetic)
    assert (DIGITAL_SOURCE_TYPE.encode() in data) is synthetic
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("JPEG", (THUMB, THUMB))
    assert np.abs(np.asarray(image).astype(int) - (200, 40, 60)).max() < 8


def test_the_data_are_the_rows_with_reasons() -> None:
    data = data_of(make_page())
    rows = [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]
    assert [row["id"] for row in rows] == ["c10", "c10", "c9", "c2", "f1", "f2", "f3", "n1"]
    assert (rows[0]["extra"], rows[3]["extra"]) == (1.0, None)
    assert rows[4]["reason"] == rows[5]["reason"] == "…: the face is … pixels wide."
    assert rows[6]["reason"] == "…: no such file."
    assert data["facts"]["synthetic"] is True
    assert data["facts"]["DigitalSourceType"] == DIGITAL_SOURCE_TYPE


def test_values_that_json_cannot_hold() -> None:
    odd = {"x": float("nan"), "y": 2**60, "z": np.float32(0.1), "w": ["a", "b"], "v": Path("p"), "u": 1 / 3, "t": True}
    data = data_of(make_page([{"id": "a", **odd}]))
    assert data["rows"][0] == ["a", "nan", str(2**60), 0.1, "a; b", "p", 0.333333, True]


def test_settings_and_versions_are_in_the_page() -> None:
    text = make_page(interrupted=True)
    assert "<dt>losses</dt><dd><dl><dt>lpips</dt><dd><dl><dt>weight</dt><dd>1.5</dd></dl></dd></dl></dd>" in text
    assert "<dt>versions</dt><dd><dl><dt>torch</dt><dd>2</dd></dl></dd>" in text
    assert "drawn by tiny; not a prediction of any real child - INTERRUPTED</footer>" in text


def test_names_cannot_break_out_of_the_page() -> None:
    rows = [*couple(EVIL, 0.1, **{EVIL: EVIL}), *unfinished("f", "failed", EVIL, "\udcff.jpg")]
    text = make_page(rows, title=EVIL, **{EVIL: {EVIL: EVIL}, "generator": EVIL})
    assert text.count("</script>") == 2  # the template's own
    assert "<img src=x" not in text
    assert "<title>&lt;/script&gt;&lt;img src=x onerror=&#34;alert(1)&#34;&gt; {{DATA}}" in text
    assert data_of(text)["rows"][0][0] == EVIL
    text.encode()


def test_the_page_needs_and_allows_no_network() -> None:
    text = make_page()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    hashed = r"'sha256-[\w+/]{43}='"
    wanted = rf"default-src 'none'; img-src 'self' file:; style-src {hashed}; script-src {hashed}; base-uri 'none'; .*"
    assert re.fullmatch(wanted, policy[1])
    assert not re.search(r"@import|url\(|\bsrc=", text)
    assert set(re.findall(r'\bhref="([^"]*)"', text)) == {"results.csv", "results.parquet", "timings.csv"}  # beside it
    assert set(re.findall(r"https?://[^\"]+", text)) == {"http://www.w3.org/2000/svg", DIGITAL_SOURCE_TYPE}  # names


# ------------------------------------------------------------------ in a browser


def save_thumbs(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    drawn = thumbnail(TILE, True)
    for row in rows:
        if row["child"]:
            place = folder / "thumbs" / row["id"]
            place.mkdir(parents=True, exist_ok=True)
            for name in ("father", "father_inversion", "mother", "mother_inversion", row["child"]):
                (place / f"{name}.jpg").write_bytes(drawn)


def browse(text: str, folder: Path, virtual_ms: int = 3000, **state: str) -> str:
    """The page's elements after its script ran, opened with this state in its hash; the browser must have been content."""
    path = folder / "report.html"
    path.write_text(text, "utf-8")
    chromium = shutil.which("chromium") or pytest.skip("chromium is not installed: the page is not opened")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--window-size=1400,1000"]
    flags += [f"--user-data-dir={folder}/user"] + ([f"--virtual-time-budget={virtual_ms}"] if virtual_ms else [])
    done = subprocess.run(
        [chromium, *flags, "--dump-dom", f"{path.as_uri()}#{urlencode(state, quote_via=quote)}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr, done.stderr  # neither errors nor refusals
    return re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)


def fact(elements: str, name: str) -> str:
    found = re.search(rf'<body[^>]* data-{name}="(.*?)"', elements)
    assert found, elements[:2000]
    return html.unescape(found[1])


def shown(elements: str) -> list[str]:
    return [html.unescape(name) for name in re.findall(r'<article data-couple="(.*?)"', elements)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("album")
    save_thumbs(album(), place)
    return place


@pytest.mark.processes
def test_the_page_as_it_opens(folder: Path) -> None:
    elements = browse(make_page(), folder)
    assert shown(elements) == ["c10", "c9", "c2", "f1", "f2", "f3", "n1"]
    assert (fact(elements, "shown"), fact(elements, "rows"), fact(elements, "view")) == ("7", "8", "faces")
    assert int(fact(elements, "loaded")) == elements.count("<img ") == 3 * 4 + 4  # none is asked of couples that failed
    assert all('loading="lazy"' in image for image in re.findall(r"<img [^>]*>", elements))
    assert 'href="couples/c10/child_01.png"' in elements
    assert "no picture" not in elements
    assert "failed: mum.jpg: no such file." in elements
    assert re.findall(r"<b>(\d)</b> ([a-z ]+)</button>", elements) == [
        ("3", "done"),
        ("3", "failed"),
        ("1", "not done"),
    ]
    (failures,) = re.findall(r'<details id="failures">(.*?)</details>', elements)
    assert "Failures: 2 reasons" in failures
    assert re.findall(r">(\d couples?)</button> (.*?) <small>", failures) == [
        ("2 couples", "…: the face is … pixels wide."),
        ("1 couple", "…: no such file."),
    ]


@pytest.mark.processes
def test_photographs_and_their_edits(tmp_path: Path) -> None:
    """The same page: a photograph instead of parents, edits instead of children."""
    base = {"status": "done", "photo": "photos/me.jpg", "inversion_lpips_vgg": 0.2, "inversion_p_norm": 1.0}
    asked = [
        {"asked_smile": 1.5, "read_smile": 1.4, "reached": False},
        {"asked_steps.yaw": 2, "verdict": "a look-alike"},
    ]
    rows = [{"id": "me", **base, "edit": f"edit_{i:02d}", "p_norm": 0.5 + i, **one} for i, one in enumerate(asked)]
    failed = {"id": "no", "edit": "", "status": "failed", "error": "no.jpg: no face.", "photo": "no.jpg"}
    (tmp_path / "thumbs/me").mkdir(parents=True)
    for name in ("aligned", "inversion", "edit_00", "edit_01"):
        (tmp_path / f"thumbs/me/{name}.jpg").write_bytes(thumbnail(TILE, True))
    text = page([*rows, failed], STATUSES, {}, FACTS, "photographs", "photographs")
    elements = browse(text, tmp_path)
    assert "no picture" not in elements and int(fact(elements, "loaded")) == 4
    assert 'href="photographs/me/edit_01.png"' in elements and 'href="photographs/me/before_after.html"' in elements
    assert "smile, asked 1.50" in elements and "steps.yaw" in elements and "a look-alike" in elements
    assert "not reached" in elements and "failed: no.jpg: no face." in elements and "photo no.jpg" in elements
    assert "2 photographs of 2" in elements and "couple" not in re.sub(
        r"<style.*?</style>|data-couple", "", elements, flags=re.S
    )
    assert shown(browse(text, tmp_path, q="lpips_vgg>0.1 inversion_p_norm=1")) == ["me"]


@pytest.mark.processes
def test_a_missing_thumbnail_is_no_broken_picture(tmp_path: Path) -> None:
    elements = browse(make_page(couple("a", 0.1)), tmp_path)
    assert "<img " not in elements
    assert elements.count("no picture: ") == 5


@pytest.mark.processes
@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("id", ["c2", "c9", "c10"]),  # numbers in names count as numbers
        ("-id", ["c10", "c9", "c2"]),
        ("father_lpips_vgg", ["c9", "c2", "c10"]),
        ("-lpips_vgg", ["c10", "c2", "c9"]),
        ("-asked_age", ["c2", "c10", "c9"]),
        ("extra", ["c10", "c9", "c2"]),  # what is absent comes last,
        ("-extra", ["c9", "c10", "c2"]),  # whichever way
    ],
)
def test_sorting(folder: Path, sort: str, names: list[str]) -> None:
    assert shown(browse(make_page(), folder, q="status=done", sort=sort)) == names


@pytest.mark.processes
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("PARTY", ["c10"]),
        ("father_lpips_vgg>=0.2 father_lpips_vgg<0.3", ["c2"]),
        ("lpips_vgg=0.3..0.4", ["c10", "c2"]),  # father's or mother's; below 0.4
        ("lpips_vgg=..0.15", ["c9"]),
        ("p_norm>1.2", ["c10"]),
        ("asked_gender=Female asked_age!=8", ["c2"]),
        ('status="not done"', ["n1"]),
        ("reason~wide", ["f1", "f2"]),
        ('"is 20 pixels"', ["f1"]),
        ("error= asked_age=30", ["c2"]),
        ("reached=true asked_age=8.0", ["c10", "c9"]),
        ("nothing such", []),
    ],
)
def test_filtering(folder: Path, query: str, names: list[str]) -> None:
    elements = browse(make_page(), folder, q=query)
    assert shown(elements) == names
    assert fact(elements, "shown") == str(len(names))
    assert re.search(r'id="problem" role="alert" hidden=""></p>', elements)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"q": "lpips>0.3"}, "There is no column “lpips”. Did you mean father_lpips_vgg, mother_lpips_vgg, lpips_vgg?"),
        ({"sort": "-shoe"}, "There is no column “shoe”. Columns: id, "),
        ({"q": EVIL}, "There is no column “src”. Columns: id, "),
        ({"q": "p_norm>much"}, "p_norm>: “much” is not a number."),
    ],
)
def test_what_is_not_understood_is_said_in_the_page(folder: Path, state: dict[str, str], said: str) -> None:
    elements = browse(make_page(), folder, **state)
    found = re.search(r'id="problem" role="alert">(.*?)</p>', elements)
    assert found
    assert html.unescape(found[1]).startswith(said)
    assert shown(elements) == []


@pytest.mark.processes
def test_the_table(folder: Path) -> None:
    elements = browse(make_page(), folder, view="table", sort="-p_norm", q="status=done")
    rows = re.findall(r'<tr>.*?<th scope="row"><a [^>]*>(\w+)</a></th>.*?title="(child_\d\d)".*?</tr>', elements)
    assert rows == [("c10", "child_01"), ("c10", "child_00"), ("c9", "child_00"), ("c2", "child_00")]
    heads = re.findall(r'<th scope="col" aria-sort="(\w+)"><button title="(.*?)">', elements)
    assert [name for _, name in heads] == data_of(make_page())["columns"]
    assert ("descending", "p_norm") in heads
    assert fact(elements, "view") == "table"


@pytest.mark.processes
def test_distributions(folder: Path) -> None:
    elements = browse(make_page(), folder, q="id=c9")
    sections = dict(re.findall(r'<section data-distribution="(.*?)">(.*?)</section>', elements))
    assert list(sections) == ["lpips_vgg", "parents_p_norm", "read_age", "read_male", "extra", "p_norm"]
    assert ">held out<" in sections["lpips_vgg"]
    assert ">optimised<" in sections["parents_p_norm"]
    assert "n 2 · mean 0.150 · median 0.150" in sections["lpips_vgg"]
    counts = re.findall(r"<title>lpips_vgg=(\S*): (\d) of (\d)</title>", sections["lpips_vgg"])
    assert [sum(int(count[i]) for count in counts) for i in (1, 2)] == [2, 6]
    assert "n 1 · mean 0.900 · median 0.900" in sections["p_norm"]


@pytest.mark.processes
def test_hostile_names_do_nothing(tmp_path: Path) -> None:
    evil = {EVIL: EVIL, "note_" + EVIL: EVIL, "father": EVIL, "warnings": EVIL}
    rows = [*couple("a b#?%2e", 0.1, **evil), *unfinished(EVIL, "failed", EVIL, EVIL), *unfinished("x", EVIL, EVIL)]
    save_thumbs(rows, tmp_path)
    asked = '"' + EVIL.replace('"', '\\"') + '"'
    for state in ({}, {"view": "table"}, {"q": EVIL, "sort": EVIL}, {"q": f"{asked}={asked}"}):
        elements = browse(make_page(rows, title=EVIL), tmp_path, **state)
        assert "alert(1)" in elements
        images = re.findall(r"<img [^>]*>", elements)
        assert all('src="thumbs/a%20b%23%3F%252e/' in image and "onerror" not in image for image in images)
        if "q" not in state and "view" not in state:
            assert shown(elements) == ["a b#?%2e", EVIL, "x"]
            assert fact(elements, "loaded") == "5"
    assert shown(elements) == ["a b#?%2e"]  # the last: found by a hostile column with a hostile value


HANDS = """
addEventListener("load", async () => {
  const seen = {}, wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const names = () => [...document.querySelectorAll("article")].map((card) => card.dataset.couple).join();
  const bar = [...document.querySelectorAll("[data-distribution=lpips_vgg] [role=button]")];
  bar[0].onclick(); seen.bar = names(); seen.hash = decodeURIComponent(location.hash);
  bar[0].onclick(); seen.again = names();
  bar[0].focus(); bar[0].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  seen.focus = bar.indexOf(document.activeElement);
  $("chips").children[1].click(); seen.failed = names(); seen.pressed = $("chips").children[1].ariaPressed;
  $("chips").children[0].click(); seen.done = names();
  $("failures").querySelector("button").click(); seen.reason = names() + " " + state.q;
  change({ q: "" });
  $("query").value = "party"; $("query").dispatchEvent(new Event("input")); await wait(300);
  seen.typed = names();
  $("query").value = ""; $("query").dispatchEvent(new Event("input")); await wait(300);
  $("sort").value = "father_lpips_vgg"; $("sort").dispatchEvent(new Event("change"));
  $("way").click(); seen.sorted = names(); seen.label = $("way").textContent;
  $("table").click(); seen.table = document.querySelectorAll("tbody.chunk tr").length;
  document.querySelectorAll(".table thead button")[0].click(); seen.column = state.sort;
  history.back(); await wait(300); seen.back = state.sort;
  document.body.dataset.seen = JSON.stringify(seen);
});
"""


def with_hands(monkeypatch: pytest.MonkeyPatch, folder: Path, hands: str) -> None:
    """Let the page's own script do something: any other would not be run."""
    template = (pages.FOLDER / "batch.html").read_text("utf-8")
    (folder / "batch.html").write_text(template.replace("readHash();\ndocument", f"{hands}readHash();\ndocument"))
    monkeypatch.setattr(pages, "FOLDER", folder)


@pytest.mark.processes
def test_the_page_under_hands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_hands(monkeypatch, folder, HANDS)
    seen = json.loads(fact(browse(make_page(), folder), "seen"))
    everyone = "c10,c9,c2,f1,f2,f3,n1"
    assert seen == {
        "bar": "c9",
        "hash": "#q=lpips_vgg=..0.12",
        "again": everyone,
        "focus": 1,
        "failed": "f1,f2,f3",
        "pressed": "true",
        "done": "c10,c9,c2",
        "reason": ' status=done reason="…: the face is … pixels wide."',
        "typed": "c10",
        "sorted": "c10,c2,c9,f1,f2,f3,n1",
        "label": "↓ falling",
        "table": 8,
        "column": "id",
        "back": "-father_lpips_vgg",
    }


# A browser that only dumps elements draws no frames, so that nothing scrolls: it is told what would come near and go.
SCROLL = """
addEventListener("load", () => {
  const all = [...chunks.keys()], last = all.at(-1), names = (chunk) => [...chunk.querySelectorAll("article")];
  const room = $("main").scrollHeight, before = names(last).length;
  near([{ target: last, isIntersecting: true }, { target: all[0], isIntersecting: false }]);
  const seen = { chunks: all.length, before, last: names(last).at(-1).dataset.couple, gone: names(all[0]).length };
  seen.moved = Math.abs($("main").scrollHeight - room);
  near([{ target: all[0], isIntersecting: true }]);
  seen.again = names(all[0]).length;
  document.body.dataset.seen = JSON.stringify(seen);
});
"""


@pytest.mark.processes
@pytest.mark.parametrize(("couples", "limit"), [(1000, 3000), (10_000, 10_000)])
def test_many_couples_open_fast(tmp_path: Path, couples: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 couples with 5,000 thumbnails in under 3 seconds; only what is near the window is in the page."""
    rows = [row for i in range(couples) for row in couple(f"couple_{i:05d}", 0.1 + i % 97 / 300)]
    keys = {f"{role}_{key}": "0123456789abcdef" * 4 for role in ("father", "mother") for key in ("store_key", "sha256")}
    rows = [{**row, **keys} for row in rows]
    save_thumbs(rows if couples == 1000 else rows[:50], tmp_path)
    text = make_page(rows)
    elements = browse(text, tmp_path, virtual_ms=0)  # real time
    took = int(fact(elements, "ready-ms"))
    print(f"{couples} couples: {took} ms to the first rendered, {len(text) / 1e6:.1f} MB")
    assert took < limit
    assert 20 <= len(shown(elements)) <= 200
    assert fact(elements, "shown") == str(couples)
    if couples == 1000:
        with_hands(monkeypatch, tmp_path, SCROLL)
        elements = browse(make_page(rows), tmp_path)
        seen = json.loads(fact(elements, "seen"))
        assert seen.pop("moved") <= 2
        assert seen == {"chunks": 50, "before": 0, "last": "couple_00999", "gone": 0, "again": 20}
        assert 5 <= int(fact(elements, "loaded")) < 500  # of 5,000


@pytest.mark.processes
def test_the_browser_s_complaints_would_be_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_hands(monkeypatch, folder, "missing();\n")
    with pytest.raises(AssertionError, match="CONSOLE"):
        browse(make_page(), folder)

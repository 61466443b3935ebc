"""The map of faces: who is on it, where, who is near whom; and the page, also in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.interfaces import Inversion, Latents
from gan_inversion.latents import save_latents
from gan_inversion.report.atlas import points as atlas
from gan_inversion.report.atlas.map import HEIGHT, LINE, WIDTH, draw_map, turned
from gan_inversion.report.atlas.page import page
from tests.conftest import latents

EVIL = '</script><img src=x onerror="alert(1)"> {{DATA}} & co'


def save(path: Path, generator: Tiny, *names: str) -> Path:
    """One file of latents, a seed a name."""
    save_latents(path, {n: Latents(latents(generator, i)) for i, n in enumerate(names)}, generator.sha256)
    return path


def test_files_and_folders_become_points(tmp_path: Path, generator: Tiny) -> None:
    save(tmp_path / "inv" / "anna.safetensors", generator, "ws")
    save(tmp_path / "inv" / "deep" / "anna.safetensors", generator, "ws")
    run = save(tmp_path / "smith" / "latents.safetensors", generator, "father", "mother", "child_00", "child_01")
    other = save(tmp_path / "else" / "anna.safetensors", generator, "ws")
    traces = {"losses": Latents(torch.zeros(3))}
    save_latents(tmp_path / "inv" / "anna_trace.safetensors", traces, "")  # of other shape: left out
    places = [str(tmp_path / "inv"), str(run), str(other), str(run)]
    points = atlas.find_faces(places, generator)
    smiths = ["smith/child_00", "smith/child_01", "smith/father", "smith/mother"]
    assert [p.name for p in points] == ["anna", "deep/anna", *smiths, "anna_2"]
    assert [p.parents for p in points if p.parents] == [("smith/father", "smith/mother")] * 2
    assert points[-1].path == other
    assert len(atlas.hashes(points)) == 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "no such file or folder"),
        (lambda p: p.mkdir(), "no stored latents there"),
        (lambda p: save(p, tiny(seed=1), "ws"), "belong to another generator"),
        (lambda p: save(p, tiny(w_dim=8), "ws"), "holds no latents of tiny"),
        (lambda p: p.write_bytes(b"no latents"), "not a file of stored latents"),
    ],
)
def test_mistakes_name_the_file(tmp_path: Path, generator: Tiny, make: Any, message: str) -> None:
    path = tmp_path / "x.safetensors"
    make(path)
    with pytest.raises(UserError, match=f"x.safetensors.*{message}"):
        atlas.find_faces([str(path)], generator)


def test_the_population_is_white(generator: Tiny) -> None:
    points = atlas.population(generator, 4000, 5)
    w = atlas.whitened(points, generator.statistics())
    assert w.shape == (4000, 16)
    assert w.mean(0).abs().max() < 0.1
    assert (torch.cov(w.T) - torch.eye(16)).abs().max() < 0.12
    assert not torch.equal(points[0].inversion.ws, atlas.population(generator, 1, 6)[0].inversion.ws)


def test_the_stored_faces_set_the_axes() -> None:
    """They lie on a line along (3, 4, 0): the first axis. The second is what the samples do beside it."""
    faces = torch.tensor([[-3.0, -4, 0], [0, 0, 0], [3, 4, 0]]).double()
    samples = torch.tensor([[0.0, 0, 50], [0, 0, -50]]).double()
    coordinates, explained = atlas.project(torch.cat([faces, samples]), 3, "pca", 2, 0)
    assert torch.allclose(coordinates[:3], torch.tensor([[-5.0, 0], [0, 0], [5, 0]]).double(), atol=1e-9)
    assert torch.allclose(coordinates[3:], torch.tensor([[0.0, 50], [0, -50]]).double(), atol=1e-9)
    assert explained == pytest.approx([1, 0])
    x = torch.randn(30, 16, generator=torch.Generator().manual_seed(0)).double()
    whole, shares = atlas.project(x, 30, "pca", 3, 0)
    variances = torch.linalg.eigvalsh(torch.cov(x.T)).flip(0)
    assert shares == pytest.approx((variances[:3] / variances.sum()).tolist())
    assert torch.equal(whole, atlas.project(x, 30, "pca", 3, 0)[0])


@pytest.mark.parametrize(
    ("method", "dimensions", "points", "message"),
    [("tsne", 2, 9, "choose one of pca, umap"), ("pca", 4, 9, "choose 2 or 3"), ("pca", 3, 3, "Give more")],
)
def test_what_cannot_be_projected(method: str, dimensions: int, points: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        atlas.project(torch.zeros(points, 5), points, method, dimensions, 0)


def test_umap_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UserError, match='pip install "umap-learn"'):
        atlas.project(torch.eye(5), 5, "umap", 2, 0)


def test_umap_is_asked_for_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is installed or not: what it is told."""
    told: dict[str, Any] = {}

    class UMAP:
        def __init__(self, **settings: Any) -> None:
            told.update(settings)

        def fit_transform(self, x: np.ndarray) -> np.ndarray:
            return x[:, :2] * 2

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    coordinates, explained = atlas.project(torch.eye(5), 5, "umap", 2, 7)
    assert coordinates.shape == (5, 2)
    assert explained == []
    assert told["random_state"] == 7
    assert told["n_jobs"] == 1
    assert told["n_neighbors"] == 4
    assert told["init"].shape == (5, 2)


def test_umap_itself() -> None:
    pytest.importorskip("umap", reason="umap-learn is optional: pip install -e .[atlas]")
    x = torch.randn(40, 16, generator=torch.Generator().manual_seed(0)).double()
    x[:20] += 10
    one, two, other = (atlas.project(x, 5, "umap", 3, seed)[0] for seed in (0, 0, 1))
    assert one.shape == (40, 3)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert (one[:20].mean(0) - one[20:].mean(0)).norm() > one[:20].std(0).norm()


def test_nearest_by_hand() -> None:
    near = atlas.nearest(torch.tensor([[0.0], [1], [3], [-1]]), 2)
    assert near == [[(1, 1.0), (3, 1.0)], [(0, 1.0), (2, 2.0)], [(1, 2.0), (0, 3.0)], [(0, 1.0), (1, 2.0)]]
    assert [len(row) for row in atlas.nearest(torch.zeros(3, 1), 9)] == [2, 2, 2]
    assert atlas.nearest(torch.zeros(1, 1), 9) == [[]]


def rows(dimensions: int, name: str = "child") -> list[dict[str, Any]]:
    """A family of three, and two samples."""
    places = torch.tensor([[-1.0, 0, 0], [1, 0, 0], [0, 1, 1], [0, -1, 0], [0.5, -1, 0]])[:, :dimensions]
    inversion = Inversion(torch.zeros(1, 1), "")
    points = [atlas.Point(n, inversion, Path("f.safetensors")) for n in ("dad", "mum")]
    points += [atlas.Point(name, inversion, Path("f.safetensors"), ("dad", "mum"))]
    points += [atlas.Point(f"sample {i}", inversion) for i in range(2)]
    near = atlas.nearest(places[:3], 2)
    return atlas.describe_points(points, places, {"latent": near, "identity": near})


def tiles(size: int, count: int = 5) -> list[np.ndarray]:
    return [np.full((size, size, 3), (200, 10 * i, 60), np.uint8) for i in range(count)]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_picture_has_faces_and_lines(dimensions: int) -> None:
    sheet = draw_map(rows(dimensions), tiles(32), "title", "footer")
    assert sheet.shape == (HEIGHT, WIDTH, 3)
    for i in range(3):
        assert (sheet == (200, 10 * i, 60)).all(2).sum() > 700
    assert (sheet == LINE).all(2).sum() > 1000
    assert (sheet == (200, 30, 60)).all(2).sum() == 0  # samples are fainter


def test_turning_keeps_lengths() -> None:
    places = np.random.default_rng(0).normal(size=(9, 3))
    assert np.allclose(np.linalg.norm(turned(places), axis=1), np.linalg.norm(places, axis=1))


def make_page(dimensions: int, name: str = "child") -> str:
    facts = {"generator": "tiny", "synthetic": True}
    footer = "synthetic faces, drawn by tiny; not a prediction of any real child"
    return page(rows(dimensions, name), tiles(16), tiles(32), [0.5] * dimensions, facts, "title", footer)


def test_names_cannot_break_out_of_the_page() -> None:
    text = make_page(2, EVIL)
    assert text.count("</script>") == 2  # the template's own
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt; {{DATA}} &amp; co</li>" in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert data["points"][2]["name"] == EVIL
    assert data["facts"]["synthetic"] is True


def test_a_name_need_not_be_unicode() -> None:
    make_page(2, "\udcff.jpg").encode()


def test_the_page_needs_and_allows_no_network() -> None:
    text = make_page(2)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    assert policy[1].startswith(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    )
    assert not re.search(r"https?://|//\w+\.|@import|url\(", re.sub(r"base64,[^\"]+", "", text))
    assert all(source.startswith("data:") for source in re.findall(r'\b(?:src|href)="([^"]*)"', text))
    assert "not a prediction of any real child</footer>" in text


def browse(text: str, folder: Path, name: str) -> tuple[str, str]:
    """(the page's elements after its script ran, what the browser said) of the page opened at NAME."""
    path = folder / "atlas.html"
    path.write_text(text)
    chromium = shutil.which("chromium") or pytest.skip("chromium is not installed: the page is not opened")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={folder}/user"]
    done = subprocess.run(
        [chromium, *flags, "--virtual-time-budget=2000", "--dump-dom", f"{path.as_uri()}#{name}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout, done.stderr


@pytest.mark.processes
@pytest.mark.parametrize(("dimensions", "name"), [(2, "child"), (3, "child"), (2, EVIL)])
def test_the_page_in_a_browser(tmp_path: Path, dimensions: int, name: str) -> None:
    from urllib.parse import quote

    elements, said = browse(make_page(dimensions, name), tmp_path, quote(name))
    assert "CONSOLE" not in said, said  # neither errors nor refusals
    assert 'data-drawn="5"' in elements
    assert elements.count("<li data-point=") == 5
    card = re.search(r'id="card">(.*?)</section>', elements, re.DOTALL)
    assert card
    assert "nearest by latent" in card[1]
    assert "nearest by identity" in card[1]
    assert card[1].count('class="near"') == 4
    assert "onerror" not in re.sub(r"&lt;.*?&gt;", "", card[1])


HANDS = """<script>
addEventListener("load", () => {
  const box = canvas.getBoundingClientRect(), seen = {};
  const mouse = (type, x, y) => canvas.dispatchEvent(
    new PointerEvent(type, { clientX: box.left + x, clientY: box.top + y, pointerId: 1, bubbles: true }));
  canvas.setPointerCapture = () => {};  // there is no real pointer to capture
  mouse("pointermove", screen[0][0], screen[0][1]);
  seen.hovered = document.querySelector("#card h3").textContent;
  mouse("pointerdown", screen[1][0], screen[1][1]); mouse("pointerup", screen[1][0], screen[1][1]);
  canvas.onpointerleave();
  seen.kept = document.querySelector("#card h3").textContent;
  const before = screen.map((s) => s.slice(0, 2));
  mouse("pointerdown", 5, 5); mouse("pointermove", 45, 25); mouse("pointerup", 45, 25);
  seen.moved = screen.map((s, i) => [s[0] - before[i][0], s[1] - before[i][1]]);
  const at = screen[1].slice(0, 2), apart = () => Math.hypot(screen[0][0] - screen[1][0], screen[0][1] - screen[1][1]);
  const far = apart();
  canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: -500, clientX: box.left + at[0], clientY: box.top + at[1] }));
  seen.zoomed = apart() / far; seen.stays = Math.hypot(screen[1][0] - at[0], screen[1][1] - at[1]);
  $("search").value = "MU"; $("search").dispatchEvent(new Event("input"));
  seen.listed = items.filter((item) => !item.hidden).length;
  document.body.dataset.seen = JSON.stringify(seen);
});
</script></body>"""


@pytest.mark.processes
@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_page_under_the_mouse(tmp_path: Path, dimensions: int) -> None:
    elements, said = browse(make_page(dimensions).replace("</body>", HANDS), tmp_path, "")
    assert "CONSOLE" not in said, said
    found = re.search(r'data-seen="(.*?)"', elements)
    assert found
    seen = json.loads(html.unescape(found[1]))
    assert (seen["hovered"], seen["kept"], seen["listed"]) == ("dad", "mum", 1)
    if dimensions == 2:
        assert seen["moved"] == [pytest.approx([40, 20])] * 5
        assert seen["zoomed"] == pytest.approx(np.e)
        assert seen["stays"] == pytest.approx(0, abs=2)  # events made by scripts have whole coordinates
    else:
        assert seen["moved"][0] != pytest.approx(seen["moved"][1])  # turned
        assert seen["zoomed"] > 2


@pytest.mark.processes
def test_the_browser_s_complaints_would_be_seen(tmp_path: Path) -> None:
    broken = make_page(2).replace("reset();\nwindow", "missing();\nwindow")
    elements, said = browse(broken, tmp_path, "")
    assert "CONSOLE" in said
    assert "data-drawn" not in elements

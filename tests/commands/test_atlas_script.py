"""The script that draws the map: what it leaves in its folder, and that each key moves something."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from gan_inversion.cli import CONFIGS
from gan_inversion.estimators import identity
from gan_inversion.generators.tiny import Tiny
from gan_inversion.interfaces import Latents
from gan_inversion.latents import save_latents
from tests.conftest import Ran, latents

Run = Callable[..., Ran]
BASE = ["generator=tiny", "threads=1", "samples=6", "identity=false"]


@pytest.fixture
def stored(tmp_path: Path, generator: Tiny) -> str:
    """A folder of two inversions and a family; one child has style offsets."""
    for seed, name in enumerate(("anna", "ben")):
        save_latents(tmp_path / f"in/{name}.safetensors", {"ws": Latents(latents(generator, seed))}, generator.sha256)
    father, mother = latents(generator, 2), latents(generator, 3)
    offset = torch.ones(len(generator.style_rows))
    child = (father + mother) / 2
    family = {
        "father": Latents(father),
        "mother": Latents(mother),
        "child_00": Latents(child),
        "child_01": Latents(child, offset),
    }
    save_latents(tmp_path / "in" / "smith" / "latents.safetensors", family, generator.sha256)
    return f"latents=[{tmp_path / 'in'}]"


def document(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "atlas.json").read_text())
    return read


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("atlas.png", "atlas.html", "atlas.json")}


def test_a_map(run: Run, stored: str, tmp_path: Path) -> None:
    done = run("atlas", stored, *BASE, "output_dir=out")
    assert "atlas: out/atlas.html" in done.stdout
    found = document(tmp_path / "out")
    faces = {point["name"]: point for point in found["points"] if "file" in point}
    assert list(faces) == ["anna", "ben", "smith/child_00", "smith/child_01", "smith/father", "smith/mother"]
    assert len(found["points"]) == 6 + 6
    assert faces["smith/child_01"]["parents"] == ["smith/father", "smith/mother"]
    near = faces["smith/child_00"]["neighbours"]["latent"]
    assert near[0] == {"name": "smith/child_01", "distance": 0}
    assert {n["name"] for n in near[1:3]} == {"smith/father", "smith/mother"}
    assert near[1]["distance"] == pytest.approx(near[2]["distance"], rel=1e-3)  # halfway
    assert 0 < sum(found["explained_variance"]) <= 1
    assert str(tmp_path) not in (tmp_path / "out" / "atlas.json").read_text()  # inputs by hash, no path
    assert {*found["files"], "atlas.json"} == {p.name for p in (tmp_path / "out").iterdir() if p.is_file()}
    with Image.open(tmp_path / "out" / "atlas.png") as picture:
        assert json.loads(picture.info["Synthetic"])["generator"] == "tiny"  # law 8
    assert json.loads((tmp_path / "out" / "atlas.html.json").read_text())["synthetic"] is True
    before = results(tmp_path / "out")
    run("atlas", stored, *BASE, "output_dir=out")  # the same job goes on
    assert results(tmp_path / "out") == before
    run("atlas", stored, *BASE, "output_dir=again")
    assert results(tmp_path / "again") == before


CHANGES = {  # key -> another value, and what of the map it must change
    "samples": ("samples=7", "points"),
    "seed": ("seed=1", "points"),
    "dimensions": ("dimensions=3", "points"),
    "neighbours": ("neighbours=2", "points"),
    "thumbnail": ("thumbnail=32", "atlas.png"),
    "generator": ("generator.channels=8", "error"),
}
SHOWN_BELOW = {"latents", "output_dir", "overwrite", "method", "identity", "device", "threads"}


def test_each_key_moves_the_map(run: Run, stored: str, tmp_path: Path) -> None:
    run("atlas", stored, *BASE, "output_dir=out")
    before, pictures = document(tmp_path / "out"), results(tmp_path / "out")
    for key, (change, what) in CHANGES.items():
        if what == "error":
            assert "another generator" in run("atlas", stored, *BASE, change, "output_dir=no", code=1).stderr
            continue
        run("atlas", stored, *BASE, change, f"output_dir={key}")
        if what == "points":
            assert document(tmp_path / key)["points"] != before["points"], key
        else:
            assert results(tmp_path / key)[what] != pictures[what], key


def test_no_key_is_without_a_test() -> None:
    body = yaml.safe_load((CONFIGS / "atlas.yaml").read_text())
    assert set(body) - {"defaults", "hydra"} == set(CHANGES) - {"generator"} | SHOWN_BELOW


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("method=tsne", "method=tsne: choose one of pca, umap"),
        ("dimensions=4", "dimensions=4: choose 2 or 3"),
        ("thumbnail=8", "thumbnail=8: must be at least 16"),
        ("neighbours=-1", "neighbours=-1: must be at least 0"),
        ("device=cuda:7", "device=cuda:7 cannot be used here"),
        ("threads=0", "threads=0: must be at least 1"),
        ("latents=[nowhere]", "nowhere: no such file or folder"),
    ],
)
def test_bad_values_are_named_before_any_work(run: Run, stored: str, tmp_path: Path, change: str, message: str) -> None:
    done = run("atlas", stored, *BASE, change, "output_dir=out", code=1)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_silently(run: Run, stored: str, tmp_path: Path) -> None:
    run("atlas", stored, *BASE, "output_dir=out")
    shutil.rmtree(tmp_path / "in" / "smith")  # other latents under the same name: another job
    assert "holds another job" in run("atlas", stored, *BASE, "output_dir=out", code=1).stderr
    assert len(document(tmp_path / "out")["points"]) == 12
    run("atlas", stored, *BASE, "output_dir=out", "overwrite=true")
    assert len(document(tmp_path / "out")["points"]) == 8
    done = run("atlas", stored, *BASE, f"output_dir={tmp_path / 'in'}", "overwrite=true", code=1)
    assert "holds the input" in done.stderr


def test_an_interrupted_inversion_is_called_so(run: Run, generator: Tiny, tmp_path: Path) -> None:
    save_latents(tmp_path / "a.safetensors", {"ws": Latents(latents(generator, 0))}, generator.sha256, interrupted=True)
    run("atlas", "latents=[a.safetensors]", *BASE, "output_dir=out")
    assert document(tmp_path / "out")["interrupted"] is True
    assert "INTERRUPTED</footer>" in (tmp_path / "out" / "atlas.html").read_text()


@pytest.mark.weights
def test_by_identity_too(run: Run, stored: str, tmp_path: Path) -> None:
    run("atlas", stored, *BASE, "identity=true", "output_dir=out")
    for point in document(tmp_path / "out")["points"][:6]:
        near = point["neighbours"]
        assert set(near) == {"latent", "identity"}
        assert len(near["identity"]) == 5
        assert [n["distance"] for n in near["identity"]] == sorted(n["distance"] for n in near["identity"])


def test_without_the_network_it_says_what_to_run(run: Run, stored: str, tmp_path: Path) -> None:
    identity._load.cache_clear()  # another test may have read it
    done = run("atlas", stored, *BASE, "identity=true", code=1, GAN_INVERSION_WEIGHTS=str(tmp_path / "w"))
    assert "Run: python scripts/fetch_weights.py" in done.stderr

"""Every command and its folder: it leaves its config there, and harms nothing that it did not make itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from gan_inversion.commands import PLACES
from gan_inversion.commands.evaluate_children import EvaluateChildren
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import save_photo_crop
from gan_inversion.interfaces import Latents
from gan_inversion.latents import save_latents
from tests.batches import make_manifest
from tests.conftest import CHILD, TINY, Ran, drawn, latents
from tests.metrics.test_children import needs_faceres

Run = Callable[..., Ran]
SMALL = ["generator=tiny", "threads=1"]
TRAINING = [*SMALL, "samples_dir=samples", "samples=2", "held_out=1", "batch=1", "steps=1"]
ARGUMENTS = {  # command -> as little as it can do
    "atlas": [*SMALL, "latents=[in]", "samples=2", "identity=false"],
    "batch": [*TINY, *CHILD, "manifest=couples.csv", "inversion.steps=0"],
    "benchmark": [*SMALL, "photos=[photos]", "aligner=prealigned", "aligner.check=false", "metrics=[mse]", "points=0",
                  "recipes.plain=['losses=[pixel]','start=mean','inversion.steps=0']", "~recipes.default"],
    "blend": [*SMALL, *CHILD, "father=in/a.safetensors", "mother=in/b.safetensors"],
    "demo_photos": SMALL,
    "edit": [*SMALL, "latents=in/a.safetensors", "directions=in/along.npy", "steps.along=1"],
    "encode": [*TINY, "photos=[photos]"],
    "evaluate_alignment": [*SMALL, "faces=1", "landmarks=[]"],
    "evaluate_children": ["threads=1", "layout=sampled", "couples=1"],
    "family": [*TINY, *CHILD, "father=photos/p000.png", "mother=photos/p001.png", "inversion.steps=0"],
    "find_directions": [*SMALL, "method=sefa", "count=1"],
    "find_regions": [*SMALL, "samples=1", "faces=1", "couples=1"],
    "find_people": [*SMALL, "samples=2"],
    "generations": [*TINY, *CHILD, "tree=in/tree.yaml", "inversion.steps=0"],
    "interpolate": [*SMALL, "latents=[in/a.safetensors,in/b.safetensors]", "equal_speed=false", "frames=2", "size=32"],
    "invert": [*TINY, "photos=[photos]", "inversion.steps=0"],
    "partner": [*SMALL, *CHILD[2:], "of_child=in/a.safetensors", "parent=in/b.safetensors", "samples=1"],
    "train_encoder": [*SMALL, "held_out=1", "batch=1", "steps=1", "passes=1"],
    "train_preview_heads": [*TRAINING, "generator.resolution=256", "resolutions=[64]"],
}  # fmt: skip
OTHER_JOB = {
    "find_regions": "contrast=3",
    "interpolate": "fps=5",
    "train_encoder": "steps=2",
    "train_preview_heads": "steps=2",
}  # else: another seed
NO_FOLDER = {"app", "convert_weights", "export_latents", "export_onnx", "fetch_weights", "import_latents", "store"}
NEEDS_WEIGHTS = {"edit", "evaluate_children", "find_people", "find_regions", "train_encoder", "train_preview_heads"}
MARKS = {name: [pytest.mark.weights] for name in NEEDS_WEIGHTS}
MARKS["evaluate_children"] += [needs_faceres]
COMMANDS = [pytest.param(name, marks=MARKS.get(name, [])) for name in PLACES if name not in NO_FOLDER]
SECONDS = [
    one for one in COMMANDS if one.values != ("evaluate_children",)
]  # that one takes minutes, and is shown below


@pytest.fixture
def place(tmp_path: Path, generator: Tiny) -> Path:
    """Two photographs, a manifest of them, the latents of two faces, and a direction."""
    for seed, name in enumerate("ab"):
        save_latents(tmp_path / f"in/{name}.safetensors", {"ws": Latents(latents(generator, seed))}, generator.sha256)
        (tmp_path / "photos").mkdir(exist_ok=True)
        np.save(tmp_path / "in/along.npy", np.ones(generator.w_dim, np.float32))
        (tmp_path / "in/tree.yaml").write_text(
            "people: {a: {photo: ../photos/p000.png}, b: {photo: ../photos/p001.png}}\n"
            "couples: [{father: a, mother: b, children: [c]}]\n"
        )
        save_photo_crop(tmp_path / f"photos/p00{seed}.png", drawn(generator, seed).pixels)
    make_manifest(tmp_path / "couples.csv", 1, ["p000.png", "p001.png"])
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", SECONDS)
def test_a_folder_is_of_one_job(name: str, run: Run, place: Path) -> None:
    """output_dir says where; overwrite=true lets another job have it, and takes only what the earlier one made."""
    arguments, out = [name, *ARGUMENTS[name], "output_dir=out"], place / "out"
    run(*arguments)
    config = yaml.safe_load((out / ".hydra/config.yaml").read_text())
    job = json.loads((out / ".hydra/job.json").read_text())["job"]
    assert (config["output_dir"], config["overwrite"]) == ("out", False)
    assert job["command"] == name
    assert "output_dir=out" in yaml.safe_load((out / ".hydra/overrides.yaml").read_text())

    before, other = files(out), OTHER_JOB.get(name, "seed=9")
    assert "out holds another job. Choose another folder, or overwrite=true." in run(*arguments, other, code=1).stderr
    assert files(out) == before

    (out / "mine.txt").write_text("not the run's")
    run(*arguments, other, "overwrite=true")
    after = files(out)
    assert json.loads(after[".hydra/job.json"])["job"] != job
    assert after.pop("mine.txt") == b"not the run's"
    assert after.keys() == before.keys(), "nothing of the earlier job is left, and this one is whole"


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("more", [[], ["overwrite=true"]])
def test_what_a_person_put_there_stays(name: str, more: list[str], run: Run, place: Path) -> None:
    theirs = {"father.jpg": b"my father", "directions.safetensors": b"of last year", "metrics.json": b"{}"}
    (place / "out").mkdir()
    for file, data in theirs.items():
        (place / "out" / file).write_bytes(data)
    done = run(name, *ARGUMENTS[name], "output_dir=out", *more, code=1)
    assert "out holds something else, which no run made. Choose another folder." in done.stderr
    assert files(place / "out") == theirs


@pytest.mark.weights
@needs_faceres
def test_an_evaluation_s_folder_is_of_one_job(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, without its minutes of work: what `finish` would leave is put there."""
    monkeypatch.setattr(EvaluateChildren, "_sampled", lambda *_: [])
    arguments, out = ["evaluate_children", *ARGUMENTS["evaluate_children"], "output_dir=out"], place / "out"
    run(*arguments, code=1)
    assert yaml.safe_load((out / ".hydra/config.yaml").read_text())["output_dir"] == "out"
    for name, text in {"children.csv": "", "children.json": '{"files": ["children.csv"]}', "mine.txt": ""}.items():
        (out / name).write_text(text)
    assert "holds another job" in run(*arguments, "seed=9", code=1).stderr
    assert "no couple could be used" in run(*arguments, "seed=9", "overwrite=true", code=1).stderr
    assert {path.name for path in out.iterdir()} == {".hydra", "mine.txt"}


def test_directions_and_regions_leave_each_other_alone(run: Run, place: Path) -> None:
    run("find_directions", *ARGUMENTS["find_directions"], "output_dir=out")
    before = files(place / "out")
    assert "holds another job" in run("find_regions", *ARGUMENTS["find_regions"], "output_dir=out", code=1).stderr
    assert files(place / "out") == before

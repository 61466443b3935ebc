"""What goes wrong with one couple, one row or one setting is told, and is nobody else's failure."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gan_inversion.batch import work as batch
from gan_inversion.batch.manifest import read_manifest
from gan_inversion.batch.manifest_cells import problem_with, value_of
from gan_inversion.blending.offspring import Child, Conception
from gan_inversion.errors import StorageError, UserError
from gan_inversion.image import decode_photo
from gan_inversion.interfaces import Step
from gan_inversion.report.progress import BatchBar
from gan_inversion.storage import Folder
from tests.batches import RunBatch, finish, fork, make_manifest, make_photos, table, write_manifest
from tests.conftest import CHILD, ROOT, TINY


def statuses(out: str = "out") -> list[str]:
    return [row["status"] for row in table(Path(out))]


# ------------------------------------------------------------------ failures of one


@pytest.mark.parametrize("place", ["read_photo", "save_item"])
def test_memory_that_runs_out_is_one_item_s_failure(
    place: str, batch_here: RunBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_manifest(Path("couples.csv"), 3, make_photos(Path("photos"), 20))
    real = getattr(batch, place)

    def full(*arguments: Any) -> Any:
        first = arguments[0].name if place == "read_photo" else arguments[1].id
        if first in ("photos/p001.png", "c00001"):
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(batch, place, full)
    batch_here(error=UserError)
    assert sorted(statuses()) == ["done", "done", "failed"]
    assert "out of memory" in json.loads(Path("out/couples/c00001/failed.json").read_text())["error"]


def test_a_full_temporary_folder_blames_no_couple(batch_here: RunBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    make_manifest(Path("couples.csv"), 2, make_photos(Path("photos"), 3))

    class Full:
        def __enter__(self) -> str:
            raise OSError(28, "No space left on device")

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr("gan_inversion.batch.folder.tempfile.TemporaryDirectory", Full)
    url = "memory://batch_with_full_tmp"
    assert "No space left on device" in batch_here(out=url, error=StorageError)
    assert not [name for name in Folder(url).sizes() if "failed" in name]


def test_children_of_no_finite_numbers_fail(batch_here: RunBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    conceive = Conception.__call__

    def with_nan(child: Child) -> Child:
        latents = replace(child.latents, ws=child.latents.ws * float("nan"))
        return replace(child, steered=replace(child.steered, latents=latents))

    def broken(self: Conception, *arguments: Any) -> Any:
        children = conceive(self, *arguments)
        return {name: with_nan(child) for name, child in children.items()}

    monkeypatch.setattr(Conception, "__call__", broken)
    batch_here(error=UserError)
    assert "latents that are not finite" in table(Path("out"))[0]["error"]


def test_settings_that_need_each_other_are_no_problem_beside_another(tmp_path: Path) -> None:
    def check(settings: Mapping[str, Any]) -> None:
        if "inherit.nose" in settings and "inherit.path" not in settings:
            raise UserError("inherit.nose needs inherit.path")

    row = {"id": "a", "father": "x.png", "mother": "x.png", "inherit.nose": "mother", "inherit.path": "r" * 300}
    (tmp_path / "x.png").touch()
    write_manifest(tmp_path / "couples.csv", [{**row, "siblings": "two"}])
    with pytest.raises(UserError, match="siblings 'two'") as caught:
        read_manifest(str(tmp_path / "couples.csv"), check)
    assert "needs" not in str(caught.value)


@pytest.mark.parametrize("weight", ["NaN", "Infinity"])
def test_numbers_that_are_none_are_no_settings(weight: str, batch_here: RunBatch) -> None:
    make_photos(Path("photos"), 2)
    row = f'{{"id": "a", "father": "photos/p000.png", "mother": "photos/p001.png", "weight": {weight}}}\n'
    Path("couples.jsonl").write_text(row + "{\n")
    said = batch_here(manifest="couples.jsonl", error=UserError)
    assert f"{weight} is no number" in said and "row 2: it is not JSON" in said
    write_manifest(Path("couples.csv"), [{"id": "a", "father": "photos/p000.png", "mother": "x", "weight": ".inf"}])
    said = batch_here(error=UserError)
    assert "blend.weight inf: must be a finite number" in said and "mother x: no such file" in said


def test_a_failure_names_the_photograph_as_the_manifest_does(
    batch_here: RunBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role, photo in zip(("father", "mother"), make_photos(Path("photos"), 2), strict=True):
        Path("families/f1").mkdir(parents=True, exist_ok=True)
        shutil.copy(f"photos/{photo}", f"families/f1/{role}.png")
    Image.new("RGB", (64, 32)).save("families/f1/mother.png")
    batch_here(manifest="families", error=UserError)
    assert table(Path("out"))[0]["error"].startswith("f1/mother.png: 64x32 is not square")


def test_all_that_is_wrong_with_a_row_is_told_at_once(batch_here: RunBatch) -> None:
    make_photos(Path("photos"), 2)
    wrong = {"age": "300", "gender": "boy", "siblings": "two", "colour": ""}
    write_manifest(Path("couples.csv"), [{"id": "a", "father": "photos/p000.png", "mother": "x.jpg", **wrong}])
    said = batch_here(error=UserError)
    for reason in ("300", "boy", "siblings 'two'", "column colour: unknown", "x.jpg: no such file"):
        assert reason in said, said


def test_numbers_as_people_write_them() -> None:
    assert "finite" in problem_with("child.ages", ((1.0, float("nan")), 2))
    assert [value_of(text) for text in ("0010", "-007", "1:30", "08.50", "0")] == [10, -7, "1:30", 8.5, 0]


@pytest.mark.processes
def test_a_sweep_goes_on_after_a_batch_with_a_failure(tmp_path: Path) -> None:
    make_manifest(tmp_path / "couples.csv", 2, make_photos(tmp_path / "photos", 3))
    (tmp_path / "photos/p000.png").write_bytes(b"")
    where = ["manifest=couples.csv", "output_dir=runs/${hydra:job.num}", "store.path=store", "hydra.sweep.dir=sweep"]
    sweep = [sys.executable, str(ROOT / "scripts/batch.py"), "-m", *where, *TINY, *CHILD, "blend.weight=0.3,0.7"]
    said = finish(fork(sweep, tmp_path), code=1)
    assert said.count("error: 1 of 2 couples failed") == 2
    assert [len(table(tmp_path / "runs" / number)) for number in ("0", "1")] == [2, 2]


# ------------------------------------------------------------------ what people see, and large pictures


def test_progress_is_in_lines_where_nobody_watches(capfd: pytest.CaptureFixture[str]) -> None:
    with BatchBar(3) as bar:
        bar.show(1, 2, 0, 0)
        bar._bar.mininterval = 0
        bar.step(Step(0, 1, 3, {}, torch.empty(0), torch.empty(0)))
        bar.show(3, 4, 0, 1)
    said = capfd.readouterr().err
    assert "\r" not in said and said.endswith("\n")
    assert "step 1 of 3" in said
    assert "3/3" in said.splitlines()[-1] and "1 couples failed" in said.splitlines()[-1]


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "F"])
def test_pictures_converted_in_bands_are_as_those_converted_whole(mode: str) -> None:
    draw = np.random.default_rng(0)
    if mode == "RGBA":
        pixels = draw.integers(0, 256, (700, 20, 4), np.uint8)
        part = pixels[..., 3:] / 255
        expected = pixels[..., :3] * part + 255 * (1 - part)
    else:
        pixels = draw.integers(0, 65536, (700, 20)).astype(np.uint16 if mode == "I;16" else np.float32)
        expected = np.repeat(pixels[..., None] / (65535 if mode == "I;16" else pixels.max()) * 255.0, 3, 2)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF" if mode == "F" else "PNG")
    found = decode_photo(file.getvalue(), Path("x")).pixels
    assert np.abs(found - expected).max() <= 1

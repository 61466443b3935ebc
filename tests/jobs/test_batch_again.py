"""Batches that are run again after something changed, and failures that are made to happen; in this process."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gan_inversion.blending.conception import Child, Conception
from gan_inversion.image import decode_photo
from gan_inversion.interfaces import Step, StorageError, UserError
from gan_inversion.jobs import batch
from gan_inversion.jobs.batch_todo import Counts, Todo
from gan_inversion.jobs.batch_work import Couples
from gan_inversion.jobs.couples import Couple, Manifest
from gan_inversion.jobs.identity import files_of, hash_of_file, job_of
from gan_inversion.jobs.manifest import read_manifest
from gan_inversion.jobs.manifest_cells import problem_with, value_of
from gan_inversion.jobs.store import Store
from gan_inversion.jobs.store_care import contents, forget
from gan_inversion.pipelines.batch import run_batch
from gan_inversion.pipelines.tend_store import tend_store
from gan_inversion.report.progress import BatchBar
from gan_inversion.storage import Folder
from tests.batches import make_manifest, make_photos, table, write_manifest
from tests.conftest import CHILD, ROOT, TINY
from tests.test_configs import compose

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a batch; returns what it said."""
    monkeypatch.chdir(tmp_path)

    def call(
        *more: str, manifest: str = "couples.csv", out: str = "out", error: type[BaseException] | None = None
    ) -> str:
        where = [f"manifest={manifest}", f"output_dir={out}", "store.path=store"]
        values = compose(*where, *TINY, *CHILD, *more, script="batch")
        if error is None:
            run_batch(values, {})
            return capsys.readouterr().out
        with pytest.raises(error) as caught:
            run_batch(values, {})
        return capsys.readouterr().out + str(caught.value)

    return call


def statuses(out: str = "out") -> list[str]:
    return [row["status"] for row in table(Path(out))]


def rewritten(path: Path, age: float) -> None:
    """Another picture of the same size, as if it were written `age` seconds ago."""
    pixels = np.array(Image.open(path))
    Image.fromarray(255 - pixels).save(path)
    os.utime(path, (time.time() - age, time.time() - age))


def bitmaps(count: int) -> list[str]:
    """Photographs whose files are equally large."""
    names = []
    for name in make_photos(Path("photos"), count):
        Image.open(f"photos/{name}").save(f"photos/{Path(name).stem}.bmp")
        names.append(f"{Path(name).stem}.bmp")
    return names


# ------------------------------------------------------------------ what is taken for done


@pytest.mark.parametrize("where", ["config", "table"])
def test_ctrl_c_in_a_changed_batch_tells_what_is_not_done(
    where: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(Path("photos"), 4)
    make_manifest(Path("couples.csv"), 20, photos, weight=lambda i: 0.5)
    assert "20 of 20 couples done" in run()
    kept, asked = Couples.keep, []

    def keep(self: Couples, number: int, result: Any) -> None:
        kept(self, number, result)
        if isinstance(result, batch.CoupleDone) and not asked:
            asked.append(number)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Couples, "keep", keep)
    if where == "table":
        make_manifest(Path("couples.csv"), 20, photos, weight=lambda i: 0.1 if i % 2 else 0.5)
        said = run(error=KeyboardInterrupt)
    else:
        said = run("seed=9", "overwrite=true", error=KeyboardInterrupt)
    done = statuses().count("done")
    assert f"{done} of 20 couples done, 0 failed, {20 - done} not done" in said
    assert (10 if where == "table" else 0) < done < 20
    assert statuses().count("not done") == 20 - done
    monkeypatch.setattr(Couples, "keep", kept)
    assert f"20 of 20 couples done, 0 failed, 0 not done ({done} by earlier runs)" in run(
        *["seed=9"] * (where == "config")
    )


def test_a_photograph_replaced_by_one_of_the_same_size(run: Run) -> None:
    make_manifest(Path("couples.csv"), 4, bitmaps(4))
    run()
    assert "(4 by earlier runs)" in run()
    rewritten(Path("photos/p000.bmp"), age=-5)  # written after the couples
    said = run()
    assert "(2 by earlier runs); 1 faces inverted" in said
    rewritten(Path("photos/p001.bmp"), age=1000)  # a copy that keeps an old date
    assert "(4 by earlier runs)" in run()
    assert "(2 by earlier runs); 1 faces inverted" in run("verify=true")
    assert "(4 by earlier runs)" in run("verify=true")


def test_a_photograph_that_cannot_be_read_again_costs_its_couples_only(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_manifest(Path("couples.csv"), 4, make_photos(Path("photos"), 4))
    run()
    read, hashed = Folder.read, []

    def broken(self: Folder, name: str) -> bytes:
        hashed.append(name)
        if name == "photos/p000.png":
            raise StorageError(f"{name}: cannot be read (Input/output error).")
        return read(self, name)

    monkeypatch.setattr(Folder, "read", broken)
    said = run("verify=true", error=UserError)
    assert "2 of 4 couples done, 2 failed, 0 not done (2 by earlier runs)" in said
    assert hashed.count("photos/p001.png") == 1  # for two couples


def test_a_photograph_replaced_between_its_inversion_and_its_couple(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 4))
    finish, father = batch.Batch.finish, Path("photos/p000.png")

    def replacing(self: batch.Batch, result: Any) -> Any:
        done = finish(self, result)
        if isinstance(done, batch.FaceDone) and father.read_bytes() != Path("photos/p002.png").read_bytes():
            shutil.copy("photos/p002.png", father)
        return done

    monkeypatch.setattr(batch.Batch, "finish", replacing)
    run()
    (row,) = table(Path("out"))
    assert hash_of_file("no/such/file") == "no/such/file"
    assert (hash_of_file("photos"), hash_of_file("~nobody/x"), hash_of_file("a\0b")) == ("photos", "~nobody/x", "a\0b")
    assert row["father_photo_sha256"] == hash_of_file(str(father))
    monkeypatch.setattr(batch.Batch, "finish", finish)
    run(out="calm")
    assert row["father_store_key"] == table(Path("calm"))[0]["father_store_key"]


def test_files_that_settings_name_count_by_content(tmp_path: Path) -> None:
    path = tmp_path / "mine.npy"
    path.write_bytes(b"a")
    settings = (("child.age", 8), ("child.directions", str(path)), ("inherit.path", "entry_of_the_catalogue"))
    first = [hash_of_file(one) for one in files_of(settings)]
    path.write_bytes(b"b")
    second = [hash_of_file(one) for one in files_of(settings)]
    assert (first[0] != second[0], first[1], second[1]) == (True, "entry_of_the_catalogue", "entry_of_the_catalogue")


def test_the_content_of_a_start_is_part_of_the_job(tmp_path: Path) -> None:
    path, jobs = tmp_path / "start.safetensors", []
    for content in (b"a", b"b", b"a"):
        path.write_bytes(content)
        jobs.append(job_of({"start": {"path": str(path)}, "seed": 1}))
    assert jobs[0] == jobs[2] != jobs[1]
    assert job_of({"start": {"path": "encoder_of_the_catalogue"}})["start"]["path"] == "encoder_of_the_catalogue"


def test_what_a_killed_attempt_left_is_removed(run: Run) -> None:
    make_manifest(Path("couples.csv"), 2, make_photos(Path("photos"), 2), siblings=lambda i: 3)
    run()
    theirs = [Path("out/couples/c00000/notes.txt"), Path("out/couples/c00001/child_folder/x.png")]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    make_manifest(Path("couples.csv"), 2, make_photos(Path("photos"), 2), siblings=lambda i: 1)
    for name in ("c00000", "c00001"):
        Path(f"out/couples/{name}/done.json").unlink()
    run()
    assert not list(Path("out").glob("*/*/child_0[23]*"))
    make_manifest(Path("new.csv"), 2, make_photos(Path("photos"), 2), siblings=lambda i: 1)
    run(manifest="new.csv", out="calm")
    assert all(path.exists() for path in theirs)
    shutil.rmtree(theirs[1].parent)
    theirs[0].unlink()
    left, calm = ({path.name for path in Path(out).glob("*/*/*")} for out in ("out", "calm"))
    assert left == calm


@pytest.mark.parametrize("left", [None, ".job.json.12ab.part"])
def test_a_folder_in_which_a_run_was_killed_at_once(left: str | None, run: Run) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    Path("out/.hydra").mkdir(parents=True)
    if left:
        (Path("out/.hydra") / left).write_bytes(b"{")
    assert "1 of 1 couples done" in run()
    assert not list(Path("out").rglob("*.part"))
    Path("theirs/.hydra").mkdir(parents=True)
    Path("theirs/.hydra/config.yaml").touch()
    assert "holds something else" in run(out="theirs", error=UserError)


def test_a_damaged_marker_is_no_marker(run: Run) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    run()
    marker = Path("out/couples/c00000/done.json")
    marker.write_text(json.dumps({"couple": json.loads(marker.read_text())["couple"]}))
    assert "(0 by earlier runs)" in run()


def test_a_manifest_that_is_the_folder_of_everything(run: Run) -> None:
    for name in ("a", "b"):
        for role, photo in zip(("father", "mother"), make_photos(Path("photos"), 2), strict=True):
            Path(name).mkdir(exist_ok=True)
            shutil.copy(f"photos/{photo}", f"{name}/{role}.png")
    shutil.rmtree("photos")
    for _ in range(2):
        assert "2 of 2 couples done" in run(manifest=".", out="runs/x")


def test_a_couple_whose_folder_is_written_to_stays_a_couple(run: Run) -> None:
    for role, photo in zip(("father", "mother"), make_photos(Path("photos"), 2), strict=True):
        Path("families/f0").mkdir(parents=True, exist_ok=True)
        shutil.copy(f"photos/{photo}", f"families/f0/{role}.png")
    assert "1 of 1 couples done" in run(manifest="families", out="families/f0/out")


# ------------------------------------------------------------------ faces once


def test_copies_keep_no_other_face_waiting(tmp_path: Path) -> None:
    """Eight workers ask: they get the father once, and the mothers of many couples."""
    (tmp_path / "p").mkdir()
    for i in range(20):
        (tmp_path / f"p/f{i}").write_bytes(b"father")
        (tmp_path / f"p/m{i:02d}").write_bytes(b"mother%02d" % i)
    couples = [Couple(f"c{i}", f"p/f{i}", f"p/m{i:02d}", (), ()) for i in range(20)]
    todo = (Todo(couple, "", place, (6, 8)) for place, couple in enumerate(couples))
    work = Couples(
        todo, Manifest(couples, Folder(str(tmp_path))), Folder(str(tmp_path / "out")), Counts(20), lambda: None
    )
    given = [work.take(1) for _ in range(8)]
    names = [item.name for ((_, item),) in given]
    assert len(set(names)) == 8
    assert sum(name.startswith("p/f") for name in names) == 1
    father = next(number for ((number, item),) in given if item.name.startswith("p/f"))
    work.keep(father, batch.FaceDone(given[0][0][1], "", ""))
    assert any(item.name.startswith("p/f") for _, item in work.take(12))


@pytest.mark.parametrize("more", [(), ("runner.workers=2",)])
def test_copies_of_a_photograph_are_inverted_once(more: tuple[str, ...], run: Run) -> None:
    photos = make_photos(Path("photos"), 2)
    for i in range(4):
        Path(f"families/f{i}").mkdir(parents=True)
        for role, photo in zip(("father", "mother"), photos, strict=True):
            shutil.copy(f"photos/{photo}", f"families/f{i}/{role}.png")
    assert "2 faces inverted" in run(*more, manifest="families")


def test_another_run_may_keep_other_metrics(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    run("metrics=[mse]", out="first")
    get = Store.get

    def without(self: Store, key: str) -> Any:  # as if that run put its record back just before each look
        record = get(self, key)
        return record and replace(record, metrics={"mse": record.metrics["mse"]})

    monkeypatch.setattr(Store, "get", without)
    assert "1 of 1 couples done" in run("metrics=[psnr,mse]")
    row = table(Path("out"))[0]
    assert row["father_mse"] == table(Path("first"))[0]["father_mse"]
    assert float(row["father_psnr"]) > 0


def test_a_store_that_cannot_be_read_for_a_moment_loses_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    run()
    read, failures = Folder.read, []

    def flaky(self: Folder, name: str) -> bytes:
        if name.startswith("inversions") and name.endswith(".json") and not failures:
            failures.append(name)
            raise StorageError(f"{name}: cannot be read (Input/output error).")
        return read(self, name)

    monkeypatch.setattr(Folder, "read", flaky)
    run("blend.weight=0.3", out="more")
    assert len(failures) == 1
    assert not list(Path("store").rglob("*.damaged"))


def test_forgetting_leaves_no_trace_of_a_killed_process(run: Run) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    run()
    store, sha256 = Store("store"), hash_of_file("photos/p000.png")
    (Path("store/photos") / sha256 / ".faces-ab.12.part").touch()
    forget(store, contents(store), "photos/p000.png")
    assert sha256 not in "".join(map(str, Path("store").rglob("*")))


def test_damaged_entries_are_pruned(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    run()
    victim = next(Path("store/inversions").rglob("*.safetensors"))
    victim.write_bytes(victim.read_bytes()[::-1])
    values = {"store": compose(script="store")["store"], "forget": None, "keep_days": None}
    with pytest.raises(UserError, match="do=prune removes them"):
        tend_store({**values, "do": "verify"})
    tend_store({**values, "do": "prune"})
    tend_store({**values, "do": "verify"})
    assert "3 whole, 0 damaged" in capsys.readouterr().out
    assert not list(Path("store").rglob(f"*{victim.stem}*"))
    assert "1 faces inverted" in run(out="again")
    tend_store({**values, "do": "list"})
    assert f"{hash_of_file('photos/p000.png')}: 1 aligned faces, 1 inversions" in capsys.readouterr().out


@pytest.mark.parametrize(("more", "inverted"), [((), 0), (("start=best_of", "start.near=pixel"), 2)])
def test_a_seed_that_draws_nothing_inverts_nothing_again(more: tuple[str, ...], inverted: int, run: Run) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    run("seed=1", *more)
    assert f"{inverted} faces inverted" in run("seed=2", *more, out="more")
    children = [Path(f"{out}/couples/c00000/child_00.png").read_bytes() for out in ("out", "more")]
    assert children[0] != children[1] or not inverted


# ------------------------------------------------------------------ failures of one


@pytest.mark.parametrize("place", ["read_photo", "save_couple"])
def test_memory_that_runs_out_is_one_item_s_failure(place: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make_manifest(Path("couples.csv"), 3, make_photos(Path("photos"), 20))
    real = getattr(batch, place)

    def full(*arguments: Any) -> Any:
        first = arguments[0].name if place == "read_photo" else arguments[1].id
        if first in ("photos/p001.png", "c00001"):
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(batch, place, full)
    run(error=UserError)
    assert sorted(statuses()) == ["done", "done", "failed"]
    assert "out of memory" in json.loads(Path("out/couples/c00001/failed.json").read_text())["error"]


def test_a_full_temporary_folder_blames_no_couple(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make_manifest(Path("couples.csv"), 2, make_photos(Path("photos"), 3))

    class Full:
        def __enter__(self) -> str:
            raise OSError(28, "No space left on device")

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr("gan_inversion.jobs.batch_folder.tempfile.TemporaryDirectory", Full)
    url = "memory://batch_with_full_tmp"
    assert "No space left on device" in run(out=url, error=StorageError)
    assert not [name for name in Folder(url).sizes() if "failed" in name]


def test_children_of_no_finite_numbers_fail(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    conceive = Conception.__call__

    def with_nan(child: Child) -> Child:
        latents = replace(child.latents, ws=child.latents.ws * float("nan"))
        return replace(child, steered=replace(child.steered, latents=latents))

    def broken(self: Conception, *arguments: Any) -> Any:
        children = conceive(self, *arguments)
        return {name: with_nan(child) for name, child in children.items()}

    monkeypatch.setattr(Conception, "__call__", broken)
    run(error=UserError)
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
def test_numbers_that_are_none_are_no_settings(weight: str, run: Run) -> None:
    make_photos(Path("photos"), 2)
    row = f'{{"id": "a", "father": "photos/p000.png", "mother": "photos/p001.png", "weight": {weight}}}\n'
    Path("couples.jsonl").write_text(row + "{\n")
    said = run(manifest="couples.jsonl", error=UserError)
    assert f"{weight} is no number" in said and "row 2: it is not JSON" in said
    write_manifest(Path("couples.csv"), [{"id": "a", "father": "photos/p000.png", "mother": "x", "weight": ".inf"}])
    said = run(error=UserError)
    assert "blend.weight inf: must be a finite number" in said and "mother x: no such file" in said


def test_a_failure_names_the_photograph_as_the_manifest_does(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for role, photo in zip(("father", "mother"), make_photos(Path("photos"), 2), strict=True):
        Path("families/f1").mkdir(parents=True, exist_ok=True)
        shutil.copy(f"photos/{photo}", f"families/f1/{role}.png")
    Image.new("RGB", (64, 32)).save("families/f1/mother.png")
    run(manifest="families", error=UserError)
    assert table(Path("out"))[0]["error"].startswith("f1/mother.png: 64x32 is not square")


def test_all_that_is_wrong_with_a_row_is_told_at_once(run: Run) -> None:
    make_photos(Path("photos"), 2)
    wrong = {"age": "300", "gender": "boy", "siblings": "two", "colour": ""}
    write_manifest(Path("couples.csv"), [{"id": "a", "father": "photos/p000.png", "mother": "x.jpg", **wrong}])
    said = run(error=UserError)
    for reason in ("300", "boy", "siblings 'two'", "column colour: unknown", "x.jpg: no such file"):
        assert reason in said, said


def test_numbers_as_people_write_them() -> None:
    assert "finite" in problem_with("child.ages", ((1.0, float("nan")), 2))
    assert [value_of(text) for text in ("0010", "-007", "1:30", "08.50", "0")] == [10, -7, "1:30", 8.5, 0]


def test_a_sweep_goes_on_after_a_batch_with_a_failure(tmp_path: Path) -> None:
    make_manifest(tmp_path / "couples.csv", 2, make_photos(tmp_path / "photos", 3))
    (tmp_path / "photos/p000.png").write_bytes(b"")
    where = ["manifest=couples.csv", "output_dir=runs/${hydra:job.num}", "store.path=store", "hydra.sweep.dir=sweep"]
    command = [sys.executable, str(ROOT / "scripts/batch.py"), "-m", *where, *TINY, *CHILD, "blend.weight=0.3,0.7"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("error: 1 of 2 couples failed") == 2
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

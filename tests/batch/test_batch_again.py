"""Batches that are run again after something changed: what is taken for done, and what is inverted once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gan_inversion.batch import work as batch
from gan_inversion.batch.couples import Couple, Manifest
from gan_inversion.batch.schedule import Items
from gan_inversion.batch.state import Counts, Todo
from gan_inversion.errors import StorageError, UserError
from gan_inversion.inversion.starts import FromEncoder, FromInversion
from gan_inversion.latents import describe
from gan_inversion.storage import Folder, content_of
from gan_inversion.store.keys import files_of
from gan_inversion.store.maintenance import contents, forget
from gan_inversion.store.store import Store
from tests.batches import RunBatch, make_manifest, make_photos, table
from tests.composed import compose, execute


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


@pytest.mark.slow
@pytest.mark.parametrize("where", ["config", "table"])
def test_ctrl_c_in_a_changed_batch_tells_what_is_not_done(
    where: str, batch_here: RunBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(Path("photos"), 4)
    make_manifest(Path("couples.csv"), 20, photos, weight=lambda i: 0.5)
    assert "20 of 20 couples done" in batch_here()
    kept, asked = Items.keep, []

    def keep(self: Items, number: int, result: Any) -> None:
        kept(self, number, result)
        if isinstance(result, batch.Done) and not asked:
            asked.append(number)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Items, "keep", keep)
    if where == "table":
        make_manifest(Path("couples.csv"), 20, photos, weight=lambda i: 0.1 if i % 2 else 0.5)
        said = batch_here(error=KeyboardInterrupt)
    else:
        said = batch_here("seed=9", "overwrite=true", error=KeyboardInterrupt)
    done = statuses().count("done")
    assert f"{done} of 20 couples done, 0 failed, {20 - done} not done" in said
    assert (10 if where == "table" else 0) < done < 20
    assert statuses().count("not done") == 20 - done
    monkeypatch.setattr(Items, "keep", kept)
    assert f"20 of 20 couples done, 0 failed, 0 not done ({done} by earlier runs)" in batch_here(
        *["seed=9"] * (where == "config")
    )


def test_a_photograph_replaced_by_one_of_the_same_size(batch_here: RunBatch) -> None:
    make_manifest(Path("couples.csv"), 4, bitmaps(4))
    batch_here()
    assert "(4 by earlier runs)" in batch_here()
    rewritten(Path("photos/p000.bmp"), age=-5)  # written after the couples
    said = batch_here()
    assert "(2 by earlier runs); 1 faces inverted" in said
    rewritten(Path("photos/p001.bmp"), age=1000)  # a copy that keeps an old date
    assert "(4 by earlier runs)" in batch_here()
    assert "(2 by earlier runs); 1 faces inverted" in batch_here("verify=true")
    assert "(4 by earlier runs)" in batch_here("verify=true")


def test_a_photograph_that_cannot_be_read_again_costs_its_couples_only(
    batch_here: RunBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_manifest(Path("couples.csv"), 4, make_photos(Path("photos"), 4))
    batch_here()
    read, hashed = Folder.read, []

    def broken(self: Folder, name: str, *bounds: int) -> bytes:
        hashed.append(name)
        if name == "photos/p000.png":
            raise StorageError(f"{name}: cannot be read (Input/output error).")
        return read(self, name)

    monkeypatch.setattr(Folder, "read", broken)
    said = batch_here("verify=true", error=UserError)
    assert "2 of 4 couples done, 2 failed, 0 not done (2 by earlier runs)" in said
    assert hashed.count("photos/p001.png") == 1  # for two couples


def test_a_photograph_replaced_between_its_inversion_and_its_couple(
    batch_here: RunBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 4))
    finish, father = batch.Batch.finish, Path("photos/p000.png")

    def replacing(self: batch.Batch, result: Any) -> Any:
        done = finish(self, result)
        if isinstance(done, batch.FaceDone) and father.read_bytes() != Path("photos/p002.png").read_bytes():
            shutil.copy("photos/p002.png", father)
        return done

    monkeypatch.setattr(batch.Batch, "finish", replacing)
    batch_here()
    (row,) = table(Path("out"))
    assert content_of("no/such/file") == "no/such/file"
    assert (content_of("photos"), content_of("~nobody/x"), content_of("a\0b")) == ("photos", "~nobody/x", "a\0b")
    assert row["father_photo_sha256"] == content_of(str(father))
    monkeypatch.setattr(batch.Batch, "finish", finish)
    batch_here(out="calm")
    assert row["father_store_key"] == table(Path("calm"))[0]["father_store_key"]


def test_files_that_settings_name_count_by_content(tmp_path: Path) -> None:
    path = tmp_path / "mine.npy"
    path.write_bytes(b"a")
    settings = (("child.age", 8), ("child.directions", str(path)), ("inherit.path", "entry_of_the_catalogue"))
    first = [content_of(one) for one in files_of(settings)]
    path.write_bytes(b"b")
    second = [content_of(one) for one in files_of(settings)]
    assert (first[0] != second[0], first[1], second[1]) == (True, "entry_of_the_catalogue", "entry_of_the_catalogue")


def test_the_content_of_a_start_is_part_of_the_job(tmp_path: Path) -> None:
    path, jobs = tmp_path / "start.safetensors", []
    for content in (b"a", b"b", b"a"):
        path.write_bytes(content)
        jobs.append(describe(FromInversion(str(path))))
    assert jobs[0] == jobs[2] != jobs[1]
    assert describe(FromEncoder("encoder_of_the_catalogue"))["path"] == "encoder_of_the_catalogue"


def test_what_a_killed_attempt_left_is_removed(batch_here: RunBatch) -> None:
    make_manifest(Path("couples.csv"), 2, make_photos(Path("photos"), 2), siblings=lambda i: 3)
    batch_here()
    theirs = [Path("out/couples/c00000/notes.txt"), Path("out/couples/c00001/child_folder/x.png")]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    make_manifest(Path("couples.csv"), 2, make_photos(Path("photos"), 2), siblings=lambda i: 1)
    for name in ("c00000", "c00001"):
        Path(f"out/couples/{name}/done.json").unlink()
    batch_here()
    assert not list(Path("out").glob("*/*/child_0[23]*"))
    make_manifest(Path("new.csv"), 2, make_photos(Path("photos"), 2), siblings=lambda i: 1)
    batch_here(manifest="new.csv", out="calm")
    assert all(path.exists() for path in theirs)
    shutil.rmtree(theirs[1].parent)
    theirs[0].unlink()
    left, calm = ({path.name for path in Path(out).glob("*/*/*")} for out in ("out", "calm"))
    assert left == calm != set()


def test_what_only_looks_like_ours_stays(batch_here: RunBatch) -> None:
    """With overwrite and without: a couple's markers list what is its own."""
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2), siblings=lambda i: 2)
    batch_here()
    names = ("father_original.jpg", "children_notes.txt", "child_02.png", "mother.jpeg", ".notes.part")
    theirs = [Path("out/couples/c00000") / name for name in names]
    theirs += [Path("out/thumbs/c00000") / name for name in ("contact_sheet.jpg.txt", "child_07.jpg")]
    for path in theirs:
        path.touch()
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2), siblings=lambda i: 1)
    batch_here("seed=3", "overwrite=true")
    assert [path for path in theirs if not path.exists()] == []
    assert not list(Path("out").glob("*/*/child_01*"))


def test_a_run_killed_in_the_midst_of_a_couple_leaves_nothing(
    batch_here: RunBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2), siblings=lambda i: 3)
    with monkeypatch.context() as patch:
        patch.setattr("gan_inversion.batch.folder.save_timings", lambda *_: 1 / 0)
        patch.setattr("gan_inversion.batch.schedule.save_failure", lambda *_: None)  # a killed process says nothing
        batch_here(error=KeyboardInterrupt)
    assert {path.name for path in Path("out/couples/c00000").iterdir()} >= {"begun.json", "child_02.png"}
    (Path("out/couples/c00000") / f".child_02.png.{'0f' * 6}.part").touch()
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2), siblings=lambda i: 1)
    batch_here()
    batch_here(out="calm")
    left, calm = (sorted(path.name for path in Path(out).glob("*/*/*")) for out in ("out", "calm"))
    assert left == calm != []


@pytest.mark.parametrize("left", [None, ".job.json.12ab.part"])
def test_a_folder_in_which_a_run_was_killed_at_once(left: str | None, batch_here: RunBatch) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    Path("out/.hydra").mkdir(parents=True)
    if left:
        (Path("out/.hydra") / left).write_bytes(b"{")
    assert "1 of 1 couples done" in batch_here()
    assert not list(Path("out").rglob("*.part"))
    Path("theirs/.hydra").mkdir(parents=True)
    Path("theirs/.hydra/config.yaml").touch()
    assert "holds something else" in batch_here(out="theirs", error=UserError)


def test_a_damaged_marker_is_no_marker(batch_here: RunBatch) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    batch_here()
    marker = Path("out/couples/c00000/done.json")
    marker.write_text(json.dumps({"item": json.loads(marker.read_text())["item"]}))
    assert "(0 by earlier runs)" in batch_here()


def test_a_manifest_that_is_the_folder_of_everything(batch_here: RunBatch) -> None:
    for name in ("a", "b"):
        for role, photo in zip(("father", "mother"), make_photos(Path("photos"), 2), strict=True):
            Path(name).mkdir(exist_ok=True)
            shutil.copy(f"photos/{photo}", f"{name}/{role}.png")
    shutil.rmtree("photos")
    for _ in range(2):
        assert "2 of 2 couples done" in batch_here(manifest=".", out="runs/x")


def test_a_couple_whose_folder_is_written_to_stays_a_couple(batch_here: RunBatch) -> None:
    for role, photo in zip(("father", "mother"), make_photos(Path("photos"), 2), strict=True):
        Path("families/f0").mkdir(parents=True, exist_ok=True)
        shutil.copy(f"photos/{photo}", f"families/f0/{role}.png")
    assert "1 of 1 couples done" in batch_here(manifest="families", out="families/f0/out")


# ------------------------------------------------------------------ faces once


def test_copies_keep_no_other_face_waiting(tmp_path: Path) -> None:
    """Eight workers ask: they get the father once, and the mothers of many couples."""
    (tmp_path / "p").mkdir()
    for i in range(20):
        (tmp_path / f"p/f{i}").write_bytes(b"father")
        (tmp_path / f"p/m{i:02d}").write_bytes(b"mother%02d" % i)
    couples = [Couple(f"c{i}", f"p/f{i}", f"p/m{i:02d}", (), ()) for i in range(20)]
    todo = (Todo(couple, "", place, (6, 8)) for place, couple in enumerate(couples))
    work = Items(
        todo, Manifest(couples, Folder(str(tmp_path))), Folder(str(tmp_path / "out")), Counts(20), lambda: None
    )
    given = [work.take(1) for _ in range(8)]
    names = [item.name for ((_, item),) in given]
    assert len(set(names)) == 8
    assert sum(name.startswith("p/f") for name in names) == 1
    father = next(number for ((number, item),) in given if item.name.startswith("p/f"))
    work.keep(father, batch.FaceDone(given[0][0][1], "", ""))
    assert any(item.name.startswith("p/f") for _, item in work.take(12))


@pytest.mark.usefixtures("loaded_workers")
@pytest.mark.parametrize("more", [(), pytest.param(("runner.workers=2",), marks=pytest.mark.processes)])
def test_copies_of_a_photograph_are_inverted_once(more: tuple[str, ...], batch_here: RunBatch) -> None:
    photos = make_photos(Path("photos"), 2)
    for i in range(4):
        Path(f"families/f{i}").mkdir(parents=True)
        for role, photo in zip(("father", "mother"), photos, strict=True):
            shutil.copy(f"photos/{photo}", f"families/f{i}/{role}.png")
    assert "2 faces inverted" in batch_here(*more, manifest="families")


def test_another_run_may_keep_other_metrics(batch_here: RunBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    batch_here("metrics=[mse]", out="first")
    get = Store.get

    def without(self: Store, key: str) -> Any:  # as if that run put its record back just before each look
        record = get(self, key)
        return record and replace(record, metrics={"mse": record.metrics["mse"]})

    monkeypatch.setattr(Store, "get", without)
    assert "1 of 1 couples done" in batch_here("metrics=[psnr,mse]")
    row = table(Path("out"))[0]
    assert row["father_mse"] == table(Path("first"))[0]["father_mse"]
    assert float(row["father_psnr"]) > 0


def test_a_store_that_cannot_be_read_for_a_moment_loses_nothing(
    batch_here: RunBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    batch_here()
    read, failures = Folder.read, []

    def flaky(self: Folder, name: str, *bounds: int) -> bytes:
        if name.startswith("inversions") and name.endswith(".json") and not failures:
            failures.append(name)
            raise StorageError(f"{name}: cannot be read (Input/output error).")
        return read(self, name)

    monkeypatch.setattr(Folder, "read", flaky)
    batch_here("blend.weight=0.3", out="more")
    assert len(failures) == 1
    assert not list(Path("store").rglob("*.damaged"))


def test_forgetting_leaves_no_trace_of_a_killed_process(batch_here: RunBatch) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    batch_here()
    store, sha256 = Store("store"), content_of("photos/p000.png")
    (Path("store/photos") / sha256 / ".faces-ab.12.part").touch()
    forget(store, contents(store), "photos/p000.png")
    assert sha256 not in "".join(map(str, Path("store").rglob("*")))


def test_damaged_entries_are_pruned(batch_here: RunBatch, capsys: pytest.CaptureFixture[str]) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    batch_here()
    victim = next(Path("store/inversions").rglob("*.safetensors"))
    victim.write_bytes(victim.read_bytes()[::-1])
    with pytest.raises(UserError, match="do=prune removes them"):
        execute(compose("do=verify", script="store"), "store")
    execute(compose("do=prune", script="store"), "store")
    execute(compose("do=verify", script="store"), "store")
    assert "3 whole, 0 damaged" in capsys.readouterr().out
    assert not list(Path("store").rglob(f"*{victim.stem}*"))
    assert "1 faces inverted" in batch_here(out="again")
    execute(compose("do=list", script="store"), "store")
    assert f"{content_of('photos/p000.png')}: 1 aligned faces, 1 inversions" in capsys.readouterr().out


@pytest.mark.parametrize(("more", "inverted"), [((), 0), (("start=best_of", "start.near=pixel"), 2)])
def test_a_seed_that_draws_nothing_inverts_nothing_again(
    more: tuple[str, ...], inverted: int, batch_here: RunBatch
) -> None:
    make_manifest(Path("couples.csv"), 1, make_photos(Path("photos"), 2))
    batch_here("seed=1", *more)
    assert f"{inverted} faces inverted" in batch_here("seed=2", *more, out="more")
    children = [Path(f"{out}/couples/c00000/child_00.png").read_bytes() for out in ("out", "more")]
    assert children[0] != children[1] or not inverted

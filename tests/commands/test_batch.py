"""scripts/batch.py: a manifest in; folders, tables and a report out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest

from gan_inversion.latents import load_latents
from tests.batches import files_of, make_photos, results_of, table, write_manifest
from tests.conftest import CHILD, TINY, Ran

Run = Callable[..., Ran]
SETTINGS = [*TINY, *CHILD]


@pytest.fixture
def couples(tmp_path: Path) -> Path:
    """Three couples of four people; the first row says a lot."""
    names = make_photos(tmp_path / "photos", 4)
    rows: list[dict[str, Any]] = [
        {"id": "a", "father": f"photos/{names[0]}", "mother": f"photos/{names[1]}", "seed": 5, "siblings": 2,
         "weight": 0.3, "note_family": "Ärger & Co <b>"},
        {"id": "b", "father": f"photos/{names[0]}", "mother": f"photos/{names[2]}"},
        {"id": "c", "father": f"photos/{names[3]}", "mother": f"photos/{names[3]}", "blend.path": "lerp"},
    ]  # fmt: skip
    write_manifest(tmp_path / "couples.csv", rows)
    return tmp_path / "couples.csv"


def test_tables_folders_and_report(run: Run, couples: Path, tmp_path: Path) -> None:
    said = run("batch", f"manifest={couples}", *SETTINGS, "output_dir=out").stdout
    assert "3 of 3 couples done, 0 failed, 0 not done (0 by earlier runs); 4 faces inverted, 0 found" in said
    rows = table(tmp_path / "out")
    assert [(row["id"], row["child"], row["status"]) for row in rows] == [
        ("a", "child_00", "done"),
        ("a", "child_01", "done"),
        ("b", "child_00", "done"),
        ("c", "child_00", "done"),
    ]
    assert rows[0]["note_family"] == "Ärger & Co <b>"
    assert rows[0]["seed"] == "5"
    assert rows[0]["set_blend.weight"] == "0.3"
    assert float(rows[0]["father_mse"]) > 0
    assert rows[0]["father_store_key"] == rows[2]["father_store_key"] != rows[0]["mother_store_key"]
    assert (tmp_path / "store/inversions" / rows[0]["father_store_key"][:2]).exists()
    parquet = pq.read_table(tmp_path / "out/results.parquet").to_pylist()
    assert [row["father_mse"] for row in parquet] == [float(row["father_mse"]) for row in rows]
    with open(tmp_path / "out/timings.csv") as file:
        timings = list(csv.DictReader(file))
    assert [row["id"] for row in timings] == ["a", "b", "c"]
    assert float(timings[0]["blend_seconds"]) >= 0
    for name in ("contact_sheet.png", "family.json", "latents.safetensors", "child_01.png", "timings.json"):
        assert (tmp_path / "out/couples/a" / name).exists()
    assert (tmp_path / "out/thumbs/a/child_01.jpg").exists()
    assert "<b>" not in (tmp_path / "out/report.html").read_text().split("Co ")[1][:20]
    summary = json.loads((tmp_path / "out/batch.json").read_text())
    assert summary["couples"] == {"done": 3, "failed": 0, "not done": 0}


def test_a_couple_is_what_family_makes_of_it(run: Run, couples: Path, tmp_path: Path) -> None:
    """File by file, with the row's settings on the command line."""
    run("batch", f"manifest={couples}", *SETTINGS, "seed=5", "output_dir=out")
    photos = tmp_path / "photos"
    run("family", f"father={photos / 'p000.png'}", f"mother={photos / 'p001.png'}", *SETTINGS, "seed=5", "siblings=2",
        "blend.weight=0.3", "output_dir=one", "store.path=other")  # fmt: skip
    ours, theirs = files_of(tmp_path / "out/couples/a"), files_of(tmp_path / "one")
    assert ours.pop("done.json")
    assert ours == {name: data for name, data in theirs.items() if not name.startswith(".hydra")}


def test_row_settings_move_the_child(run: Run, couples: Path, tmp_path: Path) -> None:
    """Each changes what it says, and nothing changes it for the others."""
    names = sorted((tmp_path / "photos").iterdir())
    base = {"father": f"photos/{names[0].name}", "mother": f"photos/{names[1].name}", "seed": 1}
    changes: list[dict[str, Any]] = [{}, {"weight": 0.1}, {"diversity": 0}, {"blend.path": "slerp"}, {"seed": 2}]
    rows = [{"id": f"r{i}", **base, **change} for i, change in enumerate(changes)]
    write_manifest(couples, [*rows, {"id": "again", **base}])
    run("batch", f"manifest={couples}", *SETTINGS, "output_dir=out")
    ws = {
        name: load_latents(tmp_path / "out/couples" / name / "latents.safetensors", "child_00").ws.numpy().tobytes()
        for name in [row["id"] for row in rows] + ["again"]
    }
    assert ws.pop("again") == ws["r0"]
    assert len(set(ws.values())) == len(changes)


def test_children_of_couples_without_a_seed_are_their_own(run: Run, couples: Path, tmp_path: Path) -> None:
    run("batch", f"manifest={couples}", *SETTINGS, "output_dir=out")
    run("batch", f"manifest={couples}", *SETTINGS, "output_dir=out2", "seed=1")
    seeds = [{row["id"]: row["seed"] for row in table(tmp_path / out)} for out in ("out", "out2")]
    assert seeds[0]["a"] == seeds[1]["a"] == "5"
    assert len({seeds[0]["b"], seeds[0]["c"], seeds[1]["b"], seeds[1]["c"]}) == 4
    # and do not depend on who else is in the manifest
    lines = couples.read_text().splitlines()
    couples.write_text("\n".join([lines[0], lines[2]]) + "\n")
    run("batch", f"manifest={couples}", *SETTINGS, "output_dir=out3")
    assert table(tmp_path / "out3")[0]["seed"] == seeds[0]["b"]


def test_the_same_command_goes_on(run: Run, couples: Path, tmp_path: Path) -> None:
    arguments = (f"manifest={couples}", *SETTINGS, "output_dir=out")
    run("batch", *arguments)
    before = results_of(tmp_path / "out")
    assert "3 by earlier runs); 0 faces inverted, 0 found" in run("batch", *arguments).stdout
    assert results_of(tmp_path / "out") == before
    # a file that is gone or shortened is made again
    child = tmp_path / "out/couples/b/child_00.png"
    child.write_bytes(child.read_bytes()[:-1])
    (tmp_path / "out/thumbs/c/father.jpg").unlink()
    assert "(1 by earlier runs); 0 faces inverted" in run("batch", *arguments).stdout
    assert results_of(tmp_path / "out") == before
    # a changed byte only with verify
    child.write_bytes(child.read_bytes()[:-1] + b"?")
    assert "3 by earlier runs" in run("batch", *arguments).stdout
    assert "(2 by earlier runs)" in run("batch", *arguments, "verify=true").stdout
    assert results_of(tmp_path / "out") == before
    # and a row that changed, or was added
    couples.write_text(couples.read_text().replace("0.3", "0.4"))
    assert "(2 by earlier runs)" in run("batch", *arguments).stdout


def test_another_job_is_refused(run: Run, couples: Path, tmp_path: Path) -> None:
    arguments = (f"manifest={couples}", *SETTINGS, "output_dir=out")
    run("batch", *arguments)
    assert "holds another job" in run("batch", *arguments, "siblings=3", code=1).stderr
    run("batch", *arguments, "siblings=3", "overwrite=true")
    assert len(table(tmp_path / "out")) == 2 + 3 + 3
    run("batch", *arguments, "overwrite=true")
    assert not (tmp_path / "out/couples/b/child_02.png").exists()
    assert not (tmp_path / "out/thumbs/b/child_02.jpg").exists()


def test_everything_wrong_is_told_before_any_work(run: Run, couples: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (tmp_path / "photos").iterdir())
    good = {"father": f"photos/{names[0]}", "mother": f"photos/{names[1]}"}
    rows = [
        {"id": "a", **good, "weight": "heavy"},
        {"id": "b", **good, "mother": "photos/nobody.png"},
        {"id": "b", **good},
        {"id": "d", **good, "seed": -1},
        {"id": "e", **good, "blend.path": "zigzag"},
        {"id": "f", **good, "age": 8},
    ]
    write_manifest(couples, rows)
    said = run("batch", f"manifest={couples}", *SETTINGS, "output_dir=out", code=1).stderr
    assert "couples.csv: 6 problems, nothing was done" in said
    for part in ("row 2 (id a)", "blend.weight", "row 3 (id b)", "nobody.png", "row 4", "row 5", "zigzag", "row 7"):
        assert part in said
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "store").exists()


def test_storage_far_away(run: Run, couples: Path, tmp_path: Path) -> None:
    """Photographs, store and output on a storage without renaming: the same bits as on a disk."""
    far = fsspec.filesystem("memory")
    for path in [couples, *sorted((tmp_path / "photos").iterdir())]:
        far.pipe_file(f"/in/{path.relative_to(tmp_path)}", path.read_bytes())
    arguments = ("manifest=memory://in/couples.csv", *SETTINGS, "output_dir=memory://out", "store.path=memory://store")
    try:
        assert "4 faces inverted" in run("batch", *arguments).stdout
        assert "3 by earlier runs" in run("batch", *arguments).stdout
        run("batch", f"manifest={couples}", *SETTINGS, "output_dir=out")
        rows = list(csv.DictReader(io.StringIO(far.cat_file("/out/results.csv").decode())))
        assert rows == table(tmp_path / "out")
        for name in ("couples/a/child_01.png", "couples/a/family.json", "couples/a/done.json", "thumbs/c/mother.jpg"):
            assert far.cat_file(f"/out/{name}") == (tmp_path / "out" / name).read_bytes()
        far.rm_file("/out/couples/b/done.json")  # the marker: as if killed before it
        assert "(2 by earlier runs)" in run("batch", *arguments).stdout
        assert "holds another job" in run("batch", *arguments, "seed=9", code=1).stderr
    finally:
        far.store.clear()


def test_a_batch_needs_its_store(run: Run, couples: Path) -> None:
    assert "a batch needs its store" in run("batch", f"manifest={couples}", *SETTINGS, "store.path=null", code=1).stderr


def test_metrics_asked_for_later_need_no_step(run: Run, couples: Path, tmp_path: Path) -> None:
    run("batch", f"manifest={couples}", *SETTINGS, "output_dir=out", "metrics=[mse]")
    said = run("batch", f"manifest={couples}", *SETTINGS, "output_dir=out2", "metrics=[mse,ms_ssim]").stdout
    assert "0 faces inverted, 4 found in the store" in said
    assert float(table(tmp_path / "out2")[0]["father_ms_ssim"]) > 0

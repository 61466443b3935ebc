"""Batches of photographs with edits: the same machinery as for couples, and what `edit` makes of each."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from gan_inversion import cli
from gan_inversion.batch.couples import Portrait
from gan_inversion.batch.manifest import read_manifest
from gan_inversion.commands.demo_photos import drawn_photograph
from gan_inversion.editing.edits import OFFERED, Reading
from gan_inversion.editing.files import Directions, save_directions
from gan_inversion.editing.labels import LABELS
from gan_inversion.editing.reader import fit_reader
from gan_inversion.editing.scene_reader import SceneReader
from gan_inversion.errors import UserError
from gan_inversion.generators.tiny import Tiny
from tests.batches import RunBatch, make_photos, table, write_manifest
from tests.composed import compose, execute
from tests.conftest import TINY, real

EDIT = ["++edit.directions=d.safetensors", "++edit.hold=0"]

SCENE = SceneReader(
    torch.zeros(1, 2, 2), torch.zeros(5, 1, 2, 2), torch.zeros(5), torch.ones(5)
)  # `read` below is asked


def read(self: Reading, picture: torch.Tensor, names: Collection[str] = OFFERED) -> dict[str, float]:
    """Something smooth of a tiny picture for each label."""
    parts = [part.mean().item() for part in picture[0].flatten().chunk(len(OFFERED))]
    values = dict(zip(OFFERED, (10 * part for part in parts), strict=True))
    values |= {"age": 40 + 200 * parts[0], "gender": 1 / (1 + 2.718281828 ** (-20 * parts[1]))}
    return {name: values[name] for name in OFFERED if name in names}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, generator: Tiny, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three photographs, and directions for all labels; networks are replaced."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Reading, "__call__", read)
    monkeypatch.setattr("gan_inversion.report.edit._verdict", lambda *parts: None)
    make_photos(tmp_path / "photos", 3)
    save(tmp_path / "d.safetensors", generator, 5)
    return tmp_path


def save(path: Path, generator: Tiny, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    reader = fit_reader(torch.randn(10, 128, generator=source), torch.rand(10, 2, generator=source) * 30)
    vectors = {name: 0.3 * torch.randn(16, generator=source) for name in OFFERED}
    save_directions(path, Directions(vectors, dict.fromkeys(LABELS, 5.0), "w", reader, SCENE), generator, {})


def rows(*more: dict[str, Any]) -> None:
    write_manifest(Path("photographs.csv"), [{"photo": f"photos/p00{i}.png", **one} for i, one in enumerate(more)])


def run(batch_here: RunBatch, *more: str, **how: Any) -> str:
    return batch_here(*EDIT, *more, manifest="photographs.csv", **how)


def test_each_row_is_what_edit_makes_of_it(batch_here: RunBatch) -> None:
    """File by file; a face is inverted once, whatever is made of it."""
    write_manifest(
        Path("photographs.csv"),
        [
            {"id": "old", "photo": "photos/p000.png", "age": "[30,60]", "note_of": "an album"},
            {"photo": "photos/p001.png", "smile": 1, "frames": 3, "size": 32},
            {"id": "raw", "photo": "photos/p000.png", "steps.yaw": 2, "gender": "female"},
        ],
    )
    said = run(batch_here)
    assert "3 of 3 photographs done, 0 failed, 0 not done (0 by earlier runs); 2 faces inverted" in said
    found = table(Path("out"))
    assert [(row["id"], row["edit"]) for row in found] == [
        ("old", "edit_00"), ("old", "edit_01"), ("p001", "edit"), ("raw", "edit")
    ]  # fmt: skip
    assert (found[1]["asked_age"], found[3]["asked_steps.yaw"], found[0]["note_of"]) == ("60.0", "2.0", "an album")
    assert found[0]["inversion_store_key"] == found[3]["inversion_store_key"] != found[2]["inversion_store_key"]
    assert {"read_age", "before_age", "moved_yaw", "reached", "p_norm", "inversion_mse"} < set(found[0])
    keys = [f"photo={Path('photos/p001.png').absolute()}", "smile=1", "frames=3", "size=32"]
    execute(compose(*keys, *TINY, "directions=d.safetensors", "hold=0", "output_dir=one", script="edit"), "edit")
    ours = {path.name: path.read_bytes() for path in Path("out/photographs/p001").iterdir()}
    theirs = {path.name: path.read_bytes() for path in Path("one").iterdir() if path.is_file()}
    assert ours.pop("done.json") and ours.pop("timings.json") and theirs.pop("timings.json")
    assert ours == theirs
    assert {path.name for path in Path("out/thumbs/old").iterdir()} == {
        "aligned.jpg", "inversion.jpg", "edit_00.jpg", "edit_01.jpg"
    }  # fmt: skip
    assert json.loads(Path("out/batch.json").read_text())["photographs"] == {"done": 3, "failed": 0, "not done": 0}


def test_it_goes_on_and_does_anew_what_changed(batch_here: RunBatch, generator: Tiny) -> None:
    """batch.edit; a row, the directions that it names, a photograph and the run's own settings are each part of the key."""
    rows({"yaw": 1}, {"yaw": ""}, {"yaw": 0, "directions": "d.safetensors"})
    run(batch_here, "++edit.yaw=-1")
    assert [row["asked_yaw"] for row in table(Path("out"))] == ["1.0", "-1.0", "0.0"]
    assert "(3 by earlier runs); 0 faces inverted" in run(batch_here, "++edit.yaw=-1")
    rows({"yaw": 1}, {"yaw": 0.5}, {"yaw": 0, "directions": "d.safetensors"})
    assert "(2 by earlier runs); 0 faces inverted" in run(batch_here, "++edit.yaw=-1")
    Image.open("photos/p000.png").rotate(180).save("photos/p000.png", compress_level=1)
    assert "(2 by earlier runs); 1 faces inverted" in run(batch_here, "++edit.yaw=-1")
    Path("out/photographs/p001/edit.png").unlink()
    assert "(2 by earlier runs); 0 faces inverted" in run(batch_here, "++edit.yaw=-1")
    said = run(batch_here, "++edit.yaw=-2", error=UserError)
    assert "holds another job" in said and "What differs: yaw." in said
    save(Path("other.safetensors"), generator, 6)
    Path("other.safetensors").replace("d.safetensors")
    assert "What differs: directions." in run(batch_here, "++edit.yaw=-1", error=UserError)
    assert cli.quoted("edit.yaw=-1") == "++edit.yaw=-1"  # as it is typed
    assert "siblings" not in json.loads(Path("out/.hydra/job.json").read_text())["job"]


def test_a_row_s_own_directions_are_known_by_content(batch_here: RunBatch, generator: Tiny) -> None:
    save(Path("own.safetensors"), generator, 6)
    rows({"yaw": 1}, {"yaw": 1, "directions": "own.safetensors"})
    run(batch_here)
    assert "(2 by earlier runs)" in run(batch_here)
    save(Path("own.safetensors"), generator, 7)
    assert "(1 by earlier runs)" in run(batch_here)


def test_all_that_is_wrong_is_told_at_once(batch_here: RunBatch) -> None:
    write_manifest(
        Path("photographs.csv"),
        [
            {"photo": "photos/p000.png", "age": 300},
            {"photo": "photos/nobody.png", "age": 60},
            {"photo": "photos/p000.png", "yaw": "left", "gender": "boy", "paste_back": "maybe"},
            {"id": "none", "photo": "photos/p001.png", "paste_back": "true"},
            {"id": "lists", "photo": "photos/p001.png", "age": "[1,2]", "yaw": "[1,2,3]"},
            {"id": "beard", "photo": "photos/p001.png", "steps.beard": 1, "frames": 1, "face": -1},
            {"id": "nobody", "age": 60},
        ],
    )
    told = run(batch_here, error=UserError).split("\n")
    assert told[0] == "photographs.csv: 11 problems, nothing was done:"
    wanted = [
        r"row 2 \(id p000\): age=300\.0: 0 to 80 was measured",
        r"row 3 \(id nobody\): photo photos/nobody.png: no such file",
        r"row 4 \(id p000\): id p000: row 2 has it already",
        r"row 4 \(id p000\): gender=boy: choose female or male\. paste_back='maybe': expected bool\. yaw='left': expected",
        r"row 5 \(id none\): nothing is asked for\. Known: age",
        r"row 6 \(id lists\): yaw=\[3 values\] age=\[2 values\]: lists must be of one length",
        r"row 7 \(id beard\): face -1: must be a whole number, at least 0",
        r"row 7 \(id beard\): frames=1 size=512: a film needs two frames",
        r"row 7 \(id beard\): no direction called beard",
        r"row 8 \(id nobody\): photo is missing",
        r"row 8 \(id nobody\): id nobody: row 3 has it already",
    ]
    for pattern in wanted:
        assert any(re.match(pattern, line) for line in told), pattern + "\n" + "\n".join(told)
    assert not Path("out").exists() and not Path("store").exists()
    rows({"yaw": 1, "siblings": 2, "father": "x"})
    said = run(batch_here, error=UserError)
    assert "column siblings: unknown." in said and "column father: unknown." in said
    rows({"steps.beard": 1})
    assert "no direction called beard. Known: age" in run(batch_here, error=UserError)
    assert "unknown key edit.agee. Did you mean age?" in run(batch_here, "++edit.agee=3", error=UserError)
    assert "one copy for both parents" in run(batch_here, "refine=weights", "refine.together=true", error=UserError)


def test_a_failure_is_one_photograph_s(batch_here: RunBatch) -> None:
    rows({"yaw": 1}, {"yaw": 1}, {"yaw": 1})
    good = Path("photos/p001.png").read_bytes()
    Path("photos/p001.png").write_bytes(b"no picture")
    assert "2 of 3 photographs done, 1 failed" in run(batch_here, error=UserError)
    bad = table(Path("out"))[1]
    assert (bad["status"], bad["edit"], bad["photo"]) == ("failed", "", "photos/p001.png")
    assert "photos/p001.png: not an image" in bad["error"]
    assert not list(Path("out/photographs/p001").glob("*.png"))
    Path("photos/p001.png").write_bytes(good)
    assert "3 of 3 photographs done" in run(batch_here)


def test_columns_of_photographs() -> None:
    """Names stand for ids that are not said; cells mean what `edit` means by its keys."""
    write_manifest(
        Path("photographs.csv"),
        [
            {"photo": "photos/p000.png", "age": "60", "steps.yaw": -1.5, "hold": "", "note_a": "x"},
            {"photo": "photos/p001.png"},
        ],
    )
    assert read_manifest("photographs.csv", lambda settings: None).items == [
        Portrait("p000", "photos/p000.png", (("age", 60), ("steps.yaw", -1.5)), (("note_a", "x"),)),
        Portrait("p001", "photos/p001.png", (), ()),
    ]
    Path("photographs.jsonl").write_text('{"photo": "photos/p000.png", "hold": 6.0, "face": null}\n')
    (item,) = read_manifest("photographs.jsonl", lambda settings: None).items
    assert item.settings == (("hold", 6),)


@pytest.mark.weights
def test_a_row_on_the_real_generator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A photograph with another smile, back in itself."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    drawn_photograph(Path("photos/me.jpg"), real(), 3)
    write_manifest(Path("me.csv"), [{"photo": "photos/me.jpg", "steps.smile": 2, "paste_back": "true"}])
    keys = ["manifest=me.csv", "inversion.steps=1", "inversion.require=null", "threads=1", "output_dir=out"]
    execute(compose(*keys, "store.path=store", "metrics=[mse]", script="batch"), "batch")
    (row,) = table(Path("out"))
    assert float(row["read_smile"]) > float(row["before_smile"]) + 0.5 and row["verdict"]
    photo = Image.open("photos/me.jpg")
    assert Image.open("out/photographs/me/edit_pasted.png").size == photo.size

"""scripts/edit.py as a command line calls it; each of its keys moves something."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gan_inversion.commands.demo_photos import drawn_photograph
from gan_inversion.editing.edits import OFFERED, Reading
from gan_inversion.editing.files import Directions, save_directions
from gan_inversion.editing.labels import LABELS
from gan_inversion.editing.reader import fit_reader
from gan_inversion.editing.scene_reader import SceneReader
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import load_photo
from gan_inversion.interfaces import Latents
from gan_inversion.latents import save_latents
from tests.conftest import TINY, Ran, latents, real

Run = Callable[..., Ran]
BASE = ["generator=tiny", "threads=1", "directions=d.safetensors", "latents=me.safetensors", "hold=0"]

SCENE = SceneReader(
    torch.zeros(1, 2, 2), torch.zeros(5, 1, 2, 2), torch.zeros(5), torch.ones(5)
)  # `read` below is asked


def read(self: Reading, picture: torch.Tensor, names: Collection[str] = OFFERED) -> dict[str, float]:
    """Something smooth of a tiny picture for each label."""
    parts = [part.mean().item() for part in picture[0].flatten().chunk(len(OFFERED))]
    values = dict(zip(OFFERED, (10 * part for part in parts), strict=True))
    values |= {"age": 40 + 200 * parts[0], "gender": 1 / (1 + 2.718281828 ** (-20 * parts[1]))}
    return {name: values[name] for name in OFFERED if name in names}


@pytest.fixture
def me(tmp_path: Path, generator: Tiny, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stored latents, and directions for all labels; networks are replaced."""
    monkeypatch.setattr(Reading, "__call__", read)
    monkeypatch.setattr("gan_inversion.report.edit._verdict", lambda *parts: None)
    source = torch.Generator().manual_seed(5)
    reader = fit_reader(torch.randn(10, 128, generator=source), torch.rand(10, 2, generator=source) * 30)
    vectors = {name: 0.3 * torch.randn(16, generator=source) for name in OFFERED}
    directions = Directions(vectors, dict.fromkeys(LABELS, 5.0), "w", reader, SCENE)
    save_directions(tmp_path / "d.safetensors", directions, generator, {})
    save_directions(tmp_path / "other.safetensors", Directions({"age": torch.ones(16)}, {}, "w"), generator, {})
    save_latents(tmp_path / "me.safetensors", {"ws": Latents(latents(generator, 1))}, generator.sha256)
    save_latents(tmp_path / "she.safetensors", {"she": Latents(latents(generator, 2))}, generator.sha256)
    return tmp_path


def ws_of(folder: Path, name: str = "edit") -> torch.Tensor:
    return load_file(folder / "latents.safetensors")[name]


CHANGES = [
    "age=60",
    "gender=female",
    "gender=male",
    "yaw=1",
    "pitch=1",
    "smile=1",
    "eyes_open=1",
    "hair_darkness=1",
    "glasses=1",
    "glasses=0",
    "steps.age=1",
    "bound=0.5",
    "latents=she.safetensors:she",
    "directions=other.safetensors steps.age=1 yaw=null",
]


def test_each_key_moves_the_edit(run: Run, me: Path, tmp_path: Path) -> None:
    """Age, gender, yaw, pitch, smile, eyes_open, hair_darkness, glasses, steps, bound, latents and directions."""
    found = set()
    for i, change in enumerate(["yaw=-1", *CHANGES]):
        run("edit", *BASE, "yaw=-1", *change.split(), f"output_dir=out{i}")
        found.add(ws_of(tmp_path / f"out{i}").numpy().tobytes())
    assert len(found) == 1 + len(CHANGES)


def test_what_lies_in_the_folder(run: Run, me: Path, tmp_path: Path) -> None:
    done = run("edit", *BASE, "age=50", "smile=1", "output_dir=out")
    assert "age" in done.stdout and "asked for" in done.stdout and "side effect" in done.stdout
    out = tmp_path / "out"
    document = json.loads((out / "edit.json").read_text())
    one = document["edits"]["edit"]
    assert one["asked_for"] == {"age": 50, "smile": 1}
    assert set(one["before"]) == set(one["after"]) == set(OFFERED)
    assert set(one["side_effects"]) == set(OFFERED) - {"age", "smile"}
    assert {*document["files"], "edit.json"} == {path.name for path in out.iterdir() if path.is_file()}
    assert torch.equal(ws_of(out, "inversion"), load_file(me / "me.safetensors")["ws"])
    page = (out / "before_after.html").read_text()
    assert "synthetic" in page and "data:image/jpeg" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)  # nothing is asked of any network
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file() and path.name != "timings.json"}
    run("edit", *BASE, "age=50", "smile=1", "output_dir=out")
    after = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file() and path.name != "timings.json"}
    assert after == before


def test_lists_are_several_edits_and_a_film(run: Run, me: Path, tmp_path: Path) -> None:
    """frames, fps and size."""
    run("edit", *BASE, "age=[20,40,60]", "yaw=0.5", "frames=5", "fps=10", "size=32", "output_dir=out")
    out = tmp_path / "out"
    assert set(load_file(out / "latents.safetensors")) == {"inversion", "edit_00", "edit_01", "edit_02"}
    assert imageio_ffmpeg.count_frames_and_secs(str(out / "edit.mp4")) == (5, 0.5)
    assert "<select" in (out / "before_after.html").read_text()
    alone = run("edit", *BASE, "age=40", "yaw=0.5", "output_dir=alone")
    assert "<select" not in (tmp_path / "alone/before_after.html").read_text()
    assert not (tmp_path / "alone/edit.mp4").exists() and "edit:" in alone.stdout
    assert torch.equal(ws_of(out, "edit_01"), ws_of(tmp_path / "alone"))  # whatever else is made of the face
    films = {(out / "edit.mp4").read_bytes()}
    for i, change in enumerate(("frames=6", "fps=20", "size=64")):
        keys = ["age=[20,40,60]", "yaw=0.5", "frames=5", "fps=10", "size=32", change]
        run("edit", *BASE, *keys, f"output_dir=film{i}")
        films.add((tmp_path / f"film{i}/edit.mp4").read_bytes())
    assert len(films) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("age=300", "age=300.0: 0 to 80 was measured"),
        ("gender=boy", "gender=boy: choose female or male"),
        ("yaw=0 latents=null", "give one of photo=FILE and latents=FILE:NAME"),
        ("yaw=0 paste_back=true", "paste_back=true needs photo=FILE"),
        ("age=[1,2] yaw=[1,2,3]", "yaw=[3 values] age=[2 values]: lists must be of one length"),
        ("steps.beard=1", "no direction called beard. Known: age"),
        ("yaw=0 frames=1", "a film needs two frames"),
        ("directions=other.safetensors age=20", "steering needs directions for age and gender with their reader"),
        ("seed=0", "nothing is asked for. Known: age (0 to 80 years)"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(run: Run, me: Path, tmp_path: Path, changes: str, message: str) -> None:
    done = run("edit", *BASE, *changes.split(), "output_dir=out", code=1)
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_label_is_told_the_known_ones(run: Run, me: Path) -> None:
    said = run("edit", *BASE, "beard=1", code=2).stderr
    assert "unknown key beard." in said
    assert "age (0 to 80 years); gender (female or male); yaw (-3 to 3 standard deviations" in said


def test_a_photograph_is_inverted_first(run: Run, me: Path, couple: tuple[Path, Path], tmp_path: Path) -> None:
    """photo, seed and metrics; face reaches the aligner, which here has one to offer."""
    tiny = [*[line for line in TINY if not line.startswith("start")], "start=best_of", "start.near=pixel"]
    base = ["edit", "directions=d.safetensors", "yaw=1", f"photo={couple[0]}", *tiny, "inversion.steps=0"]
    for i, change in enumerate(("face=null", "seed=3", f"photo={couple[1]}")):
        run(*base, change, "metrics=[mse]", f"output_dir=out{i}")
    found = {ws_of(tmp_path / f"out{i}", "inversion").numpy().tobytes() for i in range(3)}
    assert len(found) == 3
    document = json.loads((tmp_path / "out0/edit.json").read_text())
    assert set(document["inversion"]["metrics"]) == {"mse"}
    assert np.array_equal(load_photo(tmp_path / "out0/aligned.png").pixels, load_photo(couple[0]).pixels)
    assert "photo_face=1 needs aligner=ffhq" in run(*base, "face=1", "output_dir=no", code=1).stderr


@pytest.mark.weights
def test_a_photograph_gets_its_face_back(run: Run, tmp_path: Path) -> None:
    """paste_back, on the real generator: the edit is in the photograph, and what is far from the face is untouched."""
    drawn_photograph(tmp_path / "photo.jpg", real(), 3)
    keys = ["photo=photo.jpg", "smile=1.5", "paste_back=true", "inversion.steps=1", "threads=1", "output_dir=out"]
    run("edit", *keys)
    one = json.loads((tmp_path / "out/edit.json").read_text())["edits"]["edit"]
    assert one["after"]["smile"] > one["before"]["smile"]
    assert one["identity"]["verdict"]
    photo, pasted = load_photo(tmp_path / "photo.jpg").pixels, load_photo(tmp_path / "out/edit_pasted.png").pixels
    changed = (photo != pasted).any(2)
    assert 0.03 < changed.mean() < 0.3
    assert b"compositeWithTrainedAlgorithmicMedia" in (tmp_path / "out/edit_pasted.png").read_bytes()

"""What a person opens: the sheet, the film, the folder and who may write to it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import fsspec
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from gan_inversion.batch.report import open_batch
from gan_inversion.errors import UserError
from gan_inversion.faces import masks
from gan_inversion.interfaces import AlignedFace, Step
from gan_inversion.inversion.trace import Recorder, Trace
from gan_inversion.losses.lpips import LPIPS
from gan_inversion.losses.ms_ssim import MSSSIM
from gan_inversion.losses.pixel import Pixel
from gan_inversion.report import run_folder
from gan_inversion.report.contact_sheet import ParentRow, contact_sheet
from gan_inversion.report.progress import InversionBar
from gan_inversion.report.run_folder import Clock, RunFolder, open_folder
from gan_inversion.report.trace import masks_of, plot_losses, save_trace, veiled
from gan_inversion.report.video import write_video
from gan_inversion.runtime import versions
from gan_inversion.storage import Folder
from tests.conftest import random_pixels


def plain(colour: tuple[int, int, int], size: int = 64) -> np.ndarray:
    return np.full((size, size, 3), colour, np.uint8)


def has(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(2).sum())


def test_a_way_whose_losses_change() -> None:
    """A refinement has others than the search: what a step had not is not a number, and is not drawn."""
    recorder = Recorder(1, lambda step: None)
    for i, losses in enumerate(({"delta_norm": 1.0, "total": 3.0}, {"sharp": 2.0, "total": 1.0})):
        recorder(Step(0, i, 1, losses, torch.zeros(1, 2, 3), torch.zeros(1, 3, 64, 64)))
    found = recorder.trace(0)
    assert set(found.losses) == {"delta_norm", "total", "sharp"}
    np.testing.assert_array_equal(found.losses["sharp"], [np.nan, 2.0])
    np.testing.assert_array_equal(found.losses["total"], [3.0, 1.0])
    assert len(plot_losses(found.losses).axes[0].lines) == 3


@pytest.mark.parametrize("children", [1, 2, 5])
def test_everyone_is_on_the_sheet(children: int) -> None:
    photo = np.full((40, 80, 3), (10, 20, 30), np.uint8)
    rows = [
        ParentRow(n, photo, [(2, 2), (2, 9), (9, 9), (9, 2)], plain((1, 2, i)), plain((3, 4, i)), "")
        for i, n in enumerate("ab")
    ]
    kids = {f"child {i}": plain((200, 0, i)) for i in range(children)}
    sheet = contact_sheet(rows, kids, "made by a generator")
    assert has(sheet, (10, 20, 30)) > 2 * 320 * 150  # wide photographs keep their shape
    for i in range(2):
        assert has(sheet, (1, 2, i)) == has(sheet, (3, 4, i)) == 320 * 320
    areas = [has(sheet, (200, 0, i)) for i in range(children)]
    assert min(areas) == max(areas) >= 300 * 300
    assert has(sheet, (214, 178, 94)) > 100  # the crop is outlined in the photograph


def test_a_mask_is_shown_over_the_aligned_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the losses look the photograph is itself, elsewhere it is paler; which losses those are is told."""
    left = torch.zeros(1, 1, 64, 64)
    left[..., :32] = 1
    monkeypatch.setitem(masks.MASKS, "face", lambda image: left)
    assert masks_of({"pixel": Pixel(mask="face"), "ms_ssim": MSSSIM(mask="face"), "lpips": LPIPS()}) == {
        "face": ["pixel", "ms_ssim"]
    }
    shown = veiled(plain((40, 80, 120)), ["face"])
    assert (shown[:, :32] == (40, 80, 120)).all()
    assert (shown[:, 32:] == (190, 202, 214)).all()  # 0.3 of it, the rest white


def trace() -> Trace:
    frames = np.stack([plain((i * 20, 90, 200), 256) for i in range(10)])
    return Trace(
        {"total": np.linspace(1, 0.1, 10), "pixel": np.linspace(2, 0.5, 10)}, np.zeros((10, 2, 2), "f4"), frames
    )


def test_the_film_can_be_played(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    save_trace(folder, "father", trace(), {"generator": "g"})
    names = {f"father_trace.{s}" for s in ("safetensors", "png", "mp4", "mp4.json")}
    assert {p.name for p in tmp_path.iterdir()} == folder.written == names
    assert json.loads((tmp_path / "father_trace.mp4.json").read_text())["synthetic"] is True
    video = cv2.VideoCapture(str(tmp_path / "father_trace.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 10
    ok, frame = video.read()
    assert ok
    assert frame.shape == (256, 256, 3)
    assert int(video.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little") in (b"avc1", b"h264")


def test_odd_sizes_and_bad_folders(tmp_path: Path) -> None:
    write_video(tmp_path / "odd.mp4", np.stack([random_pixels(i, 64) for i in range(3)]))
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "odd.mp4"))[0] == 3
    with pytest.raises(UserError, match="cannot be written"):
        write_video(tmp_path / "no" / "such.mp4", np.zeros((2, 64, 64, 3), np.uint8))


KILLED = """
import os, pathlib, sys
import numpy as np
from gan_inversion.report.video import write_video

class Frames:
    shape = (9, 64, 64, 3)

    def __iter__(self):
        yield np.zeros((64, 64, 3), np.uint8)
        while not list(pathlib.Path(sys.argv[1]).glob(".*.part")):
            pass
        os._exit(9)

write_video(pathlib.Path(sys.argv[1]) / "walk.mp4", Frames())
"""


@pytest.mark.processes
def test_a_killed_film_is_cleared_away(tmp_path: Path) -> None:
    path = tmp_path / "out"
    open_folder(path, {"a": 1}, {}, overwrite=False)
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=120).returncode == 9
    assert len(list(path.glob(".walk.mp4.*.part"))) == 1
    open_folder(path, {"a": 1}, {}, overwrite=False)
    assert [item.name for item in path.iterdir()] == [".hydra"]


def test_an_interrupted_film_leaves_nothing(tmp_path: Path) -> None:
    class Frames(np.ndarray):
        def __iter__(self) -> Iterator[np.ndarray]:
            yield self[0]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "walk.mp4", np.zeros((2, 64, 64, 3), np.uint8).view(Frames))
    assert not list(tmp_path.iterdir())


def finished(path: Path, job: dict[str, int]) -> RunFolder:
    folder = open_folder(path, job, {".hydra/config.yaml": "a: 1\n"}, overwrite=True)
    folder.crop("child.png", AlignedFace(plain((1, 2, 3)), "child"))
    folder.finish("family.json", {"interrupted": False})
    return folder


def test_a_folder_belongs_to_one_job(tmp_path: Path) -> None:
    path = tmp_path / "out"
    finished(path, {"a": 1})
    assert (path / ".hydra/config.yaml").read_text() == "a: 1\n"
    assert json.loads((path / "family.json").read_text())["files"] == ["child.png"]
    (path / "mine.txt").write_text("not ours")
    again = open_folder(path, {"a": 1}, {}, overwrite=False)  # the same job goes on
    assert (path / "child.png").exists()
    assert again.keeps_finished("family.json")
    with pytest.raises(UserError, match=r"holds another job. Choose another folder, or overwrite=true"):
        open_folder(path, {"a": 2}, {}, overwrite=False)
    open_folder(path, {"a": 2}, {}, overwrite=True)
    assert sorted(p.name for p in path.iterdir()) == [".hydra", "mine.txt"]  # only what the run had written went


def test_other_versions_are_no_other_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are named, wherever the folder is."""
    path, far = tmp_path / "out", fsspec.filesystem("memory")
    finished(path, {"a": 1})
    open_batch(Folder("memory://versions"), {"a": 1}, {}, overwrite=False)
    monkeypatch.setattr(run_folder, "versions", lambda: {**versions(), "torch": "99.0"})
    said = (
        rf"made with other versions \(torch {re.escape(torch.__version__)} -> 99.0\).*or make it anew by overwrite=true"
    )
    try:
        with pytest.raises(UserError, match=f"output_dir=.*/out is this job's, {said}"):
            open_folder(path, {"a": 1}, {}, overwrite=False)
        with pytest.raises(UserError, match=f"output_dir=memory://.*versions is this job's, {said}"):
            open_batch(Folder("memory://versions"), {"a": 1}, {}, overwrite=False)
        with pytest.raises(UserError, match="holds another job"):
            open_folder(path, {"a": 2}, {}, overwrite=False)
        open_folder(path, {"a": 1}, {}, overwrite=True)
        open_batch(Folder("memory://versions"), {"a": 1}, {}, overwrite=True)
    finally:
        far.store.clear()
    assert not (path / "child.png").exists()
    assert json.loads((path / run_folder.JOB).read_text())["job"]["versions"]["torch"] == "99.0"


def test_overwrite_trusts_no_list_blindly(tmp_path: Path) -> None:
    path = tmp_path / "out"
    finished(path, {"a": 1})
    (tmp_path / "escape.txt").write_text("keep")
    (path / "family.json").write_text(json.dumps({"files": ["../escape.txt", "no such", ".hydra"]}))
    (path / "package.json").write_text(json.dumps({"files": ["mine.txt"]}))
    (path / "mine.txt").write_text("keep")
    open_folder(path, {"a": 2}, {}, overwrite=True)
    assert (tmp_path / "escape.txt").exists()
    assert (path / "mine.txt").exists()
    assert (path / "package.json").exists()


def test_a_strange_folder_is_refused_even_with_overwrite(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="which no run made"):
            open_folder(tmp_path, {}, {}, overwrite)
    with pytest.raises(UserError, match="output_dir"):
        open_folder(tmp_path / "letters.txt", {}, {}, overwrite=False)


def test_inputs_are_never_overwritten(tmp_path: Path) -> None:
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"holds the input dad.jpg"):
            open_folder(tmp_path, {}, {}, overwrite, [tmp_path / "dad.jpg"])


def test_a_folder_in_which_nothing_was_finished_is_free(tmp_path: Path) -> None:
    """A first try that found no face must not bar the second."""
    path = tmp_path / "out"
    open_folder(path, {"a": 1}, {}, overwrite=False)
    (path / "father_faces.png").write_bytes(b"")
    (path / ".child.png.123.part").write_bytes(b"half")
    open_folder(path, {"a": 2}, {}, overwrite=False)
    assert not list(path.glob(".*.part"))


def test_clock_adds_up() -> None:
    clock = Clock()
    with clock("load"):
        pass
    first = clock.seconds["load"]
    with pytest.raises(ValueError, match="halfway"), clock("load"):
        time.sleep(0.01)
        raise ValueError("halfway")
    assert clock.seconds["load"] >= first + 0.01
    assert list(clock.seconds) == ["load"]


def test_bar_counts_steps_of_all_faces(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    with InversionBar(2, 1) as bar:
        for step in range(2):
            for face in range(2):
                bar(Step(face, step, 1, {"lpips": 0.5, "total": 0.75}, torch.empty(0), torch.empty(0)))
    text = capsys.readouterr().err
    assert "4/4" in text
    assert "loss 0.750 | lpips 0.500" in text

"""Albums: one decoded photograph at a time, and what is finished is not replaced by what was cut short."""

from __future__ import annotations

import dataclasses
import gc
import json
import weakref
from pathlib import Path

import numpy as np
import pytest

from gan_inversion.errors import UserError
from gan_inversion.faces.centre import CentreCrop
from gan_inversion.generators.tiny import Tiny
from gan_inversion.image import Photo, load_photo, save_photo_crop
from gan_inversion.interfaces import AlignedFace
from gan_inversion.report import album
from gan_inversion.report.run_folder import open_folder
from gan_inversion.store.inversions import Failed, Inverted
from gan_inversion.store.store import Record
from tests.conftest import drawn, make_inverter, random_pixels


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, Path]:
    """Four, of which one is none."""
    for i, name in enumerate("acd"):
        save_photo_crop(tmp_path / "photos" / f"{name}.png", random_pixels(i, 80))
    (tmp_path / "photos" / "b.jpg").write_bytes(b"no picture")
    return album.find_photos([str(tmp_path / "photos")])


def test_one_decoded_photograph_at_a_time(photos: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = []

    def load(path: Path) -> Photo:
        photo = load_photo(path)
        alive.append(weakref.ref(photo.pixels))
        gc.collect()
        most.append(sum(one() is not None for one in alive))
        return photo

    monkeypatch.setattr(album, "load_photo", load)
    faces, failures = album.load_and_align(photos, CentreCrop(64), None)
    assert most == [1, 1, 1]
    assert [face.name for face in faces] == ["a", "c", "d"]
    assert list(failures) == ["b"]
    assert "b.jpg: not an image" in failures["b"]


def test_a_job_is_known_by_files_before_they_are_decoded(photos: dict[str, Path]) -> None:
    faces, _ = album.load_and_align(photos, CentreCrop(64), None)
    hashes = album.hashes_of({**photos, "gone": Path("gone.png")})
    assert list(hashes) == ["a", "b", "c", "d"]
    assert {face.name: face.photo_sha256 for face in faces} == {name: hashes[name] for name in "acd"}


def test_a_photograph_without_a_face_is_told(photos: dict[str, Path]) -> None:
    class Nobody:
        def __call__(
            self, photo: Photo, name: str, face: int | None = None, preview: Path | None = None
        ) -> AlignedFace:
            raise UserError(f"{photo.name}: no face")

    faces, failures = album.load_and_align(photos, Nobody(), None)
    assert (faces, list(failures)) == ([], ["a", "b", "c", "d"])


def test_a_finished_album_is_not_replaced_by_a_shorter_one(
    generator: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inverter, faces = make_inverter(generator, steps=2), [drawn(generator, i, name) for i, name in enumerate("ab")]
    whole = [
        Inverted(face, Record(one, {"mse": 0.5}), "k", False)
        for face, one in zip(faces, inverter(faces, [0, 0]), strict=True)
    ]
    cut = dataclasses.replace(whole[0].record.inversion, stopped="interrupted")
    half = [dataclasses.replace(whole[0], record=dataclasses.replace(whole[0].record, inversion=cut))]
    folder = open_folder(tmp_path / "out", {}, {}, False)
    for found in (half, whole[:1]):  # cut short in the midst of a face, or between two
        rows = album.save_all(folder, ["a", "b"], found, [], {}, inverter)
        assert rows["b"]["status"] == "interrupted"
        assert json.loads((tmp_path / "out/metrics.json").read_text())["interrupted"]
    album.save_all(folder, ["a", "b"], whole, [], {}, inverter)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    for found in (half, whole[:1], []):
        with pytest.raises(KeyboardInterrupt):
            album.save_all(folder, ["a", "b"], found, [], {}, inverter)
    assert "the finished result of an earlier run is kept" in caplog.text
    assert before == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} != {}
    # a failure is no interruption
    assert album.save_all(folder, ["a", "b"], whole[:1], [Failed(faces[1], "why")], {}, inverter)["b"]["error"] == "why"

"""What can go wrong in a batch, each done for real: it is named, it stops nobody else, and nothing finished is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from tests.batches import command, finish, fork, make_manifest, make_photos, results_of, table, write_manifest

pytestmark = pytest.mark.processes


def png_header_only(width: int, height: int) -> bytes:
    """A valid PNG of one colour: a few kilobytes that decode to hundreds of megabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    squeeze = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    data = b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_bad_photographs_are_named_and_the_others_done(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    names = make_photos(photos, 6)
    bad = {
        "noise": (b"\x00\x01 not a picture", "not an image that can be read"),
        "cut": ((photos / names[0]).read_bytes()[:400], "damaged"),
        "empty": (b"", "the file is empty"),
        "bomb": (png_header_only(13_000, 12_000), "156 megapixels; the limit for PNG is 120"),
        "oblong": (None, "is not square"),
    }
    for name, (data, _) in bad.items():
        if data is None:
            Image.fromarray(np.zeros((64, 128, 3), np.uint8)).save(photos / f"{name}.png")
        else:
            (photos / f"{name}.png").write_bytes(data)
    rows = [{"id": f"good{i}", "father": f"photos/{names[i]}", "mother": f"photos/{names[i + 3]}"} for i in range(3)]
    rows += [{"id": name, "father": f"photos/{names[0]}", "mother": f"photos/{name}.png"} for name in bad]
    write_manifest(tmp_path / "couples.csv", rows)
    arguments = command(tmp_path / "couples.csv", "out", "store")
    said = finish(fork(arguments, tmp_path), code=1)
    assert "3 of 8 couples done, 5 failed, 0 not done" in said
    assert "out/report.html" in said
    told = {row["id"]: row for row in table(tmp_path / "out")}
    assert {name for name, row in told.items() if row["status"] == "done"} == {"good0", "good1", "good2"}
    for name, (_, message) in bad.items():
        assert message in told[name]["error"], name
        assert f"{name}.png" in told[name]["error"]
        assert (tmp_path / "out/couples" / name / "failed.json").exists()

    # the same command tries nothing again; retry_failed does; and a mended photograph is seen without it
    again = finish(fork(arguments, tmp_path), code=1)
    assert "8 by earlier runs" in again
    shutil.copy(photos / names[4], photos / "cut.png")
    mended = finish(fork(arguments, tmp_path), code=1)
    assert "4 of 8 couples done, 4 failed, 0 not done (7 by earlier runs)" in mended
    retried = finish(fork([*arguments, "retry_failed=true"], tmp_path), code=1)
    assert "(4 by earlier runs)" in retried


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes: a couple and a half."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk of its own")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_stops_the_batch_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    manifest = make_manifest(tmp_path / "couples.csv", 20, make_photos(tmp_path / "photos", 10))
    arguments = command(manifest, small_disk / "out", "store")
    said = finish(fork(arguments, tmp_path), code=1)
    assert "cannot be written (No space left on device). Free some space or choose another folder." in said
    assert "of 20 couples are done and kept; then the same command goes on" in said
    done = list((small_disk / "out" / "couples").glob("*/done.json"))
    assert 0 < len(done) < 20
    assert not list((small_disk / "out" / "couples").glob("*/failed.json"))  # no couple is to blame
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    said = finish(fork(arguments, tmp_path))
    assert f"({len(done)} by earlier runs)" in said
    finish(fork(command(manifest, tmp_path / "calm", "store2"), tmp_path))
    assert results_of(small_disk / "out") == results_of(tmp_path / "calm")


def test_a_read_only_disk_is_named_at_once(tmp_path: Path, small_disk: Path) -> None:
    manifest = make_manifest(tmp_path / "couples.csv", 2, make_photos(tmp_path / "photos", 3))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    said = finish(fork(command(manifest, small_disk / "out", "store"), tmp_path), code=1)
    assert "disk/out" in said
    assert "Read-only file system" in said
    assert not (tmp_path / "store").exists()  # nothing was computed for nothing


def test_a_corrupt_store_entry_is_made_again(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "couples.csv", 6, make_photos(tmp_path / "photos", 4))
    finish(fork(command(manifest, "out", "store"), tmp_path))
    for kind, suffix in (("inversions", "safetensors"), ("faces", "png")):
        victim = sorted((tmp_path / "store" / kind).glob(f"*/*.{suffix}"))[0]
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 16
        victim.write_bytes(data)
    said = finish(fork(command(manifest, "out2", "store"), tmp_path))
    assert said.count("is damaged (its checksum differs): set aside, made again") == 2
    assert "1 faces inverted, 3 found in the store" in said
    assert results_of(tmp_path / "out") == results_of(tmp_path / "out2")


def test_a_second_run_of_another_blend_takes_no_step(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "couples.csv", 6, make_photos(tmp_path / "photos", 4))
    assert "4 faces inverted" in finish(fork(command(manifest, "out", "store"), tmp_path))
    said = finish(fork(command(manifest, "out2", "store", "blend.weight=0.2"), tmp_path))
    assert "0 faces inverted, 4 found in the store" in said


def test_killed_workers_lose_nothing(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "couples.csv", 12, make_photos(tmp_path / "photos", 10))
    finish(fork(command(manifest, "calm", "store_calm"), tmp_path))
    process = fork(command(manifest, "out", "store", "runner.workers=2", "inversion.steps=3"), tmp_path)
    killed: list[int] = []
    while process.poll() is None and len(killed) < 2:
        for child in children_of(process.pid):
            if child not in killed and len(killed) < 2 and (tmp_path / "out" / "couples").exists():
                os.kill(child, signal.SIGKILL)
                killed.append(child)
        time.sleep(0.05)
    said = finish(process)
    assert len(killed) == 2
    assert "a worker died (exit code -9)" in said
    assert results_of(tmp_path / "out") == results_of(tmp_path / "calm")


def children_of(pid: int) -> list[int]:
    """Worker processes: those that multiprocessing spawned, not its resource tracker."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            try:
                text = Path(f"/proc/{child}/cmdline").read_bytes()
            except OSError:
                continue
            if b"spawn_main" in text:
                found.append(int(child))
    return found


def test_ctrl_c_ends_cleanly_and_goes_on(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path / "couples.csv", 30, make_photos(tmp_path / "photos", 20))
    arguments = command(manifest, "out", "store")
    process = fork(arguments, tmp_path)
    while not list((tmp_path / "out" / "couples").glob("*/done.json")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = finish(process, code=130)
    states = [row["status"] for row in table(tmp_path / "out")]
    assert 0 < states.count("done") < 30
    assert set(states) == {"done", "not done"}
    assert f"{states.count('done')} of" in said
    assert (tmp_path / "out" / "report.html").exists()
    said = finish(fork(arguments, tmp_path))
    assert "30 of 30 couples done" in said


@pytest.mark.weights
def test_no_face_is_a_failure_and_two_faces_a_warning(tmp_path: Path) -> None:
    """By the real detector: one photograph without a face, one with two, of which the row may choose."""
    woman = astronaut()
    (tmp_path / "photos").mkdir()
    pictures = {
        "one": woman,
        "none": np.full((300, 300, 3), 127, np.uint8),
        "two": np.hstack([woman, woman[:, ::-1]]),
    }
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    rows = [
        {"id": "faceless", "father": "photos/one.png", "mother": "photos/none.png"},
        {"id": "pair", "father": "photos/one.png", "mother": "photos/two.png"},
    ]
    write_manifest(tmp_path / "couples.csv", rows)
    arguments = [
        a for a in command(tmp_path / "couples.csv", "out", "store", "aligner=ffhq") if a != "aligner=prealigned"
    ]
    arguments.remove("aligner.check=false")
    said = finish(fork(arguments, tmp_path), code=1)
    assert "1 of 2 couples done, 1 failed" in said
    told = {row["id"]: row for row in table(tmp_path / "out")}
    assert "none.png: no face found" in told["faceless"]["error"]
    assert "two.png: 2 faces; number" in told["pair"]["warnings"]

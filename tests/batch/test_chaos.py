"""A batch that is killed again and again ends as if nothing had happened, file by file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.batches import command, files_of, finish, make_manifest, make_photos, start

COUPLES, KILLS, PHOTOS = 200, 20, 40


@pytest.mark.processes
def test_killed_twenty_times(tmp_path: Path) -> None:
    """200 couples, SIGKILL to the whole process group at 20 random moments; the moments are drawn anew each time."""
    photos = make_photos(tmp_path / "photos", PHOTOS)
    manifest = make_manifest(tmp_path / "couples.csv", COUPLES, photos, siblings=lambda i: 1 + i % 2)
    calm_place, place = tmp_path / "calm", tmp_path / "chaos"
    for folder in (calm_place, place):
        folder.mkdir()
    arguments = command(manifest, "out", "store")
    begin = time.perf_counter()
    finish(start(arguments, calm_place))
    calm = time.perf_counter() - begin

    seed = random.randrange(10**6)
    draw, done, kills = random.Random(seed), [], 0
    print(f"seed {seed}; undisturbed {calm:.1f} s")
    while kills < KILLS:
        process = start(arguments, place)
        assert process.stderr is not None
        wait_for_work(process, place / "out")
        # soon enough that twenty lives do not finish the work, late enough that each does some
        time.sleep(draw.uniform(0, calm / 16))
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
        done.append(len(list((place / "out" / "couples").glob("*/done.json"))))
    print(f"couples done after each kill: {done}")
    assert kills >= KILLS, f"the batch was finished after {kills} kills: {done}"
    assert len(set(done)) >= KILLS / 2  # the kills came in the midst of work
    said = finish(start(arguments, place))
    assert f"{COUPLES} of {COUPLES} couples done" in said
    assert files_of(place / "out") == files_of(calm_place / "out")
    assert files_of(place / "store").keys() >= files_of(calm_place / "store").keys()  # and perhaps files half written


def wait_for_work(process: subprocess.Popen[str], out: Path) -> None:
    """Until this life has written something: a kill before that would try the start of Python only."""
    before = newest(out)
    while process.poll() is None and newest(out) == before:
        time.sleep(0.02)


def newest(out: Path) -> float:
    couples = out / "couples"
    return max((path.stat().st_mtime_ns for path in couples.iterdir()), default=0) if couples.exists() else 0

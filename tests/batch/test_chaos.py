"""A batch that is killed again and again ends as if nothing had happened, file by file."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.batches import command, files_of, finish, fork, make_manifest, make_photos
from tests.forks import Forked

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
    finish(fork(arguments, calm_place))

    seed = random.randrange(10**6)
    draw, done, kills = random.Random(seed), [], 0
    print(f"seed {seed}")
    while kills < KILLS:
        process = fork(arguments, place)
        # in couples, so that twenty lives do not finish the work on any machine; then somewhere within the next couple
        wait_for_work(process, place / "out", draw.randint(1, COUPLES // KILLS // 2))
        time.sleep(draw.uniform(0, 0.1))
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
        done.append(len(finished(place / "out")))
    print(f"couples done after each kill: {done}")
    assert kills >= KILLS, f"the batch was finished after {kills} kills: {done}"
    assert len(set(done)) >= KILLS / 2  # the kills came in the midst of work
    said = finish(fork(arguments, place))
    assert f"{COUPLES} of {COUPLES} couples done" in said
    assert files_of(place / "out") == files_of(calm_place / "out")
    assert files_of(place / "store").keys() >= files_of(calm_place / "store").keys()  # and perhaps files half written


def wait_for_work(process: Forked, out: Path, couples: int) -> None:
    """Until this life has finished so many couples: a kill before the first would try the start of Python only."""
    before = finished(out)
    while process.poll() is None and len(finished(out) - before) < couples:
        time.sleep(0.01)


def finished(out: Path) -> set[str]:
    return {path.parent.name for path in (out / "couples").glob("*/done.json")}

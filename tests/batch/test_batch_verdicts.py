"""Which inversions a batch accepts: by `inversion.require` and by the network that judges, both part of what it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gan_inversion.errors import UserError
from gan_inversion.interfaces import Step
from gan_inversion.metrics.reconstruction import OF_IMAGES
from gan_inversion.report.progress import BatchBar
from tests.batches import RunBatch, make_manifest, make_photos, table

DLIB, FACERES = "identity_dlib", "identity_faceres"


class Judges:
    """What the networks say of every face, and which of them is there."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.say(FACERES, faceres=0.95, dlib=0.1)

    def say(self, judge: str, faceres: float, dlib: float) -> None:
        self.patch.setattr("gan_inversion.commands.common.judge", lambda: judge)
        self.patch.setitem(OF_IMAGES, FACERES, lambda a, b: faceres)
        self.patch.setitem(OF_IMAGES, DLIB, lambda a, b: dlib)


@pytest.fixture
def judges(monkeypatch: pytest.MonkeyPatch) -> Judges:
    return Judges(monkeypatch)


def couples(count: int) -> None:
    make_manifest(Path("couples.csv"), count, make_photos(Path("photos"), 3))


def told(out: str = "out") -> list[tuple[str, Any]]:
    return [(row["status"], row.get("father_verdict")) for row in table(Path(out))]


def test_an_inversion_that_was_cut_short_is_no_failure(
    batch_here: RunBatch, judges: Judges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody yet, after two steps; the same person, once it is finished."""
    couples(2)
    steps: list[Step] = []

    def stop(self: BatchBar, step: Step) -> None:
        steps.append(step)
        if len(steps) == 3:
            raise KeyboardInterrupt

    person = ["inversion.require=same_person", "inversion.steps=5"]
    with monkeypatch.context() as patch:
        patch.setattr(BatchBar, "step", stop)
        judges.say(FACERES, faceres=0.3, dlib=0.9)
        batch_here(*person, error=KeyboardInterrupt)
    assert {status for status, _ in told()} == {"not done"}
    assert not list(Path("out").rglob("failed.json"))
    judges.say(FACERES, faceres=0.95, dlib=0.9)
    assert "2 of 2 couples done" in batch_here(*person)


def test_what_is_required_is_part_of_the_job(batch_here: RunBatch, judges: Judges) -> None:
    """Couples are accepted or refused anew, and no step is made again."""
    couples(2)
    judges.say(FACERES, faceres=0.3, dlib=0.1)
    batch_here("inversion.require=warn")
    assert told() == [("done", "someone else")] * 2
    said = batch_here("inversion.require=same_person", error=UserError)
    assert "holds another job" in said and "What differs: require." in said
    assert told() == [("done", "someone else")] * 2
    batch_here("inversion.require=same_person", "overwrite=true", error=UserError)
    assert [status for status, _ in told()] == ["failed"] * 2
    remedy = re.search(r"accept it with ([\w.]+=\w+) (overwrite=true)\.", table(Path("out"))[0]["error"])
    assert remedy is not None
    assert "2 of 2 couples done, 0 failed, 0 not done (0 by earlier runs); 0 faces inverted" in batch_here(
        *remedy.groups()
    )


def test_the_judge_is_part_of_the_job(batch_here: RunBatch, judges: Judges) -> None:
    couples(1)
    judges.say(DLIB, faceres=0.95, dlib=0.1)
    batch_here("inversion.require=warn")
    assert table(Path("out"))[0]["father_verdict_network"] == "dlib"
    judges.say(FACERES, faceres=0.95, dlib=0.1)
    assert "What differs: judge." in batch_here("inversion.require=warn", error=UserError)
    batch_here("inversion.require=warn", "overwrite=true")
    assert table(Path("out"))[0]["father_verdict_network"] == "FaceRes"


def test_the_judge_is_that_of_the_run_whatever_the_store_has(batch_here: RunBatch, judges: Judges) -> None:
    couples(1)
    judges.say(FACERES, faceres=0.95, dlib=0.55)
    batch_here("inversion.require=warn", f"metrics=[{FACERES},{DLIB}]")
    judges.say(DLIB, faceres=0.95, dlib=0.55)
    said = batch_here("inversion.require=same_person", out="strict", error=UserError)
    assert "0 faces inverted" in said
    assert "a look-alike (dlib 0.55)" in table(Path("strict"))[0]["error"]


def test_the_page_knows_the_status_of_the_judge(batch_here: RunBatch, judges: Judges) -> None:
    couples(1)
    judges.say(DLIB, faceres=0.95, dlib=0.1)
    batch_here("inversion.require=warn", "metrics=[mse]")
    (statuses,) = re.findall(r'"statuses":\s*(\{[^}]*\})', Path("out/report.html").read_text())
    assert f'"{DLIB}"' in statuses

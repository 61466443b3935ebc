"""A batch in this process, for tests that make something happen in the middle of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.batches import RunBatch
from tests.composed import compose, execute
from tests.conftest import CHILD, TINY


@pytest.fixture
def batch_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunBatch:
    """Run a batch; returns what it said."""
    monkeypatch.chdir(tmp_path)

    def call(
        *more: str, manifest: str = "couples.csv", out: str = "out", error: type[BaseException] | None = None
    ) -> str:
        where = [f"manifest={manifest}", f"output_dir={out}", "store.path=store"]
        values = compose(*where, *TINY, *CHILD, *more, script="batch")
        if error is None:
            execute(values, "batch")
            return capsys.readouterr().out
        with pytest.raises(error) as caught:
            execute(values, "batch")
        return capsys.readouterr().out + str(caught.value)

    return call

"""A short run of `fuzz.py`: no traceback, in seconds. The long one: `python -m tests.odd.fuzz 300`."""

from __future__ import annotations

import time

import pytest

from tests.odd.fuzz import MEGABYTES, SECONDS, files, fuzz


@pytest.mark.parametrize("kind", files())
def test_damaged_files_are_read_or_refused(kind: str) -> None:
    told = fuzz(kind, 12, until=time.monotonic() + 3)
    assert told.wrong == []
    assert told.read + told.refused > 0
    assert told.slowest < SECONDS
    assert told.megabytes < MEGABYTES

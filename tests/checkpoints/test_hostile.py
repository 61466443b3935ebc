"""Hostile files are refused by one clear error each: nothing runs, and neither memory nor time is taken."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.checkpoints.hostile import hostile_files, measured_elsewhere

FILES = list(hostile_files())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return measured_elsewhere(tmp_path_factory.mktemp("hostile"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and reads /proc")
@pytest.mark.parametrize("name", FILES)
def test_hostile_files(name: str, results: dict[str, dict[str, Any]]) -> None:
    found = results[name]
    assert found["raised"] == "UserError", found
    assert "file.bin: " in found["message"]
    assert len(found["message"]) < 700
    assert found["message"].isprintable()
    assert not found["canary"]
    assert found["seconds"] < 5
    assert found["peak"] < 2 * found["size"] + 64e6

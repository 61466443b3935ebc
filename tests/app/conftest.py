"""A page of the tiny generator, served once, and a browser to open it in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.app.browser import Browser
from tests.conftest import CHILD, ROOT

SAID = [
    "generator=tiny",
    "aligner=centre",
    "start=mean",
    "losses=[pixel,delta_norm]",
    "inversion.steps=100",
    "inversion.require=null",
    *CHILD,
]


@dataclass(frozen=True)
class Served:
    url: str
    temporary: Path  # where its process puts what is temporary
    process: subprocess.Popen[str]

    @property
    def files(self) -> list[Path]:
        """All that lies there of visits."""
        found = [
            Path(place) / name for place, _, names in os.walk(self.temporary) for name in names
        ]  # some may be going
        return [path for path in found if not path.name.startswith("drawn_")]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """By the command line, as people start it."""
    pytest.importorskip("gradio", reason="gradio is not installed: there is no page")
    shutil.which("chromium") or pytest.skip("chromium is not installed: the page is not opened")
    place = tmp_path_factory.mktemp("served")
    command = [sys.executable, "-m", "gan_inversion", "app", *SAID, "port=0", "threads=1", "megabytes=1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(place)}
    with open(place.with_suffix(".log"), "w") as log:
        process = subprocess.Popen(command, cwd=place, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout
        told = process.stdout.readline()
        assert told.startswith("page: "), place.with_suffix(".log").read_text()
        yield Served(told.split()[1], place, process)
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def browser(served: Served) -> Iterator[Browser]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = Browser(Path(folder))
        yield made
        made.close()
        time.sleep(0.2)

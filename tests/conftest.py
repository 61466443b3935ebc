"""Shared by all tests. Unit tests use the tiny generator; those marked `weights` need `make setup`."""

from __future__ import annotations

import dataclasses
import functools
import logging
import multiprocessing
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_inversion.generators.mobile_stylegan import MobileStyleGAN, ffhq
from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.image import to_uint8
from gan_inversion.interfaces import AlignedFace
from gan_inversion.inversion.inverter import Inverter
from gan_inversion.inversion.loop import Optimiser
from gan_inversion.inversion.starts import Mean
from gan_inversion.losses.pixel import Pixel
from gan_inversion.losses.prior import DeltaNorm
from gan_inversion.runtime import configure
from gan_inversion.spaces.w_plus import WPlus
from tests import composing, forks

ROOT = Path(__file__).resolve().parents[1]
MEMORY = Path("/dev/shm")  # of Linux: a folder that is on no disk
ROOM = 4e9  # bytes; all tests together keep a quarter of that at a time


# Tests that share a costly fixture, or whose moments another's load would move: of each group one at a time, on one worker.
GROUPS = {
    "tests/execution/test_ray.py": "ray",
    "tests/report/test_batch_page.py": "chromium",
    "tests/report/test_atlas.py": "chromium",
    "tests/checkpoints/test_hostile.py": "hostile",
    "tests/test_storage.py": "storage",
}
KILLS = ("ctrl_c", "killed", "kills")  # in the names of tests


def group_of(nodeid: str) -> str:
    """Of a test's id; a test without a group is its own. By id: who hands out the tests does not know their marks."""
    file, _, name = nodeid.partition("::")
    return GROUPS.get(file) or ("kills" if any(word in name for word in KILLS) else nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadgroup`, by `group_of`. xdist's own way, a suffix of the id, is lost with pytest 9.2."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling  # here: without xdist all run in one process

    class Grouped(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Grouped(config, log)


def pytest_configure() -> None:
    """Temporary folders in memory, where there is enough: a disk takes 10 ms for each of 20,000 files."""
    if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ["TMPDIR"] = str(MEMORY)  # workers and what they start have it too
        tempfile.tempdir = None  # what was found before


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones begin first, so that the short ones fill the end."""
    items.sort(key=_length)


def _length(item: pytest.Item) -> int:
    marks = {mark.name for mark in item.iter_markers()}
    return 0 if "rerun" in marks else 1 if "weights" in marks else 2 if marks & {"processes", "slow"} else 3


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def composed_once() -> Iterator[None]:
    """No test changes a file of `configs/`, and no config sets `hydra.mode`, which the first composition finds out."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, replacement in composing.once():
            patch.setattr(owner, name, replacement)
        yield


@pytest.fixture(scope="session")
def generator() -> Tiny:
    return tiny()


@pytest.fixture
def loaded_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of `runner.workers` are forked from a process that has imported all, instead of new interpreters."""
    context = forks.loaded_workers()
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)


@functools.cache
def real() -> MobileStyleGAN:
    """The real generator, read once, in a process that keeps its memory as scripts do: tests may not change it."""
    configure(1)
    return ffhq()


def drawn(generator: Tiny, seed: int, name: str = "") -> AlignedFace:
    """A face in the generator's range, whose latents are known: `latents(generator, seed)`."""
    with torch.no_grad():
        return AlignedFace(to_uint8(generator.synthesis(latents(generator, seed)[None])), name or f"face{seed}")


def latents(generator: Tiny, seed: int) -> torch.Tensor:
    z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return generator.mapping(z).repeat(generator.num_ws, 1)


def make_inverter(generator: Tiny, **changes: object) -> Inverter:
    """The tiny generator, pixels and the row prior, ten steps on true pictures; keywords replace parts."""
    losses = {"pixel": Pixel(weight=1.5, sizes=(32,)), "delta_norm": DeltaNorm()}
    optimise = Optimiser(10, (), (), learning_rate=0.18, betas=(0.9, 0.999), warmup=5, hold=0.5)
    inverter = Inverter(generator, WPlus(0.0), Mean(), losses, optimise)
    optimiser = {k: v for k, v in changes.items() if k in {f.name for f in dataclasses.fields(Optimiser)}}
    parts = {k: v for k, v in changes.items() if k not in optimiser}
    return dataclasses.replace(inverter, optimiser=dataclasses.replace(inverter.optimiser, **optimiser), **parts)


TINY = [
    "generator=tiny",
    "aligner=prealigned",
    "aligner.check=false",
    "start=mean",
    "losses=[pixel,delta_norm]",
    "metrics=[mse,psnr,ms_ssim,p_norm]",
    "inversion.steps=3",
    "inversion.require=null",
    "threads=1",
]
CHILD = [
    "inherit.path=null",
    "inherit.people=null",
    "child.age=null",
    "child.gender=null",
]  # what a generator without directions needs


@pytest.fixture
def couple(tmp_path: Path, generator: Tiny) -> tuple[Path, Path]:
    """Two picture files of tiny "faces"."""
    from gan_inversion.image import save_photo_crop

    paths = tmp_path / "dad.png", tmp_path / "mum.png"
    for seed, path in enumerate(paths):
        save_photo_crop(path, drawn(generator, seed).pixels)
    return paths


@dataclasses.dataclass(frozen=True)
class Ran:
    stdout: str
    stderr: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a script as its command line would, in an empty folder, and check its exit code."""
    monkeypatch.chdir(tmp_path)

    def call(script: str, *arguments: str, code: int = 0, **env: str) -> Ran:
        capfd.readouterr()
        path = ROOT / "scripts" / f"{script}.py"
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        found: object = 0
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as stop:
            found = stop.code or 0
        finally:
            logging.captureWarnings(False)
            for name in env:
                monkeypatch.delenv(name)
        ran = Ran(*capfd.readouterr())
        assert found == code, f"exit code {found}\n{ran.stdout}\n{ran.stderr}"
        return ran

    return call


def random_pixels(seed: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)

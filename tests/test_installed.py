"""The package away from its clone: configs and small weights travel inside it, and each command composes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gan_inversion.commands import COMMANDS, PLACES
from tests.conftest import ROOT

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what a wheel holds."""
    wheels, place = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = tmp_path_factory.mktemp("source") / "clone"  # building leaves folders behind
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, source], check=True)
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source], check=True, capture_output=True
    )
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", place, wheel], check=True, capture_output=True)
    return place


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(installed), "GAN_INVERSION_WEIGHTS": "", "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, "-m", "gan_inversion", *arguments]
    return subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, check=False)


def test_all_commands_are_listed_in_groups(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    for heading, commands in COMMANDS.items():
        assert f"{heading}:" in done.stdout
        assert all(f"\n  {name} " in done.stdout for name in commands)


def test_a_command_runs(installed: Path, tmp_path: Path) -> None:
    """With the installed configs, and nothing of the clone."""
    done = run(installed, tmp_path, "find_directions", "generator=tiny", "method=sefa", "count=2", "threads=1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/directions/directions.safetensors").is_file()
    assert str(ROOT) not in (tmp_path / "runs/directions/.hydra/config.yaml").read_text()


def test_small_weights_are_inside_and_fetched_ones_go_to_the_cache(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "fetch_weights", "list=true")
    assert done.returncode == 0, done.stderr
    assert "encoder_mobile_stylegan_ffhq" in done.stdout
    assert (installed / "gan_inversion/weights/encoder_mobile_stylegan_ffhq.safetensors").is_file()
    missing = run(installed, tmp_path, "demo_photos")
    assert missing.returncode == 1
    assert str(tmp_path / "gan_inversion") in missing.stderr, "where it belongs is said"


def test_configs_of_all_commands_are_inside(installed: Path) -> None:
    assert {path.stem for path in (installed / "gan_inversion/configs").glob("*.yaml")} == set(PLACES)

"""scripts/interpolate.py as a command line calls it; each of its keys moves something."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest
from PIL import Image

from gan_inversion.generators.tiny import Tiny, tiny
from gan_inversion.interfaces import Latents
from gan_inversion.latents import save_latents
from tests.conftest import ROOT, Ran, latents

Run = Callable[..., Ran]
BASE = [
    "generator=tiny",
    "threads=1",
    "latents=[family/latents.safetensors]",
    "equal_speed=false",
    "frames=4",
    "fps=10",
    "size=64",
    "easing=linear",
    "path=lerp",
]


@pytest.fixture
def family(tmp_path: Path, generator: Tiny) -> Path:
    """A family of two children, of whom one inherited by region."""
    stops = {name: Latents(latents(generator, seed)) for seed, name in enumerate(("father", "child_00", "mother"))}
    offset = 0.1 * generator.styles(latents(generator, 4)[None])[0]
    stops["child_01"] = Latents(latents(generator, 3), offset)
    path = tmp_path / "family" / "latents.safetensors"
    save_latents(path, stops, generator.sha256)
    return path


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_family_s_walk(run: Run, family: Path, tmp_path: Path) -> None:
    assert "walk: out/walk.mp4" in run("interpolate", *BASE, "output_dir=out").stdout
    out = tmp_path / "out"
    document = json.loads((out / "walk.json").read_text())
    assert [stop["name"] for stop in document["settings"]["latents"]] == ["father", "child_00", "child_01", "mother"]
    assert document["positions"] == [i / 4 for i in range(13)]
    assert document["generator_licence"]
    assert {*document["files"], "walk.json"} == set(results(out))
    assert "latents.safetensors" not in (out / "walk.json").read_text()  # inputs by hash, no path
    assert imageio_ffmpeg.count_frames_and_secs(str(out / "walk.mp4")) == (13, 1.3)
    with Image.open(out / "walk.gif") as film:
        assert (film.size, film.n_frames) == ((64, 64), 13)
    before = results(out)
    run("interpolate", *BASE, "output_dir=out")  # the same job goes on, to the same bits
    assert results(out) == before


CHANGES = [
    "latents=[family/latents.safetensors:father,family/latents.safetensors:mother]",
    "latents=[family/latents.safetensors:mother,family/latents.safetensors:father]",
    "path=p_lerp",
    "path=slerp",
    "frames=5",
    "fps=11",
    "size=32",
    "easing=smooth",
    "loop=true",
    "generator.seed=1",
]


def test_each_key_moves_the_film(run: Run, family: Path, tmp_path: Path) -> None:
    run("interpolate", *BASE, "output_dir=base")
    films = {(tmp_path / "base/walk.mp4").read_bytes()}
    for i, change in enumerate(CHANGES):
        if change.startswith("generator"):
            save_latents(family, {n: Latents(latents(tiny(1), s)) for s, n in enumerate("ab")}, tiny(1).sha256)
        run("interpolate", *BASE, change, f"output_dir=out{i}")
        films.add((tmp_path / f"out{i}/walk.mp4").read_bytes())
    assert len(films) == 1 + len(CHANGES)


def test_a_loop_returns_without_a_stutter(run: Run, family: Path, tmp_path: Path) -> None:
    run("interpolate", *BASE, "loop=true", "output_dir=out")
    positions = json.loads((tmp_path / "out/walk.json").read_text())["positions"]
    assert (positions[0], positions[-1], len(positions)) == (0, 4, 17)
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "out/walk.mp4"))[0] == 16  # the first is not repeated


def test_a_folder_is_replaced_only_when_told(run: Run, family: Path, tmp_path: Path) -> None:
    run("interpolate", *BASE, "output_dir=out")
    assert "holds another job" in run("interpolate", *BASE, "frames=5", "output_dir=out", code=1).stderr
    run("interpolate", *BASE, "frames=5", "output_dir=out", "overwrite=true")
    assert len(json.loads((tmp_path / "out/walk.json").read_text())["positions"]) == 16
    assert "holds the input" in run("interpolate", *BASE, "output_dir=family", code=1).stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("path=zigzag", "path=zigzag: choose one of lerp, slerp, p_lerp"),
        ("easing=bouncy", "easing=bouncy: choose one of linear, smooth"),
        ("size=63", "size=63: an even number is needed"),
        ("size=30", "size=30: must be at least 32"),
        ("frames=1", "frames=1: must be at least 2"),
        ("fps=0", "fps=0: must be at least 1"),
        ("probes=1", "probes=1: must be at least 2"),
        ("latents=[family/latents.safetensors:father]", "at least two, not 1"),
        ("latents=[]", "at least two, not 0"),
        ("generator.seed=1", "family/latents.safetensors: these latents belong to another generator"),
        ("device=cuda:7", "device=cuda:7 cannot be used here"),
        ("threads=0", "threads=0: must be at least 1"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(
    run: Run, family: Path, tmp_path: Path, change: str, message: str
) -> None:
    done = run("interpolate", *BASE, change, "output_dir=out", code=1)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_is_drawn_at_random(run: Run) -> None:
    assert "unknown key seed" in run("interpolate", *BASE, "seed=1", code=2).stderr


def test_help_waits_for_no_torch() -> None:
    script = str(ROOT / "scripts/interpolate.py")
    code = f"import runpy, sys; sys.argv = ['x', '--help']; runpy.run_path({script!r}, run_name='__main__'); "
    code += "assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "latents: ???" in done.stdout


@pytest.mark.weights
def test_equal_speed(run: Run, family: Path, tmp_path: Path) -> None:
    documents = {}
    for probes in (2, 8):
        run("interpolate", *BASE, "equal_speed=true", f"probes={probes}", "frames=8", f"output_dir=out{probes}")
        documents[probes] = json.loads((tmp_path / f"out{probes}/walk.json").read_text())
    document = documents[8]
    assert document["positions"] != documents[2]["positions"]
    assert len(document["step_lpips"]) == len(document["positions"]) - 1
    ratios = document["max_to_mean_step"]
    assert ratios["after"] < ratios["before"]
    assert ratios["film"] == pytest.approx(
        max(document["step_lpips"]) * len(document["step_lpips"]) / sum(document["step_lpips"])
    )
    assert set(document["positions"]) >= {0, 1, 2, 3}
    before = results(tmp_path / "out8")
    run("interpolate", *BASE, "equal_speed=true", "probes=8", "frames=8", "output_dir=again")
    again = results(tmp_path / "again")
    assert [name for name in again if again[name] != before[name]] == []

"""The trainings, the encoder's command and the benchmark, as a command line calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, TINY, Ran

Run = Callable[..., Ran]
FREE = [line for line in TINY if line != "start=mean"]
TRUE = 'inversion.previews=[],"inversion.previews_until=[]"'
RECIPES = {  # benchmark's three: the two that it has, and one more
    "recipes.plain": "inversion.steps=6",
    "recipes.default": "inversion.steps=6",
    "+recipes.fast": "inversion.steps=2",
}
SMALL = ["held_out=2", "batch=2", "steps=4", "threads=1", "generator=tiny"]


@pytest.mark.weights
def test_train_preview_heads(run: Run, tmp_path: Path) -> None:
    """Trained twice, the second time with nothing left to do: the same file."""
    arguments = ["train_preview_heads", *SMALL, "generator.resolution=256", "resolutions=[64]", "output_dir=heads"]
    arguments += ["samples_dir=samples", "samples=12"]
    run(*arguments)
    first = (tmp_path / "heads/preview_heads.safetensors").read_bytes()
    run(*arguments)
    assert (tmp_path / "heads/preview_heads.safetensors").read_bytes() == first
    document = json.loads((tmp_path / "heads/metrics.json").read_text())
    assert document["steps"] == 4
    assert document["held_out"]["psnr_64"] > 0
    assert Image.open(tmp_path / "heads/curve.png").size == (900, 500)
    done = run(*arguments, "steps=5", code=1)
    assert "holds another job" in done.stderr


@pytest.mark.weights
def test_train_encoder_and_start_from_it(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    run("train_encoder", *SMALL, "output_dir=enc", "steps=2", "passes=2")
    document = json.loads((tmp_path / "enc/metrics.json").read_text())
    assert set(document["held_out"]) == {"unexplained", "mse", "lpips_alex", "lpips_vgg", "identity_faceres"}
    encoder = "start.path=enc/encoder.safetensors"
    run(
        "encode",
        f"photos=[{couple[0]}]",
        *[line for line in FREE if "steps" not in line],
        encoder,
        "output_dir=encoded",
    )
    row = json.loads((tmp_path / "encoded/metrics.json").read_text())["photos"]["dad"]
    assert row["metrics"]["mse"]["status"] == "optimised"  # the encoder was trained by it
    run("invert", f"photos=[{couple[0]}]", *FREE, encoder, "output_dir=inv", "store.path=null")
    assert json.loads((tmp_path / "inv/metrics.json").read_text())["photos"]["dad"]["steps"] == 3


def test_benchmark(run: Run, couple: tuple[Path, Path], tmp_path: Path) -> None:
    done = run(
        "benchmark",
        f"photos=[{couple[0]},{couple[1]}]",
        "generator=tiny",
        "aligner=prealigned",
        "aligner.check=false",
        "metrics=[mse,ms_ssim]",
        "points=3",
        "threads=1",
        *(f"{key}=[losses=[pixel],start=mean,{TRUE},{more}]" for key, more in RECIPES.items()),
        "output_dir=bench",
    )
    assert "means (*: optimised by that recipe)" in done.stdout
    document = json.loads((tmp_path / "bench/benchmark.json").read_text())
    assert {name: rows["dad"]["steps"] for name, rows in document["faces"].items()} == {
        "plain": 6,
        "default": 6,
        "fast": 2,
    }
    assert document["mean"]["plain"]["mse"] < document["mean"]["fast"]["mse"]
    for rows in document["faces"].values():
        curve = rows["mum"]["curve"]
        assert len(curve) == 3
        assert curve[0]["seconds"] < curve[-1]["seconds"]
    (cost,) = document["steps"]["plain"]
    assert cost["resolution"] == 64
    assert cost["gigaflops"] > 0
    assert document["spread"]["plain"]["ratio"]["median"] == 1
    assert "mse at equal time" in done.stdout and "seconds at equal quality" in done.stdout
    assert f"processor {document['hardware']['processor']}" in done.stdout
    assert Image.open(tmp_path / "bench/benchmark.png").size == (900, 500)


@pytest.mark.parametrize("script", sorted(path.stem for path in (ROOT / "scripts").glob("*.py")))
def test_help_does_not_wait_for_torch(script: str) -> None:
    """The work imports its tools when it begins, so --help is there at once."""
    code = f"""
import runpy, sys
sys.argv = ["{script}", "--help"]
runpy.run_path("scripts/{script}.py", run_name="__main__")
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("# ")

"""Names that changed are understood for one version, and said once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gan_inversion.cli import renamed
from tests.conftest import Ran

NOTES = {
    "row_distance": "row_distance is called delta_norm now\n",
    "runner.batch": "runner.batch is called runner.batch_size now\n",
    "batch": "batch is called batch_size now\n",
    "none": "none is called prealigned now\n",
}


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("losses=[pixel,row_distance]", "losses=[pixel,delta_norm]", "row_distance"),
        ("losses.row_distance.weight=2", "losses.delta_norm.weight=2", "row_distance"),
        ("metrics=[row_distance,mse,row_distance]", "metrics=[delta_norm,mse,delta_norm]", "row_distance"),
        ("+recipes.a=['losses=[row_distance]']", "+recipes.a=['losses=[delta_norm]']", "row_distance"),
        ("runner.batch=1", "runner.batch_size=1", "runner.batch"),
        ("~runner.batch", "~runner.batch_size", "runner.batch"),
        ("+recipes.a=[runner.batch=1]", "+recipes.a=[runner.batch_size=1]", "runner.batch"),
        ("runner={batch: 2}", "runner={batch_size: 2}", "batch"),
        ("runner={workers: 1,batch: 2}", "runner={workers: 1,batch_size: 2}", "batch"),
        ("losses={row_distance: {weight: 2}}", "losses={delta_norm: {weight: 2}}", "row_distance"),
        ("recipes.row_distance=[losses.row_distance.weight=1]", "recipes.row_distance=[losses.delta_norm.weight=1]",
         "row_distance"),
        ("recipes={row_distance: ['losses=[pixel,row_distance]','metrics=[row_distance]']}",
         "recipes={row_distance: ['losses=[pixel,delta_norm]','metrics=[delta_norm]']}", "row_distance"),
        ("aligner=none", "aligner=prealigned", "none"),
        ("aligner=ffhq,none", "aligner=ffhq,prealigned", "none"),
    ],
)  # fmt: skip
def test_an_old_name_is_told_once(old: str, new: str, note: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert renamed([old, "seed=1", old]) == [new, "seed=1", new]
    assert capsys.readouterr().err == NOTES[note]


@pytest.mark.parametrize(
    "same",
    ["output_dir=row_distance", "photos=[row_distance.png]", "runner.batch_size=2", "store.path=none", "-m",
     "recipes.row_distance=[]", "~recipes.row_distance", "recipes={row_distance: [start=mean]}", "runner={batch_size: 2}"],
)  # fmt: skip
def test_what_is_only_called_so_stays(same: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert renamed([same]) == [same]
    assert capsys.readouterr().err == ""


def test_a_command_line_of_last_year(run: Callable[..., Ran], couple: tuple[Path, Path], tmp_path: Path) -> None:
    old = ["aligner=none", "aligner.check=false", "losses=[pixel,row_distance]", "losses.row_distance.weight=0.5",
           "metrics=[mse,row_distance]", "runner.batch=1", "start=mean", "inversion.steps=1",
           "inversion.require=null"]  # fmt: skip
    done = run("invert", f"photos=[{couple[0]}]", "generator=tiny", "threads=1", *old, "output_dir=out")
    told = [NOTES[name].strip() for name in ("row_distance", "runner.batch", "none")]
    assert [line for line in done.stderr.splitlines() if "is called" in line] == told
    row = json.loads((tmp_path / "out/metrics.json").read_text())["photos"]["dad"]
    assert set(row["metrics"]) == {"mse", "delta_norm"}

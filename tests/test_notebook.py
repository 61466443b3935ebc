"""notebooks/family.ipynb: nothing that it made is committed, and its cells run, here on the tiny generator."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import gan_inversion as gi
from gan_inversion.image import load_photo
from tests.conftest import ROOT

NOTEBOOK = json.loads((ROOT / "notebooks/family.ipynb").read_text())
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
PARAMETERS = """
from gan_inversion.generators.tiny import tiny
generator = tiny()
seeds = {"father.jpg": 1, "mother.jpg": 2}
drawn_by = {"generator": "tiny"}
settings = {"aligner": "centre", "start": "mean", "losses": ["pixel", "delta_norm"], "threads": 1,
            "metrics": ["mse"], "inversion": {"steps": 2, "require": None}}
heredity = {"inherit": {"path": None, "people": None}, "child": {"age": None, "gender": None}}
"""  # in place of the cell with this tag, as papermill would do it


def source_of(cell: dict[str, Any]) -> str:
    return PARAMETERS if "parameters" in cell["metadata"].get("tags", ()) else "".join(cell["source"])


def test_nothing_that_it_made_is_in_it() -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CODE)
    assert sum("parameters" in cell["metadata"].get("tags", ()) for cell in CODE) == 1


def test_its_cells_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for cell in CODE:
        body = ast.parse(source_of(cell)).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None  # what the notebook would show
        exec(compile(ast.Module(body, []), "cell", "exec"), names)
        if last is not None:
            assert isinstance(last, ast.Expr)
            shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
    assert [type(one).__name__ for one in shown] == ["Run", "dict", "Picture", "Picture", "Run"]
    assert shown[0]._repr_png_() and shown[2]._repr_png_() and shown[4]._repr_html_()
    assert load_photo(tmp_path / "quarter.png").pixels.shape == (64, 64, 3)
    assert names["gi"] is gi

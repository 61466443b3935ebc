"""Tables that unfold, cells that are formulas, folders that others could read, storages that nobody meant."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gan_inversion.batch.folder import is_whole, read_json
from gan_inversion.batch.manifest import read_manifest
from gan_inversion.batch.manifest_cells import value_of
from gan_inversion.batch.tables import csv_of, parquet_of, read_rows
from gan_inversion.errors import UserError
from gan_inversion.report.run_folder import _read
from gan_inversion.storage import Folder
from tests.conftest import TINY, Ran

BOMB = "[&a [x,x,x,x,x,x,x,x,x], &b [*a,*a,*a,*a,*a,*a,*a,*a], &c [*b,*b,*b,*b,*b,*b,*b], [*c,*c,*c,*c,*c,*c]]"


@pytest.mark.parametrize(
    "text", [BOMB, "&a [*a]", "[&a [*a]]", "*a", "9" * 5000, "[" * 900, "[" * 900 + "]" * 900, "{a: 1}"]
)
def test_cells_that_are_no_values_are_text(text: str) -> None:
    assert value_of(text) == text


def test_cells_that_are_values() -> None:
    assert value_of("[2, 8, 16]") == [2, 8, 16]
    assert value_of("[a, 1.5, [true]]") == ["a", 1.5, [True]]
    assert [value_of(text) for text in ("1.0e+3", "true", "~", "07", "x*y")] == [1000.0, True, None, 7, "x*y"]


def lines(*cells: dict[str, Any]) -> bytes:
    return "\n".join(json.dumps(cell) for cell in cells).encode()


def deep(depth: int) -> str:
    return '{"id": "a", "child.age": ' + "[" * depth + "]" * depth + "}"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "m.jsonl",
            lines({"id": "a"}, {"child.age": 10**400}),
            "row 2: column child.age: a number of more than 30 digits",
        ),
        ("m.jsonl", b'{"id": ' + b"9" * 5000 + b"}", "row 1: it is not JSON"),
        ("m.jsonl", deep(50).encode(), "row 1: column child.age: a list of more than 1,000, or nested deeper than 4"),
        ("m.jsonl", deep(100_000).encode(), "row 1: it is not JSON"),
        ("m.jsonl", lines({"a": [0] * 2000}), "row 1: column a: a list of more than 1,000"),
        ("m.csv", b"id,note_a\na," + b"x" * 20_000, "row 2: column note_a: 20,000 characters; the limit is 10,000"),
        ("m.csv", b"id,a\nb," + b"x" * 200_000, "m.csv: the row from line 2 on cannot be read"),
        ("m.csv", b",".join(b"%d" % i for i in range(5000)) + b"\n1", "m.csv: 5,000 columns; the limit is 1,000"),
    ],
)
def test_bounds_name_row_and_column(name: str, data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        for _, row in read_rows(name, data):
            if isinstance(row, UserError):
                raise row


def parquet(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def test_a_small_parquet_of_many_rows_is_refused_before_it_is_built() -> None:
    rows = parquet(pa.table({"id": pa.nulls(20_000_000, pa.string())}), compression="zstd")
    assert len(rows) < 100_000
    begin = time.process_time()
    with pytest.raises(UserError, match=r"m.parquet: 20,000,000 rows; the limit is 2,000,000"):
        list(read_rows("m.parquet", rows))
    assert time.process_time() - begin < 1


def test_one_long_text_in_every_row_of_a_parquet() -> None:
    text = pa.array(["x" * 1_000_000]).dictionary_encode()
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), text.dictionary)
    data = parquet(pa.table({"id": column.cast(pa.dictionary(pa.int32(), pa.string()))}), compression="zstd")
    assert len(data) < 200_000
    with pytest.raises(UserError, match=r"column id: (more than 10,000|1,000,000) characters"):
        for _, row in read_rows("m.parquet", data):
            if isinstance(row, UserError):
                raise row


def test_ordinary_parquets_are_read_as_before() -> None:
    table = pa.table({"id": ["a", None, "c"], "child.age": [1.5, float("nan"), 3.0], "l": [[1, 2], [], None]})
    found = [row for _, row in read_rows("m.parquet", parquet(table))]
    assert found == [{"id": "a", "child.age": 1.5, "l": [1, 2]}, {"l": []}, {"id": "c", "child.age": 3.0}]


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1"])
def test_formulas_are_text_in_csv_and_untouched_in_parquet(text: str) -> None:
    rows = [{"id": "a", "note_x": text, "p": -1.5}]
    ((_, found),) = read_rows("m.csv", csv_of(rows))
    assert csv_of(rows).decode().partition("\n")[2].lstrip('a,"').startswith("'")
    assert found["p"] == "-1.5"
    assert pq.read_table(io.BytesIO(parquet_of(rows)))["note_x"].to_pylist() == [text]


@pytest.mark.parametrize(
    "scheme", ["reference", "http", "https", "ftp", "ssh", "zip", "simplecache::s3", "github", "x"]
)
def test_other_schemes_are_named_and_refused(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{scheme}:// is not opened"):
        Folder(f"{scheme}://127.0.0.1/a").read("x")
    (tmp_path / "m.csv").write_text(f"id,father,mother\na,{scheme}://127.0.0.1/a.jpg,{scheme}://127.0.0.1/b.jpg\n")
    with pytest.raises(UserError, match=rf"row 2 .*{scheme}:// is not opened"):
        read_manifest(str(tmp_path / "m.csv"), lambda settings: None)


def test_colons_in_names_are_names(tmp_path: Path) -> None:
    Folder(str(tmp_path / "a::b")).write("x", b"1")
    assert (tmp_path / "a::b" / "x").read_bytes() == b"1"


def test_state_files_of_any_content_are_none(tmp_path: Path) -> None:
    for text in ("[" * 100_000, '{"a":' * 100_000, "[]", "3", "\xff", "", "{"):
        (tmp_path / "done.json").write_bytes(text.encode("latin1"))
        assert read_json(Folder(str(tmp_path)), "done.json") == {}
        assert _read(tmp_path / "done.json") == {}
    for files in ({"a": 3}, {"a": [1]}, {"a": None}):
        assert not is_whole(Folder(str(tmp_path)), None, {"files": files, "thumbs": {}, "rows": []}, True)  # type: ignore[arg-type]


@pytest.mark.parametrize("private", [True, False])
def test_run_folders_and_stores_are_their_user_s_alone(
    tmp_path: Path, run: Callable[..., Ran], couple: tuple[Path, Path], private: bool
) -> None:
    before = os.umask(0o022)
    try:
        run("invert", *TINY, f"photos=[{couple[0]}]", f"output_dir={tmp_path}/out", f"store.path={tmp_path}/store",
            f"private={private}")  # fmt: skip
    finally:
        os.umask(before)
    made = [path for top in ("out", "store") for path in (tmp_path / top, *(tmp_path / top).rglob("*"))]
    assert len(made) > 10
    assert {path.stat().st_mode & 0o077 == 0 for path in made} == {private}

"""Tables: what is written is read again, the same rows are the same bytes, and damage is named by file and row."""

from __future__ import annotations

import datetime
import io
import json
import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_inversion.batch.tables import csv_of, parquet_of, read_rows, text_of, without_formula
from gan_inversion.errors import UserError


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def rows(name: str, data: bytes | str) -> list[tuple[int, Any]]:
    return list(read_rows(name, data.encode() if isinstance(data, str) else data))


# ------------------------------------------------------------------ in


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("mark", [",", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_of_any_spreadsheet(bom: str, mark: str, end: str) -> None:
    lines = [["id", "father", "note_x"], ["1", " dad.jpg ", '"a,b;c"'], ["", "", ""], ["2", "", "Zoë"], ["3"]]
    data = bom + end.join(mark.join(line) for line in lines) + end
    expected = [(2, {"id": "1", "father": "dad.jpg", "note_x": "a,b;c"}), (4, {"id": "2", "note_x": "Zoë"})]
    assert rows("a.CSV", data) == [*expected, (5, {"id": "3"})]


def test_csv_rows_are_numbered_by_the_lines_of_the_file() -> None:
    assert rows("a.csv", '\nid,note_x\n1,"two\nlines"\n\n2,b\n') == [
        (4, {"id": "1", "note_x": "two\nlines"}),
        (6, {"id": "2", "note_x": "b"}),
    ]


@pytest.mark.parametrize("data", ["", "\n\n", "id,father\n", ";;\n"])
def test_csv_without_rows(data: str) -> None:
    assert rows("a.csv", data) == []


def test_marks_within_quotes_do_not_count() -> None:
    assert rows("a.csv", '"note_a,b,c";id\n1;2\n') == [(2, {"note_a,b,c": "1", "id": "2"})]


def test_csv_may_end_its_header_with_a_comma() -> None:
    assert rows("a.csv", "id,father,\n1,a.jpg,\n") == [(2, {"id": "1", "father": "a.jpg"})]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"id,father\n1,a.jpg\n2,Zo\xeb.jpg\n", "c.csv: line 3 is not UTF-8. Save the file as UTF-8"),
        ("id,father\n1,a.jpg\n".encode("utf-16"), "c.csv: line 1 is not UTF-8"),
        (b"id,father,id\n1,a.jpg,2\n", "c.csv: column id is there twice. Rename or remove one."),
        (b'id,father\n1,a.jpg\n2,"b.jpg\n3,c.jpg\n', "c.csv: the row from line 3 on cannot be read: .* quotation mark"),
        (b'id,father\n1,"a"b.jpg\n', "c.csv: the row from line 2 on cannot be read"),
    ],
)
def test_damaged_csv(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rows("c.csv", data)


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("c.csv", b"2,b,c.jpg", "row 3: 3 cells, the header has 2. Put quotes around"),
        ("c.jsonl", b'{"id": 1', "row 3: it is not JSON .* Write one object a line."),
        ("c.jsonl", b'{"id": NaN}', r"row 3: it is not JSON \(NaN is no number\)"),
        ("c.jsonl", b"[1, 2]", r"row 3: it is no JSON object: \[1, 2\]. Write one object a line."),
        ("c.jsonl", b'{"id": 1, "id": 2}', r"row 3: it is not JSON \(a name is there twice\)"),
        ("c.jsonl", b"[" * 100_000, "row 3: it is not JSON"),
    ],
)
def test_a_bad_row_is_named_and_the_others_read(name: str, row: bytes, message: str) -> None:
    good = [b"id,father", b"1,a.jpg", b"3,c.jpg"] if name.endswith("csv") else [b"", b'{"id": 1}', b'{"id": 3}']
    found = list(read_rows(name, b"\n".join([*good[:2], row, good[2]])))
    assert [number for number, _ in found] == [2, 3, 4]
    assert [str(one["id"]) for _, one in found[::2] if isinstance(one, dict)] == ["1", "3"]
    bad = found[1][1]
    assert isinstance(bad, UserError)
    assert re.match(message, str(bad))


def test_a_column_without_a_name() -> None:
    ((number, reason),) = rows("c.csv", "id,\n1,a\n")
    assert number == 2 and "row 2: 'a' is in a column without a name" in str(reason)


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson"])
def test_json_lines(name: str) -> None:
    data = '\ufeff{"id": 1, "father": null, "x": [1, 2.5, true]}\r\n\n  \n{"id": "a\u2028b"}'
    assert rows(name, data) == [(1, {"id": 1, "x": [1, 2.5, True]}), (4, {"id": "a\u2028b"})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id": "\xff"}', "a.jsonl: line 2 is not UTF-8"),
    ],
)
def test_damaged_json_lines(line: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rows("a.jsonl", b'{"id": 0}\n' + line + b"\n")


def test_parquet_in() -> None:
    table = pa.table({"id": [1, 2], "father": ["a.jpg", None], "child.ages": [[2, 8], None]})
    assert rows("a.parquet", parquet(table)) == [
        (1, {"id": 1, "father": "a.jpg", "child.ages": [2, 8]}),
        (2, {"id": 2}),
    ]


def test_damaged_parquet() -> None:
    data = parquet(pa.table({"id": list(range(1000))}))
    for damaged in (b"", b"PAR1", data[: len(data) // 2], b"id\n1\n", data[:40] + b"\xff" * 60 + data[100:]):
        with pytest.raises(
            UserError, match=r"a.parquet: no Parquet file, or damaged after row \d+ \(.+\). Write it again"
        ):
            rows("a.parquet", damaged)
    twice = parquet(pa.table([pa.array([1]), pa.array([2])], names=["id", "id"]))
    with pytest.raises(UserError, match=r"a.parquet: column id is there twice"):
        rows("a.parquet", twice)


def test_other_files() -> None:
    with pytest.raises(
        UserError, match=r"couples.xlsx: not a table that can be read. Use .csv, .jsonl, .ndjson, .parquet"
    ):
        read_rows("couples.xlsx", b"")


# ------------------------------------------------------------------ out

ROWS = [
    {"id": "a", "whole": 1, "mixed": 1, "flag": True, "odd": 1},
    {"id": 'b "q", c', "whole": None, "mixed": 0.1, "flag": False, "odd": "x", "late": [1, {"a": None}]},
    {},
]


def test_columns_and_types() -> None:
    table = pq.read_table(io.BytesIO(parquet_of(ROWS)))
    kinds = {"id": "string", "whole": "int64", "mixed": "double", "flag": "bool", "odd": "string", "late": "string"}
    assert {field.name: str(field.type) for field in table.schema} == kinds
    assert table.column_names == list(kinds)
    assert table.to_pylist()[1] == {
        "id": 'b "q", c', "whole": None, "mixed": 0.1, "flag": False, "odd": "x", "late": '[1, {"a": null}]'
    }  # fmt: skip
    assert set(table.to_pylist()[2].values()) == {None}


def test_csv_by_hand() -> None:
    assert csv_of(ROWS).decode() == (
        'id,whole,mixed,flag,odd,late\na,1,1.0,true,1,\n"b ""q"", c",,0.1,false,x,"[1, {""a"": null}]"\n,,,,,\n'
    )


def test_empty_tables() -> None:
    assert csv_of([]) == b""
    assert rows("a.csv", csv_of([])) == rows("a.parquet", parquet_of([])) == []
    assert csv_of([{"a": None}]) == b'a\n""\n'
    assert pq.read_table(io.BytesIO(parquet_of([{"a": None}]))).to_pylist() == [{"a": None}]


def test_odd_values_cost_no_table() -> None:
    """A name that is not UTF-8, a number that no column holds, a date: text."""
    odd = [{"a": "\udcff.jpg", "b": 2**80, "c": datetime.date(2026, 1, 2), "d": float("nan"), "\udcff": 1}]
    texts = {"a": "\\udcff.jpg", "b": str(2**80), "c": "2026-01-02", "d": "nan", "\\udcff": "1"}
    assert rows("a.csv", csv_of(odd)) == [(2, texts)]
    ((_, found),) = rows("a.parquet", parquet_of(odd))
    del texts["d"]  # NaN is what data frames write for an empty cell
    assert {key: text_of(value) for key, value in found.items()} == texts


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)
NAMES = TEXT.filter(lambda text: text and text == text.strip() and not {";", "\ufeff"} & set(text))
NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats())
VALUES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT, st.lists(st.integers(), max_size=2))
COLUMN = st.one_of(*(st.lists(st.one_of(st.none(), v), min_size=3, max_size=3) for v in (NUMBERS, TEXT, VALUES)))
TABLES = st.dictionaries(NAMES, COLUMN, min_size=1, max_size=4).map(
    lambda columns: [{name: column[i] for name, column in columns.items()} for i in range(3)]
)


@settings(deadline=None)
@given(TABLES)
def test_what_is_written_is_read(table: list[dict[str, Any]]) -> None:
    data = parquet_of(table)
    assert data == parquet_of(json.loads(json.dumps(table)))
    assert csv_of(table) == csv_of(json.loads(json.dumps(table)))
    expected: list[dict[str, Any]] = [{} for _ in table]
    for name in table[0]:
        kinds = {type(row[name]) for row in table if row[name] is not None}
        become = (
            float if kinds == {int, float} else text_of if len(kinds) > 1 or kinds == {list} else lambda value: value
        )
        for row, before in zip(expected, table, strict=True):
            if before[name] is not None:
                row[name] = become(before[name])
    read = [{name: value for name, value in row.items() if value == value} for row in expected]  # NaN is an empty cell
    assert repr([row for _, row in rows("a.parquet", data)]) == repr(read)
    columns = {name: without_formula(name) for name in table[0]}
    texts = [
        {columns[name]: without_formula(v).strip() for name, v in row.items() if text_of(v).strip()} for row in expected
    ]
    assert [row for _, row in rows("a.csv", csv_of(table))] == [row for row in texts if row]


def test_line_ends_in_cells() -> None:
    assert csv_of([{"a": "1\r\n2\r3"}]) == b'a\n"1\n2\n3"\n'

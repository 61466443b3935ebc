"""Rows in and out: CSV, JSON lines and Parquet, told apart by the file's ending."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UserError

FORMATS = (".csv", ".jsonl", ".ndjson", ".parquet")
INT64 = range(-(2**63), 2**63)
ROWS_AT_ONCE = 1_000  # of Parquet turned into Python objects, so that a large file needs little memory
LARGEST = 300_000_000  # bytes of a table
ROWS, COLUMNS, CELL, ITEMS, DEPTH = (
    2_000_000,
    1_000,
    10_000,
    1_000,
    4,
)  # CELL: characters; ITEMS: of a list in one
DIGITS = 10**30  # a whole number is below
SIGNED = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?")
FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "＝",
    "＋",
    "－",
    "＠",
)  # what spreadsheets take for the start of one (OWASP)


Row = dict[str, Any]


def read_rows(name: str, data: bytes) -> Iterator[tuple[int, Row | UserError]]:
    """The rows of a file with these bytes, by number: the line in CSV (header: 1) and JSON lines, in Parquet from 1.

    Absent are: empty cells of CSV, all of whose cells are text and stripped, null elsewhere, and NaN in Parquet, which
    data frames write for empty cells. A row that cannot be understood is the UserError that says why. Blank lines are no
    rows. A row of CSV that fills several lines has the number of its last.

    Raises UserError, with the file and the row, for what leaves the rows after it unknown.
    """
    lower = name.lower()
    if lower.endswith(".csv"):
        return _read_csv(name, data)
    if lower.endswith((".jsonl", ".ndjson")):
        return _read_json_lines(name, data)
    if lower.endswith(".parquet"):
        return _read_parquet(name, data)
    raise UserError(f"{name}: not a table that can be read. Use {', '.join(FORMATS)}.")


def columns_of(name: str, data: bytes) -> list[str]:
    """What a table's head names; none of JSON lines, which have no head. Raises UserError for what is damaged."""
    lower = name.lower()
    if lower.endswith(".csv"):
        text = _text(name, data)
        with contextlib.suppress(csv.Error):  # reading the rows tells of it
            rows = csv.reader(text, delimiter=_mark(text), strict=True)
            return next((row for row in ([cell.strip() for cell in cells] for cells in rows) if any(row)), [])
    if lower.endswith(".parquet"):
        try:
            return list(pq.read_schema(io.BytesIO(data)).names)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UserError(f"{name}: no Parquet file ({str(error).partition(chr(10))[0]}). Write it again.") from error
    return []


def _mark(text: io.TextIOWrapper) -> str:
    """What stands between cells, by the first line that is not blank."""
    first = next((line for line in text if line.strip()), "")
    text.seek(0)
    return max(",;", key=lambda mark: len(next(csv.reader([first], delimiter=mark), "")))


def _text(name: str, data: bytes) -> io.TextIOWrapper:
    try:
        data.decode()  # all of it: a wrapper decodes as it goes, and could not say where it failed
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{name}: line {line} is not UTF-8. Save the file as UTF-8 (Excel: 'CSV UTF-8').") from error
    return io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")


def _check_names(name: str, columns: Sequence[str]) -> None:
    if len(columns) > COLUMNS:
        raise UserError(f"{name}: {len(columns):,} columns; the limit is {COLUMNS:,}.")
    twice = [column for column, times in Counter(columns).items() if times > 1 and column]
    if twice:
        raise UserError(f"{name}: column {twice[0]} is there twice. Rename or remove one.")


def _read_csv(name: str, data: bytes) -> Iterator[tuple[int, Row | UserError]]:
    text = _text(name, data)
    header: list[str] = []
    begins = 1
    try:
        lines = csv.reader(text, delimiter=_mark(text), strict=True)
        for cells in lines:
            begins = lines.line_num + 1  # of the row that comes next
            row = [cell.strip() for cell in cells]
            if not any(row):  # spreadsheets leave lines of nothing but commas
                continue
            if not header:
                header = row
                _check_names(name, header)
                continue
            if len(row) > len(header):
                reason = f"row {lines.line_num}: {len(row)} cells, the header has {len(header)}."
                yield lines.line_num, UserError(f"{reason} Put quotes around a cell with a comma or semicolon in it.")
                continue
            found = {column: cell for column, cell in zip(header, row, strict=False) if cell}
            if problem := _too_much(lines.line_num, found):
                yield lines.line_num, problem
                continue
            if "" in found:
                nameless = f"row {lines.line_num}: {found['']!r} is in a column without a name. Name it."
                yield lines.line_num, UserError(nameless)
                continue
            yield lines.line_num, found
    except csv.Error as error:
        reason = f"{error}. Look for a quotation mark too many or too few"
        raise UserError(f"{name}: the row from line {begins} on cannot be read: {reason}.") from error


def _read_json_lines(name: str, data: bytes) -> Iterator[tuple[int, Row | UserError]]:
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)
    for number, line in enumerate(_text(name, data), 1):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line.strip())
        except (ValueError, RecursionError) as error:
            yield number, UserError(f"row {number}: it is not JSON ({error}). Write one object a line.")
            continue
        if not isinstance(row, dict):
            yield (
                number,
                UserError(f"row {number}: it is no JSON object: {line.strip()[:40]}. Write one object a line."),
            )
            continue
        yield number, _too_much(number, row) or {key: value for key, value in row.items() if value is not None}


def _too_much(number: int, row: Row) -> UserError | None:
    """What no cell needs: long texts and lists, lists in lists in lists, numbers of hundreds of digits."""
    if len(row) > COLUMNS:
        return UserError(f"row {number}: {len(row):,} cells; the limit is {COLUMNS:,}.")
    for column, value in row.items():
        if problem := _problem(value, 0):
            return UserError(f"row {number}: column {text_of(column)[:60]}: {problem}.")
    return None


def _problem(value: Any, depth: int) -> str:
    if isinstance(value, str | bytes) and len(value) > CELL:
        return f"{len(value):,} characters; the limit is {CELL:,}"
    if isinstance(value, int) and abs(value) >= DIGITS:
        return f"a number of more than {len(str(DIGITS)) - 1} digits"
    if isinstance(value, list | tuple | Mapping):
        if depth == DEPTH or len(value) > ITEMS:
            return f"a list of more than {ITEMS:,}, or nested deeper than {DEPTH}"
        parts = value.values() if isinstance(value, Mapping) else value
        return next(filter(None, (_problem(part, depth + 1) for part in parts)), "")
    return ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _parquet(name: str, data: bytes) -> pq.ParquetFile:
    """Opened, and small enough: a few bytes can stand for millions of equal rows. Texts stay stored once each."""
    schema = pq.read_schema(io.BytesIO(data))
    _check_names(name, schema.names)
    texts = [one.name for one in schema if pa.types.is_string(one.type) or pa.types.is_large_string(one.type)]
    file = pq.ParquetFile(io.BytesIO(data), read_dictionary=texts)
    parts = (file.metadata.row_group(i) for i in range(min(file.metadata.num_row_groups, ROWS)))
    cells = max((part.column(j).num_values for part in parts for j in range(part.num_columns)), default=0)
    rows = max(file.metadata.num_rows, cells // ITEMS)
    if rows > ROWS:
        raise UserError(f"{name}: {rows:,} rows; the limit is {ROWS:,}. Divide it.")
    return file


def _length(text: pa.StringScalar) -> int:
    buffer = text.as_buffer()
    return 0 if buffer is None else int(buffer.size)


def _read_parquet(name: str, data: bytes) -> Iterator[tuple[int, Row | UserError]]:
    number = 0
    try:
        file = _parquet(name, data)
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, use_threads=False):
            for column, values in zip(batch.schema.names, batch.columns, strict=True):
                if pa.types.is_dictionary(values.type) and max(map(_length, values.dictionary), default=0) > CELL:
                    raise UserError(
                        f"{name}: row {number + 1} or later: column {column}: more than {CELL:,} characters."
                    )
            for row in batch.to_pylist():
                number += 1
                found = {key: value for key, value in row.items() if value is not None and value == value}  # no NaN
                yield number, _too_much(number, found) or found
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{name}: no Parquet file, or damaged after row {number} ({reason}). Write it again."
        ) from error


# ------------------------------------------------------------------ out


@dataclass(frozen=True)
class _Column:
    type: Any
    values: Sequence[Any]  # of that type, or None


def _column(values: Sequence[Any]) -> _Column:
    """int64, float64 or bool if all values are, float64 for whole numbers among floats; all else becomes text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return _Column(pa.bool_(), values)
    numbers = bool(kinds) and all(issubclass(kind, int | float) and kind is not bool for kind in kinds)
    if numbers and all(value in INT64 for value in values if isinstance(value, int)):
        if all(issubclass(kind, int) for kind in kinds):
            return _Column(pa.int64(), values)
        floats = (None if value is None else float(value) for value in values)
        return _Column(pa.float64(), [math.nan if value != value else value for value in floats])  # NaN has many bits
    return _Column(pa.string(), [None if value is None else text_of(value) for value in values])


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, _Column]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _column([row.get(name) for row in rows]) for name in names}


def csv_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """UTF-8, commas, "\\n" at line ends; the columns of all rows in order of appearance, absent cells empty.

    Same rows, same bytes. Line ends within a cell become "\\n". Without columns: no bytes.
    """
    columns = _columns(rows)
    if not columns:
        return b""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(without_formula(name).replace("\r\n", "\n").replace("\r", "\n") for name in columns)
    cells = [
        ["" if value is None else without_formula(value) for value in column.values] for column in columns.values()
    ]
    for row in zip(*cells, strict=True):
        # Python before 3.13 leaves a lone "\r" without quotes, which no reader takes for part of the cell
        writer.writerow([cell.replace("\r\n", "\n").replace("\r", "\n") if "\r" in cell else cell for cell in row])
    return file.getvalue().encode()


def without_formula(value: Any) -> str:
    """A text that a spreadsheet would compute, or run, begins with an apostrophe here; the Parquet has it as it is."""
    text = text_of(value)
    harmless = not isinstance(value, str) or not text.strip() or SIGNED.fullmatch(text)
    return text if harmless or not text.startswith(FORMULA) else f"'{text}"


def parquet_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The columns of all rows in order of appearance; absent is null. Same rows and pyarrow, same bytes."""
    columns = _columns(rows)
    arrays = [pa.array(column.values, column.type) for column in columns.values()]
    file = io.BytesIO()
    pq.write_table(pa.table(arrays, names=[text_of(name) for name in columns]), file, compression="zstd")
    return file.getvalue()


def text_of(value: Any) -> str:
    """A value as it stands in a cell of text: floats by repr, true and false, lists and mappings as JSON."""
    if isinstance(value, str):  # a file name that is not UTF-8 must not cost the table
        return str(value) if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, Mapping | list | tuple):
        return text_of(json.dumps(value, ensure_ascii=False, default=str))
    return text_of(str(value))

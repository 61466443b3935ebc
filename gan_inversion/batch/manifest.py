"""The items of a batch: a table or a folder, read and checked as a whole before any work is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path, PurePath
from typing import Any

from ..errors import StorageError, UserError, suggestion
from ..image import SUFFIXES
from ..storage import Folder, expanded
from ..store.keys import files_of
from .couples import Couple, Item, Manifest, split
from .kinds import COUPLES, PHOTOGRAPHS, Kind
from .manifest_cells import LEAST, plain, problem_with, problem_with_id, value_of
from .manifest_photos import absent, is_picture_of, pictures
from .tables import FORMATS, LARGEST, columns_of, read_rows, text_of

LISTED = 100  # problems that are written out

Check = Callable[[Mapping[str, Any]], None]  # raises UserError for settings (config key -> value) that cannot be used


@dataclass(frozen=True)
class Source:
    """A manifest that was found, and what it is of."""

    url: str
    folder: Folder  # that it is in, or that it is
    name: str  # of the table in it; empty: a folder of couples
    kind: Kind
    data: bytes = b""
    columns: tuple[str, ...] = ()


def open_manifest(url: str) -> Source:
    """A table (.csv, .jsonl, .ndjson, .parquet) or a folder. With a column `photo` it is of photographs, else of couples."""
    if not url.lower().endswith(FORMATS):
        return Source(url, Folder(url if "://" in url else str(expanded(url).absolute())), "", COUPLES)
    folder, name = split(url)
    try:
        data = folder.read(name, LARGEST)
    except FileNotFoundError:
        raise UserError(f"{url}: no such file.") from None
    columns = tuple(columns_of(url, data))
    rows = (row for _, row in read_rows(url, data) if not isinstance(row, UserError))  # JSON lines have no head
    named = columns or tuple(next(rows, {}))
    return Source(url, folder, name, PHOTOGRAPHS if "photo" in named else COUPLES, data, columns)


def read_manifest(source: str | Source, check: Check, leave_out: Iterable[str] = ()) -> Manifest:
    """Items of a table, or couples of a folder of ID/father.* and ID/mother.*, in order.

    `check`: called once for equal settings. leave_out: folders that hold no couples, though they may lie in the manifest's:
    where this run writes to. Photographs must exist, but are not opened. Raises one UserError that names every problem of
    every row.
    """
    source = open_manifest(source) if isinstance(source, str) else source
    url, folder, kind = source.url, source.folder, source.kind
    reader = _Reader(check, folder.local, kind)
    items: Sequence[Item]
    if source.name:
        reader.header(source.columns)
        items = reader.table(read_rows(url, source.data), text=source.name.lower().endswith(".csv"))
        reader.photos(folder)
    else:
        items = reader.folders(pictures(folder, url, leave_out))
    problems = [text for _, text in sorted(reader.problems, key=itemgetter(0))]
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        more = [f"... and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
        raise UserError("\n".join([f"{url}: {count}, nothing was done:", *problems[:LISTED], *more]))
    if not items:
        needs = " It needs a row each, or a folder each with father.* and mother.*." if kind is COUPLES else ""
        raise UserError(f"{url}: no {kind.name} in it.{needs}")
    return Manifest(items, folder)


class _Reader:
    """One reading. What rows have in common is converted, checked and kept once: manifests are long and repetitive."""

    def __init__(self, check: Check, base: Path | None, kind: Kind) -> None:
        self.check, self.base, self.kind, self.own = check, base, kind, kind.own
        self.problems: list[tuple[int, str]] = []  # (row, text), by row in the end; row 0: the table as a whole
        self.rows: list[tuple[int, Item]] = []
        self.ids: dict[str, str] = {}  # in lower case -> the first row that has it
        self.paths: dict[str, str] = {}  # each to itself, so that equal ones are one string
        self.columns: dict[str, str] = {}  # -> config key, "" if there is none
        self.cells: dict[tuple[str, str], tuple[tuple[str, Any], str]] = {}  # -> (key, value), problem
        self.settings: dict[tuple[int, ...], tuple[tuple[tuple[str, Any], ...], str]] = {}  # -> settings, problem

    def header(self, columns: Iterable[str]) -> None:
        """Name those that are unknown, also where all their cells are empty."""
        for column in columns:
            if column and column not in self.own and not column.startswith("note_"):
                self._key(column)

    def table(self, rows: Iterable[tuple[int, Mapping[str, Any] | UserError]], text: bool) -> list[Item]:
        """`text`: cells are text, which becomes values by YAML's rules."""
        missing: dict[str, list[tuple[int, str]]] = {column: [] for column in self.kind.needed}
        make: Callable[..., Item] = self.kind.item
        for number, row in rows:
            if isinstance(row, UserError):
                self.problems.append((number, str(row)))
                continue
            if "id" not in row and "id" not in missing and isinstance(row.get("photo"), str):
                row = {**row, "id": PurePath(row["photo"]).stem}
            name = "" if "id" not in row else str(row["id"])
            label = _label(number, name)
            for column in missing:
                if row.get(column, "") == "":
                    missing[column].append((number, f"{label}{column} is missing."))
            reasons = self._name(row.get("id", ""), f"row {number}")
            paths = [self._path(role, row.get(role, ""), reasons) for role in self.kind.item.ROLES]
            settings, notes = self._settings(row, text, reasons)
            self.problems += [(number, label + reason) for reason in reasons]
            self.rows.append((number, make(name, *paths, settings, notes)))
        for column, places in missing.items():
            whole = len(places) == len(self.rows) > 0
            self.problems += [(0, f"column {column}: there is none, or it is empty.")] if whole else places
        for short, long in self.kind.short.items():
            if short in self.columns and long in self.columns:
                self.problems.append((0, f"columns {short} and {long} are the same setting. Keep one of them."))
        return [item for _, item in self.rows]

    def folders(self, pictures: Mapping[str, Sequence[str]]) -> list[Couple]:
        """Couples of folder name -> files in it."""
        couples = []
        for number, (name, files) in enumerate(pictures.items(), 1):
            reasons = self._name(name, f"folder {name}")
            found = dict.fromkeys(Couple.ROLES, "")
            for role in Couple.ROLES:
                own = [file for file in files if is_picture_of(role, file)]
                if not own:
                    reasons.append(f"no {role}.* in it ({', '.join(SUFFIXES)}).")
                elif len(own) > 1:
                    reasons.append(f"several pictures of the {role}: {', '.join(own)}. Keep one.")
                else:
                    found[role] = f"{name}/{own[0]}"
            self.problems += [(number, f"{name}: {reason}") for reason in reasons]
            couples.append(Couple(name, found["father"], found["mother"], (), ()))
        return couples

    def photos(self, folder: Folder) -> None:
        """Find those that are not there; each is looked up once."""
        gone = absent(Manifest((), folder), self.paths)
        if not gone:
            return
        for number, item in self.rows:
            for role, path in item.photos.items():
                if path in gone:
                    self.problems.append((number, f"{_label(number, item.id)}{role} {path}: {gone[path]}"))

    def _name(self, value: Any, place: str) -> list[str]:
        if value == "":
            return []
        if type(value) not in (str, int):
            return [f"id {value!r}: must be text or a whole number."]
        name = str(value)
        problem = problem_with_id(name)
        if problem:
            return [problem]
        first = self.ids.setdefault(name.lower(), place)
        if first != place:
            return [f"id {name}: {first} has it already; upper and lower case are one to the disks of many computers."]
        return []

    def _path(self, role: str, path: Any, reasons: list[str]) -> str:
        if not isinstance(path, str):
            reasons.append(f"{role} {path!r}: must be the path of a photograph, as text.")
            return ""
        return self.paths.setdefault(path, path) if path else ""

    def _settings(
        self, row: Mapping[str, Any], text: bool, reasons: list[str]
    ) -> tuple[tuple[tuple[str, Any], ...], tuple[tuple[str, str], ...]]:
        pairs, notes, wrong = [], [], []
        for column, value in row.items():
            if column in self.own:
                continue
            if column.startswith("note_"):
                notes.append((sys.intern(column), text_of(value)))
            elif self._key(column):
                pair, reason = self._cell(column, value, text)
                pairs.append(pair)
                if reason:
                    wrong.append(reason)
        pairs.sort(key=itemgetter(0))
        if wrong:
            reasons += wrong + self._problems([pair for pair in pairs if not problem_with(*pair)])
            return tuple(pairs), tuple(notes)
        known = tuple(map(id, pairs))  # by identity: 1, 1.0 and True are equal, but not the same setting
        if known not in self.settings:
            self.settings[known] = tuple(pairs), " ".join(self._problems(pairs))
        settings, problem = self.settings[known]
        if problem:
            reasons.append(problem)
        return settings, tuple(notes)

    def _problems(self, pairs: Sequence[tuple[str, Any]]) -> list[str]:
        """What is wrong with a row's settings: with each of a group by itself, else with a group, else with all together."""
        whole = self._problem(pairs)
        if not whole:
            return []
        found = []
        for group in dict.fromkeys(key.partition(".")[0] for key, _ in pairs):
            part = [pair for pair in pairs if pair[0].partition(".")[0] == group]
            if problem := self._problem(part):
                found += [alone for pair in part if (alone := self._problem([pair]))] or [problem]
        return list(dict.fromkeys(found)) or [whole]

    def _problem(self, pairs: Sequence[tuple[str, Any]]) -> str:
        try:
            self.check(dict(pairs))
        except StorageError:
            raise
        except UserError as error:
            return " ".join(str(error).split("\n"))
        return ""

    def _key(self, column: str) -> str:
        if column not in self.columns:
            self.columns[column] = self.kind.key_of(column)
            if not self.columns[column]:
                hint = suggestion(column, self.kind.columns)
                self.problems.append((0, f"column {column}: unknown.{hint} If it is a note, call it note_{column}."))
        return self.columns[column]

    def _cell(self, column: str, value: Any, text: bool) -> tuple[tuple[str, Any], str]:
        place = column, repr(value)
        if place not in self.cells:
            key = self.columns[column]
            found = plain(value_of(value) if text else value)
            if text and found is not None and files_of([(key, value)]):
                found = value  # a name that looks like a number is still a name
            if key in LEAST and isinstance(found, float) and found.is_integer():
                found = int(found)  # data frames turn whole numbers into floats where a cell is empty
            if self.base is not None and isinstance(found, str) and files_of([(key, found)]):
                beside = str(self.base / found)  # as photographs, relative to the manifest
                found = beside if os.path.isfile(beside) else found  # noqa: PTH113 (pathlib raises for impossible names)
            self.cells[place] = (key, found), problem_with(key, found)
        return self.cells[place]


def _label(number: int, name: str) -> str:
    return f"row {number} (id {name}): " if name else f"row {number}: "

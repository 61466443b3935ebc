"""The couples of a batch: a table or a folder, read and checked as a whole before any work is done."""

from __future__ import annotations

import math
import os
import posixpath
import re
import stat
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import yaml

from ..interfaces import StorageError, UserError
from ..spelling import suggestion
from ..storage import Folder
from .album import SUFFIXES
from .tables import FORMATS, read_rows, text_of

ROLES = ("father", "mother")
REQUIRED = ("id", *ROLES)
LEAST = {"seed": 0, "siblings": 1, "father_face": 0, "mother_face": 0}  # whole numbers
SHORT = {"age": "child.age", "gender": "child.gender", "weight": "blend.weight"}
DOTTED = re.compile(r"(blend|inherit|child)(\.[A-Za-z]\w*)+")  # no _target_: a row must not choose what is built
COLUMNS = (*REQUIRED, *LEAST, "diversity", *SHORT, "blend.*", "inherit.*", "child.*", "note_*")
ID = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
RESERVED = re.compile(r"(con|nul|aux|prn|com[1-9]|lpt[1-9])(\..*)?", re.IGNORECASE)
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?")  # YAML reads it the same, but much more slowly
LISTED = 100  # problems that are written out
FEW = 16  # folders on far storage that are listed one by one


@dataclass(frozen=True, slots=True)
class Couple:
    """One row."""

    id: str
    father: str  # path as written in the manifest
    mother: str
    settings: tuple[tuple[str, Any], ...]  # what the row says of this couple, by config key, sorted; lists as tuples
    notes: tuple[tuple[str, str], ...]  # by column, "note_" included


@dataclass(frozen=True)
class Manifest:
    """All couples, and where their photographs are."""

    couples: Sequence[Couple]
    folder: Folder  # what relative paths are relative to

    def photo(self, path: str) -> tuple[Folder, str]:
        """Folder and name of a photograph by its path: relative to the manifest, absolute, ~/..., or a URL."""
        if "://" in path or path.startswith("~") or Path(path).is_absolute():
            return _split(path)
        if self.folder.local is not None:
            return self.folder, path
        start, _, rest = self.folder.url.partition("://")  # object stores do not know `..`
        return _split(f"{start}://{posixpath.normpath(posixpath.join(rest, path))}")


def read_manifest(url: str, check: Callable[[Mapping[str, Any]], None]) -> Manifest:
    """Couples of a table (.csv, .jsonl, .ndjson, .parquet) or of a folder of ID/father.* and ID/mother.*, in order.

    `check`: raises UserError for settings (config key -> value) that cannot be used; called once for equal ones.
    Photographs must exist, but are not opened. Raises one UserError that names every problem of every row.
    """
    reader = _Reader(check)
    if url.lower().endswith(FORMATS):
        folder, name = _split(url)
        try:
            data = folder.read(name)
        except FileNotFoundError:
            raise UserError(f"{url}: no such file.") from None
        couples = reader.table(read_rows(url, data), text=name.lower().endswith(".csv"))
        reader.photos(folder)
    else:
        folder = Folder(url if "://" in url else str(Path(url).expanduser().absolute()))
        couples = reader.folders(_pictures(folder, url))
    problems = [text for _, text in sorted(reader.problems, key=itemgetter(0))]
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        more = [f"... and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
        raise UserError("\n".join([f"{url}: {count}, nothing was done:", *problems[:LISTED], *more]))
    if not couples:
        raise UserError(f"{url}: no couples in it. It needs a row each, or a folder each with father.* and mother.*.")
    return Manifest(couples, folder)


class _Reader:
    """One reading. What rows have in common is converted, checked and kept once: manifests are long and repetitive."""

    def __init__(self, check: Callable[[Mapping[str, Any]], None]) -> None:
        self.check = check
        self.problems: list[tuple[int, str]] = []  # (row, text), by row in the end; row 0: the table as a whole
        self.rows: list[tuple[int, Couple]] = []
        self.ids: dict[str, str] = {}  # in lower case -> the first row that has it
        self.paths: dict[str, str] = {}  # each to itself, so that equal ones are one string
        self.columns: dict[str, str] = {}  # -> config key, "" if there is none
        self.cells: dict[tuple[str, str], tuple[tuple[str, Any], str]] = {}  # -> (key, value), problem
        self.settings: dict[tuple[int, ...], tuple[tuple[tuple[str, Any], ...], str]] = {}  # -> settings, problem

    def table(self, rows: Iterable[tuple[int, Mapping[str, Any]]], text: bool) -> list[Couple]:
        """`text`: cells are text, which becomes values by YAML's rules."""
        missing: dict[str, list[tuple[int, str]]] = {column: [] for column in REQUIRED}
        for number, row in rows:
            name = "" if "id" not in row else str(row["id"])
            label = _label(number, name)
            for column in REQUIRED:
                if row.get(column, "") == "":
                    missing[column].append((number, f"{label}{column} is missing."))
            reasons = self._name(row.get("id", ""), f"row {number}")
            father, mother = (self._path(role, row.get(role, ""), reasons) for role in ROLES)
            settings, notes = self._settings(row, text, reasons)
            self.problems += [(number, label + reason) for reason in reasons]
            self.rows.append((number, Couple(name, father, mother, settings, notes)))
        for column, places in missing.items():
            whole = len(places) == len(self.rows) > 0
            self.problems += [(0, f"column {column}: there is none, or it is empty.")] if whole else places
        for short, long in SHORT.items():
            if short in self.columns and long in self.columns:
                self.problems.append((0, f"columns {short} and {long} are the same setting. Keep one of them."))
        return [couple for _, couple in self.rows]

    def folders(self, pictures: Mapping[str, Sequence[str]]) -> list[Couple]:
        """Couples of folder name -> files in it."""
        couples = []
        for number, (name, files) in enumerate(pictures.items(), 1):
            reasons = self._name(name, f"folder {name}")
            found = dict.fromkeys(ROLES, "")
            for role in ROLES:
                own = [file for file in files if _is_picture_of(role, file)]
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
        absent = _absent(Manifest((), folder), self.paths)
        if not absent:
            return
        for number, couple in self.rows:
            for role, path in zip(ROLES, (couple.father, couple.mother), strict=True):
                if path in absent:
                    self.problems.append((number, f"{_label(number, couple.id)}{role} {path}: {absent[path]}"))

    def _name(self, value: Any, place: str) -> list[str]:
        if value == "":
            return []
        if type(value) not in (str, int):
            return [f"id {value!r}: must be text or a whole number."]
        name = str(value)
        if not ID.fullmatch(name) or RESERVED.fullmatch(name):
            why = "a name that Windows reserves" if RESERVED.fullmatch(name) else "not allowed"
            return [
                f"id {name[:120]!r}: {why}. It becomes a folder's name: use 1 to 100 letters, digits, . _ -, "
                "beginning with no . or -, ending with no dot."
            ]
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
            if column in REQUIRED:
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
            reasons += wrong
            return tuple(pairs), tuple(notes)
        known = tuple(map(id, pairs))  # by identity: 1, 1.0 and True are equal, but not the same setting
        if known not in self.settings:
            problem = ""
            try:
                self.check(dict(pairs))
            except StorageError:
                raise
            except UserError as error:
                problem = " ".join(str(error).split("\n"))
            self.settings[known] = tuple(pairs), problem
        settings, problem = self.settings[known]
        if problem:
            reasons.append(problem)
        return settings, tuple(notes)

    def _key(self, column: str) -> str:
        if column not in self.columns:
            plain = column in LEAST or column == "diversity" or DOTTED.fullmatch(column)
            self.columns[column] = column if plain else SHORT.get(column, "")
            if not self.columns[column]:
                hint = suggestion(column, COLUMNS)
                self.problems.append((0, f"column {column}: unknown.{hint} If it is a note, call it note_{column}."))
        return self.columns[column]

    def _cell(self, column: str, value: Any, text: bool) -> tuple[tuple[str, Any], str]:
        place = column, repr(value)
        if place not in self.cells:
            key = self.columns[column]
            found = _plain(_value_of(value) if text else value)
            if key in LEAST and isinstance(found, float) and found.is_integer():
                found = int(found)  # data frames turn whole numbers into floats where a cell is empty
            self.cells[place] = (key, found), _problem_with(key, found)
        return self.cells[place]


def _label(number: int, name: str) -> str:
    return f"row {number} (id {name}): " if name else f"row {number}: "


def _problem_with(key: str, value: Any) -> str:
    """Of the keys that are no group's, which are checked by what is built of them."""
    if key in LEAST and not (value is None and key.endswith("_face")):
        if type(value) is not int or not LEAST[key] <= value < 2**63:
            least = f"at least {LEAST[key]}" if type(value) is not int or value < 2**63 else "below 2**63"
            return f"{key} {value!r}: must be a whole number, {least}."
    elif key == "diversity" and (type(value) not in (int, float) or not 0 <= value < math.inf):
        return f"{key} {value!r}: must be a number, at least 0."
    return ""


def _value_of(text: str) -> Any:
    """Of a cell, by YAML's rules: numbers, true, null, [lists]; all else, dates among it, is text."""
    found = NUMBER.fullmatch(text)
    if found:
        return float(text) if found[2] else int(text)
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    if isinstance(value, str):
        return value if text[0] in "'\"" else text  # quotes are YAML's; a # or & is not meant as such
    if isinstance(value, list) and text[0] == "[":
        return value
    words = ("null", "Null", "NULL", "~")
    return value if isinstance(value, bool | int | float) or (value is None and text in words) else text


def _plain(value: Any) -> Any:
    """Lists as tuples, and what JSON has no word for as text: settings are compared, hashed and written."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else text_of(value)


# ------------------------------------------------------------------ photographs


def _split(url: str) -> tuple[Folder, str]:
    """The folder that a file is in, and its name there."""
    if "://" not in url:
        path = Path(url).expanduser().absolute()  # other processes may work in other folders
        return Folder(str(path.parent)), path.name
    start, _, rest = url.partition("://")
    parent, _, name = rest.rpartition("/")
    return Folder(f"{start}://{parent}"), name


def _absent(manifest: Manifest, paths: Iterable[str]) -> dict[str, str]:
    """Path -> why it cannot be read, for those photographs that are not there."""
    base = manifest.folder.local
    absent: dict[str, str] = {}
    far: dict[str, dict[str, tuple[Folder, str]]] = {}  # storage, as s3://bucket -> path -> place
    for path in paths:
        if "://" not in path and (base is not None or path.startswith("~") or Path(path).is_absolute()):
            file = os.path.join(base or "", os.path.expanduser(path))  # noqa: PTH111, PTH118 (pathlib is slow)
        elif path.startswith("file://"):
            file = str(Folder(path).local)
        else:
            place = manifest.photo(path)
            far.setdefault("/".join(place[0].url.split("/")[:3]), {})[path] = place
            continue
        reason = _reason(file)
        if reason:
            absent[path] = reason + (" Write / between folders." if "\\" in path and os.sep == "/" else "")
    for storage, photos in far.items():
        try:
            absent |= dict.fromkeys(_absent_far(storage, photos), "no such file.")
        except StorageError:
            raise
        except UserError as error:  # a storage that is not installed
            absent |= dict.fromkeys(photos, str(error))
    return absent


def _reason(path: str) -> str:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name that no disk can have
        return "no such file."
    except OSError as error:
        return f"cannot be read ({error.strerror})."
    return "" if stat.S_ISREG(mode) else "not a file."


def _absent_far(storage: str, photos: Mapping[str, tuple[Folder, str]]) -> list[str]:
    """Those that are not there. Folders are listed, as each question takes a journey, but for http, which cannot."""
    if storage.startswith("http"):
        with ThreadPoolExecutor(FEW) as pool:
            sizes = pool.map(lambda place: place[0].size(place[1]), photos.values())
            return [path for path, size in zip(photos, sizes, strict=True) if size is None]
    parents = sorted({folder.url[len(storage) :].rstrip("/") for folder, _ in photos.values()})
    if len(parents) > FEW:
        parents = [posixpath.commonpath([f"{parent}/" for parent in parents]).rstrip("/")]
    there = {f"{parent}/{name}" for parent in parents for name in Folder(storage + parent).sizes()}
    names = {path: f"{folder.url[len(storage) :].rstrip('/')}/{name}" for path, (folder, name) in photos.items()}
    return [path for path, name in names.items() if name not in there]


# ------------------------------------------------------------------ folders


def _is_picture_of(role: str, name: str) -> bool:
    stem, suffix = posixpath.splitext(name.lower())
    return stem == role and suffix in SUFFIXES


def _pictures(folder: Folder, url: str) -> dict[str, list[str]]:
    """Name -> files, for each folder in it; sorted, without what is hidden. Raises UserError if it is no folder."""
    found: dict[str, list[str]] = {}
    if folder.local is None:
        for name in folder.sizes():
            first, *rest = name.split("/")
            if rest:
                found.setdefault(first, []).extend(rest if len(rest) == 1 else ())
    elif folder.local.is_dir():
        found = {
            name: _entries(folder.local / name, os.DirEntry.is_file)
            for name in _entries(folder.local, os.DirEntry.is_dir)
        }
    else:
        what = "not a manifest" if folder.local.exists() else "no such file or folder"
        raise UserError(f"{url}: {what}. Give a folder, or a file of these: {', '.join(FORMATS)}.")
    return {
        name: sorted(file for file in files if not file.startswith("."))
        for name, files in sorted(found.items())
        if not name.startswith(".")
    }


def _entries(folder: Path, which: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if which(entry)]
    except OSError as error:
        raise StorageError(f"{folder}: cannot be read ({error.strerror}).") from error

"""What a manifest names, couples or photographs that are to be edited, and where the photographs are."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..storage import Folder, expanded

Settings = tuple[tuple[str, Any], ...]  # what a row says, by config key, sorted; lists as tuples
Notes = tuple[tuple[str, str], ...]  # by column, "note_" included


@dataclass(frozen=True, slots=True)
class Couple:
    """One row: two photographs, to become a family."""

    KIND: ClassVar[str] = "couples"  # what they are called, and the folder that theirs are in
    ROLES: ClassVar[tuple[str, ...]] = ("father", "mother")
    SUMMARY: ClassVar[str] = "family.json"  # the last file of its folder, but for the marker
    DRAWN: ClassVar[str] = "child"  # the column that names a picture

    id: str
    father: str  # path as written in the manifest
    mother: str
    settings: Settings
    notes: Notes

    @property
    def photos(self) -> dict[str, str]:
        """Role -> path."""
        return {"father": self.father, "mother": self.mother}


@dataclass(frozen=True, slots=True)
class Portrait:
    """One row: a photograph, to be edited."""

    KIND: ClassVar[str] = "photographs"
    ROLES: ClassVar[tuple[str, ...]] = ("photo",)
    SUMMARY: ClassVar[str] = "edit.json"
    DRAWN: ClassVar[str] = "edit"

    id: str
    photo: str
    settings: Settings
    notes: Notes

    @property
    def photos(self) -> dict[str, str]:
        return {"photo": self.photo}


Item = Couple | Portrait


def prefix_of(role: str) -> str:
    """With which columns of a role begin: of two photographs it says whose they are."""
    return "" if role == "photo" else f"{role}_"


@dataclass(frozen=True)
class Manifest:
    """All items, of one kind, and where their photographs are."""

    items: Sequence[Item]
    folder: Folder  # what relative paths are relative to

    def photo(self, path: str) -> tuple[Folder, str]:
        """Folder and name of a photograph by its path: relative to the manifest, absolute, ~/..., or a URL."""
        if "://" in path or path.startswith("~") or Path(path).is_absolute():
            return split(path)
        if self.folder.local is not None:
            return self.folder, path
        start, _, rest = self.folder.url.partition("://")  # object stores do not know `..`
        return split(f"{start}://{posixpath.normpath(posixpath.join(rest, path))}")


def split(url: str) -> tuple[Folder, str]:
    """The folder that a file is in, and its name there."""
    if "://" not in url:
        path = expanded(url).absolute()  # other processes may work in other folders
        return Folder(str(path.parent)), path.name
    start, _, rest = url.partition("://")
    parent, _, name = rest.rpartition("/")
    return Folder(f"{start}://{parent}"), name

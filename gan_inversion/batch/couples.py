"""Couples as a manifest names them, and where their photographs are."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..storage import Folder, expanded


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

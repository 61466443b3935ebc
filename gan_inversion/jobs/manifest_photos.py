"""Which photographs of a manifest are there, wherever they are; and manifests that are folders."""

from __future__ import annotations

import os
import posixpath
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..interfaces import StorageError, UserError
from ..latents import hash_of
from ..storage import SIDE_BY_SIDE, Folder
from .album import SUFFIXES
from .couples import Couple, Manifest
from .tables import FORMATS

REMEMBERED = 50_000  # photographs whose size is remembered
ROLES = ("father", "mother")
FEW = 16  # folders on far storage that are listed one by one


def absent(manifest: Manifest, paths: Iterable[str]) -> dict[str, str]:
    """Path -> why it cannot be read, for those photographs that are not there."""
    base = manifest.folder.local
    gone: dict[str, str] = {}
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
            gone[path] = reason + (" Write / between folders." if "\\" in path and os.sep == "/" else "")
    for storage, photos in far.items():
        try:
            gone |= dict.fromkeys(_absent_far(storage, photos), "no such file.")
        except StorageError:
            raise
        except UserError as error:  # a storage that is not installed
            gone |= dict.fromkeys(photos, str(error))
    return gone


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


class Photos:
    """Sizes and hashes of a manifest's photographs, each asked for once, sizes side by side where they are far away."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._sizes: OrderedDict[str, int | None] = OrderedDict()
        self._hashes: OrderedDict[str, str | None] = OrderedDict()

    def look(self, paths: Iterable[str]) -> None:
        """Ask for those that are not known yet."""
        new = {path: self.manifest.photo(path) for path in dict.fromkeys(paths) if path not in self._sizes}
        near = all(folder.local is not None for folder, _ in new.values())
        with ThreadPoolExecutor(1 if near else SIDE_BY_SIDE) as pool:
            sizes = pool.map(lambda place: place[0].size(place[1]), new.values())
            self._sizes |= dict(zip(new, sizes, strict=True))
        while len(self._sizes) > REMEMBERED + len(new):
            self._sizes.popitem(last=False)

    def size(self, path: str) -> int | None:
        """Bytes; None if it is not there."""
        if path not in self._sizes:
            self.look([path])
        return self._sizes[path]

    def replaced(self, couple: Couple, marker: Mapping[str, Any], verify: bool) -> bool:
        """Whether a photograph is another than the one that the couple's marker is of, though its size is the same."""
        known = marker.get("rows") or [{}]
        for role, path in (("father", couple.father), ("mother", couple.mother)):
            folder, name = self.manifest.photo(path)
            if not (verify and "rows" in marker) and not _newer(folder, name, marker):
                continue
            sha256 = known[0].get(f"{role}_photo_sha256")
            if sha256 is None or self._hash(path) != sha256:
                return True
        return False

    def _hash(self, path: str) -> str | None:
        """SHA-256; None if it cannot be read, of which reading it as a couple's photograph will tell."""
        if path not in self._hashes:
            folder, name = self.manifest.photo(path)
            try:
                self._hashes[path] = hash_of(folder.read(name))
            except (FileNotFoundError, StorageError):
                self._hashes[path] = None
            if len(self._hashes) > REMEMBERED:
                self._hashes.popitem(last=False)
        return self._hashes[path]


def _newer(folder: Folder, name: str, marker: Mapping[str, Any]) -> bool:
    """Whether a photograph was written after a marker. Unknown, so no, unless both are on this machine."""
    written = marker.get("written")
    if written is None or folder.local is None:
        return False
    try:
        return os.stat(folder.local / name).st_mtime > written  # noqa: PTH116
    except OSError:
        return False


def is_picture_of(role: str, name: str) -> bool:
    stem, suffix = posixpath.splitext(name.lower())
    return stem == role and suffix in SUFFIXES


def pictures(folder: Folder, url: str, leave_out: Iterable[str] = ()) -> dict[str, list[str]]:
    """Name -> files, for each folder in it; sorted, without what is hidden. Raises UserError if it is no folder.

    leave_out: folders or URLs that are not couples, such as where this run writes to.
    """
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
    base = str(folder.local) if folder.local is not None else folder.url.rstrip("/")
    others = [os.path.abspath(os.path.expanduser(one)) if "://" not in one else one for one in leave_out]  # noqa: PTH100, PTH111
    inside = {one.removeprefix(f"{base}/").partition("/")[0] for one in others if one.startswith(f"{base}/")}
    return {
        name: sorted(file for file in files if not file.startswith("."))
        for name, files in sorted(found.items())
        if not name.startswith(".")
        and (name not in inside or any(is_picture_of(role, f) for role in ROLES for f in files))
    }


def _entries(folder: Path, which: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if which(entry)]
    except OSError as error:
        raise StorageError(f"{folder}: cannot be read ({error.strerror}).") from error

"""Which photographs of a manifest are there, wherever they are; and manifests that are folders."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import StorageError, UserError
from ..image import SUFFIXES
from ..storage import Folder
from .couples import Couple, Manifest
from .tables import FORMATS

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
        and (name not in inside or any(is_picture_of(role, f) for role in Couple.ROLES for f in files))
    }


def _entries(folder: Path, which: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if which(entry)]
    except OSError as error:
        raise StorageError(f"{folder}: cannot be read ({error.strerror}).") from error

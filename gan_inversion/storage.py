"""Files by name in a folder, whether on this machine or on any storage that fsspec knows (s3://, gs://, memory://).

A local file appears whole, by renaming. Object stores have no rename, but put a file whole or not at all. In both, what
belongs together is complete once its last file, with checksums of the others, is there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from .interfaces import StorageError, UserError


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write all or nothing: a reader, or a killed process, never leaves half a file under this name.

    Raises StorageError when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # a read-only disk has no part either
            part.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}). Free some space or choose another folder."
        ) from error


@dataclass(frozen=True)
class Folder:
    """A folder by its path or URL. It need not exist. Picklable, and cheap to make."""

    url: str

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.url.rstrip('/')}/{name}")

    @cached_property
    def _place(self) -> tuple[Any, str]:
        try:
            system, path = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise UserError(f"{self.url}: {error}") from error
        return system, path.rstrip("/") or "/"

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url}  # connections stay where they are

    @property
    def local(self) -> Path | None:
        """The path, if it is one of this machine."""
        system, path = self._place
        return Path(path) if isinstance(system, LocalFileSystem) else None

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError if there is none, StorageError if it cannot be read."""
        try:
            if self.local is not None:
                return (self.local / name).read_bytes()
            system, path = self._place
            return bytes(system.cat_file(f"{path}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(f"{self.url}/{name}") from None
        except OSError as error:
            raise StorageError(f"{self.url}/{name}: cannot be read ({error.strerror or error}).") from error

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Those of `names` that exist; side by side where the storage is far away."""
        names = list(names)
        if self.local is not None or not names:
            found = {}
            for name in names:
                try:
                    found[name] = self.read(name)
                except FileNotFoundError:
                    continue
            return found
        system, path = self._place
        try:
            data = system.cat([f"{path}/{name}" for name in names], on_error="return")
        except OSError as error:
            raise StorageError(f"{self.url}: cannot be read ({error.strerror or error}).") from error
        got = {name: data.get(system._strip_protocol(f"{path}/{name}")) for name in names}
        return {name: bytes(value) for name, value in got.items() if isinstance(value, bytes)}

    def write(self, name: str, data: bytes) -> None:
        """Whole or not at all. Raises StorageError."""
        if self.local is not None:
            write_atomically(self.local / name, data)
            return
        system, path = self._place
        try:
            system.pipe_file(f"{path}/{name}", data)
        except OSError as error:
            raise StorageError(f"{self.url}/{name}: cannot be written ({error.strerror or error}).") from error

    def size(self, name: str) -> int | None:
        """Bytes; None if there is no such file."""
        try:
            if self.local is not None:
                file = self.local / name
                return file.stat().st_size if file.is_file() else None
            system, path = self._place
            found = system.info(f"{path}/{name}")
            return int(found["size"] or 0) if found["type"] == "file" else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"{self.url}/{name}: cannot be read ({error.strerror or error}).") from error

    def sizes(self) -> dict[str, int]:
        """Bytes of each file here and below, by its name relative to this folder. Empty if there is no folder."""
        system, path = self._place
        try:
            found = system.find(path, detail=True)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StorageError(f"{self.url}: cannot be read ({error.strerror or error}).") from error
        start = len(path.rstrip("/")) + 1
        return {name[start:]: int(facts["size"] or 0) for name, facts in sorted(found.items()) if len(name) > start}

    def names(self) -> list[str]:
        """Of the files and folders directly in it, sorted."""
        system, path = self._place
        try:
            return sorted(name.rstrip("/").rpartition("/")[2] for name in system.ls(path, detail=False))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"{self.url}: cannot be read ({error.strerror or error}).") from error

    def remove(self, name: str) -> None:
        """No error if it is not there."""
        system, path = self._place
        try:
            system.rm_file(f"{path}/{name}")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StorageError(f"{self.url}/{name}: cannot be removed ({error.strerror or error}).") from error

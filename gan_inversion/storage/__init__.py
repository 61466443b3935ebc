"""Files by name in a folder, whether on this machine or on any storage that fsspec knows (s3://, gs://, memory://).

A local file appears whole, by renaming. Object stores have no rename, but put a file whole or not at all. In both, what
belongs together is complete once its last file, with checksums of the others, is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ..errors import StorageError, UserError

# Where files may be: on this machine, S3, Google Cloud Storage, Azure, and in this process's memory. fsspec knows many
# more, some of which open what a document names, or any address of a network.
SCHEMES = ("file", "local", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory")
SIDE_BY_SIDE = 32  # requests to a storage that is far away
LARGEST = 4_000_000_000  # bytes of any file that is named: the largest checkpoints, with their optimisers, have 1.5 GB


def write_atomically(path: str | os.PathLike[str], data: bytes | Iterable[bytes]) -> None:
    """Write all, or all pieces, or nothing: a reader, or a killed process, never leaves half a file under this name.

    Raises StorageError when the folder cannot be written or the disk is full.
    """
    path = expanded(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")  # processes of two machines may have one number
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # a read-only disk has no part either
            part.unlink(missing_ok=True)
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}). Free some space or choose another folder."
        ) from error


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path as a person wrote it, ~ included; where there is no such user, or no such name can be, it stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (pathlib raises where there is no such user)


@contextlib.contextmanager
def open_file(path: str | os.PathLike[str], largest: int = LARGEST) -> Iterator[BufferedReader]:
    """What a person, or a file of theirs, names, opened to be read: a regular file of at most `largest` bytes.

    A device or a pipe would give bytes without end, or none ever. Raises UserError.
    """
    try:
        with open(expanded(path), "rb", opener=_open_regular) as file:
            size = os.fstat(file.fileno()).st_size
            if size > largest:
                raise UserError(
                    f"{path}: the file has {size / 1e6:,.0f} MB; the limit for such files is {largest / 1e6:,.0f}."
                )
            yield file
    except (OSError, ValueError) as error:  # ValueError: a name that no disk can have
        raise UserError(f"{path}: cannot be read ({reason_of(error)}). Check the path.") from error


def _open_regular(path: str, flags: int) -> int:
    """Raises OSError, at once, for what is no regular file."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(f"it is {'a folder' if stat.S_ISDIR(mode) else 'a device or a pipe'}, not a file")
    return descriptor


def read_file(path: str | os.PathLike[str], largest: int = LARGEST) -> bytes:
    """All of it; see `open_file`. A copy, which no other process can change or cut short any more."""
    with open_file(path, largest) as file:
        return file.read(os.fstat(file.fileno()).st_size)


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """See `open_file`."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: str | os.PathLike[str]) -> str:
    """The same, read once as long as the file stays the same by its size and times."""
    file = expanded(path)
    try:
        stat = file.stat()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({reason_of(error)}). Check the path.") from error
    return _sha256_of(file, (stat.st_size, stat.st_mtime_ns, stat.st_ino))


@lru_cache(maxsize=100)
def _sha256_of(path: Path, state: tuple[int, ...]) -> str:
    return sha256_of_file(path)


def content_of(path: str) -> str:
    """Of a file, hashed once as long as it stays the same; of what is none, such as an entry of the catalogue, its name."""
    return remembered_sha256(path) if os.path.isfile(expanded(path)) else path  # noqa: PTH113 (pathlib raises for some)


@dataclass(frozen=True)
class Folder:
    """A folder by its path or URL. It need not exist. Picklable, and cheap to make."""

    url: str

    def __truediv__(self, name: str) -> Folder:
        return Folder(f"{self.url.rstrip('/')}/{name}")

    @cached_property
    def _place(self) -> tuple[Any, str]:
        scheme, slashes, rest = self.url.partition("://")
        if slashes and (scheme not in SCHEMES or "::" in rest):
            raise UserError(f"{self.url}: {scheme}:// is not opened. Use a path, file://, s3://, gs:// or az://.")
        try:
            if not slashes:  # "::" in a name is no chain of storages
                system = fsspec.filesystem("file", use_listings_cache=False)
                return system, system._strip_protocol(self.url).rstrip("/") or "/"
            system, path = fsspec.core.url_to_fs(self.url, use_listings_cache=False)  # others write too
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

    def read(self, name: str, largest: int = LARGEST) -> bytes:
        """Raises FileNotFoundError if there is none, StorageError if it cannot be read, or has more than `largest` bytes."""
        system, path = self._place
        try:
            if self.local is not None:
                return read_file(self.local / name, largest)
            if largest < LARGEST and (size := self.size(name) or 0) > largest:
                raise StorageError(f"{self.url}/{name}: {size / 1e6:,.0f} MB; the limit is {largest / 1e6:,.0f}.")
            return bytes(system.cat_file(f"{path}/{name}"))
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(f"{self.url}/{name}") from None
        except UserError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                raise FileNotFoundError(f"{self.url}/{name}") from None
            raise StorageError(str(error)) from error.__cause__
        except Exception as error:
            raise StorageError(f"{self.url}/{name}: cannot be read ({reason_of(error)}).") from error

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Those of `names` that exist; side by side where the storage is far away."""
        names = list(names)

        def get(name: str) -> bytes | None:  # fsspec's own `cat` takes brackets in names for patterns
            try:
                return self.read(name)
            except FileNotFoundError:
                return None

        with ThreadPoolExecutor(1 if self.local is not None else SIDE_BY_SIDE) as threads:
            found = zip(names, threads.map(get, names), strict=True)
            return {name: data for name, data in found if data is not None}

    def write(self, name: str, data: bytes) -> None:
        """Whole or not at all. Raises StorageError."""
        if self.local is not None:
            write_atomically(self.local / name, data)
            return
        system, path = self._place
        try:
            system.pipe_file(f"{path}/{name}", data)
        except Exception as error:
            raise StorageError(f"{self.url}/{name}: cannot be written ({reason_of(error)}).") from error

    def size(self, name: str) -> int | None:
        """Bytes; None if there is no such file."""
        system, path = self._place
        try:
            if self.local is not None:
                file = self.local / name
                return file.stat().st_size if file.is_file() else None
            found = system.info(f"{path}/{name}")
            return int(found["size"] or 0) if found["type"] == "file" else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            raise StorageError(f"{self.url}/{name}: cannot be read ({reason_of(error)}).") from error

    def sizes(self) -> dict[str, int]:
        """Bytes of each file here and below, by its name relative to this folder. Empty if there is no folder."""
        system, path = self._place
        try:
            found = system.find(path, detail=True)
        except FileNotFoundError:
            return {}
        except Exception as error:
            raise StorageError(f"{self.url}: cannot be read ({reason_of(error)}).") from error
        start = len(path.rstrip("/")) + 1
        return {name[start:]: int(facts["size"] or 0) for name, facts in sorted(found.items()) if len(name) > start}

    def names(self) -> list[str]:
        """Of the files and folders directly in it, sorted."""
        system, path = self._place
        try:
            return sorted(name.rstrip("/").rpartition("/")[2] for name in system.ls(path, detail=False))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:
            raise StorageError(f"{self.url}: cannot be read ({reason_of(error)}).") from error

    def remove(self, name: str) -> None:
        """No error if it is not there."""
        system, path = self._place
        try:
            system.rm_file(f"{path}/{name}")
        except FileNotFoundError:
            pass
        except Exception as error:
            raise StorageError(f"{self.url}/{name}: cannot be removed ({reason_of(error)}).") from error

    def written_at(self, name: str) -> float | None:
        """When it was last written, in seconds since 1970; None if there is no such file, or its storage does not say."""
        system, path = self._place
        try:
            return float(system.modified(f"{path}/{name}").timestamp())
        except (FileNotFoundError, NotImplementedError):
            return None
        except Exception as error:
            raise StorageError(f"{self.url}/{name}: cannot be read ({reason_of(error)}).") from error

    def remove_empty(self, name: str) -> None:
        """An empty folder of this machine; object stores have none."""
        if self.local is not None:
            with contextlib.suppress(OSError):
                (self.local / name).rmdir()


def json_object(data: bytes) -> dict[str, Any]:
    """What a file of this project's says; empty if it is damaged, or no object."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def reason_of(error: Exception) -> str:
    """Each storage's library has errors of its own, and not all of them are OSErrors: botocore's are not."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)

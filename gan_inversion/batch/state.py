"""What of a batch earlier runs left to do: by the items' markers, and by the photographs that they are of."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ..errors import StorageError
from ..latents import hash_of
from ..storage import SIDE_BY_SIDE, Folder, content_of
from ..store.keys import files_of
from .couples import Item, Manifest, prefix_of
from .folder import facts_of_marker, is_whole

CHUNK = 256  # markers read side by side
REMEMBERED = 50_000  # photographs whose size and hash are remembered


@dataclass
class Counts:
    """Of items, and of faces inverted in this run."""

    total: int
    done: int = 0
    failed: int = 0
    before: int = 0  # of done and failed: by earlier runs
    inverted: int = 0
    found: int = 0  # faces that the store had
    settled: bytearray = field(default_factory=bytearray)  # a 1 for each item, by place, whose marker is of this job

    def __post_init__(self) -> None:
        self.settled = self.settled or bytearray(self.total)


@dataclass(frozen=True)
class Todo:
    """An item that an earlier run did not finish."""

    item: Item
    identity: str
    place: int  # in the manifest
    sizes: tuple[int | None, ...]  # bytes of its photographs


def identity_of(item: Item, job: str, sizes: Sequence[int | None], files: Sequence[str] = ()) -> str:
    """Hash of all that an item's folder depends on. Photographs by name and size: they are read only when needed.

    files: hashes of the files that its settings name.
    """
    settings = [pair for pair in item.settings if not files_of([pair])]
    parts = [job, item.id, item.photos, settings, item.notes, sizes, files]
    return hash_of(json.dumps(parts, sort_keys=True).encode())


def unfinished(
    manifest: Manifest, output: Folder, job: str, counts: Counts, retry_failed: bool, verify: Callable[[], bool]
) -> Iterator[Todo]:
    """Items to do, in order; the others are counted. Markers are read a chunk ahead.

    A photograph that was written after the marker, or any with `verify`, is compared with the marker by its hash.
    """
    rest = enumerate(manifest.items)
    photos = Photos(manifest)
    while chunk := list(islice(rest, CHUNK)):
        markers = facts_of_marker(output, [item for _, item in chunk])
        photos.look([path for _, item in chunk for path in item.photos.values()])
        for place, item in chunk:
            sizes = tuple(photos.size(path) for path in item.photos.values())
            identity = identity_of(item, job, sizes, [content_of(path) for path in files_of(item.settings)])
            marker = markers.get(item.id, {})
            if marker.get("item") == identity and not photos.replaced(item, marker, verify()):
                if marker["status"] == "done" and is_whole(output, item, marker, verify()):
                    counts.done += 1
                    counts.before += 1
                    counts.settled[place] = 1
                    continue
                if marker["status"] == "failed" and not retry_failed:
                    counts.failed += 1
                    counts.before += 1
                    counts.settled[place] = 1
                    continue
            yield Todo(item, identity, place, sizes)


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

    def replaced(self, item: Item, marker: Mapping[str, Any], verify: bool) -> bool:
        """Whether a photograph is another than the one that the item's marker is of, though its size is the same."""
        known = marker.get("rows") or [{}]
        for role, path in item.photos.items():
            folder, name = self.manifest.photo(path)
            if not (verify and "rows" in marker) and not _newer(folder, name, marker):
                continue
            sha256 = known[0].get(f"{prefix_of(role)}photo_sha256")
            if sha256 is None or self._hash(path) != sha256:
                return True
        return False

    def _hash(self, path: str) -> str | None:
        """SHA-256; None if it cannot be read, of which reading it as an item's photograph will tell."""
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

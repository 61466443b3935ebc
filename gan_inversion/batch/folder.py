"""What a batch leaves: a folder and thumbnails for each item, complete once its marker is there.

KIND/ID/...              as of a single family or edit, with timings.json apart; KIND: couples or photographs
thumbs/ID/NAME.jpg       for the report
KIND/ID/begun.json       while they are written: their names, so that what a killed run left is known as its own
KIND/ID/done.json        written last: checksums of the others, and the item's rows of the table
KIND/ID/failed.json      instead of all of these: why there is nothing
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..errors import StorageError
from ..inversion.inverter import Inverter
from ..latents import hash_of, to_json
from ..report.family import save_timings
from ..report.run_folder import RunFolder
from ..storage import Folder, json_object
from .couples import Item
from .families import TIMINGS, begin_of

THUMBS, DONE, FAILED, BEGUN = "thumbs", "done.json", "failed.json", "begun.json"
PART = re.compile(r"\..+\.[0-9a-f]{12}\.part")  # how `storage.write_atomically` calls what is not whole yet


class Made(Protocol):
    """All that is drawn of one item."""

    @property
    def files(self) -> list[str]:
        """Names of all that is written into its folder, but for its markers."""

    def report(self, folder: RunFolder, inverter: Inverter) -> None:
        """Write it, the summary last."""

    def thumbs(self) -> dict[str, bytes]:
        """File name -> JPEG: `NAME.jpg` for `NAME.png`."""

    def rows(self, item: Item, document: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Of the table, of what the summary says."""


def save_item(
    output: Folder, item: Item, identity: str, made: Made, inverter: Inverter, clock: Mapping[str, float]
) -> None:
    """Write an item's folder and thumbnails; the marker last. What an earlier attempt left is removed first."""
    place, thumbs = output / item.KIND / item.id, output / THUMBS / item.id
    clear(output, item)
    files = made.files
    place.write(BEGUN, to_json({"files": files}))
    with _staged(place) as root:
        folder = RunFolder(root)
        begin = time.perf_counter()
        made.report(folder, inverter)
        spent = {**clock, "report": time.perf_counter() - begin}
        save_timings(folder, {part: round(seconds, 3) for part, seconds in spent.items()})
        names = sorted({*folder.written, item.SUMMARY} - {TIMINGS})
        assert set(names) < set(files)  # or a killed run would leave what nobody knows
        written = {name: (root / name).read_bytes() for name in names}
        document = json.loads(written[item.SUMMARY])
    small = made.thumbs()
    for name, data in small.items():
        thumbs.write(name, data)
    sums = {name: [len(data), hash_of(data)] for name, data in written.items()}
    small_sums = {name: [len(data), hash_of(data)] for name, data in small.items()}
    marker = {"item": identity, "files": sums, "thumbs": small_sums, "rows": made.rows(item, document)}
    place.remove(BEGUN)
    place.write(DONE, to_json(marker))


def save_failure(output: Folder, item: Item, identity: str, reason: str) -> None:
    """Write why there is nothing, instead of it."""
    clear(output, item)
    (output / item.KIND / item.id).write(FAILED, to_json({"item": identity, "error": reason}))


def clear(output: Folder, item: Item) -> None:
    """Remove what an earlier attempt at this item left, and nothing else: what its markers or its summary list.

    The marker goes first, so that it is never half there and done; the lists go last, so that a killed removal goes on.
    """
    place, thumbs = output / item.KIND / item.id, output / THUMBS / item.id
    last = (item.SUMMARY, BEGUN)
    listed = {kind: _listed(place, kind) for kind in (DONE, *last)}
    if listed[DONE] is not None:
        place.remove(DONE)
    files = {file for names in listed.values() for file in names or ()} - {item.SUMMARY}
    _remove(thumbs, [f"{file.removesuffix('.png')}.jpg" for file in files if file.endswith(".png")])
    _remove(place, [*sorted(files - set(last)), *(kind for kind in last if listed[kind] is not None)])
    if "item" in read_json(place, FAILED):
        place.remove(FAILED)
    for folder in (place.local, thumbs.local):
        for part in folder.glob(".*.part") if folder is not None else ():
            if PART.fullmatch(part.name):
                part.unlink(missing_ok=True)


def _listed(place: Folder, marker: str) -> list[str] | None:
    """The files that a marker, or a summary, lists; None if it is not there, or lists none."""
    files = read_json(place, marker).get("files")
    if not isinstance(files, (list, dict)):
        return None
    return [file for file in files if isinstance(file, str) and Path(file).name == file]


def _remove(folder: Folder, names: Iterable[str]) -> None:
    for name in names:
        if folder.local is None or (folder.local / name).is_file():
            folder.remove(name)


def is_whole(output: Folder, item: Item, marker: Mapping[str, Any], verify: bool) -> bool:
    """Whether all that the marker lists is there, by its size, or with `verify` by its checksum.

    Sizes are looked at on this machine only: what an object store has taken it does not shorten.
    """
    if not all(isinstance(marker.get(part), dict) for part in ("files", "thumbs")) or "rows" not in marker:
        return False
    if not all(
        isinstance(one, list) and len(one) == 2 for part in ("files", "thumbs") for one in marker[part].values()
    ):
        return False
    for folder, files in ((item.KIND, marker["files"]), (THUMBS, marker["thumbs"])):
        place = output / folder / item.id
        for name, (size, checksum) in files.items():
            if verify:
                try:
                    if hash_of(place.read(name)) != checksum:
                        return False
                except FileNotFoundError:
                    return False
            elif place.local is not None and place.size(name) != size:
                return False
    return True


def row_without_picture(item: Item, status: str, error: str | None) -> dict[str, Any]:
    """The one row of an item that failed, or was not done."""
    return begin_of(item, "", status=status, error=error)


def facts_of_marker(output: Folder, items: Sequence[Item]) -> dict[str, dict[str, Any]]:
    """Id -> what its marker says, for items that have one, read side by side; a damaged marker is none."""
    folder, names = output / items[0].KIND, [item.id for item in items]
    data = folder.read_many([f"{name}/{kind}" for name in names for kind in (DONE, FAILED)])
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        for kind in (DONE, FAILED):
            if value := json_object(data.get(f"{name}/{kind}", b"")):
                written = _written(folder, f"{name}/{kind}")
                found.setdefault(name, {**value, "status": "done" if kind == DONE else "failed", "written": written})
    return found


def _written(folder: Folder, name: str) -> float | None:
    """When, on this machine; far storages would be asked once more for each item."""
    try:
        return (folder.local / name).stat().st_mtime if folder.local is not None else None
    except OSError:
        return None


def read_json(folder: Folder, name: str) -> dict[str, Any]:
    """Empty if there is none, or no such thing."""
    try:
        return json_object(folder.read(name))
    except FileNotFoundError:
        return {}


@contextlib.contextmanager
def _staged(place: Folder) -> Iterator[Path]:
    """A folder of this machine to write to: the place itself, or one whose files are then sent there."""
    if place.local is not None:
        yield place.local
        return
    try:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            yield root
            for path in sorted(root.iterdir()):
                place.write(path.name, path.read_bytes())
    except OSError as error:  # it is nobody's photograph's fault
        raise StorageError(
            f"{tempfile.gettempdir()}: cannot be written ({error.strerror}). Free some space."
        ) from error

"""Looking after a store: what is in it, whether it is whole, what nobody needs, and forgetting a photograph."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..storage import Folder, sha256_of_file
from .store import DAMAGED, DATA, FACES, INVERSIONS, PHOTOS, STATES, Store, name_of

LIVE = 3600  # seconds after which an unfinished file belongs to a process that is gone
Progress = Callable[[Iterable[tuple[str, str]]], Iterable[tuple[str, str]]]


@dataclass
class Contents:
    """A store's files, sorted out."""

    entries: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # (kind, key) -> its files
    photos: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # photo's hash -> its entries
    damaged: list[str] = field(default_factory=list)  # files that were set aside
    parts: list[str] = field(default_factory=list)  # files that were not finished
    foreign: list[str] = field(default_factory=list)  # files that no store wrote
    sizes: dict[str, int] = field(default_factory=dict)

    def complete(self, kind: str, key: str) -> bool:
        """Whether its marker and data are there."""
        names = [Path(name).name for name in self.entries.get((kind, key), [])]
        return f"{key}.json" in names and key + DATA[kind] in names


def contents(store: Store) -> Contents:
    """List a store. Raises UserError where there is none."""
    folder = folder_of(store)
    found = Contents(sizes=folder.sizes())
    if not found.sizes:
        raise UserError(f"store.path={store.path}: there is no store.")
    for name in found.sizes:
        top, _, rest = name.partition("/")
        last = rest.rpartition("/")[2]
        key = last.partition(".")[0]
        if last.startswith(".") and last.endswith(".part"):
            found.parts.append(name)
        elif top in DATA and last.endswith(DAMAGED):
            found.damaged.append(name)
        elif top in DATA and rest.startswith(f"{key[:2]}/{key}."):
            found.entries.setdefault((top, key), []).append(name)
        elif top == PHOTOS and rest.count("/") == 1 and last.partition("-")[0] in DATA:
            kind, _, key = last.partition("-")
            found.photos.setdefault(rest.partition("/")[0], []).append((kind, key))
        else:
            found.foreign.append(name)
    return found


def verify(store: Store, found: Contents, progress: Progress) -> dict[str, list[str]]:
    """Read every entry and compare its checksum. -> entries by their state, one of `STATES`, as KIND/KEY."""
    told: dict[str, list[str]] = {state: [] for state in STATES}
    for kind, key in progress(list(found.entries)):
        told[store.check(kind, key)].append(f"{kind}/{key}")
    return told


def prune(store: Store, found: Contents, keep_days: float | None, damaged: Collection[str] = ()) -> list[str]:
    """Remove what cannot be used: `damaged` entries, as `verify` names them; files set aside, entries without their
    marker, leftovers of killed processes, notes of entries that are gone; with `keep_days`, also
    entries written longer ago. Returns the removed files.

    Files of the last hour that are not finished may be somebody's who is at work: they stay.
    """
    folder, now = folder_of(store), time.time()

    def old(name: str, seconds: float) -> bool:
        written = folder.written_at(name)
        return written is not None and now - written > seconds

    def new(kind: str, key: str) -> bool:  # made since the store was listed
        return (kind, key) not in found.entries and folder.size(f"{name_of(kind, key)}.json") is not None

    damaged = {name for name in damaged if store.check(*name.split("/")) == "damaged"}  # not made again since

    gone = found.damaged + [name for name in found.parts if old(name, LIVE)]
    kept = set()
    for (kind, key), names in found.entries.items():
        complete = found.complete(kind, key)
        age = LIVE if not complete else keep_days * 86400 if keep_days is not None else None
        if f"{kind}/{key}" in damaged or (age is not None and old(names[0], age)):
            gone += sorted(names, key=lambda name: not name.endswith(f"{key}.json"))  # the marker first
        else:
            kept.add((kind, key))
    for photo, links in found.photos.items():
        notes = {link: f"{PHOTOS}/{photo}/{link[0]}-{link[1]}" for link in links}
        bad = {link for link in links if f"{link[0]}/{link[1]}" in damaged}
        gone += [note for link, note in notes.items() if link in bad]
        gone += [n for link, n in notes.items() if link not in kept | bad and old(n, LIVE) and not new(*link)]
    remove(folder, gone)
    return gone


def forget(store: Store, found: Contents, photo: str) -> list[str]:
    """Remove all that was made of a photograph, and every note of it. `photo`: its file, or its SHA-256 if it is gone.

    A crop or inversion that an equal photograph shares goes too. Returns the removed files.
    """
    sha256 = photo if len(photo) == 64 and set(photo) <= set("0123456789abcdef") else sha256_of_file(photo)
    mine = set(found.photos.get(sha256, []))
    gone = []
    for kind, key in sorted(mine):
        names = found.entries.get((kind, key), [])
        gone += sorted(names, key=lambda name: not name.endswith(f"{key}.json"))  # the marker first
        gone += [name for name in found.damaged + found.parts if key in name]
    gone += [f"{PHOTOS}/{other}/{kind}-{key}" for other, links in found.photos.items() for kind, key in links
             if (kind, key) in mine]  # fmt: skip
    gone += [name for name in found.sizes if name.startswith(f"{PHOTOS}/{sha256}/") and name not in gone]
    folder = folder_of(store)
    remove(folder, gone)
    folder.remove_empty(f"{PHOTOS}/{sha256}")
    return gone


def remove(folder: Folder, names: Iterable[str]) -> None:
    for name in names:
        folder.remove(name)


def folder_of(store: Store) -> Folder:
    if store.path is None:
        raise UserError("store.path=null: name the store.")
    return Folder(store.path)


def megabytes(found: Contents, kind: str) -> float:
    """Of all entries of a kind."""
    return (
        sum(found.sizes[name] for (which, _), names in found.entries.items() if which == kind for name in names) / 1e6
    )


def text_of(store: Store, found: Contents) -> str:
    """What is in the store, for people."""
    lines = [f"store: {store.path}"]
    for kind, what in ((FACES, "aligned faces"), (INVERSIONS, "inversions")):
        keys = [key for which, key in found.entries if which == kind]
        lines.append(f"  {len(keys):>8} {what}, {megabytes(found, kind):.1f} MB")
    lines.append(f"  {len(found.photos):>8} photographs they were made of")
    for what, names in (
        ("files of damaged entries, set aside", found.damaged),
        ("files not finished", found.parts),
        ("files that no store wrote", found.foreign),
    ):
        if names:
            lines.append(f"  {len(names):>8} {what}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}")
    for sha256, links in sorted(found.photos.items()):
        kinds = [kind for kind, _ in links]
        lines.append(f"  {sha256}: {kinds.count(FACES)} aligned faces, {kinds.count(INVERSIONS)} inversions")
    half = [f"{kind}/{key}" for kind, key in found.entries if not found.complete(kind, key)]
    if half:
        lines.append(f"  {len(half):>8} entries without their marker: never used")
    return "\n".join(lines)

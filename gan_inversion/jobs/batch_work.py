"""Which face and which couple comes next. Couples are opened as there is room, so a manifest of any length is no burden."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..interfaces import StorageError, UserError
from ..latents import hash_of
from ..storage import Folder
from .batch import ROLES, CoupleDone, CoupleItem, FaceDone, FaceItem
from .batch_folder import facts_of_marker, is_whole, save_failure
from .couples import Couple, Manifest

log = logging.getLogger(__name__)

OPEN = 512  # couples that wait for a face at once
REMEMBERED = 20_000  # faces whose place in the store is remembered; others are looked up again
CHUNK = 256  # markers read side by side
LOSSES = 3  # times a couple may find its faces gone from the store


@dataclass
class Counts:
    """Of couples, and of faces inverted in this run."""

    total: int
    done: int = 0
    failed: int = 0
    before: int = 0  # of done and failed: by earlier runs
    inverted: int = 0
    found: int = 0  # faces that the store had


@dataclass(frozen=True)
class Todo:
    """A couple that an earlier run did not finish."""

    couple: Couple
    identity: str


def identity_of(couple: Couple, job: str, sizes: Sequence[int | None]) -> str:
    """Hash of all that a couple's folder depends on. Photographs by name and size: they are read only when needed."""
    parts = [job, couple.id, couple.father, couple.mother, couple.settings, couple.notes, sizes]
    return hash_of(json.dumps(parts, sort_keys=True).encode())


def unfinished(
    manifest: Manifest, output: Folder, job: str, counts: Counts, retry_failed: bool, verify: bool
) -> Iterator[Todo]:
    """Couples to do, in order; the others are counted. Markers are read a chunk ahead."""
    rest = iter(manifest.couples)
    while chunk := list(islice(rest, CHUNK)):
        markers = facts_of_marker(output, [couple.id for couple in chunk])
        for couple in chunk:
            sizes = [folder.size(name) for folder, name in map(manifest.photo, (couple.father, couple.mother))]
            identity = identity_of(couple, job, sizes)
            marker = markers.get(couple.id, {})
            if marker.get("couple") == identity:
                if marker["status"] == "done" and is_whole(output, couple, marker, verify):
                    counts.done += 1
                    counts.before += 1
                    continue
                if marker["status"] == "failed" and not retry_failed:
                    counts.failed += 1
                    counts.before += 1
                    continue
            yield Todo(couple, identity)


class Couples:
    """The `Work` of a batch: faces that couples wait for, then the couples."""

    def __init__(
        self, todo: Iterator[Todo], manifest: Manifest, output: Folder, counts: Counts, on_change: Callable[[], None]
    ) -> None:
        self.todo, self.manifest, self.output, self.counts, self.on_change = todo, manifest, output, counts, on_change
        self.stopped_by: StorageError | None = None
        self._number = 0
        self._under_way: dict[int, tuple[_Waiting | None, Any]] = {}
        self._faces: OrderedDict[FaceItem, FaceDone | UserError] = OrderedDict()
        self._wanted: deque[FaceItem] = deque()
        self._waiting: dict[FaceItem, list[_Waiting]] = {}
        self._ready: deque[_Waiting] = deque()
        self._open = 0

    def take(self, most: int) -> Sequence[tuple[int, Any]]:
        """A couple whose faces are done, else faces."""
        while self.stopped_by is None and not self._ready and len(self._wanted) < most and self._open < OPEN:
            todo = next(self.todo, None)
            if todo is None:
                break
            self._open += 1
            self._look(_Waiting(todo, self._items(todo.couple)))
        if self.stopped_by is not None:
            return []
        if self._ready:
            one = self._ready.popleft()
            father, mother = (one.found[item] for item in one.items)
            return [self._give(one, CoupleItem(one.todo.couple, (father, mother), one.todo.identity))]
        count = min(most, len(self._wanted))
        return [self._give(None, self._wanted.popleft()) for _ in range(count)]

    def keep(self, number: int, result: Any) -> None:
        one, item = self._under_way.pop(number)
        if isinstance(result, StorageError):  # the disk is full, not the photograph bad: nothing is to be blamed on it
            self.stopped_by = result
            return
        if one is None:
            self._keep_face(item, result)
        elif isinstance(result, UserError):
            self._fail(one, result)
        elif isinstance(result, CoupleDone) and result.lost:
            self._again(one, result.lost)
        else:
            self.counts.done += 1
            self._open -= 1
        self.on_change()

    def _items(self, couple: Couple) -> tuple[FaceItem, FaceItem]:
        settings = dict(couple.settings)
        father, mother = (
            FaceItem(path, *self.manifest.photo(path), settings.get(f"{role}_face"))
            for role, path in zip(ROLES, (couple.father, couple.mother), strict=True)
        )
        return father, mother

    def _look(self, one: _Waiting) -> None:
        """Find out what the couple waits for."""
        one.missing = set()
        for item in dict.fromkeys(one.items):
            known = self._faces.get(item)
            if isinstance(known, UserError):
                self._fail(one, known)
                return
            if known is None:
                one.missing.add(item)
            else:
                one.found[item] = known
        for item in one.missing:
            if item not in self._waiting:
                self._wanted.append(item)
            self._waiting.setdefault(item, []).append(one)
        if not one.missing:
            self._ready.append(one)

    def _keep_face(self, item: FaceItem, result: Any) -> None:
        waiting = self._waiting.pop(item, [])
        if isinstance(result, FaceDone) and not result.finished:
            return  # interrupted: its couples are not done, and nobody asks for more
        self._faces[item] = result
        if len(self._faces) > REMEMBERED:
            self._faces.popitem(last=False)
        if isinstance(result, FaceDone):
            self.counts.inverted += result.inverted
            self.counts.found += not result.inverted
        else:
            log.error(str(result))
        for one in waiting:
            if one.failed:
                continue
            if isinstance(result, UserError):
                self._fail(one, result)
                continue
            one.found[item] = result
            one.missing.discard(item)
            if not one.missing:
                self._ready.append(one)

    def _again(self, one: _Waiting, lost: Sequence[FaceDone]) -> None:
        """The store lost a face between its inversion and its couple, or kept it badly: it is done again."""
        one.losses += 1
        if one.losses > LOSSES:
            self._fail(one, UserError(f"{one.todo.couple.id}: the store does not keep its faces. Check its disk."))
            return
        for done in lost:
            self._faces.pop(done.item, None)
        self._look(one)

    def _fail(self, one: _Waiting, error: UserError) -> None:
        one.failed = True
        self._open -= 1
        self.counts.failed += 1
        self.on_change()
        try:
            save_failure(self.output, one.todo.couple, one.todo.identity, str(error))
        except StorageError as full:
            self.stopped_by = full

    def _give(self, one: _Waiting | None, item: Any) -> tuple[int, Any]:
        self._number += 1
        self._under_way[self._number] = one, item
        return self._number, item


class _Waiting:
    """A couple on its way."""

    def __init__(self, todo: Todo, items: tuple[FaceItem, FaceItem]) -> None:
        self.todo, self.items = todo, items
        self.found: dict[FaceItem, FaceDone] = {}
        self.missing: set[FaceItem] = set()
        self.failed = False
        self.losses = 0

"""Which face and which item comes next. Items are opened as there is room, so a manifest of any length is no burden."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from ..errors import StorageError, UserError
from ..latents import hash_of
from ..storage import Folder
from .couples import Item, Manifest, prefix_of
from .folder import save_failure
from .state import Counts, Todo
from .work import Done, FaceDone, FaceItem, Ready

log = logging.getLogger(__name__)

OPEN = 512  # items that wait for a face at once
REMEMBERED = 20_000  # faces whose place in the store is remembered; others are looked up again
LOSSES = 3  # times an item may find its faces gone from the store


class Items:
    """The `Work` of a batch: faces that items wait for, then the items."""

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
        self._sizes: dict[FaceItem, int | None] = {}  # of faces that are wanted or under way
        self._inverting: set[FaceItem] = set()
        self._held: deque[FaceItem] = deque()  # equal to one of those

    def take(self, most: int) -> Sequence[tuple[int, Any]]:
        """An item whose faces are done, else faces."""
        while self.stopped_by is None and not self._ready and self._open < OPEN:
            faces = self._next_faces(most)
            if len(faces) == most or (todo := next(self.todo, None)) is None:
                return [self._give(None, item) for item in faces]
            for item in reversed(faces):
                self._wanted.appendleft(item)
                self._inverting.discard(item)
            self._open += 1
            items = self._items(todo.item)
            self._sizes |= {item: size for item, size in zip(items, todo.sizes, strict=True) if item not in self._faces}
            self._look(_Waiting(todo, items))
        if self.stopped_by is not None:
            return []
        if self._ready:
            one = self._ready.popleft()
            return [
                self._give(one, Ready(one.todo.item, tuple(map(one.found.__getitem__, one.items)), one.todo.identity))
            ]
        return [self._give(None, item) for item in self._next_faces(most)]

    def _next_faces(self, most: int) -> list[FaceItem]:
        """Wanted faces, but for those of a photograph that is under way under another name: the store will have them."""
        chosen: list[FaceItem] = []
        while self._wanted and len(chosen) < most:
            item = self._wanted.popleft()
            twins = [one for one in self._inverting if one.face == item.face and self._sizes[one] == self._sizes[item]]
            if _content(item) in map(_content, twins) if twins else False:
                self._held.append(item)
            else:
                chosen.append(item)
                self._inverting.add(item)
        return chosen

    def keep(self, number: int, result: Any) -> None:
        one, item = self._under_way.pop(number)
        if isinstance(result, StorageError):  # the disk is full, not the photograph bad: nothing is to be blamed on it
            self.stopped_by = result
            return
        if one is None:
            self._keep_face(item, result)
        elif isinstance(result, UserError):
            self._fail(one, result)
        elif isinstance(result, Done) and result.lost:
            self._again(one, result.lost)
        else:
            self.counts.done += 1
            self.counts.settled[one.todo.place] = 1
            self._open -= 1
        self.on_change()

    def _items(self, item: Item) -> tuple[FaceItem, ...]:
        settings = dict(item.settings)
        return tuple(
            FaceItem(path, *self.manifest.photo(path), settings.get(f"{prefix_of(role)}face"))
            for role, path in item.photos.items()
        )

    def _look(self, one: _Waiting) -> None:
        """Find out what the item waits for."""
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
        self._inverting.discard(item)
        self._wanted.extendleft(self._held)
        self._held.clear()
        self._sizes.pop(item, None)
        if isinstance(result, FaceDone) and not result.finished:
            return  # interrupted: its items are not done, and nobody asks for more
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
        """The store lost a face between its inversion and its item, or kept it badly: it is done again."""
        one.losses += 1
        if one.losses > LOSSES:
            self._fail(one, UserError(f"{one.todo.item.id}: the store does not keep its faces. Check its disk."))
            return
        for item, size in zip(one.items, one.todo.sizes, strict=True):
            self._sizes.setdefault(item, size)
        for done in lost:
            self._faces.pop(done.item, None)
        self._look(one)

    def _fail(self, one: _Waiting, error: UserError) -> None:
        one.failed = True
        self._open -= 1
        self.counts.failed += 1
        self.on_change()
        try:
            save_failure(self.output, one.todo.item, one.todo.identity, str(error))
            self.counts.settled[one.todo.place] = 1
        except StorageError as full:
            self.stopped_by = full

    def _give(self, one: _Waiting | None, item: Any) -> tuple[int, Any]:
        self._number += 1
        self._under_way[self._number] = one, item
        return self._number, item


@lru_cache(maxsize=1000)
def _content(item: FaceItem) -> str:
    """What tells equal photographs, whatever they are called; of one that cannot be read, its own name."""
    try:
        return hash_of(item.folder.read(item.file))
    except (FileNotFoundError, StorageError):
        return item.name


class _Waiting:
    """An item on its way."""

    def __init__(self, todo: Todo, items: tuple[FaceItem, ...]) -> None:
        self.todo, self.items = todo, items
        self.found: dict[FaceItem, FaceDone] = {}
        self.missing: set[FaceItem] = set()
        self.failed = False
        self.losses = 0

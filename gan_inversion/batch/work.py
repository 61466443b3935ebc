"""A batch: faces, and what is made of them, as items that any runner can do. Each face once; each item a folder of its own.

A face is read, aligned and inverted into the store; a couple, or a photograph's edits, are drawn from the store into a
folder. Items name files and keys only, so they are small wherever they travel.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import StorageError, UserError
from ..execution.work import Job, is_out_of_memory
from ..image import LARGEST, Photo, decode_photo
from ..interfaces import AlignedFace, Aligner, OnStep
from ..metrics.reconstruction import evaluate
from ..report.run_folder import Clock
from ..storage import Folder
from ..store.inversions import Inverted, Task, tuned_couple
from ..store.store import FACES, INVERSIONS, Record, Store, face_key
from .couples import Item
from .folder import Made, save_item

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class FaceItem:
    """A photograph to be aligned and inverted."""

    name: str  # as the manifest has it
    folder: Folder
    file: str
    face: int | None = None  # which, from the left


@dataclass(frozen=True)
class FaceDone:
    """Where a face lies in the store."""

    item: FaceItem
    face_key: str
    inversion_key: str
    inverted: bool = False  # in this run
    finished: bool = True


@dataclass(frozen=True)
class Ready:
    """An item whose faces are in the store, to be drawn."""

    item: Item
    faces: tuple[FaceDone, ...]  # in the order of its photographs
    identity: str  # of the item's job: what its marker is to say

    @property
    def name(self) -> str:
        return self.item.id


@dataclass(frozen=True)
class Done:
    """An item whose folder is complete; or, with `lost`, one whose faces the store no longer has."""

    item: Item
    lost: tuple[FaceDone, ...] = ()


@dataclass(frozen=True)
class _Face:
    item: FaceItem
    key: str
    face: AlignedFace
    inversion_key: str = ""
    record: Record | None = None
    inverted: bool = False  # in this run
    new: bool = False  # the record is not in the store yet


@dataclass(frozen=True)
class Read:
    """An item with its photographs, and what the store has of their faces."""

    item: Ready
    photos: dict[str, Photo] = field(default_factory=dict)
    faces: list[AlignedFace] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    made: Made | None = None


@dataclass(frozen=True)
class Batch(Job):
    """Does faces and items. `draw`: an item and the inversions of its photographs, in order -> all that is made of it."""

    task: Task
    aligner: Callable[[], Aligner]
    draw: Callable[[Read, list[Inverted]], Made]
    store: Store
    output: Folder
    seed: int  # of inversions: a father has one, however many couples he is in

    @property
    def together(self) -> int:
        return self.task.together

    def prepare(self, item: FaceItem | Ready) -> Any:
        """Read, and align what was not aligned before."""
        return _guarded(item.name, lambda: self._face(item) if isinstance(item, FaceItem) else self._read(item))

    def __call__(self, items: Sequence[Any], on_step: OnStep) -> Sequence[Any]:
        """Invert faces side by side; draw an item."""
        first = items[0]
        if isinstance(first, _Face):
            return _guarded(first.item.name, lambda: self._invert(items, on_step))
        return [self._drawn(one, _as_one(i, on_step)) for i, one in enumerate(items)]

    def finish(self, result: Any) -> Any:
        """Put an inversion into the store, what was made of an item into its folder."""
        if isinstance(result, _Face):
            return _guarded(result.item.name, lambda: self._keep(result))
        if isinstance(result, Read):
            return _guarded(result.item.name, lambda: self._save(result))
        return result

    def _face(self, item: FaceItem) -> _Face:
        photo = read_photo(item)
        key = face_key(photo, self.aligner(), item.face)
        face = self.store.get_face(key, item.name, photo)
        if face is None:
            face = self.aligner()(photo, item.name, item.face, None)
            self.store.put_face(key, face, photo)
        else:
            with contextlib.suppress(StorageError):  # a note may have been pruned while the entry was made
                self.store.link(photo.sha256, FACES, key)
        return _Face(item, key, face)

    def _invert(self, faces: Sequence[_Face], on_step: OnStep) -> list[_Face]:
        inverter = self.task.make_inverter()
        keys = [inverter.key(one.face, self.seed) for one in faces]
        done = []
        for one, key in zip(faces, keys, strict=True):
            record = self.store.get(key)
            missing = [name for name in self.task.metrics if record and name not in record.metrics]
            if record is not None and missing:  # stored before these metrics were asked for
                more = evaluate(one.face, record.inversion, inverter.generator, missing)
                record = replace(record, metrics={**record.metrics, **more})
            done.append(replace(one, inversion_key=key, record=record, inverted=record is None, new=bool(missing)))
        new = {one.inversion_key: one for one in done if one.inverted}  # two photographs may have the same crop
        if new:
            found = self.task([(one.face, self.seed) for one in new.values()], on_step)
            records = dict(zip(new, (record for record, _ in found), strict=True))
            done = [replace(one, record=records[one.inversion_key], new=True) if one.inverted else one for one in done]
        return done

    def _keep(self, one: _Face) -> FaceDone:
        assert one.record is not None
        if one.new:
            self.store.put(one.inversion_key, one.record, one.face.photo_sha256)
        if one.record.inversion.finished:
            self.store.link(one.face.photo_sha256, INVERSIONS, one.inversion_key)
        if not self._tunes and (reason := self.task.refusal(one.record)):
            raise UserError(f"{one.item.name}: {reason}")
        return FaceDone(one.item, one.key, one.inversion_key, one.inverted, one.record.inversion.finished)

    def _read(self, item: Ready) -> Read | Done:
        roles = item.item.ROLES
        one, lost = Read(item), list[FaceDone]()
        with one.clock("read"):
            for role, done in zip(roles, item.faces, strict=True):
                photo = one.photos[role] = read_photo(done.item)
                changed = face_key(photo, self.aligner(), done.item.face) != done.face_key  # since its inversion
                face = self.store.get_face(done.face_key, role, photo)
                record = self.store.get(done.inversion_key)
                if changed or face is None or record is None:
                    lost.append(done)
                else:
                    one.faces.append(face)
                    one.records.append(record)
        return Done(item.item, tuple(lost)) if lost else one

    @property
    def _tunes(self) -> bool:
        """Whether parents are refined together, after each was inverted by itself."""
        refine = self.task.make_inverter().refine
        return refine is not None and refine.together

    def _drawn(self, one: Read | Done, on_step: OnStep) -> Read | Done:
        if isinstance(one, Done):
            return one
        return _guarded(one.item.name, lambda: replace(one, made=self.draw(one, self._inverted(one, on_step))))

    def _inverted(self, one: Read, on_step: OnStep) -> list[Inverted]:
        """The faces, measured and judged; those of parents refined together where that is asked for."""
        keys = [done.inversion_key for done in one.item.faces]
        before = [not done.inverted for done in one.item.faces]
        if self._tunes:
            couple = [Inverted(*parts) for parts in zip(one.faces, one.records, keys, before, strict=True)]
            found, failed = tuned_couple(couple, self.task, self.store, on_step)
            if failed:
                raise UserError("; ".join(item.reason for item in failed))
            if not all(item.inversion.finished for item in found):
                raise KeyboardInterrupt
            return found
        records = [self._measured(face, record) for face, record in zip(one.faces, one.records, strict=True)]
        return [
            Inverted(face, record, key, known, verdict=self.task.verdict(record))
            for face, record, key, known in zip(one.faces, records, keys, before, strict=True)
        ]

    def _measured(self, face: AlignedFace, record: Record) -> Record:
        """With the metrics that were asked for, and no others: another run may have kept others in the store."""
        missing = [name for name in self.task.metrics if name not in record.metrics]
        more = evaluate(face, record.inversion, self.task.make_inverter().generator, missing) if missing else {}
        return replace(record, metrics={name: {**record.metrics, **more}[name] for name in self.task.metrics})

    def _save(self, one: Read) -> Done:
        assert one.made is not None
        item, inverter = one.item.item, self.task.make_inverter()
        save_item(self.output, item, one.item.identity, one.made, inverter, one.clock.seconds)
        return Done(item)


def _as_one(number: int, on_step: OnStep) -> OnStep:
    """Steps of an item's faces, told as those of one."""
    return lambda step: on_step(replace(step, face=number))


def read_photo(item: FaceItem, whole: bool = False) -> Photo:
    """Raises UserError naming the file as the manifest has it."""
    try:
        data = item.folder.read(item.file, LARGEST)
    except FileNotFoundError as error:
        raise UserError(f"{item.name}: no such file.") from error
    except StorageError as error:  # one photograph that cannot be read is no reason to stop
        raise UserError(str(error)) from error
    return decode_photo(data, Path(item.name), whole)


def _guarded(name: str, function: Callable[[], T]) -> T:
    """Whatever else goes wrong with one item is its failure, with a reason, and nobody else's."""
    try:
        return function()
    except StorageError:
        raise
    except UserError as error:  # photographs in folders of their own are all called father.jpg
        short = f"{Path(name).name}: "
        raise UserError(
            f"{name}: {str(error).removeprefix(short)}" if str(error).startswith(short) else str(error)
        ) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise
        log.exception("%s", name)
        raise UserError(f"{name}: unexpected {type(error).__name__}: {error}") from error

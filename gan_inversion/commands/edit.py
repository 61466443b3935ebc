"""One face in, the same face changed out: load, align, invert, edit, decode, report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from ..checkpoints.projected import latents_at_for
from ..editing.edits import ORDER, Edit, Wish, known
from ..errors import UserError
from ..image import Photo, load_photo
from ..interfaces import Generator, Inversion
from ..latents import check_shape, hash_of_latents, split_entry
from ..report import edit as folder_of
from ..report import family
from ..report.edit import Subject
from ..report.progress import InversionBar, bar_of
from ..report.run_folder import Clock, RunFolder
from ..store.inversions import invert_faces
from .common import Inverting, Invocation, at_least, fitting, open_job

log = logging.getLogger(__name__)

Numbers = float | tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class EditFace(Inverting):
    ABOUT: ClassVar[str] = f" Labels: {known()}."

    photo: str | None
    latents: str | None
    face: int | None
    age: Numbers
    gender: str | None
    yaw: Numbers
    pitch: Numbers
    smile: Numbers
    eyes_open: Numbers
    hair_darkness: Numbers
    glasses: Numbers
    steps: dict[str, float] = field(default_factory=dict)
    directions: str
    bound: float
    hold: int
    paste_back: bool
    frames: int = at_least(0)
    fps: int = at_least(1)
    size: int = at_least(32)

    def run(self, call: Invocation) -> None:
        """Raises UserError naming the photograph or the key; KeyboardInterrupt if it was cut short."""
        clock, edits = Clock(), self.edits()
        self.check()
        with clock("load"):
            generator = self.generator.load(self.device)
            if self.paste_back and generator.domain != "face":
                raise UserError(f"paste_back=true: {generator.name} draws no faces, and nothing else is put back.")
            directions = edits[0].load(generator)
            stored = self._stored(generator)
            photos = family.load({"photo": self.photo} if self.photo else {})
        hashes = {f"{name}_sha256": photo.sha256 for name, photo in photos.items()}
        hashes |= {"latents_sha256": hash_of_latents(stored.latents)} if stored else {}
        inputs = [self.photo or split_entry(str(self.latents))[0]]
        folder, job = open_job(self, call, inputs, directions=directions.sha256, **hashes)
        subject = Subject(stored) if stored else self._inverted(photos, generator, folder, clock)
        cut_short = stored is None and not subject.inversion.finished
        if cut_short and folder.keeps_finished(folder_of.SUMMARY):
            log.warning("%s: the finished result of an earlier run is kept", folder.root)
            raise KeyboardInterrupt
        with clock("edit"):
            made = [edit(subject.inversion.latents, directions, generator) for edit in bar_of("editing", "edit")(edits)]
        named = dict(zip(folder_of.names_of(len(made)), made, strict=True))
        with clock("decode"):
            latents = {"inversion": subject.inversion.latents} | {name: one.latents for name, one in named.items()}
            pictures = family.decode(latents, generator)
        with clock("report"):
            told = folder_of.report(folder, subject, named, pictures, generator, self.paste_back)
            if self.frames:
                folder_of.film(folder, subject, named, directions, generator, self.film)
        folder.path("timings.json")
        folder_of.finish(folder, subject, told, generator, job)
        family.save_timings(folder, clock.seconds)
        print(folder_of.table(told))
        print(f"edit: {folder.root / 'strip.png'}")
        if cut_short:
            raise KeyboardInterrupt

    def edits(self) -> list[Edit]:
        """One, or as many as the lists among the labels are long. Raises UserError for what cannot be asked for."""
        wishes: dict[str, tuple[Wish, ...]] = {}
        for name in ORDER:
            value: Wish | tuple[Wish, ...] | None = getattr(self, name)
            if value is not None:
                wishes[name] = value if isinstance(value, tuple) else (value,)
        counts = {len(values) for values in wishes.values()} - {1}
        if len(counts) > 1 or 0 in counts:
            told = " ".join(f"{name}=[{len(values)} values]" for name, values in wishes.items())
            raise UserError(f"{told}: lists must be of one length, which is the number of edits.")
        count = next(iter(counts), 1)
        each = {name: values * (count // len(values)) for name, values in wishes.items()}
        rows = [{name: values[i] for name, values in each.items()} for i in range(count)]
        return [Edit(row, self.steps, self.directions, self.bound, self.hold) for row in rows]

    @property
    def film(self) -> tuple[int, int, int]:
        """Frames, 0 for none; pixels; frames a second."""
        return self.frames, self.size, self.fps

    def check(self) -> None:
        """Raises UserError for keys that do not go together."""
        if (self.photo is None) == (self.latents is None):
            raise UserError("give one of photo=FILE and latents=FILE:NAME.")
        if self.paste_back and self.photo is None:
            raise UserError("paste_back=true needs photo=FILE: stored latents have no photograph to go back into.")
        if self.frames == 1 or self.size % 2:
            raise UserError(f"frames={self.frames} size={self.size}: a film needs two frames, and an even size.")

    def _stored(self, generator: Generator) -> Inversion | None:
        """What `latents` names. Raises UserError naming the file."""
        if self.latents is None:
            return None
        found = latents_at_for(self.latents, generator)
        if found.generator_sha256 != generator.sha256:
            raise UserError(f"{self.latents}: these latents belong to another generator. Choose it.")
        check_shape(found.latents, generator, self.latents)
        return found

    def _inverted(self, photos: Mapping[str, Photo], generator: Generator, folder: RunFolder, clock: Clock) -> Subject:
        task = self.task()
        with clock("align"):
            faces = family.align(photos, fitting(self.aligner, generator), {"photo": self.face}, folder)
        with clock("load"):
            inverter = task.make_inverter()
        with clock("invert"), InversionBar(1, inverter.steps) as bar:
            inverted, failed = invert_faces(faces, [self.seed], task, self.runner, self.store, bar)
        if failed:
            raise UserError(failed[0].reason)
        if not inverted:
            raise KeyboardInterrupt
        told = family.describe_inversion(inverted[0], inverter)
        whole = partial(load_photo, str(self.photo), whole=True)
        return Subject(inverted[0].inversion, faces[0], whole, told, tuple(inverter.pursued))

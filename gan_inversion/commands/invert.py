"""Photographs in, latents out, whether optimised or only encoded."""

from __future__ import annotations

from dataclasses import dataclass

from ..report import album
from ..report.family import save_timings
from ..report.progress import InversionBar
from ..report.run_folder import Clock
from ..store.inversions import invert_faces
from .common import Inverting, Invocation, fitting, open_job


@dataclass(frozen=True, kw_only=True)
class Invert(Inverting):
    photos: tuple[str, ...]
    face: int | None

    def run(self, call: Invocation) -> None:
        """Raises UserError, after all the others are done and saved, if a photograph failed."""
        clock, task = Clock(), self.task()
        with clock("load"):
            inverter = task.make_inverter()
            paths = album.find_photos(self.photos)
            hashes = album.hashes_of(paths)
        folder, _ = open_job(self, call, paths.values(), photos=hashes)
        with clock("align"):
            aligner = fitting(self.aligner, inverter.generator)
            faces, failures = album.load_and_align(paths, aligner, self.face, folder)
        with clock("invert"), InversionBar(len(faces), inverter.steps) as bar:
            seeds = [self.seed] * len(faces)
            found, failed = invert_faces(faces, seeds, task, self.runner, self.store, bar)
        with clock("report"):
            self.save_events(folder, found, inverter.generator)
            rows = album.save_all(folder, list(paths), found, failed, failures, inverter)
        save_timings(folder, clock.seconds)
        album.say_goodbye(folder, rows)

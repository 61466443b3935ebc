"""Two photographs in, a child's face out: load, align, invert, blend, decode, report."""

from __future__ import annotations

from dataclasses import dataclass

from ..report import family
from ..report.progress import InversionBar, bar_of
from ..report.run_folder import Clock
from ..store.inversions import invert_couple
from .common import Conceiving, Inverting, Invocation, fitting, open_job


@dataclass(frozen=True, kw_only=True)
class Family(Inverting, Conceiving):
    of_couples = True

    father: str
    mother: str
    father_face: int | None
    mother_face: int | None

    def run(self, call: Invocation) -> None:
        """Raises UserError naming the photograph or the key; KeyboardInterrupt if it was cut short."""
        clock, task = Clock(), self.task()
        with clock("load"):
            inverter = task.make_inverter()
            generator = inverter.generator
            conceive = self.conception(generator)
            photos = family.load({"father": self.father, "mother": self.mother})
        hashes = {f"{role}_sha256": photo.sha256 for role, photo in photos.items()}
        folder, job = open_job(self, call, (self.father, self.mother), **hashes)
        with clock("align"):
            numbers = {"father": self.father_face, "mother": self.mother_face}
            faces = family.align(photos, fitting(self.aligner, generator), numbers, folder)
        with clock("invert"), InversionBar(len(faces), inverter.steps) as bar:
            inverted, failed = invert_couple(faces, [self.seed] * 2, task, self.runner, self.store, bar)
        father, mother = family.both(inverted, failed)
        with clock("blend"):
            children = conceive(father, mother, generator, bar_of("children", "child"))
        with clock("decode"):
            made = {name: child.latents for name, child in children.items()}
            pictures = family.decode({"father": father.latents, "mother": mother.latents, **made}, generator)
        with clock("report"):
            self.save_events(folder, inverted, generator)
            sheet = family.report(folder, photos, inverted, children, pictures, inverter, job)
        family.save_timings(folder, clock.seconds)
        family.say_goodbye(sheet, inverted)

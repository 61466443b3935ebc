"""Stored inversions in, children out; nothing is inverted."""

from __future__ import annotations

from dataclasses import dataclass

from ..blending.recipes import check_parents
from ..checkpoints.projected import load_latents_for
from ..latents import hash_of_latents
from ..report import family
from ..report.progress import bar_of
from .common import Conceiving, Invocation, open_job


@dataclass(frozen=True, kw_only=True)
class Blend(Conceiving):
    father: str
    mother: str

    def run(self, call: Invocation) -> None:
        """Raises UserError naming the file or the key."""
        generator = self.generator.load(self.device)
        father, mother = (
            load_latents_for(path, role, generator) for role, path in (("father", self.father), ("mother", self.mother))
        )
        conceive = self.conception(generator)
        check_parents(father, mother, generator)
        hashes = {"father_sha256": hash_of_latents(father.latents), "mother_sha256": hash_of_latents(mother.latents)}
        folder, job = open_job(self, call, (self.father, self.mother), **hashes)
        children = conceive(father, mother, generator, bar_of("children", "child"))
        pictures = family.decode({name: child.latents for name, child in children.items()}, generator)
        family.report_children(folder, children, pictures, generator, (father, mother), job)
        print(f"children: {folder.root}")

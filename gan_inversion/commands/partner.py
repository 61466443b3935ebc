"""A child and one parent -> faces of the other."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ..blending.offspring import Child, shared_copy
from ..blending.partner import partner
from ..blending.recipes import check_parents
from ..checkpoints.projected import latents_at_for
from ..editing.steering import FixedSteps, Steering
from ..interfaces import Latents
from ..latents import hash_of_latents, render, split_entry
from ..report import family
from ..report.contact_sheet import tiles_sheet
from ..report.progress import bar_of
from .common import Common, Invocation, at_least, open_job

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Partner(Common):
    of_child: str
    parent: str
    child: Steering | FixedSteps
    samples: int = at_least(1)
    diversity: float = at_least(0)

    def run(self, call: Invocation) -> None:
        """Raises UserError naming the file or the key."""
        generator = self.generator.load(self.device)
        child, parent = (latents_at_for(entry, generator) for entry in (self.of_child, self.parent))
        check_parents(child, parent, generator, ("child", "parent"))
        directions = self.child.load(generator)
        if child.style_offset is not None:
            log.warning(
                "this child has a style offset, inherited by region or refined: it is left out, and its other parent "
                "guessed without it"
            )
        hashes = {"of_child": hash_of_latents(child.latents), "parent": hash_of_latents(parent.latents)}
        inputs = [split_entry(entry)[0] for entry in (self.of_child, self.parent)]
        folder, job = open_job(self, call, inputs, **hashes)
        male = directions is not None and directions.require_reader()(render(generator, parent.latents)).male > 0.5
        other = "female" if male else "male"
        found, shared = {}, shared_copy(child, parent)
        for index in bar_of("partners", "face")(range(self.samples)):
            ws = partner(child.ws, parent.ws, generator, self.seed, index, self.diversity)
            for steered in self.child(Latents(ws, tuning=shared), other, directions, generator):
                one = Child(index, {"sample": index}, steered, len(self.child.targets) > 1)
                found[one.name.replace("child", "partner")] = Child(index, {"sample": index}, steered)
        pictures = family.decode({name: one.latents for name, one in found.items()}, generator)
        known = family.decode({"child": child.latents, "parent": parent.latents}, generator)
        tiles = {"child": known["child"], "known parent": known["parent"]}
        tiles |= {name.replace("_", " "): picture for name, picture in pictures.items()}
        facts = family.facts_of(generator, (child, parent)) | {"picture": "partners"}
        folder.synthetic("partners.png", tiles_sheet(tiles, family.footer_of(facts)), facts)
        family.report_children(folder, found, pictures, generator, (child, parent), job)
        print(f"partners: {folder.root / 'partners.png'}")

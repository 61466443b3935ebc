"""A child and one parent -> faces of the other."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ..blending.inheritance import FromOneParent, Inheritance
from ..blending.offspring import Child, changed_since, shared_copy
from ..blending.partner import partner
from ..blending.recipes import check_parents
from ..checkpoints.projected import latents_at_for
from ..editing.graft import grafted
from ..editing.steering import FixedSteps, Steering
from ..errors import UserError
from ..interfaces import Latents
from ..latents import hash_of_latents, render, split_entry
from ..report import family
from ..report.contact_sheet import tiles_sheet
from ..report.progress import bar_of
from ..spaces.p_space import draw_back
from .common import Common, Invocation, at_least, open_job

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Partner(Common):
    of_child: str
    parent: str
    inherit: FromOneParent
    child: Steering | FixedSteps
    samples: int = at_least(1)
    diversity: float = at_least(0)

    def run(self, call: Invocation) -> None:
        """Raises UserError naming the file or the key."""
        generator = self.generator.load(self.device)
        child, parent = (latents_at_for(entry, generator) for entry in (self.of_child, self.parent))
        check_parents(child, parent, generator, ("child", "parent"))
        directions = self.child.load(generator)
        self.inherit.check(generator)
        if self.inherit.chosen and directions is None:
            raise UserError(
                f"inherit.{next(iter(self.inherit.chosen))}: whether the known parent is the father or the mother is "
                "read by what steers. Set child.age or child.gender."
            )
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
        taken, told = self.taken("father" if other == "male" else "mother")
        grown = []  # the child as old as the guess, and of its sex
        if taken:
            inside = Latents(draw_back(child.ws, generator.statistics()), child.style_offset, tuning=shared)
            grown = [one.latents for one in self.child(inside, other, directions, generator)]
        for index in bar_of("partners", "face")(range(self.samples)):
            ws = partner(child.ws, parent.ws, generator, self.seed, index, self.diversity)
            for age, steered in enumerate(self.child(Latents(ws, tuning=shared), other, directions, generator)):
                if taken:
                    parts = {region: (grown[age], share) for region, share in taken.items()}
                    latents = grafted(steered.latents, parts, generator)
                    steered = changed_since(steered, latents, self.child, directions, generator)
                one = Child(index, {"sample": index, **told}, steered, len(self.child.targets) > 1)
                found[one.name.replace("child", "partner")] = Child(index, {"sample": index, **told}, steered)
        pictures = family.decode({name: one.latents for name, one in found.items()}, generator)
        known = family.decode({"child": child.latents, "parent": parent.latents}, generator)
        tiles = {"child": known["child"], "known parent": known["parent"]}
        tiles |= {name.replace("_", " "): picture for name, picture in pictures.items()}
        facts = family.facts_of(generator, (child, parent)) | {"picture": "partners"}
        folder.synthetic("partners.png", tiles_sheet(tiles, family.footer_of(facts)), facts)
        family.report_children(folder, found, pictures, generator, (child, parent), job)
        print(f"partners: {folder.root / 'partners.png'}")

    def taken(self, guessed: str) -> tuple[dict[str, float], dict[str, Any]]:
        """Region -> share of the way to the child's, of those that it has from the guessed one, father or mother; and what
        the summary says of all."""
        parts = Inheritance(chosen=self.inherit.chosen).parts
        taken = {region: share for region, (who, share) in parts.items() if who == guessed}
        known = [region for region in parts if region not in taken]
        if not self.inherit.chosen:
            return {}, {}
        log.info("by the known parent's sex, as what steers reads it, the %s is guessed", guessed)
        if known:
            log.info("%s: from the known parent, so nothing is to be taken over", ", ".join(known))
        return taken, {"guessed": guessed, "regions_of_the_child": taken, "regions_from_the_known_parent": known}

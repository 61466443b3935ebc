"""One photograph or two in, a child's face out: load, align, invert, blend, decode, report."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..blending.drawn_parent import AMONG, OTHER, DrawnParent, draw_parent
from ..blending.inheritance import children as recipes_of
from ..blending.offspring import Child, Conception
from ..blending.pedigree import Pedigree, read_pedigree
from ..checkpoints.projected import latents_at_for
from ..editing.steering import Steering
from ..errors import UserError
from ..interfaces import Generator, Inversion
from ..latents import hash_of, hash_of_latents
from ..report import family
from ..report.progress import InversionBar, bar_of
from ..report.run_folder import Clock
from ..store.inversions import invert_couple, invert_faces
from .common import Conceiving, Inverting, Invocation, at_least, fitting, open_job


@dataclass(frozen=True, kw_only=True)
class Family(Inverting, Conceiving):
    of_couples = True

    father: str | None
    mother: str | None
    father_face: int | None
    mother_face: int | None
    drawn_parent: str

    def run(self, call: Invocation) -> None:
        """Raises UserError naming the photograph or the key; KeyboardInterrupt if it was cut short."""
        paths, clock, task = self.given(call), Clock(), self.task()
        with clock("load"):
            inverter = task.make_inverter()
            generator = inverter.generator
            conceive = self.conception(generator)
            self.check_people(paths, conceive)
            photos = family.load(paths)
        hashes = {f"{role}_sha256": photo.sha256 for role, photo in photos.items()}
        folder, job = open_job(self, call, paths.values(), **hashes)
        with clock("align"):
            numbers = {"father": self.father_face, "mother": self.mother_face}
            faces = family.align(photos, fitting(self.aligner, generator), numbers, folder)
        with clock("invert"), InversionBar(len(faces), inverter.steps) as bar:
            inverted, failed = invert_couple(faces, [self.seed] * len(faces), task, self.runner, self.store, bar)
        parents = family.parents(faces, inverted, failed)
        with clock("blend"):
            drawn = self.missing(parents, conceive, generator)
            parents |= {drawn.role: drawn.inversion} if drawn else {}
            children = conceive(parents["father"], parents["mother"], generator, bar_of("children", "child"))
        with clock("decode"):
            everyone = {role: parents[role].latents for role in OTHER}
            pictures = family.decode(everyone | {name: child.latents for name, child in children.items()}, generator)
        with clock("report"):
            self.save_events(folder, inverted, generator)
            sheet = family.report(folder, photos, inverted, children, pictures, inverter, job, drawn)
        family.save_timings(folder, clock.seconds)
        family.say_goodbye(sheet, inverted)

    def given(self, call: Invocation) -> dict[str, str]:
        """Role -> photograph, of one parent or both. Raises UserError for none, and for keys that would change nothing."""
        paths = {role: path for role, path in (("father", self.father), ("mother", self.mother)) if path is not None}
        if not paths:
            raise UserError(
                "father must be given: father=... and mother=..., or one of them alone, and the other is drawn."
            )
        if self.drawn_parent not in AMONG:
            raise UserError(f"drawn_parent={self.drawn_parent}: choose one of {', '.join(AMONG)}.")
        if len(paths) == 2 and "drawn_parent" in call.typed:
            raise UserError("drawn_parent: nobody is drawn where father and mother are given. Leave it out.")
        for role, number in (("father", self.father_face), ("mother", self.mother_face)):
            if number is not None and role not in paths:
                raise UserError(f"{role}_face={number}: there is no {role}=... to look for it in.")
        if len(paths) == 1 and self.refine is not None and self.refine.together:
            raise UserError("refine.together=true: one copy for both parents needs photographs of both.")
        return paths

    def check_people(self, paths: dict[str, str], conceive: Conception) -> None:
        """Raises UserError, before a face is inverted, where people like a parent are wanted and there are none."""
        if len(paths) == 1 and self.drawn_parent == "like" and conceive.inheritance.people is None:
            raise UserError(
                "drawn_parent=like needs people among whom to look: inherit.people and a diversity above 0. Or choose "
                "drawn_parent=anyone."
            )

    def missing(self, parents: dict[str, Inversion], conceive: Conception, generator: Generator) -> DrawnParent | None:
        """Whoever has no photograph, drawn."""
        if len(parents) == 2:
            return None
        ((role, given),) = parents.items()
        people = conceive.inheritance.people if self.drawn_parent == "like" else None
        return draw_parent(OTHER[role], given, generator, self.seed, people)


@dataclass(frozen=True, kw_only=True)
class Generations(Inverting, Conceiving):
    """Grandparents, parents, children: each drawn of what the YAML `tree` says, by its name and the seed."""

    tree: str
    grown: float = at_least(0)

    def run(self, call: Invocation) -> None:
        """Raises UserError naming file, line or person; after KeyboardInterrupt the inversions that are done are kept."""
        tree, task = read_pedigree(self.tree), self.task()
        inverter = task.make_inverter()
        generator = inverter.generator
        conceive = self.conception(generator)
        stored = {n: latents_at_for(one.latents, generator) for n, one in tree.founders.items() if one.latents}
        photos = family.load({name: one.photo for name, one in tree.founders.items() if one.photo})
        hashes = {name: f"{photo.sha256} {tree.founders[name].face}" for name, photo in photos.items()}
        hashes |= {name: hash_of_latents(one.latents) for name, one in stored.items()}
        folder, job = open_job(self, call, [self.tree], people=hashes, couples=[vars(one) for one in tree.unions])
        numbers = {name: one.face for name, one in tree.founders.items()}
        faces = family.align(photos, fitting(self.aligner, generator), numbers, folder)
        with InversionBar(len(faces), inverter.steps) as bar:
            inverted, failed = invert_faces(faces, [self.seed] * len(faces), task, self.runner, self.store, bar)
        if any(not item.inversion.finished for item in inverted):
            raise KeyboardInterrupt  # what is finished is in the store
        people = stored | family.parents(faces, inverted, failed)
        born = self.born(tree, people, conceive, generator)
        latents = {name: one.latents for name, one in people.items()} | {name: c.latents for name, c in born.items()}
        pictures = family.decode(latents, generator)
        print(f"family tree: {family.report_tree(folder, tree, inverted, born, latents, pictures, generator, job)}")

    def born(
        self, tree: Pedigree, people: dict[str, Inversion], conceive: Conception, generator: Generator
    ) -> dict[str, Child]:
        """Everyone with parents in the tree: the last generation as `child` says, those before grown up, parents by role."""
        levels, known, found = tree.generations, dict(people), dict[str, Child]()
        roles = {union.father: "male" for union in tree.unions} | {union.mother: "female" for union in tree.unions}
        for union in tree.unions:
            for name in bar_of("children", "child")(union.children):
                seed = int(hash_of(f"{self.seed} {name}".encode())[:7], 16)
                recipes = recipes_of(self.blend, 1, None, seed, self.diversity, generator.num_ws)
                one, steering = replace(conceive, recipes=recipes), conceive.steering
                if isinstance(steering, Steering) and conceive.directions is not None:
                    older = levels[name] < max(levels.values())
                    age = self.grown if older else steering.age
                    gender = roles.get(name) or union.genders[name] or steering.gender
                    one = replace(one, steering=replace(steering, age=age, ages=None, gender=gender))
                (child,) = one(known[union.father], known[union.mother], generator, lambda numbers: numbers).values()
                found[name] = child
                known[name] = Inversion(child.latents.ws, generator.sha256, tuning=child.latents.tuning)
        return found

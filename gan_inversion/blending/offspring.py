"""Parents -> children: inheritance drawn for each child, then age and gender as asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..editing.files import Directions
from ..editing.graft import can_graft
from ..editing.hold import Colours
from ..editing.steering import FixedSteps, Steered, Steering
from ..interfaces import Generator, Inversion, Latents
from ..losses.prior import p_norm
from ..spaces.p_space import draw_back, is_inside
from .colours import check_colours, tinted, tints
from .inheritance import Inherit, Inheritance, Sibling
from .recipes import Recipe, check_parents

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Child:
    """One picture's worth of a child: at one age, with all that it came from."""

    number: int
    inheritance: dict[str, Any]
    steered: Steered
    one_of_many_ages: bool = False

    @property
    def latents(self) -> Latents:
        return self.steered.latents

    @property
    def name(self) -> str:
        """child_00, or child_00_age_08 where it is drawn at several ages."""
        age = f"_age_{self.steered.age:04.1f}".removesuffix(".0") if self.one_of_many_ages else ""
        return f"child_{self.number:02d}{age}"

    def caption(self, alone: bool) -> str:
        """For a contact sheet."""
        steered = self.steered
        goal = " ".join(
            part for part in (steered.gender, f"at {steered.age:g}" if steered.age is not None else "") if part
        )
        twin = "(twin)" if "identical_twin_of_draw" in self.inheritance else ""
        return " ".join(part for part in ("child" if alone else f"child {self.number:02d}", goal, twin) if part)

    def describe(self) -> dict[str, Any]:
        """For a summary, as JSON values. Readings are those of the estimators that steered."""
        steered, told = self.steered, dict(self.inheritance)
        if steered.read:
            told["asked_for"] = {"age": steered.age, "gender": steered.gender or None}
            told["read_by_what_steered"] = {"age": round(steered.read.age, 2), "male": round(steered.read.male, 4)}
            told["reached"] = steered.reached
        if any(steered.steps):
            told["steps"] = {"age": steered.steps[0], "gender": steered.steps[1]}
        return told


@dataclass(frozen=True)
class Conception:
    """Everything that makes children, loaded and checked before any face is inverted."""

    recipes: Mapping[int, Sibling]
    inheritance: Inheritance
    steering: Steering | FixedSteps
    directions: Directions | None  # None where nothing is steered

    @property
    def files(self) -> dict[str, str]:
        """Hashes of what was read, for a job's identity."""
        inherited = self.inheritance
        read = {
            "directions_sha256": self.directions,
            "regions_sha256": inherited.regions,
            "people_sha256": inherited.people,
        }
        return {name: file.sha256 for name, file in read.items() if file is not None}

    def __call__(
        self,
        father: Inversion,
        mother: Inversion,
        generator: Generator,
        progress: Callable[[Iterable[int]], Iterable[int]],
    ) -> dict[str, Child]:
        """Name -> child, one by one, so that none depends on its siblings. Raises UserError for foreign latents."""
        check_parents(father, mother, generator)
        if any(recipe.diversity for recipe in self.recipes.values()):
            for role, parent in (("father", father), ("mother", mother)):
                _warn_outside(role, parent, generator)
        children, shared = {}, shared_copy(father, mother)
        grown: dict[str, list[dict[str, Latents]]] = {}  # drawn gender -> at each of the children's ages, who is needed
        base = next(iter(self.recipes.values())).base
        like = self.inheritance.like(base, father.ws, mother.ws, generator)
        own = self.steering.colours_of((father.latents, mother.latents), self.directions, generator)
        said = tints(self.inheritance.colours, own)
        colours = tinted(own, said)
        for number in progress(list(self.recipes)):
            recipe = self.recipes[number]
            drawn = self.inheritance(recipe, father.ws, mother.ws, generator, like)
            latents = replace(drawn, tuning=shared)
            told = describe_inheritance(recipe, self.inheritance, len(father.ws))
            told |= {} if recipe.twin is None else {"identical_twin_of_draw": recipe.index}
            several = len(self.steering.targets) > 1
            steered_to = self.steering(latents, recipe.gender, self.directions, generator, colours)
            if self.inheritance.parts and can_graft(generator):
                if recipe.gender not in grown:
                    grown[recipe.gender] = self._parents_grown(father, mother, recipe.gender, own, said, generator)
                steered_to = [
                    self._with_regions(one, parents, generator)
                    for one, parents in zip(steered_to, grown[recipe.gender], strict=True)
                ]
            for steered in steered_to:
                child = Child(number, told, steered, several)
                children[child.name] = child
        return children

    def _parents_grown(
        self,
        father: Inversion,
        mother: Inversion,
        gender: str,
        colours: Sequence[Colours],
        said: Mapping[int, Tensor],
        generator: Generator,
    ) -> list[dict[str, Latents]]:
        """At each of the children's ages, and of their sex: whose regions are wanted, with their own skin and hair, or
        those that were said: hair comes with its colour."""
        wanted, grown = {who for who, _ in self.inheritance.parts.values()}, {}
        for number, (who, parent) in enumerate((("father", father), ("mother", mother))):
            if who in wanted:
                own = tinted([replace(colours[number], scene=one.scene) for one in colours], said)
                inside = Latents(draw_back(parent.ws, generator.statistics()))
                grown[who] = self.steering(inside, gender, self.directions, generator, own)
        return [
            {who: ages[index].latents for who, ages in grown.items()} for index in range(len(self.steering.targets))
        ]

    def _with_regions(self, steered: Steered, parents: Mapping[str, Latents], generator: Generator) -> Steered:
        latents = self.inheritance.with_regions(steered.latents, parents, generator)
        return changed_since(steered, latents, self.steering, self.directions, generator)


def changed_since(
    steered: Steered,
    latents: Latents,
    steering: Steering | FixedSteps,
    directions: Directions | None,
    generator: Generator,
) -> Steered:
    """With these latents, and what is read in their picture if anything was."""
    if steered.read is None or directions is None:
        return replace(steered, latents=latents)
    return steering.read_again(replace(steered, latents=latents), directions, generator)


def shared_copy(father: Inversion, mother: Inversion) -> Tensor | None:
    """[2, K]: the tuned copy that draws both parents, if there is one: it draws their children too."""
    if father.tuning is None or mother.tuning is None or not torch.equal(father.tuning, mother.tuning):
        return None
    return father.tuning


def _warn_outside(role: str, parent: Inversion, generator: Generator) -> None:
    statistics = generator.statistics()
    if not is_inside(parent.ws, statistics):
        norm = p_norm(parent.ws[None], statistics).item()
        log.warning(
            "the %s's latents lie outside the generator's population (P-norm %.0f, samples have 1): children are made of "
            "what of the person lies inside. Invert the photograph anew with space=p space.reach=3.",
            role, norm,
        )  # fmt: skip


def prepare(
    recipes: Mapping[int, Sibling], inherit: Inherit, steering: Steering | FixedSteps, generator: Generator
) -> Conception:
    """Raises UserError for what is missing: regions or directions of this generator."""
    inheritance = inherit.load(generator, any(recipe.diversity for recipe in recipes.values()))
    directions = steering.load(generator)
    check_colours(inheritance.colours, steering, directions)
    return Conception(recipes, inheritance, steering, directions)


def describe_inheritance(recipe: Recipe, inheritance: Inheritance, num_ws: int) -> dict[str, Any]:
    """The weights of the mother by row of W+, and by region and row; of colours where they were said."""
    regions = {region: weights.tolist() for region, weights in inheritance.weights(recipe, num_ws).items()}
    colours = {"colour_weights": dict(inheritance.colours)} if inheritance.colours else {}
    return {"mother_weights": recipe.weights(num_ws).tolist(), "region_weights": regions, **colours}

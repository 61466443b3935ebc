"""What each child of a family gets from whom: seeded draws, the same whoever is drawn beside it.

The model is that of quantitative genetics (Fisher 1918; Barton 2017, "The infinitesimal model"): a child is what its parents
pass on, each with its own weight for coarse, middle and fine features and for each region of the face, plus something of
its own with the variance that mixing took away, so that children are as varied as their parents' generation. That is drawn
among people like the parents (`editing.people`), as the model has it for parents of like ancestry: drawn from all people, it
would lead every child towards the average of the generator's training set, in skin and hair first of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ..editing.files import Regions, load_regions
from ..editing.graft import GRAFTS, can_graft, grafted
from ..editing.people import People, load_people
from ..editing.regions import REGIONS
from ..errors import UserError
from ..interfaces import GENDERS, Generator, Latents
from ..latents import NAMES_A_FILE, render
from ..spaces.p_space import draw_back, from_p, to_p
from .colours import COLOURS
from .recipes import FINE, MIDDLE, Recipe, weight_of

LOOK = 256  # pixels at which people like the parents are looked for
MUTATION = 0.6  # share of a child's coarse and middle rows that is new, at diversity 1
LATER = 0.15  # the same of what sets identical twins apart, which no parent passed on


@dataclass(frozen=True)
class Sibling(Recipe):
    """One of many children: `base` with each group's weight drawn, and a mutation. (seed, index) alone decide what is drawn.

    diversity 0 gives `base` itself, 1 families like real ones (docs/children.md), 2 and more near strangers. mutation: what
    share of the coarse and middle rows it is, at diversity 1. pool: people like the parents, [M, D] in P: the mutation is
    the difference of two of them, over sqrt(2); None: a sample of the whole population. twin: the number of one who shares
    the draw of `index` with identical twins: only what came later in life is its own, drawn by this number.
    """

    base: Recipe
    seed: int = 0
    index: int = 0
    diversity: float = 1.0
    mutation: float = MUTATION
    pool: Tensor | None = field(default=None, repr=False, compare=False)
    twin: int | None = None

    @property
    def path(self) -> str:  # type: ignore[override]
        return self.base.path

    @property
    def gender(self) -> str:
        """Which it is, if nobody says."""
        return GENDERS[int(self._random(0).integers(2))]

    def weights(self, num_ws: int) -> Tensor:
        """[L]: base's, each group of rows moved together; certain where base's are 0, 1 or beyond."""
        means, shares = self.base.weights(num_ws).double(), self._shares(1, 3)
        rows = torch.arange(num_ws)
        share = torch.tensor(shares)[(rows >= MIDDLE).long() + (rows >= FINE).long()]
        return _around(means, share).float()

    def region_weights(self, num_ws: int) -> dict[str, Tensor]:
        """Region -> weight of the mother for the styles of each row [L], around base's, as certain as those."""
        means, shares = self.base.weights(num_ws).double(), self._shares(2, len(REGIONS)).tolist()
        drawn = [_around(means, torch.full_like(means, share)).float() for share in shares]
        return dict(zip(REGIONS, drawn, strict=True))

    def __call__(self, father: Tensor, mother: Tensor, generator: Generator) -> Tensor:
        """father, mother [L, D] -> child [L, D]."""
        if not self.diversity:
            return self.base(father, mother, generator)
        ws = super().__call__(father, mother, generator)  # by `mix` of the base
        own, passed_on = shares_of(self.diversity, self.mutation)
        statistics = generator.statistics()
        mean = statistics.p_mean
        new = own * self._new(generator, 3)
        if self.twin is not None:
            new = new + LATER * self.diversity * replace(self, index=self.twin)._new(generator, 4)
        changed = from_p(mean + passed_on * (to_p(ws) - mean) + new)
        changed[FINE:] = ws[FINE:]  # colours and light are the photograph's more than the person's
        return draw_back(changed, statistics)

    def mix(self, father: Tensor, mother: Tensor, weights: Tensor, generator: Generator) -> Tensor:
        return self.base.mix(father, mother, weights, generator)

    def _new(self, generator: Generator, stream: int) -> Tensor:
        """[1, D]: a deviation in P, of the variance of its population."""
        if self.pool is not None:
            one, other = self._random(stream).choice(len(self.pool), 2, replace=False)
            return (self.pool[one] - self.pool[other])[None] / 2**0.5
        z = torch.from_numpy(self._random(stream).standard_normal((1, generator.z_dim))).float()
        with torch.no_grad():
            return to_p(generator.mapping(z.to(generator.device)).cpu()) - generator.statistics().p_mean

    def _shares(self, stream: int, count: int) -> np.ndarray:
        """[count] in 0..1: 0.5 for each at diversity 0, uniform at 1, mostly 0 or 1 above."""
        if not self.diversity:
            return np.full(count, 0.5)
        spread = self.diversity**-2
        return self._random(stream).beta(spread, spread, count)

    def _random(self, stream: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, self.index, stream])))


def shares_of(diversity: float, mutation: float = MUTATION) -> tuple[float, float]:
    """(a child's own part, what of its parents' mean is kept): even means have half the population's variance, and the
    whole is not to exceed it."""
    own = min(mutation * diversity, 1.0)
    return own, min(1.0, (2 * (1 - own**2)) ** 0.5)


def _around(means: Tensor, shares: Tensor) -> Tensor:
    """Weights with these means, as far from them as the nearer parent allows."""
    room = torch.minimum(means, 1 - means).clamp_min(0)
    return means + (2 * shares - 1) * room


@dataclass(frozen=True)
class FromOneParent:
    """Regions that are seen to be one parent's: father, mother, a weight of the mother, or None: nothing is said."""

    name: ClassVar[str] = "from_one_parent"

    eyes: str | float | None = None
    brows: str | float | None = None
    nose: str | float | None = None
    mouth: str | float | None = None
    face_shape: str | float | None = None
    hair: str | float | None = None

    def __post_init__(self) -> None:
        for region in GRAFTS:
            if (value := getattr(self, region)) is not None:
                weight_of(value, f"inherit.{region}")

    @property
    def chosen(self) -> dict[str, float]:
        """Region -> weight, of those that were said."""
        said = {region: getattr(self, region) for region in GRAFTS if getattr(self, region) is not None}
        return {region: weight_of(value, f"inherit.{region}") for region, value in said.items()}

    def check(self, generator: Generator) -> None:
        """Raises UserError for what cannot be taken over in this generator's pictures."""
        if self.chosen and not can_graft(generator):
            raise UserError(
                f"inherit.{next(iter(self.chosen))}: regions are taken over in faces of {LOOK} pixels and more, by features "
                f"that {generator.name} does not hand out. Leave it out."
            )


@dataclass(frozen=True)
class Inherit(FromOneParent):
    """Regions from one parent, whatever the blend: father, mother, a weight of the mother, or None to leave it drawn.

    skin, hair_colour: the same of colours, weights from 0 to 1; None: between the parents'. path: the regions of this
    generator, a catalogue entry or a file; None: a generator without, whose regions follow the blend. mutation, people: how
    much of a child is new, and the people among whom it is drawn; None: the whole population.
    """

    name: ClassVar[str] = "regions"
    version: ClassVar[int] = 3

    skin: str | float | None = None
    hair_colour: str | float | None = None
    path: str | None = field(default="regions_mobile_stylegan_ffhq", metadata=NAMES_A_FILE)
    mutation: float = MUTATION
    people: str | None = field(default="people_mobile_stylegan_ffhq", metadata=NAMES_A_FILE)

    def __post_init__(self) -> None:
        if not 0 <= self.mutation <= 1:
            raise UserError(f"inherit.mutation={self.mutation:g}: from 0 to 1.")
        super().__post_init__()
        styled = [region for region in self.chosen if region in REGIONS]
        if styled and self.path is None:
            raise UserError(f"inherit.{styled[0]} needs inherit.path: the regions of this generator.")
        for colour, weight in self.colours.items():
            if not 0 <= weight <= 1:
                raise UserError(f"inherit.{colour}={weight:g}: father, mother, or a weight from 0 to 1.")

    @property
    def colours(self) -> dict[str, float]:
        """Colour -> weight, of those that were said."""
        said = {colour: getattr(self, colour) for colour in COLOURS if getattr(self, colour) is not None}
        return {colour: weight_of(value, f"inherit.{colour}") for colour, value in said.items()}

    def load(self, generator: Generator, drawn: bool) -> Inheritance:
        """drawn: whether anything is left to chance. Raises UserError if a file is missing or another generator's."""
        if self.brows is not None:  # no styles are known to be theirs
            self.check(generator)
        styled = any(region in REGIONS for region in self.chosen)
        regions = load_regions(self.path, generator) if self.path and (drawn or styled) else None
        people = load_people(self.people, generator) if self.people and self.mutation and drawn else None
        return Inheritance(regions, self.chosen, self.mutation, people, self.colours)


def style_offset(
    ws: Tensor, father: Tensor, mother: Tensor, weights: Mapping[str, Tensor], regions: Regions, generator: Generator
) -> Tensor:
    """[S]: what to add to the styles of the child's ws [L, D], so that each region's are those of its parents' mixture.

    weights: region -> weight of the mother for the styles of each row, [L].
    """
    with torch.no_grad():
        child, first, second = generator.styles(torch.stack([ws, father, mother]).to(generator.device)).cpu()
    offset = torch.zeros_like(child)
    for region, weight in weights.items():
        offset += regions.choice[region] * (torch.lerp(first, second, weight[generator.style_rows]) - child)
    return offset


@dataclass(frozen=True)
class Inheritance:
    """Parents -> children: a recipe, then the regions."""

    regions: Regions | None = None
    chosen: Mapping[str, float] = field(default_factory=dict)
    mutation: float = MUTATION
    people: People | None = None
    colours: Mapping[str, float] = field(default_factory=dict)  # that were said -> weight of the mother

    def like(self, base: Recipe, father: Tensor, mother: Tensor, generator: Generator) -> Tensor | None:
        """[M, D] in P: people like the mixture of these parents, the same for all their children; None: not asked for."""
        if self.people is None:
            return None
        father, mother = (draw_back(parent, generator.statistics()) for parent in (father, mother))
        size = min(LOOK, generator.resolution)
        return self.people.like(render(generator, Latents(base(father, mother, generator)), size), generator)

    def weights(self, recipe: Recipe, num_ws: int) -> dict[str, Tensor]:
        """Region -> weight for the styles of each row [L]: what was said, else what is drawn for this child."""
        said = {region: torch.full((num_ws,), weight) for region, weight in self.chosen.items()}
        return {**(self._drawn(recipe, num_ws) if self.regions else {}), **said}

    def _drawn(self, recipe: Recipe, num_ws: int) -> dict[str, Tensor]:
        return recipe.region_weights(num_ws) if isinstance(recipe, Sibling) and recipe.diversity else {}

    @property
    def parts(self) -> dict[str, tuple[str, float]]:
        """Region -> (whose, share of the way to theirs), of `chosen`: weights 0 and 1 are whole, 0.5 leaves it as drawn:
        brows as they are, where eyes come from someone."""
        shares = {region: 2 * weight - 1 for region, weight in self.chosen.items()}
        eyes = shares.get("eyes", 0.0)
        return {
            region: ("mother" if (share or eyes) > 0 else "father", min(abs(share), 1.0))
            for region, share in shares.items()
            if share or (region == "brows" and eyes)
        }

    def with_regions(self, child: Latents, parents: Mapping[str, Latents], generator: Generator) -> Latents:
        """The child with what is seen of `parts` in the parents, father and mother as far as they are needed, at its age."""
        return grafted(child, {region: (parents[who], share) for region, (who, share) in self.parts.items()}, generator)

    def __call__(
        self, recipe: Recipe, father: Tensor, mother: Tensor, generator: Generator, like: Tensor | None = None
    ) -> Latents:
        """father, mother [L, D] -> the child's latents. like: of `like`."""
        if isinstance(recipe, Sibling) and recipe.diversity:  # what lies outside is no face, and so no feature of one
            father, mother = (draw_back(parent, generator.statistics()) for parent in (father, mother))
            recipe = replace(recipe, mutation=self.mutation, pool=like)
        ws = recipe(father, mother, generator)
        grafts = can_graft(generator)  # then what was said comes after age and sex, and the child before is the same
        weights = self._drawn(recipe, len(ws)) if grafts else self.weights(recipe, len(ws))
        if not weights or self.regions is None:
            return Latents(ws)
        return Latents(ws, style_offset(ws, father, mother, weights, self.regions, generator))


def children(
    base: Recipe,
    siblings: int,
    only: Sequence[int] | None,
    seed: int,
    diversity: float,
    num_ws: int,
    twins: Sequence[int] = (),
) -> dict[int, Sibling]:
    """Number of each child -> its recipe, checked. `only` replays some. twins: numbers that share the draw of the least."""
    base.check(num_ws)
    if siblings < 1 or seed < 0 or diversity < 0:
        raise UserError("siblings must be at least 1; seed and diversity must not be negative.")
    if only is not None and (not only or any(n < 0 for n in only)):
        raise UserError(f"siblings_only={list(only)}: numbers from 0 are needed.")
    if twins and (len({*twins}) < max(2, len(twins)) or min(twins) < 0 or max(twins) >= siblings):
        raise UserError(f"twins={list(twins)}: two or more different numbers from 0, below siblings={siblings}.")
    numbers = range(siblings) if only is None else only
    return {
        n: Sibling(base, seed, min(twins), diversity, twin=n) if n in twins else Sibling(base, seed, n, diversity)
        for n in numbers
    }

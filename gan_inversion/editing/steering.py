"""A child's age and gender, as asked for: a step along directions, then a search that holds the person (`hold`).

Without the search, by closed loop: along a direction until an estimator agrees, since the step that a person needs for the
same years differs by a factor of three. The estimator that steers is not the one that judges (docs/children.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from ..errors import UserError
from ..interfaces import GENDERS, FaceLabels, Generator, Latents
from ..latents import NAMES_A_FILE, render
from ..spaces.p_space import from_p, to_p
from .files import Directions, load_directions
from .hold import YOUNGEST, Colours, Person, Wanted, colours_of
from .labels import log_odds
from .loop import Goal, Loop
from .scene import LABELS, SCENES, Scene, neutral_scene, settle
from .scene_reader import GLASSES

log = logging.getLogger(__name__)

PULLS = (0.0, 0.25, 0.45)  # tried in turn, until the goal is reached
SURER = 1.0  # log-odds beyond the wanted certainty that are aimed at
SIGNS = {"male": 1.0, "female": -1.0, "": 0.0}
TRIES = 2  # searches, one after the other, until the goal is reached


@dataclass(frozen=True)
class Steered:
    """A child as asked for, what the steering estimator reads in its true picture, and how it was moved."""

    latents: Latents
    age: float | None = None  # asked for, years
    gender: str = ""  # asked for; empty: nothing
    read: FaceLabels | None = None
    steps: tuple[float, float] = (
        0.0,
        0.0,
    )  # along age and gender, where the search began; in deviations
    pull: float = 0.0  # towards the average face, where the child as drawn could not be brought to its goal
    reached: bool = True


@dataclass(frozen=True)
class Steering:
    """age in years, None: as the parents'; gender: female, male, drawn (by the child's seed), None: as the blend.

    ages: one child at several ages, instead of `age`. tolerance: years. certainty: probability of the gender. bound:
    farthest step along a direction, in standard deviations; beyond it faces fall apart. search: gradient steps that hold the
    person, 0: the directions alone. scene: whose pose and smile a child has: neutral, father,
    mother (its own, where no parents are given); None: their mixture's. Glasses and the light are of the scene too.
    """

    name: ClassVar[str] = "steered"
    version: ClassVar[int] = 3

    age: float | None = 8.0
    gender: str | None = "drawn"
    ages: tuple[float, ...] | None = None
    directions: str = field(default="directions_mobile_stylegan_ffhq", metadata=NAMES_A_FILE)
    tolerance: float = 3.0
    certainty: float = 0.9
    bound: float = 4.5
    search: int = 12
    scene: str | None = "neutral"

    def __post_init__(self) -> None:
        if self.gender not in (None, "drawn", *GENDERS):
            raise UserError(f"child.gender={self.gender}: choose female, male, drawn or null.")
        if len(set(self.targets)) < len(self.targets):
            raise UserError(f"child.ages={list(self.targets)}: an age stands there twice.")
        for age in self.targets:
            if age is not None and not 0 <= age <= 80:
                raise UserError(f"child.age={age:g}: 0 to 80 years can be asked for.")
        if self.tolerance <= 0 or not 0.5 < self.certainty < 1 or self.bound <= 0:
            raise UserError("child: tolerance and bound must be above 0, certainty between 0.5 and 1.")
        if self.scene not in (None, *SCENES):
            raise UserError(f"child.scene={self.scene}: choose one of {', '.join(SCENES)}, or null.")
        if self.search < 0 or self.search == 1:
            raise UserError(f"child.search={self.search}: 0, or at least 2.")

    @property
    def targets(self) -> tuple[float | None, ...]:
        """The ages to draw, in order."""
        return self.ages or (self.age,)

    def read_again(self, steered: Steered, directions: Directions, generator: Generator) -> Steered:
        """With what is read in a picture that something else has changed since, and whether that is still the goal."""
        loop = _loop(
            self, steered.latents, directions=directions, generator=generator, age=steered.age, gender=steered.gender
        )
        read = loop.look({}, None)
        return replace(steered, read=read, reached=loop.miss(read) <= 1)

    def load(self, generator: Generator) -> Directions | None:
        """None if nothing is to be steered. Raises UserError if the directions are missing or another generator's."""
        if self.gender is None and all(age is None for age in self.targets):
            return None
        directions = load_directions(self.directions, generator)
        missing = [name for name in LABELS if name not in directions.vectors or name not in directions.deviations]
        if self.scene and missing:
            raise UserError(
                f"child.directions={self.directions}: they have no {', '.join(missing)}, which "
                f"child.scene={self.scene} needs. Set child.scene=null."
            )
        return directions

    def colours_of(
        self, parents: Sequence[Latents], directions: Directions | None, generator: Generator
    ) -> list[Colours]:
        """What their children's skin and hair are to lie between, and how heads were held; nothing if not asked for."""
        asked = directions is not None and (self.search or self.scene)
        reader = directions.scene if directions else None
        return [colours_of(render(generator, parent), reader) for parent in parents] if asked else []

    def _scene(self, parents: Sequence[Colours]) -> Scene | None:
        """What a child is settled to; None: it stays as it came."""
        if self.scene == "neutral":
            return neutral_scene([one.scene for one in parents])
        whose = {who: one.scene for who, one in zip(SCENES[1:], parents, strict=False)}
        return Scene(whose[self.scene]) if self.scene in whose else None

    def __call__(
        self,
        child: Latents,
        drawn: str,
        directions: Directions | None,
        generator: Generator,
        parents: Sequence[Colours] = (),
    ) -> list[Steered]:
        """One entry an age. drawn: this child's gender if none was said. parents: whose skin and hair its own are to lie
        between. A goal that cannot be reached is a warning."""
        gender = drawn if self.gender == "drawn" else self.gender or ""
        if directions is None:
            return [Steered(child)]
        scene = self._scene(parents)
        if scene:
            child = settle(child, scene, directions, generator)
        seen = (scene, directions.scene) if scene and directions.scene else None
        person = Person(child, directions.require_reader(), generator, parents, scene=seen) if self.search else None
        found = []
        for age in self.targets:
            loop = partial(_loop, self, directions=directions, generator=generator, age=age, gender=gender)
            steered = (
                _held(self, person, loop(child), age, gender)
                if person
                else _straight(loop, child, generator, age, gender)
            )
            if not steered.reached and steered.read:
                wanted = " ".join(str(goal) for goal in ("" if age is None else f"{age:g} years", gender) if goal)
                log.warning(
                    "asked for %s: came as near as %.0f years, male %.2f, with steps %.1f and %.1f of at most %g",
                    wanted, steered.read.age, steered.read.male, *steered.steps, self.bound,
                )  # fmt: skip
            found.append(steered)
        return found


def _held(goal: Steering, person: Person, loop: Loop, age: float | None, gender: str) -> Steered:
    """A step along directions by one reading, then the search; once more from there where it missed."""
    steps = {one.name: loop.guess(one, person.read) for one in loop.goals}
    both = steps.get("age", 0.0), steps.get("gender", 0.0)
    found = Steered(person.face, age, gender, person.read, both)
    wanted = Wanted(None if age is None else max(age, YOUNGEST), SIGNS[gender], log_odds(goal.certainty))
    latents, least = loop.moved(steps), float("inf")
    if person.scene and any(both):  # glasses come with age, and a search as short as this does not take them off
        latents = settle(latents, person.scene[0], loop.directions, person.generator, (GLASSES,), 1)
    for _ in range(TRIES):
        latents = person.move(latents, wanted, goal.search)
        read = loop.read(loop.draw(latents, None))
        missed = loop.miss(read)
        if missed < least:
            least, found = missed, replace(found, latents=latents, read=read, reached=missed <= 1)
        if missed <= 1:
            break
    return found


def _straight(
    loop_of: Callable[[Latents], Loop], child: Latents, generator: Generator, age: float | None, gender: str
) -> Steered:
    """By the closed loop; from nearer to the average, where directions lead everyone, if not from the child as it is."""
    tries = []
    for pull in PULLS:
        one = loop_of(pulled(child, pull, generator))
        steps, read = one.run()
        both = steps.get("age", 0.0), steps.get("gender", 0.0)
        missed = one.miss(read)
        tries.append((missed, Steered(one.moved(steps), age, gender, read, both, pull, missed <= 1)))
        if missed <= 1:
            break
    return min(tries, key=lambda pair: pair[0])[1]


@dataclass(frozen=True)
class FixedSteps:
    """Steps of a given length along directions, as older recipes take them; nothing is read, nothing promised.

    steps: direction -> how many. directions: a catalogue entry, or a file in a published format.
    """

    name: ClassVar[str] = "fixed_steps"

    steps: dict[str, float]
    directions: str = field(default="directions_mobile_stylegan_ffhq", metadata=NAMES_A_FILE)

    @property
    def targets(self) -> tuple[None]:
        return (None,)

    def load(self, generator: Generator) -> Directions | None:
        """None without steps. Raises UserError if the directions are missing, another generator's, or lack a name."""
        if not self.steps:
            return None
        directions = load_directions(self.directions, generator)
        for name in self.steps:
            directions[name]
        return directions

    def read_again(self, steered: Steered, directions: Directions, generator: Generator) -> Steered:
        """As it was: nothing is read, nothing promised."""
        return steered

    def colours_of(
        self, parents: Sequence[Latents], directions: Directions | None, generator: Generator
    ) -> list[Colours]:
        """None: nothing is held."""
        return []

    def __call__(
        self,
        child: Latents,
        drawn: str,
        directions: Directions | None,
        generator: Generator,
        parents: Sequence[Colours] = (),
    ) -> list[Steered]:
        """One entry. drawn, parents: not used."""
        if not self.steps or directions is None:
            return [Steered(child)]
        return [Steered(replace(child, ws=directions.move(child.ws, self.steps)))]


def pulled(child: Latents, share: float, generator: Generator) -> Latents:
    """The child, a share of the way to the average face, straight in P."""
    mean = generator.statistics().p_mean
    return replace(child, ws=from_p(torch.lerp(to_p(child.ws), mean.expand(child.ws.shape), share))) if share else child


def _loop(
    goal: Steering, child: Latents, *, directions: Directions, generator: Generator, age: float | None, gender: str
) -> Loop:
    """Gender first, then age: each direction leaves the other label alone only on the average."""
    goals, sure = [], log_odds(goal.certainty)
    if gender:
        goals.append(gender_goal(gender, sure, directions.deviations["gender"]))
    if age is not None:
        goals.append(age_goal(age, goal.tolerance, directions.deviations["age"]))

    def draw(latents: Latents, size: int | None) -> Tensor:
        return render(generator, latents, size)

    return Loop(goals, child, directions, draw, directions.require_reader(), goal.bound)


def age_goal(age: float, tolerance: float, slope: float) -> Goal:
    """Years, as a reader of `FaceLabels` has them."""
    return Goal("age", lambda read: read.age, max(age, YOUNGEST), tolerance, slope)


def gender_goal(gender: str, sure: float, slope: float) -> Goal:
    """`sure`: log-odds that are enough."""
    sign = SIGNS[gender]
    return Goal("gender", lambda read: sign * log_odds(read.male), sure, sure, slope, sign, True, SURER)


def age_step(face: Latents, age: float, directions: Directions, generator: Generator, bound: float) -> float:
    """How far along age a face is to be moved, at most `bound`, to be read as `age` years old."""
    goal = Steering(age=age, gender=None, bound=bound)
    loop = _loop(goal, face, directions=directions, generator=generator, age=age, gender="")
    return loop.find(loop.goals[0], {"age": 0.0})

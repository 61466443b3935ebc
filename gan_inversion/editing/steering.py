"""A child's age and gender, by closed loop: move along a direction until an estimator agrees, not by a fixed step.

The step that a person needs for the same years differs by a factor of three. The estimator that steers is not the one
that judges (docs/children.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch

from ..errors import UserError
from ..interfaces import GENDERS, FaceLabels, Generator, Latents
from ..latents import NAMES_A_FILE, render
from ..spaces.p_space import from_p, to_p
from .files import Directions, load_directions
from .labels import log_odds

log = logging.getLogger(__name__)

LOOK = 256  # pixels of the pictures that the loop reads
PULLS = (0.0, 0.25, 0.45)  # tried in turn, until the goal is reached
ROUNDS = 2  # of gender and age in turn
WIDTHS = ((2.0, 4), (0.5, 3))  # around a guess: how far to look, in how many pictures
NUDGES = (
    -0.2,
    0.2,
    -0.4,
    0.4,
    -0.7,
    0.7,
)  # steps to try when the true picture reads otherwise
SURER = 1.0  # log-odds beyond the wanted certainty that are aimed at


@dataclass(frozen=True)
class Steered:
    """A child as asked for, what the steering estimator reads in its true picture, and how far it was moved."""

    latents: Latents
    age: float | None = None  # asked for, years
    gender: str = ""  # asked for; empty: nothing
    read: FaceLabels | None = None
    steps: tuple[float, float] = (0.0, 0.0)  # along age and gender; 1 is a standard deviation of the population
    pull: float = 0.0  # towards the average face, where the child as drawn could not be brought to its goal
    reached: bool = True


@dataclass(frozen=True)
class Steering:
    """age in years, None: as the parents'; gender: female, male, drawn (by the child's seed), None: as the blend.

    ages: one child at several ages, instead of `age`. tolerance: years. certainty: probability of the gender. bound:
    farthest step along a direction, in standard deviations; beyond it faces fall apart.
    """

    name: ClassVar[str] = "steered"

    age: float | None = 8.0
    gender: str | None = "drawn"
    ages: tuple[float, ...] | None = None
    directions: str = field(default="directions_mobile_stylegan_ffhq", metadata=NAMES_A_FILE)
    tolerance: float = 3.0
    certainty: float = 0.9
    bound: float = 4.5

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

    @property
    def targets(self) -> tuple[float | None, ...]:
        """The ages to draw, in order."""
        return self.ages or (self.age,)

    def load(self, generator: Generator) -> Directions | None:
        """None if nothing is to be steered. Raises UserError if the directions are missing or another generator's."""
        asked = self.gender is not None or any(age is not None for age in self.targets)
        return load_directions(self.directions, generator) if asked else None

    def __call__(
        self, child: Latents, drawn: str, directions: Directions | None, generator: Generator
    ) -> list[Steered]:
        """One entry an age. drawn: this child's gender if none was said. A goal that cannot be reached is a warning."""
        gender = drawn if self.gender == "drawn" else self.gender or ""
        if directions is None:
            return [Steered(child)]
        found = []
        for age in self.targets:
            tries = []
            for pull in PULLS:  # towards the average, where directions lead everyone
                loop = _Loop(self, pulled(child, pull, generator), directions, generator, age, gender)
                steps, read = loop.run()
                tries.append((loop.miss(read), read, Steered(loop.moved(*steps), age, gender, read, steps, pull)))
                if loop.miss(read) <= 1:
                    break
            missed, read, steered = min(tries, key=lambda one: one[0])
            steered = replace(steered, reached=missed <= 1)
            if not steered.reached:
                wanted = " ".join(str(goal) for goal in ("" if age is None else f"{age:g} years", gender) if goal)
                log.warning(
                    "asked for %s: came as near as %.0f years, male %.2f, with steps %.1f and %.1f of at most %g",
                    wanted, read.age, read.male, *steered.steps, self.bound,
                )  # fmt: skip
            found.append(steered)
        return found


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

    def __call__(
        self, child: Latents, drawn: str, directions: Directions | None, generator: Generator
    ) -> list[Steered]:
        """One entry. drawn: not used."""
        if not self.steps or directions is None:
            return [Steered(child)]
        return [Steered(replace(child, ws=directions.move(child.ws, self.steps)))]


def pulled(child: Latents, share: float, generator: Generator) -> Latents:
    """The child, a share of the way to the average face, straight in P."""
    mean = generator.statistics().p_mean
    return replace(child, ws=from_p(torch.lerp(to_p(child.ws), mean.expand(child.ws.shape), share))) if share else child


class _Loop:
    """The search for one goal: readings along a direction, a rising curve through them, and where it meets the goal.

    One reading is not trusted: a search that stops where one picture happens to please the estimator finds pictures that
    deceive it, and another estimator disagrees.
    """

    def __init__(
        self,
        goal: Steering,
        child: Latents,
        directions: Directions,
        generator: Generator,
        age: float | None,
        gender: str,
    ) -> None:
        self.goal, self.child, self.directions, self.generator = goal, child, directions, generator
        self.reader = directions.require_reader()
        self.age = age if age is None else max(age, 0.5)  # the youngest class is a quarter of a year
        self.sign = {"male": 1.0, "female": -1.0, "": 0.0}[gender]
        self.sure = log_odds(goal.certainty)

    def moved(self, a: float, g: float) -> Latents:
        steps = {name: step for name, step in (("age", a), ("gender", g)) if step}
        return replace(self.child, ws=self.directions.move(self.child.ws, steps)) if steps else self.child

    def look(self, a: float, g: float, size: int | None = LOOK) -> FaceLabels:
        return self.reader(render(self.generator, self.moved(a, g), size))

    def miss(self, read: FaceLabels) -> float:
        """The larger of the two errors, each over what is tolerated: at most 1 is good."""
        age = abs(read.age - self.age) / self.goal.tolerance if self.age is not None else 0.0
        gender = 2 - self.sign * log_odds(read.male) / self.sure if self.sign else 0.0
        return max(age, gender)

    def run(self) -> tuple[tuple[float, float], FaceLabels]:
        """Steps along age and gender, and what is read in the true picture there."""
        a, g = 0.0, 0.0
        for _ in range(ROUNDS):  # each direction leaves the other label alone only on the average
            g = self.find_gender(a, g)
            a = self.find_age(a, g)
            if self.sign * log_odds(self.look(a, g).male) >= self.sign**2 * self.sure:
                break
        tries = [((a, g), self.look(a, g, None))]
        for nudge in NUDGES if self.miss(tries[0][1]) > 1 else ():
            along_age = self.age is not None
            moved = min(max((a if along_age else g) + nudge, -self.goal.bound), self.goal.bound)
            there = (moved, g) if along_age else (a, moved)
            tries.append((there, self.look(*there, None)))
        return min(tries, key=lambda pair: self.miss(pair[1]))

    def find_age(self, a: float, g: float) -> float:
        if self.age is None:
            return a
        guess = a + (self.age - self.look(a, g).age) / self.directions.deviations["age"]
        return self.meet(lambda x: self.look(x, g).age, guess, self.age)

    def find_gender(self, a: float, g: float) -> float:
        """As little as makes it sure; what is sure already is left alone."""
        now = self.sign * log_odds(self.look(a, g).male)
        if not self.sign or now >= self.sure:
            return g
        goal = self.sure + SURER
        guess = g + self.sign * (goal - now) / self.directions.deviations["gender"]
        return self.sign * self.meet(
            lambda x: self.sign * log_odds(self.look(a, self.sign * x).male), self.sign * guess, goal
        )

    def meet(self, reading: Callable[[float], float], guess: float, target: float) -> float:
        """Where the rising curve through readings around `guess`, then around its first answer, meets `target`."""
        bound, read = self.goal.bound, dict[float, float]()
        for width, count in WIDTHS:
            for x in np.linspace(guess - width, guess + width, count).clip(-bound, bound).tolist():
                if x not in read:
                    read[x] = reading(x)
            xs = np.array(sorted(read))
            guess = crossing(xs, rising(np.array([read[x] for x in xs.tolist()])), target)
        return guess


def age_step(face: Latents, age: float, directions: Directions, generator: Generator, bound: float) -> float:
    """How far along age a face is to be moved, at most `bound`, to be read as `age` years old."""
    goal = Steering(age=age, gender=None, bound=bound)
    return _Loop(goal, face, directions, generator, age, "").find_age(0.0, 0.0)


def rising(values: np.ndarray) -> np.ndarray:
    """The non-decreasing sequence nearest to `values` [n] (isotonic regression)."""
    from scipy.optimize import isotonic_regression  # here: who steers nothing need not wait for it

    return isotonic_regression(values).x


def crossing(xs: np.ndarray, values: np.ndarray, target: float) -> float:
    """Where non-decreasing `values` at increasing `xs` meet `target`: midway where they stay at it, an end beyond them."""
    low = np.interp(target, np.maximum.accumulate(values + 1e-9 * np.arange(len(xs))), xs)
    high = np.interp(-target, -np.flip(values - 1e-9 * np.arange(len(xs))[::-1]), np.flip(xs))
    return float((low + high) / 2)

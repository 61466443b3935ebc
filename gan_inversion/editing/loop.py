"""Closed loop: readings along a direction, a rising curve through them, and the step where it meets what was asked for.

One reading is not trusted: a search that stops where one picture happens to please the estimator finds pictures that
deceive it, and another estimator disagrees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from ..interfaces import Latents
from .files import Directions

LOOK = 256  # pixels of the pictures that the loop reads
ROUNDS = 2  # of all goals in turn
WIDTHS = ((2.0, 4), (0.5, 3))  # around a guess: how far to look, in how many pictures
NUDGES = (
    -0.2,
    0.2,
    -0.4,
    0.4,
    -0.7,
    0.7,
)  # steps to try when the true picture reads otherwise

Draw = Callable[[Latents, int | None], Tensor]  # latents and pixels, None: the true picture -> [1, 3, R, R]


@dataclass(frozen=True)
class Goal:
    """What one label is to become, by its direction."""

    name: str  # of the direction
    value: Callable[[Any], float]  # what the reader says -> the label, rising along `sign` times the direction
    target: float
    tolerance: float  # in the label's unit
    slope: float  # what a step of 1 changes, about
    sign: float = 1.0
    enough: bool = False  # more than the target is as good, and what has it already is left alone
    surer: float = 0.0  # how far beyond the target is aimed at, where more is as good

    def miss(self, read: Any) -> float:
        """The error over what is tolerated: at most 1 is good; infinite where nothing is read."""
        value = self.value(read)
        if math.isnan(value):
            return math.inf
        return 2 - value / self.tolerance if self.enough else abs(value - self.target) / self.tolerance


@dataclass(frozen=True)
class Loop:
    """The search for steps that bring all goals about, one after the other, since each direction leaves the other labels
    alone only on the average."""

    goals: Sequence[Goal]
    start: Latents
    directions: Directions
    draw: Draw
    read: Callable[[Tensor], Any]
    bound: float  # farthest step along a direction

    def moved(self, steps: Mapping[str, float]) -> Latents:
        steps = {name: step for name, step in steps.items() if step}
        return replace(self.start, ws=self.directions.move(self.start.ws, steps)) if steps else self.start

    def look(self, steps: Mapping[str, float], size: int | None = LOOK) -> Any:
        return self.read(self.draw(self.moved(steps), size))

    def miss(self, read: Any) -> float:
        """The largest of all goals."""
        return max((goal.miss(read) for goal in self.goals), default=0.0)

    def run(self) -> tuple[dict[str, float], Any]:
        """Steps by direction, and what is read in the true picture there."""
        steps = {goal.name: 0.0 for goal in self.goals}
        for _ in range(ROUNDS):
            for goal in self.goals:
                steps[goal.name] = self.find(goal, steps)
            before = [goal for goal in self.goals if goal.enough or goal is not self.goals[-1]]  # maybe moved off again
            if not before or max(goal.miss(read) for read in [self.look(steps)] for goal in before) <= 1:
                break
        tries = [(steps, self.look(steps, None))]
        for nudge in NUDGES if self.miss(tries[0][1]) > 1 else ():
            name = self.worst(tries[0][1])
            there = {**steps, name: min(max(steps[name] + nudge, -self.bound), self.bound)}
            tries.append((there, self.look(there, None)))
        return min(tries, key=lambda pair: self.miss(pair[1]))

    def worst(self, read: Any) -> str:
        """The direction to be nudged: that of the goal farthest off, among those that can be overdone if there are any."""
        exact = [goal for goal in self.goals if not goal.enough]
        return max(exact or self.goals, key=lambda goal: goal.miss(read)).name

    def find(self, goal: Goal, steps: Mapping[str, float]) -> float:
        """The step along one goal's direction, the others as they are; as little as is enough."""

        def reading(x: float) -> float:
            return goal.value(self.look({**steps, goal.name: goal.sign * x}))

        now, aim = reading(goal.sign * steps[goal.name]), goal.target + goal.surer
        if math.isnan(now) or (goal.enough and now >= goal.target):
            return steps[goal.name]
        return goal.sign * self.meet(reading, goal.sign * steps[goal.name] + (aim - now) / goal.slope, aim)

    def guess(self, goal: Goal, read: Any) -> float:
        """The step that one reading of the start asks for."""
        now = goal.value(read)
        if goal.enough and now >= goal.target:
            return 0.0
        step = goal.sign * (goal.target + goal.surer - now) / goal.slope
        return min(max(step, -self.bound), self.bound)

    def meet(self, reading: Callable[[float], float], guess: float, target: float) -> float:
        """Where the rising curve through readings around `guess`, then around its first answer, meets `target`."""
        read = dict[float, float]()
        for width, count in WIDTHS:
            for x in np.linspace(guess - width, guess + width, count).clip(-self.bound, self.bound).tolist():
                if x not in read:
                    read[x] = reading(x)
            xs = np.array(sorted(x for x, value in read.items() if not math.isnan(value)))
            if not len(xs):
                return guess
            guess = crossing(xs, rising(np.array([read[x] for x in xs.tolist()])), target)
        return guess


def rising(values: np.ndarray) -> np.ndarray:
    """The non-decreasing sequence nearest to `values` [n] (isotonic regression)."""
    from scipy.optimize import isotonic_regression  # here: who steers nothing need not wait for it

    return isotonic_regression(values).x


def crossing(xs: np.ndarray, values: np.ndarray, target: float) -> float:
    """Where non-decreasing `values` at increasing `xs` meet `target`: midway where they stay at it, an end beyond them."""
    low = np.interp(target, np.maximum.accumulate(values + 1e-9 * np.arange(len(xs))), xs)
    high = np.interp(-target, -np.flip(values - 1e-9 * np.arange(len(xs))[::-1]), np.flip(xs))
    return float((low + high) / 2)

"""Edits of one face: labels brought to what is asked for, by closed loop; raw steps; and what else moved by it.

Age and gender are read as steering reads them; pose, smile and eyes from the face mesh, in standard deviations of people
around the average face, because the lengths behind them mean nothing to anyone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from ..errors import UserError
from ..estimators.age_gender import age_gender
from ..faces.mesh import face_mesh, find_mesh, shape_labels
from ..faces.traits import read_traits
from ..image import to_uint8
from ..interfaces import GENDERS, FaceLabels, Generator, Latents
from ..latents import render
from ..spaces.p_space import is_inside
from .files import Directions, load_directions
from .hold import YOUNGEST, Person, Wanted
from .labels import LABELS, log_odds
from .loop import Goal, Loop
from .refined import carried
from .scene import Scene
from .scene_reader import GLASSES
from .steering import SIGNS, TRIES, age_goal, gender_goal

log = logging.getLogger(__name__)

DEFAULT = "directions_mobile_stylegan_ffhq"
PEOPLE = {"yaw": (0.0, 0.38), "pitch": (0.564, 0.038), "smile": (0.92, 0.109), "eyes_open": (0.303, 0.043),
          "hair_darkness": (-34.0, 20.4)}  # fmt: skip  # L*, the other way round
OFFERED = (*LABELS, "hair_darkness", GLASSES)
HELD = "skin_ita"  # read too, in degrees, and not offered: skin stays whose it is
ORDER = (
    "yaw",
    "pitch",
    "eyes_open",
    "smile",
    "hair_darkness",
    GLASSES,
    "gender",
    "age",
)  # the last moves others least
RANGES: Mapping[str, tuple[float, float]] = {
    "age": (0, 80),
    **dict.fromkeys(PEOPLE, (-3, 3)),
    "hair_darkness": (-2.5, 1.5),  # white, and black
    GLASSES: (0, 1),
}
TOLERANCE = {"age": 3.0, **dict.fromkeys(PEOPLE, 0.3)}  # years, standard deviations
AIMS = 2  # searches at most, where a refinement, or the search that holds the person, changes what is read
STEPS = 12  # of the search that holds the person
CERTAINTY = 0.9  # probability of the gender that is asked for
WORN = 0.5  # of a reading from -1, bare, to 1: beyond it, either way, a pair is there or gone
NOTICED = 0.5  # standard deviations of a label from which a side effect is told of
SPREAD = {"age": 12.5, "gender": 5.5, **dict.fromkeys(PEOPLE, 1.0), HELD: 24.3, GLASSES: 0.72}

Wish = float | str  # a number; or one of GENDERS


def known() -> str:
    """The labels that can be asked for, with their ranges."""
    told = {"age": "0 to 80 years", "gender": " or ".join(GENDERS), GLASSES: "0 or 1"}
    told |= {
        name: "{:g} to {:g} standard deviations of people, 0 is the average face".format(*RANGES[name])
        for name in PEOPLE
    }
    return "; ".join(f"{name} ({told[name]})" for name in OFFERED)


def check_wish(label: str, wish: Wish) -> None:
    """Raises UserError, with the ranges that were measured, for what cannot be asked for."""
    if label not in OFFERED:
        raise UserError(f"{label}={wish}: no such label. Known: {known()}. Raw directions go with steps.NAME=x.")
    if label == "gender":
        if wish not in GENDERS:
            raise UserError(f"gender={wish}: choose {' or '.join(GENDERS)}.")
        return
    if label == GLASSES and wish not in (0, 1):
        raise UserError(f"{label}={wish}: 0 takes them off, 1 puts some on.")
    low, high = RANGES[label]
    if isinstance(wish, str) or not low <= wish <= high:
        raise UserError(f"{label}={wish}: {low:g} to {high:g} was measured. Known: {known()}.")


@dataclass(frozen=True)
class Edited:
    """One face as asked for, and what is read in its true picture before and after."""

    latents: Latents
    asked: Mapping[str, Wish]
    raw: Mapping[str, float]  # steps that were asked for
    steps: Mapping[str, float]  # all that were taken, by direction; 1 is a standard deviation of the population
    before: Mapping[
        str, float
    ]  # by label: years, probability of male, standard deviations of people; of skin, degrees of ITA
    after: Mapping[str, float]
    reached: bool = True

    @property
    def side_effects(self) -> dict[str, float]:
        """Change of each label that was not asked for, in standard deviations of people."""
        left = [name for name in self.before if name not in self.asked and name in self.after]
        return {name: (_even(name, self.after) - _even(name, self.before)) / SPREAD[name] for name in left}


def _even(name: str, read: Mapping[str, float]) -> float:
    """A label of which equal differences mean the same anywhere."""
    return log_odds(read[name]) if name == "gender" else read[name]


@dataclass(frozen=True)
class Edit:
    """What a face is to become. labels: name -> wish; steps: direction -> how many are taken before; bound: farthest step.

    directions: a catalogue entry, or a file in a published format. hold: gradient steps of the search that brings age and
    gender about and holds the person (`editing.hold`); 0: these too by the closed loop along directions.
    """

    labels: Mapping[str, Wish] = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)
    directions: str = DEFAULT
    bound: float = 4.5
    hold: int = STEPS

    def __post_init__(self) -> None:
        if self.hold < 0 or self.hold == 1:
            raise UserError(f"hold={self.hold}: 0, or at least 2.")
        for label, wish in self.labels.items():
            check_wish(label, wish)
        if self.bound <= 0:
            raise UserError(f"bound={self.bound:g}: must be above 0.")
        if not self.labels and not self.steps:
            raise UserError(f"nothing is asked for. Known: {known()}; raw directions: steps.NAME=x.")

    def load(self, generator: Generator) -> Directions:
        """Raises UserError if the directions are missing, another generator's, or lack a name or their reader."""
        directions = load_directions(self.directions, generator)
        for name in (*self.labels, *self.steps):
            directions[name]
        if {"age", "gender"} & set(self.labels):
            directions.require_reader()
        if GLASSES in self.labels and directions.scene is None:
            raise UserError(
                f"directions={self.directions}: they have nothing that reads glasses. steps.glasses=x goes."
            )
        return directions

    def __call__(self, face: Latents, directions: Directions, generator: Generator) -> Edited:
        """A goal that cannot be reached is a warning: what comes nearest is taken."""
        reader = Reading(directions)
        plain = replace(face, features=None)  # the loop steers what the generator draws; a refinement follows it
        start = replace(plain, ws=directions.move(face.ws, self.steps)) if self.steps else plain
        names = (*OFFERED, HELD) if generator.domain == "face" else ()
        before = reader(render(generator, face), names)
        wishes = {**self.labels, **self.kept(before)}
        unseen = "hair_darkness" in wishes and "hair_darkness" in names and "hair_darkness" not in before
        if unseen:
            log.warning(
                "hair_darkness: no hair can be read in this face (bald, covered, or dyed), and it stays as it is"
            )
            wishes.pop("hair_darkness")
        goals = [goal_of(name, wishes[name], directions) for name in ORDER if name in wishes]

        def draw(latents: Latents, size: int | None) -> Tensor:
            return render(generator, latents, size)

        held = [goal for goal in goals if goal.name in ("age", "gender")] if self.hold and directions.reader else []
        along = [goal for goal in goals if goal not in held]
        loop = Loop(along, start, directions, draw, lambda image: reader(image, wishes), self.bound)
        tries = []
        for _ in range(AIMS if along and (held or face.features is not None) else 1):
            found = loop.run()[0] if along else {}
            ws = loop.moved(found).ws
            if held:
                steps_held, ws = self._held(replace(loop, goals=held, start=loop.moved(found)), wishes, generator)
                found = {**found, **steps_held}
            latents = carried(face, ws, generator)
            after = reader(render(generator, latents), names)
            tries.append((max((goal.miss(after) for goal in goals), default=0.0), found, latents, after))
            if tries[-1][0] <= 1:
                break
            loop = replace(loop, goals=[_farther(goal, after) for goal in loop.goals])
        _, found, latents, after = min(tries, key=lambda one: one[0])
        reached = not unseen and all(goal.miss(after) <= 1 for goal in goals if goal.name in self.labels)
        steps = {name: self.steps.get(name, 0.0) + found.get(name, 0.0) for name in (*found, *self.steps)}
        edited = Edited(latents, dict(self.labels), dict(self.steps), steps, before, after, reached)
        if not reached:
            told = ", ".join(
                f"{name} {self.labels[name]} (read {after.get(name, math.nan):.2f})" for name in self.labels
            )
            log.warning("not all that was asked for was reached within %g steps: %s", self.bound, told)
        return edited

    def _held(self, loop: Loop, wishes: Mapping[str, Wish], generator: Generator) -> tuple[dict[str, float], Tensor]:
        """Age and gender from where the other labels are met: (steps along directions where the search began, its ws)."""
        if not is_inside(loop.start.ws, generator.statistics()):
            log.warning(
                "these latents lie outside of the population: what is drawn back of them is edited, a look-alike"
            )
        reader = loop.directions.scene
        seen = (Scene(reader.read(render(generator, loop.start))), reader) if reader else None
        person = Person(loop.start, loop.directions.require_reader(), generator, beyond=0.0, scene=seen)
        now = {"age": person.read.age, "gender": person.read.male}
        steps = {goal.name: loop.guess(goal, now) for goal in loop.goals}
        age = wishes.get("age")
        sign = SIGNS[str(wishes.get("gender", ""))]
        wanted = Wanted(None if age is None else max(float(age), YOUNGEST), sign, log_odds(CERTAINTY))
        latents, best, least = loop.moved(steps), loop.start, math.inf
        for _ in range(TRIES):
            latents = person.move(latents, wanted, self.hold)
            missed = loop.miss(loop.read(loop.draw(latents, None)))
            if missed < least:
                best, least = latents, missed
            if missed <= 1:
                break
        return steps, best.ws

    def kept(self, before: Mapping[str, float]) -> dict[str, Wish]:
        """What age must not take along: the gender, where it is sure. The old are read as men, the young as women."""
        if "age" not in self.labels or "gender" in self.labels:
            return {}
        male = before.get("gender", 0.5)
        return {"gender": "male" if male > 0.5 else "female"} if max(male, 1 - male) >= CERTAINTY else {}


def goal_of(name: str, wish: Wish, directions: Directions) -> Goal:
    """In the units of `Reading`."""
    if name == "gender":
        return _of_labels(gender_goal(str(wish), log_odds(CERTAINTY), directions.deviations["gender"]))
    if name == "age":
        return _of_labels(age_goal(float(wish), TOLERANCE["age"], directions.deviations["age"]))
    if name == GLASSES:
        sign = 1.0 if wish else -1.0
        slope = directions.deviations.get(name, SPREAD[name])
        return Goal(name, lambda read: sign * read.get(name, math.nan), WORN, WORN, slope, sign, enough=True)
    slope = directions.deviations.get(name, PEOPLE[name][1]) / PEOPLE[name][1]
    return Goal(name, lambda read: float(read.get(name, math.nan)), float(wish), TOLERANCE[name], slope)


def _farther(goal: Goal, after: Mapping[str, float]) -> Goal:
    """What is aimed at where the refined picture reads otherwise than the one without: as much beyond as it fell short."""
    value = goal.value(after)
    return goal if goal.enough or math.isnan(value) else replace(goal, target=2 * goal.target - value)


def _of_labels(goal: Goal) -> Goal:
    """A goal of `FaceLabels` as one of readings."""
    return replace(goal, value=lambda read: goal.value(FaceLabels(read.get("age", 0.0), read.get("gender", 0.5))))


@dataclass(frozen=True)
class Reading:
    """Reads a picture [1, 3, R, R] in [-1, 1], aligned as FFHQ."""

    directions: Directions

    def __call__(self, image: Tensor, names: Collection[str] = OFFERED) -> dict[str, float]:
        """Those of `names`; without the reader that steers, age and gender are the classifiers' alone."""
        found: dict[str, float] = {}
        if {"age", "gender"} & set(names):
            read = (
                self.directions.reader(image)
                if self.directions.reader
                else age_gender(str(image.device)).label(image)[0]
            )
            found |= {"age": read.age, "gender": read.male}
        if set(LABELS[2:]) & set(names):
            shape = zip(LABELS[2:], shape_labels(find_mesh(to_uint8(image), face_mesh())), strict=True)
            found |= {name: in_deviations(name, value) for name, value in shape}
        if {"hair_darkness", HELD} & set(names):
            traits = read_traits(image)
            read_too = {"hair_darkness": in_deviations("hair_darkness", -traits.hair_l), HELD: traits.ita}
            found |= {name: value for name, value in read_too.items() if math.isfinite(value)}  # the bald have no hair
        if GLASSES in names and self.directions.scene:
            found[GLASSES] = self.directions.scene.read(image)[GLASSES]
        return {name: found[name] for name in (*OFFERED, HELD) if name in names and name in found}


def in_deviations(name: str, value: float) -> float:
    """A label of PEOPLE in its own unit -> in standard deviations of people, 0 the average."""
    mean, deviation = PEOPLE[name]
    return (value - mean) / deviation

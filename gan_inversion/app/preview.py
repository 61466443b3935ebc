"""What a slider shows at once: a small picture without the search that takes seconds, told as a preview.

Age and gender by one reading and one step along their directions, where the search begins (`editing.steering`); raw steps of
an edit as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..blending.offspring import Conception
from ..editing.edits import goal_of
from ..editing.files import Directions
from ..editing.labels import log_odds
from ..editing.loop import Goal, Loop
from ..editing.scene import Scene, neutral_scene, scene_of, settle
from ..editing.steering import Steering, age_goal, gender_goal
from ..image import to_uint8
from ..interfaces import Generator, Inversion, Latents
from ..latents import render
from .wishes import Changes

SIZE = 256  # pixels


def child_at_once(conception: Conception, father: Inversion, mother: Inversion, generator: Generator) -> np.ndarray:
    """uint8 [S, S, 3]: the first of these children, with its inheritance as it will be, its age about."""
    asked = conception.steering
    if not isinstance(asked, Steering):
        (child, *_) = conception(father, mother, generator, list).values()
        return small(child.latents, generator)
    plain = replace(conception, steering=replace(asked, age=None, gender=None, ages=None), directions=None)
    (child, *_) = plain(father, mother, generator, list).values()
    latents = child.latents
    if conception.directions is not None:
        number = next(iter(conception.recipes))
        gender = conception.recipes[number].gender if asked.gender == "drawn" else asked.gender or ""
        if asked.scene:
            whose = {"father": father, "mother": mother}.get(asked.scene)
            reader = conception.directions.scene
            scene = Scene(scene_of(render(generator, whose.latents), reader)) if whose else neutral_scene()
            latents = settle(latents, scene, conception.directions, generator)
        latents = _stepped(latents, asked, gender, conception.directions, generator)
    return small(latents, generator)


def _stepped(latents: Latents, asked: Steering, gender: str, directions: Directions, generator: Generator) -> Latents:
    age, slopes = asked.targets[0], directions.deviations
    goals = [gender_goal(gender, log_odds(asked.certainty), slopes["gender"])] if gender else []
    goals += [age_goal(age, asked.tolerance, slopes["age"])] if age is not None else []
    return _guessed(latents, goals, directions, generator, asked.bound, lambda read: read)


def face_at_once(face: Latents, changes: Changes, directions: Directions, generator: Generator) -> np.ndarray:
    """uint8 [S, S, 3]: one face with these changes, about."""
    steps = {name: step for name, step in changes.steps.items() if step}
    moved = replace(face, ws=directions.move(face.ws, steps), features=None) if steps else face
    wishes = {"gender": changes.gender, "age": changes.age}
    goals = [goal_of(name, wish, directions) for name, wish in wishes.items() if wish is not None]

    def labels(read: Any) -> dict[str, float]:
        return {"age": read.age, "gender": read.male}

    return small(_guessed(moved, goals, directions, generator, 4.5, labels), generator)


def _guessed(
    latents: Latents, goals: Sequence[Goal], directions: Directions, generator: Generator, bound: float, told: Any
) -> Latents:
    """By one reading of the face as it is."""
    if not goals:
        return latents
    reader = directions.require_reader()
    loop = Loop(goals, latents, directions, lambda face, size: render(generator, face, size), reader, bound)
    read = told(reader(render(generator, latents, min(SIZE, generator.resolution))))
    return loop.moved({goal.name: loop.guess(goal, read) for goal in goals})


def small(latents: Latents, generator: Generator) -> np.ndarray:
    """uint8 [S, S, 3], as cheaply as the generator can."""
    return to_uint8(render(generator, latents, min(SIZE, generator.resolution)))

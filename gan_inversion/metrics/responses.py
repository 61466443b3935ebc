"""What directions that are there do to fresh faces: how labels answer to their steps, what else moves, and who stays who."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from ..editing.edits import HELD, OFFERED, Reading
from ..editing.files import Directions
from ..editing.labels import log_odds
from ..interfaces import Generator, Latents
from ..latents import render
from .reconstruction import compare
from .verdict import judge

STEPS = (-2.0, -1.0, 0.0, 1.0, 2.0)  # deviations of the population
SIZE = 256  # pixels of the pictures that are read


def responses(
    generator: Generator, w: Tensor, directions: Directions, progress: Callable[[], None]
) -> dict[str, dict[str, list[float | None]]]:
    """w [N, D], fresh samples -> direction -> label or network of identity -> mean over faces at each of STEPS.

    Age in years, gender as log-odds of male, shapes and hair in deviations of people, skin in degrees of ITA; identity
    against the face at step 0 (FaceRes: cosine; dlib: distance). None where nothing could be read in any face.
    """
    reader, networks = Reading(directions), tuple(dict.fromkeys((judge(), "identity_dlib")))
    found: dict[str, list[list[dict[str, float]]]] = {name: [] for name in directions.vectors}
    for one in w:
        face = Latents(one.repeat(generator.num_ws, 1))
        unmoved = render(generator, face, SIZE)

        def read(image: Tensor, unmoved: Tensor = unmoved) -> dict[str, float]:
            labels = reader(image, (*OFFERED, HELD))
            return {**labels, "gender": log_odds(labels["gender"]), **compare(unmoved, image, networks)}

        there = read(unmoved)
        for name, rows in found.items():
            moved = (Latents(directions.move(face.ws, {name: step})) for step in STEPS if step)
            row = [read(render(generator, one, SIZE)) for one in moved]
            rows.append([*row[: len(row) // 2], there, *row[len(row) // 2 :]])
        progress()
    return {name: _means(rows, (*OFFERED, HELD, *networks)) for name, rows in found.items()}


def _means(rows: list[list[dict[str, float]]], keys: tuple[str, ...]) -> dict[str, Any]:
    """[faces][steps] readings -> key -> the mean at each step, over the faces in which all steps could be read."""
    table = {}
    for key in keys:
        whole = [[read[key] for read in row] for row in rows if all(key in read for read in row)]
        table[key] = np.round(np.mean(whole, 0), 4).tolist() if whole else [None] * len(STEPS)
    return table

"""What no child inherits: how a head was turned, how the mouth smiled, glasses and light when a parent was photographed.

Read from the picture, and brought to a neutral state or to that of one parent along the directions of the same labels. A
search for an age (`hold`) then keeps it there, and the eyes open, by gradients through the same reading (`scene_reader`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..estimators.chips import chip
from ..estimators.identity import dlib_resnet
from ..faces.mesh import face_mesh, find_mesh, shape_labels
from ..faces.patches import lab_of, light_on
from ..image import area_resize, to_uint8
from ..interfaces import Generator, Latents
from ..latents import render
from ..spaces.population import sample_w
from .files import Directions
from .fit import fit
from .people import People
from .scene_reader import GLASSES, LAYER, NAMES, SceneReader, fit_scene_reader
from .search import render_w

LABELS = ("yaw", "pitch", "smile")  # that a directions file must have; the others are settled where it has them
LIGHTS = ("light", "shade")  # `faces.patches.light_on`, in L*
SETTLED = (*LABELS, GLASSES, *LIGHTS)  # along directions
EYES = "eyes_open"  # no direction opens them; the search does
# Means of sampled faces; yaw: to the camera. Bare, and eyes as open as those of three people in four.
NEUTRAL: Mapping[str, float] = {
    "yaw": 0.0, "pitch": 0.564, "smile": 0.92, EYES: 0.265, GLASSES: -0.75, "light": 0.0, "shade": 25.0,
}  # fmt: skip
AT_MOST, AT_LEAST = (GLASSES, "shade"), (EYES,)  # of which less, or more, than neutral is as good
SCENES = ("neutral", "father", "mother")
LOOK, ROUNDS, FARTHEST = 256, 2, 3.0  # pixels; readings and steps; deviations a round
ONCE = 1.0  # the same of glasses: one step takes most pairs off, two begin to make somebody else
# Of the rows of ws, from this share on: those before turn the head and build it. A step of light in these alone leaves both.
LIT_ROWS = 0.25


@dataclass(frozen=True)
class Scene:
    """What is to be read in a face's picture; `neutral`: where AT_MOST and AT_LEAST hold."""

    values: Mapping[str, float]
    neutral: bool = False

    def wanted(self, name: str, read: float) -> float:
        """The reading that is nearest to this one and good."""
        value = self.values[name]
        if self.neutral and name in AT_MOST:
            return min(read, value)
        return max(read, value) if self.neutral and name in AT_LEAST else value

    def missed(self, read: Tensor, spread: Tensor) -> Tensor:
        """read [1, 5], of NAMES -> how far from what is wanted, mean square in standard deviations of people."""
        goals = [
            self.wanted(name, value) if name in self.values else value
            for name, value in zip(NAMES, read[0].tolist(), strict=True)
        ]
        return ((read - read.new_tensor([goals])) / spread.to(read)).square().mean()


def scene_of(image: Tensor, reader: SceneReader | None = None) -> dict[str, float]:
    """image [1, 3, R, R] in [-1, 1], aligned as FFHQ -> label -> reading; glasses by the reader, where there is one."""
    pixels = to_uint8(area_resize(image, min(LOOK, image.shape[-1])))
    mesh = find_mesh(pixels, face_mesh())
    found = dict(zip((*LABELS, EYES), shape_labels(mesh), strict=True))
    lights = zip(LIGHTS, light_on(mesh, lab_of(pixels)), strict=True)
    found |= {name: value for name, value in lights if math.isfinite(value)}
    return found | ({GLASSES: reader.read(image)[GLASSES]} if reader else {})


def neutral_scene(parents: Sequence[Mapping[str, float]] = ()) -> Scene:
    """To the camera, at rest, bare, in even light; eyes as open as their parents', who may have narrow ones."""
    eyes = [parent[EYES] for parent in parents if EYES in parent]
    own = {EYES: min(NEUTRAL[EYES], sum(eyes) / len(eyes))} if eyes else {}
    return Scene({**NEUTRAL, **own}, neutral=True)


def settle(
    face: Latents,
    scene: Scene,
    directions: Directions,
    generator: Generator,
    names: Sequence[str] = SETTLED,
    rounds: int = ROUNDS,
) -> Latents:
    """The face with these readings, about: steps by what a step changes on the mean."""
    for _ in range(rounds):
        read = scene_of(render(generator, face, min(LOOK, generator.resolution)), directions.scene)
        steps = {}
        for name in names:
            if name in read and name in scene.values and name in directions.deviations:
                step = (scene.wanted(name, read[name]) - read[name]) / directions.deviations[name]
                bound = ONCE if name == GLASSES else FARTHEST
                steps[name] = min(max(step, -bound), bound)
        if any(steps.values()):
            face = replace(face, ws=directions.move(face.ws, steps))
    return face


def find_scene(
    generator: Generator,
    people: People,
    marks: Mapping[int, float],
    known: Directions,
    samples: int,
    identity_weight: float,
    progress: Callable[[], None] = lambda: None,
) -> tuple[Directions, dict[str, Any]]:
    """The directions `known` with `glasses`, `light`, `shade` and a reader of the scene; and numbers about them.

    Draws the first `samples` people; marks: number of a sample -> 1 with glasses, -1 without. Raises UserError for marks
    beyond them.
    """
    w = sample_w(generator, len(people.identity), people.seed)[1][:samples]
    if max(marks) >= len(w):
        raise UserError(f"marks: sample {max(marks)} is marked, and {len(w)} are drawn. Set samples higher.")
    network, seen, rows = dlib_resnet(str(generator.device)), [], []
    for number, one in enumerate(w):
        image = render_w(generator, one)
        with torch.no_grad():
            seen.append(network.look(chip(image, 150))[1][LAYER].cpu())
        read = scene_of(image)
        rows.append([read.get(name, math.nan) for name in (*NAMES[:-1], *LIGHTS)] + [marks.get(number, math.nan)])
        progress()
    labels, activations = torch.tensor(rows, dtype=torch.float64), torch.cat(seen)
    shapes, lights, glasses = labels[:, :4], labels[:, 4:6], labels[:, 6:]
    reader = fit_scene_reader(activations, torch.cat([shapes, glasses], 1))
    others = {name: step for name, step in known.vectors.items() if name not in (GLASSES, *LIGHTS)}
    beside = torch.stack([step for step in others.values() if step.ndim == 1])
    marked, lit = glasses.isfinite().all(1), lights.isfinite().all(1)
    worn = reader.of(activations[marked])[:, -1:].double()  # rimless ones are in between
    found: dict[str, Any] = {}
    steps, deviations = dict(others), {name: known.deviations[name] for name in others if name in known.deviations}
    for names, chosen, values in (((GLASSES,), marked, worn), (LIGHTS, lit, lights[lit])):
        made = fit(w[chosen], values, people.identity[chosen], generator.statistics(), identity_weight, beside)
        beside = torch.cat([beside, made.vectors])
        for place, name in enumerate(names):
            steps[name] = made.vectors[place] if name == GLASSES else in_lit_rows(made.vectors[place], generator.num_ws)
            deviations[name] = float(made.deviations[place])
            found[name] = {"n": int(chosen.sum()), "correlation": float(made.correlation[place])}
    directions = replace(known, vectors=steps, deviations=deviations, scene=reader)
    return directions, found | {"with_glasses": sum(value > 0 for value in marks.values())}


def in_lit_rows(vector: Tensor, num_ws: int) -> Tensor:
    """[D] -> [L, D], 0 in other rows."""
    rows = torch.zeros(num_ws, 1)
    rows[round(LIT_ROWS * num_ws) :] = 1
    return rows * vector

"""What no child inherits: how a head is turned and tilted, and how the mouth smiled, when a parent was photographed.

Read from the face mesh, and brought to a neutral state or to that of one parent along the directions of the same labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from ..faces.mesh import face_mesh, find_mesh, shape_labels
from ..image import area_resize, to_uint8
from ..interfaces import Generator, Latents
from ..latents import render
from .files import Directions

LABELS = ("yaw", "pitch", "smile")  # of `shape_labels`, in its order
NEUTRAL: Mapping[str, float] = {"yaw": 0.0, "pitch": 0.564, "smile": 0.92}  # means of sampled faces; yaw: to the camera
SCENES = ("neutral", "father", "mother")
LOOK, ROUNDS, FARTHEST = 256, 2, 3.0  # pixels; readings and steps; deviations a round


def scene_of(image: Tensor) -> dict[str, float]:
    """image [1, 3, R, R] in [-1, 1], aligned as FFHQ -> label -> reading."""
    mesh = find_mesh(to_uint8(area_resize(image, min(LOOK, image.shape[-1]))), face_mesh())
    return dict(zip(LABELS, shape_labels(mesh), strict=False))


def settle(face: Latents, wanted: Mapping[str, float], directions: Directions, generator: Generator) -> Latents:
    """The face with these readings, about: two steps by what a step changes on the mean."""
    for _ in range(ROUNDS):
        read = scene_of(render(generator, face, min(LOOK, generator.resolution)))
        steps = {name: (wanted[name] - read[name]) / directions.deviations[name] for name in LABELS}
        steps = {name: min(max(step, -FARTHEST), FARTHEST) for name, step in steps.items()}
        face = replace(face, ws=directions.move(face.ws, steps))
    return face

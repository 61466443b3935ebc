"""Samples of the generator with what is read in their pictures: to find people like someone among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..assets.trained import load_trained, save_tensors, whole
from ..estimators.identity import dlib_resnet
from ..faces.traits import Traits, read_traits
from ..interfaces import Generator, Latents
from ..latents import render
from ..spaces.p_space import from_p, to_p
from ..spaces.population import sample_w
from .search import render_w

PEOPLE = "people"  # what their file says it is
LIKE = 100  # of the nearest are people like someone
# Readings by which people are alike, and the difference of each that weighs as much as any other's.
SCALES = {"ita": 8.0, "hair_l": 8.0, "hair_texture": 0.08, "nose_width": 0.012, "lip_thickness": 0.009, "iris_l": 8.0}
HAIR = "hair_darkness"  # the label that is fitted to people's readings
# Of the rows of ws, as shares: those before make the face and its age, those after the light. A step in these alone leaves
# the person; in all rows it follows what dark hair comes with among people.
HAIR_ROWS = (0.375, 0.75)
STRANGERS = 0.5  # dlib's distance that weighs as much as all readings a scale apart


@dataclass(frozen=True)
class People:
    """Sample i is row i of `sample_w(generator, count, seed)`."""

    readings: Tensor  # [N, 6], in the order of SCALES; NaN where a picture does not show it
    identity: Tensor  # [N, 128], dlib's
    seed: int
    sha256: str = ""  # of the file

    def like(self, image: Tensor, generator: Generator) -> Tensor:
        """image [1, 3, R, R] in [-1, 1], aligned as FFHQ -> [100, D]: in P, those people who are most like it.

        By readings of skin, hair, eyes, nose and lips, and by the identity network, which sees more of a face than these.
        """
        scales = torch.tensor(list(SCALES.values()))
        off = (self.readings - _row(read_traits(image))) / scales
        off = torch.where(off.isfinite(), off.square(), 1.0)  # what was not read is as far as usual
        with torch.no_grad():
            apart = (self.identity - dlib_resnet(str(image.device)).embed(image).cpu()).square().sum(1)
        nearest = (off.mean(1) + apart / STRANGERS**2).topk(min(LIKE, len(off)), largest=False).indices
        return to_p(sample_w(generator, len(off), self.seed)[1][nearest.sort().values])


def hair_and_skin(people: People, generator: Generator) -> tuple[Tensor, Tensor]:
    """w [N, D] of the samples, and [N, 2] what is read of them: darkness of the hair (-L*), tone of the skin (ITA)."""
    places = [list(SCALES).index(name) for name in ("hair_l", "ita")]
    labels = people.readings[:, places].double() * torch.tensor([-1.0, 1.0], dtype=torch.float64)
    return sample_w(generator, len(labels), people.seed)[1], labels


def in_rows_of_hair(vector: Tensor, num_ws: int) -> Tensor:
    """[D] -> [L, D], 0 in other rows."""
    first, end = (round(share * num_ws) for share in HAIR_ROWS)
    rows = torch.zeros(num_ws, 1)
    rows[first:end] = 1
    return rows * vector


def hair_answer(generator: Generator, w: Tensor, step: Tensor, progress: Callable[[], None] = lambda: None) -> float:
    """By how much L* falls, on the mean over samples w [N, D], along a step [L, D] in P; NaN where no hair is read."""
    falls = []
    for one in w:
        p = to_p(one.expand(step.shape))
        looks = (render(generator, Latents(from_p(p + sign * step)), 256) for sign in (-1, 1))
        before, after = (read_traits(image).hair_l for image in looks)
        falls.append((before - after) / 2)
        progress()
    return float(torch.tensor(falls).nanmean())


def measure_people(generator: Generator, count: int, seed: int, progress: Callable[[], None] = lambda: None) -> People:
    """Draw, read. Raises UserError where the networks were not fetched."""
    rows, faces = [], []
    for w in sample_w(generator, count, seed)[1]:
        image = render_w(generator, w)
        rows.append(_row(read_traits(image)))
        with torch.no_grad():
            faces.append(dlib_resnet(str(generator.device)).embed(image)[0].cpu())
        progress()
    return People(torch.stack(rows), torch.stack(faces), seed)


def save_people(path: Path, people: People, generator: Generator, facts: Mapping[str, Any]) -> None:
    """As float16: finer than any reading. What was not read is left out of the numbers by a mask."""
    read = people.readings.isfinite()
    tensors = {
        "readings": torch.where(read, people.readings, 0.0).half(),
        "read": read.to(torch.uint8),
        "identity": people.identity.half(),
    }
    save_tensors(path, PEOPLE, tensors, generator, {**facts, "seed": people.seed})


def load_people(path: str, generator: Generator) -> People:
    """A catalogue entry or a .safetensors file. Raises UserError if it is missing, damaged or another generator's."""
    trained = load_trained(path, PEOPLE, generator)
    with whole(path, PEOPLE):
        readings, read, identity = (trained.tensors[name] for name in ("readings", "read", "identity"))
        shape = (len(identity), len(SCALES))
        if shape[0] < 2 or readings.shape != shape or read.shape != shape or identity.shape[1] != 128:
            raise ValueError(f"shapes {list(readings.shape)}, {list(read.shape)}, {list(identity.shape)}")
        readings = torch.where(read > 0, readings, torch.nan)
        return People(readings, identity, int(trained.facts["seed"]), trained.sha256)


def _row(traits: Traits) -> Tensor:
    return torch.tensor([float(getattr(traits, name)) for name in SCALES])

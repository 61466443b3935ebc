"""The other parent, where there is a photograph of one alone: a sample of the generator, and so nobody in particular."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..editing.people import People
from ..editing.search import render_w
from ..errors import UserError
from ..estimators.age_gender import age_gender
from ..faces.traits import LEAST_SIDE, MOST_YAW, read_traits
from ..interfaces import FaceLabels, Generator, Inversion, Latents
from ..latents import render
from ..spaces.p_space import draw_back, from_p
from ..spaces.population import truncated
from .inheritance import LOOK

log = logging.getLogger(__name__)

AMONG = {"like": "people like the {}", "anyone": "the whole population"}  # among whom -> in words, of the given parent
OTHER = {"father": "mother", "mother": "father"}
ADULT = (25.0, 50.0)  # years, as the classifier reads them
SURE = 0.98  # probability of the sex: at 0.9 it takes some boys for men
PSI = 0.75  # truncation: samples as they come are in part seen from the side, or behind something
TRIES = 100  # fresh samples of the whole population that are looked at
STREAM = 7_919  # of the seed: drawn for no child


@dataclass(frozen=True)
class DrawnParent:
    """Whom nobody has photographed."""

    role: str  # father or mother
    among: str  # in words
    inversion: Inversion
    read: FaceLabels | None = None  # by the classifier that chose; None where a picture is too small for one

    def describe(self) -> dict[str, Any]:
        """For a summary, as JSON values."""
        read = {"age": round(self.read.age, 2), "male": round(self.read.male, 4)} if self.read else None
        return {"status": "drawn", "drawn_among": self.among, "read_by_what_chose": read}

    @property
    def caption(self) -> str:
        """For a contact sheet."""
        return f"{self.role}: nobody's photograph, drawn among {self.among}"


def draw_parent(role: str, given: Inversion, generator: Generator, seed: int, people: People | None) -> DrawnParent:
    """The missing `role`, an adult of its sex: the first of the seed's order who reads so. The same for all children.

    people: those among whom people like the given parent are sought (by skin, hair, eyes, nose, lips and identity); None:
    anyone. Pictures of less than 128 pixels, and of other things than faces, are not read: then the first is taken.
    Raises UserError if nobody is found.
    """
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, STREAM])))
    readable = generator.domain == "face" and generator.resolution >= LEAST_SIDE
    among = AMONG["like" if people else "anyone"].format(OTHER[role])
    for w in _like(given, generator, people, random) if people else _anyone(generator, random):
        w = draw_back(truncated(w, PSI, generator.statistics()), generator.statistics())
        read = _read(render_w(generator, w)) if readable else None
        if not readable or (read is not None and _fits(read, role)):
            ws = w.repeat(generator.num_ws, 1)
            drawn = DrawnParent(role, among, Inversion(ws, generator.sha256), read)
            log.info("the %s is drawn among %s: nobody's photograph", role, among)
            return drawn
    raise UserError(f"no {role} was found among {among}: drawn_parent=anyone, another seed, or a photograph.")


def _read(image: Tensor) -> FaceLabels | None:
    """None of a face that is not to be seen, or from the side."""
    return None if not abs(read_traits(image).yaw) < MOST_YAW else age_gender(str(image.device)).label(image)[0]


def _fits(read: FaceLabels, role: str) -> bool:
    return ADULT[0] <= read.age <= ADULT[1] and (read.male if role == "father" else 1 - read.male) >= SURE


def _like(given: Inversion, generator: Generator, people: People, random: np.random.Generator) -> Iterator[Tensor]:
    """w [D] each."""
    inside = Latents(draw_back(given.ws, generator.statistics()))
    pool = from_p(people.like(render(generator, inside, min(LOOK, generator.resolution)), generator))
    yield from pool[torch.from_numpy(random.permutation(len(pool)))]


def _anyone(generator: Generator, random: np.random.Generator) -> Iterator[Tensor]:
    """w [D] each."""
    for _ in range(TRIES):
        z = torch.from_numpy(random.standard_normal((1, generator.z_dim))).float()
        with torch.no_grad():
            yield generator.mapping(z.to(generator.device))[0].cpu()

"""A face brought to an age and a sex as itself: a short search by gradients, from a step along directions.

A direction of the whole population leads everyone to the population's children: features that are the person's fade, and
skin and hair that are commoner among them come along. So what is the person's is measured in the picture before the move,
and held: identity by dlib's network, inside and out, and the colours of skin and hair.
Age and sex are read twice, by classifiers and by the embedding (`reader`), in a view that differs at every step: what
pleases a reader by accident in one view does not in the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..estimators.chips import chip
from ..estimators.identity import dlib_resnet
from ..faces.masks import person_mask
from ..faces.mesh import face_mesh, find_mesh
from ..faces.patches import SIDE, hair_mask, skin_mask
from ..faces.traits import read_traits
from ..image import area_resize, to_uint8
from ..interfaces import Generator, Latents
from ..inversion.adam import Adam
from ..latents import render
from ..spaces.p import P
from .reader import YEARS, Reader
from .scene import NEUTRAL, Scene, scene_of
from .scene_reader import SceneReader

VERSION = 2  # of the search and of people like the parents: rises with their constants, for what is kept of evaluations
COARSE = 128  # pixels of the first steps; the last see 256
RATE, BETAS = 0.08, (0.5, 0.9)  # of Adam, in deviations
FALL = 0.6  # share of the steps before its rate falls and pictures are larger
AGE, GENDER, IDENTITY, INNER, COLOUR, MOVED, SCENE = 3.0, 0.3, 1.0, 0.3, 0.5, 0.3, 0.3  # weights
SKIN, HAIR = 0.05, 0.08  # differences of mean colours that weigh 1; of a range of 2
LEAST = 200  # pixels of skin, at 256, below which its colour is not known
FARTHEST, YOUNGEST, OLDEST = 2.0, 0.5, 80.0  # years: beyond a goal; and what the classifiers know
UNSEEN = 0.5  # of the hair's colour against the skin's: a hat may be taken off, and grey is hair of age
BEYOND = 0.15  # share of the way, beyond the goal, that is aimed at: outside judges see less of a change than readers
JITTER, SHIFT = 0.06, 3  # deviation of the light, and pixels, by which the read view differs from step to step


@dataclass(frozen=True)
class Wanted:
    """age in years, None: as it is; sign: 1 male, -1 female, 0 as it is; sure: log-odds that are enough."""

    age: float | None
    sign: float
    sure: float


@dataclass(frozen=True)
class Colours:
    """Of the skin and of the hair in one picture, and where they were seen; and how the head was held."""

    values: Tensor  # [2, 3], in [-1, 1]
    masks: Tensor  # [2, 1, 256, 256]
    seen: tuple[bool, bool]
    scene: Mapping[str, float] = field(default_factory=dict)


def colours_of(image: Tensor, reader: SceneReader | None = None) -> Colours:
    """image [1, 3, R, R] in [-1, 1], aligned as FFHQ. reader: of the scene, for glasses."""
    image = area_resize(image, SIDE)
    mesh = find_mesh(to_uint8(image), face_mesh())
    found = skin_mask(mesh), hair_mask(mesh, person_mask(image)[0, 0].cpu().numpy())
    masks = torch.from_numpy(np.stack(found)).float()[:, None].to(image.device)
    there = mesh.presence >= 0
    skin = there and int(found[0].sum()) >= LEAST
    hair = there and math.isfinite(read_traits(image).hair_l)  # neither a scalp nor a hat of a colour that hair has not
    return Colours(mean_colours(image, masks), masks, (skin, hair), scene_of(image, reader) if there else NEUTRAL)


def between(own: Tensor, parents: Sequence[Tensor]) -> Tensor:
    """own [3] -> the nearest colour on the straight way from one parent's to the other's."""
    one, way = parents[0], parents[-1] - parents[0]
    share = ((own - one) @ way / way.square().sum().clamp_min(1e-9)).clamp(0, 1)
    return one + share * way


@dataclass(frozen=True)
class _View:
    """What is held, at one size of pictures."""

    embedding: Tensor
    layers: list[Tensor]
    masks: Tensor  # [2, 1, R, R]
    colours: Tensor  # [2, 3]: what skin and hair are to be
    scene: tuple[Scene, SceneReader] | None  # how the head and the eyes are to be, and what reads it

    def changed(self, image: Tensor) -> Tensor:
        """How much of the person has changed in a picture [1, 3, R, R]."""
        embedding, layers = look(image)
        identity = (embedding - self.embedding).square().sum(1).mean()
        inner = torch.stack([(a - b).square().sum(1).mean() for a, b in zip(layers, self.layers, strict=True)]).sum()
        skin, hair = mean_colours(image, self.masks) - self.colours
        colour = (skin / SKIN).square().mean() + UNSEEN * (hair / HAIR).square().mean()
        changed = IDENTITY * (identity + INNER * inner) + COLOUR * colour
        if self.scene is None:
            return changed
        scene, reader = self.scene
        return changed + SCENE * scene.missed(reader([layer[:1] for layer in layers]), reader.spread)


class Person:
    """What of a face is held, measured in its picture before it is moved; then the search.

    parents: whose skin and hair its own are to lie between; none: they stay as they are. beyond: how far beyond the age that
    is wanted is aimed at, share of the way. scene: how head and eyes are to be, and what reads it; None: not looked at.
    """

    def __init__(
        self,
        face: Latents,
        reader: Reader,
        generator: Generator,
        parents: Sequence[Colours] = (),
        beyond: float = BEYOND,
        scene: tuple[Scene, SceneReader] | None = None,
    ) -> None:
        self.beyond, self.scene = beyond, scene
        self.face, self.reader, self.generator, self.space = face, reader, generator, P()
        self.before = self.space.encode(face.ws[None].to(generator.device), generator)
        true = render(generator, face)
        sizes = [min(size, generator.resolution) for size in (COARSE, SIDE)]
        self.coarse = self._view(render(generator, face, sizes[0]), own := colours_of(true), parents)
        self.fine = self._view(area_resize(true, sizes[1]), own, parents)
        self.read = reader(true)

    def _view(self, image: Tensor, own: Colours, parents: Sequence[Colours]) -> _View:
        masks = area_resize(own.masks, image.shape[-1])
        colours = mean_colours(image, masks)
        for part, seen in enumerate(own.seen):
            among = [parent.values[part] for parent in parents if parent.seen[part]]
            if seen and len(among) == len(parents) > 0:  # by as much as it is off: a preview's colours are its own
                colours[part] += between(own.values[part], among) - own.values[part]
        with torch.no_grad():
            return _View(*look(image), masks, colours, self.scene)

    def move(self, start: Latents, wanted: Wanted, steps: int) -> Latents:
        """The best of `steps` steps from `start`; each row moves by itself, within the walls of `spaces.p`.

        The last of them see a larger preview, corrected by the true picture as inversions are.
        """
        space, generator = self.space, self.generator
        parameters = space.encode(start.ws[None].to(generator.device), generator).clone().requires_grad_()
        offset = None if start.style_offset is None else start.style_offset[None].to(generator.device)
        tuning = None if start.tuning is None else start.tuning.to(generator.device)
        noise = [one[None, None].to(generator.device) for one in start.noise] or None
        adam = Adam([parameters], RATE, BETAS)
        best, least, correction = parameters.detach().clone(), math.inf, None
        switch = round(steps * FALL)

        def draw(resolution: int | None) -> Tensor:
            ws = space.decode(parameters, generator)
            styles = None if offset is None else generator.styles(ws) + offset
            return generator.synthesis(ws, noise, resolution, styles, tuning=tuning)

        for step in range(steps):
            view = self.coarse if step < switch else self.fine
            image = draw(view.masks.shape[-1])
            if step == switch:
                with torch.no_grad():
                    correction = area_resize(draw(None), image.shape[-1]) - image
                least = math.inf  # of another picture
            image = image if correction is None else image + correction
            loss = view.changed(image) + MOVED * (parameters - self.before).square().mean()
            loss = loss + self.missed(another_view(image, step), wanted)
            if loss.item() < least:
                best, least = parameters.detach().clone(), loss.item()
            adam.forget()
            loss.backward()
            fall = max(0.0, step / steps - FALL) / (1 - FALL)
            adam.learning_rate = RATE * 0.5 * (1 + math.cos(math.pi * fall))
            adam.step()
            space.project(parameters.data)
        return replace(start, ws=space.decode(best, generator)[0].cpu())

    def missed(self, image: Tensor, wanted: Wanted) -> Tensor:
        """How far both readings of a picture are from what is wanted."""
        ages, odds = self.reader.both(image)
        loss = image.new_zeros(())
        if wanted.age is not None:
            aimed = math.log(self.aim(wanted.age) + YEARS)
            off = ((ages.clamp_min(0.1) + YEARS).log() - aimed) * YEARS
            loss = loss + AGE * F.huber_loss(off, torch.zeros_like(off), reduction="sum")
        if wanted.sign:
            loss = loss + GENDER * F.softplus(wanted.sure - wanted.sign * odds).sum()
        return loss

    def aim(self, age: float) -> float:
        """Years to aim at: a share beyond `age` as seen from this face's own, in log(age + 3) as readings are; 2 at most."""
        goal, start = math.log(age + YEARS), math.log(self.read.age + YEARS)
        aimed = math.exp(goal + self.beyond * (goal - start)) - YEARS
        return min(max(aimed, age - FARTHEST, YOUNGEST), age + FARTHEST, OLDEST)


def look(image: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What dlib's network sees in a picture and in its mirror image."""
    face = chip(image, 150)
    return dlib_resnet(str(image.device)).look(torch.cat([face, face.flip(3)]))


def mean_colours(image: Tensor, masks: Tensor) -> Tensor:
    """[1, 3, R, R], [N, 1, R, R] -> [N, 3]; 0 where a mask is empty."""
    return (image.clamp(-1, 1) * masks).sum((2, 3)) / masks.sum((2, 3)).clamp_min(1)


def another_view(image: Tensor, step: int) -> Tensor:
    """The picture in other light, a few pixels off; of the step alone."""
    random = np.random.default_rng(step)
    gain, light = 1 + JITTER * random.normal(), JITTER * random.normal() / 2
    shift = [int(pixels) for pixels in random.integers(-SHIFT, SHIFT + 1, 2)]
    return torch.roll(image * gain + light, shift, (2, 3))

"""Five lines for notebooks: load a generator, load photographs, invert, blend or edit, save."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from .blending.offspring import shared_copy
from .blending.recipes import Blend, Recipe, check_parents
from .editing.edits import DEFAULT, Edit, Edited, Wish
from .errors import UserError
from .faces import paste
from .faces.aligner import FFHQ
from .faces.centre import CentreCrop
from .generators.file import from_file
from .generators.mobile_stylegan import ffhq
from .image import load_photo, save_composite, save_synthetic, to_uint8
from .interfaces import AlignedFace, Generator, Inversion, Latents, OnStep, Start
from .inversion.inverter import default_inverter
from .latents import render
from .report.progress import InversionBar
from .report.run_folder import provenance


def load_generator(device: str = "cpu", path: str | None = None, **options: Any) -> Generator:
    """MobileStyleGAN FFHQ 1024, frozen; or any StyleGAN checkpoint at `path`, which is read and not executed.

    options: of `generators.file.CheckpointSource`: domain, class_label, precision. Raises UserError, saying what to run,
    when weights were not fetched, or what is wrong with the file.
    """
    return from_file(path, device=device, **options) if path else ffhq(device)


@cache
def _aligner(size: int) -> FFHQ:
    return FFHQ(size)


def load_face(
    path: str | Path, face: int | None = None, size: int = 1024, generator: Generator | None = None
) -> AlignedFace:
    """A photograph's largest face, or number `face` from the left, aligned as FFHQ. UserError if there is none.

    With a `generator`, at its resolution, and cropped to the middle if it draws other things than faces.
    """
    if generator is not None and generator.domain != "face":
        return CentreCrop(generator.resolution)(load_photo(path), Path(path).name, face)
    return _aligner(generator.resolution if generator else size)(load_photo(path), Path(path).name, face)


def invert(
    generator: Generator,
    faces: Sequence[AlignedFace],
    seed: int = 0,
    on_step: OnStep | None = None,
    start: Start | None = None,
    **optimiser: Any,
) -> list[Inversion]:
    """The default recipe, one inversion a face; keywords go to `inversion.loop.Optimiser`, e.g. steps=50.

    `start` (any of `inversion.starts`) replaces the encoder, which only the default generator has. Without `on_step` a
    progress bar is shown.
    """
    inverter = default_inverter(generator, **optimiser)
    if start is not None:
        inverter = dataclasses.replace(inverter, start=start)
    if on_step:
        return inverter(faces, [seed] * len(faces), on_step)
    with InversionBar(len(faces), inverter.steps) as bar:
        return inverter(faces, [seed] * len(faces), bar)


def blend(
    generator: Generator,
    father: Inversion,
    mother: Inversion,
    weight: float | None = None,
    recipe: Recipe | None = None,
) -> Tensor:
    """The child's picture, [1, 3, R, R]: `weight` of the mother (default 0.5), or a `recipe`, any of `blending.recipes`.

    Raises UserError for both, and for latents of another generator.
    """
    if recipe is not None and weight is not None:
        raise UserError(f"weight={weight} beside a recipe, which has weights of its own: give one of them.")
    check_parents(father, mother, generator)
    recipe = recipe or Blend(0.5 if weight is None else weight)
    return render(generator, Latents(recipe(father.ws, mother.ws, generator), tuning=shared_copy(father, mother)))


def edit(
    generator: Generator,
    face: AlignedFace | Inversion | Latents,
    steps: Mapping[str, float] | None = None,
    directions: str = DEFAULT,
    **labels: Wish,
) -> Edited:
    """The face with labels as asked for: age=60, gender="female", yaw, pitch, smile, eyes_open (`editing.edits`).

    steps: raw steps along directions of the file, taken first. An aligned face is inverted by the default recipe. The
    result has latents, for `draw`, and readings before and after. Raises UserError for what cannot be asked for, and
    for latents of another generator.
    """
    wishes = Edit(labels, steps or {}, directions)
    loaded = wishes.load(generator)
    found = invert(generator, [face])[0] if isinstance(face, AlignedFace) else face
    if isinstance(found, Inversion):
        if found.generator_sha256 != generator.sha256:
            raise UserError("this inversion belongs to another generator.")
        found = found.latents
    return wishes(found, loaded, generator)


def draw(generator: Generator, latents: Latents) -> Tensor:
    """Their picture, [1, 3, R, R]."""
    return render(generator, latents)


def paste_back(photo: str | Path, face: AlignedFace, picture: Tensor, path: str | Path) -> None:
    """Write the photograph with `picture` [1, 3, R, R] in place of `face`, at its full size, as a PNG marked as composite.

    `face` is what `load_face` gave of this photograph. Raises UserError if it is of another one, or shows no face.
    """
    whole = load_photo(photo, whole=True)
    if face.photo_sha256 != whole.sha256:
        raise UserError(f"{photo}: {face.name} is of another photograph.")
    paste.paste_back(whole.pixels, to_uint8(picture), face)
    save_composite(path, whole.pixels, {"picture": f"{face.name} in its photograph"})


def save(image: Tensor, path: str | Path, generator: Generator | None = None) -> None:
    """Write a PNG marked as synthetic, with a JSON file beside it that says so too."""
    save_synthetic(path, to_uint8(image), provenance(generator) if generator else {})

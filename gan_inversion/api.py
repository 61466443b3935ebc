"""For notebooks: load a generator, load photographs, invert, blend or edit, save; or what a command does, by one call.

Settings of commands are keywords: family(dad, mum, siblings=4, child={"age": 20}, inversion={"steps": 30}) is
`gan_inversion family father=... mother=... siblings=4 child.age=20 inversion.steps=30`. An option is its
name, refine="noise"; options together with keys of theirs: **{"refine": "noise", "refine.whole": 3}.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from . import cli
from .blending.offspring import shared_copy
from .blending.recipes import Blend, Recipe, check_parents
from .components import construct
from .editing.edits import DEFAULT, Edit, Edited, Wish
from .errors import UserError, suggestion
from .faces import paste
from .faces.aligner import FFHQ
from .faces.centre import CentreCrop
from .generators.file import from_file
from .generators.mobile_stylegan import ffhq
from .image import Mark, load_photo, save_composite, save_synthetic, to_uint8
from .interfaces import AlignedFace, Generator, Inversion, Latents, OnStep, Start
from .inversion.inverter import default_inverter
from .latents import render
from .report.progress import InversionBar, bar_of
from .report.run_folder import provenance
from .results import Picture, Run

GIVEN = ("generator", "father", "mother", "output_dir", "overwrite", "private", "device", "threads")  # not of children


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
    """The face with labels as asked for: age=60, gender="female", yaw, pitch, smile, eyes_open,
    hair_darkness (`editing.edits`).

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


def save(image: Tensor, path: str | Path, generator: Generator | None = None, mark: Mark | None = None) -> None:
    """Write a PNG marked as synthetic, with a JSON file beside it that says so too.

    mark: signs it besides, `gan_inversion.image.c2pa.C2PA(certificate, key)`.
    """
    save_synthetic(path, to_uint8(image), provenance(generator) if generator else {}, mark)


def family(father: str | Path | None = None, mother: str | Path | None = None, **settings: Any) -> Run:
    """Two photographs -> children, as the command `family` makes them, in its folder; .latents has them and their parents.

    Of one photograph, the other parent is drawn. settings: the command's keys. Raises UserError naming the photograph or
    the key.
    """
    return run("family", father=father, mother=mother, **settings)


def interpolate(latents: Sequence[str | Path | Run], **settings: Any) -> Run:
    """A film of the walk through latents: runs, files, or FILE:NAME, in its order; as the command `interpolate`."""
    return run("interpolate", latents=_entries(latents), **settings)


def atlas(latents: Sequence[str | Path | Run], **settings: Any) -> Run:
    """A map of runs, files or folders of latents; as the command `atlas`."""
    return run("atlas", latents=_entries(latents), **settings)


def run(command: str, **settings: Any) -> Run:
    """Any command that leaves a folder, with the bits of its command line. Raises UserError; KeyboardInterrupt if cut short.

    The process gets the command's `threads` and determinism, and keeps them.
    """
    if command not in cli.PLACES or "output_dir" not in cli._body(command):
        known = [name for name in cli.PLACES if "output_dir" in cli._body(name)]
        raise UserError(f"no command called {command} that leaves a folder.{suggestion(command, known)}")
    return Run(Path(cli.call(command, [*_arguments(settings)]).output_dir))


def children(generator: Generator, father: Inversion, mother: Inversion, **settings: Any) -> dict[str, Picture]:
    """Name -> child, as the command `blend` makes them of stored latents: each with an inheritance and an age of its own.

    settings: blend, inherit, child, siblings, siblings_only, diversity, seed, experiment, as the command has them. Raises
    UserError for what cannot be asked for, and for latents of another generator.
    """
    given = [key for key in settings if key.partition(".")[0] in GIVEN]
    if given:
        raise UserError(
            f"{', '.join(given)}: children are of the generator and the parents given, and written nowhere."
        )
    typed = cli.typed_as("blend", ["father=given", "mother=given", *_arguments(settings)])
    command = construct(cli.class_of("blend"), cli.compose("blend", typed), "", cli.said_of(typed))
    made = command.conception(generator)(father, mother, generator, bar_of("children", "child"))
    return {name: _picture(generator, child.latents, name) for name, child in made.items()}


def picture(generator: Generator, face: Inversion | Latents) -> Picture:
    """As the generator draws it; a notebook shows it."""
    return _picture(generator, face.latents if isinstance(face, Inversion) else face, "face")


def _picture(generator: Generator, latents: Latents, name: str) -> Picture:
    return Picture(latents, to_uint8(render(generator, latents)), {**provenance(generator), "picture": name})


def _entries(latents: Sequence[str | Path | Run]) -> list[str]:
    return [str(one.folder / "latents.safetensors") if isinstance(one, Run) else str(one) for one in latents]


def _arguments(settings: Mapping[str, Any]) -> Iterator[str]:
    """KEY=VALUE of each, as a person would type it."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _arguments({f"{key}.{inner}": one for inner, one in value.items()})
        elif isinstance(value, (list, tuple)):
            yield f"{key}=[{','.join(map(_item, value))}]"
        else:
            yield f"{key}={_text(value)}"


def _text(value: Any) -> str:
    return (
        {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _item(value: Any) -> str:
    """Of a list: names with commas, spaces and the like in quotes."""
    text = _text(value)
    return text if re.fullmatch(r"[-+\w./:]*", text) else cli._quote(text)

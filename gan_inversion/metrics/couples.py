"""Families -> children by several methods -> what networks see in them. Each couple is kept as it is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from ..blending.colours import tinted, tints
from ..blending.inheritance import Inherit
from ..blending.offspring import Conception
from ..editing import hold
from ..editing.loop import LOOK, NUDGES, WIDTHS
from ..editing.search import draw_w
from ..editing.steering import PULLS, Steering
from ..errors import UserError
from ..faces import traits
from ..faces.traits import Traits
from ..image import area_resize, resized, to_tensor, to_uint8
from ..interfaces import AlignedFace, Generator, Inversion, Latents
from ..latents import describe, hash_of_latents, hash_of_ws, render
from ..losses.prior import p_norm
from ..runtime import versions
from ..spaces.p_space import REACH
from ..spaces.population import sample_w, truncated
from ..storage import write_atomically
from ..storage.tensors import read_tensors
from .children import BANDS, SIZE, FamilySeen, Made, Seen, look
from .heredity import AGED
from .one_parent import METHODS as OF_ONE_PARENT
from .one_parent import OneParent

GOALS = tuple((age, gender) for age in BANDS for gender in ("female", "male"))
METHODS = ("ours", "w_plus_mean", "father_copied", "mother_copied", "random_same_age", "real_child", *OF_ONE_PARENT)
RANDOM_SEED = 500_009  # of the random faces: never a parent's
SEEN_VERSION = 3  # of what is kept of a couple: traits and pictures, since 2; families of one parent, since 3
THUMB = 128  # pixels of its pictures


@dataclass(frozen=True)
class Couple:
    """Parents as latents, and as the pictures that likeness is measured to: photographs where there are any."""

    name: str  # unique
    family: str
    father: Inversion
    mother: Inversion
    father_picture: Tensor  # [1, 3, R, R]
    mother_picture: Tensor
    children: tuple[Tensor, ...] = ()  # photographs of real children, aligned


def sampled_couples(generator: Generator, count: int, seed: int) -> list[Couple]:
    """Couples that the generator made up: parents whose every picture is known."""
    rows = draw_w(generator, 2 * count, seed)[:, None].repeat(1, generator.num_ws, 1)
    found = [Inversion(ws, generator.sha256) for ws in rows]
    size = min(SIZE, generator.resolution)
    pictures = [area_resize(render(generator, one.latents).cpu(), size) for one in found]
    couples = []
    for i in range(count):
        name, (father, mother) = f"sampled_{i:04d}", found[2 * i : 2 * i + 2]
        couples.append(Couple(name, name, father, mother, pictures[2 * i], pictures[2 * i + 1]))
    return couples


def photo_picture(face: AlignedFace) -> Tensor:
    """[1, 3, 256, 256] in [-1, 1]: as large as it is looked at, since all are held together."""
    return area_resize(to_tensor(face.pixels), min(SIZE, face.pixels.shape[0]))


def see_couple(
    couple: Couple, number: int, conception: Conception, generator: Generator, seed: int, folder: Path
) -> FamilySeen:
    """All methods' children of one couple, seen; taken from `folder` if they were seen before with the same settings."""
    directions = conception.directions
    if directions is None:
        raise UserError("children are evaluated at set ages: choose child=steered with its directions.")
    path = folder / f"{couple.name}.safetensors"
    identity = _identity(couple, number, conception, generator, seed)
    kept = _load(path, identity)
    if kept is not None:
        return kept
    reader, pictures = directions.require_reader(), dict[str, Tensor]()

    def seen(latents: Latents, caption: str = "") -> Seen:
        picture = render(generator, latents)
        if caption:
            pictures[caption] = picture
        return look(picture, reader, p_norm(latents.ws[None], generator.statistics()).item())

    pictures |= {"father": couple.father_picture, "mother": couple.mother_picture}
    copied = {
        role: Made(seen(one.latents, f"{role}, inverted"))
        for role, one in (("father", couple.father), ("mother", couple.mother))
    }
    parents = [
        replace(look(picture, reader), p_norm=p_norm(one.ws[None], generator.statistics()).item())
        for picture, one in ((couple.father_picture, couple.father), (couple.mother_picture, couple.mother))
    ]
    children: dict[str, list[Made]] = {"ours": [], "random_same_age": []}
    base = next(iter(conception.recipes.values()))
    random = sample_w(generator, 1, seed + RANDOM_SEED + number)[1][0]
    like = conception.inheritance.like(base.base, couple.father.ws, couple.mother.ws, generator)
    parents_latents = couple.father.latents, couple.mother.latents
    colours = conception.steering.colours_of(parents_latents, directions, generator)
    colours = tinted(colours, tints(conception.inheritance.colours, colours))
    aged = 0, next(age for age in BANDS if age != GOALS[0][0]), GOALS[0][1]  # the first child, at the other age too
    for index, age, gender in [*((index, *goal) for index, goal in enumerate(GOALS)), aged]:
        recipe = replace(base, seed=seed + number, index=index)
        latents = conception.inheritance(recipe, couple.father.ws, couple.mother.ws, generator, like)
        (ours,) = _asked(conception.steering, age, gender)(latents, gender, directions, generator, colours)
        method = AGED if (index, age, gender) == aged else "ours"
        made = Made(seen(ours.latents, f"child {index} at {age}"), age, gender, index)
        children.setdefault(method, []).append(made)
        grown = ours.latents  # in the end the first child at the other age
    stranger = Latents(truncated(random, 0.8, generator.statistics()).repeat(generator.num_ws, 1))
    age, gender = GOALS[number % len(GOALS)]  # one a couple, each goal in turn
    asked = partial(_asked, conception.steering)
    (other,) = asked(age, gender)(stranger, gender, directions, generator)
    children["random_same_age"].append(Made(seen(other.latents), age, gender))
    alone = OneParent(couple.father, conception, generator, seed + number, asked, seen)
    children |= alone.with_drawn(age, gender) | alone.guessed(grown, stranger, parents[1].read_male > 0.5)
    even = (couple.father.ws + couple.mother.ws) / 2
    children["w_plus_mean"] = [Made(seen(Latents(even)))]
    children |= {f"{role}_copied": [made] for role, made in copied.items()}
    children["real_child"] = [Made(look(child, reader)) for child in couple.children]
    found = FamilySeen(couple.family, parents[0], parents[1], children)
    _keep(path, found, identity, pictures)
    return found


def _asked(steering: Any, age: int, gender: str) -> Steering:
    if not isinstance(steering, Steering):
        raise UserError("children are evaluated at set ages: choose child=steered.")
    return replace(steering, age=float(age), gender=gender, ages=None)


def _identity(couple: Couple, number: int, conception: Conception, generator: Generator, seed: int) -> str:
    """All that can change what is seen."""
    recipe = next(iter(conception.recipes.values()), None)
    parts = {
        "parents": [hash_of_latents(couple.father.latents), hash_of_latents(couple.mother.latents)],
        "pictures": [hash_of_ws(p) for p in (couple.father_picture, couple.mother_picture, *couple.children)],
        "generator": [generator.sha256, generator.previews_sha256, generator.statistics().sha256],
        "recipe": repr(recipe),
        "steering": describe(conception.steering),
        "versions": [Inherit.version, hold.VERSION],
        "files": [
            conception.files,
        ],
        "chosen": [dict(conception.inheritance.chosen), conception.inheritance.mutation],
        **({"colours": dict(conception.inheritance.colours)} if conception.inheritance.colours else {}),
        "number": [number, seed],
        "seen": [SEEN_VERSION, traits.VERSION],
        "constants": [REACH, PULLS, WIDTHS, NUDGES, LOOK, versions()],
    }
    return json.dumps(parts, sort_keys=True)


def pictures_of(path: Path) -> dict[str, np.ndarray]:
    """Caption -> uint8 [128, 128, 3]: what a kept couple looked like, in the order of a sheet's row."""
    file = read_tensors(path)
    return dict(zip(file.note("couple").get("pictures", list), file.tensors["pictures"].numpy(), strict=True))


def _keep(path: Path, family: FamilySeen, identity: str, pictures: Mapping[str, Tensor]) -> None:
    everyone = [("father", Made(family.father)), ("mother", Made(family.mother))]
    everyone += [(method, made) for method, many in family.children.items() for made in many]
    tensors = {
        network: torch.stack([torch.from_numpy(getattr(made.seen, network)) for _, made in everyone])
        for network in ("dlib", "faceres")
    }
    small = [torch.from_numpy(resized(to_uint8(picture), THUMB, THUMB)) for picture in pictures.values()]
    tensors["pictures"] = torch.stack(small)
    fields = ("judged_age", "judged_male", "read_age", "read_male", "p_norm")
    rows = [
        [who, made.age, made.gender, made.index, asdict(made.seen.traits), {f: getattr(made.seen, f) for f in fields}]
        for who, made in everyone
    ]
    note = json.dumps({"identity": identity, "family": family.family, "rows": rows, "pictures": list(pictures)})
    write_atomically(path, save(tensors, {"couple": note}))


def _load(path: Path, identity: str) -> FamilySeen | None:
    if not path.exists():
        return None
    file = read_tensors(path)
    tensors, note = file.tensors, file.note("couple").values
    if note.get("identity") != identity:
        return None
    everyone: list[tuple[str, Made]] = []
    for i, (who, age, gender, index, read, values) in enumerate(note["rows"]):
        seen = Seen(tensors["dlib"][i].numpy(), tensors["faceres"][i].numpy(), **values, traits=Traits(**read))
        everyone.append((who, Made(seen, age, gender, index)))
    methods = (*METHODS, AGED)
    children: Mapping[str, Sequence[Made]] = {m: [made for who, made in everyone if who == m] for m in methods}
    return FamilySeen(note["family"], everyone[0][1].seen, everyone[1][1].seen, children)

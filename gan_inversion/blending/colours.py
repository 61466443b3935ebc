"""Tone of skin and colour of hair as one parent has them, or at a place on the way from the father's to the mother's.

Steering leads a child's colours to lie between its parents' (`editing.hold`): where both parents' are one colour, that is
where it leads them. So what was said needs no search of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..editing.files import Directions
from ..editing.hold import Colours
from ..editing.steering import FixedSteps, Steering
from ..errors import UserError

log = logging.getLogger(__name__)

COLOURS = ("skin", "hair_colour")  # in the order of `Colours`
PARENTS = ("father", "mother")


def check_colours(said: Mapping[str, float], steering: Steering | FixedSteps, directions: Directions | None) -> None:
    """Raises UserError where nothing would lead the child to them."""
    if not said or (isinstance(steering, Steering) and steering.search and directions is not None):
        return
    raise UserError(
        f"inherit.{next(iter(said))}: colours are led in the search that brings a child to its age or sex. Set "
        "child=steered, child.search=12, and child.age or child.gender."
    )


def tints(said: Mapping[str, float], parents: Sequence[Colours]) -> dict[int, Tensor]:
    """Weights of the mother, colours of father and mother -> place in `Colours` -> colour [3]; and a warning of those that
    were not read in a parent whose they are to be."""
    found = {}
    for name, weight in said.items() if parents else ():
        part = COLOURS.index(name)
        needed = [who for who, share in zip(PARENTS, (1 - weight, weight), strict=True) if share]
        unread = [who for who, one in zip(PARENTS, parents, strict=True) if who in needed and not one.seen[part]]
        if unread:
            log.warning(
                "inherit.%s is left out: it was not read in the picture of the %s", name, " and the ".join(unread)
            )
        else:
            father, mother = (one.values[part] for one in parents)
            found[part] = torch.lerp(father, mother, weight)
    return found


def tinted(faces: Sequence[Colours], colours: Mapping[int, Tensor]) -> list[Colours]:
    """The faces, each with these colours instead of its own."""
    return [_tinted(one, colours) for one in faces] if colours else [*faces]


def _tinted(face: Colours, colours: Mapping[int, Tensor]) -> Colours:
    values = torch.stack([colours.get(part, own) for part, own in enumerate(face.values)])
    skin, hair = (part in colours or seen for part, seen in enumerate(face.seen))
    return replace(face, values=values, seen=(skin, hair))

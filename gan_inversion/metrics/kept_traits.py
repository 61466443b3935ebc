"""Which of its parents' traits a child has kept: for the summary of a family, with a warning where colours left them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import UserError
from ..faces.traits import Traits, between, read_traits
from ..image import to_tensor

log = logging.getLogger(__name__)

WARNED = {"skin": ("skin", "ita", "ITA degrees"), "hair_darkness": ("hair", "hair_l", "L*")}  # in words, reading, unit


def compare_traits(pictures: Mapping[str, np.ndarray], children: Iterable[str]) -> dict[str, dict[str, Any] | None]:
    """Child's name -> readings of father, mother and child, and what lies between its parents', as JSON values.

    pictures: uint8 [R, R, 3], aligned as FFHQ, of "father", "mother" and each child, all drawn by the generator, so that
    light and camera are of one kind. None where a child, or both parents, show no face that can be read.
    """
    try:
        read = {name: read_traits(to_tensor(pictures[name])) for name in ("father", "mother", *children)}
    except UserError as error:  # a network that is not there must not cost a family
        log.warning("traits are not compared: %s", error)
        return {}
    father, mother = read.pop("father"), read.pop("mother")
    return {name: _compared(name, father, mother, child) for name, child in read.items()}


def _compared(name: str, father: Traits, mother: Traits, child: Traits) -> dict[str, Any] | None:
    if child.is_empty or (father.is_empty and mother.is_empty):
        return None
    kept = between([father, mother], child)
    left = [
        f"{word} ({unit}) {getattr(child, reading):.0f}, its parents' {getattr(father, reading):.0f} and "
        f"{getattr(mother, reading):.0f}"
        for trait, (word, reading, unit) in WARNED.items()
        if kept[trait] is False
    ]
    if left:
        log.warning("%s lies outside its parents: %s", name, "; ".join(left))
    everyone = {"father": father, "mother": mother, "child": child}
    return {**{role: traits.describe() for role, traits in everyone.items()}, "between": kept}

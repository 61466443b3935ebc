"""What children have kept of their parents: traits between theirs, likeness by skin, and likeness of a child to itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..faces.traits import Traits, between, skin_group
from .children import NETWORKS, FamilySeen, nearness
from .kin_statistics import summarise

KEPT = ("skin", "hair_darkness", "iris")  # traits that age does not move
AGED = "ours_aged"  # the first child of `ours` once more, at the other age


def summarise_heredity(families: Sequence[FamilySeen], method: str, seed: int) -> dict[str, Any]:
    """Of one method: shares of children whose traits lie between their parents', overall and by the parents' skin, as is
    their likeness; and of our children how like itself one is at two ages."""
    found: dict[str, dict[str, list[float]]] = {}
    for family in families:
        parents = parents_traits(family)
        group = skin_group(float(np.mean([traits.ita for traits in parents])))
        for child in family.children.get(method, ()):
            near = min(nearness("faceres", child.seen, parent) for parent in (family.father, family.mother))
            kept = between(parents, child.seen.traits)
            values = {f"{trait}_between": float(inside) for trait in KEPT if (inside := kept[trait]) is not None}
            by_group = {**values, "less_similar_faceres": near} if group else {}
            for name, value in [*values.items(), *((of_group(n, group), v) for n, v in by_group.items())]:
                found.setdefault(name, {}).setdefault(family.family, []).append(value)
    row = {name: vars(summarise(values, seed)) for name, values in found.items()}
    return row | _itself(families, seed) if method == "ours" else row


def parents_traits(family: FamilySeen) -> tuple[Traits, Traits]:
    """Of their inversions, whose light is that of the children, where those were looked at; else of their photographs."""
    father, mother = (
        next((made.seen for made in family.children.get(method, ())), photograph)
        for method, photograph in (("father_copied", family.father), ("mother_copied", family.mother))
    )
    return father.traits, mother.traits


def of_group(column: str, group: str | None) -> str:
    """The column of those families whose skin is called so: skin_between_very_light."""
    return f"{column}_{str(group).replace(' ', '_')}"


def _itself(families: Sequence[FamilySeen], seed: int) -> dict[str, Any]:
    """One child at both ages: how near it is to itself."""
    row = {}
    for network in NETWORKS:
        sign, pairs = -1.0 if network == "dlib" else 1.0, dict[str, list[float]]()
        for family in families:
            for later in family.children.get(AGED, ()):
                for child in family.children.get("ours", ()):
                    if child.index == later.index is not None:
                        near = sign * nearness(network, child.seen, later.seen)
                        pairs.setdefault(family.family, []).append(near)
        if pairs:
            row[f"itself_at_both_ages_{network}"] = vars(summarise(pairs, seed))
    return row

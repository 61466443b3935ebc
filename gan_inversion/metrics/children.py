"""Are the children like children of these parents? Pictures -> numbers, by two identity networks and two estimators.

dlib's network and the steering reader take part in making children, so their columns are marked; FaceRes takes none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..editing.reader import Reader
from ..estimators.faceres import faceres
from ..estimators.identity import dlib_resnet
from ..faces.traits import UNREAD, Traits, read_traits
from ..image import area_resize
from .kin_statistics import REAL, REAL_AUC, auc, bootstrap_interval, summarise

SIZE = 256  # pixels at which faces are read
BANDS = {8: (4.0, 14.0), 25: (18.0, 35.0)}  # asked for -> years that count as right
NETWORKS = ("dlib", "faceres")
ROLES = ("father", "mother")


@dataclass(frozen=True)
class Seen:
    """What the networks see in one picture."""

    dlib: np.ndarray  # [128]
    faceres: np.ndarray  # [1024], unit length
    judged_age: float  # by FaceRes
    judged_male: float
    read_age: float  # by what steers
    read_male: float
    p_norm: float | None = None  # of its latents, where it has any
    traits: Traits = UNREAD


def look(image: Tensor, reader: Reader, p_norm: float | None = None) -> Seen:
    """image [1, 3, R, R] in [-1, 1], aligned as FFHQ."""
    small, device = area_resize(image, min(SIZE, image.shape[-1])), str(image.device)
    with torch.no_grad():
        first = dlib_resnet(device).embed(small)[0].cpu().numpy()
        second = torch.nn.functional.normalize(faceres(device).embed(small))[0].cpu().numpy()
        (judged,), read = faceres(device).label(small), reader(small)
    return Seen(first, second, judged.age, judged.male, read.age, read.male, p_norm, read_traits(small))


def nearness(network: str, a: Seen, b: Seen) -> float:
    """dlib: minus the distance; FaceRes: the cosine. Larger is nearer."""
    if network == "dlib":
        return -float(np.linalg.norm(a.dlib - b.dlib))
    return float(a.faceres @ b.faceres)


@dataclass(frozen=True)
class Made:
    """One child of one way of making children."""

    seen: Seen
    age: int | None = None  # asked for
    gender: str = ""
    index: int | None = None  # of its inheritance: pictures of one index are one child


@dataclass(frozen=True)
class FamilySeen:
    """A couple, and its children by each method (also "real child", where there are photographs)."""

    family: str  # couples of one family are resampled together
    father: Seen
    mother: Seen
    children: Mapping[str, Sequence[Made]]


def summarise_method(families: Sequence[FamilySeen], method: str, seed: int) -> dict[str, Any]:
    """All numbers of one method, with n and 95 % intervals by bootstrap over families."""
    having = [family for family in families if family.children.get(method)]
    children = [child for family in having for child in family.children[method]]
    row: dict[str, Any] = {"n": len(children), "families": len({family.family for family in having})}
    if not having:
        return row
    for network in NETWORKS:
        sign = -1.0 if network == "dlib" else 1.0  # reported as distance, and as cosine
        less, difference = dict[str, list[float]](), dict[str, list[float]]()
        for family in having:
            for child in family.children[method]:
                near = [nearness(network, child.seen, parent) for parent in (family.father, family.mother)]
                less.setdefault(family.family, []).append(sign * min(near))
                difference.setdefault(family.family, []).append(abs(near[0] - near[1]))
        row[f"less_similar_{network}"] = vars(summarise(less, seed))
        row[f"difference_{network}"] = vars(summarise(difference, seed))
        row[f"auc_{network}"] = _auc(families, having, method, network)
        for role in ROLES:
            to_one = {family.family: list[float]() for family in having}
            for family in having:
                near = [nearness(network, child.seen, getattr(family, role)) for child in family.children[method]]
                to_one[family.family] += [sign * value for value in near]
            row[f"{role}_{network}"] = vars(summarise(to_one, seed))
            row[f"auc_{role}_{network}"] = _auc(families, having, method, network, (role,))
        spread = _spread(having, method, network, sign)
        if spread:
            row[f"siblings_{network}"] = vars(summarise(spread, seed))
        spread = _spread(having, method, network, sign, of_one_age=True)
        if spread:
            row[f"siblings_at_one_age_{network}"] = vars(summarise(spread, seed))
    row |= _labels(having, method, seed)
    plausible = [child.seen.p_norm for child in children if child.seen.p_norm is not None]
    if plausible:
        row["p_norm"] = float(np.mean(plausible))
        row["p_norm_no_worse_than_parents"] = float(np.mean([_no_worse(family, child) for family in having
                                                             for child in family.children[method]]))  # fmt: skip
    return row


def _auc(
    families: Sequence[FamilySeen],
    having: Sequence[FamilySeen],
    method: str,
    network: str,
    roles: Sequence[str] = ROLES,
) -> float | None:
    """Mean over children: probability that the own couple (mean of both), or one of it, is nearer than another's."""
    found = []
    for family in having:
        for child in family.children[method]:
            couples = [(other.family, np.mean([nearness(network, child.seen, getattr(other, role)) for role in roles]))
                       for other in families if other is family or other.family != family.family]  # fmt: skip
            own = [value for other, value in couples if other == family.family]
            rest = [value for other, value in couples if other != family.family]
            if rest:
                found.append(auc(np.array(own), np.array(rest)))
    return float(np.mean(found)) if found else None


def _spread(
    having: Sequence[FamilySeen], method: str, network: str, sign: float, of_one_age: bool = False
) -> dict[str, list[float]]:
    """Family -> dlib distance or FaceRes cosine of each pair of siblings, all or those of one age."""
    pairs = dict[str, list[float]]()
    for family in having:
        children = family.children[method]
        for i, one in enumerate(children):
            for other in children[i + 1 :]:
                if not of_one_age or one.age == other.age is not None:
                    near = sign * nearness(network, one.seen, other.seen)
                    pairs.setdefault(family.family, []).append(near)
    return pairs


def _labels(having: Sequence[FamilySeen], method: str, seed: int) -> dict[str, Any]:
    """Shares of children whose age is in its band, and, of adults, whose gender is right; by judge and by what steered."""
    row: dict[str, Any] = {}
    for age, (low, high) in BANDS.items():
        hits: dict[str, dict[str, list[float]]] = {}
        for family in having:
            for child in family.children[method]:
                if child.age != age:
                    continue
                seen = child.seen
                for who, years, male in (
                    ("judge", seen.judged_age, seen.judged_male),
                    ("steering", seen.read_age, seen.read_male),
                ):
                    hits.setdefault(f"age_{age}_{who}", {}).setdefault(family.family, []).append(
                        float(low <= years <= high)
                    )
                    right = float((male > 0.5) == (child.gender == "male"))
                    hits.setdefault(f"gender_{age}_{who}", {}).setdefault(family.family, []).append(right)
        for name, values in hits.items():
            every = [value for of_family in values.values() for value in of_family]
            interval = bootstrap_interval(values, seed)
            row[name] = {"mean": float(np.mean(every)), "low": interval[0], "high": interval[1], "n": len(every)}
    return row


def _no_worse(family: FamilySeen, child: Made) -> float:
    worst = max(parent.p_norm or 0.0 for parent in (family.father, family.mother))
    return float((child.seen.p_norm or 0.0) <= worst)


def real_families() -> dict[str, Any]:
    """What to compare with: the same numbers of real families (`kin_statistics.REAL`)."""
    row: dict[str, Any] = {}
    for network in NETWORKS:
        for ours, theirs in (
            ("less_similar", "less_similar_parent"),
            ("difference", "difference"),
            ("siblings", "siblings"),
        ):
            row[f"{ours}_{network}"] = {"mean": REAL[network][theirs].mean, "std": REAL[network][theirs].std}
        row[f"auc_{network}"] = REAL_AUC[network]["couple"]
        row |= {f"{role}_{network}": REAL[network][role]._asdict() for role in ROLES}
    return row

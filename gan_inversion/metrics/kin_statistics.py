"""How alike families are, in numbers: AUC against strangers, spread among siblings, intervals that respect families.

The AUCs want larger = more alike: negate distances first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap, mannwhitneyu


class MeanStd(NamedTuple):
    mean: float
    std: float


REAL: dict[str, dict[str, MeanStd]] = {
    "dlib": {
        "father": MeanStd(0.773, 0.092),
        "mother": MeanStd(0.741, 0.092),
        "less_similar_parent": MeanStd(0.807, 0.076),
        "difference": MeanStd(0.101, 0.076),
        "siblings": MeanStd(0.641, 0.115),
        "spouses": MeanStd(0.845, 0.092),
        "stranger_father": MeanStd(0.850, 0.081),
        "stranger_mother": MeanStd(0.819, 0.083),
    },
    "faceres": {
        "father": MeanStd(0.401, 0.092),
        "mother": MeanStd(0.422, 0.093),
        "less_similar_parent": MeanStd(0.368, 0.077),
        "difference": MeanStd(0.086, 0.068),
        "siblings": MeanStd(0.479, 0.098),
        "spouses": MeanStd(0.393, 0.077),
        "stranger_father": MeanStd(0.346, 0.075),
        "stranger_mother": MeanStd(0.364, 0.081),
    },
}
"""Pairs of real relatives, measured on 1,131 father-mother-child triplets of FIW (three different photographs each, 224
pixel crops) and 835 sibling pairs. dlib: L2 distance of its ResNet, smaller is nearer, the same person is below 0.6;
faceres: cosine similarity of HSE-FaceRes, larger is nearer. father, mother: to the child; stranger_father,
stranger_mother: someone else's, to the child; difference: of the child's two values, absolute."""

REAL_AUC: dict[str, dict[str, float]] = {
    "dlib": {"couple": 0.799, "siblings": 0.913},
    "faceres": {"couple": 0.720, "siblings": 0.835},
}
"""From the same families. couple: the child's own couple against another couple, by the mean of both parents; siblings:
against strangers."""


@dataclass(frozen=True)
class Summary:
    """Of one quantity over faces; `low` and `high` bound its mean."""

    n: int  # values
    mean: float
    std: float  # divided by n
    low: float
    high: float
    families: int  # what the interval rests on: of one family it has no width and says nothing


def auc(own: ArrayLike, others: ArrayLike) -> float:
    """P(own > other) + P(own = other) / 2, over all pairs: the area under the ROC curve, or Mann-Whitney U / (n m).

    own [n], others [m], any order -> 0..1, 0.5 for chance. Raises ValueError if one is empty or not finite.
    """
    own, others = _finite(own), _finite(others)
    u = mannwhitneyu(own, others, method="asymptotic").statistic  # of its p-value, which is not used
    return float(u / (len(own) * len(others)))


def bootstrap_interval(
    values: Mapping[str, Sequence[float]],
    seed: int,
    statistic: Callable[[np.ndarray], float] = np.mean,
    resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """(low, high): percentile bootstrap (Efron 1979) by family, since the faces of a family are not independent.

    values: {family: its values}. Each resample draws as many families as there are, with replacement, and takes
    `statistic` of all their values [n]; the interval holds the middle `level` of the results. The order of the families
    does not matter. Raises ValueError if there are no values or one is not finite.
    """
    families = [_finite(values[family]) for family in sorted(values) if len(values[family])]
    if not families:
        raise ValueError("no values")

    def of_drawn(drawn: np.ndarray) -> float:
        return statistic(np.concatenate([families[i] for i in drawn]))

    if len(families) == 1:  # every draw is the same
        return (float(of_drawn(np.zeros(1, int))),) * 2
    found = bootstrap(
        (np.arange(len(families)),), of_drawn, method="percentile", vectorized=False, n_resamples=resamples,
        confidence_level=level, rng=np.random.default_rng(seed),
    )  # fmt: skip
    low, high = found.confidence_interval
    return float(low), float(high)


def summarise(values: Mapping[str, Sequence[float]], seed: int) -> Summary:
    """{family: its values} -> n, mean and standard deviation of all values, and the 95% interval of the mean."""
    low, high = bootstrap_interval(values, seed)
    every = np.concatenate([np.asarray(v, np.float64) for v in values.values()])
    return Summary(
        len(every), float(every.mean()), float(every.std()), low, high, sum(len(v) > 0 for v in values.values())
    )


def _finite(values: ArrayLike) -> np.ndarray:
    """float64 [n]. A NaN would sort above everything and pass for a good rank."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise ValueError("values must be a list of finite numbers, and not empty")
    return array

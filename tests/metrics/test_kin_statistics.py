"""Statistics of families, by hand and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_inversion.metrics.kin_statistics import REAL, REAL_AUC, auc, bootstrap_interval, summarise

numbers = st.lists(st.integers(-5, 5).map(float) | st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(numbers, numbers)
def test_auc_is_its_definition(own: list[float], others: list[float]) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a in own for b in others]
    assert auc(own, others) == pytest.approx(sum(pairs) / len(pairs))
    assert auc(own, others) + auc(others, own) == pytest.approx(1)


def test_auc_by_hand() -> None:
    """3 beats 1 and 2 and ties 3: 2.5 of 3; 0 beats none."""
    assert auc([3, 0], [2, 3, 1]) == pytest.approx(2.5 / 6)
    assert auc([2], [1]) == 1
    assert auc([1, 1], [1]) == 0.5


@pytest.mark.parametrize(("own", "others"), [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.inf])])
def test_what_is_no_number_is_refused(own: list[float], others: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        auc(own, others)


def test_summary_by_hand() -> None:
    summary = summarise({"a": [1, 3], "b": [5], "c": []}, seed=0)
    assert (summary.n, summary.mean, summary.families) == (3, 3, 2)
    assert summary.std == pytest.approx((8 / 3) ** 0.5)
    # The four draws of two families have the means 2 (aa), 3 (ab, ba) and 5 (bb): a quarter each at the ends.
    assert (summary.low, summary.high) == (2, 5)


def test_the_family_is_the_unit() -> None:
    """A hundred equal children of one family are one observation, not a hundred."""
    few = {str(i): [float(i)] for i in range(10)}
    many = {family: values * 100 for family, values in few.items()}
    assert bootstrap_interval(few, 1) == bootstrap_interval(many, 1)


def test_the_interval_is_that_of_theory() -> None:
    """Of the mean of 400 normal values: 1.96 / sqrt(400) to either side."""
    values = np.random.default_rng(3).standard_normal(400)
    low, high = bootstrap_interval({str(i): [v] for i, v in enumerate(values)}, 0)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high


def test_the_interval_repeats_whatever_the_order() -> None:
    values = {"a": [1.0, 2.0], "b": [4.0], "c": [0.5]}
    turned = dict(reversed(values.items()))
    assert bootstrap_interval(values, 7) == bootstrap_interval(turned, 7)
    assert bootstrap_interval(values, 7, statistic=np.max) == (0.5, 4)  # ccc, 1 draw in 27, is more than 2.5%
    inner, outer = (bootstrap_interval(values, 7, level=level) for level in (0.5, 0.99))
    assert outer[0] <= inner[0] <= inner[1] <= outer[1]


def test_nothing_to_resample_is_refused() -> None:
    for values in ({}, {"a": []}):
        with pytest.raises(ValueError, match="no values"):
            bootstrap_interval(values, 0)
    with pytest.raises(ValueError, match="finite"):
        bootstrap_interval({"a": [np.nan]}, 0)


def test_real_families_are_in_the_order_that_kinship_gives() -> None:
    assert set(REAL["dlib"]) == set(REAL["faceres"])
    for network, sign in (("dlib", -1), ("faceres", 1)):
        near = {pair: sign * value.mean for pair, value in REAL[network].items()}
        assert near["siblings"] > near["father"] > near["stranger_father"]
        assert near["siblings"] > near["mother"] > near["stranger_mother"]
        assert 0.5 < REAL_AUC[network]["couple"] < REAL_AUC[network]["siblings"] < 1

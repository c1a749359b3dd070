"""The tests that watching needs, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from churn.watch.significance import (
    benjamini_hochberg,
    chi_square_p,
    effective_size,
    homogeneity,
    ks_critical,
    ks_p,
    only_here_p,
)


@pytest.mark.parametrize("sizes", [(200, 5_000), (500, 500), (1_400, 33_000), (5_000, 33_000)])
def test_kolmogorov_smirnov_is_as_scipy_on_the_same_rows(sizes: tuple[int, int]) -> None:
    random = np.random.default_rng(sum(sizes))
    for shift in (0.0, 0.02, 0.05, 0.1, 0.2):
        first, second = random.normal(size=sizes[0]), random.normal(shift, size=sizes[1])
        told = stats.ks_2samp(first, second, method="asymp")
        ours = float(ks_p(told.statistic, effective_size(*sizes)))
        assert ours == pytest.approx(told.pvalue, abs=2e-3)


@given(some.integers(150, 30_000), some.floats(0.3, 3.0))
def test_kolmogorov_smirnov_is_as_the_exact_law_of_one_sample(n: int, z: float) -> None:
    assert float(ks_p(z / n**0.5, n)) == pytest.approx(stats.kstwo.sf(z / n**0.5, n), abs=2e-4)


@given(some.floats(1e-8, 0.2), some.integers(150, 30_000))
def test_the_critical_distance_is_where_the_p_value_is_reached(p: float, n: int) -> None:
    assert float(ks_p(ks_critical(p, n), n)) == pytest.approx(p, rel=0.01)


def test_nothing_is_known_of_an_empty_sample() -> None:
    assert float(ks_p(0.4, effective_size(0, 500))) == 1
    assert np.isinf(ks_critical(0.05, 0))
    assert homogeneity(np.zeros(3), np.array([4.0, 5, 6])) == (0.0, 0)
    assert only_here_p(0, 200, 5_000) == 1


@given(some.floats(0.01, 400), some.integers(1, 120))
def test_chi_square_is_as_scipy(statistic: float, freedom: int) -> None:
    assert chi_square_p(statistic, freedom) == pytest.approx(stats.chi2.sf(statistic, freedom), rel=1e-9, abs=1e-300)


@given(some.lists(some.tuples(some.integers(20, 900), some.integers(20, 900)), min_size=2, max_size=12))
def test_levels_are_compared_as_by_scipy(counts: list[tuple[int, int]]) -> None:
    first, second = np.array(counts, dtype=float).T
    told = stats.chi2_contingency([first, second], correction=False)
    statistic, freedom = homogeneity(first, second)
    if told.expected_freq.min() >= 5:
        assert statistic == pytest.approx(told.statistic, rel=1e-9, abs=1e-9)
        assert chi_square_p(statistic, freedom) == pytest.approx(told.pvalue, rel=1e-8, abs=1e-12)


def test_rare_levels_are_counted_together() -> None:
    first, second = np.array([60.0, 40, 3, 0, 1]), np.array([580.0, 410, 4, 3, 3])
    told = stats.chi2_contingency([[60, 40, 4], [580, 410, 10]], correction=False)
    assert homogeneity(first, second) == pytest.approx((told.statistic, told.dof))


def test_a_level_that_only_one_side_has_is_as_by_the_hypergeometric_law() -> None:
    for found, here, there in ((1, 200, 5_000), (6, 200, 5_000), (40, 33_000, 1_400)):
        expected = stats.hypergeom.sf(found - 1, here + there, found, here)
        assert only_here_p(found, here, there) == pytest.approx(expected, rel=1e-6)


@given(some.lists(some.floats(0, 1), min_size=1, max_size=60))
def test_adjusted_as_by_scipy(p: list[float]) -> None:
    assert benjamini_hochberg(p) == pytest.approx(list(stats.false_discovery_control(p)))

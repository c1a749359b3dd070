"""How well one column alone ranks leavers, against scikit-learn and against chance."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.data import leaks

ROWS = 4000
RNG = np.random.default_rng(3)
LEFT = (RNG.random(ROWS) < 0.25).astype(float)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=2, max_size=50))
def test_auc_is_scikit_learns(rows: list[tuple[int, int]]) -> None:
    from sklearn.metrics import roc_auc_score

    score, left = np.array(rows, dtype=float).T
    expected = roc_auc_score(left, score) if 0 < left.sum() < left.size else 0.5
    assert leaks.auc(score, left) == pytest.approx(expected)


def _rank(values: np.ndarray) -> float:
    return leaks.ranking(*leaks.codes_of_numbers(values), LEFT)


def test_a_column_that_knows_the_answer_is_found_whatever_its_shape() -> None:
    noise = np.random.default_rng(101).random(ROWS)
    assert _rank(LEFT) == pytest.approx(1.0)
    assert _rank(-LEFT) == pytest.approx(1.0)
    assert _rank(np.where(LEFT == 1, 0.99, 0.01) + noise / 100) > 0.99
    assert _rank(np.where(LEFT == 1, np.nan, noise)) > 0.99  # filled only for those who stayed
    assert _rank(np.where(LEFT == 1, 0.5 + noise / 10, np.where(noise < 0.5, noise / 10, 1 - noise / 10))) > 0.98  # in the middle


def test_noise_is_no_leak_however_many_values_it_has() -> None:
    assert abs(_rank(np.random.default_rng(102).random(ROWS)) - 0.5) < 0.06
    names = pl.Series([f"name {i}" for i in range(ROWS)])
    assert abs(leaks.ranking(*leaks.codes_of_levels(names), LEFT) - 0.5) < 0.06


def test_codes_put_missing_apart() -> None:
    codes, size = leaks.codes_of_numbers(np.array([1.0, np.nan, 2.0, 1.0]))
    assert codes[0] == codes[3] != codes[2]
    assert codes[1] not in (codes[0], codes[2])
    assert codes.max() < size
    codes, size = leaks.codes_of_numbers(np.array([np.nan, np.nan]))
    assert codes.max() < size
    codes, size = leaks.codes_of_levels(pl.Series(["a", None, "b", "a"]))
    assert codes[0] == codes[3]
    assert len(set(codes.tolist())) == 3
    assert codes.max() < size


def test_information_is_none_for_noise_and_all_for_a_copy() -> None:
    share = LEFT.mean()
    entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert leaks.information(LEFT.astype(np.int64), 2, LEFT) == pytest.approx(entropy, abs=1e-3)
    assert abs(leaks.information(np.random.default_rng(103).integers(0, 8, ROWS), 8, LEFT)) < 3e-3  # 4.5 standard errors


@pytest.mark.parametrize(
    "name", ["Naive_Bayes_Classifier_1", "churn_score", "predicted_prob", "Cancellation Date", "Churn Reason"]
)
def test_names_of_model_outputs_and_afterthoughts_are_suspicious(name: str) -> None:
    assert leaks.suspicious_name(name)


@pytest.mark.parametrize("name", ["Total_Trans_Ct", "CreditScore", "tenure", "Contract", "Complaints", "satisfaction_score"])
def test_ordinary_names_are_not(name: str) -> None:
    assert not leaks.suspicious_name(name)

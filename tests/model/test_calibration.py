"""Calibrators are monotone, safe at the extremes, and agree with other people's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.errors import BundleRejected, TrainingError
from churn.model.calibration import KINDS, Calibrator, Kind, sigmoid


def sample(rows: int = 4000, slope: float = 0.6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    margins = rng.normal(-1, 2, rows)
    return margins, (rng.random(rows) < sigmoid(slope * margins + 0.4)).astype(int)


def log_loss(p: np.ndarray, y: np.ndarray) -> float:
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


def test_logistic_is_platts() -> None:
    from sklearn.calibration import _sigmoid_calibration

    margins, y = sample()
    ours = Calibrator.fit(margins, y, "logistic")
    a, b = _sigmoid_calibration(margins, y)
    np.testing.assert_allclose([ours.a, ours.c], [-a, -b], rtol=1e-3)


def test_beta_is_logistic_regression_on_log_probabilities() -> None:
    """Kull et al. fit beta calibration as a logistic regression on ln s and −ln(1 − s)."""
    from sklearn.linear_model import LogisticRegression

    margins, y = sample(rows=20_000)
    s = sigmoid(margins)
    peer = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(np.column_stack([np.log(s), -np.log1p(-s)]), y)
    ours = Calibrator.fit(margins, y, "beta")
    np.testing.assert_allclose([ours.a, ours.b, ours.c], [*peer.coef_[0], peer.intercept_[0]], atol=0.02)


def test_beta_finds_the_map_that_made_the_data() -> None:
    rng = np.random.default_rng(1)
    margins = rng.normal(0, 2, 400_000)
    truth = Calibrator("beta", a=0.5, b=1.6, c=-0.3)
    y = rng.random(margins.size) < truth.probability(margins)
    ours = Calibrator.fit(margins, y, "beta")
    np.testing.assert_allclose([ours.a, ours.b, ours.c], [0.5, 1.6, -0.3], atol=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_calibration_does_no_harm_on_its_own_rows(kind: Kind) -> None:
    margins, y = sample()
    before = log_loss(sigmoid(margins), y)
    assert log_loss(Calibrator.fit(margins, y, kind).probability(margins), y) <= before + 1e-9


@given(
    kind=st.sampled_from(KINDS),
    a=st.floats(0, 5),
    b=st.floats(0, 5),
    c=st.floats(-5, 5),
    margins=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20),
)
def test_monotone_and_finite(kind: Kind, a: float, b: float, c: float, margins: list[float]) -> None:
    calibrator = Calibrator(kind, a, b, c)
    f = np.sort(np.array(margins))
    p = calibrator.probability(f)
    assert np.isfinite(p).all()
    assert ((p >= 0) & (p <= 1)).all()
    assert (np.diff(p) >= -1e-15).all()
    assert (calibrator.slope(f) >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_slope_is_the_derivative(kind: Kind) -> None:
    calibrator = Calibrator(kind, a=0.7, b=1.4, c=0.2)
    f = np.linspace(-8, 8, 101)
    numeric = (calibrator.probability(f + 1e-5) - calibrator.probability(f - 1e-5)) / 2e-5
    np.testing.assert_allclose(calibrator.slope(f), numeric, atol=1e-9)


@pytest.mark.parametrize("kind", ["logistic", "beta"])
def test_margins_that_point_the_wrong_way_are_flattened_not_turned(kind: Kind) -> None:
    margins, y = sample(slope=-1.0)
    calibrator = Calibrator.fit(margins, y, kind)
    assert calibrator.a >= 0
    assert calibrator.b >= 0
    np.testing.assert_allclose(calibrator.probability(margins).mean(), y.mean(), atol=1e-3)


@pytest.mark.parametrize("kind", ["logistic", "beta"])
@pytest.mark.parametrize("margins", [[-3.0, -2.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0], [-800.0, -700.0, 700.0, 800.0]])
def test_separated_and_constant_margins_give_finite_parameters(kind: Kind, margins: list[float]) -> None:
    calibrator = Calibrator.fit(np.array(margins), [0, 0, 1, 1], kind)
    assert np.isfinite([calibrator.a, calibrator.b, calibrator.c]).all()
    p = calibrator.probability(np.array(margins))
    assert ((p > 0) & (p < 1)).all()


def test_one_class_is_refused() -> None:
    with pytest.raises(TrainingError, match="both outcomes"):
        Calibrator.fit(np.zeros(5), np.zeros(5), "beta")


def test_json_round_trip() -> None:
    margins, y = sample()
    for kind in KINDS:
        calibrator = Calibrator.fit(margins, y, kind)
        assert Calibrator.from_json(calibrator.to_json()) == calibrator


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "{}",
        '{"kind": "steps", "a": 1, "b": 1, "c": 0}',
        '{"kind": "beta", "a": -1, "b": 1, "c": 0}',
        '{"kind": "beta", "a": NaN, "b": 1, "c": 0}',
    ],
)
def test_json_that_is_no_calibrator_is_refused(text: str) -> None:
    with pytest.raises(BundleRejected, match="calibrator"):
        Calibrator.from_json(text)

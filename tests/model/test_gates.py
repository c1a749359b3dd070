"""The gates: AUC, calibration, no worse than the champion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from churn.learn.evaluation import evaluate_holdout
from churn.model.gates import gates
from churn.model.metrics import Estimate, Metrics
from churn.settings import Settings


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    rng = np.random.default_rng(0)
    p = rng.random(500)
    measured = evaluate_holdout((rng.random(500) < p).astype(int), p)
    return replace(measured, ece=_exactly(0.02))


def _exactly(value: float) -> Estimate:
    return Estimate(value, 0.01, value, value)


def test_a_good_first_version_passes(metrics: Metrics) -> None:
    checks = gates(metrics, None, Settings())
    assert [check.name for check in checks] == ["roc_auc", "ece"]
    assert all(check.passed for check in checks)


def test_each_gate_can_fail_and_says_the_figures(metrics: Metrics) -> None:
    worse = replace(metrics, roc_auc=_exactly(0.6), ece=_exactly(0.08), log_loss=_exactly(0.5))
    failed = gates(worse, 0.497, Settings())
    assert [(check.name, check.passed) for check in failed] == [("roc_auc", False), ("ece", False), ("champion", False)]
    assert failed[0].words == "Holdout ROC-AUC 0.600; at least 0.65 is needed."
    assert "0.5000 against the champion's 0.4970" in failed[2].words


def test_a_little_worse_than_the_champion_is_no_worse(metrics: Metrics) -> None:
    checks = gates(replace(metrics, log_loss=_exactly(0.5015)), 0.5, Settings())
    assert checks[-1].passed


def test_without_a_holdout_nothing_passes() -> None:
    (check,) = gates(None, None, Settings())
    assert not check.passed

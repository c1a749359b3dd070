"""Stored metrics: read back as written, refused when they cannot be understood; the log-loss that gates compare."""

from __future__ import annotations

import json

import numpy as np
import pytest

from churn.errors import BundleRejected
from churn.learn.evaluation import evaluate_holdout
from churn.model.metrics import log_loss, stored


def test_metrics_survive_json() -> None:
    draw = np.random.default_rng(3)
    p = np.round(draw.random(400), 2)
    y = (draw.random(400) < p).astype(float)
    measured = evaluate_holdout(y, p)
    document = json.loads(json.dumps({"holdout": measured.to_dict()}))
    assert stored(document, "holdout") == measured
    assert log_loss(y, p) == pytest.approx(measured.log_loss.value, rel=1e-12)


def test_nothing_stored_and_nonsense_stored() -> None:
    assert stored({}, "holdout") is None
    assert stored({"holdout": None}, "holdout") is None
    with pytest.raises(BundleRejected, match="holdout"):
        stored({"holdout": {"rows": 3}}, "holdout")

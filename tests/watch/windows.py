"""Windows of performance with outcomes drawn from their own risks."""

from __future__ import annotations

from datetime import date

import numpy as np

from churn.watch.figures import estimated, realised
from churn.watch.performance import WindowPerformance


def window(
    month: int = 8, *, rows: int = 4_000, odds: float | None = 0.0, model: str = "v2", shuffle: bool = False, matured: float = 0.0
) -> WindowPerformance:
    """A month whose outcomes follow the risks but for so many log-odds; None for one without outcomes."""
    rng = np.random.default_rng(month + 50)
    margin = np.sort(rng.normal(-1.2, 1.1, rows))[::-1]
    p = 1 / (1 + np.exp(-margin))
    promised = estimated(p, 500)
    found = None
    if odds is not None:
        left = (rng.random(rows) < 1 / (1 + np.exp(-(margin + odds)))).astype(np.int8)
        found = realised(p, rng.permutation(left) if shuffle else left, 500)
    start, end = date(2026, month, 1), date(2026, month, 28)
    due = date(2026, month + 1, 28)
    known = 1.0 if found else matured
    return WindowPerformance(model, start, end, rows, due, known, promised, promised if found else None, found)

"""Whether edited rows have a real customer near them, for many rows at once, compiled. Imported only where it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from churn.model._jit import jit

Floats = npt.NDArray[np.float64]


def near(
    reference: Floats, number: npt.NDArray[np.bool_], was: Floats, now: Floats, limit: float, slack: float
) -> npt.NDArray[np.bool_]:
    """For every row, whether its nearest of the reference is no further than the limit, or than the row's own nearest was.

    Parameters
    ----------
    reference: [rows, features], numbers over their spread (NaN: missing), levels as codes. number: [features].
    was, now: [n, features], likewise. limit, slack: Gower's distance, 0–1.
    """
    found = np.zeros(len(now), dtype=np.bool_)
    _near(reference, number, was, now, limit, slack, found)
    return found


@jit
def _near(reference, number, was, now, limit, slack, found):  # type: ignore[no-untyped-def]
    features = reference.shape[1]
    bound = (limit + slack) * features
    for i in range(now.shape[0]):
        if _least(reference, number, now[i], bound, True) <= bound:
            found[i] = True
        else:
            own = _least(reference, number, was[i], np.inf, False) / features
            found[i] = _least(reference, number, now[i], np.inf, False) / features <= max(limit, own) + slack


@jit
def _least(reference: Any, number: Any, row: Any, bound: float, first: bool):  # type: ignore[no-untyped-def]
    """The least sum of differences to any row of the reference; with `first`, the first one within the bound will do."""
    best = np.inf
    for r in range(reference.shape[0]):
        total = 0.0
        for f in range(reference.shape[1]):
            value, other = row[f], reference[r, f]
            if not number[f]:
                total += 0.0 if value == other else 1.0
            elif np.isnan(value):
                total += 0.0 if np.isnan(other) else 1.0
            elif np.isnan(other):
                total += 1.0
            else:
                total += min(abs(value - other), 1.0)
            if total > bound or total >= best:
                break
        if total < best:
            best = total
            if first and best <= bound:
                break
    return best

"""Interventional Shapley values of any function of a row, by asking it about rows put together from two.

Up to `EXACT_UP_TO` columns every coalition is asked. With more, each background row b meets the customer x in `ORDERS` random
orders of the columns: x's values take the place of b's one after another, and in the reverse order too (antithetic sampling:
Mitchell, Cooper, Frank and Holmes 2022). Each pass adds up to f(x) − f(b), so whatever chance does to the parts, their sum is
f(x) minus the mean over the background exactly. What two orders with one b differ by tells the sampling error.

To meet every background row in orders of its own, instead of all of them in the same few, asks as much and errs a third as
much as shap's PermutationExplainer (`docs/decisions/6-any-estimator.md`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from churn.model._forest import taken
from churn.model.risk_model import Floats

EXACT_UP_TO = 6
ORDERS = 2
_ASKED = 60_000  # rows put to the model at a time

Ask = Callable[[Any], Floats]  # a pandas table → f, float64 [rows]


def contributions(ask: Ask, rows: Any, background: Any, *, seed: int) -> tuple[Floats, Floats]:
    """Shapley values [rows, columns] and their standard errors [rows, columns], 0 where they are exact.

    Parameters
    ----------
    rows, background: pandas tables of the same columns and types.
    seed: of the orders, which are the same for every row: the same row always gets the same values.
    """
    import pandas as pd

    count, width = len(background), background.shape[1]
    exact = width <= EXACT_UP_TO
    plan = _coalitions(width) if exact else _orders(count, width, seed)
    pool = pd.concat([background, rows], ignore_index=True)
    codes = np.column_stack([pool[name].factorize(use_na_sentinel=False)[0] for name in pool.columns]).astype(np.int32)
    values, errors = np.empty((len(rows), width)), np.zeros((len(rows), width))
    step = max(1, _ASKED // (count * len(plan) if exact else len(plan) * plan.shape[1]))
    for start in range(0, len(rows), step):
        at = np.arange(start, min(start + step, len(rows)))
        own = (count + at)[:, None, None, None]
        if exact:  # [rows, coalitions, background, columns]
            mixed = np.where(plan[None, :, None, :], own, np.arange(count)[None, None, :, None])
            worth = _asked(ask, pool, codes, mixed).mean(axis=2)
            values[at] = _shapley(worth, plan)
        else:  # [rows, orders, steps, columns]
            mixed = np.where(plan[None], own, np.tile(np.arange(count), ORDERS)[None, :, None, None])
            values[at], errors[at] = _averaged(_asked(ask, pool, codes, mixed), plan)
    return values, errors


def _asked(ask: Ask, pool: Any, codes: npt.NDArray[np.int32], mixed: npt.NDArray[Any]) -> Floats:
    """f of rows put together: `mixed` [..., columns] names, for each column, the row of `pool` it is from. Rows that are the
    same are asked about once: with few levels many are."""
    width = codes.shape[1]
    flat = mixed.reshape(-1, width)
    alike = np.ascontiguousarray(codes[flat, np.arange(width)])
    _, first, which = np.unique(alike.view(f"V{4 * width}").ravel(), return_index=True, return_inverse=True)
    return np.asarray(ask(taken(pool, flat[first]))[which].reshape(mixed.shape[:-1]))


def _coalitions(width: int) -> npt.NDArray[np.bool_]:
    """All coalitions [2^width, width]; number c holds column j where bit j of c is set."""
    return np.asarray((np.arange(1 << width)[:, None] >> np.arange(width)) & 1 == 1)


def _shapley(worth: Floats, plan: npt.NDArray[np.bool_]) -> Floats:
    """Shapley values [rows, columns] of the worth of all coalitions [rows, coalitions]."""
    width, sizes = plan.shape[1], plan.sum(axis=1)
    result = np.empty((len(worth), width))
    for column in range(width):
        without = np.flatnonzero(~plan[:, column])
        share = np.array([1 / (width * comb(width - 1, int(size))) for size in sizes[without]])
        result[:, column] = (worth[:, without | (1 << column)] - worth[:, without]) @ share
    return result


def _orders(count: int, width: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which columns are the customer's [ORDERS · background rows, steps, columns]: from none to all in a random order (steps 0
    to width), then the same backwards, from the last column alone to all but the first (steps to 2·width − 1)."""
    rng = np.random.default_rng(seed)
    place = rng.permuted(np.tile(np.arange(width), (ORDERS * count, 1)), axis=1)[:, None, :]
    forward = place < np.arange(width + 1)[None, :, None]
    backward = place >= np.arange(width - 1, 0, -1)[None, :, None]
    return np.concatenate([forward, backward], axis=1)


def _averaged(worth: Floats, plan: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Values and errors [rows, columns] from the worth [rows, orders, steps] of the steps of `_orders`."""
    rows, orders, steps = worth.shape
    width = steps // 2
    forward = np.diff(worth[:, :, : width + 1], axis=2)  # by place in the order
    path = np.concatenate([worth[:, :, :1], worth[:, :, width + 1 :], worth[:, :, width : width + 1]], axis=2)
    backward = np.diff(path, axis=2)[:, :, ::-1]
    at = (~plan[:, : width + 1]).sum(axis=1) - 1  # place of each column: 0 first
    each = np.take_along_axis((forward + backward) / 2, np.broadcast_to(at[None], (rows, orders, width)), axis=2)
    pairs = each.reshape(rows, ORDERS, orders // ORDERS, width)
    spread = ((pairs[:, 0] - pairs[:, 1]) ** 2 / 4).sum(axis=1)  # of the mean of two, for each background row
    return each.mean(axis=1), np.sqrt(spread) / (orders // ORDERS)

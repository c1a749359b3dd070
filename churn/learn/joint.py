"""Whether columns go together otherwise than in training, though each by itself looks the same.

A classifier is set to tell a window's rows from the reference's. Each column is first replaced by its ranks within its own side,
so that by themselves all columns are alike on both sides and only how they go together is left to learn from: what a column does
alone has a test of its own, and a stronger one. A column that moved by itself stays out. The classifier is judged on rows it has
not seen, each half by the one that learnt from the other, so chance has a known spread whatever it learnt (Wilcoxon–Mann–Whitney;
Lopez-Paz and Oquab 2017 for the idea). The two halves' figures go together closely, so their mean is taken for no surer than one
of them: the test errs on the side of no difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from churn.data.schema import Schema
from churn.model.bundle import Bundle
from churn.model.store import Store
from churn.score import log
from churn.watch.drift import FALSE_ALARMS, WATCH
from churn.watch.joint import JointDrift, write
from churn.watch.significance import effective_size, ks_critical

Floats = npt.NDArray[np.float64]

_MOST_ROWS = 10_000  # of either side
_LEAST_ROWS = 200
_DRIVERS = 3
_SEVERAL = 1.5  # times as far as a number by chance go the shares of several levels together
_PAIRS = 12  # of columns that the classifier is given the products of
_SETTINGS: dict[str, Any] = {
    "objective": "binary",
    "num_leaves": 8,
    "learning_rate": 0.1,
    "min_data_in_leaf": 50,
    "max_bin": 63,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.5,  # other rows for each tree: on all of them every column alone is exactly alike, and nothing to ask
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
_ROUNDS = 60


def joint_drift(
    rows: pl.DataFrame, reference: pl.DataFrame, schema: Schema, *, model: str, start: date, end: date, seed: int = 7
) -> JointDrift | None:
    """Test the rows of a window against a model's reference; None where either side has too few rows to say.

    Parameters
    ----------
    rows: of the log: the schema's features; a column that is not there, or has another type, tells nothing and is left out.
    reference: `Bundle.reference`.
    start, end: the window's first and last day, as `churn.watch.drift.history` has them.
    seed: draws the rows where there are more than can be used, and the halves.
    """
    names = [
        feature.name
        for feature in schema.features
        if feature.name in rows.columns
        and rows.schema[feature.name].is_numeric() == feature.is_number
        and _alike(rows[feature.name], reference[feature.name])
    ]
    size = min(rows.height, reference.height, _MOST_ROWS)
    if size < _LEAST_ROWS or len(names) < 2:
        return None
    random = np.random.default_rng(seed)
    parts = []  # of either side, each half by itself: ranks over both would make the halves each other's opposite
    for table in (reference, rows):
        drawn = table.select(names)[random.permutation(table.height)[:size]]
        for part in (drawn[: size // 2], drawn[size // 2 :]):
            parts.append(np.column_stack([_ranks(part[name], schema, random) for name in names]))
    values = np.concatenate(parts)
    side = np.repeat([0.0, 1.0], size)
    half = np.concatenate([np.full(len(part), i % 2) for i, part in enumerate(parts)])
    used = np.zeros(len(names))
    z, aucs, distances = [], [], []
    for own in (0, 1):
        learnt, asked = half != own, half == own
        pairs = _pairs(values[learnt], side[learnt])
        scores, gain = _fitted(_with(values[learnt], pairs), side[learnt], _with(values[asked], pairs), seed)
        used += gain[: len(names)]
        for (first, second), gained in zip(pairs, gain[len(names) :], strict=True):
            used[first] += gained / 2
            used[second] += gained / 2
        auc, spread = _auc(scores, side[asked])
        aucs.append(auc)
        z.append((auc - 0.5) / spread)
        distances.append(_distance(scores, side[asked]))
    order = np.argsort(-used)[:_DRIVERS]
    total = float(used.sum())
    return JointDrift(
        model=model,
        start=start,
        end=end,
        distance=float(np.mean(distances)),
        auc=float(np.mean(aucs)),
        p=math.erfc(float(np.mean(z)) / math.sqrt(2)) / 2,
        drivers=tuple((names[i], float(used[i]) / total) for i in order if used[i] > 0) if total else (),
        rows=size,
    )


def joint_of_window(store: Store, bundle: Bundle, start: date, end: date) -> JointDrift | None:
    """Test what a model of the store predicted about some days, from the log, and keep the result where the pages find it.

    Raises
    ------
    StoreUnavailable: the log cannot be read.
    """
    schema = bundle.schema
    pieces = list(log.batches(store, model=bundle.version, since=start, until=end, columns=schema.names))
    if not pieces:
        return None
    rows = pl.concat(pieces, how="diagonal_relaxed")
    found = joint_drift(rows, bundle.reference, schema, model=bundle.version, start=start, end=end)
    if found is not None:
        write(store, found)
    return found


def _alike(now: pl.Series, before: pl.Series) -> bool:
    """Whether a column by itself is spread alike on both sides, but for chance.

    Where customers have become younger and youth goes with a plan as ever, ranks of both go together otherwise: a column that
    moved by itself has a test of its own, and would be found here again.
    """
    if not len(now) or not len(before):
        return False
    limit = max(WATCH, float(ks_critical(FALSE_ALARMS, effective_size(len(now), len(before)))))
    if not now.dtype.is_numeric():
        return _lumps(now.cast(pl.String).fill_null("\0"), before.cast(pl.String).fill_null("\0")) < _SEVERAL * limit
    sides = [values.cast(pl.Float64).fill_nan(None) for values in (now, before)]
    if _lumps(sides[0].is_null(), sides[1].is_null()) >= limit:
        return False
    known, known_before = (np.sort(side.drop_nulls().to_numpy()) for side in sides)
    if not known.size or not known_before.size:
        return False
    at = np.concatenate([known, known_before])
    upto = [np.searchsorted(side, at, side="right") / side.size for side in (known, known_before)]
    return float(np.abs(upto[0] - upto[1]).max()) < limit


def _lumps(now: pl.Series, before: pl.Series) -> float:
    """Total variation of the shares of values."""
    first, second = (
        {value: count / len(values) for value, count in values.value_counts(name="n").iter_rows()} for values in (now, before)
    )
    return float(sum(abs(first.get(one, 0.0) - second.get(one, 0.0)) for one in first.keys() | second.keys()) / 2)


def _ranks(values: pl.Series, schema: Schema, random: np.random.Generator) -> Floats:
    """Ranks within the column, evenly over 0–1, ties in random order; levels in the schema's order, missing ones first."""
    feature = schema.feature(values.name)
    if feature.is_number:
        numbers = values.cast(pl.Float64).fill_nan(None).fill_null(-math.inf).to_numpy()
    else:
        place = {level.value: float(i) for i, level in enumerate(feature.levels)}
        other = float(len(place))
        numbers = np.array([-1.0 if one is None else place.get(one, other) for one in values.cast(pl.String).to_list()])
    order = np.lexsort((random.random(len(numbers)), numbers))
    found = np.empty(len(numbers))
    found[order] = (np.arange(len(numbers)) + 0.5) / len(numbers)
    return found


def _pairs(values: Floats, side: Floats) -> list[tuple[int, int]]:
    """The pairs of columns whose rank correlation differs most between the sides."""
    gap = np.abs(np.corrcoef(values[side == 1], rowvar=False) - np.corrcoef(values[side == 0], rowvar=False))
    first, second = np.triu_indices(values.shape[1], k=1)
    most = np.argsort(-gap[first, second], kind="stable")[:_PAIRS]
    return [(int(first[i]), int(second[i])) for i in most]


def _with(values: Floats, pairs: Sequence[tuple[int, int]]) -> Floats:
    """The columns, then the product of each pair about its middle: a tree that may ask one thing first would not find a pair."""
    middled = values - 0.5
    return np.column_stack([values, *(middled[:, first] * middled[:, second] for first, second in pairs)])


def _fitted(values: Floats, side: Floats, asked: Floats, seed: int) -> tuple[Floats, Floats]:
    """What a classifier that learnt from some rows says of others, and how much each column gave it."""
    import lightgbm

    data = lightgbm.Dataset(values, side, params={"verbose": -1, "max_bin": _SETTINGS["max_bin"]})
    booster = lightgbm.train({**_SETTINGS, "seed": seed}, data, num_boost_round=_ROUNDS)
    return np.asarray(booster.predict(asked)), np.asarray(booster.feature_importance("gain"), dtype=np.float64)


def _auc(scores: Floats, side: Floats) -> tuple[float, float]:
    """How often a row of side 1 scores above one of side 0, and the spread of that where there is no difference."""
    order = np.argsort(scores, kind="stable")
    _, first, count = np.unique(scores[order], return_index=True, return_counts=True)
    ranks = np.empty(len(scores))
    ranks[order] = np.repeat(first + (count + 1) / 2, count)
    n, m = float((side == 1).sum()), float((side == 0).sum())
    auc = (float(ranks[side == 1].sum()) - n * (n + 1) / 2) / (n * m)
    ties = float((count.astype(np.float64) ** 3 - count).sum())
    spread = math.sqrt(max((n + m + 1 - ties / ((n + m) * (n + m - 1))) / (12 * n * m), 1e-18))
    return auc, spread


def _distance(scores: Floats, side: Floats) -> float:
    """The gap of the two sides' scores at the middle of all: how far apart they lie where chance has least to choose from.

    The largest gap anywhere would be the larger the fewer the rows, also where there is no difference.
    """
    middle = np.median(scores)
    return float(max(np.mean(scores[side == 1] > middle) - np.mean(scores[side == 0] > middle), 0.0))

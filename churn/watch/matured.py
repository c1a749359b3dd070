"""Which outcome belongs to which prediction, and from when on the two may be compared.

Who leaves is often booked on the day, who stays only when the time is over. Whatever is known before the end of the horizon, and
for a while after it, is therefore mostly about those who left, and would make any model look as if it promised too little. So
predictions are compared in whole *cohorts*, those about one day: a cohort has matured once its horizon has passed and the
outcomes of nearly all its customers are known, and until then nothing of it counts, not even what is known.

Where the table has snapshots, an outcome is of one of them. Where it has none, the days on which it was known say what it is of,
by the same rule as a campaign's results (`churn.act.results`): who left by the last day of the horizon has left, who was seen on
it or later has stayed, whatever became of them afterwards; who left before the first day is not counted, and of who is known to
have left later, without having been seen in between, nobody can say.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import polars as pl

from churn.data.schema import Schema
from churn.score import log, outcomes

COMPLETE: Final = 0.95  # of a cohort's customers, whose outcomes must be known before it is compared
_DOUBT: Final = 0.05  # of its leavers, of whom nobody can say whether they left in time
KNOWN, MATURED = "__known__", "__matured__"
_START, _END, _GONE, _THERE = "__start__", "__end__", "__gone__", "__there__"


def due(as_of: date, schema: Schema) -> date:
    """The day from which on outcomes of predictions about a day may be known: its horizon has passed."""
    return as_of + timedelta(days=round(schema.horizon_days))


def labelled(
    predictions: pl.DataFrame, statements: pl.DataFrame, schema: Schema, *, today: date, complete: float = COMPLETE
) -> pl.DataFrame:
    """Predictions with what became of the customers, as known on a day.

    Parameters
    ----------
    predictions: `__key__`, `__as_of__` and whatever else; at most one row for a customer and day.
    statements: all that was ever said of outcomes (`churn.score.outcomes.statements`).
    today: what was known later does not count.
    complete: share of a cohort's outcomes, above 0, that must be known for it to count as matured.

    Returns ------- The rows, but for customers who had left before, in their order, with three columns more: `__left__` (1, 0;
    null unless the cohort has matured and the outcome is known), `__known__` (whether an outcome that counts is known, the
    horizon being over) and `__matured__` (whether the cohort is compared).
    """
    end = pl.col(log.AS_OF) + pl.duration(days=round(schema.horizon_days))
    told = statements.filter(pl.col(outcomes.KNOWN_AT) <= today)
    if told.is_empty():
        none = (pl.lit(None, pl.Int8).alias(outcomes.LEFT), pl.lit(False).alias(KNOWN), pl.lit(False).alias(MATURED))
        return predictions.with_columns(none)
    found = _by_snapshot(predictions, told) if schema.snapshot else _by_day(predictions, told, end)
    over = end <= today
    known = over & pl.col(outcomes.LEFT).is_not_null()
    found = found.with_columns(known.alias(KNOWN))
    # leavers nobody can place would be missing from those who left and from nowhere else
    doubtful = pl.col(_GONE).is_not_null() & pl.col(outcomes.LEFT).is_null()
    gone = (pl.col(outcomes.LEFT) == 1).sum()
    matured = (pl.col(KNOWN).mean() >= complete) & (doubtful.sum() <= _DOUBT * (gone + doubtful.sum()))
    found = found.with_columns(matured.over(log.AS_OF).alias(MATURED))
    left = pl.when(pl.col(MATURED) & pl.col(KNOWN)).then(pl.col(outcomes.LEFT))
    return found.with_columns(left.alias(outcomes.LEFT)).drop(_GONE)


def _by_snapshot(predictions: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """With `__left__` as said last of the same snapshot; of two things said on one day, that they left."""
    which = (outcomes.KEY, outcomes.AS_OF)
    told = told.join(predictions.select(log.AS_OF).unique(), on=log.AS_OF, how="semi")
    last = told.sort(outcomes.KNOWN_AT, outcomes.LEFT).unique(which, keep="last", maintain_order=True)
    found = predictions.join(last.select(*which, outcomes.LEFT), on=which, how="left", maintain_order="left")
    return found.with_columns(pl.lit(None, pl.Date).alias(_GONE))


def _by_day(predictions: pl.DataFrame, told: pl.DataFrame, end: pl.Expr) -> pl.DataFrame:
    """With `__left__` from the days on which customers were seen or gone, and `__gone__`, the first day they were gone."""
    undated = told.filter(pl.col(outcomes.AS_OF).is_null())
    gone = undated.filter(pl.col(outcomes.LEFT) == 1).group_by(outcomes.KEY).agg(pl.col(outcomes.KNOWN_AT).min().alias(_GONE))
    seen = undated.filter(pl.col(outcomes.LEFT) == 0).select(outcomes.KEY, pl.col(outcomes.KNOWN_AT).alias(_THERE))
    rows = predictions.join(gone, on=outcomes.KEY, how="left", maintain_order="left")
    rows = rows.filter(pl.col(_GONE).is_null() | (pl.col(_GONE) >= pl.col(log.AS_OF))).with_row_index(_START)
    rows = rows.with_columns(end.alias(_END)).sort(_END)
    rows = rows.join_asof(
        seen.sort(_THERE), left_on=_END, right_on=_THERE, by=outcomes.KEY, strategy="forward", check_sortedness=False
    ).sort(_START)
    stayed = pl.col(_THERE).is_not_null() & (pl.col(_GONE).is_null() | (pl.col(_THERE) < pl.col(_GONE)))
    left = pl.when(stayed).then(0).when(pl.col(_GONE) <= pl.col(_END)).then(1).cast(pl.Int8)
    return rows.with_columns(left.alias(outcomes.LEFT)).drop(_START, _END, _THERE)

"""Tables that renewal is decided on: what was logged with what became of it, and what to train on.

A row of a table with snapshots has the outcome that was imported for its key and date. Without snapshots a customer scored on
one day left if they are known to have left within the schema's horizon after it, and stayed if they were still there when it was
over. A cohort, all rows of one day, counts once nearly all of its outcomes are known: one that is half known may hold too many of
those who left, for they may be booked first.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl

from churn.data.holdout import in_holdout
from churn.data.quality import LEFT, conform
from churn.data.schema import Schema
from churn.errors import TrainingError
from churn.learn.folds import LEAST_OF_A_CLASS, labelled
from churn.model.bundle import OUT_OF_FOLD, Bundle
from churn.model.store import Store
from churn.renew.decide import Cohort
from churn.score import log, outcomes

MATURED = 0.9  # share of a cohort's outcomes that must be known before it counts
_LATE = 0.95  # share of outcomes that are booked by the day a cohort is said to mature
_LEAST_JUDGED = (
    100  # leavers, and stayers, that a challenger and the champion are held against each other on, if there are so many
)


def with_outcomes(rows: pl.DataFrame, known: pl.DataFrame, schema: Schema, today: date) -> pl.DataFrame:
    """Logged rows with `__left__` (1, 0, null where it is not known by that day) and `__known_at__`.

    Parameters
    ----------
    rows: `__key__` and `__as_of__`, whatever else.
    known: from `churn.score.outcomes.read`.
    """
    told = known.filter(pl.col(outcomes.KNOWN_AT) <= today)
    if schema.snapshot is not None:
        return rows.join(told, on=[log.KEY, log.AS_OF], how="left", maintain_order="left")
    end = pl.col(log.AS_OF) + pl.duration(days=schema.horizon_days)
    gone, at = pl.col(outcomes.LEFT) == 1, pl.col(outcomes.KNOWN_AT)
    left = pl.when(gone & (at > pl.col(log.AS_OF)) & (at <= end)).then(1).when(at >= end).then(0).cast(pl.Int8)
    found = rows.join(told.drop(log.AS_OF), on=log.KEY, how="left", maintain_order="left")
    already = gone & (at <= pl.col(log.AS_OF))  # had left before: nothing to foretell
    return found.filter(~already.fill_null(False)).with_columns(left.alias(outcomes.LEFT))


def cohorts(store: Store, champion: Bundle, *, today: date) -> tuple[Cohort, ...]:
    """The days customers were scored for that the champion was not trained on, oldest first."""
    schema = champion.schema
    rows = log.read(store, columns=[log.KEY, log.AS_OF]).select(log.KEY, log.AS_OF).unique()
    found = with_outcomes(rows.filter(pl.col(log.AS_OF) <= today), outcomes.read(store), schema, today)
    horizon = timedelta(days=schema.horizon_days)
    trained = trained_until(champion)
    lag = _lag(found, horizon)
    by_day = found.group_by(log.AS_OF).agg(
        pl.len(), pl.col(outcomes.LEFT).count().alias("known"), pl.col(outcomes.LEFT).sum().alias("left")
    )
    return tuple(
        Cohort(
            day=day,
            rows=size,
            known=known,
            left=int(left or 0),
            matures=day + horizon + lag,
            matured=day + horizon <= today and known >= MATURED * size,
        )
        for day, size, known, left in by_day.sort(log.AS_OF).iter_rows()
        if day > trained
    )


def _lag(found: pl.DataFrame, horizon: timedelta) -> timedelta:
    """How long after the horizon outcomes are booked, but for the last few."""
    late = found.select((pl.col(outcomes.KNOWN_AT) - pl.col(log.AS_OF)).dt.total_days()).to_series().drop_nulls() - horizon.days
    usual = late.filter(late >= 0).quantile(_LATE, interpolation="higher")
    return timedelta(days=int(usual or 0))


def trained_until(bundle: Bundle) -> date:
    """The last day whose customers a model was trained on: its last snapshot; without any, a horizon before it was trained."""
    schema = bundle.schema
    if schema.snapshot is not None and OUT_OF_FOLD in bundle.extra:
        days = pl.read_parquet(io.BytesIO(bundle.extra[OUT_OF_FOLD]), columns=[schema.snapshot.column]).to_series()
        if isinstance(last := days.max(), date):
            return last
    trained = bundle.metrics.get("trained_on")
    day = date.fromisoformat(trained) if trained else bundle.created.date()
    return day - timedelta(days=schema.horizon_days)


def to_train_on(raw: pl.DataFrame, schema: Schema, store: Store, *, today: date) -> pl.DataFrame:
    """A conformed table with `__left__`: outcomes that were imported, else those of the table itself.

    With snapshots, outcomes of a day that is not matured by `today` are left out. Raises DataError as `conform`, TrainingError
    where nothing says who left.
    """
    own = schema.target.column in raw.columns
    table = conform(raw, schema, target=own, unique=schema.snapshot is not None)
    if schema.snapshot is None:
        if not own:
            raise TrainingError(
                f"target {schema.target.column!r} is not in the table to train on, and without snapshots no outcomes can be "
                "joined to it"
            )
        return table
    day = schema.snapshot.column
    known = outcomes.read(store).filter(pl.col(outcomes.KNOWN_AT) <= today)
    told = known.select(pl.col(log.KEY).alias(schema.key), pl.col(log.AS_OF).alias(day), told=pl.col(outcomes.LEFT))
    table = table.join(told, on=[schema.key, day], how="left", maintain_order="left")
    label = pl.coalesce("told", LEFT) if own else pl.col("told")
    table = table.with_columns(label.cast(pl.Int8).alias(LEFT)).drop("told")
    ripe = (pl.col(LEFT).is_not_null().mean() >= MATURED).over(day)
    over = pl.col(day) + pl.duration(days=schema.snapshot.horizon_days) <= today
    return table.with_columns(pl.when(ripe & over).then(LEFT).alias(LEFT))


def to_judge_on(table: pl.DataFrame, schema: Schema, bundles: Sequence[Bundle], *, today: date) -> pl.DataFrame:
    """Rows that none of the models has seen: customers of every one's holdout, at the latest matured days.

    Days are taken back from the newest until there are 100 leavers and 100 stayers, so that what counts is how a model does now.
    Raises TrainingError where a model does not say which customers it was kept from, or there are too few such rows.
    """
    rows, _ = labelled(table, schema, as_of=today)
    for bundle in bundles:
        salt, share = bundle.metrics.get("holdout_salt"), bundle.metrics.get("holdout_share")
        if salt is None or share is None:
            raise TrainingError(f"model {bundle.version} does not say which customers it was kept from, so nothing can judge it")
        rows = rows.filter(pl.Series(in_holdout(rows[schema.key], salt=str(salt), share=float(share))))
    if schema.snapshot is not None and not rows.is_empty():
        rows = _latest(rows, schema.snapshot.column)
    left = int(rows[LEFT].sum() or 0)
    if min(left, rows.height - left) < LEAST_OF_A_CLASS:
        raise TrainingError(
            f"neither model has seen {rows.height:,} rows, {left:,} of them of customers who left: too few to judge by"
        )
    return rows


def _latest(rows: pl.DataFrame, day: str) -> pl.DataFrame:
    """The rows of the latest days, so many that both classes are large enough, or all."""
    by_day = rows.group_by(day).agg(pl.col(LEFT).sum().alias("left"), pl.len()).sort(day, descending=True)
    left = np.cumsum(by_day["left"].to_numpy())
    stayed = np.cumsum((by_day["len"] - by_day["left"]).to_numpy())
    enough = np.flatnonzero((left >= _LEAST_JUDGED) & (stayed >= _LEAST_JUDGED))
    first = by_day[day][int(enough[0]) if len(enough) else -1]
    return rows.filter(pl.col(day) >= first)

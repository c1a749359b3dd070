"""Tables that renewal is decided on: what was logged with what became of it, and what to train on.

What belongs together, and from when on it counts, is as `churn.watch.matured` says: a cohort, all rows of one day, counts once
nearly all of its outcomes are known.
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
from churn.learn import folds
from churn.learn.folds import LEAST_OF_A_CLASS
from churn.model.bundle import OUT_OF_FOLD, Bundle
from churn.model.store import Store
from churn.renew.decide import Cohort
from churn.score import forgotten, log, outcomes
from churn.watch.matured import COMPLETE, MATURED, due, labelled

_TOLD = "__told__"
_LEAST_JUDGED = (
    100  # leavers, and stayers, that a challenger and the champion are held against each other on, if there are so many
)


def cohorts(store: Store, champion: Bundle, *, today: date) -> tuple[Cohort, ...]:
    """The days customers were scored for that the champion was not trained on, oldest first."""
    schema = champion.schema
    trained, told = trained_until(champion), outcomes.statements(store)
    rows = log.read(store, since=trained + timedelta(days=1), until=today, columns=[log.KEY, log.AS_OF])
    rows = rows.select(log.KEY, log.AS_OF).unique().filter(pl.col(log.AS_OF) > trained)
    found = labelled(rows, told, schema, today=today)
    late = timedelta(days=_lag(told, schema, today))
    left = pl.col(outcomes.LEFT)
    by_day = found.group_by(log.AS_OF).agg(pl.len(), left.count().alias("known"), left.sum().alias("left"), pl.col(MATURED).any())
    return tuple(
        Cohort(day, size, known, int(gone or 0), due(day, schema) + late, matured)
        for day, size, known, gone, matured in by_day.sort(log.AS_OF).iter_rows()
    )


def _lag(told: pl.DataFrame, schema: Schema, today: date) -> int:
    """How many days after the horizon outcomes are booked, but for the last few; 0 where the days do not say."""
    if schema.snapshot is None:
        return 0
    known = told.filter(pl.col(outcomes.KNOWN_AT) <= today)
    days = known.select(
        (pl.col(outcomes.KNOWN_AT) - pl.col(log.AS_OF)).dt.total_days() - schema.snapshot.horizon_days
    ).to_series()
    return int(days.filter(days >= 0).quantile(COMPLETE, interpolation="higher") or 0)


def trained_until(bundle: Bundle) -> date:
    """The last day whose customers a model was trained on: its last snapshot; without any, a horizon before it was trained."""
    schema, until = bundle.schema, bundle.metrics.get("learnt_until")
    if until:
        return date.fromisoformat(until)
    if schema.snapshot is not None and OUT_OF_FOLD in bundle.extra:  # a model trained before that was noted
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
    table, _ = forgotten.of(store).without(table, schema.key)
    if schema.snapshot is None:
        if not own:
            raise TrainingError(
                f"target {schema.target.column!r} is not in the table to train on, and without snapshots no outcomes can be "
                "joined to it"
            )
        return table
    day = schema.snapshot.column
    which = {schema.key: log.KEY, day: log.AS_OF}
    rows = table.select(pl.col(name).alias(which[name]) for name in which).unique()
    told = labelled(rows, outcomes.statements(store), schema, today=today)
    told = told.select(pl.col(log.KEY).alias(schema.key), pl.col(log.AS_OF).alias(day), pl.col(outcomes.LEFT).alias(_TOLD))
    table = table.join(told, on=[schema.key, day], how="left", maintain_order="left")
    label = pl.coalesce(_TOLD, LEFT) if own else pl.col(_TOLD)
    table = table.with_columns(label.cast(pl.Int8).alias(LEFT)).drop(_TOLD)
    ripe = (pl.col(LEFT).is_not_null().mean() >= COMPLETE).over(day)
    over = pl.col(day) + pl.duration(days=schema.snapshot.horizon_days) <= today
    return table.with_columns(pl.when(ripe & over).then(LEFT).alias(LEFT))


def to_judge_on(table: pl.DataFrame, schema: Schema, bundles: Sequence[Bundle], *, today: date) -> pl.DataFrame:
    """Rows that none of the models has seen: customers of every one's holdout, at the latest matured days.

    Days are taken back from the newest until there are 100 leavers and 100 stayers, so that what counts is how a model does now.
    Raises TrainingError where a model does not say which customers it was kept from, or there are too few such rows.
    """
    rows, _ = folds.labelled(table, schema, as_of=today)
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

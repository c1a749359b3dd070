"""A model in shadow: it scores whom the champion scores, nobody sees it, and both are compared once outcomes are known."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from churn.base.snapshot import MARGIN, RISK
from churn.data.schema import Schema
from churn.learn.evaluation import Paired, paired
from churn.learn.folds import LEAST_OF_A_CLASS
from churn.model.bundle import Bundle
from churn.model.registry import Registry
from churn.model.store import Store
from churn.renew.rows import MATURED, with_outcomes
from churn.score import batch, log, outcomes
from churn.score.promotion import on_the_desk

SOURCE = "shadow"


def score(registry: Registry, store: Store, challenger: Bundle) -> bool:
    """Log what a challenger says of the customers on the desk; False where that is logged already, or nobody is there.

    Raises PromotionRefused where they lack a column it needs; else as the registry and the log.
    """
    base = on_the_desk(registry, challenger.schema)
    if base is None:
        return False
    schema = challenger.schema
    risk = challenger.model.score(base.table)
    rows = base.table.with_columns(pl.Series(RISK, risk.risk), pl.Series(MARGIN, risk.margin))
    scored = batch.Scored(rows, None, challenger.model.typical_risk, {}, {}, 0, 0)
    run = batch.run_id(scored, model_version=challenger.version, schema=schema, as_of=base.as_of)
    _, new = log.append(store, rows, schema, model=challenger.version, as_of=base.as_of, run=run, source=SOURCE)
    return new


def compare(store: Store, champion: str, challenger: str, schema: Schema, *, today: date, seed: int) -> Paired | None:
    """Both on the customers that both have scored for one day and whose outcomes are known, of matured days only.

    None where that are fewer than 10 who left or 10 who stayed.
    """
    columns = [log.KEY, log.AS_OF, RISK]
    which = [log.KEY, log.AS_OF]
    ours, theirs = (
        log.read(store, model, columns=columns).drop("__model__").unique(which, keep="last", maintain_order=True)
        for model in (champion, challenger)
    )
    both = ours.join(theirs.rename({RISK: "theirs"}), on=which)
    return _paired(with_outcomes(both, outcomes.read(store), schema, today), today, schema, seed)


def _paired(rows: pl.DataFrame, today: date, schema: Schema, seed: int) -> Paired | None:
    known = matured(rows, schema, today)
    y = known[outcomes.LEFT].to_numpy().astype(np.float64)
    if min(y.sum(), len(y) - y.sum()) < LEAST_OF_A_CLASS:
        return None
    return paired(y, known[RISK].to_numpy(), known["theirs"].to_numpy(), groups=known[log.KEY].to_numpy(), seed=seed)


def matured(rows: pl.DataFrame, schema: Schema, today: date) -> pl.DataFrame:
    """The rows with an outcome, of days whose horizon is over and of which nearly all outcomes are known."""
    over = pl.col(log.AS_OF) + pl.duration(days=schema.horizon_days) <= today
    ripe = (pl.col(outcomes.LEFT).is_not_null().mean() >= MATURED).over(log.AS_OF)
    return rows.filter(over & ripe & pl.col(outcomes.LEFT).is_not_null())

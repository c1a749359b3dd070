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
from churn.score import batch, log, outcomes
from churn.score.promotion import on_the_desk
from churn.watch.matured import labelled

SOURCE = "shadow"
_THEIRS = "__theirs__"


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
    # a run of its own: if the challenger takes over, what it then shows is logged as what it is
    run = f"shadow-{batch.run_id(scored, model_version=challenger.version, schema=schema, as_of=base.as_of)}"
    _, new = log.append(store, rows, schema, model=challenger.version, as_of=base.as_of, run=run, source=SOURCE)
    return new


def compare(store: Store, champion: str, challenger: str, schema: Schema, *, today: date, seed: int) -> Paired | None:
    """Both on the customers that both have scored for one day and whose outcomes are known, of matured days only.

    None where that are fewer than 10 who left or 10 who stayed.
    """
    columns, which = [log.KEY, log.AS_OF, RISK], [log.KEY, log.AS_OF]
    ours, theirs = (
        log.read(store, model, until=today, columns=columns).select(columns).unique(which, keep="last", maintain_order=True)
        for model in (champion, challenger)
    )
    both = ours.join(theirs.rename({RISK: _THEIRS}), on=which)
    known = labelled(both, outcomes.statements(store), schema, today=today).filter(pl.col(outcomes.LEFT).is_not_null())
    y = known[outcomes.LEFT].to_numpy().astype(np.float64)
    if min(y.sum(), len(y) - y.sum()) < LEAST_OF_A_CLASS:
        return None
    return paired(y, known[RISK].to_numpy(), known[_THEIRS].to_numpy(), groups=known[log.KEY].to_numpy(), seed=seed)

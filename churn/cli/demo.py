"""What `churn demo` does: simulate, train, score month by month, renew, run campaigns; in the workspace `demo` and nowhere else.

The demo lives through what a desk lives through. A model is trained on what was known in spring, and every month the base is
scored, outcomes come in and the watch looks at both. In the middle prices rise; what becomes of it is found out, not written down
here.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from churn.base.records import Records
from churn.cli import demo_campaigns
from churn.cli.common import Report, registry_of
from churn.cli.models import publish_model
from churn.data import demo
from churn.data.quality import conform
from churn.data.schema import Schema
from churn.errors import DataError, WorkspaceMixed
from churn.model.registry import Registry, check_workspace
from churn.model.store import open_store
from churn.renew.retrain import Desk
from churn.score import batch
from churn.score.outcomes import import_outcomes
from churn.score.publish import publish
from churn.settings import DEMO, Settings

_BEFORE = 2  # scorings before the prices rise
_DATE, _KNOWN_AT = "snapshot_date", "known_at"
_WHO = "churn demo"
_TRAINING = "quarters.parquet"
_KINDS = ("logistic-regression", "lightgbm")


def build(settings: Settings, report: Report) -> str:
    """Make what is missing of the demo and say in a sentence what there is. At once where all is there already.

    Raises
    ------
    WorkspaceMixed: the settings are another workspace's.
    """
    if not settings.simulated:
        raise WorkspaceMixed(f"the demo belongs in the workspace '{DEMO}', not in '{settings.workspace}'")
    report("Simulating customers", 0, 0)
    written = demo.write(settings.path("data"))
    snapshots = pl.read_parquet(written.snapshots)
    months = _months(snapshots)
    settings = replace(
        settings, training_table=str(_quarters(settings, snapshots)), retrain_candidates=",".join(_KINDS), trials=2
    )
    registry = registry_of(settings)
    with closing(Records(settings)) as records:
        desk = Desk(registry, open_store(settings), records, settings, _WHO)
        scored = None if written.fresh else _scored_until(registry)
        there = scored == months[-1]
        if not there:
            _live(desk, written, snapshots, [day for day in months if scored is None or day > scored], report)
        pointer = registry.pointer()
        assert pointer is not None
        assert pointer.scoring is not None
        report("Running campaigns", 0, 0)
        bundle = registry.load_model(pointer.model)
        demo_campaigns.make(settings, registry, desk.store, bundle, snapshots, pointer.scoring)
    if there:
        return f"The demo is there: model {pointer.model}, scoring {pointer.scoring}. Open it with: churn --workspace {DEMO} app"
    size = snapshots.filter(pl.col(_DATE) == months[-1]).height
    return f"The demo is ready: {size:,} simulated customers. Open it with: churn --workspace {DEMO} app"


def _live(desk: Desk, written: demo.Written, snapshots: pl.DataFrame, months: list[date], report: Report) -> None:
    """The months that are still to come: outcomes, a scoring and a look at both, each."""
    from churn.renew import watching

    schema = demo.schema()
    outcomes = pl.read_parquet(written.outcomes)
    contacts = pl.read_parquet(written.contacts)
    check_workspace(desk.store, desk.settings, claim=True)  # before the first outcome lands there
    if written.fresh or desk.registry.pointer() is None:
        _know(outcomes, months[0], schema, desk)
        _first(desk, schema, months[0], report)
    for day in months:
        today = day + timedelta(days=1)
        _know(outcomes, today, schema, desk)
        pointer = desk.registry.pointer()
        assert pointer is not None
        bundle = desk.registry.load_model(pointer.model)
        rows = conform(snapshots.filter(pl.col(_DATE) == day).join(contacts, on=schema.key, how="left"), schema)
        scored = batch.score(rows, bundle.model, progress=report)
        publish(scored, bundle, desk.registry, desk.store, as_of=day, who=_WHO, progress=report)
        then = replace(desk, now=datetime(today.year, today.month, today.day, 5, tzinfo=UTC))  # found that night, not today
        watching.watch(then, today=today, environ={}, progress=report)


def _first(desk: Desk, schema: Schema, today: date, report: Report) -> None:
    """The first champion, trained on what is known on a day."""
    from churn.learn import training
    from churn.renew.rows import to_train_on
    from churn.score import promotion

    again = desk.registry.pointer() is not None  # the base is another one: the old model is no measure for the new
    labelled = to_train_on(pl.read_parquet(desk.settings.training_table), schema, desk.store, today=today)
    result = training.train(
        labelled, schema, settings=desk.settings, trials=1, candidates=_KINDS[-1:], as_of=today, progress=report
    )
    version = publish_model(result, desk.registry, desk.settings, report)
    why = "The simulated base was made anew" if again else "First model"
    promotion.promote(
        version, desk.registry, desk.store, desk.settings, who=_WHO, reason=why, despite_gates=again, progress=report
    )


def _know(outcomes: pl.DataFrame, today: date, schema: Schema, desk: Desk) -> None:
    """Import the outcomes that are known by a day."""
    known = import_outcomes(outcomes.filter(pl.col(_KNOWN_AT) <= today), schema, desk.store, today=today)
    if known.refused:
        raise DataError(f"the demo's own outcomes do not fit its schema: {known.refused[0]}")


def _months(snapshots: pl.DataFrame) -> list[date]:
    """The days that are scored: from a little before the prices rise."""
    days = snapshots[_DATE].unique().sort().to_list()
    rise = next(place for place, day in enumerate(days) if day >= demo.price_rise(len(days)))
    return days[rise - _BEFORE :]


def _quarters(settings: Settings, snapshots: pl.DataFrame) -> Path:
    """The table to train on: quarters, which do not overlap; months in between say little more and cost three times as long."""
    path = settings.path("data") / _TRAINING
    days = snapshots[_DATE].unique().sort().to_list()[::3]
    snapshots.filter(pl.col(_DATE).is_in(days)).write_parquet(path, metadata={"simulated": "true"})
    return path


def _scored_until(registry: Registry) -> date | None:
    """The day of the newest scoring; None where there is none."""
    return max((date.fromisoformat(info.as_of) for info in registry.scorings() if info.as_of), default=None)

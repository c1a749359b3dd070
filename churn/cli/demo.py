"""What `churn demo` does: simulate, train, promote, score, run campaigns, in the workspace `demo` and nowhere else."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import date

import polars as pl

from churn.cli import demo_campaigns
from churn.cli.common import Report, registry_of, warn
from churn.cli.models import publish_model
from churn.data import demo
from churn.data.quality import conform
from churn.data.schema import Schema
from churn.errors import DataError, WorkspaceMixed
from churn.model.store import open_store
from churn.score import batch
from churn.score.outcomes import import_outcomes
from churn.score.publish import publish
from churn.settings import DEMO, Settings

_SCORED = 3  # the last snapshots, whose outcomes are open: none of their rows is trained on
_DATE = "snapshot_date"
_WHO = "churn demo"


def build(settings: Settings, report: Report) -> str:
    """Make what is missing of the demo and say in a sentence what there is. At once where all is there already.

    Raises
    ------
    WorkspaceMixed: the settings are another workspace's.
    """
    with ExitStack() as until_the_end:
        return _build(settings, report, until_the_end)


def _build(settings: Settings, report: Report, until_the_end: ExitStack) -> str:
    from churn.learn import tracking, training
    from churn.score import promotion

    if not settings.simulated:
        raise WorkspaceMixed(f"the demo belongs in the workspace '{DEMO}', not in '{settings.workspace}'")
    report("Simulating customers", 0, 0)
    written = demo.write(settings.path("data"))
    registry, store = registry_of(settings), open_store(settings)
    pointer = registry.pointer()
    if not written.fresh and pointer is not None and pointer.scoring is not None and len(registry.scorings()) >= _SCORED:
        report("Running campaigns", 0, 0)
        shown = registry.load_model(pointer.model)
        demo_campaigns.make(settings, registry, store, shown, pl.read_parquet(written.snapshots), pointer.scoring)
        return f"The demo is there: model {pointer.model}, scoring {pointer.scoring}. Open it with: churn --workspace {DEMO} app"
    schema = demo.schema()
    snapshots = pl.read_parquet(written.snapshots)
    if pointer is None or written.fresh:
        runs = until_the_end.enter_context(tracking.runs(settings, registry, warn))
        # quarters that do not overlap: months in between say little more and cost three times as long
        labelled = conform(snapshots.filter(pl.col(_DATE).is_in(_quarters(snapshots, schema))), schema, target=True)
        result = training.train(
            labelled, schema, settings=settings, trials=2, candidates=("logistic-regression", "lightgbm"), progress=report
        )
        version = publish_model(result, registry, settings.simulated, report)
        runs.add(result, version)
        again = pointer is not None  # the base is another one: the old model is no measure for the new
        why = "The simulated base was made anew" if again else "First model"
        pointer = promotion.promote(
            version, registry, store, settings, who=_WHO, reason=why, despite_gates=again, progress=report
        ).pointer
    known = import_outcomes(pl.read_parquet(written.outcomes), schema, store, today=demo.AS_OF)  # whatever day it is here
    if known.refused:
        raise DataError(f"the demo's own outcomes do not fit its schema: {known.refused[0]}")
    bundle = registry.load_model(pointer.model)
    contacts = pl.read_parquet(written.contacts)
    for day in snapshots[_DATE].unique().sort().to_list()[-_SCORED:]:
        rows = snapshots.filter(pl.col(_DATE) == day).join(contacts, on=schema.key, how="left")
        scored = batch.score(conform(rows, schema), bundle.model, progress=report)
        published = publish(scored, bundle, registry, store, as_of=day, who=_WHO, progress=report)
    report("Running campaigns", 0, 0)
    demo_campaigns.make(settings, registry, store, bundle, snapshots, published.scoring)
    return f"The demo is ready: {scored.rows.height:,} simulated customers. Open it with: churn --workspace {DEMO} app"


def _quarters(snapshots: pl.DataFrame, schema: Schema) -> list[date]:
    """Every third of the snapshots whose outcomes are all known, counted back from the last."""
    unknown = snapshots.group_by(_DATE).agg(pl.col(schema.target.column).is_null().any())
    known = unknown.filter(~pl.col(schema.target.column))[_DATE].sort().to_list()
    return known[::-3]

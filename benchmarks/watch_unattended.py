"""The demo's year, watched month by month with nobody at the desk: when is the model trained anew, and was that right?

A model is trained on what is known before the prices rise, and scores the base at each month's end. Every month brings the
outcomes that are known by then, the base, and one `churn watch`. The rise may call for one training, and nothing before it for
any. Several years are drawn, each with another seed. There is no peer: Evidently and NannyML say what drifts, and train nothing.

Prints what each month came to on standard error.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from churn.base.records import Records
from churn.data import demo
from churn.data.quality import conform
from churn.learn import training
from churn.learn.evaluation import measure
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.renew import watching
from churn.renew.retrain import Desk
from churn.renew.rows import to_train_on
from churn.score import batch, log, promotion
from churn.score.outcomes import import_outcomes
from churn.score.publish import publish
from churn.settings import Settings
from churn.watch.decisions import DUE, PROMOTED

CUSTOMERS = 10_000
SEEDS = (7, 11, 23)
TRAINED = date(2026, 3, 31)  # by that day the first snapshot's outcomes are known; the prices rise a month later
CANDIDATES = ("logistic-regression", "lightgbm")


@dataclass
class Year:
    """What a year came to: days on which a training was due, on which a model was promoted, CPU seconds of each look."""

    due: list[date] = field(default_factory=list)
    promoted: list[date] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    loss: tuple[float, float] | None = None  # of the first and the last champion on the last month, with outcomes nobody has yet


def run() -> list[dict[str, Any]]:
    """Rows as `benchmarks.__main__` prints them; some minutes."""
    rise = demo.price_rise()
    years = [_year(seed) for seed in SEEDS]
    early = sum(day < rise for year in years for day in year.due)
    after = [[day for day in year.promoted if day >= rise] for year in years]
    gains = [first / last for first, last in (year.loss for year in years if year.loss)]
    return [
        _row("watch-unattended-due-before-the-rise", early, "", "≤ 0"),
        _row("watch-unattended-promoted-after-fewest", min(map(len, after)), "", "≥ 1"),
        _row("watch-unattended-promoted-after-most", max(map(len, after)), "", "≤ 1"),
        _row("watch-unattended-days-to-a-new-champion", max((days[0] - rise).days for days in after if days), "days", None),
        _row("watch-unattended-loss-old-over-new", min(gains), "", "≥ 1"),
        _row("watch-unattended-look", statistics.median(look for year in years for look in year.looks), "s", None),
    ]


def _row(name: str, value: float, unit: str, target: str | None) -> dict[str, Any]:
    return {"name": name, "value": value, "peer": None, "peer_value": None, "ratio": None, "target": target, "unit": unit}


def _year(seed: int) -> Year:
    made, schema = demo.make(seed, CUSTOMERS), demo.schema()
    found = Year()
    with tempfile.TemporaryDirectory(prefix="churn-bench-") as place:
        home = Path(place)
        settings = Settings(
            workspace="demo",
            home=home,
            store="store",
            data="data",
            cache="cache",
            mlflow="",
            training_table=str(home / "history.parquet"),
            retrain_candidates=",".join(CANDIDATES),
            trials=2,
        )
        store = open_store(settings)
        desk = Desk(Registry(store, settings), store, Records(settings), settings, "benchmark")
        rows = made.snapshots.drop("churned")  # outcomes come as they become known, and in no other way
        import_outcomes(made.outcomes.filter(pl.col("known_at") <= TRAINED), schema, store, today=TRAINED, known=set())
        first = _train(desk, rows.filter(pl.col("snapshot_date") <= TRAINED))
        for day in made.dates[1:]:
            table = conform(rows.filter(pl.col("snapshot_date") == day), schema)
            if day < TRAINED:  # what it would have said, as a log made elsewhere is brought in
                scored = batch.score(table, desk.registry.load_model(first).model)
                run = batch.run_id(scored, model_version=first, schema=schema, as_of=day)
                log.append(store, scored.rows, schema, model=first, as_of=day, run=run, source="import")
                continue
            rows.filter(pl.col("snapshot_date") <= day).write_parquet(settings.training_table)
            import_outcomes(made.outcomes.filter(pl.col("known_at") <= day), schema, store, today=day, known=set())
            _month(desk, table, day, found)
        found.loss = _losses(desk, first, made, schema)
        desk.records.close()
    return found


def _train(desk: Desk, rows: pl.DataFrame) -> str:
    table = to_train_on(rows, demo.schema(), desk.store, today=TRAINED)
    result = training.train(table, demo.schema(), settings=desk.settings, candidates=CANDIDATES, as_of=TRAINED)
    folder = desk.settings.home / "bundle"
    training.write_bundle(result, folder, simulated=True)
    version = desk.registry.publish_model(folder)
    promotion.promote(version, desk.registry, desk.store, desk.settings, who="benchmark", despite_gates=True, reason="first")
    return version


def _month(desk: Desk, table: pl.DataFrame, day: date, found: Year) -> None:
    pointer = desk.registry.pointer()
    assert pointer is not None
    bundle = desk.registry.load_model(pointer.model)
    publish(batch.score(table, bundle.model), bundle, desk.registry, desk.store, as_of=day, who="benchmark")
    began = time.process_time()
    seen = watching.watch(desk, today=day, environ={})
    took = time.process_time() - began
    kinds = [one.kind for one in seen.decisions]
    found.due += [day] * kinds.count(DUE)
    found.promoted += [day] * kinds.count(PROMOTED)
    if not kinds:
        found.looks.append(took)
    moved = ", ".join(column.column for column in seen.drift[-1].moved) or "nothing"
    print(f"{day} {seen.model}: moved {moved}; {len(seen.open)} alerts; {took:.1f} s. {seen.due.words}", file=sys.stderr)
    for one in seen.decisions:
        print(f"    {one.title}: {one.words}", file=sys.stderr)


def _losses(desk: Desk, first: str, made: demo.Demo, schema: Any) -> tuple[float, float]:
    """Log-loss of the first champion and of the last one on the latest snapshot whose outcomes are all known by the end: they
    became known after the last training that this walk comes to."""
    pointer = desk.registry.pointer()
    assert pointer is not None
    open_ = pl.col("churned").is_null().any().over("snapshot_date")
    known = made.snapshots.filter(~open_)
    table = conform(known.filter(pl.col("snapshot_date") == pl.col("snapshot_date").max()), schema, target=True)
    y = table["__left__"].to_numpy()
    old, new = (desk.registry.load_model(version).model.score(table).risk for version in (first, pointer.model))
    return measure(y, old)["log_loss"], measure(y, new)["log_loss"]

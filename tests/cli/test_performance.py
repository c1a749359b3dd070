"""`churn performance`: the answer, the windows, the groups, and what a program gets."""

from __future__ import annotations

import shutil
from datetime import date

import polars as pl

from churn.data.quality import conform
from churn.data.schema import Schema
from churn.model.store import open_store
from churn.score import batch, log
from churn.score.outcomes import import_outcomes
from churn.settings import Settings

from .conftest import Desk, customers


def _months(desk: Desk) -> None:
    """Log the desk's customers at two month ends; what became of the first is known."""
    settings = Settings.load(home=desk.home, environ={})
    store = open_store(settings)
    bundle = desk.registry().load_model("v1")
    raw = customers(600, seed=9)
    schema: Schema = bundle.schema
    for month, day in enumerate((date(2026, 8, 31), date(2026, 9, 30))):
        scored = batch.score(conform(raw.drop("left"), schema), bundle.model, reasons=0)
        log.append(store, scored.rows, schema, model="v1", as_of=day, run=f"run{month}", source="import")
    gone = pl.col("left") == "Yes"
    known = pl.when(gone).then(pl.lit(date(2026, 9, 10))).otherwise(pl.lit(date(2026, 10, 2))).cast(pl.String)
    outcomes = raw.select("customer_id", "left", known.alias("known_at"))
    assert not import_outcomes(outcomes, schema, store, today=date(2026, 10, 5)).refused


def test_the_answer_and_its_months(trained: Desk) -> None:
    _months(trained)
    ran = trained.done("performance", "--as-of", "2026-10-05", "--list", "60", "--groups")
    assert "of the 60 riskiest in August" in ran.out or "left than promised" in ran.out
    assert "August" in ran.out
    assert "September" in ran.out
    document = trained.done("performance", "--as-of", "2026-10-05", "--list", "60", "--groups", "--json").json
    first, second, *_ = document["windows"]  # the desk's own scoring is logged too
    assert first["realised"]["left"] == (customers(600, seed=9)["left"] == "Yes").sum()
    assert (first["matured"], second["realised"]) == (1.0, None)
    assert document["losses"][0]["model"] == "v1"
    assert {one["column"] for one in document["groups"]} >= {"__band__"}
    early = trained.done("performance", "--as-of", "2026-09-15")
    assert early.out.startswith("Too early to say: the first outcomes are due")


def test_nobody_called_and_no_log_are_said(trained: Desk) -> None:
    shutil.rmtree(trained.home / "models" / "default" / "log")
    assert trained.done("performance").out.startswith("No predictions are logged yet")
    _months(trained)
    assert trained.done("performance", "--whose", "called").out.startswith("Nobody like this is among the predictions logged")
    document = trained.done("performance", "--whose", "not-called", "--as-of", "2026-10-05", "--json").json
    assert document["windows"][0]["rows"] == 600


def test_without_a_champion_it_says_how_to_get_one(desk: Desk) -> None:
    assert "churn train" in desk.run("performance").line

"""Performance by window: which predictions count, models never mixed, and when a loss is beyond its band."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.data.holdout import in_holdout
from churn.data.schema import Schema
from churn.errors import DataError
from churn.model.store import Store, open_store
from churn.score import log
from churn.score.outcomes import import_outcomes, statements
from churn.settings import Settings
from churn.watch import performance
from churn.watch.performance import ModelFacts, estimated_change, history, loss_beyond_band, of_log, window_of_log

TODAY = date(2026, 12, 1)
MONTHS = (date(2026, 8, 31), date(2026, 9, 30), date(2026, 10, 31))
NOON = datetime(2026, 8, 31, 12, tzinfo=UTC)


@pytest.fixture
def schema() -> Schema:
    return Schema.model_validate(
        {
            "key": "customer",
            "target": {"column": "churned", "positive": "Yes"},
            "snapshot": {"column": "day", "horizon_days": 30},
            "money": {"column": "charge"},
            "features": [
                {"name": "charge", "kind": "number", "label": "Charge", "unit": "money"},
                {"name": "contract", "kind": "category", "label": "Contract", "levels": [{"value": "a"}, {"value": "b"}]},
            ],
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(Settings.load(home=tmp_path, environ={}))


def _scored(day: date, rows: int = 600, seed: int = 0) -> pl.DataFrame:
    """Scored customers of one day, as the batch hands them to the log."""
    rng = np.random.default_rng([seed, day.toordinal()])
    p = 1 / (1 + np.exp(-rng.normal(-1.2, 1.1, rows)))
    return pl.DataFrame(
        {
            "customer": [f"c{i:04}" for i in range(rows)],
            "day": [day] * rows,
            "charge": rng.gamma(4, 20, rows),
            "contract": rng.choice(["a", "b"], rows),
            "__risk__": p,
            "__margin__": np.log(p / (1 - p)),
        }
    )


def _log(store: Store, scored: pl.DataFrame, schema: Schema, model: str = "v1", **more: Any) -> None:
    day = scored["day"][0]
    given: dict[str, Any] = {"as_of": day, "run": f"r{model}{day:%Y%m%d}", "source": "publish", "scored_at": NOON, **more}
    log.append(store, scored, schema, model=model, **given)


def _outcomes(scored: pl.DataFrame, seed: int = 1, odds: float = 0.0) -> pl.DataFrame:
    """What became of customers whose risks are right but for so many log-odds; known a day after the horizon."""
    rng = np.random.default_rng(seed)
    true = 1 / (1 + np.exp(-(scored["__margin__"].to_numpy() + odds)))
    left = np.where(rng.random(scored.height) < true, "Yes", "No")
    known = pl.col("day") + timedelta(31)
    return scored.select("customer", "day", pl.Series("churned", left), known.alias("known_at")).with_columns(
        pl.col("day", "known_at").cast(pl.String)
    )


def _told(store: Store, outcomes: pl.DataFrame, schema: Schema) -> None:
    assert not import_outcomes(outcomes, schema, store, known=[], today=TODAY).refused


def test_each_month_is_estimated_and_those_that_are_over_are_compared(store: Store, schema: Schema) -> None:
    for day in MONTHS:
        _log(store, _scored(day), schema)
    for day in MONTHS[:2]:
        _told(store, _outcomes(_scored(day)), schema)
    half = _outcomes(_scored(MONTHS[2]))
    _told(store, half.filter(pl.col("churned") == "Yes"), schema)  # leavers are booked first
    found = of_log(store, schema, today=TODAY, size=60)
    assert [(one.start, one.end) for one in found] == [
        (date(2026, 8, 1), date(2026, 8, 31)),
        (date(2026, 9, 1), date(2026, 9, 30)),
        (date(2026, 10, 1), date(2026, 10, 31)),
    ]
    first, _, last = found
    assert (first.rows, first.matured, first.due, first.model) == (600, 1.0, date(2026, 9, 30), "v1")
    assert first.realised is not None
    assert first.promised == first.estimated
    assert first.realised.left == (_outcomes(_scored(MONTHS[0]))["churned"] == "Yes").sum()
    money = _scored(MONTHS[0]).filter(_outcomes(_scored(MONTHS[0]))["churned"] == "Yes")["charge"].sum()
    assert first.realised.revenue_left == pytest.approx(money)
    assert 0 < last.matured < 0.5
    assert (last.realised, last.promised) == (None, None)
    assert last.estimated.rows == 600


def test_the_log_and_a_table_give_the_same(store: Store, schema: Schema) -> None:
    for day in MONTHS:
        for model in ("v2", "v10"):
            _log(store, _scored(day, seed=len(model)), schema, model)
        _told(store, _outcomes(_scored(day)), schema) if day < MONTHS[2] else None
    by_log = of_log(store, schema, today=TODAY)
    assert by_log == history(log.read(store), statements(store), schema, today=TODAY)
    assert [one.model for one in by_log] == ["v2", "v10"] * 3  # never mixed
    assert of_log(store, schema, today=TODAY, models=["v10"], since=MONTHS[1]) == tuple(
        one for one in by_log if one.model == "v10" and one.start >= date(2026, 9, 1)
    )
    weeks = of_log(store, schema, today=TODAY, every="week", models=["v2"])
    assert (weeks[0].start, weeks[0].end) == (date(2026, 8, 31), date(2026, 9, 6))
    days = of_log(store, schema, today=TODAY, every="day", models=["v2"])
    assert [(one.start, one.end) for one in days] == [(day, day) for day in MONTHS]


def test_predictions_about_days_to_come_are_left_out(store: Store, schema: Schema) -> None:
    for day in MONTHS:
        _log(store, _scored(day), schema)
    asked = date(2026, 10, 15)
    by_month = of_log(store, schema, today=asked)
    assert [one.start for one in by_month] == [date(2026, 8, 1), date(2026, 9, 1)]
    assert by_month == history(log.read(store), statements(store), schema, today=asked)
    with pytest.raises(DataError, match="no predictions"):
        window_of_log(store, schema, "v1", date(2026, 10, 1), today=asked)


def test_a_customer_counts_once_with_the_first_prediction_of_a_window(store: Store, schema: Schema) -> None:
    first, later = _scored(date(2026, 9, 1), 300), _scored(date(2026, 9, 15), 300)
    _log(store, first, schema)
    _log(store, later.head(200), schema)
    again = first.with_columns(pl.lit(0.25).alias("__risk__"))
    _log(store, again, schema, run="again", scored_at=NOON + timedelta(hours=1))  # of one day the last one made holds
    (one,) = of_log(store, schema, today=TODAY)
    assert one.rows == 300
    assert one.estimated.expected_leavers.value == pytest.approx(75)


def test_where_half_a_window_has_matured_its_list_is_that_of_the_whole(store: Store, schema: Schema) -> None:
    early, late = _scored(date(2026, 9, 1), 300), _scored(date(2026, 9, 29), 300, seed=1)
    late = late.with_columns(pl.format("late {}", "customer").alias("customer"))
    for scored in (early, late):
        _log(store, scored, schema)
        _told(store, _outcomes(scored), schema)
    (one,) = of_log(store, schema, today=date(2026, 10, 10), size=50)
    everybody = pl.concat([early, late]).sort("__risk__", descending=True).head(50)
    assert one.realised is not None
    assert (one.matured, one.realised.rows, one.estimated.listed) == (0.5, 300, 50)
    assert one.realised.listed == everybody.filter(~pl.col("customer").str.starts_with("late")).height
    assert one.promised is not None
    assert one.promised.expected_leavers.value == pytest.approx(early["__risk__"].sum())


def test_what_nobody_acted_upon_is_left_out_unless_asked_for(store: Store, schema: Schema) -> None:
    _log(store, _scored(MONTHS[0]), schema)
    _log(store, _scored(MONTHS[0]), schema, "v2", source="shadow")
    assert [one.model for one in of_log(store, schema, today=TODAY)] == ["v1"]
    assert [one.model for one in of_log(store, schema, today=TODAY, shadow=True)] == ["v1", "v2"]


def test_what_a_model_has_learnt_from_is_judged_by_its_holdout_alone(store: Store, schema: Schema) -> None:
    for day in MONTHS[:2]:
        _log(store, _scored(day), schema)
    facts = {"v1": ModelFacts.of({"learnt_until": MONTHS[0].isoformat(), "holdout_salt": "s", "holdout_share": 0.2})}
    first, second = of_log(store, schema, today=TODAY, facts=facts, size=60)
    apart = int(in_holdout(_scored(MONTHS[0])["customer"], salt="s", share=0.2).sum())
    assert (first.rows, first.kept_apart, first.estimated.listed) == (apart, True, round(60 * apart / 600))
    assert (second.rows, second.kept_apart, second.estimated.listed) == (600, False, 60)
    assert ModelFacts.of({}) == ModelFacts()


def test_called_and_uncalled_customers_are_looked_at_apart(store: Store, schema: Schema) -> None:
    _log(store, _scored(MONTHS[1]), schema)
    called = pl.DataFrame(
        {
            "customer": ["c0001", "c0002", "c0003"],
            "campaign": ["x"] * 3,
            "band": ["High"] * 3,
            "arm": ["call"] * 3,
            "start": [date(2026, 10, 5), date(2026, 10, 5), date(2026, 11, 20)],  # the last one after the horizon
            "end": [date(2026, 11, 5), date(2026, 11, 5), date(2026, 12, 20)],
        }
    )
    rows = {
        whose: of_log(store, schema, today=TODAY, called=called, whose=whose)[0].rows for whose in ("all", "called", "not called")
    }
    assert rows == {"all": 600, "called": 2, "not called": 598}
    with pytest.raises(DataError, match="who was called"):
        of_log(store, schema, today=TODAY, whose="called")


def test_a_cohort_is_looked_at_by_a_condition_on_the_log(store: Store, schema: Schema) -> None:
    scored = _scored(MONTHS[0])
    _log(store, scored, schema)
    _told(store, _outcomes(scored), schema)
    (one,) = of_log(store, schema, today=TODAY, where=pl.col("contract") == "a")
    assert one.rows == (scored["contract"] == "a").sum()
    assert of_log(store, schema, today=TODAY, where=pl.col("not logged") == 1) == ()
    rows = window_of_log(store, schema, "v1", date(2026, 8, 1), today=TODAY, columns=["contract"])
    assert rows["__risk__"].is_sorted(descending=True)
    assert rows["contract"].null_count() == 0
    with pytest.raises(DataError, match="no predictions of model v9 about the month from 2026-08-01"):
        window_of_log(store, schema, "v9", date(2026, 8, 1), today=TODAY)


def test_a_damaged_part_is_named_and_the_others_are_measured(store: Store, schema: Schema) -> None:
    for day in MONTHS[:2]:
        _log(store, _scored(day), schema)
    name = log.parts(store)[0].name
    store.write(name, b"torn", if_match=store.read(name).etag)
    damaged: list[str] = []
    assert [one.start.month for one in of_log(store, schema, today=TODAY, damaged=damaged)] == [9]
    assert name in damaged[0]


def test_nothing_logged_is_nothing_to_show(store: Store, schema: Schema) -> None:
    assert of_log(store, schema, today=TODAY) == ()


@pytest.mark.parametrize(("odds", "beyond"), [(0.0, False), (0.8, True), (-0.8, False)])
def test_a_loss_is_beyond_its_band_when_the_risks_are_too_low(odds: float, beyond: bool) -> None:
    """Fewer leavers than promised lower the loss: that is a wrong level, and no reason to retrain."""
    schema = Schema.model_validate(
        {
            "key": "customer",
            "target": {"column": "churned", "positive": "Yes"},
            "snapshot": {"column": "day", "horizon_days": 30},
            "features": [{"name": "charge", "kind": "number", "label": "Charge"}],
        }
    )
    scored = _scored(MONTHS[0], 4_000)
    predictions = scored.select(
        pl.lit("v1").alias("__model__"),
        pl.col("customer").alias("__key__"),
        pl.col("day").alias("__as_of__"),
        pl.lit(NOON).alias("__scored_at__"),
        "__risk__",
        "charge",
    )
    told = _outcomes(scored, odds=odds).select(
        pl.col("customer").alias("__key__"),
        pl.col("day").str.to_date().alias("__as_of__"),
        (pl.col("churned") == "Yes").cast(pl.Int8).alias("__left__"),
        pl.col("known_at").str.to_date().alias("__known_at__"),
    )
    found = history(predictions, told, schema, today=TODAY)
    (loss,) = loss_beyond_band(found)
    assert loss.beyond is beyond
    assert (loss.realised > loss.promised.high) is beyond
    assert found[0].level_holds is (odds == 0)
    assert found[0].ranking_holds  # all risks were wrong alike
    assert not loss_beyond_band(found, least=5.0)[0].beyond  # more than chance, yet too little to matter
    few = tuple(replace(one, realised=replace(one.realised, rows=150)) for one in found if one.realised)
    assert not loss_beyond_band(few)[0].beyond


def test_a_ranking_that_no_longer_tells_leavers_is_noticed(store: Store, schema: Schema) -> None:
    scored = _scored(MONTHS[0], 3_000)
    _log(store, scored, schema)
    known = _outcomes(scored)
    _told(store, known.with_columns(known["churned"].shuffle(seed=1)), schema)  # as many left, whatever their risk
    (one,) = of_log(store, schema, today=TODAY)
    assert (one.ranking_holds, one.level_holds) == (False, True)
    (early,) = of_log(store, schema, today=date(2026, 9, 2))
    assert (early.ranking_holds, early.level_holds) == (None, None)


def test_an_estimate_moves_with_the_customers_and_not_by_chance(schema: Schema) -> None:
    def month(day: date, spread: float) -> pl.DataFrame:
        rng = np.random.default_rng(day.toordinal())
        p = 1 / (1 + np.exp(-rng.normal(-1.2, spread, 5_000)))
        keys = [f"c{i}" for i in range(5_000)]
        return pl.DataFrame({"__key__": keys, "__risk__": p, "charge": p}).with_columns(
            pl.lit("v1").alias("__model__"), pl.lit(day).alias("__as_of__"), pl.lit(NOON).alias("__scored_at__")
        )

    none = pl.DataFrame(schema={"__key__": pl.String, "__as_of__": pl.Date, "__left__": pl.Int8, "__known_at__": pl.Date})
    rows = pl.concat([month(MONTHS[0], 1.1), month(MONTHS[1], 1.1), month(MONTHS[2], 0.3)])
    found = history(rows, none, schema, today=TODAY)
    first, second, third = estimated_change(found)
    assert (first.change, first.sure, second.sure) == (0.0, False, False)
    assert third.sure
    assert third.change > 0.05
    against = estimated_change(found, {"v1": found[2].estimated})
    assert [one.sure for one in against] == [True, True, False]
    assert performance.LOSS_LEAST == 0.01

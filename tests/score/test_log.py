"""The prediction log: parts written once, read together, never anything else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest

from churn.base.snapshot import MARGIN, RISK
from churn.data.schema import Schema
from churn.errors import DataError, StoreUnavailable
from churn.model.scoring import ScoringModel
from churn.model.store import Store
from churn.score import log
from churn.score.batch import score

DAY = date(2026, 11, 1)
MakeTable = Callable[..., pl.DataFrame]
MakeModel = Callable[[Schema], ScoringModel]


@pytest.fixture
def rows(schema: Schema, make_table: MakeTable, make_model: MakeModel) -> pl.DataFrame:
    return score(make_table(schema, 10), make_model(schema)).rows


def test_a_part_holds_what_was_predicted_from_what(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    moment = datetime(2026, 11, 3, 6, 30, tzinfo=timezone(timedelta(hours=2)))
    name, new = log.append(store, rows, schema, model="v3", as_of=DAY, run="abc1", source="publish", scored_at=moment)
    assert (name, new) == ("log/model=v3/date=2026-11-01/abc1.parquet", True)
    found = log.read(store)
    assert found.columns == [
        *("__model__", "__key__", "__as_of__", "__scored_at__", RISK, MARGIN, "__source__"),
        *schema.names,
    ]
    assert found.select(schema.names).equals(rows.select(schema.names))
    assert found["__key__"].to_list() == rows["customer"].to_list()
    assert found[RISK].to_list() == rows[RISK].to_list()
    assert found.row(0)[:4] == ("v3", "C0000", DAY, datetime(2026, 11, 3, 4, 30, tzinfo=UTC))
    assert "who" not in found.columns


def test_the_same_run_is_logged_once(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    for expected in (True, False, False):
        _, new = log.append(store, rows, schema, model="v3", as_of=DAY, run="abc1", source="publish")
        assert new is expected
    assert log.read(store).height == rows.height
    assert len(log.parts(store)) == 1


def test_parts_by_model_and_date(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    for model, day, run in (("v1", 1, "a"), ("v1", 8, "b"), ("v10", 8, "c")):
        log.append(store, rows, schema, model=model, as_of=date(2026, 11, day), run=run, source="file")
    store.write("log/model=v1/notes.txt", b"not ours")
    assert [(part.model, part.date.day, part.run) for part in log.parts(store)] == [
        ("v1", 1, "a"),
        ("v1", 8, "b"),
        ("v10", 8, "c"),
    ]
    assert [part.run for part in log.parts(store, model="v1")] == ["a", "b"]
    assert [part.run for part in log.parts(store, since=date(2026, 11, 2))] == ["b", "c"]
    assert log.read(store, "v1", date(2026, 11, 2)).height == rows.height
    assert log.read(store, columns=["__key__"]).columns == ["__model__", "__key__"]


def test_models_with_other_features_are_read_together(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    log.append(store, rows, schema, model="v1", as_of=DAY, run="a", source="file")
    document = schema.model_dump()
    document["features"] = document["features"][:3]
    log.append(store, rows, Schema.model_validate(document), model="v2", as_of=DAY, run="b", source="file")
    found = log.read(store)
    assert found.filter(pl.col("__model__") == "v2")["idle"].null_count() == rows.height
    assert found.filter(pl.col("__model__") == "v1")["idle"].null_count() == 0


def test_an_empty_log(store: Store) -> None:
    assert log.parts(store) == ()
    assert log.read(store).height == 0
    assert log.read(store, columns=["__key__"])["__key__"].to_list() == []


def test_a_dated_row_keeps_its_own_day(dated: Schema, make_table: MakeTable, make_model: MakeModel, store: Store) -> None:
    rows = score(make_table(dated, 2, day=date(2026, 9, 1)), make_model(dated)).rows
    log.append(store, rows, dated, model="v1", as_of=DAY, run="a", source="file")
    assert log.read(store)["__as_of__"].to_list() == [date(2026, 9, 1)] * 2


@pytest.mark.parametrize(("model", "run"), [("v1/../x", "a"), ("v1", "a/b"), ("", "a"), ("v1", "")])
def test_names_stay_in_the_log(model: str, run: str, rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    with pytest.raises(DataError, match="to be logged"):
        log.append(store, rows, schema, model=model, as_of=DAY, run=run, source="file")


def test_a_damaged_part_is_named(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    name, _ = log.append(store, rows, schema, model="v1", as_of=DAY, run="a", source="file")
    store.write(name, b"half a pa")
    with pytest.raises(StoreUnavailable, match=r"log/model=v1/date=2026-11-01/a\.parquet is damaged"):
        log.read(store)


def test_keys_are_told_beside_what_cannot_be_read(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    names = [log.append(store, rows[i : i + 5], schema, model="v1", as_of=DAY, run=f"r{i}", source="file")[0] for i in (0, 5)]
    assert log.keys(store) == (frozenset(rows["customer"]), ())
    store.write(names[0], store.read(names[0]).data[:200])
    keys, damaged = log.keys(store)
    assert keys == frozenset(rows["customer"][5:])
    (words,) = damaged
    assert names[0] in words
    assert words.endswith("restore it from a backup")

"""The prediction log: parts written once, read together, never anything else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest

from churn.base.snapshot import MARGIN, RISK
from churn.data.schema import Schema
from churn.errors import DataError, NotInStore, StoreUnavailable
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


def logged(store: Store, rows: pl.DataFrame, schema: Schema, *runs: str, day: date = DAY, model: str = "v1") -> None:
    for place, run in enumerate(runs):
        some = rows[place * 2 : place * 2 + 2]
        log.append(store, some, schema, model=model, as_of=day, run=run, source="publish")


def test_a_source_is_one_of_those_that_are_known(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    with pytest.raises(DataError, match="source out of publish, promote, file, api, import, shadow, not 'what-if'"):
        log.append(store, rows, schema, model="v1", as_of=DAY, run="a", source="what-if")
    log.append(store, rows[:3], schema, model="v1", as_of=DAY, run="a", source="shadow")
    log.append(store, rows[3:], schema, model="v1", as_of=DAY, run="b", source="api")
    assert log.read(store, sources=["shadow"])["__key__"].to_list() == rows["customer"][:3].to_list()
    assert log.read(store, sources=["shadow"], columns=["__risk__"]).columns == ["__model__", "__risk__"]


def test_the_log_comes_in_pieces(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    logged(store, rows, schema, "a", "b", "c")
    pieces = list(log.batches(store, columns=["__key__", "tenure", "absent"], rows=1))
    assert [piece.height for piece in pieces] == [1] * 6
    assert pieces[0].columns == ["__model__", "__key__", "tenure"]
    assert pl.concat(pieces)["__key__"].to_list() == rows["customer"][:6].to_list()


def test_days_from_until(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    for number in (1, 2, 3):
        logged(store, rows, schema, f"r{number}", day=date(2026, 11, number))
    assert [part.run for part in log.parts(store, since=date(2026, 11, 2), until=date(2026, 11, 2))] == ["r2"]
    assert log.read(store, until=date(2026, 11, 2)).height == 4


def test_compaction_makes_one_object_of_a_day_and_changes_no_prediction(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    logged(store, rows, schema, "c", "a", "b")
    logged(store, rows, schema, "a", day=date(2026, 11, 2))
    before = log.read(store).sort("__key__", "__as_of__")
    done = log.compact(store)
    assert (done.days, done.runs, done.removed) == (1, 3, 3)
    assert log.read(store).sort("__key__", "__as_of__").equals(before)
    assert log.read(store).columns == before.columns
    assert [(part.date.day, part.runs) for part in log.parts(store)] == [(1, ("a", "b", "c")), (2, ("a",))]
    assert log.compact(store) == log.Compacted(0, 0, 0)


def test_the_rows_of_a_part_are_found_wherever_they_lie(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    logged(store, rows, schema, "a", "b")
    before = log.parts(store)
    log.compact(store)
    for start, part in zip((0, 2), before, strict=True):
        found = log.rows(store, part)
        assert found["__key__"].to_list() == rows["customer"][start : start + 2].to_list()
        assert "__run__" not in found.columns
    (together,) = log.parts(store)
    assert log.rows(store, together, ["tenure", "absent"]).columns == ["tenure"]
    assert log.rows(store, together).height == 4
    assert log.read(store, columns=["__run__", "__key__"])["__run__"].to_list() == ["a", "a", "b", "b"]
    log.expire(store, date(2027, 1, 1))
    with pytest.raises(NotInStore, match="no longer in the log"):
        log.rows(store, together)


def test_a_run_that_was_compacted_is_still_logged(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    logged(store, rows, schema, "a", "b")
    log.compact(store)
    name, new = log.append(store, rows[:2], schema, model="v1", as_of=DAY, run="a", source="publish")
    assert not new
    assert name == log.parts(store)[0].name
    logged(store, rows, schema, "a", "b", "c")
    assert log.compact(store).runs == 3
    assert log.read(store)["__key__"].sort().to_list() == rows["customer"][:6].to_list()


def test_a_part_that_cannot_be_read_stays_out_of_a_compaction(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    logged(store, rows, schema, "a", "b", "c")
    store.write("log/model=v1/date=2026-11-01/b.parquet", b"PAR1")
    done = log.compact(store)
    assert done.runs == 2
    assert "b.parquet is damaged" in done.damaged[0]
    _, new = log.append(store, rows[2:4], schema, model="v1", as_of=DAY, run="b", source="publish")
    assert new, "a damaged part is mended by the same run"
    assert log.read(store)["__key__"].sort().to_list() == rows["customer"][:6].to_list()


def test_what_expires_is_gone_and_the_rest_is_not(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    logged(store, rows, schema, "a", "b")
    log.compact(store)
    logged(store, rows, schema, "a", "b", "c")  # c beside the compacted object
    logged(store, rows, schema, "d", day=date(2026, 11, 2))
    gone = log.expire(store, date(2026, 11, 2))
    assert sorted(run for part in gone for run in part.runs) == ["a", "b", "c"]
    assert [entry.key for entry in store.list("log/")] == ["log/model=v1/date=2026-11-02/d.parquet"]


def test_an_index_of_another_version_is_named(rows: pl.DataFrame, schema: Schema, store: Store) -> None:
    logged(store, rows, schema, "a")
    store.write("log/model=v1/date=2026-11-01/compacted.json", b'{"format": 9}')
    with pytest.raises(StoreUnavailable, match=r"compacted\.json is of a format"):
        log.read(store)

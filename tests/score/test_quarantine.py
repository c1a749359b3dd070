"""Batches held back: with their reason or not at all, once, until somebody decides."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from churn.data import incoming
from churn.data.schema import Schema
from churn.errors import DataError, NotInStore, StoreDamaged
from churn.model.store import Store
from churn.score import quarantine


@pytest.fixture
def raw(schema: Schema, make_table: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    return make_table(schema, 20).with_columns(tenure=pl.lit("many"))


@pytest.fixture
def report(raw: pl.DataFrame, schema: Schema, make_table: Callable[..., pl.DataFrame]) -> incoming.IncomingReport:
    return incoming.inspect(raw, schema, make_table(schema, 100).select(schema.names))


def test_a_batch_is_held_with_its_reason(raw: pl.DataFrame, report: incoming.IncomingReport, store: Store) -> None:
    held = quarantine.hold(store, raw, report, source="base.csv")
    (found,) = quarantine.batches(store)
    assert found == held
    assert found.report == report
    assert report.status == "bad"
    assert quarantine.table(store, found).equals(raw)
    assert quarantine.hold(store, raw, report) == held
    assert not quarantine.is_released(store, report.batch)


def _small(raw: pl.DataFrame) -> incoming.IncomingReport:
    """A report on a batch that is held back for its size only."""
    check = incoming.Check("rows", None, "bad", "20 customers; the desk showed 100.", 0.2, 0.7)
    return incoming.IncomingReport(incoming.batch_id(raw), raw.height, None, (check,))


def test_what_cannot_be_scored_is_not_released(raw: pl.DataFrame, report: incoming.IncomingReport, store: Store) -> None:
    held = quarantine.hold(store, raw, report)
    with pytest.raises(DataError, match=r"cannot be scored, so it is not released\. Column 'tenure' must be a number"):
        quarantine.release(store, held, who="ana", reason="a migration")
    assert not quarantine.is_released(store, report.batch)


def test_a_release_is_decided_once_and_kept(raw: pl.DataFrame, store: Store) -> None:
    report = _small(raw)
    held = quarantine.hold(store, raw, report)
    with pytest.raises(DataError, match="--reason"):
        quarantine.release(store, held, who="ana", reason=" ")
    first = quarantine.release(store, held, who="ana", reason="a migration")
    again = quarantine.release(store, held, who="ben", reason="other")
    assert (again.who, again.reason, again.released) == ("ana", "a migration", first.released)
    assert quarantine.is_released(store, report.batch)


def test_a_batch_is_dropped_whole(raw: pl.DataFrame, store: Store) -> None:
    report = _small(raw)
    held = quarantine.release(store, quarantine.hold(store, raw, report), who="ana", reason="x")
    quarantine.drop(store, held)
    assert store.list(quarantine.PREFIX) == []
    assert not quarantine.is_released(store, report.batch)


def test_a_batch_whose_report_is_not_written_is_not_there(
    raw: pl.DataFrame, report: incoming.IncomingReport, store: Store
) -> None:
    held = quarantine.hold(store, raw, report)
    store.delete(f"{quarantine.PREFIX}{held.id}/{quarantine.REPORT}")
    assert quarantine.batches(store) == ()
    assert quarantine.hold(store, raw, report).report == report


def test_a_batch_is_found_by_the_beginning_of_its_name(raw: pl.DataFrame, report: incoming.IncomingReport, store: Store) -> None:
    held = quarantine.hold(store, raw, report)
    assert quarantine.find(store, held.id[:14]) == held
    with pytest.raises(NotInStore, match="no batch 'x'"):
        quarantine.find(store, "x")


def test_a_damaged_report_is_named(raw: pl.DataFrame, report: incoming.IncomingReport, store: Store) -> None:
    held = quarantine.hold(store, raw, report)
    store.write(f"{quarantine.PREFIX}{held.id}/{quarantine.REPORT}", b"{")
    with pytest.raises(StoreDamaged, match=held.id):
        quarantine.batches(store)

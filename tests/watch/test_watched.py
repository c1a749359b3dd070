"""What is seen of a model in a store: its windows, those of the models before it, for everybody and for one group."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from churn.model.bundle import Bundle
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.score import log, sketch
from churn.score.batch import score
from churn.settings import Settings
from churn.watch.watched import Watched, usual_window, watched
from tests.pages.page_bases import customers, publish_model

FIRST = date(2026, 6, 30)


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Watched]:
    settings = Settings.load(home=tmp_path, environ={})

    def ask(bundle: Bundle, **more: Any) -> Watched:
        store = open_store(settings)
        return watched(store, Registry(store, settings), bundle, **more)

    return ask


def logged(home: Path, bundle: Bundle, months: range, change: pl.Expr | None = None) -> None:
    store = open_store(Settings.load(home=home, environ={}))
    for month in months:
        table = customers(700, seed=month)
        rows = score(table if change is None else table.with_columns(change), bundle.model).rows
        day = FIRST + timedelta(days=30 * month)
        log.append(store, rows, bundle.schema, model=bundle.version, as_of=day, run=f"run{month}", source="publish")


def test_windows_come_from_the_log_and_models_before_are_apart(tmp_path: Path, look: Callable[..., Watched]) -> None:
    first, second = publish_model(tmp_path), publish_model(tmp_path)
    logged(tmp_path, first, range(4))
    logged(tmp_path, second, range(3, 6), pl.col("monthly_fee") + 20)
    found = look(second, before=["v1"])
    assert found.every == "month"
    assert [window.model for window in found.windows] == ["v2"] * 3
    assert [window.start.month for window in found.earlier] == [6, 7, 8]
    assert {window.model for window in found.earlier} == {"v1"}
    assert "monthly_fee" in {one.column for one in found.windows[-1].moved}
    assert not found.earlier[0].moved
    assert found.windows[-1].of("monthly_fee").importance > 0


def test_one_group_is_read_from_the_log_against_its_own_reference(tmp_path: Path, look: Callable[..., Watched]) -> None:
    bundle = publish_model(tmp_path, customers(3_000, seed=9))
    only = pl.when(pl.col("internet") == "DSL").then(pl.col("monthly_fee") * 1.5).otherwise(pl.col("monthly_fee"))
    logged(tmp_path, bundle, range(3), only)
    dsl = look(bundle, keep=pl.col("internet") == "DSL").windows[-1]
    fibre = look(bundle, keep=pl.col("internet") == "Fibre").windows[-1]
    table = customers(700, seed=2)
    assert dsl.rows == table.filter(pl.col("internet") == "DSL").height
    assert dsl.of("monthly_fee").status == "moved"
    assert fibre.of("monthly_fee").status == "quiet"
    assert dsl.of("internet").distance == 0  # everybody there is in one group, now and then
    assert dsl.reference_risk == pytest.approx(
        bundle.model.score(bundle.reference.filter(pl.col("internet") == "DSL")).risk.mean(), abs=1e-9
    )


def test_nothing_logged_and_another_model_s_log(tmp_path: Path, look: Callable[..., Watched]) -> None:
    bundle = publish_model(tmp_path)
    found = look(bundle)
    assert (found.windows, found.earlier, found.logged) == ((), (), False)
    logged(tmp_path, bundle, range(1))
    other = look(publish_model(tmp_path))
    assert (other.windows, other.logged) == ((), True)
    assert look(bundle, against="before").windows == ()


def test_a_reference_of_a_few_rows_says_nothing(tmp_path: Path, look: Callable[..., Watched]) -> None:
    bundle = publish_model(tmp_path, customers(60, seed=9))
    logged(tmp_path, bundle, range(2), pl.col("monthly_fee") * 3)
    assert all(window.small for window in look(bundle).windows)


def test_sketches_that_are_missing_are_built(tmp_path: Path, look: Callable[..., Watched]) -> None:
    bundle = publish_model(tmp_path)
    logged(tmp_path, bundle, range(2))
    store = open_store(Settings.load(home=tmp_path, environ={}))
    assert not store.list(sketch.PREFIX)
    look(bundle)
    assert len(store.list(sketch.PREFIX)) == 2


def test_windows_are_as_long_as_scorings_are_apart() -> None:
    def every(apart: int, count: int) -> list[date]:
        return [FIRST + timedelta(days=apart * i) for i in range(count)]

    assert usual_window(every(30, 4)) == "month"
    assert usual_window(every(7, 4)) == "week"
    assert usual_window(every(1, 30)) == "week"
    assert usual_window(every(1, 5)) == "day"
    assert usual_window([]) == "day"

"""Sketches: counts on the reference's grid that add up, whatever a table holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as some

from churn.base.snapshot import RISK
from churn.data.schema import Schema
from churn.errors import DataError, StoreDamaged
from churn.model.bundle import Bundle
from churn.model.registry import Registry
from churn.model.scoring import ScoringModel
from churn.model.store import Store
from churn.score import log
from churn.score import sketch as sketches
from churn.score.batch import score
from churn.score.sketch import Grid, Sketch, sketch

DAY = date(2026, 11, 1)
MakeTable = Callable[..., pl.DataFrame]
PublishModel = Callable[[Schema], Bundle]


@pytest.fixture
def bundle(schema: Schema, make_model: Callable[[Schema], ScoringModel], make_table: MakeTable) -> Bundle:
    reference = make_table(schema, 400, seed=8).select(schema.names)
    return Bundle("v1", make_model(schema), {}, [], "#", reference, {}, {})


@pytest.fixture
def grid(bundle: Bundle) -> Grid:
    return Grid.of(bundle)


@pytest.fixture
def rows(bundle: Bundle, schema: Schema, make_table: MakeTable) -> pl.DataFrame:
    """As the log has them."""
    scored = score(make_table(schema, 500, seed=3), bundle.model).rows
    return scored.select(pl.col("customer").alias(log.KEY), RISK, *schema.names)


def cells(found: Sketch, grid: Grid, name: str) -> np.ndarray:
    return found.counts[grid.places[name]]


def column(grid: Grid, name: str) -> sketches.Column:
    return next(one for one in grid.columns if one.name == name)


def test_every_row_is_in_one_cell_of_each_column(grid: Grid, rows: pl.DataFrame) -> None:
    found = sketch(rows, grid)
    assert found.rows == 500
    assert all(cells(found, grid, one.name).sum() == 500 for one in grid.columns)
    edges = column(grid, "charge").edges
    charge = rows["charge"].to_numpy()
    assert cells(found, grid, "charge")[:-2].cumsum()[: len(edges)].tolist() == [(charge <= edge).sum() for edge in edges]
    told = dict(zip(column(grid, "contract").levels, cells(found, grid, "contract").tolist(), strict=False))
    assert told == dict(rows["contract"].value_counts().iter_rows())
    assert found.average_risk == pytest.approx(rows[RISK].mean(), abs=1e-9)


def test_a_number_with_few_values_has_a_step_for_each(grid: Grid, bundle: Bundle) -> None:
    assert column(grid, "tenure").edges[1:].tolist() == bundle.reference["tenure"].unique().sort().to_list()


def test_the_reference_lies_within_its_own_grid(grid: Grid) -> None:
    for one in grid.columns:
        if one.kind != "category":
            assert one.reference[0] == 0
            assert one.reference[-3] == 0


@pytest.mark.parametrize("outlier", [1e7, -1e7, float("inf")])
def test_an_outlier_moves_one_row_of_one_cell(grid: Grid, rows: pl.DataFrame, outlier: float) -> None:
    wild = rows.with_columns(charge=pl.when(pl.int_range(pl.len()) == 7).then(outlier).otherwise(pl.col("charge")))
    moved = np.abs(cells(sketch(wild, grid), grid, "charge") - cells(sketch(rows, grid), grid, "charge"))
    assert moved.sum() == 2


@pytest.mark.parametrize("outlier", [1e7, -1e7])
def test_an_outlier_of_the_reference_moves_no_share_by_more_than_a_row(
    bundle: Bundle, rows: pl.DataFrame, outlier: float
) -> None:
    reference = bundle.reference.with_columns(
        charge=pl.when(pl.int_range(pl.len()) == 7).then(outlier).otherwise(pl.col("charge"))
    )
    wild = Grid.of(replace(bundle, reference=reference))
    usual = Grid.of(bundle)
    charge = np.sort(rows["charge"].to_numpy())

    def share(grid: Grid, at: float) -> float:
        """Of the reference, at or below a value that is an edge."""
        one = column(grid, "charge")
        return float(one.reference[:-2].cumsum()[np.searchsorted(one.edges, at, side="left")] / one.reference.sum())

    shared = set(column(wild, "charge").edges) & set(column(usual, "charge").edges)
    assert len(shared) > 10
    assert max(abs(share(wild, at) - share(usual, at)) for at in shared) <= 1 / bundle.reference.height + 1e-12
    assert charge.size == cells(sketch(rows, wild), wild, "charge").sum()


def test_what_is_missing_and_what_is_new_is_counted_apart(grid: Grid, rows: pl.DataFrame) -> None:
    odd = rows.with_columns(
        tenure=pl.lit(None, dtype=pl.Float64),
        charge=pl.when(pl.int_range(pl.len()) < 5).then(float("nan")).otherwise(pl.col("charge")),
        contract=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("Two years")).otherwise(pl.col("contract")),
    )
    found = sketch(odd, grid)
    assert cells(found, grid, "tenure").tolist()[-2:] == [500, 0]
    assert cells(found, grid, "charge")[-2] == 5
    assert cells(found, grid, "contract").tolist()[-3:] == [3, 0, 0]
    assert found.new == {"contract": {"Two years": 3}}


def test_a_strange_table_is_said_and_never_stops(grid: Grid, rows: pl.DataFrame) -> None:
    strange = rows.drop("idle").with_columns(
        tenure=pl.col("tenure").cast(pl.String), contract=pl.lit(3), more=pl.lit("x"), charge=pl.lit(None)
    )
    found = sketch(strange, grid)
    assert found.unreadable == {
        "idle": "is not there",
        "tenure": "is no number but text",
        "contract": "is no text but a number",
    }
    assert found.strange == ("more",)
    assert all(cells(found, grid, name)[-1] == 500 for name in found.unreadable)
    assert cells(found, grid, "charge")[-2] == 500


def test_no_rows_make_an_empty_sketch(grid: Grid, rows: pl.DataFrame) -> None:
    found = sketch(rows.clear(), grid)
    assert (found.rows, found.customers, found.average_risk) == (0, 0, None)
    assert (found + sketch(rows, grid)).to_bytes() == sketch(rows, grid).to_bytes()


@given(some.lists(some.integers(1, 499), min_size=1, max_size=4, unique=True), some.randoms())
def test_parts_add_up_to_the_whole_in_any_order(cuts: list[int], shuffle: object) -> None:
    grid, rows = _made()
    ends = [0, *sorted(cuts), rows.height]
    parts = [sketch(rows[a:b], grid) for a, b in pairwise(ends)]
    shuffle.shuffle(parts)  # type: ignore[attr-defined]
    total = Sketch.empty(grid)
    for part in parts:
        total = total + part
    assert total.to_bytes() == sketch(rows, grid).to_bytes()


def _made(size: int = 500) -> tuple[Grid, pl.DataFrame]:
    random = np.random.default_rng(5)
    reference = pl.Series("x", random.normal(size=300))
    grid = Grid("v1", (sketches._number_column("x", "number", reference), sketches._number_column(RISK, "risk", reference)), 0.2)
    keys = [f"C{i}" for i in range(size)]
    return grid, pl.DataFrame({log.KEY: keys, "x": random.normal(size=size), RISK: random.uniform(size=size)})


def test_sketches_of_two_grids_cannot_be_added(grid: Grid, rows: pl.DataFrame) -> None:
    other, others = _made()
    with pytest.raises(DataError, match="two models' grids"):
        _ = sketch(rows, grid) + sketch(others, other)


def test_customers_are_counted_once_however_often_they_are_scored() -> None:
    grid, rows = _made(4_000)
    day = sketch(rows, grid)
    assert day.customers == 4_000
    week = day
    for _ in range(6):
        week = week + day
    assert week.rows == 28_000
    assert week.customers == pytest.approx(4_000, rel=0.1)
    both = week + sketch(rows.with_columns(pl.col(log.KEY) + "-b"), grid)
    assert both.customers == pytest.approx(8_000, rel=0.1)


def test_bytes_are_the_sketch_and_damage_is_said(grid: Grid, rows: pl.DataFrame) -> None:
    found = sketch(rows, grid)
    data = found.to_bytes()
    assert data == sketch(rows, grid).to_bytes()
    again = Sketch.from_bytes(data)
    assert again.to_bytes() == data
    assert (again.counts == found.counts).all()
    for broken in (data[:200], b"", b"not a sketch"):
        with pytest.raises(StoreDamaged, match="cannot be read"):
            Sketch.from_bytes(broken)


def test_the_store_has_one_for_each_part_and_a_rebuilt_one_is_the_same(
    schema: Schema, publish_model: PublishModel, registry: Registry, store: Store, make_table: MakeTable
) -> None:
    bundle = publish_model(schema)
    for day, run, seed in ((1, "a", 1), (1, "b", 2), (2, "c", 3)):
        rows = score(make_table(schema, 90, seed=seed), bundle.model).rows
        log.append(store, rows, schema, model=bundle.version, as_of=date(2026, 11, day), run=run, source="api")
    assert sketches.ensure(store, registry) == 3
    assert sketches.ensure(store, registry) == 0
    found = sketches.read(store)
    assert [(one.model, one.day.day, one.sketch.rows) for one in found] == [("v1", 1, 180), ("v1", 2, 90)]
    assert len(sketches.on_grid(found, Grid.of(bundle))) == 2
    name = sketches.of_run("v1", DAY, "a")
    before = store.read(name).data
    store.delete(name)
    assert sketches.ensure(store, registry) == 1
    assert store.read(name).data == before
    assert sketches.read(store, since=date(2026, 11, 2))[0].day.day == 2


def test_a_damaged_part_or_a_lost_model_stops_nobody(
    schema: Schema, publish_model: PublishModel, registry: Registry, store: Store, make_table: MakeTable
) -> None:
    bundle = publish_model(schema)
    rows = score(make_table(schema, 30), bundle.model).rows
    for model, run in ((bundle.version, "good"), (bundle.version, "bad"), ("v99", "lost")):
        log.append(store, rows, schema, model=model, as_of=DAY, run=run, source="api")
    store.write(f"log/model={bundle.version}/date={DAY}/bad.parquet", b"PAR1 cut short")
    assert sketches.ensure(store, registry) == 1
    store.write(sketches.of_run(bundle.version, DAY, "bad"), b"cut short too")
    assert [one.sketch.rows for one in sketches.read(store)] == [30]


def test_a_run_that_was_taken_back_does_not_count_and_an_expired_day_does(
    schema: Schema, publish_model: PublishModel, registry: Registry, store: Store, make_table: MakeTable
) -> None:
    bundle = publish_model(schema)
    for day, run in ((1, "a"), (1, "b"), (2, "c")):
        rows = score(make_table(schema, 30), bundle.model).rows
        log.append(store, rows, schema, model=bundle.version, as_of=date(2026, 11, day), run=run, source="api")
    sketches.ensure(store, registry)
    store.delete(f"log/model=v1/date={DAY}/b.parquet")
    store.delete("log/model=v1/date=2026-11-02/c.parquet")
    assert [(one.day.day, one.sketch.rows) for one in sketches.read(store)] == [(1, 30), (2, 30)]


@given(
    some.lists(some.floats(-1e6, 1e6), min_size=1, max_size=60),
    some.sampled_from([1.0, 1e-7, 1e7]),
    some.booleans(),
)
def test_places_are_those_of_a_plain_look_up(edges: list[float], scale: float, ties: bool) -> None:
    rising = np.unique(np.array(edges) * scale)
    random = np.random.default_rng(len(edges))
    values = random.choice(rising, 5_000) if ties else random.normal(scale=np.abs(rising).max() + 1e-9, size=5_000)
    values[:4] = [-np.inf, np.inf, rising[0], rising[-1]]
    assert (sketches._places(values, rising) == np.searchsorted(rising, values)).all()

"""What the snapshot answers is what polars computes from the same rows, whatever the columns are called."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn.base import value
from churn.base.groups import BAND, Filter
from churn.base.snapshot import LEFT, RISK, ROWS, OutOfFold, Snapshot, points_column, reason_column
from churn.data.holdout import CUSTOMER, key_hash
from churn.data.schema import Schema
from churn.errors import BundleRejected, DataError, StoreUnavailable
from churn.model import manifest
from churn.settings import Settings

COVARIANCE = [[4e-3, 1e-3], [1e-3, 2e-3]]
MakeSchema = Callable[..., Schema]
MakeRows = Callable[..., pl.DataFrame]
Open = Callable[..., Snapshot]

EVIL = (
    "select",
    "a b",
    'quo"te',
    "quo'te",
    "-- ;drop table base",
    "Ünïcödé 名",
    "A",
    "a",
    "p",
    "k",
    "g0",
    "",
    "$1",
    "?",
    "rowid",
)


def _random(make_rows: MakeRows, schema: Schema, size: int, seed: int = 1) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    contract = generator.choice(np.array(["M", "1", "2", "3 (new)", None], dtype=object), size, p=[0.5, 0.2, 0.15, 0.05, 0.1])
    charge = pl.Series(np.round(generator.uniform(15, 130, size), 2)).set(pl.Series(generator.random(size) < 0.1), None)
    left = pl.Series(generator.integers(0, 2, size)).set(pl.Series(generator.random(size) < 0.5), None)
    tenure = pl.Series(generator.integers(0, 80, size).astype(float)).set(pl.Series(generator.random(size) < 0.05), None)
    risk = np.round(1 / (1 + np.exp(-generator.normal(-1, 2, size))), 3)
    return make_rows(schema, risk, contract=contract.tolist(), charge=charge, tenure=tenure, left=left)


def _check(snapshot: Snapshot, table: pl.DataFrame, filter: Filter, covariance: Any = COVARIANCE) -> None:
    """Totals, bands, histogram and segments of a filter, against the same from polars."""
    kept = table
    for column, labels in filter.parts:
        names = [band.name for band in snapshot.schema.bands]
        if column == BAND:
            kept = kept.filter(pl.col(BAND).is_in([names.index(label) for label in labels]))
        else:
            kept = kept.filter(pl.any_horizontal([snapshot.group(column, label).expression(column) for label in labels]))
    money = None if snapshot.schema.money is None else kept[snapshot.schema.money.column].to_numpy()
    wanted = value.sums(kept[RISK].to_numpy(), money)
    close = {"rel": 1e-9, "abs": 1e-9}
    totals = snapshot.totals(filter)
    assert totals.customers == kept.height
    assert totals.expected_leavers == pytest.approx(wanted.p, **close)
    assert totals.average_risk == (pytest.approx(kept[RISK].mean(), **close) if kept.height else None)
    assert totals.outcomes_known == kept[LEFT].count()
    assert totals.left == kept[LEFT].sum()
    leavers, revenue = value.leavers_interval(wanted, covariance), value.revenue_interval(wanted, covariance)
    for got, interval in ((totals.leavers_interval, leavers), (totals.interval, revenue)):
        assert (got is None) == (interval is None)
        if got and interval:
            assert (got.low, got.high) == pytest.approx((interval.low, interval.high), rel=1e-7, abs=1e-7)
    if money is not None:
        assert totals.revenue_at_risk == pytest.approx(wanted.pv, **close)
        assert totals.revenue == pytest.approx(wanted.money, **close)
        assert totals.without_money == np.isnan(money).sum()
    bands = dict(kept.group_by(BAND).agg(pl.len()).iter_rows())
    assert [band.customers for band in totals.by_band] == [bands.get(code, 0) for code in range(len(snapshot.schema.bands))]
    bars = snapshot.histogram(filter)
    assert len(bars) == 20
    assert sum(bar.customers for bar in bars) == kept.height
    for bar in bars:
        inside = kept.filter((pl.col(RISK) >= bar.low) & ((pl.col(RISK) < bar.high) | (bar.high == 1.0)))
        assert bar.customers == inside.height
    for by in (("contract",), ("contract", "tenure"), (BAND, "contract")):
        found = snapshot.segments(filter, by)
        assert sum(one.customers for one in found) == kept.height
        assert sum(one.share for one in found) == pytest.approx(1 if kept.height else 0)
        assert sum(one.expected_leavers for one in found) == pytest.approx(wanted.p, **close)
        assert sum(one.left for one in found) == totals.left
        for one in found[:3]:
            again = snapshot.totals(one.filter)
            assert (again.customers, again.left) == (one.customers, one.left)
            assert again.revenue_at_risk == (None if money is None else pytest.approx(one.revenue_at_risk, **close))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), size=st.integers(1, 60), seed=st.integers(0, 10**6), with_money=st.booleans())
def test_every_figure_reconciles_with_polars(
    data: st.DataObject, size: int, seed: int, with_money: bool, make_schema: MakeSchema, make_rows: MakeRows, open_base: Open
) -> None:
    schema = make_schema(**({} if with_money else {"money": None}))
    table = _random(make_rows, schema, size, seed)
    snapshot = open_base(table, schema)
    chosen = {}
    for column in ("contract", "tenure", "charge", BAND):
        chosen[column] = data.draw(st.lists(st.sampled_from(snapshot.groups(column)), max_size=2))
    for filter in (Filter(), Filter.of(chosen)):
        _check(snapshot, table, filter)


def test_a_larger_base(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    schema = make_schema()
    table = _random(make_rows, schema, 20_000)
    snapshot = open_base(table, schema)
    _check(snapshot, table, Filter())
    _check(snapshot, table, Filter.of({"contract": ["Month-to-month", "Other"], "tenure": ["Not known", "0–12 months"]}))
    assert snapshot.groups("contract") == ("Month-to-month", "1", "Two years", "Other", "Not known")
    assert snapshot.customers == 20_000
    assert (snapshot.model, snapshot.as_of, snapshot.simulated) == ("v1", date(2026, 11, 1), False)


@pytest.mark.parametrize("name", EVIL)
def test_no_column_name_meets_sql(name: str, make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    features = [
        {"name": name, "kind": "category", "label": name or "Empty", "levels": [{"value": "it's"}, {"value": 'a "b"'}]},
        {"name": "B", "kind": "number", "label": "B"},
        {"name": "b", "kind": "number", "label": "b", "unit": "money"},
    ]
    schema = make_schema(key="KEY", features=features, money={"column": "b"}, segments=[name])
    table = make_rows(schema, [0.1, 0.2, 0.9], **{name: ["it's", 'a "b"', None], "b": [1.0, None, 3.0], "B": [1.0, 2.0, 3.0]})
    snapshot = open_base(table, schema)
    assert snapshot.groups(name) == ("it's", 'a "b"', "Not known")
    assert snapshot.totals(Filter.of({name: ["it's"]})).customers == 1
    assert snapshot.totals(Filter.of({name: ["it's", "Not known"]})).revenue_at_risk == pytest.approx(0.1 + 2.7)
    found = snapshot.customer("C00001")
    assert found is not None
    assert dict(found.row) == {"KEY": "C00001", name: 'a "b"', "B": 2.0, "b": None}
    assert [one.labels for one in snapshot.segments(by=(name,))] == [("Not known",), ("it's",), ('a "b"',)]


KEYS = ("007", "7", "1e3", "O'Brien", 'say "hi"', "x;--", "50%", "a_b", "Ünï-1", "ABC-12", "abc-123", " lead", "=1+1", "\\")


def test_keys_are_found_as_they_are_written(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    schema = make_schema()
    snapshot = open_base(make_rows(schema, np.linspace(0.1, 0.9, len(KEYS)), customer=list(KEYS)), schema)
    for key in KEYS:
        found = snapshot.customer(key)
        assert found is not None
        assert found.key == key
        assert found.row["customer"] == key
        assert key in snapshot.search(key.strip())
    assert snapshot.customer("abc-12") is None
    assert snapshot.customer("1000") is None
    assert snapshot.customer("") is None
    assert snapshot.search("abc-1") == ("ABC-12", "abc-123")
    assert snapshot.search("ÜNÏ") == ("Ünï-1",)
    assert snapshot.search("7") == ("7", "007")
    assert snapshot.search("%") == ("50%",)
    assert snapshot.search("_") == ("a_b",)
    assert snapshot.search("' OR 1=1 --") == ()
    assert snapshot.search("  ") == ()
    assert len(snapshot.search("1", limit=2)) == 2
    assert snapshot.search("1", limit=0) == ()


def test_a_customer_whole(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    schema = make_schema(snapshot={"column": "day"}, money={"column": "paid"})
    table = make_rows(schema, [0.25, 0.5], contract=["M", None], tenure=[3.0, None], paid=[80.0, None], left=[0, None])
    snapshot = open_base(table, schema)
    found = snapshot.customer("C00000")
    assert found is not None
    assert (found.risk, found.band, found.money, found.revenue_at_risk) == (0.25, "Medium", 80.0, 20.0)
    assert (found.as_of, found.left) == (date(2026, 11, 1), False)
    assert [(reason.feature, reason.points) for reason in found.reasons] == [("charge", 0.25)]
    assert dict(found.row) == {
        "customer": "C00000",
        "day": date(2026, 11, 1),
        "tenure": 3.0,
        "charge": 1.0,
        "contract": "M",
        "paid": 80.0,
    }
    other = snapshot.customer("C00001")
    assert other is not None
    assert (other.money, other.revenue_at_risk, other.left, other.row["tenure"], other.row["contract"]) == (None,) * 5
    with pytest.raises(TypeError):
        found.row["tenure"] = 4.0  # type: ignore[index]


def test_the_top_is_in_order_and_pages(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    schema = make_schema()
    table = _random(make_rows, schema, 900)
    snapshot = open_base(table, schema)
    by_risk = table.sort(RISK, "customer", descending=[True, False])
    got = [one for start in range(0, 900, 200) for one in snapshot.top_customers(limit=200, order="risk", offset=start)]
    assert [one.risk for one in got] == by_risk[RISK].to_list()
    assert {one.key for one in got} == set(table["customer"])
    at_risk = (table[RISK] * table["charge"]).sort(descending=True, nulls_last=True).to_list()
    tops = snapshot.top_customers(limit=500)
    assert [one.revenue_at_risk for one in tops] == pytest.approx(at_risk[:500])
    assert snapshot.top_customers(limit=500, offset=800)[-1].money is None
    assert len(snapshot.top_customers(limit=10_000)) == 500
    filter = Filter.of({BAND: ["Low"], "contract": ["Two years"]})
    kept = table.filter((pl.col(RISK) < 0.15) & (pl.col("contract") == "2"))
    top = snapshot.top_customers(filter, 5, "risk")
    assert [one.risk for one in top] == kept[RISK].sort(descending=True).head(5).to_list()
    assert all(one.band == "Low" for one in top)


def test_without_money_everything_is_about_leavers(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    snapshot = open_base(make_rows(make_schema(money=None), [0.2, 0.8], contract=["M", "2"]), make_schema(money=None))
    totals = snapshot.totals()
    assert (totals.revenue_at_risk, totals.revenue, totals.interval, totals.without_money) == (None, None, None, 0)
    assert totals.leavers_interval is not None
    assert all(band.revenue_at_risk is None for band in totals.by_band)
    assert [one.key for one in snapshot.top_customers()] == ["C00001", "C00000"]
    assert snapshot.top_customers()[0].revenue_at_risk is None
    assert [one.labels for one in snapshot.segments(by=("contract",))] == [("Two years",), ("Month-to-month",)]
    assert snapshot.histogram()[4].revenue_at_risk is None


def test_nobody_matches(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    snapshot = open_base(make_rows(make_schema(), [0.2, 0.8], contract=["M", "2"], tenure=[1.0, 60.0]), make_schema())
    filter = Filter.of({"contract": ["Month-to-month"], BAND: ["Very high"]})
    totals = snapshot.totals(filter)
    assert (totals.customers, totals.expected_leavers, totals.average_risk, totals.revenue_at_risk) == (0, 0, None, 0)
    assert [band.customers for band in totals.by_band] == [0, 0, 0, 0]
    assert snapshot.top_customers(filter) == ()
    assert snapshot.segments(filter, ("tenure",)) == ()
    assert sum(bar.customers for bar in snapshot.histogram(filter)) == 0
    assert snapshot.totals(Filter.of({"contract": ["1"]})).customers == 0  # a level nobody has can still be asked for


def test_one_row_and_columns_of_nothing(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    schema = make_schema()
    table = make_rows(schema, [1.0], contract=[None], tenure=[None], charge=[None], left=[None])
    snapshot = open_base(table, schema)
    _check(snapshot, table, Filter())
    assert snapshot.groups("tenure") == ("Not known",)
    assert snapshot.groups("contract") == ("Not known",)
    totals = snapshot.totals()
    assert (totals.revenue_at_risk, totals.without_money, totals.interval) == (0, 1, None)
    assert snapshot.histogram()[-1].customers == 1
    found = snapshot.customer("C00000")
    assert found is not None
    assert found.band == "Very high"
    assert snapshot.top_customers()[0].key == "C00000"


def test_histogram_steps(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    edges = [round(i * 0.05, 2) for i in range(21)]
    snapshot = open_base(make_rows(make_schema(), edges), make_schema())
    bars = snapshot.histogram()
    assert [bar.customers for bar in bars] == [1] * 19 + [2]  # an edge belongs to the bar it starts
    assert [bar.band for bar in bars[2:4]] == ["Low", "Medium"]
    assert len(snapshot.histogram(step=0.3)) == 4
    assert snapshot.histogram(step=0.3)[-1].high == 1
    with pytest.raises(DataError, match="step of a histogram"):
        snapshot.histogram(step=0)


def test_small_groups_and_intervals_need_their_grounds(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    snapshot = open_base(make_rows(make_schema(), [0.5] * 5, contract=["M"] * 4 + ["2"]), make_schema(), None, small_group=2)
    assert [one.small for one in snapshot.segments(by=("contract",))] == [False, True]
    assert snapshot.totals().interval is None
    assert snapshot.totals().leavers_interval is None


def test_what_cannot_be_asked_says_so(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    snapshot = open_base(make_rows(make_schema(), [0.5]), make_schema())
    with pytest.raises(DataError, match="no group 'Weekly'"):
        snapshot.totals(Filter.of({"contract": ["Weekly"]}))
    with pytest.raises(DataError, match="'customer' cannot be filtered"):
        snapshot.totals(Filter.of({"customer": ["C00000"]}))
    with pytest.raises(DataError, match="one to three"):
        snapshot.segments(by=())
    with pytest.raises(DataError, match="one to three"):
        snapshot.segments(by=("contract", "contract"))


def test_many_threads_ask_at_once(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    schema = make_schema()
    snapshot = open_base(_random(make_rows, schema, 3000), schema)
    filters = [Filter.of({"contract": [label]}) for label in snapshot.groups("contract")]
    wanted = [snapshot.totals(filter) for filter in filters]
    got: dict[int, list[Any]] = {}

    def ask(number: int) -> None:
        got[number] = [snapshot.totals(filters[(number + i) % len(filters)]) for i in range(20)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        assert got[number] == [wanted[(number + i) % len(filters)] for i in range(20)]


# -- the file in the cache -----------------------------------------------------


def _reopen(snapshot: Snapshot, tmp_path: Path) -> Snapshot:
    return Snapshot.open(tmp_path / "scoring-0", snapshot.schema, Settings(home=tmp_path))


def test_the_second_opening_takes_the_cached_base(
    make_schema: MakeSchema, make_rows: MakeRows, open_base: Open, tmp_path: Path
) -> None:
    snapshot = open_base(make_rows(make_schema(), [0.5, 0.6]), make_schema())
    (cached,) = Settings(home=tmp_path).path("cache").glob("base/*")
    made = cached.stat().st_ino
    with _reopen(snapshot, tmp_path) as again:
        assert again.totals() == snapshot.totals()
    assert cached.stat().st_ino == made


@pytest.mark.parametrize("damage", [b"", b"not a database", None])
def test_a_damaged_cache_is_made_anew(
    damage: bytes | None, make_schema: MakeSchema, make_rows: MakeRows, open_base: Open, tmp_path: Path
) -> None:
    snapshot = open_base(make_rows(make_schema(), [0.5, 0.6]), make_schema())
    totals = snapshot.totals()
    snapshot.close()
    (cached,) = Settings(home=tmp_path).path("cache").glob("base/*")
    cached.write_bytes(cached.read_bytes()[:8192] if damage is None else damage)
    with _reopen(snapshot, tmp_path) as again:
        assert again.totals() == totals


def test_only_the_last_few_stay_in_the_cache(
    make_schema: MakeSchema, make_rows: MakeRows, open_base: Open, tmp_path: Path
) -> None:
    first = open_base(make_rows(make_schema(), [0.5]), make_schema())
    for size in range(2, 8):
        open_base(make_rows(make_schema(), [0.5] * size), make_schema())
    assert len(list(Settings(home=tmp_path).path("cache").glob("base/*"))) == 4
    assert first.totals().customers == 1  # still open, though its file is gone


def test_another_schema_is_refused(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open, tmp_path: Path) -> None:
    open_base(make_rows(make_schema(), [0.5]), make_schema())
    with pytest.raises(BundleRejected, match="another schema"):
        Snapshot.open(tmp_path / "scoring-0", make_schema(currency="€"), Settings(home=tmp_path))


def test_no_scoring_is_refused(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open, tmp_path: Path) -> None:
    snapshot = open_base(make_rows(make_schema(), [0.5]), make_schema())
    folder = tmp_path / "scoring-0"
    with pytest.raises(StoreUnavailable):
        Snapshot.open(tmp_path / "nowhere", snapshot.schema, Settings(home=tmp_path))
    pl.DataFrame({"customer": ["C00000"]}).write_parquet(folder / ROWS)
    with pytest.raises(BundleRejected, match="lacks column 'tenure'"):
        _reopen(snapshot, tmp_path)
    (folder / ROWS).write_bytes(b"no parquet")
    with pytest.raises(BundleRejected, match="cannot be read"):
        _reopen(snapshot, tmp_path)
    (folder / manifest.NAME).write_text(json.dumps({"format": 1}))
    with pytest.raises(BundleRejected):
        _reopen(snapshot, tmp_path)


def test_a_cache_that_cannot_be_written(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open, tmp_path: Path) -> None:
    snapshot = open_base(make_rows(make_schema(), [0.5]), make_schema())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        Snapshot.open(tmp_path / "scoring-0", snapshot.schema, Settings(home=tmp_path, cache="file/cache"))


# -- what cohorts ask ------------------------------------------------------------


def test_leading_reason_passes_over_the_groups_own_column(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    schema = make_schema()
    table = _random(make_rows, schema, 3000)
    draw = np.random.default_rng(4)
    index = draw.integers(0, 3, table.height).astype(np.int16)
    missing = pl.Series(draw.random(table.height) < 0.1)
    for rank in (1, 2):  # no customer has the same column twice
        table = table.with_columns(
            pl.Series(reason_column(rank), (index + rank) % 3).set(missing, None),
            pl.Series(points_column(rank), draw.normal(0, 0.1, table.height).astype(np.float32)),
        )
    base = open_base(table, schema)
    found = base.leads(base.segments(by=("contract",)))
    own = schema.names.index("contract")
    first, second = (pl.col(reason_column(rank)) for rank in (1, 2))
    kept = table.with_columns(
        r=pl.when(first.ne_missing(own) & first.is_not_null()).then(first).when(second.ne_missing(own)).then(second),
        up=pl.when(first.ne_missing(own) & first.is_not_null())
        .then(pl.col(points_column(1)) > 0)
        .otherwise(pl.col(points_column(2)) > 0),
    )
    for label, levels in {"Month-to-month": ["M"], "1": ["1"], "Two years": ["2"]}.items():
        group = kept.filter(pl.col("contract").is_in(levels))
        above = group[RISK].mean() >= table[RISK].mean()  # type: ignore[operator]
        sided = group.filter(pl.col("r").is_not_null() & (pl.col("up") == above))
        counted = sided.group_by("r", "up").len().sort("len", descending=True)
        lead = found[(label,)]
        assert (schema.names.index(lead.feature), lead.raises) == counted.row(0)[:2]
        assert lead.share == pytest.approx(counted["len"][0] / group.height)


def test_moves_by_hand(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    """Who was where; and a group means the same in both scorings though their own limits differ."""
    schema = make_schema()
    keys = ["stays", "joins", "leaves", "gone", "apart"]
    was = make_rows(schema, [0.1, 0.2, 0.3, 0.4, 0.5], customer=keys, charge=[30.0, 90.0, 30.0, 30.0, 95.0])
    now = make_rows(
        schema,
        [0.7, 0.25, 0.35, 0.9, 0.5],
        customer=["stays", "joins", "leaves", "new", "apart"],
        charge=[40.0, 40.0, 99.0, 40.0, 98.0],
    )
    before, after = open_base(was, schema), open_base(now, schema)
    label = next(label for label in after.groups("charge") if after.group("charge", label).expression("charge") is not None)
    found = after.moves(before, Filter.of({"charge": [label]}))
    limit = after.group("charge", label).up_to
    assert limit is not None
    assert 40 <= limit < 90
    assert sorted((move.was, move.now, move.customers) for move in found) == [
        ("elsewhere", "in", 1),
        ("gone", "in", 1),
        ("in", "elsewhere", 1),
        ("in", "gone", 1),
        ("in", "in", 1),
    ]
    stayed = next(move for move in found if (move.was, move.now) == ("in", "in"))
    assert (stayed.band_was, stayed.band_now, stayed.risk_was, stayed.risk_now) == (0, 3, 0.1, 0.7)
    assert (stayed.money_was, stayed.money_now) == (pytest.approx(3), pytest.approx(28))
    everybody = after.moves(before)
    assert sum(move.customers for move in everybody if move.now == "in") == 5
    assert sum(move.customers for move in everybody if move.was == "in") == 5
    low = after.moves(before, Filter.of({BAND: ["Low"]}))
    assert [(move.was, move.now, move.band_now) for move in low] == [("in", "elsewhere", 3)]


def test_moves_whose_files_are_gone(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open, tmp_path: Path) -> None:
    schema = make_schema()
    before, after = (open_base(make_rows(schema, [risk, 0.4]), schema) for risk in (0.2, 0.3))
    for file in tmp_path.rglob("*.duckdb"):
        file.unlink()
    with pytest.raises(StoreUnavailable, match="no longer in the cache"):
        after.moves(before)


def test_a_sample_and_the_rest(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open) -> None:
    schema = make_schema()
    table = _random(make_rows, schema, 20_000)
    snapshot = open_base(table, schema)
    some = Filter.of({"contract": ["Month-to-month", "1"]})
    for filter, most in ((Filter(), 50_000), (Filter(), 1_000), (some, 3_000)):
        sample = snapshot.sample(filter, most)
        total = snapshot.totals(filter)
        assert sample.every == max(2, -(-total.customers // most))
        assert sample.codes.shape == (3, len(sample.risk))
        assert len(sample.risk) == pytest.approx(total.customers / sample.every, rel=0.2)
        searched, rest = snapshot.parts(filter, sample.every)
        assert searched.customers == len(sample.risk)
        assert searched.p == pytest.approx(sample.risk.sum())
        assert searched.customers + rest.customers == total.customers
        assert searched.pv + rest.pv == pytest.approx(total.revenue_at_risk)
        contracts = {snapshot.label("contract", code) for code in np.unique(sample.codes[sample.columns.index("contract")])}
        assert contracts <= set(filter.labels("contract") or snapshot.groups("contract"))


def _out_of_fold(keys: list[str], risks: list[float], salt: str) -> OutOfFold:
    buffer = io.BytesIO()
    hashes = pl.Series(CUSTOMER, [key_hash(key, salt) for key in keys], dtype=pl.UInt64)
    pl.DataFrame({CUSTOMER: hashes, RISK: risks}).write_parquet(buffer)
    return OutOfFold(salt, buffer.getvalue)


def test_what_training_foresaw(make_schema: MakeSchema, make_rows: MakeRows, open_base: Open, tmp_path: Path) -> None:
    """Only customers it learnt from count, a key that was there twice with its mean; the order of the rows stays."""
    schema = make_schema()
    keys = [f"C{i:05d}" for i in range(6)]
    table = make_rows(schema, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], contract=["M", "M", "M", "1", "1", "2"], left=[1, 0, None, 0, 1, 0])
    open_base(table, schema).close()
    seen = _out_of_fold([*keys[:4], keys[0]], [0.5, 0.4, 0.3, 0.2, 0.7], "grain")
    with Snapshot.open(tmp_path / "scoring-0", schema, Settings(home=tmp_path), seen) as snapshot:
        found = {one.labels[0]: (one.foreseen, one.outcomes_known) for one in snapshot.segments(by=("contract",))}
        assert found == {"Month-to-month": (pytest.approx(0.5), 2), "1": (pytest.approx(0.2), 2), "Two years": (None, 1)}
        assert [one.key for one in snapshot.top_customers(order="risk")] == keys
        assert snapshot.outcomes_tell
    with Snapshot.open(tmp_path / "scoring-0", schema, Settings(home=tmp_path)) as snapshot:
        assert {one.foreseen for one in snapshot.segments(by=("contract",))} == {None}


def test_gains_are_the_sum_of_what_each_offer_is_worth(open_base: Open, make_rows: MakeRows, make_schema: MakeSchema) -> None:
    schema = make_schema()
    table = _random(make_rows, schema, 800)
    base = open_base(table, schema)
    found = base.gains("p * v - 20", "contract")
    assert [one.label for one in found] == list(base.groups("contract"))
    assert sum(one.customers for one in found) == 800
    monthly = table.filter(pl.col("contract") == "M")
    worth = monthly[RISK] * monthly["charge"] - 20
    first = found[0]
    assert (first.label, first.customers) == ("Month-to-month", monthly.height)
    assert first.worthwhile == (worth > 0).sum()
    assert first.money == pytest.approx(worth.filter(worth > 0).sum())
    assert first.average_risk == pytest.approx(monthly[RISK].mean())
    assert first.average_money == pytest.approx(monthly["charge"].mean())
    alone = base.gains("p * v - 20", "contract", Filter().narrowed("contract", "Month-to-month"))
    assert alone == (first,)
    places = np.arange(0, 800, 2)
    rest = base.gains("p * v - 20", "contract", without=places)
    assert sum(one.customers for one in rest) == 400
    pool = base.pool().without(places)
    worth = pool.risk * (np.zeros(400) if pool.money is None else pool.money) - 20
    assert sum(one.worthwhile for one in rest) == (worth > 0).sum()
    assert sum(one.money for one in rest) == pytest.approx(worth[worth > 0].sum())

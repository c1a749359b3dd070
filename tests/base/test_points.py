"""What the snapshot says of points is what polars and numpy say of the same rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.base.groups import NOT_KNOWN, Filter
from churn.base.points import HUNDREDTHS, joined_bins
from churn.base.snapshot import LEFT, RISK, ROWS, SAMPLED, Snapshot
from churn.data.schema import Schema
from churn.errors import BundleRejected, DataError
from churn.model import manifest
from churn.score.batch import Scored, write_scoring
from churn.settings import Settings

MakeSchema = Callable[..., Schema]
MakeRows = Callable[..., pl.DataFrame]
TYPICAL = 0.2
SIZE = 900


@pytest.fixture
def table(make_rows: MakeRows, make_schema: MakeSchema) -> pl.DataFrame:
    """Customers whose points add up to their risks; sums of random parts, with nothing from charge."""
    generator = np.random.default_rng(3)
    contract = generator.choice(np.array(["M", "1", "2", None], dtype=object), SIZE, p=[0.5, 0.2, 0.2, 0.1])
    tenure = pl.Series(generator.integers(0, 60, SIZE).astype(float)).set(pl.Series(generator.random(SIZE) < 0.05), None)
    charge = np.round(generator.uniform(20, 120, SIZE), 2)
    left = pl.Series(generator.integers(0, 2, SIZE)).set(pl.Series(generator.random(SIZE) < 0.5), None)
    return make_rows(make_schema(), _points(SIZE).sum(axis=1) / HUNDREDTHS + TYPICAL, contract=contract.tolist(), charge=charge,
                     tenure=tenure, left=left)  # fmt: skip


def _points(size: int) -> np.ndarray:
    generator = np.random.default_rng(4)
    points = generator.integers(-900, 2500, (size, 3))
    points[:, 1] = 0
    return points


@pytest.fixture
def open_points(tmp_path: Path, make_schema: MakeSchema) -> Iterator[Callable[..., Snapshot]]:
    opened: list[Snapshot] = []

    def make(table: pl.DataFrame, sample: np.ndarray | None = None, **given: Any) -> Snapshot:
        schema = make_schema()
        points = pl.DataFrame(_points(table.height).astype(np.int16), schema=list(schema.names))
        if sample is not None:
            unknown = pl.when(pl.Series(sample | (np.arange(table.height) < 20)))
            points = points.select(unknown.then(pl.col(name)).alias(name) for name in schema.names)
            points = points.with_columns(pl.Series(SAMPLED, sample))
        sampled = None if sample is None else int(sample.sum())
        scored = Scored(table, None, TYPICAL, {}, {}, 0, 0, points=points, sampled=sampled)
        folder = tmp_path / f"scoring-{len(opened)}"
        write_scoring(folder, scored, model_version="v1", schema=schema, as_of=date(2026, 11, 1), simulated=False)
        opened.append(Snapshot.open(folder, schema, Settings(home=tmp_path, **{"small_group": 10, **given})))
        return opened[-1]

    yield make
    for snapshot in opened:
        snapshot.close()


def _with_points(table: pl.DataFrame) -> pl.DataFrame:
    return table.hstack(pl.DataFrame(_points(table.height) / HUNDREDTHS, schema=["p tenure", "p charge", "p contract"]))


def test_importance_is_the_mean_over_all_customers(table: pl.DataFrame, open_points: Callable[..., Snapshot]) -> None:
    snapshot, rows = open_points(table), _with_points(table)
    monthly = Filter.of({"contract": ["Month-to-month"]})
    for filter, kept in ((Filter(), rows), (monthly, rows.filter(pl.col("contract") == "M"))):
        (found,) = snapshot.importance(filter)
        assert (found.labels, found.customers, found.counted) == ((), kept.height, kept.height)
        assert found.average_risk == pytest.approx(kept[RISK].mean(), abs=1e-12)
        assert [one.feature for one in found.weights] == ["tenure", "charge", "contract"]
        for one in found.weights:
            assert one.size == pytest.approx(kept[f"p {one.feature}"].abs().mean(), abs=1e-12)
            assert one.signed == pytest.approx(kept[f"p {one.feature}"].mean(), abs=1e-9)
            assert (one.error, one.signed_error) == (0, 0)
        assert sum(one.signed for one in found.weights) == pytest.approx(found.average_risk - TYPICAL, abs=1e-14)
        assert (found["charge"].size, found["charge"].signed) == (0, 0)


def test_importance_by_groups_adds_up_to_the_whole(table: pl.DataFrame, open_points: Callable[..., Snapshot]) -> None:
    snapshot = open_points(table)
    (whole,) = snapshot.importance()
    for by in (("contract",), ("contract", "tenure")):
        parts = snapshot.importance(Filter(), by)
        assert [one.labels for one in parts] == sorted(
            (one.labels for one in parts),
            key=lambda labels: [snapshot.groups(c).index(x) for c, x in zip(by, labels, strict=True)],
        )
        assert sum(one.customers for one in parts) == SIZE
        for name in snapshot.schema.names:
            assert sum(one[name].size * one.customers for one in parts) == pytest.approx(whole[name].size * SIZE)
        (one,) = snapshot.importance(Filter.of(dict(zip(by, [[label] for label in parts[0].labels], strict=True))))
        assert one.weights == parts[0].weights
    with pytest.raises(DataError, match="up to three different columns"):
        snapshot.importance(Filter(), ("contract", "contract"))


def test_points_that_rounding_left_short_are_given_back(make_rows: MakeRows, make_schema: MakeSchema, open_points: Any) -> None:
    """The stored points miss the risk by up to half a hundredth; what is told adds up all the same."""
    risk = _points(300).sum(axis=1) / HUNDREDTHS + TYPICAL + 4.9e-5
    (found,) = open_points(make_rows(make_schema(), risk)).importance()
    assert sum(one.signed for one in found.weights) == pytest.approx(risk.mean() - TYPICAL, abs=1e-14)
    assert found["charge"].signed == 0
    assert found["tenure"].signed == pytest.approx(_points(300)[:, 0].mean() / HUNDREDTHS, abs=5e-5)


def test_a_sample_speaks_for_all_and_says_how_well(table: pl.DataFrame, open_points: Callable[..., Snapshot]) -> None:
    inside = np.random.default_rng(5).random(SIZE) < 0.3
    snapshot, kept = open_points(table, inside), _with_points(table).filter(pl.Series(inside))
    assert snapshot.sampled == inside.sum()
    (found,) = snapshot.importance()
    assert (found.customers, found.counted) == (SIZE, kept.height)
    assert found.average_risk == pytest.approx(kept[RISK].mean())
    sizes = kept["p tenure"].abs()
    assert found["tenure"].size == pytest.approx(sizes.mean())
    assert found["tenure"].error == pytest.approx(sizes.std() / np.sqrt(kept.height))
    assert found["tenure"].signed_error == pytest.approx(kept["p tenure"].std() / np.sqrt(kept.height))
    assert sum(one.customers for one in snapshot.importance(Filter(), ("contract",))) == SIZE
    spots = {one.label: one for one in snapshot.dependence("contract")}
    monthly = pl.col("contract") == "M"
    assert spots["Month-to-month"].customers == table.filter(monthly).height
    assert spots["Month-to-month"].counted == kept.filter(monthly).height
    assert spots["Month-to-month"].points == pytest.approx(kept.filter(monthly)["p contract"].mean())
    dots = snapshot.dots(("tenure",))
    assert dots.customers == inside.sum()
    assert sorted(dots.points[0].tolist()) == pytest.approx(sorted(kept["p tenure"].to_list()))
    # the explained who are not in the sample are found as neighbours all the same
    keys = {one.customer.key for one in snapshot.nearest(_points(SIZE)[0] / HUNDREDTHS, 500)}
    explained = set(table["customer"].filter(pl.Series(inside | (np.arange(SIZE) < 20))))
    assert table["customer"][0] in keys
    assert keys == explained


def test_dependence_of_a_category_goes_by_its_groups(table: pl.DataFrame, open_points: Callable[..., Snapshot]) -> None:
    snapshot, rows = open_points(table), _with_points(table)
    spots = snapshot.dependence("contract")
    assert [one.label for one in spots] == list(snapshot.groups("contract"))
    for spot, level in zip(spots, ["M", "1", "2", None], strict=True):
        kept = rows.filter(pl.col("contract").eq_missing(pl.lit(level)))
        assert (spot.customers, spot.counted, spot.at) == (kept.height, kept.height, None)
        assert spot.points == pytest.approx(kept["p contract"].mean())
        ends = [kept["p contract"].quantile(share, "linear") for share in (0.1, 0.9)]
        assert (spot.points_low, spot.points_high) == pytest.approx(ends, abs=1e-9)
        assert spot.average_risk == pytest.approx(kept[RISK].mean())
        assert (spot.outcomes_known, spot.left) == (kept[LEFT].count(), kept[LEFT].sum())


def test_dependence_of_a_number_goes_by_narrow_bins(table: pl.DataFrame, open_points: Callable[..., Snapshot]) -> None:
    rows = _with_points(table)
    snapshot = open_points(table, small_group=1)
    spots = snapshot.dependence("tenure")
    known = rows.drop_nulls("tenure")
    assert [one.at for one in spots] == [*sorted(known["tenure"].unique()), None]
    assert (spots[-1].label, spots[-1].customers) == (NOT_KNOWN, rows["tenure"].null_count())
    for spot in spots[:-1]:
        assert (spot.low, spot.high, spot.label) == (spot.at, spot.at, "")
        assert spot.points == pytest.approx(known.filter(pl.col("tenure") == spot.at)["p tenure"].mean())
    charged = snapshot.dependence("charge")
    assert len(charged) == 40
    assert all(a.high < b.low for a, b in itertools.pairwise(charged))
    assert sum(one.customers for one in charged) == SIZE
    wide = open_points(table, small_group=100).dependence("charge", Filter.of({"contract": ["Month-to-month"]}))
    assert min(one.customers for one in wide) >= 100
    assert sum(one.customers for one in wide) == (table["contract"] == "M").sum()
    nobody = Filter.of({"contract": ["Other"]})
    assert snapshot.dependence("charge", nobody) == snapshot.importance(nobody) == ()
    assert snapshot.dots(("charge",), nobody).points.shape == (1, 0)


@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=40), least=st.integers(1, 60))
@settings(deadline=None)
def test_joined_bins_are_large_enough_and_miss_nobody(counts: list[int], least: int) -> None:
    edges = [float(place) for place in range(len(counts))]
    kept = joined_bins(edges, counts, least)
    assert kept[-1] == edges[-1]
    assert kept == sorted(set(kept))
    starts = [0, *(int(edge) + 1 for edge in kept)]
    held = [sum(counts[start:stop]) for start, stop in itertools.pairwise(starts)]
    assert sum(held) == sum(counts)
    assert min(held) >= least or len(held) == 1


def test_dots_are_some_customers_as_they_are(table: pl.DataFrame, open_points: Callable[..., Snapshot]) -> None:
    snapshot, rows = open_points(table), _with_points(table)
    dots = snapshot.dots(("tenure", "contract"), most=150)
    assert (dots.customers, dots.points.shape, len(dots.values[0])) == (SIZE, (2, 150), 150)
    there = {
        (tenure, contract, round(a, 6), round(b, 6), round(risk, 6))
        for tenure, contract, a, b, risk in rows.select("tenure", "contract", "p tenure", "p contract", RISK).iter_rows()
    }
    for place in range(150):
        one = (dots.values[0][place], dots.values[1][place], *dots.points[:, place].round(6), dots.risk[place].round(6))
        assert one in there
    again = snapshot.dots(("tenure", "contract"), most=150)
    assert again.values == dots.values
    assert snapshot.dots(("tenure",), most=10_000).points.shape == (1, 500)


@pytest.mark.parametrize("place", [0, 17, 500])
def test_nearest_are_those_of_least_difference(place: int, table: pl.DataFrame, open_points: Callable[..., Snapshot]) -> None:
    snapshot, points = open_points(table), _points(SIZE)
    apart = np.abs(points - points[place]).sum(axis=1)
    own = table["customer"][place]
    found = snapshot.nearest(points[place] / HUNDREDTHS, 12, but=own)
    assert own not in [one.customer.key for one in found]
    wanted = np.sort(np.delete(apart, place))[:12] / HUNDREDTHS
    assert [one.distance for one in found] == pytest.approx(wanted.tolist())
    by_key = dict(zip(table["customer"], apart, strict=True))
    for one in found:
        assert by_key[one.customer.key] == pytest.approx(one.distance * HUNDREDTHS)
        left = table.filter(customer=one.customer.key)[LEFT][0]
        assert one.customer.left == (None if left is None else bool(left))
    assert snapshot.nearest(points[place] / HUNDREDTHS, 1)[0].distance == 0
    with pytest.raises(DataError, match="points for 3 columns; 2 were given"):
        snapshot.nearest([0.1, 0.2])


def test_a_scoring_without_points_says_so(table: pl.DataFrame, open_base: Any, make_schema: MakeSchema) -> None:
    snapshot = open_base(table, make_schema())
    assert not snapshot.has_points
    assert snapshot.nearest([0.0, 0.0, 0.0]) == ()
    assert snapshot.past("C00001") == ()
    for ask in (snapshot.importance, lambda: snapshot.dependence("tenure"), lambda: snapshot.dots(("tenure",))):
        with pytest.raises(DataError, match="keeps no points of its columns; score the base again"):
            ask()


def test_unknown_columns_are_named(table: pl.DataFrame, open_points: Callable[..., Snapshot]) -> None:
    snapshot = open_points(table)
    for ask in (lambda: snapshot.dependence("age"), lambda: snapshot.dots(("age",)), lambda: snapshot.importance(by=("age",))):
        with pytest.raises(DataError, match="'age'"):
            ask()


def test_points_of_other_columns_are_refused(table: pl.DataFrame, open_points: Any, tmp_path: Path, make_schema: Any) -> None:
    open_points(table)
    folder = tmp_path / "scoring-0"
    points = pl.read_parquet(folder / "points.parquet")
    points.rename({"charge": "other"}).write_parquet(folder / "points.parquet")
    facts = manifest.parse((folder / manifest.NAME).read_bytes(), "")
    kept = {name: value for name, value in facts.items() if name not in ("format", "files", "sum", "created")}
    manifest.seal(folder, **kept)
    with pytest.raises(BundleRejected, match=r"points\.parquet must have the schema's features in their order"):
        Snapshot.open(folder, make_schema(), Settings(home=tmp_path))
    assert (folder / ROWS).exists()

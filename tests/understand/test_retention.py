"""How long customers stay: published trials and cohorts, and sums by hand."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from churn.base.groups import BAND, Filter
from churn.base.snapshot import Snapshot
from churn.data.quality import LEFT
from churn.data.schema import Schema
from churn.errors import DataError
from churn.score.batch import Scored, write_scoring
from churn.settings import Settings
from churn.understand.retention import (
    LogRank,
    Observed,
    columns,
    kaplan_meier,
    log_rank,
    project,
    retention,
    tenure_of,
    told_by_time,
)

from ..base.conftest import rows

# Freireich et al. (1963), Blood 21:699: weeks in remission; + still in remission when last seen
DRUG = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


def _trial(weeks: str) -> Observed:
    told = weeks.split()
    return Observed.of([float(one.rstrip("+")) for one in told], [not one.endswith("+") for one in told])


def _cohort(shares: list[float]) -> Observed:
    """A cohort of a thousand, from the percentages still there after 0, 1, 2 … years."""
    counts = [round(share * 10) for share in shares]
    lost = -np.diff(counts)
    times = [*range(1, len(counts)), len(counts) - 1]
    return Observed.of(times, [True] * len(lost) + [False], [*lost.tolist(), counts[-1]])


# -- published -------------------------------------------------------------------


def test_kaplan_meier_as_published() -> None:
    found = kaplan_meier(_trial(DRUG))
    assert found.times.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert found.share.round(3).tolist() == [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert found.watched.tolist() == [21, 17, 15, 12, 11, 7, 6]
    assert found.median == 23
    # the log-log intervals that R's survfit(conf.type = "log-log") gives
    assert found.low.round(3).tolist() == [0.620, 0.563, 0.503, 0.432, 0.368, 0.268, 0.188]
    assert found.high.round(3).tolist() == [0.952, 0.923, 0.889, 0.849, 0.805, 0.747, 0.680]
    assert kaplan_meier(_trial(PLACEBO)).median == 8


def test_log_rank_as_published() -> None:
    found = log_rank([_trial(DRUG), _trial(PLACEBO)])
    assert found.chi_square == pytest.approx(16.793, abs=5e-4)
    assert found.degrees == 1
    assert found.chance == pytest.approx(4.17e-5, rel=0.01)


@pytest.mark.parametrize(
    ("shares", "alpha", "beta", "likelihood"),
    [
        ([100, 86.9, 74.3, 65.3, 59.3, 55.1, 51.7, 49.1], 0.668, 3.806, -1611.2),
        ([100, 63.1, 46.8, 38.2, 32.6, 28.9, 26.2, 24.1], 0.704, 1.182, None),
    ],
)
def test_the_projection_as_published(shares: list[float], alpha: float, beta: float, likelihood: float | None) -> None:
    found = project(_cohort(shares))
    assert found is not None
    assert (round(found.alpha, 3), round(found.beta, 3)) == (alpha, beta)
    if likelihood is not None:
        assert found.log_likelihood == pytest.approx(likelihood, abs=0.05)
    assert found.share(7)[1:] == pytest.approx(np.array(shares[1:]) / 100, abs=0.02)


# -- laws ----------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.integers(1, 9)), min_size=1, max_size=60))
def test_weights_are_customers_and_the_share_falls_within_its_interval(told: list[tuple[int, bool, int]]) -> None:
    times, left, weights = zip(*told, strict=True)
    weighed = kaplan_meier(Observed.of(times, left, weights))
    single = [(t, gone) for t, gone, heads in told for _ in range(heads)]
    each = kaplan_meier(Observed.of([t for t, _ in single], [gone for _, gone in single]))
    assert weighed.share == pytest.approx(each.share)
    assert weighed.watched.tolist() == each.watched.tolist()
    assert (np.diff(weighed.share, prepend=1.0) <= 1e-12).all()
    assert (weighed.low <= weighed.share + 1e-12).all()
    assert (weighed.share <= weighed.high + 1e-12).all()


@settings_of_hypothesis(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=40))
def test_customers_cut_into_months_give_the_same_curve(told: list[tuple[int, bool]]) -> None:
    """Somebody seen from the start for 5 months is five rows of one month each, which enter late."""
    whole = Observed.of([t for t, _ in told], [gone for _, gone in told])
    pieces = [(month, month + 1, gone and month + 1 == t) for t, gone in told for month in range(t)]
    cut = Observed.of([b for _, b, _ in pieces], [gone for *_, gone in pieces], entered=[a for a, *_ in pieces])
    one, other = kaplan_meier(whole), kaplan_meier(cut)
    assert one.share.tolist() == pytest.approx(other.share.tolist())
    assert one.watched.tolist() == other.watched.tolist()
    fitted = project(whole), project(cut)
    if fitted[0] is not None and fitted[1] is not None:
        assert fitted[0].share(12) == pytest.approx(fitted[1].share(12), abs=1e-6)


def test_who_enters_late_and_leaves_early_is_no_mistake_of_the_curve() -> None:
    """Only whoever stayed long enough is in a base: the naive curve is too high, the one with late entry is right."""
    rng = np.random.default_rng(4)
    lifetime = rng.geometric(0.1, 200_000).astype(float)
    seen_from = rng.integers(0, 24, len(lifetime)).astype(float)
    kept = lifetime > seen_from
    begin, end = seen_from[kept], np.minimum(lifetime[kept], seen_from[kept] + 1)
    left = lifetime[kept] <= seen_from[kept] + 1
    right = kaplan_meier(Observed.of(end.tolist(), left.tolist(), entered=begin.tolist()))
    assert right.at(12)[0] == pytest.approx(0.9**12, abs=0.01)
    naive = kaplan_meier(Observed.of(end.tolist(), left.tolist()))
    assert naive.at(12)[0] > 0.6


def test_the_test_of_groups_claims_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    claims = 0
    for _ in range(800):
        groups = [Observed.of(rng.geometric(0.15, 60).clip(max=12), rng.random(60) < 0.8) for _ in range(3)]
        claims += log_rank(groups).chance < 0.05
    assert claims / 800 == pytest.approx(0.05, abs=0.025)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7])
def test_the_chance_against_scipy(degrees: int) -> None:
    from scipy.stats import chi2

    from churn.understand.retention import _chi_square_tail

    for square in (0.0, 0.3, 2.0, 9.0, 40.0):
        assert _chi_square_tail(square, degrees) == pytest.approx(chi2.sf(square, degrees), rel=1e-9)


def test_a_known_law_is_found_again() -> None:
    rng = np.random.default_rng(8)
    chance = rng.beta(0.8, 3.0, 300_000)
    lasted = rng.geometric(chance).astype(float)
    found = project(Observed.of(lasted.clip(max=10), lasted <= 10))
    assert found is not None
    assert (found.alpha, found.beta) == pytest.approx((0.8, 3.0), rel=0.03)
    # all alike: the law goes over into the geometric one
    same = rng.geometric(0.2, 100_000).astype(float)
    alike = project(Observed.of(same.clip(max=10), same <= 10))
    assert alike is not None
    assert alike.share(10)[10] == pytest.approx(0.8**10, abs=0.005)


def test_nobody_who_leaves_projects_nothing() -> None:
    assert project(Observed.of([3.0, 4.0], [False, False])) is None
    stays = kaplan_meier(Observed.of([3.0, 4.0], [False, False]))
    assert stays.at(9) == (1.0, 1.0, 1.0)
    assert stays.median is None


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="row 1 from 3 to 2"):
        Observed.of([4.0, 2.0], [True, False], entered=[1.0, 3.0])
    with pytest.raises(DataError, match="two or more at a time, not 1"):
        log_rank([_trial(DRUG)])


# -- a base ----------------------------------------------------------------------------


def _schema(clock: str | None = "month", **given: Any) -> Schema:
    tenure = {"name": "tenure", "kind": "number", "label": "Tenure", "unit": "month", "whole": True, "range": [0, 24]}
    document = {
        "key": "customer",
        "target": {"column": "churned", "positive": "Yes", "negative": "No"},
        "horizon": "month",
        "segments": ["contract", "tenure"],
        "features": [
            {**tenure, **({"clock": clock} if clock else {})},
            {"name": "paid", "kind": "number", "label": "Paid in all", "range": [0, 900], "formula": "tenure * 10"},
            {"name": "contract", "kind": "category", "label": "Contract", "levels": [{"value": "M"}, {"value": "Y"}]},
        ],
    }
    return Schema.model_validate({**document, **given})


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Snapshot]]:
    """Write rows as a scoring and open it."""
    snapshots: list[Snapshot] = []

    def make(table: pl.DataFrame, schema: Schema) -> Snapshot:
        folder = tmp_path / f"scoring-{len(snapshots)}"
        scored = Scored(table, None, 0.2, {}, {}, 0, 0)
        write_scoring(
            folder,
            scored,
            model_version="v1",
            schema=schema,
            as_of=date(2026, 11, 1),
            simulated=False,
            calibration_covariance=None,
        )
        snapshots.append(Snapshot.open(folder, schema, Settings(home=tmp_path)))
        return snapshots[-1]

    yield make
    for snapshot in snapshots:
        snapshot.close()


def _table(schema: Schema, size: int = 900, **columns: Any) -> pl.DataFrame:
    """Those on a yearly contract (Y) leave half as often; one in 90 has no known tenure."""
    rng = np.random.default_rng(3)
    contract = np.where(np.arange(size) % 3 == 0, "Y", "M")
    lasted = rng.geometric(np.where(contract == "Y", 0.05, 0.10)).clip(max=24)
    tenure = np.minimum(lasted, rng.integers(1, 25, size)).astype(float)
    left = (lasted == tenure) & (lasted < 24)
    unknown = [None if place % 90 == 0 else time for place, time in enumerate(tenure.tolist())]
    given = {"tenure": unknown, "contract": contract.tolist(), "left": left.astype(int).tolist(), **columns}
    return rows(schema, np.full(size, 0.3), **given)


def test_groups_of_a_base_are_what_its_rows_say(opened: Callable[..., Snapshot]) -> None:
    schema = _schema()
    table = _table(schema)
    snapshot = opened(table, schema)
    found = retention(snapshot, "contract")
    assert found is not None
    assert (found.watched, found.tenure.name, found.marks) == ("table", "tenure", (12,))
    assert [group.label for group in found.groups] == ["M", "Y"]
    known = table.filter(pl.col("tenure").is_not_null())
    for group in found.groups:
        own = known.filter(pl.col("contract") == group.label)
        alone = kaplan_meier(Observed.of(own["tenure"].to_list(), (own[LEFT] == 1).to_list()))
        assert (group.customers, group.leavers) == (own.height, int((own[LEFT] == 1).sum()))
        assert group.marks[0] == pytest.approx(alone.at(12))
        assert group.watched[0] == (own["tenure"] >= 12).sum()
        assert group.line[0] == (0.0, 1.0, 1.0, 1.0)
        assert group.ahead[0] == group.line[-1][:2]
        assert group.ahead[-1][0] == round(1.5 * found.whole.until)
        shares = [share for _, share in group.ahead]
        assert shares == sorted(shares, reverse=True)
        assert group.until == max(time for time in range(25) if (own["tenure"] >= time).sum() >= 30)
        assert group.line[-1][0] == group.until
    assert found.whole.customers == known.height
    assert isinstance(found.test, LogRank)
    assert found.test.chance < 0.001
    assert retention(snapshot, None, Filter().narrowed("contract", "Y")).whole.customers == found.groups[1].customers  # type: ignore[union-attr]


def test_a_projection_that_misses_what_was_seen_is_not_shown(opened: Callable[..., Snapshot]) -> None:
    """Nobody leaves for a year and then many do: the law knows only the other way round."""
    schema = _schema()
    lasted = np.random.default_rng(2).integers(14, 25, 900)
    table = _table(schema, tenure=lasted.astype(float).tolist(), left=(np.arange(900) % 2).tolist())
    found = retention(opened(table, schema), None)
    assert found is not None
    assert found.whole.ahead == ()
    assert found.first == 14


def test_a_filter_on_risk_does_not_count(opened: Callable[..., Snapshot]) -> None:
    schema = _schema()
    snapshot = opened(_table(schema), schema)
    one, other = retention(snapshot, None), retention(snapshot, None, Filter().narrowed(BAND, snapshot.groups(BAND)[0]))
    assert one is not None
    assert other is not None
    assert one.whole.customers == other.whole.customers


@pytest.mark.parametrize("column", ["tenure", "paid"])
def test_a_filter_by_how_long_somebody_stayed_does_not_count(column: str, opened: Callable[..., Snapshot]) -> None:
    """Those in a band of short times who did not leave go out of it by staying: of it nearly everybody would seem to leave."""
    schema = _schema()
    table = _table(schema)
    snapshot = opened(table.with_columns(paid=pl.col("tenure") * 10), schema)
    everybody = retention(snapshot, None)
    short = Filter().narrowed(column, snapshot.groups(column)[0])
    narrowed = retention(snapshot, None, short.narrowed("contract", "Y"))
    alone = retention(snapshot, None, Filter().narrowed("contract", "Y"))
    assert everybody is not None and alone is not None and narrowed is not None  # noqa: PT018
    assert (narrowed.whole.customers, narrowed.whole.marks) == (alone.whole.customers, alone.whole.marks)
    assert told_by_time(short.narrowed("contract", "Y"), schema) == (column,)
    assert retention(snapshot, None, short).whole.marks == everybody.whole.marks  # type: ignore[union-attr]


def test_a_small_group_is_shown_as_such_and_not_tested(opened: Callable[..., Snapshot]) -> None:
    schema = _schema()
    contract = ["Y"] * 20 + ["M"] * 880
    found = retention(opened(_table(schema, contract=contract), schema), "contract")
    assert found is not None
    assert [(group.label, group.small) for group in found.groups] == [("M", False), ("Y", True)]
    assert found.test is None
    assert found.groups[1].ahead == ()


def test_dated_rows_are_watched_for_one_horizon(opened: Callable[..., Snapshot]) -> None:
    """Of a base with dates the rows kept apart tell: a tenure of 5 and a month later gone is seen from 5 to 6."""
    schema = _schema(snapshot={"column": "day", "horizon_days": 30})
    snapshot = opened(_table(schema, left=[None] * 900), schema)
    rng = np.random.default_rng(7)
    tenure = rng.integers(0, 20, 60_000)
    contract = rng.choice(["M", "Y"], 60_000)
    gone = rng.random(60_000) < np.where(contract == "Y", 0.02, 0.06)
    kept_apart = io.BytesIO()
    pl.DataFrame({"tenure": tenure.astype(float), "contract": contract, LEFT: gone.astype(np.int8)}).write_parquet(kept_apart)
    found = retention(snapshot, "contract", Filter(), kept_apart.getvalue())
    assert found is not None
    assert found.watched == "months"
    for group, stays in zip(found.groups, (0.94, 0.98), strict=True):
        assert group.marks[0] is not None
        assert group.marks[0][0] == pytest.approx(stays**12, abs=0.03)
        time, share = group.ahead[-1]
        assert share == pytest.approx(stays**time, abs=0.04)
    only = retention(snapshot, None, Filter().narrowed("contract", "Y"), kept_apart.getvalue())
    assert only is not None
    assert only.whole.customers == (contract == "Y").sum()
    assert retention(snapshot, "contract") is None


def test_where_nothing_is_known_there_is_no_curve(opened: Callable[..., Snapshot]) -> None:
    schema = _schema()
    nobody_left = opened(_table(schema, left=[0] * 900), schema)
    assert retention(nobody_left, None) is None
    without = _schema(clock=None)
    assert tenure_of(without) is None
    assert retention(opened(_table(without), without), None) is None


def test_an_age_is_no_tenure() -> None:
    age = {"name": "age", "kind": "number", "label": "Age", "unit": "year", "range": [18, 90], "clock": "year"}
    months = {"name": "months", "kind": "number", "label": "Months on book", "unit": "month", "range": [13, 56], "clock": "month"}
    both = tenure_of(_schema(segments=[], features=[age, months]))
    assert both is not None
    assert both.name == "months"
    assert tenure_of(_schema(segments=[], features=[age])) is None


def test_columns_that_grow_with_time_are_nothing_to_compare_by(opened: Callable[..., Snapshot]) -> None:
    schema = _schema()
    assert columns(opened(_table(schema, paid=[10.0 * (i % 80) for i in range(900)]), schema)) == ("contract",)

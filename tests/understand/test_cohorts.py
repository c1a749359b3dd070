"""Cohorts: who carries the money, which filters are offered, and that nothing is lost on the way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.base.groups import BAND, Filter
from churn.base.snapshot import LEFT, MARGIN, RISK, Snapshot, points_column, reason_column
from churn.data.schema import Schema
from churn.data.spreadsheet import harmless
from churn.score.batch import Scored, band_of, write_scoring
from churn.settings import Settings
from churn.understand.cohorts import as_frame, cohort_table, dimensions, observed, segments, stake, within
from churn.understand.leanings import Leaning

DOCUMENT = {
    "key": "id",
    "target": {"column": "left", "positive": "Yes"},
    "money": {"column": "charge"},
    "segments": ["contract", "internet", "tenure"],
    "features": [
        {"name": "constant", "kind": "flag", "label": "Constant", "levels": [{"value": "Yes"}, {"value": "No"}]},
        {"name": "charge", "kind": "number", "label": "Charge", "unit": "money"},
        {"name": "tenure", "kind": "number", "label": "Tenure", "unit": "month", "whole": True, "at_least": 0},
        {"name": "contract", "kind": "category", "label": "Contract", "levels": [{"value": "Monthly"}, {"value": "Yearly"}]},
        {
            "name": "internet",
            "kind": "category",
            "label": "Internet",
            "levels": [{"value": "F", "label": "Fibre"}, {"value": "D", "label": "DSL"}, {"value": "No"}],
        },
        {"name": "town", "kind": "category", "label": "Town", "levels": [{"value": f"T{i}"} for i in range(20)]},
    ],
}

LEANINGS = defaultdict(lambda: Leaning("much of it", "little of it"))


@pytest.fixture
def open_base(tmp_path: Path) -> Iterator[Callable[..., Snapshot]]:
    opened: list[Snapshot] = []

    def make(size: int = 2000, **given: Any) -> Snapshot:
        schema = Schema.model_validate({**DOCUMENT, **given})
        generator = np.random.default_rng(5)
        contract = generator.choice(["Monthly", "Yearly"], size)
        internet = generator.choice(["F", "D", "No"], size, p=[0.6, 0.39, 0.01])
        risk = np.clip(0.1 + 0.4 * (contract == "Monthly") + 0.2 * (internet == "F") + generator.normal(0, 0.05, size), 0, 1)
        table = pl.DataFrame(
            {
                "id": [f"K{i}" for i in range(size)],
                "constant": ["Yes"] * size,
                "charge": np.round(generator.uniform(20, 100, size), 2),
                "tenure": generator.integers(0, 73, size).astype(float),
                "contract": contract,
                "internet": internet,
                "town": generator.choice([f"T{i}" for i in range(20)], size),
                RISK: risk,
                MARGIN: np.zeros(size),
                BAND: band_of(risk, schema),
                LEFT: (generator.random(size) < risk).astype(np.int8),
                reason_column(1): np.full(size, schema.names.index("contract"), dtype=np.int16),
                points_column(1): np.where(contract == "Monthly", 0.2, -0.2).astype(np.float32),
                reason_column(2): np.full(size, schema.names.index("tenure"), dtype=np.int16),
                points_column(2): np.full(size, 0.1, dtype=np.float32),
            }
        )
        if schema.snapshot:
            table = table.with_columns(pl.lit(date(2026, 11, 1)).alias(schema.snapshot.column))
        folder = tmp_path / f"scoring-{len(opened)}"
        covariance = [[1e-3, 0.0], [0.0, 1e-3]]
        write_scoring(
            folder,
            Scored(table, None, 0.2, {}, {}, 0, 0),
            model_version="v1",
            schema=schema,
            as_of=date(2026, 11, 1),
            simulated=False,
            calibration_covariance=covariance,
        )
        opened.append(Snapshot.open(folder, schema, Settings(home=tmp_path)))
        return opened[-1]

    yield make
    for snapshot in opened:
        snapshot.close()


def test_the_groups_with_most_money_come_first_and_add_up(open_base: Callable[..., Snapshot]) -> None:
    snapshot = open_base()
    found = segments(snapshot, most=3)
    assert found.columns == ("contract", "internet")
    assert found.rows[0].labels == ("Monthly", "Fibre")
    assert found.leading is found.rows[0]
    money = [row.revenue_at_risk or 0 for row in found.rows]
    assert money == sorted(money, reverse=True)
    totals = snapshot.totals()
    assert sum(row.customers for row in found.rows) + found.others_customers == totals.customers
    assert sum(row.expected_leavers for row in found.rows) + found.others_leavers == pytest.approx(totals.expected_leavers)
    assert sum(money) + (found.others_revenue or 0) == pytest.approx(totals.revenue_at_risk)
    assert len(found.rows) + found.others == 6
    for row in found.rows:
        assert row.filter == Filter.of({"contract": [row.labels[0]], "internet": [row.labels[1]]})
        assert row.interval is not None
        assert row.interval.low < (row.revenue_at_risk or 0) < row.interval.high


def test_a_group_too_small_to_say_leads_nothing(open_base: Callable[..., Snapshot]) -> None:
    found = segments(open_base(), columns=("internet",))
    assert [row.labels[0] for row in found.rows if row.small] == ["No"]
    assert found.riskiest is not None
    assert found.riskiest.labels == ("Fibre",)
    tiny = segments(open_base(30))
    assert tiny.leading is None
    assert tiny.riskiest is None
    assert tiny.rows


def test_a_column_narrowed_to_one_group_gives_way_to_the_next(open_base: Callable[..., Snapshot]) -> None:
    snapshot = open_base()
    assert segments(snapshot, Filter.of({"contract": ["Monthly"]})).columns == ("internet",)  # tenure is noise here
    assert segments(snapshot, Filter.of({"internet": ["Fibre"]})).columns == ("contract",)
    both = Filter.of({"contract": ["Monthly", "Yearly"]})
    assert segments(snapshot, both).columns == ("contract", "internet")
    every = {"contract": ["Monthly"], "internet": ["Fibre"], "tenure": ["0–12 months"], "charge": [snapshot.groups("charge")[0]]}
    found = segments(snapshot, Filter.of(every))
    assert found.columns == (BAND,)  # 20 towns would be a list nobody reads
    assert sum(row.customers for row in found.rows) == snapshot.totals(Filter.of(every)).customers


def test_nobody_has_no_groups(open_base: Callable[..., Snapshot]) -> None:
    snapshot = open_base()
    nobody = Filter.of({BAND: ["Low"], "contract": ["Monthly"], "internet": ["Fibre"]})
    found = segments(snapshot, nobody, ("contract", "internet"))
    assert (found.rows, found.others, found.others_customers) == ((), 0, 0)


def test_the_schemas_segments_are_the_first_filters(open_base: Callable[..., Snapshot]) -> None:
    found = dimensions(open_base())
    assert [(one.column, one.first) for one in found] == [
        ("contract", True),
        ("internet", True),
        ("tenure", True),
        ("charge", False),
        ("town", False),
    ]
    assert found[2].labels == ("0–12 months", "13–24 months", "25–48 months", "Over 48 months")
    assert found[1].label == "Internet"


def test_without_segments_or_money(open_base: Callable[..., Snapshot]) -> None:
    snapshot = open_base(segments=[], money=None)
    assert [one.column for one in dimensions(snapshot)[:3]] == ["charge", "tenure", "contract"]
    found = segments(snapshot, columns=("contract",))
    assert found.others_revenue is None
    assert found.rows[0].labels == ("Monthly",)


def test_the_table_adds_up_to_the_filter(open_base: Callable[..., Snapshot]) -> None:
    snapshot = open_base()
    for filter in (
        Filter(),
        Filter.of({"contract": ["Monthly"]}),
        Filter.of({BAND: ["High", "Very high"], "tenure": ["13–24 months"]}),
    ):
        for columns in (("internet",), ("tenure", "internet"), ("town", "charge"), (BAND, "contract")):
            table, totals = cohort_table(snapshot, filter, columns), snapshot.totals(filter)
            assert table.customers == sum(one.segment.customers for one in table.cohorts) == totals.customers
            assert table.expected_leavers == pytest.approx(totals.expected_leavers)
            assert table.revenue_at_risk == pytest.approx(totals.revenue_at_risk)
            assert table.average_risk == pytest.approx(totals.average_risk)
            assert sum(one.segment.left for one in table.cohorts) == totals.left


def test_where_no_segment_tells_the_most_telling_other_column_does(open_base: Callable[..., Snapshot]) -> None:
    snapshot = open_base(segments=["tenure", "charge"])  # both are noise; contract weighs more than internet
    assert segments(snapshot).columns == ("contract", "internet")
    assert segments(snapshot, Filter.of({"contract": ["Monthly"]})).columns == ("internet",)
    assert segments(snapshot, Filter.of({"contract": ["Monthly"], "internet": ["DSL"]})).columns == ("tenure",)


def test_groups_above_the_average_have_what_raises_and_those_below_what_lowers(open_base: Callable[..., Snapshot]) -> None:
    table = cohort_table(open_base(), Filter(), ("tenure", "internet"))
    for one in table.large:
        assert one.against_average is not None
        assert one.lead is not None
        assert (one.lead.feature, one.lead.raises) == ("contract", one.against_average >= 1)


def test_what_is_said_of_a_group(open_base: Callable[..., Snapshot]) -> None:
    table = cohort_table(open_base(), Filter(), ("contract", "internet"))
    found = table.find(("Monthly", "Fibre"))
    assert found is not None
    assert table.riskiest is found
    assert found.against_average == pytest.approx(found.segment.average_risk / table.average_risk)
    assert found.lead is not None
    assert (found.lead.feature, found.lead.raises, found.lead.share) == ("tenure", True, 1.0)  # its contract is no news
    assert observed(found.segment) == pytest.approx(found.segment.average_risk, abs=0.05)
    assert stake(found.segment) == found.segment.revenue_at_risk
    alone = cohort_table(open_base(), Filter(), ("internet",))
    lead = next(one.lead for one in alone.cohorts if one.segment.labels == ("DSL",))
    assert lead is not None
    assert lead.feature == "contract"
    assert lead.share == pytest.approx(0.5, abs=0.1)
    assert table.find(("Monthly", "nowhere")) is None


def test_too_small_to_say_but_counted(open_base: Callable[..., Snapshot]) -> None:
    table = cohort_table(open_base(), Filter(), ("internet",))
    assert [one.labels for one in table.small] == [("No",)]
    assert [one.against_average for one in table.cohorts if one.small] == [None]
    assert len(table.large) == 2
    tiny = cohort_table(open_base(30), Filter(), ("internet",))
    assert tiny.large == ()
    assert tiny.riskiest is None
    nobody = cohort_table(open_base(30), Filter.of({BAND: ["Low"], "contract": ["Monthly"]}), ("internet",))
    assert (nobody.cohorts, nobody.customers, nobody.average_risk) == ((), 0, None)


def test_with_dates_who_left_is_not_told(open_base: Callable[..., Snapshot]) -> None:
    """Whoever left is no longer scored, so a share of those who left would always be nothing."""
    assert cohort_table(open_base(), Filter(), ("internet",)).outcomes
    snapshot = open_base(snapshot={"column": "day"})
    table = cohort_table(snapshot, Filter(), ("internet",))
    assert not table.outcomes
    assert "Left, of those known" not in as_frame(table, snapshot.schema, LEANINGS, simulated=False).columns


def test_within_a_filter() -> None:
    chosen = Filter.of({"contract": ["Monthly"], "tenure": ["a", "b"]})
    assert within(chosen, ("tenure",), ("a",)) == Filter.of({"contract": ["Monthly"], "tenure": ["a"]})
    assert within(chosen, ("internet", "contract"), ("DSL", "Monthly")) == chosen.narrowed("internet", "DSL")
    assert within(chosen, ("contract",), ("Yearly",)) is None


def test_the_table_for_a_file(open_base: Callable[..., Snapshot]) -> None:
    snapshot = open_base()
    table = cohort_table(snapshot, Filter(), ("internet",))
    frame = as_frame(table, snapshot.schema, LEANINGS, simulated=True)
    assert frame.columns == [
        "Internet",
        "Customers",
        "Share of customers",
        "Risk",
        "Risk against average",
        "Expected leavers",
        "Expected leavers, likely from",
        "Expected leavers, likely to",
        "Revenue at risk ($ a month)",
        "Revenue at risk ($ a month), likely from",
        "Revenue at risk ($ a month), likely to",
        "Outcomes known",
        "Left, of those known",
        "Risk foreseen for those",
        "Top reason",
        "Note",
    ]
    by_name = {row["Internet"]: row for row in frame.iter_rows(named=True)}
    assert by_name["Fibre"]["Note"] == "Simulated data"
    assert by_name["Fibre"]["Top reason"] == "Raised by much of it (50%)"  # above the average
    small = by_name["No"]
    assert small["Note"] == "Simulated data; Too few customers to say"
    assert small["Customers"] == table.small[0].customers
    assert {name for name, value in small.items() if value is None} >= {"Risk", "Expected leavers", "Top reason"}
    assert frame["Customers"].sum() == 2000


def test_no_group_runs_as_a_formula(open_base: Callable[..., Snapshot]) -> None:
    features = [*DOCUMENT["features"]]
    features[3] = {
        **features[3],
        "label": "=Contract",
        "levels": [{"value": "Monthly", "label": '=HYPERLINK("http://x")'}, {"value": "Yearly", "label": "+1"}],
    }
    snapshot = open_base(features=features)
    frame = harmless(as_frame(cohort_table(snapshot, Filter(), ("contract",)), snapshot.schema, LEANINGS, simulated=False))
    assert frame.columns[0] == "'=Contract"
    assert sorted(frame["'=Contract"]) == ['\'=HYPERLINK("http://x")', "+1"]  # a number is no formula


def test_a_column_called_like_a_figure(open_base: Callable[..., Snapshot]) -> None:
    features = [*DOCUMENT["features"]]
    features[3] = {**features[3], "label": "Risk"}
    snapshot = open_base(features=features, money=None)
    table = cohort_table(snapshot, Filter(), ("contract", BAND))
    assert table.revenue_at_risk is None
    frame = as_frame(table, snapshot.schema, LEANINGS, simulated=False)
    assert frame.columns[:5] == ["Risk", "Risk band", "Customers", "Share of customers", "Risk_"]
    assert not [name for name in frame.columns if "evenue" in name]
    assert frame["Note"].drop_nulls().unique().to_list() in ([], ["Too few customers to say"])

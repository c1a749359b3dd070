"""Reasons in words, and printed numbers that add up."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn import words
from churn.data.schema import Feature, Level, Schema, Target
from churn.understand.account import (
    Account,
    Typical,
    Usual,
    _printed,
    _whole_percents,
    account,
    actionable,
    ranked,
    reason,
)

POINTS = {
    "tenure": 0.251, "Contract": 0.148, "Internet": 0.07, "OnlineSecurity": 0.052, "TechSupport": 0.041, "Monthly": 0.08,
    "Total": 0.033, "Senior": 0.025,
}  # fmt: skip


@pytest.fixture(scope="session")
def typical() -> Typical:
    return Typical({"tenure": Usual(29.0), "Monthly": Usual(70.35), "Contract": Usual("Month-to-month", 0.55)})


def _account(customer: dict[str, object], schema: Schema, typical: Typical, **given: object) -> Account:
    points = [POINTS[name] for name in schema.names]
    return account(customer, points, risk=0.17 + sum(points), typical_risk=0.17, schema=schema, typical=typical, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "points", "line"),
    [
        ("tenure", 1.0, 0.25, "Only 1 month as a customer (half have 29 or more): +25 points"),
        ("Contract", "Month-to-month", 0.15, "A month-to-month contract: +15 points"),
        ("Internet", "Fiber optic", 0.07, "Fibre internet: +7 points"),
        ("OnlineSecurity", "No", 0.05, "No online security: +5 points"),
        ("tenure", 72.0, -0.08, "72 months as a customer: −8 points"),
        ("Contract", "Two year", -0.07, "A two-year contract: −7 points"),
        ("Monthly", 105.5, 0.04, "Monthly charge of $105.50 (half have $70.35 or less): +4 points"),
        ("Monthly", None, 0.01, "Monthly charge not known: +1 point"),
        ("Contract", "Three year", -0.04, "Contract not known to the model (Three year): −4 points"),
    ],
)
def test_reasons_read_as_agreed(name: str, value: object, points: float, line: str, schema: Schema, typical: Typical) -> None:
    assert reason(schema.feature(name), value, points, schema, typical).words == line


def test_what_is_usual(schema: Schema, typical: Typical) -> None:
    def usual(name: str, value: object) -> str:
        return reason(schema.feature(name), value, 0.1, schema, typical).usual

    assert usual("tenure", 72.0) == "half have 29 or less"
    assert usual("tenure", 29.0) == "as is usual"
    assert usual("Contract", "Month-to-month") == "as 55% have"
    assert usual("Contract", "Two year") == "most often Month-to-month, 55%"
    assert usual("Senior", "Yes") == ""


def test_typical_of_a_sample(schema: Schema, reference: pl.DataFrame) -> None:
    typical = Typical.of(reference.with_columns(Senior=pl.lit(None, pl.String)), schema)
    assert typical["Contract"].value == "Month-to-month"
    assert typical["Contract"].share == pytest.approx(0.55, abs=0.05)
    assert typical["tenure"].value == reference["tenure"].median()
    assert typical["Senior"] == Usual(None)
    assert typical["no such column"] == Usual(None)


def test_largest_first_and_told_in_a_sentence(customer: dict[str, object], schema: Schema, typical: Typical) -> None:
    told = _account(customer, schema, typical)
    assert [r.feature for r in told.reasons[:3]] == ["tenure", "Contract", "Monthly"]
    assert told.sentence() == (
        "Most associated with it: only 1 month as a customer (+25 points), a month-to-month contract (+15) "
        "and monthly charge of $73.65 (+8)."
    )
    assert told.sentence(1, markdown=True) == "Most associated with it: **only 1 month as a customer** (+25 points)."
    assert told.title("8473-VUVJN") == "8473-VUVJN: 87% risk of leaving, 70 points above a typical customer"


def test_the_title_below_and_at_the_typical_risk() -> None:
    assert Account(0.03, 0.17, (), 0).title("A") == "A: 3% risk of leaving, 14 points below a typical customer"
    assert Account(0.171, 0.17, (), 0).title("A") == "A: 17% risk of leaving, the same as a typical customer"
    assert Account(0.17, 0.17, (), 0).sentence() == "Nothing sets this customer apart from a typical one."


def test_others_are_one_step_and_edited_facts_keep_a_bar(customer: dict[str, object], schema: Schema, typical: Typical) -> None:
    steps = _account(customer, schema, typical, shown=3, edited={"Senior"}).waterfall.steps
    assert [step.label for step in steps] == ["Tenure", "Contract", "Senior citizen", "5 other facts"]
    assert steps[2].edited
    assert steps[3].features == ("Monthly", "Internet", "OnlineSecurity", "TechSupport", "Total")


def test_what_only_followed_from_an_edit_displaces_nothing_larger(
    customer: dict[str, object], schema: Schema, typical: Typical
) -> None:
    changed = {"Senior", "OnlineSecurity", "TechSupport", "Total"}
    points = dict.fromkeys(schema.names, 0.0) | {"tenure": 0.25, "Contract": 0.15, "Internet": 0.07, "Senior": 0.001}
    told = account(
        customer,
        list(points.values()),
        risk=0.17 + sum(points.values()),
        typical_risk=0.17,
        schema=schema,
        typical=typical,
        edited=changed,
        asked={"Senior"},
        shown=4,
    )
    assert {step.features for step in told.waterfall.steps[:-1]} == {("tenure",), ("Contract",), ("Internet",), ("Senior",)}
    assert [step.edited for step in told.waterfall.steps if step.features == ("Senior",)] == [True]


def test_one_fact_is_never_hidden_behind_one_other_fact(customer: dict[str, object], schema: Schema, typical: Typical) -> None:
    assert len(_account(customer, schema, typical, shown=7).waterfall.steps) == 8


@given(data=st.data(), size=st.integers(1, 25), shown=st.integers(0, 10))
def test_what_is_printed_adds_up(data: st.DataObject, size: int, shown: int) -> None:
    features = tuple(Feature(name=f"f{i}", kind="number", label=f"F{i}") for i in range(size))
    schema = Schema(key="k", target=Target(column="t", positive="1"), features=features)
    base = data.draw(st.floats(0, 1))
    risk = data.draw(st.floats(0, 1))
    parts = [data.draw(st.floats(-0.5, 0.5)) for _ in range(size)]
    parts[-1] += risk - base - sum(parts)
    told = account(
        dict.fromkeys(schema.names, 1.0), parts, risk=risk, typical_risk=base, schema=schema, typical=Typical({}), shown=shown
    )
    total = words.whole_percent(risk) - words.whole_percent(base)
    assert sum(step.printed for step in told.waterfall.steps) == total
    assert sum(r.printed_points for r in told.reasons) == total
    assert sum(step.points for step in told.waterfall.steps) == pytest.approx(risk - base, abs=1e-9)
    assert sum(len(step.features) for step in told.waterfall.steps) == size


def test_actionable_follows_formulas_and_rules(schema: Schema) -> None:
    assert actionable(schema) == {"Contract", "Internet", "OnlineSecurity", "TechSupport", "Monthly", "Total"}


def test_data_in_a_sentence_is_escaped(schema: Schema, typical: Typical, customer: dict[str, object]) -> None:
    customer["Contract"] = "**$5** [x](y)"
    told = _account(customer, schema, typical).sentence(2, markdown=True)
    assert r"\*\*\$5\*\* \[x\]" in told
    assert not re.search(r"(?<!\\)\$", told)


def test_facts_that_read_alike_are_told_apart(schema: Schema, typical: Typical, customer: dict[str, object]) -> None:
    none = Level(value="No internet service", phrase="no internet")
    features = tuple(
        f.model_copy(update={"levels": (*f.levels[:2], none)}) if f.name in ("OnlineSecurity", "TechSupport") else f
        for f in schema.features
    )
    row = {**customer, "Internet": "No", "OnlineSecurity": none.value, "TechSupport": none.value}
    told = _account(
        row, Schema(**{**{name: getattr(schema, name) for name in Schema.model_fields}, "features": features}), typical
    )
    assert {r.fact for r in told.reasons} >= {
        "no internet",
        "online security: No internet service",
        "tech support: No internet service",
    }


def test_never_because(customer: dict[str, object], schema: Schema, typical: Typical) -> None:
    assert all("because" not in r.words.lower() for r in _account(customer, schema, typical).reasons)


@given(
    st.integers(1, 14).flatmap(
        lambda width: st.lists(st.lists(st.integers(-4_000, 4_000), min_size=width, max_size=width), min_size=1, max_size=6)
    ),
    st.integers(1, 9),
    st.floats(0, 1),
)
def test_many_customers_at_once_are_rounded_as_one_by_one(rows: list[list[int]], shown: int, typical_risk: float) -> None:
    """Against the rounding of `words`, given exact fractions so that no tie hangs on a float."""
    hundredths = np.array(rows, dtype=np.int32).T
    totals = np.rint(hundredths.sum(axis=0) / 100).astype(np.int64)
    got = _printed(hundredths, shown, totals)
    for own, total, printed in zip(rows, totals.tolist(), got.T.tolist(), strict=True):
        parts = [Fraction(h, 100) for h in own]
        rest = parts[shown:]
        bars = words.largest_remainder([*parts[:shown], *([sum(rest)] if rest else [])], total)  # type: ignore[list-item]
        told = words.largest_remainder(rest, bars[-1]) if rest else []  # type: ignore[arg-type]
        assert printed == bars[: len(bars) - bool(rest)] + told
        assert sum(printed) == total
    risk = np.clip(typical_risk + hundredths.sum(axis=0) / 10_000, 0, 1)
    index, whole = ranked(hundredths, risk, typical_risk, 3)
    assert index.shape == whole.shape == (min(3, len(hundredths)), len(rows))
    for place, size in zip(index.T.tolist(), np.abs(hundredths).T.tolist(), strict=True):
        kept = [size[i] for i in place if i >= 0]
        assert kept == sorted(size, reverse=True)[: len(kept)]
        assert all(kept)


@given(st.lists(st.floats(0, 1) | st.integers(0, 1000).map(lambda n: n / 1000), min_size=1, max_size=20))
def test_whole_percents_are_those_of_the_words(risk: list[float]) -> None:
    assert _whole_percents(np.array(risk)).tolist() == [words.whole_percent(one) for one in risk]


def test_the_way_of_a_waterfall_stays_between_0_and_1_where_it_can() -> None:
    def steps(start: float, *points: float) -> list[float]:
        features = [Feature(name=f"f{i}", kind="number", label=f"F{i}") for i in range(len(points))]
        schema = Schema(key="id", target=Target(column="left", positive="Yes"), features=tuple(features))
        told = account({}, points, risk=start + sum(points), typical_risk=start, schema=schema, typical=Typical({}))
        return [step.points for step in told.waterfall.steps]

    assert steps(0.1, 0.3, -0.2, 0.05) == [0.3, -0.2, 0.05]
    assert steps(0.1, -0.2, 0.15, 0.05) == [0.15, 0.05, -0.2], "raising first, for the way would lead below nothing"
    assert steps(0.8, 0.3, -0.2, -0.05) == [-0.2, -0.05, 0.3]
    assert steps(0.5, 0.9, -0.8) == [0.9, -0.8], "no order helps"


def test_what_followed_from_an_edit_alike_is_one_line(schema: Schema, typical: Typical) -> None:
    """Both services went with the internet: their points are told together, and what decides keeps its bar."""
    none = "No internet service"
    row = {"tenure": 1.0, "Contract": "Month-to-month", "Internet": "No", "OnlineSecurity": none, "TechSupport": none}
    row |= {"Monthly": 20.0, "Total": 20.0, "Senior": "No"}
    points = {"tenure": 0.25, "Contract": 0.1251, "Internet": -0.2, "OnlineSecurity": -0.0551, "TechSupport": -0.0251}
    points |= {"Monthly": 0.04, "Total": 0.002, "Senior": -0.001}
    told = account(
        row,
        [points[name] for name in schema.names],
        risk=0.17 + sum(points.values()),
        typical_risk=0.17,
        schema=schema,
        typical=typical,
        edited={"Internet", "OnlineSecurity", "TechSupport"},
        asked={"Internet"},
        shown=4,
    )
    steps = told.waterfall.steps
    assert [(step.label, step.value, step.printed, step.edited) for step in steps] == [
        ("Tenure", "1 month", 25, False),
        ("Internet", "No", -20, True),
        ("Contract", "Month-to-month", 13, False),
        ("2 facts that go with the change", none, -8, True),
        ("3 other facts", "", 4, False),
    ]
    assert sum(step.printed for step in steps) == words.whole_percent(told.risk) - 17
    assert told.lines[3].words == "2 facts that go with the change: No internet service: −8 points"
    assert told.lines[3].features == ("OnlineSecurity", "TechSupport")
    assert sum(step.points for step in steps) == pytest.approx(told.risk - 0.17)
    each = [reason.printed_points for reason in told.reasons if reason.feature in steps[3].features]
    assert (len(told.reasons), sum(each)) == (8, -8)

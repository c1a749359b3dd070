"""Schemas drafted from tables: the three real ones, made-up ones, and any table at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.data.infer import Draft, infer
from churn.data.quality import check, conform
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.errors import ChurnError, DataError, SchemaError

ROWS = 400
RNG = np.random.default_rng(2)
LEFT = RNG.random(ROWS) < 0.3


def _base(**more: Any) -> pl.DataFrame:
    """A table with a signal, not a leak, and whatever a test adds."""
    signal = np.round(np.random.default_rng(101).normal(size=ROWS) + LEFT, 3)
    columns = {"id": [f"c{i}" for i in range(ROWS)], "left": np.where(LEFT, "Yes", "No"), "signal": signal, **more}
    return pl.DataFrame(columns)


def _draft(**more: Any) -> Draft:
    return infer(_base(**more), key="id", target="left")


def _excluded(draft: Draft) -> dict[str, str]:
    return {item.name: item.why for item in draft.schema.excluded}


def _said(draft: Draft, column: str) -> str:
    return " | ".join(f"{item.decision} ({item.evidence})" for item in draft.decisions if item.column == column)


# -- the real tables -----------------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_telco_is_described_at_the_first_try(real_table: Callable[[str], Path]) -> None:
    raw = read_table(real_table("WA_Fn-UseC_-Telco-Customer-Churn.csv"))
    draft = infer(raw, key="customerID", target="Churn")
    schema = draft.schema
    assert len(schema.features) == 19
    assert schema.excluded == ()
    assert (schema.target.positive, schema.target.negative) == ("Yes", "No")
    total = schema.feature("TotalCharges")
    assert (total.formula, total.residual, total.missing, total.editable) == ("tenure * MonthlyCharges", True, (" ",), False)
    senior = schema.feature("SeniorCitizen")
    assert (senior.kind, [level.shown for level in senior.levels]) == ("flag", ["No", "Yes"])
    tenure = schema.feature("tenure")
    assert (tenure.unit, tenure.whole, tenure.range, tenure.at_least, tenure.editable) == ("month", True, (0, 72), 0, False)
    assert [(feature.name, feature.clock) for feature in schema.features if feature.clock] == [("tenure", "month")]
    assert [level.value for level in schema.feature("Contract").levels] == ["Month-to-month", "One year", "Two year"]
    assert schema.money is not None
    assert schema.money.column == "MonthlyCharges"
    assert set(schema.segments) == {"Contract", "InternetService", "tenure"}
    cleared = next(rule for rule in schema.rules if rule.when == {"InternetService": "No"})
    assert set(cleared.then.values()) == {"No internet service"}
    assert len(cleared.then) == 6
    assert any(rule.when == {"PhoneService": "No"} and "MultipleLines" in rule.then for rule in schema.rules)
    assert {action.set["Contract"] for action in schema.actions} == {"One year", "Two year"}
    assert all(action.cost is None for action in schema.actions)
    assert {"Contract", "PaymentMethod", "MonthlyCharges"} <= {feature.name for feature in schema.features if feature.editable}
    assert {"gender", "tenure", "SeniorCitizen", "Partner"}.isdisjoint({f.name for f in schema.features if f.editable})
    table = conform(raw, schema, target=True)
    assert table["TotalCharges"].null_count() == 11
    assert table["__left__"].mean() == pytest.approx(0.2654, abs=1e-4)
    assert check(raw, schema, target=True).violations == ()
    assert Schema.from_yaml(schema.to_yaml()) == schema


@pytest.mark.realdata
def test_bank_churners_loses_its_leaks_and_nothing_else(real_table: Callable[[str], Path]) -> None:
    raw = read_table(real_table("BankChurners.csv"))
    draft = infer(raw, key="CLIENTNUM", target="Attrition_Flag")
    assert draft.schema.target.positive == "Attrited Customer"
    schema = draft.schema
    assert [(item.name[:11], item.why) for item in schema.excluded] == [("Naive_Bayes", "leak")] * 2
    assert all("alone it ranks leavers with AUC 1.00" in item.evidence for item in schema.excluded)
    assert len(schema.features) == 19
    for name in ("Education_Level", "Marital_Status", "Income_Category"):
        assert schema.feature(name).missing == ("Unknown",)
    assert schema.feature("Avg_Open_To_Buy").formula == "Credit_Limit - Total_Revolving_Bal"
    assert schema.feature("Avg_Utilization_Ratio").formula == "round(Total_Revolving_Bal / Credit_Limit, 3)"
    assert schema.money is None
    assert "money: none" in _said(draft, "")
    assert schema.feature("Income_Category").levels[0].value == "Less than $40K"
    assert check(raw, schema, target=True).violations == ()


@pytest.mark.realdata
def test_churn_modelling_knows_who_is_an_identifier(real_table: Callable[[str], Path]) -> None:
    raw = read_table(real_table("Churn_Modelling.csv"))
    draft = infer(raw, key="CustomerId", target="Exited")
    schema = draft.schema
    assert _excluded(draft) == {"RowNumber": "identifier", "Surname": "identifier"}
    assert schema.contacts.name == "Surname"
    assert schema.target.positive == "1"
    assert schema.feature("Tenure").unit == "year"
    assert {feature.name for feature in schema.features if feature.kind == "flag"} == {"HasCrCard", "IsActiveMember"}
    assert schema.money is None
    assert check(raw, schema, target=True).violations == ()


# -- what is left out, and why -------------------------------------------------------------------------------------------


def test_columns_a_model_must_not_use_are_left_out_with_their_reason() -> None:
    draft = _draft(
        nothing=[None] * ROWS,
        same=["x"] * ROWS,
        row=list(range(ROWS)),
        code=[f"K{i}" for i in range(ROWS)],
        many=[f"L{i % 150}" for i in range(ROWS)],
        joined=[date(2026, 1, 1 + i % 28) for i in range(ROWS)],
        spoken=[f"{1 + i % 28}.3.2026" for i in range(ROWS)],
        cells=[[1]] * ROWS,
        answer=np.where(LEFT, 1, 0) * 10 + np.random.default_rng(102).random(ROWS),
        label=np.where(LEFT, "gone", "here"),
        again=[str(i % 5) for i in range(ROWS)],
        again2=[str(i % 5) for i in range(ROWS)],
        phone=[f"+49 151 {i:07d}" for i in range(ROWS)],
        mail=[f"a{i}@example.org" for i in range(ROWS)],
        consent=["Yes", "No"] * (ROWS // 2),
    )
    assert _excluded(draft) == {
        "nothing": "empty",
        "same": "constant",
        "row": "identifier",
        "code": "identifier",
        "many": "too many levels",
        "joined": "date",
        "spoken": "date",
        "cells": "text",
        "answer": "leak",
        "label": "leak",
        "again2": "copy",
        "phone": "contact",
        "mail": "contact",
        "consent": "contact",
    }
    assert set(draft.schema.names) == {"signal", "again"}
    assert draft.schema.contacts.columns == ("phone", "mail", "consent")
    assert all(item.evidence for item in draft.schema.excluded)


def test_ten_thousand_levels_are_too_many() -> None:
    rng = np.random.default_rng(103)
    rows = 20_000
    table = pl.DataFrame(
        {
            "id": range(rows),
            "left": rng.integers(0, 2, rows),
            "street": [f"Street {i % 10_000}" for i in range(rows)],
            "a": rng.random(rows),
        }
    )
    draft = infer(table, key="id", target="left")
    assert _excluded(draft) == {"street": "too many levels"}
    assert "10,000 different values" in _said(draft, "street")


def test_a_strong_column_is_a_leak_only_under_a_name_that_gives_it_away() -> None:
    strong = np.where(LEFT, 2.7, 0.0) + np.random.default_rng(104).normal(size=ROWS)  # AUC .94: between the two limits
    assert _excluded(_draft(strong=strong)) == {}
    assert _excluded(_draft(churn_score=strong)) == {"churn_score": "leak"}


def test_few_rows_cannot_tell_a_leak_and_say_so() -> None:
    table = pl.DataFrame(
        {"id": range(10), "left": ["Yes", "No"] * 5, "answer": ["gone", "here"] * 5, "b": [i % 3 for i in range(10)]}
    )
    draft = infer(table, key="id", target="left")
    assert "leaks not looked for" in _said(draft, "")
    assert draft.schema.names == ("answer", "b")


# -- what is decided about the rest --------------------------------------------------------------------------------------


def test_keys_that_repeat_over_dates_make_snapshots() -> None:
    table = pl.DataFrame(
        {
            "id": [f"c{i % 200}" for i in range(ROWS)],
            "left": np.where(LEFT, 1, 0),
            "month": ["2026-01-31"] * 200 + ["2026-02-28"] * 200,
            "signal": np.random.default_rng(105).random(ROWS),
        }
    )
    draft = infer(table, key="id", target="left")
    assert draft.schema.snapshot is not None
    assert (draft.schema.snapshot.column, draft.schema.snapshot.horizon_days) == ("month", 28)
    assert draft.schema.names == ("signal",)
    assert draft.schema.horizon == "month"
    assert conform(table, draft.schema, target=True)["month"].dtype == pl.Date


def test_bad_keys_are_mentioned_and_left_to_the_check() -> None:
    table = _base().with_columns(pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("c9")).otherwise("id").alias("id"))
    table = table.with_columns(pl.when(pl.int_range(pl.len()) == 20).then(pl.lit("")).otherwise("id").alias("id"))
    draft = infer(table, key="id", target="left")
    assert "1 row has none and 3 rows repeat another's: `churn schema check` lists them" in _said(draft, "id")
    assert draft.warnings == ("Column 'id' is to be the key, but 1 row has none and 3 rows repeat another's.",)
    with pytest.raises(DataError, match="must not repeat"):
        conform(table, draft.schema)


def test_text_in_a_number_is_left_to_the_check() -> None:
    cells = [str(i % 90) for i in range(ROWS)]
    cells[17] = "abc"
    table = _base(amount=cells)
    draft = infer(table, key="id", target="left")
    assert draft.schema.feature("amount").is_number
    assert "1 cell is no number that can be used, such as 'abc' in row 18" in _said(draft, "amount")
    with pytest.raises(DataError, match="column 'amount' must be a number; row 18 has 'abc'"):
        conform(table, draft.schema)


def test_numbers_in_other_spellings_are_numbers_to_be_fixed() -> None:
    draft = _draft(income=[f"${1000 + 7 * i:,}.00" for i in range(ROWS)])
    feature = draft.schema.feature("income")
    assert (feature.kind, feature.unit, feature.range) == ("number", "money", (1000, 3793))
    assert "--fix" in _said(draft, "income")


@pytest.mark.parametrize(
    ("spelling", "sign"),
    [("{:.2f} €", "€"), ("£{:.2f}", "£"), ("CHF {:.2f}", "CHF"), ("{:.2f} eur", "€"), ("${:.2f}", "$"), ("{:.2f}", "$")],
)
def test_the_currency_is_the_one_seen_in_the_cells(spelling: str, sign: str) -> None:
    draft = _draft(MonthlyCharges=[spelling.format(20 + i % 90 + 0.25) for i in range(ROWS)])
    assert draft.schema.currency == sign
    assert ("the sign in the cells" in _said(draft, "")) == (spelling != "{:.2f}")


def test_a_few_values_below_0_in_what_counts_something_are_named_as_mistakes() -> None:
    tenure = [i * 7 % 73 for i in range(ROWS)]
    tenure[17] = -3
    draft = _draft(tenure=tenure)
    feature = draft.schema.feature("tenure")
    assert (feature.range, feature.at_least) == ((0, 72), 0)
    said = "1 value below 0, such as '-3' in row 18"
    assert f"at least 0 ({said}, taken for a mistake; if it can be, remove `at_least`)" in _said(draft, "tenure")
    assert draft.warnings == (f"Column 'tenure' has {said}: mend the table, or remove `at_least` from the schema.",)
    with pytest.raises(DataError, match="column 'tenure' must be ≥ 0; row 18 has '-3'"):
        conform(_base(tenure=tenure), draft.schema)


@pytest.mark.parametrize(
    ("name", "below"), [("tenure", 40), ("discount_percent", 1), ("monthly_fee", 1)], ids=["many", "a percentage", "money"]
)
def test_values_below_0_that_may_be_right_are_only_said(name: str, below: int) -> None:
    cells = [-5 - i if i < below else i * 7 % 73 for i in range(ROWS)]
    draft = _draft(**{name: cells})
    assert draft.schema.feature(name).at_least is None
    assert draft.warnings == ()
    shown = "1 value" if below == 1 else f"{below} values"
    assert f"may be below 0 ({shown} below 0, such as '-5' in row 1; if it cannot be, set `at_least: 0`)" in _said(draft, name)


def test_keys_that_are_whole_numbers_spelt_as_floats_are_said() -> None:
    table = _base().with_columns(id=pl.format("{}.0", pl.int_range(pl.len()) + 1000))
    draft = infer(table, key="id", target="left")
    assert "key: whole numbers ('1000.0' is read as '1000', in every table alike)" in _said(draft, "id")
    assert "one for each of 400 rows" in _said(draft, "id")
    assert "key: whole numbers" not in _said(_draft(), "id")


def test_types_of_other_files_mean_the_same() -> None:
    text = _base(flag=["1", "0"] * (ROWS // 2), kind=["a", "b", "c", "d"] * (ROWS // 4), n=[str(i % 30) for i in range(ROWS)])
    native = text.with_columns(pl.col("flag").cast(pl.Int64), pl.col("n").cast(pl.Int64), pl.col("kind").cast(pl.Categorical))
    assert infer(native, key="id", target="left").schema == infer(text, key="id", target="left").schema


def test_what_grows_by_itself_has_a_clock_and_the_decision_is_shown() -> None:
    rng = np.random.default_rng(103)
    months, age, price = rng.integers(1, 60, ROWS), rng.integers(18, 90, ROWS), np.round(rng.uniform(10, 90, ROWS), 2)
    more = {
        "Months_on_book": months,
        "Age": age,
        "Months_Inactive_12_mon": rng.integers(0, 12, ROWS),
        "price": price,
        "Months_of_tenure_at_price": months * price,
    }
    draft = _draft(**more)
    assert {f.name: f.clock for f in draft.schema.features if f.clock} == {"Months_on_book": "month", "Age": "year"}
    assert "clock: grows by one each month (its name and unit; " in _said(draft, "Months_on_book")
    assert draft.schema.feature("Months_of_tenure_at_price").formula == "Months_on_book * price"  # it follows the clock instead


def test_decisions_are_the_same_every_time_and_in_the_tables_order() -> None:
    table = _base(b=[str(i % 5) for i in range(ROWS)], a=["x", "y"] * (ROWS // 2))
    first, second = (infer(table, key="id", target="left", name="Them") for _ in range(2))
    assert first == second
    assert first.schema.name == "Them"
    columns = list(dict.fromkeys(item.column for item in first.decisions))
    assert columns == ["id", "left", "signal", "b", "a", ""]


# -- what cannot be drafted ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "kind", "says"),
    [
        ({"id": ["a"], "left": ["Yes"], "x": ["1"]}, DataError, "must have two classes; every row has 'Yes'"),
        ({"id": ["a", "b"], "left": ["Yes", "No"]}, SchemaError, "the table has only key and target"),
        ({"id": ["a", "b"], "left": ["Yes", "No"], "x": [None, None]}, SchemaError, "no column is left .*x: empty"),
        ({"ID": ["a", "b"], "left": ["Yes", "No"], "x": ["1", "2"]}, SchemaError, "did you mean 'ID'"),
        ({"id;left;x": ["a;Yes;1"]}, SchemaError, "key column 'id'"),
        ({"id": ["a", "b"], "left": ["Yes", "No"], "__x__": ["1", "2"]}, SchemaError, "double underscores"),
    ],
)
def test_tables_nothing_can_be_made_of(table: dict[str, list[Any]], kind: type[ChurnError], says: str) -> None:
    with pytest.raises(kind, match=says):
        infer(pl.DataFrame(table), key="id", target="left")
    with pytest.raises(SchemaError, match="cannot be both key and target"):
        infer(pl.DataFrame({"id": [1]}), key="id", target="id")


texts = st.one_of(
    st.none(), st.text(max_size=5), st.sampled_from(["Yes", "No", "1", "0", "NA", " ", "2026-01-02", "1/2/2026", "1,5", "None"])
)
kinds = st.sampled_from(
    [
        (pl.String, texts),
        (pl.Float64, st.none() | st.floats(width=32)),
        (pl.Int64, st.none() | st.integers(-3, 3) | st.integers(-(2**62), 2**62)),
        (pl.Boolean, st.none() | st.booleans()),
        (pl.Date, st.none() | st.dates()),
        (pl.Datetime, st.none() | st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))),
        (pl.Null, st.none()),
    ]
)
names = st.one_of(
    st.text(min_size=1, max_size=8), st.sampled_from(["Age", "phone", "zip", "count", "value", "row", "price", "tenure"])
)


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.sampled_from([5, 60, 2, 1, 0]))
    columns = {}
    for name in ["id", "left", *draw(st.lists(names, max_size=5, unique=True))]:
        kind, cells = draw(kinds)
        some = draw(st.lists(cells, min_size=min(rows, 8), max_size=min(rows, 8)))
        columns[name] = pl.Series(name, [some[i % len(some)] for i in range(rows)] if some else [], dtype=kind, strict=False)
    if rows > 1 and draw(st.integers(0, 9)):
        columns["left"] = pl.Series("left", [i % 2 for i in range(rows)])
    return pl.DataFrame(list(columns.values()))


@given(tables())
@settings(max_examples=150)
def test_any_table_is_described_or_refused(table: pl.DataFrame) -> None:
    """Only `ChurnError`s; and a schema that is drafted reads its own table, or says where it does not fit."""
    try:
        schema = infer(table, key="id", target="left").schema
    except ChurnError:
        return
    assert Schema.from_yaml(schema.to_yaml()) == schema
    report = check(table, schema, target=True)
    assert all(violation.column == "id" or violation.fix or violation.row for violation in report.errors)
    try:
        assert conform(table, schema, target=True).height == table.height
    except DataError as error:
        assert len(error.violations) == len(report.errors)  # noqa: PT017 - either outcome is right

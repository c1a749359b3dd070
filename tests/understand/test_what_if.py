"""Edits respect the table: rules, formulas, the way back, and no edit without a trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.data.infer import infer
from churn.data.quality import conform
from churn.data.schema import Feature, Level, Rule, Schema, Snapshot, Target
from churn.data.source import read_table
from churn.errors import DataError, SchemaError
from churn.understand.evidence import Evidence
from churn.understand.what_if import (
    ALWAYS,
    FROM_NOW_ON,
    Edited,
    Scenario,
    cascade_sentences,
    choices,
    edit,
    one_horizon_later,
)

NONE = "No internet service"


def _with(schema: Schema, **parts: Any) -> Schema:
    """The schema with other parts; `model_copy` would keep what it has looked up before."""
    return Schema(**{**{name: getattr(schema, name) for name in Schema.model_fields}, **parts})


@pytest.fixture(scope="session")
def evidence(reference: pl.DataFrame, schema: Schema) -> Evidence:
    return Evidence(reference, schema)


@pytest.fixture(params=["with evidence", "without"])
def known(request: pytest.FixtureRequest, evidence: Evidence) -> Evidence | None:
    return evidence if request.param == "with evidence" else None


def test_no_edit_changes_nothing(customer: dict[str, Any], schema: Schema) -> None:
    assert edit(customer, {}, schema) == Edited(customer, customer, {}, ())
    assert edit(customer, {"Contract": "Month-to-month"}, schema).asked == {}


def test_a_plain_edit(customer: dict[str, Any], schema: Schema) -> None:
    edited = edit(customer, {"Contract": "One year"}, schema)
    assert edited.row == {**customer, "Contract": "One year"}
    assert edited.changed == {"Contract"}
    assert edited.cascade == ()
    assert customer["Contract"] == "Month-to-month"


def test_a_rule_clears_the_services(customer: dict[str, Any], schema: Schema, known: Evidence | None) -> None:
    edited = edit(customer, {"Internet": "No", "OnlineSecurity": "Yes"}, schema, known)
    assert edited.row["OnlineSecurity"] == edited.row["TechSupport"] == NONE
    assert [(c.feature, c.before, c.after) for c in edited.cascade] == [
        ("OnlineSecurity", "Yes", NONE),
        ("TechSupport", "No", NONE),
    ]
    assert edited.cascade[0].why == "follows from Internet: No"
    assert cascade_sentences(edited, schema) == ("No internet also removes: Online security and Tech support",)


def test_and_the_way_back_opens_them(customer: dict[str, Any], schema: Schema, known: Evidence | None) -> None:
    offline = {**customer, "Internet": "No", "OnlineSecurity": NONE, "TechSupport": NONE}
    edited = edit(offline, {"Internet": "Fiber optic"}, schema, known)
    assert edited.row["OnlineSecurity"] == edited.row["TechSupport"] == "No"
    assert {c.why for c in edited.cascade} == {"possible again with Internet: Fibre"}
    assert cascade_sentences(edited, schema) == ("Fibre internet also changes: Online security to No and Tech support to No",)


def test_a_value_only_a_rule_allows_cannot_be_asked_for(customer: dict[str, Any], schema: Schema, known: Evidence | None) -> None:
    edited = edit(customer, {"OnlineSecurity": NONE}, schema, known)
    assert edited.row["OnlineSecurity"] == "No"
    assert edited.asked == {}


def test_choices(customer: dict[str, Any], schema: Schema, known: Evidence | None) -> None:
    feature = schema.feature("OnlineSecurity")
    assert [level.value for level in choices(customer, feature, schema, known)] == ["No", "Yes"]
    assert [level.value for level in choices({**customer, "Internet": "No"}, feature, schema, known)] == [NONE]
    assert len(choices(customer, schema.feature("Contract"), schema, known)) == 3


def test_rules_that_lead_back_by_themselves(customer: dict[str, Any], schema: Schema, evidence: Evidence) -> None:
    back = tuple(
        Rule(when={"Internet": ("DSL", "Fiber optic"), name: NONE}, then={name: "No"}, label="Internet")
        for name in ("OnlineSecurity", "TechSupport")
    )
    both = _with(schema, rules=(*schema.rules, *back))
    offline = {**customer, "Internet": "No", "OnlineSecurity": NONE, "TechSupport": NONE}
    for known in (None, Evidence(evidence._reference, both)):
        edited = edit(offline, {"Internet": "DSL"}, both, known)
        assert edited.row["OnlineSecurity"] == "No"
        assert {c.cause for c in edited.cascade} == {"freed"}
        assert [level.value for level in choices(customer, both.feature("OnlineSecurity"), both, known)] == ["No", "Yes"]


def test_a_level_that_others_have_too_stays(customer: dict[str, Any], schema: Schema, reference: pl.DataFrame) -> None:
    shared = _with(schema, rules=(Rule(when={"Internet": "No"}, then={"Senior": "No"}),))
    row = {**customer, "Internet": "No", "Senior": "No"}
    assert edit(row, {"Internet": "DSL"}, shared, Evidence(reference, shared)).row["Senior"] == "No"


def test_the_most_usual_level_takes_the_place_where_there_is_no_plain_no(reference: pl.DataFrame, schema: Schema) -> None:
    kind = Feature(
        name="Kind", kind="category", label="Kind", levels=tuple(Level(value=v) for v in ("none at all", "cheap", "dear"))
    )
    table = reference.with_columns(
        Kind=pl.when(pl.col("Internet") == "No").then(pl.lit("none at all")).when(pl.col("tenure") < 20)
        .then(pl.lit("cheap")).otherwise(pl.lit("dear"))
    )  # fmt: skip
    told = _with(schema, features=(*schema.features, kind), rules=(Rule(when={"Internet": "No"}, then={"Kind": "none at all"}),))
    row = {**table.filter(pl.col("Internet") == "No").row(0, named=True)}
    assert edit(row, {"Internet": "DSL"}, told, Evidence(table, told)).row["Kind"] == "dear"


def test_formulas_follow_and_keep_the_residual(customer: dict[str, Any], schema: Schema) -> None:
    edited = edit({**customer, "tenure": 10.0, "Total": 750.0}, {"Monthly": 83.65}, schema)
    assert edited.row["Total"] == pytest.approx(836.5 + 13.5)
    (change,) = edited.cascade
    assert change.cause == "formula"
    assert change.why == "recomputed from Tenure and Monthly charge"
    assert cascade_sentences(edited, schema) == ("Total charged becomes $850",)


def test_formulas_stay_within_what_is_possible(customer: dict[str, Any], schema: Schema) -> None:
    edited = edit({**customer, "Total": 1.0}, {"Monthly": 20.0}, schema)
    assert edited.row["Total"] == 0.0


def test_formulas_and_missing_values(customer: dict[str, Any], schema: Schema) -> None:
    new = {**customer, "tenure": 0.0, "Total": None}
    assert edit(new, {"Monthly": 90.0}, schema).row["Total"] is None  # the formula says the same as before: nothing
    assert edit({**customer, "Total": None}, {"Monthly": 90.0}, schema).row["Total"] == 90.0
    unknown = edit({**customer, "tenure": None}, {"Monthly": 90.0}, schema)
    assert unknown.row["Total"] == customer["Total"]


def test_what_the_row_broke_before_is_left_alone(customer: dict[str, Any], schema: Schema, known: Evidence | None) -> None:
    odd = {**customer, "Internet": "No", "TechSupport": "Yes", "OnlineSecurity": NONE}
    edited = edit(odd, {"Contract": "Two year"}, schema, known)
    assert edited.changed == {"Contract"}
    online = {**customer, "OnlineSecurity": NONE}
    assert edit(online, {"Contract": "Two year"}, schema, known).changed == {"Contract"}


def test_a_rule_on_a_number(customer: dict[str, Any], schema: Schema) -> None:
    free = _with(schema, rules=(Rule(when={"Monthly": "20"}, then={"Contract": "One year"}),))
    assert edit(customer, {"Monthly": 20.0}, free).row["Contract"] == "One year"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tenure": 5.0}, "column 'tenure' cannot be edited"),
        ({"Contract": "Weekly"}, "column 'Contract' must be one of 'Month-to-month', 'One year', 'Two year'; not 'Weekly'"),
        ({"Contract": None}, "column 'Contract' must be one of"),
        ({"Monthly": 500.0}, "column 'Monthly' must be ≤ 120, the highest seen; not 500"),
        ({"Monthly": 1}, "column 'Monthly' must be ≥ 18, the lowest seen; not 1"),
        ({"Monthly": "73"}, "column 'Monthly' must be a number; not '73'"),
        ({"Monthly": float("nan")}, "column 'Monthly' must be a number; not nan"),
        ({"Monthly": True}, "column 'Monthly' must be a number; not True"),
    ],
)
def test_what_cannot_be_is_refused(customer: dict[str, Any], schema: Schema, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as refused:
        edit(customer, changes, schema)
    assert message in str(refused.value)


def test_unknown_columns_and_whole_numbers(customer: dict[str, Any], schema: Schema) -> None:
    with pytest.raises(SchemaError, match="is no feature"):
        edit(customer, {"Colour": "red"}, schema)
    tenure = schema.feature("tenure").model_copy(update={"editable": True})
    free = _with(schema, features=(tenure, *schema.features[1:]))
    with pytest.raises(DataError, match="must be a whole number"):
        edit(customer, {"tenure": 1.5}, free)


def test_rules_that_chase_each_other_are_named(customer: dict[str, Any]) -> None:
    flags = tuple(
        Feature(name=n, kind="flag", label=n, editable=True, levels=(Level(value="No"), Level(value="Yes")))
        for n in ("a", "b", "c")
    )
    chase = Schema(
        key="id",
        target=Target(column="left", positive="Yes"),
        features=flags,
        rules=(
            Rule(when={"a": "Yes", "b": "Yes"}, then={"c": "Yes"}),
            Rule(when={"c": "Yes"}, then={"b": "No"}),
            Rule(when={"b": "No", "a": "Yes"}, then={"b": "Yes", "c": "No"}),
        ),
    )
    with pytest.raises(SchemaError, match=r"contradict each other: .* never come to rest"):
        edit({"a": "No", "b": "Yes", "c": "No"}, {"a": "Yes"}, chase)


EDITS = st.fixed_dictionaries(
    {},
    optional={
        "Contract": st.sampled_from(["Month-to-month", "One year", "Two year"]),
        "Internet": st.sampled_from(["DSL", "Fiber optic", "No"]),
        "OnlineSecurity": st.sampled_from(["No", "Yes", NONE]),
        "TechSupport": st.sampled_from(["No", "Yes", NONE]),
        "Monthly": st.floats(18, 120),
    },
)


@settings(deadline=None)
@given(place=st.integers(0, 1999), changes=EDITS)
def test_laws(place: int, changes: dict[str, Any], reference: pl.DataFrame, schema: Schema, evidence: Evidence) -> None:
    row = reference.row(place, named=True)
    edited = edit(row, changes, schema, evidence)
    # every change is either asked for or told
    assert edited.changed <= set(edited.asked) | {c.feature for c in edited.cascade}
    # the rule holds afterwards, both ways
    assert (edited.row["Internet"] == "No") == (edited.row["TechSupport"] == NONE) == (edited.row["OnlineSecurity"] == NONE)
    # the residual is kept
    if edited.row["Total"] > 0:
        own = row["Total"] - row["tenure"] * row["Monthly"]
        assert edited.row["Total"] - edited.row["tenure"] * edited.row["Monthly"] == pytest.approx(own, abs=1e-6)
    # applying the same edits again changes nothing more
    again = edit(edited.row, {**edited.asked}, schema, evidence)
    assert again.changed == frozenset()


def test_scenario_goes_back_and_forth() -> None:
    start = Scenario()
    one = start.set("Contract", "One year", "Month-to-month")
    two = one.set("Monthly", 60.0, 73.65)
    assert two.changes == {"Contract": "One year", "Monthly": 60.0}
    assert two.undo() == Scenario(one.edits, one.past, ((two.edits, "always"),))
    assert two.undo().undo().changes == {}
    assert two.undo().redo() == two
    assert two.reset().changes == {}
    assert two.reset().undo().changes == two.changes
    assert start.undo() == start.redo() == start.reset() == start


def test_scenario_forgets_the_future_and_no_edits() -> None:
    tried = Scenario().set("a", "x").undo().set("b", "y")
    assert tried.redo() == tried
    assert tried.set("b", "y") == tried
    assert tried.set("b", "old", "old").changes == {}
    assert hash(tried)
    for i in range(100):
        tried = tried.set("n", float(i))
    assert len(tried.past) == 50


@pytest.mark.realdata
def test_the_drafted_schema_of_a_real_table(real_table: Callable[[str], Path]) -> None:
    raw = read_table(real_table("WA_Fn-UseC_-Telco-Customer-Churn.csv"))
    drafted = infer(raw, key="customerID", target="Churn").schema
    table = conform(raw, drafted)
    real = Evidence(table, drafted)
    services = ("OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies")
    for row in table.filter(pl.col("InternetService") == "Fiber optic").head(50).to_dicts():
        offline = edit(row, {"InternetService": "No"}, drafted, real)
        assert {offline.row[name] for name in services} == {NONE}
        assert cascade_sentences(offline, drafted)[0].startswith("No internet service also removes: Online security, ")
        online = edit(offline.row, {"InternetService": "DSL"}, drafted, real)
        assert {online.row[name] for name in services} == {"No"}
        dearer = edit(row, {"MonthlyCharges": 100.0}, drafted, real)
        assert {change.feature for change in dearer.cascade} <= {"TotalCharges"}
        more = row["tenure"] * (100 - row["MonthlyCharges"])
        assert dearer.row["TotalCharges"] == pytest.approx(row["TotalCharges"] + more, abs=1e-6)
    fits = [real.support(row, row, set(drafted.names)).supported for row in table.head(500).to_dicts()]
    assert sum(fits) >= 490  # real customers do look like real customers


def test_the_kind_of_edit_is_part_of_a_step() -> None:
    fields = Scenario().set("a", "x")
    action = fields.to({"b": 2.0}, {"b": 1.0}, since="from now on")
    assert (action.changes, action.since) == ({"b": 2.0}, "from now on")
    assert action.set("c", "y").since == "from now on"
    assert (action.undo().changes, action.undo().since) == ({"a": "x"}, "always")
    assert action.undo().redo() == action
    assert action.reset().since == "always"
    assert action.reset().undo().since == "from now on"
    assert fields.to(fields.changes, since="from now on").edits == fields.edits
    assert len(fields.to(fields.changes, since="from now on").past) == len(fields.past) + 1


# -- from now on -----------------------------------------------------------------


@pytest.fixture(scope="session")
def clocked(schema: Schema) -> Schema:
    """The same table, whose tenure grows by a month each month; the model looks a quarter ahead."""
    tenure = schema.feature("tenure").model_copy(update={"clock": "month"})
    return _with(schema, features=(tenure, *schema.features[1:]), horizon="quarter")


def test_doing_nothing_for_one_horizon(customer: dict[str, Any], clocked: Schema) -> None:
    later = one_horizon_later({**customer, "tenure": 10.0, "Total": 750.0}, clocked)
    assert later == {**customer, "tenure": 13.0, "Total": pytest.approx(750 + 3 * 73.65)}


def test_from_now_on_keeps_the_history_and_always_rewrites_it(customer: dict[str, Any], clocked: Schema) -> None:
    row = {**customer, "tenure": 10.0, "Total": 750.0}
    now = edit(row, {"Monthly": 50.0}, clocked, since=FROM_NOW_ON)
    assert now.since == FROM_NOW_ON
    assert now.before == one_horizon_later(row, clocked)
    assert (now.row["tenure"], now.row["Monthly"]) == (13.0, 50.0)
    assert now.row["Total"] == pytest.approx(750 + 3 * 50)  # what was charged stays charged
    assert now.changed == {"Monthly", "Total"}  # against doing nothing, not against today
    (change,) = now.cascade
    assert (change.feature, change.cause, change.before) == ("Total", "formula", pytest.approx(750 + 3 * 73.65))
    always = edit(row, {"Monthly": 50.0}, clocked, since=ALWAYS)
    assert always.row["tenure"] == 10.0
    assert always.row["Total"] == pytest.approx(750 - 10 * 23.65)


def test_from_now_on_recomputes_what_has_no_clock(customer: dict[str, Any], clocked: Schema) -> None:
    half = Feature(name="Half", kind="number", label="Half the charge", formula="Monthly / 2")
    average = Feature(name="Average", kind="number", label="Charged a month", unit="money", formula="Total / tenure")
    more = _with(clocked, features=(*clocked.features, half, average))
    row = {**customer, "tenure": 10.0, "Total": 750.0, "Half": 36.825, "Average": 75.0}
    now = edit(row, {"Monthly": 50.0}, more, since=FROM_NOW_ON)
    assert now.row["Half"] == 25.0
    assert now.row["Average"] == pytest.approx(900 / 13)  # through a column with a clock, exactly as it was computed before
    assert edit(row, {}, more, since=FROM_NOW_ON).changed == frozenset()


def test_from_now_on_the_rules_hold(customer: dict[str, Any], clocked: Schema, known: Evidence | None) -> None:
    edited = edit(customer, {"Internet": "No"}, clocked, known, since=FROM_NOW_ON)
    assert edited.row["TechSupport"] == edited.row["OnlineSecurity"] == NONE
    assert cascade_sentences(edited, clocked) == ("No internet also removes: Online security and Tech support",)


def test_from_now_on_with_what_is_not_known(customer: dict[str, Any], clocked: Schema) -> None:
    new = edit({**customer, "tenure": 0.0, "Total": None}, {}, clocked, since=FROM_NOW_ON)
    assert (new.row["tenure"], new.row["Total"]) == (3.0, pytest.approx(3 * 73.65))  # no history yet, so it begins
    unknown = edit({**customer, "tenure": None}, {"Monthly": 50.0}, clocked, since=FROM_NOW_ON)
    assert (unknown.row["tenure"], unknown.row["Total"]) == (None, 80.0)


@pytest.mark.parametrize(
    ("parts", "months"),
    [
        ({"horizon": "month"}, 1.0),
        ({"horizon": ""}, 1.0),  # nothing is said: a month
        ({"horizon": "year"}, 12.0),
        ({"snapshot": Snapshot(column="day", horizon_days=90)}, 3.0),
        ({"snapshot": Snapshot(column="day", horizon_days=10)}, 0.0),  # not yet a whole month
    ],
)
def test_how_far_a_clock_goes(customer: dict[str, Any], clocked: Schema, parts: dict[str, Any], months: float) -> None:
    assert one_horizon_later(customer, _with(clocked, **parts))["tenure"] == 1.0 + months


def test_clocks_stop_at_what_can_be_and_need_not_be_whole(customer: dict[str, Any], clocked: Schema) -> None:
    years = Feature(name="years", kind="number", label="Years", unit="year", clock="year", at_most=5.1)
    schema = _with(clocked, features=(*clocked.features, years))
    assert one_horizon_later({**customer, "years": 4.0}, schema)["years"] == 4.25
    assert one_horizon_later({**customer, "years": 5.0}, schema)["years"] == 5.1


@settings(deadline=None)
@given(place=st.integers(0, 1999), changes=EDITS)
def test_laws_from_now_on(place: int, changes: dict[str, Any], reference: pl.DataFrame, clocked: Schema) -> None:
    row = reference.row(place, named=True)
    edited = edit(row, changes, clocked, since=FROM_NOW_ON)
    nothing = one_horizon_later(row, clocked)
    assert edited.before == nothing
    assert edited.changed <= set(edited.asked) | {c.feature for c in edited.cascade}
    # of the history nothing is lost: only the three months to come are charged anew
    assert edited.row["Total"] - row["Total"] == pytest.approx(3 * edited.row["Monthly"], abs=1e-6)
    assert edit(row, {}, clocked, since=FROM_NOW_ON).row == nothing


# -- as far as it goes -------------------------------------------------------------


@pytest.fixture(scope="session")
def bank() -> Schema:
    """A credit limit, what of it is used, and what is open: never below nothing."""
    money = {"kind": "number", "unit": "money", "editable": True}
    return Schema(
        key="id",
        target=Target(column="left", positive="Yes"),
        features=(
            Feature(name="limit", label="Credit limit", range=(1000, 30_000), **money),
            Feature(name="used", label="Balance", range=(0, 3000), whole=True, **money),
            Feature(name="open", label="Open to buy", range=(0, 30_000), formula="limit - used", **money),
        ),
    )


def test_an_edit_stops_where_what_follows_would_be_impossible(bank: Schema) -> None:
    row = {"limit": 5000.0, "used": 2500.0, "open": 2500.0}
    edited = edit(row, {"limit": 1000.0}, bank)
    assert edited.row == {"limit": 2500.0, "used": 2500.0, "open": 0.0}
    assert edited.asked == {"limit": 2500.0}
    assert [(c.feature, c.before, c.cause) for c in edited.cascade] == [("limit", 1000.0, "limit"), ("open", 2500.0, "formula")]
    assert cascade_sentences(edited, bank)[0] == "Credit limit stops at $2,500, as far as Open to buy allows"
    assert edit(row, {"limit": 2500.0}, bank).row["open"] == 0  # what is possible is done to the cent


def test_whole_numbers_stop_at_whole_numbers(bank: Schema) -> None:
    row = {"limit": 1000.5, "used": 10.0, "open": 990.5}
    assert edit(row, {"used": 3000.0}, bank).row["used"] == 1000.0


def test_two_edits_stop_together_and_a_row_that_is_beyond_may_stay_there(bank: Schema) -> None:
    row = {"limit": 5000.0, "used": 0.0, "open": 5000.0}
    both = edit(row, {"limit": 1000.0, "used": 3000.0}, bank).row
    assert both["open"] == both["limit"] - both["used"] >= 0
    overdrawn = {"limit": 1500.0, "used": 2000.0, "open": -500.0}
    assert edit(overdrawn, {"used": 1900.0}, bank).row["open"] == -400.0
    assert edit(overdrawn, {"used": 2500.0}, bank).asked == {}  # nor any further

"""All bundles of one and two actions: which can be taken, what they bring, and in which order they stand."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from churn.base.expected_value import Assumptions, expected_value
from churn.data.schema import Action, Schema
from churn.understand.actions import Outcome, Ranking, rank_actions
from churn.understand.evidence import Evidence
from churn.understand.what_if import FROM_NOW_ON, edit, one_horizon_later

from .hand_made import HandMade

ASSUMED = Assumptions(alpha=3, beta=7, stayers_taking=0.5, value_months=12, contact_cost=2)
ACTIONS = (
    Action(name="year", label="One-year contract, 10% off", set={"Contract": "One year"}, scale={"Monthly": 0.9}, cost=60),
    Action(name="two", label="Two-year contract", set={"Contract": "Two year"}, cost=120),
    Action(name="support", label="Tech support, free", set={"TechSupport": "Yes"}, cost=40),
    Action(name="offline", label="Phone only", set={"Internet": "No"}, cost=0),
    Action(name="loyalty", label="Counts as a customer for long", set={"tenure": 60.0}, cost=10),
)


@pytest.fixture(scope="session")
def offers(schema: Schema) -> Schema:
    tenure = schema.feature("tenure").model_copy(update={"clock": "month"})
    parts = {name: getattr(schema, name) for name in Schema.model_fields}
    return Schema(**{**parts, "features": (tenure, *schema.features[1:]), "actions": ACTIONS, "horizon": "quarter"})


@pytest.fixture(scope="session")
def evidence(reference: pl.DataFrame, offers: Schema) -> Evidence:
    return Evidence(reference, offers)


def _with(schema: Schema, **parts: Any) -> Schema:
    return Schema(**{**{name: getattr(schema, name) for name in Schema.model_fields}, **parts})


def _ranked(row: dict[str, Any], schema: Schema, evidence: Evidence, money: float | None = 73.65) -> Ranking:
    return rank_actions(row, money, model=HandMade(schema), evidence=evidence, assumptions=ASSUMED)


def _of(ranked: Ranking, *names: str) -> Outcome:
    return next(outcome for outcome in ranked.outcomes if outcome.names == names)


def test_one_action_by_hand(customer: dict[str, Any], offers: Schema, evidence: Evidence) -> None:
    model = HandMade(offers)
    ranked = _ranked(customer, offers, evidence)
    later = {**customer, "tenure": 4.0, "Total": 80 + 3 * 73.65}
    taken = {**later, "Contract": "One year", "Monthly": 66.29, "Total": 80 + 3 * 66.29}
    assert ranked.nothing_done == pytest.approx(model.one(later))
    assert ranked.value == pytest.approx(12 * 73.65)
    year = _of(ranked, "year")
    assert year.edited.row == pytest.approx(taken)
    assert year.risk == pytest.approx(model.one(taken))
    assert year.drop == pytest.approx(model.one(later) - model.one(taken))
    p = ranked.nothing_done
    expected = 2 + p * 0.3 * 60 + (1 - p) * 0.5 * 60
    assert (year.cost, year.expected_cost) == (60, pytest.approx(expected))
    assert year.net_value == pytest.approx(0.3 * year.drop * 12 * 73.65 - expected)
    assert year.drop_per_cost == pytest.approx(year.drop / expected)
    assert year.fills == {"Contract": "One year", "Monthly": 66.29}
    assert year.cascade == ("Total charged becomes $278.87",)
    assert year.support == evidence.support(year.edited.before, year.edited.row, year.edited.changed)


def test_an_action_that_keeps_everybody_who_takes_it_is_worth_the_expected_value() -> None:
    """With p′ = 0 the net value is the expected value of an offer."""
    p, value, offer = 0.4, 900.0, 60.0
    net = ASSUMED.acceptance * p * value - (2 + p * 0.3 * offer + (1 - p) * 0.5 * offer)
    assert net == pytest.approx(float(expected_value(p, value, offer, ASSUMED)))


def test_pairs_and_what_is_no_pair(customer: dict[str, Any], offers: Schema, evidence: Evidence) -> None:
    ranked = _ranked({**customer, "TechSupport": "No"}, offers, evidence)
    found = {outcome.names for outcome in ranked.outcomes}
    assert {names for names in found if len(names) == 1} == {("year",), ("two",), ("support",), ("offline",), ("loyalty",)}
    assert {("year", "support"), ("two", "offline"), ("support", "loyalty")} <= found
    why = {left.names: left.reason for left in ranked.left_out}
    assert why[("year", "two")] == "both change Contract"
    assert why[("support", "offline")] == "Phone only undoes Tech support, free"
    pair = _of(ranked, "year", "support")
    assert pair.label == "One-year contract, 10% off + Tech support, free"
    assert pair.cost == 100
    both = {"Contract": "One year", "Monthly": 66.29, "TechSupport": "Yes"}
    assert pair.edited == edit(customer, both, offers, evidence, since=FROM_NOW_ON)
    assert len(found) + len(why) == 5 + 10


def test_what_changes_nothing_is_left_out_with_the_reason(customer: dict[str, Any], offers: Schema, evidence: Evidence) -> None:
    offline = {**customer, "Internet": "No", "OnlineSecurity": "No internet service", "TechSupport": "No internet service"}
    ranked = _ranked({**offline, "Contract": "Two year", "Monthly": 19.0}, offers, evidence)
    why = {left.names: left.reason for left in ranked.left_out if len(left.names) == 1}
    assert why == {
        ("year",): "Monthly charge would be $17.10, beyond what has been seen",
        ("two",): "changes nothing for this customer",
        ("support",): "is not possible for this customer",
        ("offline",): "changes nothing for this customer",
    }
    assert [outcome.names for outcome in ranked.outcomes] == [("loyalty",)]
    assert {left.names for left in ranked.left_out if len(left.names) == 2} == set()  # why has been said of the one
    unknown = _ranked({**customer, "Monthly": None}, offers, evidence)
    assert {left.names: left.reason for left in unknown.left_out}[("year",)] == "Monthly charge is not known"


def test_what_an_action_cannot_ask_for_is_said_in_words(
    customer: dict[str, Any], schema: Schema, reference: pl.DataFrame
) -> None:
    """Whoever wrote the schema may have slipped; the page still speaks of labels, not of columns."""
    wrong = _with(
        schema,
        actions=(
            Action(name="long", label="For ever", set={"tenure": 900}),
            Action(name="gold", label="Gold", set={"Contract": "Gold"}),
        ),
    )
    ranked = _ranked(customer, wrong, Evidence(reference, wrong))
    assert [left.reason for left in ranked.left_out] == [
        "Tenure would be 900 months, beyond what has been seen",
        "Contract cannot be Gold",
    ]


def test_an_action_opened_by_another_makes_a_pair(customer: dict[str, Any], schema: Schema, reference: pl.DataFrame) -> None:
    fibre = Action(name="fibre", label="Fibre", set={"Internet": "Fiber optic"}, cost=5)
    both = _with(schema, actions=(fibre, ACTIONS[2]))
    offline = {**customer, "Internet": "No", "OnlineSecurity": "No internet service", "TechSupport": "No internet service"}
    ranked = _ranked(offline, both, Evidence(reference, both))
    assert {outcome.names for outcome in ranked.outcomes} == {("fibre",), ("fibre", "support")}
    assert _of(ranked, "fibre", "support").edited.row["TechSupport"] == "Yes"


def test_ranked_by_net_value_and_without_money_by_drop(
    customer: dict[str, Any], offers: Schema, evidence: Evidence, reference: pl.DataFrame
) -> None:
    rich = _ranked(customer, offers, evidence).outcomes
    assert [o.net_value for o in rich] == sorted((o.net_value for o in rich), reverse=True)
    poor = _with(offers, money=None)
    for ranked in (
        _ranked(customer, poor, Evidence(reference, poor)),
        _ranked(customer, offers, evidence, money=None),
        _ranked(customer, offers, evidence, money=float("nan")),
    ):
        assert ranked.value is None
        assert {o.net_value for o in ranked.outcomes} == {None}
        assert [o.drop for o in ranked.outcomes] == sorted((o.drop for o in ranked.outcomes), reverse=True)
    assert rich[0].names != ranked.outcomes[0].names  # what helps most is not what is worth most


def test_without_a_cost_nothing_is_valued_and_it_comes_last(
    customer: dict[str, Any], offers: Schema, reference: pl.DataFrame
) -> None:
    year, two, *others = offers.actions
    some = _with(offers, actions=(year, two.model_copy(update={"cost": None}), *others))
    ranked = _ranked(customer, some, Evidence(reference, some)).outcomes
    unpriced = [o for o in ranked if "two" in o.names]
    assert unpriced
    assert {(o.cost, o.expected_cost, o.net_value, o.drop_per_cost) for o in unpriced} == {(None, None, None, None)}
    assert list(ranked[-len(unpriced) :]) == unpriced
    assert [o.drop for o in unpriced] == sorted((o.drop for o in unpriced), reverse=True)


def test_ties_stand_by_name(customer: dict[str, Any], schema: Schema, reference: pl.DataFrame) -> None:
    twins = tuple(Action(name=name, label=name, set={"TechSupport": "Yes"}) for name in ("b", "a"))
    same = _with(schema, actions=twins)
    ranked = _ranked(customer, same, Evidence(reference, same))
    assert [o.names for o in ranked.outcomes] == [("a",), ("b",)]
    assert [(left.names, left.reason) for left in ranked.left_out] == [(("b", "a"), "changes no more than b")]


def test_an_action_may_set_what_the_what_if_does_not_offer(customer: dict[str, Any], offers: Schema, evidence: Evidence) -> None:
    loyal = _of(_ranked(customer, offers, evidence), "loyalty")
    assert loyal.edited.asked == {"tenure": 60.0}
    assert loyal.edited.row["tenure"] == 63.0  # it grows on
    assert loyal.fills == {}


def test_one_batch_however_many_actions(customer: dict[str, Any], offers: Schema, evidence: Evidence) -> None:
    model = HandMade(offers)
    ranked = rank_actions(customer, 70.0, model=model, evidence=evidence, assumptions=ASSUMED)
    assert model.asked == [1 + len(ranked.outcomes)]


def test_no_catalogue_says_so(customer: dict[str, Any], schema: Schema, reference: pl.DataFrame) -> None:
    model = HandMade(schema)
    ranked = rank_actions(customer, 70.0, model=model, evidence=Evidence(reference, schema), assumptions=ASSUMED)
    assert (ranked.outcomes, ranked.left_out) == ((), ())
    assert ranked.nothing_done == pytest.approx(model.one(dict(one_horizon_later(customer, schema))))
    assert ranked.note == "No actions are defined yet. Whoever looks after the model can add some."


def test_nothing_left_to_offer_says_so(customer: dict[str, Any], schema: Schema, reference: pl.DataFrame) -> None:
    only = _with(schema, actions=(ACTIONS[1],))
    ranked = _ranked({**customer, "Contract": "Two year"}, only, Evidence(reference, only))
    assert ranked.note == "None of the actions defined can be taken by this customer."

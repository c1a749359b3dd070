"""The best action of many customers at once is what each one's own ranking says, whatever the rows are like."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.base.expected_value import Assumptions
from churn.data.schema import Action, Feature, Rule, Schema
from churn.errors import SchemaError
from churn.understand.actions import best_supported, rank_actions
from churn.understand.best_action import best_actions
from churn.understand.evidence import Evidence

from .hand_made import HandMade
from .test_actions import ACTIONS, ASSUMED


def _with(schema: Schema, **parts: Any) -> Schema:
    return Schema(**{**{name: getattr(schema, name) for name in Schema.model_fields}, **parts})


def _changed(schema: Schema, **features: dict[str, Any]) -> tuple[Feature, ...]:
    """The schema's features with parts of some replaced."""
    return tuple(
        Feature(**{**feature.model_dump(), **features[feature.name]}) if feature.name in features else feature
        for feature in schema.features
    )


def _awkward(table: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Some rows with holes, with levels nobody has, and that break the rule."""
    draw = np.random.default_rng(seed)

    def some(share: float) -> pl.Series:
        return pl.Series(draw.random(table.height) < share)

    return table.with_columns(
        tenure=pl.when(some(0.1)).then(None).otherwise("tenure"),
        Monthly=pl.when(some(0.1)).then(None).otherwise(pl.when(some(0.1)).then(118.37).otherwise("Monthly")),
        Total=pl.when(some(0.1)).then(None).otherwise("Total"),
        Contract=pl.when(some(0.05)).then(None).otherwise(pl.when(some(0.05)).then(pl.lit("odd")).otherwise("Contract")),
        TechSupport=pl.when(some(0.1)).then(pl.lit("Yes")).otherwise("TechSupport"),
        Senior=pl.when(some(0.1)).then(None).otherwise("Senior"),
    )


CASES: dict[str, dict[str, Any]] = {
    "clock": {"tenure": {"clock": "month"}},
    "no clock": {},
    "exact formula": {"tenure": {"clock": "month"}, "Total": {"residual": False, "range": (0, 4000)}},
    "capped": {"tenure": {"clock": "month", "at_most": 60}, "Total": {"residual": True, "whole": True, "at_most": 6000}},
}


def _check(table: pl.DataFrame, schema: Schema, evidence: Evidence, money: pl.Series | None) -> list[str | None]:
    model = HandMade(schema)
    found = best_actions(table, money, model=model, evidence=evidence, assumptions=ASSUMED)
    amounts = [None] * table.height if money is None else money.to_list()
    for row, amount, label in zip(table.iter_rows(named=True), amounts, found, strict=True):
        best = best_supported(rank_actions(row, amount, model=model, evidence=evidence, assumptions=ASSUMED))
        assert label == (None if best is None else best.label), row
    return found


@pytest.mark.parametrize("few", [0, 500], ids=["compiled", "few"])
@pytest.mark.parametrize("case", CASES)
def test_the_same_answer_as_one_by_one(
    case: str, few: int, schema: Schema, reference: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("churn.understand.evidence._FEW", few)
    offers = _with(schema, features=_changed(schema, **CASES[case]), actions=ACTIONS, horizon="quarter")
    table = _awkward(reference.head(120), seed=len(case))
    money = table["Monthly"].set(pl.Series(np.arange(120) % 9 == 0), None)
    found = _check(table, offers, Evidence(reference, offers), money)
    assert len(set(found)) > 3  # there is something to tell apart


def test_without_money_and_without_costs(schema: Schema, reference: pl.DataFrame) -> None:
    unpriced = (ACTIONS[0].model_copy(update={"cost": None}), *ACTIONS[1:])
    offers = _with(schema, actions=unpriced, money=None)
    assert any(_check(reference.head(60), offers, Evidence(reference, offers), None))
    priced = _with(schema, actions=unpriced)
    _check(reference.head(60), priced, Evidence(reference, priced), reference["Monthly"].head(60))


def test_rules_with_conditions_and_ways_back(schema: Schema, reference: pl.DataFrame) -> None:
    """A rule that reads a number, one that leads back out of a value, and actions that set one off."""
    rules = (
        *schema.rules,
        Rule(when="tenure >= 60 and Contract != 'Month-to-month'", then={"Senior": "Yes"}),
        Rule(when={"OnlineSecurity": "No internet service"}, then={"Internet": "No"}),
    )
    actions = (
        *ACTIONS,
        Action(name="online", label="Online", set={"Internet": "DSL"}, cost=3),
        Action(name="safe", label="Safe", set={"OnlineSecurity": "Yes"}, cost=4),
    )
    offers = _with(schema, rules=rules, actions=actions, features=_changed(schema, tenure={"clock": "month"}))
    _check(_awkward(reference.head(100), seed=5), offers, Evidence(reference, offers), reference["Monthly"].head(100))


def test_what_no_customer_resembles_is_not_suggested(schema: Schema, reference: pl.DataFrame) -> None:
    """Nobody with fibre has a two-year contract here, so the action that pays best is not the one to suggest."""
    known = reference.filter(~((pl.col("Internet") == "Fiber optic") & (pl.col("Contract") == "Two year")))
    offers = _with(schema, actions=(ACTIONS[1], ACTIONS[2]))
    table = known.filter(pl.col("Internet") == "Fiber optic").head(40)
    found = _check(table, offers, Evidence(known, offers), pl.Series([300.0] * table.height))
    assert not any(label and "Two-year" in label for label in found)


def test_no_catalogue_and_nobody(schema: Schema, reference: pl.DataFrame) -> None:
    evidence = Evidence(reference, schema)
    assert (
        best_actions(reference.head(2), None, model=HandMade(schema), evidence=evidence, assumptions=Assumptions()) == [None] * 2
    )
    offers = _with(schema, actions=ACTIONS)
    assert best_actions(reference.head(0), None, model=HandMade(offers), evidence=evidence, assumptions=Assumptions()) == []


def test_rules_that_never_rest_are_named(schema: Schema, reference: pl.DataFrame) -> None:
    rules = (
        Rule(when={"Senior": "No", "Contract": "One year"}, then={"Senior": "Yes"}),
        Rule(when={"Senior": "Yes", "Contract": "One year"}, then={"Senior": "No"}),
    )
    offers = _with(schema, rules=rules, actions=ACTIONS[:1])
    evidence = Evidence(reference, offers)
    table = reference.filter(pl.col("Contract") != "One year").head(5)
    with pytest.raises(SchemaError, match="contradict each other"):
        best_actions(table, table["Monthly"], model=HandMade(offers), evidence=evidence, assumptions=ASSUMED)

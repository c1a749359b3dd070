"""No edit, action or suggestion is impossible, as judged by what was written by hand for each table (`validators`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.base.expected_value import Assumptions
from churn.data.infer import infer
from churn.data.quality import conform
from churn.data.schema import Action, Schema
from churn.data.source import read_table
from churn.model.risk_model import RiskModel
from churn.understand.actions import rank_actions
from churn.understand.changes import what_would_have_to_change
from churn.understand.evidence import Evidence
from churn.understand.what_if import ALWAYS, FROM_NOW_ON, Since, edit, reach, together

from . import validators
from .hand_made import HandMade

Check = Callable[..., list[str]]


@dataclass(frozen=True)
class Table:
    """A table to edit at random: its rows and schema, a model, and who judges; `quick` says how much to try."""

    rows: list[dict[str, Any]]
    schema: Schema
    model: RiskModel | HandMade
    reference: pl.DataFrame
    check: Check

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.reference, self.schema)


def _with(schema: Schema, **parts: Any) -> Schema:
    return Schema(**{**{name: getattr(schema, name) for name in Schema.model_fields}, **parts})


def _small(schema: Schema, reference: pl.DataFrame) -> Table:
    actions = (
        Action(name="year", label="A year", set={"Contract": "One year"}, scale={"Monthly": 0.9}, cost=60),
        Action(name="support", label="Tech support", set={"TechSupport": "Yes"}, cost=30),
        Action(name="fibre", label="Fibre", set={"Internet": "Fiber optic"}, scale={"Monthly": 1.2}),
        Action(name="offline", label="Phone only", set={"Internet": "No"}),
        Action(name="secure", label="Security", set={"OnlineSecurity": "Yes"}, cost=20),
    )
    tenure = schema.feature("tenure").model_copy(update={"clock": "month"})
    full = _with(schema, features=(tenure, *schema.features[1:]), actions=actions)
    return Table(reference.to_dicts(), full, HandMade(full), reference, validators.small_telecom)


def _real(path: Path, check: Check, key: str, target: str, actions: tuple[Action, ...], **more: Any) -> Table:
    import lightgbm

    from churn.model.encoder import Encoder
    from churn.model.scoring import ScoringModel
    from churn.model.trees import from_lightgbm

    editable = more.pop("editable", ())
    raw = read_table(path)
    drafted = infer(raw, key=key, target=target, **more).schema
    features = tuple(f.model_copy(update={"editable": True}) if f.name in editable else f for f in drafted.features)
    schema = _with(drafted, features=features, actions=actions)
    table = conform(raw, schema, target=True)
    encoder = Encoder.fit(table, schema)
    data = lightgbm.Dataset(encoder.matrix(encoder.encode(table)), table["__left__"].to_numpy())
    booster = lightgbm.train({"objective": "binary", "num_leaves": 4, "num_threads": 1, "verbose": -1, "seed": 7}, data, 120)
    model = ScoringModel.build(schema, encoder, from_lightgbm(booster, encoder), table)
    reference = table.select(schema.names)
    return Table(reference.to_dicts(), schema, model, reference, check)


TELCO_ACTIONS = (
    Action(name="year", label="One year, 10% off", set={"Contract": "One year"}, scale={"MonthlyCharges": 0.9}, cost=60),
    Action(name="two", label="Two years", set={"Contract": "Two year"}, cost=150),
    Action(name="support", label="Tech support", set={"TechSupport": "Yes"}, cost=40),
    Action(name="security", label="Online security", set={"OnlineSecurity": "Yes"}, cost=40),
    Action(name="dsl", label="DSL", set={"InternetService": "DSL"}, scale={"MonthlyCharges": 0.7}),
    Action(name="offline", label="Phone only", set={"InternetService": "No"}),
    Action(name="lines", label="More lines", set={"MultipleLines": "Yes"}, cost=20),
    Action(name="phone", label="A phone", set={"PhoneService": "Yes"}, cost=20),
    Action(name="debit", label="Bank transfer", set={"PaymentMethod": "Bank transfer (automatic)"}, cost=5),
    Action(name="dearer", label="Everything", scale={"MonthlyCharges": 1.5}),
)
BANK_ACTIONS = (
    Action(name="more", label="A higher limit", scale={"Credit_Limit": 1.3}, cost=20),
    Action(name="less", label="A lower limit", scale={"Credit_Limit": 0.4}),
    Action(name="gold", label="A gold card", set={"Card_Category": "Gold"}, cost=90),
    Action(name="paid", label="Nothing owed", set={"Total_Revolving_Bal": 0}, cost=30),
    Action(name="bundle", label="Another product", set={"Total_Relationship_Count": 6}, cost=30),
)


@pytest.fixture(
    scope="module",
    params=["small", pytest.param("telco", marks=pytest.mark.realdata), pytest.param("bank", marks=pytest.mark.realdata)],
)
def table(request: pytest.FixtureRequest, schema: Schema, reference: pl.DataFrame, real_table: Callable[[str], Path]) -> Table:
    if request.param == "small":
        return _small(schema, reference)
    if request.param == "telco":
        path = real_table("WA_Fn-UseC_-Telco-Customer-Churn.csv")
        return _real(path, validators.telco, "customerID", "Churn", TELCO_ACTIONS)
    more = ("Total_Revolving_Bal", "Total_Relationship_Count")
    check = partial(validators.bank, editable=(*validators.BANK_EDITABLE, *more))
    path = real_table("BankChurners.csv")
    return _real(path, check, "CLIENTNUM", "Attrition_Flag", BANK_ACTIONS, positive="Attrited Customer", editable=more)


def _random_edits(table: Table, count: int, seed: int) -> Iterator[tuple[dict[str, Any], dict[str, Any], Since]]:
    """Any customer, any one to four editable fields, any value there is of each, of either kind."""
    rng = np.random.default_rng(seed)
    editable = [feature for feature in table.schema.features if feature.editable]
    for _ in range(count):
        row = table.rows[rng.integers(len(table.rows))]
        changes: dict[str, Any] = {}
        for place in rng.choice(len(editable), rng.integers(1, min(4, len(editable)) + 1), replace=False):
            feature = editable[place]
            if feature.is_number:
                assert feature.range is not None
                value = rng.uniform(*feature.range)
                changes[feature.name] = float(round(value)) if feature.whole else value
            else:
                changes[feature.name] = feature.levels[rng.integers(len(feature.levels))].value
        yield row, changes, ALWAYS if rng.random() < 0.5 else FROM_NOW_ON


def _judge(table: Table, row: Mapping[str, Any], after: Mapping[str, Any], asked: Any, since: Since) -> list[str]:
    months = 1.0 if since == FROM_NOW_ON else 0.0
    return [f"{row} with {asked} {since}: {wrong}" for wrong in table.check(row, after, set(asked), months=months)]


def test_ten_thousand_random_edits(table: Table) -> None:
    evidence = table.evidence
    wrong: list[str] = []
    for row, changes, since in _random_edits(table, 10_000, seed=17):
        edited = edit(row, changes, table.schema, evidence, since=since)
        wrong += _judge(table, row, edited.row, changes, since)
    assert wrong == []


def test_every_action_for_hundreds_of_customers(table: Table) -> None:
    evidence, rng = table.evidence, np.random.default_rng(18)
    by_name = {action.name: action for action in table.schema.actions}
    wrong, seen = [], set()
    for place in rng.choice(len(table.rows), 200, replace=False):
        row = table.rows[place]
        ranked = rank_actions(row, None, model=table.model, evidence=evidence, assumptions=Assumptions())
        for outcome in ranked.outcomes:
            seen.add(outcome.names)
            asked = {column for name in outcome.names for column in (*by_name[name].set, *by_name[name].scale)}
            wrong += _judge(table, row, outcome.edited.row, asked, FROM_NOW_ON)
    assert wrong == []
    assert {name for names in seen for name in names} == set(by_name)  # each was possible for somebody
    assert any(len(names) == 2 for names in seen)


def test_edits_out_of_each_others_reach_put_together_are_the_edit_of_all(table: Table) -> None:
    """What the search for changes does not make anew is what the edit engine makes of it, word for word."""
    evidence, random = table.evidence, np.random.default_rng(11)
    counted = [0, 0]
    for _ in range(1500):
        row = table.rows[random.integers(len(table.rows))]
        donors = [table.rows[place] for place in random.integers(len(table.rows), size=3)]
        names = random.permutation([feature.name for feature in table.schema.features if feature.editable])
        edits = []
        for donor, name in zip(donors, names, strict=False):
            value = donor[name]
            if isinstance(value, float):
                value = min(max(value, table.schema.feature(name).range[0]), table.schema.feature(name).range[1])
            if value is not None and (edited := edit(row, {name: value}, table.schema, evidence)).asked:
                edits.append(edited)
        reaches = [reach(edited, table.schema) for edited in edits]
        if len(edits) < 2 or None in reaches or any(one & other for one, other in combinations(reaches, 2)):
            counted[0] += 1
            continue
        counted[1] += 1
        wanted = {name: value for edited in edits for name, value in edited.asked.items()}
        assert together(edits, table.schema) == edit(row, wanted, table.schema, evidence)
    assert min(counted) > 100


def test_everything_that_would_have_to_change(table: Table) -> None:
    evidence = table.evidence
    risks = table.model.score(table.reference).risk
    order = np.argsort(-risks)[: len(risks) // 3]
    wrong, answers = [], 0
    for place in order[:: max(1, len(order) // 60)]:
        row, risk = table.rows[place], float(risks[place])
        found = what_would_have_to_change(row, 0.7 * risk, model=table.model, evidence=evidence)
        for answer in found.answers:
            answers += 1
            wrong += _judge(table, row, answer.edited.row, answer.changes, ALWAYS)
    assert wrong == []
    assert answers >= 30


@pytest.mark.parametrize("name", ["telco", "bank", "small_telecom"])
def test_the_judges_find_what_is_wrong(name: str, reference: pl.DataFrame) -> None:
    """Judges that never object would prove nothing."""
    if name == "small_telecom":
        row = reference.filter((pl.col("Internet") == "DSL") & (pl.col("tenure") > 5)).row(0, named=True)
        spoilt = [{"Internet": "No"}, {"Monthly": 300.0}, {"tenure": 1.0}, {"Total": 1e6}, {"TechSupport": validators.OFFLINE}]
    elif name == "telco":
        row = {
            "gender": "Male", "SeniorCitizen": "0", "Partner": "No", "Dependents": "No", "tenure": 10.0, "PhoneService": "Yes",
            "MultipleLines": "No", "InternetService": "DSL", **dict.fromkeys(validators.SERVICES, "No"), "Contract": "One year",
            "PaperlessBilling": "Yes", "PaymentMethod": "Mailed check", "MonthlyCharges": 50.0, "TotalCharges": 490.0,
        }  # fmt: skip
        spoilt = [
            {"InternetService": "No"}, {"TechSupport": validators.OFFLINE}, {"PhoneService": "No"}, {"gender": "Female"},
            {"MonthlyCharges": 60.0}, {"MonthlyCharges": 500.0, "TotalCharges": 4990.0}, {"tenure": 12.0}, {"TotalCharges": 0.0},
            {"Contract": "Three years"},
        ]  # fmt: skip
    else:
        row = {
            "Card_Category": "Blue", "Credit_Limit": 5000.0, "Total_Revolving_Bal": 1000.0, "Avg_Open_To_Buy": 4000.0,
            "Avg_Utilization_Ratio": 0.2, "Total_Relationship_Count": 3.0, "Months_on_book": 30.0, "Gender": "F",
        }  # fmt: skip
        spoilt = [
            {"Credit_Limit": 6000.0}, {"Card_Category": "Black"}, {"Gender": "M"}, {"Months_on_book": 31.0},
            {"Credit_Limit": 6000.0, "Avg_Open_To_Buy": 5000.0}, {"Avg_Utilization_Ratio": 0.5},
            {"Total_Relationship_Count": 3.5},
        ]  # fmt: skip
    check = getattr(validators, name)
    assert check(row, row, ()) == []
    for changes in spoilt:
        assert check(row, {**row, **changes}, set(changes)), changes

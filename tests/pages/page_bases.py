"""Workspaces for the tests of the pages: a small base whose answers are known, and real tables."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.act.uplift import RISK, TRANSFORMED, TWO_MODELS, Comparison, Trial, compare
from churn.data.schema import Schema
from churn.model import bundle
from churn.model.bundle import Bundle
from churn.model.encoder import Encoder
from churn.model.registry import Registry
from churn.model.scoring import ScoringModel
from churn.model.store import open_store
from churn.model.trees import CodeTerm, LinearTerms, NumberTerm
from churn.score.batch import score
from churn.score.publish import publish
from churn.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))  # the pages are no part of the installed package

BASES = (
    "small",
    pytest.param("demo", marks=pytest.mark.xdist_group("demo")),
    pytest.param("telco", marks=pytest.mark.realdata),
    pytest.param("bank", marks=pytest.mark.realdata),
)
REAL = {
    "telco": ("WA_Fn-UseC_-Telco-Customer-Churn.csv", "customerID", "Churn", "Yes"),
    "bank": ("BankChurners.csv", "CLIENTNUM", "Attrition_Flag", "Attrited Customer"),
}


def environment(home: Path, **settings: object) -> dict[str, str]:
    """An environment in which nothing but these settings holds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHURN_", "STREAMLIT_"))}
    kept |= {"CHURN_MLFLOW": "off", "OMP_NUM_THREADS": "1"}
    return kept | {"CHURN_HOME": str(home)} | {f"CHURN_{k.upper()}": str(v) for k, v in settings.items()}


AWKWARD = "<b>Gold</b> *5* $9 & $8"  # what a careless page would take for markup
DOCUMENT: dict[str, Any] = {
    "key": "customer",
    "target": {"column": "churned", "positive": "Yes", "negative": "No"},
    "horizon": "month",
    "money": {"column": "monthly_fee"},
    "segments": ["contract", "internet", "tenure_m", "plan"],
    "features": [
        {
            "name": "tenure_m",
            "kind": "number",
            "label": "Tenure",
            "unit": "month",
            "whole": True,
            "range": [0, 72],
            "at_least": 0,
            "phrase": "{value} as a customer",
        },
        {"name": "monthly_fee", "kind": "number", "label": "Monthly fee", "unit": "money", "range": [18, 120], "editable": True},
        {
            "name": "paid_total",
            "kind": "number",
            "label": "Paid in all",
            "unit": "money",
            "range": [0, 9000],
            "formula": "tenure_m * monthly_fee",
        },
        {
            "name": "contract",
            "kind": "category",
            "label": "Contract",
            "editable": True,
            "levels": [{"value": "Monthly", "phrase": "a monthly contract"}, {"value": "One year"}, {"value": "Two years"}],
        },
        {
            "name": "internet",
            "kind": "category",
            "label": "Internet",
            "editable": True,
            "levels": [
                {"value": "Fibre", "phrase": "fibre internet"},
                {"value": "DSL"},
                {"value": "No", "phrase": "no internet"},
            ],
        },
        {
            "name": "security",
            "kind": "category",
            "label": "Online security",
            "editable": True,
            "levels": [{"value": "Yes"}, {"value": "No"}, {"value": "No internet service"}],
        },
        {"name": "plan", "kind": "category", "label": "Plan", "levels": [{"value": "Basic"}, {"value": AWKWARD}]},
    ],
    "rules": [{"when": {"internet": "No"}, "then": {"security": "No internet service"}}],
}


def raw_names(home: Path, name: str) -> list[str]:
    """Names of columns that are not fit to be seen, in the model on show in a base."""
    settings = Settings.load("demo" if name == "demo" else None, home=home, environ={})
    registry = Registry(open_store(settings), settings)
    pointer = registry.pointer()
    assert pointer is not None
    features = registry.load_model(pointer.model).schema.features
    return [f.name for f in features if f.name != f.label and (f.name != f.name.lower() or "_" in f.name)]


def customers(size: int, seed: int) -> pl.DataFrame:
    """A conformed table of made-up customers with every level, a missing tenure and fee, and awkward keys."""
    draw = np.random.default_rng(seed)
    tenure = draw.integers(0, 73, size).astype(float)
    fee = np.round(draw.uniform(18, 120, size), 2)
    internet = draw.choice(["Fibre", "DSL", "No"], size)
    security = np.where(internet == "No", "No internet service", draw.choice(["Yes", "No"], size))
    table = {
        "customer": [f"C*{i:04d}_" for i in range(size)],
        "tenure_m": tenure,
        "monthly_fee": fee,
        "paid_total": tenure * fee,
        "contract": draw.choice(["Monthly", "One year", "Two years"], size),
        "internet": internet,
        "security": security,
        "plan": draw.choice(["Basic", AWKWARD], size),
    }
    number = pl.col("customer")
    return pl.DataFrame(table).with_columns(
        tenure_m=pl.when(number == "C*0003_").then(None).otherwise(pl.col("tenure_m")),
        monthly_fee=pl.when(number == "C*0009_").then(None).otherwise(pl.col("monthly_fee")),
        paid_total=pl.when(number.is_in(["C*0003_", "C*0009_"])).then(None).otherwise(pl.col("paid_total")),
    )


def small_model(schema: Schema, intercept: float = -1.2) -> ScoringModel:
    """A logistic regression whose reasons are known beforehand; another intercept makes another model of it."""
    background = customers(300, seed=9)
    number = {"tenure_m": -0.05, "monthly_fee": 0.02}
    code = {"contract": [1.2, -0.4, -1.2], "internet": [0.8, 0.0, -0.6], "security": [-0.4, 0.4, 0.0]}
    linear = LinearTerms(
        numbers=tuple(NumberTerm(schema.names.index(name), weight, 0.0, 0.0) for name, weight in number.items()),
        codes=tuple(CodeTerm(schema.names.index(name), np.array([*weights, 0.0, 0.0])) for name, weights in code.items()),
    )
    return ScoringModel.build(schema, Encoder.fit(background, schema), (), background, linear=linear, intercept=intercept)


def publish_model(home: Path, reference: pl.DataFrame | None = None, **changes: Any) -> Bundle:
    """Put the small model in the store of the workspace at `home`; its schema with some parts replaced.

    `reference`: what customers are like, where an edit is to lead away from all of them.
    """
    settings = Settings.load(home=home, environ={})
    registry = Registry(open_store(settings), settings)
    schema = Schema.model_validate({**DOCUMENT, **changes})
    folder = home / f"bundle-{len(registry.versions())}"
    bundle.save(
        folder,
        small_model(schema),
        metrics={"calibration_covariance": [[1e-3, 0.0], [0.0, 1e-3]]},
        leaderboard=[],
        card="# Card",
        reference=(customers(300, seed=9) if reference is None else reference).select(schema.names),
        simulated=False,
    )
    return registry.load_model(registry.publish_model(folder))


def publish_scoring(home: Path, model: Bundle, as_of: date, table: pl.DataFrame | None = None) -> None:
    """Score the made-up customers and show them, as `churn score --publish` and the first promotion do."""
    settings = Settings.load(home=home, environ={})
    store = open_store(settings)
    registry = Registry(store, settings)
    pointer = registry.pointer()
    rows = score(customers(600, seed=1) if table is None else table, model.model)
    same = pointer is not None and pointer.model == model.version
    publish(rows, model, registry, store, as_of=as_of, who="test", action="publish" if same else "promote", expected=pointer)


def teach(home: Path, campaign: str = "summer-save", **parts: Any) -> Comparison:
    """What a campaign is to have taught: a call keeps those with a contract of one year. Parts of it can be others."""
    settings = Settings.load(home=home, environ={})
    store = open_store(settings)
    schema = Registry(store, settings).load_model("v1").schema
    background, place = customers(300, seed=9), home / "taught" / campaign
    linear = LinearTerms((), (CodeTerm(schema.names.index("contract"), np.array([0.01, 0.2, -0.1, 0.0, 0.0])),))
    model = ScoringModel.build(schema, Encoder.fit(background, schema), (), background, linear=linear)
    facts = bundle.save(
        place, model, metrics={}, leaderboard=[], card="", reference=background.select(schema.names), simulated=False
    )
    draw = np.random.default_rng(5)
    called, one_year = draw.random(1000) < 0.5, draw.random(1000) < 0.3
    trial = Trial(called, draw.random(1000) < 0.5 * (1 - 0.7 * (called & one_year)))
    scores = {RISK: draw.random(1000), TWO_MODELS: draw.random(1000), TRANSFORMED: one_year.astype(float)}
    columns = {feature.name: feature.label for feature in schema.features}
    found = Comparison(
        campaign, "Summer *save*", 1000, int((~called).sum()), int(trial.left.sum()), 5, 0.1, compare(scores, trial, draws=100),
        TRANSFORMED, "better", (0.0, 1.0), columns, f"uplift/{campaign}/20260101T000000-abcdef",
    )  # fmt: skip
    found = replace(found, **parts)
    store.upload(f"{found.models}/effect", place, [*facts["files"], "manifest.json"])
    store.write(f"uplift/{campaign}/comparison.json", found.to_json().encode())
    return found


def train_on(home: Path, source: Path, key: str, target: str, positive: str) -> None:
    """A workspace on a real table: infer, train the quickest candidate, promote, score."""
    from churn.data.infer import infer
    from churn.data.quality import conform
    from churn.data.source import read_table
    from churn.learn.training import train, write_bundle

    settings = Settings.load(home=home, environ={})
    store = open_store(settings)
    registry = Registry(store, settings)
    raw = read_table(source)
    schema = infer(raw, key=key, target=target, positive=positive).schema
    table = conform(raw, schema, target=True)
    write_bundle(
        train(table, schema, settings=settings, trials=1, candidates=("logistic-regression",), threads=1),
        home / "bundle",
        simulated=False,
    )
    model = registry.load_model(registry.publish_model(home / "bundle"))
    publish(score(table, model.model), model, registry, store, as_of=date.today(), who="test", action="promote")

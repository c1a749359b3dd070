"""A small real model, a store for it, and tables to score."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.data.schema import Schema
from churn.model import bundle
from churn.model.bundle import Bundle
from churn.model.encoder import Encoder
from churn.model.registry import Registry
from churn.model.scoring import ScoringModel
from churn.model.store import Store, open_store
from churn.model.trees import CodeTerm, LinearTerms, NumberTerm
from churn.settings import Settings

DOCUMENT = {
    "key": "customer",
    "target": {"column": "churned", "positive": "Yes", "negative": "No"},
    "money": {"column": "charge"},
    "contacts": {"name": "who", "email": "mail"},
    "segments": ["contract"],
    "features": [
        {
            "name": "tenure",
            "kind": "number",
            "label": "Tenure",
            "unit": "month",
            "whole": True,
            "phrase": "{value} as a customer",
        },
        {"name": "charge", "kind": "number", "label": "Monthly charge", "unit": "money"},
        {
            "name": "contract",
            "kind": "category",
            "label": "Contract",
            "levels": [{"value": "Monthly", "phrase": "a monthly contract"}, {"value": "Yearly", "phrase": "a yearly contract"}],
        },
        {"name": "idle", "kind": "flag", "label": "Idle", "levels": [{"value": "Yes"}, {"value": "No"}]},
    ],
}


@pytest.fixture
def schema() -> Schema:
    return Schema.model_validate(DOCUMENT)


@pytest.fixture
def dated() -> Schema:
    return Schema.model_validate({**DOCUMENT, "snapshot": {"column": "day", "horizon_days": 30}})


def customers(schema: Schema, size: int, seed: int = 1, day: date = date(2026, 11, 1)) -> pl.DataFrame:
    """A conformed table."""
    generator = np.random.default_rng(seed)
    columns: dict[str, Any] = {"customer": [f"C{i:04d}" for i in range(size)]}
    if schema.snapshot:
        columns["day"] = [day] * size
    columns["tenure"] = generator.integers(0, 73, size).astype(float)
    columns["charge"] = np.round(generator.uniform(20, 120, size), 2)
    columns["contract"] = generator.choice(["Monthly", "Yearly"], size)
    columns["idle"] = "No"
    columns["who"] = [f"Person {i}" for i in range(size)]
    columns["mail"] = [f"p{i}@example.org" for i in range(size)]
    return pl.DataFrame(columns)


@pytest.fixture
def make_table() -> Callable[..., pl.DataFrame]:
    return customers


@pytest.fixture
def make_model() -> Callable[[Schema], ScoringModel]:
    """A logistic regression whose reasons are known: tenure lowers, charge raises, contract sways, idle does nothing."""

    def make(schema: Schema) -> ScoringModel:
        background = customers(schema, 300, seed=9)
        linear = LinearTerms(
            numbers=(NumberTerm(0, -0.05, 0.0, 0.0), NumberTerm(1, 0.02, 0.0, 0.0)),
            codes=(CodeTerm(2, np.array([0.8, -0.8, 0.0, 0.0])),),
        )
        return ScoringModel.build(schema, Encoder.fit(background, schema), (), background, linear=linear, intercept=-1.0)

    return make


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, store="store", cache="cache", data="data")


@pytest.fixture
def store(settings: Settings) -> Store:
    return open_store(settings)


@pytest.fixture
def registry(store: Store, settings: Settings) -> Registry:
    return Registry(store, settings)


@pytest.fixture
def publish_model(tmp_path: Path, registry: Registry, make_model: Callable[[Schema], ScoringModel]) -> Callable[[Schema], Bundle]:
    """Put the model in the store and load it from there."""

    def publish(schema: Schema) -> Bundle:
        folder = tmp_path / f"bundle-{len(registry.versions())}"
        reference = customers(schema, 50, seed=8).select(schema.names)
        metrics = {"calibration_covariance": [[1e-3, 0.0], [0.0, 1e-3]]}
        bundle.save(folder, make_model(schema), metrics=metrics, leaderboard=[], card="#", reference=reference, simulated=False)
        return registry.load_model(registry.publish_model(folder))

    return publish

"""A small telecom table with everything a what-if can meet: rules, a way back, a formula with a residual."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from churn.data.schema import Feature, Level, Money, Rule, Schema, Target

SERVICES = ("OnlineSecurity", "TechSupport")
NONE = "No internet service"


def _levels(*values: str) -> tuple[Level, ...]:
    return tuple(Level(value=value) for value in values)


SERVICE = _levels("No", "Yes", NONE)


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema(
        key="id",
        target=Target(column="left", positive="Yes"),
        money=Money(column="Monthly"),
        features=(
            Feature(name="tenure", kind="number", label="Tenure", unit="month", whole=True, range=(0, 72), at_least=0,
                    phrase="{value} as a customer"),
            Feature(
                name="Contract", kind="category", label="Contract", editable=True,
                levels=(
                    Level(value="Month-to-month", phrase="a month-to-month contract"),
                    Level(value="One year", phrase="a one-year contract"),
                    Level(value="Two year", phrase="a two-year contract"),
                ),
            ),
            Feature(
                name="Internet", kind="category", label="Internet", editable=True, phrase="{value} internet",
                levels=(Level(value="DSL"), Level(value="Fiber optic", label="Fibre"), Level(value="No")),
            ),
            Feature(name="OnlineSecurity", kind="category", label="Online security", editable=True, levels=SERVICE),
            Feature(name="TechSupport", kind="category", label="Tech support", editable=True, levels=SERVICE),
            Feature(name="Monthly", kind="number", label="Monthly charge", unit="money", range=(18, 120), editable=True),
            Feature(name="Total", kind="number", label="Total charged", unit="money", formula="tenure * Monthly", residual=True,
                    at_least=0),
            Feature(name="Senior", kind="flag", label="Senior citizen", levels=_levels("No", "Yes")),
        ),
        rules=(Rule(when={"Internet": "No"}, then=dict.fromkeys(SERVICES, NONE)),),
    )  # fmt: skip


@pytest.fixture(scope="session")
def reference(schema: Schema) -> pl.DataFrame:
    """2,000 made-up customers who obey the rule and the formula."""
    random = np.random.default_rng(0)
    size = 2000
    tenure = random.integers(1, 73, size).astype(float)
    internet = random.choice(["DSL", "Fiber optic", "No"], size, p=[0.35, 0.45, 0.2])
    service = [np.where(internet == "No", NONE, random.choice(["No", "Yes"], size, p=[0.6, 0.4])) for _ in SERVICES]
    monthly = np.select([internet == "No", internet == "DSL"], [20.0, 55.0], 85.0) + random.normal(0, 5, size).clip(-12, 12)
    return pl.DataFrame(
        {
            "tenure": tenure,
            "Contract": random.choice(["Month-to-month", "One year", "Two year"], size, p=[0.55, 0.2, 0.25]),
            "Internet": internet,
            "OnlineSecurity": service[0],
            "TechSupport": service[1],
            "Monthly": monthly,
            "Total": tenure * monthly + random.normal(0, 20, size),
            "Senior": random.choice(["No", "Yes"], size, p=[0.84, 0.16]),
        }
    )


@pytest.fixture
def customer() -> dict[str, object]:
    return {
        "id": "8473-VUVJN",
        "tenure": 1.0,
        "Contract": "Month-to-month",
        "Internet": "Fiber optic",
        "OnlineSecurity": "No",
        "TechSupport": "No",
        "Monthly": 73.65,
        "Total": 80.0,
        "Senior": "Yes",
    }

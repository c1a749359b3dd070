"""A table laid out like the Telco one, made up here: 19 columns, 3 of them numbers, text as a CSV file holds it."""

from __future__ import annotations

import numpy as np
import polars as pl

from churn.data.schema import Feature, Level, Schema, Target

_YES_NO = ("No", "Yes")
_SERVICES = ("OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies")
_PAYMENTS = ("Bank transfer (automatic)", "Credit card (automatic)", "Electronic check", "Mailed check")


def customers(rows: int, seed: int = 0) -> pl.DataFrame:
    """Raw customers, every column String, TotalCharges blank at tenure 0, churn about a quarter."""
    rng = np.random.default_rng(seed)

    def pick(levels: tuple[str, ...], share: tuple[float, ...] | None = None) -> np.ndarray:
        return rng.choice(np.array(levels), rows, p=share)

    contract = pick(("Month-to-month", "One year", "Two year"), (0.55, 0.21, 0.24))
    internet = pick(("DSL", "Fiber optic", "No"), (0.34, 0.44, 0.22))
    phone = pick(_YES_NO, (0.1, 0.9))
    longest = np.select([contract == "One year", contract == "Two year"], [60, 72], 45)
    tenure = np.floor(rng.beta(0.9, 1.1, rows) * (longest + 1)).astype(int)
    services = {name: np.where(internet == "No", "No internet service", pick(_YES_NO, (0.56, 0.44))) for name in _SERVICES}
    bought = sum((values == "Yes").astype(int) for values in services.values())
    base = np.select([internet == "Fiber optic", internet == "DSL"], [69.0, 43.0], 20.0) + 3.0 * (phone == "Yes")
    monthly = np.round(base + 5.0 * bought + rng.normal(0, 3, rows), 2)
    total = np.round(monthly * tenure * rng.normal(1, 0.03, rows), 2)
    payment = pick(_PAYMENTS, (0.22, 0.22, 0.34, 0.22))
    log_odds = (
        *(-0.9 - 0.045 * tenure, 0.9 * (contract == "Month-to-month"), -0.8 * (contract == "Two year")),
        *(0.9 * (internet == "Fiber optic"), 0.4 * (payment == "Electronic check"), -0.4 * (services["TechSupport"] == "Yes")),
        *(-0.4 * (services["OnlineSecurity"] == "Yes"), 0.01 * (monthly - 65), 0.8 * (tenure < 4) * (internet != "No")),
    )
    left = rng.random(rows) < 1 / (1 + np.exp(-np.sum(np.broadcast_arrays(*log_odds), axis=0)))
    return pl.DataFrame(
        {
            "customerID": [f"{number:07d}" for number in range(rows)],
            "gender": pick(("Female", "Male")),
            "SeniorCitizen": pick(("0", "1"), (0.84, 0.16)),
            "Partner": pick(_YES_NO),
            "Dependents": pick(_YES_NO, (0.7, 0.3)),
            "tenure": tenure.astype(str),
            "PhoneService": phone,
            "MultipleLines": np.where(phone == "No", "No phone service", pick(_YES_NO)),
            "InternetService": internet,
            **services,
            "Contract": contract,
            "PaperlessBilling": pick(_YES_NO, (0.4, 0.6)),
            "PaymentMethod": payment,
            "MonthlyCharges": np.char.mod("%.2f", monthly),
            "TotalCharges": np.where(tenure == 0, " ", np.char.mod("%.2f", total)),
            "Churn": np.where(left, "Yes", "No"),
        }
    )


def schema(table: pl.DataFrame) -> Schema:
    """The schema of that table."""
    numbers = ("tenure", "MonthlyCharges", "TotalCharges")
    features = []
    for name in table.columns:
        if name in ("customerID", "Churn"):
            continue
        levels = tuple(Level(value=value) for value in sorted(table[name].unique().to_list()))
        kind = "number" if name in numbers else "flag" if len(levels) == 2 else "category"
        features.append(Feature(name=name, kind=kind, label=name, levels=() if name in numbers else levels))
    return Schema(key="customerID", target=Target(column="Churn", positive="Yes", negative="No"), features=tuple(features))

"""The smallest model that has one of everything, and bundles of it.

`python -m tests.model.tiny tests/fixtures/bundle-N` writes the fixture of a new bundle format; those of old formats stay. With
`tests/fixtures/estimator-N` it writes one that holds an estimator, as the libraries of the day store it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from churn.data.schema import Contacts, Feature, Level, Rule, Schema, Target
from churn.model import bundle, skops_file
from churn.model.calibration import Calibrator
from churn.model.encoder import Encoder
from churn.model.estimator import EstimatorModel
from churn.model.scoring import ScoringModel
from churn.model.tables import compile_tables
from churn.model.trees import CodeTerm, LinearTerms, NumberTerm, Split, Tree

CUSTOMERS = pl.DataFrame(
    {"tenure": [0.0, 3.0, None, 41.5, 100.0], "plan": ["Basic", "Plus, ü", None, "never seen", "Basic"]},
    schema={"tenure": pl.Float64, "plan": pl.String},
)


def model() -> ScoringModel:
    schema = Schema(
        key="id",
        target=Target(column="left", positive="Yes"),
        contacts=Contacts(email="mail"),
        features=(
            Feature(name="tenure", kind="number", label="Tenure", unit="month", range=(0, 72), clock="month"),
            Feature(name="plan", kind="category", label="Plan", levels=(Level(value="Basic"), Level(value="Plus, ü"))),
        ),
        rules=(Rule(when="tenure < 1", then={"plan": "Basic"}, evidence="all 5 rows"),),
    )
    table = pl.DataFrame({"tenure": [1.0, 5.0, None, 40.0, 72.0], "plan": ["Basic", "Plus, ü", "Basic", None, "Plus, ü"]})
    encoder = Encoder.fit(table, schema)
    linear = LinearTerms((NumberTerm(0, -0.03, 0.5, 0.1),), (CodeTerm(1, np.array([0.4, -0.3, 0.0, 0.2])),))
    short = Split(0, np.arange(encoder.sizes[0]) < 2)
    basic = Split(1, np.arange(encoder.sizes[1]) == 0)
    tree = Tree((short, basic), (1, -1), (-3, -2), np.array([0.7, -0.2, 0.1]))
    tables = compile_tables([tree], linear, -1.0, encoder, encoder.encode(table))
    return ScoringModel(schema, encoder, tables, Calibrator("logistic", a=1.1, c=0.1))


def estimator() -> EstimatorModel:
    """A random forest and what it takes, for the same schema."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rng = np.random.default_rng(0)
    tenure, plan = rng.integers(0, 72, 200).astype(float), rng.choice(["Basic", "Plus, ü"], 200)
    y = np.where(rng.random(200) < np.where(tenure < 20, 0.7, 0.2) + 0.1 * (plan == "Basic"), "Yes", "No")
    table = pl.DataFrame({"tenure": tenure, "plan": plan}).with_columns(
        pl.when(pl.int_range(200) % 9 > 0).then(pl.col("tenure", "plan"))
    )
    columns = make_column_transformer((SimpleImputer(), ["tenure"]), (OneHotEncoder(handle_unknown="ignore"), ["plan"]))
    forest = RandomForestClassifier(5, max_leaf_nodes=8, random_state=0)
    trained = make_pipeline(columns, forest).fit(table.to_pandas(), y)
    return EstimatorModel.build(model().schema, skops_file.dump(trained), table, calibrator=Calibrator("logistic", a=1.1, c=0.1))


def save(folder: Path, model: ScoringModel | EstimatorModel, **given: Any) -> None:
    arguments: dict[str, Any] = {
        "metrics": {"log_loss": 0.41},
        "leaderboard": [{"name": "tiny", "log_loss": 0.41}],
        "card": "# Tiny\n",
        "reference": pl.DataFrame({"tenure": [1.0, None], "plan": ["Basic", None], "__risk__": [0.3, 0.2]}),
        "simulated": False,
        "extra": {"profile.json": {"rows": 2}, "notes.txt": b"plain"},
    }
    bundle.save(folder, model, **{**arguments, **given})


if __name__ == "__main__":
    target = Path(sys.argv[1])
    made = estimator() if target.name.startswith("estimator") else model()
    save(target, made)
    explained = made.explain(CUSTOMERS)
    expected = {"risk": explained.risk.tolist(), "points": explained.points.tolist()}
    target.with_suffix(".json").write_text(json.dumps(expected, indent=1) + "\n")

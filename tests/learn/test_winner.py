"""Candidates that do not compile, as pipelines that hold nothing of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from churn.errors import TrainingError
from churn.learn import winner
from churn.learn._run import distorted
from churn.learn.candidates import HistGradientBoosting, RandomForest, RandomForestSmote
from churn.learn.evaluation import measure
from churn.model import skops_file
from churn.model.estimator import EstimatorModel

if TYPE_CHECKING:
    from .conftest import MakeTable

KINDS = (RandomForest, RandomForestSmote, HistGradientBoosting)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key)
def test_a_pipeline_takes_whatever_a_table_may_hold(make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    monkeypatch.setattr(RandomForest, "trees", 20)
    table, schema = make_table(500)
    table = table.with_columns(pl.lit(None, dtype=pl.String).alias("online"))  # a column without any value
    y = table["__left__"].to_numpy()
    fitted = winner.fit(kind.key, kind.defaults, table, np.where(y == 1, "Yes", "No"), schema, threads=1, seed=0)
    stored = skops_file.dump(fitted)
    assert not any(name.startswith("churn.") for name in skops_file.contents(stored).types)
    model = EstimatorModel.build(schema, stored, table)
    assert (model.recipe.how, model.recipe.text) == ("trees", "str")
    assert measure(y, model.score(table).risk)["roc_auc"] > 0.8
    odd = distorted(table, schema, 1, 100)
    said = model.explain(odd)
    assert np.abs(said.typical_risk + said.points.sum(axis=1) - said.risk).max() <= 1e-9
    assert not said.points[:, schema.names.index("online")].any()


def test_what_compiles_has_no_pipeline(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    with pytest.raises(TrainingError, match="'lightgbm' cannot be saved as a pipeline"):
        winner.fit("lightgbm", {}, table, np.array(["Yes"] * 300), schema, threads=1, seed=0)

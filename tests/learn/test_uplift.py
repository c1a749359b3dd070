"""Learning whom calling changes: found where it is there, not where it is not, and compiled as it was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.act import campaigns, uplift
from churn.act.campaigns import CALL, HOLDOUT
from churn.act.uplift import RISK, TRANSFORMED, TWO_MODELS, WORTH, Trial
from churn.base.records import Records
from churn.data.schema import Schema
from churn.learn import uplift as learning
from churn.model import bundle
from churn.model.store import FileStore
from churn.settings import Settings

from ..act.hand_made import listed, running
from .conftest import MakeTable


def called_half(table: pl.DataFrame, schema: Schema, strength: float, seed: int = 0) -> tuple[pl.DataFrame, Trial]:
    """Half are called; a call keeps `strength` of the leavers with "online", who are no likelier to leave than others."""
    rng = np.random.default_rng(10_000 + seed)  # not the stream that made the table
    called = rng.random(table.height) < 0.5
    risk = np.where(table["contract"].fill_null("") == "Monthly", 0.6, 0.3)
    kept = strength * (called & (table["online"].to_numpy() == "Yes"))
    return table.select(schema.names), Trial(called, rng.random(table.height) < risk * (1 - kept))


def told(trial: Trial, risk: np.ndarray) -> pl.DataFrame:
    arm = np.where(trial.called, CALL, HOLDOUT)
    return pl.DataFrame({"arm": arm, "left": trial.left.astype(int), "risk": risk, "expected_value": risk * 100})


@pytest.fixture
def campaign(tmp_path: Path) -> Any:
    records = Records(Settings(home=tmp_path, data="data"))
    yield campaigns.finish(records, running(records, listed(40)).id, who="ann")
    records.close()


def test_whom_calling_changes_is_found_and_kept(make_table: MakeTable, campaign: Any, tmp_path: Path) -> None:
    table, schema = make_table(3000)
    rows, trial = called_half(table, schema, 0.7)
    risk = np.where(table["contract"].fill_null("") == "Monthly", 0.6, 0.3)
    learnt = learning.from_rows(campaign, rows, told(trial, risk), schema)
    found = learnt.comparison
    assert [one.name for one in found.rankings] == [RISK, WORTH, TWO_MODELS, TRANSFORMED]
    assert found.verdict == "better"
    assert "is better than ranking by risk" in uplift.in_words(found)
    store = FileStore(tmp_path / "store")
    kept = learning.keep(learnt, store, simulated=True)
    assert uplift.read(store, campaign.id) == kept
    store.download(kept.models, tmp_path / "back")
    back = {name: bundle.load(tmp_path / "back" / name).model for name in ("called", "held", "effect")}
    for name, model in back.items():
        assert np.array_equal(model.score(rows).margin, learnt.models[name].score(rows).margin)
    difference = back["held"].score(rows).risk - back["called"].score(rows).risk
    online = rows["online"].to_numpy() == "Yes"
    assert difference[online].mean() - difference[~online].mean() > 0.15
    assert back["effect"].score(rows).margin[online].mean() - back["effect"].score(rows).margin[~online].mean() > 0.15
    files = [entry.key for entry in store.list("uplift/")]
    assert not [key for key in files if key.endswith((".pkl", ".pickle", ".joblib"))]


def test_where_calling_changes_nobody_nothing_is_claimed(make_table: MakeTable) -> None:
    """Nobody is ranked by a model that saw them, so learnt noise has no area: the mean over tables is 0 but for chance."""
    areas = []
    for seed in range(12):
        table, schema = make_table(600, seed=seed)
        rows, trial = called_half(table, schema, 0.0, seed)
        scores = learning.cross_fitted(rows, schema, trial, seed=seed)
        areas.append([uplift.curve(scores[name], trial).qini for name in (TWO_MODELS, TRANSFORMED)])
    mean, error = np.mean(areas, axis=0), np.std(areas, axis=0, ddof=1) / np.sqrt(len(areas))
    assert (np.abs(mean) < 3.5 * error).all()


def test_the_same_seed_gives_the_same_ranking(make_table: MakeTable) -> None:
    table, schema = make_table(600)
    rows, trial = called_half(table, schema, 0.5)
    one, two = (learning.cross_fitted(rows, schema, trial, seed=3) for _ in range(2))
    assert all(np.array_equal(one[name], two[name]) for name in one)

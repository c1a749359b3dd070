"""From a table to a bundle: what is saved, what is kept apart, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from churn.data.holdout import in_holdout, key_hash
from churn.errors import TrainingError
from churn.learn import _run
from churn.learn.candidates import CatBoost, LightGBM, LogisticRegression, RandomForest
from churn.learn.evaluation import measure
from churn.learn.training import TrainingResult, train, write_bundle
from churn.model import bundle
from churn.model.estimator import EstimatorModel
from churn.model.gates import gates
from churn.model.metrics import Metrics
from churn.model.scoring import ScoringModel
from churn.settings import Settings

if TYPE_CHECKING:
    from .conftest import MakeTable

SETTINGS = Settings(trials=1, seed=3)


@pytest.fixture(scope="module")
def result(make_table: MakeTable) -> TrainingResult:
    table, schema = make_table(900)
    return train(table, schema, settings=SETTINGS, candidates=("logistic-regression", "average"), threads=1)


def test_the_lowest_log_loss_wins_and_is_saved(result: TrainingResult) -> None:
    keys = [row.key for row in result.leaderboard]
    assert set(keys) == {"logistic-regression", "lightgbm", "catboost", "average"}
    losses = [row.measures["log_loss"].value for row in result.leaderboard]
    assert losses == sorted(losses)
    assert result.winner == result.saved == keys[0]
    assert [row.saved for row in result.leaderboard] == [True, False, False, False]
    assert result.holdout is not None
    assert all(check.passed for check in gates(result.holdout, None, replace(SETTINGS, gate_ece=0.2)))


def test_the_holdout_is_that_of_the_keys_and_judged_by_the_saved_model(result: TrainingResult, make_table: MakeTable) -> None:
    table, _ = make_table(900)
    held = in_holdout(table["id"], salt=SETTINGS.holdout_salt, share=SETTINGS.holdout_share)
    holdout = table.filter(held)
    assert result.holdout_rows.height == holdout.height
    risk = result.model.score(holdout).risk
    assert result.holdout is not None
    assert result.holdout.log_loss.value == pytest.approx(measure(holdout["__left__"].to_numpy(), risk)["log_loss"])
    of_holdout = result.out_of_fold.join(holdout.select("id"), on="id", how="semi").sort("id")
    assert of_holdout["__risk__"].to_numpy() == pytest.approx(risk[np.argsort(holdout["id"].to_numpy())])


def test_every_labelled_row_has_a_risk_from_a_model_that_had_not_seen_it(result: TrainingResult, make_table: MakeTable) -> None:
    table, _ = make_table(900)
    assert sorted(result.out_of_fold["id"]) == sorted(table["id"])
    kept = table.join(result.holdout_rows, on=result.schema.names, how="anti", nulls_equal=True)
    honest = result.out_of_fold.join(kept.select("id"), on="id", how="semi")
    fitted = measure(kept["__left__"].to_numpy(), result.model.score(kept).risk)["log_loss"]
    assert measure(honest["__left__"].to_numpy(), honest["__risk__"].to_numpy())["log_loss"] > fitted


def test_the_bundle_holds_no_ids_and_comes_back(result: TrainingResult, tmp_path: Path, make_table: MakeTable) -> None:
    table, _ = make_table(900)
    write_bundle(result, tmp_path / "bundle", simulated=False)
    loaded = bundle.load(tmp_path / "bundle")
    assert loaded.model.score(table).risk == pytest.approx(result.model.score(table).risk, abs=1e-12)
    assert Metrics.from_dict(loaded.metrics["holdout"]) == result.holdout
    assert [row["key"] for row in loaded.leaderboard] == [row.key for row in result.leaderboard]
    for file in (tmp_path / "bundle").iterdir():
        assert b"C00017" not in file.read_bytes(), f"{file.name} holds a key"
    predictions = pl.read_parquet(loaded.extra["out_of_fold.parquet"])
    first = result.out_of_fold.row(0, named=True)
    row = predictions.filter(pl.col("__customer__") == key_hash(first["id"], loaded.metrics["holdout_salt"]))
    assert row["__risk__"].to_list() == [first["__risk__"]]


def test_the_card_says_what_matters_in_words(result: TrainingResult) -> None:
    card = result.card
    for words in (
        "Test customers",
        "Log-loss",
        "Holdout",
        "`score_of_old_model`: leak",
        "Contract: Monthly",
        "associations",
        "(saved)",
    ):
        assert words in card
    assert "customers who left are marked “" in card
    assert f"`{result.model.schema.target.column}`" not in card
    assert "Simulated" not in card
    assert "nan" not in card.lower().replace("finan", "")


def test_the_same_seed_gives_the_same_model(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    one, two = (train(table, schema, settings=SETTINGS, candidates=["lightgbm"], threads=1) for _ in range(2))
    assert np.array_equal(one.model.score(table).risk, two.model.score(table).risk)
    assert one.cross_validation == two.cross_validation


def test_a_winner_that_does_not_compile_is_reported(make_table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    table, schema = make_table(600)
    monkeypatch.setattr(LogisticRegression, "defaults", {"C": 1e-3})  # a poor one, so that the forest wins
    result = train(table, schema, settings=SETTINGS, candidates=["random-forest", "logistic-regression"], threads=1)
    assert result.winner == "random-forest"
    assert result.saved == "logistic-regression"
    assert any("does not compile" in note and "higher" in note for note in result.notes)
    assert "is the best that does" in result.card


@pytest.mark.parametrize("key", ["random-forest", "hist-gradient-boosting"])
def test_the_winner_itself_is_saved_where_that_is_asked_for(
    make_table: MakeTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    table, schema = make_table(400)
    monkeypatch.setattr(LogisticRegression, "defaults", {"C": 1e-3})  # a poor one, so that the other wins
    monkeypatch.setattr(RandomForest, "trees", 30)
    candidates = [key, "logistic-regression"]
    result = train(table, schema, settings=SETTINGS, candidates=candidates, threads=1, save_winner=True)
    assert (result.winner, result.saved) == (key, key)
    assert isinstance(result.model, EstimatorModel)
    assert "a scikit-learn pipeline stored with skops. Reasons are exact" in result.card
    assert any("is saved as a scikit-learn pipeline" in note for note in result.notes)
    assert "does not compile into tables;" not in result.card
    write_bundle(result, tmp_path / "bundle", simulated=False)
    loaded = bundle.load(tmp_path / "bundle")
    for rows in (table.head(60), _run.distorted(table, schema, 1, 60)):
        said = loaded.model.explain(rows)
        assert np.abs(said.typical_risk + said.points.sum(axis=1) - said.risk).max() <= 1e-6
        assert said.risk == pytest.approx(result.model.score(rows).risk, abs=1e-12)
    assert result.holdout is not None
    held = measure(result.holdout_rows["__left__"].to_numpy(), result.model.score(result.holdout_rows).risk)
    assert result.holdout.log_loss.value == pytest.approx(held["log_loss"])
    assert sorted(result.out_of_fold["id"]) == sorted(table["id"])


def test_the_winner_can_stand_alone_and_forward_in_time(make_table: MakeTable) -> None:
    table, schema = make_table(2000, snapshots=8, customers=500)
    result = train(table, schema, settings=SETTINGS, candidates=["hist-gradient-boosting"], threads=1, save_winner=True)
    assert result.saved == "hist-gradient-boosting"
    assert result.out_of_fold.height == 2000
    assert result.out_of_fold["__risk__"].is_between(0, 1).all()


def test_a_winner_that_compiles_is_compiled_anyhow(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    result = train(table, schema, settings=SETTINGS, candidates=["logistic-regression"], threads=1, save_winner=True)
    assert isinstance(result.model, ScoringModel)


def test_snapshots_are_judged_forward_in_time(make_table: MakeTable) -> None:
    table, schema = make_table(3000, snapshots=8, customers=600)
    result = train(table, schema, settings=SETTINGS, candidates=["logistic-regression"], threads=1)
    assert "Forward in time" in result.metrics["folds"]
    assert result.out_of_fold.height == 3000
    assert result.out_of_fold.columns == ["id", "day", "__left__", "__risk__"]
    assert result.out_of_fold["__risk__"].is_between(0, 1).all()
    json.dumps(result.metrics, allow_nan=False)


def test_progress_ends_at_its_total(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    told: list[tuple[str, int, int]] = []
    train(
        table, schema, settings=SETTINGS, candidates=["lightgbm"], trials=3, threads=1, progress=lambda *what: told.append(what)
    )
    done, total = [step[1] for step in told], {step[2] for step in told}
    assert done == sorted(done)
    assert len(total) == 1
    assert done[-1] == total.pop()
    assert done[-2] == done[-1] - 1


def test_minutes_limit_the_search(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    result = train(table, schema, settings=SETTINGS, candidates=["logistic-regression"], minutes=0.02, threads=1)
    assert result.leaderboard[0].trials >= 1


def test_a_small_holdout_is_no_judge(make_table: MakeTable) -> None:
    table, schema = make_table(120)
    result = train(table, schema, settings=replace(SETTINGS, holdout_share=0.01), candidates=["logistic-regression"], threads=1)
    assert result.holdout is None
    assert result.metrics["holdout"] is None
    assert not any(check.passed for check in gates(result.holdout, None, SETTINGS))
    assert any("too few to judge" in note for note in result.notes)


def test_columns_that_cannot_count_are_named(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    table = table.with_columns(pl.lit(None, dtype=pl.String).alias("contract"), pl.lit(5.0).alias("charge"))
    result = train(table, schema, settings=SETTINGS, candidates=["lightgbm"], threads=1)
    assert any("'contract' has no value" in note for note in result.notes)
    assert any("'charge' has the same value" in note for note in result.notes)


@pytest.mark.parametrize(
    ("candidates", "words"),
    [(["forest"], "'forest' is not known; there are: logistic-regression"), (["random-forest"], "can be saved; add one of")],
)
def test_candidates_that_make_no_sense(make_table: MakeTable, candidates: list[str], words: str) -> None:
    table, schema = make_table(300)
    with pytest.raises(TrainingError, match=words):
        train(table, schema, settings=SETTINGS, candidates=candidates)


def test_one_class_is_refused_with_counts(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    with pytest.raises(TrainingError, match="there are 0 of 300"):
        train(table.with_columns(pl.lit(0, dtype=pl.Int8).alias("__left__")), schema, settings=SETTINGS)


def test_nothing_to_learn_from_is_refused(make_table: MakeTable) -> None:
    table, schema = make_table(300)
    with pytest.raises(TrainingError, match="no column has different values"):
        train(table.with_columns(pl.lit(table[0, name]).alias(name) for name in schema.names), schema, settings=SETTINGS)


def test_a_compiled_model_that_differs_is_not_returned(make_table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    table, schema = make_table(300)
    from churn.learn.candidates import _LightGBM

    honest = _LightGBM.margin
    monkeypatch.setattr(_LightGBM, "margin", lambda self, design: honest(self, design) + 2e-5 * (design.rows > 100))
    with pytest.raises(TrainingError, match="differs from the trained one by 2e-05"):
        train(table, schema, settings=SETTINGS, candidates=["lightgbm"], threads=1)


def test_distorted_rows_have_gaps_and_unseen_levels(make_table: MakeTable) -> None:
    table, schema = make_table(400)
    rows = _run.distorted(table, schema, 0)
    assert rows["tenure"].null_count() > 40
    assert not set(rows["contract"].drop_nulls()) <= {"Monthly", "Yearly", "Two years"}
    assert rows.schema["tenure"] == pl.Float64


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "key", "target", "positive"),
    [
        ("WA_Fn-UseC_-Telco-Customer-Churn.csv", "customerID", "Churn", "Yes"),
        ("BankChurners.csv", "CLIENTNUM", "Attrition_Flag", "Attrited Customer"),
        ("Churn_Modelling.csv", "CustomerId", "Exited", "1"),
    ],
)
def test_real_tables_compile_exactly(
    real_table: Callable[[str], Path], name: str, key: str, target: str, positive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows and distorted ones: margins as trained, contributions that add up."""
    from churn.data.infer import infer
    from churn.data.quality import conform
    from churn.data.source import read_table

    for candidate in (LightGBM, CatBoost):
        monkeypatch.setattr(candidate, "most_trees", 150)  # enough for the purpose
    raw = read_table(real_table(name))
    schema = infer(raw, key=key, target=target, positive=positive).schema
    table = conform(raw, schema, target=True)
    result = train(table, schema, settings=SETTINGS, candidates=["average"], threads=1)
    assert result.holdout is not None
    assert result.holdout.roc_auc.value > 0.8
    for rows in (table, _run.distorted(table, schema, 1)):
        said = result.model.explain(rows)
        assert np.abs(said.typical_risk + said.points.sum(axis=1) - said.risk).max() <= 1e-9

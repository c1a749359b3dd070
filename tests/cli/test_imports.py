"""`churn import-model`: what may be loaded, what is said about it, and what it becomes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from churn.data.holdout import in_holdout
from churn.settings import Settings

from .conftest import QUICK, Desk, customers

HOLDOUT = Settings()


def fitted(table: pl.DataFrame, *, encoder: dict[str, Any] | None = None) -> Any:
    """What a data scientist with pandas and no knowledge of this project makes of the customers outside the holdout."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = table.filter(~in_holdout(table["customer_id"], salt=HOLDOUT.holdout_salt, share=HOLDOUT.holdout_share)).to_pandas()
    levels = OneHotEncoder(**({"handle_unknown": "ignore"} if encoder is None else encoder))
    columns = make_column_transformer((SimpleImputer(), ["tenure", "MonthlyCharges"]), (levels, ["contract", "online"]))
    model = make_pipeline(columns, RandomForestClassifier(40, min_samples_leaf=5, random_state=0))
    return model.fit(rows[["tenure", "contract", "MonthlyCharges", "online"]], rows["left"])


def store(model: Any, path: Path) -> None:
    import skops.io

    skops.io.dump(model, path)


@pytest.fixture
def ready(desk: Desk) -> Desk:
    """A home with a forest in it, trained elsewhere."""
    store(fitted(customers()), desk.home / "forest.skops")
    return desk


ARGUMENTS = ("import-model", "forest.skops", "--schema", "s.yaml", "--reference", "t.csv")


def test_a_model_from_elsewhere_is_explained_as_any_other(ready: Desk) -> None:
    ready.done(*ARGUMENTS, "--promote")
    ready.done("score", "t.csv", "--publish")
    told = ready.done("explain", "t.csv", "--limit", "3", "--json").json
    for one in told["customers"]:
        points = sum(reason["points"] for reason in one["reasons"]) + one["other_points"]
        assert told["typical_risk"] + points == pytest.approx(one["risk"], abs=1e-6)
        lines = ready.done("explain", one["customer"]).out.splitlines()
        assert lines[0] == one["title"]
        assert [line.strip() for line in lines[2:]] == [reason["words"] for reason in one["reasons"]]


def test_a_model_from_elsewhere_becomes_the_champion_and_scores(ready: Desk) -> None:
    ran = ready.done(*ARGUMENTS, "--promote")
    for words in (
        "forest.skops is made of 16 types:",
        "  sklearn.ensemble._forest.RandomForestClassifier\n",
        "  sklearn.tree._tree.Tree, allowed by name\n",
        "Reasons are exact Shapley values of the columns, against 256 customers of the reference",
        "If the model was trained on these customers, its figures are too good.",
        "ROC-AUC 0.",
        "Saved as v1",
        "v1 is the champion now.",
    ):
        assert words in ran.out, words
    ready.done("score", "t.csv", "--publish", "--out", "scored.csv", "--as-of", "2026-11-01")
    scored = pl.read_csv(ready.home / "scored.csv")
    expected = fitted(customers()).predict_proba(customers().to_pandas()[["tenure", "contract", "MonthlyCharges", "online"]])[
        :, 1
    ]
    of_key = dict(zip(customers()["customer_id"], expected, strict=True))
    assert all(risk == pytest.approx(of_key[key], abs=1e-6) for key, risk in scored.select("customer_id", "risk").iter_rows())
    assert scored["reason 1"].null_count() == 0
    listed = ready.done("models", "--json").json
    assert listed["champion"]["model"] == "v1"
    assert listed["versions"][0]["metrics"]["kind"] == "Random forest, trained elsewhere"


def test_only_the_riskiest_get_reasons_where_so_few_are_asked_for(ready: Desk) -> None:
    ready.settings("gate_ece: 0.15\nslow_reasons: 25\nslow_sample: 0\n")
    ready.done(*ARGUMENTS, "--promote")
    ready.done("score", "t.csv", "--out", "scored.parquet")
    scored = pl.read_parquet(ready.home / "scored.parquet").sort("risk", descending=True)
    assert scored["reason 1"][:25].null_count() == 0
    assert scored["reason 1"][25:].null_count() == scored.height - 25
    before = ready.pointer["model"]
    ready.done("score", "t.csv", "--publish", "--as-of", "2026-11-01")
    ready.done("train", "t.csv", "--schema", "s.yaml", *QUICK)
    ready.done("promote", "v2", "--despite-gates", "--reason", "to go back")
    ready.done("rollback")
    assert ready.pointer["model"] == before


def test_json_says_it_all(ready: Desk) -> None:
    said = ready.done(*ARGUMENTS, "--json").json
    assert said["version"] == "v1"
    assert said["champion"] is False
    assert "sklearn.tree._tree.Tree" in said["trusted"]
    assert set(said["trusted"]) < set(said["types"])
    assert said["holdout"]["rows"] > 100
    assert 0.7 < said["holdout"]["roc_auc"]["value"] < 1


def test_the_card_says_what_is_not_known(ready: Desk) -> None:
    from churn.cli.common import registry_of

    ready.done(*ARGUMENTS)
    settings = Settings.load(home=ready.home, environ={})
    loaded = registry_of(settings).load_model("v1")
    for words in (
        "Random forest, trained elsewhere (`RandomForestClassifier`)",
        "Not known here",
        "forest.skops",
        "## How good it is",
        "Contract",
    ):
        assert words in loaded.card, words
    assert "holdout.parquet" in loaded.extra
    assert b"C00017" not in b"".join(loaded.extra.values())


def test_types_that_may_not_be_loaded_are_named_and_nothing_is_kept(ready: Desk) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    store(make_pipeline(FunctionTransformer(os.system), fitted(customers())), ready.home / "forest.skops")
    line = ready.run(*ARGUMENTS).line
    assert "may be loaded: posix.system; nothing of it was loaded" in line
    assert not (ready.home / "models").exists()


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04\x95 a pickle", b"PK\x03\x04"])
def test_a_file_that_is_none_is_refused_in_one_line(ready: Desk, content: bytes | None) -> None:
    path = ready.home / "forest.skops"
    path.unlink() if content is None else path.write_bytes(content)
    line = ready.run(*ARGUMENTS).line
    assert ("forest.skops cannot be read: No such file" if content is None else "no skops file") in line


def test_a_reference_without_the_outcome_judges_nothing(ready: Desk) -> None:
    customers().drop("left").write_csv(ready.home / "t.csv")
    ran = ready.done(*ARGUMENTS)
    assert "The reference has no column 'left', so the model was not judged; no gate can pass." in ran.out
    assert "too few leavers or stayers" in ready.run("promote", "v1").line
    ready.done("promote", "v1", "--despite-gates", "--reason", "we know it")
    assert ready.pointer["model"] == "v1"


def test_a_simulated_reference_is_refused(ready: Desk) -> None:
    customers().write_parquet(ready.home / "demo.parquet", metadata={"simulated": "true"})
    line = ready.run(*ARGUMENTS[:-1], "demo.parquet").line
    assert line.startswith("demo.parquet is marked as simulated data, and the workspace 'default' holds real data")
    assert not (ready.home / "models").exists()


def test_what_would_stop_scoring_is_told_beforehand(ready: Desk) -> None:
    store(fitted(customers(), encoder={}), ready.home / "forest.skops")
    out = ready.done(*ARGUMENTS, "--promote").out
    assert "The model cannot score a new level of `contract` and `online`: scoring would stop there." in out
    customers().with_columns(contract=pl.lit("Weekly")).write_csv(ready.home / "new.csv")
    line = ready.run("score", "new.csv", "--out", "scored.csv").line
    assert "the model does not take these rows: " in line
    assert "Weekly" in line


def test_a_model_for_another_table_is_refused(ready: Desk) -> None:
    table = customers().to_pandas()
    columns = ["tenure", "contract", "MonthlyCharges", "online", "email"]
    store(fitted(customers()).fit(table[columns], table["left"]), ready.home / "forest.skops")
    assert "the model takes column 'email', which is no feature of schema" in ready.run(*ARGUMENTS).line


def test_the_winner_of_a_training_can_be_kept_itself(desk: Desk) -> None:
    quick = ("--trials", "1", "--repeats", "1", "--candidates", "hist-gradient-boosting")
    assert "ask for the winner to be saved: --save-winner" in desk.run("train", "t.csv", "--schema", "s.yaml", *quick).line
    ran = desk.done("train", "t.csv", "--schema", "s.yaml", *quick, "--save-winner", "--promote")
    assert "is saved as a scikit-learn pipeline" in ran.out
    desk.done("score", "t.csv", "--publish", "--as-of", "2026-11-01")
    assert desk.pointer["model"] == "v1"

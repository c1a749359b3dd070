"""`churn train`, `churn models`, `churn promote`, `churn rollback`: who becomes the champion, and who does not."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from churn.data.holdout import in_holdout
from churn.model import manifest
from churn.score import batch
from churn.settings import Settings

from .conftest import QUICK, Desk, customers


def _train(desk: Desk, table: str = "t.csv", schema: str = "s.yaml") -> str:
    return str(desk.done("train", table, "--schema", schema, *QUICK, "--json").json["version"])


def test_a_version_that_fails_a_gate_is_kept_and_not_promoted(desk: Desk) -> None:
    desk.settings("gate_ece: 0.15\ngate_auc: 0.99\n")
    ran = desk.run("train", "t.csv", "--schema", "s.yaml", *QUICK, "--promote")
    assert ran.line.startswith("model v1 was not promoted. Holdout ROC-AUC 0.")
    assert "at least 0.99 is needed." in ran.line
    assert "Saved as v1" in ran.out
    listed = desk.done("models", "--json").json
    assert ([one["version"] for one in listed["versions"]], listed["champion"]) == (["v1"], None)
    assert desk.run("promote", "v1").line == ran.line
    assert desk.run("promote", "v1", "--despite-gates").code == 2
    shown = desk.done("promote", "v1", "--despite-gates", "--reason", "[bold] demo for the board").out
    assert "✗ Holdout ROC-AUC" in shown
    (entry,) = desk.done("models", "--json").json["history"]
    assert entry["reason"].startswith("[bold] demo for the board (despite: Holdout ROC-AUC")
    assert "— [bold] demo for the board (despite:" in desk.done("models").out


def test_a_version_worse_than_the_champion_is_refused(trained: Desk) -> None:
    """Both are judged on the same rows, which neither has seen."""
    table = customers()
    held = pl.Series(in_holdout(table["customer_id"], salt=Settings().holdout_salt, share=Settings().holdout_share))
    wrong = pl.when(held).then("left").otherwise(pl.col("left").shuffle(seed=1)).alias("left")
    table.with_columns(wrong).write_csv(trained.home / "noise.csv")
    trained.settings("gate_auc: 0\ngate_ece: 1\n")
    pointer = trained.pointer
    ran = trained.run("train", "noise.csv", "--schema", "s.yaml", *QUICK, "--promote")
    assert "model v2 was not promoted. Log-loss 0." in ran.line
    assert "against the champion's 0." in ran.line
    assert trained.pointer == pointer


def test_a_holdout_too_small_to_judge_by_lets_nothing_pass(desk: Desk) -> None:
    table = customers(100)
    held = pl.Series(in_holdout(table["customer_id"], salt=Settings().holdout_salt, share=Settings().holdout_share))
    assert 5 < held.sum() < 40
    table.filter(~held | (pl.col("left") == "No")).write_csv(desk.home / "few.csv")
    ran = desk.run("train", "few.csv", "--schema", "s.yaml", *QUICK, "--promote")
    assert ran.line == "model v1 was not promoted. The holdout has too few leavers or stayers to judge the version by."


def test_whoever_loses_a_race_is_told_and_changes_nothing(trained: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (_train(trained), _train(trained)) == ("v2", "v3")
    score, others = batch.score, ["v3"]

    def while_somebody_else_promotes(*given: Any, **options: Any) -> batch.Scored:
        if others:
            trained.done("promote", others.pop(), "--reason", "faster")
        return score(*given, **options)

    monkeypatch.setattr(batch, "score", while_somebody_else_promotes)
    line = trained.run("promote", "v2").line
    assert "was faster (promote, " in line
    assert "the desk shows model v3, scoring 20" in line
    assert line.endswith("nothing was changed. Look again and repeat")
    assert trained.pointer["model"] == "v3"
    assert not list((trained.home / "models" / "default" / "log").glob("model=v2/**/*.parquet"))
    trained.done("promote", "v2")


def test_a_version_with_a_new_column_is_promoted_with_a_table_that_has_it(trained: Desk) -> None:
    wider = customers().with_columns(visits=pl.int_range(pl.len()) % 9)
    wider.write_csv(trained.home / "wider.csv")
    trained.settings("gate_ece: 0.15\ngate_log_loss_slack: 0.1\n")
    trained.done("schema", "infer", "wider.csv", "--key", "customer_id", "--target", "left", "-o", "wider.yaml")
    assert _train(trained, "wider.csv", "wider.yaml") == "v2"
    pointer = trained.pointer
    assert "have no column 'visits'" in trained.run("promote", "v2").line
    assert trained.run("score", "wider.csv", "--model", "v2", "--publish").line == (
        "the desk shows the champion's scorings, and that is v1, not v2; to change both: churn promote v2 --table wider.csv"
    )
    assert trained.run("promote", "v2", "--table", "t.csv").line == "column 'visits' is not in the table"
    assert trained.pointer == pointer
    assert (
        "v2 is the champion now. 700 customers were scored with it." in trained.done("promote", "v2", "--table", "wider.csv").out
    )
    assert "Already on the desk" in trained.done("score", "wider.csv", "--publish").out
    trained.done("rollback")
    assert trained.pointer["scoring"] == pointer["scoring"]


def test_training_again_gives_the_same_model(trained: Desk) -> None:
    _train(trained)
    first, second = (trained.registry().load_model(version).model for version in ("v1", "v2"))
    table = trained.registry().load_model("v1").reference
    assert first.score(table).risk.tolist() == second.score(table).risk.tolist()


def test_models_lists_versions_and_history(trained: Desk) -> None:
    _train(trained)
    shown = trained.done("models").out.splitlines()
    assert [line.split()[0] for line in shown[1:3]] == ["v2", "champion"]
    assert [line.split()[2] for line in shown[3:]] == ["publish", "promote"]
    listed = trained.done("models", "--json").json["versions"]
    assert [one["problem"] for one in listed] == [None, None]
    assert listed[0]["metrics"]["holdout"]["roc_auc"]["value"] > 0.8


def test_a_simulated_model_is_kept_out(trained: Desk) -> None:
    """A bundle of the demo that somebody copied into a real store is refused by every command."""
    path = trained.home / "models" / "default" / "models" / "v1" / manifest.NAME
    facts = manifest.parse(path.read_bytes(), "here")
    path.write_bytes(manifest.dump({**facts, "simulated": True}))
    says = "comes from simulated data; workspace 'default' is for real data"
    for command in (("score", "t.csv", "--publish"), ("score", "t.csv", "--out", "x.csv"), ("rollback",)):
        assert says in trained.run(*command).line

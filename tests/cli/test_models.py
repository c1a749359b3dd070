"""`churn train`, `churn models`, `churn promote`, `churn rollback`: who becomes the champion, and who does not."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from churn.data.holdout import in_holdout
from churn.errors import StoreUnavailable
from churn.model import manifest
from churn.model.store import FileStore
from churn.score import batch
from churn.settings import Settings

from .conftest import QUICK, Desk, customers


def _train(desk: Desk, table: str = "t.csv", schema: str = "s.yaml") -> str:
    return str(desk.done("train", table, "--schema", schema, *QUICK, "--json").json["version"])


def test_a_version_that_fails_a_gate_is_kept_and_not_promoted(desk: Desk) -> None:
    desk.settings("gate_ece: 0.15\ngate_auc: 0.99\n")
    ran = desk.run("train", "t.csv", "--schema", "s.yaml", *QUICK, "--promote")
    assert ran.code == 3
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
    ran = trained.run("promote", "v2")
    line = ran.line
    assert ran.code == 3
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
    assert [line.split()[3] for line in shown[3:]] == ["publish", "promote"]
    assert all(line.split()[2] == "UTC" for line in shown[3:])
    listed = trained.done("models", "--json").json["versions"]
    assert [one["problem"] for one in listed] == [None, None]
    assert listed[0]["metrics"]["holdout"]["roc_auc"]["value"] > 0.8


def test_a_simulated_model_is_kept_out(trained: Desk) -> None:
    """A bundle of the demo that somebody copied into a real store is refused by every command."""
    trained.done("score", "t.csv", "--publish", "--as-of", "2026-11-02")
    path = trained.home / "models" / "default" / "models" / "v1" / manifest.NAME
    facts = manifest.parse(path.read_bytes(), "here")
    path.write_bytes(manifest.dump({**facts, "simulated": True}))
    says = "comes from simulated data; workspace 'default' is for real data"
    for command in (("score", "t.csv", "--publish"), ("score", "t.csv", "--out", "x.csv"), ("rollback",)):
        assert says in trained.run(*command).line


def test_a_program_is_told_all_about_a_refused_version(desk: Desk) -> None:
    desk.settings("gate_ece: 0.15\ngate_auc: 0.99\n")
    ran = desk.run("train", "t.csv", "--schema", "s.yaml", *QUICK, "--promote", "--json")
    assert ran.code == 3
    assert ran.json["version"] == "v1"
    assert ran.json["champion"] is False
    assert ran.json["refused"] == ran.line
    assert [(check["name"], check["passed"], check["limit"]) for check in ran.json["checks"]] == [
        ("roc_auc", False, 0.99),
        ("ece", True, 0.15),
    ]
    assert [entry["key"] for entry in ran.json["leaderboard"]] == ["logistic-regression"]
    assert 0.8 < ran.json["holdout"]["roc_auc"]["value"] < 0.99
    assert ran.json["calibration"].startswith(("Calibrated", "Not calibrated"))
    again = desk.run("promote", "v1", "--json")
    assert again.code == 3
    assert (again.json["error"], again.json["kind"]) == (ran.line, "PromotionRefused")
    assert again.json["checks"] == ran.json["checks"]


def test_a_program_is_told_what_is_shown(trained: Desk) -> None:
    first = trained.pointer
    _train(trained)
    done = trained.done("promote", "v2", "--json").json
    assert (done["model"], done["rescored"]) == ("v2", 700)
    assert all(check["passed"] for check in done["checks"])
    assert trained.pointer["scoring"] == done["scoring"]
    assert trained.done("rollback", "--json").json["scoring"] == first["scoring"]
    refused = trained.run("rollback", "--json")
    assert refused.code == 2
    assert refused.json == {"error": refused.line, "kind": "NotInStore"}
    assert refused.line.endswith("that showed customers; nothing was changed")


def test_a_training_says_how_it_did_on_the_holdout(desk: Desk) -> None:
    lines = desk.done("train", "t.csv", "--schema", "s.yaml", *QUICK).out.splitlines()
    shown = [line for line in lines if line.startswith(("Holdout of 1", "Calibrated", "Not calibrated"))]
    assert len(shown) == 2
    assert "ROC-AUC 0." in shown[0]


def test_the_leaderboard_fits_a_narrow_screen(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ("--trials", "1", "--repeats", "1", "--candidates", "logistic-regression,gradient-boosting")
    from churn.cli import common

    for width, heads in ((80, 7), (140, 9)):
        monkeypatch.setattr(common.out, "_width", width)
        lines = desk.done("train", "t.csv", "--schema", "s.yaml", *quick).out.splitlines()
        place = next(number for number, line in enumerate(lines) if "candidate" in line)
        table = lines[place : place + 3]
        assert all(len(line.rstrip()) <= width for line in table)
        assert not any("…" in line for line in table)
        assert len(table[0].replace("log-loss", "x").split()) == heads - 1
        assert any("Logistic regression" in line for line in table)
        assert any("± one standard error over the folds" in line for line in lines[place:])


def test_a_store_that_takes_nothing_is_found_before_the_training(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from churn.learn import training
    from churn.model import store

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("it was trained"))
    monkeypatch.setattr(store.os, "fsync", full)
    assert "the disk is full; make room and try again" in desk.run("train", "t.csv", "--schema", "s.yaml", *QUICK).line


def test_a_model_that_the_store_does_not_take_is_kept_and_can_be_brought_in(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreUnavailable("the disk is full; make room and try again")

    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "upload", full)
        line = desk.run("train", "t.csv", "--schema", "s.yaml", *QUICK).line
    assert line.startswith("the disk is full; make room and try again. The model is kept in ")
    folder = line.rpartition("churn import-model ")[2]
    assert Path(folder).parent == desk.home
    assert "leave the options out" in desk.run("import-model", folder, "--schema", "s.yaml").line
    number = desk.done("import-model", folder, "--promote", "--json").json["version"]
    assert desk.pointer["model"] == number
    (Path(folder) / "card.md").write_text("other")
    assert "card.md must have" in desk.run("import-model", folder).line


@pytest.mark.parametrize("how", ["altered", "gone"])
def test_models_names_damage(trained: Desk, how: str) -> None:
    _train(trained)
    place = trained.home / "models" / "default" / "models"
    for version in ("v1", "v2"):
        path = place / version / "encoder.json"
        data = path.read_bytes()
        path.unlink() if how == "gone" else path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    shown = trained.done("models").out
    assert "champion damaged  v1" in shown
    assert "v1 cannot be used: " in shown
    assert ("v2 cannot be used: " in shown) == (how == "gone")  # of the others, what a listing tells
    listed = {one["version"]: one["problem"] for one in trained.done("models", "--json").json["versions"]}
    assert "encoder.json" in listed["v1"]
    assert (listed["v2"] is not None) == (how == "gone")


def test_a_rollback_to_damaged_customers_is_refused(trained: Desk) -> None:
    first = trained.pointer["scoring"]
    trained.done("score", "t.csv", "--publish", "--as-of", "2026-11-02")
    shown = trained.pointer
    path = trained.home / "models" / "default" / "scorings" / first / "rows.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "rows.parquet was altered in the store" in trained.run("rollback").line
    assert trained.pointer == shown
    done = trained.done("score", "t.csv", "--publish", "--as-of", "2026-11-01", "--force", "--json").json
    assert done["new"]
    assert done["scoring"] != first
    assert trained.registry().problem("scoring", done["scoring"]) is None

"""From a table to the desk and back, in a folder and in a bucket: every command once, in the order people use them."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from churn.base.snapshot import CONTACTS, LEFT, RISK, ROWS
from churn.data.schema import Schema
from churn.model.store import open_store
from churn.score import log
from churn.settings import Settings

from .conftest import QUICK, Desk, customers

BOOSTED = ("--trials", "1", "--repeats", "1", "--candidates", "lightgbm")
GATES = "gate_ece: 0.2\ngate_log_loss_slack: 0.3\n"  # the way is tested here, not how good models of 700 rows are


def _scoring(desk: Desk, file: str) -> pl.DataFrame:
    registry = desk.registry()
    pointer = registry.pointer()
    assert pointer is not None
    assert pointer.scoring is not None
    return pl.read_parquet(registry.scoring_folder(pointer.scoring) / file).sort("customer_id")


def _log(desk: Desk) -> pl.DataFrame:
    return log.read(open_store(Settings.load(home=desk.home, environ={})))


def test_from_a_table_to_the_desk_and_back(desk: Desk, place: str) -> None:
    desk.settings(place + GATES)
    assert desk.done("models", "--json").json == {"champion": None, "versions": [], "history": []}
    trained = desk.done("train", "t.csv", "--schema", "s.yaml", *QUICK, "--promote", "--json").json
    assert (trained["version"], trained["winner"], trained["champion"]) == ("v1", "logistic-regression", True)
    scored = desk.done("score", "t.csv", "--publish", "--as-of", "2026-11-01", "--json").json
    assert (scored["model"], scored["rows"], scored["new"]) == ("v1", 700, True)
    assert scored["mean_risk"] == pytest.approx(_scoring(desk, ROWS)[RISK].mean())
    again = desk.done("score", "t.csv", "--publish", "--as-of", "2026-11-01", "--json").json
    assert (again["scoring"], again["new"]) == (scored["scoring"], False)

    outcomes = customers().select("customer_id", "left", known_at=pl.lit("2026-11-20"))
    outcomes.write_csv(desk.home / "outcomes.csv")
    for new in (True, False):
        taken = desk.done("outcomes", "import", "outcomes.csv", "--json").json
        assert (taken["accepted"], taken["unknown_keys"], taken["new"]) == (700, 0, new)

    before, contacts = _scoring(desk, ROWS), _scoring(desk, CONTACTS)
    assert contacts.columns == ["customer_id", "name", "email"]
    shown = desk.done("train", "t.csv", "--schema", "s.yaml", *BOOSTED, "--promote").out
    assert "v2 is the champion now. 700 customers were scored with it." in shown
    after = _scoring(desk, ROWS)
    assert after["customer_id"].equals(before["customer_id"])
    assert after.select(Schema.load(desk.home / "s.yaml").names).equals(before.select(Schema.load(desk.home / "s.yaml").names))
    assert not after[RISK].equals(before[RISK])
    assert _scoring(desk, CONTACTS).equals(contacts)  # kept, though no table was given
    logged = _log(desk)
    assert logged.height == 1400
    assert logged.group_by("__source__").len().sort("__source__").rows() == [("promote", 700), ("publish", 700)]

    listed = desk.done("models", "--json").json
    assert [one["version"] for one in listed["versions"]] == ["v2", "v1"]
    assert listed["champion"]["model"] == "v2"
    assert [(one["action"], one["model"]) for one in listed["history"]] == [
        ("promote", "v1"),
        ("publish", "v1"),
        ("promote", "v2"),
    ]
    assert [date.fromisoformat(one["since"][:10]) for one in listed["history"]]
    assert "The desk shows model v1 with" in desk.done("rollback").out
    assert desk.pointer["scoring"] == scored["scoring"]
    assert _scoring(desk, ROWS).equals(before)
    assert all(finding["good"] for finding in desk.done("doctor", "--json").json)
    assert desk.done("promote", "v2").code == 0


def test_a_table_with_dates(desk: Desk) -> None:
    """Trained forward in time; scored are those who are still there, as they were last seen."""
    desk.settings("gate_ece: 0.2\n")
    table = customers(500, dated=True)
    table.write_csv(desk.home / "d.csv")
    desk.done("schema", "infer", "d.csv", "--key", "customer_id", "--target", "left", "-o", "d.yaml")
    schema = Schema.load(desk.home / "d.yaml")
    assert schema.snapshot is not None
    assert (schema.snapshot.column, schema.snapshot.horizon_days) == ("day", 31)
    trained = desk.done("train", "d.csv", "--schema", "d.yaml", *QUICK, "--promote", "--json").json
    unlabelled = table["left"].null_count()
    assert f"{unlabelled:,} rows without an outcome were left out." in trained["notes"]

    scored = desk.done("score", "d.csv", "--publish", "--json").json
    last = table.filter(pl.col("day") == pl.col("day").max().over("customer_id"))
    still = last.filter(pl.col("left").ne_missing("Yes")).sort("customer_id")
    behind = still.filter(pl.col("day") < table["day"].max()).height  # gone since, though no outcome says so yet
    assert (scored["as_of"], scored["rows"], scored["gone"]) == (str(table["day"].max()), still.height, 500 - still.height)
    assert 0 < behind == scored["behind"]
    assert scored["warnings"][0].startswith(f"{behind} customers missing from the newest snapshot without having left, as far")
    assert _scoring(desk, ROWS).select("customer_id", "day").equals(still.select("customer_id", "day"))
    assert _scoring(desk, ROWS)[LEFT].null_count() == still.height

    first = table.filter(pl.col("day") == table["day"].min())
    outcomes = first.select("customer_id", "day", "left", known_at=pl.lit("2025-09-10"))
    early = outcomes.head(1).with_columns(known_at=pl.lit("2025-07-02"), left=pl.lit("No"))
    pl.concat([outcomes, early]).write_csv(desk.home / "outcomes.csv")
    ran = desk.run("outcomes", "import", "outcomes.csv")
    assert ran.code == 1  # all but one row were taken
    assert "Recorded: 500 outcomes, 125 of them left." in ran.out
    assert "Not taken: row 501: column 'known_at' must be 31 days or more after 'day' for who stayed" in ran.out

    twice = pl.concat([table, table.head(1)])
    twice.write_csv(desk.home / "d.csv")
    assert "must not repeat that of row 1 within one snapshot" in desk.run("score", "d.csv", "--publish").line

"""`churn log`, `churn forget` and `churn quarantine` through the real command line."""

from __future__ import annotations

import json

import polars as pl
import pytest

from churn.data import incoming
from churn.model.store import open_store
from churn.score import quarantine
from churn.settings import Settings

from .conftest import Desk, customers

GONE = "C00007"


@pytest.fixture
def scored(trained: Desk) -> Desk:
    trained.done("score", "t.csv", "--publish", "--as-of", "2026-11-08")
    return trained


def test_what_is_logged_is_listed_and_taken_out(scored: Desk) -> None:
    listed = scored.done("log", "list", "--json").json
    assert {(one["date"], one["predictions"], tuple(one["sources"])) for one in listed} >= {
        ("2026-11-01", 700, ("publish",)),
        ("2026-11-08", 700, ("publish",)),
    }
    shown = scored.done("log", "list", "--since", "2026-11-08", "--until", "2026-11-08").out
    assert "8 Nov 2026  v1             700     1      1" in shown
    quick = scored.done("log", "list", "--quick", "--json").json
    assert [(one["runs"], one["parts"], one["predictions"]) for one in quick] == [(1, 1, None), (1, 1, None)]
    assert "8 Nov 2026  v1               –     1      1" in scored.done("log", "list", "--quick").out
    assert scored.done("log", "list", "--model", "v9").out == "Nothing is logged of these.\n"
    told = scored.done("log", "read", "--out", "log.csv", "--since", "2026-11-08", "--until", "2026-11-08").out
    assert told == "700 predictions written to log.csv.\n"
    found = pl.read_csv(scored.home / "log.csv")
    assert found.columns[:7] == ["model", "key", "as_of", "scored_at", "risk", "margin", "source"]
    assert scored.run("log", "read", "--out", "x.csv", "--source", "api").line.startswith("nothing is logged of these")
    assert "must be one of publish" in scored.run("log", "read", "--out", "x.csv", "--source", "what-if").line


def test_predictions_made_elsewhere_are_logged_once(scored: Desk) -> None:
    table = pl.DataFrame({"customer_id": ["C00001", "C00002"], "chance": [0.2, 0.7]})
    table.write_csv(scored.home / "there.csv")
    command = ("log", "import", "there.csv", "--model", "v1", "--as-of", "2026-09-01", "--risk", "chance")
    first = scored.done(*command).out
    assert first.startswith("Logged: 2 predictions of model v1, about 1 Sep 2026.\nNot in the table, so not watched: ")
    assert "Already logged: 2 predictions." in scored.done(*command).out
    table.with_columns(chance=pl.lit(2)).write_csv(scored.home / "there.csv")
    assert scored.run(*command).line == "column 'chance' must be a chance from 0 to 1; row 1 has '2' (2 rows in all)"


def test_many_runs_of_a_day_become_one_part_and_old_days_expire(scored: Desk) -> None:
    customers(600, seed=3).write_csv(scored.home / "other.csv")
    scored.done("score", "other.csv", "--publish", "--as-of", "2026-11-08")
    assert "churn log compact" in scored.done("log", "list").out
    assert scored.done("log", "compact").out == "2 runs of 1 day put together.\nCleared away: 2 parts that no longer counted.\n"
    assert scored.done("log", "compact").out == "There is nothing to put together.\n"
    pl.DataFrame({"customer_id": ["C00001"], "risk": [0.2]}).write_csv(scored.home / "old.csv")
    assert "'log_days' is 0" in scored.run("log", "expire").line
    assert scored.done("log", "expire", "--quiet").out == ""
    scored.done("log", "import", "old.csv", "--model", "v1", "--as-of", "2020-01-01")
    assert scored.done("log", "expire", "--days", "1000").out.startswith("Removed: 1 run about days before ")
    assert {one["date"] for one in scored.done("log", "list", "--json").json} == {"2026-11-01", "2026-11-08"}
    assert scored.done("log", "expire", "--days", "1000").out.startswith("Nothing is logged about days before ")


def test_a_customer_is_forgotten_with_a_receipt(scored: Desk) -> None:
    before = scored.sums()
    looked = scored.done("forget", GONE, "--dry-run").out
    assert f"{GONE}: Would be rewritten or removed: " in looked
    assert scored.sums() == before
    done = scored.done("forget", GONE, "--reason", "asked by mail", "--receipt", "receipt.json").out
    assert f"{GONE}: Forgotten. Rewritten or removed: " in done
    assert "Cannot be reached from here:" in done
    (receipt,) = json.loads((scored.home / "receipt.json").read_text())
    assert receipt["reason"] == "asked by mail"
    assert GONE not in json.dumps(receipt)
    (twice,) = scored.done("forget", GONE).out.splitlines()
    assert twice.startswith(f"{GONE}: Already forgotten on ")
    assert twice.endswith("; nothing was found.")
    again = scored.done("score", "t.csv", "--publish", "--as-of", "2026-11-09").out
    assert "699 customers scored" in again
    assert "1 row of a customer who asked to be forgotten was left out." in again
    before = scored.done("log", "list", "--json").json
    scored.done("score", "t.csv", "--publish", "--as-of", "2026-11-08", "--force")
    assert scored.done("log", "list", "--json").json == before, "the same rows of the same day are the same run"
    assert scored.run("explain", GONE).code == 2
    assert scored.done("doctor").code == 0
    told = pl.DataFrame({"customer_id": [GONE], "left": ["Yes"], "known_at": ["2026-11-20"]})
    told.write_csv(scored.home / "known.csv")
    assert scored.done("outcomes", "import", "known.csv").out.splitlines() == [
        "Recorded: 0 outcomes, 0 of them left.",
        "1 row of a customer who asked to be forgotten was left out.",
    ]
    twice = pl.concat([told, told.with_columns(known_at=pl.lit("soon"))])
    twice.write_csv(scored.home / "known.csv")
    ran = scored.done("outcomes", "import", "known.csv")
    assert "2 rows of customers who asked to be forgotten were left out." in ran.out
    assert GONE not in ran.out


def test_a_batch_held_back_is_shown_released_and_dropped(trained: Desk) -> None:
    assert trained.done("quarantine", "list").out == "No batch is held back.\n"
    bundle = trained.registry().load_model("v1")
    raw = customers().with_columns(MonthlyCharges=pl.lit("many"))
    store = open_store(Settings.load(home=trained.home, environ={}))
    held = quarantine.hold(store, raw, incoming.inspect(raw, bundle.schema, bundle.reference), source="base.csv")
    assert held.id in trained.done("quarantine", "list").out
    shown = trained.done("quarantine", "show", held.id[:16], "--out", "rows.csv").out
    assert "✗ Column 'MonthlyCharges' must be a number; row 1 has 'many'" in shown
    assert pl.read_csv(trained.home / "rows.csv").height == 700
    assert "say why" in trained.run("quarantine", "release", held.id, "--reason", " ").line
    assert "cannot be scored, so it is not released" in trained.run("quarantine", "release", held.id, "--reason", "x").line
    few = customers().head(300)
    small = quarantine.hold(store, few, incoming.inspect(few, bundle.schema, bundle.reference, rows_before=700))
    assert "is released" in trained.done("quarantine", "release", small.id, "--reason", "a migration").out
    assert "a migration" in [one["reason"] for one in trained.done("quarantine", "list", "--json").json]
    assert trained.done("quarantine", "drop", held.id).out == f"{held.id} is dropped.\n"
    assert "there is no batch" in trained.run("quarantine", "show", held.id).line

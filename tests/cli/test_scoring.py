"""`churn score` and `churn outcomes import`: what is written where."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from .conftest import Desk, customers


def _read(desk: Desk, name: str) -> pl.DataFrame:
    path = desk.home / name
    if name.endswith(".csv"):
        return pl.read_csv(path)
    return pl.read_parquet(path) if name.endswith(".parquet") else pl.read_excel(path)


@pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx"])
def test_a_scored_table_has_risk_band_and_reasons_and_no_contacts(trained: Desk, ending: str) -> None:
    (trained.home / "sub").mkdir()
    shown = trained.done("score", "t.csv", "--out", f"sub/scored.{ending}", "--reasons", "2").out
    assert "700 customers scored with model v1; average risk " in shown
    assert f"Written to sub/scored.{ending}." in shown
    scored = _read(trained, f"sub/scored.{ending}")
    assert scored.columns == ["customer_id", "risk", "band", "reason 1", "reason 2"]
    assert scored["customer_id"].sort().to_list() == customers()["customer_id"].to_list()
    assert scored["risk"].is_sorted(descending=True)
    assert scored["risk"].is_between(0, 1).all()
    assert "points" in scored["reason 1"][0]
    assert [path.name for path in (trained.home / "sub").iterdir()] == [f"scored.{ending}"]


def test_scoring_a_file_alone_changes_nothing_on_the_desk(trained: Desk) -> None:
    before = trained.sums("models")
    trained.done("score", "t.csv", "--out", "scored.csv", "--reasons", "0")
    assert trained.sums("models") == before
    assert _read(trained, "scored.csv").columns == ["customer_id", "risk", "band"]


def test_an_earlier_version_can_score_a_file(trained: Desk) -> None:
    scored = trained.done("score", "t.csv", "--out", "scored.csv", "--model", "v1", "--as-of", "2026-10-01", "--json").json
    gone = customers()["left"].eq("Yes").sum()
    assert scored == {
        "model": "v1",
        "as_of": "2026-10-01",
        "rows": 700,
        "mean_risk": scored["mean_risk"],
        "gone": 0,
        "earlier": 0,
        "behind": 0,
        "warnings": [
            f"{gone} customers are marked as having left (left = Yes) and scored all the same, for the table has no dates. "
            "Leave out who is gone."
        ],
        "out": "scored.csv",
        "scoring": None,
        "new": None,
    }


def test_a_table_without_dates_is_about_today(trained: Desk) -> None:
    scored = trained.done("score", "t.csv", "--publish", "--json").json
    assert abs((date.fromisoformat(scored["as_of"]) - date.today()).days) <= 1


def test_customers_who_come_back_later_are_published_beside_the_log_of_before(trained: Desk) -> None:
    first = trained.pointer["scoring"]
    customers(650, seed=4).write_csv(trained.home / "later.csv")
    trained.done("score", "later.csv", "--publish", "--as-of", "2026-11-02")
    second = trained.pointer["scoring"]
    scorings = {info.id: (info.as_of, info.rows) for info in trained.registry().scorings()}
    assert scorings == {first: ("2026-11-01", 700), second: ("2026-11-02", 650)}
    parts = sorted(path.parent.name for path in (trained.home / "models" / "default" / "log").rglob("*.parquet"))
    assert parts == ["date=2026-11-01", "date=2026-11-02"]


def test_customers_of_the_future_are_not_shown(trained: Desk) -> None:
    shown = trained.pointer
    for command in (("--as-of", "2999-01-01"), ("--as-of", "2999-01-01", "--force")):
        ran = trained.run("score", "t.csv", "--publish", *command)
        assert ran.line == "the rows are about 1 Jan 2999, which lies in the future; name the right day with --as-of"
        assert ran.code == 2
    assert trained.pointer == shown


def test_earlier_customers_replace_later_ones_only_where_that_is_asked_for(trained: Desk) -> None:
    shown = trained.pointer
    ran = trained.run("score", "t.csv", "--publish", "--as-of", "1999-01-01")
    assert ran.code == 3
    assert ran.line == (
        "the desk shows customers as of 1 Nov 2026, and these are as of 1 Jan 1999, which is earlier; to show them all the same: "
        "--force"
    )
    assert trained.pointer == shown
    assert trained.done("score", "t.csv", "--out", "x.csv", "--as-of", "1999-01-01", "--json").json["as_of"] == "1999-01-01"
    assert trained.done("score", "t.csv", "--publish", "--as-of", "1999-01-01", "--force", "--json").json["new"]


def test_reasons_that_are_asked_for_are_there(trained: Desk) -> None:
    publish = ("score", "t.csv", "--publish", "--as-of", "2026-11-02", "--json")
    found = {reasons: trained.done(*publish, "--reasons", reasons).json for reasons in ("0", "4", "2")}
    assert [found[reasons]["new"] for reasons in ("0", "4", "2")] == [True, True, False]
    registry = trained.registry()
    rows = pl.read_parquet(registry.scoring_folder(found["2"]["scoring"]) / "rows.parquet")
    assert "__reason_4__" in rows.columns


def test_a_key_that_a_spreadsheet_would_run_is_made_harmless(trained: Desk) -> None:
    table = customers(60).with_columns(customer_id=pl.format('=HYPERLINK("x{}")', pl.int_range(pl.len())))
    table.write_csv(trained.home / "x.csv")
    trained.done("score", "x.csv", "--out", "scored.csv")
    assert _read(trained, "scored.csv")["customer_id"].str.starts_with("'=").all()


def test_outcomes_name_what_is_not_taken_and_take_the_rest(trained: Desk) -> None:
    rows = [
        ("C00000", "Yes", "2026-11-05"),
        ("C00001", "perhaps", "2026-11-05"),
        ("Z9", "No", "2026-11-05"),
        ("C00002", "No", "2099-01-01"),
    ]
    pl.DataFrame(rows, schema=["customer_id", "left", "known_at"], orient="row").write_csv(trained.home / "o.csv")
    ran = trained.run("outcomes", "import", "o.csv")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "Recorded: 2 outcomes, 1 of them left.",
        "Never scored here: 1 customer, such as Z9.",
        "Not taken: row 2: column 'left' must be 'Yes' or 'No'; it has 'perhaps'",
        f"Not taken: row 4: column 'known_at' must not lie in the future (today is {_today()}); it has '2099-01-01'",
    ]
    told = trained.run("outcomes", "import", "o.csv", "--json")
    assert told.code == 1
    assert (told.json["accepted"], told.json["new"], told.json["damaged"]) == (2, False, [])
    assert told.json["refused"] == [
        {"row": 2, "column": "left", "value": "perhaps", "rule": "must be 'Yes' or 'No'"},
        {
            "row": 4,
            "column": "known_at",
            "value": "2099-01-01",
            "rule": f"must not lie in the future (today is {_today()})",
        },
    ]


def test_outcomes_that_say_the_opposite_are_refused_unless_forced(trained: Desk) -> None:
    known = customers().select("customer_id", "left", known_at=pl.lit("2026-11-20"))
    known.write_csv(trained.home / "o.csv")
    trained.done("outcomes", "import", "o.csv")
    swapped = known.with_columns(left=pl.when(pl.col("left") == "Yes").then(pl.lit("No")).otherwise(pl.lit("Yes")))
    swapped.write_csv(trained.home / "swapped.csv")
    ran = trained.run("outcomes", "import", "swapped.csv")
    assert ran.code == 2
    assert "contradict what is known of 700 customers, 100% of the 700" in ran.line
    forced = trained.done("outcomes", "import", "swapped.csv", "--force").out
    assert "Recorded: 700 outcomes, 356 of them left." in forced
    assert "Contradicting: 700 customers said to have left, and to have still been there on that day or later" in forced


def test_a_damaged_part_of_the_log_does_not_hide_what_was_recorded(trained: Desk) -> None:
    (part,) = (trained.home / "models" / "default" / "log").rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    customers().select("customer_id", "left", known_at=pl.lit("2026-11-20")).write_csv(trained.home / "o.csv")
    ran = trained.run("outcomes", "import", "o.csv")
    assert ran.code == 1
    lines = ran.out.splitlines()
    assert lines[0] == "Recorded: 700 outcomes, 344 of them left."
    assert any(line.startswith("Not looked at for who was scored here: ") and part.name in line for line in lines)
    told = trained.run("outcomes", "import", "o.csv", "--json").json
    assert (told["accepted"], told["new"], len(told["damaged"])) == (700, False, 1)


def _today() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).date().isoformat()

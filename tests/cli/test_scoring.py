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
    assert scored == {
        "model": "v1",
        "as_of": "2026-10-01",
        "rows": 700,
        "mean_risk": scored["mean_risk"],
        "gone": 0,
        "earlier": 0,
        "behind": 0,
        "warnings": [],
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
    trained.done("score", "later.csv", "--publish", "--as-of", "2026-12-01")
    second = trained.pointer["scoring"]
    scorings = {info.id: (info.as_of, info.rows) for info in trained.registry().scorings()}
    assert scorings == {first: ("2026-11-01", 700), second: ("2026-12-01", 650)}
    parts = sorted(path.parent.name for path in (trained.home / "models" / "default" / "log").rglob("*.parquet"))
    assert parts == ["date=2026-11-01", "date=2026-12-01"]


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
        "1 were never scored here, such as Z9.",
        "Not taken: row 2: column 'left' must be 'Yes' or 'No'; it has 'perhaps'",
        f"Not taken: row 4: column 'known_at' must not lie in the future (today is {_today()}); it has '2099-01-01'",
    ]
    told = trained.run("outcomes", "import", "o.csv", "--json")
    assert told.code == 1
    assert (told.json["accepted"], len(told.json["refused"]), told.json["new"]) == (2, 2, False)


def _today() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).date().isoformat()

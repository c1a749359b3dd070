"""`churn campaign`: from a list to what calling came to, on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from .conftest import QUICK, Desk

DAYS = 30  # the horizon of the tests' schema
START = (datetime.now(UTC) - timedelta(days=DAYS + 5)).date()


@pytest.fixture
def campaign(trained: Desk) -> Desk:
    """A draft of 200 customers, a quarter of them kept uncalled."""
    made = trained.done("campaign", "create", "Summer save", "--capacity", "200", "--holdout", "0.25", "--offer", "1")
    assert "Campaign summer-save is a draft: 150 to call, 50 kept uncalled." in made.out
    return trained


def test_from_a_list_to_what_calling_came_to(campaign: Desk) -> None:
    desk = campaign
    assert desk.done("campaign", "list", "--json").json[0]["called"] == 150
    assert "is a draft" in desk.done("campaign", "results", "summer-save").out
    started = desk.done("campaign", "start", "summer-save", "--on", START.isoformat())
    assert started.out == "Summer save is running: 150 to call, 50 kept uncalled.\n"
    desk.done("campaign", "sheet", "summer-save", "w.xlsx")
    sheet = pl.read_excel(desk.home / "w.xlsx")
    assert sheet.columns == ["Customer", "Rank", "Risk", "What could help", "Owner", "Due", "Stage", "Reason", "Edit"]
    sheet.with_columns(Stage=pl.lit("Reached")).write_csv(desk.home / "filled.csv")
    assert desk.done("campaign", "import", "summer-save", "filled.csv").out == "150 customers changed, 0 said nothing new.\n"
    assert "taken before; nothing was changed" in desk.done("campaign", "import", "summer-save", "filled.csv").out
    early = desk.done("campaign", "results", "summer-save")
    assert early.out.startswith("Summer save: 150 of 150 worked through so far\nNot enough data yet: about ")
    assert "Called" not in early.out
    keys = pl.read_csv(desk.home / "t.csv")["customer_id"]
    called = set(sheet["Customer"])
    known = START + timedelta(days=DAYS + 1)
    left = ["No" if place % (2 if key in called else 8) == 0 else "Yes" for place, key in enumerate(keys)]
    days = [START + timedelta(days=3) if gone == "Yes" else known for gone in left]
    pl.DataFrame({"customer_id": keys, "left": left, "known_at": days}).write_csv(desk.home / "known.csv")
    desk.done("outcomes", "import", "known.csv")
    found = desk.done("campaign", "results", "summer-save", "--json").json
    assert found["effect"]["called"]["customers"] == 150
    assert found["effect"]["held"]["customers"] == 50
    assert found["readable"]
    told = desk.done("campaign", "results", "summer-save").out
    assert "fewer left among those called (likely" in told.splitlines()[0]
    assert "Not called" in told
    assert "Offers worked" not in told
    desk.done("campaign", "finish", "summer-save")
    assert "assume_acceptance_alpha: " in desk.done("campaign", "results", "summer-save").out


def test_refused_rows_are_named_and_the_rest_is_taken(campaign: Desk) -> None:
    desk = campaign
    desk.done("campaign", "start", "summer-save")
    desk.done("campaign", "sheet", "summer-save", "w.csv")
    good, other = pl.read_csv(desk.home / "w.csv")["Customer"].head(2)
    pl.DataFrame({"customer_id": [good, "X", other], "stage": ["saved", "saved", "nonsense"]}).write_csv(desk.home / "f.csv")
    ran = desk.run("campaign", "import", "summer-save", "f.csv")
    assert ran.code == 1
    assert ran.out.splitlines()[:2] == [
        "1 customer changed, 0 said nothing new.",
        "Not taken: row 2, customer 'X': is not in campaign 'Summer save'",
    ]
    assert desk.run("campaign", "import", "summer-save", "f.csv").code == 1  # they still are refused


def test_errors_are_one_line(campaign: Desk) -> None:
    assert "there is no campaign 'autumn'; there are: summer-save" in campaign.run("campaign", "start", "autumn").line
    assert "only one that is running can be finished" in campaign.run("campaign", "finish", "summer-save").line
    assert "must be a date" in campaign.run("campaign", "start", "summer-save", "--on", "soon").line
    assert "must not lie in the future" in campaign.run("campaign", "start", "summer-save", "--on", "2999-01-01").line
    again = campaign.run("campaign", "create", "Summer save", "--capacity", "700")
    assert again.code == 0  # those who are in a campaign are left out of the next list
    both = [set(one["stages"]) for one in campaign.done("campaign", "list", "--json").json]
    assert len(both) == 2


def test_training_can_leave_out_whom_a_campaign_was_calling(campaign: Desk) -> None:
    assert "--treated must be keep or leave-out" in campaign.run("train", "t.csv", "--schema", "s.yaml", "--treated", "no").line
    campaign.done("campaign", "start", "summer-save")
    found = campaign.done("train", "t.csv", "--schema", "s.yaml", *QUICK, "--treated", "leave-out", "--json").json
    assert "150 rows are left out, for a campaign was calling their customers at that time." in found["notes"]

"""`churn campaign`: from a list to what calling came to, on the command line."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime, time, timedelta

import polars as pl
import pytest

from churn.base.records import CAMPAIGNS, Records
from churn.settings import Settings

from .conftest import QUICK, Desk, customers

DAYS = 30  # the horizon of the tests' schema
START = (datetime.now(UTC) - timedelta(days=DAYS + 5)).date()


@pytest.fixture
def campaign(trained: Desk) -> Desk:
    """A draft of 200 customers, a quarter of them kept uncalled, that was drawn a while ago."""
    made = trained.done("campaign", "create", "Summer save", "--capacity", "200", "--holdout", "0.25", "--offer", "1")
    assert "Campaign summer-save is a draft: 150 to call, 50 kept uncalled." in made.out
    _drawn_then(trained)
    return trained


def _drawn_then(desk: Desk) -> None:
    """As though all campaigns had been made on the day of `START`."""
    with closing(Records(Settings.load(home=desk.home, environ={}))) as records, records.begin() as connection:
        connection.execute(CAMPAIGNS.update().values(made=datetime.combine(START, time(9), UTC)))


def test_from_a_list_to_what_calling_came_to(campaign: Desk) -> None:
    desk = campaign
    assert desk.done("campaign", "list", "--json").json[0]["called"] == 150
    assert "summer-save  Summer save  draft" in desk.done("campaign", "list").out
    assert "is a draft" in desk.done("campaign", "results", "summer-save").out
    started = desk.done("campaign", "start", "summer-save", "--on", START.isoformat())
    assert started.out == "Summer save is running: 150 to call, 50 kept uncalled.\n"
    desk.done("campaign", "sheet", "summer-save", "w.xlsx")
    sheet = pl.read_excel(desk.home / "w.xlsx")
    version = "Version (leave as it is)"
    assert sheet.columns == ["Customer", "Rank", "Risk", "What could help", "Owner", "Due", "Stage", "Reason", version]
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
    sent = pl.DataFrame({"customer_id": [good, "X", other], "stage": ["saved", "saved", "nonsense"], "version": 1})
    sent.write_csv(desk.home / "f.csv")
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
    assert "a campaign needs a name" in campaign.run("campaign", "create", "").line
    assert "must have at most 80 letters; it has 300" in campaign.run("campaign", "create", "x" * 300).line
    early = campaign.run("campaign", "start", "summer-save", "--on", "2020-01-01").line
    assert "it cannot have been started before that, on 1 Jan 2020" in early
    assert "must not lie in the future" in campaign.run("campaign", "start", "summer-save", "--on", "2999-01-01").line
    campaign.done("campaign", "create", "Not wanted", "--capacity", "10")
    assert "not-wanted is dropped" in campaign.done("campaign", "drop", "not-wanted").out
    assert "was dropped" in campaign.run("campaign", "results", "not-wanted").line
    again = campaign.run("campaign", "create", "Summer save", "--capacity", "700")
    assert again.code == 0  # those who are in a campaign are left out of the next list
    both = [set(one["stages"]) for one in campaign.done("campaign", "list", "--json").json]
    assert len(both) == 2


def test_training_can_leave_out_or_weight_whom_a_campaign_was_calling(campaign: Desk) -> None:
    refused = campaign.run("train", "t.csv", "--schema", "s.yaml", "--treated", "no").line
    assert "--treated must be keep, leave-out or weight, not 'no'" in refused
    campaign.done("campaign", "start", "summer-save")
    found = campaign.done("train", "t.csv", "--schema", "s.yaml", *QUICK, "--treated", "leave-out", "--json").json
    assert "150 rows are left out, for a campaign was calling their customers at that time." in found["notes"]
    found = campaign.done("train", "t.csv", "--schema", "s.yaml", *QUICK, "--treated", "weight", "--json").json
    assert "Customers kept uncalled stand for those called at that time in 150 rows." in found["notes"]


def test_whom_calling_changes_is_told_only_of_a_finished_campaign_with_enough_outcomes(trained: Desk) -> None:
    desk = trained
    table = customers(1300, seed=2)
    table.write_csv(desk.home / "wide.csv")
    desk.done("score", "wide.csv", "--publish")
    desk.done("campaign", "create", "Wide", "--capacity", "600", "--holdout", "0.5")
    _drawn_then(desk)
    desk.done("campaign", "start", "wide", "--on", START.isoformat())
    assert "'Wide' is running; whom calling changes is learnt from a finished one" in desk.run("campaign", "uplift", "wide").line
    desk.done("campaign", "finish", "wide")
    assert re.search(r"'Wide' needs \d+ more outcomes before", desk.run("campaign", "uplift", "wide").line)
    desk.done("campaign", "sheet", "wide", "w.csv")
    called = set(pl.read_csv(desk.home / "w.csv")["Customer"])
    left = [
        "Yes" if place % 10 < (0 if key in called and of == "Yes" else 8) else "No"
        for place, (key, of) in enumerate(zip(table["customer_id"], table["online"], strict=True))
    ]
    days = [START + timedelta(days=3) if gone == "Yes" else START + timedelta(days=DAYS + 1) for gone in left]
    known = pl.DataFrame({"customer_id": table["customer_id"], "left": left, "known_at": days})
    known.write_csv(desk.home / "known.csv")
    desk.done("outcomes", "import", "known.csv")
    told = desk.done("campaign", "uplift", "wide").out
    assert told.startswith("Ranking by whom calling changes is better than ranking by risk in Wide: the first half keeps about ")
    for ranked_by in ("Risk", "Two models", "Transformed outcome"):
        assert f"\n{ranked_by} " in told
    sentence = told.partition("\n")[0]
    assert sentence in desk.done("campaign", "results", "wide").out
    found = desk.done("campaign", "uplift", "wide", "--json").json
    assert found["verdict"] == "better"
    assert found["customers"] == 600
    stored = [name for name in desk.sums() if "/uplift/wide/" in f"/{name}"]
    assert sum(name.endswith("/tables.npz") for name in stored) == 6  # three of each run
    assert sum(name.endswith("comparison.json") for name in stored) == 1
    called_again = ("list", "build", "--rank", "uplift", "--capacity", "50", "--limit", "50", "--json")
    desk.settings(f"{(desk.home / 'config.yaml').read_text()}\ncontact_days: 0\n")
    first, again = (desk.done(*called_again).json for _ in "ab")
    assert first == again
    assert (first["ranked_by"], first["learnt"]) == ("uplift", found["models"])
    online = dict(table.select("customer_id", "online").iter_rows())
    assert [online[one["customer"]] for one in first["list"]].count("Yes") > 45  # those whom a call kept
    by_worth = desk.done(*called_again[:2], *called_again[4:]).json
    assert (by_worth["ranked_by"], by_worth["learnt"]) == ("expected value", None)
    listed = desk.done("list", "build", "--rank", "uplift", "--limit", "0").out
    assert (
        f"Ranked by whom calling changes. {told.partition(chr(10))[0]} What the list should bring is counted as assumed" in listed
    )
    desk.done("list", "export", "--to", "l.xlsx", "--rank", "uplift", "--capacity", "20")
    desk.done("campaign", "create", "Again", "--rank", "uplift", "--capacity", "50")


def test_a_campaign_too_small_to_learn_from_says_how_many_are_missing(campaign: Desk) -> None:
    desk = campaign
    desk.done("campaign", "start", "summer-save", "--on", START.isoformat())
    desk.done("campaign", "finish", "summer-save")
    keys = pl.read_csv(desk.home / "t.csv")["customer_id"]
    known = START + timedelta(days=DAYS + 1)
    pl.DataFrame({"customer_id": keys, "left": "No", "known_at": known}).write_csv(desk.home / "known.csv")
    desk.done("outcomes", "import", "known.csv")
    line = desk.run("campaign", "uplift", "summer-save").line
    assert (
        "needs 200 customers called, with a known outcome; campaign 'Summer save' has 150, so 50 more; all its outcomes" in line
    )

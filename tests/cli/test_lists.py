"""`churn list`: built the same every time, exported with a record, and stopped where nobody knows who must not be called."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import date
from pathlib import Path

import openpyxl
import polars as pl
import pytest

from churn.act import campaigns, segments
from churn.act.export import recorded
from churn.base.records import Records
from churn.cli import lists
from churn.settings import Settings

from .conftest import Desk, customers


def _records(desk: Desk) -> Records:
    return Records(Settings.load(home=desk.home, environ={}))


@pytest.fixture
def desk(trained: Desk) -> Desk:
    gates = (trained.home / "config.yaml").read_text(encoding="utf-8")
    trained.settings(f"{gates}\nroles: contacts\nuser: ann\n")
    return trained


def test_built_the_same_every_time(desk: Desk) -> None:
    first, again = (desk.done("list", "build", "--capacity", "40", "--offer", "20", "--limit", "40", "--json").json for _ in "ab")
    assert first == again
    assert first["customers"] == 40
    assert first["stopped"] == "capacity"
    assert first["asked"] == sum(first["left_out"].values()) + first["preview"]["customers"] + _others(desk)
    worth = [one["expected_value"] for one in first["list"]]
    assert worth == sorted(worth, reverse=True)
    assert first["next_worth"] <= worth[-1]
    assert all(one["reason_1"] for one in first["list"])


def _others(desk: Desk) -> int:
    """Those who may be called and are not among the best forty."""
    every = desk.done("list", "build", "--capacity", "100000", "--offer", "0", "--limit", "0", "--json").json
    return int(every["asked"] - sum(every["left_out"].values()) - 40)


def test_what_people_read(desk: Desk) -> None:
    told = desk.done("list", "build", "--capacity", "40", "--offer", "20", "--limit", "2").out
    assert "40 customers on the list: 36 to call, 4 kept uncalled." in told
    assert "Stopped at capacity; the next would be worth $" in told
    assert "No phone number that can be dialled" in told or "Left out:" in told
    assert "(8 times in 10)" in told
    assert "Too few for a certain answer" in told or "the campaign will show it 8 times in 10" in told
    assert "Everybody on the list is called" in desk.done("list", "build", "--capacity", "40", "--holdout", "0").out


def test_filters_segments_and_a_campaign(desk: Desk) -> None:
    told = desk.done("list", "build", "--where", "contract=monthly", "--save-segment", "Monthly payers", "--limit", "0")
    assert "These filters are named 'Monthly payers' now." in told.out
    by_name = desk.done("list", "build", "--segment", "monthly payers", "--limit", "5", "--json").json
    assert by_name == desk.done("list", "build", "--where", "Contract=Monthly", "--limit", "5", "--json").json
    made = desk.done("list", "build", "--segment", "Monthly payers", "--capacity", "50", "--campaign", "Autumn save")
    assert "Campaign autumn-save is a draft: 45 to call, 5 kept uncalled." in made.out
    records = _records(desk)
    assert segments.counts(records, "monthly-payers")[0].customers == by_name["asked"]
    campaign = campaigns.find(records, "autumn-save")
    assert (campaign.called, campaign.held_out, campaign.offer) == (45, 5, 0.0)
    after = desk.done("list", "build", "--segment", "Monthly payers", "--limit", "0", "--json").json["left_out"]
    assert after["campaign"] + after["holdout"] >= 50  # whoever shares a phone with them as well
    records.close()


def test_an_export_is_recorded_and_its_sum_is_the_files(desk: Desk) -> None:
    ran = desk.done("list", "export", "--to", "list.xlsx", "--capacity", "20", "--json").json
    path = desk.home / "list.xlsx"
    assert ran["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (ran["who"], ran["rows"], ran["unmasked"]) == ("ann", 20, False)
    assert openpyxl.load_workbook(path).worksheets[0].max_row == 21
    records = _records(desk)
    assert [one.sha256 for one in recorded(records)] == [ran["sha256"]]
    records.close()


def test_those_to_be_called_in_a_campaign_leave_without_those_who_are_not(desk: Desk) -> None:
    desk.done("list", "build", "--capacity", "40", "--campaign", "Save", "--limit", "0")
    desk.done("list", "export", "--to", "save.csv", "--campaign", "save", "--unmasked", "--delimiter", "semicolon", "--no-bom")
    with (desk.home / "save.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter=";"))
    records = _records(desk)
    called = campaigns.members(records, "save").filter(arm="call")
    records.close()
    assert [row["Customer"] for row in rows] == called["customer"].to_list()
    assert len(rows) == 36
    assert {row["Stage"] for row in rows} == {"to call"}
    assert all(row["Reason 1"] for row in rows)


def test_who_must_not_be_called_any_more_is_in_no_file_of_a_campaign(desk: Desk) -> None:
    desk.done("list", "build", "--capacity", "40", "--campaign", "Save", "--limit", "0")
    records = _records(desk)
    called = campaigns.members(records, "save").filter(arm="call")["customer"].to_list()
    out, gone = called[0], called[1]
    (desk.home / "dnc.csv").write_text(f"customer_id\n{out}\n")
    (desk.home / "left.csv").write_text(f"customer_id,left,known_at\n{gone},Yes,{date.today().isoformat()}\n")
    desk.done("outcomes", "import", "left.csv")
    export = ("list", "export", "--campaign", "save", "--unmasked")
    desk.settings("suppression: dnc.csv\nroles: contacts\n")
    said = desk.done(*export, "--to", "save.xlsx").out
    assert "Left out, as they must not be called any more: 2 customers." in said
    assert "On the list of who must not be called: 1" in said
    assert "Left already: 1" in said
    book = openpyxl.load_workbook(desk.home / "save.xlsx")
    assert {str(row[1].value) for row in book.worksheets[0].iter_rows(min_row=2)} == set(called[2:])
    about = {row[0].value: row[1].value for row in book.worksheets[1].iter_rows()}
    assert about["Left out: on the list of who must not be called"] == about["Left out: left already"] == "1"
    made = desk.done(*export, "--to", "save.csv", "--json").json
    assert json.loads(made["plan"])["left_out"] == {"suppressed": 1, "gone": 1}
    assert set(pl.read_csv(desk.home / "save.csv")["Customer"].cast(pl.String)) == set(called[2:])
    desk.done("campaign", "sheet", "save", "sheet.csv")
    assert not {out, gone} & set(pl.read_csv(desk.home / "sheet.csv")["Customer"].cast(pl.String))
    records.close()


def test_an_offer_that_nobody_names_is_the_usual_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "usual_offer", lambda _: 7.0)
    usual, named = (desk.done("list", "build", *offer, "--limit", "5", "--json").json for offer in ((), ("--offer", "7")))
    assert usual == named
    free = desk.done("list", "build", "--offer", "0", "--limit", "5", "--json").json
    assert free["preview"]["cost"] < usual["preview"]["cost"]


def test_what_would_be_ignored_is_refused_and_what_the_file_holds_is_said(desk: Desk) -> None:
    desk.done("campaign", "create", "Spring", "--capacity", "30")
    for option, value in (("--capacity", "5"), ("--offer", "99"), ("--holdout", "0.2"), ("--where", "contract=monthly")):
        told = desk.run("list", "export", "--to", "list.xlsx", "--campaign", "spring", option, value).line
        assert f"{option} says nothing beside --campaign" in told
    assert "--delimiter says nothing beside .xlsx" in desk.run("list", "export", "--to", "list.xlsx", "--delimiter", "tab").line
    assert "It holds everybody on the list" in desk.done("list", "export", "--to", "list.xlsx", "--capacity", "20").out
    about = openpyxl.load_workbook(desk.home / "list.xlsx").worksheets[1]
    told = dict(about.iter_rows(min_row=2, values_only=True))
    assert told["Kept uncalled"] == (
        "Nobody yet: this file holds everybody on the list. A campaign made of it draws 10% who are not called"
    )
    assert "everybody" not in desk.done("list", "export", "--to", "called.xlsx", "--campaign", "spring").out


def test_who_may_take_contact_data_out(desk: Desk) -> None:
    desk.done("list", "export", "--to", "full.csv", "--capacity", "10", "--unmasked")
    assert "•••" not in (desk.home / "full.csv").read_text(encoding="utf-8-sig")
    desk.settings("user: bob\n")
    refused = desk.run("list", "export", "--to", "more.csv", "--unmasked").line
    assert "only with the role 'contacts', which bob does not have" in refused
    assert not (desk.home / "more.csv").exists()
    desk.done("list", "export", "--to", "masked.csv", "--capacity", "10")
    assert "•••" in (desk.home / "masked.csv").read_text(encoding="utf-8-sig")


def test_no_money_leaves_the_desk_where_the_percentages_are_not_sure_enough(desk: Desk) -> None:
    desk.settings("gate_ece: 0\n")
    found = desk.done("list", "build", "--capacity", "5", "--json").json
    assert found["no_money"].startswith("Holdout calibration error")
    assert (found["next_worth"], found["preview"]["money"], found["preview"]["money_interval"]) == (None, None, None)
    assert {(one["value"], one["expected_value"]) for one in found["list"]} == {(None, None)}
    desk.done("list", "export", "--to", "list.csv", "--capacity", "5")
    desk.done("list", "build", "--capacity", "5", "--campaign", "Save", "--limit", "0")
    desk.done("list", "export", "--to", "save.csv", "--campaign", "save")
    for name in ("list.csv", "save.csv"):
        assert "orth" not in (desk.home / name).read_text(encoding="utf-8-sig").splitlines()[0]


def test_what_is_refused_in_a_line(desk: Desk, tmp_path: Path) -> None:
    assert "must end in .xlsx, .csv, .txt, not in .pdf" in desk.run("list", "export", "--to", "list.pdf").line
    assert "there is no folder" in desk.run("list", "export", "--to", "nowhere/list.csv").line
    assert "has no group 'weekly'; it has" in desk.run("list", "build", "--where", "contract=weekly").line
    assert "must be COLUMN=GROUP" in desk.run("list", "build", "--where", "colour=red").line
    assert "there is no segment 'x'; there are: none" in desk.run("list", "build", "--segment", "x").line
    assert "--rank must be expected-value or uplift, not 'risk'" in desk.run("list", "build", "--rank", "risk").line
    assert "No finished campaign has taught whom calling changes" in desk.run("list", "build", "--rank", "uplift").line
    assert "--delimiter must be one of" in desk.run("list", "export", "--to", "l.csv", "--delimiter", "pipe").line


def test_a_missing_suppression_table_stops_the_list(desk: Desk) -> None:
    desk.settings("suppression: dnc.csv\nroles: contacts\n")
    assert "no list is made: the table of setting 'suppression' cannot be read" in desk.run("list", "build").line
    first = desk.home / "dnc.csv"
    first.write_text("customer_id\nC00001\nC00002\n")
    left_out = desk.done("list", "build", "--limit", "0", "--json").json["left_out"]
    assert left_out["suppressed"] == 2


def test_a_suppression_table_of_others_is_told_wherever_it_counts(desk: Desk) -> None:
    (desk.home / "dnc.csv").write_text("customer_id\n17\n")
    desk.settings("suppression: dnc.csv\nroles: contacts\n")
    told = "Of 1 customer number in the table of who must not be called, none is known here, so it keeps nobody"
    assert told in desk.done("list", "build", "--capacity", "5", "--campaign", "Save").err
    assert told in desk.done("campaign", "sheet", "save", "s.csv").err
    assert told in next(one["words"] for one in desk.run("doctor", "--json").json if one["what"] == "suppression")
    (desk.home / "dnc.csv").write_text("customer_id\nC00001\nX\n")
    assert desk.done("list", "build", "--limit", "0").err == ""
    found = next(one for one in desk.run("doctor", "--json").json if one["what"] == "suppression")
    assert (found["good"], found["words"]) == (True, "dnc.csv: 1 of 2 customer numbers are customers here")
    (desk.home / "dnc.csv").unlink()
    ran = desk.run("doctor", "--json")
    assert ran.code == 1
    assert "cannot be read" in next(one["words"] for one in ran.json if one["what"] == "suppression")


def test_segments_are_counted_when_the_base_is_scored_anew(desk: Desk) -> None:
    desk.done("list", "build", "--where", "contract=monthly", "--save-segment", "Monthly", "--limit", "0")
    customers(690).write_csv(desk.home / "later.csv")
    scoring = desk.done("score", "later.csv", "--publish", "--as-of", date.today().isoformat(), "--json").json["scoring"]
    records = _records(desk)
    found = segments.counts(records, "monthly")
    records.close()
    assert len(found) == 2
    assert found[-1].scoring == scoring

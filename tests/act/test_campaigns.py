"""Campaigns: drawn once and for good, started and finished in order, nobody in two at once, every step in the history."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from churn.act import campaigns, worklist
from churn.act.campaigns import CALL, DRAFT, FINISHED, HOLDOUT, RUNNING
from churn.base.expected_value import Assumptions
from churn.base.groups import Filter
from churn.base.records import Records
from churn.errors import CampaignRefused, ChurnError, RecordsConflict

from ..base.postgres import postgres, server  # noqa: F401 - fixtures
from .hand_made import AS_OF, HORIZON, START, listed, made, records, running  # noqa: F401 - fixtures


def test_what_is_made_is_found_as_it_was(records: Records) -> None:  # noqa: F811
    chosen, assumed = Filter.of({"contract": ["Month-to-month"], "tenure": ["0–12 months"]}), Assumptions(3, 7, 0.5, 24, 2)
    campaign = made(records, chosen=chosen, assumptions=assumed, name="  Ünder 'quotes'; --\n ")
    assert campaigns.find(records, campaign.id) == campaign
    assert campaigns.every(records) == (campaign,)
    assert (campaign.id, campaign.name, campaign.status) == ("under-quotes", "Ünder 'quotes'; --", DRAFT)
    assert (campaign.filter, campaign.assumptions, campaign.offer, campaign.as_of) == (chosen, assumed, 60.0, AS_OF)
    assert (campaign.made, campaign.started, campaign.finished) == (START, None, None)
    assert (campaign.called, campaign.held_out, campaign.size) == (30, 10, 40)
    members = campaigns.members(records, campaign.id)
    assert members.drop("arm", "due", "stage", "reason", "contacted", "version").equals(listed())
    assert members["stage"].unique().to_list() == ["to call"]


def test_the_holdout_is_balanced_within_bands(records: Records) -> None:  # noqa: F811
    members = campaigns.members(records, made(records, listed(120)).id)
    assert Counter(members.filter(pl.col("arm") == HOLDOUT)["band"]) == {"High": 10, "Medium": 20}


def test_whoever_was_drawn_keeps_their_arm_when_the_list_is_made_anew(records: Records) -> None:  # noqa: F811
    campaign = made(records, listed(40))
    before = dict(campaigns.members(records, campaign.id).select("customer", "arm").iter_rows())
    other = pl.concat([listed(80).tail(50), listed(80).head(20)]).with_columns(rank=pl.int_range(1, 71))
    campaigns.rebuild(records, campaign.id, other, who="bob")
    after = dict(campaigns.members(records, campaign.id).select("customer", "arm").iter_rows())
    assert set(after) == set(other["customer"])
    both = before.keys() & after.keys()
    assert len(both) == 30
    assert {key: after[key] for key in both} == {key: before[key] for key in both}
    assert HOLDOUT in {after[key] for key in after.keys() - before.keys()}
    campaigns.start(records, campaign.id, who="bob")
    with pytest.raises(CampaignRefused, match="is running; only a draft's list can be made anew"):
        campaigns.rebuild(records, campaign.id, listed(), who="bob")


def test_the_same_list_and_salt_draw_the_same(records: Records) -> None:  # noqa: F811
    one = made(records)
    campaigns.start(records, one.id, who="ann", at=START)
    campaigns.finish(records, one.id, who="ann", at=START)
    other = Records(replace(records._settings, workspace="shop"))
    two = made(other)
    assert campaigns.members(records, one.id)["arm"].equals(campaigns.members(other, two.id)["arm"])
    third = Records(replace(records._settings, workspace="store"))
    three = made(third, salt=None)
    assert three.salt not in (one.salt, two.salt)
    other.close()
    third.close()


def test_draft_running_finished_in_this_order(records: Records) -> None:  # noqa: F811
    campaign = made(records)
    with pytest.raises(CampaignRefused, match="is draft; only one that is running can be finished"):
        campaigns.finish(records, campaign.id, who="ann")
    started = campaigns.start(records, campaign.id, who="bob", at=START + timedelta(days=1))
    assert (started.status, started.started, started.version) == (RUNNING, START + timedelta(days=1), 2)
    with pytest.raises(CampaignRefused, match="is running; only one that is draft can be started"):
        campaigns.start(records, campaign.id, who="ann")
    ended = campaigns.finish(records, campaign.id, who="cid", at=START + timedelta(days=9))
    assert (ended.status, ended.finished, ended.version) == (FINISHED, START + timedelta(days=9), 3)
    told = [(line.field, line.before, line.after, line.who) for line in worklist.history(records, campaign.id)]
    assert told[::-1] == [
        ("status", None, "draft", "ann"),
        ("list", None, '{"call": 30, "holdout": 10}', "ann"),
        ("status", "draft", "running", "bob"),
        ("status", "running", "finished", "cid"),
    ]


def test_two_who_start_it_at_once_start_it_once(records: Records) -> None:  # noqa: F811
    campaign = made(records)
    came, gate = [], threading.Barrier(8)

    def begin(number: int) -> None:
        gate.wait()
        try:
            campaigns.start(records, campaign.id, who=f"p{number}")
        except ChurnError as error:
            came.append(type(error))
        else:
            came.append(None)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came.count(None) == 1
    assert set(came) - {None} <= {CampaignRefused, RecordsConflict}
    assert [line.after for line in worklist.history(records, campaign.id) if line.before == "draft"] == ["running"]


def test_nobody_is_in_two_open_campaigns(records: Records) -> None:  # noqa: F811
    first = running(records)
    with pytest.raises(
        CampaignRefused, match="customer 'C0' is in the open campaign 'summer-save', and 39 more are in open ones"
    ):
        made(records, name="Autumn save")
    assert campaigns.every(records) == (first,)
    made(records, listed(60).tail(20), name="Autumn save")
    campaigns.finish(records, first.id, who="ann")
    made(records, name="Winter save")  # long after its horizon


def test_two_who_take_the_same_customers_at_once(records: Records) -> None:  # noqa: F811
    came, gate = [], threading.Barrier(6)

    def take(number: int) -> None:
        gate.wait()
        try:
            made(records, name=f"Save {number}", salt=None)
        except CampaignRefused:
            came.append(False)
        else:
            came.append(True)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(came) == [False] * 5 + [True]
    assert len(campaigns.every(records)) == 1


def test_engaged_until_the_horizon_is_over(records: Records) -> None:  # noqa: F811
    assert campaigns.engaged(records).height == 0
    campaign = running(records, listed(8))
    first = worklist.listed(records, campaign.id)[0]
    worklist.edit(records, campaign.id, first.customer, version=1, changes={"stage": "unreachable"}, who="ann", at=START)
    campaigns.finish(records, campaign.id, who="ann", at=START + timedelta(days=10))
    last = (START + timedelta(days=HORIZON)).date()
    for day, still in ((last - timedelta(days=1), True), (last, False)):
        found = campaigns.engaged(records, today=day)
        assert found.columns == list(campaigns.ENGAGED)
        assert found["open"].to_list() == [still] * 8
    assert found.filter(pl.col("contacted").is_not_null()).rows() == [
        (first.customer, "summer-save", CALL, False, START.date()),
    ]
    assert found["arm"].value_counts().sort("arm").rows() == [(CALL, 6), (HOLDOUT, 2)]


def test_ids_are_plain_and_never_the_same(records: Records) -> None:  # noqa: F811
    parts = [listed(50).slice(10 * number, 10) for number in range(5)]
    names = ("Summer save", "Summer  SAVE!", "名前", "???", "x" * 80)
    found = [made(records, part, name=name).id for part, name in zip(parts, names, strict=True)]
    assert found == ["summer-save", "summer-save-2", "campaign", "campaign-2", "x" * 60]


@pytest.mark.parametrize(
    ("rows", "given", "says"),
    [
        (listed(), {"name": " \n"}, "needs a name"),
        (listed(), {"name": "x" * 81}, "at most 80 letters; it has 81"),
        (listed(0), {}, "the list has none"),
        (pl.concat([listed(3), listed(2)]), {}, "customer 'C0' is in the list more than once|customer 'C1' is in"),
        (listed().drop("band"), {}, "a list has a column 'band'"),
        (listed(), {"holdout_share": 0.6}, "must be from 0 to 0.5, not 0.6"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    records: Records,  # noqa: F811
    rows: pl.DataFrame,
    given: dict[str, Any],
    says: str,
) -> None:
    with pytest.raises(CampaignRefused, match=says):
        made(records, rows, **given)
    assert campaigns.every(records) == ()
    assert set(records.status().rows.values()) == {0}


def test_nothing_begins_before_its_list_was_drawn(records: Records) -> None:  # noqa: F811
    campaign = made(records)
    before = START - timedelta(days=1)
    with pytest.raises(
        CampaignRefused, match=r"was drawn on 1 Jul 2026; it cannot have been started before that, on 30 Jun 2026"
    ):
        campaigns.start(records, campaign.id, who="ann", at=before)
    assert campaigns.find(records, campaign.id).started is None
    campaigns.start(records, campaign.id, who="ann", at=START.replace(hour=0))  # that day, as `--on` names it
    with pytest.raises(CampaignRefused, match=r"was started on 1 Jul 2026; it cannot have been finished before that"):
        campaigns.finish(records, campaign.id, who="ann", at=before)


def test_a_draft_that_is_dropped_frees_its_customers(records: Records) -> None:  # noqa: F811
    campaign = made(records)
    campaigns.drop(records, campaign.id, who="bob")
    assert campaigns.every(records) == ()
    assert campaigns.engaged(records).height == 0
    with pytest.raises(CampaignRefused, match=r"'Summer save' was dropped"):
        campaigns.start(records, campaign.id, who="ann")
    last = worklist.history(records, campaign.id, limit=1)[0]
    assert (last.field, last.before, last.after, last.who) == ("status", "draft", "dropped", "bob")
    again = made(records)  # the same customers, under a name of their own: the old history is not theirs
    assert again.id == "summer-save-2"
    campaigns.start(records, again.id, who="ann", at=START)
    with pytest.raises(CampaignRefused, match="is running; only a draft can be dropped"):
        campaigns.drop(records, again.id, who="ann")


def test_one_that_is_not_there_names_those_that_are(records: Records) -> None:  # noqa: F811
    with pytest.raises(CampaignRefused, match=r"there is no campaign 'autumn'; there is none yet"):
        campaigns.find(records, "autumn")
    made(records)
    with pytest.raises(CampaignRefused, match=r"there is no campaign 'autumn'; there are: summer-save"):
        campaigns.start(records, "autumn", who="ann")


def test_workspaces_see_their_own_only(records: Records) -> None:  # noqa: F811
    campaign = made(records)
    other = Records(replace(records._settings, workspace="shop"))
    assert campaigns.every(other) == ()
    assert campaigns.engaged(other).height == 0
    with pytest.raises(CampaignRefused):
        campaigns.find(other, campaign.id)
    made(other)
    assert len(campaigns.members(records, campaign.id)) == 40
    other.close()


def test_groups_are_kept_as_on_the_day_of_the_list(records: Records) -> None:  # noqa: F811
    labels = listed(6).select("customer", contract=pl.Series(["M", "M", "Y", None, "Y", "M"]), region=pl.lit("North"))
    campaign = made(records, listed(6), groups=labels)
    assert campaigns.groups(records, campaign.id).sort("customer").equals(labels.sort("customer"))


def test_risk_as_scorings_name_it_will_do(records: Records) -> None:  # noqa: F811
    campaign = made(records, listed(4).rename({"risk": "__risk__"}))
    assert campaigns.members(records, campaign.id)["risk"].to_list() == [0.6, 0.3, 0.3, 0.6]


def test_dates_survive_a_zone_that_is_not_ours(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    campaign = running(records, listed(4))
    one = worklist.listed(records, campaign.id)[0].customer
    worklist.edit(records, campaign.id, one, version=1, changes={"stage": "reached", "due": date(2026, 8, 1)}, who="a", at=START)
    found = worklist.listed(records, campaign.id)[0]
    assert (found.due, found.contacted, campaign.made) == (date(2026, 8, 1), START, START)

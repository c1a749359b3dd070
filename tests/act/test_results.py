"""Results: by intention to treat, of outcomes that count, told only when there are enough, and offered, never taken over."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.act import campaigns, effect, results, worklist
from churn.act.campaigns import CALL, HOLDOUT
from churn.act.results import is_treated, measure, treated, with_stand_ins
from churn.base.expected_value import Assumptions
from churn.base.records import Records
from churn.settings import Settings

from .hand_made import AS_OF, HORIZON, START, listed, made, running

END = START.date() + timedelta(days=HORIZON)
LATER = END + timedelta(days=40)


@pytest.fixture
def records(tmp_path: Path) -> Any:
    opened = Records(Settings(home=tmp_path, data="data"))
    yield opened
    opened.close()


def outcomes(*rows: tuple[str, date | None, int, date]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=results.OUTCOMES, orient="row")


def of_arms(records: Records, called_left: int, held_left: int, known: int | None = None, at: date = END) -> pl.DataFrame:
    """So many of each arm left, the first of them by rank; the others stayed. `known`: only of the first so many members."""
    members = campaigns.members(records, "summer-save")
    left = {CALL: called_left, HOLDOUT: held_left}
    rows = []
    for row in members.head(known or members.height).iter_rows(named=True):
        gone = left[row["arm"]] > 0
        left[row["arm"]] -= gone
        rows.append((row["customer"], AS_OF, int(gone), at))
    return outcomes(*rows)


def test_the_arms_are_compared_as_they_were_drawn(records: Records) -> None:
    """Newcombe's example: 48 of 80 left among those called, 56 of 70 among those not (1998, table II); all of one risk band."""
    running(records, listed(150).with_columns(band=pl.lit("High")), holdout_share=70 / 150)
    found = measure(records, "summer-save", of_arms(records, 48, 56), today=LATER)
    assert (found.effect.called.left, found.effect.called.customers) == (48, 80)
    assert (found.effect.held.left, found.effect.held.customers) == (56, 70)
    assert (round(found.effect.interval.low, 4), round(found.effect.interval.high, 4)) == (0.0524, 0.3339)
    assert found.effect == effect.intention_to_treat(48, 80, 56, 70)


def test_whether_somebody_was_reached_changes_nothing(records: Records) -> None:
    running(records, listed(150), holdout_share=70 / 150)
    known = of_arms(records, 48, 56)
    before = measure(records, "summer-save", known, today=LATER)
    done = pl.DataFrame(
        {"Customer": worklist.sheet(records, "summer-save")["Customer"].head(40), "Stage": "unreachable", "Version": 1}
    )
    worklist.take(records, "summer-save", done, who="bob")
    after = measure(records, "summer-save", known, today=LATER)
    assert after.effect == before.effect
    assert after.money is not None
    assert before.money is not None
    assert after.money.worth == pytest.approx(before.money.worth - 40 * Assumptions().contact_cost)


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        (("C0", AS_OF, 1, LATER), 1),  # of its own snapshot, whenever it was booked
        (("C0", AS_OF, 0, LATER), 0),
        (("C0", AS_OF - timedelta(days=30), 1, END), None),  # of another snapshot
        (("C0", None, 1, START.date()), 1),
        (("C0", None, 1, END - timedelta(days=1)), 1),
        (("C0", None, 1, END), 1),  # what the export of the last day says
        (("C0", None, 1, END + timedelta(days=1)), "late"),  # had left by then: before the end or after, who knows
        (("C0", None, 0, END), 0),
        (("C0", None, 0, END - timedelta(days=1)), None),  # may still leave
        (("C0", None, 1, START.date() - timedelta(days=1)), "gone"),
        (("C0", AS_OF, 1, LATER + timedelta(days=1)), None),  # not known by then
        (("somebody else", AS_OF, 1, END), None),
    ],
)
def test_which_outcomes_count(records: Records, row: Any, counts: Any) -> None:
    running(records)
    found = measure(records, "summer-save", outcomes(row), today=LATER)
    told = (found.effect.called, found.effect.held)
    assert (found.gone, found.late) == (counts == "gone", counts == "late")
    assert sum(arm.customers for arm in told) == (counts in (0, 1))
    assert sum(arm.left for arm in told) == (counts == 1)


def test_of_several_outcomes_the_first_that_counts_does(records: Records) -> None:
    running(records)
    rows = (("C0", None, 1, START.date() + timedelta(days=9)), ("C0", None, 0, END + timedelta(days=9)))
    found = measure(records, "summer-save", outcomes(*rows), today=LATER)
    assert found.effect.called.left + found.effect.held.left == 1
    assert found.effect.called.customers + found.effect.held.customers == 1


EXPORTS = [START.date() + timedelta(days=days) for days in (-5, 30, 60, 120)]  # the last one after the horizon


@pytest.mark.parametrize(
    ("left_from", "counts"),
    [(0, "gone"), (1, 1), (2, 1), (3, "late"), (None, 0)],  # the first export that says so; None: never
)
@pytest.mark.parametrize("order", [1, -1])
def test_exports_of_everybody_as_they_come(records: Records, left_from: int | None, counts: Any, order: int) -> None:
    running(records)
    assert EXPORTS[2] < END < EXPORTS[3]
    rows = [("C0", None, int(left_from is not None and number >= left_from), day) for number, day in enumerate(EXPORTS)]
    found = measure(records, "summer-save", outcomes(*rows[::order]), today=LATER)
    arms = (found.effect.called, found.effect.held)
    assert (found.gone, found.late) == (counts == "gone", counts == "late")
    assert sum(arm.customers for arm in arms) == (counts in (0, 1))
    assert sum(arm.left for arm in arms) == (counts == 1)


def test_who_was_there_on_the_last_day_has_stayed_whatever_came_after(records: Records) -> None:
    running(records)
    rows = (("C0", None, 0, END), ("C0", None, 1, END + timedelta(days=30)), ("C1", None, 1, END), ("C1", None, 0, LATER))
    found = measure(records, "summer-save", outcomes(*rows), today=LATER)
    arms = (found.effect.called, found.effect.held)
    assert (sum(arm.customers for arm in arms), sum(arm.left for arm in arms)) == (2, 1)  # that C1 left stands


def test_leaving_of_which_nobody_knows_whether_it_was_in_time_is_told(records: Records) -> None:
    running(records)
    found = measure(records, "summer-save", outcomes(("C0", None, 1, END + timedelta(days=2))), today=LATER)
    assert "1 customer is known to have left only after" in results.doubts(found)[0]
    assert found.progress.members == found.campaign.size - 1


def test_before_there_is_enough_nothing_is_told_but_how_much_is_missing(records: Records) -> None:
    running(records, listed(800))
    early = END - timedelta(days=30)
    found = measure(records, "summer-save", of_arms(records, 20, 15, known=90, at=early), today=early)
    assert not found.readable
    assert found.progress.needed is not None
    assert found.progress.more == min(found.progress.needed, 800) - 90
    assert results.title(found, "$") == "Summer save: 0 of 600 worked through so far"
    told = results.not_yet(found)
    assert told is not None
    assert told.startswith(f"Not enough data yet: about {found.progress.more} more outcomes, near ")
    assert found.acceptance is None
    whole = measure(records, "summer-save", of_arms(records, 150, 100), today=LATER)
    assert results.not_yet(whole) is None
    assert whole.readable


def test_the_plan_is_what_was_assumed(records: Records) -> None:
    """The outcomes needed are those for an effect of the mean risk times the offers assumed to work."""
    running(records, listed(800), assumptions=Assumptions(alpha=5, beta=5))
    found = measure(records, "summer-save", outcomes(), today=LATER)
    risk = float(np.mean(listed(800)["risk"].to_numpy()))
    assert found.progress.needed == int(np.ceil(effect.sample_size(risk, risk * 0.5, share_held=0.25)))


def test_titles(records: Records) -> None:
    running(records, listed(800))
    title = [
        results.title(measure(records, "summer-save", of_arms(records, called, held), today=LATER), "$")
        for called, held in ((150, 100), (300, 60), (200, 66))
    ]
    assert title[0].startswith("Summer save: 25 points fewer left among those called (likely 17 to 33), worth $")
    assert "so far" not in title[0]
    assert title[1].startswith("Summer save: 20 points more left among those called (likely 12 to 27), at a loss of $")
    assert title[2] == "Summer save: no clear difference between called and not (likely −8 to 7 points fewer left)"


def test_what_could_as_well_be_a_loss_is_no_headline(records: Records) -> None:
    running(records, listed(800), plan={"offer": 250.0})
    keys = worklist.sheet(records, "summer-save")["Customer"].head(300)  # offers for as much as calling kept, about 75,000
    worklist.take(records, "summer-save", pl.DataFrame({"Customer": keys, "Stage": "saved", "Version": 1}), who="bob")
    found = measure(records, "summer-save", of_arms(records, 150, 100), today=LATER)
    assert found.money is not None
    assert found.money.interval.low < 0 < found.money.interval.high
    assert results.title(found, "$").endswith("(likely 17 to 33)")


def test_drafts_and_campaigns_without_a_holdout(records: Records) -> None:
    made(records)
    found = measure(records, "summer-save", outcomes(), today=LATER)
    assert results.title(found, "$") == "Summer save is a draft: 30 to call, 10 kept uncalled"
    running(records, listed(80).tail(40), name="All", holdout_share=0.0)
    found = measure(records, "all", outcomes(("C50", AS_OF, 1, END)), today=LATER)
    assert not found.measurable
    assert found.effect.difference is None
    assert results.title(found, "$") == "All: nobody was kept uncalled, so whether calling helped cannot be told"


def test_money_is_what_was_kept_less_what_it_cost(records: Records) -> None:
    running(records, listed(200), assumptions=Assumptions(contact_cost=2.0), plan={"offer": 50.0})
    sheet = worklist.sheet(records, "summer-save")["Customer"]
    done = pl.DataFrame({"Customer": sheet.head(30), "Stage": ["saved"] * 10 + ["lost"] * 20, "Version": 1})
    worklist.take(records, "summer-save", done, who="bob")
    found = measure(records, "summer-save", of_arms(records, 30, 20), today=LATER)
    assert found.money is not None
    assert found.money.cost == 30 * 2.0 + 10 * 50.0
    assert found.money.worth == pytest.approx(150 * 500.0 * (20 / 50 - 30 / 150) - 560.0)
    running(records, listed(300).tail(50).with_columns(value=pl.lit(None, pl.Float64)), name="No money")
    rows = [(row, AS_OF, 0, END) for row in campaigns.members(records, "no-money")["customer"]]
    assert measure(records, "no-money", outcomes(*rows), today=LATER).money is None


def test_groups_hold_together_and_small_ones_are_not_told(records: Records) -> None:
    rows = listed(400)
    regions = pl.Series(["North"] * 190 + ["South"] * 190 + ["West"] * 20)
    running(records, rows, groups=rows.select("customer", region=regions))
    found = measure(records, "summer-save", of_arms(records, 90, 50), today=LATER)
    assert [group.label for group in found.by["region"]] == ["North", "South"]
    assert found.small["region"] == ("West",)
    members = campaigns.members(records, "summer-save").join(rows.select("customer", region=regions), on="customer")
    north = members.filter(pl.col("region") == "North")
    one = found.by["region"][0].effect
    assert one.called.customers == north.filter(pl.col("arm") == CALL).height
    assert one.level == pytest.approx(effect.LEVEL / 2)
    assert sum(group.effect.held.left for group in found.by["band"]) == 50


def test_groups_stand_in_their_own_order(records: Records) -> None:
    rows = listed(400)
    labels = ["Over 48 months", "1,000–1,200", "13–24 months", "Monthly", "Up to 13 months", "25–48 months", "Annual"]
    running(records, rows, groups=rows.select("customer", tenure=pl.Series([labels[place % 7] for place in range(400)])))
    found = measure(records, "summer-save", of_arms(records, 90, 50), today=LATER)
    assert [group.label for group in found.by["tenure"]] == [
        *("Up to 13 months", "13–24 months", "25–48 months", "Over 48 months", "1,000–1,200", "Annual", "Monthly")
    ]
    members = campaigns.members(records, "summer-save")
    risks = [members.filter(band=group.label)["risk"].mean() for group in found.by["band"]]
    assert risks == sorted(risks)


def test_arms_of_a_size_that_was_not_drawn_are_shown_and_not_read(records: Records) -> None:
    running(records, listed(800))
    everybody = of_arms(records, 150, 100)
    assert not measure(records, "summer-save", everybody, today=LATER).mismatch.found
    held = campaigns.members(records, "summer-save").filter(pl.col("arm") == HOLDOUT)["customer"].to_list()
    some = everybody.filter(~pl.col("customer").is_in(held[:120]))  # most outcomes of one arm never came
    lost = measure(records, "summer-save", some, today=LATER)
    assert lost.lost.found
    assert any("Outcomes are missing more often in one group" in doubt for doubt in results.doubts(lost))


def test_measured_acceptance_is_offered_only_when_it_is_finished(records: Records) -> None:
    campaign = running(records, listed(2_000), assumptions=Assumptions(6, 14))
    known = of_arms(records, 450, 250)  # 30% of 1,500 called, 50% of 500 not: offers worked for 40% of leavers
    assert measure(records, "summer-save", known, today=LATER).acceptance is None
    campaigns.finish(records, campaign.id, who="ann")
    found = measure(records, "summer-save", known, today=LATER)
    assert found.acceptance is not None
    alpha, beta = found.acceptance
    assert alpha / (alpha + beta) == pytest.approx(0.4, abs=0.02)  # the assumption of 30% weighs little against 2,000 outcomes
    told = results.offered_acceptance(found)
    assert told is not None
    assert told[0].startswith("Offers worked for 40% of those about to leave. Weighed together with the 30% assumed before, that")
    assert "that makes 39%, likely between" in told[0]
    assert told[1].startswith("assume_acceptance_alpha: ")
    assert campaigns.find(records, campaign.id).assumptions == Assumptions(6, 14)  # and nothing is taken over


@pytest.mark.parametrize(("called_left", "held_left"), [(0, 0), (0, 1), (375, 125), (450, 130), (500, 100)])
def test_no_acceptance_is_measured_where_nothing_is_told(records: Records, called_left: int, held_left: int) -> None:
    campaign = running(records, listed(2_000))
    campaigns.finish(records, campaign.id, who="ann")
    found = measure(records, "summer-save", of_arms(records, called_left, held_left), today=LATER)
    assert found.readable
    assert found.acceptance is None
    assert results.offered_acceptance(found) is None


def test_where_nobody_was_worked_through_it_says_so(records: Records) -> None:
    running(records, listed(400))
    said = "Nobody is noted as worked through: all 300 customers are still to be called"
    assert results.doubts(measure(records, "summer-save", of_arms(records, 60, 60), today=LATER))[0].startswith(said)
    one = worklist.listed(records, "summer-save", limit=1)[0]
    worklist.edit(records, "summer-save", one.customer, version=1, changes={"stage": "unreachable"}, who="ann")
    assert not any(said in doubt for doubt in results.doubts(measure(records, "summer-save", of_arms(records, 60, 60))))


def test_without_a_holdout_no_outcome_is_waited_for(records: Records) -> None:
    running(records, holdout_share=0.0)
    found = measure(records, "summer-save", outcomes(), today=START.date())
    assert not found.measurable
    assert results.not_yet(found) is None


# -- whose leaving a call may have changed -------------------------------------------


def test_treated_are_those_to_be_called_once_it_was_started(records: Records) -> None:
    made(records)
    assert treated(records).height == 0
    campaigns.start(records, "summer-save", who="ann", at=START)
    found = treated(records)
    called = campaigns.members(records, "summer-save").filter(pl.col("arm") == CALL)["customer"]
    assert set(found["customer"]) == set(called)
    assert set(found.select("start", "end").iter_rows()) == {(START.date(), END)}


def test_a_row_is_treated_where_its_horizon_meets_a_campaigns() -> None:
    whom = pl.DataFrame({"customer": ["A"], "campaign": ["c"], "start": [date(2026, 7, 1)], "end": [date(2026, 9, 29)]})
    days = [date(2026, 4, 1), date(2026, 4, 3), date(2026, 7, 31), date(2026, 9, 28), date(2026, 9, 29)]
    table = pl.DataFrame({"id": ["A"] * 5 + ["B"], "day": [*days, date(2026, 7, 31)]})
    found = is_treated(table, whom, key="id", snapshot="day", horizon_days=90)
    assert found.to_list() == [False, True, True, True, False, False]
    assert is_treated(table, whom, key="id", snapshot=None, horizon_days=30).to_list() == [True] * 5 + [False]


def _drawn(*rows: tuple[str, str, str]) -> pl.DataFrame:
    listed = [(customer, "c", band, arm, date(2026, 7, 1), date(2026, 9, 29)) for customer, band, arm in rows]
    return pl.DataFrame(listed, schema=["customer", "campaign", "band", "arm", "start", "end"], orient="row")


def test_those_kept_uncalled_stand_for_those_called_of_their_band() -> None:
    people = [("A", "High", CALL), ("B", "High", CALL), ("C", "High", "holdout"), ("D", "Low", CALL), ("E", "Low", "holdout")]
    arms = _drawn(*people, ("F", "Medium", CALL))
    table = pl.DataFrame({"id": list("ABCDEFGA"), "day": [date(2026, 7, 1)] * 7 + [date(2026, 1, 1)]})
    found, gave_way, alone = with_stand_ins(table, arms, key="id", snapshot="day", horizon_days=90)
    assert sorted(found["id"]) == ["A", "C", "C", "C", "E", "E", "G"]  # A long before the call, and nobody for F
    assert (gave_way, alone) == (4, 1)
    undated, gave_way, _ = with_stand_ins(table.drop("day").head(7), arms, key="id", snapshot=None, horizon_days=30)
    assert sorted(undated["id"]) == ["C", "C", "C", "E", "E", "G"]
    assert gave_way == 4
    nobody = with_stand_ins(table, arms.clear(), key="id", snapshot="day", horizon_days=90)
    assert nobody[0].equals(table)
    assert nobody[1:] == (0, 0)


def test_the_share_that_leaves_is_that_of_a_world_without_calls() -> None:
    """Of 20,000 in two bands 40% and 20% leave uncalled, and half as many called; the table is sorted by who left."""
    rng = np.random.default_rng(6)
    band = np.where(rng.random(20_000) < 0.3, "High", "Low")
    arm = np.where(rng.random(20_000) < np.where(band == "High", 0.9, 0.3), CALL, "holdout")
    left = rng.random(20_000) < np.where(band == "High", 0.4, 0.2) * np.where(arm == CALL, 0.5, 1.0)
    keys = [f"K{number}" for number in range(20_000)]
    table = pl.DataFrame({"id": keys, "left": left}).sort("left")
    found, gave_way, alone = with_stand_ins(
        table, _drawn(*zip(keys, band, arm, strict=True)), key="id", snapshot=None, horizon_days=30
    )
    assert (found.height, gave_way, alone) == (20_000, int((arm == CALL).sum()), 0)
    assert found["left"].mean() == pytest.approx(0.3 * 0.4 + 0.7 * 0.2, abs=0.03)  # five standard errors
    assert table["left"].mean() == pytest.approx(0.3 * 0.4 * 0.55 + 0.7 * 0.2 * 0.85, abs=0.01)


def test_ten_simulated_campaigns_through_the_database_find_the_effect_that_is_there(records: Records) -> None:
    """End to end: who is drawn, who leaves at random, what is measured; the true effect of 12 points is in the intervals."""
    rng, inside = np.random.default_rng(11), 0
    for number in range(10):
        part = listed(1200 * 10).slice(1200 * number, 1200)
        campaign = running(records, part, name=f"Save {number}", salt=None)
        members = campaigns.members(records, campaign.id)
        risk = members["risk"].to_numpy() - 0.12 * (members["arm"] == CALL).to_numpy()
        left = (rng.random(len(risk)) < risk).astype(int)
        rows = [(key, AS_OF, int(gone), END) for key, gone in zip(members["customer"], left, strict=True)]
        found = measure(records, campaign.id, outcomes(*rows), today=LATER).effect
        inside += found.interval.low <= 0.12 <= found.interval.high
    assert inside >= 8


def test_times_are_days_of_the_start(records: Records) -> None:
    late = datetime(2026, 7, 1, 23, 59, tzinfo=START.tzinfo)
    campaign = made(records)
    campaigns.start(records, campaign.id, who="ann", at=late)
    assert treated(records)["start"].unique().to_list() == [date(2026, 7, 1)]

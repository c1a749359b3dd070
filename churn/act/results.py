"""What a campaign did: outcomes by arm, by intention to treat, with the interval it likely lies in, or when that can be said.

An outcome counts for a campaign if it is of the snapshot that its list was made from. Where the table has no snapshots, who left
by the last day of one horizon from the start has left, and who was still there on it or later has stayed, whatever became of them
after that. Counted in neither arm is who left before the start, and who is known to have left only after the last day, without
having been seen on it: nobody can say whether that was within the horizon. Arms are compared by `churn.act.effect`. What was
assumed about offers is never replaced silently: what was measured is offered, with its own law.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn import words
from churn.act import effect
from churn.act.campaigns import DRAFT, FINISHED, TO_CALL, Campaign, find, groups, members
from churn.act.effect import Effect, Mismatch, Money, Progress
from churn.act.holdout import CALL, HOLDOUT

if TYPE_CHECKING:
    from churn.base.records import Records

OUTCOMES = {"customer": pl.String(), "as_of": pl.Date(), "left": pl.Int8(), "known_at": pl.Date()}
LEAST = 10  # customers with an outcome in each arm of a group, below which it is not told
_RECENT_DAYS = 28  # over which the pace of outcomes is taken


@dataclass(frozen=True, slots=True)
class Group:
    """The effect in one group of a column; the intervals of all groups of a column hold together."""

    label: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class Result:
    """How a campaign stands `on` a day.

    `effect`: by intention to treat, of the outcomes known; `progress`: whether they are enough to say anything; `money`: what it
    brought less what it cost, in the schema's currency, None without values; `by`: column → groups, None for those too small;
    `mismatch`: whether the arms have the sizes that were drawn, among all members and among those whose outcome is known; `gone`:
    how many had left before it began; `late`: of how many is known that they left, but not whether it was in time; `acceptance`:
    α and β of the law of offers that work, the assumed law and what was measured put together, once it is finished and fewer left
    among those called for certain: else there is nothing to put to the assumption.
    """

    campaign: Campaign
    on: date
    effect: Effect
    progress: Progress
    money: Money | None
    by: Mapping[str, tuple[Group, ...]]
    small: Mapping[str, tuple[str, ...]]
    mismatch: Mismatch
    lost: Mismatch
    gone: int
    late: int
    acceptance: tuple[float, float] | None

    @property
    def measurable(self) -> bool:
        """Whether there is an arm to compare with."""
        return self.campaign.held_out > 0 and self.campaign.called > 0

    @property
    def worked(self) -> bool:
        """Whether anybody is noted as worked through."""
        return self.campaign.stages[TO_CALL] < self.campaign.called

    @property
    def complete(self) -> bool:
        """Whether all outcomes are known that there will be."""
        return self.progress.known >= self.progress.members

    @property
    def readable(self) -> bool:
        """Whether the difference may be told: enough outcomes, and arms as they were drawn."""
        return self.measurable and self.progress.enough and not self.mismatch.found


def measure(records: Records, id: str, outcomes: pl.DataFrame, *, today: date | None = None) -> Result:
    """How a campaign stands, with the outcomes known by `today`.

    Parameters
    ----------
    outcomes: `customer` (the key as text), `as_of` (the snapshot's date; null without snapshots), `left` (1 or 0), `known_at`:
        all that was ever said, as `churn.score.outcomes.statements` has it.

    Raises
    ------
    CampaignRefused: there is no such campaign. RecordsUnavailable: the database cannot be used.
    """
    day = today or datetime.now(UTC).date()
    campaign, listed, of_groups = find(records, id), members(records, id), groups(records, id)
    known = _known(campaign, listed, outcomes.filter(pl.col("known_at") <= day))
    gone, late = (int((known["state"] == state).sum()) for state in ("gone", "late"))
    told = known.filter(pl.col("left").is_not_null())
    whole = _effect(told)
    counted = {arm: int((told["arm"] == arm).sum()) for arm in (CALL, HOLDOUT)}
    found, small = _by(told.join(of_groups, on="customer", how="left"), ("band", *of_groups.columns[1:]))
    progress = _progress(campaign, listed, told, gone + late, day)
    share = campaign.held_out / max(campaign.size, 1)
    acceptance = None
    if campaign.status == FINISHED and progress.enough and campaign.held_out and whole.told and whole.interval.low > 0:
        acceptance = effect.measured_acceptance(whole, campaign.assumptions.alpha, campaign.assumptions.beta)
    return Result(
        campaign=campaign,
        on=day,
        effect=whole,
        progress=progress,
        money=_money(campaign, told),
        by=found,
        small=small,
        mismatch=effect.mismatch(campaign.called, campaign.held_out, campaign.holdout_share),
        lost=effect.mismatch(counted[CALL], counted[HOLDOUT], share),
        gone=gone,
        late=late,
        acceptance=acceptance,
    )


def known_members(records: Records, id: str, outcomes: pl.DataFrame, *, today: date | None = None) -> pl.DataFrame:
    """The members of a campaign by rank with `left`: 1, 0, or null while that is open or where they had left before it began.

    What counts, and what is raised, is as in `measure`.
    """
    day = today or datetime.now(UTC).date()
    return _known(find(records, id), members(records, id), outcomes.filter(pl.col("known_at") <= day))


def drawn(records: Records) -> pl.DataFrame:
    """Who was drawn into which arm of every campaign that was started: `customer`, `campaign`, `band` (of risk, within which arms
    were drawn), `arm`, and the days `start` to `end` of the campaign's horizon."""
    from churn.act import _campaign_rows as rows
    from churn.base.records import utc

    with records.read() as connection:
        found = rows.engaged(connection, records.workspace)
    begun = [(row, utc(row.started).date()) for row in found if row.status != DRAFT and row.started is not None]
    listed = [
        (row.customer, row.campaign, row.band, row.arm, start, start + timedelta(days=row.horizon_days)) for row, start in begun
    ]
    texts = dict.fromkeys(("customer", "campaign", "band", "arm"), pl.String())
    return pl.DataFrame(listed, schema={**texts, "start": pl.Date(), "end": pl.Date()}, orient="row")


def treated(records: Records) -> pl.DataFrame:
    """Those of `drawn` whose leaving may have been changed by a call.

    Those to be called of every campaign that was started, reached or not, for who could not be reached is no random part of them.
    """
    return drawn(records).filter(pl.col("arm") == CALL)


def is_treated(table: pl.DataFrame, treated: pl.DataFrame, *, key: str, snapshot: str | None, horizon_days: float) -> pl.Series:
    """Which rows of a labelled table have a label that a call may have changed.

    Parameters
    ----------
    table: with the key, and the date column `snapshot`, where the table has one. treated: as `treated` gives it.
    horizon_days: of the labels: a row is touched where its own horizon and that of a campaign overlap.
    """
    touched = _met(table, treated, key, snapshot, horizon_days)["row"]
    return pl.int_range(table.height, eager=True).is_in(touched.unique().to_list()).alias("treated")


def with_stand_ins(
    table: pl.DataFrame, drawn: pl.DataFrame, *, key: str, snapshot: str | None, horizon_days: float
) -> tuple[pl.DataFrame, int, int]:
    """A labelled table in which those kept uncalled stand for those called; how many rows gave way, and how many to nobody.

    Arms are drawn at random within a campaign's risk band, so those kept uncalled in it are like those called but for the call.
    Each row that a call may have changed gives way to a copy of a row of theirs, in turn, which weights them by one over their
    share (Horvitz and Thompson 1952) in whole rows. Copies have the key of their row: whoever draws or splits keeps a key
    together.

    Parameters
    ----------
    drawn: as `drawn` gives it; the rest is as in `is_treated`.
    """
    met = _met(table, drawn, key, snapshot, horizon_days)
    called = met.filter(pl.col("arm") == CALL).unique("row", maintain_order=True)
    kept = met.filter(~pl.col("row").is_in(called["row"].to_list())).unique("row", maintain_order=True)
    order = np.random.default_rng(0)  # what is left of a round goes to anybody, not to those who come first in the table
    there = {place: rows["row"].to_numpy() for place, rows in kept.group_by("campaign", "band")}
    copies = [
        np.resize(order.permutation(there[place]), rows.height)
        for place, rows in called.group_by("campaign", "band", maintain_order=True)
        if place in there
    ]
    chosen = np.concatenate([np.setdiff1d(np.arange(table.height), called["row"].to_numpy()), *copies])
    return table[chosen], called.height, table.height - len(chosen)


def _met(table: pl.DataFrame, drawn: pl.DataFrame, key: str, snapshot: str | None, horizon_days: float) -> pl.DataFrame:
    """Rows of a labelled table whose horizon meets that of a campaign: their number, `row`, and the columns of `drawn`."""
    day = [] if snapshot is None else [pl.col(snapshot).alias("day")]
    met = table.select(pl.col(key).cast(pl.String).alias("customer"), *day).with_row_index("row").join(drawn, on="customer")
    if snapshot is None:
        return met
    over = pl.col("day") + pl.duration(days=round(horizon_days))
    return met.filter((pl.col("start") < over) & (pl.col("end") > pl.col("day")))


# -- in words ------------------------------------------------------------------


def title(result: Result, currency: str) -> str:
    """The answer in a sentence: fewer left among those called, or how far the campaign is."""
    campaign, name = result.campaign, result.campaign.name
    if campaign.status == DRAFT:
        held = words.count(campaign.held_out)
        return words.say("campaign draft", name=name, called=words.count(campaign.called), held=held)
    if not result.measurable:
        return words.say("campaign nobody held", name=name)
    if not result.readable or result.effect.difference is None:
        done = words.count(campaign.called - campaign.stages[TO_CALL])
        return words.say("campaign running", name=name, done=done, called=words.count(campaign.called))
    told = difference(result.effect, name, complete=result.complete)
    money = result.money
    if money is None or not result.effect.told or money.interval.low <= 0 <= money.interval.high:
        return told  # what could as well be a loss is no headline
    worth = words.money(abs(money.worth), currency, cents=False)
    sofar = "" if result.complete else words.say("campaign so far")
    return words.say("campaign worth" if money.worth >= 0 else "campaign cost", told=told, money=worth, sofar=sofar)


def difference(found: Effect, name: str, *, complete: bool = True) -> str:
    """The difference of the arms in a sentence: which way, how far, and where it likely lies.

    `complete`: no more outcomes are to come, so that what is unclear stays so.
    """
    assert found.difference is not None
    low, high = found.interval.low, found.interval.high
    if not found.told:
        yet = "" if complete else words.say("campaign yet")
        return words.say("campaign unclear", name=name, low=_bare(low), high=_bare(high), yet=yet)
    size = words.points(abs(found.difference), signed=False)
    if found.difference > 0:
        return words.say("campaign fewer", name=name, points=size, low=_bare(low), high=_bare(high))
    return words.say("campaign more", name=name, points=size, low=_bare(-high), high=_bare(-low))


def not_yet(result: Result) -> str | None:
    """How many outcomes are missing and when they should be there; None where there are enough, or where none would help."""
    progress = result.progress
    if progress.enough or not result.measurable:
        return None
    near = (
        ""
        if progress.day is None or progress.day <= result.on
        else words.say("campaign near", day=words.day(progress.day, year=False))
    )
    more = words.count(progress.more)
    return words.say("campaign not yet", more=more, outcomes=words.plural("outcome", progress.more), near=near) + "."


def doubts(result: Result) -> tuple[str, ...]:
    """What speaks against reading the difference: arms of a wrong size, outcomes lost in one of them, too few customers, nobody
    called."""
    said = []
    if result.readable and not result.worked:
        said.append(words.say("campaign idle", called=words.counted(result.campaign.called, "customer")))
    for name, found in (("campaign mismatch", result.mismatch), ("campaign lost", result.lost)):
        if found.found:
            held, customers = words.count(found.held), words.count(found.customers)
            said.append(words.say(name, held=held, customers=customers, expected=words.count(found.expected)))
    if result.late:
        who = f"{words.counted(result.late, 'customer')} {'is' if result.late == 1 else 'are'}"
        said.append(words.say("campaign late", who=who, day=words.day(_end(result.campaign), year=False)))
    if result.measurable and result.progress.too_small and result.progress.needed is not None:
        said.append(words.say("campaign small", needed=words.count(result.progress.needed)))
    return tuple(said)


def offered_acceptance(result: Result) -> tuple[str, str] | None:
    """What a finished campaign measured of offers, and the settings that would use it instead of the assumption.

    None before that, or where the difference may not be read.
    """
    called, held = result.effect.called.share, result.effect.held.share
    if result.acceptance is None or not result.readable or called is None or not held:
        return None
    alpha, beta = result.acceptance
    measured = replace(result.campaign.assumptions, alpha=alpha, beta=beta)
    middle, half = measured.acceptance, NormalDist().inv_cdf(0.9) * measured.acceptance_spread
    likely = words.likely_between(words.percent(max(middle - half, 0.0)), words.percent(min(middle + half, 1.0)))
    assumed = words.percent(result.campaign.assumptions.acceptance)
    shares = {"measured": words.percent(1 - called / held), "share": words.percent(middle), "assumed": assumed}
    told = words.say("campaign acceptance", likely=likely, **shares)
    return told, f"assume_acceptance_alpha: {alpha:.1f}\nassume_acceptance_beta: {beta:.1f}"


# -- inside --------------------------------------------------------------------


def _known(campaign: Campaign, listed: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """The members with `left` (1, 0 or null), `at` (the day that is known) and `state`: `known`, `open`, `gone` before the start,
    or `late`: known to have left, but not whether in time."""
    start, end = _start(campaign), _end(campaign)
    of_list = outcomes.filter(pl.col("as_of") == campaign.as_of).sort("known_at", "left")
    dated = of_list.unique("customer", keep="last").select("customer", left="left", at="known_at", state=pl.lit("known"))
    day, has_left = pl.col("known_at"), pl.col("left") == 1
    undated = outcomes.filter(pl.col("as_of").is_null()).group_by("customer")
    spans = undated.agg(gone=day.filter(has_left).min(), there=day.filter(~has_left & (day >= end)).min())
    gone, there = pl.col("gone"), pl.col("there")
    stayed = there.is_not_null() & (gone.is_null() | (there < gone))
    known, too_early, too_late = (pl.lit(state) for state in ("known", "gone", "late"))
    by_day = spans.select(
        "customer",
        left=pl.when(gone < start).then(None).when(stayed).then(0).when(gone <= end).then(1).cast(pl.Int8),
        at=pl.when(stayed).then(there).otherwise(gone),
        state=pl.when(gone < start).then(too_early).when(stayed | (gone <= end)).then(known).when(gone > end).then(too_late),
    ).drop_nulls("state")
    first = pl.concat([dated, by_day]).sort("at").unique("customer", keep="first", maintain_order=True)
    return listed.join(first, on="customer", how="left", maintain_order="left").with_columns(pl.col("state").fill_null("open"))


def _start(campaign: Campaign) -> date:
    return (campaign.started or campaign.made).date()


def _end(campaign: Campaign) -> date:
    """The last day on which leaving counts."""
    return _start(campaign) + timedelta(days=campaign.horizon_days)


def _effect(told: pl.DataFrame) -> Effect:
    """The effect on everybody, by the risk bands within which the arms were drawn."""
    return effect.stratified([_counts(part) for _, part in told.group_by("band", maintain_order=True)])


def _counts(told: pl.DataFrame) -> tuple[int, int, int, int]:
    call, held = told.filter(pl.col("arm") == CALL), told.filter(pl.col("arm") == HOLDOUT)
    return int(call["left"].sum()), call.height, int(held["left"].sum()), held.height


def _by(told: pl.DataFrame, columns: tuple[str, ...]) -> tuple[dict[str, tuple[Group, ...]], dict[str, tuple[str, ...]]]:
    """The groups large enough to be told, by column, and the labels of those that are not."""
    found: dict[str, tuple[Group, ...]] = {}
    small: dict[str, tuple[str, ...]] = {}
    for column in columns:
        counts = {label: _counts(told.filter(pl.col(column) == label)) for label in _in_order(told, column)}
        large = {label: one for label, one in counts.items() if min(one[1], one[3]) >= LEAST}
        effects = effect.by_segment(tuple(large.values()))
        found[column] = tuple(Group(label, one) for label, one in zip(large, effects, strict=True))
        small[column] = tuple(label for label in counts if label not in large)
    return found, small


def _in_order(told: pl.DataFrame, column: str) -> list[str]:
    """The labels of a column's groups: bands by risk, bands of a number by the number, others by the alphabet."""
    if column == "band":
        return told.group_by("band").agg(pl.col("risk").mean()).sort("risk")["band"].to_list()
    return sorted(map(str, told[column].drop_nulls().unique()), key=_place)


def _place(label: str) -> tuple[bool, float, bool, str]:
    """Where a group stands: `Up to 12 months`, `13–24 months`, `Over 24 months`, and then what has no number."""
    number = re.search(r"\d[\d,]*\.?\d*", label)
    size = 0.0 if number is None else float(number.group().replace(",", ""))
    return number is None, size, not label.startswith("Up to"), label


def _progress(campaign: Campaign, listed: pl.DataFrame, told: pl.DataFrame, gone: int, day: date) -> Progress:
    """How far the outcomes are, against what the plan needed: an effect of the risk times the offers assumed to work."""
    share = campaign.held_out / max(campaign.size, 1)
    risk = float(listed["risk"].mean() or 0.0)  # type: ignore[arg-type]
    recent = int((told["at"] > day - timedelta(days=_RECENT_DAYS)).sum())
    last = None
    if campaign.started is not None:
        last = campaign.started.date() + timedelta(days=campaign.horizon_days)
    return effect.progress(
        told.height,
        campaign.size - gone,
        base_rate=risk,
        effect=risk * campaign.assumptions.acceptance,
        share_held=share,
        today=day,
        per_day=recent / _RECENT_DAYS,
        last_day=last,
    )


def _money(campaign: Campaign, told: pl.DataFrame) -> Money | None:
    """What was kept, less what it cost: a contact for each that was tried, an offer for each that it saved."""
    if told["value"].is_null().all():
        return None
    call, held = told.filter(pl.col("arm") == CALL), told.filter(pl.col("arm") == HOLDOUT)
    tried = int((call["stage"] != TO_CALL).sum())
    taken = int((call["stage"] == "saved").sum())
    cost = tried * campaign.assumptions.contact_cost + taken * campaign.offer
    return effect.money(_values(call), _left(call), _values(held), _left(held), cost)


def _values(some: pl.DataFrame) -> NDArray[np.float64]:
    return some["value"].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _bare(difference: float) -> str:
    """Points without a plus and without the word."""
    return words.points(difference, unit=False).lstrip("+")


def _left(some: pl.DataFrame) -> NDArray[np.bool_]:
    return np.asarray(some["left"].to_numpy() == 1)

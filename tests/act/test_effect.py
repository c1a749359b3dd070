"""What calling changed: published answers, and what must hold for any campaign."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.act import effect
from churn.errors import DataError

TODAY = date(2026, 3, 1)


# -- published -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),  # Newcombe (1998), table II, method 10: all eight of its contrasts
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_s_own_contrasts(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    found = effect.newcombe(*counts)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_power_as_r_gives_it() -> None:
    assert effect.power(50, 50, 0.75, 0.25) == pytest.approx(0.740, abs=5e-4)
    assert effect.power(50, 50, 0.50, -0.25) == pytest.approx(0.740, abs=5e-4)
    assert effect.sample_size(0.75, 0.25, power=0.9) / 2 == pytest.approx(76.7, abs=0.05)
    assert math.ceil(effect.sample_size(0.75, 0.25, power=0.9) / 2) == 77


@pytest.fixture
def hillstrom(real_table: Callable[[str], Path]) -> pl.DataFrame:
    return pl.read_csv(real_table("Hillstrom-MineThatData.csv"), infer_schema_length=None)


@pytest.mark.realdata
@pytest.mark.parametrize(("arm", "difference", "error"), [("Mens E-Mail", 0.0766, 0.0034), ("Womens E-Mail", 0.0452, 0.0032)])
def test_hillstrom_s_visits(hillstrom: pl.DataFrame, arm: str, difference: float, error: float) -> None:
    mailed, none = (hillstrom.filter(pl.col("segment") == name)["visit"] for name in (arm, "No E-Mail"))
    # a visit is good news where leaving is bad: those who did not come are counted
    found = effect.intention_to_treat(len(mailed) - int(mailed.sum()), len(mailed), len(none) - int(none.sum()), len(none))
    assert found.difference == pytest.approx(difference, abs=5e-5)
    assert (found.interval.high - found.interval.low) / 2 / 1.959964 == pytest.approx(error, abs=6e-5)
    assert found.told


@pytest.mark.realdata
def test_hillstrom_s_published_spend(hillstrom: pl.DataFrame, real_table: Callable[[str], Path]) -> None:
    published = pl.read_csv(real_table("hillstrom_published_effects.csv"))
    assert published.height == 3
    for row in published.iter_rows(named=True):
        first, second = row["comparison"].split(" minus ")
        one, two = (hillstrom.filter(pl.col("segment") == name)["spend"].to_numpy() for name in (first, second))
        found = effect.money(one, np.zeros(len(one), bool), two, np.zeros(len(two), bool), cost=0.0)
        assert found is not None
        told = [figure / len(one) for figure in (found.worth, found.interval.low, found.interval.high)]
        assert told[0] == pytest.approx(row["estimate"], abs=1e-9)
        # theirs is Student's with thousands of degrees of freedom, ours the normal law's
        assert told[1:] == pytest.approx([row["ci_low"], row["ci_high"]], abs=1e-4)


# -- the difference ----------------------------------------------------------------


def test_fewer_left_among_those_called_is_above_zero() -> None:
    found = effect.intention_to_treat(180, 900, 26, 100)
    assert found.difference == pytest.approx(0.06)
    assert found.saves == pytest.approx(54)
    assert found.saves_interval.low == pytest.approx(found.interval.low * 900)
    assert not found.told
    assert effect.intention_to_treat(100, 900, 40, 100).told


def test_nobody_in_an_arm_tells_nothing() -> None:
    found = effect.intention_to_treat(3, 10, 0, 0)
    assert found.difference is None
    assert found.saves is None
    assert not found.told
    assert (found.interval.low, found.interval.high) == (-1, 1)
    assert effect.Arm(0, 0).share is None


def test_more_cannot_leave_than_there_are() -> None:
    with pytest.raises(DataError, match="of 10 customers of an arm, from 0 to 10 can have left, not 11"):
        effect.intention_to_treat(11, 10, 0, 10)


def test_an_interval_shrinks_with_its_sample_and_grows_with_its_certainty() -> None:
    few, many = effect.newcombe(20, 100, 30, 100), effect.newcombe(2000, 10_000, 3000, 10_000)
    sure = effect.newcombe(20, 100, 30, 100, level=0.01)
    assert sure.low < few.low < many.low < many.high < few.high < sure.high


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_the_interval_holds_its_difference_and_turns_with_it(first: int, second: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, first)), data.draw(st.integers(0, second))
    there, back = effect.newcombe(a, first, b, second), effect.newcombe(b, second, a, first)
    assert -1 <= there.low <= a / first - b / second <= there.high <= 1
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_strata_are_weighed_by_their_size() -> None:
    found = effect.stratified([(20, 180, 4, 20), (60, 90, 8, 10)])
    assert found.difference == pytest.approx((200 * (4 / 20 - 20 / 180) + 100 * (8 / 10 - 60 / 90)) / 300)
    assert (found.called, found.held) == (effect.Arm(80, 270), effect.Arm(12, 30))
    # one stratum, or strata in which too few are held out to tell anything of, are all together
    assert effect.stratified([(20, 180, 4, 20)]) == effect.intention_to_treat(20, 180, 4, 20)
    assert effect.stratified([(20, 180, 4, 20), (1, 9, 0, 1)]) == effect.intention_to_treat(21, 189, 4, 21)
    assert effect.stratified([]).difference is None


@pytest.mark.parametrize("gamma", [0.0, 0.25])
def test_the_interval_of_a_campaign_drawn_within_bands_holds_19_times_in_20(gamma: float) -> None:
    """Where risks differ much between bands the plain interval is too wide; that of the strata is not, and never too narrow."""
    rng = np.random.default_rng(9)
    sizes, risk, campaigns = np.array([200, 400, 300, 100]), np.array([0.08, 0.25, 0.45, 0.75]), 3000
    held = sizes // 10
    true = float((sizes * risk * gamma).sum() / sizes.sum())
    called_left = rng.binomial(sizes - held, risk * (1 - gamma), (campaigns, 4))
    held_left = rng.binomial(held, risk, (campaigns, 4))
    inside = plain = 0
    for ours, theirs in zip(called_left.tolist(), held_left.tolist(), strict=True):
        counts = list(zip(ours, (sizes - held).tolist(), theirs, held.tolist(), strict=True))
        found = effect.stratified(counts)
        inside += found.interval.low <= true <= found.interval.high
        whole = effect.intention_to_treat(sum(ours), int((sizes - held).sum()), sum(theirs), int(held.sum()))
        plain += whole.interval.low <= true <= whole.interval.high
    assert inside / campaigns == pytest.approx(0.95, abs=0.012)
    assert plain > inside


def test_many_segments_claim_no_more_than_one() -> None:
    """Of 20 segments without an effect, at least one claims something in about 5 of 100 campaigns, not in 64."""
    rng = np.random.default_rng(5)
    campaigns, segments, called, held = 2000, 20, 450, 50
    counts = np.stack([rng.binomial(called, 0.3, (campaigns, segments)), rng.binomial(held, 0.3, (campaigns, segments))], axis=-1)
    claimed = alone = 0
    for one in counts:
        asked = [(int(c), called, int(h), held) for c, h in one]
        claimed += any(found.told for found in effect.by_segment(asked))
        alone += any(effect.intention_to_treat(*each).told for each in asked)
    assert claimed / campaigns < 0.065 < 0.4 < alone / campaigns


def test_money_is_the_value_kept_less_the_cost() -> None:
    called, held = np.array([100.0, 100.0, 50.0, np.nan]), np.array([100.0, 100.0])
    found = effect.money(called, np.array([False, False, False, False]), held, np.array([True, False]), cost=20.0)
    assert found is not None
    assert found.worth == pytest.approx(3 * (250 / 3 - 50) - 20)
    half = 1.959964 * math.sqrt(np.var([100, 100, 50], ddof=1) / 3 + np.var([0, 100], ddof=1) / 2)
    assert found.interval.high - found.worth == pytest.approx(3 * half, rel=1e-5)
    assert effect.money(called[:1], np.array([False]), held, np.array([True, False]), cost=0.0) is None


# -- planning ------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(50, 20_000), st.floats(0.05, 0.5), st.floats(0.05, 0.9))
def test_what_can_be_told_has_the_power_that_was_asked_for(members: int, share_held: float, base_rate: float) -> None:
    held = max(round(members * share_held), 1)
    found = effect.minimum_detectable(members - held, held, base_rate)
    if found is None:
        assert effect.power(members - held, held, base_rate, base_rate) < 0.8
    else:
        assert effect.power(members - held, held, base_rate, found) == pytest.approx(0.8, abs=1e-6)
        assert effect.sample_size(base_rate, found, share_held=held / members) == pytest.approx(members, rel=1e-4)


def test_power_counts_how_often_simulated_campaigns_are_told() -> None:
    rng = np.random.default_rng(3)
    called, held = 1800, 200
    left, stayed = rng.binomial(called, 0.32, 4000), rng.binomial(held, 0.42, 4000)
    told = np.mean([effect.newcombe(int(h), held, int(c), called).low > 0 for c, h in zip(left, stayed, strict=True)])
    assert told == pytest.approx(effect.power(called, held, 0.42, 0.10), abs=0.03)


def test_without_a_holdout_nothing_can_be_told() -> None:
    assert effect.minimum_detectable(500, 0, 0.3) is None
    assert effect.minimum_detectable(500, 50, 0.0) is None
    assert effect.power(500, 0, 0.3, 0.1) == 0


def test_effects_that_cannot_be_are_refused() -> None:
    with pytest.raises(DataError, match="must stay within 0 and 1"):
        effect.power(10, 10, 0.1, 0.2)
    with pytest.raises(DataError, match="cannot be planned for"):
        effect.sample_size(0.3, 0.0)
    with pytest.raises(DataError, match="the share held out must be between 0 and 1, not 1"):
        effect.sample_size(0.3, 0.1, share_held=1.0)
    with pytest.raises(DataError, match="a level must be between 0 and 1, not 0"):
        effect.newcombe(1, 2, 1, 2, level=0.0)


def _progress(
    known: int, members: int, *, planned: float = 0.12, per_day: float = 0.0, last_day: date | None = None
) -> effect.Progress:
    return effect.progress(
        known, members, base_rate=0.4, effect=planned, share_held=0.1, today=TODAY, per_day=per_day, last_day=last_day
    )


def test_how_many_outcomes_are_missing_and_when_they_are_there() -> None:
    needed = math.ceil(effect.sample_size(0.4, 0.12, share_held=0.1))
    found = _progress(needed - 210, 4000, per_day=10.0)
    assert (found.more, found.needed, found.day, found.enough) == (210, needed, date(2026, 3, 22), False)
    assert not found.too_small
    # what is known at the latest on some day is not waited for longer
    assert _progress(needed - 210, 4000, per_day=10.0, last_day=date(2026, 3, 9)).day == date(2026, 3, 9)
    assert _progress(needed - 210, 4000).day is None
    assert _progress(needed, 4000).enough


def test_a_campaign_too_small_for_its_plan_is_read_when_all_is_known() -> None:
    some, all_known = _progress(300, 400, planned=0.02), _progress(400, 400, planned=0.02)
    assert (some.more, some.enough, some.too_small) == (100, False, True)
    assert all_known.enough
    assert all_known.too_small
    nothing_planned = _progress(300, 400, planned=0.0)
    assert nothing_planned.needed is None
    assert nothing_planned.more == 100
    assert nothing_planned.too_small


def test_arms_of_other_sizes_than_drawn_are_found() -> None:
    from scipy.stats import chisquare

    found = effect.mismatch(900, 60, 0.1)
    oracle = chisquare([60, 900], [96, 864])
    assert (found.chi_square, found.chance) == pytest.approx((oracle.statistic, oracle.pvalue))
    assert found.found
    assert not effect.mismatch(9010, 990, 0.1).found
    assert not effect.mismatch(0, 0, 0.1).found
    assert not effect.mismatch(10, 0, 0.0).found


def test_measured_acceptance_finds_the_true_one_and_keeps_the_assumption_where_nothing_was_measured() -> None:
    found = effect.intention_to_treat(28_000, 100_000, 4_000, 10_000)  # of 40 in 100 leavers, 30 still leave with γ = .3
    alpha, beta = effect.measured_acceptance(found, 6, 14)
    assert alpha / (alpha + beta) == pytest.approx(0.3, abs=0.01)
    assert alpha + beta > 500
    same = effect.measured_acceptance(effect.intention_to_treat(0, 0, 0, 0), 6, 14)
    assert same == pytest.approx((6, 14), rel=1e-3)


def test_measured_acceptance_against_draws() -> None:
    """The posterior by the grid, against one by drawing γ and p from their laws before and weighing by the outcome."""
    rng = np.random.default_rng(11)
    gamma, risk = rng.beta(2, 5, 400_000), rng.beta(1 + 30, 1 + 50, 400_000)
    still = risk * (1 - gamma)
    weight = np.exp(100 * np.log(still) + 250 * np.log1p(-still) + 220)
    mean = np.average(gamma, weights=weight)
    spread = math.sqrt(np.average((gamma - mean) ** 2, weights=weight))
    alpha, beta = effect.measured_acceptance(effect.intention_to_treat(100, 350, 30, 80), 2, 5)
    assert alpha / (alpha + beta) == pytest.approx(mean, abs=0.003)
    assert math.sqrt(alpha * beta / ((alpha + beta) ** 2 * (alpha + beta + 1))) == pytest.approx(spread, rel=0.02)


def test_a_campaign_that_did_harm_takes_acceptance_towards_zero() -> None:
    alpha, beta = effect.measured_acceptance(effect.intention_to_treat(5000, 10_000, 400, 1000), 6, 14)
    assert alpha / (alpha + beta) < 0.08

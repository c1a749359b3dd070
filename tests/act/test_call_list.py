"""The list: in which order, where it ends and why, what it should bring, and what is told of each customer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.act import holdout
from churn.act.call_list import (
    CUSTOMER,
    UPLIFT,
    Known,
    Ranking,
    Terms,
    contact_data,
    cut,
    dialled,
    groups_of,
    held_out,
    masked_contacts,
    preview,
    rank,
    reasons_of,
    rows,
    usual_offer,
)
from churn.act.eligibility import NOBODY, UNLIKE, Candidates
from churn.act.uplift_base import Uplift
from churn.base.expected_value import Assumptions, expected_value
from churn.base.groups import Filter
from churn.base.snapshot import Pool
from churn.errors import DataError
from churn.model.encoder import Encoder
from churn.model.scoring import ScoringModel
from churn.model.trees import CodeTerm, LinearTerms, NumberTerm
from churn.understand.account import Typical, account
from churn.understand.evidence import Evidence

from .listed import Base, everybody, open_base, schema_of

ASSUMED = Assumptions(alpha=3, beta=7, stayers_taking=0.5, value_months=12, contact_cost=1)
ACTIONS = [{"name": "b", "label": "Plan B", "set": {"plan": "B"}, "cost": 0}]


def _ranked(base: Base, offer: float = 0.0, chosen: Filter = Filter(), **rest: Any) -> Ranking:
    return rank(base.able(chosen, **rest), base.snapshot.schema, ASSUMED, offer)


def _keys(ranking: Ranking, base: Base) -> list[str]:
    return base.snapshot.rows(ranking.places)["id"].to_list()


def _known(base: Base) -> Known:
    schema = base.snapshot.schema
    background = pl.DataFrame({"fee": [20.0, 60.0, 100.0] * 40, "plan": ["A", "B"] * 60})
    linear = LinearTerms(numbers=(NumberTerm(0, 0.01, 0.0, 0.0),), codes=(CodeTerm(1, np.array([0.5, -0.5, 0.0, 0.0])),))
    model = ScoringModel.build(schema, Encoder.fit(background, schema), (), background, linear=linear)
    return Known(base.snapshot, base.folder, model, Typical.of(background, schema), Evidence(background, schema), ASSUMED)


# -- the order -----------------------------------------------------------------


def test_by_expected_value_and_ties_by_key(tmp_path: Path) -> None:
    keys, risk, fee = ["c", "b", "a", "z", "y"], [0.5, 0.5, 0.5, 0.9, 0.2], [50.0, 50.0, 50.0, 10.0, 300.0]
    base = open_base(tmp_path, schema_of(), risk, fee, everybody(5), keys=keys)
    ranking = _ranked(base, offer=10.0)
    by_hand = expected_value(np.array(risk), np.array(fee) * 12, 10.0, ASSUMED)
    assert _keys(ranking, base) == [key for _, key in sorted(zip(-by_hand, keys, strict=True))]
    assert _keys(ranking, base)[1:4] == ["a", "b", "c"]
    assert ranking.worth == pytest.approx(sorted(by_hand, reverse=True))
    assert ranking.value == pytest.approx([3600, 600, 600, 600, 120])


def test_without_money_by_risk(tmp_path: Path) -> None:
    base = open_base(tmp_path, schema_of(money=None), [0.2, 0.9, 0.9, 0.4], [1.0] * 4, everybody(4), keys=["d", "c", "b", "a"])
    ranking = _ranked(base)
    assert _keys(ranking, base) == ["b", "c", "a", "d"]
    assert (ranking.value, ranking.worth) == (None, None)


def test_of_one_phone_only_the_best_is_listed_and_the_others_are_named(tmp_path: Path) -> None:
    contacts = everybody(5) | {"phone": ["030 23125001", "+493023125001", "030 23125002", "0049 30 23125001", "030 23125002"]}
    base = open_base(tmp_path, schema_of(), [0.3, 0.8, 0.5, 0.6, 0.4], [50.0] * 5, contacts)
    ranking = _ranked(base)
    assert _keys(ranking, base) == ["K1", "K2"]
    assert ranking.left_out[-1].customers == 3
    told = rows(ranking, _known(base), 0, 2)
    assert told["same_phone"].to_list() == ["K3, K0", "K4"]


def test_a_filter_narrows_and_the_whole_is_accounted_for(tmp_path: Path) -> None:
    base = open_base(tmp_path, schema_of(), [0.5] * 6, [50.0] * 6, everybody(6), plan=["A", "B"] * 3)
    ranking = _ranked(base, chosen=Filter.of({"plan": ["B"]}), suppressed=pl.Series(["K1", "K0"]))
    assert _keys(ranking, base) == ["K3", "K5"]
    assert ranking.asked == 3


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.3, 0.9]), st.sampled_from([0.0, 20.0, 50.0]), st.integers(0, 4)), min_size=1)
)
def test_the_same_inputs_give_the_same_list(
    tmp_path_factory: pytest.TempPathFactory, people: list[tuple[float, float, int]]
) -> None:
    """Whatever order the table had; and it is what a plain loop over customers by worth and key gives."""
    risk, fee, phone = (list(part) for part in zip(*people, strict=True))
    size = len(people)
    keys = [f"K{number:03d}" for number in range(size)]
    contacts = everybody(size) | {"phone": [f"030 2312500{number}" for number in phone]}
    found = []
    for order in (list(range(size)), list(reversed(range(size)))):
        shuffled = {role: [values[at] for at in order] for role, values in contacts.items()}
        base = open_base(
            tmp_path_factory.mktemp("base"), schema_of(), [risk[i] for i in order], [fee[i] for i in order], shuffled,
            keys=[keys[i] for i in order],
        )  # fmt: skip
        found.append(_keys(_ranked(base, 5.0), base))
        base.snapshot.close()
    worth = expected_value(np.array(risk), np.array(fee) * 12, 5.0, ASSUMED)
    by_hand, taken = [], set()
    for at in sorted(range(size), key=lambda at: (-worth[at], keys[at])):
        if phone[at] not in taken:
            by_hand.append(keys[at])
        taken.add(phone[at])
    assert found == [by_hand, by_hand]


# -- where it ends ---------------------------------------------------------------


def _of(worth: list[float], risk: float = 0.5) -> Ranking:
    """A ranking of customers who are worth this much."""
    n = len(worth)
    nobody = (np.empty(0, np.int64), np.empty(0, np.uint32))
    return Ranking(
        np.arange(n), np.full(n, risk), np.array(worth) * 10, np.array(worth), np.full(n, NOBODY, np.uint32), nobody, (), n
    )


@pytest.mark.parametrize(
    ("terms", "customers", "stopped", "words"),
    [
        (Terms(capacity=2), 2, "capacity", "Stopped at capacity; the next would be worth $11."),
        (Terms(capacity=3), 3, "worth", "Stopped where a call is no longer worth making; the next would lose $4."),
        (Terms(), 3, "worth", "Stopped where a call is no longer worth making; the next would lose $4."),
        (Terms(budget=2.5, holdout=0), 2, "budget", "Stopped at the budget; the next would be worth $11."),
        (Terms(budget=2.0, capacity=3, holdout=0), 2, "budget", "Stopped at the budget; the next would be worth $11."),
        (Terms(budget=3.0), 3, "worth", "Stopped where a call is no longer worth making; the next would lose $4."),
        (Terms(budget=0.5), 0, "budget", "Stopped at the budget; the next would be worth $30."),
    ],
)
def test_where_it_ends_and_what_the_next_would_have_been_worth(terms: Terms, customers: int, stopped: str, words: str) -> None:
    end = cut(_of([30.0, 20.0, 11.0, -4.0, -9.0]), terms, ASSUMED)  # a call costs 1
    assert (end.customers, end.stopped) == (customers, stopped)
    assert end.in_words(schema_of()) == words


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.3, 0.5])
def test_a_budget_is_spent_on_those_who_are_called(share: float) -> None:
    terms = Terms(budget=100.0, holdout=share)
    ranking = _of([9.0] * 400)
    end = cut(ranking, terms, ASSUMED)  # a call costs 1
    told = preview(ranking, end.customers, terms, ASSUMED)
    assert (told.called, told.cost, end.stopped) == (100, pytest.approx(100.0), "budget")
    assert preview(ranking, end.customers + 1, terms, ASSUMED).cost > 100.0


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.15, 0.35, 0.5])
def test_lists_keep_as_many_uncalled_as_a_draw_does(share: float) -> None:
    sizes = np.arange(1, 3000)
    assert held_out(sizes, share).tolist() == [holdout.held_out(int(size), share) for size in sizes]


def test_everybody_and_nobody() -> None:
    assert cut(_of([3.0, 2.0]), Terms(capacity=9), ASSUMED).in_words(schema_of()) == "Everybody who may be called is on the list."
    assert cut(_of([]), Terms(), ASSUMED).in_words(schema_of()) == "Nobody may be called."
    assert cut(_of([0.0, -1.0]), Terms(), ASSUMED).customers == 0


def test_without_money_the_next_is_told_by_risk(tmp_path: Path) -> None:
    base = open_base(tmp_path, schema_of(money=None), [0.9, 0.34, 0.1], [1.0] * 3, everybody(3))
    end = cut(_ranked(base), Terms(capacity=1), ASSUMED)
    assert end.in_words(base.snapshot.schema) == "Stopped at capacity; the next has a risk of 34%."


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 12), st.integers(1, 41))
def test_the_best_of_each_phone_in_order_as_told_one_by_one(seed: int, customers: int, phones: int, most: int) -> None:
    """Equal worths and shared phones, against a loop over everybody; and the first few of a ranking are those of the whole."""
    rng = np.random.default_rng(seed)
    risk = rng.integers(1, 6, customers) / 10
    phone = rng.integers(0, phones, customers)
    shared = np.bincount(phone)[phone] > 1
    household = np.where(shared, phone, NOBODY).astype(np.uint32)
    sharing = np.flatnonzero(shared)
    sharing = sharing[np.argsort(phone[sharing], kind="stable")]
    starts = np.flatnonzero(np.diff(phone[sharing], prepend=-1))
    pool = Pool(np.arange(customers) * 3, risk, None)
    found = Candidates(pool, household, (sharing, starts), (), customers)
    ranking = rank(found, schema_of(money=None), ASSUMED, 0.0, most=most)
    kept, seen = [], set[int]()
    for one in sorted(range(customers), key=lambda one: (-risk[one], one)):
        if phone[one] not in seen:
            kept.append(3 * one)
        seen.add(int(phone[one]))
    assert ranking.places.tolist() == kept[:most]
    assert ranking.behind[0].tolist() == sorted(set(range(0, 3 * customers, 3)) - set(kept))
    assert ranking.left_out[-1].customers == customers - len(kept)


@pytest.mark.parametrize(
    "given", [{"capacity": 0}, {"budget": -1.0}, {"offer": float("nan")}, {"holdout": 0.6}, {"offer": -3.0}], ids=str
)
def test_impossible_terms(given: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(given))} of a call list must be"):
        Terms(**given)


def test_the_usual_offer_is_the_cheapest_action_that_costs_something() -> None:
    priced = [{**ACTIONS[0], "name": f"b{cost}", "label": f"Plan {cost}", "cost": cost} for cost in (0, 30, 12)]
    assert usual_offer(schema_of(actions=priced)) == 12
    assert usual_offer(schema_of(actions=ACTIONS)) == 0


# -- by whom calling changes -----------------------------------------------------------


def _lowers(*figures: float) -> Uplift:
    return Uplift("uplift/summer-save/1", "Summer save", np.array(figures))


def _by_uplift(place: Path, **columns: Any) -> tuple[Base, Ranking]:
    """Six customers in the order of a base, by revenue at risk: what calling does to them is not in that order."""
    risk, fee = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [100.0, 90.0, 80.0, 70.0, 60.0, 50.0]
    base = open_base(place, schema_of(**columns), risk, fee, everybody(6))
    lowers = _lowers(0.01, 0.05, -0.02, 0.05, float("nan"), 0.2)
    return base, rank(base.able(), base.snapshot.schema, ASSUMED, 20.0, lowers)


def test_by_how_much_calling_lowers_the_risk_and_ties_by_worth(tmp_path: Path) -> None:
    base, ranking = _by_uplift(tmp_path)
    assert _keys(ranking, base) == ["K5", "K1", "K3", "K0", "K2"]
    assert ranking.lowers is not None
    assert ranking.lowers.tolist() == [0.2, 0.05, 0.05, 0.01, -0.02]
    assert ranking.worthwhile == 4
    assert {one.reason: one.customers for one in ranking.left_out if one.customers} == {UNLIKE: 1}
    assert len(ranking.places) + sum(one.customers for one in ranking.left_out) == ranking.asked == 6
    told = rows(ranking, _known(base), 0, 2)
    assert told["customer"].to_list() == ["K5", "K1"]
    assert told["expected_value"].to_list() == pytest.approx(
        expected_value(np.array([0.4, 0.8]), np.array([600.0, 1080.0]), 20.0, ASSUMED)
    )


def test_it_stops_where_a_call_keeps_nobody_and_where_an_offer_does_not_pay(tmp_path: Path) -> None:
    base, ranking = _by_uplift(tmp_path)
    schema = base.snapshot.schema
    end = cut(ranking, Terms(offer=20.0), ASSUMED)
    assert (end.customers, end.stopped) == (4, "uplift")
    assert end.in_words(schema) == "Stopped where calling is not expected to lower the risk any more."
    early = cut(ranking, Terms(offer=20.0, capacity=2), ASSUMED)
    third = float(expected_value(0.6, 840.0, 20.0, ASSUMED))
    assert early.in_words(schema) == f"Stopped at capacity; the next would be worth ${third:.2f}."
    few = rank(base.able(), schema, ASSUMED, 20.0, _lowers(0.01, 0.05, -0.02, 0.05, float("nan"), 0.2), most=3)
    assert cut(few, Terms(offer=20.0, capacity=2), ASSUMED) == early
    dear = rank(base.able(), schema, ASSUMED, 250.0, _lowers(0.01, 0.05, -0.02, 0.05, float("nan"), 0.2))
    assert _keys(dear, base)[-2:] == ["K5", "K2"]  # an offer to them costs more than it brings, however much it changes
    lost = cut(dear, Terms(offer=250.0), ASSUMED)
    assert (lost.customers, lost.stopped) == (3, "worth")
    assert "the next would lose $" in lost.in_words(schema)


def test_without_money_it_stops_where_a_call_keeps_nobody(tmp_path: Path) -> None:
    base, ranking = _by_uplift(tmp_path, money=None)
    assert _keys(ranking, base) == ["K5", "K1", "K3", "K0", "K2"]
    assert cut(ranking, Terms(), ASSUMED).stopped == "uplift"


def test_a_ranking_that_is_learnt_says_from_what() -> None:
    with pytest.raises(DataError, match="ranked by uplift needs learnt models"):
        Terms(ranked_by=UPLIFT)
    with pytest.raises(DataError, match="ranked by expected value has no learnt models"):
        Terms(learnt="uplift/summer-save/1")
    learnt = Terms(ranked_by=UPLIFT, learnt="uplift/summer-save/1")
    assert learnt.ranking(schema_of()) == learnt.ranking(schema_of(money=None)) == "Whom calling changes"
    assert (Terms().ranking(schema_of()), Terms().ranking(schema_of(money=None))) == ("What a call is worth", "Risk")


# -- what it should bring ------------------------------------------------------------


def test_the_preview_adds_up(tmp_path: Path) -> None:
    risk, fee = np.array([0.8, 0.6, 0.4]), np.array([50.0, 40.0, 100.0])
    base = open_base(tmp_path, schema_of(), risk, fee, everybody(3))
    told = preview(_ranked(base, 20.0), 3, Terms(offer=20.0, holdout=0.0), ASSUMED)
    assert (told.customers, told.called, told.held) == (3, 3, 0)
    assert told.leavers == pytest.approx(1.8)
    assert told.saves == pytest.approx(0.3 * 1.8)
    assert told.money == pytest.approx(float(expected_value(risk, fee * 12, 20.0, ASSUMED).sum()))
    assert told.cost == pytest.approx(sum(1 + p * 0.3 * 20 + (1 - p) * 0.5 * 20 for p in risk))
    assert told.average_risk == pytest.approx(0.6)


def test_whoever_stays_uncalled_costs_and_brings_nothing() -> None:
    ranking = _of([30.0] * 100)
    every, some = (preview(ranking, 100, Terms(holdout=share), ASSUMED) for share in (0.0, 0.1))
    assert (some.called, some.held) == (90, 10)
    assert some.money == pytest.approx(0.9 * (every.money or 0))
    assert some.cost == pytest.approx(0.9 * every.cost)
    assert some.leavers == every.leavers
    assert held_out(5, 0.1) == 1
    assert held_out(4, 0.1) == 0


def test_the_interval_holds_eight_times_in_ten() -> None:
    """Customers, the law of γ, and the model's calibration drawn anew ten thousand times."""
    draw = np.random.default_rng(7)
    n, d, covariance = 400, 20.0, [[4e-3, 1e-3], [1e-3, 2e-3]]
    p, v = draw.uniform(0.1, 0.9, n), draw.uniform(100, 2000, n)
    worth = expected_value(p, v, d, ASSUMED)
    order = np.argsort(-worth)
    p, v, worth = p[order], v[order], worth[order]
    nobody = (np.empty(0, np.int64), np.empty(0, np.uint32))
    ranking = Ranking(np.arange(n), p, v, worth, np.full(n, NOBODY, np.uint32), nobody, (), n)
    told = preview(ranking, n, Terms(offer=d, holdout=0.0), ASSUMED, covariance)
    logit, money, saves = np.log(p / (1 - p)), [], []
    for _ in range(10_000):
        a, b = draw.multivariate_normal([0, 1], covariance)
        true = 1 / (1 + np.exp(-(a + b * logit)))
        leaves = draw.random(n) < true
        kept = leaves & (draw.random(n) < draw.beta(ASSUMED.alpha, ASSUMED.beta))
        takes = ~leaves & (draw.random(n) < ASSUMED.stayers_taking)
        money.append(float((kept * (v - d)).sum() - takes.sum() * d - n * ASSUMED.contact_cost))
        saves.append(int(kept.sum()))
    assert told.money_interval is not None
    for drawn, interval in ((money, told.money_interval), (saves, told.saves_interval)):
        inside = np.mean((np.array(drawn) >= interval.low) & (np.array(drawn) <= interval.high))
        assert inside == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("offer", [0.0, 20.0])
def test_no_more_can_be_lost_than_calls_and_offers_nor_gained_than_everybody_is_worth(offer: float) -> None:
    unlike = ((4.0, 0.0), (0.0, 4.0))  # a calibration of which hardly anything is known
    for size in (1, 3, 10):
        told = preview(_of([9.0] * size), size, Terms(offer=offer, holdout=0.0), ASSUMED, unlike)
        assert told.money_interval is not None and told.money is not None  # noqa: PT018
        worth = _of([9.0]).value
        assert worth is not None
        assert -size * (1 + offer) <= told.money_interval.low <= told.money <= told.money_interval.high
        assert told.money_interval.high <= size * (max(worth[0] - offer, 0.0) - 1)


def test_without_money_nothing_is_valued(tmp_path: Path) -> None:
    base = open_base(tmp_path, schema_of(money=None), [0.9, 0.3], [1.0] * 2, everybody(2))
    told = preview(_ranked(base), 2, Terms(holdout=0.0), ASSUMED)
    assert (told.money, told.money_interval) == (None, None)
    assert told.saves == pytest.approx(0.36)


# -- what is told of each ------------------------------------------------------------


def test_rows_in_full(tmp_path: Path) -> None:
    base = open_base(
        tmp_path, schema_of(actions=ACTIONS), [0.9, 0.4, 0.6], [60.0, 20.0, 70.0], everybody(3), plan=["A", "B", "A"]
    )  # fmt: skip
    told = rows(_ranked(base), _known(base), 0, 2)
    assert told.select("rank", "customer", "__risk__", "band", "value", "owner").rows() == [
        (1, "K0", 0.9, "Very high", 720.0, "Colleague 0"),
        (2, "K2", 0.6, "Very high", 840.0, "Colleague 0"),
    ]
    assert told["action"].to_list() == ["Plan B", "Plan B"]
    assert "name" not in told.columns
    assert "phone" not in told.columns


def test_reasons_are_those_of_the_screen(tmp_path: Path) -> None:
    base = open_base(tmp_path, schema_of(), [0.35, 0.35], [50.0, 20.0], everybody(2))
    known = _known(base)
    told = rows(_ranked(base), known, 0, 2)
    for row in told.iter_rows(named=True):
        customer = base.snapshot.customer(row[CUSTOMER])
        assert customer is not None
        screen = account(
            customer.row, [0.05, 0.10], risk=0.35, typical_risk=0.2, schema=base.snapshot.schema, typical=known.typical
        )
        assert [row["reason_1"], row["reason_2"]] == [one.words for one in screen.told]
        assert row["reason_3"] is None
    own = told.filter(pl.col(CUSTOMER) == "K1").select(CUSTOMER, *(f"reason_{n}" for n in (1, 2, 3)))
    assert reasons_of(pl.Series(["K1", "nobody"]), known).rows() == own.rows()


def test_contact_data_is_masked_for_the_screen_and_as_it_is_for_a_recorded_export(tmp_path: Path) -> None:
    base = open_base(tmp_path, schema_of(), [0.9, 0.4], [50.0] * 2, everybody(2))
    schema, keys = base.snapshot.schema, pl.Series("id", ["K1", "K0"])
    shown = masked_contacts(keys, base.folder, schema)
    assert shown is not None
    assert shown["id"].to_list() == ["K1", "K0"]
    assert shown["phone"].to_list() == ["+49 ••• ••50 01", "+49 ••• ••50 00"]
    assert not any(text in str(shown.rows()) for text in ("23125", "Person", "p1@"))
    full = contact_data(keys, base.folder, schema)
    assert full is not None
    assert full["phone"].to_list() == ["030 23125001", "030 23125000"]
    assert dialled(full, schema).to_list() == ["+493023125001", "+493023125000"]


@pytest.mark.parametrize("places", [[1, 0], [0, 1]], ids=["where they stand", "elsewhere"])
def test_contact_data_read_by_place_is_that_of_the_key(tmp_path: Path, places: list[int]) -> None:
    base = open_base(tmp_path, schema_of(), [0.9, 0.4], [50.0] * 2, everybody(2))
    schema, keys = base.snapshot.schema, pl.Series("id", ["K1", "K0"])
    by_place = contact_data(keys, base.folder, schema, places=np.array(places))
    by_key = contact_data(keys, base.folder, schema)
    assert by_place is not None
    assert by_key is not None
    assert by_place.rows() == by_key.rows()


def test_groups_on_the_day_of_the_list(tmp_path: Path) -> None:
    base = open_base(tmp_path, schema_of(), [0.9, 0.4, 0.5], [50.0] * 3, everybody(3), plan=["A", "B", "B"])
    found = groups_of(_ranked(base), _known(base), 3, ["plan"])
    assert found.rows() == [("K0", "A"), ("K2", "B"), ("K1", "B")]

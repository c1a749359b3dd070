"""A call list: who of those that may be called is worth an offer, ranked, cut where the means end, and what that should bring.

Customers are ranked by the expected value of one offer (`churn.base.expected_value`), ties by key; without money in the schema,
by risk. Or, once a finished campaign has taught it, by how much calling lowers their risk (`churn.act.uplift_base`), ties by
expected value and then by key; whoever is not worth an offer, or is not kept by a call, comes after all who are. The list stops
at the capacity, at the budget, or where a call is no longer worth making, and says which, and what the next customer would have
been worth. The same base, filter, terms and database always give the same list.

What a list should bring has three sources of doubt, and its intervals hold them all: who leaves and who takes the offer
(chance), how well the model is calibrated (the bootstrap of `churn.base.value`), and γ, the share of leavers that an offer keeps,
of which only a Beta law is assumed. With aᵢ = pᵢ(Vᵢ − d), money is γ·Σa − Σb, and saves are γ·Σp:

    by chance        Σ Var(payoffᵢ),  payoff = V − d − f when saved, −f when lost, −d − f when a stayer takes it, else −f
    by calibration   gᵀ C g,  g = [Σ k·p(1−p), Σ k·p(1−p)·L],  k = ∂EV/∂p = γ(V − d) + s·d
    by acceptance    (Σ a)²·Var γ

The three are independent; the sum ± 1.2816 standard deviations holds 8 times in 10 where it is near normal. Of a short list it
is not: its interval ends where nothing more can be lost, Σ −(f + d), or gained, Σ (V − d − f), of those who are called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Final, Literal, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn import words
from churn.act.effect import minimum_detectable
from churn.act.eligibility import NOBODY, SAME_PHONE, UNLIKE, Candidates, LeftOut
from churn.act.uplift_base import Uplift
from churn.base.expected_value import Assumptions, best_first, customer_value, expected_value, offer_cost
from churn.base.groups import BAND
from churn.base.snapshot import CONTACTS, MOST_ROWS, RISK, Snapshot, rows_at
from churn.base.value import LEVEL, Covariance, Interval
from churn.data.contacts import masked, normalise_phones
from churn.data.disk import disk
from churn.data.schema import Schema
from churn.errors import DataError
from churn.model.risk_model import RiskModel, in_hundredths
from churn.understand.account import Typical
from churn.understand.best_action import best_actions
from churn.understand.evidence import Evidence
from churn.understand.reasons import in_words

Floats = NDArray[np.float64]
Stopped = Literal["capacity", "budget", "worth", "uplift", "everybody", "nobody"]
RankedBy = Literal["expected value", "uplift"]

EXPECTED_VALUE: Final[RankedBy] = "expected value"
UPLIFT: Final[RankedBy] = "uplift"
MOST: Final = 100_000  # customers of one list
REASONS: Final = 3
# Columns of the rows of a list.
CUSTOMER: Final = "customer"
RANK: Final = "rank"
VALUE: Final = "value"
WORTH: Final = "expected_value"
ACTION: Final = "action"
OWNER: Final = "owner"
SAME: Final = "same_phone"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a list is built for. `offer`: cost of the offer once taken; `capacity`: calls that can be made; `budget`: expected
    cost at most; both in the schema's currency, None for no limit. `holdout`: share kept uncalled at random, 0–0.5. `ranked_by`:
    what comes first; `learnt`: which models that is from, `Uplift.version`, empty for a ranking that is not learnt."""

    offer: float = 0.0
    capacity: int | None = None
    budget: float | None = None
    holdout: float = 0.1
    ranked_by: RankedBy = EXPECTED_VALUE
    learnt: str = ""

    def __post_init__(self) -> None:
        checks = (
            ("offer", self.offer, self.offer >= 0, "at least 0"),
            ("capacity", self.capacity, self.capacity is None or self.capacity >= 1, "at least 1"),
            ("budget", self.budget, self.budget is None or self.budget >= 0, "at least 0"),
            ("holdout", self.holdout, 0 <= self.holdout <= 0.5, "from 0 to 0.5"),
        )
        if (self.ranked_by == UPLIFT) != bool(self.learnt):
            raise DataError(f"a call list ranked by {self.ranked_by} {'needs' if not self.learnt else 'has no'} learnt models")
        for name, value, fine, limits in checks:
            if not fine or (value is not None and not math.isfinite(value)):
                raise DataError(f"{name} of a call list must be {limits}, not {value!r}")

    def ranking(self, schema: Schema) -> str:
        """By what the list is ranked, in words: `What a call is worth`."""
        return words.say(f"ranked by {self.ranked_by if self.learnt or schema.money else 'risk'}")


def usual_offer(schema: Schema) -> float:
    """The offer that a list is for unless another is named: the cheapest action of the catalogue; 0, a mere call, where none
    has a cost."""
    return min((action.cost for action in schema.actions if action.cost), default=0.0)


@dataclass(frozen=True, eq=False, slots=True)
class Ranking:
    """Those who may be called, best first, each phone once; of more than a list can hold, the first `MOST` and one more, for a
    cut to say what the next would be worth.

    `places` int64, `risk`, `value` (V) and `worth` (EV) float64 [n]; the last two are None without money. `lowers`: by how much
    calling lowers the risk [n], where that is what they are ranked by, else None; it was judged as an order, and of one customer
    alone it says too little to be shown. `household` uint32 [n].
    `behind`: places, and their households, of those left out for the same phone, in the order of the base. `left_out`: by reason
    in the fixed order; `asked`: everybody of the filter: those left out and all who could be ranked.
    """

    places: NDArray[np.int64]
    risk: Floats
    value: Floats | None
    worth: Floats | None
    household: NDArray[np.uint32]
    behind: tuple[NDArray[np.int64], NDArray[np.uint32]]
    left_out: tuple[LeftOut, ...]
    asked: int
    lowers: Floats | None = None

    @property
    def worthwhile(self) -> int:
        """How many of them are worth a call: the first so many."""
        fine = np.ones(len(self.places), dtype=np.bool_)
        for figure in (self.worth, self.lowers):
            if figure is not None:
                fine &= figure > 0
        return int(np.count_nonzero(fine))


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the list ends: its customers, what stopped it, and the next one's worth and risk, where there is a next one."""

    customers: int
    stopped: Stopped
    next_worth: float | None
    next_risk: float | None

    def in_words(self, schema: Schema) -> str:
        """`Stopped at capacity; the next would be worth $11.`"""
        if self.next_worth is not None:
            template = "next worth" if self.next_worth > 0 else "next loses" if self.next_worth <= -0.005 else "next nothing"
            following = words.say(template, worth=words.money(abs(self.next_worth), schema.currency))
        else:
            following = "" if self.next_risk is None else words.say("next risk", risk=words.percent(self.next_risk))
        return words.say(f"stopped {self.stopped}", next=following)


@dataclass(frozen=True, slots=True)
class Preview:
    """What calling a list should bring; money in the schema's currency, None where it has none.

    `customers` are on the list, `called` of them are called, the others are kept uncalled. `leavers`: how many of all would
    leave, uncalled; `saves`: how many of those called stay for the offer; `cost`: contact and offers; `money`: what is kept less
    the cost.
    """

    customers: int
    called: int
    leavers: float
    saves: float
    saves_interval: Interval
    cost: float
    money: float | None
    money_interval: Interval | None

    @property
    def held(self) -> int:
        """How many are kept uncalled."""
        return self.customers - self.called

    @property
    def leavers_called(self) -> float:
        """How many of those called would leave, uncalled: who is called is drawn at random within risk bands."""
        return self.leavers * self.called / self.customers if self.customers else 0.0

    def measurable(self) -> str:
        """Whether a campaign of this list will show what calling does, and from which difference on."""
        if not self.held:
            return words.say("measurable nobody held")
        least = minimum_detectable(self.called, self.held, self.average_risk or 0.0)
        if least is None:
            return words.say("measurable too few")
        return words.say("measurable", least=words.points(least, signed=False))

    @property
    def average_risk(self) -> float | None:
        return self.leavers / self.customers if self.customers else None


# -- ranking -----------------------------------------------------------------------------------------------------------------


def rank(
    found: Candidates,
    schema: Schema,
    assumptions: Assumptions,
    offer: float,
    uplift: Uplift | None = None,
    *,
    most: int = MOST + 1,
) -> Ranking:
    """Rank those who may be called by expected value, or by `uplift` where given, and keep the best of each phone.

    A base lies in the order of its revenue at risk, then risk, then key: whoever is worth the same stands in the order of keys.
    Whoever is unlike the customers of the campaign that `uplift` is learnt from is left out.
    """
    pool, left_out = found.pool, found.left_out
    value = None if pool.money is None else customer_value(pool.money, schema, assumptions)
    worth = None if value is None else expected_value(pool.risk, value, offer, assumptions)
    better = (pool.risk if worth is None else worth).copy()  # the higher, the better placed
    lowers, alike = None, len(better)
    if uplift is not None:
        lowers = uplift.lowers[pool.places]
        order = best_first(better)
        order = order[best_first(lowers[order])]
        fine = (lowers > 0) & (worth is None or worth > 0)
        order = order[np.argsort(~fine[order], kind="stable")]
        better[order] = -np.arange(len(order), dtype=np.float64)
        better[np.isnan(lowers)] = np.nan
        alike = int(np.count_nonzero(~np.isnan(lowers)))
        left_out = (*left_out, LeftOut(UNLIKE, len(better) - alike))
    behind = found.behind(better)
    behind = behind[~np.isnan(better[behind])] if uplift is not None else behind
    better[behind] = np.nan
    order = best_first(better, min(most, alike - len(behind)))
    return Ranking(
        places=pool.places[order],
        risk=pool.risk[order],
        value=None if value is None else value[order],
        worth=None if worth is None else worth[order],
        household=found.household[order],
        behind=(pool.places[behind], found.household[behind]),
        left_out=(*left_out, LeftOut(SAME_PHONE, len(behind))),
        asked=found.asked,
        lowers=None if lowers is None else lowers[order],
    )


def cut(ranking: Ranking, terms: Terms, assumptions: Assumptions) -> Cut:
    """Where a list under these terms ends: at capacity, budget, or where a call is no longer worth making.

    The budget is for those who are called: a list of n customers, of whom h(n) are kept uncalled at random, is expected to cost
    (1 − h(n)/n)·Σ costᵢ, as its preview says; it ends before the first n for which that is above the budget.
    """
    there, worthy = len(ranking.places), ranking.worthwhile
    limit = min(worthy, terms.capacity or there, MOST)
    if terms.budget is None:
        affordable = there
    else:
        sizes = np.arange(1, limit + 1)
        costs = np.cumsum(offer_cost(ranking.risk[:limit], terms.offer, assumptions)) * (
            1 - held_out(sizes, terms.holdout) / sizes
        )
        over = np.flatnonzero(costs > terms.budget * (1 + 1e-12))
        affordable = int(over[0]) if len(over) else there
    customers = min(limit, affordable)
    stopped: Stopped = "budget" if customers < limit else "capacity"
    if not there:
        stopped = "nobody"
    elif customers == there:
        stopped = "everybody"
    elif customers == worthy:
        stopped = "worth"
    if customers >= there:
        return Cut(customers, stopped, None, None)
    worth = None if ranking.worth is None else float(ranking.worth[customers])
    if stopped == "worth" and (worth is None or worth > 0):
        stopped = "uplift"  # an offer would pay if a call kept anybody of the rest
    return Cut(customers, stopped, worth, float(ranking.risk[customers]))


# -- what it should bring ----------------------------------------------------------------------------------------------------


def preview(
    ranking: Ranking, customers: int, terms: Terms, assumptions: Assumptions, covariance: Covariance | None = None
) -> Preview:
    """What the first `customers` of a ranking should bring when all but the holdout are called.

    Parameters
    ----------
    covariance: how sure the model is of its calibration; None leaves that part of the interval out.
    """
    called = customers - held_out(customers, terms.holdout)
    share = called / customers if customers else 0.0  # who is kept uncalled is drawn at random
    p = ranking.risk[:customers]
    a, d = assumptions, terms.offer
    saves = a.acceptance * float(p.sum()) * share
    saves_variance = (
        share * float((a.acceptance * p * (1 - a.acceptance * p)).sum()) + (share * float(p.sum()) * a.acceptance_spread) ** 2
    )
    saves_variance += _by_calibration(p, np.full_like(p, a.acceptance), covariance) * share**2
    cost = float(offer_cost(p, d, a).sum()) * share
    money = spread = None
    if ranking.value is not None:
        v = ranking.value[:customers]
        money = float(expected_value(p, v, d, a).sum()) * share
        saved, taken = p * a.acceptance, (1 - p) * a.stayers_taking
        mean = saved * (v - d) - taken * d  # without f, which is certain
        chance = saved * (v - d) ** 2 + taken * d**2 - mean**2
        slope = a.acceptance * (v - d) + a.stayers_taking * d
        variance = share * float(chance.sum()) + (share * float((p * (v - d)).sum()) * a.acceptance_spread) ** 2
        spread = _around(money, variance + _by_calibration(p, slope, covariance) * share**2)
        spread = _within(spread, *_possible(v, called, d, a))
    around = _around(saves, saves_variance)
    return Preview(
        customers=customers,
        called=called,
        leavers=float(p.sum()),
        saves=saves,
        saves_interval=_within(around, 0.0, float(called)),
        cost=cost,
        money=money,
        money_interval=spread,
    )


@overload
def held_out(customers: int, share: float) -> int: ...
@overload
def held_out(customers: NDArray[np.int64], share: float) -> NDArray[np.int64]: ...
def held_out(customers: int | NDArray[np.int64], share: float) -> int | NDArray[np.int64]:
    """How many of a list, or of lists, of that many are kept uncalled: the share, to the nearest whole customer, halves up."""
    exact = np.asarray(customers) * share
    whole = np.floor(exact)
    held = (whole + (exact - whole >= 0.5)).astype(np.int64)
    return held if held.ndim else int(held)


def _possible(v: Floats, called: int, offer: float, a: Assumptions) -> tuple[float, float]:
    """The least and the most that calling so many of customers worth `v` can bring: every call is lost, or keeps its customer."""
    least = -(a.contact_cost + (offer if a.stayers_taking else 0.0))
    most = np.sort(np.maximum(v - offer, 0.0))[len(v) - called :] - a.contact_cost
    return called * least, float(most.sum())


def _within(found: Interval, least: float, most: float) -> Interval:
    return Interval(min(max(found.low, least), most), max(min(found.high, most), least))


def _by_calibration(p: Floats, slope: Floats, covariance: Covariance | None) -> float:
    if covariance is None or not len(p):
        return 0.0
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    weight = slope * inside * (1 - inside)
    g = np.array([weight.sum(), (weight * np.log(inside / (1 - inside))).sum()])
    return float(g @ np.asarray(covariance, dtype=np.float64) @ g)


def _around(middle: float, variance: float) -> Interval:
    half = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2) * math.sqrt(max(variance, 0.0))
    return Interval(middle - half, middle + half)


# -- who is on it ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """What the rows of a list are told from: the scoring and its files, and the model that made it."""

    snapshot: Snapshot
    folder: Path | None
    model: RiskModel
    typical: Typical
    evidence: Evidence
    assumptions: Assumptions


Telling = Callable[[NDArray[np.int64], Known], pl.DataFrame]


def rows(ranking: Ranking, known: Known, start: int, stop: int, telling: Telling | None = None) -> pl.DataFrame:
    """The customers from `start` up to, not including, `stop` of a ranking, without contact data.

    Columns: `rank`; those of `told`; `value` (V) and `expected_value` (null without money); `same_phone` (keys of those left out
    for the same phone, separated by commas). `telling`: what stands in for `told`, such as one that remembers.
    """
    chosen = slice(start, min(stop, len(ranking.places)))
    places = ranking.places[chosen]
    people = (telling or told)(places, known)
    worth = (
        pl.Series(name, [None] * len(places) if own is None else own[chosen], dtype=pl.Float64)
        for name, own in ((VALUE, ranking.value), (WORTH, ranking.worth))
    )
    rank_of = pl.Series(RANK, np.arange(chosen.start, chosen.start + len(places)) + 1, dtype=pl.Int64)
    return pl.DataFrame([rank_of, *people, *worth, _same_phone(ranking, chosen, known.snapshot)])


def told(places: NDArray[np.int64], known: Known) -> pl.DataFrame:
    """What a list says of customers, by their places in the base, whatever the offer.

    Columns: `customer`, `__risk__` (0–1), `band` (its name), `reason_1` … as on the screen, `action` (the label of the best
    supported one, null where none helps), `owner`.
    """
    snapshot, schema = known.snapshot, known.snapshot.schema
    table = snapshot.rows(places)
    names = pl.Series([band.name for band in schema.bands], dtype=pl.String)
    money = table[schema.money.column].cast(pl.Float64) if schema.money else None
    acting = best_actions(table, money, model=known.model, evidence=known.evidence, assumptions=known.assumptions)
    return pl.DataFrame(
        [
            table[schema.key].alias(CUSTOMER),
            table[RISK],
            names.gather(table[BAND]).alias("band"),
            *_reasons(table, places, known),
            pl.Series(ACTION, acting, dtype=pl.String),
            _owners(table[schema.key], places, known.folder, schema),
        ]
    )


def without_money(listed: pl.DataFrame) -> pl.DataFrame:
    """The rows of a list without what anybody is worth: where the model's percentages are off, so is money made of them."""
    return listed.with_columns(pl.lit(None, pl.Float64).alias(name) for name in (VALUE, WORTH))


def groups_of(ranking: Ranking, known: Known, stop: int, columns: Sequence[str]) -> pl.DataFrame:
    """Which groups of some columns the first `stop` customers are in: `customer` and a column of labels for each."""
    snapshot = known.snapshot
    table = snapshot.rows(ranking.places[:stop])
    found = {CUSTOMER: table[snapshot.schema.key]}
    for column in columns:
        label = pl.lit(None, pl.String)
        for name in snapshot.groups(column):
            label = pl.when(snapshot.group(column, name).expression(column)).then(pl.lit(name)).otherwise(label)
        found[column] = table.select(label.alias(column)).to_series()
    return pl.DataFrame(found)


def reasons_of(keys: pl.Series, known: Known) -> pl.DataFrame:
    """`customer` and `reason_1` … of those of the keys that are in the base, in the order of the base."""
    places = known.snapshot.places(keys)
    table = known.snapshot.rows(places)
    return pl.DataFrame([table[known.snapshot.schema.key].alias(CUSTOMER), *_reasons(table, places, known)])


def _reasons(table: pl.DataFrame, places: NDArray[np.int64], known: Known) -> list[pl.Series]:
    """Three reasons of each, told from the points that the scoring keeps; else from the model, where that is quick."""
    schema = known.snapshot.schema
    points = known.snapshot.points(places)
    if points is None and known.model.quick:
        whole = in_hundredths(known.model.explain(table).points)
        points = pl.DataFrame(dict(zip(schema.names, whole, strict=True)))
    if points is None or table.is_empty():
        return [pl.Series(f"reason_{place}", [None] * table.height, dtype=pl.String) for place in range(1, REASONS + 1)]
    told = in_words(table, points, known.snapshot.typical_risk, schema, known.typical, REASONS, silent=True)
    return [text.alias(f"reason_{place}") for place, text in enumerate(told, start=1)]


def _owners(keys: pl.Series, places: NDArray[np.int64], folder: Path | None, schema: Schema) -> pl.Series:
    owner = schema.contacts.owner
    found = contact_data(keys, folder, schema, [owner], places) if owner else None
    if found is None or owner is None or owner not in found.columns:
        return pl.Series(OWNER, [None] * len(keys), dtype=pl.String)
    return found[owner].alias(OWNER)


def _same_phone(ranking: Ranking, chosen: slice, snapshot: Snapshot) -> pl.Series:
    own = ranking.household[chosen]
    places, household = ranking.behind
    inside = np.isin(household, own) if len(own) else np.zeros(len(household), dtype=np.bool_)
    keys = snapshot.rows(places[inside])[snapshot.schema.key]
    named: dict[int, list[str]] = {}
    for house, key in zip(household[inside].tolist(), keys.to_list(), strict=True):
        named.setdefault(house, []).append(key)
    listed = [None if house == NOBODY or house not in named else ", ".join(named[house]) for house in own.tolist()]
    return pl.Series(SAME, listed, dtype=pl.String)


# -- how to reach them -------------------------------------------------------------------------------------------------------


def contact_data(
    keys: pl.Series,
    folder: Path | None,
    schema: Schema,
    columns: Sequence[str | None] | None = None,
    places: NDArray[np.int64] | None = None,
) -> pl.DataFrame | None:
    """The contact columns of some customers as they are, in the order of the keys: for a recorded export only.

    `places`: where they stand in the base; of few customers only these rows are read then, where contact data lies in the
    order of the base. None where the scoring has none. Raises StoreUnavailable where the disk refuses.
    """
    path = None if folder is None else folder / CONTACTS
    if path is None or not path.exists() or not schema.contacts.columns:
        return None
    with disk(path, "read"):
        there = pl.read_parquet_schema(path)
        wanted = [column for column in (columns or schema.contacts.columns) if column and column in there]
        asked = pl.DataFrame({schema.key: keys})
        if places is not None and 0 < len(places) <= MOST_ROWS:
            found = rows_at(path, places, [schema.key, *wanted])
            if found[schema.key].equals(
                keys.alias(schema.key)
            ):  # contact data lies in the order of the base, unless made elsewhere
                return found
        scan = pl.scan_parquet(path).select(schema.key, *wanted)
        found = scan.join(asked.lazy(), on=schema.key, how="semi").collect()
    return asked.join(found, on=schema.key, how="left", maintain_order="left")


def masked_contacts(
    keys: pl.Series, folder: Path | None, schema: Schema, places: NDArray[np.int64] | None = None
) -> pl.DataFrame | None:
    """The same, masked: the only form in which a page may show it. None where nothing is known."""
    found = contact_data(keys, folder, schema, places=places)
    return None if found is None else masked(found, schema.contacts)


def dialled(contacts: pl.DataFrame, schema: Schema) -> pl.Series:
    """Phones in one form, `+493023125123`; null where there is none."""
    phone = schema.contacts.phone
    if phone is None or phone not in contacts.columns:
        return pl.Series("phone", [None] * contacts.height, dtype=pl.String)
    return normalise_phones(contacts[phone], schema.contacts.country)

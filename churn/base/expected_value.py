"""What a customer is worth, and what an offer to one is expected to bring.

For a customer who leaves with probability p and is worth V, an offer that costs d once taken and f to make brings

    EV = p·[γ(V − d) − f] − (1 − p)·(s·d + f)

γ is the share of leavers who take it and stay, s the share of stayers who take it all the same (Verbraken, Verbeke and Baesens
2013, IEEE TKDE 25:961, with s = 1 and γ ~ Beta(α, β)). V's periods, γ, s and f cannot be read from a table of customers: they
are `Assumptions`, set in one place, and whoever shows a figure that rests on them says so.

That is EV = p·[γ(V − d) + s·d] − (s·d + f): it rises with p by γ(V − d) + s·d, so an offer is worth making from the break-even
risk p* = (s·d + f) / [γ(V − d) + s·d] on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from churn import words
from churn.data.schema import Money, Schema
from churn.errors import SettingsError
from churn.settings import Settings

Floats = NDArray[np.float64]

NO_STEP: Final = 2**16 - 1
_MONTHS: Final = {"month": 1.0, "quarter": 3.0, "year": 12.0}  # in one period of money
_SPREAD = 1.2815515655446004  # half an 80% interval of a normal law, in standard deviations


@dataclass(frozen=True, slots=True)
class Assumed:
    """One assumption as it reads on screen: `name`, its `value` formatted, and a `sentence` that says what it means."""

    name: str
    value: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What money figures rest on and no table tells.

    `alpha`, `beta`: of the Beta law of γ, the share of those about to leave who take an offer and stay. `stayers_taking`: s, 0–1.
    `value_months`: how many months of a customer's money make V. `contact_cost`: f, in the schema's currency.
    """

    alpha: float = 6.0
    beta: float = 14.0
    stayers_taking: float = 1.0
    value_months: float = 12.0
    contact_cost: float = 1.0

    @classmethod
    def of(cls, settings: Settings) -> Assumptions:
        """The assumptions of a workspace's settings."""
        return cls(
            settings.assume_acceptance_alpha,
            settings.assume_acceptance_beta,
            settings.assume_stayers_taking,
            settings.assume_value_months,
            settings.assume_contact_cost,
        )

    def __post_init__(self) -> None:
        checks = (
            ("assume_acceptance_alpha", self.alpha, self.alpha > 0, "above 0"),
            ("assume_acceptance_beta", self.beta, self.beta > 0, "above 0"),
            ("assume_stayers_taking", self.stayers_taking, 0 <= self.stayers_taking <= 1, "from 0 to 1"),
            ("assume_value_months", self.value_months, self.value_months > 0, "above 0"),
            ("assume_contact_cost", self.contact_cost, self.contact_cost >= 0, "at least 0"),
        )
        for name, value, fine, limits in checks:
            if not (fine and np.isfinite(value)):
                raise SettingsError(f"setting '{name}' must be {limits}, not {value!r}")

    @property
    def acceptance(self) -> float:
        """Mean of γ: α / (α + β)."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def acceptance_spread(self) -> float:
        """Standard deviation of γ."""
        total = self.alpha + self.beta
        return float(np.sqrt(self.alpha * self.beta / (total * total * (total + 1))))

    def periods(self, money: Money) -> float:
        """How many of the money column's periods make V; what is paid once counts once."""
        return 1.0 if money.period == "once" else self.value_months / _MONTHS[money.period]

    def in_words(self, schema: Schema) -> tuple[Assumed, ...]:
        """Every assumption with its value and what it means; that about worth only where the schema has money."""
        low = max(self.acceptance - _SPREAD * self.acceptance_spread, 0.0)
        high = min(self.acceptance + _SPREAD * self.acceptance_spread, 1.0)
        share = words.percent(self.acceptance)
        likely = words.likely_between(words.percent(low), words.percent(high))
        stayers, cost = words.percent(self.stayers_taking), words.money(self.contact_cost, schema.currency)
        told = [
            Assumed(words.say("assume acceptance"), share, words.say("assume acceptance means", share=share, likely=likely)),
            Assumed(words.say("assume stayers"), stayers, words.say("assume stayers means", share=stayers)),
            Assumed(words.say("assume contact"), cost, words.say("assume contact means", cost=cost)),
        ]
        if schema.money is None:
            return tuple(told)
        if schema.money.period == "once":
            told.append(Assumed(words.say("assume value"), words.say("assume value once"), words.say("assume value once means")))
        else:
            months = f"{self.value_months:g} {words.plural('month', self.value_months)}"
            told.append(Assumed(words.say("assume value"), months, words.say("assume value means", months=months)))
        return tuple(told)


def customer_value(money: Floats | float | None, schema: Schema, assumptions: Assumptions) -> Floats | None:
    """V, what a customer is worth if kept: the money of a period times the periods that count.

    Parameters
    ----------
    money: float64 [...], what customers bring in, in the schema's currency and period; NaN where not known.

    Returns
    -------
    float64 of the same shape, NaN where the money is not known; None where the schema has no money: nothing is made up.
    """
    if schema.money is None or money is None:
        return None
    return np.asarray(np.asarray(money, dtype=np.float64) * assumptions.periods(schema.money))


def offer_cost(risk: Floats | float, offer: float, assumptions: Assumptions) -> Floats:
    """What an offer costs on average, f + p·γ·d + (1 − p)·s·d, in the currency of `offer` (d); shape of `risk` (p, 0–1)."""
    p = np.asarray(risk, dtype=np.float64)
    taken = p * assumptions.acceptance + (1 - p) * assumptions.stayers_taking
    return np.asarray(assumptions.contact_cost + taken * offer)


def expected_value(risk: Floats | float, value: Floats | float, offer: float, assumptions: Assumptions) -> Floats:
    """EV of making an offer that costs `offer` (d) to customers of `risk` (p, 0–1) worth `value` (V); NaN where V is.

    >>> round(float(expected_value(0.5, 600.0, 60.0, Assumptions(3, 7, 0.5, 12, 1))), 2)  # .5 × (.3 × 540 − 1) − .5 × (30 + 1)
    65.0
    """
    a = assumptions
    gained = np.asarray(value, dtype=np.float64) * a.acceptance  # as the last formula above: of a million, every step is memory
    gained += (a.stayers_taking - a.acceptance) * offer
    worth = np.asarray(gained * np.asarray(risk, dtype=np.float64))
    worth -= a.stayers_taking * offer + a.contact_cost
    return worth


def break_even(value: Floats | float, offer: float, assumptions: Assumptions) -> Floats:
    """p*, the risk from which an offer is worth making; above 1 (or infinite) where it never is, NaN where V is not known."""
    v = np.asarray(value, dtype=np.float64)
    lost = assumptions.stayers_taking * offer + assumptions.contact_cost
    gained = assumptions.acceptance * (v - offer) + assumptions.stayers_taking * offer
    never = np.where(np.isnan(v), np.nan, np.inf)
    with np.errstate(over="ignore"):  # beyond what a float holds is never, too
        return np.asarray(np.where(gained > 0, lost / np.where(gained > 0, gained, 1.0), never))


def best_first(worth: Floats, most: int | None = None) -> NDArray[np.int64]:
    """The order [n] of customers by worth [n], the best first, equals in their own order, NaN last; of the first `most` only.

    What `argsort(-worth, kind="stable")` gives, in a third of its time for a million: by radix, in two halves of the worth as
    32 bits, and then exactly among those that are the same as 32 bits.
    """
    key = _as_bits(worth)
    if most is not None and most < len(worth):
        can = np.flatnonzero(key <= np.partition(key, most)[most])
        return can[best_first(worth[can])[:most]]
    low = np.argsort(key.astype(np.uint16), kind="stable")
    order = low[np.argsort((key >> 16).astype(np.uint16)[low], kind="stable")]
    same = np.diff(key[order]) == 0
    alike = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    who = order[alike]
    order[alike] = who[np.lexsort((who, -worth[who]))]
    return order


def steps(worth: Floats) -> NDArray[np.uint16]:
    """Where customers [n] stand by worth [n]: rising from the best to the worst, `NO_STEP` where it is NaN.

    Up to 65,535 customers have a step each, equals in their own order. Of more, those are on one step whose worth is alike to a
    part in 128, and nobody who is worth more than nothing, to single precision, is on a step with somebody who is not.
    """
    if len(worth) > NO_STEP:
        return (_as_bits(worth) >> 16).astype(np.uint16)
    found = np.full(len(worth), NO_STEP, dtype=np.uint16)
    order = best_first(worth)[: np.count_nonzero(~np.isnan(worth))]
    found[order] = np.arange(len(order), dtype=np.uint16)
    return found


def _as_bits(worth: Floats) -> NDArray[np.uint32]:
    """Whole numbers that rise from the best to the worst, by the worth in single precision; NaN last."""
    bits = (0.0 - worth).astype(np.float32).view(np.uint32)  # both zeros are one
    key = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))  # numbers in the order of floats
    key[np.isnan(worth)] = np.iinfo(np.uint32).max
    return key


def expected_value_sql(schema: Schema, offer: float, assumptions: Assumptions) -> str | None:
    """The same as SQL over a snapshot's columns `p` (risk) and `v` (money of a period); None where the schema has no money."""
    if schema.money is None:
        return None
    a, d = assumptions, float(offer)
    worth = f"v * {a.periods(schema.money)!r}"
    return (
        f"(p * ({a.acceptance!r} * ({worth} - {d!r}) - {float(a.contact_cost)!r})"
        f" - (1 - p) * {float(a.stayers_taking * d + a.contact_cost)!r})"
    )

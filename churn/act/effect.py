"""What calling changed: the share that left among those called against those kept uncalled at random, and how sure that is.

Everything is by intention to treat: whoever was to be called counts as called, reached or not, for only so are the arms alike.
A *difference* is the share that left of those held out less that of those called: above 0, fewer left among those called.

- Its interval is Newcombe's (1998, Statistics in Medicine 17:873, method 10): each share's Wilson interval, put together. It
  holds what it promises at small numbers and at shares near 0, where the usual one does not.
- Where the arms were drawn within strata, as a holdout is within risk bands, the difference is the strata's average by their
  size, and only what is chance within them widens the interval: each share's Wilson interval takes the sample size at which a
  plain share would be as unsure (as Korn and Graubard 1998, Survey Methodology 24:193, do for surveys).
- Power is that of the two-sided test of two shares without continuity correction (Fleiss 1981, Statistical Methods for Rates
  and Proportions, section 3.2; also R's `power.prop.test`), for arms of any size.
- `level` is everywhere the chance of a claim where there is nothing to claim: an interval holds 1 − level of the time.

Looking again and again until something shows makes claims out of chance. So a result is read when as many outcomes are known as
the plan needed, or all that there will be (`Progress.enough`), and not before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from churn.base.value import Interval
from churn.errors import DataError

LEVEL: Final = 0.05
POWER: Final = 0.8
# Below this chance the sizes of the arms are no accident (Fabijan et al. 2019, KDD, on sample ratio mismatch).
MISMATCH: Final = 0.001
_ENOUGH: Final = 10  # customers of an arm in a stratum
_NORMAL: Final = NormalDist()
_GRID: Final = 800  # steps of γ and of the risk over which the posterior is summed


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of a campaign: `left` of `customers` whose outcome is known."""

    left: int
    customers: int

    def __post_init__(self) -> None:
        if not 0 <= self.left <= self.customers:
            raise DataError(f"of {self.customers} customers of an arm, from 0 to {self.customers} can have left, not {self.left}")

    @property
    def share(self) -> float | None:
        """The share that left; None for nobody."""
        return self.left / self.customers if self.customers else None

    def interval(self, level: float = LEVEL) -> Interval:
        """Where the share likely lies (Wilson 1927): to draw beside the dot."""
        return Interval(*_wilson(self.left / self.customers, self.customers, level)) if self.customers else Interval(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Effect:
    """What calling changed: `difference` and its `interval` as shares, 0.06 for six points; None where an arm is empty."""

    called: Arm
    held: Arm
    difference: float | None
    interval: Interval
    level: float

    @property
    def told(self) -> bool:
        """Whether the interval leaves no doubt about the direction."""
        return self.difference is not None and (self.interval.low > 0 or self.interval.high < 0)

    @property
    def saves(self) -> float | None:
        """How many of those called stayed who would have left: the difference times those called."""
        return None if self.difference is None else self.difference * self.called.customers

    @property
    def saves_interval(self) -> Interval:
        return Interval(self.interval.low * self.called.customers, self.interval.high * self.called.customers)


@dataclass(frozen=True, slots=True)
class Money:
    """What calling brought in all, in the currency of the values, less what it cost; and where that likely lies."""

    worth: float
    interval: Interval
    cost: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a campaign is: `known` outcomes of `members`, `needed` to tell the planned effect.

    `more`: how many are missing, of the `reachable` ones; `day`: when they should be there, None where nobody can say. A campaign
    too small for its plan has `needed` above `members`, and is read when all outcomes are known.
    """

    known: int
    members: int
    needed: int | None
    more: int
    day: date | None

    @property
    def enough(self) -> bool:
        """Whether the result may be read."""
        return self.more == 0

    @property
    def too_small(self) -> bool:
        """Whether even all outcomes are fewer than the plan needs."""
        return self.needed is None or self.needed > self.members


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Whether the arms have the sizes they were drawn with: `held` of `customers` where `expected` were planned."""

    held: int
    customers: int
    expected: float
    chi_square: float
    chance: float

    @property
    def found(self) -> bool:
        """Whether the difference is too large for chance: then something was lost on the way, and the result is in doubt."""
        return self.chance < MISMATCH


# -- the difference --------------------------------------------------------------


def newcombe(first_left: int, first: int, second_left: int, second: int, level: float = LEVEL) -> Interval:
    """The interval of first_left/first − second_left/second (Newcombe 1998, method 10); −1 to 1 where one of them is empty.

    >>> found = newcombe(56, 70, 48, 80)
    >>> round(found.low, 4), round(found.high, 4)
    (0.0524, 0.3339)
    """
    if not first or not second:
        return Interval(-1.0, 1.0)
    return _put_together((first_left / first, first), (second_left / second, second), level)


def intention_to_treat(called_left: int, called: int, held_left: int, held: int, level: float = LEVEL) -> Effect:
    """The effect of a campaign from its counts of known outcomes. Raises DataError where more left than there were."""
    arms = Arm(called_left, called), Arm(held_left, held)
    shares = arms[1].share, arms[0].share
    difference = None if shares[0] is None or shares[1] is None else shares[0] - shares[1]
    return Effect(*arms, difference, newcombe(held_left, held, called_left, called, level), level)


def stratified(counts: Sequence[tuple[int, int, int, int]], level: float = LEVEL) -> Effect:
    """The effect of a campaign whose arms were drawn within strata.

    Parameters
    ----------
    counts: of each stratum, as `intention_to_treat` has them. Those of whom too few are in an arm are put together.
    """
    called_left, called, held_left, held = (sum(one[place] for one in counts) for place in range(4))
    whole = intention_to_treat(called_left, called, held_left, held, level)
    table = np.array(_large_enough(counts), dtype=np.float64)
    if whole.difference is None or len(table) < 2:
        return whole
    share = (table[:, 1] + table[:, 3]) / (table[:, 1] + table[:, 3]).sum()
    ours, theirs = (_weighed(share, table[:, place], table[:, place + 1]) for place in (0, 2))
    return Effect(whole.called, whole.held, theirs[0] - ours[0], _put_together(theirs, ours, level), level)


def by_segment(counts: Sequence[tuple[int, int, int, int]], level: float = LEVEL) -> tuple[Effect, ...]:
    """The effect in each of several segments, whose intervals hold all together 1 − level of the time (Bonferroni).

    Of twenty segments one would otherwise seem to differ by chance alone. `counts`: as `intention_to_treat` has them.
    """
    return tuple(intention_to_treat(*one, level=level / max(len(counts), 1)) for one in counts)


def money(
    called: NDArray[np.float64],
    called_left: NDArray[np.bool_],
    held: NDArray[np.float64],
    held_left: NDArray[np.bool_],
    cost: float,
    level: float = LEVEL,
) -> Money | None:
    """What calling brought: the value kept for each one called, against those held out, times those called, less the cost.

    Parameters
    ----------
    called, held: what each customer is worth if kept (V), in the schema's currency; customers whose worth is not known do not
        count (NaN). called_left, held_left: whether each left; of the same lengths.
    cost: what the calls and the offers did cost in all.

    The interval is Welch's, with the normal law in place of Student's; the cost is taken as known. None where fewer than two of
    an arm have a value.
    """
    kept = [np.where(left, 0.0, worth)[~np.isnan(worth)] for worth, left in ((called, called_left), (held, held_left))]
    if min(len(one) for one in kept) < 2:
        return None
    n = len(kept[0])
    each = float(kept[0].mean() - kept[1].mean())
    spread = math.sqrt(sum(float(one.var(ddof=1)) / len(one) for one in kept))
    half = _z(level) * spread
    return Money(n * each - cost, Interval(n * (each - half) - cost, n * (each + half) - cost), cost)


# -- planning ----------------------------------------------------------------------


def power(called: int, held: int, base_rate: float, effect: float, level: float = LEVEL) -> float:
    """The chance that a campaign shows an effect that is there.

    Parameters
    ----------
    called, held: customers of the arms. base_rate: the share that leaves uncalled, 0–1. effect: by how much calling lowers that,
        a share; negative where it raises it.

    >>> round(power(50, 50, 0.75, 0.25), 3)
    0.74
    """
    p2, p1 = base_rate, base_rate - effect
    if not (0 <= p1 <= 1 and 0 <= p2 <= 1):
        raise DataError(f"a share that leaves of {base_rate:g}, less {effect:g}, must stay within 0 and 1")
    if not called or not held or not effect:
        return level if called and held else 0.0
    pooled = (called * p1 + held * p2) / (called + held)
    nothing = math.sqrt(pooled * (1 - pooled) * (1 / called + 1 / held))
    something = math.sqrt(p1 * (1 - p1) / called + p2 * (1 - p2) / held)
    over = abs(effect) - _z(level) * nothing
    if something == 0:  # from all to none: no chance is left
        return 1.0 if over > 0 else 0.0
    return _NORMAL.cdf(over / something)


def sample_size(base_rate: float, effect: float, *, share_held: float = 0.5, power: float = POWER, level: float = LEVEL) -> float:
    """How many customers, both arms together, a campaign needs to show an effect with this power; not rounded.

    Twice the published size of one arm where half of them are held out. Raises DataError for shares outside their limits.

    >>> round(sample_size(0.75, 0.25, power=0.9) / 2, 1)
    76.7
    """
    p2, p1 = base_rate, base_rate - effect
    if not (0 <= p1 <= 1 and 0 <= p2 <= 1 and effect):
        raise DataError(f"an effect of {effect:g} on a share that leaves of {base_rate:g} cannot be planned for")
    if not 0 < share_held < 1:
        raise DataError(f"the share held out must be between 0 and 1, not {share_held:g}")
    h = share_held
    pooled = (1 - h) * p1 + h * p2
    nothing = _z(level) * math.sqrt(pooled * (1 - pooled) * (1 / (1 - h) + 1 / h))
    something = _NORMAL.inv_cdf(power) * math.sqrt(p1 * (1 - p1) / (1 - h) + p2 * (1 - p2) / h)
    return ((nothing + something) / effect) ** 2


def minimum_detectable(n_called: int, n_held: int, base_rate: float, power: float = POWER, level: float = LEVEL) -> float | None:
    """The smallest lowering of the share that leaves which a campaign of this size would show with this power.

    A share, 0.04 for "can tell four points or more"; None where it could not even tell if nobody called left any more.
    """
    if not (n_called and n_held) or base_rate <= 0 or _power(n_called, n_held, base_rate, base_rate, level) < power:
        return None
    low, high = 0.0, base_rate
    for _ in range(60):  # halving a share of at most 1 sixty times ends far below what a float tells apart on screen
        middle = (low + high) / 2
        if _power(n_called, n_held, base_rate, middle, level) < power:
            low = middle
        else:
            high = middle
    return high


def progress(
    known: int,
    members: int,
    *,
    base_rate: float,
    effect: float,
    share_held: float,
    today: date,
    per_day: float = 0.0,
    last_day: date | None = None,
    power: float = POWER,
    level: float = LEVEL,
) -> Progress:
    """How many more outcomes a campaign needs before it may be read, and about when they are there.

    Parameters
    ----------
    known: outcomes known so far, of `members` in both arms. base_rate, effect: what was planned for, as in `sample_size`.
    share_held: of the members. per_day: how many outcomes became known a day of late. last_day: when all are known at the latest,
        one horizon after the campaign began.
    """
    plannable = 0 < effect <= base_rate <= 1 and 0 < share_held < 1
    needed = None
    if plannable:
        needed = math.ceil(sample_size(base_rate, effect, share_held=share_held, power=power, level=level))
    more = max(min(needed if needed is not None else members, members) - known, 0)
    days = [] if not last_day else [max(last_day, today)]
    if per_day > 0 and more / per_day < 36_500:
        days.append(today + timedelta(days=math.ceil(more / per_day)))
    return Progress(known, members, needed, more, min(days) if days and more else None)


def mismatch(called: int, held: int, share_held: float) -> Mismatch:
    """Whether the arms are as large as they were drawn, by the chi-square test of one share (1 degree of freedom).

    A share of 0 or 1 has nothing to be compared with: the chance is then 1.
    """
    n = called + held
    expected = n * share_held
    if not n or not 0 < share_held < 1:
        return Mismatch(held, n, expected, 0.0, 1.0)
    square = (held - expected) ** 2 / expected + (called - (n - expected)) ** 2 / (n - expected)
    return Mismatch(held, n, expected, square, math.erfc(math.sqrt(square / 2)))


def measured_acceptance(effect: Effect, alpha: float, beta: float) -> tuple[float, float]:
    """What a finished campaign says about γ, the share of leavers an offer keeps, as the α and β of a Beta law.

    Of those called, (1 − γ) of the leavers still leave: with the risk p uncalled, `called.left` is binomial with p·(1 − γ), and
    `held.left` with p. Before, γ is Beta(alpha, beta), as assumed, and p anything (uniform); the posterior of γ is summed over a
    grid of both, and given as the Beta law of the same mean and variance.

    A campaign that did harm cannot be said by a γ from 0 to 1: its law then crowds at 0.
    """
    called, held = effect.called, effect.held
    middle = (np.arange(_GRID) + 0.5) / _GRID
    around = (held.left + 1) / (held.customers + 2)
    reach = 8 * math.sqrt(around * (1 - around) / (held.customers + 3))  # the grid lies where p can be, however large the arms
    lowest, highest = max(around - reach, 0.0), min(around + reach, 1.0)
    gamma, risk = middle[:, None], (lowest + (highest - lowest) * middle)[None, :]
    still = risk * (1 - gamma)
    likely = (
        (alpha - 1) * np.log(gamma)
        + (beta - 1) * np.log1p(-gamma)
        + called.left * np.log(still)
        + (called.customers - called.left) * np.log1p(-still)
        + held.left * np.log(risk)
        + (held.customers - held.left) * np.log1p(-risk)
    )
    weight = np.exp(likely - likely.max()).sum(axis=1)
    weight /= weight.sum()
    mean = float(weight @ middle)
    variance = float(weight @ (middle - mean) ** 2)
    strength = mean * (1 - mean) / max(variance, 1e-9) - 1
    return mean * strength, (1 - mean) * strength


# -- inside --------------------------------------------------------------------


_power = power  # where a parameter has the function's name


def _z(level: float) -> float:
    if not 0 < level < 1:
        raise DataError(f"a level must be between 0 and 1, not {level:g}")
    return _NORMAL.inv_cdf(1 - level / 2)


def _wilson(p: float, n: float, level: float) -> tuple[float, float]:
    """Wilson's interval (1927, JASA 22:209) of a share p of n, without continuity correction."""
    z = _z(level)
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max((middle - half) / scale, 0.0), min((middle + half) / scale, 1.0)


def _put_together(first: tuple[float, float], second: tuple[float, float], level: float) -> Interval:
    """Newcombe's interval of the first share less the second, each with the size of its sample."""
    (p1, n1), (p2, n2) = first, second
    (l1, u1), (l2, u2) = _wilson(p1, n1, level), _wilson(p2, n2, level)
    low, high = p1 - p2 - math.hypot(p1 - l1, u2 - p2), p1 - p2 + math.hypot(u1 - p1, p2 - l2)
    return Interval(max(low, -1.0), min(high, 1.0))


def _large_enough(counts: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """The strata, the smallest put together until each has enough in both arms."""
    kept = sorted(((a, b, c, d) for a, b, c, d in counts if b + d), key=lambda one: min(one[1], one[3]))
    while len(kept) > 1 and min(kept[0][1], kept[0][3]) < _ENOUGH:
        a, b = kept[0], kept[1]
        kept = sorted([(a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]), *kept[2:]], key=lambda one: min(one[1], one[3]))
    return kept


def _weighed(share: NDArray[np.float64], left: NDArray[np.float64], customers: NDArray[np.float64]) -> tuple[float, float]:
    """The strata's average share of an arm, and the size of a plain sample that would be as unsure of it.

    A stratum in which nobody left, or all did, is not sure of it: its variance is taken at (left + 1) / (customers + 2).
    """
    p = float(share @ (left / customers))
    near = (left + 1) / (customers + 2)
    variance = float((share**2 * near * (1 - near) / customers).sum())
    middle = float(share @ near)
    return p, middle * (1 - middle) / variance

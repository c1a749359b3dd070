"""Whom calling changes: rankings judged on a randomised campaign by how many stayed who would have left.

A ranking is judged on customers whose arm was drawn by chance. Among the first of it, up to a share φ of all, `L` of `N` left in
each arm; the *gain* is (Radcliffe 2007, Direct Marketing Analytics Journal 1:14, the Qini curve; counted by who left, which is
the same as by who stayed)

    g(φ) = (L_held(φ) · N_called(φ) / N_held(φ) − L_called(φ)) / N_called(1)

customers kept for each one called of the whole campaign. It ends at the campaign's own effect; calling in a random order follows
the straight line there. The *Qini coefficient* is the area between the curve and that line: 0 for a random order, not bounded by
1. Customers of the same score are one step: their order says nothing. Up to the first step with both arms the curve is a line.

Intervals are by the bootstrap of customers within arms, the same draws for every ranking, so that rankings are compared pair by
pair. A learnt ranking is cross-fitted, and folds that are judged by models of each other do not vary on their own: where there is
nothing to learn, Σₖ⟨a₋ₖ, aₖ⟩ over what the folds show by chance counts each pair of them twice, which has twice the variance that
the bootstrap sees with scores held fixed. So to the variance of every figure that of what is learnt in it is added once more: the
interval of a learnt coefficient is √2 as wide. Where much is learnt that is too wide.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from churn import words
from churn.base.value import Interval
from churn.errors import DataError, NotInStore, StoreDamaged
from churn.model.store import Store

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Verdict = Literal["better", "no better", "open"]

PREFIX: Final = "uplift"
COMPARISON: Final = "comparison.json"
CALLED, HELD, EFFECT = "called", "held", "effect"  # the bundles beside it: risk if called, if not, and by how much that is lower
RISK, WORTH, TWO_MODELS, TRANSFORMED = "risk", "expected value", "two models", "transformed outcome"
UPLIFTS: Final = (TWO_MODELS, TRANSFORMED)
DRAWS: Final = 500
LEVEL: Final = 0.05
SHARES: Final = tuple(round(step / 10, 1) for step in range(1, 11))
_HALF: Final = 0.5  # of the campaign: where a sentence compares rankings
_SHOWN: Final = 51  # points of a curve that are kept
# An area that is less than this part of what calling everybody in a random order has is no reason to rank otherwise.
_WORTHWHILE: Final = 0.1


@dataclass(frozen=True, eq=False, slots=True)
class Trial:
    """The customers of a campaign whose outcome is known: `called`, or else held out, and `left`; bool [n].

    Raises DataError where the lengths differ or an arm is empty.
    """

    called: Flags
    left: Flags

    def __post_init__(self) -> None:
        if len(self.called) != len(self.left):
            raise DataError(f"every customer has an arm and an outcome; there are {len(self.called)} and {len(self.left)}")
        if not self.called.any() or self.called.all():
            raise DataError("a ranking is judged by comparing arms; one of them has nobody")

    @property
    def customers(self) -> int:
        return len(self.called)


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """The gain [k] at shares [k] of all customers, both from 0, one step for each score; `shares` ends at 1."""

    shares: Floats
    gain: Floats

    @property
    def effect(self) -> float:
        """The gain of calling everybody, which is the difference between the arms."""
        return float(self.gain[-1])

    @property
    def qini(self) -> float:
        """The area between the curve and the line of a random order."""
        return float(np.trapezoid(self.gain, self.shares)) - self.effect / 2

    def at(self, shares: Floats | float) -> Floats:
        """The gain where the list ends at these shares; between two steps on the line between them."""
        return np.asarray(np.interp(shares, self.shares, self.gain))


@dataclass(frozen=True, slots=True)
class Ranking:
    """How one ranking did: its Qini coefficient, and the gain at `SHARES` of the campaign, each with its interval.

    `shares` and `gain`: the curve, thinned to draw. `against_risk`: how far its coefficient lies above that of risk, with an
    interval; None for risk itself.
    """

    name: str
    qini: float
    interval: Interval
    gains: tuple[float, ...]
    gain_intervals: tuple[Interval, ...]
    shares: tuple[float, ...]
    gain: tuple[float, ...]
    against_risk: float | None
    against_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rankings of one campaign side by side.

    `customers` with a known outcome, of whom `held` were held out and `left` left; `folds`: of the cross-fit. `best`: the uplift
    ranking that did better; `verdict`: whether it beats risk. `risks`: the lowest and the highest of its customers: of calling
    others it says nothing. `columns`: what its models need to know of a customer, each with its label. `models`: where in the
    store they are; empty before they are kept.
    """

    campaign: str
    name: str
    customers: int
    held: int
    left: int
    folds: int
    effect: float
    rankings: tuple[Ranking, ...]
    best: str
    verdict: Verdict
    risks: tuple[float, float]
    columns: Mapping[str, str]
    models: str = ""

    def ranking(self, name: str) -> Ranking:
        """One of them. Raises KeyError for a name that is none."""
        return {one.name: one for one in self.rankings}[name]

    def saves(self, name: str, share: float) -> float:
        """How many customers a list of this share of the campaign keeps, ranked so: the gain for everybody of it."""
        found = self.ranking(name)
        return float(np.interp(share, found.shares, found.gain)) * self.customers

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Comparison:
        """Raises ValueError, KeyError or TypeError for what is none."""
        document = json.loads(text)
        made = {
            "rankings": tuple(_ranking(one) for one in document["rankings"]),
            "risks": tuple(document["risks"]),
            "columns": dict(document["columns"]),
        }
        return cls(**{**document, **made})


# -- measuring -----------------------------------------------------------------


def curve(score: Floats, trial: Trial, weight: Floats | None = None) -> Curve:
    """The Qini curve of a ranking by `score` [n], the highest first.

    Parameters
    ----------
    weight: how often each customer counts [n]; once unless given. It must not leave an arm empty.

    Raises
    ------
    DataError: a score is missing, or there are not as many as customers.
    """
    return _Steps.of(score, trial).curve(np.ones(trial.customers) if weight is None else weight)


def compare(scores: Mapping[str, Floats], trial: Trial, *, draws: int = DRAWS, seed: int = 0) -> tuple[Ranking, ...]:
    """Judge several rankings, of which one is `risk`, on the same customers and the same bootstrap draws.

    Parameters
    ----------
    scores: name → score [n]. Those of `UPLIFTS` come from models that have not seen the customer (cross-fitted).

    Raises
    ------
    DataError: as `curve`, or none of them is `risk`.
    """
    if RISK not in scores:
        raise DataError(f"rankings are compared with that by {RISK!r}; there are {', '.join(scores) or 'none'}")
    steps = {name: _Steps.of(score, trial) for name, score in scores.items()}
    whole = {name: one.curve(np.ones(trial.customers)) for name, one in steps.items()}
    drawn = {name: np.empty((draws, 1 + len(SHARES))) for name in scores}
    rng = np.random.default_rng(seed)
    for draw in range(draws):
        weight = _drawn(trial, rng)
        for name, one in steps.items():
            found = one.curve(weight)
            drawn[name][draw] = found.qini, *found.at(np.array(SHARES))
    return tuple(_judged(name, found, whole[RISK], drawn[name], drawn[RISK]) for name, found in whole.items())


def judge(rankings: tuple[Ranking, ...], effect: float) -> tuple[str, Verdict]:
    """The uplift ranking with the larger coefficient, and whether it beats risk.

    *Better* where the interval of the difference lies above 0: with two rankings tried, each wrong upwards 1 time in 40, that is
    said of none that is no better at most 1 time in 20 (Bonferroni). *No better* where it rules out a worthwhile one, a tenth of
    the area that calling in a random order has; else it is *open*. `effect`: of the campaign, as a share.
    """
    best = max((one for one in rankings if one.name in UPLIFTS), key=lambda one: one.qini)
    assert best.against_interval is not None
    if best.against_interval.low > 0:
        return best.name, "better"
    if best.against_interval.high < _WORTHWHILE * abs(effect) / 2:
        return best.name, "no better"
    return best.name, "open"


def _judged(name: str, found: Curve, risk: Curve, drawn: Floats, of_risk: Floats) -> Ranking:
    """A ranking with its intervals; `drawn`, `of_risk`: coefficient and gains [draws, 1 + shares]."""
    area, gains = drawn[:, 0], drawn[:, 1:]
    learnt, shown = name in UPLIFTS, np.linspace(0, 1, _SHOWN)
    of_order = gains - gains[:, -1:] * SHARES  # the rest of a gain is the campaign's effect, which no order makes
    difference, apart = found.qini - risk.qini, area - of_risk[:, 0]
    return Ranking(
        name=name,
        qini=found.qini,
        interval=_around(found.qini, area, area if learnt else None),
        gains=tuple(map(float, found.at(np.array(SHARES)))),
        gain_intervals=tuple(
            _around(float(found.at(share)), gains[:, place], of_order[:, place] if learnt else None)
            for place, share in enumerate(SHARES)
        ),
        shares=tuple(map(float, shown)),
        gain=tuple(map(float, found.at(shown))),
        against_risk=None if name == RISK else difference,
        against_interval=None if name == RISK else _around(difference, apart, area if learnt else None),
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Steps:
    """A ranking made ready to be counted again and again: customers in its order, and where each score ends."""

    order: NDArray[np.intp]
    ends: NDArray[np.intp]
    called: Flags
    left: Flags

    @classmethod
    def of(cls, score: Floats, trial: Trial) -> _Steps:
        if len(score) != trial.customers:
            raise DataError(f"every customer of a ranking has a score; there are {trial.customers} and {len(score)}")
        if np.isnan(score).any():
            raise DataError(f"customer {int(np.isnan(score).argmax()) + 1} of {len(score)} has no score to be ranked by")
        order = np.argsort(-score, kind="stable")
        ordered = score[order]
        ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
        return cls(order, ends, trial.called[order], trial.left[order])

    def curve(self, weight: Floats) -> Curve:
        weight = weight[self.order]
        called, held = (np.cumsum(weight * arm)[self.ends] for arm in (self.called, ~self.called))
        gone, kept = (np.cumsum(weight * (arm & self.left))[self.ends] for arm in (self.called, ~self.called))
        both = (called > 0) & (held > 0)
        share = (called + held)[both] / (called[-1] + held[-1])
        gain = (kept[both] * called[both] / held[both] - gone[both]) / called[-1]
        return Curve(np.append(0.0, share), np.append(0.0, gain))


def _drawn(trial: Trial, rng: np.random.Generator) -> Floats:
    """How often each customer is in a bootstrap draw [n]; both arms keep their sizes."""
    weight = np.zeros(trial.customers)
    for arm in (trial.called, ~trial.called):
        size = int(arm.sum())
        weight[arm] = np.bincount(rng.integers(0, size, size), minlength=size)
    return weight


def _around(middle: float, drawn: Floats, learnt: Floats | None) -> Interval:
    """The interval of a figure from its draws, wider by as much variance again as those of what is `learnt` in it have."""
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
    seen = float(drawn.var())
    unseen = 0.0 if learnt is None else min(float(learnt.var()), seen)
    wide = math.sqrt(1 + unseen / seen) if seen else 1.0
    return Interval(float(middle + wide * (low - middle)), float(middle + wide * (high - middle)))


# -- in words ------------------------------------------------------------------


def in_words(found: Comparison) -> str:
    """Whether ranking by uplift beats ranking by risk, in a sentence."""
    ours, theirs = (words.count(max(round(found.saves(name, _HALF)), 0)) for name in (found.best, RISK))
    alike = " alike" if found.verdict == "open" and ours == theirs else ""
    return words.say(f"uplift {found.verdict}{alike}", name=found.name, ours=ours, theirs=theirs)


# -- in the store --------------------------------------------------------------


def latest(store: Store) -> Comparison | None:
    """The comparison that was made last, of whichever campaign; None where there is none. Raises as `read`."""
    found = [read(store, entry.key.split("/")[1]) for entry in store.list(f"{PREFIX}/") if entry.key.endswith(f"/{COMPARISON}")]
    return max((one for one in found if one is not None), key=lambda one: one.models.rpartition("/")[2], default=None)


def read(store: Store, campaign: str) -> Comparison | None:
    """The comparison of a campaign; None where none was made.

    Raises
    ------
    StoreDamaged: what lies there cannot be understood. StoreUnavailable: the store does not answer.
    """
    key = f"{PREFIX}/{campaign}/{COMPARISON}"
    try:
        data = store.read(key).data
    except NotInStore:
        return None
    try:
        return Comparison.from_json(data)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(f"{store.address}/{key} cannot be understood ({error}); run `churn campaign uplift` again") from error


def _ranking(document: dict[str, Any]) -> Ranking:
    def interval(one: Any) -> Interval | None:
        return None if one is None else Interval(**one)

    intervals = tuple(Interval(**one) for one in document["gain_intervals"])
    return Ranking(
        **{
            **document,
            "interval": interval(document["interval"]),
            "against_interval": interval(document["against_interval"]),
            "gain_intervals": intervals,
            **{name: tuple(document[name]) for name in ("gains", "shares", "gain")},
        }
    )

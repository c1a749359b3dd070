"""One customer's risk in words: what it is associated with, in points that add up to the number on the screen.

The points come from the model (`Explanation`); here they become sentences and the steps of the waterfall. What is printed
adds up too: points are rounded together, by largest remainder, and every text takes its number from that one rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, groupby
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from churn import words
from churn.data.schema import Feature, Schema
from churn.model.risk_model import in_hundredths

Direction = Literal["raises", "lowers", "neither"]
_TOLD = 3  # reasons in the sentence under the title
SHOWN = 8  # facts with a bar of their own; the rest is one step


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual in one column: the median of a number; the most frequent level of a category and its share (0–1)."""

    value: float | str | None
    share: float | None = None


@dataclass(frozen=True)
class Typical:
    """What is usual in every column, from the model's reference sample."""

    usual: Mapping[str, Usual]

    @classmethod
    def of(cls, reference: pl.DataFrame, schema: Schema) -> Typical:
        """Medians and most frequent levels of a conformed table; columns it does not have are left out."""
        return cls({f.name: _usual(reference[f.name], f) for f in schema.features if f.name in reference.columns})

    def __getitem__(self, name: str) -> Usual:
        return self.usual.get(name, Usual(None))


def _usual(column: pl.Series, feature: Feature) -> Usual:
    known = column.drop_nulls()
    if known.is_empty():
        return Usual(None)
    if feature.is_number:
        return Usual(float(np.median(known.to_numpy())))
    counts = known.value_counts(sort=True)
    top = counts.filter(pl.col("count") == counts["count"][0])[feature.name].cast(pl.String).sort()[0]
    return Usual(str(top), float(counts["count"][0]) / len(column))


@dataclass(frozen=True, slots=True)
class Reason:
    """One fact about a customer and the points of risk it goes with.

    `fact` reads within a sentence ("only 1 month as a customer"); `words` is the whole line ("Only 1 month as a customer
    (half have 29 or more): +25 points"); `points` is on the 0–1 scale, `printed_points` whole; `usual` says what others
    have, empty where nothing is known; `actionable` whether an edit can change it; `others` are further columns that the line
    speaks for: what followed from an edit alike is told once ("6 facts that go with the change: No internet service").
    """

    feature: str
    label: str
    value: str
    fact: str
    words: str
    points: float
    printed_points: int
    direction: Direction
    actionable: bool
    usual: str
    others: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """All columns that the line speaks for."""
        return (self.feature, *self.others)

    @property
    def ambiguous(self) -> bool:
        """Whether the fact does not name its column, so that another one may read the same: "no internet service"."""
        return self.label.lower() not in self.fact.lower()


@dataclass(frozen=True, slots=True)
class Step:
    """One bar of the waterfall. `features` are the columns behind it: one, several that followed alike, or all the others."""

    features: tuple[str, ...]
    label: str
    value: str
    points: float
    printed: int
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The way from a typical customer's risk to this one's: `typical` + the steps' points = `risk` (0–1)."""

    typical: float
    risk: float
    steps: tuple[Step, ...]
    edited: bool = False


@dataclass(frozen=True)
class Account:
    """One customer's risk (0–1), a typical customer's, and every reason, the largest first.

    The first `shown` of the `lines` have a bar of their own; `edited` are the columns changed in a what-if, `alike` sets of those
    that followed from it and have one value, each in one piece among the reasons.
    """

    risk: float
    typical: float
    reasons: tuple[Reason, ...]
    shown: int
    edited: frozenset[str] = frozenset()
    alike: tuple[frozenset[str], ...] = ()

    def title(self, who: str) -> str:
        """`8473-VUVJN: 87% risk of leaving, 70 points above a typical customer`."""
        apart = words.whole_percent(self.risk) - words.whole_percent(self.typical)
        risk = words.percent(self.risk)
        if apart == 0:
            return words.say("risk title same", who=who, risk=risk)
        side = words.say("above" if apart > 0 else "below")
        return words.say("risk title", who=who, risk=risk, points=words.points(abs(apart) / 100, signed=False), side=side)

    @cached_property
    def lines(self) -> tuple[Reason, ...]:
        """The reasons as they are told: those `alike` in one line, with all their points."""
        piece = {name: min(names) for names in self.alike for name in names}
        found = (list(together) for _, together in groupby(self.reasons, lambda one: piece.get(one.feature, one.feature)))
        return tuple(_at_once(reasons) for reasons in found)

    @property
    def told(self) -> tuple[Reason, ...]:
        """The lines that `sentence` tells: the largest three whose points print as anything."""
        return tuple(reason for reason in self.lines if reason.printed_points)[:_TOLD]

    def sentence(self, most: int = _TOLD, *, markdown: bool = False) -> str:
        """`Most associated with it: only 1 month as a customer (+25 points), … and fibre internet (+7).`

        With `markdown`, facts are bold and data in them is escaped.
        """
        told = self.told[:most]
        if not told:
            return words.say("reasons none")
        parts = []
        for i, reason in enumerate(told):
            fact = f"**{words.escape_markdown(reason.fact)}**" if markdown else reason.fact
            number = words.points(reason.printed_points / 100, unit=i == 0)
            parts.append(words.say("reason inline", fact=fact, points=number))
        return words.say("reasons", reasons=words.sentence_list(parts)) + "."

    @cached_property
    def waterfall(self) -> Waterfall:
        """The steps from a typical customer to this one, "11 other facts" last."""
        own, rest = self.lines[: self.shown], self.lines[self.shown :]
        steps = [
            Step(r.features, r.label, r.value, r.points, r.printed_points, not self.edited.isdisjoint(r.features)) for r in own
        ]
        steps = _within_bounds(steps, self.typical)
        if rest:
            names = tuple(name for reason in rest for name in reason.features)
            label = words.say("other fact" if len(names) == 1 else "other facts", count=words.count(len(names)))
            steps.append(Step(names, label, "", sum(r.points for r in rest), sum(r.printed_points for r in rest)))
        return Waterfall(self.typical, self.risk, tuple(steps), bool(self.edited))


def _at_once(reasons: Sequence[Reason]) -> Reason:
    """One line for columns that followed from an edit alike; a reason by itself stays as it is."""
    first = reasons[0]
    if len(reasons) == 1:
        return first
    points, printed = sum(one.points for one in reasons), sum(one.printed_points for one in reasons)
    label = words.say("facts alike", count=words.count(len(reasons)))
    fact = words.say("fact", label=label, value=first.value)
    return replace(
        first,
        label=label,
        fact=fact,
        words=words.say("reason", fact=words.capital(fact), points=words.points(printed / 100)),
        points=points,
        printed_points=printed,
        direction=_direction(points),
        actionable=any(one.actionable for one in reasons),
        usual="",
        others=tuple(one.feature for one in reasons[1:]),
    )


def _within_bounds(steps: list[Step], start: float) -> list[Step]:
    """The steps by size; where the way would lead below 0 the raising ones first, where above 1 the lowering ones.

    No order helps where there is too much of both; then they stay by size.
    """
    up, down = [step for step in steps if step.points > 0], [step for step in steps if step.points <= 0]

    def inside(order: Sequence[Step]) -> bool:
        way = list(accumulate((step.points for step in order), initial=start))
        return min(way) >= 0 and max(way) <= 1

    return next((order for order in (steps, [*up, *down], [*down, *up]) if inside(order)), steps)


def account(
    values: Mapping[str, Any],
    points: Sequence[float] | np.ndarray,
    *,
    risk: float,
    typical_risk: float,
    schema: Schema,
    typical: Typical,
    edited: Collection[str] = (),
    asked: Collection[str] | None = None,
    shown: int = SHOWN,
) -> Account:
    """Put one row of an explanation in words.

    Parameters
    ----------
    values: the customer's row, column → value (numbers float, levels text, missing None).
    points: float64 [features], in the schema's order, 0–1 scale; `typical_risk` + their sum is `risk`.
    edited: columns changed in a what-if. asked: those of them somebody changed, the others followed from it (left out: all of
        them); they keep a bar of their own however small, while what followed has one only where it is large enough.
    shown: how many facts have a bar of their own.
    """
    features = schema.features
    sizes = np.array(points, dtype=np.float64)
    hundredths = in_hundredths(sizes[None])
    pieces = _pieces(values, edited, edited if asked is None else asked, schema)
    together = np.add.reduceat(hundredths[[i for piece in pieces for i in piece]], np.cumsum([0, *map(len, pieces[:-1])]))
    order = [int(i) for i in _order(together)[:, 0]]
    if len(order) > shown + 1:  # one line left over gets its own bar; a step named "1 other fact" would hide it
        kept = [i for i in order if features[pieces[i][0]].name in (edited if asked is None else asked)]
        own = set(kept + [i for i in order if i not in set(kept)][: max(shown - len(kept), 0)])
        order = [i for i in order if i in own] + [i for i in order if i not in own]
        shown = len(own)
    else:
        shown = len(order)
    total = words.whole_percent(risk) - words.whole_percent(typical_risk)
    places: list[int] = []
    printed: list[int] = []
    for i, number in zip(order, _printed(together[order], shown, np.array([total])), strict=True):
        places += pieces[i]
        each = _largest_remainder(hundredths[pieces[i]], number)[:, 0] if len(pieces[i]) > 1 else number
        printed += [int(whole) for whole in each]
    can_change = actionable(schema)

    def told(i: int, number: int, *, named: bool = False) -> Reason:
        value = values.get(features[i].name)
        return reason(features[i], value, float(sizes[i]), schema, typical, printed=number, editable=can_change, named=named)

    reasons = [told(i, number) for i, number in zip(places, printed, strict=True)]
    often = Counter(one.fact for one in reasons)
    for place, one in enumerate(reasons):  # six services that all say "no internet service" are told apart by name
        if often[one.fact] > 1 and one.ambiguous:
            reasons[place] = told(places[place], printed[place], named=True)
    alike = tuple(frozenset(features[i].name for i in piece) for piece in pieces if len(piece) > 1)
    return Account(float(risk), float(typical_risk), tuple(reasons), shown, frozenset(edited), alike)


def _pieces(values: Mapping[str, Any], edited: Collection[str], asked: Collection[str], schema: Schema) -> list[list[int]]:
    """The places of the features that are told in one line: those that followed from an edit and are the same level."""
    pieces: dict[str, list[int]] = {}
    for place, feature in enumerate(schema.features):
        followed = feature.name in edited and feature.name not in asked and not feature.is_number
        level = f"level {words.quantity(values.get(feature.name), feature, schema)}" if followed else f"column {place}"
        pieces.setdefault(level, []).append(place)
    return list(pieces.values())


Whole = npt.NDArray[np.int64]


def ranked(
    hundredths: npt.NDArray[np.int32], risk: npt.NDArray[np.float64], typical_risk: float, most: int
) -> tuple[Whole, Whole]:
    """The reasons that `account` puts first, for many customers at once: which, and the whole points printed with each.

    Parameters
    ----------
    hundredths: of a point, [features, customers] (`in_hundredths`). risk: 0–1, [customers].

    Returns
    -------
    The place of the feature in the schema, −1 where no further one has any points, and its whole points; int64 [most, customers].
    """
    order = _order(hundredths)
    features = len(order)
    ordered = np.take_along_axis(hundredths, order, axis=0)
    shown = SHOWN if features > SHOWN + 1 else features
    totals = _whole_percents(risk) - words.whole_percent(typical_risk)
    printed = _printed(ordered, shown, totals)[:most]
    return np.where(ordered[:most] != 0, order[:most], -1), printed


def _order(hundredths: npt.NDArray[np.int32]) -> npt.NDArray[np.intp]:
    """The largest first, of equals the first in the schema."""
    return np.argsort(-np.abs(hundredths), axis=0, kind="stable")


def _printed(hundredths: npt.NDArray[np.int32], shown: int, totals: Whole) -> Whole:
    """Whole points that add up at both levels: the bars to the total, the other facts to their one bar. [facts, customers]."""
    own, rest = hundredths[:shown], hundredths[shown:]
    if not len(rest):
        return _largest_remainder(own, totals)
    bars = _largest_remainder(np.concatenate([own, rest.sum(axis=0, keepdims=True)]), totals)
    return np.concatenate([bars[:-1], _largest_remainder(rest, bars[-1])])


def _largest_remainder(hundredths: npt.NDArray[Any], totals: Whole) -> Whole:
    """`words.largest_remainder` for many customers at once, in whole hundredths: no tie hangs on a float's last bit."""
    whole = hundredths.astype(np.int64)
    floors = whole // 100
    each, left = np.divmod(totals - floors.sum(axis=0), len(whole))
    size = np.abs(whole)
    order = np.lexsort((np.where(each >= 0, -size, size), floors * 100 - whole), axis=0)  # stable: the first of equals
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(len(whole))[:, None], axis=0)
    result: Whole = floors + each + (place < left)
    return result


def _whole_percents(risk: npt.NDArray[np.float64]) -> Whole:
    """`words.whole_percent` of each; only what lies next to a half is rounded digit by digit."""
    scaled = 100 * risk
    found = np.floor(scaled + 0.5).astype(np.int64)
    found[(risk > 0) & (risk < 0.01)] = 0
    for i in np.flatnonzero(np.abs(scaled - np.floor(scaled) - 0.5) < 1e-9):
        found[i] = words.whole_percent(float(risk[i]))
    return found


def reason(
    feature: Feature,
    value: Any,
    points: float,
    schema: Schema,
    typical: Typical,
    *,
    printed: int | None = None,
    editable: Collection[str] | None = None,
    named: bool = False,
) -> Reason:
    """One fact with its points (0–1 scale) in words.

    `printed`: whole points, where they were rounded together with others; `editable`: `actionable(schema)`, if at hand;
    `named`: say the column's label with the value, where the usual phrase would not tell it from another.
    """
    usual = typical[feature.name]
    below = _side(value, usual, feature)
    only = below < 0 and 0 < float(value) <= 0.5 * float(usual.value or 0)
    shown = words.quantity(value, feature, schema)
    label = words.lower_first(feature.label)
    fact = words.say("fact", label=label, value=shown) if named else words.phrase(value, feature, schema, only=only)
    usually = _usually(usual, below, value, feature, schema)
    # a high number that lowers the risk speaks for itself: "72 months as a customer: −8 points"
    told = feature.is_number and usually and (below < 0 or (below > 0 and points > 0))
    line = words.say("reason usual", fact=fact, usual=usually) if told else fact
    whole = int(words.rounded(100 * points)) if printed is None else printed
    return Reason(
        feature=feature.name,
        label=feature.label,
        value=shown,
        fact=fact,
        words=words.say("reason", fact=words.capital(line), points=words.points(whole / 100)),
        points=float(points),
        printed_points=whole,
        direction=_direction(points),
        actionable=feature.name in (actionable(schema) if editable is None else editable),
        usual=usually,
    )


def _direction(points: float) -> Direction:
    return "raises" if points > 0 else "lowers" if points < 0 else "neither"


def _side(value: Any, usual: Usual, feature: Feature) -> int:
    """Whether a number lies below (−1) or above (1) the median; 0 where it is neither or that is not known."""
    if not feature.is_number or words.is_nothing(value) or usual.value is None:
        return 0
    return int(np.sign(float(value) - float(usual.value)))


def _usually(usual: Usual, side: int, value: Any, feature: Feature, schema: Schema) -> str:
    if usual.value is None:
        return ""
    if feature.is_number:
        template = "half more" if side < 0 else "half less" if side > 0 else "usual number"
        return words.say(template, value=words.quantity(usual.value, feature, schema, unit=False))
    share = words.percent(usual.share)
    if value == usual.value:
        return words.say("usual as here", share=share)
    return words.say("usual level", value=words.quantity(usual.value, feature, schema), share=share)


def actionable(schema: Schema) -> frozenset[str]:
    """Columns an edit can change: editable ones, and what follows from them by a formula or a rule."""
    return frozenset(name for feature in schema.features if feature.editable for name in schema.follows[feature.name])

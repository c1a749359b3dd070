"""Which facts of a column raise the risk and which lower it, in words: *a month-to-month contract*, *low tenure*.

A group's first reason is known by its column and direction. Said by the column's name alone it can read as its opposite:
"raised by active member" where it is those who are none. So the column's points over the reference sample say what is meant: the
one or two levels whose points are positive (or negative) on average; of a number, its low or its high values, where the two go
together closely enough (Spearman's rank correlation, 1904). Where neither is so, the column's name has to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from churn import words
from churn.data.schema import Feature, Schema
from churn.model.risk_model import Floats, RiskModel

_TOGETHER = 0.7  # rank correlation from which a number's low or high values are what raises
_NAMED = 2  # levels that are named; of more, the column's name says it better


@dataclass(frozen=True, slots=True)
class Leaning:
    """What in a column raises the risk and what lowers it, as it reads within a sentence."""

    raises: str
    lowers: str

    def fact(self, raises: bool) -> str:
        return self.raises if raises else self.lowers


Leanings = Mapping[str, Leaning]


def leanings(model: RiskModel, reference: pl.DataFrame) -> Leanings:
    """Column → which of its facts lean which way, from the points of the reference sample [rows, features].

    A model whose reasons take long is not asked; its columns are told by their names.
    """
    schema = model.schema
    if not model.quick or reference.is_empty():
        return {feature.name: _by_name(feature) for feature in schema.features}
    points = model.explain(reference.select(schema.names)).points
    return {
        feature.name: _number(reference[feature.name], own, feature)
        if feature.is_number
        else _levels(reference[feature.name], own, feature, schema)
        for feature, own in zip(schema.features, points.T, strict=True)
    }


def _by_name(feature: Feature) -> Leaning:
    label = words.lower_first(feature.label)
    return Leaning(label, label)


def _number(values: pl.Series, points: Floats, feature: Feature) -> Leaning:
    known = values.is_not_null().to_numpy()
    if known.sum() < 2:
        return _by_name(feature)
    ranks = [pl.Series(side).rank().to_numpy() for side in (values.to_numpy()[known], points[known])]
    spread = [rank.std() for rank in ranks]
    together = float(np.corrcoef(ranks)[0, 1]) if min(spread) > 0 else 0.0
    if abs(together) < _TOGETHER:
        return _by_name(feature)
    label = words.lower_first(feature.label)
    low, high = words.say("low", label=label), words.say("high", label=label)
    return Leaning(high, low) if together > 0 else Leaning(low, high)


def _levels(values: pl.Series, points: Floats, feature: Feature, schema: Schema) -> Leaning:
    mean = pl.DataFrame({"level": values.cast(pl.String), "points": points}).group_by("level").agg(pl.col("points").mean())
    average = {str(level): float(size) for level, size in mean.drop_nulls("level").iter_rows()}
    sides = []
    for sign in (1, -1):
        leaning = [level.value for level in feature.levels if sign * average.get(level.value, 0.0) > 0]
        facts = [words.phrase(value, feature, schema) for value in sorted(leaning, key=lambda one: -sign * average[one])]
        sides.append(words.either(facts) if 0 < len(facts) <= _NAMED else words.lower_first(feature.label))
    return Leaning(*sides)

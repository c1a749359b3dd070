"""What would have to change: the smallest sets of edits of editable fields that bring one customer below a chosen risk.

Every row is made by the edit engine (*had it always been so*), so rules, derivations and ranges hold in it, and rows that no
real customer resembles are counted and left out. Sets are sought by number of edits, then by how far they go, and a set that
holds a smaller answer is no answer.

For a page::

    found = what_would_have_to_change(customer.row, band.below, model=pair.bundle.model, evidence=pair.evidence,
                                      reference=pair.bundle.reference)
    for answer in found.answers: answer.words, answer.risk, answer.cascade
    found.note                                          # what to say beside, or instead
    state.scenario().to(answer.changes, customer.row)   # fill the what-if, as one step that can be undone
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from churn import words
from churn.data.schema import Feature, Schema
from churn.model.risk_model import RiskModel
from churn.understand.evidence import Evidence, Support
from churn.understand.what_if import Edited, cascade_sentences, choices, edit, limits, same, table_of

MOST_FIELDS = 3
MOST_ANSWERS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """One set of edits that reaches the goal.

    `changes`: column → value, what to ask of the edit engine. `words`: each change as `Contract: Month-to-month → One year`.
    `distance`: how far the edits go, in spreads of a number and 1 for a level. `risk`: with them, 0–1.
    """

    changes: Mapping[str, str | float]
    edited: Edited
    risk: float
    distance: float
    words: tuple[str, ...]
    cascade: tuple[str, ...]
    support: Support


@dataclass(frozen=True, slots=True)
class Changes:
    """What would have to change, smallest first.

    `risk`: as it is, 0–1. `lowest`: the lowest risk found among supported edits (that of the row itself where none is lower).
    `unsupported`: sets that would reach the goal, but no real customer looks like them. `searched`: combinations tried.
    `note`: what to say beside the answers, or instead.
    """

    below: float
    risk: float
    answers: tuple[Answer, ...]
    lowest: float
    unsupported: int
    searched: int
    note: str


def what_would_have_to_change(
    row: Mapping[str, Any],
    below: float,
    *,
    model: RiskModel,
    evidence: Evidence,
    reference: pl.DataFrame,
    most_fields: int = MOST_FIELDS,
    most_answers: int = MOST_ANSWERS,
) -> Changes:
    """The smallest sets of edits that bring a customer's risk below a limit, such as the end of a lower band.

    Parameters
    ----------
    row: the conformed customer, column → value. below: the risk to come under, 0–1. reference: the model's reference sample.
    """
    schema = model.schema
    candidates = _candidates(row, schema, evidence, reference, 8)
    sets = [
        dict(chosen)
        for size in range(1, min(most_fields, 2) + 1)
        for chosen in combinations(candidates, size)
        if len({name for name, _ in chosen}) == size
    ]
    rows = [edit(row, changes, schema, evidence) for changes in sets]
    risks = model.score(table_of([row, *(edited.row for edited in rows)], schema)).risk
    own, found, unlike = float(risks[0]), [], 0
    taken: list[frozenset[str]] = []
    order = sorted(range(len(sets)), key=lambda i: (len(sets[i]), risks[i + 1]))
    for i in order:
        fields = frozenset(sets[i])
        if risks[i + 1] >= below or len(rows[i].asked) < len(sets[i]) or any(smaller <= fields for smaller in taken):
            continue
        support = evidence.support(row, rows[i].row, rows[i].changed)
        if not support.supported:
            unlike += 1
            continue
        taken.append(fields)
        told = tuple(_in_words(row, rows[i], name, schema) for name in sets[i])
        found.append(Answer(sets[i], rows[i], float(risks[i + 1]), 0.0, told, cascade_sentences(rows[i], schema), support))
        if len(found) == most_answers:
            break
    lowest = float(risks.min())
    note = "" if found else words.say("change none", fields=words.say("fields", count=most_fields), risk=words.percent(lowest))
    return Changes(below, own, tuple(found), lowest, unlike, len(sets), note)


def _candidates(
    row: Mapping[str, Any], schema: Schema, evidence: Evidence, reference: pl.DataFrame, count: int
) -> list[tuple[str, str | float]]:
    found: list[tuple[str, str | float]] = []
    for feature in schema.features:
        if feature.editable:
            values = _numbers(feature, reference, count) if feature.is_number else _levels(row, feature, schema, evidence)
            found += [(feature.name, value) for value in values if not same(value, row.get(feature.name))]
    return found


def _levels(row: Mapping[str, Any], feature: Feature, schema: Schema, evidence: Evidence) -> list[str]:
    return [level.value for level in choices(row, feature, schema, evidence)]


def _numbers(feature: Feature, reference: pl.DataFrame, count: int) -> list[float]:
    known = reference[feature.name].drop_nulls().cast(pl.Float64).to_numpy()
    if not known.size:
        return []
    low, high = limits(feature)
    cuts = np.quantile(known, np.linspace(0, 1, count), method="nearest")
    return sorted({float(words.rounded(cut)) if feature.whole else float(cut) for cut in np.clip(cuts, low, high)})


def _in_words(row: Mapping[str, Any], edited: Edited, name: str, schema: Schema) -> str:
    feature = schema.feature(name)
    before, after = (words.quantity(values.get(name), feature, schema) for values in (row, edited.row))
    return words.say("change to", label=feature.label, before=before, after=after)

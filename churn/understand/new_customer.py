"""A customer who is in no table: described field by field, starting from what is usual."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from churn import words
from churn.data import formula
from churn.data.schema import Feature, Schema
from churn.errors import DataError
from churn.understand.account import Typical
from churn.understand.evidence import Evidence
from churn.understand.what_if import Edited, edit

NOT_KNOWN: Final = ""  # what a form says of a fact that nobody knows; no level is spelt so


def usual_customer(schema: Schema, typical: Typical, evidence: Evidence) -> dict[str, Any]:
    """What is usual in every column, put together so that it breaks no rule and every formula holds.

    typical, evidence: from the model's reference. Column → value, as a conformed row has it.
    """
    row: dict[str, Any] = {name: typical[name].value for name in schema.names}
    for _ in range(1 + len(schema.rules) + len(schema.features)):  # each round settles at least one more, unless they go round
        before = dict(row)
        _obey(row, schema, evidence)
        for feature in schema.features:
            if feature.formula and not _fixed(row, feature, schema):
                row[feature.name] = _worked_out(row, feature)
        if row == before:
            break
    return row


def describe(changes: Mapping[str, Any], start: Mapping[str, Any], schema: Schema, evidence: Evidence) -> Edited:
    """The customer described by some fields, all others as in `start`; rules and formulas follow as in a what-if.

    changes: column → value, of any feature; `NOT_KNOWN` where the model has learnt from customers of whom it was not known
    (`Evidence.has_gaps`). What would follow from that fact stays as it is. schema: `all_editable`. Raises DataError as
    `churn.understand.what_if.edit`, and for a fact that cannot be left not known.
    """
    unknown = [name for name, value in changes.items() if value == NOT_KNOWN]
    for name in unknown:
        if not evidence.has_gaps(schema.feature(name)):
            raise DataError(f"column {name!r} cannot be left not known: it was known of everybody the model learnt from")
    given = {name: value for name, value in changes.items() if name not in unknown}
    edited = edit({**start, **dict.fromkeys(unknown)}, given, schema, evidence)
    return replace(edited, before=start, asked={**dict.fromkeys(unknown), **edited.asked})


def all_editable(schema: Schema) -> Schema:
    """The schema of a form: nothing about somebody unknown is settled yet, so every feature can be filled in."""
    features = tuple(feature.model_copy(update={"editable": True}) for feature in schema.features)
    own = {name: getattr(schema, name) for name in Schema.model_fields}
    return Schema.model_validate({**own, "features": features})  # `model_copy` would keep what the old one had looked up


def _obey(row: dict[str, Any], schema: Schema, evidence: Evidence) -> None:
    for rule in schema.rules:
        applies = rule.applies(row)
        for name, value in rule.then.items():
            feature = schema.feature(name)
            wanted = float(value) if feature.is_number else str(value)
            if applies:
                row[name] = wanted
            elif row[name] == wanted and name not in rule.columns and evidence.reserved(rule, feature):
                row[name] = evidence.usual_without(rule, feature)


def _fixed(row: Mapping[str, Any], feature: Feature, schema: Schema) -> bool:
    return any(rule.applies(row) for rule in schema.rules if feature.name in rule.then)


def _worked_out(row: Mapping[str, Any], feature: Feature) -> float | None:
    assert feature.formula is not None
    given = {name: math.nan if row.get(name) is None else row[name] for name in formula.columns(feature.formula)}
    value = float(formula.evaluate(feature.formula, given))
    if math.isnan(value):
        return None
    value = value if feature.at_least is None else max(value, feature.at_least)
    value = value if feature.at_most is None else min(value, feature.at_most)
    return float(words.rounded(value)) if feature.whole else value

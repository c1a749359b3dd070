"""The fields of a what-if, or of a form: one for each column that may be edited, by its kind, within what has been seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import streamlit as st

from churn import words
from churn.data.schema import Feature
from churn.understand.what_if import Edited, choices
from churn.words import escape_markdown as escape
from pages.shared.data import Pair
from pages.shared.state import TRIED, Draft


def fields(pair: Pair, edited: Edited, names: Sequence[str], draft: Draft = TRIED) -> None:
    """The fields; of those with two values, two beside each other. What is set becomes a step of `draft`."""
    features = [pair.schema.feature(name) for name in names]
    levels = {feature.name: _levels(pair, edited, feature) for feature in features if not feature.is_number}
    for narrow, group in groupby(features, key=lambda feature: len(levels.get(feature.name, "not narrow")) <= 2):
        together = list(group)
        step = 2 if narrow else 1
        for start in range(0, len(together), step):
            row = together[start : start + step]
            places = st.columns(2, gap="small") if len(row) == 2 else [st.container()]
            for place, feature in zip(places, row, strict=True):
                with place:
                    _field(pair, edited, feature, levels.get(feature.name, []), draft)


def _levels(pair: Pair, edited: Edited, feature: Feature) -> list[str]:
    """What a category can be in this row, what it is, and what it was, which undoes an edit."""
    levels = [level.value for level in choices(edited.row, feature, pair.schema, pair.evidence)]
    own = [edited.row.get(feature.name), *([edited.before.get(feature.name)] if len(levels) > 1 else [])]
    return list(dict.fromkeys([*levels, *(value for value in own if value is not None)]))


def _field(pair: Pair, edited: Edited, feature: Feature, levels: Sequence[str], draft: Draft) -> None:
    """One editable column, by its kind; it shows the edited row, so that undo, reset and rules show in it too."""
    key = f"_edit {feature.name}" if draft == TRIED else f"_edit {draft.key} {feature.name}"
    value, original = edited.row.get(feature.name), edited.before.get(feature.name)
    options: dict[str, Any] = {"key": key, "on_change": _set, "args": (pair, feature, key, original, draft)}
    if not feature.is_number:
        _choice(pair, feature, levels, value, options)
    elif value is not None and math.isfinite(span := _span(pair, feature)) and span > 0:
        _slider(pair, feature, float(value), options)
    else:
        _number(pair, feature, value, options)


def _choice(pair: Pair, feature: Feature, levels: Sequence[str], value: str | None, options: dict[str, Any]) -> None:
    fixed = len(levels) == 1
    st.session_state[options["key"]] = value

    def plain(level: str) -> str:  # a select box shows text as it is, the segments of a control read markup
        return words.quantity(level, feature, pair.schema)

    def marked(level: str) -> str:
        return escape(plain(level))

    label = escape(feature.label)
    if len(levels) <= 4 and sum(len(plain(level)) for level in levels) <= 44:
        look: dict[str, Any] = {"format_func": marked, "required": True, "width": "stretch", "wrap": True}
        st.segmented_control(label, levels, disabled=fixed, **look, **options)
    else:
        st.selectbox(label, levels, format_func=plain, disabled=fixed, **options)


def _number(pair: Pair, feature: Feature, value: float | None, options: dict[str, Any]) -> None:
    """A number that is not known, or of which only one value has been seen: typed, for a slider has no empty place."""
    low, high = pair.evidence.limits(feature)
    st.session_state[options["key"]] = value
    look: dict[str, Any] = {name: limit for name, limit in (("min_value", low), ("max_value", high)) if math.isfinite(limit)}
    look |= {"step": 1.0, "format": "%.0f"} if feature.whole else {}
    st.number_input(_label(feature), value=None, placeholder="not known", **look, **options)


def _slider(pair: Pair, feature: Feature, value: float, options: dict[str, Any]) -> None:
    kind: Callable[[float], float] = int if feature.whole else float
    low, high = pair.evidence.limits(feature)
    st.session_state[options["key"]] = kind(value)
    form, step = slider_format(feature, _span(pair, feature), pair.schema.currency), pair.evidence.step(feature)
    st.slider(_label(feature), kind(min(low, value)), kind(max(high, value)), step=kind(step), format=form, **options)


def _span(pair: Pair, feature: Feature) -> float:
    low, high = pair.evidence.limits(feature)
    return high - low


def _label(feature: Feature) -> str:
    """`Tenure, in months`; without the unit where the label says it or the value shows it."""
    unit = words.plural(feature.unit, 2)
    if feature.unit in ("", "money", "percent", "share") or unit.lower() in feature.label.lower():
        return escape(feature.label)
    return escape(f"{feature.label}, in {unit}")


def slider_format(feature: Feature, span: float, currency: str) -> str:
    """How a slider over so wide a range prints its value (sprintf): `$%,.2f`."""
    number = "%,d" if feature.whole or span >= 10_000 else "%,.2f"
    if feature.unit == "money":
        return currency.replace("%", "%%") + number
    return f"{number}%%" if feature.unit == "percent" else number


def _set(pair: Pair, feature: Feature, key: str, original: Any, draft: Draft) -> None:
    """A callback: the edit becomes a step of the draft, which undo can take back.

    A slider also spans the customer's own value where that lies outside what has been seen; what is between is brought back in.
    """
    value = st.session_state[key]
    if value is None:
        return
    if not feature.is_number:
        draft.keep(draft.now().set(feature.name, str(value), original))
        return
    low, high = pair.evidence.limits(feature)
    number = float(value) if value == original else min(max(float(value), low), high)
    draft.keep(draft.now().set(feature.name, number, original))

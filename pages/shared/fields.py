"""The fields of a what-if: one for each column that may be edited, by its kind, within what has been seen."""

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
from pages.shared import state
from pages.shared.data import Pair


def fields(pair: Pair, edited: Edited, names: Sequence[str]) -> None:
    """The fields; of those with two values, two beside each other."""
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
                    _field(pair, edited, feature, levels.get(feature.name, []))


def _levels(pair: Pair, edited: Edited, feature: Feature) -> list[str]:
    """What a category can be in this row, what it is, and what it was, which undoes an edit."""
    levels = [level.value for level in choices(edited.row, feature, pair.schema, pair.evidence)]
    own = [edited.row.get(feature.name), *([edited.before.get(feature.name)] if len(levels) > 1 else [])]
    return list(dict.fromkeys([*levels, *(value for value in own if value is not None)]))


def _field(pair: Pair, edited: Edited, feature: Feature, levels: Sequence[str]) -> None:
    """One editable column, by its kind; it shows the edited row, so that undo, reset and rules show in it too."""
    key = f"_edit {feature.name}"
    value, original = edited.row.get(feature.name), edited.before.get(feature.name)
    options: dict[str, Any] = {"key": key, "on_change": _set, "args": (feature, key, original)}
    if not feature.is_number:
        _choice(pair, feature, levels, value, options)
    elif value is None or _limits(feature)[0] >= _limits(feature)[1]:
        _number(feature, value, options)
    else:
        _slider(feature, pair.schema.currency, float(value), options)


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


def _number(feature: Feature, value: float | None, options: dict[str, Any]) -> None:
    """A number that is not known, or of which only one value has been seen: typed, for a slider has no empty place."""
    low, high = _limits(feature)
    st.session_state[options["key"]] = value
    look: dict[str, Any] = {name: limit for name, limit in (("min_value", low), ("max_value", high)) if math.isfinite(limit)}
    look |= {"step": 1.0, "format": "%.0f"} if feature.whole else {}
    st.number_input(_label(feature), value=None, placeholder="not known", **look, **options)


def _slider(feature: Feature, currency: str, value: float, options: dict[str, Any]) -> None:
    kind: Callable[[float], float] = int if feature.whole else float
    low, high = _limits(feature)
    st.session_state[options["key"]] = kind(value)
    low, high = min(low, value), max(high, value)
    form = slider_format(feature, currency)
    st.slider(_label(feature), kind(low), kind(high), step=kind(slider_step(low, high, feature.whole)), format=form, **options)


def _limits(feature: Feature) -> tuple[float, float]:
    """The lowest and highest value an edit may have: within what has been seen, and within what there can be."""
    low, high = feature.range or (-math.inf, math.inf)
    low = low if feature.at_least is None else max(low, feature.at_least)
    return low, high if feature.at_most is None else min(high, feature.at_most)


def _label(feature: Feature) -> str:
    """`Tenure, in months`; without the unit where the label says it or the value shows it."""
    unit = words.plural(feature.unit, 2)
    if feature.unit in ("", "money", "percent", "share") or unit.lower() in feature.label.lower():
        return escape(feature.label)
    return escape(f"{feature.label}, in {unit}")


def slider_step(low: float, high: float, whole: bool) -> float:
    """A round step (1, 2 or 5 × 10ⁿ) that leaves at least a hundred places between the lowest and the highest value.

    >>> slider_step(18.25, 118.75, whole=False), slider_step(0, 72, whole=True), slider_step(0, 250_898, whole=False)
    (1.0, 1.0, 2000.0)
    """
    power = 10.0 ** math.floor(math.log10((high - low) / 100))
    step = max(digit * power for digit in (1, 2, 5) if digit * power <= (high - low) / 100 or digit == 1)
    return max(step, 1.0) if whole else step


def slider_format(feature: Feature, currency: str) -> str:
    """How a slider prints its value (sprintf): `$%,.2f`."""
    low, high = _limits(feature)
    number = "%,d" if feature.whole or high - low >= 10_000 else "%,.2f"
    if feature.unit == "money":
        return currency.replace("%", "%%") + number
    return f"{number}%%" if feature.unit == "percent" else number


def _set(feature: Feature, key: str, original: Any) -> None:
    """A callback: the edit becomes a step of the scenario, which undo can take back.

    A slider also spans the customer's own value where that lies outside what has been seen; what is between is brought back in.
    """
    value = st.session_state[key]
    if value is None:
        return
    if not feature.is_number:
        state.keep(state.scenario().set(feature.name, str(value), original))
        return
    low, high = _limits(feature)
    number = float(value) if value == original else min(max(float(value), low), high)
    state.keep(state.scenario().set(feature.name, number, original))

"""The fields of a what-if, or of a form: one for each column that may be edited, by its kind, within what has been seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import streamlit as st

from churn import words
from churn.data.schema import Feature
from churn.understand.new_customer import NOT_KNOWN
from churn.understand.what_if import Edited, choices
from churn.words import escape_markdown as escape
from pages.shared.data import Pair
from pages.shared.state import NEW, TRIED, Draft


def fields(pair: Pair, edited: Edited, names: Sequence[str], draft: Draft = TRIED) -> None:
    """The fields; of narrow ones, two beside each other. What is set becomes a step of `draft`.

    For somebody new (`NEW`) numbers are typed, and what the model has learnt to do without can be left not known.
    """
    features = [pair.schema.feature(name) for name in names]
    levels = {feature.name: _levels(pair, edited, feature, draft) for feature in features if not feature.is_number}

    def is_narrow(feature: Feature) -> bool:
        return draft == NEW if feature.is_number else len(levels[feature.name]) <= 2

    for narrow, group in groupby(features, key=is_narrow):
        together = list(group)
        step = 2 if narrow else 1
        for start in range(0, len(together), step):
            row = together[start : start + step]
            places = st.columns(2, gap="small", vertical_alignment="bottom") if len(row) == 2 else [st.container()]
            for place, feature in zip(places, row, strict=True):
                with place:
                    _field(pair, edited, feature, levels.get(feature.name, []), draft)


def _levels(pair: Pair, edited: Edited, feature: Feature, draft: Draft) -> list[str]:
    """What a category can be in this row, what it is, and what it was, which undoes an edit; of somebody new, not known too."""
    levels = [level.value for level in choices(edited.row, feature, pair.schema, pair.evidence)]
    own = [edited.row.get(feature.name), *([edited.before.get(feature.name)] if len(levels) > 1 else [])]
    unknown = [NOT_KNOWN] if draft == NEW and pair.evidence.has_gaps(feature) else []
    return list(dict.fromkeys([*levels, *(value for value in own if value is not None), *unknown]))


def _field(pair: Pair, edited: Edited, feature: Feature, levels: Sequence[str], draft: Draft) -> None:
    """One editable column, by its kind; it shows the edited row, so that undo, reset and rules show in it too."""
    key = f"_edit {feature.name}" if draft == TRIED else f"_edit {draft.key} {feature.name}"
    value, original = edited.row.get(feature.name), edited.before.get(feature.name)
    options: dict[str, Any] = {"key": key, "on_change": _set, "args": (pair, feature, key, original, draft)}
    if not feature.is_number:
        _choice(pair, feature, levels, NOT_KNOWN if value is None and NOT_KNOWN in levels else value, options)
    elif draft == NEW:
        _typed(pair, feature, value, options)
    elif value is not None and math.isfinite(span := _span(pair, feature)) and span > 0:
        _slider(pair, feature, float(value), options)
    else:
        _number(pair, feature, value, options)


def _choice(pair: Pair, feature: Feature, levels: Sequence[str], value: str | None, options: dict[str, Any]) -> None:
    fixed = len(levels) == 1
    st.session_state[options["key"]] = value

    def plain(level: str) -> str:  # a select box shows text as it is, the segments of a control read markup
        return words.capital(words.say("unknown")) if level == NOT_KNOWN else words.quantity(level, feature, pair.schema)

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


def _typed(pair: Pair, feature: Feature, value: float | None, options: dict[str, Any]) -> None:
    """A number of somebody new: typed exactly, within what has been seen; empty where it is not known and may be so."""
    low, high = pair.evidence.limits(feature)
    st.session_state[options["key"]] = value
    step = 1.0 if feature.whole else pair.evidence.step(feature)
    decimals = 0 if feature.whole else max(2, 1 - math.floor(math.log10(step)))
    ends = [end if value is None else choose(end, value) for choose, end in ((min, low), (max, high))]
    look: dict[str, Any] = {name: end for name, end in zip(("min_value", "max_value"), ends, strict=True) if math.isfinite(end)}
    shown = [words.quantity(end, feature, pair.schema) for end in (low, high)]
    told = [words.capital(words.say("to", low=shown[0], high=shown[1]))] if math.isfinite(high - low) else []
    told += ["leave it empty if it is not known"] if pair.evidence.has_gaps(feature) else []
    st.number_input(
        _label(feature, pair.schema.currency),
        value=None,
        step=step,
        format=f"%.{decimals}f",
        placeholder=words.say("unknown"),
        help=escape(" · ".join(told)) or None,
        **look,
        **options,
    )


def _slider(pair: Pair, feature: Feature, value: float, options: dict[str, Any]) -> None:
    kind: Callable[[float], float] = int if feature.whole else float
    low, high = pair.evidence.limits(feature)
    st.session_state[options["key"]] = kind(value)
    form, step = slider_format(feature, _span(pair, feature), pair.schema.currency), pair.evidence.step(feature)
    st.slider(_label(feature), kind(min(low, value)), kind(max(high, value)), step=kind(step), format=form, **options)


def _span(pair: Pair, feature: Feature) -> float:
    low, high = pair.evidence.limits(feature)
    return high - low


def _label(feature: Feature, currency: str = "") -> str:
    """`Tenure, in months`; without the unit where the label says it or the value shows it (but for `currency`, where typed)."""
    unit = words.plural(feature.unit, 2)
    if currency and (sign := {"money": currency, "percent": "%"}.get(feature.unit)):
        return escape(f"{feature.label}, in {sign}")
    if feature.unit in ("", "money", "percent", "share") or feature.unit.lower() in feature.label.lower():
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
    if value is None and draft == NEW and pair.evidence.has_gaps(feature):
        draft.keep(draft.now().set(feature.name, NOT_KNOWN, original))
    if value is None:
        return
    if not feature.is_number:
        draft.keep(draft.now().set(feature.name, str(value), original))
        return
    low, high = pair.evidence.limits(feature)
    number = float(value) if value == original else min(max(float(value), low), high)
    draft.keep(draft.now().set(feature.name, number, original))

"""Customer: how the risk moves along one fact, or along two. A click fills the what-if."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from churn.charts.curve import curve_chart
from churn.charts.risk_map import risk_map
from churn.data.schema import Feature
from churn.understand.curves import Spot, curve, movable, surface
from churn.understand.what_if import ALWAYS, Value
from churn.words import escape_markdown as escape
from pages.act._tried import Tried, try_edits
from pages.shared import widgets
from pages.shared.data import Pair

_ALONG, _ACROSS = "_along", "_across"
_NONE = ""


def along(pair: Pair, tried: Tried) -> None:
    """The block, folded until asked for."""
    with st.expander("How the risk moves along one fact, or two", key="_along_block", on_change="rerun") as block:
        if block.open:
            _block(pair, tried)


def _block(pair: Pair, tried: Tried) -> None:
    first, second = _pick(pair, tried)
    always = tried.edited.since == ALWAYS
    edits = tried.edited.asked if always else {}
    standing = {name: value for name, value in edits.items() if value is not None}
    start = "the customer with the changes above" if standing else "the customer as scored"
    can = all(one.editable for one in (first, second) if one is not None)
    click = "click a value to try it" if can else f"{escape(_fixed(first, second))} cannot be changed, only looked at"
    st.caption(f"Had it always been so, from {start} · grey: no real customer is like that · {click}")
    key = (tried.customer.key, tuple(standing.items()), first.name, second.name if second else None)
    if second is None:
        _one(pair, tried, first, standing, key)
    else:
        _two(pair, tried, (first, second), standing, key)


def _pick(pair: Pair, tried: Tried) -> tuple[Feature, Feature | None]:
    """The columns looked along: of those that can be changed the one that weighs most, until somebody picks another."""
    columns = {feature.name: feature for feature in movable(pair.schema)}
    if st.session_state.get(_ALONG) not in columns:
        weighty = (reason.feature for reason in tried.own.reasons if reason.feature in columns)
        editable = [name for name in weighty if columns[name].editable]
        st.session_state[_ALONG] = next(iter([*editable, *columns]))
    others = [_NONE, *(name for name in columns if name != st.session_state[_ALONG])]
    if st.session_state.get(_ACROSS) not in others:
        st.session_state[_ACROSS] = _NONE

    def name(column: str) -> str:
        if column == _NONE:
            return "Nothing else"
        return columns[column].label if columns[column].editable else f"{columns[column].label} (only to look at)"

    with st.container(horizontal=True, key="_along_pick"):
        first = st.selectbox("Along", list(columns), format_func=name, key=_ALONG, width=280)
        second = st.selectbox("And", others, format_func=name, key=_ACROSS, width=280)
    return columns[first], columns.get(second)


def _fixed(first: Feature, second: Feature | None) -> str:
    return " and ".join(one.label for one in (first, second) if one is not None and not one.editable)


def _one(pair: Pair, tried: Tried, feature: Feature, standing: dict[str, str | float], key: Any) -> None:
    found = widgets.answer(
        pair,
        ("curve", *key),
        lambda: curve(tried.customer.row, feature, pair.bundle.model, pair.evidence, changes=standing),
        260,
    )

    def clicked(point: Sequence[Any]) -> None:
        if point and 0 <= int(point[0]) < len(found.spots):
            _try(tried, standing, {feature: found.spots[int(point[0])].value})

    widgets.chart(curve_chart(found, pair.schema), key="_curve", on_click=clicked if feature.editable else None)
    _unlike(found.spots)


def _two(pair: Pair, tried: Tried, features: tuple[Feature, Feature], standing: dict[str, str | float], key: Any) -> None:
    found = widgets.answer(
        pair,
        ("surface", *key),
        lambda: surface(tried.customer.row, features, pair.bundle.model, pair.evidence, changes=standing),
        260,
    )
    first, second = features

    def clicked(point: Sequence[Any]) -> None:
        if len(point) == 2 and int(point[0]) < len(found.rows) and int(point[1]) < len(found.columns):
            _try(tried, standing, {first: found.rows[int(point[0])], second: found.columns[int(point[1])]})

    st.caption(f"Down: {escape(first.label)} · across: {escape(second.label)}")
    can = first.editable and second.editable
    widgets.chart(risk_map(found, pair.schema), key="_risk_map", on_click=clicked if can else None)
    _unlike([spot for line in found.spots for spot in line if spot is not None])


def _try(tried: Tried, standing: dict[str, str | float], wanted: dict[Feature, Value]) -> None:
    """A callback: put the values where the chart was clicked into the what-if."""
    changes = {**standing, **{feature.name: value for feature, value in wanted.items() if value is not None}}
    try_edits(changes, tried.customer, ALWAYS)


def _unlike(spots: Sequence[Spot]) -> None:
    """Why parts are grey: the reasons given, the commonest first, each once."""
    notes = [spot.note for spot in spots if not (spot.supported or spot.here)]
    if notes:
        told = max(dict.fromkeys(notes), key=notes.count)
        more = len(notes) - notes.count(told)
        st.caption(f"Grey, for example: {escape(told)}" + (" Others for like reasons." if more else ""))

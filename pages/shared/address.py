"""What somebody picked on a page, in its address: a link shows the same, and so does the browser's way back.

Whoever comes from another page finds things as they were left; then the address follows what the session remembers.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.shared import state


def read(page: str, keys: Sequence[str]) -> None:
    """Take over what the address says of these keys, before anything is drawn."""
    told = {key: tuple(found) for key in keys if (found := st.query_params.get_all(key))}
    if told if state.entered() else told != state.written(page):
        state.look(told, page)


def write(page: str, keys: Sequence[str]) -> None:
    """Let the address say what is picked."""
    for key in keys:
        wanted = list(state.view(page).get(key, ()))
        if st.query_params.get_all(key) == wanted:
            continue
        if wanted:
            st.query_params[key] = wanted
        else:
            del st.query_params[key]
    state.write(page)


def box(key: str) -> str:
    """Where the widget that picks keeps its value: not under the address' own key, which outlives the widget."""
    return f"_box {key}"


def text(page: str, key: str) -> str | None:
    """What is picked, as it stands in the address; None for nothing."""
    told = state.view(page).get(key, ())
    return told[0] if told else None


def number(page: str, key: str, usual: float, least: float, most: float) -> float:
    """A number that is picked, within its limits; the usual one where there is none, or what a link says is none."""
    told = text(page, key)
    try:
        value = usual if told is None else float(told)
    except ValueError:
        return usual
    return min(max(value, least), most) if value == value else usual  # a link can say nan


def pick(page: str, key: str, value: str | None) -> None:
    """Pick, in a callback; None takes a pick back, so that the usual one need not stand in the address."""
    state.look({**state.view(page), key: () if value is None else (value,)}, page)

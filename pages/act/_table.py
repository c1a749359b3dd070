"""Customer: a table whose rows can be tried or opened, grey where a row resembles no real customer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pyarrow
import streamlit as st

from churn import words
from pages.shared.widgets import theme

_GREYS = {"light": "color: #5A6675", "dark": "color: #9AA6B3"}


def choosable(
    columns: Mapping[str, Sequence[Any]],
    looks: Mapping[str, Any],
    *,
    first: str,
    icon: str,
    key: str,
    alt: str,
    on_choose: Callable[[int], None],
    grey: Collection[int] = (),
) -> None:
    """Draw a table; a click on a cell of the `first` column, or a row's box, hands over the row's place.

    The box is there for the keyboard (Shift+Space). `looks`: column → its configuration. `grey`: places of the rows that are.
    """
    click = f"{key}-click"

    def clicked() -> None:
        on_choose(st.session_state[click].row)

    def chose() -> None:
        if found := st.session_state[key].selection.rows:
            on_choose(found[0])

    table = pyarrow.table({name: list(values) for name, values in columns.items()})
    table = table.set_column(table.column_names.index(first), first, [[f"{icon} {text}" for text in columns[first]]])
    st.session_state[key] = {"selection": {"rows": [], "columns": [], "cells": []}}  # what is tried stands in the what-if
    shown: Any = table
    if grey:  # styles are pandas' alone
        shown = table.to_pandas().style.apply(lambda row: [_GREYS[theme()] if row.name in grey else ""] * len(row), axis=1)
    st.dataframe(
        shown,
        column_config={
            first: st.column_config.ButtonColumn(type="tertiary", alignment="left", on_click=clicked, key=click),
            **looks,
        },
        hide_index=True,
        on_select=chose,
        selection_mode="single-row",
        key=key,
        height="content",
        placeholder=words.NOTHING,
        alt=alt,
    )


def percent_column(help: str | None = None, width: Any = "small") -> Any:
    """A risk, as `widgets.risk_cell` gives it."""
    return st.column_config.ProgressColumn(min_value=0, max_value=100, format="%g%%", color="#DF8548", width=width, help=help)


def right(help: str | None = None, width: Any = "small") -> Any:
    """Printed figures, aligned as numbers are."""
    return st.column_config.TextColumn(alignment="right", width=width, help=help)

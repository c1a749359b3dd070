"""Champion: what was decided about renewing the model, and what runs beside it unseen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from churn import words
from churn.errors import RecordsUnavailable, StoreUnavailable
from churn.watch import decisions
from churn.watch.decisions import Decision
from churn.words import escape_markdown as escape
from pages.shared import data, widgets
from pages.shared.data import Pair
from pages.watch._table import Columns, table

_MOST = 50


def show(pair: Pair) -> None:
    """Decisions, newest first, with what they rest on; above them the version in shadow, if any."""
    desk = data.desk()
    st.header("Renewal", anchor=False)
    try:
        listed = decisions.listed(desk.records, most=_MOST)
        standing = desk.registry.challenger()
    except (RecordsUnavailable, StoreUnavailable) as error:
        st.warning(f"What was decided cannot be read: {escape(error)}", icon=":material/cloud_off:")
        return
    if standing is not None and standing.model is not None and standing.champion == pair.bundle.version:
        day = words.day(widgets.local(standing.since).date(), year=False)
        st.markdown(
            f"**{escape(standing.model)} runs in shadow** since {day}, put there by {escape(standing.by)}: it scores the same "
            "customers, nobody sees what it says, and both are compared once outcomes are known."
        )
    if not listed:
        st.caption("Nothing was decided yet. Whether a new training is due is looked at by: churn watch")
        return
    st.caption("What was decided about a new model, and what that rests on · newest first")
    columns: Columns = {
        "When": [words.moment(widgets.local(one.at)) for one in listed],
        "What": [one.title for one in listed],
        "In use": [one.model for one in listed],
        "New one": [one.challenger for one in listed],
        "Error, new minus old": [_difference(one) for one in listed],
        "Why": [one.words for one in listed],
    }
    table(columns, {}, f"Table: {words.counted(len(listed), 'decision')}.", wrapped="Why")


def _difference(decision: Decision) -> str | None:
    """By how much the new model's error differs on the same customers, with its likely range."""
    paired = decision.evidence.get("paired")
    difference = paired.get("difference") if isinstance(paired, Mapping) else None
    if not isinstance(difference, Mapping):
        return None
    shown = [_signed(difference.get(name)) for name in ("value", "low", "high")]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def _signed(value: Any) -> str:
    return f"{value:+.4f}".replace("-", words.MINUS) if isinstance(value, float) else words.NOTHING

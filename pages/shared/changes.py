"""Since the last scoring: what changed for the customers on screen, as a block of a page."""

from __future__ import annotations

import streamlit as st

from churn import words
from churn.base.groups import Filter
from churn.errors import StoreUnavailable
from churn.understand.movers import GroupMovers, Movers, movers_in
from churn.words import escape_markdown as escape
from pages.shared.data import Pair


def since_the_last_scoring(pair: Pair, chosen: Filter, who: str) -> None:
    """What changed for some customers since the scoring before; `who` they are, as it starts a sentence."""
    st.header("Since the last scoring", anchor=False)
    before = pair.before
    if before is None:
        first = pair.before_id is None
        st.markdown(
            "First scoring: nothing to compare with yet."
            if first
            else "The scoring before had other columns; it cannot be compared."
        )
        return
    try:
        found = pair.answer(("movers", chosen), lambda: movers_in(before, pair.snapshot, chosen))
    except StoreUnavailable as error:
        st.markdown(f"The scoring before cannot be compared: {escape(str(error))}")
        return
    st.caption(f"{who}, compared with {words.day(found.since)}")
    lines = _told(pair, found, None if chosen else pair.movers)
    st.markdown("\n".join(f"- {line}" for line in lines))
    if chosen and found.same_model and pair.movers and pair.movers.drivers:
        st.caption("Which column goes with the change is known of all customers together, not of those of a filter")


def _told(pair: Pair, found: GroupMovers, whole: Movers | None) -> list[str]:
    """What changed, line by line; of the whole base also what it goes with. Markdown, data escaped."""
    lines = [*_came_and_went(found), *_moved(found), *_risk(pair, found)]
    if not lines:
        lines = [f"Nothing changed: the same {words.counted(found.now, 'customer')}, at the same risk."]
    if not found.same_model:
        lines.append("The model changed as well: part of the difference is its own.")
    elif whole and whole.drivers and abs(whole.drivers[0].change) >= 0.0005:
        lead = whole.drivers[0]
        label = escape(pair.schema.feature(lead.feature).label)
        lines.append(f"**{label}** accounts for the largest change of the average risk: {words.points(lead.change, decimals=1)}.")
    return lines


def _came_and_went(found: GroupMovers) -> list[str]:
    came = [f"{words.count(found.came)} new"] if found.came else []
    came += [f"{words.count(found.joined)} from other groups"] if found.joined else []
    went = [f"{words.count(found.went)} no longer there"] if found.went else []
    went += [f"{words.count(found.left_for_others)} in other groups now"] if found.left_for_others else []
    if not came and not went:
        return []
    size = f"**{words.counted(found.now, 'customer')}**"
    if found.now != found.before:
        size += f", {words.count(found.before)} then ({words.change(found.now - found.before)})"
    return [f"{size}.", *([f"Came: {' and '.join(came)}."] if came else []), *([f"Went: {' and '.join(went)}."] if went else [])]


def _moved(found: GroupMovers) -> list[str]:
    into, out_of = found.into, found.out_of
    if not into and not out_of:
        return []
    band = escape(words.lower_first(found.band))
    return [
        f"**{words.counted(into, 'customer') if into else 'Nobody'}** moved into {band} risk, {words.count(out_of)} out of it."
    ]


def _risk(pair: Pair, found: GroupMovers) -> list[str]:
    if found.change is None or min(found.before, found.now) < pair.snapshot.small_group:
        return []
    points = words.points(found.change, signed=False, decimals=1)
    lines = []
    if points.strip("0. points"):
        lines.append(f"The average risk {'rose' if found.change > 0 else 'fell'} by {points}.")
    if found.revenue is not None:
        revenue = words.money(found.revenue, pair.schema.currency, signed=True, cents=False)
        if any(digit in revenue for digit in "123456789"):
            lines.append(f"Revenue at risk: {escape(revenue)}.")
    return lines

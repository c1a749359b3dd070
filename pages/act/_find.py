"""Customer: finding one, by number or in the list of those with most at risk."""

from __future__ import annotations

import streamlit as st

from churn.base.groups import Filter
from churn.words import escape_markdown as escape
from pages.shared import state, widgets
from pages.shared.data import Pair

_LISTED = 20  # customers to choose from when none is open
_MATCHES = 8
_LONGEST = 100  # characters of a number, at most
_SEARCH = "_search"


def search(pair: Pair) -> None:
    """The box to look a customer up by number."""
    example = pair.top(Filter(), 1, state.REVENUE)
    st.text_input(
        "Customer number",
        type="search",
        key=_SEARCH,
        max_chars=_LONGEST,
        placeholder=f"Customer number, e.g. {example[0].key}" if example else "Customer number",
        label_visibility="collapsed",
        on_change=_look_up,
        args=(pair,),
    )


def _look_up(pair: Pair) -> None:
    """A callback: open the customer of exactly that number; else the text stays, and the page names what comes near."""
    text = st.session_state[_SEARCH].strip()
    found = pair.snapshot.search(text, 1) if text else ()
    if found and found[0].lower() == text.lower():
        open_customer(found[0])


def open_customer(key: str) -> None:
    """A callback: open a customer and empty the box."""
    state.open_customer(key)
    st.session_state[_SEARCH] = ""


def matches(pair: Pair) -> None:
    """Which customers come near what stands in the box."""
    text = (st.session_state.get(_SEARCH) or "").strip()
    if not text:
        return
    found = pair.snapshot.search(text, _MATCHES)
    if not found:
        st.warning(f"No customer has a number with “{escape(text[:_LONGEST])}” in it. Check it.")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="_matches"):
        st.markdown("Which one?")
        for key in found:
            st.button(escape(key), key=f"_match {key}", on_click=open_customer, args=(key,))


def listed(pair: Pair, chosen: Filter) -> None:
    """The customers with most at risk, to open one."""
    order = state.order() if pair.snapshot.has_money else state.RISK
    st.header(
        "Customers with most revenue at risk" if order == state.REVENUE else "Customers with the highest risk", anchor=False
    )
    st.caption("Within the filters · click a number to open the customer" if chosen else "Click a number to open the customer")
    widgets.customer_pages(pair, chosen, pair.totals(chosen).customers, order=order, rows=_LISTED, key="_listed")

"""Customer: one customer's risk, the reasons for it, and what it would be if something about the customer were different."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow
import streamlit as st

from churn import words
from churn.base.groups import Filter
from churn.base.snapshot import Customer
from churn.charts.waterfall import waterfall
from churn.understand.account import Account, Reason
from churn.understand.what_if import Edited, cascade_sentences
from churn.words import escape_markdown as escape
from pages.shared import data, state, widgets
from pages.shared.data import Pair
from pages.shared.fields import fields

_LISTED = 20  # customers to choose from when none is open
_MATCHES = 8
_FIELDS = 7  # what-if fields in view; the others are folded away
_REASONS = 5  # reasons told on each side
_SEARCH = "_search"


def page(pair: Pair, chosen: Filter) -> None:
    key = state.customer()
    with widgets.loading(700):
        customer = pair.snapshot.customer(key) if key else None
    left, right = st.columns([0.7, 0.3], gap="medium")
    with right:
        _search(pair)
    if customer is None:
        with left:
            st.title("Search for a customer by number, or open one of the riskiest", anchor=False)
        _matches(pair)
        if key:
            st.warning(f"Customer {escape(key)} is not among the customers scored last.")
        _list(pair, chosen)
        return
    account = pair.account(customer)
    with left:
        st.title(escape(account.title(customer.key)), anchor=False)
        st.markdown(f":gray[{account.sentence(markdown=True)} {_money(pair, customer)}]")
    _matches(pair)
    what_if(pair, customer)


def _money(pair: Pair, customer: Customer) -> str:
    """`$73.65 a month.` as markdown; nothing where the table has no money."""
    money = pair.schema.money
    if money is None or customer.money is None:
        return ""
    each = "" if money.period == "once" else f" a {money.period}"
    return f"{escape(words.money(customer.money, pair.schema.currency))}{each}."


# -- finding a customer --------------------------------------------------------


def _search(pair: Pair) -> None:
    example = pair.top(Filter(), 1, state.REVENUE)
    st.text_input(
        "Customer number",
        type="search",
        key=_SEARCH,
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
        _open(found[0])


def _open(key: str) -> None:
    state.open_customer(key)
    st.session_state[_SEARCH] = ""


def _matches(pair: Pair) -> None:
    text = (st.session_state.get(_SEARCH) or "").strip()
    if not text:
        return
    found = pair.snapshot.search(text, _MATCHES)
    if not found:
        st.warning(f"No customer has a number with “{escape(text)}” in it. Check it, or choose from the list.")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="_matches"):
        st.markdown("Which one?")
        for key in found:
            st.button(escape(key), key=f"_match {key}", on_click=_open, args=(key,))


def _list(pair: Pair, chosen: Filter) -> None:
    order = state.order() if pair.snapshot.has_money else state.RISK
    st.header(
        "Customers with most revenue at risk" if order == state.REVENUE else "Customers with the highest risk", anchor=False
    )
    st.caption("Within the filters · click a number to open the customer" if chosen else "Click a number to open the customer")
    widgets.customer_table(pair, chosen, order=order, rows=_LISTED, key="_listed")


# -- one customer --------------------------------------------------------------


@st.fragment
def what_if(pair: Pair, customer: Customer) -> None:
    """Chart, reasons and what-if: they change together, and nothing else does. What is tried here is written nowhere."""
    edited = pair.edited(customer, state.scenario().changes)
    before = pair.account(customer)
    account = pair.account(customer, edited) if edited.changed else before
    left, right = st.columns([0.585, 0.415], gap="medium")
    with left:
        _chart(pair, account)
        _reasons(account)
        _facts(pair, customer, before)
    with right, st.container(border=True, key="_what_if"):
        _panel(pair, customer, before, account, edited)


def _chart(pair: Pair, account: Account) -> None:
    st.header("From a typical customer to this one", anchor=False)
    average = pair.totals(Filter()).average_risk
    st.caption(
        "Points of risk each fact adds (orange) or takes away (blue) · "
        f"a typical customer's risk is {words.percent(account.typical)}, the average {words.average(average)}"
    )
    widgets.chart(waterfall(account.waterfall), key="_waterfall")


def _reasons(account: Account) -> None:
    st.header("Reasons in plain words", anchor=False)
    raising = [reason for reason in account.reasons if reason.printed_points > 0]
    lowering = [reason for reason in account.reasons if reason.printed_points < 0]
    st.caption("What the risk is associated with, against what is usual")
    left, right = st.columns(2, gap="medium")
    with left:
        _told("Raises the risk", raising)
    with right:
        _told("Lowers the risk", lowering)


def _told(heading: str, reasons: Sequence[Reason]) -> None:
    lines = [
        f"- {escape(reason.words)}{' :gray[· can be changed]' if reason.actionable else ''}" for reason in reasons[:_REASONS]
    ]
    if more := len(reasons) - len(lines):
        rest = sum(reason.printed_points for reason in reasons[_REASONS:])
        lines.append(f"- {words.count(more)} more: {words.points(rest / 100)}")
    st.markdown(f"**{heading}**\n\n" + ("\n".join(lines) or "Nothing does."))


def _facts(pair: Pair, customer: Customer, account: Account) -> None:
    with st.expander(f"All {len(account.reasons)} facts about this customer"):
        by_name = {reason.feature: reason for reason in account.reasons}
        ordered = [by_name[name] for name in pair.schema.names]
        table = {
            "Fact": [reason.label for reason in ordered],
            "Value": [reason.value for reason in ordered],
            "Usual": [reason.usual or None for reason in ordered],
            "Points": [words.points(reason.printed_points / 100, unit=False) for reason in ordered],
        }
        st.dataframe(
            pyarrow.table(table),
            hide_index=True,
            height="content",
            placeholder=words.NOTHING,
            column_config={"Points": st.column_config.TextColumn(alignment="right", width="small")},
            alt=f"Table: {len(ordered)} facts about customer {customer.key} with their points of risk",
        )


# -- what if -------------------------------------------------------------------


def _panel(pair: Pair, customer: Customer, before: Account, after: Account, edited: Edited) -> None:
    st.header("What if", anchor=False)
    scenario = state.scenario()
    support = pair.support(edited)
    change = words.whole_percent(after.risk) - words.whole_percent(before.risk)
    risk = words.capital(words.percent(after.risk))
    st.metric(
        "Risk after these changes",
        risk if support.supported else f":gray[{risk}]",
        delta=words.ascii_minus(words.points(change / 100)) if change else 0 if edited.changed else None,
        delta_color="orange" if change > 0 else "blue",
        delta_description=f"from {words.percent(before.risk)}" if edited.changed else None,
    )
    if not edited.changed:
        st.caption("No change yet")
    elif not support.supported:
        st.markdown(f":small[:orange[{escape(support.note)}]]")
    names = _order(pair, before)
    fields(pair, edited, names[:_FIELDS])
    if rest := names[_FIELDS:]:
        with st.expander(
            f"{len(rest)} more {'field' if len(rest) == 1 else 'fields'}", key="_more_fields", on_change="rerun"
        ) as more:
            if more.open:
                fields(pair, edited, rest)
    for sentence in cascade_sentences(edited, pair.schema):
        st.caption(f":material/subdirectory_arrow_right: {escape(sentence)}")
    with st.container(horizontal=True):
        st.button(
            "Undo", icon=":material/undo:", disabled=not scenario.past, on_click=lambda: state.keep(state.scenario().undo())
        )
        st.button("Reset", disabled=not scenario.edits, on_click=lambda: state.keep(state.scenario().reset()))
    st.caption(words.say("not a promise"))


def _order(pair: Pair, account: Account) -> list[str]:
    """Editable columns: those that weigh most for this customer come first, in the schema's order, then the others."""
    weight = [reason.feature for reason in account.reasons if pair.schema.feature(reason.feature).editable]
    first = set(weight[:_FIELDS])
    names = [name for name in pair.schema.names if name in set(weight)]
    return [name for name in names if name in first] + [name for name in names if name not in first]


run = data.run()
page(run.pair, run.chosen)

"""Customer: one customer's risk, the reasons for it, and what it would be if something about the customer were different."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow
import streamlit as st

from churn import words
from churn.base.groups import Filter
from churn.base.snapshot import Customer
from churn.charts import theme
from churn.charts.waterfall import waterfall
from churn.understand.account import Account, Reason
from churn.words import escape_markdown as escape
from pages.act import _along, _find, _help, _kept, _others, _tried
from pages.act._tried import Tried
from pages.shared import data, state, widgets
from pages.shared.data import Pair

_REASONS = 5  # reasons told on each side


def page(pair: Pair, chosen: Filter) -> None:
    _kept.follow_link(pair)
    key = state.customer()
    customer = pair.snapshot.customer(key) if key else None
    left, right = st.columns([0.7, 0.3], gap="medium")
    with right:
        _find.search(pair)
    if customer is None and not pair.totals(chosen).customers:
        with left:
            widgets.nobody(pair)
        _find.matches(pair)
        return
    if customer is None:
        with left:
            st.title("Search for a customer by number, or open one of the riskiest", anchor=False)
        _find.matches(pair)
        if key:
            st.warning(f"Customer {escape(key)} is not among the customers scored last.")
        _find.listed(pair, chosen)
        return
    account = pair.account(customer)
    with left:
        st.title(escape(account.title(customer.key)), anchor=False)
        st.markdown(f":gray[{account.sentence(markdown=True)} {_money(pair, customer, account)}]")
        _contact(pair, customer)
    _find.matches(pair)
    what_if(pair, customer)


def _money(pair: Pair, customer: Customer, account: Account) -> str:
    """`$73.65 a month.` as markdown; nothing where the table has no money or the reasons told say it already."""
    money = pair.schema.money
    if money is None or customer.money is None or money.column in {reason.feature for reason in account.told}:
        return ""
    each = "" if money.period == "once" else f" a {money.period}"
    return f"{escape(words.money(customer.money, pair.schema.currency))}{each}."


def _contact(pair: Pair, customer: Customer) -> None:
    """How to reach the customer, masked: `E. M•••• · +49 ••• ••12 34 · consent: Yes · looked after by Tom Braun`."""
    found = pair.contact(customer)
    if found is None:
        return
    parts = [found.name, found.phone, found.email]
    parts += [f"consent: {found.consent}"] if found.consent else []
    parts += [f"do not contact: {found.do_not_contact}"] if found.do_not_contact else []
    parts += [f"looked after by {found.owner}"] if found.owner else []
    if told := [escape(part) for part in parts if part]:
        st.caption(f":material/contact_phone: {' · '.join(told)}", help="Contact data is masked here.")


# -- one customer --------------------------------------------------------------


@st.fragment
def what_if(pair: Pair, customer: Customer) -> None:
    """All that changes with an edit, and nothing else does. What is tried here is logged nowhere."""
    if _others.opened():
        st.rerun()
    tried = Tried.now(pair, customer)
    _kept.told(pair, tried)
    left, right = st.columns([0.585, 0.415], gap="medium")
    with left:
        if tried.changed and not tried.support.supported:
            st.caption(
                ":material/help: No real customer looks like this: the risk at the end of this chart is a guess, "
                "and so are the reasons below."
            )
        _chart(pair, tried.after)
        _reasons(tried.after)
        _facts(pair, customer, tried.own)
    with right, st.container(border=True, key="_what_if"):
        _tried.panel(pair, tried)
    _help.actions(pair, tried)
    _help.changes(pair, tried)
    _along.along(pair, tried)
    _others.similar(pair, tried)
    _others.over_time(pair, tried)
    _kept.side_by_side(pair, tried)


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
    raising = [reason for reason in account.lines if reason.printed_points > 0]
    lowering = [reason for reason in account.lines if reason.printed_points < 0]
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
    """Every fact with its points, folded until asked for."""
    with st.expander(f"All {len(account.reasons)} facts about this customer", key="_facts", on_change="rerun") as block:
        if block.open:
            _fact_table(pair, customer, account)


def _wide(texts: Sequence[str]) -> int:
    """Pixels in which the longest of these texts is seen whole, up to where the figures would leave a phone."""
    return round(min(max(theme.width(text) for text in texts) * 1.02 + 18, 230))


def _fact_table(pair: Pair, customer: Customer, account: Account) -> None:
    by_name = {reason.feature: reason for reason in account.reasons}
    ordered = [by_name[name] for name in pair.schema.names]
    labels = [reason.label for reason in ordered]
    table = {
        "Fact": labels,
        "Value": [reason.value for reason in ordered],
        "Usual": [reason.usual or None for reason in ordered],
        "Points": [words.points(reason.printed_points / 100, unit=False) for reason in ordered],
    }
    st.dataframe(
        pyarrow.table(table),
        hide_index=True,
        height="content",
        placeholder=words.NOTHING,
        column_config={
            "Fact": st.column_config.TextColumn(width=_wide(labels)),
            "Points": st.column_config.TextColumn(alignment="right", width="small"),
        },
        alt=f"Table: {len(ordered)} facts about customer {customer.key} with their points of risk",
    )


run = data.run()
page(run.pair, run.chosen)

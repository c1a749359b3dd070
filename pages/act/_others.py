"""Customer: others like this one and what became of them, and the same customer in past scorings."""

from __future__ import annotations

from typing import Any

import streamlit as st

from churn import words
from churn.base.points import PastRisk
from churn.base.snapshot import Customer, Neighbour
from churn.charts.past_risk import past_risk
from churn.understand.account import Account
from churn.words import escape_markdown as escape
from pages.act._find import open_customer
from pages.act._table import choosable, percent_column, right
from pages.act._tried import Tried
from pages.shared import widgets
from pages.shared.data import Pair

_SIMILAR = 8
_FACTS = 3  # that differ, told for each


# -- similar customers -----------------------------------------------------------


def similar(pair: Pair, tried: Tried) -> None:
    """The customers the model sees as nearest, folded until asked for."""
    with st.expander("Similar customers, and what became of them", key="_similar_block", on_change="rerun") as block:
        if block.open:
            _similar(pair, tried.customer, tried.own)


def _similar(pair: Pair, customer: Customer, own: Account) -> None:
    def nearest() -> tuple[Neighbour, ...]:
        points = pair.bundle.model.explain_row(customer.row).points
        return pair.snapshot.nearest([float(one) for one in points], _SIMILAR, customer.key)

    if not pair.snapshot.has_points:
        st.markdown("This scoring keeps no reasons to compare customers by. Score the base again to see who is similar.")
        return
    found = widgets.answer(pair, ("nearest", customer.key), nearest, 240)
    if not found:
        st.markdown("There is nobody to compare this customer with.")
        return
    st.caption(_summary(pair, found))
    known = any(one.customer.left is not None for one in found)
    columns: dict[str, list[Any]] = {
        "Customer": [one.customer.key for one in found],
        "Risk": [widgets.risk_cell(one.customer.risk) for one in found],
    }
    looks: dict[str, Any] = {"Risk": percent_column()}
    if known:
        columns["Since then"] = [_became(one.customer) for one in found]
        looks["Since then"] = st.column_config.TextColumn(width="small", help="What became of the customer, where it is known.")
    columns["Points apart"] = [words.points(one.distance, signed=False, unit=False) for one in found]
    looks["Points apart"] = right("By how many points of risk their reasons differ, all facts together.")
    choosable(
        columns,
        looks,
        first="Customer",
        icon=":material/person_search:",
        key="_similar",
        alt=f"Table: {len(found)} customers most like {customer.key}; {found[0].customer.key} is nearest with a risk of "
        f"{words.percent(found[0].customer.risk)}.",
        on_choose=lambda row: _open(found[row].customer.key),
    )
    st.caption("How each differs, what weighs most for this customer first")
    st.markdown(
        "\n".join(f"- {escape(one.customer.key)}: {escape(_differs(pair, customer, one.customer, own))}" for one in found)
    )


def _open(key: str) -> None:
    open_customer(key)
    st.session_state["_opened"] = True  # a fragment's own run cannot change what stands above it


def opened() -> bool:
    """Whether a customer was just opened from within the fragment; told once."""
    return bool(st.session_state.pop("_opened", False))


def _summary(pair: Pair, found: tuple[Neighbour, ...]) -> str:
    """`Nearest in the model's own terms · 5 of the 8 left; their average risk is 71.2%`. Markdown."""
    average = words.average(sum(one.customer.risk for one in found) / len(found))
    parts = ["Nearest in the model’s own terms: alike in what moves the risk"]
    told = [one for one in found if one.customer.left is not None]
    if told:
        left = sum(bool(one.customer.left) for one in told)
        parts.append(f"{left} of {len(told)} left; their average risk is {average}")
        if pair.snapshot.outcomes_tell:
            parts.append("the model may have learnt from these outcomes")
    else:
        parts.append(f"their average risk is {average}; what became of them is not known yet")
    if not pair.bundle.model.quick:
        parts.append("only customers whose reasons were worked out are compared")
    return f"{' · '.join(parts)} · click a number to open the customer"


def _became(customer: Customer) -> str | None:
    return None if customer.left is None else "Left" if customer.left else "Stayed"


def _differs(pair: Pair, customer: Customer, other: Customer, own: Account) -> str:
    """The facts of the other that differ, those that weigh most for this customer first."""
    names = [reason.feature for reason in own.reasons if other.row.get(reason.feature) != customer.row.get(reason.feature)]
    told = [words.value_text(other.row.get(name), pair.schema.feature(name), pair.schema) for name in names[:_FACTS]]
    more = len(names) - len(told)
    return " · ".join([*told, *([f"{words.count(more)} more"] if more > 0 else [])]) or "Nothing"


# -- over time -------------------------------------------------------------------


def over_time(pair: Pair, tried: Tried) -> None:
    """The customer's risk in past scorings, folded until asked for."""
    with st.expander("Over past scorings", key="_past_block", on_change="rerun") as block:
        if block.open:
            _over_time(pair, tried.customer)


def _over_time(pair: Pair, customer: Customer) -> None:
    earlier = pair.answer(("past", customer.key), lambda: pair.snapshot.past(customer.key))
    if not earlier:
        st.markdown("First scoring: there is no earlier risk of this customer to compare with.")
        return
    history = [*earlier, PastRisk(pair.snapshot.as_of, pair.snapshot.model, customer.risk)]
    change = words.whole_percent(history[-1].risk) - words.whole_percent(history[0].risk)
    since = words.day(history[0].as_of)
    moved = f"{words.points(change / 100)} since {since}" if change else f"the same as on {since}"
    models = len({one.model for one in history})
    also = " · part of a step between two models is the model’s own" if models > 1 else ""
    st.caption(f"{words.count(len(history))} scorings · {escape(moved)}{also}")
    widgets.chart(past_risk(history), key="_past")

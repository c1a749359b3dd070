"""Customer: what could help most, and what would have to change. A click fills the what-if."""

from __future__ import annotations

from typing import Any

import streamlit as st

from churn import words
from churn.base.expected_value import Assumptions
from churn.data.schema import Band
from churn.understand.actions import Outcome, Ranking, rank_actions
from churn.understand.changes import Answer, Changes, what_would_have_to_change
from churn.understand.what_if import ALWAYS, FROM_NOW_ON
from churn.words import escape_markdown as escape
from pages.act._table import choosable, percent_column, right
from pages.act._tried import Tried, try_edits
from pages.shared import data, widgets
from pages.shared.data import Pair

_SHOWN = 5  # bundles in view; the others are folded away
_GOAL = "_goal"
_EXAMPLE = """actions:
  - name: yearly_contract
    label: Move to a yearly contract, 10% off
    set: {COLUMN: LEVEL}
    scale: {PRICE_COLUMN: 0.9}
    cost: 40"""


# -- what could help most --------------------------------------------------------


def actions(pair: Pair, tried: Tried) -> None:
    """Every action of the catalogue and every two of them, from now on, the best first."""
    st.header("What could help most", anchor=False)
    assumptions = Assumptions.of(data.desk().settings)
    customer = tried.customer
    found = widgets.answer(
        pair,
        ("ranking", customer.key),
        lambda: rank_actions(
            customer.row, customer.money, model=pair.bundle.model, evidence=pair.evidence, assumptions=assumptions
        ),
        240,
    )
    if not pair.schema.actions:
        _how_to_add()
        return
    doing_nothing = f"doing nothing, the risk is {words.percent(found.nothing_done)} then"
    st.caption(f"From now on · {doing_nothing} · click an action to try it in the what-if")
    if not found.outcomes:
        st.markdown(escape(found.note))
        return
    _ranking(pair, tried, found, found.outcomes[:_SHOWN], assumptions, "_actions")
    rest = found.outcomes[_SHOWN:]
    left_out = [one for one in found.left_out if len(one.names) == 1]  # that two of them exclude each other is no news
    if rest or left_out:
        with st.expander(_rest_label(len(rest), len(left_out)), key="_more_actions", on_change="rerun") as more:
            if more.open:
                if rest:
                    _ranking(pair, tried, found, rest, assumptions, "_other_actions")
                st.markdown("\n".join(f"- {escape(one.label)}: {escape(one.reason)}" for one in left_out))
    if any(one.cost is None for one in found.outcomes):
        st.caption("What an action costs is not set. Whoever looks after the model can set it; then its worth is told too.")
    if found.value is not None and any(one.expected_cost is not None for one in found.outcomes):
        told = "\n".join(f"- {escape(one.name)}: {escape(one.sentence)}" for one in assumptions.in_words(pair.schema))
        st.caption("Net value and cost rest on **assumptions**, which are settings of the desk", help=told)


def _rest_label(others: int, left_out: int) -> str:
    parts = [f"{words.count(others)} more"] if others else []
    parts += [f"{words.count(left_out)} left out, and why"] if left_out else []
    return " · ".join(parts)


def _ranking(pair: Pair, tried: Tried, found: Ranking, outcomes: tuple[Outcome, ...], assumptions: Assumptions, key: str) -> None:
    currency = pair.schema.currency
    grey = {place for place, one in enumerate(outcomes) if not one.support.supported}
    columns: dict[str, list[Any]] = {
        "Risk after": [widgets.risk_cell(one.risk) for one in outcomes],  # first, so that a phone shows it beside the action
        "Action": [one.label for one in outcomes],
        "Points": [words.points(_points(one, found) / 100, unit=False) for one in outcomes],
    }
    looks: dict[str, Any] = {"Risk after": percent_column(), "Points": right("Against doing nothing.")}
    priced = any(one.expected_cost is not None for one in outcomes)
    if found.value is not None and priced:
        columns["Net value"] = [words.money(one.net_value, currency, signed=True) for one in outcomes]
        looks["Net value"] = right(
            "What the lower risk is worth, less the expected cost. It rests on assumptions: "
            + "; ".join(f"{one.name.lower()}: {one.value}" for one in assumptions.in_words(pair.schema))
            + "."
        )
    columns["Cost"] = ["not set" if one.expected_cost is None else words.money(one.expected_cost, currency) for one in outcomes]
    looks["Cost"] = right("Expected: the contact, and the offer where it is taken. It rests on assumptions.")
    if priced:
        per = f"Per {words.money(100, currency)}"
        columns[per] = [
            None if one.drop_per_cost is None else words.points(one.drop_per_cost * 100, signed=False, unit=False, decimals=1)
            for one in outcomes
        ]
        looks[per] = right("Points of risk taken away for that much of expected cost.")
    columns["Also"] = [" ".join([*([] if one.support.supported else [one.support.note]), *one.cascade]) for one in outcomes]
    looks["Also"] = st.column_config.TextColumn(help="What follows from it, and whether any real customer is like that.")

    def choose(row: int) -> None:
        asked = {name: value for name, value in outcomes[row].edited.asked.items() if value is not None}
        try_edits(asked, tried.customer, FROM_NOW_ON)

    choosable(
        columns,
        looks,
        first="Action",
        icon=":material/play_arrow:",
        key=key,
        alt=f"Table: {len(outcomes)} actions, the best first; {outcomes[0].label} leads with a risk of "
        f"{words.percent(outcomes[0].risk)}.",
        on_choose=choose,
        grey=grey,
    )
    if grey:
        notes = [outcomes[place].support.note for place in sorted(grey)]
        st.caption(f"Grey: {escape(' '.join(dict.fromkeys(notes)))}")


def _points(one: Outcome, found: Ranking) -> int:
    """Whole points between the two risks as they are printed."""
    return words.whole_percent(one.risk) - words.whole_percent(found.nothing_done)


def _how_to_add() -> None:
    st.markdown(words.say("no actions"))
    with st.expander("How to add one"):
        st.markdown("Whoever looks after the model writes it in the schema file, under `actions`, then trains and scores again:")
        st.code(_EXAMPLE, language="yaml")


# -- what would have to change ------------------------------------------------------


def changes(pair: Pair, tried: Tried) -> None:
    """The smallest edits that bring the customer's risk into a lower band, folded until asked for."""
    with st.expander("What would have to change", key="_changes", on_change="rerun") as block:
        if block.open:
            _changes(pair, tried)


def _changes(pair: Pair, tried: Tried) -> None:
    risk = tried.own.risk
    lower = [band for band in pair.schema.bands if band.below <= risk]
    if not lower:
        st.markdown(f"The risk is in the lowest band already: {escape(words.lower_first(pair.schema.band(risk).name))}.")
        return
    goal = _goal(lower)
    customer = tried.customer
    found = widgets.answer(
        pair,
        ("changes", customer.key, goal.below),
        lambda: what_would_have_to_change(customer.row, goal.below, model=pair.bundle.model, evidence=pair.evidence),
        200,
    )
    if found.answers:
        st.caption("Had it always been so · the smallest changes, each of other fields · click one to try it in the what-if")
        _answers(pair, tried, found)
    if found.note:
        st.caption(escape(found.note))


def _goal(lower: list[Band]) -> Band:
    by_name = {band.name: band for band in lower}
    if st.session_state.get(_GOAL) not in by_name:
        st.session_state[_GOAL] = lower[-1].name
    chosen = st.segmented_control(
        "To a risk that is",
        list(by_name),
        format_func=lambda name: escape(f"{name.lower()}, under {words.percent(by_name[name].below)}"),
        key=_GOAL,
        required=True,
        wrap=True,
    )
    return by_name[chosen or lower[-1].name]


def _answers(pair: Pair, tried: Tried, found: Changes) -> None:
    own = words.whole_percent(found.risk)

    def choose(row: int) -> None:
        answer: Answer = found.answers[row]
        try_edits(answer.changes, tried.customer, ALWAYS)

    choosable(
        {
            "Risk after": [widgets.risk_cell(one.risk) for one in found.answers],
            "Change": [" · ".join(one.words) for one in found.answers],
            "Points": [words.points((words.whole_percent(one.risk) - own) / 100, unit=False) for one in found.answers],
        },
        {"Risk after": percent_column(), "Points": right("Against the risk as it is.")},
        first="Change",
        icon=":material/play_arrow:",
        key="_answers",
        alt=f"Table: {len(found.answers)} ways to a lower risk; the smallest: {' and '.join(found.answers[0].words)}.",
        on_choose=choose,
    )
    st.markdown("\n".join(_in_full(answer) for answer in found.answers))


def _in_full(answer: Answer) -> str:
    """A change with what follows from it, as an item of a list: the table cuts what is longer than its column. Markdown."""
    follows = "".join(f" {escape(sentence.rstrip('.'))}." for sentence in answer.cascade)
    return f"- {escape(' · '.join(answer.words))}.{f' :gray[{follows.strip()}]' if follows else ''}"

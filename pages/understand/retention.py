"""Retention: how long customers stay, which groups stay longer, and where that is heading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow
import streamlit as st

from churn import words
from churn.base.groups import BAND, Filter
from churn.charts.survival import survival_chart
from churn.model.bundle import HOLDOUT
from churn.understand.cohorts import name_of
from churn.understand.retention import LEVEL, Group, Retention, columns, retention, tenure_of, told_by_time
from churn.words import escape_markdown as escape
from pages.shared import address, data, state, widgets
from pages.shared.data import Pair

_PAGE, _BY = "retention", "stay_by"
_KEYS = (_BY,)
_NONE = ""
_BOX = address.box(_BY)
_TELLING = 0.99  # of those still there: up to then a group of all tells nothing
_RIGHT = st.column_config.TextColumn(alignment="right")
_Mark = tuple[float, float, float] | None


def page(pair: Pair, chosen: Filter) -> None:
    if not pair.totals(chosen).customers:
        widgets.nobody(pair)
        return
    if tenure_of(pair.schema) is None:
        _nothing(
            "How long customers stay cannot be told from this table",
            "No column says how long somebody has been a customer. Where there is one, name its `clock` in the schema.",
        )
        return
    head = st.container()
    address.read(_PAGE, _KEYS)
    by = _pick(pair)
    address.write(_PAGE, _KEYS)
    kept_apart = pair.bundle.extra.get(HOLDOUT) if not pair.snapshot.outcomes_tell else None
    found = widgets.answer(pair, ("retention", chosen, by), lambda: retention(pair.snapshot, by, chosen, kept_apart), 600)
    if found is None:
        with head:
            _nothing(
                "Nobody is known to have left yet",
                "How long customers stay is told from those who left. Train a model on a table with outcomes, or clear filters.",
            )
        return
    if found.whole.small:
        with head:
            least = words.count(pair.snapshot.small_group)
            _nothing(
                "Too few customers to say how long they stay",
                words.say("too few", count=words.count(found.whole.customers), least=least),
            )
        return
    place = _telling(found)
    with head:
        st.title(escape(_title(pair, found, place)), anchor=False)
        st.markdown(f":gray[{escape(_next(found))}]")
        if ignored := told_by_time(chosen, pair.schema):
            st.info(escape(_not_narrowed(ignored, pair)), icon=":material/filter_alt_off:")
    _curves(pair, found)
    _figures(pair, found)
    _watched(pair, found)
    _ways_on(pair, found)


def _nothing(title: str, sentence: str) -> None:
    st.title(title, anchor=False)
    st.markdown(f":gray[{sentence}]")


# -- the answer ----------------------------------------------------------------


def _telling(found: Retention) -> int:
    """The mark at which most is told: where the groups lie furthest apart; without groups the first by which some have left."""

    def told(place: int) -> float:
        shares = [mark[0] for group in found.large if (mark := group.marks[place]) is not None]
        return max(shares) - min(shares) if len(shares) > 1 else 0.0

    places = [place for place, mark in enumerate(found.whole.marks) if mark is not None and mark[0] < _TELLING]
    return max(places, key=told, default=0)


def _title(pair: Pair, found: Retention, place: int) -> str:
    """`After 12 months, 84% of customers are still there: month-to-month 70%, two years 100%`."""
    whole = found.whole.marks[place]
    share = words.percent(whole[0]) if whole else words.NOTHING
    title = f"After {_time(found, found.marks[place])}, {share} of customers are still there"
    there = [(mark[0], group) for group in found.large if (mark := group.marks[place]) is not None]
    if len(there) < 2:
        return title
    least, most = min(there, key=lambda one: one[0]), max(there, key=lambda one: one[0])
    told = [f"{words.lower_first(_name(pair, found, group))} {words.percent(share)}" for share, group in (least, most)]
    return f"{title}: {told[0]}, {told[1]}"


def _next(found: Retention) -> str:
    parts = []
    median = found.whole.median
    parts.append(
        f"Half of them are gone after {_time(found, median)}."
        if median is not None
        else "More than half stay longer than can be seen."
    )
    if found.test is not None:
        differ = found.test.chance < LEVEL
        parts.append("The groups differ by more than chance." if differ else "The differences between the groups may be chance.")
    return " ".join(parts)


def _not_narrowed(ignored: Sequence[str], pair: Pair) -> str:
    """Why a filter that is chosen changes nothing here."""
    names = words.sentence_list("Risk band" if column == BAND else name_of(column, pair.schema) for column in ignored)
    return (
        f"The filter by {names} does not count on this page: it would choose customers by how long they have stayed, "
        "which is what the curve is about."
    )


def _time(found: Retention, time: float) -> str:
    return f"{words.count(time)} {words.plural(str(found.tenure.clock), time)}"


def _name(pair: Pair, found: Retention, group: Group) -> str:
    return widgets.group_name(pair, (found.by,), (group.label,), brief=True) if found.by else words.say("all customers")


# -- what is asked ---------------------------------------------------------------


def _pick(pair: Pair) -> str | None:
    """The column to compare by; the first that there is unless another one is picked."""
    offered = columns(pair.snapshot)
    names = {name_of(column, pair.schema): column for column in offered}
    told = address.text(_PAGE, _BY)
    usual = offered[0] if offered else _NONE
    by = usual if told is None else names.get(told, _NONE)
    st.session_state[_BOX] = by

    def picked() -> None:
        column = st.session_state[_BOX]
        address.pick(_PAGE, _BY, None if column == usual else name_of(column, pair.schema) if column else "All")

    st.selectbox(
        "Compare by",
        [*offered, _NONE],
        format_func=lambda column: name_of(column, pair.schema) if column else "Nothing, all together",
        key=_BOX,
        width=260,
        on_change=picked,
    )
    return by or None


# -- the curves --------------------------------------------------------------------


def _curves(pair: Pair, found: Retention) -> None:
    st.header("Who is still there", anchor=False)
    st.caption(
        f"Share of customers (up) by {words.plural(str(found.tenure.clock), 2)} as a customer (across) · shaded: likely range "
        "(19 times in 20) · dashed: projection · beside a line, where it ends"
    )
    widgets.chart(survival_chart(found), key="_survival")
    st.markdown(f":gray[{_how_made(found)}]")


def _how_made(found: Retention) -> str:
    """What the rows could tell, and what they could not."""
    clock = str(found.tenure.clock)
    if found.watched == "months":
        told = (
            f"Made from {words.count(found.whole.customers)} observations of customers whom training had not seen, each watched "
            "for one horizon, at all ages: what would stay of newcomers if every age went on leaving as it did then."
        )
    else:
        told = (
            f"Everybody counts from the first {clock}, as far as the table has them: where customers who left long ago were "
            "taken out of it, fewer stay than is shown."
        )
        if found.first > 1:
            told += f" Nobody in it has been there for less than {_time(found, found.first)}: who left before is not to be seen."
    alike = "The projection takes it that customers differ in how loyal they are and do not change: the least loyal leave first."
    if not all(group.ahead for group in found.large or (found.whole,)):
        alike += " Where that misses what was seen by more than 10 points, no projection is shown."
    return f"{told} {alike}"


def _figures(pair: Pair, found: Retention) -> None:
    st.header("In figures", anchor=False)
    heads = "observations" if found.watched == "months" else "customers"
    st.caption("In brackets, the likely range (19 times in 20)")
    listed = [*found.groups, found.whole]
    small = words.say("too few", count="{}", least=words.count(pair.snapshot.small_group))
    shown: dict[str, list[str | None]] = {
        name_of(found.by, pair.schema) if found.by else "Who": [group.label or "All" for group in listed],
        words.capital(heads): [words.count(group.customers) for group in listed],
        "Left": [words.count(group.leavers) for group in listed],
        "Half are gone after": [None if group.small or group.median is None else _time(found, group.median) for group in listed],
    }
    for place, mark in enumerate(found.marks):
        column = f"After {_time(found, mark)}"
        shown[column] = [
            small.format(words.count(group.customers)).split(";")[0] if group.small and not place else _cell(group, place)
            for group in listed
        ]
    _table(shown, f"Table: customers still there for {len(found.groups) or 1} groups at {len(found.marks)} times.")


def _cell(group: Group, place: int) -> str | None:
    mark = group.marks[place]
    if mark is None or group.small:
        return None
    share, low, high = (words.percent(one) for one in mark)
    return share if low == high else f"{share} ({words.interval(low, high)})"


def _watched(pair: Pair, found: Retention) -> None:
    with st.expander("How many were there to tell from", key="_watched", on_change="rerun") as opened:
        if not opened.open:
            return
        st.caption("Customers who were watched at that time: where they are few, the curve is unsure")
        listed = [*found.groups, found.whole]
        first = name_of(found.by, pair.schema) if found.by else "Who"
        shown: dict[str, list[str | None]] = {first: [group.label or "All" for group in listed]}
        for place, mark in enumerate(found.marks):
            shown[f"After {_time(found, mark)}"] = [words.count(group.watched[place]) for group in listed]
        _table(shown, f"Table: customers watched at {len(found.marks)} times.")


def _ways_on(pair: Pair, found: Retention) -> None:
    by = found.by
    if by is not None:
        widgets.way(
            "See the risk and the money of these groups",
            lambda: state.look({"by_row": (name_of(by, pair.schema),)}),
            widgets.COHORTS,
        )


def _table(shown: Mapping[str, list[str | None]], alt: str) -> None:
    first = next(iter(shown))
    config: dict[str, Any] = {column: _RIGHT for column in shown if column != first}
    st.dataframe(
        pyarrow.table(dict(shown)), column_config=config, hide_index=True, height="content", placeholder=words.NOTHING, alt=alt
    )


page(data.run().pair, data.run().chosen)

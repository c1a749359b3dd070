"""Cohorts: which groups of customers carry the risk and the money, who is in them, and which stand out by themselves."""

from __future__ import annotations

import io
import math
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow
import streamlit as st

from churn import words
from churn.base.groups import BAND, Filter
from churn.base.snapshot import Segment
from churn.charts import theme
from churn.charts.bars import Bar, bar_list
from churn.charts.heat_map import MOST_COLUMNS, MOST_ROWS, Tile, heat_map
from churn.data.spreadsheet import harmless
from churn.understand.cohorts import (
    Cohort,
    CohortTable,
    as_frame,
    cohort_table,
    dimensions,
    lead_words,
    name_of,
    observed,
    stake,
    telling,
    within,
)
from churn.understand.riskiest import Riskiest, riskiest
from churn.words import escape_markdown as escape
from pages.shared import address, data, state, widgets
from pages.shared.changes import since_the_last_scoring
from pages.shared.data import Pair, Question

# Keys in the address; no filter's key there has an underscore.
_ROWS, _COLUMNS, _FIGURE, _GROUP = "by_row", "by_column", "by_figure", "by_group"
_KEYS = (_ROWS, _COLUMNS, _FIGURE, _GROUP)
_NONE, _ONLY = "", "Rows only"
_RISK, _REVENUE, _LEAVERS, _CUSTOMERS = "Risk", "Revenue at risk", "Expected leavers", "Customers"
_BARS = 6
_LISTED = 10  # customers of a group on one page
_NAME = 240  # px for the name of a group in a table, at most: on a phone its risk still stands beside it
_WIDE, _REASON = 1049, 160  # px for all columns on a screen of 1440; for the reason of a group, at least
_BESIDE = 18  # px a table needs beside the text of a cell
_ROW, _LINE, _BROKEN = 35, 18, 61  # px: a row with one line, every further line, and the lowest row that Streamlit breaks text in


_Columns = dict[str, tuple[list[Any], Any]]  # name → cells and how they look


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The group that is looked into: a combination of groups, and the filter that leaves its customers only."""

    columns: tuple[str, ...]
    labels: tuple[str, ...]
    filter: Filter

    def name(self, pair: Pair) -> str:
        return widgets.group_name(pair, self.columns, self.labels)


def page(pair: Pair, chosen: Filter) -> None:
    if not pair.totals(chosen).customers:
        widgets.nobody(pair)
        return
    head = st.container()
    address.read("", _KEYS)
    columns, figure = _pick(pair, chosen)
    address.write("", _KEYS)
    table = widgets.answer(pair, *_table(pair, chosen, columns), 900)
    with head:
        st.title(escape(_title(pair, table)), anchor=False)
        st.markdown(f":gray[{_next(pair, table)}]")
    if table.customers < pair.snapshot.small_group:
        widgets.customer_pages(pair, chosen, table.customers, order=state.REVENUE, rows=_LISTED, key="_few")
        return
    group = _group(pair, chosen)
    left, right = st.columns([0.585, 0.415], gap="medium")
    with left:
        _tiles(pair, table, figure, group)
    with right:
        _carriers(pair, table, group)
    if group is not None:
        _look_into(pair, group)
    _all_groups(pair, table, group)
    _stand_out(pair, chosen, group)
    if group is None or pair.before is None:  # else the panel of the group says it of the group
        since_the_last_scoring(pair, chosen, "These customers" if chosen else "All customers")


def prepare(pair: Pair) -> None:
    """Ask what the first visitor asks."""
    everybody = Filter()
    _, narrow = pair.answer(*_columns(pair))
    told = pair.answer(*_telling(pair, everybody))
    pair.answer(*_table(pair, everybody, _dimensions(told[0], _second(told, told[0], narrow))))
    pair.answer(*_riskiest(pair, everybody))


# -- what is asked of the pair ---------------------------------------------------


def _telling(pair: Pair, chosen: Filter) -> Question[tuple[str, ...]]:
    return ("telling", chosen), lambda: telling(pair.snapshot, chosen)


def _table(pair: Pair, chosen: Filter, columns: tuple[str, ...]) -> Question[CohortTable]:
    return ("cohort table", chosen, columns), lambda: cohort_table(pair.snapshot, chosen, columns)


def _riskiest(pair: Pair, chosen: Filter) -> Question[Riskiest]:
    return ("riskiest", chosen), lambda: riskiest(pair.snapshot, chosen)


# -- the answer ----------------------------------------------------------------


def _title(pair: Pair, table: CohortTable) -> str:
    """`Month-to-month, 0–12 months: 28% of customers, 49% of the revenue at risk`."""
    if table.customers < pair.snapshot.small_group:
        return "1 customer matches" if table.customers == 1 else f"{words.count(table.customers)} customers match these filters"
    if not table.large:
        return f"{words.count(table.customers)} customers in {len(table.cohorts)} groups, each too small to say"
    lead = table.large[0].segment
    name = _in_a_sentence(_name(pair, lead))
    if len(table.cohorts) == 1:
        return f"All {words.count(table.customers)} customers are in one group: {name}"
    whole = stake(table)
    share = words.percent(stake(lead) / whole) if whole > 0 else words.NOTHING
    return f"{name}: {words.percent(lead.share)} of customers, {share} of the {_at_stake(table)}"


def _in_a_sentence(name: str) -> str:
    """`Contract: One year · Over 44 years` as a sentence has it: `Contract one year, over 44 years`, with one colon to come."""
    named = name.replace(": Over ", " over ").replace(": Up to ", " up to ").replace(": ", " ")
    first, *others = named.split(" · ")
    return ", ".join([first, *(words.lower_first(one) if one.startswith(("Over ", "Up to ")) else one for one in others)])


def _next(pair: Pair, table: CohortTable) -> str:
    """What the leading group comes to, and where the risk is highest. Markdown, data escaped."""
    if not table.large:
        return words.say("too few", count=words.count(table.customers), least=words.count(pair.snapshot.small_group))
    lead, top = table.large[0].segment, table.riskiest
    leavers = f"{words.count(lead.expected_leavers)} expected leavers"
    money = pair.schema.money
    if lead.revenue_at_risk is None or money is None:
        parts = [f"That is {leavers}."]
    else:
        each = "" if money.period == "once" else f" a {money.period}"
        parts = [f"That is {escape(words.money(lead.revenue_at_risk, pair.schema.currency, cents=False))}{each} and {leavers}."]
    if top is not None and top.against_average is not None and len(table.large) > 1:
        name = f"**{escape(_name(pair, top.segment))}**" if top is not table.large[0] else "this same group"
        risk, times = words.percent(top.segment.average_risk), words.times(top.against_average).removesuffix("×")
        parts.append(f"The highest risk is in {name}: {risk}, {times} times the average.")
    return " ".join(parts)


def _at_stake(table: CohortTable) -> str:
    return "expected leavers" if table.revenue_at_risk is None else "revenue at risk"


def _name(pair: Pair, of: Segment, *, brief: bool = False) -> str:
    return widgets.group_name(pair, of.columns, of.labels, brief=brief)


# -- what is asked ---------------------------------------------------------------


def _pick(pair: Pair, chosen: Filter) -> tuple[tuple[str, ...], str]:
    """The one or two columns to group by and the figure to show.

    A column that nobody picked is the one that tells most within the filter, so it need not stand in the address.
    """
    names, narrow = pair.answer(*_columns(pair))
    columns = {name: column for column, name in names.items()}
    view, told = state.view(), pair.answer(*_telling(pair, chosen))
    row = columns.get(view.get(_ROWS, ("",))[0], told[0])
    second = _second(told, row, narrow)
    picked = view.get(_COLUMNS, ("",))[0]
    column = _NONE if picked == _ONLY else columns.get(picked, second)
    column = column if column in narrow and column != row else second
    figures = [_RISK, *([_REVENUE] if pair.snapshot.has_money else []), _LEAVERS, _CUSTOMERS]
    figure = view.get(_FIGURE, (_RISK,))[0]
    boxes = {_ROWS: row, _COLUMNS: column, _FIGURE: figure if figure in figures else _RISK}
    st.session_state.update({address.box(key): value for key, value in boxes.items()})

    def name(column: str) -> str:
        return names.get(column, _ONLY)

    with st.container(horizontal=True, key="_pick"):
        for label, key, options, other in (("Rows", _ROWS, [*names], _COLUMNS), ("Columns", _COLUMNS, narrow, _ROWS)):
            swap = (key, other, name(boxes[key]), name)
            st.selectbox(label, options, format_func=name, key=address.box(key), width=190, on_change=_picked, args=swap)
        st.segmented_control("Show", figures, required=True, key=address.box(_FIGURE), on_change=_show, wrap=True)
    return _dimensions(row, column), boxes[_FIGURE]


def _second(told: Sequence[str], row: str, narrow: Sequence[str]) -> str:
    """The column that tells most beside that of the rows; `_NONE` where none does."""
    return next((one for one in told if one != row and one in narrow), _NONE)


def _dimensions(row: str, column: str) -> tuple[str, ...]:
    return (row,) if column == _NONE else (row, column)


def _columns(pair: Pair) -> Question[tuple[dict[str, str], list[str]]]:
    """Columns that can make rows, by name, and those of few enough groups to make columns too."""

    def work() -> tuple[dict[str, str], list[str]]:
        found = dimensions(pair.snapshot)
        every = _named(pair)
        names = {column: every[column] for column in (*(one.column for one in found), BAND)}
        few = [one.column for one in found if len(one.labels) <= MOST_COLUMNS]
        return names, [*few, *([BAND] if len(pair.schema.bands) <= MOST_COLUMNS else []), _NONE]

    return "cohort columns", work


def _named(pair: Pair) -> dict[str, str]:
    """A name of its own for every column, as the address and the boxes have it."""
    names: dict[str, str] = {}
    for column in (*pair.schema.names, BAND):
        name = name_of(column, pair.schema)
        names[column] = name if name not in names.values() else f"{name} ({len(names) + 1})"
    return names


def _picked(key: str, other: str, was: str, name: Callable[[str], str]) -> None:
    """A callback: somebody picked a column; who picks for one what the other has gets the two exchanged."""
    now = st.session_state[address.box(key)]
    changed = {**state.view(), key: (name(now),)}
    if now == st.session_state[address.box(other)]:
        changed[other] = (was,)
    state.look(changed)


def _show() -> None:
    """A callback: somebody picked a figure; risk is what the address need not name."""
    figure = st.session_state[address.box(_FIGURE)]
    state.look({**state.view(), _FIGURE: () if figure == _RISK else (figure,)})


# -- the chosen group --------------------------------------------------------------


def _group(pair: Pair, chosen: Filter) -> _Chosen | None:
    """The group that is looked into; None where there is none, or the filter leaves nobody of it."""
    told = state.view().get(_GROUP, ())
    by_name = {name: column for column, name in pair.answer("column names", lambda: _named(pair)).items()}
    columns, labels = tuple(by_name.get(name, "") for name in told[::2]), tuple(told[1::2])
    if not told or len(columns) != len(labels) or len(set(columns)) < len(columns) or "" in columns:
        return None
    there = all(label in pair.snapshot.groups(column) for column, label in zip(columns, labels, strict=True))
    narrowed = within(chosen, columns, labels) if there else None
    return None if narrowed is None else _Chosen(columns, labels, narrowed)


def _choose(pair: Pair, of: Segment) -> None:
    names = pair.answer("column names", lambda: _named(pair))
    state.look(
        {
            **state.view(),
            _GROUP: tuple(part for c, label in zip(of.columns, of.labels, strict=True) for part in (names[c], label)),
        }
    )


def _close() -> None:
    state.look({**state.view(), _GROUP: ()})


def _look_into(pair: Pair, group: _Chosen) -> None:
    """Who is in the chosen group, and what changed there."""
    found = pair.answer(("segment", group.columns, group.filter), lambda: pair.snapshot.segments(group.filter, group.columns))
    with st.container(border=True, key="_group"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="_group_head"):
            st.header(escape(group.name(pair)), anchor=False, width="content")
            with st.container(horizontal=True, width="content"):
                st.button(
                    "Look at it alone",
                    icon=":material/filter_alt:",
                    type="tertiary",
                    key="_alone",
                    on_click=_alone,
                    args=(pair, group),
                )
                st.button("Close", icon=":material/close:", type="tertiary", key="_close", on_click=_close)
        if not found:
            st.markdown("Nobody is in this group with these filters.")
            return
        segment = found[0]
        compared = pair.before is not None
        left, right = st.columns([0.585, 0.415], gap="medium") if compared else (st.container(), st.container())
        with left:
            st.caption(_summary(pair, segment))
            widgets.customer_pages(
                pair, group.filter, segment.customers, order=state.REVENUE, rows=_LISTED, key="_group_customers"
            )
        if compared:
            with right:
                since_the_last_scoring(pair, group.filter, "This group")


def _alone(pair: Pair, group: _Chosen) -> None:
    widgets.narrow(pair, group.filter)
    _close()


def _summary(pair: Pair, segment: Segment) -> str:
    customers = words.counted(segment.customers, "customer")
    if segment.small:
        least = words.count(pair.snapshot.small_group)
        return f"{customers}; {words.lower_first(words.say('too few', count=words.count(segment.customers), least=least))}"
    parts = [
        customers,
        f"{words.percent(segment.average_risk)} risk",
        f"{words.count(segment.expected_leavers)} expected leavers",
    ]
    if segment.revenue_at_risk is not None:
        parts.append(f"{escape(words.money(segment.revenue_at_risk, pair.schema.currency, cents=False))} at risk")
    return " · ".join(parts)


# -- tiles and bars ------------------------------------------------------------------


def _tiles(pair: Pair, table: CohortTable, figure: str, group: _Chosen | None) -> None:
    """The heat map: a tile for every group, in the order of the groups."""
    by = [name_of(column, pair.schema) for column in table.columns]
    lower = [words.lower_first(name) for name in by]
    st.header(f"{figure} by {escape(' and '.join(lower))}", anchor=False)
    rows = _in_order(pair, table, 0)
    columns = _in_order(pair, table, 1) if len(by) > 1 else [""]
    left_out = len(rows) - MOST_ROWS
    if left_out > 0:
        sizes = {row: sum(one.segment.customers for one in table.cohorts if one.segment.labels[0] == row) for row in rows}
        kept = sorted(rows, key=lambda row: -sizes[row])[:MOST_ROWS]
        rows = [row for row in rows if row in kept]
    small = "share of customers" if figure == _CUSTOMERS else "customers in the group"
    also = f" · the {MOST_ROWS} largest of {MOST_ROWS + left_out}, the others are in the table below" if left_out > 0 else ""
    st.caption(f"Small figure: {small} · click a tile to see who is in it{also}")
    tiles = [
        Tile(
            id=str(place),
            row=rows.index(of.segment.labels[0]),
            column=columns.index(of.segment.labels[1]) if len(by) > 1 else 0,
            value=None if of.small else _value(of.segment, figure),
            figure="too few" if of.small else _printed(pair, of.segment, figure),
            note=words.percent(of.segment.share) if figure == _CUSTOMERS and not of.small else _short(of.segment.customers),
        )
        for place, of in enumerate(table.cohorts)
        if of.segment.labels[0] in rows
    ]
    marked = table.find(group.labels) if group and group.columns == table.columns else None
    drawn = heat_map(
        tiles,
        rows,
        columns,
        what=figure.lower(),
        by=lower,
        chosen=str(table.cohorts.index(marked)) if marked else None,
    )

    def clicked(point: Sequence[str]) -> None:
        if point and point[0].isdigit() and int(point[0]) < len(table.cohorts):
            _toggle(pair, table.cohorts[int(point[0])].segment, group)

    widgets.chart(drawn, key="_tiles", on_click=clicked)


def _toggle(pair: Pair, segment: Segment, group: _Chosen | None) -> None:
    """Look into a group; the one that is open already is closed."""
    if group and (group.columns, group.labels) == (segment.columns, segment.labels):
        _close()
    else:
        _choose(pair, segment)


def _in_order(pair: Pair, table: CohortTable, place: int) -> list[str]:
    there = {one.segment.labels[place] for one in table.cohorts}
    return [label for label in pair.snapshot.groups(table.columns[place]) if label in there]


def _value(segment: Segment, figure: str) -> float:
    found = {
        _RISK: segment.average_risk,
        _REVENUE: segment.revenue_at_risk or 0.0,
        _LEAVERS: segment.expected_leavers,
        _CUSTOMERS: float(segment.customers),
    }
    return max(found[figure], 0.0)


def _printed(pair: Pair, segment: Segment, figure: str) -> str:
    if figure == _RISK:
        return words.percent(segment.average_risk)
    if figure == _REVENUE:
        return words.money(segment.revenue_at_risk, pair.schema.currency, cents=False)
    return _short(round(segment.expected_leavers) if figure == _LEAVERS else segment.customers)


def _short(number: int) -> str:
    """A count where room is short: `1,994`, from ten thousand `12k`."""
    return words.money(number, "", cents=False)


def _carriers(pair: Pair, table: CohortTable, group: _Chosen | None) -> None:
    """The groups that carry most of what is at stake."""
    money = table.revenue_at_risk is not None
    st.header("Who carries the money" if money else "Where the expected leavers are", anchor=False)
    what = "revenue at risk" if money else "expected leavers"
    first = "Largest revenue at risk" if money else "Most expected leavers"
    st.caption(f"{first} first · share of customers in brackets")
    shown, rest = table.large[:_BARS], [one.segment for one in table.large[_BARS:]] + list(table.small)

    def figure(value: float) -> str:
        return words.money(value, pair.schema.currency, cents=False) if money else words.count(value)

    bars = [
        Bar(
            id=str(place),
            name=_name(pair, of.segment, brief=True),
            value=stake(of.segment),
            figure=figure(stake(of.segment)),
            note=f"({words.percent(of.segment.share)})",
        )
        for place, of in enumerate(shown)
    ]
    if rest:
        total, customers = sum(stake(one) for one in rest), sum(one.customers for one in rest)
        name = f"{words.count(len(rest))} other {'group' if len(rest) == 1 else 'groups'}"
        if customers < pair.snapshot.small_group:
            bars.append(Bar("", name, 0.0, words.NOTHING, "too few to say"))
        else:
            bars.append(Bar("", name, total, figure(total), f"({words.percent(customers / table.customers)})"))
    marked = next((str(place) for place, of in enumerate(shown) if group and of.segment.labels == group.labels), None)
    drawn = bar_list(bars, what=what, leading=theme.MONEY if money else theme.RAISES, chosen=marked)

    def clicked(point: Sequence[str]) -> None:
        if point and point[0].isdigit() and int(point[0]) < len(shown):
            _toggle(pair, shown[int(point[0])].segment, group)

    widgets.chart(drawn, key="_carriers", on_click=clicked)


# -- the table ----------------------------------------------------------------------


def _all_groups(pair: Pair, table: CohortTable, group: _Chosen | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="_table_head"):
        st.header("All groups", anchor=False, width="content")
        named = "-".join(_slug(name_of(column, pair.schema)) for column in table.columns)
        st.download_button(
            "Download",
            lambda: _file(pair, table),
            file_name=f"cohorts-{named}-{uuid.uuid4()}.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            type="tertiary",
            key="_download",
        )
    st.caption(_reconciled(pair, table))
    order = [*table.large, *(one for one in table.cohorts if one.small)]

    def chose(key: str) -> None:
        rows = st.session_state[key].selection.rows
        if rows and rows[0] < len(order):
            _choose(pair, order[rows[0]].segment)
        else:
            _close()

    _grid(
        pair,
        [_name(pair, one.segment, brief=True) for one in order],
        [one.segment for one in order],
        _columns_of(pair, table, order),
        key="_groups",
        chose=chose,
        group=group,
        alt=f"Table: {len(order)} groups by {_at_stake(table)}; {_name(pair, order[0].segment)} leads.",
    )
    if any(one.lead for one in order if not one.small):
        st.caption(
            "Top reason: what most often raises the risk in groups above the average, what most often lowers it in those below; "
            "in brackets, the share of the group's customers for whom it is the strongest."
        )
    if table.outcomes:
        st.caption(_about_outcomes(table))


def _columns_of(pair: Pair, table: CohortTable, order: Sequence[Cohort]) -> _Columns:
    """Column → its cells and how they look. What is too small to say stays empty."""

    def told(take: Callable[[Cohort], Any]) -> list[Any]:
        return [None if one.small else take(one) for one in order]

    segments = [one.segment for one in order]
    found: _Columns = {
        "Customers": ([one.customers for one in segments], _number("%,d", 80)),
        "Risk": (told(lambda one: widgets.risk_cell(one.segment.average_risk)), _risk_column()),
    }
    if table.outcomes:
        left = "Of those whose outcome is known, the share that left."
        cells = told(lambda one: None if (share := observed(one.segment)) is None else share * 100)
        found["Left (known)"] = (cells, _number("%.0f%%", 92, left))
        if any(one.foreseen is not None for one in segments):
            unseen = "The risk of the same customers by models that had not seen them: what is to be held against who left."
            cells = told(lambda one: None if one.segment.foreseen is None else one.segment.foreseen * 100)
            found["Foreseen"] = (cells, _number("%.0f%%", 74, unseen))
    found |= _at_stake_columns(pair, [None if one.small else one.segment for one in order])
    average = f"Risk as a multiple of the average, {words.average(table.average_risk)}."
    found["× average"] = (told(lambda one: one.against_average), _number("%.1f×", 74, average))
    if any(one.lead for one in order):
        besides = "The reason that most often stands first, besides the columns of the table, and for how many customers it does."
        reasons = told(lambda one: lead_words(one.lead, pair.leanings) if one.lead else None)
        taken = _room([_name(pair, one, brief=True) for one in segments if not one.small], _NAME)
        taken += sum(form["width"] for _, form in found.values())
        room = _room(reasons, max(_WIDE - taken, _REASON))
        found["Top reason"] = (reasons, st.column_config.TextColumn(help=besides, width=room))
    return found


def _at_stake_columns(pair: Pair, segments: Sequence[Segment | None]) -> _Columns:
    """Expected leavers, revenue at risk where there is money, and half the width of the range of the one that counts."""
    found: _Columns = {
        "Leavers": ([one.expected_leavers if one else None for one in segments], _number("%,.0f", 64, "Expected leavers."))
    }
    ranges = [one.leavers_interval if one else None for one in segments]
    form = "%,.0f"
    if pair.schema.money is not None:
        form = f"{pair.schema.currency.replace('%', '%%')}%,.0f"
        each = {"month": "a month", "quarter": "a quarter", "year": "a year", "once": "in all"}[pair.schema.money.period]
        money = [one.revenue_at_risk if one else None for one in segments]
        room = _room(["At risk", *(f"{pair.schema.currency}{one or 0:,.0f}" for one in money)], 120)
        found["At risk"] = (money, _number(form, room, f"Revenue at risk, {each}."))
        ranges = [one.interval if one else None for one in segments]
    if any(ranges):
        what = "the revenue at risk" if pair.schema.money else "the expected leavers"
        halves = [None if one is None else (one.high - one.low) / 2 for one in ranges]
        found["Likely within"] = (halves, _number(f"±{form}", 92, f"How far {what} may likely be off, 8 times in 10."))
    return found


def _grid(
    pair: Pair,
    names: Sequence[str],
    segments: Sequence[Segment],
    columns: _Columns,
    *,
    key: str,
    chose: Callable[[str], None],
    group: _Chosen | None,
    alt: str,
) -> None:
    """A table of groups; a row's box looks into the group, and shows which one that is.

    Nobody tells how wide the screen is: the figures that count stand first, and what is long is broken into lines.
    """
    marked = [row for row, one in enumerate(segments) if group and (one.columns, one.labels) == (group.columns, group.labels)]
    st.session_state[key] = {"selection": {"rows": marked, "columns": [], "cells": []}}
    few = [f"{name} (too few)" if one.small else name for name, one in zip(names, segments, strict=True)]
    large = [name for name, one in zip(names, segments, strict=True) if not one.small]  # the others need no room of their own
    first = [name for name in ("Risk", "At risk", "Leavers") if name in columns][:2]
    shown: _Columns = {
        "Group": (few, st.column_config.TextColumn(width=_room(large or few, _NAME))),
        **{name: columns[name] for name in first},
        **{name: column for name, column in columns.items() if name not in first},
    }
    lines = max(_lines(cells, form) for cells, form in ((large, shown["Group"][1]), *columns.values()))
    row = _ROW if lines == 1 else max(_BROKEN, _ROW + _LINE * (lines - 1))
    st.dataframe(
        pyarrow.table({name: cells for name, (cells, _) in shown.items()}),
        column_config={name: form for name, (_, form) in shown.items()},
        hide_index=True,
        on_select=lambda: chose(key),
        selection_mode="single-row",
        key=key,
        height="content" if len(segments) <= 12 else min(_ROW + round(12.15 * row), 640),  # the next row is seen to go on
        row_height=row,
        placeholder=words.NOTHING,
        alt=alt,
    )


def _room(texts: Sequence[str | None], most: int) -> int:
    """Pixels of a column that shows these texts in one line, or in as many as `most` pixels make of them."""
    return math.ceil(min(max((theme.width(text or "") for text in texts), default=0.0) * 1.02 + _BESIDE, most))


def _lines(cells: Sequence[Any], form: Any) -> int:
    """Into how many lines the longest text of a column is broken."""
    texts = {cell for cell in cells if isinstance(cell, str)} if isinstance(form["width"], int) else set()
    return max((len(theme.wrap(text, (form["width"] - _BESIDE) / 1.02)) for text in texts), default=1)


def _risk_column() -> Any:
    return st.column_config.ProgressColumn(min_value=0, max_value=100, format="%g%%", color="#DF8548", width=80)


def _number(form: str, width: int, help: str | None = None) -> Any:
    return st.column_config.NumberColumn(format=form, width=width, help=help)


def _reconciled(pair: Pair, table: CohortTable) -> str:
    """`Totals agree with the filter: 7,043 customers, 1,869 expected leavers, $139k at risk`, and what is too small to say."""
    small = pair.snapshot.small_group

    def sums(customers: int, leavers: float, revenue: float | None) -> str:
        parts = [words.counted(customers, "customer"), f"{words.count(leavers)} expected leavers"]
        return ", ".join(
            [*parts, *([] if revenue is None else [f"{escape(words.money(revenue, pair.schema.currency, cents=False))} at risk"])]
        )

    text = f"Totals agree with the filter: {sums(table.customers, table.expected_leavers, table.revenue_at_risk)}"
    if few := table.small:
        revenue = None if table.revenue_at_risk is None else sum(one.revenue_at_risk or 0.0 for one in few)
        of = sum(one.customers for one in few)
        told = sums(of, sum(one.expected_leavers for one in few), revenue)
        groups = "1 group has" if len(few) == 1 else f"{words.count(len(few))} groups have"
        text += f" · {groups} fewer than {words.count(small)} customers and no figures"
        if len(few) > 1 and of >= small:  # the figures of one would be just those that are held back
            text += f": {told}"
    return f"{text} · tick a row to see who is in it"


def _about_outcomes(table: CohortTable) -> str:
    """What the share that left can be held against."""
    if any(one.segment.foreseen is not None for one in table.cohorts):
        return (
            "The model learnt from these customers, so its risk comes closer to who left than it would for others. "
            "“Foreseen” is the risk by models that had not seen them."
        )
    return "“Left (known)” counts only customers whose outcome is known."


def _file(pair: Pair, table: CohortTable) -> bytes:
    """The table as a file for spreadsheets, in which no text runs as a formula."""
    buffer = io.BytesIO()
    simulated = data.desk().settings.simulated or pair.snapshot.simulated
    frame = as_frame(table, pair.schema, pair.leanings, simulated=simulated)
    harmless(frame).write_csv(buffer, quote_style="non_numeric", include_bom=True)
    return buffer.getvalue()


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "column"


# -- what stands out ------------------------------------------------------------------


def _stand_out(pair: Pair, chosen: Filter, group: _Chosen | None) -> None:
    """Groups of up to three conditions that nobody asked for."""
    st.header("Riskiest segments, found by themselves", anchor=False)
    found = widgets.answer(pair, *_riskiest(pair, chosen), 300)
    if not found.segments:
        st.markdown("No group of up to three conditions stands out from these customers by more than chance.")
        st.caption(_how(found))
        return
    segments = [one.segment for one in found.segments]
    checked = f"Their risk among the {words.count(found.checked)} customers that the search did not see."
    likely = "Between which shares of them leave: holds for all these segments together 8 times in 10."
    average = f"Checked risk as a multiple of the average, {words.average(found.average_risk)}."
    ranges = [words.interval(words.percent(one.likely.low), words.percent(one.likely.high)) for one in found.segments]
    columns: _Columns = {
        "Customers": ([one.customers for one in segments], _number("%,d", 80)),
        "Risk": ([widgets.risk_cell(one.average_risk) for one in segments], _risk_column()),
        "Checked": ([one.checked_risk * 100 for one in found.segments], _number("%.0f%%", 74, checked)),
        "Likely": (ranges, st.column_config.TextColumn(alignment="right", width=105, help=likely)),
        "× average": ([one.against_average for one in found.segments], _number("%.1f×", 74, average)),
        **{name: column for name, column in _at_stake_columns(pair, segments).items() if name != "Likely within"},
    }

    def chose(key: str) -> None:
        rows = st.session_state[key].selection.rows
        if rows and rows[0] < len(segments):
            _choose(pair, segments[rows[0]])
        else:
            _close()

    names = [_name(pair, one) for one in segments]
    alt = f"Table: {len(names)} segments by risk; {names[0]} leads with {words.percent(found.segments[0].checked_risk)}."
    st.caption(f"{_how(found)} Tick a row to see who is in it.")
    _grid(pair, names, segments, columns, key="_riskiest", chose=chose, group=group, alt=alt)


def _how(found: Riskiest) -> str:
    return (
        f"Searched among {words.count(found.searched)} customers chosen at random: {words.count(found.tried)} groups tried. "
        f"Told only if the {words.count(found.checked)} others bear it out, allowing for the number of segments told."
    )


if __name__ == "__main__":
    page(data.run().pair, data.run().chosen)

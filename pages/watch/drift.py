"""Drift: whether what the model is asked about still looks like what it learnt from, and what to do where it does not."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import pyarrow
import streamlit as st

from churn import words
from churn.base.snapshot import RISK
from churn.charts.drift import now_and_before, over_time
from churn.data.schema import Schema
from churn.model.store import open_store
from churn.score.sketch import Grid
from churn.understand.cohorts import dimensions
from churn.watch import drift_report as report
from churn.watch import drift_verdict as verdict
from churn.watch.drift import Against, Every, WindowDrift, span
from churn.watch.drift_verdict import STATUS, Verdict
from churn.watch.shape import shape
from churn.watch.watched import Watched, watched
from churn.words import escape_markdown as escape
from pages.shared import address, data, widgets
from pages.shared.data import Pair, Question
from pages.watch import _alerts

_PAGE = "drift"
_EVERY, _AGAINST, _WHOSE, _COLUMN = "dr_window", "dr_against", "dr_whose", "dr_column"
_KEYS = (_EVERY, _AGAINST, _WHOSE, _COLUMN)
_ALL = "All customers"
_COMPARED = {"reference": "Training", "before": "Window before"}
_ICONS = {"moved": ":material/warning:", "watch": ":material/visibility:", "steady": ":material/check_circle:"}
_COLOURS = ["#B3440F", "#8A6100", "#5A6675", "#5A6675"]  # of Moved, Watch, Steady, Too few
_MISSED_DAYS = 7  # without predictions that are said, where windows are shorter
_LOOK_S = 60  # how long what was read of the log may be old
_ROWS = 14  # of the table before it scrolls
_ROW_PX = 35
_MOST_GROUPS = 12  # of a column that is offered


def page(pair: Pair) -> None:
    head = st.container()
    address.read(_PAGE, _KEYS)
    controls = st.container(horizontal=True, vertical_alignment="bottom", key="_drift_pick")
    people = _people(pair)
    every, against = _windows().get(_picked(_EVERY)), _compared().get(_picked(_AGAINST), "reference")
    whose = people.get(_picked(_WHOSE))
    found = widgets.answer(pair, *_watched(pair, every, against, whose), 900)
    with controls:
        _choose("Window", _EVERY, list(_windows()), found.every.capitalize(), usual=every is None)
        _choose("Compare with", _AGAINST, list(_COMPARED.values()), _COMPARED[against], usual=against == "reference")
        _choose("Whose", _WHOSE, list(people), _picked(_WHOSE) if whose else _ALL, usual=whose is None, box=True)
    address.write(_PAGE, _KEYS)
    with head:
        if not found.windows:
            _nothing(pair, found, against, whose)
            return
        told = verdict.verdict(found.windows, found.grid, pair.schema, every=found.every, against=against)
        who = f"{widgets.group_name(pair, *((one,) for one in whose))}: " if whose else ""
        st.title(escape(f"{who}{words.lower_first(told.title) if who else told.title}"), anchor=False)
        st.markdown(f":gray[{escape(told.sentence)}]")
        if since := _nothing_since(found):
            st.info(
                f"Nothing has been predicted since {words.day(since)}: this page is as old as that.", icon=":material/history:"
            )
    left, right = st.columns([0.6, 0.4], gap="medium")
    with left:
        _risks(found, against)
    with right:
        _what_to_do(found, told)
    left, right = st.columns([0.56, 0.44], gap="medium")
    with left:
        column = _columns(pair, found)
    with right:
        _one_column(pair, found, column, against)
    _alerts.show()
    _files(pair, found, told, against, whose)


def prepare(pair: Pair) -> None:
    """Ask what the first visitor asks."""
    pair.answer(*_watched(pair, None, "reference", None))


# -- what is asked -----------------------------------------------------------------


def _watched(pair: Pair, every: Every | None, against: Against, whose: tuple[str, str] | None) -> Question[Watched]:
    desk = data.desk()
    before = list(dict.fromkeys(entry.model for entry in reversed(pair.pointer.history)))
    group = pair.snapshot.group(*whose) if whose else None

    def work() -> Watched:
        return watched(
            open_store(desk.settings),
            desk.registry,
            pair.bundle,
            before=[version for version in before if version != pair.bundle.version],
            every=every,
            against=against,
            importance=pair.snapshot.facts.get("mean_size"),
            grid=pair.answer("drift grid", lambda: Grid.of(pair.bundle)),
            keep=group.expression(whose[0]) if group is not None and whose is not None else None,
        )

    return ("drift", every, against, whose, int(time.monotonic() // _LOOK_S)), work


def _windows() -> dict[str, Every]:
    return {one.capitalize(): one for one in get_args(Every)}


def _compared() -> dict[str, Against]:
    return {_COMPARED[one]: one for one in get_args(Against)}


def _people(pair: Pair) -> dict[str, tuple[str, str] | None]:
    """Whose predictions may be looked at: everybody's, or those of one group of a column."""
    groups = [(one, label) for one in dimensions(pair.snapshot) if len(one.labels) <= _MOST_GROUPS for label in one.labels]
    return {_ALL: None} | {f"{one.label}: {label}": (one.column, label) for one, label in groups}


def _picked(key: str) -> str:
    return address.text(_PAGE, key) or ""


def _choose(label: str, key: str, options: Sequence[str], shown: str, *, usual: bool, box: bool = False) -> None:
    """One of the controls; what is as usual does not stand in the address."""
    place = address.box(key)
    st.session_state[place] = shown

    def picked() -> None:
        value = st.session_state[place]
        address.pick(_PAGE, key, None if usual and value == shown else value)

    if box:
        st.selectbox(label, options, key=place, on_change=picked, width=280)
    else:
        st.segmented_control(label, options, key=place, on_change=picked, required=True, wrap=True)


# -- the answer ----------------------------------------------------------------------


def _nothing(pair: Pair, found: Watched, against: Against, whose: tuple[str, str] | None) -> None:
    """Nothing can be said: what is missing, and what to do about it."""
    command = "churn score TABLE --publish"
    if not found.logged:
        title = "No prediction has been logged yet"
        text = "Every scoring that is published is logged, and watched from then on:"
    elif whose is not None:
        title, command = "No logged prediction is of this group", ""
        text = "Choose another group, or all customers."
    elif against == "before":
        title, command = "There is no window before to compare with", ""
        text = "One more scoring, or shorter windows, will do; or compare with training."
    else:
        title = f"Model {pair.bundle.version} has no logged predictions yet"
        text = "What was logged is of other models, and versions are never mixed. The next scoring fills this page:"
    st.title(escape(title), anchor=False)
    st.markdown(f":gray[{escape(text)}]")
    if command:
        st.code(command, language=None)


def _nothing_since(found: Watched) -> date | None:
    """The last day that predictions are about, where at least one whole window has gone by without any."""
    first, _ = span(datetime.now(UTC).date(), found.every)
    last = found.windows[-1].end
    return last if last < first - timedelta(days=1) and (first - last).days > _MISSED_DAYS else None


def _risks(found: Watched, against: Against) -> None:
    st.header("Have the risk scores moved?", anchor=False)
    reference = "training" if against == "reference" else "the window before"
    st.caption(
        f"Largest gap between each {found.every}'s scores and {reference}, in points of customers · bands: from where it counts; "
        "wider for few customers"
    )
    windows = (*found.earlier, *found.windows)
    widgets.chart(over_time(windows, RISK, "Risk"), key="_risk_over_time")
    if len(windows) == 1:
        st.markdown(":gray[One window so far; the next scorings make a line of it.]")


def _what_to_do(found: Watched, told: Verdict) -> None:
    st.header("What to do", anchor=False)
    full = sum(window.complete for window in found.windows)
    st.caption(f"Evidence from {words.counted(full, f'complete {found.every}')}")
    for line in told.lines:
        with st.container(horizontal=True, gap="small", key=f"_verdict {line.lead}"):
            st.markdown(_ICONS[line.mark], width="content")
            st.markdown(f"**{escape(line.lead)}** {escape(line.text)}", width="stretch")
    if found.windows[-1].alarming:
        widgets.way("See whether the ranking still holds", lambda: None, "pages/watch/performance.py")


# -- the columns -----------------------------------------------------------------------


def _columns(pair: Pair, found: Watched) -> str:
    """The table of columns; the one chosen, the first at first."""
    now = found.windows[-1]
    ranked = now.ranked
    names = [verdict.name_of(one.column, pair.schema) for one in ranked]
    past = f"{len(found.windows)} {words.plural(found.every, len(found.windows))}"
    columns: dict[str, list[Any]] = {
        "Column": names,
        "Status": [[STATUS[one.status]] for one in ranked],
        "Moved by": [round(100 * one.distance, 1) for one in ranked],
        "Weight": [round(100 * one.importance, 1) if one.importance else None for one in ranked],
        past: [[round(100 * _distance(window, one.column), 2) for window in found.windows] for one in ranked],
        "Missing, new": [verdict.odd(one, named=False) for one in ranked],
    }
    st.header("Which columns moved?", anchor=False)
    st.caption(
        "What moved before what is on watch, each by how far it moved × its weight in the score, both in points; the title names "
        "the first · click a row"
    )
    top = max(10.0, *(value for values in columns[past] for value in values))
    config = {
        "Status": st.column_config.MultiselectColumn(
            options=[STATUS[one] for one in ("moved", "watch", "quiet", "few")], color=_COLOURS, width=84
        ),
        "Moved by": st.column_config.NumberColumn(format="%.1f", width=78),
        "Weight": st.column_config.NumberColumn(format="%.1f", width=62),
        past: st.column_config.LineChartColumn(y_min=0, y_max=top, width=92),
        "Missing, new": st.column_config.TextColumn(alignment="right", width=106),
    }
    wanted = address.text(_PAGE, _COLUMN)
    place = names.index(wanted) if wanted in names else 0
    key = f"_drift_columns {now.model} {now.start} {found.every}"

    def chose() -> None:
        if rows := st.session_state[key].selection.rows:
            address.pick(_PAGE, _COLUMN, names[rows[0]] if rows[0] else None)

    st.dataframe(
        pyarrow.table(columns),
        column_config=config,
        hide_index=True,
        on_select=chose,
        selection_mode="single-row-required",
        selection_default={"selection": {"rows": [place]}},
        key=key,
        height=(min(len(names), _ROWS) + 1) * _ROW_PX + 2,
        placeholder=words.NOTHING,
        alt=f"Table: {len(names)} columns by how far they moved; {names[0]} leads with {verdict.moved_by(ranked[0])} points.",
    )
    return ranked[place].column


def _distance(window: WindowDrift, column: str) -> float:
    return next((one.distance for one in window.columns if one.column == column), 0.0)


def _one_column(pair: Pair, found: Watched, column: str, against: Against) -> None:
    now = found.windows[-1]
    name = verdict.name_of(column, pair.schema)
    spread = shape(now, found.grid, pair.schema, column)
    then = "at training" if against == "reference" else "before"
    st.header(f"{escape(name)}, now and {then}", anchor=False)
    per = f"Share of customers per {escape(spread.each)}" if spread.each else "Share of customers"
    st.caption(f"{per} · {escape(verdict.window_words(now, found.every))}")
    widgets.chart(now_and_before(spread, name, then=then), key="_drift_shape")
    st.caption("How far it has moved over time, in points")
    widgets.chart(over_time((*found.earlier, *found.windows), column, name, height=190), key="_drift_column")
    told = " · ".join(f"{escape(what)}: **{escape(value)}**" for what, value in verdict.facts(now, column))
    st.markdown(told)


# -- files -----------------------------------------------------------------------------


def _files(pair: Pair, found: Watched, told: Verdict, against: Against, whose: tuple[str, str] | None) -> None:
    simulated = data.desk().settings.simulated or pair.snapshot.simulated
    who = f"{pair.schema.feature(whose[0]).label}: {whose[1]}" if whose else _ALL
    compared = "training" if against == "reference" else "the window before"
    origin = f"Model {pair.bundle.version}, printed {words.moment(widgets.local(datetime.now(UTC)))}"
    windows, schema = found.windows, pair.schema
    with st.container(horizontal=True, vertical_alignment="center", key="_drift_files"):
        _file("Page (HTML)", "html", lambda: _html(windows, told, schema, who, compared, origin, simulated=simulated))
        _file("Figures (JSON)", "json", lambda: _json(windows, told, schema, who, against, simulated=simulated))
        st.caption("Names no customer.")


def _html(
    windows: Sequence[WindowDrift], told: Verdict, schema: Schema, who: str, compared: str, origin: str, *, simulated: bool
) -> str:
    return report.to_html(windows, told, schema, who=who, compared=compared, simulated=simulated, origin=origin)


def _json(windows: Sequence[WindowDrift], told: Verdict, schema: Schema, who: str, compared: str, *, simulated: bool) -> str:
    return report.to_json(report.document(windows, told, schema, who=who, compared=compared, simulated=simulated))


def _file(label: str, kind: str, make: Any) -> None:
    st.download_button(
        label,
        make,
        file_name=f"drift-{uuid.uuid4()}.{kind}",
        mime="text/html" if kind == "html" else "application/json",
        on_click="ignore",
        icon=":material/download:",
        key=f"_drift_file {kind}",
    )


if __name__ == "__main__":  # run as a page, not imported for `prepare`
    page(data.run().pair)

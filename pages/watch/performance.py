"""Performance: whether the predictions hold: promised and what came of it, by month, by risk and by group."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pyarrow
import streamlit as st

from churn import words
from churn.base.groups import BAND, Group
from churn.base.snapshot import RISK
from churn.charts.calibration_curve import calibration_curve
from churn.charts.performance import GROUPS, Measure, group_gaps, over_time
from churn.errors import RecordsUnavailable
from churn.model.store import open_store
from churn.score import log, outcomes
from churn.understand.cohorts import dimensions, name_of
from churn.watch import performance as performances
from churn.watch.by_group import GroupPerformance, by_group, worst_first
from churn.watch.figures import Band, Figures
from churn.watch.performance import LIST_SIZE, Every, ModelFacts, Whose, WindowPerformance
from churn.watch.verdict import in_100, verdict, when
from churn.words import escape_markdown as escape
from pages.shared import address, data, state, widgets
from pages.shared.data import Pair, Question

_PAGE = "performance"
_WHOSE, _LIST, _EVERY, _WINDOW, _SHOW, _BY = _KEYS = tuple(
    f"performance_{name}" for name in ("whose", "list", "every", "window", "show", "by")
)
_DRIFT = "pages/watch/drift.py"
_CHAMPION = "pages/watch/champion.py"
_ALL, _CALLED, _NOT_CALLED = "All customers", "Called", "Not called"
_WORST = "Where it errs most"
_EACH: Mapping[Every, str] = {"month": "Month", "week": "Week", "day": "Day"}
_MOST_LISTED = 10_000_000
_LOOK_S = 60  # how long what is known of the log may be old
_ROWS, _ROW_PX = 13, 35  # of a table before it scrolls
_RIGHT = st.column_config.TextColumn(alignment="right")
_Columns = Mapping[str, Sequence[str | None]]
_Asked = tuple[Every, int, str]  # how long a window is, the size of the list, whose


def page(pair: Pair) -> None:
    head = st.container()
    address.read(_PAGE, _KEYS)
    every, _, whose = asked = _pick(pair)
    damaged, found = widgets.answer(pair, *_history(pair, asked), 600)
    today = _today()
    said = verdict(found, pair.schema, champion=pair.bundle.version, today=today, every=every, whole=whose == _ALL)
    with head:
        st.title(escape(said.title), anchor=False)
        if said.follows:
            st.markdown(f":gray[{escape(said.follows)}]")
    for problem in damaged:
        st.warning(f"Left out of these figures: {escape(problem)}", icon=":material/broken_image:")
    if said.window is None:
        address.write(_PAGE, _KEYS)
        return
    window = _window(found, every, said.window)
    _over_time(pair, found, window, every)
    if window.realised is not None and not window.few:
        left, right = st.columns(2, gap="medium")
        with left:
            _promised(window, every)
        with right:
            _figures(pair, window)
        _by_group(pair, asked, window)
    else:
        _figures(pair, window)
    _windows(pair, found, every)
    address.write(_PAGE, _KEYS)
    with st.container(horizontal=True):
        widgets.way("See what has moved", lambda: None, _DRIFT)
        widgets.way("See how this model was chosen, and what else there is", lambda: None, _CHAMPION)


def prepare(pair: Pair) -> None:
    """Ask what the first visitor asks."""
    asked: _Asked = ("month", _usual_size(pair), _ALL)
    _, found = pair.answer(*_history(pair, asked))
    said = verdict(found, pair.schema, champion=pair.bundle.version, today=_today())
    if said.window is not None and said.window.realised is not None and not said.window.few:
        pair.answer(*_groups(pair, asked, said.window))


# -- what is asked of the log ------------------------------------------------------


def _today() -> date:
    return datetime.now(UTC).date()


def _state(pair: Pair) -> tuple[Any, ...]:
    """What the log and the outcomes are made of by now, and which day it is: what is kept of them holds as long as that does."""

    def look() -> tuple[Any, ...]:
        store = open_store(data.desk().settings)
        parts = tuple((part.name, part.run) for part in log.parts(store))
        return hash(parts), hash(tuple(entry.key for entry in store.list(outcomes.PREFIX)))

    return (*pair.answer(("log", int(time.monotonic() // _LOOK_S)), look), _today())


def _facts(pair: Pair) -> dict[str, ModelFacts]:
    found: dict[str, ModelFacts] = pair.answer(("model facts", _state(pair)), lambda: performances.facts_of(data.desk().registry))
    return found


def _called() -> pl.DataFrame | None:
    """Whoever a campaign was to call; None where the database cannot be asked."""
    try:
        return performances.who_was_called(data.desk().records)
    except RecordsUnavailable:
        return None


def _anybody_called(pair: Pair) -> bool:
    def ask() -> bool:
        found = _called()
        return found is not None and not found.is_empty()

    return pair.answer(("anybody called", int(time.monotonic() // _LOOK_S)), ask)


def _looked_at(pair: Pair, whose: str) -> dict[str, Any]:
    """Which customers, as `performances.of_log` takes it."""
    if whose in (_CALLED, _NOT_CALLED):
        kind: Whose = "called" if whose == _CALLED else "not called"
        return {"whose": kind, "called": _called()}
    if whose == _ALL:
        return {}
    column, label = _cohorts(pair)[whose]
    if column == BAND:
        bands = [band.below for band in pair.schema.bands]
        place = [band.name for band in pair.schema.bands].index(label)
        above = pl.col(RISK) >= (bands[place - 1] if place else 0.0)
        return {"where": above & (pl.col(RISK) < bands[place])}
    return {"where": pair.snapshot.group(column, label).expression(column)}


def _history(pair: Pair, asked: _Asked) -> Question[tuple[tuple[str, ...], tuple[WindowPerformance, ...]]]:
    every, size, whose = asked

    def work() -> tuple[tuple[str, ...], tuple[WindowPerformance, ...]]:
        damaged: list[str] = []
        store = open_store(data.desk().settings)
        facts, looked = _facts(pair), _looked_at(pair, whose)
        given: dict[str, Any] = {"today": _today(), "every": every, "facts": facts, "damaged": damaged, **looked}
        found = performances.of_log(store, pair.schema, size=size, **given)
        return tuple(damaged), found

    return ("performance", asked, _state(pair)), work


def _groups(pair: Pair, asked: _Asked, window: WindowPerformance) -> Question[tuple[GroupPerformance, ...]]:
    """Segments, groups named for fairness, and risk bands of a window, those it errs most about first."""
    every, _, whose = asked
    listed = window.realised.listed if window.realised else 1
    columns = tuple(dict.fromkeys((*pair.schema.segments, *pair.schema.fairness)))

    def work() -> tuple[GroupPerformance, ...]:
        store = open_store(data.desk().settings)
        given: dict[str, Any] = {
            "today": _today(),
            "every": every,
            "facts": _facts(pair),
            "damaged": [],
            **_looked_at(pair, whose),
        }
        rows = performances.window_of_log(store, pair.schema, window.model, window.start, columns=columns, **given)
        of = {column: _groups_of(pair, column) for column in columns}
        return worst_first(by_group(rows, of, pair.schema, listed, least=pair.snapshot.small_group))

    return ("performance by group", asked, window.model, window.start, _state(pair)), work


def _groups_of(pair: Pair, column: str) -> tuple[Group, ...]:
    """The groups of a column as the desk's filters name them."""
    return tuple(pair.snapshot.group(column, label) for label in pair.snapshot.groups(column))


def _cohorts(pair: Pair) -> dict[str, tuple[str, str]]:
    """The groups of customers that can be looked at alone: name → column and label."""
    found = {
        widgets.group_name(pair, (one.column,), (label,)): (one.column, label)
        for one in dimensions(pair.snapshot)
        if one.first
        for label in one.labels
    }
    return found | {widgets.group_name(pair, (BAND,), (band.name,)): (BAND, band.name) for band in pair.schema.bands}


# -- what is picked ----------------------------------------------------------------


def _usual_size(pair: Pair) -> int:
    """A list of 500; of a tenth where that would be more than a fifth of all."""
    customers = pair.snapshot.customers
    return LIST_SIZE if customers >= 5 * LIST_SIZE else max(customers // 10, 1)


def _pick(pair: Pair) -> _Asked:
    usual = _usual_size(pair)
    offered = [_ALL, *([_CALLED, _NOT_CALLED] if _anybody_called(pair) else []), *_cohorts(pair)]
    told = address.text(_PAGE, _WHOSE)
    whose = told if told in offered else _ALL
    size = int(address.number(_PAGE, _LIST, usual, 1, _MOST_LISTED))
    named = {label: every for every, label in _EACH.items()}
    every = named.get(address.text(_PAGE, _EVERY) or "", "month")
    boxes = {key: address.box(key) for key in (_WHOSE, _LIST, _EVERY)}
    st.session_state.update({boxes[_WHOSE]: whose, boxes[_LIST]: size, boxes[_EVERY]: _EACH[every]})

    def picked(key: str, usual: Any) -> None:
        value = st.session_state[boxes[key]]
        if key == _EVERY:
            address.pick(_PAGE, _WINDOW, None)
        address.pick(_PAGE, key, None if value in (usual, None) else str(value))

    with st.container(horizontal=True, vertical_alignment="bottom", key="_asked"):
        st.selectbox("Whose", offered, key=boxes[_WHOSE], width=260, format_func=escape, on_change=picked, args=(_WHOSE, _ALL))
        st.number_input(
            "Riskiest on the list",
            min_value=1,
            max_value=_MOST_LISTED,
            step=100,
            key=boxes[_LIST],
            width=180,
            on_change=picked,
            args=(_LIST, usual),
        )
        st.segmented_control("By", list(named), key=boxes[_EVERY], required=True, on_change=picked, args=(_EVERY, _EACH["month"]))
    return every, size, whose


def _window(found: Sequence[WindowPerformance], every: Every, usual: WindowPerformance) -> WindowPerformance:
    """The window that is looked at: the one picked, else the one that the title is about."""
    told = address.text(_PAGE, _WINDOW)
    return next((one for one in found if _id(one) == told), usual)


def _id(one: WindowPerformance) -> str:
    return f"{one.start.isoformat()} {one.model}"


# -- over time -----------------------------------------------------------------------


def _measures(pair: Pair) -> dict[str, tuple[Measure, str]]:
    """What can be shown over time, with what its axis says."""

    def at(one: Band | None) -> float | None:
        return None if one is None else one.value

    found = {
        "Left, of the list": (
            Measure("share of the list that left", lambda f: f.precision, lambda f: at(f.precision), words.percent),
            "Share of the riskiest on the list that left",
        ),
        "Left, of all": (
            Measure("customers who left", lambda f: f.expected_leavers, lambda f: f.left, words.count, sums=True),
            "Customers who left, against those expected to",
        ),
        "Revenue that left": (
            Measure("revenue that left", lambda f: f.expected_revenue, lambda f: f.revenue_left, _money(pair), sums=True),
            "Revenue of those who left, against that expected to leave",
        ),
        "Off by": (
            Measure("points more that left than promised", lambda f: f.calibration, lambda f: at(f.calibration), _points),
            "Points more that left than promised",
        ),
        "Ranking": (
            Measure("pairs told apart", lambda f: f.auc, lambda f: at(f.auc), _in_100, "above"),
            "How many times in 100 it picks the leaver over a stayer",
        ),
        "Error": (
            Measure("error of the risks", lambda f: f.log_loss, lambda f: at(f.log_loss), _error, "below"),
            "Error of the risks (log-loss), lower is better",
        ),
    }
    if pair.schema.money is None or pair.schema.money.column not in pair.schema:
        del found["Revenue that left"]
    return found


def _in_100(value: float) -> str:
    return in_100(Band(value, value, value))


def _points(value: float) -> str:
    return words.points(value, unit=False, decimals=1)


def _error(value: float) -> str:
    return f"{value:.3f}"


def _money(pair: Pair) -> Callable[[float], str]:
    return lambda value: words.money(value, pair.schema.currency, cents=False)


def _over_time(pair: Pair, found: Sequence[WindowPerformance], window: WindowPerformance, every: Every) -> None:
    st.header("Promised, and what came of it", anchor=False)
    measures = _measures(pair)
    told = address.text(_PAGE, _SHOW)
    box = address.box(_SHOW)
    st.session_state[box] = told if told in measures else next(iter(measures))

    def picked() -> None:
        value = st.session_state[box]
        address.pick(_PAGE, _SHOW, None if value == next(iter(measures)) else value)

    caption = st.container()
    shown = st.segmented_control(
        "Show", list(measures), key=box, required=True, on_change=picked, label_visibility="collapsed", wrap=True
    )
    measure, says = measures[shown if shown in measures else next(iter(measures))]
    caption.caption(
        f"{says} · line: promised, dashed while outcomes are not known · shaded: where outcomes should lie (19 times in 20) · "
        "dot: what happened, orange where it is outside, blue where that is better · below: share of outcomes known · "
        "click a dot to look at it"
    )

    def clicked(ids: list[Any]) -> None:
        if len(ids) == 2:
            address.pick(_PAGE, _WINDOW, f"{ids[1]} {ids[0]}")

    drawn = over_time(
        [one for one in found if not (one.kept_apart and measure.sums)],
        measure,
        lambda day: _axis(day, every),
        champion=pair.bundle.version,
        chosen=(window.model, window.start),
    )
    widgets.chart(drawn, key="_over_time", on_click=clicked)
    if any(one.realised is None for one in found):
        st.markdown(f":gray[{words.say('performance blind')}]")


def _axis(day: date, every: Every) -> str:
    if every == "month":
        return words.month(day)
    return words.day(day, year=False)


# -- one window ----------------------------------------------------------------------


def _promised(window: WindowPerformance, every: Every) -> None:
    assert window.realised is not None
    st.header("Whether the promised risk holds", anchor=False)
    st.caption(
        f"Tenths of the customers scored {escape(when(window, every, _today()))}: promised risk (across), share that left (up) · "
        "orange: off by more than chance, all ten together"
    )
    widgets.chart(calibration_curve(window.realised.dots), key="_promised")
    gap, slope = window.realised.calibration, window.realised.slope
    size = words.points(abs(gap.value), signed=False, decimals=1)
    told = f"In all, {size} {'more' if gap.value > 0 else 'fewer'} left than promised"
    if not words.rounded(gap.value, 3):
        told = "In all, as many left as promised"
    if slope is not None and not slope.holds(1.0):
        told += "; high risks were " + (
            "promised too low, low ones too high" if slope.value > 1 else "too high, low ones too low"
        )
    st.markdown(f"{told}.")


def _figures(pair: Pair, window: WindowPerformance) -> None:
    """The figures of a window, promised and come, and who was on the list."""
    found, promised = window.realised, window.promised or window.estimated
    listed = words.count((found or promised).listed)
    st.header("In figures", anchor=False)
    st.caption(
        f"Scored from {words.day(window.start)} to {words.day(window.end)} by model {escape(window.model)} · "
        f"{words.percent(window.matured)} of outcomes known · in brackets, the likely range (19 times in 20)"
    )
    rows: list[tuple[str, str | None, str]] = []

    def add(what: str, pick: Callable[[Figures], Band | None], shown: Callable[[float], str] = words.percent) -> None:
        came, due = None if found is None else pick(found), pick(promised)
        if due is not None:
            rows.append((what, None if came is None else _ranged(came, shown), _ranged(due, shown)))

    def add_sum(what: str, came: float | None, due: Band | None, shown: Callable[[float], str]) -> None:
        if due is not None:
            rows.append((what, None if came is None else shown(came), _ranged(due, shown)))

    add(f"Left, of the {listed} on the list", lambda f: f.precision)
    add("On the list, of those who left", lambda f: f.recall)
    add("Both together (F1)", lambda f: f.f1)
    add("Picks the leaver, times in 100", lambda f: f.auc, _in_100)
    add("Error (log-loss)", lambda f: f.log_loss, _error)
    add("Error (Brier score)", lambda f: f.brier, _error)
    add_sum("Left, of all", None if found is None else found.left, promised.expected_leavers, words.count)
    add_sum("Revenue that left", None if found is None else found.revenue_left, promised.expected_revenue, _money(pair))
    # as text, whose cells wrap, each before its range: on a phone a grid would cut them off
    lines = ["| What | What happened | Promised |", "|:--|--:|--:|"]
    lines += [f"| {' | '.join(_before_range(escape(cell or words.NOTHING)) for cell in row)} |" for row in rows]
    with st.container(key="_figures"):
        st.markdown("\n".join(lines), width="stretch")
    if found is not None:
        one = found.confusion
        listed_left, listed_stayed, others_left, others_stayed = (
            words.count(n) for n in (one.listed_left, one.listed_stayed, one.others_left, one.others_stayed)
        )
        st.markdown(
            f"On the list {listed_left} left and {listed_stayed} stayed; not on it {others_left} left and {others_stayed} stayed."
        )


def _ranged(band: Band, shown: Callable[[float], str]) -> str:
    value, low, high = (shown(one) for one in (band.value, band.low, band.high))
    return value if low == high else f"{value} ({words.interval(low, high)})"


# -- by group ------------------------------------------------------------------------


def _by_group(pair: Pair, asked: _Asked, window: WindowPerformance) -> None:
    st.header("By group", anchor=False)
    found = widgets.answer(pair, *_groups(pair, asked, window), 400)
    columns = list(dict.fromkeys(one.column for one in found))
    ordered = [column for column in (*pair.schema.fairness, *pair.schema.segments, BAND) if column in columns]
    names = {"": _WORST} | {column: _column(pair, column) for column in dict.fromkeys(ordered)}
    by_name = {name: column for column, name in names.items()}
    box = address.box(_BY)
    st.session_state[box] = by_name.get(address.text(_PAGE, _BY) or "", "")

    def picked() -> None:
        column = st.session_state[box]
        address.pick(_PAGE, _BY, names[column] if column else None)

    st.caption(
        "Points more that left than promised · dashed: as promised · ranges hold for all groups together (19 times in 20) · "
        "orange, blue: more than chance"
    )
    column = st.segmented_control(
        "By", list(names), format_func=lambda one: escape(names[one]), key=box, required=True, on_change=picked, wrap=True,
        label_visibility="collapsed",
    )  # fmt: skip
    some = [one for one in found if one.column == column] if column else list(found)
    fair = column in pair.schema.fairness
    small = [one for one in some if one.few]
    shown = [one for one in (some if column else worst_first(some)) if not one.few]
    if not shown:
        most = max((one.rows for one in some), default=0)
        st.markdown(words.say("too few", count=words.count(most), least=words.count(pair.snapshot.small_group)))
        return

    def name(one: GroupPerformance) -> str:
        return one.label if column else _group_name(pair, one)

    if not any(one.off for one in shown):
        st.markdown("None of them is off by more than chance.")
    left, right = st.columns([0.5, 0.5], gap="medium")
    with left:
        widgets.chart(group_gaps(shown, name), key="_gaps")
        if small:
            named = words.sentence_list(name(one) for one in small[:_ROWS])
            st.caption(f"Too few to say: {escape(named)}")
    with right:
        _treated(shown, name, fair=fair)
        worst = shown[0]
        if worst.column != BAND:
            of = name_of(worst.column, pair.schema)
            widgets.way(
                f"See the groups of {escape(words.lower_first(of))}", lambda: state.look({"by_row": (of,)}), widgets.COHORTS
            )


def _treated(shown: Sequence[GroupPerformance], name: Callable[[GroupPerformance], str], *, fair: bool) -> None:
    """Who gets on the list and who of the leavers is found, group by group."""
    listed = shown[:GROUPS]

    def told(band: Band) -> str:
        return _ranged(band, words.percent) if fair else words.percent(band.value)

    columns: _Columns = {
        "Group": [name(one) for one in listed],
        "On the list": [told(one.selected) for one in listed],
        "Leavers found": [None if one.recall is None else told(one.recall) for one in listed],
        "Off by": [words.points(one.gap.value, decimals=1) for one in listed],
    }
    config = dict.fromkeys(("On the list", "Leavers found", "Off by"), _RIGHT)
    _table(columns, config, f"Table: who is on the list and who is found, for {len(listed)} groups.")
    if fair:
        st.caption("Named in the schema to be treated alike: where ranges do not meet, the difference is more than chance")


def _group_name(pair: Pair, one: GroupPerformance) -> str:
    return widgets.group_name(pair, (one.column,), (one.label,))


def _column(pair: Pair, column: str) -> str:
    return "Risk" if column == BAND else name_of(column, pair.schema)


# -- all windows -----------------------------------------------------------------------


def _windows(pair: Pair, found: Sequence[WindowPerformance], every: Every) -> None:
    st.header(f"{_EACH[every]} by {_EACH[every].lower()}", anchor=False)
    apart = (
        " · kept apart: of days the model has learnt from, only customers it has not" if any(o.kept_apart for o in found) else ""
    )
    st.caption(f"Newest first · promised in brackets · choose a row to look at it{apart}")
    listed = list(reversed(found))
    today = _today()

    def name(one: WindowPerformance) -> str:
        return words.capital(when(one, every, today).split(" ", 1)[1].removeprefix("the week from "))

    def both(one: WindowPerformance, pick: Any, shown: Any) -> str | None:
        due = pick(one.promised or one.estimated)
        came = None if one.realised is None else pick(one.realised)
        if due is None:
            return None
        return f"{words.NOTHING if came is None else shown(came.value)} ({shown(due.value)})"

    def left(one: WindowPerformance) -> str:
        expected = words.count((one.promised or one.estimated).expected_leavers.value)
        came = words.NOTHING if one.realised is None or one.realised.left is None else words.count(one.realised.left)
        return f"{came} ({expected})"

    columns: dict[str, list[str | None]] = {
        _EACH[every]: [name(one) for one in listed],
        "Left": [left(one) for one in listed],
        "Off by": [None if one.realised is None else words.points(one.realised.calibration.value, decimals=1) for one in listed],
        "Of the list": [both(one, lambda f: f.precision, words.percent) for one in listed],
        "Picks the leaver": [both(one, lambda f: f.auc, _in_100) for one in listed],
        "Error": [both(one, lambda f: f.log_loss, _error) for one in listed],
        "Slope": [
            None if one.realised is None or one.realised.slope is None else f"{one.realised.slope.value:.2f}" for one in listed
        ],
        "Outcomes known": [words.percent(one.matured) for one in listed],
        "Customers": [f"{words.count(one.rows)} kept apart" if one.kept_apart else words.count(one.rows) for one in listed],
        "Model": [one.model for one in listed],
    }

    def chose() -> None:
        if rows := st.session_state["_windows"].selection.rows:
            address.pick(_PAGE, _WINDOW, _id(listed[rows[0]]))

    config = {column: _RIGHT for column in columns if column not in (_EACH[every], "Model")}
    st.dataframe(
        pyarrow.table(columns),
        column_config=config,
        hide_index=True,
        on_select=chose,
        selection_mode="single-row",
        key="_windows",
        height="content" if len(listed) <= _ROWS else (_ROWS + 1) * _ROW_PX,
        placeholder=words.NOTHING,
        alt=f"Table: {len(listed)} {words.plural('window', len(listed))}, promised and come.",
    )


def _before_range(cell: str) -> str:
    """A figure that may break before its range and not within it."""
    figure, bracket, interval = cell.partition(" (")
    return f"{figure}{bracket}{interval.replace(' ', chr(0xA0))}" if " to " in interval else cell


def _table(columns: _Columns, config: Mapping[str, Any], alt: str) -> None:
    rows = len(next(iter(columns.values())))
    st.dataframe(
        pyarrow.table(dict(columns)),
        column_config=dict(config),
        hide_index=True,
        height="content" if rows <= _ROWS else (_ROWS + 1) * _ROW_PX,
        placeholder=words.NOTHING,
        alt=alt,
    )


if __name__ == "__main__":
    page(data.run().pair)

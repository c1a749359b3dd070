"""Champion: which model is in use, why it was chosen, what it has shown, and what else there is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow
import streamlit as st

from churn import words
from churn.charts.calibration_curve import calibration_curve
from churn.charts.gain import gain
from churn.errors import BundleRejected, NotInStore, StoreUnavailable
from churn.model import pointer as pointers
from churn.model.gates import Check, judge
from churn.model.metrics import Metrics
from churn.watch import champion
from churn.watch.champion import Change, Verdict, Version
from churn.words import escape_markdown as escape
from pages.shared import data, widgets
from pages.shared.data import Pair

_MARKS = {True: ":blue[**✓**]", False: ":orange[**✗**]", None: ":gray[**–**]"}
_LOOK_S = 60  # how long the list of versions may be old
_ROWS = 12  # of a table before it scrolls
_ROW_PX = 35
_RIGHT = st.column_config.TextColumn(alignment="right")
_Columns = Mapping[str, Sequence[str | None]]


def page(pair: Pair) -> None:
    metrics = pair.bundle.metrics
    shown = champion.measured(metrics)
    since = widgets.local(pair.model_since)
    day = words.day(since.date(), year=since.year != datetime.now(UTC).year)
    noun = "customers" if pair.schema.snapshot is None else "customer records"
    st.title(escape(champion.title(pair.bundle.version, day, shown)), anchor=False)
    st.markdown(f":gray[{escape(champion.sentence(metrics, shown, noun))}]")
    history = champion.changes(pair.pointer.history)
    _why(pair, shown, history[0])
    if shown is not None:
        left, right = st.columns(2, gap="medium")
        with left:
            _gain(shown)
        with right:
            _calibration(shown)
    _tried(pair)
    _versions(pair)
    _history(pair, history)
    with st.expander("Model card", key="_card", on_change="rerun") as card:
        if card.open:
            st.markdown(champion.readable_card(pair.bundle.card, pair.schema))


# -- why this one --------------------------------------------------------------


def _why(pair: Pair, shown: Metrics | None, change: Change) -> None:
    st.header("Why it was chosen", anchor=False)
    why = f": {escape(change.why)}" if change.why else ""
    ranges = " · in brackets, the likely range (19 times in 20)" if shown else ""
    st.caption(f"Put in use by {escape(change.who)} on {words.moment(widgets.local(change.since))}{why}{ranges}")
    with widgets.loading(120, wait=not pair.knows("judged")):
        found = _verdicts(pair, shown)
    half = (len(found) + 1) // 2
    for column, some in zip(st.columns(2, gap="medium"), (found[:half], found[half:]), strict=True):
        with column:
            for verdict in some:
                with st.container(horizontal=True, gap="small", key=f"_verdict {verdict.lead}"):
                    st.markdown(_MARKS[verdict.passed], width="content")
                    st.markdown(f"**{escape(verdict.lead)}.** {escape(verdict.words)}", width="stretch")


def _verdicts(pair: Pair, shown: Metrics | None) -> tuple[Verdict, ...]:
    """The gates, as they are set now, against the model that was in use before, where that can still be had."""
    desk, before = data.desk(), champion.before(pair.pointer.history)

    def held() -> tuple[Check, ...]:
        old = desk.registry.load_model(before) if before else None
        return judge(pair.bundle, old, desk.settings)

    try:
        checks, lost = pair.answer("judged", held), None
    except (BundleRejected, NotInStore, StoreUnavailable) as error:
        checks = judge(pair.bundle, None, desk.settings)
        lost = Verdict(None, f"It cannot be held against {before} now", f"{words.capital(str(error))}.")
    found = champion.verdicts(checks, shown, pair.bundle.leaderboard, before)
    return (*found, lost) if lost else found


# -- what it has shown ---------------------------------------------------------


def _gain(shown: Metrics) -> None:
    st.header("How soon it finds the leavers", anchor=False)
    st.caption("Share of all leavers found (up) by calling so many customers, riskiest first (across)")
    widgets.chart(gain(shown.gain), key="_gain")
    tenth = next(found for share, found in shown.gain if share >= 0.1)
    st.markdown(f"The riskiest tenth holds {words.percent(tenth)} of the leavers; a tenth drawn by chance holds 10%.")


def _calibration(shown: Metrics) -> None:
    st.header("Whether its percentages hold", anchor=False)
    st.caption("Promised risk (across), share that left (up) · orange: off by more than chance")
    widgets.chart(calibration_curve(shown.calibration), key="_calibration")
    st.markdown(champion.in_all(shown))


def _tried(pair: Pair) -> None:
    rows = champion.tried(pair.bundle.leaderboard)
    st.header("What else was tried", anchor=False)
    if not rows:
        st.markdown("No other kinds of model were trained with this version.")
        return
    st.caption("Error: log-loss, lower is better · each judged by cross-validation, on customers it had not seen")
    columns: _Columns = {
        "Kind of model": [row.name for row in rows],
        "Use": [row.use for row in rows],
        "Picks the leaver": [f"{words.points(row.ranking, signed=False, unit=False, decimals=1)} in 100" for row in rows],
        "Error": [f"{row.error:.4f}" for row in rows],
        "Behind the best (19 times in 20)": [row.behind for row in rows],
        "How sure": [row.sure for row in rows],
    }
    right = dict.fromkeys(("Picks the leaver", "Error", "Behind the best (19 times in 20)"), _RIGHT)
    _table(columns, right, f"Table: {len(rows)} kinds of model by error; {rows[0].name} is the best.")


# -- versions and history --------------------------------------------------------


def _versions(pair: Pair) -> None:
    st.header("Versions", anchor=False)
    desk = data.desk()
    try:
        listed = widgets.answer(pair, ("versions", int(time.monotonic() // _LOOK_S)), desk.registry.versions, 200)
    except StoreUnavailable as error:
        st.warning(f"The versions cannot be listed: {escape(error)}", icon=":material/cloud_off:")
        return
    versions = champion.versions(listed, pair.pointer.history)
    elsewhere = any(champion.trained_elsewhere(one.facts) for one in versions)
    whom = "customers it had not seen" + (", but for those trained elsewhere, of which nobody here can tell" if elsewhere else "")
    st.caption(f"Newest first · each judged on {whom}")
    shown = [one.metrics for one in versions]
    columns: _Columns = {
        "Version": [one.version for one in versions],
        "Status": [one.status for one in versions],
        "Top tenth": [words.times(m.top_decile_lift.value) if m else None for m in shown],
        "Picks the leaver": [champion.in_100(m.roc_auc, interval=False) if m else None for m in shown],
        "Percentages off by": [champion.off_by(m.ece, interval=False) if m else None for m in shown],
        "Kind": [one.kind for one in versions],
        "Trained": [words.day(one.trained) for one in versions],
    }
    right = dict.fromkeys(("Top tenth", "Picks the leaver", "Percentages off by"), _RIGHT)
    _table(columns, right, f"Table: {len(versions)} versions; {pair.bundle.version} is in use.")
    for one in versions:
        if one.problem:
            st.warning(f"{escape(one.version)} cannot be used: {escape(one.problem)}", icon=":material/broken_image:")
    usable = [one for one in versions if not one.problem]
    other = _compare(usable, pair.bundle.version) if len(usable) > 1 else None
    _how_to_change(pair, other)


def _compare(versions: Sequence[Version], current: str) -> str | None:
    """Two versions side by side; gives back the one of them that is not in use."""
    by_name = {one.version: one for one in versions}
    names = list(by_name)
    first = names.index(current) if current in by_name else 0
    second = next(i for i in range(len(names)) if i != first)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        a = st.selectbox("Compare", names, index=first, key="_compare", format_func=escape, width=160)
        b = st.selectbox("with", names, index=second, key="_with", format_func=escape, width=160)
    if a == b:
        st.markdown("Choose two different versions to compare them.")
        return None if a == current else a
    found = champion.compare(by_name[a], by_name[b])
    columns: _Columns = {
        "": [row[0] for row in found.rows],
        a: [row[1] for row in found.rows],
        b: [row[2] for row in found.rows],
        "Better": [row[3] or None for row in found.rows],
    }
    _table(columns, {"": st.column_config.TextColumn("What")}, f"Table: {a} and {b} compared by {len(found.rows)} figures.")
    st.caption(escape(found.note))
    return next((name for name in (b, a) if name != current), None)


def _how_to_change(pair: Pair, other: str | None) -> None:
    """Promoting and rolling back are not done on this page: the commands that do it."""
    settings = data.desk().settings
    if settings.simulated:
        st.caption(
            "The demo keeps the model it came with. With data of your own, another version is put in use with: churn promote"
        )
        return
    option = "" if settings.workspace == "default" else f" --workspace {settings.workspace}"
    back = pointers.before(pair.pointer.history)
    commands = [f"churn{option} promote {other}"] if other else [f"churn{option} train TABLE --schema schema.yaml"]
    st.markdown("To put another version in use:" if other else "To train another version:")
    if back and back[1] and back[0] != pair.pointer.model:  # without a scoring there would be nothing to show
        commands.append(f'churn{option} rollback --reason "…"  # shows model {back[0]} as it was before')
    st.code("\n".join(commands), language=None, wrap_lines=True)


def _history(pair: Pair, changes: Sequence[Change]) -> None:
    st.header("History", anchor=False)
    st.caption("Who put which model in use, when and why · newest first")
    columns: _Columns = {
        "When": [words.moment(widgets.local(change.since)) for change in changes],
        "What": [change.what for change in changes],
        "Who": [change.who for change in changes],
        "Why": [change.why or None for change in changes],
        "Scorings shown": [words.count(change.scorings) for change in changes],
    }
    _table(
        columns, {"Scorings shown": _RIGHT}, f"Table: {len(changes)} changes of the model in use; {changes[0].what} is the last."
    )


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


page(data.run().pair)

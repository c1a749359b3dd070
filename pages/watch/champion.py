"""Champion: which model is in use, why it was chosen, what it has shown, and what else there is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import streamlit as st

from churn import words
from churn.charts.calibration_curve import calibration_curve
from churn.charts.gain import gain
from churn.errors import BundleRejected, NotInStore, StoreUnavailable
from churn.model.gates import Check, judge
from churn.model.metrics import Metrics
from churn.watch import champion
from churn.watch.champion import Change, Verdict
from churn.words import escape_markdown as escape
from pages.shared import data, widgets
from pages.shared.data import Pair
from pages.watch import _decisions, _versions
from pages.watch._table import RIGHT, Columns, table

_MARKS = {True: ":blue[**✓**]", False: ":orange[**✗**]", None: ":gray[**–**]"}


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
    _versions.show(pair)
    _decisions.show(pair)
    _history(pair, history)
    _tried(pair)
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
    columns: Columns = {
        "Kind of model": [row.name for row in rows],
        "Use": [row.use for row in rows],
        "Picks the leaver": [f"{words.points(row.ranking, signed=False, unit=False, decimals=1)} in 100" for row in rows],
        "Error": [f"{row.error:.4f}" for row in rows],
        "Behind the best (19 times in 20)": [row.behind for row in rows],
        "How sure": [row.sure for row in rows],
    }
    right = dict.fromkeys(("Picks the leaver", "Error", "Behind the best (19 times in 20)"), RIGHT)
    table(columns, right, f"Table: {len(rows)} kinds of model by error; {rows[0].name} is the best.")


# -- history --------------------------------------------------------------------


def _history(pair: Pair, changes: Sequence[Change]) -> None:
    st.header("History", anchor=False)
    st.caption("Who put which model in use, when and why · newest first")
    columns: Columns = {
        "When": [words.moment(widgets.local(change.since)) for change in changes],
        "What": [change.what for change in changes],
        "Who": [change.who for change in changes],
        "Why": [change.why or None for change in changes],
        "Scorings shown": [words.count(change.scorings) for change in changes],
    }
    alt = f"Table: {len(changes)} changes of the model in use; {changes[0].what} is the last."
    table(columns, {"Scorings shown": RIGHT}, alt, wrapped="Why")


page(data.run().pair)

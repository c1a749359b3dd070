"""Drift: the alerts that are open, and what people make of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import streamlit as st

from churn import words
from churn.errors import ChurnError, RecordsUnavailable, SettingsError
from churn.principal import ANONYMOUS
from churn.watch import alerts
from churn.watch.alerts import ACKNOWLEDGED, LONGEST, MUTED, OPEN, Alert
from churn.watch.rules import Rules
from churn.words import escape_markdown as escape
from pages.shared import data, widgets

_SHOWN = 8  # alerts in view; the others are folded away
_WIDTH = 800  # px: what settles an alert stays near what it is about
_MOST_WORDS = 500  # letters of a reason
_WEEKS = 4  # that an alert is left aside for, unless said otherwise
_SEEN, _ASIDE = "I have seen it", "Leave it aside"
_TOLD, _TURN = "_alert_told", "_alert_turn"


@st.fragment
def show() -> None:
    """The open alerts, those nobody has looked at first, each with what was found and a way to settle it."""
    st.header("Alerts", anchor=False)
    try:
        listed = alerts.listed(data.desk().records)
    except RecordsUnavailable as error:
        st.warning(f"Alerts cannot be read: {escape(error)}", icon=":material/cloud_off:")
        return
    told = st.session_state.pop(_TOLD, None)
    if not listed:
        st.markdown("No alert is open: nothing that was watched has moved for long enough to matter.")
        st.caption(words.capital(_needed()))
        return
    waiting = [one for one in listed if one.state == OPEN]
    muted = [one for one in listed if one.state == MUTED and one.until is not None]
    st.caption(f"{_summary(len(waiting), len(listed), muted)} · {_needed()}")
    if told:
        st.success(escape(told), icon=":material/check:")
    ordered = [*waiting, *(one for one in listed if one.state != OPEN)]
    for one in ordered[:_SHOWN]:
        _one(one)
    if rest := ordered[_SHOWN:]:
        with st.expander(f"{words.counted(len(rest), 'more alert')}", key="_more_alerts"):
            for one in rest:
                _one(one)


def _needed() -> str:
    """What the table of columns may show as moved without an alert."""
    try:
        often = Rules.of(data.desk().settings).often
    except SettingsError:
        return "the settings of alerts are wrong: see churn watch"
    return f"what moves becomes an alert once found {often}, a column only where it weighs enough in the score"


def _summary(waiting: int, listed: int, muted: Sequence[Alert]) -> str:
    """How many alerts wait, how many somebody has seen, and until when how many are left aside."""
    days = sorted({one.until for one in muted if one.until is not None})
    until = f"{len(muted)} muted until {words.day(days[0])}{' or later' if len(days) > 1 else ''}" if days else ""
    seen = listed - waiting - len(muted)
    ends = "they close by themselves once it is quiet"
    if not waiting:
        settled = [f"{'all' if seen == listed else seen} of them seen"] if seen else []
        told = ", ".join([*settled, *([until] if until else [])])
        return f"{words.capital(words.counted(listed, 'alert'))}, {told} · {ends}"
    wait = f"{words.counted(waiting, 'alert')} {'waits' if waiting == 1 else 'wait'} for somebody to look"
    others = [*([f"{words.count(seen)} seen already"] if seen else []), *([until] if until else [])]
    return f"{words.capital(', '.join([wait, *others]))} · {ends}"


def _one(one: Alert) -> None:
    """What was found, since when, who has seen it; and the form that settles it."""
    opened = words.day(widgets.local(one.opened).date(), year=False)
    row = st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", width=_WIDTH, key=f"_alert {one.id}"
    )
    with row:
        with st.container(width="stretch", gap="xxsmall"):
            mark = ":orange[:material/warning:]" if one.state == OPEN else ":gray[:material/visibility:]"
            st.markdown(f"{mark} {escape(one.words)}")
            about = f" · model {escape(one.model)}" if one.model else ""
            st.caption(f"Found on {opened}{about}{_who(one)}")
        if data.desk().visitor.name != ANONYMOUS:
            _settle(one)


def _who(one: Alert) -> str:
    if one.state == ACKNOWLEDGED:
        return f" · {escape(one.who)} has seen it: {escape(one.why)}"
    if one.state == MUTED:
        return f" · left aside until {words.day(one.until)} by {escape(one.who)}: {escape(one.why)}"
    return ""


def _settle(one: Alert) -> None:
    turn = int(st.session_state.get(_TURN, 0))  # a popover stays open as long as it is the same one
    with st.popover("Settle…", type="tertiary", key=f"_settle {one.id} {turn}"), st.form(f"_settling {one.id}", border=False):
        what = st.radio("What about it", (_SEEN, _ASIDE), key=f"_what {one.id}", horizontal=True)
        today = date.today()
        until = st.date_input(
            "Leave aside until",
            today + timedelta(weeks=_WEEKS),
            min_value=today,
            max_value=today + LONGEST,
            key=f"_until {one.id}",
            help="Only where it is left aside: up to and with that day, even if it goes and comes back.",
        )
        why = st.text_input("Why", key=f"_why {one.id}", max_chars=_MOST_WORDS, placeholder="Such as: the spring price list")
        if st.form_submit_button("Save"):
            _save(one, what, until if isinstance(until, date) else today, why)


def _save(one: Alert, what: str, until: date, why: str) -> None:
    desk = data.desk()
    try:
        if what == _ASIDE:
            alerts.mute(desk.records, one.id, until=until, who=desk.visitor.name, why=why, today=date.today())
        else:
            alerts.acknowledge(desk.records, one.id, who=desk.visitor.name, why=why)
    except ChurnError as error:
        widgets.failed(error)
        return
    st.session_state[_TOLD] = f"Left aside until {words.day(until)}." if what == _ASIDE else "Noted that you have seen it."
    st.session_state[_TURN] = int(st.session_state.get(_TURN, 0)) + 1
    st.rerun()

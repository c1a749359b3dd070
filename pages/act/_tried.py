"""Customer: what is being tried, and the panel to try it with."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st

from churn import words
from churn.act import scenarios
from churn.base.snapshot import Customer
from churn.charts.note import Note, scenario_note
from churn.errors import ChurnError, DataError
from churn.understand.account import Account
from churn.understand.evidence import Support
from churn.understand.what_if import ALWAYS, FROM_NOW_ON, Edited, Scenario, Since, cascade_sentences
from churn.words import escape_markdown as escape
from pages.shared import data, state, widgets
from pages.shared.data import Pair
from pages.shared.fields import fields

_FIELDS = 7  # what-if fields in view; the others are folded away
_KINDS: tuple[Since, ...] = (ALWAYS, FROM_NOW_ON)
SHOW_SCENARIOS = "_scenarios"


@dataclass(frozen=True, slots=True)
class Tried:
    """One customer with what is being tried: `own` is its account as scored, `before` what an edit is compared with."""

    customer: Customer
    scenario: Scenario
    edited: Edited
    own: Account
    before: Account
    after: Account
    support: Support

    @classmethod
    def now(cls, pair: Pair, customer: Customer) -> Tried:
        """What the session tries now; edits that a new model's schema does not allow are let go."""
        scenario = state.scenario()
        try:
            edited = pair.edited(customer, scenario.changes, scenario.since)
        except DataError:
            state.keep(scenario := Scenario())
            edited = pair.edited(customer, {})
        own = pair.account(customer)
        later = edited.since == FROM_NOW_ON and bool(edited.changed)
        return cls(
            customer=customer,
            scenario=scenario,
            edited=edited,
            own=own,
            before=pair.account_before(edited) if later else own,
            after=pair.account(customer, edited) if edited.changed else own,
            support=pair.support(edited),
        )

    @property
    def changed(self) -> bool:
        return bool(self.edited.changed)

    @property
    def change(self) -> int:
        """Whole points between the two printed risks."""
        return words.whole_percent(self.after.risk) - words.whole_percent(self.before.risk)


def panel(pair: Pair, tried: Tried) -> None:
    """The new risk, the fields, what follows, and the ways back."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="_what_if_head"):
        st.header("What if", anchor=False, width="content")
        _steps(tried)
    _kind(pair, tried)
    _risk(tried)
    names = _order(pair, tried.own)
    fields(pair, tried.edited, names[:_FIELDS])
    if rest := names[_FIELDS:]:
        label = f"{len(rest)} more {'field' if len(rest) == 1 else 'fields'}"
        with st.expander(label, key="_more_fields", on_change="rerun") as more:
            if more.open:
                fields(pair, tried.edited, rest)
    for sentence in cascade_sentences(tried.edited, pair.schema):
        st.caption(f":material/subdirectory_arrow_right: {escape(sentence)}")
    _keeping(pair, tried)
    st.caption(words.say("not a promise"))


def _steps(tried: Tried) -> None:
    with st.container(horizontal=True, width="content", gap="xsmall"):
        st.button(
            "Undo",
            icon=":material/undo:",
            type="tertiary",
            disabled=not tried.scenario.past,
            on_click=lambda: state.keep(state.scenario().undo()),
        )
        st.button(
            "Reset",
            icon=":material/restart_alt:",
            type="tertiary",
            disabled=not tried.scenario.edits,
            on_click=lambda: state.keep(state.scenario().reset()),
        )


def _kind(pair: Pair, tried: Tried) -> None:
    """Which of the two kinds of edit this is; the choice is a step that can be undone."""
    names = {kind: scenarios.kind_in_words(kind, pair.schema) for kind in _KINDS}
    st.session_state["_kind"] = tried.scenario.since
    st.segmented_control(
        "Which kind of change",
        _KINDS,
        format_func=lambda kind: names[kind][0],
        key="_kind",
        required=True,
        label_visibility="collapsed",
        width="stretch",
        on_change=_choose_kind,
        wrap=True,
    )
    st.caption(escape(names[tried.scenario.since][1]))


def _choose_kind() -> None:
    scenario = state.scenario()
    state.keep(scenario.to(scenario.changes, since=st.session_state["_kind"]))


def _risk(tried: Tried) -> None:
    risk = words.capital(words.percent(tried.after.risk))
    real = tried.support.supported
    compared = "doing nothing" if tried.edited.since == FROM_NOW_ON else "now"
    st.metric(
        "Risk after these changes",
        risk if real else f":gray[{risk}]",
        delta=words.ascii_minus(words.points(tried.change / 100)) if tried.change else 0 if tried.changed else None,
        delta_color="orange" if tried.change > 0 else "blue",
        delta_description=f"from {words.percent(tried.before.risk)} {compared}" if tried.changed else None,
    )
    if not tried.changed:
        st.caption("No change yet")
    elif not real:
        st.markdown(f":small[:orange[:material/help: {escape(tried.support.note)}]]")


def _order(pair: Pair, account: Account) -> list[str]:
    """Editable columns: those that weigh most for this customer come first, in the schema's order, then the others."""
    weight = [reason.feature for reason in account.reasons if pair.schema.feature(reason.feature).editable]
    first = set(weight[:_FIELDS])
    names = [name for name in pair.schema.names if name in set(weight)]
    return [name for name in names if name in first] + [name for name in names if name not in first]


# -- keeping it ------------------------------------------------------------------


def _keeping(pair: Pair, tried: Tried) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover("Keep…", icon=":material/bookmark_add:", disabled=not tried.changed, key="_keep"):
            suggested = scenarios.suggested_name(tried.edited, pair.schema)
            st.text_input("Name of this scenario", key="_keep_name", placeholder=suggested, max_chars=80)
            st.button("Keep", type="primary", key="_keep_now", on_click=_keep, args=(pair, tried, suggested))
        st.download_button(
            "Note",
            lambda: note(pair, tried),
            file_name=f"what-if-{uuid.uuid4()}.html",
            mime="text/html",
            on_click="ignore",
            icon=":material/download:",
            type="tertiary",
            disabled=not tried.changed,
            help="One page to print or to send: the changes, the risk, the reasons",
            key="_note",
        )


def _keep(pair: Pair, tried: Tried, suggested: str) -> None:
    """A callback: keep what is tried under the name given, and show it beside the others."""
    desk = data.desk()
    try:
        kept = scenarios.keep(
            desk.records,
            customer=tried.customer.key,
            name=st.session_state.get("_keep_name", "").strip() or suggested,
            edits=tried.scenario.edits,
            since=tried.scenario.since,
            model=pair.bundle.version,
            scoring=pair.snapshot.id,
            risk=tried.after.risk,
            risk_before=tried.before.risk,
            who=desk.visitor.name,
        )
    except ChurnError as error:
        st.session_state["_keep_failed"] = str(error)
        return
    st.session_state["_keep_name"] = ""
    st.session_state[SHOW_SCENARIOS] = True
    state.link(kept)
    st.toast(f"Kept as “{escape(kept.name)}”", icon=":material/bookmark_added:")


def note(pair: Pair, tried: Tried, name: str = "") -> bytes:
    """The what-if as a page that stands alone."""
    linked = state.linked()
    same = linked is not None and linked.edits == tried.scenario.edits and linked.since == tried.scenario.since
    told = Note(
        customer=tried.customer.key,
        name=name or (linked.name if linked and same else ""),
        before=tried.before,
        after=tried.after,
        edited=tried.edited,
        support=tried.support,
        model=pair.bundle.version,
        scored=widgets.local(pair.snapshot.created),
        printed=widgets.local(datetime.now(UTC)),
        simulated=data.desk().settings.simulated or pair.snapshot.simulated,
    )
    return scenario_note(told, pair.schema).encode()


def try_edits(changes: Mapping[str, str | float], customer: Customer, since: Since) -> None:
    """A callback: put these edits in the place of all others, as one step that can be undone."""
    state.keep(state.scenario().to(changes, customer.row, since=since))

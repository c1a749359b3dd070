"""A form for a customer who is in no table: fields from the schema, and the risk, the reasons and the waterfall at once."""

from __future__ import annotations

import streamlit as st

from churn import words
from churn.charts.waterfall import waterfall
from churn.understand.what_if import cascade_sentences
from churn.words import escape_markdown as escape
from pages.shared import widgets
from pages.shared.data import Pair
from pages.shared.fields import fields
from pages.shared.state import NEW

_TOLD = 5


def block(pair: Pair) -> None:
    st.header("Or describe one customer", anchor=False)
    st.caption("Somebody who is in no table yet: fill in what you know, the rest stays as is usual")
    with st.expander("Open the form", key="_new", on_change="rerun") as form:
        if form.open:
            _described(pair)


@st.fragment
def _described(pair: Pair) -> None:
    """Fields and result change together, and nothing else does. What is described here is written nowhere."""
    draft = NEW.now()
    edited = pair.described(draft.changes)
    account = pair.account_of(edited)
    support = pair.support(edited)
    left, right = st.columns([0.45, 0.55], gap="medium")
    with left:
        fields(pair, edited, pair.schema.names, NEW)
        st.caption(_open(pair))
        for sentence in cascade_sentences(edited, pair.schema):
            st.caption(f":material/subdirectory_arrow_right: {escape(sentence)}")
        with st.container(horizontal=True):
            st.button(
                "Undo",
                icon=":material/undo:",
                disabled=not draft.past,
                on_click=lambda: NEW.keep(NEW.now().undo()),
                key="_new_undo",
            )
            st.button("Start again", disabled=not draft.edits, on_click=lambda: NEW.keep(NEW.now().reset()), key="_new_reset")
    with right:
        risk = words.capital(words.percent(account.risk))
        st.metric("Risk of leaving", risk if support.supported else f":gray[{risk}]")
        if not support.supported:
            st.markdown(f":small[:orange[{escape(support.note)}]]")
        st.markdown(escape(account.title("New customer")) + ". " + account.sentence(markdown=True))
        widgets.chart(waterfall(account.waterfall), key="_new_waterfall")
        told = [reason for reason in account.lines if reason.printed_points][:_TOLD]
        st.markdown("\n".join(f"- {escape(reason.words)}" for reason in told))
        st.caption("The model's answer from customers like this one. Nothing of this is kept.")


def _open(pair: Pair) -> str:
    """Which facts can be left not known, and why the others cannot."""
    labels = [words.lower_first(f.label) for f in pair.schema.features if pair.evidence.has_gaps(f)]
    if not labels:
        return words.say("form none open")
    return words.say("form open", labels=escape(words.sentence_list(labels)))

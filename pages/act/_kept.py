"""Customer: the scenarios that were kept, side by side, and the links that lead to them."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import streamlit as st

from churn import words
from churn.act import scenarios
from churn.act.scenarios import Kept
from churn.errors import ChurnError
from churn.understand.what_if import FROM_NOW_ON, Scenario
from churn.words import escape_markdown as escape
from pages.act._tried import SHOW_SCENARIOS, Tried
from pages.shared import data, state, widgets
from pages.shared.data import Pair

LINK = "what_if"  # in the address: a random token; no filter's key there has an underscore

_FOLLOWED = "_followed"


# -- opening a link ----------------------------------------------------------------


def follow_link(pair: Pair) -> None:
    """Open what the address names, once; the address forgets it when another customer is opened."""
    token = st.query_params.get(LINK)
    if not token:
        return
    linked = state.linked()
    if linked is not None and linked.token == token:
        return
    if token == st.session_state.get(_FOLLOWED):
        del st.query_params[LINK]
        return
    st.session_state[_FOLLOWED] = token
    try:
        kept = scenarios.find(data.desk().records, token)
    except ChurnError as error:
        st.error(f"The scenario cannot be opened: {escape(str(error))}", icon=":material/error:")
        return
    if kept is None:
        st.warning("This link leads to no scenario: it was deleted, or the link is not complete.", icon=":material/link_off:")
        return
    _open(pair, kept)


def _open(pair: Pair, kept: Kept) -> None:
    customer = pair.snapshot.customer(kept.customer)
    if customer is None:
        state.link(kept, Scenario())
        return
    fitted = scenarios.fitting(kept, customer.row, pair.schema, pair.evidence)
    state.link(kept, Scenario().to(fitted.changes, customer.row, since=kept.since))


def told(pair: Pair, tried: Tried) -> None:
    """Which scenario is open, and what it comes to now if the model or the customers are others than when it was kept."""
    kept = state.linked()
    if kept is None or kept.token != st.session_state.get(_FOLLOWED):
        return
    fitted = scenarios.fitting(kept, tried.customer.row, pair.schema, pair.evidence)
    then = f"{words.percent(kept.risk_before)} to {words.percent(kept.risk)}"
    when = words.day(widgets.local(kept.made).date())
    lines = [f"Scenario **{escape(kept.name)}**, kept by {escape(kept.who)} on {when}: from {then}."]
    if kept.model != pair.bundle.version or kept.scoring != pair.snapshot.id:
        edited = pair.edited(tried.customer, fitted.changes, kept.since)
        now = words.percent(pair.account(tried.customer, edited).risk)
        if kept.model != pair.bundle.version:
            lines.append(
                f"The model has changed since: it was {escape(kept.model)}, now it is {escape(pair.bundle.version)}, "
                f"which says {now}."
            )
        else:
            lines.append(f"The customers were scored again since; with today’s facts it is {now}.")
    if fitted.lost:
        lost = words.sentence_list(dict.fromkeys(fitted.lost))
        lines.append(f"Not possible any more, and left out: {escape(lost)}.")
    st.info(" ".join(lines), icon=":material/bookmark:")


# -- side by side --------------------------------------------------------------------


def side_by_side(pair: Pair, tried: Tried) -> None:
    """The kept scenarios of the customer, folded until asked for, or until one is kept."""
    with st.expander("Scenarios kept", key=SHOW_SCENARIOS, on_change="rerun") as block:
        if block.open:
            _list(pair, tried)


def _list(pair: Pair, tried: Tried) -> None:
    records = data.desk().records
    if problem := st.session_state.pop("_keep_failed", None):
        st.error(f"Nothing was kept: {escape(problem)}", icon=":material/error:")
    try:
        found = scenarios.of_customer(records, tried.customer.key)
    except ChurnError as error:
        widgets.failed(error)
        return
    gone = state.deleted()
    if gone is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"“{escape(gone.name)}” was deleted.")
            st.button("Bring it back", icon=":material/undo:", type="tertiary", key="_restore", on_click=_restore, args=(gone,))
    if not found:
        st.markdown("No scenario is kept of this customer. Change something in the what-if, then press Keep.")
        return
    st.caption("Risks as they were when each was kept · a link opens the customer with these changes and names nobody")
    now = tried.scenario
    for start in range(0, len(found), 3):
        for place, kept in zip(st.columns(3, gap="small"), found[start : start + 3], strict=False):
            with place:
                _card(pair, kept, shown=(kept.edits, kept.since) == (now.edits, now.since))


def _card(pair: Pair, kept: Kept, *, shown: bool) -> None:
    change = words.whole_percent(kept.risk) - words.whole_percent(kept.risk_before)
    with st.container(border=True, height="stretch", gap="xsmall", key=f"_kept {kept.token[:8]}"):
        st.markdown(f"**{escape(kept.name)}**" + (" · tried now" if shown else ""))
        st.markdown(f"{words.capital(words.percent(kept.risk))} :gray[({words.points(change / 100)})]")
        facts = " · ".join(escape(fact) for fact in scenarios.in_words(kept.edits, pair.schema))
        kind = words.lower_first(scenarios.kind_in_words(kept.since, pair.schema)[0])
        st.caption(f"{facts} · {kind}" if kept.since == FROM_NOW_ON else facts)
        with st.container(horizontal=True, gap="xsmall"):
            st.button("Open", type="tertiary", key=f"_open {kept.token}", on_click=_open_here, args=(pair, kept), disabled=shown)
            with st.popover("Link", type="tertiary", key=f"_link {kept.token}"):
                st.code(_address(kept), language=None, wrap_lines=True)
            st.button("Delete", type="tertiary", key=f"_delete {kept.token}", on_click=_delete, args=(kept,))


def _address(kept: Kept) -> str:
    """The link to a scenario, on the host the reader sees."""
    here = urlsplit(str(st.context.url or ""))
    path = here.path.rstrip("/")
    path = path if path.endswith("/customer") else f"{path}/customer"
    return urlunsplit((here.scheme, here.netloc, path, f"{LINK}={kept.token}", ""))


def _open_here(pair: Pair, kept: Kept) -> None:
    """A callback: the kept edits take the place of those tried, as one step that can be undone."""
    customer = pair.snapshot.customer(kept.customer)
    if customer is not None:
        fitted = scenarios.fitting(kept, customer.row, pair.schema, pair.evidence)
        state.link(kept, state.scenario().to(fitted.changes, customer.row, since=kept.since))
        st.session_state[_FOLLOWED] = kept.token


def _delete(kept: Kept) -> None:
    try:
        scenarios.delete(data.desk().records, kept.token)
    except ChurnError as error:
        st.session_state["_keep_failed"] = str(error)
        return
    if (linked := state.linked()) is not None and linked.token == kept.token:
        state.link(None)
    state.delete(kept)


def _restore(kept: Kept) -> None:
    try:
        scenarios.restore(data.desk().records, kept.token)
    except ChurnError as error:
        st.session_state["_keep_failed"] = str(error)
        return
    state.delete(None)

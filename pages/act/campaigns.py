"""Campaigns: whether calling helped, who is still to be called, and who changed what."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow
import streamlit as st

from churn import words
from churn.act import campaigns, results, uplift, worklist
from churn.act.call_list import UPLIFT
from churn.act.campaigns import DRAFT, FINISHED, RUNNING, TO_CALL, Campaign
from churn.act.results import Result
from churn.base.expected_value import Assumptions
from churn.base.groups import BAND
from churn.charts.effects import arms, effects
from churn.charts.uplift import uplift_chart
from churn.errors import ChurnError, StoreUnavailable
from churn.model.store import open_store
from churn.score import outcomes
from churn.understand.cohorts import name_of
from churn.words import escape_markdown as escape
from pages.act import _list, _worklist
from pages.shared import data, state, widgets
from pages.shared.data import Pair

_CALL_LIST = "pages/act/call_list.py"
_PICKED = "campaign_id"  # in the address
_BOX, _LAST, _STAY = "_campaign", "_campaign_last", "_campaign_stay"
_ORDER = (RUNNING, DRAFT, FINISHED)
_EVENTS = 50  # lines of history shown
_LOOK_S = 60  # how long known outcomes may be old


def page(pair: Pair) -> None:
    found = sorted(campaigns.every(data.desk().records), key=lambda one: _ORDER.index(one.status))
    if not found:
        _none_yet()
        return
    head = st.container()
    campaign = _pick(found)
    result = _result(pair, campaign)
    with head:
        _answer(pair, campaign, result)
    _told()
    _steps(pair, campaign)
    if result.readable:
        left, right = st.columns(2, gap="medium")
        with left:
            _arms(pair, result)
        with right:
            _by_group(pair, result)
    if campaign.status == FINISHED and result.measurable:
        _taught(pair, campaign, result)
    _worklist.show(pair, campaign)
    _history(campaign)


def _none_yet() -> None:
    st.title("No campaign yet", anchor=False)
    _told()
    st.markdown(
        "Start one from a call list: who is on it is called, but for a part kept uncalled to learn whether calling helps."
    )
    if st.button("Build a call list", type="primary", icon=":material/call:"):
        widgets.go(_CALL_LIST)


def _pick(found: Sequence[Campaign]) -> Campaign:
    """Which campaign is looked at: the one the address names, else the one looked at last, else the first."""
    by_id = {one.id: one for one in found}
    names = Counter(one.name for one in found)

    def label(id: str) -> str:
        one = by_id.get(id)
        if one is None:
            return id
        return f"{one.name} ({one.status})" if names[one.name] == 1 else f"{one.name} ({one.status}, {one.id})"

    asked = st.query_params.get(_PICKED)
    if st.session_state.get(_BOX) not in by_id:
        st.session_state.pop(_BOX, None)
    # of several with one name, a browser that only knows labels may take one for another once its status changes
    wanted = (st.session_state.pop(_STAY, None), st.session_state.get(_BOX), asked, st.session_state.get(_LAST))
    st.session_state[_BOX] = next((id for id in wanted if id in by_id), found[0].id)
    if len(found) > 1:
        st.selectbox("Campaign", list(by_id), format_func=label, key=_BOX, width=420, disabled=_worklist.waiting())
    picked = by_id[st.session_state[_BOX]]
    st.session_state[_LAST] = picked.id
    if asked != picked.id:
        st.query_params[_PICKED] = picked.id
    return picked


# -- the answer ----------------------------------------------------------------


def _result(pair: Pair, campaign: Campaign) -> Result:
    records = data.desk().records
    own = (campaign.id, campaign.version, _minute())

    def known() -> pl.DataFrame:
        found = outcomes.statements(open_store(data.desk().settings))
        members = campaigns.members(records, campaign.id)["customer"]
        return found.filter(pl.col(outcomes.KEY).is_in(members.to_list())).select(
            customer=pl.col(outcomes.KEY),
            as_of=pl.col(outcomes.AS_OF),
            left=pl.col(outcomes.LEFT),
            known_at=pl.col(outcomes.KNOWN_AT),
        )

    def work() -> Result:
        return results.measure(records, campaign.id, pair.answer(("outcomes of a campaign", *own), known))

    return widgets.answer(pair, ("campaign", *own, tuple(campaign.stages.values())), work, 200)


def _minute() -> int:
    """What is asked of the store is asked anew when this is another."""
    return int(time.monotonic() // _LOOK_S)


def _answer(pair: Pair, campaign: Campaign, result: Result) -> None:
    st.title(escape(results.title(result, pair.schema.currency)), anchor=False)
    if campaign.status == DRAFT:
        st.markdown(":gray[Nobody is called before you start it; until then you can drop it, and its customers are free again.]")
        return
    missing = results.not_yet(result)
    known = f"{words.count(result.progress.known)} of {words.counted(campaign.size, 'outcome')} are known."
    cause = ""
    if result.readable and result.effect.told and result.worked:
        cause = " Who was called was drawn at random, so calling is what made the difference."
    st.markdown(f":gray[{escape(missing) + ' ' if missing else ''}{known}{cause}]")
    if result.gone:
        st.caption(f"{words.counted(result.gone, 'customer')} had left before it began and counts in neither group.")
    for doubt in results.doubts(result):
        st.warning(escape(doubt), icon=":material/balance:")


def _arms(pair: Pair, result: Result) -> None:
    st.header("Did calling help?", anchor=False)
    st.caption("Share that left, with its likely range (19 times in 20) · everybody who was to be called counts, reached or not")
    widgets.chart(arms(result.effect), key="_arms")
    _money(pair, result)
    if (offered := results.offered_acceptance(result)) is not None:
        with st.expander("What it says about offers", key="_offers"):
            st.markdown(f"{escape(offered[0])} To work with that, put into config.yaml:")
            st.code(offered[1], language=None)


def _money(pair: Pair, result: Result) -> None:
    money = result.money
    if money is None:
        return
    currency = pair.schema.currency
    worth, cost = (words.money(one, currency, cents=False) for one in (money.worth, money.cost))
    low, high = (words.money(one, currency, cents=False) for one in (money.interval.low, money.interval.high))
    sofar = "" if result.complete else " so far"
    st.markdown(f"**{escape(worth)}**{sofar}, after {escape(cost)} of cost (likely {escape(words.interval(low, high))}).")
    st.caption(_worth_rests_on(pair, result.campaign.assumptions))


def _worth_rests_on(pair: Pair, assumptions: Assumptions) -> str:
    told = [one.sentence for one in assumptions.in_words(pair.schema) if one.name == words.say("assume value")]
    return escape(" ".join(told))


def _taught(pair: Pair, campaign: Campaign, result: Result) -> None:
    """Whether it taught a better ranking than that by risk, judged on its own customers."""
    try:
        found = pair.answer(
            ("taught", campaign.id, _minute()), lambda: uplift.read(open_store(data.desk().settings), campaign.id)
        )
    except StoreUnavailable as error:  # what it taught is no reason to show no result
        widgets.failed(error)
        return
    if found is None and not result.readable:
        return
    st.header("Whom does calling change?", anchor=False)
    if found is None:
        st.caption("It can be learnt from this campaign, and compared with calling the riskiest first, with this command")
        st.code(f"churn campaign uplift {campaign.id}", language=None)
        return
    left, right = st.columns([0.585, 0.415], gap="medium")
    with left:
        st.caption(
            "Customers kept (up) by calling so much of the campaign (across) · shaded: where the bold line likely lies "
            "(19 times in 20) · dashed: called in any order"
        )
        widgets.chart(uplift_chart(found), key="_taught")
    with right:
        st.markdown(f"**{escape(uplift.in_words(found))}.**")
        known = words.counted(found.customers, "customer")
        st.markdown(
            f"Judged on {known} of this campaign with a known outcome, {words.count(found.held)} of them kept uncalled. "
            "Nobody is ranked by a model that saw them."
        )
        latest, why_not = _list.learnt(pair)
        if latest == found and why_not is None:
            widgets.way("Rank a call list this way", _rank_so, _CALL_LIST)


def _rank_so() -> None:
    state.look({**state.view("call list"), "list_rank": (UPLIFT,)}, "call list")


def _by_group(pair: Pair, result: Result) -> None:
    shown = {column: groups for column, groups in result.by.items() if len(groups) > 1}
    st.header("For whom did it help?", anchor=False)
    if not shown:
        st.caption("Too few customers in every group to tell them apart")
        return
    names = {column: _column(pair, column) for column in shown}
    column = st.segmented_control(
        "By", list(shown), default=next(iter(shown)), required=True, format_func=names.__getitem__, key="_by", wrap=True
    )
    column = column if column in shown else next(iter(shown))
    st.caption("Points fewer that left among those called · ranges hold for all groups together (19 times in 20)")
    widgets.chart(effects([(group.label, group.effect) for group in shown[column]]), key="_by_group")
    if small := result.small.get(column):
        st.caption(f"Too few to say: {escape(words.sentence_list(small))}")


def _column(pair: Pair, column: str) -> str:
    if column in ("band", BAND):
        return "Risk band"
    return escape(name_of(column, pair.schema)) if column in pair.schema else escape(column)


# -- where it stands -------------------------------------------------------------


def _steps(pair: Pair, campaign: Campaign) -> None:
    """Draft → running → finished, and the way on to the next."""
    when = {DRAFT: campaign.made, RUNNING: campaign.started, FINISHED: campaign.finished}
    parts = []
    for status in (DRAFT, RUNNING, FINISHED):
        day = when[status]
        said = status if day is None else f"{status} {words.day(widgets.local(day).date(), year=False)}"
        parts.append(f"**{said}**" if status == campaign.status else said)
    who = f"{words.count(campaign.called)} to call, {words.count(campaign.held_out)} kept uncalled at random"
    with st.container(horizontal=True, vertical_alignment="center", key="_steps"):
        st.caption(f"{' → '.join(parts)} · by {escape(campaign.who)} · {who}")
        if campaign.status == DRAFT:
            if st.button("Start calling…", type="primary", key="_start"):
                _start(campaign)
            if st.button("Drop…", key="_drop"):
                _drop(campaign)
        if campaign.status == RUNNING and st.button("Finish…", key="_finish"):
            _finish(campaign)


@st.dialog("Start calling")
def _start(campaign: Campaign) -> None:
    kept = f", and {words.count(campaign.held_out)} stay uncalled" if campaign.held_out else ""
    who = words.counted(campaign.called, "customer")
    st.markdown(
        f"From now on the list of {escape(campaign.name)} stays as it is: {who} to call{kept}. Outcomes count from today. "
        "This cannot be undone."
    )
    if st.button("Start it", type="primary", key="_start_it", on_click=_move, args=(campaign, campaigns.start)):
        st.rerun()


@st.dialog("Drop the draft")
def _drop(campaign: Campaign) -> None:
    who = words.counted(campaign.size, "customer")
    st.markdown(f"{escape(campaign.name)} will be gone, and its {who} free for other lists. This cannot be undone.")
    if st.button("Drop it", type="primary", key="_drop_it", on_click=_give_up, args=(campaign,)):
        st.rerun()


def _give_up(campaign: Campaign) -> None:
    try:
        campaigns.drop(data.desk().records, campaign.id, who=data.desk().visitor.name)
    except ChurnError as error:
        st.session_state[_worklist.REFUSED] = [str(error)]
    else:
        st.session_state[_worklist.NOTICE] = f"{escape(campaign.name)} is dropped."
        _list.forget()


@st.dialog("Finish the campaign")
def _finish(campaign: Campaign) -> None:
    left = campaign.stages[TO_CALL]
    open_ = f" {words.counted(left, 'customer')} {'is' if left == 1 else 'are'} still to be called." if left else ""
    st.markdown(f"The worklist of {escape(campaign.name)} stays as it is from then on.{open_} Outcomes still count.")
    if st.button("Finish it", type="primary", key="_finish_it", on_click=_move, args=(campaign, campaigns.finish)):
        st.rerun()


def _move(campaign: Campaign, step: Any) -> None:
    st.session_state[_STAY] = campaign.id
    try:
        moved = step(data.desk().records, campaign.id, who=data.desk().visitor.name, source="page")
    except ChurnError as error:
        st.session_state[_worklist.REFUSED] = [str(error)]
    else:
        st.session_state[_worklist.NOTICE] = f"{escape(moved.name)} is {moved.status}."
        _list.forget()


def _told() -> None:
    """What the last press of a button came to."""
    if notice := st.session_state.pop(_worklist.NOTICE, None):
        st.success(notice, icon=":material/check:")
    for refusal in st.session_state.pop(_worklist.REFUSED, []):
        st.warning(f"Not kept: {escape(refusal)}.", icon=":material/group:")


# -- history -----------------------------------------------------------------------


def _history(campaign: Campaign) -> None:
    with st.expander("Who changed what", key="_who_changed", on_change="rerun") as block:
        if not block.open:
            return
        lines = worklist.history(data.desk().records, campaign.id, limit=_EVENTS)
        st.caption(f"The latest {words.count(len(lines))} changes, the last one first · nobody can alter them")
        st.dataframe(
            pyarrow.table(
                {
                    "When": [words.moment(widgets.local(one.at)) for one in lines],
                    "Who": [one.who for one in lines],
                    "Customer": pyarrow.array([one.customer for one in lines], pyarrow.string()),
                    "What": [worklist.in_words(one) for one in lines],
                    "Where": [{"page": "Page", "import": "File", "command": "Command"}.get(one.source, "") for one in lines],
                }
            ),
            hide_index=True,
            on_select="ignore",
            placeholder=words.NOTHING,
            alt=f"Table: the latest {words.counted(len(lines), 'change')}.",
        )


run = data.run()
page(run.pair)

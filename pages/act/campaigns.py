"""Campaigns: whether calling helped, who is still to be called, and who changed what."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import polars as pl
import pyarrow
import streamlit as st

from churn import words
from churn.act import campaigns, results, worklist
from churn.act.campaigns import DRAFT, FINISHED, RUNNING, STAGES, TO_CALL, Campaign
from churn.act.results import Result
from churn.act.worklist import Member, Taken
from churn.base.expected_value import Assumptions
from churn.base.groups import BAND
from churn.charts.effects import arms, effects
from churn.data import spreadsheet
from churn.data.source import parse_table
from churn.errors import ChurnError
from churn.model.store import open_store
from churn.score import outcomes
from churn.understand.cohorts import name_of
from churn.words import escape_markdown as escape
from pages.act import _list
from pages.shared import data, state, widgets
from pages.shared.data import Pair

_CALL_LIST = "pages/act/call_list.py"
_PICKED = "campaign_id"  # in the address
_BOX, _LAST = "_campaign", "_campaign_last"
_ORDER = (RUNNING, DRAFT, FINISHED)
_ROWS = 20  # customers on one page of the worklist
_EVENTS = 50  # lines of history shown
_LOOK_S = 60  # how long known outcomes may be old
_NOTICE, _REFUSED, _TAKEN, _EDITS = "_campaign_notice", "_campaign_refused", "_campaign_taken", "_campaign_edits"
_FIELDS = {"Stage": worklist.STAGE, "Reason": worklist.REASON, "Owner": worklist.OWNER, "Due": worklist.DUE}
_MOST_SHOWN = 10  # refused rows of a file


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
    _worklist(pair, campaign)
    _file(campaign)
    _history(campaign)


def _none_yet() -> None:
    st.title("No campaign yet", anchor=False)
    st.markdown(
        "Start one from a call list: who is on it is called, but for a part kept uncalled to learn whether calling helps."
    )
    if st.button("Build a call list", type="primary", icon=":material/call:"):
        widgets.go(_CALL_LIST)


def _pick(found: Sequence[Campaign]) -> Campaign:
    """Which campaign is looked at: the one the address names, else the one looked at last, else the first."""
    by_id = {one.id: one for one in found}
    asked = st.query_params.get(_PICKED)
    if st.session_state.get(_BOX) not in by_id:
        wanted = [id for id in (asked, st.session_state.get(_LAST)) if id in by_id]
        st.session_state[_BOX] = wanted[0] if wanted else found[0].id
    if len(found) > 1:
        st.selectbox(
            "Campaign",
            list(by_id),
            format_func=lambda id: f"{escape(by_id[id].name)} ({by_id[id].status})" if id in by_id else id,
            key=_BOX,
            width=420,
        )
    picked = by_id[st.session_state[_BOX]]
    st.session_state[_LAST] = picked.id
    if asked != picked.id:
        st.query_params[_PICKED] = picked.id
    return picked


# -- the answer ----------------------------------------------------------------


def _result(pair: Pair, campaign: Campaign) -> Result:
    records, minute = data.desk().records, int(time.monotonic() // _LOOK_S)
    own = (campaign.id, campaign.version, minute)

    def known() -> pl.DataFrame:
        found = outcomes.read(open_store(data.desk().settings))
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


def _answer(pair: Pair, campaign: Campaign, result: Result) -> None:
    st.title(escape(results.title(result, pair.schema.currency)), anchor=False)
    if campaign.status == DRAFT:
        st.markdown(":gray[Nobody is called before you start it; until then the list can be made anew.]")
        return
    missing = results.not_yet(result)
    known = f"{words.count(result.progress.known)} of {words.counted(campaign.size, 'outcome')} are known."
    cause = ""
    if result.readable and result.effect.told:
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
            st.markdown(f"{escape(offered[0])} To work with what was measured, put into config.yaml:")
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
            st.button("Start calling", type="primary", key="_start", on_click=_move, args=(campaign, campaigns.start))
        if campaign.status == RUNNING and st.button("Finish…", key="_finish"):
            _finish(campaign)


@st.dialog("Finish the campaign")
def _finish(campaign: Campaign) -> None:
    left = campaign.stages[TO_CALL]
    open_ = f" {words.counted(left, 'customer')} {'is' if left == 1 else 'are'} still to be called." if left else ""
    st.markdown(f"The worklist of {escape(campaign.name)} stays as it is from then on.{open_} Outcomes still count.")
    if st.button("Finish it", type="primary", key="_finish_it"):
        _move(campaign, campaigns.finish)
        st.rerun()


def _move(campaign: Campaign, step: Any) -> None:
    try:
        moved = step(data.desk().records, campaign.id, who=data.desk().visitor.name, source="page")
    except ChurnError as error:
        st.session_state[_REFUSED] = [str(error)]
    else:
        st.session_state[_NOTICE] = f"{escape(moved.name)} is {moved.status}."
        _list.forget()


def _told() -> None:
    """What the last press of a button came to."""
    if notice := st.session_state.pop(_NOTICE, None):
        st.success(notice, icon=":material/check:")
    for refusal in st.session_state.pop(_REFUSED, []):
        st.warning(f"Not kept: {escape(refusal)}.", icon=":material/group:")


# -- the worklist ------------------------------------------------------------------


def _worklist(pair: Pair, campaign: Campaign) -> None:
    records = data.desk().records
    st.header("Worklist", anchor=False)
    with st.container(horizontal=True, key="_narrow"):
        there = [stage for stage in STAGES if campaign.stages[stage]]
        stages = st.pills(
            "Stage",
            there,
            selection_mode="multi",
            format_func=lambda stage: f"{words.capital(stage)} {words.count(campaign.stages[stage])}",
            key=f"_stages {campaign.id}",
        )
        owners = worklist.owners(records, campaign.id)
        picked = st.multiselect("Owner", owners, key=f"_owners {campaign.id}", width=300) if len(owners) > 1 else []
    chosen = {"stages": [one for one in stages if one in there], "owners": [one for one in picked if one in owners]}
    total = worklist.number(records, campaign.id, **chosen)
    if not total:
        st.markdown("Nobody on the worklist matches.")
        return
    pages = -(-total // _ROWS)
    turned = f"_worklist_page {campaign.id} {chosen}"
    at = min(int(st.session_state.get(turned, 1)), pages)
    listed = worklist.listed(records, campaign.id, limit=_ROWS, offset=(at - 1) * _ROWS, **chosen)
    frozen = campaign.status == FINISHED
    what = "as it was when the campaign was finished" if frozen else "change a cell, then save · best first"
    st.caption(f"{words.capital(what)} · click a customer's number to see why")
    _table(pair, campaign, listed, at)
    if pages > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.pagination(pages, key=turned, max_visible_pages=5)
            first, last = (at - 1) * _ROWS + 1, min(at * _ROWS, total)
            st.caption(f"{words.count(first)}–{words.count(last)} of {words.count(total)}")


def _table(pair: Pair, campaign: Campaign, listed: tuple[Member, ...], at: int) -> None:
    edits = int(st.session_state.get(_EDITS, 0))  # another editor once its changes are kept
    key = f"_worklist {campaign.id} {at} {edits}"
    opened, click = "_worklist-open", "_worklist-click"

    def open_one() -> None:
        state.open_customer(listed[st.session_state[click].row].customer)
        st.session_state[opened] = True

    columns: dict[str, Any] = {
        "Customer": [f":material/person_search: {one.customer}" for one in listed],
        "Risk": [min(max(words.whole_percent(one.risk), 1), 99) for one in listed],
        "Stage": [words.capital(one.stage) for one in listed],
        "Reason": pyarrow.array([one.reason for one in listed], pyarrow.string()),
        "Owner": pyarrow.array([one.owner for one in listed], pyarrow.string()),
        "Due": pyarrow.array([one.due for one in listed], pyarrow.date32()),
    }
    config: dict[str, Any] = {
        "Customer": st.column_config.ButtonColumn(type="tertiary", alignment="left", on_click=open_one, key=click, width=150),
        "Risk": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%d%%", color="#DF8548", width=84),
        "Stage": st.column_config.SelectboxColumn(options=[words.capital(stage) for stage in STAGES], required=True, width=120),
        "Reason": st.column_config.TextColumn(max_chars=200, width=220),
        "Owner": st.column_config.TextColumn(max_chars=80, width=120),
        "Due": st.column_config.DateColumn(format="D MMM YYYY", width=110),
    }
    if any(one.expected_value is not None for one in listed):
        money = f"{pair.schema.currency.replace('%', '%%')}%,.0f"
        columns["A call is worth"] = [one.expected_value for one in listed]
        config["A call is worth"] = st.column_config.NumberColumn(
            format=money, width=96, help="On the day of the list. It rests on assumptions."
        )
    if any(one.action for one in listed):
        columns["What could help most"] = pyarrow.array([one.action for one in listed], pyarrow.string())
        config["What could help most"] = st.column_config.TextColumn(width=190)
    shared: dict[str, Any] = {"column_config": config, "hide_index": True, "placeholder": words.NOTHING, "height": "content"}
    alt = f"Table: {words.counted(len(listed), 'customer')} to call, the best first; {listed[0].customer} leads."
    if campaign.status == FINISHED:
        st.dataframe(pyarrow.table(columns), key=key, alt=alt, on_select="ignore", **shared)
    else:
        fixed = [name for name in columns if name not in _FIELDS] + (["Stage", "Reason"] if campaign.status == DRAFT else [])
        st.data_editor(pyarrow.table(columns), key=key, alt=alt, disabled=fixed, num_rows="fixed", **shared)
        changed = _changes(st.session_state.get(key))
        if campaign.status == DRAFT:
            st.caption("Stages can be set once the campaign is started")
        if changed:
            st.button(
                f"Save {words.counted(len(changed), 'change')}",
                type="primary",
                icon=":material/save:",
                key="_save",
                on_click=_save,
                args=(campaign, listed, key),
            )
    if st.session_state.pop(opened, False):
        widgets.go(widgets.CUSTOMER)


def _changes(edited: Any) -> dict[int, dict[str, Any]]:
    """What somebody typed into the worklist: row → column → value."""
    rows = dict(edited or {}).get("edited_rows", {})
    found = {int(row): {name: value for name, value in cells.items() if name in _FIELDS} for row, cells in rows.items()}
    return {row: cells for row, cells in found.items() if cells}


def _save(campaign: Campaign, listed: tuple[Member, ...], key: str) -> None:
    """A callback: keep each changed row by itself; what somebody else was faster with is told, and nothing of theirs is lost."""
    kept, refused = save(campaign.id, listed, _changes(st.session_state.get(key)))
    st.session_state[_EDITS] = int(st.session_state.get(_EDITS, 0)) + 1
    if kept:
        st.session_state[_NOTICE] = f"{words.counted(kept, 'customer')} saved."
    st.session_state[_REFUSED] = refused


def save(id: str, listed: Sequence[Member], changed: dict[int, dict[str, Any]]) -> tuple[int, list[str]]:
    """Keep what was typed into rows of the worklist, against the versions that were shown; how many, and what was refused."""
    desk, kept, refused = data.desk(), 0, []
    for row, cells in changed.items():
        member = listed[row]
        changes = {_FIELDS[name]: _typed(name, value) for name, value in cells.items()}
        try:
            worklist.edit(
                desk.records, id, member.customer, version=member.version, changes=changes, who=desk.visitor.name, source="page"
            )
        except ChurnError as error:
            refused.append(str(error))
        else:
            kept += 1
    return kept, refused


def _typed(name: str, value: Any) -> Any:
    if name == "Due":
        return None if value is None else datetime.fromisoformat(str(value)).date()
    return value


# -- a file ------------------------------------------------------------------------


def _file(campaign: Campaign) -> None:
    with st.expander("Work in a file", key="_in_a_file", on_change="rerun", expanded=_TAKEN in st.session_state) as block:
        if not block.open:
            return
        desk = data.desk()
        st.markdown("Callers who do not use this page can fill in a file. Nobody's contact data is in it.")
        simulated = desk.settings.simulated
        st.download_button(
            "Download the worklist",
            lambda: spreadsheet.as_bytes(worklist.sheet(desk.records, campaign.id, simulated=simulated), ".xlsx"),
            file_name=f"{'simulated-' if simulated else ''}worklist-{campaign.id}-{uuid.uuid4().hex[:8]}.xlsx",
            mime="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            icon=":material/download:",
            on_click="ignore",
            key="_download_worklist",
        )
        if campaign.status == FINISHED:
            return
        turn = int(st.session_state.get(_EDITS, 0))
        sent = st.file_uploader("Take in a filled file", type=["xlsx", "csv"], key=f"_filled {campaign.id} {turn}")
        if sent is not None:
            st.button(
                "Take it in",
                type="primary",
                key="_take",
                on_click=partial(_take, campaign, sent.getvalue(), sent.name),
            )
        taken = st.session_state.pop(_TAKEN, None)
        if isinstance(taken, Taken):
            _report(taken)


def _take(campaign: Campaign, content: bytes, name: str) -> None:
    desk = data.desk()
    try:
        key = desk.pair.schema.key if desk.pair else None
        taken = worklist.take(desk.records, campaign.id, parse_table(content, name), who=desk.visitor.name, key=key)
    except ChurnError as error:
        st.session_state[_REFUSED] = [str(error)]
        return
    st.session_state[_TAKEN] = taken
    st.session_state[_EDITS] = int(st.session_state.get(_EDITS, 0)) + 1


def _report(taken: Taken) -> None:
    if taken.again:
        st.info("This very file was taken in before; nothing was changed.", icon=":material/history:")
    else:
        st.success(
            f"{words.counted(taken.changed, 'customer')} changed, {words.count(taken.same)} said nothing new.",
            icon=":material/check:",
        )
    if taken.refused:
        lines = [f"- {escape(one)}" for one in taken.refused[:_MOST_SHOWN]]
        more = len(taken.refused) - _MOST_SHOWN
        lines += [f"- and {words.counted(more, 'more row')}"] if more > 0 else []
        st.warning("Not taken:\n" + "\n".join(lines), icon=":material/rule:")


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

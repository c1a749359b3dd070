"""Campaigns: the worklist, edited in the page or in a file."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow
import streamlit as st

from churn import words
from churn.act import worklist
from churn.act.campaigns import DRAFT, FINISHED, STAGES, Campaign
from churn.act.profit import doubt
from churn.act.worklist import Member, Taken
from churn.data import spreadsheet
from churn.data.source import parse_table
from churn.errors import ChurnError
from churn.model.metrics import stored
from churn.words import escape_markdown as escape
from pages.act._table import percent_column
from pages.shared import data, state, widgets
from pages.shared.data import Pair

NOTICE, REFUSED = "_campaign_notice", "_campaign_refused"  # what the last press of a button came to
_TAKEN, _EDITS = "_campaign_taken", "_campaign_edits"
_ROWS = 20  # customers on one page of the worklist
_FIELDS = {"Stage": worklist.STAGE, "Reason": worklist.REASON, "Owner": worklist.OWNER, "Due": worklist.DUE}
_MOST_SHOWN = 10  # refused rows of a file


# -- the worklist ------------------------------------------------------------------


def show(pair: Pair, campaign: Campaign) -> None:
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
        "Risk": [widgets.risk_cell(one.risk) for one in listed],
        "Stage": [words.capital(one.stage) for one in listed],
        "Reason": pyarrow.array([one.reason for one in listed], pyarrow.string()),
        "Owner": pyarrow.array([one.owner for one in listed], pyarrow.string()),
        "Due": pyarrow.array([one.due for one in listed], pyarrow.date32()),
    }
    config: dict[str, Any] = {
        "Customer": st.column_config.ButtonColumn(type="tertiary", alignment="left", on_click=open_one, key=click, width=150),
        "Risk": percent_column(width=84),
        "Stage": st.column_config.SelectboxColumn(options=[words.capital(stage) for stage in STAGES], required=True, width=120),
        "Reason": st.column_config.TextColumn(max_chars=200, width=220),
        "Owner": st.column_config.TextColumn(max_chars=80, width=120),
        "Due": st.column_config.DateColumn(format="D MMM YYYY", width=110),
    }
    if _told_in_money(pair, campaign) and any(one.expected_value is not None for one in listed):
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


def _told_in_money(pair: Pair, campaign: Campaign) -> bool:
    """Whether the worth of a call may be told: not where the model that said so fails its calibration gate."""
    if campaign.model != pair.bundle.version:
        return True
    return doubt(stored(pair.bundle.metrics, "holdout"), data.desk().settings) is None


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
        st.session_state[NOTICE] = f"{words.counted(kept, 'customer')} saved."
    st.session_state[REFUSED] = refused


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


def in_a_file(campaign: Campaign) -> None:
    with st.expander("Work in a file", key="_in_a_file", on_change="rerun") as block:
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
        st.session_state[REFUSED] = [str(error)]
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

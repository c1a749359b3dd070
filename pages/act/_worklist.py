"""Campaigns: the worklist, edited in the page or in a file."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow
import streamlit as st

from churn import words
from churn.act import worklist
from churn.act.campaigns import DRAFT, FINISHED, STAGES, Campaign
from churn.act.eligibility import counted
from churn.act.profit import doubt
from churn.act.worklist import Member, Taken
from churn.data import spreadsheet
from churn.data.source import parse_table
from churn.errors import ChurnError, DataError, RecordsConflict, StoreUnavailable, SuppressionStops
from churn.model.metrics import stored
from churn.words import escape_markdown as escape
from pages.act import _list
from pages.act._table import percent_column
from pages.shared import data, state, widgets
from pages.shared.data import Pair

NOTICE, REFUSED = "_campaign_notice", "_campaign_refused"  # what the last press of a button came to
_TAKEN, _EDITS = "_campaign_taken", "_campaign_edits"
_SEEN, _UNSAVED = "_campaign_seen", "_campaign_unsaved"
_ROWS = 20  # customers on one page of the worklist
_ROW = 61  # px: two lines of a cell
_FIELDS = {"Stage": worklist.STAGE, "Reason": worklist.REASON, "Owner": worklist.OWNER, "Due": worklist.DUE}
_MOST_SHOWN = 10  # refused rows of a file


@dataclass(frozen=True, slots=True)
class _Seen:
    """The rows as they were shown last, on page `at` of a campaign's worklist, in the editor `key`."""

    campaign: str
    at: int
    key: str
    listed: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Unsaved:
    """What somebody typed about a customer and could not be kept: `typed` column → value, and why.

    `version` of the customer that the reason is about, where somebody else was faster: whoever read it may still put theirs.
    """

    campaign: str
    customer: str
    typed: Mapping[str, Any]
    why: str
    version: int | None = None


# -- the worklist ------------------------------------------------------------------


def show(pair: Pair, campaign: Campaign) -> None:
    """The worklist, to be edited here or in a file; neither where nobody knows who must not be called any more."""
    st.header("Worklist", anchor=False)
    stop: dict[str, str] = {}
    if campaign.status != FINISHED:
        try:
            stop, doubted = _list.withdrawn(pair, campaign), _list.basis(pair).doubt
        except (SuppressionStops, DataError, StoreUnavailable) as error:
            widgets.failed(error)
            return
        if doubted is not None:
            st.warning(escape(doubted), icon=":material/phone_disabled:")
    if stop:
        reasons = "; ".join(f"{words.lower_first(one.in_words())}: {words.count(one.customers)}" for one in counted(stop))
        who = words.counted(len(stop), "customer")
        st.warning(
            f"{who} must not be called any more: {reasons}. Marked below, and left out of files.",
            icon=":material/phone_disabled:",
        )
    _not_kept(campaign)
    _rows(pair, campaign, stop)
    _in_a_file(campaign, stop)


def waiting() -> bool:
    """Whether something typed into the worklist waits to be saved."""
    held = st.session_state.get(_SEEN)
    return isinstance(held, _Seen) and bool(_changes(st.session_state.get(held.key)))


def _rows(pair: Pair, campaign: Campaign, stop: Mapping[str, str]) -> None:
    """The rows, a page at a time. While something typed waits to be saved no row changes or moves under it: it is about the rows
    as they were seen, and saved against these."""
    records = data.desk().records
    held = st.session_state.get(_SEEN) if waiting() else None
    held = held if held is not None and held.campaign == campaign.id else None
    fixed = held is not None
    with st.container(horizontal=True, key="_narrow"):
        there = [stage for stage in STAGES if campaign.stages[stage]]
        stages = st.pills(
            "Stage",
            there,
            selection_mode="multi",
            format_func=lambda stage: f"{words.capital(stage)} {words.count(campaign.stages[stage])}",
            key=f"_stages {campaign.id}",
            disabled=fixed,
        )
        owners = worklist.owners(records, campaign.id)
        several = len(owners) > 1
        picked = st.multiselect("Owner", owners, key=f"_owners {campaign.id}", width=300, disabled=fixed) if several else []
    chosen = {"stages": [one for one in stages if one in there], "owners": [one for one in picked if one in owners]}
    total = worklist.number(records, campaign.id, **chosen)
    if not total and held is None:
        st.markdown("Nobody on the worklist matches.")
        return
    pages = max(-(-total // _ROWS), 1)
    turned = f"_worklist_page {campaign.id} {chosen}"
    if held is None:
        at = min(int(st.session_state.get(turned, 1)), pages)
        edits = int(st.session_state.get(_EDITS, 0))  # another editor once its changes are kept
        listed = worklist.listed(records, campaign.id, limit=_ROWS, offset=(at - 1) * _ROWS, **chosen)
        held = _Seen(campaign.id, at, f"_worklist {campaign.id} {at} {edits}", listed)
        st.session_state[_SEEN] = held
    frozen = campaign.status == FINISHED
    what = "as it was when the campaign was finished" if frozen else "change a cell, then save · best first"
    st.caption(f"{words.capital(what)} · click a customer's number to see why")
    _table(pair, campaign, held, stop)
    if pages > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.pagination(pages, key=turned, max_visible_pages=5, disabled=fixed)
            first, last = (held.at - 1) * _ROWS + 1, min(held.at * _ROWS, total)
            st.caption(f"{words.count(first)}–{words.count(last)} of {words.count(total)}")


def _table(pair: Pair, campaign: Campaign, seen: _Seen, stop: Mapping[str, str]) -> None:
    listed, key = seen.listed, seen.key
    opened, click = "_worklist-open", "_worklist-click"

    def open_one() -> None:
        state.open_customer(listed[st.session_state[click].row].customer)
        st.session_state[opened] = True

    marks = [words.say(f"stop {stop[one.customer]}") if one.customer in stop else None for one in listed]
    columns: dict[str, Any] = {
        "Customer": [f":material/person_search: {one.customer}" for one in listed],
        **({"Do not call": pyarrow.array(marks, pyarrow.string())} if any(marks) else {}),
        "Risk": [widgets.risk_cell(one.risk) for one in listed],
        "Stage": [words.capital(one.stage) for one in listed],
        "Reason": pyarrow.array([one.reason for one in listed], pyarrow.string()),
        "Owner": pyarrow.array([one.owner for one in listed], pyarrow.string()),
        "Due": pyarrow.array([one.due for one in listed], pyarrow.date32()),
    }
    config: dict[str, Any] = {
        "Do not call": st.column_config.TextColumn(width=124),
        "Customer": st.column_config.ButtonColumn(type="tertiary", alignment="left", on_click=open_one, key=click, width=118),
        "Risk": percent_column(width=84),
        "Stage": st.column_config.SelectboxColumn(options=[words.capital(stage) for stage in STAGES], required=True, width=108),
        "Reason": st.column_config.TextColumn(max_chars=200, width=160),
        "Owner": st.column_config.TextColumn(max_chars=80, width=112),
        "Due": st.column_config.DateColumn(format="D MMM YYYY", width=106),
    }
    if _told_in_money(pair, campaign) and any(one.expected_value is not None for one in listed):
        money = f"{pair.schema.currency.replace('%', '%%')}%,.0f"
        columns["A call is worth"] = [one.expected_value for one in listed]
        config["A call is worth"] = st.column_config.NumberColumn(
            format=money, width=96, help="On the day of the list. It rests on assumptions."
        )
    if any(one.action for one in listed):
        columns["What could help most"] = pyarrow.array([one.action for one in listed], pyarrow.string())
        config["What could help most"] = st.column_config.TextColumn(width=250)
    shared: dict[str, Any] = {
        "column_config": config,
        "hide_index": True,
        "placeholder": words.NOTHING,
        "height": "content",
        "row_height": _ROW,
    }
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
            with st.container(horizontal=True):
                st.button(
                    f"Save {words.counted(len(changed), 'change')}",
                    type="primary",
                    icon=":material/save:",
                    key="_save",
                    on_click=_save,
                    args=(seen,),
                )
                st.button("Discard", key="_discard", on_click=_anew)
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


def _anew() -> None:
    """A callback: begin with an editor in which nothing is typed."""
    st.session_state[_EDITS] = int(st.session_state.get(_EDITS, 0)) + 1
    st.session_state.pop(_SEEN, None)


def _save(seen: _Seen) -> None:
    """A callback: keep each changed row by itself; where somebody else was faster, both stay in sight until one is chosen."""
    kept, unsaved = save(seen.campaign, seen.listed, _changes(st.session_state.get(seen.key)))
    _anew()
    if kept:
        st.session_state[NOTICE] = f"{words.counted(kept, 'customer')} saved."
    st.session_state[_UNSAVED] = (*st.session_state.get(_UNSAVED, ()), *unsaved)


def save(id: str, listed: Sequence[Member], changed: Mapping[int, Mapping[str, Any]]) -> tuple[int, tuple[Unsaved, ...]]:
    """Keep what was typed into rows of the worklist, against the versions that were shown; how many, and what was refused."""
    rows = [(listed[row].customer, listed[row].version, cells) for row, cells in changed.items()]
    unsaved = [one for customer, version, cells in rows if (one := _keep(id, customer, version, cells)) is not None]
    return len(rows) - len(unsaved), tuple(unsaved)


def _keep(id: str, customer: str, version: int, typed: Mapping[str, Any]) -> Unsaved | None:
    desk = data.desk()
    changes = {_FIELDS[name]: _typed(name, value) for name, value in typed.items()}
    try:
        worklist.edit(desk.records, id, customer, version=version, changes=changes, who=desk.visitor.name, source="page")
    except RecordsConflict as error:
        return Unsaved(id, customer, typed, str(error), error.version)
    except ChurnError as error:
        return Unsaved(id, customer, typed, str(error))
    return None


def _not_kept(campaign: Campaign) -> None:
    """What was typed and could not be kept, with what somebody else did, until whoever typed it has chosen."""
    for one in st.session_state.get(_UNSAVED, ()):
        if one.campaign != campaign.id:
            continue
        typed = "; ".join(f"{name} {_told_typed(name, value)}" for name, value in one.typed.items())
        start = "Not kept: " if one.version is None else ""
        st.warning(
            f"{start}{escape(one.why)}.  \nYou typed about {escape(one.customer)}: **{escape(typed)}**",
            icon=":material/group:",
        )
        with st.container(horizontal=True):
            if one.version is not None:
                st.button("Save mine instead", key=f"_mine {one.customer}", on_click=_insist, args=(one,))
            st.button("Drop mine", key=f"_drop {one.customer}", on_click=_settle, args=(one,))


def _told_typed(name: str, value: Any) -> str:
    if value is None or value == "":
        return "emptied"
    return words.day(_typed(name, value)) if name == "Due" else f"“{value}”"


def _insist(one: Unsaved) -> None:
    """A callback: put what was typed over what the notice told of; refused again where that has changed since."""
    assert one.version is not None
    again = _keep(one.campaign, one.customer, one.version, one.typed)
    _settle(one, *([] if again is None else [again]))
    if again is None:
        st.session_state[NOTICE] = "1 customer saved."


def _settle(one: Unsaved, *instead: Unsaved) -> None:
    """A callback: it is settled what becomes of it."""
    st.session_state[_UNSAVED] = (*(other for other in st.session_state.get(_UNSAVED, ()) if other is not one), *instead)
    _anew()


def _typed(name: str, value: Any) -> Any:
    if name == "Due":
        return None if value is None else datetime.fromisoformat(str(value)).date()
    return value


# -- a file ------------------------------------------------------------------------


def _in_a_file(campaign: Campaign, stop: Mapping[str, str]) -> None:
    with st.expander("Work in a file", key="_in_a_file", on_change="rerun") as block:
        if not block.open:
            return
        desk = data.desk()
        st.markdown("Callers who do not use this page can fill in a file. Nobody's contact data is in it.")
        simulated = desk.settings.simulated
        st.download_button(
            "Download the worklist",
            lambda: spreadsheet.as_bytes(worklist.sheet(desk.records, campaign.id, simulated=simulated, without=stop), ".xlsx"),
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
    _anew()


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

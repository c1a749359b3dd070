"""Call list: whom to call, where the list ends and why, what calling should bring, and how it leaves the desk."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow
import streamlit as st

from churn import words
from churn.act import campaigns, export, segments, uplift
from churn.act.call_list import (
    ACTION,
    CUSTOMER,
    EXPECTED_VALUE,
    MOST,
    OWNER,
    RANK,
    REASONS,
    SAME,
    UPLIFT,
    VALUE,
    WORTH,
    Cut,
    Preview,
    Ranking,
    Terms,
    contact_data,
    cut,
    groups_of,
    preview,
    rows,
    usual_offer,
    without_money,
)
from churn.act.profit import ProfitCurve, doubt
from churn.act.uplift import Comparison
from churn.act.uplift_base import Uplift
from churn.base.expected_value import Assumptions
from churn.base.groups import Filter
from churn.base.snapshot import RISK
from churn.charts import theme
from churn.charts.bars import Bar, bar_list
from churn.charts.profit import profit_chart
from churn.data.spreadsheet import DELIMITERS
from churn.errors import ChurnError, SuppressionStops
from churn.model.metrics import stored
from churn.principal import CONTACTS
from churn.understand.cohorts import dimensions
from churn.words import escape_markdown as escape
from pages.act import _list, _offer
from pages.act._table import percent_column
from pages.shared import address, data, state, widgets
from pages.shared.data import Pair, Question

_PAGE = "call list"
_CAMPAIGNS = "pages/act/campaigns.py"
_OPEN_CAMPAIGN = "_campaign"  # which one that page opens
# Keys in the address.
_CAPACITY, _BUDGET, _OFFER, _HOLDOUT, _RANK = _PICKED = ("list_calls", "list_budget", "list_offer", "list_uncalled", "list_rank")
_CHANGED = tuple(f"list_{name}" for name in _offer.ASSUMED)  # assumptions that the Value page handed over
_KEYS = (*_PICKED, *_CHANGED)
_FIRST_CALLS = 500
_SHARES = (0.0, 0.05, 0.1, 0.2, 0.3)
_LISTED = 20  # customers on one page of the table
_AHEAD = _LISTED  # who is told of along with them
_ROW = 79  # px: three lines of a cell, which hold three reasons
_FORMS = {"xlsx": "Excel", "csv": "CSV", "dialler": "Numbers only"}
_DELIMITED = {"Comma": "comma", "Semicolon": "semicolon", "Tab": "tab"}


def page(pair: Pair, chosen: Filter) -> None:
    if not pair.totals(chosen).customers:
        widgets.nobody(pair)
        return
    head = st.container()
    address.read(_PAGE, _KEYS)
    for key in (_CAPACITY, _BUDGET, _OFFER, _HOLDOUT):
        if address.text(_PAGE, key) is not None and _amount(state.view(_PAGE), key, None) is None:
            address.pick(_PAGE, key, None)  # a link that says no amount must not go on saying it
    usual = Assumptions.of(data.desk().settings)
    assumptions = _offer.assumed(_PAGE, "list", usual)
    terms = _pick(pair, chosen)
    address.write(_PAGE, _KEYS)
    try:
        found, by = _list.basis(pair), _changes(pair, terms)
    except SuppressionStops as error:
        with head:
            _stopped(error)
        return
    with widgets.loading(600, wait=not _list.ready(pair, found, chosen, assumptions, terms.offer, by)):
        ranking, curve = _list.ranking(pair, found, chosen, assumptions, terms.offer, by)
    end = cut(ranking, terms, assumptions)
    told = preview(ranking, end.customers, terms, assumptions, pair.snapshot.covariance)
    failed = doubt(stored(pair.bundle.metrics, "holdout"), data.desk().settings) if pair.snapshot.has_money else None
    if failed is not None:  # what rests on percentages that are off is money made up; the order of the list is the best there is
        curve, end, told = None, replace(end, next_worth=None), replace(told, money=None, money_interval=None)
    with head:
        st.title(escape(_title(pair, told)), anchor=False)
        st.markdown(f":gray[{escape(_next(pair, told, end))}]")
        if found.doubt is not None:
            st.warning(escape(found.doubt), icon=":material/phone_disabled:")
        if failed is not None:
            st.caption(f"No money is told: {escape(words.lower_first(failed.words))}")
        _ranked(pair, terms)
    if assumptions != usual:
        _changed(pair, assumptions, usual)
    left, right = st.columns([0.585, 0.415], gap="medium")
    with left:
        if curve is not None:
            _by_size(pair, curve, end)
        else:
            _measurable(told)
    with right:
        _left_out(pair, ranking)
    if not end.customers:
        return
    if curve is not None:
        _measurable(told)
    money = pair.snapshot.has_money and failed is None
    _customers(pair, ranking, end, assumptions, _asked(chosen, found, terms, assumptions), money=money)
    _take_away(pair, chosen, ranking, end, terms, assumptions, money=money)
    _start(pair, chosen, ranking, end, told, terms, assumptions)


def _asked(chosen: Filter, found: _list.Basis, terms: Terms, assumptions: Assumptions) -> tuple[Any, ...]:
    """What the rows of a list follow from."""
    return chosen, found.token, terms.offer, terms.learnt, assumptions


def prepare(pair: Pair) -> None:
    """Ask what the first visitor asks. Raises ChurnError where a list may not be made."""
    everybody, assumptions = Filter(), Assumptions.of(data.desk().settings)
    terms = _usual(pair, everybody)
    found = _list.basis(pair)
    ranking, _ = _list.ranking(pair, found, everybody, assumptions, terms.offer)
    stop = min(cut(ranking, terms, assumptions).customers, _LISTED)
    pair.answer(*_rows(pair, ranking, assumptions, _asked(everybody, found, terms, assumptions), 0, stop))


def _stopped(error: SuppressionStops) -> None:
    """No list: where the table is and what is wrong with it, only those learn who may see contact data."""
    st.title("No call list can be made: who must not be called is not known for sure", anchor=False)
    if data.desk().visitor.may(CONTACTS):
        st.error(escape(words.capital(str(error))), icon=":material/error:")
        return
    st.markdown(
        ":gray[The table of customers who must not be called is missing, out of date or cannot be read. "
        "Whoever looks after this desk can mend it; `churn list build` says what is wrong.]"
    )


# -- the answer ----------------------------------------------------------------


def _title(pair: Pair, told: Preview) -> str:
    """`Calling the best 412 customers should save $18k after $4k of cost`."""
    if not told.customers:
        return "Nobody is worth a call on these terms"
    who = f"the best {words.counted(told.customers, 'customer')}"
    if told.held:
        who = f"{words.count(told.called)} of {who}"
    if told.money is None:
        leavers = words.count(told.leavers_called)
        return f"Calling {who} should keep {words.count(told.saves)} of {leavers} expected leavers among them"
    currency = pair.schema.currency
    if told.money <= 0:
        return f"Calling {who} should lose {words.money(-told.money, currency, cents=False)}"
    saved, cost = words.money(told.money, currency, cents=False), words.money(told.cost, currency, cents=False)
    return f"Calling {who} should save {saved} after {cost} of cost"


def _next(pair: Pair, told: Preview, end: Cut) -> str:
    currency = pair.schema.currency
    parts = []
    if told.customers:
        saves = told.saves_interval
        low, high = words.count(saves.low), words.count(saves.high)
        if told.money_interval is not None:
            ends = [words.money(one, currency, cents=False) for one in (told.money_interval.low, told.money_interval.high)]
            parts.append(f"{words.capital(words.likely_between(*ends))}: about {words.counted(told.saves, 'customer')} kept.")
        else:
            cost = words.money(told.cost, currency, cents=False)
            parts.append(f"{words.capital(words.likely_between(low, high))}, for {cost} of cost.")
    parts.append(end.in_words(pair.schema))
    return " ".join(parts)


# -- what it rests on --------------------------------------------------------------


def _changed(pair: Pair, assumptions: Assumptions, usual: Assumptions) -> None:
    """Which assumptions are others than those of the settings, and the way back."""
    told = zip(assumptions.in_words(pair.schema), usual.in_words(pair.schema), strict=True)
    changed = [f"{words.lower_first(one.name)} {one.value} ({was.value} in the settings)" for one, was in told if one != was]
    with st.container(horizontal=True, vertical_alignment="center", key="_changed"):
        st.caption(f"With assumptions from the Value page: {escape('; '.join(changed))}")
        st.button("Back to the settings", type="tertiary", icon=":material/undo:", key="_reset", on_click=_reset)


def _reset() -> None:
    state.look({key: told for key, told in state.view(_PAGE).items() if key not in _CHANGED}, _PAGE)


# -- by what it is ranked ----------------------------------------------------------


def _changes(pair: Pair, terms: Terms) -> Uplift | None:
    """By how much calling lowers everybody's risk, where the list is ranked by that; worked out once for a base."""
    found, _ = _list.learnt(pair)
    if found is None or terms.ranked_by != UPLIFT:
        return None
    place = st.empty()

    def report(doing: str, done: int, of: int) -> None:
        place.progress(done / of, doing)

    changes = _list.changes(pair, found, report)
    place.empty()
    return changes


def _ranked(pair: Pair, terms: Terms) -> None:
    """What is known of a ranking by whom calling changes, or why a link that asks for it does not get it."""
    found, why_not = _list.learnt(pair)
    if terms.ranked_by == UPLIFT and found is not None:
        st.caption(f"{escape(uplift.in_words(found))}. {words.say('uplift counted')}")
    elif why_not is not None and address.text(_PAGE, _RANK) == UPLIFT:
        st.caption(f"Ranked by {words.lower_first(terms.ranking(pair.schema))}: {escape(words.lower_first(why_not))}.")


# -- what is asked ---------------------------------------------------------------


def _pick(pair: Pair, chosen: Filter) -> Terms:
    """Capacity, budget, offer, holdout and ranking; what nobody picked need not stand in the address."""
    view, currency = state.view(_PAGE), pair.schema.currency
    usual = _usual(pair, chosen)
    terms = Terms(
        offer=_amount(view, _OFFER, usual.offer) or 0.0,
        capacity=int(min(max(_amount(view, _CAPACITY, usual.capacity) or 1, 1), MOST)),
        budget=_amount(view, _BUDGET, None),
        holdout=min(_SHARES, key=lambda share: abs(share - (_amount(view, _HOLDOUT, usual.holdout) or 0.0))),
    )
    found, why_not = _list.learnt(pair)
    if found is not None and why_not is None and address.text(_PAGE, _RANK) == UPLIFT:
        terms = replace(terms, ranked_by=UPLIFT, learnt=found.models)
    values = (terms.capacity, terms.budget, terms.offer, terms.holdout, terms.ranked_by)
    st.session_state.update({address.box(key): value for key, value in zip(_PICKED, values, strict=True)})
    priced = [f"{escape(one.label)}: {escape(words.money(one.cost, currency))}" for one in pair.schema.actions if one.cost]
    costs = f" In the catalogue of actions: {'; '.join(priced)}." if priced else ""
    with st.container(horizontal=True, key="_pick", vertical_alignment="bottom"):
        st.number_input(
            "Calls", min_value=1, max_value=MOST, step=50, key=address.box(_CAPACITY), width=130, on_change=_picked,
            args=(_CAPACITY, usual.capacity), help="How many can be on the list, at most.",
        )  # fmt: skip
        st.number_input(
            f"Budget ({escape(currency)})", min_value=0.0, step=500.0, format="%0.0f", key=address.box(_BUDGET), width=150,
            placeholder="No limit", on_change=_picked, args=(_BUDGET, None),
            help="What calls and offers may be expected to cost together, at most.",
        )  # fmt: skip
        st.number_input(
            f"Offer ({escape(currency)})", min_value=0.0, step=5.0, format="%0.2f", key=address.box(_OFFER), width=150,
            on_change=_picked, args=(_OFFER, usual.offer),
            help=f"What the offer costs for one customer who takes it.{costs}",
        )  # fmt: skip
        st.selectbox(
            "Kept uncalled", _SHARES, format_func=lambda share: words.percent(share), key=address.box(_HOLDOUT), width=140,
            on_change=_picked, args=(_HOLDOUT, usual.holdout),
            help="Chosen at random within each risk band. Without them nobody can tell whether calling helped.",
        )  # fmt: skip
        st.selectbox(
            "Ranked by", [EXPECTED_VALUE] if why_not else [EXPECTED_VALUE, UPLIFT], key=address.box(_RANK), width=200,
            format_func=lambda by: words.say(f"ranked by {by if by == UPLIFT or pair.snapshot.has_money else 'risk'}"),
            on_change=_ranked_by, help=_rankings(found, why_not),
        )  # fmt: skip
        _segments(pair, chosen)
    return terms


def _usual(pair: Pair, chosen: Filter) -> Terms:
    return Terms(offer=usual_offer(pair.schema), capacity=min(_FIRST_CALLS, pair.totals(chosen).customers))


def _rankings(found: Comparison | None, why_not: str | None) -> str:
    """What the rankings are, and why there is only one where that is so."""
    if found is None or why_not is not None:
        return escape(f"{why_not}.")
    return escape(
        "What a call is worth rests on the risk and on assumptions. Whom calling changes was learnt from "
        f"{found.name}: those come first whose risk a call lowers most."
    )


def _ranked_by() -> None:
    """A callback: somebody chose what comes first; the usual need not stand in the address."""
    by = st.session_state[address.box(_RANK)]
    address.pick(_PAGE, _RANK, None if by == EXPECTED_VALUE else by)


def _amount(view: state.View, key: str, usual: float | None) -> float | None:
    """A number that somebody picked, or that a link says; what is no amount is as though it were not there."""
    told = view.get(key, ())
    try:
        value = float(told[0]) if told else usual
    except ValueError:
        return usual
    return value if value is None or 0 <= value < 1e12 else usual


def _picked(key: str, usual: float | None) -> None:
    """A callback: somebody picked a number; the usual one need not stand in the address."""
    value = st.session_state[address.box(key)]
    address.pick(_PAGE, key, None if value is None or value == usual else f"{value:g}")


# -- segments ----------------------------------------------------------------------


def _segments(pair: Pair, chosen: Filter) -> None:
    """Filters under a name: choose one, or name what is chosen now."""
    with st.popover("Segments", icon=":material/bookmarks:", key="_segments", on_change="rerun") as opened:
        if not opened.open:
            return
        records = data.desk().records
        segments.count(records, pair.snapshot)
        listed = segments.of_workspace(records)
        if not listed:
            st.markdown("No segment yet. Choose filters in the sidebar, then name them here.")
        for one in listed:
            _one_segment(pair, one)
        with st.form("_name_segment", border=False):
            told = "; ".join(export.filter_in_words(chosen, pair.schema)) or "nothing is chosen"
            name = st.text_input("Name of these filters", max_chars=80, key="_segment_name", help=escape(told))
            saved = st.form_submit_button("Save segment", disabled=not chosen)
        if saved:
            try:
                segments.save(records, name, chosen, data.desk().visitor.name)
            except ChurnError as error:
                widgets.failed(error)
            else:
                st.rerun()


def _one_segment(pair: Pair, one: segments.Segment) -> None:
    found = segments.counts(data.desk().records, one.id)
    last = found[-1] if found else None
    usable = last is not None and last.scoring == pair.snapshot.id
    size = f" · {words.count(last.customers)}" if last is not None and usable else ""
    change = f" ({words.change(last.customers - found[-2].customers)})" if usable and last and len(found) > 1 else ""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.button(
            f"{escape(one.name)}{size}{change}",
            type="tertiary",
            key=f"_segment {one.id}",
            disabled=not usable,
            help=escape("; ".join(export.filter_in_words(one.filter, pair.schema))),
            on_click=widgets.narrow,
            args=(pair, one.filter),
        )
        st.button(
            "Delete", icon=":material/delete:", type="tertiary", key=f"_unname {one.id}", help="Delete this segment",
            on_click=segments.delete, args=(data.desk().records, one.id),
        )  # fmt: skip


# -- who is left out, and what can be learnt -----------------------------------------


def _left_out(pair: Pair, ranking: Ranking) -> None:
    """Who may not be called: a bar for each reason there is."""
    recent = data.desk().settings.contact_days
    some = [one for one in ranking.left_out if one.customers]
    total = sum(one.customers for one in some)
    st.header("Left out", anchor=False)
    if not some:
        st.caption(f"Nobody: all {words.count(ranking.asked)} customers may be called")
        return
    st.caption(f"{words.count(total)} of {words.count(ranking.asked)} customers; each under the first reason that holds")
    bars = [
        Bar(one.reason, one.in_words(recent), float(one.customers), words.count(one.customers))
        for one in sorted(some, key=lambda one: -one.customers)
    ]
    drawn = bar_list(bars, what="customers left out", noun="reasons", leading=theme.NEUTRAL)
    widgets.chart(drawn, key="_left_out")


def _by_size(pair: Pair, curve: ProfitCurve, end: Cut) -> None:
    """What lists of other sizes would bring, with the one that was chosen marked."""
    st.header("Money by list size", anchor=False)
    st.caption("If everybody on the list is called · the band is where the money likely lies, as far as acceptance goes")
    widgets.chart(profit_chart(curve, curve.at(end.customers), pair.schema.currency), key="_by_size")


def _measurable(told: Preview) -> None:
    """Whether a campaign of this list will show what calling does."""
    st.header("Will it show whether calling helps?", anchor=False)
    if not told.held:
        st.markdown(f"No. {told.measurable()}")
        return
    kept = words.counted(told.held, "customer")
    st.markdown(f"{kept} of the {words.count(told.customers)} stay uncalled, chosen at random within each risk band.")
    leave = f"{words.capital(words.percent(told.average_risk))} of them are expected to leave, uncalled."
    st.markdown(f"{escape(told.measurable())} {leave}")


# -- the list ----------------------------------------------------------------------------


def _customers(
    pair: Pair, ranking: Ranking, end: Cut, assumptions: Assumptions, question: tuple[Any, ...], *, money: bool
) -> None:
    st.header("The list", anchor=False)
    pages = -(-end.customers // _LISTED)
    turned = f"_list_page {hash((pair.id, question))}"
    at = min(int(st.session_state.get(turned, 1)), pages)
    start, stop = (at - 1) * _LISTED, min(at * _LISTED, end.customers)
    listed, contacts = widgets.answer(pair, *_rows(pair, ranking, assumptions, question, start, stop), 760)
    hidden = "" if contacts is None else " · contact data is masked"
    first = "Best first" if ranking.lowers is None else "First those whose risk a call lowers most"
    st.caption(f"{first}{hidden} · click a customer to see why and what could help")
    _table(pair, listed, contacts, money=money)
    if pages > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.pagination(pages, key=turned, max_visible_pages=5)
            st.caption(f"{words.count(start + 1)}–{words.count(stop)} of {words.count(end.customers)}")


def _rows(
    pair: Pair, ranking: Ranking, assumptions: Assumptions, of: tuple[Any, ...], start: int, stop: int
) -> Question[tuple[Any, Any]]:
    """Some rows of the list and their masked contact data; `of` is what the ranking was made from."""

    def work() -> tuple[Any, Any]:
        known = _list.known(pair, assumptions)
        people = _list.People(pair, ranking.places[start : stop + _AHEAD])
        listed = rows(ranking, known, start, stop, people.told)
        return listed, people.masked(ranking.places[start:stop], known)

    return ("list rows", *of, start, stop), work


def _table(pair: Pair, listed: Any, contacts: Any, *, money: bool) -> None:
    schema = pair.schema
    keys: list[str] = listed[CUSTOMER].to_list()
    click, opened, key = "_list-click", "_list-open", "_list"

    def note(row: int) -> None:
        state.open_customer(keys[row])
        st.session_state[opened] = True

    def chose() -> None:
        if found := st.session_state[key].selection.rows:
            note(found[0])

    columns: dict[str, list[Any]] = {"Customer": [f":material/person_search: {one}" for one in keys]}
    columns["Risk"] = [widgets.risk_cell(one) for one in listed[RISK]]
    longest = max((theme.width(one) for one in keys), default=0.0)
    config: dict[str, Any] = {
        "Customer": st.column_config.ButtonColumn(
            type="tertiary", alignment="left", on_click=lambda: note(st.session_state[click].row), key=click,
            width=round(min(longest + 54, 160)),
        ),
        "Risk": percent_column(width=84),
    }  # fmt: skip
    form = f"{schema.currency.replace('%', '%%')}%,.0f"
    if money:
        columns["A call is worth"] = listed[WORTH].to_list()
        config["A call is worth"] = st.column_config.NumberColumn(
            format=form, width=96, help="What the offer is expected to bring, less what it costs. It rests on assumptions."
        )
    columns["Most associated with it"] = [_why(row) for row in listed.select(f"reason_{n}" for n in range(1, REASONS + 1)).rows()]
    config["Most associated with it"] = st.column_config.TextColumn(width=320)
    if schema.actions:
        columns["What could help most"] = listed[ACTION].to_list()
        config["What could help most"] = st.column_config.TextColumn(
            width=140,
            help="The model's answer from customers like this one, not a promise. Empty where nothing is worth its cost.",
        )
    if contacts is not None:
        columns["Contact"] = _contact(contacts, schema)
        config["Contact"] = st.column_config.TextColumn(width=150)
    if listed[OWNER].null_count() < listed.height:
        columns["Owner"] = listed[OWNER].to_list()
    if money:
        columns["Customer is worth"] = listed[VALUE].to_list()
        config["Customer is worth"] = st.column_config.NumberColumn(
            format=form, width=118, help="What is kept if the customer stays. It rests on an assumption."
        )
    if listed[SAME].null_count() < listed.height:
        columns["Same phone"] = listed[SAME].to_list()
        config["Same phone"] = st.column_config.TextColumn(
            help="Left out, as this customer has the same phone and is placed better."
        )
    columns["Rank"] = listed[RANK].to_list()
    config["Rank"] = st.column_config.NumberColumn(format="%,d", width=60)
    st.dataframe(
        pyarrow.table(columns),
        column_config=config,
        hide_index=True,
        on_select=chose,
        selection_mode="single-row",
        key=key,
        height="content",
        row_height=_ROW,
        placeholder=words.NOTHING,
        alt=f"Table: {words.count(len(keys))} customers to call, the best first; {keys[0]} leads.",
    )
    if st.session_state.pop(opened, False):
        widgets.go(widgets.CUSTOMER)


def _why(reasons: Sequence[str | None]) -> str | None:
    return " · ".join(one for one in reasons if one) or None


def _contact(contacts: Any, schema: Any) -> list[str | None]:
    """Name and phone, masked; the address where there is no phone."""
    roles = [column for column in (schema.contacts.name, schema.contacts.phone or schema.contacts.email) if column]
    return [_why(row) for row in contacts.select(column for column in roles if column in contacts.columns).rows()]


# -- what becomes of it ----------------------------------------------------------------------


def _origin(pair: Pair, chosen: Filter, terms: Terms, assumptions: Assumptions) -> export.Origin:
    simulated = data.desk().settings.simulated or pair.snapshot.simulated
    told = export.filter_in_words(chosen, pair.schema)
    return export.Origin(
        title="; ".join(told) or "Call list",
        filter=chosen,
        model=pair.snapshot.model,
        scoring=pair.snapshot.id,
        as_of=pair.snapshot.as_of,
        terms=terms,
        assumptions=assumptions,
        simulated=simulated,
    )


def _take_away(
    pair: Pair, chosen: Filter, ranking: Ranking, end: Cut, terms: Terms, assumptions: Assumptions, *, money: bool
) -> None:
    """Files: made, recorded, and only then given."""
    st.header("Take it away", anchor=False)
    may, known = data.desk().visitor.may(CONTACTS), _list.known(pair, assumptions)
    known_contacts, reachable = bool(pair.schema.contacts.columns), pair.schema.contacts.phone is not None
    offered = [kind for kind in export.KINDS if kind != "dialler" or (may and reachable)]
    with st.container(horizontal=True, vertical_alignment="bottom", key="_export"):
        kind: export.Kind = "xlsx"
        picked = st.segmented_control("File", offered, format_func=_FORMS.__getitem__, default=kind, required=True, key="_kind")
        kind = picked or kind
        delimiter = "comma"
        if kind == "csv":
            delimiter = _DELIMITED[st.selectbox("Delimited by", list(_DELIMITED), key="_delimiter", width=140)]
        unmasked = may and known_contacts and kind != "dialler" and st.toggle("Names and phones as they are", key="_unmasked")
        origin = _origin(pair, chosen, terms, assumptions)
        name = export.file_name(origin, kind, uuid.uuid4().hex)

        def make() -> bytes:
            listed = rows(ranking, known, 0, end.customers)
            listed = listed if money else without_money(listed)
            contacts = contact_data(listed[CUSTOMER], known.folder, pair.schema)
            made = export.export(
                data.desk().records, listed, contacts, pair.schema, origin, data.desk().visitor,
                kind=kind, unmasked=unmasked, delimiter=DELIMITERS[delimiter], name=name,
            )  # fmt: skip
            return made.content

        st.download_button(
            "Export", make, file_name=name, mime=export.MIME[kind], on_click="ignore", icon=":material/download:", key="_download"
        )
    who = "" if may or not pair.schema.contacts.columns else " Contact data is masked: taking it out needs the role “contacts”."
    every = "everybody on the list, those to be kept uncalled too; start a campaign to draw them" if terms.holdout else "the list"
    st.caption(f"The file holds {every}. Each export is recorded: who, when, and from what.{who}")


def _start(pair: Pair, chosen: Filter, ranking: Ranking, end: Cut, told: Preview, terms: Terms, assumptions: Assumptions) -> None:
    """Make a campaign of the list: who stays uncalled is drawn then."""
    st.header("Start a campaign", anchor=False)
    st.caption(
        f"A draft: {words.count(told.called)} to call, {words.count(told.held)} kept uncalled; calling begins when you say so"
    )
    with st.form("_new_campaign", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name", key="_campaign_name", placeholder="Autumn save", width=320)
        begun = st.form_submit_button("Start a campaign", type="primary")
    if not begun:
        return
    known = _list.known(pair, assumptions)
    columns = [one.column for one in dimensions(pair.snapshot) if one.first]
    try:
        with st.spinner("Drawing who stays uncalled"):
            made = campaigns.create(
                data.desk().records,
                rows(ranking, known, 0, end.customers),
                name=name,
                model=pair.snapshot.model,
                scoring=pair.snapshot.id,
                as_of=pair.snapshot.as_of,
                horizon_days=pair.schema.horizon_days,
                who=data.desk().visitor.name,
                assumptions=assumptions,
                chosen=chosen,
                plan=asdict(replace(terms)),
                holdout_share=terms.holdout,
                groups=groups_of(ranking, known, end.customers, columns),
            )
    except ChurnError as error:
        widgets.failed(error)
        return
    _list.forget()
    st.session_state[_OPEN_CAMPAIGN] = made.id
    widgets.go(_CAMPAIGNS)


if __name__ == "__main__":
    page(data.run().pair, data.run().chosen)

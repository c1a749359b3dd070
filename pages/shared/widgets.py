"""What every page is built from: the line above it, filters, tiles, notices and empty states.

Anything that comes from a table or a file is escaped before it reaches Streamlit, which reads markup in every label.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow
import streamlit as st
from plotly.basedatatypes import BaseFigure
from streamlit.runtime.scriptrunner import get_script_run_ctx

from churn import words
from churn.base.groups import BAND, Filter
from churn.base.snapshot import Customer, Order
from churn.charts.theme import Chart, width
from churn.data.schema import Feature
from churn.errors import ChurnError
from churn.understand.cohorts import dimensions
from churn.words import escape_markdown as escape
from pages.shared import data, guard, state
from pages.shared.data import Desk, Pair

HERE = Path(__file__).parent
OVERVIEW, COHORTS, CUSTOMER = "pages/understand/overview.py", "pages/understand/cohorts.py", "pages/act/customer.py"
EXPLAIN, RETENTION = "pages/understand/explain.py", "pages/understand/retention.py"
VALUE, CALL_LIST = "pages/act/value.py", "pages/act/call_list.py"
_MOST_PILLS = 12
_LEFT_OUT = "_filters_left_out"
_KEY, _BESIDE_KEY = 160, 54  # px for the number of a customer in a table, at most; what stands beside it in its cell
_ANYTHING = {"yes", "no", "not known", "other", "any value"}  # labels that say nothing without their column

_log = logging.getLogger("churn.app")

T = TypeVar("T")


# -- the frame ---------------------------------------------------------------


def dress(title: str) -> None:
    """Page config, style sheet and logo."""
    state.arrive(title)
    st.set_page_config(page_title=f"{title} · Retention", page_icon=str(HERE / "icon.png"), layout="wide")
    st.html(HERE / "style.css")
    with st.container(key="_phone"):  # takes no room, see the style sheet
        st.html(guard.own_script(), unsafe_allow_javascript=True)
    st.logo(str(HERE / f"logo-{theme()}.svg"), size="large")


def menu(sections: Mapping[str, Sequence[tuple[Any, str]]]) -> None:
    """The sections of the sidebar. Streamlit keeps what is bound to the address, so the filters come along."""
    with st.sidebar.container(key="_menu", gap="xxsmall"):
        for section, entries in sections.items():
            st.caption(section)
            for page, icon in entries:
                st.page_link(page, label=page.title, icon=icon, width="stretch")


def theme() -> str:
    """`light` or `dark`, as the browser shows the page now."""
    return "dark" if st.context.theme.type == "dark" else "light"


def local(moment: datetime) -> datetime:
    """A moment in the time zone of whoever looks at it."""
    try:
        zone = ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):  # the browser says what it likes
        zone = ZoneInfo("UTC")
    return moment.astimezone(zone)


@contextmanager
def loading(height: int = 400, *, wait: bool = True) -> Iterator[None]:
    """Show a placeholder of the final height while the block takes longer than a moment.

    A placeholder costs a thread, so where it is known beforehand that there is nothing to `wait` for, its place stays empty.
    """
    with st.skeleton(height=height) if wait else st.empty():
        yield


def answer(pair: Pair, question: Hashable, work: Callable[[], T], height: int = 400) -> T:
    """`pair.answer`, with a placeholder of the final height where it has to be worked out."""
    with loading(height, wait=not pair.knows(question)):
        return pair.answer(question, work)


def frame_line(title: str, pair: Pair, chosen: Filter) -> None:
    """Simulated or not · page · customers · when scored · by which model; below it, what is wrong, if anything."""
    total = pair.snapshot.customers
    shown = pair.answer(("customers", chosen), lambda: pair.snapshot.totals(chosen).customers) if chosen else total
    counted = f"{words.count(shown)} of {words.count(total)} customers" if chosen else f"All {words.count(total)} customers"
    since = words.day(local(pair.model_since).date(), year=pair.model_since.year != datetime.now(UTC).year)
    parts = [f"**{title}**", counted, f"scored {words.moment(local(pair.snapshot.created))}"]
    parts.append(f"model {escape(pair.bundle.version)}, since {since}")
    with st.container(horizontal=True, vertical_alignment="center", key="_frame_line"):
        if data.desk().settings.simulated or pair.snapshot.simulated:
            st.badge("Simulated data", icon=":material/science:", color="yellow")
        st.caption(" · ".join(parts))
    if chosen:
        _chips(pair, chosen)
    left_out()
    _notices(pair)


def _chips(pair: Pair, chosen: Filter) -> None:
    """What is chosen in the sidebar, each to be cleared by itself; on a phone the sidebar is out of sight."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="_chips"):
        for choice in _choices(pair):
            labels = chosen.labels(choice.column)
            for label in (one for one in choice.options if one in labels):
                st.button(
                    f"{escape(choice.label)}: {escape(label)}",
                    icon=":material/close:",
                    icon_position="right",
                    key=f"_chip {choice.key} {label}",
                    help="Clear this filter",
                    on_click=narrow,
                    args=(pair, chosen.narrowed(choice.column, *(one for one in labels if one != label))),
                )


def _notices(pair: Pair) -> None:
    desk = data.desk()
    age = datetime.now(UTC) - pair.snapshot.created
    stale = age > timedelta(days=desk.settings.stale_days)
    parts = [f"Scored {age.days} days ago; figures may be out of date."] if stale else []
    if desk.failure:
        parts.append(f"Nothing newer can be fetched since {local(desk.failure.since):%H:%M}.")
        parts.append(f"Last try failed: {escape(desk.failure.message)}")
    if parts:
        st.warning(" ".join(parts), icon=":material/history:")
    if sentence := _new_model(pair):
        st.info(sentence, icon=":material/new_releases:")


def _new_model(pair: Pair) -> str:
    """That another model came into use while this session was open."""
    if state.model_changed(pair.bundle.version or ""):
        return state.announce(f"Model {escape(pair.bundle.version)} is in use since {local(pair.model_since):%H:%M}.")
    return state.announce()


def follow(pair: Pair) -> None:
    """Draw the page again when the desk has another pair, when the store goes or comes back, and when the theme changes."""
    desk = data.desk()
    drawn = (pair.id, desk.failure, theme())

    @st.fragment(run_every=desk.settings.refresh_s)
    def look() -> None:
        current = desk.pair
        if (current.id if current else None, desk.failure, theme()) != drawn:
            st.rerun()

    look()


# -- filters -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Choice:
    """One filter of the sidebar: its key in the address, its column and the labels of its groups."""

    key: str
    column: str
    label: str
    options: tuple[str, ...]
    first: bool


def _choices(pair: Pair) -> tuple[_Choice, ...]:
    return pair.answer("choices", lambda: tuple(_make_choices(pair)))


def _make_choices(pair: Pair) -> Iterator[_Choice]:
    columns = [one for one in dimensions(pair.snapshot) if len(one.labels) <= _MOST_PILLS]
    offered = [(one.column, one.label, one.labels, one.first) for one in columns]
    offered.insert(sum(first for *_, first in offered), (BAND, "Risk", pair.snapshot.groups(BAND), False))
    taken: set[str] = set()
    for column, label, options, first in offered:
        slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "filter"
        key = next(name for name in (slug, *(f"{slug}-{n}" for n in range(2, 99))) if name not in taken)
        taken.add(key)
        yield _Choice(key, column, label, options, first)


def filters(pair: Pair, *, idle: bool = False) -> Filter:
    """The filters of the sidebar, kept across pages and in the address; what is chosen.

    On a page that is not about chosen customers they are `idle`: they stay as they are, and nobody is chosen.
    """
    choices = _choices(pair)
    rest = [choice for choice in choices if not choice.first]
    asked = _left_out_of_link(choices)
    with st.sidebar.container(key="_filters"):
        head = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="_filters_head")
        head.header("Filters", anchor=False, width="content")
        if idle:
            st.caption("Not used on this page")
        chosen = {choice.column: _pills(choice) for choice in choices if choice.first}
        used = any(choice.key in st.query_params or st.session_state.get(choice.key) for choice in rest)
        with st.expander(f"More filters ({len(rest)})", expanded=used, key="_more_filters", on_change="rerun") as more:
            if more.open or used:  # sixteen closed filters would be a third of the work of a run
                chosen |= {choice.column: _pills(choice) for choice in rest}
        if any(chosen.values()):
            head.button("Clear filters", type="tertiary", key="_clear", on_click=narrow, args=(pair, Filter()))
    found = Filter.of(chosen)
    if asked:
        st.session_state[_LEFT_OUT] = (asked, found)
    elif state.entered() or st.session_state.get(_LEFT_OUT, ((), found))[1] != found:
        st.session_state.pop(_LEFT_OUT, None)
    return Filter() if idle else found


def _left_out_of_link(choices: Sequence[_Choice]) -> list[str]:
    """What a link filters by that is not there, as markdown: groups that nobody is in, which the pills drop from the address
    without a word, and columns, which are dropped here. What pages write in the address has a "_" in its key."""
    groups = [
        f"{escape(one.label)}: {escape(label)}"
        for one in choices
        for label in st.query_params.get_all(one.key)
        if label not in _known(one)
    ]
    known = {one.key for one in choices} | {"embed"}  # the latter is Streamlit's own
    columns = [key for key in st.query_params if "_" not in key and key not in known]
    named = [f"{escape(key)}: {escape(label)}" for key in columns for label in st.query_params.get_all(key)]
    for key in columns:
        del st.query_params[key]
    return groups + named


def _known(choice: _Choice) -> set[str]:
    return {text for label in choice.options for text in (label, escape(label))}  # the address has them as they are drawn


def left_out() -> None:
    """Say what of a link was left out, until it is closed, another group is chosen or another page is opened."""
    if _LEFT_OUT in st.session_state:
        asked, _ = st.session_state[_LEFT_OUT]
        named = words.sentence_list(asked)
        verb = "it is" if len(asked) == 1 else "they are"
        with st.container(horizontal=True, vertical_alignment="center", key="_left_out_box"):
            st.warning(
                f"This link filters by {named}, which these customers do not have; {verb} left out.",
                icon=":material/filter_alt_off:",
            )
            st.button("Close", type="tertiary", key="_close_left_out", on_click=lambda: st.session_state.pop(_LEFT_OUT, None))


def _pills(choice: _Choice) -> list[str]:
    return st.pills(
        escape(choice.label),
        choice.options,
        selection_mode="multi",
        key=choice.key,
        bind="query-params",
        format_func=escape,
        wrap=True,
    )


def narrow(pair: Pair, chosen: Filter) -> None:
    """A callback: put the filters so that they choose exactly this."""
    for choice in _choices(pair):
        st.session_state[choice.key] = list(chosen.labels(choice.column))


# -- states ------------------------------------------------------------------


def nothing_to_show(desk: Desk) -> None:
    """There is no pair: say what is missing and what to do about it. Never made-up figures instead."""
    settings = desk.settings
    option = "" if settings.workspace == "default" else f" --workspace {settings.workspace}"
    if desk.failure:
        st.title("The customers cannot be shown yet")
        st.error(f"{escape(desk.failure.message)}", icon=":material/cloud_off:")
        st.markdown(f"It is tried again every {words.count(settings.refresh_s)} seconds; this page then fills by itself.")
    elif pointer := desk.unscored:
        st.title("There is a champion, but no customers are scored yet")
        st.markdown(f"Model {escape(pointer.model)} is in use. Score the base with it and publish the result:")
        st.code(f"churn{option} score TABLE --publish", language=None, wrap_lines=True)
    else:
        st.title("There is no champion model yet")
        st.markdown(
            "This page shows your customers as soon as a model has been trained on them. A table with one row a customer "
            "and a column that says who left is enough:"
        )
        st.code(
            f"churn{option} schema infer customers.csv --key CUSTOMER_ID --target CHURN -o schema.yaml\n"
            f"churn{option} train customers.csv --schema schema.yaml --promote",
            language=None,
            wrap_lines=True,
        )
        place = f"Workspace {escape(settings.workspace)}, store {escape(settings.store)}."
        st.caption(f"{place} To look around with simulated data: churn demo")
    follow_nothing(desk)


def follow_nothing(desk: Desk) -> None:
    """Draw the page again once there is something to show, or something else is wrong."""
    drawn = (desk.failure, desk.unscored)

    @st.fragment(run_every=min(desk.settings.refresh_s, 5.0))
    def look() -> None:
        if desk.pair is not None or (desk.failure, desk.unscored) != drawn:
            st.rerun()

    look()


def failed(error: ChurnError) -> None:
    """An error the reader can act on, in its own words."""
    st.error(escape(str(error)), icon=":material/error:")


def unexpected(error: Exception) -> bool:
    """A handler for what no page foresaw: the log gets the traceback, the page a sentence.

    A `ChurnError` from a fragment or a callback arrives here too, and is shown as it is.
    """
    if isinstance(error, ChurnError):
        failed(error)
        return True
    _log.error("a page failed", exc_info=error)
    st.error(
        "This part could not be drawn. Nothing was changed. Reload the page; if it stays, the log of the app says why.",
        icon=":material/error:",
    )
    return True


def nobody(pair: Pair) -> None:
    """No customer matches: say so, and offer the way back."""
    st.title("No customer matches these filters", anchor=False)
    st.markdown(":gray[Nobody is in all of the chosen groups at once.]")
    st.button("Clear filters", type="primary", key="_clear_empty", on_click=narrow, args=(pair, Filter()))


# -- blocks ------------------------------------------------------------------


def since(day: date) -> str:
    """`since Oct` where months apart, `since 12 Nov` where days, with the year where it is another."""
    age = (datetime.now(UTC).date() - day).days
    if age > 300:
        return f"since {words.day(day)}"
    return f"since {words.month(day)}" if age > 20 else f"since {words.day(day, year=False)}"


def group_name(pair: Pair, columns: Sequence[str], labels: Sequence[str], *, brief: bool = False) -> str:
    """A combination of groups by name: `Month-to-month · Internet service: No`.

    A label stands alone where it speaks for itself; `No`, `2–3`, `Over 180 GB`, or a level that two columns have could be
    anything's. Months are known as the time with the company where no other column is in months. `brief`: where the columns are
    named beside it, a number with a unit does without.
    """
    features = pair.schema.features
    shared = pair.answer("shared labels", lambda: _shared_labels(pair))

    def one(column: str, label: str) -> str:
        if column == BAND:
            return label if "risk" in label.lower() else f"{label} risk"
        feature = pair.schema.feature(column)
        if feature.is_number:
            own = feature.unit == "month" and sum(other.unit == "month" for other in features) == 1
            bare = feature.unit in ("", "percent", "share") or not (brief or own)
        else:
            bare = label in shared
        named = bare or len(label) < 3 or label.lower() in _ANYTHING
        return f"{feature.label}: {_without_unit(label, feature)}" if named else label

    return " · ".join(one(column, label) for column, label in zip(columns, labels, strict=True))


def _shared_labels(pair: Pair) -> frozenset[str]:
    """Labels of levels that more than one column has: "No internet service"."""
    told = Counter(label for one in pair.schema.features if not one.is_number for label in {level.shown for level in one.levels})
    return frozenset(label for label, columns in told.items() if columns > 1)


def _without_unit(label: str, feature: Feature) -> str:
    """`0 payments` of late payments is `0`: the name of the column says what is counted."""
    counted, _, unit = label.rpartition(" ")
    return counted if counted and feature.is_number and unit.lower() in feature.label.lower().split() else label


def tile() -> Any:
    """A bordered place for one figure and the way on from it, as high as its neighbours."""
    return st.container(border=True, height="stretch", gap="xsmall")


def way(label: str, prepare: Callable[[], None], page: str) -> None:
    """The way on from a figure: prepare what the page is to show, then go there with the filters kept."""
    if st.button(label, type="tertiary", icon=":material/arrow_forward:", icon_position="right", key=f"_way {label}"):
        prepare()
        go(page)


def go(page: str) -> None:
    """Go to another page, with the filters kept.

    `st.switch_page` refuses an address that names what widgets are bound to, and with none the browser would remember a page
    without filters on its way back. So the bindings are let go for the moment; the next run binds them again.
    """
    context = get_script_run_ctx()
    filters = {key: st.query_params.get_all(key) for key in st.query_params if "_" not in key}
    if context is not None:
        with context.session_state.query_params() as address:
            for binding in [found for key in filters if (found := address.get_binding_for_param(key))]:
                address.unbind_widget(binding.widget_id)
    st.switch_page(page, query_params=filters)


def narrowing(pair: Pair, wanted: Filter, label: str, chosen: Filter) -> None:
    """The way on from a figure to the customers behind it: narrow the filters to them; widen them again where that is done."""
    done = wanted == chosen
    st.button(
        "Show all again" if done else label,
        type="tertiary",
        icon=":material/arrow_back:" if done else ":material/arrow_forward:",
        icon_position="left" if done else "right",
        key=f"_way {label}",
        on_click=narrow,
        args=(pair, chosen.narrowed(BAND) if done else wanted),
    )


class _Checked(BaseFigure):  # type: ignore[misc]
    """A figure that was checked when its chart was tested: Plotly would check every part of it at every drawing, which was an
    eighth of the processor time of a what-if."""

    def __init__(self, figure: dict[str, Any]) -> None:
        self._figure = figure

    def to_dict(self) -> dict[str, Any]:
        return self._figure


def chart(drawn: Chart, *, key: str, on_click: Callable[[list[Any]], None] | None = None) -> None:
    """A chart; a click hands over the `customdata` of what was clicked.

    Keyed by theme: the browser puts the theme's colours into a figure once, when it appears.
    """
    full = f"{key}-{theme()}"
    options: dict[str, Any] = {"key": full, "height": drawn.height, "config": drawn.config, "alt": drawn.alt}
    with st.container(height=drawn.height, border=False, key=f"_place{key}"):  # its height before the chart is there
        if on_click is None:
            st.plotly_chart(_Checked(drawn.figure), on_select="ignore", **options)
            return

        def clicked() -> None:
            points = st.session_state[full].selection.points
            if points:
                on_click(points[0].get("customdata") or [])

        st.plotly_chart(_Checked(drawn.figure), on_select=clicked, selection_mode="points", **options)


def risk_cell(risk: float) -> float:
    """A risk (0–1) as the cell of a column of bars, in percent; such columns format their numbers by `%g%%`.

    Whole where words say it whole; where they say "under 1%" or "over 99%" one decimal, 0.1 to 99.9: nothing is certain.
    """
    if 0.01 <= risk <= 0.99:
        return float(words.whole_percent(risk))
    return min(max(round(100 * risk, 1), 0.1), 99.9)


def customer_table(pair: Pair, chosen: Filter, *, order: Order, rows: int, key: str, offset: int = 0) -> None:
    """The customers of a filter with most revenue at risk, or most risk; a click on a number or a row's box opens the customer.

    The box is there for the keyboard (Shift+Space). Choosing cells would open customers too, but the chosen cell follows the
    arrow keys, so that walking through the table would already leave the page.
    """
    schema = pair.schema
    listed = pair.top(chosen, rows, order, offset)
    click, opened = f"{key}-click", f"{key}-open"

    def note(row: int) -> None:
        state.open_customer(listed[row].key)
        st.session_state[opened] = True

    def clicked() -> None:
        note(st.session_state[click].row)

    def chose() -> None:
        if found := st.session_state[key].selection.rows:
            note(found[0])

    columns: dict[str, list[Any]] = {"Customer": [f":material/person_search: {customer.key}" for customer in listed]}
    columns["Risk"] = [risk_cell(customer.risk) for customer in listed]
    config: dict[str, Any] = {
        "Customer": st.column_config.ButtonColumn(
            type="tertiary",
            alignment="left",
            on_click=clicked,
            key=click,
            width=round(min(max((width(customer.key) for customer in listed), default=0.0) + _BESIDE_KEY, _KEY)),
        ),
        "Risk": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%g%%", color="#DF8548", width=84),
    }
    if schema.money:
        money = f"{schema.currency.replace('%', '%%')}%,.2f"
        label = {"month": "Monthly", "quarter": "Quarterly", "year": "Yearly", "once": "Revenue"}[schema.money.period]
        columns["At risk"] = [customer.revenue_at_risk for customer in listed]  # before the other: a phone shows three columns
        columns[label] = [customer.money for customer in listed]
        config |= {name: st.column_config.NumberColumn(format=money, width="small") for name in (label, "At risk")}
    columns["Most raised by"] = [_raised(customer, pair) for customer in listed]
    by = "revenue at risk" if order == "revenue" and schema.money else "risk"
    lead = f"{listed[0].key} leads with {words.percent(listed[0].risk)} risk" if listed else "nobody"
    st.dataframe(
        pyarrow.table(columns),
        column_config=config,
        hide_index=True,
        on_select=chose,
        selection_mode="single-row",
        key=key,
        height="content",
        placeholder=words.NOTHING,
        alt=f"Table: {words.count(len(listed))} customers by {by}; {lead}.",
    )
    if st.session_state.pop(opened, False):
        go(CUSTOMER)


def customer_pages(pair: Pair, chosen: Filter, customers: int, *, order: Order, rows: int, key: str) -> None:
    """All `customers` of a filter, `rows` of them at a time, as far as the pages go."""
    pages = -(-customers // rows)
    turned = f"{key} {hash(chosen)}"
    at = min(int(st.session_state.get(turned, 1)), max(pages, 1))
    customer_table(pair, chosen, order=order, rows=rows, key=key, offset=(at - 1) * rows)
    if pages > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.pagination(pages, key=turned, max_visible_pages=5)
            st.caption(f"{words.count((at - 1) * rows + 1)}–{words.count(min(at * rows, customers))} of {words.count(customers)}")


def _raised(customer: Customer, pair: Pair) -> str | None:
    """The fact that raises a customer's risk most, with the points its own page prints: `Tenure: 1 month (+25)`.

    None where nothing does. A model that takes long to explain is not asked again: its reasons come from the scoring.
    """
    if pair.bundle.model.quick:
        told = [(reason.feature, reason.printed_points / 100) for reason in pair.account(customer).reasons]
    else:
        told = [(reason.feature, reason.points) for reason in customer.reasons]
    for name, points in told:
        if points > 0:
            fact = words.value_text(customer.row[name], pair.schema.feature(name), pair.schema)
            return f"{fact} ({words.points(points, unit=False)})"
    return None

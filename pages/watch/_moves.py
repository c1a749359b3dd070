"""Champion: which customers two versions would put in different bands, who moves most, and what makes the difference."""

from __future__ import annotations

from typing import Any

import pyarrow
import streamlit as st

from churn import words
from churn.data.schema import Schema
from churn.errors import BundleRejected, NotInStore, PromotionRefused, StoreUnavailable
from churn.score.promotion import check_columns
from churn.watch import versions
from churn.watch.versions import Moves
from churn.words import escape_markdown as escape
from pages.shared import data, state, widgets
from pages.shared.data import Pair
from pages.watch._table import RIGHT, Columns, table

_AT_ONCE = 200_000  # customers that are compared without being asked to
_PARTS = 5  # columns that are named; the others are one line
_TABLE, _OPEN = "_moved", "_moved_open"


def show(pair: Pair, first: str, second: str) -> None:
    """Compare two versions on the desk's customers; a large base only when asked, for it takes seconds."""
    st.subheader("Who changes band", anchor=False)
    question = ("moves", first, second)
    if not pair.knows(question) and pair.snapshot.customers > _AT_ONCE:
        st.markdown(f"All {words.count(pair.snapshot.customers)} customers are scored with both; nothing is changed by that.")
        if not st.button(f"Compare {escape(first)} and {escape(second)} on them", key="_compare_all"):
            return
    try:
        found = known(pair, first, second)
    except (BundleRejected, NotInStore, PromotionRefused, StoreUnavailable) as error:
        st.warning(f"They cannot be compared on these customers: {escape(error)}.", icon=":material/compare_arrows:")
        return
    st.markdown(escape(versions.sentence(found, (first, second), pair.schema)))
    if found.moving:
        left, right = st.columns(2, gap="medium")
        with left:
            _bands(pair, found, first, second)
        with right:
            _why(pair, found, first, second)
    if any(one.parts for one in found.most):
        _most(pair, found, first, second)


def known(pair: Pair, first: str, second: str) -> Moves:
    """The comparison, worked out once for a pair of versions, with a bar where it takes long.

    Raises
    ------
    PromotionRefused: the customers lack a column that one of them needs. BundleRejected, NotInStore, StoreUnavailable.
    """
    question = ("moves", first, second)
    if pair.knows(question):
        return pair.answer(question, lambda: _compared(pair, first, second, None))
    place = st.empty()

    def report(doing: str, done: int, total: int) -> None:
        place.progress(done / total if total else 1.0, text=f"{doing}: {words.count(done)} of {words.count(total)} customers")

    with widgets.loading(120):
        found = pair.answer(question, lambda: _compared(pair, first, second, report))
    place.empty()
    return found


def _compared(pair: Pair, first: str, second: str, report: Any) -> Moves:
    registry = data.desk().registry
    bundles = [pair.bundle if name == pair.bundle.version else registry.load_model(name) for name in (first, second)]
    rows = pair.rows
    if rows is None:
        raise NotInStore("the files of the customers on the desk are not there")
    types = versions.columns(rows)
    for bundle in bundles:
        check_columns(types, bundle.schema)
    ours = first == pair.bundle.version
    return versions.moves(rows, pair.schema, bundles[0].model, bundles[1].model, known=ours, progress=report)


def _schema(pair: Pair, version: str) -> Schema:
    return pair.answer(("schema", version), lambda: data.desk().registry.load_model(version).schema)


def _bands(pair: Pair, found: Moves, first: str, second: str) -> None:
    """From which band to which."""
    names = [band.name for band in pair.schema.bands]
    st.caption(f"Customers by band with {escape(first)} (down) and with {escape(second)} (across)")
    columns: Columns = {
        first: [*names, "All"],
        **{
            f"{name}": [words.count(row[i]) for row in found.counts] + [words.count(sum(row[i] for row in found.counts))]
            for i, name in enumerate(names)
        },
        "All": [words.count(sum(row)) for row in found.counts] + [words.count(found.customers)],
    }
    right = {name: RIGHT for name in columns if name != first}
    alt = f"Table: customers by band with {first} and {second}; {words.count(found.moving)} change band."
    table(columns, right, alt)


def _why(pair: Pair, found: Moves, first: str, second: str) -> None:
    """The points that make the difference for whoever changes band, up and down apart; each column adds up to its last line."""
    schemas = (pair.schema, _schema(pair, second))
    sides = [(name, one) for name, one in (("To a higher band", found.up), ("To a lower band", found.down)) if one]
    told = [{part.feature: part.change for part in one.parts} for _, one in sides]
    largest = {part.feature: part for _, one in sides for part in one.parts}
    order = sorted(largest, key=lambda name: -max(abs(changes.get(name, 0.0)) for changes in told))
    named = order[:_PARTS]
    lines = [versions.part_name(largest[name], schemas) for name in named]
    rest = len(order) > len(named)
    columns: Columns = {"What differs": [*lines, *(["Everything else"] if rest else []), "Risk, on average"]} | {
        f"{side} ({words.count(one.customers)})": _printed(changes, named, rest)
        for (side, one), changes in zip(sides, told, strict=True)
    }
    st.caption(f"Points of risk that {escape(second)} gives more or less than {escape(first)}, on average")
    right = {name: RIGHT for name in columns if name != "What differs"}
    table(columns, right, f"Table: what makes the difference for {words.counted(len(sides), 'direction')}; {lines[0]} leads.")


def _printed(changes: dict[str | None, float], named: list[str | None], rest: bool) -> list[str]:
    """Points with one decimal that add up to their last line."""
    parts = [changes.get(name, 0.0) for name in named]
    total = sum(changes.values())
    parts += [total - sum(parts)] if rest else []
    tenths = words.largest_remainder([1000 * part for part in parts], round(1000 * total))
    return [words.points(tenth / 1000, unit=False, decimals=1) for tenth in (*tenths, round(1000 * total))]


def _most(pair: Pair, found: Moves, first: str, second: str) -> None:
    """The customers whose risk differs most; a click opens one."""
    schemas = (pair.schema, _schema(pair, second))
    st.caption("Customers whose risk differs most · points of risk, as it is with either · a click opens the customer")
    click = f"{_TABLE}-click"

    def clicked() -> None:
        state.open_customer(found.most[st.session_state[click].row].key)
        st.session_state[_OPEN] = True

    def chose() -> None:
        if rows := st.session_state[_TABLE].selection.rows:
            state.open_customer(found.most[rows[0]].key)
            st.session_state[_OPEN] = True

    rows = [pair.snapshot.customer(one.key) for one in found.most]
    told = [versions.differs(one, schemas, row.row if row else {}) for one, row in zip(found.most, rows, strict=True)]
    columns: dict[str, list[Any]] = {
        "Customer": [f":material/person_search: {one.key}" for one in found.most],
        first: [words.percent(one.first) for one in found.most],
        second: [words.percent(one.second) for one in found.most],
        "Differs": [words.points(one.second - one.first, unit=False) for one in found.most],
        f"What {second} sees otherwise": [next(iter(parts), None) for parts in told],
        "And then": [next(iter(parts[1:]), None) for parts in told],
    }
    config: dict[str, Any] = dict.fromkeys((first, second, "Differs"), st.column_config.TextColumn(alignment="right", width=72))
    config["Customer"] = st.column_config.ButtonColumn(type="tertiary", alignment="left", on_click=clicked, key=click, width=150)
    top = found.most[0]
    st.dataframe(
        pyarrow.table(columns),
        column_config=config,
        hide_index=True,
        on_select=chose,
        selection_mode="single-row",
        key=_TABLE,
        height="content",
        placeholder=words.NOTHING,
        alt=f"Table: {len(found.most)} customers; {top.key} leads, {words.percent(top.first)} and {words.percent(top.second)}.",
    )
    if st.session_state.pop(_OPEN, False):
        widgets.go(widgets.CUSTOMER)

"""Champion: the versions there are, and any two of them side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence

import streamlit as st

from churn import words
from churn.charts import two_models
from churn.errors import StoreUnavailable
from churn.watch import champion, versions
from churn.watch.champion import Version
from churn.words import escape_markdown as escape
from pages.shared import data, widgets
from pages.shared.data import Pair
from pages.watch import _change, _moves
from pages.watch._table import RIGHT, Columns, table

_LOOK_S = 60  # how long the list of versions may be old


def show(pair: Pair) -> None:
    """All versions, the way to put another one in use, and two of them compared."""
    st.header("Versions", anchor=False)
    desk = data.desk()
    try:
        listed = widgets.answer(pair, ("versions", int(time.monotonic() // _LOOK_S)), desk.registry.versions, 200)
    except StoreUnavailable as error:
        st.warning(f"The versions cannot be listed: {escape(error)}", icon=":material/cloud_off:")
        return
    found = champion.versions(listed, pair.pointer.history)
    lines = {info.version: versions.lineage(info.version, info.metrics, info.schema_hash) for info in listed}
    elsewhere = any(champion.trained_elsewhere(one.facts) for one in found)
    whom = "customers it had not seen" + (", but for those trained elsewhere, of which nobody here can tell" if elsewhere else "")
    st.caption(f"Newest first · each judged on {whom}")
    shown = [one.metrics for one in found]
    columns: Columns = {
        "Version": [one.version for one in found],
        "Status": [one.status for one in found],
        "Top tenth": [words.times(m.top_decile_lift.value) if m else None for m in shown],
        "Picks the leaver": [champion.in_100(m.roc_auc, interval=False) if m else None for m in shown],
        "Percentages off by": [champion.off_by(m.ece, interval=False) if m else None for m in shown],
        "Kind": [one.kind for one in found],
        "Trained": [words.day(one.trained) for one in found],
        "Made to succeed": [lines[one.version].parent for one in found],
    }
    right = dict.fromkeys(("Top tenth", "Picks the leaver", "Percentages off by"), RIGHT)
    table(columns, right, f"Table: {words.counted(len(found), 'version')}; {pair.bundle.version} is in use.")
    for one in found:
        if one.problem:
            st.warning(f"{escape(one.version)} cannot be used: {escape(one.problem)}", icon=":material/broken_image:")
    usable = [one for one in found if not one.problem]
    _change.offer(pair, [one.version for one in usable])
    if len(usable) > 1:
        _compare(pair, usable, lines)


def _compare(pair: Pair, usable: Sequence[Version], lines: dict[str, versions.Lineage]) -> None:
    """Two versions side by side: figures, where they come from, curves, and whom they would put in another band."""
    by_name = {one.version: one for one in usable}
    names = list(by_name)
    first = names.index(pair.bundle.version) if pair.bundle.version in by_name else 0
    second = next(i for i in range(len(names)) if i != first)
    st.header("Two versions compared", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        a = st.selectbox("Compare", names, index=first, key="_compare", format_func=escape, width=160)
        b = st.selectbox("with", names, index=second, key="_with", format_func=escape, width=160)
    if a == b:
        st.markdown("Choose two different versions to compare them.")
        return
    found = champion.compare(by_name[a], by_name[b])
    rows = (*found.rows, *versions.side_by_side(lines[a], lines[b]))
    columns: Columns = {
        "": [row[0] for row in rows],
        a: [row[1] for row in rows],
        b: [row[2] for row in rows],
        "Better": [row[3] or None for row in rows],
    }
    table(columns, {"": st.column_config.TextColumn("What")}, f"Table: {a} and {b} compared by {len(rows)} figures.", most=14)
    st.caption(escape(found.note), help=escape(f"What they were made from, by its sum. {versions.sums(lines[a], lines[b])}."))
    _curves(by_name[a], by_name[b])
    _moves.show(pair, a, b)


def _curves(first: Version, second: Version) -> None:
    """Both models' curves in one figure each; the second is the grey one."""
    a, b = first.metrics, second.metrics
    if a is None or b is None:
        return
    names = (first.version, second.version)
    left, right = st.columns(2, gap="medium")
    with left:
        st.caption(
            f"Share of all leavers found (up) by calling so many customers, riskiest first (across) · grey: {escape(names[1])}"
        )
        widgets.chart(two_models.gains(a.gain, b.gain, names), key="_gains")
    with right:
        st.caption(f"Promised risk (across), share that left (up) · grey rings: {escape(names[1])}")
        widgets.chart(two_models.promises(a.calibration, b.calibration, names), key="_promises")

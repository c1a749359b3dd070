"""Explain: which columns matter for the customers looked at, how one of them goes with the risk, what sets two groups apart."""

from __future__ import annotations

import io
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import streamlit as st

from churn import words
from churn.base.groups import BAND, NOT_KNOWN, OTHER, Filter
from churn.base.points import Dots, Spot
from churn.charts import theme
from churn.charts.bars import Bar, bar_list
from churn.charts.beeswarm import Swarm, beeswarm
from churn.charts.dependence import Dot, Value, dependence, kept
from churn.charts.heat_map import MOST_COLUMNS, Tile, heat_map
from churn.charts.picture import KINDS, picture
from churn.charts.theme import Chart
from churn.charts.waterfall import waterfall
from churn.data.schema import Feature
from churn.data.spreadsheet import harmless
from churn.understand.cohorts import dimensions, name_of, within
from churn.understand.explain import (
    LIKELY,
    SHOWN,
    Gap,
    Influences,
    Unit,
    by_cohort,
    coarser,
    cohorts_frame,
    gap,
    gap_frame,
    has_groups,
    influences_frame,
    pairs,
    partner,
    spots_frame,
    what_matters,
)
from churn.words import escape_markdown as escape
from pages.shared import address, data, state, widgets
from pages.shared.data import Pair, Question

# Keys in the address; no filter's key there has an underscore.
_UNIT, _ACROSS, _COLUMN, _LEFT, _RIGHT, _EVERY = "ex_by", "ex_across", "ex_column", "ex_from", "ex_to", "ex_every"
_KEYS = (_UNIT, _ACROSS, _COLUMN, _LEFT, _RIGHT, _EVERY)
_VIEW = " explain"
_COLUMNS, _GROUPS = "Columns", "Business groups"
_TOGETHER, _ALL = "All together", "All these customers"
_PAIRS = 6
_SWARMED = 8  # columns of which every customer is shown
_FEW_KNOWN = 10  # outcomes that make a share at all
_Choice = tuple[str, str] | None  # a column and one of its groups; None: everybody the filters leave


def page(pair: Pair, chosen: Filter) -> None:
    head = st.container()
    if not pair.snapshot.has_points:
        with head:
            _no_points()
        return
    address.read(_VIEW, _KEYS)
    controls = st.container(horizontal=True, vertical_alignment="bottom", key="_explain_pick")
    unit = _pick_unit(pair, controls)
    found = widgets.answer(pair, *_influences(pair, chosen, unit), 900)
    if found is None or found.small:
        with head:
            if found is None and not pair.totals(chosen).customers:
                widgets.nobody(pair)
            else:
                _too_few(pair, found.counted if found else 0)
        return
    across = _pick_across(pair, chosen, controls)
    with head:
        st.title(escape(_title(found)), anchor=False)
        st.markdown(f":gray[{_next(found, pair.totals(chosen).average_risk or 0.0)}]")
    left, right = st.columns([0.45, 0.55], gap="medium")
    with left:
        _matters(pair, chosen, found, across)
    with right:
        _one_column(pair, chosen, found)
    left, right = st.columns([0.585, 0.415], gap="medium")
    with left:
        _apart(pair, chosen)
    with right:
        _together(pair)
    _every(pair, chosen)
    address.write(_VIEW, _KEYS)


def prepare(pair: Pair) -> None:
    """Ask what the first visitor asks."""
    everybody = Filter()
    if not pair.snapshot.has_points:
        return
    found = pair.answer(*_influences(pair, everybody, "column"))
    if found is None or found.small:
        return
    first = found.rows[0].features[0]
    pair.answer(*_dependence(pair, everybody, first))
    pair.answer(*_some(pair, everybody, _with_partner(pair, first)))
    ends = pair.answer(*_ends(pair, everybody))
    left, right = (_narrowed(everybody, end) for end in ends)
    if left is not None and right is not None:
        pair.answer(*_gap(pair, left, right, (_choice_name(pair, ends[0]), _choice_name(pair, ends[1]))))


# -- what is asked of the pair -----------------------------------------------------


def _influences(pair: Pair, chosen: Filter, unit: Unit) -> Question[Influences | None]:
    return ("influences", chosen, unit), lambda: what_matters(pair.snapshot, chosen, unit)


def _dependence(pair: Pair, chosen: Filter, column: str) -> Question[tuple[Spot, ...]]:
    return ("dependence", chosen, column), lambda: pair.snapshot.dependence(column, chosen)


def _some(pair: Pair, chosen: Filter, columns: tuple[str, ...]) -> Question[Dots]:
    """Some customers one by one."""
    return ("dots", chosen, columns), lambda: pair.snapshot.dots(columns, chosen)


def _with_partner(pair: Pair, column: str) -> tuple[str, ...]:
    """A column and the one that does most together with it, where there is one."""
    other = partner(pair.snapshot, column)
    return (column, other) if other else (column,)


def _gap(pair: Pair, left: Filter, right: Filter, labels: tuple[str, str]) -> Question[Gap | None]:
    return ("gap", left, right, labels), lambda: gap(pair.snapshot, left, right, labels)


# -- states ----------------------------------------------------------------------


def _no_points() -> None:
    st.title("This scoring does not say yet what matters", anchor=False)
    st.markdown(
        "It was made by an earlier version, which kept only the strongest reasons of each customer. "
        "Score the base again, and this page fills by itself:"
    )
    st.code("churn score TABLE --publish", language="bash")


def _too_few(pair: Pair, counted: int) -> None:
    least = words.count(pair.snapshot.small_group)
    if pair.snapshot.sampled is None:
        st.title("Too few customers to say what matters", anchor=False)
        st.markdown(f":gray[{words.say('too few', count=words.count(counted), least=least)}]")
    else:
        st.title("Too few customers of the sample to say what matters", anchor=False)
        told = f"{words.count(counted)} of these customers are in the sample that reasons are known for; shown from {least}."
        st.markdown(f":gray[{told} Fewer filters, or a larger sample (setting slow_sample), will help.]")


# -- the answer --------------------------------------------------------------------


def _title(found: Influences) -> str:
    """`Contract and tenure matter most: 9 and 7 points of risk on average`."""
    rows = [row for row in found.rows[:2] if row.size > 0]
    if not rows:
        return "Nothing the model knows of tells these customers apart"
    first = rows[0].label
    if len(rows) == 1:
        return f"{first} alone matters: {words.points(rows[0].size, signed=False)} of risk on average"
    second = words.lower_first(rows[1].label)
    figures = [words.points(row.size, signed=False, unit=False, decimals=0 if row.size >= 0.0095 else 1) for row in rows]
    return f"{first} and {second} matter most: {figures[0]} and {figures[1]} points of risk on average"


def _next(found: Influences, average: float) -> str:
    """From the typical risk to the average, and how sure that is. Markdown.

    `average`: of everybody; the points of a sample add up to the sample's own average, which is named beside it.
    """
    tenths = _tenths(found.average_risk) - _tenths(found.typical_risk)
    change = words.points(tenths / 1000, decimals=1)
    of = words.average(average)
    told = f"the average of these is {of}" + (f", of the sample {words.average(found.average_risk)}" if found.sampled else "")
    text = (
        f"A typical customer's risk is {words.average(found.typical_risk)}; {told}. "
        f"The points of all columns add up to the difference: {change}."
    )
    return f"{text} {_sample_words(found)}" if found.sampled else text


def _sample_words(found: Influences) -> str:
    off = words.plus_minus(words.points(LIKELY * found.error, signed=False, decimals=1))
    return (
        f"Made from a sample of {words.count(found.counted)} customers chosen at random, for this model takes long to explain; "
        f"a figure may likely be off by {off} (8 times in 10)."
    )


def _tenths(share: float) -> int:
    return int(words.rounded(1000 * share))


# -- what is asked -----------------------------------------------------------------


def _pick_unit(pair: Pair, place: Any) -> Unit:
    if not has_groups(pair.schema):
        return "column"
    told = state.view(_VIEW).get(_UNIT, (_COLUMNS,))[0]
    st.session_state[address.box(_UNIT)] = told if told == _GROUPS else _COLUMNS
    with place:
        st.segmented_control("What matters by", [_COLUMNS, _GROUPS], required=True, key=address.box(_UNIT), on_change=_picked,
                             args=(_UNIT, _COLUMNS), wrap=True)  # fmt: skip
    return "group" if st.session_state[address.box(_UNIT)] == _GROUPS else "column"


def _pick_across(pair: Pair, chosen: Filter, place: Any) -> str | None:
    """The column whose groups stand side by side; None: all together."""
    names = {_TOGETHER: ""} | {
        name_of(one.column, pair.schema): one.column
        for one in dimensions(pair.snapshot)
        if len(one.labels) <= MOST_COLUMNS and len(chosen.labels(one.column)) != 1
    }
    told = state.view(_VIEW).get(_ACROSS, (_TOGETHER,))[0]
    st.session_state[address.box(_ACROSS)] = told if told in names else _TOGETHER
    with place:
        st.selectbox("For", list(names), key=address.box(_ACROSS), width=220, on_change=_picked, args=(_ACROSS, _TOGETHER),
                     format_func=lambda name: name if name == _TOGETHER else f"each {words.lower_first(name)}")  # fmt: skip
    return names[st.session_state[address.box(_ACROSS)]] or None


def _picked(key: str, usual: str) -> None:
    """A callback: somebody picked; what is usual need not stand in the address."""
    now = st.session_state[address.box(key)]
    address.pick(_VIEW, key, None if now == usual else str(now))


# -- what matters ------------------------------------------------------------------


def _matters(pair: Pair, chosen: Filter, found: Influences, across: str | None) -> None:
    rows = [row for row in found.rows[:SHOWN] if row.size > 0]
    column = _column(pair, found)
    noun = "columns" if found.unit == "column" else "groups of columns"

    def clicked(point: Sequence[Any]) -> None:
        row = next((row for row in found.rows if point and row.id == point[0]), None)
        if row is not None:
            _choose(pair, row.features, column)

    if across is None:
        marked = next((row.id for row in rows if column in row.features), None)
        printed = _signed(found, rows)
        bars = [
            Bar(row.id, row.label, row.size, _size(row.size), f"({told} on average)")
            for row, told in zip(rows, printed, strict=False)
        ]
        drawn = bar_list(bars, what="points of risk on average", noun=noun, leading=theme.RAISES, chosen=marked)
        title, caption = "What matters", "Points of risk, up or down · in brackets: with their sign · click one to look into it"
        frame = partial(influences_frame, found, simulated=_simulated(pair))
    else:
        drawn, title, frame = _across(pair, chosen, found.unit, across)
        caption = "Points of risk on average, up or down · small figure: customers · click a tile to look into its column"

    drawn = _head(pair, chosen, title, drawn, "what-matters", frame)
    st.caption(caption)
    _draw(drawn, key="_matters", on_click=clicked)
    if across is None and (line := _the_rest(found, rows)):
        st.caption(line)


def _size(size: float) -> str:
    """Whole points; with one decimal below one, where most columns are."""
    return words.points(size, signed=False, decimals=0 if size >= 0.0095 else 1)


def _signed(found: Influences, rows: Sequence[Any]) -> list[str]:
    """Signed points of the rows shown and of the rest together, in tenths that add up to the printed difference."""
    total = _tenths(found.average_risk) - _tenths(found.typical_risk)
    rest = sum(row.signed for row in found.rows[len(rows) :])
    tenths = words.largest_remainder([1000 * row.signed for row in rows] + [1000 * rest], total)
    return [words.points(one / 1000, unit=False, decimals=1) for one in tenths]


def _the_rest(found: Influences, rows: Sequence[Any]) -> str:
    rest = found.rows[len(rows) :]
    if not rest:
        return ""
    noun = {("column", 1): "other column", ("group", 1): "other group", ("column", 2): "other columns"}
    name = noun.get((found.unit, min(len(rest), 2)), "other groups")
    together = _signed(found, rows)[-1]
    if not rest[0].size:
        return f"{words.count(len(rest))} {name}: no points at all."
    return f"{words.count(len(rest))} {name}: {together} together, none above {_size(rest[0].size)}."


def _across(pair: Pair, chosen: Filter, unit: Unit, column: str) -> tuple[Chart, str, partial[pl.DataFrame]]:
    """What matters in each group of a column: the tiles, what they are called, and their table."""
    found = pair.answer(("across", chosen, unit, column), lambda: by_cohort(pair.snapshot, chosen, column, unit))
    assert found is not None  # the page has customers by now
    rows = [row for row in found.rows if row.size > 0]
    tiles = [
        Tile(
            id=row.id,
            row=n,
            column=m,
            value=size,
            figure="too few"
            if size is None
            else words.points(size, signed=False, unit=False, decimals=0 if size >= 0.0095 else 1),
            note=words.money(found.customers[m], "", cents=False),
        )
        for n, row in enumerate(rows)
        for m, size in enumerate(found.sizes[n])
    ]
    name = words.lower_first(name_of(column, pair.schema))
    by = ["column" if unit == "column" else "business group", name]
    drawn = heat_map(tiles, [row.label for row in rows], list(found.labels), what="points of risk", by=by)
    return drawn, f"What matters by {name}", partial(cohorts_frame, found, simulated=_simulated(pair))


# -- pairs -------------------------------------------------------------------------


def _together(pair: Pair) -> None:
    """Pairs of columns that do more together than each by itself."""
    found = [one for one in pairs(pair.snapshot)[:_PAIRS] if one.size > 0]
    told: Mapping[str, Any] = pair.snapshot.facts.get("pairs") or {}
    if not told:
        st.header("What works together", anchor=False)
        st.markdown("How columns work together is not known for this model: only models made of tables can tell.")
        return
    if not found:
        st.header("What works together", anchor=False)
        st.markdown("No two columns do anything together here: each adds its points by itself.")
        return
    names = {one.first: pair.schema.feature(one.first).label for one in found}
    names |= {one.second: pair.schema.feature(one.second).label for one in found}
    bars = [
        Bar(f"{place}", f"{names[one.first]} · {words.lower_first(names[one.second])}", one.size, _size_small(one.size))
        for place, one in enumerate(found)
    ]

    def clicked(point: Sequence[Any]) -> None:
        if point and str(point[0]).isdigit() and int(point[0]) < len(found):
            one = found[int(point[0])]
            _choose(pair, (one.first, one.second), st.session_state.get(address.box(_COLUMN)))

    def table() -> pl.DataFrame:
        every = pairs(pair.snapshot)
        label = {feature.name: feature.label for feature in pair.schema.features}
        frame = pl.DataFrame(
            {
                "Column": [label[one.first] for one in every],
                "With": [label[one.second] for one in every],
                "Points together": [float(words.rounded(100 * one.size, 3)) for one in every],
            }
        )
        return frame.with_columns(pl.lit("Simulated data").alias("Note")) if _simulated(pair) else frame

    drawn = bar_list(bars, what="points two columns do together", noun="pairs", leading=theme.NEUTRAL)
    drawn = _head(pair, Filter(), "What works together", drawn, "pairs", table)
    exact = "" if told.get("exact") else ", worked out against a sample"
    st.caption(f"Points beyond what each does by itself, over all customers whatever the filters{exact} · click for the column")
    _draw(drawn, key="_together", on_click=clicked)


def _size_small(size: float) -> str:
    return words.points(size, signed=False, decimals=1)


# -- one column --------------------------------------------------------------------


def _column(pair: Pair, found: Influences) -> str:
    """The column that is looked into: the one picked, else the one that matters most."""
    told = state.view(_VIEW).get(_COLUMN, ("",))[0]
    by_label = {label: name for name, label in _labels(pair).items()}
    if told in by_label:
        return by_label[told]
    first = found.rows[0].features
    if len(first) == 1:
        return first[0]
    single = pair.answer(*_influences(pair, Filter(), "column"))
    ranked = [row.id for row in single.rows] if single else list(first)
    return next((name for name in ranked if name in first), first[0])


def _labels(pair: Pair) -> dict[str, str]:
    """Column → what it is called, each once."""
    found: dict[str, str] = {}
    for feature in pair.schema.features:
        found[feature.name] = feature.label if feature.label not in found.values() else f"{feature.label} ({len(found) + 1})"
    return found


def _choose(pair: Pair, features: Sequence[str], now: str | None) -> None:
    """A callback: look into a column; of several the one that matters most, or the next one where that is open already."""
    single = pair.answer(*_influences(pair, Filter(), "column"))
    ranked = [row.id for row in single.rows if row.id in features] if single else list(features)
    at = ranked.index(now) + 1 if now in ranked else 0
    state.look({**state.view(_VIEW), _COLUMN: (_labels(pair)[ranked[at % len(ranked)]],)}, _VIEW)


def _one_column(pair: Pair, chosen: Filter, found: Influences) -> None:
    labels = _labels(pair)
    name = _column(pair, found)
    feature = pair.schema.feature(name)
    spots = pair.answer(*_dependence(pair, chosen, name))
    values = _values(pair, feature, spots)
    dots, legend = _dots(pair, chosen, feature, spots)
    ticks = _ticks(pair, feature, spots)
    label = words.lower_first(feature.label)
    drawn = dependence(values, dots, label=label, ticks=ticks)

    def table() -> pl.DataFrame:
        names = [_spot_name(pair, feature, spot) for spot in spots]
        outcomes = pair.snapshot.outcomes_tell and any(spot.outcomes_known for spot in spots)
        return spots_frame(spots, feature.label, names, simulated=_simulated(pair), outcomes=outcomes)

    drawn = _head(pair, chosen, f"{feature.label}: points by value", drawn, f"points-{_slug(feature.label)}", table)
    st.session_state[address.box(_COLUMN)] = name
    st.selectbox("Column", list(labels), key=address.box(_COLUMN), format_func=lambda one: labels[one], on_change=_pick_column,
                 args=(labels,), label_visibility="collapsed", width=260)  # fmt: skip
    few = sum(1 for spot in spots if spot.counted < pair.snapshot.small_group)
    mean = "line: mean" if feature.is_number else "mark: mean"
    st.caption(f"Points of risk · {mean} · band: 8 of 10 customers{legend}{_across_in(pair, feature)}")
    _draw(drawn, key=f"_column {name}")
    if few:
        groups = "1 value has" if few == 1 else f"{words.count(few)} values have"
        st.caption(f"{groups} fewer than {words.count(pair.snapshot.small_group)} customers and cannot be told of.")
    _held_against(pair, chosen, feature, spots, ticks)


def _pick_column(labels: Mapping[str, str]) -> None:
    state.look({**state.view(_VIEW), _COLUMN: (labels[st.session_state[address.box(_COLUMN)]],)}, _VIEW)


def _values(pair: Pair, feature: Feature, spots: Sequence[Spot]) -> list[Value]:
    small = pair.snapshot.small_group
    found = []
    for spot in spots:
        few = spot.counted < small
        points = (None, None, None) if few else (spot.points, spot.points_low, spot.points_high)
        known = spot.outcomes_known if spot.outcomes_known >= _FEW_KNOWN and not few else 0
        promised = spot.average_risk if spot.foreseen is None else spot.foreseen
        found.append(Value(_spot_name(pair, feature, spot), spot.at, *points, spot.customers, known, spot.left, promised))
    return found


def _spot_name(pair: Pair, feature: Feature, spot: Spot) -> str:
    """A value in words: its label, or from where to where it goes."""
    if spot.low is None or spot.high is None:
        return spot.label
    low, high = (words.quantity(end, feature, pair.schema, unit=False) for end in (spot.low, spot.high))
    end = words.quantity(spot.high, feature, pair.schema)
    return end if low == high else words.interval(low, end)


def _ticks(pair: Pair, feature: Feature, spots: Sequence[Spot]) -> list[tuple[float, str]]:
    """About five values along a number, as people would write them."""
    known = [spot for spot in spots if spot.at is not None and spot.low is not None and spot.high is not None]
    if not known:
        return []
    low, high = known[0].at or 0.0, known[-1].at or 0.0
    if high <= low:
        return [(low, words.quantity(low, feature, pair.schema, unit=False))]
    step = 10.0 ** np.floor(np.log10((high - low) / 4))
    step *= next(n for n in (1, 2, 2.5, 5, 10) if n * step * 4.5 >= high - low)
    if feature.unit == "month" and high - low > 24:
        step = 12.0 * np.ceil((high - low) / 72)
    at = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return [(float(tick), words.quantity(float(tick), feature, pair.schema, unit=False)) for tick in at]


def _dots(pair: Pair, chosen: Filter, feature: Feature, spots: Sequence[Spot]) -> tuple[list[Dot], str]:
    """Some customers one by one, in three shades of what does most together with the column, and what the shades are."""
    names = _with_partner(pair, feature.name)
    other = names[1] if len(names) > 1 else None
    found = pair.answer(*_some(pair, chosen, names))
    shades, legend = [1] * len(found.risk), ""
    if other:
        shades, told = _shades(pair, pair.schema.feature(other), found.values[1])
        legend = f", {told}"
    places = {spot.label: place for place, spot in enumerate(spots)}
    # what has too few customers is not drawn, and the others move up
    shown = [place for place, spot in enumerate(spots) if spot.counted >= pair.snapshot.small_group]
    row = {place: n for n, place in enumerate(shown)}
    dots = []
    for value, points, shade in zip(found.values[0], found.points[0], shades, strict=True):
        if feature.is_number:
            if value is not None or NOT_KNOWN in places:
                dots.append(Dot(None if value is None else float(value), 0, float(points), shade))
        elif (place := places.get(_group_of(feature, value, places))) in row:
            dots.append(Dot(None, row[place], float(points), shade))
    of = f"dots: {words.count(len(found.risk))} of {words.count(found.customers)} customers"
    return dots, f" · {of}{legend}"


def _group_of(feature: Feature, value: Any, places: Mapping[str, int]) -> str:
    level = feature.level(value) if value is not None else None
    label = NOT_KNOWN if value is None else level.shown if level else OTHER
    return label if label in places else OTHER


def _shades(pair: Pair, feature: Feature, values: Sequence[Any]) -> tuple[list[int], str]:
    """Thirds of a number, or the two most frequent levels and the rest: 2 is dark. And which is which, as Markdown."""
    label = escape(words.lower_first(feature.label))
    if feature.is_number:
        known = np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
        if np.isnan(known).all():
            return [1] * len(values), "shaded alike"
        low, high = np.nanquantile(known, [1 / 3, 2 / 3])
        shades = np.where(np.isnan(known), 0, (known > low).astype(int) + (known > high).astype(int))
        ends = [escape(words.quantity(float(end), feature, pair.schema)) for end in (low, high)]
        return shades.tolist(), f"by {label}: ◆ above {ends[1]}, ● to {ends[1]}, ○ up to {ends[0]}"
    counts = [value for value, _ in Counter(value for value in values if value is not None).most_common(2)]
    order = {value: 2 - place for place, value in enumerate(counts)}
    named = [escape(words.quantity(value, feature, pair.schema)) for value in counts]
    told = ", ".join(f"{mark} {name}" for mark, name in zip("◆●", named, strict=False))
    rest = ", ○ other" if any(value not in order for value in values) else ""
    return [order.get(value, 0) for value in values], f"by {label}: {told}{rest}"


def _across_in(pair: Pair, feature: Feature) -> str:
    """What the figures along the bottom count, for a caption: ` · across: months`. Money and shares say it themselves."""
    if not feature.is_number or not feature.unit:
        return ""
    unit = words.quantity(2.0, feature, pair.schema).partition(" ")[2]
    return f" · across: {escape(unit)}" if unit else ""


def _held_against(
    pair: Pair, chosen: Filter, feature: Feature, spots: Sequence[Spot], ticks: Sequence[tuple[float, str]]
) -> None:
    """Who left by value, against the risk: so that what the model says can be checked."""
    if not pair.snapshot.outcomes_tell or not any(spot.outcomes_known for spot in spots):
        st.caption("Who left by value cannot be shown: no outcomes of these customers are known yet.")
        return
    drawn = kept(_values(pair, feature, coarser(spots)), label=words.lower_first(feature.label), ticks=ticks)
    if drawn is None:
        st.caption("Who left by value cannot be shown: too few outcomes of these customers are known.")
        return

    def table() -> pl.DataFrame:
        wide = coarser(spots)
        names = [_spot_name(pair, feature, spot) for spot in wide]
        return spots_frame(wide, feature.label, names, simulated=_simulated(pair), outcomes=True)

    drawn = _head(pair, chosen, "Held against who left", drawn, f"left-{_slug(feature.label)}", table)
    unseen = any(spot.foreseen is not None for spot in spots)
    said = "risk by models that had not seen these customers" if unseen else "risk"
    line = "line" if feature.is_number else "grey mark"
    likely = "with how far chance may take it (8 times in 10)"
    st.caption(f"Dots: the share that left, {likely}, orange where off · {line}: {said}{_across_in(pair, feature)}")
    _draw(drawn, key=f"_kept {feature.name}")


# -- two groups --------------------------------------------------------------------


def _apart(pair: Pair, chosen: Filter) -> None:
    """What sets two groups apart: a waterfall from one's mean risk to the other's."""
    options = _options(pair)
    usual = pair.answer(*_ends(pair, chosen))
    left, right = (_told_choice(key, options, own) for key, own in ((_LEFT, usual[0]), (_RIGHT, usual[1])))
    filters = [_narrowed(chosen, one) for one in (left, right)]
    labels = (_choice_name(pair, left), _choice_name(pair, right))
    found: Gap | None = None
    if filters[0] is not None and filters[1] is not None:
        first, second = filters[0], filters[1]
        found = pair.answer(*_gap(pair, first, second, labels))
    small = pair.snapshot.small_group
    drawable = found is not None and min(found.left.counted, found.right.counted) >= small
    if found is not None and drawable:
        ends = tuple(words.say("mean risk of", name=name) for name in labels)
        drawn = _head(pair, chosen, "What sets two groups apart", waterfall(found.waterfall(), (ends[0], ends[1])), "two-groups",
                      lambda: gap_frame(found, simulated=_simulated(pair)))  # fmt: skip
    else:
        drawn = None
        st.header("What sets two groups apart", anchor=False)
    with st.container(horizontal=True, key="_explain_two"):
        for label, key, now in (("From", _LEFT, left), ("To", _RIGHT, right)):
            st.session_state[address.box(key)] = _choice_name(pair, now)
            names = list(options)
            st.selectbox(label, names, key=address.box(key), width=_wide(names), on_change=_pick_group, args=(key, options))
    if found is None:
        st.markdown("Nobody is in one of the two groups with these filters.")
        return
    if drawn is None:
        counted = words.count(min(found.left.counted, found.right.counted))
        st.markdown(words.say("too few", count=counted, least=words.count(small)))
        return
    st.caption(_apart_words(found))
    _draw(drawn, key="_apart")


def _wide(names: Sequence[str]) -> int:
    """Pixels in which the longest name is seen whole beside the arrow; on a phone a box is as wide as the page at most."""
    return max(260, round(1.1 * max(theme.width(name) for name in names)) + 64)


def _apart_words(found: Gap) -> str:
    """`Points of risk; they add up to the difference: …`. Markdown, data escaped."""
    gone = words.whole_percent(found.right.average_risk) - words.whole_percent(found.left.average_risk)
    lead = found.rows[0]
    first = f"Points of risk, which add up to the gap: {words.points(gone / 100)}"
    most = f"most of it goes with {escape(words.lower_first(lead.label))}" if lead.size else "nothing sets them apart"
    sizes = f"{words.count(found.left.customers)} and {words.count(found.right.customers)} customers"
    text = f"{first} · {most} · {sizes}"
    if found.sampled:
        off = words.plus_minus(words.points(LIKELY * max(row.error for row in found.rows), signed=False, decimals=1))
        counted = f"{words.count(found.left.counted)} and {words.count(found.right.counted)}"
        text += f" · risks and points of a sample of {counted}: a bar may likely be off by {off} (8 times in 10)"
    return text


def _options(pair: Pair) -> dict[str, _Choice]:
    """The groups that can be compared, by name: everybody the filters leave, every group of a column of few, and risk bands."""
    found: list[_Choice] = [None]
    for one in dimensions(pair.snapshot):
        if len(one.labels) <= MOST_COLUMNS:
            found += [(one.column, label) for label in one.labels]
    found += [(BAND, label) for label in pair.snapshot.groups(BAND)]
    return {_choice_name(pair, one): one for one in found}


def _choice_name(pair: Pair, one: _Choice) -> str:
    if one is None:
        return _ALL
    column, label = one
    return widgets.group_name(pair, (column,), (label,)) if column == BAND else f"{name_of(column, pair.schema)}: {label}"


def _ends(pair: Pair, chosen: Filter) -> Question[tuple[_Choice, _Choice]]:
    """The groups of lowest and highest risk of the first column that tells any apart."""

    def work() -> tuple[_Choice, _Choice]:
        for one in dimensions(pair.snapshot):
            if len(one.labels) > MOST_COLUMNS:
                continue
            large = [part for part in pair.snapshot.segments(chosen, (one.column,)) if not part.small]
            if len(large) > 1:
                low, high = (pick(large, key=lambda part: part.average_risk) for pick in (min, max))
                return (one.column, low.labels[0]), (one.column, high.labels[0])
        return None, None

    return ("ends", chosen), work


def _told_choice(key: str, options: Mapping[str, _Choice], usual: _Choice) -> _Choice:
    told = state.view(_VIEW).get(key, ())
    if told == (_ALL,):
        return None
    wanted = (told[0], told[1]) if len(told) == 2 else usual
    return wanted if wanted in options.values() else usual


def _pick_group(key: str, options: Mapping[str, _Choice]) -> None:
    now = options.get(st.session_state[address.box(key)])
    state.look({**state.view(_VIEW), key: (_ALL,) if now is None else now}, _VIEW)


def _narrowed(chosen: Filter, one: _Choice) -> Filter | None:
    return chosen if one is None else within(chosen, (one[0],), (one[1],))


# -- every customer ----------------------------------------------------------------


def _every(pair: Pair, chosen: Filter) -> None:
    st.session_state[address.box(_EVERY)] = bool(state.view(_VIEW).get(_EVERY))
    st.toggle("Show every customer", key=address.box(_EVERY), on_change=_toggle_every)
    if not st.session_state[address.box(_EVERY)]:
        return
    single = pair.answer(*_influences(pair, chosen, "column"))
    features = tuple(row.id for row in single.rows[:_SWARMED] if row.size > 0) if single else ()
    if not features:
        return
    found = pair.answer(*_some(pair, chosen, features))
    rows = []
    for name, values, points in zip(found.features, found.values, found.points, strict=True):
        feature = pair.schema.feature(name)
        shades = _shades(pair, feature, values)[0] if feature.is_number else [1] * len(values)
        rows.append(Swarm(feature.label, points.tolist(), shades))

    def table() -> pl.DataFrame:
        labels = _labels(pair)
        frame = pl.DataFrame(
            {
                labels[name]: [float(words.rounded(100 * one, 2)) for one in own]
                for name, own in zip(features, found.points, strict=True)
            }
        )
        frame = frame.with_columns(pl.Series("Risk, %", [float(words.rounded(100 * one, 2)) for one in found.risk]))
        return frame.with_columns(pl.lit("Simulated data").alias("Note")) if _simulated(pair) else frame

    drawn = _head(pair, chosen, "Every customer a dot", beeswarm(rows), "every-customer", table)
    some = "all" if len(found.risk) == found.customers else f"{words.count(len(found.risk))} chosen at random, of"
    legend = "◆ high values, ● middle, ○ low; categories are ●"
    st.caption(f"Points of risk by column · {some} {words.count(found.customers)} customers · {legend}")
    _draw(drawn, key="_every")


def _toggle_every() -> None:
    on = st.session_state[address.box(_EVERY)]
    state.look({**state.view(_VIEW), _EVERY: ("yes",) if on else ()}, _VIEW)


# -- taking along ------------------------------------------------------------------


def _head(pair: Pair, chosen: Filter, title: str, drawn: Chart, name: str, table: Callable[[], pl.DataFrame]) -> Chart:
    """The header of a block, with what saves its chart and its table; the chart as it is to be drawn."""
    key = re.sub(r"[^a-z-]", "", name)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key=f"_head {key}"):
        st.header(escape(title), anchor=False, width="content")
        with st.popover("Save", icon=":material/download:", type="tertiary", key=f"_save {key}"):
            kind = st.segmented_control("Picture", [kind.upper() for kind in KINDS], key=f"_picture {key}")
            st.caption("Saved; the camera at the chart's corner does it again." if kind else "Choose a kind to save it.")
            st.download_button(
                "Table (CSV)",
                lambda: _file(table()),
                file_name=f"{name}-{uuid.uuid4()}.csv",
                mime="text/csv",
                on_click="ignore",
                icon=":material/table:",
                key=f"_table {key}",
            )
    if not kind:
        return drawn
    who = words.count(pair.totals(chosen).customers)
    note = f"{who} customers, scored {words.day(pair.snapshot.as_of)}, model {pair.bundle.version}"
    if _simulated(pair):
        note = f"Simulated data · {note}"
    chosen_kind = next(one for one in KINDS if one.upper() == kind)
    return picture(drawn, chosen_kind, title=title, note=note, name=name, on=widgets.theme())


def _draw(drawn: Chart, *, key: str, on_click: Callable[[Sequence[Any]], None] | None = None) -> None:
    """The chart, or words where there is nothing to draw: Plotly does not take a figure without data."""
    if drawn.figure["data"]:
        widgets.chart(drawn, key=key, on_click=on_click)
    else:
        st.markdown("There is nothing to show: too few of these customers count, or nothing has any points.")


def _file(table: pl.DataFrame) -> bytes:
    """The table as a file for spreadsheets, in which no text runs as a formula."""
    buffer = io.BytesIO()
    harmless(table).write_csv(buffer, quote_style="non_numeric", include_bom=True)
    return buffer.getvalue()


def _simulated(pair: Pair) -> bool:
    return data.desk().settings.simulated or pair.snapshot.simulated


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "column"


if __name__ == "__main__":
    page(data.run().pair, data.run().chosen)

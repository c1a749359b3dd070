"""Overview: how many are expected to leave, what that takes with it, where it sits, and what changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from churn import words
from churn.base.groups import BAND, Filter
from churn.base.snapshot import Bar as HistogramBar
from churn.base.snapshot import Segment, Totals
from churn.base.value import Interval
from churn.charts import theme
from churn.charts.bars import Bar, bar_list
from churn.charts.histogram import risk_histogram
from churn.charts.sparkline import sparkline
from churn.understand.cohorts import Cohorts, segments
from churn.words import escape_markdown as escape
from pages.shared import data, state, widgets
from pages.shared.changes import since_the_last_scoring
from pages.shared.data import Pair, Question

_STEP = 0.05
_CUSTOMERS = 8
_GROUPS = 6
_Take = Callable[[Totals], float | None]
_Print = Callable[[float], str]


def page(pair: Pair, chosen: Filter) -> None:
    totals = widgets.answer(pair, ("totals", chosen), lambda: pair.snapshot.totals(chosen), 900)
    if not totals.customers:
        widgets.nobody(pair)
        return
    if totals.customers < pair.snapshot.small_group:
        who = "1 customer matches" if totals.customers == 1 else f"{words.count(totals.customers)} customers match"
        st.title(f"{who} these filters", anchor=False)
        few = words.say("too few", count=words.count(totals.customers), least=words.count(pair.snapshot.small_group))
        st.markdown(f":gray[{few}]")
        _customers(pair, chosen)
        return
    cohorts = pair.answer(*_cohorts(pair, chosen))
    st.title(escape(_title(pair, totals)), anchor=False)
    st.markdown(f":gray[{_next(pair, totals, cohorts)}]")
    if totals.left and pair.schema.snapshot is None:
        gone = "1 of them is" if totals.left == 1 else f"{words.count(totals.left)} of them are"
        st.caption(f"{gone} marked as having left already. Score a table without those to see whom there is still to keep.")
    _tiles(pair, chosen, totals)
    left, right = st.columns([0.585, 0.415], gap="medium")
    with left:
        _where(pair, cohorts)
    with right:
        _spread(pair, chosen, totals)
    left, right = st.columns([0.585, 0.415], gap="medium")
    with left:
        _customers(pair, chosen)
    with right:
        since_the_last_scoring(pair, chosen, "These customers" if chosen else "All customers")


def prepare(pair: Pair) -> None:
    """Ask what the first visitor asks."""
    everybody = Filter()
    if pair.totals(everybody).customers >= pair.snapshot.small_group:
        pair.answer(*_cohorts(pair, everybody))
        pair.answer(*_bars(pair, everybody))


def _cohorts(pair: Pair, chosen: Filter) -> Question[Cohorts]:
    return ("cohorts", chosen), lambda: segments(pair.snapshot, chosen, most=_GROUPS)


def _bars(pair: Pair, chosen: Filter) -> Question[tuple[HistogramBar, ...]]:
    return ("histogram", chosen), lambda: pair.snapshot.histogram(chosen, _STEP)


# -- the answer ----------------------------------------------------------------


def _title(pair: Pair, totals: Totals) -> str:
    """`1,869 of 7,043 customers are expected to leave this month, taking $139k of monthly revenue`."""
    schema = pair.schema
    leavers = round(totals.expected_leavers)
    verb = "is" if leavers == 1 else "are"
    title = f"{words.count(leavers)} of {words.count(totals.customers)} customers {verb} expected to leave"
    title += f" this {schema.horizon}" if schema.horizon else ""
    if totals.revenue_at_risk is None or schema.money is None:
        return title
    period = {"month": "monthly ", "quarter": "quarterly ", "year": "yearly ", "once": ""}[schema.money.period]
    return f"{title}, taking {words.money(totals.revenue_at_risk, schema.currency, cents=False)} of {period}revenue"


def _next(pair: Pair, totals: Totals, cohorts: Cohorts) -> str:
    """What matters next: the group that carries most, and the change since the last scoring. Markdown, data escaped."""
    parts = []
    lead = cohorts.leading
    if lead is not None and lead is cohorts.rows[0] and len(cohorts.rows) > 1:
        share = _stake(lead) / whole if (whole := _stake(totals)) else 0.0
        stake = "expected leavers" if totals.revenue_at_risk is None else "revenue at risk"
        whom = "the base" if totals.customers == pair.snapshot.customers else "these customers"
        name = escape(widgets.group_name(pair, lead.columns, lead.labels))
        parts.append(f"**{name}** is {words.percent(lead.share)} of {whom} and {words.percent(share)} of the {stake}.")
    if pair.movers and totals.customers == pair.snapshot.customers:
        change = words.points(pair.movers.change, signed=False, decimals=1)
        if pair.movers.change and change.strip("0. points"):
            verb = "rose" if pair.movers.change > 0 else "fell"
            parts.append(f"{words.capital(widgets.since(pair.movers.since))} the average risk {verb} by {change}.")
    return " ".join(parts)


def _stake(of: Segment | Totals) -> float:
    """Revenue at risk, or expected leavers where the table has no money."""
    return of.expected_leavers if of.revenue_at_risk is None else of.revenue_at_risk


# -- tiles ---------------------------------------------------------------------


def _tiles(pair: Pair, chosen: Filter, totals: Totals) -> None:
    """Four figures with their change, their past and a way on."""
    schema, bands = pair.schema, pair.schema.bands
    before = pair.totals_before(chosen)
    since = widgets.since(pair.before.as_of) if pair.before else ""

    def money(value: float) -> str:
        return words.money(value, schema.currency, cents=False)

    def tile(label: str, take: _Take, figure: _Print, change: _Print, also: str, help: str) -> None:
        now, then = take(totals), take(before) if before else None
        difference = None if now is None or then is None else now - then
        past = sparkline([take(one) for one in pair.past] if not chosen else [], what=label.lower(), figure=figure)
        printed = words.ascii_minus(change(difference)) if difference is not None else None
        still = printed is not None and not any(digit in printed for digit in "123456789")
        st.metric(
            label,
            escape(figure(now)) if now is not None else words.NOTHING,
            delta=0 if still else printed[:1] + escape(printed[1:]) if printed else None,
            delta_color="off" if difference is None or still else "orange" if difference > 0 else "blue",
            delta_description=since if printed else None,
            chart_data=[float(f"{value:.4g}") for value in past.values] or None,  # what hovering shows
            help=escape(help),
        )
        st.caption(escape(also))

    if chosen and len(pair.past) > 1:
        st.caption("How the figures moved over past scorings is kept for all customers together, not for those of a filter")
    with st.grid(4 if pair.snapshot.has_money else 3, min_column_width=170, key="_tiles"):
        if pair.snapshot.has_money:
            with widgets.tile():
                tile(
                    "Revenue at risk",
                    lambda of: of.revenue_at_risk,
                    money,
                    lambda d: words.money(d, schema.currency, signed=True, cents=False),
                    _likely(totals.interval, money),
                    "Each customer's revenue times the risk of leaving, added up." + _odds(totals.interval),
                )
                widgets.way("Who it is", lambda: state.list_by(state.REVENUE), widgets.CUSTOMER)
        with widgets.tile():
            tile(
                "Expected leavers",
                lambda of: of.expected_leavers,
                words.count,
                words.change,
                _likely(totals.leavers_interval, words.count),
                "The risks of all customers, added up." + _odds(totals.leavers_interval),
            )
            widgets.narrowing(pair, chosen.narrowed(BAND, *(band.name for band in bands[-2:])), "High risk and above", chosen)
        with widgets.tile():
            tile(
                "Average risk",
                lambda of: of.average_risk,
                words.average,
                lambda d: words.points(d, decimals=1),
                f"typical customer {words.average(pair.bundle.model.typical_risk)}",
                "A few high risks pull the average away from the typical customer, who is in the middle of the model's scale.",
            )
            widgets.way("Who is riskiest", lambda: state.list_by(state.RISK), widgets.CUSTOMER)
        with widgets.tile():
            top = bands[-1].name
            tile(
                f"{top} risk" if "risk" not in top.lower() else top,
                lambda of: of.by_band[-1].customers,
                words.count,
                words.change,
                f"{words.percent(totals.by_band[-1].customers / totals.customers)} of customers",
                f"Customers with a risk of {words.percent(bands[-2].below)} or more." if len(bands) > 1 else "All customers.",
            )
            widgets.narrowing(pair, chosen.narrowed(BAND, top), "See them", chosen)


def _likely(found: Interval | None, figure: _Print) -> str:
    return f"likely {words.interval(figure(found.low), figure(found.high))}" if found else ""


def _odds(found: Interval | None) -> str:
    return " The likely range holds 8 times in 10." if found else ""


# -- where it sits -------------------------------------------------------------


def _where(pair: Pair, cohorts: Cohorts) -> None:
    money = pair.snapshot.has_money
    st.header("Where the revenue at risk sits" if money else "Where the expected leavers are", anchor=False)
    names = words.sentence_list(_name(pair, column) for column in cohorts.columns)
    st.caption(f"By {escape(names)} · click a group to look at it alone")

    def stake(value: float) -> str:
        return words.money(value, pair.schema.currency, cents=False) if money else words.count(value)

    bars = [
        Bar(
            id=str(place),
            name=widgets.group_name(pair, of.columns, of.labels, brief=True),
            value=0.0 if of.small else _stake(of),
            figure=words.NOTHING if of.small else stake(_stake(of)),
            note="too few to say" if of.small else f"at {words.percent(of.average_risk)} risk",
        )
        for place, of in enumerate(cohorts.rows)
    ]
    if cohorts.others:
        left = cohorts.others_leavers if cohorts.others_revenue is None else cohorts.others_revenue
        risk = cohorts.others_leavers / cohorts.others_customers
        name = f"{words.count(cohorts.others)} other {'group' if cohorts.others == 1 else 'groups'}"
        if cohorts.others_customers < pair.snapshot.small_group:
            bars.append(Bar("", name, 0.0, words.NOTHING, "too few to say"))
        else:
            bars.append(Bar("", name, left, stake(left), f"at {words.percent(risk)} risk"))
    leading = theme.MONEY if money else theme.RAISES
    drawn = bar_list(bars, what="revenue at risk" if money else "expected leavers", leading=leading)

    def narrow(point: Sequence[str]) -> None:
        if point and point[0].isdigit():
            widgets.narrow(pair, cohorts.rows[int(point[0])].filter)

    widgets.chart(drawn, key="_where", on_click=narrow)


def _name(pair: Pair, column: str) -> str:
    return "risk" if column == BAND else words.lower_first(pair.schema.feature(column).label)


def _spread(pair: Pair, chosen: Filter, totals: Totals) -> None:
    bars = pair.answer(*_bars(pair, chosen))
    st.header("How risk is spread", anchor=False)
    st.caption(f"Customers by risk, in steps of {words.points(_STEP, signed=False)}")
    bands = [band.customers for band in totals.by_band]
    widgets.chart(risk_histogram([bar.customers for bar in bars], pair.schema.bands, bands), key="_spread")


# -- who, and what changed -------------------------------------------------------


def _customers(pair: Pair, chosen: Filter) -> None:
    st.header(
        "Customers with most revenue at risk" if pair.snapshot.has_money else "Customers with the highest risk", anchor=False
    )
    st.caption("Click a number to open the customer")
    widgets.customer_table(pair, chosen, order=state.REVENUE, rows=_CUSTOMERS, key="_top")


if __name__ == "__main__":
    page(data.run().pair, data.run().chosen)

"""Value: what an offer is worth, to how many customers, and what that rests on."""

from __future__ import annotations

import numpy as np
import pyarrow
import streamlit as st

from churn import words
from churn.act.call_list import usual_offer
from churn.act.profit import ProfitCurve, Size, doubt
from churn.base.expected_value import Assumptions, break_even, customer_value
from churn.base.groups import BAND, Filter
from churn.base.snapshot import Gain
from churn.charts import theme
from churn.charts.bars import Bar, bar_list
from churn.charts.gain import gain
from churn.charts.profit import profit_chart, reach_chart
from churn.model.gates import Check
from churn.model.metrics import Metrics, stored
from churn.understand.cohorts import dimensions, name_of
from churn.words import escape_markdown as escape
from pages.act import _offer
from pages.act._offer import MOST_MONEY, MOST_MONTHS, Terms, as_percent
from pages.shared import address, data, state, widgets
from pages.shared.data import Pair

_PAGE = "value"
# Keys in the address.
_OFFER, _CALLS, _KEEPS, _STAYERS, _CONTACT, _MONTHS, _BY = (
    f"value_{name}" for name in ("offer", "calls", "keeps", "given", "contact", "months", "by")
)
_KEYS = (_OFFER, _CALLS, _KEEPS, _STAYERS, _CONTACT, _MONTHS, _BY)
_MOST_CALLS = 10_000_000
_LIST_OFFER, _LIST_CALLS, _CALL_LIST = "list_offer", "list_calls", "call list"  # what the call list calls them
_RIGHT = st.column_config.TextColumn(alignment="right")


def page(pair: Pair, chosen: Filter) -> None:
    totals = pair.totals(chosen)
    if not totals.customers:
        widgets.nobody(pair)
        return
    head = st.container()
    address.read(_PAGE, _KEYS)
    settings = data.desk().settings
    shown = stored(pair.bundle.metrics, "holdout")
    failed = doubt(shown, settings)
    if not pair.snapshot.has_money or failed is not None:
        with head:
            _hidden(pair, failed)
        _without_money(shown)
        return
    terms = _pick(pair, Assumptions.of(settings))
    address.write(_PAGE, _KEYS)
    curve = widgets.answer(pair, *_offer.curve(pair, chosen, terms), 700)
    size = curve.chosen(terms.calls)
    with head:
        st.title(escape(_title(pair, curve, size, terms)), anchor=False)
        st.markdown(f":gray[{escape(_next(pair, curve, size, terms, totals.customers))}]")
    if curve.customers:
        _curves(pair, curve, size, terms)
    _assumed(pair, terms.assumptions, Assumptions.of(settings))
    left, right = st.columns([0.585, 0.415], gap="medium")
    with left:
        _by_group(pair, chosen, terms)
    with right:
        _ranking(pair, terms)
    if size.customers:
        widgets.way("Make this call list", lambda: _hand_over(size, terms), widgets.CALL_LIST)


def prepare(pair: Pair) -> None:
    """Ask what the first visitor asks."""
    settings = data.desk().settings
    if pair.snapshot.has_money and doubt(stored(pair.bundle.metrics, "holdout"), settings) is None:
        terms = Terms(usual_offer(pair.schema), None, Assumptions.of(settings))
        pair.answer(*_offer.curve(pair, Filter(), terms))
        pair.answer(*_offer.gains(pair, Filter(), next(iter(_columns(pair).values())), terms))
        pair.answer(*_offer.worth(pair, terms))


# -- the answer ----------------------------------------------------------------


def _title(pair: Pair, curve: ProfitCurve, size: Size, terms: Terms) -> str:
    """`An offer of $20 is worth making to 4,314 of 7,043 customers and should bring $416k`."""
    offer = f"An offer of {_money(pair, terms.offer)}" if terms.offer else "A call"
    if not size.customers:
        return f"{offer} is worth making to nobody"
    brings = _money(pair, size.money)
    if size.customers < curve.best.customers:
        return f"{offer} to the best {words.count(size.customers)} customers should bring {brings}"
    everybody = words.count(_there(curve))
    return f"{offer} is worth making to {words.count(size.customers)} of {everybody} customers and should bring {brings}"


def _there(curve: ProfitCurve) -> int:
    """How many have not left already."""
    return curve.customers + curve.unvalued


def _next(pair: Pair, curve: ProfitCurve, size: Size, terms: Terms, customers: int) -> str:
    """`customers`: how many there are, those who left included."""
    parts = []
    if size.customers:
        between = words.likely_between(_money(pair, size.low), _money(pair, size.high))
        parts.append(f"{words.capital(between)}, as far as offers may work better or worse than assumed.")
        if size.customers < curve.best.customers:
            more = _money(pair, curve.best.money - size.money)
            parts.append(f"Without a limit of calls it would be {words.count(curve.best.customers)} customers and {more} more.")
    average = pair.totals(Filter())
    if average.revenue is not None and (known := average.customers - average.without_money):
        worth = customer_value(average.revenue / known, pair.schema, terms.assumptions)
        least = float("nan") if worth is None else float(break_even(worth, terms.offer, terms.assumptions))
        if least <= 1:
            of = _money(pair, float(worth or 0))
            parts.append(f"For the average customer, worth {of}, it pays from a risk of {words.percent(least)} on.")
        else:
            parts.append("For the average customer it never pays.")
    if curve.unvalued:
        parts.append(f"{words.capital(words.counted(curve.unvalued, 'customer'))} of unknown worth cannot be ranked.")
    if left := customers - _there(curve):
        parts.append(
            f"{words.capital(words.counted(left, 'customer'))} who left already {'is' if left == 1 else 'are'} not counted."
        )
    return " ".join(parts)


def _money(pair: Pair, value: float) -> str:
    return words.money(value, pair.schema.currency, cents=False if abs(value) >= 10 or value == round(value) else None)


def _hidden(pair: Pair, failed: Check | None) -> None:
    """No money is shown: what is missing, and what to do."""
    if not pair.snapshot.has_money:
        st.title("What an offer is worth cannot be said: this table has no money", anchor=False)
        st.markdown(
            ":gray[Name the column that says what a customer brings in as `money` in the schema, and train a model again.]"
        )
        return
    st.title("What an offer is worth cannot be said: the model's percentages are not sure enough", anchor=False)
    why = failed.words if failed else ""
    st.markdown(
        f":gray[{escape(why)} Money is risk times worth, so it would be off as well. Train a model that passes this check.]"
    )


def _without_money(shown: Metrics | None) -> None:
    """What can be said all the same: how well risk alone finds the leavers."""
    if shown is not None:
        st.header("What can be said: how soon the riskiest are the leavers", anchor=False)
        st.caption("Share of all leavers found (up) by calling so many customers, riskiest first (across)")
        widgets.chart(gain(shown.gain), key="_gain")
    widgets.way("Make a call list by risk", lambda: None, widgets.CALL_LIST)


# -- what is asked ---------------------------------------------------------------


def _pick(pair: Pair, usual: Assumptions) -> Terms:
    """Offer, calls and assumptions: of the settings unless somebody changed them in this session."""
    currency = pair.schema.currency
    cheapest = usual_offer(pair.schema)
    offer = address.number(_PAGE, _OFFER, cheapest, 0.0, MOST_MONEY)
    calls = address.number(_PAGE, _CALLS, 0.0, 0.0, _MOST_CALLS)
    assumptions = _offer.assumed(_PAGE, _PAGE, usual)
    with st.container(horizontal=True, key="_pick", vertical_alignment="bottom"):
        _box(f"Offer ({currency})", _OFFER, offer, cheapest, (0.0, MOST_MONEY, 5.0), "What it costs once taken.")
        _box("Calls at most", _CALLS, calls or None, 0.0, (0.0, float(_MOST_CALLS), 50.0), "How many can be called.")
        _box("Offers that work (%)", _KEEPS, as_percent(assumptions.acceptance), as_percent(usual.acceptance), (1.0, 99.0, 5.0),
             "Assumption: of those about to leave, so many take the offer and stay.")  # fmt: skip
        _box("Given away (%)", _STAYERS, as_percent(assumptions.stayers_taking), as_percent(usual.stayers_taking),
             (0.0, 100.0, 10.0), "Assumption: of those who would stay anyway, so many take the offer too.")  # fmt: skip
        _box(f"Contact ({currency})", _CONTACT, assumptions.contact_cost, usual.contact_cost, (0.0, MOST_MONEY, 1.0),
             "Assumption: what it costs to reach one customer.")  # fmt: skip
        if pair.schema.money is not None and pair.schema.money.period != "once":
            _box("Months that count", _MONTHS, assumptions.value_months, usual.value_months, (1.0, MOST_MONTHS, 1.0),
                 "Assumption: a customer who is kept brings so many months of money.")  # fmt: skip
    return Terms(offer, int(calls) or None, assumptions)


def _box(label: str, key: str, value: float | None, usual: float, limits: tuple[float, float, float], help: str) -> None:
    """A number to change, None for no limit; the usual one need not stand in the address."""
    box = address.box(key)
    least, most, step = limits
    most = most if value is None else max(most, value)
    st.session_state[box] = None if value is None else min(max(value, least), most)
    whole = value is None or float(value).is_integer()

    def picked() -> None:
        now = st.session_state[box]
        address.pick(_PAGE, key, None if now is None or now == usual else f"{now:g}")

    st.number_input(
        escape(label), min_value=least, max_value=most, step=step, format="%0.0f" if whole else "%0.2f", key=box,
        width=150, on_change=picked, help=help, placeholder="No limit",
    )  # fmt: skip


def _reset() -> None:
    state.look({key: state.view(_PAGE).get(key, ()) for key in (_OFFER, _CALLS, _BY)}, _PAGE)


# -- the curves --------------------------------------------------------------------


def _curves(pair: Pair, curve: ProfitCurve, size: Size, terms: Terms) -> None:
    left, right = st.columns([0.585, 0.415], gap="medium")
    with left:
        st.header("Profit by list size", anchor=False)
        st.caption(
            "Expected profit (up) of a list of so many, best first (across) · shaded: 8 times in 10, by how well offers work"
        )
        widgets.chart(profit_chart(curve, size, pair.schema.currency), key="_profit")
        if size.customers:
            last = escape(words.money(size.last, pair.schema.currency))
            end = (
                f"The last on the list is worth {last}."
                if size.customers < curve.best.customers
                else "For all others it costs more."
            )
            st.markdown(f"Calls and offers would cost {escape(_money(pair, size.cost))}. {end}")
    with right:
        st.header("Whom it reaches", anchor=False)
        st.caption("Share of the expected leavers on the list (up) by share of the customers (across)")
        widgets.chart(reach_chart(curve, size), key="_reach")


# -- what it rests on ----------------------------------------------------------------


def _assumed(pair: Pair, assumptions: Assumptions, usual: Assumptions) -> None:
    """Every assumption with what it means; changed ones say so."""
    st.header("What this rests on", anchor=False)
    told, before = assumptions.in_words(pair.schema), usual.in_words(pair.schema)
    for one, was in zip(told, before, strict=True):
        changed = f" :orange[changed from {escape(was.value)}]" if one.value != was.value else ""
        st.markdown(f"**{escape(one.name)}: {escape(one.value)}**{changed} · {escape(one.sentence)}")
    if assumptions != usual:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("Changes hold for you and for whoever has the link; the settings stay as they are.")
            st.button("Back to the settings", type="tertiary", icon=":material/undo:", key="_reset", on_click=_reset)
    else:
        st.caption("They hold until a campaign with a random part left uncalled has measured them.")


# -- by group ------------------------------------------------------------------------


def _by_group(pair: Pair, chosen: Filter, terms: Terms) -> None:
    st.header("Where it pays", anchor=False)
    names = _columns(pair)
    usual = next(iter(names))
    told = address.text(_PAGE, _BY)
    box = address.box(_BY)
    st.session_state[box] = told if told in names else usual

    def picked() -> None:
        now = st.session_state[box]
        address.pick(_PAGE, _BY, None if now == usual else now)

    st.selectbox("By", list(names), key=box, width=260, on_change=picked)
    by = names[st.session_state[box]]
    found = widgets.answer(pair, *_offer.gains(pair, chosen, by, terms), 300)
    least = pair.snapshot.small_group
    listed = sorted(found, key=lambda one: (one.customers < least, -one.money))

    def of(one: Gain, text: str | None) -> str | None:
        return None if one.customers < least else text

    def average(one: Gain) -> float:
        value = customer_value(one.average_money, pair.schema, terms.assumptions)
        return float("nan") if value is None else float(value)

    shown: dict[str, list[str | None]] = {
        name_of(by, pair.schema): [one.label for one in listed],
        "Should bring": [of(one, words.money(one.money, pair.schema.currency, cents=False)) for one in listed],
        "Worth it for": [of(one, f"{words.count(one.worthwhile)} of {words.count(one.customers)}") for one in listed],
        "Risk": [of(one, words.percent(one.average_risk)) for one in listed],
        "Pays from risk": [of(one, _from(average(one), terms)) for one in listed],
        "Worth of one": [of(one, None if np.isnan(average(one)) else _money(pair, average(one))) for one in listed],
    }
    first = next(iter(shown))
    st.dataframe(
        pyarrow.table(shown),
        column_config={column: _RIGHT for column in shown if column != first},
        hide_index=True,
        height="content" if len(listed) <= 10 else 385,
        placeholder=words.NOTHING,
        alt=f"Table: what the offer should bring for {len(listed)} groups.",
    )
    small = sum(one.customers < least for one in listed)
    if small:
        st.caption(f"{words.capital(words.counted(small, 'group'))} of fewer than {words.count(least)} customers: too few to say")


def _columns(pair: Pair) -> dict[str, str]:
    """The columns to look at it by, by name; the first one unless another is picked."""
    return {name_of(one.column, pair.schema): one.column for one in dimensions(pair.snapshot)} | {"Risk band": BAND}


def _from(value: float, terms: Terms) -> str | None:
    """From which risk on an offer pays for a customer of that worth."""
    least = float(break_even(value, terms.offer, terms.assumptions))
    return None if np.isnan(least) else "never" if least > 1 else words.percent(least)


# -- what the ranking is worth ---------------------------------------------------------


def _ranking(pair: Pair, terms: Terms) -> None:
    st.header("What the ranking is worth", anchor=False)
    found = widgets.answer(pair, *_offer.worth(pair, terms), 220)
    if found is None:
        st.markdown("It cannot be said of this offer and this model: an offer must cost less than a customer is worth.")
        return
    st.caption(
        f"Most that an offer can bring a customer, on average · {words.count(found.customers)} customers whom the model had not "
        "seen, as if all were worth the average"
    )
    bars = [
        Bar(
            name, name, max(one.profit, 0.0), words.money(one.profit, pair.schema.currency), f"calling {words.percent(one.share)}"
        )
        for name, one in (("Knowing who leaves", found.perfect), ("This model", found.model), ("Without a model", found.none))
    ]
    widgets.chart(
        bar_list(bars, what="profit a customer", noun="rankings", leading=theme.NEUTRAL, chosen="This model"), key="_worth"
    )
    st.markdown(
        f"Knowing whom to call is worth {escape(words.money(found.model.profit - found.none.profit, pair.schema.currency))} a "
        "customer over calling by chance."
    )


# -- the way on ------------------------------------------------------------------------


def _hand_over(size: Size, terms: Terms) -> None:
    """The call list begins with this offer and this size, and with the assumptions as they are changed here."""
    told = {**state.view(_CALL_LIST), _LIST_OFFER: (f"{terms.offer:g}",), _LIST_CALLS: (f"{size.customers}",)}
    told |= {f"list_{name}": state.view(_PAGE).get(f"value_{name}", ()) for name in _offer.ASSUMED}
    state.look(told, _CALL_LIST)


if __name__ == "__main__":
    page(data.run().pair, data.run().chosen)

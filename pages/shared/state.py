"""What a session remembers, each thing under one key.

A session holds ids and choices, never tables. Customer ids live here and not in the address: addresses end up in logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import streamlit as st

from churn.act.scenarios import Kept
from churn.base.snapshot import Order
from churn.understand.what_if import Scenario

REVENUE: Order = "revenue"
RISK: Order = "risk"

_CUSTOMER = "_customer"
_ORDER = "_order"
_PAGE, _ENTERED = "_page", "_page_entered"
_VIEW, _WRITTEN = "_view", "_view_written"
_LINKED = "_linked"
_DELETED = "_deleted"
_MODEL_SEEN = "_model_seen"
_NEW_MODEL = "_new_model"
_ANNOUNCED = timedelta(minutes=10)


def customer() -> str | None:
    """The id of the customer that is open."""
    key: str | None = st.session_state.get(_CUSTOMER)
    return key


def open_customer(key: str | None) -> None:
    """Open a customer, with nothing edited; None closes the one that is open."""
    if key != customer():
        keep(Scenario())
    st.session_state[_CUSTOMER] = key


@dataclass(frozen=True, slots=True)
class Draft:
    """Something that fields describe, step by step, so that it can be undone; `key`: of the session, and of the fields."""

    key: str

    def now(self) -> Scenario:
        found: Scenario = st.session_state.get(self.key, Scenario())
        return found

    def keep(self, scenario: Scenario) -> None:
        st.session_state[self.key] = scenario


TRIED = Draft("_scenario")  # the what-if of the customer that is open
NEW = Draft("_new_customer")  # a customer who is in no table


def scenario() -> Scenario:
    """The what-if of the customer that is open."""
    return TRIED.now()


def keep(scenario: Scenario) -> None:
    TRIED.keep(scenario)


def linked() -> Kept | None:
    """The kept scenario that is open: its customer is, with its edits or with what became of them since."""
    found: Kept | None = st.session_state.get(_LINKED)
    return found if found is not None and found.customer == customer() else None


def link(kept: Kept | None, scenario: Scenario | None = None) -> None:
    """Open a kept scenario: its customer, with these edits; None lets go of the one that is open."""
    if kept is not None and scenario is not None:
        open_customer(kept.customer)
        keep(scenario)
    st.session_state[_LINKED] = kept


def deleted() -> Kept | None:
    """The scenario that was deleted last, of the customer that is open: it can be brought back."""
    found: Kept | None = st.session_state.get(_DELETED)
    return found if found is not None and found.customer == customer() else None


def delete(kept: Kept | None) -> None:
    st.session_state[_DELETED] = kept


def order() -> Order:
    """How lists of customers are ordered."""
    return RISK if st.session_state.get(_ORDER) == RISK else REVENUE


def list_by(order: Order) -> None:
    """Close the customer that is open, and list by revenue at risk or by risk."""
    open_customer(None)
    st.session_state[_ORDER] = order


def arrive(page: str) -> None:
    """A run of the script shows this page; the frame says so before the page runs."""
    st.session_state[_ENTERED] = st.session_state.get(_PAGE) != page
    st.session_state[_PAGE] = page


def entered() -> bool:
    """Whether this run is the first on its page since another page was shown."""
    return bool(st.session_state.get(_ENTERED))


View = Mapping[str, tuple[str, ...]]


def view(page: str = "") -> View:
    """What somebody picked on a page, on Cohorts unless it is named, as the address names it: key → values."""
    found: View = st.session_state.get(_VIEW + page, {})
    return found


def look(view: View, page: str = "") -> None:
    """Pick; what has no values is not picked."""
    st.session_state[_VIEW + page] = {key: values for key, values in view.items() if values}


def written(page: str = "") -> View:
    """The view that was put in the address last."""
    found: View = st.session_state.get(_WRITTEN + page, {})
    return found


def write(page: str = "") -> None:
    """The address now names what is picked."""
    st.session_state[_WRITTEN + page] = view(page)


def model_changed(version: str) -> bool:
    """Whether this session showed another model before; each change is told once."""
    seen = st.session_state.get(_MODEL_SEEN)
    st.session_state[_MODEL_SEEN] = version
    return seen is not None and seen != version


def announce(sentence: str | None = None) -> str:
    """The announcement of a new model, for some minutes; with a sentence, begin it."""
    if sentence is not None:
        st.session_state[_NEW_MODEL] = (sentence, datetime.now(UTC))
    told, at = st.session_state.get(_NEW_MODEL, ("", datetime.min.replace(tzinfo=UTC)))
    return told if datetime.now(UTC) - at < _ANNOUNCED else ""

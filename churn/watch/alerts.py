"""Alerts: what the rules find, kept as long as it lasts, with who took note of it and why.

There is one open alert for a cause, a column and a model. It closes by itself once its rule is quiet, and when its model is no
longer in use. Whoever has seen it acknowledges it, or mutes it until a day; what is muted stays so for that day even if it
closes and comes back. All that happens to it is a line of a history that is only added to.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from churn import words
from churn.errors import DataError, NotInStore
from churn.watch.rules import CAUSES, Condition

if TYPE_CHECKING:
    from churn.base.records import Records
    from churn.watch._rows import Row

OPEN, ACKNOWLEDGED, MUTED, CLOSED = "open", "acknowledged", "muted", "closed"
State = Literal["open", "acknowledged", "muted", "closed"]
LONGEST = timedelta(days=365)  # that an alert can be muted for: what is muted for good is forgotten
WATCH = "churn watch"  # who does what nobody does


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it stands. `since`, `last`: days it was found in; `until`: the day it is muted to; times are UTC.

    `subject`: the column it is about, and `model` the version; empty where it is about none. `who`, `why`: of an acknowledgement
    or a mute.
    """

    id: str
    cause: str
    subject: str
    model: str
    state: State
    words: str
    since: date | None
    last: date | None
    until: date | None
    who: str | None
    why: str | None
    opened: datetime
    changed: datetime
    closed: datetime | None

    @property
    def title(self) -> str:
        """What it is about in a few words."""
        return CAUSES.get(self.cause, self.cause)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an alert's history: opened, changed, acknowledged, muted, woken, closed, sent, failed."""

    what: str
    detail: str | None
    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Changes:
    """What an update did: ids of alerts."""

    opened: tuple[str, ...]
    closed: tuple[str, ...]
    woken: tuple[str, ...]


def update(
    records: Records, conditions: Iterable[Condition], *, model: str | None, today: date, now: datetime | None = None
) -> Changes:
    """Open, keep and close alerts by what the rules find now. Done twice with the same it changes nothing.

    Parameters
    ----------
    conditions: from `churn.watch.rules.Rules.judge`. An alert that no condition speaks of stays as it is.
    model: the champion; alerts about another version are closed. None leaves them.
    today: the day by which a mute is over.

    Raises
    ------
    RecordsUnavailable: the database cannot be used; nothing was kept.
    """
    from churn.watch import _rows as rows

    at = now or datetime.now(UTC)
    opened, closed, woken = [], [], []
    with records.begin() as connection:
        rows.alone(connection, records.workspace)

        def tell(id: str, what: str, detail: str | None = None) -> None:
            rows.add_event(connection, records.workspace, id, what, WATCH, at, detail)

        def close(row: Row, why: str) -> None:
            values = {"state": CLOSED, "slot": None, "closed": at, "changed": at}
            rows.change_alert(connection, records.workspace, row.id, values)
            tell(row.id, "closed", why)
            closed.append(row.id)

        standing = {row.slot: row for row in rows.alerts(connection, records.workspace, closed=False)}
        for slot, row in list(standing.items()):
            if model is not None and row.model and row.model != model:
                close(standing.pop(slot), f"model {row.model} is no longer in use")
        for one in conditions:
            slot = _slot(one)
            there = standing.get(slot)
            if one.state == "quiet" and there is not None:
                close(there, "quiet again")
            elif one.state == "raised" and there is None:
                id = uuid.uuid4().hex[:12]
                before = rows.last_mute(connection, records.workspace, one.cause, one.subject)
                muted = before is not None and before.until >= today
                made: dict[str, Any] = {"id": id, "slot": slot, "cause": one.cause, "subject": one.subject, "model": one.model}
                made |= {"state": MUTED if muted else OPEN, "words": one.words, "since": one.since, "last": one.last}
                if before is not None and muted:
                    made |= {"until": before.until, "who": before.who, "why": before.why}
                rows.insert_alert(connection, records.workspace, made | {"opened": at, "changed": at})
                tell(id, "opened", one.words)
                opened.append(id)
            elif one.state == "raised" and there is not None:
                found = {"words": one.words, "since": _first(there.since, one.since), "last": one.last}
                over = there.state == MUTED and (there.until is None or there.until < today)
                if over:
                    rows.change_alert(connection, records.workspace, there.id, {"state": OPEN, "until": None, "changed": at})
                    tell(there.id, "woken", "the mute is over")
                    woken.append(there.id)
                if any(getattr(there, name) != value for name, value in found.items()):
                    rows.change_alert(connection, records.workspace, there.id, {**found, "changed": at})
                    tell(there.id, "changed", one.words)
    return Changes(tuple(opened), tuple(closed), tuple(woken))


def listed(records: Records, *, closed: bool = False, most: int | None = None) -> tuple[Alert, ...]:
    """Alerts, the latest first; those that are closed only where asked for. Raises RecordsUnavailable."""
    from churn.watch import _rows as rows

    with records.read() as connection:
        return tuple(_read(row) for row in rows.alerts(connection, records.workspace, closed=closed, most=most))


def history(records: Records, id: str) -> tuple[Event, ...]:
    """What happened to an alert, oldest first. Raises NotInStore, RecordsUnavailable."""
    from churn.base.records import utc
    from churn.watch import _rows as rows

    with records.read() as connection:
        if rows.alert(connection, records.workspace, id) is None:
            raise _none(id)
        found = rows.events(connection, records.workspace, id)
    return tuple(Event(row.what, row.detail, row.who, utc(row.at)) for row in found)


def acknowledge(records: Records, id: str, *, who: str, why: str, now: datetime | None = None) -> Alert:
    """Note that somebody has seen an alert and what they make of it; it stays until its rule is quiet.

    Raises
    ------
    NotInStore: there is no such alert. DataError: it is closed, or no reason is given. RecordsUnavailable.
    """
    return _settle(records, id, {"state": ACKNOWLEDGED, "until": None}, who, why, now)


def mute(records: Records, id: str, *, until: date, who: str, why: str, today: date, now: datetime | None = None) -> Alert:
    """Leave an alert aside up to and with a day, whether or not it closes and comes back until then.

    Raises
    ------
    As `acknowledge`; also DataError where that day is over, or more than a year away.
    """
    if until < today:
        raise DataError(f"an alert can be muted until today or later, not until {words.day(until)}")
    if until > today + LONGEST:
        raise DataError(f"an alert can be muted for a year at most, until {words.day(today + LONGEST)}, not {words.day(until)}")
    return _settle(records, id, {"state": MUTED, "until": until}, who, why, now)


def _settle(records: Records, id: str, values: dict[str, object], who: str, why: str, now: datetime | None) -> Alert:
    from churn.watch import _rows as rows

    reason, at = " ".join(why.split()), now or datetime.now(UTC)
    if not reason:
        raise DataError("say why: whoever sees the alert after you will want to know")
    with records.begin() as connection:
        rows.alone(connection, records.workspace)
        row = rows.alert(connection, records.workspace, id)
        if row is None:
            raise _none(id)
        if row.state == CLOSED:
            raise DataError(f"alert {id} is closed already; there is nothing to do about it")
        rows.change_alert(connection, records.workspace, id, {**values, "who": who, "why": reason, "changed": at})
        until = values["until"]
        detail = f"until {until}: {reason}" if until else reason
        rows.add_event(connection, records.workspace, id, str(values["state"]), who, at, detail)
        changed = rows.alert(connection, records.workspace, id)
    assert changed is not None
    return _read(changed)


def _read(row: Row) -> Alert:
    from churn.base.records import utc

    plain = ("id", "cause", "subject", "model", "state", "words", "since", "last", "until", "who", "why")
    times: dict[str, Any] = {
        name: utc(value) if (value := getattr(row, name)) else None for name in ("opened", "changed", "closed")
    }
    return Alert(**{name: getattr(row, name) for name in plain}, **times)


def _slot(one: Condition) -> str:
    return f"{one.cause}|{one.model}|{one.subject}"[:400]


def _first(before: date | None, now: date | None) -> date | None:
    return min((day for day in (before, now) if day is not None), default=None)


def _none(id: str) -> NotInStore:
    return NotInStore(f"there is no alert {id!r}; see them with: churn alerts list")

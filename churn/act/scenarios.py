"""Scenarios: what-ifs of one customer that are kept under a name, side by side, and shared by a link that names nobody.

A link holds a random token and nothing else, for addresses end up in logs and in mails. What a scenario came to is kept with
the model that said so: opened again, it is scored by the model in use then, and the difference is told. Deleting can be undone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from churn import words
from churn.data.schema import Schema
from churn.errors import DataError, SchemaError
from churn.understand.evidence import Evidence
from churn.understand.what_if import ALWAYS, FROM_NOW_ON, Edited, Edits, Since, edit

if TYPE_CHECKING:  # a page that keeps nothing does without the database's library
    from churn.base.records import Records

MOST = 20  # of one customer that are listed, the latest first
_NAME = 80  # letters of a name at most
_TOKEN_BYTES = 24  # 192 random bits: nobody finds one by trying


@dataclass(frozen=True, slots=True)
class Kept:
    """A scenario as it was kept: `risk` after the edits and `risk_before` without (0–1), as `model` said on `made` (UTC)."""

    token: str
    customer: str
    name: str
    edits: Edits
    since: Since
    model: str
    scoring: str
    risk: float
    risk_before: float
    who: str
    made: datetime


@dataclass(frozen=True, slots=True)
class Fitted:
    """The edits of a scenario that can be made now, and the labels of columns whose edit cannot."""

    changes: Mapping[str, str | float]
    lost: tuple[str, ...]


def keep(
    records: Records,
    *,
    customer: str,
    name: str,
    edits: Edits,
    since: Since,
    model: str,
    scoring: str,
    risk: float,
    risk_before: float,
    who: str,
) -> Kept:
    """Keep a scenario; a name the customer already has a scenario of gets a number: `Cheaper (2)`.

    Raises
    ------
    DataError: there is no name, or nothing is edited. RecordsUnavailable: the database cannot be used.
    """
    wanted = " ".join(name.split())[:_NAME]
    if not wanted:
        raise DataError("a scenario needs a name")
    if not edits:
        raise DataError("a scenario without a change would only repeat what is known; change something first")
    from churn.act import _rows

    with records.begin() as connection:
        taken = _rows.names(connection, records.workspace, customer)
        numbered = (f"{wanted} ({number})" for number in range(2, len(taken) + 3))
        free = wanted if wanted not in taken else next(one for one in numbered if one not in taken)
        kept = Kept(
            token=secrets.token_urlsafe(_TOKEN_BYTES),
            customer=customer,
            name=free,
            edits=tuple(edits),
            since=since,
            model=model,
            scoring=scoring,
            risk=float(risk),
            risk_before=float(risk_before),
            who=who,
            made=datetime.now(UTC),
        )
        row = {field: getattr(kept, field) for field in Kept.__slots__} | {"edits": json.dumps(edits, ensure_ascii=False)}
        _rows.insert(connection, records.workspace, row)
    return kept


def of_customer(records: Records, customer: str) -> tuple[Kept, ...]:
    """The scenarios of one customer, the latest first. Raises RecordsUnavailable."""
    from churn.act import _rows

    with records.begin() as connection:
        return tuple(_read(row) for row in _rows.of_customer(connection, records.workspace, customer, MOST))


def find(records: Records, token: str) -> Kept | None:
    """The scenario behind a link; None where there is none, or it was deleted. Raises RecordsUnavailable."""
    from churn.act import _rows

    with records.begin() as connection:
        row = _rows.find(connection, records.workspace, token)
    return None if row is None else _read(row)


def delete(records: Records, token: str) -> None:
    """Delete a scenario: its link leads nowhere any more. Nothing happens where there is none. Raises RecordsUnavailable."""
    _mark(records, token, datetime.now(UTC))


def restore(records: Records, token: str) -> None:
    """Undo a deletion. Raises RecordsUnavailable."""
    _mark(records, token, None)


def fitting(kept: Kept, row: Mapping[str, Any], schema: Schema, evidence: Evidence | None = None) -> Fitted:
    """What of a scenario can still be done: another model may know other columns, levels and ranges."""
    changes: dict[str, str | float] = {}
    lost = []
    for name, value in kept.edits:
        try:
            edit(row, {**changes, name: value}, schema, evidence, since=kept.since, action=kept.since == FROM_NOW_ON)
        except DataError:
            lost.append(schema.feature(name).label)
        except SchemaError:
            lost.append(words.say("column gone"))
        else:
            changes[name] = value
    return Fitted(changes, tuple(lost))


def in_words(edits: Edits, schema: Schema) -> tuple[str, ...]:
    """The edits as facts, `Contract: Two years`; of columns that the schema no longer has, only that there was one."""
    return tuple(
        words.value_text(value, schema.feature(name), schema) if name in schema else words.say("column gone")
        for name, value in edits
    )


def suggested_name(edited: Edited, schema: Schema) -> str:
    """A name that says what is edited: `Contract: Two years, monthly charge: $55 + 2 more`."""
    facts = [words.value_text(value, schema.feature(name), schema) for name, value in edited.asked.items()]
    told = ", ".join([*facts[:1], *(words.lower_first(fact) for fact in facts[1:2])])
    more = words.say("and more", count=words.count(len(facts) - 2)) if len(facts) > 2 else ""
    room = _NAME - len(more)
    return (told if len(told) <= room else f"{told[: room - 1].rstrip(' ,')}…") + more


def kind_in_words(since: Since, schema: Schema) -> tuple[str, str]:
    """Which kind of edit it is, by name and in a sentence: `From now on`, `The risk in a month if it changes now, …`."""
    if since == ALWAYS:
        return words.say("edit always"), words.say("edit always means")
    days = round(schema.horizon_days)
    horizon = f"a {schema.horizon}" if schema.horizon and schema.snapshot is None else words.say("days", count=words.count(days))
    return words.say("edit from now on"), words.say("edit from now on means", horizon=horizon)


# -- inside --------------------------------------------------------------------


def _mark(records: Records, token: str, deleted: datetime | None) -> None:
    from churn.act import _rows

    with records.begin() as connection:
        _rows.mark(connection, records.workspace, token, deleted)


def _read(row: Any) -> Kept:
    edits = tuple((str(name), value if isinstance(value, str) else float(value)) for name, value in json.loads(row.edits))
    made = row.made if row.made.tzinfo else row.made.replace(tzinfo=UTC)  # SQLite keeps no time zone
    since: Since = FROM_NOW_ON if row.since == FROM_NOW_ON else ALWAYS
    return Kept(
        token=row.token,
        customer=row.customer,
        name=row.name,
        edits=edits,
        since=since,
        model=row.model,
        scoring=row.scoring,
        risk=row.risk,
        risk_before=row.risk_before,
        who=row.who,
        made=made,
    )

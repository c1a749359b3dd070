"""The worklist of a campaign: who is to be called, how far each is, who sees to it, and by when.

An edit says which version of the member it saw. Where somebody else was faster nothing is written, and the refusal says what they
did. A filled file is taken in one step or not at all, field by field against what its sender saw; taken twice it changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from churn import words
from churn.act.campaigns import (
    DRAFT,
    FINISHED,
    STAGES,
    TO_CALL,
    Campaign,
    Source,
    find,
    member_values,
    read,
)
from churn.act.holdout import CALL, HOLDOUT
from churn.data import spreadsheet, values
from churn.errors import CampaignRefused, RecordsConflict

if TYPE_CHECKING:
    from churn.base.records import Records

STAGE, REASON, OWNER, DUE = "stage", "reason", "owner", "due"
EDITABLE: Final = (STAGE, REASON, OWNER, DUE)
VERSION: Final = "Version (leave as it is)"  # the heading of what a file is held against
_CALLED: Final = {STAGE: "stage", REASON: "reason", OWNER: "owner", DUE: "due date"}
_LONGEST: Final = {REASON: 200, OWNER: 80}  # letters
_ALIASES: Final = {"customer": ("customer", "customer number"), "version": (VERSION.lower(), "version", "edit")}


@dataclass(frozen=True, slots=True)
class Member:
    """One customer of a campaign, with the fields of `campaigns.MEMBERS`: risk 0–1, money in the schema's currency, times UTC."""

    customer: str
    rank: int
    arm: str
    band: str
    risk: float
    value: float | None
    expected_value: float | None
    action: str | None
    owner: str | None
    due: date | None
    stage: str
    reason: str | None
    contacted: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the history: who changed which field of whom (None: of the campaign itself), from what to what, when (UTC)."""

    customer: str | None
    field: str
    before: str | None
    after: str | None
    who: str
    at: datetime
    source: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A row of a file that was not taken: its number (from 1), whom it is about, and why."""

    row: int
    customer: str | None
    why: str

    def __str__(self) -> str:
        return f"row {self.row}, customer {self.customer!r}: {self.why}" if self.customer else f"row {self.row}: {self.why}"


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a file: of `rows`, so many `changed` somebody, `same` said what was known or nothing, the rest was `refused`.

    `again`: this very file had been taken before, so nothing was changed, whatever was done since.
    """

    rows: int
    changed: int
    same: int
    refused: tuple[Refused, ...]
    again: bool


# -- looking -------------------------------------------------------------------


def listed(
    records: Records, id: str, *, stages: Sequence[str] = (), owners: Sequence[str] = (), limit: int = 50, offset: int = 0
) -> tuple[Member, ...]:
    """Those to be called, by rank; `stages` and `owners` narrow them. Raises RecordsUnavailable."""
    from churn.act import _campaign_rows as rows

    with records.read() as connection:
        found = rows.members(
            connection, records.workspace, id, arm=CALL, stages=stages, owners=owners, limit=limit, offset=offset
        )
    return tuple(Member(*member_values(row)) for row in found)


def number(records: Records, id: str, *, stages: Sequence[str] = (), owners: Sequence[str] = ()) -> int:
    """How many `listed` would list in all."""
    from churn.act import _campaign_rows as rows

    with records.read() as connection:
        return rows.count_members(connection, records.workspace, id, CALL, stages, owners)


def owners(records: Records, id: str) -> tuple[str, ...]:
    """Who sees to somebody, by name."""
    from churn.act import _campaign_rows as rows

    with records.read() as connection:
        return tuple(rows.owners(connection, records.workspace, id))


def history(records: Records, id: str, *, customer: str | None = None, limit: int = 50, offset: int = 0) -> tuple[Event, ...]:
    """What was changed, the latest first; of one member where named."""
    from churn.act import _campaign_rows as rows

    with records.read() as connection:
        return tuple(
            _event(row) for row in rows.events(connection, records.workspace, id, customer=customer, limit=limit, offset=offset)
        )


def in_words(event: Event) -> str:
    """What was changed, in words: `Stage: to call → reached`, `List: 240 to call, 60 kept uncalled`."""
    if event.field == "list":
        sizes = json.loads(event.after or "{}")
        called, held = words.count(sizes.get(CALL, 0)), words.count(sizes.get(HOLDOUT, 0))
        return words.say("history list", called=called, held=held)
    if event.field == "import":
        about = json.loads(event.after or "{}")
        return words.say("history file", changed=words.count(about["changed"]), rows=words.count(about["rows"]))
    label = words.capital(_CALLED.get(event.field, event.field))
    before, after = (words.NOTHING if one is None else _shown(event.field, one) for one in (event.before, event.after))
    return words.say("change to", label=label, before=before, after=after)


def sheet(records: Records, id: str, *, simulated: bool = False, without: Collection[str] = ()) -> pl.DataFrame:
    """The worklist as a file to fill in: who, what is known of each, and the version that an import will hold it against.

    `simulated`: with a column that says so; `without`: customers to be left out, as they must not be called any more.
    """
    found = find(records, id)
    members = [one for one in listed(records, id, limit=found.size) if one.customer not in without]
    note = [pl.Series("Note", [words.say("simulated")] * len(members), dtype=pl.String)] if simulated else []
    return pl.DataFrame(
        {
            "Customer": pl.Series([one.customer for one in members], dtype=pl.String),
            "Rank": pl.Series([one.rank for one in members], dtype=pl.Int64),
            "Risk": pl.Series([round(one.risk, 4) for one in members], dtype=pl.Float64),
            "What could help": pl.Series([one.action for one in members], dtype=pl.String),
            "Owner": pl.Series([one.owner for one in members], dtype=pl.String),
            "Due": pl.Series([one.due for one in members], dtype=pl.Date),
            "Stage": pl.Series([words.capital(one.stage) for one in members], dtype=pl.String),
            "Reason": pl.Series([one.reason for one in members], dtype=pl.String),
            VERSION: pl.Series([one.version for one in members], dtype=pl.Int64),
        }
    ).with_columns(note)


# -- editing -------------------------------------------------------------------


def edit(
    records: Records,
    id: str,
    customer: str,
    *,
    version: int,
    changes: Mapping[str, Any],
    who: str,
    source: Source = "page",
    at: datetime | None = None,
) -> Member:
    """Change some fields of one member.

    Parameters
    ----------
    version: of the member, as whoever edits saw it.
    changes: field → new value: `stage` (one of `STAGES`), `reason`, `owner` (text, or None for none), `due` (a date, or None).

    Raises
    ------
    CampaignRefused: no such member or field, a value it cannot have, or the campaign does not allow it now.
    RecordsConflict: somebody else edited the member since that version; says what they did. Nothing was kept.
    """
    from churn.act import _campaign_rows as rows

    wanted = {field: _value(field, value) for field, value in changes.items()}
    now = at or datetime.now(UTC)
    with records.begin() as connection:
        campaign = read(records, connection, id, lock=True)
        row = _member(records, connection, campaign, customer)
        if problem := _not_now(campaign, row, wanted):
            raise CampaignRefused(problem)
        wanted = {field: value for field, value in wanted.items() if getattr(row, field) != value}
        if not wanted:
            return Member(*member_values(row))
        if row.version != version:
            since = _since(records, connection, campaign, customer, version)
            raise RecordsConflict(f"{_told(customer, since)}; your change was not kept. Look at it again", row.version)
        done = _write(records, connection, campaign, row, wanted, who, source, now, uuid.uuid4().hex)
        if done is None:  # on a server somebody may have been faster since it was read
            raise RecordsConflict(
                f"somebody else has just changed customer {customer!r}; your change was not kept. Look at it again"
            )
        rows.add_events(connection, records.workspace, done)
        after = rows.members(connection, records.workspace, id, customers=[customer])[0]
        return Member(*member_values(after))


# -- taking a filled file --------------------------------------------------------


def take(
    records: Records,
    id: str,
    table: pl.DataFrame,
    *,
    who: str,
    key: str | None = None,
    source: Source = "import",
    at: datetime | None = None,
) -> Taken:
    """Take what people filled into a file: all of it in one step, but for the rows that are refused.

    An empty cell changes nothing. Each field is held against what its sender saw, by the version that stands in its row of the
    file: what they left as it was is passed over, and what somebody else changed meanwhile is refused, unless both say the same.
    Without its versions a file is refused: an old one would silently undo what was done since.

    Parameters
    ----------
    table: a column `Customer` (or `key`, the schema's), `VERSION` as `sheet` wrote it, and at least one of `Stage`, `Reason`,
        `Owner`, `Due`.

    Raises
    ------
    CampaignRefused: a column is missing, or the campaign is finished.
    RecordsUnavailable: the database cannot be used; nothing was kept.
    """
    from churn.act import _campaign_rows as rows

    now = at or datetime.now(UTC)
    cells = _cells(table, key)
    sum_ = hashlib.sha256(cells.write_csv(quote_style="always").encode()).hexdigest()
    with records.begin() as connection:
        campaign = read(records, connection, id, lock=True)
        if campaign.status == FINISHED:
            raise CampaignRefused(f"campaign {campaign.name!r} is finished; its worklist stays as it is")
        before = rows.events(connection, records.workspace, id, field="import")
        again = any(json.loads(event.after)["sha256"] == sum_ for event in before)
        there = {row.customer: row for row in rows.members(connection, records.workspace, id)}
        pasts = _pasts(records, connection, campaign)
        batch, events, refused, changed, seen = uuid.uuid4().hex, [], [], 0, dict[str, int]()
        for place, cell in enumerate(cells.iter_rows(named=True), start=1):
            customer, wanted, problem = _asked(cell, there, campaign)
            if problem is None and customer in seen:
                problem = f"is in the file before, in row {seen[customer]}"
            if problem is None:
                seen[customer] = place
                row = there[customer]
                wanted, problem = _merged(row, wanted, cell["version"], pasts.get(customer, ()))
                problem = problem or (_not_now(campaign, row, wanted) if wanted else None)
            if problem is not None:
                refused.append(Refused(place, customer or None, problem))
                continue
            if not wanted or again:
                continue
            done = _write(records, connection, campaign, row, wanted, who, source, now, batch)
            if done is None:
                refused.append(Refused(place, customer, "somebody else has just changed it"))
                continue
            events += done
            changed += 1
        rows.add_events(connection, records.workspace, events)
        if not again:
            about = {"sha256": sum_, "rows": cells.height, "changed": changed, "refused": len(refused)}
            line = {"campaign": id, "customer": None, "field": "import", "before": None, "after": json.dumps(about)}
            more = {"who": who, "at": now, "source": source, "edit": batch, "version": None}
            rows.add_events(connection, records.workspace, [line | more])
    return Taken(cells.height, changed, cells.height - changed - len(refused), tuple(refused), again)


def _cells(table: pl.DataFrame, key: str | None) -> pl.DataFrame:
    """The columns of a file that matter, under their own names, as text but for dates and versions."""
    headers = {name.strip().lower(): name for name in reversed(table.columns)}
    wanted = {
        "customer": (*((key.lower(),) if key else ()), *_ALIASES["customer"]),
        **{field: (field,) for field in EDITABLE},
        "version": _ALIASES["version"],
    }
    found = {field: headers[name] for field, names in wanted.items() if (name := next((n for n in names if n in headers), ""))}
    listed = ", ".join(map(repr, table.columns[:10]))
    if "customer" not in found:
        raise CampaignRefused(f"column 'Customer' is not in the file; it has {listed}")
    if not set(found) & set(EDITABLE):
        raise CampaignRefused(f"none of the columns 'Stage', 'Reason', 'Owner', 'Due' is in the file; it has {listed}")
    if table.is_empty():
        raise CampaignRefused("the file has no rows")
    if "version" not in found:
        raise CampaignRefused(
            f"column {VERSION!r} is not in the file. It says how each customer stood when the file was written, so that nothing "
            "done since is overwritten. Put it back, or fill in a worklist downloaded anew"
        )
    columns = []
    for field, name in found.items():
        cells = table[name]
        if field == DUE:
            text = values.as_text(cells).str.strip_chars()
            columns.append(text.alias("due text"))
            columns.append(_days(cells, text).alias(DUE))
        elif field == "customer":
            columns.append(values.keys(cells).alias("customer"))
        else:
            columns.append(values.as_text(cells).str.strip_chars().alias(field))
            if field in _LONGEST:
                columns.append(spreadsheet.plain(columns[-1]).alias(f"plain {field}"))
    return pl.DataFrame(columns)


def _days(cells: pl.Series, text: pl.Series) -> pl.Series:
    """The days of a column; what is not written as most rows are is read by itself. Null where that can be read in two ways."""
    together = values.dates(cells, ()).values
    others = text.filter(together.is_null()).drop_nulls().unique().to_list()
    alone = {one: values.dates(pl.Series([one])).values[0] for one in others}
    return together.fill_null(text.replace_strict(alone, default=None, return_dtype=pl.Date))


def _asked(cell: Mapping[str, Any], there: Mapping[str, Any], campaign: Campaign) -> tuple[str, dict[str, Any], str | None]:
    """Whom a row is about, what it says, and what speaks against taking it."""
    customer = str(cell["customer"] or "")
    if customer.startswith("'") and customer not in there:
        customer = customer[1:]  # our own files put an apostrophe before what a spreadsheet would run
    if not customer:
        return "", {}, "names no customer"
    if customer not in there:
        return customer, {}, f"is not in campaign {campaign.name!r}"
    wanted = {}
    for field in EDITABLE:
        written = cell.get("due text" if field == DUE else field)
        if written is None or written in ("", words.NOTHING):
            continue
        if field == DUE and cell[DUE] is None:
            return customer, {}, f"due must be a date that can be read in one way, such as 2026-12-24; it is {written!r}"
        if field in _LONGEST and written != getattr(there[customer], field):
            written = cell[f"plain {field}"]  # our own CSV files put an apostrophe before it; nobody typed that
        try:
            wanted[field] = _value(field, cell[DUE] if field == DUE else written)
        except CampaignRefused as error:
            return customer, {}, str(error)
    version = cell["version"]
    if wanted and not (version and _whole(version)):
        has = repr(version) if version else "empty"
        return customer, {}, f"the version must be the whole number that the file was written with; it is {has}"
    return customer, wanted, None


def _merged(row: Any, wanted: dict[str, Any], version: str, past: Sequence[Any]) -> tuple[dict[str, Any], str | None]:
    """Which fields of a row are to be changed, and which speaks against it: somebody else changed it since its sender looked."""
    changes = {field: value for field, value in wanted.items() if getattr(row, field) != value}
    if not changes:
        return {}, None
    seen = int(float(version))
    left = {}
    for field, value in changes.items():
        since = [event for event in past if event.field == field and event.version > seen]
        if not since:
            left[field] = value
        elif _text(value) != since[0].before:  # else its sender left it as it was
            return {}, _told(row.customer, since)
    return left, None


def _pasts(records: Records, connection: Any, campaign: Campaign) -> dict[str, list[Any]]:
    from churn.act import _campaign_rows as rows

    found: dict[str, list[Any]] = {}
    for event in rows.events_since(connection, records.workspace, campaign.id, campaign.made):
        found.setdefault(event.customer, []).append(event)
    return found


# -- inside --------------------------------------------------------------------


def _value(field: str, value: Any) -> Any:
    """A field's value as it is kept. Raises CampaignRefused for a field there is none of, and for a value it cannot have."""
    if field == STAGE:
        stage = " ".join(str(value).split()).lower()
        if stage not in STAGES:
            raise CampaignRefused(f"the stage must be one of {', '.join(STAGES)}; it is {value!r}")
        return stage
    if field == DUE:
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        raise CampaignRefused(f"due must be a date; it is {value!r}")
    if field not in _LONGEST:
        raise CampaignRefused(f"of a customer in a campaign, {', '.join(EDITABLE)} can be changed, not {field!r}")
    text = " ".join(str(value or "").split())
    if len(text) > _LONGEST[field]:
        raise CampaignRefused(f"the {field} must have at most {_LONGEST[field]} letters; it has {len(text)}")
    return text or None


def _not_now(campaign: Campaign, row: Any, wanted: Mapping[str, Any]) -> str | None:
    """Why a member cannot be changed so now; None where it can."""
    if row.arm == HOLDOUT:
        return "is held out and must not be called, so there is nothing to note"
    if campaign.status == FINISHED:
        return f"campaign {campaign.name!r} is finished; its worklist stays as it is"
    if campaign.status == DRAFT and (STAGE in wanted or REASON in wanted):
        return f"campaign {campaign.name!r} has not been started; until then only owner and due can be set"
    return None


def _member(records: Records, connection: Any, campaign: Campaign, customer: str) -> Any:
    from churn.act import _campaign_rows as rows

    found = rows.members(connection, records.workspace, campaign.id, customers=[customer])
    if not found:
        raise CampaignRefused(f"customer {customer!r} is not in campaign {campaign.name!r}")
    return found[0]


def _write(
    records: Records,
    connection: Any,
    campaign: Campaign,
    row: Any,
    wanted: Mapping[str, Any],
    who: str,
    source: Source,
    at: datetime,
    batch: str,
) -> list[dict[str, Any]] | None:
    """Change a member that still is as it was read; the lines for the history, None where it no longer is."""
    from churn.act import _campaign_rows as rows

    changes = dict(wanted)
    if STAGE in wanted:
        first = row.contacted if row.contacted is not None else at
        changes["contacted"] = None if wanted[STAGE] == TO_CALL else first
    if not rows.change_member(connection, records.workspace, campaign.id, row.customer, row.version, changes):
        return None
    shared = {"campaign": campaign.id, "customer": row.customer, "who": who, "at": at, "source": source, "edit": batch}
    return [
        {**shared, "field": field, "before": _text(getattr(row, field)), "after": _text(value), "version": row.version + 1}
        for field, value in wanted.items()
    ]


def _since(records: Records, connection: Any, campaign: Campaign, customer: str, version: int) -> list[Any]:
    from churn.act import _campaign_rows as rows

    found = rows.events(connection, records.workspace, campaign.id, customer=customer)
    return [event for event in reversed(found) if event.version is not None and event.version > version]


def _told(customer: str, since: Sequence[Any]) -> str:
    """What somebody else did to a member: "bob set the stage of 'C1' to saved, it was to call"."""
    if not since:
        return f"customer {customer!r} is not as you saw it"
    said = []
    for event in since[-3:]:
        before = f", it was {event.before}" if event.before else ""
        said.append(f"{event.who} set the {_CALLED[event.field]} of customer {customer!r} to {event.after or 'nothing'}{before}")
    return words.sentence_list(said)


def _shown(field: str, text: str) -> str:
    return words.day(date.fromisoformat(text)) if field == DUE else text


def _text(value: Any) -> str | None:
    return None if value is None else value.isoformat() if isinstance(value, date) else str(value)


def _whole(text: str) -> bool:
    plain = text.removesuffix(".0")
    return plain.isdecimal() and len(plain) < 10


def _event(row: Any) -> Event:
    from churn.base.records import utc

    return Event(row.customer, row.field, row.before, row.after, row.who, utc(row.at), row.source, row.version)

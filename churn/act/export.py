"""Call lists as files, each recorded before anybody gets it.

Three kinds: XLSX for people, CSV for programs, and digits only for a dialler. What is recorded of an export says who took what
out of the desk, when, and from which base, model, filter and assumptions; the sum of the file says which file it was. The record
is written before the bytes are handed over, so that no file is out of which nothing is known. Unmasked contact data leaves the
desk here and nowhere else, and only with somebody who has the role for it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from churn import words
from churn.act import segments
from churn.act.call_list import ACTION, CUSTOMER, OWNER, RANK, REASONS, SAME, VALUE, WORTH, Terms, dialled
from churn.act.eligibility import LeftOut
from churn.base.expected_value import Assumptions
from churn.base.groups import BAND, Filter
from churn.base.snapshot import RISK
from churn.data.contacts import masked
from churn.data.disk import disk
from churn.data.schema import Schema
from churn.data.spreadsheet import Sheet, csv_bytes, workbook
from churn.errors import ExportRefused
from churn.principal import CONTACTS, Principal

if TYPE_CHECKING:
    from churn.base.records import Records

Kind = Literal["xlsx", "csv", "dialler"]
KINDS: Final[tuple[Kind, ...]] = ("xlsx", "csv", "dialler")
ENDINGS: Final[Mapping[Kind, str]] = {"xlsx": ".xlsx", "csv": ".csv", "dialler": ".txt"}
MIME: Final[Mapping[Kind, str]] = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv",
    "dialler": "text/plain",
}
_ROLES = ("name", "phone", "email")
_LISTED = 20  # exports told of at most


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a list comes from: what its manifest says and its info sheet tells. `campaign`: its id, None where it is no
    campaign's; `title`: what the list is called; `simulated`: whether its customers are made up; `left_out`: who was drawn for it
    and must not be called any more, by reason."""

    title: str
    filter: Filter
    model: str
    scoring: str
    as_of: date
    terms: Terms
    assumptions: Assumptions
    simulated: bool
    campaign: str | None = None
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is recorded of an export. `unmasked`: whether contact data is in it as it is; `sha256`: of the file; `plan`: the
    terms of its list, and how many of it were `left_out` for which reason, as JSON."""

    id: str
    campaign: str | None
    kind: Kind
    name: str
    filter: str
    model: str
    scoring: str
    assumptions: str
    plan: str
    rows: int
    sha256: str
    unmasked: bool
    who: str
    at: datetime


@dataclass(frozen=True, slots=True)
class File:
    """An export, recorded: its bytes and what was recorded of it."""

    content: bytes
    manifest: Manifest


# -- exporting -----------------------------------------------------------------------------------------------------------------


def export(
    records: Records,
    rows: pl.DataFrame,
    contacts: pl.DataFrame | None,
    schema: Schema,
    origin: Origin,
    principal: Principal,
    *,
    kind: Kind,
    unmasked: bool,
    delimiter: str = ",",
    marked: bool = True,
    name: str | None = None,
) -> File:
    """Make the file, record it, and only then give it.

    Parameters
    ----------
    rows: as `churn.act.call_list.rows`, with whatever other columns are to stand at the end. contacts: of the same customers in
        the same order, as they are (`contact_data`); None where there are none.
    unmasked: whether names, phones and addresses are told as they are. delimiter, marked: of CSV, see `spreadsheet.csv_bytes`.
    name: of the file, where it is known already; made up otherwise (`file_name`).

    Raises
    ------
    ExportRefused: unmasked, or for a dialler, without the role `contacts`; a dialler's file without phones.
    DataError: more than the kind of file holds. RecordsUnavailable: nothing could be recorded, and nothing is given.
    """
    unmasked = unmasked or kind == "dialler"
    if unmasked and contacts is not None and not principal.may(CONTACTS):
        raise ExportRefused(
            f"contact data leaves the desk unmasked only with the role '{CONTACTS}', which {principal.name} does not have; "
            f"setting 'roles' gives it"
        )
    at = datetime.now(UTC)
    id = secrets.token_hex(12)
    if kind == "dialler":
        content = _digits(contacts, schema)
        told = content.count(b"\n")
    else:
        table = for_people(rows, contacts, schema, unmasked=unmasked, simulated=origin.simulated)
        told = table.height
        if kind == "csv":
            content = csv_bytes(table, delimiter=delimiter, marked=marked)
        else:
            about = info(origin, schema, id=id, who=principal.name, at=at, rows=told, unmasked=unmasked and contacts is not None)
            content = workbook(
                [Sheet(origin.title, table, _formats(table, schema)), Sheet("About this list", about, filtered=False)], at
            )
    left_out = {"left_out": dict(map(astuple, origin.left_out))} if origin.left_out else {}
    manifest = Manifest(
        id=id,
        campaign=origin.campaign,
        kind=kind,
        name=name or file_name(origin, kind, id),
        filter=segments.to_json(origin.filter),
        model=origin.model,
        scoring=origin.scoring,
        assumptions=json.dumps(asdict(origin.assumptions), sort_keys=True),
        plan=json.dumps(asdict(origin.terms) | left_out, sort_keys=True),
        rows=told,
        sha256=hashlib.sha256(content).hexdigest(),
        unmasked=unmasked and contacts is not None,
        who=principal.name,
        at=at,
    )
    _record(records, manifest)
    return File(content, manifest)


def write(file: File, path: Path) -> None:
    """Put a recorded export on the disk, whole or not at all. Raises StoreUnavailable where the disk refuses."""
    part = path.with_name(f".{file.manifest.id}{path.suffix}")
    with disk(path, "written"):
        try:
            part.write_bytes(file.content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def recorded(records: Records, most: int = _LISTED) -> tuple[Manifest, ...]:
    """The latest exports. Raises RecordsUnavailable."""
    from churn.act import _export_rows

    with records.read() as connection:
        found = _export_rows.exports(connection, records.workspace, most)
    return tuple(_read(row) for row in found)


def file_name(origin: Origin, kind: Kind, id: str) -> str:
    """A name that says what the file is, and that nobody else's has: `simulated-call-list-2026-11-28-1f0c….xlsx`."""
    start = "simulated-" if origin.simulated else ""
    what = "dialler" if kind == "dialler" else "call-list"
    return f"{start}{what}-{origin.as_of.isoformat()}-{id}{ENDINGS[kind]}"


# -- what is in it -------------------------------------------------------------------------------------------------------------


def for_people(
    rows: pl.DataFrame, contacts: pl.DataFrame | None, schema: Schema, *, unmasked: bool, simulated: bool
) -> pl.DataFrame:
    """The list under headings that people read; texts are texts, and numbers as exact as the screen's."""
    found: dict[str, pl.Series] = {}

    def add(name: str, column: pl.Series) -> None:
        while name in found:
            name += "_"
        found[name] = column

    add("Rank", rows[RANK])
    add("Customer", rows[CUSTOMER].cast(pl.String))
    if contacts is not None:
        shown = contacts if unmasked else masked(contacts, schema.contacts)
        for role, heading in zip(_ROLES, ("Name", "Phone", "E-mail"), strict=True):
            column = getattr(schema.contacts, role)
            if column and column in shown.columns:
                own = dialled(shown, schema) if role == "phone" and unmasked else shown[column].cast(pl.String)
                add(heading, own)
    add("Risk", rows[RISK].round(4))
    add("Band", rows["band"])
    if schema.money is not None and rows[WORTH].null_count() < rows.height:
        add(f"Worth ({schema.currency})", rows[VALUE].round(2))
        add(f"A call is worth ({schema.currency})", rows[WORTH].round(2))
    for place in range(1, REASONS + 1):
        add(f"Reason {place}", rows[f"reason_{place}"])
    add("What could help most", rows[ACTION])
    add("Owner", rows[OWNER])
    add("Same phone", rows[SAME])
    known = {
        RANK,
        CUSTOMER,
        RISK,
        "band",
        VALUE,
        WORTH,
        ACTION,
        OWNER,
        SAME,
        *(f"reason_{place}" for place in range(1, REASONS + 1)),
    }
    for name in rows.columns:
        if name not in known:
            add(name, rows[name])
    if simulated:
        add("Note", pl.Series([words.say("simulated")] * rows.height, dtype=pl.String))
    return pl.DataFrame([column.alias(name) for name, column in found.items()])


def info(origin: Origin, schema: Schema, *, id: str, who: str, at: datetime, rows: int, unmasked: bool) -> pl.DataFrame:
    """What the list rests on, line by line: the sheet that goes along with it."""
    terms, currency = origin.terms, schema.currency
    lines = [
        ("List", origin.title),
        ("Customers", words.count(rows)),
        ("Filter", "; ".join(filter_in_words(origin.filter, schema)) or "Everybody"),
        ("Scored as of", words.day(origin.as_of)),
        ("Scoring", origin.scoring),
        ("Model", origin.model),
        ("Offer", words.money(terms.offer, currency)),
        ("Capacity", words.NOTHING if terms.capacity is None else words.count(terms.capacity)),
        ("Budget", words.NOTHING if terms.budget is None else words.money(terms.budget, currency)),
        ("Kept uncalled", _kept_uncalled(origin)),
        ("Ranked by", f"{terms.ranking(schema)} ({terms.learnt})" if terms.learnt else terms.ranking(schema)),
        *((f"Left out: {words.lower_first(one.in_words())}", words.count(one.customers)) for one in origin.left_out),
        *((f"{one.name} (assumption)", f"{one.value}. {one.sentence}") for one in origin.assumptions.in_words(schema)),
        ("Contact data", "as it is" if unmasked else "masked"),
        ("Exported by", who),
        ("Exported", f"{words.moment(at)} UTC"),
        ("Export", id),
    ]
    if origin.simulated:
        lines.insert(0, ("Note", words.say("simulated")))
    return pl.DataFrame(
        {"About": [name for name, _ in lines], "": [text for _, text in lines]}, schema={"About": pl.String, "": pl.String}
    )


def _kept_uncalled(origin: Origin) -> str:
    """Whether those who are kept uncalled are in the file."""
    share = words.percent(origin.terms.holdout)
    if not origin.terms.holdout:
        return "Nobody"
    if origin.campaign is not None:
        return f"{share} of the list, who are not in this file"
    return f"Nobody yet: this file holds everybody on the list. A campaign made of it draws {share} who are not called"


def filter_in_words(chosen: Filter, schema: Schema) -> list[str]:
    """`Contract: Monthly or Yearly`, for each column that narrows."""
    found = []
    for column, labels in chosen.parts:
        label = "Risk band" if column == BAND else schema.feature(column).label if column in schema else column
        found.append(words.say("fact", label=label, value=" or ".join(labels)))
    return found


def _digits(contacts: pl.DataFrame | None, schema: Schema) -> bytes:
    """Phones by their digits, one a line, country code first: what a dialler takes."""
    if contacts is None or schema.contacts.phone is None:
        raise ExportRefused("a dialler needs phone numbers, and this list has none")
    numbers = dialled(contacts, schema).drop_nulls().str.strip_prefix("+").to_list()
    return "".join(f"{number}\n" for number in numbers).encode("ascii")


def _formats(table: pl.DataFrame, schema: Schema) -> dict[str, str]:
    found = {"Risk": "0%", "Rank": "0"}
    return found | {name: "#,##0.00" for name in table.columns if name.endswith(f"({schema.currency})")}


# -- the record ----------------------------------------------------------------------------------------------------------------


def _record(records: Records, manifest: Manifest) -> None:
    from churn.act import _export_rows

    with records.begin() as connection:
        _export_rows.insert_export(connection, records.workspace, asdict(manifest))


def _read(row: Any) -> Manifest:
    at = row.at if row.at.tzinfo else row.at.replace(tzinfo=UTC)  # SQLite keeps no time zone
    fields: Sequence[str] = [name for name in Manifest.__slots__ if name != "at"]
    return Manifest(**{name: getattr(row, name) for name in fields}, at=at)

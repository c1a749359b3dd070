"""Campaigns: a call list that is worked through, with a part kept uncalled at random so that calling can be measured.

A campaign is a *draft* while its list may still be made anew, *running* while people are called, and *finished* after that; a
draft that nobody wants is dropped, which frees its customers for other lists. Who is called and who is held out is drawn once,
when the list is made; whoever was in a list before keeps their arm. Every change of a campaign and of its members is added to a
history that nobody can rewrite (`churn.act.worklist` changes members).
"""

from __future__ import annotations

import json
import re
import unicodedata
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from churn import words
from churn.act.holdout import CALL as CALL
from churn.act.holdout import HOLDOUT as HOLDOUT
from churn.act.holdout import MOST_SHARE, SHARE, draw, new_salt
from churn.base.expected_value import Assumptions
from churn.base.groups import Filter
from churn.base.snapshot import RISK
from churn.errors import CampaignRefused, RecordsConflict

if TYPE_CHECKING:  # a page that shows no campaign does without the database's library
    from churn.base.records import Records

Status = Literal["draft", "running", "finished"]
Source = Literal["page", "import", "command"]
DRAFT: Final = "draft"
RUNNING: Final = "running"
FINISHED: Final = "finished"
DROPPED: Final = "dropped"  # what the database says of a draft that is no more
TO_CALL, REACHED, OFFERED, SAVED, LOST, UNREACHABLE = "to call", "reached", "offered", "saved", "lost", "unreachable"
STAGES = (TO_CALL, REACHED, OFFERED, SAVED, LOST, UNREACHABLE)

LISTED = ("customer", "rank", "band", "risk", "value", "expected_value", "action", "owner")  # columns of a list, in this order
MEMBERS = {
    "customer": pl.String(),
    "rank": pl.Int64(),
    "arm": pl.String(),
    "band": pl.String(),
    "risk": pl.Float64(),
    "value": pl.Float64(),
    "expected_value": pl.Float64(),
    "action": pl.String(),
    "owner": pl.String(),
    "due": pl.Date(),
    "stage": pl.String(),
    "reason": pl.String(),
    "contacted": pl.Datetime("us", "UTC"),
    "version": pl.Int64(),
}
ENGAGED = {"customer": pl.String(), "campaign": pl.String(), "arm": pl.String(), "open": pl.Boolean(), "contacted": pl.Date()}
_NAME, _ID = 80, 60  # letters at most; an id may get a number besides
_NEEDED = ("customer", "rank", "band", "risk")


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign: how it was made, and how far it is.

    `holdout_share`: as planned, 0–1; `as_of`: the day its scoring is about; `horizon_days`: how long after the start leaving
    still counts; `plan`: offer, capacity, budget and whatever else the list was made from, as JSON holds it. Times are UTC.
    `stages`: how many of those to be called are at each stage; `held_out`: how many are not called at all. `version` rises with
    every change.
    """

    id: str
    name: str
    status: Status
    version: int
    salt: str
    holdout_share: float
    model: str
    scoring: str
    as_of: date
    horizon_days: int
    filter: Filter
    assumptions: Assumptions
    plan: Mapping[str, Any]
    who: str
    made: datetime
    started: datetime | None
    finished: datetime | None
    stages: Mapping[str, int]
    held_out: int

    @property
    def called(self) -> int:
        """How many are to be called, or were."""
        return sum(self.stages.values())

    @property
    def size(self) -> int:
        return self.called + self.held_out

    @property
    def offer(self) -> float:
        """What an offer costs once taken, in the schema's currency."""
        return float(self.plan.get("offer") or 0.0)


def create(
    records: Records,
    listed: pl.DataFrame,
    *,
    name: str,
    model: str,
    scoring: str,
    as_of: date,
    horizon_days: float,
    who: str,
    assumptions: Assumptions,
    chosen: Filter = Filter(),
    plan: Mapping[str, Any] | None = None,
    holdout_share: float = SHARE,
    groups: pl.DataFrame | None = None,
    salt: str | None = None,
    source: Source = "page",
    at: datetime | None = None,
) -> Campaign:
    """Make a campaign of a list, as a draft, and draw who is held out.

    Parameters
    ----------
    listed: one row a customer, best first: `customer` (the key as text), `rank` (from 1), `band` (of risk, by name), `risk`
        (0–1; `__risk__` as scorings name it will do), and where known `value`, `expected_value`, `action` (in words), `owner`,
        `due`.
    horizon_days: how long after the start leaving counts; the schema's horizon.
    holdout_share: of each band, 0–0.5; 0 for a campaign that cannot be measured.
    groups: `customer` and a column of group labels for each column that results are to be told by; of the day of the list.
    salt: of the draw; random unless given. at: when; now unless given.

    Raises
    ------
    CampaignRefused: no name, no customer, one twice, an impossible share, or somebody in it who is in another open campaign.
    RecordsUnavailable: the database cannot be used.
    """
    from churn.act import _campaign_rows as rows

    wanted = " ".join(name.split())
    if not wanted:
        raise CampaignRefused("a campaign needs a name")
    if len(wanted) > _NAME:
        raise CampaignRefused(f"the name of a campaign must have at most {_NAME} letters; it has {len(wanted)}")
    if not 0 <= holdout_share <= MOST_SHARE:
        raise CampaignRefused(f"the share held out must be from 0 to {MOST_SHARE:g}, not {holdout_share:g}")
    now, salt = at or datetime.now(UTC), salt or new_salt()
    with records.begin() as connection:
        rows.alone(connection, records.workspace)
        id = _free_id(wanted, rows.ids(connection, records.workspace))
        members = _members(listed, groups, salt, holdout_share, {})
        _refuse_engaged(members, engaged(records, connection=connection), now)
        row = {
            "id": id,
            "name": wanted,
            "status": DRAFT,
            "version": 1,
            "salt": salt,
            "holdout_share": holdout_share,
            "model": model,
            "scoring": scoring,
            "as_of": as_of,
            "horizon_days": round(horizon_days),
            "who": who,
            "made": now,
            "filter": _json(chosen.parts),
            "assumptions": _json(asdict(assumptions)),
            "plan": _json(dict(plan or {})),
        }
        rows.insert_campaign(connection, records.workspace, row)
        rows.insert_members(connection, records.workspace, id, members)
        _note(records, connection, id, "status", None, DRAFT, who, source, now, 1)
        _note(records, connection, id, "list", None, _sizes(members), who, source, now, 1)
    return find(records, id)


def rebuild(
    records: Records,
    id: str,
    listed: pl.DataFrame,
    *,
    who: str,
    groups: pl.DataFrame | None = None,
    source: Source = "page",
) -> Campaign:
    """Put another list in place of a draft's; whoever was in the old one keeps their arm.

    Raises
    ------
    CampaignRefused: as `create`, or it is no draft any more. RecordsConflict: somebody else changed it meanwhile.
    """
    from churn.act import _campaign_rows as rows

    now = datetime.now(UTC)
    with records.begin() as connection:
        rows.alone(connection, records.workspace)
        found = read(records, connection, id, lock=True)
        if found.status != DRAFT:
            raise CampaignRefused(f"campaign {found.name!r} is {found.status}; only a draft's list can be made anew")
        before = rows.members(connection, records.workspace, id)
        members = _members(listed, groups, found.salt, found.holdout_share, {row.customer: row.arm for row in before})
        others = engaged(records, connection=connection).filter(pl.col("campaign") != id)
        _refuse_engaged(members, others, now)
        _advance(records, connection, found, {})
        rows.delete_members(connection, records.workspace, id)
        rows.insert_members(connection, records.workspace, id, members)
        was = _sizes({"arm": row.arm} for row in before)
        _note(records, connection, id, "list", was, _sizes(members), who, source, now, found.version + 1)
    return find(records, id)


def start(records: Records, id: str, *, who: str, source: Source = "page", at: datetime | None = None) -> Campaign:
    """Begin calling. Raises CampaignRefused where it is no draft, or `at` is a day before its list was drawn, and RecordsConflict
    where somebody else was faster."""
    return _move(records, id, DRAFT, RUNNING, "started", who, source, at)


def finish(records: Records, id: str, *, who: str, source: Source = "page", at: datetime | None = None) -> Campaign:
    """End calling; outcomes still count until the horizon is over. Raises as `start`, where it does not run, or did not then."""
    return _move(records, id, RUNNING, FINISHED, "finished", who, source, at)


def drop(records: Records, id: str, *, who: str, source: Source = "page") -> None:
    """Give up a draft: its customers may be put on other lists, its id stays taken, and its history is kept.

    Raises CampaignRefused where it is no draft, RecordsConflict where somebody else changed it meanwhile.
    """
    from churn.act import _campaign_rows as rows

    now = datetime.now(UTC)
    with records.begin() as connection:
        found = read(records, connection, id, lock=True)
        if found.status != DRAFT:
            raise CampaignRefused(f"campaign {found.name!r} is {found.status}; only a draft can be dropped")
        _advance(records, connection, found, {"status": DROPPED})
        rows.delete_members(connection, records.workspace, id)
        _note(records, connection, id, "status", DRAFT, DROPPED, who, source, now, found.version + 1)


def find(records: Records, id: str) -> Campaign:
    """A campaign by its id. Raises CampaignRefused where there is none."""
    with records.read() as connection:
        return read(records, connection, id)


def every(records: Records) -> tuple[Campaign, ...]:
    """All campaigns, the latest first."""
    from churn.act import _campaign_rows as rows

    with records.read() as connection:
        sizes: dict[str, list[tuple[str, str, int]]] = {}
        for row in rows.sizes(connection, records.workspace):
            sizes.setdefault(row.campaign, []).append((row.arm, row.stage, row.members))
        found = rows.campaigns(connection, records.workspace)
        return tuple(_campaign(row, sizes.get(row.id, [])) for row in found if row.status != DROPPED)


def members(records: Records, id: str) -> pl.DataFrame:
    """The members of a campaign by rank, with the columns of `MEMBERS`."""
    from churn.act import _campaign_rows as rows

    with records.read() as connection:
        found = rows.members(connection, records.workspace, id)
    return pl.DataFrame([member_values(row) for row in found], schema=MEMBERS, orient="row")


def groups(records: Records, id: str) -> pl.DataFrame:
    """The groups its members were in on the day of the list: `customer` and a column for each that was kept."""
    from churn.act import _campaign_rows as rows

    with records.read() as connection:
        found = [(row.customer, json.loads(row.groups)) for row in rows.members(connection, records.workspace, id)]
    names = list(dict.fromkeys(name for _, of in found for name in of))
    columns: dict[str, Any] = {"customer": [customer for customer, _ in found]}
    columns |= {name: [of.get(name) for _, of in found] for name in names}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String()))


def engaged(records: Records, *, today: date | None = None, connection: Any = None) -> pl.DataFrame:
    """Everybody who is or was in a campaign, with the columns of `ENGAGED`; a customer has a row for each campaign.

    `open`: the campaign is not finished, or its horizon is not over: whoever was held out must stay uncalled till then, and who
    was called must not count for two campaigns at once. `contacted`: the day somebody first tried to reach them in it, or null.
    """
    from churn.act import _campaign_rows as rows
    from churn.base.records import utc

    day = today or datetime.now(UTC).date()
    if connection is None:
        with records.read() as reading:
            found = rows.engaged(reading, records.workspace)
    else:
        found = rows.engaged(connection, records.workspace)

    def still(row: Any) -> bool:
        return bool(row.status != FINISHED or day < (row.started or row.made).date() + timedelta(days=row.horizon_days))

    listed = [(row.customer, row.campaign, row.arm, still(row), row.contacted and utc(row.contacted).date()) for row in found]
    return pl.DataFrame(listed, schema=ENGAGED, orient="row")


def read(records: Records, connection: Any, id: str, *, lock: bool = False) -> Campaign:
    """A campaign within a transaction; with `lock`, nobody else changes it before the end of it. Raises CampaignRefused."""
    from churn.act import _campaign_rows as rows

    row = rows.campaign(connection, records.workspace, id, lock=lock)
    if row is None:
        there = sorted(one.id for one in rows.campaigns(connection, records.workspace) if one.status != DROPPED)
        named = f"there are: {', '.join(there[:10])}" if there else "there is none yet; start one from a call list"
        raise CampaignRefused(f"there is no campaign {id!r}; {named}")
    if row.status == DROPPED:
        raise CampaignRefused(f"campaign {row.name!r} was dropped; there is nothing of it but its history")
    sizes = [(of.arm, of.stage, of.members) for of in rows.sizes(connection, records.workspace) if of.campaign == id]
    return _campaign(row, sizes)


def member_values(row: Any) -> tuple[Any, ...]:
    """A row of the database in the order of `MEMBERS`."""
    from churn.base.records import utc

    return tuple(row.contacted and utc(row.contacted) if name == "contacted" else getattr(row, name) for name in MEMBERS)


# -- inside --------------------------------------------------------------------


def _members(
    listed: pl.DataFrame, groups: pl.DataFrame | None, salt: str, share: float, before: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The rows of a list, with the arm drawn for each."""
    listed = listed.rename({RISK: "risk"}) if RISK in listed.columns else listed
    missing = [name for name in _NEEDED if name not in listed.columns]
    if missing:
        raise CampaignRefused(f"a list has a column {missing[0]!r}; this one has {', '.join(map(repr, listed.columns))}")
    if listed.is_empty():
        raise CampaignRefused("a campaign needs customers; the list has none")
    twice = listed["customer"].filter(listed["customer"].is_duplicated())
    if len(twice):
        raise CampaignRefused(f"customer {twice[0]!r} is in the list more than once")
    arms = draw(listed["customer"], listed["band"], salt=salt, share=share, before=before)
    kept: dict[str, str] = {}
    if groups is not None:
        kept = {
            row.pop("customer"): _json({name: label for name, label in row.items() if label is not None})
            for row in groups.iter_rows(named=True)
        }
    named = [name for name in (*LISTED, "due") if name in listed.columns]
    return [
        {
            **dict.fromkeys((*LISTED, "due")),
            **row,
            "arm": arm,
            "stage": TO_CALL,
            "version": 1,
            "groups": kept.get(row["customer"], "{}"),
        }
        for row, arm in zip(listed.select(named).iter_rows(named=True), arms, strict=True)
    ]


def _refuse_engaged(members: list[dict[str, Any]], engaged: pl.DataFrame, now: datetime) -> None:
    """Nobody is in two open campaigns: what the one does would be measured as the other's."""
    busy = dict(engaged.filter("open").select("customer", "campaign").iter_rows())
    taken = [row["customer"] for row in members if row["customer"] in busy]
    if taken:
        more = f", and {len(taken) - 1:,} more are in open ones" if len(taken) > 1 else ""
        raise CampaignRefused(f"customer {taken[0]!r} is in the open campaign {busy[taken[0]]!r}{more}; make the list anew")


def _move(
    records: Records, id: str, here: Status, there: Status, stamp: str, who: str, source: Source, at: datetime | None
) -> Campaign:
    now = at or datetime.now(UTC)
    with records.begin() as connection:
        found = read(records, connection, id, lock=True)
        if found.status != here:
            raise CampaignRefused(f"campaign {found.name!r} is {found.status}; only one that is {here} can be {stamp}")
        since, was = (found.made, "drawn") if found.started is None else (found.started, "started")
        if now.date() < since.date():  # outcomes count from the start on, and nobody was picked before the draw
            raise CampaignRefused(
                f"campaign {found.name!r} was {was} on {words.day(since.date())}; it cannot have been {stamp} before that, on "
                f"{words.day(now.date())}"
            )
        _advance(records, connection, found, {"status": there, stamp: now})
        _note(records, connection, id, "status", here, there, who, source, now, found.version + 1)
    return find(records, id)


def _advance(records: Records, connection: Any, found: Campaign, values: Mapping[str, Any]) -> None:
    from churn.act import _campaign_rows as rows

    if not rows.change_campaign(connection, records.workspace, found.id, found.version, values):
        raise RecordsConflict(f"somebody else changed campaign {found.name!r} first; nothing was kept. Look at it again")


def _note(
    records: Records,
    connection: Any,
    id: str,
    field: str,
    before: str | None,
    after: str | None,
    who: str,
    source: Source,
    at: datetime,
    version: int | None,
) -> None:
    """Add a line about the campaign itself to its history."""
    from churn.act import _campaign_rows as rows

    event = {"campaign": id, "customer": None, "field": field, "before": before, "after": after, "who": who}
    more = {"at": at, "source": source, "edit": uuid.uuid4().hex, "version": version}
    rows.add_events(connection, records.workspace, [event | more])


def _campaign(row: Any, sizes: Iterable[tuple[str, str, int]]) -> Campaign:
    from churn.base.records import utc

    found = list(sizes)
    stages = {stage: sum(number for arm, at, number in found if arm == CALL and at == stage) for stage in STAGES}
    return Campaign(
        id=row.id,
        name=row.name,
        status=row.status,
        version=row.version,
        salt=row.salt,
        holdout_share=row.holdout_share,
        model=row.model,
        scoring=row.scoring,
        as_of=row.as_of,
        horizon_days=row.horizon_days,
        filter=Filter.of(dict(json.loads(row.filter))),
        assumptions=Assumptions(**json.loads(row.assumptions)),
        plan=json.loads(row.plan),
        who=row.who,
        made=utc(row.made),
        started=row.started and utc(row.started),
        finished=row.finished and utc(row.finished),
        stages=stages,
        held_out=sum(number for arm, _, number in found if arm == HOLDOUT),
    )


def _free_id(name: str, taken: set[str]) -> str:
    """An id made of a name: "Autumn save" → `autumn-save`, and `autumn-save-2` where that is taken."""
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    start = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_ID].strip("-") or "campaign"
    return next(id for number in count(1) if (id := start if number == 1 else f"{start}-{number}") not in taken)


def _sizes(members: Iterable[Mapping[str, Any]]) -> str:
    arms = [row["arm"] for row in members]
    return _json({arm: arms.count(arm) for arm in (CALL, HOLDOUT)})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

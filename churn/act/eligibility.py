"""Who may be called: everybody of the base, less those for whom a reason speaks against it, counted in a fixed order.

The reasons come from four places: the scoring's contact data (consent, do-not-contact, phone), the database (who is in a
campaign, was called lately, or is kept uncalled so that calling can be measured), outcomes (who is gone), and a table of
suppressed customers that the settings name. A source that ought to be there and is not, or is out of date, stops the list: a list
without it would call people who must not be called.

A phone is what is called, so whoever shares one with somebody who must not be called is not called either, and of several
customers with one phone only the best placed is.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn import words
from churn.act._kept import kept
from churn.base.snapshot import CONTACTS, ROWS, Pool, Snapshot
from churn.data import s3, values
from churn.data.contacts import households
from churn.data.disk import disk
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.errors import DataError, NotInStore, SourceError, SuppressionStops
from churn.settings import Settings

# In the order they are counted: who has several reasons counts under the first.
DO_NOT_CONTACT: Final = "do not contact"
SUPPRESSED: Final = "suppressed"
NO_CONSENT: Final = "no consent"
RECENT: Final = "recent"
IN_CAMPAIGN: Final = "campaign"
IN_HOLDOUT: Final = "holdout"
GONE: Final = "gone"
NO_PHONE: Final = "no phone"
NO_WORTH: Final = "no worth"
SAME_PHONE: Final = "same phone"
UNLIKE: Final = "unlike"  # those of the campaign that a ranking is learnt from; counted where there is such a ranking
REASONS: Final = (
    *(DO_NOT_CONTACT, SUPPRESSED, NO_CONSENT, RECENT, IN_CAMPAIGN),
    *(IN_HOLDOUT, GONE, NO_PHONE, NO_WORTH, SAME_PHONE),
)
NOT_SCORED: Final = "not scored"  # of a customer of an earlier list: no longer in the base, so nothing is known of them today
# What speaks against a call whenever it becomes known; the other reasons are about being put on a list.
WITHDRAWS: Final = (DO_NOT_CONTACT, SUPPRESSED, NO_CONSENT, GONE)
_BIT: Final = {reason: np.uint16(1 << place) for place, reason in enumerate(REASONS)}
_SHARED: Final = (DO_NOT_CONTACT, SUPPRESSED, RECENT, IN_CAMPAIGN, IN_HOLDOUT)  # of a phone, not only of a customer
NOBODY: Final = np.uint32(2**32 - 1)  # the household of whoever has no phone
_FORMAT = 1  # of the file in the cache
_LOOKED_AT, _ZEROS = 200, 12  # unknown keys that are tried with other zeros in front, and how many

Flags = NDArray[np.uint16]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many customers are left out for a reason, one of `REASONS`, `UNLIKE` or `NOT_SCORED`; each is counted once."""

    reason: str
    customers: int

    def in_words(self, recent_days: int = 0) -> str:
        """`Contacted in the last 30 days`."""
        return words.say(f"left out {self.reason}", days=words.counted(recent_days, "day"))


@dataclass(frozen=True, eq=False, slots=True)
class People:
    """What contact data says of everybody, in the order of the base, without any of it.

    `flags`: uint16 [n], a bit for each reason; `household`: uint32 [n], equal where the phone is, `NOBODY` without one;
    `phones`: whether the table has phones at all: without, everybody counts as reachable.
    """

    flags: Flags
    household: NDArray[np.uint32]
    phones: bool


@dataclass(frozen=True, eq=False, slots=True)
class Standing:
    """Which reasons speak against whom, in the order of the base; `recent_days` is what "lately" means."""

    flags: Flags
    people: People
    recent_days: int


@dataclass(frozen=True, eq=False, slots=True)
class Candidates:
    """Those of a filter who may be called, and how many may not, by reason in the fixed order.

    `household`: uint32 [n], equal for those of them who share a phone, `NOBODY` for everybody else. `sharing`: the indices of
    those who share one, household after household, and where in that each household begins.
    Whoever shares a phone is still in it: which of them is best is known once they are ranked.
    """

    pool: Pool
    household: NDArray[np.uint32]
    sharing: tuple[NDArray[np.int64], NDArray[np.int64]]
    left_out: tuple[LeftOut, ...]
    asked: int

    def behind(self, better: NDArray[np.float64]) -> NDArray[np.int64]:
        """The indices of those who share a phone with somebody who is placed better, rising.

        `better`: float64 [n], higher for whoever is placed better; of equals the first is, and NaN is behind everybody.
        """
        who, starts = self.sharing
        if not len(who):
            return who
        own = better[who]
        sizes = np.diff(starts, append=len(who))
        best = np.repeat(np.fmax.reduceat(own, starts), sizes)
        leads = np.flatnonzero((own == best) | np.isnan(best))
        house = np.repeat(np.arange(len(starts)), sizes)[leads]
        return np.sort(np.delete(who, leads[np.append(True, np.diff(house) > 0)]))


# -- what contact data says --------------------------------------------------------------------------------------------------


def people(folder: Path, snapshot: Snapshot, settings: Settings) -> People:
    """Read the contact data of the scoring in `folder` once and keep what follows from it in the cache.

    Raises
    ------
    DataError: the schema names contact columns and the scoring has none: nobody knows who must not be called.
    StoreUnavailable: the disk refuses.
    """
    schema = snapshot.schema
    named = [column for column in (schema.contacts.phone, schema.contacts.consent, schema.contacts.do_not_contact) if column]
    if not named:
        nothing = np.zeros(snapshot.customers, dtype=np.uint16)
        return People(nothing, np.full(snapshot.customers, NOBODY, dtype=np.uint32), phones=False)
    files = json.dumps({name: snapshot.facts["files"].get(name, {}) for name in (ROWS, CONTACTS)}, sort_keys=True)
    digest = uuid.uuid5(uuid.NAMESPACE_OID, f"{files} {schema.contacts.model_dump_json()}").hex[:16]
    path = settings.path("cache") / "people" / f"{snapshot.facts['run']}-{digest}-{_FORMAT}.npz"

    def work() -> dict[str, NDArray[Any]]:
        made = _read(folder, snapshot, named)
        return {"flags": made.flags, "household": made.household}

    found = kept(path, work)
    return People(found["flags"], found["household"], phones=bool(schema.contacts.phone))


def _read(folder: Path, snapshot: Snapshot, named: Sequence[str]) -> People:
    schema, path = snapshot.schema, folder / CONTACTS
    if not path.exists():
        raise DataError(
            f"scoring {snapshot.id} has no contact data, though the schema names column {named[0]!r}: who must not be called is "
            "not known. Score the base again from a table that has it"
        )
    with disk(path, "read"):
        there = set(pl.read_parquet_schema(path))
        for column in named:
            if column not in there:
                raise DataError(f"the contact data of scoring {snapshot.id} lacks column {column!r}, which the schema names")
        contacts = pl.read_parquet(path, columns=[schema.key, *dict.fromkeys(named)])
        keys = pl.read_parquet(folder / ROWS, columns=[schema.key])
    if contacts.height != keys.height or not contacts[schema.key].equals(keys[schema.key]):
        contacts = keys.join(contacts, on=schema.key, how="left", maintain_order="left")
    flags = np.zeros(keys.height, dtype=np.uint16)
    roles = schema.contacts
    if roles.do_not_contact:
        flags[_forbids(contacts[roles.do_not_contact]).to_numpy()] |= _BIT[DO_NOT_CONTACT]
    if roles.consent:
        flags[~_allows(contacts[roles.consent]).to_numpy()] |= _BIT[NO_CONSENT]
    household = np.full(keys.height, NOBODY, dtype=np.uint32)
    if roles.phone:
        numbers = households(contacts[roles.phone], roles.country)
        household = numbers.fill_null(int(NOBODY)).to_numpy().astype(np.uint32)
        flags[household == NOBODY] |= _BIT[NO_PHONE]
    return People(flags, household, phones=bool(roles.phone))


def _allows(consent: pl.Series) -> pl.Series:
    """Whether consent was given: said in so many words, for nothing else is."""
    return values.as_text(consent).str.strip_chars().str.to_lowercase().is_in(list(values.YES)).fill_null(False)


def _forbids(do_not_contact: pl.Series) -> pl.Series:
    """Whether somebody asked not to be contacted: anything said there but no."""
    text = values.as_text(do_not_contact).str.strip_chars().str.to_lowercase()
    return ~(text.is_in(list(values.NO)) | (text == "")).fill_null(True)


# -- who must not be called now ------------------------------------------------------------------------------------------------


def standing(
    snapshot: Snapshot,
    known: People,
    settings: Settings,
    *,
    engaged: pl.DataFrame | None = None,
    gone: pl.Series | None = None,
    suppressed: pl.Series | None = None,
    today: date | None = None,
) -> Standing:
    """Put together all that speaks against calling anybody of the base.

    Parameters
    ----------
    engaged: who is in a campaign, as `churn.act.campaigns.engaged` gives it: `customer`, `arm` (`call` or `holdout`), `open`,
        `contacted` (date, or null).
    gone: keys of customers who are known to have left since.
    suppressed: keys that the suppression table names, from `suppression`.
    today: what "lately" counts back from; the day it is unless given.
    """
    flags = known.flags.copy()
    if suppressed is not None:
        flags[snapshot.places(suppressed)] |= _BIT[SUPPRESSED]
    if engaged is not None and engaged.height:
        since = (today or datetime.now(UTC).date()) - timedelta(days=settings.contact_days)
        open_, call = pl.col("open"), pl.col("arm") == "call"
        for reason, condition in (
            (RECENT, pl.col("contacted") > since),
            (IN_CAMPAIGN, open_ & call),
            (IN_HOLDOUT, open_ & ~call),
        ):
            flags[snapshot.places(engaged.filter(condition)["customer"])] |= _BIT[reason]
    flags[snapshot.gone()] |= _BIT[GONE]
    if gone is not None and len(gone):
        flags[snapshot.places(gone)] |= _BIT[GONE]
    return Standing(_spread(flags, known.household), known, settings.contact_days)


def _spread(flags: Flags, household: NDArray[np.uint32]) -> Flags:
    """What speaks against a phone speaks against everybody who has it."""
    shared = np.uint16(sum(int(_BIT[reason]) for reason in _SHARED))
    theirs = flags & shared
    marked = np.flatnonzero((theirs != 0) & (household != NOBODY))
    if not len(marked):
        return flags
    phones = np.zeros(int(household[household != NOBODY].max()) + 1, dtype=np.uint16)
    np.bitwise_or.at(phones, household[marked], theirs[marked])
    reached = household != NOBODY
    flags[reached] |= phones[household[reached]]
    return flags


def candidates(standing: Standing, pool: Pool, *, needs_worth: bool) -> Candidates:
    """Those of a filter who may be called; `needs_worth`: whether somebody of whom no money is known is left out."""
    flags = standing.flags[pool.places]
    if needs_worth and pool.money is not None:
        unknown = np.isnan(pool.money)
        flags = flags | np.where(unknown, _BIT[NO_WORTH], np.uint16(0))
    left_out = []
    for reason in REASONS[:-1]:
        bit = int(_BIT[reason])
        # the lowest bit that is set is the first reason
        left_out.append(LeftOut(reason, int(np.count_nonzero((flags & -flags.astype(np.int32)) == bit))))
    fine = flags == 0
    household = _shared(standing.people.household[pool.places[fine]])
    money = None if pool.money is None else pool.money[fine]
    sharing = np.flatnonzero(household != NOBODY)
    sharing = sharing[np.argsort(household[sharing], kind="stable")]
    starts = np.flatnonzero(np.diff(household[sharing].astype(np.int64), prepend=-1))
    kept = Pool(pool.places[fine], pool.risk[fine], money)
    return Candidates(kept, household, (sharing, starts), tuple(left_out), len(pool.places))


def withdrawn(standing: Standing, snapshot: Snapshot, customers: pl.Series) -> dict[str, str]:
    """Who of a list made earlier must not be called any more: customer → the first reason of `WITHDRAWS` that holds by now.

    `customers`: their keys. Of somebody who is no longer in the base nobody knows it, so `NOT_SCORED` speaks against them.
    """
    places = snapshot.places(customers)
    flags = standing.flags[places]
    first = np.full(len(places), len(WITHDRAWS))
    for place, reason in reversed(list(enumerate(WITHDRAWS))):
        first[(flags & _BIT[reason]) != 0] = place
    keys = snapshot.rows(places)[snapshot.schema.key].cast(pl.String).to_list()
    now = dict(zip(keys, first.tolist(), strict=True))
    reasons = dict(enumerate((*WITHDRAWS, None)))
    found = {key: reasons[now[key]] if key in now else NOT_SCORED for key in customers.cast(pl.String).to_list()}
    return {key: reason for key, reason in found.items() if reason is not None}


def counted(found: Mapping[str, str]) -> tuple[LeftOut, ...]:
    """How many are left out for each reason there is, in the fixed order. `found`: customer → reason."""
    counts = Counter(found.values())
    return tuple(LeftOut(reason, counts[reason]) for reason in (*REASONS, NOT_SCORED) if counts[reason])


def _shared(household: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Households of at least two, numbered anew from 0; whoever is alone in one is in none."""
    known = np.flatnonzero(household != NOBODY)
    own = household[known]
    several = np.bincount(own)[own] > 1 if len(own) else np.zeros(0, dtype=np.bool_)
    found = np.full(len(household), NOBODY)
    found[known[several]] = np.unique(own[several], return_inverse=True)[1]
    return found


# -- the suppression table -----------------------------------------------------------------------------------------------------


def suppression(settings: Settings, schema: Schema, now: datetime | None = None) -> pl.Series | None:
    """The keys that the table of the setting `suppression` names; None where the settings name no table.

    Raises
    ------
    SuppressionStops: the table is missing, cannot be read, lacks the key, or is older than `suppression_days`.
    """
    place = settings.suppression
    if not place:
        return None
    try:
        place, written = _written(place, settings)
        table = read_table(place, settings=settings, query=settings.suppression_query or None)
    except (SourceError, NotInStore) as error:
        raise SuppressionStops(f"no list is made: the table of setting 'suppression' cannot be read: {error}") from error
    if schema.key not in table.columns:
        raise SuppressionStops(
            f"no list is made: {place}, the table of setting 'suppression', lacks the key column {schema.key!r}; it has "
            f"{', '.join(map(repr, table.columns[:10]))}"
        )
    now = now or datetime.now(UTC)
    if written is not None and now - written > timedelta(days=settings.suppression_days):
        age = now - written
        told = words.counted(age.days, "day") if age.days else words.counted(age // timedelta(hours=1), "hour")
        raise SuppressionStops(
            f"no list is made: {place}, the table of setting 'suppression', is {told} old; setting "
            f"'suppression_days' allows {settings.suppression_days:g} {words.plural('day', settings.suppression_days)}"
        )
    return values.keys(table[schema.key])


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many `keys` a suppression table has, and how many of them are `customers` of the base; `zeros`: whether others would be
    with other zeros in front."""

    keys: int
    customers: int
    zeros: bool

    def doubt(self) -> str | None:
        """Why the table may not be what it is taken for; None where nothing speaks against it."""
        if self.customers and not self.zeros:
            return None
        known = f"{words.count(self.customers) if self.customers else 'none'} {'is' if self.customers < 2 else 'are'}"
        template = "suppression zeros" if self.zeros else "suppression strangers"
        return words.say(template, keys=words.counted(self.keys, "customer number"), known=known)


def coverage(suppressed: pl.Series, snapshot: Snapshot) -> Coverage:
    """How far a suppression table, as `suppression` gives it, is about the customers of the base.

    A table of which no key is known protects nobody, whatever the reason; most often a spreadsheet has dropped leading zeros.
    """
    keys = suppressed.drop_nulls().unique()
    places = snapshot.places(keys)
    known = snapshot.rows(places)[snapshot.schema.key].cast(pl.String)
    others = keys.filter(~keys.is_in(known.to_list()) & keys.str.contains(r"^\d+$")).head(_LOOKED_AT).to_list()
    spelt = {"0" * zeros + bare for key in others for zeros in range(_ZEROS + 1) if (bare := key.lstrip("0"))} - set(others)
    return Coverage(len(keys), len(places), zeros=len(snapshot.places(pl.Series(sorted(spelt), dtype=pl.String))) > 0)


def _written(place: str, settings: Settings) -> tuple[str, datetime | None]:
    """The place, whole, and when the file there was written; None for a database, which is as new as its answer."""
    if place.startswith("s3://"):
        return place, s3.written(place, settings)
    if re.match(r"^[A-Za-z][A-Za-z0-9_+]*://", place) and not place.startswith("file://"):
        return place, None
    path = settings.home / Path(place.removeprefix("file://")).expanduser()
    try:
        return str(path), datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error

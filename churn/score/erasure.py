"""One customer forgotten: taken out of all that the desk keeps, with a receipt of what was rewritten and what cannot be reached.

First a stone is set (`churn.score.forgotten`), from which on no scoring, log or import takes the customer in. Then each place is
rewritten under a condition, so that whoever reads or writes there meanwhile sees it before or after. Every step can be done again
and finds nothing the second time: an erasure that was killed is finished by starting it once more, and its receipt counts both.

What is published stays what it is but for the customer: a scoring loses a row in each of its files and gets new sums in its
manifest in one write; the pointer is written anew, to the same pair, so that desks that run open it afresh.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from churn import words
from churn.base import erasure as records_of
from churn.base.points import HUNDREDTHS
from churn.base.records import FILE, Records
from churn.base.snapshot import CONTACTS, HISTORY, POINTS, ROWS, SAMPLED
from churn.data import values
from churn.data.holdout import CUSTOMER, key_hash
from churn.data.schema import Schema
from churn.errors import (
    BundleRejected,
    ChurnError,
    DataError,
    NotInStore,
    RecordsUnavailable,
    StoreConflict,
    StoreDamaged,
    in_words,
)
from churn.model import manifest
from churn.model.bundle import OUT_OF_FOLD, Bundle
from churn.model.registry import Registry
from churn.model.store import Store, disk
from churn.score import batch, forgotten, log, outcomes, quarantine
from churn.settings import Settings

Progress = Callable[[str, int, int], None]
_FORMAT = 1
_TRIES = 5  # of a write that somebody else got in before
_PASSES = 3  # over what others may be writing meanwhile
_PLACES = {  # what is counted there, one and many
    "log": ("logged prediction", "logged predictions"),
    "scorings": ("scoring", "scorings"),
    "models": ("model's out-of-fold predictions", "models' out-of-fold predictions"),
    "outcomes": ("outcome", "outcomes"),
    "quarantine": ("batch held back", "batches held back"),
    "scenarios": ("scenario", "scenarios"),
    "campaigns": ("campaign", "campaigns"),
    "history": ("line of history", "lines of history"),
    "cache": ("file in this machine's cache", "files in this machine's cache"),
}
_STAYS = (
    "Counts per day (sketches, and the figures of scorings such as limits of groups and how pairs of columns matter): "
    "they tell of no single customer.",
    "Samples of rows inside models (reference, holdout): they have no key, so one customer's row cannot be told from another's.",
    "What models have learnt: none of them holds a row of the customer.",
    "In campaigns: arm, stage and risk, under a pseudonym, so that what calling changed stays true.",
)
_OUT_OF_REACH = (
    "Backups of the database (churn db backup) and of the store, and old versions that a bucket keeps.",
    "The tables that customers come from; what is scored from them leaves this customer out.",
    "Caches of other machines, which drop the old rows when they open the desk again; or delete their folder `cache`.",
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an erasure did; `customer` is the salted hash of the key, which the receipt does not name.

    `found`: how many of each kind of thing were taken out or rewritten, by place (`log`, `scorings` …); of a dry run, would be.
    `earlier`: when it had been finished before, if it had; `since`: of what was found, what only this time.
    `stays`: what is kept and why. `unreached`: what may hold the customer and cannot be reached from here.
    `problems`: what could not be done; the erasure is not finished then, and is to be started again.
    """

    customer: str
    started: datetime
    finished: datetime | None
    who: str
    reason: str
    found: Mapping[str, int] = field(default_factory=dict)
    stays: tuple[str, ...] = _STAYS
    unreached: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    dry: bool = False
    earlier: datetime | None = None
    since: Mapping[str, int] = field(default_factory=dict)
    again: bool = False  # whether the customer had been forgotten, or begun to be, before

    @property
    def sentence(self) -> str:
        """What was done, in one sentence."""
        counted = self.since if self.earlier else self.found
        told = [f"{words.count(number)} {_PLACES[place][number != 1]}" for place, number in counted.items() if number]
        if self.dry:
            return (
                f"Would be rewritten or removed: {words.sentence_list(told)}." if told else "There is nothing of this customer."
            )
        if self.problems:
            return f"Not finished: {words.counted(len(self.problems), 'place')} could not be rewritten. Start it again."
        if self.earlier:
            before = f"Already forgotten on {words.day(self.earlier.date())}; "
            return (
                f"{before}found since, and rewritten or removed: {words.sentence_list(told)}."
                if told
                else f"{before}nothing was found."
            )
        if not told:
            return "There was nothing of this customer; from now on they are left out."
        return f"Forgotten. Rewritten or removed: {words.sentence_list(told)}."

    def to_dict(self) -> dict[str, Any]:
        moments = {"started": self.started, "finished": self.finished, "earlier": self.earlier}
        times = {name: moment.isoformat() if moment else None for name, moment in moments.items()}
        counts = {"found": dict(self.found), "since": dict(self.since)}
        return {"format": _FORMAT, **asdict(self), **times, **counts, "sentence": self.sentence}


def forget(
    key: str,
    store: Store,
    registry: Registry,
    records: Records,
    settings: Settings,
    *,
    who: str,
    reason: str = "",
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Receipt:
    """Take one customer out of everything, and keep them out.

    Parameters
    ----------
    key: as tables spell it.
    dry_run: only look, and change nothing.

    Raises
    ------
    DataError: the key is empty. StoreUnavailable, WorkspaceMixed: the store is away or not this workspace's; what was done stays
        done, and the same call finishes it. What goes wrong in one place only is in the receipt's `problems`.
    """
    key = str(values.keys(pl.Series([key]))[0]).strip()
    if not key:
        raise DataError("a key must not be empty")
    registry.pointer()  # refuses another workspace's store before anything is written
    return _Erasure(key, store, registry, records, settings, dry_run, progress or _silent).run(who, reason)


def receipt(store: Store, key: str) -> Receipt | None:
    """What is known of the erasure of a customer; None where they were never forgotten. Raises StoreDamaged."""
    gone = forgotten.of(store)
    return _read_receipt(store, forgotten.stone(key, gone.salt)) if key in gone else None


def unfinished(store: Store) -> tuple[Receipt, ...]:
    """Erasures that were begun and are not finished, by when they began. Raises StoreDamaged."""
    found = (_read_receipt(store, forgotten.place(one)) for one in forgotten.of(store).hashes)
    return tuple(sorted((one for one in found if one.finished is None), key=lambda one: one.started))


class _Erasure:
    """One erasure at work: what it has found so far, and what went wrong."""

    def __init__(
        self,
        key: str,
        store: Store,
        registry: Registry,
        records: Records,
        settings: Settings,
        dry: bool,
        progress: Progress,
    ) -> None:
        self.key, self.store, self.registry, self.records, self.settings, self.dry = key, store, registry, records, settings, dry
        self.progress = progress
        self.found: dict[str, int] = {}
        self.problems: list[str] = []
        self.unreached: list[str] = []
        self.bundles: dict[str, Bundle] = {}
        self.runs: set[str] = set()  # of scorings that were rewritten
        self.unasked = False  # whether the database could not be asked

    def run(self, who: str, reason: str) -> Receipt:
        now = datetime.now(UTC)
        before = None
        salt = forgotten.of(self.store).salt if self.dry else forgotten.salt(self.store)
        stone = forgotten.stone(self.key, salt)
        if not self.dry:
            before = self._set_stone(stone, Receipt(forgotten.hashed(self.key, salt), now, None, who, reason))
        made = before or Receipt(forgotten.hashed(self.key, salt), now, None, who, reason)
        unfinished = before is not None and before.finished is None
        self.pseudonym = forgotten.pseudonym(self.key, salt)
        kept = self._kept()
        member = kept is not None and bool(kept.campaigns)
        steps: list[tuple[str, Callable[[], None]]] = [
            ("Prediction log", self._log),
            ("Scorings", self._scorings),
            ("Models", self._models),
            ("Outcomes", lambda: self._outcomes(member=member)),
            ("Quarantine", self._quarantine),
            ("Database", lambda: self._database(kept)),
            ("What came meanwhile", self._meanwhile),
            ("Desks that run", lambda: self._touch(who, always=unfinished)),
            ("Caches", lambda: self._caches(always=unfinished)),
        ]
        for place, (doing, step) in enumerate(steps):
            self.progress(doing, place, len(steps))
            self._tried(step)
            if not self.dry:  # so that a receipt counts what was done before a kill
                self._note(stone, made)
        self._unreached(kept)
        self.progress("Done", len(steps), len(steps))
        return self._note(stone, made, datetime.now(UTC), again=before is not None)

    # -- the stone and the receipt -------------------------------------------

    def _set_stone(self, stone: str, first: Receipt) -> Receipt | None:
        """Let the customer count as forgotten from now on; the receipt of an erasure begun before, if there is one."""
        try:
            self.store.write(stone, _dump(first), if_absent=True)
        except StoreConflict:
            return _read_receipt(self.store, stone)
        return None

    def _note(self, stone: str, made: Receipt, finished: datetime | None = None, *, again: bool = False) -> Receipt:
        """The receipt so far, kept in the store unless nothing is to be changed. A finished one stays so until more is found."""
        since = {place: self.found[place] for place in _PLACES if self.found.get(place)}
        if not since:
            finished = made.finished or finished
        found = {place: made.found.get(place, 0) + self.found.get(place, 0) for place in {**made.found, **self.found}}
        noted = replace(
            made,
            found={place: found[place] for place in _PLACES if found.get(place)},
            unreached=tuple(self.unreached),
            problems=tuple(dict.fromkeys(self.problems)),
            finished=None if self.problems or self.dry else finished,
            earlier=made.finished,
            since=since,
            dry=self.dry,
            again=again,
        )
        if not self.dry:
            self.store.write(stone, _dump(noted))
        return noted

    def _tried(self, step: Callable[..., None], *given: Any) -> None:
        """Do a step; what goes wrong with it alone does not keep the others from being done."""
        try:
            step(*given)
        except (BundleRejected, NotInStore, StoreConflict, StoreDamaged, RecordsUnavailable) as error:
            self.problems.append(str(error))

    def _count(self, place: str, number: int = 1) -> None:
        self.found[place] = self.found.get(place, 0) + number

    # -- the store -----------------------------------------------------------

    def _log(self) -> None:
        for entry in self.store.list(log.PREFIX):
            if entry.key.endswith(".parquet"):
                self._tried(self._rewritten, entry.key, log.KEY, "log")

    def _outcomes(self, *, member: bool) -> None:
        """A member's outcome stays under the pseudonym, for what a campaign changed rests on it; whether they are one has to be
        known, or nothing is done."""
        if self.unasked:
            return
        for entry in self.store.list(outcomes.PREFIX):
            if entry.key.endswith(".parquet"):
                self._tried(self._rewritten, entry.key, outcomes.KEY, "outcomes", self.pseudonym if member else None)

    def _rewritten(self, name: str, column: str, place: str, into: str | None = None) -> None:
        """Take the customer's rows out of a parquet object, or, with `into`, give them another key."""
        for _ in range(_TRIES):
            try:
                blob = self.store.read(name)
            except NotInStore:  # compacted or expired meanwhile
                return
            theirs = _column(blob.data, column, f"{self.store.address}/{name}").eq_missing(self.key)
            rows = int(theirs.sum())
            if not rows:
                return
            if self.dry:
                break
            table = pl.read_parquet(io.BytesIO(blob.data))
            changed = table.filter(~theirs) if into is None else table.with_columns(table[column].set(theirs, into))
            try:
                self.store.write(name, _parquet(changed), if_match=blob.etag)
            except StoreConflict:
                continue
            break
        else:
            raise StoreConflict(f"{self.store.address}/{name} is being changed all the time; start the erasure again")
        self._count(place, rows)

    def _scorings(self) -> None:
        for info in self.registry.scorings():
            if info.problem:
                self.problems.append(info.problem)
            else:
                self._tried(self._scoring, info.id, info.facts)

    def _scoring(self, id: str, facts: Mapping[str, Any]) -> None:
        if not self.dry:
            self.registry.clear("scoring", id)
        data = self._file("scoring", id, facts, ROWS)
        rows = pl.read_parquet(io.BytesIO(data))
        key = rows.columns[0]  # the first that a scoring writes
        theirs = rows[key].cast(pl.String).eq_missing(self.key)
        if not theirs.any():
            return
        self._count("scorings")
        if self.dry:
            return
        bundle = self._bundle(str(facts["model"]))
        tables = {ROWS: rows}
        for name in (POINTS, HISTORY, CONTACTS):
            if name in facts["files"]:
                tables[name] = pl.read_parquet(io.BytesIO(self._file("scoring", id, facts, name)))
        kept = {name: table.filter(~theirs) for name, table in tables.items() if name != CONTACTS}
        if CONTACTS in tables:
            kept[CONTACTS] = tables[CONTACTS].filter(pl.col(key).cast(pl.String).ne_missing(self.key))
        changed = {
            **batch.figures(kept[ROWS], bundle.schema, facts["calibration_covariance"]),
            **_averages(facts, tables.get(POINTS), theirs, bundle.schema),
        }
        with tempfile.TemporaryDirectory(prefix="churn-") as place:
            folder = Path(place)
            with disk(folder, "written"):
                for name, table in kept.items():
                    table.write_parquet(folder / name, compression="zstd", row_group_size=122_880)
            self.registry.rewrite("scoring", id, dict(facts), folder, list(kept), **changed)
        self.runs.add(str(facts["run"]))

    def _models(self) -> None:
        for info in self.registry.versions():
            if info.problem:
                self.problems.append(info.problem)
            elif OUT_OF_FOLD in info.facts["files"] and "holdout_salt" in info.metrics:
                self._tried(self._model, info.version, info.facts, str(info.metrics["holdout_salt"]))

    def _model(self, version: str, facts: Mapping[str, Any], salt: str) -> None:
        if not self.dry:
            self.registry.clear("model", version)
        seen = pl.read_parquet(io.BytesIO(self._file("model", version, facts, OUT_OF_FOLD)))
        theirs = seen[CUSTOMER] == key_hash(self.key, salt) if CUSTOMER in seen.columns else pl.Series([False])
        if not theirs.any():
            return
        self._count("models")
        if self.dry:
            return
        with tempfile.TemporaryDirectory(prefix="churn-") as place:
            folder = Path(place)
            with disk(folder, "written"):
                seen.filter(~theirs).write_parquet(folder / OUT_OF_FOLD, compression="zstd")
            self.registry.rewrite("model", version, dict(facts), folder, [OUT_OF_FOLD])

    def _quarantine(self) -> None:
        names = {bundle.schema.key for bundle in self._all_bundles()}
        for held in quarantine.batches(self.store):
            self._tried(self._held, held, names)

    def _held(self, held: quarantine.Held, keys: set[str]) -> None:
        table = quarantine.table(self.store, held)
        theirs = pl.repeat(False, table.height, eager=True, dtype=pl.Boolean)
        for name in keys.intersection(table.columns):
            theirs = theirs | (values.keys(table[name]) == self.key).fill_null(value=False)
        if not theirs.any():
            return
        self._count("quarantine")
        if not self.dry:
            quarantine.rewrite(self.store, held, table.filter(~theirs), self.key)

    def _meanwhile(self) -> None:
        """What a run that had begun before the stone was set has written since."""
        for _ in range(0 if self.dry else _PASSES):
            before = dict(self.found)
            self._log()
            self._scorings()
            if self.found == before:
                return

    # -- beside the store ----------------------------------------------------

    def _kept(self) -> records_of.Kept | None:
        """What the database has of the customer, or has by now under the pseudonym; None where there is none."""
        try:
            if self.records.status().format is None:
                return None
            kept, before = (records_of.look(self.records, name) for name in (self.key, self.pseudonym))
        except ChurnError as error:
            self.problems.append(str(error))
            self.unasked = True
            return None
        files = dict.fromkeys((*kept.files, *before.files))
        return replace(kept, campaigns=tuple(sorted({*kept.campaigns, *before.campaigns})), files=tuple(files))

    def _database(self, kept: records_of.Kept | None) -> None:
        if kept is None:
            return
        kept = records_of.look(self.records, self.key)
        if not self.dry and (kept.scenarios or kept.campaigns or kept.events):
            kept = records_of.erase(self.records, self.key, self.pseudonym)
        for place, number in (("scenarios", kept.scenarios), ("campaigns", len(kept.campaigns)), ("history", kept.events)):
            self._count(place, number)

    def _touch(self, who: str, *, always: bool) -> None:
        """Write the pointer anew, to the same pair: desks that run open it again, without the customer."""
        if self.dry or not (self.runs or always):
            return
        for _ in range(_TRIES):
            now = self.registry.pointer()
            if now is None or now.scoring is None:
                return
            try:
                self.registry.swap(
                    model=now.model,
                    scoring=now.scoring,
                    action="publish",
                    who=who,
                    reason="a customer was forgotten",
                    expected=now,
                )
            except StoreConflict:  # something else was published just now, which desks open anyway
                continue
            return

    def _caches(self, *, always: bool) -> None:
        """This machine's copies: of what was rewritten, and the bases made of it."""
        base = self.settings.path("cache") / "base"
        if self.dry:
            return
        runs = {str(info.facts["run"]) for info in self._rewritten_scorings()} if always else self.runs
        for info in self._rewritten_scorings():
            if self.registry.renew_copy("scoring", info.id):
                self._count("cache")
        for version in self.registry.versions():
            if not version.problem and version.facts.get("rewritten"):
                self._tried(self._renew_model, version.version)
        with disk(base, "written"):
            for file in base.glob("*.duckdb") if base.is_dir() else ():
                if any(file.name.startswith(f"{run}-") for run in runs):
                    file.unlink(missing_ok=True)  # whoever has it open keeps it until it opens the pair again
                    self._count("cache")

    def _renew_model(self, version: str) -> None:
        if self.registry.renew_copy("model", version):
            self._count("cache")

    def _rewritten_scorings(self) -> Iterator[Any]:
        for info in self.registry.scorings():
            if not info.problem and info.facts.get("rewritten"):
                yield info

    def _unreached(self, kept: records_of.Kept | None) -> None:
        told = self.unreached
        for file in kept.files if kept else ():
            of = f" of campaign {file.campaign}" if file.campaign else ""
            contacts = ", with contact data" if file.unmasked else ""
            told.append(f"Exported file {file.name}{of}, taken by {file.who} on {words.moment(file.at)} UTC{contacts}.")
        finished = {info.id for info in self.registry.scorings()}
        begun = {entry.key.split("/")[1] for entry in self.store.list("scorings/")} - finished
        if begun:
            listed = words.sentence_list(sorted(begun))
            told.append(f"Scorings whose publication was not finished, shown by no desk: {listed}, in {self.store.address}.")
        if not self.settings.database:
            for copy in sorted(self.settings.path("data").glob(f"{FILE}.format-*")):
                told.append(f"Copy of the database from before its format changed: {copy}.")
        told += _OUT_OF_REACH

    # -- reading -------------------------------------------------------------

    def _file(self, kind: manifest.Kind, name: str, facts: Mapping[str, Any], file: str) -> bytes:
        """A file of a model or scoring from the store, its sum verified."""
        wanted = facts["files"][file]
        place = f"{'models' if kind == 'model' else 'scorings'}/{name}/{manifest.stored(file, wanted)}"
        data = self.store.read(place).data
        if hashlib.sha256(data).hexdigest() != wanted["sha256"]:
            raise BundleRejected(f"{kind} {name}: {file} was altered in the store; {manifest.ADVICE[kind]}")
        return data

    def _bundle(self, version: str) -> Bundle:
        if version not in self.bundles:
            self.bundles[version] = self.registry.load_model(version)
        return self.bundles[version]

    def _all_bundles(self) -> Iterator[Bundle]:
        for info in self.registry.versions():
            if not info.problem:
                yield self._bundle(info.version)


def _averages(facts: Mapping[str, Any], points: pl.DataFrame | None, theirs: pl.Series, schema: Schema) -> dict[str, Any]:
    """How many are explained and sampled without the customer, and the average points of the others.

    An average without one of n is (n · average − theirs) / (n − 1); theirs are kept in hundredths of a point.
    """
    explained, sampled = int(facts["explained"]), facts.get("sampled")
    if points is None:
        return {"explained": explained - (1 if explained == facts["rows"] else 0)}
    own = points.filter(theirs)
    known = own.to_series(0).is_not_null()
    found: dict[str, Any] = {"explained": explained - int(known.sum())}
    if sampled is not None and SAMPLED in points.columns:
        found["sampled"] = int(sampled) - int(own[SAMPLED].sum())
    rows, left = int(facts["rows"]), int(facts["rows"]) - own.height
    if facts["mean_points"] and left:
        theirs_of = {name: float(own[name].cast(pl.Float64).sum()) / HUNDREDTHS for name in schema.names if name in own.columns}
        sizes_of = {name: float(own[name].cast(pl.Float64).abs().sum()) / HUNDREDTHS for name in theirs_of}
        for what, of in (("mean_points", theirs_of), ("mean_size", sizes_of)):
            found[what] = {name: (mean * rows - of.get(name, 0.0)) / left for name, mean in facts[what].items()}
    return found


def _column(data: bytes, name: str, where: str) -> pl.Series:
    try:
        return pl.read_parquet(io.BytesIO(data), columns=[name])[name]
    except pl.exceptions.PolarsError as error:
        raise StoreDamaged(f"{where} is damaged ({error}); restore it from a backup") from error


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", row_group_size=122_880)
    return buffer.getvalue()


def _dump(made: Receipt) -> bytes:
    return json.dumps(made.to_dict(), ensure_ascii=False, indent=1).encode() + b"\n"


def _read_receipt(store: Store, name: str) -> Receipt:
    try:
        told = json.loads(store.read(name).data)
        if told["format"] != _FORMAT:
            raise ValueError("its format is not known")
        finished = told["finished"]
        return Receipt(
            customer=told["customer"],
            started=datetime.fromisoformat(told["started"]),
            finished=datetime.fromisoformat(finished) if finished else None,
            who=told["who"],
            reason=told["reason"],
            found=told["found"],
            unreached=tuple(told["unreached"]),
            problems=tuple(told["problems"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(f"{store.address}/{name} is damaged ({in_words(error)}); restore it from a backup") from error


def _silent(doing: str, done: int, total: int) -> None:
    pass

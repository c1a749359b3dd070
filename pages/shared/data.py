"""Every door from the pages to the library: the current pair, and answers kept for as long as it is current.

A *pair* is one model and one scoring made by it. A run of the script takes one pair at its start (`begin`) and uses it to
its end; a fragment keeps the pair of the run that drew its page. So no page ever shows a mixture, whatever is promoted
meanwhile. The desk looks at the store every `settings.refresh_s` seconds and puts a new pair in place of the old one with a
single assignment; sessions notice it by themselves (`widgets.follow`).
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from streamlit import config, runtime

from churn.base.contact import Contact, contact_of
from churn.base.groups import BAND, Filter
from churn.base.snapshot import ROWS, BandTotal, Customer, Order, OutOfFold, Snapshot, Totals
from churn.data.schema import Schema
from churn.errors import BundleRejected, ChurnError, NotInStore, StoreUnavailable
from churn.model import manifest
from churn.model.bundle import OUT_OF_FOLD, Bundle
from churn.model.registry import Pointer, Registry
from churn.model.store import open_store
from churn.principal import ANONYMOUS, Principal, visitor
from churn.settings import Settings
from churn.understand.account import Account, Typical, account
from churn.understand.evidence import Evidence, Support
from churn.understand.leanings import Leanings, leanings
from churn.understand.movers import Movers, movers
from churn.understand.new_customer import all_editable, describe, usual_customer
from churn.understand.what_if import ALWAYS, FROM_NOW_ON, Edited, Since, edit

if TYPE_CHECKING:
    from churn.base.records import Records
    from pages.shared.changing import Changing

HOME = Path(__file__).resolve().parents[2]
_MOST_ANSWERS = 256
_log = logging.getLogger("churn.app")

T = TypeVar("T")
Question = tuple[Hashable, Callable[[], T]]  # under which key an answer is kept, and how it is worked out


class Pair:
    """One model and one scoring made by it, the scoring before, and what has been asked of them so far.

    `before` is None for the first scoring (`before_id` too) and where the scoring before cannot be compared; `past` are the
    figures of the last scorings, oldest first, this one last; `folder` holds the scoring's files.
    """

    def __init__(
        self,
        pointer: Pointer,
        bundle: Bundle,
        snapshot: Snapshot,
        *,
        before_id: str | None = None,
        before: Snapshot | None = None,
        movers: Movers | None = None,
        past: tuple[Totals, ...] = (),
        folder: Path | None = None,
    ) -> None:
        self.pointer = pointer
        self.bundle = bundle
        self.snapshot = snapshot
        self.before_id = before_id
        self.before = before
        self.movers = movers
        self.past = past
        self._folder = folder
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def schema(self) -> Schema:
        return self.bundle.schema

    @property
    def rows(self) -> Path | None:
        """The file of the scored customers, for what goes through all of them; None in a pair made without files."""
        return None if self._folder is None else self._folder / ROWS

    @property
    def id(self) -> tuple[str, str, str]:
        """Which pair this is: version of the model, id of the scoring and its sum, another one once a customer was forgotten."""
        return self.bundle.version, self.snapshot.id, str(self.snapshot.facts["sum"])

    @cached_property
    def model_since(self) -> datetime:
        """When this model came into use; scorings published since do not count."""
        since = self.pointer.since
        for entry in reversed(self.pointer.history):
            if entry.model != self.pointer.model:
                break
            since = entry.since
        return since

    def totals(self, chosen: Filter) -> Totals:
        return self.answer(("totals", chosen), lambda: self.snapshot.totals(chosen))

    def totals_before(self, chosen: Filter) -> Totals | None:
        """The same customers' groups in the scoring before; None where there is none, or a group had other limits then."""
        before = self.before
        if before is None:
            return None
        for column, labels in chosen.parts:
            if column != BAND and any(
                label not in before.groups(column) or before.group(column, label) != self.snapshot.group(column, label)
                for label in labels
            ):
                return None
        return self.answer(("before", chosen), lambda: before.totals(chosen))

    def top(self, chosen: Filter, rows: int, order: Order, offset: int = 0) -> tuple[Customer, ...]:
        """The customers with most revenue at risk, or most risk; `offset` turns the page."""
        question = ("top", chosen, rows, order, offset)
        return self.answer(question, lambda: self.snapshot.top_customers(chosen, rows, order, offset))

    @cached_property
    def typical(self) -> Typical:
        """What is usual in every column, from the model's reference sample."""
        return Typical.of(self.bundle.reference, self.schema)

    @cached_property
    def leanings(self) -> Leanings:
        """Which facts of a column raise the risk and which lower it."""
        return leanings(self.bundle.model, self.bundle.reference)

    @cached_property
    def evidence(self) -> Evidence:
        """What real customers are like, from the model's reference sample."""
        return Evidence(self.bundle.reference, self.schema)

    def edited(self, customer: Customer, changes: Mapping[str, str | float], since: Since = ALWAYS) -> Edited:
        """A customer with edits and what follows from them; edits that another model's schema allowed are left out.

        From now on, an action may have set what no field offers.
        """
        action = since == FROM_NOW_ON
        features = {name: self.schema.feature(name) for name in changes if name in self.schema}
        known = {name: changes[name] for name, feature in features.items() if feature.editable or action}
        return edit(customer.row, known, self.schema, self.evidence, since=since, action=action)

    def support(self, edited: Edited) -> Support:
        """Whether any real customer resembles the edited one."""
        return self.evidence.support(edited.before, edited.row, edited.changed)

    def account(self, customer: Customer, edited: Edited | None = None) -> Account:
        """A customer's risk in words, as it is or as edited. Scored by the model on the spot, logged nowhere."""
        return self._account(edited.row, edited.changed, edited.asked) if edited else self._account(customer.row, ())

    def account_before(self, edited: Edited) -> Account:
        """What an edit is to be compared with: the customer as it is, or, from now on, one horizon later with nothing done."""
        return self._account(edited.before, ())

    @cached_property
    def usual_customer(self) -> Mapping[str, Any]:
        """What a description of a new customer starts from: the usual value of every column, put together as the rules allow."""
        return usual_customer(self.schema, self.typical, self.evidence)

    @cached_property
    def _form(self) -> Schema:
        return all_editable(self.schema)

    def described(self, changes: Mapping[str, str | float]) -> Edited:
        """A customer who is in no table, by the fields that somebody filled in."""
        known = {name: value for name, value in changes.items() if name in self.schema}
        return describe(known, self.usual_customer, self._form, self.evidence)

    def account_of(self, edited: Edited) -> Account:
        """The risk of a described customer in words."""
        return self._account(edited.row, ())

    def _account(self, row: Mapping[str, Any], changed: Collection[str], asked: Collection[str] = ()) -> Account:
        explained = self.bundle.model.explain_row(row)
        return account(
            row,
            explained.points,
            risk=explained.risk,
            typical_risk=self.bundle.model.typical_risk,
            schema=self.schema,
            typical=self.typical,
            edited=changed,
            asked=asked,
        )

    def contact(self, customer: Customer) -> Contact | None:
        """How to reach a customer, masked; None where nothing is known of it."""
        folder = self._folder
        if folder is None or not self.schema.contacts.columns:
            return None
        return self.answer(("contact", customer.key), lambda: contact_of(folder, customer.key, self.schema))

    def prepare(self) -> None:
        """Work out, before anybody sees this pair, what its first visitor would otherwise wait for."""
        self.totals(Filter())
        _ = self.leanings
        for customer in self.snapshot.top_customers(limit=1):
            self.account(customer)
            self.evidence.support(customer.row, customer.row, self.schema.names)

    def knows(self, question: Hashable) -> bool:
        """Whether the answer to a question has been worked out."""
        with self._lock:
            return question in self._answers

    def answer(self, question: Hashable, work: Callable[[], T]) -> T:
        """The answer to a question about this pair, worked out once; the answers least asked for are let go.

        Answers are small frozen results, never more customers than fit a screen.
        """
        with self._lock:
            if question in self._answers:
                self._answers.move_to_end(question)
                return cast(T, self._answers[question])
        answer = work()
        with self._lock:
            self._answers[question] = answer
            while len(self._answers) > _MOST_ANSWERS:
                self._answers.popitem(last=False)
        return answer


def _earlier(pointer: Pointer, snapshot: Snapshot, registry: Registry, settings: Settings) -> dict[str, Any]:
    """What there is to compare a scoring with; left out where it cannot be had, for the page can do without.

    The scoring before is the latest one shown of an earlier day; where there is none, the one shown before of the same day:
    the same customers, scored with another model.
    """
    found: dict[str, Any] = {}
    shown = [entry.scoring for entry in pointer.history if entry.scoring]
    if set(shown) == {snapshot.id}:
        return found
    try:
        facts = {info.id: info.facts for info in registry.scorings() if not info.problem and info.id in shown}
        until = [facts[name] for name in shown if name in facts and facts[name]["as_of"] <= snapshot.as_of.isoformat()]
        by_day = {of["as_of"]: of for of in (*until, snapshot.facts)}
        found["past"] = tuple(_figures(by_day[day]) for day in sorted(by_day))
        others = sorted((of for of in until if of["id"] != snapshot.id), key=lambda of: str(of["as_of"]))
        before = next((of for of in reversed(others) if of["as_of"] < snapshot.as_of.isoformat()), others[-1] if others else None)
        if before is None:
            return found
        found["before_id"] = before["id"]
        folder = registry.scoring_folder(before["id"])
        found["before"] = Snapshot.open(folder, snapshot.schema, settings)
        found["movers"] = movers(folder, registry.scoring_folder(snapshot.id), snapshot.schema)
    except (BundleRejected, NotInStore, StoreUnavailable) as error:
        _log.warning("the scoring before cannot be compared: %s", error)
    return found


def _out_of_fold(bundle: Bundle) -> OutOfFold | None:
    """What the model's training foresaw for its own customers, where the bundle has it."""
    salt = bundle.metrics.get("holdout_salt")
    known = salt is not None and OUT_OF_FOLD in bundle.extra
    return OutOfFold(str(salt), lambda: bundle.extra[OUT_OF_FOLD]) if known else None


def _figures(facts: Mapping[str, Any]) -> Totals:
    """The figures of a whole scoring, from its manifest alone."""
    rows, sums = int(facts["rows"]), facts["sums"]
    bands = tuple(BandTotal(b["name"], b["customers"], b["expected_leavers"], b["revenue_at_risk"]) for b in facts["by_band"])
    average = sums["risk"] / rows if rows else None
    return Totals(rows, sums["risk"], average, sums["revenue_at_risk"], sums["money"], None, None, bands, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Failure:
    """The last look at the store failed: what it said, and since when."""

    message: str
    since: datetime


class Desk:
    """The pair on screen, who looks at it, and the thread that looks for the next one.

    `prepare` is what a pair goes through before anybody sees it; the served app asks of it what every page opens with.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.prepare: Callable[[Pair], None] = Pair.prepare
        self.visitor = _visitor(settings)
        self.pair: Pair | None = None
        self.failure: Failure | None = None
        self.unscored: Pointer | None = None  # a champion with which no customers have been scored yet
        self._registry: Registry | None = None
        self.looked = False
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @cached_property
    def records(self) -> Records:
        """What people make; opened, and made, when somebody keeps something."""
        from churn.base.records import Records

        return Records(self.settings)

    @cached_property
    def changing(self) -> Changing:
        """Putting another model in use, one at a time."""
        from pages.shared.changing import Changing

        return Changing(self)

    @property
    def registry(self) -> Registry:
        """The store behind the desk, for what lies outside the pair: other versions."""
        if self._registry is None:
            self._registry = Registry(open_store(self.settings), self.settings)
        return self._registry

    def look(self) -> None:
        """Look at the pointer once; where it names another pair, load that and swap. After a failure the old pair stays."""
        with self._lock:
            try:
                self._look()
            except ChurnError as error:
                since = self.failure.since if self.failure else datetime.now(UTC)
                self.failure = Failure(str(error), since)
            else:
                self.failure = None
            self.looked = True

    def _look(self) -> None:
        if self._registry is None:
            self._registry = Registry(open_store(self.settings), self.settings)
        try:
            pointer = self._registry.pointer()
        except StoreUnavailable:
            known = self._registry.last_known_pointer() if self.pair is None else None
            if known is not None:  # started while the store is away: what this machine showed last is better than nothing
                self._show(known, self._registry)
            raise
        if pointer is None and self.pair is not None:
            raise StoreUnavailable(
                f"{self.settings.store} names no champion any more: it was moved or emptied, or is not mounted"
            )
        if pointer is not None:
            self._show(pointer, self._registry)
        self.unscored = pointer if pointer is not None and pointer.scoring is None else None

    def _show(self, pointer: Pointer, registry: Registry) -> None:
        old = self.pair
        same = old is not None and old.id[:2] == (pointer.model, pointer.scoring)
        if pointer.scoring is None or (old and same and old.pointer.since == pointer.since):
            return
        bundle = old.bundle if old and old.bundle.version == pointer.model else registry.load_model(pointer.model)
        folder = registry.scoring_folder(pointer.scoring)
        facts = manifest.parse((folder / manifest.NAME).read_bytes(), str(folder), "scoring")
        if old and same and old.snapshot.facts["sum"] == facts["sum"]:
            snapshot = old.snapshot
        else:
            snapshot = Snapshot.open(folder, bundle.schema, self.settings, _out_of_fold(bundle))
        pair = Pair(pointer, bundle, snapshot, folder=folder, **_earlier(pointer, snapshot, registry, self.settings))
        self.prepare(pair)
        self.pair = pair
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # a full collection follows every run of a script: what stays for good is not to be gone through

    def warm(self) -> None:
        """Load what the first visitor would otherwise wait for."""
        import pandas  # noqa: F401  # what Streamlit sends tables with

        self.look()

    def watch(self) -> None:
        """Begin to look at the store every `refresh_s` seconds, on a thread that ends with the process."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="desk", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(self.settings.refresh_s):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001  # a defect: what is shown stays, and the next look tries again
                _log.exception("looking for a new pair failed")
                self.failure = Failure(f"it failed unexpectedly ({type(error).__name__})", datetime.now(UTC))

    def stop(self) -> None:
        """End the thread and close what is open; the process is about to end."""
        self._stopped.set()
        with self._lock:
            if (pair := self.pair) is not None:
                self.pair = None
                for snapshot in (pair.snapshot, pair.before):
                    if snapshot is not None:
                        snapshot.close()

    def state(self) -> dict[str, Any]:
        """What `/ready` answers; ready once the store has been looked at and either answered or left a pair to show."""
        pair = self.pair
        return {
            "ready": self.looked and (pair is not None or self.failure is None),
            "model": pair.bundle.version if pair else None,
            "scoring": pair.snapshot.id if pair else None,
            "failure": self.failure.message if self.failure else None,
        }


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the script shows: a pair, and the customers chosen in the sidebar."""

    pair: Pair
    chosen: Filter


_desk: Desk | None = None
_desk_lock = threading.Lock()
_run: ContextVar[Run] = ContextVar("run")


def desk() -> Desk:
    """The one desk of this process, with the settings of the environment. Raises SettingsError."""
    global _desk
    with _desk_lock:
        if _desk is None:
            _desk = Desk(Settings.load(home=Path(os.environ.get("CHURN_HOME", HOME))))
            atexit.register(_desk.stop)
        return _desk


def _visitor(settings: Settings) -> Principal:
    """Who looks at the pages; under plain `streamlit run` it is Streamlit's own configuration that says who can."""
    who = visitor(settings)
    if who.name == ANONYMOUS or not runtime.exists():  # nobody, or nothing that listens
        return who
    return visitor(settings, config.get_option("server.address") or "0.0.0.0")


def begin() -> Pair | None:
    """The pair that this run of the script uses to its end; None while there is nothing to show.

    The first run of an unwarmed process (`streamlit run`) loads it here.
    """
    current = desk()
    if not current.looked:
        current.look()
    current.watch()
    return current.pair


def use(pair: Pair, chosen: Filter) -> None:
    """Settle what this run of the script shows; the frame does so before the page runs."""
    _run.set(Run(pair, chosen))


def run() -> Run:
    """What this run of the script shows. A fragment takes it as an argument, so that it stays what its page shows."""
    return _run.get()

"""Call list: who may be called, ranked, kept for as long as nothing it rests on has changed.

A ranking of a million customers is megabytes and takes a fifth of a second, so a few are kept for all visitors together, and none
in a session.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn.act import call_list, campaigns, eligibility
from churn.act.call_list import Known, Ranking, rank, shortened
from churn.act.eligibility import Candidates, Standing
from churn.act.profit import ProfitCurve, profit_curve
from churn.base.expected_value import Assumptions
from churn.base.groups import Filter
from churn.model.store import open_store
from churn.score import outcomes
from pages.shared import data
from pages.shared.data import Pair

_KEPT = 6  # rankings, and standings, of all visitors together
T = TypeVar("T")


@dataclass(frozen=True, eq=False, slots=True)
class Basis:
    """Who may be called now; `token` is another one where that has changed."""

    standing: Standing
    token: str


class _Shelf:
    """The last few answers that are too large for the pair's own."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: Hashable) -> Any:
        """The answer that is there; None where there is none."""
        with self._lock:
            if question in self._answers:
                self._answers.move_to_end(question)
            return self._answers.get(question)

    def keep(self, question: Hashable, found: T) -> T:
        with self._lock:
            self._answers[question] = found
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)
        return found

    def answer(self, question: Hashable, work: Callable[[], T]) -> T:
        found: T | None = self.get(question)
        return self.keep(question, work()) if found is None else found


_shelf = _Shelf(_KEPT)
_able = _Shelf(2)  # 28 bytes for everybody of a filter: what another offer ranks anew
_people = _Shelf(4_000)  # customers, and what a list says of each
_looked: dict[Hashable, tuple[float, str, pl.DataFrame, pl.Series | None]] = {}


def forget() -> None:
    """Look at once at who is in a campaign: somebody has just begun one."""
    _looked.clear()


def basis(pair: Pair) -> Basis:
    """Who may be called: asked of the database, and of the table of who must not be, every few seconds.

    Raises
    ------
    SuppressionStops, DataError, RecordsUnavailable: who must not be called is not known for sure.
    """
    settings, question = data.desk().settings, pair.id
    at, token, engaged, suppressed = _looked.get(question, (0.0, "", pl.DataFrame(), None))
    if time.monotonic() - at > settings.refresh_s or not token:
        engaged = campaigns.engaged(data.desk().records)
        suppressed = eligibility.suppression(settings, pair.schema)
        digest = hashlib.sha256(engaged.sort(engaged.columns).write_csv().encode())
        digest.update(b"" if suppressed is None else suppressed.sort().to_frame().write_csv().encode())
        token = digest.hexdigest()[:20]
        _looked.clear()
        _looked[question] = (time.monotonic(), token, engaged, suppressed)

    def work() -> Standing:
        known = _shelf.answer(("people", pair.id), lambda: eligibility.people(files(pair), pair.snapshot, settings))
        gone = pair.answer("who is gone", lambda: _gone(pair))
        return eligibility.standing(pair.snapshot, known, settings, engaged=engaged, gone=gone, suppressed=suppressed)

    return Basis(_shelf.answer(("standing", pair.id, token), work), token)


def files(pair: Pair) -> Path:
    """The folder of the scoring's files, verified."""
    return pair.answer("files of the scoring", lambda: data.desk().registry.scoring_folder(pair.snapshot.id))


def _gone(pair: Pair) -> pl.Series:
    """Who is known to have left since the day the base is about."""
    found = outcomes.read(open_store(data.desk().settings))
    since = pl.col(outcomes.AS_OF).is_null() | (pl.col(outcomes.AS_OF) >= pair.snapshot.as_of)
    return found.filter((pl.col(outcomes.LEFT) == 1) & since)[outcomes.KEY]


def ranking(
    pair: Pair, found: Basis, chosen: Filter, assumptions: Assumptions, offer: float
) -> tuple[Ranking, ProfitCurve | None]:
    """Those of the filter who may be called, best first, and what lists of them bring by size; None without money."""

    def work() -> tuple[Ranking, ProfitCurve | None]:
        able = _able.answer(("able", pair.id, found.token, chosen), lambda: _candidates(pair, found, chosen))
        ranked = rank(able, pair.schema, assumptions, offer)
        curve = None
        if ranked.value is not None and pair.schema.money is not None:
            paid = ranked.value / assumptions.periods(pair.schema.money)
            curve = profit_curve(ranked.risk, paid, pair.schema, offer, assumptions)
        return shortened(ranked), curve

    return _shelf.answer(_question(pair, found, chosen, assumptions, offer), work)


def _candidates(pair: Pair, found: Basis, chosen: Filter) -> Candidates:
    return eligibility.candidates(found.standing, pair.snapshot.pool(chosen), needs_worth=pair.snapshot.has_money)


def ready(pair: Pair, found: Basis, chosen: Filter, assumptions: Assumptions, offer: float) -> bool:
    """Whether that ranking is there already."""
    return _shelf.get(_question(pair, found, chosen, assumptions, offer)) is not None


def _question(pair: Pair, found: Basis, chosen: Filter, assumptions: Assumptions, offer: float) -> Hashable:
    return ("ranking", pair.id, found.token, chosen, assumptions, offer)


def told(pair: Pair, places: NDArray[np.int64], known: Known) -> pl.DataFrame:
    """`call_list.told`, asked once of every customer: another offer lists mostly the same people."""
    return _each(("told", pair.id, known.assumptions), places, lambda missing: call_list.told(missing, known))


def masked(pair: Pair, places: NDArray[np.int64], known: Known) -> pl.DataFrame | None:
    """Their masked contact data, likewise; None where nothing is known."""

    def work(missing: NDArray[np.int64]) -> pl.DataFrame:
        keys = known.snapshot.rows(missing)[pair.schema.key]
        found = call_list.masked_contacts(keys, known.folder, pair.schema, missing)
        return pl.DataFrame() if found is None else found

    found = _each(("masked", pair.id), places, work)
    return found if found.width else None


def _each(
    question: tuple[Hashable, ...], places: NDArray[np.int64], work: Callable[[NDArray[np.int64]], pl.DataFrame]
) -> pl.DataFrame:
    """A table of customers, one row each, of which only those not asked for before are worked out."""
    there: dict[int, pl.DataFrame | None] = {place: _people.get((*question, place)) for place in places.tolist()}
    missing = [place for place, row in there.items() if row is None]
    if missing:
        fresh = work(np.array(missing, dtype=np.int64))
        there |= {place: _people.keep((*question, place), fresh.slice(row, 1)) for row, place in enumerate(missing)}
    return pl.concat(row for row in there.values() if row is not None)


def known(pair: Pair, assumptions: Assumptions) -> Known:
    """What the rows of a list are told from."""
    return Known(pair.snapshot, files(pair), pair.bundle.model, pair.typical, pair.evidence, assumptions)

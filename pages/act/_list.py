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

from churn.act import call_list, campaigns, eligibility, uplift, uplift_base
from churn.act.call_list import Known, Ranking, rank
from churn.act.campaigns import Campaign
from churn.act.eligibility import Candidates, Standing
from churn.act.profit import ProfitCurve, profit_curve
from churn.act.uplift import Comparison
from churn.act.uplift_base import Uplift
from churn.base.expected_value import Assumptions
from churn.base.groups import Filter
from churn.errors import StoreUnavailable
from churn.model.store import open_store
from churn.score import outcomes
from pages.shared import data
from pages.shared.data import Pair

_LOOK_S = 60  # how long what is known of outcomes, or was learnt, may be old
_KEPT = 6  # rankings, and standings, of all visitors together
T = TypeVar("T")


@dataclass(frozen=True, eq=False, slots=True)
class Basis:
    """Who may be called now; `token` is another one where that has changed; `doubt`: why the table of who must not be called may
    not be what it is taken for."""

    standing: Standing
    token: str
    doubt: str | None = None


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
_changes = _Shelf(1)  # 8 bytes for everybody of the base
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
    gone = _known_gone(pair)
    at, token, engaged, suppressed = _looked.get(question, (0.0, "", pl.DataFrame(), None))
    if time.monotonic() - at > settings.refresh_s or not token:
        engaged = campaigns.engaged(data.desk().records)
        suppressed = eligibility.suppression(settings, pair.schema)
        digest = hashlib.sha256(engaged.sort(engaged.columns).write_csv().encode())
        digest.update(b"" if suppressed is None else suppressed.sort().to_frame().write_csv().encode())
        digest.update(gone.sort().to_frame().write_csv().encode())
        token = digest.hexdigest()[:20]
        _looked.clear()
        _looked[question] = (time.monotonic(), token, engaged, suppressed)

    def work() -> Standing:
        known = _shelf.answer(("people", pair.id), lambda: eligibility.people(files(pair), pair.snapshot, settings))
        return eligibility.standing(pair.snapshot, known, settings, engaged=engaged, gone=gone, suppressed=suppressed)

    def doubted() -> str | None:
        return None if suppressed is None else eligibility.coverage(suppressed, pair.snapshot).doubt()

    doubt = pair.answer(("suppression", token), doubted)
    return Basis(_shelf.answer(("standing", pair.id, token), work), token, doubt)


def withdrawn(pair: Pair, campaign: Campaign) -> dict[str, str]:
    """Who of those a campaign was to call must not be called any more: customer → why. Raises as `basis` does."""
    found = basis(pair)

    def work() -> dict[str, str]:
        called = campaigns.members(data.desk().records, campaign.id).filter(pl.col("arm") == campaigns.CALL)["customer"]
        return eligibility.withdrawn(found.standing, pair.snapshot, called)

    return pair.answer(("withdrawn", campaign.id, campaign.version, found.token), work)


def files(pair: Pair) -> Path:
    """The folder of the scoring's files, verified."""
    return pair.answer("files of the scoring", lambda: data.desk().registry.scoring_folder(pair.snapshot.id))


def _known_gone(pair: Pair) -> pl.Series:
    """The same as `_gone`, looked up now and then."""
    return pair.answer(("who is gone", int(time.monotonic() // _LOOK_S)), lambda: _gone(pair))


def _gone(pair: Pair) -> pl.Series:
    """Who is known to have left since the day the base is about."""
    found = outcomes.read(open_store(data.desk().settings))
    since = pl.col(outcomes.AS_OF).is_null() | (pl.col(outcomes.AS_OF) >= pair.snapshot.as_of)
    return found.filter((pl.col(outcomes.LEFT) == 1) & since)[outcomes.KEY]


def learnt(pair: Pair) -> tuple[Comparison | None, str | None]:
    """What was learnt last of whom calling changes, looked up now and then, and why it can rank nobody; None where it can."""

    def work() -> tuple[Comparison | None, str | None]:
        try:
            found = uplift.latest(open_store(data.desk().settings))
        except StoreUnavailable as error:
            return None, str(error)
        return found, uplift_base.why_not(found, pair.schema)

    return pair.answer(("uplift learnt", int(time.monotonic() // _LOOK_S)), work)


def changes(pair: Pair, found: Comparison, progress: Callable[[str, int, int], None]) -> Uplift:
    """By how much calling lowers the risk of everybody of the base.

    Raises what `churn.act.uplift_base.of_base` does.
    """
    settings = data.desk().settings

    def work() -> Uplift:
        return uplift_base.of_base(found, open_store(settings), pair.snapshot, files(pair), settings, progress)

    return _changes.answer((pair.id, found.models), work)


def left(pair: Pair) -> NDArray[np.int64]:
    """Where in the base those stand who have left already, by the base itself or by outcomes since. Rising."""
    gone = _known_gone(pair)

    def work() -> NDArray[np.int64]:
        return np.union1d(pair.snapshot.gone(), pair.snapshot.places(gone))

    return pair.answer(("where the gone stand", len(gone)), work)  # who has left stays gone: their number tells them apart


def ranking(
    pair: Pair, found: Basis, chosen: Filter, assumptions: Assumptions, offer: float, by: Uplift | None = None
) -> tuple[Ranking, ProfitCurve | None]:
    """Those of the filter who may be called, best first, and what lists of them bring by size.

    None without money, and where they are ranked `by` whom calling changes: what a list brings is known of the other order only.
    """

    def work() -> tuple[Ranking, ProfitCurve | None]:
        able = _able.answer(("able", pair.id, found.token, chosen), lambda: _candidates(pair, found, chosen))
        ranked = rank(able, pair.schema, assumptions, offer, by)
        curve = None
        if by is None and able.pool.money is not None and pair.schema.money is not None:
            behind = np.searchsorted(able.pool.places, ranked.behind[0])
            curve = profit_curve(able.pool.risk, able.pool.money, pair.schema, offer, assumptions, without=behind)
        return ranked, curve

    return _shelf.answer(_question(pair, found, chosen, assumptions, offer, by), work)


def _candidates(pair: Pair, found: Basis, chosen: Filter) -> Candidates:
    return eligibility.candidates(found.standing, pair.snapshot.pool(chosen), needs_worth=pair.snapshot.has_money)


def ready(pair: Pair, found: Basis, chosen: Filter, assumptions: Assumptions, offer: float, by: Uplift | None = None) -> bool:
    """Whether that ranking is there already."""
    return _shelf.get(_question(pair, found, chosen, assumptions, offer, by)) is not None


def _question(pair: Pair, found: Basis, chosen: Filter, assumptions: Assumptions, offer: float, by: Uplift | None) -> Hashable:
    return ("ranking", pair.id, found.token, chosen, assumptions, offer, None if by is None else by.version)


@dataclass(frozen=True, eq=False, slots=True)
class People:
    """What a list says of its customers, asked once of each.

    Another offer lists mostly the same people, and whoever reads on turns the page: who is not known yet is asked for together
    with those who follow. `ahead`: the places in the base of both, in the order of the list.
    """

    pair: Pair
    ahead: NDArray[np.int64]

    def told(self, places: NDArray[np.int64], known: Known) -> pl.DataFrame:
        """`call_list.told`."""
        return self._each(("told", self.pair.id, known.assumptions), places, lambda missing: call_list.told(missing, known))

    def masked(self, places: NDArray[np.int64], known: Known) -> pl.DataFrame | None:
        """Masked contact data; None where nothing is known."""

        def work(missing: NDArray[np.int64]) -> pl.DataFrame:
            keys = known.snapshot.rows(missing)[self.pair.schema.key]
            found = call_list.masked_contacts(keys, known.folder, self.pair.schema, missing)
            return pl.DataFrame() if found is None else found

        found = self._each(("masked", self.pair.id), places, work)
        return found if found.width else None

    def _each(
        self, question: tuple[Hashable, ...], places: NDArray[np.int64], work: Callable[[NDArray[np.int64]], pl.DataFrame]
    ) -> pl.DataFrame:
        if not len(places):
            return work(places)
        there: dict[int, pl.DataFrame | None] = {place: _people.get((*question, place)) for place in places.tolist()}
        if any(row is None for row in there.values()):
            there |= {place: _people.get((*question, place)) for place in self.ahead.tolist() if place not in there}
            missing = [place for place, row in there.items() if row is None]
            fresh = work(np.array(missing, dtype=np.int64))
            there |= {place: _people.keep((*question, place), fresh.slice(row, 1)) for row, place in enumerate(missing)}
        return pl.concat(row for place in places.tolist() if (row := there[place]) is not None)


def known(pair: Pair, assumptions: Assumptions) -> Known:
    """What the rows of a list are told from."""
    return Known(pair.snapshot, files(pair), pair.bundle.model, pair.typical, pair.evidence, assumptions)

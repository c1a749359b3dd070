"""What would have to change: the smallest sets of edits of editable fields that bring one customer below a chosen risk.

Candidates are the levels a category can have in this row and, of a number, quantiles of the reference sample. What each does
alone is known exactly; sets of two and three are screened by laying these effects over each other and scoring them in one batch.
What the screening finds is then what the edit engine makes of it (*had it always been so*): parts that no rule or formula ties to
each other are its edits put together, all others are made and scored anew. So every answer keeps all rules, derivations and
ranges. Sets that no real customer resembles are counted and left out.
Sets are sought by number of edits, then by how far they go; one that holds a smaller answer is no answer.

For a page::

    found = what_would_have_to_change(customer.row, band.below, model=pair.bundle.model, evidence=pair.evidence)
    for answer in found.answers: answer.words, answer.risk, answer.cascade
    found.note                                          # what to say beside, or instead
    state.scenario().to(answer.changes, customer.row)   # fill the what-if, as one step that can be undone
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from churn import words
from churn.data.schema import Feature, Schema
from churn.model.risk_model import RiskModel, table_of
from churn.understand.evidence import Evidence, Support
from churn.understand.what_if import Edited, cascade_sentences, choices, edit, limits, reach, same, together

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

MOST_FIELDS: Final = 3
MOST_ANSWERS: Final = 5
_TRIES: Final = 3  # of one set of fields, before others get their turn
_CHUNK: Final = 24  # sets that are made by the edit engine at first; twice as many each further time


class _Effort(NamedTuple):
    """How much is tried: values of a number, sets screened of each size, sets made by the edit engine of each size."""

    values: int
    screened: int
    made: int


_QUICK, _SLOW = _Effort(13, 12_000, 96), _Effort(6, 1_000, 48)


@dataclass(frozen=True, slots=True)
class Answer:
    """One set of edits that reaches the goal.

    `changes`: column → value, what to ask of the edit engine. `words`: each change as `Contract: Month-to-month → One year`.
    `distance`: how far the edits go, in spreads of a number (from the 1st to the 99th percentile) and 1 for a level.
    `risk`: with them, 0–1.
    """

    changes: Mapping[str, str | float]
    edited: Edited
    risk: float
    distance: float
    words: tuple[str, ...]
    cascade: tuple[str, ...]
    support: Support


@dataclass(frozen=True, slots=True)
class Changes:
    """What would have to change, smallest first; each answer edits other fields than the others.

    `risk`: as it is, 0–1. `lowest`: the lowest risk found among edits that resemble real customers (as it is, where none is
    lower). `unsupported`: sets found that would reach the goal, but no real customer looks like them. `searched`: sets tried.
    `complete`: whether all sets of the candidate values were screened. `note`: what to say beside the answers, or instead.
    """

    below: float
    risk: float
    answers: tuple[Answer, ...]
    lowest: float
    unsupported: int
    searched: int
    complete: bool
    note: str


def what_would_have_to_change(
    row: Mapping[str, Any],
    below: float,
    *,
    model: RiskModel,
    evidence: Evidence,
    most_fields: int = MOST_FIELDS,
    most_answers: int = MOST_ANSWERS,
) -> Changes:
    """The smallest sets of edits that bring a customer's risk below a limit, such as the end of a lower band.

    Parameters
    ----------
    row: the conformed customer, column → value. below: the risk to come under, 0–1. model: any; of one whose reasons are slow,
    fewer candidates are tried. most_fields: 1 to 3.

    Raises
    ------
    SchemaError: the schema's rules contradict each other.
    """
    effort = _QUICK if model.quick else _SLOW
    search = _Search(row, below, model, evidence, effort)
    for size in range(1, most_fields + 1):
        if search.risk < below or len(search.answers) >= most_answers or not search.parts:
            break
        search.look(size, most_answers)
    return search.result(most_fields)


@dataclass(frozen=True, slots=True)
class _Part:
    """Edits of one field, or of some that have to be seen together, as the edit engine makes them.

    `effect` is all that they change: effects of several parts are laid over each other. `reach` as `what_if.reach`.
    """

    changes: Mapping[str, str | float]
    distance: float
    edited: Edited
    effect: Mapping[str, Any]
    reach: frozenset[str] | None


def _apart(parts: Sequence[_Part]) -> bool:
    """Whether none of the parts can change what another reads or sets, so that laid over each other they are what the edit engine
    makes of all."""
    if len(parts) == 1:
        return True
    reaches = [part.reach for part in parts if part.reach is not None]
    return len(reaches) == len(parts) and sum(map(len, reaches)) == len(frozenset[str]().union(*reaches))


class _Made(NamedTuple):
    """A set that reaches the goal: its place among the sets, its parts, the row where it had to be made anew, the risk, 0–1, and
    whether anybody real looks like it."""

    place: int
    parts: Sequence[_Part]
    edited: Edited | None
    risk: float
    supported: bool


class _Search:
    """One customer's search: the parts that sets are made of, and what has been found so far.

    A set is a column of places in `parts`, −1 for nothing more.
    """

    def __init__(
        self,
        row: Mapping[str, Any],
        below: float,
        model: RiskModel,
        evidence: Evidence,
        effort: _Effort,
    ) -> None:
        self.row, self.below, self.model, self.evidence, self.effort = row, below, model, evidence, effort
        self.schema: Schema = model.schema
        self._around = evidence.around(row)
        self.answers: list[Answer] = []
        self.unsupported, self.searched, self.complete = 0, 0, True
        self._spread: dict[str, float] = {}
        self._fields = [feature.name for feature in self.schema.features if feature.editable]
        self.parts = list(self._singles())
        alone = np.arange(len(self.parts), dtype=np.int64)[None, :]
        risks = self._screen(np.concatenate([alone, [[-1]]], axis=1))  # and the row as it is
        self.risk = self.lowest = float(risks[-1])
        self._alone = risks[:-1]
        self._singly = np.argsort(self._alone, kind="stable")  # places of single edits, those that do most first
        self._opened: list[int] | None = None
        self._clashes: dict[tuple[int, int], int] | None = None

    # -- parts --------------------------------------------------------------------------------------------------------------

    def _singles(self) -> Iterator[_Part]:
        for feature in self.schema.features:
            if not feature.editable:
                continue
            known = set[str | float]()
            if feature.is_number:
                values: Sequence[str | float] = self._numbers(feature)
            else:
                values = [level.value for level in choices(self.row, feature, self.schema, self.evidence)]
            for value in values:
                if same(value, self.row.get(feature.name)):
                    continue
                part = self._part({feature.name: value})
                if part is not None and part.changes[feature.name] not in known:  # two may stop at the same number
                    known.add(part.changes[feature.name])
                    yield part

    def _numbers(self, feature: Feature) -> list[float]:
        """Quantiles of the reference within what may be asked for, whole where the column is; lower ones of what is paid."""
        cuts = self.evidence.quantiles(feature, self.effort.values)
        if not cuts.size:
            return []
        low, high = limits(feature)
        self._spread[feature.name] = float(cuts[-1] - cuts[0]) or 1.0
        cuts = cuts.clip(low, high)
        own = self.row.get(feature.name)
        if self.schema.money and feature.name == self.schema.money.column and isinstance(own, (int, float)):
            cuts = cuts[cuts < float(own)]  # to charge more is no way to keep somebody, whatever the model says
        return sorted({float(words.rounded(cut)) if feature.whole else float(cut) for cut in cuts})

    def _part(self, changes: Mapping[str, str | float]) -> _Part | None:
        """The edits with their effect; None where they do not come about as asked."""
        edited = edit(self.row, changes, self.schema, self.evidence)
        if edited.asked.keys() != changes.keys():
            return None
        asked = {name: value for name, value in edited.asked.items() if value is not None}
        effect = {name: edited.row[name] for name in edited.changed}
        return _Part(asked, self._distance(asked), edited, effect, reach(edited, self.schema))

    def _distance(self, changes: Mapping[str, str | float]) -> float:
        total = 0.0
        for name, value in changes.items():
            own = self.row.get(name)
            if isinstance(value, str) or words.is_nothing(own):
                total += 1.0
            else:
                total += abs(value - float(own)) / self._spread[name]  # type: ignore[arg-type]
        return total

    def _opened_by(self) -> list[int]:
        """Places of two edits of which the first makes the second possible: internet at all, and a service on it."""
        if self._opened is None:
            categories = [feature for feature in self.schema.categories if feature.editable]
            now = {f.name: {x.value for x in choices(self.row, f, self.schema, self.evidence)} for f in categories}
            self._opened = []
            for first in [self.parts[place] for place in self._singly]:
                changed = {**self.row, **first.effect}
                for feature in categories:
                    if feature.name in first.changes or feature.name not in first.effect:
                        continue
                    for level in choices(changed, feature, self.schema, self.evidence):
                        if level.value not in now[feature.name] and not same(level.value, changed[feature.name]):
                            self._opened += self._add({**first.changes, feature.name: level.value})
        return self._opened

    def _opened_twice(self, pairs: Sequence[int]) -> list[int]:
        """Places of three edits of which the first makes both others possible."""
        found = []
        for one, other in combinations([self.parts[place].changes for place in pairs], 2):
            shared = one.keys() & other.keys()
            if len(shared) == 1 and len(one.keys() | other.keys()) == 3 and all(same(one[name], other[name]) for name in shared):
                found += self._add({**one, **other})
        return found

    def _clashing(self) -> dict[tuple[int, int], int]:
        """Pairs of single edits whose effects cannot be laid over each other → the place of both, −1 where one undoes one."""
        if self._clashes is None:
            self._clashes = {}
            by_column: dict[str, list[int]] = {}
            for place in self._singly.tolist():
                for name in self.parts[place].effect:
                    by_column.setdefault(name, []).append(place)
            for name, places in by_column.items():
                for i, j in combinations(sorted(places), 2):
                    first, second = self.parts[i], self.parts[j]
                    if (i, j) in self._clashes or first.changes.keys() & second.changes.keys():
                        continue
                    if not same(first.effect[name], second.effect[name]):
                        self._clashes[i, j] = next(iter(self._add({**first.changes, **second.changes})), -1)
        return self._clashes

    def _add(self, changes: Mapping[str, str | float]) -> list[int]:
        part = self._part(changes)
        if part is None:
            return []
        self.parts.append(part)
        return [len(self.parts) - 1]

    # -- looking ------------------------------------------------------------------------------------------------------------

    def look(self, size: int, most_answers: int) -> None:
        """Find the answers of so many edits; sets that hold a smaller answer are not looked at."""
        sets = self._sets(size)
        taken = [[self._fields.index(name) for name in answer.changes] for answer in self.answers]
        fields = self._fields_of(sets)
        fresh = ~np.any([fields[:, places].all(axis=1) for places in taken], axis=0) if taken else np.full(sets.shape[1], True)
        sets, fields = sets[:, fresh], fields[fresh]
        self.searched += sets.shape[1]
        if not sets.shape[1]:
            return
        risks = self._alone[sets[0]] if size == 1 else self._screen(sets)
        far = np.array([*(part.distance for part in self.parts), 0.0])[sets].sum(axis=0)
        reaching = np.flatnonzero(risks < self.below)
        order = reaching[np.lexsort((risks[reaching], far[reaching]))]
        self._find(sets, fields, risks, far, order, most_answers)
        if not self.answers:
            lower = np.argsort(risks, kind="stable")
            for made in self._made(sets, fields, risks, lower[risks[lower] < self.lowest], self.lowest):
                if made.supported:
                    self.lowest = made.risk
                    break

    def _sets(self, size: int) -> Places:
        """All sets of so many edits, int64 [parts of a set, sets]."""
        if size == 1:
            return self._singly[None, :]
        few = len(self._singly)
        while few > size and comb(few, size) > self.effort.screened:
            few -= 1  # without the one that does least alone
        self.complete &= few == len(self._singly)
        singles = np.sort(self._singly[:few])
        column = np.array([self._fields.index(next(iter(self.parts[place].changes))) for place in singles], dtype=np.int64)
        chosen = _combinations(few, size)
        of = column[chosen]
        apart = of[0] != of[1] if size == 2 else (of[0] != of[1]) & (of[1] != of[2]) & (of[0] != of[2])
        chosen = chosen[:, apart]
        both = np.full((few, few), -2, dtype=np.int64)  # −2: no clash
        where = {int(place): i for i, place in enumerate(singles)}
        for (i, j), made in self._clashing().items():
            if i in where and j in where:
                both[where[i], where[j]] = made
        blocks = []
        free = np.full(chosen.shape[1], True)
        for one, other in combinations(range(size), 2):
            made = both[chosen[one], chosen[other]]
            clash = free & (made != -2)
            free &= made == -2
            rest = [singles[chosen[k][clash]] for k in range(size) if k not in (one, other)]
            possible = made[clash] >= 0
            blocks.append(_padded([made[clash][possible], *(places[possible] for places in rest)], size))
        blocks.insert(0, singles[chosen[:, free]])
        pairs = self._opened_by()
        if size == 2:
            blocks.append(_padded([np.array(pairs, dtype=np.int64)], size))
        else:
            more = [
                (p, s) for p in pairs for s in singles.tolist() if not self.parts[p].changes.keys() & self.parts[s].changes.keys()
            ]
            blocks.append(_padded(list(np.array(more, dtype=np.int64).reshape(-1, 2).T), size))
            blocks.append(_padded([np.array(self._opened_twice(pairs), dtype=np.int64)], size))
        return np.concatenate(blocks, axis=1)

    def _fields_of(self, sets: Places) -> npt.NDArray[np.bool_]:
        """Which fields each set edits, [sets, editable fields]."""
        of_part = np.zeros((len(self.parts) + 1, len(self._fields)), dtype=bool)  # the last: nothing more
        for place, part in enumerate(self.parts):
            for name in part.changes:
                of_part[place, self._fields.index(name)] = True
        return np.asarray(of_part[sets].any(axis=0))

    def _screen(self, sets: Places) -> Floats:
        """The risk of each set, the effects of its parts laid over each other, float64 [sets]; all in one batch."""
        return self.model.score_sets(self.row, [part.effect for part in self.parts], sets)

    def _made(self, sets: Places, fields: npt.NDArray[np.bool_], risks: Floats, order: Places, below: float) -> Iterator[_Made]:
        """Sets in that order as the edit engine makes them, where that takes the risk below a limit.

        At most `_TRIES` of the same fields are made. A row that is just what was screened has the risk it was given there; any
        other is scored anew.
        """
        tried: dict[bytes, int] = {}
        chosen: list[tuple[bytes, int]] = []
        for place in order.tolist():
            key = fields[place].tobytes()
            tried[key] = tried.get(key, 0) + 1
            if tried[key] <= _TRIES:
                chosen.append((key, place))
                if len(chosen) == self.effort.made:
                    break
        chunk = _CHUNK
        while chosen:
            some: dict[bytes, int] = {}  # of the same fields one at a time: the next only counts where that is unlike anybody
            later = [(key, place) for key, place in chosen if len(some) == chunk or some.setdefault(key, place) != place]
            chosen, chunk = later, 2 * chunk
            parts = {place: [self.parts[part] for part in sets[:, place] if part >= 0] for place in some.values()}
            made = {place: self._make(own) for place, own in parts.items() if not _apart(own)}
            scored = self.model.score(table_of((edited.row for edited in made.values()), self.schema)).risk if made else ()
            anew = dict(zip(made, map(float, scored), strict=True))
            for key, place in some.items():
                edited, own = made.get(place), parts[place]
                risk = anew.get(place, float(risks[place]))
                if risk >= below or (edited is not None and len(edited.asked) != fields[place].sum()):
                    continue
                after = {name: value for part in own for name, value in part.effect.items()} if edited is None else edited.row
                supported = self._around.supported(after, after.keys() if edited is None else edited.changed)
                yield _Made(place, own, edited, risk, supported)
                if supported:
                    chosen = [(other, later) for other, later in chosen if other != key]

    def _make(self, parts: Sequence[_Part]) -> Edited:
        """A set as the edit engine makes it."""
        if len(parts) == 1:
            return parts[0].edited
        if _apart(parts):
            return together([part.edited for part in parts], self.schema)
        return edit(self.row, {name: value for part in parts for name, value in part.changes.items()}, self.schema, self.evidence)

    def _find(
        self, sets: Places, fields: npt.NDArray[np.bool_], risks: Floats, far: Floats, order: Places, most_answers: int
    ) -> None:
        """Add the answers among these sets, one for the same fields."""
        found: list[Answer] = []
        for made in self._made(sets, fields, risks, order, self.below):
            if not made.supported:
                self.unsupported += 1
                continue
            edited = made.edited or self._make(made.parts)
            changes = {name: value for name, value in edited.asked.items() if value is not None}
            told = tuple(self._told(edited, name) for name in changes)
            follows = cascade_sentences(edited, self.schema)
            support = self._around.support(edited.row, edited.changed)
            found.append(Answer(changes, edited, made.risk, float(far[made.place]), told, follows, support))
            self.lowest = min(self.lowest, made.risk)
            if len(self.answers) + len(found) == most_answers:
                break
        self.answers += sorted(found, key=lambda answer: (answer.distance, answer.risk))

    def _told(self, edited: Edited, name: str) -> str:
        feature = self.schema.feature(name)
        before, after = (words.quantity(row.get(name), feature, self.schema) for row in (edited.before, edited.row))
        return words.say("change to", label=feature.label, before=before, after=after)

    # -- telling ------------------------------------------------------------------------------------------------------------

    def result(self, most_fields: int) -> Changes:
        return Changes(
            self.below,
            self.risk,
            tuple(self.answers),
            self.lowest,
            self.unsupported,
            self.searched,
            self.complete,
            self._note(most_fields),
        )

    def _note(self, most_fields: int) -> str:
        if self.risk < self.below:
            return words.say("change reached")
        if not self.parts:
            return words.say("change nowhere")
        told = []
        if not self.answers:
            fields = words.say("one field") if most_fields == 1 else words.say("fields", count=most_fields)
            lowest = words.percent(self.lowest)
            told.append(words.say("change unlike" if self.unsupported else "change none", fields=fields, risk=lowest))
        elif self.unsupported:
            told.append(words.say("unlike left out", count=words.count(self.unsupported)))
        if not self.complete:
            told.append(words.say("change searched", rows=words.count(self.searched)))
        return " ".join(told)


@lru_cache(maxsize=64)
def _combinations(few: int, size: int) -> Places:
    """All ways to choose, int64 [size, ways], places rising."""
    return np.array(list(combinations(range(few), size)), dtype=np.int64).reshape(-1, size).T


def _padded(rows: Sequence[Places], size: int) -> Places:
    """Places of the parts of sets, filled up with −1 to the same number of parts."""
    return np.stack([*rows, *(np.full_like(rows[0], -1) for _ in range(size - len(rows)))])

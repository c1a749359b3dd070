"""What would have to change: the smallest sets of edits of editable fields that bring one customer below a chosen risk.

Candidates are the levels a category can have in this row and, of a number, quantiles of the reference sample. What each does
alone is known exactly; sets of two and three are screened by laying these effects over each other and scoring them in one batch.
What the screening finds is then made by the edit engine (*had it always been so*) and scored anew, so that every answer keeps all
rules, derivations and ranges, and none rests on the screening. Sets that no real customer resembles are counted and left out.
Sets are sought by number of edits, then by how far they go; one that holds a smaller answer is no answer.

For a page::

    found = what_would_have_to_change(customer.row, band.below, model=pair.bundle.model, evidence=pair.evidence,
                                      reference=pair.bundle.reference)
    for answer in found.answers: answer.words, answer.risk, answer.cascade
    found.note                                          # what to say beside, or instead
    state.scenario().to(answer.changes, customer.row)   # fill the what-if, as one step that can be undone
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from churn import words
from churn.data.schema import Feature, Schema
from churn.model.risk_model import RiskModel
from churn.understand.evidence import Evidence, Support
from churn.understand.what_if import Edited, cascade_sentences, choices, edit, limits, same, table_of

MOST_FIELDS: Final = 3
MOST_ANSWERS: Final = 5
_TRIES: Final = 3  # of one set of fields, before others get their turn
_CHUNK: Final = 32  # sets that are made by the edit engine and scored at a time


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
    reference: pl.DataFrame,
    most_fields: int = MOST_FIELDS,
    most_answers: int = MOST_ANSWERS,
) -> Changes:
    """The smallest sets of edits that bring a customer's risk below a limit, such as the end of a lower band.

    Parameters
    ----------
    row: the conformed customer, column → value. below: the risk to come under, 0–1. model: any; of one whose reasons are slow,
    fewer candidates are tried. reference: the model's reference sample. most_fields: 1 to 3.

    Raises
    ------
    SchemaError: the schema's rules contradict each other.
    """
    effort = _QUICK if model.quick else _SLOW
    search = _Search(row, below, model, evidence, reference, effort)
    for size in range(1, most_fields + 1):
        if search.risk < below or len(search.answers) >= most_answers or not search.candidates:
            break
        search.look(size, most_answers)
    return search.result(most_fields)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Edits of one field, or of some that have to be seen together, with all that follows from them: `effect`."""

    changes: Mapping[str, str | float]
    distance: float
    effect: Mapping[str, Any]


class _Search:
    """One customer's search: the candidates, and what has been found so far."""

    def __init__(
        self,
        row: Mapping[str, Any],
        below: float,
        model: RiskModel,
        evidence: Evidence,
        reference: pl.DataFrame,
        effort: _Effort,
    ) -> None:
        self.row, self.below, self.model, self.evidence, self.effort = row, below, model, evidence, effort
        self.schema: Schema = model.schema
        self.risk = float(model.score(table_of([row], self.schema)).risk[0])
        self.answers: list[Answer] = []
        self.lowest, self.unsupported, self.searched, self.complete = self.risk, 0, 0, True
        self._spread: dict[str, float] = {}
        self.candidates = list(self._singles(reference))
        self.together = list(self._opened()) if self.candidates else []  # of two fields, one of which opens the other

    # -- candidates ---------------------------------------------------------------------------------------------------------

    def _singles(self, reference: pl.DataFrame) -> Iterator[_Candidate]:
        for feature in self.schema.features:
            if not feature.editable:
                continue
            known = set[str | float]()
            if feature.is_number:
                values: Sequence[str | float] = self._numbers(feature, reference)
            else:
                values = [level.value for level in choices(self.row, feature, self.schema, self.evidence)]
            for value in values:
                if same(value, self.row.get(feature.name)):
                    continue
                candidate = self._candidate({feature.name: value})
                if candidate is not None and candidate.changes[feature.name] not in known:  # two may stop at the same number
                    known.add(candidate.changes[feature.name])
                    yield candidate

    def _numbers(self, feature: Feature, reference: pl.DataFrame) -> list[float]:
        """Quantiles of the reference within what may be asked for, whole where the column is."""
        known = reference[feature.name].drop_nulls().cast(pl.Float64).to_numpy()
        if not known.size:
            return []
        first, last = np.quantile(known, [0.01, 0.99])
        self._spread[feature.name] = float(last - first) or 1.0
        low, high = limits(feature)
        cuts = np.quantile(known, np.linspace(0.01, 0.99, self.effort.values), method="nearest").clip(low, high)
        return sorted({float(words.rounded(cut)) if feature.whole else float(cut) for cut in cuts})

    def _candidate(self, changes: Mapping[str, str | float]) -> _Candidate | None:
        """The edits with their effect; None where they do not come about as asked."""
        edited = edit(self.row, changes, self.schema, self.evidence)
        if edited.asked.keys() != changes.keys():
            return None
        asked = {name: value for name, value in edited.asked.items() if value is not None}
        return _Candidate(asked, self._distance(asked), {name: edited.row[name] for name in edited.changed})

    def _distance(self, changes: Mapping[str, str | float]) -> float:
        total = 0.0
        for name, value in changes.items():
            own = self.row.get(name)
            if isinstance(value, str) or words.is_nothing(own):
                total += 1.0
            else:
                total += abs(value - float(own)) / self._spread[name]  # type: ignore[arg-type]
        return total

    def _opened(self) -> Iterator[_Candidate]:
        """Two edits of which the first makes the second possible: internet at all, and a service on it."""
        categories = [feature for feature in self.schema.categories if feature.editable]
        now = {f.name: {x.value for x in choices(self.row, f, self.schema, self.evidence)} for f in categories}
        for first in self.candidates:
            changed = {**self.row, **first.effect}
            for feature in categories:
                if feature.name in first.changes or feature.name not in first.effect:
                    continue
                for level in choices(changed, feature, self.schema, self.evidence):
                    if level.value in now[feature.name] or same(level.value, changed[feature.name]):
                        continue
                    pair = self._candidate({**first.changes, feature.name: level.value})
                    if pair is not None:
                        yield pair

    def _opened_twice(self, pairs: Sequence[_Candidate]) -> Iterator[_Candidate]:
        """Three edits of which the first makes both others possible."""
        for one, other in combinations(pairs, 2):
            shared = one.changes.keys() & other.changes.keys()
            if len(shared) == 1 and all(same(one.changes[name], other.changes[name]) for name in shared):
                triple = self._candidate({**one.changes, **other.changes})
                if triple is not None:
                    yield triple

    # -- looking ------------------------------------------------------------------------------------------------------------

    def look(self, size: int, most_answers: int) -> None:
        """Find the answers of so many edits; sets that hold a smaller answer are not looked at."""
        taken = [frozenset(answer.changes) for answer in self.answers]
        parts = self._sets(size, taken)
        if not parts:
            return
        risks = self._screen(parts)
        if size == 1:  # what tells which candidates are worth combining, where not all can be
            order = np.argsort(risks, kind="stable")
            self.candidates = [parts[i][0] for i in order]
        self.searched += len(parts)
        distances = np.array([sum(part.distance for part in chosen) for chosen in parts])
        reaching = np.flatnonzero(risks < self.below)
        self._answers(parts, reaching[np.lexsort((risks[reaching], distances[reaching]))], most_answers)
        if not self.answers:
            self._lowest(parts, np.argsort(risks, kind="stable"), risks)

    def _sets(self, size: int, taken: Sequence[frozenset[str]]) -> list[tuple[_Candidate, ...]]:
        """The sets of so many edits, each as the candidates it is laid together from."""

        def fresh(chosen: Sequence[_Candidate]) -> bool:
            fields = {name for part in chosen for name in part.changes}
            return not any(smaller <= fields for smaller in taken)

        singles = [candidate for candidate in self.candidates if fresh([candidate])]
        if size == 1:
            return [(candidate,) for candidate in singles]
        while len(singles) > size and comb(len(singles), size) > self.effort.screened:
            singles.pop()  # the one that does least alone
            self.complete = False
        pairs = [pair for pair in self.together if fresh([pair])]
        clashes = self._clashing(singles)
        found: list[tuple[_Candidate, ...]] = []
        numbered = list(enumerate(singles))
        fields = [next(iter(single.changes)) for single in singles]
        for chosen in combinations(numbered, size):
            places = [place for place, _ in chosen]
            if len({fields[place] for place in places}) < size:
                continue
            clash = next(((i, j) for i, j in combinations(places, 2) if (i, j) in clashes), None)
            if clash is None:
                found.append(tuple(single for _, single in chosen))
            elif (both := clashes[clash]) is not None:
                found.append((both, *(single for place, single in chosen if place not in clash)))
        if size == 2:
            found += [(pair,) for pair in pairs]
        else:
            found += [(pair, single) for pair in pairs for single in singles if not pair.changes.keys() & single.changes.keys()]
            found += [(triple,) for triple in self._opened_twice(pairs)]
        return [chosen for chosen in found if fresh(chosen)] if taken else found

    def _clashing(self, singles: Sequence[_Candidate]) -> dict[tuple[int, int], _Candidate | None]:
        """Pairs whose effects cannot be laid over each other, with their effect together; None where one undoes the other."""
        found: dict[tuple[int, int], _Candidate | None] = {}
        for (i, first), (j, second) in combinations(enumerate(singles), 2):
            if first.changes.keys() & second.changes.keys():
                continue
            shared = first.effect.keys() & second.effect.keys()
            if any(not same(first.effect[name], second.effect[name]) for name in shared):
                found[i, j] = self._candidate({**first.changes, **second.changes})
        return found

    def _screen(self, sets: Sequence[tuple[_Candidate, ...]]) -> npt.NDArray[np.float64]:
        """The risk of each set, its effects laid over each other, float64 [sets]; all in one batch."""
        own = {id(part): part for chosen in sets for part in chosen}
        parts = list(own.values())
        place = {key: i + 1 for i, key in enumerate(own)}
        width = max(len(chosen) for chosen in sets)
        which = np.zeros((width, len(sets)), dtype=np.int64)  # 0: nothing more
        for column, chosen in enumerate(sets):
            for depth, part in enumerate(chosen):
                which[depth, column] = place[id(part)]
        columns = []
        for feature in self.schema.features:
            values = [self.row.get(feature.name), *(part.effect.get(feature.name) for part in parts)]
            sets_it = np.array([True, *(feature.name in part.effect for part in parts)])
            last = np.zeros(len(sets), dtype=np.int64)  # whose value counts: that of the last part that sets it
            for layer in which:
                last = np.where(sets_it[layer] & (layer > 0), layer, last)
            kind = pl.Float64 if feature.is_number else pl.String
            columns.append(pl.Series(feature.name, values, dtype=kind).gather(pl.Series(last)))
        return self.model.score(pl.DataFrame(columns)).risk

    def _made(
        self, sets: Sequence[tuple[_Candidate, ...]], order: npt.NDArray[np.int64], below: float
    ) -> Iterator[tuple[Edited, float, float, Support]]:
        """Sets in that order as the edit engine makes them, where that takes the risk below a limit.

        Each with its risk, distance and support. At most `_TRIES` of the same fields are made.
        """
        tried: dict[frozenset[str], int] = {}
        chosen: list[int] = []
        for place in order.tolist():
            fields = frozenset(name for part in sets[place] for name in part.changes)
            tried[fields] = tried.get(fields, 0) + 1
            if tried[fields] <= _TRIES:
                chosen.append(place)
            if len(chosen) == self.effort.made:
                break
        for start in range(0, len(chosen), _CHUNK):
            some = [sets[place] for place in chosen[start : start + _CHUNK]]
            wanted = [{name: value for part in parts for name, value in part.changes.items()} for parts in some]
            edits = [edit(self.row, changes, self.schema, self.evidence) for changes in wanted]
            risks = self.model.score(table_of([edited.row for edited in edits], self.schema)).risk.tolist()
            kept = [
                (edited, risk, sum(part.distance for part in parts))
                for edited, risk, parts, changes in zip(edits, risks, some, wanted, strict=True)
                if risk < below and edited.asked.keys() == changes.keys()
            ]
            supports = self.evidence.supports(self.row, [(edited.row, edited.changed) for edited, _, _ in kept])
            yield from ((*made, support) for made, support in zip(kept, supports, strict=True))

    def _answers(self, sets: Sequence[tuple[_Candidate, ...]], order: npt.NDArray[np.int64], most_answers: int) -> None:
        taken: set[frozenset[str]] = set()
        for edited, risk, distance, support in self._made(sets, order, self.below):
            fields = frozenset(edited.asked)
            if fields in taken:
                continue
            if not support.supported:
                self.unsupported += 1
                continue
            taken.add(fields)
            changes = {name: value for name, value in edited.asked.items() if value is not None}
            told = tuple(self._told(edited, name) for name in changes)
            follows = cascade_sentences(edited, self.schema)
            self.answers.append(Answer(changes, edited, risk, distance, told, follows, support))
            self.lowest = min(self.lowest, risk)
            if len(self.answers) == most_answers:
                return

    def _lowest(
        self, sets: Sequence[tuple[_Candidate, ...]], order: npt.NDArray[np.int64], risks: npt.NDArray[np.float64]
    ) -> None:
        """The lowest risk that a set like real customers reaches, where no answer was found."""
        lower = order[risks[order] < self.lowest]
        for _, risk, _, support in self._made(sets, lower, self.lowest):
            if support.supported:
                self.lowest = risk
                return

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
        if not self.candidates:
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

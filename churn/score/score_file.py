"""A file to be scored: which column is which, what is wrong where, and the scores as people read them.

Everything here is in memory and goes with whoever holds it: nothing is stored, and these scores are no logged predictions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from churn import words
from churn.base.groups import BAND
from churn.base.snapshot import RISK, reason_column
from churn.data import quality
from churn.data.quality import Violation
from churn.data.schema import Schema
from churn.data.values import numbers
from churn.score import batch, people
from churn.understand.account import Typical

if TYPE_CHECKING:
    from churn.model.risk_model import RiskModel

REASONS = 3
_BEGINNING = 5  # letters of a name with which another one may begin
_ALIKE = 0.72  # of two names, from which one may be meant by the other (difflib's ratio of their letters)


@dataclass(frozen=True)
class Match:
    """Which column of a file each column of the schema is found in.

    `found`: column of the schema → that of the file. `missing` are needed and not found; `suggested` names for some of them a
    column of the file that may be meant, for a person to confirm. `unused`: columns of the file that are not looked at.
    """

    found: Mapping[str, str]
    missing: tuple[str, ...]
    suggested: Mapping[str, str]
    unused: tuple[str, ...]


def match(columns: Sequence[str], schema: Schema, renamed: Mapping[str, str] = MappingProxyType({})) -> Match:
    """Find the schema's columns among those of a file, by their exact name or as somebody said.

    Parameters
    ----------
    renamed: column of the schema → column of the file, as confirmed; names that are not there are left out.
    """
    there = set(columns)
    found = {name: renamed[name] for name in schema.needed if renamed.get(name) in there}
    found |= {name: name for name in schema.needed if name in there and name not in found and name not in found.values()}
    missing = tuple(name for name in schema.needed if name not in found)
    if schema.snapshot and schema.target.column in there:  # with dates, who is known to have left is not scored
        found[schema.target.column] = schema.target.column
    unused = tuple(column for column in columns if column not in found.values())
    free = [column for column in unused if column != schema.target.column and column not in schema.contacts.columns]
    return Match(found, missing, _suggested(missing, free, schema), unused)


def _suggested(missing: Sequence[str], free: Sequence[str], schema: Schema) -> dict[str, str]:
    """The likeliest pairs first, each column of the file for one column only."""
    pairs = [
        (max(_likeness(column, name), _likeness(column, label_of(name, schema))), name, column)
        for name in missing
        for column in free
    ]
    suggested: dict[str, str] = {}
    for likeness, name, column in sorted(pairs, key=lambda pair: -pair[0]):
        if likeness >= _ALIKE and name not in suggested and column not in suggested.values():
            suggested[name] = column
    return suggested


def _likeness(one: str, other: str) -> float:
    a, b = (re.sub(r"[\W_]+", "", name).casefold() for name in (one, other))
    if not a or not b:
        return 0.0
    if a == b:
        return 1.0
    short, long = sorted((a, b), key=len)
    begins = len(short) >= _BEGINNING and long.startswith(short)  # "Tenure (months)"
    return max(SequenceMatcher(None, a, b).ratio(), _ALIKE if begins else 0.0)


def label_of(name: str, schema: Schema) -> str:
    """What people call a column of the schema, features or not."""
    if name in schema:
        return schema.feature(name).label
    spoken = {schema.key: "customer number", schema.target.column: "outcome"}
    if schema.snapshot:
        spoken[schema.snapshot.column] = "snapshot date"
    if schema.money:
        spoken.setdefault(schema.money.column, "revenue")
    return words.say(f"column {spoken[name]}") if name in spoken else name


@dataclass(frozen=True)
class Checked:
    """A file held against the schema.

    `table`: the rows with the schema's names, as they stand in the file (or put right, where that was asked for).
    `problems`: what keeps rows from being scored, each of one row or (row None) of all; `notices`: what scores all the same but
    deserves a look. `good`: Boolean [rows], which rows can be scored. `fixable`: problems that can be put right without loss, and
    `fixed`, how many were.
    """

    table: pl.DataFrame
    match: Match
    problems: tuple[Violation, ...]
    notices: tuple[Violation, ...]
    good: pl.Series
    fixable: int
    fixed: int = 0

    @property
    def rows(self) -> int:
        return self.table.height

    @property
    def scorable(self) -> int:
        """How many rows can be scored."""
        return int(self.good.sum())

    @property
    def whole(self) -> tuple[Violation, ...]:
        """Problems of the whole file."""
        return tuple(problem for problem in self.problems if problem.row is None)


def check(table: pl.DataFrame, schema: Schema, matched: Match, *, fix: bool = False) -> Checked:
    """Name every cell that keeps a row from being scored.

    Parameters
    ----------
    table: as `churn.data.source.parse_table` gives it. fix: put right what can be without loss (`churn.data.quality.fix`).
    """
    own = table.select(pl.Series(name, table[column]) for name, column in matched.found.items())
    target = schema.target.column in matched.found
    before = 0
    if fix:
        before = _fixable(quality.check(own, schema, target=target))
        own, _ = quality.fix(own, schema, target=target)
    report = quality.check(own, schema, target=target, labels=True)
    absent = tuple(Violation(name, None, None, words.say("column missing")) for name in matched.missing)
    of_file = tuple(one for one in report.errors if one.row is None and one.column not in matched.missing)
    of_rows = tuple(one for one in report.errors if one.row is not None)
    bad = pl.Series([one.row - 1 for one in of_rows if one.row is not None], dtype=pl.Int64).unique()
    good = pl.Series([not (absent or of_file)]).new_from_index(0, table.height).scatter(bad, False)
    fixable = _fixable(report)
    fixed = before - fixable if fix else 0
    return Checked(own, matched, (*absent, *of_file, *of_rows), report.warnings, good, fixable, fixed)


def _fixable(report: quality.Report) -> int:
    return sum(one.fix is not None for one in report.errors)


def problem_table(problems: Sequence[Violation], schema: Schema, matched: Match) -> pl.DataFrame:
    """Column, column in the file, row (counted below the header), value, what is wrong and what it would be put right to."""
    kinds = {"column": pl.String, "file": pl.String, "row": pl.Int64, "value": pl.String, "rule": pl.String, "fix": pl.String}
    rows = [
        (label_of(one.column, schema), matched.found.get(one.column), one.row, one.value, one.rule, one.fix) for one in problems
    ]
    headings = {words.say(f"report {name}"): kind for name, kind in kinds.items()}
    return pl.DataFrame(rows, schema=headings, orient="row")


def to_look_at(checked: Checked, schema: Schema) -> pl.DataFrame:
    """Problems and notices together, as `problem_table`, with a column that tells whether the row is scored all the same.

    A notice stands once, at the first of its rows, and says how many there are.
    """
    said = words.say
    notices = [
        replace(one, rule=said("report others", rule=rule, count=words.count(one.count)) if one.count > 1 else rule)
        for one, rule in ((one, notice_rule(one)) for one in checked.notices)
    ]
    table = problem_table((*checked.problems, *notices), schema, checked.match)
    counts = [said("report not scored")] * len(checked.problems) + [said("report scored")] * len(notices)
    return table.with_columns(pl.Series(said("report counts"), counts, dtype=pl.String))


def notice_rule(notice: Violation) -> str:
    """What deserves a look; the reader knows of a model, not of its schema."""
    return notice.rule.replace("the schema was made", "the model was trained").replace("the schema", "the model")


def shown_value(violation: Violation, schema: Schema) -> str | None:
    """The cell as people write it, `$9,999,999`, where it can be read; else as it stands."""
    if violation.value is None or violation.column not in schema:
        return violation.value
    feature = schema.feature(violation.column)
    if not feature.is_number:
        return words.exact(violation.value, feature, schema)
    number = numbers(pl.Series([violation.value]), schema.missing).values[0]
    return violation.value if number is None else words.exact(number, feature, schema)


@dataclass(frozen=True)
class FileScores:
    """What scoring a file gave. `table`: as `churn.score.people.scored_for_people`, the riskiest first.

    `by_band`: customers by band, lowest first. `gone`, `earlier`, `behind` as `churn.score.batch.Scored`. `without_reasons`:
    customers whose reasons were not worked out, for the model takes long. `unknown`: customers with a level that
    the model does not know.
    """

    table: pl.DataFrame
    average_risk: float
    by_band: tuple[tuple[str, int], ...]
    gone: int
    earlier: int
    behind: int
    without_reasons: int
    unknown: int = 0


def score(
    checked: Checked,
    model: RiskModel,
    typical: Typical,
    *,
    simulated: bool = False,
    slow_reasons: int | None = None,
    progress: batch.Progress | None = None,
) -> FileScores:
    """Score the good rows of a file.

    Parameters
    ----------
    typical: what is usual, from the model's reference. slow_reasons: as `churn.score.batch.score`.
    simulated: whether every row says that its data are made up.

    Raises
    ------
    DataError: no row can be scored.
    """
    schema = model.schema
    target = schema.target.column in checked.match.found
    rows = quality.conform(checked.table.filter(checked.good), schema, target=target)
    scored = batch.score(rows, model, REASONS, slow_reasons=slow_reasons, progress=progress)
    if progress:
        progress("Putting reasons in words", rows.height, rows.height)
    counts = dict(scored.rows.group_by(BAND).len().iter_rows())
    reasons = reason_column(1) in scored.rows.columns
    return FileScores(
        table=people.scored_for_people(scored, schema, typical, simulated=simulated),
        average_risk=float(scored.rows[RISK].mean()),  # type: ignore[arg-type]
        by_band=tuple((band.name, counts.get(code, 0)) for code, band in enumerate(schema.bands)),
        gone=scored.gone,
        earlier=scored.earlier,
        behind=scored.behind,
        without_reasons=scored.rows.height - scored.explained if reasons and scored.explained is not None else 0,
        unknown=people.not_known(scored.rows, schema).count(),
    )

"""What a session does with a file: read it, match its columns, check its rows, score the good ones.

The rows are kept by the session they were sent in, and go with it or with the file: nobody else can ask for them, and nothing
of them is written anywhere.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl
import streamlit as st

from churn.base.snapshot import ROWS
from churn.data.source import parse_table, sheets
from churn.errors import ChurnError, SourceError
from churn.score import score_file
from churn.score.batch import Progress
from churn.score.score_file import Checked, FileScores, Match
from pages.shared import data
from pages.shared.data import Pair

MOST_ROWS = 200_000  # a session holds them all; the command line has no such limit
RENAMED = "_column "  # of keys: the column of the file chosen for a column that is missing
_WORK = "_file"
_SLOW_REASONS = 200  # somebody waits for them
_one_at_a_time = threading.Lock()  # scoring a file takes a processor and some hundred megabytes


@dataclass
class Work:
    """One file on its way to its scores. `problem`: why it could not be read.

    `id`: what was sent and how it is to be read; another one is another work. `token` goes into the names of its downloads:
    large files of the same length and name could be taken for each other.
    """

    id: tuple[str, ...]
    name: str
    table: pl.DataFrame | None = None
    problem: str = ""
    token: str = field(default_factory=lambda: str(uuid.uuid4()))
    _checked: tuple[object, Checked] | None = None
    _scores: tuple[object, FileScores] | None = None

    def checked(self, pair: Pair, renamed: Mapping[str, str], fix: bool) -> Checked:
        """The file held against the schema of the model in use, with columns renamed as was said."""
        assert self.table is not None
        question = (pair.bundle.version, tuple(sorted(renamed.items())), fix)
        if self._checked is None or self._checked[0] != question:
            self._scores = None
            matched = score_file.match(self.table.columns, pair.schema, renamed)
            self._checked = (question, score_file.check(self.table, pair.schema, matched, fix=fix))
        return self._checked[1]

    def matched(self, pair: Pair, renamed: Mapping[str, str]) -> Match:
        assert self.table is not None
        return score_file.match(self.table.columns, pair.schema, renamed)

    @property
    def scores(self) -> FileScores | None:
        """The scores of what was checked last, once there are any."""
        return self._scores[1] if self._scores and self._checked and self._scores[0] is self._checked[0] else None

    def score(self, pair: Pair, progress: Progress) -> None:
        """Score the rows that can be. Raises DataError where none can."""
        assert self._checked is not None
        question, checked = self._checked
        settings = data.desk().settings
        with _one_at_a_time:
            scores = score_file.score(
                checked,
                pair.bundle.model,
                pair.typical,
                simulated=settings.simulated or pair.snapshot.simulated,
                slow_reasons=min(settings.slow_reasons, _SLOW_REASONS),
                progress=progress,
            )
        self._scores = (question, scores)


def sent(name: str, identity: str, content: bytes, sheet: str | None) -> Work:
    """The work on a file somebody sent; what was read once is not read again."""
    work = _kept((identity, sheet or ""), name)
    if work.table is None and not work.problem:
        try:
            work.table = parse_table(content, name, sheet=sheet, most_rows=MOST_ROWS)
        except SourceError as error:
            work.problem = str(error)
    return work


def picked(pair: Pair, scoring: str, name: str) -> Work:
    """The work on a table that was scored before: its rows as they were then."""
    work = _kept(("scoring", scoring), name)
    if work.table is None and not work.problem:
        try:
            path = data.desk().registry.scoring_folder(scoring) / ROWS
            there = set(pl.read_parquet_schema(path))
            work.table = pl.read_parquet(path, columns=[column for column in pair.schema.needed if column in there])
        except ChurnError as error:
            work.problem = str(error)
    return work


def let_go() -> None:
    """Forget the file of this session, its rows and its scores."""
    st.session_state.pop(_WORK, None)
    for key in [key for key in st.session_state if str(key).startswith(RENAMED)]:
        del st.session_state[key]


def sheets_of(identity: str, content: bytes) -> tuple[str, ...]:
    """The sheets of a workbook, looked up once for a file."""
    known: tuple[str, tuple[str, ...]] | None = st.session_state.get("_file_sheets")
    if known is None or known[0] != identity:
        known = (identity, sheets(content))
        st.session_state["_file_sheets"] = known
    return known[1]


def _kept(identity: tuple[str, ...], name: str) -> Work:
    work: Work | None = st.session_state.get(_WORK)
    if work is None or work.id != identity:
        let_go()  # before the next one is read, so that the two are never in memory together
        work = Work(identity, name)
        st.session_state[_WORK] = work
    return work

"""The nightly run: outcomes, the base as it is now, whether it may be scored, the scoring, the log, the watch.

Done twice it changes nothing more. A table that must not be scored is held back with its report; the desk stays as it was, and
the watch still looks and says so; the same goes for one that cannot be read. What fails on the way to the desk leaves it as it
was; what fails beside that is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from churn import words
from churn.act import segments
from churn.data import incoming
from churn.data.incoming import IncomingReport
from churn.data.quality import conform, remarks, without_values
from churn.data.source import read_table, shown_url
from churn.errors import ChurnError, DataError, NoChampion, NotInStore, SettingsError, SourceError, StoreUnavailable
from churn.model.bundle import Bundle
from churn.model.registry import Pointer, ScoringInfo
from churn.renew import watching
from churn.renew.retrain import Desk, real
from churn.renew.watching import Watched
from churn.score import batch, forgotten, quarantine
from churn.score.batch import Scored
from churn.score.outcomes import OutcomeReport, import_outcomes
from churn.score.publish import Published, publish
from churn.score.quarantine import Held

Progress = Callable[[str, int, int], None]
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"|“[^”]*”|=\([^)]*\)""")  # the last: as PostgreSQL names a row
_LONGEST = 300  # signs of a message that an alert repeats


@dataclass(frozen=True, slots=True)
class Table:
    """Where a table is: a file, s3:// or a database URL, with the SQL or the sheet."""

    place: str
    query: str | None = None


@dataclass(frozen=True)
class Refreshed:
    """What a run did. `held`: the batch, where the table was held back; `unread`: why the table could not be read, and then there
    is no `report`. In both cases nothing was scored or published.

    `as_of`: the day the rows are about; `outcomes`: None where there was no source of them; `problems`: what failed and did not
    stop it, `warnings`: what is odd about the table; both in words.
    """

    model: str
    as_of: date
    report: IncomingReport | None
    unread: ChurnError | None
    held: Held | None
    scored: Scored | None
    published: Published | None
    outcomes: OutcomeReport | None
    watched: Watched
    warnings: tuple[str, ...]
    problems: tuple[str, ...]


def refresh(
    desk: Desk,
    *,
    today: date,
    source: Table | None = None,
    outcomes: Table | None = None,
    as_of: date | None = None,
    reasons: int = 3,
    act: bool = True,
    environ: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Refreshed:
    """Bring the desk up to date.

    Parameters
    ----------
    today: the day it is.
    source, outcomes: the tables; those of the settings unless given. There need be no outcomes.
    as_of: the day the rows are about, where they do not say; today unless given.
    act, environ: as `churn.renew.watching.watch` takes them.

    Raises
    ------
    NoChampion, SettingsError: there is nothing to score with, or no source. DataError: all customers of the table asked to be
    forgotten. WorkspaceMixed: the table is simulated. StoreConflict: somebody else was faster. Else as publishing and watching.
    """
    step = progress or _silent
    pointer = desk.registry.pointer()
    if pointer is None:
        raise NoChampion("there is no champion to score with; train one: churn train TABLE --schema schema.yaml --promote")
    table = source or Table(desk.settings.source, desk.settings.source_query or None)
    if not table.place:
        raise SettingsError("there is no table to score; name one, or set 'source'")
    bundle = desk.registry.load_model(pointer.model)
    shown = _shown(desk, pointer)
    step("Reading outcomes", 0, 0)
    told, problems = _outcomes(desk, bundle, outcomes, today)
    unsaid = [f"Outcomes: {forgotten.left_out(told.forgotten)}"] if told and told.forgotten else []
    step("Reading", 0, 0)
    try:
        raw = read_table(table.place, query=table.query, settings=desk.settings, real=real(desk.settings))
    except (SourceError, DataError, NotInStore, StoreUnavailable) as error:
        watched = watching.watch(desk, today=today, environ=environ, act=act, unread=_quoting_nothing(error), progress=progress)
        problems += watched.problems
        day = as_of or today
        return Refreshed(bundle.version, day, None, error, None, None, None, told, watched, tuple(unsaid), tuple(problems))
    step("Checking", 0, 0)
    report = incoming.inspect(
        raw,
        bundle.schema,
        bundle.reference,
        rows_before=shown.rows if shown else None,
        shown=date.fromisoformat(shown.as_of) if shown and shown.as_of else None,
        as_of=as_of or (None if bundle.schema.snapshot else today),
        today=today,
    )
    held = scored = published = None
    warnings = [*unsaid, *(check.words for check in report.warnings)]
    if report.status == "bad" and not (report.releasable and quarantine.is_released(desk.store, report.batch)):
        held = quarantine.hold(desk.store, raw, report, source=shown_url(table.place))
    else:
        scored, remarked = _score(desk, bundle, raw, reasons, step)
        day = report.newest or as_of or today
        published = publish(scored, bundle, desk.registry, desk.store, as_of=day, who=desk.who, progress=progress)
        problems += segments.count_shown(desk.settings, desk.registry, bundle.schema, published.scoring)
        warnings += remarked
    watched = watching.watch(desk, today=today, environ=environ, act=act, unread="", progress=progress)
    return Refreshed(
        model=bundle.version,
        as_of=report.newest or as_of or today,
        report=report,
        unread=None,
        held=held,
        scored=scored,
        published=published,
        outcomes=told,
        watched=watched,
        warnings=tuple(warnings),
        problems=(*problems, *watched.problems),
    )


def _outcomes(desk: Desk, bundle: Bundle, given: Table | None, today: date) -> tuple[OutcomeReport | None, list[str]]:
    """Import outcomes, if there is a source of them. One that cannot be read does not keep the base from being scored."""
    table = given or Table(desk.settings.outcomes_source, desk.settings.outcomes_query or None)
    if not table.place:
        return None, []
    try:
        raw = read_table(table.place, query=table.query, settings=desk.settings, real=real(desk.settings))
        if raw.is_empty():
            return None, []
        told = import_outcomes(raw, bundle.schema, desk.store, today=today)
    except ChurnError as error:
        return None, [f"Outcomes were not imported: {error}"]
    if not told.refused:
        return told, []
    verb = "was" if len(told.refused) == 1 else "were"
    return told, [f"{words.counted(len(told.refused), 'outcome')} {verb} not taken; the first: {told.refused[0]}"]


def _score(desk: Desk, bundle: Bundle, raw: pl.DataFrame, reasons: int, step: Progress) -> tuple[Scored, list[str]]:
    schema, settings = bundle.schema, desk.settings
    conformed = conform(raw, schema, target=schema.target.column in raw.columns)
    conformed, dropped = forgotten.of(desk.store).without(conformed, schema.key)
    if conformed.is_empty():
        raise DataError("the table has no customer to score")
    warnings = [*without_values(conformed, bundle.reference, schema), *remarks(conformed, schema)]
    if dropped:
        warnings.append(forgotten.left_out(dropped))
    some, sample = settings.slow_reasons, settings.slow_sample
    return batch.score(conformed, bundle.model, reasons, slow_reasons=some, slow_sample=sample, progress=step), warnings


def _quoting_nothing(error: ChurnError) -> str:
    """Why a table cannot be read, as an alert may say it: what a message quotes may be a value of a customer."""
    return _QUOTED.sub("…", " ".join(str(error).split()))[:_LONGEST]


def _shown(desk: Desk, pointer: Pointer) -> ScoringInfo | None:
    return next((info for info in desk.registry.scorings() if info.id == pointer.scoring), None)


def _silent(doing: str, done: int, total: int) -> None:
    pass

"""`churn score` and `churn outcomes import`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.markup import escape

from churn import words
from churn.act import segments
from churn.base.snapshot import LEFT, RISK
from churn.cli.common import (
    changing,
    customers,
    first_steps,
    keep,
    last_day,
    next_command,
    not_ahead,
    out,
    print_json,
    progress,
    real_workspace,
    registry_of,
    who,
    without_forgotten,
)
from churn.data import spreadsheet
from churn.data.quality import conform, remarks, without_values
from churn.data.schema import Schema
from churn.data.source import read_table, shown_url
from churn.errors import NoChampion, PromotionRefused, SettingsError
from churn.model.registry import Pointer, Registry, ScoringInfo
from churn.model.store import open_store
from churn.score import batch, forgotten, people
from churn.score.outcomes import import_outcomes
from churn.score.publish import publish as publish_scoring
from churn.understand.account import Typical

_SHOWN = 10  # refused rows named on screen; --json has all of them
_NAMED = 5  # customers named as examples
outcomes = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(score)


def score(
    context: typer.Context,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="CSV, Parquet, XLSX, a database URL, or s3://bucket/key.")],
    to: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write the result: .parquet, .csv or .xlsx.")] = None,
    reasons: Annotated[int, typer.Option(min=0, max=20, help="How many reasons to give for each customer.")] = 3,
    publish: Annotated[bool, typer.Option("--publish", help="Put the scored base on the desk and into the log.")] = False,
    model: Annotated[str | None, typer.Option(help="Version to score with; the champion unless given.")] = None,
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day the rows are about.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Publish even what is older than the customers on the desk.")] = False,
    query: Annotated[str | None, typer.Option(help="SQL to run, for a database; sheet name, for XLSX.")] = None,
    store: Annotated[str | None, typer.Option(help="Store to use: a folder or s3://bucket/prefix.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Give every customer of a table a risk and the reasons that matter most.

    The table is checked against the champion's schema first: if a value breaks it, nothing is scored, and the message names the
    first violations, with --json all of them. Levels and numbers that were never seen are scored, with a warning. With --publish
    the result becomes what the desk shows, in one step, and its predictions go to the log; doing it twice changes nothing.
    """
    if to is None and not publish:
        raise SettingsError("say where the result goes: --out FILE, --publish, or both")
    if to is not None:
        spreadsheet.check_place(to, table)
    settings = real_workspace(context, store=store)
    registry = registry_of(settings)
    pointer = registry.pointer()
    version = model or (pointer.model if pointer else None)
    if version is None:
        raise NoChampion(f"there is no champion in {open_store(settings).address}; train one: {first_steps(settings)}")
    if publish and pointer and version != pointer.model:
        raise PromotionRefused(
            f"the desk shows the champion's scorings, and that is {pointer.model}, not {version}; "
            f"to change both: {next_command(settings, f'promote {version} --table {shown_url(table)}')}"
        )
    bundle = registry.load_model(version)
    before = _shown(registry, pointer) if publish else None
    with progress() as report, changing(context, registry):
        report("Reading", 0, 0)
        raw = read_table(table, query=query, settings=settings, real=True)
        report("Checking", 0, 0)
        conformed = conform(raw, bundle.schema, target=bundle.schema.target.column in raw.columns)
        day = as_of.date() if as_of else last_day(conformed, bundle.schema)
        if publish:
            _check_day(day, before, force)
        warnings = [*without_values(conformed, bundle.reference, bundle.schema), *remarks(conformed, bundle.schema)]
        conformed, remarked = without_forgotten(conformed, bundle.schema, settings)
        warnings += remarked
        some, sample = settings.slow_reasons, settings.slow_sample
        scored = batch.score(conformed, bundle.model, reasons, slow_reasons=some, slow_sample=sample, progress=report)
        if bundle.schema.snapshot is None and (gone := _marked(scored.rows, bundle.schema)):
            warnings.append(gone)
        if scored.behind:
            warnings.append(
                f"{customers(scored.behind)} missing from the newest snapshot without having left, as far as is known: "
                "scored as last seen."
            )
        if to is not None:
            report("Writing", 0, 0)
            typical = Typical.of(bundle.reference, bundle.schema)
            spreadsheet.write(people.scored_for_people(scored, bundle.schema, typical), to)
            keep(context, f"{to} is written")
        published = (
            publish_scoring(scored, bundle, registry, open_store(settings), as_of=day, who=who(settings), progress=report)
            if publish
            else None
        )
    if published is not None:
        warnings += segments.count_shown(settings, registry, bundle.schema, published.scoring)
    risk = scored.rows[RISK].to_numpy()
    if published and published.new and before and 2 * len(risk) < before.rows:
        back = next_command(settings, "rollback")
        warnings.append(f"The desk showed {customers(before.rows)} before. Were they not meant to go: {back}")
    if as_json:
        result = {
            "model": version,
            "as_of": day,
            "rows": len(risk),
            "mean_risk": float(risk.mean()),
            "gone": scored.gone,
            "earlier": scored.earlier,
            "behind": scored.behind,
            "warnings": warnings,
        }
        print_json(
            {
                **result,
                "out": to,
                "scoring": published.scoring if published else None,
                "new": published.new if published else None,
            }
        )
        return
    out.print(f"{customers(len(risk))} scored with model {version}; average risk {float(risk.mean()):.1%}.")
    if scored.gone or scored.earlier:
        out.print(f"Left out: {scored.gone:,} who have left already, {scored.earlier:,} earlier rows of the same customers.")
    if to is not None:
        out.print(f"Written to {escape(str(to))}.")
    if published:
        now = "On the desk now" if published.new else "Already on the desk"
        out.print(f"{now}: scoring {published.scoring}. Open it with: {next_command(settings, 'app')}")
    for warning in warnings:
        out.print(escape(warning), style="yellow")


def _shown(registry: Registry, pointer: Pointer | None) -> ScoringInfo | None:
    """The scoring that the desk shows now."""
    return next((info for info in registry.scorings() if pointer and info.id == pointer.scoring), None)


def _check_day(day: date, before: ScoringInfo | None, force: bool) -> None:
    """Refuse to show customers as they will be, and, unless told to, as they were before those on the desk."""
    not_ahead(day)
    shown = date.fromisoformat(before.as_of) if before is not None and before.as_of else None
    if shown is not None and day < shown and not force:
        raise PromotionRefused(
            f"the desk shows customers as of {words.day(shown)}, and these are as of {words.day(day)}, which is earlier; "
            "to show them all the same: --force"
        )


def _marked(rows: pl.DataFrame, schema: Schema) -> str | None:
    """A remark on customers who are marked as having left, in a table that does not say since when."""
    gone = int((rows[LEFT] == 1).sum()) if LEFT in rows.columns else 0
    if not gone:
        return None
    verb = "is" if gone == 1 else "are"
    return (
        f"{customers(gone)} {verb} marked as having left ({schema.target.column} = {schema.target.positive}) and scored all the "
        "same, for the table has no dates. Leave out who is gone."
    )


@outcomes.callback()
def _outcomes() -> None:
    """Bring in what became of customers."""


@outcomes.command("import")
def import_(
    context: typer.Context,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Table with the key, the outcome and the day it became known.")],
    query: Annotated[str | None, typer.Option(help="SQL to run, for a database; sheet name, for XLSX.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Take them even if they contradict what is known of many.")] = False,
    store: Annotated[str | None, typer.Option(help="Store to use: a folder or s3://bucket/prefix.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Record who left and who stayed. The same file twice changes nothing, and later files only add to what is known.

    The table has the key; the outcome (the target's column, or `left` with yes or no); the date of the snapshot it is about,
    where the schema has one; and `known_at`, a day. For who left, that is the day they left or, where only an export says so,
    the day of the first export that does; for who stayed, a day on which they were still there.

    Without snapshots, import each export of the base as it comes, such as one a month, with its day as `known_at`. For a
    campaign a customer counts as having left if that was known by the last day that counts, and as having stayed if they were
    still there then.

    A file that contradicts what is known of 20 customers or more, and of more than a tenth of those it names, is refused as a
    whole: most likely Yes and No are swapped, or the keys are another table's.
    """
    settings = real_workspace(context, store=store)
    registry = registry_of(settings)
    pointer = registry.pointer()
    if pointer is None:
        raise NoChampion(f"there is no champion, so nothing says which column is which; train one first: {first_steps(settings)}")
    schema = registry.load_model(pointer.model).schema
    told = read_table(table, query=query, settings=settings, real=True)
    report = import_outcomes(told, schema, open_store(settings), force=force)
    if as_json:
        print_json(asdict(report))
    else:
        known = "Recorded" if report.new or report.part is None else "Already recorded"
        out.print(f"{known}: {words.counted(report.accepted, 'outcome')}, {report.left:,} of them left.")
        if report.unknown_keys:
            named = ", ".join(report.examples[:_NAMED])
            where = "Never scored here" if not report.damaged else "Not in what can be read of the log"
            out.print(escape(f"{where}: {customers(report.unknown_keys)}, such as {named}."))
        if report.contradicted:
            named = ", ".join(report.contradicted[:_NAMED])
            holds = "what was known last holds, and on one day that they left" if schema.snapshot else "that they left stands"
            both = f"{customers(len(report.contradicted))} said to have left, and to have still been there on that day or later"
            both += f", such as {named}"
            out.print(escape(f"Contradicting: {both}; {holds}."), style="yellow")
        if report.forgotten:
            out.print(forgotten.left_out(report.forgotten))
        for problem in report.damaged:
            out.print(escape(f"Not looked at for who was scored here: {problem}."), style="yellow")
        for refusal in report.refused[:_SHOWN]:
            out.print(escape(f"Not taken: {refusal}"))
        if len(report.refused) > _SHOWN:
            out.print(f"… nor {words.counted(len(report.refused) - _SHOWN, 'more row')}.")
    if report.refused or report.damaged:
        raise typer.Exit(1)

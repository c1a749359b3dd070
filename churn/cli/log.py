"""`churn log`: the prediction log — what is in it, taking it out, bringing predictions in, and keeping it small."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from churn import words
from churn.cli.common import first_steps, next_command, out, print_json, real_workspace, registry_of, settings_of
from churn.data import spreadsheet
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.errors import NoChampion, NotInStore, SettingsError
from churn.model.registry import Registry, check_workspace
from churn.model.store import Store, open_store
from churn.score import log as logged
from churn.score import upkeep
from churn.score.importing import RISK_COLUMN, import_predictions
from churn.settings import Settings

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
StoreOption = Annotated[str | None, typer.Option("--store", help="Store to use: a folder or s3://bucket/prefix.")]
Model = Annotated[str | None, typer.Option(help="Only predictions of this version.")]
Since = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only about this day or later ones.")]
Until = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only about this day or earlier ones.")]


@app.callback()
def _log() -> None:
    """The prediction log: what was predicted, for whom, from which values, and when."""


@app.command("list")
def list_(
    context: typer.Context,
    model: Model = None,
    since: Since = None,
    until: Until = None,
    quick: Annotated[bool, typer.Option("--quick", help="Read no part: neither predictions nor where they came from.")] = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Say what is logged, by day and version: how many predictions, where they came from, how much room they take."""
    settings = settings_of(context, store=store)
    place = _store(settings)
    found: dict[tuple[str, date], dict[str, Any]] = {}
    for part in logged.parts(place, model=model, since=_day(since), until=_day(until)):
        start = {"model": part.model, "date": part.date, "runs": 0, "parts": 0, "bytes": 0, "predictions": None, "sources": []}
        day = found.setdefault((part.model, part.date), start)
        day["parts"] += 1
        day["runs"] += len(part.runs)
        day["bytes"] += part.size
        if not quick:
            sources = logged.rows(place, part, [logged.SOURCE])[logged.SOURCE]
            day["predictions"] = (day["predictions"] or 0) + len(sources)
            day["sources"] = sorted({*day["sources"], *sources.unique()})
    if as_json:
        print_json(list(found.values()))
        return
    if not found:
        narrowed = model is not None or since is not None or until is not None
        out.print("Nothing is logged of these." if narrowed else "Nothing is logged yet.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("Day", "Model", "Predictions", "Runs", "Parts", "Room", "From"):
        table.add_column(name, justify="right" if name in ("Predictions", "Runs", "Parts", "Room") else "left")
    for one in found.values():
        figures = (words.count(one[name]) for name in ("predictions", "runs", "parts"))
        table.add_row(words.day(one["date"]), escape(one["model"]), *figures, _room(one["bytes"]), ", ".join(one["sources"]))
    out.print(table)
    if any(one["parts"] > 1 for one in found.values()):
        out.print(f"Days of several parts can be made one: {next_command(settings, 'log compact')}")


@app.command()
def read(
    context: typer.Context,
    to: Annotated[Path, typer.Option("--out", "-o", help="Where to write them: .parquet, .csv or .xlsx.")],
    model: Model = None,
    since: Since = None,
    until: Until = None,
    source: Annotated[
        list[str] | None, typer.Option(help=f"Only predictions of this source: {', '.join(logged.SOURCES)}. May be repeated.")
    ] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Write logged predictions to a file, one row a customer and run, with the values they were made from."""
    for one in source or ():
        if one not in logged.SOURCES:
            raise SettingsError(f"--source must be one of {', '.join(logged.SOURCES)}, not {one!r}")
    spreadsheet.check_place(to)
    settings = settings_of(context, store=store)
    place = _store(settings)
    found = logged.read(place, model, _day(since), until=_day(until), sources=source)
    if found.is_empty():
        raise NotInStore(f"nothing is logged of these in {place.address}; see {next_command(settings, 'log list')}")
    plain = [name.strip("_") if name.startswith("__") else name for name in found.columns]
    if len(set(plain)) == len(plain):  # else a feature is called as the log's own columns are
        found.columns = plain
    spreadsheet.write(found, to)
    if as_json:
        print_json({"out": to, "predictions": found.height})
    else:
        out.print(f"{words.capital(words.counted(found.height, 'prediction'))} written to {escape(str(to))}.")


@app.command("import")
def import_(
    context: typer.Context,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Table with the key, a risk and the day it is about.")],
    model: Annotated[str, typer.Option(help="The version that made the predictions.")],
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day all rows are about, where no column says so.")
    ] = None,
    risk: Annotated[str, typer.Option(help="The column with the chance of leaving, from 0 to 1.")] = RISK_COLUMN,
    query: Annotated[str | None, typer.Option(help="SQL to run, for a database; sheet name, for XLSX.")] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Log predictions that were made elsewhere, so that they are watched with the others. The same rows twice change nothing.

    The table has the key, the risk, the snapshot date (or `as_of`, where the schema knows none), and features where they are at
    hand. Every cell is checked first: nothing is logged of a table with one that cannot be.
    """
    settings = real_workspace(context, store=store)
    registry = registry_of(settings)
    schema, ours = _schema_of(registry, model, settings)
    place = open_store(settings)
    check_workspace(place, settings, claim=True)
    raw = read_table(table, query=query, settings=settings, real=True)
    done = import_predictions(raw, schema, place, model=model, as_of=_day(as_of), risk=risk)
    remarks = []
    if done.absent:
        named = ", ".join(repr(name) for name in done.absent[:5]) + (" …" if len(done.absent) > 5 else "")
        remarks.append(f"Not in the table, so not watched: {named}.")
    if done.forgotten:
        whom = "a customer" if done.forgotten == 1 else "customers"
        remarks.append(f"Left out: {words.counted(done.forgotten, 'prediction')} for {whom} who asked to be forgotten.")
    if not ours:
        remarks.append(f"Model {model} is not in the store: its predictions are kept, and cannot be compared with a reference.")
    if as_json:
        print_json({**asdict(done), "remarks": remarks})
        return
    days = f"about {words.counted(len(done.days), 'day')}" if len(done.days) != 1 else f"about {words.day(done.days[0])}"
    out.print(f"Logged: {words.counted(done.logged, 'prediction')} of model {escape(model)}, {days}.")
    if done.known:
        out.print(f"Already logged: {words.counted(done.known, 'prediction')}.")
    for remark in remarks:
        out.print(escape(remark), style="yellow")


@app.command()
def compact(context: typer.Context, store: StoreOption = None, as_json: Json = False) -> None:
    """Make one part of the many of a day, while the desk runs. Exit code 1 if parts are damaged: they stay as they are."""
    settings = settings_of(context, store=store)
    done = upkeep.compact(_store(settings), registry_of(settings))
    if as_json:
        print_json(asdict(done))
    else:
        if done.runs:
            out.print(f"{words.counted(done.runs, 'run')} of {words.counted(done.days, 'day')} put together.")
        else:
            out.print("There is nothing to put together.")
        if done.removed:
            out.print(f"Cleared away: {words.counted(done.removed, 'part')} that no longer counted.")
        for problem in done.damaged:
            out.print(escape(f"Left as it is: {problem}."), style="yellow")
    if done.damaged:
        raise typer.Exit(1)


@app.command()
def expire(
    context: typer.Context,
    days: Annotated[
        int | None, typer.Option(min=1, help="Keep predictions about so many days; the setting `log_days` unless given.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Where none are to be removed, say nothing and end well.")] = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Remove predictions that are older than they are to be kept. The counts per day that drift is told from stay."""
    settings = settings_of(context, store=store)
    kept = days or settings.log_days
    if not kept and quiet:
        return
    if not kept:
        raise SettingsError("the setting 'log_days' is 0, so predictions are kept for good; set it, or give --days")
    before = datetime.now(UTC).date() - timedelta(days=kept)
    gone = upkeep.expire(_store(settings), registry_of(settings), before)
    if as_json:
        print_json({"before": before, "parts": len(gone), "runs": sum(len(part.runs) for part in gone)})
    elif gone:
        removed = words.counted(sum(len(part.runs) for part in gone), "run")
        out.print(f"Removed: {removed} about days before {words.day(before)}. Counts of them stay.")
    elif not quiet:
        out.print(f"Nothing is logged about days before {words.day(before)}.")


def _schema_of(registry: Registry, model: str, settings: Settings) -> tuple[Schema, bool]:
    """The schema of a version, or the champion's for one that the store does not have; and whether it has it."""
    try:
        return registry.load_model(model).schema, True
    except NotInStore:
        pointer = registry.pointer()
    if pointer is None:
        raise NoChampion(f"there is no champion, so nothing says which column is which; train one first: {first_steps(settings)}")
    return registry.load_model(pointer.model).schema, False


def _store(settings: Settings) -> Store:
    """The store, refused where it holds another kind of data."""
    place = open_store(settings)
    check_workspace(place, settings)
    return place


def _day(given: datetime | None) -> date | None:
    return given.date() if given else None


def _room(size: int) -> str:
    """Bytes as people say them: `3.1 MB`."""
    for unit, width in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= width:
            return f"{size / width:.1f} {unit}"
    return f"{size} B"

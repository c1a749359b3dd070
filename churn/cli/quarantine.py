"""`churn quarantine`: batches that were held back — looking at them, releasing or dropping them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from churn import words
from churn.cli.common import out, print_json, settings_of, who
from churn.data import spreadsheet
from churn.model.registry import check_workspace
from churn.model.store import Store, open_store
from churn.score import quarantine
from churn.settings import Settings

app = typer.Typer(no_args_is_help=True)
Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Its id, or how that begins.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
StoreOption = Annotated[str | None, typer.Option("--store", help="Store to use: a folder or s3://bucket/prefix.")]
_MARKS = {"bad": "[bold red]✗[/]", "warn": "[yellow]![/]", "ok": "[green]✓[/]"}


@app.callback()
def _quarantine() -> None:
    """Batches that were held back because something in them must not be scored."""


@app.command("list")
def list_(context: typer.Context, store: StoreOption = None, as_json: Json = False) -> None:
    """Say which batches are held back, since when and why."""
    found = quarantine.batches(_store(settings_of(context, store=store)))
    if as_json:
        print_json([{**asdict(held), "sentence": held.report.sentence} for held in found])
        return
    if not found:
        out.print("No batch is held back.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("Batch", "Since", "Rows", "Why", "Released"):
        table.add_column(name, justify="right" if name == "Rows" else "left")
    for held in found:
        why = held.report.bad[0].words if held.report.bad else held.report.sentence
        released = f"{words.day(held.released.date())} by {held.who}" if held.released else "no"
        table.add_row(held.id, f"{words.moment(held.since)} UTC", words.count(held.report.rows), escape(why), escape(released))
    out.print(table)


@app.command()
def show(
    context: typer.Context,
    batch: Batch,
    to: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write its rows: .parquet, .csv or .xlsx.")] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Show every check of a batch, and write its rows to a file where that is asked for."""
    place = _store(settings_of(context, store=store))
    held = quarantine.find(place, batch)
    if to is not None:
        spreadsheet.write(quarantine.table(place, held), to)
    if as_json:
        print_json({**asdict(held), "sentence": held.report.sentence, "out": to})
        return
    source = f" from {held.source}" if held.source else ""
    out.print(escape(f"{held.id}: {words.counted(held.report.rows, 'row')}{source}, held back {words.moment(held.since)} UTC."))
    for check in held.report.checks:
        out.print(f"{_MARKS[check.status]} {escape(check.words)}")
    if held.released:
        out.print(escape(f"Released by {held.who} on {words.moment(held.released)} UTC: {held.reason}"))
    if to is not None:
        out.print(f"Written to {escape(str(to))}.")


@app.command()
def release(
    context: typer.Context,
    batch: Batch,
    reason: Annotated[str, typer.Option(help="Why the batch is right after all; it is kept.")],
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Say that a batch is right after all: the next run that meets the same rows scores them. The first decision stands.

    That is for judgements: its size, its age, what is missing, out of range or never seen. A batch that lacks a column, has cells
    that cannot be read, customers that come twice or a day that is still to come cannot be scored and is not released.
    """
    settings = settings_of(context, store=store)
    place = _store(settings)
    held = quarantine.release(place, quarantine.find(place, batch), who=who(settings), reason=reason)
    if as_json:
        print_json(asdict(held))
    else:
        out.print(escape(f"{held.id} is released, by {held.who}: {held.reason}"))
        out.print("The next run that meets these rows scores them.")


@app.command()
def drop(context: typer.Context, batch: Batch, store: StoreOption = None, as_json: Json = False) -> None:
    """Remove a batch that is of no use any more; rows that come again are judged anew."""
    place = _store(settings_of(context, store=store))
    held = quarantine.find(place, batch)
    quarantine.drop(place, held)
    if as_json:
        print_json({"dropped": held.id})
    else:
        out.print(f"{held.id} is dropped.")


def _store(settings: Settings) -> Store:
    """The store, refused where it holds another kind of data."""
    place = open_store(settings)
    check_workspace(place, settings)
    return place

"""`churn drift`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from churn import words
from churn.base.snapshot import RISK
from churn.cli.common import err, next_command, out, print_json, progress, registry_of, settings_of
from churn.data.disk import disk
from churn.data.schema import Schema
from churn.errors import NoChampion
from churn.model.store import open_store
from churn.watch import drift_report as report
from churn.watch.drift import Against, Every, WindowDrift
from churn.watch.drift_verdict import STATUS, moved_by, name_of, odd, verdict, window_words
from churn.watch.watched import Watched, watched

_ALARM = 1  # exit code where something has moved, so that a script can tell
_COLOURS = {"moved": "bold red", "watch": "yellow", "quiet": "", "few": "dim"}


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(drift)


def drift(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="Version to look at; the champion unless given.")] = None,
    window: Annotated[
        Every | None, typer.Option(help="How long windows are; as long as scorings are apart unless given.")
    ] = None,
    against: Annotated[Against, typer.Option(help="Compare with what the model learnt from, or with the window before.")] = (
        "reference"
    ),
    joint: Annotated[
        bool, typer.Option("--joint", help="Test anew how columns go together in the last window; takes some seconds.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Also write a page that stands alone.")] = None,
    store: Annotated[str | None, typer.Option(help="Store to use: a folder or s3://bucket/prefix.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say whether what the model is asked about still looks like what it learnt from.

    The same verdict as the Drift page, from the logged predictions. An alarm needs an effect that matters and more than chance.
    Exit code 1: something has moved.
    """
    settings = settings_of(context, store=store)
    registry = registry_of(settings)
    pointer = registry.pointer()
    version = model or (pointer.model if pointer else None)
    if version is None:
        raise NoChampion(f"there is no champion in {open_store(settings).address}, so there is nothing to watch")
    bundle = registry.load_model(version)
    place = open_store(settings)
    before = list(dict.fromkeys(entry.model for entry in reversed(pointer.history) if entry.model != version)) if pointer else []

    def look() -> Watched:
        return watched(place, registry, bundle, before=before, every=window, against=against)

    with progress() as step:
        step("Reading what was logged", 0, 0)
        found = look()
        if joint and found.windows:
            from churn.learn.joint import joint_of_window

            step("Testing how columns go together", 0, 0)
            joint_of_window(place, bundle, found.windows[-1].start, found.windows[-1].end)
            found = look()
    if not found.windows:
        why = _nothing(found, version, against)
        if as_json:
            print_json({"model": version, "windows": [], "title": why})
        else:
            score = next_command(settings, "score TABLE --publish")
            out.print(f"{why}. They are logged when a scoring is published: {score}")
        return
    told = verdict(found.windows, found.grid, bundle.schema, every=found.every, against=against)
    simulated = settings.simulated
    compared = "training" if against == "reference" else "the window before"
    if html is not None:
        origin = f"Model {version}, {place.address}"
        page = report.to_html(
            found.windows, told, bundle.schema, who="All customers", compared=compared, simulated=simulated, origin=origin
        )
        with disk(html, "written"):
            html.write_text(page, encoding="utf-8")
        err.print(f"Written: {html}", markup=False)
    if as_json:
        print_json(
            report.document(found.windows, told, bundle.schema, who="All customers", compared=against, simulated=simulated)
        )
    else:
        out.print(f"[bold]{escape(told.title)}[/]")
        out.print(escape(told.sentence))
        for line in told.lines:
            mark = {"moved": "[bold red]![/]", "watch": "[yellow]?[/]", "steady": "[green]✓[/]"}[line.mark]
            out.print(f" {mark} {escape(line.lead)} {escape(line.text)}")
        _table(found.windows[-1], found.every, bundle.schema)
        if found.windows[-1].alarming:
            out.print(f"Next: whether the ranking still holds: {next_command(settings, 'performance')}")
    if found.windows[-1].alarming:
        raise typer.Exit(_ALARM)


def _nothing(found: Watched, version: str, against: Against) -> str:
    if not found.logged:
        return "No predictions have been logged yet"
    if against == "before":
        return "There is no window before the last one to compare with, for lack of logged predictions"
    return f"Model {version} has no logged predictions"


def _table(now: WindowDrift, every: Every, schema: Schema) -> None:
    """The risk, then the columns as the page has them."""
    table = Table(title=window_words(now, every), title_justify="left", box=None, pad_edge=False)
    for head, side in (
        ("Column", "left"),
        ("Status", "left"),
        ("Moved by", "right"),
        ("Counts from", "right"),
        ("Missing, new", "left"),
    ):
        table.add_column(head, justify=side)  # type: ignore[arg-type]
    for one in (now.risk, *now.ranked):
        table.add_row(
            escape(name_of(one.column, schema)),
            f"[{_COLOURS[one.status]}]{STATUS[one.status]}[/]" if _COLOURS[one.status] else STATUS[one.status],
            moved_by(one),
            words.points(one.band[1], signed=False, unit=False, decimals=1),
            odd(one) or words.NOTHING,
            style="bold" if one.column == RISK else "",
        )
    out.print(table)

"""`churn alerts`: what the watch found, and what people make of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from churn import words
from churn.base.records import Records
from churn.cli.common import out, print_json, settings_of, who
from churn.watch import alerts
from churn.watch.alerts import ACKNOWLEDGED, CLOSED, MUTED, Alert

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Id = Annotated[str, typer.Argument(metavar="ALERT", help="Its id, as `churn alerts list` has it.")]
Why = Annotated[str, typer.Option("--why", help="What you make of it, for whoever sees it after you.")]


@app.callback()
def _alerts() -> None:
    """Alerts: what the watch found, open until it is quiet again."""


@app.command("list")
def list_(
    context: typer.Context,
    closed: Annotated[bool, typer.Option("--all", help="Those that are closed too.")] = False,
    as_json: Json = False,
) -> None:
    """List alerts, the latest first."""
    with closing(Records(settings_of(context))) as records:
        found = alerts.listed(records, closed=closed)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        out.print("There is no alert." if closed else "No alert is open.")
    for one in found:
        out.print(f"[bold]{one.id}[/] {escape(_said(one))}")


@app.command()
def show(context: typer.Context, id: Id, as_json: Json = False) -> None:
    """Show what happened to an alert."""
    with closing(Records(settings_of(context))) as records:
        found = alerts.history(records, id)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for event in found:
        detail = f": {event.detail}" if event.detail else ""
        out.print(escape(f"{words.moment(event.at)} UTC, {event.who}: {event.what}{detail}"))


@app.command()
def ack(context: typer.Context, id: Id, why: Why, as_json: Json = False) -> None:
    """Acknowledge an alert: you have seen it. It stays until it is quiet again, and is sent to nobody any more."""
    settings = settings_of(context)
    with closing(Records(settings)) as records:
        _print(alerts.acknowledge(records, id, who=who(settings), why=why), as_json)


@app.command()
def mute(
    context: typer.Context,
    id: Id,
    until: Annotated[
        datetime,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="YEAR-MONTH-DAY", help="The last day it is left aside, at most a year from now."
        ),
    ],
    why: Why,
    as_json: Json = False,
) -> None:
    """Leave an alert aside up to a day, even if it goes and comes back until then."""
    settings = settings_of(context)
    with closing(Records(settings)) as records:
        today = datetime.now(UTC).date()
        _print(alerts.mute(records, id, until=until.date(), who=who(settings), why=why, today=today), as_json)


def _print(one: Alert, as_json: bool) -> None:
    if as_json:
        print_json(asdict(one))
        return
    out.print(escape(_said(one)))


def _said(one: Alert) -> str:
    state = {
        ACKNOWLEDGED: f" {one.who} has seen it: {one.why}",
        MUTED: f" Left aside until {words.day(one.until)} by {one.who}: {one.why}",
        CLOSED: f" Closed {words.moment(one.closed)} UTC.",
    }
    return f"{words.day(one.opened.date())}: {one.words}{state.get(one.state, '')}"

"""`churn db`: the database of what people make — how far it is, bringing it up to date, copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from churn import words
from churn.base.backup import backup as make_backup
from churn.base.backup import restore as put_back
from churn.base.records import Records
from churn.cli.common import next_command, out, print_json, settings_of

app = typer.Typer(no_args_is_help=True)
_NAMES = {
    "churn_scenarios": "scenario",
    "churn_campaigns": "campaign",
    "churn_members": "customer in campaigns",
    "churn_events": "line of history",
    "churn_exports": "export",
    "churn_segments": "segment",
    "churn_segment_counts": "count of a segment",
    "churn_alerts": "alert",
    "churn_alert_events": "line of alerts' history",
    "churn_alert_sendings": "alert sent",
    "churn_decisions": "decision about a model",
}
_MANY = {
    "churn_members": "customers in campaigns",
    "churn_events": "lines of history",
    "churn_segment_counts": "counts of segments",
    "churn_alert_events": "lines of alerts' history",
    "churn_alert_sendings": "alerts sent",
    "churn_decisions": "decisions about models",
}

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.callback()
def _db() -> None:
    """The database of what people make: scenarios, campaigns, exports, segments, alerts."""


@app.command()
def status(context: typer.Context, as_json: Json = False) -> None:
    """Say where the database is, which format it has, and what is in it. Exit code 1 if it has to be brought up to date."""
    settings = settings_of(context)
    found = Records(settings).status()
    behind = found.format is not None and found.format != found.needs
    if as_json:
        print_json(asdict(found))
    elif found.format is None:
        out.print(escape(f"{found.address}: nothing yet; it is made on first use."))
    else:
        kind = "simulated" if found.simulated else "real"
        out.print(escape(f"{found.address}: format {found.format}, {kind} records, made {words.moment(found.made)} UTC."))
        if found.rows:
            out.print(f"It holds {_listed(found.rows)}.")
        if found.format < found.needs:
            out.print(
                f"This version needs format {found.needs}; bring it up to date with: {next_command(settings, 'db upgrade')}"
            )
        elif behind:
            out.print(f"It was made by a later version of the desk; this one reads up to format {found.needs}: update churn.")
    if behind:
        raise typer.Exit(1)


@app.command()
def upgrade(context: typer.Context, as_json: Json = False) -> None:
    """Make the database, or bring it to the format of this version. Other desks on it have to be of this version then."""
    before, after = Records(settings_of(context)).upgrade()
    if as_json:
        print_json({"before": before, "after": after})
    elif before is None:
        out.print(f"The database is made, in format {after}.")
    else:
        out.print(f"The database has format {after} already." if before == after else f"From format {before} to {after}.")


@app.command()
def backup(
    context: typer.Context,
    to: Annotated[Path, typer.Argument(metavar="FILE", help="File to make; it must not be there yet.")],
    as_json: Json = False,
) -> None:
    """Copy the database, a server's too, into one SQLite file, as it is at one moment."""
    copied = make_backup(settings_of(context), to)
    if as_json:
        print_json({"file": str(to), "rows": dict(copied)})
    else:
        out.print(escape(f"{to} holds {_listed(copied)}."))


@app.command()
def restore(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `churn db backup` made.")],
    as_json: Json = False,
) -> None:
    """Put a backup into the database that the settings name, which must be empty; all of it or nothing."""
    copied = put_back(settings_of(context), source)
    if as_json:
        print_json({"file": str(source), "rows": dict(copied)})
    else:
        out.print(escape(f"Restored {_listed(copied)}."))


def _listed(rows: Mapping[str, int]) -> str:
    """How many of what there are: `2 campaigns, 812 customers in campaigns`."""
    told = [
        f"{words.count(number)} {_MANY.get(table, _NAMES[table] + 's') if number != 1 else _NAMES[table]}"
        for table, number in rows.items()
        if number
    ]
    return words.sentence_list(told) if told else "no records"

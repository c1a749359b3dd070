"""`churn mlflow`: what MLflow keeps of trainings and versions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from churn.cli.common import REFUSED, err, out, print_json, registry_of, settings_of
from churn.data.source import shown_url
from churn.errors import SettingsError
from churn.words import counted, sentence_list

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.callback()
def _mlflow() -> None:
    """What MLflow keeps of trainings and versions."""


@app.command()
def sync(context: typer.Context, as_json: Json = False) -> None:
    """Send what MLflow has not got yet: trainings that wait, versions it does not know, and which of them the desk shows.

    The aliases `champion` and `challenger` are put where the store says; nothing is ever read back from them.
    """
    from churn.learn import tracking

    settings = settings_of(context)
    if not settings.keeps_runs:
        raise SettingsError("setting 'mlflow' is off; name an SQLite file or a tracking server in it")
    found = tracking.sync(registry_of(settings), settings)
    if isinstance(found, str):
        if as_json:
            print_json({"error": found})
        err.print(f"churn: {found}", markup=False, style="bold red")
        raise typer.Exit(REFUSED)
    if as_json:
        print_json(asdict(found))
        return
    sent, versions = counted(found.trainings, "training"), counted(found.versions, "version")
    out.print(escape(f"{shown_url(settings.mlflow)}: {sent} sent, {versions} registered."))
    said = sentence_list([f"{alias} is {version}" for alias, version in found.aliases.items()])
    out.print(f"{said[:1].upper()}{said[1:]}." if said else "No version is the champion yet.")

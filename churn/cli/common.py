"""What every command shares: where it prints, its settings, its progress bar."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import polars as pl
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from churn.data.schema import Schema
from churn.errors import SchemaError, WorkspaceMixed
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.principal import person
from churn.settings import DEMO, Settings

_PIPED = 140  # columns where the output goes to a file or a program
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPED)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Report = Callable[[str, int, int], None]


def settings_of(context: typer.Context, **given: Any) -> Settings:
    """The settings of this call, with options of the command put on top."""
    chosen: dict[str, Any] = dict(context.obj or {})
    return Settings.load(chosen.get("workspace"), home=chosen.get("home"), **given)


def real_workspace(context: typer.Context, **given: Any) -> Settings:
    """The same for a command that brings data in: refuses the demo workspace, which holds simulated data only."""
    settings = settings_of(context, **given)
    if settings.simulated:
        raise WorkspaceMixed(
            f"the workspace '{DEMO}' holds simulated data only and is written by `churn demo`; choose another one"
        )
    return settings


def registry_of(settings: Settings) -> Registry:
    return Registry(open_store(settings), settings)


def last_day(table: pl.DataFrame, schema: Schema) -> date:
    """The day a conformed table is about: its last snapshot, or today where it has no dates."""
    if schema.snapshot is None:
        return date.today()
    last = table[schema.snapshot.column].max()
    if not isinstance(last, date):
        raise SchemaError(f"column {schema.snapshot.column!r} has no date; name the day with --as-of")
    return last


def who(settings: Settings) -> str:
    """Who runs the command, for the history."""
    return person(settings).name


def print_json(value: Any) -> None:
    """One JSON document on standard output, for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_as_text))


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)


def customers(number: int) -> str:
    """A number of customers as people say it: "1 customer", "7,043 customers"."""
    return f"{number:,} customer{'' if number == 1 else 's'}"


@contextmanager
def progress() -> Iterator[Report]:
    """A progress bar, where standard error is a terminal; the report takes what is being done, how much is, and of how much."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("Starting", total=None)

        def report(doing: str, done: int, total: int) -> None:
            bar.update(task, description=doing, completed=done, total=total or None)

        yield report

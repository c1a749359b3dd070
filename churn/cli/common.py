"""What every command shares: where it prints, its settings, its progress bar."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from churn import words
from churn.data.schema import Schema
from churn.errors import DataError, SchemaError, SettingsError, StoreUnavailable, WorkspaceMixed
from churn.model.gates import Check
from churn.model.metrics import Metrics
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.principal import person
from churn.score import forgotten
from churn.settings import DEMO, Settings
from churn.words import sentence_list

REFUSED, CONFLICT, STOPPED = 2, 3, 130  # exit codes; 1 is for what is done and has something wrong in it
_STILL_S = 15.0  # how long a piped command may be silent
_PIPED = 140  # columns where the output goes to a file or a program
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPED)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Report = Callable[[str, int, int], None]


class Interrupted(Exception):
    """Ctrl+C; the words say what was kept. No ChurnError, for nothing went wrong."""


def keep(context: typer.Context, words: str) -> None:
    """Note what stays even if the command is interrupted from here on: "model v2 is saved"."""
    context.obj.setdefault("kept", []).append(words)


def stopped(noted: dict[str, Any] | None) -> str:
    """What is said after an interrupt."""
    kept = (noted or {}).get("kept")
    return f"Stopped; {sentence_list(kept)}." if kept else "Stopped; nothing was changed."


@contextmanager
def changing(context: typer.Context, registry: Registry) -> Iterator[None]:
    """Around what may change the desk: after an interrupt the store is asked whether it did."""
    before = registry.pointer()
    try:
        yield
    except KeyboardInterrupt:
        try:
            now = registry.pointer()
        except StoreUnavailable:
            keep(context, "whether the desk changed is not known, for the store does not answer")
            raise KeyboardInterrupt from None
        if now is not None and (before is None or now.etag != before.etag):
            keep(context, f"the desk shows model {now.model} with {now.scoring or 'no scoring'} now")
        raise


def settings_of(context: typer.Context, *, store: str | None = None, **given: Any) -> Settings:
    """The settings of this call, with options of the command put on top.

    Raises
    ------
    SettingsError: also for a store named to a command in the demo workspace, which would not be looked at.
    """
    chosen: dict[str, Any] = dict(context.obj or {})
    settings = Settings.load(chosen.get("workspace"), home=chosen.get("home"), store=store, **given)
    if settings.simulated and store is not None:
        raise SettingsError(f"--store cannot be given in the workspace '{DEMO}', which keeps its own; leave one of the two out")
    return settings


def real_workspace(context: typer.Context, **given: Any) -> Settings:
    """The same for a command that brings data in or renews the model: refuses the demo workspace, which is simulated."""
    settings = settings_of(context, **given)
    if settings.simulated:
        raise WorkspaceMixed(
            f"the workspace '{DEMO}' holds simulated data only and is written by `churn demo`; choose another one"
        )
    return settings


def not_ahead(day: date, about: str = "the rows are about") -> date:
    """The day, refused where it lies in the future anywhere on earth. Raises DataError."""
    if day > (datetime.now(UTC) + timedelta(hours=14)).date():  # today where the day begins first
        raise DataError(f"{about} {words.day(day)}, which lies in the future; name the right day with --as-of")
    return day


def next_command(settings: Settings, rest: str) -> str:
    """A command to give next, such as `app`, as a shell takes it in this workspace: `churn --workspace shop app`."""
    usual = Settings().workspace
    return f"churn {rest}" if settings.workspace == usual else f"churn --workspace {shlex.quote(settings.workspace)} {rest}"


def first_steps(settings: Settings) -> str:
    """The command that gives a workspace its first champion."""
    return f"churn {DEMO}" if settings.simulated else next_command(settings, "train TABLE --schema schema.yaml --promote")


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


def without_forgotten(table: pl.DataFrame, schema: Schema, settings: Settings) -> tuple[pl.DataFrame, list[str]]:
    """A conformed table without customers who asked to be forgotten, and a remark where it had any."""
    kept, rows = forgotten.of(open_store(settings)).without(table, schema.key)
    return kept, [forgotten.left_out(rows)] if rows else []


def who(settings: Settings) -> str:
    """Who runs the command, for the history."""
    return person(settings).name


def warn(text: str) -> None:
    """What did not go as it should while the command did what it was asked to."""
    err.print(escape(text), style="yellow")


def print_json(value: Any) -> None:
    """One JSON document on standard output, for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_as_text))


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)


def customers(number: int) -> str:
    """A number of customers as people say it: "1 customer", "7,043 customers"."""
    return f"{number:,} customer{'' if number == 1 else 's'}"


def checks_json(checks: Iterable[Check]) -> list[dict[str, Any]]:
    """Gates for a program: name, whether passed, the figure and its limit, and the sentence."""
    return [asdict(check) for check in checks]


def print_checks(checks: Iterable[Check]) -> None:
    for check in checks:
        out.print(f"{'[green]✓[/]' if check.passed else '[bold red]✗[/]'} {escape(check.words)}")


def holdout_words(holdout: Metrics) -> str:
    """How a version did on customers it has not seen, in a line."""
    return (
        f"Holdout of {holdout.rows:,} rows: ROC-AUC {holdout.roc_auc}, log-loss {holdout.log_loss}, "
        f"calibration error {holdout.ece}, top-decile lift {holdout.top_decile_lift}."
    )


@contextmanager
def progress(stages: bool = False) -> Iterator[Report]:
    """A progress bar, where standard error is a terminal; the report takes what is being done, how much is, and of how much.

    stages: for what takes minutes: elsewhere, a line for each stage, and one now and then in between.
    """
    if stages and not err.is_terminal:
        yield _lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("Starting", total=None)

        def report(doing: str, done: int, total: int) -> None:
            bar.update(task, description=doing, completed=done, total=total or None)

        yield report


def _lines() -> Report:
    begun, last = set[str](), [time.monotonic()]

    def report(doing: str, done: int, total: int) -> None:
        stage = doing.partition(":")[0]
        if total and (stage not in begun or time.monotonic() - last[0] > _STILL_S):
            begun.add(stage)
            last[0] = time.monotonic()
            err.print(f"{doing} ({done:,} of {total:,})", markup=False)

    return report

"""`churn performance`: what logged predictions promised, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from churn import words
from churn.base.groups import BAND
from churn.base.records import Records
from churn.cli.common import err, first_steps, out, print_json, registry_of, settings_of
from churn.errors import NoChampion
from churn.model.bundle import Bundle
from churn.model.store import Store, open_store
from churn.settings import Settings
from churn.watch import performance as performances
from churn.watch.by_group import GroupPerformance, by_group, groups_of, worst_first
from churn.watch.figures import Band
from churn.watch.performance import LIST_SIZE, WindowPerformance
from churn.watch.verdict import in_100, verdict, when

_SHOWN = 12  # windows, and groups, in the terminal; a program gets all


class Whose(StrEnum):
    """Which customers are looked at."""

    ALL = "all"
    CALLED = "called"
    NOT_CALLED = "not-called"


class Every(StrEnum):
    """How long a window is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(performance)


def performance(
    context: typer.Context,
    every: Annotated[Every, typer.Option(help="How long a window is.")] = Every.MONTH,
    size: Annotated[
        int, typer.Option("--list", min=1, help="How many customers are on the list, the riskiest first.")
    ] = LIST_SIZE,
    whose: Annotated[
        Whose,
        typer.Option(help="All customers; those a campaign was to call, which may have changed what they did; or the others."),
    ] = Whose.ALL,
    by_groups: Annotated[bool, typer.Option("--groups", help="Also say where it errs most, and how it treats groups.")] = False,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Count only what was predicted for days up to this one, and known by it; today unless given.",
        ),
    ] = None,
    store: Annotated[str | None, typer.Option(help="Store to use: a folder or s3://bucket/prefix.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say whether the predictions that were logged have held: estimated while nobody knows who left, measured once that is known.

    Estimates come from the risks alone, so they do not see when the same customers leave more often than they used to.
    """
    settings = settings_of(context, store=store)
    registry, opened = registry_of(settings), open_store(settings)
    pointer = registry.pointer()
    if pointer is None:
        raise NoChampion(f"there is no champion in {opened.address}; make one: {first_steps(settings)}")
    bundle = registry.load_model(pointer.model)
    today = as_of.date() if as_of else datetime.now(UTC).date()
    damaged: list[str] = []
    asked: dict[str, Any] = {"today": today, "every": every.value, "facts": performances.facts_of(registry), "damaged": damaged}
    asked |= {"whose": whose.value.replace("-", " "), "called": _called(settings) if whose != Whose.ALL else None}
    found = performances.of_log(opened, bundle.schema, size=size, **asked)
    said = verdict(found, bundle.schema, champion=pointer.model, today=today, every=every.value, whole=whose == Whose.ALL)
    groups: tuple[GroupPerformance, ...] = ()
    if by_groups and said.window is not None and said.window.realised is not None:
        groups = _groups(opened, bundle, said.window, said.window.realised.listed, settings, asked)
    if as_json:
        print_json(
            {
                "simulated": settings.simulated,
                "champion": pointer.model,
                "as_of": today,
                "title": said.title,
                "follows": said.follows,
                "windows": [_document(one) for one in found],
                "losses": [asdict(one) for one in performances.loss_beyond_band(found)],
                "estimated_changes": [asdict(one) for one in performances.estimated_change(found)],
                "groups": [{**asdict(one), "off": one.off} for one in groups],
                "damaged": damaged,
            }
        )
        return
    out.print(escape(said.title), style="bold")
    if said.follows:
        out.print(escape(said.follows))
    if found:
        out.print(_table(found[-_SHOWN:], every.value, today))
        out.print("In brackets, where it should lie if the risks are right (19 times in 20).", style="dim")
        out.print(words.say("performance blind"), style="dim")
    if groups:
        out.print(_of_groups(groups, bundle))
    for problem in damaged:
        err.print(f"Left out: {escape(problem)}", style="yellow")


def _called(settings: Settings) -> Any:
    records = Records(settings)
    try:
        return performances.who_was_called(records)
    finally:
        records.close()


def _groups(
    store: Store, bundle: Bundle, window: WindowPerformance, size: int, settings: Settings, asked: dict[str, Any]
) -> tuple[GroupPerformance, ...]:
    """Segments, fairness groups and risk bands of a window, those it errs most about first."""
    columns = tuple(dict.fromkeys((*bundle.schema.segments, *bundle.schema.fairness)))
    rows = performances.window_of_log(store, bundle.schema, window.model, window.start, columns=columns, **asked)
    of = groups_of(columns, bundle.schema, bundle.reference)
    return worst_first(by_group(rows, of, bundle.schema, size, least=settings.small_group))


def _document(one: WindowPerformance) -> dict[str, Any]:
    return {**asdict(one), "few": one.few, "ranking_holds": one.ranking_holds, "level_holds": one.level_holds}


def _table(found: Sequence[WindowPerformance], every: Any, today: date) -> Table:
    table = Table("When", "Model", "Customers", "Known", "Left", "Expected", "Of the list, left", "Picks the leaver", box=None)
    for one in found:
        shown = one.realised or one.estimated
        promised = one.promised or one.estimated
        left = words.NOTHING if shown.left is None else words.count(shown.left)
        listed = words.NOTHING if one.realised is None else words.percent(one.realised.precision.value)
        auc = words.NOTHING if one.realised is None else in_100(one.realised.auc)
        table.add_row(
            words.capital(when(one, every, today).removeprefix("in the ").removeprefix("in ").removeprefix("on ")),
            one.model,
            words.count(one.rows),
            words.percent(one.matured),
            left,
            _counts(promised.expected_leavers),
            f"{listed} ({words.interval(words.percent(promised.precision.low), words.percent(promised.precision.high))})",
            f"{auc} ({_points(promised.auc)})",
        )
    return table


def _counts(band: Band) -> str:
    return f"{words.count(band.value)} ({words.interval(words.count(band.low), words.count(band.high))})"


def _points(band: Band | None) -> str:
    if band is None:
        return words.NOTHING
    low, high = (words.points(value, signed=False, unit=False) for value in (band.low, band.high))
    return words.interval(low, high)


def _of_groups(found: Sequence[GroupPerformance], bundle: Bundle) -> Table:
    table = Table("", "Group", "Customers", "Left", "Expected", "On the list", "Leavers on it", box=None)
    for one in found[:_SHOWN]:
        label = "Risk" if one.column == BAND else bundle.schema.feature(one.column).label
        mark = "[bold]off[/]" if one.off else "[dim]few[/]" if one.few else ""
        listed, recall = words.percent(one.selected.value), words.percent(one.recall.value) if one.recall else words.NOTHING
        name = escape(f"{label}: {one.label}")
        table.add_row(mark, name, words.count(one.rows), words.count(one.left), words.count(one.expected), listed, recall)
    return table

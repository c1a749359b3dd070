"""`churn explain`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from rich.markup import escape

from churn import words
from churn.base.snapshot import Snapshot
from churn.cli.common import first_steps, next_command, out, print_json, progress, registry_of, settings_of
from churn.data.quality import conform
from churn.data.source import read_table
from churn.errors import DataError, NoChampion, SettingsError
from churn.model.bundle import Bundle
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.settings import Settings
from churn.understand.account import SHOWN, Account, Typical, account

_NEAR = 5  # keys named where the one asked for is not there
_AT_ONCE = 100  # rows explained between two looks at the progress
_TABLES = (".csv", ".txt", ".tsv", ".parquet", ".pq", ".xlsx", ".xlsm", ".xls")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(explain)


def explain(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="TABLE|KEY", help="A customer on the desk, by key; or a table, as `churn score` takes it.")
    ],
    limit: Annotated[int, typer.Option(min=1, help="How many rows of a table to explain, the first ones.")] = 10,
    reasons: Annotated[int, typer.Option(min=1, help="How many reasons to name; the others are added up.")] = SHOWN,
    model: Annotated[str | None, typer.Option(help="Version to explain a table with; the champion unless given.")] = None,
    query: Annotated[str | None, typer.Option(help="SQL to run, for a database; sheet name, for XLSX.")] = None,
    store: Annotated[str | None, typer.Option(help="Store to use: a folder or s3://bucket/prefix.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say what a customer's risk is associated with, in the words and the numbers of the desk.

    The reasons add up: a typical customer's risk and all the points are the customer's risk. Nothing is published or logged.
    """
    settings = settings_of(context, store=store)
    registry = registry_of(settings)
    pointer = registry.pointer()
    version = model or (pointer.model if pointer else None)
    if version is None:
        raise NoChampion(f"there is no champion in {open_store(settings).address}; train one: {first_steps(settings)}")
    bundle = registry.load_model(version)
    simulated = settings.simulated
    if _is_table(what):
        raw = read_table(what, query=query, settings=settings)
        rows = conform(raw.head(limit), bundle.schema)
        told, left = list(_of_table(rows, bundle)), raw.height - rows.height
    else:
        if model is not None or query is not None:
            raise SettingsError(f"--model and --query are for tables; there is no file {what}")
        found, simulated = _on_the_desk(what, bundle, registry, settings, pointer.scoring if pointer else None)
        told, left = [found], 0
    if as_json:
        print_json(
            {
                "model": version,
                "simulated": simulated,
                "typical_risk": bundle.model.typical_risk,
                "sampling_error": bundle.model.sampling_error,
                "customers": [_document(key, one, reasons) for key, one in told],
                "more_rows": left,
            }
        )
        return
    if simulated:
        out.print("Simulated data", style="yellow")
    for place, (key, one) in enumerate(told):
        if place:
            out.print()
        for line in _lines(key, one, reasons):
            out.print(escape(line))
    if bundle.model.sampling_error:
        error = words.points(bundle.model.sampling_error, signed=False, decimals=1)
        out.print(escape(words.say("reasons estimated", error=error)), style="dim")
    if left:
        out.print(f"… and {left:,} more rows; --limit says how many are explained.", style="dim")


def _is_table(what: str) -> bool:
    return "://" in what or Path(what).suffix.lower() in _TABLES or Path(what).expanduser().is_file()


def _of_table(rows: pl.DataFrame, bundle: Bundle) -> Iterator[tuple[str, Account]]:
    """Who each row is about, and its account; many rows are explained together."""
    schema, typical = bundle.schema, Typical.of(bundle.reference, bundle.schema)
    with progress() as report:
        for start in range(0, rows.height, _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            report("Finding reasons", start, rows.height)
            explained = bundle.model.explain(some)
            for row, points, risk in zip(some.iter_rows(named=True), explained.points, explained.risk, strict=True):
                who = str(row[schema.key])
                if schema.snapshot:
                    who = words.say("customer on", who=who, day=words.day(row[schema.snapshot.column]))
                yield who, _account(row, points, float(risk), bundle, typical)


def _on_the_desk(
    key: str, bundle: Bundle, registry: Registry, settings: Settings, scoring: str | None
) -> tuple[tuple[str, Account], bool]:
    """One customer of the base on show, and whether it is made up. Raises DataError where there is none of that key."""
    if scoring is None:
        score = next_command(settings, "score TABLE --publish")
        raise DataError(f"no file {key}, and no customers are scored yet; score the base: {score}")
    with Snapshot.open(registry.scoring_folder(scoring), bundle.schema, settings) as snapshot:
        customer = snapshot.customer(key)
        if customer is None:
            near = snapshot.search(key, _NEAR)
            hint = f"; did you mean {', '.join(near)}?" if near else ", and no file of that name"
            raise DataError(f"{key!r} is none of the {snapshot.customers:,} customers scored last{hint}")
        explained = bundle.model.explain_row(customer.row)
        typical = Typical.of(bundle.reference, bundle.schema)
        return (customer.key, _account(customer.row, explained.points, explained.risk, bundle, typical)), snapshot.simulated


def _account(row: Any, points: np.ndarray[Any, Any], risk: float, bundle: Bundle, typical: Typical) -> Account:
    return account(row, points, risk=risk, typical_risk=bundle.model.typical_risk, schema=bundle.schema, typical=typical)


def _lines(who: str, one: Account, most: int) -> Iterator[str]:
    yield one.title(who)
    yield words.say("typical and own", typical=words.percent(one.typical), risk=words.percent(one.risk))
    told, rest = one.lines[:most], one.lines[most:]
    for reason in told:
        yield f"  {reason.words}"
    if rest:
        facts = words.say("other fact" if len(rest) == 1 else "other facts", count=words.count(len(rest)))
        yield f"  {words.say('reason', fact=facts, points=words.points(sum(r.printed_points for r in rest) / 100))}"


def _document(who: str, one: Account, most: int) -> dict[str, Any]:
    return {
        "customer": who,
        "title": one.title(who),
        "risk": one.risk,
        "reasons": [
            {
                "fact": reason.label,
                "value": reason.value,
                "words": reason.words,
                "points": reason.points,
                "printed_points": reason.printed_points,
                "can_be_changed": reason.actionable,
            }
            for reason in one.reasons[:most]
        ],
        "other_points": sum(reason.points for reason in one.reasons[most:]),
    }

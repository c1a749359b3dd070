"""`churn refresh`, `churn watch`, `churn retrain`, `churn decisions`: what runs by night, and what it decided."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from churn import words
from churn.base.records import Records
from churn.base.snapshot import RISK
from churn.cli.common import (
    REFUSED,
    changing,
    customers,
    err,
    next_command,
    not_ahead,
    out,
    print_json,
    progress,
    real_workspace,
    registry_of,
    settings_of,
    who,
)
from churn.model.store import open_store
from churn.settings import Settings
from churn.watch import decisions
from churn.watch.decisions import Decision

if TYPE_CHECKING:
    from churn.renew.retrain import Desk
    from churn.renew.watching import Watched

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
StoreOption = Annotated[str | None, typer.Option(help="Store to use: a folder or s3://bucket/prefix.")]
Day = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d"], metavar="YEAR-MONTH-DAY", help="The day to look from; today unless given."),
]
OnlyLook = Annotated[
    bool, typer.Option("--only-look", help="Say what is due, but train nothing and leave the champion as it is.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(refresh)
    app.command()(watch)
    app.command()(retrain)
    app.command("decisions")(list_decisions)


def refresh(
    context: typer.Context,
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="The base as it is now; the setting `source` unless given.")
    ] = None,
    query: Annotated[str | None, typer.Option(help="SQL to run, for a database; sheet name, for XLSX.")] = None,
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="YEAR-MONTH-DAY", help="The day the rows are about.")
    ] = None,
    only_look: OnlyLook = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Bring the desk up to date: outcomes, table, check, scoring, log, watch. The one command for every night; twice is harmless.

    A table that must not be scored is held back with its report, the desk stays as it was, and the exit code is 2: see
    churn quarantine. The same code ends a run whose table cannot be read; an alert says so. Exit code 1: done, but something
    beside it failed that the output names, such as a channel for alerts.
    """
    from churn.renew import refresh as renew

    settings = real_workspace(context, store=store)
    with _desk(settings) as desk, progress(stages=True) as report, changing(context, desk.registry):
        done = renew.refresh(
            desk,
            today=_today(),
            source=renew.Table(table, query) if table else None,
            as_of=not_ahead(as_of.date()) if as_of else None,
            act=not only_look,
            progress=report,
        )
    if as_json:
        print_json(
            {
                "model": done.model,
                "as_of": done.as_of,
                "held": done.held.id if done.held else None,
                "checks": [asdict(check) for check in (*done.report.bad, *done.report.warnings)] if done.report else [],
                "rows": done.scored.rows.height if done.scored else 0,
                "mean_risk": float(done.scored.rows[RISK].to_numpy().mean()) if done.scored else None,
                "scoring": done.published.scoring if done.published else None,
                "new": done.published.new if done.published else False,
                "outcomes": done.outcomes.accepted if done.outcomes else None,
                "warnings": done.warnings,
                "problems": done.problems,
                "watch": _document(done.watched),
            }
            | ({"error": str(done.unread), "kind": type(done.unread).__name__} if done.unread else {})
        )
    else:
        if done.outcomes is not None:
            known = "New" if done.outcomes.new else "Known already"
            out.print(f"{known}: {words.counted(done.outcomes.accepted, 'outcome')}, {done.outcomes.left:,} of them left.")
        if done.scored is not None and done.published is not None:
            now = "On the desk now" if done.published.new else "Already on the desk"
            risk = float(done.scored.rows[RISK].to_numpy().mean())
            out.print(f"{now}: {customers(done.scored.rows.height)} as of {words.day(done.as_of)}, average risk {risk:.1%}.")
        for warning in done.warnings:
            out.print(escape(warning), style="yellow")
        _print(done.watched)
        for problem in done.problems:
            out.print(escape(problem), style="yellow")
    if done.unread is not None:
        err.print(f"churn: {done.unread}", markup=False, style="bold red")
        raise typer.Exit(REFUSED)
    if done.held is not None and done.report is not None:
        refused = (
            f"the table was held back and the desk is as it was. {done.report.sentence} "
            f"See: {next_command(settings, f'quarantine show {done.held.id}')}"
        )
        if done.report.releasable:
            release = next_command(settings, f"quarantine release {done.held.id} --reason WHY")
            refused += f"; to take it all the same: {release}, and this command again"
        err.print(f"churn: {refused}", markup=False, style="bold red")
        raise typer.Exit(REFUSED)
    if done.problems:
        raise typer.Exit(1)


def watch(
    context: typer.Context,
    as_of: Day = None,
    only_look: OnlyLook = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Look for drift and loss in what was logged, keep and send alerts, and renew the model where that is due.

    A training is due if the champion's loss on known outcomes is beyond what it promised, or if its scores have moved and its
    loss is expected to have risen; never because columns have moved. Exit code 1: done, but something failed that the output
    names.
    """
    from churn.renew import watching

    settings, today = real_workspace(context, store=store), _day(as_of)
    with _desk(settings) as desk, progress(stages=True) as report, changing(context, desk.registry):
        found = watching.watch(desk, today=today, act=not only_look, progress=report)
    if as_json:
        print_json(_document(found))
    else:
        _print(found)
        for problem in found.problems:
            out.print(escape(problem), style="yellow")
    if found.problems:
        raise typer.Exit(1)


def retrain(
    context: typer.Context,
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="What to train on; the setting `training_table` unless given.")
    ] = None,
    query: Annotated[str | None, typer.Option(help="SQL to run, for a database; sheet name, for XLSX.")] = None,
    candidates: Annotated[str | None, typer.Option(help="Comma-separated: only these kinds of model.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Settings to try for each candidate.")] = None,
    as_of: Day = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Train anew on the champion's schema, hold the new model against it, and promote it if it is surely better.

    Both are judged on the same rows that neither has seen: customers of the holdout, as they were on the latest days whose
    outcomes are known. The setting `retrain` says what becomes of a better model: promote, shadow or keep.
    """
    from churn.renew.retrain import retrain as renew

    settings, today = real_workspace(context, store=store), _day(as_of)
    with _desk(settings) as desk, progress(stages=True) as report, changing(context, desk.registry):
        done = renew(
            desk,
            today=today,
            table=table,
            query=query,
            candidates=tuple(name.strip() for name in candidates.split(",")) if candidates else None,
            trials=trials,
            progress=report,
        )
    if as_json:
        print_json({"version": done.version, "decision": asdict(done.decision), "paired": asdict(done.paired)})
        return
    out.print(f"Saved as [bold]{done.version}[/].")
    _print_decision(done.decision)


def list_decisions(
    context: typer.Context,
    most: Annotated[int, typer.Option("--most", min=1, help="How many to show.")] = 20,
    as_json: Json = False,
) -> None:
    """Say what was decided about the model, when and why, the latest first."""
    settings = settings_of(context)
    with closing(Records(settings)) as records:
        found = decisions.listed(records, most=most)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        out.print(f"Nothing was decided yet: {next_command(settings, 'watch')}")
    for one in found:
        _print_decision(one)


def _today() -> date:
    return datetime.now(UTC).date()


def _day(as_of: datetime | None) -> date:
    """The day to look from: nobody can look back from a day that is still to come."""
    return not_ahead(as_of.date(), "the day to look from is") if as_of else _today()


@contextmanager
def _desk(settings: Settings) -> Iterator[Desk]:
    from churn.renew.retrain import Desk

    with closing(Records(settings)) as records:
        yield Desk(registry_of(settings), open_store(settings), records, settings, who(settings))


def _document(found: Watched) -> dict[str, Any]:
    latest = found.drift[-1] if found.drift else None
    matured = [one for one in found.performance if one.realised is not None]
    return {
        "model": found.model,
        "today": found.today,
        "sketches": found.sketches,
        "windows": len(found.drift),
        "risk": latest.risk.status if latest else None,
        "moved": [column.column for column in latest.moved] if latest else [],
        "matured": len(matured),
        "alerts": [asdict(one) for one in found.open],
        "opened": found.changes.opened,
        "closed": found.changes.closed,
        "delivered": [asdict(one) for one in found.delivered],
        "due": asdict(found.due),
        "decisions": [asdict(one) for one in found.decisions],
        "problems": found.problems,
    }


def _print(found: Watched) -> None:
    from churn.watch.drift_verdict import window_words

    which = ""
    if found.drift:
        named = [window_words(found.drift[i], found.every) for i in {0: None, len(found.drift) - 1: None}]
        which = f": {' to '.join(named)}"
    windows = words.counted(len(found.drift), found.every)
    out.print(f"Model {found.model}, {windows} looked at{which}. {words.capital(words.counted(len(found.open), 'alert'))} open.")
    for one in found.open:
        new = "new" if one.id in found.changes.opened else one.state
        out.print(f"[bold]{one.id}[/] ({new}) {escape(one.words)}")
    for sent in found.delivered:
        if sent.sent:
            out.print(f"Sent by {sent.channel}: {sent.sent}.")
    made = [one for one in found.decisions if one.kind != found.due.kind]
    out.print(escape(found.due.words))
    for decision in made:
        _print_decision(decision)


def _print_decision(one: Decision) -> None:
    out.print(f"{words.day(one.day)} [bold]{escape(one.title)}[/]: {escape(one.words)}")

"""`churn campaign`: make a campaign of a call list, start and finish it, take what callers filled in, see whether it helped."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.markup import escape
from rich.table import Table

from churn import words
from churn.act import campaigns, eligibility, results, uplift, worklist
from churn.act.campaigns import CALL, FINISHED, TO_CALL, Campaign
from churn.act.effect import Effect
from churn.act.results import Result
from churn.base.records import Records
from churn.cli import lists
from churn.cli.common import next_command, out, print_json, registry_of, settings_of, who
from churn.data import spreadsheet
from churn.data.source import read_table
from churn.errors import SettingsError
from churn.model.store import open_store
from churn.score import outcomes
from churn.settings import Settings

app = typer.Typer(no_args_is_help=True)
_SHOWN = 20

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Id = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its id, as `churn campaign list` has it.")]
On = Annotated[str | None, typer.Option("--on", metavar="YEAR-MONTH-DAY", help="The day it was so, where that is noted later.")]


@app.callback()
def _campaign() -> None:
    """Campaigns: call lists that are worked through, with a part kept uncalled to learn whether calling helps."""


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What people call it.")],
    capacity: lists.Calls = 500,
    budget: lists.Budget = None,
    offer: lists.Offer = None,
    holdout: lists.Holdout = 0.1,
    where: lists.Where = None,
    segment: lists.Named = None,
    rank_by: lists.Rank = lists.BY_WORTH,
    as_json: Json = False,
) -> None:
    """Build a call list from the base as it is scored now, and make a draft campaign of it (as `churn list build --campaign`)."""
    lists.build(
        context,
        capacity=capacity,
        budget=budget,
        offer=offer,
        holdout=holdout,
        where=where,
        segment=segment,
        rank_by=rank_by,
        name=name,
        save=None,
        limit=0,
        as_json=as_json,
    )


@app.command(name="list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """All campaigns, the latest first."""
    settings = settings_of(context)
    with closing(Records(settings)) as records:
        found = campaigns.every(records)
    if as_json:
        print_json([_document(one) for one in found])
        return
    if not found:
        out.print(f"No campaign yet. Make one with: {next_command(settings, 'campaign create NAME')}")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("Campaign", "Name", "Status", "To call", "Worked through", "Kept uncalled", "Made", "By"):
        table.add_column(heading, overflow="fold")
    for one in found:
        done = words.count(one.called - one.stages[TO_CALL])
        cells = (
            one.id,
            one.name,
            one.status,
            words.count(one.called),
            done,
            words.count(one.held_out),
            words.day(one.made.date()),
            one.who,
        )
        table.add_row(*map(escape, cells))
    out.print(table)


@app.command()
def start(context: typer.Context, campaign: Id, on: On = None, as_json: Json = False) -> None:
    """Begin calling: from now on the list stays as it is, and outcomes count."""
    settings = settings_of(context)
    with closing(Records(settings)) as records:
        moved = campaigns.start(records, campaign, who=who(settings), source="command", at=_moment(on))
    _told(moved, as_json)


@app.command()
def drop(context: typer.Context, campaign: Id) -> None:
    """Give up a draft: its customers may be put on other lists. What was started cannot be dropped, only finished."""
    settings = settings_of(context)
    with closing(Records(settings)) as records:
        campaigns.drop(records, campaign, who=who(settings), source="command")
    out.print(escape(f"{campaign} is dropped; its customers are free for other lists."))


@app.command()
def finish(context: typer.Context, campaign: Id, on: On = None, as_json: Json = False) -> None:
    """End calling. The worklist stays as it is; outcomes still count until the horizon is over."""
    settings = settings_of(context)
    with closing(Records(settings)) as records:
        moved = campaigns.finish(records, campaign, who=who(settings), source="command", at=_moment(on))
    _told(moved, as_json)


@app.command()
def sheet(
    context: typer.Context,
    campaign: Id,
    to: Annotated[Path, typer.Argument(metavar="FILE", help="File to write: .xlsx or .csv.")],
) -> None:
    """Write the worklist to a file to fill in, without contact data; `churn campaign import` takes it back.

    Whoever must not be called any more is left out, and counted.
    """
    spreadsheet.check_place(to)
    settings = settings_of(context)
    with closing(Records(settings)) as records:
        stop = _withdrawn(settings, records, campaign)
        table = worklist.sheet(records, campaign, simulated=settings.simulated, without=stop)
    spreadsheet.write(table, to)
    out.print(escape(f"{words.counted(table.height, 'customer')} written to {to}."))
    lists.print_left_out(eligibility.counted(stop))


@app.command(name="import")
def import_(
    context: typer.Context,
    campaign: Id,
    table: Annotated[str, typer.Argument(metavar="FILE", help="A filled worklist: .xlsx, .csv or .parquet.")],
    query: Annotated[str | None, typer.Option(help="Sheet name, for XLSX; SQL to run, for a database.")] = None,
    as_json: Json = False,
) -> None:
    """Take what callers filled in: stage, reason, owner, due. The same file twice changes nothing.

    The file is one that `churn campaign sheet` or `churn list export --campaign` wrote, with its column of versions: what
    somebody else did since is not overwritten.

    Exit code 1 where rows were refused; each is named with its reason, and all others are taken.
    """
    settings = settings_of(context)
    found = read_table(table, query=query, settings=settings)
    with closing(Records(settings)) as records:
        taken = worklist.take(records, campaign, found, who=who(settings), key=_key(settings))
    if as_json:
        print_json(asdict(taken))
    else:
        if taken.again:
            out.print("This very file was taken before; nothing was changed.")
        else:
            out.print(f"{words.counted(taken.changed, 'customer')} changed, {words.count(taken.same)} said nothing new.")
        for refusal in taken.refused[:_SHOWN]:
            out.print(escape(f"Not taken: {refusal}"))
        if len(taken.refused) > _SHOWN:
            out.print(f"… nor {words.counted(len(taken.refused) - _SHOWN, 'more row')}.")
    if taken.refused:
        raise typer.Exit(1)


@app.command(name="results")
def results_(context: typer.Context, campaign: Id, as_json: Json = False) -> None:
    """Whether calling helped: who left by arm, the difference with its likely range, and what it was worth."""
    settings = settings_of(context)
    with closing(Records(settings)) as records:
        found = results.measure(records, campaign, known_outcomes(settings))
    if as_json:
        print_json(_measured(found))
        return
    currency = _currency(settings)
    if settings.simulated:
        out.print("Simulated data", style="yellow")
    out.print(escape(results.title(found, currency)))
    if (missing := results.not_yet(found)) is not None:
        out.print(missing)
    for doubt in results.doubts(found):
        out.print(escape(doubt), style="yellow")
    if not found.readable:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("Group", "Called", "left", "Not called", "left", "Points fewer", "likely"):
        table.add_column(heading, overflow="fold")
    table.add_row(*_row("All", found.effect))
    for groups in found.by.values():
        for group in groups:
            table.add_row(*map(escape, _row(group.label, group.effect)))
    out.print(table)
    if (offered := results.offered_acceptance(found)) is not None:
        out.print(escape(f"{offered[0]} To work with that, put into config.yaml:"))
        out.print(escape(offered[1]))
    if found.campaign.status == FINISHED:
        taught = uplift.read(open_store(settings), campaign)
        learn = next_command(settings, f"campaign uplift {campaign}")
        how = f"Whom calling changes, and whether that ranks better than risk, tells: {learn}"
        out.print(escape(how if taught is None else f"{uplift.in_words(taught)}."))


@app.command(name="uplift")
def uplift_(context: typer.Context, campaign: Id, as_json: Json = False) -> None:
    """Whether a finished campaign taught whom calling changes: learn it, compare it with ranking by risk, and keep both."""
    from churn.learn import uplift as learning  # LightGBM takes a second to load

    settings = settings_of(context)
    with closing(Records(settings)) as records:
        learnt = learning.learn(records, registry_of(settings), campaign, known_outcomes(settings), seed=settings.seed)
    kept = learning.keep(learnt, open_store(settings), simulated=settings.simulated)
    if as_json:
        print_json(asdict(kept))
        return
    if settings.simulated:
        out.print("Simulated data", style="yellow")
    out.print(escape(f"{uplift.in_words(kept)}."))
    table = Table(box=None, pad_edge=False)
    for heading in ("Ranked by", "Qini", "likely", "Kept by the first half", "likely"):
        table.add_column(heading, overflow="fold")
    for one in kept.rankings:
        table.add_row(*map(escape, _ranked(kept, one)))
    out.print(table)
    known = words.counted(kept.customers, "customer")
    out.print(
        f"{known} with a known outcome, {words.count(kept.held)} of them kept uncalled; nobody is ranked by a model that "
        "saw them. Qini is the area above a random order, in points; ranges hold 19 times in 20."
    )


def known_outcomes(settings: Settings) -> pl.DataFrame:
    """What became of customers, as `results.measure` takes it."""
    found = outcomes.statements(open_store(settings))
    return found.select(
        customer=pl.col(outcomes.KEY),
        as_of=pl.col(outcomes.AS_OF),
        left=pl.col(outcomes.LEFT),
        known_at=pl.col(outcomes.KNOWN_AT),
    )


# -- inside --------------------------------------------------------------------


def _withdrawn(settings: Settings, records: Records, campaign: str) -> dict[str, str]:
    """Who of those to be called must not be any more; of a finished campaign nobody is called."""
    if campaigns.find(records, campaign).status == FINISHED:
        return {}
    called = campaigns.members(records, campaign).filter(pl.col("arm") == CALL)["customer"]
    return lists.withdrawn(settings, records, called)


def _row(label: str, found: Effect) -> tuple[str, ...]:
    low, high = (words.points(one, unit=False) for one in (found.interval.low, found.interval.high))
    return (
        label,
        words.count(found.called.customers),
        words.average(found.called.share),
        words.count(found.held.customers),
        words.average(found.held.share),
        words.points(found.difference, unit=False),
        words.interval(low, high),
    )


def _ranked(kept: uplift.Comparison, one: uplift.Ranking) -> tuple[str, ...]:
    """A ranking as a row: its Qini coefficient, and how many customers calling the first half of the campaign keeps."""
    half = uplift.SHARES.index(0.5)
    area = (words.points(end, unit=False) for end in (one.interval.low, one.interval.high))
    saved = (words.count(round(end * kept.customers)) for end in (one.gain_intervals[half].low, one.gain_intervals[half].high))
    return (
        one.name.capitalize(),
        words.points(one.qini, unit=False),
        words.interval(*area),
        words.count(round(one.gains[half] * kept.customers)),
        words.interval(*saved),
    )


def _told(campaign: Campaign, as_json: bool) -> None:
    if as_json:
        print_json(_document(campaign))
    else:
        out.print(
            escape(f"{campaign.name} is {campaign.status}: {campaign.called:,} to call, {campaign.held_out:,} kept uncalled.")
        )


def _moment(on: str | None) -> datetime | None:
    """Noon of a day that is named; now where none is."""
    if on is None:
        return None
    try:
        day = date.fromisoformat(on)
    except ValueError as error:
        raise SettingsError(f"--on must be a date as YEAR-MONTH-DAY, not {on!r}") from error
    if day > datetime.now(UTC).date():
        raise SettingsError(f"--on must not lie in the future; it is {on}")
    return datetime.combine(day, time(12), UTC)


def _key(settings: Settings) -> str | None:
    """The key's column in the champion's schema, under which a file may name customers."""
    registry = registry_of(settings)
    pointer = registry.pointer()
    return None if pointer is None else registry.load_model(pointer.model).schema.key


def _currency(settings: Settings) -> str:
    registry = registry_of(settings)
    pointer = registry.pointer()
    return "$" if pointer is None else registry.load_model(pointer.model).schema.currency


def _document(campaign: Campaign) -> dict[str, Any]:
    return {
        **{name: value for name, value in asdict(campaign).items() if name not in ("salt", "filter")},
        "filter": {column: list(labels) for column, labels in campaign.filter.parts},
        "called": campaign.called,
    }


def _measured(found: Result) -> dict[str, Any]:
    document = asdict(found)
    document["campaign"] = _document(found.campaign)
    document["measurable"], document["readable"] = found.measurable, found.readable
    document["enough"] = found.progress.enough
    document["acceptance"] = None if found.acceptance is None else dict(zip(("alpha", "beta"), found.acceptance, strict=True))
    return document

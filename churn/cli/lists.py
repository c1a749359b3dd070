"""`churn list`: build a call list, look at it, make a campaign of it, and export it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.markup import escape
from rich.table import Table

from churn import words
from churn.act import campaigns, eligibility, export, segments, uplift, uplift_base, worklist
from churn.act.call_list import (
    ACTION,
    CUSTOMER,
    OWNER,
    RANK,
    REASONS,
    SAME,
    UPLIFT,
    VALUE,
    WORTH,
    Cut,
    Known,
    Preview,
    Ranking,
    Terms,
    contact_data,
    cut,
    groups_of,
    preview,
    rank,
    reasons_of,
    rows,
    usual_offer,
    without_money,
)
from churn.act.holdout import CALL
from churn.act.profit import doubt
from churn.act.uplift import Comparison
from churn.act.uplift_base import Uplift
from churn.base.expected_value import Assumptions
from churn.base.groups import BAND, Filter
from churn.base.records import Records
from churn.base.snapshot import RISK, Snapshot
from churn.cli.common import Report, err, first_steps, next_command, out, print_json, progress, registry_of, settings_of
from churn.data.spreadsheet import DELIMITERS
from churn.errors import CampaignRefused, DataError, NoChampion, SettingsError
from churn.model.bundle import Bundle
from churn.model.gates import Check
from churn.model.metrics import stored
from churn.model.store import open_store
from churn.principal import Principal, person
from churn.score import outcomes
from churn.settings import Settings
from churn.understand.account import Typical
from churn.understand.cohorts import dimensions
from churn.understand.evidence import Evidence

app = typer.Typer(no_args_is_help=True)
BY_WORTH, BY_UPLIFT = "expected-value", "uplift"  # what --rank takes
_EVERYBODY = 500  # calls, where nobody says how many

Where = Annotated[
    list[str] | None,
    typer.Option("--where", help="COLUMN=GROUP, as the desk's filters name them; again for more groups and columns."),
]
Named = Annotated[str | None, typer.Option("--segment", help="A named filter of the desk.")]
Calls = Annotated[int, typer.Option("--capacity", min=1, help="How many can be on the list, at most.")]
Budget = Annotated[float | None, typer.Option(min=0, help="What calls and offers may be expected to cost together, at most.")]
Offer = Annotated[
    float | None,
    typer.Option(min=0, help="What the offer costs for one customer who takes it; else the cheapest action of the schema."),
]
Rank = Annotated[
    str,
    typer.Option(
        "--rank",
        metavar="expected-value|uplift",
        help="Who comes first: whom a call is worth most, or whose risk it lowers most, as `churn campaign uplift` learnt.",
    ),
]
Holdout = Annotated[float, typer.Option(min=0, max=0.5, help="Share kept uncalled at random, to learn whether calling helps.")]


@dataclass(frozen=True)
class _Work:
    """What a list is built from, and where it ends."""

    settings: Settings
    records: Records
    bundle: Bundle
    known: Known
    chosen: Filter
    terms: Terms
    assumptions: Assumptions
    ranking: Ranking
    end: Cut
    told: Preview
    doubt: Check | None  # why no money is told
    learnt: Comparison | None  # what the ranking by whom calling changes is from, where it is that
    who: Principal
    standing: eligibility.Standing

    @property
    def snapshot(self) -> Snapshot:
        return self.known.snapshot

    @property
    def origin(self) -> export.Origin:
        simulated = self.settings.simulated or self.snapshot.simulated
        told = export.filter_in_words(self.chosen, self.bundle.schema)
        return export.Origin(
            title="; ".join(told) or "Call list",
            filter=self.chosen,
            model=self.snapshot.model,
            scoring=self.snapshot.id,
            as_of=self.snapshot.as_of,
            terms=self.terms,
            assumptions=self.assumptions,
            simulated=simulated,
        )


@app.callback()
def _list() -> None:
    """Call lists: whom to call, where the list ends and why, and what calling should bring."""


@app.command()
def build(
    context: typer.Context,
    capacity: Calls = _EVERYBODY,
    budget: Budget = None,
    offer: Offer = None,
    holdout: Holdout = 0.1,
    where: Where = None,
    segment: Named = None,
    rank_by: Rank = BY_WORTH,
    name: Annotated[str | None, typer.Option("--campaign", help="Make a draft campaign of this name of the list.")] = None,
    save: Annotated[str | None, typer.Option("--save-segment", help="Name these filters, for everybody.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many customers to print, the best first.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Rank those who may be called by what an offer is worth, and stop where the means end.

    The same base, filter and terms give the same list.
    """
    terms = Terms(offer=offer or 0.0, capacity=capacity, budget=budget, holdout=holdout)
    with _working(context, terms, where, segment, rank_by, usual=offer is None) as work:
        listed = rows(work.ranking, work.known, 0, min(limit, work.end.customers))
        named = segments.save(work.records, save, work.chosen, work.who.name) if save else None
        if named is not None:
            segments.count(work.records, work.snapshot)
        made = None if name is None else _campaign(work, name)
        if as_json:
            print_json(_document(work, listed, made))
            return
        _print(work, listed)
        if named is not None:
            out.print(escape(f"These filters are named {named.name!r} now."))
        if made is not None:
            kept = f"{made.called:,} to call, {made.held_out:,} kept uncalled"
            begin = next_command(work.settings, f"campaign start {made.id}")
            out.print(escape(f"Campaign {made.id} is a draft: {kept}. Begin it with: {begin}"))


@app.command(name="export")
def export_(
    context: typer.Context,
    to: Annotated[Path, typer.Option(help="File to write: .xlsx, .csv, or .txt for a dialler.")],
    capacity: Calls = _EVERYBODY,
    budget: Budget = None,
    offer: Offer = None,
    holdout: Holdout = 0.1,
    where: Where = None,
    segment: Named = None,
    rank_by: Rank = BY_WORTH,
    campaign: Annotated[
        str | None, typer.Option("--campaign", help="Export those to be called in this campaign, instead of a new list.")
    ] = None,
    unmasked: Annotated[bool, typer.Option("--unmasked", help="Names, phones and addresses as they are.")] = False,
    delimiter: Annotated[str, typer.Option(help="Of CSV: comma, semicolon or tab.")] = "comma",
    bom: Annotated[bool, typer.Option("--bom/--no-bom", help="Begin CSV with a byte order mark, which Excel needs.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a call list to a file. What left the desk is recorded first: who, when, from what, and the sum of the file."""
    kind = _kind(to, delimiter)
    if campaign is not None:
        _refuse_ignored(
            context, ("capacity", "budget", "offer", "holdout", "rank_by", "where", "segment"), "--campaign, which has its own"
        )
    if kind != "csv":
        _refuse_ignored(context, ("delimiter", "bom"), f"{to.suffix.lower()}, which is no CSV")
    terms = Terms(offer=offer or 0.0, capacity=capacity, budget=budget, holdout=holdout)
    with _working(context, terms, where, segment, rank_by, usual=offer is None) as work:
        if campaign is None:
            listed, origin = rows(work.ranking, work.known, 0, work.end.customers), work.origin
        else:
            listed, origin = _of_campaign(work, campaign)
        if work.doubt is not None and origin.model == work.snapshot.model:
            listed = without_money(listed)
        contacts = contact_data(listed[CUSTOMER], work.known.folder, work.bundle.schema)
        made = export.export(
            work.records,
            listed,
            contacts,
            work.bundle.schema,
            origin,
            work.who,
            kind=kind,
            unmasked=unmasked,
            delimiter=DELIMITERS[delimiter],
            marked=bom,
            name=to.name,
        )
        export.write(made, to)
    if as_json:
        print_json(asdict(made.manifest))
        return
    out.print(escape(f"{words.counted(made.manifest.rows, 'customer')} written to {to}; recorded as export {made.manifest.id}."))
    print_left_out(origin.left_out)
    if campaign is None and holdout:
        out.print("It holds everybody on the list: who is kept uncalled is drawn when a campaign is made of it.")
    out.print(f"sha256 {made.manifest.sha256}", style="dim")


# -- inside ------------------------------------------------------------------------------------------------------------------


@contextmanager
def _working(
    context: typer.Context, terms: Terms, where: Sequence[str] | None, segment: str | None, rank_by: str, *, usual: bool
) -> Iterator[_Work]:
    """`usual`: whether nobody named an offer, so that the schema's usual one holds."""
    if rank_by not in (BY_WORTH, BY_UPLIFT):
        raise SettingsError(f"--rank must be {BY_WORTH} or {BY_UPLIFT}, not {rank_by!r}")
    settings = settings_of(context)
    registry = registry_of(settings)
    pointer = registry.pointer()
    if pointer is None or pointer.scoring is None:
        score = next_command(settings, "score TABLE --publish")
        raise NoChampion(f"no customers are scored yet; first: {first_steps(settings)}, then: {score}")
    records = Records(settings)
    with progress() as report:
        report("Opening the base", 0, 0)
        bundle = registry.load_model(pointer.model)
        schema, folder = bundle.schema, registry.scoring_folder(pointer.scoring)
        assumptions = Assumptions.of(settings)
        terms = replace(terms, offer=usual_offer(schema)) if usual else terms
        with Snapshot.open(folder, schema, settings) as snapshot:
            chosen = _filter(where or (), segment, snapshot, records)
            report("Looking who may be called", 0, 0)
            standing = _standing(settings, snapshot, folder, records)
            able = eligibility.candidates(standing, snapshot.pool(chosen), needs_worth=snapshot.has_money)
            learnt = changes = None
            if rank_by == BY_UPLIFT:
                learnt, changes = _uplift(snapshot, folder, settings, report)
                terms = replace(terms, ranked_by=UPLIFT, learnt=learnt.models)
            report("Ranking", 0, 0)
            ranking = rank(able, schema, assumptions, terms.offer, changes)
            end = cut(ranking, terms, assumptions)
            told = preview(ranking, end.customers, terms, assumptions, snapshot.covariance)
            failed = doubt(stored(bundle.metrics, "holdout"), settings) if snapshot.has_money else None
            if failed is not None:
                end, told = replace(end, next_worth=None), replace(told, money=None, money_interval=None)
            typical, evidence = Typical.of(bundle.reference, schema), Evidence(bundle.reference, schema)
            yield _Work(
                settings=settings,
                records=records,
                bundle=bundle,
                known=Known(snapshot, folder, bundle.model, typical, evidence, assumptions),
                chosen=chosen,
                terms=terms,
                assumptions=assumptions,
                ranking=ranking,
                end=end,
                told=told,
                doubt=failed,
                learnt=learnt,
                who=person(settings),
                standing=standing,
            )
    records.close()


def _uplift(snapshot: Snapshot, folder: Path, settings: Settings, report: Report) -> tuple[Comparison, Uplift]:
    """What was learnt last of whom calling changes, and what that says of the base.

    Raises CampaignRefused where nothing was, DataError where it was of other columns.
    """
    store = open_store(settings)
    learnt = uplift.latest(store)
    if learnt is None:
        raise CampaignRefused(words.say("uplift nothing learnt"))
    return learnt, uplift_base.of_base(learnt, store, snapshot, folder, settings, report)


def withdrawn(settings: Settings, records: Records, customers: pl.Series) -> dict[str, str]:
    """Who of a list made earlier must not be called any more, and why (`eligibility.withdrawn`).

    Raises
    ------
    SuppressionStops, DataError: who must not be called is not known for sure. NoChampion: nobody is scored.
    """
    registry = registry_of(settings)
    pointer = registry.pointer()
    if pointer is None or pointer.scoring is None:
        score = next_command(settings, "score TABLE --publish")
        raise NoChampion(f"no customers are scored yet; first: {first_steps(settings)}, then: {score}")
    schema, folder = registry.load_model(pointer.model).schema, registry.scoring_folder(pointer.scoring)
    with Snapshot.open(folder, schema, settings) as snapshot:
        return eligibility.withdrawn(_standing(settings, snapshot, folder, records), snapshot, customers)


def print_left_out(left_out: Sequence[eligibility.LeftOut]) -> None:
    """How many of those drawn for a campaign are left out of a file, by reason."""
    if left_out:
        total = sum(one.customers for one in left_out)
        out.print(f"Left out, as they must not be called any more: {words.counted(total, 'customer')}.", style="yellow")
    for one in left_out:
        out.print(escape(f"  {one.in_words()}: {one.customers:,}"))


def _standing(settings: Settings, snapshot: Snapshot, folder: Path, records: Records) -> eligibility.Standing:
    """What speaks today against calling whom; warns of a suppression table that seems to be about others."""
    suppressed = eligibility.suppression(settings, snapshot.schema)
    if suppressed is not None and (doubted := eligibility.coverage(suppressed, snapshot).doubt()) is not None:
        err.print(doubted, markup=False, style="yellow")
    return eligibility.standing(
        snapshot,
        eligibility.people(folder, snapshot, settings),
        settings,
        engaged=campaigns.engaged(records),
        gone=_gone(settings, snapshot),
        suppressed=suppressed,
    )


def _gone(settings: Settings, snapshot: Snapshot) -> pl.Series:
    found = outcomes.read(open_store(settings))
    since = pl.col(outcomes.AS_OF).is_null() | (pl.col(outcomes.AS_OF) >= snapshot.as_of)
    return found.filter((pl.col(outcomes.LEFT) == 1) & since)[outcomes.KEY]


def _filter(where: Sequence[str], segment: str | None, snapshot: Snapshot, records: Records) -> Filter:
    """The filter that the options name: a segment, narrowed by columns and groups."""
    chosen = dict(segments.find(records, segment).filter.parts) if segment else {}
    picked: dict[str, list[str]] = {}
    labels = {feature.label.lower(): feature.name for feature in snapshot.schema.features}
    labels |= {name.lower(): name for name in snapshot.schema.names} | {"risk": BAND, "band": BAND}
    for one in where:
        column, equals, group = one.partition("=")
        name = labels.get(column.strip().lower())
        if not equals or name is None:
            raise DataError(f"--where {one!r} must be COLUMN=GROUP, with one of the columns {', '.join(sorted(labels))}")
        known = {label.lower(): label for label in snapshot.groups(name)}
        if group.strip().lower() not in known:
            raise DataError(f"column {column.strip()!r} has no group {group.strip()!r}; it has {', '.join(known.values())}")
        picked.setdefault(name, []).append(known[group.strip().lower()])
    return Filter.of({**chosen, **picked})


def _campaign(work: _Work, name: str) -> campaigns.Campaign:
    columns = [one.column for one in dimensions(work.snapshot) if one.first]
    return campaigns.create(
        work.records,
        rows(work.ranking, work.known, 0, work.end.customers),
        name=name,
        model=work.snapshot.model,
        scoring=work.snapshot.id,
        as_of=work.snapshot.as_of,
        horizon_days=work.bundle.schema.horizon_days,
        who=work.who.name,
        assumptions=work.assumptions,
        chosen=work.chosen,
        plan=asdict(work.terms),
        holdout_share=work.terms.holdout,
        groups=groups_of(work.ranking, work.known, work.end.customers, columns),
        source="command",
    )


def _of_campaign(work: _Work, campaign: str) -> tuple[pl.DataFrame, export.Origin]:
    """Those of a campaign who may still be called, as the rows of a list, and where they come from.

    With what stands in the worklist: filled in, the file can come back.
    """
    origin = _origin_of(work, campaign)
    found = campaigns.members(work.records, campaign).filter(pl.col("arm") == CALL)
    stop = eligibility.withdrawn(work.standing, work.snapshot, found[CUSTOMER])
    found = found.filter(~pl.col(CUSTOMER).is_in(list(stop)))
    listed = found.rename({"risk": RISK}).with_columns(pl.lit(None, pl.String).alias(SAME))
    told = listed.join(reasons_of(listed[CUSTOMER], work.known), on=CUSTOMER, how="left", maintain_order="left")
    filled = [pl.col("due").alias("Due"), pl.col("stage").alias("Stage"), pl.col("reason").alias("Reason")]
    kept = [RANK, CUSTOMER, RISK, "band", VALUE, WORTH, *(f"reason_{n}" for n in range(1, REASONS + 1)), ACTION, OWNER, SAME]
    told = told.select(*kept, *filled, pl.col("version").alias(worklist.VERSION))
    return told, replace(origin, left_out=eligibility.counted(stop))


def _origin_of(work: _Work, campaign: str) -> export.Origin:
    found = campaigns.find(work.records, campaign)
    plan = {name: found.plan[name] for name in ("capacity", "budget", "ranked_by", "learnt") if name in found.plan}
    terms = Terms(offer=found.offer, holdout=found.holdout_share, **plan)
    return replace(
        work.origin,
        title=found.name,
        filter=found.filter,
        model=found.model,
        scoring=found.scoring,
        as_of=found.as_of,
        terms=terms,
        assumptions=found.assumptions,
        campaign=found.id,
    )


def _refuse_ignored(context: typer.Context, options: Sequence[str], beside: str) -> None:
    """Raises SettingsError for an option that was given and would change nothing."""
    for option in options:
        source = context.get_parameter_source(option)
        if source is not None and source.name != "DEFAULT":
            raise SettingsError(f"--{option.removesuffix('_by')} says nothing beside {beside}; leave it out")


def _kind(to: Path, delimiter: str) -> export.Kind:
    endings = {ending: kind for kind, ending in export.ENDINGS.items()}
    if to.suffix.lower() not in endings:
        raise DataError(f"{to}: the name must end in {', '.join(endings)}, not in {to.suffix or 'nothing'}")
    if not to.parent.exists():
        raise DataError(f"{to} cannot be written: there is no folder {to.parent}; make it, or name another")
    if delimiter not in DELIMITERS:
        raise SettingsError(f"--delimiter must be one of {', '.join(DELIMITERS)}, not {delimiter!r}")
    return endings[to.suffix.lower()]


def _print(work: _Work, listed: pl.DataFrame) -> None:
    schema, told, currency = work.bundle.schema, work.told, work.bundle.schema.currency
    if work.settings.simulated or work.snapshot.simulated:
        out.print("Simulated data", style="yellow")
    out.print(f"{words.counted(told.customers, 'customer')} on the list: {told.called:,} to call, {told.held:,} kept uncalled.")
    if work.doubt is not None:
        out.print(escape(f"No money is told: {words.lower_first(work.doubt.words)}"), style="yellow")
    elif told.money is not None and told.money_interval is not None and told.customers:
        low, high = (words.money(one, currency, cents=False) for one in (told.money_interval.low, told.money_interval.high))
        saved, cost = words.money(told.money, currency, cents=False), words.money(told.cost, currency, cents=False)
        out.print(escape(f"Calling them should save {saved} after {cost} of cost, {words.likely_between(low, high)}."))
    if told.customers and told.money is None:
        cost = words.money(told.cost, currency, cents=False)
        kept = f"{words.count(told.saves)} of {words.count(told.leavers_called)} expected leavers among them"
        between = words.likely_between(words.count(told.saves_interval.low), words.count(told.saves_interval.high))
        out.print(escape(f"Calling them should keep {kept}, {between}, for {cost} of cost."))
    if told.customers:
        out.print(escape(told.measurable()))
    out.print(escape(work.end.in_words(schema)))
    if work.learnt is not None:
        out.print(escape(f"Ranked by whom calling changes. {uplift.in_words(work.learnt)}. {words.say('uplift counted')}"))
    some = [one for one in work.ranking.left_out if one.customers]
    out.print(f"Left out: {sum(one.customers for one in some):,} of {work.ranking.asked:,}.")
    for one in some:
        out.print(escape(f"  {one.in_words(work.settings.contact_days)}: {one.customers:,}"))
    if listed.is_empty():
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("Customer", "Risk", "Worth", "Most associated with it", "What could help most"):
        table.add_column(heading, overflow="fold")
    for row in listed.iter_rows(named=True):
        worth = words.NOTHING if row[WORTH] is None or work.doubt is not None else words.money(row[WORTH], currency)
        table.add_row(*map(escape, (row[CUSTOMER], words.percent(row[RISK]), worth, row["reason_1"] or "", row["action"] or "")))
    out.print(table)


def _document(work: _Work, listed: pl.DataFrame, made: campaigns.Campaign | None) -> dict[str, Any]:
    return {
        "model": work.snapshot.model,
        "scoring": work.snapshot.id,
        "simulated": work.settings.simulated or work.snapshot.simulated,
        "customers": work.end.customers,
        "ranked_by": work.terms.ranked_by,
        "learnt": work.terms.learnt or None,
        "stopped": work.end.stopped,
        "next_worth": work.end.next_worth,
        "no_money": None if work.doubt is None else work.doubt.words,
        "left_out": {one.reason: one.customers for one in work.ranking.left_out},
        "asked": work.ranking.asked,
        "preview": {**asdict(work.told), "measurable": work.told.measurable()},
        "campaign": None if made is None else made.id,
        "list": (listed if work.doubt is None else without_money(listed)).rename({RISK: "risk"}).to_dicts(),
    }

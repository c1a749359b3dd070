"""The demo's campaigns, made by the functions that everybody uses: one that is finished and helped, and one that is running.

What calling did is simulated: of the customers called in the summer who would have left, a share that is known here stayed. Their
outcomes are booked again, a day later, as if nothing else had happened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import polars as pl

from churn.act import campaigns, eligibility, results, worklist
from churn.act.call_list import Known, Terms, cut, groups_of, rank, rows
from churn.act.campaigns import LOST, OFFERED, REACHED, SAVED, TO_CALL, UNREACHABLE
from churn.base.expected_value import Assumptions, customer_value, expected_value
from churn.base.groups import Filter, groups, number_edges
from churn.base.records import Records
from churn.base.snapshot import RISK, Snapshot
from churn.cli.campaigns import known_outcomes
from churn.data import demo
from churn.data.quality import conform
from churn.data.schema import Schema
from churn.errors import DataError
from churn.model.bundle import Bundle
from churn.model.registry import Registry
from churn.model.store import Store
from churn.score import batch
from churn.score.outcomes import import_outcomes
from churn.settings import Settings
from churn.understand.account import Typical
from churn.understand.cohorts import dimensions
from churn.understand.evidence import Evidence

WORKED: Final = 0.15  # share of the leavers called in the summer who stayed: the effect that the results should find
_WHO: Final = "churn demo"
_OFFER: Final = 60.0
_SUMMER, _AUTUMN = 1_500, 300  # customers
_OWNERS: Final = ("Anna Fischer", "Jonas Weber", "Mira Schulz")
_REACHED: Final = 0.8  # share of those called who pick up


def make(settings: Settings, registry: Registry, store: Store, bundle: Bundle, snapshots: pl.DataFrame, scoring: str) -> None:
    """Make both campaigns, where there is none yet."""
    records = Records(settings)
    try:
        if not campaigns.every(records):
            _summer(records, settings, store, bundle, snapshots)
            _autumn(records, settings, registry, bundle, scoring)
    finally:
        records.close()


# -- the one that is finished --------------------------------------------------------


def _summer(records: Records, settings: Settings, store: Store, bundle: Bundle, snapshots: pl.DataFrame) -> None:
    """Called from the last snapshot whose outcomes are all known, and measured by them."""
    schema, assumptions = bundle.schema, Assumptions.of(settings)
    assert schema.snapshot is not None
    column, target = schema.snapshot.column, schema.target
    unknown = snapshots.group_by(column).agg(pl.col(target.column).is_null().any().alias("open"))
    day: date = unknown.filter(~pl.col("open"))[column].max()  # type: ignore[assignment]
    known = snapshots.filter(pl.col(column) == day)
    scored = batch.score(conform(known, schema), bundle.model).rows
    listed, of_groups = _best(scored, schema, assumptions)
    begun = day + timedelta(days=2)
    campaign = campaigns.create(
        records,
        listed,
        name="Summer save",
        model=bundle.version,
        scoring=f"simulated {day.isoformat()}",
        as_of=day,
        horizon_days=schema.horizon_days,
        who=_WHO,
        assumptions=assumptions,
        plan={"offer": _OFFER, "capacity": _SUMMER},
        holdout_share=0.25,
        groups=of_groups,
        salt="summer save",
        source="command",
        at=_at(begun, 9),
    )
    campaigns.start(records, campaign.id, who=_WHO, source="command", at=_at(begun, 14))
    members = campaigns.members(records, campaign.id)
    left = dict(known.select(schema.key, pl.col(target.column) == target.positive).iter_rows())
    called = members.filter(pl.col("arm") == "call")["customer"].to_list()
    stayed = {
        key for key in called if left[key] and _draw(key, "reached") < _REACHED and _draw(key, "worked") < WORKED / _REACHED
    }
    stages = [_after(key, left[key] and key not in stayed, key in stayed) for key in called]
    for place, owner in enumerate(_OWNERS):
        own = slice(place, None, len(_OWNERS))
        _fill(records, campaign.id, called[own], stages[own], owner, _at(begun + timedelta(days=18 + place), 17))
    campaigns.finish(records, campaign.id, who=_WHO, source="command", at=_at(day + timedelta(days=80), 17))
    outcomes = known.filter(pl.col(schema.key).is_in(list(stayed))).select(
        schema.key, column, pl.lit("No").alias("left"), pl.lit(demo.AS_OF.isoformat()).alias("known_at")
    )
    done = import_outcomes(outcomes, schema, store, today=demo.AS_OF, force=True)  # it takes back what was known of them
    if done.refused:
        raise DataError(f"the demo's own outcomes do not fit its schema: {done.refused[0]}")
    _taught(records, settings, store, campaign.id, scored, schema)


def _taught(records: Records, settings: Settings, store: Store, id: str, scored: pl.DataFrame, schema: Schema) -> None:
    """Learn from it whom calling changes, as `churn campaign uplift` does where the scoring is in the store."""
    from churn.learn import uplift

    told = results.known_members(records, id, known_outcomes(settings), today=demo.AS_OF).drop_nulls("left")
    table = told.select(pl.col("customer").alias(schema.key)).join(scored, on=schema.key, how="left", maintain_order="left")
    uplift.keep(uplift.from_rows(campaigns.find(records, id), table.select(schema.names), told, schema), store, simulated=True)


def _best(scored: pl.DataFrame, schema: Schema, assumptions: Assumptions) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The customers whom an offer is worth most, and the groups they are in."""
    assert schema.money is not None
    risk = scored[RISK].to_numpy()
    value = customer_value(scored[schema.money.column].cast(pl.Float64).to_numpy(), schema, assumptions)
    assert value is not None
    listed = scored.select(schema.key, *schema.segments).with_columns(
        pl.Series("risk", risk),
        pl.Series("value", value),
        pl.Series("expected_value", expected_value(risk, value, _OFFER, assumptions)),
        pl.Series("band", [schema.band(float(one)).name for one in risk]),
    )
    listed = listed.sort("expected_value", schema.key, descending=[True, False]).head(_SUMMER)
    listed = listed.rename({schema.key: "customer"}).with_row_index("rank", 1)
    owners = [_OWNERS[place % len(_OWNERS)] for place in range(listed.height)]
    of_groups = [pl.col("customer")]
    for name in schema.segments:
        feature = schema.feature(name)
        edges = number_edges(feature, scored[name]) if feature.is_number else None
        label = pl.lit(None, pl.String)
        for group in groups(feature, schema, edges):
            label = pl.when(group.expression(name)).then(pl.lit(group.label)).otherwise(label)
        of_groups.append(label.alias(name))
    return listed.with_columns(pl.Series("owner", owners)), listed.select(of_groups)


def _after(key: str, left: bool, saved: bool) -> str:
    """How far the callers came with a customer."""
    if _draw(key, "reached") >= _REACHED:
        return UNREACHABLE
    if saved:
        return SAVED
    draw = _draw(key, "stage")
    if left:
        return LOST if draw < 0.7 else OFFERED
    return SAVED if draw < 0.3 else REACHED if draw < 0.7 else OFFERED


# -- the one that is running -----------------------------------------------------------


def _autumn(records: Records, settings: Settings, registry: Registry, bundle: Bundle, scoring: str) -> None:
    """A list of the base as it is shown, the first of it worked through."""
    schema, assumptions, folder = bundle.schema, Assumptions.of(settings), registry.scoring_folder(scoring)
    terms = Terms(offer=_OFFER, capacity=_AUTUMN, holdout=0.2)
    begun = demo.AS_OF + timedelta(days=1)
    with Snapshot.open(folder, schema, settings) as snapshot:
        standing = eligibility.standing(snapshot, eligibility.people(folder, snapshot, settings), settings, today=begun)
        ranking = rank(
            eligibility.candidates(standing, snapshot.pool(Filter()), needs_worth=True), schema, assumptions, terms.offer
        )
        size = cut(ranking, terms, assumptions).customers
        known = Known(
            snapshot, folder, bundle.model, Typical.of(bundle.reference, schema), Evidence(bundle.reference, schema), assumptions
        )
        columns = [one.column for one in dimensions(snapshot) if one.first]
        campaign = campaigns.create(
            records,
            rows(ranking, known, 0, size),
            name="Autumn save",
            model=snapshot.model,
            scoring=snapshot.id,
            as_of=snapshot.as_of,
            horizon_days=schema.horizon_days,
            who=_WHO,
            assumptions=assumptions,
            plan={"offer": terms.offer, "capacity": terms.capacity},
            holdout_share=terms.holdout,
            groups=groups_of(ranking, known, size, columns),
            salt="autumn save",
            source="command",
            at=_at(begun, 9),
        )
    campaigns.start(records, campaign.id, who=_WHO, source="command", at=_at(begun, 14))
    members = worklist.listed(records, campaign.id, limit=90)
    done = [one.customer for one in members if _draw(one.customer, "done") < 0.7]
    stages = [_after(key, False, False) for key in done]
    _fill(records, campaign.id, done, stages, _WHO, _at(begun + timedelta(days=3), 17), due=begun + timedelta(days=18))


# -- inside ------------------------------------------------------------------------------


def _fill(
    records: Records,
    id: str,
    customers: Sequence[str],
    stages: Sequence[str],
    who: str,
    at: datetime,
    *,
    due: date | None = None,
) -> None:
    """Take in what callers noted, as a file they filled in."""
    reasons = {LOST: "Another provider is cheaper", UNREACHABLE: "Three calls, no answer", SAVED: "Took the offer"}
    versions = dict(campaigns.members(records, id).select("customer", "version").iter_rows())
    table = pl.DataFrame(
        {
            "Customer": list(customers),
            "Version": [versions[customer] for customer in customers],
            "Stage": list(stages),
            "Reason": [reasons.get(stage) for stage in stages],
            "Due": [due if stage in (TO_CALL, REACHED, OFFERED) else None for stage in stages],
        },
        schema={"Customer": pl.String(), "Version": pl.Int64(), "Stage": pl.String(), "Reason": pl.String(), "Due": pl.Date()},
    )
    taken = worklist.take(records, id, table, who=who, at=at)
    if taken.refused:
        raise DataError(f"the demo's own worklist was refused: {taken.refused[0]}")


def _draw(key: str, what: str) -> float:
    """A number from 0 to 1 that is as good as random, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"demo {what} {key}".encode()).digest()[:7], "big") / 2**56


def _at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), UTC)

"""What could help one customer most: every action of the schema's catalogue, and every two of them, tried and ranked.

An action counts *from now on*: its row is the customer one horizon later with the action taken, and its drop is against one
horizon later with nothing done. Of those about to leave the share γ takes it, so it brings γ·(p − p′)·V less its expected cost
f + p·γ·d + (1 − p)·s·d (`churn.base.expected_value`): money that rests on assumptions, where a drop in points rests on the model
alone.

For a page::

    ranked = rank_actions(customer.row, customer.money, model=pair.bundle.model, evidence=pair.evidence,
                          assumptions=Assumptions.of(settings))
    for outcome in ranked.outcomes: outcome.label, outcome.risk, outcome.drop, outcome.net_value, outcome.cascade, outcome.support
    ranked.note                                   # what to say where there is nothing to rank
    state.scenario().to(outcome.fills, row)       # fill the what-if, as one step that can be undone
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from churn import words
from churn.base.expected_value import Assumptions, customer_value, offer_cost
from churn.data.schema import Action, Schema
from churn.model.risk_model import RiskModel, table_of
from churn.understand.evidence import Evidence, Support
from churn.understand.what_if import (
    FROM_NOW_ON,
    Edited,
    Value,
    cascade_sentences,
    edit,
    limits,
    one_horizon_later,
    same,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One action, or two together, for one customer.

    `names`: of the actions. `edited`: one horizon later, with `edited.before` for nothing done. `fills`: the what-if fields
    that show it; what an action sets besides is not offered there. `risk`: with it, 0–1. `drop`: how much lower than with
    nothing done, 0–1 scale, negative where the risk rises. `cost`: of one customer who takes it, None where the schema does not
    say. `expected_cost`: on average, contact included; None without a cost. `net_value`: None too where nothing says what the
    customer is worth. `drop_per_cost`: drop for each unit of expected cost, None where it costs nothing. `cascade`: sentences on
    what follows.
    """

    names: tuple[str, ...]
    label: str
    edited: Edited
    fills: Mapping[str, str | float]
    risk: float
    drop: float
    cost: float | None
    expected_cost: float | None
    net_value: float | None
    drop_per_cost: float | None
    cascade: tuple[str, ...]
    support: Support


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Actions that cannot be taken, or do nothing, for this customer, and why, in words."""

    names: tuple[str, ...]
    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """What could help, best first. `nothing_done`: the risk one horizon later without any action, 0–1; `value`: V, or None."""

    outcomes: tuple[Outcome, ...]
    left_out: tuple[LeftOut, ...]
    nothing_done: float
    value: float | None
    note: str


def rank_actions(
    row: Mapping[str, Any],
    money: float | None,
    *,
    model: RiskModel,
    evidence: Evidence,
    assumptions: Assumptions,
) -> Ranking:
    """All bundles of one and two actions for one customer, scored in one batch.

    Ranked by net value, then by drop, then by name; what has no net value comes last.

    Parameters
    ----------
    row: the conformed customer, column → value. money: what the customer brings in per period; None or NaN where not known.

    Raises
    ------
    SchemaError: an action contradicts the schema's rules.
    """
    schema = model.schema
    if not schema.actions:
        risk = float(model.score(table_of([one_horizon_later(row, schema, evidence)], schema)).risk[0])
        return Ranking((), (), risk, None, words.say("no actions"))
    before = one_horizon_later(row, schema, evidence)

    def take(changes: Mapping[str, Value]) -> Edited:
        return edit(row, changes, schema, evidence, since=FROM_NOW_ON, action=True, nothing_done=before)

    tried, left_out = _bundles(row, schema, take)
    risks = model.score(table_of([before, *(edited.row for _, edited in tried)], schema)).risk
    nothing_done = float(risks[0])
    worth = customer_value(money, schema, assumptions)
    value = None if worth is None or words.is_nothing(float(worth)) else float(worth)
    outcomes = []
    supports = evidence.supports(before, [(edited.row, edited.changed) for _, edited in tried])
    for (actions, edited), risk, support in zip(tried, risks[1:].tolist(), supports, strict=True):
        costs = [action.cost for action in actions if action.cost is not None]
        cost = sum(costs) if len(costs) == len(actions) else None
        expected = None if cost is None else float(offer_cost(nothing_done, cost, assumptions))
        drop = nothing_done - risk
        outcomes.append(
            Outcome(
                names=tuple(action.name for action in actions),
                label=label_of(actions),
                edited=edited,
                fills={name: v for name, v in edited.asked.items() if schema.feature(name).editable and v is not None},
                risk=risk,
                drop=drop,
                cost=cost,
                expected_cost=expected,
                net_value=None if value is None or expected is None else assumptions.acceptance * drop * value - expected,
                drop_per_cost=drop / expected if expected else None,
                cascade=cascade_sentences(edited, schema),
                support=support,
            )
        )
    outcomes.sort(key=lambda o: (o.net_value is None, -(o.net_value or 0.0), -o.drop, o.names))
    return Ranking(tuple(outcomes), tuple(left_out), nothing_done, value, "" if outcomes else words.say("actions none"))


def best_supported(ranking: Ranking) -> Outcome | None:
    """The first of a ranking that real customers bear out and that helps: worth its cost, or lowering the risk where nothing is
    valued. None where there is none."""
    for outcome in ranking.outcomes:
        if outcome.support.supported and (outcome.drop if outcome.net_value is None else outcome.net_value) > 0:
            return outcome
    return None


def label_of(actions: Sequence[Action]) -> str:
    """One action by its label, two joined."""
    return actions[0].label if len(actions) == 1 else words.say("action both", first=actions[0].label, second=actions[1].label)


def _bundles(
    row: Mapping[str, Any], schema: Schema, take: Callable[[Mapping[str, Value]], Edited]
) -> tuple[list[tuple[tuple[Action, ...], Edited]], list[LeftOut]]:
    """Every bundle of one and two that can be taken and does something, with its row; and the others, with the reason."""
    tried: list[tuple[tuple[Action, ...], Edited]] = []
    left_out: list[LeftOut] = []
    alone: dict[str, Edited] = {}
    wanted: dict[str, dict[str, Value]] = {}
    for action in schema.actions:
        changes = _changes(action, row, schema)
        if isinstance(changes, str):
            left_out.append(LeftOut((action.name,), action.label, changes))
            continue
        wanted[action.name] = changes
        edited = take(changes)
        alone[action.name] = edited
        if edited.changed:
            tried.append(((action,), edited))
        else:
            asked = any(not same(value, row.get(name)) for name, value in changes.items())
            reason = words.say("action not possible") if asked else words.say("action same")
            left_out.append(LeftOut((action.name,), action.label, reason))
    for first, second in combinations((action for action in schema.actions if action.name in alone), 2):
        found = _both(first, second, wanted, alone, schema, take)
        if isinstance(found, str) and not (alone[first.name].changed and alone[second.name].changed):
            continue  # why has been said of the one
        if isinstance(found, str):
            left_out.append(LeftOut((first.name, second.name), label_of((first, second)), found))
        else:
            tried.append(((first, second), found))
    return tried, left_out


def _changes(action: Action, row: Mapping[str, Any], schema: Schema) -> dict[str, Value] | str:
    """What an action makes of this row, column → value; or why it cannot."""
    changes: dict[str, Value] = {}
    for name, value in action.set.items():
        changes[name] = float(value) if schema.feature(name).is_number else str(value)
    for name, factor in action.scale.items():
        own = row.get(name)
        if words.is_nothing(own):
            return words.say("action unknown", label=schema.feature(name).label)
        value = float(own) * factor  # type: ignore[arg-type]
        decimals = 0 if schema.feature(name).whole else 2 if schema.feature(name).unit == "money" else None
        changes[name] = value if decimals is None else float(words.rounded(value, decimals))
    for name, wanted in changes.items():
        feature = schema.feature(name)
        shown = words.quantity(wanted, feature, schema)
        if isinstance(wanted, float):
            low, high = limits(feature)
            if not low <= wanted <= high and not same(wanted, row.get(name)):
                return words.say("action range", label=feature.label, value=shown)
        elif feature.level(str(wanted)) is None:
            return words.say("action unseen", label=feature.label, value=shown)
    return changes


def _both(
    first: Action,
    second: Action,
    wanted: Mapping[str, Mapping[str, Value]],
    alone: Mapping[str, Edited],
    schema: Schema,
    take: Callable[[Mapping[str, Value]], Edited],
) -> Edited | str:
    """Two actions at once; or why they make no pair."""
    one, other = wanted[first.name], wanted[second.name]
    for name in one.keys() & other.keys():
        if not same(one[name], other[name]) or name in first.scale or name in second.scale:
            return words.say("action collide", label=schema.feature(name).label)
    edited = take({**one, **other})
    for mine, its, theirs in ((first, one, second), (second, other, first)):
        lost = [
            name for name, value in its.items() if same(alone[mine.name].row[name], value) and not same(edited.row[name], value)
        ]
        if lost:
            return words.say("action undone", first=theirs.label, second=mine.label)
    if not edited.changed:
        return words.say("action same")
    for part in (first, second):
        if all(same(value, alone[part.name].row.get(name)) for name, value in edited.row.items()):
            return words.say("action no more", label=part.label)
    return edited

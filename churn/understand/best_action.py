"""The best action of many customers at once: for each the first that real customers bear out, as its own page ranks them.

`rank_actions` takes milliseconds for one customer, and a call list has ten thousand. Here the same edits are made on columns:
every action, and every two, for everybody at a time. Rules, formulas, clocks and what gives way follow `churn.understand.what_if`
step by step; who asks for what only one row can be told of (a number that has to stop on its way) is ranked alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from churn import words
from churn.base.expected_value import Assumptions, customer_value, offer_cost
from churn.data import formula
from churn.data.schema import DAYS, Action, Rule, Schema
from churn.errors import SchemaError
from churn.model.risk_model import RiskModel
from churn.understand.actions import best_supported, label_of, rank_actions
from churn.understand.evidence import Evidence
from churn.understand.what_if import forward_rules, is_reserved, limits, replacement, with_history

Mask = npt.NDArray[np.bool_]
State = dict[str, npt.NDArray[Any]]  # feature → numbers float64 (NaN: missing), levels as codes (−1: missing)
_MISSING = -1
_MOST_ROUNDS = 100  # of rules and formulas until they rest; no schema that rests needs more
_RULE, _FREED, _FORMULA = 1, 2, 3  # what changed a column last


def best_actions(
    table: pl.DataFrame,
    money: pl.Series | None,
    *,
    model: RiskModel,
    evidence: Evidence,
    assumptions: Assumptions,
) -> list[str | None]:
    """The label of the best supported action of each customer, as `best_supported(rank_actions(…))` names it; None for none.

    Parameters
    ----------
    table: conformed customers. money: what each brings in per period, null where not known; None where the schema has none.

    Raises SchemaError where an action contradicts the schema's rules.
    """
    schema = model.schema
    if not schema.actions or table.is_empty():
        return [None] * table.height
    batch = _Batch(table, schema, evidence)
    batch.try_all()
    found: list[str | None] = [None] * table.height
    labels, best = _best(batch, table, money, model, evidence, assumptions)
    for row in np.flatnonzero(best >= 0).tolist():
        found[row] = labels[best[row]]
    amounts = [None] * table.height if money is None else money.to_list()
    for row in np.flatnonzero(batch.alone).tolist():
        ranked = rank_actions(table.row(row, named=True), amounts[row], model=model, evidence=evidence, assumptions=assumptions)
        one = best_supported(ranked)
        found[row] = None if one is None else one.label
    return found


@dataclass(frozen=True, eq=False, slots=True)
class _Tried:
    """A bundle of one or two actions: the rows one horizon later with it, and for whom it can be taken and does something."""

    actions: tuple[Action, ...]
    later: State
    changed: Mapping[str, Mask]
    taken: Mask


def _best(
    batch: _Batch,
    table: pl.DataFrame,
    money: pl.Series | None,
    model: RiskModel,
    evidence: Evidence,
    assumptions: Assumptions,
) -> tuple[list[str], npt.NDArray[np.intp]]:
    """Labels of the bundles, and for each customer the place of the best among them, −1 for none."""
    rows, tried = table.height, batch.tried
    best = np.full(rows, -1, dtype=np.intp)
    if not tried:
        return [], best
    before = batch.frame(batch.before)
    nothing_done = model.score(before).risk
    value = (
        None if money is None else customer_value(money.cast(pl.Float64).fill_null(np.nan).to_numpy(), model.schema, assumptions)
    )
    value = np.full(rows, np.nan) if value is None else value
    drop, net = np.zeros((len(tried), rows)), np.full((len(tried), rows), np.nan)
    for place, one in enumerate(tried):
        at = np.flatnonzero(one.taken)
        if not len(at):
            continue
        drop[place, at] = nothing_done[at] - model.score(batch.frame(one.later, at)).risk
        costs = [action.cost for action in one.actions if action.cost is not None]
        if len(costs) == len(one.actions):
            expected = offer_cost(nothing_done[at], sum(costs), assumptions)
            net[place, at] = assumptions.acceptance * drop[place, at] * value[at] - expected
    taken = np.stack([one.taken for one in tried])
    unvalued = np.isnan(net)
    helps = taken & (np.where(unvalued, drop, net) > 0)
    names = [tuple(action.name for action in one.actions) for one in tried]
    by_name = np.empty(len(tried), dtype=np.intp)
    by_name[sorted(range(len(tried)), key=names.__getitem__)] = np.arange(len(tried))
    rank = np.lexsort(
        (np.broadcast_to(by_name[:, None], net.shape), -drop, -np.where(unvalued, 0.0, net), unvalued, ~taken), axis=0
    )
    was = evidence.placed(before)
    open_ = np.flatnonzero(helps.any(axis=0) & ~batch.alone)
    for turn in range(len(tried)):
        if not len(open_):
            break
        mine = rank[turn, open_]
        for place in np.unique(mine):
            at = open_[(mine == place) & helps[place, open_]]
            if len(at):
                one = tried[place]
                changed = {name: mask[at] for name, mask in one.changed.items()}
                fine = evidence.supported(was[at], batch.frame(one.later, at, changed), changed)
                best[at[fine]] = place
        open_ = open_[best[open_] < 0]
    return [label_of(one.actions) for one in tried], best


# -- edits on columns ------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Batch:
    """Customers as columns, one horizon later with nothing done (`before`), and with every bundle that was tried.

    `alone`: those who have to be ranked one by one.
    """

    table: pl.DataFrame
    schema: Schema
    evidence: Evidence
    tried: list[_Tried] = field(default_factory=list)

    def __post_init__(self) -> None:
        schema = self.schema
        self.rows = self.table.height
        self.alone = np.zeros(self.rows, dtype=np.bool_)
        self.texts: dict[str, list[str]] = {}
        self.codes: dict[str, dict[str, int]] = {}
        self.row: State = {}
        for feature in schema.features:
            column = self.table[feature.name]
            if feature.is_number:
                self.row[feature.name] = column.cast(pl.Float64).fill_null(np.nan).to_numpy().copy()
                continue
            seen = column.cast(pl.String).drop_nulls().unique().sort().to_list()
            given = [rule.then[feature.name] for rule in schema.rules if feature.name in rule.then]
            given += [action.set[feature.name] for action in schema.actions if feature.name in action.set]
            texts = list(dict.fromkeys([*(level.value for level in feature.levels), *map(str, given), *seen]))
            self.texts[feature.name] = texts
            self.codes[feature.name] = {text: code for code, text in enumerate(texts)}
            known = column.cast(pl.String).replace_strict(self.codes[feature.name], default=None, return_dtype=pl.Int64)
            self.row[feature.name] = known.fill_null(_MISSING).to_numpy().copy()
        self.history = with_history(schema)
        self.everybody = np.ones(self.rows, dtype=np.bool_)
        self.before = self._later(self.row, {}, {})

    def frame(self, state: State, at: npt.NDArray[np.intp] | None = None, only: Collection[str] | None = None) -> pl.DataFrame:
        """Columns as the conformed table that a model scores; some rows and some columns of it where they are named."""
        columns = []
        for feature in self.schema.features:
            if only is not None and feature.name not in only:
                continue
            own = state[feature.name] if at is None else state[feature.name][at]
            if feature.is_number:
                columns.append(pl.Series(feature.name, own).fill_nan(None))
            else:
                code = pl.Series(own).set(pl.Series(own == _MISSING), None)
                columns.append(pl.Series(self.texts[feature.name], dtype=pl.String).gather(code).alias(feature.name))
        return pl.DataFrame(columns)

    def try_all(self) -> None:
        """Every bundle of one and two, as `rank_actions` tries them."""
        alone: dict[str, State] = {}
        asked: dict[str, dict[str, npt.NDArray[Any]]] = {}
        possible: dict[str, Mask] = {}
        effective: dict[str, Mask] = {}
        for action in self.schema.actions:
            changes = self._changes(action)
            if changes is None:
                continue
            asked[action.name], possible[action.name] = changes
            alone[action.name] = self._take(asked[action.name], possible[action.name])
            effective[action.name] = self._keep((action,), alone[action.name], possible[action.name])
        for first, second in combinations((action for action in self.schema.actions if action.name in alone), 2):
            one, other = asked[first.name], asked[second.name]
            both = possible[first.name] & possible[second.name]
            for name in one.keys() & other.keys():
                if name in first.scale or name in second.scale:
                    both &= False
                else:
                    both &= self._same(name, one[name], other[name])
            if not both.any():
                continue
            edited = self._take({**one, **other}, both)
            for mine, its in ((first, one), (second, other)):
                for name, value in its.items():
                    had = self._same(name, alone[mine.name][name], value)
                    both &= ~(had & ~self._same(name, edited[name], value))
            for part in (first, second):
                everything = np.logical_and.reduce([self._same(n, edited[n], alone[part.name][n]) for n in self.schema.names])
                both &= ~everything
            self._keep((first, second), edited, both)

    def _keep(self, actions: tuple[Action, ...], later: State, possible: Mask) -> Mask:
        changed = {name: ~self._same(name, later[name], self.before[name]) for name in self.schema.names}
        changed = {name: mask for name, mask in changed.items() if mask.any()}
        taken: Mask = possible & np.logical_or.reduce([*changed.values(), ~self.everybody])
        if taken.any():
            self.tried.append(_Tried(actions, later, changed, taken))
        return taken

    def _changes(self, action: Action) -> tuple[dict[str, npt.NDArray[Any]], Mask] | None:
        """What an action makes of every row, and of which it can; None where of none."""
        possible = self.everybody.copy()
        changes: dict[str, npt.NDArray[Any]] = {}
        for name, value in action.set.items():
            feature = self.schema.feature(name)
            if feature.is_number:
                changes[name] = np.full(self.rows, float(value))
            elif feature.level(str(value)) is None:
                return None
            else:
                changes[name] = np.full(self.rows, self.codes[name][str(value)])
        for name, factor in action.scale.items():
            own, feature = self.row[name], self.schema.feature(name)
            possible &= ~np.isnan(own)
            decimals = 0 if feature.whole else 2 if feature.unit == "money" else None
            scaled = own * factor
            changes[name] = scaled if decimals is None else _rounded(scaled, decimals)
        for name, wanted in changes.items():
            feature = self.schema.feature(name)
            if feature.is_number:
                low, high = limits(feature)
                possible &= ((wanted >= low) & (wanted <= high)) | self._same(name, wanted, self.row[name])
        return (changes, possible) if possible.any() else None

    def _take(self, changes: Mapping[str, npt.NDArray[Any]], possible: Mask) -> State:
        """The rows one horizon later with these changes from now on: `edit(…, since=FROM_NOW_ON)`."""
        wanted = {name: possible & ~self._same(name, value, self.row[name]) for name, value in changes.items()}
        current = {name: values.copy() for name, values in self.row.items()}
        for name, mask in wanted.items():
            current[name][mask] = changes[name][mask]
        cause: dict[str, npt.NDArray[np.int8]] = {}
        self._settle(current, self.row, wanted, cause, kept=self.history)
        later = self._later(current, wanted, cause)
        self._find_beyond(changes, wanted, later, cause, possible)
        return later

    def _later(self, row: State, wanted: Mapping[str, Mask], cause: dict[str, npt.NDArray[np.int8]]) -> State:
        current = {name: values.copy() for name, values in row.items()}
        for feature in self.schema.features:
            if feature.clock:
                value = row[feature.name] + self.schema.horizon_days / DAYS[feature.clock]
                value = value if feature.at_most is None else np.where(value > feature.at_most, feature.at_most, value)
                current[feature.name] = _rounded(value, 0) if feature.whole else value
        self._settle(current, row, wanted, cause, history=self.history)
        return current

    def _find_beyond(
        self,
        changes: Mapping[str, npt.NDArray[Any]],
        wanted: Mapping[str, Mask],
        later: State,
        cause: Mapping[str, npt.NDArray[np.int8]],
        possible: Mask,
    ) -> None:
        """Mark who has an exact formula led beyond what has been seen: where such an edit stops is found one by one."""
        for feature in self.schema.features:
            if not feature.formula or feature.residual or feature.name not in cause:
                continue
            after, was = later[feature.name], self.before[feature.name]
            if feature.name in wanted:
                was = np.where(wanted[feature.name], changes[feature.name], was)
            told = (cause[feature.name] == _FORMULA) & ~self._same(feature.name, was, after) & ~np.isnan(after)
            was = np.where(np.isnan(was), after, was)
            low, high = limits(feature)
            slack = 1e-12 * max(abs(low) if np.isfinite(low) else 0.0, abs(high) if np.isfinite(high) else 0.0, 1.0)
            beyond = (after < np.minimum(low, was) - slack) | (after > np.maximum(high, was) + slack)
            self.alone |= possible & told & beyond

    # -- rules and formulas --------------------------------------------------------

    def _settle(
        self,
        current: State,
        before: State,
        wanted: Mapping[str, Mask],
        cause: dict[str, npt.NDArray[np.int8]],
        *,
        kept: frozenset[str] = frozenset(),
        history: frozenset[str] = frozenset(),
    ) -> None:
        """Apply rules and formulas in place until nothing changes any more."""
        for _ in range(_MOST_ROUNDS):
            moved = self._apply_rules(current, before, cause)
            moved |= self._free(current, before, wanted, cause)
            moved |= self._recompute(current, before, wanted, kept, history, cause)
            if not moved:
                return
        raise SchemaError(f"the rules and formulas of schema {self.schema.name!r} contradict each other and never come to rest")

    def _concerned(self, current: State, before: State) -> list[Mask]:
        """For every rule, whose row differs in a column that the rule names."""
        changed: dict[str, Mask] = {}
        found = []
        for rule in self.schema.rules:
            named = [name for name in (*rule.columns, *rule.then) if name in self.row]
            for name in named:
                if name not in changed:
                    changed[name] = ~self._same(name, current[name], before[name])
            found.append(np.logical_or.reduce([changed[name] for name in named]))
        return found

    def _apply_rules(self, current: State, before: State, cause: dict[str, npt.NDArray[np.int8]]) -> bool:
        moved = False
        for rule, concerned in zip(self.schema.rules, self._concerned(current, before), strict=True):
            if not concerned.any():
                continue
            applies = concerned & self._applies(rule, current)
            if not applies.any():
                continue
            for name, value in rule.then.items():
                wanted = self._value(name, value)
                differs = applies & ~self._same(name, current[name], wanted)
                if differs.any():
                    broken = self._same(name, current[name], before[name]) & self._applies(rule, before)
                    moved |= self._set(current, name, differs & ~broken, wanted, _FREED if name in rule.columns else _RULE, cause)
        return moved

    def _free(self, current: State, before: State, wanted: Mapping[str, Mask], cause: dict[str, npt.NDArray[np.int8]]) -> bool:
        moved = False
        for rule, concerned in zip(self.schema.rules, self._concerned(current, before), strict=True):
            if not concerned.any():
                continue
            for name, value in rule.then.items():
                feature = self.schema.feature(name)
                held = concerned & self._same(name, current[name], self._value(name, value))
                if not held.any() or not is_reserved(rule, feature, self.schema, self.evidence):
                    continue
                held &= ~self._applies(rule, current)
                held &= wanted.get(name, ~self.everybody) | self._applies(rule, before)
                if held.any():
                    instead = self._value(name, replacement(rule, feature, self.schema, self.evidence))
                    differs = held & ~self._same(name, current[name], instead)
                    moved |= self._set(current, name, differs, instead, _FREED, cause)
        return moved

    def _recompute(
        self,
        current: State,
        before: State,
        wanted: Mapping[str, Mask],
        kept: frozenset[str],
        history: frozenset[str],
        cause: dict[str, npt.NDArray[np.int8]],
    ) -> bool:
        moved = False
        for feature in self.schema.features:
            name = feature.name
            if not feature.formula or name in kept:
                continue
            inputs = formula.columns(feature.formula)
            asked = np.logical_or.reduce([~self._same(one, current[one], before[one]) for one in inputs if one in self.row])
            if name in wanted:
                asked = asked & ~wanted[name]
            for rule in forward_rules(self.schema, feature):
                if asked.any():
                    asked = asked & ~self._applies(rule, current)
            if not np.any(asked):
                continue
            then, now = (self._evaluate(feature.formula, inputs, state) for state in (before, current))
            own = before[name]
            kept_before = own - then if feature.residual or name in history else np.zeros(self.rows)
            value = now + np.where(np.isnan(kept_before), 0.0, kept_before)
            if feature.at_least is not None:
                value = np.where(value < feature.at_least, feature.at_least, value)
            if feature.at_most is not None:
                value = np.where(value > feature.at_most, feature.at_most, value)
            value = _rounded(value, 0) if feature.whole else value
            value = np.where(np.isnan(now) | (now == then), own, value)
            moved |= self._set(current, name, asked & ~self._same(name, value, current[name]), value, _FORMULA, cause)
        return moved

    def _set(
        self,
        current: State,
        name: str,
        where: Mask,
        value: npt.NDArray[Any] | float | int,
        why: int,
        cause: dict[str, npt.NDArray[np.int8]],
    ) -> bool:
        if not where.any():
            return False
        current[name][where] = value[where] if isinstance(value, np.ndarray) else value
        cause.setdefault(name, np.zeros(self.rows, dtype=np.int8))[where] = why
        return True

    # -- values ------------------------------------------------------------------------

    def _value(self, name: str, value: str | float | None) -> float | int:
        if self.schema.feature(name).is_number:
            return np.nan if value is None else float(value)
        return _MISSING if value is None else self.codes[name][str(value)]

    def _same(self, name: str, a: Any, b: Any) -> Mask:
        """Whether values of a column are the same, as `what_if.same` has it."""
        if name in self.texts:
            return np.asarray(np.broadcast_to(a == b, self.rows))
        near = np.abs(a - b) <= np.maximum(1e-9 * np.maximum(np.abs(a), np.abs(b)), 1e-9)
        return np.asarray(np.broadcast_to(near | (np.isnan(a) & np.isnan(b)), self.rows))

    def _applies(self, rule: Rule, state: State) -> Mask:
        """Who meets every condition of a rule."""
        if isinstance(rule.when, str):
            found = formula.holds(rule.when, {name: self._plain(name, state) for name in rule.columns})
            return np.asarray(np.broadcast_to(found, self.rows))
        met = self.everybody.copy()
        for name, wanted in rule.when.items():
            options = (wanted,) if isinstance(wanted, str) else wanted
            missing = "None" in options
            own = state[name]
            if name in self.texts:
                codes = [self.codes[name][one] for one in options if one in self.codes[name]]
                met &= np.isin(own, codes) | (missing & (own == _MISSING))
            else:
                met &= np.isin(own, [number for one in options if (number := _number(one)) is not None])
        return met

    def _plain(self, name: str, state: State) -> npt.NDArray[Any]:
        """A column as a formula takes it: numbers with NaN, or text with None."""
        if name not in self.texts:
            return state[name]
        texts = np.array([*self.texts[name], None], dtype=object)
        return np.asarray(texts[state[name]])  # −1 is the last, which is None

    def _evaluate(self, text: str, inputs: Sequence[str], state: State) -> npt.NDArray[np.float64]:
        columns = {name: state[name] if name not in self.texts else np.full(self.rows, np.nan) for name in inputs}
        return np.asarray(np.broadcast_to(formula.evaluate(text, columns), self.rows), dtype=np.float64)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _rounded(values: npt.NDArray[np.float64], decimals: int) -> npt.NDArray[np.float64]:
    """`words.rounded` of each, half away from zero on the number as it is written; only what lies next to a half is written."""
    scale = 10.0**decimals
    scaled = np.abs(values) * scale
    found = np.copysign(np.floor(scaled + 0.5), values) / scale
    close = np.isfinite(values) & (np.abs(scaled - np.floor(scaled) - 0.5) < 1e-6 * np.maximum(1.0, scaled * 1e-6))
    for at in np.flatnonzero(close).tolist():
        found[at] = float(words.rounded(float(values[at]), decimals))
    return found

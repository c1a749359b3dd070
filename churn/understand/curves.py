"""How one customer's risk moves along any one column, or along two: what if it had always been so, value by value.

Individual conditional expectation (Goldstein, Kapelner, Bleich and Pitkin 2015), with the table's own logic kept: every
hypothetical row is made by `churn.understand.what_if.edit`, so that what follows from a value is recomputed and no rule is
broken, and rows that resemble no real customer say so. All rows of a question are scored at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from churn import words
from churn.data.schema import Feature, Schema
from churn.errors import DataError
from churn.model.risk_model import RiskModel, table_of
from churn.understand.evidence import Evidence
from churn.understand.what_if import Value, choices, edit, same

_MOST = 61  # values along one column
_MOST_EACH = (8, 6)  # along the first and the second of two
_SLOW = 3  # times fewer numbers for a model that takes long


@dataclass(frozen=True, slots=True)
class Spot:
    """One value tried: the risk (0–1) there, whether any real customer resembles the row, and if not, why.

    `here`: this is the customer as it stands.
    """

    value: Value
    risk: float
    supported: bool
    note: str
    here: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """One customer's risk along one column: numbers rise, levels stand in the schema's order. `here` is the customer's own."""

    feature: Feature
    spots: tuple[Spot, ...]

    @property
    def here(self) -> Spot:
        return next(spot for spot in self.spots if spot.here)

    @property
    def lowest(self) -> Spot:
        """The lowest risk among what resembles a real customer, the customer as it stands included."""
        return min((spot for spot in self.spots if spot.supported or spot.here), key=lambda spot: spot.risk)

    @property
    def highest(self) -> Spot:
        return max((spot for spot in self.spots if spot.supported or spot.here), key=lambda spot: spot.risk)


@dataclass(frozen=True, slots=True)
class Surface:
    """One customer's risk along two columns: `spots[i][j]` is where the first has `rows[i]` and the second `columns[j]`.

    None where rules leave no such customer.
    """

    features: tuple[Feature, Feature]
    rows: tuple[Value, ...]
    columns: tuple[Value, ...]
    spots: tuple[tuple[Spot | None, ...], ...]


def movable(schema: Schema) -> tuple[Feature, ...]:
    """The columns a curve can be drawn along, those that can be changed first: all but what follows from others by a formula."""
    free = [feature for feature in schema.features if feature.formula is None]
    return tuple(sorted(free, key=lambda feature: not feature.editable))


def curve(
    row: Mapping[str, Any],
    feature: Feature,
    model: RiskModel,
    evidence: Evidence,
    *,
    changes: Mapping[str, Any] | None = None,
    most: int | None = None,
) -> Curve:
    """The risk of one customer along one column.

    Parameters
    ----------
    row: the customer, conformed, column → value.
    changes: edits that stand already; the curve starts from the customer with them.
    most: how many values of a number to try at most; a slow model tries fewer unless told.

    Raises
    ------
    SchemaError: the model's schema has no such feature. DataError: `changes` cannot be made.
    """
    base = _Base.of(row, changes, model.schema, evidence)
    own = base.row.get(feature.name)
    values = base.values(feature, most or (_MOST if model.quick else _MOST // _SLOW))
    spots = _spots(base, [{feature.name: value} for value in values], model, evidence)
    found = [Spot(value, *spot, here=same(value, own)) for value, spot in zip(values, spots, strict=True) if spot is not None]
    return Curve(feature, tuple(found))


def surface(
    row: Mapping[str, Any],
    features: tuple[Feature, Feature],
    model: RiskModel,
    evidence: Evidence,
    *,
    changes: Mapping[str, Any] | None = None,
) -> Surface:
    """The same along two different columns at once, rows × columns; see `curve` for the parameters.

    A number is tried where the customers are, in about equal shares; the customer's own value is always among those of each
    column.
    """
    first, second = features
    if first.name == second.name:
        raise DataError(f"two different columns are needed; both are {first.name!r}")
    base = _Base.of(row, changes, model.schema, evidence)
    values = [base.values(feature, most, shares=True) for feature, most in zip(features, _MOST_EACH, strict=True)]
    pairs = list(product(*values))
    spots = _spots(base, [{first.name: a, second.name: b} for a, b in pairs], model, evidence)
    own = [base.row.get(feature.name) for feature in features]
    found = [
        None if spot is None else Spot(None, *spot, here=same(a, own[0]) and same(b, own[1]))
        for (a, b), spot in zip(pairs, spots, strict=True)
    ]
    wide = len(values[1])
    lines = tuple(tuple(found[start : start + wide]) for start in range(0, len(found), wide))
    return Surface(features, tuple(values[0]), tuple(values[1]), lines)


# -- inside --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Base:
    """The customer that a curve starts from: as scored, with the edits that stand, and as these leave it."""

    before: Mapping[str, Any]
    changes: Mapping[str, Any]
    row: Mapping[str, Any]
    schema: Schema
    evidence: Evidence

    @classmethod
    def of(cls, row: Mapping[str, Any], changes: Mapping[str, Any] | None, schema: Schema, evidence: Evidence) -> _Base:
        standing = dict(changes or {})
        edited = edit(row, standing, schema, evidence).row if standing else row
        return cls(row, standing, edited, schema, evidence)

    def values(self, feature: Feature, most: int, *, shares: bool = False) -> list[Value]:
        """What to try in a column: the levels the row allows, or a grid of what has been seen; the row's own is among them."""
        own = self.row.get(feature.name)
        if not feature.is_number:
            levels = [level.value for level in choices(self.row, feature, self.schema, self.evidence)]
            return [*levels, *([] if own in levels else [own])]
        grid = (self.evidence.shares if shares else self.evidence.grid)(feature, most - 1)
        return [*grid, None] if own is None or words.is_nothing(own) else [*sorted({*grid, float(own)})]


def _spots(
    base: _Base, edits: Sequence[Mapping[str, Value]], model: RiskModel, evidence: Evidence
) -> list[tuple[float, bool, str] | None]:
    """Risk, support and its reason of every edit of the base; None where a rule does not let the edit stand."""
    rows: list[Mapping[str, Any] | None] = []
    asked: list[tuple[Mapping[str, Any], frozenset[str]]] = []
    for changes in edits:
        moved = {name: value for name, value in changes.items() if not same(value, base.row.get(name))}
        # a column is looked along whether or not the desk may change it
        edited = edit(base.before, {**base.changes, **moved}, base.schema, evidence, action=True)
        stands = all(same(edited.row.get(name), value) for name, value in changes.items())
        rows.append(edited.row if stands else None)
        if stands:
            asked.append((edited.row, edited.changed))
    risks = iter(model.score(table_of((row for row in rows if row is not None), base.schema)).risk.tolist())
    supports = iter(evidence.supports(base.before, asked))
    found: list[tuple[float, bool, str] | None] = []
    for row in rows:
        if row is None:
            found.append(None)
        else:
            support = next(supports)
            found.append((next(risks), support.supported, support.note))
    return found

"""What if one customer were different: edits, what follows from them, and whether anybody real looks like the result.

An edit means *had it always been so*: columns derived from the edited one are recomputed, the schema's rules are applied, and
everything that changed with it is listed. It is the model's answer, not a promise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from churn import words
from churn.data import formula
from churn.data.schema import Feature, Level, Rule, Schema
from churn.errors import DataError, SchemaError
from churn.understand.evidence import Evidence

Value = str | float | None
Cause = Literal["rule", "freed", "formula"]
_HISTORY = 50  # steps an undo can go back


@dataclass(frozen=True, slots=True)
class Change:
    """One column that changed along with an edit, and why, in words."""

    feature: str
    before: Value
    after: Value
    cause: Cause
    why: str
    headline: str  # what it follows from, as it starts a sentence: "No internet"


@dataclass(frozen=True, slots=True)
class Edited:
    """A row before and after an edit. `asked` holds the edits that differ from the row; `cascade` what they changed besides."""

    before: Mapping[str, Any]
    row: Mapping[str, Any]
    asked: Mapping[str, Value]
    cascade: tuple[Change, ...]

    @property
    def changed(self) -> frozenset[str]:
        """Columns that are not as they were."""
        return frozenset(name for name, value in self.row.items() if not _same(value, self.before.get(name)))


def edit(row: Mapping[str, Any], changes: Mapping[str, Any], schema: Schema, evidence: Evidence | None = None) -> Edited:
    """Apply edits to a row, then rules and formulas until nothing changes any more.

    Rules win over edits, the schema's order decides between rules. A value that only a rule allows ("No internet service")
    gives way once the rule no longer holds. A column that is edited itself is not recomputed. What the row broke before the
    edit is left as it is.

    Parameters
    ----------
    row: the customer, column → value (numbers float, levels text, missing None); other columns than features stay as they are.
    changes: column → wanted value, of editable features.
    evidence: of the model's reference sample; without it, which level takes a freed one's place is a guess by name.

    Raises
    ------
    DataError: a column cannot be edited, or not to that value.
    SchemaError: a column is no feature, or rules and formulas contradict each other.
    """
    wanted = {name: _checked(schema.feature(name), value) for name, value in changes.items() if not _same(value, row.get(name))}
    current = {**row, **wanted}
    told: dict[str, Change] = {}
    seen = [dict(current)]
    while moved := (
        _apply_rules(current, row, schema, told)
        | _free(current, row, wanted, schema, evidence, told)
        | _recompute(current, row, wanted, schema, told)
    ):
        if any(_alike(current, earlier) for earlier in seen):
            raise SchemaError(
                f"the rules and formulas of schema {schema.name!r} contradict each other: "
                f"{', '.join(sorted(moved))} never come to rest"
            )
        seen.append(dict(current))
    cascade = []
    for name in schema.names:
        before = wanted.get(name, row.get(name))
        if name in told and not _same(before, current[name]):
            cascade.append(replace(told[name], before=before, after=current[name]))
    asked = {name: value for name, value in wanted.items() if not _same(current[name], row.get(name))}
    return Edited(dict(row), current, asked, tuple(cascade))


def choices(row: Mapping[str, Any], feature: Feature, schema: Schema, evidence: Evidence | None = None) -> tuple[Level, ...]:
    """The levels a category can have in this row: one where a rule fixes it, else all but those only a rule allows."""
    own = _forward(schema, feature)
    for rule in own:
        if rule.applies(dict(row)):
            return tuple(level for level in feature.levels if level.value == str(rule.then[feature.name]))
    reserved = {str(rule.then[feature.name]) for rule in own if _reserved(rule, feature, schema, evidence)}
    return tuple(level for level in feature.levels if level.value not in reserved)


def cascade_sentences(edited: Edited, schema: Schema) -> tuple[str, ...]:
    """What else an edit changed: `No internet also removes: Online security, Online backup and Tech support.`"""
    lines: list[str] = []
    groups: dict[str, list[Change]] = {}
    for change in edited.cascade:
        groups.setdefault("" if change.cause == "formula" else change.headline, []).append(change)
    for headline, together in groups.items():
        if headline and all(change.cause == "rule" and _is_none(change, schema) for change in together):
            labels = words.sentence_list(schema.feature(change.feature).label for change in together)
            lines.append(words.say("cascade removes", cause=headline, labels=labels))
        elif headline:
            lines.append(words.say("cascade", cause=headline, changes=words.sentence_list(_becomes(c, schema) for c in together)))
        else:
            lines += [words.say("recomputed", label=schema.feature(c.feature).label, value=_shown(c, schema)) for c in together]
    return tuple(lines)


def _becomes(change: Change, schema: Schema) -> str:
    return words.say("becomes", label=schema.feature(change.feature).label, value=_shown(change, schema))


def _shown(change: Change, schema: Schema) -> str:
    return words.quantity(change.after, schema.feature(change.feature), schema)


def _is_none(change: Change, schema: Schema) -> bool:
    """Whether the new value says that there is nothing: 0, "No", "No internet service"."""
    return change.after == 0 if isinstance(change.after, float) else str(_shown(change, schema)).lower().split(" ")[0] == "no"


# -- the steps of an edit -----------------------------------------------------


def _checked(feature: Feature, value: Any) -> Value:
    """The value as the row holds it. Raises DataError where the feature cannot be edited to it."""
    name = feature.name
    if not feature.editable:
        raise DataError(f"column {name!r} cannot be edited")
    if not feature.is_number:
        if not isinstance(value, str) or feature.level(value) is None:
            known = ", ".join(repr(level.value) for level in feature.levels)
            raise DataError(f"column {name!r} must be one of {known}; not {value!r}")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DataError(f"column {name!r} must be a number; not {value!r}")
    number = float(value)
    if feature.whole and number != int(number):
        raise DataError(f"column {name!r} must be a whole number; not {number:g}")
    lows = [low for low in (feature.range and feature.range[0], feature.at_least) if low is not None]
    highs = [high for high in (feature.range and feature.range[1], feature.at_most) if high is not None]
    if lows and number < max(lows):
        raise DataError(f"column {name!r} must be ≥ {max(lows):g}, the lowest seen; not {number:g}")
    if highs and number > min(highs):
        raise DataError(f"column {name!r} must be ≤ {min(highs):g}, the highest seen; not {number:g}")
    return number


# Each changes `current` and `told` in place and returns the columns it set.


def _apply_rules(current: dict[str, Any], before: Mapping[str, Any], schema: Schema, told: dict[str, Change]) -> set[str]:
    moved = set()
    for rule in schema.rules:
        if not rule.applies(current):
            continue
        stood = rule.applies(dict(before))
        for name, value in rule.then.items():
            feature = schema.feature(name)
            wanted = float(value) if feature.is_number else str(value)
            broken_before = stood and not _same(before.get(name), wanted) and _same(current.get(name), before.get(name))
            if not _same(current.get(name), wanted) and not broken_before:
                current[name] = wanted
                told[name] = _told(name, "rule", rule, current, schema)
                moved.add(name)
    return moved


def _free(
    current: dict[str, Any],
    before: Mapping[str, Any],
    wanted: Mapping[str, Value],
    schema: Schema,
    evidence: Evidence | None,
    told: dict[str, Change],
) -> set[str]:
    moved = set()
    for rule in schema.rules:
        if rule.applies(current):
            continue
        ended = rule.applies(dict(before))
        for name, value in rule.then.items():
            feature = schema.feature(name)
            if not (ended or name in wanted):  # what the row broke before the edit stays
                continue
            if not _reserved(rule, feature, schema, evidence):
                continue
            if _same(current.get(name), float(value) if feature.is_number else str(value)):
                instead = _instead(rule, feature, schema, evidence)
                if not _same(current[name], instead):
                    current[name] = instead
                    told[name] = _told(name, "freed", rule, current, schema)
                    moved.add(name)
    return moved


def _reserved(rule: Rule, feature: Feature, schema: Schema, evidence: Evidence | None) -> bool:
    """Whether a value that a rule sets is never there without it, so that it cannot stay when the rule ends."""
    if feature.name in rule.when:  # a rule that leads back out of such a value
        return False
    if evidence is not None:
        return evidence.reserved(rule, feature)
    others = [level for level in feature.levels if level.value != str(rule.then[feature.name])]
    return any(_plain_no(level) for level in others) if not feature.is_number else False


def _instead(rule: Rule, feature: Feature, schema: Schema, evidence: Evidence | None) -> Value:
    """What takes the place of a value that went with its rule: "No" where there is one, else what is most usual."""
    if feature.is_number:
        return evidence.usual_without(rule, feature) if evidence else float(rule.then[feature.name])
    taken = {
        str(other.then[feature.name]) for other in schema.rules if feature.name in other.then and feature.name not in other.when
    }
    left = [level for level in feature.levels if level.value not in taken]
    plain = next((level.value for level in left if _plain_no(level)), None)
    if plain is not None:
        return plain
    usual = evidence.usual_without(rule, feature) if evidence else None
    return usual if usual is not None else next((level.value for level in left), str(rule.then[feature.name]))


def _forward(schema: Schema, feature: Feature) -> list[Rule]:
    """Rules that set a column, without those that lead it back out of a value."""
    return [rule for rule in schema.rules if feature.name in rule.then and feature.name not in rule.when]


def _plain_no(level: Level) -> bool:
    return level.shown.lower() == "no" or level.value.lower() == "no"


def _recompute(
    current: dict[str, Any], before: Mapping[str, Any], wanted: Mapping[str, Value], schema: Schema, told: dict[str, Change]
) -> set[str]:
    moved = set()
    for feature in schema.features:
        if not feature.formula or feature.name in wanted or any(rule.applies(current) for rule in _forward(schema, feature)):
            continue
        inputs = formula.columns(feature.formula)
        if all(_same(current.get(name), before.get(name)) for name in inputs):
            continue
        then, now = (_evaluate(feature.formula, row) for row in (before, current))
        own = _as_number(before.get(feature.name))
        if math.isnan(now) or now == then:  # cannot be said, or is the same
            value = own
        else:
            kept = own - then if feature.residual else 0.0
            value = now + (0.0 if math.isnan(kept) else kept)
            value = max(value, feature.at_least) if feature.at_least is not None else value
            value = min(value, feature.at_most) if feature.at_most is not None else value
            value = float(words.rounded(value)) if feature.whole else value
        found = None if math.isnan(value) else value
        if not _same(found, current.get(feature.name)):
            current[feature.name] = found
            labels = words.sentence_list(schema.feature(name).label for name in inputs if name in schema)
            why = words.say("why formula", labels=labels)
            told[feature.name] = Change(feature.name, None, None, "formula", why, "")
            moved.add(feature.name)
    return moved


def _evaluate(text: str, row: Mapping[str, Any]) -> float:
    return float(formula.evaluate(text, {name: _as_number(row.get(name)) for name in formula.columns(text)}))


def _told(name: str, cause: Cause, rule: Rule, row: Mapping[str, Any], schema: Schema) -> Change:
    """What to say about a column a rule set or freed."""
    parents = [column for column in rule.when if column != name]
    facts = [words.phrase(row.get(column), schema.feature(column), schema) for column in parents]
    texts = words.sentence_list(words.value_text(row.get(column), schema.feature(column), schema) for column in parents)
    back = cause == "freed" or name in rule.when
    headline = rule.label if rule.label and cause == "rule" else words.capital(words.sentence_list(facts))
    return Change(
        name, None, None, "freed" if back else "rule", words.say("why freed" if back else "why rule", fact=texts), headline
    )


def _as_number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _same(a: Any, b: Any) -> bool:
    if words.is_nothing(a) or words.is_nothing(b):
        return words.is_nothing(a) and words.is_nothing(b)
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    return bool(a == b)


def _alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return all(_same(value, b.get(name)) for name, value in a.items())


# -- the page's memory --------------------------------------------------------

Edits = tuple[tuple[str, str | float], ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """The edits of one customer, with the way back: every step gives a new scenario, so it can lie in a session.

    >>> tried = Scenario().set("Contract", "One year").set("TechSupport", "Yes").undo()
    >>> tried.changes
    {'Contract': 'One year'}
    >>> tried.redo().changes
    {'Contract': 'One year', 'TechSupport': 'Yes'}
    """

    edits: Edits = ()
    past: tuple[Edits, ...] = ()
    future: tuple[Edits, ...] = ()

    @property
    def changes(self) -> dict[str, str | float]:
        """Column → wanted value, the latest edit last."""
        return dict(self.edits)

    def set(self, feature: str, value: str | float, original: Any = None) -> Scenario:
        """Edit one column; back to its `original` value is no edit."""
        return self.to({**{name: v for name, v in self.edits if name != feature}, feature: value}, {feature: original})

    def to(self, changes: Mapping[str, str | float], original: Mapping[str, Any] | None = None) -> Scenario:
        """Replace all edits at once, as one step: what a retention action does."""
        edits = tuple((name, value) for name, value in changes.items() if not _same(value, (original or {}).get(name)))
        return self if edits == self.edits else Scenario(edits, (*self.past, self.edits)[-_HISTORY:])

    def reset(self) -> Scenario:
        """No edits; can be undone."""
        return self.to({})

    def undo(self) -> Scenario:
        """One step back; the same where there is none."""
        return Scenario(self.past[-1], self.past[:-1], (self.edits, *self.future)) if self.past else self

    def redo(self) -> Scenario:
        """One step forward again; the same where there is none."""
        return Scenario(self.future[0], (*self.past, self.edits), self.future[1:]) if self.future else self

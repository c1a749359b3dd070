"""What if one customer were different: edits, what follows from them, and whether anybody real looks like the result.

Two kinds of edit are told apart. *Had it always been so* (`ALWAYS`, what the fields of a what-if mean): columns derived from
the edited one are recomputed as though the customer had been like this all along. *From now on* (`FROM_NOW_ON`, what an action
means): the customer is looked at one horizon later. Columns with a clock (`Feature.clock`, such as tenure) have moved on, and
what follows from a clock keeps its history and grows on from it: D' = D + f(inputs after, clock + h) − f(inputs after, clock),
so that a discount lowers the charges to come and not those of the past. It is compared with doing nothing for as long.

The schema's rules are applied either way, and everything that changed besides is listed. It is the model's answer, not a promise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from churn import words
from churn.data import formula
from churn.data.schema import DAYS, Feature, Level, Rule, Schema
from churn.errors import DataError, SchemaError
from churn.understand.evidence import Evidence

Value = str | float | None
Cause = Literal["rule", "freed", "formula", "limit"]
Since = Literal["always", "from now on"]
ALWAYS: Final = "always"
FROM_NOW_ON: Final = "from now on"
_HISTORY = 50  # steps an undo can go back
_HALVINGS = 20  # of the way to a value that cannot be reached


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
    """A row before and after an edit. `asked` holds the edits that differ from the row; `cascade` what they changed besides.

    `before` is what to compare with: the row as it is, or, for an edit from now on, the row one horizon later with nothing done.
    """

    before: Mapping[str, Any]
    row: Mapping[str, Any]
    asked: Mapping[str, Value]
    cascade: tuple[Change, ...]
    since: Since = ALWAYS

    @property
    def changed(self) -> frozenset[str]:
        """Columns that are not as they were."""
        return frozenset(name for name, value in self.row.items() if not same(value, self.before.get(name)))


def edit(
    row: Mapping[str, Any],
    changes: Mapping[str, Any],
    schema: Schema,
    evidence: Evidence | None = None,
    *,
    since: Since = ALWAYS,
    action: bool = False,
    nothing_done: Mapping[str, Any] | None = None,
) -> Edited:
    """Apply edits to a row, then rules and formulas until nothing changes any more.

    Rules win over edits, the schema's order decides between rules. A value that only a rule allows ("No internet service")
    gives way once the rule no longer holds. A column that is edited itself is not recomputed. What the row broke before the
    edit is left as it is. A number goes only as far as leaves what follows from it exactly within the range seen, and the
    cascade says so.

    Parameters
    ----------
    row: the customer, column → value (numbers float, levels text, missing None); other columns than features stay as they are.
    changes: column → wanted value, of editable features.
    evidence: of the model's reference sample; without it, which level takes a freed one's place is a guess by name.
    since: had it always been so, or from now on.
    action: whether an action of the schema asks: it may set what the what-if does not offer.
    nothing_done: for an edit from now on, what `one_horizon_later` gives for the row, where it is known already.

    Raises
    ------
    DataError: a column cannot be edited, or not to that value.
    SchemaError: a column is no feature, or rules and formulas contradict each other.
    """
    wanted = {
        name: _checked(schema.feature(name), value, action=action)
        for name, value in changes.items()
        if not same(value, row.get(name))
    }
    before = row
    if since == FROM_NOW_ON:
        before = _later(row, {}, schema, evidence, {}) if nothing_done is None else nothing_done

    def at_once(asked: Mapping[str, Value]) -> Edited:
        return _edited_at_once(row, asked, schema, evidence, since, before)

    edited = at_once(wanted)
    short = _within_reach(row, wanted, schema, edited, at_once)
    if not short:
        return edited
    edited = at_once({**wanted, **short})
    stopped = [_stopped(name, wanted[name], edited.row[name], edited, schema) for name in short]
    order = {name: place for place, name in enumerate(schema.names)}
    return replace(edited, cascade=tuple(sorted((*edited.cascade, *stopped), key=lambda change: order[change.feature])))


def reach(edited: Edited, schema: Schema) -> frozenset[str] | None:
    """All columns that an edit could have changed; None where a number stopped on its way, which other edits can shift.

    Edits whose reaches share no column leave each other as they are: no rule or formula of the one reads what the other sets.
    """
    if any(change.cause == "limit" for change in edited.cascade):
        return None
    return frozenset(name for asked in edited.asked for name in schema.follows[asked])


def together(edits: Sequence[Edited], schema: Schema) -> Edited:
    """Edits of one row, had it always been so, whose reaches share no column: `edit` of all that they ask for, not made anew."""
    row = dict(edits[0].before)
    for edited in edits:
        row |= {name: edited.row[name] for asked in edited.asked for name in schema.follows[asked]}
    order = {name: place for place, name in enumerate(schema.names)}
    cascade = sorted((change for edited in edits for change in edited.cascade), key=lambda change: order[change.feature])
    asked = {name: value for edited in edits for name, value in edited.asked.items()}
    return Edited(edits[0].before, row, asked, tuple(cascade))


def one_horizon_later(row: Mapping[str, Any], schema: Schema, evidence: Evidence | None = None) -> Mapping[str, Any]:
    """The row if nothing is done: what an action is compared with."""
    return _later(row, {}, schema, evidence, {})


def choices(row: Mapping[str, Any], feature: Feature, schema: Schema, evidence: Evidence | None = None) -> tuple[Level, ...]:
    """The levels a category can have in this row: one where a rule fixes it, else all but those only a rule allows."""
    own = forward_rules(schema, feature)
    for rule in own:
        if rule.applies(dict(row)):
            return tuple(level for level in feature.levels if level.value == str(rule.then[feature.name]))
    reserved = {str(rule.then[feature.name]) for rule in own if is_reserved(rule, feature, schema, evidence)}
    return tuple(level for level in feature.levels if level.value not in reserved)


def cascade_sentences(edited: Edited, schema: Schema) -> tuple[str, ...]:
    """What else an edit changed: `No internet also removes: Online security, Online backup and Tech support.`"""
    lines: list[str] = []
    groups: dict[str, list[Change]] = {}
    for change in edited.cascade:
        if change.cause == "limit":
            label = schema.feature(change.feature).label
            lines.append(words.say("stopped", label=label, value=_shown(change, schema), why=change.why))
        else:
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


def _edited_at_once(
    row: Mapping[str, Any],
    wanted: Mapping[str, Value],
    schema: Schema,
    evidence: Evidence | None,
    since: Since,
    before: Mapping[str, Any],
) -> Edited:
    """The edit of checked values, wherever what follows from it ends up."""
    told: dict[str, Change] = {}
    kept = with_history(schema) if since == FROM_NOW_ON else ()
    current = _settled({**row, **wanted}, row, wanted, schema, evidence, told, kept=kept)
    if since == FROM_NOW_ON:
        current = _later(current, wanted, schema, evidence, told)
    cascade = []
    for name in schema.names:
        was = wanted.get(name, before.get(name))
        if name in told and not same(was, current[name]):
            cascade.append(replace(told[name], before=was, after=current[name]))
    asked = {name: value for name, value in wanted.items() if not same(current[name], row.get(name))}
    return Edited(dict(before), current, asked, tuple(cascade), since)


def _settled(
    current: dict[str, Any],
    before: Mapping[str, Any],
    wanted: Mapping[str, Value],
    schema: Schema,
    evidence: Evidence | None,
    told: dict[str, Change],
    *,
    kept: Collection[str] = (),
    history: Collection[str] = (),
) -> dict[str, Any]:
    """The row once rules and formulas have come to rest.

    Columns in `kept` are not recomputed; those in `history` change by what their formula does and keep what they had before.
    """
    seen = [dict(current)]
    untouched = {*wanted, *kept}
    computed: dict[str, Any] = {}
    while True:
        concerned = _concerned(current, before, schema)
        moved = _apply_rules(current, before, concerned, schema, told)
        concerned = _concerned(current, before, schema) if moved else concerned
        moved |= _free(current, before, wanted, concerned, schema, evidence, told)
        moved |= _recompute(current, before, untouched, history, computed, schema, told)
        if not moved:
            return current
        if any(_alike(current, earlier) for earlier in seen):
            raise SchemaError(
                f"the rules and formulas of schema {schema.name!r} contradict each other: "
                f"{', '.join(sorted(moved))} never come to rest"
            )
        seen.append(dict(current))


def _later(
    row: Mapping[str, Any],
    wanted: Mapping[str, Value],
    schema: Schema,
    evidence: Evidence | None,
    told: dict[str, Change],
) -> dict[str, Any]:
    """The row one horizon later: clocks move on, and what follows from them grows on from what it is now."""
    current = dict(row)
    for feature in schema.features:
        own = row.get(feature.name)
        if feature.clock and not words.is_nothing(own):
            value = _as_number(own) + schema.horizon_days / DAYS[feature.clock]
            value = min(value, feature.at_most) if feature.at_most is not None else value
            current[feature.name] = float(words.rounded(value)) if feature.whole else value
    return _settled(current, row, wanted, schema, evidence, told, history=with_history(schema))


def with_history(schema: Schema) -> frozenset[str]:
    """Columns that follow from a clock, directly or through others."""
    clocks = {feature.name for feature in schema.features if feature.clock}
    found: set[str] = set()
    formulas = {feature.name: formula.columns(feature.formula) for feature in schema.features if feature.formula}
    while more := {name for name, inputs in formulas.items() if name not in found and not clocks.isdisjoint(inputs)}:
        found |= more
        clocks |= more
    return frozenset(found)


def _within_reach(
    row: Mapping[str, Any],
    wanted: Mapping[str, Value],
    schema: Schema,
    edited: Edited,
    at_once: Callable[[Mapping[str, Value]], Edited],
) -> dict[str, Value]:
    """Edited numbers that have to stop on their way, and where; empty where all can go all the way.

    A column computed exactly must not leave the range seen, or go further beyond it than the row is: the credit that is open
    is never below nothing, whatever limit is asked for.
    """
    beyond = _beyond(edited, schema)
    if not beyond:
        return {}
    inputs = {name for feature in beyond for name in _inputs(feature, schema)}
    numbers = [name for name in wanted if name in inputs and schema.feature(name).is_number]
    starts = {name: _as_number(row.get(name)) for name in numbers if not words.is_nothing(row.get(name))}
    if not starts:
        return {}

    def at(share: float) -> dict[str, Value]:
        return {name: _on_the_way(start, wanted[name], share, schema.feature(name)) for name, start in starts.items()}

    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        beyond = _beyond(at_once({**wanted, **at(middle)}), schema)
        low, high = (low, middle) if beyond else (middle, high)
    return at(low)


def _on_the_way(start: float, end: Value, share: float, feature: Feature) -> float:
    """The number at a share of the way, whole where the column is, else with as many digits as tell 10,000 places apart."""
    assert isinstance(end, (int, float))
    step = 1.0 if feature.whole else 10.0 ** (math.floor(math.log10(abs(end - start) or 1.0)) - 4)
    value = (start + share * (end - start)) / step
    rounded = math.floor(value + 1e-9) if end > start else math.ceil(value - 1e-9)
    value = rounded * step if step >= 1 else rounded / round(1 / step)
    return max(value, start) if end > start else min(value, start)


def _beyond(edited: Edited, schema: Schema) -> list[Feature]:
    """Columns computed exactly that an edit took beyond what has been seen, or can be."""
    found = []
    for change in edited.cascade:
        feature = schema.feature(change.feature)
        if change.cause != "formula" or feature.residual or not isinstance(change.after, float):
            continue
        low, high = limits(feature)
        was = change.before if isinstance(change.before, (int, float)) else change.after
        slack = 1e-12 * max(abs(low) if math.isfinite(low) else 0.0, abs(high) if math.isfinite(high) else 0.0, 1.0)
        if change.after < min(low, was) - slack or change.after > max(high, was) + slack:
            found.append(feature)
    return found


def _inputs(feature: Feature, schema: Schema) -> set[str]:
    """All columns a formula needs, through other formulas too."""
    found: set[str] = set()
    queue = list(formula.columns(feature.formula or "0"))
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue.extend(formula.columns(schema.feature(name).formula or "0"))
    return found


def _stopped(name: str, asked: Value, value: Value, edited: Edited, schema: Schema) -> Change:
    """What to say about a number that could not go all the way."""
    follow = [c.feature for c in edited.cascade if c.cause == "formula" and name in _inputs(schema.feature(c.feature), schema)]
    follow = follow or [f.name for f in schema.features if f.formula and not f.residual and name in _inputs(f, schema)]
    labels = words.sentence_list(schema.feature(other).label for other in follow)
    return Change(name, asked, value, "limit", words.say("why limit", label=labels), "")


def limits(feature: Feature) -> tuple[float, float]:
    """The lowest and highest value a number may be edited to: within what has been seen, and within what there can be."""
    low, high = feature.range or (-math.inf, math.inf)
    low = low if feature.at_least is None else max(low, feature.at_least)
    return low, high if feature.at_most is None else min(high, feature.at_most)


def _checked(feature: Feature, value: Any, *, action: bool = False) -> Value:
    """The value as the row holds it. Raises DataError where the feature cannot be edited to it."""
    name = feature.name
    if not feature.editable and not action:
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
    low, high = limits(feature)
    if number < low:
        raise DataError(f"column {name!r} must be ≥ {low:g}, the lowest seen; not {number:g}")
    if number > high:
        raise DataError(f"column {name!r} must be ≤ {high:g}, the highest seen; not {number:g}")
    return number


# Each changes `current` and `told` in place and returns the columns it set.


def _concerned(current: Mapping[str, Any], before: Mapping[str, Any], schema: Schema) -> list[Rule]:
    """Rules that name a column that is not as it was: the others hold, or are broken, as before."""
    if not schema.rules:
        return []
    changed = {
        name for name in schema.names if (now := current.get(name)) is not (was := before.get(name)) and not same(now, was)
    }
    return [rule for rule in schema.rules if not (changed.isdisjoint(rule.columns) and changed.isdisjoint(rule.then))]


def _apply_rules(
    current: dict[str, Any], before: Mapping[str, Any], rules: Iterable[Rule], schema: Schema, told: dict[str, Change]
) -> set[str]:
    moved = set()
    for rule in rules:
        if not rule.applies(current):
            continue
        for name, value in rule.then.items():
            feature = schema.feature(name)
            wanted = float(value) if feature.is_number else str(value)
            if same(current.get(name), wanted):
                continue
            broken_before = same(current.get(name), before.get(name)) and rule.applies(before)
            if not broken_before:
                current[name] = wanted
                told[name] = _told(name, "rule", rule, current, schema)
                moved.add(name)
    return moved


def _free(
    current: dict[str, Any],
    before: Mapping[str, Any],
    wanted: Mapping[str, Value],
    rules: Iterable[Rule],
    schema: Schema,
    evidence: Evidence | None,
    told: dict[str, Change],
) -> set[str]:
    moved = set()
    for rule in rules:
        for name, value in rule.then.items():
            feature = schema.feature(name)
            if not same(current.get(name), float(value) if feature.is_number else str(value)) or rule.applies(current):
                continue
            if not (name in wanted or rule.applies(before)):  # what the row broke before the edit stays
                continue
            if is_reserved(rule, feature, schema, evidence):
                instead = replacement(rule, feature, schema, evidence)
                if not same(current[name], instead):
                    current[name] = instead
                    told[name] = _told(name, "freed", rule, current, schema)
                    moved.add(name)
    return moved


def is_reserved(rule: Rule, feature: Feature, schema: Schema, evidence: Evidence | None) -> bool:
    """Whether a value that a rule sets is never there without it, so that it cannot stay when the rule ends."""
    if feature.name in rule.columns:  # a rule that leads back out of such a value
        return False
    if evidence is not None:
        return evidence.reserved(rule, feature)
    others = [level for level in feature.levels if level.value != str(rule.then[feature.name])]
    return any(_plain_no(level) for level in others) if not feature.is_number else False


def replacement(rule: Rule, feature: Feature, schema: Schema, evidence: Evidence | None) -> Value:
    """What takes the place of a value that went with its rule: "No" where there is one, else what is most usual."""
    if feature.is_number:
        return evidence.usual_without(rule, feature) if evidence else float(rule.then[feature.name])
    taken = {
        str(other.then[feature.name])
        for other in schema.rules
        if feature.name in other.then and feature.name not in other.columns
    }
    left = [level for level in feature.levels if level.value not in taken]
    plain = next((level.value for level in left if _plain_no(level)), None)
    if plain is not None:
        return plain
    usual = evidence.usual_without(rule, feature) if evidence else None
    return usual if usual is not None else next((level.value for level in left), str(rule.then[feature.name]))


def forward_rules(schema: Schema, feature: Feature) -> list[Rule]:
    """Rules that set a column, without those that lead it back out of a value."""
    return [rule for rule in schema.rules if feature.name in rule.then and feature.name not in rule.columns]


def _plain_no(level: Level) -> bool:
    return level.shown.lower() == "no" or level.value.lower() == "no"


def _recompute(
    current: dict[str, Any],
    before: Mapping[str, Any],
    untouched: Collection[str],
    history: Collection[str],
    computed: dict[str, Any],
    schema: Schema,
    told: dict[str, Change],
) -> set[str]:
    """`computed`: what each formula was last computed from, and the value."""
    moved = set()
    for feature in schema.features:
        if not feature.formula or feature.name in untouched:
            continue
        inputs = formula.columns(feature.formula)
        now_in = tuple(current.get(name) for name in inputs)
        if computed.get(feature.name) == (now_in, current.get(feature.name)) or all(
            same(now_in[i], before.get(name)) for i, name in enumerate(inputs)
        ):
            continue
        if any(rule.applies(current) for rule in forward_rules(schema, feature)):
            continue
        then, now = (_evaluate(feature.formula, row) for row in (before, current))
        own = _as_number(before.get(feature.name))
        if math.isnan(now) or now == then:  # cannot be said, or is the same
            value = own
        else:
            kept = own - then if feature.residual or feature.name in history else 0.0
            value = now + (0.0 if math.isnan(kept) else kept)
            value = max(value, feature.at_least) if feature.at_least is not None else value
            value = min(value, feature.at_most) if feature.at_most is not None else value
            value = float(words.rounded(value)) if feature.whole else value
        found = None if math.isnan(value) else value
        computed[feature.name] = (now_in, found)
        if not same(found, current.get(feature.name)):
            current[feature.name] = found
            told[feature.name] = _recomputed(feature.name, schema)
            moved.add(feature.name)
    return moved


def _recomputed(name: str, schema: Schema) -> Change:
    inputs = formula.columns(schema.feature(name).formula or "0")
    labels = words.sentence_list(schema.feature(column).label for column in inputs if column in schema)
    return Change(name, None, None, "formula", words.say("why formula", labels=labels), "")


def _evaluate(text: str, row: Mapping[str, Any]) -> float:
    return float(formula.evaluate(text, {name: _as_number(row.get(name)) for name in formula.columns(text)}))


def _told(name: str, cause: Cause, rule: Rule, row: Mapping[str, Any], schema: Schema) -> Change:
    """What to say about a column a rule set or freed."""
    parents = [column for column in rule.columns if column != name]
    facts = [words.phrase(row.get(column), schema.feature(column), schema) for column in parents]
    texts = words.sentence_list(words.value_text(row.get(column), schema.feature(column), schema) for column in parents)
    back = cause == "freed" or name in rule.columns
    headline = rule.label if rule.label and cause == "rule" else words.capital(words.sentence_list(facts))
    return Change(
        name, None, None, "freed" if back else "rule", words.say("why freed" if back else "why rule", fact=texts), headline
    )


def _as_number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def same(a: Any, b: Any) -> bool:
    """Whether two values of a column are the same; missing, however it is spelt, is the same as missing."""
    if a is b:  # most of a row, in most edits
        return True
    if isinstance(a, str) and isinstance(b, str):
        return a == b
    if words.is_nothing(a) or words.is_nothing(b):
        return words.is_nothing(a) and words.is_nothing(b)
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    return bool(a == b)


def _alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return all(same(value, b.get(name)) for name, value in a.items())


# -- the page's memory --------------------------------------------------------

Edits = tuple[tuple[str, str | float], ...]
Step = tuple[Edits, Since]


@dataclass(frozen=True, slots=True)
class Scenario:
    """The edits of one customer, which kind they are, and the way back: every step gives a new one, so it can lie in a session.

    >>> tried = Scenario().set("Contract", "One year").set("TechSupport", "Yes").undo()
    >>> tried.changes
    {'Contract': 'One year'}
    >>> tried.redo().changes
    {'Contract': 'One year', 'TechSupport': 'Yes'}
    """

    edits: Edits = ()
    past: tuple[Step, ...] = ()
    future: tuple[Step, ...] = ()
    since: Since = ALWAYS

    @property
    def changes(self) -> dict[str, str | float]:
        """Column → wanted value, the latest edit last."""
        return dict(self.edits)

    def set(self, feature: str, value: str | float, original: Any = None) -> Scenario:
        """Edit one column; back to its `original` value is no edit."""
        return self.to({**{name: v for name, v in self.edits if name != feature}, feature: value}, {feature: original})

    def to(
        self, changes: Mapping[str, str | float], original: Mapping[str, Any] | None = None, *, since: Since | None = None
    ) -> Scenario:
        """Replace all edits at once, and their kind where it is given, as one step: what a retention action does."""
        edits = tuple((name, value) for name, value in changes.items() if not same(value, (original or {}).get(name)))
        kind = since or self.since
        if (edits, kind) == (self.edits, self.since):
            return self
        return Scenario(edits, (*self.past, (self.edits, self.since))[-_HISTORY:], (), kind)

    def reset(self) -> Scenario:
        """No edits; can be undone."""
        return self.to({}, since=ALWAYS)

    def undo(self) -> Scenario:
        """One step back; the same where there is none."""
        if not self.past:
            return self
        edits, since = self.past[-1]
        return Scenario(edits, self.past[:-1], ((self.edits, self.since), *self.future), since)

    def redo(self) -> Scenario:
        """One step forward again; the same where there is none."""
        if not self.future:
            return self
        edits, since = self.future[0]
        return Scenario(edits, (*self.past, (self.edits, self.since)), self.future[1:], since)

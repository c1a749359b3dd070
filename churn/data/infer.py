"""Draft a schema from a table: every choice is made by a stated rule, shown with its evidence, and can be edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import ValidationError

from churn import words
from churn.data import delimited, derive, labels, leaks, roles, values
from churn.data.formula import columns as columns_of
from churn.data.profile import Column, profile
from churn.data.schema import Action, Contacts, Excluded, Feature, Money, Rule, Schema, Snapshot, Target
from churn.errors import SchemaError

Floats = npt.NDArray[np.float64]

SEGMENTS = 3
PROPOSED = "rule proposed, not applied"
_LEAST_ROWS, _LEAST_OF_A_CLASS = 50, 10  # fewer rows cannot tell a leak from luck
_MOSTLY = 0.9  # share of different keys above which repeated ones are mistakes
_SEGMENT_LEVELS = 8
_LEAST_GAIN = 0.002  # bits
_FEW = 0.01  # share of values below 0 up to which, in a column that counts something, they are taken for mistakes
_NOT_COUNTED = ("", "percent", "share")  # units of numbers that may well be below 0
_LOOKED_AT = 200_000  # rows drawn to judge leaks, formulas and segments; ranges and levels come from all rows

_EDITABLE = frozenset(
    {"contract", "plan", "service", "services", "payment", "billing", "charges", "charge", "price", "fee", "security", "backup"}
    | {"protection", "support", "streaming", "lines", "internet", "phone", "card", "product", "products", "limit", "discount"}
    | {
        "package",
        "subscription",
        "membership",
        "paperless",
        "autopay",
        "tariff",
        "tv",
        "movies",
        "music",
        "offer",
        "cashback",
        "option",
    }
)
_FIXED = frozenset(
    {"total", "age", "gender", "sex", "senior", "tenure", "months", "inactive", "average", "change", "ratio", "rate", "score"}
    | {"income", "salary", "calls", "complaints", "contacts", "last", "since", "usage", "used", "minutes", "balance", "extra"}
)


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing the draft decided about a column (empty: about the table), and what speaks for it."""

    column: str
    decision: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """`warnings`: sentences about what looks like a mistake in the table or in the call."""

    schema: Schema
    decisions: tuple[Decision, ...]
    warnings: tuple[str, ...] = ()


def infer(raw: pl.DataFrame, *, key: str, target: str, positive: str | None = None, name: str | None = None) -> Draft:
    """Draft the schema of a churn table.

    Parameters
    ----------
    raw: as `read_table` gives it. key, target: column names. positive: the target's value that means "left"; guessed for
    yes/no, 1/0 and true/false. name: what the schema is called.

    Raises
    ------
    SchemaError: key or target is no column; nothing is left for a model to use. SourceError: a name that cannot be used.
    DataError: the target has one class or more than two, or its positive value cannot be guessed.
    """
    delimited.check_names(raw.columns, "the table")
    roles.present(raw, key, "key")
    roles.present(raw, target, "target")
    if key == target:
        raise SchemaError(f"column {key!r} cannot be both key and target")
    draft = _Drafting(raw, key, target)
    goal = roles.goal(raw[target], positive)
    draft.say(target, f"target: {goal.target.positive!r} left, {goal.target.negative!r} stayed", goal.evidence)
    draft.look(goal.left)
    return draft.finish(goal.target, name)


@dataclass
class _Drafting:
    """The table, and what has been decided so far; each step adds to it."""

    raw: pl.DataFrame
    key: str
    target: str
    decisions: list[Decision] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    excluded: dict[str, Excluded] = field(default_factory=dict)
    kept: dict[str, Column] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    formulas: dict[str, derive.Derived] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    segments: tuple[str, ...] = ()
    snapshot: Snapshot | None = None
    horizon: str = ""
    contacts: Contacts = field(default_factory=Contacts)

    def say(self, column: str, decision: str, evidence: str = "") -> None:
        self.decisions.append(Decision(column, decision, evidence))

    def exclude(self, column: str, why: str, evidence: str) -> None:
        self.kept.pop(column, None)
        self.excluded[column] = Excluded(name=column, why=why, evidence=evidence)
        self.say(column, f"left out: {why}", evidence)

    # -- looking ---------------------------------------------------------------------------------------------------------

    def look(self, left: Floats) -> None:
        columns = {name: profile(self.raw[name]) for name in self.raw.columns if name not in (self.key, self.target)}
        self._snapshot(columns)
        self._contacts(columns)
        for name, column in columns.items():
            if self.snapshot and name == self.snapshot.column:
                continue
            if name in self.excluded:
                continue
            if column.kind in ("number", "category", "flag"):
                self.kept[name] = column
            else:
                self.exclude(name, column.kind, column.evidence)
        self._key(columns)
        labelled = np.flatnonzero(~np.isnan(left))
        if labelled.size > _LOOKED_AT:
            labelled = np.sort(np.random.default_rng(0).choice(labelled, _LOOKED_AT, replace=False))
        rows = pl.Series(labelled)
        sample = {name: column.values.gather(rows) for name, column in self.kept.items()}
        self._leaks(sample, left[labelled])
        self._copies(sample)
        self._units()
        self._formulas(sample)
        self._rules(sample)
        self._segments(sample, left[labelled])

    def _key(self, columns: Mapping[str, Column]) -> None:
        text = values.keys(self.raw[self.key])
        empty = int(values.blank(text).sum())
        by = [text.alias("key")]
        if self.snapshot:
            by.append(columns[self.snapshot.column].values.alias("snapshot"))
        repeated = len(text) - pl.DataFrame(by).n_unique()
        within = " within one snapshot" if self.snapshot else ""
        problems = [
            f"{words.counted(empty, 'row')} {'has' if empty == 1 else 'have'} none" if empty else "",
            f"{words.counted(repeated, 'row')} {'repeats' if repeated == 1 else 'repeat'} another's{within}" if repeated else "",
        ]
        problem = " and ".join(filter(None, problems))
        if problem:
            self.warnings.append(f"Column {self.key!r} is to be the key, but {problem}.")
        self.say(
            self.key, "key", f"{problem}: `churn schema check` lists them" if problem else f"one for each of {len(text):,} rows"
        )
        spelt = values.as_text(self.raw[self.key])
        if len(other := (text != spelt).arg_true()):
            self.say(self.key, "key: whole numbers", f"{spelt[other[0]]!r} is read as {text[other[0]]!r}, in every table alike")

    def _snapshot(self, columns: Mapping[str, Column]) -> None:
        """A date column makes snapshots if keys repeat in the table, but (hardly) within one date."""
        keys = values.keys(self.raw[self.key])
        if keys.n_unique() > _MOSTLY * len(keys):
            return
        for name, column in columns.items():
            if column.kind == "date" and column.values.dtype == pl.Date and column.values.null_count() == 0:
                pairs = pl.DataFrame([keys.alias("key"), column.values.alias("date")])
                if pairs.n_unique() >= 0.99 * pairs.height:
                    days, self.horizon = _horizon(column.values)
                    self.snapshot = Snapshot(column=name, horizon_days=days)
                    evidence = f"keys repeat, but not within one of its {column.distinct} dates"
                    self.say(name, "snapshot date", f"{evidence}; horizon assumed from their distance: {days} days")
                    return

    def _contacts(self, columns: Mapping[str, Column]) -> None:
        found: dict[str, str] = {}
        for name, column in columns.items():
            role = roles.contact_role(column)
            if role and role not in found:
                found[role] = name
                why = "identifier" if role == "name" and column.kind in ("identifier", "too many levels") else "contact"
                said = f"looks like the customers' {roles.CONTACTS[role]} ({column.distinct:,} different values)"
                self.exclude(name, why, f"{said}; kept for call lists")
        self.contacts = Contacts(**found)

    def _leaks(self, sample: Mapping[str, pl.Series], left: Floats) -> None:
        gone = int(left.sum())
        if left.size < _LEAST_ROWS or min(gone, left.size - gone) < _LEAST_OF_A_CLASS:
            self.say("", "leaks not looked for", f"{gone} of {left.size} rows left: too few to tell a leak from luck")
            return
        for name in list(self.kept):
            codes, size = _coded(sample[name])
            strength = leaks.ranking(codes, size, left)
            suspect = leaks.suspicious_name(name)
            if strength >= leaks.LEAK or (suspect and strength >= leaks.LEAK_BY_NAME):
                because = "; its name reads like another model's output or something known only afterwards" if suspect else ""
                self.exclude(name, "leak", f"alone it ranks leavers with AUC {strength:.2f}{because}")

    def _copies(self, sample: Mapping[str, pl.Series]) -> None:
        for name, original in derive.find_copies(pl.DataFrame([sample[name].alias(name) for name in self.kept])).items():
            self.exclude(name, "copy", f"says the same as {original!r} in every row")

    def _units(self) -> None:
        for name, column in self.kept.items():
            if column.kind == "number":
                low, high, whole = _extent(column)
                unit, evidence = labels.unit(name, low, high, whole=whole)
                self.units[name] = unit
                if unit:
                    self.say(name, f"unit: {unit}", evidence)

    def _formulas(self, sample: Mapping[str, pl.Series]) -> None:
        numbers = {name: _floats(sample[name]) for name, column in self.kept.items() if column.kind == "number"}
        if len(numbers) > derive.MOST_COLUMNS:
            self.say(
                "", "derived columns not looked for everywhere", f"only the first {derive.MOST_COLUMNS} numbers are compared"
            )
        for found in derive.find_formulas(numbers):
            self.formulas[found.column] = found
            self.say(found.column, f"derived: {'about ' if found.near else ''}{found.formula}", _formula_evidence(found))
            parts = {self.units.get(part, "") for part in columns_of(found.formula)}
            if parts == {"money"} and not self.units.get(found.column) and (" - " in found.formula or " + " in found.formula):
                self.units[found.column] = "money"
                self.say(found.column, "unit: money", "the columns it is derived from")

    def _rules(self, sample: Mapping[str, pl.Series]) -> None:
        levels = pl.DataFrame([sample[name].alias(name) for name, column in self.kept.items() if column.kind != "number"])
        numbers = {name: _floats(sample[name]) for name, column in self.kept.items() if column.kind == "number"}
        numbers = {name: column for name, column in numbers.items() if name not in self.formulas}
        found = derive.find_implications(levels, numbers, {name: labels.words_of(name) for name in levels.columns})
        self.rules = derive.rules_of(
            found, {name: self.kept[name].levels for name in levels.columns}, {name: labels.label(name) for name in self.kept}
        )
        for implication in found:
            then = ", ".join(f"{column} = {value}" for column, value in implication.then.items())
            told = f"{implication.level} means {then}"
            if implication.broken:
                held = max(1 - implication.broken / implication.rows, 0.0)
                counted = f"{implication.broken:,} of {implication.rows:,} such rows speak against it ({_percent(held)} hold)"
                self.say(implication.column, f"{PROPOSED}: {told}", counted)
            else:
                self.say(implication.column, f"rule: {told}", f"holds in all {implication.rows:,} such rows")

    def _segments(self, sample: Mapping[str, pl.Series], left: Floats) -> None:
        """The columns that tell most about leaving, one after the other given those already taken."""
        follows = {column for rule in self.rules for column in rule.then} | set(self.formulas)
        coded: dict[str, tuple[npt.NDArray[np.int64], int]] = {}
        for name, column in self.kept.items():
            if name not in follows and (column.kind == "number" or column.distinct <= _SEGMENT_LEVELS):
                coded[name] = _coded(sample[name], bins=4)
        taken: list[str] = []
        cells, size, gain = np.zeros(left.size, dtype=np.int64), 1, 0.0
        while len(taken) < SEGMENTS and coded and 0 < left.sum() < left.size:
            gains = {name: leaks.information(cells * n + codes, size * n, left) for name, (codes, n) in coded.items()}
            best = max(gains, key=lambda name: gains[name])
            if gains[best] - gain < _LEAST_GAIN:
                break
            self.say(best, f"segment {len(taken) + 1}", f"adds {gains[best] - gain:.3f} bits about who leaves")
            codes, n = coded.pop(best)
            cells, size, gain = cells * n + codes, size * n, gains[best]
            taken.append(best)
        self.segments = tuple(taken)

    # -- putting together ------------------------------------------------------------------------------------------------

    def finish(self, goal: Target, name: str | None) -> Draft:
        if not self.kept:
            reasons = "; ".join(f"{item.name}: {item.why}" for item in list(self.excluded.values())[:6])
            raise SchemaError(f"no column is left for a model to use ({reasons or 'the table has only key and target'})")
        features = tuple(self._feature(column) for column in self.kept.values())
        editable = [feature.name for feature in features if feature.editable]
        self.say("", "editable: " + (", ".join(editable) or "none"), "names of what the company can change; edit freely")
        try:
            schema = Schema(
                name=name or "Customers",
                key=self.key,
                target=goal,
                snapshot=self.snapshot,
                horizon=self.horizon,
                currency=self._currency(),
                money=self._money(),
                contacts=self.contacts,
                features=features,
                excluded=tuple(self.excluded.values()),
                rules=self.rules,
                actions=self._actions(features),
                segments=self.segments,
            )
        except ValidationError as error:
            problem = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise SchemaError(f"no schema can be made of this table: {problem}") from error
        return Draft(schema, self._in_order(), tuple(self.warnings))

    def _in_order(self) -> tuple[Decision, ...]:
        """Key and target first, then the columns as in the table, what each is before what follows; the whole table last."""
        order = {column: place for place, column in enumerate(self.raw.columns)} | {self.key: -2, self.target: -1}
        kinds = ("key", "target", "number", "category", "flag", "left out", "snapshot")
        return tuple(
            sorted(
                self.decisions,
                key=lambda item: (order.get(item.column, len(order)), not item.decision.startswith(kinds)),
            )
        )

    def _feature(self, column: Column) -> Feature:
        named = set(labels.words_of(column.name))
        editable = bool(named & _EDITABLE) and not named & _FIXED and column.name not in self.formulas
        shown = f"missing is spelt {', '.join(map(repr, column.missing))}" if column.missing else ""
        if column.kind != "number":
            kind = "flag" if column.kind == "flag" else "category"
            self.say(column.name, kind, "; ".join(filter(None, (f"{column.distinct} levels", shown))))
            return Feature(
                name=column.name,
                kind=kind,
                label=labels.label(column.name),
                levels=labels.levels(column.name, column.levels),
                missing=column.missing,
                editable=editable,
            )
        low, high, whole = _extent(column)
        unit = self.units.get(column.name, "")
        derived = self.formulas.get(column.name)
        odd = (
            f"{_cells(len(column.odd))} no number that can be used, such as {self._cell(column, column.odd[0])}"
            if column.odd
            else ""
        )
        spelt = (
            f"{_cells(column.spelt)} spelt with thousands, currency or comma: `churn schema check --fix`" if column.spelt else ""
        )
        self.say(
            column.name, "number", "; ".join(filter(None, (f"{values.shown(low)} to {values.shown(high)}", shown, odd, spelt)))
        )
        clock = None if derived else labels.clock(column.name, unit)
        if clock:
            self.say(
                column.name, f"clock: grows by one each {clock}", "its name and unit; what follows from it keeps its history"
            )
        counts = unit not in ("money", "") or (unit == "money" and bool(named & roles.REVENUE))
        least = 0.0 if low >= 0 and counts else None
        if low < 0 and counts:
            least, low = self._below_zero(column, unit, low)
        return Feature(
            name=column.name,
            kind="number",
            label=labels.label(column.name),
            unit=unit,
            whole=whole,
            range=(low, high),
            at_least=least,
            missing=column.missing,
            editable=editable,
            formula=derived.formula if derived else None,
            residual=derived.residual if derived else False,
            clock=clock,
            evidence=_formula_evidence(derived) if derived else "",
            phrase=labels.number_phrase(column.name, unit),
        )

    def _below_zero(self, column: Column, unit: str, low: float) -> tuple[float | None, float]:
        """The lowest value that can be, and the start of the range, of a number that should not be below 0 and is."""
        below = (column.values < 0).fill_null(value=False)
        row = below.arg_true()[0]
        said = f"{words.counted(int(below.sum()), 'value')} below 0, such as {self._cell(column, row)}"
        if unit in (*_NOT_COUNTED, "money") or below.sum() > _FEW * column.known:
            self.say(column.name, "may be below 0", f"{said}; if it cannot be, set `at_least: 0`")
            return None, low
        self.say(column.name, "at least 0", f"{said}, taken for a mistake; if it can be, remove `at_least`")
        self.warnings.append(f"Column {column.name!r} has {said}: mend the table, or remove `at_least` from the schema.")
        return 0.0, float(column.values.filter(~below).min())  # type: ignore[arg-type]

    def _cell(self, column: Column, row: int) -> str:
        """A cell as it stands in the table, by its 0-based row."""
        return f"{values.as_text(self.raw[column.name].slice(row, 1))[0]!r} in row {row + 1}"

    def _money(self) -> Money | None:
        for name in self.kept:
            if period := roles.period(name, self.units.get(name, "")):
                self.say(name, f"money: what a customer brings in per {period}", "its name")
                return Money(column=name, period=period)
        self.say(
            "",
            "money: none",
            "no column clearly says what a customer brings in, so revenue stays unknown; to set it, add to the schema "
            "`money: {column: NAME, period: month}`",
        )
        return None

    def _currency(self) -> str:
        spelt = (name for name, column in self.kept.items() if column.spelt)
        seen = roles.currency_in_cells(self.raw[name] for name in spelt)
        named = seen or roles.currency(self.raw.columns)
        evidence = "the sign in the cells" if seen else "a column's name" if named else "assumed; edit `currency`"
        self.say("", f"currency: {named or '$'}", evidence)
        return named or "$"

    def _actions(self, features: tuple[Feature, ...]) -> tuple[Action, ...]:
        """Longer contracts, where levels are terms; no cost can be known from a table, so none is set."""
        actions: list[Action] = []
        for feature in features:
            terms = [(labels.length_in_days(level.value), level) for level in feature.levels]
            if not feature.editable or len(terms) < 2 or any(days is None for days, _ in terms):
                continue
            for _, level in sorted(terms, key=lambda term: term[0] or 0.0)[1:]:
                code = "_".join(labels.words_of(f"{feature.name} {level.value}"))
                actions.append(Action(name=code, label=f"{level.shown} {feature.label.lower()}", set={feature.name: level.value}))
        if actions:
            self.say(
                "", f"actions: {', '.join(action.label for action in actions)}", "levels are terms; set each `cost` before use"
            )
        return tuple(actions)


# -- helpers -------------------------------------------------------------------------------------------------------------


def _horizon(dates: pl.Series) -> tuple[int, str]:
    """How many days lie between snapshots, and what people call that; a month where there is one snapshot only."""
    gaps = dates.unique().sort().diff().dt.total_days().drop_nulls()
    days = int(gaps.median() or 30)  # type: ignore[arg-type]
    named = next(
        (
            spoken
            for usual, spoken in ((7, "week"), (30, "month"), (91, "quarter"), (365, "year"))
            if abs(days - usual) <= usual / 15
        ),
        "",
    )
    return max(days, 1), named


def _formula_evidence(found: derive.Derived) -> str:
    held = f"holds in {found.held:,} of {found.rows:,} rows"
    if found.near:
        return f"explains {_percent(found.share)} of its variance; each row keeps its difference"
    if found.residual:
        return f"{held} ({_percent(found.share)}); each row keeps its difference"
    return f"holds in all {found.rows:,} rows"


def _cells(number: int) -> str:
    return f"{words.counted(number, 'cell')} {'is' if number == 1 else 'are'}"


def _percent(share: float) -> str:
    """Two decimals where one would say that all do: 99.96%."""
    return f"{share:.2%}" if 0.9995 <= share < 1 else f"{share:.1%}"


def _extent(column: Column) -> tuple[float, float, bool]:
    known = column.values.drop_nulls()
    low, high = float(known.min()), float(known.max())  # type: ignore[arg-type]
    return low, high, bool((known == known.round()).all())


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


def _coded(column: pl.Series, bins: int = 64) -> tuple[npt.NDArray[np.int64], int]:
    if column.dtype == pl.String:
        return leaks.codes_of_levels(column)
    return leaks.codes_of_numbers(_floats(column), bins)

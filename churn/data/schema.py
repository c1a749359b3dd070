"""The schema: the one place where column names live.

Forms, filters, cohorts, checks, wording and the model's inputs all derive from it. `churn schema infer` drafts one from any
table; people edit it as YAML; it travels inside every model bundle.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from churn.data import formula
from churn.errors import SchemaError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FORMAT: Final = 1
DAYS: Final = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "quarter": 365.25 / 4, "year": 365.25}  # in one unit of time
_TOLD: Final = 5  # mistakes that a message names
_KINDS: Final = {  # by how pydantic's types of error begin
    "tuple_type": "a list",
    "float_": "a number",
    "int_": "a whole number",
    "bool_": "yes or no",
    "string_type": "a text",
    "model_type": "a table of names and values",
    "dict_type": "a table of names and values",
}
_HORIZON_DAYS: Final = DAYS["month"]  # where a schema says nothing of how far ahead the model looks


def _text(value: Any) -> Any:
    """YAML reads Yes, 1 and 2024-01-01 as something else than text; a level is always text."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return value if value is None or isinstance(value, (str, list, tuple, dict)) else str(value)


Text = Annotated[str, BeforeValidator(_text)]


def is_pattern(name: str) -> bool:
    """Whether polars would take a column's name for a pattern of names: `*`, or `^…$`."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Level(_Part):
    """One value a category may have."""

    value: Text
    label: Text | None = None
    phrase: str | None = None  # as it reads in a reason: "a month-to-month contract"

    @property
    def shown(self) -> str:
        return self.label or self.value


class Feature(_Part):
    """One column the model may use.

    `kind`: `number`; `category` (≥ 2 levels); `flag` (a category of two levels that mean yes and no).
    `unit`: singular noun ("month"), `money`, `percent` (0–100), `share` (0–1), or empty for a bare count.
    `range`: lowest and highest value seen; outside is a warning for scoring, an error where `strict`.
    `formula`: how the column follows from others (`tenure * MonthlyCharges`); with `residual`, an edit keeps the
    difference between the row's own value and the formula.
    `clock`: the column grows by itself, one in each such unit of time, as tenure does.
    """

    name: str
    kind: Literal["number", "category", "flag"]
    label: str
    unit: str = ""
    whole: bool = False
    range: tuple[float, float] | None = None
    at_least: float | None = None
    at_most: float | None = None
    levels: tuple[Level, ...] = ()
    missing: tuple[Text, ...] = ()
    required: bool = False
    editable: bool = False
    formula: str | None = None
    residual: bool = False
    clock: Literal["day", "week", "month", "quarter", "year"] | None = None
    evidence: str = ""  # what showed the formula, in words
    phrase: str | None = None  # how a value reads in a sentence: "{value} as a customer"
    group: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Feature:
        if self.kind == "number" and self.levels:
            raise ValueError("a number has a range, not levels")
        if self.kind != "number" and not self.levels:
            raise ValueError(f"a {self.kind} needs its levels")
        if self.kind == "flag" and len(self.levels) != 2:
            raise ValueError(f"a flag has exactly two levels, not {len(self.levels)}; call it a category")
        values = [level.value for level in self.levels]
        if len(set(values)) != len(values):
            raise ValueError("a level is listed twice")
        if self.clock and self.kind != "number":
            raise ValueError(f"only a number can grow with a clock, this is a {self.kind}")
        if self.clock and self.formula:
            raise ValueError("it either grows by itself (clock) or follows from others (formula), not both")
        if self.range is not None and self.range[0] > self.range[1]:
            raise ValueError(f"range starts at {self.range[0]}, above its end {self.range[1]}")
        return self

    @property
    def is_number(self) -> bool:
        return self.kind == "number"

    def level(self, value: str | None) -> Level | None:
        return next((level for level in self.levels if level.value == value), None)


class Target(_Part):
    column: str
    positive: Text
    negative: Text | None = None
    missing: tuple[Text, ...] = ()  # how the column spells "not known"


class Snapshot(_Part):
    """When a row was true, and how far ahead the model looks."""

    column: str
    horizon_days: Annotated[int, Field(gt=0)] = 30


class Money(_Part):
    """What a customer brings in, as one of the columns."""

    column: str
    period: Literal["month", "quarter", "year", "once"] = "month"


class Contacts(_Part):
    """Columns that say who the customer is; never used by the model, never shown unmasked on a page."""

    name: str | None = None
    phone: str | None = None
    email: str | None = None
    consent: str | None = None
    do_not_contact: str | None = None
    owner: str | None = None
    country: str | None = None  # ISO code, such as DE, that phone numbers without a country code belong to

    @property
    def columns(self) -> tuple[str, ...]:
        columns = (self.name, self.phone, self.email, self.consent, self.do_not_contact, self.owner)
        return tuple(column for column in columns if column)


class Band(_Part):
    """A named range of risk, up to (not including) `below`."""

    name: str
    below: float


class Excluded(_Part):
    """A column the model must not use, and why."""

    name: str
    why: Literal["identifier", "leak", "constant", "empty", "date", "text", "contact", "too many levels", "copy", "chosen"]
    evidence: str = ""


class Rule(_Part):
    """Where `when` holds, the `then` values follow: Internet = No clears the services.

    `when`: columns and the level or levels each must have, or a condition (`churn.data.formula`): `tenure < 12`.
    `evidence`: what showed the rule, in words.
    """

    when: dict[str, Text | tuple[Text, ...]] | str
    then: dict[str, Text | float]
    label: str = ""
    evidence: str = ""

    @model_validator(mode="after")
    def _readable(self) -> Rule:
        if isinstance(self.when, str):
            try:
                named = formula.columns(self.when)
            except SchemaError as error:
                raise ValueError(str(error)) from error
            if not named:
                raise ValueError(f"formula {self.when!r} names no column, so it says nothing about a customer")
        return self

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that decide whether the rule applies."""
        return formula.columns(self.when) if isinstance(self.when, str) else tuple(self.when)

    def applies(self, row: Mapping[str, Any]) -> bool:
        """Whether a row (column → value; levels as text, missing None or NaN) meets every condition."""
        if isinstance(self.when, str):
            return bool(formula.holds(self.when, {column: row.get(column) for column in self.columns}))
        return all(
            _is_one_of(row.get(column), (wanted,) if isinstance(wanted, str) else wanted) for column, wanted in self.when.items()
        )

    def holds(self, table: pl.DataFrame) -> pl.Series:
        """The same for every row of a conformed table: Boolean, never null."""
        if isinstance(self.when, str):
            found = formula.holds(self.when, {column: _plain(table[column]) for column in self.columns})
            return pl.Series(np.broadcast_to(found, table.height))
        met = pl.Series([True]).new_from_index(0, table.height)
        for column, wanted in self.when.items():
            met &= _one_of(table[column], (wanted,) if isinstance(wanted, str) else wanted)
        return met


def _is_one_of(value: Any, wanted: tuple[str, ...]) -> bool:
    """Whether a value is one of those a rule names; a number may be spelt any way: 0, 0.0."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return any(_as_float(text) == value for text in wanted)
    return str(value) in wanted


def _one_of(column: pl.Series, wanted: tuple[str, ...]) -> pl.Series:
    numbers = [number for number in map(_as_float, wanted) if number is not None]
    found = column.is_in(numbers) if column.dtype.is_numeric() else column.cast(pl.String).is_in(list(wanted))
    return found.fill_null(value=False)


def _plain(column: pl.Series) -> npt.NDArray[Any]:
    """A column of a conformed table as a formula takes it: float64 with NaN, or text with None."""
    if column.dtype.is_numeric():
        return column.cast(pl.Float64).to_numpy()
    return np.array(column.cast(pl.String).to_list(), dtype=object)


def _as_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _in_table(when: dict[str, Any] | str) -> tuple[str, ...]:
    """The columns of a condition that is a table; one that is text is checked with the place in the text."""
    return () if isinstance(when, str) else tuple(when)


def _values(feature: Feature) -> tuple[str, ...]:
    return tuple(level.value for level in feature.levels)


class Action(_Part):
    """One thing the desk may offer, what it changes from now on, and what it costs; nothing is valued before that is said."""

    name: str
    label: str
    set: dict[str, Text | float] = {}
    scale: dict[str, float] = {}
    cost: Annotated[float, Field(ge=0)] | None = None


DEFAULT_BANDS = (
    Band(name="Low", below=0.15),
    Band(name="Medium", below=0.35),
    Band(name="High", below=0.60),
    Band(name="Very high", below=1.01),
)


class Schema(_Part):
    """A churn table, described. Columns are looked up by their name in the table."""

    format: Literal[1] = FORMAT
    name: str = "Customers"
    key: str
    target: Target
    snapshot: Snapshot | None = None
    horizon: str = "month"  # as it reads on screen: "expected to leave this month"; empty where nothing is known
    currency: str = "$"
    money: Money | None = None
    contacts: Contacts = Contacts()
    bands: tuple[Band, ...] = DEFAULT_BANDS
    missing: tuple[Text, ...] = ()
    features: tuple[Feature, ...]
    excluded: tuple[Excluded, ...] = ()
    rules: tuple[Rule, ...] = ()
    actions: tuple[Action, ...] = ()
    segments: tuple[str, ...] = ()  # the dimensions that the first page and the filters use, most telling first
    fairness: tuple[str, ...] = ()  # by which it is watched whether predictions treat groups alike

    @model_validator(mode="after")
    def _consistent(self) -> Schema:
        names = [feature.name for feature in self.features]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"feature {sorted(twice)[0]!r} is listed twice")
        if not names:
            raise ValueError("no feature is left for the model to use")
        if self.key == self.target.column:
            raise ValueError(f"column {self.key!r} cannot be both key and target")
        for role, column in (("key", self.key), ("target", self.target.column)):
            if column in names:
                raise ValueError(f"{role} column {column!r} cannot be a feature too")
        for role, columns in (
            ("segments", self.segments),
            ("fairness", self.fairness),
            ("rules", tuple(c for rule in self.rules for c in (*_in_table(rule.when), *rule.then))),
            ("actions", tuple(c for action in self.actions for c in (*action.set, *action.scale))),
        ):
            for column in columns:
                if column not in names:
                    raise ValueError(f"{role}: {column!r} is no feature{_meant(column, names)}")
        for contact in self.contacts.columns:
            if contact in names:
                raise ValueError(f"contact column {contact!r} cannot be a feature")
        if self.snapshot and self.snapshot.column in names:
            raise ValueError(f"snapshot column {self.snapshot.column!r} cannot be a feature too")
        if self.money and self.money.column in names and not self._by_name[self.money.column].is_number:
            raise ValueError(f"money column {self.money.column!r} is a {self._by_name[self.money.column].kind}, not a number")
        for column in (*self.needed, self.target.column, *self.contacts.columns):
            if column.startswith("__") and column.endswith("__"):
                raise ValueError(f"column {column!r}: names between double underscores are this project's own; rename it")
            if is_pattern(column):
                raise ValueError(f"column {column!r}: a name must not be '*', nor begin with ^ and end with $; rename it")
        self._check_formulas()
        self._check_conditions()
        edges = [band.below for band in self.bands]
        if edges != sorted(set(edges)) or not edges or edges[-1] <= 1:
            raise ValueError("bands must rise and the last must end above 1")
        return self

    def _check_formulas(self) -> None:
        """Formulas use number features only, and none needs its own result."""
        needs: dict[str, tuple[str, ...]] = {}
        for feature in self.features:
            if feature.formula is None:
                continue
            if not feature.is_number:
                raise ValueError(f"feature {feature.name!r}: only a number can have a formula, this is a {feature.kind}")
            try:
                needs[feature.name] = formula.columns(feature.formula)
            except SchemaError as error:
                raise ValueError(f"feature {feature.name!r}: {error}") from error
            for column in needs[feature.name]:
                if column not in self or not self._by_name[column].is_number:
                    raise ValueError(
                        f"feature {feature.name!r}: its formula uses {column!r}, which is no number among the features"
                    )
        for name in needs:
            reached, queue = set[str](), list(needs[name])
            while queue:
                column = queue.pop()
                if column == name:
                    raise ValueError(f"feature {name!r}: its formula needs its own result")
                if column not in reached:
                    reached.add(column)
                    queue.extend(needs.get(column, ()))

    def _check_conditions(self) -> None:
        """Conditions name features, compare like with like, and name levels that there are."""
        levels = {feature.name: None if feature.is_number else _values(feature) for feature in self.features}
        for place, rule in enumerate(self.rules, start=1):
            if isinstance(rule.when, str):
                try:
                    formula.check(rule.when, levels)
                except SchemaError as error:
                    raise ValueError(f"rules, number {place}: {error}") from error

    def _unknown_values(self) -> Iterator[str]:
        """What rules and actions say of values that a column cannot have. A schema in a bundle is not held against this: it works
        as it always did."""
        for place, rule in enumerate(self.rules, start=1):
            if not isinstance(rule.when, str):
                for column, wanted in rule.when.items():
                    for value in (wanted,) if isinstance(wanted, str) else wanted:
                        yield from self._unknown(f"rules, number {place}, when", column, value)
            for column, then in rule.then.items():
                yield from self._unknown(f"rules, number {place}, then", column, str(then))
        for action in self.actions:
            for column, then in action.set.items():
                yield from self._unknown(f"action {action.name!r}, set", column, str(then))
            for column in action.scale:
                if not self._by_name[column].is_number:
                    yield f"action {action.name!r}, scale: {column!r} is a {self._by_name[column].kind}, not a number"

    def _unknown(self, place: str, column: str, value: str) -> Iterator[str]:
        feature = self._by_name[column]
        levels = _values(feature)
        if feature.is_number and _as_float(value) is None:
            yield f"{place}: {column!r} is a number and cannot be {value!r}"
        elif not feature.is_number and value not in levels:
            hint = _meant(value, levels) or f"; it has {', '.join(map(repr, levels[:_TOLD]))}"
            yield f"{place}: {column!r} has no level {value!r}{hint}"

    # -- looking things up ---------------------------------------------------

    @cached_property
    def _by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}

    def feature(self, name: str) -> Feature:
        """The feature of that column name. Raises SchemaError if there is none."""
        try:
            return self._by_name[name]
        except KeyError:
            raise SchemaError(f"column {name!r} is no feature of schema {self.name!r}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @property
    def names(self) -> tuple[str, ...]:
        """The features' column names, in the model's order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def follows(self) -> dict[str, frozenset[str]]:
        """Column → all that an edit of it can change through rules and formulas, itself included."""
        directly: dict[str, set[str]] = {name: set() for name in self.names}
        for causes, effects in [
            *((formula.columns(feature.formula), (feature.name,)) for feature in self.features if feature.formula),
            *((rule.columns, tuple(rule.then)) for rule in self.rules),
        ]:
            for cause in causes:
                directly.setdefault(cause, set()).update(effects)
        found = {}
        for name in self.names:
            reached, queue = {name}, [name]
            while queue:
                more = directly.get(queue.pop(), set()) - reached
                reached |= more
                queue += more
            found[name] = frozenset(reached.intersection(self.names))
        return found

    @property
    def numbers(self) -> tuple[Feature, ...]:
        return tuple(feature for feature in self.features if feature.is_number)

    @property
    def categories(self) -> tuple[Feature, ...]:
        return tuple(feature for feature in self.features if not feature.is_number)

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns a table must have to be scored."""
        money = (self.money.column,) if self.money and self.money.column not in self else ()
        snapshot = (self.snapshot.column,) if self.snapshot else ()
        return (self.key, *snapshot, *self.names, *money)

    @property
    def horizon_days(self) -> float:
        """How many days ahead the model looks: the snapshot's horizon, or the named one; a month where nothing is said."""
        return float(self.snapshot.horizon_days) if self.snapshot else DAYS.get(self.horizon.lower(), _HORIZON_DAYS)

    def band(self, risk: float) -> Band:
        """The band a risk (0–1) falls in."""
        return next(band for band in self.bands if risk < band.below)

    # -- in and out ----------------------------------------------------------

    @cached_property
    def hash(self) -> str:
        """Sum of the schema's meaning: sha256 of its canonical JSON without defaults.

        Without them, so that a field that a later version adds leaves the sums of bundles and scorings made before as they are.
        """
        meaning = self.model_dump(mode="json", exclude_defaults=True)
        for action in meaning.get("actions", ()):
            if action.get("cost") == 0:  # the default before costs could be left open, so sums made then are without it
                del action["cost"]
        text = json.dumps(meaning, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def to_yaml(self) -> str:
        """The schema as people edit it: defaults left out, one feature a block."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        document = {"format": self.format, **document}
        return yaml.dump(_tidy(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)

    @classmethod
    def from_yaml(cls, text: str, where: str = "schema") -> Schema:
        """Read a schema. Raises SchemaError naming the place and the rule it breaks."""
        try:
            document = yaml.load(text, _Loader)
        except RecursionError as error:
            raise SchemaError(f"{where}: its lists and tables are nested too deeply for a schema") from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "it is no YAML"
            raise SchemaError(f"{where}{line}: {problem}") from error
        if not isinstance(document, dict):
            kind = {"str": "a text", "list": "a list", "NoneType": "empty"}.get(type(document).__name__, "a single value")
            raise SchemaError(f"{where}: a schema is a table of names and values, this is {kind}")
        if document.get("format", FORMAT) != FORMAT:
            raise SchemaError(f"{where}: format {document['format']!r} is not known; this version reads format {FORMAT}")
        try:
            schema = cls.model_validate(document)
        except ValidationError as error:
            raise SchemaError(f"{where}: " + "; ".join(_problems(error, document))) from error
        if problem := next(schema._unknown_values(), None):
            raise SchemaError(f"{where}: {problem}")
        return schema

    @classmethod
    def load(cls, path: Path) -> Schema:
        """Read a schema file. Raises SchemaError if it is missing, unreadable or malformed."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise SchemaError(f"no schema at {path}; draft one with: churn schema infer TABLE --key … --target …") from error
        except IsADirectoryError as error:
            raise SchemaError(f"schema {path} cannot be read: it is a folder; name one file in it") from error
        except OSError as error:
            raise SchemaError(f"schema {path} cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise SchemaError(f"schema {path} cannot be read: byte {error.start + 1} is no text in UTF-8") from error
        return cls.from_yaml(text, where=str(path))


def _meant(word: str, known: Sequence[str]) -> str:
    """A question that follows a word that is not known, where one of those known comes near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


class _Loader(yaml.SafeLoader):
    """Takes no name twice, of which YAML would keep the last without a word, and leaves dates as the text they are."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - declared by its parent
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Puts what fits in a few words on one line: a range, a level, a rule's condition."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        short = all(not isinstance(item, (list, dict)) for item in sequence) and len(str(sequence)) < 90
        return super().represent_sequence(tag, sequence, flow_style=short)

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        nested = any(
            isinstance(item, dict) or (isinstance(item, list) and not isinstance(item[:1], str)) for item in mapping.values()
        )
        short = not nested and 0 < len(mapping) <= 3 and len(str(mapping)) < 100
        return super().represent_mapping(tag, mapping, flow_style=short)

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Line separators other than LF come back as LF unless they are escaped, which double quotation marks do."""
        odd = any(character in data for character in "\r\x85\u2028\u2029\ufeff")
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"' if odd else None)

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(str, _Dumper.represent_str)


def _tidy(value: Any) -> Any:
    """Whole numbers without a decimal point, for people to read."""
    if isinstance(value, dict):
        return {key: _tidy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def _problems(error: ValidationError, document: dict[str, Any]) -> Iterator[str]:
    """What is wrong, in words, each with its place; a field that is misspelt is not called missing as well."""
    told: set[str] = set()
    items = error.errors()
    meant = {(*item["loc"][:-1], near) for item in items if item["type"] == "extra_forbidden" and (near := _near(item["loc"]))}
    for item in items:
        if item["type"] == "missing" and item["loc"] in meant:
            continue
        place = _place(item["loc"], document)
        if place not in told and len(told) < _TOLD:
            told.add(place)
            yield f"{place}: {_rule(item)}" if place else _rule(item)


def _rule(item: ErrorDetails) -> str:
    """What a field must be, in words of our own where pydantic's are those of a programmer."""
    if item["type"] == "extra_forbidden":
        near = _near(item["loc"])
        return "there is no such field" + (f"; did you mean {near!r}?" if near else "")
    if item["type"] == "missing":
        return "a second value is missing" if isinstance(item["loc"][-1], int) else "is missing"
    words = re.sub(r"^Value error, ", "", item["msg"])
    if len(kinds := [kind for start, kind in _KINDS.items() if item["type"].startswith(start)]) == 1:
        words = f"must be {kinds[0]}, not {_brief(item['input'])}"
    elif item["type"] == "too_long":
        words = f"must have {item['ctx']['max_length']} values, not {item['ctx']['actual_length']}"
    elif words.startswith("Input should be"):
        words = f"must be{words.removeprefix('Input should be')}, not {_brief(item['input'])}"
    return words


def _place(loc: tuple[int | str, ...], document: dict[str, Any]) -> str:
    """Where a field stands: `target.positive`; `feature 'tenure', range`; `rules, number 2, when`."""
    parts: list[str] = []
    for depth, part in enumerate(loc):
        if isinstance(part, int) and depth == 1 and loc[0] == "features":
            entry = document["features"][part]
            name = entry.get("name", part + 1) if isinstance(entry, dict) else part + 1
            parts[0] = f"feature {name!r}"
        elif isinstance(part, int):
            parts.append(f"number {part + 1}")
        elif not re.search(r"[\[(]", part) and part != "str":  # which of the kinds that a field may have was tried
            parts.append(part)
    if loc and loc[-1] == 1 and "range" in loc:
        parts = parts[:-1]
    dotted = len(parts) > 1 and all(isinstance(part, str) for part in loc)
    return (".".join if dotted else ", ".join)(parts)


def _near(loc: tuple[int | str, ...]) -> str | None:
    """The field that was probably meant by one that there is not, by the fields of the part it stands in."""
    model: type[BaseModel] | None = Schema
    for part in loc[:-1]:
        if isinstance(part, str) and model is not None:
            field = model.model_fields.get(part)
            model = _part_in(field.annotation) if field else None
    close = difflib.get_close_matches(str(loc[-1]), list(model.model_fields) if model else [], n=1, cutoff=0.7)
    return close[0] if close else None


def _part_in(annotation: Any) -> type[BaseModel] | None:
    """The part of a schema that a field holds, one or many."""
    if isinstance(annotation, type) and issubclass(annotation, _Part):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _part_in(inner))), None)

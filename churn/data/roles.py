"""What part a column plays beside the features: target, money, a way to reach the customer."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from churn.data import delimited, labels, values
from churn.data.profile import ABSENT, Column
from churn.data.schema import Target
from churn.errors import DataError, SchemaError

CONTACTS = {
    "name": "names",
    "phone": "phone numbers",
    "email": "e-mail addresses",
    "consent": "consent to be contacted",
    "do_not_contact": "wish not to be contacted",
    "owner": "account managers",
}
_LEFT = {"attrited", "churned", "exited", "left"}
_NOT = {"not", "no", "non", "never"}
_OWNERS = ("owner", "account manager", "account owner", "relationship manager", "customer manager", "sales rep")
_AGREED = r"\b(consent|opt ?in|may contact|can contact|marketing permission)\b"
_REFUSED = r"\b(do not contact|do not call|dnc|opt ?out|opted out|unsubscribed)\b"
_NAMES = ("name", "full name", "customer name", "client name", "contact name", "surname", "last name")

REVENUE = frozenset(
    {"charge", "charges", "fee", "fees", "revenue", "spend", "bill", "premium", "payment", "price", "value", "amount"}
)
_PER_MONTH = frozenset({"mrr", "arpu"})
_PERIODS: dict[str, Literal["month", "quarter", "year"]] = {
    "monthly": "month",
    "month": "month",
    "quarterly": "quarter",
    "annual": "year",
    "yearly": "year",
}
_CURRENCIES = {"$": "$", "€": "€", "£": "£", "¥": "¥", "₹": "₹", "USD": "$", "EUR": "€", "GBP": "£", "CHF": "CHF"}


@dataclass(frozen=True, slots=True)
class Goal:
    """The target as read: `left` float64[rows], 1 = left, 0 = stayed, NaN = unknown."""

    target: Target
    left: npt.NDArray[np.float64]
    evidence: str


def present(raw: pl.DataFrame, column: str, role: str) -> None:
    """Raise SchemaError, with the names that come near, where the table lacks a column."""
    if column in raw.columns:
        return
    if raw.width == 1:
        raise SchemaError(f"{role} column {column!r} is not in the table, {delimited.one_column(raw.columns[0])}")
    lower = {name.strip().lower(): name for name in reversed(raw.columns)}
    near = [lower[match] for match in difflib.get_close_matches(column.strip().lower(), list(lower), n=3, cutoff=0.6)]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"its columns are: {', '.join(raw.columns[:30])}"
    raise SchemaError(f"{role} column {column!r} is not in the table; {hint}")


def goal(column: pl.Series, positive: str | None) -> Goal:
    """Read the target column; `positive` is guessed where its two values mean yes and no, or one of them says "left".

    Raises DataError where the column has no two classes, or nobody can tell which of them means "left".
    """
    text = values.as_text(column)
    counts = text.drop_nulls().alias("value").value_counts(name="size").sort(["size", "value"], descending=[True, False])
    classes = [(str(value), int(size)) for value, size in counts.iter_rows() if value.strip()]
    absent: tuple[str, ...] = ()
    if len(classes) > 2:
        absent = tuple(value for value, _ in classes if value.strip().lower() in ABSENT)
        classes = [(value, size) for value, size in classes if value not in absent]
    listed = ", ".join(f"{value!r} ({size:,})" for value, size in classes[:8]) + (", …" if len(classes) > 8 else "")
    if not classes:
        raise DataError(f"target column {column.name!r} has no values")
    if len(classes) == 1:
        raise DataError(
            f"target column {column.name!r} must have two classes; every row has {classes[0][0]!r}, so nothing can be learnt"
        )
    if len(classes) > 2:
        raise DataError(f"target column {column.name!r} must have two classes; it has {len(classes):,}: {listed}")
    found = [value for value, _ in classes]
    if positive is None:
        meant = [value for value in found if labels.bare(value) in values.YES]
        evidence = "guessed: it means yes"
        if not labels.is_flag(found) or len(meant) != 1:
            meant, evidence = [value for value in found if _says_left(value)], "guessed: it says so"
        if len(meant) != 1:
            raise DataError(
                f"which value of target column {column.name!r} means that a customer left? Give --positive; it has {listed}"
            )
        chosen = meant[0]
    else:
        meant = [value for value in found if value == positive] or [
            value
            for value in found
            if value.strip().casefold() == positive.strip().casefold() or values.same_number(value, positive)
        ]
        if len(meant) != 1:
            raise DataError(f"target column {column.name!r} has no value {positive!r}; it has {listed}")
        chosen, evidence = meant[0], "as given"
    other = next(value for value in found if value != chosen)
    left = pl.select(pl.when(text == chosen).then(1.0).when(text == other).then(0.0)).to_series().to_numpy().astype(np.float64)
    unknown = int(np.isnan(left).sum())
    evidence += f"; {np.nanmean(left):.1%} left" + (f", {unknown:,} unknown" if unknown else "")
    return Goal(Target(column=column.name, positive=chosen, negative=other, missing=absent), left, evidence)


def _says_left(value: str) -> bool:
    """Whether a value says that a customer left, as `Attrited Customer` does and `Not churned` does not."""
    said = set(re.findall(r"[a-z]+", value.casefold()))
    return bool(said & _LEFT) and not said & _NOT


def contact_role(column: Column) -> str | None:
    """What a column says about reaching a customer: one of the roles of `Contacts`, or nothing."""
    words = labels.words_of(column.name)
    has = set(words)
    several = column.distinct > 1 and column.distinct >= 0.2 * max(column.known, 1)
    if several and column.kind != "number" and _share(column, r"^[^@\s]+@[^@\s]+\.\w+$") > 0.8:
        return "email"
    if several and {"phone", "mobile", "telephone", "cell", "msisdn"} & has and _share(column, r"^\+?[\d\s()/.-]{6,}$") > 0.8:
        return "phone"
    if " ".join(words) in _NAMES and several and column.kind not in ("number", "flag"):
        return "name"
    text = " ".join(words)
    if column.kind == "flag" and re.search(_REFUSED, text):
        return "do_not_contact"
    if column.kind == "flag" and re.search(_AGREED, text):
        return "consent"
    return "owner" if text in _OWNERS and column.kind not in ("number", "flag", "date", "empty") else None


def _share(column: Column, pattern: str) -> float:
    """Share (0–1) of the known cells that have a certain form."""
    known = values.as_text(column.values).drop_nulls()
    return float(known.str.contains(pattern).sum()) / max(len(known), 1)


def period(name: str, unit: str) -> Literal["month", "quarter", "year"] | None:
    """Over what a column's name says that it counts what a customer brings in; None if it does not say so."""
    words = labels.words_of(name)
    if unit != "money" or not set(words) & (REVENUE | _PER_MONTH) or "extra" in words:
        return None
    if set(words) & _PER_MONTH:
        return "month"
    return next((_PERIODS[word] for word in words if word in _PERIODS), None)


def currency_in_cells(columns: Iterable[pl.Series]) -> str | None:
    """The currency that most cells name, as a schema spells it; None where none does."""
    counts: Counter[str] = Counter()
    for column in columns:
        found = values.as_text(column).str.extract(f"(?i)({'|'.join(map(re.escape, _CURRENCIES))})").drop_nulls()
        counts.update(_CURRENCIES[mark.upper()] for mark in found.to_list())
    return counts.most_common(1)[0][0] if counts else None


def currency(names: Iterable[str]) -> str | None:
    """The currency that a column's name mentions."""
    words = {word for name in names for word in (*labels.words_of(name), *(mark for mark in "€£$" if mark in name))}
    return next((sign for sign, said in (("€", {"€", "eur"}), ("£", {"£", "gbp"}), ("$", {"$", "usd"})) if words & said), None)

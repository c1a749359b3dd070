"""What a column's name tells: a label in plain words, a unit, and how its values read within a sentence.

Everything here is a guess that people can edit in the schema; nothing here looks at more than a name and a range.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from churn.data.schema import Level
from churn.data.values import NO, YES

_WRITTEN_OUT = {
    "acct": "account",
    "addr": "address",
    "amt": "amount",
    "avg": "average",
    "bal": "balance",
    "chg": "charge",
    "chng": "change",
    "cnt": "count",
    "ct": "count",
    "curr": "current",
    "cust": "customer",
    "dep": "dependent",
    "dt": "date",
    "intl": "international",
    "lst": "last",
    "mins": "minutes",
    "mo": "month",
    "mon": "month",
    "mos": "months",
    "mths": "months",
    "nbr": "number",
    "num": "number",
    "pct": "percent",
    "perc": "percent",
    "prev": "previous",
    "qty": "quantity",
    "rev": "revenue",
    "sub": "subscription",
    "subs": "subscriptions",
    "svc": "service",
    "tel": "telephone",
    "tot": "total",
    "trans": "transactions",
    "txn": "transactions",
    "util": "utilization",
    "yr": "year",
    "yrs": "years",
}
_ACRONYMS = {
    word.lower(): word
    for word in (
        *("TV", "DSL", "ID", "SMS", "MMS", "GB", "MB", "CLV", "CLTV", "LTV", "ARPU", "MRR", "API", "NPS", "CSAT", "URL", "VIP"),
        *(
            "PIN",
            "ATM",
            "IP",
            "USA",
            "US",
            "UK",
            "EU",
            "GPS",
            "VPN",
            "IVR",
            "ISP",
            "IPTV",
            "VoIP",
            "FTTH",
            "LTE",
            "CRM",
            "KYC",
            "IBAN",
        ),
    )
}
_MONEY = (
    *(
        "charge",
        "charges",
        "amount",
        "balance",
        "salary",
        "price",
        "limit",
        "revenue",
        "spend",
        "spent",
        "spending",
        "cost",
        "costs",
    ),
    *(
        "fee",
        "fees",
        "income",
        "premium",
        "bill",
        "invoice",
        "wage",
        "arpu",
        "mrr",
        "clv",
        "cltv",
        "ltv",
        "buy",
        "deposit",
        "debt",
    ),
    *("cashback", "cash", "earnings", "profit", "margin", "refund", "refunds", "expense", "expenses"),
)
_NOT_MONEY = (
    "change",
    "ratio",
    "rate",
    "percent",
    "percentage",
    "count",
    "number",
    "share",
    "score",
    "index",
    "utilization",
    "days",
)
_TIMES = {
    "day": "day",
    "days": "day",
    "week": "week",
    "weeks": "week",
    "month": "month",
    "months": "month",
    "year": "year",
    "years": "year",
    "hour": "hour",
    "hours": "hour",
    "minute": "minute",
    "minutes": "minute",
    "seconds": "second",
}
_COUNTED = (
    *("calls", "messages", "products", "tickets", "visits", "logins", "orders", "complaints", "contacts", "devices", "lines"),
    *("sessions", "purchases", "coupons", "transactions", "dependents", "emails", "referrals", "users", "seats", "invoices"),
)
_HELD = ("contract", "plan", "subscription", "card", "membership", "account", "tariff", "package", "policy")
_TENURE = ("tenure", "seniority")
_HELD_FOR = ("on book", "as customer", "as a customer", "since joining", "since signup", "since sign up")
_CLOCKS: tuple[Literal["day", "week", "month", "quarter", "year"], ...] = ("day", "week", "month", "quarter", "year")


def words_of(name: str) -> list[str]:
    """A column's name as lower-case words, abbreviations written out.

    >>> words_of("Total_Trans_Ct")
    ['total', 'transactions', 'count']
    >>> words_of("StreamingTV")
    ['streaming', 'tv']
    """
    spaced = re.sub(r"[^0-9A-Za-z\u00c0-\uffff%€$£]+", " ", name)
    spaced = re.sub(r"(?<=[a-z0-9\u00df-\u00ff])(?=[A-Z])", " ", spaced)
    spaced = re.sub(r"(?<=[A-Z])(?=[A-Z][a-z])", " ", spaced)
    words = [word.lower() for word in spaced.split()]
    if words[:1] == ["cr"] or "cr card" in " ".join(words):
        words = ["credit" if word == "cr" else word for word in words]
    return [_WRITTEN_OUT.get(word, word) for word in words]


def label(name: str) -> str:
    """A label in sentence case: `MonthlyCharges` → `Monthly charges`, `IsActiveMember` → `Active member`."""
    words = words_of(name)
    if len(words) > 1 and words[0] == "is":
        words = words[1:]
    if words[:1] == ["number"] and len(words) > 1 and words[1] != "of":
        words.insert(1, "of")
    for i in range(len(words) - 1):
        if words[i].isdigit() and words[i + 1] in ("month", "months", "m"):
            words[i + 1] = "months"
            if i and words[i - 1] not in ("last", "in", "past"):
                words[i] = f"in {words[i]}"
        if re.fullmatch(r"q[1-4]", words[i]) and re.fullmatch(r"q[1-4]", words[i + 1]):
            words[i + 1] = f"to {words[i + 1].upper()}"
    shown = [_ACRONYMS.get(word, word.upper() if re.fullmatch(r"q[1-4]", word) else word) for word in words]
    text = " ".join(shown)
    if not text:
        return name
    return text if shown[0] in _ACRONYMS.values() else text[:1].upper() + text[1:]


def unit(name: str, low: float, high: float, *, whole: bool) -> tuple[str, str]:
    """The unit a number seems to have, and why: `("month", "…")`; `("", "")` for a bare number.

    low, high: the range seen, without missing values.
    """
    words = words_of(name)
    has = set(words)
    if has & {"percent", "percentage", "%"}:
        return ("share", "values from 0 to 1") if low >= 0 and high <= 1 else ("percent", "its name")
    if has & {"rate", "ratio", "share", "utilization"} and low >= 0 and high <= 1 and not whole:
        return "share", "its name, and values from 0 to 1"
    if has & set(_TENURE) or "on book" in " ".join(words):
        named = next((_TIMES[word] for word in words if word in _TIMES), None)
        if named:
            return named, "its name"
        if whole and 15 < high <= 1200:
            return "month", f"its name, and values up to {high:g}"
        if low >= 0 and high <= 15:
            return "year", f"its name, and no value above {high:g}; change it if these are months"
        return ("day", f"its name, and values up to {high:g}") if high > 1200 else ("", "")
    if words == ["age"] or words[-1:] == ["age"]:
        return ("year", "its name") if low >= 0 and high <= 130 else ("", "")
    if (has & set(_MONEY) or has & {"$", "€", "£"}) and not has & set(_NOT_MONEY):
        return "money", "its name"
    if words and words[0] in _TIMES and (words[0].endswith("s") or has & {"since", "ago", "spend", "spent"}):
        return _TIMES[words[0]], "its name"
    if words and words[-1] in _TIMES and words[-1].endswith("s") and not (len(words) > 1 and words[-2].isdigit()):
        return _TIMES[words[-1]], "its name"
    if has & {"gb", "mb"}:
        return ("GB" if "gb" in has else "MB"), "its name"
    return (_counted(words), "its name") if whole and _counted(words) else ("", "")


def clock(name: str, unit: str) -> Literal["day", "week", "month", "quarter", "year"] | None:
    """The unit of time by which a number seems to grow by itself: how long somebody has been a customer, and age.

    >>> clock("Months_on_book", "month"), clock("Months_Inactive_12_mon", "month")
    ('month', None)
    """
    words = words_of(name)
    text = " ".join(words)
    growing = set(words) & set(_TENURE) or words[-1:] == ["age"] or any(held in text for held in _HELD_FOR)
    return next((known for known in _CLOCKS if known == unit), None) if growing else None


def _counted(words: Sequence[str]) -> str:
    """The noun that a count counts, singular; empty where the name does not tell."""
    rest = [word for word in words if word not in ("total", "of", "average", "last", "in") and not word.isdigit()]
    if rest[:1] == ["number"] and len(rest) > 1:
        return singular(rest[1])
    if "count" in rest and rest.index("count") >= 1:
        return singular(rest[rest.index("count") - 1])
    return singular(rest[-1]) if rest and rest[-1] in _COUNTED else ""


def singular(noun: str) -> str:
    """`products` → `product`, `dependencies` → `dependency`."""
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    if noun.endswith(("sses", "xes", "ches", "shes")):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else noun


def number_phrase(name: str, unit: str) -> str | None:
    """How a number of that column reads in a sentence, where its label would sound odd: `{value} as a customer`."""
    words = words_of(name)
    text = " ".join(words)
    if unit in ("month", "year", "day", "week") and (set(words) & set(_TENURE) or "on book" in text):
        return "{value} as a customer"
    if unit == "year" and words[-1:] == ["age"]:
        return "{value} old"
    if unit in _TIMES.values() and "inactive" in words:
        window = next((word for word, after in pairwise(words) if word.isdigit() and after == "month"), None)
        return "{value} inactive" + (f" in the last {window} months" if window else "")
    if unit and unit not in _TIMES.values() and unit not in ("money", "percent", "share", "GB", "MB"):
        window = next((word for word, after in pairwise(words) if word.isdigit() and after == "month"), None)
        return "{value}" + (f" in {window} months" if window else "")
    return None


def level_phrase(name: str, value: str) -> str | None:
    """How one level reads in a sentence, where label and level would sound odd: `a month-to-month contract`."""
    words = words_of(name)
    yes, no = value.strip().lower() in YES, value.strip().lower() in NO
    said = _lower(value)
    thing = label(name)
    if words == ["gender"] or words == ["sex"]:
        return {"m": "a male customer", "f": "a female customer"}.get(said.lower(), f"a {said} customer")
    if yes or no:
        if words[:1] == ["is"] or set(words) & {"senior", "member", "citizen"}:
            noun = _lower(thing)
            return f"{'not ' if no else ''}{_article(noun)} {noun}" if words[-1] in ("member", "citizen", "customer") else None
        if words[:1] == ["has"]:
            rest = _lower(" ".join(words[1:]))
            return f"no {rest}" if no else f"has {rest}"
        return None
    if said.startswith("no "):  # several services may say "no internet service": the reader must see which
        return said if _lower(thing) in said else f"no {_lower(thing)} ({said})"
    if (words[-1:] and words[-1] in _HELD) or (words[-1:] in (["category"], ["type"]) and len(words) > 1 and words[-2] in _HELD):
        noun = words[-1] if words[-1] in _HELD else words[-2]
        kind = said.removesuffix(f" {noun}").replace("two year", "two-year").replace("one year", "one-year")
        return f"{_article(kind)} {kind} {noun}"
    if words[-1:] == ["service"] and len(words) > 1:
        return f"{said} {' '.join(words[:-1])}"
    if words[:1] == ["payment"]:
        return f"payment by {said}"
    if words[:1] == ["marital"]:
        return said
    if words in (["geography"], ["country"], ["region"], ["city"], ["state"]):
        return f"a customer in {value}"
    return None


def _lower(text: str) -> str:
    first = text.split(" ", 1)[0]
    return text if any(letter.isupper() for letter in first[1:]) else text[:1].lower() + text[1:]


def _article(noun: str) -> str:
    return "an" if re.match(r"(?!one\b|uni|use|eu)[aeiou]", noun.lower()) else "a"


_NUMBER_WORDS = {"one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "ten": 10.0}
_SPANS = {"day": 1.0, "week": 7.0, "month": 30.0, "quarter": 91.0, "year": 365.0}
_ORDERS = (
    ("no", "yes"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("none", "low", "medium", "high", "very high"),
    ("small", "medium", "large"),
    ("basic", "standard", "premium"),
    ("blue", "bronze", "silver", "gold", "platinum", "diamond"),
    ("daily", "weekly", "monthly", "quarterly", "half-yearly", "yearly"),
    ("daily", "weekly", "monthly", "quarterly", "annually"),
    ("uneducated", "primary", "high school", "college", "bachelor", "graduate", "post-graduate", "doctorate"),
)


def length_in_days(value: str) -> float | None:
    """How long a term such as `One year`, `24 months` or `Month-to-month` lasts, in days; None if it is no term."""
    text = value.strip().lower()
    found = re.fullmatch(r"(\d+|[a-z]+)[ -]?(day|week|month|quarter|year)s?( contract| plan| term)?", text)
    if found and (found[1].isdigit() or found[1] in _NUMBER_WORDS):
        return (float(found[1]) if found[1].isdigit() else _NUMBER_WORDS[found[1]]) * _SPANS[found[2]]
    if re.fullmatch(r"(month[- ]to[- ]month|monthly)( contract| plan)?", text):
        return 30.0
    return 365.0 if re.fullmatch(r"(annual|annually|yearly)( contract| plan)?", text) else None


def in_order(values: Sequence[str]) -> list[str]:
    """Levels as a person would list them: by length, by size, by a known scale; else as given (most frequent first)."""
    lengths = {value: length_in_days(value) for value in values}
    if all(length is not None for length in lengths.values()):
        return sorted(values, key=lambda value: lengths[value] or 0.0)
    lower = [value.strip().lower() for value in values]
    for order in _ORDERS:
        if len(values) > 1 and set(lower) <= set(order):
            return sorted(values, key=lambda value: order.index(value.strip().lower()))
    numbers = {value: _leading(value) for value in values}
    if len(values) > 2 and all(number is not None for number in numbers.values()):
        return sorted(values, key=lambda value: numbers[value] or 0.0)
    return list(values)


def _leading(value: str) -> float | None:
    """The number a level is about: `$60K - $80K` → 60000, `Less than $40K` → just below 40000."""
    found = re.search(r"(-?\d+(?:[.,]\d+)?)\s*([kKmM]?)\b", value)
    if not found:
        return None
    number = float(found[1].replace(",", ".")) * {"k": 1e3, "m": 1e6}.get(found[2].lower(), 1.0)
    below = re.match(r"\s*(less|under|below|up to|<)", value.lower())
    above = re.search(r"(more|over|above|>|\+\s*$)", value.lower())
    return number - 0.5 if below else number + 0.5 if above else number


def levels(name: str, values: Sequence[str]) -> tuple[Level, ...]:
    """Levels in order, with labels (`0`/`1` and truth values read No and Yes, `F`/`M` Female and Male) and phrases."""
    flag = is_flag(values)
    ordered = sorted(values, key=lambda value: bare(value) in YES) if flag else in_order(values)
    result = []
    for value in ordered:
        shown = ("Yes" if bare(value) in YES else "No") if flag else " ".join(value.replace("_", " ").split())
        if words_of(name)[-1:] in (["gender"], ["sex"]):
            shown = {"f": "Female", "m": "Male"}.get(bare(value), shown)
        phrase = level_phrase(name, shown if flag else value)
        result.append(Level(value=value, label=None if shown in (value, "") else shown, phrase=phrase))
    return tuple(result)


def is_flag(values: Sequence[str]) -> bool:
    """Whether two levels mean yes and no."""
    lower = {bare(value) for value in values}
    return len(values) == 2 and len(lower & YES) == 1 and len(lower & NO) == 1


def bare(value: str) -> str:
    """A truth value as it is compared: `1.0` is 1; `True.` is how an old telecom table spells it."""
    return value.strip().lower().removesuffix(".0").removesuffix(".")

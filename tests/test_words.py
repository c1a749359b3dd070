"""Every format of UI.md, and the laws behind them."""

from __future__ import annotations

import html
import math
import re
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn import words
from churn.data.schema import Feature, Level, Schema, Target

NUMBERS = st.floats(-1e18, 1e18, allow_nan=False)


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.41, "41%"),
        (0.004, "under 1%"),
        (0.999, "over 99%"),
        (0.0, "0%"),
        (1.0, "100%"),
        (0.285, "29%"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_percent(share: float | None, shown: str) -> None:
    assert words.percent(share) == shown


def test_average() -> None:
    assert [words.average(x) for x in (0.2654, 0.0004, None)] == ["26.5%", "under 0.1%", "–"]


@pytest.mark.parametrize(
    ("value", "given", "shown"),
    [
        (0.15, {}, "+15 points"),
        (-0.13, {"unit": False}, "−13"),
        (0.01, {}, "+1 point"),
        (-0.01, {}, "−1 point"),
        (0.004, {}, "0 points"),
        (0.008, {"decimals": 1}, "+0.8 points"),
        (-0.7, {"signed": False}, "70 points"),
        (None, {}, "–"),
    ],
)
def test_points(value: float | None, given: dict[str, object], shown: str) -> None:
    assert words.points(value, **given) == shown  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (73.65, "$73.65"), (88, "$88"), (0, "$0"), (999.996, "$1,000"), (9896, "$9,896"), (9999.5, "$10k"), (139_400, "$139k"),
        (999_500, "$1.00M"), (1_240_000, "$1.24M"), (12_400_000, "$12.4M"), (1.24e9, "$1.24bn"), (-13.5, "−$13.50"), (None, "–"),
    ],
)  # fmt: skip
def test_money(value: float | None, shown: str) -> None:
    assert words.money(value) == shown


def test_money_of_other_currencies_and_signs() -> None:
    assert words.money(5, "€") == "€5"
    assert words.money(5, "CHF") == "CHF\u00a05"
    assert words.money(4000, signed=True) == "+$4,000"
    assert words.money(105, cents=True) == "$105.00"
    assert words.money(73.65, cents=False) == "$74"
    assert words.plus_minus(words.money(3000)) == "±$3,000"


@given(NUMBERS)
def test_money_is_short_and_never_a_negative_nothing(value: float) -> None:
    shown = words.money(value)
    assert len(shown) <= 16
    assert "−$0" not in shown or any(digit in shown for digit in "123456789")
    assert "E" not in shown


@given(NUMBERS, NUMBERS)
def test_money_keeps_the_order_of_what_it_prints(one: float, other: float) -> None:
    def read(text: str) -> float:
        scale = {"k": 1e3, "M": 1e6, "bn": 1e9, "tn": 1e12, "": 1.0}
        sign, digits, unit = re.fullmatch(r"(−?)\$([\d,.]+)(\D*)", text).groups()  # type: ignore[union-attr]
        return float(digits.replace(",", "")) * scale[unit] * (-1 if sign else 1)

    low, high = sorted((one, other))
    assert read(words.money(low)) <= read(words.money(high))


def test_counts_times_intervals_and_lists() -> None:
    assert words.count(7043.4) == "7,043"
    assert (words.change(56), words.change(-12), words.change(0)) == ("+56", "−12", "0")
    assert words.times(1.93) == "1.9×"
    assert words.interval("$131k", "$147k") == "$131k to $147k"
    assert words.interval("$131k", "$131k") == "$131k"
    assert words.likely_between("$131k", "$147k") == "likely between $131k and $147k (8 times in 10)"
    assert words.sentence_list([]) == ""
    assert words.sentence_list(["a"]) == "a"
    assert words.sentence_list(["a", "b", "c"]) == "a, b and c"
    assert words.ascii_minus("−13") == "-13"


def test_dates() -> None:
    assert words.moment(datetime(2026, 11, 19, 6, 12)) == "19 Nov 2026, 06:12"
    assert words.day(date(2026, 11, 3), year=False) == "3 Nov"
    assert words.month(date(2026, 11, 3)) == "Nov"
    assert words.day(None) == words.moment(None) == words.NOTHING


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.integers(-2, 2))
def test_largest_remainder_adds_up_and_stays_near(parts: list[float], off: int) -> None:
    total = round(sum(parts)) + off
    whole = words.largest_remainder(parts, total)
    assert sum(whole) == total
    assert all(abs(a - b) < 2 + abs(off) for a, b in zip(whole, parts, strict=True))
    if not off:
        assert all(math.floor(part) - 1 <= number <= math.ceil(part) + 1 for part, number in zip(parts, whole, strict=True))


def test_largest_remainder_where_rounding_fails() -> None:
    parts = [14.4, 7.4, 5.4, 2.4, 0.4]  # rounded one by one they make 28
    assert words.largest_remainder(parts, 30) == [15, 8, 5, 2, 0]
    assert words.largest_remainder([], 0) == []


@pytest.mark.parametrize(
    ("noun", "number", "shown"),
    [("month", 1, "month"), ("month", 12, "months"), ("city", 2, "cities"), ("day", 0, "days"), ("GB", 5, "GB"),
     ("call per year", 2, "calls per year"), ("box", 2, "boxes"), ("", 2, "")],
)  # fmt: skip
def test_plural(noun: str, number: float, shown: str) -> None:
    assert words.plural(noun, number) == shown


NUMBER = Feature(name="n", kind="number", label="N")
SCHEMA = Schema(key="k", target=Target(column="t", positive="1"), currency="€", features=(NUMBER,))


@pytest.mark.parametrize(
    ("value", "feature", "shown"),
    [
        (1.0, {"unit": "month", "whole": True}, "1 month"),
        (12.0, {"unit": "month", "whole": True}, "12 months"),
        (28.5, {"unit": "month", "whole": True}, "28.5 months"),
        (73.65, {"unit": "money"}, "€73.65"),
        (12.5, {"unit": "percent"}, "12.5%"),
        (0.061, {"unit": "share"}, "6.1%"),
        (12_345.678, {}, "12,346"),
        (3.14159, {}, "3.14"),
        (None, {"unit": "money"}, "not known"),
        (math.nan, {}, "not known"),
    ],
)
def test_quantity(value: float | None, feature: dict[str, object], shown: str) -> None:
    assert words.quantity(value, NUMBER.model_copy(update=feature), SCHEMA) == shown


def _category(label: str, *levels: str | Level, phrase: str | None = None) -> Feature:
    made = tuple(level if isinstance(level, Level) else Level(value=level) for level in levels)
    return Feature(name="c", kind="category", label=label, levels=made, phrase=phrase)


@pytest.mark.parametrize(
    ("value", "feature", "shown"),
    [
        ("No", _category("Online security", "No", "Yes"), "no online security"),
        ("Yes", _category("Online security", "No", "Yes"), "online security"),
        ("F", _category("Internet", Level(value="F", label="Fibre"), "DSL", phrase="{value} internet"), "fibre internet"),
        ("DSL", _category("Internet", "F", "DSL", phrase="{value} internet"), "DSL internet"),
        ("a", _category("Contract", Level(value="a", phrase="a month-to-month contract"), "b"), "a month-to-month contract"),
        ("Paper", _category("Payment", "Paper", "Card"), "payment: Paper"),
        ("never seen", _category("Payment", "Paper", "Card"), "payment not known to the model (never seen)"),
        (None, _category("Payment", "Paper", "Card"), "payment not known"),
        (3.0, NUMBER.model_copy(update={"label": "Monthly charge", "unit": "money"}), "monthly charge of €3"),
        (3.0, NUMBER.model_copy(update={"unit": "month", "phrase": "{value} as a customer"}), "3 months as a customer"),
    ],
)
def test_phrase(value: object, feature: Feature, shown: str) -> None:
    assert words.phrase(value, feature, SCHEMA) == shown


def test_phrase_survives_braces_in_data() -> None:
    assert words.phrase("{x}", _category("Plan {0}", "{x}", "{value}"), SCHEMA) == "plan {0}: {x}"


def test_escapes() -> None:
    assert words.escape_markdown("$5 and $6") == r"\$5 and \$6"
    assert words.escape_markdown("**b** [x](y) `c`") == r"\*\*b\*\* \[x\](y) \`c\`"
    assert words.escape_markdown("1. one\n# two") == r"1\. one # two"
    assert words.escape_markdown("- item") == r"\- item"
    assert words.escape_markdown("plain words, 41%") == "plain words, 41%"
    assert words.escape_html('<b>&"') == '&lt;b&gt;&amp;"'


@given(st.text(st.characters(exclude_characters="\r\n")))
def test_escaped_html_has_no_tags_and_reads_the_same(text: str) -> None:
    shown = words.escape_html(text)
    assert "<" not in shown
    assert html.unescape(shown) == text


def test_no_forbidden_word_in_any_template() -> None:
    forbidden = "because|will leave|Oops|SHAP|logit|confidence|p-value|churn probability|base value|inference|instance|feature"
    for template in words.TEMPLATES.values():
        assert not re.search(forbidden, template, re.IGNORECASE), template

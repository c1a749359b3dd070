"""Fields of the what-if: their steps, their print, their limits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from churn.data.schema import Feature
from pages.shared.fields import _label, _limits, slider_format, slider_step


def number(**parts: object) -> Feature:
    return Feature.model_validate({"name": "x", "kind": "number", "label": "Length", "range": (0, 100), **parts})


@pytest.mark.parametrize(
    ("low", "high", "whole", "step"),
    [
        (18.25, 118.75, False, 1.0),
        (0, 72, True, 1.0),
        (0, 250_898, False, 2000.0),
        (0, 1, False, 0.01),
        (0, 3, True, 1.0),
        (1438, 34516, True, 200.0),
    ],
)
def test_steps(low: float, high: float, whole: bool, step: float) -> None:
    assert slider_step(low, high, whole) == pytest.approx(step)


@given(some.floats(-1e9, 1e9), some.floats(1e-6, 1e9))
def test_a_step_leaves_a_hundred_places_and_not_many_more(low: float, span: float) -> None:
    high = low + span
    if high <= low:
        return
    places = (high - low) / slider_step(low, high, whole=False)
    assert 99.9 <= places <= 250.1


@pytest.mark.parametrize(
    ("parts", "printed"),
    [
        ({"unit": "money"}, "$%,.2f"),
        ({"unit": "money", "range": (0, 30_000)}, "$%,d"),
        ({"unit": "percent"}, "%,.2f%%"),
        ({"unit": "month", "whole": True}, "%,d"),
    ],
)
def test_formats(parts: dict[str, object], printed: str) -> None:
    assert slider_format(number(**parts), "$") == printed


def test_labels_name_the_unit_once() -> None:
    assert _label(number(unit="month")) == "Length, in months"
    assert _label(number(label="Number of products", unit="product")) == "Number of products"
    assert _label(number(unit="money")) == "Length"


def test_limits_are_what_was_seen_and_what_can_be() -> None:
    assert _limits(number(at_least=5, at_most=500)) == (5, 100)
    assert _limits(number(range=None)) == (-math.inf, math.inf)

"""Fields of the what-if: their print and their labels; their steps and limits come from `churn.understand.evidence`."""

from __future__ import annotations

import pytest

from churn.data.schema import Feature
from pages.shared.fields import _label, slider_format


def number(**parts: object) -> Feature:
    return Feature.model_validate({"name": "x", "kind": "number", "label": "Length", "range": (0, 100), **parts})


@pytest.mark.parametrize(
    ("parts", "span", "printed"),
    [
        ({"unit": "money"}, 100, "$%,.2f"),
        ({"unit": "money"}, 30_000, "$%,d"),
        ({"unit": "percent"}, 100, "%,.2f%%"),
        ({"unit": "month", "whole": True}, 72, "%,d"),
    ],
)
def test_formats(parts: dict[str, object], span: float, printed: str) -> None:
    assert slider_format(number(**parts), span, "$") == printed


def test_labels_name_the_unit_once() -> None:
    assert _label(number(unit="month")) == "Length, in months"
    assert _label(number(label="Number of products", unit="product")) == "Number of products"
    assert _label(number(unit="money")) == "Length"

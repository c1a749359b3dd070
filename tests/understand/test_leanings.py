"""Which facts of a column lean which way, told from points laid down by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from churn.data.schema import Feature, Level, Schema, Target
from churn.model.risk_model import RiskModel
from churn.understand.leanings import Leaning, leanings

SCHEMA = Schema(
    key="id",
    target=Target(column="left", positive="Yes"),
    features=(
        Feature(name="months", kind="number", label="Tenure"),
        Feature(name="products", kind="number", label="Products"),
        Feature(name="active", kind="flag", label="Active member",
                levels=(Level(value="0", label="No", phrase="not an active member"), Level(value="1", label="Yes"))),
        Feature(name="plan", kind="category", label="Plan", levels=tuple(Level(value=level) for level in "ABCD")),
    ),
)  # fmt: skip
TABLE = pl.DataFrame(
    {
        "months": [1.0, 2.0, 30.0, 60.0, None],
        "products": [1.0, 2.0, 3.0, 4.0, 2.0],
        "active": ["0", "0", "1", "1", None],
        "plan": ["A", "B", "C", "D", "A"],
    }
)
POINTS = np.array(
    [
        [0.3, 0.1, 0.2, 0.1],
        [0.2, -0.2, 0.1, 0.2],
        [0.0, 0.2, -0.1, 0.3],
        [-0.2, 0.1, -0.2, -0.1],
        [0.9, 0.0, 0.5, 0.1],
    ]
)


@dataclass
class Laid:
    """A model whose points are given."""

    quick: bool = True
    schema: Schema = SCHEMA

    def explain(self, table: pl.DataFrame) -> Any:
        assert table.columns == list(SCHEMA.names)
        return type("Found", (), {"points": POINTS})


def test_what_is_meant_is_said_not_the_columns_name() -> None:
    found = leanings(cast(RiskModel, Laid()), TABLE)
    assert found["months"] == Leaning("low tenure", "high tenure")  # the one who is not known does not count
    assert found["active"] == Leaning("not an active member", "active member")
    assert found["products"] == Leaning("products", "products")  # neither few nor many
    assert found["plan"].raises == "plan"  # three levels are too many to name
    assert found["plan"].lowers == "plan: D"
    assert found["active"].fact(raises=False) == "active member"


@pytest.mark.parametrize(("model", "table"), [(Laid(quick=False), TABLE), (Laid(), TABLE.clear())])
def test_without_points_the_name_has_to_do(model: Laid, table: pl.DataFrame) -> None:
    assert leanings(cast(RiskModel, model), table)["active"] == Leaning("active member", "active member")

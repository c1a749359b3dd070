"""Whatever a table holds: it is described, checked, learnt from and scored, or refused with a `ChurnError`."""

from __future__ import annotations

import os
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn.data.infer import infer
from churn.data.quality import check, conform
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.errors import ChurnError
from churn.learn import training
from churn.score import batch
from churn.score.people import scored_for_people
from churn.settings import Settings

_FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
_MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

NAMES = [
    *("select", 'a"b', "o'clock", "x; drop table y;--", "`tick`", "größe", "价格", "a b", "x\ty", "1", "-", "a.b", "{x}", "%s"),
    *(
        "\\",
        "nan",
        "null",
        "true",
        "Ω",
        "e\u0301",
        "line\nbreak",
        "🙂",
        "=1+1",
        "f(x)",
        "a,b",
        "#",
        "$",
        "^",
        "*",
        "^a$",
        " lead",
    ),
    *("risk", "left", "open", "n", "group", "rows", "value", "count", "text", "points", "band", "f0", "g0", "key", "customer"),
    *("tenure", "MonthlyCharges", "TotalCharges", "email", "phone", "name", "date", "__risk__", "__left__"),
]
SPELT = ["1", "2", "3,5", "1.234,5", "$4", "7%", "abc", " ", "1e3", "0x1", "", "nan", "None", "-", "01/02/2024", "2024-13-01"]


def _column(kind: str, rows: int, rng: np.random.Generator) -> pl.Series:
    """A column of one kind, some of them with a fifth of the cells missing."""
    whole = [int(value) for value in rng.integers(0, 9, rows)]
    made: dict[str, Any] = {
        "int": lambda: rng.integers(-5, 50, rows).tolist(),
        "float": lambda: rng.normal(50, 20, rows).round(2).tolist(),
        "huge": lambda: rng.choice([1e308, -1e308, 1e-308, 0.0, 5e15], rows).tolist(),
        "odd": lambda: rng.choice([float("nan"), float("inf"), -float("inf"), 1.0, 0.0], rows).tolist(),
        "flag": lambda: rng.integers(0, 2, rows).astype(bool).tolist(),
        "levels": lambda: rng.choice(["a", "b", "ünï", "No", "Yes", "=1+1", "x'y", '"'], rows).tolist(),
        "many": lambda: [f"v{number}" for number in rng.integers(0, 5 * rows + 1, rows)],
        "spelt": lambda: rng.choice(SPELT, rows).tolist(),
        "constant": lambda: ["same"] * rows,
        "date": lambda: [date(2024, 1, 1) + timedelta(number) for number in whole],
        "moment": lambda: [datetime(2024, 1, 1 + number, 5) for number in whole],
        "clock": lambda: [time(number) for number in whole],
        "span": lambda: [timedelta(number) for number in whole],
        "list": lambda: [[number] for number in whole],
        "struct": lambda: [{"a": number} for number in whole],
        "binary": lambda: [bytes([number]) for number in whole],
        "nothing": lambda: [None] * rows,
    }
    if kind == "enum":
        return pl.Series(["p", "q"] * rows, dtype=pl.Enum(["p", "q", "r"])).head(rows)
    if kind == "unsigned":
        return pl.Series([number + 2**63 for number in whole], dtype=pl.UInt64)
    if kind == "decimal":
        return pl.Series(whole).cast(pl.Decimal(10, 2))
    cells = made[kind]()
    if rng.random() < 0.4:
        cells = [None if rng.random() < 0.2 else cell for cell in cells]
    return pl.Series(cells, strict=False)


KINDS = (
    *("int", "int", "float", "float", "levels", "levels", "flag", "spelt", "many", "huge", "odd", "constant", "nothing"),
    *("date", "moment", "clock", "span", "list", "struct", "binary", "enum", "unsigned", "decimal"),
)


@st.composite
def tables(draw: st.DrawFn, least: int) -> tuple[pl.DataFrame, str, str]:
    """A table, the name of its key and that of its target."""
    rows, rng = draw(st.integers(least, 140)), np.random.default_rng(draw(st.integers(0, 2**32)))
    names = st.sampled_from(NAMES) | st.text(min_size=1, max_size=12)
    key, target, *others = draw(st.lists(names, min_size=2, max_size=9, unique=True))
    keys = {
        "unique": range(rows),
        "text": [f"k{row}" for row in range(rows)],
        "repeated": [f"k{row // 3}" for row in range(rows)],
    }
    keys["gaps"] = [None if row % 7 == 3 else f"k{row}" for row in range(rows)]
    columns = {key: pl.Series(list(keys[draw(st.sampled_from(["unique", "text", "text", "repeated", "gaps"]))]))}
    for name in others:
        columns[name] = _column(draw(st.sampled_from(KINDS)), rows, rng)
    left = rng.random(rows) < draw(st.sampled_from([0.5, 0.3, 0.05]))
    outcomes = {
        "words": np.where(left, "Yes", "No"),
        "numbers": left.astype(int),
        "flags": left,
        "gaps": np.where(left, "Yes", np.where(rng.random(rows) < 0.1, "", "No")),
        "one": np.zeros(rows, dtype=int),
        "three": rng.choice(["a", "b", "c"], rows),
    }
    columns[target] = pl.Series(
        outcomes[draw(st.sampled_from(["words", "words", "numbers", "flags", "gaps", "one", "three"]))].tolist()
    )
    return pl.DataFrame([column.alias(name) for name, column in columns.items()]), key, target


def _described(raw: pl.DataFrame, key: str, target: str) -> tuple[pl.DataFrame, Schema]:
    schema = Schema.from_yaml(infer(raw, key=key, target=target).schema.to_yaml())
    check(raw, schema, target=True, unique=False)
    return conform(raw, schema, target=True, unique=schema.snapshot is not None), schema


@_MANY
@given(tables(least=0))
def test_a_random_table_is_described_or_refused(made: tuple[pl.DataFrame, str, str]) -> None:
    raw, key, target = made
    try:
        table, schema = _described(raw, key, target)
    except ChurnError:
        return
    assert table.height == raw.height
    assert set(schema.names) < set(table.columns)


@_MANY
@given(st.binary(max_size=300) | tables(least=0).map(lambda made: _as_csv(made[0])))
def test_random_bytes_are_read_or_refused(tmp_path_factory: Any, content: bytes) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / f"random-{os.getpid()}.csv"
    path.write_bytes(content)
    try:
        table = read_table(path)
    except ChurnError:
        return
    assert min(table.shape) > 0


def _as_csv(table: pl.DataFrame) -> bytes:
    simple = [
        column for column in table.get_columns() if not (column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Duration))
    ]
    return pl.DataFrame(simple).write_csv().encode()


@_FEW
@given(tables(least=60), st.sampled_from(["logistic-regression", "lightgbm"]))
def test_a_random_table_is_learnt_from_and_scored_or_refused(made: tuple[pl.DataFrame, str, str], candidate: str) -> None:
    try:
        table, schema = _described(*made)
        result = training.train(table, schema, settings=Settings(), trials=1, candidates=(candidate,), threads=1)
    except ChurnError:
        return
    model = result.model
    explained = model.explain(table)
    np.testing.assert_allclose(explained.typical_risk + explained.points.sum(axis=1), explained.risk, atol=1e-9)
    assert (explained.risk >= 0).all()
    assert (explained.risk <= 1).all()
    try:
        scored = batch.score(table, model)
    except ChurnError:  # a key comes twice
        assert schema.key
        assert table[schema.key].n_unique() < table.height
        return
    assert scored_for_people(scored, schema).height == scored.rows.height

"""A scored table for people: words that agree with the points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.data.schema import Schema
from churn.model.encoder import Encoder
from churn.model.scoring import ScoringModel
from churn.model.trees import CodeTerm, LinearTerms, NumberTerm
from churn.score.batch import score
from churn.score.people import scored_for_people
from churn.understand import reasons
from churn.understand.account import Typical, account

from .conftest import DOCUMENT

MakeTable = Callable[..., pl.DataFrame]
MakeModel = Callable[[Schema], ScoringModel]


def test_words_for_every_customer(schema: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    table = make_table(schema, 40)
    scored = score(table, make_model(schema), 2)
    found = scored_for_people(scored, schema, Typical.of(table, schema))
    assert found.columns == ["customer", "risk", "band", "reason 1", "reason 2"]
    assert found["risk"].is_sorted(descending=True)
    by_key = {row["customer"]: row for row in scored.rows.iter_rows(named=True)}
    for row in found.iter_rows(named=True):
        own = by_key[row["customer"]]
        assert row["risk"] == pytest.approx(own["__risk__"], abs=1e-6)
        assert row["band"] == schema.band(own["__risk__"]).name


TWINS: dict[str, Any] = {
    "features": [
        *DOCUMENT["features"],
        {"name": "tv", "kind": "category", "label": "TV", "levels": [{"value": "No internet service"}, {"value": "Yes"}],
         "phrase": "{value}"},
        {"name": "films", "kind": "category", "label": "Films", "levels": [{"value": "No internet service"}, {"value": "Yes"}],
         "phrase": "{value}"},
        {"name": "contact", "kind": "number", "label": "Last contact", "unit": "month", "phrase": "{value} as a customer"},
    ]
}  # fmt: skip


def _explained_alike(table: pl.DataFrame, model: ScoringModel, schema: Schema, reasons: int) -> None:
    """Every row of the file for people has the reasons that the customer's page gives, to the letter."""
    typical = Typical.of(table, schema)
    scored = score(table, model, reasons)
    for row in scored_for_people(scored, schema, typical).iter_rows(named=True):
        customer = table.row(by_predicate=pl.col(schema.key) == row[schema.key], named=True)
        explained = model.explain_row(customer)
        told = account(
            customer, explained.points, risk=explained.risk, typical_risk=model.typical_risk, schema=schema, typical=typical
        )
        lines = [reason.words for reason in told.reasons if abs(reason.points) > 5e-5][:reasons]
        given = [row[f"reason {rank}"] for rank in range(1, reasons + 1)]
        assert given == lines + [None] * (reasons - len(lines))


def test_reasons_are_those_of_the_screen_to_the_letter(
    schema: Schema, make_table: MakeTable, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasons, "_CHUNK", 17)
    table = make_table(schema, 120, seed=3).with_columns(
        tenure=pl.when(pl.int_range(pl.len()) % 7 == 0).then(None).otherwise("tenure"),
        contract=pl.when(pl.int_range(pl.len()) % 11 == 0).then(pl.lit("odd")).otherwise("contract"),
    )
    _explained_alike(table, make_model(schema), schema, 4)


def test_facts_that_read_alike_are_told_apart_as_on_the_screen(make_table: MakeTable) -> None:
    schema = Schema.model_validate({**DOCUMENT, **TWINS})
    draw = np.random.default_rng(7)
    table = make_table(schema, 80).with_columns(
        tv=pl.Series(draw.choice(["No internet service", "Yes"], 80)),
        films=pl.Series(draw.choice(["No internet service", "Yes"], 80)),
        contact=pl.Series(draw.integers(0, 3, 80).astype(float)),
        tenure=pl.Series(draw.integers(0, 3, 80).astype(float)),
    )
    numbers = tuple(NumberTerm(schema.names.index(name), -0.3, 0.0, 0.0) for name in ("tenure", "contact"))
    codes = tuple(CodeTerm(schema.names.index(name), np.array([-0.8, 0.9, 0.0, 0.0])) for name in ("tv", "films"))
    linear = LinearTerms(numbers=numbers, codes=codes)
    model = ScoringModel.build(schema, Encoder.fit(table, schema), (), table, linear=linear)
    _explained_alike(table, model, schema, 4)
    words = scored_for_people(score(table, model, 4), schema).select(pl.concat_list(pl.col("^reason .$"))).to_series().explode()
    assert words.str.contains("Films: No internet service: ").any()
    assert words.str.contains("Last contact: 2 months: ").any()


def test_values_the_model_does_not_know_are_told_and_flagged(
    schema: Schema, make_table: MakeTable, make_model: MakeModel
) -> None:
    table = make_table(schema, 40)
    model = make_model(schema)
    assert "not known to the model" not in scored_for_people(score(table, model, 4), schema).columns
    place = pl.int_range(pl.len())
    odd = table.with_columns(
        contract=pl.when(place < 2).then(pl.lit("Three year")).otherwise("contract"),
        idle=pl.when(place == 1).then(pl.lit("Perhaps")).when(place == 2).then(None).otherwise("idle"),
    )
    found = scored_for_people(score(odd, model, 4), schema)
    flagged = dict(found.select("customer", "not known to the model").drop_nulls().iter_rows())
    assert flagged == {
        odd["customer"][0]: "Contract: Three year",
        odd["customer"][1]: "Contract: Three year; Idle: Perhaps",
    }
    first = found.row(by_predicate=pl.col("customer") == odd["customer"][0], named=True)
    told = [first[f"reason {rank}"] for rank in range(1, 5) if first[f"reason {rank}"]]
    assert any(line.startswith("Contract not known to the model (Three year): ") for line in told), told


def test_names_that_are_taken_and_rows_without_reasons(dated: Schema, make_table: MakeTable, make_model: MakeModel) -> None:
    other = dated.model_copy(update={"key": "risk"})
    scored = score(make_table(dated, 3).rename({"customer": "risk"}), make_model(other), 4)
    found = scored_for_people(scored, other, simulated=True)
    assert found.columns == ["risk", "day", "risk_", "band", "reason 1", "reason 2", "reason 3", "reason 4", "note"]
    assert found["reason 4"].null_count() == 3
    assert found["note"].unique().to_list() == ["Simulated data"]

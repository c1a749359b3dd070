"""From a real table to the desk with no word about its columns: every row is scored, published and found again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from churn.base.groups import BAND, Filter
from churn.base.snapshot import RISK, Snapshot
from churn.data.infer import infer
from churn.data.quality import conform
from churn.data.source import read_table
from churn.model.encoder import Encoder
from churn.model.scoring import ScoringModel
from churn.model.trees import CodeTerm, LinearTerms, NumberTerm
from churn.score.batch import score, write_scoring
from churn.score.people import scored_for_people
from churn.settings import Settings
from churn.understand.account import Typical
from churn.understand.cohorts import dimensions, segments

TABLES = [
    ("WA_Fn-UseC_-Telco-Customer-Churn.csv", "customerID", "Churn", None),
    ("BankChurners.csv", "CLIENTNUM", "Attrition_Flag", "Attrited Customer"),
    ("Churn_Modelling.csv", "CustomerId", "Exited", None),
]


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "key", "target", "positive"), TABLES)
def test_a_real_table_reaches_the_desk(
    name: str, key: str, target: str, positive: str | None, real_table: Callable[[str], Path], tmp_path: Path
) -> None:
    raw = read_table(real_table(name))
    schema = infer(raw, key=key, target=target, positive=positive).schema
    table = conform(raw, schema, target=True)
    generator, encoder = np.random.default_rng(1), Encoder.fit(table, schema)
    numbers, codes = [], []
    for place, feature in enumerate(schema.features):  # any model will do: what is tested is the way of its results
        if feature.is_number:
            spread = float(table[feature.name].cast(pl.Float64).to_numpy().std()) or 1.0
            numbers.append(NumberTerm(place, generator.normal() / spread if np.isfinite(spread) else 0.0, 0.0, 0.0))
        else:
            codes.append(CodeTerm(place, generator.normal(size=encoder.sizes[place]) / 2))
    terms = LinearTerms(tuple(numbers), tuple(codes))
    model = ScoringModel.build(schema, encoder, (), table.head(300), linear=terms, intercept=-1.0)
    scored = score(table, model)
    assert scored.rows.height == raw.height
    write_scoring(tmp_path / "scoring", scored, model_version="v1", schema=schema, as_of=date(2026, 11, 1), simulated=False)
    with Snapshot.open(tmp_path / "scoring", schema, Settings(home=tmp_path)) as snapshot:
        totals = snapshot.totals()
        assert totals.customers == raw.height
        assert totals.expected_leavers == pytest.approx(scored.rows[RISK].sum())
        assert totals.left == (table["__left__"] == 1).sum()
        for one in dimensions(snapshot):
            assert sum(row.customers for row in snapshot.segments(by=(one.column,))) == raw.height
            for label in one.labels:
                filter = Filter.of({one.column: [label], BAND: [schema.bands[0].name]})
                held = scored.rows.filter(snapshot.group(one.column, label).expression(one.column) & (pl.col(BAND) == 0))
                assert snapshot.totals(filter).customers == held.height
        assert segments(snapshot).rows[0].customers > 0
        for row in scored.rows.sample(20, seed=1).iter_rows(named=True):
            found = snapshot.customer(row[key])
            assert found is not None
            assert found.risk == row[RISK]
            assert {name: found.row[name] for name in schema.names} == {name: row[name] for name in schema.names}
            assert row[key] in snapshot.search(row[key])
    words = scored_for_people(scored, schema, Typical.of(table, schema))
    assert words.height == raw.height
    assert words["reason 1"].null_count() == 0

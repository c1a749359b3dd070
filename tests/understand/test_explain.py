"""What is said of a whole base adds up: to the average risk, and between two cohorts to the gap, on made-up and real tables."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn import words
from churn.base.groups import Filter
from churn.base.points import Spot
from churn.base.snapshot import RISK, Snapshot
from churn.data.infer import infer
from churn.data.quality import LEFT, conform
from churn.data.schema import Schema
from churn.data.source import read_table
from churn.model import skops_file
from churn.model.calibration import Calibrator
from churn.model.encoder import Encoder
from churn.model.estimator import EstimatorModel
from churn.model.interactions import Interactions
from churn.model.risk_model import RiskModel
from churn.model.scoring import ScoringModel
from churn.model.trees import CodeTerm, LinearTerms, NumberTerm, from_lightgbm
from churn.score.batch import Scored, score, write_scoring
from churn.settings import Settings
from churn.understand import explain

Open = Callable[..., Snapshot]
SIZE = 2000


@pytest.fixture
def open_scored(tmp_path: Path) -> Iterator[Open]:
    opened: list[Snapshot] = []

    def make(scored: Scored, schema: Schema, pairs: Any = None, **settings: Any) -> Snapshot:
        folder = tmp_path / f"scoring-{len(opened)}"
        day = date(2026, 11, 1)
        write_scoring(folder, scored, model_version="v1", schema=schema, as_of=day, simulated=False, pairs=pairs)
        opened.append(Snapshot.open(folder, schema, Settings(home=tmp_path, **settings)))
        return opened[-1]

    yield make
    for snapshot in opened:
        snapshot.close()


@pytest.fixture(scope="session")
def grouped(schema: Schema) -> Schema:
    """Three business groups, and columns that name none."""
    names = {"tenure": "Time and money", "Monthly": "Time and money", "Total": "Time and money", "Contract": "Contract"}
    names |= {"OnlineSecurity": "Services", "TechSupport": "Services"}
    features = tuple(one.model_copy(update={"group": names.get(one.name)}) for one in schema.features)
    return schema.model_copy(update={"features": features})


@pytest.fixture(scope="session")
def model(grouped: Schema, reference: pl.DataFrame) -> ScoringModel:
    encoder = Encoder.fit(reference, grouped)
    place = {name: n for n, name in enumerate(grouped.names)}
    linear = LinearTerms(
        numbers=(NumberTerm(place["tenure"], -0.05, 0.0, 0.0), NumberTerm(place["Total"], 0.0003, 0.0, 0.0)),
        codes=tuple(
            CodeTerm(place[name], np.resize(np.array(values), encoder.sizes[place[name]]))
            for name, values in (("Contract", [0.9, -0.4, -1.1, 0.0, 0.0]), ("OnlineSecurity", [0.5, -0.4, 0.0, 0.0, 0.0]))
        ),
    )
    given = {"linear": linear, "intercept": -0.4, "calibrator": Calibrator("logistic", a=1.3, c=-0.2)}
    return ScoringModel.build(grouped, encoder, (), reference, **given)


@pytest.fixture
def base(grouped: Schema, reference: pl.DataFrame, model: ScoringModel, open_scored: Open) -> Snapshot:
    return open_scored(score(_keyed(reference), model), grouped)


def _keyed(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(id=pl.format("C{}", pl.int_range(pl.len())))


MONTHLY = Filter.of({"Contract": ["Month-to-month"]})
YEARS = Filter.of({"Contract": ["Two year"]})


def test_what_matters_is_ranked_and_adds_up(base: Snapshot, model: ScoringModel, reference: pl.DataFrame) -> None:
    points = model.explain(reference).points
    found = explain.what_matters(base)
    assert found is not None
    assert (found.customers, found.counted, found.sampled, found.small, found.error) == (SIZE, SIZE, False, False, 0)
    sizes = dict(zip(model.schema.names, np.abs(points).mean(axis=0), strict=True))
    assert {row.id: row.size for row in found.rows} == pytest.approx(sizes, abs=1e-4)
    assert [row.size for row in found.rows] == sorted((row.size for row in found.rows), reverse=True)
    assert found.rows[0].label == model.schema.feature(found.rows[0].id).label
    assert sum(row.signed for row in found.rows) == pytest.approx(found.average_risk - found.typical_risk, abs=1e-14)
    assert found.average_risk == pytest.approx(model.score(reference).risk.mean(), abs=1e-12)


def test_a_business_group_is_the_sum_of_its_columns(base: Snapshot, model: ScoringModel, reference: pl.DataFrame) -> None:
    """Tenure lowers where what was paid in all raises: together they do less than the two apart."""
    points = dict(zip(model.schema.names, model.explain(reference).points.T, strict=True))
    found = explain.what_matters(base, unit="group")
    assert found is not None
    rows = {row.id: row for row in found.rows}
    assert set(rows) == {"Time and money", "Contract", "Services", "Other"}
    assert rows["Time and money"].features == ("tenure", "Monthly", "Total")
    together = points["tenure"] + points["Monthly"] + points["Total"]
    assert rows["Time and money"].size == pytest.approx(np.abs(together).mean(), abs=1e-4)
    apart = sum(np.abs(points[name]).mean() for name in ("tenure", "Monthly", "Total"))
    assert rows["Time and money"].size < 0.9 * apart
    assert sum(row.signed for row in found.rows) == pytest.approx(found.average_risk - found.typical_risk, abs=1e-14)
    assert explain.has_groups(model.schema)


def test_without_groups_in_the_schema_there_is_one(schema: Schema) -> None:
    assert not explain.has_groups(schema)


def test_cohorts_stand_side_by_side(base: Snapshot, model: ScoringModel, reference: pl.DataFrame, grouped: Schema) -> None:
    found = explain.by_cohort(base, Filter(), "Contract")
    assert found is not None
    assert found.labels == base.groups("Contract")
    assert sum(found.customers) == SIZE
    lead = grouped.names.index(found.rows[0].id)
    for place, level in enumerate(("Month-to-month", "One year", "Two year")):
        own = model.explain(reference.filter(Contract=level)).points[:, lead]
        assert found.sizes[0][place] == pytest.approx(np.abs(own).mean(), abs=1e-4)
    small = explain.by_cohort(base, Filter.of({"tenure": ["0–12 months"]}), "Contract")
    assert small is not None
    frame = explain.cohorts_frame(small, simulated=True)
    assert frame["Group"].to_list() == list(small.labels)
    assert frame["Note"].unique().to_list() == ["Simulated data"]


def test_groups_too_small_say_nothing(grouped: Schema, reference: pl.DataFrame, model: ScoringModel, open_scored: Open) -> None:
    base = open_scored(score(_keyed(reference), model), grouped, small_group=500)
    found = explain.by_cohort(base, Filter(), "Contract")
    assert found is not None
    few = [place for place, customers in enumerate(found.customers) if customers < 500]
    assert few
    assert all((sizes[place] is None) == (place in few) for sizes in found.sizes for place in range(len(found.labels)))
    part = explain.what_matters(base, Filter.of({"Contract": ["One year"]}))
    assert part is not None
    assert part.small


def test_nobody_matters_nothing(base: Snapshot) -> None:
    nobody = Filter.of({"Contract": ["Other"]})
    assert explain.what_matters(base, nobody) is None
    assert explain.by_cohort(base, nobody, "Internet") is None
    assert explain.gap(base, nobody, Filter(), ("Nobody", "All")) is None


def test_two_groups_differ_by_what_is_printed(base: Snapshot) -> None:
    found = explain.gap(base, YEARS, MONTHLY, ("Two year", "Monthly"))
    assert found is not None
    assert found.rows[0].id == "Contract"
    assert found.rows[0].signed > 0.1
    steps = found.waterfall(shown=2).steps
    printed = words.whole_percent(found.right.average_risk) - words.whole_percent(found.left.average_risk)
    assert sum(step.printed for step in steps) == printed
    assert sum(step.points for step in steps) == pytest.approx(found.change, abs=1e-14)
    others = [row for row in found.rows[2:] if row.signed]
    assert steps[-1].features == tuple(row.id for row in others)
    assert steps[-1].label == f"{len(others)} other columns"
    same = explain.gap(base, MONTHLY, MONTHLY, ("A", "B"))
    assert same is not None
    assert (same.change, {row.signed for row in same.rows}) == (0, {0})
    frame = explain.gap_frame(found, simulated=False)
    assert frame["Figure"][1:-1].sum() == pytest.approx(100 * found.change, abs=0.05)
    assert (frame["What"][0], frame["What"][-1]) == ("Two year", "Monthly")


def test_pairs_and_partners(grouped: Schema, reference: pl.DataFrame, model: ScoringModel, open_scored: Open) -> None:
    scored = score(_keyed(reference), model)
    sizes = [["tenure", "Contract", 0.01], ["Contract", "Internet", 0.03], ["gone", "Contract", 0.5]]
    base = open_scored(scored, grouped, pairs={"exact": True, "sizes": sizes})
    found = explain.pairs(base)
    assert [(one.first, one.second) for one in found] == [("Contract", "Internet"), ("tenure", "Contract")]
    assert explain.partner(base, "Contract") == "Internet"
    assert explain.partner(base, "tenure") == "Contract"
    assert explain.partner(base, "Senior") is None
    assert explain.pairs(open_scored(scored, grouped)) == ()


def test_coarser_bins_keep_everybody() -> None:
    draw = np.random.default_rng(2)
    spots = [
        Spot("", at, at - 0.5, at + 0.5, 60, 60, 0.01 * at, 0.0, 0.1, 0.02 * at, int(known), int(known) // 3, 0.03 * at)
        for at, known in zip(range(40), draw.integers(0, 50, 40), strict=True)
    ]
    unknown = Spot("Not known", None, None, None, 7, 7, 0.2, 0.1, 0.3, 0.5, 5, 2, None)
    found = explain.coarser([*spots, unknown], most=8)
    assert found[-1] == unknown
    assert 5 <= len(found) - 1 <= 8
    for total in ("customers", "counted", "outcomes_known", "left"):
        assert sum(getattr(one, total) for one in found[:-1]) == sum(getattr(one, total) for one in spots)
    risk = sum(one.average_risk * one.customers for one in found[:-1])
    assert risk == pytest.approx(sum(one.average_risk * one.customers for one in spots))
    foreseen = sum((one.foreseen or 0) * one.outcomes_known for one in found[:-1])
    assert foreseen == pytest.approx(sum((one.foreseen or 0) * one.outcomes_known for one in spots))
    assert all(a.high is not None and b.low is not None and a.high <= b.low for a, b in itertools.pairwise(found[:-1]))
    category = [Spot("A", None, None, None, 7, 7, 0.2, 0.1, 0.3, 0.5, 5, 2, None)]
    assert list(explain.coarser(category)) == category


# -- real tables -----------------------------------------------------------------

_REAL = {
    "WA_Fn-UseC_-Telco-Customer-Churn.csv": ("customerID", "Churn", "Yes"),
    "BankChurners.csv": ("CLIENTNUM", "Attrition_Flag", "Attrited Customer"),
    "Churn_Modelling.csv": ("CustomerId", "Exited", "1"),
}


def _trees(table: pl.DataFrame, schema: Schema) -> ScoringModel:
    """Boosted trees compiled, and calibrated so that points are not just contributions."""
    import lightgbm

    encoder = Encoder.fit(table, schema, max_bins=40)
    matrix = encoder.matrix(encoder.encode(table))
    parameters = {"objective": "binary", "num_leaves": 8, "num_threads": 1, "verbose": -1, "seed": 1}
    data = lightgbm.Dataset(matrix, table[LEFT].to_numpy(), categorical_feature=list(encoder.categorical) or "auto")
    booster = lightgbm.train(parameters, data, 40)
    return ScoringModel.build(
        schema, encoder, from_lightgbm(booster, encoder), table, calibrator=Calibrator("beta", 1.1, 0.9, 0.1)
    )


def _forest(table: pl.DataFrame, schema: Schema) -> EstimatorModel:
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    numbers, levels = [one.name for one in schema.numbers], [one.name for one in schema.categories]
    columns = make_column_transformer((SimpleImputer(), numbers), (OneHotEncoder(handle_unknown="ignore"), levels))
    forest = RandomForestClassifier(10, max_leaf_nodes=12, random_state=0)
    trained = make_pipeline(columns, forest).fit(table.select(schema.names).to_pandas(), table[LEFT].to_numpy())
    schema = schema.model_copy(update={"target": schema.target.model_copy(update={"positive": "1"})})
    return EstimatorModel.build(schema, skops_file.dump(trained), table.head(400))


@pytest.mark.realdata
@pytest.mark.parametrize("name", _REAL)
def test_differences_of_cohorts_add_up_on_real_tables(name: str, real_table: Callable[[str], Path], open_scored: Open) -> None:
    key, target, positive = _REAL[name]
    raw = read_table(real_table(name))
    schema = infer(raw, key=key, target=target, positive=positive).schema
    table = conform(raw, schema, target=True)
    models: tuple[tuple[RiskModel, dict[str, int]], ...] = (
        (_trees(table, schema), {}),
        (_forest(table, schema), {"slow_reasons": 20, "slow_sample": 600}),
    )
    for model, slow in models:
        scored = score(table, model, 3, **slow)
        base = open_scored(scored, model.schema)
        assert (base.sampled is None) == model.quick
        checked = 0
        for column in (*schema.segments, schema.names[-1]):
            labels = [label for label in base.groups(column) if label not in ("Other", "Not known")]
            for left, right in itertools.pairwise(labels):
                filters = [Filter.of({column: [label]}) for label in (left, right)]
                found = explain.gap(base, filters[0], filters[1], (left, right))
                if found is None:
                    continue
                assert sum(row.signed for row in found.rows) == pytest.approx(found.change, abs=1e-12)
                for side, filter in zip((found.left, found.right), filters, strict=True):
                    assert scored.points is not None
                    group = base.group(column, filter.labels(column)[0])
                    inside = scored.rows.select(group.expression(column)).to_series()
                    rows = scored.rows.filter(inside if model.quick else inside & scored.points["__sample__"])
                    assert side.counted == rows.height
                    assert side.average_risk == pytest.approx(rows[RISK].mean(), abs=1e-12)
                checked += 1
        assert checked >= 3
        whole = explain.what_matters(base)
        assert whole is not None
        assert sum(row.signed for row in whole.rows) == pytest.approx(whole.average_risk - model.typical_risk, abs=1e-12)
        if model.quick:
            sizes = dict(zip(schema.names, np.abs(model.explain(table).points).mean(axis=0), strict=True))
            assert {row.id: row.size for row in whole.rows} == pytest.approx(sizes, abs=1e-4)
        else:  # the sample says of the whole what it says it does: four standard errors
            assert whole.counted == 600
            risk = scored.rows[RISK]
            assert abs(whole.average_risk - risk.mean()) < 4 * risk.std() / 600**0.5
            assert 0 < whole.error < 0.02


@pytest.mark.realdata
def test_pairs_of_a_real_table_are_those_of_its_model(real_table: Callable[[str], Path]) -> None:
    """On Telco the strongest pairs hold their place in a sample, and none is more than both its columns."""
    key, target, positive = _REAL["WA_Fn-UseC_-Telco-Customer-Churn.csv"]
    raw = read_table(real_table("WA_Fn-UseC_-Telco-Customer-Churn.csv"))
    schema = infer(raw, key=key, target=target, positive=positive).schema
    table = conform(raw, schema, target=True)
    model = _trees(table, schema)
    found = Interactions.of(model, table.head(0))
    assert found.exact
    points = model.explain(table).points
    together = found.points(table)
    main = points.copy()
    for (i, j), own in zip(found.pairs, together, strict=True):
        main[:, i] -= own / 2
        main[:, j] -= own / 2
    total = main.sum(axis=1) + together.sum(axis=0) + model.typical_risk
    np.testing.assert_allclose(total, model.score(table).risk, atol=1e-12)

"""Any scikit-learn classifier as a model: risks as the estimator gives them, reasons that add up and are the true ones."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.data.schema import Schema
from churn.errors import BundleRejected, DataError, SchemaError
from churn.model import bundle, skops_file
from churn.model.calibration import Calibrator
from churn.model.estimator import BACKGROUND, MODEL, RECIPE, TRUSTED, EstimatorModel
from churn.model.scoring import ScoringModel

from .model_samples import SCHEMA, customers, outcome

NUMBERS, LEVELS = ["tenure", "bill", "calls"], ["plan", "paperless"]
TRAIN = customers(600, 0)
# what training never saw among them: missing values, new levels, and nothing but missing values
ROWS = pl.concat(
    [customers(40, 1, 0.2, unseen=True), TRAIN.head(1).select(pl.lit(None, t).alias(c) for c, t in TRAIN.schema.items())]
)
Frame = Any


def frame(table: pl.DataFrame, text: str = "str") -> Frame:
    """The table as somebody who trains a model with pandas has it, columns in an order of their own."""
    data = table.to_pandas()[NUMBERS + LEVELS]
    return data.astype(dict.fromkeys(LEVELS, text))


@cache
def fitted(kind: str) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
    )
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    def onehot(*numbers: Any) -> Any:
        steps = make_pipeline(SimpleImputer(add_indicator=True), *numbers)
        return make_column_transformer((steps, NUMBERS), (OneHotEncoder(handle_unknown="ignore"), LEVELS))

    ordinal = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), LEVELS), remainder="passthrough"
    )
    hist = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    models = {
        "forest": make_pipeline(onehot(), RandomForestClassifier(20, random_state=0, min_samples_leaf=3)),
        "extra trees": make_pipeline(onehot(), ExtraTreesClassifier(10, random_state=0, min_samples_leaf=3)),
        "tree": make_pipeline(ordinal, DecisionTreeClassifier(random_state=0, min_samples_leaf=9)),
        "boosting": make_pipeline(onehot(), GradientBoostingClassifier(n_estimators=20, random_state=0)),
        "native categories": hist,
        "categories by place": make_pipeline(
            ordinal, HistGradientBoostingClassifier(max_iter=30, categorical_features=[0, 1], random_state=0)
        ),
        "calibrated": CalibratedClassifierCV(make_pipeline(ordinal, hist), cv=2),
        "linear": make_pipeline(onehot(StandardScaler()), LogisticRegression()),
        "mixing": make_pipeline(ordinal, SimpleImputer(), _components(), RandomForestClassifier(10, random_state=0)),
    }
    y = np.where(outcome(TRAIN) == 1, "Yes", "No")
    return models[kind].fit(frame(TRAIN, "category" if kind == "native categories" else "str"), y)


def _components() -> Any:
    from sklearn.decomposition import PCA

    return PCA(4, random_state=0)


KINDS = (
    *("forest", "extra trees", "tree", "boosting", "native categories", "categories by place"),
    *("calibrated", "linear", "mixing"),
)


@cache
def model(kind: str) -> EstimatorModel:
    return EstimatorModel.build(SCHEMA, skops_file.dump(fitted(kind)), TRAIN)


def probability(kind: str, table: pl.DataFrame) -> np.ndarray:
    """What the estimator itself says, asked without any of our code."""
    estimator = fitted(kind)
    return estimator.predict_proba(frame(table))[:, list(estimator.classes_).index("Yes")]


def brute_force(of: EstimatorModel, row: pl.DataFrame) -> np.ndarray:
    """Shapley values [features] of f by their definition: every coalition, every background row, asked of scikit-learn."""
    estimator, names = skops_file.load(of.stored), SCHEMA.names
    worth = {}
    for size in range(len(names) + 1):
        for members in combinations(range(len(names)), size):
            mixed = of.background.with_columns(row[names[j]].new_from_index(0, of.background.height) for j in members)
            given = frame(mixed)
            if of.recipe.space == "margin":
                f = estimator.decision_function(given)
            else:
                f = estimator.predict_proba(given)[:, 1]
            worth[members] = f.mean()
    values = np.zeros(len(names))
    for j in range(len(names)):
        for members, value in worth.items():
            if j not in members:
                share = 1 / (len(names) * comb(len(names) - 1, len(members)))
                values[j] += share * (worth[tuple(sorted((*members, j)))] - value)
    return values


# -- risks and reasons -------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_risks_are_the_estimators_own(kind: str) -> None:
    np.testing.assert_allclose(model(kind).score(ROWS).risk, probability(kind, ROWS), atol=1e-12)
    assert model(kind).score(ROWS.clear()).risk.shape == (0,)


CALIBRATORS = (Calibrator(), Calibrator("logistic", a=0.8, c=-0.3), Calibrator("beta", a=0.9, b=1.2, c=0.1))


@pytest.mark.parametrize("calibrator", CALIBRATORS, ids=lambda one: one.kind)
@pytest.mark.parametrize("kind", KINDS)
def test_reasons_add_up_to_the_risk(kind: str, calibrator: Calibrator) -> None:
    calibrated = replace(model(kind), calibrator=calibrator)
    said = calibrated.explain(ROWS)
    assert np.abs(said.typical_risk + said.points.sum(axis=1) - said.risk).max() <= 1e-9
    np.testing.assert_allclose(said.risk, calibrated.score(ROWS).risk, atol=1e-12)
    top = calibrated.top_reasons(ROWS, 2)
    assert (top.feature[:, 0] == np.abs(said.points).argmax(axis=1)).all()
    np.testing.assert_allclose(
        top.points[:, 0], np.take_along_axis(said.points, top.feature[:, :1].astype(int), 1)[:, 0], atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_reasons_are_shapley_values_of_the_tables_columns(kind: str) -> None:
    of = model(kind)
    small = replace(of, background=of.background[:15], margins=of.margins[:15])
    rows = ROWS[[0, 1, ROWS.height - 1]]
    said = small.explain(rows)
    for i in range(rows.height):
        values = brute_force(small, rows[i])
        assert values.sum() == pytest.approx(said.margin[i] - small.typical_margin, abs=1e-9)
        scale = (said.risk[i] - small.typical_risk) / (said.margin[i] - small.typical_margin)
        np.testing.assert_allclose(said.points[i], values * scale, atol=1e-9)


def test_how_reasons_are_found_fits_the_estimator() -> None:
    by_trees = KINDS[:6]
    assert [model(kind).recipe.how for kind in KINDS] == ["trees"] * len(by_trees) + ["coalitions"] * 3
    assert [model(kind).recipe.space for kind in ("forest", "boosting", "native categories", "linear")] == [
        *("probability", "margin", "margin", "margin")
    ]
    assert model("forest").background.height == 256
    assert "exact Shapley values" in model("forest").reasons_words
    assert not model("forest").quick


def test_gradient_boosting_says_the_same_as_its_tables() -> None:
    """Two ways that share no code: the trees compiled into tables, and the trained trees themselves."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    from churn.model.encoder import Encoder
    from churn.model.trees import from_gradient_boosting

    train, rows = customers(400, 3, 0.0), customers(50, 4, 0.0)
    encoder = Encoder.fit(train, SCHEMA, max_bins=60)
    matrix = encoder.onehot(encoder.encode(train))
    trained = GradientBoostingClassifier(n_estimators=30, max_depth=3, random_state=0).fit(matrix, outcome(train))
    compiled = ScoringModel.build(SCHEMA, encoder, from_gradient_boosting(trained, encoder), train).explain(rows)

    def coded(table: pl.DataFrame) -> pl.DataFrame:
        """Numbers as their codes, which are what the trees were trained on."""
        codes = encoder.encode(table).codes.astype(float)
        return table.with_columns(pl.Series(name, codes[encoder.names.index(name)]) for name in NUMBERS)

    def column(name: str) -> Any:
        levels = [level.value for level in SCHEMA.feature(name).levels]
        return OneHotEncoder(categories=[np.array([*levels, np.nan], dtype=object)], handle_unknown="ignore"), [name]

    columns = make_column_transformer(*(("passthrough", [n]) if n in NUMBERS else column(n) for n in SCHEMA.names))
    np.testing.assert_array_equal(columns.set_output(transform="default").fit_transform(frame(coded(train))), matrix)
    pipeline = Pipeline([("columns", columns), ("trees", trained)])
    live = EstimatorModel.build(SCHEMA, skops_file.dump(pipeline), coded(train))
    everybody = replace(live, background=coded(train), margins=live.score(coded(train)).margin)
    said = everybody.explain(coded(rows))
    assert live.recipe.how == "trees"
    np.testing.assert_allclose(said.risk, compiled.risk, atol=1e-9)
    np.testing.assert_allclose(said.points, compiled.points, atol=1e-9)


def test_many_columns_are_estimated_with_a_stated_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from churn.model import _orders

    exact = model("calibrated")
    monkeypatch.setattr(_orders, "EXACT_UP_TO", 2)
    estimated = EstimatorModel.build(SCHEMA, exact.stored, TRAIN)
    assert estimated.recipe.how == "orders"
    assert 0 < estimated.sampling_error < 0.02
    assert "random orders" in estimated.reasons_words
    said, again = estimated.explain(ROWS), estimated.explain(ROWS[5:10])
    assert np.abs(said.typical_risk + said.points.sum(axis=1) - said.risk).max() <= 1e-9
    np.testing.assert_array_equal(said.points[5:10], again.points)  # the same customer always gets the same reasons
    apart = said.points - exact.explain(ROWS).points
    assert np.abs(apart).max() < 8 * estimated.sampling_error
    assert np.sqrt((apart**2).mean()) < 2 * estimated.sampling_error


def test_one_customer_gets_what_the_table_gets() -> None:
    for kind in ("forest", "native categories", "calibrated"):
        said = model(kind).explain(ROWS)
        for i in (0, 7, ROWS.height - 1):
            one = model(kind).explain_row(ROWS.row(i, named=True))
            assert one.risk == pytest.approx(said.risk[i], abs=1e-12)
            np.testing.assert_allclose(one.points, said.points[i], atol=1e-12)
            assert model(kind).explain_row(ROWS.row(i, named=True)) is one


def test_the_typical_customer_is_near_the_reference() -> None:
    of = model("forest")
    assert of.typical_margin == pytest.approx(of.score(TRAIN).margin.mean(), abs=0.003)
    assert of.typical_margin == pytest.approx(of.margins.mean())


# -- getting to know an estimator -----------------------------------------------------


def numeric_levels() -> tuple[Schema, pl.DataFrame, np.ndarray]:
    """A flag spelt 0 and 1, which pandas reads as a number."""
    document = SCHEMA.model_dump()
    document["features"][3]["levels"] = [{"value": "0"}, {"value": "1"}]
    table = TRAIN.with_columns(pl.col("paperless").replace({"No": "0", "Yes": "1"}))
    y = (table["paperless"].to_numpy() == "1") ^ (np.random.default_rng(0).random(table.height) < 0.1)
    return Schema.model_validate(document), table, y.astype(int)


@pytest.mark.parametrize("as_numbers", [True, False])
def test_levels_go_in_as_the_estimator_knows_them(as_numbers: bool) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    schema, table, y = numeric_levels()
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["paperless"]), ("passthrough", ["tenure"]))
    given = table.to_pandas()[["tenure", "paperless"]]
    if as_numbers:
        given["paperless"] = given["paperless"].astype(int)
    trained = make_pipeline(columns, RandomForestClassifier(10, max_depth=3, random_state=0)).fit(given, y)
    of = EstimatorModel.build(schema, skops_file.dump(trained), table)
    assert of.recipe.numbers is as_numbers
    np.testing.assert_allclose(of.score(table).risk, trained.predict_proba(given)[:, 1], atol=1e-12)
    assert of.idle_columns(table) == ()
    points = of.explain(table.head(5)).points
    assert not points[:, [SCHEMA.names.index(name) for name in ("plan", "bill", "calls")]].any()  # it does not take them


@pytest.mark.parametrize("text", ["str", "category"])
def test_what_the_schema_calls_missing_goes_in_as_the_level_it_was_in_training(text: str) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    schema = SCHEMA.model_copy(update={"missing": ("n/a", "Unknown")})
    raw = frame(TRAIN)[LEVELS].fillna("Unknown")
    y = outcome(TRAIN) | (raw["plan"] == "Unknown").to_numpy()
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), LEVELS))
    kinds = {"str": make_pipeline(columns, LogisticRegression()), "category": HistGradientBoostingClassifier(max_iter=20)}
    trained = kinds[text].fit(raw.astype(dict.fromkeys(LEVELS, text)), y)
    of = EstimatorModel.build(schema, skops_file.dump(trained), TRAIN)
    assert of.recipe.missing == (("plan", "Unknown"),)
    np.testing.assert_allclose(of.score(TRAIN).risk, trained.predict_proba(raw)[:, 1], atol=1e-12)
    assert model("forest").recipe.missing == ()  # it knows missing values


def test_lightgbm_gets_pandas_categories() -> None:
    import lightgbm

    given = frame(TRAIN, "category")
    trained = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1).fit(given, outcome(TRAIN))
    of = EstimatorModel.build(SCHEMA, skops_file.dump(trained), TRAIN)
    assert of.recipe.text == "category"
    np.testing.assert_allclose(of.score(TRAIN).risk, trained.predict_proba(given)[:, 1], atol=1e-12)
    said = of.explain(ROWS)
    assert np.abs(said.typical_risk + said.points.sum(axis=1) - said.risk).max() <= 1e-9


@pytest.mark.parametrize(
    ("classes", "positive", "place"),
    [
        (("No", "Yes"), "Yes", 1),
        (("Attrited", "Existing"), "Attrited", 0),
        ((0, 1), "Yes", 1),
        ((0, 1), "1", 1),
        ((0.0, 1.0), "0", 0),
        ((False, True), "churned", 1),
        (("1", "2"), "2", 1),
    ],
)
def test_the_class_that_means_leaving_is_found(classes: tuple[Any, Any], positive: str, place: int) -> None:
    from sklearn.ensemble import RandomForestClassifier

    schema = SCHEMA.model_copy(update={"target": SCHEMA.target.model_copy(update={"positive": positive})})
    left = outcome(TRAIN)
    y = np.array(classes)[left if place else 1 - left]
    given = frame(TRAIN)[["calls"]]
    trained = RandomForestClassifier(5, random_state=0).fit(given, y)
    of = EstimatorModel.build(schema, skops_file.dump(trained), TRAIN)
    np.testing.assert_allclose(of.score(TRAIN).risk, trained.predict_proba(given)[:, place])


def test_a_model_without_column_names_takes_the_schemas_order() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    schema = SCHEMA.model_copy(update={"features": SCHEMA.numbers})
    matrix = TRAIN.select(schema.names).to_numpy()
    trained = HistGradientBoostingClassifier(max_iter=10).fit(matrix, outcome(TRAIN))
    of = EstimatorModel.build(schema, skops_file.dump(trained), TRAIN)
    np.testing.assert_allclose(of.score(TRAIN).risk, trained.predict_proba(matrix)[:, 1], atol=1e-12)
    assert of.recipe.how == "trees"
    with pytest.raises(SchemaError, match="fitted without column names, on 3 columns; schema 'Customers' has 5 features"):
        EstimatorModel.build(SCHEMA, skops_file.dump(trained), TRAIN)


def test_models_that_do_not_fit_are_refused() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import RidgeClassifier

    given, y = frame(TRAIN)[["calls"]], outcome(TRAIN)
    forest = RandomForestClassifier(2)
    cases: list[tuple[Any, type[Exception], str]] = [
        (
            RidgeClassifier().fit(given, y),
            BundleRejected,
            r"must give probabilities \(predict_proba\); a RidgeClassifier does not",
        ),
        (forest.fit(given.rename(columns={"calls": "id"}), y), SchemaError, "takes column 'id', which is no feature"),
        (RandomForestClassifier(2).fit(given, np.arange(600) % 3), BundleRejected, "two classes apart; it knows 3"),
        (RandomForestClassifier(2).fit(given, np.where(y, "gone", "here")), SchemaError, "'gone' and 'here'; one must be 'Yes'"),
        (
            RandomForestClassifier(2).fit(frame(TRAIN)[["calls"]].rename(columns={"calls": "plan"}), y),
            BundleRejected,
            "cannot score",
        ),
    ]
    for trained, error, words in cases:
        with pytest.raises(error, match=words):
            EstimatorModel.build(SCHEMA, skops_file.dump(trained), TRAIN)


def test_what_an_estimator_does_not_take_is_known_beforehand() -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    full = TRAIN.drop_nulls()
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), ("passthrough", ["calls"]))
    trained = make_pipeline(columns, LogisticRegression()).fit(frame(full)[["plan", "calls"]], outcome(full))
    of = EstimatorModel.build(SCHEMA, skops_file.dump(trained), full)
    assert of.refused_columns(full) == (("plan", "calls"), ("plan",))
    for table in (full.with_columns(plan=pl.lit("new")), full.with_columns(calls=pl.lit(None, pl.Float64))):
        with pytest.raises(DataError, match="the model does not take these rows: "):
            of.score(table)
    with pytest.raises(DataError, match="column 'plan' is needed by the model"):
        of.score(full.drop("plan"))


def test_a_column_spelt_otherwise_makes_no_difference_and_that_is_told() -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["plan"]), ("passthrough", ["calls"]))
    full = TRAIN.drop_nulls()
    lower = frame(full)[["plan", "calls"]].assign(plan=lambda given: given["plan"].str.lower())
    trained = make_pipeline(columns, LogisticRegression()).fit(lower, outcome(full))
    of = EstimatorModel.build(SCHEMA, skops_file.dump(trained), full)
    assert of.idle_columns(full) == ("plan",)


# -- bundles -------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[EstimatorModel], Path]:
    def save(of: EstimatorModel) -> Path:
        folder = tmp_path / "bundle"
        reference = TRAIN.head(50)
        bundle.save(folder, of, metrics={}, leaderboard=[], card="", reference=reference, simulated=False)
        return folder

    return save


@pytest.mark.parametrize("kind", ["forest", "native categories", "calibrated"])
def test_a_bundle_comes_back_as_it_was(kind: str, saved: Callable[[EstimatorModel], Path]) -> None:
    of = replace(model(kind), calibrator=Calibrator("logistic", a=0.9, c=0.1))
    loaded = bundle.load(saved(of))
    assert loaded.manifest["model_kind"] == "estimator"
    assert isinstance(loaded.model, EstimatorModel)
    assert (loaded.model.recipe, loaded.model.versions) == (of.recipe, of.versions)
    before, after = of.explain(ROWS), loaded.model.explain(ROWS)
    np.testing.assert_allclose(after.risk, before.risk, atol=1e-12)
    np.testing.assert_allclose(after.points, before.points, atol=1e-12)


def test_reading_a_bundle_loads_nothing_until_a_score_is_asked_for(saved: Callable[[EstimatorModel], Path]) -> None:
    folder = saved(model("forest"))
    code = f"""
import sys
from pathlib import Path
from churn.model import bundle
model = bundle.load(Path({str(folder)!r})).model
print(model.typical_risk, model.sampling_error, model.reasons_words)
heavy = {{"sklearn", "scipy", "skops", "pandas", "numba", "lightgbm", "shap"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
model.explain_row({{"plan": "A", "calls": 2.0}})
assert "sklearn" in sys.modules and "shap" not in sys.modules and "lightgbm" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def reseal(folder: Path) -> None:
    from churn.model import manifest

    before = manifest.parse((folder / "manifest.json").read_bytes(), "")
    given = {name: before[name] for name in ("simulated", "schema_hash", "model_kind")}
    manifest.seal(folder, kind="model", **given)


@pytest.mark.parametrize("name", [MODEL, TRUSTED, RECIPE, BACKGROUND, "calibrator.json"])
def test_an_altered_file_is_refused(name: str, saved: Callable[[EstimatorModel], Path]) -> None:
    folder = saved(model("tree"))
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleRejected, match=rf"{name} was altered"):
        bundle.load(folder)


@pytest.mark.parametrize("content", [b"", b"\x80nonsense", b"[]", b"{}", b"null", b"PAR1"])
@pytest.mark.parametrize("name", [MODEL, TRUSTED, RECIPE, BACKGROUND])
def test_nonsense_under_right_sums_is_refused_by_name(name: str, content: bytes, saved: Callable[[EstimatorModel], Path]) -> None:
    folder = saved(model("tree"))
    (folder / name).write_bytes(content)
    reseal(folder)
    with pytest.raises(BundleRejected, match=name):
        bundle.load(folder)


def test_a_model_of_types_nobody_listed_is_refused(saved: Callable[[EstimatorModel], Path]) -> None:
    """Whoever can write to the store, sums and all, cannot make the desk load more than `ALLOWED`."""
    import os

    import skops.io
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    folder = saved(model("tree"))
    data = skops.io.dumps(make_pipeline(FunctionTransformer(os.system), fitted("tree")))
    (folder / MODEL).write_bytes(data)
    reseal(folder)
    with pytest.raises(BundleRejected, match=rf"{MODEL} holds types that {TRUSTED} does not list: .*posix\.system"):
        bundle.load(folder)
    listed = (folder / TRUSTED).read_text().replace('"types": [', '"types": ["posix.system", "builtins.function", ')
    every = "".join(f'"{name}", ' for name in skops_file.listed(data))
    (folder / TRUSTED).write_text(listed.replace('"types": [', f'"types": [{every}'))
    reseal(folder)
    loaded = bundle.load(folder)
    with pytest.raises(BundleRejected, match=r"not on the list of those that may be loaded: posix\.system"):
        loaded.model.score(ROWS)


def test_a_model_that_predicts_otherwise_than_where_it_was_made_is_refused(saved: Callable[[EstimatorModel], Path]) -> None:
    folder = saved(model("tree"))
    rows = pl.read_parquet(io.BytesIO((folder / BACKGROUND).read_bytes()))
    rows.with_columns(pl.col("__margin__") + 1e-3).write_parquet(folder / BACKGROUND)
    (folder / TRUSTED).write_text((folder / TRUSTED).read_text().replace('"scikit-learn": "', '"scikit-learn": "0.'))
    reseal(folder)
    loaded = bundle.load(folder)
    with pytest.raises(BundleRejected, match=r"predicts otherwise here .*by 0\.001\); it was made with scikit-learn 0\.1"):
        loaded.model.explain_row(ROWS.row(0, named=True))


def test_a_bundle_of_a_kind_of_model_nobody_knows_is_refused(saved: Callable[[EstimatorModel], Path]) -> None:
    from churn.model import manifest

    folder = saved(model("tree"))
    before = manifest.parse((folder / "manifest.json").read_bytes(), "")
    manifest.seal(folder, kind="model", simulated=False, schema_hash=before["schema_hash"], model_kind="oracle")
    with pytest.raises(BundleRejected, match="kind of model 'oracle' is not known; this version knows tables and estimator"):
        bundle.load(folder)


# -- real tables -----------------------------------------------------------------------


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "key", "target", "positive"),
    [
        ("WA_Fn-UseC_-Telco-Customer-Churn.csv", "customerID", "Churn", "Yes"),
        ("BankChurners.csv", "CLIENTNUM", "Attrition_Flag", "Attrited Customer"),
        ("Churn_Modelling.csv", "CustomerId", "Exited", "1"),
    ],
)
def test_real_tables_reconcile(real_table: Callable[[str], Path], name: str, key: str, target: str, positive: str) -> None:
    """Trained with pandas on the file as it lies there, scored and explained through the schema, odd rows too."""
    import pandas as pd
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    from churn.data.infer import infer
    from churn.data.quality import conform
    from churn.data.source import read_table
    from churn.learn._run import distorted

    raw = read_table(real_table(name))
    schema = infer(raw, key=key, target=target, positive=positive).schema
    table = conform(raw, schema, target=True)
    given = pd.read_csv(real_table(name), na_values=[" "])[[*schema.names, target]]
    y = given.pop(target)
    texts = make_column_selector(dtype_include="str")
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), texts), remainder=SimpleImputer())
    forest = RandomForestClassifier(20, min_samples_leaf=10, random_state=0)
    hist = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    categories = given.astype(dict.fromkeys(texts(given), "category"))
    models = (
        (make_pipeline(columns, forest), given),
        (hist, categories),
        (CalibratedClassifierCV(make_pipeline(columns, forest), cv=2), given),
    )
    few = pl.concat([table.head(50).select(schema.names), distorted(table, schema, 0, 20)])
    for trained, rows in models:
        of = EstimatorModel.build(schema, skops_file.dump(trained.fit(rows, y)), table)
        expected = trained.predict_proba(rows)[:, [str(one) for one in trained.classes_].index(positive)]
        np.testing.assert_allclose(of.score(table).risk, expected, atol=1e-9)
        said = of.explain(few)
        assert np.abs(said.typical_risk + said.points.sum(axis=1) - said.risk).max() <= 1e-6

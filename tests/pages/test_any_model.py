"""The pages with a champion that is a scikit-learn estimator: they do not know the difference."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from churn import words
from churn.base.snapshot import RISK, SAMPLED
from churn.data.schema import Schema
from churn.errors import BundleRejected
from churn.model import bundle, skops_file
from churn.model.estimator import EstimatorModel
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.score.batch import score
from churn.score.publish import publish
from churn.settings import Settings
from pages.shared import data

from .page_bases import DOCUMENT, REPOSITORY, customers, environment, small_model

KEY = "C*0011_"
EXPLAINED = 40  # customers who got reasons in the scoring
KINDS = ("forest", "native categories", "calibrated")
Run = Callable[..., AppTest]


@cache
def model(kind: str) -> EstimatorModel:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    schema = Schema.model_validate(DOCUMENT)
    table = customers(400, seed=9)
    y = np.random.default_rng(1).random(400) < small_model(schema).score(table).risk
    numbers = [feature.name for feature in schema.numbers]
    levels = [feature.name for feature in schema.categories]
    given = table.to_pandas()[[*numbers, *levels]]
    columns = make_column_transformer((SimpleImputer(), numbers), (OneHotEncoder(handle_unknown="ignore"), levels))
    forest = make_pipeline(columns, RandomForestClassifier(20, min_samples_leaf=5, random_state=0))
    trained = {
        "forest": lambda: forest.fit(given, y),
        "native categories": lambda: HistGradientBoostingClassifier(max_iter=20).fit(
            given.astype(dict.fromkeys(levels, "category")), y
        ),
        "calibrated": lambda: CalibratedClassifierCV(forest, cv=2).fit(given, y),
    }[kind]()
    return EstimatorModel.build(schema, skops_file.dump(trained), table)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def home(kind: str, tmp_path: Path) -> Path:
    """A workspace with 200 customers scored by the estimator, the riskiest of them with reasons."""
    settings = Settings.load(home=tmp_path, environ={})
    store = open_store(settings)
    registry = Registry(store, settings)
    made = model(kind)
    reference = customers(300, seed=9).select(made.schema.names)
    bundle.save(
        tmp_path / "bundle", made, metrics={"kind": "Forest"}, leaderboard=[], card="# Card", reference=reference, simulated=False
    )
    published = registry.load_model(registry.publish_model(tmp_path / "bundle"))
    scored = score(customers(200, seed=1), published.model, slow_reasons=EXPLAINED)
    assert scored.explained == EXPLAINED
    publish(scored, published, registry, store, as_of=date.today(), who="test", action="promote")
    return tmp_path


def row(key: str) -> dict[str, Any]:
    table = customers(200, seed=1)
    return table.row(table["customer"].to_list().index(key), named=True)


def test_every_page_is_drawn(home: Path, run_page: Run) -> None:
    for page in (
        "understand/overview.py",
        "understand/cohorts.py",
        "understand/explain.py",
        "act/customer.py",
        "watch/drift.py",
        "watch/performance.py",
        "watch/champion.py",
    ):
        app = run_page(home, f"pages/{page}")
        assert not app.exception, page
        assert not app.error, page


def test_explain_speaks_from_a_sample_and_says_how_well(tmp_path: Path, run_page: Run) -> None:
    settings = Settings.load(home=tmp_path, environ={})
    store = open_store(settings)
    registry = Registry(store, settings)
    made = model("forest")
    reference = customers(300, seed=9).select(made.schema.names)
    given = {"metrics": {"kind": "Forest"}, "leaderboard": [], "card": "# Card", "simulated": False}
    bundle.save(tmp_path / "bundle", made, reference=reference, **given)
    published = registry.load_model(registry.publish_model(tmp_path / "bundle"))
    scored = score(customers(400, seed=1), published.model, slow_reasons=EXPLAINED, slow_sample=120)
    publish(scored, published, registry, store, as_of=date.today(), who="test", action="promote")
    app = run_page(tmp_path, "pages/understand/explain.py")
    assert not app.exception
    text = " ".join(one.value for one in (*app.title, *app.markdown, *app.caption)).replace("\\", "")
    assert "matter most" in text
    assert "Made from a sample of 120 customers chosen at random" in text
    assert re.search(r"may likely be off by ±[\d.]+ points \(8 times in 10\)", text)
    assert "only models made of tables can tell" in text
    sampled = scored.rows[RISK].filter(scored.points[SAMPLED])
    assert (
        f"the average of these is {words.average(scored.rows[RISK].mean())}, of the sample {words.average(sampled.mean())}"
        in text
    )


def test_a_customers_reasons_add_up_and_follow_edits(home: Path, kind: str, run_page: Run) -> None:
    app = run_page(home, "pages/act/customer.py", session={"_customer": KEY, "_facts": True})
    assert not app.exception
    points = next(table.value for table in app.dataframe if "Fact" in table.value)["Points"].str.replace("−", "-").astype(int)
    expected = model(kind).explain_row(row(KEY))
    assert words.whole_percent(model(kind).typical_risk) + points.sum() == words.whole_percent(expected.risk)
    assert words.percent(expected.risk) in app.title[0].value
    widget = next(one for one in (*app.button_group, *app.selectbox) if one.key == "_edit contract")
    widget.set_value("Two years").run()
    assert not app.exception
    after = model(kind).explain_row({**row(KEY), "contract": "Two years"}).risk
    assert app.metric[0].value.lower() == words.percent(after)


@pytest.mark.parametrize("kind", ["forest"], indirect=True)
def test_the_app_loads_no_more_than_the_estimator_needs(home: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from pages.shared import data
data.desk().warm()
assert data.desk().pair is not None, data.desk().failure
assert "sklearn" in sys.modules
assert not {{"lightgbm", "shap", "catboost", "matplotlib", "optuna"}} & set(sys.modules)
data.desk().stop()
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(home), cwd=home)


@pytest.mark.parametrize("kind", ["forest"], indirect=True)
def test_an_estimator_that_cannot_be_loaded_here_is_not_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes) -> Any:
        raise BundleRejected("model.skops cannot be loaded")

    monkeypatch.setattr(skops_file, "load", refuse)
    desk = data.Desk(Settings.load(home=home, environ={}))
    desk.look()
    assert desk.pair is None
    assert desk.failure is not None
    assert "model.skops cannot be loaded" in desk.failure.message

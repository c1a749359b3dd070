"""Champion: what it has shown, why it was chosen, what else there is, and the command that changes it."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn import words
from churn.data.schema import Schema
from churn.learn.evaluation import evaluate_holdout
from churn.model import bundle
from churn.model.bundle import Bundle
from churn.model.metrics import Metrics
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.settings import Settings

from .page_bases import BASES, DOCUMENT, customers, publish_model, publish_scoring, raw_names, small_model

Run = Callable[..., AppTest]
PAGE = "pages/watch/champion.py"
CARD = "# Title\n\n## The model\n- Learnt from `tenure_m`, costs $5 and $6, see [here](http://evil.example) :red[now]\n"


def texts(app: AppTest) -> str:
    elements = (*app.title, *app.caption, *app.markdown, *app.info, *app.warning, *app.error)
    return "\n".join(element.value for element in elements).replace("\\", "")


def measured() -> tuple[Metrics, pl.DataFrame]:
    """What the small model shows on customers whose outcomes are drawn from its own risks."""
    schema = Schema.model_validate(DOCUMENT)
    table = customers(1500, seed=4)
    risk = small_model(schema).score(table).risk
    left = (np.random.default_rng(5).random(table.height) < risk).astype(np.int8)
    return evaluate_holdout(left.astype(float), risk), table.select(schema.names).with_columns(pl.Series("__left__", left))


def publish_measured(home: Path, **metrics: Any) -> Bundle:
    """Put the small model with holdout, leaderboard and card in the store."""
    settings = Settings.load(home=home, environ={})
    registry = Registry(open_store(settings), settings)
    schema = Schema.model_validate(DOCUMENT)
    shown, rows = measured()
    file = io.BytesIO()
    rows.write_parquet(file)
    estimates = {name: {"value": shown[name].value} for name in ("roc_auc", "log_loss")}
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    behind = {"value": 0.004, "low": -0.001, "high": 0.009}
    folder = home / f"measured-{len(registry.versions())}"
    bundle.save(
        folder,
        small_model(schema),
        metrics={"kind": "Logistic regression", "saved": "logistic-regression", "rows": 6000, "holdout": shown.to_dict()}
        | metrics,
        leaderboard=[
            {"key": "a", "name": "One <b>kind</b>", "compiles": True, "saved": True, "measures": estimates, "behind": nothing},
            {"key": "b", "name": "Another", "compiles": False, "saved": False, "measures": estimates, "behind": behind},
        ],
        card=CARD,
        reference=customers(300, seed=9).select(schema.names),
        simulated=False,
        extra={bundle.HOLDOUT: file.getvalue()},
    )
    return registry.load_model(registry.publish_model(folder))


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A workspace whose second measured model is in use."""
    publish_scoring(tmp_path, publish_measured(tmp_path), date.today())
    publish_scoring(tmp_path, publish_measured(tmp_path), date.today())
    return tmp_path


def test_title_checks_and_figures(two: Path, run_page: Run) -> None:
    app = run_page(two, PAGE)
    assert not app.exception
    shown, _ = measured()
    lift = words.times(shown.top_decile_lift.value).removesuffix("×")
    (title,) = [title.value.replace("\\", "") for title in app.title]
    assert re.fullmatch(rf"Model v2, in use since \d+ \w+, finds {lift} times more leavers in its top tenth than chance", title)
    text = texts(app)
    assert "A weighted sum of facts that learnt from 6,000 customers. Judged on 1,500 customers new to it" in text
    assert text.count(":blue[**✓**]") == 4
    assert "**It ranks well.**" in text
    assert "**It is no worse than v1.**" in text
    assert "**It is the best of 2 kinds tried.**" in text
    assert "churn promote v1" in app.code[0].value
    assert "shows model v1 as it was before" in app.code[0].value


def test_tables(two: Path, run_page: Run) -> None:
    tried, versions, compared, history = (table.value for table in run_page(two, PAGE).dataframe)
    assert tried["Kind of model"].tolist() == ["One <b>kind</b>", "Another"]
    assert tried["How sure"].tolist() == ["the best", "may be chance"]
    assert versions["Version"].tolist() == ["v2", "v1"]
    assert versions["Status"].tolist() == ["in use", "used before"]
    assert compared.columns.tolist() == ["", "v2", "v1", "Better"]
    assert set(compared["Better"].dropna()) == {"the same"}
    assert history["What"].tolist() == ["v2 in use", "v1 in use"]
    assert history["Who"].tolist() == ["test", "test"]


def test_gates_that_do_not_hold(tmp_path: Path, run_page: Run) -> None:
    (tmp_path / "config.yaml").write_text("gate_auc: 0.99\ngate_ece: 0.0001\n")
    publish_scoring(tmp_path, publish_measured(tmp_path), date.today())
    text = texts(run_page(tmp_path, PAGE))
    assert text.count(":orange[**✗**]") == 2
    assert "at least 99 are needed" in text
    assert "**It is the first.**" in text


def test_champion_without_metrics(tmp_path: Path, run_page: Run) -> None:
    publish_scoring(tmp_path, publish_model(tmp_path), date.today())
    app = run_page(tmp_path, PAGE)
    assert not app.exception
    assert app.title[0].value.endswith("how well it finds leavers was not measured")
    text = texts(app)
    assert ":orange[**✗**]" in text
    assert "**It was not put to the test.**" in text
    assert "No other kinds of model were trained with this version." in text
    assert "How soon it finds the leavers" not in [header.value for header in app.main.header]
    assert "churn train" in app.code[0].value


def test_judged_by_cross_validation_where_the_holdout_is_too_small(tmp_path: Path, run_page: Run) -> None:
    shown, _ = measured()
    publish_scoring(
        tmp_path,
        publish_measured(tmp_path, holdout=None, cross_validation=shown.to_dict() | {"where": "cross-validation"}),
        date.today(),
    )
    app = run_page(tmp_path, PAGE)
    assert not app.exception
    text = texts(app)
    assert "Too few customers were kept apart to judge it by; in cross-validation it picks the leaver" in text
    assert "**It was not put to the test.**" in text


def test_damaged_version_is_listed_with_its_problem(two: Path, run_page: Run) -> None:
    publish_measured(two)
    place = next(two.glob("models/*/models/v3/metrics.json"))
    place.write_text(place.read_text().replace("0.", "0.9", 1))
    app = run_page(two, PAGE)
    assert not app.exception
    assert app.dataframe[1].value["Status"].tolist() == ["damaged", "in use", "used before"]
    assert any("v3 cannot be used" in warning.value for warning in app.warning)
    assert "v3" not in app.selectbox(key="_compare").options


def test_model_before_it_is_gone(two: Path, run_page: Run) -> None:
    shutil.rmtree(next(two.glob("models/*/models/v1")))
    shutil.rmtree(two / ".cache")
    app = run_page(two, PAGE)
    assert not app.exception
    assert "**It cannot be held against v1 now.**" in texts(app)
    assert "**It ranks well.**" in texts(app)


def test_choosing_versions_to_compare(two: Path, run_page: Run) -> None:
    publish_scoring(two, publish_model(two), date.today())
    app = run_page(two, PAGE)
    assert app.selectbox(key="_compare").value == "v3"
    app.selectbox(key="_with").set_value("v1").run()
    assert app.dataframe[1].value.columns.tolist() == ["", "v3", "v1", "Better"]
    assert "v3 carries no figures to compare." in texts(app)
    assert "churn promote v1" in app.code[0].value
    app.selectbox(key="_with").set_value("v3").run()
    assert "Choose two different versions" in texts(app)


def test_card_is_shown_without_its_markup(two: Path, run_page: Run) -> None:
    app = run_page(two, PAGE, session={"_card": True})
    (card,) = [element.value for element in app.markdown if "The model" in element.value]
    assert card.startswith("### The model")
    assert "Learnt from Tenure" in card
    assert "\\$5 and \\$6" in card
    assert "](" not in card.replace("\\](", "")
    assert "http:" not in card


# -- in a browser --------------------------------------------------------------

Visit = Callable[..., Any]


@pytest.mark.browser
@pytest.mark.parametrize("home", BASES)
def test_cold_deep_link(home: str, base: Callable[[str], Path], serve: Visit, visit: Visit) -> None:
    app = serve(base(home), workspace="demo" if home == "demo" else "default")
    page = visit(f"{app.url}/champion")
    heading = page.get_by_role("heading", level=1)
    assert heading.count() == 1
    assert heading.inner_text().startswith("Model v")
    page.get_by_test_id("stSidebar").get_by_text("Champion").wait_for()
    if home != "small":  # which carries no figures
        page.locator(".js-plotly-plot .scatterlayer").nth(1).wait_for(state="attached")
        alt = page.locator("[role=figure]").evaluate_all("figures => figures.map(figure => figure.getAttribute('aria-label'))")
        assert [text.split(":")[0] for text in alt] == ["Gain curve", "Dots"]
    seen = page.get_by_test_id("stMain").inner_text()
    for raw in raw_names(base(home), home):  # the card names the columns left out too, which have no other name
        assert raw not in seen
    page.get_by_text("Model card").click()
    page.get_by_text("Card" if home == "small" else "What it is for").last.wait_for()
    main = page.get_by_test_id("stMain").inner_text()
    assert ("Simulated data" in main) is (home == "demo")
    for careless in ("None", "nan", "NaN", "undefined"):
        assert careless not in main
    assert page.get_by_test_id("stException").count() == 0
    app.process.terminate()


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_phone_and_both_themes(dark: bool, two: Path, serve: Visit, visit: Visit) -> None:
    page = visit(f"{serve(two).url}/champion", width=390, height=844, dark=dark)
    page.locator(".js-plotly-plot .annotation-text").nth(4).wait_for(state="attached")
    ink = page.evaluate("getComputedStyle(document.querySelector('.js-plotly-plot .annotation-text')).fill")
    assert ink == ("rgb(230, 235, 241)" if dark else "rgb(15, 23, 34)")
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    mark, said = (page.get_by_text(text).first.bounding_box() for text in ("✓", "It ranks well."))
    assert abs(mark["y"] - said["y"]) < 10  # the mark stands beside its words
    assert mark["x"] < said["x"]


@pytest.mark.browser
def test_a_promotion_appears_by_itself(two: Path, serve: Visit, visit: Visit) -> None:
    page = visit(f"{serve(two, refresh_s=0.5).url}/champion")
    page.get_by_role("heading", name=re.compile("^Model v2")).wait_for()
    publish_scoring(two, publish_model(two), date.today())
    page.get_by_role("heading", name=re.compile("^Model v3")).wait_for(timeout=15_000)

"""Explain: what matters, in figures that add up, for whoever the filters leave, and an address that opens the same view."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn import words
from churn.data.schema import Schema
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.score.batch import score
from churn.score.publish import publish
from churn.settings import Settings

from .browsing import settled
from .page_bases import BASES, DOCUMENT, customers, publish_model, publish_scoring, raw_names, small_model

Run = Callable[..., AppTest]
PAGE = "pages/understand/explain.py"
GROUPS = {"tenure_m": "Money and time", "monthly_fee": "Money and time", "paid_total": "Money and time", "contract": "Deal"}


def said(app: AppTest) -> str:
    kinds = (*app.title, *app.header, *app.caption, *app.markdown, *app.info, *app.warning, *app.error)
    return "\n".join(element.value for element in kinds).replace("\\", "")


def title(app: AppTest) -> str:
    (found,) = app.title
    return str(found.value).replace("\\", "")


@pytest.fixture(scope="module")
def points() -> pl.DataFrame:
    """The made-up customers with their points and risks, explained apart from the app."""
    table = customers(600, seed=1)
    explained = small_model(Schema.model_validate(DOCUMENT)).explain(table)
    own = pl.DataFrame(explained.points, schema=[f"p {name}" for name in explained.features])
    return table.hstack(own).with_columns(risk=explained.risk)


def sizes(points: pl.DataFrame) -> list[tuple[str, float]]:
    """Columns by the mean of |points|, the largest first."""
    found = [(name[2:], float(points[name].abs().mean())) for name in points.columns if name.startswith("p ")]
    return sorted(found, key=lambda one: -one[1])


def label(name: str) -> str:
    return next(one["label"] for one in DOCUMENT["features"] if one["name"] == name)


def wanted_title(points: pl.DataFrame) -> str:
    (first, one), (second, two) = sizes(points)[:2]
    one_told, two_told = (words.points(size, signed=False, unit=False) for size in (one, two))
    return f"{label(first)} and {label(second).lower()} matter most: {one_told} and {two_told} points of risk on average"


@pytest.mark.parametrize("contract", [None, "Monthly"])
def test_the_answer_follows_the_filters(contract: str | None, workspace: Path, run_page: Run, points: pl.DataFrame) -> None:
    app = run_page(workspace, PAGE, **({"contract": [contract]} if contract else {}))
    assert not app.exception
    some = points.filter(contract=contract) if contract else points
    assert title(app) == wanted_title(some)
    typical = small_model(Schema.model_validate(DOCUMENT)).typical_risk
    change = int(words.rounded(1000 * some["risk"].mean())) - int(words.rounded(1000 * typical))
    assert f"the average of these is {words.average(some['risk'].mean())}" in said(app)
    assert f"add up to the difference: {words.points(change / 1000, decimals=1)}." in said(app)
    assert f"{label(sizes(some)[0][0])}: points by value" in said(app)


def figures(app: AppTest, place: int) -> list[str]:
    """The texts that stand in a chart."""
    chart = app.get("plotly_chart")[place]
    return re.findall(r'"text":"((?:[^"\\]|\\.)*)"', chart.proto.spec)


def test_what_is_printed_adds_up(workspace: Path, run_page: Run, points: pl.DataFrame) -> None:
    app = run_page(workspace, PAGE)
    told = re.findall(r"\(([+\u2212]?[\d.]+) on average\)", " ".join(figures(app, 0)))
    printed = [float(text.replace("\u2212", "-")) for text in told]
    rest = re.search(r"other columns?: (?:([+\u2212]?[\d.]+) together|no points)", said(app))
    typical = small_model(Schema.model_validate(DOCUMENT)).typical_risk
    total = round(1000 * points["risk"].mean()) - round(1000 * typical)
    others = float(rest[1].replace("\u2212", "-")) if rest and rest[1] else 0.0
    assert round(10 * (sum(printed) + others)) == total
    assert len(printed) == len([size for _, size in sizes(points) if size > 0][:8])


def test_two_groups_stand_apart_by_their_risks(workspace: Path, run_page: Run, points: pl.DataFrame) -> None:
    app = run_page(workspace, PAGE, ex_from=["contract", "Two years"], ex_to=["internet", "Fibre"])
    sides = (pl.col("contract") == "Two years", pl.col("internet") == "Fibre")
    low, high = (words.whole_percent(points.filter(side)["risk"].mean()) for side in sides)
    assert f"which add up to the gap: {words.points((high - low) / 100)}" in said(app)
    assert [box.value for box in app.selectbox][-2:] == ["Contract: Two years", "Internet: Fibre"]
    app.selectbox[-1].set_value("All these customers").run()
    everybody = words.whole_percent(points["risk"].mean())
    assert f"which add up to the gap: {words.points((everybody - low) / 100)}" in said(app)
    assert app.query_params["ex_to"] == "All these customers"
    assert app.query_params["ex_from"] == ["contract", "Two years"]


def test_the_address_opens_the_same_view(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, ex_column=["Monthly fee"], ex_across=["Contract"], ex_every=["yes"])
    assert not app.exception
    assert "Monthly fee: points by value" in said(app)
    assert "What matters by contract" in said(app)
    assert "Every customer a dot" in said(app)
    assert "500 chosen at random, of 600 customers" in said(app)
    app.toggle[0].set_value(False).run()
    assert "Every customer a dot" not in said(app)
    assert "ex_every" not in app.query_params
    assert app.query_params["ex_column"] == "Monthly fee"
    box = next(one for one in app.selectbox if one.label == "Column")
    box.set_value("internet").run()
    assert "Internet: points by value" in said(app)
    assert app.query_params["ex_column"] == "Internet"


@pytest.mark.parametrize(
    "address",
    [
        {"ex_column": ["nothing"], "ex_across": ["anything"], "ex_by": ["x"]},
        {"ex_from": ["contract"], "ex_to": ["contract", "Never"]},
        {"ex_from": ["no such column", "x"]},
    ],
)
def test_a_meaningless_address_is_the_usual_view(address: Any, workspace: Path, run_page: Run, points: pl.DataFrame) -> None:
    app = run_page(workspace, PAGE, **address)
    assert not app.exception
    assert title(app) == wanted_title(points)


def test_nobody_and_too_few(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, contract=["Two years"], risk=["Very high"])
    assert not app.exception
    assert title(app) in ("No customer matches these filters", "Too few customers to say what matters")
    assert not app.get("plotly_chart")
    few = run_page(workspace, PAGE, contract=["Two years"], internet=["No"], tenure=["Over 48 months"], plan=["Basic"])
    assert title(few) == "Too few customers to say what matters"
    assert "shown from 50" in said(few)
    gap = run_page(workspace, PAGE, contract=["Monthly"], ex_from=["contract", "Two years"])
    assert "Nobody is in one of the two groups" in said(gap)


def test_a_scoring_of_an_earlier_version_says_what_to_do(tmp_path: Path, run_page: Run) -> None:
    model = publish_model(tmp_path)
    settings = Settings.load(home=tmp_path, environ={})
    store = open_store(settings)
    old = replace(score(customers(100, seed=1), model.model), points=None)
    publish(old, model, Registry(store, settings), store, as_of=date.today(), who="test", action="promote")
    app = run_page(tmp_path, PAGE)
    assert title(app) == "This scoring does not say yet what matters"
    assert "churn score TABLE --publish" in "".join(one.value for one in app.code)
    assert not app.exception


def test_business_groups_are_sums_of_columns(tmp_path: Path, run_page: Run, points: pl.DataFrame) -> None:
    features = [{**one, "group": GROUPS.get(one["name"])} for one in DOCUMENT["features"]]
    publish_scoring(tmp_path, publish_model(tmp_path, features=features), date.today())
    app = run_page(tmp_path, PAGE, ex_by=["Business groups"])
    assert not app.exception
    found = []
    for group in ("Money and time", "Deal", "Other"):
        own = [name for name in points.columns if name.startswith("p ") and GROUPS.get(name[2:], "Other") == group]
        found.append((group, points.select(pl.sum_horizontal(own).abs().mean()).item()))
    found.sort(key=lambda one: -one[1])
    assert title(app).startswith(f"{found[0][0]} and {words.lower_first(found[1][0])} matter most: ")
    assert words.points(found[0][1], signed=False, unit=False) in title(app)
    plain = run_page(tmp_path, PAGE)
    assert title(plain) == wanted_title(points)


def test_who_left_is_held_against_the_risk_where_it_is_known(tmp_path: Path, run_page: Run, points: pl.DataFrame) -> None:
    left = pl.Series("__left__", (np.random.default_rng(1).random(600) < points["risk"].to_numpy()).astype(int), dtype=pl.Int8)
    publish_scoring(tmp_path, publish_model(tmp_path), date.today(), customers(600, seed=1).with_columns(left))
    app = run_page(tmp_path, PAGE, ex_column=["Contract"])
    assert "Held against who left" in said(app)
    drawn = " ".join(chart.proto.spec for chart in app.get("plotly_chart"))
    for level in ("Monthly", "Two years"):
        share = left.filter(points["contract"] == level).mean()
        assert re.search(rf'"{level}: promised [^"]+, left {words.percent(share)} of \d+"', drawn)
    assert "no outcomes of these customers are known yet" in said(run_page(_without_outcomes(tmp_path), PAGE))


def _without_outcomes(tmp_path: Path) -> Path:
    home = tmp_path / "other"
    home.mkdir()
    publish_scoring(home, publish_model(home), date.today())
    return home


# -- in a browser -----------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("home", BASES)
def test_cold_explain_in_a_browser(home: str, base: Callable[[str], Path], serve: Any, visit: Any) -> None:
    app = serve(base(home), workspace="demo" if home == "demo" else "default")
    page = visit(f"{app.url}/explain?ex_every=yes")
    page.get_by_text("Every customer a dot").wait_for()
    settled(page)
    heading = page.get_by_role("heading", level=1).inner_text()
    assert re.fullmatch(r".+ and .+ matter most: [\d.]+ and [\d.]+ points of risk on average", heading)
    main = page.get_by_test_id("stMain").inner_text()
    assert ("Simulated data" in main) is (home == "demo")
    for careless in ("None", "nan", "NaN", "undefined", *raw_names(base(home), home)):
        assert careless not in main
    alt = page.locator("[role=figure]").evaluate_all("figures => figures.map(figure => figure.getAttribute('aria-label'))")
    assert {text.split(":")[0] for text in alt} == {"Bars", "Dots", "Waterfall"}
    assert page.get_by_test_id("stException").count() == 0
    app.process.terminate()


@pytest.mark.browser
def test_a_cohort_is_explained_and_taken_along(workspace: Path, serve: Any, visit: Any, tmp_path: Path) -> None:
    page = visit(f"{serve(workspace).url}/explain")
    settled(page)
    page.get_by_test_id("stSidebar").get_by_text("Monthly", exact=True).click()
    page.wait_for_url("**contract=Monthly**")
    settled(page)
    bars = page.locator(".js-plotly-plot").first
    box = bars.bounding_box()
    page.mouse.click(box["x"] + 150, box["y"] + 65)  # the second row
    page.wait_for_url("**ex_column=**")
    settled(page)
    opened = page.get_by_role("heading", name=re.compile("points by value")).inner_text()
    page.get_by_role("button", name="Save").nth(1).click()
    with page.expect_download() as picture:
        page.get_by_text("SVG", exact=True).click()
    picture.value.save_as(tmp_path / "chosen.svg")
    assert opened in (tmp_path / "chosen.svg").read_text(encoding="utf-8")
    settled(page)
    page.get_by_role("button", name="Save").nth(1).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Table (CSV)").click()
    download.value.save_as(tmp_path / "points.csv")
    with (tmp_path / "points.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert opened.split(":")[0] in rows[0]
    inside = customers(600, seed=1).filter(contract="Monthly").height
    assert sum(int(row["Customers"]) for row in rows) == inside
    page.keyboard.press("Escape")
    chart = page.locator(".js-plotly-plot").nth(1)
    chart.hover()
    with page.expect_download() as download:
        chart.locator(".modebar-btn").click()
    download.value.save_as(tmp_path / "chart.svg")
    drawing = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    assert drawing.startswith("<svg")
    assert opened in drawing
    fresh = visit(page.url)
    settled(fresh)
    assert fresh.get_by_role("heading", name=re.compile("points by value")).inner_text() == opened
    assert "contract=Monthly" in fresh.url


@pytest.mark.browser
@pytest.mark.parametrize("column", ["Contract", "Monthly+fee"])
def test_on_a_phone(column: str, workspace: Path, serve: Any, visit: Any) -> None:
    page = visit(f"{serve(workspace).url}/explain?ex_column={column}&ex_across=Internet&ex_every=yes", width=390, height=844)
    settled(page)
    page.locator(".js-plotly-plot").nth(3).wait_for()
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390

"""Overview: the answer, the figures behind it, and the ways on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn import words
from churn.data.schema import Schema

from .browsing import settled
from .page_bases import AWKWARD, BASES, DOCUMENT, customers, publish_model, publish_scoring, raw_names, small_model

Run = Callable[..., AppTest]


def texts(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.title, *app.caption, *app.markdown, *app.info, *app.warning, *app.error))


def plain(text: str) -> str:
    return text.replace("\\", "")


@pytest.fixture(scope="module")
def risks() -> pl.DataFrame:
    """The made-up customers with their risks, scored apart from the app."""
    table = customers(600, seed=1)
    return table.with_columns(risk=small_model(Schema.model_validate(DOCUMENT)).score(table).risk)


def test_figures_are_those_of_the_base(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    app = run_page(workspace)
    assert not app.exception
    leavers = words.count(risks["risk"].sum())
    revenue = words.money((risks["risk"] * risks["monthly_fee"]).sum(), "$")
    title = f"{leavers} of 600 customers are expected to leave this month, taking {revenue} of monthly revenue"
    assert [plain(title.value) for title in app.title] == [title]
    average = words.average(risks["risk"].mean())
    highest = words.count(risks.filter(pl.col("risk") >= 0.6).height)
    assert [plain(metric.value) for metric in app.metric] == [revenue, leavers, average, highest]
    assert [metric.label for metric in app.metric] == ["Revenue at risk", "Expected leavers", "Average risk", "Very high risk"]


def test_changes_since_the_last_scoring(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace)
    assert [metric.delta[0] for metric in app.metric] == ["+"] * 4
    assert "**600 customers**, 580 then (+20)." in texts(app)
    assert "Came: 20 new." in texts(app)
    assert "**Monthly fee** accounts for the largest change of the average risk" in texts(app)


def test_changes_are_those_of_the_filter(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    some = risks.filter(pl.col("contract") == "Monthly").height
    told = texts(run_page(workspace, contract=["Monthly"]))
    kept = "How the figures moved over past scorings is kept for all customers together, not for those of a filter"
    assert kept in told
    assert kept not in texts(run_page(workspace))
    assert "These customers, compared with" in told
    assert f"**{some} customers**" in told
    assert "accounts for the largest change" not in told  # known of the whole base only


def test_an_unchanged_base_says_so(tmp_path: Path, run_page: Run) -> None:
    model = publish_model(tmp_path)
    for day in (date(2026, 10, 1), date(2026, 11, 1)):
        publish_scoring(tmp_path, model, day)
    assert "Nothing changed: the same 600 customers, at the same risk." in texts(run_page(tmp_path))


def test_a_fall_since_the_last_scoring_points_down(tmp_path: Path, run_page: Run) -> None:
    """Streamlit takes the direction of the arrow from the first letter, which must not be escaped."""
    model = publish_model(tmp_path)
    table = customers(600, seed=1)
    publish_scoring(tmp_path, model, date(2026, 10, 1), table)
    publish_scoring(tmp_path, model, date(2026, 11, 1), table.with_columns(monthly_fee=pl.col("monthly_fee") * 0.5))
    assert [metric.delta[0] for metric in run_page(tmp_path).metric] == ["-"] * 4


def test_first_scoring_has_nothing_to_compare_with(tmp_path: Path, run_page: Run) -> None:
    publish_scoring(tmp_path, publish_model(tmp_path), date.today())
    app = run_page(tmp_path)
    assert "First scoring: nothing to compare with yet." in texts(app)
    assert not any(metric.delta for metric in app.metric)


def test_scoring_before_with_other_columns(tmp_path: Path, run_page: Run) -> None:
    publish_scoring(tmp_path, publish_model(tmp_path), date(2026, 10, 1))
    publish_scoring(tmp_path, publish_model(tmp_path, currency="€"), date(2026, 11, 1))
    app = run_page(tmp_path)
    assert not app.exception
    assert "it cannot be compared" in texts(app)


def test_filters_come_from_the_address(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    app = run_page(workspace, contract=["Monthly"])
    some = risks.filter(pl.col("contract") == "Monthly")
    assert f"{some.height} of 600 customers" in texts(app)
    assert plain(app.metric[1].value) == words.count(some["risk"].sum())


def test_filters_cleared_and_set(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    app = run_page(workspace, contract=["Monthly"])
    next(button for button in app.button if button.label == "Clear filters").click().run()
    assert "All 600 customers" in texts(app)
    next(button for button in app.button if button.label == "See them").click().run()
    assert f"{risks.filter(pl.col('risk') >= 0.6).height} of 600 customers" in texts(app)
    next(button for button in app.button if button.label == "Show all again").click().run()
    assert "All 600 customers" in texts(app)


def test_group_with_awkward_name(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    """A name full of markup is shown as it is, and can be chosen."""
    app = run_page(workspace, plan=[words.escape_markdown(AWKWARD)])
    assert not app.exception
    assert f"{risks.filter(pl.col('plan') == AWKWARD).height} of 600 customers" in texts(app)


def test_nobody_matches(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, internet=["No"], **{"online-security": ["Yes"]})
    assert [title.value for title in app.title] == ["No customer matches these filters"]
    next(button for button in app.button if button.key == "_clear_empty").click().run()
    assert "All 600 customers" in texts(app)


def test_too_few_to_say(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    chosen = {"contract": ["Two years"], "internet": ["Fibre"], "tenure": ["Over 48 months"], "plan": ["Basic"]}
    app = run_page(workspace, **chosen)
    few = risks.filter(pl.col("contract") == "Two years", pl.col("internet") == "Fibre", pl.col("plan") == "Basic")
    few = few.filter(pl.col("tenure_m") > 48)
    assert 0 < few.height < 50
    assert f"Too few customers ({few.height}) to say; shown from 50." in texts(app)
    assert app.title[0].value == f"{few.height} customers match these filters"
    assert not app.metric


def test_without_money(tmp_path: Path, run_page: Run, risks: pl.DataFrame) -> None:
    publish_scoring(tmp_path, publish_model(tmp_path, money=None), date.today())
    app = run_page(tmp_path)
    leavers = words.count(risks["risk"].sum())
    assert [title.value for title in app.title] == [f"{leavers} of 600 customers are expected to leave this month"]
    assert [metric.label for metric in app.metric] == ["Expected leavers", "Average risk", "Very high risk"]
    assert "$" not in texts(app)
    assert [header.value for header in app.main.header] == [
        "Where the expected leavers are",
        "How risk is spread",
        "Customers with the highest risk",
        "Since the last scoring",
    ]


# -- in a browser --------------------------------------------------------------

Visit = Callable[..., Any]


def heading(page: Any) -> str:
    return str(page.get_by_role("heading", level=1).inner_text())


def drawn(page: Any, charts: int) -> None:
    """Wait until so many charts are there with their bars."""
    page.wait_for_function(f"document.querySelectorAll('.js-plotly-plot .barlayer').length >= {charts}")
    assert page.locator(".js-plotly-plot .barlayer .point").count() >= charts


def first_customer(page: Any) -> None:
    """Click the number in the first row of the table, which is drawn on a canvas."""
    page.wait_for_selector("[data-testid=stDataFrame] canvas")
    settled(page)
    table = page.get_by_test_id("stDataFrame")
    table.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    box = table.bounding_box()
    page.mouse.click(box["x"] + 100, box["y"] + 35 + 17)


@pytest.mark.browser
@pytest.mark.parametrize("home", BASES)
def test_cold_overview_in_a_browser(home: str, base: Callable[[str], Path], serve: Visit, visit: Visit) -> None:
    app = serve(base(home), workspace="demo" if home == "demo" else "default")
    page = visit(app.url)
    drawn(page, 2)
    assert re.fullmatch(r"[\d,]+ of [\d,]+ customers are expected to leave.*", heading(page).replace("\n", " "))
    main = page.get_by_test_id("stMain").inner_text()
    assert ("Simulated data" in main) is (home == "demo")
    for careless in ("None", "nan", "NaN", "undefined", *raw_names(base(home), home)):
        assert careless not in main
    alt = page.locator("[role=figure]").evaluate_all("figures => figures.map(figure => figure.getAttribute('aria-label'))")
    assert [text.split(":")[0] for text in alt] == ["Bars", "Histogram"]
    assert page.get_by_test_id("stException").count() == 0
    app.process.terminate()


@pytest.mark.browser
def test_from_a_filter_to_a_customer_and_back(workspace: Path, serve: Visit, visit: Visit) -> None:
    app = serve(workspace)
    page = visit(app.url)
    drawn(page, 2)
    whole = heading(page)
    page.get_by_test_id("stSidebar").get_by_role("button", name="Monthly", exact=True).click()
    page.wait_for_url("**/?contract=Monthly")
    page.wait_for_function(f"document.querySelector('h1')?.innerText !== {json.dumps(whole)}")
    filtered = heading(page)

    first_customer(page)
    page.wait_for_url("**/customer?contract=Monthly")
    page.wait_for_function("document.querySelector('h1')?.innerText?.includes('risk of leaving')")
    key = heading(page).split(":")[0]
    assert key.startswith("C*")
    assert key not in page.url

    page.go_back()
    page.wait_for_function(f"document.querySelector('h1')?.innerText === {json.dumps(filtered)}")
    assert page.url.endswith("/?contract=Monthly")
    fresh = visit(page.url)
    fresh.wait_for_function(f"document.querySelector('h1')?.innerText === {json.dumps(filtered)}")


@pytest.mark.browser
def test_a_click_on_a_bar_narrows_to_its_group(workspace: Path, serve: Visit, visit: Visit) -> None:
    page = visit(serve(workspace).url)
    drawn(page, 2)
    box = page.locator(".js-plotly-plot").first.bounding_box()
    page.mouse.click(box["x"] + 200, box["y"] + 25)
    page.wait_for_url("**/?contract=Monthly&internet=Fibre")
    page.get_by_role("button", name="Clear filters").click()
    page.wait_for_url(re.compile(r"/$"))


@pytest.mark.browser
def test_a_published_scoring_appears_by_itself(workspace: Path, serve: Visit, visit: Visit) -> None:
    app = serve(workspace, refresh_s=0.5)
    page = visit(app.url)
    page.get_by_text("All 600 customers").wait_for()
    publish_scoring(workspace, publish_model(workspace), date.today(), customers(500, seed=3))
    page.get_by_text("All 500 customers").wait_for(timeout=15_000)
    assert "Model v2 is in use since" in page.get_by_test_id("stMain").inner_text()


@pytest.mark.browser
@pytest.mark.parametrize("path", ["", "customer"])
def test_phone_scrolls_one_way_only(path: str, workspace: Path, serve: Visit, visit: Visit) -> None:
    page = visit(f"{serve(workspace).url}/{path}", width=390, height=844)
    page.wait_for_timeout(1500)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390


@pytest.mark.browser
def test_the_theme_changes_while_the_page_is_open(workspace: Path, serve: Visit, visit: Visit) -> None:
    """Text in a chart takes the ink of the theme now shown: black on black would vanish."""
    page = visit(serve(workspace, refresh_s=0.5).url)
    drawn(page, 2)
    text = "getComputedStyle(document.querySelector('.js-plotly-plot .annotation-text')).fill"
    assert page.evaluate(text) == "rgb(15, 23, 34)"
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"document.querySelector('.js-plotly-plot .annotation-text') && {text} === 'rgb(230, 235, 241)'")

"""Customer: finding one, the reasons, and the what-if that is written nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn import words
from churn.data.schema import Schema

from .page_bases import BASES, DOCUMENT, customers, publish_model, publish_scoring, raw_names, small_model

PAGE = "pages/act/customer.py"
KEY = "C*0011_"  # monthly contract, fibre, no security: a risk of 77%
Run = Callable[..., AppTest]


@pytest.fixture(scope="module")
def risk() -> Callable[..., float]:
    """The risk of a made-up customer, with some values replaced; scored apart from the app."""
    model = small_model(Schema.model_validate(DOCUMENT))
    table = customers(600, seed=1)

    def of(key: str, **changes: Any) -> float:
        return model.explain_row({**table.filter(pl.col("customer") == key).row(0, named=True), **changes}).risk

    return of


def row(key: str) -> dict[str, Any]:
    return customers(600, seed=1).filter(pl.col("customer") == key).row(0, named=True)


@pytest.fixture
def opened(workspace: Path, run_page: Run) -> AppTest:
    """The page with a customer open."""
    return run_page(workspace, PAGE, session={"_customer": KEY})


def field(app: AppTest, name: str) -> Any:
    kinds = (*app.button_group, *app.selectbox, *app.slider, *app.number_input)
    return next(widget for widget in kinds if widget.key == f"_edit {name}")


def said(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.title, *app.caption, *app.markdown, *app.warning)).replace("\\", "")


def test_cold_page_offers_a_search_and_the_riskiest(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE)
    assert not app.exception
    assert app.title[0].value.startswith("Search for a customer")
    assert len(app.dataframe) == 1


@pytest.mark.parametrize("typed", [KEY, KEY.lower(), f"  {KEY} "])
def test_search_opens_the_customer(workspace: Path, run_page: Run, risk: Callable[..., float], typed: str) -> None:
    app = run_page(workspace, PAGE)
    app.text_input(key="_search").input(typed).run()
    assert f"{KEY}: {words.percent(risk(KEY))} risk of leaving" in said(app)
    assert app.session_state["_customer"] == KEY
    assert app.text_input(key="_search").value == ""
    assert KEY not in str(app.query_params)


def test_search_names_what_comes_near(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE)
    app.text_input(key="_search").input("000").run()
    near = [button for button in app.button if str(button.key).startswith("_match")]
    assert [button.key for button in near] == [f"_match C*000{i}_" for i in range(8)]
    near[2].click().run()
    assert app.session_state["_customer"] == "C*0002_"


def test_search_finds_nobody(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE)
    app.text_input(key="_search").input("*zz*").run()
    assert "No customer has a number with “*zz*” in it." in said(app)
    assert len(app.dataframe) == 1


def test_customer_no_longer_in_the_base(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, session={"_customer": "gone"})
    assert "Customer gone is not among the customers scored last." in said(app)


def test_reasons_add_up(opened: AppTest, risk: Callable[..., float]) -> None:
    assert not opened.exception
    points = opened.dataframe[0].value["Points"].str.replace("−", "-").astype(int)
    typical = words.whole_percent(small_model(Schema.model_validate(DOCUMENT)).typical_risk)
    assert typical + points.sum() == words.whole_percent(risk(KEY))


def test_edit_changes_the_risk_and_nothing_else(opened: AppTest, workspace: Path, risk: Callable[..., float]) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted(workspace.rglob("*")) if path.is_file()}
    title = opened.title[0].value
    wanted = "Two years"
    field(opened, "contract").set_value(wanted).run()
    after = risk(KEY, contract=wanted)
    assert not opened.exception
    assert opened.metric[0].value.lower() == words.percent(after)
    assert opened.metric[0].delta == words.ascii_minus(
        words.points((words.whole_percent(after) - words.whole_percent(risk(KEY))) / 100)
    )
    assert opened.title[0].value == title
    assert {path: path.stat().st_mtime_ns for path in sorted(workspace.rglob("*")) if path.is_file()} == before


def test_undo_and_reset(opened: AppTest, risk: Callable[..., float]) -> None:
    original = row(KEY)
    field(opened, "contract").set_value("Two years").run()
    edited = opened.metric[0].value
    field(opened, "monthly_fee").set_value(30.0).run()
    assert opened.metric[0].value != edited
    next(button for button in opened.button if button.label == "Undo").click().run()
    assert opened.metric[0].value == edited
    assert field(opened, "monthly_fee").value == pytest.approx(original["monthly_fee"])
    next(button for button in opened.button if button.label == "Reset").click().run()
    assert opened.metric[0].value.lower() == words.percent(risk(KEY))
    assert field(opened, "contract").value == original["contract"]
    assert "No change yet" in said(opened)


def test_derived_columns_and_rules_follow(workspace: Path, run_page: Run, risk: Callable[..., float]) -> None:
    table = customers(600, seed=1).filter((pl.col("internet") == "Fibre") & (pl.col("security") == "Yes"))
    key = table["customer"][0]
    app = run_page(workspace, PAGE, session={"_customer": key})
    field(app, "internet").set_value("No").run()
    assert "No internet also removes: Online security" in said(app)
    assert app.metric[0].value.lower() == words.percent(risk(key, internet="No", security="No internet service"))
    assert field(app, "security").disabled
    field(app, "monthly_fee").set_value(50.0).run()
    assert "Paid in all becomes" in said(app)


def test_another_customer_starts_unedited(opened: AppTest) -> None:
    field(opened, "contract").set_value("Two years").run()
    opened.text_input(key="_search").input("C*0008_").run()
    assert "No change yet" in said(opened)
    assert field(opened, "contract").value == row("C*0008_")["contract"]


@pytest.mark.parametrize("key", ["C*0003_", "C*0009_"])
def test_missing_number(workspace: Path, run_page: Run, key: str) -> None:
    app = run_page(workspace, PAGE, session={"_customer": key})
    assert not app.exception
    assert "not known" in app.dataframe[0].value["Value"].tolist()
    assert "None" not in said(app)
    assert "nan" not in said(app).lower()


def test_missing_number_filled_in(workspace: Path, run_page: Run, risk: Callable[..., float]) -> None:
    key = "C*0009_"
    app = run_page(workspace, PAGE, session={"_customer": key})
    assert field(app, "monthly_fee").value is None
    field(app, "monthly_fee").set_value(50.0).run()
    assert not app.exception
    after = risk(key, monthly_fee=50.0, paid_total=50.0 * row(key)["tenure_m"])
    assert app.metric[0].value.lower() == words.percent(after)
    next(button for button in app.button if button.label == "Undo").click().run()
    assert field(app, "monthly_fee").value is None


def test_value_outside_what_has_been_seen(tmp_path: Path, run_page: Run) -> None:
    """The slider reaches the customer's own value; what lies between it and the range is brought back in."""
    table = customers(600, seed=1).with_columns(
        monthly_fee=pl.when(pl.col("customer") == KEY).then(150.0).otherwise(pl.col("monthly_fee"))
    )
    publish_scoring(tmp_path, publish_model(tmp_path), date.today(), table)
    app = run_page(tmp_path, PAGE, session={"_customer": KEY})
    assert field(app, "monthly_fee").value == 150.0
    field(app, "monthly_fee").set_value(130.0).run()
    assert not app.exception
    assert not app.error
    assert field(app, "monthly_fee").value == 120.0


# -- in a browser --------------------------------------------------------------

Visit = Callable[..., Any]


def heading(page: Any) -> str:
    return str(page.get_by_role("heading", level=1).inner_text()).replace("\n", " ")


def search(page: Any, key: str) -> None:
    box = page.get_by_role("searchbox")
    box.fill(key)
    box.press("Enter")
    page.wait_for_function(f"document.querySelector('h1')?.innerText?.startsWith({json.dumps(key)})")


def figures(page: Any) -> list[str]:
    """What the waterfall prints beside its bars."""
    page.wait_for_selector(".js-plotly-plot .textpoint text")
    return [text.strip() for text in page.locator(".js-plotly-plot .textpoint text").all_text_contents()]


def whole(figure: str) -> int:
    return int(figure.replace("−", "-").replace("over 99%", "100").replace("under 1%", "0").rstrip("%"))


@pytest.mark.browser
@pytest.mark.parametrize("home", BASES)
def test_cold_customer_in_a_browser(home: str, base: Callable[[str], Path], serve: Visit, visit: Visit) -> None:
    """A deep link shows the frame and the search; a customer is opened; what the chart prints adds up."""
    app = serve(base(home), workspace="demo" if home == "demo" else "default")
    page = visit(f"{app.url}/customer")
    assert page.get_by_test_id("stSidebar").get_by_role("link", name="Overview").count() == 1
    assert heading(page).startswith("Search for a customer")
    page.wait_for_selector("[data-testid=stDataFrame] canvas")
    key = page.get_by_role("searchbox").get_attribute("placeholder").removeprefix("Customer number, e.g. ")
    search(page, key)
    assert "risk of leaving" in heading(page)
    assert page.url == f"{app.url}/customer"
    typical, *steps, risk = figures(page)
    assert whole(typical) + sum(map(whole, steps)) == whole(risk)
    main = page.get_by_test_id("stMain").inner_text()
    assert ("Simulated data" in main) is (home == "demo")
    for careless in ("None", "nan", "NaN", "undefined", *raw_names(base(home), home)):
        assert careless not in main
    assert page.get_by_role("figure").get_attribute("aria-label").startswith("Waterfall: ")
    app.process.terminate()


@pytest.mark.browser
def test_what_if_in_a_browser(workspace: Path, serve: Visit, visit: Visit) -> None:
    """Edits move the bars on a fixed axis; undo and reset bring them back; another tab sees nothing of it."""
    app = serve(workspace)
    page = visit(f"{app.url}/customer")
    search(page, KEY)
    before = figures(page)
    metric = page.get_by_test_id("stMetricValue")
    assert metric.inner_text() == before[-1]
    panel = page.locator(".st-key-_what_if")
    panel.get_by_role("radio", name="Two years").click()
    page.get_by_text("This customer, as edited").wait_for()
    after = figures(page)
    assert whole(after[-1]) < whole(before[-1])
    assert metric.inner_text() == after[-1]
    assert "✎ Contract: Two years" in page.locator(".js-plotly-plot").text_content()
    assert f"from {before[-1]}" in panel.inner_text()

    panel.get_by_role("radio", name="No", exact=True).first.click()
    panel.get_by_text("No internet also removes: Online security").wait_for()
    panel.get_by_role("button", name="Undo").click()
    panel.get_by_text("No internet also removes: Online security").wait_for(state="detached")
    assert metric.inner_text() == after[-1]
    panel.get_by_role("button", name="Reset").click()
    panel.get_by_text("No change yet").wait_for()
    assert metric.inner_text() == before[-1]

    other = visit(f"{app.url}/customer")
    assert heading(other).startswith("Search for a customer")


@pytest.mark.browser
def test_keyboard_opens_a_customer_from_the_list(workspace: Path, serve: Visit, visit: Visit) -> None:
    page = visit(f"{serve(workspace).url}/customer")
    page.wait_for_selector("[data-testid=stDataFrame] canvas")
    page.wait_for_timeout(500)
    page.get_by_role("searchbox").focus()
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "CANVAS":
            break
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(500)
    assert heading(page).startswith("Search for a customer"), "walking through the table opens nothing"
    page.keyboard.press("Shift+Space")
    page.wait_for_function("document.querySelector('h1')?.innerText?.includes('risk of leaving')")

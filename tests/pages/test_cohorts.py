"""Cohorts: groups that add up to the filter, who is in them, and an address that opens the same view."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn import words
from churn.data.schema import Schema

from .browsing import settled
from .page_bases import AWKWARD, BASES, DOCUMENT, customers, publish_model, publish_scoring, raw_names, small_model

Run = Callable[..., AppTest]
PAGE = "pages/understand/cohorts.py"
_FIGURE = re.compile("%|too few")  # what stands on a tile


def said(app: AppTest) -> str:
    kinds = (*app.title, *app.header, *app.caption, *app.markdown, *app.info, *app.warning, *app.error)
    return "\n".join(element.value for element in kinds).replace("\\", "")


def groups(app: AppTest) -> Any:
    """The table of all groups."""
    return next(frame.value for frame in app.dataframe if "× average" in frame.value and "Checked" not in frame.value)


@pytest.fixture(scope="module")
def risks() -> pl.DataFrame:
    """The made-up customers with their risks, scored apart from the app."""
    table = customers(600, seed=1)
    return table.with_columns(risk=small_model(Schema.model_validate(DOCUMENT)).score(table).risk)


def by(risks: pl.DataFrame, *columns: str) -> pl.DataFrame:
    stake = (pl.col("risk") * pl.col("monthly_fee")).sum().alias("stake")
    return risks.group_by(columns).agg(pl.len(), pl.col("risk").mean(), stake).sort("stake", descending=True)


def test_the_answer_is_the_leading_group(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    app = run_page(workspace, PAGE)
    assert not app.exception
    found = by(risks, "contract", "internet")
    lead = found.row(0, named=True)
    share, stake = words.percent(lead["len"] / 600), words.percent(lead["stake"] / found["stake"].sum())
    title = f"{lead['contract']}, {lead['internet']}: {share} of customers, {stake} of the revenue at risk"
    assert [one.value.replace("\\", "") for one in app.title] == [title]
    assert (
        f"That is {words.money(lead['stake'])} a month and {words.count(lead['len'] * lead['risk'])} expected leavers."
        in said(app)
    )
    table = groups(app)
    assert table["Group"][0] == f"{lead['contract']} · {lead['internet']}"
    assert table["Customers"].sum() == 600
    assert table["Leavers"].sum() == pytest.approx(risks["risk"].sum())
    assert table["At risk"].sum() == pytest.approx(found["stake"].sum())
    assert table["× average"][0] == pytest.approx(lead["risk"] / risks["risk"].mean())
    assert (table["Likely within"] > 0).all()


def test_totals_agree_with_the_filter(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    app = run_page(workspace, PAGE, contract=["Monthly", "One year"])
    some = risks.filter(pl.col("contract").is_in(["Monthly", "One year"]))
    stake = words.money((some["risk"] * some["monthly_fee"]).sum())
    leavers = words.count(some["risk"].sum())
    assert f"Totals agree with the filter: {some.height} customers, {leavers} expected leavers, {stake} at risk" in said(app)
    assert groups(app)["Customers"].sum() == some.height


def test_columns_follow_the_filter_until_somebody_picks(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, contract=["Monthly"])
    assert "Risk by internet and tenure" in said(app)
    assert [box.value for box in app.selectbox] == ["internet", "tenure_m"]
    app.selectbox[0].set_value("contract").run()
    assert "Risk by contract and internet" in said(app)
    app.selectbox[1].set_value("contract").run()
    assert "Risk by internet and contract" in said(app), "the two are exchanged"
    assert app.query_params["by_row"] == "Internet"
    assert app.query_params["by_column"] == "Contract"


def test_the_address_says_what_is_shown(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    app = run_page(workspace, PAGE, by_row=["Tenure"], by_column=["Rows only"], by_figure=["Customers"])
    assert "Customers by tenure" in said(app)
    assert list(groups(app)["Group"]) != []
    assert groups(app)["Customers"].sum() == 600
    assert app.query_params["by_row"] == "Tenure"


@pytest.mark.parametrize(
    "address",
    [
        {"by_row": ["nothing"], "by_figure": ["anything"]},
        {"by_row": ["Contract"], "by_column": ["Contract"]},
        {"by_group": ["Contract"]},
        {"by_group": ["Contract", "Never", "Internet", "DSL"]},
        {"by_group": ["no such column", "x"]},
        {"by_group": ["Contract", "Monthly", "Contract", "One year"]},
    ],
)
def test_an_address_that_means_nothing(workspace: Path, run_page: Run, address: dict[str, list[str]]) -> None:
    app = run_page(workspace, PAGE, **address)
    assert not app.exception
    assert not app.error
    assert "Risk by contract and internet" in said(app)
    assert not [button for button in app.button if button.key == "_close"]


def test_a_group_and_its_customers(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    app = run_page(workspace, PAGE, by_group=["Contract", "Monthly", "Internet", "Fibre"])
    inside = risks.filter(pl.col("contract") == "Monthly", pl.col("internet") == "Fibre")
    assert "Monthly · Fibre" in [one.value for one in app.header]
    assert f"{inside.height} customers · {words.percent(inside['risk'].mean())} risk" in said(app)
    listed = next(frame.value for frame in app.dataframe if "Customer" in frame.value)
    first = inside.sort(pl.col("risk") * pl.col("monthly_fee"), descending=True)["customer"].head(10).to_list()
    assert [name.split(": ")[-1] for name in listed["Customer"]] == first
    assert f"1–10 of {inside.height}" in said(app)
    assert "This group, compared with" in said(app)
    next(button for button in app.button if button.key == "_close").click().run()
    assert "by_group" not in app.query_params
    assert "Monthly · Fibre" not in [one.value for one in app.header]


def test_a_group_looked_at_alone(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    app = run_page(workspace, PAGE, by_group=["Contract", "Monthly", "Internet", "Fibre"])
    next(button for button in app.button if button.key == "_alone").click().run()
    inside = risks.filter(pl.col("contract") == "Monthly", pl.col("internet") == "Fibre").height
    assert f"{inside} of 600 customers" in said(app)
    assert "Risk by tenure" in said(app)


def test_a_group_the_filter_leaves_out(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, contract=["One year"], by_group=["Contract", "Monthly"])
    assert not app.exception
    assert not [button for button in app.button if button.key == "_close"]


def test_small_groups_are_counted_and_not_told(workspace: Path, run_page: Run, risks: pl.DataFrame) -> None:
    app = run_page(workspace, PAGE, by_row=["Tenure"], by_column=["Contract"])
    table = groups(app)
    few = table[table["Group"].str.endswith("(too few)")]
    assert len(few) > 0
    for name in ("Risk", "Leavers", "At risk", "Likely within", "× average", "Top reason"):
        assert few[name].isna().all()
    assert (table["Customers"][: len(table) - len(few)] >= 50).all()
    many = f"{len(few)} groups have" if len(few) > 1 else "1 group has"
    assert f"{many} fewer than 50 customers and no figures: {few['Customers'].sum()} customer" in said(app)
    assert table["Customers"].sum() == 600


def test_changes_since_the_last_scoring(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE)
    assert "**600 customers**, 580 then (+20)." in said(app)
    assert "Came: 20 new." in said(app)
    assert "The average risk rose by" in said(app)


def test_first_scoring(tmp_path: Path, run_page: Run) -> None:
    publish_scoring(tmp_path, publish_model(tmp_path), date.today())
    app = run_page(tmp_path, PAGE, by_group=["Contract", "Monthly"])
    assert not app.exception
    assert said(app).count("First scoring: nothing to compare with yet.") == 1


def test_segments_found_by_themselves(tmp_path: Path, run_page: Run) -> None:
    publish_scoring(tmp_path, publish_model(tmp_path), date.today(), customers(4000, seed=2))
    app = run_page(tmp_path, PAGE)
    found = next(frame.value for frame in app.dataframe if "Checked" in frame.value)
    assert 1 <= len(found) <= 6
    assert found["Group"].str.contains("Monthly").any()
    assert (found["× average"] > 1).all()
    assert re.search(r"Searched among [\d,]+ customers chosen at random: [\d,]+ groups tried", said(app))


def test_nobody_matches(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, internet=["No"], **{"online-security": ["Yes"]})
    assert [title.value for title in app.title] == ["No customer matches these filters"]
    next(button for button in app.button if button.key == "_clear_empty").click().run()
    assert "All 600 customers" in said(app)


def test_too_few_to_say(workspace: Path, run_page: Run) -> None:
    chosen = {"contract": ["Two years"], "internet": ["Fibre"], "tenure": ["Over 48 months"], "plan": ["Basic"]}
    app = run_page(workspace, PAGE, **chosen)
    assert not app.exception
    assert re.fullmatch(r"\d+ customers match these filters", app.title[0].value)
    assert "to say; shown from 50." in said(app)
    assert len(app.dataframe) == 1


def test_without_money(tmp_path: Path, run_page: Run) -> None:
    publish_scoring(tmp_path, publish_model(tmp_path, money=None), date.today())
    app = run_page(tmp_path, PAGE)
    assert not app.exception
    assert "of the expected leavers" in app.title[0].value
    assert "$" not in said(app)
    assert "At risk" not in groups(app)
    assert (groups(app)["Likely within"] > 0).all()
    assert "Where the expected leavers are" in said(app)


def test_names_full_of_markup(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, by_row=["Plan"], by_column=["Rows only"], by_group=["Plan", AWKWARD])
    assert not app.exception
    assert AWKWARD in list(groups(app)["Group"])
    assert AWKWARD in [one.value.replace("\\", "") for one in app.header]


def test_who_left_is_held_against_models_that_had_not_seen_them(
    workspace: Path, run_page: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where outcomes are known, beside them stands the risk that training foresaw, and the page says why."""
    table = customers(600, seed=1).with_columns(pl.Series("__left__", np.arange(600) % 2, dtype=pl.Int8))
    publish_scoring(workspace, publish_model(workspace), date.today(), table)
    app = run_page(workspace, PAGE, by_row=["Contract"], by_column=["Rows only"])
    assert not app.exception
    found = groups(app)
    assert found["Left (known)"].between(35, 65).all()
    assert "Foreseen" not in found, "the model's bundle tells nothing of its training"
    assert "counts only customers whose outcome is known" in said(app)


# -- in a browser --------------------------------------------------------------

Visit = Callable[..., Any]


def heading(page: Any) -> str:
    return str(page.get_by_role("heading", level=1).inner_text()).replace("\n", " ")


def drawn(page: Any) -> None:
    """Wait until the tiles and the bars are there."""
    for place in range(2):
        page.locator(".js-plotly-plot .barlayer").nth(place).wait_for()
    settled(page)


def click_tile(page: Any, place: int) -> None:
    """Click the tile with that figure, counted from the upper left."""
    settled(page)
    page.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
    box = page.locator(".js-plotly-plot").first.locator(".annotation-text", has_text=_FIGURE).nth(place).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def click_row(page: Any, table: Any, across: int, row: int = 0) -> None:
    """Click in a row of a table, which is drawn on a canvas."""
    table.locator("canvas").first.wait_for()
    settled(page)
    table.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    box = table.bounding_box()
    page.mouse.click(box["x"] + across, box["y"] + 35 + 17 + 35 * row)


@pytest.mark.browser
@pytest.mark.parametrize("home", BASES)
def test_cold_cohorts_in_a_browser(home: str, base: Callable[[str], Path], serve: Visit, visit: Visit) -> None:
    app = serve(base(home), workspace="demo" if home == "demo" else "default")
    page = visit(f"{app.url}/cohorts")
    drawn(page)
    page.get_by_test_id("stDataFrame").nth(1).wait_for()
    page.get_by_text("Since the last scoring").wait_for()
    assert re.search(r"\d%? of customers, (over |under )?\d+% of the (revenue at risk|expected leavers)", heading(page))
    main = page.get_by_test_id("stMain").inner_text()
    assert ("Simulated data" in main) is (home == "demo")
    for careless in ("None", "nan", "NaN", "undefined", *raw_names(base(home), home)):
        assert careless not in main
    alt = page.locator("[role=figure]").evaluate_all("figures => figures.map(figure => figure.getAttribute('aria-label'))")
    assert [text.split(":")[0] for text in alt] == ["Heat map", "Bars"]
    sideways = "tables => tables.map(table => table.scrollWidth - table.clientWidth)"
    assert set(page.locator("[data-testid=stDataFrame] .dvn-scroller").evaluate_all(sideways)) == {0}, "nothing is cut off"
    assert page.get_by_test_id("stException").count() == 0
    app.process.terminate()


@pytest.mark.browser
def test_from_a_filter_to_a_group_to_a_customer_and_back(
    workspace: Path, serve: Visit, visit: Visit, risks: pl.DataFrame
) -> None:
    page = visit(f"{serve(workspace).url}/cohorts")
    drawn(page)
    page.get_by_test_id("stSidebar").get_by_role("button", name="Monthly", exact=True).click()
    page.get_by_role("heading", name="Risk by internet and tenure").wait_for()
    drawn(page)
    click_tile(page, 0)
    page.get_by_role("button", name="Close").wait_for()
    group = page.url
    told = dict(zip(*[iter(parse_qs(urlsplit(group).query)["by_group"])] * 2, strict=True))
    assert list(told) == ["Internet", "Tenure"]
    inside = risks.filter(pl.col("contract") == "Monthly", pl.col("internet") == told["Internet"])

    click_row(page, page.get_by_test_id("stDataFrame").first, 100)
    page.get_by_role("heading", level=1, name=re.compile("risk of leaving")).wait_for()
    assert page.url.endswith("/customer?contract=Monthly")
    assert heading(page).split(":")[0] in inside["customer"].to_list()

    page.go_back()
    page.get_by_role("button", name="Close").wait_for()
    assert page.url == group
    fresh = visit(group)
    fresh.get_by_role("button", name="Close").wait_for()
    assert heading(fresh) == heading(page)
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Close").wait_for(state="detached")
    assert page.url.endswith("/cohorts?contract=Monthly")


@pytest.mark.browser
def test_rows_bars_and_the_file(workspace: Path, serve: Visit, visit: Visit, tmp_path: Path) -> None:
    page = visit(f"{serve(workspace).url}/cohorts?by_row=Contract&by_column=Rows+only")
    drawn(page)
    click_row(page, page.get_by_test_id("stDataFrame").first, 16, row=1)
    page.get_by_role("heading", name="One year", exact=True).wait_for()
    settled(page)
    bars = page.locator(".js-plotly-plot").nth(1)
    bars.scroll_into_view_if_needed()
    box = bars.bounding_box()
    page.mouse.click(box["x"] + 150, box["y"] + 20)
    page.get_by_role("heading", name="Monthly", exact=True).wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert re.fullmatch(r"cohorts-contract-[0-9a-f-]{36}\.csv", download.value.suggested_filename)
    download.value.save_as(tmp_path / "file.csv")
    with (tmp_path / "file.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Contract"] for row in rows] == ["Monthly", "One year", "Two years"]
    assert sum(int(row["Customers"]) for row in rows) == 600


@pytest.mark.browser
@pytest.mark.parametrize("rows", ["Contract", "Plan", "Monthly+fee"])
def test_on_a_phone(rows: str, workspace: Path, serve: Visit, visit: Visit) -> None:
    page = visit(f"{serve(workspace).url}/cohorts?by_row={rows}&by_column=Tenure", width=390, height=844)
    drawn(page)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    chart = page.locator(".js-plotly-plot").first.bounding_box()
    for text in page.locator(".js-plotly-plot").first.locator(".annotation-text").all():
        box = text.bounding_box()
        assert chart["x"] - 1 <= box["x"]
        assert box["x"] + box["width"] <= chart["x"] + chart["width"] + 1
    click_tile(page, 1)
    page.get_by_role("button", name="Close").wait_for()

"""Drift: what moved, for whom, since when, and what the page says where there is nothing to say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn.model.bundle import Bundle
from churn.model.store import open_store
from churn.score import log
from churn.score.batch import score
from churn.settings import Settings

from .page_bases import customers, publish_model, publish_scoring, raw_names

Run = Callable[..., AppTest]
PAGE = "pages/watch/drift.py"
TODAY = date(2026, 11, 28)


def _log(home: Path, bundle: Bundle, day: date, table: pl.DataFrame) -> None:
    store = open_store(Settings.load(home=home, environ={}))
    rows = score(table, bundle.model).rows
    log.append(store, rows, bundle.schema, model=bundle.version, as_of=day, run=f"run{day:%Y%m%d}", source="publish")


def _story(home: Path) -> Path:
    """Six months; in the last two, fees have risen for whoever has fibre."""
    bundle = publish_model(home, customers(2_000, seed=9))
    risen = pl.when(pl.col("internet") == "Fibre").then(pl.col("monthly_fee") + 25).otherwise(pl.col("monthly_fee"))
    for month in range(6):
        table = customers(900, seed=20 + month)
        table = table.with_columns(monthly_fee=risen) if month > 3 else table
        day = date(2026, 6 + month, 28)
        if month < 5:
            _log(home, bundle, day, table)
        else:
            publish_scoring(home, bundle, day, table)
    return home


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _story(tmp_path_factory.mktemp("story"))


def _said(app: AppTest) -> str:
    kinds = (*app.title, *app.header, *app.caption, *app.markdown)
    return "\n".join(element.value for element in kinds).replace("\\", "")


def test_what_moved_is_the_title_and_the_first_row(story: Path, run_page: Run) -> None:
    app = run_page(story, PAGE)
    assert not app.exception
    said = _said(app)
    assert app.title[0].value.startswith("One of ")
    assert "check monthly fee before you trust" in app.title[0].value
    assert "Monthly fee, now and at training" in said
    assert "Evidence from 6 complete months" in said
    table = app.dataframe[0].value
    assert table["Column"].iloc[0] == "Monthly fee"
    assert list(table["Status"].iloc[0]) == ["Moved"]
    assert len(table["6 months"].iloc[0]) == 6
    assert not [name for name in raw_names(story, "small") if name in said]
    assert len(app.get("plotly_chart")) == 3


def test_a_group_has_a_reference_of_its_own(story: Path, run_page: Run) -> None:
    fibre = run_page(story, PAGE, dr_whose=["Internet: Fibre"])
    assert not fibre.exception
    assert "Fibre: one of " in _said(fibre)
    dsl = run_page(story, PAGE, dr_whose=["Internet: DSL"])
    assert "DSL: nothing has moved" in _said(dsl)


def test_windows_and_what_they_are_compared_with(story: Path, run_page: Run) -> None:
    before = run_page(story, PAGE, dr_against=["Window before"])
    assert not before.exception
    assert "Nothing has moved since the month before" in before.title[0].value
    daily = run_page(story, PAGE, dr_window=["Day"])
    assert "28 Nov 2026: 900 predictions" in _said(daily)
    assert run_page(story, PAGE, dr_window=["Year"], dr_against=["?"], dr_whose=["?"], dr_column=["?"]).title[0].value == (
        run_page(story, PAGE).title[0].value
    )
    chosen = run_page(story, PAGE, dr_column=["Contract"])
    assert "Contract, now and at training" in _said(chosen)


def test_one_scoring_and_too_few(tmp_path: Path, run_page: Run) -> None:
    bundle = publish_model(tmp_path)
    publish_scoring(tmp_path, bundle, TODAY, customers(120, seed=1))
    app = run_page(tmp_path, PAGE)
    assert not app.exception
    assert app.title[0].value == "Too few customers to say whether anything has moved"
    assert "One window so far" in _said(app)
    again = run_page(tmp_path, PAGE, dr_against=["Window before"])
    assert again.title[0].value == "There is no window before to compare with"


def test_nothing_logged_and_only_another_model(tmp_path: Path, run_page: Run) -> None:
    bundle = publish_model(tmp_path)
    publish_scoring(tmp_path, bundle, TODAY)
    store = open_store(Settings.load(home=tmp_path, environ={}))
    for place in (log.PREFIX, "sketches/"):
        for entry in store.list(place):
            store.delete(entry.key)
    app = run_page(tmp_path, PAGE)
    assert not app.exception
    assert app.title[0].value == "No prediction has been logged yet"
    other = publish_model(tmp_path)
    _log(tmp_path, other, TODAY, customers(400, seed=3))
    app = run_page(tmp_path, PAGE)
    assert app.title[0].value == "Model v1 has no logged predictions yet"


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser_the_row_chosen_is_drawn_and_a_phone_holds_it(
    dark: bool, story: Path, serve: Callable[..., Any], visit: Callable[..., Any]
) -> None:
    page = visit(f"{serve(story).url}/drift", width=390, height=844, dark=dark)
    page.locator(".js-plotly-plot .annotation-text").nth(4).wait_for(state="attached")
    ink = page.evaluate("getComputedStyle(document.querySelector('.js-plotly-plot .annotation-text')).fill")
    assert ink == ("rgb(230, 235, 241)" if dark else "rgb(15, 23, 34)")
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    assert page.get_by_role("heading", level=1).inner_text().startswith("One of")
    seen = page.get_by_test_id("stMain").inner_text()
    for careless in ("None", "nan", "NaN", "undefined", "monthly_fee"):
        assert careless not in seen
    alts = page.locator("[role=figure]").evaluate_all("figures => figures.map(figure => figure.getAttribute('aria-label'))")
    assert [alt.split(":")[0] for alt in alts] == ["Line", "Bars", "Line"]
    with page.expect_download() as file:
        page.get_by_role("button", name="Page (HTML)").click()
    assert "have moved" in Path(file.value.path()).read_text(encoding="utf-8") or "has moved" in Path(
        file.value.path()
    ).read_text(encoding="utf-8")

"""Retention: how long customers stay, by group, in figures that the rows of the base give."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn import words
from churn.base.snapshot import LEFT
from churn.understand.retention import Observed, kaplan_meier

from .page_bases import DOCUMENT, customers, publish_model, publish_scoring, raw_names

Run = Callable[..., AppTest]
PAGE = "pages/understand/retention.py"


def _said(app: AppTest) -> str:
    kinds = (*app.title, *app.header, *app.caption, *app.markdown)
    return "\n".join(element.value for element in kinds).replace("\\", "")


def _table(seed: int = 1) -> pl.DataFrame:
    """The made-up customers, those on a monthly contract leaving three times as often."""
    table = customers(600, seed)
    rng = np.random.default_rng(seed)
    leaves = rng.random(600) < np.where(table["contract"].to_numpy() == "Monthly", 0.6, 0.2)
    return table.with_columns(pl.Series(LEFT, leaves.astype(np.int8)))


def _home(home: Path, table: pl.DataFrame, *, clock: bool = True) -> Path:
    features: list[Any] = deepcopy(DOCUMENT["features"])
    if clock:
        features[0]["clock"] = "month"
    publish_scoring(home, publish_model(home, features=features), date.today(), table)
    return home


def test_the_title_and_the_table_are_what_the_rows_say(tmp_path: Path, run_page: Run) -> None:
    table = _table()
    app = run_page(_home(tmp_path, table), PAGE)
    assert not app.exception
    known = table.filter(pl.col("tenure_m").is_not_null())

    def share(rows: pl.DataFrame, months: float) -> str:
        seen = Observed.of(rows["tenure_m"].to_list(), (rows[LEFT] == 1).to_list())
        return words.percent(kaplan_meier(seen).at(months)[0])

    shown = app.dataframe[0].value
    assert shown["Contract"].tolist() == ["Monthly", "One year", "Two years", "All"]
    for column, months in (("After 12 months", 12), ("After 24 months", 24), ("After 60 months", 60)):
        for label, cell in zip(shown["Contract"], shown[column], strict=True):
            rows = known if label == "All" else known.filter(pl.col("contract") == label)
            assert cell.split(" (")[0] == share(rows, months)
    (title,) = (element.value.replace("\\", "") for element in app.title)
    months = int(title.split()[1])
    assert title.startswith(f"After {months} months, {share(known, months)} of customers are still there: monthly")
    assert share(known.filter(pl.col("contract") == "Monthly"), months) in title
    assert "The groups differ by more than chance." in _said(app)
    assert not [name for name in raw_names(tmp_path, "small") if name in _said(app)]


def test_a_filter_and_a_link_narrow_it(tmp_path: Path, run_page: Run) -> None:
    table = _table()
    app = run_page(_home(tmp_path, table), PAGE, stay_by=["Internet"], contract=["Monthly"])
    assert not app.exception
    shown = app.dataframe[0].value
    assert shown["Internet"].tolist() == ["Fibre", "DSL", "No", "All"]
    monthly = table.filter((pl.col("contract") == "Monthly") & pl.col("tenure_m").is_not_null())
    assert shown["Customers"].tolist()[-1] == words.count(monthly.height)
    app.selectbox(key="_box stay_by").set_value("").run()
    assert app.dataframe[0].value.shape[0] == 1
    assert app.query_params["stay_by"] in ("All", ["All"])


def test_a_filter_by_tenure_changes_nothing_and_says_so(tmp_path: Path, run_page: Run) -> None:
    home = _home(tmp_path, _table())
    whole = run_page(home, PAGE)
    app = run_page(home, PAGE, tenure=["0–12 months"])
    assert not app.exception
    (told,) = app.info
    assert told.value.startswith("The filter by Tenure does not count on this page")
    assert app.title[0].value == whole.title[0].value
    assert not whole.info


@pytest.mark.parametrize(
    ("clock", "left", "told"), [(False, 1, "cannot be told from this table"), (True, 0, "Nobody is known to have left")]
)
def test_where_nothing_is_known_the_page_says_what_is_missing(
    clock: bool, left: int, told: str, tmp_path: Path, run_page: Run
) -> None:
    table = _table().with_columns(pl.lit(left, dtype=pl.Int8).alias(LEFT))
    app = run_page(_home(tmp_path, table, clock=clock), PAGE)
    assert not app.exception
    assert told in app.title[0].value
    assert not app.dataframe

"""Performance: the answer, what it is about, whose, and what a page says before there is anything to say."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn.data.schema import Schema
from churn.model.store import Store, open_store
from churn.score import log
from churn.score.batch import score
from churn.score.outcomes import import_outcomes
from churn.settings import Settings
from churn.watch.performance import of_log
from churn.words import count

from .browsing import settled
from .conftest import Served
from .page_bases import BASES, DOCUMENT, customers, raw_names, small_model

Run = Callable[..., AppTest]
PAGE = "pages/watch/performance.py"
TODAY = datetime.now(UTC).date()
MONTHS = [(TODAY.replace(day=1) - timedelta(days=31 * back)).replace(day=5) for back in (4, 3, 2)]


def texts(app: AppTest) -> str:
    elements = (*app.title, *app.caption, *app.markdown, *app.info, *app.warning, *app.error)
    return "\n".join(element.value for element in elements).replace("\\", "")


def _title(app: AppTest) -> str:
    (title,) = app.title
    return title.value.replace("\\", "")


def _store(home: Path) -> Store:
    return open_store(Settings.load(home=home, environ={}))


@pytest.fixture
def months(workspace: Path) -> Path:
    """The small base with three months logged of which two are over; what became of customers follows their risks."""
    schema = Schema.model_validate(DOCUMENT)
    store = _store(workspace)
    shutil.rmtree(workspace / "models" / "default" / "log")  # of the scoring that is shown
    for number, day in enumerate(MONTHS):
        rows = customers(900, seed=20 + number).with_columns(customer=pl.format("{}-{}", pl.lit(number), pl.col("customer")))
        scored = score(rows, small_model(schema), reasons=0)
        log.append(store, scored.rows, schema, model="v1", as_of=day, run=f"m{number}", source="publish")
        left = np.random.default_rng(number).random(rows.height) < scored.rows["__risk__"].to_numpy()
        known = np.where(left, day + timedelta(9), day + timedelta(35))
        told = scored.rows.select(
            "customer",
            pl.Series("left", np.where(left, "yes", "no")),
            pl.Series("known_at", [str(one) for one in known]),
        )
        if number < 2:
            assert not import_outcomes(told, schema, store, known=[], today=TODAY).refused
    return workspace


def test_the_last_month_with_outcomes_is_the_answer(months: Path, run_page: Run) -> None:
    app = run_page(months, PAGE)
    assert not app.exception
    found, last = of_log(_store(months), Schema.model_validate(DOCUMENT), today=TODAY, size=60)[-2:]
    assert found.realised is not None
    assert found.realised.left is not None
    assert _title(app).startswith("The ranking holds: of the 60 riskiest in ")
    assert f"Of all 900 customers, {count(found.realised.left)} left within 30 days" in texts(app)
    assert last.realised is None
    assert "Estimated from the risks alone." in texts(app)
    assert [one.value for one in app.header][:3] == [
        "Promised, and what came of it",
        "Whether the promised risk holds",
        "In figures",
    ]
    assert "On the list " in texts(app)
    (figures,) = [one.value for one in app.markdown if one.value.startswith("| What | What happened | Promised |")]
    assert re.search(r"\n\| Left, of all \| \d+ \| \d+ \(\d+\xa0to\xa0\d+\) \|", figures)  # no break within a range
    assert "100% of outcomes known" in texts(app)


def test_the_list_and_the_window_are_picked_by_the_address(months: Path, run_page: Run) -> None:
    start = MONTHS[0].replace(day=1)
    app = run_page(months, PAGE, performance_list="100", performance_window=f"{start.isoformat()} v1")
    assert "of the 100 riskiest" in _title(app)
    assert f"Scored from {start.day} " in texts(app)
    odd = run_page(months, PAGE, performance_list="none", performance_window="x", performance_whose="<b>", performance_every="x")
    assert not odd.exception
    assert _title(odd).startswith("The ranking holds: of the 60 riskiest in ")


def test_a_cohort_is_looked_at_alone(months: Path, run_page: Run) -> None:
    everybody = run_page(months, PAGE)
    whose = everybody.selectbox(key="_box performance_whose")
    assert "Called" not in whose.options  # nobody was
    app = run_page(months, PAGE, performance_whose="Two years")
    assert not app.exception
    assert "Of all 900" not in texts(app)
    low = run_page(months, PAGE, performance_whose="Low risk")
    assert not low.exception
    weeks = run_page(months, PAGE, performance_every="Week")
    assert "in the week from " in _title(weeks)


def test_before_any_outcome_it_says_when_there_will_be_one(workspace: Path, run_page: Run) -> None:
    late = run_page(workspace, PAGE)
    assert _title(late).startswith("Too early to say: of the outcomes due since ")
    earlier, _ = log.parts(_store(workspace))
    (workspace / "models" / "default" / earlier.name).unlink()
    app = run_page(workspace, PAGE)
    assert _title(app).startswith("Too early to say: the first outcomes are due ")
    assert "Until then, its own word for it: of the 60 riskiest" in texts(app)
    assert "Whether the promised risk holds" not in [one.value for one in app.header]


def test_nothing_logged_says_so(workspace: Path, run_page: Run) -> None:
    shutil.rmtree(workspace / "models" / "default" / "log")
    app = run_page(workspace, PAGE)
    assert _title(app) == "No predictions are logged yet"
    assert not app.exception


def test_a_damaged_part_is_named_and_the_rest_is_shown(months: Path, run_page: Run) -> None:
    part = log.parts(_store(months))[0]
    (months / "models" / "default" / part.name).write_bytes(b"torn")
    app = run_page(months, PAGE)
    assert "Left out of these figures" in app.warning[0].value
    assert _title(app).startswith("The ranking holds")


@pytest.mark.parametrize("name", BASES)
def test_bases_are_drawn_without_raw_names(name: str, run_page: Run, base: Callable[[str], Path]) -> None:
    home = base(name)
    app = run_page(home, PAGE)
    assert not app.exception
    said = texts(app)
    for column in raw_names(home, name):
        assert column not in said


@pytest.mark.browser
def test_a_dot_leads_to_its_month_and_a_row_to_another(
    months: Path, serve: Callable[..., Served], visit: Callable[..., Any]
) -> None:
    page = visit(f"{serve(months).url}/performance")
    months_shown = page.locator(".st-key-_place_over_time .scatterlayer .point")
    months_shown.first.wait_for(state="attached")
    first = MONTHS[0].replace(day=1)
    caption = page.get_by_text(f"Scored from 1 {first:%b %Y}")
    assert not caption.count()
    place = months_shown.nth(0).bounding_box()
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    caption.wait_for()
    assert "performance_window=" in page.url
    page.get_by_role("radio", name="Ranking").click()
    settled(page)
    assert page.get_by_text("How many times in 100 it picks the leaver over a stayer").count() == 1
    caption.wait_for()  # what is looked at stays
    page.get_by_text("See the groups of").click()
    page.wait_for_url("**/cohorts*")

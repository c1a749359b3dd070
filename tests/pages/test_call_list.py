"""The call list: what it answers, whom it leaves out, what leaves the desk, and a campaign from cohort to result."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
import sqlalchemy as sql
from streamlit.testing.v1 import AppTest

from churn.act import campaigns, profit, segments
from churn.act.export import recorded
from churn.base.expected_value import Assumptions
from churn.base.records import CAMPAIGNS, Records
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.score.outcomes import import_outcomes
from churn.settings import Settings
from pages.act import call_list
from pages.shared import data

from .browsing import settled
from .conftest import Served
from .page_bases import customers, publish_model, publish_scoring, teach

PAGE = "pages/act/call_list.py"
ROLES = ("name", "phone", "email", "consent", "do_not_contact", "owner")
ACTIONS = [
    {"name": "year", "label": "A year at 10% off", "set": {"contract": "One year"}, "scale": {"monthly_fee": 0.9}, "cost": 20}
]
Run = Callable[..., AppTest]


def reachable(size: int = 600) -> pl.DataFrame:
    """The made-up customers with contact data: every tenth without consent, every twentieth with the phone of the one before."""
    numbers = [number - 1 if number % 20 == 7 else number for number in range(size)]
    return customers(size, seed=1).with_columns(
        name=pl.Series([f"=Name {number}" for number in range(size)]),
        phone=pl.Series([f"030 23125{number:03d}" for number in numbers]),
        email=pl.Series([f"p{number}@example.org" for number in range(size)]),
        consent=pl.Series(["No" if number % 10 == 0 else "Yes" for number in range(size)]),
        do_not_contact=pl.Series(["No"] * size),
        owner=pl.Series([f"Colleague {number % 3}" for number in range(size)]),
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A workspace whose customers can be called."""
    contacts = {**{role: role for role in ROLES}, "country": "DE"}
    publish_scoring(tmp_path, publish_model(tmp_path, contacts=contacts, actions=ACTIONS), date.today(), reachable())
    (tmp_path / "config.yaml").write_text("user: ann\nroles: contacts\n")
    return tmp_path


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model of the small base was never judged on a holdout; let it count as calibrated."""
    monkeypatch.setattr(profit, "doubt", lambda *_: None)


def _records(home: Path) -> Records:
    return Records(Settings.load(home=home, environ={}))


def _texts(app: AppTest) -> str:
    assert not app.exception
    return "\n".join(one.value for one in (*app.title, *app.markdown, *app.caption, *app.success, *app.error))


@pytest.mark.usefixtures("trusted")
def test_the_answer_is_the_title(run_page: Run, home: Path) -> None:
    app = run_page(home, PAGE, list_calls=["100"])
    told = _texts(app)
    assert re.fullmatch(
        r"Calling 90 of the best 100 customers should save \\?\$[\d.,kM]+ after \\?\$[\d.,kM]+ of cost", app.title[0].value
    )
    assert "Stopped at capacity; the next would be worth" in told
    assert "likely between" in told.lower()
    assert "of 600 customers; each under the first reason that holds" in told
    assert "10 customers of the 100 stay uncalled" in told


@pytest.mark.usefixtures("trusted")
def test_what_is_picked_is_in_the_address_and_changes_the_list(run_page: Run, home: Path) -> None:
    app = run_page(home, PAGE)
    app.number_input("_box list_calls").set_value(40).run()
    assert app.query_params["list_calls"] in ("40", ["40"])
    assert "the best 40 customers" in app.title[0].value
    app.selectbox("_box list_uncalled").set_value(0.0).run()
    assert app.title[0].value.startswith("Calling the best 40 customers")
    assert "Everybody on the list is called" in _texts(app)
    app.number_input("_box list_budget").set_value(30.0).run()
    assert "Stopped at the budget" in _texts(app)
    app.number_input("_box list_offer").set_value(5000.0).run()
    assert app.title[0].value == "Nobody is worth a call on these terms"


def test_money_is_not_told_where_the_percentages_were_not_checked(run_page: Run, home: Path) -> None:
    app = run_page(home, PAGE, list_calls=["100"])
    assert re.fullmatch(
        r"Calling 90 of the best 100 customers should keep \d+ of \d+ expected leavers among them", app.title[0].value
    )
    assert "No money is told: " in _texts(app)
    assert "the next has a risk of" in _texts(app)
    assert not any("is worth" in column for table in app.dataframe for column in table.value.columns)


def test_nobody_unmasked_is_sent_to_the_browser(run_page: Run, home: Path) -> None:
    app = run_page(home, PAGE)
    sent = "".join(table.value.to_csv() for table in app.dataframe) + _texts(app)
    assert "•••" in sent
    assert not re.search(r"=Name|23125|@example", sent)


def test_a_campaign_is_a_draft_and_its_members_leave_the_list(run_page: Run, home: Path) -> None:
    app = run_page(home, PAGE, list_calls=["50"])
    app.text_input("_campaign_name").set_value("Autumn *save*")
    app.button("FormSubmitter:_new_campaign-Start a campaign").click().run()
    assert not app.exception
    records = _records(home)
    (made,) = campaigns.every(records)
    assert (made.called, made.held_out, made.who, made.offer) == (45, 5, "ann", 20.0)
    listed = set(campaigns.members(records, made.id)["customer"])
    assert set(campaigns.groups(records, made.id).columns) > {"customer", "contract"}
    records.close()
    again = run_page(home, PAGE, list_calls=["50"])
    shown = {
        str(key).rsplit(" ", 1)[-1] for table in again.dataframe if "Customer" in table.value for key in table.value["Customer"]
    }
    assert shown
    assert not shown & listed
    again.button("FormSubmitter:_new_campaign-Start a campaign").click().run()
    assert "a campaign needs a name" in _texts(again)


def _shown(app: AppTest) -> list[str]:
    """The customers of the table, by number."""
    tables = (table.value["Customer"] for table in app.dataframe if "Customer" in table.value)
    return [str(key).rsplit(" ", 1)[-1] for keys in tables for key in keys]


@pytest.mark.usefixtures("trusted")
def test_assumptions_that_were_changed_on_the_value_page_hold_for_the_list(run_page: Run, home: Path) -> None:
    picked = {"value_keeps": "60", "value_given": "10", "value_contact": "3", "value_months": "6"}
    handed = {key.replace("value", "list"): [one] for key, one in picked.items()}
    app = run_page(home, PAGE, list_calls=["100"], **handed)
    told = _texts(app).replace("\\", "")
    assert "With assumptions from the Value page: " in told
    for one in ("60% (30% in the settings)", "10% (100% in the settings)", "$3 ($1 in the settings)", "6 months (12 months in"):
        assert one in told
    app.text_input("_campaign_name").set_value("Autumn save")
    app.button("FormSubmitter:_new_campaign-Start a campaign").click().run()
    records = _records(home)
    (made,) = campaigns.every(records)
    records.close()
    assert made.assumptions == Assumptions(alpha=12, beta=8, stayers_taking=0.1, value_months=6, contact_cost=3)
    other = run_page(home, PAGE, list_calls=["100"], **handed)
    title = other.title[0].value
    other.button("_reset").click().run()
    assert "Value page" not in _texts(other)
    assert other.title[0].value != title
    assert "list_keeps" not in other.query_params


@pytest.mark.usefixtures("trusted")
def test_without_a_campaign_that_taught_it_there_is_one_ranking_and_why(run_page: Run, home: Path) -> None:
    app = run_page(home, PAGE, list_rank=["uplift"])
    ranked = app.selectbox("_box list_rank")
    assert ranked.options == ["What a call is worth"]
    assert "No finished campaign has taught whom calling changes" in ranked.help
    assert "Ranked by what a call is worth: no finished campaign has taught" in _texts(app)
    teach(home, columns={"tenure_m": "Tenure", "old_plan": "Old plan"})
    assert "there is no Old plan" in run_page(home, PAGE).selectbox("_box list_rank").help


@pytest.mark.usefixtures("trusted")
def test_ranked_by_whom_calling_changes(run_page: Run, home: Path) -> None:
    found = teach(home)
    app = run_page(home, PAGE, list_calls=["40"])
    usual = _shown(app)
    ranked = app.selectbox("_box list_rank")
    assert (ranked.value, ranked.options) == ("expected value", ["What a call is worth", "Whom calling changes"])
    ranked.set_value("uplift").run()
    assert app.query_params["list_rank"] in ("uplift", ["uplift"])
    told = _texts(app).replace("\\", "")
    assert "Ranking by whom calling changes is better than ranking by risk in Summer *save*" in told
    assert "counted as assumed, the same for everybody" in told
    assert "First those whose risk a call lowers most" in told
    assert "Money by list size" not in [one.value for one in app.header]
    contract = dict(reachable().select("customer", "contract").iter_rows())
    assert {contract[key] for key in _shown(app)} == {"One year"}
    assert "Monthly" in {contract[key] for key in usual}
    app.text_input("_campaign_name").set_value("Autumn save")
    app.button("FormSubmitter:_new_campaign-Start a campaign").click().run()
    records = _records(home)
    (made,) = campaigns.every(records)
    records.close()
    assert (made.plan["ranked_by"], made.plan["learnt"]) == ("uplift", found.models)


@pytest.mark.usefixtures("trusted")
def test_the_list_ends_where_a_call_keeps_nobody(run_page: Run, home: Path) -> None:
    teach(home, risks=(0.3, 0.6))
    app = run_page(home, PAGE, list_calls=["5000"], list_rank=["uplift"], list_offer=["0"])
    assert "Stopped where calling is not expected to lower the risk any more." in _texts(app)
    contract = dict(reachable().select("customer", "contract").iter_rows())
    assert "Two years" not in {contract[key] for key in _shown(app)}


def test_a_missing_suppression_table_stops_the_page_and_says_so(run_page: Run, home: Path) -> None:
    (home / "config.yaml").write_text("suppression: dnc.csv\n")
    app = run_page(home, PAGE)
    assert app.title[0].value == "No call list can be made: who must not be called is not known for sure"
    said = " ".join(one.value for one in (*app.markdown, *app.error))
    assert "is missing, out of date or cannot be read" in said
    assert str(home) not in said.replace("\\", "")  # where files are is not for everybody
    assert not app.dataframe
    (home / "config.yaml").write_text("suppression: dnc.csv\nroles: contacts\n")
    app = run_page(home, PAGE)
    assert "No list is made: the table of setting 'suppression' cannot be read" in app.error[0].value.replace("\\", "")


def test_a_suppression_table_of_others_is_doubted(run_page: Run, home: Path) -> None:
    (home / "config.yaml").write_text("suppression: dnc.csv\n")
    (home / "dnc.csv").write_text("customer\nsomebody\n")
    app = run_page(home, PAGE)
    told = "Of 1 customer number in the table of who must not be called, none is known here, so it keeps nobody"
    assert [one.value for one in app.warning if one.value.replace("\\", "").startswith(told)]
    assert app.title[0].value.startswith("Calling")


def test_a_suppression_table_that_keeps_everybody_leaves_an_empty_page(run_page: Run, home: Path) -> None:
    (home / "config.yaml").write_text("suppression: dnc.csv\n")
    reachable().select("customer").write_csv(home / "dnc.csv")
    app = run_page(home, PAGE)
    assert not app.exception
    pair = data.desk().pair
    assert pair is not None
    call_list.prepare(pair)  # what would keep the desk from starting if it failed
    assert "Nobody" in app.title[0].value


@pytest.mark.parametrize("told", ["1e20", "many", "-1", "nan"])
def test_what_is_no_budget_does_not_stay_in_the_address(told: str, run_page: Run, home: Path) -> None:
    app = run_page(home, PAGE, list_budget=[told])
    assert app.number_input(key="_box list_budget").value is None
    assert "list_budget" not in app.query_params


def test_without_contacts_and_without_money(run_page: Run, tmp_path: Path) -> None:
    publish_scoring(tmp_path, publish_model(tmp_path, money=None), date.today())
    app = run_page(tmp_path, PAGE, list_calls=["60"])
    assert re.fullmatch(
        r"Calling 54 of the best 60 customers should keep \d+ of \d+ expected leavers among them", app.title[0].value
    )
    assert "the next has a risk of" in _texts(app)
    assert "masked" not in _texts(app)


@pytest.mark.browser
def test_from_a_cohort_to_a_result(home: Path, serve: Callable[..., Served], visit: Callable[..., Any]) -> None:
    """Cohort → list → holdout → export → outcomes → result, as a manager does it."""
    page = visit(f"{serve(home).url}/cohorts")
    page.get_by_role("button", name="Monthly", exact=True).first.click()
    settled(page)
    page.get_by_role("link", name="Call list").click()
    page.get_by_role("heading", level=1, name=re.compile("Calling")).wait_for()
    settled(page)
    calls = page.get_by_label("Calls", exact=True)
    calls.fill("120")
    calls.press("Enter")
    page.get_by_role("heading", level=1, name=re.compile("of the best 120 customers")).wait_for()
    settled(page)
    assert "Contract: Monthly" in page.get_by_test_id("stMain").inner_text()

    page.get_by_role("button", name="Segments").click()
    page.get_by_role("textbox", name="Name of these filters").fill("Monthly payers")
    page.get_by_role("button", name="Save segment").click()
    page.get_by_role("button", name="Monthly payers ·").wait_for()
    page.keyboard.press("Escape")

    page.get_by_text("Names and phones as they are").click()
    settled(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export", exact=True).click()
    content = Path(waiting.value.path()).read_bytes()
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    header, *lines = sheet.iter_rows(values_only=True)
    exported = [dict(zip(header, line, strict=True)) for line in lines]
    assert len(exported) == 120
    assert all(re.fullmatch(r"\+4930\d+", row["Phone"]) and row["Name"].startswith("=Name") for row in exported)
    records = _records(home)
    (manifest,) = recorded(records)
    assert manifest.sha256 == hashlib.sha256(content).hexdigest()
    assert (manifest.rows, manifest.who, manifest.unmasked) == (120, "ann", True)
    assert manifest.name == waiting.value.suggested_filename
    assert [one.name for one in segments.of_workspace(records)] == ["Monthly payers"]

    page.get_by_role("textbox", name="Name", exact=True).fill("Autumn save")
    page.get_by_role("button", name="Start a campaign").click()
    page.get_by_role("heading", level=1, name=re.compile("Autumn save")).wait_for()
    settled(page)
    (made,) = campaigns.every(records)
    members = campaigns.members(records, made.id)
    assert members["customer"].to_list() == [row["Customer"] for row in exported]
    assert members.filter(arm="holdout").height == 12
    page.get_by_role("button", name="Start calling").click()
    page.get_by_role("button", name="Start it").click()
    page.get_by_text("Autumn save is running.").wait_for()
    settled(page)
    assert campaigns.find(records, made.id).status == "running"
    with records.begin() as connection:  # sixty days pass
        began = datetime.now(UTC) - timedelta(days=60)
        connection.execute(sql.update(CAMPAIGNS).values(started=began, version=CAMPAIGNS.c.version + 1))

    left = {"call": 0, "holdout": 1}  # as though every call had helped, and everybody else had left
    told = members.select(
        customer="customer",
        left=pl.col("arm").replace_strict(left).cast(pl.String).replace({"0": "no", "1": "yes"}),
        known_at=pl.when(arm="holdout").then(began.date() + timedelta(days=9)).otherwise(date.today()),
    )
    settings = Settings.load(home=home, environ={})
    schema = Registry(open_store(settings), settings).load_model(made.model).schema
    assert import_outcomes(told, schema, open_store(settings)).accepted == 120
    records.close()
    again = visit(page.url)
    told = again.get_by_role("heading", level=1).inner_text()
    assert re.match(r"Autumn save: \d+ points fewer left among those called .*worth \$", told), told

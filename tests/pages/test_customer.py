"""Customer: finding one, the reasons, the what-if that is logged nowhere, and what is kept because somebody says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn import words
from churn.act.scenarios import Kept, delete, keep, of_customer
from churn.base.contact import Contact
from churn.base.expected_value import Assumptions
from churn.base.records import FILE, Records
from churn.data.schema import Schema
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.settings import Settings
from churn.understand.actions import rank_actions
from churn.understand.evidence import Evidence
from pages.shared import data

from ..cli.conftest import Desk
from .browsing import settled
from .page_bases import BASES, DOCUMENT, customers, publish_model, publish_scoring, raw_names, small_model

PAGE = "pages/act/customer.py"
KEY = "C*0011_"  # monthly contract, fibre, no security: a risk of 77%
Run = Callable[..., AppTest]


def table_with(app: AppTest, column: str) -> pd.DataFrame:
    """The first table on the page that has such a column."""
    return next(table.value for table in app.dataframe if column in table.value)


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


def test_screen_file_and_command_line_say_the_same_of_the_same_customers(workspace: Path, run_page: Run) -> None:
    """Words, numbers and rounding: the page, what is scored into a file, and `churn explain`."""
    desk = Desk(workspace)
    customers(600, seed=1).write_csv(workspace / "t.csv")
    desk.done("score", "t.csv", "--out", "scored.csv")
    scored = pl.read_csv(workspace / "scored.csv", infer_schema=False)
    for key in (KEY, "C*0003_", "C*0009_", "C*0040_"):
        title, typical, *lines = desk.done("explain", key, "--reasons", "99").out.splitlines()
        reasons = [line.strip() for line in lines]
        app = run_page(workspace, PAGE, session={"_customer": key})
        assert app.title[0].value.replace("\\", "") == title
        shown = said(app)
        assert re.search(r"this customer's (.+)\. Most", typical)[1] in title  # type: ignore[index]
        for sign in "+−":  # five of each side are told, the others added up
            side = [reason for reason in reasons if re.search(rf": \{sign}[\d]+ points?$", reason)]
            assert all(f"- {reason}" in shown for reason in side[:5]), key
        row = scored.filter(pl.col("customer") == key).row(0, named=True)
        in_file = [row[f"reason {rank}"] for rank in (1, 2, 3) if row[f"reason {rank}"]]
        assert in_file
        assert in_file == reasons[: len(in_file)]


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


def test_contact_data_is_masked(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, session={"_customer": KEY})
    masked = Contact("E. M••••", "+49 ••• ••12 34", None, consent="Yes", owner="Tom *Braun*")
    pair = data.desk().pair
    assert "looked after by" not in said(app)  # this table has none
    pair.contact = lambda customer: masked if customer.key == KEY else None
    app.run()
    assert "E. M•••• · +49 ••• ••12 34 · consent: Yes · looked after by Tom *Braun*" in said(app)


def test_the_list_is_paged(workspace: Path, run_page: Run) -> None:
    assert "1–20 of 600" in said(run_page(workspace, PAGE))
    some = customers(600, seed=1).filter(pl.col("contract") == "Monthly").height
    assert f"1–20 of {some}" in said(run_page(workspace, PAGE, contract=["Monthly"]))


def test_nobody_to_choose_from(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, internet=["No"], **{"online-security": ["Yes"]})
    assert [title.value for title in app.title] == ["No customer matches these filters"]
    assert not app.dataframe


def test_search_finds_nobody(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE)
    app.text_input(key="_search").input("*zz*").run()
    assert "No customer has a number with “*zz*” in it." in said(app)
    assert len(app.dataframe) == 1


def test_customer_no_longer_in_the_base(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, session={"_customer": "gone"})
    assert "Customer gone is not among the customers scored last." in said(app)


def test_reasons_add_up(opened: AppTest, risk: Callable[..., float]) -> None:
    opened.session_state["_facts"] = True  # unfolded
    opened.run()
    assert not opened.exception
    points = table_with(opened, "Fact")["Points"].str.replace("−", "-").astype(int)
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
    app = run_page(workspace, PAGE, session={"_customer": key, "_facts": True})
    assert not app.exception
    assert "not known" in table_with(app, "Fact")["Value"].tolist()
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


def test_the_kind_of_edit_is_named_and_can_be_undone(opened: AppTest) -> None:
    assert "What the risk would be had this customer been so all along." in said(opened)
    field(opened, "contract").set_value("Two years").run()
    next(group for group in opened.button_group if group.key == "_kind").set_value("from now on").run()
    assert not opened.exception
    assert "against doing nothing; the past stays as it was." in said(opened)
    next(button for button in opened.button if button.label == "Undo").click().run()
    assert "had this customer been so all along" in said(opened)
    assert field(opened, "contract").value == "Two years"


def test_what_resembles_nobody_says_why(tmp_path: Path, run_page: Run) -> None:
    reference = customers(400, seed=9).filter((pl.col("contract") != "Two years") | (pl.col("internet") != "Fibre"))
    publish_scoring(tmp_path, publish_model(tmp_path, reference=reference), date.today())
    app = run_page(tmp_path, PAGE, session={"_customer": KEY})
    field(app, "contract").set_value("Two years").run()
    assert "Nobody has both contract: Two years and fibre internet; the answer is a guess." in said(app)
    assert app.metric[0].value.startswith(":gray[")


# -- actions ---------------------------------------------------------------------

ACTIONS = [
    {"name": "two", "label": "Two-year contract", "set": {"contract": "Two years"}, "cost": 20},
    {"name": "cheap", "label": "A fifth off", "scale": {"monthly_fee": 0.8}, "cost": 5},
    {"name": "security", "label": "Online security for free", "set": {"security": "Yes"}, "cost": 9},
]


@pytest.fixture
def with_actions(tmp_path: Path) -> Path:
    """The home of a workspace whose schema has three actions."""
    publish_scoring(tmp_path, publish_model(tmp_path, actions=ACTIONS), date.today())
    return tmp_path


def test_actions_and_every_two_of_them_are_ranked(with_actions: Path, run_page: Run) -> None:
    app = run_page(with_actions, PAGE, session={"_customer": KEY})
    assert not app.exception
    found = table_with(app, "Action")
    assert [str(name).removeprefix(":material/play_arrow: ") for name in found["Action"]][:1] == [
        "Two-year contract + Online security for free"
    ]
    values = [float(text.replace("−", "-").replace("$", "")) for text in found["Net value"]]
    assert values == sorted(values, reverse=True)
    assert len(found) == 5, "the sixth is folded away"
    assert "rest on **assumptions**" in said(app)


def test_without_actions_the_page_says_how_to_add_some(opened: AppTest) -> None:
    assert "No actions are defined yet." in said(opened)
    assert any("actions:" in code.value for code in opened.code)


# -- scenarios -------------------------------------------------------------------


def records(home: Path) -> Records:
    return Records(Settings.load(home=home, environ={}))


def kept(home: Path, **changes: Any) -> Kept:
    """A scenario of the customer, as if somebody had kept it."""
    pointer = Registry(open_store(settings := Settings.load(home=home, environ={})), settings).pointer()
    assert pointer is not None
    given: dict[str, Any] = {
        "customer": KEY,
        "name": "Longer *and* cheaper",
        "edits": (("contract", "Two years"), ("monthly_fee", 30.0)),
        "since": "always",
        "model": pointer.model,
        "scoring": pointer.scoring,
        "risk": 0.1,
        "risk_before": 0.77,
        "who": "ann",
    }
    return keep(records(home), **{**given, **changes})


def test_a_link_opens_the_customer_with_the_edits(workspace: Path, run_page: Run, risk: Callable[..., float]) -> None:
    token = kept(workspace).token
    app = run_page(workspace, PAGE, what_if=[token])
    assert not app.exception
    after = risk(KEY, contract="Two years", monthly_fee=30.0, paid_total=30.0 * row(KEY)["tenure_m"])
    assert app.metric[0].value.lower() == words.percent(after)
    assert field(app, "contract").value == "Two years"
    assert "Longer *and* cheaper" in "\n".join(info.value for info in app.info).replace("\\", "")
    assert "has changed since" not in "\n".join(info.value for info in app.info)
    assert KEY not in str(app.query_params)
    next(button for button in app.button if button.label == "Undo").click().run()
    assert "No change yet" in said(app)


def test_a_link_says_when_the_model_has_changed(workspace: Path, run_page: Run, risk: Callable[..., float]) -> None:
    token = kept(workspace, model="v0", edits=(("contract", "Two years"), ("monthly_fee", 30.0), ("speed", 3.0))).token
    told = "\n".join(info.value for info in run_page(workspace, PAGE, what_if=[token]).info)
    after = risk(KEY, contract="Two years", monthly_fee=30.0, paid_total=30.0 * row(KEY)["tenure_m"])
    assert f"The model has changed since: it was v0, now it is v1, which says {words.percent(after)}." in told
    assert "Not possible any more, and left out: a column that there is no more." in told


def test_a_link_that_leads_nowhere(workspace: Path, run_page: Run) -> None:
    token = kept(workspace).token
    delete(records(workspace), token)
    for address in (token, "nonsense"):
        app = run_page(workspace, PAGE, what_if=[address])
        assert "This link leads to no scenario" in said(app)
        assert app.title[0].value.startswith("Search for a customer")


def test_a_link_to_a_customer_who_is_gone(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, what_if=[kept(workspace, customer="gone").token])
    assert "Customer gone is not among the customers scored last." in said(app)


def test_opening_another_customer_leaves_the_link(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, what_if=[kept(workspace).token])
    app.text_input(key="_search").input("C*0008_").run()
    assert app.title[0].value.replace("\\", "").startswith("C*0008_")
    assert "what_if" not in app.query_params
    assert not app.info


def test_keeping_writes_to_the_database_only_when_asked(opened: AppTest, workspace: Path, risk: Callable[..., float]) -> None:
    field(opened, "contract").set_value("Two years").run()
    place = workspace / "data" / "default" / FILE
    assert not place.exists()
    opened.text_input(key="_keep_name").input("Longer").run()
    opened.button(key="_keep_now").click().run()
    assert not opened.exception
    (found,) = of_customer(records(workspace), KEY)
    assert (found.name, found.edits, found.since) == ("Longer", (("contract", "Two years"),), "always")
    assert found.risk == pytest.approx(risk(KEY, contract="Two years"))
    assert found.risk_before == pytest.approx(risk(KEY))


def test_scenarios_stand_side_by_side_and_a_deleted_one_comes_back(workspace: Path, run_page: Run) -> None:
    one, other = kept(workspace), kept(workspace, name="Other", edits=(("internet", "DSL"),))
    app = run_page(workspace, PAGE, session={"_customer": KEY, "_scenarios": True})
    text = said(app)
    assert "**Longer *and* cheaper**" in text
    assert "Contract: Two years · Monthly fee: $30" in text
    app.button(key=f"_open {other.token}").click().run()
    assert field(app, "internet").value == "DSL"
    app.button(key=f"_delete {one.token}").click().run()
    assert "“Longer *and* cheaper” was deleted." in said(app)
    assert [left.name for left in of_customer(records(workspace), KEY)] == ["Other"]
    app.button(key="_restore").click().run()
    assert len(of_customer(records(workspace), KEY)) == 2
    assert "was deleted" not in said(app)


def test_a_database_that_is_away_takes_nothing_but_the_scenarios(
    workspace: Path, run_page: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "config.yaml").write_text("database: postgresql+psycopg://ann:s3cret@127.0.0.1:1/desk\n")
    app = run_page(workspace, PAGE, session={"_customer": KEY, "_scenarios": True})
    assert not app.exception
    assert "risk of leaving" in app.title[0].value
    errors = "\n".join(error.value for error in app.error)
    assert "cannot be used" in errors
    assert "s3cret" not in errors


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


def choose_first_row(page: Any, block: str) -> None:
    """Tick the box of a table's first row, as the keyboard does: the first cell has the focus when the table gets it."""
    canvas = page.locator(f".st-key-{block} canvas").first
    canvas.scroll_into_view_if_needed()
    settled(page)
    canvas.focus()
    page.keyboard.press("Shift+Space")


@pytest.mark.browser
def test_best_action_in_a_browser(with_actions: Path, serve: Visit, visit: Visit) -> None:
    """The best action fills the what-if as one step, and the risk there is the one that the table promised."""
    model = small_model(Schema.model_validate({**DOCUMENT, "actions": ACTIONS}))
    reference = customers(300, seed=9).select(model.schema.names)
    own = row(KEY)
    found = rank_actions(
        own, own["monthly_fee"], model=model, evidence=Evidence(reference, model.schema), assumptions=Assumptions()
    )
    best = found.outcomes[0]
    page = visit(f"{serve(with_actions).url}/customer")
    search(page, KEY)
    choose_first_row(page, "_actions")
    page.get_by_text("This customer, as edited").wait_for()
    panel = page.locator(".st-key-_what_if")
    assert page.get_by_test_id("stMetricValue").inner_text().lower() == words.percent(best.risk)
    assert f"from {words.percent(found.nothing_done)} doing nothing" in panel.inner_text()
    assert panel.get_by_role("radio", name="From now on").is_checked()
    assert panel.get_by_role("radio", name="Two years").is_checked()
    panel.get_by_role("button", name="Undo").click()
    panel.get_by_text("No change yet").wait_for()
    assert panel.get_by_role("radio", name="Had it always been so").is_checked()


@pytest.mark.browser
def test_unsupported_combination_in_a_browser(tmp_path: Path, serve: Visit, visit: Visit) -> None:
    """A contract that nobody with fibre has greys the answer, in the what-if and along the field."""
    reference = customers(400, seed=9).filter((pl.col("contract") != "Two years") | (pl.col("internet") != "Fibre"))
    publish_scoring(tmp_path, publish_model(tmp_path, reference=reference), date.today())
    page = visit(f"{serve(tmp_path).url}/customer")
    search(page, KEY)
    panel = page.locator(".st-key-_what_if")
    panel.get_by_role("radio", name="Two years").click()
    reason = "Nobody has both contract: Two years and fibre internet; the answer is a guess."
    panel.get_by_text(reason).wait_for()
    panel.get_by_role("radio", name="One year").click()
    panel.get_by_text(reason).wait_for(state="detached")
    page.locator("summary", has_text="How the risk moves along").click()
    block = page.locator(".st-key-_along_block")
    block.get_by_text("Two years · nobody like this").wait_for()
    assert reason in block.inner_text()
    bars = block.locator(".js-plotly-plot .barlayer path")
    bars.nth(bars.count() - 3).click(force=True)  # the first level's row: of three traces the last one takes the clicks
    panel.get_by_text("No change yet").wait_for()
    assert panel.get_by_role("radio", name="Monthly").is_checked()


@pytest.mark.browser
def test_sharing_a_scenario_in_a_browser(workspace: Path, serve: Visit, visit: Visit) -> None:
    """What somebody keeps, a fresh browser opens by a link that names nobody; the note on paper says the same."""
    app = serve(workspace)
    page = visit(f"{app.url}/customer")
    search(page, KEY)
    panel = page.locator(".st-key-_what_if")
    panel.get_by_role("radio", name="Two years").click()
    page.get_by_text("This customer, as edited").wait_for()
    settled(page)
    mine = figures(page)
    with page.expect_download() as download:
        panel.get_by_role("button", name="Note").click()
    paper = Path(download.value.path()).read_text(encoding="utf-8")
    assert re.fullmatch(r"what-if-[0-9a-f-]{36}\.html", download.value.suggested_filename)
    printed = re.findall(r'class="number">([^<]+)<', paper)[1:]
    assert printed == mine
    assert KEY in paper

    page.get_by_role("button", name="Keep…").click()
    page.get_by_role("textbox", name="Name of this scenario").fill("Longer")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_text("Kept as “Longer”").wait_for()
    settled(page)
    page.get_by_role("button", name="Link").click()
    link = page.get_by_test_id("stCode").filter(has_text="what_if=").inner_text().strip()
    assert link.startswith(f"{app.url}/customer?what_if=")
    assert "0011" not in link

    other = visit(link)
    other.get_by_text("This customer, as edited").wait_for()
    settled(other)
    assert heading(other).startswith(KEY)
    assert figures(other) == mine
    assert "Scenario Longer, kept by" in other.get_by_test_id("stMain").inner_text()
    assert other.url == link
    search(other, "C*0008_")
    settled(other)
    assert "what_if" not in other.url


@pytest.mark.browser
def test_similar_customer_is_opened_in_a_browser(workspace: Path, serve: Visit, visit: Visit) -> None:
    page = visit(f"{serve(workspace).url}/customer")
    search(page, KEY)
    page.locator("summary", has_text="Similar customers").click()
    page.wait_for_selector(".st-key-_similar canvas")
    choose_first_row(page, "_similar")
    page.wait_for_function(f"!document.querySelector('h1').innerText.startsWith({json.dumps(KEY)})")
    assert "risk of leaving" in heading(page)

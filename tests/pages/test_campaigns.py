"""Campaigns: the answer in the title, the worklist that two may edit at once, files, history."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn.act import campaigns, worklist
from churn.act.campaigns import CALL, Campaign
from churn.base.expected_value import Assumptions
from churn.base.records import Records
from churn.data import spreadsheet
from churn.model.registry import Registry
from churn.model.store import open_store
from churn.score.outcomes import import_outcomes
from churn.settings import Settings
from pages.act import _list
from pages.shared import data

from .browsing import settled
from .conftest import Served
from .page_bases import AWKWARD, customers, publish_model, publish_scoring, teach

PAGE = "pages/act/campaigns.py"
HORIZON = 30
START = datetime.now(UTC) - timedelta(days=HORIZON + 5)
Run = Callable[..., AppTest]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish_scoring(tmp_path, publish_model(tmp_path), date.today())
    (tmp_path / "config.yaml").write_text("user: ann\n")
    return tmp_path


def records_of(home: Path) -> Records:
    return Records(Settings.load(home=home, environ={}))


def made(records: Records, name: str = "Autumn *save*", first: int = 0, size: int = 400) -> Campaign:
    """A draft of the made-up customers, by their number."""
    table = customers(600, seed=1).slice(first, size)
    rows = table.select(
        "customer",
        rank=pl.int_range(1, size + 1),
        band=pl.when(pl.col("contract") == "Monthly").then(pl.lit("High")).otherwise(pl.lit("Medium")),
        risk=pl.when(pl.col("contract") == "Monthly").then(0.5).otherwise(0.3),
        value=pl.lit(600.0),
        expected_value=pl.lit(40.0),
        action=pl.lit("A year at 10% off"),
        owner=pl.when(pl.col("internet") == "Fibre").then(pl.lit("ann")).otherwise(pl.lit("bob")),
    )
    return campaigns.create(
        records,
        rows,
        name=name,
        model="v1",
        scoring="s1",
        as_of=date.today(),
        horizon_days=HORIZON,
        who="ann",
        assumptions=Assumptions(),
        plan={"offer": 20.0},
        holdout_share=0.25,
        groups=table.select("customer", "contract", "plan"),
        salt="salt",
        at=START,
    )


def with_outcomes(home: Path, records: Records, called: float, held: float) -> None:
    """Of each arm the first so large a share left, ten days after the start; the others are known to have stayed."""
    rows = []
    for arm, share in ((CALL, called), ("holdout", held)):
        keys = campaigns.members(records, campaigns.every(records)[0].id).filter(pl.col("arm") == arm)["customer"].to_list()
        gone = round(share * len(keys))
        rows += [(key, "yes", START.date() + timedelta(days=10)) for key in keys[:gone]]
        rows += [(key, "no", START.date() + timedelta(days=HORIZON + 1)) for key in keys[gone:]]
    settings = Settings.load(home=home, environ={})
    store = open_store(settings)
    schema = Registry(store, settings).load_model("v1").schema
    table = pl.DataFrame(rows, schema=["customer", "left", "known_at"], orient="row")
    assert not import_outcomes(table, schema, store).refused


def texts(app: AppTest) -> str:
    assert not app.exception
    shown = (*app.title, *app.markdown, *app.caption, *app.success, *app.warning, *app.info)
    return "\n".join(one.value for one in shown).replace("\\", "")


def title(app: AppTest) -> str:
    """The title as it is read: without the marks that keep names from being taken for markup."""
    assert not app.exception
    return str(app.title[0].value).replace("\\", "")


def test_nothing_yet_leads_to_a_call_list(run_page: Run, home: Path) -> None:
    app = run_page(home, PAGE)
    assert app.title[0].value == "No campaign yet"
    assert "Start one from a call list" in texts(app)
    assert [button.label for button in app.button if "call list" in button.label] == ["Build a call list"]
    assert not app.selectbox


def test_a_draft_is_started_from_the_page(run_page: Run, home: Path) -> None:
    records = records_of(home)
    campaign = made(records)
    app = run_page(home, PAGE)
    assert title(app) == "Autumn *save* is a draft: 300 to call, 100 kept uncalled"
    app.button("_start").click().run()
    assert campaigns.find(records, campaign.id).status == "draft"  # it is asked first, for it cannot be undone
    app.button("_start_it").click().run()
    assert campaigns.find(records, campaign.id).status == "running"
    told = texts(app)
    assert "is running." in told
    assert "Not enough data yet: about" in told
    assert title(app) == "Autumn *save*: 0 of 300 worked through so far"
    assert [line.source for line in worklist.history(records, campaign.id, limit=1)] == ["page"]
    records.close()


def test_before_there_is_enough_no_difference_is_shown(run_page: Run, home: Path) -> None:
    records = records_of(home)
    campaigns.start(records, made(records, size=160).id, who="ann", at=START)
    with_outcomes(home, records, 0.2, 0.5)
    app = run_page(home, PAGE)
    assert "Did calling help?" in [one.value for one in app.header]  # all of them are known, however few
    records.close()


def test_the_answer_is_the_title(run_page: Run, home: Path) -> None:
    records = records_of(home)
    campaigns.start(records, made(records).id, who="ann", at=START)
    with_outcomes(home, records, 0.2, 0.45)
    assert "Nobody is noted as worked through" in texts(run_page(home, PAGE))
    one = worklist.listed(records, "autumn-save", limit=1)[0]
    worklist.edit(records, "autumn-save", one.customer, version=1, changes={"stage": "saved"}, who="ann")
    app = run_page(home, PAGE)
    told = r"Autumn \*save\*: 2\d points fewer left among those called \(likely 1\d to 3\d\), worth \$\d+k"
    assert re.fullmatch(told, title(app))
    told = texts(app)
    assert "400 of 400 outcomes are known. Who was called was drawn at random" in told
    assert "A customer who is kept is worth 12 months of what they pay now. An assumption." in told
    assert "Offers worked" not in told  # it is not finished
    by = next(one for one in app.segmented_control if one.label == "By")
    assert by.options == ["Risk band", "Contract", "Plan"]
    by.set_value("plan").run()
    assert AWKWARD not in texts(app)
    records.close()


def test_a_finished_one_offers_what_was_measured_and_cannot_be_edited(run_page: Run, home: Path) -> None:
    records = records_of(home)
    campaign = made(records)
    campaigns.start(records, campaign.id, who="ann", at=START)
    campaigns.finish(records, campaign.id, who="ann")
    with_outcomes(home, records, 0.2, 0.45)
    app = run_page(home, PAGE)
    assert "Offers worked for" in texts(app)
    assert "assume_acceptance_alpha" in app.code[0].value
    assert not {"_start", "_finish", "_save"} & {str(button.key) for button in app.button}
    assert "as it was when the campaign was finished" in texts(app).lower()
    records.close()


def test_a_finished_one_says_whether_it_taught_a_better_ranking(run_page: Run, home: Path) -> None:
    records = records_of(home)
    campaign = made(records)
    campaigns.start(records, campaign.id, who="ann", at=START)
    assert "Whom does calling change?" not in [one.value for one in run_page(home, PAGE).header]
    campaigns.finish(records, campaign.id, who="ann")
    with_outcomes(home, records, 0.2, 0.45)
    before = run_page(home, PAGE)
    assert "churn campaign uplift autumn-save" in [one.value for one in before.code]
    found = teach(home, campaign.id)
    app = run_page(home, PAGE)
    told = texts(app)
    assert "**Ranking by whom calling changes is better than ranking by risk in Summer *save*: the first half keeps about" in told
    assert f"Judged on 1,000 customers of this campaign with a known outcome, {found.held} of them kept uncalled" in told
    assert app.button("_way Rank a call list this way").label == "Rank a call list this way"
    open_store(Settings.load(home=home, environ={})).write("uplift/autumn-save/comparison.json", b"{}")
    damaged = run_page(home, PAGE)
    assert "run `churn campaign uplift` again" in damaged.error[0].value.replace("\\", "")
    assert {"Did calling help?", "Worklist"} <= {one.value for one in damaged.header}  # the rest is there all the same
    records.close()


def test_the_address_names_the_campaign(run_page: Run, home: Path) -> None:
    records = records_of(home)
    made(records)
    second = made(records, "Winter save", first=400, size=100)
    app = run_page(home, PAGE, campaign_id=[second.id])
    assert app.title[0].value.startswith("Winter save")
    app.selectbox("_campaign").set_value("autumn-save").run()
    assert app.title[0].value.startswith("Autumn")
    assert app.query_params["campaign_id"] in ("autumn-save", ["autumn-save"])
    nowhere = run_page(home, PAGE, campaign_id=["no such"])
    assert nowhere.title[0].value.startswith(("Winter", "Autumn"))
    records.close()


def test_of_two_with_one_name_the_one_that_is_started_stays_in_sight(run_page: Run, home: Path) -> None:
    records = records_of(home)
    older, newer = made(records, "Save", size=100), made(records, "Save", first=100, size=200)
    app = run_page(home, PAGE, campaign_id=[newer.id])
    assert set(app.selectbox("_campaign").options) == {"Save (draft, save)", "Save (draft, save-2)"}
    app.button("_start").click().run()
    app.button("_start_it").click().run()
    assert title(app).startswith("Save: 0 of 150 worked through")
    assert [campaigns.find(records, one.id).status for one in (older, newer)] == ["draft", "running"]
    assert app.selectbox("_campaign").value == newer.id
    records.close()


def test_a_draft_is_dropped_from_the_page(run_page: Run, home: Path) -> None:
    records = records_of(home)
    campaign = made(records)
    app = run_page(home, PAGE)
    app.button("_drop").click().run()
    app.button("_drop_it").click().run()
    assert campaigns.every(records) == ()
    assert worklist.history(records, campaign.id, limit=1)[0].who == "ann"
    assert title(app) == "No campaign yet"
    records.close()


def test_the_worklist_is_narrowed_by_stage_and_owner(run_page: Run, home: Path) -> None:
    records = records_of(home)
    campaign = campaigns.start(records, made(records).id, who="ann")
    one = worklist.listed(records, campaign.id)[0]
    worklist.edit(records, campaign.id, one.customer, version=1, changes={"stage": "saved"}, who="bob")
    app = run_page(home, PAGE)
    (stages,) = (pills for pills in app.pills if pills.label == "Stage")
    assert stages.options == ["To call 299", "Saved 1"]
    stages.set_value(["saved"]).run()
    assert not app.exception
    assert "–20 of" not in texts(app)
    app.multiselect(f"_owners {campaign.id}").set_value(["bob" if one.owner == "ann" else "ann"]).run()
    assert "Nobody on the worklist matches." in texts(app)
    records.close()


def test_what_is_typed_is_kept_row_by_row_and_what_others_did_is_told(run_page: Run, home: Path) -> None:
    records = records_of(home)
    campaign = campaigns.start(records, made(records).id, who="ann")
    run_page(home, PAGE)
    from pages.act._worklist import save

    shown = worklist.listed(records, campaign.id, limit=3)
    worklist.edit(records, campaign.id, shown[1].customer, version=1, changes={"stage": "lost"}, who="bob")
    typed = {0: {"Stage": "Saved", "Due": "2026-12-24"}, 1: {"Stage": "Saved"}, 2: {"Reason": None, "Owner": "cid"}}
    kept, unsaved = save(campaign.id, shown, typed)
    assert kept == 2
    assert [(one.customer, one.typed, one.why, one.version) for one in unsaved] == [
        (
            shown[1].customer,
            {"Stage": "Saved"},
            f"bob set the stage of customer '{shown[1].customer}' to lost, it was to call; your change was not kept. "
            "Look at it again",
            2,
        )
    ]
    now = worklist.listed(records, campaign.id, limit=3)
    assert [(one.stage, one.owner) for one in now] == [("saved", shown[0].owner), ("lost", shown[1].owner), ("to call", "cid")]
    assert now[0].due == date(2026, 12, 24)
    assert data.desk().visitor.name == "ann"
    assert worklist.history(records, campaign.id, customer=shown[0].customer)[0].who == "ann"
    records.close()


def _typing(app: AppTest, campaign: Campaign, **rows: dict[str, Any]) -> AppTest:
    """Type into the worklist's first page as a browser would, and let the page run."""
    app.session_state[f"_worklist {campaign.id} 1 0"] = {"edited_rows": {int(row[1:]): cells for row, cells in rows.items()}}
    return app.run()


def test_what_counts_is_the_row_that_was_seen_however_often_the_page_ran_since(run_page: Run, home: Path) -> None:
    records = records_of(home)
    campaign = campaigns.start(records, made(records).id, who="ann")
    shown = worklist.listed(records, campaign.id, limit=3)
    app = run_page(home, PAGE)
    worklist.edit(records, campaign.id, shown[1].customer, version=1, changes={"reason": "from A"}, who="bob")
    worklist.edit(records, campaign.id, shown[0].customer, version=1, changes={"stage": "saved"}, who="bob")
    _typing(app, campaign, r1={"Reason": "from B"})
    _typing(app, campaign, r1={"Reason": "from B"}, r2={"Reason": "mine alone"})
    assert [one.disabled for one in app.pills if one.label == "Stage"] == [True]  # nothing moves under what is typed
    app.button("_save").click().run()
    now = worklist.listed(records, campaign.id, limit=3)
    assert [one.reason for one in now] == [None, "from A", "mine alone"]
    told = texts(app)
    assert "1 customer saved." in told
    assert f"bob set the reason of customer '{shown[1].customer}' to from A" in told
    assert f"You typed about {shown[1].customer}: **Reason “from B”**" in told

    worklist.edit(records, campaign.id, shown[1].customer, version=2, changes={"reason": "once more"}, who="bob")
    app.button(f"_mine {shown[1].customer}").click().run()
    assert worklist.listed(records, campaign.id, limit=3)[1].reason == "once more"  # they had not seen that
    assert f"bob set the reason of customer '{shown[1].customer}' to once more, it was from A" in texts(app)
    app.button(f"_mine {shown[1].customer}").click().run()
    assert worklist.listed(records, campaign.id, limit=3)[1].reason == "from B"
    assert "You typed" not in texts(app)
    records.close()


def test_typed_rows_stay_those_of_their_customers_when_the_list_shrinks(run_page: Run, home: Path) -> None:
    records = records_of(home)
    campaign = campaigns.start(records, made(records).id, who="ann")
    shown = worklist.listed(records, campaign.id, limit=3)
    app = run_page(home, PAGE)
    next(pills for pills in app.pills if pills.label == "Stage").set_value(["to call"]).run()
    worklist.edit(records, campaign.id, shown[0].customer, version=1, changes={"stage": "saved"}, who="bob")
    _typing(app, campaign, r1={"Reason": "moved away"})
    app.button("_save").click().run()
    assert [one.reason for one in worklist.listed(records, campaign.id, limit=3)] == [None, "moved away", None]
    records.close()


def test_who_must_not_be_called_any_more_is_marked_and_left_out_of_the_file(run_page: Run, home: Path) -> None:
    records = records_of(home)
    campaign = campaigns.start(records, made(records).id, who="ann")
    first = worklist.listed(records, campaign.id, limit=1)[0].customer
    assert "must not be called" not in texts(run_page(home, PAGE))
    (home / "dnc.csv").write_text(f"customer\n{first}\n")
    (home / "config.yaml").write_text("user: ann\nsuppression: dnc.csv\n")
    _list.forget()
    app = run_page(home, PAGE)
    assert "1 customer must not be called any more: on the list of who must not be called: 1." in texts(app)
    (table,) = (frame.value for frame in app.dataframe if "Do not call" in frame.value.columns)
    assert table["Do not call"].dropna().to_dict() == {0: "On the list"}
    (home / "dnc.csv").unlink()
    _list.forget()
    stopped = run_page(home, PAGE)
    assert "the table of setting 'suppression' cannot be read" in stopped.error[0].value.replace("\\", "")
    assert not [frame for frame in stopped.dataframe if "Stage" in frame.value.columns]
    records.close()


@pytest.mark.browser
def test_two_edit_one_customer_and_a_file_is_taken_in(
    home: Path, serve: Callable[..., Served], visit: Callable[..., Any], tmp_path: Path
) -> None:
    """Two people type into the same row: the second is told what the first did. Then a filled file, twice."""
    records = records_of(home)
    campaign = campaigns.start(records, made(records).id, who="ann")
    first = worklist.listed(records, campaign.id, limit=1)[0]
    address = f"{serve(home).url}/campaigns?campaign_id={campaign.id}"
    one, two = visit(address), visit(address)
    for page, reason in ((one, "wants a discount"), (two, "moved away")):
        _type(page, reason)
    one.get_by_role("button", name="Save 1 change").click()
    one.get_by_text("1 customer saved.").wait_for()
    two.get_by_role("button", name="Save 1 change").click()
    two.get_by_text(re.compile("ann set the reason of customer .* to wants a discount")).wait_for()
    assert worklist.listed(records, campaign.id, limit=1)[0].reason == "wants a discount"

    one.get_by_text("Work in a file").click()
    with one.expect_download() as waiting:
        one.get_by_role("button", name="Download the worklist").click()
    sheet = pl.read_excel(waiting.value.path())
    filled = sheet.with_columns(Stage=pl.lit("Reached"), Due=pl.lit(None), Customer=pl.col("Customer").cast(pl.String))
    file = tmp_path / "filled.xlsx"
    spreadsheet.write(filled.vstack(filled.head(1).with_columns(Customer=pl.lit("X9"))), file)
    for said in ("300 customers changed", "This very file was taken in before"):
        one.locator("input[type=file]").set_input_files(str(file))
        one.get_by_role("button", name="Take it in").click()
        one.get_by_text(said).wait_for()
        one.get_by_text("row 301, customer 'X9': is not in campaign").wait_for()
        settled(one)
    assert worklist.number(records, campaign.id, stages=["reached"]) == 300
    assert worklist.listed(records, campaign.id, limit=1)[0].customer == first.customer
    one.get_by_text("Who changed what").click()
    one.get_by_text("nobody can alter them").wait_for()
    one.get_by_role("button", name="Finish…").click()
    one.get_by_role("button", name="Finish it").click()
    one.get_by_text("is finished.").wait_for()
    assert campaigns.find(records, campaign.id).status == "finished"
    records.close()


def _type(page: Any, reason: str) -> None:
    """Type into the reason of the first customer; the table is drawn, so the cell is found by its place: in the middle."""
    canvas = page.get_by_test_id("stDataFrame").first.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + 35 + 30)
    page.locator("#portal textarea").wait_for()
    page.keyboard.type(reason, delay=30)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save 1 change").wait_for()

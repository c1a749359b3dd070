"""Score a file: dropped, matched, checked, scored, taken along; and nothing of it kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn.data import spreadsheet
from churn.data.schema import Schema

from .browsing import settled
from .page_bases import BASES, DOCUMENT, customers, raw_names, small_model

PAGE = "pages/act/score_file.py"
Run = Callable[..., AppTest]


def table(size: int = 60) -> pl.DataFrame:
    return customers(size, seed=5).select(pl.all().cast(pl.String))


def drop(app: AppTest, frame: pl.DataFrame | bytes, name: str = "new.csv") -> AppTest:
    content = frame if isinstance(frame, bytes) else spreadsheet.as_bytes(frame, f".{name.rsplit('.', 1)[-1]}")
    return app.file_uploader[0].set_value((name, content, "application/octet-stream")).run()


def press(app: AppTest, key: str) -> AppTest:
    return next(button for button in app.button if button.key == key).click().run()


def title(app: AppTest) -> str:
    return app.title[0].value.replace("\\", "")


def said(app: AppTest) -> str:
    parts = (*app.title, *app.caption, *app.markdown, *app.error, *app.warning)
    return "\n".join(element.value for element in parts).replace("\\", "")


@pytest.fixture
def page(workspace: Path, run_page: Run) -> AppTest:
    return run_page(workspace, PAGE)


def test_all_steps_stand_there_from_the_beginning(page: AppTest) -> None:
    assert not page.exception
    assert [header.value for header in page.main.header] == [
        "1 Drop a file",
        "2 Columns matched",
        "3 What is wrong, where",
        "4 Score, download",
        "Or describe one customer",
    ]
    assert "nothing is stored, and these scores are no logged predictions" in said(page)


@pytest.mark.parametrize("name", ["new.csv", "new.xlsx", "new.parquet"])
def test_a_good_file_is_scored_row_for_row(page: AppTest, name: str) -> None:
    app = drop(page, table(), name)
    assert not app.exception
    assert title(app) == "All 60 rows can be scored"
    assert "Nothing keeps a row from being scored" in said(app)
    app = press(app, "_score")
    assert title(app) == "All 60 rows were scored"
    scores = app.session_state["_file"].scores
    model = small_model(Schema.model_validate(DOCUMENT))
    own = dict(customers(60, seed=5).rows_by_key("customer", named=True, unique=True))
    assert set(scores.table["customer"]) == set(own)
    for row in scores.table.iter_rows(named=True):
        assert row["risk"] == pytest.approx(model.explain_row(own[row["customer"]]).risk, abs=1e-6)
    assert [button.label for button in app.get("download_button")] == ["Download Excel", "Download CSV", "Download Parquet"]


def test_bad_rows_are_named_and_left_out_only_by_choice(page: AppTest) -> None:
    row = pl.int_range(pl.len())
    bad = table().with_columns(
        monthly_fee=pl.when(row == 4).then(pl.lit("$1,050.50")).otherwise("monthly_fee"),
        tenure_m=pl.when(row == 7).then(pl.lit("-3")).otherwise("tenure_m"),
    )
    app = drop(page, bad)
    assert title(app) == "58 of 60 rows can be scored; 2 need a correction"
    assert "2 cells: Tenure 1, Monthly fee 1" in said(app)
    told = next(frame.value for frame in app.dataframe if "What is wrong" in frame.value.columns)
    assert told[["Column", "Row", "Value", "What is wrong"]].values.tolist() == [
        ["Tenure", 8, "-3", "must be ≥ 0"],
        ["Monthly fee", 5, "$1,050.50", "must be a number"],
    ]
    assert "2 rows with something wrong are left out, and nothing else" in said(app)
    app = app.toggle[0].set_value(True).run()
    assert title(app) == "59 of 60 rows can be scored; 1 needs a correction"
    assert app.toggle[0].label == "1 cell was put right"
    app = press(app, "_score")
    assert title(app) == "59 of 60 rows were scored; 1 needs a correction"
    app = app.toggle[0].set_value(False).run()  # another question: the scores of the old one are gone
    assert title(app) == "58 of 60 rows can be scored; 2 need a correction"


def test_columns_of_other_names_are_offered_and_taken_only_when_confirmed(page: AppTest) -> None:
    app = drop(page, table().rename({"tenure_m": "Tenure (months)", "plan": "odd *plan*", "customer": "CUSTOMER"}))
    assert title(app) == "Nothing can be scored yet: 3 columns are missing"
    assert "CUSTOMER as Customer number, Tenure (months) as Tenure" in said(app).replace(" and ", ", ")
    assert next(button for button in app.button if button.key == "_score").disabled
    app = press(app, "_take")
    assert not app.exception
    left = [box for box in app.selectbox if box.key == "_column plan"]
    if left and left[0].value is None:
        app = left[0].set_value("odd *plan*").run()
    assert title(app) == "All 60 rows can be scored"
    app = drop(app, table().rename({"tenure_m": "Tenure (months)"}))
    assert title(app) == "Nothing can be scored yet: 1 column is missing"  # what was said was about another file


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"%PDF-1.4", "it is a PDF"),
        (b"", "is empty"),
        (b"PK\x03\x04 nothing", "is no workbook, or a damaged one"),
        (b"a,b\n1,2,3\n", "line 2"),
    ],
)
def test_a_wrong_file_gets_the_librarys_own_words(page: AppTest, content: bytes, says: str) -> None:
    app = drop(page, content, "x.csv")
    assert not app.exception
    assert title(app) == "The file could not be read"
    assert says in app.error[0].value.replace("\\", "")


def test_too_long_a_file_is_refused(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pages.act._file.MOST_ROWS", 50)
    assert "has 60 rows; at most 50 are taken here" in drop(page, table()).error[0].value


def test_a_sheet_is_chosen(page: AppTest) -> None:
    import io

    import xlsxwriter

    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        book.add_worksheet("Notes").write_row(0, 0, ["a", "b"])
        sheet = book.add_worksheet("Customers")
        for place, cells in enumerate([table().columns, *table().iter_rows()]):
            sheet.write_row(place, 0, cells)
    app = drop(page, file.getvalue(), "x.xlsx")
    box = next(box for box in app.selectbox if box.label == "Sheet")
    assert box.options == ["Notes", "Customers"]
    assert title(box.set_value("Customers").run()) == "All 60 rows can be scored"


def test_a_table_scored_before_can_be_picked_and_taking_the_file_away_frees_it(page: AppTest) -> None:
    box = next(box for box in page.selectbox if box.key == "_scoring")
    assert len(box.options) == 2
    smaller = next(place for place, option in enumerate(box.options) if "580 customers" in option)
    app = press(box.select_index(smaller).run(), "_score")
    assert title(app) == "All 580 rows were scored"
    app = next(box for box in app.selectbox if box.key == "_scoring").set_value(None).run()
    assert title(app).startswith("Drop a file")
    assert "_file" not in app.session_state


def test_nothing_of_a_file_is_written_anywhere(page: AppTest, workspace: Path) -> None:
    def everything() -> dict[Path, str]:
        files = (path for path in workspace.rglob("*") if path.is_file())
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = everything()
    press(drop(page, table()), "_score")
    assert everything() == before
    assert not page.query_params


# -- one customer ------------------------------------------------------------------------------------------------------


@pytest.fixture
def form(workspace: Path, run_page: Run) -> AppTest:
    return run_page(workspace, PAGE, session={"_new": True})


def field(app: AppTest, name: str) -> Any:
    kinds = (*app.button_group, *app.selectbox, *app.slider, *app.number_input)
    return next(widget for widget in kinds if widget.key == f"_edit _new_customer {name}")


def test_a_customer_in_no_table_is_described_with_every_field(form: AppTest) -> None:
    assert not form.exception
    fields = {name: field(form, name) for name in small_model(Schema.model_validate(DOCUMENT)).schema.names}
    was = {name: one.value for name, one in fields.items()}
    assert was["tenure_m"] * was["monthly_fee"] == pytest.approx(was["paid_total"], abs=1)
    app = field(form, "tenure_m").set_value(3).run()
    app = field(app, "internet").set_value("No").run()
    assert field(app, "security").value == "No internet service"
    app = field(app, "internet").set_value("Fibre").run()
    assert field(app, "security").value in ("Yes", "No")
    model = small_model(Schema.model_validate(DOCUMENT))
    row = {name: field(app, name).value for name in model.schema.names}
    assert app.metric[-1].value.strip(":gray[]") == f"{round(100 * model.explain_row(row).risk)}%"
    assert "New customer: " in said(app)
    app = press(press(app, "_new_undo"), "_new_reset")
    assert field(app, "internet").value == was["internet"]
    assert field(app, "tenure_m").value == was["tenure_m"]


def test_numbers_are_typed_exactly_and_left_open_where_the_model_knows_how(form: AppTest) -> None:
    fee = field(form, "monthly_fee")
    was, model = fee.value, small_model(Schema.model_validate(DOCUMENT))
    assert fee.label == "Monthly fee, in \\$"
    app = fee.set_value(73.37).run()
    assert field(app, "monthly_fee").value == 73.37
    app = field(app, "monthly_fee").set_value(None).run()
    row = {name: field(app, name).value for name in model.schema.names}
    assert row["monthly_fee"] is None
    assert app.metric[-1].value.strip(":gray[]") == f"{round(100 * model.explain_row(row).risk)}%"
    assert "These can be left not known: " in said(app)
    assert field(press(app, "_new_reset"), "monthly_fee").value == was
    whole = field(app, "contract")
    assert "Not known" not in whole.options


def test_what_is_described_is_no_what_if_of_a_customer(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, session={"_new": True, "_customer": "C*0011_"})
    app = field(app, "contract").set_value("Two years").run()
    app = app.switch_page("pages/act/customer.py").run()
    assert "No change yet" in said(app)


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("name", BASES)
def test_a_base_comes_back_out_of_a_file(
    name: str, base: Callable[[str], Path], serve: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path
) -> None:
    """The newest scoring of a base, taken out of it as a file, dropped in the browser, scored and downloaded."""
    from churn.base.snapshot import ROWS
    from churn.model.registry import Registry
    from churn.model.store import open_store
    from churn.settings import Settings

    home = base(name)
    settings = Settings.load("demo" if name == "demo" else None, home=home, environ={})
    registry = Registry(open_store(settings), settings)
    pointer = registry.pointer()
    assert pointer is not None
    schema = registry.load_model(pointer.model).schema
    assert pointer.scoring is not None
    rows = pl.read_parquet(registry.scoring_folder(pointer.scoring) / ROWS).sample(300, seed=1)
    source = tmp_path / "mine.parquet"
    rows.select(schema.needed).write_parquet(source)
    page = visit(f"{serve(home, workspace=settings.workspace).url}/score-file")
    settled(page)
    page.set_input_files("input[type=file]", source)
    page.get_by_role("heading", name="All 300 rows can be scored").wait_for()
    page.get_by_role("button", name="Score 300 rows").click()
    page.get_by_role("heading", name="All 300 rows were scored").wait_for()
    settled(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    result = pl.read_csv(download.value.path(), schema_overrides={schema.key: pl.String})  # keys may begin with 0
    assert download.value.suggested_filename.startswith("simulated-scored-" if name == "demo" else "scored-")
    assert ("note" in result.columns) == (name == "demo")
    joined = result.select(schema.key, "risk").join(rows.select(pl.col(schema.key).cast(pl.String), "__risk__"), on=schema.key)
    assert joined.height == 300
    assert (joined["risk"] - joined["__risk__"]).abs().max() < 2e-6
    text = page.locator("[data-testid=stMain]").inner_text()
    assert not [raw for raw in raw_names(home, name) if raw in text]
    assert "mine" not in page.url

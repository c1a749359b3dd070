"""The frame around every page: it is there whatever happens, and says what is missing, stale or new."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from churn.errors import DataError, SettingsError, StoreUnavailable
from churn.settings import Settings
from pages.shared import data, widgets

from .page_bases import REPOSITORY, customers, environment, publish_model, publish_scoring

PAGES = {"": "Overview", "cohorts": "Cohorts", "explain": "Explain", "customer": "Customer", "champion": "Champion"}
FILES = {
    "Overview": "pages/understand/overview.py",
    "Cohorts": "pages/understand/cohorts.py",
    "Explain": "pages/understand/explain.py",
    "Retention": "pages/understand/retention.py",
    "Customer": "pages/act/customer.py",
    "Value": "pages/act/value.py",
    "Performance": "pages/watch/performance.py",
    "Champion": "pages/watch/champion.py",
}
_OF_THE_MODEL = ("Performance", "Champion")  # which ask nothing of the base
Run = Callable[..., AppTest]


def said(app: AppTest) -> str:
    kinds = (*app.title, *app.caption, *app.markdown, *app.warning, *app.info, *app.error, *app.code)
    return "\n".join(element.value for element in kinds).replace("\\", "")


# -- states --------------------------------------------------------------------


@pytest.mark.parametrize("page", FILES.values())
def test_no_champion(tmp_path: Path, run_page: Run, page: str) -> None:
    app = run_page(tmp_path, page)
    assert [title.value for title in app.title] == ["There is no champion model yet"]
    assert "churn train" in said(app)
    assert not app.metric, "no figures are made up"


def test_champion_without_scored_customers(tmp_path: Path, run_page: Run) -> None:
    model = publish_model(tmp_path)
    settings = Settings.load(home=tmp_path, environ={})
    registry = data.Registry(data.open_store(settings), settings)
    registry.swap(model=model.version, scoring=None, action="promote", who="test", expected=None)
    app = run_page(tmp_path)
    assert [title.value for title in app.title] == ["There is a champion, but no customers are scored yet"]
    assert "churn score TABLE --publish" in said(app)


@pytest.mark.parametrize("address", ["0.0.0.0", None])
def test_plain_streamlit_that_others_reach_is_refused(
    address: str | None, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data.runtime, "exists", lambda: True)
    monkeypatch.setattr(data.config, "get_option", lambda _: address)
    with pytest.raises(SettingsError, match="allow_anonymous"):
        data.Desk(Settings.load(home=workspace, environ={}))
    assert data.Desk(Settings.load(home=workspace, environ={}, allow_anonymous=True)).visitor.name == "anonymous"


def test_store_that_never_answered(tmp_path: Path, run_page: Run) -> None:
    store = tmp_path / "models" / "default"
    store.mkdir(parents=True)
    (store / "pointer.json").write_bytes(b"{")
    app = run_page(tmp_path)
    assert [title.value for title in app.title] == ["The customers cannot be shown yet"]
    assert len(app.error) == 1
    assert "Traceback" not in said(app)


def test_store_that_went_away(workspace: Path, run_page: Run) -> None:
    """What was shown stays, with a notice; when the store is back the notice goes."""
    app = run_page(workspace)
    store = workspace / "models" / "default"
    pointer = (store / "pointer.json").read_bytes()
    (store / "pointer.json").write_bytes(b"{")
    data.desk().look()
    app.run()
    assert "All 600 customers" in said(app)
    assert "Last try failed:" in said(app)
    (store / "pointer.json").write_bytes(pointer)
    data.desk().look()
    app.run()
    assert not app.warning


class _Away:
    """A store that does not answer."""

    def __init__(self, address: str) -> None:
        self.address = address

    def read(self, key: str) -> None:
        raise StoreUnavailable("the store does not answer")

    list = read


def test_started_while_the_store_is_away(workspace: Path, run_page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine showed last is shown again, from its own verified copies."""
    run_page(workspace)
    monkeypatch.setattr(data, "open_store", lambda settings, there=data.open_store: _Away(there(settings).address))
    app = run_page(workspace)
    assert "All 600 customers" in said(app)
    assert "Last try failed: the store does not answer" in said(app)


def test_old_scoring(workspace: Path, run_page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    created = datetime.now(UTC) - timedelta(days=9, minutes=1)
    monkeypatch.setattr(data.Snapshot, "created", property(lambda self: created))
    app = run_page(workspace)
    assert "Scored 9 days ago; figures may be out of date." in said(app)


def test_new_model_while_open(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace)
    assert not app.info
    first = data.desk().pair
    publish_scoring(workspace, publish_model(workspace), date.today())
    data.desk().look()
    app.run()
    assert data.desk().pair is not first
    assert "Model v2 is in use since" in said(app)
    assert "model v2" in said(app)


def test_simulated_data_says_so(workspace: Path, run_page: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Simulated data" not in said(run_page(workspace))
    monkeypatch.setattr(data.Snapshot, "simulated", property(lambda self: True))
    assert "Simulated data" in said(run_page(workspace))


@pytest.mark.parametrize("page", [file for name, file in FILES.items() if name not in _OF_THE_MODEL])
def test_errors_are_shown_as_a_sentence(workspace: Path, run_page: Run, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    app = run_page(workspace, page)

    def fail(*_: object, **__: object) -> None:
        raise DataError("column 'tenure' must be ≥ 0; row 18 has -3")

    for question in ("totals", "top_customers", "importance"):
        monkeypatch.setattr(data.Snapshot, question, fail)
    data.desk().pair._answers.clear()
    app.run()
    assert [error.value.replace("\\", "") for error in app.error] == ["column 'tenure' must be ≥ 0; row 18 has -3"]
    assert not app.exception


def test_one_run_never_mixes_two_pairs(workspace: Path, run_page: Run) -> None:
    """A pair that arrives in the middle of a run is not used before the next one."""
    run_page(workspace)
    taken = data.begin()
    assert taken is not None
    data.use(taken, data.Filter())
    publish_scoring(workspace, publish_model(workspace), date.today())
    data.desk().look()
    assert data.desk().pair is not taken
    assert data.run().pair is taken
    assert data.begin() is data.desk().pair


def test_desk_swaps_when_another_scoring_is_published(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace)
    model = data.desk().pair.bundle
    publish_scoring(workspace, model, date.today(), customers(500, seed=2))
    data.desk().look()
    app.run()
    assert data.desk().pair.bundle is model, "the model has not changed and is not read again"
    assert "All 500 customers" in said(app)


def test_rolled_back_scoring_is_compared_with_an_earlier_day_only(workspace: Path, run_page: Run) -> None:
    run_page(workspace)
    assert data.desk().pair.movers is not None
    settings = Settings.load(home=workspace, environ={})
    data.Registry(data.open_store(settings), settings).rollback("test")
    data.desk().look()
    pair = data.desk().pair
    assert pair.snapshot.customers == 580
    assert pair.before is None
    assert pair.movers is None
    assert [figures.customers for figures in pair.past] == [580]


def test_answers_are_kept_and_let_go(workspace: Path, run_page: Run) -> None:
    run_page(workspace)
    pair = data.desk().pair
    assert pair.answer("x", lambda: 1) == pair.answer("x", lambda: 2) == 1
    for number in range(300):
        pair.answer(number, lambda: 0)
    assert pair.answer("x", lambda: 3) == 3


def test_filters_stand_as_chips_and_go_one_by_one(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, contract=["Monthly", "One year"], plan=["Basic"])
    assert [button.label for button in app.button if button.key.startswith("_chip ")] == [
        "Contract: Monthly",
        "Contract: One year",
        "Plan: Basic",
    ]
    app.button(key="_chip contract Monthly").click().run()
    assert [button.label for button in app.button if button.key.startswith("_chip ")] == ["Contract: One year", "Plan: Basic"]
    for chip in ("_chip contract One year", "_chip plan Basic"):
        app.button(key=chip).click().run()
    assert "All 600 customers" in said(app)


def test_a_link_to_a_group_that_nobody_has_says_so(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, contract=["Nope", "Monthly"])
    told = "This link filters by Contract: Nope, which these customers do not have; it is left out."
    assert [one.value for one in app.warning] == [told]
    app.button("_close_left_out").click().run()
    assert not app.warning
    assert not run_page(workspace, contract=["Monthly"]).warning


def test_a_link_to_a_column_that_is_not_there_says_so_until_something_else_is_chosen(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, colour=["Red"], contract=["Monthly", "Nope"])
    told = "This link filters by Contract: Nope and colour: Red, which these customers do not have; they are left out."
    assert [one.value for one in app.warning] == [told]
    assert "colour" not in app.query_params
    assert app.run().warning
    app.button(key="_chip contract Monthly").click().run()
    assert not app.warning
    app = run_page(workspace, colour=["Red"])
    assert app.warning
    app.switch_page(str(REPOSITORY / FILES["Cohorts"])).run()
    assert not app.warning
    assert not run_page(workspace, FILES["Cohorts"], by_row=["Contract"], embed=["true"]).warning


@pytest.mark.parametrize(
    ("risk", "cell"), [(0.00001, 0.1), (0.0007, 0.1), (0.0062, 0.6), (0.01, 1), (0.414, 41), (0.99, 99), (0.9999, 99.9)]
)
def test_the_cell_of_a_risk_says_under_one_percent_as_it_is(risk: float, cell: float) -> None:
    assert widgets.risk_cell(risk) == cell


def test_a_group_has_its_columns_name_where_the_label_alone_could_be_anythings(workspace: Path, run_page: Run) -> None:
    run_page(workspace)
    pair = data.desk().pair
    assert pair is not None
    assert widgets.group_name(pair, ("contract", "tenure_m"), ("Monthly", "0–12 months")) == "Monthly · 0–12 months"
    assert widgets.group_name(pair, ("internet", "monthly_fee"), ("No", "$45 to $70")) == "Internet: No · Monthly fee: $45 to $70"
    assert widgets.group_name(pair, ("monthly_fee",), ("$45 to $70",), brief=True) == "$45 to $70"


def test_filters_rest_where_nothing_is_filtered(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, FILES["Champion"], contract=["Monthly"])
    assert "All 600 customers" in said(app)
    assert "Not used on this page" in said(app)
    assert not [button for button in app.button if button.key.startswith("_chip ")]
    app.switch_page(str(REPOSITORY / FILES["Cohorts"])).run()
    assert [button.label for button in app.button if button.key.startswith("_chip ")] == ["Contract: Monthly"]


def test_filter_keys_are_unique_and_readable(tmp_path: Path, run_page: Run) -> None:
    publish_scoring(tmp_path, publish_model(tmp_path), date.today())
    run_page(tmp_path)
    keys = [choice.key for choice in widgets._choices(data.desk().pair)]
    assert keys[:4] == ["contract", "internet", "tenure", "risk"]
    assert len(set(keys)) == len(keys)


# -- what the process loads ------------------------------------------------------

HEAVY = ("shap", "mlflow", "sklearn", "lightgbm", "catboost", "optuna", "numba", "matplotlib", "scipy", "boto3", "sqlalchemy")
_BOTH_PAGES = """
import sys
from streamlit.testing.v1 import AppTest
from pages.shared import data
data.desk().warm()
app = AppTest.from_file("streamlit_app.py", default_timeout=60).run()
assert app.metric and not app.exception, app
app.switch_page("pages/act/customer.py")
app.session_state["_customer"] = "C*0011_"
app.run()
assert app.metric and not app.exception, app
import serve
print(*(name for name in sys.argv[1:] if name in sys.modules))
data.desk().stop()
"""


def test_app_loads_nothing_heavy(workspace: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BOTH_PAGES, *HEAVY],
        cwd=REPOSITORY,
        env=environment(workspace),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


# -- served --------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("page", PAGES)
def test_cold_deep_link_shows_the_frame(page: str, tmp_path: Path, serve: Callable[..., Any], visit: Callable[..., Any]) -> None:
    """The first request to a server that has shown nothing yet."""
    app = serve(tmp_path)
    shown = visit(f"{app.url}/{page}")
    assert shown.title() == f"{PAGES[page]} · Retention"
    for name in PAGES.values():
        shown.get_by_test_id("stSidebar").get_by_role("link", name=name).wait_for()  # one; it fails on two
    assert shown.get_by_text("Page not found").count() == 0
    assert shown.get_by_role("heading", level=1).all_inner_texts() == ["There is no champion model yet"]
    shown.get_by_test_id("stMain").get_by_text("churn train").first.wait_for()  # a code block is drawn a moment later

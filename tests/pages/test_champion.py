"""Champion: what it has shown, why it was chosen, what else there is, and the command that changes it."""

from __future__ import annotations

import io
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn import words
from churn.base.records import Records
from churn.data.schema import Schema
from churn.learn.evaluation import evaluate_holdout
from churn.model import bundle
from churn.model.bundle import Bundle
from churn.model.metrics import Metrics
from churn.model.registry import Pointer, Registry
from churn.model.store import open_store
from churn.settings import Settings
from churn.watch import decisions
from pages.shared.changing import Changing
from pages.shared.data import Desk

from .browsing import settled
from .page_bases import BASES, DOCUMENT, customers, publish_model, publish_scoring, raw_names, small_model

Run = Callable[..., AppTest]
PAGE = "pages/watch/champion.py"
CARD = "# Title\n\n## The model\n- Learnt from `tenure_m`, costs $5 and $6, see [here](http://evil.example) :red[now]\n"


def texts(app: AppTest) -> str:
    elements = (*app.title, *app.caption, *app.markdown, *app.info, *app.warning, *app.error)
    return "\n".join(element.value for element in elements).replace("\\", "")


def measured() -> tuple[Metrics, pl.DataFrame]:
    """What the small model shows on customers whose outcomes are drawn from its own risks."""
    schema = Schema.model_validate(DOCUMENT)
    table = customers(1500, seed=4)
    risk = small_model(schema).score(table).risk
    left = (np.random.default_rng(5).random(table.height) < risk).astype(np.int8)
    return evaluate_holdout(left.astype(float), risk), table.select(schema.names).with_columns(pl.Series("__left__", left))


def publish_measured(home: Path, *, intercept: float = -1.2, **metrics: Any) -> Bundle:
    """Put the small model, or one like it, with holdout, leaderboard and card in the store."""
    settings = Settings.load(home=home, environ={})
    registry = Registry(open_store(settings), settings)
    schema = Schema.model_validate(DOCUMENT)
    shown, rows = measured()
    file = io.BytesIO()
    rows.write_parquet(file)
    estimates = {name: {"value": shown[name].value} for name in ("roc_auc", "log_loss")}
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    behind = {"value": 0.004, "low": -0.001, "high": 0.009}
    folder = home / f"measured-{len(registry.versions())}"
    bundle.save(
        folder,
        small_model(schema, intercept),
        metrics={"kind": "Logistic regression", "saved": "logistic-regression", "rows": 6000, "holdout": shown.to_dict()}
        | metrics,
        leaderboard=[
            {"key": "a", "name": "One <b>kind</b>", "compiles": True, "saved": True, "measures": estimates, "behind": nothing},
            {"key": "b", "name": "Another", "compiles": False, "saved": False, "measures": estimates, "behind": behind},
        ],
        card=CARD,
        reference=customers(300, seed=9).select(schema.names),
        simulated=False,
        extra={bundle.HOLDOUT: file.getvalue()},
    )
    return registry.load_model(registry.publish_model(folder))


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A workspace whose second measured model is in use."""
    publish_scoring(tmp_path, publish_measured(tmp_path), date.today())
    publish_scoring(tmp_path, publish_measured(tmp_path), date.today())
    return tmp_path


def test_title_checks_and_figures(two: Path, run_page: Run) -> None:
    app = run_page(two, PAGE)
    assert not app.exception
    shown, _ = measured()
    lift = words.times(shown.top_decile_lift.value).removesuffix("×")
    (title,) = [title.value.replace("\\", "") for title in app.title]
    assert re.fullmatch(rf"Model v2, in use since \d+ \w+, finds {lift} times more leavers in its top tenth than chance", title)
    text = texts(app)
    assert "A weighted sum of facts that learnt from 6,000 customers. Judged on 1,500 customers new to it" in text
    assert text.count(":blue[**✓**]") == 4
    assert "**It ranks well.**" in text
    assert "**It is no worse than v1.**" in text
    assert "**It is the best of 2 kinds tried.**" in text
    assert [button.label for button in app.main.button if button.key in ("_promote", "_rollback")] == [
        "Put another in use…",
        "Back to v1…",
    ]
    assert "Nothing was decided yet" in text


def tables(app: AppTest) -> dict[str, Any]:
    """The tables of the page by the name of a column that only they have."""
    known = ("Kind of model", "Status", "Better", "Who", "Differs", "All", "What differs", "New one")
    return {name: table.value for table in app.dataframe for name in known if name in table.value.columns}


def test_nobody_unknown_may_change_the_model(two: Path, run_page: Run) -> None:
    (two / "config.yaml").write_text("address: 0.0.0.0\nallow_anonymous: yes\n")
    app = run_page(two, PAGE)
    assert not [button for button in app.main.button if button.key in ("_promote", "_rollback")]
    assert "churn promote v1" in app.code[0].value
    assert "shows model v1 as it was before" in app.code[0].value


def test_tables(two: Path, run_page: Run) -> None:
    found = tables(run_page(two, PAGE))
    tried, versions, compared, history = (found[name] for name in ("Kind of model", "Status", "Better", "Who"))
    assert tried["Kind of model"].tolist() == ["One <b>kind</b>", "Another"]
    assert tried["How sure"].tolist() == ["the best", "may be chance"]
    assert versions["Version"].tolist() == ["v2", "v1"]
    assert versions["Status"].tolist() == ["in use", "used before"]
    assert compared.columns.tolist() == ["", "v2", "v1", "Better"]
    assert set(compared["Better"].dropna()) == {"the same"}
    assert history["What"].tolist() == ["v2 in use", "v1 in use"]
    assert history["Who"].tolist() == ["test", "test"]


def test_gates_that_do_not_hold(tmp_path: Path, run_page: Run) -> None:
    (tmp_path / "config.yaml").write_text("gate_auc: 0.99\ngate_ece: 0.0001\n")
    publish_scoring(tmp_path, publish_measured(tmp_path), date.today())
    text = texts(run_page(tmp_path, PAGE))
    assert text.count(":orange[**✗**]") == 2
    assert "at least 99 are needed" in text
    assert "**It is the first.**" in text


def test_champion_without_metrics(tmp_path: Path, run_page: Run) -> None:
    publish_scoring(tmp_path, publish_model(tmp_path), date.today())
    app = run_page(tmp_path, PAGE)
    assert not app.exception
    assert app.title[0].value.endswith("how well it finds leavers was not measured")
    text = texts(app)
    assert ":orange[**✗**]" in text
    assert "**It was not put to the test.**" in text
    assert "No other kinds of model were trained with this version." in text
    assert "How soon it finds the leavers" not in [header.value for header in app.main.header]
    assert "churn train" in app.code[0].value


def test_judged_by_cross_validation_where_the_holdout_is_too_small(tmp_path: Path, run_page: Run) -> None:
    shown, _ = measured()
    publish_scoring(
        tmp_path,
        publish_measured(tmp_path, holdout=None, cross_validation=shown.to_dict() | {"where": "cross-validation"}),
        date.today(),
    )
    app = run_page(tmp_path, PAGE)
    assert not app.exception
    text = texts(app)
    assert "Too few customers were kept apart to judge it by; in cross-validation it picks the leaver" in text
    assert "**It was not put to the test.**" in text


def test_damaged_version_is_listed_with_its_problem(two: Path, run_page: Run) -> None:
    publish_measured(two)
    place = next(two.glob("models/*/models/v3/metrics.json"))
    place.write_text(place.read_text().replace("0.", "0.9", 1))
    app = run_page(two, PAGE)
    assert not app.exception
    assert tables(app)["Status"]["Status"].tolist() == ["damaged", "in use", "used before"]
    assert any("v3 cannot be used" in warning.value for warning in app.warning)
    assert "v3" not in app.selectbox(key="_compare").options


def test_model_before_it_is_gone(two: Path, run_page: Run) -> None:
    shutil.rmtree(next(two.glob("models/*/models/v1")))
    shutil.rmtree(two / ".cache")
    app = run_page(two, PAGE)
    assert not app.exception
    assert "**It cannot be held against v1 now.**" in texts(app)
    assert "**It ranks well.**" in texts(app)


def test_choosing_versions_to_compare(two: Path, run_page: Run) -> None:
    publish_scoring(two, publish_model(two), date.today())
    app = run_page(two, PAGE)
    assert app.selectbox(key="_compare").value == "v3"
    app.selectbox(key="_with").set_value("v1").run()
    assert tables(app)["Better"].columns.tolist() == ["", "v3", "v1", "Better"]
    assert "v3 carries no figures to compare." in texts(app)
    app.selectbox(key="_with").set_value("v3").run()
    assert "Choose two different versions" in texts(app)


@pytest.fixture
def bolder(tmp_path: Path) -> Path:
    """A workspace with another version beside the one in use, which gives everybody more risk."""
    lineage = {"table": {"sha256": "ab12" * 16, "rows": 6000, "columns": 8}, "run": "r1"}
    publish_scoring(tmp_path, publish_measured(tmp_path, **lineage), date.today())
    publish_measured(tmp_path, intercept=-0.2, **lineage | {"run": "r2", "parent": "v1"})
    return tmp_path


def test_whom_another_version_puts_in_another_band(bolder: Path, run_page: Run) -> None:
    app = run_page(bolder, PAGE)
    assert not app.exception
    schema = Schema.model_validate(DOCUMENT)
    table = customers(600, seed=1)
    risks = [small_model(schema, intercept).score(table).risk for intercept in (-1.2, -0.2)]
    edges = [band.below for band in schema.bands]
    bands = [np.searchsorted(edges, risk, side="right") for risk in risks]
    moving = int((bands[0] != bands[1]).sum())
    assert f"{moving} of 600 customers change band with v2: {moving} to a higher one." in texts(app)
    found = tables(app)
    counts = found["All"].set_index("v1")
    for i, down in enumerate(schema.bands):
        for j, across in enumerate(schema.bands):
            assert counts.loc[down.name, across.name] == str(int(((bands[0] == i) & (bands[1] == j)).sum()))
    assert counts.loc["All", "All"] == "600"
    why = found["What differs"].set_index("What differs").iloc[:, 0]
    assert (
        why.index.tolist() == ["A typical customer", "Everything else", "Risk, on average"] or "A typical customer" in why.index
    )
    shown = [float(line.replace(words.MINUS, "-")) for line in why]
    assert sum(shown[:-1]) == pytest.approx(shown[-1])
    most = found["Differs"]
    change = risks[1] - risks[0]
    assert most["Differs"].iloc[0] == words.points(float(change.max()), unit=False)
    assert "A typical customer" in most["What v2 sees otherwise"].iloc[0]
    compared = found["Better"].set_index("")
    assert compared.loc["Table"].tolist()[:2] == ["the same", "the same"]
    assert any("table ab12ab12ab" in (one.proto.help or "") for one in app.caption)
    assert compared.loc["Made to succeed", "v2"] == "v1"


def test_a_version_that_the_customers_cannot_be_scored_with(two: Path, run_page: Run) -> None:
    fewer = publish_model(two, features=DOCUMENT["features"][:-1], segments=["contract"])
    publish_scoring(two, fewer, date.today())
    app = run_page(two, PAGE)
    assert not app.exception
    assert any("the customers on the desk have no column 'plan'" in warning.value for warning in app.warning)


def test_decisions_and_the_version_in_shadow(bolder: Path, run_page: Run) -> None:
    settings = Settings.load(home=bolder, environ={})
    records = Records(settings)
    difference = {"value": -0.0123, "standard_error": 0.002, "low": -0.016, "high": -0.008}
    decisions.record(
        records,
        decisions.SHADOW,
        cause="score drift",
        model="v1",
        challenger="v2",
        words="It may be better; outcomes will tell.",
        evidence={"paired": {"difference": difference}},
        day=date.today(),
        who="night",
    )
    Registry(open_store(settings), settings).set_challenger("v2", who="night", reason="drift", expected=None)
    records.close()
    app = run_page(bolder, PAGE)
    assert not app.exception
    assert "**v2 runs in shadow**" in texts(app)
    (row,) = tables(app)["New one"].to_dict("records")
    assert row["What"] == "A new model runs beside the champion"
    assert row["Error, new minus old"] == f"{words.MINUS}0.0123 ({words.MINUS}0.0160 to {words.MINUS}0.0080)"


# -- changing the model ----------------------------------------------------------


@pytest.fixture
def changing(bolder: Path) -> Iterator[Changing]:
    desk = Desk(Settings.load(home=bolder, environ={}))
    desk.look()
    yield desk.changing
    desk.stop()


def pointer_of(changing: Changing) -> Pointer:
    pointer = changing._desk.registry.pointer()
    assert pointer is not None
    return pointer


def test_a_promotion_and_the_way_back(changing: Changing) -> None:
    seen = pointer_of(changing)
    assert changing.promote("v2", seen=seen, who="ann", reason="bolder", despite_gates=True) is not None
    changing.wait()
    change = changing.change
    assert change is not None
    assert (change.running, change.error, change.rescored, change.total) == (False, None, 600, 3)
    now = pointer_of(changing)
    assert (now.model, now.by) == ("v2", "ann")
    assert changing._desk.pair is not None
    assert changing._desk.pair.bundle.version == "v2"  # on the desk already
    assert changing.roll_back("v1", seen=now, who="ben", reason="too bold") is not None
    changing.wait()
    assert changing.change is not None
    assert changing.change.error is None
    assert (pointer_of(changing).model, pointer_of(changing).scoring) == (seen.model, seen.scoring)


def test_one_change_at_a_time(changing: Changing, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, go_on = pointer_of(changing), threading.Event()
    monkeypatch.setattr(changing._desk.registry, "rollback", lambda *_, **__: go_on.wait(20))
    assert changing.roll_back("v1", seen=seen, who="ann", reason="first") is not None
    assert changing.promote("v2", seen=seen, who="ben", reason="second", despite_gates=True) is None
    go_on.set()
    changing.wait()
    assert changing.change is not None
    assert (changing.change.who, changing.change.running) == ("ann", False)


def test_who_comes_second_is_told(changing: Changing, bolder: Path) -> None:
    seen = pointer_of(changing)
    publish_scoring(bolder, changing._desk.registry.load_model("v1"), date.today(), customers(550, seed=3))
    changing.promote("v2", seen=seen, who="ann", reason="bolder", despite_gates=True)
    changing.wait()
    change = changing.change
    assert change is not None
    assert change.second
    assert "test was faster" in (change.error or "")
    assert pointer_of(changing).model == "v1"


def test_what_nobody_foresaw_ends_the_change_too(changing: Changing, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = pointer_of(changing)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(changing._desk.registry, "rollback", lambda *_, **__: 1 / 0)
    changing.roll_back("v1", seen=seen, who="ann", reason="first")
    changing.wait()
    assert changing.change is not None
    assert not changing.change.running
    assert "nobody foresaw" in (changing.change.error or "")
    monkeypatch.undo()
    assert changing.promote("v2", seen=seen, who="ann", reason="again", despite_gates=True) is not None
    changing.wait()


def test_card_is_shown_without_its_markup(two: Path, run_page: Run) -> None:
    app = run_page(two, PAGE, session={"_card": True})
    (card,) = [element.value for element in app.markdown if "The model" in element.value]
    assert card.startswith("### The model")
    assert "Learnt from Tenure" in card
    assert "\\$5 and \\$6" in card
    assert "](" not in card.replace("\\](", "")
    assert "http:" not in card


# -- in a browser --------------------------------------------------------------

Visit = Callable[..., Any]


@pytest.mark.browser
@pytest.mark.parametrize("home", BASES)
def test_cold_deep_link(home: str, base: Callable[[str], Path], serve: Visit, visit: Visit) -> None:
    app = serve(base(home), workspace="demo" if home == "demo" else "default")
    page = visit(f"{app.url}/champion")
    heading = page.get_by_role("heading", level=1)
    assert heading.count() == 1
    assert heading.inner_text().startswith("Model v")
    page.get_by_test_id("stSidebar").get_by_text("Champion").wait_for()
    if home != "small":  # which carries no figures
        page.locator(".js-plotly-plot .scatterlayer").nth(3 if home == "demo" else 1).wait_for(state="attached")
        alt = page.locator("[role=figure]").evaluate_all("figures => figures.map(figure => figure.getAttribute('aria-label'))")
        compared = ["Two gain curves", "Dots of two models"] if home == "demo" else []  # the demo has renewed its model
        assert [text.split(":")[0] for text in alt] == ["Gain curve", "Dots", *compared]
    seen = page.get_by_test_id("stMain").inner_text()
    for raw in raw_names(base(home), home):  # the card names the columns left out too, which have no other name
        assert raw not in seen
    page.get_by_text("Model card").click()
    page.get_by_text("Card" if home == "small" else "What it is for").last.wait_for()
    main = page.get_by_test_id("stMain").inner_text()
    assert ("Simulated data" in main) is (home == "demo")
    for careless in ("None", "nan", "NaN", "undefined"):
        assert careless not in main
    assert page.get_by_test_id("stException").count() == 0
    app.process.terminate()


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_phone_and_both_themes(dark: bool, two: Path, serve: Visit, visit: Visit) -> None:
    page = visit(f"{serve(two).url}/champion", width=390, height=844, dark=dark)
    page.locator(".js-plotly-plot .annotation-text").nth(4).wait_for(state="attached")
    ink = page.evaluate("getComputedStyle(document.querySelector('.js-plotly-plot .annotation-text')).fill")
    assert ink == ("rgb(230, 235, 241)" if dark else "rgb(15, 23, 34)")
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
    mark, said = (page.get_by_text(text).first.bounding_box() for text in ("✓", "It ranks well."))
    assert abs(mark["y"] - said["y"]) < 10  # the mark stands beside its words
    assert mark["x"] < said["x"]


@pytest.mark.browser
def test_a_promotion_appears_by_itself(two: Path, serve: Visit, visit: Visit) -> None:
    page = visit(f"{serve(two, refresh_s=0.5).url}/champion")
    page.get_by_role("heading", name=re.compile("^Model v2")).wait_for()
    publish_scoring(two, publish_model(two), date.today())
    page.get_by_role("heading", name=re.compile("^Model v3")).wait_for(timeout=15_000)


@pytest.mark.browser
def test_compare_and_open_a_customer(bolder: Path, serve: Visit, visit: Visit) -> None:
    page = visit(f"{serve(bolder).url}/champion")
    page.get_by_role("heading", name="Who changes band").wait_for()
    assert page.get_by_text(re.compile("customers change band with v2")).count() == 1
    first = page.locator(".st-key-_compare").get_by_role("combobox")
    for version, then in (("v2", "Choose two different versions"), ("v1", "customers change band with v2")):
        first.scroll_into_view_if_needed()
        settled(page)
        first.click()
        page.get_by_role("option", name=version).click()
        page.get_by_text(then).wait_for()
    place = page.get_by_test_id("stDataFrame").nth(4)  # after versions, figures, bands and what makes the difference
    place.scroll_into_view_if_needed()
    settled(page)
    box = place.bounding_box()
    page.mouse.click(box["x"] + 90, box["y"] + 60)
    page.get_by_role("heading", level=1, name=re.compile("risk of leaving")).wait_for()


@pytest.mark.browser
def test_promote_and_go_back(bolder: Path, serve: Visit, visit: Visit) -> None:
    app = serve(bolder, refresh_s=60, gate_ece=1, gate_log_loss_slack=0.0)
    page = visit(f"{app.url}/champion")
    other = visit(f"{app.url}/champion")
    page.get_by_role("button", name="Put another in use…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("customers change band with v2").wait_for()
    dialog.get_by_role("button", name="Put v2 in use").click()
    dialog.get_by_text("Say why").wait_for()
    dialog.get_by_label("Why").fill("It is *bolder*")
    dialog.get_by_label("Why").press("Tab")
    settled(page)
    dialog.get_by_role("button", name="Put v2 in use").click()
    page.get_by_text("v2 is in use. 600 customers were scored with it.").wait_for()
    page.get_by_role("heading", level=1, name=re.compile("^Model v2")).wait_for()
    other.reload()
    other.get_by_role("heading", level=1, name=re.compile("^Model v2")).wait_for()
    page.get_by_role("button", name="Back to v1…").click()
    dialog.get_by_text("is shown again as it was").wait_for()
    dialog.get_by_label("Why").fill("Too bold")
    dialog.get_by_label("Why").press("Tab")
    settled(page)
    dialog.get_by_role("button", name="Go back to v1").click()
    page.get_by_text("v1 is shown again as it was.").wait_for()
    page.get_by_role("heading", level=1, name=re.compile("^Model v1")).wait_for()
    history = Registry(open_store(Settings.load(home=bolder, environ={})), Settings.load(home=bolder, environ={})).history()
    assert [(entry.model, entry.reason) for entry in history[1:]] == [("v2", "It is *bolder*"), ("v1", "Too bold")]

"""No column's own name anywhere: not on a page of the menu, not in a file a page gives away, whatever the table is like."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn.data import spreadsheet
from churn.data.quality import check
from churn.data.schema import Schema
from churn.model import bundle
from churn.model.encoder import Encoder
from churn.model.registry import Registry
from churn.model.scoring import ScoringModel
from churn.model.store import open_store
from churn.model.trees import CodeTerm, LinearTerms, NumberTerm
from churn.score import people, score_file
from churn.score.batch import score
from churn.score.publish import publish
from churn.settings import Settings
from churn.understand.account import Typical

from .browsing import settled
from .page_bases import DOCUMENT, REPOSITORY, customers, raw_names

ODD = {
    "tenure_m": "x__TENURE (m)",
    "monthly_fee": "ARPU_$",
    "paid_total": "Sum.of-all",
    "contract": "CNTRCT_TYP_CD",
    "internet": "NetSvc|kind",
    "security": "has_SEC=1",
    "plan": "COL_17",
}
SCHEMAS = ("odd", pytest.param("demo", marks=pytest.mark.xdist_group("demo")))


def _odd_document() -> dict[str, Any]:
    features = [{**feature, "name": ODD[feature["name"]]} for feature in DOCUMENT["features"]]
    features[2]["formula"] = f"`{ODD['tenure_m']}` * `{ODD['monthly_fee']}`"
    rules = [
        {"when": f"`{ODD['internet']}` = 'No'", "then": {ODD["security"]: "No internet service"}},
        {"when": f"`{ODD['tenure_m']}` > 70 and `{ODD['monthly_fee']}` < 30", "then": {ODD["contract"]: "Two years"}},
    ]
    segments = [ODD[name] for name in DOCUMENT["segments"]]
    return {**DOCUMENT, "features": features, "rules": rules, "money": {"column": ODD["monthly_fee"]}, "segments": segments}


@pytest.fixture(scope="module")
def odd_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small base again, its columns named as warehouses name them, its rules as conditions."""
    home = tmp_path_factory.mktemp("odd")
    settings = Settings.load(home=home, environ={})
    store = open_store(settings)
    registry = Registry(store, settings)
    schema = Schema.model_validate(_odd_document())
    background = customers(300, seed=9).rename(ODD)
    numbers = tuple(
        NumberTerm(schema.names.index(ODD[name]), weight, 0.0, 0.0)
        for name, weight in (("tenure_m", -0.05), ("monthly_fee", 0.02))
    )
    codes = tuple(
        CodeTerm(schema.names.index(ODD[name]), np.array([*weights, 0.0, 0.0]))
        for name, weights in (("contract", [1.2, -0.4, -1.2]), ("internet", [0.8, 0.0, -0.6]), ("plan", [0.3, -0.3]))
    )
    model = ScoringModel.build(
        schema, Encoder.fit(background, schema), (), background, linear=LinearTerms(numbers, codes), intercept=-1.2
    )
    reference = background.select(schema.names)
    metrics = {"calibration_covariance": [[1e-3, 0.0], [0.0, 1e-3]]}
    bundle.save(home / "bundle", model, metrics=metrics, leaderboard=[], card="#", reference=reference, simulated=False)
    loaded = registry.load_model(registry.publish_model(home / "bundle"))
    rows = score(customers(600, seed=1).rename(ODD), loaded.model)
    publish(rows, loaded, registry, store, as_of=date.today(), who="test", action="promote")
    return home


@pytest.fixture
def home(request: pytest.FixtureRequest, base: Callable[[str], Path]) -> tuple[str, Path]:
    name = str(request.param)
    return name, request.getfixturevalue("odd_home") if name == "odd" else base(name)


def _pages() -> list[str]:
    """The address of every page in the menu."""
    text = (REPOSITORY / "streamlit_app.py").read_text(encoding="utf-8")
    found = re.findall(r'url_path="([^"]+)"', text)
    assert len(found) >= 4
    return ["", *found]


def _told(raw: list[str], text: str) -> list[str]:
    return [name for name in raw if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]


@pytest.mark.browser
@pytest.mark.parametrize("home", SCHEMAS, indirect=True)
def test_no_page_and_no_file_names_a_column(home: tuple[str, Path], serve: Callable[..., Any], visit: Callable[..., Any]) -> None:
    """Every page of the menu, all that can be unfolded unfolded, and every file it offers."""
    name, place = home
    raw = raw_names(place, name)
    assert raw
    url = serve(place, workspace="demo" if name == "demo" else "default").url
    for address in _pages():
        page = visit(f"{url}/{address}")
        settled(page)
        if address == "customer":
            _open_somebody(page)
        for summary in page.locator("[data-testid=stMain] summary").all():
            if summary.is_visible():
                summary.click()
                settled(page)
        text = page.locator("body").inner_text() + page.content().split("<body", 1)[1].replace("st-key-", "")
        seen = re.sub(r'(class|id|data-[\w-]+|for|name)="[^"]*"', "", text)
        assert not _told(raw, seen), (address, _told(raw, seen))
        for button in page.locator("[data-testid=stDownloadButton] button:not([disabled])").all():
            if button.is_visible():
                with page.expect_download() as download:
                    button.click()
                assert not _told(raw, _text_of(download.value.path())), (address, button.inner_text())


def _open_somebody(page: Any) -> None:
    box = page.get_by_placeholder(re.compile("Customer number"))
    example = box.get_attribute("placeholder").split("e.g. ")[-1]
    box.fill(example)
    box.press("Enter")
    page.get_by_role("heading", name=re.compile("risk of leaving")).wait_for()
    settled(page)


def _text_of(path: Path) -> str:
    data = Path(path).read_bytes()
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return "\n".join(archive.read(part).decode("utf-8", "replace") for part in archive.namelist())
    return data.decode("utf-8", "replace")


@pytest.mark.parametrize("home", SCHEMAS, indirect=True)
def test_no_table_or_figure_that_is_drawn_names_a_column(
    home: tuple[str, Path], run_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a browser draws as a picture, and no text of the page shows: cells and headings of tables, figures, options."""
    name, place = home
    raw = raw_names(place, name)
    if name == "demo":
        monkeypatch.setenv("CHURN_WORKSPACE", "demo")
    settings = Settings.load("demo" if name == "demo" else None, home=place, environ={})
    registry = Registry(open_store(settings), settings)
    pointer = registry.pointer()
    assert pointer is not None
    if name == "demo":
        pytest.skip("the page runner knows the default workspace only; the browser sees the demo")
    for file in sorted((REPOSITORY / "pages").glob("*/*.py")):
        if file.parent.name == "shared" or file.name.startswith("_"):
            continue
        app = run_page(place, str(file.relative_to(REPOSITORY)), session={"_customer": "C*0011_", "_new": True})
        assert not app.exception, file
        texts = [str(frame.value.to_dict()) for frame in app.dataframe]
        texts += [str(_drawn(json.loads(chart.proto.spec))) for chart in app.get("plotly_chart")]
        texts += [str(box.options) + str(box.label) for box in (*app.selectbox, *app.button_group, *app.radio)]
        for text in texts:
            assert not _told(raw, text), (file.name, text[:2_000])


def _drawn(figure: Any) -> Any:
    """A figure without what a click hands over, which nobody sees."""
    if isinstance(figure, dict):
        return {key: _drawn(part) for key, part in figure.items() if key not in ("customdata", "uid", "ids", "meta")}
    return [_drawn(part) for part in figure] if isinstance(figure, list) else figure


@pytest.mark.parametrize("home", SCHEMAS, indirect=True)
def test_no_file_for_people_names_a_column(home: tuple[str, Path]) -> None:
    name, place = home
    raw = raw_names(place, name)
    settings = Settings.load("demo" if name == "demo" else None, home=place, environ={})
    registry = Registry(open_store(settings), settings)
    pointer = registry.pointer()
    assert pointer is not None
    assert pointer.scoring is not None
    loaded = registry.load_model(pointer.model)
    schema = loaded.schema
    rows = pl.read_parquet(registry.scoring_folder(pointer.scoring) / "rows.parquet").head(200).select(schema.needed)
    scored = score(rows, loaded.model, len(schema.names))
    told = people.scored_for_people(scored, schema, Typical.of(loaded.reference, schema))
    wrong = rows.with_columns(pl.lit("soon").alias(feature.name) for feature in schema.features).cast(pl.String)
    checked = score_file.check(wrong, schema, score_file.match(wrong.columns, schema))
    report = score_file.problem_table(checked.problems, schema, checked.match).drop("In the file")  # that is the file's own
    notices = "\n".join(one.rule for one in check(rows, schema, labels=True).warnings)
    for table in (told, report):
        assert table.height
        for kind in spreadsheet.KINDS[:1]:
            assert not _told(raw, spreadsheet.as_bytes(table, kind).decode())
    assert not _told(raw, notices)

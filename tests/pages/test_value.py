"""Value: what an offer is worth, in figures that follow from the rows, and hidden where the percentages do not hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from churn import words
from churn.act import profit
from churn.base.expected_value import Assumptions, expected_value
from churn.data.quality import LEFT
from churn.data.schema import Schema
from churn.model.store import open_store
from churn.score.outcomes import import_outcomes
from churn.settings import Settings

from .page_bases import DOCUMENT, REPOSITORY, customers, publish_model, publish_scoring, raw_names, small_model

Run = Callable[..., AppTest]
PAGE = "pages/act/value.py"


def _said(app: AppTest) -> str:
    kinds = (*app.title, *app.header, *app.caption, *app.markdown)
    return "\n".join(element.value for element in kinds).replace("\\", "")


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model of the small base was never judged on a holdout; let it count as calibrated."""
    monkeypatch.setattr(profit, "doubt", lambda *_: None)


def _worth(offer: float, assumptions: Assumptions, only: str | None = None) -> np.ndarray:
    """What an offer to each customer is worth, best first, from the model and the rows."""
    table = customers(600, seed=1)
    table = table.filter(pl.col("contract") == only) if only else table
    risk = small_model(Schema.model_validate(DOCUMENT)).score(table).risk
    worth = expected_value(risk, table["monthly_fee"].cast(pl.Float64).to_numpy() * assumptions.value_months, offer, assumptions)
    return np.sort(worth[~np.isnan(worth)])[::-1]


@pytest.mark.usefixtures("trusted")
def test_the_title_is_the_sum_of_what_each_is_worth(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, value_offer=["40"])
    assert not app.exception
    worth = _worth(40, Assumptions())
    best, brings = int((worth > 0).sum()), words.money(worth[worth > 0].sum(), "$", cents=False)
    (title,) = app.title
    assert title.value.replace("\\", "") == (
        f"An offer of $40 is worth making to {best} of 600 customers and should bring {brings}"
    )
    shown = app.dataframe[0].value
    assert shown["Contract"].tolist()[0] == "Monthly"
    monthly = _worth(40, Assumptions(), "Monthly")
    assert shown["Should bring"].tolist()[0] == words.money(monthly[monthly > 0].sum(), "$", cents=False)
    assert shown["Worth it for"].tolist()[0].startswith(words.count(int((monthly > 0).sum())))
    assert _said(app).count("An assumption.") == 4
    assert not [name for name in raw_names(workspace, "small") if name in _said(app)]


@pytest.mark.usefixtures("trusted")
def test_what_was_changed_here_goes_along_to_the_call_list(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, value_offer=["40"], value_calls=["50"], value_keeps=["50"], value_months=["6"])
    title = app.title[0].value
    app.button("_way Make this call list").click().run()
    app.switch_page(str(REPOSITORY / "pages/act/call_list.py")).run()  # where the button led, for the runs that follow too
    brings = title.rpartition(" ")[2]
    app.selectbox("_box list_uncalled").set_value(0.0).run()
    assert app.title[0].value.startswith(f"Calling the best 50 customers should save {brings} after")
    assert "50% (30% in the settings)" in _said(app)
    assert "6 months (12 months in the settings)" in _said(app)


@pytest.mark.usefixtures("trusted")
def test_calls_and_assumptions_are_changed_for_the_session_and_in_the_link(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE, value_offer=["40"], value_calls=["50"])
    worth = _worth(40, Assumptions())
    assert app.number_input(key="_box value_calls").value == 50
    assert run_page(workspace, PAGE).number_input(key="_box value_calls").value is None  # no limit, as the call list has it
    assert app.title[0].value.replace("\\", "") == (
        f"An offer of $40 to the best 50 customers should bring {words.money(worth[:50].sum(), '$', cents=False)}"
    )
    app.number_input(key="_box value_keeps").set_value(50.0).run()
    changed = _worth(40, Assumptions(alpha=10, beta=10))
    assert words.money(changed[:50].sum(), "$", cents=False) in app.title[0].value.replace("\\", "")
    assert app.query_params["value_keeps"] in ("50", ["50"])
    assert "changed from 30%" in _said(app)
    app.button(key="_reset").click().run()
    assert words.money(worth[:50].sum(), "$", cents=False) in app.title[0].value.replace("\\", "")
    assert "value_keeps" not in app.query_params
    assert app.query_params["value_calls"] in ("50", ["50"])


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("told", ["-5", "nan", "1e300", "many"])
def test_what_a_link_cannot_say_is_kept_within_limits(told: str, workspace: Path, run_page: Run) -> None:
    address = {
        key: [told] for key in ("value_offer", "value_calls", "value_keeps", "value_given", "value_contact", "value_months")
    }
    app = run_page(workspace, PAGE, **address)
    assert not app.exception
    assert len(app.title) == 1


def test_money_is_hidden_where_the_percentages_were_never_checked(workspace: Path, run_page: Run) -> None:
    app = run_page(workspace, PAGE)
    assert not app.exception
    assert "cannot be said" in app.title[0].value
    assert "too few leavers or stayers to judge" in _said(app)
    assert "$" not in _said(app)
    assert not app.number_input


def test_nothing_is_made_up_without_money(tmp_path: Path, run_page: Run) -> None:
    from datetime import date

    publish_scoring(tmp_path, publish_model(tmp_path, money=None), date.today())
    app = run_page(tmp_path, PAGE)
    assert not app.exception
    assert "this table has no money" in app.title[0].value
    assert "$" not in _said(app)


@pytest.mark.usefixtures("trusted")
def test_who_has_left_already_is_worth_no_offer_here_as_on_the_call_list(tmp_path: Path, run_page: Run) -> None:
    gone = pl.Series(LEFT, [int(number % 3 == 0) for number in range(600)], dtype=pl.Int8)
    publish_scoring(tmp_path, publish_model(tmp_path), date.today(), customers(600, seed=1).with_columns(gone))
    later = pl.DataFrame({"customer": ["C*0001_", "C*0002_"], "left": ["yes", "yes"], "known_at": [str(date.today())] * 2})
    settings = Settings.load(home=tmp_path, environ={})
    import_outcomes(later, Schema.model_validate(DOCUMENT), open_store(settings))
    told = run_page(tmp_path, PAGE, value_offer=["40"])
    title = told.title[0].value.replace("\\", "")
    best, there, brings = re.search(r"making to (\d+) of (\d+) customers and should bring (\S+)$", title).groups()  # type: ignore[union-attr]
    assert there == "398"
    assert "202 customers who left already are not counted." in _said(told)
    groups = told.dataframe[0].value["Worth it for"].tolist()
    assert [sum(int(group.split(" of ")[place]) for group in groups) for place in (0, 1)] == [int(best), 398]
    listed = run_page(tmp_path, "pages/act/call_list.py", list_offer=["40"], list_calls=["600"], list_uncalled=["0"])
    assert listed.title[0].value.replace("\\", "").startswith(f"Calling the best {best} customers should save {brings} after")

"""A scenario on paper says what the screen says, loads nothing, and runs nothing that a name may hold."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from churn import words
from churn.charts.note import Note, scenario_note
from churn.data.schema import Schema
from churn.understand.account import Typical, account
from churn.understand.evidence import Support
from churn.understand.what_if import edit

AWKWARD = "<script>alert('1')</script> \"quoted\" & more"
SCHEMA = Schema.model_validate(
    {
        "key": "id",
        "target": {"column": "left", "positive": "Yes"},
        "contacts": {"phone": "phone"},
        "features": [
            {
                "name": "fee",
                "kind": "number",
                "label": "Monthly <fee>",
                "unit": "money",
                "editable": True,
                "range": [0, 200],
            },
            {
                "name": "plan",
                "kind": "category",
                "label": "Plan",
                "editable": True,
                "levels": [{"value": "Basic"}, {"value": AWKWARD}],
            },
            {"name": "services", "kind": "category", "label": "Services", "levels": [{"value": "No"}, {"value": "Yes"}]},
        ],
        "rules": [{"when": {"plan": AWKWARD}, "then": {"services": "No"}}],
    }
)
ROW = {"id": "A-1", "fee": 70.0, "plan": "Basic", "services": "Yes", "phone": "+49 30 123456"}


class Reader(HTMLParser):
    """Tags with their attributes, and the text that is shown."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown: list[str] = []
        self._hidden = False
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.shown.append(data.strip())


def note(**changes: Any) -> Note:
    edited = edit(ROW, {"fee": 50.0, "plan": AWKWARD}, SCHEMA)
    before = account(ROW, [0.3, 0.2, -0.05], risk=0.62, typical_risk=0.17, schema=SCHEMA, typical=Typical({}))
    after = account(
        edited.row,
        [0.1, -0.05, 0.0175],
        risk=0.2375,
        typical_risk=0.17,
        schema=SCHEMA,
        typical=Typical({}),
        edited=edited.changed,
    )
    moment = datetime(2026, 11, 19, 6, 12, tzinfo=UTC)
    own: dict[str, Any] = {"customer": "A-1", "name": "", "before": before, "after": after, "edited": edited, "model": "v12"}
    real = Support(True, "", 0, 0, ())
    return Note(**{**own, "support": real, "scored": moment, "printed": moment, "simulated": False, **changes})


def test_it_says_the_same_numbers_as_the_screen_and_they_add_up() -> None:
    told = note()
    reader = Reader(scenario_note(told, SCHEMA))
    assert "A-1: 24% risk of leaving with these changes, −38 points" in reader.shown
    assert "Risk before the changes 62%, after them 24%." in reader.shown
    start = reader.shown.index("From a typical customer to this one, as edited")
    figures = [text for text in reader.shown[start:] if re.fullmatch(r"[+−]?\d+%?", text)]
    whole = [int(figure.replace("−", "-").rstrip("%")) for figure in figures]
    assert sum(whole[:-1]) == whole[-1] == words.whole_percent(told.after.risk)
    assert told.after.sentence() in reader.shown
    assert words.say("not a promise") in reader.shown
    assert "Had it always been so: what the risk would be had this customer been so all along." in reader.shown
    assert f"↳ Plan: {AWKWARD} also removes: Services" in reader.shown


def test_nothing_in_it_runs_loads_or_leads_away() -> None:
    document = scenario_note(note(name=AWKWARD, customer=AWKWARD, model=AWKWARD), SCHEMA)
    reader = Reader(document)
    assert {tag for tag, _ in reader.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "span", "div"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    for _, attributes in reader.tags:
        assert not {"src", "href", "onerror", "onload", "onclick"} & attributes.keys()
    assert "url(" not in document
    assert "@import" not in document
    policies = [attributes["content"] for tag, attributes in reader.tags if attributes.get("http-equiv")]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert any(AWKWARD in text for text in reader.shown)


def test_contact_data_and_column_names_stay_out() -> None:
    document = scenario_note(note(), SCHEMA)
    assert "123456" not in document
    assert 'fee"' not in document
    assert "A-1" in document


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_says_so(simulated: bool) -> None:
    assert ("Simulated data" in Reader(scenario_note(note(simulated=simulated), SCHEMA)).shown) is simulated


def test_what_resembles_nobody_is_said() -> None:
    reason = "Nobody has both fibre internet and no monthly charge; the answer is a guess."
    assert reason in Reader(scenario_note(note(support=Support(False, reason, 1, 0, ())), SCHEMA)).shown


def test_from_now_on_is_named() -> None:
    edited = replace(note().edited, since="from now on")
    shown = Reader(scenario_note(note(edited=edited), SCHEMA)).shown
    assert "From now on: the risk in a month if it changes now, against doing nothing; the past stays as it was." in shown


def test_bars_stay_on_their_track() -> None:
    for style in re.findall(r'<span style="([^"]+)"', scenario_note(note(), SCHEMA)):
        left, wide = (float(number) for number in re.findall(r"(?:left|width):([\d.]+)%", style))
        assert 0 <= left <= 100
        assert 0 <= wide <= 100 - left + 0.01

"""`churn drift`: the verdict of the page, in the terminal and in files."""

from __future__ import annotations

import re

from .conftest import Desk


def test_nothing_is_logged_before_a_scoring_is_published(desk: Desk) -> None:
    assert "no champion" in desk.run("drift").line


def test_the_verdict_in_words_as_json_and_as_a_page(trained: Desk) -> None:
    ran = trained.run("drift", "--html", "drift.html")
    assert ran.code in (0, 1)
    lines = ran.out.splitlines()
    assert re.match(r"Nothing has moved|\w+ of 4 columns|The risks have moved", lines[0])
    assert "prediction" in lines[1]
    assert any(line.startswith("Column") and "Status" in line for line in lines)
    told = trained.run("drift", "--json").json
    assert told["title"] == lines[0]
    assert told["windows"][-1]["rows"] > 0
    assert (ran.code == 1) == any(one["status"] == "moved" for one in told["windows"][-1]["findings"])
    page = (trained.home / "drift.html").read_text(encoding="utf-8")
    assert lines[0] in page.replace("&#x27;", "'")
    assert "MonthlyCharges" not in ran.out + page + str(told)


def test_one_scoring_has_nothing_before_it(trained: Desk) -> None:
    assert trained.done("drift", "--against", "before").out.startswith("There is no window before the last one")


def test_how_columns_go_together_is_tested_and_kept(trained: Desk) -> None:
    told = trained.run("drift", "--joint", "--json").json
    assert told["windows"][-1]["joint"]["p"] <= 1
    assert [one for one in trained.home.rglob("*.json") if "joint" in one.parts]
    assert trained.run("drift", "--json").json["windows"][-1]["joint"] == told["windows"][-1]["joint"]

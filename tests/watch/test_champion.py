"""The champion in words: sentences that hold, checks that speak, a card that cannot do harm."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from churn.data.schema import Schema
from churn.learn.evaluation import evaluate_holdout
from churn.model.gates import gates
from churn.model.metrics import Estimate, Metrics
from churn.model.pointer import HistoryEntry
from churn.model.registry import VersionInfo
from churn.settings import Settings
from churn.watch import champion

MOMENT = datetime(2026, 11, 3, 10, 42, tzinfo=UTC)


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    draw = np.random.default_rng(0)
    p = draw.beta(1, 3, 800)
    return evaluate_holdout((draw.random(800) < p).astype(float), p)


def exactly(value: float, reach: float = 0.02) -> Estimate:
    return Estimate(value, 0.01, value - reach, value + reach)


def entry(model: str, action: str = "publish", scoring: str | None = "s", reason: str = "") -> HistoryEntry:
    return HistoryEntry(model, scoring, MOMENT, "ann", reason, action, "id")


# -- sentences -----------------------------------------------------------------


def test_title(metrics: Metrics) -> None:
    shown = replace(metrics, top_decile_lift=exactly(2.785))
    assert champion.title("v12", "3 Nov", shown) == (
        "Model v12, in use since 3 Nov, finds 2.8 times more leavers in its top tenth than chance"
    )
    useless = replace(metrics, top_decile_lift=exactly(1.04))
    assert champion.title("v12", "3 Nov", useless).endswith("finds no more leavers in its top tenth than chance")
    assert champion.title("v12", "3 Nov", None) == "Model v12, in use since 3 Nov: how well it finds leavers was not measured"


def test_sentence_says_what_it_was_judged_on(metrics: Metrics) -> None:
    facts = {"saved": "lightgbm", "kind": "LightGBM, small trees", "rows": 5576}
    shown = replace(metrics, rows=1467, roc_auc=exactly(0.8505))
    assert champion.sentence(facts, shown, "customers") == (
        "Many small decision trees that learnt from 5,576 customers. Judged on 1,467 customers new to it, "
        "it picks the leaver over a stayer 85 times in 100."
    )
    folds = replace(shown, where="cross-validation")
    assert "in cross-validation it picks the leaver" in champion.sentence(facts, folds, "customers")
    assert champion.sentence({}, None, "customers").startswith("A model of its own kind. It carries no figures")
    told = champion.sentence({**facts, "rows": None, "imported_on": "2026-11-01"}, shown, "customers")
    assert "new to it" not in told
    assert "It was trained elsewhere: if it learnt from these customers, all figures on this page are too good." in told
    assert champion.kind({"saved": "other", "kind": "Random forest"}) == "Random forest"


def test_figures_in_words() -> None:
    assert champion.in_100(exactly(0.8505)) == "85 times in 100 (83 to 87)"
    assert champion.in_100(exactly(0.9953, 0.002)) == "99.5 times in 100 (99.3 to 99.7)"  # never a plain 100
    assert champion.off_by(exactly(0.0176, 0.01)) == "1.8 points (0.8 to 2.8)"
    assert champion.off_by(Estimate(0.01, float("nan"), float("nan"), float("nan"))) == "1.0 points"


def test_all_in_all(metrics: Metrics) -> None:
    assert champion.in_all(metrics).endswith(" did.")
    halved = replace(metrics, positives=metrics.positives // 2)
    assert champion.in_all(halved).endswith("it expects too many.")
    assert champion.in_all(replace(metrics, positives=metrics.positives * 2)).endswith("it expects too few.")


# -- verdicts --------------------------------------------------------------------


def test_verdicts_follow_the_gates(metrics: Metrics) -> None:
    shown = replace(metrics, roc_auc=exactly(0.6), ece=exactly(0.03), log_loss=exactly(0.5))
    found = champion.verdicts(gates(shown, 0.51, Settings()), shown, [], "v1")
    assert [(one.passed, one.lead) for one in found] == [
        (False, "It does not rank well enough"),
        (True, "Its percentages are near enough"),
        (True, "It is no worse than v1"),
    ]
    assert "60 times in 100 (58 to 62); at least 65 are needed" in found[0].words
    assert "3.0 points (1.0 to 5.0) on average; at most 5 are allowed" in found[1].words
    assert found[2].words.startswith("On all days of its holdout, 800 rows new to both, its error (log-loss) is ")
    assert "0.5000 against 0.5100; up to 0.002 more is allowed" in found[2].words


def test_verdicts_of_a_first_version_without_a_holdout() -> None:
    found = champion.verdicts(gates(None, None, Settings()), None, [], None)
    assert [(one.passed, one.lead) for one in found] == [(False, "It was not put to the test"), (None, "It is the first")]


def board(*rows: tuple[str, bool, bool, float, float | None, float | None]) -> list[dict[str, Any]]:
    measures = {"roc_auc": {"value": 0.84}, "log_loss": {"value": 0.41}}
    return [
        {
            "key": name,
            "name": name,
            "compiles": compiles,
            "saved": saved,
            "measures": measures,
            "behind": {"value": behind, "low": low, "high": high},
        }
        for name, compiles, saved, behind, low, high in rows
    ]


def test_leaderboard_in_words() -> None:
    rows = champion.tried(
        board(
            ("forest", False, False, 0.0, 0.0, 0.0),
            ("trees", True, True, 0.003, 0.001, 0.005),
            ("line", True, False, 0.006, -0.003, 0.015),
            ("one fold", True, False, 0.01, None, None),
        )
    )
    assert [(row.use, row.behind, row.sure) for row in rows] == [
        ("could be chosen, slower", "–", "the best"),
        ("chosen", "+0.0030 (+0.0010 to +0.0050)", "clearly behind"),
        ("could be chosen", "+0.0060 (−0.0030 to +0.0150)", "may be chance"),
        ("could be chosen", "+0.0100", "–"),
    ]


def test_best_of_all_and_best_that_can_be_used(metrics: Metrics) -> None:
    best = board(("a", True, True, 0.0, 0.0, 0.0), ("b", True, False, 0.1, 0.0, 0.2))
    assert champion.verdicts([], metrics, best, "v1")[0].passed is True
    second = board(("a", False, False, 0.0, 0.0, 0.0), ("b", True, True, 0.1, 0.0, 0.2))
    (found,) = champion.verdicts([], metrics, second, "v1")
    assert found.passed is None
    assert "a has 0.1000 less error" in found.words


# -- versions and history ----------------------------------------------------------


def test_versions_with_a_damaged_one(metrics: Metrics) -> None:
    good = {"holdout": metrics.to_dict(), "kind": "Logistic regression"}
    listed = [
        VersionInfo("v4", None, "", {}, {}, "manifest.json was altered"),
        VersionInfo("v3", MOMENT, "", {"holdout": {"rows": 1}}, {}),
        VersionInfo("v2", MOMENT, "", good, {}),
        VersionInfo("v1", MOMENT, "", {}, {}),
    ]
    found = champion.versions(listed, [entry("v1"), entry("v2")])
    assert [one.status for one in found] == ["damaged", "damaged", "in use", "used before"]
    assert "cannot be understood" in (found[1].problem or "")
    assert found[2].metrics == metrics
    same = champion.compare(found[2], found[2])
    assert [row[3] for row in same.rows[:4]] == ["the same"] * 4
    assert champion.compare(found[2], found[3]).note == "v1 carries no figures to compare."


def test_compare_says_which_is_better_where_it_can(metrics: Metrics) -> None:
    def version(name: str, shown: Metrics) -> champion.Version:
        return champion.Version(name, "", None, "", shown, {}, None)

    better = replace(metrics, roc_auc=exactly(0.9), ece=exactly(0.01, 0.001), log_loss=exactly(0.41, 0.05))
    worse = replace(metrics, roc_auc=exactly(0.8), ece=exactly(0.05, 0.001), log_loss=exactly(0.42, 0.05))
    found = {row[0]: row[3] for row in champion.compare(version("v1", worse), version("v2", better)).rows}
    assert found["Picks the leaver"] == found["Percentages off by"] == "v2"
    assert found["Error"] == "too close to say"
    other = replace(better, rows=better.rows + 1)
    apart = champion.compare(version("v1", worse), version("v2", other))
    assert apart.note.startswith("They were judged on different customers, each on those of its own holdout:")
    assert next(row for row in apart.rows if row[0] == "Judged on")[1:3] == (
        "800 rows, its own holdout",
        "801 rows, its own holdout",
    )


def test_history_counts_scorings_between_changes() -> None:
    history = [
        entry("v1", "promote", None, "first"),
        entry("v1", scoring="a"),
        entry("v1", scoring="b"),
        entry("v1", scoring="a"),  # shown again: still two
        entry("v2", "promote"),
        entry("v1", "rollback", reason="too many calls"),
    ]
    found = champion.changes(history)
    assert [(one.what, one.scorings, one.why) for one in found] == [
        ("Back to v1", 1, "too many calls"),
        ("v2 in use", 1, ""),
        ("v1 in use", 2, "first"),
    ]
    assert champion.before(history) == "v2"
    assert champion.before(history[:3]) is None


# -- the card --------------------------------------------------------------------

SCHEMA = Schema.model_validate(
    {
        "key": "id",
        "target": {"column": "churned", "positive": "Yes"},
        "features": [{"name": "MonthlyCharges", "kind": "number", "label": "Monthly charges"}],
    }
)


def test_card_keeps_its_structure_and_calls_columns_by_their_labels() -> None:
    card = "# Title\n\n## The model\n- Columns: `MonthlyCharges` and `other_one`.\n\n| a | b |\n|---|---|\n| 1 | **2** |\n"
    assert champion.readable_card(card, SCHEMA) == (
        "### The model\n- Columns: Monthly charges and other\\_one.\n\n| a | b |\n|---|---|\n| 1 | **2** |"
    )


@pytest.mark.parametrize(
    "hostile",
    [
        "![x](http://evil/x.png)",
        "[click](http://evil)",
        "\\\\[click](javascript:alert(1))",
        "<img src=x onerror=alert(1)>",
        ":red[stop] :material/delete: :smile:",
        "$\\frac{1}{2}$",
        "lone ` then [x](http://evil) `",
        "`` [x](http://evil) ``",
        "~~~\nhttps://evil\n~~~",
        "[x]: http://evil",
    ],
)
def test_card_cannot_link_draw_or_colour(hostile: str) -> None:
    shown = champion.readable_card(hostile, SCHEMA)
    bare = shown.replace("\\\\", "")
    for place, letter in enumerate(bare):
        if letter in "`[]$<>~":
            assert bare[place - 1] == "\\", shown
    assert "http:" not in shown
    assert "https:" not in shown
    assert ":material/" not in shown

"""Who is still there: stepped lines, names that do not run into each other, the group that leaves soonest in colour."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from churn.charts import theme
from churn.charts.survival import survival_chart
from churn.charts.theme import Chart
from churn.data.schema import Feature
from churn.understand.retention import Group, Retention

Valid = Callable[[Chart], Chart]
TENURE = Feature(name="tenure", kind="number", label="Tenure", unit="month", clock="month", range=(0, 72))


def _group(label: str, share: float, *, small: bool = False, ahead: bool = True) -> Group:
    line = ((0.0, 1.0, 1.0, 1.0), (12.0, share, share - 0.02, share + 0.02))
    projected = tuple((float(t), share ** (t / 12)) for t in range(12, 19)) if ahead else ()
    return Group(label, 500, 100, line, ((share, share - 0.02, share + 0.02),), (400,), None, 12.0, projected, small)


def _found(*groups: Group) -> Retention:
    return Retention(TENURE, "contract" if groups else None, "table", 0.0, (12,), _group("", 0.8), groups, None)


def test_the_group_that_leaves_soonest_is_in_colour(valid: Valid) -> None:
    chart = valid(survival_chart(_found(_group("Monthly", 0.5), _group("<b>Two years</b>", 0.9), _group("Few", 0.1, small=True))))
    lines = [trace for trace in chart.figure["data"] if trace["line"]["width"] > 2]
    assert [trace["line"]["color"] for trace in lines] == [theme.RAISES]
    assert lines[0]["y"] == [1.0, 0.5]
    texts = [note["text"] for note in chart.figure["layout"]["annotations"]]
    assert len(texts) == 2  # the small group is not drawn
    assert "<b>Two" not in texts[1]
    assert chart.alt == (
        "Lines: customers still there by time as a customer; "
        "Monthly 50% after 12 months and <b>Two years</b> 90% after 12 months."
    )


def test_the_projection_is_dashed_and_left_out_where_there_is_none(valid: Valid) -> None:
    chart = valid(survival_chart(_found(_group("A", 0.5), _group("B", 0.6, ahead=False))))
    dashed = [trace for trace in chart.figure["data"] if trace["line"].get("dash") == "dash"]
    assert len(dashed) == 1
    assert dashed[0]["x"] == list(range(12, 19))
    notes = {note["text"]: note["x"] for note in chart.figure["layout"]["annotations"]}
    assert sorted(notes.values()) == [12.0, 18.0]  # each name where its own line ends


def test_all_together_are_one_line_in_ink(valid: Valid) -> None:
    chart = valid(survival_chart(_found()))
    assert [trace["line"]["color"] for trace in chart.figure["data"] if trace["line"]["width"] > 2] == [theme.INK]
    assert "All customers" in chart.figure["layout"]["annotations"][0]["text"]


def test_names_do_not_run_into_each_other(valid: Valid) -> None:
    chart = valid(survival_chart(_found(*(_group(f"A group of a long name {n}", 0.9 + n / 1000) for n in range(8)))))
    notes = chart.figure["layout"]["annotations"]
    places = sorted(note["y"] for note in notes)
    per_line = theme.LINE / (chart.height - 42) * 1.02
    lines = max(note["text"].count("<br>") + 1 for note in notes)
    assert min(b - a for a, b in pairwise(places)) >= per_line * min(lines, 2) - 1e-9
    assert places[-1] <= 1.02

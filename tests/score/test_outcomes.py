"""Outcomes: what is taken, what is refused and why, and that doing it twice changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl
import pytest

from churn.data.schema import Schema
from churn.errors import DataError, StoreUnavailable
from churn.model.scoring import ScoringModel
from churn.model.store import Store
from churn.score import log, outcomes
from churn.score.batch import score

TODAY = date(2027, 1, 1)


def _raw(*rows: tuple[Any, ...], outcome: str = "churned") -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["customer", "day", outcome, "known_at"], orient="row", infer_schema_length=None)


def _import(table: pl.DataFrame, schema: Schema, store: Store, **given: Any) -> outcomes.OutcomeReport:
    return outcomes.import_outcomes(table, schema, store, **{"today": TODAY, "known": ["A", "B", "C"], **given})


def test_good_rows_are_taken_once(dated: Schema, store: Store) -> None:
    table = _raw(
        ("A", "2026-09-01", "Yes", "2026-09-10"), ("B", "2026-09-01", "No", "2026-10-01"), ("X", "2026-09-01", "No", "2026-10-05")
    )
    report = _import(table, dated, store)
    assert (report.accepted, report.left, report.refused, report.new) == (3, 1, (), True)
    assert (report.unknown_keys, report.examples) == (1, ("X",))
    again = _import(table.reverse(), dated, store)
    assert (again.part, again.new) == (report.part, False)
    assert outcomes.read(store).rows() == [
        ("A", date(2026, 9, 1), 1, date(2026, 9, 10)),
        ("B", date(2026, 9, 1), 0, date(2026, 10, 1)),
        ("X", date(2026, 9, 1), 0, date(2026, 10, 5)),
    ]
    assert len(store.list("outcomes/")) == 1


@pytest.mark.parametrize(
    ("row", "column", "rule"),
    [
        ((None, "2026-09-01", "Yes", "2026-09-10"), "customer", "must not be empty"),
        (("  ", "2026-09-01", "Yes", "2026-09-10"), "customer", "must not be empty"),
        (("A", "2026-09-01", "maybe", "2026-09-10"), "churned", "must be 'Yes' or 'No'"),
        (("A", "2026-09-01", None, "2026-09-10"), "churned", "must be 'Yes' or 'No'"),
        (("A", "2026-09-01", "Yes", "soon"), "known_at", "must be a date"),
        (("A", "2026-09-01", "Yes", "2027-01-02"), "known_at", "must not lie in the future"),
        (("A", "2026-09-01", "Yes", "2026-08-31"), "known_at", "must not be before 'day'"),
        (("A", "2026-09-01", "No", "2026-09-30"), "known_at", "30 days or more after 'day' for who stayed"),
        (("A", "then", "Yes", "2026-09-10"), "day", "must be a date"),
    ],
)
def test_bad_rows_are_refused_one_by_one(row: tuple[Any, ...], column: str, rule: str, dated: Schema, store: Store) -> None:
    good = ("B", "2026-09-01", "Yes", "2026-09-13")
    report = _import(_raw(good, row), dated, store)
    assert report.accepted == 1
    (refusal,) = report.refused
    assert (refusal.row, refusal.column) == (2, column)
    assert rule in refusal.rule
    assert "row 2" in str(refusal)
    assert outcomes.read(store)["__key__"].to_list() == ["B"]


def test_refusals_come_in_the_order_of_the_rows(dated: Schema, store: Store) -> None:
    day = "2026-09-01"
    rows = [("A", day, "Yes", "soon"), ("B", day, "maybe", "2026-09-10"), (None, day, "Yes", "2026-09-10")]
    assert [refusal.row for refusal in _import(_raw(*rows), dated, store).refused] == [1, 2, 3]


def test_a_key_is_the_same_however_a_whole_number_is_spelt(dated: Schema, store: Store) -> None:
    report = _import(_raw(("7.0", "2026-09-01", "Yes", "2026-09-10")), dated, store, known=["7"])
    assert report.unknown_keys == 0
    assert outcomes.read(store)["__key__"].to_list() == ["7"]


def test_two_answers_for_one_question_are_both_refused(dated: Schema, store: Store) -> None:
    rows = [("A", "2026-09-01", answer, "2026-11-10") for answer in ("Yes", "No")]
    report = _import(_raw(*rows, ("B", "2026-09-01", "No", "2026-11-10"), ("B", "2026-09-01", "No", "2026-11-10")), dated, store)
    assert [refusal.row for refusal in report.refused] == [1, 2]
    assert report.accepted == 1  # the same line twice is one outcome


def test_what_was_known_later_holds(dated: Schema, store: Store) -> None:
    _import(_raw(("A", "2026-09-01", "No", "2026-10-05")), dated, store)
    _import(_raw(("A", "2026-09-01", "Yes", "2026-11-05")), dated, store)
    assert outcomes.read(store).rows() == [("A", date(2026, 9, 1), 1, date(2026, 11, 5))]
    assert len(store.list("outcomes/")) == 2


def test_without_snapshots_whoever_left_once_has_left(schema: Schema, store: Store) -> None:
    """Exports of everybody, a month apart, and one of them again with a later day: leaving holds from the first that says it."""
    months = [date(2026, month, 28) for month in (1, 2, 3)]
    said = {"A": (0, 1, 1), "B": (1, 1, 1), "C": (0, 0, 0), "D": (1, 0, 0)}
    reports = []
    for place, day in [(1, months[1]), (0, months[0]), (2, months[2])]:
        rows = [(key, "x", "Yes" if left[place] else "No", day.isoformat()) for key, left in said.items()]
        reports.append(_import(_raw(*rows).drop("day"), schema, store))
    assert outcomes.read(store).rows() == [
        ("A", None, 1, months[1]),
        ("B", None, 1, months[0]),
        ("C", None, 0, months[2]),
        ("D", None, 1, months[0]),
    ]
    assert [report.contradicted for report in reports] == [(), ("D",), ("D",)]


def test_a_correction_of_a_snapshot_holds_and_is_told(dated: Schema, store: Store) -> None:
    assert _import(_raw(("A", "2026-09-01", "Yes", "2026-09-20")), dated, store).contradicted == ()
    _import(_raw(("A", "2026-09-01", "Yes", "2026-10-20")), dated, store)
    assert outcomes.read(store).rows() == [("A", date(2026, 9, 1), 1, date(2026, 9, 20))]
    assert _import(_raw(("A", "2026-09-01", "No", "2026-11-05")), dated, store).contradicted == ("A",)
    assert outcomes.read(store).rows() == [("A", date(2026, 9, 1), 0, date(2026, 11, 5))]


def _swapped(customers: int, wrong: int, day: str, *, undo: bool = False) -> pl.DataFrame:
    """Every third customer left; of the first `wrong` the opposite is said where `undo`."""
    left = [(number % 3 == 0) != (undo and number < wrong) for number in range(customers)]
    rows = [(f"K{number:03}", "2026-09-01", "Yes" if gone else "No", day) for number, gone in enumerate(left)]
    return _raw(*rows)


@pytest.mark.parametrize("snapshots", [True, False])
def test_a_file_that_says_the_opposite_of_what_is_known_is_refused_before_anything_is_written(
    snapshots: bool, schema: Schema, dated: Schema, store: Store
) -> None:
    used = dated if snapshots else schema
    first, opposite = _swapped(90, 90, "2026-10-05"), _swapped(90, 90, "2026-10-05", undo=True)
    _import(first, used, store)
    before = outcomes.read(store)
    with pytest.raises(
        DataError, match=r"contradict what is known of 90 customers, 100% of the 90 .*such as K000 and K001.*--force"
    ):
        _import(opposite, used, store)
    assert outcomes.read(store).equals(before)
    assert len(store.list("outcomes/")) == 1
    taken = _import(opposite, used, store, force=True)
    assert (taken.new, len(taken.contradicted)) == (True, 90)
    for table in (first, opposite):  # what is on record already contradicts nothing anew
        assert not _import(table, used, store).new


@pytest.mark.parametrize(("customers", "wrong", "refused"), [(90, 19, False), (90, 20, True), (300, 30, False), (300, 31, True)])
def test_corrections_of_few_are_taken(customers: int, wrong: int, refused: bool, schema: Schema, store: Store) -> None:
    _import(_swapped(customers, 0, "2026-10-05"), schema, store)
    again = _swapped(customers, wrong, "2026-10-05", undo=True)
    if refused:
        with pytest.raises(DataError, match=f"of {wrong} customers"):
            _import(again, schema, store)
    else:
        assert len(_import(again, schema, store).contradicted) == wrong


def test_many_who_leave_after_they_stayed_contradict_nothing(schema: Schema, store: Store) -> None:
    rows = [(f"K{number:03}", "x", "No", "2026-10-05") for number in range(50)]
    _import(_raw(*rows), schema, store)
    later = _import(_raw(*((key, day, "Yes", "2026-10-06") for key, day, *_ in rows)), schema, store)
    assert (later.accepted, later.contradicted) == (50, ())
    with pytest.raises(DataError, match="and to have still been there on that day or later"):
        _import(_raw(*((key, day, "No", "2026-10-07") for key, day, *_ in rows)), schema, store)


def test_nothing_good_writes_nothing(dated: Schema, store: Store) -> None:
    report = _import(_raw(("A", "2026-09-01", "maybe", "2026-09-10")), dated, store)
    assert (report.accepted, report.part, report.new) == (0, None, False)
    assert store.list("outcomes/") == []
    assert outcomes.read(store).height == 0


@pytest.mark.parametrize("answers", [("yes", "no"), ("1", "0"), (True, False), (1, 0), ("TRUE", "FALSE")])
def test_a_column_left_says_yes_or_no(answers: tuple[Any, Any], dated: Schema, store: Store) -> None:
    table = _raw(
        ("A", date(2026, 9, 1), answers[0], date(2026, 9, 10)),
        ("B", date(2026, 9, 1), answers[1], date(2026, 10, 10)),
        outcome="left",
    )
    report = _import(table, dated, store)
    assert (report.accepted, report.left) == (2, 1)


def test_without_snapshots(schema: Schema, store: Store) -> None:
    report = _import(_raw(("A", "x", "No", "2026-09-10")).drop("day"), schema, store)
    assert report.accepted == 1
    assert outcomes.read(store).rows() == [("A", None, 0, date(2026, 9, 10))]


def test_a_missing_column_is_named(dated: Schema, store: Store) -> None:
    table = _raw(("A", "2026-09-01", "Yes", "2026-09-10"))
    with pytest.raises(DataError, match="column 'known_at' is not in the outcomes"):
        _import(table.drop("known_at"), dated, store)
    with pytest.raises(DataError, match=r"column 'left' \(nor 'churned'\) is not"):
        _import(table.drop("churned"), dated, store)
    with pytest.raises(DataError, match="no rows"):
        _import(table.head(0), dated, store)


def test_known_keys_come_from_the_log(
    dated: Schema, make_table: Callable[..., pl.DataFrame], make_model: Callable[[Schema], ScoringModel], store: Store
) -> None:
    rows = score(make_table(dated, 2), make_model(dated)).rows
    log.append(store, rows, dated, model="v1", as_of=date(2026, 11, 1), run="a", source="publish")
    table = _raw(("C0000", "2026-11-01", "Yes", "2026-11-10"), ("C0009", "2026-11-01", "Yes", "2026-11-10"))
    report = outcomes.import_outcomes(table, dated, store, today=TODAY)
    assert report.examples == ("C0009",)


def test_a_damaged_part_is_named(dated: Schema, store: Store) -> None:
    part = _import(_raw(("A", "2026-09-01", "Yes", "2026-09-10")), dated, store).part
    assert part
    store.write(part, b"half")
    with pytest.raises(StoreUnavailable, match="is damaged"):
        outcomes.read(store)


def test_a_damaged_log_is_reported_and_the_outcomes_are_recorded(
    dated: Schema, make_table: Callable[..., pl.DataFrame], make_model: Callable[[Schema], ScoringModel], store: Store
) -> None:
    rows = score(make_table(dated, 2), make_model(dated)).rows
    name, _ = log.append(store, rows, dated, model="v1", as_of=date(2026, 11, 1), run="a", source="publish")
    store.write(name, b"half")
    report = outcomes.import_outcomes(_raw(("C0000", "2026-11-01", "Yes", "2026-11-10")), dated, store, today=TODAY)
    assert (report.accepted, report.new, report.unknown_keys) == (1, True, 1)
    assert [name in words for words in report.damaged] == [True]
    assert outcomes.read(store).height == 1


def test_what_is_said_of_some_days_is_read_without_the_rest(dated: Schema, store: Store) -> None:
    for day, known in (("2026-08-01", "2026-09-05"), ("2026-09-01", "2026-10-05"), ("2026-10-01", "2026-11-05")):
        _import(_raw(("A", day, "No", known), ("B", day, "Yes", known)), dated, store)
    spans: dict[str, tuple[date, date]] = {}
    wanted = outcomes.statements(store).filter(pl.col("__as_of__") == date(2026, 9, 1))
    for _ in range(2):  # the second time other parts are not read
        found = outcomes.statements(store, since=date(2026, 9, 1), until=date(2026, 9, 30), spans=spans)
        assert found.equals(wanted)
    assert sorted(spans.values()) == [(date(2026, month, 1), date(2026, month, 1)) for month in (8, 9, 10)]


def test_what_names_no_snapshot_is_read_for_any_days(schema: Schema, store: Store) -> None:
    _import(_raw(("A", None, "No", "2026-09-05")).drop("day"), schema, store)
    spans: dict[str, tuple[date, date]] = {}
    for _ in range(2):
        assert outcomes.statements(store, since=date(2026, 1, 1), until=date(2026, 1, 2), spans=spans).height == 1

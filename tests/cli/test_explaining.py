"""`churn explain`: one customer of the desk, or the rows of a table, in the words of the desk."""

from __future__ import annotations

import re

import polars as pl
import pytest

from .conftest import Desk


def _points(lines: list[str]) -> list[int]:
    found = [re.search(r": ([+−]?\d+) points?$", line) for line in lines]
    assert all(found), lines
    return [int(one[1].replace("−", "-")) for one in found if one]


def test_one_customer_by_key_with_points_that_add_up(trained: Desk) -> None:
    lines = trained.done("explain", "C00007").out.splitlines()
    title = re.fullmatch(
        r"C00007: (\d+)% risk of leaving, (?:(\d+) points? (above|below)|the same as) a typical customer", lines[0]
    )
    assert title, lines[0]
    said = re.fullmatch(r"A typical customer's risk is (\d+)%, this customer's (\d+)%. Most associated with it:", lines[1])
    assert said, lines[1]
    assert said[2] == title[1]
    assert sum(_points(lines[2:])) == int(said[2]) - int(said[1])
    assert len(lines) == 2 + 4  # every feature of the table
    short = trained.done("explain", "C00007", "--reasons", "1").out.splitlines()
    assert short[:3] == lines[:3]
    assert short[3].startswith("  3 other facts: ")
    assert sum(_points(short[2:])) == sum(_points(lines[2:]))


def test_the_rows_of_a_table_say_what_its_customers_say_on_the_desk(trained: Desk) -> None:
    told = trained.done("explain", "t.csv", "--limit", "3").out
    customers = told.split("\n\n")
    assert len(customers) == 3
    assert customers[2].splitlines()[-1] == "… and 697 more rows; --limit says how many are explained."
    for key, lines in zip(("C00000", "C00001"), customers, strict=False):
        assert lines.splitlines() == trained.done("explain", key).out.splitlines()


def test_a_program_gets_all_of_it(trained: Desk) -> None:
    told = trained.done("explain", "t.csv", "--limit", "2", "--reasons", "2", "--json").json
    assert (told["model"], told["simulated"], told["more_rows"], told["sampling_error"]) == ("v1", False, 698, 0.0)
    for one in told["customers"]:
        points = sum(reason["points"] for reason in one["reasons"]) + one["other_points"]
        assert told["typical_risk"] + points == pytest.approx(one["risk"], abs=1e-6)
        assert [reason["words"] for reason in one["reasons"]] == [
            line.strip() for line in trained.done("explain", one["customer"], "--reasons", "2").out.splitlines()[2:4]
        ]
    assert "MonthlyCharges" not in str(told)


def test_reasons_in_the_file_and_on_the_command_line_are_the_same_letter_for_letter(trained: Desk) -> None:
    trained.done("score", "t.csv", "--out", "scored.csv")
    scored = pl.read_csv(trained.home / "scored.csv")
    told = trained.done("explain", "t.csv", "--limit", "700", "--json").json
    lines = {
        one["customer"]: [reason["words"] for reason in one["reasons"] if abs(reason["points"]) > 5e-5]
        for one in told["customers"]
    }
    for row in scored.iter_rows(named=True):
        assert [row[f"reason {rank}"] for rank in (1, 2, 3)] == (lines[row["customer_id"]] + [None] * 3)[:3]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("C0000",), "'C0000' is none of the 700 customers scored last; did you mean C00000, C00001, C00002, C00003, C00004?"),
        (("nobody",), "'nobody' is none of the 700 customers scored last, and no file of that name"),
        (("none.csv",), "none.csv: no such file"),
        (("C00000", "--model", "v1"), "--model and --query are for tables; there is no file C00000"),
        (("t.csv", "--model", "v9"), "v9"),
    ],
)
def test_what_cannot_be_explained_says_so_in_one_line(trained: Desk, arguments: tuple[str, ...], says: str) -> None:
    assert says in trained.run("explain", *arguments).line


def test_only_the_rows_asked_for_have_to_fit(trained: Desk) -> None:
    table = pl.read_csv(trained.home / "t.csv", infer_schema=False)
    table.with_columns(tenure=pl.when(pl.int_range(pl.len()) == 5).then(pl.lit("soon")).otherwise("tenure")).write_csv(
        trained.home / "odd.csv"
    )
    trained.done("explain", "odd.csv", "--limit", "5")
    assert "column 'tenure' must be a number; row 6 has 'soon'" in trained.run("explain", "odd.csv", "--limit", "6").line


def test_nothing_changes(trained: Desk) -> None:
    before = trained.sums("models")
    trained.done("explain", "t.csv")
    trained.done("explain", "C00000")
    assert trained.sums("models") == before


def test_a_desk_without_a_champion_says_how_to_get_one(desk: Desk) -> None:
    assert "there is no champion" in desk.run("explain", "C00000").line

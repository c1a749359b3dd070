"""Tables against their schema: what is read, what is refused, what is only warned of, what can be put right."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.data.quality import LEFT, check, conform, fix, remarks, repeated_keys
from churn.data.schema import Contacts, Feature, Level, Money, Rule, Schema, Snapshot, Target
from churn.errors import DataError


def _levels(*names: str) -> tuple[Level, ...]:
    return tuple(Level(value=name) for name in names)


SCHEMA = Schema(
    key="id",
    target=Target(column="left", positive="Yes", negative="No"),
    features=(
        Feature(name="tenure", kind="number", label="Tenure", whole=True, range=(0, 72), at_least=0, missing=("?",)),
        Feature(name="share", kind="number", label="Share", at_least=0, at_most=1),
        Feature(name="contract", kind="category", label="Contract", levels=_levels("Monthly", "Yearly"), missing=("Unknown",)),
        Feature(name="senior", kind="flag", label="Senior", levels=_levels("0", "1"), required=True),
    ),
)
ROWS: dict[str, list[Any]] = {
    "id": ["a", "b", "c"],
    "tenure": ["1", "?", "72"],
    "share": ["0.5", "", "1"],
    "contract": ["Monthly", "Unknown", "Yearly"],
    "senior": ["0", "1", "1"],
    "left": ["Yes", "No", ""],
    "other": ["x", "y", "z"],
}


def _table(**changes: list[Any]) -> pl.DataFrame:
    return pl.DataFrame({**ROWS, **changes}, strict=False)


def _rules(table: pl.DataFrame, schema: Schema = SCHEMA) -> list[str]:
    return [str(violation) for violation in check(table, schema, target=True).violations]


def test_a_table_that_fits_comes_out_conformed() -> None:
    table = conform(_table(), SCHEMA, target=True)
    assert table.schema == {
        "id": pl.String,
        "tenure": pl.Float64,
        "share": pl.Float64,
        "contract": pl.String,
        "senior": pl.String,
        LEFT: pl.Int8,
    }
    assert table.rows() == [
        ("a", 1.0, 0.5, "Monthly", "0", 1),
        ("b", None, None, None, "1", 0),
        ("c", 72.0, 1.0, "Yearly", "1", None),
    ]
    assert conform(_table().drop("left"), SCHEMA).columns == ["id", "tenure", "share", "contract", "senior"]


def test_native_types_read_like_text() -> None:
    native = _table(
        id=[1, 2, 3], tenure=[1, None, 72], share=[0.5, float("nan"), 1.0], senior=[False, True, True], left=[1, 0, None]
    )
    text = _table(id=["1", "2", "3"])
    assert conform(native, SCHEMA, target=True).equals(conform(text, SCHEMA, target=True))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tenure": ["1", "x", "3"]}, "column 'tenure' must be a number; row 2 has 'x'"),
        ({"tenure": ["1", "-3", "3"]}, "column 'tenure' must be ≥ 0; row 2 has '-3'"),
        ({"share": ["1.5", "0", "0"]}, "column 'share' must be ≤ 1; row 1 has '1.5'"),
        ({"share": [float("inf"), 0.0, 0.0]}, "column 'share' must be a number; row 1 has 'inf'"),
        ({"id": ["a", "", "c"]}, "column 'id' is the key and must not be empty; row 2 has ''"),
        ({"id": ["a", None, "c"]}, "column 'id' is the key and must not be empty; row 2 has nothing"),
        ({"id": ["a", "b", "a"]}, "column 'id' must not repeat that of row 1; row 3 has 'a'"),
        ({"senior": ["0", " ", "1"]}, "column 'senior' is required; row 2 has ' '"),
        ({"left": ["Yes", "Perhaps", "No"]}, "column 'left' must be 'Yes' or 'No'; row 2 has 'Perhaps'"),
    ],
)
def test_every_violation_names_column_row_and_value(changes: dict[str, list[Any]], says: str) -> None:
    table = _table(**changes)
    assert says in _rules(table)
    with pytest.raises(DataError) as caught:
        conform(table, SCHEMA, target=True)
    assert says in str(caught.value)
    assert [str(violation) for violation in caught.value.violations] == [says]


def test_all_violations_are_there_and_the_message_names_the_first() -> None:
    table = _table(tenure=["x", "y", "-1"], share=["2", "-1", "z"], id=["a", "a", ""])
    with pytest.raises(DataError) as caught:
        conform(table, SCHEMA)
    assert len(caught.value.violations) == 8
    assert "column 'tenure' must be a number; row 1 has 'x' (2 rows in all)" in str(caught.value)
    assert "and 2 more columns or rules" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_is_the_same_however_a_whole_number_is_spelt() -> None:
    assert conform(_table(id=["1.0", "2.0", "30.0"]), SCHEMA)["id"].to_list() == ["1", "2", "30"]
    assert "column 'id' must not repeat that of row 1; row 2 has '1'" in _rules(_table(id=["1", "1.0", "2"]))


def test_a_number_too_large_to_calculate_with_is_named() -> None:
    table = _table().with_columns(tenure=pl.Series(["1e308", *["1"] * (_table().height - 1)]))
    assert "column 'tenure' must be below 9,007,199,254,740,992 in size; row 1 has '1e308'" in _rules(table)


def test_what_can_be_mended_without_loss_is_said() -> None:
    with pytest.raises(DataError, match=r"; `churn schema check --fix` puts all of that right without loss$") as caught:
        conform(_table(tenure=["$1", "$1,234.50", "$3"]), SCHEMA)
    assert [(one.value, one.fix) for one in caught.value.violations] == [("$1", "1"), ("$1,234.50", "1234.50"), ("$3", "3")]
    with pytest.raises(DataError, match="`churn schema check --fix` puts 1 of that right"):
        conform(_table(tenure=["$1", "x", "3"]), SCHEMA)
    with pytest.raises(DataError, match=r"row 2 has 'x'$"):
        conform(_table(tenure=["1", "x", "3"]), SCHEMA)


def test_values_never_seen_are_remarked_on_once_a_column_and_likely_mistakes_first() -> None:
    size = 20
    strange = ["Weekly" if i == 3 else "Daily" if i == 7 else "Monthly" for i in range(size)]
    table = pl.DataFrame(
        {
            "id": [f"c{i}" for i in range(size)],
            "tenure": [80.0 if i in (2, 5) else None if i == 1 else 72.0 for i in range(size)],
            "share": [0.5] * size,
            "contract": strange,
            "senior": ["0"] * size,
        }
    )
    assert remarks(table, SCHEMA) == (
        "Column 'tenure': 2 values are outside what was seen (0 to 72 when the schema was made), such as 80 in row 3.",
        "Column 'contract': the schema does not know 2 of its 20 values, such as 'Weekly' in row 4; they all count as one "
        "unknown level.",
    )
    shares = Feature(name="share", kind="number", label="Share", range=(0.1, 0.5))
    features = (*(feature for feature in SCHEMA.features if feature.name != "share"), shares)
    schema = SCHEMA.model_copy(update={"features": features})
    far = table.with_columns(share=pl.Series([0.5] * (size - 1) + [-1e12]))
    assert remarks(far, Schema.model_validate(schema.model_dump()))[0] == (
        "Column 'share': 1 value is so far outside what was seen that a mistake is likely (0.1 to 0.5 when the schema was made), "
        "such as -1000000000000 in row 20."
    )
    known = table.with_columns(tenure=pl.lit(None, pl.Float64), contract=pl.lit(None, pl.String))
    assert remarks(known, SCHEMA) == ()


def test_keys_that_repeat_in_training_are_remarked_on() -> None:
    table = _table(id=["a", "b", "b"])
    assert repeated_keys(conform(table, SCHEMA, unique=False), SCHEMA) == (
        "Column 'id': the 3 rows have 2 keys only; row 3 repeats 'b'. Rows of one key are taken for one customer and kept "
        "together; a table to be scored must not repeat any.",
    )
    assert repeated_keys(conform(_table(), SCHEMA), SCHEMA) == ()


def test_missing_columns_suggest_near_names_and_the_delimiter() -> None:
    assert "column 'tenure' is not in the table; did you mean 'Tenure'?" in _rules(_table().rename({"tenure": "Tenure"}))
    assert "column 'share' is not in the table" in _rules(_table().drop("share"))
    one = pl.DataFrame({"id;tenure;share": ["a;1;2"]})
    assert "it seems to be separated by ';'" in _rules(one)[0]
    assert len(_rules(one)) == 1
    assert "was read as the one column 'id@tenure'" in _rules(pl.DataFrame({"id@tenure": ["a@1"]}))[0]
    assert any("has no rows" in rule for rule in _rules(_table().clear()))


def test_unseen_levels_and_values_out_of_range_are_warnings() -> None:
    table = _table(contract=["Weekly", "Monthly", "Weekly"], tenure=["80.5", "90", "3"])
    report = check(table, SCHEMA, target=True)
    assert report.errors == ()
    assert [str(violation) for violation in report.warnings] == [
        "column 'tenure' was never above 72 when the schema was made; row 1 has '80.5' (2 rows in all)",
        "column 'tenure' is expected to be a whole number; row 1 has '80.5'",
        "column 'contract' has a level the schema does not know; row 1 has 'Weekly' (2 rows in all)",
    ]
    assert conform(table, SCHEMA)["contract"].to_list() == ["Weekly", "Monthly", "Weekly"]


def test_snapshots_must_be_dates_and_keys_unique_within_one() -> None:
    schema = SCHEMA.model_copy(update={"snapshot": Snapshot(column="day")})
    days = ["2026-01-01", "2026-02-01", "2026-02-01"]
    assert conform(_table(day=days, id=["a", "a", "b"]), schema)["day"].to_list()[1] == date(2026, 2, 1)
    assert "column 'day' must be a date; row 2 has 'soon'" in _rules(_table(day=["2026-01-01", "soon", "2026-02-01"]), schema)
    assert "column 'day' must have a date in every row; row 2 has nothing" in _rules(
        _table(day=["2026-01-01", None, "2026-02-01"]), schema
    )
    assert any("day and month could swap" in rule for rule in _rules(_table(day=["1/2/2026", "3/4/2026", "5/6/2026"]), schema))
    twice = _rules(_table(day=days, id=["a", "b", "b"]), schema)
    assert "column 'id' must not repeat that of row 2 within one snapshot; row 3 has 'b'" in twice


def test_repeated_keys_are_fine_where_training_allows_them() -> None:
    table = _table(id=["a", "a", "b"])
    assert conform(table, SCHEMA, unique=False).height == 3


def test_money_and_contacts_ride_along() -> None:
    schema = SCHEMA.model_copy(update={"money": Money(column="paid"), "contacts": Contacts(name="who", phone="phone")})
    table = conform(_table(paid=["10", "", "3.5"], who=["Ann", " ", "Zoë"]), schema)
    assert table["paid"].to_list() == [10.0, None, 3.5]
    assert table["who"].to_list() == ["Ann", None, "Zoë"]
    assert "phone" not in table.columns
    assert "column 'paid' must be a number; row 3 has 'x1'" in _rules(_table(paid=["1", "2", "x1"]), schema)


def test_fix_rewrites_what_loses_nothing_and_only_that() -> None:
    table = _table(
        id=[" a", "b", "c"],
        tenure=["1,234", "$12,345.00", "x"],
        share=["0,5", "50", " 1 "],
        contract=["monthly", " Yearly ", "Weekly"],
        senior=["1.0", "0", "1"],
        left=["yes", "No ", "Yes"],
    )
    before = check(table, SCHEMA, target=True)
    assert {violation.fix for violation in before.violations} >= {
        "1234",
        "12345.00",
        "0.5",
        "Monthly",
        "Yearly",
        "1",
        "a",
        "Yes",
        "No",
    }
    fixed, report = fix(table, SCHEMA, target=True)
    assert fixed["id"].to_list() == ["a", "b", "c"]
    assert fixed["tenure"].to_list() == ["1234", "12345.00", "x"]
    assert fixed["share"].to_list() == ["0.5", "50", " 1 "]
    assert fixed["contract"].to_list() == ["Monthly", "Yearly", "Weekly"]
    assert fixed["senior"].to_list() == ["1", "0", "1"]
    assert fixed["left"].to_list() == ["Yes", "No", "Yes"]
    assert [violation.value for violation in report.errors] == ["x", "50"]
    assert report.fixable == 0
    assert table["id"].to_list() == [" a", "b", "c"]  # the table itself stays


CALLED = SCHEMA.model_copy(
    update={
        "features": (
            *SCHEMA.features[:2],
            Feature(
                name="contract",
                kind="category",
                label="Contract",
                levels=(Level(value="M", label="Monthly"), Level(value="Y", label="Long"), Level(value="Y2", label="Long")),
                missing=("Unknown",),
            ),
            Feature(
                name="senior", kind="flag", label="Senior", levels=(Level(value="0", label="No"), Level(value="1", label="Yes"))
            ),
        )
    }
)


def test_what_the_schema_calls_a_level_means_that_level() -> None:
    table = _table(senior=["No", "1", "Yes"], contract=["Monthly", "Unknown", "Long"])
    read = conform(table, CALLED, target=True)
    assert read["senior"].to_list() == ["0", "1", "1"]
    assert read["contract"].to_list() == ["M", None, "Long"]  # two levels are called Long
    (notice,) = check(table, CALLED, target=True).violations
    assert (notice.column, notice.value, notice.fix) == ("contract", "Long", None)


def test_fix_writes_the_level_for_what_it_is_called() -> None:
    fixed, _ = fix(_table(senior=["no", " Yes ", "1"], contract=["monthly", "Unknown", "Long"]), CALLED, target=True)
    assert fixed["senior"].to_list() == ["0", "1", "1"]
    assert fixed["contract"].to_list() == ["M", "Unknown", "Long"]


def test_a_level_that_reads_like_the_name_of_another_is_itself() -> None:
    swapped = (Level(value="A", label="B"), Level(value="B", label="A"))
    features = (*CALLED.features[:2], CALLED.features[2].model_copy(update={"levels": swapped}), CALLED.features[3])
    schema = CALLED.model_copy(update={"features": features})
    table = _table(contract=["A", "B", "A"])
    assert conform(table, schema, target=True)["contract"].to_list() == ["A", "B", "A"]
    assert fix(table, schema)[0]["contract"].to_list() == ["A", "B", "A"]


def test_fix_does_not_guess() -> None:
    keys = _table(id=["a ", "a", "c"])
    assert fix(keys, SCHEMA)[0]["id"].to_list() == ["a ", "a", "c"]  # trimming would make two customers one
    either = _table(tenure=["1,234", "2,345", "3"])
    assert fix(either, SCHEMA)[0]["tenure"].to_list() == ["1,234", "2,345", "3"]
    assert fix(_table(tenure=["1,234", "2.5", "3"]), SCHEMA)[0]["tenure"].to_list() == ["1234", "2.5", "3"]


cells = st.one_of(
    st.none(),
    st.text(max_size=4),
    st.sampled_from(["1", "0", "-1", "0.5", "?", " ", "Yes", "No", "Monthly", "Unknown", "1,5", "nan", "inf"]),
)


@given(st.data())
def test_any_table_is_conformed_or_refused_and_check_agrees(data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 5))
    names = data.draw(st.lists(st.sampled_from([*ROWS, "Tenure"]), unique=True))
    table = pl.DataFrame(
        {name: pl.Series(data.draw(st.lists(cells, min_size=rows, max_size=rows)), dtype=pl.String) for name in names}
    )
    report = check(table, SCHEMA, target=True)
    try:
        conformed = conform(table, SCHEMA, target=True)
    except DataError as error:
        assert len(error.violations) == len(report.errors) > 0  # noqa: PT017 - either outcome is right
    else:
        assert report.errors == ()
        assert conformed.height == table.height
    fixed, after = fix(table, SCHEMA, target=True)
    assert fixed.height == table.height
    assert after.fixable == 0
    assert len(after.violations) <= len(report.violations)


@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64, pl.Boolean, pl.Date, pl.List(pl.Int64), pl.Null, pl.Binary, pl.Datetime])
def test_no_type_of_column_breaks_it(kind: Any) -> None:
    whole = {name: pl.Series([None, None], dtype=kind) for name in ROWS}
    with pytest.raises(DataError):
        conform(pl.DataFrame(whole), SCHEMA, target=True)


def test_rows_that_break_a_rule_are_named_once_for_each_rule_and_column() -> None:
    rules = (
        Rule(when={"senior": "1"}, then={"contract": "Yearly", "tenure": 72.0}),
        Rule(when={"senior": ("0", "1"), "tenure": "1"}, then={"share": 0.25}),
        Rule(when="tenure < 10 and contract != 'Yearly'", then={"senior": "1"}),
    )
    schema = SCHEMA.model_copy(update={"rules": rules})
    table = _table(tenure=["1", "?", "71"], contract=["Monthly", "Monthly", "Yearly"])
    assert _rules(table, schema) == [
        "column 'contract' is expected to be 'Yearly' where senior = '1'; row 2 has 'Monthly'",
        "column 'tenure' is expected to be 72 where senior = '1'; row 3 has '71'",  # not known in row 2: nothing is broken
        "column 'share' is expected to be 0.25 where senior in ('0', '1') and tenure = 1; row 1 has '0.5'",
        "column 'senior' is expected to be '1' where tenure < 10 and contract != 'Yearly'; row 1 has '0'",
    ]
    assert {violation.severity for violation in check(table, schema).violations} == {"warning"}
    assert conform(table, schema).height == 3  # it scores all the same
    many = pl.concat([table] * 3).with_columns(id=pl.int_range(9).cast(pl.String))
    assert [violation.count for violation in check(many, schema).violations] == [3, 3, 3, 3]

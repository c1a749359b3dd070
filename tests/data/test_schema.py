"""The schema: what it refuses, and that it survives being written and read."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from churn.data.schema import Action, Feature, Level, Rule, Schema, Snapshot, Target
from churn.errors import SchemaError

FULL = Schema(
    name="Everybody",
    key="id",
    target=Target(column="left", positive="Yes", negative="No", missing=("?",)),
    snapshot=Snapshot(column="day", horizon_days=60),
    features=(
        Feature(name="tenure", kind="number", label="Tenure", unit="month", whole=True, range=(0, 72), at_least=0),
        Feature(name="price", kind="number", label="Price", unit="money", missing=("-", "n/a")),
        Feature(name="total paid", kind="number", label="Total", formula="tenure * price", residual=True),
        Feature(name="net", kind="flag", label="Net", levels=(Level(value="No"), Level(value="Yes"))),
        Feature(name="tv", kind="category", label="TV", levels=(Level(value="No"), Level(value="Yes"), Level(value="No net"))),
    ),
    rules=(
        Rule(when={"net": "No"}, then={"tv": "No net", "price": 0.5}),
        Rule(when={"net": ("Yes", "No")}, then={"tenure": 3.0}),
        Rule(when="tenure < 12 and `total paid` in (0, 1)", then={"tv": "No"}, evidence="holds in all 40 such rows"),
    ),
    actions=(Action(name="less", label="Lower price", scale={"price": 0.9}, set={"tv": "Yes"}, cost=2),),
    segments=("net", "tenure"),
)


def test_a_schema_survives_yaml() -> None:
    text = FULL.to_yaml()
    assert Schema.from_yaml(text) == FULL
    assert Schema.from_yaml(text).hash == FULL.hash
    assert "levels:" in text
    assert "range: [0, 72]" in text


@pytest.mark.parametrize(
    "odd", ["\x85", "\u2028", "a\r\nb", "a\nb", "\ufeff", "- :{}[]", "#x", "'", '"', " x ", "\t", "null", "1e3", "\x1f", "😀"]
)
def test_any_name_survives_yaml(odd: str) -> None:
    feature = Feature(
        name=odd, kind="category", label=odd, levels=(Level(value=odd), Level(value="b", label=odd)), missing=(odd,)
    )
    schema = Schema(name=odd, key=odd + "k", target=Target(column=odd + "t", positive=odd), features=(feature,))
    assert Schema.from_yaml(schema.to_yaml()) == schema


def test_yes_and_numbers_need_no_quotation_marks() -> None:
    schema = Schema.from_yaml(
        "key: id\ntarget: {column: left, positive: 1}\nfeatures:\n"
        "  - {name: net, kind: flag, label: Net, levels: [{value: No}, {value: Yes}]}\n"
    )
    assert schema.target.positive == "1"
    assert [level.value for level in schema.features[0].levels] == ["No", "Yes"]


def _yaml(**changes: str) -> str:
    parts = {
        "key": "id",
        "target": "{column: left, positive: Yes}",
        "features": "[{name: a, kind: number, label: A}, {name: b, kind: number, label: B}]",
    }
    return "\n".join(f"{name}: {value}" for name, value in {**parts, **changes}.items())


_LEVELS = "[{name: a, kind: number, label: A}, {name: c, kind: flag, label: C, levels: [{value: No}, {value: Yes}]}]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a", "a schema is a table of names and values, this is a list"),
        ("key: [", "here, line"),
        ("a: 1\n\tb: 2", "here, line 2"),
        (_yaml(format="9"), "format 9 is not known"),
        (_yaml(key="a"), "key column 'a' cannot be a feature too"),
        (_yaml(features="[]"), "no feature is left"),
        (_yaml(features="[{name: a, kind: number, label: A}, {name: a, kind: number, label: A}]"), "'a' is listed twice"),
        (_yaml(features="[{name: a, kind: nmber, label: A}]"), "feature 'a', kind"),
        (_yaml(features="[{name: a, kind: flag, label: A, levels: [{value: x}]}]"), "exactly two levels, not 1"),
        (_yaml(features="[{name: a, kind: category, label: A}]"), "needs its levels"),
        (_yaml(features="[{name: a, kind: number, label: A, range: [3, 1]}]"), "starts at 3.0, above its end 1.0"),
        (_yaml(features="[{name: a, kind: number, label: A, range: [.nan, .inf]}]"), "finite"),
        (_yaml(features="[{name: a, kind: number, label: A, colour: red}]"), "colour"),
        (_yaml(features="[{name: __a__, kind: number, label: A}]"), "double underscores"),
        (_yaml(features="[{name: a, kind: number, label: A, formula: a + 1}]"), "needs its own result"),
        (_yaml(features="[{name: a, kind: flag, label: A, levels: [{value: x}, {value: y}], clock: day}]"), "this is a flag"),
        (_yaml(features="[{name: a, kind: number, label: A, clock: hour}]"), "feature 'a', clock: must be"),
        (
            _yaml(features="[{name: a, kind: number, label: A, clock: day, formula: b + 1}, {name: b, kind: number, label: B}]"),
            "either grows by itself (clock) or follows from others",
        ),
        (_yaml(features="[{name: a, kind: number, label: A, formula: c + 1}]"), "uses 'c', which is no number"),
        (_yaml(features="[{name: a, kind: number, label: A, formula: 'import os'}]"), "cannot be read"),
        (
            _yaml(
                features="[{name: a, kind: number, label: A, formula: b + 1}, {name: b, kind: number, label: A, formula: a - 1}]"
            ),
            "needs its own result",
        ),
        (_yaml(segments="[c]"), "segments: 'c' is no feature"),
        (_yaml(fairness="[c]"), "fairness: 'c' is no feature"),
        (_yaml(rules="[{when: {c: x}, then: {a: 1}}]"), "rules: 'c' is no feature"),
        (_yaml(rules="[{when: a < 3, then: {c: 1}}]"), "rules: 'c' is no feature"),
        (_yaml(rules="[{when: a <, then: {b: 1}}]"), "formula 'a <' cannot be read at character 4: the text ends"),
        (_yaml(rules="[{when: 1 < 2, then: {b: 1}}]"), "names no column"),
        (_yaml(rules="[{when: {a: 1}, then: {b: 1}}, {when: a < c, then: {b: 1}}]"), "rules, number 2: formula 'a < c' cannot"),
        (_yaml(rules="[{when: 3, then: {b: 1}}]"), "rules, number 1, when: must be a table of names and values, not 3"),
        (_yaml(rules="[{when: {a: x}, then: {b: 1}}]"), "rules, number 1, when: 'a' is a number and cannot be 'x'"),
        (_yaml(rules="[{when: a < 1, then: {b: high}}]"), "rules, number 1, then: 'b' is a number and cannot be 'high'"),
        (_yaml(rules="[{when: {c: Yess}, then: {a: 1}}]", features=_LEVELS), "'c' has no level 'Yess'; did you mean 'Yes'?"),
        (_yaml(rules="[{when: {c: [Yes, 7]}, then: {a: 1}}]", features=_LEVELS), "'c' has no level '7'; it has 'No', 'Yes'"),
        (_yaml(rules="[{when: a < 1, then: {c: Gone}}]", features=_LEVELS), "then: 'c' has no level 'Gone'; it has 'No', 'Yes'"),
        (_yaml(actions="[{name: x, label: X, set: {c: Noo}}]", features=_LEVELS), "action 'x', set: 'c' has no level 'Noo'; did"),
        (_yaml(actions="[{name: x, label: X, scale: {c: 2}}]", features=_LEVELS), "action 'x', scale: 'c' is a flag, not a"),
        (_yaml(key="left"), "column 'left' cannot be both key and target"),
        (_yaml(segments="[tenur]", features="[{name: tenure, kind: number, label: T}]"), "no feature; did you mean 'tenure'?"),
        (_yaml() + "\nkey: other", "here, line 4: 'key' is there twice"),
        (_yaml(features="[{name: a, kind: number, label: A, label: B}]"), "here, line 3: 'label' is there twice"),
        (_yaml(segments="[" * 3000 + "]" * 3000), "nested too deeply"),
        (_yaml(features="[{name: a, kind: number, label: A, range: 3}]"), "feature 'a', range: must be a list, not 3"),
        (_yaml(features="[{name: a, kind: number, label: A, range: [3]}]"), "feature 'a', range: a second value is missing"),
        (
            _yaml(features="[{name: a, kind: number, label: A, range: [1, 2, 3]}]"),
            "feature 'a', range: must have 2 values, not 3",
        ),
        (
            _yaml(features="[{name: a, kind: number, label: A, at_most: low}]"),
            "feature 'a', at_most: must be a number, not 'low'",
        ),
        (
            _yaml(features="[{name: a, kind: number, label: A, whole: often}]"),
            "feature 'a', whole: must be yes or no, not 'often'",
        ),
        (_yaml(target="left"), "here: target: must be a table of names and values, not 'left'"),
        (_yaml(contacts="{phone: [a]}"), "contacts.phone: must be a text, not ['a']"),
        (_yaml(actions="[{name: x, label: X, set: {c: 1}}]"), "actions: 'c' is no feature"),
        (_yaml(actions="[{name: x, label: X, cost: -1}]"), "cost"),
        (_yaml(contacts="{name: a}"), "contact column 'a' cannot be a feature"),
        (_yaml(snapshot="{column: a}"), "snapshot column 'a' cannot be a feature too"),
        (_yaml(bands="[{name: Low, below: 0.5}]"), "must end above 1"),
    ],
)
def test_a_malformed_schema_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(SchemaError) as caught:
        Schema.from_yaml(text, where="here")
    assert says in str(caught.value)
    assert str(caught.value).startswith("here")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": "{column: left, positiv: Yes}"}, "target.positiv: there is no such field; did you mean 'positive'?"),
        (
            {"features": "[{name: a, kind: number, lable: A}]"},
            "feature 'a', lable: there is no such field; did you mean 'label'?",
        ),
        (
            {"features": "[{name: c, kind: flag, label: C, levels: [{valeu: x}, {value: y}]}]"},
            "feature 'c', levels, number 1, valeu: there is no such field; did you mean 'value'?",
        ),
        ({"snapshot": "{colum: day}"}, "snapshot.colum: there is no such field; did you mean 'column'?"),
    ],
)
def test_a_misspelt_field_is_told_once_with_what_was_meant(changes: dict[str, str], says: str) -> None:
    with pytest.raises(SchemaError) as caught:
        Schema.from_yaml(_yaml(**changes), where="here")
    assert str(caught.value) == f"here: {says}"


def test_a_date_is_the_text_it_is_written_as() -> None:
    levels = "[{value: 2024-01-01}, {value: 2024-1-2}, {value: 2026-13-01}]"
    schema = Schema.from_yaml(_yaml(features=f"[{{name: c, kind: category, label: C, levels: {levels}}}]"))
    assert [level.value for level in schema.features[0].levels] == ["2024-01-01", "2024-1-2", "2026-13-01"]


def test_a_schema_of_a_bundle_stays_readable_whatever_its_rules_say() -> None:
    schema = Schema.from_yaml(_yaml(features=_LEVELS))
    old = schema.model_copy(update={"rules": (Rule(when={"c": "Gone"}, then={"a": 1}),)})
    assert Schema.model_validate_json(old.to_json()).rules == old.rules


def test_the_sum_of_a_schema_with_actions_is_what_it_was_when_a_cost_was_0_unless_given() -> None:
    sum_then = "b59012061cb01f5aeb843e6ee1d388564c0a9536a82b175efe8946aaa47f7a00"  # by the code of that time

    schema = Schema.from_yaml(_yaml(actions="[{name: x, label: X, set: {a: 1}}]"))
    then = json.loads(schema.to_json())
    then["actions"][0]["cost"] = 0.0
    assert Schema.model_validate(then).hash == schema.hash == sum_then
    then["actions"][0]["cost"] = 5.0
    assert Schema.model_validate(then).hash != schema.hash


def test_a_schema_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="churn schema infer"):
        Schema.load(tmp_path / "none.yaml")
    with pytest.raises(SchemaError, match=r"cannot be read: it is a folder; name one file in it$"):
        Schema.load(tmp_path)
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SchemaError, match="cannot be read: byte 1 is no text in UTF-8"):
        Schema.load(tmp_path / "bad.yaml")


def test_a_rule_holds_for_the_same_rows_whichever_way_it_is_asked() -> None:
    table = pl.DataFrame(
        {
            "tenure": [1.0, 12.0, None, 0.0, 3.0],
            "total paid": [0.0, 1.0, 1.0, None, 2.0],
            "net": ["No", "Yes", None, "other", "No"],
            "tv": ["No net", "No", "Yes", None, "No"],
        }
    )
    rules = {
        "tenure < 12": [True, False, False, True, True],
        "tenure < 12 and `total paid` in (0, 1)": [True, False, False, False, False],
        "net != 'No' or tv is missing": [False, True, False, True, False],
        "net is missing and tenure is missing": [False, False, True, False, False],
        "not (net = 'No' or tenure >= 12)": [False, False, False, True, False],
    }
    tables: list[tuple[dict[str, str | tuple[str, ...]], list[bool]]] = [
        ({"net": "No"}, [True, False, False, False, True]),
        ({"net": ("No", "Yes"), "tenure": "12"}, [False, True, False, False, False]),
        ({"tenure": ("1.0", "3", "x")}, [True, False, False, False, True]),
        ({"tv": ("x",)}, [False] * 5),
    ]
    for when, expected in [*rules.items(), *tables]:
        rule = Rule(when=when, then={"tv": "No"})
        assert rule.holds(table).to_list() == expected, when
        assert [rule.applies(row) for row in table.iter_rows(named=True)] == expected, when
    assert Rule(when="`total paid` > tenure", then={}).columns == ("total paid", "tenure")
    empty = Rule(when="tenure < 12 and net = 'No'", then={}).holds(table.clear())
    assert empty.to_list() == []


def test_a_condition_in_yaml_needs_no_quotation_marks_of_its_own() -> None:
    schema = Schema.from_yaml(_yaml(rules="\n- when: a < 12 and b is known\n  then: {b: 0}\n  label: New"))
    assert schema.rules == (Rule(when="a < 12 and b is known", then={"b": 0}, label="New"),)
    assert Schema.from_yaml(schema.to_yaml()) == schema

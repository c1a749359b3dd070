"""Scenarios: kept under a name, found by a token that tells nothing, deleted and brought back; opened when models change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from churn.act.scenarios import Kept, delete, find, fitting, in_words, keep, of_customer, restore, suggested_name
from churn.base.records import Records
from churn.data.schema import Schema
from churn.errors import DataError
from churn.settings import Settings
from churn.understand.what_if import edit

from ..base.postgres import postgres, server  # noqa: F401 - fixtures

EDITS = (("contract", "Two years"), ("fee", 55.5))
SCHEMA = Schema.model_validate(
    {
        "key": "id",
        "target": {"column": "left", "positive": "Yes"},
        "features": [
            {"name": "fee", "kind": "number", "label": "Monthly fee", "unit": "money", "range": [18, 120], "editable": True},
            {
                "name": "contract",
                "kind": "category",
                "label": "Contract",
                "editable": True,
                "levels": [{"value": "Monthly"}, {"value": "Two years"}],
            },
            {"name": "ends", "kind": "category", "label": "Contract ends", "levels": [{"value": "Soon"}, {"value": "Later"}]},
        ],
    }
)
ROW = {"id": "A-1", "fee": 70.0, "contract": "Monthly", "ends": "Soon"}


def kept(records: Records, **changes: Any) -> Kept:
    given: dict[str, Any] = {
        "customer": "A-1",
        "name": "Cheaper",
        "edits": EDITS,
        "since": "always",
        "model": "v3",
        "scoring": "s1",
        "risk": 0.31,
        "risk_before": 0.57,
        "who": "ann",
    }
    return keep(records, **{**given, **changes})


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.system)])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    """The records of one workspace, in a file and in a server."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").url
    opened = Records(Settings(home=tmp_path, data="data", database=url))
    yield opened
    opened.close()


def test_what_is_kept_is_found_by_its_token_and_by_its_customer(records: Records) -> None:
    one = kept(records)
    assert find(records, one.token) == one
    assert of_customer(records, "A-1") == (one,)
    assert of_customer(records, "A-2") == ()
    assert one.edits == EDITS


def test_the_latest_comes_first_and_names_stay_apart(records: Records) -> None:
    names = [kept(records, name=name).name for name in ("Cheaper", " Cheaper\n", "Other", "Cheaper")]
    assert names == ["Cheaper", "Cheaper (2)", "Other", "Cheaper (3)"]
    assert [one.name for one in of_customer(records, "A-1")] == names[::-1]
    assert kept(records, customer="A-2").name == "Cheaper"


def test_a_token_tells_nothing_and_is_never_the_same(records: Records) -> None:
    tokens = {kept(records, name=str(number), customer="7590-VHVEG").token for number in range(20)}
    assert len(tokens) == 20
    assert all(len(token) == 32 and "7590" not in token for token in tokens)


def test_deleted_and_brought_back(records: Records) -> None:
    one, other = kept(records), kept(records, name="Other")
    delete(records, one.token)
    assert find(records, one.token) is None
    assert of_customer(records, "A-1") == (other,)
    restore(records, one.token)
    assert find(records, one.token) == one
    delete(records, "no such token")
    assert len(of_customer(records, "A-1")) == 2


def test_workspaces_see_their_own_only(records: Records, tmp_path: Path) -> None:
    one = kept(records)
    other = Records(replace(records._settings, workspace="shop"))
    assert find(other, one.token) is None
    assert of_customer(other, "A-1") == ()
    delete(other, one.token)
    assert find(records, one.token) == one
    other.close()


@pytest.mark.parametrize(("changes", "says"), [({"name": " \n"}, "needs a name"), ({"edits": ()}, "without a change")])
def test_what_says_nothing_is_not_kept(records: Records, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        kept(records, **changes)
    assert of_customer(records, "A-1") == ()


def test_awkward_names_and_values_come_back_as_they_were(records: Records) -> None:
    awkward = "Robert'); DROP TABLE churn_scenarios;-- <b>é</b> 名"
    one = kept(records, name=awkward, customer=awkward, edits=(("contract", awkward),))
    assert find(records, one.token) == one
    assert one.name == awkward
    assert len(kept(records, name="x" * 500).name) == 80


def test_what_another_model_does_not_know_is_left_out_and_named() -> None:
    one = Kept("t", "A-1", "n", (*EDITS, ("speed", 3.0)), "always", "v3", "s1", 0.3, 0.5, "ann", None)  # type: ignore[arg-type]
    assert fitting(one, ROW, SCHEMA) == (found := fitting(one, ROW, SCHEMA))
    assert dict(found.changes) == dict(EDITS)
    assert found.lost == ("a column that there is no more",)
    dear = replace(one, edits=(("fee", 500.0), ("contract", "Two years")))
    assert fitting(dear, ROW, SCHEMA).lost == ("Monthly fee",)
    assert dict(fitting(dear, ROW, SCHEMA).changes) == {"contract": "Two years"}


def test_an_action_may_set_what_a_field_may_not() -> None:
    action = Kept("t", "A-1", "n", (("ends", "Later"),), "from now on", "v3", "s1", 0.3, 0.5, "ann", None)  # type: ignore[arg-type]
    assert dict(fitting(action, ROW, SCHEMA).changes) == {"ends": "Later"}
    assert fitting(replace(action, since="always"), ROW, SCHEMA).lost == ("Contract ends",)


def test_in_words() -> None:
    assert in_words((*EDITS, ("gone", 1.0)), SCHEMA) == (
        "Contract: Two years",
        "Monthly fee: $55.50",
        "a column that there is no more",
    )
    assert suggested_name(edit(ROW, dict(EDITS), SCHEMA), SCHEMA) == "Contract: Two years, monthly fee: $55.50"

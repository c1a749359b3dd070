"""Named filters: shared, changed, deleted and brought back, and counted at each scoring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from churn.act.segments import count, counts, delete, find, from_json, of_workspace, save, to_json
from churn.base.groups import BAND, Filter
from churn.base.records import Records
from churn.errors import DataError
from churn.settings import Settings

from ..base.postgres import postgres, server  # noqa: F401 - fixtures
from .listed import open_base, schema_of

PLAN_A = Filter.of({"plan": ["A"]})


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").url
    made = Records(Settings(home=tmp_path, database=url))
    yield made
    made.close()


def test_named_and_found_again(records: Records) -> None:
    made = save(records, "  Monthly   payers ", PLAN_A, "ann")
    save(records, "Überfällig", Filter.of({BAND: ["High"]}), "bob")
    assert [one.name for one in of_workspace(records)] == ["Monthly payers", "Überfällig"]
    assert find(records, "monthly payers") == find(records, made.id)
    assert find(records, "Überfällig").filter == Filter.of({BAND: ["High"]})
    with pytest.raises(DataError, match="no segment 'nobody'; there are: 'Monthly payers', 'Überfällig'"):
        find(records, "nobody")
    assert from_json(to_json(PLAN_A)) == PLAN_A


def test_names_that_differ_stay_apart(records: Records) -> None:
    for name in ("Müller", "Muller", "=1+1", "+1-1", "王", "明"):
        save(records, name, PLAN_A, "ann")
    assert len(of_workspace(records)) == 6


def test_a_name_and_a_filter_are_needed(records: Records) -> None:
    with pytest.raises(DataError, match="needs a name"):
        save(records, " ", PLAN_A, "ann")
    with pytest.raises(DataError, match="would be everybody"):
        save(records, "All", Filter(), "ann")


def test_deleted_and_named_again(records: Records) -> None:
    made = save(records, "Payers", PLAN_A, "ann")
    delete(records, made.id)
    assert of_workspace(records) == ()
    save(records, "Payers", PLAN_A, "bob")
    assert [one.who for one in of_workspace(records)] == ["bob"]


def test_counted_once_a_scoring_and_anew_when_the_filter_changes(records: Records, tmp_path: Path) -> None:
    made = save(records, "Payers", PLAN_A, "ann")
    save(records, "Of another model", Filter.of({"gone": ["x"]}), "ann")
    base = open_base(tmp_path / "one", schema_of(roles=()), [0.5, 0.2, 0.9], [10.0, 20.0, 30.0], plan=["A", "A", "B"])
    assert (count(records, base.snapshot), count(records, base.snapshot)) == (1, 0)
    (found,) = counts(records, made.id)
    assert (found.scoring, found.customers, found.as_of) == (base.snapshot.id, 2, base.snapshot.as_of)
    assert (found.expected_leavers, found.revenue_at_risk) == (pytest.approx(0.7), pytest.approx(9.0))
    save(records, "Payers", PLAN_A, "bob")
    assert len(counts(records, made.id)) == 1  # the same filter
    save(records, "Payers", Filter.of({"plan": ["B"]}), "bob")
    assert counts(records, made.id) == ()
    assert count(records, base.snapshot) == 1
    assert counts(records, made.id)[0].customers == 1

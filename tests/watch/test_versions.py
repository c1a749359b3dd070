"""Two models on the same customers: counts by hand, parts that add up, nobody left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from churn.data.schema import Schema
from churn.errors import PromotionRefused
from churn.model.encoder import Encoder
from churn.model.scoring import ScoringModel
from churn.model.trees import CodeTerm, LinearTerms
from churn.score.batch import score, write_scoring
from churn.score.promotion import check_columns
from churn.watch import versions
from churn.watch.versions import Lineage, Moves, ancestors, lineage, moves

DOCUMENT = {
    "key": "id",
    "target": {"column": "left", "positive": "Yes", "negative": "No"},
    "money": {"column": "fee"},
    "bands": [{"name": "Low", "below": 0.3}, {"name": "Middle", "below": 0.6}, {"name": "High", "below": 1.01}],
    "features": [
        {"name": "fee", "kind": "number", "label": "Fee", "unit": "money"},
        {"name": "plan", "kind": "category", "label": "Plan", "levels": [{"value": one} for one in "ABC"]},
        {"name": "city", "kind": "category", "label": "City", "levels": [{"value": one} for one in "XY"]},
    ],
}
SCHEMA = Schema.model_validate(DOCUMENT)
TABLE = pl.DataFrame(
    {
        "id": ["k1", "k2", "k3", "k4", "k5"],
        "fee": [10.0, 20.0, 30.0, 40.0, None],
        "plan": ["A", "B", "C", "A", "B"],
        "city": ["X", "X", "X", "Y", "Y"],
    }
)


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def model(schema: Schema, **risks: dict[str, float]) -> ScoringModel:
    """A model whose margin is a sum of one term a column, each given as the risk it alone would make."""
    background = pl.concat([TABLE.with_columns(pl.lit(name).alias("plan")) for name in "ABC"]).select(schema.names)
    terms = []
    for column, by_level in risks.items():
        levels = [level.value for level in schema.feature(column).levels]
        terms.append(CodeTerm(schema.names.index(column), np.array([*(logit(by_level[one]) for one in levels), 0.0, 0.0])))
    return ScoringModel.build(schema, Encoder.fit(background, schema), (), background, linear=LinearTerms((), tuple(terms)))


FIRST = model(SCHEMA, plan={"A": 0.2, "B": 0.5, "C": 0.8})
SECOND = model(SCHEMA, plan={"A": 0.2, "B": 0.7, "C": 0.8}, city={"X": 0.5, "Y": 0.25})
# risks of the second: k1 0.2, k2 0.7, k3 0.8; of those in Y the odds are a third: k4 (0.25/3 odds) 1/13, k5 (7/3 / 3 odds) 7/16
RISKS = {"k1": (0.2, 0.2), "k2": (0.5, 0.7), "k3": (0.8, 0.8), "k4": (0.2, 1 / 13), "k5": (0.5, 7 / 16)}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    write_scoring(
        tmp_path / "s", score(TABLE, FIRST), model_version="v1", schema=SCHEMA, as_of=date(2026, 11, 1), simulated=False
    )
    return tmp_path / "s" / "rows.parquet"


@pytest.fixture
def found(rows: Path) -> Moves:
    return moves(rows, SCHEMA, FIRST, SECOND)


def test_bands_by_hand(found: Moves) -> None:
    assert found.counts == ((2, 0, 0), (0, 1, 1), (0, 0, 1))
    assert (found.customers, found.of, found.moving) == (5, 5, 1)
    assert found.down is None
    assert found.up is not None
    assert (found.up.customers, found.up.asked) == (1, 1)
    assert found.up.change == pytest.approx(0.2)


def test_money_by_hand(found: Moves) -> None:
    assert found.leavers == pytest.approx(tuple(sum(pair[side] for pair in RISKS.values()) for side in (0, 1)))
    fees = {"k1": 10, "k2": 20, "k3": 30, "k4": 40, "k5": 0}
    assert found.revenue == pytest.approx(tuple(sum(fees[key] * pair[side] for key, pair in RISKS.items()) for side in (0, 1)))


def test_who_moved_most_and_what_adds_up_to_it(found: Moves) -> None:
    assert [one.key for one in found.most][:3] == ["k2", "k4", "k5"]
    for one in found.most:
        assert (one.first, one.second) == pytest.approx(RISKS[one.key])
        assert sum(part.change for part in one.parts) == pytest.approx(one.second - one.first, abs=1e-12)
        assert [abs(part.change) for part in one.parts] == sorted((abs(part.change) for part in one.parts), reverse=True)
        typical = [part for part in one.parts if part.feature is None]
        assert [(part.first, part.second) for part in typical] == [(FIRST.typical_risk, SECOND.typical_risk)]
    (k4,) = [one for one in found.most if one.key == "k4"]
    assert k4.parts[0].feature in ("city", None)
    assert {part.feature for part in k4.parts} == {None, "plan", "city"}


def test_the_other_way_round_everything_turns(rows: Path, found: Moves) -> None:
    back = moves(rows, SCHEMA, SECOND, FIRST, known=False)
    assert np.array_equal(np.array(back.counts), np.array(found.counts).T)
    assert (back.up, back.leavers) == (None, found.leavers[::-1])
    assert back.down is not None
    assert found.up is not None
    assert {part.feature: part.change for part in back.down.parts} == pytest.approx(
        {part.feature: -part.change for part in found.up.parts}
    )


def test_the_same_model_moves_nobody(rows: Path) -> None:
    same = moves(rows, SCHEMA, FIRST, FIRST)
    assert (same.moving, same.up, same.down) == (0, None, None)
    assert all(one.parts == () for one in same.most)


def test_a_column_that_only_one_model_knows(rows: Path) -> None:
    fewer = Schema.model_validate({**DOCUMENT, "money": None, "features": DOCUMENT["features"][1:2]})  # type: ignore[index]
    found = moves(rows, SCHEMA, model(fewer, plan={"A": 0.2, "B": 0.5, "C": 0.8}), SECOND, known=False)
    (k4,) = [one for one in found.most if one.key == "k4"]
    (city,) = [part for part in k4.parts if part.feature == "city"]
    assert city.first == 0.0
    assert city.second < 0


def test_slices_change_nothing(rows: Path, found: Moves, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "CHUNK", 2)
    told: list[tuple[str, int, int]] = []
    assert moves(rows, SCHEMA, FIRST, SECOND, progress=lambda *step: told.append(step)) == found
    assert told == [("Comparing", 2, 5), ("Comparing", 4, 5), ("Comparing", 5, 5)]


def test_a_model_that_takes_long_is_asked_about_a_sample(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScoringModel, "quick", False)
    monkeypatch.setattr(versions, "_SLOW", 3)
    found = moves(rows, SCHEMA, FIRST, SECOND)
    assert (found.customers, found.of) == (3, 5)
    assert sum(map(sum, found.counts)) == 3
    assert len({one.key for one in found.most}) == 3
    for one in found.most:
        assert (one.first, one.second) == pytest.approx(RISKS[one.key])


def test_many_customers_of_a_direction_are_sampled(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "_EXPLAINED", 1)
    sharper = model(SCHEMA, plan={"A": 0.9, "B": 0.9, "C": 0.9})
    found = moves(rows, SCHEMA, FIRST, sharper)
    assert found.up is not None
    assert (found.up.customers, found.up.asked) == (4, 1)


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ({"id": pl.String(), "fee": pl.Float64(), "plan": pl.String()}, "no column 'city'"),
        ({"id": pl.String(), "fee": pl.String(), "plan": pl.String(), "city": pl.String()}, "'fee' .* of another kind"),
    ],
)
def test_customers_that_cannot_be_scored_are_refused(types: dict[str, pl.DataType], words: str) -> None:
    with pytest.raises(PromotionRefused, match=words):
        check_columns(types, SCHEMA)


# -- where a version comes from -------------------------------------------------


def test_lineage_is_read_from_what_was_noted() -> None:
    noted = {"table": {"sha256": "ab12", "rows": 900, "columns": 5}, "run": "r1", "parent": "v1"}
    assert lineage("v2", noted, "s") == Lineage("v2", "s", "ab12", 900, "r1", "v1")
    assert lineage("v1", {}, "s") == Lineage("v1", "s", None, None, None, None)
    assert lineage("v1", {"table": "x", "run": 5, "parent": ""}, "s") == Lineage("v1", "s", None, None, None, None)


def _line(*pairs: tuple[str, str | None]) -> list[Lineage]:
    return [Lineage(version, "s", None, None, None, parent) for version, parent in pairs]


@pytest.mark.parametrize(
    ("known", "found"),
    [
        (_line(("v3", "v2"), ("v2", "v1"), ("v1", None)), ("v2", "v1")),
        (_line(("v3", "v1")), ("v1",)),
        (_line(("v3", "v2"), ("v2", "v3")), ("v2",)),
        ([], ()),
    ],
    ids=["a line", "one gone", "a circle", "nothing"],
)
def test_ancestors(known: list[Lineage], found: tuple[str, ...]) -> None:
    assert ancestors("v3", known) == found


# -- in words --------------------------------------------------------------------


def test_the_sentence(found: Moves) -> None:
    told = versions.sentence(found, ("v1", "v2"), SCHEMA)
    moved = "1 of 5 customers changes band with v2: 1 to a higher one."
    assert told == f"{moved} Expected leavers stay 2 and revenue at risk goes from $44 to $43."
    sampled = replace(found, of=900)
    assert versions.sentence(sampled, ("v1", "v2"), SCHEMA).startswith("1 of 5 customers asked about, of 900, changes band")
    nobody = replace(found, up=None)
    assert versions.sentence(nobody, ("v1", "v2"), SCHEMA) == "None of 5 customers changes band with v2."


def test_what_differs_in_one_customer(found: Moves) -> None:
    (k4,) = [one for one in found.most if one.key == "k4"]
    told = versions.differs(k4, (SCHEMA, SCHEMA), {"plan": "A", "city": "Y"})
    assert len(told) == sum(f"{100 * part.first:.0f}" != f"{100 * part.second:.0f}" for part in k4.parts)
    assert any(line.startswith("City: Y −") and line.endswith("(was 0)") for line in told)
    assert versions.differs(replace(k4, parts=()), (SCHEMA, SCHEMA), {}) == ()


def test_lines_of_descent_side_by_side() -> None:
    first, second = Lineage("v1", "s" * 64, "t" * 64, 9, "r1", None), Lineage("v2", "s" * 64, "u" * 64, 9, "r2", "v1")
    assert versions.side_by_side(first, second) == (
        ("Table", "one", "another", ""),
        ("Schema", "the same", "the same", ""),
        ("Training run", "one", "another", ""),
        ("Made to succeed", "–", "v1", ""),
    )
    elsewhere = replace(second, table=None, run=None)
    assert [row[1:3] for row in versions.side_by_side(first, elsewhere)][::2] == [("one", "–"), ("one", "–")]
    assert versions.sums(first, elsewhere) == (f"v1: table {'t' * 10}, schema {'s' * 10}, training run r1; v2: schema {'s' * 10}")

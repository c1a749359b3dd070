"""A base scored by what a campaign taught: by either way, by those columns, once, and only for customers like the campaign's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from churn import words
from churn.act import uplift, uplift_base
from churn.act.uplift import TRANSFORMED, TWO_MODELS, Comparison
from churn.data.schema import Schema
from churn.errors import DataError, NotInStore
from churn.model import bundle
from churn.model.encoder import Encoder
from churn.model.scoring import ScoringModel
from churn.model.store import FileStore
from churn.model.trees import CodeTerm, LinearTerms

from .listed import Base, everybody, open_base, schema_of

MODELS = "uplift/summer-save/20260101T000000-abcdef"
RISKS = [0.9, 0.8, 0.7, 0.6, 0.1]
PLANS = ["A", "B", "A", "B", "B"]
FEES = [100.0, 90.0, 80.0, 70.0, 60.0]


def learnt(schema: Schema, best: str) -> Comparison:
    columns = dict.fromkeys(schema.names, "Label")
    return Comparison("summer-save", "Summer save", 4, 2, 2, 5, 0.1, (), best, "open", (0.6, 0.9), columns, MODELS)


def keep(store: FileStore, schema: Schema, place: Path, by_plan: Mapping[str, tuple[float, float]]) -> None:
    """Put models into the store whose margin is the one of two figures that belongs to a customer's plan, A or B."""
    background = pl.DataFrame({"fee": [20.0, 60.0, 100.0, 80.0], "plan": ["A", "B"] * 2})
    encoder = Encoder.fit(background, schema)
    for name, (a, b) in by_plan.items():
        linear = LinearTerms((), (CodeTerm(1, np.array([a, b, 0.0, 0.0])),))
        model = ScoringModel.build(schema, encoder, (), background, linear=linear)
        facts = bundle.save(
            place / name, model, metrics={}, leaderboard=[], card="", reference=background, simulated=False
        )  # fmt: skip
        store.upload(f"{MODELS}/{name}", place / name, [*facts["files"], "manifest.json"])


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return open_base(tmp_path, schema_of(), RISKS, FEES, everybody(5), plan=PLANS)


def test_either_way_gives_by_how_much_calling_lowers_the_risk(base: Base, tmp_path: Path) -> None:
    store, schema = FileStore(tmp_path / "store"), base.snapshot.schema
    keep(store, schema, tmp_path / "made", {uplift.CALLED: (0.0, 1.0), uplift.HELD: (1.0, 1.0), uplift.EFFECT: (0.03, -0.01)})
    kept_by_call = 1 / (1 + np.exp(-1)) - 0.5
    for best, (a, b) in ((TWO_MODELS, (kept_by_call, 0.0)), (TRANSFORMED, (0.03, -0.01))):
        found = uplift_base.of_base(learnt(schema, best), store, base.snapshot, base.folder, base.settings)
        assert (found.version, found.campaign) == (MODELS, "Summer save")
        assert found.lowers[:4] == pytest.approx([a, b, a, b], abs=1e-6)
        assert np.isnan(found.lowers[4])  # nobody of the campaign had so low a risk


def test_a_base_is_scored_once(base: Base, tmp_path: Path) -> None:
    store, schema = FileStore(tmp_path / "store"), base.snapshot.schema
    keep(store, schema, tmp_path / "made", {uplift.EFFECT: (0.03, -0.01)})
    seen: list[tuple[str, int, int]] = []

    def ask(of: Comparison) -> np.ndarray:
        return uplift_base.of_base(
            of, store, base.snapshot, base.folder, base.settings, lambda *told: seen.append(told)
        ).lowers  # fmt: skip

    first, again = ask(learnt(schema, TRANSFORMED)), ask(learnt(schema, TRANSFORMED))
    assert np.array_equal(first, again, equal_nan=True)
    assert seen == [(words.say("uplift scoring"), 0, 5)]
    with pytest.raises(NotInStore):  # the other way's models are others, and there are none
        ask(learnt(schema, TWO_MODELS))


def test_what_stands_in_the_way_is_told(base: Base, tmp_path: Path) -> None:
    schema = base.snapshot.schema
    assert uplift_base.why_not(learnt(schema, TWO_MODELS), schema) is None
    assert "No finished campaign has taught" in (uplift_base.why_not(None, schema) or "")
    other = replace(learnt(schema, TWO_MODELS), columns={"fee": "Monthly fee", "tenure_m": "Tenure"})
    reason = "other columns now than in Summer save, where whom calling changes was learnt; there is no Tenure"
    assert reason in (uplift_base.why_not(other, schema) or "")
    with pytest.raises(DataError, match="there is no Tenure"):
        uplift_base.of_base(other, FileStore(tmp_path / "store"), base.snapshot, base.folder, base.settings)

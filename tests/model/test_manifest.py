"""The manifest: only what JSON knows is written, so that every reader can read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from churn.errors import BundleRejected
from churn.model import manifest


@pytest.mark.parametrize(
    ("facts", "place"),
    [
        ({"sums": {"risk": 1.0, "interval": [1.0, float("nan")]}}, "sums.interval.1"),
        ({"bins": {"tenure": (1.0, float("inf"))}}, "bins.tenure.1"),
        ({"typical_risk": float("-inf")}, "typical_risk"),
    ],
)
def test_a_figure_that_is_no_number_is_named_and_nothing_is_written(tmp_path: Path, facts: dict[str, Any], place: str) -> None:
    with pytest.raises(BundleRejected, match=f"its figure {place} is no number that can be shown"):
        manifest.seal(tmp_path, kind="scoring", simulated=False, schema_hash="x", **facts)
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_is_json_that_anybody_can_read(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"1")
    manifest.seal(tmp_path, kind="scoring", simulated=False, schema_hash="x", sums={"risk": 1.5, "money": None})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    assert json.loads((tmp_path / manifest.NAME).read_bytes(), parse_constant=refuse)["sums"] == {"risk": 1.5, "money": None}

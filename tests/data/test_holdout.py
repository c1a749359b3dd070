"""The holdout is a property of the key alone."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.data.holdout import holdout_position, in_holdout


@given(st.lists(st.text(max_size=12), max_size=30), st.randoms())
def test_choice_depends_on_the_key_alone(keys: list[str], random: object) -> None:
    alone = dict(zip(keys, in_holdout(keys, salt="s", share=0.3), strict=True))
    shuffled = list(keys) * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert [alone[key] for key in shuffled] == list(in_holdout(pl.Series(shuffled, dtype=pl.String), salt="s", share=0.3))


@given(st.text(), st.text())
def test_position_is_a_share(key: str, salt: str) -> None:
    assert 0 <= holdout_position(key, salt) < 1


def test_known_answer_so_that_no_release_draws_another_holdout() -> None:
    assert holdout_position("7590-VHVEG", "churn-holdout") == pytest.approx(0.09091324128656009, abs=1e-12)


def test_share_is_met_and_salt_matters() -> None:
    keys = [f"C{i}" for i in range(20_000)]
    first, second = (in_holdout(keys, salt=salt, share=0.2) for salt in ("a", "b"))
    assert abs(first.mean() - 0.2) < 0.01
    assert abs((first & second).mean() - 0.04) < 0.01
    larger = in_holdout(keys, salt="a", share=0.3)
    assert not np.any(first & ~larger), "a larger share only adds customers"


def test_extremes_and_bad_share() -> None:
    assert not in_holdout(["a", "b"], salt="", share=0).any()
    assert in_holdout(["a", "b"], salt="", share=1).all()
    with pytest.raises(ValueError, match="share"):
        in_holdout(["a"], salt="", share=1.2)

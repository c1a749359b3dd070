"""The draw of who is kept uncalled: balanced, the same again, and for good."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.act.holdout import CALL, HOLDOUT, draw, held_out, new_salt
from churn.errors import DataError

BANDS = ("Low", "Medium", "High", "Very high")


def _list(customers: int, start: int = 0) -> tuple[list[str], list[str]]:
    return [f"C{i:05d}" for i in range(start, start + customers)], [BANDS[i * 7 % 4] for i in range(start, start + customers)]


def test_each_band_keeps_its_share_uncalled() -> None:
    keys, bands = _list(1000)
    arms = draw(keys, bands, salt="s", share=0.1)
    held = Counter(band for band, arm in zip(bands, arms, strict=True) if arm == HOLDOUT)
    assert held == dict.fromkeys(BANDS, 25)


@given(st.lists(st.sampled_from(BANDS), max_size=120), st.floats(0, 0.5))
def test_bands_are_within_one_of_their_share_and_the_sum_is_right(bands: list[str], share: float) -> None:
    keys = [str(i) for i in range(len(bands))]
    arms = draw(keys, bands, salt="s", share=share)
    assert arms.count(HOLDOUT) == held_out(len(keys), share)
    for band, size in Counter(bands).items():
        held = sum(one == band and arm == HOLDOUT for one, arm in zip(bands, arms, strict=True))
        assert abs(held - size * share) <= 1


def test_the_order_of_the_list_does_not_matter() -> None:
    keys, bands = _list(300)
    order = np.random.default_rng(1).permutation(300)
    arms = dict(zip(keys, draw(keys, bands, salt="s"), strict=True))
    again = draw([keys[i] for i in order], [bands[i] for i in order], salt="s")
    assert again == [arms[keys[i]] for i in order]


def test_another_campaign_holds_out_others() -> None:
    keys, bands = _list(4000)
    one, other = (np.array(draw(keys, bands, salt=salt)) == HOLDOUT for salt in ("one", "other"))
    both = int((one & other).sum())
    assert 20 <= both <= 60  # 40 by chance, with a standard deviation of 5.7
    assert new_salt() != new_salt()
    assert len(new_salt()) <= 64


def test_whoever_was_drawn_stays_when_the_list_grows_shrinks_or_moves_between_bands() -> None:
    keys, bands = _list(400)
    first = dict(zip(keys, draw(keys, bands, salt="s"), strict=True))
    more, more_bands = _list(600, start=200)  # the first 200 are gone for now, 400 are new
    second = draw(more, [BANDS[0]] * 100 + more_bands[100:], salt="s", before=first)
    assert all(first[key] == arm for key, arm in zip(more, second, strict=True) if key in first)
    everybody, bands = _list(800)
    third = draw(everybody, bands, salt="s", before={**first, **dict(zip(more, second, strict=True))})
    assert [third[i] for i in range(400)] == [first[key] for key in keys]
    assert third.count(HOLDOUT) == pytest.approx(80, abs=8)


def test_hundreds_of_draws_hold_everybody_out_equally_often() -> None:
    keys, bands = _list(200)
    counts = np.zeros(200)
    for campaign in range(500):
        counts += np.array(draw(keys, bands, salt=f"campaign {campaign}", share=0.2)) == HOLDOUT
    # each is held out 100 times of 500 with a standard deviation of 8.9
    assert counts.mean() == pytest.approx(100)
    assert counts.std() == pytest.approx(8.9, abs=1.8)
    assert counts.min() > 60
    assert counts.max() < 140


def test_no_share_holds_nobody_out_and_an_empty_list_is_fine() -> None:
    keys, bands = _list(50)
    assert set(draw(keys, bands, salt="s", share=0.0)) == {CALL}
    assert draw([], [], salt="s") == []


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(DataError, match=r"the share held out must be from 0 to 0\.5, not 0\.6"):
        draw(["a"], ["Low"], salt="s", share=0.6)
    with pytest.raises(DataError, match="'b' is on the list twice"):
        draw(["a", "b", "b"], ["Low"] * 3, salt="s")
    with pytest.raises(DataError, match="there are 2 customers and 1 bands"):
        draw(["a", "b"], ["Low"], salt="s")
    with pytest.raises(DataError, match="customer 'a' has 'control'"):
        draw(["a"], ["Low"], salt="s", before={"a": "control"})

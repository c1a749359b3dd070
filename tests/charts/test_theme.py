"""The colours' contract with Streamlit, and the text helpers."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import streamlit
from hypothesis import given
from hypothesis import strategies as st

from churn.charts import theme

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDERS = (theme.RAISES, theme.LOWERS, theme.NEUTRAL, theme.MONEY, theme.QUIET, theme.INK, *theme.RISK)


def test_streamlit_still_replaces_the_placeholders() -> None:
    scripts = (Path(streamlit.__file__).parent / "static" / "static" / "js").glob("PlotlyChart*.js")
    text = "".join(script.read_text(encoding="utf-8") for script in scripts)
    for placeholder in PLACEHOLDERS:
        assert placeholder in text, f"Streamlit {streamlit.__version__} knows no {placeholder}; charts would be black"
    assert "chartCategoricalColors" in text
    assert "chartSequentialColors" in text


@pytest.mark.parametrize("kind", ["light", "dark"])
def test_the_theme_has_a_colour_for_each(kind: str) -> None:
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    colours = config["theme"][kind]
    assert len(colours["chartCategoricalColors"]) == 6
    assert len(colours["chartSequentialColors"]) == len(theme.RISK)


def test_bands_get_darker() -> None:
    assert theme.band_colours(4) == (theme.QUIET, theme.RISK[3], theme.RISK[5], theme.RISK[8])
    for bands in range(1, 10):
        colours = theme.band_colours(bands)
        assert len(colours) == bands
        assert colours[0] == theme.QUIET
        assert list(colours[1:]) == sorted(colours[1:])


def test_text_is_data_and_nothing_else() -> None:
    assert theme.text("<b>&") == "&lt;b&gt;&amp;"
    assert theme.text("x", bold=True) == "<b>x</b>"
    assert "#000001" not in theme.text("plan #000001")


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF) | st.just(" "), max_size=80), st.floats(20, 300))
def test_wrapped_lines_fit_and_lose_nothing(label: str, room: float) -> None:
    lines = theme.wrap(label, room)
    assert all(theme.width(line) <= room or len(line) <= 2 for line in lines)
    assert "".join(lines).replace("-", "").replace(" ", "") == "".join(label.split()).replace("-", "")


def test_a_line_that_fits_stays_one() -> None:
    assert theme.wrap("Month-to-month · Fibre", 200) == ["Month-to-month · Fibre"]
    assert theme.wrap("", 100) == [""]


def test_paper_has_the_colours_of_the_light_theme() -> None:
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert list(theme.ON_PAPER.values()) == config["theme"]["light"]["chartCategoricalColors"]
    assert list(theme.ON_PAPER) == list(PLACEHOLDERS[:6])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 100, [0, 50, 100]), (-30, 70, [0, 50]), (-120, 90, [-100, 0]), (0, 0.9, [0, 0.5]), (0, 7, [0, 2, 4, 6])],
)
def test_round_steps_hold_zero_and_stay_within(low: float, high: float, expected: list[float]) -> None:
    assert theme.round_steps(low, high, 4) == expected

"""What every chart shares: colours, text, and the frame of a Plotly figure as a plain dict.

Colours are placeholders that Streamlit's front end replaces by the colours of the theme the reader has chosen: `#000001` to
`#000006` by `theme.chartCategoricalColors`, `#000011` to `#000020` by `theme.chartSequentialColors` (see
`.streamlit/config.toml`). A chart is therefore the same in light and dark. The placeholders are an internal of Streamlit:
they stand here only, and a test looks for them in the Streamlit that is installed. The front end replaces them once, when it
mounts a figure, so pages key their figures by the theme's type.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from churn import words

RAISES, LOWERS, NEUTRAL, MONEY, QUIET, INK = (f"#00000{i}" for i in range(1, 7))
RISK = tuple(f"#{i:06d}" for i in range(11, 21))  # ten steps, low to high
# What a printed page takes for them: the light theme's, as in `.streamlit/config.toml`.
ON_PAPER = dict(
    zip(
        (RAISES, LOWERS, NEUTRAL, MONEY, QUIET, INK),
        ("#C8501E", "#2A78BC", "#7C8896", "#0A5A64", "#B9C3CF", "#0F1722"),
        strict=True,
    )
)
CLEAR = "rgba(0,0,0,0)"
TRACK = "rgba(124,136,150,0.15)"  # neutral, thinned: the track under a bar, on light and dark alike

TEXT = 13  # px, every letter in a chart
LINE = 18  # px from one line of text to the next

_WIDTHS = {
    letter: size
    for size, letters in (
        (2.6, " "),
        (3.4, ",.:;ij|·"),
        (3.8, "Il'"),
        (4.3, "!()-[]f{}/\\rt"),
        (5.6, '*?sz"c'),
        (6.1, "JYvxy–_"),
        (6.7, "0123456789#$+<=>FLVX^aegk~−"),
        (7.1, "AESTZ`bdhnopqu"),
        (7.7, "BCKPR"),
        (8.4, "&DGHNU"),
        (8.8, "OQ"),
        (10.0, "MwW"),
        (11.0, "%@m✎"),
    )
    for letter in letters
}

_CONFIG = {"displayModeBar": False, "showTips": False}


@dataclass(frozen=True)
class Chart:
    """A figure and what goes with it: `st.plotly_chart(chart.figure, height=…, alt=…, config=…)`.

    `height` in pixels; `alt` says what is to be seen to those who do not see it.
    """

    figure: dict[str, Any]
    alt: str
    height: int
    config: dict[str, Any] = field(default_factory=lambda: dict(_CONFIG))


def band_colours(bands: int) -> tuple[str, ...]:
    """Colours of the risk bands, low to high: quiet, then steps of the risk scale, darker for riskier."""
    if bands <= 4:
        return (QUIET, RISK[3], RISK[5], RISK[8])[: max(bands - 1, 1)] + ((RISK[8],) if bands > 1 else ())
    return (QUIET, *(RISK[round(3 + 5 * i / (bands - 2))] for i in range(bands - 1)))


def text(data: object, *, bold: bool = False) -> str:
    """Data as Plotly text: escaped, and never taken for a placeholder."""
    safe = re.sub(r"#(?=0000\d\d)", "#\u2060", words.escape_html(data))
    return f"<b>{safe}</b>" if bold else safe


@lru_cache(maxsize=4096)
def width(label: str, *, bold: bool = False) -> float:
    """How many pixels a text takes in Source Sans at 13 px (measured by letter, to half a pixel); others count as wide."""
    return sum(_WIDTHS.get(letter, 7.0 if ord(letter) < 0x370 else 13.0) for letter in label) * (1.06 if bold else 1.0)


def wrap(label: str, room: float, *, bold: bool = False) -> list[str]:
    """The label in lines of at most `room` pixels; a word that is longer alone is broken."""
    lines: list[str] = []
    line = ""
    for word in label.split():
        while width(word, bold=bold) > room:
            fits = next(n for n in range(len(word), 0, -1) if n == 1 or width(word[:n] + "-", bold=bold) <= room)
            own = word.rfind("-", 1, fits + 1) + 1  # a hyphen of its own is the better place
            fits = own or fits
            if line:
                lines, line = [*lines, line], ""
            if fits == len(word):
                break
            lines, word = [*lines, word[:fits] + ("" if own else "-")], word[fits:]
        joined = f"{line} {word}".strip()
        if line and width(joined, bold=bold) > room:
            lines, line = [*lines, line], word
        else:
            line = joined
    return [*lines, line] if line or not lines else lines


def frame(data: list[dict[str, Any]], *, height: int, margin: dict[str, int], **layout: Any) -> dict[str, Any]:
    """A figure: no legend, no grid, no zoom, text in ink, nothing that moves by itself."""
    return {
        "data": data,
        "layout": {
            "height": height,
            "margin": {"pad": 0, "autoexpand": False, **margin},
            "showlegend": False,
            "dragmode": False,
            "hovermode": "closest",
            "bargap": 0,
            "barmode": "overlay",
            "font": {"size": TEXT, "color": INK},
            "hoverlabel": {"font": {"size": TEXT}, "align": "left"},
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
            **layout,
        },
    }


def axis(low: float, high: float, **more: Any) -> dict[str, Any]:
    """An axis of fixed range without line, grid or ticks, unless asked for."""
    return {
        "range": [low, high],
        "autorange": False,
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickangle": 0,
        "automargin": False,
        "tickfont": {"size": TEXT, "color": INK},
        "title": {"text": ""},
        **more,
    }


def round_steps(low: float, high: float, ticks: int) -> list[float]:
    """Round values from low to high that are about as far apart as so many ticks should be; zero is one of them."""
    wanted = max(high - low, 1e-9) / ticks
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= wanted)
    first = -int(-low / step) if low < 0 else 0
    return [place * step for place in range(first, int(high / step) + 1)]


def note(label: str, x: float, y: float, *, anchor: str = "left", **more: Any) -> dict[str, Any]:
    """A text in the figure, at data coordinates unless `xref`, `yref` say otherwise; `label` is already escaped."""
    return {
        "text": label,
        "x": x,
        "y": y,
        "xanchor": anchor,
        "yanchor": "middle",
        "showarrow": False,
        "align": anchor,
        "font": {"size": TEXT, "color": INK},
        **more,
    }


def bars(**more: Any) -> dict[str, Any]:
    """A trace of bars that do not fade when one of them is chosen."""
    still = {"marker": {"opacity": 1}}
    return {"type": "bar", "hoverinfo": "none", "selected": still, "unselected": still, "cliponaxis": False, **more}

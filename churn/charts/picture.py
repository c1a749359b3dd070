"""A chart as a picture to take along: PNG or SVG, with its title and what has to be known of it.

The browser makes the file, with the button that Plotly has for it: no server draws pictures, and the data stay where they are.
"""

from __future__ import annotations

from typing import Any, Literal

from churn.charts import theme
from churn.charts.theme import Chart

Kind = Literal["png", "svg"]
KINDS: tuple[Kind, ...] = ("png", "svg")
_HEAD = 56  # px above the chart for its title and note
_PAPER = {"light": "#FFFFFF", "dark": "#0F151C"}  # the page's own, as in `.streamlit/config.toml`; a chart alone has none
_WIDER = 0.25  # the font that whoever opens the picture has may need that much more room beside the chart
_SCALE = 2  # pixels of a PNG for each of the screen's


def picture(chart: Chart, kind: Kind, *, title: str, note: str, name: str, on: str = "light") -> Chart:
    """The chart with a title above it, on a ground of its own, and the button that saves it.

    Parameters
    ----------
    title, note: what it shows, and of whom and when; data in them are escaped here.
    name: of the file, without its ending. on: `light` or `dark`, the theme whose colours it has.
    """
    layout = dict(chart.figure["layout"])
    margin = dict(layout["margin"])
    height = chart.height + _HEAD
    margin["t"] += _HEAD
    for side in "lr":
        margin[side] += round(_WIDER * margin[side])
    corner = {"xref": "paper", "yref": "paper", "yanchor": "top", "xshift": 8 - margin["l"]}
    head = [
        theme.note(theme.text(text, bold=bold), 0, 1, yshift=margin["t"] - down, **corner)
        for text, bold, down in ((title, True, 4), (note, False, 24))
    ]
    layout |= {"height": height, "margin": margin, "paper_bgcolor": _PAPER[on], "plot_bgcolor": _PAPER[on]}
    layout["annotations"] = [*layout.get("annotations", []), *head]
    config: dict[str, Any] = {
        **chart.config,
        "displayModeBar": True,
        "displaylogo": False,
        "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": {"format": kind, "filename": name, "scale": _SCALE if kind == "png" else 1},
    }
    return Chart({**chart.figure, "layout": layout}, chart.alt, height, config)

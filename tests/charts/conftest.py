"""What every chart has to be."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from churn.charts.theme import Chart


@pytest.fixture(scope="session")
def valid() -> Callable[[Chart], Chart]:
    """Check a chart against Plotly itself and against the rules all charts share, and hand it back."""
    import plotly.graph_objects as go

    def check(chart: Chart) -> Chart:
        go.Figure(chart.figure)  # raises for a name or a value that Plotly does not know
        layout = chart.figure["layout"]
        assert layout["height"] == chart.height > 0
        assert layout["showlegend"] is False
        assert chart.config["displayModeBar"] is False
        assert chart.alt.endswith(".")
        for name in ("xaxis", "yaxis"):
            axis = layout.get(name, {"fixedrange": True, "showgrid": False})
            assert axis["fixedrange"] is True
            assert axis["showgrid"] is False
        assert "hovertemplate" not in json.dumps(chart.figure)  # data in a template would be read as one
        return chart

    return check

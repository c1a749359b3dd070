"""Small pictures of a training as SVG, for wherever runs are looked at without the desk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import accumulate

from churn.model.metrics import Metrics

_WIDTH, _HEIGHT = 420, 320
_LEFT, _TOP, _SIDE = 56, 36, 12  # px around the field; below it 44
_BELOW = 44
_INK, _GREY, _LOOK = "#0F1722", "#7C8896", "#C8501E"
Points = Sequence[tuple[float, float]]


def gain(metrics: Metrics) -> str:
    """Share of leavers found (up) by share of customers, riskiest first (across)."""
    field = _Field(1.0, (0.0, 1.0))
    parts = [field.line(((0, 0), (1, 1)), _GREY, dashed=True), field.line(metrics.gain, _INK)]
    return field.picture("Share of leavers found, riskiest customers first", "customers", parts)


def calibration(metrics: Metrics) -> str:
    """Promised risk (across) against the share that left (up), with its 95 % interval; in colour where that misses."""
    bins = metrics.calibration
    most = max([0.05, *(max(one.predicted, one.high) for one in bins)])
    field = _Field(most, (0.0, most))
    parts = [field.line(((0, 0), (most, most)), _GREY, dashed=True)]
    for one in bins:
        colour = _INK if one.low <= one.predicted <= one.high else _LOOK
        parts += [
            field.line(((one.predicted, one.low), (one.predicted, one.high)), colour),
            field.dot(one.predicted, one.observed, colour),
        ]
    return field.picture("Promised risk and the share that left", "promised risk", parts)


def trials(losses: Sequence[float | None], name: str) -> str:
    """Log-loss of each setting that was tried to the end, and the best so far."""
    known = [(number, loss) for number, loss in enumerate(losses) if loss is not None]
    if not known:
        return _Field(1.0, (0.0, 1.0)).picture(f"{name}: no setting was tried to the end", "trial", ())
    low, high = min(loss for _, loss in known), max(loss for _, loss in known)
    room = (high - low) * 0.05 or 0.001
    field = _Field(max(1.0, len(losses) - 1.0), (low - room, high + room))
    best = accumulate((loss for _, loss in known), min)
    parts = [field.dot(number, loss, _GREY) for number, loss in known]
    parts.append(field.line([(number, so_far) for (number, _), so_far in zip(known, best, strict=True)], _INK))
    return field.picture(f"{name}: log-loss by trial, and the best so far", "trial", parts)


class _Field:
    """The field of a picture: 0 to `across`, and `up` from its lower to its upper end."""

    def __init__(self, across: float, up: tuple[float, float]) -> None:
        self._across, self._up = across, up

    def line(self, points: Points, colour: str, *, dashed: bool = False) -> str:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self._place(*point) for point in points))
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'

    def dot(self, x: float, y: float, colour: str) -> str:
        across, down = self._place(x, y)
        return f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4" fill="{colour}"/>'

    def picture(self, title: str, across: str, parts: Iterable[str]) -> str:
        low, high = self._up
        left, bottom = self._place(0, low)
        right, top = self._place(self._across, high)
        texts = [
            _text(_LEFT, 20, title, weight="bold"),
            _text(left, bottom + 18, "0"),
            _text(right, bottom + 18, f"{self._across:.3g}", anchor="end"),
            _text((left + right) / 2, bottom + 34, across, anchor="middle"),
            _text(left - 6, bottom, f"{low:.3g}", anchor="end"),
            _text(left - 6, top + 10, f"{high:.3g}", anchor="end"),
        ]
        axes = f'<path d="M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}" fill="none" stroke="{_GREY}"/>'
        ground = '<rect width="100%" height="100%" fill="#fff"/>'
        size = f'width="{_WIDTH}" height="{_HEIGHT}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
        return "\n".join([head, ground, axes, *parts, *texts, "</svg>"])

    def _place(self, x: float, y: float) -> tuple[float, float]:
        low, high = self._up
        wide, tall = _WIDTH - _LEFT - _SIDE, _HEIGHT - _TOP - _BELOW
        return _LEFT + wide * x / self._across, _TOP + tall * (1 - (y - low) / (high - low))


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    shown = escape(text)
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{_INK}" text-anchor="{anchor}" font-weight="{weight}">{shown}</text>'

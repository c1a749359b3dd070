"""Drift as a file: one HTML page that stands alone and loads nothing, and the same as JSON. Neither names a customer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from churn import words
from churn.base.snapshot import RISK
from churn.data.schema import Schema
from churn.watch.drift import WindowDrift
from churn.watch.drift_verdict import STATUS, Verdict, facts, moved_by, name_of

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 "Source Sans 3", "Source Sans Pro", system-ui, sans-serif; color: #0F1722; background: #fff;
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font-variant-numeric: tabular-nums; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .4rem 0; } h2 { font-size: 1.1rem; margin: 1.4rem 0 .3rem; }
.grey { color: #5A6675; }
.badge { background: #FFF3C4; border: 1px solid #8A6100; color: #5C4100; border-radius: .5rem; padding: .1rem .5rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .2rem .6rem .2rem 0; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; } tr + tr td { border-top: 1px solid #E3E8EE; }
.moved { color: #B3440F; font-weight: 600; } .watch { color: #8A6100; font-weight: 600; }
@media print { body { margin: 0; } } @page { margin: 15mm; }
"""


def document(
    windows: Sequence[WindowDrift], told: Verdict, schema: Schema, *, who: str, compared: str, simulated: bool
) -> dict[str, Any]:
    """Everything that was found, as JSON takes it: shares and distances 0–1, days as text, columns by their labels.

    Parameters
    ----------
    who: whose predictions, in words. compared: with what, `reference` or `before`.
    """
    return {
        "model": windows[-1].model if windows else None,
        "who": who,
        "compared_with": compared,
        "simulated": simulated,
        "title": told.title,
        "sentence": told.sentence,
        "lines": [asdict(line) for line in told.lines],
        "windows": [_window(window, schema) for window in windows],
    }


def to_json(found: dict[str, Any]) -> str:
    """As a file has it."""
    return json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False)


def to_html(
    windows: Sequence[WindowDrift], told: Verdict, schema: Schema, *, who: str, compared: str, simulated: bool, origin: str
) -> str:
    """The whole HTML document. Whatever comes from data is escaped.

    origin: which model and when, as the last line.
    """
    now = windows[-1]
    lines = "".join(f"<li><b>{escape(line.lead)}</b> {escape(line.text)}</li>" for line in told.lines)
    parts = [
        f'<p><span class="badge">{escape(words.say("simulated"))}</span></p>' if simulated else "",
        f"<h1>{escape(told.title)}</h1>",
        f'<p class="grey">{escape(told.sentence)} {escape(who)}, compared with {escape(compared)}.</p>',
        f"<h2>What to do</h2><ul>{lines}</ul>",
        "<h2>Columns</h2>",
        _table(now, schema),
        "<h2>Over time</h2>",
        _over_time(windows, schema),
        f'<p class="grey">{escape(origin)}</p>',
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f'<meta name="robots" content="noindex"><title>{escape(told.title)}</title><style>{_STYLE}</style>'
    )
    body = "\n".join(part for part in parts if part)
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _window(window: WindowDrift, schema: Schema) -> dict[str, Any]:
    def column(name: str) -> dict[str, Any]:
        return {**asdict(window.of(name)), "column": name_of(name, schema)}

    return {
        "model": window.model,
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "complete": window.complete,
        "rows": window.rows,
        "customers": window.customers,
        "average_risk": window.average_risk,
        "reference_risk": window.reference_risk,
        "findings": [{**asdict(one), "column": one.column and name_of(one.column, schema)} for one in window.findings],
        "joint": None
        if window.joint is None
        else {
            "distance": window.joint.distance,
            "auc": window.joint.auc,
            "p": window.joint.p,
            "drivers": [[name_of(name, schema), share] for name, share in window.joint.drivers],
        },
        "risk": column(RISK),
        "columns": [column(one.column) for one in window.columns],
        "unknown_columns": list(window.strange),
    }


def _table(now: WindowDrift, schema: Schema) -> str:
    heads = [("Column", ""), ("Status", ""), ("Moved by, points", "number"), ("Weight, points", "number"), ("More", "")]
    rows = []
    for one in (now.risk, *now.ranked):
        more = " · ".join(f"{what.lower()} {told}" for what, told in facts(now, one.column)[1:])
        weight = words.NOTHING if one.column == RISK else words.points(one.importance, signed=False, unit=False, decimals=1)
        cells = [
            f"<td>{escape(name_of(one.column, schema))}</td>",
            f'<td class="{one.status}">{STATUS[one.status]}</td>',
            f'<td class="number">{moved_by(one)}</td>',
            f'<td class="number">{weight}</td>',
            f'<td class="grey">{escape(more)}</td>',
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    top = "".join(f'<th class="{kind}">{head}</th>' for head, kind in heads)
    return f"<table><tr>{top}</tr>{''.join(rows)}</table>"


def _over_time(windows: Sequence[WindowDrift], schema: Schema) -> str:
    rows = []
    for window in reversed(windows):
        moved = words.sentence_list(name_of(one.column, schema) for one in window.moved) or "nothing"
        cells = [
            f"<td>{words.interval(words.day(window.start), words.day(window.end))}{'' if window.complete else ' (open)'}</td>",
            f'<td class="number">{words.count(window.rows)}</td>',
            f'<td class="number">{words.average(window.average_risk)}</td>',
            f'<td class="number">{moved_by(window.risk)}</td>',
            f"<td>{'too few to say' if window.small else escape(moved)}</td>",
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = (("When", ""), ("Predictions", "number"), ("Average risk", "number"), ("Risk moved by", "number"), ("Moved", ""))
    top = "".join(f'<th class="{kind}">{head}</th>' for head, kind in heads)
    return f"<table><tr>{top}</tr>{''.join(rows)}</table>"

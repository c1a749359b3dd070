"""A scenario as one page that stands alone: an HTML file to mail, to print or to put on record.

It says what the Customer page says, in the same words and numbers, and loads nothing. It names the customer by number and holds
no contact data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from html import escape

from churn import words
from churn.act.scenarios import kind_in_words
from churn.charts import theme
from churn.data.schema import Schema
from churn.understand.account import Account, Waterfall
from churn.understand.evidence import Support
from churn.understand.what_if import Edited, cascade_sentences

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 "Source Sans 3", "Source Sans Pro", system-ui, sans-serif; color: INK; background: #fff;
       max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font-variant-numeric: tabular-nums; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .4rem 0; } h2 { font-size: 1.1rem; margin: 1.4rem 0 .3rem; }
p { margin: .3rem 0; } .grey { color: #5A6675; } .small { font-size: .87rem; }
.badge { background: #FFF3C4; border: 1px solid #8A6100; color: #5C4100; border-radius: .5rem; padding: .1rem .5rem; }
.warn { border-left: 4px solid RAISES; padding-left: .6rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .15rem .5rem .15rem 0; vertical-align: top; }
th { font-weight: 600; } td.number, th.number { text-align: right; white-space: nowrap; padding-right: 0; }
td.bar { width: 45%; vertical-align: middle; }
.track { position: relative; height: 1rem; background: #EEF1F4; border-radius: 2px; }
.track span { position: absolute; top: 0; height: 100%; border-radius: 2px; min-width: 1px; }
* { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
@media print { body { margin: 0; } } @page { margin: 15mm; }
""".replace("INK", theme.ON_PAPER[theme.INK]).replace("RAISES", theme.ON_PAPER[theme.RAISES])


@dataclass(frozen=True, slots=True)
class Note:
    """What the page tells: a customer as `before` and as `after` the edits, and where the answer comes from.

    `name`: of the scenario, empty where it was not kept. `scored`: when the base was. `printed`: now, in the reader's time zone.
    """

    customer: str
    name: str
    before: Account
    after: Account
    edited: Edited
    support: Support
    model: str
    scored: datetime
    printed: datetime
    simulated: bool


def scenario_note(note: Note, schema: Schema) -> str:
    """The whole HTML document. Whatever comes from data or from people is escaped."""
    change = words.whole_percent(note.after.risk) - words.whole_percent(note.before.risk)
    risks = words.say("note risk", before=words.percent(note.before.risk), after=words.percent(note.after.risk))
    title = words.say("note title", who=note.customer, change=words.points(change / 100), risk=words.percent(note.after.risk))
    kind, meaning = kind_in_words(note.edited.since, schema)
    parts = [
        f'<p><span class="badge">{escape(words.say("simulated"))}</span></p>' if note.simulated else "",
        f"<h1>{escape(title)}</h1>",
        f'<p class="grey">{escape(note.name)}</p>' if note.name else "",
        f"<p>{escape(risks)}</p>",
        f'<p class="warn">{escape(note.support.note)}</p>' if not note.support.supported else "",
        f"<h2>{escape(words.say('note changed'))}</h2>",
        f'<p class="grey small">{escape(kind)}: {escape(words.lower_first(meaning))}</p>',
        _changes(note.edited, schema),
        *(f"<p>↳ {escape(sentence)}</p>" for sentence in cascade_sentences(note.edited, schema)),
        f"<h2>{escape(words.say('note waterfall'))}</h2>",
        _waterfall(note.after.waterfall),
        f"<h2>{escape(words.say('note reasons'))}</h2>",
        f"<p>{escape(note.after.sentence())}</p>",
        f'<p class="grey small">{escape(words.say("not a promise"))}</p>',
        f'<p class="grey small">{escape(_origin(note))}</p>',
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )
    body = "\n".join(part for part in parts if part)
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _changes(edited: Edited, schema: Schema) -> str:
    """The edits as a table: fact, before, after."""
    heads = "".join(f"<th>{escape(words.say(name))}</th>" for name in ("note fact", "note before", "note after"))
    lines = []
    for name in edited.asked:
        feature = schema.feature(name)
        cells = (
            feature.label,
            words.quantity(edited.before.get(name), feature, schema),
            words.quantity(edited.row.get(name), feature, schema),
        )
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _waterfall(result: Waterfall) -> str:
    """The steps as a table whose third column is drawn: from a typical customer's risk to this one's, on 0–100%."""
    rows = [_bar(words.say("typical customer"), "", 0.0, result.typical, theme.NEUTRAL, words.percent(result.typical))]
    at = result.typical
    for step in result.steps:
        colour = theme.RAISES if step.points > 0 else theme.LOWERS
        label = f"✎ {step.label}" if step.edited else step.label
        rows.append(_bar(label, step.value, at, at + step.points, colour, words.points(step.printed / 100, unit=False)))
        at += step.points
    this = words.say("this customer edited" if result.edited else "this customer")
    rows.append(_bar(this, "", 0.0, result.risk, theme.INK, words.percent(result.risk), bold=True))
    heads = (words.say("note fact"), words.say("note value"), words.say("note points"))
    head = f'<tr><th>{escape(heads[0])}</th><th>{escape(heads[1])}</th><th></th><th class="number">{escape(heads[2])}</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _bar(label: str, value: str, start: float, end: float, colour: str, figure: str, *, bold: bool = False) -> str:
    low, high = sorted((min(max(start, 0.0), 1.0), min(max(end, 0.0), 1.0)))
    place = f"left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%;background:{theme.ON_PAPER[colour]}"
    tag = "th" if bold else "td"
    return (
        f"<tr><{tag}>{escape(label)}</{tag}><td>{escape(value)}</td>"
        f'<td class="bar"><div class="track"><span style="{place}"></span></div></td>'
        f'<{tag} class="number">{escape(figure)}</{tag}></tr>'
    )


def _origin(note: Note) -> str:
    return words.say("note origin", model=note.model, scored=words.moment(note.scored), printed=words.moment(note.printed))

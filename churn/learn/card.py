"""The model card (Mitchell et al. 2019), in words a person who never trained a model can follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from churn import words
from churn.data.schema import Feature, Schema
from churn.learn.evaluation import WORDS
from churn.learn.folds import LEFT
from churn.learn.leaderboard import Row
from churn.model.metrics import Estimate, Metrics

_GROUPS_SHOWN = 8
_LEAST_IN_A_GROUP = 50
_NO_DATES = "The table has no dates, so nothing here shows how the model ages: watch drift and outcomes."


@dataclass(frozen=True)
class Facts:
    """What the card tells, beside the schema."""

    trained_on: date
    table: pl.DataFrame  # rows trained on, with `__left__`
    holdout: pl.DataFrame  # rows kept apart, with `__left__`
    holdout_risk: np.ndarray  # float [holdout rows]
    rows: Sequence[Row]
    best: Row
    saved: Row
    cross_validation: Metrics
    holdout_metrics: Metrics | None
    folds: str
    calibration: str
    typical_risk: float
    made_of: str  # what is behind scores and reasons
    notes: Sequence[str]
    simulated: bool


def write_card(schema: Schema, facts: Facts) -> str:
    """The card as Markdown."""
    parts = (
        _title(schema, facts),
        _use(schema),
        _data(schema, facts),
        _figures(facts),
        _leaderboard(facts),
        holdout_groups(schema, facts.holdout, facts.holdout_risk),
        caveats("Folds run forward in time, with a gap of one horizon." if schema.snapshot else _NO_DATES),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(schema: Schema, facts: Facts) -> str:
    simulated = "**Simulated data: nothing here describes real customers.**\n\n" if facts.simulated else ""
    rate = float(facts.table[LEFT].mean() or 0.0)  # type: ignore[arg-type]
    return f"""# {words.escape_markdown(schema.name)}: who is likely to leave

{simulated}## The model
- Kind: {facts.saved.name}, {facts.made_of}
- Trained on {words.day(facts.trained_on)} with {words.count(facts.table.height)} rows, of which {words.average(rate)} left.
- {estimated(schema)}
- The typical customer has a risk of {words.average(facts.typical_risk)}; the average risk is {words.average(rate)}.
- {facts.calibration}"""


def estimated(schema: Schema) -> str:
    """What a model's risk is the risk of, without naming a column: whoever reads it sees customers, not a table."""
    within = f" within {schema.snapshot.horizon_days} days after the snapshot" if schema.snapshot else ""
    marked = words.escape_markdown(schema.target.positive)
    return f"It estimates the risk of leaving{within}; customers who left are marked “{marked}” in its table."


def _use(schema: Schema) -> str:
    return f"""## What it is for
To find customers who may want attention, to see what their risk is associated with, and to weigh the cost of keeping them
against what they bring in. Its reasons are associations: they do not say that a change would keep a customer, only a
randomised campaign does. It is not made for decisions that deny anybody a service, a price or a contract, nor for tables
other than one like {words.escape_markdown(schema.name)}."""


def _data(schema: Schema, facts: Facts) -> str:
    lines = [
        "## What it learnt from",
        f"- Columns used ({len(schema.features)}): {words.sentence_list(f'`{name}`' for name in schema.names)}.",
    ]
    if schema.excluded:
        lines.append("- Left out:")
        lines += [
            f"  - `{e.name}`: {e.why}{' (' + words.escape_markdown(e.evidence) + ')' if e.evidence else ''}"
            for e in schema.excluded
        ]
    lines += [
        f"- Judged by cross-validation: {facts.folds}",
        f"- And once on {words.count(facts.holdout.height)} rows of customers no training sees, chosen by a hash of the key.",
        "- Settings were chosen on the rows that cross-validation judges: its figures are a shade too good.",
    ]
    lines += [f"- {words.escape_markdown(note)}" for note in facts.notes]
    return "\n".join(lines)


def _figures(facts: Facts) -> str:
    lines = ["## How good it is", "", "| | Cross-validation | Holdout |", "|---|---|---|"]
    for measure, name in WORDS.items():
        held = str(facts.holdout_metrics[measure]) if facts.holdout_metrics else "too few rows"
        lines.append(f"| {name} | {facts.cross_validation[measure]} | {held} |")
    lines += ["", "In brackets: 95 % intervals."]
    judged = facts.holdout_metrics or facts.cross_validation
    times, lift = round(100 * judged.roc_auc.value), words.times(judged.top_decile_lift.value)
    lines.append(
        f"Given one who left and one who stayed, it ranks the one who left higher {times} times in 100; the riskiest tenth holds "
        f"{lift} as many leavers as a tenth taken at random."
    )
    return "\n".join(lines)


def _leaderboard(facts: Facts) -> str:
    lines = ["## What else was tried", "", "| Model | Log-loss | Behind the best | ROC-AUC |", "|---|---|---|---|"]
    for row in facts.rows:
        mark = " (saved)" if row.key == facts.saved.key else ""
        behind = "–" if row.key == facts.best.key else _plus_minus(row.behind)
        lines.append(
            f"| {row.name}{mark} | {row.measures['log_loss'].value:.4f} | {behind} | {row.measures['roc_auc'].value:.4f} |"
        )
    if facts.best.key != facts.saved.key:
        lines += ["", f"{facts.best.name} does not compile into tables; {facts.saved.name} is the best that does."]
    return "\n".join(lines)


def _plus_minus(estimate: Estimate) -> str:
    error = "" if estimate.standard_error != estimate.standard_error else f" ± {estimate.standard_error:.4f}"
    return f"{estimate.value:+.4f}{error}"


def holdout_groups(schema: Schema, holdout: pl.DataFrame, risk: np.ndarray) -> str:
    """Predicted against observed in the groups of the first dimensions, on the holdout: rows with `__left__`, and risk [rows]."""
    named = [schema.feature(name) for name in schema.segments] or list(schema.categories)
    lines = []
    for feature in [feature for feature in named if not feature.is_number][:3]:
        lines += _group_lines(feature, holdout, risk)
    if not lines:
        return ""
    head = [
        "## Group by group, on the holdout",
        "",
        "| Group | Rows | Predicted to leave | Left |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *lines])


def _group_lines(feature: Feature, holdout: pl.DataFrame, predicted: np.ndarray) -> list[str]:
    columns = {"group": holdout[feature.name], "risk": predicted, "left": holdout[LEFT]}
    grouped = pl.DataFrame(columns).group_by("group").agg(pl.len().alias("rows"), pl.col("risk", "left").mean())
    lines = []
    largest = grouped.sort("rows", "group", descending=[True, False]).head(_GROUPS_SHOWN)
    for value, n, risk, left in largest.iter_rows():
        if n >= _LEAST_IN_A_GROUP:
            level = feature.level(value) if value is not None else None
            shown = words.escape_markdown(level.shown if level else value if value is not None else words.say("unknown"))
            name = f"{words.escape_markdown(feature.label)}: {shown}"
            lines.append(f"| {name} | {words.count(n)} | {words.average(risk)} | {words.average(left)} |")
    return lines


def caveats(ageing: str) -> str:
    """What to mind; `ageing`: what is known of how the model ages."""
    return f"""## Mind
- Whether every column above may be used for this purpose, and whether a group is served worse than others (see the table), is for
  people to decide: the model does not know which columns describe protected traits.
- A customer unlike all others gets a score too; outside the ranges seen it is a guess.
- {ageing}
- A campaign changes whom it reaches: outcomes of customers who were called say less about those who were not."""

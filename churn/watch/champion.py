"""The champion in words: what it has shown, how it was judged, what else was tried, and what was in use before it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from churn import words
from churn.data.schema import Schema
from churn.errors import BundleRejected
from churn.model.gates import Check
from churn.model.metrics import Estimate, Metrics, stored
from churn.model.pointer import ROLLBACK, HistoryEntry
from churn.model.registry import VersionInfo

SAME, CLOSE = "the same", "too close to say"
_REACH = 1.959963984540054  # standard errors that a figure stays within 19 times in 20
_TREES = "Many small decision trees"
_KINDS = {
    "lightgbm": _TREES,
    "catboost": _TREES,
    "random-forest": "Many large decision trees, averaged",
    "hist-gradient-boosting": _TREES,
    "gradient-boosting": _TREES,
    "average": "The average of two sets of small decision trees",
    "logistic-regression": "A weighted sum of facts",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One reason for or against a version. `passed` is None for a fact that is neither."""

    passed: bool | None
    lead: str
    words: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One line of the leaderboard. `ranking`: ROC-AUC; `error`: log-loss; `behind`: how much more error than the best."""

    name: str
    use: str
    ranking: float
    error: float
    behind: str
    sure: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version in the list. `metrics` is None where none were stored; `problem` says why it cannot be used."""

    version: str
    status: str
    trained: date | None
    kind: str
    metrics: Metrics | None
    facts: Mapping[str, Any]
    problem: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions side by side: rows of (what, the first's, the second's, which is better), and what to mind."""

    rows: tuple[tuple[str, str, str, str], ...]
    note: str


@dataclass(frozen=True, slots=True)
class Change:
    """A model came into use; `scorings`: how many different scorings it has shown since, until the next change."""

    since: datetime
    model: str
    what: str
    who: str
    why: str
    scorings: int


# -- what it has shown -----------------------------------------------------------


def measured(metrics: Mapping[str, Any]) -> Metrics | None:
    """What a version was measured by: the holdout; else the cross-validation of its training; None where there is neither.

    Raises
    ------
    BundleRejected: the metrics cannot be understood.
    """
    return stored(metrics, "holdout") or stored(metrics, "cross_validation")


def title(version: str, since: str, metrics: Metrics | None) -> str:
    """`Model v12, in use since 3 Nov, finds 2.8 times more leavers in its top tenth than chance`."""
    start = f"Model {version}, in use since {since}"
    if metrics is None:
        return f"{start}: how well it finds leavers was not measured"
    lift = metrics.top_decile_lift.value
    if words.rounded(lift, 1) <= 1:
        return f"{start}, finds no more leavers in its top tenth than chance"
    return f"{start}, finds {times(lift)} times more leavers in its top tenth than chance"


def kind(metrics: Mapping[str, Any]) -> str:
    """What kind of model it is in plain words; the kind's own name where there are none."""
    return _KINDS.get(str(metrics.get("saved")), str(metrics.get("kind") or "A model of its own kind"))


def sentence(metrics: Mapping[str, Any], shown: Metrics | None, noun: str) -> str:
    """What it is, what it learnt from and what it was judged on; `noun`: what the rows of the table are."""
    learnt = f" that learnt from {words.count(metrics['rows'])} {noun}" if metrics.get("rows") else ""
    return f"{kind(metrics)}{learnt}. {_judged_on(shown, noun, elsewhere=trained_elsewhere(metrics))}"


def trained_elsewhere(metrics: Mapping[str, Any]) -> bool:
    """Whether a model was brought in, so that nobody here can say which customers it learnt from."""
    return "imported_on" in metrics


def _judged_on(shown: Metrics | None, noun: str, *, elsewhere: bool) -> str:
    if shown is None:
        return "It carries no figures about customers it had not seen."
    ranks = f"it picks the leaver over a stayer {in_100(shown.roc_auc, interval=False)}"
    if elsewhere:
        doubt = "It was trained elsewhere: if it learnt from these customers, all figures on this page are too good."
        return f"Judged on {words.count(shown.rows)} {noun}, {ranks}. {doubt}"
    if shown.where == "holdout":
        return f"Judged on {words.count(shown.rows)} {noun} new to it, {ranks}."
    return f"Too few {noun} were kept apart to judge it by; in cross-validation {ranks}."


def in_all(shown: Metrics) -> str:
    """How many were expected to leave and how many did, and whether that differs by more than chance (normal interval)."""
    expected = sum(one.predicted * one.rows for one in shown.calibration) / sum(one.rows for one in shown.calibration)
    left = shown.positives / shown.rows
    reach = _REACH * (left * (1 - left) / shown.rows) ** 0.5
    tail = "it expects too many." if expected > left + reach else "it expects too few." if expected < left - reach else ""
    return f"In all, {words.average(expected)} were expected to leave and {words.average(left)} did{': ' + tail if tail else '.'}"


def times(lift: float) -> str:
    """`2.8`."""
    return words.times(lift).removesuffix("×")


def in_100(estimate: Estimate, *, interval: bool = True) -> str:
    """A ROC-AUC as `85 times in 100 (83 to 87)`; one decimal where whole numbers would say 100."""
    decimals = 1 if estimate.value >= 0.985 else 0
    shown, low, high = (words.points(x, signed=False, unit=False, decimals=decimals) for x in _ends(estimate))
    return f"{shown} times in 100{_range(estimate, low, high) if interval else ''}"


def off_by(estimate: Estimate, *, interval: bool = True) -> str:
    """A calibration error as `1.8 points (0.4 to 3.1)`."""
    _, low, high = (words.points(x, signed=False, unit=False, decimals=1) for x in _ends(estimate))
    shown = words.points(estimate.value, signed=False, decimals=1)
    return f"{shown}{_range(estimate, low, high) if interval else ''}"


def _ends(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _range(estimate: Estimate, low: str, high: str) -> str:
    return "" if words.is_nothing(estimate.low) or words.is_nothing(estimate.high) else f" ({words.interval(low, high)})"


# -- why it was chosen -----------------------------------------------------------


def verdicts(
    checks: Sequence[Check], shown: Metrics | None, leaderboard: Sequence[Mapping[str, Any]], before: str | None
) -> tuple[Verdict, ...]:
    """Everything that speaks for and against a version.

    Parameters
    ----------
    checks: from `churn.model.gates.judge`, against the model that was in use before.
    before: the version that was in use before; None for the first.
    """
    found = [_verdict(check, shown, before) for check in checks]
    if before is None:
        found.append(Verdict(None, "It is the first", "No model was in use before it, so there was none to compare with."))
    if chosen := _among(leaderboard):
        found.append(chosen)
    return tuple(found)


def _verdict(check: Check, shown: Metrics | None, before: str | None) -> Verdict:
    if shown is not None and check.value is not None and check.limit is not None:
        if check.name == "roc_auc":
            lead = "It ranks well" if check.passed else "It does not rank well enough"
            least = words.points(check.limit, signed=False, unit=False)
            text = (
                f"Of one who left and one who stayed, it picks the leaver {in_100(shown.roc_auc)}; at least {least} are needed."
            )
            return Verdict(check.passed, lead, text)
        if check.name == "ece":
            lead = "Its percentages are near enough" if check.passed else "Its percentages are too far off"
            most = words.points(check.limit, signed=False, unit=False, decimals=0 if _whole(check.limit) else 1)
            text = f"Promised and observed risk differ by {off_by(shown.ece)} on average; at most {most} are allowed."
            return Verdict(check.passed, lead, text)
        if check.name == "champion":
            own = shown.log_loss.value
            lead = f"It is no worse than {before}" if check.passed else f"It is worse than {before}"
            text = (
                f"On all days of its holdout, {words.counted(shown.rows, 'row')} new to both, "
                f"its error (log-loss) is {own:.4f} against {own - check.value:.4f}; "
                f"up to {check.limit:g} more is allowed."
            )
            return Verdict(check.passed, lead, text)
    if check.name == "holdout":
        text = "No customers were kept apart to judge it by, or too few of them left or stayed."
        return Verdict(False, "It was not put to the test", text)
    return Verdict(check.passed, f"It was not held against {before}", check.words)


def _whole(share: float) -> bool:
    return abs(share * 100 - round(share * 100)) < 1e-9


def _among(leaderboard: Sequence[Mapping[str, Any]]) -> Verdict | None:
    saved = next((row for row in leaderboard if row.get("saved")), None)
    if saved is None or len(leaderboard) < 2:
        return None
    best = leaderboard[0]
    if best["key"] == saved["key"]:
        return Verdict(
            True, f"It is the best of {len(leaderboard)} kinds tried", "It had the lowest error on the same customers."
        )
    more = saved["behind"]["value"]
    text = f"{best['name']} has {more:.4f} less error, but its reasons take longer to work out."
    return Verdict(None, f"It is the best usable one of {len(leaderboard)} kinds tried", text)


def tried(leaderboard: Sequence[Mapping[str, Any]]) -> tuple[Tried, ...]:
    """The leaderboard in words, best first; ranges are the 95 % intervals of the paired difference to the best."""
    rows = []
    for place, row in enumerate(leaderboard):
        use = "chosen" if row.get("saved") else "could be chosen" if row["compiles"] else "could be chosen, slower"
        behind, low, high = (row["behind"][name] for name in ("value", "low", "high"))
        shown, sure = words.NOTHING, "the best"
        if place:
            shown, sure = f"{behind:+.4f}", words.NOTHING
            if low is not None and high is not None:
                shown = f"{behind:+.4f} ({_signed(low)} to {_signed(high)})"
                sure = "clearly behind" if low > 0 else "may be chance"
        measures = row["measures"]
        rows.append(Tried(str(row["name"]), use, measures["roc_auc"]["value"], measures["log_loss"]["value"], shown, sure))
    return tuple(rows)


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", words.MINUS)


# -- versions and history --------------------------------------------------------


def versions(listed: Sequence[VersionInfo], history: Sequence[HistoryEntry]) -> tuple[Version, ...]:
    """All versions in the store, newest first; one whose metrics cannot be understood counts as damaged."""
    current = history[-1].model if history else None
    used = {entry.model for entry in history}
    found = []
    for info in listed:
        problem, metrics = info.problem, None
        try:
            metrics = measured(info.metrics)
        except BundleRejected as error:
            problem = problem or str(error)
        status = "in use" if info.version == current else "used before" if info.version in used else "not used yet"
        name = kind(info.metrics) if info.metrics else words.NOTHING
        trained = info.created.date() if info.created else None
        status = f"{status}, damaged" if problem and info.version == current else "damaged" if problem else status
        found.append(Version(info.version, status, trained, name, metrics, info.metrics, problem))
    return tuple(found)


def compare(first: Version, second: Version) -> Comparison:
    """The metrics of two versions side by side."""
    rows: list[tuple[str, str, str, str]] = []
    if first.metrics and second.metrics:
        a, b = first.metrics, second.metrics
        names = first.version, second.version
        pairs = (
            ("Top tenth, against chance", a.top_decile_lift, b.top_decile_lift, _lift, True),
            ("Picks the leaver", a.roc_auc, b.roc_auc, in_100, True),
            ("Percentages off by", a.ece, b.ece, off_by, False),
            ("Error", a.log_loss, b.log_loss, _loss, False),
        )
        rows += [(what, show(x), show(y), _better(x, y, more, names)) for what, x, y, show, more in pairs]
        rows.append(("Judged on", _judged(a), _judged(b), ""))
    rows.append(("Kind", first.kind, second.kind, ""))
    rows.append(("Trained", words.day(first.trained), words.day(second.trained), ""))
    rows.append(("Learnt from", _learnt(first), _learnt(second), ""))
    return Comparison(tuple(rows), _mind(first, second))


def _lift(estimate: Estimate) -> str:
    return f"{words.times(estimate.value)}{_range(estimate, times(estimate.low), times(estimate.high))}"


def _loss(estimate: Estimate) -> str:
    return f"{estimate.value:.3f}{_range(estimate, f'{estimate.low:.3f}', f'{estimate.high:.3f}')}"


def _better(a: Estimate, b: Estimate, more: bool, names: tuple[str, str]) -> str:
    """Which is better, where neither figure lies in the other's range."""
    if a == b:
        return SAME
    if a.low <= b.value <= a.high or b.low <= a.value <= b.high:
        return CLOSE
    return names[0] if (a.value > b.value) is more else names[1]


def _judged(metrics: Metrics) -> str:
    where = "its own holdout" if metrics.where == "holdout" else "cross-validation"
    return f"{words.counted(metrics.rows, 'row')}, {where}"


def _learnt(version: Version) -> str:
    rows = version.facts.get("rows")
    return f"{words.count(rows)} rows" if rows else words.NOTHING


def _mind(first: Version, second: Version) -> str:
    a, b = first.metrics, second.metrics
    if a is None or b is None:
        lacking = words.sentence_list(one.version for one in (first, second) if one.metrics is None)
        return f"{lacking} {'carry' if a is b else 'carries'} no figures to compare."
    drawn = ("holdout_salt", "holdout_share")
    same = all(first.facts.get(name) == second.facts.get(name) for name in drawn)
    if same and (a.where, a.rows, a.positives) == (b.where, b.rows, b.positives):
        return f"Both were judged on {words.count(a.rows)} rows, chosen alike. Error is log-loss; ranges hold 19 times in 20."
    each = ", each on those of its own holdout" if a.where == b.where == "holdout" else ""
    return f"They were judged on different customers{each}: part of a difference may be theirs. Ranges hold 19 times in 20."


def before(history: Sequence[HistoryEntry]) -> str | None:
    """The version that was in use before the current one came into use; None for the first."""
    current = history[-1].model if history else None
    return next((entry.model for entry in reversed(history) if entry.model != current), None)


def changes(history: Sequence[HistoryEntry]) -> tuple[Change, ...]:
    """Who put which model in use, when and why, newest first; scorings in between are only counted."""
    found: list[Change] = []
    shown: set[str] = set()
    for entry in history:
        if not found or found[-1].model != entry.model or entry.action in (ROLLBACK, "promote"):
            back, same = entry.action == ROLLBACK, bool(found) and found[-1].model == entry.model
            what = (
                "Back to the scoring before" if back and same else f"Back to {entry.model}" if back else f"{entry.model} in use"
            )
            found.append(Change(entry.since, entry.model, what, entry.by, entry.reason, 0))
            shown = set()
        if entry.scoring is not None:
            shown.add(entry.scoring)
            found[-1] = replace(found[-1], scorings=len(shown))
    return tuple(reversed(found))


# -- the card ------------------------------------------------------------------

_HEADING = re.compile(r"^#{1,6}\s+(.*)$")
_INLINE = re.compile(r"\\.|`([^`]+)`|[`\[\]$<>~]|:(?=[\w+/-]+:)|https?(?=://)|www(?=\.)", re.IGNORECASE)


def readable_card(card: str, schema: Schema) -> str:
    """A model card as Markdown that can be shown within a page.

    Headings become third-level ones and the first is left out: the page has its own. Columns are called by their labels. Nothing
    in the text becomes a link, an image, a formula, an icon or a colour: a card comes with a bundle, from wherever that comes.
    """
    labels = {feature.name: feature.label for feature in schema.features}

    def plain(found: re.Match[str]) -> str:
        text, code = found[0], found[1]
        if text.startswith("\\"):
            return text
        if code is not None:
            return words.escape_markdown(labels.get(code, code))
        return f"{text}\u2060" if text[0] in ":hHwW" else f"\\{text}"

    lines = []
    for line in card.splitlines():
        heading = _HEADING.match(line)
        if heading and line.startswith("# "):
            continue
        body = heading[1] if heading else line
        lines.append(f"{'### ' if heading else ''}{_INLINE.sub(plain, body)}")
    return "\n".join(lines).strip()

"""What drift means, in words: one sentence with its consequence, what to do, and each column's line.

The page, the command and the exported file say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from churn import words
from churn.base.snapshot import RISK
from churn.data.schema import Feature, Schema
from churn.score.sketch import Grid
from churn.watch.drift import MOVED, NEW_MOVED, SMALL, WATCH, Against, ColumnDrift, Every, Finding, WindowDrift, span
from churn.watch.shape import middle, most_changed

Mark = Literal["moved", "watch", "steady"]
STATUS = {"few": "Too few", "quiet": "Steady", "watch": "Watch", "moved": "Moved"}
_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve")
_LINES = 4
_SAME = 0.0005  # a change of the average risk that is printed as none


@dataclass(frozen=True, slots=True)
class Line:
    """One line of what to do: a sentence that begins with `lead`, which stands out."""

    mark: Mark
    lead: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The title, the sentence below it, and at most four lines of what to do. Plain text, not escaped."""

    title: str
    sentence: str
    lines: tuple[Line, ...]


def verdict(windows: Sequence[WindowDrift], grid: Grid, schema: Schema, *, every: Every, against: Against) -> Verdict:
    """What the last of at least one window says, and since when.

    Parameters
    ----------
    windows: of one model, oldest first, from `churn.watch.drift.history`.
    """
    now = windows[-1]
    return Verdict(
        _title(now, schema, every, against), _sentence(now, every, against), tuple(_lines(windows, grid, schema, every))
    )


def name_of(column: str, schema: Schema) -> str:
    """A column as people call it."""
    return "Risk" if column == RISK else schema.feature(column).label


def window_words(window: WindowDrift, every: Every) -> str:
    """`October 2026`, `Week of 5 Oct 2026`, `5 Oct 2026`; from when to when where it was widened."""
    if span(window.start, every)[1] != window.end:
        return words.interval(words.day(window.start), words.day(window.end))
    if every == "month":
        return f"{words.month(window.start)} {window.start.year}"
    return f"Week of {words.day(window.start)}" if every == "week" else words.day(window.start)


def moved_by(column: ColumnDrift) -> str:
    """The distance in points, one decimal: `9.4`."""
    return words.points(column.distance, signed=False, unit=False, decimals=1)


def odd(column: ColumnDrift, *, named: bool = True) -> str | None:
    """What the distance does not tell, the more telling of the two: `1% new` to the model, or `12% missing, was 2%`.

    named: whether to say `missing`, which a table's heading may have said already.
    """
    if column.unreadable:
        return "unreadable"
    change = column.missing - column.missing_reference
    if column.new_share and column.new_share / NEW_MOVED >= change / MOVED:
        return f"{words.percent(column.new_share)} new"
    missing = f"{words.percent(column.missing)}{' missing' if named else ''}"
    if abs(change) >= WATCH:
        return f"{missing}, was {words.percent(column.missing_reference)}"
    return missing if column.missing else None


def since(windows: Sequence[WindowDrift], column: str) -> date:
    """From when on a column has been as it is in the last window, moved or on watch, without a break."""
    first = windows[-1]
    for window in reversed(windows):
        if window.of(column).status not in ("moved", "watch"):
            break
        first = window
    return first.start


def _title(now: WindowDrift, schema: Schema, every: Every, against: Against) -> str:
    if now.small:
        return "Too few customers to say whether anything has moved"
    reference = "since the model was trained" if against == "reference" else f"since the {every} before"
    moved, total = now.moved, len(now.columns)
    if moved:
        names = words.sentence_list(
            words.lower_first(name_of(one.column, schema)) for one in (moved if len(moved) == 2 else moved[:1])
        )
        verb = "has" if len(moved) == 1 else "have"
        trusted = f"this {schema.horizon}'s list" if schema.horizon else "the list"
        return f"{_number(len(moved))} of {total} columns {verb} moved {reference}: check {names} before you trust {trusted}"
    if now.risk.status == "moved":
        return f"The risks have moved {reference}, though no column has by itself: check the list before you use it"
    if any(one.what == "joint" for one in now.alarming):
        return f"No column has moved by itself {reference}, but they go together otherwise: check the list before you use it"
    watched = len(now.watched) + (now.risk.status == "watch")
    if watched:
        on_watch = f"{words.lower_first(_number(watched))} {'is' if watched == 1 else 'are'} on watch"
        return f"Nothing has moved {reference}, {on_watch}: the scores can be trusted as before"
    return f"Nothing has moved {reference}: the scores can be trusted as before"


def _sentence(now: WindowDrift, every: Every, against: Against) -> str:
    when = f"{window_words(now, every)}{'' if now.complete else ', not complete yet'}"
    told = f"{when}: {words.counted(now.rows, 'prediction')}"
    if now.customers < 0.9 * now.rows:
        told += f" for about {words.counted(_rounded(now.customers), 'customer')}"
    parts = [f"{told}."]
    if now.small:
        parts.append(words.say("too few", count=words.count(now.customers), least=words.count(SMALL)))
        return " ".join(parts)
    if now.average_risk is not None and now.reference_risk is not None:
        change = now.average_risk - now.reference_risk
        was = "at training" if against == "reference" else "before"
        if abs(change) < _SAME:
            parts.append(f"The average risk is as {was}, {words.average(now.average_risk)}.")
        else:
            size = words.points(abs(change), signed=False, decimals=1)
            side = "higher" if change > 0 else "lower"
            parts.append(f"The average risk is {size} {side} than {was}: {words.average(now.average_risk)}.")
    return " ".join(parts)


def _rounded(customers: int) -> int:
    """A count that is about right, without digits that say more."""
    step: int = 10 ** max(len(str(customers)) - 2, 0)
    return round(customers / step) * step


def _lines(windows: Sequence[WindowDrift], grid: Grid, schema: Schema, every: Every) -> list[Line]:
    now = windows[-1]
    if now.small:
        return [Line("watch", "Wait for more", f"or choose longer windows: at least {words.count(SMALL)} customers are needed.")]
    risk: list[Line] = []
    if now.risk.status in ("moved", "watch"):
        start = words.day(since(windows, RISK), year=False)
        mark: Mark = "moved" if now.risk.status == "moved" else "watch"
        risk.append(Line(mark, "The risks", f"lie up to {moved_by(now.risk)} points apart from before, since {start}."))
    together: list[Line] = []
    joint = next((one for one in now.findings if one.what == "joint"), None)
    if joint is not None and now.joint is not None:
        names = words.sentence_list(words.lower_first(name_of(name, schema)) for name, _ in now.joint.drivers[:2])
        level: Mark = "moved" if joint.status == "moved" else "watch"
        together.append(Line(level, "How columns go together", f"changed, most for {names}."))
    columns = [_told(now, one, windows, grid, schema) for one in (*now.moved, *now.watched)]
    room = _LINES - 1 - len(risk) - len(together)
    if len(columns) > room:
        rest = columns[room - 1 :]
        columns = [*columns[: room - 1], _others([one.mark for one in rest], more=room > 1)]
    told = [*risk, *columns, *together]
    return [*told, _steady(now)]


def _others(marks: Sequence[Mark], *, more: bool) -> Line:
    """`Two more columns have moved and four are on watch: …`, of columns without a line of their own."""
    moved = marks.count("moved")
    parts: list[str] = []
    for count, one, many in ((moved, "has moved", "have moved"), (len(marks) - moved, "is on watch", "are on watch")):
        if count:
            noun = f"{' more' if more else ''} {words.plural('column', count)}" if not parts else ""
            parts.append(f"{words.lower_first(_number(count))}{noun} {one if count == 1 else many}")
    return Line("moved" if moved else "watch", f"{words.capital(words.sentence_list(parts))}:", "see the table below.")


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else words.count(count)


def _ends(was: float, now: float, feature: Feature, schema: Schema) -> tuple[str, str]:
    """Two values of a number as they are printed, money with cents on both or on neither."""
    if feature.unit == "money":
        for cents in (False, True):
            shown = tuple(words.money(value, schema.currency, cents=cents) for value in (was, now))
            if shown[0] != shown[1]:
                break
        return shown[0], shown[1]
    return words.quantity(was, feature, schema), words.quantity(now, feature, schema)


def _told(now: WindowDrift, one: ColumnDrift, windows: Sequence[WindowDrift], grid: Grid, schema: Schema) -> Line:
    own = [found for found in now.findings if found.column == one.column]
    first = max(own, key=lambda found: (found.status == "moved", found.size))
    name, start = name_of(one.column, schema), words.day(since(windows, one.column), year=False)
    mark: Mark = "moved" if one.status == "moved" else "watch"
    return Line(mark, name, f"{_what(now, one, first, grid, schema)}, since {start}.")


def _what(now: WindowDrift, one: ColumnDrift, found: Finding, grid: Grid, schema: Schema) -> str:
    if one.unreadable:
        return f"cannot be read: it {one.unreadable}"
    if found.what == "missing":
        return f"is missing for {words.percent(one.missing)}, was {words.percent(one.missing_reference)}"
    if found.what == "new level" and one.new_levels:
        level = one.new_levels[0][0]
        others = f" and {words.count(len(one.new_levels) - 1)} more" if len(one.new_levels) > 1 else ""
        return f"has values unknown to the model for {words.percent(found.size)}: {level}{others}"
    if found.what == "level mix":
        changed = most_changed(now, grid, schema, one.column)
        if changed is not None:
            level, before, share = changed
            return f"{level} went from {words.percent(before)} to {words.percent(share)}"
    ends = middle(now, grid, one.column)
    feature = schema.feature(one.column)
    if ends is not None:
        was, is_now = _ends(*ends, feature, schema)
        if was != is_now:
            return f"moved by {moved_by(one)} points, its middle from {was} to {is_now}"
    return f"moved by {moved_by(one)} points"


def _steady(now: WindowDrift) -> Line:
    steady = [one for one in now.columns if one.status == "quiet"]
    others = len(now.columns) - len(steady)
    lead = f"{words.count(len(steady))} {'other ' if others else ''}{words.plural('column', len(steady))}"
    verb = "is" if len(steady) == 1 else "are"
    quiet = []
    if not any(found.what == "new level" for found in now.findings):
        quiet.append("no new levels")
    if not any(found.what == "missing" for found in now.findings):
        quiet.append("no rise in missing values")
    tail = f" {words.capital(', '.join(quiet))}." if quiet else ""
    return Line("steady", lead, f"{verb} steady.{tail}")


def facts(window: WindowDrift, column: str) -> tuple[tuple[str, str], ...]:
    """What else is known of a column in a window, as pairs of words."""
    one = window.of(column)
    limit = words.points(one.band[1], signed=False, unit=False, decimals=1)
    found = [
        ("Moved by", f"{words.points(one.distance, signed=False, decimals=1)} (counts from {limit} on)"),
        ("Missing", f"{words.percent(one.missing)}, was {words.percent(one.missing_reference)}"),
    ]
    if one.kind == "category":
        new = words.sentence_list(f"{level} ({words.count(count)})" for level, count in one.new_levels[:3])
        more = len(one.new_levels) - 3
        found.append(("Unknown to the model", f"{new}{f' + {words.count(more)} more' if more > 0 else ''}" if new else "none"))
    else:
        found.append(("Beyond what training saw", f"{words.percent(one.below)} below, {words.percent(one.above)} above"))
    found.append(("Stability index (PSI)", f"{words.rounded(one.psi, 2)}"))
    return tuple(found)

"""The performance of the model in use as a sentence, and what follows from it.

The headline is about the last window that has outcomes: whether those who left ranked before those who stayed, and whether as
many left as was promised, each as far as was to be expected (`WindowPerformance.ranking_holds`, `level_holds`). Where there is no
such window it says when there will be one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from churn import words
from churn.data.schema import Schema
from churn.watch.figures import Band
from churn.watch.matured import COMPLETE
from churn.watch.performance import FEW, Every, WindowPerformance


@dataclass(frozen=True, slots=True)
class Verdict:
    """`title`: the answer; `follows`: what matters next; `window`: what both are about, None where nothing is logged."""

    title: str
    follows: str
    window: WindowPerformance | None


def verdict(
    found: Sequence[WindowPerformance], schema: Schema, *, champion: str, today: date, every: Every = "month", whole: bool = True
) -> Verdict:
    """The answer of the page.

    Parameters
    ----------
    found: as `churn.watch.performance.history` gives it, all of one choice of customers.
    champion: the model in use, whose windows go before those of others.
    whole: whether all customers are looked at; else nothing found may just mean that nobody is like that.
    """
    if not found:
        title = words.say("performance nothing") if whole else words.say("performance nobody")
        return Verdict(title, words.say("performance log") if whole else "", None)
    told = [one for one in found if one.realised is not None]
    large = [one for one in told if not one.few]
    if not told:
        return _early(found, champion, today, every)
    if not large:
        one = told[-1]
        assert one.realised is not None
        small = words.say("performance small", count=words.count(one.realised.rows), least=words.count(FEW))
        return Verdict(small, words.say("performance complete", share=words.percent(COMPLETE)), one)
    one = _latest(large, champion)
    since = "" if one.model == champion else _since(one, found, champion, today)
    return _told(one, schema, today, every, since)


def _latest(found: Sequence[WindowPerformance], champion: str) -> WindowPerformance:
    """The last window of the model in use; where it has none, the last one."""
    own = [one for one in found if one.model == champion]
    return (own or found)[-1]


def _told(one: WindowPerformance, schema: Schema, today: date, every: Every, since: str) -> Verdict:
    """What a window came to; `since`: what is to be said of the model in use, where that is another one."""
    found, promised = one.realised, one.promised
    assert found is not None
    assert promised is not None
    assert found.left is not None
    name = when(one, every, today)
    expected, band = words.count(found.expected_leavers.value), promised.expected_leavers
    said = {"when": name, "listed": words.count(found.listed), "share": words.percent(found.precision.value)}
    more = words.say(
        "performance as promised",
        rows=words.counted(found.rows, "customer"),
        left=words.count(found.left),
        days=words.counted(round(schema.horizon_days), "day"),
        expected=expected,
        range=words.interval(words.count(band.low), words.count(band.high)),
    )
    if found.left in (0, found.rows):
        kind = "performance all left" if found.left else "performance all stayed"
        return Verdict(words.say(kind, when=name), f"{more} {since or words.say('performance one kind')}", one)
    listed = words.say("performance list", **said)
    if one.ranking_holds is False:
        title = words.say("performance slipped", when=name, auc=in_100(found.auc), promised=in_100(promised.auc))
        return Verdict(title, f"{listed} {more} {since or words.say('performance train')}", one)
    if one.level_holds:
        return Verdict(words.say("performance holds", **said), f"{more} {since}".rstrip(), one)
    too_many = found.calibration.value > 0
    kind = "performance holds more" if too_many else "performance holds fewer"
    title = words.say(kind, left=words.count(found.left), expected=expected, when=name)
    side = words.say("performance too low" if too_many else "performance too high")
    return Verdict(title, f"{listed} {since or words.say('performance money', side=side)}", one)


def _since(one: WindowPerformance, found: Sequence[WindowPerformance], champion: str, today: date) -> str:
    """That the figures are of a model that is not in use any more, and when there will be some of the one that is."""
    due = min((own.due for own in found if own.model == champion), default=today)
    named = {"model": one.model, "champion": champion}
    if due <= today:
        return words.say("performance since late", **named)
    return words.say("performance since", day=words.day(due, year=due.year != today.year), **named)


def _early(found: Sequence[WindowPerformance], champion: str, today: date, every: Every) -> Verdict:
    """What can be said before the first outcome counts: when that will be, and the estimate."""
    own = [one for one in found if one.model == champion] or list(found)
    over = [one for one in own if one.due <= today]
    first, last = min(own, key=lambda one: one.due), own[-1]
    if over:
        title = words.say("performance waiting", day=words.day(over[-1].due, year=False), share=words.percent(over[-1].matured))
    else:
        title = words.say("performance early", day=words.day(first.due, year=first.due.year != today.year))
    of = last.estimated
    band = of.precision
    estimate = words.say(
        "performance estimate",
        listed=words.count(of.listed),
        when=when(last, every, today),
        share=words.percent(band.value),
        range=words.interval(words.percent(band.low), words.percent(band.high)),
        auc=in_100(of.auc),
    )
    advice = words.say("performance complete", share=words.percent(COMPLETE)) if over else estimate
    return Verdict(title, advice, over[-1] if over else last)


def when(one: WindowPerformance, every: Every, today: date) -> str:
    """`in August`, `in the week from 7 Sep`, `on 7 Sep`; with the year where it is another one."""
    other = one.start.year != today.year
    if every == "month":
        kind = "in month of year" if other else "in month"
        return words.say(kind, month=words.whole_month(one.start, year=False), year=one.start.year)
    return words.say("in week" if every == "week" else "on day", day=words.day(one.start, year=other))


def in_100(band: Band | None) -> str:
    """An area under the ROC curve as `85`; one decimal where whole numbers would say 100."""
    if band is None:
        return words.NOTHING
    return words.points(band.value, signed=False, unit=False, decimals=1 if band.value >= 0.985 else 0)

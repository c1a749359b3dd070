"""How numbers and sentences read on screen, in exports and in chart texts.

Pure functions, one place for every format and every template, so that a translation replaces `TEMPLATES`, `MONTHS` and
`plural` and nothing else. Numbers: risk `41%`, averages `26.5%`, differences `+15 points`, counts `7,043`, money by
magnitude, nothing = `–`. The minus sign is U+2212; `ascii_minus` is for `st.metric`, which reads that sign as a plus.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for the types only: this module stands below the schema
    from churn.data.schema import Feature, Schema

NOTHING = "–"
MINUS = "−"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WHOLE_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

TEMPLATES = {
    # numbers
    "under": "under {value}",
    "over": "over {value}",
    "point": "{value} point",
    "points": "{value} points",
    "to": "{low} to {high}",
    "likely": "likely between {low} and {high} (8 times in 10)",
    "and": " and ",
    "since": "{what}, since {day}",
    # customers and facts
    "typical customer": "Typical customer",
    "this customer": "This customer",
    "this customer edited": "This customer, as edited",
    "other fact": "{count} other fact",
    "other facts": "{count} other facts",
    "facts alike": "{count} facts that go with the change",
    "unknown": "not known",
    "fact": "{label}: {value}",
    "fact unknown": "{label} not known",
    "fact new": "{label} not known to the model ({value})",
    "fact of": "{label} of {value}",
    "fact no": "no {label}",
    "only": "only {value}",
    "about": "about {value}",
    # what is usual
    "half more": "half have {value} or more",
    "half less": "half have {value} or less",
    "usual number": "as is usual",
    "usual level": "most often {value}, {share}",
    "usual as here": "as {share} have",
    # reasons
    "reasons": "Most associated with it: {reasons}",
    "reasons none": "Nothing sets this customer apart from a typical one.",
    "reason": "{fact}: {points}",
    "reason usual": "{fact} ({usual})",
    "reason inline": "{fact} ({points})",
    "risk title": "{who}: {risk} risk of leaving, {points} {side} a typical customer",
    "risk title same": "{who}: {risk} risk of leaving, the same as a typical customer",
    "typical and own": "A typical customer's risk is {typical}, this customer's {risk}. Most associated with it:",
    "customer on": "{who} on {day}",
    "reasons estimated": "This model's reasons are estimated; each is off by about {error}. They add up all the same.",
    "above": "above",
    "below": "below",
    # a customer in no table
    "form open": "These can be left not known: {labels}. All else was known of everybody the model learnt from, "
    "so it cannot tell what not knowing it goes with; it stays as is usual.",
    "form none open": "Everything was known of everybody the model learnt from, so it cannot tell what not knowing a fact goes "
    "with. What you do not know stays as is usual.",
    # what-if
    "not a promise": "The model's answer from customers like this one, not a promise that the change works.",
    "nobody has": "Nobody has {fact}; the answer is a guess.",
    "nobody has both": "Nobody has both {one} and {other}; the answer is a guess.",
    "nobody unknown": "Nobody lacks {label}; the answer is a guess.",
    "nobody near": "No customer is near: the nearest differs more than for 99 in 100; the answer is a guess.",
    "why rule": "follows from {fact}",
    "why formula": "recomputed from {labels}",
    "why freed": "possible again with {fact}",
    "cascade": "{cause} also changes: {changes}",
    "cascade removes": "{cause} also removes: {labels}",
    "becomes": "{label} to {value}",
    "recomputed": "{label} becomes {value}",
    "days": "{count} days",
    "and more": " + {count} more",
    "column gone": "a column that there is no more",
    "too few": "Too few customers ({count}) to say; shown from {least}.",
    # two kinds of edit, assumptions, actions, what would have to change
    "edit always": "Had it always been so",
    "edit from now on": "From now on",
    "edit always means": "What the risk would be had this customer been so all along.",
    "edit from now on means": "The risk in {horizon} if it changes now, against doing nothing; the past stays as it was.",
    "why limit": "as far as {label} allows",
    "stopped": "{label} stops at {value}, {why}",
    "assume acceptance": "Offers that work",
    "assume acceptance means": "Of those about to leave, {share} take an offer and stay; {likely}. An assumption.",
    "assume stayers": "Offers given away",
    "assume stayers means": "Of those who would stay anyway, {share} take the offer too. An assumption.",
    "assume value": "Worth of a customer kept",
    "assume value once": "what was paid",
    "assume value once means": "A customer who is kept is worth what was paid once. An assumption.",
    "assume value means": "A customer who is kept is worth {months} of what they pay now. An assumption.",
    "assume contact": "Cost of a contact",
    "assume contact means": "Reaching one customer costs {cost}, taken or not. An assumption.",
    "action both": "{first} + {second}",
    "action same": "changes nothing for this customer",
    "action no more": "changes no more than {label}",
    "action undone": "{first} undoes {second}",
    "action collide": "both change {label}",
    "action not possible": "is not possible for this customer",
    "action unknown": "{label} is not known",
    "action unseen": "{label} cannot be {value}",
    "action range": "{label} would be {value}, beyond what has been seen",
    "actions none": "None of the actions defined can be taken by this customer.",
    "no actions": "No actions are defined yet. Whoever looks after the model can add some.",
    "change to": "{label}: {before} → {after}",
    "change none": "No change of up to {fields} reaches it; the lowest is {risk}.",
    "change unlike": "No change of up to {fields} that resembles a real customer reaches it; the lowest is {risk}.",
    "change nowhere": "Nothing about this customer can be changed.",
    "change reached": "The risk is there already.",
    "change searched": "A search: {rows} combinations of the values most often seen were tried, not every value there is.",
    "unlike left out": "{count} more would reach it, but no real customer looks like them.",
    "fields": "{count} fields",
    "one field": "one field",
    # a scenario on paper
    "simulated": "Simulated data",
    "note title": "{who}: {risk} risk of leaving with these changes, {change}",
    "note risk": "Risk before the changes {before}, after them {after}.",
    "note changed": "What is changed",
    "note waterfall": "From a typical customer to this one, as edited",
    "note reasons": "Reasons",
    "note fact": "Fact",
    "note value": "Value",
    "note before": "Before",
    "note after": "After",
    "note points": "Points",
    "note origin": "Model {model}, customers scored {scored}, printed {printed}.",
    # what matters over a whole base
    "other column": "{count} other column",
    "other columns": "{count} other columns",
    "alt influence": "Dots: points by {label}; on average from {low} at {low_at} to {high} at {high_at}.",
    "alt influence empty": "Dots: points by {label}; nothing to show.",
    "alt kept": "Dots: the share that left by {label}, against the risk foreseen; {found}.",
    "alt swarm": "Dots: points of {customers} customers for {count} columns; {first} spreads widest.",
    "alt gap": "Waterfall: from {left} for {left_name} to {right} for {right_name} by {count} columns; {most} {points}.",
    "mean risk of": "{name}, on average",
    # groups
    "low": "low {label}",
    "high": "high {label}",
    "either": "{one} or {other}",
    "lead raises": "Raised by {fact} ({share})",
    "lead lowers": "Lowered by {fact} ({share})",
    # campaigns
    "campaign draft": "{name} is a draft: {called} to call, {held} kept uncalled",
    "campaign running": "{name}: {done} of {called} worked through so far",
    "campaign not yet": "Not enough data yet: about {more} more {outcomes}{near}",
    "campaign near": ", near {day}",
    "campaign fewer": "{name}: {points} fewer left among those called (likely {low} to {high})",
    "campaign more": "{name}: {points} more left among those called (likely {low} to {high})",
    "campaign unclear": "{name}: no clear difference{yet} between called and not (likely {low} to {high} points fewer left)",
    "campaign worth": "{told}, worth {money}{sofar}",
    "campaign cost": "{told}, at a loss of {money}{sofar}",
    "campaign so far": " so far",
    "campaign yet": " yet",
    "campaign nobody held": "{name}: nobody was kept uncalled, so whether calling helped cannot be told",
    "campaign mismatch": (
        "The groups are not of the size they were drawn: {held} of {customers} are kept uncalled, {expected} were planned. "
        "Something was lost on the way, so the difference is in doubt."
    ),
    "campaign lost": (
        "Outcomes are missing more often in one group than in the other: of {customers} known, {held} are of customers "
        "kept uncalled, where {expected} would be expected. The difference is in doubt."
    ),
    "campaign late": (
        "{who} known to have left only after {day}, the last day that counts; whether they left before is not known, so they "
        "count in neither group. An export of an earlier day, or the day each of them left, would say."
    ),
    "campaign small": "All outcomes together are fewer than the {needed} that the effect assumed needs; only a larger one shows.",
    "campaign acceptance": (
        "Offers worked for {measured} of those about to leave. Weighed together with the {assumed} assumed before, that makes "
        "{share}, {likely}."
    ),
    "campaign idle": (
        "Nobody is noted as worked through: all {called} are still to be called. Unless calls were made that nobody noted, what "
        "sets the groups apart is chance."
    ),
    "ranked by expected value": "What a call is worth",
    "ranked by risk": "Risk",
    "ranked by uplift": "Whom calling changes",
    "uplift counted": "What the list should bring is counted as assumed, the same for everybody.",
    "uplift scoring": "Working out whom calling changes",
    "uplift nothing learnt": (
        "No finished campaign has taught whom calling changes. It needs a part kept uncalled at random and enough known "
        "outcomes; then: churn campaign uplift CAMPAIGN"
    ),
    "uplift other columns": (
        "Customers are described by other columns now than in {name}, where whom calling changes was learnt; "
        "there is no {columns}"
    ),
    "uplift better": (
        "Ranking by whom calling changes is better than ranking by risk in {name}: "
        "the first half keeps about {ours} customers, and {theirs} by risk"
    ),
    "uplift no better": (
        "Ranking by whom calling changes is no better than ranking by risk in {name}: "
        "the first half keeps about {ours} customers, and {theirs} by risk"
    ),
    "uplift open": (
        "No difference can be told in {name} between ranking by whom calling changes and ranking by risk: "
        "the first half keeps about {ours} customers, and {theirs} by risk; chance alone may set orders so far apart"
    ),
    "uplift open alike": (
        "No difference can be told in {name} between ranking by whom calling changes and ranking by risk: "
        "the first half keeps about {ours} customers either way"
    ),
    "history list": "List: {called} to call, {held} kept uncalled",
    "history file": "File taken in: {changed} of {rows} rows changed something",
    "arm call": "Called",
    "arm holdout": "Not called",
    "arm left": "{share} left, {left} of {customers}",
    "points fewer": "{points} fewer ({low} to {high})",
    "points more": "{points} more ({low} to {high})",
    "alt arms": "Dots with ranges: share that left, {arms}.",
    "alt arm": "{share} of {customers} {arm} ({low} to {high})",
    "alt effects": "Dots with ranges: points fewer that left among called, for {count} groups; {first} leads with {points}.",
    # performance
    "in month": "in {month}",
    "in month of year": "in {month} {year}",
    "in week": "in the week from {day}",
    "on day": "on {day}",
    "performance holds": "The ranking holds: of the {listed} riskiest {when}, {share} left",
    "performance holds more": "The ranking holds, but more left than promised: {left} of those scored {when}, not {expected}",
    "performance holds fewer": "The ranking holds, but fewer left than promised: {left} of those scored {when}, not {expected}",
    "performance all left": "Everybody scored {when} and known by now left: the ranking cannot be judged",
    "performance all stayed": "Nobody scored {when} and known by now left: the ranking cannot be judged",
    "performance one kind": "Where that cannot be, look at how outcomes were recorded.",
    "performance slipped": (
        "The ranking has slipped: {when} it picked the leaver over a stayer {auc} times in 100, not {promised} as promised"
    ),
    "performance list": "Of the {listed} riskiest {when}, {share} left.",
    "performance early": "Too early to say: the first outcomes are due {day}",
    "performance waiting": "Too early to say: of the outcomes due since {day}, {share} are known",
    "performance small": "Too few customers ({count}) to say; shown from {least}",
    "performance nothing": "No predictions are logged yet",
    "performance nobody": "Nobody like this is among the predictions logged",
    "performance as promised": "Of all {rows}, {left} left within {days}; {expected} were expected ({range}).",
    "performance money": (
        "Every figure of revenue at risk and every call list rests on the promised risks: mind that they are {side}, and think "
        "of training anew."
    ),
    "performance too low": "too low",
    "performance too high": "too high",
    "performance since": "That was model {model}; of model {champion}, in use now, the first outcomes are due {day}.",
    "performance since late": "That was model {model}; of model {champion}, in use now, no outcomes can be compared yet.",
    "performance train": "Look for what has moved, and train anew once enough of the new outcomes are known.",
    "performance estimate": (
        "Until then, its own word for it: of the {listed} riskiest {when}, {share} leave ({range}), and it picks the leaver "
        "over a stayer {auc} times in 100."
    ),
    "performance blind": (
        "Estimated from the risks alone. It sees that customers have become others; that the same customers leave more often "
        "than they used to shows only in outcomes."
    ),
    "performance picks": "picks the leaver over a stayer {auc} times in 100",
    "performance complete": "Outcomes are compared once {share} of a day's are known, for who leaves is booked before who stays.",
    "performance import": "What became of customers comes in with: churn outcomes import TABLE",
    "performance log": "Every scoring that is published is logged from now on.",
    "performance group": "{left} left, {promised} promised, of {rows}",
    "performance point": "{when}, model {model}: {came}, promised {promised}",
    "performance point early": "{when}, model {model}: promised {promised}, outcomes are not known yet",
    "alt group gaps": (
        "Dots with ranges: points more that left than promised, for {count} groups; {first}: {told}; "
        "off by more than chance: {off}."
    ),
    "alt performance": "Line and dots: {what} over {count} {windows}; {told}.",
    "alt performance told": "{when} {actual} against {promised} promised",
    "alt performance none": "no outcome is known yet, {when} {promised} is estimated",
    # scoring a file
    "column customer number": "Customer number",
    "column outcome": "Outcome",
    "column snapshot date": "Date",
    "column revenue": "Revenue",
    "column missing": "is not in the file",
    "report column": "Column",
    "report file": "In the file",
    "report row": "Row",
    "report value": "Value",
    "report rule": "What is wrong",
    "report fix": "Would become",
    "report counts": "Scored",
    "report not scored": "No",
    "report scored": "Yes, but look at it",
    "report others": "{rule} ({count} rows in all)",
    # call lists
    "left out do not contact": "Asked not to be contacted",
    "left out suppressed": "On the list of who must not be called",
    "left out no consent": "No consent to be contacted",
    "left out recent": "Contacted in the last {days}",
    "left out campaign": "In an open campaign already",
    "left out holdout": "Kept uncalled in an open campaign",
    "left out gone": "Left already",
    "left out not scored": "No longer among the customers scored",
    "left out no phone": "No phone number that can be dialled",
    "left out no worth": "What they pay is not known",
    "left out same phone": "Same phone as somebody placed better",
    "left out unlike": "Unlike anybody in the campaign it is learnt from",
    # in a worklist, under "Do not call"
    "stop do not contact": "Asked not to be",
    "stop suppressed": "On the list",
    "stop no consent": "No consent",
    "stop gone": "Left already",
    "stop not scored": "No longer scored",
    "suppression zeros": (
        "Of {keys} in the table of who must not be called, {known} known here. Others would be with other zeros in front, which "
        "spreadsheets drop: write that table with its numbers as text, or these customers will be called."
    ),
    "suppression strangers": (
        "Of {keys} in the table of who must not be called, {known} known here, so it keeps nobody from being called. Is it of "
        "another base, or are its numbers spelt otherwise?"
    ),
    "measurable nobody held": (
        "Everybody on the list is called, so nobody can tell who would have stayed anyway. Keep some uncalled."
    ),
    "measurable too few": "Too few for a certain answer: even if nobody who is called left, it could be chance.",
    "measurable": "If calling lowers the share that leaves by {least} or more, the campaign will show it 8 times in 10.",
    "stopped capacity": "Stopped at capacity; {next}.",
    "stopped budget": "Stopped at the budget; {next}.",
    "stopped worth": "Stopped where a call is no longer worth making; {next}.",
    "stopped uplift": "Stopped where calling is not expected to lower the risk any more.",
    "stopped everybody": "Everybody who may be called is on the list.",
    "stopped nobody": "Nobody may be called.",
    "next worth": "the next would be worth {worth}",
    "next loses": "the next would lose {worth}",
    "next nothing": "the next would bring nothing",
    "next risk": "the next has a risk of {risk}",
    # charts, for those who do not see them
    "alt waterfall": "Waterfall: points of risk for {count} facts, from {typical} to {risk}; {most} {points}.",
    "alt waterfall flat": "Waterfall: from {typical} to {risk}; no fact changes the risk.",
    "alt bars": "Bars: {what} for {count} {noun}; {first} leads with {figure}.",
    "alt bars empty": "Bars: {what}; nothing to show.",
    "alt tiles": "Heat map: {what} by {rows} and {columns}, {count} groups; highest in {first} with {figure}.",
    "alt tiles one": "Heat map: {what} by {rows}, {count} groups; highest in {first} with {figure}.",
    "alt tiles empty": "Heat map: {what}; no group is large enough to say.",
    "alt histogram": "Histogram: customers by risk in steps of {step}; {bands}; most are in {most}.",
    "alt histogram empty": "Histogram: customers by risk; nobody to show.",
    "profit here": "{money} with {customers}",
    "alt uplift": (
        "Lines: customers kept by calling the first of the campaign; at {share} of it {ours} by whom calling changes, "
        "{theirs} by risk."
    ),
    "uplift mark": "{kept} by whom calling changes",
    "uplift mark risk": "{kept} by risk",
    "alt profit": "Line: expected profit by list size; {money} with the best {size} customers; at most {most}, with {best}.",
    "reach here": "{found} of the leavers in {share} of the customers",
    "alt reach": "Line: leavers reached by customers on the list; {found} of the leavers in {share} of the customers.",
    "all customers": "All customers",
    "still there": "{who} {share} after {time}",
    "alt survival": "Lines: customers still there by time as a customer; {groups}.",
    "alt gain": "Gain curve: leavers found by customers called, riskiest first; {found}; by chance it would be {chance}.",
    "alt calibration": (
        "Dots: left against promised, for {count} groups by risk, from {low} promised, {low_left} left, "
        "to {high} promised, {high_left} left; {off}."
    ),
    "alt calibration none off": "none is off by more than chance",
    "alt calibration off": "{count} off by more than chance",
    "alt gains": "Two gain curves: leavers found by customers called, riskiest first; in the riskiest {share}, {found}.",
    "found by": "{name} finds {found}",
    "alt promises": "Dots of two models: left against promised, by risk; of the riskiest group, {told}.",
    "promised by": "{name} promised {promised}, {left} left",
    "found": "{found} of leavers in the riskiest {share}",
    "by chance": "by chance",
    "promised kept": "promise kept",
    "promised": "promised {promised}, left {left} of {rows}",
    "alt curve": (
        "Risk by {label}, {count} values: {here} as it stands; lowest {low} at {low_at}, highest {high} at {high_at}; "
        "resembling no real customer: {unlike}."
    ),
    "alt risk map": (
        "Heat map: risk by {rows} and {columns}, {count} combinations: {here} as it stands, from {low} to {high}; "
        "resembling no real customer: {unlike}."
    ),
    "alt past risk": (
        "Line: risk over {count} scorings, from {first} on {first_day} to {last} on {last_day}; changes of model: {changes}."
    ),
    "curve here": "This customer: {risk}",
    "curve level here": "{value} · this customer",
    "curve level alone": "{value} · nobody like this",
    "model from here": "model {model} from here",
    "alt drift": (
        "Line: how far {name} has moved, {count} windows, from {first} to {last}; moved by more than chance and enough to matter "
        "in {moved} of them."
    ),
    "alt drift none": "Line: how far {name} has moved; nothing to show.",
    "alt shape": "Bars: {name} by value, {count} bars, now against before; most changed is {most}, from {before} to {now}.",
    "alt shape none": "Bars: {name} by value; nothing to show.",
    "alt line": "Line: {what}, {count} values from {first} to {last}; highest {highest}.",
}


def say(template: str, **values: object) -> str:
    """A sentence from the one table of templates. Raises KeyError for an unknown name or a missing value."""
    return TEMPLATES[template].format(**values)


# -- numbers -----------------------------------------------------------------


def is_nothing(value: object) -> bool:
    """Whether there is no value: None, NaN or infinite."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def rounded(value: float, decimals: int = 0) -> Decimal:
    """Half away from zero, on the number as it is written: 0.285 is 28.5% and rounds to 29."""
    exact = Decimal(repr(float(value)))
    if abs(exact) >= 10**15:  # a float has no decimals there
        return exact.to_integral_value()
    return exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def whole_percent(share: float) -> int:
    """A share (0–1) as whole percent; what the waterfall's printed numbers add up to ("under 1%" counts as nothing)."""
    if 0 < share < 0.01:
        return 0
    return int(rounded(float(Decimal(repr(float(share))) * 100)))


def _number(value: Decimal | float | int, decimals: int = 0, signed: bool = False) -> str:
    shown = rounded(float(value), decimals)
    sign = MINUS if shown < 0 else ("+" if signed and shown > 0 else "")
    return f"{sign}{abs(shown):,.{decimals}f}"


def percent(share: float | None) -> str:
    """A risk or share (0–1): `41%`, `under 1%`, `over 99%`; exactly none or all is `0%`, `100%`."""
    if is_nothing(share):
        return NOTHING
    assert share is not None
    if 0 < share < 0.01:
        return say("under", value="1%")
    if 0.99 < share < 1:
        return say("over", value="99%")
    return f"{_number(whole_percent(share))}%"


def average(share: float | None) -> str:
    """An average of shares (0–1), with one decimal: `26.5%`."""
    if is_nothing(share):
        return NOTHING
    assert share is not None
    if 0 < share < 0.001:
        return say("under", value="0.1%")
    return f"{_number(float(Decimal(repr(float(share))) * 100), 1)}%"


def points(difference: float | None, *, signed: bool = True, unit: bool = True, decimals: int = 0) -> str:
    """A difference of risks (0–1 scale) in percentage points: `+15 points`, `−13`, `+1 point`, `0 points`."""
    if is_nothing(difference):
        return NOTHING
    assert difference is not None
    value = _number(float(Decimal(repr(float(difference))) * 100), decimals, signed)
    if not signed:
        value = value.removeprefix(MINUS)
    if not unit:
        return value
    return say("point" if value.lstrip("+" + MINUS) == "1" else "points", value=value)


def count(number: float | None) -> str:
    """A number of customers, expected ones too: `7,043`."""
    if is_nothing(number):
        return NOTHING
    assert number is not None
    return _number(number)


def counted(number: float, noun: str) -> str:
    """A number of things: `1 customer`, `7,043 customers`."""
    return f"{count(number)} {plural(noun, float(rounded(number)))}"


def change(number: float | None) -> str:
    """A difference of counts: `+56`, `−12`, `0`."""
    if is_nothing(number):
        return NOTHING
    assert number is not None
    return _number(number, signed=True)


def times(ratio: float | None) -> str:
    """How many times something is something else: `1.9×`."""
    if is_nothing(ratio):
        return NOTHING
    assert ratio is not None
    return f"{_number(ratio, 1)}×"


def money(value: float | None, currency: str = "$", *, signed: bool = False, cents: bool | None = None) -> str:
    """Money by magnitude: `$73.65`, `$9,896`, from ten thousand `$139k`, `$1.24M`.

    `cents`: below a thousand, whether to print them; left out, they are printed where there are any.
    """
    if is_nothing(value):
        return NOTHING
    assert value is not None
    size = abs(float(value))
    if rounded(size, 2) < 1000:
        shown = rounded(size, 2)
        text = f"{shown}" if (shown != int(shown) if cents is None else cents) else f"{rounded(size)}"
    elif rounded(size) < 10_000:
        text = f"{rounded(size):,}"
    elif rounded(size / 1e3) < 1000:
        text = f"{rounded(size / 1e3)}k"
    else:
        scale, letter = next((s, x) for s, x in ((1e6, "M"), (1e9, "bn"), (1e12, "tn")) if rounded(size / s) < 1000 or x == "tn")
        millions = size / scale
        text = f"{rounded(millions, 2 if millions < 10 else 1 if millions < 100 else 0):,}{letter}"
    nothing = not any(digit in text for digit in "123456789")
    sign = "" if nothing else MINUS if value < 0 else "+" if signed else ""
    gap = "\u00a0" if currency[-1:].isalpha() else ""  # CHF 73.65, but $73.65
    return f"{sign}{currency}{gap}{text}"


def plus_minus(text: str) -> str:
    """Half the width of an interval: `±$3k`."""
    return f"±{text.lstrip('+' + MINUS)}"


def interval(low: str, high: str) -> str:
    """Two printed ends: `$131k to $147k`; one where both print alike."""
    return low if low == high else say("to", low=low, high=high)


def likely_between(low: str, high: str) -> str:
    """An 80% interval in words: `likely between $131k and $147k (8 times in 10)`."""
    return say("likely", low=low, high=high)


def ascii_minus(text: str) -> str:
    """The same with an ordinary hyphen for a minus: `st.metric` takes U+2212 for a plus."""
    return text.replace(MINUS, "-")


def largest_remainder(parts: Sequence[float], total: int) -> list[int]:
    """Whole numbers near `parts` that add up to `total` exactly (Hamilton's method, 1791).

    Each is its part rounded down or up, unless `total` is further from the sum of the parts than that allows.
    Where remainders tie, the larger part takes the difference.
    """
    if not parts:
        return []
    floors = [math.floor(part) for part in parts]
    each, left = divmod(total - sum(floors), len(parts))
    order = sorted(range(len(parts)), key=lambda i: (floors[i] - parts[i], -abs(parts[i]) if each >= 0 else abs(parts[i]), i))
    whole = [floor + each for floor in floors]
    for i in order[:left]:
        whole[i] += 1
    return whole


# -- dates -------------------------------------------------------------------


def day(value: date | None, *, year: bool = True) -> str:
    """`19 Nov 2026`; without the year `19 Nov`."""
    if value is None:
        return NOTHING
    text = f"{value.day} {MONTHS[value.month - 1]}"
    return f"{text} {value.year}" if year else text


def moment(value: datetime | None) -> str:
    """`19 Nov 2026, 06:12`, in the time zone the value is in."""
    return NOTHING if value is None else f"{day(value)}, {value:%H:%M}"


def month(value: date | None) -> str:
    """The month as axes name it: `Nov`."""
    return NOTHING if value is None else MONTHS[value.month - 1]


def whole_month(value: date, *, year: bool = True) -> str:
    """The month in full: `August 2026`; without the year `August`."""
    name = WHOLE_MONTHS[value.month - 1]
    return f"{name} {value.year}" if year else name


# -- quantities: a value of a column -----------------------------------------


def plural(noun: str, number: float) -> str:
    """The noun as it follows that number: `1 month`, `12 months`, `2 calls per year`, `5 GB`."""
    if abs(number) == 1 or not noun or noun.isupper() or len(noun) <= 2 or not noun[-1].isalpha():
        return noun
    head, per, tail = noun.partition(" per ")
    if re.search(r"(s|x|z|ch|sh)$", head):
        head += "es"
    elif re.search(r"[^aeiou]y$", head):
        head = head[:-1] + "ies"
    else:
        head += "s"
    return head + per + tail


def quantity(value: Any, feature: Feature, schema: Schema, *, unit: bool = True) -> str:
    """A value of a column with its unit: `1 month`, `$73.65`, `12.5%`, `3`; a level by its label; nothing as `not known`.

    `unit=False` leaves the noun out ("half have 29 or more") and keeps the signs of money and percent.
    """
    if is_nothing(value):
        return say("unknown")
    if not feature.is_number:
        level = feature.level(str(value))
        return level.shown if level else str(value)
    number = float(value)
    if feature.unit == "money":
        return money(number, schema.currency)
    if feature.unit in ("percent", "share"):
        return f"{_plain(number * 100 if feature.unit == 'share' else number, feature.whole)}%"
    text = _plain(number, feature.whole)
    return f"{text} {plural(feature.unit, number)}" if unit and feature.unit else text


def exact(value: Any, feature: Feature, schema: Schema) -> str:
    """A value of a column as `quantity`, but a number with all of its digits, to be held against a table: `$9,999,999`."""
    if is_nothing(value) or not feature.is_number:
        return quantity(value, feature, schema)
    number = float(value)
    if feature.unit == "money":
        gap = "\u00a0" if schema.currency[-1:].isalpha() else ""
        return f"{MINUS if number < 0 else ''}{schema.currency}{gap}{_digits(abs(number), 2)}"
    if feature.unit in ("percent", "share"):
        return f"{_digits(round(number * 100, 10) if feature.unit == 'share' else number)}%"
    return f"{_digits(number)} {plural(feature.unit, number)}" if feature.unit else _digits(number)


def _digits(number: float, least: int = 0) -> str:
    """All digits of a number, in groups: `9,999,999`, `118.75`; `least` decimals where there are any at all."""
    text = f"{abs(number):,.15g}" if abs(number) < 1e15 else f"{abs(number):,.0f}"
    whole, _, decimals = text.partition(".")
    return (MINUS if number < 0 else "") + (f"{whole}.{decimals.ljust(least, '0')}" if decimals else whole)


def _plain(number: float, whole: bool) -> str:
    """Enough digits to tell values apart and no more: `1,234`, `12.5`, `0.31`."""
    size = abs(number)
    decimals = 0 if size >= 100 else 1 if whole or size >= 10 else 2
    text = _number(number, decimals)
    return text.rstrip("0").rstrip(".") if decimals else text


def value_text(value: Any, feature: Feature, schema: Schema) -> str:
    """A fact as a label and a value: `Tenure: 1 month`."""
    return say("fact", label=feature.label, value=quantity(value, feature, schema))


def phrase(value: Any, feature: Feature, schema: Schema, *, only: bool = False, about: bool = False) -> str:
    """A fact as it reads within a sentence: `only 1 month as a customer`, `fibre internet`, `no online security`.

    `about`: where a number stands for those near it.
    """
    label = lower_first(feature.label)
    if is_nothing(value):
        return say("fact unknown", label=label)
    shown = quantity(value, feature, schema)
    if feature.is_number:
        shown = say("about", value=shown) if about else shown
        if feature.phrase:
            text = feature.phrase.replace("{value}", shown)
            return say("only", value=text) if only else text
        return say("fact of", label=label, value=say("only", value=shown) if only else shown)
    level = feature.level(str(value))
    if level is None and feature.levels:
        return say("fact new", label=label, value=shown)
    if level and level.phrase:
        return level.phrase
    if feature.phrase:
        return feature.phrase.replace("{value}", lower_first(shown))
    if shown.lower() == "no":
        return say("fact no", label=label)
    if shown.lower() == "yes":
        return label
    return say("fact", label=label, value=shown)


def capital(text: str) -> str:
    """The text as it starts a sentence."""
    return text[:1].upper() + text[1:]


def lower_first(text: str) -> str:
    """The text as it stands within a sentence; names and abbreviations (`DSL`, `iPhone`) keep their letters."""
    rest = text.split(" ", 1)[0][1:]
    return text if rest != rest.lower() else text[:1].lower() + text[1:]


def sentence_list(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    listed = list(items)
    if len(listed) < 2:
        return "".join(listed)
    return ", ".join(listed[:-1]) + TEMPLATES["and"] + listed[-1]


def either(facts: Sequence[str]) -> str:
    """One fact as it is; of two, `a or b`."""
    return facts[0] if len(facts) == 1 else say("either", one=facts[0], other=facts[1])


# -- data in marked-up text ---------------------------------------------------

_MARKDOWN = re.compile(r"([\\`*_\[\]$~<>|:&@])")
_LINE_START = re.compile(r"^(\s*)([#+=-]|\d+(?=[.)]))")
# What the renderer changes after escapes are gone (icons, emoji, bare links, arrows and dashes) is parted by a word joiner.
_LATE = re.compile(r":(?=[\w+/-]+:)|https?(?=://)|www(?=\.)|@(?=[\w-]+\.)|-(?=[->])|[<>~](?=[-=])", re.IGNORECASE)


def escape_markdown(text: object) -> str:
    """Data as Streamlit's markdown shows it unchanged: no bold, no formula between two `$`, no `:red[…]`, no link."""
    flat = re.sub(r"\s*[\r\n]+\s*", " ", str(text))
    escaped = _MARKDOWN.sub(r"\\\1", _LATE.sub("\\g<0>\u2060", flat))
    return _LINE_START.sub(lambda m: m[1] + (f"{m[2]}\\" if m[2].isdigit() else f"\\{m[2]}"), escaped)


def escape_html(text: object) -> str:
    """Data as Plotly's text, which reads a little HTML, shows it unchanged."""
    flat = re.sub(r"\s*[\r\n]+\s*", " ", str(text))
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

"""The smallest edits that reach a risk: against trying everything there is, and by what every answer must keep."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations, product
from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.data.schema import Schema
from churn.model.risk_model import Scores
from churn.understand import changes
from churn.understand.changes import Changes, what_would_have_to_change
from churn.understand.evidence import Around, Evidence, Support
from churn.understand.what_if import Edited, edit

from .hand_made import HandMade

NONE = "No internet service"


class _Always(Around):
    """Gives one answer, whatever the edit."""

    def __init__(self, answer: Support) -> None:
        self.answer = answer

    def supported(self, after: Mapping[str, Any], changed: Collection[str]) -> bool:
        return self.answer.supported

    def support(self, after: Mapping[str, Any], changed: Collection[str]) -> Support:
        return self.answer


class Anything(Evidence):
    """Finds everybody real: what is left is the search."""

    def around(self, before: Mapping[str, Any]) -> Around:
        return _Always(Support(True, "", 0.0, 1.0, ()))


class Nothing(Evidence):
    """Finds nobody real."""

    def around(self, before: Mapping[str, Any]) -> Around:
        return _Always(Support(False, "nobody", 1.0, 0.0, ()))


@pytest.fixture(scope="session")
def evidence(reference: pl.DataFrame, schema: Schema) -> Evidence:
    return Evidence(reference, schema)


def _with(schema: Schema, **parts: Any) -> Schema:
    return Schema(**{**{name: getattr(schema, name) for name in Schema.model_fields}, **parts})


def _search(
    row: dict[str, Any], below: float, schema: Schema, evidence: Evidence, reference: pl.DataFrame, **more: Any
) -> Changes:
    model = HandMade(schema, quick=more.pop("quick", True))
    return what_would_have_to_change(row, below, model=model, evidence=evidence, **more)


def _everything(
    row: dict[str, Any], below: float, schema: Schema, evidence: Evidence, reference: pl.DataFrame
) -> dict[frozenset[str], tuple[float, float]]:
    """By brute force: the fields of each smallest answer → (distance, risk) of the nearest values that reach the goal."""
    model = HandMade(schema)
    monthly = reference["Monthly"].to_numpy()
    cuts = np.quantile(monthly, np.linspace(0.01, 0.99, 13), method="nearest").clip(18, 120)
    spread = np.subtract(*np.quantile(monthly, [0.99, 0.01], method="nearest"))
    values: dict[str, list[Any]] = {
        feature.name: sorted(set(cuts.tolist())) if feature.is_number else [level.value for level in feature.levels]
        for feature in schema.features
        if feature.editable
    }
    found: dict[frozenset[str], tuple[float, float]] = {}
    for size in (1, 2, 3):
        of_size: dict[frozenset[str], tuple[float, float]] = {}
        for fields in combinations(values, size):
            if any(smaller <= frozenset(fields) for smaller in found):
                continue
            tried: list[tuple[Edited, float]] = []
            for chosen in product(*(values[name] for name in fields)):
                edited = edit(row, dict(zip(fields, chosen, strict=True)), schema, evidence)
                if len(edited.asked) == size:
                    far = [1.0 if isinstance(v, str) else abs(v - row[n]) / spread for n, v in edited.asked.items()]
                    tried.append((edited, float(sum(far))))
            if not tried:
                continue
            risks = model.score(pl.DataFrame([edited.row for edited, _ in tried])).risk
            reaching = [(far, risk) for (_, far), risk in zip(tried, risks.tolist(), strict=True) if risk < below]
            if reaching:
                of_size[frozenset(fields)] = min(reaching)
        found |= of_size
    return found


@pytest.mark.parametrize("place", [0, 1, 3, 4, 5, 7, 17, 99])  # with and without internet, of all contracts
@pytest.mark.parametrize("share", [0.9, 0.6, 0.35])
def test_nothing_smaller_is_missed(place: int, share: float, reference: pl.DataFrame, schema: Schema) -> None:
    row = reference.row(place, named=True)
    anything = Anything(reference, schema)
    below = share * HandMade(schema).one(row)
    found = _search(row, below, schema, anything, reference, most_answers=1000)
    wanted = _everything(row, below, schema, anything, reference)
    assert found.complete
    got = {frozenset(answer.changes): (answer.distance, answer.risk) for answer in found.answers}
    assert got.keys() == wanted.keys()
    for fields, (distance, risk) in wanted.items():
        assert got[fields] == (pytest.approx(distance), pytest.approx(risk)), fields


def test_customers_without_internet_can_get_it_and_a_service_on_it(reference: pl.DataFrame, schema: Schema) -> None:
    """A service is no choice until there is internet; together they are one answer of two edits."""
    plain = HandMade(schema)
    row = reference.filter((pl.col("Internet") == "No") & (pl.col("Contract") == "Month-to-month")).row(0, named=True)
    online = edit(row, {"Internet": "DSL", "TechSupport": "Yes", "OnlineSecurity": "Yes"}, schema).row
    below = plain.one(dict(online)) + 1e-9
    fixed = tuple(f.model_copy(update={"editable": f.name not in ("Contract", "Monthly")}) for f in schema.features[:6])
    only = _with(schema, features=(*fixed, *schema.features[6:]))
    found = _search(row, below, only, Anything(reference, only), reference)
    assert [dict(answer.changes) for answer in found.answers] == [
        {"Internet": "DSL", "TechSupport": "Yes", "OnlineSecurity": "Yes"}
    ]


def test_every_answer_keeps_what_it_says(reference: pl.DataFrame, schema: Schema, evidence: Evidence) -> None:
    model = HandMade(schema)
    risky = reference.with_columns(risk=model.score(reference).risk).sort("risk", descending=True).drop("risk")
    reached = 0
    for row in risky.head(400)[::10].to_dicts():
        risk = model.one(row)
        found = _search(row, risk / 2, schema, evidence, reference)
        assert found.risk == pytest.approx(risk)
        sets = [frozenset(answer.changes) for answer in found.answers]
        assert len(sets) <= 5
        assert not any(one <= other for one, other in combinations(sets, 2))
        order = [(len(answer.changes), answer.distance) for answer in found.answers]
        assert order == sorted(order)
        for answer in found.answers:
            again = edit(row, answer.changes, schema, evidence)
            assert again == answer.edited
            assert again.asked == answer.changes
            assert 1 <= len(answer.changes) <= 3
            assert model.one(dict(again.row)) == pytest.approx(answer.risk)
            assert found.lowest <= answer.risk < risk / 2
            assert evidence.support(row, again.row, again.changed).supported
            assert len(answer.words) == len(answer.changes)
        reached += bool(found.answers)
    assert reached > 20


def test_what_nobody_resembles_is_counted_and_no_answer(
    customer: dict[str, Any], schema: Schema, reference: pl.DataFrame
) -> None:
    found = _search(customer, 0.2, schema, Nothing(reference, schema), reference)
    assert found.answers == ()
    assert found.unsupported > 0
    assert found.lowest == found.risk
    assert found.note == "No change of up to 3 fields that resembles a real customer reaches it; the lowest is 72%."


def test_words(customer: dict[str, Any], schema: Schema, reference: pl.DataFrame) -> None:
    found = _search(customer, 0.5, schema, Anything(reference, schema), reference)
    told = {frozenset(answer.changes): answer for answer in found.answers}
    assert told[frozenset({"Contract"})].words == ("Contract: Month-to-month → Two year",)
    assert told[frozenset({"Internet"})].cascade == ("No internet also removes: Online security and Tech support",)


def test_there_already_and_nowhere(customer: dict[str, Any], schema: Schema, evidence: Evidence, reference: pl.DataFrame) -> None:
    there = _search(customer, 0.99, schema, evidence, reference)
    assert (there.answers, there.note, there.searched) == ((), "The risk is there already.", 0)
    fixed = _with(schema, features=tuple(f.model_copy(update={"editable": False}) for f in schema.features))
    nowhere = _search(customer, 0.1, fixed, Evidence(reference, fixed), reference)
    assert (nowhere.answers, nowhere.note) == ((), "Nothing about this customer can be changed.")
    assert nowhere.lowest == nowhere.risk


def test_out_of_reach_says_how_far_it_gets(customer: dict[str, Any], schema: Schema, reference: pl.DataFrame) -> None:
    anything = Anything(reference, schema)
    found = _search(customer, 1e-6, schema, anything, reference)
    assert found.answers == ()
    lowest = min(
        HandMade(schema).one(dict(edit(customer, {"Contract": "Two year", **more, "Monthly": monthly}, schema, anything).row))
        for more in ({"TechSupport": "Yes"}, {"Internet": "No"})
        for monthly in np.quantile(reference["Monthly"].to_numpy(), np.linspace(0.01, 0.99, 13), method="nearest").clip(18, 120)
    )
    assert found.lowest == pytest.approx(lowest)
    assert found.note.startswith("No change of up to 3 fields reaches it; the lowest is ")
    one = _search(customer, 1e-6, schema, anything, reference, most_fields=1)
    assert one.note.startswith("No change of up to one field reaches it; the lowest is ")
    assert one.lowest > found.lowest


def test_a_slow_model_is_asked_less_and_in_batches(customer: dict[str, Any], schema: Schema, reference: pl.DataFrame) -> None:
    quick, slow = HandMade(schema), HandMade(schema, quick=False)
    for model in (quick, slow):
        found = what_would_have_to_change(customer, 1e-6, model=model, evidence=Anything(reference, schema))
    assert sum(slow.asked) < 0.6 * sum(quick.asked)
    assert len(slow.asked) < 15
    assert found.complete


def test_more_sets_than_can_be_screened_is_said(
    customer: dict[str, Any], schema: Schema, reference: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    anything = Anything(reference, schema)
    whole = _search(customer, 0.2, schema, anything, reference)
    monkeypatch.setattr(changes, "_QUICK", changes._QUICK._replace(screened=40))
    some = _search(customer, 0.2, schema, anything, reference)
    assert (whole.complete, some.complete) == (True, False)
    assert some.searched < whole.searched
    assert (
        some.note == f"A search: {some.searched} combinations of the values most often seen were tried, not every value there is."
    )
    assert min(a.risk for a in some.answers) < 0.2  # what does most alone is combined first


def test_numbers_that_are_not_known(customer: dict[str, Any], schema: Schema, reference: pl.DataFrame) -> None:
    row = {**customer, "Monthly": None, "Total": None}
    found = _search(row, 0.6, schema, Anything(reference, schema), reference)
    priced = [answer for answer in found.answers if set(answer.changes) == {"Monthly"}]
    assert priced
    assert priced[0].distance == 1.0
    assert priced[0].words[0].startswith("Monthly charge: not known → $")


def test_whole_numbers_stay_whole(customer: dict[str, Any], schema: Schema, reference: pl.DataFrame) -> None:
    features = tuple(
        f.model_copy(update={"editable": f.name == "Monthly", "whole": f.whole or f.name == "Monthly"}) for f in schema.features
    )
    whole = _with(schema, features=features)
    found = _search(customer, 0.6, whole, Anything(reference, whole), reference)
    assert [answer.changes["Monthly"] % 1 for answer in found.answers] == [0.0]


class LikesHighPrices(HandMade):
    """A model in which whoever pays more is less likely to leave."""

    def score(self, table: pl.DataFrame) -> Scores:
        margin = (60 - table["Monthly"].fill_null(60.0).to_numpy()) / 10
        return Scores(1 / (1 + np.exp(-margin)), margin)


def test_to_charge_more_is_no_answer(customer: dict[str, Any], schema: Schema, reference: pl.DataFrame) -> None:
    row = {**customer, "Monthly": 55.0}
    without_money = _with(schema, money=None)
    for described, answers in ((schema, 0), (without_money, 1)):
        found = what_would_have_to_change(row, 0.5, model=LikesHighPrices(described), evidence=Anything(reference, described))
        assert sum(answer.changes.keys() == {"Monthly"} for answer in found.answers) == answers

"""Target, money, contacts: the columns beside the features."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from churn.data import roles
from churn.data.profile import profile
from churn.errors import DataError, SchemaError


@pytest.mark.parametrize(
    ("cells", "positive", "chosen", "other"),
    [
        (["Attrited Customer", "Existing Customer"], None, "Attrited Customer", "Existing Customer"),
        (["Churned", "Not churned"], None, "Churned", "Not churned"),
        (["exited", "active"], None, "exited", "active"),
        (["Yes", "No", "No"], None, "Yes", "No"),
        (["1", "0", "0"], None, "1", "0"),
        ([1, 0, 0], None, "1", "0"),
        ([1.0, 0.0, None], None, "1", "0"),
        (["1.0", "0.0", ""], None, "1.0", "0.0"),
        ([True, False, False], None, "True", "False"),
        (["TRUE", "FALSE", "FALSE"], None, "TRUE", "FALSE"),
        (["True.", "False.", "False."], None, "True.", "False."),
        (["gone", "here", "here"], "gone", "gone", "here"),
        (["gone", "here", "here"], " Gone ", "gone", "here"),
        ([1.0, 2.0, 2.0], "1", "1", "2"),
        (["1.0", "2.0", "2.0"], "1", "1.0", "2.0"),
        (["Yes", "No", "Unknown"], None, "Yes", "No"),
        (["yes", "no", "no"], "no", "no", "yes"),
    ],
)
def test_the_positive_value_is_guessed_or_taken(cells: list[Any], positive: str | None, chosen: str, other: str) -> None:
    goal = roles.goal(pl.Series("left", cells), positive)
    assert (goal.target.positive, goal.target.negative) == (chosen, other)
    assert goal.left[0] == (0.0 if positive == "no" else 1.0) or chosen == "no"
    assert goal.left.dtype == np.float64


def test_unknown_outcomes_are_neither() -> None:
    goal = roles.goal(pl.Series("left", ["Yes", "No", "Unknown", None, " "]), None)
    np.testing.assert_array_equal(goal.left, [1, 0, np.nan, np.nan, np.nan])
    assert set(goal.target.missing) == {"Unknown"}
    assert "3 unknown" in goal.evidence


@pytest.mark.parametrize(
    ("cells", "positive", "says"),
    [
        (["Yes", "Yes"], None, "must have two classes; every row has 'Yes'"),
        (["", None], None, "has no values"),
        (["a", "b", "c"], None, r"must have two classes; it has 3: 'a' \(1\), 'b' \(1\), 'c' \(1\)"),
        ([str(i) for i in range(99)], None, "it has 99: .*…"),
        (["gone", "here", "here"], None, r"Give --positive; it has 'here' \(2\), 'gone' \(1\)"),
        (["Yes", "No"], "Maybe", "has no value 'Maybe'; it has"),
        (["1", "2"], None, "Give --positive"),
        (["left early", "left late"], None, "Give --positive"),
        (["not churned", "here"], None, "Give --positive"),
    ],
)
def test_a_target_nobody_can_use_is_refused(cells: list[Any], positive: str | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        roles.goal(pl.Series("left", cells), positive)


def test_a_column_that_is_not_there_has_near_names() -> None:
    table = pl.DataFrame({"customerID": [1], "Churn": [1]})
    with pytest.raises(SchemaError, match="key column 'customer_id' is not in the table; did you mean 'customerID'"):
        roles.present(table, "customer_id", "key")
    with pytest.raises(SchemaError, match="its columns are: customerID, Churn"):
        roles.present(table, "zzz", "target")
    with pytest.raises(SchemaError, match=r"not in the table, which was read as the one column 'customerID/Churn'"):
        roles.present(pl.DataFrame({"customerID/Churn": ["1/1"]}), "customerID", "key")


@pytest.mark.parametrize(
    ("name", "cells", "role"),
    [
        ("Full name", [f"Ann {i}" for i in range(60)], "name"),
        ("Surname", [f"Name{i}" for i in range(60)], "name"),
        ("product name", [f"Thing {i}" for i in range(60)], None),
        ("mobile_phone", [f"+49 151 {i:07d}" for i in range(60)], "phone"),
        ("PhoneService", ["Yes", "No"] * 30, None),
        ("mail", [f"a{i}@example.org" for i in range(60)], "email"),
        ("anything", [f"a{i}@example.org" for i in range(60)], "email"),
        ("email_opens", [i % 9 for i in range(60)], None),
        ("marketing_consent", ["Yes", "No"] * 30, "consent"),
        ("OptIn", ["1", "0"] * 30, "consent"),
        ("do_not_contact", ["1", "0"] * 30, "do_not_contact"),
        ("opt_out", ["1", "0"] * 30, "do_not_contact"),
        ("Account manager", ["Kim", "Lee", "Max"] * 20, "owner"),
        ("consent score", [str(i % 9) for i in range(60)], None),
    ],
)
def test_ways_to_reach_a_customer_are_recognised(name: str, cells: list[Any], role: str | None) -> None:
    assert roles.contact_role(profile(pl.Series(name, cells))) == role


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("MonthlyCharges", "month"),
        ("monthly_fee", "month"),
        ("ARPU", "month"),
        ("annual_premium", "year"),
        ("quarterly revenue", "quarter"),
        ("TotalCharges", None),
        ("Balance", None),
        ("Credit_Limit", None),
        ("Total_Trans_Amt", None),
    ],
)
def test_money_is_what_a_name_says_comes_in_per_period(name: str, period: str | None) -> None:
    assert roles.period(name, "money") == period
    assert roles.period(name, "") is None


def test_currency_is_named_or_unknown() -> None:
    assert roles.currency(["price_eur"]) == "€"
    assert roles.currency(["Price (£)"]) == "£"
    assert roles.currency(["price", "neuron"]) is None

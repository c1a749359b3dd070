"""What names tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.data import labels


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("MonthlyCharges", "Monthly charges"),
        ("Total_Trans_Ct", "Total transactions count"),
        ("IsActiveMember", "Active member"),
        ("HasCrCard", "Has credit card"),
        ("NumOfProducts", "Number of products"),
        ("StreamingTV", "Streaming TV"),
        ("customerID", "Customer ID"),
        ("tenure", "Tenure"),
        ("SeniorCitizen", "Senior citizen"),
        ("Avg_Open_To_Buy", "Average open to buy"),
        ("Contacts_Count_12_mon", "Contacts count in 12 months"),
        ("Total_Amt_Chng_Q4_Q1", "Total amount change Q4 to Q1"),
        ("DSL line", "DSL line"),
        ("number_vmail_messages", "Number of vmail messages"),
        ("Kundenstraße", "Kundenstraße"),
        ("…", "…"),
    ],
)
def test_labels_are_in_sentence_case(name: str, label: str) -> None:
    assert labels.label(name) == label


@pytest.mark.parametrize(
    ("name", "low", "high", "whole", "unit"),
    [
        ("tenure", 0, 72, True, "month"),
        ("Tenure", 0, 10, True, "year"),
        ("tenure_days", 0, 72, True, "day"),
        ("Months_on_book", 13, 56, True, "month"),
        ("MonthlyCharges", 18, 118, False, "money"),
        ("Total_Amt_Chng_Q4_Q1", 0, 3.4, False, ""),
        ("Credit_Limit", 1438, 34516, False, "money"),
        ("Avg_Utilization_Ratio", 0, 0.999, False, "share"),
        ("discount_pct", 0, 40, False, "percent"),
        ("discount_pct", 0, 0.4, False, "share"),
        ("Customer_Age", 26, 73, True, "year"),
        ("age", 0, 400, True, ""),
        ("NumOfProducts", 1, 4, True, "product"),
        ("Total_Trans_Ct", 10, 139, True, "transaction"),
        ("Total day minutes", 0, 350, False, "minute"),
        ("Total day calls", 0, 160, True, "call"),
        ("Total day charge", 0, 60, False, "money"),
        ("DaySinceLastOrder", 0, 40, True, "day"),
        ("CreditScore", 350, 850, True, ""),
        ("Data used GB", 0, 90, False, "GB"),
        ("EstimatedSalary", 11, 199992, False, "money"),
    ],
)
def test_units_are_guessed_from_name_and_range(name: str, low: float, high: float, whole: bool, unit: str) -> None:
    assert labels.unit(name, low, high, whole=whole)[0] == unit


@pytest.mark.parametrize(
    ("name", "unit", "phrase"),
    [
        ("tenure", "month", "{value} as a customer"),
        ("Customer_Age", "year", "{value} old"),
        ("Months_Inactive_12_mon", "month", "{value} inactive in the last 12 months"),
        ("Contacts_Count_12_mon", "contact", "{value} in 12 months"),
        ("MonthlyCharges", "money", None),
    ],
)
def test_numbers_read_well_in_a_sentence(name: str, unit: str, phrase: str | None) -> None:
    assert labels.number_phrase(name, unit) == phrase


@pytest.mark.parametrize(
    ("name", "value", "phrase"),
    [
        ("Contract", "Month-to-month", "a month-to-month contract"),
        ("Contract", "One year", "a one-year contract"),
        ("Card_Category", "Blue", "a blue card"),
        ("InternetService", "Fiber optic", "fiber optic internet"),
        ("InternetService", "No", None),
        ("OnlineSecurity", "No internet service", "no online security (no internet service)"),
        ("PaymentMethod", "Electronic check", "payment by electronic check"),
        ("IsActiveMember", "No", "not an active member"),
        ("SeniorCitizen", "Yes", "a senior citizen"),
        ("HasCrCard", "Yes", "has credit card"),
        ("HasCrCard", "No", "no credit card"),
        ("Gender", "F", "a female customer"),
        ("Geography", "France", "a customer in France"),
        ("Education_Level", "Graduate", None),
    ],
)
def test_levels_read_well_in_a_sentence(name: str, value: str, phrase: str | None) -> None:
    assert labels.level_phrase(name, value) == phrase


@pytest.mark.parametrize(
    "ordered",
    [
        ["Month-to-month", "One year", "Two year"],
        ["Less than $40K", "$40K - $60K", "$60K - $80K", "$80K - $120K", "$120K +"],
        ["Low", "Medium", "High"],
        ["Blue", "Silver", "Gold", "Platinum"],
        ["12 months", "24 months", "36 months"],
        ["18-24", "25-34", "35+"],
    ],
)
def test_levels_with_an_order_are_put_in_it(ordered: list[str]) -> None:
    assert labels.in_order(ordered[::-1]) == ordered


def test_levels_without_an_order_stay_most_frequent_first() -> None:
    assert labels.in_order(["Mailed check", "Bank transfer", "Card"]) == ["Mailed check", "Bank transfer", "Card"]


@pytest.mark.parametrize("pair", [("1", "0"), ("Yes", "No"), ("TRUE", "false"), ("y", "n"), ("1.0", "0.0")])
def test_flags_read_no_and_yes(pair: tuple[str, str]) -> None:
    assert labels.is_flag(pair)
    assert labels.levels("x", pair)[0].value == pair[1]
    assert [level.shown for level in labels.levels("x", pair)] == ["No", "Yes"]


def test_letters_for_a_sex_are_written_out() -> None:
    assert {level.value: level.shown for level in labels.levels("Gender", ["F", "M"])} == {"F": "Female", "M": "Male"}
    assert [level.shown for level in labels.levels("Customer_Sex", ["m", "Female", "X"])] == ["Male", "Female", "X"]
    assert [level.shown for level in labels.levels("Size", ["M", "F"])] == ["M", "F"]


def test_other_pairs_are_no_flags() -> None:
    assert not labels.is_flag(("Male", "Female"))
    assert not labels.is_flag(("Yes", "yes"))
    assert not labels.is_flag(("Yes", "No", "Maybe"))


@given(st.text(max_size=20), st.lists(st.text(max_size=10), min_size=1, max_size=5, unique=True))
def test_no_name_and_no_level_breaks_it(name: str, found: list[str]) -> None:
    labels.label(name)
    labels.unit(name, 0.0, 10.0, whole=True)
    assert sorted(level.value for level in labels.levels(name, found)) == sorted(found)

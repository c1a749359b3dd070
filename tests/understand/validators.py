"""What can be, written by hand for two real tables and the small telecom one: no engine, no schema, only what the tables mean.

Each says what is wrong with a row after an edit, given the row before it; the benchmark holds other libraries' suggestions
against the same. `asked` are the columns an edit names; whatever else differs has to follow from them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

Row = Mapping[str, Any]

OFFLINE = "No internet service"
SERVICES = ("OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies")
_SERVICE = {"No", "Yes", OFFLINE}
TELCO_LEVELS: Mapping[str, Collection[str]] = {
    "PhoneService": {"No", "Yes"},
    "MultipleLines": {"No", "Yes", "No phone service"},
    "InternetService": {"DSL", "Fiber optic", "No"},
    **dict.fromkeys(SERVICES, _SERVICE),
    "Contract": {"Month-to-month", "One year", "Two year"},
    "PaperlessBilling": {"No", "Yes"},
    "PaymentMethod": {"Bank transfer (automatic)", "Credit card (automatic)", "Electronic check", "Mailed check"},
}
TELCO_FIXED = ("gender", "SeniorCitizen", "Partner", "Dependents")
TELCO_EDITABLE = (*TELCO_LEVELS, "MonthlyCharges")

BANK_EDITABLE = ("Card_Category", "Credit_Limit")
_BANK_DERIVED = ("Avg_Open_To_Buy", "Avg_Utilization_Ratio")


def telco(before: Row, after: Row, asked: Collection[str], *, months: float = 0.0) -> list[str]:
    """What is impossible about a Telco customer after an edit; `months` have passed since (0: had it always been so)."""
    wrong = [f"{name} is {after[name]!r}" for name, levels in TELCO_LEVELS.items() if after[name] not in levels]
    offline = after["InternetService"] == "No"
    wrong += [f"{name} is {after[name]!r} with internet {after['InternetService']!r}" for name in SERVICES
              if (after[name] == OFFLINE) != offline]  # fmt: skip
    if (after["MultipleLines"] == "No phone service") != (after["PhoneService"] == "No"):
        wrong.append(f"lines {after['MultipleLines']!r} with phone {after['PhoneService']!r}")
    if not 18.25 <= after["MonthlyCharges"] <= 118.75:
        wrong.append(f"a charge of {after['MonthlyCharges']}")
    wrong += [f"{name} became {after[name]!r}" for name in TELCO_FIXED if after[name] != before[name]]
    if after["tenure"] != before["tenure"] + months:
        wrong.append(f"tenure went from {before['tenure']} to {after['tenure']} in {months} months")
    wrong += [f"{name} is no field of the what-if" for name in asked if name not in TELCO_EDITABLE]
    follow = {"InternetService": SERVICES, "PhoneService": ("MultipleLines",)}
    may = set(asked).union(*(follow.get(name, ()) for name in asked))
    wrong += [
        f"{name} became {after[name]!r} by itself" for name in TELCO_EDITABLE if after[name] != before[name] and name not in may
    ]
    return wrong + _telco_total(before, after, months)


def _telco_total(before: Row, after: Row, months: float) -> list[str]:
    """Charges to date: with another charge all along they move by tenure × difference; from now on by the months to come."""
    was, now = before["TotalCharges"], after["TotalCharges"]
    if was is None:  # new this month: nothing charged yet
        expected = None if not months and before["tenure"] == 0 else after["tenure"] * after["MonthlyCharges"]
    elif months:
        expected = was + months * after["MonthlyCharges"]
    else:
        expected = max(was + before["tenure"] * (after["MonthlyCharges"] - before["MonthlyCharges"]), 0.0)
    if (now is None) != (expected is None) or (now is not None and expected is not None and abs(now - expected) > 1e-6):
        return [f"charged {now} so far, not {expected}"]
    return []


def bank(
    before: Row, after: Row, asked: Collection[str], *, months: float = 0.0, editable: Collection[str] = BANK_EDITABLE
) -> list[str]:
    """What is impossible about a BankChurners customer after an edit; `months` have passed since."""
    wrong = []
    if after["Card_Category"] not in {"Blue", "Silver", "Gold", "Platinum"}:
        wrong.append(f"a card called {after['Card_Category']!r}")
    for name, low, high in (
        ("Credit_Limit", 1438.3, 34516),
        ("Total_Revolving_Bal", 0, 2517),
        ("Avg_Open_To_Buy", 3, 34516),
        ("Avg_Utilization_Ratio", 0, 0.999),
    ):
        if not low - 1e-9 <= after[name] <= high + 1e-9:
            wrong.append(f"{name} is {after[name]}")
    for name in ("Total_Revolving_Bal", "Total_Relationship_Count"):
        if after[name] != int(after[name]):
            wrong.append(f"{name} is {after[name]}")
    if any(after[name] != before[name] for name in ("Credit_Limit", "Total_Revolving_Bal")):
        left = after["Credit_Limit"] - after["Total_Revolving_Bal"]
        if abs(after["Avg_Open_To_Buy"] - left) > 1e-6:
            wrong.append(f"{after['Avg_Open_To_Buy']} open of {left}")
        share = after["Total_Revolving_Bal"] / after["Credit_Limit"]
        if abs(after["Avg_Utilization_Ratio"] - share) > 0.000501:
            wrong.append(f"{after['Avg_Utilization_Ratio']} used of {share}")
    wrong += [f"{name} is no field of the what-if" for name in asked if name not in editable]
    if after["Months_on_book"] != before["Months_on_book"] + months:
        wrong.append(f"{after['Months_on_book']} months on book after {before['Months_on_book']}")
    grows = {"Months_on_book"}
    derived = _BANK_DERIVED if {"Credit_Limit", "Total_Revolving_Bal"} & set(asked) else ()
    for name, value in after.items():
        if value != before[name] and name not in (*asked, *derived, *grows):
            wrong.append(f"{name} became {value!r} by itself")
    return wrong


def small_telecom(before: Row, after: Row, asked: Collection[str], *, months: float = 0.0) -> list[str]:
    """The same for the hand-made table of these tests."""
    wrong = []
    for name in ("OnlineSecurity", "TechSupport"):
        if (after[name] == OFFLINE) != (after["Internet"] == "No") or after[name] not in _SERVICE:
            wrong.append(f"{name} is {after[name]!r} with internet {after['Internet']!r}")
    if not 18 <= after["Monthly"] <= 120 and after["Monthly"] != before["Monthly"]:
        wrong.append(f"a charge of {after['Monthly']}")
    if after["tenure"] != before["tenure"] + months or after["Senior"] != before["Senior"]:
        wrong.append("what nobody can change has changed")
    grown = months * after["Monthly"] if months else before["tenure"] * (after["Monthly"] - before["Monthly"])
    if not math.isclose(after["Total"], max(before["Total"] + grown, 0.0), abs_tol=1e-6):
        wrong.append(f"charged {after['Total']} so far")
    may = {*asked, *(("OnlineSecurity", "TechSupport") if "Internet" in asked else ())}
    for name in ("Contract", "Internet", "OnlineSecurity", "TechSupport", "Monthly"):
        if after[name] != before[name] and name not in may:
            wrong.append(f"{name} became {after[name]!r} by itself")
    return wrong

"""Phones in one form, households, and masks that let nothing through."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from churn.data import contacts
from churn.data._people import AWKWARD_NAMES
from churn.data.contacts import (
    COUNTRIES,
    households,
    mask_email,
    mask_name,
    mask_phone,
    masked,
    normalise_phone,
    normalise_phones,
)
from churn.data.schema import Contacts
from churn.errors import SettingsError

# -- phones ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "+49 30 23125 123",
        "+4930/23125-123",
        "+49 (0)30 23125 123",
        "+49 030 23125123",
        "(+49) 30 23125123",
        "0049 30 23125123",
        "0049(0)3023125123",
        "(0)30 23125-123",
        "(030) 23125 123",
        "030/23125.123",
        "  030 23125 123 ",
        "\u00a0030\u202f23125\u00a0123",
        "tel:+49-30-23125-123",
        "Tel. 030 23125123",
        "030 23125123 ext. 12",
        "030 23125123 x12",
        "030 23125123 Durchwahl 12",
        "'+493023125123",
        '="03023125123"',
        "\u202a+493023125123\u202c",
        "＋４９ ３０ ２３１２５１２３",
        "٠٣٠ ٢٣١٢٥١٢٣",
        "030 23125123; 0171 3920077",
        "030 23125123\n0171 3920077",
        "493023125123",  # a spreadsheet ate the plus
        "3023125123",  # … or the zero
        "493023125123.0",  # … and made it a number
    ],
)
def test_one_german_number_however_it_is_written(written: str) -> None:
    assert normalise_phone(written, "DE") == "+493023125123"


@pytest.mark.parametrize(
    "written",
    [None, "", " ", "unknown", "n/a", "-", "0", "00", "+", "+49", "12345", "4,93023E+12", "4.93023E+12", "0000000000", "99999999",
     "030 KINDER", "+0 30 23125123", "+49 30 23125123 23125123", "12345678901234567890", "+1 202 555 01", "+1 102 555 0147"],
)  # fmt: skip
def test_what_is_no_number_becomes_nothing(written: str | None) -> None:
    assert normalise_phone(written, "DE") is None


@pytest.mark.parametrize(
    ("country", "written", "number"),
    [  # as Google's phonenumbers 9.0 answers
        ("GB", "07400 123456", "+447400123456"),
        ("FR", "06 12 34 56 78", "+33612345678"),
        ("IT", "02 1234 5678", "+390212345678"),
        ("IT", "312 345 6789", "+393123456789"),
        ("ES", "612 34 56 78", "+34612345678"),
        ("DK", "34 41 23 45", "+4534412345"),
        ("HU", "06 20 123 4567", "+36201234567"),
        ("RU", "8 (912) 345-67-89", "+79123456789"),
        ("US", "(202) 555-0147", "+12025550147"),
        ("US", "1-202-555-0147", "+12025550147"),
        ("US", "011 49 30 23125123", "+493023125123"),
        ("US", "+1 202.555.0147 #3", "+12025550147"),
        ("JP", "010 49 30 23125123", "+493023125123"),
        ("JP", "090-1234-5678", "+819012345678"),
        ("AU", "0011 49 30 23125123", "+493023125123"),
        ("KR", "010-2000-0000", "+821020000000"),
        ("SG", "8123 4567", "+6581234567"),
        ("DE", "+44 7700 900123", "+447700900123"),
        ("de", "+39 02 1234 5678", "+390212345678"),
        ("DE", "+225 01 23 45 6789", "+2250123456789"),
    ],
)
def test_other_countries(country: str, written: str, number: str) -> None:
    assert normalise_phone(written, country) == number


def test_without_a_country_only_numbers_with_a_code_count() -> None:
    phones = pl.Series("phone", ["+49 30 23125123", "0049 30 23125123", "030 23125123", None])
    assert normalise_phones(phones).to_list() == ["+493023125123", "+493023125123", None, None]
    assert normalise_phones(phones).name == "phone"


def test_an_unknown_country_is_named() -> None:
    with pytest.raises(SettingsError, match=r"'XX' is not known .* AE, AR"):
        normalise_phone("1", "XX")


def test_numbers_and_empty_columns_are_read_too() -> None:
    assert normalise_phones(pl.Series([493023125123, None]), "DE").to_list() == ["+493023125123", None]
    assert normalise_phones(pl.Series([], dtype=pl.String), "DE").to_list() == []
    assert normalise_phones(pl.Series([None, None]), "DE").to_list() == [None, None]


_WRITTEN = st.one_of(st.none(), st.text(), st.from_regex(r"\+?[\d ()/.-]{0,20}", fullmatch=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(_WRITTEN, min_size=10, max_size=30), st.sampled_from(sorted(COUNTRIES)))
def test_whatever_is_written_the_answer_is_e164_or_nothing_and_stays(written: list[str | None], country: str) -> None:
    once = normalise_phones(pl.Series(written, dtype=pl.String), country)
    assert once.drop_nulls().str.contains(r"^\+[1-9]\d{6,14}$").all()
    assert normalise_phones(once, country).to_list() == once.to_list()


@settings(max_examples=40, deadline=None)
@given(st.integers(30_000_000, 999_999_998))
def test_every_way_of_writing_one_number_is_one_household(number: int) -> None:
    digits = str(number)
    assume(len(set(digits)) > 1)
    ways = [
        f"+49{digits}",
        f"0049 {digits}",
        f"+49 (0){digits}",
        f"0{digits[:3]}/{digits[3:]}",
        f"(0){digits}",
        "+44 7700 900123",
        None,
    ]
    assert households(pl.Series(ways), "DE").to_list() == [0, 0, 0, 0, 0, 1, None]


# -- masks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Anna Müller", "A. M••••"),
        ("anna-lena von der Müller-Lüdenscheidt", "A. M••••"),
        ("Cher", "C••••"),
        ("O", "O••••"),
        ("=SUM(A1)", "S••••"),
        ("-Anna", "A••••"),
        ("\u202eevil\u202c Koch", "E. K••••"),
        ("🦊", "•••"),
        ("0042", "•••"),
        ("王小明", "•••"),
        ("김 철수", "•••"),
        ("  ", None),
        (None, None),
    ],
)
def test_names_by_their_initials(name: str | None, shown: str | None) -> None:
    assert mask_name(name) == shown


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("+493023121234", "+49 ••• ••12 34"),
        ("+12025550147", "+1 ••• ••01 47"),
        ("+35312345678", "+353 ••• ••56 78"),
        ("+3544101234", "+354 ••• ••34"),  # seven digits: four of them would be most
        ("030 23121234", "•••"),
        ("+49 30 23121234", "•••"),
        ("unknown", "•••"),
        ("", None),
        (None, None),
    ],
)
def test_phones_by_their_last_digits(phone: str | None, shown: str | None) -> None:
    assert mask_phone(phone) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("anna.vogel@design.de", "a•••@d•••.de"),
        ("A@B.CO", "a•••@b•••.co"),
        ("anna@mail.design.co.uk", "a•••@m•••.uk"),
        ("=1+1@example.com", "•••@e•••.com"),
        ("王@example.com", "•••@e•••.com"),
        ("two@@example.com", "•••"),
        ("anna", "•••"),
        ("anna@localhost", "•••"),
        ("anna@example.com, ben@example.com", "•••"),
        ("", None),
        (None, None),
    ],
)
def test_addresses_by_two_letters_and_their_ending(address: str | None, shown: str | None) -> None:
    assert mask_email(address) == shown


@given(st.one_of(st.text(), st.sampled_from(AWKWARD_NAMES)))
def test_no_mask_lets_more_through_than_it_says(text: str) -> None:
    name, phone, email = mask_name(text), mask_phone(text), mask_email(text)
    assert name is None or len(re.findall(r"[^•. ]", name)) <= 6  # two initials; ŉ and ﬃ grow in capitals
    assert phone is None or sum(letter.isdigit() for letter in phone) <= 7
    assert email is None or re.fullmatch(r"•••|\w{0,3}•••@\w{0,3}•••\.[a-z]{2,24}", email)
    for shown in filter(None, (name, phone, email)):
        assert "•" in shown
        assert not re.search(r"[\x00-\x1f\u200e\u200f\u202a-\u202e\u2066-\u2069<>=]", shown)  # no markup, formula, direction


def test_a_masked_table_holds_nothing_of_the_original() -> None:
    table = pl.DataFrame(
        {
            "id": ["1", "2", "3"],
            "who": ["Anna Vogel", "=SUM(A1)", None],
            "tel": ["030 23125123", "unknown", None],
            "mail": ["anna.vogel@example.com", "n/a", None],
            "agreed": ["Yes", "No", None],
            "agent": ["Carla Winter", None, "Carla Winter"],
        }
    )
    shown = masked(table, Contacts(name="who", phone="tel", email="mail", consent="agreed", owner="agent", country="DE"))
    assert shown.columns == table.columns
    assert shown["who"].to_list() == ["A. V••••", "S••••", None]
    assert shown["tel"].to_list() == ["+49 ••• ••51 23", "•••", None]
    assert shown["mail"].to_list() == ["a•••@e•••.com", "•••", None]
    assert shown.select("id", "agreed", "agent").equals(table.select("id", "agreed", "agent"))


def test_a_table_without_those_columns_stays_as_it_is() -> None:
    table = pl.DataFrame({"id": ["1"], "name": ["Anna"]})
    assert masked(table, Contacts()).equals(table)
    assert masked(table, Contacts(phone="tel")).equals(table)


def test_the_two_digit_codes_are_those_of_e164() -> None:
    assert len(contacts._TWO) == 44
    listed = {country.code for country in COUNTRIES.values() if len(country.code) == 2}
    assert listed <= set(contacts._TWO)
    assert not any(code[:2] in contacts._TWO for code in (c.code for c in COUNTRIES.values()) if len(code) == 3)

"""Who a customer is: phone numbers in one form, households, and the only display there is, a masked one.

Phones become E.164: `+`, country code, national number, digits only (ITU-T E.164, at most 15 digits). What cannot be one,
such as "unknown", an extension alone or a number that a spreadsheet turned into 4.93E+12, becomes null, never a guess.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from churn.data.schema import Contacts
from churn.errors import SettingsError

HIDDEN = "•••"
_SHORTEST, _LONGEST = 6, 15  # digits of a national number at least; of a number with its country code at most


class Country(NamedTuple):
    """How a country dials.

    `code`: its country code; `length`: digits of every national number (0: they vary); `trunk`: what precedes a national
    number at home; `exit`: what precedes an international one, besides 00.
    """

    code: str
    length: int = 0
    trunk: str = "0"
    exit: str = "00"


def _countries(rows: str, trunk: str = "0", exit: str = "00") -> dict[str, Country]:
    return {iso: Country(code, int(length), trunk, exit) for iso, code, length in (row.split(":") for row in rows.split())}


# ISO code : country code : digits of a national number. From ITU-T E.164 and the national numbering plans.
COUNTRIES: dict[str, Country] = {
    **_countries("DE:49:0 AT:43:0 CH:41:9 FR:33:9 GB:44:0 NL:31:9 BE:32:0 IE:353:0 SE:46:0 FI:358:0 RO:40:9 BG:359:0 HR:385:0"),
    **_countries("RS:381:0 SI:386:8 SK:421:9 UA:380:9 TR:90:10 IL:972:0 EG:20:0 MA:212:9 ZA:27:9 NG:234:0 KE:254:0 AE:971:0"),
    **_countries("SA:966:0 IN:91:10 PK:92:0 CN:86:0 MY:60:0 PH:63:0 VN:84:0 NZ:64:0 LT:370:8 BR:55:0 AR:54:0 PE:51:0"),
    **_countries("JP:81:0", exit="010"),
    **_countries("AU:61:9", exit="0011"),
    **_countries("KR:82:0 TH:66:0 ID:62:0", exit="001"),
    **_countries("IT:39:0 ES:34:9 PT:351:9 PL:48:9 CZ:420:9 DK:45:8 NO:47:8 LU:352:0 GR:30:10 LV:371:8 EE:372:0", trunk=""),
    **_countries("CY:357:8 MT:356:8 IS:354:0 MX:52:10 CL:56:9 CO:57:10", trunk=""),
    **_countries("HK:852:8", trunk="", exit="001"),
    **_countries("SG:65:8", trunk="", exit="000"),
    **_countries("HU:36:0", trunk="06"),
    **_countries("RU:7:10 KZ:7:10", trunk="8", exit="810"),
    **_countries("US:1:10 CA:1:10", trunk="1", exit="011"),
}
_LENGTHS = {country.code: country.length for country in COUNTRIES.values() if country.length}
# two digits that are a whole country code; 1 and 7 stand alone, all others have three (ITU-T E.164, assigned codes)
_TWO = [
    *(str(code) for start, end in ((30, 34), (43, 49), (51, 58), (60, 66), (90, 95)) for code in range(start, end + 1)),
    *("20", "27", "36", "39", "40", "41", "81", "82", "84", "86", "98"),
]
_KEEP_ZERO = ("39", "225", "241", "242", "378", "379")  # a leading zero is dialled from abroad too
_PREFIX = r"(?i)^(?:tel|phone|fon|mobil)\s*[.:]?\s*"
_EXTENSION = r"(?i)[\s,;]*(?:ext(?:ension|n)?[.:=]?|durchwahl|dw\.?|x|#)\s*\d{1,6}\s*$"
_ONE_DIGIT = "^(?:" + "|".join(f"{digit}+" for digit in range(10)) + ")$"  # 9999999 is no number
_QUOTES = " \t\r\n'\"=\u200e\u200f\u202a\u202c"  # what spreadsheets and pasting put around a number
# Arabic, Persian, N'Ko, the scripts of India, Thai, Lao, Tibetan, Burmese, Khmer, Mongolian
_ZEROS = "\u0660\u06f0\u07c0\u0966\u09e6\u0a66\u0ae6\u0b66\u0be6\u0c66\u0ce6\u0d66\u0e50\u0ed0\u0f20\u1040\u17e0\u1810"
_OTHER_DIGITS = {chr(ord(zero) + digit): str(digit) for zero in _ZEROS for digit in range(10)}


# -- phones ----------------------------------------------------------------------------------------------------------


def normalise_phones(phones: pl.Series, country: str | None = None) -> pl.Series:
    """Phone numbers as E.164, such as `+493023125123`; null where there is none or it cannot be one.

    Parameters
    ----------
    phones: String, as people wrote them: `+49 (0)30 …`, `0049 30 …`, `(0)30/…`, `030 …`, `tel:+49-30-…`, with extensions
        (dropped); of several, the first counts. A leading zero or plus that a spreadsheet ate is put back.
    country: ISO code of numbers without a country code; without it those become null.

    Raises SettingsError for a country that is not in `COUNTRIES`.
    """
    text = phones.cast(pl.String).str.normalize("NFKC").str.replace_many(_OTHER_DIGITS).str.strip_chars(_QUOTES)
    text = text.str.replace(_PREFIX, "").str.replace(_EXTENSION, "").str.replace(r"\.0$", "").str.replace(r"[\n;,|].*$", "")
    frame = text.alias("text").to_frame().with_columns(digits=pl.col("text").str.replace_all("[^0-9]", ""))
    frame = frame.with_columns(number=_with_code(_home(country)))
    first, number = pl.col("number").str.slice(0, 1), pl.col("number")
    code_length = pl.when(first.is_in(["1", "7"])).then(1).when(number.str.slice(0, 2).is_in(_TWO)).then(2).otherwise(3)
    frame = frame.with_columns(code=number.str.slice(0, code_length), rest=number.str.slice(code_length))
    rest = pl.when(pl.col("code").is_in(_KEEP_ZERO)).then("rest").otherwise(pl.col("rest").str.replace(r"^0", ""))
    frame = frame.with_columns(rest=rest, length=pl.col("code").replace_strict(_LENGTHS, default=0, return_dtype=pl.UInt32))
    digits = pl.col("rest").str.len_chars()
    usable = (
        ~pl.col("text").str.contains(r"\p{L}")
        & (first != "0")
        & (digits >= _SHORTEST)
        & (pl.col("code").str.len_chars() + digits <= _LONGEST)
        & ((pl.col("length") == 0) | (pl.col("length") == digits))
        & ((pl.col("code") != "1") | pl.col("rest").str.contains("^[2-9]"))
        & ~pl.col("rest").str.contains(_ONE_DIGIT)
    )
    return frame.select(pl.when(usable).then("+" + pl.col("code") + pl.col("rest")).alias(phones.name)).to_series()


def normalise_phone(phone: str | None, country: str | None = None) -> str | None:
    """One phone number as E.164, or None; see `normalise_phones`.

    >>> normalise_phone("(0)30 23125-123", "DE")
    '+493023125123'
    """
    number: str | None = normalise_phones(pl.Series([phone], dtype=pl.String), country)[0]
    return number


def households(phones: pl.Series, country: str | None = None) -> pl.Series:
    """A number for each household of the table: customers whose phone numbers are the same are one (UInt32).

    Null where there is no usable phone. The numbers count from 0 in order of appearance, hold for this table only, and say
    nothing about the phone.
    """
    phone = normalise_phones(phones, country).alias("phone").to_frame()
    known = phone.drop_nulls().unique(maintain_order=True).with_row_index("household")
    return phone.join(known, on="phone", how="left", maintain_order="left")["household"]


def _home(country: str | None) -> Country | None:
    if country is None:
        return None
    try:
        return COUNTRIES[country.upper()]
    except KeyError:
        known = ", ".join(sorted(COUNTRIES))
        raise SettingsError(f"country {country!r} is not known for phone numbers; the countries are: {known}") from None


def _with_code(home: Country | None) -> pl.Expr:
    """The digits of a number, its country code first; null where there is none to go by."""
    digits = pl.col("digits")
    exit = home.exit if home else "00"
    abroad = (
        pl.when(pl.col("text").str.contains(r"^\(?\+"))
        .then(digits)
        .when(digits.str.starts_with(exit))
        .then(digits.str.slice(len(exit)))
        .when(digits.str.starts_with("00"))
        .then(digits.str.slice(2))
    )
    if home is None:
        return abroad.otherwise(None)
    without = digits.str.len_chars().cast(pl.Int64) - len(home.code)
    lost_plus = digits.str.starts_with(home.code) & (
        without == home.length if home.length else without >= (8 if home.trunk else 9)
    )
    at_home = digits.str.starts_with(home.trunk) if home.trunk else pl.lit(False)
    return (
        abroad.when(at_home)
        .then(home.code + digits.str.slice(len(home.trunk)))
        .when(lost_plus)
        .then(digits)
        .otherwise(home.code + digits)
    )


# -- display ---------------------------------------------------------------------------------------------------------


def masked(table: pl.DataFrame, contacts: Contacts) -> pl.DataFrame:
    """The table with its names, phones and e-mail addresses masked; the only form in which a page may show them.

    Of a name its initials remain, of a phone the country code and four digits, of an address two letters and the ending;
    the number of dots is always the same. Consent, do-not-contact and owner stay as they are.
    """
    masks = ((contacts.name, mask_name), (contacts.email, mask_email))
    hidden = [_each(table[column], mask) for column, mask in masks if column and column in table.columns]
    if contacts.phone and contacts.phone in table.columns:
        phone = table[contacts.phone]
        numbers = normalise_phones(phone, contacts.country)
        shown = [mask_phone(number) if number else mask_phone(text) for number, text in zip(numbers, phone, strict=True)]
        hidden.append(pl.Series(phone.name, shown, dtype=pl.String))
    return table.with_columns(hidden)


def mask_name(name: str | None) -> str | None:
    """A name by its initials: `A. M••••`, `O••••`; dots alone where it has no letters or letters that are whole names.

    >>> mask_name("Eva Müller-Lüdenscheidt")
    'E. M••••'
    """
    if not name or not name.strip():
        return None
    words = unicodedata.normalize("NFC", name).split()
    initials = [initial for word in words if (initial := next(filter(str.isalpha, word), ""))]
    if not initials or any(_is_a_word(initial) for initial in (initials[0], initials[-1])):
        return HIDDEN
    last = f"{initials[-1].upper()}••••"
    return last if len(initials) == 1 else f"{initials[0].upper()}. {last}"


def mask_phone(phone: str | None) -> str | None:
    """A phone by its country code and last digits: `+49 ••• ••12 34`; less of a short one, dots alone if it is not E.164.

    >>> mask_phone("+493023121234")
    '+49 ••• ••12 34'
    """
    if not phone or not phone.strip():
        return None
    match = re.fullmatch(r"\+([1-9]\d{6,14})", phone, flags=re.ASCII)
    if not match:
        return HIDDEN
    digits = match[1]
    code = digits[:1] if digits[0] in "17" else digits[:2] if digits[:2] in _TWO else digits[:3]
    end = f"{digits[-4:-2]} {digits[-2:]}" if len(digits) - len(code) >= 8 else digits[-2:]
    return f"+{code} {HIDDEN} ••{end}"


def mask_email(address: str | None) -> str | None:
    """An e-mail address by two letters and its ending: `a•••@d•••.de`; dots alone if it is none.

    >>> mask_email("anna.vogel@design.example.de")
    'a•••@d•••.de'
    """
    if not address or not address.strip():
        return None
    match = re.fullmatch(r"([^@\s]+)@([^@\s]+)\.([A-Za-z]{2,24})", address.strip())
    if not match:
        return HIDDEN
    who, where = (part[0].lower() if part[0].isalnum() and not _is_a_word(part[0]) else "" for part in match.groups()[:2])
    return f"{who}{HIDDEN}@{where}{HIDDEN}.{match[3].lower()}"


def _each(column: pl.Series, mask: Callable[[str | None], str | None]) -> pl.Series:
    return pl.Series(column.name, [mask(value) for value in column.cast(pl.String)], dtype=pl.String)


def _is_a_word(letter: str) -> bool:
    """Whether one character can be a whole name: Chinese, Japanese and Korean ones."""
    return unicodedata.name(letter, "").startswith(("CJK", "HANGUL", "HIRAGANA", "KATAKANA"))

"""Made-up people for the demo: names, phones, e-mail, consent.

The awkward ones are there on purpose: every screen and export meets them before a real customer does. No number can belong to
anybody: German ones continue the blocks that the regulator keeps free for films (Bundesnetzagentur, notice 148/2021), the
others use Ofcom's and NANPA's fictional ranges; mail addresses end in the domains of RFC 2606.
"""

from __future__ import annotations

import unicodedata

import numpy as np
import polars as pl

_FIRST = (
    "Anna Ben Clara David Elif Felix Greta Hasan Ines Jonas Katharina Leon Mia Noah Olga Paul Renate Samuel Theresa Uwe Vera "
    "Wojciech Yasemin Zoe Björn Zoë Łukasz Aylin Jürgen Åsa Chloé Dimitrios Fatima Giulia Hannelore Ivan Jean-Luc Kemal Linh "
    "Marie-Luise Nguyen Oluwaseun Priya Søren Tamás Ulrike Wei Anneliese Günter Siobhán"
)
_LAST = (
    "Schmidt Müller Weber Fischer Becker Hoffmann Schäfer Koch Bauer Richter Klein Wolf Schröder Neumann Braun Zimmermann Krüger "
    "Yılmaz Kaya Demir Şahin Nowak Kowalski Wiśniewska Rossi García Papadopoulos Ivanova Horvat Nagy Dvořák Jansen Okafor Haddad "
    "Tran Li Singh Silva Groß Weiß Brandt Vogel Lehmann Sørensen Hansen Maier Meyer Mayr Böhm Kraus"
)

AWKWARD_NAMES = (
    "Siobhán O'Brien",
    "Eva Müller-Lüdenscheidt",
    "=SUM(A1)",
    "-Anna Vogel",
    "+Max Braun",
    "@home Klein",
    "\tTom Tab",
    "=cmd|' /C calc'!A0",
    "Zoë 🦊 Fuchs",
    "👩‍👩‍👧 Becker",
    "محمد الأحمد",
    "נועה לוי",
    "\u202eevil\u202c Koch",
    "王小明",
    "Владимир Иванов",
    "Null Null",
    "NaN",
    "<b>Robert</b> Tables",
    "Jean-Baptiste E. Zorg de la Tour d'Auvergne-Lauraguais von und zu Hohenlohe-Waldenburg-Schillingsfürst auf Bartenstein",
    "Wolfe+585 " + "Schlegelsteinhausenbergerdorff" * 8,
    "0042",
    "007 Bond",
    "O",
    "  Rand  Leerzeichen  ",
    "Semi;Kolon, Komma",
    'Otto "der Große" Weiß',
    "Zeile\nUmbruch",
    "Ｆｕｌｌ　Ｗｉｄｔｈ",
)
_AWKWARD_PHONES = (
    "",
    "unknown",
    "-",
    "0",
    "12345",
    "4,93023E+12",
    "+44 7700 900123",
    "00447700900456",
    "+1 (202) 555-0147",
    "+49(0)171/39200-77",
    "=+4930231250001",
    "030 23125 007 ext. 12",
    "\u0664\u0669\u0663\u0660",
)
_AWKWARD_MAILS = (
    "",
    "n/a",
    "ANNA.VOGEL@EXAMPLE.COM",
    "o'brien+churn@example.org",
    "müller@exämple.example",
    "two@@example.com",
    "=1+1@example.com",
)

# area code and the start of its block; five or four digits follow
_BLOCKS = (
    ("30", "23125", 5),
    ("69", "90009", 5),
    ("40", "66969", 5),
    ("221", "4710", 5),
    ("89", "99998", 5),
    ("171", "39200", 4),
)
_OWNERS = ("Amira Schulz", "Bastian Lorenz", "Carla Winter", "Deniz Arslan", "Emil Sommer", "Frieda Kuhn")
_DOMAINS = ("example.com", "example.org", "example.net")


def people(keys: pl.Series, rng: np.random.Generator) -> pl.DataFrame:
    """Contact data for customers: the key, then name, phone, email, consent, do_not_contact and owner, all String.

    About 7 % share the phone of another customer (one household), 4 % have none, 6 % no e-mail, 8 % no answer on consent.
    """
    count = len(keys)
    table = pl.DataFrame(
        {
            keys.name: keys,
            "name": _names(count, rng),
            "phone": _phones(count, rng),
        }
    )
    table = table.with_columns(email=_mails(table["name"], rng))
    table = table.with_columns(
        consent=_choice(rng, count, ("Yes", "No", None), (0.71, 0.21, 0.08)),
        do_not_contact=_choice(rng, count, ("Yes", "No"), (0.03, 0.97)),
        owner=_choice(rng, count, (*_OWNERS, None), (*(0.95 / len(_OWNERS) for _ in _OWNERS), 0.05)),
    )
    for column, awkward, first in (("name", AWKWARD_NAMES, 3), ("phone", _AWKWARD_PHONES, 5), ("email", _AWKWARD_MAILS, 7)):
        table = table.with_columns(_plant(table[column], awkward, first))
    return table


def _plant(column: pl.Series, values: tuple[str, ...], first: int) -> pl.Series:
    """Put each value on one row, evenly spread over the table."""
    step = max(1, (len(column) - first) // len(values))
    rows = [row for row in range(first, first + step * len(values), step) if row < len(column)]
    return column.scatter(rows, [value or None for value in values[: len(rows)]])


def _choice(rng: np.random.Generator, count: int, values: tuple[str | None, ...], shares: tuple[float, ...]) -> pl.Series:
    edges = np.cumsum(shares)[:-1]
    return pl.Series(values, dtype=pl.String).gather(np.searchsorted(edges, rng.random(count), side="right"))


def _names(count: int, rng: np.random.Generator) -> pl.Series:
    first = pl.Series(_FIRST.split()).gather(rng.integers(len(_FIRST.split()), size=count))
    last = pl.Series(_LAST.split()).gather(rng.integers(len(_LAST.split()), size=count))
    second = pl.Series(_LAST.split()).gather(rng.integers(len(_LAST.split()), size=count))
    double = pl.Series(rng.random(count) < 0.06)
    return pl.select(first + " " + pl.when(double).then(last + "-" + second).otherwise(last)).to_series().alias("name")


def _phones(count: int, rng: np.random.Generator) -> pl.Series:
    block = rng.integers(len(_BLOCKS), size=count)
    number = rng.integers(100_000, size=count)
    share = np.flatnonzero(rng.random(count) < 0.07)
    share = share[share > 0]
    partner = share - 1 - rng.integers(0, 40, size=len(share)).clip(max=share - 1)
    block[share], number[share] = (
        block[partner],
        number[partner],
    )  # one household, one number, each writes it in a way of their own
    area = pl.Series([area for area, _, _ in _BLOCKS]).gather(block)
    start = pl.Series([start for _, start, _ in _BLOCKS]).gather(block)
    digits = pl.Series([digits for _, _, digits in _BLOCKS]).gather(block)
    style = pl.Series(rng.integers(8, size=count))
    missing = pl.Series(rng.random(count) < 0.04)
    frame = pl.DataFrame({"area": area, "start": start, "digits": digits, "number": number, "style": style, "missing": missing})
    padded = pl.col("number").cast(pl.String).str.zfill(5)
    frame = frame.with_columns(rest=pl.when(pl.col("digits") == 4).then(padded.str.tail(4)).otherwise(padded))
    patterns = (
        "+49 {a} {s} {r}",
        "0049 {a} {s}{r}",
        "(0){a} {s}-{r}",
        "0{a}/{s}{r}",
        "+49 (0){a} {s} {r}",
        "+49{a}{s}{r}",
        " 0{a} {s} {r} ",
        "+49-{a}-{s}.{r}",
    )
    written = pl.coalesce(
        pl.when(pl.col("style") == index).then(
            pl.format(pattern.replace("{a}", "{}").replace("{s}", "{}").replace("{r}", "{}"), "area", "start", "rest")
        )
        for index, pattern in enumerate(patterns)
    )
    return frame.select(pl.when(~pl.col("missing")).then(written).alias("phone")).to_series()


def _mails(names: pl.Series, rng: np.random.Generator) -> pl.Series:
    plain = {
        name: unicodedata.normalize("NFKD", name.lower().replace("ß", "ss").replace("ł", "l").replace("ø", "o").replace("ı", "i"))
        .encode("ascii", "ignore")
        .decode()
        .replace(" ", ".")
        for name in names.unique().to_list()
    }
    number = pl.Series(rng.integers(1, 99, size=len(names))).cast(pl.String)
    domain = pl.Series(_DOMAINS).gather(rng.integers(len(_DOMAINS), size=len(names)))
    missing = pl.Series(rng.random(len(names)) < 0.06)
    address = names.replace_strict(plain, return_dtype=pl.String) + number + "@" + domain
    return pl.select(pl.when(~missing).then(address).alias("email")).to_series()

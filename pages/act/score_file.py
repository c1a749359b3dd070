"""Score a file: drop one, match its columns, see what is wrong where, score the rows that can be, take the result along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from functools import partial

import pyarrow
import streamlit as st

from churn import words
from churn.data import spreadsheet
from churn.data.quality import Violation
from churn.score.score_file import Checked, FileScores, Match, label_of, notice_rule, problem_table, shown_value, to_look_at
from churn.words import escape_markdown as escape
from pages.act import _file, _new_customer
from pages.act._file import MOST_ROWS, RENAMED, Work
from pages.act._table import percent_column
from pages.shared import data, widgets
from pages.shared.data import Pair

_LISTED = 200  # problems in the table on the page; all of them are in the file to download
_PREVIEW = 10
_HEADINGS = ("Most associated with it", "Then", "And then")
_ASKED = 8  # missing columns asked for one by one
_NOTICES = 8  # from more on, the list scrolls
_PLEDGE = (
    "What you drop stays in the memory of this session and goes with it: nothing is stored, "
    "and these scores are no logged predictions."
)


def page(pair: Pair) -> None:
    title = st.container()
    left, right = st.columns(2, gap="medium")
    with left:
        work = _drop(pair)
    with right:
        matched = _match(pair, work)
    checked = _wrong(pair, work)
    scores = _score(pair, work, checked)
    with title:
        _answer(work, matched, checked, scores)
    _new_customer.block(pair)


def _answer(work: Work | None, matched: Match | None, checked: Checked | None, scores: FileScores | None) -> None:
    """The title: how far the file has come."""
    if work is None:
        answer, next_step = "Drop a file, and every row gets a risk and the reasons for it", _PLEDGE
    elif work.problem:
        answer, next_step = "The file could not be read", "Nothing was scored, and nothing was kept."
    elif matched is not None and matched.missing and checked is not None:
        missing = len(matched.missing)
        answer = f"Nothing can be scored yet: {_of(missing, 'column is', 'columns are')} missing"
        next_step = "Say below which column of the file it is, or add it to the file."
    elif checked is not None:
        good, rows = (scores.table.height if scores else checked.scorable), checked.rows
        bad = rows - checked.scorable
        verb = "were scored" if scores else "can be scored"
        if checked.scorable == rows and good == rows:
            answer = f"All {words.count(rows)} rows {verb}" if rows > 1 else f"The one row {verb.replace('were', 'was')}"
        else:
            answer = f"{words.count(good)} of {words.count(rows)} rows {verb}"
        if bad and checked.scorable:
            answer += f"; {words.count(bad)} {'needs' if bad == 1 else 'need'} a correction"
        elif bad:
            answer = f"No row can be scored: {'the one row needs' if rows == 1 else f'all {words.count(rows)} need'} a correction"
        next_step = _summary(scores) if scores else "Score the good rows now, or correct the file and drop it again."
    st.title(escape(answer), anchor=False)
    st.markdown(f":gray[{next_step}]")


def _of(number: int, one: str, several: str) -> str:
    return f"{words.count(number)} {one if number == 1 else several}"


def _summary(scores: FileScores) -> str:
    bands = ", ".join(f"{words.count(customers)} {name.lower()}" for name, customers in reversed(scores.by_band) if customers)
    return f"Average risk {words.average(scores.average_risk)}; by risk: {escape(bands)}."


# -- 1 -------------------------------------------------------------------------


def _drop(pair: Pair) -> Work | None:
    st.header("1 Drop a file", anchor=False)
    st.caption(
        f"CSV, Excel or Parquet, one row a customer, up to {words.count(MOST_ROWS)} rows · "
        "how it is separated and encoded is found out"
    )
    upload = st.file_uploader("File", key="_upload", label_visibility="collapsed")
    known = _scorings(pair)
    choice = st.selectbox(
        "Or a table that was scored before",
        list(known),
        index=None,
        format_func=lambda id: known[id],
        placeholder="Choose a scoring",
        key="_scoring",
        disabled=upload is not None or not known,
    )
    work: Work | None = None
    if upload is not None:
        content = upload.getvalue()
        names = _file.sheets_of(upload.file_id, content)
        sheet = st.selectbox("Sheet", names, key=f"_sheet {upload.file_id}") if len(names) > 1 else None
        with widgets.loading(120):
            work = _file.sent(upload.name, upload.file_id, content, sheet)
    elif choice is not None:
        with widgets.loading(120):
            work = _file.picked(pair, choice, known[choice])
    else:
        _file.let_go()
    if work is not None and work.problem:
        st.error(f"{escape(work.problem)}", icon=":material/error:")
    elif work is not None and work.table is not None:
        st.caption(
            f"{escape(work.name)}: {_of(work.table.height, 'row', 'rows')}, "
            f"{_of(work.table.width, 'column', 'columns')}. {_PLEDGE}"
        )
    return work


def _scorings(pair: Pair) -> dict[str, str]:
    """Scorings whose tables are not too long, newest first: id → what people call it."""

    def known() -> dict[str, str]:
        found = data.desk().registry.scorings(newest=24)
        return {
            one.id: f"{words.day(date.fromisoformat(one.as_of))} · {words.count(one.rows)} customers · model {one.model}"
            for one in found
            if not one.problem and one.rows <= MOST_ROWS
        }

    return pair.answer("scorings for a file", known)


# -- 2 -------------------------------------------------------------------------


def _match(pair: Pair, work: Work | None) -> Match | None:
    st.header("2 Columns matched", anchor=False)
    needed = len(pair.schema.needed)
    if work is None or work.table is None:
        st.caption(f"The model looks at {needed} columns; each is found by its name in the file")
        return None
    matched = work.matched(pair, _renamed(pair))
    found = needed - len(matched.missing)
    unused = f" · {_of(len(matched.unused), 'other column is', 'other columns are')} not looked at" if matched.unused else ""
    st.caption(f"{words.count(found)} of {words.count(needed)} found{unused}")
    _ask(pair, work, matched)
    ordered = sorted(pair.schema.needed, key=lambda name: name in matched.found)  # what is missing comes first
    rows = {
        "Column": [label_of(name, pair.schema) for name in ordered],
        "In the file": [matched.found.get(name) for name in ordered],
        "": ["✓" if name in matched.found else "✗ missing" for name in ordered],
    }
    st.dataframe(
        pyarrow.table(rows),
        hide_index=True,
        height=214,
        placeholder=words.NOTHING,
        column_config={"": st.column_config.TextColumn(width="small")},
        alt=f"Table: {found} of {needed} columns found in the file",
        key="_matched",
    )
    if matched.unused:
        with st.expander(f"Not looked at: {_of(len(matched.unused), 'column', 'columns')}"):
            st.markdown(escape(words.sentence_list(matched.unused[:60])) + (" …" if len(matched.unused) > 60 else ""))
    return matched


def _renamed(pair: Pair) -> dict[str, str]:
    """What was said about missing columns: column of the schema → column of the file."""
    said = {name: st.session_state.get(RENAMED + name) for name in pair.schema.needed}
    return {name: column for name, column in said.items() if column}


def _ask(pair: Pair, work: Work, matched: Match) -> None:
    """Ask which column of the file each missing one is; what seems likely is offered, and done only when confirmed."""
    assert work.table is not None
    said = _renamed(pair)
    asked = [name for name in pair.schema.needed if name in matched.missing or name in said]
    if not asked:
        return
    if matched.suggested:
        told = [f"{escape(column)} as {escape(label_of(name, pair.schema))}" for name, column in matched.suggested.items()]
        st.markdown(f":material/lightbulb: Perhaps it is there under another name: {words.sentence_list(told[:_ASKED])}.")
        st.button(
            "Take it so" if len(told) == 1 else f"Take all {len(told)} so",
            key="_take",
            on_click=_take,
            args=(dict(matched.suggested),),
        )
    taken = set(matched.found.values())
    for name in asked[:_ASKED]:
        own = st.session_state.get(RENAMED + name)
        options = [column for column in work.table.columns if column not in taken or column == own]
        if own is not None and own not in options:
            st.session_state[RENAMED + name] = None
        st.selectbox(
            f"{escape(label_of(name, pair.schema))} is in column",
            options,
            index=None,
            placeholder="Not in the file",
            key=RENAMED + name,
        )
    if len(asked) > _ASKED:
        st.markdown(f"{_of(len(asked) - _ASKED, 'more column is', 'more columns are')} missing. Is this the right table?")


def _take(suggested: dict[str, str]) -> None:
    for name, column in suggested.items():
        st.session_state[RENAMED + name] = column


# -- 3 -------------------------------------------------------------------------


def _wrong(pair: Pair, work: Work | None) -> Checked | None:
    st.header("3 What is wrong, where", anchor=False)
    if work is None or work.table is None:
        st.caption("Every cell that keeps a row from being scored, with its row and the rule it breaks")
        return None
    place, toggle = st.container(), st.container()
    fix = bool(st.session_state.get("_fix"))
    with widgets.loading(80):
        checked = work.checked(pair, _renamed(pair), fix)
    with place:
        rows = [problem for problem in checked.problems if problem.row is not None]
        for problem in checked.whole[:_ASKED]:
            st.markdown(f":orange[✗] {escape(label_of(problem.column, pair.schema))} {escape(problem.rule)}")
        if rows:
            _problems(pair, checked, rows)
        elif not checked.whole:
            st.markdown(":blue[✓] Nothing keeps a row from being scored.")
    with toggle:
        if checked.fixable or checked.fixed:
            _put_right(checked)
        _notices(pair, checked.notices)
        if rows or checked.notices:
            _download_wrong(pair, work, checked)
    return checked


def _problems(pair: Pair, checked: Checked, rows: Sequence[Violation]) -> None:
    often = Counter(label_of(problem.column, pair.schema) for problem in rows)
    columns = ", ".join(f"{escape(label)} {words.count(times)}" for label, times in often.most_common(4))
    listed = f" · the first {_LISTED} are listed" if len(rows) > _LISTED else ""
    st.caption(f"{_of(len(rows), 'cell', 'cells')}: {columns} · rows are counted below the header{listed}")
    table = problem_table(rows, pair.schema, checked.match)
    if not checked.fixable:
        table = table.drop(words.say("report fix"))
    st.dataframe(
        table.head(_LISTED).to_arrow(),
        hide_index=True,
        height="content" if table.height <= 8 else 320,
        placeholder=words.NOTHING,
        column_config={words.say("report row"): st.column_config.NumberColumn(format="localized", width="small")},
        alt=f"Table: {words.count(len(rows))} cells that keep rows from being scored",
        key="_problems",
    )


def _download_wrong(pair: Pair, work: Work, checked: Checked) -> None:
    """All that is wrong or odd as a file, whatever of it is listed on the page."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Download what is wrong" if checked.problems else "Download what to look at",
            partial(spreadsheet.as_bytes, to_look_at(checked, pair.schema), ".csv"),
            file_name=f"{_prefix(pair)}corrections-{work.token}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="_download_wrong",
        )


def _put_right(checked: Checked) -> None:
    """Offer to put right what can be without loss; the rest of the page then goes by that."""
    done = f"{_of(checked.fixed, 'cell was', 'cells were')} put right" if checked.fixed else ""
    st.toggle(
        done or f"Put right {_of(checked.fixable, 'cell', 'cells')} whose meaning is plain",
        key="_fix",
        help="Spaces around values, thousands and currency signs, decimal commas, upper and lower case. "
        "Only here; your file stays as it is.",
    )


def _notices(pair: Pair, notices: Sequence[Violation]) -> None:
    if not notices:
        return
    with st.expander(f"{_of(len(notices), 'thing', 'things')} to look at that can be scored all the same"):
        place = st.container(height=320, border=False) if len(notices) > _NOTICES else st.container()
        lines = []
        for notice in notices[:_LISTED]:
            cell = shown_value(notice, pair.schema)
            value = words.NOTHING if cell is None else f"“{escape(cell)}”"
            where = f"row {words.count(notice.row)} has {value}" if notice.row is not None else ""
            more = f", and {_of(notice.count - 1, 'other row', 'other rows')}" if notice.count > 1 else ""
            lines.append(f"- {escape(label_of(notice.column, pair.schema))} {escape(notice_rule(notice))}: {where}{more}")
        if len(notices) > _LISTED:
            lines.append(f"- and {words.count(len(notices) - _LISTED)} more, which are in the download")
        place.markdown("\n".join(lines))


# -- 4 -------------------------------------------------------------------------


def _score(pair: Pair, work: Work | None, checked: Checked | None) -> FileScores | None:
    st.header("4 Score, download", anchor=False)
    if work is None or checked is None:
        st.caption("Key, risk, band and the reasons in words, the riskiest first, as Excel, CSV or Parquet")
        return None
    scores = work.scores
    if scores is None:
        left_out = checked.rows - checked.scorable
        st.caption(
            f"{_of(left_out, 'row', 'rows')} with something wrong {'is' if left_out == 1 else 'are'} left out, and nothing else"
            if left_out and checked.scorable
            else "Key, risk, band and the reasons in words, the riskiest first"
        )
        label = f"Score {_of(checked.scorable, 'row', 'rows')}" if checked.scorable else "Nothing to score"
        if st.button(label, type="primary", disabled=not checked.scorable, key="_score"):
            _run(pair, work)
            st.rerun()
        return None
    _result(pair, work, scores)
    return scores


def _run(pair: Pair, work: Work) -> None:
    bar = st.progress(0.0, text="Waiting for another file to be scored")

    def progress(doing: str, done: int, total: int) -> None:
        bar.progress(done / total if total else 1.0, text=f"{doing}: {words.count(done)} of {words.count(total)}")

    work.score(pair, progress)


def _result(pair: Pair, work: Work, scores: FileScores) -> None:
    table = scores.table
    apart = [
        (scores.gone, "customer has left already and is not scored", "customers have left already and are not scored"),
        (scores.earlier, "earlier row of the same customers is left out", "earlier rows of the same customers are left out"),
        (scores.without_reasons, "customer of less risk has no reasons: this model takes long to explain",
         "customers of less risk have no reasons: this model takes long to explain"),
        (scores.unknown, "row has a value the model does not know; the download names it",
         "rows have a value the model does not know; the download names it"),
    ]  # fmt: skip
    told = [_of(number, one, several) for number, one, several in apart if number]
    st.caption(" · ".join([f"The {_of(min(_PREVIEW, table.height), 'riskiest row', 'riskiest rows')} of the result", *told]))
    risk, band, *others = table.columns[1:] if pair.schema.snapshot is None else table.columns[2:]
    first = table.head(_PREVIEW)
    shown: dict[str, list[object]] = {
        "Customer": first.to_series(0).to_list(),
        "Risk": [widgets.risk_cell(one) for one in first[risk]],
        "Band": first[band].to_list(),
    }
    reasons = [name for name in others if name.startswith("reason")]
    shown |= {heading: first[name].to_list() for heading, name in zip(_HEADINGS, reasons, strict=False)}
    st.dataframe(
        pyarrow.table(shown),
        hide_index=True,
        height="content",
        placeholder=words.NOTHING,
        column_config={
            "Risk": percent_column(),
            "Band": st.column_config.TextColumn(width="small"),
        },
        alt=f"Table: the {len(first)} riskiest rows of the file with risk, band and reasons",
        key="_result",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        for kind, label, mime in (
            (".xlsx", "Excel", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            (".csv", "CSV", "text/csv"),
            (".parquet", "Parquet", "application/octet-stream"),
        ):
            st.download_button(
                f"Download {label}",
                partial(spreadsheet.as_bytes, table, kind),
                file_name=f"{_prefix(pair)}scored-{work.token}{kind}",
                mime=mime,
                icon=":material/download:",
                type="primary" if kind == ".xlsx" else "secondary",
                on_click="ignore",
                key=f"_download{kind}",
            )
    st.caption("Texts that a spreadsheet would take for formulas are made harmless. Your file is as it was.")


def _prefix(pair: Pair) -> str:
    return "simulated-" if data.desk().settings.simulated or pair.snapshot.simulated else ""


run = data.run()
page(run.pair)

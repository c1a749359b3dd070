"""Champion: putting another version in use and going back, each with what it changes, a reason, and who did it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from churn import words
from churn.errors import BundleRejected, NotInStore, PromotionRefused, StoreUnavailable
from churn.model import pointer as pointers
from churn.model.gates import judge
from churn.principal import ANONYMOUS
from churn.understand.movers import movers
from churn.watch import champion, versions
from churn.words import escape_markdown as escape
from pages.shared import data
from pages.shared.changing import Change
from pages.shared.data import Pair
from pages.watch import _moves

_OURS = "_change_ours"  # the change that this session began
_MARKS = {True: ":blue[**✓**]", False: ":orange[**✗**]", None: ":gray[**–**]"}
_TICK_S = 0.5  # between two looks at how far a change is
_MOST_WORDS = 500  # letters of a reason
_REFUSED = "_change_refused"


def offer(pair: Pair, usable: Sequence[str]) -> None:
    """The buttons that change the model in use; where nobody may press them, the commands that do the same."""
    desk = data.desk()
    others = [name for name in usable if name != pair.bundle.version]
    before = _before(pair)
    running = desk.changing.change if desk.changing.change and desk.changing.change.running else None
    if desk.visitor.name == ANONYMOUS:
        st.caption("Who is not known by name may not change the model in use. These commands do it:")
        _commands(pair, others, before)
        return
    with st.container(horizontal=True, vertical_alignment="center", key="_change"):
        if others and st.button("Put another in use…", type="primary", key="_promote", disabled=running is not None):
            _promote(pair, others)
        if before is not None and st.button(
            f"Back to {escape(_named(pair, before))}…", key="_rollback", disabled=running is not None
        ):
            _roll_back(pair, before)
        if not others:
            st.caption("There is no other version yet; one is made by training:")
    if not others:
        _commands(pair, others, None)
    _progress(running)
    _told()


def _before(pair: Pair) -> tuple[str, str] | None:
    """The pair that a way back leads to; without a scoring there would be nothing to show."""
    found = pointers.before(pair.pointer.history)
    return None if found is None or found[1] is None else (found[0], found[1])


def _named(pair: Pair, before: tuple[str, str]) -> str:
    return before[0] if before[0] != pair.bundle.version else "the scoring before"


def _commands(pair: Pair, others: Sequence[str], before: tuple[str, str] | None) -> None:
    settings = data.desk().settings
    option = "" if settings.workspace == "default" else f" --workspace {settings.workspace}"
    commands = [f"churn{option} promote {others[0]}"] if others else [f"churn{option} train TABLE --schema schema.yaml"]
    if before is not None and before[0] != pair.pointer.model:
        commands.append(f'churn{option} rollback --reason "…"  # shows model {before[0]} as it was before')
    st.code("\n".join(commands), language=None, wrap_lines=True)


# -- another version -------------------------------------------------------------


@st.dialog("Put another version in use", width="medium")
def _promote(pair: Pair, others: Sequence[str]) -> None:
    version = st.selectbox("Version", others, key="_promote_which", format_func=escape)
    try:
        held = _gates(pair, version)
        changes = versions.sentence(_moves.known(pair, pair.bundle.version, version), (pair.bundle.version, version), pair.schema)
    except (BundleRejected, NotInStore, PromotionRefused, StoreUnavailable) as error:
        st.warning(f"{escape(version)} cannot be put in use here: {escape(error)}.", icon=":material/error:")
        return
    st.markdown(f"**What changes.** {escape(changes)}")
    st.markdown("**What was checked.**")
    for verdict in held:
        st.markdown(f"{_MARKS[verdict.passed]}&ensp;{escape(verdict.lead)}. {escape(verdict.words)}")
    failed = any(verdict.passed is False for verdict in held)
    despite = failed and st.checkbox("Put it in use although a check does not hold", key="_despite")
    reason = _reason("_promote_reason")
    size = words.counted(pair.snapshot.customers, "customer")
    st.caption(f"{words.capital(size)} are scored anew first, which others do not notice; then everybody sees {escape(version)}.")
    if st.button(f"Put {escape(version)} in use", type="primary", key="_promote_it"):
        if failed and not despite:
            st.error("A check does not hold. Tick the box above if it is meant all the same.", icon=":material/error:")
        elif _says_why(reason):
            desk = data.desk()
            begun = desk.changing.promote(
                version, seen=pair.pointer, who=desk.visitor.name, reason=reason.strip(), despite_gates=bool(despite)
            )
            _begun(begun)


def _gates(pair: Pair, version: str) -> tuple[champion.Verdict, ...]:
    """The checks that a promotion makes, against the model in use."""

    def held() -> tuple[champion.Verdict, ...]:
        desk = data.desk()
        bundle = desk.registry.load_model(version)
        checks = judge(bundle, pair.bundle, desk.settings)
        found = champion.verdicts(checks, champion.measured(bundle.metrics), (), pair.bundle.version)
        return tuple(verdict for verdict in found if verdict.passed is not None)

    return pair.answer(("gates", version), held)


# -- the way back ------------------------------------------------------------------


@st.dialog("Go back", width="medium")
def _roll_back(pair: Pair, before: tuple[str, str]) -> None:
    version, scoring = before
    try:
        st.markdown(f"**What changes.** {escape(_what_comes_back(pair, version, scoring))}")
    except (BundleRejected, NotInStore, StoreUnavailable) as error:
        st.warning(f"It cannot be brought back: {escape(error)}.", icon=":material/error:")
        return
    reason = _reason("_rollback_reason")
    if st.button(f"Go back to {escape(_named(pair, before))}", type="primary", key="_rollback_it") and _says_why(reason):
        desk = data.desk()
        _begun(desk.changing.roll_back(version, seen=pair.pointer, who=desk.visitor.name, reason=reason.strip()))


def _what_comes_back(pair: Pair, version: str, scoring: str) -> str:
    """Which scoring is shown again, of which day, and how many customers stand in another band there."""

    def told() -> str:
        registry = data.desk().registry
        folder = registry.scoring_folder(scoring)
        assert pair.rows is not None
        found = movers(folder, pair.rows.parent, pair.schema)
        day = words.day(found.since)
        same = "of the same day" if found.since == pair.snapshot.as_of else "which is older than the one on show"
        moved = words.counted(sum(band.into for band in found.bands), "customer")
        missing = f" {words.counted(found.came, 'customer')} who came since are not in it." if found.came else ""
        return (
            f"The scoring of {day} by {version} is shown again as it was, {same}. {moved} stand in another band there.{missing}"
        )

    return pair.answer(("comes back", scoring), told)


# -- what both have ----------------------------------------------------------------


def _reason(key: str) -> str:
    return st.text_area("Why", key=key, max_chars=_MOST_WORDS, placeholder="Kept in the history, with your name", height=80)


def _says_why(reason: str) -> bool:
    if reason.strip():
        return True
    st.error("Say why: the history keeps it for whoever asks later.", icon=":material/error:")
    return False


def _begun(change: Change | None) -> None:
    if change is None:
        st.session_state[_REFUSED] = "Another change of the model is under way. Wait until it is done, and look again."
    else:
        st.session_state[_OURS] = change.id
    st.rerun()


def _progress(running: Change | None) -> None:
    """How far a change is, looked at again and again until it has ended; then the page is drawn anew."""
    if running is None:
        return

    @st.fragment(run_every=_TICK_S)
    def look() -> None:
        change = data.desk().changing.change
        if change is None or not change.running:
            st.rerun()
        else:
            share = min(change.done / change.total, 1.0) if change.total else 0.0
            far = f": {words.count(change.done)} of {words.count(change.total)}" if change.total > 3 else ""
            doing = words.lower_first(change.doing) or "beginning"
            st.progress(share, text=f"{escape(change.who)} puts {escape(change.to)} in use · {doing}{far}")

    look()


def _told() -> None:
    """What the change that this session began came to, once."""
    if refused := st.session_state.pop(_REFUSED, None):
        st.warning(refused, icon=":material/hourglass_top:")
    change = data.desk().changing.change
    if change is None or change.running or st.session_state.get(_OURS) != change.id:
        return
    del st.session_state[_OURS]
    if change.error is not None:
        lead = "You came second" if change.second else "Nothing was changed"
        st.error(f"{lead}: {escape(change.error)}.", icon=":material/error:")
    elif change.back:
        st.success(f"{escape(change.to)} is shown again as it was.", icon=":material/check:")
    else:
        scored = words.capital(words.counted(change.rescored, "customer"))
        st.success(f"{escape(change.to)} is in use. {scored} were scored with it.", icon=":material/check:")

"""The tables of the database, as they are now; `churn/base/migrations` says how an earlier one becomes like this.

Every row names its workspace. Times are UTC. What is evidence (`EVIDENCE`) is only ever added to: the database itself refuses to
change or delete there.
"""

from __future__ import annotations

import sqlalchemy as sql

FORMAT = 3  # also the name of the last migration; what an earlier desk looks at before it touches anything
REVISIONS = "churn_revision"  # where Alembic notes how far a database has come

METADATA = sql.MetaData()

ABOUT = sql.Table(
    "churn_about",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=False),  # one row, number 1
    sql.Column("format", sql.Integer, nullable=False),
    sql.Column("simulated", sql.Boolean, nullable=False),
    sql.Column("made", sql.DateTime(timezone=True), nullable=False),
)

SCENARIOS = sql.Table(
    "churn_scenarios",
    METADATA,
    sql.Column("token", sql.String(43), primary_key=True),  # what a link holds: random, so that nobody guesses another
    sql.Column("workspace", sql.String(200), nullable=False),
    sql.Column("customer", sql.Text, nullable=False),
    sql.Column("name", sql.Text, nullable=False),
    sql.Column("edits", sql.Text, nullable=False),  # JSON: [[column, value], …] in the order they were made
    sql.Column("since", sql.String(20), nullable=False),  # which kind of edit, see churn.understand.what_if
    sql.Column("model", sql.Text, nullable=False),
    sql.Column("scoring", sql.Text, nullable=False),
    sql.Column("risk", sql.Float, nullable=False),  # by that model, 0–1
    sql.Column("risk_before", sql.Float, nullable=False),
    sql.Column("who", sql.Text, nullable=False),
    sql.Column("made", sql.DateTime(timezone=True), nullable=False),
    sql.Column("deleted", sql.DateTime(timezone=True)),
    sql.Index("churn_scenarios_customer", "workspace", "customer"),
)

CAMPAIGNS = sql.Table(
    "churn_campaigns",
    METADATA,
    sql.Column("workspace", sql.String(200), primary_key=True),
    sql.Column("id", sql.String(80), primary_key=True),  # made of the name, for addresses and commands
    sql.Column("name", sql.Text, nullable=False),
    sql.Column("status", sql.String(20), nullable=False),  # draft, running, finished, dropped
    sql.Column("version", sql.Integer, nullable=False),  # rises with every change
    sql.Column("salt", sql.String(64), nullable=False),  # of the hash that draws the holdout
    sql.Column("holdout_share", sql.Float, nullable=False),  # as it was planned, 0–1
    sql.Column("model", sql.Text, nullable=False),
    sql.Column("scoring", sql.Text, nullable=False),
    sql.Column("as_of", sql.Date, nullable=False),  # the day the scoring is about
    sql.Column("horizon_days", sql.Integer, nullable=False),  # how long after the start an outcome still counts
    sql.Column("filter", sql.Text, nullable=False),  # JSON
    sql.Column("assumptions", sql.Text, nullable=False),  # JSON
    sql.Column("plan", sql.Text, nullable=False),  # JSON: offer, capacity, budget and whatever else the list was made from
    sql.Column("who", sql.Text, nullable=False),
    sql.Column("made", sql.DateTime(timezone=True), nullable=False),
    sql.Column("started", sql.DateTime(timezone=True)),
    sql.Column("finished", sql.DateTime(timezone=True)),
)

MEMBERS = sql.Table(
    "churn_members",
    METADATA,
    sql.Column("workspace", sql.String(200), primary_key=True),
    sql.Column("campaign", sql.String(80), primary_key=True),
    sql.Column("customer", sql.Text, primary_key=True),
    sql.Column("rank", sql.Integer, nullable=False),  # from 1, by expected value
    sql.Column("arm", sql.String(10), nullable=False),  # call, holdout
    sql.Column("band", sql.Text, nullable=False),  # of risk, by name: what the draw was balanced within
    sql.Column("risk", sql.Float, nullable=False),  # 0–1
    sql.Column("value", sql.Float),  # V, in the schema's currency
    sql.Column("expected_value", sql.Float),
    sql.Column("action", sql.Text),  # in words
    sql.Column("groups", sql.Text, nullable=False),  # JSON: column → group, on the day of the list
    sql.Column("owner", sql.Text),
    sql.Column("due", sql.Date),
    sql.Column("stage", sql.String(20), nullable=False),
    sql.Column("reason", sql.Text),
    sql.Column("contacted", sql.DateTime(timezone=True)),  # since when the stage says that somebody tried
    sql.Column("version", sql.Integer, nullable=False),  # rises with every edit: who edits says which one they saw
    sql.Index("churn_members_customer", "workspace", "customer"),
    sql.Index("churn_members_rank", "workspace", "campaign", "rank"),
)

EVENTS = sql.Table(
    "churn_events",
    METADATA,
    sql.Column("id", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sql.Column("workspace", sql.String(200), nullable=False),
    sql.Column("campaign", sql.String(80), nullable=False),
    sql.Column("customer", sql.Text),  # none where it is about the campaign itself
    sql.Column("field", sql.String(40), nullable=False),  # what was changed
    sql.Column("before", sql.Text),
    sql.Column("after", sql.Text),
    sql.Column("who", sql.Text, nullable=False),
    sql.Column("at", sql.DateTime(timezone=True), nullable=False),
    sql.Column("source", sql.String(20), nullable=False),  # page, import, command
    sql.Column("edit", sql.String(40), nullable=False),  # one edit may change several fields, an import several members
    sql.Column("version", sql.Integer),  # of the member, or of the campaign, after the edit
    sql.Index("churn_events_campaign", "workspace", "campaign", "id"),
    sql.Index("churn_events_customer", "workspace", "customer"),
)

EXPORTS = sql.Table(
    "churn_exports",
    METADATA,
    sql.Column("id", sql.String(40), primary_key=True),
    sql.Column("workspace", sql.String(200), nullable=False),
    sql.Column("campaign", sql.String(80)),  # none where a list was exported that is no campaign's
    sql.Column("kind", sql.String(20), nullable=False),  # xlsx, csv, dialler
    sql.Column("name", sql.Text, nullable=False),  # of the file
    sql.Column("filter", sql.Text, nullable=False),  # JSON
    sql.Column("model", sql.Text, nullable=False),
    sql.Column("scoring", sql.Text, nullable=False),
    sql.Column("assumptions", sql.Text, nullable=False),  # JSON
    sql.Column("plan", sql.Text, nullable=False),  # JSON, as a campaign's
    sql.Column("rows", sql.Integer, nullable=False),
    sql.Column("sha256", sql.String(64), nullable=False),
    sql.Column("unmasked", sql.Boolean, nullable=False),
    sql.Column("who", sql.Text, nullable=False),
    sql.Column("at", sql.DateTime(timezone=True), nullable=False),
    sql.Index("churn_exports_at", "workspace", "at"),
)

SEGMENTS = sql.Table(
    "churn_segments",
    METADATA,
    sql.Column("workspace", sql.String(200), primary_key=True),
    sql.Column("id", sql.String(80), primary_key=True),  # made of the name
    sql.Column("name", sql.Text, nullable=False),
    sql.Column("filter", sql.Text, nullable=False),  # JSON
    sql.Column("who", sql.Text, nullable=False),
    sql.Column("made", sql.DateTime(timezone=True), nullable=False),
    sql.Column("deleted", sql.DateTime(timezone=True)),
)

SEGMENT_COUNTS = sql.Table(
    "churn_segment_counts",
    METADATA,
    sql.Column("workspace", sql.String(200), primary_key=True),
    sql.Column("segment", sql.String(80), primary_key=True),
    sql.Column("scoring", sql.String(120), primary_key=True),
    sql.Column("as_of", sql.Date, nullable=False),
    sql.Column("customers", sql.Integer, nullable=False),
    sql.Column("expected_leavers", sql.Float, nullable=False),
    sql.Column("revenue_at_risk", sql.Float),
    sql.Column("counted", sql.DateTime(timezone=True), nullable=False),
)

ALERTS = sql.Table(
    "churn_alerts",
    METADATA,
    sql.Column("id", sql.String(40), primary_key=True),
    sql.Column("workspace", sql.String(200), nullable=False),
    sql.Column("slot", sql.String(400)),  # cause, subject and model while it is not closed: at most one such alert at a time
    sql.Column("cause", sql.String(40), nullable=False),
    sql.Column("subject", sql.Text, nullable=False),  # a column's name; empty where it is about no column
    sql.Column("model", sql.Text, nullable=False),  # empty where it is about no model
    sql.Column("state", sql.String(20), nullable=False),  # open, acknowledged, muted, closed
    sql.Column("words", sql.Text, nullable=False),  # what was found, last
    sql.Column("since", sql.Date),  # first day of the first window it was found in
    sql.Column("last", sql.Date),  # last day of the latest one
    sql.Column("until", sql.Date),  # muted up to and with that day
    sql.Column("who", sql.Text),  # acknowledged or muted it, and why
    sql.Column("why", sql.Text),
    sql.Column("opened", sql.DateTime(timezone=True), nullable=False),
    sql.Column("changed", sql.DateTime(timezone=True), nullable=False),
    sql.Column("closed", sql.DateTime(timezone=True)),
    sql.UniqueConstraint("workspace", "slot", name="churn_alerts_slot"),
    sql.Index("churn_alerts_opened", "workspace", "opened"),
)

ALERT_EVENTS = sql.Table(
    "churn_alert_events",
    METADATA,
    sql.Column("id", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sql.Column("workspace", sql.String(200), nullable=False),
    sql.Column("alert", sql.String(40), nullable=False),
    sql.Column("what", sql.String(20), nullable=False),  # opened, changed, acknowledged, muted, woken, closed, sent, failed
    sql.Column("detail", sql.Text),
    sql.Column("who", sql.Text, nullable=False),
    sql.Column("at", sql.DateTime(timezone=True), nullable=False),
    sql.Index("churn_alert_events_alert", "workspace", "alert", "id"),
)

ALERT_SENDINGS = sql.Table(
    "churn_alert_sendings",
    METADATA,
    sql.Column("alert", sql.String(40), primary_key=True),
    sql.Column("channel", sql.String(20), primary_key=True),
    sql.Column("workspace", sql.String(200), nullable=False),
    sql.Column("state", sql.String(20), nullable=False),  # sending, sent, failed
    sql.Column("attempts", sql.Integer, nullable=False),
    sql.Column("problem", sql.Text),
    sql.Column("at", sql.DateTime(timezone=True), nullable=False),
)

DECISIONS = sql.Table(
    "churn_decisions",
    METADATA,
    sql.Column("id", sql.String(40), primary_key=True),
    sql.Column("workspace", sql.String(200), nullable=False),
    sql.Column("slot", sql.String(400)),  # champion and cause of a trigger: there is one such at most
    sql.Column("kind", sql.String(20), nullable=False),  # due, waiting, blocked, promoted, shadow, stopped, failed, returned
    sql.Column("cause", sql.String(40), nullable=False),
    sql.Column("model", sql.Text, nullable=False),  # the champion it was made about
    sql.Column("challenger", sql.Text),
    sql.Column("answers", sql.String(40)),  # the trigger that this is the end of
    sql.Column("words", sql.Text, nullable=False),
    sql.Column("evidence", sql.Text, nullable=False),  # JSON
    sql.Column("day", sql.Date, nullable=False),  # the day it was made for
    sql.Column("who", sql.Text, nullable=False),
    sql.Column("at", sql.DateTime(timezone=True), nullable=False),
    sql.UniqueConstraint("workspace", "slot", name="churn_decisions_slot"),
    sql.Index("churn_decisions_at", "workspace", "at"),
)
EVIDENCE = (EVENTS, EXPORTS, ALERT_EVENTS, DECISIONS)

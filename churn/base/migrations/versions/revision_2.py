"""Campaigns with their members and history, exports, segments."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "2"
down_revision = "1"

_EVIDENCE = ("churn_events", "churn_exports")


def upgrade() -> None:
    op.create_table(
        "churn_campaigns",
        sql.Column("workspace", sql.String(200), primary_key=True),
        sql.Column("id", sql.String(80), primary_key=True),
        sql.Column("name", sql.Text, nullable=False),
        sql.Column("status", sql.String(20), nullable=False),
        sql.Column("version", sql.Integer, nullable=False),
        sql.Column("salt", sql.String(64), nullable=False),
        sql.Column("holdout_share", sql.Float, nullable=False),
        sql.Column("model", sql.Text, nullable=False),
        sql.Column("scoring", sql.Text, nullable=False),
        sql.Column("as_of", sql.Date, nullable=False),
        sql.Column("horizon_days", sql.Integer, nullable=False),
        sql.Column("filter", sql.Text, nullable=False),
        sql.Column("assumptions", sql.Text, nullable=False),
        sql.Column("plan", sql.Text, nullable=False),
        sql.Column("who", sql.Text, nullable=False),
        sql.Column("made", sql.DateTime(timezone=True), nullable=False),
        sql.Column("started", sql.DateTime(timezone=True)),
        sql.Column("finished", sql.DateTime(timezone=True)),
    )
    op.create_table(
        "churn_members",
        sql.Column("workspace", sql.String(200), primary_key=True),
        sql.Column("campaign", sql.String(80), primary_key=True),
        sql.Column("customer", sql.Text, primary_key=True),
        sql.Column("rank", sql.Integer, nullable=False),
        sql.Column("arm", sql.String(10), nullable=False),
        sql.Column("band", sql.Text, nullable=False),
        sql.Column("risk", sql.Float, nullable=False),
        sql.Column("value", sql.Float),
        sql.Column("expected_value", sql.Float),
        sql.Column("action", sql.Text),
        sql.Column("groups", sql.Text, nullable=False),
        sql.Column("owner", sql.Text),
        sql.Column("due", sql.Date),
        sql.Column("stage", sql.String(20), nullable=False),
        sql.Column("reason", sql.Text),
        sql.Column("contacted", sql.DateTime(timezone=True)),
        sql.Column("version", sql.Integer, nullable=False),
    )
    op.create_index("churn_members_customer", "churn_members", ["workspace", "customer"])
    op.create_index("churn_members_rank", "churn_members", ["workspace", "campaign", "rank"])
    op.create_table(
        "churn_events",
        sql.Column("id", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sql.Column("workspace", sql.String(200), nullable=False),
        sql.Column("campaign", sql.String(80), nullable=False),
        sql.Column("customer", sql.Text),
        sql.Column("field", sql.String(40), nullable=False),
        sql.Column("before", sql.Text),
        sql.Column("after", sql.Text),
        sql.Column("who", sql.Text, nullable=False),
        sql.Column("at", sql.DateTime(timezone=True), nullable=False),
        sql.Column("source", sql.String(20), nullable=False),
        sql.Column("edit", sql.String(40), nullable=False),
        sql.Column("version", sql.Integer),
    )
    op.create_index("churn_events_campaign", "churn_events", ["workspace", "campaign", "id"])
    op.create_index("churn_events_customer", "churn_events", ["workspace", "customer"])
    op.create_table(
        "churn_exports",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("workspace", sql.String(200), nullable=False),
        sql.Column("campaign", sql.String(80)),
        sql.Column("kind", sql.String(20), nullable=False),
        sql.Column("name", sql.Text, nullable=False),
        sql.Column("filter", sql.Text, nullable=False),
        sql.Column("model", sql.Text, nullable=False),
        sql.Column("scoring", sql.Text, nullable=False),
        sql.Column("assumptions", sql.Text, nullable=False),
        sql.Column("plan", sql.Text, nullable=False),
        sql.Column("rows", sql.Integer, nullable=False),
        sql.Column("sha256", sql.String(64), nullable=False),
        sql.Column("unmasked", sql.Boolean, nullable=False),
        sql.Column("who", sql.Text, nullable=False),
        sql.Column("at", sql.DateTime(timezone=True), nullable=False),
    )
    op.create_index("churn_exports_at", "churn_exports", ["workspace", "at"])
    op.create_table(
        "churn_segments",
        sql.Column("workspace", sql.String(200), primary_key=True),
        sql.Column("id", sql.String(80), primary_key=True),
        sql.Column("name", sql.Text, nullable=False),
        sql.Column("filter", sql.Text, nullable=False),
        sql.Column("who", sql.Text, nullable=False),
        sql.Column("made", sql.DateTime(timezone=True), nullable=False),
        sql.Column("deleted", sql.DateTime(timezone=True)),
    )
    op.create_table(
        "churn_segment_counts",
        sql.Column("workspace", sql.String(200), primary_key=True),
        sql.Column("segment", sql.String(80), primary_key=True),
        sql.Column("scoring", sql.String(120), primary_key=True),
        sql.Column("as_of", sql.Date, nullable=False),
        sql.Column("customers", sql.Integer, nullable=False),
        sql.Column("expected_leavers", sql.Float, nullable=False),
        sql.Column("revenue_at_risk", sql.Float),
        sql.Column("counted", sql.DateTime(timezone=True), nullable=False),
    )
    _only_add()
    op.execute("UPDATE churn_about SET format = 2")


def _only_add() -> None:
    """Let nobody change or delete what is evidence, whatever program they use."""
    if op.get_bind().dialect.name == "sqlite":
        for table in _EVIDENCE:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is only added to'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION churn_only_added() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is only added to', TG_TABLE_NAME; END $$"
    )
    for table in _EVIDENCE:
        op.execute(
            f"CREATE TRIGGER {table}_only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION churn_only_added()"
        )

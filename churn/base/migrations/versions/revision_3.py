"""Alerts with their history and what was sent of them; decisions about renewing the model."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "3"
down_revision = "2"

_EVIDENCE = ("churn_alert_events", "churn_decisions")


def upgrade() -> None:
    op.create_table(
        "churn_alerts",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("workspace", sql.String(200), nullable=False),
        sql.Column("slot", sql.String(400)),
        sql.Column("cause", sql.String(40), nullable=False),
        sql.Column("subject", sql.Text, nullable=False),
        sql.Column("model", sql.Text, nullable=False),
        sql.Column("state", sql.String(20), nullable=False),
        sql.Column("words", sql.Text, nullable=False),
        sql.Column("since", sql.Date),
        sql.Column("last", sql.Date),
        sql.Column("until", sql.Date),
        sql.Column("who", sql.Text),
        sql.Column("why", sql.Text),
        sql.Column("opened", sql.DateTime(timezone=True), nullable=False),
        sql.Column("changed", sql.DateTime(timezone=True), nullable=False),
        sql.Column("closed", sql.DateTime(timezone=True)),
        sql.UniqueConstraint("workspace", "slot", name="churn_alerts_slot"),
    )
    op.create_index("churn_alerts_opened", "churn_alerts", ["workspace", "opened"])
    op.create_table(
        "churn_alert_events",
        sql.Column("id", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sql.Column("workspace", sql.String(200), nullable=False),
        sql.Column("alert", sql.String(40), nullable=False),
        sql.Column("what", sql.String(20), nullable=False),
        sql.Column("detail", sql.Text),
        sql.Column("who", sql.Text, nullable=False),
        sql.Column("at", sql.DateTime(timezone=True), nullable=False),
    )
    op.create_index("churn_alert_events_alert", "churn_alert_events", ["workspace", "alert", "id"])
    op.create_table(
        "churn_alert_sendings",
        sql.Column("alert", sql.String(40), primary_key=True),
        sql.Column("channel", sql.String(20), primary_key=True),
        sql.Column("workspace", sql.String(200), nullable=False),
        sql.Column("state", sql.String(20), nullable=False),
        sql.Column("attempts", sql.Integer, nullable=False),
        sql.Column("problem", sql.Text),
        sql.Column("at", sql.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "churn_decisions",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("workspace", sql.String(200), nullable=False),
        sql.Column("slot", sql.String(400)),
        sql.Column("kind", sql.String(20), nullable=False),
        sql.Column("cause", sql.String(40), nullable=False),
        sql.Column("model", sql.Text, nullable=False),
        sql.Column("challenger", sql.Text),
        sql.Column("answers", sql.String(40)),
        sql.Column("words", sql.Text, nullable=False),
        sql.Column("evidence", sql.Text, nullable=False),
        sql.Column("day", sql.Date, nullable=False),
        sql.Column("who", sql.Text, nullable=False),
        sql.Column("at", sql.DateTime(timezone=True), nullable=False),
        sql.UniqueConstraint("workspace", "slot", name="churn_decisions_slot"),
    )
    op.create_index("churn_decisions_at", "churn_decisions", ["workspace", "at"])
    _only_add()
    op.execute("UPDATE churn_about SET format = 3")


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
    for table in _EVIDENCE:  # the function is revision 2's
        op.execute(
            f"CREATE TRIGGER {table}_only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION churn_only_added()"
        )

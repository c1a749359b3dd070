"""Scenarios; what databases held before there were migrations."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "churn_about",
        sql.Column("id", sql.Integer, primary_key=True, autoincrement=False),
        sql.Column("format", sql.Integer, nullable=False),
        sql.Column("simulated", sql.Boolean, nullable=False),
        sql.Column("made", sql.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "churn_scenarios",
        sql.Column("token", sql.String(43), primary_key=True),
        sql.Column("workspace", sql.String(200), nullable=False),
        sql.Column("customer", sql.Text, nullable=False),
        sql.Column("name", sql.Text, nullable=False),
        sql.Column("edits", sql.Text, nullable=False),
        sql.Column("since", sql.String(20), nullable=False),
        sql.Column("model", sql.Text, nullable=False),
        sql.Column("scoring", sql.Text, nullable=False),
        sql.Column("risk", sql.Float, nullable=False),
        sql.Column("risk_before", sql.Float, nullable=False),
        sql.Column("who", sql.Text, nullable=False),
        sql.Column("made", sql.DateTime(timezone=True), nullable=False),
        sql.Column("deleted", sql.DateTime(timezone=True)),
    )
    op.create_index("churn_scenarios_customer", "churn_scenarios", ["workspace", "customer"])

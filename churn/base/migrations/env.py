"""Alembic's entry: runs the steps on the connection, and within the transaction, that `churn.base.records` hands over."""

from __future__ import annotations

from alembic import context

from churn.base._tables import METADATA, REVISIONS

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=REVISIONS)
context.run_migrations()

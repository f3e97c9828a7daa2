"""What Alembic runs: the migrations, over the connection and inside the transaction that the runner holds."""

from __future__ import annotations

from alembic import context

from core.tables import Base
from migrations.rendering import render_item

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=render_item,
    compare_type=True,
)
context.run_migrations()

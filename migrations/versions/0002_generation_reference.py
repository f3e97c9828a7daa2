"""Schema 0002: generation reference."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "generation_reference",
        sa.Column("generation_id", BIG, autoincrement=False, nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation_id"], ["generation.id"], name=op.f("fk_generation_reference_generation_id")
        ),
        sa.PrimaryKeyConstraint("generation_id", name=op.f("pk_generation_reference")),
        sqlite_autoincrement=False,
    )


def downgrade() -> None:
    """Back to the revision before."""
    op.drop_table("generation_reference")

"""Schema 0003: erasure."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """To this revision."""
    op.create_table(
        "erased_object",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("source_id", BIG, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_erased_object_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erased_object")),
        sa.UniqueConstraint("source_id", "digest", name=op.f("uq_erased_object_source_id_digest")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "erasure",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("public_id", sa.String(), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", BIG, nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("names", sa.String(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("garbage_until", BIG, nullable=True),
        sa.Column("done", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("proof", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("priority", BIG, nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("lease_token", BIG, nullable=False),
        sa.Column("stamped_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_erasure_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
        sa.UniqueConstraint("public_id", name=op.f("uq_erasure_public_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.add_column(sa.Column("redaction", sa.LargeBinary(), nullable=True))

    if op.get_bind().dialect.name == "postgresql":
        says = "(SELECT current_setting('ambit.tenant', true))"
        whose = "(SELECT nullif(nullif(current_setting('ambit.tenant', true), ''), '*')::bigint)"
        for table, condition in [("erased_object", "tenant_id = WHOSE"), ("erasure", "tenant_id = WHOSE")]:
            rule = condition.replace("WHOSE", whose)
            op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
            op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
            op.execute(f"CREATE POLICY tenant ON \"{table}\" USING ({says} = '*' OR {rule})")


def downgrade() -> None:
    """Back to the revision before."""
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.drop_column("redaction")

    op.drop_table("erasure")
    op.drop_table("erased_object")

"""Schema 0001: first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:  # noqa: PLR0915
    """To this revision."""
    op.create_table(
        "generation",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("encoder", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("dimension", BIG, nullable=False),
        sa.Column("sparse", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("collection", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generation")),
        sa.UniqueConstraint("collection", name=op.f("uq_generation_collection")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "stage_time",
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("le_ms", BIG, autoincrement=False, nullable=False),
        sa.Column("turns", BIG, nullable=False),
        sa.Column("total_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("stage", "le_ms", name=op.f("pk_stage_time")),
        sqlite_autoincrement=False,
    )
    op.create_table(
        "tenant",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("classifications", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
        sa.UniqueConstraint("key", name=op.f("uq_tenant_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "worker_beat",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("stages", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("beat_at", sa.BigInteger(), nullable=False),
        sa.Column("worked_at", sa.BigInteger(), nullable=True),
        sa.Column("refused", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker_beat")),
        sa.UniqueConstraint("name", name=op.f("uq_worker_beat_name")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("worker_beat", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_worker_beat_beat_at"), ["beat_at"], unique=False)

    op.create_table(
        "ace",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("node_id", BIG, nullable=False),
        sa.Column("principal_id", BIG, nullable=False),
        sa.Column("effect", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("app_id", BIG, nullable=True),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("waived", sa.Boolean(), nullable=False),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.Column("epoch_to", BIG, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_ace_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ace")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("ace", schema=None) as batch_op:
        batch_op.create_index(
            "ix_ace_begins_open",
            ["tenant_id", "not_before"],
            unique=False,
            sqlite_where=sa.text("epoch_to IS NULL AND not_before IS NOT NULL"),
            postgresql_where=sa.text("epoch_to IS NULL AND not_before IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_ace_ends_open",
            ["tenant_id", "expires_at"],
            unique=False,
            sqlite_where=sa.text("epoch_to IS NULL AND expires_at IS NOT NULL"),
            postgresql_where=sa.text("epoch_to IS NULL AND expires_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_ace_node_open",
            ["node_id"],
            unique=False,
            sqlite_where=sa.text("epoch_to IS NULL"),
            postgresql_where=sa.text("epoch_to IS NULL"),
        )
        batch_op.create_index(
            "ix_ace_principal_open",
            ["principal_id", "effect"],
            unique=False,
            sqlite_where=sa.text("epoch_to IS NULL"),
            postgresql_where=sa.text("epoch_to IS NULL"),
        )

    op.create_table(
        "acl_node",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("source_id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("document_id", BIG, nullable=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("parent_id", BIG, nullable=True),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("access_hash", sa.String(), nullable=False),
        sa.Column("pending", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("pending_run_id", BIG, nullable=True),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_acl_node_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acl_node")),
        sa.UniqueConstraint("source_id", "key", name=op.f("uq_acl_node_source_id_key")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("acl_node", schema=None) as batch_op:
        batch_op.create_index("ix_acl_node_below", ["tenant_id", "parent_id", "mode"], unique=False)
        batch_op.create_index(
            "ix_acl_node_closed",
            ["tenant_id"],
            unique=False,
            sqlite_where=sa.text("closed"),
            postgresql_where=sa.text("closed"),
        )
        batch_op.create_index(
            "ix_acl_node_document",
            ["document_id"],
            unique=False,
            sqlite_where=sa.text("document_id IS NOT NULL"),
            postgresql_where=sa.text("document_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_acl_node_narrow",
            ["tenant_id", "mode", "parent_id"],
            unique=False,
            sqlite_where=sa.text("mode = 'narrow'"),
            postgresql_where=sa.text("mode = 'narrow'"),
        )

    op.create_table(
        "admin_grant",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("principal_id", BIG, nullable=False),
        sa.Column("effect", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("rights", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("objects", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("app_id", BIG, nullable=True),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.Column("epoch_to", BIG, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_admin_grant_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin_grant")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("admin_grant", schema=None) as batch_op:
        batch_op.create_index(
            "ix_admin_grant_open",
            ["tenant_id", "principal_id"],
            unique=False,
            sqlite_where=sa.text("epoch_to IS NULL"),
            postgresql_where=sa.text("epoch_to IS NULL"),
        )

    op.create_table(
        "api_key",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("app_id", BIG, nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("rights", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_api_key_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_key_prefix")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "app",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("sources", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("acts_for", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("models", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_app_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("uq_app_tenant_id_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "approval",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("public_id", sa.String(), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("needs", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("summary", sa.String(), nullable=False),
        sa.Column("effect", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("proposer", sa.String(), nullable=False),
        sa.Column("hand", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_approval_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval")),
        sa.UniqueConstraint("public_id", name=op.f("uq_approval_public_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("approval", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_approval_tenant_id_state"), ["tenant_id", "state"], unique=False)

    op.create_table(
        "audit_entry",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("request", sa.String(), nullable=True),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("seq", BIG, nullable=True),
        sa.Column("chain", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_audit_entry_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_entry_tenant_id_id"), ["tenant_id", "id"], unique=False)
        batch_op.create_index(
            "ix_audit_entry_waiting",
            ["tenant_id", "id"],
            unique=False,
            sqlite_where=sa.text("seq IS NULL"),
            postgresql_where=sa.text("seq IS NULL"),
        )
        batch_op.create_index(
            "uq_audit_entry_seq",
            ["tenant_id", "seq"],
            unique=True,
            sqlite_where=sa.text("seq IS NOT NULL"),
            postgresql_where=sa.text("seq IS NOT NULL"),
        )

    op.create_table(
        "break_glass",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("public_id", sa.String(), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("user_key", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("places", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("entries", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_break_glass_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_break_glass")),
        sa.UniqueConstraint("public_id", name=op.f("uq_break_glass_public_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("break_glass", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_break_glass_tenant_id_user_id_ends_at"), ["tenant_id", "user_id", "ends_at"], unique=False
        )

    op.create_table(
        "config_object",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("revision", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_config_object_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_config_object")),
        sa.UniqueConstraint("tenant_id", "kind", "key", name=op.f("uq_config_object_tenant_id_kind_key")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("config_object", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_config_object_tenant_id_kind"), ["tenant_id", "kind"], unique=False)

    op.create_table(
        "directory",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("config", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("schedule", sa.String(), nullable=True),
        sa.Column("max_age_s", BIG, nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("synced_at", sa.BigInteger(), nullable=True),
        sa.Column("tried_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("told", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_directory_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_directory")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("uq_directory_tenant_id_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "document",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("public_id", sa.String(), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("source_id", BIG, nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("node_id", BIG, nullable=False),
        sa.Column("pending_node_id", BIG, nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version_id", BIG, nullable=True),
        sa.Column("source_version", sa.String(), nullable=True),
        sa.Column("content_hash", sa.String(), nullable=True),
        sa.Column("seen_run_id", BIG, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_document_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
        sa.UniqueConstraint("public_id", name=op.f("uq_document_public_id")),
        sa.UniqueConstraint("source_id", "external_id", name=op.f("uq_document_source_id_external_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("document", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_document_node_id"), ["node_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_document_source_id_seen_run_id"), ["source_id", "seen_run_id"], unique=False
        )

    op.create_table(
        "epoch_time",
        sa.Column("tenant_id", BIG, autoincrement=False, nullable=False),
        sa.Column("epoch", BIG, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_epoch_time_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "epoch", name=op.f("pk_epoch_time")),
        sqlite_autoincrement=False,
    )
    with op.batch_alter_table("epoch_time", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_epoch_time_tenant_id_at"), ["tenant_id", "at"], unique=False)

    op.create_table(
        "external_identity",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("authority", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("subject_id", BIG, nullable=False),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("linked", sa.Boolean(), nullable=False),
        sa.Column("revision", BIG, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_external_identity_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_external_identity")),
        sa.UniqueConstraint(
            "tenant_id",
            "authority",
            "kind",
            "external_id",
            name=op.f("uq_external_identity_tenant_id_authority_kind_external_id"),
        ),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("external_identity", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_external_identity_tenant_id_authority_kind_name"),
            ["tenant_id", "authority", "kind", "name"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_external_identity_tenant_id_kind_subject_id"),
            ["tenant_id", "kind", "subject_id"],
            unique=False,
        )

    op.create_table(
        "facet",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_facet_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_facet")),
        sa.UniqueConstraint("tenant_id", "name", "value", name=op.f("uq_facet_tenant_id_name_value")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "group",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_group_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("uq_group_tenant_id_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "idempotency_key",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("app_id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_hash", sa.String(), nullable=False),
        sa.Column("status", BIG, nullable=False),
        sa.Column("response", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_idempotency_key_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_key")),
        sa.UniqueConstraint("tenant_id", "app_id", "key", name=op.f("uq_idempotency_key_tenant_id_app_id_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "item",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("public_id", sa.String(), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("source_id", BIG, nullable=False),
        sa.Column("document_id", BIG, nullable=True),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("payload", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("version_id", BIG, nullable=True),
        sa.Column("widens", sa.Boolean(), nullable=False),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error_detail", sa.String(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("priority", BIG, nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("lease_token", BIG, nullable=False),
        sa.Column("stamped_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_item_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
        sa.UniqueConstraint("public_id", name=op.f("uq_item_public_id")),
        sa.UniqueConstraint("run_id", "external_id", "stage", name=op.f("uq_item_run_id_external_id_stage")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_item_document_id"), ["document_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_item_state_stage_not_before"), ["state", "stage", "not_before"], unique=False
        )

    op.create_table(
        "label",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("node_id", BIG, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.Column("epoch_to", BIG, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_label_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.create_index(
            "ix_label_node_open",
            ["tenant_id", "node_id"],
            unique=False,
            sqlite_where=sa.text("epoch_to IS NULL"),
            postgresql_where=sa.text("epoch_to IS NULL"),
        )

    op.create_table(
        "membership",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("container_id", BIG, nullable=False),
        sa.Column("member_id", BIG, nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.Column("epoch_to", BIG, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_membership_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_membership")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.create_index(
            "ix_membership_member_open",
            ["tenant_id", "member_id", "container_id"],
            unique=False,
            sqlite_where=sa.text("epoch_to IS NULL"),
            postgresql_where=sa.text("epoch_to IS NULL"),
        )
        batch_op.create_index(
            "uq_membership_open",
            ["tenant_id", "container_id", "member_id", "origin"],
            unique=True,
            sqlite_where=sa.text("epoch_to IS NULL"),
            postgresql_where=sa.text("epoch_to IS NULL"),
        )

    op.create_table(
        "point_garbage",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("generation_id", BIG, nullable=False),
        sa.Column("point_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("priority", BIG, nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("lease_token", BIG, nullable=False),
        sa.Column("stamped_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["generation_id"], ["generation.id"], name=op.f("fk_point_garbage_generation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_point_garbage")),
        sa.UniqueConstraint("generation_id", "point_id", name=op.f("uq_point_garbage_generation_id_point_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "policy",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("effect", sa.String(), nullable=False),
        sa.Column("condition", sa.String(), nullable=False),
        sa.Column("enforced", sa.Boolean(), nullable=False),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.Column("epoch_to", BIG, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_policy_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("policy", schema=None) as batch_op:
        batch_op.create_index(
            "uq_policy_open",
            ["tenant_id", "key"],
            unique=True,
            sqlite_where=sa.text("epoch_to IS NULL"),
            postgresql_where=sa.text("epoch_to IS NULL"),
        )

    op.create_table(
        "policy_epoch",
        sa.Column("tenant_id", BIG, autoincrement=False, nullable=False),
        sa.Column("epoch", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_policy_epoch_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_policy_epoch")),
        sqlite_autoincrement=False,
    )
    op.create_table(
        "principal",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("subject_id", BIG, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_principal_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principal")),
        sa.UniqueConstraint("tenant_id", "kind", "key", name=op.f("uq_principal_tenant_id_kind_key")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("principal", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_principal_tenant_id_kind_subject_id"), ["tenant_id", "kind", "subject_id"], unique=False
        )

    op.create_table(
        "run",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("public_id", sa.String(), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("source_id", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("checkpoint", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("listed", BIG, nullable=False),
        sa.Column("unchanged", BIG, nullable=False),
        sa.Column("deleted", BIG, nullable=False),
        sa.Column("listed_all", sa.Boolean(), nullable=False),
        sa.Column("access_failed", sa.Boolean(), nullable=False),
        sa.Column("widened", BIG, nullable=False),
        sa.Column("held_for", sa.String(), nullable=True),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error_detail", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("priority", BIG, nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("lease_token", BIG, nullable=False),
        sa.Column("stamped_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_run_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("public_id", name=op.f("uq_run_public_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_source_id_id"), ["source_id", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_state_not_before"), ["state", "not_before"], unique=False)

    op.create_table(
        "secret",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_secret_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_secret")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("uq_secret_tenant_id_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "source",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("config", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("access", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("schedule", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("max_access_age_s", BIG, nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("priority", BIG, nullable=False),
        sa.Column("cursor", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("access_cursor", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("structure", sa.String(), nullable=True),
        sa.Column("content_synced_at", sa.BigInteger(), nullable=True),
        sa.Column("access_synced_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_source_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("uq_source_tenant_id_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "state_history",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", BIG, nullable=False),
        sa.Column("state", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.Column("epoch_to", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_state_history_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_state_history")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("state_history", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_state_history_tenant_id_kind_subject_id_epoch_from"),
            ["tenant_id", "kind", "subject_id", "epoch_from"],
            unique=False,
        )

    op.create_table(
        "upload",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("source_id", BIG, nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_upload_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "user",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("attributes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("stated", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("epoch_from", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_user_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("tenant_id", "key", name=op.f("uq_user_tenant_id_key")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("user", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_user_tenant_id_email"), ["tenant_id", "email"], unique=False)

    op.create_table(
        "chunk",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("document_id", BIG, nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("ordinal", BIG, nullable=False),
        sa.Column("context", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("tokens", BIG, nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_chunk_document_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_chunk_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chunk")),
        sa.UniqueConstraint("document_id", "hash", "ordinal", name=op.f("uq_chunk_document_id_hash_ordinal")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "document_band",
        sa.Column("document_id", BIG, nullable=False),
        sa.Column("place", BIG, nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("band", BIG, nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_band_document_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_document_band_tenant_id")),
        sa.PrimaryKeyConstraint("document_id", "place", name=op.f("pk_document_band")),
        sqlite_autoincrement=False,
    )
    with op.batch_alter_table("document_band", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_document_band_tenant_id_band"), ["tenant_id", "band"], unique=False)

    op.create_table(
        "document_finding",
        sa.Column("document_id", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_finding_document_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_document_finding_tenant_id")),
        sa.PrimaryKeyConstraint("document_id", "kind", name=op.f("pk_document_finding")),
        sqlite_autoincrement=False,
    )
    with op.batch_alter_table("document_finding", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_document_finding_kind"), ["kind"], unique=False)

    op.create_table(
        "document_profile",
        sa.Column("document_id", BIG, nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("version_id", BIG, nullable=False),
        sa.Column("chunks", BIG, nullable=False),
        sa.Column("tokens", BIG, nullable=False),
        sa.Column("text_hash", sa.String(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.Column("near_group", BIG, nullable=True),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_profile_document_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_document_profile_tenant_id")),
        sa.PrimaryKeyConstraint("document_id", name=op.f("pk_document_profile")),
        sqlite_autoincrement=False,
    )
    with op.batch_alter_table("document_profile", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_document_profile_near_group"), ["near_group"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_document_profile_tenant_id_text_hash"), ["tenant_id", "text_hash"], unique=False
        )

    op.create_table(
        "document_version",
        sa.Column("id", BIG, sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("document_id", BIG, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("source_version", sa.String(), nullable=True),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("uri", sa.String(), nullable=False),
        sa.Column("mime", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("author", sa.String(), nullable=True),
        sa.Column("modified_at", sa.BigInteger(), nullable=True),
        sa.Column("size", BIG, nullable=False),
        sa.Column("attributes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("profiled", BIG, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("fk_document_version_document_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_document_version_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document_version")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("document_version", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_document_version_document_id"), ["document_id"], unique=False)
        batch_op.create_index(
            "ix_document_version_old",
            ["state"],
            unique=False,
            sqlite_where=sa.text("state = 'old'"),
            postgresql_where=sa.text("state = 'old'"),
        )
        batch_op.create_index(
            "ix_document_version_unseen",
            ["id"],
            unique=False,
            sqlite_where=sa.text("state = 'current' AND profiled = 0"),
            postgresql_where=sa.text("state = 'current' AND profiled = 0"),
        )

    op.create_table(
        "policy_count",
        sa.Column("policy_id", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("queries", BIG, nullable=False),
        sa.Column("documents", BIG, nullable=False),
        sa.Column("places", BIG, nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["policy_id"], ["policy.id"], name=op.f("fk_policy_count_policy_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_policy_count_tenant_id")),
        sa.PrimaryKeyConstraint("policy_id", name=op.f("pk_policy_count")),
        sqlite_autoincrement=False,
    )
    op.create_table(
        "chunk_point",
        sa.Column("generation_id", BIG, nullable=False),
        sa.Column("chunk_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunk.id"], name=op.f("fk_chunk_point_chunk_id")),
        sa.ForeignKeyConstraint(["generation_id"], ["generation.id"], name=op.f("fk_chunk_point_generation_id")),
        sa.PrimaryKeyConstraint("generation_id", "chunk_id", name=op.f("pk_chunk_point")),
        sqlite_autoincrement=False,
    )
    with op.batch_alter_table("chunk_point", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_chunk_point_chunk_id"), ["chunk_id"], unique=False)

    op.create_table(
        "version_chunk",
        sa.Column("version_id", BIG, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.Column("chunk_id", BIG, nullable=False),
        sa.Column("page", BIG, nullable=True),
        sa.Column("heading", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["chunk_id"], ["chunk.id"], name=op.f("fk_version_chunk_chunk_id")),
        sa.ForeignKeyConstraint(["version_id"], ["document_version.id"], name=op.f("fk_version_chunk_version_id")),
        sa.PrimaryKeyConstraint("version_id", "position", name=op.f("pk_version_chunk")),
        sqlite_autoincrement=False,
    )
    with op.batch_alter_table("version_chunk", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_version_chunk_chunk_id"), ["chunk_id"], unique=False)

    if op.get_bind().dialect.name == "postgresql":
        says = "(SELECT current_setting('ambit.tenant', true))"
        whose = "(SELECT nullif(nullif(current_setting('ambit.tenant', true), ''), '*')::bigint)"
        for table, condition in [
            ("tenant", "id = WHOSE"),
            ("ace", "tenant_id = WHOSE"),
            ("acl_node", "tenant_id = WHOSE"),
            ("admin_grant", "tenant_id = WHOSE"),
            ("api_key", "tenant_id = WHOSE"),
            ("app", "tenant_id = WHOSE"),
            ("approval", "tenant_id = WHOSE"),
            ("audit_entry", "tenant_id = WHOSE"),
            ("break_glass", "tenant_id = WHOSE"),
            ("config_object", "tenant_id = WHOSE"),
            ("directory", "tenant_id = WHOSE"),
            ("document", "tenant_id = WHOSE"),
            ("epoch_time", "tenant_id = WHOSE"),
            ("external_identity", "tenant_id = WHOSE"),
            ("facet", "tenant_id = WHOSE"),
            ("group", "tenant_id = WHOSE"),
            ("idempotency_key", "tenant_id = WHOSE"),
            ("item", "tenant_id = WHOSE"),
            ("label", "tenant_id = WHOSE"),
            ("membership", "tenant_id = WHOSE"),
            ("policy", "tenant_id = WHOSE"),
            ("policy_epoch", "tenant_id = WHOSE"),
            ("principal", "tenant_id = WHOSE"),
            ("run", "tenant_id = WHOSE"),
            ("secret", "tenant_id = WHOSE"),
            ("source", "tenant_id = WHOSE"),
            ("state_history", "tenant_id = WHOSE"),
            ("upload", "tenant_id = WHOSE"),
            ("user", "tenant_id = WHOSE"),
            ("chunk", "tenant_id = WHOSE"),
            ("document_band", "tenant_id = WHOSE"),
            ("document_finding", "tenant_id = WHOSE"),
            ("document_profile", "tenant_id = WHOSE"),
            ("document_version", "tenant_id = WHOSE"),
            ("policy_count", "tenant_id = WHOSE"),
            ("chunk_point", "EXISTS (SELECT FROM chunk owner WHERE owner.id = chunk_point.chunk_id)"),
            ("version_chunk", "EXISTS (SELECT FROM document_version owner WHERE owner.id = version_chunk.version_id)"),
        ]:
            rule = condition.replace("WHOSE", whose)
            op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
            op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
            op.execute(f"CREATE POLICY tenant ON \"{table}\" USING ({says} = '*' OR {rule})")


def downgrade() -> None:  # noqa: PLR0915
    """Back to the revision before."""
    with op.batch_alter_table("version_chunk", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_version_chunk_chunk_id"))

    op.drop_table("version_chunk")
    with op.batch_alter_table("chunk_point", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_chunk_point_chunk_id"))

    op.drop_table("chunk_point")
    op.drop_table("policy_count")
    with op.batch_alter_table("document_version", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_document_version_unseen",
            sqlite_where=sa.text("state = 'current' AND profiled = 0"),
            postgresql_where=sa.text("state = 'current' AND profiled = 0"),
        )
        batch_op.drop_index(
            "ix_document_version_old", sqlite_where=sa.text("state = 'old'"), postgresql_where=sa.text("state = 'old'")
        )
        batch_op.drop_index(batch_op.f("ix_document_version_document_id"))

    op.drop_table("document_version")
    with op.batch_alter_table("document_profile", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_document_profile_tenant_id_text_hash"))
        batch_op.drop_index(batch_op.f("ix_document_profile_near_group"))

    op.drop_table("document_profile")
    with op.batch_alter_table("document_finding", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_document_finding_kind"))

    op.drop_table("document_finding")
    with op.batch_alter_table("document_band", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_document_band_tenant_id_band"))

    op.drop_table("document_band")
    op.drop_table("chunk")
    with op.batch_alter_table("user", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_user_tenant_id_email"))

    op.drop_table("user")
    op.drop_table("upload")
    with op.batch_alter_table("state_history", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_state_history_tenant_id_kind_subject_id_epoch_from"))

    op.drop_table("state_history")
    op.drop_table("source")
    op.drop_table("secret")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_state_not_before"))
        batch_op.drop_index(batch_op.f("ix_run_source_id_id"))

    op.drop_table("run")
    with op.batch_alter_table("principal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_principal_tenant_id_kind_subject_id"))

    op.drop_table("principal")
    op.drop_table("policy_epoch")
    with op.batch_alter_table("policy", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_policy_open", sqlite_where=sa.text("epoch_to IS NULL"), postgresql_where=sa.text("epoch_to IS NULL")
        )

    op.drop_table("policy")
    op.drop_table("point_garbage")
    with op.batch_alter_table("membership", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_membership_open", sqlite_where=sa.text("epoch_to IS NULL"), postgresql_where=sa.text("epoch_to IS NULL")
        )
        batch_op.drop_index(
            "ix_membership_member_open",
            sqlite_where=sa.text("epoch_to IS NULL"),
            postgresql_where=sa.text("epoch_to IS NULL"),
        )

    op.drop_table("membership")
    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_label_node_open", sqlite_where=sa.text("epoch_to IS NULL"), postgresql_where=sa.text("epoch_to IS NULL")
        )

    op.drop_table("label")
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_item_state_stage_not_before"))
        batch_op.drop_index(batch_op.f("ix_item_document_id"))

    op.drop_table("item")
    op.drop_table("idempotency_key")
    op.drop_table("group")
    op.drop_table("facet")
    with op.batch_alter_table("external_identity", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_external_identity_tenant_id_kind_subject_id"))
        batch_op.drop_index(batch_op.f("ix_external_identity_tenant_id_authority_kind_name"))

    op.drop_table("external_identity")
    with op.batch_alter_table("epoch_time", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_epoch_time_tenant_id_at"))

    op.drop_table("epoch_time")
    with op.batch_alter_table("document", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_document_source_id_seen_run_id"))
        batch_op.drop_index(batch_op.f("ix_document_node_id"))

    op.drop_table("document")
    op.drop_table("directory")
    with op.batch_alter_table("config_object", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_config_object_tenant_id_kind"))

    op.drop_table("config_object")
    with op.batch_alter_table("break_glass", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_break_glass_tenant_id_user_id_ends_at"))

    op.drop_table("break_glass")
    with op.batch_alter_table("audit_entry", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_audit_entry_seq", sqlite_where=sa.text("seq IS NOT NULL"), postgresql_where=sa.text("seq IS NOT NULL")
        )
        batch_op.drop_index(
            "ix_audit_entry_waiting", sqlite_where=sa.text("seq IS NULL"), postgresql_where=sa.text("seq IS NULL")
        )
        batch_op.drop_index(batch_op.f("ix_audit_entry_tenant_id_id"))

    op.drop_table("audit_entry")
    with op.batch_alter_table("approval", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_approval_tenant_id_state"))

    op.drop_table("approval")
    op.drop_table("app")
    op.drop_table("api_key")
    with op.batch_alter_table("admin_grant", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_admin_grant_open",
            sqlite_where=sa.text("epoch_to IS NULL"),
            postgresql_where=sa.text("epoch_to IS NULL"),
        )

    op.drop_table("admin_grant")
    with op.batch_alter_table("acl_node", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_acl_node_narrow", sqlite_where=sa.text("mode = 'narrow'"), postgresql_where=sa.text("mode = 'narrow'")
        )
        batch_op.drop_index(
            "ix_acl_node_document",
            sqlite_where=sa.text("document_id IS NOT NULL"),
            postgresql_where=sa.text("document_id IS NOT NULL"),
        )
        batch_op.drop_index("ix_acl_node_closed", sqlite_where=sa.text("closed"), postgresql_where=sa.text("closed"))
        batch_op.drop_index("ix_acl_node_below")

    op.drop_table("acl_node")
    with op.batch_alter_table("ace", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_ace_principal_open",
            sqlite_where=sa.text("epoch_to IS NULL"),
            postgresql_where=sa.text("epoch_to IS NULL"),
        )
        batch_op.drop_index(
            "ix_ace_node_open", sqlite_where=sa.text("epoch_to IS NULL"), postgresql_where=sa.text("epoch_to IS NULL")
        )
        batch_op.drop_index(
            "ix_ace_ends_open",
            sqlite_where=sa.text("epoch_to IS NULL AND expires_at IS NOT NULL"),
            postgresql_where=sa.text("epoch_to IS NULL AND expires_at IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_ace_begins_open",
            sqlite_where=sa.text("epoch_to IS NULL AND not_before IS NOT NULL"),
            postgresql_where=sa.text("epoch_to IS NULL AND not_before IS NOT NULL"),
        )

    op.drop_table("ace")
    with op.batch_alter_table("worker_beat", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_worker_beat_beat_at"))

    op.drop_table("worker_beat")
    op.drop_table("tenant")
    op.drop_table("stage_time")
    op.drop_table("generation")

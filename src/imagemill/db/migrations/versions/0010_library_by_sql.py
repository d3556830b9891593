"""The model library for SQL: the documented types, and defaults for what applications do not write"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLE = "model_library"
_OPTIONAL = {
    "version": sa.Integer(),
    "thumbnail_url": sa.Text(),
    "gender": sa.String(20),
    "age_range": sa.String(20),
    "body_type": sa.String(20),
    "pose": sa.String(50),
    "style": sa.String(50),
    "prompt": sa.Text(),
}
_OURS = {"job_id": sa.String(36), "image_key": sa.String(255), "thumbnail_key": sa.String(255)}
_SQLITE_ID = (
    "(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a'"
    " || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))))"
)


def upgrade() -> None:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    if is_postgres:
        _convert_types()
    with op.batch_alter_table(_TABLE) as table:
        for name, kind in _OPTIONAL.items():
            table.alter_column(name, existing_type=kind, nullable=True)
        table.alter_column("owner", existing_type=sa.String(64), server_default="local")
        for name, kind in _OURS.items():
            table.alter_column(name, existing_type=kind, server_default="")
        if not is_postgres:
            table.alter_column("id", existing_type=sa.String(36), server_default=sa.text(_SQLITE_ID))
            table.alter_column("metadata", existing_type=sa.Text(), nullable=True, server_default="{}")
            table.alter_column(
                "created_at",
                existing_type=sa.BigInteger(),
                server_default=sa.text("(CAST(strftime('%s', 'now') AS INTEGER) * 1000000)"),
            )


def _convert_types() -> None:
    op.alter_column(
        _TABLE,
        "id",
        type_=postgresql.UUID(as_uuid=False),
        postgresql_using="id::uuid",
        server_default=sa.text("gen_random_uuid()"),
    )
    op.alter_column(
        _TABLE,
        "metadata",
        type_=postgresql.JSONB(),
        postgresql_using="metadata::jsonb",
        nullable=True,
        server_default=sa.text("'{}'::jsonb"),
    )
    op.alter_column(
        _TABLE,
        "created_at",
        type_=sa.TIMESTAMP(timezone=True),
        postgresql_using="to_timestamp(created_at / 1000000.0)",
        server_default=sa.text("now()"),
    )


def downgrade() -> None:
    # Alembic asks for this function; no command of ours goes back.
    raise NotImplementedError("rows that applications wrote by SQL do not fit the former table")

"""Tables of the products: model library, character pictures; and calls of paid providers"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TABLES = ("provider_calls", "translations", "character_images", "model_library", "reservations")


def upgrade() -> None:
    op.create_table(
        "character_images",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("character_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("emotion", sa.String(length=32), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("image_key", sa.String(length=255), nullable=False),
        sa.Column("thumbnail_key", sa.String(length=255), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_character_images_image", "character_images", ["image_key"], unique=False)
    op.create_index("ix_character_images_job", "character_images", ["job_id"], unique=False)
    op.create_index(
        "ix_character_images_owner", "character_images", ["owner", "character_id", "id"], unique=False
    )
    op.create_index("ix_character_images_thumbnail", "character_images", ["thumbnail_key"], unique=False)
    op.create_index(
        "ux_character_images_active",
        "character_images",
        ["owner", "character_id", "type", "emotion"],
        unique=True,
        sqlite_where=sa.text("is_active AND deleted_at IS NULL"),
        postgresql_where=sa.text("is_active AND deleted_at IS NULL"),
    )
    op.create_table(
        "model_library",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("template_id", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("image_url", sa.Text(), nullable=False),
        sa.Column("thumbnail_url", sa.Text(), nullable=False),
        sa.Column("gender", sa.String(length=20), nullable=False),
        sa.Column("age_range", sa.String(length=20), nullable=False),
        sa.Column("body_type", sa.String(length=20), nullable=False),
        sa.Column("pose", sa.String(length=50), nullable=False),
        sa.Column("style", sa.String(length=50), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("fal_request_id", sa.String(length=100), nullable=True),
        sa.Column("processing_time_ms", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("image_key", sa.String(length=255), nullable=False),
        sa.Column("thumbnail_key", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner", "template_id", "version", name="uq_model_library_version"),
    )
    op.create_index("ix_model_library_gender", "model_library", ["gender"], unique=False)
    op.create_index("ix_model_library_image", "model_library", ["image_key"], unique=False)
    op.create_index("ix_model_library_job", "model_library", ["job_id"], unique=False)
    op.create_index("ix_model_library_owner", "model_library", ["owner", "id"], unique=False)
    op.create_index("ix_model_library_style", "model_library", ["style"], unique=False)
    op.create_index("ix_model_library_thumbnail", "model_library", ["thumbnail_key"], unique=False)
    op.create_table(
        "provider_calls",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(length=200), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_provider_calls_job", "provider_calls", ["job_id"], unique=False)
    op.create_index("ix_provider_calls_sent", "provider_calls", ["provider", "sent_at"], unique=False)
    op.create_table(
        "translations",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_translations_created_at", "translations", ["created_at"], unique=False)
    op.create_table(
        "reservations",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("owner", "key"),
    )
    op.create_index("ix_reservations_job", "reservations", ["job_id"], unique=False)


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)

"""The tables of what recipes make: the model library, pictures of characters, what providers are paid.

One schema with `store.schema`. What is named here outlives the jobs it was made by.
"""

import sqlalchemy as sa

from imagemill.store.schema import metadata

_instant = sa.BigInteger
_owner = sa.String(64)
_blob_key = sa.String(255)

# Work that is not done twice: while a job with this key is open or has succeeded, no other is accepted.
reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("owner", _owner, primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("job_id", sa.String(36), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Index("ix_reservations_job", "job_id"),
)

model_library = sa.Table(
    "model_library",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("owner", _owner, nullable=False),
    sa.Column("template_id", sa.String(100), nullable=False),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.Column("image_url", sa.Text, nullable=False),
    sa.Column("thumbnail_url", sa.Text, nullable=False),
    sa.Column("gender", sa.String(20), nullable=False),
    sa.Column("age_range", sa.String(20), nullable=False),
    sa.Column("body_type", sa.String(20), nullable=False),
    sa.Column("pose", sa.String(50), nullable=False),
    sa.Column("style", sa.String(50), nullable=False),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("metadata", sa.Text, nullable=False),
    # The provider's own id of the request, whichever provider it was.
    sa.Column("fal_request_id", sa.String(100)),
    sa.Column("processing_time_ms", sa.Integer),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("image_key", _blob_key, nullable=False),
    sa.Column("thumbnail_key", _blob_key, nullable=False),
    sa.UniqueConstraint("owner", "template_id", "version", name="uq_model_library_version"),
    sa.Index("ix_model_library_gender", "gender"),
    sa.Index("ix_model_library_style", "style"),
    sa.Index("ix_model_library_owner", "owner", "id"),
    sa.Index("ix_model_library_image", "image_key"),
    sa.Index("ix_model_library_thumbnail", "thumbnail_key"),
    sa.Index("ix_model_library_job", "job_id"),
)

_ACTIVE = "is_active AND deleted_at IS NULL"
character_images = sa.Table(
    "character_images",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("owner", _owner, nullable=False),
    # Of a story for its cover.
    sa.Column("character_id", sa.String(64), nullable=False),
    sa.Column("type", sa.String(16), nullable=False),
    # Of a sticker; empty: none.
    sa.Column("emotion", sa.String(32), nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("image_key", _blob_key, nullable=False),
    sa.Column("thumbnail_key", _blob_key, nullable=False),
    sa.Column("media_type", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("seed", sa.BigInteger),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("deleted_at", _instant),
    sa.Index(
        "ux_character_images_active",
        "owner",
        "character_id",
        "type",
        "emotion",
        unique=True,
        sqlite_where=sa.text(_ACTIVE),
        postgresql_where=sa.text(_ACTIVE),
    ),
    sa.Index("ix_character_images_owner", "owner", "character_id", "id"),
    sa.Index("ix_character_images_image", "image_key"),
    sa.Index("ix_character_images_thumbnail", "thumbnail_key"),
    sa.Index("ix_character_images_job", "job_id"),
)

# Answers of a language model by the digest of what it was asked.
translations = sa.Table(
    "translations",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", _instant, nullable=False, index=True),
)

# Every request a paying provider was sent, written before it is sent: what its limits and its bill count.
provider_calls = sa.Table(
    "provider_calls",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("provider", sa.String(32), nullable=False),
    sa.Column("job_id", sa.String(36), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("path", sa.String(200), nullable=False),
    # Null: not known, as the process ended before the provider's answer was written.
    sa.Column("request_id", sa.String(128)),
    # Expected, in millionths of the provider's currency.
    sa.Column("cost", sa.BigInteger, nullable=False),
    sa.Column("sent_at", _instant, nullable=False),
    sa.Column("ended_at", _instant),
    sa.Column("outcome", sa.String(32)),
    sa.Index("ix_provider_calls_sent", "provider", "sent_at"),
    sa.Index("ix_provider_calls_job", "job_id"),
)

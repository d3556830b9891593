"""The tables of characters: sheets, images and cached translations. Their rows outlive their jobs."""

import sqlalchemy as sa

from imagemill.db.columns import partial_index
from imagemill.db.tables import metadata

_instant = sa.BigInteger
_owner = sa.String(64)
_blob_key = sa.String(255)

_ACTIVE = "is_active AND deleted_at IS NULL"
character_images = sa.Table(
    "character_images",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("owner", _owner, nullable=False),
    # The id of the character, the story or the chat, as the subject says.
    sa.Column("character_id", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(16), nullable=False, server_default="character"),
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
    partial_index(
        "ux_character_images_active",
        "owner",
        "subject",
        "character_id",
        "type",
        "emotion",
        unique=True,
        where=_ACTIVE,
    ),
    sa.Index("ix_character_images_owner", "owner", "subject", "character_id", "id"),
    sa.Index("ix_character_images_image", "image_key"),
    sa.Index("ix_character_images_thumbnail", "thumbnail_key"),
    sa.Index("ix_character_images_job", "job_id"),
)

characters = sa.Table(
    "characters",
    metadata,
    sa.Column("owner", _owner, primary_key=True),
    sa.Column("id", sa.String(64), primary_key=True),
    # JSON: the character in a recipe's input.
    sa.Column("sheet", sa.Text, nullable=False),
    # Whether it came with a request for a picture, so that a later request may replace it.
    sa.Column("from_request", sa.Boolean, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
    sa.Column("updated_at", _instant, nullable=False),
)

# Answers of a language model by the digest of what it was asked.
translations = sa.Table(
    "translations",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", _instant, nullable=False, index=True),
)

"""The table of the model library. Its rows outlive the jobs that made them."""

import sqlalchemy as sa

from imagemill.db.tables import metadata

_instant = sa.BigInteger
_owner = sa.String(64)
_blob_key = sa.String(255)

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

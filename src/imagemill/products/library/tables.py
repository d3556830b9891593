"""The table of the model library. Its rows outlive the jobs that made them.

Applications read and write it by SQL, so on PostgreSQL it has the types and defaults that they expect.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from imagemill.db.statements import dump, load
from imagemill.db.tables import metadata
from imagemill.domain.clock import from_datetime, to_datetime

_owner = sa.String(64)
_blob_key = sa.String(255)


class TimestampMicros(sa.types.TypeDecorator[int]):
    """An instant in microseconds; a timestamp with time zone on PostgreSQL."""

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        kind: Any = sa.TIMESTAMP(timezone=True) if dialect.name == "postgresql" else sa.BigInteger()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: int | None, dialect: sa.Dialect) -> Any:
        return to_datetime(value) if value is not None and dialect.name == "postgresql" else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> int | None:
        return from_datetime(value) if value is not None and dialect.name == "postgresql" else value


class JsonObject(sa.types.TypeDecorator[Mapping[str, Any]]):
    """A JSON object; JSONB on PostgreSQL, text on SQLite."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        return dialect.type_descriptor(_jsonb() if dialect.name == "postgresql" else sa.Text())

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: sa.Dialect) -> Any:
        given = value or {}
        return dict(given) if dialect.name == "postgresql" else dump(given)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Mapping[str, Any]:
        if dialect.name == "postgresql":
            return value if isinstance(value, dict) else {}
        return load(value) if value else {}


class UuidText(sa.types.TypeDecorator[str]):
    """A UUID as a text; ``uuid`` on PostgreSQL."""

    impl = sa.String(36)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        return dialect.type_descriptor(_uuid() if dialect.name == "postgresql" else sa.String(36))


def _jsonb() -> Any:
    from sqlalchemy.dialects.postgresql import JSONB

    return JSONB()


def _uuid() -> Any:
    from sqlalchemy.dialects.postgresql import UUID

    return UUID(as_uuid=False)


model_library = sa.Table(
    "model_library",
    metadata,
    sa.Column("id", UuidText, primary_key=True),
    sa.Column("owner", _owner, nullable=False, server_default="local"),
    sa.Column("template_id", sa.String(100), nullable=False),
    sa.Column("version", sa.Integer, server_default="1"),
    sa.Column("image_url", sa.Text, nullable=False),
    sa.Column("thumbnail_url", sa.Text),
    sa.Column("gender", sa.String(20)),
    sa.Column("age_range", sa.String(20)),
    sa.Column("body_type", sa.String(20)),
    sa.Column("pose", sa.String(50)),
    sa.Column("style", sa.String(50)),
    sa.Column("prompt", sa.Text),
    sa.Column("metadata", JsonObject),
    # The provider's own id of the request, whichever provider it was.
    sa.Column("fal_request_id", sa.String(100)),
    sa.Column("processing_time_ms", sa.Integer),
    sa.Column("created_at", TimestampMicros, nullable=False),
    # Empty in rows that applications wrote.
    sa.Column("job_id", sa.String(36), nullable=False, server_default=""),
    sa.Column("image_key", _blob_key, nullable=False, server_default=""),
    sa.Column("thumbnail_key", _blob_key, nullable=False, server_default=""),
    sa.UniqueConstraint("owner", "template_id", "version", name="uq_model_library_version"),
    sa.Index("ix_model_library_gender", "gender"),
    sa.Index("ix_model_library_style", "style"),
    sa.Index("ix_model_library_owner", "owner", "id"),
    sa.Index("ix_model_library_image", "image_key"),
    sa.Index("ix_model_library_thumbnail", "thumbnail_key"),
    sa.Index("ix_model_library_job", "job_id"),
)

"""The tables of personalised books"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.String(36)
_TABLES = (
    "book_approvals",
    "book_files",
    "book_jobs",
    "book_versions",
    "book_analyses",
    "book_photos",
    "book_personalizations",
    "book_manifests",
)


def upgrade() -> None:
    _create_personalizations()
    _create_photos()
    _create_versions()
    _create_files()


def _part_of_book() -> sa.ForeignKey:
    return sa.ForeignKey("book_personalizations.id", ondelete="CASCADE")


def _create_personalizations() -> None:
    op.create_table(
        "book_manifests",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("slug", sa.String(63), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "book_personalizations",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("slug", sa.String(63), nullable=False),
        sa.Column("manifest", sa.String(64), nullable=False),
        sa.Column("profile", sa.String(63), nullable=False),
        sa.Column("callback_url", sa.Text()),
        sa.Column("consent_who", sa.String(200)),
        sa.Column("consent_at", sa.BigInteger()),
        sa.Column("child_name", sa.String(200)),
        sa.Column("child_age", sa.Integer()),
        sa.Column("child_gender", sa.String(16)),
        sa.Column("language", sa.String(16)),
        sa.Column("reference_version", sa.Integer()),
        sa.Column("reference_approved_at", sa.BigInteger()),
        sa.Column("generated_at", sa.BigInteger()),
        sa.Column("unlocked_at", sa.BigInteger()),
        sa.Column("unlocked_by", sa.String(64)),
        sa.Column("canceled_at", sa.BigInteger()),
        sa.Column("photo_deleted_at", sa.BigInteger()),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.Column("erased_at", sa.BigInteger()),
        sa.Column("deletion", sa.Text()),
        sa.Column("resumes", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text()),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    table = "book_personalizations"
    op.create_index("ix_book_personalizations_owner", table, ["owner", "id"])
    _create_partial_index("ix_book_personalizations_due", table, ["due_at"], "due_at IS NOT NULL")
    _create_partial_index("ix_book_personalizations_photo", table, ["created_at"], "photo_deleted_at IS NULL")


def _create_partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def _create_photos() -> None:
    op.create_table(
        "book_photos",
        sa.Column("personalization_id", _ID, _part_of_book(), primary_key=True),
        sa.Column("character_id", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("media_type", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_book_photos_key", "book_photos", ["key"])
    op.create_table(
        "book_analyses",
        sa.Column("personalization_id", _ID, _part_of_book(), primary_key=True),
        sa.Column("character_id", sa.String(32), primary_key=True),
        sa.Column("usable", sa.Boolean(), nullable=False),
        sa.Column("problem", sa.String(32)),
        sa.Column("message", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )


def _create_versions() -> None:
    op.create_table(
        "book_versions",
        sa.Column("personalization_id", _ID, _part_of_book(), primary_key=True),
        sa.Column("page", sa.Integer(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("choice", sa.Text(), nullable=False),
        sa.Column("feedback", sa.String(400), nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("chosen_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "book_jobs",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("personalization_id", _ID, _part_of_book(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("edition", sa.String(64), nullable=False),
        sa.Column("resume", sa.Integer(), nullable=False),
        sa.Column("submitted", sa.Boolean(), nullable=False),
        sa.Column("seen", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint(
            "personalization_id", "kind", "page", "version", "edition", "resume", name="uq_book_jobs_work"
        ),
    )
    _create_partial_index("ix_book_jobs_unseen", "book_jobs", ["personalization_id"], "NOT seen")


def _create_files() -> None:
    op.create_table(
        "book_files",
        sa.Column("personalization_id", _ID, _part_of_book(), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("page", sa.Integer(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("edition", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("media_type", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_book_files_key", "book_files", ["key"])
    op.create_table(
        "book_approvals",
        sa.Column("personalization_id", _ID, _part_of_book(), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("edition", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("profile", sa.String(63), nullable=False),
        sa.Column("pages", sa.Text(), nullable=False),
    )


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)

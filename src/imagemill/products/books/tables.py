"""The tables of personalised books. Instants are microseconds since the epoch."""

import sqlalchemy as sa

from imagemill.db.columns import partial_index

metadata = sa.MetaData()
_instant = sa.BigInteger
_id = sa.String(36)
_digest = sa.String(64)
_blob_key = sa.String(255)
_UNSEEN = "NOT seen"
_DUE = "due_at IS NOT NULL"
_HAS_PHOTO = "photo_deleted_at IS NULL"

# Manifests as they were when a book was begun: a publisher's change does not change books under way.
manifests = sa.Table(
    "book_manifests",
    metadata,
    sa.Column("digest", _digest, primary_key=True),
    sa.Column("slug", sa.String(63), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
)

personalizations = sa.Table(
    "book_personalizations",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("slug", sa.String(63), nullable=False),
    sa.Column("manifest", _digest, nullable=False),
    sa.Column("profile", sa.String(63), nullable=False),
    sa.Column("callback_url", sa.Text),
    sa.Column("consent_who", sa.String(200)),
    sa.Column("consent_at", _instant),
    sa.Column("child_name", sa.String(200)),
    sa.Column("child_age", sa.Integer),
    sa.Column("child_gender", sa.String(16)),
    sa.Column("language", sa.String(16)),
    sa.Column("reference_version", sa.Integer),
    sa.Column("reference_approved_at", _instant),
    sa.Column("generated_at", _instant),
    sa.Column("unlocked_at", _instant),
    sa.Column("unlocked_by", sa.String(64)),
    sa.Column("canceled_at", _instant),
    sa.Column("photo_deleted_at", _instant),
    # Set by the request to delete everything; erased_at once it is done.
    sa.Column("deleted_at", _instant),
    sa.Column("erased_at", _instant),
    # JSON: counts of what was deleted.
    sa.Column("deletion", sa.Text),
    # How often missing parts were asked for again; failed jobs of before are made again.
    sa.Column("resumes", sa.Integer, nullable=False),
    # Why it waits, such as for credits.
    sa.Column("problem", sa.Text),
    # When its next jobs are to be looked for; the ends of jobs are found without it.
    sa.Column("due_at", _instant),
    # The link for readers: what it is signed with, and when it expires.
    sa.Column("share_key", sa.String(32)),
    sa.Column("share_until", _instant),
    sa.Column("created_at", _instant, nullable=False),
    sa.Index("ix_book_personalizations_owner", "owner", "id"),
    partial_index("ix_book_personalizations_due", "due_at", where=_DUE),
    partial_index(
        "ix_book_personalizations_photo",
        "created_at",
        where=_HAS_PHOTO,
    ),
)


def _part_of_book() -> sa.ForeignKey:
    return sa.ForeignKey("book_personalizations.id", ondelete="CASCADE")


photos = sa.Table(
    "book_photos",
    metadata,
    sa.Column("personalization_id", _id, _part_of_book(), primary_key=True),
    sa.Column("character_id", sa.String(32), primary_key=True),
    sa.Column("key", _blob_key, nullable=False, index=True),
    sa.Column("sha256", _digest, nullable=False),
    sa.Column("media_type", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
)

analyses = sa.Table(
    "book_analyses",
    metadata,
    sa.Column("personalization_id", _id, _part_of_book(), primary_key=True),
    sa.Column("character_id", sa.String(32), primary_key=True),
    sa.Column("usable", sa.Boolean, nullable=False),
    sa.Column("problem", sa.String(32)),
    sa.Column("message", sa.Text),
    sa.Column("created_at", _instant, nullable=False),
)

versions = sa.Table(
    "book_versions",
    metadata,
    sa.Column("personalization_id", _id, _part_of_book(), primary_key=True),
    # 0 is the reference sheet; see book_states.
    sa.Column("page", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("seed", sa.BigInteger, nullable=False),
    # How faces get onto it; empty for a page without a face. The choice is JSON: the model that draws.
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("choice", sa.Text, nullable=False),
    sa.Column("feedback", sa.String(400), nullable=False),
    sa.Column("cause", sa.String(16), nullable=False),
    # When it, or the version that it automatically replaces, was asked for or chosen: the latest is printed.
    sa.Column("chosen_at", _instant, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
)

# The jobs of a book, written before they are submitted, so that none is made twice and none is unknown.
jobs = sa.Table(
    "book_jobs",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("personalization_id", _id, _part_of_book(), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("page", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("edition", _digest, nullable=False),
    sa.Column("resume", sa.Integer, nullable=False),
    sa.Column("submitted", sa.Boolean, nullable=False),
    # Whether what follows from its end was looked for.
    sa.Column("seen", sa.Boolean, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
    sa.UniqueConstraint(
        "personalization_id", "kind", "page", "version", "edition", "resume", name="uq_book_jobs_work"
    ),
    partial_index(
        "ix_book_jobs_unseen",
        "personalization_id",
        where=_UNSEEN,
    ),
)

files = sa.Table(
    "book_files",
    metadata,
    sa.Column("personalization_id", _id, _part_of_book(), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("page", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("edition", _digest, primary_key=True),
    sa.Column("key", _blob_key, nullable=False, index=True),
    sa.Column("sha256", _digest, nullable=False),
    sa.Column("media_type", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    # JSON: score and findings of a page, counts of a document.
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", _instant, nullable=False),
)

approvals = sa.Table(
    "book_approvals",
    metadata,
    sa.Column("personalization_id", _id, _part_of_book(), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("edition", _digest, nullable=False),
    sa.Column("at", _instant, nullable=False),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("profile", sa.String(63), nullable=False),
    # JSON: page, version, hashes of picture and text.
    sa.Column("pages", sa.Text, nullable=False),
)

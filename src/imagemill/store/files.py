"""The files of finished jobs. One that was given up leaves its artifact without a key."""

from collections.abc import Sequence

import sqlalchemy as sa

from imagemill.domain.blobs import attempt_of
from imagemill.store import character_tables, products, schema
from imagemill.store.commits import Tx

_jobs = schema.jobs.c
_artifacts = schema.artifacts.c


def ended(conn: sa.Connection, ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Of the jobs that have ended: owner and when."""
    statement = sa.select(_jobs.id, _jobs.owner, _jobs.finished_at).where(
        _jobs.id.in_(ids), _jobs.finished_at.is_not(None)
    )
    return {id_: (owner, finished_at) for id_, owner, finished_at in conn.execute(statement)}


def referenced(conn: sa.Connection, keys: Sequence[str]) -> set[str]:
    """Of these keys of products those that the library or a character that was not deleted refers to."""
    models, images = products.model_library.c, character_tables.character_images.c
    questions = [
        sa.select(column).where(column.in_(keys)) for column in (models.image_key, models.thumbnail_key)
    ]
    questions += [
        sa.select(column).where(column.in_(keys), images.deleted_at.is_(None))
        for column in (images.image_key, images.thumbnail_key)
    ]
    return {key for question in questions for key in conn.scalars(question)}


def give_up(tx: Tx, requests: Sequence[tuple[str, ...]]) -> list[None]:
    for keys in requests:
        attempts = [attempt for key in keys if (attempt := attempt_of(key)) is not None]
        tx.conn.execute(
            sa.update(schema.artifacts)
            .where(
                _artifacts.job_id.in_(sorted({job_id for job_id, _ in attempts})),
                _artifacts.blob_key.in_(keys),
            )
            .values(blob_key="")
        )
    return [None] * len(requests)

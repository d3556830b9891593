"""The model library: versions of templates."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from imagemill.domain.clock import uuid7
from imagemill.store import products
from imagemill.store.commits import Tx
from imagemill.store.rows import dump
from imagemill.store.serialising import serialise

if TYPE_CHECKING:
    from imagemill.store.recording import Recorded

_models = products.model_library.c
_LATEST = sa.select(sa.func.coalesce(sa.func.max(_models.version), 0)).where(
    _models.owner == sa.bindparam("of_owner"), _models.template_id == sa.bindparam("of_template")
)


def enter(tx: Tx, ended: "Sequence[Recorded]") -> None:
    """Each as the next version of its template."""
    serialise(tx, [f"library/{each.job.owner}/{each.record.template_id}" for each in ended])
    for each in ended:
        job, entry = each.job, each.record
        place = {"of_owner": job.owner, "of_template": entry.template_id}
        version = tx.conn.execute(_LATEST, place).scalar_one() + 1
        picture, thumbnail = (each.artifacts * 2)[:2]
        tx.conn.execute(
            sa.insert(products.model_library).values(
                id=uuid7(each.at),
                owner=job.owner,
                template_id=entry.template_id,
                version=version,
                image_url=f"/blobs/{picture.blob_key}",
                thumbnail_url=f"/blobs/{thumbnail.blob_key}",
                gender=entry.gender,
                age_range=entry.age_range,
                body_type=entry.body_type,
                pose=entry.pose,
                style=entry.style,
                prompt=entry.prompt,
                metadata=dump(entry.metadata),
                fal_request_id=each.details.get("requestId"),
                processing_time_ms=(each.at - (job.started_at or each.at)) // 1000,
                created_at=each.at,
                job_id=job.id,
                image_key=picture.blob_key,
                thumbnail_key=thumbnail.blob_key,
            )
        )

"""Pictures of characters and stories: one is active of each type and emotion."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from imagemill.domain.clock import uuid7
from imagemill.store import products
from imagemill.store.commits import Tx
from imagemill.store.serialising import serialise

if TYPE_CHECKING:
    from imagemill.store.recording import Recorded

_images = products.character_images.c
_REST = (
    sa.update(products.character_images)
    .where(
        _images.owner == sa.bindparam("of_owner"),
        _images.character_id == sa.bindparam("of_character"),
        _images.type == sa.bindparam("of_type"),
        _images.emotion == sa.bindparam("of_emotion"),
        _images.is_active,
    )
    .values(is_active=False)
)


def enter(tx: Tx, ended: "Sequence[Recorded]") -> None:
    """Each as the active one of its type and emotion."""
    serialise(tx, [f"characters/{each.job.owner}/{each.record.character_id}" for each in ended])
    for each in ended:
        job, image = each.job, each.record
        of = {"of_owner": job.owner, "of_character": image.character_id}
        tx.conn.execute(_REST, of | {"of_type": image.type, "of_emotion": image.emotion})
        picture, thumbnail = (each.artifacts * 2)[:2]
        tx.conn.execute(
            sa.insert(products.character_images).values(
                id=uuid7(each.at),
                owner=job.owner,
                character_id=image.character_id,
                type=image.type,
                emotion=image.emotion,
                is_active=True,
                job_id=job.id,
                image_key=picture.blob_key,
                thumbnail_key=thumbnail.blob_key,
                media_type=picture.media_type,
                size=picture.size,
                width=picture.width,
                height=picture.height,
                seed=picture.seed,
                created_at=each.at,
            )
        )

"""What a client notes on its jobs afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from imagemill.domain.errors import NotFound
from imagemill.store import schema
from imagemill.store.commits import Tx
from imagemill.store.indexing import index_value
from imagemill.store.rows import dump, load

_jobs = schema.jobs.c


@dataclass(frozen=True, slots=True)
class Annotate:
    """Merge into what the dialect keeps (``client``) and into the client's own index (``properties``)."""

    id: str
    owner: str
    client: Mapping[str, Any] = field(default_factory=dict[str, Any])
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])


def annotate(tx: Tx, requests: Sequence[Annotate]) -> list[NotFound | None]:
    return [_annotate_one(tx, request) for request in requests]


def _annotate_one(tx: Tx, request: Annotate) -> NotFound | None:
    row = tx.conn.execute(
        sa.select(_jobs.client, _jobs.properties)
        .where(_jobs.id == request.id, _jobs.owner == request.owner)
        .with_for_update()
    ).first()
    if row is None:
        return NotFound(f"there is no job {request.id}")
    tx.conn.execute(
        sa.update(schema.jobs)
        .where(_jobs.id == request.id)
        .values(
            client=dump({**load(row.client), **request.client}),
            properties=dump({**load(row.properties), **request.properties}),
        )
    )
    index = schema.properties
    for key, value in request.properties.items():
        statement = tx.insert(index).values(job_id=request.id, key=key, value=index_value(value))
        tx.conn.execute(
            statement.on_conflict_do_update(
                index_elements=[index.c.job_id, index.c.key], set_={"value": index_value(value)}
            )
        )
    return None

"""The model registry in the database."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database, WriteMode
from imagemill.db.group_commit import Tx
from imagemill.db.statements import dump, load
from imagemill.domain.air import Resource, parse
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, NotFound

_resources = tables.resources.c


@dataclass(frozen=True, slots=True)
class PutResource:
    resource: Resource
    mode: WriteMode
    now: int


class ResourceStore:
    """The registered resources, by their AIRs in lower case."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def put(self, resource: Resource, mode: WriteMode, now: int) -> Resource:
        """Write a resource. Raises `Conflict` for one that exists, `NotFound` for an unknown one, by
        ``mode``."""
        return self._write(put, PutResource(resource, mode, now))

    def get(self, key: str) -> Resource | None:
        return self._read(get, key)

    def by_version(self, version: str) -> list[Resource]:
        return self._read(get_by_version, version)

    def page(self, query: str, offset: int, limit: int) -> tuple[int, list[Resource]]:
        return self._read(page, query, offset, limit)


def put(tx: Tx, requests: Sequence[PutResource]) -> list[Resource | Conflict | NotFound]:
    return [_put_one(tx, request) for request in requests]


def _put_one(tx: Tx, request: PutResource) -> Resource | Conflict | NotFound:
    resource = request.resource
    if request.mode is WriteMode.CREATE:
        statement = tx.insert(tables.resources).values(_row(resource, request.now)).on_conflict_do_nothing()
        # The row itself is returned, since PostgreSQL's driver counts an insert as -1 rows.
        created = tx.conn.execute(statement.returning(_resources.key)).first()
        return resource if created is not None else Conflict(f"{resource.air} is registered already")
    there = _resources.key == resource.air.key
    if request.mode is WriteMode.DELETE:
        changed = tx.conn.execute(sa.delete(tables.resources).where(there)).rowcount
    else:
        values = {k: v for k, v in _row(resource, request.now).items() if k not in ("key", "created_at")}
        changed = tx.conn.execute(sa.update(tables.resources).where(there).values(values)).rowcount
    return resource if changed else NotFound(f"{resource.air} is not registered")


def get(conn: sa.Connection, key: str) -> Resource | None:
    row = conn.execute(sa.select(tables.resources).where(_resources.key == key)).first()
    return _resource(row) if row else None


def get_by_version(conn: sa.Connection, version: str) -> list[Resource]:
    """Return all resources that the short form ``@civitai/{version}`` may mean."""
    rows = conn.execute(sa.select(tables.resources).where(_resources.short_version == version))
    return [_resource(row) for row in rows]


def page(conn: sa.Connection, query: str, offset: int, limit: int) -> tuple[int, list[Resource]]:
    """Return the number of matches and one page of them, sorted by AIR."""
    condition = _resources.search.contains(query.lower(), autoescape=True) if query else sa.true()
    total = conn.execute(sa.select(sa.func.count()).select_from(tables.resources).where(condition))
    rows = conn.execute(
        sa.select(tables.resources).where(condition).order_by(_resources.key).offset(offset).limit(limit)
    )
    return total.scalar_one(), [_resource(row) for row in rows]


def _row(resource: Resource, now: int) -> dict[str, Any]:
    air = resource.air
    short = air.short
    return {
        "key": air.key,
        "air": str(air),
        "type": air.type or "other",
        "short_version": air.version if short.startswith("@") else None,
        "search": resource.search_text,
        "body": dump(resource.body),
        "created_at": resource.created_at or now,
        "updated_at": now,
    }


def _resource(row: sa.Row[Any]) -> Resource:
    return Resource(parse(row.air), load(row.body), row.created_at, row.updated_at)

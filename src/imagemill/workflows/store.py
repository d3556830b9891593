"""Workflows in the database: each change is a new version, and a version never changes.

A workflow belongs to a space: that of an owner, or `SHARED`, which all owners see.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database, WriteMode
from imagemill.db.group_commit import Tx
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, NotFound

_workflows = tables.workflows.c

MOST_WORKFLOWS = 200
"""Workflows that an owner may have; each request for one may read all their names."""
MOST_OWN_VERSIONS = 2_000
"""Versions, deleted ones included, of all workflows of an owner: usually 20 MB, and 8 GB if all were as large
as a body may be."""
SHARED = ""
"""The space of workflows that all owners see."""


@dataclass(frozen=True, slots=True)
class WorkflowText:
    """The texts of a workflow, as users wrote them."""

    name: str
    title: str
    manifest: str
    """The manifest with the graph in it."""
    digest: str
    """The digest of the manifest: an equal one makes no new version."""


@dataclass(frozen=True, slots=True)
class StoredWorkflow:
    text: WorkflowText
    version: int
    created_at: int
    deleted_at: int | None
    space: str = SHARED


@dataclass(frozen=True, slots=True)
class PutWorkflow:
    text: WorkflowText
    mode: WriteMode
    """The kind of write; for a deletion only the name is used."""
    now: int
    space: str = SHARED


@dataclass(frozen=True, slots=True)
class WorkflowKey:
    """The key of a workflow's newest version; all keys together identify a state of the table."""

    name: str
    version: int
    digest: str
    space: str = SHARED


class WorkflowStore:
    """The stored workflows of all spaces."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def put(self, request: PutWorkflow) -> StoredWorkflow | None:
        """Return the current version; None for a deletion. An equal text makes no new version.

        Raises `Conflict` for a name that is taken, `NotFound` for one that does not exist.
        """
        return self._write(put, request)

    def heads(self, spaces: Sequence[str] = (SHARED,)) -> list[WorkflowKey]:
        return self._read(heads, spaces)

    def get(
        self, name: str, version: int | None = None, spaces: Sequence[str] = (SHARED,)
    ) -> StoredWorkflow | None:
        """Return the newest version in the first of the spaces that has it.

        With ``version``: that version in the first of the spaces, even if it is deleted.
        """
        if version is None:
            return self._read(live, name, spaces)
        return self._read(get, spaces[0], name, version)

    def versions(self, name: str, space: str = SHARED) -> list[StoredWorkflow]:
        return self._read(versions, space, name)


def put(tx: Tx, requests: Sequence[PutWorkflow]) -> list[Any]:
    """Return for each a `StoredWorkflow`, None for a deletion, or `Conflict` or `NotFound` by its mode."""
    return [
        _delete(tx, request) if request.mode is WriteMode.DELETE else _add(tx, request)
        for request in requests
    ]


def _add(tx: Tx, request: PutWorkflow) -> StoredWorkflow | Conflict | NotFound:
    text = request.text
    # Deleted versions count, so that a version number always means the same graph.
    rows = sa.select(tables.workflows).where(*_named(request))
    newest = tx.conn.execute(rows.order_by(_workflows.version.desc()).limit(1)).first()
    is_live = newest is not None and newest.deleted_at is None
    if request.mode is WriteMode.CREATE and is_live:
        return Conflict(f"a workflow named {text.name} exists already; change it, or choose another name")
    if request.mode is WriteMode.REPLACE and not is_live:
        return NotFound(f"there is no workflow {text.name}")
    if newest is not None and is_live and newest.digest == text.digest:
        return _stored(newest)
    if (refusal := _refusal(tx, request, is_new=not is_live)) is not None:
        return refusal
    version = newest.version + 1 if newest is not None else 1
    row = {
        "owner": request.space,
        "name": text.name,
        "version": version,
        "title": text.title,
        "manifest": text.manifest,
        "digest": text.digest,
        "created_at": request.now,
    }
    statement = tx.insert(tables.workflows).values(row).on_conflict_do_nothing()
    if tx.conn.execute(statement.returning(_workflows.version)).first() is None:
        return Conflict(
            f"workflow {text.name} was changed by another request meanwhile; read it, then repeat"
        )
    return StoredWorkflow(text, version, request.now, None, request.space)


def _refusal(tx: Tx, request: PutWorkflow, *, is_new: bool) -> Conflict | None:
    """Return why an owner may not add this; shared workflows, which operators add, are not counted."""
    if request.space == SHARED:
        return None
    names = sa.func.count(sa.distinct(sa.case((_workflows.deleted_at.is_(None), _workflows.name))))
    counted = sa.select(sa.func.count(), names).where(_workflows.owner == request.space)
    rows, live_names = tx.conn.execute(counted).one()
    if is_new and live_names >= MOST_WORKFLOWS:
        return Conflict(f"you have {MOST_WORKFLOWS} workflows, the most an owner may have; delete one first")
    if rows >= MOST_OWN_VERSIONS:
        return Conflict(
            f"your workflows have {MOST_OWN_VERSIONS} versions together, the most that are kept; ask an "
            "operator to add this one to the shared workflows"
        )
    return None


def _delete(tx: Tx, request: PutWorkflow) -> NotFound | None:
    live = sa.and_(*_named(request), _workflows.deleted_at.is_(None))
    changed = tx.conn.execute(sa.update(tables.workflows).where(live).values(deleted_at=request.now)).rowcount
    return None if changed else NotFound(f"there is no workflow {request.text.name}")


def _named(request: PutWorkflow) -> tuple[sa.ColumnElement[bool], ...]:
    return _workflows.owner == request.space, _workflows.name == request.text.name


def heads(conn: sa.Connection, spaces: Sequence[str]) -> list[WorkflowKey]:
    """Return the newest versions that are not deleted, by name. It is fast, since no text is read."""
    newest = (
        sa.select(_workflows.owner, _workflows.name, sa.func.max(_workflows.version).label("version"))
        .where(_workflows.owner.in_(spaces), _workflows.deleted_at.is_(None))
        .group_by(_workflows.owner, _workflows.name)
        .subquery()
    )
    same = [_workflows[name] == newest.c[name] for name in ("owner", "name", "version")]
    rows = conn.execute(
        sa.select(_workflows.name, _workflows.version, _workflows.digest, _workflows.owner)
        .join(newest, sa.and_(*same))
        .order_by(_workflows.name)
    )
    return [WorkflowKey(row.name, row.version, row.digest, row.owner) for row in rows]


def live(conn: sa.Connection, name: str, spaces: Sequence[str]) -> StoredWorkflow | None:
    """Return the newest version that is not deleted, in the first of the spaces that has one."""
    found = sa.select(tables.workflows).where(
        _workflows.owner.in_(spaces), _workflows.name == name, _workflows.deleted_at.is_(None)
    )
    first = sa.case({space: number for number, space in enumerate(spaces)}, value=_workflows.owner)
    row = conn.execute(found.order_by(first, _workflows.version.desc()).limit(1)).first()
    return _stored(row) if row else None


def get(conn: sa.Connection, space: str, name: str, version: int) -> StoredWorkflow | None:
    """Return one version, deleted or not."""
    wanted = (_workflows.owner == space, _workflows.name == name, _workflows.version == version)
    row = conn.execute(sa.select(tables.workflows).where(*wanted)).first()
    return _stored(row) if row else None


def versions(conn: sa.Connection, space: str, name: str) -> list[StoredWorkflow]:
    """Return all versions, deleted ones included, the newest first."""
    found = sa.select(tables.workflows).where(_workflows.owner == space, _workflows.name == name)
    return [_stored(row) for row in conn.execute(found.order_by(_workflows.version.desc()))]


def _stored(row: sa.Row[Any]) -> StoredWorkflow:
    text = WorkflowText(row.name, row.title, row.manifest, row.digest)
    return StoredWorkflow(text, row.version, row.created_at, row.deleted_at, row.owner)

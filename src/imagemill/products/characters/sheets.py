"""The stored sheets of characters, by owner and id."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The rows of a statement built from a tuple of columns have no static type.

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.locks import lock_names
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, NotFound
from imagemill.products.characters import tables

_MOST = 10_000
"""Maximum number of characters of an owner."""
_characters = tables.characters.c


@dataclass(frozen=True, slots=True)
class StoredSheet:
    """A stored sheet. ``sheet``: the character in a recipe's input."""

    owner: str
    id: str
    sheet: Mapping[str, Any]
    from_request: bool
    """Whether it came with a request for a picture; a later request may replace it."""
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class SheetWrite:
    """A sheet to be stored. ``from_request``: it came with a request for a picture."""

    owner: str
    id: str
    sheet: Mapping[str, Any]
    now: int
    from_request: bool = False
    replaces: bool = True
    """Whether it replaces a sheet; one from a request never replaces one that was stored by itself."""


class SheetStore:
    """Sheets of characters in the database."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def sheet(self, owner: str, id_: str) -> StoredSheet:
        """Return a sheet. Raises `NotFound`."""
        found = self.sheets(owner, (id_,)).get(id_)
        if found is None:
            raise _absent(id_)
        return found

    def sheets(self, owner: str, ids: Collection[str]) -> dict[str, StoredSheet]:
        """Return the known ones of these sheets by id."""
        return self._read(_by_ids, owner, ids) if ids else {}

    def put(self, given: SheetWrite) -> StoredSheet:
        """Store a sheet, and return the stored one. Raises `Conflict` when the owner has too many."""
        return self._write(_put, given)

    def delete(self, owner: str, id_: str) -> None:
        """Delete a sheet. Raises `NotFound`."""
        self._write(_delete, (owner, id_))

    def page(self, owner: str, after: str | None, limit: int) -> list[StoredSheet]:
        """Return sheets in the order of their ids, those after ``after``."""
        return self._read(_page, owner, after or "", limit)


_COLUMNS = tuple(_characters[name] for name in StoredSheet.__dataclass_fields__)


def _stored(row: Sequence[Any]) -> StoredSheet:
    owner, id_, sheet, from_request, created_at, updated_at = row
    return StoredSheet(owner, id_, from_json(sheet), bool(from_request), created_at, updated_at)


def _by_ids(conn: sa.Connection, owner: str, ids: Collection[str]) -> dict[str, StoredSheet]:
    query = sa.select(*_COLUMNS).where(_characters.owner == owner, _characters.id.in_(ids))
    return {sheet.id: sheet for sheet in map(_stored, conn.execute(query))}


def _page(conn: sa.Connection, owner: str, after: str, limit: int) -> list[StoredSheet]:
    query = sa.select(*_COLUMNS).where(_characters.owner == owner, _characters.id > after)
    return [_stored(row) for row in conn.execute(query.order_by(_characters.id).limit(limit))]


def _put(tx: Tx, given: Sequence[SheetWrite]) -> list[StoredSheet | Conflict]:
    lock_names(tx, [f"sheets/{each.owner}" for each in given])
    return [_put_one(tx, each) for each in given]


def _put_one(tx: Tx, given: SheetWrite) -> StoredSheet | Conflict:
    there = _by_ids(tx.conn, given.owner, (given.id,)).get(given.id)
    if there is not None and given.from_request and not (there.from_request and given.replaces):
        return there
    sheet = json.dumps(given.sheet, ensure_ascii=False)
    values = {"sheet": sheet, "from_request": given.from_request, "updated_at": given.now}
    if there is not None:
        update = sa.update(tables.characters).where(
            _characters.owner == given.owner, _characters.id == given.id
        )
        tx.conn.execute(update.values(values))
    else:
        count = sa.select(sa.func.count()).where(_characters.owner == given.owner)
        if (tx.conn.scalar(count) or 0) >= _MOST:
            return Conflict(f"there are {_MOST} characters, which is the limit; delete some first")
        key = {"owner": given.owner, "id": given.id, "created_at": given.now}
        tx.conn.execute(sa.insert(tables.characters).values(values | key))
    created_at = given.now if there is None else there.created_at
    return StoredSheet(given.owner, given.id, given.sheet, given.from_request, created_at, given.now)


def _delete(tx: Tx, given: Sequence[tuple[str, str]]) -> list[NotFound | None]:
    return [_delete_one(tx, *each) for each in given]


def _delete_one(tx: Tx, owner: str, id_: str) -> NotFound | None:
    statement = sa.delete(tables.characters).where(_characters.owner == owner, _characters.id == id_)
    return None if tx.conn.execute(statement).rowcount else _absent(id_)


def _absent(id_: str) -> NotFound:
    return NotFound(f"no sheet of the character {id_[:64]} is stored")

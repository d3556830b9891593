"""Owners and their API keys."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from imagemill.domain.access import Role, Scope
from imagemill.domain.errors import Conflict, NotFound
from imagemill.store import owning, schema
from imagemill.store.commits import Tx

_owners = schema.owners.c
_keys = owning.api_keys.c


@dataclass(frozen=True, slots=True)
class Owner:
    id: str
    role: Role
    created_at: int
    parent: str | None = None
    """The account whose end user this is."""
    name: str | None = None
    weight: float = 1.0
    disabled_at: int | None = None


@dataclass(frozen=True, slots=True)
class StoredKey:
    id: str
    owner: str
    name: str
    digest: str
    scopes: frozenset[Scope]
    is_service: bool
    """It may act for end users of its owner."""
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    used_at: int | None = None


@dataclass(frozen=True, slots=True)
class AddKey:
    key: StoredKey


@dataclass(frozen=True, slots=True)
class RevokeKey:
    id: str
    now: int
    owner: str | None = None
    """None: whoever's it is."""


@dataclass(frozen=True, slots=True)
class UseKey:
    id: str
    now: int


@dataclass(frozen=True, slots=True)
class ChangeOwner:
    """None leaves a thing as it is."""

    id: str
    now: int
    role: Role | None = None
    name: str | None = None
    weight: float | None = None
    disabled: bool | None = None


class Accounts:
    """What `imagemill.store.store.Store` offers about owners."""

    def __init__(self, write: Callable[..., Any], read: Callable[..., Any]) -> None:
        self._write = write
        self._read = read

    def put_owner(self, owner: Owner) -> None:
        """Make it, or change its role, name, weight and whether it is disabled."""
        self._write(_put_owner, owner)

    def ensure_owner(self, owner: Owner) -> None:
        """Make it unless it is there, and leave it as it is otherwise."""
        self._write(_ensure_owner, owner)

    def change_owner(self, change: ChangeOwner) -> Owner:
        """Raises `NotFound`."""
        return self._write(_change_owner, change)

    def owner(self, id_: str) -> Owner | None:
        return self._read(_owner, id_)

    def owners(self, *, parent: str | None = None, after: str = "", limit: int = 100) -> list[Owner]:
        """Accounts, or the end users of one, by their ids."""
        return self._read(_list_owners, parent, after, limit)

    def add_key(self, key: StoredKey) -> None:
        """Raises `NotFound` for an owner that is not there, `Conflict` for a visible part that is taken."""
        self._write(_add_key, AddKey(key))

    def revoke_key(self, revoke: RevokeKey) -> StoredKey:
        """Raises `NotFound`, for another owner's key too."""
        return self._write(_revoke_key, revoke)

    def use_key(self, use: UseKey) -> None:
        """Note when it was used last."""
        self._write(_use_key, use)

    def key(self, id_: str) -> tuple[StoredKey, Owner] | None:
        return self._read(_key, id_)

    def keys(self, owner: str | None = None) -> list[StoredKey]:
        """An owner's, or all, the newest first."""
        return self._read(_list_keys, owner)

    def has_credentials(self) -> bool:
        """Whether anybody could ever say who they are: a key was made, be it revoked by now, or a user."""
        return self._read(_has_credentials)


def _put_owner(tx: Tx, requests: Sequence[Owner]) -> list[None]:
    for owner in requests:
        row = _owner_row(owner)
        changed = {name: row[name] for name in ("role", "name", "weight", "disabled_at")}
        statement = tx.insert(schema.owners).values(row)
        tx.conn.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))
    return [None] * len(requests)


def _ensure_owner(tx: Tx, requests: Sequence[Owner]) -> list[None]:
    for owner in requests:
        tx.conn.execute(tx.insert(schema.owners).values(_owner_row(owner)).on_conflict_do_nothing())
    return [None] * len(requests)


def _change_owner(tx: Tx, requests: Sequence[ChangeOwner]) -> list[Owner | NotFound]:
    answers: list[Owner | NotFound] = []
    for request in requests:
        values: dict[str, Any] = {"id": request.id}
        if request.role is not None:
            values["role"] = request.role.value
        if request.name is not None:
            values["name"] = request.name or None
        if request.weight is not None:
            values["weight"] = request.weight
        if request.disabled is not None:
            since = sa.func.coalesce(_owners.disabled_at, request.now)
            values["disabled_at"] = since if request.disabled else None
        update = sa.update(schema.owners).where(_owners.id == request.id).values(values)
        row = tx.conn.execute(update.returning(*schema.owners.columns)).first()
        answers.append(owner_from(row) if row else NotFound(f"there is no owner {request.id}"))
    return answers


def _owner(conn: sa.Connection, id_: str) -> Owner | None:
    row = conn.execute(sa.select(schema.owners).where(_owners.id == id_)).first()
    return owner_from(row) if row else None


def _list_owners(conn: sa.Connection, parent: str | None, after: str, limit: int) -> list[Owner]:
    of_parent = _owners.parent.is_(None) if parent is None else _owners.parent == parent
    statement = sa.select(schema.owners).where(of_parent, _owners.id > after)
    return [owner_from(row) for row in conn.execute(statement.order_by(_owners.id).limit(limit))]


def _add_key(tx: Tx, requests: Sequence[AddKey]) -> list[NotFound | Conflict | None]:
    answers: list[NotFound | Conflict | None] = []
    for request in requests:
        key = request.key
        if _owner(tx.conn, key.owner) is None:
            answers.append(NotFound(f"there is no owner {key.owner}"))
            continue
        insert = tx.insert(owning.api_keys).values(_key_row(key)).on_conflict_do_nothing()
        added = tx.conn.execute(insert.returning(_keys.id)).first()
        answers.append(None if added else Conflict(f"there is a key {key.id} already"))
    return answers


def _revoke_key(tx: Tx, requests: Sequence[RevokeKey]) -> list[StoredKey | NotFound]:
    answers: list[StoredKey | NotFound] = []
    for request in requests:
        its_owner = _keys.owner == request.owner if request.owner is not None else sa.true()
        revoked_at = sa.func.coalesce(_keys.revoked_at, request.now)
        row = tx.conn.execute(
            sa.update(owning.api_keys)
            .where(_keys.id == request.id, its_owner)
            .values(revoked_at=revoked_at)
            .returning(*owning.api_keys.columns)
        ).first()
        answers.append(_stored_key(row) if row else NotFound(f"there is no key {request.id}"))
    return answers


def _use_key(tx: Tx, requests: Sequence[UseKey]) -> list[None]:
    for request in requests:
        statement = sa.update(owning.api_keys).where(_keys.id == request.id)
        tx.conn.execute(statement.values(used_at=request.now))
    return [None] * len(requests)


_KEY_COLUMNS = tuple(owning.api_keys.columns)


def _key(conn: sa.Connection, id_: str) -> tuple[StoredKey, Owner] | None:
    statement = sa.select(*_KEY_COLUMNS, *schema.owners.columns)
    row = conn.execute(statement.join(schema.owners).where(_keys.id == id_)).first()
    if row is None:
        return None
    return _stored_key(row[: len(_KEY_COLUMNS)]), owner_from(row[len(_KEY_COLUMNS) :])


def _list_keys(conn: sa.Connection, owner: str | None) -> list[StoredKey]:
    of_owner = _keys.owner == owner if owner is not None else sa.true()
    statement = sa.select(owning.api_keys).where(of_owner).order_by(_keys.created_at.desc(), _keys.id)
    return [_stored_key(row) for row in conn.execute(statement)]


def _has_credentials(conn: sa.Connection) -> bool:
    key, user = sa.exists(owning.api_keys.select()), sa.exists(owning.users.select())
    return bool(conn.execute(sa.select(sa.or_(key, user))).scalar())


def _owner_row(owner: Owner) -> dict[str, Any]:
    return {name: getattr(owner, name) for name in _OWNER_NAMES} | {"role": owner.role.value}


def owner_from(row: Sequence[Any]) -> Owner:
    values: dict[str, Any] = dict(zip(_OWNER_NAMES, row, strict=True))
    values["role"] = Role(values["role"])
    return Owner(**values)


def _key_row(key: StoredKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in _KEY_NAMES} | {"scopes": " ".join(sorted(key.scopes))}


def _stored_key(row: Sequence[Any]) -> StoredKey:
    values: dict[str, Any] = dict(zip(_KEY_NAMES, row, strict=True))
    values["scopes"] = frozenset(Scope(name) for name in values["scopes"].split())
    return StoredKey(**values)


_OWNER_NAMES = tuple(column.name for column in schema.owners.columns)
_KEY_NAMES = tuple(column.name for column in _KEY_COLUMNS)

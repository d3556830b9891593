"""People who log in: an owner each, with an e-mail address and a password's hash."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from imagemill.domain.access import Role
from imagemill.domain.errors import Conflict, NotFound
from imagemill.store import owning, schema
from imagemill.store.accounts import Owner, owner_from
from imagemill.store.commits import Tx
from imagemill.store.sessions import end_sessions

_users, _resets = owning.users.c, owning.resets.c


@dataclass(frozen=True, slots=True)
class User:
    owner: str
    email: str
    """In lower case."""
    password: str
    """Its hash."""
    created_at: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class AddUser:
    user: User
    role: Role


@dataclass(frozen=True, slots=True)
class ChangePassword:
    owner: str
    password: str
    now: int
    but: str | None = None
    """The session that goes on; all others of the owner end."""


@dataclass(frozen=True, slots=True)
class AddReset:
    digest: str
    owner: str
    now: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class UseReset:
    """The owner gets the password, all its sessions end, and none of its resets works any more."""

    digest: str
    password: str
    now: int


class Users:
    """What `imagemill.store.store.Store` offers about people who log in."""

    def __init__(self, write: Callable[..., Any], read: Callable[..., Any]) -> None:
        self._write = write
        self._read = read

    def add(self, add: AddUser) -> None:
        """With its owner. Raises `Conflict` for an owner or an address that is taken."""
        self._write(_add, add)

    def by_email(self, email: str) -> tuple[User, Owner] | None:
        return self._read(_find, _users.email == email)

    def of(self, owner: str) -> tuple[User, Owner] | None:
        return self._read(_find, _users.owner == owner)

    def page(self, after: str, limit: int) -> list[tuple[User, Owner]]:
        """By their owners' ids."""
        return self._read(_page, after, limit)

    def change_password(self, change: ChangePassword) -> None:
        """Raises `NotFound` for an owner that does not log in."""
        self._write(_change_password, change)

    def add_reset(self, add: AddReset) -> None:
        self._write(_add_reset, add)

    def use_reset(self, use: UseReset) -> str:
        """Whose it was. Raises `NotFound` for one that is unknown, used or too old."""
        return self._write(_use_reset, use)


def _add(tx: Tx, requests: Sequence[AddUser]) -> list[Conflict | None]:
    return [_add_one(tx, request) for request in requests]


def _add_one(tx: Tx, request: AddUser) -> Conflict | None:
    user = request.user
    taken = sa.select(owning.users.c.owner).where(_users.email == user.email)
    if tx.conn.execute(taken).first() is not None:
        return Conflict(f"there is a user {user.email} already")
    owner = {"id": user.owner, "role": request.role.value, "weight": 1.0, "created_at": user.created_at}
    insert = tx.insert(schema.owners).values(owner).on_conflict_do_nothing()
    if tx.conn.execute(insert.returning(schema.owners.c.id)).first() is None:
        return Conflict(f"there is an owner {user.owner} already; choose another name")
    tx.conn.execute(tx.insert(owning.users).values({name: getattr(user, name) for name in _USER_NAMES}))
    return None


def _find(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> tuple[User, Owner] | None:
    row = conn.execute(_both().where(condition)).first()
    return _pair(row) if row else None


def _page(conn: sa.Connection, after: str, limit: int) -> list[tuple[User, Owner]]:
    rows = conn.execute(_both().where(_users.owner > after).order_by(_users.owner).limit(limit))
    return [_pair(row) for row in rows]


def _both() -> sa.Select[Any]:
    return sa.select(*owning.users.columns, *schema.owners.columns).join(schema.owners)


def _pair(row: Sequence[Any]) -> tuple[User, Owner]:
    return User(*row[: len(_USER_NAMES)]), owner_from(row[len(_USER_NAMES) :])


def _change_password(tx: Tx, requests: Sequence[ChangePassword]) -> list[NotFound | None]:
    return [_change(tx, request) for request in requests]


def _change(tx: Tx, request: ChangePassword) -> NotFound | None:
    update = sa.update(owning.users).where(_users.owner == request.owner)
    changed = tx.conn.execute(update.values(password=request.password, changed_at=request.now))
    if not changed.rowcount:
        return NotFound(f"there is no user {request.owner}")
    end_sessions(tx, request.owner, request.now, but=request.but)
    return None


def _add_reset(tx: Tx, requests: Sequence[AddReset]) -> list[None]:
    for request in requests:
        tx.conn.execute(sa.delete(owning.resets).where(_resets.expires_at < request.now))
        row = {
            "digest": request.digest,
            "owner": request.owner,
            "created_at": request.now,
            "expires_at": request.expires_at,
        }
        tx.conn.execute(tx.insert(owning.resets).values(row))
    return [None] * len(requests)


def _use_reset(tx: Tx, requests: Sequence[UseReset]) -> list[str | NotFound]:
    return [_use_one_reset(tx, request) for request in requests]


def _use_one_reset(tx: Tx, request: UseReset) -> str | NotFound:
    valid = sa.and_(_resets.used_at.is_(None), _resets.expires_at > request.now)
    used = sa.update(owning.resets).where(_resets.digest == request.digest, valid)
    owner = tx.conn.execute(used.values(used_at=request.now).returning(_resets.owner)).scalar()
    if owner is None:
        return NotFound("the token of the mail is unknown, used or too old; ask for another mail")
    others = sa.update(owning.resets).where(_resets.owner == owner, _resets.used_at.is_(None))
    tx.conn.execute(others.values(used_at=request.now))
    failed = _change(tx, ChangePassword(owner, request.password, request.now))
    return failed or str(owner)


_USER_NAMES = tuple(column.name for column in owning.users.columns)

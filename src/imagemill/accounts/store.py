"""Accounts in the database: owners, API keys, sessions, users and password resets."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from imagemill.accounts import throttle
from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.domain.access import Role, Scope
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, NotFound, Unauthenticated

_owners = tables.owners.c
_keys = tables.api_keys.c
_sessions, _browsers = tables.sessions.c, tables.browser_sessions.c
_users, _resets = tables.users.c, tables.resets.c

_OWNER_NAMES = tuple(column.name for column in tables.owners.columns)
_KEY_COLUMNS = tuple(tables.api_keys.columns)
_KEY_NAMES = tuple(column.name for column in _KEY_COLUMNS)
_SESSION_NAMES = tuple(column.name for column in tables.sessions.columns)
_USER_NAMES = tuple(column.name for column in tables.users.columns)

MOST_KEYS = 100
"""Keys of an account that are valid at a time; as many revoked and expired ones are kept beside them."""

# Owners and API keys


@dataclass(frozen=True, slots=True)
class Owner:
    id: str
    role: Role
    created_at: int
    parent: str | None = None
    """The account of an end user; None for an account."""
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
    """Whether it may act for end users of its owner."""
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
    """None means any owner's key."""


@dataclass(frozen=True, slots=True)
class UseKey:
    id: str
    now: int


@dataclass(frozen=True, slots=True)
class ChangeOwner:
    """A change of an owner; None leaves a value unchanged."""

    id: str
    now: int
    role: Role | None = None
    name: str | None = None
    weight: float | None = None
    disabled: bool | None = None


class AccountStore:
    """Owners and their API keys in the database."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def put_owner(self, owner: Owner) -> None:
        """Add an owner, or change its role, name, weight and whether it is disabled."""
        self._write(_put_owner, owner)

    def ensure_owner(self, owner: Owner) -> None:
        """Add an owner unless it exists."""
        self._write(_ensure_owner, owner)

    def change_owner(self, change: ChangeOwner) -> Owner:
        """Change an owner and return it. Raises `NotFound`."""
        return self._write(_change_owner, change)

    def owner(self, id_: str) -> Owner | None:
        return self._read(_owner, id_)

    def owners(self, *, parent: str | None = None, after: str = "", limit: int = 100) -> list[Owner]:
        """Return the accounts, or the end users of ``parent``, sorted by id."""
        return self._read(_list_owners, parent, after, limit)

    def add_key(self, key: StoredKey) -> None:
        """Add a key. Raises `NotFound` for an unknown owner, `Conflict` for a visible part that is taken."""
        self._write(_add_key, AddKey(key))

    def revoke_key(self, revoke: RevokeKey) -> StoredKey:
        """Revoke a key. Raises `NotFound`, for another owner's key too."""
        return self._write(_revoke_key, revoke)

    def use_key(self, use: UseKey) -> None:
        """Store the time of a key's last use."""
        self._write(_use_key, use)

    def key(self, id_: str) -> tuple[StoredKey, Owner] | None:
        return self._read(_key, id_)

    def keys(self, owner: str | None = None) -> list[StoredKey]:
        """Return the keys of an owner, or all, the newest first."""
        return self._read(_list_keys, owner)

    def has_credentials(self) -> bool:
        """Whether a key or a user was ever made; a revoked key counts, too."""
        return self._read(_has_credentials)


def _put_owner(tx: Tx, requests: Sequence[Owner]) -> list[None]:
    for owner in requests:
        row = _owner_row(owner)
        changed = {name: row[name] for name in ("role", "name", "weight", "disabled_at")}
        statement = tx.insert(tables.owners).values(row)
        tx.conn.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))
    return [None] * len(requests)


def _ensure_owner(tx: Tx, requests: Sequence[Owner]) -> list[None]:
    for owner in requests:
        tx.conn.execute(tx.insert(tables.owners).values(_owner_row(owner)).on_conflict_do_nothing())
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
            if request.disabled:
                end_browser_sessions(tx, _browsers.owner == request.id)
        update = sa.update(tables.owners).where(_owners.id == request.id).values(values)
        row = tx.conn.execute(update.returning(*tables.owners.columns)).first()
        answers.append(owner_from(row) if row else NotFound(f"there is no owner {request.id}"))
    return answers


def _owner(conn: sa.Connection, id_: str) -> Owner | None:
    row = conn.execute(sa.select(tables.owners).where(_owners.id == id_)).first()
    return owner_from(row) if row else None


def _list_owners(conn: sa.Connection, parent: str | None, after: str, limit: int) -> list[Owner]:
    of_parent = _owners.parent.is_(None) if parent is None else _owners.parent == parent
    statement = sa.select(tables.owners).where(of_parent, _owners.id > after)
    return [owner_from(row) for row in conn.execute(statement.order_by(_owners.id).limit(limit))]


def _add_key(tx: Tx, requests: Sequence[AddKey]) -> list[NotFound | Conflict | None]:
    answers: list[NotFound | Conflict | None] = []
    for request in requests:
        key = request.key
        if _owner(tx.conn, key.owner) is None:
            answers.append(NotFound(f"there is no owner {key.owner}"))
            continue
        if _live_keys(tx, key.owner, key.created_at) >= MOST_KEYS:
            answers.append(
                Conflict(f"{key.owner} has {MOST_KEYS} keys, the most an account may have; revoke one first")
            )
            continue
        _delete_old_keys(tx, key.owner, key.created_at)
        insert = tx.insert(tables.api_keys).values(_key_row(key)).on_conflict_do_nothing()
        added = tx.conn.execute(insert.returning(_keys.id)).first()
        answers.append(None if added else Conflict(f"there is a key {key.id} already"))
    return answers


def _is_dead(now: int) -> sa.ColumnElement[bool]:
    return sa.or_(_keys.revoked_at.is_not(None), _keys.expires_at <= now)


def _live_keys(tx: Tx, owner: str, now: int) -> int:
    is_live = sa.not_(sa.func.coalesce(_is_dead(now), sa.false()))
    return tx.conn.execute(sa.select(sa.func.count()).where(_keys.owner == owner, is_live)).scalar_one()


def _delete_old_keys(tx: Tx, owner: str, now: int) -> None:
    """Delete an account's revoked and expired keys but the newest, which people may look for in lists."""
    dead = sa.select(_keys.id).where(_keys.owner == owner, _is_dead(now))
    old = dead.order_by(_keys.created_at.desc(), _keys.id).offset(MOST_KEYS).limit(1000)
    ids = list(tx.conn.execute(old).scalars())
    if ids:
        tx.conn.execute(sa.delete(tables.api_keys).where(_keys.id.in_(ids)))


def _revoke_key(tx: Tx, requests: Sequence[RevokeKey]) -> list[StoredKey | NotFound]:
    answers: list[StoredKey | NotFound] = []
    for request in requests:
        its_owner = _keys.owner == request.owner if request.owner is not None else sa.true()
        revoked_at = sa.func.coalesce(_keys.revoked_at, request.now)
        row = tx.conn.execute(
            sa.update(tables.api_keys)
            .where(_keys.id == request.id, its_owner)
            .values(revoked_at=revoked_at)
            .returning(*tables.api_keys.columns)
        ).first()
        if row:
            end_browser_sessions(tx, _browsers.credential == request.id)
        answers.append(_stored_key(row) if row else NotFound(f"there is no key {request.id}"))
    return answers


def _use_key(tx: Tx, requests: Sequence[UseKey]) -> list[None]:
    for request in requests:
        statement = sa.update(tables.api_keys).where(_keys.id == request.id)
        tx.conn.execute(statement.values(used_at=request.now))
    return [None] * len(requests)


def _key(conn: sa.Connection, id_: str) -> tuple[StoredKey, Owner] | None:
    statement = sa.select(*_KEY_COLUMNS, *tables.owners.columns)
    row = conn.execute(statement.join(tables.owners).where(_keys.id == id_)).first()
    if row is None:
        return None
    return _stored_key(row[: len(_KEY_COLUMNS)]), owner_from(row[len(_KEY_COLUMNS) :])


def _list_keys(conn: sa.Connection, owner: str | None) -> list[StoredKey]:
    of_owner = _keys.owner == owner if owner is not None else sa.true()
    statement = sa.select(tables.api_keys).where(of_owner).order_by(_keys.created_at.desc(), _keys.id)
    return [_stored_key(row) for row in conn.execute(statement)]


def _has_credentials(conn: sa.Connection) -> bool:
    key, user = sa.exists(tables.api_keys.select()), sa.exists(tables.users.select())
    return bool(conn.execute(sa.select(sa.or_(key, user))).scalar())


def _owner_row(owner: Owner) -> dict[str, Any]:
    return {name: getattr(owner, name) for name in _OWNER_NAMES} | {"role": owner.role.value}


def owner_from(row: Sequence[Any]) -> Owner:
    values: dict[str, Any] = dict(zip(_OWNER_NAMES, row, strict=True))
    values["role"] = Role(values["role"])
    return Owner(**values)


def _key_row(key: StoredKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in _KEY_NAMES} | {"scopes": " ".join(sorted(key.scopes))}


def scopes_from(text: str) -> frozenset[Scope]:
    """Return the scopes that a column holds."""
    return frozenset(Scope(name) for name in text.split())


def _stored_key(row: Sequence[Any]) -> StoredKey:
    values: dict[str, Any] = dict(zip(_KEY_NAMES, row, strict=True))
    values["scopes"] = scopes_from(values["scopes"])
    return StoredKey(**values)


# Sessions


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    owner: str
    digest: str
    """The digest of the refresh token that may be used next."""
    family: str
    """The digest of the part that all refresh tokens of the session share, by which a former one is
    recognized."""
    created_at: int
    expires_at: int
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True)
class AddSession:
    session: Session
    reset_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refresh:
    digest: str
    """The digest of the refresh token that was sent."""
    family: str
    next_digest: str
    now: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Refreshed:
    session: Session
    reused: bool = False
    """Whether a former token was sent; the session is revoked then."""


@dataclass(frozen=True, slots=True)
class EndSession:
    id: str
    now: int


class SessionStore:
    """Sessions of logged-in users in the database."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def add(self, session: Session, forgiven: Sequence[str] = ()) -> None:
        """Add a session and delete expired ones. ``forgiven``: the keys of attempts that no longer count."""
        self._write(add, AddSession(session, tuple(forgiven)))

    def get(self, id_: str) -> tuple[Session, Owner] | None:
        return self._read(_get, id_)

    def refresh(self, refresh: Refresh) -> Refreshed:
        """Replace the refresh token. Raises `Unauthenticated` when it is unknown or its session has ended."""
        return self._write(_refresh, refresh)

    def end(self, end: EndSession) -> None:
        self._write(_end, end)


def end_sessions(tx: Tx, owner: str, now: int, *, but: str | None = None) -> None:
    """End all sessions of an owner, except ``but``, within the caller's transaction."""
    end_browser_sessions(tx, sa.and_(_browsers.owner == owner, _browsers.id != (but or "")))
    others = sa.and_(_sessions.owner == owner, _sessions.revoked_at.is_(None))
    if but is not None:
        others = sa.and_(others, _sessions.id != but)
    tx.conn.execute(sa.update(tables.sessions).where(others).values(revoked_at=now))


def end_browser_sessions(tx: Tx, which: sa.ColumnElement[bool]) -> int:
    """End sessions of browsers within the caller's transaction; return their number."""
    return tx.conn.execute(sa.delete(tables.browser_sessions).where(which)).rowcount


def add(tx: Tx, requests: Sequence[AddSession]) -> list[None]:
    for request in requests:
        session = request.session
        tx.conn.execute(sa.delete(tables.sessions).where(_sessions.expires_at < session.created_at))
        row = {name: getattr(session, name) for name in _SESSION_NAMES}
        tx.conn.execute(tx.insert(tables.sessions).values(row))
    return throttle.reset_attempts(tx, [request.reset_keys for request in requests])


def _get(conn: sa.Connection, id_: str) -> tuple[Session, Owner] | None:
    statement = sa.select(*tables.sessions.columns, *tables.owners.columns).join(tables.owners)
    row = conn.execute(statement.where(_sessions.id == id_)).first()
    return (Session(*row[: len(_SESSION_NAMES)]), owner_from(row[len(_SESSION_NAMES) :])) if row else None


def _refresh(tx: Tx, requests: Sequence[Refresh]) -> list[Refreshed | Unauthenticated]:
    return [_refresh_one(tx, request) for request in requests]


def _refresh_one(tx: Tx, request: Refresh) -> Refreshed | Unauthenticated:
    live = sa.and_(_sessions.revoked_at.is_(None), _sessions.expires_at > request.now)
    exchanged = (
        sa.update(tables.sessions)
        .where(_sessions.digest == request.digest, live)
        .values(digest=request.next_digest, expires_at=request.expires_at)
    )
    row = tx.conn.execute(exchanged.returning(*tables.sessions.columns)).first()
    if row is not None:
        return Refreshed(Session(*row))
    # A former token of the session was used again: either its user or a thief has a newer one.
    revoked = sa.update(tables.sessions).where(_sessions.family == request.family, live)
    row = tx.conn.execute(
        revoked.values(revoked_at=request.now).returning(*tables.sessions.columns)
    ).first()  # fmt: skip
    if row is not None:
        return Refreshed(Session(*row), reused=True)
    return Unauthenticated("the refresh token is unknown, or its session is over; log in again")


def _end(tx: Tx, requests: Sequence[EndSession]) -> list[None]:
    for request in requests:
        open_ = sa.and_(_sessions.id == request.id, _sessions.revoked_at.is_(None))
        tx.conn.execute(sa.update(tables.sessions).where(open_).values(revoked_at=request.now))
    return [None] * len(requests)


# Users


@dataclass(frozen=True, slots=True)
class User:
    owner: str
    email: str
    """The e-mail address in lower case."""
    password: str
    """The hash of the password."""
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
    """The session that is kept; all others of the owner end."""


@dataclass(frozen=True, slots=True)
class AddReset:
    digest: str
    owner: str
    now: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class UseReset:
    """Set a new password; this ends all sessions of the owner and voids its other reset tokens."""

    digest: str
    password: str
    now: int


class UserStore:
    """Users, who log in with a password, in the database."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def add(self, add: AddUser) -> None:
        """Add a user with its owner. Raises `Conflict` for an owner or an address that is taken."""
        self._write(_add, add)

    def by_email(self, email: str) -> tuple[User, Owner] | None:
        return self._read(_find, _users.email == email)

    def of(self, owner: str) -> tuple[User, Owner] | None:
        return self._read(_find, _users.owner == owner)

    def page(self, after: str, limit: int) -> list[tuple[User, Owner]]:
        """Return the users sorted by the ids of their owners, with their owners."""
        return self._read(_page, after, limit)

    def change_password(self, change: ChangePassword) -> None:
        """Change the password. Raises `NotFound` for an owner that is not a user."""
        self._write(_change_password, change)

    def add_reset(self, add: AddReset) -> None:
        self._write(_add_reset, add)

    def use_reset(self, use: UseReset) -> str:
        """Use a reset token and return its owner. Raises `NotFound` when it is unknown, used or expired."""
        return self._write(_use_reset, use)


def _add(tx: Tx, requests: Sequence[AddUser]) -> list[Conflict | None]:
    return [_add_one(tx, request) for request in requests]


def _add_one(tx: Tx, request: AddUser) -> Conflict | None:
    user = request.user
    taken = sa.select(tables.users.c.owner).where(_users.email == user.email)
    if tx.conn.execute(taken).first() is not None:
        return Conflict(f"there is a user {user.email} already")
    owner = {"id": user.owner, "role": request.role.value, "weight": 1.0, "created_at": user.created_at}
    insert = tx.insert(tables.owners).values(owner).on_conflict_do_nothing()
    if tx.conn.execute(insert.returning(tables.owners.c.id)).first() is None:
        return Conflict(f"the owner {user.owner} exists already; choose another name")
    tx.conn.execute(tx.insert(tables.users).values({name: getattr(user, name) for name in _USER_NAMES}))
    return None


def _find(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> tuple[User, Owner] | None:
    row = conn.execute(_both().where(condition)).first()
    return _pair(row) if row else None


def _page(conn: sa.Connection, after: str, limit: int) -> list[tuple[User, Owner]]:
    rows = conn.execute(_both().where(_users.owner > after).order_by(_users.owner).limit(limit))
    return [_pair(row) for row in rows]


def _both() -> sa.Select[Any]:
    return sa.select(*tables.users.columns, *tables.owners.columns).join(tables.owners)


def _pair(row: Sequence[Any]) -> tuple[User, Owner]:
    return User(*row[: len(_USER_NAMES)]), owner_from(row[len(_USER_NAMES) :])


def _change_password(tx: Tx, requests: Sequence[ChangePassword]) -> list[NotFound | None]:
    return [_change(tx, request) for request in requests]


def _change(tx: Tx, request: ChangePassword) -> NotFound | None:
    update = sa.update(tables.users).where(_users.owner == request.owner)
    changed = tx.conn.execute(update.values(password=request.password, changed_at=request.now))
    if not changed.rowcount:
        return NotFound(f"there is no user {request.owner}")
    end_sessions(tx, request.owner, request.now, but=request.but)
    return None


def _add_reset(tx: Tx, requests: Sequence[AddReset]) -> list[None]:
    for request in requests:
        tx.conn.execute(sa.delete(tables.resets).where(_resets.expires_at < request.now))
        row = {
            "digest": request.digest,
            "owner": request.owner,
            "created_at": request.now,
            "expires_at": request.expires_at,
        }
        tx.conn.execute(tx.insert(tables.resets).values(row))
    return [None] * len(requests)


def _use_reset(tx: Tx, requests: Sequence[UseReset]) -> list[str | NotFound]:
    return [_use_one_reset(tx, request) for request in requests]


def _use_one_reset(tx: Tx, request: UseReset) -> str | NotFound:
    valid = sa.and_(_resets.used_at.is_(None), _resets.expires_at > request.now)
    used = sa.update(tables.resets).where(_resets.digest == request.digest, valid)
    owner = tx.conn.execute(used.values(used_at=request.now).returning(_resets.owner)).scalar()
    if owner is None:
        return NotFound("the token of the mail is unknown, used or expired; request another mail")
    others = sa.update(tables.resets).where(_resets.owner == owner, _resets.used_at.is_(None))
    tx.conn.execute(others.values(used_at=request.now))
    failed = _change(tx, ChangePassword(owner, request.password, request.now))
    return failed or str(owner)

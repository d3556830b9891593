"""Sessions: a login each, held by a refresh token that changes at each use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from imagemill.domain.errors import Unauthenticated
from imagemill.store import owning, schema, tries
from imagemill.store.accounts import Owner, owner_from
from imagemill.store.commits import Tx

_sessions = owning.sessions.c


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    owner: str
    digest: str
    """Of the refresh token that may be used next."""
    family: str
    """Digest of what all refresh tokens of the session share: whoever shows a former one had it once."""
    created_at: int
    expires_at: int
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True)
class AddSession:
    session: Session
    forgiven: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refresh:
    digest: str
    """Of the token that is shown."""
    family: str
    next_digest: str
    now: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Refreshed:
    session: Session
    reused: bool = False
    """A former token was shown: the session is revoked."""


@dataclass(frozen=True, slots=True)
class EndSession:
    id: str
    now: int


class Sessions:
    """What `imagemill.store.store.Store` offers about sessions."""

    def __init__(self, write: Callable[..., Any], read: Callable[..., Any]) -> None:
        self._write = write
        self._read = read

    def add(self, session: Session, forgiven: Sequence[str] = ()) -> None:
        """Also forgets those that have run out. ``forgiven``: tries that were no guesses."""
        self._write(add, AddSession(session, tuple(forgiven)))

    def get(self, id_: str) -> tuple[Session, Owner] | None:
        return self._read(_get, id_)

    def refresh(self, refresh: Refresh) -> Refreshed:
        """Exchange its token. Raises `Unauthenticated` when it is unknown or the session is over."""
        return self._write(_refresh, refresh)

    def end(self, end: EndSession) -> None:
        self._write(_end, end)


def end_sessions(tx: Tx, owner: str, now: int, *, but: str | None = None) -> None:
    """All of an owner, within somebody else's transaction."""
    others = sa.and_(_sessions.owner == owner, _sessions.revoked_at.is_(None))
    if but is not None:
        others = sa.and_(others, _sessions.id != but)
    tx.conn.execute(sa.update(owning.sessions).where(others).values(revoked_at=now))


def add(tx: Tx, requests: Sequence[AddSession]) -> list[None]:
    for request in requests:
        session = request.session
        tx.conn.execute(sa.delete(owning.sessions).where(_sessions.expires_at < session.created_at))
        row = {name: getattr(session, name) for name in _NAMES}
        tx.conn.execute(tx.insert(owning.sessions).values(row))
    return tries.forgive(tx, [request.forgiven for request in requests])


def _get(conn: sa.Connection, id_: str) -> tuple[Session, Owner] | None:
    statement = sa.select(*owning.sessions.columns, *schema.owners.columns).join(schema.owners)
    row = conn.execute(statement.where(_sessions.id == id_)).first()
    return (Session(*row[: len(_NAMES)]), owner_from(row[len(_NAMES) :])) if row else None


def _refresh(tx: Tx, requests: Sequence[Refresh]) -> list[Refreshed | Unauthenticated]:
    return [_refresh_one(tx, request) for request in requests]


def _refresh_one(tx: Tx, request: Refresh) -> Refreshed | Unauthenticated:
    live = sa.and_(_sessions.revoked_at.is_(None), _sessions.expires_at > request.now)
    exchanged = (
        sa.update(owning.sessions)
        .where(_sessions.digest == request.digest, live)
        .values(digest=request.next_digest, expires_at=request.expires_at)
    )
    row = tx.conn.execute(exchanged.returning(*owning.sessions.columns)).first()
    if row is not None:
        return Refreshed(Session(*row))
    # Only who once had a token of the session knows its family: one of two has stolen it.
    revoked = sa.update(owning.sessions).where(_sessions.family == request.family, live)
    row = tx.conn.execute(
        revoked.values(revoked_at=request.now).returning(*owning.sessions.columns)
    ).first()  # fmt: skip
    if row is not None:
        return Refreshed(Session(*row), reused=True)
    return Unauthenticated("the refresh token is unknown, or its session is over; log in again")


def _end(tx: Tx, requests: Sequence[EndSession]) -> list[None]:
    for request in requests:
        open_ = sa.and_(_sessions.id == request.id, _sessions.revoked_at.is_(None))
        tx.conn.execute(sa.update(owning.sessions).where(open_).values(revoked_at=request.now))
    return [None] * len(requests)


_NAMES = tuple(column.name for column in owning.sessions.columns)

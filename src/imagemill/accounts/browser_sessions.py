"""Sessions of the web application, which a browser keeps in a cookie.

The cookie is random and its digest is stored, as that of a key is. A session ends `IDLE_S` after its last
use, at the latest `LONGEST_S` after its begin, and when its key is revoked, the password changes or the
account is disabled. A one-time sign-in link is a session that has not begun.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from imagemill.accounts.store import Owner, end_browser_sessions, owner_from, scopes_from
from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.domain import access
from imagemill.domain.access import GRANTED, READING, Caller, Role, Scope
from imagemill.domain.clock import SECOND, now_us, uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import InvalidInput, NotFound, Unauthenticated

IDLE_S = 7 * 86_400
LONGEST_S = 30 * 86_400
LINK_S = 600
"""Seconds in which a sign-in link works, once."""
BROWSER = "browser:"
"""The beginning of a caller's credential when it is a session of a browser."""
MOST = 50
"""Sessions of an account at a time; the one that was used least recently ends when another begins."""
ENDED = "the session has ended; sign in again"
_LINK, _SETTINGS = "link", "settings:"
"""Credentials of administrators without a key of the table: by a sign-in link, by the settings' key."""
_USE_NOTED_S = 600
"""Seconds between two writes of a session's last use."""

_rows, _keys = tables.browser_sessions.c, tables.api_keys.c
_NAMES = tuple(column.name for column in tables.browser_sessions.columns)
_OWNER_WIDTH = len(tables.owners.columns)


@dataclass(frozen=True, slots=True)
class BrowserSession:
    id: str
    owner: str
    digest: str
    credential: str
    """The id of the key that was given; empty for a password."""
    is_link: bool
    """Whether it has not begun."""
    is_read_only: bool
    address: str
    """The network address it began from."""
    browser: str
    """The User-Agent it began with."""
    created_at: int
    used_at: int
    expires_at: int
    ends_at: int
    """The end of the session however much it is used."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """The request for a session."""

    is_read_only: bool = False
    address: str = ""
    browser: str = ""


@dataclass(frozen=True, slots=True)
class NewBrowserSession:
    session: BrowserSession
    text: str
    """The content of the cookie, or the code of a link."""


@dataclass(frozen=True, slots=True)
class _Redeem:
    code: str
    digest: str
    sign_in: SignIn
    now: int


@dataclass(frozen=True, slots=True)
class _Use:
    id: str
    now: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class _End:
    id: str
    owner: str | None


_Rights = tuple[BrowserSession, Owner, str | None, int | None]
"""A session with its account, and the scopes and the expiry of its key; scopes None without a valid key."""


class BrowserSessions:
    """``admin_key``: the digest of the settings' key. ``forget`` empties the caches of callers."""

    def __init__(
        self,
        database: Database,
        admin_key: str | None = None,
        forget: Callable[[], None] = lambda: None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._now = clock
        self._write = database.write
        self._read = database.read
        self._admin = f"{_SETTINGS}{access.digest(admin_key)[:16]}" if admin_key is not None else None
        self._forget = forget

    def begin(self, caller: Caller, sign_in: SignIn) -> NewBrowserSession:
        """Begin a session of the caller of a key or, with an empty credential, of a password.

        Raises `InvalidInput` for a credential that is itself a session.
        """
        credential = caller.credential
        if credential == "settings":
            credential = self._admin or ""
        elif ":" in credential:
            raise InvalidInput.at(
                "key", "is the token of a session; sign in with the e-mail address and password"
            )
        return self._add(caller.account, credential, sign_in, is_link=False)

    def link(self, owner: str) -> str:
        """Return the code of a sign-in link for an administrator, who acts as this owner."""
        return self._add(owner, _LINK, SignIn(), is_link=True).text

    def redeem(self, code: str, sign_in: SignIn) -> NewBrowserSession:
        """Begin the session of a sign-in link. Raises `Unauthenticated` for an unknown or used code."""
        text = secrets.token_urlsafe(32)
        request = _Redeem(access.digest(code), access.digest(text), sign_in, self._now())
        return NewBrowserSession(self._write(_redeem, request), text)

    def caller(self, text: str) -> Caller:
        """Return the caller of a cookie. Raises `Unauthenticated` when its session has ended."""
        found = self._read(_find, access.digest(text))
        now = self._now()
        if found is None or found[0].expires_at <= now or found[1].disabled_at is not None:
            raise Unauthenticated(ENDED)
        session, owner = found[0], found[1]
        role, scopes = self._rights(found, now)
        if session.is_read_only:
            scopes &= READING
        if now - session.used_at > _USE_NOTED_S * SECOND:
            self._write(_use, _Use(session.id, now, min(now + IDLE_S * SECOND, session.ends_at)))
        return Caller(owner.id, role, scopes, owner.id, f"{BROWSER}{session.id}")

    def get(self, caller: Caller) -> BrowserSession | None:
        """Return the session that the caller uses; None for another credential."""
        if not is_browser(caller):
            return None
        found = self._read(_list, _rows.id == caller.credential.removeprefix(BROWSER), self._now())
        return found[0] if found else None

    def of(self, owner: str) -> list[BrowserSession]:
        """Return the sessions of an account, the one that was used last first."""
        return self._read(_list, _rows.owner == owner, self._now())

    def end(self, id_: str, owner: str | None = None) -> None:
        """End a session; ``owner`` None means any account's. Raises `NotFound`, for another account's too."""
        self._write(_end, _End(id_, owner))
        self._forget()

    def _add(self, owner: str, credential: str, sign_in: SignIn, *, is_link: bool) -> NewBrowserSession:
        text, now = secrets.token_urlsafe(32), self._now()
        session = BrowserSession(
            id=uuid7(now),
            owner=owner,
            digest=access.digest(text),
            credential=credential,
            is_link=is_link,
            is_read_only=sign_in.is_read_only,
            address=sign_in.address[:64],
            browser=sign_in.browser[:200],
            created_at=now,
            used_at=now,
            expires_at=now + (LINK_S if is_link else IDLE_S) * SECOND,
            ends_at=now + LONGEST_S * SECOND,
        )
        self._write(_begin, session)
        return NewBrowserSession(session, text)

    def _rights(self, found: _Rights, now: int) -> tuple[Role, frozenset[Scope]]:
        """Return the role and scopes of a session. Raises `Unauthenticated` without its credential."""
        session, owner, key_scopes, key_end = found
        if session.credential == _LINK or (self._admin is not None and session.credential == self._admin):
            return Role.ADMIN, Role.ADMIN.scopes
        if not session.credential:
            return owner.role, owner.role.scopes
        if key_scopes is None or (key_end is not None and key_end <= now):
            raise Unauthenticated(ENDED)
        return owner.role, scopes_from(key_scopes) & (owner.role.scopes | GRANTED)


def is_browser(caller: Caller) -> bool:
    """Whether the caller has a session of a browser."""
    return caller.credential.startswith(BROWSER)


def csrf_token(text: str) -> str:
    """Return the token that requests with this cookie carry in a header, unknown to pages of other sites."""
    return hmac.new(text.encode(), b"csrf", hashlib.sha256).hexdigest()


def _begin(tx: Tx, requests: Sequence[BrowserSession]) -> list[None]:
    for session in requests:
        end_browser_sessions(tx, _rows.expires_at < session.created_at)
        of_owner = sa.select(_rows.id).where(_rows.owner == session.owner)
        surplus = of_owner.order_by(_rows.used_at.desc(), _rows.id).offset(MOST - 1).limit(MOST)
        if ids := list(tx.conn.execute(surplus).scalars()):
            end_browser_sessions(tx, _rows.id.in_(ids))
        row = {name: getattr(session, name) for name in _NAMES}
        tx.conn.execute(tx.insert(tables.browser_sessions).values(row))
    return [None] * len(requests)


def _redeem(tx: Tx, requests: Sequence[_Redeem]) -> list[BrowserSession | Unauthenticated]:
    answers: list[BrowserSession | Unauthenticated] = []
    for request in requests:
        sign_in, now = request.sign_in, request.now
        valid = sa.and_(_rows.digest == request.code, _rows.is_link, _rows.expires_at > now)
        begun = (
            sa.update(tables.browser_sessions)
            .where(valid)
            .values(
                digest=request.digest,
                is_link=False,
                is_read_only=sign_in.is_read_only,
                address=sign_in.address[:64],
                browser=sign_in.browser[:200],
                used_at=now,
                expires_at=now + IDLE_S * SECOND,
            )
        )
        row = tx.conn.execute(begun.returning(*tables.browser_sessions.columns)).first()
        answers.append(
            BrowserSession(*row)
            if row is not None
            else Unauthenticated(
                "the sign-in link is unknown, used or too old; `imagemill sessions link` makes another"
            )
        )
    return answers


def _find(conn: sa.Connection, digest: str) -> _Rights | None:
    valid_key = sa.and_(_keys.id == _rows.credential, _keys.revoked_at.is_(None))
    statement = (
        sa.select(
            *tables.browser_sessions.columns,
            *tables.owners.columns,
            _keys.scopes,
            _keys.expires_at.label("key_end"),
        )
        .select_from(tables.browser_sessions)
        .join(tables.owners)
        .outerjoin(tables.api_keys, valid_key)
        .where(_rows.digest == digest, sa.not_(_rows.is_link))
    )
    row = conn.execute(statement).first()
    if row is None:
        return None
    values: Sequence[Any] = tuple(row)
    width = len(_NAMES)
    owner = owner_from(values[width : width + _OWNER_WIDTH])
    return BrowserSession(*values[:width]), owner, values[-2], values[-1]


def _list(conn: sa.Connection, which: sa.ColumnElement[bool], now: int) -> list[BrowserSession]:
    begun = sa.and_(which, sa.not_(_rows.is_link), _rows.expires_at > now)
    statement = sa.select(tables.browser_sessions).where(begun).order_by(_rows.used_at.desc(), _rows.id)
    return [BrowserSession(*row) for row in conn.execute(statement.limit(MOST))]


def _use(tx: Tx, requests: Sequence[_Use]) -> list[None]:
    for request in requests:
        update = sa.update(tables.browser_sessions).where(_rows.id == request.id)
        tx.conn.execute(update.values(used_at=request.now, expires_at=request.expires_at))
    return [None] * len(requests)


def _end(tx: Tx, requests: Sequence[_End]) -> list[NotFound | None]:
    answers: list[NotFound | None] = []
    for request in requests:
        of_owner = _rows.owner == request.owner if request.owner is not None else sa.true()
        found = end_browser_sessions(tx, sa.and_(_rows.id == request.id, sa.not_(_rows.is_link), of_owner))
        answers.append(None if found else NotFound(f"there is no session {request.id[:40]}"))
    return answers

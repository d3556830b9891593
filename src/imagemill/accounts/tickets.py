"""Tickets by which browsers open WebSockets: they cannot send a header, and a key in a URL would be logged.

A ticket is random, valid for `LIFE_S` seconds and for one connection at any process of the installation. It
may only read jobs. Its digest is stored, as that of a key is.
"""

import secrets
from collections.abc import Sequence

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.domain import access
from imagemill.domain.access import Caller, Role, Scope
from imagemill.domain.clock import SECOND, now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Unauthenticated

LIFE_S = 30.0
"""Seconds from the answer to the connection of a page on a slow line."""
_tickets = tables.tickets.c
_UNKNOWN = "the ticket is unknown, used or older than 30 s; get another one by POST /api/v1/auth/tickets"


@dataclass(frozen=True, slots=True)
class NewTicket:
    text: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class _Issue:
    digest: str
    caller: Caller
    now: int
    expires_at: int


class SocketTickets:
    def __init__(self, database: Database) -> None:
        self._write = database.write

    def issue(self, caller: Caller) -> NewTicket:
        """Return a ticket for one WebSocket of this caller."""
        text, now = secrets.token_urlsafe(32), now_us()
        expires_at = now + round(LIFE_S * SECOND)
        self._write(_issue, _Issue(access.digest(text), caller, now, expires_at))
        return NewTicket(text, expires_at)

    def redeem(self, text: str) -> Caller:
        """Return the caller of a ticket, which is used up by it. Raises `Unauthenticated`."""
        return self._write(_redeem, access.digest(text))


def _issue(tx: Tx, requests: Sequence[_Issue]) -> list[None]:
    for request in requests:
        tx.conn.execute(sa.delete(tables.tickets).where(_tickets.expires_at < request.now))
        caller = request.caller
        row = {
            "digest": request.digest,
            "owner": caller.owner,
            "account": caller.account,
            "role": caller.role.value,
            "credential": caller.credential,
            "expires_at": request.expires_at,
        }
        tx.conn.execute(sa.insert(tables.tickets).values(row))
    return [None] * len(requests)


def _redeem(tx: Tx, digests: Sequence[str]) -> list[Caller | Unauthenticated]:
    found: list[Caller | Unauthenticated] = []
    for digest in digests:
        gone = sa.delete(tables.tickets).where(_tickets.digest == digest)
        row = tx.conn.execute(gone.returning(*tables.tickets.columns)).first()
        if row is None or row.expires_at < now_us():
            found.append(Unauthenticated(_UNKNOWN))
        else:
            scopes = frozenset({Scope.JOBS_READ})
            found.append(Caller(row.owner, Role(row.role), scopes, row.account, row.credential))
    return found

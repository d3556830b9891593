"""Endpoints: where an owner wants its webhooks, and the writes that change one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from imagemill.domain.errors import Conflict, NotFound
from imagemill.store import owning
from imagemill.store.announcing import change_audience
from imagemill.store.commits import Tx
from imagemill.store.rows import dump

_endpoints = owning.endpoints.c
_messages = owning.messages.c

MOST_SECRETS = 4
"""Each one is another signature of each message."""


@dataclass(frozen=True, slots=True)
class Secret:
    text: str
    until: int | None = None
    """When it stops to sign; None: it is the present one."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    id: str
    owner: str
    url: str
    description: str
    types: frozenset[str]
    secrets: tuple[Secret, ...]
    """The present one first."""
    created_at: int
    updated_at: int
    failing_since: int | None = None
    """Since when nothing was delivered although it was tried."""
    paused_at: int | None = None
    pause_reason: str | None = None

    def valid_secrets(self, now: int) -> list[str]:
        return [secret.text for secret in self.secrets if secret.until is None or secret.until > now]


@dataclass(frozen=True, slots=True)
class Add:
    endpoint: Endpoint
    most: int
    """Endpoints the owner may have."""


@dataclass(frozen=True, slots=True)
class _Named:
    id: str
    owner: str
    now: int


@dataclass(frozen=True, slots=True)
class Alter(_Named):
    """``changes``: of url, description, types."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rotate(_Named):
    secret: str
    until: int
    """When the former one stops to sign."""


@dataclass(frozen=True, slots=True)
class Pause(_Named):
    reason: str


@dataclass(frozen=True, slots=True)
class Resume(_Named):
    """What was held goes out, each message with all its tries before it."""


@dataclass(frozen=True, slots=True)
class Remove(_Named):
    pass


def add(tx: Tx, requests: Sequence[Add]) -> list[Conflict | None]:
    change_audience(tx)
    answers: list[Conflict | None] = []
    for request in requests:
        endpoint = request.endpoint
        count = sa.select(sa.func.count()).where(_endpoints.owner == endpoint.owner)
        if tx.conn.execute(count).scalar_one() >= request.most:
            answers.append(
                Conflict(f"an owner may have {request.most} endpoints; delete one that is not needed")
            )
            continue
        tx.conn.execute(sa.insert(owning.endpoints).values(_row(endpoint)))
        answers.append(None)
    return answers


def alter(tx: Tx, requests: Sequence[Alter]) -> list[Endpoint | NotFound]:
    change_audience(tx)
    return [_put(tx, request, dict(request.changes)) for request in requests]


def rotate(tx: Tx, requests: Sequence[Rotate]) -> list[Endpoint | NotFound | Conflict]:
    return [_rotate_one(tx, request) for request in requests]


def _rotate_one(tx: Tx, request: Rotate) -> Endpoint | NotFound | Conflict:
    endpoint = _lock(tx, request)
    if isinstance(endpoint, NotFound):
        return endpoint
    former = [secret for secret in endpoint.secrets if secret.until is None or secret.until > request.now]
    if len(former) >= MOST_SECRETS:
        return Conflict(
            f"{len(former)} secrets of this endpoint are valid, the most there may be; "
            "rotate again when the oldest of them is not any more"
        )
    kept = [secret if secret.until is not None else replace(secret, until=request.until) for secret in former]
    return _put(tx, request, {"secrets": (Secret(request.secret), *kept)})


def pause(tx: Tx, requests: Sequence[Pause]) -> list[Endpoint | NotFound]:
    return [
        _put(tx, request, {"paused_at": request.now, "pause_reason": request.reason}) for request in requests
    ]


def resume(tx: Tx, requests: Sequence[Resume]) -> list[Endpoint | NotFound]:
    answers: list[Endpoint | NotFound] = []
    for request in requests:
        changes = {"paused_at": None, "pause_reason": None, "failing_since": None}
        endpoint = _put(tx, request, changes)
        if isinstance(endpoint, Endpoint):
            tx.conn.execute(
                sa.update(owning.messages)
                .where(_messages.endpoint_id == endpoint.id, _messages.due_at.is_not(None))
                .where(sa.or_(_messages.tries > 0, _messages.due_at > request.now))
                .values(due_at=request.now, tries=0)
            )
            tx.called_back = True
        answers.append(endpoint)
    return answers


def remove(tx: Tx, requests: Sequence[Remove]) -> list[NotFound | None]:
    change_audience(tx)
    answers: list[NotFound | None] = []
    for request in requests:
        endpoint = _lock(tx, request)
        answers.append(endpoint if isinstance(endpoint, NotFound) else None)
        if isinstance(endpoint, Endpoint):
            tx.conn.execute(sa.delete(owning.endpoints).where(_endpoints.id == endpoint.id))
    return answers


def get(conn: sa.Connection, id_: str, owner: str) -> Endpoint:
    row = conn.execute(
        sa.select(owning.endpoints).where(_endpoints.id == id_, _endpoints.owner == owner)
    ).first()
    if row is None:
        raise _absent(id_)
    return endpoint_from(row)


def of_owner(conn: sa.Connection, owner: str) -> list[Endpoint]:
    statement = sa.select(owning.endpoints).where(_endpoints.owner == owner)
    return [endpoint_from(row) for row in conn.execute(statement.order_by(_endpoints.id))]


def _lock(tx: Tx, named: _Named) -> Endpoint | NotFound:
    row = tx.conn.execute(
        sa.select(owning.endpoints)
        .where(_endpoints.id == named.id, _endpoints.owner == named.owner)
        .with_for_update()
    ).first()
    return endpoint_from(row) if row else _absent(named.id)


def _put(tx: Tx, named: _Named, changes: Mapping[str, Any]) -> Endpoint | NotFound:
    endpoint = _lock(tx, named)
    if isinstance(endpoint, NotFound):
        return endpoint
    changed = replace(endpoint, updated_at=named.now, **changes)
    tx.conn.execute(
        sa.update(owning.endpoints).where(_endpoints.id == named.id).values(_row(changed))
    )  # fmt: skip
    return changed


def _absent(id_: str) -> NotFound:
    return NotFound(f"there is no webhook {id_}")


def _row(endpoint: Endpoint) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: getattr(endpoint, name) for name in _NAMES if name not in ("events", "secrets")
    }
    secrets = [[secret.text, secret.until] for secret in endpoint.secrets]
    return values | {"events": " ".join(sorted(endpoint.types)), "secrets": dump(secrets)}


def endpoint_from(row: Sequence[Any]) -> Endpoint:
    values: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    values["types"] = frozenset(values.pop("events").split())
    values["secrets"] = tuple(Secret(*each) for each in from_json(values["secrets"]))
    return Endpoint(**values)


_NAMES = tuple(column.name for column in owning.endpoints.columns)

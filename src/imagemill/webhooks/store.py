"""Webhook endpoints, the messages to them and the attempts to deliver each, in the database."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# The rows of a statement built from a tuple of columns have no static type.

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json

from imagemill.db import tables
from imagemill.db.database import Database
from imagemill.db.group_commit import Tx
from imagemill.db.statements import dump
from imagemill.domain.clock import to_datetime
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import Conflict, NotFound
from imagemill.webhooks.exchanges import Exchange, dump_exchange, load_exchange
from imagemill.webhooks.outbox import invalidate_subscriptions

_endpoints = tables.endpoints.c
_messages = tables.messages.c
_attempts = tables.attempts.c

_ENDPOINT_COLUMNS = tuple(column.name for column in tables.endpoints.columns)
_MESSAGE_COLUMNS = tuple(column.name for column in tables.messages.columns)
_ATTEMPT = (_attempts.number, _attempts.at, _attempts.status, _attempts.error, _attempts.took_ms)
_EXCHANGE = (_attempts.exchange, _attempts.request_body)

MOST_SECRETS = 4
"""The most valid secrets of an endpoint; each adds a signature to each message."""


# Endpoints


@dataclass(frozen=True, slots=True)
class Secret:
    text: str
    until: int | None = None
    """The time until which it signs; None for the current one."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    id: str
    owner: str
    url: str
    description: str
    types: frozenset[str]
    secrets: tuple[Secret, ...]
    """The current one comes first."""
    created_at: int
    updated_at: int
    failing_since: int | None = None
    """The time of the first of the failed attempts since the last success; None without one."""
    paused_at: int | None = None
    pause_reason: str | None = None

    def valid_secrets(self, now: int) -> list[str]:
        return [secret.text for secret in self.secrets if secret.until is None or secret.until > now]


@dataclass(frozen=True, slots=True)
class AddEndpoint:
    endpoint: Endpoint
    most: int
    """The most endpoints the owner may have."""


@dataclass(frozen=True, slots=True)
class _Named:
    id: str
    owner: str
    now: int


@dataclass(frozen=True, slots=True)
class UpdateEndpoint(_Named):
    """A change of url, description or types."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RotateSecret(_Named):
    secret: str
    until: int
    """The time until which the former secret signs."""


@dataclass(frozen=True, slots=True)
class PauseEndpoint(_Named):
    reason: str


@dataclass(frozen=True, slots=True)
class ResumeEndpoint(_Named):
    """Resume an endpoint; the messages that were kept are due at once, with a new count of tries."""


@dataclass(frozen=True, slots=True)
class RemoveEndpoint(_Named):
    pass


def add_endpoints(tx: Tx, requests: Sequence[AddEndpoint]) -> list[Conflict | None]:
    invalidate_subscriptions(tx)
    answers: list[Conflict | None] = []
    for request in requests:
        endpoint = request.endpoint
        count = sa.select(sa.func.count()).where(_endpoints.owner == endpoint.owner)
        if tx.conn.execute(count).scalar_one() >= request.most:
            answers.append(
                Conflict(f"an owner may have {request.most} endpoints; delete one that is not needed")
            )
            continue
        tx.conn.execute(sa.insert(tables.endpoints).values(_row(endpoint)))
        answers.append(None)
    return answers


def update_endpoints(tx: Tx, requests: Sequence[UpdateEndpoint]) -> list[Endpoint | NotFound]:
    invalidate_subscriptions(tx)
    return [_put(tx, request, dict(request.changes)) for request in requests]


def rotate_secrets(tx: Tx, requests: Sequence[RotateSecret]) -> list[Endpoint | NotFound | Conflict]:
    return [_rotate_one(tx, request) for request in requests]


def _rotate_one(tx: Tx, request: RotateSecret) -> Endpoint | NotFound | Conflict:
    endpoint = _lock(tx, request)
    if isinstance(endpoint, NotFound):
        return endpoint
    former = [secret for secret in endpoint.secrets if secret.until is None or secret.until > request.now]
    if len(former) >= MOST_SECRETS:
        return Conflict(
            f"{len(former)} secrets of this endpoint are valid, which is the limit; "
            "rotate again when the oldest of them has expired"
        )
    kept = [secret if secret.until is not None else replace(secret, until=request.until) for secret in former]
    return _put(tx, request, {"secrets": (Secret(request.secret), *kept)})


def pause_endpoints(tx: Tx, requests: Sequence[PauseEndpoint]) -> list[Endpoint | NotFound]:
    return [
        _put(tx, request, {"paused_at": request.now, "pause_reason": request.reason}) for request in requests
    ]


def resume_endpoints(tx: Tx, requests: Sequence[ResumeEndpoint]) -> list[Endpoint | NotFound]:
    answers: list[Endpoint | NotFound] = []
    for request in requests:
        changes = {"paused_at": None, "pause_reason": None, "failing_since": None}
        endpoint = _put(tx, request, changes)
        if isinstance(endpoint, Endpoint):
            tx.conn.execute(
                sa.update(tables.messages)
                .where(_messages.endpoint_id == endpoint.id, _messages.due_at.is_not(None))
                .where(sa.or_(_messages.tries > 0, _messages.due_at > request.now))
                .values(due_at=request.now, tries=0)
            )
            tx.has_deliveries = True
        answers.append(endpoint)
    return answers


def remove_endpoints(tx: Tx, requests: Sequence[RemoveEndpoint]) -> list[NotFound | None]:
    invalidate_subscriptions(tx)
    answers: list[NotFound | None] = []
    for request in requests:
        endpoint = _lock(tx, request)
        answers.append(endpoint if isinstance(endpoint, NotFound) else None)
        if isinstance(endpoint, Endpoint):
            tx.conn.execute(sa.delete(tables.endpoints).where(_endpoints.id == endpoint.id))
    return answers


def get_endpoint(conn: sa.Connection, id_: str, owner: str) -> Endpoint:
    row = conn.execute(
        sa.select(tables.endpoints).where(_endpoints.id == id_, _endpoints.owner == owner)
    ).first()
    if row is None:
        raise _absent(id_)
    return endpoint_from(row)


def endpoints_of(conn: sa.Connection, owner: str) -> list[Endpoint]:
    statement = sa.select(tables.endpoints).where(_endpoints.owner == owner)
    return [endpoint_from(row) for row in conn.execute(statement.order_by(_endpoints.id))]


def _lock(tx: Tx, named: _Named) -> Endpoint | NotFound:
    row = tx.conn.execute(
        sa.select(tables.endpoints)
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
        sa.update(tables.endpoints).where(_endpoints.id == named.id).values(_row(changed))
    )  # fmt: skip
    return changed


def _absent(id_: str) -> NotFound:
    return NotFound(f"there is no webhook {id_}")


def _row(endpoint: Endpoint) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: getattr(endpoint, name) for name in _ENDPOINT_COLUMNS if name not in ("events", "secrets")
    }
    secrets = [[secret.text, secret.until] for secret in endpoint.secrets]
    return values | {"events": " ".join(sorted(endpoint.types)), "secrets": dump(secrets)}


def endpoint_from(row: Sequence[Any]) -> Endpoint:
    values: dict[str, Any] = dict(zip(_ENDPOINT_COLUMNS, row, strict=True))
    values["types"] = frozenset(values.pop("events").split())
    values["secrets"] = tuple(Secret(*each) for each in from_json(values["secrets"]))
    return Endpoint(**values)


# Messages


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    endpoint_id: str
    job_id: str | None
    """None for a test message."""
    seq: int | None
    type: str
    body: str | None
    """The body that was sent last; None before the first attempt."""
    created_at: int
    due_at: int | None
    """None means that it was delivered or given up."""
    tries: int
    """The number of tries since it was written or redelivery was requested."""
    delivered_at: int | None


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    number: int
    at: int
    status: int | None
    error: str | None
    took_ms: int
    exchange: Exchange | None = None
    """Read with a single message only; None also for attempts of a release that kept none."""


@dataclass(frozen=True, slots=True)
class RecordAttempt:
    """The result of an attempt to deliver a message."""

    message: Message
    body: str
    attempt: DeliveryAttempt
    """Its number is assigned by the store."""
    again_at: int | None = None
    """The time of the next attempt; None after an error means that it was the last one."""
    is_gone: bool = False
    """Whether the receiver answered 410 Gone."""
    failing_before: int = 0
    """An endpoint that has been failing since this time or longer is paused."""

    @property
    def now(self) -> int:
        return self.attempt.at


@dataclass(frozen=True, slots=True)
class Redeliver:
    endpoint_id: str
    owner: str
    now: int
    message_id: str | None = None
    """None means all messages that were given up."""
    since: int = 0
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class DeleteMessages:
    """Delete messages of one endpoint, or those older than an id."""

    endpoint_id: str | None = None
    before: str | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class MessagePage:
    endpoint_id: str
    before: str | None = None
    failed: bool = False
    """Whether to return only those that were given up."""
    limit: int = 50
    event: str | None = None
    """The name of the event whose messages are returned; None means all."""


class WebhookStore:
    """Webhook endpoints and messages in the database."""

    def __init__(self, database: Database) -> None:
        self._write = database.write
        self._read = database.read

    def add(self, add: AddEndpoint) -> None:
        """Add an endpoint; it receives each event after this call. Raises `Conflict` at the owner's limit."""
        self._write(add_endpoints, add)

    def update(self, alter: UpdateEndpoint) -> Endpoint:
        """Change an endpoint. Like all methods that name one, raises `NotFound`, for another owner's too."""
        return self._write(update_endpoints, alter)

    def rotate(self, rotate: RotateSecret) -> Endpoint:
        """Add a secret. Raises `Conflict` when too many former secrets are still valid."""
        return self._write(rotate_secrets, rotate)

    def pause(self, pause: PauseEndpoint) -> Endpoint:
        return self._write(pause_endpoints, pause)

    def resume(self, resume: ResumeEndpoint) -> Endpoint:
        return self._write(resume_endpoints, resume)

    def remove(self, remove: RemoveEndpoint) -> None:
        """Delete an endpoint with its messages."""
        self._write(remove_endpoints, remove)

    def endpoint(self, id_: str, owner: str) -> Endpoint:
        return self._read(get_endpoint, id_, owner)

    def endpoints(self, owner: str) -> list[Endpoint]:
        """Return the oldest endpoints first."""
        return self._read(endpoints_of, owner)

    def waiting(self) -> list[tuple[Endpoint, int]]:
        """Return the endpoints that are not paused and have an undelivered message, each with the time at
        which its first is due; the longest due first."""
        return self._read(_waiting)

    def heads(self, endpoint_id: str, now: int, limit: int) -> list[Message]:
        """Return the first undelivered message of each job to an endpoint, where it is due."""
        return self._read(_heads, endpoint_id, now, limit)

    def put_message(self, message: Message) -> None:
        self._write(_put_message, message)

    def record(self, tried: RecordAttempt) -> bool:
        """Record an attempt; return whether the endpoint is paused now. A deleted message changes nothing."""
        return self._write(_record, tried)

    def redeliver(self, redeliver: Redeliver) -> int:
        """Make messages due again; return their number. Raises `NotFound` for an unknown message."""
        return self._write(_redeliver, redeliver)

    def delete_messages(self, shed: DeleteMessages) -> int:
        return self._write(_delete_messages, shed)

    def message(self, endpoint_id: str, id_: str) -> tuple[Message, list[DeliveryAttempt]]:
        return self._read(_message, endpoint_id, id_)

    def messages(self, page: MessagePage) -> list[Message]:
        """Return the newest messages first."""
        return self._read(_page, page)

    def last_attempts(self, ids: Sequence[str]) -> Mapping[str, DeliveryAttempt]:
        return self._read(_last_attempts, ids)


def _waiting(conn: sa.Connection) -> list[tuple[Endpoint, int]]:
    return [(endpoint_from(row[:-1]), row[-1]) for row in conn.execute(_waiting_endpoints())]


@cache  # an idle server asks each second, and making the statement takes longer than running it
def _waiting_endpoints() -> sa.Select[Any]:
    first = (
        sa.select(sa.func.min(_messages.due_at))
        .where(_messages.endpoint_id == _endpoints.id, _messages.due_at.is_not(None))
        .scalar_subquery()
    )
    unpaused = sa.select(tables.endpoints, first.label("first")).where(_endpoints.paused_at.is_(None))
    inner = unpaused.subquery()
    return sa.select(inner).where(inner.c.first.is_not(None)).order_by(inner.c.first)


def _heads(conn: sa.Connection, endpoint_id: str, now: int, limit: int) -> list[Message]:
    earlier = tables.messages.alias("earlier")
    is_held_back = sa.exists().where(
        earlier.c.endpoint_id == _messages.endpoint_id,
        earlier.c.job_id == _messages.job_id,
        earlier.c.seq < _messages.seq,
        earlier.c.due_at.is_not(None),
    )
    statement = (
        sa.select(tables.messages)
        .where(
            _messages.endpoint_id == endpoint_id,
            _messages.due_at.is_not(None),
            _messages.due_at <= now,
            ~is_held_back,
        )
        .order_by(_messages.due_at)
        .limit(limit)
    )
    return [Message(*row) for row in conn.execute(statement)]


def _put_message(tx: Tx, requests: Sequence[Message]) -> list[None]:
    rows = [{name: getattr(message, name) for name in _MESSAGE_COLUMNS} for message in requests]
    tx.conn.execute(sa.insert(tables.messages), rows)
    tx.has_deliveries = True
    return [None] * len(requests)


def _record(tx: Tx, requests: Sequence[RecordAttempt]) -> list[bool]:
    return [_record_one(tx, tried) for tried in requests]


def _record_one(tx: Tx, tried: RecordAttempt) -> bool:
    message, attempt = tried.message, tried.attempt
    endpoint_row = tx.conn.execute(
        sa.select(tables.endpoints).where(_endpoints.id == message.endpoint_id).with_for_update()
    ).first()
    if endpoint_row is None:
        return False
    endpoint = _with_result(tx, tried, endpoint_from(endpoint_row))
    is_paused, done = endpoint.paused_at is not None, attempt.error is None
    number = _next_number(tx, message)
    # While the endpoint is paused, a message at its last try stays due until it is resumed.
    due_at = tried.again_at or (tried.now if is_paused else None)
    is_renewed = sa.and_(_messages.due_at.is_not(None), _messages.due_at != message.due_at)
    changed = tx.conn.execute(
        sa.update(tables.messages)
        .where(_messages.id == message.id)
        .values(
            body=tried.body,
            tries=_messages.tries + 1,
            # Redelivery was requested during this attempt, so the message stays due.
            due_at=sa.case(
                (is_renewed, _messages.due_at), else_=sa.literal(None if done else due_at, sa.BigInteger)
            ),
            delivered_at=sa.case(
                (is_renewed, sa.null()), else_=sa.literal(tried.now if done else None, sa.BigInteger)
            ),
        )
        .returning(_messages.id)
    ).first()
    if changed is None:
        return is_paused
    values = {"at": attempt.at, "status": attempt.status, "error": attempt.error, "took_ms": attempt.took_ms}
    values["exchange"] = dump_exchange(attempt.exchange) if attempt.exchange is not None else None
    tx.conn.execute(sa.insert(tables.attempts).values(message_id=message.id, number=number, **values))
    return is_paused


def _next_number(tx: Tx, message: Message) -> int:
    """Return the number of a message's next attempt. Before it, the last one gets its own copy of the body,
    which the next may replace in the message."""
    count = sa.select(sa.func.coalesce(sa.func.max(_attempts.number), 0))
    last = tx.conn.execute(count.where(_attempts.message_id == message.id)).scalar_one()
    if last:
        body = sa.select(_messages.body).where(_messages.id == message.id).scalar_subquery()
        earlier = sa.update(tables.attempts).where(
            _attempts.message_id == message.id, _attempts.number == last, _attempts.request_body.is_(None)
        )
        tx.conn.execute(earlier.values(request_body=body))
    return last + 1


def _with_result(tx: Tx, tried: RecordAttempt, endpoint: Endpoint) -> Endpoint:
    """Update and return the endpoint after an attempt: healthy, failing or paused."""
    error = tried.attempt.error
    values: dict[str, Any] = {"failing_since": None}
    if error is not None:
        values["failing_since"] = since = endpoint.failing_since or tried.now
        if endpoint.paused_at is None and (tried.is_gone or _is_dead(tx, tried, since)):
            values["paused_at"] = tried.now
            nothing = f"nothing was delivered since {to_datetime(since):%Y-%m-%d %H:%M} UTC; the last time "
            values["pause_reason"] = error if tried.is_gone else nothing + error
    judged = replace(endpoint, **values)
    if judged != endpoint:
        tx.conn.execute(
            sa.update(tables.endpoints).where(_endpoints.id == endpoint.id).values(**values)
        )  # fmt: skip
    return judged


def _is_dead(tx: Tx, tried: RecordAttempt, since: int) -> bool:
    """Whether to pause the endpoint. If other messages arrived meanwhile, only this message is given up."""
    if tried.again_at is not None:
        return since <= tried.failing_before
    first = sa.select(sa.func.min(_attempts.at)).where(_attempts.message_id == tried.message.id)
    return since <= (tx.conn.execute(first).scalar_one() or tried.now)


def _redeliver(tx: Tx, requests: Sequence[Redeliver]) -> list[int | NotFound]:
    answers: list[int | NotFound] = []
    for request in requests:
        owned = sa.exists().where(_endpoints.id == request.endpoint_id, _endpoints.owner == request.owner)
        wanted = sa.select(_messages.id).where(_messages.endpoint_id == request.endpoint_id, owned)
        if request.message_id is not None:
            wanted = wanted.where(_messages.id == request.message_id)
        else:
            given_up = sa.and_(_messages.due_at.is_(None), _messages.delivered_at.is_(None))
            wanted = wanted.where(given_up, _messages.created_at >= request.since)
            wanted = wanted.order_by(_messages.id).limit(request.limit)
        ids = tx.conn.execute(wanted).scalars().all()
        if request.message_id is not None and not ids:
            answers.append(NotFound(f"there is no message {request.message_id}"))
            continue
        tx.conn.execute(
            sa.update(tables.messages)
            .where(_messages.id.in_(ids))
            .values(due_at=request.now, tries=0, delivered_at=None)
        )
        tx.has_deliveries = tx.has_deliveries or bool(ids)
        answers.append(len(ids))
    return answers


def _delete_messages(tx: Tx, requests: Sequence[DeleteMessages]) -> list[int]:
    counts: list[int] = []
    for request in requests:
        wanted = sa.select(_messages.id)
        if request.endpoint_id is not None:
            wanted = wanted.where(_messages.endpoint_id == request.endpoint_id)
        if request.before is not None:
            wanted = wanted.where(_messages.id < request.before)
        ids = tx.conn.execute(wanted.order_by(_messages.id).limit(request.limit)).scalars().all()
        tx.conn.execute(sa.delete(tables.messages).where(_messages.id.in_(ids)))
        counts.append(len(ids))
    return counts


def _message(conn: sa.Connection, endpoint_id: str, id_: str) -> tuple[Message, list[DeliveryAttempt]]:
    statement = sa.select(tables.messages)
    row = conn.execute(statement.where(_messages.endpoint_id == endpoint_id, _messages.id == id_)).first()
    if row is None:
        raise NotFound(f"there is no message {id_}")
    tried = sa.select(*_ATTEMPT, *_EXCHANGE).where(_attempts.message_id == id_).order_by(_attempts.number)
    message = Message(*row)
    return message, [
        DeliveryAttempt(*attempt[:5], load_exchange(attempt[5], attempt[6] or message.body))
        for attempt in conn.execute(tried)
    ]


def _page(conn: sa.Connection, page: MessagePage) -> list[Message]:
    statement = sa.select(tables.messages).where(_messages.endpoint_id == page.endpoint_id)
    if page.before is not None:
        statement = statement.where(_messages.id < page.before)
    if page.failed:
        statement = statement.where(_messages.due_at.is_(None), _messages.delivered_at.is_(None))
    if page.event is not None:
        statement = statement.where(_messages.type == page.event)
    return [
        Message(*row) for row in conn.execute(statement.order_by(_messages.id.desc()).limit(page.limit))
    ]  # fmt: skip


def _last_attempts(conn: sa.Connection, ids: Sequence[str]) -> dict[str, DeliveryAttempt]:
    later = tables.attempts.alias("later")
    is_last = ~sa.exists().where(
        later.c.message_id == _attempts.message_id, later.c.number > _attempts.number
    )  # fmt: skip
    rows = conn.execute(
        sa.select(_attempts.message_id, *_ATTEMPT).where(_attempts.message_id.in_(ids), is_last)
    )
    return {row[0]: DeliveryAttempt(*row[1:]) for row in rows}

"""Claiming: read the heads of lanes, choose, update one row. The cost does not grow with the table."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import Any

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.group_commit import Tx
from imagemill.db.statements import BoundStatement, Statement, driver, run_together
from imagemill.domain.dataclass import dataclass
from imagemill.domain.events import ChangedList, EventType, ListName
from imagemill.domain.jobs import Claim, Job, JobStatus
from imagemill.domain.placement import Choice, Fleet, PlacementRules, Policy, choose
from imagemill.domain.scheduling import LaneHead, Offer, QueuedJob, open_to_remote_since
from imagemill.jobs.store import event_log
from imagemill.jobs.store.lanes import JOB_COLUMNS, Lanes, job_from
from imagemill.jobs.store.node_state import NodeState

_FOUND_AGAIN = "its render may be found again on this node"
"""The reason of such a claim. It ignores which model is loaded: a busy node would let the time for it pass.
"""
VIRTUAL_QUANTUM_S = 1.0
"""The virtual time is written only when it has moved by this much, since all claims share its row."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """The request of an idle slot for a job."""

    offer: Offer
    reference: str
    """A fresh id for the render, used unless the render of an earlier attempt on this node can be reattached.
    """
    now: int
    lease_until: int
    rules: PlacementRules


# The smallest claimable lane, then the next larger one, ...: two index seeks a lane, however many jobs wait.
_READY = f"""
    WITH RECURSIVE ready(lane) AS (
        SELECT (SELECT lane FROM jobs WHERE {tables.CLAIMABLE} ORDER BY lane LIMIT 1)
        UNION ALL
        SELECT (SELECT jobs.lane FROM jobs WHERE {tables.CLAIMABLE} AND jobs.lane > ready.lane
                ORDER BY jobs.lane LIMIT 1)
        FROM ready WHERE ready.lane IS NOT NULL
    )
    SELECT ready.lane, head.tag, head.created_at, head.estimate_s, head.priority,
        head.avoid_until IS NOT NULL AND head.avoid_node IS NULL FROM ready"""  # noqa: S608
_FIRST = f"FROM jobs WHERE {tables.CLAIMABLE} AND jobs.lane = ready.lane ORDER BY tag, id LIMIT 1"
_HEADS = {
    "sqlite": Statement(sa.text(f"{_READY} JOIN jobs AS head ON head.id = (SELECT id {_FIRST})")),
    # On PostgreSQL the join above reads the whole table while it is small: 12 ms with 12,000 jobs.
    "postgresql": Statement(
        sa.text(
            f"{_READY} CROSS JOIN LATERAL (SELECT tag, created_at, estimate_s, priority, avoid_until, "
            f"avoid_node {_FIRST}) AS head"
        )
    ),
}

_NEXT = Statement(
    sa.text(
        "SELECT tag, created_at, estimate_s, priority, avoid_until IS NOT NULL AND avoid_node IS NULL "  # noqa: S608
        f"FROM jobs WHERE {tables.CLAIMABLE} AND lane = :lane ORDER BY tag, id LIMIT 1"
    )
)
"""The head of a lane after a claim from it: a transaction that claims several jobs need not look at all."""

# A union, as both databases can walk an index for each of its parts and stop at the limit.
_PEEK = f"""
    SELECT {{lane}} AS lane, tag, created_at, estimate_s, priority FROM (
        SELECT tag, created_at, estimate_s, priority FROM jobs
        WHERE {tables.CLAIMABLE} AND lane = {{lane}} ORDER BY tag, id LIMIT {{count}}) AS lane_{{lane}}
    """  # noqa: S608 - the condition is a constant of ours, the rest are numbers
_PEEKED_AT_ONCE = 100
"""SQLite takes at most 500 parts of a union."""

_jobs = tables.jobs.c
_first = tables.jobs.alias("first")
_is_held = sa.and_(_first.c.avoid_node.is_(None), _first.c.node == sa.bindparam("pick_node"))
_open = sa.or_(
    sa.and_(_first.c.avoid_node.is_(None), _first.c.avoid_until.is_(None)),
    # Until then the job is reserved for its node, where its render may be found again.
    _is_held,
    _first.c.avoid_node != sa.bindparam("pick_node"),
    _first.c.avoid_until < sa.bindparam("pick_now"),
)


_CLAIMED: dict[str, Any] = {
    "status": JobStatus.RUNNING.value,
    "attempt": _jobs.attempt + 1,
    "last_seq": _jobs.last_seq + 1,
    "worker": sa.bindparam("to_worker"),
    "backend": sa.bindparam("to_backend"),
    "started_at": sa.bindparam("to_start"),
    "lease_until": sa.bindparam("to_lease"),
    "avoid_node": sa.null(),
    "avoid_until": sa.null(),
}
"""The columns that every claim changes in the same way."""


def _taking(allowed: sa.ColumnElement[bool]) -> Statement:
    """Return the statement that claims the first job of a lane among those this node may have."""
    pick = (
        sa.select(_first.c.id)
        .where(
            sa.text("first.status = 'queued' AND first.run_after IS NULL"),
            _first.c.lane == sa.bindparam("pick_lane"),
            _first.c.expires_at > sa.bindparam("pick_now"),
            allowed,
        )
        .order_by(_first.c.tag, _first.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    return Statement(
        sa.update(tables.jobs)
        .where(_jobs.id == pick, _jobs.status == JobStatus.QUEUED.value)
        .values(
            {
                **_CLAIMED,
                "node": sa.bindparam("to_node"),
                # On the same node a render that may still run is reattached; elsewhere a fresh one begins.
                "backend_ref": sa.case(
                    (
                        sa.and_(_jobs.node == sa.bindparam("to_node"), _jobs.backend_ref.is_not(None)),
                        _jobs.backend_ref,
                    ),
                    else_=sa.bindparam("to_ref", type_=sa.String),
                ),
                "reason": sa.bindparam("to_reason"),
            }
        )
        .returning(*JOB_COLUMNS)
    )


@cache
def _taking_together(count: int) -> Statement:
    """Return the statement that claims the first jobs of a lane, one for each of so many requests.

    Among them it leaves those that are reserved, avoid a node or have a render that may be found again.
    """
    first = (
        sa.select(
            _first.c.id,
            _first.c.tag,
            sa.and_(
                _first.c.avoid_node.is_(None), _first.c.avoid_until.is_(None), _first.c.backend_ref.is_(None)
            ).label("is_free"),
        )
        .where(
            sa.text("first.status = 'queued' AND first.run_after IS NULL"),
            _first.c.lane == sa.bindparam("pick_lane"),
            _first.c.expires_at > sa.bindparam("pick_now"),
        )
        .order_by(_first.c.tag, _first.c.id)
        .limit(count)
        .with_for_update(skip_locked=True)
        .subquery("found")
    )
    number = sa.func.row_number().over(order_by=(first.c.tag, first.c.id)).label("number")
    pick = sa.select(first.c.id, number).where(first.c.is_free).subquery("pick")

    def of_request(name: str) -> sa.ColumnElement[str]:
        values = {n: sa.bindparam(f"{name}_{n}", type_=sa.String) for n in range(1, count + 1)}
        return sa.case(values, value=pick.c.number)

    return Statement(
        sa.update(tables.jobs)
        .where(_jobs.id == pick.c.id, _jobs.status == JobStatus.QUEUED.value)
        .values(
            {
                **_CLAIMED,
                "node": of_request("to_node"),
                "backend_ref": of_request("to_ref"),
                "reason": of_request("to_reason"),
            }
        )
        .returning(*JOB_COLUMNS)
    )


_TAKE = _taking(_open)
_TAKE_LEFT = _taking(sa.and_(_open, _first.c.created_at <= sa.bindparam("pick_since")))
"""Claims from a lane whose younger jobs are left to other nodes."""
_TAKE_HELD = _taking(sa.and_(_is_held, _first.c.avoid_until >= sa.bindparam("pick_now")))
_LOCK_NODES = Statement(
    sa.text(
        "SELECT pg_advisory_xact_lock(hashtext(node)) FROM unnest(string_to_array(:nodes, chr(10))) AS node"
    )
)
"""Locks nodes in the order of their names, which are in lines."""
_ADVANCE = Statement(
    sa.text("UPDATE queues SET virtual_time = :now WHERE name = :queue AND virtual_time < :now")
)


_MOST_TOGETHER = 16
"""Jobs that one statement claims at most; PostgreSQL prepares the statement for each number."""


class ClaimStore:
    def __init__(self, lanes: Lanes, policy: Policy = choose) -> None:
        self._lanes = lanes
        self._policy = policy
        self._nodes = NodeState(lanes)
        self._virtual: dict[str, float] = {}
        """The virtual times this process wrote last; those in the database are equal or later."""

    def claim(self, tx: Tx, asks: Sequence[ClaimRequest]) -> list[Claim | None]:
        for ask in asks:
            self._nodes.note(ask.offer, ask.now)
        heads = self._look(tx, asks)
        jobs = self._claim_together(tx, asks, heads)
        for number, ask in enumerate(asks):
            if number not in jobs and heads:
                job = self._claim_one(tx, ask, heads, is_last=ask is asks[-1])
                if job is not None:
                    jobs[number] = job
        taken = [jobs[number] for number in sorted(jobs)]
        if taken:
            self._advance(tx, {job.queue for job in taken}, max(ask.now for ask in asks))
        event_log.append(tx, [_event(job) for job in taken])
        return [Claim(jobs[number]) if number in jobs else None for number in range(len(asks))]

    def heads(self, conn: sa.Connection) -> list[LaneHead]:
        """The first claimable job of each lane that has one."""
        return self._heads_of(conn, _HEADS[conn.dialect.name].run(conn))

    def _heads_of(self, conn: sa.Connection, rows: Iterable[Sequence[Any]]) -> list[LaneHead]:
        return [
            LaneHead(lane, self._lanes.key_of(conn, lane), QueuedJob(*job), bool(held))
            for lane, *job, held in rows
        ]

    def _look(self, tx: Tx, asks: Sequence[ClaimRequest]) -> list[LaneHead]:
        """Read the heads and the running jobs of the asking nodes, in one round trip.

        The nodes are locked, so no other process gives them a job until the transaction ends.
        """
        heads = _HEADS[tx.conn.dialect.name].call()
        if tx.conn.dialect.name == "sqlite":  # SQLite has one writer at a time, and no round trips
            found = self._heads_of(tx.conn, heads.begin(tx.conn).rows())
            if found:
                self._nodes.read(tx.conn, [ask.offer.node for ask in asks])
            return found
        # Locked in one order, so that no two processes wait for each other.
        locked = sorted({ask.offer.node for ask in asks if ask.offer.capacity is not None})
        running = self._nodes.reading([ask.offer.node for ask in asks])
        locks = [_LOCK_NODES.call({"nodes": "\n".join(locked)})] if locked else []
        *_, waiting, jobs = run_together(tx.conn, *locks, heads, running.call)
        self._nodes.see(tx.conn, running, jobs.rows())
        return self._heads_of(tx.conn, waiting.rows())

    def fleet(self, conn: sa.Connection, now: int) -> Fleet:
        return self._nodes.look(conn, now)

    def _claim_together(self, tx: Tx, asks: Sequence[ClaimRequest], heads: list[LaneHead]) -> dict[int, Job]:
        """Claim jobs for several requests with one statement where all work is of one lane; return them by
        the position of their request. Requests without one are left to `_claim_one`."""
        # SQLite has no round trips to save, and takes longer for it.
        saves = tx.conn.dialect.name != "sqlite" and len(heads) == 1 and len(asks) > 1
        choices = self._choose_together(tx, asks, heads) if saves else {}
        if len(choices) < 2:
            return {}
        lane, numbers = heads[0].lane, list(choices)
        parameters = _parameters(asks[numbers[0]], choices[numbers[0]])
        for place, number in enumerate(numbers, start=1):
            own = _parameters(asks[number], choices[number])
            parameters |= {f"{name}_{place}": own[name] for name in ("to_node", "to_ref", "to_reason")}
        take = _taking_together(len(numbers)).call(parameters)
        following = () if len(numbers) == len(asks) else (_NEXT.call({"lane": lane}),)
        taken, *after = run_together(tx.conn, take, *following)
        by_reference = {asks[number].reference: number for number in numbers}
        found = [job_from(row) for row in taken.rows()]
        jobs = {by_reference[job.backend_ref or ""]: job for job in found}
        for number in sorted(jobs):
            self._nodes.take(tx.conn, jobs[number], loads=False)
        if len(jobs) < len(asks):
            _renew(heads, lane, (after[0] if after else _NEXT.call({"lane": lane}).begin(tx.conn)).rows())
        return jobs

    def _choose_together(
        self, tx: Tx, asks: Sequence[ClaimRequest], heads: Sequence[LaneHead]
    ) -> dict[int, Choice]:
        """Return the choices of the requests that take a job of the only lane whatever the others do, by
        their position."""
        first = asks[0]
        if heads[0].held or any(not _is_alike(ask, first) for ask in asks):
            return {}
        fleet = self._nodes.fleet(tx.conn, first.now)
        choices: dict[int, Choice] = {}
        of_nodes: dict[str, Choice | None] = {}
        planned: Counter[str] = Counter()
        for number, ask in enumerate(asks):
            if len(choices) == _MOST_TOGETHER:
                break
            offer = ask.offer
            if not self._nodes.has_room(offer, planned[offer.node]):
                continue
            if offer.node not in of_nodes:
                of_nodes[offer.node] = self._policy(offer, heads, fleet, partial(_peek, tx.conn), ask.rules)
            choice = of_nodes[offer.node]
            if choice is not None and not choice.loads:
                choices[number] = choice
                planned[offer.node] += 1
        return choices

    def _claim_one(self, tx: Tx, ask: ClaimRequest, heads: list[LaneHead], *, is_last: bool) -> Job | None:
        """Claim a job, and renew the head of its lane in ``heads`` unless the request is the last."""
        if not self._nodes.has_room(ask.offer):
            return None

        def peek(lanes: Sequence[int], count: int) -> dict[int, list[QueuedJob]]:
            return _peek(tx.conn, lanes, count)

        for head in heads:
            if head.held and head.key.queue in ask.offer.queues:
                held = Choice(head.lane, _FOUND_AGAIN)
                job = self._take(tx, _TAKE_HELD.call(_parameters(ask, held)), heads, head.lane, is_last)
                if job is not None:
                    self._nodes.take(tx.conn, job, loads=False)
                    return job
        fleet = self._nodes.fleet(tx.conn, ask.now)
        open_heads = heads
        while choice := self._policy(ask.offer, open_heads, fleet, peek, ask.rules):
            job = self._take(tx, _taking_of(ask, choice, heads), heads, choice.lane, is_last)
            if job is not None:
                self._nodes.take(tx.conn, job, loads=choice.loads)
                if choice.loads:
                    tx.model_loads.append(ask.offer.node)
                    tx.changed_lists.add(ChangedList(ListName.NODES))
                return job
            # The lane's jobs are locked by other processes or avoid this node, so the lane is skipped.
            open_heads = [head for head in open_heads if head.lane != choice.lane]
        return None

    def _take(
        self, tx: Tx, take: BoundStatement, heads: list[LaneHead], lane: int, is_last: bool
    ) -> Job | None:
        following = () if is_last else (_NEXT.call({"lane": lane}),)
        taken, *after = run_together(tx.conn, take, *following)
        rows = taken.rows()
        if rows and after:
            _renew(heads, lane, after[0].rows())
        return job_from(rows[0]) if rows else None

    def _advance(self, tx: Tx, queues: Iterable[str], now: int) -> None:
        for queue in sorted(queues):
            start = self._nodes.virtual_time(queue, now)
            if start is not None and start - self._virtual.get(queue, -math.inf) > VIRTUAL_QUANTUM_S:
                _ADVANCE.run(tx.conn, {"queue": queue, "now": start})
                tx.on_commit.append(lambda queue=queue, start=start: self._virtual.update({queue: start}))


def _is_alike(ask: ClaimRequest, other: ClaimRequest) -> bool:
    """Whether the requests differ in their nodes and references only, and want jobs at once."""
    one, two = ask.offer, other.offer
    return (
        (one.worker, one.backend, one.queues, one.labels) == (two.worker, two.backend, two.queues, two.labels)
        and (ask.rules, ask.lease_until - ask.now) == (other.rules, other.lease_until - other.now)
        and one.local_first_s <= 0
    )


def _taking_of(ask: ClaimRequest, choice: Choice, heads: Iterable[LaneHead]) -> BoundStatement:
    """Return the statement that claims a job of the chosen lane."""
    if ask.offer.local_first_s > 0:
        key = next(head.key for head in heads if head.lane == choice.lane)
        since = open_to_remote_since(ask.offer, key, ask.now)
        if since is not None:
            return _TAKE_LEFT.call({**_parameters(ask, choice), "pick_since": since})
    return _TAKE.call(_parameters(ask, choice))


def _renew(heads: list[LaneHead], lane: int, rows: Sequence[Sequence[Any]]) -> None:
    """Replace the head of a lane, or remove it where no job is left."""
    place = next(place for place, head in enumerate(heads) if head.lane == lane)
    if not rows:
        del heads[place]
        return
    *job, held = rows[0]
    heads[place] = LaneHead(lane, heads[place].key, QueuedJob(*job), bool(held))


def _peek(conn: sa.Connection, lanes: Sequence[int], count: int) -> dict[int, list[QueuedJob]]:
    """The first claimable jobs of each of these lanes, ``count`` of each at most."""
    found: dict[int, list[QueuedJob]] = {}
    for start in range(0, len(lanes), _PEEKED_AT_ONCE):
        parts = [_PEEK.format(lane=lane, count=count) for lane in lanes[start : start + _PEEKED_AT_ONCE]]
        for lane, *job in driver(conn).execute(" UNION ALL ".join(parts)).fetchall():
            found.setdefault(lane, []).append(QueuedJob(*job))
    return found


def _parameters(ask: ClaimRequest, choice: Choice) -> dict[str, object]:
    return {
        "pick_lane": choice.lane,
        "pick_now": ask.now,
        "pick_node": ask.offer.node,
        "to_worker": ask.offer.worker,
        "to_node": ask.offer.node,
        "to_backend": ask.offer.backend,
        "to_ref": ask.reference,
        "to_reason": choice.reason,
        "to_start": ask.now,
        "to_lease": ask.lease_until,
    }


def _event(job: Job) -> event_log.EventEntry:
    data = {"worker": job.worker, "node": job.node, "backend": job.backend, "reason": job.reason}
    assert job.started_at is not None  # noqa: S101 - the claim has just set it
    return event_log.EventEntry(
        job.id,
        job.last_seq,
        EventType.CLAIMED,
        job.started_at,
        job.attempt,
        job.owner,
        job.recipe,
        job.status,
        data,
        job.callback_url,
    )

"""What the nodes hold: by the running jobs in the database, and for idle nodes by what they last offered."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from imagemill.db import tables
from imagemill.db.statements import BoundStatement, Statement
from imagemill.domain.clock import SECOND
from imagemill.domain.jobs import Job
from imagemill.domain.placement import Fleet
from imagemill.domain.scheduling import Offer, priority_offset_s, virtual_time
from imagemill.jobs.store.lanes import Lanes

OFFER_LIFE_US = 3 * SECOND
"""An idle slot looks several times a second; a node silent for so long is not waited for."""

READ_WHOLE = 64
"""So many running jobs are read anew for each claim, in a fraction of a millisecond."""
PICTURE_LIFE_S = 0.25
"""Of more, those on nodes that do not ask are read so often: 2,000 at each claim would cost it 6 to 20 ms.
What such a node holds changes with its loads, which take seconds."""

_jobs = tables.jobs.c
_COLUMNS = sa.select(_jobs.node, _jobs.lane, _jobs.queue, _jobs.tag, _jobs.priority, _jobs.started_at)
_ALL = _COLUMNS.where(sa.text("status = 'running'")).order_by(_jobs.started_at, _jobs.last_seq, _jobs.id)
_RUNNING = Statement(_ALL)
_RUNNING_ON = Statement(_ALL.where(_jobs.node.in_(sa.bindparam("ids", expanding=True))))


class _Running(NamedTuple):
    """A running job, as `_COLUMNS` has it."""

    node: str
    lane: int
    queue: str
    tag: float
    priority: int
    started_at: int

    @property
    def start(self) -> float:
        """In virtual seconds, without the stretch of its priority."""
        return self.tag - priority_offset_s(self.priority)


class _Snapshot:
    """The running jobs by node, oldest first, and what the latest of each will leave loaded."""

    def __init__(self, lanes: Lanes, conn: sa.Connection, jobs: Iterable[_Running]) -> None:
        self._lanes = lanes
        self.read_at = time.monotonic()
        self.nodes: dict[str, list[_Running]] = {}
        self.left: dict[str, frozenset[str]] = {}
        self._fronts: dict[str, float | None] = {}
        for job in jobs:
            self.nodes.setdefault(job.node, []).append(job)
        for node in self.nodes:
            self._see(conn, node)

    @property
    def is_fresh(self) -> bool:
        """Whether it does but for the nodes that ask."""
        if time.monotonic() - self.read_at > PICTURE_LIFE_S:
            return False
        return sum(map(len, self.nodes.values())) > READ_WHOLE

    def renew(self, conn: sa.Connection, nodes: Iterable[str], jobs: Iterable[_Running]) -> None:
        """These are all jobs of these nodes."""
        for node in nodes:
            self.nodes.pop(node, None)
            self.left.pop(node, None)
        for job in jobs:
            self.nodes.setdefault(job.node, []).append(job)
        for node in nodes:
            if node in self.nodes:
                self._see(conn, node)

    def add(self, conn: sa.Connection, job: _Running) -> None:
        self.nodes.setdefault(job.node, []).append(job)
        self._see(conn, job.node)
        front = self._fronts.get(job.queue)
        if front is not None:
            self._fronts[job.queue] = min(front, job.start)
        else:
            self._fronts.pop(job.queue, None)

    def front(self, queue: str, now: int) -> float | None:
        """The virtual time of a queue, looked for once in the life of the picture."""
        if queue not in self._fronts:
            self._fronts[queue] = virtual_time(
                (job.start, (now - job.started_at) / SECOND)
                for jobs in self.nodes.values()
                for job in jobs
                if job.queue == queue
            )
        return self._fronts[queue]

    def _see(self, conn: sa.Connection, node: str) -> None:
        models = (self._lanes.key_of(conn, job.lane).model for job in reversed(self.nodes[node]))
        latest = next(filter(None, models), None)
        self.left[node] = frozenset() if latest is None else frozenset({latest})


class RunningJobsQuery(NamedTuple):
    """A question for running jobs: those on the ``nodes``; None: all."""

    call: BoundStatement
    nodes: tuple[str, ...] | None


class NodeState:
    """What is remembered between transactions that claim is of this process alone."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._picture: _Snapshot | None = None
        self._offered: dict[str, tuple[frozenset[str], int]] = {}
        self._loaded_at: dict[str, int] = {}

    def note(self, offer: Offer, now: int) -> None:
        self._offered[offer.node] = (offer.loaded_models, now)

    def read(self, conn: sa.Connection, nodes: Iterable[str]) -> None:
        """What runs on the nodes that ask, and on the others as it is or was a moment ago."""
        reading = self.reading(nodes)
        self.see(conn, reading, reading.call.begin(conn).rows())

    def reading(self, nodes: Iterable[str]) -> "RunningJobsQuery":
        """What has to be asked for that."""
        if self._picture is None or not self._picture.is_fresh:
            return RunningJobsQuery(_RUNNING.call(), None)
        asking = tuple(sorted(set(nodes)))
        return RunningJobsQuery(_RUNNING_ON.call({"ids": asking}), asking)

    def see(self, conn: sa.Connection, reading: "RunningJobsQuery", rows: Iterable[Sequence[Any]]) -> None:
        """The answer."""
        jobs = [_Running(*row) for row in rows]
        if self._picture is None or reading.nodes is None:
            self._picture = _Snapshot(self._lanes, conn, jobs)
        else:
            self._picture.renew(conn, reading.nodes, jobs)

    def has_room(self, offer: Offer) -> bool:
        """By what was read of its node in this transaction, and taken since."""
        running = self._picture.nodes.get(offer.node, ()) if self._picture else ()
        return offer.capacity is None or len(running) < offer.capacity

    def take(self, conn: sa.Connection, job: Job, *, loads: bool) -> None:
        """This transaction has claimed it."""
        assert job.node is not None  # noqa: S101 - the claim has just set it
        assert job.started_at is not None  # noqa: S101 - so was this
        running = _Running(job.node, job.lane, job.queue, job.tag, job.priority, job.started_at)
        self._now(conn).add(conn, running)
        if loads:
            self._loaded_at[job.node] = job.started_at

    def look(self, conn: sa.Connection, now: int) -> Fleet:
        """The fleet as it is, for a reader beside the claims."""
        return self._fleet(self._look(conn), now)

    def fleet(self, conn: sa.Connection, now: int) -> Fleet:
        return self._fleet(self._now(conn), now)

    def virtual_time(self, queue: str, now: int) -> float | None:
        return self._picture.front(queue, now) if self._picture else None

    def _now(self, conn: sa.Connection) -> _Snapshot:
        if self._picture is None:
            self._picture = self._look(conn)
        return self._picture

    def _look(self, conn: sa.Connection) -> _Snapshot:
        return _Snapshot(self._lanes, conn, [_Running(*row) for row in _RUNNING.run(conn)])

    def _fleet(self, picture: _Snapshot, now: int) -> Fleet:
        holding = picture.left.copy()
        for node, (resident, at) in self._offered.copy().items():
            left = holding.get(node)
            if left is not None:
                holding[node] = _held_after(resident, left)
            elif now - at <= OFFER_LIFE_US:
                holding[node] = resident
        return Fleet(now, holding, frozenset(picture.nodes), self._loaded_at)


def _held_after(resident: frozenset[str], left: frozenset[str]) -> frozenset[str]:
    """What a node will have loaded when the jobs in its hands are done, the last of which leaves this.

    A model still to be loaded may push out what is there now, so it alone is counted on.
    """
    return resident if left <= resident else left

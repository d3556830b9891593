"""The models loaded on nodes, by the running jobs in the database; for idle nodes by their last offer."""

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
"""An idle slot polls several times a second; a node without an offer for 3 s counts as gone."""

READ_WHOLE = 64
"""Up to this number all running jobs are read for each claim, in a fraction of a millisecond."""
SNAPSHOT_LIFE_S = 0.25
"""Seconds for which a snapshot of more jobs is kept; only those of the asking nodes are read for each claim.

Reading 2,000 jobs for each claim would cost 6 to 20 ms. Which models a node has loaded changes with loads,
which take seconds.
"""

_jobs = tables.jobs.c
_COLUMNS = sa.select(_jobs.node, _jobs.lane, _jobs.queue, _jobs.tag, _jobs.priority, _jobs.started_at)
_ALL = _COLUMNS.where(sa.text("status = 'running'")).order_by(_jobs.started_at, _jobs.last_seq, _jobs.id)
_RUNNING = Statement(_ALL)
_RUNNING_ON = Statement(_ALL.where(_jobs.node.in_(sa.bindparam("ids", expanding=True))))


class _Running(NamedTuple):
    """A running job: a row of `_COLUMNS`."""

    node: str
    lane: int
    queue: str
    tag: float
    priority: int
    started_at: int

    @property
    def start(self) -> float:
        """Its start in virtual seconds, without the offset of its priority."""
        return self.tag - priority_offset_s(self.priority)


class _Snapshot:
    """The running jobs by node, the oldest first, and the model that the latest of each will leave loaded."""

    def __init__(self, lanes: Lanes, conn: sa.Connection, jobs: Iterable[_Running]) -> None:
        self._lanes = lanes
        self.read_at = time.monotonic()
        self.nodes: dict[str, list[_Running]] = {}
        self.left: dict[str, frozenset[str]] = {}
        self._fronts: dict[str, float | None] = {}
        for job in jobs:
            self.nodes.setdefault(job.node, []).append(job)
        for node in self.nodes:
            self._update_model(conn, node)

    @property
    def is_fresh(self) -> bool:
        """Whether only the jobs of the asking nodes have to be read."""
        if time.monotonic() - self.read_at > SNAPSHOT_LIFE_S:
            return False
        return sum(map(len, self.nodes.values())) > READ_WHOLE

    def renew(self, conn: sa.Connection, nodes: Iterable[str], jobs: Iterable[_Running]) -> None:
        """Replace the jobs of ``nodes`` by ``jobs``."""
        for node in nodes:
            self.nodes.pop(node, None)
            self.left.pop(node, None)
        for job in jobs:
            self.nodes.setdefault(job.node, []).append(job)
        for node in nodes:
            if node in self.nodes:
                self._update_model(conn, node)

    def add(self, conn: sa.Connection, job: _Running) -> None:
        self.nodes.setdefault(job.node, []).append(job)
        self._update_model(conn, job.node)
        front = self._fronts.get(job.queue)
        if front is not None:
            self._fronts[job.queue] = min(front, job.start)
        else:
            self._fronts.pop(job.queue, None)

    def front(self, queue: str, now: int) -> float | None:
        """Return the virtual time of a queue, computed once for each snapshot."""
        if queue not in self._fronts:
            self._fronts[queue] = virtual_time(
                (job.start, (now - job.started_at) / SECOND)
                for jobs in self.nodes.values()
                for job in jobs
                if job.queue == queue
            )
        return self._fronts[queue]

    def _update_model(self, conn: sa.Connection, node: str) -> None:
        models = (self._lanes.key_of(conn, job.lane).model for job in reversed(self.nodes[node]))
        latest = next(filter(None, models), None)
        self.left[node] = frozenset() if latest is None else frozenset({latest})


class RunningJobsQuery(NamedTuple):
    """A query for the running jobs on ``nodes``; None means on all nodes."""

    call: BoundStatement
    nodes: tuple[str, ...] | None


class NodeState:
    """The nodes as the claims of this process see them; kept between transactions, for this process only."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._snapshot: _Snapshot | None = None
        self._offered: dict[str, tuple[frozenset[str], int]] = {}
        self._loaded_at: dict[str, int] = {}

    def note(self, offer: Offer, now: int) -> None:
        self._offered[offer.node] = (offer.loaded_models, now)

    def read(self, conn: sa.Connection, nodes: Iterable[str]) -> None:
        """Read the jobs of the asking nodes, and those of the other nodes unless the snapshot is fresh."""
        reading = self.reading(nodes)
        self.see(conn, reading, reading.call.begin(conn).rows())

    def reading(self, nodes: Iterable[str]) -> "RunningJobsQuery":
        """Return the query for `read`."""
        if self._snapshot is None or not self._snapshot.is_fresh:
            return RunningJobsQuery(_RUNNING.call(), None)
        asking = tuple(sorted(set(nodes)))
        return RunningJobsQuery(_RUNNING_ON.call({"ids": asking}), asking)

    def see(self, conn: sa.Connection, reading: "RunningJobsQuery", rows: Iterable[Sequence[Any]]) -> None:
        """Update the snapshot by the rows of the query."""
        jobs = [_Running(*row) for row in rows]
        if self._snapshot is None or reading.nodes is None:
            self._snapshot = _Snapshot(self._lanes, conn, jobs)
        else:
            self._snapshot.renew(conn, reading.nodes, jobs)

    def has_room(self, offer: Offer, planned: int = 0) -> bool:
        """Whether the node has a free slot, by the jobs read in this transaction and claimed since, besides
        those for ``planned`` claims."""
        running = self._snapshot.nodes.get(offer.node, ()) if self._snapshot else ()
        return offer.capacity is None or len(running) + planned < offer.capacity

    def take(self, conn: sa.Connection, job: Job, *, loads: bool) -> None:
        """Add a job that this transaction has claimed."""
        assert job.node is not None  # noqa: S101 - the claim has just set it
        assert job.started_at is not None  # noqa: S101 - so was this
        running = _Running(job.node, job.lane, job.queue, job.tag, job.priority, job.started_at)
        self._now(conn).add(conn, running)
        if loads:
            self._loaded_at[job.node] = job.started_at

    def look(self, conn: sa.Connection, now: int) -> Fleet:
        """Return the current fleet, for a reader that claims nothing."""
        return self._fleet(self._look(conn), now)

    def fleet(self, conn: sa.Connection, now: int) -> Fleet:
        return self._fleet(self._now(conn), now)

    def virtual_time(self, queue: str, now: int) -> float | None:
        return self._snapshot.front(queue, now) if self._snapshot else None

    def _now(self, conn: sa.Connection) -> _Snapshot:
        if self._snapshot is None:
            self._snapshot = self._look(conn)
        return self._snapshot

    def _look(self, conn: sa.Connection) -> _Snapshot:
        return _Snapshot(self._lanes, conn, [_Running(*row) for row in _RUNNING.run(conn)])

    def _fleet(self, snapshot: _Snapshot, now: int) -> Fleet:
        holding = snapshot.left.copy()
        for node, (resident, at) in self._offered.copy().items():
            left = holding.get(node)
            if left is not None:
                holding[node] = _held_after(resident, left)
            elif now - at <= OFFER_LIFE_US:
                holding[node] = resident
        return Fleet(now, holding, frozenset(snapshot.nodes), self._loaded_at)


def _held_after(resident: frozenset[str], left: frozenset[str]) -> frozenset[str]:
    """Return the models a node will have loaded when its jobs are done; the last of them leaves ``left``.

    A model still to be loaded may replace the resident ones, so only that one is counted.
    """
    return resident if left <= resident else left

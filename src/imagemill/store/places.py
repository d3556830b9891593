"""What the nodes hold: by the running jobs in the database, and for idle nodes by what they last offered."""

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from imagemill.domain.clock import SECOND
from imagemill.domain.jobs import Job
from imagemill.domain.placing import Fleet
from imagemill.domain.scheduling import Offer, priority_offset_s, virtual_time
from imagemill.store.lanes import Lanes
from imagemill.store.statements import Statement

OFFER_LIFE_US = 3 * SECOND
"""An idle slot looks several times a second; a node silent for so long is not waited for."""

_RUNNING = Statement(
    sa.text(
        "SELECT node, lane, queue, tag, priority, started_at FROM jobs WHERE status = 'running' "
        "ORDER BY started_at, last_seq, id"
    )
)


class _Running(NamedTuple):
    """A running job, as `_RUNNING` reads it."""

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


class Places:
    """Read anew in each transaction that claims; what is remembered besides is of this process alone."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._running: list[_Running] = []
        self._offered: dict[str, tuple[frozenset[str], int]] = {}
        self._loaded_at: dict[str, int] = {}

    def note(self, offer: Offer, now: int) -> None:
        self._offered[offer.node] = (offer.resident, now)

    def read(self, conn: sa.Connection) -> None:
        self._running = _read(conn)

    def take(self, job: Job, *, loads: bool) -> None:
        """This transaction has claimed it."""
        assert job.node is not None  # noqa: S101 - the claim has just set it
        assert job.started_at is not None  # noqa: S101 - so was this
        self._running.append(
            _Running(job.node, job.lane, job.queue, job.tag, job.priority, job.started_at)
        )  # fmt: skip
        if loads:
            self._loaded_at[job.node] = job.started_at

    def look(self, conn: sa.Connection, now: int) -> Fleet:
        """The fleet as it is, for a reader beside the claims."""
        return self._fleet(conn, _read(conn), now)

    def fleet(self, conn: sa.Connection, now: int) -> Fleet:
        return self._fleet(conn, self._running, now)

    def _fleet(self, conn: sa.Connection, jobs: Iterable[_Running], now: int) -> Fleet:
        running: dict[str, list[int]] = {}
        for job in jobs:
            running.setdefault(job.node, []).append(job.lane)
        holding = {
            node: resident
            for node, (resident, at) in self._offered.copy().items()
            if node in running or now - at <= OFFER_LIFE_US
        }
        for node, lanes in running.items():
            latest = (self._lanes.key_of(conn, lane).model for lane in reversed(lanes))
            holding[node] = _held_after(holding.get(node, frozenset()), next(filter(None, latest), None))
        return Fleet(now, holding, frozenset(running), self._loaded_at)

    def virtual_time(self, queue: str, now: int) -> float | None:
        return virtual_time(
            (job.start, (now - job.started_at) / SECOND) for job in self._running if job.queue == queue
        )


def _read(conn: sa.Connection) -> list[_Running]:
    return [_Running(*row) for row in _RUNNING.run(conn)]


def _held_after(resident: frozenset[str], last: str | None) -> frozenset[str]:
    """What a node will have loaded when the jobs in its hands are done, the last of which needs this model.

    A model still to be loaded may push out what is there now, so it alone is counted on.
    """
    return resident if last is None or last in resident else frozenset({last})

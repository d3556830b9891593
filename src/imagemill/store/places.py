"""What the nodes hold: by the running jobs in the database, and for idle nodes by what they last offered."""

from collections.abc import Iterable
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class _Running:
    node: str
    model: str
    queue: str
    start: float
    """In virtual seconds, without the stretch of its priority."""
    started_at: int


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
        self._running = self._read(conn)

    def _read(self, conn: sa.Connection) -> list[_Running]:
        return [
            _Running(
                node, self._lanes.key_of(conn, lane).model, queue, tag - priority_offset_s(priority), started
            )
            for node, lane, queue, tag, priority, started in _RUNNING.run(conn)
        ]

    def take(self, job: Job, *, loads: bool) -> None:
        """This transaction has claimed it."""
        assert job.node is not None  # noqa: S101 - the claim has just set it
        assert job.started_at is not None  # noqa: S101 - so was this
        start = job.tag - priority_offset_s(job.priority)
        model = self._lanes.known(job.lane).model
        self._running.append(_Running(job.node, model, job.queue, start, job.started_at))
        if loads:
            self._loaded_at[job.node] = job.started_at

    def look(self, conn: sa.Connection, now: int) -> Fleet:
        """The fleet as it is, for a reader beside the claims."""
        return self._fleet(self._read(conn), now)

    def fleet(self, now: int) -> Fleet:
        return self._fleet(self._running, now)

    def _fleet(self, jobs: Iterable[_Running], now: int) -> Fleet:
        running: dict[str, list[str]] = {}
        for job in jobs:
            models = running.setdefault(job.node, [])
            if job.model:
                models.append(job.model)
        holding = {
            node: resident
            for node, (resident, at) in self._offered.copy().items()
            if node in running or now - at <= OFFER_LIFE_US
        }
        for node, models in running.items():
            holding[node] = _held_after(holding.get(node, frozenset()), models)
        return Fleet(now, holding, frozenset(running), self._loaded_at)

    def virtual_time(self, queue: str, now: int) -> float | None:
        return virtual_time(
            (job.start, (now - job.started_at) / SECOND) for job in self._running if job.queue == queue
        )


def _held_after(resident: frozenset[str], models: list[str]) -> frozenset[str]:
    """What a node will have loaded when the jobs in its hands, in this order, are done.

    A model still to be loaded may push out what is there now, so it alone is counted on.
    """
    last = models[-1] if models else None
    return resident if last is None or last in resident else frozenset({last})

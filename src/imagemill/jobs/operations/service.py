"""Operations as they are asked for: the dry run, the start with its time to undo, the cancellation."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from imagemill.domain.access import EVERY_OWNER
from imagemill.domain.clock import SECOND, least_uuid7, now_us, uuid7
from imagemill.domain.dataclass import dataclass
from imagemill.domain.jobs import JobStatus
from imagemill.domain.operations import (
    Ineligible,
    OperationAction,
    OperationProgress,
    OperationState,
    ineligible,
)
from imagemill.jobs.operations.store import Operation, OperationChange, OperationStore, StopOperation
from imagemill.jobs.store.queries import Filter
from imagemill.jobs.store.store import JobStore

UNDO_S = 5.0
"""Seconds after which an operation begins that cannot be undone."""
_UNDOABLE = frozenset({OperationAction.CANCEL, OperationAction.DELETE})


@dataclass(frozen=True, slots=True)
class DryRun:
    """The jobs that match now. Of very many some are not counted, and it is not complete."""

    eligible: int
    ineligible: Mapping[Ineligible, int]
    complete: bool

    @property
    def total(self) -> int:
        return self.eligible + sum(self.ineligible.values())


class Operations:
    """The operations of all owners."""

    def __init__(self, store: OperationStore, jobs: JobStore) -> None:
        self._store = store
        self._jobs = jobs

    def dry_run(self, action: OperationAction, wanted: Filter) -> DryRun:
        """Count the jobs that match now and those of them that the action concerns."""
        eligible, complete = 0, True
        others: Counter[Ineligible] = Counter()
        for status in sorted(wanted.statuses or JobStatus):
            of_status = replace(wanted, statuses=frozenset({status}))
            found = self._jobs.count_matching(of_status)
            complete = complete and found.complete
            repeated = 0
            reason = ineligible(action, status, replays=0)
            if reason is None and ineligible(action, status, replays=1) is not None:
                repeated = self._jobs.count_matching(replace(of_status, replayed=True)).number
                others[Ineligible.REPLAYED] += repeated
            if reason is None:
                eligible += found.number - repeated
            else:
                others[reason] += found.number
        return DryRun(eligible, {reason: number for reason, number in others.items() if number}, complete)

    def start(
        self, action: OperationAction, wanted: Filter, change: OperationChange, actor: str
    ) -> Operation:
        """Start the action on the jobs that match and were submitted before now.

        Raises `Conflict` where the account has too many open operations.
        """
        now = now_us()
        # The whole millisecond: ids of one sort at random, so a drawn bound would leave some of them out.
        bound = least_uuid7(now + 1000)
        snapshot = replace(wanted, before=bound)
        operation = Operation(
            id=uuid7(now),
            owner=EVERY_OWNER if wanted.owner is None else wanted.owner,
            actor=actor,
            action=action,
            filter=snapshot,
            change=change,
            state=OperationState.SCHEDULED,
            position=bound,
            chunk=(),
            progress=OperationProgress(self.dry_run(action, snapshot).total),
            starts_at=now + round(UNDO_S * SECOND) if action in _UNDOABLE else now,
            created_at=now,
        )
        self._store.add(operation)
        return operation

    def stop(self, id_: str, whose: str) -> Operation:
        """Cancel an operation: without an effect before it starts, else after the jobs it is at.

        Raises `NotFound`, for another owner's too, and `Conflict` for one that has ended.
        """
        return self._store.stop(StopOperation(id_, whose, now_us()))

    def get(self, id_: str, whose: str) -> Operation:
        """Return an operation. Raises `NotFound`, for another owner's too."""
        return self._store.get(id_, whose)

    def page(self, whose: str, before: str | None, limit: int) -> list[Operation]:
        """Return the newest operations first: those on the owner's jobs, and those that it asked for."""
        return self._store.page(whose, before, limit)

"""The store: one concrete class for both databases. Writes go through the group commit, reads do not."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import exc

from imagemill.accounts import store as accounts_store
from imagemill.accounts import throttle
from imagemill.accounts.audit import AuditLog
from imagemill.accounts.store import AccountStore, SessionStore, UserStore
from imagemill.accounts.throttle import AttemptCounter
from imagemill.credits import ledger
from imagemill.credits.ledger import Ledger
from imagemill.credits.provider_calls import ProviderCalls
from imagemill.db import locks, tables
from imagemill.db.engine import Database
from imagemill.db.group_commit import CommitSummary, GroupCommit, Listener, Tx, Write, WriteResult
from imagemill.db.locks import AcquireRole, ReleaseRole
from imagemill.domain.air import Resource
from imagemill.domain.clock import now_us
from imagemill.domain.errors import NotFound, StorageError
from imagemill.domain.events import Event
from imagemill.domain.jobs import Artifact, Claim, Job, JobStatus, LaneKey
from imagemill.domain.placement import Policy, QueuePosition, choose
from imagemill.domain.scheduling import LaneHead
from imagemill.jobs.store import finish, heartbeat, queries, queue_depth
from imagemill.jobs.store.admission import Submission
from imagemill.jobs.store.claim import ClaimRequest, ClaimStore
from imagemill.jobs.store.finish import Cancel, Expire, Finish, ReclaimLeases, ReleaseRetries
from imagemill.jobs.store.heartbeat import Heartbeat, HeartbeatReply, RenderSent
from imagemill.jobs.store.lanes import Lanes
from imagemill.jobs.store.queries import Annotate, Consumption, Filter, View
from imagemill.jobs.store.submit import Accepted, SubmitStore
from imagemill.model_registry import store as registry_store
from imagemill.model_registry.store import PutResource, WriteMode
from imagemill.nodes import store as nodes_store
from imagemill.nodes.store import Drain, PutNode, StoredNode
from imagemill.products.characters.store import CharacterStore, TranslationStore
from imagemill.products.library.store import ModelStore
from imagemill.quotas.store import QuotaStore
from imagemill.safety.decisions import Decisions
from imagemill.webhooks import outbox
from imagemill.webhooks.outbox import enqueue_messages
from imagemill.webhooks.store import WebhookStore
from imagemill.workflows import store as workflows_store
from imagemill.workflows.store import SHARED, PutWorkflow, StoredWorkflow, WorkflowKey

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Store:
    """``listener`` hears of every commit of this process, see `commits.Committed`; ``policy`` says which job
    a slot takes."""

    def __init__(
        self, database: Database, listener: Listener | None = None, *, policy: Policy = choose
    ) -> None:
        self._database = database
        self._listener: Listener = listener or _nobody
        lanes = Lanes()
        self._lanes = lanes
        self._submitting = SubmitStore(lanes)
        self._claiming = ClaimStore(lanes, policy)
        self._finish = partial(finish.finish, lanes)
        # Bound once: the group commit tells kinds of writes apart by identity.
        self._submit = cast(Write, self._submitting.submit)
        self._claim = cast(Write, self._claiming.claim)
        self.tries = AttemptCounter(self._write)
        # What locks the counters of tries comes after what locks anything else of its own: in every process.
        counted = (self.tries.counting, throttle.reset_attempts, accounts_store.add)
        late = (*counted, self._submit, ledger.post, self._claim)
        self._commits = GroupCommit(
            database.writer,
            self._tell,
            last_writes=late,
            settle=ledger.settle,
            enqueue_webhooks=enqueue_messages,
        )
        self.accounts = AccountStore(self._write, self._read)
        self.webhooks = WebhookStore(self._write, self._read)
        self.ledger = Ledger(self._write, self._read)
        self.limits = QuotaStore(self._write, self._read)
        self.models = ModelStore(self._read)
        self.users = UserStore(self._write, self._read)
        self.sessions = SessionStore(self._write, self._read)
        self.audit = AuditLog(self._write, self._read)
        self.characters = CharacterStore(self._write, self._read)
        self.translations = TranslationStore(self._write, self._read)
        self.provider_calls = ProviderCalls(self._write, self._read)
        self.decisions = Decisions(self._commits.begin, self._write, self._read)

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    def _tell(self, committed: CommitSummary) -> None:
        self._listener(committed)

    def close(self) -> None:
        self._commits.close()
        self._database.close()

    # Writes of jobs

    def begin_submit(self, submission: Submission) -> "Future[Accepted]":
        """Accept the jobs, durably once the future is done. Raises `Conflict` for a key used otherwise,
        `CreditsInsufficient` and `Refused` with nothing stored."""
        return self._commits.begin(self._submit, submission)

    def submit(self, submission: Submission) -> Accepted:
        return self._write(self._submit, submission)

    def claim_next(self, ask: ClaimRequest) -> Claim | None:
        """The best job for the slot that asks, now running, or None when there is nothing for it."""
        return self._write(self._claim, ask)

    def finish_and_claim(self, finish: Finish, ask: ClaimRequest) -> tuple[WriteResult, WriteResult]:
        """End one attempt and claim the next job in the same transaction: as `finish`, as `claim_next`."""
        ended, claimed = self._commits.run((self._finish, finish), (self._claim, ask))
        return ended, claimed

    def sent(self, claim: Claim, reference: str) -> None:
        """Keep the backend's reference of the claim's render. Raises `Superseded`."""
        self._write(heartbeat.sent, RenderSent(claim, reference))

    def record_heartbeats(self, beats: Sequence[Heartbeat]) -> list[HeartbeatReply]:
        return [
            future.result()
            for future in self._commits.run(*((heartbeat.record_heartbeats, beat) for beat in beats))
        ]

    def finish(self, finish: Finish) -> JobStatus:
        """End the claim's attempt; the status the job has then. Raises `Superseded` and changes nothing
        when the claim is void."""
        return self._write(self._finish, finish)

    def cancel(self, cancel: Cancel) -> JobStatus:
        """Raises `NotFound` for a job of another owner, too."""
        return self._write(finish.cancel, cancel)

    def annotate(self, annotate: Annotate) -> None:
        """Raises `NotFound` for a job of another owner, too."""
        self._write(queries.annotate, annotate)

    def reclaim_leases(self, reclaim: ReclaimLeases) -> int:
        return self._write(finish.reclaim_leases, reclaim)

    def expire(self, expire: Expire) -> int:
        return self._write(finish.expire, expire)

    def release_retries(self, unpark: ReleaseRetries) -> int | None:
        """Free the retries that are due; the instant at which the next one is, or None."""
        return self._write(finish.release_retries, unpark)

    def delete_jobs(self, ids: Sequence[str]) -> None:
        """With their events, artifacts and deliveries."""
        self._write(_delete_jobs, tuple(ids))

    def mark_files_deleted(self, keys: Sequence[str]) -> None:
        """From now on the artifacts say that these files are gone."""
        if keys:
            self._write(queries.mark_files_deleted, tuple(keys))

    def acquire_role(self, stand: AcquireRole) -> str:
        """Who holds the office now."""
        return self._write(locks.acquire_role, stand)

    def release_role(self, resign: ReleaseRole) -> None:
        self._write(locks.release_role, resign)

    def ensure_owner(self, owner: str, now: int, weight: float = 1.0) -> None:
        self._write(_ensure_owner, {"id": owner, "weight": weight, "created_at": now})

    # Reads of jobs

    def job(self, job_id: str, owner: str | None = None) -> Job:
        """Raises `NotFound`, for another owner's job too."""
        job = self._read(queries.jobs_by_id, [job_id]).get(job_id)
        if job is None or (owner is not None and job.owner != owner):
            raise NotFound(f"there is no job {job_id}")
        return job

    def view(self, job_id: str, owner: str | None = None) -> View:
        return self.views([self.job(job_id, owner)])[0]

    def views(self, jobs: Sequence[Job]) -> list[View]:
        return self._read(queries.views_of, jobs)

    def views_by_id(self, ids: Iterable[str]) -> dict[str, View]:
        return self._read(queries.views_by_id, ids)

    def batch(self, owner: str, batch: str) -> list[Job]:
        """In the order of submission; empty for another owner's."""
        return self._read(queries.batch_jobs, owner, batch)

    def batches(self, owner: str, before: str | None, limit: int) -> list[str]:
        """Ids of submissions, the newest first."""
        return self._read(queries.batches, owner, before, limit)

    def list_jobs(self, wanted: Filter) -> list[Job]:
        return self._read(queries.list_jobs, wanted)

    def events_after(self, job_id: str, seq: int, limit: int = 1000) -> list[Event]:
        return self._read(queries.events_after, job_id, seq, limit)

    def last_events(self, job_id: str, limit: int) -> list[Event]:
        return self._read(queries.last_events, job_id, limit)

    def progress_of(self, ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
        return self._read(queries.progress_of, ids)

    def preceding(self, job: Job) -> int:
        return self._read(queries.preceding, job)

    def queue_position(self, job: Job, now: int) -> QueuePosition:
        """Where a queued job stands, for `imagemill.domain.placement.explain_wait`."""
        before, before_s, more = self._read(queries.work_ahead, job)
        return QueuePosition(before, before_s, more, self._read(self._claiming.fleet, now))

    def artifact(self, artifact_id: str) -> tuple[Artifact, str] | None:
        return self._read(queries.artifact, artifact_id)

    def consumption(self, owner: str, start: int, end: int) -> Consumption:
        return self._read(queries.consumption, owner, start, end)

    def depths(self) -> dict[str, int]:
        return self._read(queries.depths)

    def measure(self, now: int) -> dict[str, queue_depth.Depth]:
        """How full each queue is."""
        return self._read(queue_depth.measure, self._lanes.key_of, now)

    def workload(self, now: int) -> dict[str, queue_depth.Workload]:
        """How much each queue has to do, and how fast it did some lately. Reads all open jobs."""
        return self._read(queue_depth.workload, self._lanes.key_of, now)

    def lane(self, lane: int) -> LaneKey:
        return self._read(self._lanes.key_of, lane)

    def heads(self) -> list[LaneHead]:
        return self._read(self._claiming.heads)

    def workers_with_leases(self) -> list[str]:
        return self._read(queries.workers_with_leases)

    def ended_jobs(self, ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Owner and end of those of the jobs that have ended."""
        return self._read(queries.ended_jobs, ids)

    def referenced_files(self, keys: Sequence[str]) -> set[str]:
        """See `files.referenced`."""
        return self._read(queries.referenced_files, keys)

    def referenced_attempts(self, pairs: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        return self._read(queries.referenced_attempts, pairs)

    def finished_before(self, instant: int, limit: int) -> list[str]:
        return self._read(queries.finished_before, instant, limit)

    # The outbox of callbacks

    def due_deliveries(
        self, now: int, limit: int, without: Sequence[outbox.Exclusion] = ()
    ) -> list[outbox.Delivery]:
        return self._read(outbox.due, now, limit, without)

    def next_delivery(self) -> int | None:
        return self._read(outbox.next_due)

    def record_delivery(self, result: outbox.Delivered) -> None:
        self._write(outbox.record, result)

    # The model registry

    def put_resource(self, resource: Resource, mode: WriteMode, now: int) -> Resource:
        """Raises `Conflict` for one that is there already, `NotFound` for one that is not."""
        return self._write(registry_store.put, PutResource(resource, mode, now))

    def resource(self, key: str) -> Resource | None:
        return self._read(registry_store.get, key)

    def resources_by_version(self, version: str) -> list[Resource]:
        return self._read(registry_store.get_by_version, version)

    def resource_page(self, query: str, offset: int, limit: int) -> tuple[int, list[Resource]]:
        return self._read(registry_store.page, query, offset, limit)

    # Nodes that people added

    def put_node(self, put: PutNode) -> None:
        """Raises `Conflict` for a name that is taken, `NotFound` for one that is not there."""
        self._write(nodes_store.put, put)

    def drain_node(self, drain: Drain) -> None:
        self._write(nodes_store.drain, drain)

    def nodes(self) -> tuple[list[StoredNode], Mapping[str, int]]:
        """The nodes, and since when which are drained; see `nodes.read`."""
        return self._read(nodes_store.read)

    # Workflows

    def put_workflow(self, put: PutWorkflow) -> StoredWorkflow | None:
        """The version that holds now; None for a deletion. The same text again is no new version.

        Raises `Conflict` for a name that is taken, `NotFound` for one that is not there.
        """
        return self._write(workflows_store.put, put)

    def workflow_heads(self, spaces: Sequence[str] = (SHARED,)) -> list[WorkflowKey]:
        return self._read(workflows_store.heads, spaces)

    def workflow(
        self, name: str, version: int | None = None, spaces: Sequence[str] = (SHARED,)
    ) -> StoredWorkflow | None:
        """The newest in the first of the spaces that has it; or one version in the first of them, which may
        be deleted."""
        if version is None:
            return self._read(workflows_store.live, name, spaces)
        return self._read(workflows_store.get, spaces[0], name, version)

    def workflow_versions(self, name: str, space: str = SHARED) -> list[StoredWorkflow]:
        return self._read(workflows_store.versions, space, name)

    def ping(self) -> None:
        """Raises `StorageError` when the database does not answer."""
        self._read(lambda conn: conn.execute(sa.select(1)).scalar_one())

    def _write(self, write: Callable[[Tx, Sequence[Any]], Sequence[Any]], request: Any) -> Any:
        return self._commits.run((write, request))[0].result()

    def _read(
        self, query: Callable[Concatenate[sa.Connection, _P], _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        driver: Any = self._database.reader.dialect.dbapi
        try:
            with self._database.reader.connect() as conn:
                return query(conn, *args, **kwargs)
        except (exc.DBAPIError, driver.Error) as error:  # hot statements raise the driver's own
            raise StorageError(f"the database refused a read: {getattr(error, 'orig', error)}") from error


def _nobody(_: CommitSummary) -> None:
    return None


def _delete_jobs(tx: Tx, requests: Sequence[tuple[str, ...]]) -> list[None]:
    jobs, keys = tables.jobs.c, tables.submissions
    for ids in requests:
        ledger.forget(tx, ids, now_us())
        found = tx.conn.execute(sa.select(jobs.batch, jobs.created_at).where(jobs.id.in_(ids))).all()
        tx.conn.execute(sa.delete(tables.jobs).where(jobs.id.in_(ids)))
        # A key whose jobs are gone is free again: it must not answer with nothing. Keys are found by their
        # instant, which is their jobs', as that has an index.
        left = sa.exists().where(jobs.owner == keys.c.owner, jobs.batch == keys.c.batch)
        of_these = sa.and_(
            keys.c.created_at.in_({row.created_at for row in found}),
            keys.c.batch.in_({row.batch for row in found}),
        )
        tx.conn.execute(sa.delete(keys).where(of_these, ~left))
    return [None] * len(requests)


def _ensure_owner(tx: Tx, rows: Sequence[dict[str, Any]]) -> list[None]:
    for row in rows:
        tx.conn.execute(tx.insert(tables.owners).values(row).on_conflict_do_nothing())
    return [None] * len(rows)

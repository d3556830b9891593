"""Small builders for jobs and what happens to them; time is always said, never read."""

import itertools
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from imagemill.bootstrap.stores import Stores
from imagemill.db.engine import Engines, open_engines
from imagemill.domain.blob_keys import artifact_id, blob_key
from imagemill.domain.clock import SECOND, new_trace, uuid7
from imagemill.domain.errors import ImagemillError
from imagemill.domain.failures import Failure, FailureCode
from imagemill.domain.jobs import Artifact, Claim, Draft, Failed, Job, JobStatus, LaneKey, Retried, Succeeded
from imagemill.domain.placement import PlacementRules
from imagemill.domain.scheduling import Offer
from imagemill.jobs.store.claim import ClaimRequest
from imagemill.jobs.store.finish import Cancel, Expire, Finish, ReclaimLeases
from imagemill.jobs.store.submit import Accepted, Submission

T = TypeVar("T")

T0 = 1_800_000_000 * SECOND
"""When most stories begin."""
RULES = PlacementRules()
LIFE = 86_400 * SECOND
LEASE = 30 * SECOND
MINUTE = 60 * SECOND

POOLED = "pooled_"
"""How the names of databases begin that are reached through a pooler."""

_ids = itertools.count()


def opened(url: str) -> Engines:
    return open_engines(url, fsync=False, pooler=f"/{POOLED}" in url)


def fresh_id() -> str:
    """Ids rise, as those of one process at rising milliseconds do."""
    return uuid7(T0 + next(_ids) * 1000)


def draft(**changes: Any) -> Draft:
    lane = LaneKey(
        changes.setdefault("queue", "gpu"),
        changes.pop("model", ""),
        changes.pop("backends", ()),
        changes.pop("labels", ()),
        changes.pop("memory_mb", 0),
    )
    values: dict[str, Any] = {
        "id": fresh_id(),
        "recipe": "textToImage",
        "lane": lane,
        "input": {"prompt": "a lighthouse"},
        "expires_at": T0 + LIFE,
        "trace": new_trace(),
        "estimate_s": 1.0,
        **changes,
    }
    return Draft(**values)


def submission(*drafts: Draft, owner: str = "ann", at: int = T0, **more: Any) -> Submission:
    return Submission(fresh_id(), owner, drafts, at, **more)


def submit(store: Stores, *drafts: Draft, **more: Any) -> Accepted:
    return store.jobs.submit(submission(*drafts, **more))


def add(store: Stores, *, owner: str = "ann", at: int = T0, **changes: Any) -> Job:
    """One new job."""
    return submit(store, draft(**changes), owner=owner, at=at).jobs[0]


def offer(**changes: Any) -> Offer:
    values: dict[str, Any] = {
        "worker": "worker-1",
        "node": "node-1",
        "backend": "comfyui",
        "queues": frozenset({"gpu"}),
        **changes,
    }
    return Offer(**values)


def ask(at: int = T0, *, rules: PlacementRules = RULES, lease: int = LEASE, **changes: Any) -> ClaimRequest:
    return ClaimRequest(offer(**changes), str(uuid.uuid4()), at, at + lease, rules)


def claim(store: Stores, at: int = T0, **changes: Any) -> Claim:
    """The next job; there is one."""
    found = store.jobs.claim_next(ask(at, **changes))
    assert found is not None
    return found


def running(store: Stores, at: int = T0, **changes: Any) -> Claim:
    """A new job, claimed."""
    job = add(store, at=at, **changes)
    found = claim(store, at)
    assert found.id == job.id
    return found


def claim_together(store: Stores, *asks: ClaimRequest) -> list[Claim | None]:
    """What each request gets of one transaction."""
    _, found = store.jobs.finish_and_claim_all((), asks)
    return [each.result() for each in found]


def claim_all(store: Stores, at: int = T0, **changes: Any) -> list[Claim]:
    claims: list[Claim] = []
    while (found := store.jobs.claim_next(ask(at, **changes))) is not None:
        claims.append(found)
    return claims


def artifact(claim_: Claim, position: int = 0, at: int = T0) -> Artifact:
    return Artifact(
        id=artifact_id(claim_.id, position),
        job_id=claim_.id,
        position=position,
        attempt=claim_.attempt,
        blob_key=blob_key(claim_.id, claim_.attempt, position, "png"),
        media_type="image/png",
        size=123,
        width=64,
        height=64,
        sha256="0" * 64,
        seed=4_294_967_295,
        created_at=at,
    )


def succeed(store: Stores, claim_: Claim, at: int = T0, pictures: int = 1, **details: Any) -> JobStatus:
    outcome = Succeeded(tuple(artifact(claim_, position, at) for position in range(pictures)), details)
    return store.jobs.finish(Finish(claim_, outcome, at))


def failure(code: FailureCode = FailureCode.NODE_LOST) -> Failure:
    return Failure(code, "it broke")


def fail(
    store: Stores, claim_: Claim, at: int = T0, code: FailureCode = FailureCode.INVALID_GRAPH
) -> JobStatus:
    return store.jobs.finish(Finish(claim_, Failed(failure(code)), at))


def retry(store: Stores, claim_: Claim, at: int = T0, **changes: Any) -> JobStatus:
    values: dict[str, Any] = {"failure": failure(), "run_after": None, **changes}
    return store.jobs.finish(Finish(claim_, Retried(**values), at))


def cancel(store: Stores, job: Job | Claim, at: int = T0, owner: str = "ann") -> JobStatus:
    return store.jobs.cancel(Cancel(job.id, owner, at))


def expire(store: Stores, at: int) -> int:
    return store.jobs.expire(Expire(at))


def reclaim(store: Stores, at: int, *dead: str, limit: int = 500) -> int:
    return store.jobs.reclaim_leases(ReclaimLeases(at, dead, limit))


def status(store: Stores, job: Job | Claim | Draft) -> JobStatus:
    return store.jobs.job(job.id).status


def event_types(store: Stores, job: Job | Claim | Draft) -> list[str]:
    return [event.type.value for event in store.jobs.events_after(job.id, 0)]


def in_threads(work: Sequence[Callable[[], T]]) -> list[T | ImagemillError]:
    """All at the same moment; what each returned, or the error of ours it raised."""
    barrier = threading.Barrier(len(work))
    answers: list[T | ImagemillError | None] = [None] * len(work)
    surprises: list[BaseException] = []

    def run(index: int) -> None:
        barrier.wait()
        try:
            answers[index] = work[index]()
        except ImagemillError as error:
            answers[index] = error
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            surprises.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not surprises, surprises
    return answers  # type: ignore[return-value]

"""What must be true after the storm, read from the database and the bucket."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from imagemill.blobs.settings import BlobSettings
from imagemill.bootstrap.stores import build_stores
from imagemill.db.engine import open_engines
from imagemill.domain.blob_keys import attempt_of
from imagemill.domain.clock import SECOND
from imagemill.jobs.leadership import ProcessLock
from imagemill.jobs.sweeper import Sweeper
from imagemill.settings import JobSettings
from tests.chaos.followers import Followers
from tests.chaos.records import LOST, Found
from tests.chaos.renders import Account
from tests.chaos.rig import LEASE_S, Member, Rig
from tests.chaos.weather import Blow

_OPEN = ("waiting", "queued", "running")
_TERMINAL = {"Succeeded", "Failed", "Canceled", "Expired"}


def wait_until_all_ended(rig: Rig, seconds: float) -> None:
    end = time.monotonic() + seconds
    query = sa.text("SELECT status, count(*) FROM jobs GROUP BY status")
    while True:
        with rig.engine.connect() as conn:
            counts = dict(conn.execute(query).all())
        if not counts.keys() & set(_OPEN):
            return
        assert time.monotonic() < end, f"jobs are stuck: {counts}"
        time.sleep(0.2)


def check_jobs(found: Found, accepted: Sequence[str]) -> None:
    missing = set(accepted) - set(found.statuses)
    assert not missing, f"{len(missing)} accepted jobs are gone"
    assert Counter(found.statuses.values()) == {"succeeded": len(found.statuses)}
    assert len(accepted) == len(set(accepted)), "two requests were answered with one job"


def check_events(found: Found) -> None:
    assert found.events.keys() == found.statuses.keys()
    for job_id, entries in found.events.items():
        kinds = [entry.type for entry in entries]
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), (job_id, "gap", kinds)
        assert sum(kind in _TERMINAL for kind in kinds) == 1, (job_id, "ends", kinds)
        assert kinds[-1] == "Succeeded", (job_id, kinds)
        assert kinds.count("Claimed") == found.attempts[job_id], (job_id, kinds)
        assert entries[-1].attempt == found.attempts[job_id], (job_id, "an old attempt finished it")


def check_claims(found: Found, blows: Sequence[Blow]) -> None:
    """A claim is taken back only from a worker that was killed, or soon after it lost the database."""
    killed = [blow.worker for blow in blows if blow.worker]
    grace = 2 * LEASE_S * SECOND
    cuts = [
        (blow.at, max(blow.at, blow.until) + grace)
        for blow in blows
        if blow.kind in ("database connections", "PostgreSQL")
    ]
    for job_id, worker, at in found.lost():
        died = any(part in worker for part in killed)
        was_cut = any(begin <= at <= end for begin, end in cuts)
        assert died or was_cut, f"job {job_id} was taken from {worker}, which was well"


def check_followers(found: Found, followers: Followers) -> None:
    """Whoever follows a job hears of every event once and in order, over however many connections."""
    assert not followers.wrong, followers.wrong[:3]
    assert followers.ended == followers.heard.keys()
    for job_id, heard in followers.heard.items():
        assert heard == [entry.seq for entry in found.events[job_id]], (job_id, heard)


def check_renders(account: Account) -> None:
    assert not account.needless, f"rendered again without a reason: {account.needless}"
    assert not account.interrupted, f"renders were stopped for nothing: {account.interrupted}"


def check_files(rig: Rig, found: Found, folder: Path) -> int:
    """One set of artifacts a job, each with its file; after a sweep no other file. How many it deleted."""
    store = build_stores(open_engines(rig.database))
    process_lock = ProcessLock(folder)
    sweeper = Sweeper(
        store.jobs,
        rig.blobs,
        process_lock,
        JobSettings(),
        BlobSettings(),
        every_s=1,
        quotas=store.quotas,
        decisions=store.decisions,
        calls=store.provider_calls,
    )
    orphans = sweeper.delete_orphans(grace_s=0)
    process_lock.close()
    store.close()
    assert Counter(job_id for job_id, *_ in found.artifacts) == dict.fromkeys(found.statuses, 1)
    assert {job_id: attempt for job_id, attempt, *_ in found.artifacts} == found.attempts
    files = {blob.key: blob.size for blob in rig.blobs.list("jobs/") if attempt_of(blob.key)}
    assert files == {key: size for *_, key, size in found.artifacts}
    return orphans


def check_leaders(rig: Rig) -> None:
    """One row says who leads, and of the schedulers that live one believes it."""
    end = time.monotonic() + 4 * LEASE_S
    while True:
        with rig.engine.connect() as conn:
            holder = conn.execute(sa.text("SELECT holder FROM leaders")).scalars().all()
        named = [member for member in rig.of("scheduler") if f"-{member.pid}-" in "".join(holder)]
        believing = [member for member in rig.of("scheduler") if _believes(member)]
        if len(holder) == 1 and named and believing == named:
            return
        assert time.monotonic() < end, f"{holder}: {len(believing)} schedulers believe that they lead"
        time.sleep(0.2)


def _believes(member: Member) -> bool:
    """By its last word on it since it started, which it may say before it says that it has."""
    leads = False
    for line in member.log.read_bytes()[member.began_at :].decode().splitlines():
        if not line.startswith("{"):
            continue
        event = json.loads(line)["event"]
        if event in ("this process is the leader", "another process is the leader"):
            leads = event == "this process is the leader"
    return leads


def recovery_s(found: Found, blow: Blow) -> float | None:
    """From the blow until a job accepted after it was done, and until every job held then had gone on."""
    fresh = [
        entries[-1].at - blow.at for entries in found.events.values() if entries and entries[0].at > blow.at
    ]
    again = [
        min((entry.at for entry in found.events[job] if entry.at > blow.at and entry.type != LOST), default=0)
        - blow.at
        for job in blow.held
    ]
    times = [*([min(fresh)] if fresh else []), *again]
    return max(times) / SECOND if times else None

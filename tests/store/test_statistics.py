"""Statistics by the minute: computed from ended jobs, once, by whichever process leads."""

import pytest
import sqlalchemy as sa

from imagemill.bootstrap.stores import Stores
from imagemill.db import tables
from imagemill.db.statistics_table import statistics
from imagemill.domain.clock import SECOND, uuid7
from imagemill.domain.failures import Failure, FailureCode
from imagemill.domain.jobs import Failed, Succeeded
from imagemill.domain.time_series import (
    ALL_OWNERS,
    FAILED,
    FINISHED,
    HOUR_S,
    MINUTE_S,
    MODEL_LOADS,
    QUEUE_AGE,
    QUEUED,
    SUBMITTED,
    TOTAL,
    WEBHOOKS_FAILED,
    WEBHOOKS_SENT,
    Bucket,
    figure,
    stage_p95,
)
from imagemill.jobs.minutes import GRACE_S, HOURS_KEPT_S, MINUTES_KEPT_S, MinuteRecorder
from imagemill.jobs.store.finish import Finish
from imagemill.jobs.store.statistics import StatisticsQuery
from tests.store.build import T0, add, claim

START = T0 - T0 % (HOUR_S * SECOND)
MINUTE = MINUTE_S * SECOND
MODEL = "urn:air:sd1:checkpoint:file:a"


def end(store: Stores, *, at: int, owner: str = "ann", run_s: float = 4.0, **job: object) -> str:
    """A job that waited for 2 s and ended ``run_s`` seconds after its start; with ``fails`` it failed."""
    fails = job.pop("fails", False)
    begun = at - round(run_s * SECOND)
    created = begun - 2 * SECOND
    add(store, owner=owner, at=created, id=uuid7(created), **job)
    taken = claim(store, begun, node="attic")
    failed = Failed(Failure(FailureCode.OUT_OF_MEMORY, "out of memory"))
    stages = [{"stage": "COMFY_RESULT", "atMs": 900, "ms": 800.0}]
    store.jobs.finish(Finish(taken, failed if fails else Succeeded((), {"stages": stages}), at))
    return taken.id


def recorder(store: Stores) -> MinuteRecorder:
    return MinuteRecorder(store.jobs.statistics(), store.jobs.measure)


def one(store: Stores, at: int = START, *, owner: str = ALL_OWNERS, **of: str) -> Bucket:
    """The bucket of a minute; ``of``: a dimension and its key."""
    ((dimension, key),) = of.items() or ((TOTAL, ""),)
    query = StatisticsQuery(owner, at, at + MINUTE, dimension=dimension, key=key)
    ((_, bucket),) = store.jobs.statistics().buckets(query)[key]
    return bucket


def test_a_minute_counts_what_ended_in_it(store: Stores) -> None:
    end(store, at=START + 20 * SECOND, model=MODEL)
    end(store, at=START + 40 * SECOND, owner="bob", fails=True)
    end(store, at=START + 70 * SECOND)

    store.jobs.statistics().record(
        MINUTE_S, START, store.jobs.statistics().compute(START, START + 2 * MINUTE)
    )

    total = one(store)
    assert (total.counts[FINISHED], total.counts[FAILED], total.counts[SUBMITTED]) == (1, 1, 2)
    assert figure("waiting_p95", total, 60) == pytest.approx(2.0, rel=0.1)
    assert figure("running_p95", total, 60) == pytest.approx(4.0, rel=0.1)
    assert stage_p95("render", total) == pytest.approx(0.8, rel=0.1)
    assert one(store, owner="bob", error="out_of_memory").counts == {FAILED: 1}
    loaded = one(store, owner="ann", model=MODEL)
    assert (loaded.counts[FINISHED], loaded.counts[MODEL_LOADS]) == (1, 1)
    assert one(store, node="attic").busy_s == pytest.approx(8.0)
    assert FAILED not in one(store, owner="ann").counts


def test_a_node_is_busy_with_jobs_that_go_on(store: Stores) -> None:
    end(store, at=START + 90 * SECOND, run_s=60)
    add(store, at=START)
    claim(store, START + 50 * SECOND, node="cellar")

    buckets = store.jobs.statistics().compute(START, START + 3 * MINUTE)

    assert buckets[ALL_OWNERS, "node", "attic"].busy_s == pytest.approx(30.0)
    assert buckets[ALL_OWNERS, "node", "cellar"].busy_s == pytest.approx(10.0)


def test_a_new_leader_goes_on_after_the_last_minute(store: Stores) -> None:
    end(store, at=START + 20 * SECOND)
    end(store, at=START + 15 * MINUTE + 20 * SECOND)
    past = START + MINUTE + round(GRACE_S * SECOND)

    assert recorder(store).record(past - SECOND) >= 0
    assert recorder(store).record(past) == 1
    assert recorder(store).record(past) == 0
    before = one(store)
    # Idle minutes are left out, except the one that has just passed.
    assert recorder(store).record(START + 21 * MINUTE) == 2
    assert one(store) == before
    assert one(store, START + 15 * MINUTE).counts[FINISHED] == 1
    assert store.jobs.statistics().latest(MINUTE_S) == START + 19 * MINUTE


def test_a_recorded_minute_is_not_asked_for_again_until_the_next_is_over(
    store: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = recorder(store)
    it.record(START + 80 * SECOND)
    assert it.record(START + 81 * SECOND) == 0
    monkeypatch.setattr(it, "_store", None)
    assert it.record(START + 134 * SECOND) == 0
    monkeypatch.undo()
    end(store, at=START + 100 * SECOND)
    assert it.record(START + 136 * SECOND) == 1


def test_the_depth_of_the_queue_is_stored_with_a_minute_that_has_just_passed(store: Stores) -> None:
    add(store, at=START, id=uuid7(START))

    recorder(store).record(START + MINUTE + 20 * SECOND)

    assert figure(QUEUED, one(store), 60) == 1
    assert figure(QUEUE_AGE, one(store), 60) == pytest.approx(80.0)


def test_minutes_become_hours_and_both_are_deleted_in_time(store: Stores) -> None:
    for number in range(3):
        end(store, at=START + number * 20 * MINUTE + SECOND)
    made = store.jobs.statistics()

    recorder(store).record(START + 61 * MINUTE + 30 * SECOND)

    hours = made.buckets(StatisticsQuery(ALL_OWNERS, START, START + HOUR_S * SECOND, HOUR_S, key=""))
    assert [(at, bucket.counts[FINISHED]) for at, bucket in hours[""]] == [(START, 3)]
    recorder(store).record(START + (MINUTES_KEPT_S + 2 * HOUR_S) * SECOND)
    assert not made.buckets(StatisticsQuery(ALL_OWNERS, START, START + HOUR_S * SECOND))
    assert made.latest(HOUR_S) is not None
    recorder(store).record(START + (HOURS_KEPT_S + 2 * HOUR_S) * SECOND)
    assert _oldest(store, HOUR_S) > START


def _oldest(store: Stores, span_s: int) -> int:
    oldest = sa.select(sa.func.min(statistics.c.at)).where(statistics.c.span == span_s)
    return store.database.read(lambda conn: conn.execute(oldest).scalar_one()) or START + 1


def test_webhooks_count_for_the_owner_of_their_endpoint(store: Stores) -> None:
    at = START + SECOND
    store.jobs.ensure_owner("ann", at)
    endpoint = {"id": "e", "owner": "ann", "url": "u", "description": "", "events": "[]", "secrets": "[]"}
    message = {"id": "m", "endpoint_id": "e", "type": "t", "created_at": at, "tries": 2}
    attempt = {"message_id": "m", "at": at, "took_ms": 5}
    with store.database.engines.writer.begin() as conn:
        conn.execute(sa.insert(tables.endpoints).values(**endpoint, created_at=at, updated_at=at))
        conn.execute(sa.insert(tables.messages).values(**message))
        conn.execute(sa.insert(tables.attempts).values(**attempt, number=1, error="refused"))
        conn.execute(sa.insert(tables.attempts).values(**attempt, number=2, status=200))

    buckets = store.jobs.statistics().compute(START, START + 2 * MINUTE)

    for owner in (ALL_OWNERS, "ann"):
        assert buckets[owner, TOTAL, ""].counts == {WEBHOOKS_SENT: 1, WEBHOOKS_FAILED: 1}

"""Any story of jobs, told to the store and to a simple model of it; time is a number we move."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from imagemill.bootstrap.stores import Stores, build_stores
from imagemill.db.engine import open_engines
from imagemill.domain.clock import SECOND
from imagemill.domain.errors import Superseded
from imagemill.domain.failures import WORKER_LOST_TRIES
from imagemill.domain.jobs import Claim, JobStatus
from imagemill.domain.pauses import PARKED, Pause, PauseScope
from imagemill.jobs.store.finish import ReleaseRetries
from imagemill.jobs.store.heartbeat import Heartbeat, HeartbeatReply
from imagemill.jobs.store.queries import Filter
from tests.databases import sqlite_database
from tests.store.build import (
    LEASE,
    T0,
    ask,
    cancel,
    claim_together,
    draft,
    expire,
    fail,
    fresh_id,
    reclaim,
    retry,
    submit,
    succeed,
)

S = JobStatus
OWNERS = ("ann", "bob")
_names = count()


@dataclass
class Known:
    """What the model knows of a job."""

    owner: str
    needs: tuple[str, ...]
    expires_at: int
    status: S
    attempt: int = 0
    worker: str = ""
    lease_until: int = 0
    run_after: int | None = None
    wished: bool = False
    delivered: int | None = None
    pictures: int = 0
    events: list[str] = field(default_factory=lambda: ["Initialized"])


class Jobs(RuleBasedStateMachine):
    """``open_store`` gives an empty store."""

    open_store: Callable[[], Stores]
    claims = Bundle("claims")
    ids = Bundle("ids")

    @initialize()
    def begin(self) -> None:
        self.now = T0
        self.known: dict[str, Known] = {}
        self.pauses: dict[str, str] = {}
        self.store = type(self).open_store()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    # What happens

    @rule(
        target=ids,
        owner=st.sampled_from(OWNERS),
        priority=st.integers(-20, 20),
        life_s=st.sampled_from([30, 10_000]),
        shape=st.lists(st.sets(st.integers(0, 2), max_size=2), min_size=1, max_size=4),
        estimate_s=st.floats(0.1, 20),
        model=st.sampled_from(["", "a", "b"]),
    )
    def submit(
        self, owner: str, priority: int, life_s: int, shape: list[set[int]], estimate_s: float, model: str
    ) -> Any:
        expires_at = self.now + life_s * SECOND
        drafts = []
        for position, needed in enumerate(shape):
            needs = tuple(drafts[index].id for index in sorted(needed) if index < position)
            drafts.append(
                draft(
                    depends_on=needs,
                    priority=priority,
                    expires_at=expires_at,
                    estimate_s=estimate_s,
                    model=model,
                )
            )
        submit(self.store, *drafts, owner=owner, at=self.now)
        for each in drafts:
            status = S.WAITING if each.depends_on else S.QUEUED
            self.known[each.id] = Known(owner, each.depends_on, expires_at, status)
            if status is S.QUEUED:
                self.known[each.id].run_after = self.parked(owner, None)
        return multiple(*(each.id for each in drafts))

    @rule(target=claims, worker=st.sampled_from(["w1", "w2"]), resident=st.sampled_from(["", "a"]))
    def claim(self, worker: str, resident: str) -> Any:
        possible = self.possible()
        taken = self.store.jobs.claim_next(ask(self.now, worker=worker, loaded_models=frozenset({resident})))
        if taken is None:
            assert not possible
            return multiple()
        assert taken.id in possible
        self.took(taken, worker)
        return taken

    @rule(target=claims, worker=st.sampled_from(["w1", "w2"]), count=st.integers(2, 5))
    def claim_several(self, worker: str, count: int) -> Any:
        possible = self.possible()
        asks = [ask(self.now, worker=worker, loaded_models=frozenset({"a", "b"})) for _ in range(count)]
        taken = [each for each in claim_together(self.store, *asks) if each is not None]
        assert len({each.id for each in taken} & possible) == len(taken) == min(count, len(possible))
        for each in taken:
            self.took(each, worker)
        return multiple(*taken)

    def possible(self) -> set[str]:
        return {
            id_
            for id_, job in self.known.items()
            if job.status is S.QUEUED and job.run_after is None and job.expires_at > self.now
        }

    def took(self, claim: Claim, worker: str) -> None:
        job = self.known[claim.id]
        job.status, job.worker, job.lease_until = S.RUNNING, worker, self.now + LEASE
        job.attempt += 1
        job.events.append("Claimed")

    @rule(claim=claims, news=st.booleans())
    def beat(self, claim: Claim, news: bool) -> None:
        beat = Heartbeat(claim, self.now, self.now + LEASE, {"step": 1} if news else None)
        (pulse,) = self.store.jobs.record_heartbeats([beat])
        if not self.holds(claim):
            assert pulse in (HeartbeatReply.SUPERSEDED, HeartbeatReply.TAKEN_OVER)
            return
        job = self.known[claim.id]
        assert pulse is (HeartbeatReply.CANCEL if job.wished else HeartbeatReply.GO_ON)
        job.lease_until = self.now + LEASE
        job.events += ["Updated"] * news

    @rule(claim=claims, pictures=st.integers(0, 2))
    def succeed(self, claim: Claim, pictures: int) -> None:
        if self.ends(claim, lambda: succeed(self.store, claim, self.now, pictures)):
            self.known[claim.id].delivered = claim.attempt
            self.known[claim.id].pictures = pictures
            self.end(claim.id, S.SUCCEEDED)

    @rule(claim=claims)
    def fail_for_good(self, claim: Claim) -> None:
        if self.ends(claim, lambda: fail(self.store, claim, self.now)):
            self.end(claim.id, S.FAILED)

    @rule(claim=claims, delay_s=st.sampled_from([None, 5, 60]))
    def fail_and_try_again(self, claim: Claim, delay_s: int | None) -> None:
        run_after = None if delay_s is None else self.now + delay_s * SECOND
        if self.ends(claim, lambda: retry(self.store, claim, self.now, run_after=run_after)):
            self.go_back(claim.id, "Rejected", run_after)

    @rule(claim=consumes(claims))
    def crash(self, claim: Claim) -> None:
        """The worker forgets the job; its lease goes on."""

    @rule(owner=st.sampled_from(OWNERS))
    def pause(self, owner: str) -> None:
        if owner in self.pauses:
            return
        self.pauses[owner] = fresh_id()
        self.store.pauses.add(Pause(self.pauses[owner], PauseScope.OWNER, owner, "", "anna", self.now))
        for job in self.known.values():
            if job.status is S.QUEUED and job.owner == owner:
                job.run_after = self.parked(owner, job.run_after)

    @rule(owner=st.sampled_from(OWNERS))
    def lift(self, owner: str) -> None:
        if owner not in self.pauses:
            return
        self.store.pauses.remove(self.pauses.pop(owner), self.now)
        for job in self.known.values():
            if job.run_after is not None and job.run_after >= PARKED and job.owner == owner:
                retry_at = job.run_after - PARKED
                job.run_after = retry_at if retry_at > self.now else None

    @rule()
    def nothing_is_left_to_park_or_release(self) -> None:
        assert self.store.pauses.settle(self.now) == 0

    @rule(worker=st.sampled_from(["w1", "w2"]))
    def reclaim_of_the_dead(self, worker: str) -> None:
        self.take_back(lambda job: job.worker == worker or job.lease_until < self.now, worker)

    @rule()
    def reclaim_of_the_silent(self) -> None:
        self.take_back(lambda job: job.lease_until < self.now)

    @rule(id_=ids, owner=st.sampled_from(OWNERS))
    def cancel(self, id_: str, owner: str) -> None:
        job = self.known[id_]
        if owner != job.owner:
            return
        answer = cancel(self.store, self.store.jobs.job(id_), self.now, owner)
        if job.status in (S.WAITING, S.QUEUED):
            self.end(id_, S.CANCELED)
        elif job.status is S.RUNNING:
            job.wished = True
        assert answer is job.status

    @rule(seconds=st.sampled_from([1, 7, 31, 120]))
    def time_goes_by(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule()
    def expire(self) -> None:
        expire(self.store, self.now)
        due = [
            id_
            for id_, job in self.known.items()
            if job.status in (S.WAITING, S.QUEUED) and job.expires_at <= self.now
        ]
        # One that expires together with what it needs is cancelled or expired, whichever comes first.
        for id_ in sorted(due):
            if not self.known[id_].status.is_terminal:
                self.end(id_, S.EXPIRED)

    @rule()
    def unpark(self) -> None:
        next_due = self.store.jobs.release_retries(ReleaseRetries(self.now))
        for job in self.known.values():
            if job.run_after is not None and job.run_after <= self.now:
                job.run_after = None
        parked = [job.run_after for job in self.known.values() if job.run_after is not None]
        assert next_due == min(parked, default=None)

    # What the model does

    def holds(self, claim: Claim) -> bool:
        job = self.known[claim.id]
        return job.status is S.RUNNING and job.attempt == claim.attempt

    def ends(self, claim: Claim, finish: Callable[[], JobStatus]) -> bool:
        if self.holds(claim):
            finish()
            return True
        with pytest.raises(Superseded):
            finish()
        return False

    def go_back(self, id_: str, event: str, run_after: int | None = None) -> None:
        job = self.known[id_]
        if job.wished:
            self.end(id_, S.CANCELED)
            return
        job.status, job.run_after = S.QUEUED, self.parked(job.owner, run_after)
        job.events.append(event)

    def parked(self, owner: str, run_after: int | None) -> int | None:
        return PARKED + (run_after or 0) if owner in self.pauses else run_after

    def take_back(self, gone: Callable[[Known], bool], *dead: str) -> None:
        lost = [id_ for id_, job in self.known.items() if job.status is S.RUNNING and gone(job)]
        assert reclaim(self.store, self.now, *dead) == len(lost)
        for id_ in lost:
            if self.known[id_].attempt >= WORKER_LOST_TRIES:
                self.end(id_, S.FAILED)
            else:
                self.go_back(id_, "ClaimExpired")

    def end(self, id_: str, status: S) -> None:
        job = self.known[id_]
        job.status, job.run_after = status, None
        job.events.append(status.value.capitalize())
        for other_id, other in self.known.items():
            if other.status is S.WAITING and id_ in other.needs:
                if status is not S.SUCCEEDED:
                    self.end(other_id, S.CANCELED)
                elif all(self.known[need].status is S.SUCCEEDED for need in other.needs):
                    other.status, other.run_after = S.QUEUED, self.parked(other.owner, None)

    # What is always so

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        for id_, view in self.views().items():
            job, known = view.job, self.known[id_]
            assert (job.status, job.attempt, job.run_after) == (known.status, known.attempt, known.run_after)
            assert (job.cancel_requested_at is not None) == known.wished
            assert (job.finished_at is not None) == known.status.is_terminal

    @invariant()
    def only_running_jobs_have_a_lease(self) -> None:
        for view in self.views().values():
            assert (view.job.lease_until is not None) == (view.job.status is S.RUNNING)

    @invariant()
    def only_delivered_jobs_have_pictures_of_the_attempt_that_delivered_them(self) -> None:
        attempts = [
            (id_, attempt) for id_, job in self.known.items() for attempt in range(1, job.attempt + 1)
        ]
        delivered = {(id_, job.delivered) for id_, job in self.known.items() if job.pictures}
        runs = {(id_, job.attempt) for id_, job in self.known.items() if job.status is S.RUNNING}
        if attempts:
            assert self.store.jobs.referenced_attempts(attempts) == delivered | runs
        for id_, view in self.views().items():
            assert len(view.artifacts) == self.known[id_].pictures
            assert {each.attempt for each in view.artifacts} <= {self.known[id_].delivered}

    @invariant()
    def logs_are_numbered_without_a_gap_and_end_once(self) -> None:
        for id_ in self.known:
            events = self.store.jobs.events_after(id_, 0)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert [event.type.value for event in events] == self.known[id_].events
            assert not any(event.type.is_terminal for event in events[:-1])
            assert events[-1].type.is_terminal == self.known[id_].status.is_terminal
            assert self.store.jobs.job(id_).last_seq == len(events)

    @invariant()
    def a_waiting_job_has_an_unfinished_need(self) -> None:
        for known in self.known.values():
            if known.status is S.WAITING:
                assert any(not self.known[need].status.is_terminal for need in known.needs)

    @invariant()
    def depths_are_the_numbers_of_open_jobs(self) -> None:
        if hasattr(self, "store"):
            statuses = [job.status.value for job in self.known.values()]
            assert self.store.jobs.depths() == {
                name: statuses.count(name) for name in ("waiting", "queued", "running")
            }

    def views(self) -> dict[str, Any]:
        return self.store.jobs.views_by_id(list(self.known)) if getattr(self, "known", None) else {}


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def test_any_story_ends_as_the_model_says_on_sqlite(tmp_path: Path):
    class OnSqlite(Jobs):
        @staticmethod
        def open_store() -> Stores:
            return build_stores(open_engines(sqlite_database(tmp_path / f"{next(_names)}.db"), fsync=False))

    run_state_machine_as_test(
        OnSqlite,
        settings=settings(
            max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=QUIET
        ),
    )


def test_any_story_ends_as_the_model_says_on_postgresql(kept_postgres_url: str):
    class OnPostgres(Jobs):
        @staticmethod
        def open_store() -> Stores:
            store = build_stores(open_engines(kept_postgres_url))
            for pause in store.pauses.all():
                store.pauses.remove(pause.id, T0)
            for owner in OWNERS:
                store.jobs.delete_jobs([job.id for job in store.jobs.list_jobs(Filter(owner, limit=10_000))])
            return store

    run_state_machine_as_test(
        OnPostgres,
        settings=settings(max_examples=8, stateful_step_count=30, deadline=None, suppress_health_check=QUIET),
    )

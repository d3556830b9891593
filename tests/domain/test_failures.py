"""Which failure is tried again, where, when and how often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill.domain.failures import (
    POLICIES,
    WORKER_LOST_TRIES,
    Backoff,
    Failure,
    FailureCode,
    Retry,
    RetryTarget,
    next_try,
)

CODES = st.sampled_from(list(FailureCode))
OWN_CODES = [code for code in FailureCode if code is not FailureCode.WORKER_LOST]


def tried(
    code: FailureCode, failures: int = 1, attempt: int = 1, most: int = 5, jitter: float = 0.5
) -> Retry | None:
    return next_try(
        Failure(code, "it broke"),
        failures=failures,
        attempt=attempt,
        max_failures=most,
        node="node-1",
        backoff=Backoff(),
        jitter=jitter,
    )


@pytest.mark.parametrize("code", list(FailureCode))
def test_every_failure_has_a_policy_with_advice(code: FailureCode):
    policy = POLICIES[code]
    assert policy.advice.endswith(".")
    assert Failure(code, "").policy is policy


@pytest.mark.parametrize("code", [c for c in FailureCode if POLICIES[c].where is RetryTarget.NEVER])
def test_a_hopeless_failure_is_never_tried_again(code: FailureCode):
    assert tried(code, most=100) is None


def test_the_client_s_own_faults_are_hopeless():
    never = {code for code in FailureCode if POLICIES[code].where is RetryTarget.NEVER}
    assert never == {
        FailureCode.INVALID_GRAPH,
        FailureCode.BACKEND_REJECTED,
        FailureCode.CONTENT_BLOCKED,
        FailureCode.DEPENDENCY,
        FailureCode.OUTPUT_LIMIT,
    }


@pytest.mark.parametrize("code", [c for c in OWN_CODES if POLICIES[c].where is RetryTarget.ELSEWHERE])
def test_a_failure_of_a_node_is_tried_on_another(code: FailureCode):
    retry = tried(code)
    assert retry is not None
    assert retry.avoid_node == "node-1"


@pytest.mark.parametrize("code", [c for c in FailureCode if POLICIES[c].where is RetryTarget.ANYWHERE])
def test_a_failure_of_no_node_may_be_tried_anywhere(code: FailureCode):
    retry = tried(code)
    assert retry is not None
    assert retry.avoid_node is None


@pytest.mark.parametrize("code", [c for c in OWN_CODES if POLICIES[c].where is not RetryTarget.NEVER])
def test_tries_end_at_the_limit(code: FailureCode):
    limit = min(POLICIES[code].tries or 5, 5)
    assert tried(code, failures=limit - 1) is not None
    assert tried(code, failures=limit) is None


def test_a_job_may_ask_for_a_single_try():
    assert tried(FailureCode.NODE_LOST, most=1) is None


def test_a_lost_worker_uses_up_no_try_and_waits_for_nothing():
    assert tried(FailureCode.WORKER_LOST, failures=99, attempt=3, most=1) == Retry(0.0, None)


def test_a_job_that_kills_every_worker_is_given_up():
    assert tried(FailureCode.WORKER_LOST, attempt=WORKER_LOST_TRIES - 1) is not None
    assert tried(FailureCode.WORKER_LOST, attempt=WORKER_LOST_TRIES) is None


@given(
    CODES, st.integers(1, 200), st.integers(1, 200), st.integers(1, 100), st.floats(0, 1, exclude_max=True)
)
def test_no_failure_is_tried_for_ever(
    code: FailureCode, failures: int, attempt: int, most: int, jitter: float
):
    retry = tried(code, max(failures, most), max(attempt, WORKER_LOST_TRIES), most, jitter)
    assert retry is None


BACKOFFS = st.builds(Backoff, st.floats(0, 1000), st.floats(0, 100_000))


@given(BACKOFFS, st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_between_half_and_the_whole_of_the_capped_power(
    backoff: Backoff, failures: int, jitter: float
):
    whole = min(backoff.cap_s, backoff.base_s * 2.0 ** min(failures - 1, 30))
    assert whole / 2 <= backoff.delay_s(failures, jitter) <= whole <= backoff.cap_s


@given(BACKOFFS, st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_delays_never_shrink(backoff: Backoff, failures: int, jitter: float):
    assert backoff.delay_s(failures, jitter) <= backoff.delay_s(failures + 1, jitter)


@given(st.floats(0.01, 10), st.floats(0, 0.99), st.floats(0, 0.99))
def test_jitter_spreads_retries(base: float, low: float, high: float):
    low, high = sorted((low, high))
    assert Backoff(base).delay_s(1, low) <= Backoff(base).delay_s(1, high)
    assert Backoff(base).delay_s(1, 0.99) > Backoff(base).delay_s(1, 0.0)

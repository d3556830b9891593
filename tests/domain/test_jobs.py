"""Statuses, events and the names of files."""

import pytest

from imagemill.domain.blob_keys import artifact_id, attempt_of, blob_key
from imagemill.domain.events import EventType, terminal_event
from imagemill.domain.jobs import IDLE, OPEN, TERMINAL, TRANSITIONS, JobStatus

S = JobStatus
ALLOWED = {
    (S.WAITING, S.QUEUED),
    (S.WAITING, S.CANCELED),
    (S.WAITING, S.EXPIRED),
    (S.QUEUED, S.RUNNING),
    (S.QUEUED, S.CANCELED),
    (S.QUEUED, S.EXPIRED),
    (S.RUNNING, S.QUEUED),
    (S.RUNNING, S.SUCCEEDED),
    (S.RUNNING, S.FAILED),
    (S.RUNNING, S.CANCELED),
}


@pytest.mark.parametrize("before", list(S))
@pytest.mark.parametrize("after", list(S))
def test_these_changes_of_status_exist_and_no_others(before: S, after: S):
    assert before.may_become(after) == ((before, after) in ALLOWED)


def test_every_status_has_its_transitions():
    assert set(TRANSITIONS) == set(S)


def test_a_terminal_status_has_no_way_out():
    assert {S.SUCCEEDED, S.FAILED, S.CANCELED, S.EXPIRED} == TERMINAL
    assert all(not TRANSITIONS[status] and status.is_terminal for status in TERMINAL)


def test_every_other_status_is_open():
    assert {S.WAITING, S.QUEUED, S.RUNNING} == OPEN
    assert {S.WAITING, S.QUEUED} == IDLE
    assert not any(status.is_terminal for status in OPEN)


def test_every_status_can_be_reached():
    reached, new = {S.WAITING, S.QUEUED}, True
    while new:
        new = {after for before in reached for after in TRANSITIONS[before]} - reached
        reached |= new
    assert reached == set(S)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_a_terminal_status_has_an_event_of_its_own_name(status: S):
    event = terminal_event(status)
    assert event.is_terminal
    assert event.value.lower() == status.value


def test_only_four_events_are_terminal():
    assert {event for event in EventType if event.is_terminal} == {terminal_event(s) for s in TERMINAL}


def test_a_blob_key_tells_its_attempt():
    key = blob_key("0190", 3, 0, "png")
    assert key == "jobs/0190/3/0.png"
    assert attempt_of(key) == ("0190", 3)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "jobs",
        "jobs/a",
        "jobs/a/1",
        "jobs/a/x/0.png",
        "other/a/1/0.png",
        "jobs/a/-1/0.png",
        "jobs/a/1/2/3",
    ],
)
def test_another_key_belongs_to_no_attempt(key: str):
    assert attempt_of(key) is None


def test_attempts_never_share_a_file():
    keys = {blob_key("a", attempt, position, "png") for attempt in range(3) for position in range(3)}
    assert len(keys) == 9


def test_an_artifact_id_is_known_beforehand_and_is_64_upper_case_hex_digits():
    id_ = artifact_id("0190", 0)
    assert id_ == artifact_id("0190", 0) != artifact_id("0190", 1)
    assert len(id_) == 64
    assert set(id_) <= set("0123456789ABCDEF")

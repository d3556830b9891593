"""What was decided of texts and pictures, on both databases."""

from imagemill.bootstrap.stores import Stores
from imagemill.domain.clock import now_us, uuid7
from imagemill.domain.moderation import ModerationRecord, Verdict
from imagemill.safety.decisions import Decision


def decision(owner: str, at: int, job_id: str | None = None) -> Decision:
    return Decision(
        uuid7(at * 1000), owner, at, job_id, ModerationRecord("minors", Verdict.BLOCK, "minors", "0" * 64)
    )


def test_decisions_are_read_back_the_newest_first_and_by_owner(store: Stores):
    for owner in ("ann", "bob"):
        store.jobs.ensure_owner(owner, now_us())
    first, second, third = decision("ann", 1), decision("bob", 2, uuid7()), decision("ann", 3)
    store.decisions.record([first, second])
    store.decisions.begin([third])
    store.jobs.ensure_owner("ann", now_us())  # written after it
    assert store.decisions.page() == [third, second, first]
    assert store.decisions.page(owner="ann") == [third, first]
    assert store.decisions.page(owner="ann", before=third.id, limit=1) == [first]


def test_old_decisions_are_deleted(store: Stores):
    store.jobs.ensure_owner("ann", now_us())
    old, young = decision("ann", 1), decision("ann", 9)
    store.decisions.record([old, young])
    assert store.decisions.prune(9) == 1
    assert store.decisions.page() == [young]

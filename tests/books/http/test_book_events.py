"""The events of a book, derived from its facts and jobs."""

from dataclasses import replace
from typing import Any

import pytest

from imagemill.domain.errors import InvalidInput
from imagemill.domain.failures import Failure, FailureCode
from imagemill.domain.jobs import Job, JobStatus
from imagemill.products.books.book_events import EVENT_TYPES, BookEvent, after, event_body, events_of, seen_at
from imagemill.products.books.book_states import BookState, PageState
from imagemill.products.books.book_views import AnalysisView, PageView, PersonalizationView, VersionView

SECOND = 1_000_000


def version(number: int, *, at: int, automatic: bool = False, score: float | None = 0.9) -> VersionView:
    return VersionView(
        version=number,
        state=PageState.READY,
        seed=number,
        mode="local",
        feedback="",
        automatic=automatic,
        current=True,
        score=score,
        findings=(),
        picture=None,
        preview=None,
        error=None,
        created_at=at,
    )


def page(number: int, *versions: VersionView, flagged: bool = False) -> PageView:
    return PageView(number, PageState.READY, 0.9, flagged, 3, versions)


def view(*pages: PageView, **facts: Any) -> PersonalizationView:
    book = PersonalizationView(
        id="book",
        owner="local",
        slug="a-walk",
        manifest="",
        profile="square-8-25in",
        state=BookState.PREVIEW_READY,
        allowed=(),
        problem=None,
        analyses=(AnalysisView("hero", True, None, None),),
        reference=None,
        reference_approved=True,
        child=None,
        pages=pages,
        done=0,
        total=0,
        created_at=SECOND,
        unlocked_at=None,
        approved_at=None,
        canceled_at=None,
        photo_deleted_at=None,
        deleted_at=None,
    )
    return replace(book, **facts)


def job(recipe: str, at: int | None, *, failed: bool = False, **input_: Any) -> Job:
    """Return a job that has ended at ``at``, or has not."""
    status = JobStatus.RUNNING if at is None else JobStatus.FAILED if failed else JobStatus.SUCCEEDED
    name = f"{recipe}-{input_.get('page')}-{input_.get('version')}"
    empty: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    error = Failure(FailureCode.TIMEOUT, "it took too long") if failed else None
    known = {
        "id": name,
        "recipe": recipe,
        "status": status,
        "finished_at": at,
        "input": input_,
        "error": error,
    }
    return Job(**{**empty, **known})


def types(events: list[BookEvent]) -> list[str]:
    return [event.type for event in events]


def test_a_book_tells_of_its_steps_in_their_order():
    book = view(
        page(1, version(1, at=5)),
        unlocked_at=8 * SECOND,
        approved_at=11 * SECOND,
        photo_deleted_at=13 * SECOND,
    )
    jobs = [
        job("bookPrint", 12 * SECOND, version=1),
        job("bookProof", 10 * SECOND),
        job("bookPage", 7 * SECOND, page=1, version=1),
        job("bookPicture", 6 * SECOND, page=1, version=1),
        job("bookReference", 3 * SECOND, version=1),
        job("bookAnalysis", 2 * SECOND),
    ]
    events = events_of(book, jobs)
    assert types(events) == [
        "photo.accepted",
        "analysis.done",
        "reference.ready",
        "page.ready",
        "preview.ready",
        "unlocked",
        "proof.ready",
        "approved",
        "completed",
        "photo.deleted",
    ]
    assert set(types(events)) <= set(EVENT_TYPES)
    assert len({event.id for event in events}) == len(events)


def test_a_page_has_its_version_score_and_flag():
    book = view(page(1, version(1, at=5, score=0.41), flagged=True))
    ready = next(
        event
        for event in events_of(book, [job("bookPage", 7, page=1, version=1)])
        if event.type == "page.ready"
    )
    assert ready.data == {"page": 1, "version": 1, "score": 0.41, "flagged": True}


def test_a_failed_page_has_its_cause():
    book = view(page(2))
    events = events_of(book, [job("bookPicture", 7, failed=True, page=2, version=1)])
    (failed,) = (event for event in events if event.type == "page.failed")
    assert failed.data == {
        "page": 2,
        "version": 1,
        "error": {"code": "timeout", "message": "it took too long"},
    }


def test_a_photo_that_cannot_be_used_fails_the_analysis():
    book = view(analyses=(AnalysisView("hero", False, "blurred", "The photo is blurred."),))
    event = events_of(book, [job("bookAnalysis", 2 * SECOND)])[-1]
    assert event.type == "analysis.failed"
    assert event.data == {"photos": [{"characterId": "hero", "problem": "blurred"}]}


def test_the_preview_is_ready_with_its_last_page_and_stays_so():
    pages = (page(1, version(1, at=5)), page(2, version(1, at=5), version(2, at=20)))
    jobs = [job("bookPage", 7, page=1, version=1)]
    assert "preview.ready" not in types(events_of(view(*pages), jobs))
    jobs.append(job("bookPage", 9, page=2, version=1))
    ready = next(event for event in events_of(view(*pages), jobs) if event.type == "preview.ready")
    assert ready.at == 9
    assert ready.data == {"pages": [1, 2]}
    jobs.append(job("bookPage", 22, page=2, version=2))
    unlocked = view(*pages, page(3, version(1, at=40)), unlocked_at=30)
    assert ready in events_of(unlocked, jobs)


def test_the_preview_waits_for_automatic_redraws():
    drawn = page(1, version(1, at=5, score=0.1), version(2, at=8, automatic=True))
    jobs = [job("bookPage", 7, page=1, version=1)]
    assert "preview.ready" not in types(events_of(view(drawn), jobs))
    jobs.append(job("bookPage", 10, page=1, version=2))
    assert [event.at for event in events_of(view(drawn), jobs) if event.type == "preview.ready"] == [10]


def test_jobs_that_are_under_way_or_part_of_others_give_no_event():
    jobs = [job("bookPage", None, page=1, version=1), job("bookPicture", 7, page=1, version=1)]
    assert types(events_of(view(page(1, version(1, at=5))), jobs)) == ["photo.accepted"]


def test_a_tombstone_tells_of_the_deletion():
    at = 9 * SECOND
    assert types(events_of(view(deleted_at=at, deletion={"erasedAt": None}), [])) == ["photo.accepted"]
    done = {"files": 3, "erasedAt": at + 1}
    events = events_of(view(deleted_at=at, photo_deleted_at=at + 1, deletion=done), [])
    assert types(events) == ["photo.accepted", "photo.deleted", "deleted"]
    assert (events[-1].data, events[-1].at) == (done, at + 1)


def test_an_event_does_not_name_the_child():
    body = event_body(view(), BookEvent("unlocked", SECOND, "unlocked", {}))
    assert body == {
        "id": "1000000.unlocked",
        "type": "unlocked",
        "at": "1970-01-01T00:00:01+00:00",
        "personalization": "book",
        "book": "a-walk",
        "data": {},
    }


def test_a_client_resumes_after_the_last_event_it_has_seen():
    events = [BookEvent("page.ready", at * SECOND, f"job{at}", {}) for at in (1, 5, 9, 10)]
    assert after(events, "") == events
    # Two seconds before it are sent again, in case commits overlapped.
    assert after(events, events[3].id) == events[2:3]
    assert after(events, events[1].id) == events[2:]


@pytest.mark.parametrize("text", ["x", "-1.job", "1" * 30, "²"])
def test_an_id_that_is_none_is_refused(text: str):
    with pytest.raises(InvalidInput) as caught:
        seen_at(text)
    assert caught.value.errors[0].path == "Last-Event-ID"

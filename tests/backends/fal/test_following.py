"""A request of fal's followed to its end, whatever comes between."""

import io
import threading

import pytest
from PIL import Image

from imagemill.backends.base import Progress, RenderCanceled, RenderControl
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from tests.backends.fal.support import Book, backend
from tests.backends.fal.test_sending import failed, order, render, spec
from tests.fal_server import FalServer, Reply


def test_place_in_the_queue_and_steps_are_told(fal: FalServer) -> None:
    fal.behave(queue_s=0.2, render_s=0.5)
    told: list[Progress] = []
    subject = backend(fal)
    asked = order()
    subject.follow(asked, subject.send(asked), RenderControl(told.append))
    assert told[0].note == "place 1 in fal's queue"
    assert any(0 < progress.step < 20 for progress in told)
    assert told[-1].fraction == 1.0


def test_pictures_come_as_data_urls_too(fal: FalServer) -> None:
    fal.behave(inline=True)
    (output,) = render(backend(fal), order(spec(format="jpeg"))).outputs
    assert output.media_type == "image/jpeg"
    assert Image.open(io.BytesIO(output.data)).size == (64, 48)
    assert fal.asked("file") == 0


def test_a_picture_larger_than_is_taken_is_not_read_to_its_end(fal: FalServer) -> None:
    error = failed(backend(fal, picture_bytes=50, away_s=0.0))
    assert "IMAGEMILL_FAL__PICTURE_BYTES" in str(error)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ("CUDA out of memory", "internal_server_error", FailureCode.BACKEND_UNAVAILABLE),
        ("took too long to start", "startup_timeout", FailureCode.TIMEOUT),
        ("The content could not be processed", "content_policy_violation", FailureCode.CONTENT_BLOCKED),
        ("prompt is too long", "validation_error", FailureCode.BACKEND_REJECTED),
        ("no type at all", None, FailureCode.BACKEND_UNAVAILABLE),
    ],
)
def test_completed_with_an_error_is_a_failure(
    fal: FalServer, error: str, kind: str | None, code: FailureCode
) -> None:
    book = Book()
    fal.behave(error=error, error_type=kind)
    caught = failed(backend(fal, book))
    assert caught.failure is code
    assert error in str(caught)
    assert book.ends == [code.value]


def test_a_picture_that_fal_blocked_is_blocked_here(fal: FalServer) -> None:
    book = Book()
    fal.behave(nsfw=True)
    assert failed(backend(fal, book)).failure is FailureCode.CONTENT_BLOCKED
    assert book.ends == ["content_blocked"]
    assert len(render(backend(fal, safety_checker=False), order()).outputs) == 1


@pytest.mark.parametrize("point", ["status", "result", "file"])
@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(503, text="<center>nginx</center>"),
        Reply(429, headers={"Retry-After": "0.1"}),
        Reply(),
    ],
)
def test_a_short_absence_is_waited_for(fal: FalServer, point: str, reply: Reply) -> None:
    fal.answer(point, reply)
    assert len(render(backend(fal), order()).outputs) == 1
    assert fal.submits == 1


def test_a_long_absence_leaves_the_request_to_be_collected(fal: FalServer) -> None:
    book = Book()
    fal.answer("status", *[Reply(502)] * 3)
    subject = backend(fal, book, away_s=0.6)
    assert failed(subject).failure is FailureCode.BACKEND_UNAVAILABLE
    assert book.ends == [], "what was paid for has not ended"
    fal.replies.clear()
    assert len(render(subject, order(attempt=2)).outputs) == 1
    assert fal.submits == 1


def test_a_request_that_fal_forgot_is_sent_again(fal: FalServer) -> None:
    book = Book()
    subject = backend(fal, book)
    asked = order()
    reference = subject.send(asked)
    fal.forget()
    with pytest.raises(BackendError, match="no longer knows"):
        subject.follow(asked, reference, RenderControl())
    assert book.ends == ["lost"]
    assert len(render(subject, order(attempt=2)).outputs) == 1


def test_a_stop_cancels_and_a_hand_back_leaves(fal: FalServer) -> None:
    for leave in (False, True):
        book = Book()
        subject = backend(fal, book)
        fal.behave(render_s=30.0)
        asked = order(job_id=f"job-{leave}")
        reference, watch = subject.send(asked), RenderControl()
        threading.Timer(0.05, lambda watch=watch, leave=leave: watch.stop(detach=leave)).start()
        with pytest.raises(RenderCanceled):
            subject.follow(asked, reference, watch)
        *_, latest = fal.requests.values()
        assert latest.canceled is not leave
        assert book.ends == ([] if leave else ["canceled"])


def test_a_request_that_takes_too_long_is_cancelled(fal: FalServer) -> None:
    book = Book()
    fal.behave(queue_s=30.0)
    assert failed(backend(fal, book), order(timeout_s=0.1)).failure is FailureCode.TIMEOUT
    assert next(iter(fal.requests.values())).canceled
    assert book.ends == ["timeout"]


def test_a_key_refused_in_between_loses_nothing(fal: FalServer) -> None:
    book = Book()
    fal.answer("status", Reply(403, "User is locked"))
    subject = backend(fal, book)
    error = failed(subject)
    assert not error.counts
    assert not subject.nodes()[0].healthy
    assert len(render(subject, order(attempt=2)).outputs) == 1
    assert fal.submits == 1

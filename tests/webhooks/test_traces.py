"""Each try to deliver a webhook is a span of the job's trace, which the receiver gets."""

from collections.abc import Callable, Sequence

from imagemill.domain.events import Event
from imagemill.observability.spans import Span, of_job
from imagemill.observability.tracing import Tracer
from tests.webhooks.conftest import Post
from tests.webhooks.receivers import receiving


class Kept:
    """Where spans go, and the log of a job, which is not asked for here."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def emit(self, span: Span) -> None:
        self.spans.append(span)

    def close(self) -> None:
        return

    def events_after(self, job_id: str, seq: int, limit: int = 1000) -> Sequence[Event]:
        return []


def test_each_try_is_a_span_and_the_receiver_gets_the_trace(make_post: Callable[..., Post]) -> None:
    kept = Kept()
    post = make_post(tracer=Tracer(kept, 1.0, kept))
    with receiving(answers=[500]) as receiver:
        endpoint = post.endpoint(receiver.url)
        (job,) = post.run()
        post.settle(endpoint)
    failed, delivered = kept.spans
    assert [got.headers["traceparent"].split("-")[1:3] for got in receiver.got] == [
        [span.trace, span.id] for span in kept.spans
    ]
    assert failed.trace == delivered.trace == job.trace.split("-")[1]
    assert {span.parent for span in kept.spans} == {of_job(job.id)}
    assert {span.name for span in kept.spans} == {"webhook"}
    assert [span.error for span in kept.spans] == ["undelivered", ""]
    assert [span.attributes["imagemill.try"] for span in kept.spans] == [1, 2]
    assert {span.attributes["imagemill.event"] for span in kept.spans} == {"Succeeded"}


def test_a_message_of_no_job_and_one_that_is_not_sampled_have_no_span(make_post: Callable[..., Post]) -> None:
    kept = Kept()
    post = make_post(tracer=Tracer(kept, 0.0, kept))
    with receiving() as receiver:
        endpoint = post.endpoint(receiver.url)
        post.run()
        post.webhooks.test(endpoint.owner, endpoint.id)
        post.settle(endpoint)
    assert len(receiver.got) == 2
    assert not kept.spans
    assert not any("traceparent" in got.headers for got in receiver.got)

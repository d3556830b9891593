"""What endpoints are told arrives: signed, in order, and whatever their receivers do."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from statistics import quantiles

import httpx2
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from imagemill.accounts.store import Owner
from imagemill.bootstrap.stores import build_stores
from imagemill.domain.access import Role
from imagemill.domain.clock import now_us
from imagemill.domain.signing import CHOICES
from imagemill.net import guarded_client
from imagemill.net.url_guard import UrlGuard
from imagemill.webhooks.delivery import SENDERS, HttpPoster
from imagemill.webhooks.store import Endpoint
from tests.service.build import add, mill, wait_until
from tests.webhooks.conftest import ANN, Post
from tests.webhooks.receivers import dripping, hanging, receiving


def test_the_end_of_a_job_is_told_and_the_signature_is_valid(post: Post):
    with receiving() as receiver:
        endpoint = post.endpoint(receiver.url)
        (job,) = post.run()
        post.settle(endpoint)
    (got,) = receiver.got
    body = Webhook(endpoint.secrets[0].text).verify(got.raw, got.headers)
    assert body["type"] == "job.succeeded"
    assert body["data"]["job"]["id"] == job.id
    assert body["data"]["job"]["status"] == "succeeded"
    assert body["data"]["job"]["artifacts"][0]["url"].startswith("http://mill.example/blobs/")
    assert body["data"]["user"] is None
    assert got.headers["content-type"] == "application/json"


def test_a_message_has_the_input_of_its_job_without_the_graph(post: Post):
    graph = {str(number): {"class_type": "KSampler", "inputs": {"seed": number}} for number in range(200)}
    with receiving() as receiver:
        endpoint = post.endpoint(receiver.url, types=CHOICES)
        add(post.store, owner=ANN, input={"graph": graph, "side": 8})
        mill(post.store).run()
        post.settle(endpoint)
    assert receiver.types == ["job.created", "job.started", "job.succeeded"]
    for got in receiver.got:
        body = Webhook(endpoint.secrets[0].text).verify(got.raw, got.headers)
        assert body["data"]["job"]["input"] == {"side": 8}
        assert b"KSampler" not in got.raw


def test_a_changed_body_or_another_secret_is_noticed(post: Post):
    with receiving() as receiver:
        endpoint, other = post.endpoint(receiver.url), post.endpoint(receiver.url)
        post.run()
        post.settle(endpoint, other)
    got = receiver.got[0]
    secret = next(
        each.secrets[0].text for each in (endpoint, other) if post.messages(each)[0][0].id == got.id
    )
    for text, raw in ((secret, got.raw + b" "), (Webhook.__name__.encode().hex(), got.raw)):
        with pytest.raises(WebhookVerificationError):
            Webhook(text).verify(raw, got.headers)


def test_after_a_rotation_both_secrets_sign(post: Post):
    with receiving() as receiver:
        endpoint = post.endpoint(receiver.url)
        rotated = post.webhooks.rotate(ANN, endpoint.id)
        post.run()
        post.settle(endpoint)
    (got,) = receiver.got
    assert rotated.secrets[0] != endpoint.secrets[0]
    for secret in (endpoint.secrets[0], rotated.secrets[0]):
        assert Webhook(secret.text).verify(got.raw, got.headers)
    assert rotated.valid_secrets(now_us() + 3601 * 10**6) == [rotated.secrets[0].text]


def test_all_events_of_a_job_are_told_in_order(post: Post):
    with receiving() as receiver:
        endpoint = post.endpoint(receiver.url, types=CHOICES)
        jobs = post.run(5)
        post.settle(endpoint)
    for job in jobs:
        assert [got.seq for got in receiver.got if got.job == job.id] == [1, 2, 3]
    assert set(receiver.types) == {"job.created", "job.started", "job.succeeded"}


def test_only_what_was_asked_for_is_told(post: Post):
    with receiving() as receiver:
        endpoint = post.endpoint(receiver.url, types=["job.started"])
        post.run(2)
        post.settle(endpoint)
        assert receiver.types == ["job.started", "job.started"]
        post.webhooks.update(ANN, endpoint.id, {"types": ["job.created"]})
        add(post.store, owner=ANN)
        post.settle(endpoint)
    assert receiver.types[2:] == ["job.created"]


def test_jobs_of_end_users_are_told_to_the_account_and_nobody_elses(post: Post):
    post.store.accounts.ensure_owner(Owner("ann:kim", Role.USER, now_us(), parent=ANN, name="Kim Ö"))
    with receiving() as anns, receiving() as bobs:
        endpoint, other = post.endpoint(anns.url), post.endpoint(bobs.url, owner="bob")
        post.run(1, owner="ann:kim")
        post.run(1, owner="ann")
        post.settle(endpoint, other)
    assert sorted(str(got.body["data"]["user"]) for got in anns.got) == ["Kim Ö", "None"]
    assert bobs.got == []


def test_what_another_process_adds_is_told_from_its_answer_on(post: Post, database_url: str):
    from imagemill.db.engine import open_engines

    add(post.store, owner=ANN)
    other = build_stores(open_engines(database_url, fsync=False))
    with receiving() as receiver:
        first = post.endpoint(receiver.url, types=["job.created"])
        for store in (other, post.store, other):
            add(store, owner=ANN)
        post.settle(first)
        assert len(post.messages(first)) == 3
        post.webhooks.remove(ANN, first.id)
        add(other, owner=ANN)
    other.close()
    assert len(receiver.got) == 3


def test_failing_nine_times_then_fine_loses_nothing_and_keeps_the_order(make_post: Callable[..., Post]):
    post = make_post(tries=30)
    with receiving(answers=[500, 503, 404, 429, 500, 302, 400, 500, 500]) as receiver:
        endpoint = post.endpoint(receiver.url, types=CHOICES)
        jobs = post.run(3)
        post.settle(endpoint, seconds=20)
    for job in jobs:
        told = list(dict.fromkeys(got.seq for got in receiver.got if got.job == job.id))
        assert told == [1, 2, 3]
    assert len(receiver.got) == 9 + 9
    assert len({got.id for got in receiver.got}) == 9
    assert post.again(endpoint).failing_since is None


def test_retries_are_in_time_however_seldom_the_outbox_is_read(make_post: Callable[..., Post]):
    post = make_post(poll_s=60)
    with receiving(answers=[500, 500]) as receiver:
        endpoint = post.endpoint(receiver.url)
        post.run(1)
        post.settle(endpoint, seconds=10)
    assert len(receiver.got) == 3


def test_each_attempt_is_kept(post: Post):
    with receiving(answers=[500]) as receiver:
        endpoint = post.endpoint(receiver.url)
        post.run()
        post.settle(endpoint)
    ((message, last),) = post.messages(endpoint)
    first, second = post.attempts(endpoint, message)
    assert (first.status, first.error) == (500, "the receiver answered 500")
    assert (second.status, second.error) == (200, None)
    assert second.exchange is not None
    assert last == replace(second, exchange=None)  # a list leaves requests and answers out
    assert message.delivered_at
    assert message.body == receiver.got[1].raw.decode()


def test_a_redirect_is_a_failure_that_says_so(make_post: Callable[..., Post]):
    post = make_post(tries=1)
    with receiving("127.0.0.2") as private, receiving(status=302) as receiver:
        receiver.headers["Location"] = private.url
        endpoint = post.endpoint(receiver.url)
        post.run()
        wait_until(lambda: post.again(endpoint).paused_at is not None)
    assert private.got == []
    assert "redirects are not followed" in (post.again(endpoint).pause_reason or "")


def test_a_receiver_that_is_gone_is_paused_at_once_and_resumed_with_all_that_was_held(post: Post):
    with receiving(status=410) as receiver:
        endpoint = post.endpoint(receiver.url)
        post.run()
        wait_until(lambda: post.again(endpoint).paused_at is not None)
        assert post.again(endpoint).pause_reason == "the receiver answered 410"
        post.run(3)
        assert len(receiver.got) == 1
        receiver.status = 200
        post.webhooks.resume(ANN, endpoint.id)
        post.settle(endpoint)
    assert len({got.id for got in receiver.got}) == 4
    assert all(message.delivered_at for message, _ in post.messages(endpoint))


def test_a_receiver_that_takes_nothing_for_long_is_paused(make_post: Callable[..., Post]):
    post = make_post(pause_after_s=0.3, tries=100)
    endpoint = post.endpoint("http://127.0.0.4:9/hook")
    post.run(3)
    wait_until(lambda: post.again(endpoint).paused_at is not None)
    assert "nothing was delivered since" in (post.again(endpoint).pause_reason or "")
    assert all(message.due_at for message, _ in post.messages(endpoint))


def test_one_message_that_is_refused_for_ever_is_given_up_and_can_be_sent_again(post: Post):
    with receiving() as receiver:
        endpoint = post.endpoint(receiver.url)
        refused = post.webhooks.test(ANN, endpoint.id)
        wait_until(lambda: len(receiver.got) == 1)
        post.settle(endpoint)
        receiver.answers = [500]
        post.webhooks.redeliver(ANN, endpoint.id, refused.id)
        post.settle(endpoint)
        assert [got.id for got in receiver.got] == [refused.id] * 3
        assert len(post.attempts(endpoint, refused)) == 3


def test_messages_that_failed_are_sent_again_from_an_instant_on(make_post: Callable[..., Post]):
    post = make_post(tries=2)
    begin = now_us()
    with receiving() as receiver:
        endpoint = post.endpoint(receiver.url)
        receiver.answers = [500, 200, 500]  # the second try of the first comes after the other's success
        first = post.webhooks.test(ANN, endpoint.id)
        wait_until(lambda: len(receiver.got) == 1)
        post.webhooks.test(ANN, endpoint.id)
        post.settle(endpoint)
        given_up = [message for message, _ in post.messages(endpoint) if not message.delivered_at]
        count = post.webhooks.redeliver_failed(ANN, endpoint.id, begin)
        post.settle(endpoint)
    assert count == len(given_up)
    assert first.id in {got.id for got in receiver.got}
    assert all(message.delivered_at for message, _ in post.messages(endpoint))


def test_the_time_limit_holds_for_the_whole_delivery(make_post: Callable[..., Post]):
    post = make_post(timeout_s=0.3)
    with dripping("127.0.0.3") as url:
        endpoint = post.endpoint(url)
        post.webhooks.test(ANN, endpoint.id)
        wait_until(lambda: post.messages(endpoint)[0][1] is not None)
        _, attempt = post.messages(endpoint)[0]
    assert attempt is not None
    assert attempt.error == "the receiver did not answer within 0.3 s"
    assert attempt.took_ms < 2000


def test_an_answer_whose_connection_is_gone_at_once_counts(monkeypatch: pytest.MonkeyPatch):
    class Gone:
        def get_extra_info(self, name: str) -> object:
            raise OSError(107, "Transport endpoint is not connected")

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(204, extensions={"network_stream": Gone()})

    def client(guard: UrlGuard, **_: object) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(answer))

    monkeypatch.setattr(guarded_client, "guarded_client", client)
    poster = HttpPoster(UrlGuard([]), 1.0)
    posted = poster.post("http://mill.example/hook", b"{}", keep_answer=True)
    poster.close()
    assert (posted.status, posted.error) == (204, None)
    assert posted.answer is not None
    assert posted.answer.is_private


def test_a_name_server_that_hangs_is_part_of_the_time_limit(make_post: Callable[..., Post]):
    from threading import Event

    release = Event()

    def resolver(host: str, port: int) -> list[str]:
        release.wait(20)
        return ["127.0.0.1"]

    post = make_post(resolver=resolver, timeout_s=0.3)
    endpoint = post.endpoint("http://slow.invalid/hook")
    post.webhooks.test(ANN, endpoint.id)
    wait_until(lambda: post.messages(endpoint)[0][1] is not None)
    _, attempt = post.messages(endpoint)[0]
    release.set()
    assert attempt is not None
    assert attempt.error == "the receiver did not answer within 0.3 s"
    assert attempt.took_ms < 2000


def test_a_name_that_changes_its_address_is_called_where_it_was_checked(make_post: Callable[..., Post]):
    answers = [["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1"]]
    asked: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    post = make_post(resolver=resolver, tries=10)
    with receiving() as receiver:
        port = receiver.url.rpartition(":")[2].partition("/")[0]
        endpoint = post.endpoint(f"http://rebinds.invalid:{port}/hook")
        post.webhooks.test(ANN, endpoint.id)
        post.settle(endpoint)
        assert (len(asked), len(receiver.got)) == (1, 1)
        second = post.webhooks.test(ANN, endpoint.id)
        post.settle(endpoint)
    assert receiver.got[0].headers["host"] == f"rebinds.invalid:{port}"
    refused, taken = post.attempts(endpoint, second)
    assert "not public" in (refused.error or "")
    assert "10.0.0.1" not in (refused.error or "")
    assert taken.status == 200


def latencies(post: Post, endpoint: Endpoint, count: int) -> float:
    """Seconds within which 19 of 20 messages arrive."""
    took: list[float] = []
    for _ in range(count):
        sent = post.webhooks.test(endpoint.owner, endpoint.id)
        post.settle(endpoint)
        message = post.webhooks.message(endpoint.owner, endpoint.id, sent.id)[0]
        assert message.delivered_at is not None
        took.append((message.delivered_at - message.created_at) / 1e6)
    return quantiles(took, n=20, method="inclusive")[-1]


def test_receivers_that_are_dead_slow_hang_or_drip_delay_nobody_else(make_post: Callable[..., Post]):
    post = make_post(timeout_s=2.0, tries=50)
    with ExitStack() as stack:
        good = post.endpoint(stack.enter_context(receiving("127.0.0.1")).url, owner="bob")
        alone = latencies(post, good, 25)
        bad = [stack.enter_context(dripping(f"127.0.1.{number}")) for number in range(1, 6)]
        bad += [stack.enter_context(hanging(f"127.0.2.{number}")) for number in range(1, 6)]
        bad += [stack.enter_context(receiving("127.0.3.1", delay_s=1.5)).url, "http://127.0.4.1:9/hook"]
        for url in bad:
            endpoint = post.endpoint(url)
            for _ in range(20):
                post.webhooks.test(ANN, endpoint.id)
        crowded = latencies(post, good, 25)
    # Whoever has to wait for a sender waits for a time limit to pass.
    assert crowded < max(8 * alone, 1.0), (alone, crowded)


def test_many_accounts_with_hanging_receivers_leave_senders_for_those_that_are_well(
    make_post: Callable[..., Post],
):
    post = make_post(timeout_s=3.0, tries=50)
    with ExitStack() as stack:
        good = post.endpoint(stack.enter_context(receiving("127.0.0.1")).url, owner="bob")
        alone = latencies(post, good, 5)
        for number in range(1, SENDERS // 4 + 3):
            owner = f"owner-{number}"
            post.store.accounts.ensure_owner(Owner(owner, Role.USER, now_us()))
            endpoint = post.endpoint(stack.enter_context(hanging(f"127.0.5.{number}")), owner=owner)
            for _ in range(5):
                post.webhooks.test(owner, endpoint.id)
        crowded = latencies(post, good, 10)
    assert crowded < max(8 * alone, 1.5), (alone, crowded)


def test_callbacks_and_webhooks_of_a_job_do_not_wait_for_each_other(post: Post):
    with receiving() as receiver:
        endpoint = post.endpoint(receiver.url)
        add(post.store, owner=ANN, callback_url="http://127.0.0.9:9/dead")
        mill(post.store).run()
        post.settle(endpoint)
    assert receiver.types == ["job.succeeded"]


def test_old_messages_are_deleted_with_their_attempts(make_post: Callable[..., Post]):
    post = make_post(retention_days=-1 / 86_400)
    with receiving() as receiver:
        endpoint = post.endpoint(receiver.url)
        post.run(3)
        post.settle(endpoint)
    assert post.dispatcher.prune() == 3
    assert post.messages(endpoint) == []

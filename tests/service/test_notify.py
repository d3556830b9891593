"""Callbacks: in order, patient, and nobody waits for a receiver that is dead."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import pytest

from imagemill.bootstrap.stores import Stores
from imagemill.net.url_guard import UrlGuard
from imagemill.settings import WebhookSettings
from imagemill.webhooks.callbacks import CallbackDispatcher
from imagemill.webhooks.outbox import Delivery
from tests.service.build import add, mill, wait_until
from tests.tuning import tuned


class Receiver:
    """Notes what it is sent; answers with what ``answer`` says, 200 by default."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.location = "/elsewhere"
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append({**json.loads(body), "path": self.path})
                status = receiver.answers.pop(0) if receiver.answers else 200
                self.send_response(status)
                if status in (301, 302, 307):
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def of(self, job_id: str) -> list[int]:
        return [each["seq"] for each in self.got if each["job"] == job_id]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def hanging() -> Iterator[str]:
    """A receiver that takes connections and never answers."""
    server = socket.create_server(("127.0.0.2", 0), backlog=200)
    yield f"http://127.0.0.2:{server.getsockname()[1]}/hook"
    server.close()


@pytest.fixture
def dripping() -> Iterator[str]:
    """A receiver whose answer comes a byte at a time and never ends."""
    server = socket.create_server(("127.0.0.3", 0), backlog=200)

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nx-long: ")
            while True:
                connection.sendall(b"x")
                time.sleep(0.05)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(server.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"http://127.0.0.3:{server.getsockname()[1]}/hook"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def body(delivery: Delivery) -> Mapping[str, Any]:
    return {"job": delivery.job.id, "seq": delivery.event.seq, "type": delivery.event.type.value}


@pytest.fixture
def start(store: Stores) -> Iterator[Any]:
    running: list[CallbackDispatcher] = []

    def start(form: Any = body, allow: bool = True, **changes: Any) -> CallbackDispatcher:
        values: dict[str, Any] = {
            "timeout_s": 0.5, "tries": 3, "retry_base_s": 0.02, "retry_cap_s": 0.02, **changes,
        }  # fmt: skip
        poll_s = values.pop("poll_s", 0.05)
        guard = UrlGuard([ip_network("127.0.0.0/8")] if allow else [])
        notifier = CallbackDispatcher(
            store.callbacks, {"native": form}, guard, tuned(WebhookSettings, **values), poll_s=poll_s
        )
        store.database.listen(lambda committed: notifier.wake() if committed.has_deliveries else None)
        notifier.start()
        running.append(notifier)
        return notifier

    yield start
    for notifier in running:
        notifier.close()


def settled(store: Stores) -> bool:
    return store.callbacks.next_due() is None


def test_the_events_of_a_job_arrive_in_order(store: Stores, receiver: Receiver, start: Any):
    start()
    jobs = [add(store, callback_url=receiver.url) for _ in range(5)]
    it = mill(store)
    for _ in jobs:
        it.run()
    wait_until(lambda: settled(store))
    assert [receiver.of(job.id) for job in jobs] == [[1, 2, 3]] * 5
    assert receiver.got[0]["path"] == "/hook"


def test_what_was_written_before_the_start_is_delivered(store: Stores, receiver: Receiver, start: Any):
    job = add(store, callback_url=receiver.url)
    start()
    wait_until(lambda: settled(store))
    assert receiver.of(job.id) == [1]


@pytest.mark.parametrize("status", [500, 503, 404, 400, 302])
def test_a_refused_callback_is_sent_again_and_holds_back_the_next(
    store: Stores, receiver: Receiver, start: Any, status: int
):
    receiver.answers = [status, status]
    job = add(store, callback_url=receiver.url)
    mill(store).run()
    start()
    wait_until(lambda: settled(store))
    assert receiver.of(job.id) == [1, 1, 1, 2, 3]


def test_a_redirect_is_not_followed(store: Stores, receiver: Receiver, start: Any):
    receiver.answers = [302, 307, 301]
    add(store, callback_url=receiver.url)
    start()
    wait_until(lambda: settled(store))
    assert {each["path"] for each in receiver.got} == {"/hook"}


def test_a_callback_is_given_up_after_its_tries_and_the_next_goes(
    store: Stores, receiver: Receiver, start: Any
):
    receiver.answers = [500, 500]
    job = add(store, callback_url=receiver.url)
    mill(store).run()
    start(tries=2)
    wait_until(lambda: settled(store))
    assert receiver.of(job.id) == [1, 1, 2, 3]


def test_retries_wait_as_the_back_off_says(store: Stores, receiver: Receiver, start: Any):
    receiver.answers = [500]
    job = add(store, callback_url=receiver.url)
    start(retry_base_s=1000.0, retry_cap_s=1000.0)
    wait_until(lambda: receiver.of(job.id) == [1])
    wait_until(lambda: store.callbacks.due(2**62, 1)[0].tries == 1)
    assert not settled(store)
    assert receiver.of(job.id) == [1]


def test_a_receiver_that_hangs_delays_nobody_else(
    store: Stores, receiver: Receiver, hanging: str, start: Any
):
    for _ in range(5):
        add(store, callback_url=hanging)
    job = add(store, callback_url=receiver.url)
    start(timeout_s=2.0, tries=1)
    wait_until(lambda: receiver.of(job.id) == [1], 1.5)


def test_a_receiver_that_hangs_with_many_jobs_delays_nobody_else(
    store: Stores, receiver: Receiver, hanging: str, start: Any
):
    for _ in range(70):
        add(store, callback_url=hanging)
    job = add(store, callback_url=receiver.url)
    start(timeout_s=2.0, tries=1)
    wait_until(lambda: receiver.of(job.id) == [1], 1.5)


def test_an_answer_that_drips_is_given_up_when_its_time_is_over(
    store: Stores, dripping: str, start: Any, caplog: pytest.LogCaptureFixture
):
    add(store, callback_url=dripping)
    begin = time.monotonic()
    start(tries=1)
    wait_until(lambda: settled(store))
    assert 0.4 < time.monotonic() - begin < 3
    assert "did not answer within 0.5 s" in caplog.text


def test_a_receiver_that_is_gone_delays_nobody_else(store: Stores, receiver: Receiver, start: Any):
    for _ in range(5):
        add(store, callback_url="http://127.0.0.3:9/hook")
    job = add(store, callback_url=receiver.url)
    start()
    wait_until(lambda: receiver.of(job.id) == [1])


def test_an_address_that_is_not_allowed_is_given_up_without_a_call(
    store: Stores, receiver: Receiver, start: Any
):
    add(store, callback_url=receiver.url)
    start(allow=False)
    wait_until(lambda: settled(store))
    assert receiver.got == []


def test_a_callback_that_cannot_be_written_is_given_up_and_not_tried_without_a_pause(
    store: Stores, receiver: Receiver, start: Any
):
    calls: list[int] = []

    def broken(delivery: Delivery) -> Mapping[str, Any]:
        calls.append(1)
        raise KeyError("a bug of a dialect")

    add(store, callback_url=receiver.url)
    start(broken)
    wait_until(lambda: settled(store))
    assert len(calls) <= 3


def test_what_is_no_url_is_given_up_and_delays_nobody_else(store: Stores, receiver: Receiver, start: Any):
    add(store, callback_url="http://[::1")
    job = add(store, callback_url=receiver.url)
    start()
    wait_until(lambda: settled(store))
    assert receiver.of(job.id) == [1]


def test_a_port_that_does_not_exist_is_given_up(store: Stores, start: Any):
    add(store, callback_url="http://127.0.0.1:99999/hook")
    start()
    wait_until(lambda: settled(store))


def test_closing_waits_for_no_receiver_longer_than_a_delivery_may_take(
    store: Stores, hanging: str, start: Any
):
    notifier = start(timeout_s=0.5)
    for _ in range(80):
        add(store, callback_url=hanging)
    closing = threading.Thread(target=notifier.close)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()

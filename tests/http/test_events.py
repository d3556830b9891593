"""Following a job by server-sent events: in order, resumable, live, and cheap while nothing happens."""

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from PIL import Image

from imagemill.bootstrap.application import Roles
from imagemill.web.sse import job_events
from tests.conftest import Server, image_job
from tests.http.support import count_jobs, events_of, faulty_job, first, job_ids, problem, slow_job, until

CLIENTS = 400


@dataclass(frozen=True)
class Frame:
    id: int | None
    event: str
    data: dict[str, Any]


def frames_of(text: str) -> list[Frame]:
    """The events of a stream; comments and retry hints left out."""
    found: list[Frame] = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "event" in fields:
            number = int(fields["id"]) if "id" in fields else None
            found.append(Frame(number, fields["event"], json.loads(fields["data"])))
    return found


def follow(server: Server, job_id: str, last: int | None = None, most: int | None = None) -> list[Frame]:
    """Read a stream to its end, or until so many durable events have come."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    text = ""
    with server.client.stream("GET", f"/api/v1/jobs/{job_id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        for chunk in answer.iter_text():
            text += chunk
            if most is not None and len(durable(frames_of(text))) >= most:
                break
    return frames_of(text)


def durable(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame.id is not None]


def test_the_events_of_a_running_job_come_in_order_and_end_with_the_last(server: Server) -> None:
    job_id = first(server.submit(slow_job(40)))["jobId"]

    events = durable(follow(server, job_id))

    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert [event.data["seq"] for event in events] == [event.id for event in events]
    types = [event.event for event in events if event.event != "Updated"]
    assert types == ["Initialized", "Claimed", "Succeeded"]
    assert events[-1].event == "Succeeded"


def test_the_events_of_a_finished_job_come_at_once(server: Server) -> None:
    job_id = first(server.submit(faulty_job("server_error", times=2), wait="true"))["jobId"]
    started = time.monotonic()

    events = durable(follow(server, job_id))

    assert time.monotonic() - started < 1
    assert [event.event for event in events if event.event != "Updated"] == [
        "Initialized",
        *("Claimed", "Rejected") * 2,
        "Claimed",
        "Succeeded",
    ]


@pytest.mark.parametrize("seen", range(1, 7))
def test_a_reader_that_comes_back_gets_the_rest_without_gap_or_repeat(server: Server, seen: int) -> None:
    job_id = first(server.submit(faulty_job("server_error", times=2)))["jobId"]

    before = durable(follow(server, job_id, most=seen))[:seen]
    after = durable(follow(server, job_id, last=before[-1].id))

    ids = [event.id for event in [*before, *after]]
    assert ids == list(range(1, len(ids) + 1))
    assert after[-1].event == "Succeeded"


@pytest.mark.parametrize("beyond", [0, 1, 1000])
def test_a_reader_that_has_seen_everything_is_let_go(server: Server, beyond: int) -> None:
    job_id = first(server.submit(wait="true"))["jobId"]
    last = len(events_of(server, job_id))
    started = time.monotonic()

    assert follow(server, job_id, last=last + beyond) == []
    assert time.monotonic() - started < 1


def test_a_reader_ahead_of_the_log_still_learns_of_the_end(server: Server) -> None:
    job_id = first(server.submit(slow_job(60)))["jobId"]

    assert follow(server, job_id, last=1000)[-1].event == "Succeeded"


def test_progress_and_previews_come_in_between(server: Server) -> None:
    job_id = first(server.submit(slow_job(40, params={"steps": 12})))["jobId"]

    frames = follow(server, job_id)
    progress = [frame for frame in frames if frame.event == "progress"]

    assert len(progress) >= 6
    assert all(frame.id is None for frame in progress)
    steps = [frame.data["step"] for frame in progress]
    assert steps == sorted(steps)
    assert {frame.data["total"] for frame in progress} == {12}
    names = [frame.event for frame in frames]
    assert names.index("Claimed") < names.index("progress") < names.index("Succeeded")
    previews = [frame.data["preview"] for frame in progress if "preview" in frame.data]
    assert previews
    kind, _, data = previews[-1].partition(";base64,")
    assert kind == "data:image/jpeg"
    assert Image.open(io.BytesIO(base64.b64decode(data))).format == "JPEG"


def test_a_cancelled_job_ends_its_stream(server: Server) -> None:
    job_id = first(server.submit(slow_job(500)))["jobId"]
    threading.Timer(0.2, lambda: server.client.delete(f"/v1/consumer/jobs/{job_id}")).start()

    assert follow(server, job_id)[-1].event == "Canceled"


def test_events_can_be_read_without_a_stream(server: Server) -> None:
    job_id = first(server.submit(wait="true"))["jobId"]
    path = f"/api/v1/jobs/{job_id}/events"

    everything = server.client.get(path, params={"stream": "false"}).json()["items"]
    rest = server.client.get(path, params={"stream": "false", "after": "1"}).json()["items"]

    assert [event["seq"] for event in everything] == list(range(1, len(everything) + 1))
    assert everything[-1]["type"] == "Succeeded"
    assert rest == everything[1:]


def test_events_of_another_process_are_told_too(make_server: Callable[..., Server]) -> None:
    api = make_server(roles=Roles(scheduler=False, worker=False))
    job_id = first(api.submit())["jobId"]
    worker = threading.Timer(0.3, lambda: make_server(roles=Roles(api=False)))
    worker.start()
    started = time.monotonic()

    events = durable(follow(api, job_id))
    worker.join()

    assert events[-1].event == "Succeeded"
    assert time.monotonic() - started < 5


async def kept_alive(server: Server, job_id: str) -> list[bytes]:
    hub, store = server.app.hub, server.app.stores
    with hub.watch([job_id], "ann") as watcher:
        frames: list[bytes] = []
        async for frame in job_events(store.jobs, watcher, job_id, 0, keep_alive_s=0.05):
            frames.append(frame)
            if frames.count(b": keep-alive\n\n") == 3:
                break
    return frames


def test_an_idle_stream_is_kept_alive(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(worker=False))
    job_id = first(server.submit())["jobId"]

    frames = asyncio.run(kept_alive(server, job_id))

    assert frames[0] == b"retry: 2000\n\n"
    assert b"event: Initialized" in frames[1]
    assert set(frames[2:]) == {b": keep-alive\n\n"}


@asynccontextmanager
async def connection(
    server: Server, path: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Authorization: Bearer x", "Connection: close"]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        yield reader, writer
    finally:
        writer.close()


async def idle_clients(server: Server, job_id: str, token: str, idle: Callable[[], None]) -> list[bytes]:
    """Half follow by events, half wait; what each was sent once the job is over."""
    paths = (f"/api/v1/jobs/{job_id}/events", f"/v1/consumer/jobs?token={token}&wait=true")
    async with AsyncExitStack() as stack:
        readers = [
            (await stack.enter_async_context(connection(server, paths[number % 2])))[0]
            for number in range(CLIENTS)
        ]
        await asyncio.gather(*(reader.readuntil(b"Initialized") for reader in readers[::2]))
        await asyncio.sleep(0.5)
        idle()
        return await asyncio.gather(*(reader.read() for reader in readers))


def test_hundreds_of_idle_clients_cost_no_threads(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(worker=False))
    answer = server.submit()
    job_id, token = first(answer)["jobId"], answer.json()["token"]
    asyncio.run(_many_reads(server, job_id))
    before = threading.active_count()
    during: list[int] = []

    def idle() -> None:
        during.append(threading.active_count())
        assert server.client.delete(f"/v1/consumer/jobs/{job_id}").status_code == 200

    told = asyncio.run(idle_clients(server, job_id, token, idle))

    # Pools start their few threads when calls wait for them; the clients are hundreds.
    assert during[0] <= before + 16
    assert all(b"event: Canceled" in text for text in told[::2])
    assert all(text.startswith(b"HTTP/1.1 200") and b'"Deleted"' in text for text in told[1::2])


async def _many_reads(server: Server, job_id: str) -> None:
    async with httpx2.AsyncClient(base_url=server.url, timeout=100, verify=False) as client:
        await asyncio.gather(*(client.get(f"/api/v1/jobs/{job_id}") for _ in range(100)))


def test_more_clients_than_allowed_are_told_to_come_back(make_server: Callable[..., Server]) -> None:
    server = make_server(limit={"streams": 2}, roles=Roles(worker=False))
    answer = server.submit()
    job_id, token = first(answer)["jobId"], answer.json()["token"]
    events = f"/api/v1/jobs/{job_id}/events"
    before = count_jobs(server)

    with server.client.stream("GET", events), server.client.stream("GET", events):
        refused = [
            server.client.get(events),
            server.client.get("/v1/consumer/jobs", params={"token": token, "wait": "true"}),
            server.submit(image_job(), wait="true"),
        ]
        for each in refused:
            told = problem(each, 503)
            assert told["type"] == "urn:imagemill:problem:too_many_streams"
            assert int(each.headers["retry-after"]) >= 1
        assert count_jobs(server) == before, "a refused submission was accepted all the same"
        assert server.submit().status_code == 200

    until(lambda: _is_free(server, events))


def _is_free(server: Server, events: str) -> bool:
    with server.client.stream("GET", events) as answer:
        return answer.status_code == 200


def test_a_slow_reader_holds_up_nobody(server: Server) -> None:
    ids = job_ids(server.submit(slow_job(20, quantity=4)))
    with server.client.stream("GET", f"/api/v1/jobs/{ids[0]}/events"):
        assert {server.wait(job_id)["status"] for job_id in ids} == {"succeeded"}

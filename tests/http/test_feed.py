"""Following all jobs by one stream: resumable, for those who may see them, and without a buffer."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from imagemill.bootstrap.application import Roles
from imagemill.domain.clock import uuid7
from imagemill.domain.events import ChangedList, EventType, ListName, Notice
from imagemill.domain.jobs import JobStatus
from imagemill.jobs import job_feed
from imagemill.jobs.hub import Hub
from imagemill.jobs.job_feed import Audience, Feed
from imagemill.web.feed_stream import FeedFrames
from tests.conftest import Server
from tests.http.support import first, problem, slow_job, until

FEED = "/api/v1/events"


@dataclass
class Follower:
    """A client of the feed, reading in a thread of its own."""

    frames: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """Id, event and data of each."""
    last_id: str = ""

    def read(self, lines: Iterator[str]) -> None:
        event, data = "", ""
        for line in lines:
            name, _, value = line.partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                event = value
            elif name == "data":
                data = value
            elif not line and event:
                self.frames.append((self.last_id, event, json.loads(data)))
                event = ""

    @property
    def jobs(self) -> list[tuple[str, str]]:
        found = [job for _, event, data in self.frames if event == "jobs" for job in data["jobs"]]
        return [(job["id"], job["status"]) for job in found]

    def has(self, event: str) -> bool:
        return any(name == event for _, name, _ in self.frames)


@contextmanager
def following(server: Server, last_id: str = "", **query: str) -> Iterator[Follower]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
    follower = Follower()
    with server.client.stream("GET", FEED, params=query, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")

        def read() -> None:
            try:
                follower.read(answer.iter_lines())
            except (httpx2.HTTPError, httpx2.StreamError, RuntimeError):
                return  # closed below

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            until(lambda: follower.last_id or follower.frames)
            yield follower
        finally:
            # Closing alone would not wake the thread that reads.
            answer.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_a_feed_shows_the_life_of_every_job(server: Server) -> None:
    with following(server) as follower:
        made = [first(server.submit(slow_job(30)))["jobId"] for _ in range(2)]
        until(lambda: {(id_, "succeeded") for id_ in made} <= set(follower.jobs))
        until(lambda: follower.has("progress"))
    change = next(data for _, event, data in follower.frames if event == "jobs")["jobs"][0]
    assert (change["id"], change["owner"], change["recipe"]) == (made[0], "local", "textToImage")
    assert follower.jobs[-1][1] == "succeeded"
    progress = [
        each for _, event, data in follower.frames if event == "progress" for each in data["progress"]
    ]
    assert all("preview" not in each for each in progress)


def test_a_client_that_lost_its_connection_gets_the_rest(server: Server) -> None:
    with following(server) as follower:
        pass
    job_id = first(server.submit(wait="true"))["jobId"]
    with following(server, follower.last_id) as resumed:
        until(lambda: (job_id, "succeeded") in resumed.jobs)
    assert not resumed.has("reset")
    with following(server, resumed.last_id) as again:
        first(server.submit(wait="true"))
        until(lambda: again.jobs)
    assert job_id not in dict(again.jobs)


@pytest.mark.parametrize("last_id", ["00000000-1", "00000000-9999999999999999"])
def test_a_client_of_another_boot_is_asked_to_read_its_lists_again(server: Server, last_id: str) -> None:
    with following(server, last_id) as follower:
        until(lambda: follower.has("reset"))


def test_previews_are_those_of_ones_own_jobs(server: Server) -> None:
    def previews(follower: Follower) -> list[str]:
        found = [
            each for _, event, data in follower.frames if event == "progress" for each in data["progress"]
        ]
        return [each["preview"] for each in found if "preview" in each]

    with following(server, previews="true") as follower, following(server) as plain:
        server.submit(slow_job(60))
        until(lambda: previews(follower))
    assert previews(follower)[0].startswith("data:image/jpeg;base64,")
    assert not previews(plain)


def test_changes_can_be_read_without_a_stream(server: Server) -> None:
    start = server.client.get(FEED).json()
    assert (start["reset"], start["jobs"], start["changed"]) == (False, [], [])
    job_id = first(server.submit(wait="true"))["jobId"]
    page = server.client.get(FEED, params={"after": start["id"]}).json()
    changes = {each["id"]: (each["status"], each["type"]) for each in page["jobs"]}
    assert changes[job_id] == ("succeeded", "Succeeded")
    again = server.client.get(FEED, params={"after": page["id"]}).json()["jobs"]
    assert {each["id"] for each in again} <= {job_id}  # the poll for other processes may repeat a change
    assert server.client.get(FEED, params={"after": "00000000-1"}).json()["reset"] is True


def test_a_wrong_position_is_refused(server: Server) -> None:
    answer = server.client.get(FEED, params={"after": "yesterday"}, headers={"Accept": "text/event-stream"})
    assert problem(answer, 400)["errors"].keys() == {"Last-Event-ID"}


def test_changes_of_nodes_are_announced(make_server: Callable[..., Server]) -> None:
    server = make_server(roles=Roles(worker=False))
    start = server.client.get(FEED).json()["id"]
    body = {"name": "attic", "url": "http://127.0.0.1:9", "draining": True}
    assert server.client.post("/api/v1/nodes", json=body).status_code == 201
    assert server.client.get(FEED, params={"after": start}).json()["changed"] == ["nodes"]


def test_the_changes_of_another_process_arrive_without_a_relay(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "data" / "run").mkdir(parents=True)
    (tmp_path / "data" / "run" / "sockets").write_text("where the sockets would be")
    api = make_server(roles=Roles(scheduler=False, worker=False))
    with following(api) as follower:
        job_id = first(api.submit())["jobId"]
        until(lambda: api.app.feed._states, 20)
        make_server(roles=Roles(api=False))
        until(lambda: (job_id, "succeeded") in follower.jobs, 20)
    assert follower.jobs.count((job_id, "queued")) == 1


# The feed itself


def notice(owner: str, status: JobStatus = JobStatus.QUEUED, job_id: str = "") -> Notice:
    type_ = EventType.CLAIMED if status is JobStatus.RUNNING else EventType.INITIALIZED
    return Notice(job_id or uuid7(), 1, status.is_terminal, owner, "textToImage", type_, status, 1)


def a_feed(server: Server) -> Feed:
    """A feed that nothing but the test publishes to."""
    hub = Hub(server.app.stores.jobs.progress_of, poll_s=1, most=100)
    return Feed(server.app.stores.jobs, hub, lambda: True)


async def taken(frames: FeedFrames, audience: Audience, count: int) -> tuple[str, int]:
    """What a reader is sent after ``count`` wake-ups, and how many frames that were."""
    with frames.feed.reader(audience, None, audience.owner) as reader:
        text = b""
        for _ in range(count):
            await reader.wait(30)
            text += frames.take(reader)
        return text.decode(), text.count(b"\ndata: ")


def test_two_owners_at_once_see_nothing_of_each_other(server: Server) -> None:
    feed = a_feed(server)

    async def story() -> dict[str, str]:
        frames = FeedFrames(feed)
        readers = {owner: Audience(owner) for owner in ("anna", "bob", "*")}
        texts: dict[str, str] = {}
        with (
            feed.reader(readers["anna"], None, "anna") as anna,
            feed.reader(readers["bob"], None, "bob") as bob,
            feed.reader(readers["*"], None, "op") as operator,
        ):
            named = {"anna": anna, "bob": bob, "*": operator}
            for _ in range(3):
                for owner in ("anna", "bob"):
                    feed.publish(
                        [notice(owner, JobStatus.RUNNING)], [ChangedList(ListName.OPERATIONS, owner)]
                    )
                feed.publish([], [ChangedList(ListName.NODES)])
                await asyncio.sleep(0.12)  # longer than the pause between two frames
                for owner, reader in named.items():
                    texts[owner] = texts.get(owner, "") + frames.take(reader).decode()
        return texts

    texts = asyncio.run(story())
    assert "bob" not in texts["anna"]
    assert "anna" not in texts["bob"]
    assert "event: nodes" not in texts["anna"] + texts["bob"]  # neither may see nodes
    assert texts["*"].count('"anna"') == texts["*"].count('"bob"') == 3
    assert texts["anna"].count("event: operations") == 3


def test_many_changes_are_few_frames_and_end_with_the_last(server: Server) -> None:
    feed = a_feed(server)
    ids = [uuid7() for _ in range(20)]

    async def story() -> tuple[str, int]:
        frames = FeedFrames(feed)
        reading = asyncio.create_task(taken(frames, Audience("anna"), 3))
        await asyncio.sleep(0.01)
        for status in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED):
            for id_ in ids:
                feed.publish([notice("anna", status, id_)])
        await asyncio.sleep(0.01)
        feed.publish([notice("anna")])
        return await reading

    text, frames = asyncio.run(asyncio.wait_for(story(), 60))
    assert frames <= 3
    for id_ in ids:
        assert text.rindex(id_) < text.index("succeeded", text.rindex(id_))


def test_a_slow_reader_gets_the_newest_state_or_is_reset(server: Server, monkeypatch: Any) -> None:
    monkeypatch.setattr(job_feed, "_KEPT", 50)
    feed = a_feed(server)

    async def story() -> tuple[bytes, bytes]:
        frames = FeedFrames(feed)
        with feed.reader(Audience("anna"), None, "anna") as reader:
            one = uuid7()
            feed.publish([notice("anna", status, one) for status in (JobStatus.QUEUED, JobStatus.RUNNING)])
            newest = frames.take(reader)
            feed.publish([notice("anna") for _ in range(60)])
            feed.ticks += 1
            return newest, frames.take(reader)

    newest, behind = asyncio.run(story())
    assert newest.count(b'"id":') == 1
    assert b'"running"' in newest
    assert behind.count(b"event: ") == 1
    assert b"event: reset" in behind
    assert len(feed._kept) == len(feed._numbers) == 50


def test_a_notice_of_an_earlier_version_is_completed_from_the_database(server: Server) -> None:
    job_id = first(server.submit(wait="true"))["jobId"]
    with following(server) as follower:
        server.app.feed.publish([Notice(job_id, 3, True)])
        until(lambda: follower.jobs == [(job_id, "succeeded")])


def test_what_runs_is_forgotten_with_its_end(server: Server) -> None:
    server.submit(wait="true")
    until(lambda: not server.app.feed._running)
    assert not server.app.feed._progress


def test_frames_are_made_once_for_all_readers_at_the_same_position(server: Server) -> None:
    feed = a_feed(server)

    async def story() -> tuple[int, set[int]]:
        frames = FeedFrames(feed)
        audience = Audience("anna")
        made: list[int] = []
        encode = frames._encode
        frames._encode = lambda changes: (made.append(1), encode(changes))[1]  # type: ignore[method-assign]
        readers = [feed.reader(audience, None, "anna") for _ in range(20)]
        opened = [reader.__enter__() for reader in readers]
        feed.publish([notice("anna")])
        sizes = {len(frames.take(reader)) for reader in opened}
        for reader in readers:
            reader.__exit__(None, None, None)
        return len(made), sizes

    made, sizes = asyncio.run(story())
    assert made == len(sizes) == 1

"""What a page costs: requests, bytes, memory, and the news of jobs that it takes in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from playwright.sync_api import Page

from imagemill.db import tables
from imagemill.domain.clock import now_us, uuid7
from imagemill.domain.events import EventType, Notice
from imagemill.domain.jobs import JobStatus
from imagemill.jobs.store.lanes import job_row
from tests.conftest import Server
from tests.console.browser import Visitor

STEPS = (
    (EventType.INITIALIZED, JobStatus.QUEUED),
    (EventType.CLAIMED, JobStatus.RUNNING),
    (EventType.SUCCEEDED, JobStatus.SUCCEEDED),
)
COUNT_NEWS = """
window.news = 0;
window.EventSource = class extends EventSource {
  constructor(...given) {
    super(...given);
    this.addEventListener("jobs", (event) => { window.news += JSON.parse(event.data).jobs.length; });
  }
};
"""
SEEN = "localStorage.setItem('imagemill.start.seen', 'true')"


@dataclass
class Traffic:
    """The requests of a page, with the bytes that came over the wire."""

    files: list[int] = field(default_factory=list[int])
    answers: list[int] = field(default_factory=list[int])
    """Those of the API."""

    @property
    def requests(self) -> int:
        return len(self.files) + len(self.answers)

    def __str__(self) -> str:
        files, answers = (f"{len(each)}: {sum(each) / 1024:.1f} KB" for each in (self.files, self.answers))
        return f"files {files}; API {answers}"


@contextmanager
def traffic(page: Page) -> Iterator[Traffic]:
    """Count what the page loads. The feed, which does not end, is not among it."""
    counted, protocol = Traffic(), page.context.new_cdp_session(page)
    answers: set[str] = set()

    def on_response(told: dict[str, Any]) -> None:
        if "/api/v1/" in told["response"]["url"]:
            answers.add(told["requestId"])

    def on_end(told: dict[str, Any]) -> None:
        sizes = counted.answers if told["requestId"] in answers else counted.files
        sizes.append(int(told["encodedDataLength"]))

    protocol.on("Network.responseReceived", on_response)
    protocol.on("Network.loadingFinished", on_end)
    protocol.send("Network.enable")
    yield counted
    protocol.detach()


@dataclass(frozen=True)
class Memory:
    heap: int
    """Bytes of JavaScript objects."""
    nodes: int
    listeners: int


def memory(page: Page) -> Memory:
    """Return what the page holds after a collection."""
    protocol = page.context.new_cdp_session(page)
    protocol.send("HeapProfiler.enable")
    for _ in range(3):  # what the first one frees may hold more
        protocol.send("HeapProfiler.collectGarbage")
    protocol.send("Performance.enable")
    found: dict[str, Any] = {
        each["name"]: each["value"] for each in protocol.send("Performance.getMetrics")["metrics"]
    }
    protocol.detach()
    return Memory(int(found["JSHeapUsedSize"]), int(found["Nodes"]), int(found["JSEventListeners"]))


class Jobs:
    """Jobs that are written to the database and announced in the feed, without being rendered."""

    def __init__(self, server: Server) -> None:
        self._server = server
        server.client.post("/api/v1/pauses", json={"scope": "all", "reason": "a proof"})
        body = {"recipe": "textToImage", "input": {"prompt": "a fox", "width": 64, "height": 64}}
        id_ = server.client.post("/api/v1/jobs", json=body).json()["id"]
        self._row = dict(job_row(server.app.stores.jobs.job(id_)))
        self._engine = server.app.stores.database.engines.writer

    def add(self, count: int) -> list[str]:
        first = now_us()
        rows = [{**self._row, "id": uuid7(first + number)} for number in range(count)]
        with self._engine.begin() as conn:
            conn.execute(sa.insert(tables.jobs), rows)
        return [str(row["id"]) for row in rows]

    def announce(self, ids: Sequence[str], step: int) -> None:
        type_, status = STEPS[step]
        owner, recipe, at = self._row["owner"], self._row["recipe"], now_us()
        if step:
            of_ids = tables.jobs.c.id.in_(ids)
            with self._engine.begin() as conn:
                conn.execute(sa.update(tables.jobs).where(of_ids).values(status=status.value))
        self._server.app.feed.publish(
            [Notice(id_, step + 1, status.is_terminal, owner, recipe, type_, status, at) for id_ in ids]
        )


def play(page: Page, jobs: Jobs, events: int, batch: int = 300) -> None:
    """Let the page take in so many events, a batch as soon as it has the one before; a third are new jobs."""
    ids: list[str] = []
    for number in range(events // batch):
        step = number % len(STEPS)
        if not step:
            ids = jobs.add(batch)
        before = page.evaluate("window.news")
        jobs.announce(ids, step)
        page.wait_for_function("news => window.news >= news", arg=before + batch)


def queue_page(reader: Visitor) -> Page:
    """Open the queue in a page that counts the news, and return it once the feed is open."""
    reader.context.add_init_script(COUNT_NEWS)
    page = reader.open("/queue")
    page.wait_for_selector(".queue-list .virtual-row")
    page.wait_for_selector(".feed-live")
    return page

"""One trace tells a job's whole life, whichever processes it passed through."""

import itertools
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.programs import Program, image_job, running
from tests.conftest import SD1
from tests.tracing.collector import Collector, Received, collecting

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SERVER, CLIENT, CONSUMER = 2, 3, 5
PICTURE = {"prompt": "a very private prompt", "width": 64, "height": 64, "steps": 4}
SLOW = {"simulate": {"step_ms": 600}}
STEPS = ("claim", "prepare", "send", "follow", "store", "finish")


class Fleet:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.collector: Collector = stack.enter_context(collecting())
        self.callbacks: list[dict[str, str]] = []
        self.receiver = stack.enter_context(receiving(self.callbacks))
        self._folder, self._stack = folder, stack
        api, scheduler, self.worker = (self.start(role) for role in ("api", "scheduler", "worker"))
        self.client = stack.enter_context(api.client())
        scheduler.line("scheduler started")
        self.worker.line("worker started")

    def start(self, role: str) -> Program:
        settings = {
            "IMAGEMILL_DATA_DIR": str(self._folder / "data"),
            "IMAGEMILL_PORT": "0",
            "IMAGEMILL_LOG_LEVEL": "debug",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.url,
            "IMAGEMILL_OTEL__HEADERS": "X-Scope=mill,authorization=Bearer s3cret",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "IMAGEMILL_ALLOW_NETWORKS": "127.0.0.0/8",
            "IMAGEMILL_JOB__RETRY_BASE_S": "0.05",
            "IMAGEMILL_JOB__LEASE_S": "2",
            "IMAGEMILL_JOB__HEARTBEAT_S": "0.5",
            "IMAGEMILL_SWEEP_S": "0.2",
            "IMAGEMILL_SHUTDOWN_GRACE_S": "0.2",
        }
        return self._stack.enter_context(running(role, cwd=self._folder, **settings))

    def submit(self, trace: str | None = None, **changes: Any) -> dict[str, Any]:
        """The job as our own API shows it, just accepted."""
        headers = {"traceparent": trace} if trace else {}
        answer = self.client.post("/v1/consumer/jobs", json=image_job(**changes), headers=headers)
        assert answer.status_code == 200, answer.text
        return self.client.get(f"/api/v1/jobs/{answer.json()['jobs'][0]['jobId']}").json()

    def until_told(self, name: str, job: dict[str, Any]) -> None:
        trace = job["trace"].split("-")[1]
        self.collector.until(lambda spans: any(s.name == name and s.trace == trace for s in spans))

    def tree(self, job: dict[str, Any], whole: int = 1) -> "Tree":
        """The spans of a job, once its own and its request's, which another process tells, are there and no
        further one is to come."""
        trace = job["trace"].split("-")[1]

        def is_whole(spans: list[Received]) -> bool:
            here = [span for span in spans if span.trace == trace]
            names = [span.name for span in here]
            attempts = next((s.attributes["imagemill.attempts"] for s in here if s.name == "job"), -1)
            is_asked = any(name.startswith("POST ") for name in names)
            return is_asked and names.count("attempt") == attempts == names.count("queue") >= whole

        spans = self.collector.until(is_whole)
        return Tree([span for span in spans if span.trace == trace])


class Tree:
    def __init__(self, spans: list[Received]) -> None:
        self.spans = spans
        assert len({span.id for span in spans}) == len(spans), "no id is used twice"

    def one(self, name: str) -> Received:
        (span,) = self.all(name)
        return span

    def all(self, name: str) -> list[Received]:
        found = [span for span in self.spans if span.name == name]
        return sorted(found, key=lambda span: span.start)

    def below(self, parent: Received) -> list[str]:
        children = [span for span in self.spans if span.parent == parent.id]
        return [span.name for span in sorted(children, key=lambda span: (span.start, span.end))]


@contextmanager
def receiving(callbacks: list[dict[str, str]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            callbacks.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/done"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(tmp_path_factory.mktemp("traced"), stack)


@pytest.fixture(scope="module")
def tree(fleet: Fleet) -> Tree:
    """Of a job that a caller with a trace of its own brought, with a callback."""
    job = fleet.submit(CALLER, callbackUrl=fleet.receiver, properties={"simulate": {"step_ms": 20}})
    fleet.collector.until(
        lambda spans: any(s.attributes.get("imagemill.event") == "Succeeded" for s in spans)
    )
    return fleet.tree(job)


def test_a_callers_trace_goes_on_from_the_request_to_the_stored_picture(tree: Tree) -> None:
    request = tree.one("POST /v1/consumer/jobs")
    job, attempt = tree.one("job"), tree.one("attempt")

    assert (request.trace, request.parent) == tuple(CALLER.split("-")[1:3])
    assert job.parent == request.id
    assert attempt.parent == tree.one("queue").parent == job.id
    assert tuple(name for name in tree.below(attempt)) == STEPS
    assert tree.below(tree.one("store")) == ["blob create"]
    assert not [span.name for span in tree.spans if span.failed]


def test_each_span_lies_within_its_parent_and_the_queue_ends_where_the_claim_begins(tree: Tree) -> None:
    job, queue, attempt = tree.one("job"), tree.one("queue"), tree.one("attempt")
    steps = [tree.one(name) for name in STEPS]
    slack = 0.002  # a stage's time is kept to the microsecond, but measured by another clock

    assert job.start == queue.start <= queue.end == attempt.start == steps[0].start
    assert [(a.name, b.name) for a, b in itertools.pairwise(steps) if b.start < a.end - slack] == []
    assert attempt.end >= steps[-1].end
    assert tree.one("follow").end - tree.one("follow").start > 0.01
    store, blob = tree.one("store"), tree.one("blob create")
    assert store.start - slack <= blob.start <= blob.end <= store.end + slack


def test_each_process_tells_its_own_part(tree: Tree) -> None:
    api, worker = tree.one("POST /v1/consumer/jobs").process, tree.one("attempt").process
    scheduler = tree.all("callback")[0].process

    assert len({api, worker, scheduler}) == 3
    assert {span.process for span in tree.spans if span.name in ("job", "queue", *STEPS)} == {worker}
    assert {span.resource["service.name"] for span in tree.spans} == {"imagemill"}


def test_spans_say_of_what_they_are(tree: Tree) -> None:
    request, attempt = tree.one("POST /v1/consumer/jobs"), tree.one("attempt")

    assert request.kind == SERVER
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.route"] == "/v1/consumer/jobs"
    assert (attempt.kind, tree.one("send").kind) == (CONSUMER, CLIENT)
    assert attempt.attributes["imagemill.node"].startswith("sim-")
    assert attempt.attributes["imagemill.end"] == "succeeded"
    assert tree.one("job").attributes["imagemill.recipe"] == "textToImage"


def test_a_callback_carries_the_trace_on(fleet: Fleet, tree: Tree) -> None:
    deliveries = tree.all("callback")
    sent = [given["traceparent"].split("-") for given in fleet.callbacks]

    assert {span.parent for span in deliveries} == {tree.one("job").id}
    assert {(trace, span, flags) for _, trace, span, flags in sent} == {
        (span.trace, span.id, "01") for span in deliveries
    }


def test_a_job_without_a_caller_is_in_the_trace_of_its_request(fleet: Fleet) -> None:
    answer = fleet.client.post("/v1/consumer/jobs", json=image_job())
    job = fleet.client.get(f"/api/v1/jobs/{answer.json()['jobs'][0]['jobId']}").json()
    request = fleet.tree(job).one("POST /v1/consumer/jobs")

    assert request.parent == ""
    assert answer.headers["traceparent"] == job["trace"] == f"00-{request.trace}-{request.id}-01"


def test_a_retry_tells_both_attempts_and_both_waits(fleet: Fleet) -> None:
    job = fleet.submit(properties={"simulate": {"fault": "server_error", "times": 1}})
    tree = fleet.tree(job, whole=2)
    first, second = tree.all("attempt")
    again = tree.all("queue")[1]

    assert (first.failed, second.failed, tree.one("job").failed) == (True, False, False)
    assert first.attributes["error.type"]
    assert tree.below(first)[-1] == "finish"
    assert first.start < again.start <= again.end == second.start
    assert tuple(tree.below(second)) == STEPS


def test_a_job_that_is_canceled_in_the_queue_ends_in_the_process_that_was_asked(fleet: Fleet) -> None:
    job_request = {"recipe": "textToImage", "labels": ["nowhere"], "input": {**PICTURE, "model": SD1}}
    job = fleet.client.post("/api/v1/jobs", json=job_request).json()
    fleet.client.post(f"/api/v1/jobs/{job['id']}/cancel")
    tree = fleet.tree(job, whole=0)

    assert tree.one("job").attributes["imagemill.job.status"] == "canceled"
    assert tree.one("job").process == tree.one("POST /api/v1/jobs").process
    assert not tree.one("job").failed


def test_an_attempt_whose_worker_was_killed_is_told_by_the_scheduler(fleet: Fleet) -> None:
    job = fleet.submit(properties=SLOW)
    fleet.until_told("queue", job)
    fleet.worker.signal(signal.SIGKILL)
    fleet.worker = fleet.start("worker")
    tree = fleet.tree(job, whole=2)
    lost, second = tree.all("attempt")

    assert lost.attributes["imagemill.end"] == "lost"
    assert lost.attributes["error.type"] == "worker_lost"
    assert lost.process not in (second.process, tree.one("POST /v1/consumer/jobs").process)
    assert lost.attributes["imagemill.worker"] != second.attributes["imagemill.worker"]
    assert tree.all("queue")[1].start == lost.end


def test_an_attempt_that_is_handed_back_is_told_once(fleet: Fleet) -> None:
    job = fleet.submit(properties=SLOW)
    fleet.until_told("queue", job)
    fleet.worker.signal(signal.SIGTERM)
    fleet.worker.ended()
    fleet.worker = fleet.start("worker")
    tree = fleet.tree(job, whole=2)
    first, second = tree.all("attempt")

    assert first.attributes["imagemill.end"] == "retried"
    assert first.process == first.attributes["imagemill.worker"] != second.process


def test_no_span_has_a_word_of_the_prompt_and_each_request_has_the_headers(fleet: Fleet, tree: Tree) -> None:
    assert tree.spans
    assert not [body for body in fleet.collector.bodies if b"private" in body]
    assert {given["path"] for given in fleet.collector.headers} == {"/v1/traces"}
    assert {given["x-scope"] for given in fleet.collector.headers} == {"mill"}
    assert {given["authorization"] for given in fleet.collector.headers} == {"Bearer s3cret"}


def test_every_line_of_a_jobs_work_has_its_id_and_its_trace(fleet: Fleet) -> None:
    job = fleet.submit(properties={"simulate": {"fault": "server_error", "times": 1}})
    fleet.tree(job, whole=2)
    lines = [line for line in fleet.worker.lines() if line["logger"].startswith("imagemill.jobs")]
    steps = [line for line in lines if line.get("job") == job["id"]]

    assert len([line for line in steps if line["event"].startswith("step")]) >= 7
    assert {line["trace"] for line in steps} == {job["trace"]}
    assert not [line for line in lines if "step" in line["event"] and "job" not in line]

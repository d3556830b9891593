"""The parts of tracing by themselves, against a real receiver, a silent one and none at all."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from imagemill.bootstrap.observer import open_tracer
from imagemill.bootstrap.settings_check import format_errors
from imagemill.config import Settings
from imagemill.domain.clock import new_trace, now_us
from imagemill.domain.jobs import Job
from imagemill.observability.otlp import Otlp, endpoint_of
from imagemill.observability.settings import OtelSettings
from imagemill.observability.spans import Span, derive_id, of_attempt, of_job, trace_of
from imagemill.observability.trace_history import History
from imagemill.observability.tracing import Tracer
from tests.conftest import Server
from tests.deploy.by_hand import free_ports
from tests.tracing.collector import collecting


class Kept:
    """An `Out` that keeps what it is given, and a log that knows no job."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def emit(self, span: Span) -> None:
        self.spans.append(span)

    def close(self) -> None:
        """Nothing to deliver."""

    def job(self, job_id: str) -> Any:
        raise AssertionError(f"nobody has asked for {job_id}")

    def events_after(self, job_id: str, seq: int, limit: int) -> Any:
        raise AssertionError(f"nobody has asked for {job_id}")


def span(name: str = "a", trace: str | None = None) -> Span:
    now = now_us()
    return Span(name, trace or trace_of(new_trace()), derive_id(name, now), None, now - 1000, now)


def tracer(ratio: float) -> Tracer:
    kept = Kept()
    return Tracer(kept, ratio, kept)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def wait_for(holds: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)


def test_without_an_endpoint_nothing_of_opentelemetrys_sdk_is_loaded(tmp_path: Path) -> None:
    script = """
import sys
from imagemill.bootstrap.application import Application, application
from imagemill.config import Settings
mill = Application(Settings(_env_file=None, data_dir="data"))
application(mill)
mill.close()
assert mill.observer.tracer is None
print([name for name in ("opentelemetry.sdk", "google.protobuf", "requests") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr


def test_processes_agree_on_what_is_sampled_as_opentelemetrys_own_sampler_does() -> None:
    ours, also = tracer(0.25), tracer(0.25)
    theirs = TraceIdRatioBased(0.25)
    traces = [new_trace() for _ in range(2000)]
    chosen = [trace for trace in traces if ours.samples(trace)]

    assert chosen == [trace for trace in traces if also.samples(trace)]
    assert chosen == [
        trace
        for trace in traces
        if theirs.should_sample(None, int(trace_of(trace), 16), "").decision is Decision.RECORD_AND_SAMPLE
    ]
    assert 350 < len(chosen) < 650


@pytest.mark.parametrize(("ratio", "all_of_them"), [(0.0, False), (1.0, True)])
def test_none_and_all_can_be_sampled(ratio: float, all_of_them: bool) -> None:
    assert {tracer(ratio).samples(new_trace()) for _ in range(100)} == {all_of_them}
    assert tracer(ratio).samples(f"00-{'f' * 32}-{'1' * 16}-00") is all_of_them


def test_ids_differ_by_what_they_are_of() -> None:
    ids = [of_job("a"), of_job("b"), of_attempt("a", 1), of_attempt("a", 2), derive_id("a", 1, "send")]
    assert len(set(ids)) == len(ids)
    assert {len(each) for each in ids} == {16}


def test_a_request_that_is_not_sampled_is_not_told_and_says_so(make_server: Callable[..., Server]) -> None:
    with collecting() as collector:
        server = make_server(otel={"endpoint": collector.url, "ratio": 0})
        answer = server.submit()
        server.wait(answer.json()["jobs"][0]["jobId"])
        server.app.observer.close()

    assert answer.headers["traceparent"].endswith("-00")
    assert collector.spans == []


def test_what_waits_is_delivered_at_the_end() -> None:
    with collecting() as collector:
        with closing(Otlp(collector.url, {}, {"service.name": "mine"}, timeout_s=5)) as out:
            sent = span("last")
            out.emit(sent)
        (received,) = collector.spans

    assert (received.trace, received.id, received.parent) == (sent.trace, sent.id, "")
    assert received.resource["service.name"] == "mine"
    assert abs(received.end - sent.end / 1e6) < 1e-6


def test_a_collector_that_is_away_costs_a_warning_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    out = Otlp(f"http://127.0.0.1:{free_ports(1)[0]}", {}, {}, timeout_s=0.5)
    spans = [span(str(number)) for number in range(1500)]
    began = time.perf_counter()
    for each in spans:
        out.emit(each)
    emitted_s = time.perf_counter() - began
    wait_for(lambda: bool(warnings(caplog)))
    began = time.perf_counter()
    out.close()

    assert emitted_s < 3
    assert time.perf_counter() - began < 5
    (line,) = warnings(caplog)
    assert "spans could not be exported to http://127.0.0.1" in line
    assert "IMAGEMILL_OTEL__ENDPOINT" in line
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_more_spans_than_are_delivered_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # takes connections and says nothing
        out = Otlp(f"http://127.0.0.1:{hanging.getsockname()[1]}", {}, {}, timeout_s=1)
        for number in range(8000):
            out.emit(span(str(number)))
        began = time.perf_counter()
        out.close()

    assert time.perf_counter() - began < 5

    assert sum("Queue full" in line for line in warnings(caplog)) == 1


def test_a_collector_that_refuses_is_named_with_its_answer(caplog: pytest.LogCaptureFixture) -> None:
    with collecting() as collector:
        collector.answers = 401
        out = Otlp(collector.url, {}, {}, timeout_s=2)
        out.emit(span())
        out.close()

    (line,) = warnings(caplog)
    assert line.startswith("1 spans could not be exported")
    assert "401" in line


def test_jobs_are_made_while_the_collector_is_away(make_server: Callable[..., Server]) -> None:
    server = make_server(otel={"endpoint": f"http://127.0.0.1:{free_ports(1)[0]}", "timeout_s": 0.5})
    job = server.wait(server.submit().json()["jobs"][0]["jobId"])
    assert job["status"] == "succeeded"


@pytest.mark.parametrize("path", ["", "/", "/v1/traces", "/v1/traces/"])
def test_the_endpoint_may_be_given_with_and_without_its_path(path: str) -> None:
    assert endpoint_of(f"https://collector.example:4318{path}") == "https://collector.example:4318/v1/traces"
    assert endpoint_of("https://example.com/otlp") == "https://example.com/otlp/v1/traces"


def test_without_an_endpoint_there_is_no_tracer() -> None:
    assert open_tracer(OtelSettings(), {}, Kept()) is None


def test_a_wrong_header_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="name=value") as refused:
        Settings(_env_file=None, otel={"headers": "s3cret without a name"})
    (line,) = format_errors(refused.value)  # type: ignore[arg-type]

    assert line.startswith("IMAGEMILL_OTEL__HEADERS (or OTEL_EXPORTER_OTLP_HEADERS): ")
    assert "s3cret" not in line


@pytest.mark.parametrize("given", [{"endpoint": "collector:4317"}, {"ratio": 1.5}, {"ratio": -0.1}])
def test_what_cannot_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="otel"):
        Settings(_env_file=None, otel=given)


def test_the_steps_of_an_attempt_do_not_move_when_its_trace_starts_late(
    make_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    emit_queue = History.emit_queue

    def late(history: History, job: Job) -> None:
        time.sleep(0.05)
        emit_queue(history, job)

    monkeypatch.setattr(History, "emit_queue", late)
    with collecting() as collector:
        server = make_server(otel={"endpoint": collector.url})
        server.wait(server.submit().json()["jobs"][0]["jobId"])
        server.app.observer.close()

    (store,) = [each for each in collector.spans if each.name == "store"]
    (blob,) = [each for each in collector.spans if each.name == "blob create"]
    assert store.start - 0.005 <= blob.start <= blob.end <= store.end + 0.005

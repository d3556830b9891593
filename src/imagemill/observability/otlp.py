"""Export of spans to a collector: OTLP over HTTP with OpenTelemetry's SDK. Imported only when it is
configured."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from imagemill.observability.spans import Kind, Span

log = logging.getLogger(__name__)

_WARN_EVERY_S = 60.0
_PATH = "/v1/traces"
_QUEUE_LOGGER = "opentelemetry.sdk._shared_internal"
"""The SDK's logger that warns when spans are dropped because its queue is full."""
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.CONSUMER: SpanKind.CONSUMER,
}


class Otlp:
    """A sink of spans. ``timeout_s`` limits an export; `close` may take twice as long."""

    def __init__(
        self, endpoint: str, headers: Mapping[str, str], resource: Mapping[str, str], timeout_s: float
    ) -> None:
        self._exporter = _Exporter(endpoint_of(endpoint), headers, timeout_s)
        self._timeout_s = timeout_s
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # the tracer has already sampled
            resource=Resource.create(dict(resource)),
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("imagemill")

    def emit(self, span: Span) -> None:
        self._ids.prepare(span)
        made = self._tracer.start_span(
            span.name,
            context=_parent(span),
            kind=_KINDS[span.kind],
            attributes=span.attributes,
            start_time=span.start * 1000,
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
            made.set_attribute("error.type", span.error)
        made.end(span.end * 1000)

    def close(self) -> None:
        """Export the pending spans; an unresponsive collector delays the shutdown only for a bounded time."""
        timer = threading.Timer(self._timeout_s, self._exporter.shutdown)
        timer.daemon = True
        timer.start()
        self._provider.shutdown()
        timer.cancel()


def endpoint_of(url: str) -> str:
    """Return the URL for traces of a collector's base URL, as the specification says; a full URL is kept."""
    bare = url.rstrip("/")
    return bare if bare.endswith(_PATH) else bare + _PATH


def _parent(span: Span) -> Context:
    if span.parent is None:
        return Context()
    parent = SpanContext(int(span.trace, 16), int(span.parent, 16), is_remote=True, trace_flags=_SAMPLED)
    return set_span_in_context(NonRecordingSpan(parent), Context())


class _Ids(IdGenerator):
    """Supplies the ids of the span that this thread is about to create."""

    def __init__(self) -> None:
        self._next = threading.local()

    def prepare(self, span: Span) -> None:
        self._next.span = span

    def generate_span_id(self) -> int:
        return int(self._next.span.id, 16)

    def generate_trace_id(self) -> int:
        return int(self._next.span.trace, 16)


class _Exporter(SpanExporter):
    """Logs failed exports in one line a minute, with the cause."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], timeout_s: float) -> None:
        self._cause = _LastMessage()
        self._filters = {trace_exporter.__name__: self._cause, _QUEUE_LOGGER: _OncePerMinute()}
        for name, sieve in self._filters.items():
            logging.getLogger(name).addFilter(sieve)
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._closed = False
        self._lost = 0
        self._silent_until = 0.0
        self._exporter = OTLPSpanExporter(endpoint, headers=dict(headers), timeout=timeout_s)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE if self._closed else self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            self._warn()
        return result

    def shutdown(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._exporter.shutdown()
        for name, sieve in self._filters.items():
            logging.getLogger(name).removeFilter(sieve)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def _warn(self) -> None:
        if time.monotonic() < self._silent_until:
            return
        self._silent_until = time.monotonic() + _WARN_EVERY_S
        log.warning(
            "%d spans could not be exported to %s (%s); jobs are not affected. See IMAGEMILL_OTEL__ENDPOINT",
            self._lost,
            self._endpoint,
            self._cause.last,
        )
        self._lost = 0


class _LastMessage(logging.Filter):
    """Keeps the last message of the SDK's exporter, and suppresses its log line for every failed batch."""

    def __init__(self) -> None:
        super().__init__()
        self.last = "closed"

    def filter(self, record: logging.LogRecord) -> bool:
        self.last = record.getMessage()
        return False


class _OncePerMinute(logging.Filter):
    """Passes one log line a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._silent_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if time.monotonic() < self._silent_until:
            return False
        self._silent_until = time.monotonic() + _WARN_EVERY_S
        return True

"""Following a job: its server-sent events, resumed where a connection broke, and their display.

httpx2 is imported where it is needed, so that ``--help`` need not load it.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from imagemill.cli.client import ApiError, Client, parse_response, quote_segment
from imagemill.cli.output import CliError, Printer
from imagemill.domain.dataclass import dataclass

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.table import Table

_READ_TIMEOUT_S = 45.0
"""Without data for this long, three missed keep-alives, the connection counts as lost."""
GIVE_UP_S = 60.0
"""A server that does not answer for this long is given up."""
_RETRY_DELAY_S = 0.5

EXIT_STATUS = {"Succeeded": 0, "Failed": 1, "Canceled": 1, "Expired": 1}
"""The exit status of each event that ends a job."""
_ENDED = {"succeeded": "succeeded", "failed": "failed", "canceled": "was canceled", "expired": "expired"}


def describe_status(status: str) -> str:
    """Return the end of a sentence about a job: ``succeeded``, ``is queued``."""
    return _ENDED.get(status, f"is {status}")


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message of a job's event stream; ``seq`` is None for progress, which cannot be read again."""

    name: str
    data: dict[str, Any]
    seq: int | None

    @property
    def is_last(self) -> bool:
        return self.name in EXIT_STATUS


def follow(
    client: Client,
    job_id: str,
    *,
    after: int = 0,
    on_break: Callable[[int], None] = lambda _seq: None,
    give_up_s: float = GIVE_UP_S,
    timeout_s: float = math.inf,
) -> Iterator[StreamMessage]:
    """Yield a job's events until the last one, each durable event once.

    ``on_break`` gets the number of the last event each time the connection breaks. Raises `ServerUnreachable`
    when the server does not answer at first or stays away for ``give_up_s``, `ApiError` when there is no such
    job, `CliError` when the job has not ended after ``timeout_s``.
    """
    import httpx2

    seq, connected = after, False
    broken_at = time.monotonic()
    deadline = broken_at + timeout_s
    while True:
        try:
            for message in _stream(client, job_id, seq, deadline):
                connected, broken_at = True, time.monotonic()
                seq = message.seq or seq
                yield message
                if message.is_last:
                    return
        except ApiError as error:
            if not connected or error.status_code < 500:
                raise
        except httpx2.HTTPError as error:
            _check_deadline(deadline)
            if not connected or time.monotonic() - broken_at > give_up_s:
                raise client.connection_error(error) from error
            on_break(seq)
        time.sleep(_RETRY_DELAY_S)


def _check_deadline(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise CliError("the job has not ended in time")


def _stream(client: Client, job_id: str, after: int, deadline: float) -> Iterator[StreamMessage]:
    import httpx2

    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    timeout = httpx2.Timeout(10.0, read=max(0.1, min(_READ_TIMEOUT_S, deadline - time.monotonic())))
    path = f"/api/v1/jobs/{quote_segment(job_id)}/events"
    with client.http.stream("GET", path, headers=headers, timeout=timeout) as response:
        if not response.is_success:
            response.read()
            parse_response(response)
        for message in server_events(response.iter_lines()):
            yield StreamMessage(message.name, message.data, int(message.id) if message.id else None)
            _check_deadline(deadline)


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """A server-sent event; ``id`` is empty where it has none."""

    name: str
    data: dict[str, Any]
    id: str


def server_events(lines: Iterator[str]) -> Iterator[ServerEvent]:
    """Yield the events of an SSE body: fields until an empty line; comments are keep-alives."""
    name, data, id_ = "", [], ""
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(name, json.loads("\n".join(data)), id_)
            name, data, id_ = "", [], ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            id_ = value


_BAR = 30
"""Characters of the longest bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class TimelineSpan:
    name: str
    ms: float


def timeline_spans(events: Iterable[Mapping[str, Any]]) -> list[TimelineSpan]:
    """Return the spans of a job's durable events, in order; none for a job that was never claimed."""
    claims = [event for event in events if event["type"] == "Claimed"]
    ordered = list(events)
    if not claims or not ordered:
        return []
    found = [TimelineSpan("QUEUED", _ms_between(ordered[0], claims[0]))]
    if len(claims) > 1:
        plural = "s" if len(claims) > 2 else ""
        name = f"{len(claims) - 1} earlier attempt{plural}"
        found.append(TimelineSpan(name, _ms_between(claims[0], claims[-1])))
    stages: list[Mapping[str, Any]] = ordered[-1]["data"].get("stages") or []
    return found + [TimelineSpan(stage["stage"], float(stage["ms"])) for stage in stages]


def timeline(events: list[dict[str, Any]]) -> "list[str | Table]":
    """Return an empty line and a table of the job's spans; nothing for a job that was never claimed."""
    spans = timeline_spans(events)
    return ["", _timeline_table(spans)] if spans else []


def _timeline_table(spans: list[TimelineSpan]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    longest = max((span.ms for span in spans), default=0.0)
    total = sum(span.ms for span in spans)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    for span in spans:
        grid.add_row(f"  {span.name}", _format_ms(span.ms), Text(_bar(span.ms, longest), style="cyan"))
    grid.add_row(Text("  total", style="bold"), Text(_format_ms(total), style="bold"), "")
    return grid


def _format_ms(ms: float) -> str:
    """Return milliseconds with about three figures: ``0.42 ms``, ``12.5 ms``, ``1 204 ms``."""
    if ms < 10:
        return f"{ms:.2f} ms"
    return f"{ms:.1f} ms" if ms < 100 else f"{ms:,.0f} ms".replace(",", " ")


def _bar(ms: float, longest: float) -> str:
    eighths = round(ms / longest * _BAR * 8) if longest > 0 else 0
    whole, rest = divmod(max(1, eighths), 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def _ms_between(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    gap = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
    return max(0.0, gap.total_seconds() * 1000)


_PROGRESS_SHARE = 0.25
"""Where the output is no terminal, progress is printed once for each quarter of a job."""


class JobDisplay:
    """Displays a job's messages as they arrive and keeps its durable events.

    With ``show_events`` each durable event is a line of the output, else only progress is shown.
    """

    def __init__(self, out: Printer, label: str, *, show_events: bool = True) -> None:
        self.events: list[dict[str, Any]] = []
        self._out = out
        self._label = label
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._show_events = show_events
        self._printed_share = 0.0

    def show(self, stream: Iterable[StreamMessage]) -> StreamMessage:
        """Display the stream until it ends; return its last message."""
        if self._out.as_json or not self._out.console.is_terminal:
            return self._consume(stream)
        self._bar = _progress_bar(self._out)
        with self._bar as bar:
            self._task = bar.add_task(self._label, total=None, note="waiting")
            return self._consume(stream)

    def report_break(self, seq: int) -> None:
        """Report that the connection broke and is resumed."""
        self._print_line(f"connection lost; resuming after event {seq}")

    def _consume(self, stream: Iterable[StreamMessage]) -> StreamMessage:
        last: StreamMessage | None = None
        for message in stream:
            last = message
            if message.seq is not None:
                self.events.append(message.data)
            if self._out.as_json:
                if self._show_events:
                    self._out.json({"event": message.name, **message.data})
            elif message.name in ("progress", "Updated"):
                self._show_progress(message)
            else:
                self._show_event(message)
        assert last is not None  # noqa: S101 - a stream ends with its last event or an exception
        return last

    def _show_progress(self, message: StreamMessage) -> None:
        facts = message.data if message.name == "progress" else message.data["data"]
        step, total, share = facts.get("step", 0), facts.get("total", 0), facts.get("progress", 0.0)
        if self._bar is not None and self._task is not None:
            note = facts.get("note") or f"step {step} of {total}"
            self._bar.update(self._task, completed=step, total=total or None, note=note)
        elif share - self._printed_share >= _PROGRESS_SHARE:
            self._printed_share = share - share % _PROGRESS_SHARE
            self._out.say(f"  {self._label}: step {step} of {total}")

    def _show_event(self, message: StreamMessage) -> None:
        self._printed_share = 0.0
        if message.is_last and self._bar is not None and self._task is not None:
            total = self._bar.tasks[0].total or 1
            completed: dict[str, Any] = {"completed": total} if message.name == "Succeeded" else {}
            self._bar.update(self._task, total=total, note=message.name.lower(), **completed)
        if self._show_events:
            self._print_line(describe_event(message.data))

    def _print_line(self, line: str) -> None:
        if not self._out.as_json:
            self._out.console.print(f"  {line}", style="dim", soft_wrap=True)


def describe_event(event: dict[str, Any]) -> str:
    """Return an event as a line: ``22:17:44.123  Claimed  attempt 1 on sim-1``."""
    data: dict[str, Any] = event["data"]
    clock = f"{datetime.fromisoformat(event['at']).astimezone():%H:%M:%S.%f}"[:-3]
    facts: list[str] = []
    if event["attempt"]:
        facts.append(f"attempt {event['attempt']}" + (f" on {data['node']}" if data.get("node") else ""))
    if error := data.get("error"):
        facts.append(f"{error.get('code')}: {error.get('message')}")
    elif data.get("reason"):
        facts.append(str(data["reason"]))
    elif "step" in data:
        facts.append(f"step {data['step']} of {data.get('total')}")
    return f"{clock}  {event['type']:<12} {', '.join(facts)}".rstrip()


def _progress_bar(out: Printer) -> "Progress":
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn(" "),
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(30, complete_style="cyan", finished_style="green"),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=out.console,
    )

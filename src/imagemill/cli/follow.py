"""Following a job: its server-sent events, resumed where a connection broke."""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx2

from imagemill.cli.client import ApiError, Client, read, segment
from imagemill.cli.output import CliError, Printer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.table import Table

_SILENCE_S = 45.0
"""Three missed keep-alives of the server."""
_GIVE_UP_S = 60.0
"""A server away for so long is not waited for any longer."""
_PAUSE_S = 0.5

TERMINAL = {"Succeeded": 0, "Failed": 1, "Canceled": 1, "Expired": 1}
"""The last events, and the exit status each means."""


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """``seq`` is None for progress, which cannot be had again."""

    name: str
    data: dict[str, Any]
    seq: int | None

    @property
    def is_last(self) -> bool:
        return self.name in TERMINAL


def follow(
    client: Client,
    job_id: str,
    *,
    after: int = 0,
    on_break: Callable[[int], None] = lambda _seq: None,
    give_up_s: float = _GIVE_UP_S,
    patience_s: float = math.inf,
) -> Iterator[StreamMessage]:
    """Yield a job's events until the last one, each durable event once.

    ``on_break`` gets the number of the last event each time the connection breaks. Raises `ServerUnreachable`
    when the server does not answer at first or stays away, `ApiError` when it knows no such job, `CliError`
    when the job has not ended after ``patience_s``.
    """
    seq, connected = after, False
    broken_at = time.monotonic()
    end = broken_at + patience_s
    while True:
        try:
            for message in _stream(client, job_id, seq, end):
                connected, broken_at = True, time.monotonic()
                seq = message.seq or seq
                yield message
                if message.is_last:
                    return
        except ApiError as refusal:
            if not connected or refusal.status_code < 500:
                raise
        except httpx2.HTTPError as error:
            _check(end)
            if not connected or time.monotonic() - broken_at > give_up_s:
                raise client.absent(error) from error
            on_break(seq)
        time.sleep(_PAUSE_S)


def _check(end: float) -> None:
    if time.monotonic() > end:
        raise CliError("the job has not ended in time")


def _stream(client: Client, job_id: str, after: int, end: float) -> Iterator[StreamMessage]:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    timeout = httpx2.Timeout(10.0, read=max(0.1, min(_SILENCE_S, end - time.monotonic())))
    path = f"/api/v1/jobs/{segment(job_id)}/events"
    with client.http.stream("GET", path, headers=headers, timeout=timeout) as response:
        if not response.is_success:
            response.read()
            read(response)
        for message in messages(response.iter_lines()):
            yield message
            _check(end)


def messages(lines: Iterator[str]) -> Iterator[StreamMessage]:
    """The events of an SSE body: fields until an empty line; comments are keep-alives."""
    name, data, seq = "", [], None
    for line in lines:
        if not line:
            if data:
                yield StreamMessage(name, json.loads("\n".join(data)), seq)
            name, data, seq = "", [], None
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            seq = int(value)


_BAR = 30
"""Characters of the longest bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class TimelineSpan:
    name: str
    ms: float


def spans(events: Iterable[Mapping[str, Any]]) -> list[TimelineSpan]:
    """Of the durable events of a job, in order. Empty for a job that was never claimed."""
    claims = [event for event in events if event["type"] == "Claimed"]
    ordered = list(events)
    if not claims or not ordered:
        return []
    found = [TimelineSpan("QUEUED", _between(ordered[0], claims[0]))]
    if len(claims) > 1:
        found.append(TimelineSpan(f"{len(claims) - 1} earlier", _between(claims[0], claims[-1])))
    stages: list[Mapping[str, Any]] = ordered[-1]["data"].get("stages") or []
    return found + [TimelineSpan(stage["stage"], float(stage["ms"])) for stage in stages]


def table(found: list[TimelineSpan]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    longest = max((span.ms for span in found), default=0.0)
    total = sum(span.ms for span in found)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    for span in found:
        name = (
            span.name if span.name.isupper() else f"{span.name} attempt{'s' if span.name[0] != '1' else ''}"
        )
        grid.add_row(f"  {name}", shown_ms(span.ms), Text(_bar(span.ms, longest), style="cyan"))
    grid.add_row(Text("  total", style="bold"), Text(shown_ms(total), style="bold"), "")
    return grid


def shown_ms(ms: float) -> str:
    """Three figures are enough: ``0.42 ms``, ``12.5 ms``, ``1 204 ms``."""
    if ms < 10:
        return f"{ms:.2f} ms"
    return f"{ms:.1f} ms" if ms < 100 else f"{ms:,.0f} ms".replace(",", " ")


def _bar(ms: float, longest: float) -> str:
    eighths = round(ms / longest * _BAR * 8) if longest > 0 else 0
    whole, rest = divmod(max(1, eighths), 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def _between(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    gap = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
    return max(0.0, gap.total_seconds() * 1000)


_QUARTER = 0.25
"""Without a terminal progress is told in quarters."""


class JobDisplay:
    """Shows messages as they come and keeps the durable ones. ``told``: each of those gets a line."""

    def __init__(self, out: Printer, label: str, *, told: bool = True) -> None:
        self.events: list[dict[str, Any]] = []
        self._out = out
        self._label = label
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._told = told
        self._quarters = 0.0

    def show(self, stream: Iterable[StreamMessage]) -> StreamMessage:
        """The last message. Ends with the stream."""
        if self._out.as_json or not self._out.console.is_terminal:
            return self._pass(stream)
        self._bar = _progress_bar(self._out)
        with self._bar as bar:
            self._task = bar.add_task(self._label, total=None, note="waiting")
            return self._pass(stream)

    def broke(self, seq: int) -> None:
        """The connection was lost; it is resumed."""
        self._tell(f"connection lost after event {seq}; resuming there")

    def _pass(self, stream: Iterable[StreamMessage]) -> StreamMessage:
        last: StreamMessage | None = None
        for message in stream:
            last = message
            if message.seq is not None:
                self.events.append(message.data)
            if self._out.as_json:
                if self._told:
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
        elif share - self._quarters >= _QUARTER:
            self._quarters = share - share % _QUARTER
            self._out.say(f"  {self._label}: step {step} of {total}")

    def _show_event(self, message: StreamMessage) -> None:
        self._quarters = 0.0
        if message.is_last and self._bar is not None and self._task is not None:
            total = self._bar.tasks[0].total or 1
            done: dict[str, Any] = {"completed": total} if message.name == "Succeeded" else {}
            self._bar.update(self._task, total=total, note=message.name.lower(), **done)
        if self._told:
            self._tell(described(message.data))

    def _tell(self, line: str) -> None:
        if not self._out.as_json:
            self._out.console.print(f"  {line}", style="dim", soft_wrap=True)


def described(event: dict[str, Any]) -> str:
    """An event in a line: ``22:17:44.123  Claimed  attempt 1 on sim-1``."""
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


def show_timeline(out: Printer, events: list[dict[str, Any]]) -> None:
    found = spans(events)
    if found:
        out.say("")
        out.say(table(found))


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

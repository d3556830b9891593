"""Showing a job while it runs: a live bar on a terminal, a line for each event elsewhere."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from imagemill.cli import timeline
from imagemill.cli.following import Message
from imagemill.cli.output import Out

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_QUARTER = 0.25
"""Without a terminal progress is told in quarters."""


class Screen:
    """Shows messages as they come and keeps the durable ones. ``told``: each of those gets a line."""

    def __init__(self, out: Out, label: str, *, told: bool = True) -> None:
        self.events: list[dict[str, Any]] = []
        self._out = out
        self._label = label
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._told = told
        self._quarters = 0.0

    def show(self, stream: Iterable[Message]) -> Message:
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

    def _pass(self, stream: Iterable[Message]) -> Message:
        last: Message | None = None
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

    def _show_progress(self, message: Message) -> None:
        facts = message.data if message.name == "progress" else message.data["data"]
        step, total, share = facts.get("step", 0), facts.get("total", 0), facts.get("progress", 0.0)
        if self._bar is not None and self._task is not None:
            note = facts.get("note") or f"step {step} of {total}"
            self._bar.update(self._task, completed=step, total=total or None, note=note)
        elif share - self._quarters >= _QUARTER:
            self._quarters = share - share % _QUARTER
            self._out.say(f"  {self._label}: step {step} of {total}")

    def _show_event(self, message: Message) -> None:
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


def show_timeline(out: Out, events: list[dict[str, Any]]) -> None:
    found = timeline.spans(events)
    if found:
        out.say("")
        out.say(timeline.table(found))


def _progress_bar(out: Out) -> "Progress":
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

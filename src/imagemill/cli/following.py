"""Following a job: its server-sent events, resumed where a connection broke."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

from imagemill.cli.client import Client, Refusal, read, segment
from imagemill.cli.output import Trouble

_SILENCE_S = 45.0
"""Three missed keep-alives of the server."""
_GIVE_UP_S = 60.0
"""A server away for so long is not waited for any longer."""
_PAUSE_S = 0.5

TERMINAL = {"Succeeded": 0, "Failed": 1, "Canceled": 1, "Expired": 1}
"""The last events, and the exit status each means."""


@dataclass(frozen=True, slots=True)
class Message:
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
) -> Iterator[Message]:
    """Until the last event, each durable one once. ``on_break`` hears the last event's number at each break.

    Raises `Absent` when the server is not there at first or stays away, `Refusal` when it knows no such job,
    `Trouble` when the job has not ended after ``patience_s``.
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
        except Refusal as refusal:
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
        raise Trouble("the job has not ended in time")


def _stream(client: Client, job_id: str, after: int, end: float) -> Iterator[Message]:
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


def messages(lines: Iterator[str]) -> Iterator[Message]:
    """The events of an SSE body: fields until an empty line; comments are keep-alives."""
    name, data, seq = "", [], None
    for line in lines:
        if not line:
            if data:
                yield Message(name, json.loads("\n".join(data)), seq)
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

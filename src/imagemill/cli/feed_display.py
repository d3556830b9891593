"""Following all jobs: the feed's server-sent events, resumed where a connection broke, as lines."""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from imagemill.cli.client import ApiError, Client, Reply, client_command, parse_response
from imagemill.cli.follow import GIVE_UP_S, ServerEvent, server_events
from imagemill.cli.output import Printer

_READ_TIMEOUT_S = 45.0
_RETRY_DELAY_S = 0.5


def follow_feed(client: Client, whose: Mapping[str, str]) -> Iterator[ServerEvent]:
    """Yield the events of the feed without end.

    Raises `ServerUnreachable` when the server does not answer at first or stays away for a minute.
    """
    import httpx2

    last_id, alive_at, connected = "", time.monotonic(), False
    timeout = httpx2.Timeout(10.0, read=_READ_TIMEOUT_S)
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        try:
            with client.http.stream(
                "GET", "/api/v1/events", params=dict(whose), headers=headers, timeout=timeout
            ) as response:
                if not response.is_success:
                    response.read()
                    parse_response(response)
                for event in server_events(response.iter_lines()):
                    last_id, alive_at, connected = event.id or last_id, time.monotonic(), True
                    yield event
                alive_at, connected = time.monotonic(), True
        except ApiError as error:
            if not connected or error.status_code < 500:
                raise
        except httpx2.HTTPError as error:
            if not connected or time.monotonic() - alive_at > GIVE_UP_S:
                raise client.connection_error(error) from error
        time.sleep(_RETRY_DELAY_S)


def show_feed(client: Client, out: Printer, whose: Mapping[str, str]) -> None:
    """Show each change of a job as a line, until the user ends it."""
    for event in follow_feed(client, whose):
        if out.as_json:
            out.json({"event": event.name, **event.data})
        elif event.name == "reset":
            out.say("some changes were missed; `imagemill jobs list` has the present state")
        else:
            for change in event.data.get("jobs", ()):
                out.say(_line(change))


def _line(change: Mapping[str, Any]) -> str:
    clock = f"{datetime.fromisoformat(change['at']).astimezone():%H:%M:%S.%f}"[:-3]
    return f"{clock}  {change['status']:<9}  {change['recipe']}  {change['owner']}  {change['id']}"


@client_command
def checklist(client: Client) -> Reply:
    """List the first steps on a server, and which of them you have done."""
    body = client.get("/api/v1/checklist")
    return body, [f"  {'✓' if step['done'] else '·'} {_STEPS[step['name']]}" for step in body["items"]]


_STEPS = {
    "picture": 'a first picture: imagemill make "a fox in the snow"',
    "node": "a node: imagemill nodes add NAME URL",
    "workflow": "a workflow of your own: imagemill workflows add FILE",
    "key": "an API key: imagemill keys create",
    "webhook": "a webhook: imagemill webhooks add URL",
}

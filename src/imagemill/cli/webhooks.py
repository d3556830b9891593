"""``imagemill webhooks``: endpoints that receive messages about jobs, and their deliveries."""

import time
from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.output import CliError, OtherOwner, table_of

commands = typer.Typer(
    help="Webhooks: list, create, delete, resume, messages, resend, test. An endpoint is named by id or URL.",
    no_args_is_help=True,
)

Endpoint = Annotated[str, typer.Argument(help="The endpoint's id or URL.")]
_PATH = "/api/v1/webhooks"
_POLL_S = 0.1


@commands.command("list")
@client_command
def list_(client: Client, owner: OtherOwner = None) -> Reply:
    """List your endpoints."""
    body = client.get(_PATH, **({"owner": owner} if owner else {}))
    if not body["items"]:
        if owner:
            return body, f"{owner} has no endpoints"
        return body, "no endpoints yet; add one: imagemill webhooks create https://app.example/hook"
    fields = ("id", "url", "state", "events", "pauseReason", "description")
    return body, table_of([{name: each[name] or "" for name in fields} for each in body["items"]])


@commands.command()
@client_command
def create(
    client: Client,
    target: Annotated[
        str, typer.Argument(help="The receiver's address: http(s)://host/path.", metavar="URL")
    ],
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            help="An event to send, such as job.started; may be repeated. Default: the end of each job.",
        ),
    ] = None,
    description: Annotated[str, typer.Option("--description", help="A note for yourself.")] = "",
) -> Reply:
    """Add an endpoint and show its signing secret, which is shown only once."""
    fields = {"url": target, "description": description, **({"events": events} if events else {})}
    body = client.post(_PATH, fields)
    return body, [
        f"added {body['id']}; its messages are signed with this secret, which is not shown again:",
        body["secret"],
    ]


@commands.command()
@client_command
def delete(client: Client, endpoint: Endpoint) -> Reply:
    """Delete an endpoint with all its messages."""
    id_ = _resolve_id(client, endpoint)
    client.delete(f"{_PATH}/{id_}")
    return {"deleted": id_}, f"deleted {id_}"


@commands.command()
@client_command
def resume(client: Client, endpoint: Endpoint) -> Reply:
    """Resume a paused endpoint; its pending messages are sent."""
    body = client.post(f"{_PATH}/{_resolve_id(client, endpoint)}/resume")
    return body, f"{body['id']} is {body['state']}"


@commands.command()
@client_command
def messages(
    client: Client,
    endpoint: Endpoint,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only messages whose delivery was given up.")
    ] = False,
    event: Annotated[
        str | None, typer.Option("--event", help="Only messages of this event, such as job.failed.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=500, help="The largest number of messages to show.")
    ] = 50,
) -> Reply:
    """List an endpoint's messages and their deliveries, newest first."""
    query = {
        "limit": limit,
        "failed": "true" if failed else "false",
        **({"event": event} if event else {}),
    }
    body = client.get(f"{_PATH}/{_resolve_id(client, endpoint)}/messages", **query)
    if not body["items"]:
        return body, "there are no such messages"
    return body, table_of([_row(message) for message in body["items"]])


@commands.command()
@client_command
def resend(
    client: Client,
    endpoint: Endpoint,
    message: Annotated[
        str | None, typer.Option("--message", help="Send this message, delivered or not.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", help="Send all messages given up and created since this time: 2026-01-31T00:00:00Z."
        ),
    ] = None,
) -> Reply:
    """Send one message again, or all whose delivery was given up."""
    if (message is None) == (since is None):
        raise CliError("give either --message msg_..., or --since with a time for all that were given up")
    path = f"{_PATH}/{_resolve_id(client, endpoint)}"
    if message is not None:
        body = client.post(f"{path}/messages/{quote_segment(message)}/redeliver")
        return body, f"{message} is sent again"
    body = client.post(f"{path}/redeliver", {"since": since})
    return body, f"{body['messages']} messages are sent again"


@commands.command("test")
@client_command
def send_test(
    client: Client,
    endpoint: Endpoint,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for the receiver's response.")
    ] = 15.0,
) -> Reply:
    """Send a test message and show whether it was delivered."""
    path = f"{_PATH}/{_resolve_id(client, endpoint)}"
    sent = client.post(f"{path}/test")
    body = _wait_for_attempt(client, f"{path}/messages/{sent['id']}", wait_s)
    attempt = body["lastAttempt"]
    if attempt is None:
        return body, f"{body['id']} is not sent yet; see: imagemill webhooks messages {endpoint}"
    if attempt["error"]:
        raise CliError(f"{body['id']} was not delivered: {attempt['error']}", body=body)
    return body, f"{body['id']} was delivered in {attempt['ms']} ms"


def _wait_for_attempt(client: Client, path: str, wait_s: float) -> dict[str, Any]:
    """Return the message after its first delivery attempt, or without one after ``wait_s``."""
    deadline = time.monotonic() + wait_s
    while True:
        message: dict[str, Any] = client.get(path)
        if message["lastAttempt"] is not None or time.monotonic() >= deadline:
            return message
        time.sleep(_POLL_S)


def _resolve_id(client: Client, endpoint: str) -> str:
    """Return the id, quoted for a path, of the endpoint with this id or URL."""
    if "://" not in endpoint:
        return quote_segment(endpoint)
    found = [each["id"] for each in client.get(_PATH)["items"] if each["url"] == endpoint]
    if not found:
        raise CliError(f"none of your endpoints has the URL {endpoint}; see: imagemill webhooks list")
    if len(found) > 1:
        raise CliError(f"{len(found)} endpoints have this URL; name one by its id", details=tuple(found))
    return found[0]


def _row(message: dict[str, Any]) -> dict[str, Any]:
    attempt = message["lastAttempt"] or {"status": None, "error": None}
    return {
        "id": message["id"],
        "type": message["type"],
        "job": message["job"] or "",
        "state": message["state"],
        "attempts": message["tries"],
        "created": message["createdAt"][:19],
        "last": attempt["error"] or attempt["status"] or "",
    }

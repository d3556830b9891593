"""``imagemill webhooks``: who is told of jobs, and what became of each message."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagemill.cli.output import TOKEN, CliError, Json, Printer, Token, Url

if TYPE_CHECKING:
    from imagemill.cli.client import Client

commands = typer.Typer(
    help="Webhooks: list, create, delete, resume, messages, resend, test. An endpoint is named by id or URL.",
    no_args_is_help=True,
)

Endpoint = Annotated[str, typer.Argument(help="Its id, or its URL.")]
_PATH = "/api/v1/webhooks"
_LOOK_S = 0.1


@commands.command("list")
def list_(as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """List your endpoints."""
    from imagemill.cli.client import Client
    from imagemill.cli.keys import table

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.get(_PATH)
        if as_json:
            out.json(body)
        elif not body["items"]:
            out.say("no endpoints yet; add one: imagemill webhooks create https://app.example/hook")
        else:
            shown = ("id", "url", "state", "events", "pauseReason", "description")
            out.say(table([{name: each[name] or "" for name in shown} for each in body["items"]]))


@commands.command()
def create(
    target: Annotated[str, typer.Argument(help="http(s)://host/path of the receiver.", metavar="URL")],
    events: Annotated[
        list[str] | None,
        typer.Option("--event", help="Such as job.started; may be repeated. Default: how each job ended."),
    ] = None,
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Add an endpoint and show its secret, once."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    body = {"url": target, "description": description, **({"events": events} if events else {})}
    with out.reporting(), Client(url, token) as client:
        added = client.post(_PATH, body)
        if as_json:
            out.json(added)
            return
        out.say(f"added {added['id']}; its messages are signed with the secret, which is not shown again:")
        out.say(added["secret"])


@commands.command()
def delete(endpoint: Endpoint, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Delete an endpoint with all its messages."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        id_ = _id(client, endpoint)
        client.delete(f"{_PATH}/{id_}")
        out.json({"deleted": id_}) if as_json else out.say(f"deleted {id_}")


@commands.command()
def resume(endpoint: Endpoint, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Send what was kept back for an endpoint that was paused."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.post(f"{_PATH}/{_id(client, endpoint)}/resume")
        out.json(body) if as_json else out.say(f"{body['id']} is {body['state']}")


@commands.command()
def messages(
    endpoint: Endpoint,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that were given up.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="How many.")] = 50,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Show what was sent and how that went, the newest first."""
    from imagemill.cli.client import Client
    from imagemill.cli.keys import table

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        query = {"limit": limit, "failed": "true" if failed else "false"}
        body = client.get(f"{_PATH}/{_id(client, endpoint)}/messages", **query)
        if as_json:
            out.json(body)
        elif not body["items"]:
            out.say("there are no such messages")
        else:
            out.say(table([_row(message) for message in body["items"]]))


@commands.command()
def resend(
    endpoint: Endpoint,
    message: Annotated[str | None, typer.Option("--message", help="This one, whatever became of it.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="All that were given up, written since: 2026-01-31T00:00:00Z."),
    ] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Send one message again, or all that were given up."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        if (message is None) == (since is None):
            raise CliError("say which: --message msg_..., or --since with a date for all that were given up")
        path = f"{_PATH}/{_id(client, endpoint)}"
        if message is not None:
            body = client.post(f"{path}/messages/{segment(message)}/redeliver")
            said = f"{message} is sent again"
        else:
            body = client.post(f"{path}/redeliver", {"since": since})
            said = f"{body['messages']} messages are sent again"
        out.json(body) if as_json else out.say(said)


@commands.command("test")
def send_test(
    endpoint: Endpoint,
    wait_s: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for the answer.")] = 15.0,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Send a test message and say how that went."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        path = f"{_PATH}/{_id(client, endpoint)}"
        sent = client.post(f"{path}/test")
        found = _tried(client, f"{path}/messages/{sent['id']}", wait_s)
        last = found["lastAttempt"]
        if last is not None and last["error"]:
            raise CliError(f"{found['id']} was not delivered: {last['error']}", body=found)
        if as_json:
            out.json(found)
        elif last is None:
            out.say(f"{found['id']} waits; see: imagemill webhooks messages {endpoint}")
        else:
            out.say(f"{found['id']} was delivered in {last['ms']} ms")


def _tried(client: "Client", path: str, wait_s: float) -> dict[str, Any]:
    """The message once it was tried, or as it is after so long."""
    import time

    end = time.monotonic() + wait_s
    while True:
        found: dict[str, Any] = client.get(path)
        if found["lastAttempt"] is not None or time.monotonic() >= end:
            return found
        time.sleep(_LOOK_S)


def _id(client: "Client", named: str) -> str:
    """Of an endpoint that is named by its id or its URL; in a form that fits into a path."""
    from imagemill.cli.client import segment

    if "://" not in named:
        return segment(named)
    found = [each["id"] for each in client.get(_PATH)["items"] if each["url"] == named]
    if not found:
        raise CliError(f"none of your endpoints has the URL {named}; see: imagemill webhooks list")
    if len(found) > 1:
        raise CliError(f"{len(found)} endpoints have this URL; name one by its id", details=tuple(found))
    return found[0]


def _row(message: dict[str, Any]) -> dict[str, Any]:
    last = message["lastAttempt"] or {"status": None, "error": None}
    return {
        "id": message["id"],
        "type": message["type"],
        "job": message["job"] or "",
        "state": message["state"],
        "tries": message["tries"],
        "at": message["createdAt"][:19],
        "last": last["error"] or last["status"] or "",
    }

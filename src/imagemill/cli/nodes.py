"""``imagemill nodes``: the ComfyUI nodes of a server."""

from typing import Annotated, Any

import typer

from imagemill.cli.client import (
    Client,
    Reply,
    client_command,
    complete_node_name,
    quote_segment,
    read_headers,
    read_secret,
)
from imagemill.cli.output import REFUSED, Printer, make_table, mark_level

commands = typer.Typer(
    help="The ComfyUI nodes of a server: scan, add, list, drain, undrain, remove, doctor.",
    no_args_is_help=True,
)

Name = Annotated[
    str, typer.Argument(help="The node's name.", metavar="NAME", autocompletion=complete_node_name)
]
_SECRET = "env:VARIABLE, file:PATH or - (standard input) keep it out of the shell's history."  # noqa: S105 - help
_DOCTOR_TIMEOUT_S = 180.0
"""An examination renders a small picture, and may wait for each of a dead node's timeouts."""
_STYLES = {"healthy": "green", "draining": "yellow", "troubled": "red"}
_NO_NODES = "no nodes yet; add one: imagemill nodes add NAME http://HOST:8188"


@commands.command()
@client_command
def add(
    client: Client,
    name: Annotated[str, typer.Argument(help="A name of your choice for the node.", metavar="NAME")],
    address: Annotated[
        str, typer.Argument(help="The node's address, such as http://192.168.1.20:8188.", metavar="URL")
    ],
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="A label that jobs may ask for; may be repeated.")
    ] = None,
    slots: Annotated[
        int | None, typer.Option("--slots", min=1, help="Prompts in flight at once. Default: 2.")
    ] = None,
    memory_mb: Annotated[
        int | None,
        typer.Option("--memory-mb", min=1, help="The node's memory in MB. Default: what the node reports."),
    ] = None,
    node_token: Annotated[
        str | None, typer.Option("--node-token", help=f"Bearer token that the node requires. {_SECRET}")
    ] = None,
    headers: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            metavar="NAME=VALUE",
            help=f"A header to send to the node; may be repeated. VALUE: {_SECRET}",
        ),
    ] = None,
    insecure_tls: Annotated[
        bool, typer.Option("--insecure-tls", help="Do not verify the node's certificate.")
    ] = False,
    ca_file: Annotated[
        str | None,
        typer.Option(
            "--ca-file", help="PEM file, on the server, of the authority that signed the certificate."
        ),
    ] = None,
) -> Reply:
    """Add a running ComfyUI server."""
    fields: dict[str, Any] = {
        "name": name,
        "url": address,
        "labels": labels,
        "slots": slots,
        "memoryMb": memory_mb,
        "token": read_secret(node_token, "--node-token") if node_token else None,
        "headers": read_headers(headers or ()),
        "caFile": ca_file,
    }
    given = {key: value for key, value in fields.items() if value}
    body = client.post("/api/v1/nodes", given | ({"verifyTls": False} if insecure_tls else {}))
    name = body["name"]
    return body, [
        f"added {name} at {body['url']}",
        f"check it: imagemill nodes doctor {name}; see its models: imagemill models list --node {name}",
    ]


@commands.command()
@client_command
def scan(client: Client) -> Reply:
    """Look for ComfyUI servers on the server's own machine, at their usual ports."""
    body = client.post("/api/v1/nodes/scan")
    if not body["items"]:
        ports = ", ".join(map(str, body["ports"]))
        return body, f"no ComfyUI answers at the ports {ports}; start one, or name its address: {_NO_NODES}"
    table = make_table("ADDRESS", "VERSION", "DEVICE", "NODE")
    for each in body["items"]:
        table.add_row(each["url"], each["version"], each["device"], each["node"] or "not added")
    fresh = [each["url"] for each in body["items"] if each["node"] is None]
    return body, [table, *(f"add it: imagemill nodes add NAME {url}" for url in fresh)]


@commands.command("list")
@client_command
def list_(client: Client) -> Reply:
    """List the nodes and their state."""
    body = client.get("/api/v1/nodes")
    return body, _table(body["items"]) if body["items"] else _NO_NODES


@commands.command()
@client_command
def drain(client: Client, name: Name) -> Reply:
    """Send no more jobs to a node; it finishes those it has."""
    body = client.post(f"/api/v1/nodes/{quote_segment(name)}/drain")
    running = (body["seen"] or {}).get("running", 0)
    unfinished = f"; it finishes {running} in flight" if running else ""
    return body, f"{name} gets no more jobs{unfinished}"


@commands.command()
@client_command
def undrain(client: Client, name: Name) -> Reply:
    """Send jobs to a drained node again."""
    body = client.delete(f"/api/v1/nodes/{quote_segment(name)}/drain")
    return body, f"{name} gets jobs again"


@commands.command()
@client_command
def remove(client: Client, name: Name) -> Reply:
    """Remove a node; the results of its running jobs are still collected."""
    client.delete(f"/api/v1/nodes/{quote_segment(name)}")
    return {"removed": name}, f"removed {name}"


@commands.command()
@client_command
def doctor(
    client: Client,
    out: Printer,
    name: Annotated[
        str | None,
        typer.Argument(
            help="The node's name. Default: all nodes.", metavar="NAME", autocompletion=complete_node_name
        ),
    ] = None,
) -> None:
    """Examine a node: address, version, models, WebSocket, a test render. Exit status 1 for an error."""
    names = [name] if name else [node["name"] for node in client.get("/api/v1/nodes")["items"]]
    reports: list[dict[str, Any]] = []
    for each in names:
        path = f"/api/v1/nodes/{quote_segment(each)}/doctor"
        reports.append(client.call("POST", path, timeout=_DOCTOR_TIMEOUT_S))
        if not out.as_json:
            _print_report(out, reports[-1])
    if out.as_json:
        out.json({"items": reports})
    elif not names:
        out.say(_NO_NODES)
    raise typer.Exit(0 if all(report["ok"] for report in reports) else REFUSED)


def _print_report(out: Printer, report: dict[str, Any]) -> None:
    from rich.text import Text

    out.say(Text.assemble(("node ", "dim"), (report["name"], "bold")))
    for finding in report["findings"]:
        subject = f"{finding['level']:<9}{finding['subject']:<12}"
        out.say(Text.assemble("  ", mark_level(finding["level"]), subject, finding["message"]))


def _table(nodes: list[dict[str, Any]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("NODE", "STATE", "VERSION"):
        table.add_column(column, no_wrap=True)
    for column in ("FREE", "MODELS", "IN FLIGHT"):
        table.add_column(column, no_wrap=True, justify="right")
    for column in ("LOADED", "LABELS", "ADDRESS", "PROBLEM"):
        table.add_column(column, overflow="fold")
    for node in nodes:
        seen = node["seen"] or {}
        table.add_row(
            node["name"],
            Text(_state(node), style=_STYLES.get(node["state"], "")),
            seen.get("version", ""),
            _format_memory(seen),
            str(seen.get("checkpoints", "")),
            f"{seen['running']}/{node['slots']}" if seen else f"-/{node['slots']}",
            ", ".join(seen.get("resident", ())),
            ", ".join(node["labels"]),
            node["url"],
            node["trouble"],
        )
    return table


def _state(node: dict[str, Any]) -> str:
    """Return the state; a drained node with a problem has both."""
    is_both = node["draining"] and node["state"] != "draining"
    return f"{node['state']}, draining" if is_both else node["state"]


def _format_memory(seen: dict[str, Any]) -> str:
    """Return the free and the total memory: ``10.0 of 24.0 GB``."""
    free, total = seen.get("memoryFreeMb"), seen.get("memoryMb")
    if free is None:
        return ""
    return f"{free / 1024:.1f} of {total / 1024:.1f} GB" if total else f"{free / 1024:.1f} GB"

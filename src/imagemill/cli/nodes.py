"""``imagemill nodes``: the ComfyUI nodes of a server."""

from typing import Annotated, Any

import typer

from imagemill.cli.completion import node_names
from imagemill.cli.output import REFUSED, TOKEN, Json, Printer, Token, Url

commands = typer.Typer(
    help="The ComfyUI nodes of a server: add, list, drain, undrain, remove, doctor.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The node's name.", metavar="NAME", autocompletion=node_names)]
_SECRET = "env:VARIABLE, file:PATH or - (standard input) keep it out of the shell's history."  # noqa: S105 - help
_DOCTOR_S = 180.0
"""An examination renders a small picture, and may wait for each of a dead node's timeouts."""
_STYLES = {"healthy": "green", "draining": "yellow", "troubled": "red"}
_MARKS = {"ok": ("✓ ", "green"), "warning": ("! ", "yellow"), "error": ("✗ ", "bold red")}


@commands.command()
def add(
    name: Annotated[str, typer.Argument(help="A name of your own for it.", metavar="NAME")],
    address: Annotated[
        str, typer.Argument(help="Its address, such as http://192.168.1.20:8188.", metavar="URL")
    ],
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="What jobs may ask for; may be repeated.")
    ] = None,
    slots: Annotated[
        int | None, typer.Option("--slots", min=1, help="Prompts in flight at once; default: 2.")
    ] = None,
    memory_mb: Annotated[
        int | None, typer.Option("--memory-mb", min=1, help="Its memory, when not what it says itself.")
    ] = None,
    node_token: Annotated[
        str | None, typer.Option("--node-token", help=f"Bearer token the node wants. {_SECRET}")
    ] = None,
    headers: Annotated[
        list[str] | None,
        typer.Option(
            "--header", metavar="NAME=VALUE", help=f"Sent to the node; may be repeated. VALUE: {_SECRET}"
        ),
    ] = None,
    insecure_tls: Annotated[
        bool, typer.Option("--insecure-tls", help="Take any certificate for the node's.")
    ] = False,
    ca_file: Annotated[
        str | None, typer.Option("--ca-file", help="PEM file, on the server, of who signed the certificate.")
    ] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Add a ComfyUI server that is running somewhere."""
    from imagemill.cli.client import Client, secret, secrets_of

    out = Printer(as_json)
    with out.reporting():
        fields: dict[str, Any] = {
            "name": name,
            "url": address,
            "labels": labels,
            "slots": slots,
            "memoryMb": memory_mb,
            "token": secret(node_token, "--node-token") if node_token else None,
            "headers": secrets_of(headers or ()),
            "caFile": ca_file,
        }
        given = {key: value for key, value in fields.items() if value}
        with Client(url, token) as client:
            body = client.post("/api/v1/nodes", given | ({"verifyTls": False} if insecure_tls else {}))
        if as_json:
            out.json(body)
        else:
            out.say(
                f"added {body['name']} at {body['url']}; look at it: imagemill nodes doctor {body['name']}"
            )


@commands.command("list")
def list_(as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """List the nodes, and how they are."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.get("/api/v1/nodes")
        if as_json:
            out.json(body)
        elif not body["items"]:
            out.say("no nodes yet; add one: imagemill nodes add NAME http://HOST:8188")
        else:
            out.say(_table(body["items"]))


@commands.command()
def drain(name: Name, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Give a node no more jobs; what it has, it finishes."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.post(f"/api/v1/nodes/{segment(name)}/drain")
        if as_json:
            out.json(body)
        else:
            running = (body["seen"] or {}).get("running", 0)
            left = f"; it finishes {running} in flight" if running else ""
            out.say(f"{name} gets no more jobs{left}")


@commands.command()
def undrain(name: Name, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Give a drained node jobs again."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.delete(f"/api/v1/nodes/{segment(name)}/drain")
        if as_json:
            out.json(body)
        else:
            out.say(f"{name} gets jobs again")


@commands.command()
def remove(name: Name, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Forget a node; what it renders now is still taken."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        client.delete(f"/api/v1/nodes/{segment(name)}")
        if as_json:
            out.json({"removed": name})
        else:
            out.say(f"removed {name}")


@commands.command()
def doctor(
    name: Annotated[
        str | None,
        typer.Argument(help="The node's name; without one, all.", metavar="NAME", autocompletion=node_names),
    ] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Examine a node: address, version, models, socket, a small render. Exit status 1 for an error."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        names = [name] if name else [node["name"] for node in client.get("/api/v1/nodes")["items"]]
        reports: list[dict[str, Any]] = []
        for each in names:
            path = f"/api/v1/nodes/{segment(each)}/doctor"
            reports.append(client.call("POST", path, timeout=_DOCTOR_S))
            if not as_json:
                _show_findings(out, reports[-1])
        if as_json:
            out.json({"items": reports})
        elif not names:
            out.say("no nodes yet; add one: imagemill nodes add NAME http://HOST:8188")
    raise typer.Exit(0 if all(report["ok"] for report in reports) else REFUSED)


def _show_findings(out: Printer, report: dict[str, Any]) -> None:
    from rich.text import Text

    out.say(Text.assemble(("node ", "dim"), (report["name"], "bold")))
    for finding in report["findings"]:
        mark = _MARKS[finding["level"]]
        out.say(
            Text.assemble("  ", mark, f"{finding['level']:<9}{finding['subject']:<12}", finding["message"])
        )


def _table(nodes: list[dict[str, Any]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("NODE", "STATE", "VERSION"):
        table.add_column(column, no_wrap=True)
    for column in ("FREE", "MODELS", "IN FLIGHT"):
        table.add_column(column, no_wrap=True, justify="right")
    for column in ("LOADED", "LABELS", "ADDRESS", "TROUBLE"):
        table.add_column(column, overflow="fold")
    for node in nodes:
        seen = node["seen"] or {}
        table.add_row(
            node["name"],
            Text(_state(node), style=_STYLES.get(node["state"], "")),
            seen.get("version", ""),
            _memory(seen),
            str(seen.get("checkpoints", "")),
            f"{seen['running']}/{node['slots']}" if seen else f"-/{node['slots']}",
            ", ".join(seen.get("resident", ())),
            ", ".join(node["labels"]),
            node["url"],
            node["trouble"],
        )
    return table


def _state(node: dict[str, Any]) -> str:
    """A drained node that is troubled, too, is both."""
    is_both = node["draining"] and node["state"] != "draining"
    return f"{node['state']}, draining" if is_both else node["state"]


def _memory(seen: dict[str, Any]) -> str:
    """Free of all, in GB."""
    free, whole = seen.get("memoryFreeMb"), seen.get("memoryMb")
    if free is None:
        return ""
    return f"{free / 1024:.1f} of {whole / 1024:.1f} GB" if whole else f"{free / 1024:.1f} GB"

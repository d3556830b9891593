"""``imagemill workflows``: graphs of a server as recipes of their own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from imagemill.cli.completion import workflow_names
from imagemill.cli.output import TOKEN, Json, Printer, Token, Url

commands = typer.Typer(
    help="Graphs as recipes of your own: add, list, show, edit, versions, remove, run.", no_args_is_help=True
)

Name = Annotated[
    str, typer.Argument(help="The workflow's name.", metavar="NAME", autocompletion=workflow_names)
]
Manifest = Annotated[
    Path | None, typer.Option("--manifest", help="TOML file with the inputs, as `show` prints it.")
]
Shared = Annotated[bool, typer.Option("--shared", help="Everybody's instead of your own; operators only.")]
Version = Annotated[int | None, typer.Option("--version", min=0, help="Default: the newest.")]


@commands.command()
def add(
    name: Annotated[str, typer.Argument(help="A name of your own for it.", metavar="NAME")],
    graph: Annotated[
        Path | None,
        typer.Argument(
            help="What ComfyUI's Export (API) saves; may be absent with --manifest.", metavar="GRAPH"
        ),
    ] = None,
    manifest: Manifest = None,
    shared: Shared = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Add a graph as a recipe: its prompts, seed, size, pictures and models become typed inputs."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting():
        fields = _fields(graph, manifest, "name GRAPH, --manifest or both")
        with Client(url, token) as client:
            body = client.post(f"/api/v1/workflows{_query(shared)}", {"name": name, **fields})
        if as_json:
            out.json(body)
        else:
            out.say(f"added {body['name']}, version {body['version']}, with these inputs:\n")
            _show_inputs(out, body)
            out.say(f"\nrun it: imagemill workflows run {body['name']} {_example(body)}")


@commands.command("list")
def list_(as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """List the workflows and what they take."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.get("/api/v1/workflows")
        if as_json:
            out.json(body)
        elif not body["items"]:
            out.say("no workflows yet; add one: imagemill workflows add NAME graph.json")
        else:
            out.say(_table(body["items"]))


@commands.command()
def show(
    name: Name, version: Version = None, as_json: Json = False, url: Url = None, token: Token = TOKEN
) -> None:
    """Print a workflow's manifest, for a file that `edit` takes."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        query = {} if version is None else {"version": version}
        body = client.get(f"/api/v1/workflows/{segment(name)}", **query)
        if as_json:
            out.json(body)
        else:
            typer.echo(body["manifest"], nl=False)  # as it is: folded lines would be another text


@commands.command()
def versions(name: Name, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """List the versions of a workflow, the newest first."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.get(f"/api/v1/workflows/{segment(name)}/versions")
        if as_json:
            out.json(body)
        else:
            out.say(_table(body["items"]))


@commands.command()
def edit(
    name: Name,
    manifest: Manifest = None,
    graph: Annotated[
        Path | None, typer.Option("--graph", help="A new graph; what was written about its inputs stays.")
    ] = None,
    shared: Shared = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Change a workflow's manifest or graph. The former version stays."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting():
        fields = _fields(graph, manifest, "name --manifest, --graph or both")
        with Client(url, token) as client:
            path = f"/api/v1/workflows/{segment(name)}"
            before = client.get(path)["version"]
            body = client.call("PUT", path + _query(shared), json=fields)
        if as_json:
            out.json(body)
        elif body["version"] == before:
            out.say(f"{name} is like that already; it stays at version {before}")
        else:
            out.say(f"{name} is version {body['version']} now")


@commands.command()
def remove(
    name: Name, shared: Shared = False, as_json: Json = False, url: Url = None, token: Token = TOKEN
) -> None:
    """Remove a workflow; jobs that ran it keep what they have."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        client.delete(f"/api/v1/workflows/{segment(name)}{_query(shared)}")
        if as_json:
            out.json({"removed": name})
        else:
            out.say(f"removed {name}")


@commands.command()
def run(
    name: Name,
    values: Annotated[
        list[str] | None,
        typer.Argument(help="Values for its inputs: prompt='a boat' steps=20", metavar="KEY=VALUE"),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="INPUT=FILE", help="A picture for an input; may be repeated."),
    ] = None,
    version: Version = None,
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="A label the node must carry; may be repeated.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job until it ends.")] = False,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Follow it and save its files there.")
    ] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Run a workflow. With --wait or --save the exit status is 0 when it succeeded, else 1."""
    from imagemill.cli.client import Client, segment
    from imagemill.cli.workflow_run import body_of, finish

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        path = f"/api/v1/workflows/{segment(name)}"
        query: dict[str, Any] = {} if version is None else {"version": version}
        inputs = client.get(path, **query)["inputs"]
        body = body_of(inputs, values or (), images or ())
        job = client.post(path, body, **query, **({"label": labels} if labels else {}))
        if not wait and save is None:
            if as_json:
                out.json(job)
            else:
                out.say(f"job {job['id']} is {job['status']}; follow it: imagemill jobs watch {job['id']}")
            return
        status = finish(out, client, job["id"], save)
    raise typer.Exit(status)


def _fields(graph: Path | None, manifest: Path | None, remedy: str) -> dict[str, Any]:
    import json

    from imagemill.cli.output import UNUSABLE, CliError
    from imagemill.cli.workflow_run import text_of

    fields: dict[str, Any] = {}
    if graph is not None:
        try:
            fields["graph"] = json.loads(text_of(graph))
        except (ValueError, RecursionError) as error:
            raise CliError(f"{graph} is not JSON: {error}", UNUSABLE) from error
        if not isinstance(fields["graph"], dict):
            raise CliError(f"{graph} holds no graph; one is an object of nodes by their ids", UNUSABLE)
    if manifest is not None:
        fields["manifest"] = text_of(manifest)
    if not fields:
        raise CliError(f"nothing is given; {remedy}", UNUSABLE)
    return fields


def _query(shared: bool) -> str:
    return "?shared=true" if shared else ""


def _show_inputs(out: Printer, body: dict[str, Any]) -> None:
    from rich.table import Table

    if not body["inputs"]:
        out.say("none; write some into its manifest, which `imagemill workflows show` prints")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("INPUT", "TYPE", "DEFAULT", "RANGE"):
        table.add_column(column, overflow="fold")
    for one in body["inputs"]:
        table.add_row(one["name"], one["type"], _default(one), _range(one))
    out.say(table)


def _default(one: dict[str, Any]) -> str:
    if one["required"]:
        return "(required)"
    text = str(one.get("default", ""))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _range(one: dict[str, Any]) -> str:
    if choices := one.get("choices"):
        return ", ".join(choices[:4]) + (f", ... ({len(choices)})" if len(choices) > 4 else "")
    low, high = one.get("minimum"), one.get("maximum")
    if low is None and high is None:
        return ""
    return f"{'' if low is None else low} .. {'' if high is None else high}"


def _example(body: dict[str, Any]) -> str:
    """The first prompt, and what a run cannot do without."""
    prompts = [one for one in body["inputs"] if one["type"] == "text"][:1]
    needed = [one for one in body["inputs"] if one["required"] and one not in prompts]
    parts = [f"{one['name']}='...'" for one in prompts] + [
        f"--image {one['name']}=FILE" if one["type"] in ("image", "mask") else f"{one['name']}=..."
        for one in needed
    ]
    return " ".join([*parts, "--wait"])


def _table(items: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("WORKFLOW", "VERSION", "SOURCE", "TITLE", "INPUTS"):
        table.add_column(column, overflow="fold")
    for item in items:
        version = "" if item["source"] == "built-in" else str(item["version"])
        gone = " (removed)" if item["deletedAt"] else ""
        inputs = ", ".join(one["name"] for one in item["inputs"])
        table.add_row(item["name"], version + gone, item["source"], item["title"], inputs)
    return table

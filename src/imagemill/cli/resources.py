"""``imagemill resources``: the model registry of a server."""

from typing import Annotated, Any

import typer

from imagemill.cli.output import TOKEN, Json, Printer, Token, Url

commands = typer.Typer(help="The models a server knows: add, list, show, remove.", no_args_is_help=True)

AirArgument = Annotated[
    str, typer.Argument(help="Such as urn:air:sdxl:checkpoint:civitai:101055@128078.", metavar="AIR")
]


@commands.command()
def add(
    air: AirArgument,
    name: Annotated[str | None, typer.Option("--name", help="The model's name.")] = None,
    version: Annotated[str | None, typer.Option("--version-name", help="The version's name.")] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", help="Its file below the node's model folder, when not the AIR's own."),
    ] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")] = None,
    words: Annotated[
        list[str] | None, typer.Option("--word", help="A trained word; may be repeated.")
    ] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """Register a model, so that jobs may use it."""
    from imagemill.cli.client import Client

    fields = {
        "air": air,
        "modelName": name,
        "versionName": version,
        "fileName": file,
        "tags": tags,
        "trainedWords": words,
    }
    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.post("/v2/resources", {key: value for key, value in fields.items() if value})
        if as_json:
            out.json(body)
        else:
            out.say(f"registered {body['air']}, expected on a node as {body['path']}")


@commands.command("list")
def list_(
    query: Annotated[str | None, typer.Argument(help="Found in AIR, names and tags.")] = None,
    page: Annotated[int, typer.Option(min=1, help="Which page.")] = 1,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many a page.")] = 20,
    as_json: Json = False,
    url: Url = None,
    token: Token = TOKEN,
) -> None:
    """List models, or search them."""
    from imagemill.cli.client import Client

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.get("/v2/resources", page=page, limit=limit, **({"q": query} if query else {}))
        if as_json:
            out.json(body)
        elif not body["items"]:
            out.say(
                "no model is found" if query else "no model is registered; see imagemill resources add --help"
            )
        else:
            out.say(_table(body["items"]))
            if body["total"] > page * limit:
                out.say(f"\n{body['total']} in all; more: --page {page + 1}")


@commands.command()
def show(air: AirArgument, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Show one model."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        body = client.get(f"/v2/resources/{segment(air)}")
        if as_json:
            out.json(body)
            return
        for name, value in body.items():
            if value not in (None, [], {}, ""):
                out.say(f"{name:<30}{', '.join(map(str, value)) if isinstance(value, list) else value}")


@commands.command()
def remove(air: AirArgument, as_json: Json = False, url: Url = None, token: Token = TOKEN) -> None:
    """Take a model out of the registry; its files stay where they are."""
    from imagemill.cli.client import Client, segment

    out = Printer(as_json)
    with out.reporting(), Client(url, token) as client:
        client.delete(f"/v2/resources/{segment(air)}")
        if as_json:
            out.json({"removed": air})
        else:
            out.say(f"removed {air}")


def _table(resources: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("AIR", overflow="fold")
    for name in ("TYPE", "NAME", "VERSION", "TAGS"):
        table.add_column(name, overflow="fold")
    for resource in resources:
        table.add_row(
            resource["air"],
            resource["type"],
            resource["modelName"] or "",
            resource["versionName"] or "",
            ", ".join(resource["tags"]),
        )
    return table

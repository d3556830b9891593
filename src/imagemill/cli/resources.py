"""``imagemill resources``: the model registry of a server."""

from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.output import make_table

commands = typer.Typer(
    help="The checkpoints, LoRAs and other models a server knows: add, list, show, remove.",
    no_args_is_help=True,
)

AirArgument = Annotated[
    str,
    typer.Argument(help="The model's AIR: urn:air:sdxl:checkpoint:civitai:101055@128078.", metavar="AIR"),
]


@commands.command()
@client_command
def add(
    client: Client,
    air: AirArgument,
    name: Annotated[str | None, typer.Option("--name", help="The model's name.")] = None,
    version: Annotated[str | None, typer.Option("--version-name", help="The version's name.")] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", help="The model's file below a node's model folder. Default: a path made from the AIR."
        ),
    ] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")] = None,
    words: Annotated[
        list[str] | None, typer.Option("--word", help="A trigger word of the model; may be repeated.")
    ] = None,
) -> Reply:
    """Register a model, so that jobs may use it."""
    fields = {
        "air": air,
        "modelName": name,
        "versionName": version,
        "fileName": file,
        "tags": tags,
        "trainedWords": words,
    }
    body = client.post("/v2/resources", {key: value for key, value in fields.items() if value})
    return body, f"registered {body['air']}, expected on a node as {body['path']}"


@commands.command("list")
@client_command
def list_(
    client: Client,
    query: Annotated[str | None, typer.Argument(help="A text to find in AIRs, names and tags.")] = None,
    page: Annotated[int, typer.Option(min=1, help="The page to show, from 1.")] = 1,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=100, help="The number of models on a page.")
    ] = 20,
) -> Reply:
    """List models, or search them."""
    body = client.get("/v2/resources", page=page, limit=limit, **({"q": query} if query else {}))
    if not body["items"]:
        empty = "no model is found" if query else "no model is registered; see imagemill resources add --help"
        return body, empty
    has_more = body["total"] > page * limit
    more = [f"\n{body['total']} in all; more: --page {page + 1}"] if has_more else []
    return body, [_table(body["items"]), *more]


@commands.command()
@client_command
def show(client: Client, air: AirArgument) -> Reply:
    """Show one model."""
    body = client.get(f"/v2/resources/{quote_segment(air)}")
    return body, [
        f"{name:<30}{', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in body.items()
        if value not in (None, [], {}, "")
    ]


@commands.command()
@client_command
def remove(client: Client, air: AirArgument) -> Reply:
    """Remove a model from the registry; its files on the nodes stay."""
    client.delete(f"/v2/resources/{quote_segment(air)}")
    return {"removed": air}, f"removed {air}"


def _table(resources: list[dict[str, Any]]) -> Any:
    table = make_table("AIR", "TYPE", "NAME", "VERSION", "TAGS")
    for resource in resources:
        table.add_row(
            resource["air"],
            resource["type"],
            resource["modelName"] or "",
            resource["versionName"] or "",
            ", ".join(resource["tags"]),
        )
    return table

"""``imagemill resources``: the model registry of a server."""

from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.output import UNUSABLE, CliError, make_table

commands = typer.Typer(
    help="The model registry: add, list, show, set, remove. For the files of nodes: imagemill models.",
    no_args_is_help=True,
)

AirArgument = Annotated[
    str,
    typer.Argument(
        help="The model's AIR: urn:air:sdxl:checkpoint:civitai:101055@128078; or the name of its file.",
        metavar="AIR",
    ),
]
ModelName = Annotated[str | None, typer.Option("--name", help="The model's name.")]
VersionName = Annotated[str | None, typer.Option("--version-name", help="The version's name.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be repeated.")]
Words = Annotated[
    list[str] | None, typer.Option("--word", help="A trigger word of the model; may be repeated.")
]
ModelFile = Annotated[
    str | None,
    typer.Option(
        "--file", help="The model's file below a node's model folder. Default: a path made from the AIR."
    ),
]


@commands.command()
@client_command
def add(
    client: Client,
    air: AirArgument,
    name: ModelName = None,
    version: VersionName = None,
    file: ModelFile = None,
    tags: Tags = None,
    words: Words = None,
) -> Reply:
    """Register a model, so that jobs may use it. Files of a node: imagemill models import."""
    fields = {"air": air, **_fields(name, version, file, tags, words)}
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


@commands.command("set")
@client_command
def set_(
    client: Client,
    air: AirArgument,
    name: ModelName = None,
    version: VersionName = None,
    file: ModelFile = None,
    tags: Tags = None,
    words: Words = None,
) -> Reply:
    """Change a registered model; an empty value puts a field back to its default.

    The tag `default` makes a checkpoint the one for jobs that name none.
    """
    given = {
        key: value for key, value in _fields(name, version, file, tags, words).items() if value is not None
    }
    if not given:
        raise CliError(
            "give what to change, such as --file NAME; see imagemill resources set --help", UNUSABLE
        )
    changes = {key: _emptied(value) for key, value in given.items()}
    body = client.call("PATCH", f"/v2/resources/{quote_segment(air)}", json=changes)
    return body, f"changed {body['air']}, expected on a node as {body['path']}"


@commands.command()
@client_command
def remove(client: Client, air: AirArgument) -> Reply:
    """Remove a model from the registry; its files on the nodes stay."""
    client.delete(f"/v2/resources/{quote_segment(air)}")
    return {"removed": air}, f"removed {air}"


def _fields(
    name: str | None,
    version: str | None,
    file: str | None,
    tags: list[str] | None,
    words: list[str] | None,
) -> dict[str, Any]:
    return {
        "modelName": name,
        "versionName": version,
        "fileName": file,
        "tags": tags,
        "trainedWords": words,
    }


def _emptied(value: str | list[str]) -> str | list[str] | None:
    """Return None for an empty text, and for a list of nothing but empty texts."""
    return value if any(value) else None


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

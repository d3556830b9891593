"""``imagemill pauses``: keep jobs from starting."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.output import CliError, make_table

commands = typer.Typer(
    help="Pauses of everything, of owners, recipes and nodes: list, add, remove.", no_args_is_help=True
)


@commands.command("list")
@client_command
def list_(client: Client) -> Reply:
    """List what is paused, the oldest first."""
    body = client.get("/api/v1/pauses")
    return body, _table(body["items"]) if body["items"] else "nothing is paused"


@commands.command()
@client_command
def add(
    client: Client,
    scope: Annotated[str, typer.Argument(help="all, owner, recipe or node.", metavar="SCOPE")],
    name: Annotated[str, typer.Argument(help="The owner, recipe or node.", show_default=False)] = "",
    reason: Annotated[str, typer.Option(help="Shown beside the jobs that wait.")] = "",
) -> Reply:
    """Pause jobs; running ones go on. For operators."""
    body = client.post("/api/v1/pauses", {"scope": scope, "name": name, "reason": reason})
    return body, f"{_what(body)} is paused; continue with: imagemill pauses remove {_argument(body)}"


@commands.command()
@client_command
def remove(
    client: Client,
    pause: Annotated[
        str, typer.Argument(help="all, the name of what is paused, or the pause's id.", metavar="PAUSE")
    ],
) -> Reply:
    """Remove a pause; its jobs continue. For operators."""
    items = client.get("/api/v1/pauses")["items"]
    found = [each for each in items if pause in (each["id"], _argument(each))]
    if len(found) > 1:
        ids = tuple(f"{each['scope']} {each['name']}: {each['id']}" for each in found)
        raise CliError(f"{len(found)} pauses have the name {pause}; give the id", details=ids)
    id_ = found[0]["id"] if found else pause
    body = client.delete(f"/api/v1/pauses/{quote_segment(id_)}")
    return body, f"{_what(body)} is no longer paused"


def _argument(pause: Mapping[str, Any]) -> str:
    return pause["name"] or pause["scope"]


def _what(pause: Mapping[str, Any]) -> str:
    return f"the {pause['scope']} {pause['name']}" if pause["name"] else "everything"


def _table(pauses: Sequence[Mapping[str, Any]]) -> Any:
    table = make_table("SCOPE", "NAME", "BY", "SINCE", "REASON", "ID")
    for each in pauses:
        table.add_row(each["scope"], each["name"], each["by"], each["since"], each["reason"], each["id"])
    return table

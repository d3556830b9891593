"""``imagemill models``: the checkpoints, LoRAs and other model files that the nodes have."""

from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, complete_node_name
from imagemill.cli.output import make_table

commands = typer.Typer(
    help="The checkpoints, LoRAs and other model files that jobs can name: list, import, default.",
    no_args_is_help=True,
)

Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only this type: checkpoint, lora, vae, controlnet or upscaler."),
]


_MOST_NOTES = 5
"""Models that cannot be used and are explained."""


@commands.command("list")
@client_command
def list_(
    client: Client,
    query: Annotated[str | None, typer.Argument(help="A part of a name or an AIR, in any case.")] = None,
    type_: Annotated[
        str | None,
        typer.Option("--type", help="Only this type: checkpoint, lora, vae, controlnet or upscaler."),
    ] = None,
    node: Annotated[
        str | None, typer.Option(help="Only files of this node.", autocompletion=complete_node_name)
    ] = None,
) -> Reply:
    """List the models: the files of the nodes, and registered models that no node has."""
    given = {"q": query, "type": type_, "node": node}
    body = client.get("/api/v1/models", **{name: value for name, value in given.items() if value})
    if not body["items"]:
        narrowed = any(given.values())
        return body, "no such models" if narrowed else "no models; add a node: imagemill nodes add NAME URL"
    return body, [_table(body), *_notes(body["items"])]


@commands.command("import")
@client_command
def import_(
    client: Client,
    node: Annotated[
        str,
        typer.Argument(
            help="The node whose files are registered.", metavar="NODE", autocompletion=complete_node_name
        ),
    ],
    files: Annotated[
        list[str] | None, typer.Argument(help="Only these files. Default: all.", metavar="[FILE]...")
    ] = None,
    types: Types = None,
    family: Annotated[
        str | None, typer.Option(help="The family of all these files, such as sdxl, in place of a guess.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be registered.")] = False,
) -> Reply:
    """Register a node's model files, so that they have names, tags and a family of their own."""
    order = {"node": node, "types": types, "names": files, "family": family, "dryRun": dry_run}
    body = client.post("/api/v1/models/import", {name: value for name, value in order.items() if value})
    table = make_table("FILE", "FAMILY", "STATE", "AIR")
    for item in body["items"]:
        table.add_row(item["name"], _family(item), item["state"], item["air"])
    counts = {state: sum(each["state"] == state for each in body["items"]) for state in ("added", "linked")}
    done = f"{counts['added']} added, {counts['linked']} linked to a model that was registered"
    parts: list[Any] = [table, f"\n{done}{'; nothing was written' if dry_run else ''}"]
    if any(
        item["state"] == "added" and item["familySource"] in ("size", "unknown") for item in body["items"]
    ):
        parts.append(
            "a family that is unknown, or a guess (?), cannot be relied on; state it: "
            "imagemill models import NODE FILE --family sdxl"
        )
    return body, parts


@commands.command()
@client_command
def default(
    client: Client,
    air: Annotated[
        str,
        typer.Argument(help="The AIR of a registered checkpoint, or the name of its file.", metavar="AIR"),
    ],
) -> Reply:
    """Choose the checkpoint of its family for jobs that name none."""
    body = client.put("/api/v1/models/default", {"air": air})
    return body, f"{body['air']} is the default of {body['family']}"


def _table(body: dict[str, Any]) -> Any:
    table = make_table("MODEL", "TYPE", "FAMILY", "SIZE", "NODES", "REGISTERED AS")
    for item in body["items"]:
        is_default = item["air"] == body["default"]
        table.add_row(
            f"{item['name']} (default)" if is_default else item["name"],
            item["type"],
            _family(item),
            f"{item['size'] / 1e9:.1f} GB" if item["size"] else "",
            ", ".join(item["nodes"]) or "none",
            item["air"] if item["registered"] else "",
        )
    return table


def _family(item: dict[str, Any]) -> str:
    if item["familySource"] == "unknown":
        return "unknown" if item.get("type", "checkpoint") == "checkpoint" else ""
    named = " ".join(filter(None, (item["family"], item.get("variant"))))
    return f"{named}?" if item["familySource"] == "size" else named


def _notes(items: list[dict[str, Any]]) -> list[str]:
    """Return hints on the list, as lines."""
    notes: list[str] = []
    if any(item["nodes"] and not item["registered"] for item in items):
        node = next(item["nodes"][0] for item in items if item["nodes"] and not item["registered"])
        notes.append(f"jobs can name each file as it is; register them: imagemill models import {node}")
    lacking = [item for item in items if item["missing"]]
    notes += [
        f"{item['name']} cannot be used yet: missing {', '.join(item['missing'])}"
        for item in lacking[:_MOST_NOTES]
    ]
    if len(lacking) > _MOST_NOTES:
        notes.append(f"and {len(lacking) - _MOST_NOTES} more: imagemill models list --json")
    if all(not item["nodes"] for item in items):
        notes.append("no node has these; without nodes the simulator draws for any of them")
    return ["", *notes] if notes else []

"""``imagemill jobs forecast``, ``jobs placement`` and ``nodes models``: when and where jobs will run."""

from datetime import datetime
from typing import Annotated, Any

import typer

from imagemill.cli.client import Client, Reply, client_command, quote_segment
from imagemill.cli.jobs import AllOwners, JobId, OwnerName, choose_owner, whole_id
from imagemill.cli.output import make_table

_MARKS = {"loaded": "loaded", "loading": "loading", "installed": "yes", "missing": "-", "unknown": "?"}


@client_command
def forecast(
    client: Client,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="As if this node were drained; may be repeated.")
    ] = None,
    owner: OwnerName = None,
    every_owner: AllOwners = False,
) -> Reply:
    """Estimate when waiting jobs will start, and on which node."""
    query: dict[str, Any] = choose_owner(owner, every_owner)
    body = client.get("/api/v1/forecast", **query, **({"without": without} if without else {}))
    if not body["items"]:
        return body, "no job waits"
    table = make_table("JOB", "STARTS", "ENDS", "NODE", "LOADS", "OWNER")
    for item in body["items"]:
        node = item["node"] or item["reason"]
        loads = "loads its model" if item["loads"] else ""
        table.add_row(
            item["id"], _clock(item["startsAt"]), _clock(item["endsAt"]), node, loads, item["owner"]
        )
    done = f"\nall are done at {_clock(body['doneAt'])}" if body["doneAt"] else ""
    return body, [table, done if body["complete"] else f"{done}; more jobs wait than are forecast"]


@client_command
def placement(client: Client, job: JobId, owner: OwnerName = None, every_owner: AllOwners = False) -> Reply:
    """Show why a node took a job, or how each node weighs a waiting one."""
    whose = choose_owner(owner, every_owner)
    body = client.get(f"/api/v1/jobs/{quote_segment(whole_id(client, job, whose))}/placement", **whose)
    lines = [f"attempt {each['attempt']}: {each['node']}: {each['reason']}" for each in body["claims"]]
    if not body["nodes"]:
        return body, lines or [f"the job is {body['status']}; no node has taken it"]
    table = make_table("NODE", "TAKES IT NOW", "SCORE", "MODEL", "WHY")
    for each in body["nodes"]:
        model = "loaded" if each["loaded"] else f"loads in {each['loadS']:g} s"
        score = "-" if each["score"] is None else f"{each['score']:.2f}"
        takes = "yes" if each["takes"] else "no"
        table.add_row(each["node"], takes, score, model if each["fits"] else "", each["reason"])
    return body, [*lines, table]


@client_command
def node_models(
    client: Client,
    type_: Annotated[str, typer.Option("--type", help="Only models of this type.")] = "checkpoint",
    query: Annotated[str, typer.Option("--search", "-q", help="A part of a name or an AIR.")] = "",
) -> Reply:
    """Show which node has and has loaded which model."""
    body = client.get("/api/v1/residency", type=type_, **({"q": query} if query else {}))
    if not body["models"]:
        return body, f"no {type_} is known"
    names = [node["name"] for node in body["nodes"]]
    table = make_table("MODEL", "FAMILY", *names)
    for model in body["models"]:
        states = [_MARKS[model["nodes"].get(name, "unknown")] for name in names]
        table.add_row(model["name"], model["family"], *states)
    return body, table


def _clock(text: str | None) -> str:
    return f"{datetime.fromisoformat(text).astimezone():%H:%M:%S}" if text else "never"

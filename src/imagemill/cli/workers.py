"""``imagemill workers``: the processes of an installation."""

from datetime import datetime
from typing import Any

import typer

from imagemill.cli.client import Client, Reply, client_command
from imagemill.cli.output import make_table

commands = typer.Typer(help="The processes of an installation: list.", no_args_is_help=True)


@commands.command("list")
@client_command
def list_(client: Client) -> Reply:
    """List the processes: roles, host, version, and what each runs. For administrators."""
    body = client.get("/api/v1/workers")
    return body, _table(body["items"]) if body["items"] else "no process has reported"


def _table(workers: list[dict[str, Any]]) -> Any:
    table = make_table("PROCESS", "ROLES", "HOST", "VERSION", "SINCE", "LAST SEEN", "STATE", "JOBS")
    for worker in workers:
        table.add_row(
            worker["name"],
            ", ".join(worker["roles"]),
            worker["host"],
            worker["version"],
            _format_moment(worker["startedAt"]),
            _format_moment(worker["seenAt"]),
            _state(worker),
            str(len(worker["jobs"])),
        )
    return table


def _state(worker: dict[str, Any]) -> str:
    state = "healthy" if worker["healthy"] else "lost"
    return f"{state}, leader" if worker["leader"] else state


def _format_moment(text: str | None) -> str:
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S %Z}" if text else ""
